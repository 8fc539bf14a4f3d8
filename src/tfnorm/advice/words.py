"""Why one technique stands before another, in words; and what would change that.

The one law: the words come from the measures that made the difference. They name techniques, and know none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tfnorm.advice.described import Described
from tfnorm.advice.values import Candidate
from tfnorm.summary import number, share

USUAL = ("standard", "minmax", "identity")  # what people would have taken: the first of them that is not the best is the measuring rod
REASONS = 3
ENOUGH = 0.12  # of the difference, which a measure must make to be a reason


def _times(power: float) -> str:
    return number(round(2.0**power, 2 if power < 4 else 0))


def _small(value: float) -> str:
    return number(float(f"{value:.2g}"))


def _exp(measure: float) -> float:
    return float(f"{2.718281828459045**measure - 1:.2g}")


WORDS: Mapping[str, Callable[[float, float, str], str]] = {
    "offset": lambda best, other, by: f"mean^2 / variance {_small(_exp(best))} ({_small(_exp(other))} by {by})",
    "narrow": lambda best, other, by: f"deviation {_small(2.0**-best)} ({_small(2.0**-other)} by {by})",
    "wide": lambda best, other, by: f"deviation {_small(2.0**best)} ({_small(2.0**other)} by {by})",
    "skewed": lambda best, other, by: f"skewness {_small(_exp(best))} ({_small(_exp(other))} by {by})",
    "tailed": lambda best, other, by: f"excess kurtosis {_small(_exp(best))} ({_small(_exp(other))} by {by})",
    "far": lambda best, other, by: f"99.8 % within {_small(4 * 2.0**best)} ({_small(4 * 2.0**other)} by {by})",
    "farthest": lambda best, other, by: f"all within {_small(4 * 2.0**best)} ({_small(4 * 2.0**other)} by {by})",
    "squeezed": lambda best, other, by: (
        f"outliers narrow the inner 90 % {_small(2.0**best)} times ({_small(2.0**other)} times by {by})"
    ),
    "tied": lambda best, other, by: f"{share(best, 1)} of pairs come out nearly equal ({share(other, 1)} by {by})",
    "moved_zero": lambda best, other, by: f"zero {'stays' if best == 0 else 'moves less'} (it moves by {by})",
    "forgotten": lambda best, other, by: f"{share(best, 1)} of the variation is lost ({share(other, 1)} by {by})",
    "bent": lambda best, other, by: f"{share(1 - best, 1)} stays straight ({share(1 - other, 1)} by {by})",
    "complexity": lambda best, other, by: f"simpler than {by}",
}
"""Measure -> words for (its value by the best, by another technique, that one's name)."""


def evidence(d: Described, ranked: Sequence[Candidate], weights: Mapping[str, float]) -> tuple[str, ...]:
    """What the column is like, and the two or three numbers by which the best stands before what people would have taken."""
    best = ranked[0]
    found = [one for one in (_like(d),) if one]
    by_name = {one.technique: one for one in ranked}
    other = next((by_name[name] for name in USUAL if name in by_name and name != best.technique), None)
    other = other or (ranked[1] if len(ranked) > 1 else None)
    if other is None:
        return tuple(found)
    gain = {name: weights.get(name, 0.0) * (other.measures[name] - best.measures[name]) for name in best.measures}
    whole = sum(value for value in gain.values() if value > 0)
    reasons = sorted((name for name in gain if gain[name] > ENOUGH * whole), key=lambda name: -gain[name])
    reasons = [name for name in reasons if gain[name] > 1e-6]
    found += [
        WORDS[name](best.measures[name], other.measures[name], other.technique) if name in WORDS else name
        for name in reasons[: REASONS - len(found)]
    ]
    return tuple(found)


def _like(d: Described) -> str:
    """The most telling fact of a column."""
    if d.constant or d.low != d.low:
        return ""
    if d.bounds is not None:
        return f"between {number(d.bounds[0])} and {number(d.bounds[1])} by design"
    if d.zeros >= 0.5:
        return f"{share(d.zeros, 1)} zeros"
    if d.robust_z > 25:
        return f"its farthest value is {number(round(d.robust_z))} deviations from the median, as the quartiles tell them"
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
