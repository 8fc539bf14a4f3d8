"""The tails of a distribution of which a sketch knows a few cells.

The one law: the mass between two ends of known rank stays between them; only how it lies there is judged anew.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from tfnorm.curve import Curve
from tfnorm.techniques.solvers import PHI, Pieces

_CUTS = 48  # of a wide piece
_WIDE = 0.2  # the part of what lies from it on that such a piece holds
_FAR = 1.01  # times as far out as it begins such a piece must end at least: if not, it matters little how it is filled
_LEAST_POWER = 0.25  # what falls by less of the distance is no tail: next to nothing is known of where its values are
_NORMAL = NormalDist()
_SPREAD = math.pi / math.sqrt(6)  # the deviation of the log of an extreme (Gumbel's), times the power of the tail


def tailed(curve: Curve) -> Pieces:
    """The curve's pieces, but with the wide ones at both ends cut into narrow ones that thin out as tails do.

    A sketch knows a tail by few cells, the outermost one a thousandth of all values; even in such a cell they would make a tail
    far too heavy. Where no cell lies across a cell's end, its rank is known, though: between two such ends the log of the
    distance from the median is taken for a parabola over the normal z of the rank, which normal, lognormal and Tukey's h tails
    are, or nearly.
    """
    low, high, mass = curve.pieces()
    if len(mass) < 2:
        return low, high, mass
    middle = int(np.searchsorted(np.cumsum(mass), mass.sum() / 2))
    median = low[middle] / 2 + high[middle] / 2
    sure_low, sure_high = curve.across(low) == 0, curve.across(high) == 0
    with np.errstate(over="ignore"):
        right, cut_right = _thinned(low - median, high - median, mass, sure_low)
        left, cut_left = _thinned((median - high)[::-1], (median - low)[::-1], mass[::-1], sure_high[::-1])
    kept = ~(right | left[::-1])
    least, largest = low[0], high[-1]
    parts = [(low[kept], high[kept], mass[kept])]
    parts += [(median + a, median + b, m) for a, b, m in cut_right]
    parts += [(median - b, median - a, m) for a, b, m in cut_left]
    low, high, mass = (np.concatenate(column) for column in zip(*parts, strict=True))
    # the way to the median and back has rounded
    low, high = np.clip(low, least, largest), np.clip(high, least, largest)
    order = np.lexsort((high, low))
    return low[order], high[order], mass[order]


def _thinned(low: np.ndarray, high: np.ndarray, mass: np.ndarray, sure: np.ndarray) -> tuple[np.ndarray, list[Pieces]]:
    """Which pieces right of 0 are wide, and what they are cut into; `sure` is where the rank at the lower end is known."""
    starts = np.flatnonzero(sure & (low > 0))
    stops = np.append(starts[1:], len(low))
    upto = np.append(np.cumsum(mass[::-1])[::-1], 0.0)  # from the piece on
    value = min(1.0, float(mass.min()))  # no more than the mass of one value
    replaced, cut = np.zeros(len(low), bool), list[Pieces]()
    for k in np.flatnonzero((upto[stops] < (1 - _WIDE) * upto[starts]) & (2 * upto[starts] < upto[0])):
        first, stop = int(starts[k]), int(stops[k])
        narrow = not high[stop - 1] > _FAR * low[first] or np.isinf(high[stop - 1])
        if not narrow and (high[first:stop] > low[first:stop]).all():
            replaced[first:stop] = True
            # as much again lies from there to here
            nearer = starts[(upto[starts] >= 2 * upto[first]) & (low[starts] < low[first])]
            before = (float(low[nearer[-1]]), float(upto[nearer[-1]])) if len(nearer) else None
            ends = (float(low[first]), float(high[stop - 1]))
            cut += _thinning(ends, (float(upto[first]), float(upto[stop])), before, float(upto[0]), value)
    return replaced, [(a[m > 0], b[m > 0], m[m > 0]) for a, b, m in cut]


def _thinning(
    ends: tuple[float, float],
    beyond: tuple[float, float],
    before: tuple[float, float] | None,
    total: float,
    value: float,
) -> list[Pieces]:
    """Narrow pieces from one end to the other, beyond which lies that much; `before` is an end nearer to the median."""
    extreme = np.array([ends[1]])
    if beyond[0] <= value:
        return [(extreme, extreme, np.array([beyond[0]]))]
    alone = value if beyond[1] < value else 0.0  # the extreme is one value, in the middle of its own rank
    least = max(beyond[1], alone / 2)
    start, end = -_NORMAL.inv_cdf(beyond[0] / total), -_NORMAL.inv_cdf(least / total)
    rise = math.log(ends[1] / ends[0])
    if rise > math.log(beyond[0] / least) / _LEAST_POWER:
        return [(np.array([ends[0]]), extreme, np.array([beyond[0] - beyond[1]]))]
    slope, bend = rise / (end - start), 0.0
    if before:
        nearer = -_NORMAL.inv_cdf(before[1] / total)
        if alone:  # an extreme as far out as chance may take it does not draw all the others after it
            power = math.log(before[1] / beyond[0]) / math.log(ends[0] / before[0])
            expected = math.log(beyond[0] / least) / power
            chance = ((rise - expected) * power / _SPREAD) ** 2
            rise = expected + (rise - expected) * chance / (1 + chance)
        at_start, slope = math.log(ends[0] / before[0]) / (start - nearer), rise / (end - start)
        bend = (slope - at_start) / (end - nearer)  # of the parabola through the three points
        bend = math.copysign(min(abs(bend), slope / (end - start)), bend)  # it must not turn round
    z = np.linspace(start, -_NORMAL.inv_cdf(max(beyond[1], alone) / total), _CUTS + 1)
    x = np.minimum(ends[0] * np.exp((z - start) * (slope + bend * (z - end))), ends[1])
    rank = np.clip(total * PHI(-z), max(beyond[1], alone), beyond[0])
    rank[0], rank[-1] = beyond[0], max(beyond[1], alone)
    return [(x[:-1], x[1:], -np.diff(rank)), (extreme, extreme, rank[-1:] - beyond[1])]
