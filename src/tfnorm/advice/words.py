"""Why one technique stands before another, in words; and what would change that.

The one law: the words come from the measures that made the difference. They name techniques, and know none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from tfnorm.advice.described import Described
from tfnorm.advice.measures import USUAL
from tfnorm.advice.values import Candidate
from tfnorm.advice.weights import LEAVING, REFERENCE
from tfnorm.summary import number, share

RODS = (
    REFERENCE,
    "minmax",
    "identity",
)  # what people would have taken: the first of them that is not the best is the measuring rod
REASONS = 3
ENOUGH = 0.12  # of the difference, which a measure must make to be a reason


def _small(value: float) -> str:
    return "0" if abs(value) < 1e-3 else number(float(f"{value:.2g}"))


def _ratio(measure: float) -> str:
    return _small(math.expm1(measure))


def _power(measure: float) -> str:
    return _small(2.0**measure)


def _part(measure: float) -> str:
    return _small(2.0**-measure)


def _narrowed(measure: float) -> str:
    times = _power(measure)
    return "not narrowed" if times == "1" else f"narrowed {times} times"


def _usual(measure: float) -> str:
    return _small(USUAL * 2.0**measure)


def _share(measure: float) -> str:
    return share(measure, 1)


def _kept(measure: float) -> str:
    return share(1 - measure, 1)


WORDS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "offset": ("mean^2 / variance {best} ({other} by {by})", _ratio),
    "narrow": ("deviation {best} ({other} by {by})", _part),
    "wide": ("deviation {best} ({other} by {by})", _power),
    "skewed": ("skewness {best} ({other} by {by})", _ratio),
    "tailed": ("excess kurtosis {best} ({other} by {by})", _ratio),
    "far": ("99.8% within {best} ({other} by {by})", _usual),
    "farthest": ("all within {best} ({other} by {by})", _usual),
    "squeezed": ("inner 90% {best} by outer values ({other} by {by})", _narrowed),
    "tied": ("{best} of pairs nearly equal ({other} by {by})", _share),
    "moved_zero": ("zero stays nearer to 0 than by {by}", _small),
    "forgotten": ("{best} of the variation lost ({other} by {by})", _share),
    "bent": ("{best} of the variation on a straight line ({other} by {by})", _kept),
    "aside": ("a straight line tells {best} of the target ({other} by {by})", _kept),
    "complexity": ("simpler than {by}", _small),
}
"""Measure -> words for (what the best gives, what another technique gives, that one's name), and a measure's natural unit."""


def evidence(d: Described, ranked: Sequence[Candidate], weights: Mapping[str, float]) -> tuple[str, ...]:
    """What the column is like, and the two or three numbers by which the best stands before what people would have taken."""
    best = ranked[0]
    found = [one for one in (_like(d), _kept_by_margin(ranked, weights)) if one]
    by_name = {one.technique: one for one in ranked}
    other = next((by_name[name] for name in RODS if name in by_name and name != best.technique), None)
    other = other or (ranked[1] if len(ranked) > 1 else None)
    if other is None:
        return tuple(found)
    gain = {name: weights.get(name, 0.0) * (other.measures[name] - best.measures[name]) for name in best.measures}
    whole = sum(value for value in gain.values() if value > 0)
    reasons = sorted((name for name in gain if gain[name] > ENOUGH * whole), key=lambda name: -gain[name])
    reasons = [name for name in reasons if gain[name] > 1e-6]
    differences = [words for name in reasons if (words := _difference(name, best, other))]
    return (*found, *differences[: REASONS - len(found)])


def _kept_by_margin(ranked: Sequence[Candidate], weights: Mapping[str, float]) -> str:
    """Where another technique stands before the reference by less than what leaving it costs: which one, and by how much."""
    best, margin = ranked[0], weights.get(LEAVING, 0.0)
    if best.technique != REFERENCE or len(ranked) < 2:
        return ""
    gain = best.score - (ranked[1].score - margin)
    return (
        f"{ranked[1].technique} would gain little ({_small(gain)}; from {_small(margin)} on it counts)"
        if gain >= 1e-3
        else ""
    )


def _difference(name: str, best: Candidate, other: Candidate) -> str:
    """What differs, in words; empty where the numbers as they are said do not."""
    words, unit = WORDS.get(name, (f"{name} {{best}} ({{other}} by {{by}})", _small))
    ours, theirs = unit(best.measures[name]), unit(other.measures[name])
    return "" if ours == theirs else words.format(best=ours, other=theirs, by=other.technique)


def _like(d: Described) -> str:
    """The most telling fact of a column."""
    if d.constant or d.low != d.low:
        return ""
    if d.bounds is not None:
        return f"between {number(d.bounds[0])} and {number(d.bounds[1])} by design"
    if d.zeros >= 0.5:
        return f"{share(d.zeros, 1)} zeros"
    if d.robust_z > 25:
        return f"farthest value {number(round(d.robust_z))} deviations from the median"
    if abs(d.skewness) >= 1:
        return f"skewness {d.skewness:.1f}"
    if d.offset >= 3:
        return f"mean {d.offset:.1f} deviations from 0"
    if d.modes > 1:
        return f"{d.modes} modes"
    return ""


def would_change(best: str, elsewhere: Sequence[tuple[str, str]]) -> str:
    """From (under which circumstances, which technique would be best there) to one sentence."""
    by_technique: dict[str, list[str]] = {}
    for circumstance, technique in elsewhere:
        if technique != best:
            by_technique.setdefault(technique, []).append(circumstance)
    return "; ".join(f"{technique} {' or '.join(where)}" for technique, where in by_technique.items())
