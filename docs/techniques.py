"""Writes docs/techniques.md and its pictures from the registry of techniques: `make docs`.

The one law: what is said of a technique is its docstring's, its map's, or computed; nothing is typed here twice.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tfnorm
from drawing import choice_of, fitted_map, picture, settings_text
from tfnorm.errors import TfnormError
from tfnorm.techniques import parse
from tfnorm.techniques.core import TechniqueKind

DOCS = Path(__file__).parent
TITLES = {  # file of src/tfnorm/techniques -> what its techniques are called; by the file's docstring where it is not here
    "scales": "Straight lines: a fitted shift and scale",
    "curves": "Fixed curves, each number by itself",
    "shapes": "Curves fitted to the distribution",
    "limits": "Limits and filling",
    "samples": "By sample: no statistics of the data",
    "joint": "All features together",
}
REFUSED = {  # what of a technique is refused, by way of example: a choice, or data where that is the matter
    "minmax": "minmax(1, 0)",
    "rescale": "rescale(1, 0)",
    "robust": "robust(75, 25)",
    "asinh": "asinh(scale=0)",
    "power": "power(0)",
    "soft_clip": "soft_clip(-1)",
    "tanh": "tanh(spread=0)",
    "quantile": "quantile(levels=1)",
    "clip": "clip(1, 0)",
    "winsorize": "winsorize(99, 1)",
    "l1": "l1(axis=0)",
    "l2": "l2(axis=0)",
    "linf": "linf(axis=0)",
    "instance": "instance(epsilon=-1)",
    "contrast": "contrast(scale=0)",
    "impute": "impute('mode')",
    "box_cox": "box_cox",
}
WORDS = {
    "Extremes": "minimum and maximum",
    "Moments": "mean and deviation",
    "Quantiles": "the quantile sketch",
    "Covariance": "the covariance",
}


@dataclass(frozen=True)
class Description:
    """What a docstring says, taken apart."""

    formula: str
    text: str  # what it does, and what becomes of a constant column
    keeps: str
    choose: str
    example: str
    source: str

    @classmethod
    def of(cls, kind: TechniqueKind) -> Description:
        """ValueError where a part is missing."""
        paragraphs = (inspect.cleandoc(kind.__doc__ or "")).split("\n\n")
        formula, *rest = paragraphs
        example = [p for p in rest if p.startswith(">>>")]
        at = rest.index(example[0]) if example else len(rest)
        sentences = [s for p in rest[:at] for s in re.split(r"(?<=[.])\s+(?=[A-Z`])", " ".join(p.split()))]
        keeps = [s for s in sentences if re.match(r"(Keeps|Forgets|Leaves)\b", s)]
        choose = [s for s in sentences if s.startswith("Choose it")]
        text = [s for s in sentences if s not in keeps and s not in choose]
        source = " ".join(" ".join(rest[at + 1 :]).split())
        found = cls(formula, " ".join(text), " ".join(keeps), " ".join(choose), "\n".join(example), source)
        lacking = [name for name in ("formula", "keeps", "choose", "example", "source") if not getattr(found, name)]
        if lacking:
            raise ValueError(f"the docstring of {kind.name} lacks: {', '.join(lacking)}")
        return found


def documents() -> dict[str, str]:
    """Every file, by its path in this folder."""
    files = {f"pictures/{name}.svg": picture(name) for name in tfnorm.TECHNIQUES}
    return {"techniques.md": "\n".join(_lines()) + "\n", **files}


def _groups() -> dict[str, list[TechniqueKind]]:
    groups: dict[str, list[TechniqueKind]] = {}
    for kind in tfnorm.TECHNIQUES.values():
        module = sys.modules[kind.function.__module__]
        title = TITLES.get(module.__name__.rsplit(".", 1)[-1], (module.__doc__ or "").split("\n")[0].rstrip("."))
        groups.setdefault(title, []).append(kind)
    return groups


def _lines() -> Iterator[str]:
    yield "# Techniques"
    yield ""
    yield from textwrap.wrap(
        "Written by `make docs` from the docstrings and the maps; nothing here is typed by hand. Choose one by its name, with "
        'settings, or several in turn: `"standard"`, `"minmax(-1, 1)"`, `["log1p", "standard"]`. '
        "Missing values stay missing, except where a technique is there to fill them.",
        120,
    )
    yield ""
    yield from textwrap.wrap(
        "The pictures show one sample: 300 lognormal values, an outlier, a few zeros and negative numbers; without those where a "
        "technique does not take them. Below the curve is where the values are, to its left where they go; heights are square "
        "roots of shares, so that single values can be seen.",
        120,
    )
    yield ""
    yield from textwrap.wrap(
        "Each that gathers something has numbers of its own for every key, too: `standard.by('store')`, "
        "`robust.by('store', 'weekday', unseen='error', shrink=20)`. Rows of keys that the fit has not seen get the numbers of "
        "all rows (`unseen='global'`), become missing (`'missing'`) or are refused (`'error'`); `shrink` adds so many rows that "
        "lie as all rows do to those of each key, so that keys with few rows are drawn to all. "
        "`fitted['price'].profile.by('store')` gives the numbers as a table, `tfnorm.scan(data, by='store')` all that is known "
        "of each key before anything is chosen. Of such techniques `out_of_range` means the smallest and the largest value of "
        "the row's key.",
        120,
    )
    yield from ("", "## Which one?")
    for title, kinds in _groups().items():
        yield from ("", f"### {title}", "", "| technique | formula | choose it |", "| --- | --- | --- |")
        for kind in kinds:
            said = Description.of(kind)
            why = said.choose.removeprefix("Choose it ").split(". ")[0].rstrip(".")
            yield f"| [`{kind.name}`](#{kind.name}) | {_cell(_code(said.formula))} | {_cell(why)} |"
    yield from ("", "## One by one")
    for kinds in _groups().values():
        for kind in kinds:
            yield from _section(kind)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _section(kind: TechniqueKind) -> Iterator[str]:
    said = Description.of(kind)
    step, _ = fitted_map(kind.name)
    settings = settings_text(kind.name)
    yield from ("", f"### {kind.name}", "", f"`{kind!r}`", "", f"    {said.formula}", "")
    shown = "" if settings == kind.name else f" The picture is of `{settings}`."
    if said.text or shown:
        yield from (*textwrap.wrap(f"{said.text}{shown}".strip(), 120), "")
    yield from (f"![{settings} on the sample](pictures/{kind.name}.svg)", "")
    yield from ("| | |", "| --- | --- |")
    yield f"| keeps and loses | {_cell(said.keeps)} |"
    yield f"| choose it | {_cell(_sentence(said.choose.removeprefix('Choose it ')))} |"
    yield f"| takes | {_cell(_sentence(step.domain or 'all finite numbers'))} |"
    yield f"| the way back | {_cell(_sentence(step.lost or step.limited or '`inverse` gives what came'))} |"
    gathered = [WORDS.get(cls.__name__, cls.__name__) for cls in parse(choice_of(kind.name))[0].needs]
    yield f"| gathers | {_sentence(', '.join(gathered) if gathered else 'nothing: it is the same for all data')} |"
    if kind.name in REFUSED:
        yield f"| refuses | {_cell(_refusal(REFUSED[kind.name]))} |"
    yield f"| source | {_cell(said.source)} |"
    yield from ("", "```python", said.example, "```")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _refusal(choice: str) -> str:
    try:
        parse(choice)
        tfnorm.fit(np.array([[0.0], [1.0]]), choice)
    except TfnormError as error:
        return f"`{choice}`: {error}"
    raise ValueError(f"{choice} is not refused")


def main() -> None:
    (DOCS / "pictures").mkdir(exist_ok=True)
    written = documents()
    for stale in {f"pictures/{path.name}" for path in (DOCS / "pictures").iterdir()} - set(written):
        (DOCS / stale).unlink()
    for path, text in written.items():
        (DOCS / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
