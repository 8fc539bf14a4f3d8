"""How many digits do tfnorm and its peers keep, on data made to lose them?

    python benchmarks/accuracy.py                                   # prints docs/accuracy.md
    python benchmarks/accuracy.py --only tfnorm,numpy --cases huge  # some contestants, some cases

The cases are in torture.py, the contestants in accuracy_peers.py; `pip install 'tfnorm[bench,tf]'` brings all of them but
tensorflow-transform and Spark, which take part where they are installed.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import accuracy_techniques
import common
from accuracy_peers import PEERS, Peer
from torture import CASES, Case, Exact

THREADS = 2
FULL_DIGITS = {"float16": 3, "float32": 7}  # that the type of an answer can hold; all others 16
RANK_LIMIT = 0.01  # a quartile further off is told


@dataclass(frozen=True)
class Cell:
    """How near one answer was."""

    text: str  # for the table
    wrong: str = ""  # what is told of it in the list; empty where it keeps half of its digits, refuses, or nobody knows


@dataclass(frozen=True)
class Measure:
    """One table: what is asked, and how an answer is judged."""

    name: str
    title: str
    legend: str
    judge: Callable[[Any, Exact], Cell]


# ------------------------------------------------------------------------------------------------------------- judging


def full_digits(answer: Any) -> int:
    return FULL_DIGITS.get(str(getattr(answer, "dtype", "")), 16)


def judge_mean(answer: Any, exact: Exact) -> Cell:
    return _judge_number("mean", answer, float(exact.mean), exact.mean_digits)


def judge_std(answer: Any, exact: Exact) -> Cell:
    return _judge_number("deviation", answer, float(exact.std), exact.std_digits)


def _judge_number(word: str, answer: Any, exact: float, count: Callable[[Any], int]) -> Cell:
    if not math.isfinite(answer):
        text = "NaN" if math.isnan(answer) else "inf"
        return Cell(f"**{text}**", f"{word} {text}, exact {exact:.6g}")
    full, found = full_digits(answer), count(answer)
    if 2 * found >= full:
        return Cell(str(found))
    said, right = _apart(float(answer), exact)
    return Cell(f"**{found}**", f"{word} {said}, exact {right} ({found} of {full} digits)")


def _apart(a: float, b: float) -> tuple[str, str]:
    """Both with as many digits as it takes to tell them apart."""
    texts = ((f"{a:.{n}g}", f"{b:.{n}g}") for n in range(5, 18))
    return next((pair for pair in texts if pair[0] != pair[1]), (repr(a), repr(b)))


def judge_z(answer: np.ndarray, exact: Exact) -> Cell:
    error, full = exact.z_error(answer), full_digits(answer)
    if not math.isfinite(error):
        text = "NaN" if math.isnan(error) else "inf"
        return Cell(f"**{text}**", f"standardized values {text}")
    if error <= 10 ** (-full / 2):
        return Cell(f"{error:.0e}" if error else "0")
    return Cell(f"**{error:.0e}**", f"standardized values off by {error:.2g}")


def judge_quartiles(answer: Any, exact: Exact) -> Cell:
    error = exact.rank_error(answer)
    if math.isnan(error):
        return Cell("**NaN**", "a quartile NaN or infinite")
    if error <= RANK_LIMIT:
        return Cell(f"{error:.4f}" if error else "0")
    return Cell(f"**{error:.4f}**", f"a quartile off by {error:.2g} in rank")


MEASURES = (
    Measure(
        "mean",
        "Digits of the mean",
        "Correct digits, counted from the larger of the mean and the deviation.",
        judge_mean,
    ),
    Measure(
        "std",
        "Digits of the deviation",
        "Correct digits of the population standard deviation; where it is 0, counted from the largest value.",
        judge_std,
    ),
    Measure(
        "z",
        "Error of the standardized values",
        "The largest difference from the exact z = (x - mean) / std, in units of 1 + |z|, in the type of the output: at "
        "best about 1e-16 in float64, 1e-7 in float32, 1e-4 in float16. Of a constant, z is 0.",
        judge_z,
    ),
    Measure(
        "quartiles",
        "Rank error of the quartiles",
        "How far the 25 %, 50 % and 75 % quantiles are from those ranks at worst, as a share of the rows; ties fill all "
        f"their ranks. Bold where more than {RANK_LIMIT:g}.",
        judge_quartiles,
    ),
)


def ask(peer: Peer, case: Case, exact: Exact | None) -> dict[str, Cell]:
    """Measure -> how near this contestant is; what it cannot tell is left out."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # an answer is judged, whatever was muttered over it
        try:
            said = peer.ask(case.column())
        except Exception as error:  # a refusal is an answer
            return dict.fromkeys(peer.tells, Cell(f"`{type(error).__name__}`"))
        return {one.name: _judged(one, said[one.name], exact) for one in MEASURES if one.name in peer.tells}


def _judged(measure: Measure, answer: Callable[[], Any], exact: Exact | None) -> Cell:
    try:
        found = answer()
        if exact is not None:
            return measure.judge(found, exact)
        made_up = [value for value in np.ravel(np.asarray(found, np.float64)).tolist() if not math.isnan(value)]
    except Exception as error:
        return Cell(f"`{type(error).__name__}`")
    if not made_up:
        return Cell("none")
    return Cell(f"**says {made_up[0]:g}**", f"{measure.name} {made_up[0]:g}, where there is none")


# -------------------------------------------------------------------------------------------------------- the document

Results = dict[str, dict[str, dict[str, Cell]]]  # case -> contestant -> measure -> cell


def document(
    cases: list[Case], peers: list[Peer], absent: list[str], results: Results, only: list[str]
) -> Iterator[str]:
    """Its lines."""
    yield "# Accuracy: which digits survive"
    yield ""
    yield "Printed by `python benchmarks/accuracy.py --write docs/accuracy.md`; nothing here is typed by hand. Where your"
    yield "library is misused below, tell us: how each is called is in `benchmarks/accuracy_peers.py`, the data in"
    yield "`benchmarks/torture.py`; in a checkout, `pip install '.[bench,tf]'` brings what is needed to run it again."
    yield ""
    yield "What is expected is computed in exact arithmetic, on the numbers as they are stored. Digits are -log10 of the"
    yield "relative error, rounded down; 16 is the float64 nearest to the exact number, and a float32 holds 7. **Bold**: less"
    yield "than half of the digits that the answer's own type holds, or NaN where there is an answer. `SomeError`: the"
    yield "contestant refused. none: there is no answer, and it said so."
    yield ""
    yield f"{common.machine()['cpu']}; {', '.join(f'{name} {version}' for name, version in common.versions().items())}."
    yield ""
    yield f"not installed: {', '.join(absent) or 'none'}"
    yield ""
    yield "## Contestants"
    yield ""
    yield from table(("contestant", "what is called"), [(peer.name, peer.how) for peer in peers])
    yield ""
    yield "## Data"
    yield ""
    yield from table(("case", "type", "rows", "exact mean", "exact deviation", "what it is"), map(_described, cases))
    for measure in MEASURES:
        telling = [peer for peer in peers if measure.name in peer.tells]
        if telling:
            yield from ("", f"## {measure.title}", "", measure.legend, "")
            yield from table(
                ("case", *(peer.name for peer in telling)),
                [(f"`{c.name}`", *(results[c.name][p.name][measure.name].text for p in telling)) for c in cases],
            )
    yield from ("", "## Other techniques", "")
    yield "The largest difference from the exact result in units of 1 + |y|, each technique with its defaults; of a constant"
    yield "column and of a zero sample 0 is right. Bold: more than rounding in the type of the output, or NaN. Empty: the"
    yield "contestant has no such technique."
    yield ""
    head, *rows = accuracy_techniques.section(only)
    yield from table(head, rows)
    yield ""
    yield from findings(cases, [peer for peer in peers if not peer.reference], results)


def findings(cases: list[Case], peers: list[Peer], results: Results) -> Iterator[str]:
    """What is in bold, in words and figures; case by case."""
    wrong = {
        (case.name, peer.name): "; ".join(cell.wrong for cell in results[case.name][peer.name].values() if cell.wrong)
        for case in cases
        for peer in peers
    }
    yield "## Where less than half of the digits are left"
    yield ""
    yield "What is bold above, with the figures. A refusal is not counted here: it is an honest answer. NumPy in float32 is"
    yield "there for comparison, and left out."
    yield ""
    counted = [(peer.name, sum(bool(wrong[case.name, peer.name]) for case in cases)) for peer in peers]
    yield from table(("contestant", "cases listed"), [(name, f"{count} of {len(cases)}") for name, count in counted])
    yield ""
    for case in cases:
        told = [f"  - {peer.name}: {wrong[case.name, peer.name]}" for peer in peers if wrong[case.name, peer.name]]
        if told:
            yield f"- `{case.name}`: {case.data}"
            yield from told


def _described(case: Case) -> tuple[str, ...]:
    x = case.column()
    exact = Exact.of(x)
    numbers = (f"{float(exact.mean):.8g}", f"{float(exact.std):.8g}") if exact else ("none", "none")
    return f"`{case.name}`", str(x.dtype), f"{len(x):,}", *numbers, case.data


def table(head: tuple[str, ...], rows: Any) -> Iterator[str]:
    """A Markdown table."""
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


# ----------------------------------------------------------------------------------------------------------------- main


def chosen(peers: list[Peer], only: str | None) -> list[Peer]:
    """Those whose names begin with one of the words."""
    words = [word.strip().lower() for word in (only or "").split(",") if word.strip()]
    unknown = [word for word in words if not any(peer.name.lower().startswith(word) for peer in peers)]
    if unknown:
        raise SystemExit(
            f"no contestant begins with {', '.join(unknown)}; there are {', '.join(p.name for p in peers)}."
        )
    return [peer for peer in peers if not words or peer.name.lower().startswith(tuple(words))]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", help="contestants, by the first letters of their names: tfnorm,numpy")
    parser.add_argument("--cases", help="a regular expression that the cases' names must match")
    parser.add_argument("--write", type=Path, help="write the document there instead of printing it")
    parser.add_argument("--json", type=Path, help="write the tables' cells there, too")
    arguments = parser.parse_args()
    common.settle(THREADS)
    peers = chosen(PEERS, arguments.only)
    absent = [peer.name for peer in peers if not peer.installed]
    peers = [peer for peer in peers if peer.installed]
    cases = [case for name, case in CASES.items() if re.search(arguments.cases or "", name)]
    results: Results = {}
    for case in cases:
        exact = Exact.of(case.column())
        results[case.name] = {peer.name: ask(peer, case, exact) for peer in peers}
    words = [word.strip().lower() for word in (arguments.only or "").split(",") if word.strip()]
    text = "\n".join(document(cases, peers, absent, results, words)) + "\n"
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    if arguments.json:
        texts = {
            c: {p: {m: cell.text for m, cell in of.items()} for p, of in row.items()} for c, row in results.items()
        }
        arguments.json.write_text(json.dumps(texts, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
