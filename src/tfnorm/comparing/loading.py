"""A saved comparison, read back.

The one law: `loads(json_text(x))` is x, bit for bit, and what does not fit together is refused before anything is made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfnorm.artefact import checksum_of, read_file, strict_json
from tfnorm.codec import decode
from tfnorm.comparing.showing import FORMAT, VERSION
from tfnorm.comparing.values import Comparison, Contender
from tfnorm.errors import ArtefactError, ChoiceError
from tfnorm.profile import Skipped
from tfnorm.techniques import parse

HEAD = ("format", "format_version", "tfnorm", "checksum")
FIELDS: Mapping[str, Any] = {
    **dict.fromkeys(("target", "model", "metric", "verdict"), str),
    **dict.fromkeys(("rows", "validation_rows", "steps"), int),
    **dict.fromkeys(("columns", "notes"), tuple[str, ...]),
    **{"seeds": tuple[int, ...], "marks": np.ndarray, "failed": dict[str, str], "skipped": tuple[Skipped, ...]},
    **{"budget": float | None, "level": float, "baseline": float},
}
OF_EACH: Mapping[str, Any] = {
    **{"technique": str, "choice": dict[str, str], "condition": float, "accuracy": np.ndarray | None},
    **dict.fromkeys(("losses", "final", "steps_to", "diverged"), np.ndarray),
}
WORKED_OUT = dict.fromkeys(("loss", "spread", "lowest", "steps"), float)  # for who reads the file without this library


def load(path: Any) -> Comparison:
    """What `Comparison.save` wrote. ArtefactError, which names the file, where it is not whole and sound."""
    data = read_file(path)
    try:
        return loads(data)
    except ArtefactError as error:
        raise ArtefactError(f"{path}: {error}") from None


def loads(data: bytes) -> Comparison:
    """As `load`, from the bytes of a file."""
    whole = strict_json(data)
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        raise ArtefactError(
            f'no comparison: it does not begin with "format": "{FORMAT}". tfnorm compare -o writes one.'
        )
    if whole.get("format_version") != VERSION or type(whole["format_version"]) is not int:
        raise ArtefactError(
            f"format version {str(whole.get('format_version'))[:40]!r} is not {VERSION}, which is what this tfnorm reads. "
            "Update it: pip install -U tfnorm."
        )
    if set(whole) != {*HEAD, *FIELDS, "contenders"}:
        raise ArtefactError(f"its parts are {str(sorted(whole))[:200]}, not those of a comparison.")
    if whole["checksum"] != checksum_of({name: whole[name] for name in whole if name not in HEAD}):
        raise ArtefactError("the checksum does not fit the content: the file was damaged or edited. Save it anew.")
    values = {name: decode(kind, whole[name], name) for name, kind in FIELDS.items()}
    listed = whole["contenders"]
    if not isinstance(listed, list):
        raise ArtefactError(f"contenders: expected a list, got {type(listed).__name__}.")
    contenders = tuple(_contender(one, f"contenders[{i}]") for i, one in enumerate(listed))
    steps = values.pop("steps")
    found = Comparison(**values, contenders=contenders)
    if flaw := _flaw(found, steps):
        raise ArtefactError(f"{flaw}.")
    return found


def _contender(data: Any, path: str) -> Contender:
    if not isinstance(data, dict) or set(data) != {*OF_EACH, *WORKED_OUT}:
        named = sorted(data) if isinstance(data, dict) else type(data).__name__
        raise ArtefactError(f"{path}: expected the fields {sorted({*OF_EACH, *WORKED_OUT})}, got {str(named)[:200]}.")
    for name, kind in WORKED_OUT.items():
        decode(kind, data[name], f"{path}.{name}")
    values = {name: decode(kind, data[name], f"{path}.{name}") for name, kind in OF_EACH.items()}
    for column, text in values["choice"].items():
        try:
            parse(text)
        except ChoiceError as error:
            raise ArtefactError(f"{path}.choice.{column}: {error}") from None
    return Contender(**values)


def _flaw(found: Comparison, steps: int) -> str:
    """What does not fit together; empty where all does."""
    marks, seeds = found.marks, found.seeds
    rising = marks.dtype == np.int64 and marks.ndim == 1 and len(marks) > 1 and bool((np.diff(marks) > 0).all())
    if not rising or marks[0] != 0 or marks[-1] != steps:
        return "marks: expected steps that rise from 0 to the last"
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        return "seeds: expected different whole numbers from 0 on"
    if found.rows < 1 or found.validation_rows < 1:
        return "rows: expected some that trained and some that were held out"
    if found.budget is not None and not 0 < found.budget < np.inf:
        return "budget: expected seconds above 0"
    if len(set(found.columns)) < len(found.columns) or not found.columns:
        return "columns: expected different names"
    names = [one.technique for one in found.contenders]
    if not names or len(set(names)) < len(names):
        return "contenders: expected some, of different names"
    for one in found.contenders:
        if flaw := _flaw_of(one, found):
            return f"contenders: {one.technique[:60]!r}: {flaw}"
    return ""


def _flaw_of(one: Contender, found: Comparison) -> str:
    each = (len(found.seeds),)
    shapes = (one.losses.shape, one.final.shape, one.steps_to.shape, one.diverged.shape)
    if shapes != ((*each, len(found.marks)), each, each, each) or one.diverged.dtype != np.bool_:
        return "losses, final, steps_to and diverged are not of these seeds and marks"
    if any(array.dtype.kind != "f" for array in (one.losses, one.final)):
        return "losses are no fractions"
    if not np.array_equal(one.losses[:, -1], one.final, equal_nan=True):
        return "final is not where the losses end"
    if not np.isin(one.steps_to[~np.isnan(one.steps_to)], found.marks).all():
        return "steps_to is no mark"
    if not set(one.choice) <= set(found.columns):
        return "its choice names columns that are no features"
    if one.condition < 1:
        return "condition is below 1"
    if one.accuracy is not None and (one.accuracy.shape != each or not _shares(one.accuracy)):
        return "accuracy holds no shares of these seeds"
    return ""


def _shares(values: np.ndarray) -> bool:
    known = values[~np.isnan(values)]
    return bool(((known >= 0) & (known <= 1)).all())
