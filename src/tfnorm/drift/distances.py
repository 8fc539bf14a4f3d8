"""How far two distributions are from each other, from their sketches alone.

The one law: a distance comes with bounds that surely hold that of the data: a sketch knows of every number between how many
and how many values are at most it, and each bound takes whichever of these is worst.

    KS   largest difference of the cumulative shares, |F(v) - G(v)|; 0 to 1
    PSI  population stability index, sum over bins of (q - p) ln(q / p); 0 up
    JS   Jensen-Shannon distance over the same bins: the root of the mean divergence (base 2) from their mixture; 0 to 1
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfnorm.curve import Curve

BINS = 10  # of equal share, as is usual for PSI
LEAST_IN_BIN = 10.0  # values of the smaller side that a bin of the fit stands for, or its share is noise
HALF = 0.5  # what each bin is given besides, so that an empty one has a logarithm (Jeffreys)


@dataclass(frozen=True)
class Distance:
    """An estimate and the bounds that surely hold the exact one."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Ranks:
    """Which share of the values is at most each of some numbers."""

    value: np.ndarray  # estimated
    low: np.ndarray  # at least
    high: np.ndarray  # at most

    @classmethod
    def of(cls, curve: Curve, numbers: np.ndarray) -> Ranks:
        low, high = (_summed(ends, curve.count, numbers) / curve.total for ends in (curve.high, curve.low))
        with np.errstate(over="ignore", invalid="ignore"):  # of numbers far outside, which are held to an end
            return cls(np.clip(curve.cumulative(numbers), low, high), low, high)


def _summed(ends: np.ndarray, count: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """How much is counted in the cells whose end is at most each number."""
    order = np.argsort(ends, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(count[order])])
    return sums[np.searchsorted(ends[order], numbers, side="right")]


def just_below(numbers: np.ndarray) -> np.ndarray:
    """The next numbers below."""
    with np.errstate(over="ignore", under="ignore"):
        return np.nextafter(numbers, -np.inf)


def kolmogorov_smirnov(a: Curve, b: Curve) -> Distance:
    """The largest difference of the cumulative shares.

    >>> from tfnorm import scan
    >>> one, two = (scan(values)["x"].curve() for values in ([1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 5.0]))
    >>> kolmogorov_smirnov(one, two)
    Distance(value=0.25, low=0.25, high=0.25)
    """
    ends = np.unique(np.concatenate([a.low, a.high, b.low, b.high]))
    # between two ends both estimates are straight lines, which may jump at an end: the largest difference is at or just below one
    numbers = np.concatenate([ends, just_below(ends)])
    one, two = Ranks.of(a, numbers), Ranks.of(b, numbers)
    return Distance(
        float(np.abs(one.value - two.value).max()),
        float(max(0.0, (one.low - two.high).max(), (two.low - one.high).max())),
        float(max((one.high - two.low).max(), (two.high - one.low).max())),
    )


def bin_edges(curve: Curve, least_share: float) -> np.ndarray:
    """Where bins of a distribution end, each but the last with the number itself: (bins - 1,).

    Values that hold a bin's share alone have one of their own, the rest is cut into BINS of equal share, and what would be
    smaller than `least_share` is left with its neighbour; so a column of few values, or of zeros mostly, has fewer bins.
    """
    low, high, mass = curve.pieces()
    heavy = (low == high) & (mass >= curve.total / BINS)
    atoms, rest = low[heavy], np.cumsum(np.where(heavy, 0.0, mass))
    steps = rest[-1] * np.arange(1, BINS) / BINS
    cuts = high[np.minimum(np.searchsorted(rest, steps), len(high) - 1)] if rest[-1] > 0 else np.empty(0)
    edges = np.unique(np.concatenate([cuts, atoms, just_below(atoms)]))
    upto, kept, before = Ranks.of(curve, edges).value, [], 0.0
    for edge, share in zip(edges, upto, strict=True):
        # beyond an end that is such a value lies nothing of the fit, and all the more of what drifts
        if (share - before >= least_share and 1.0 - share >= least_share) or share in (0.0, 1.0):
            kept.append(edge)
            before = share
    return np.array(kept)


@dataclass(frozen=True)
class Shares:
    """Which share of the values lies in each bin, (bins,)."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, curve: Curve, edges: np.ndarray, number: float) -> Shares:
        """In the bins that end at `edges`; `number` values count, HALF of one is added to each bin."""
        ranks = Ranks.of(curve, edges)
        low, value, high = (np.concatenate([[0.0], one, [1.0]]) for one in (ranks.low, ranks.value, ranks.high))
        bins = (np.diff(value), np.maximum(low[1:] - high[:-1], 0.0), np.minimum(high[1:] - low[:-1], 1.0))
        return cls(*((share * number + HALF) / (number + HALF * len(share)) for share in bins))


def stability_index(p: Shares, q: Shares) -> Distance:
    """PSI. Each bin's term falls as its two shares come nearer, so their bounds give its bounds."""
    return _summed_up(p, q, lambda a, b: (b - a) * np.log(b / a))


def jensen_shannon(p: Shares, q: Shares) -> Distance:
    """The Jensen-Shannon distance, base 2 (`scipy.spatial.distance.jensenshannon(p, q, base=2)`)."""

    def term(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        middle = (a + b) / 2
        return (a * np.log2(a / middle) + b * np.log2(b / middle)) / 2

    found = _summed_up(p, q, term)
    value, low, high = (float(np.sqrt(min(max(one, 0.0), 1.0))) for one in (found.value, found.low, found.high))
    return Distance(value, low, high)


def _summed_up(p: Shares, q: Shares, term: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Distance:
    may_be_same = np.maximum(p.low, q.low) <= np.minimum(p.high, q.high)
    below = p.high < q.low
    near = np.where(below, p.high, p.low), np.where(below, q.low, q.high)
    least = np.where(may_be_same, 0.0, term(*near))
    most = np.maximum(term(p.low, q.high), term(p.high, q.low))
    return Distance(float(term(p.value, q.value).sum()), float(least.sum()), float(most.sum()))


def snapped(values: np.ndarray, onto: np.ndarray, relative: float, scale: float) -> np.ndarray:
    """The values, but those that are as good as one of `onto` moved there: numbers that were rounded to fewer digits since."""
    if not relative or not len(onto) or not len(values):
        return values
    onto = np.unique(onto)
    at = np.clip(np.searchsorted(onto, values), 1, max(1, len(onto) - 1))
    before, after = onto[np.maximum(at - 1, 0)], onto[np.minimum(at, len(onto) - 1)]
    with np.errstate(
        over="ignore"
    ):  # numbers more than the largest float64 apart are not near, which infinity says as well
        nearest = np.where(np.abs(values - before) <= np.abs(after - values), before, after)
        near = np.abs(values - nearest) <= relative * np.maximum(np.abs(values), scale)
    return np.where(near, nearest, values)
