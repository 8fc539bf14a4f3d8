"""Numbers that have no formula: the likeliest lambda, the tails whose L-moments are those of the data.

The one law: what is solved depends on the distribution alone, a list of pieces (low, high, mass), never on how it came.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from tfnorm.quantiles import Curve

Pieces = tuple[np.ndarray, np.ndarray, np.ndarray]

_NODES = np.array([-math.sqrt(0.6), 0.0, math.sqrt(0.6)])  # Gauss and Legendre's, exact to the fifth power
_WEIGHTS = np.array([5.0, 8.0, 5.0]) / 18.0
_LEAST, _MOST, _GRID = -8.0, 10.0, 73  # where lambda is looked for,
_REACH = 60.0  # and no further than what it makes stays below exp(60), which float32 holds


_CUTS = 48  # of a wide piece
_WIDE = 0.2  # the part of what lies from it on that such a piece holds
_LEAST_POWER = (
    0.25  # a tail that falls by less of the distance is none: next to nothing is known of where its values are
)
NORMAL = NormalDist()
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
    parts = [(low[kept], high[kept], mass[kept])]
    parts += [(median + a, median + b, m) for a, b, m in cut_right] + [
        (median - b, median - a, m) for a, b, m in cut_left
    ]
    low, high, mass = (np.concatenate(column) for column in zip(*parts, strict=True))
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
        if (high[first:stop] > low[first:stop]).all() and np.isfinite(high[stop - 1]):
            replaced[first:stop] = True
            nearer = starts[
                (upto[starts] >= 2 * upto[first]) & (low[starts] < low[first])
            ]  # as much again lies from there to here
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
    start, end = -NORMAL.inv_cdf(beyond[0] / total), -NORMAL.inv_cdf(least / total)
    rise = math.log(ends[1] / ends[0])
    if rise > math.log(beyond[0] / least) / _LEAST_POWER:
        return [(np.array([ends[0]]), extreme, np.array([beyond[0] - beyond[1]]))]
    slope, bend = rise / (end - start), 0.0
    if before:
        nearer = -NORMAL.inv_cdf(before[1] / total)
        if alone:  # an extreme as far out as chance may take it does not draw all the others after it
            power = math.log(before[1] / beyond[0]) / math.log(ends[0] / before[0])
            expected = math.log(beyond[0] / least) / power
            chance = ((rise - expected) * power / _SPREAD) ** 2
            rise = expected + (rise - expected) * chance / (1 + chance)
        at_start, slope = math.log(ends[0] / before[0]) / (start - nearer), rise / (end - start)
        bend = (slope - at_start) / (end - nearer)  # of the parabola through the three points
        bend = math.copysign(min(abs(bend), slope / (end - start)), bend)  # it must not turn round
    z = np.linspace(start, -NORMAL.inv_cdf(max(beyond[1], alone) / total), _CUTS + 1)
    x = np.minimum(ends[0] * np.exp((z - start) * (slope + bend * (z - end))), ends[1])
    rank = np.clip(total * _PHI(-z), max(beyond[1], alone), beyond[0])
    rank[0], rank[-1] = beyond[0], max(beyond[1], alone)
    return [(x[:-1], x[1:], -np.diff(rank)), (extreme, extreme, rank[-1:] - beyond[1])]


def points(pieces: Pieces) -> tuple[np.ndarray, np.ndarray]:
    """(x, mass) by which sums over the pieces are taken: three a piece, one where it has no width."""
    low, high, mass = pieces
    wide = high > low
    middle, half = low[wide] / 2 + high[wide] / 2, high[wide] / 2 - low[wide] / 2
    x = np.concatenate([low[~wide], (middle[:, None] + half[:, None] * _NODES).reshape(-1)])
    return x, np.concatenate([mass[~wide], (mass[wide][:, None] * _WEIGHTS).reshape(-1)])


def _derivative(log: np.ndarray, bend: np.ndarray | float, bent: np.ndarray) -> np.ndarray:
    """d/db of (exp(b log) - 1) / b."""
    product = np.asarray(bend * log)
    small = np.abs(product) < 1e-3
    series = log * log * (0.5 + product * (1 / 3 + product * (1 / 8 + product / 30)))
    with np.errstate(all="ignore"):
        direct = (log * np.exp(product) - bent) / bend
    return np.where(small, series, direct)


def _bent(log: np.ndarray, bend: np.ndarray | float) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.where(bend == 0, log, np.expm1(bend * log) / np.where(bend == 0, 1.0, bend))


def likeliest_bend(pieces: Pieces, *, both_signs: bool) -> float:
    """The lambda under which the Yeo-Johnson (`both_signs`) or Box-Cox transform is likeliest to be normal.

    1 where nothing varies. Maximizes -n/2 log(variance of the transformed) + (lambda - 1) sum(log of the slope's base), Box & Cox
    (1964), Yeo & Johnson (2000): a grid first, then the root of the derivative.
    """
    x, mass = points(pieces)
    if len(x) == 0 or x.min() == x.max():
        return 1.0
    log = np.log1p(np.abs(x)) if both_signs else np.log(x)
    negative = x < 0 if both_signs else np.zeros(len(x), bool)
    mass = mass / mass.sum()
    base = float((mass * np.where(negative, -log, log)).sum())
    # of numbers of one sign the logs' middle can be taken off, without which an offset would drown what varies
    one_sign = negative.all() or not negative.any()
    middle = float((mass * log).sum()) if one_sign else 0.0
    side = -1.0 if negative.all() else 1.0
    log = log - middle

    def at(bend: float) -> tuple[float, float]:
        """Likelihood and its derivative, both a value."""
        bends = np.where(negative, 2 - bend, bend)
        y = _bent(log, bends)
        slope = _derivative(log, bends, y)  # of -y to -lambda below 0, hence of y to lambda
        y = np.where(negative, -y, y)
        with np.errstate(all="ignore"):
            unit = np.abs(y).max()
            away = y / unit - (mass * (y / unit)).sum()
            variance = float((mass * away * away).sum())
            covariance = float((mass * away * (slope / unit)).sum())
        if not (variance > 0 and np.isfinite(unit) and np.isfinite(covariance)):
            return -math.inf, math.nan
        shift = middle * (2 - bend if side < 0 else bend)
        likelihood = -0.5 * math.log(variance) - math.log(unit) - shift + (bend - 1) * base
        return likelihood, -covariance / variance - side * middle + base

    reach = _REACH / max(float(np.abs(log + middle).max()), 1e-300)
    grid = np.linspace(max(_LEAST, -reach), min(_MOST, reach), _GRID)
    best = int(np.argmax([at(float(bend))[0] for bend in grid]))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, _GRID - 1)])
    return _root(lambda bend: at(bend)[1], low, high)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses 0, by bisection and secants (Illinois); an end where it does not."""
    f_low, f_high = function(low), function(high)
    if not f_low > 0 > f_high:
        return low if not f_low > 0 else high
    side = 0
    for _ in range(200):
        middle = (low * f_high - high * f_low) / (f_high - f_low)
        if not low < middle < high:
            middle = low / 2 + high / 2
        f = function(middle)
        if f > 0:
            low, f_low, f_high, side = middle, f, f_high / 2 if side == 1 else f_high, 1
        elif f < 0:
            high, f_high, f_low, side = middle, f, f_low / 2 if side == -1 else f_low, -1
        else:
            return middle
        if high - low <= 4e-16 * max(1.0, abs(middle)):
            break
    return low / 2 + high / 2


def l_moments(pieces: Pieces) -> np.ndarray:
    """The first four L-moments, Hosking (1990), of a distribution whose quantile function is a straight line over each piece."""
    low, high, mass = pieces
    upto = np.cumsum(mass)
    total = upto[-1]
    before, width = np.concatenate([[0.0], upto[:-1]]) / total, mass / total
    u = before[:, None] + width[:, None] * (_NODES + 1) / 2
    value = low[:, None] + (high - low)[:, None] * (_NODES + 1) / 2
    weight = width[:, None] * _WEIGHTS
    return np.array([(weight * value * polynomial(u)).sum() for polynomial in _LEGENDRE])


_LEGENDRE: tuple[Callable[[np.ndarray], np.ndarray], ...] = (  # shifted to [0, 1]
    np.ones_like,
    lambda u: 2 * u - 1,
    lambda u: 6 * u * u - 6 * u + 1,
    lambda u: 20 * u**3 - 30 * u * u + 12 * u - 1,
)
_S, _S_WEIGHTS = np.polynomial.legendre.leggauss(80)
_S, _S_WEIGHTS = 6.0 * (_S + 1), 6.0 * _S_WEIGHTS * 6.0 * (_S + 1) * np.exp(-0.5 * (6.0 * (_S + 1)) ** 2)
_PHI = np.vectorize(lambda z: 0.5 * math.erfc(-z / math.sqrt(2)))


def tukey_l_moments(left: float, right: float) -> np.ndarray:
    """The first four L-moments of Tukey's h-h: x = z exp(h z^2 / 2), z normal, h below 1 and of its own on either side.

    The right half gives the integral of s exp(-s^2 / 2) P(Phi(s / sqrt(1 - h))) over s > 0, by (1 - h) sqrt(2 pi); the left one
    the same with alternating signs. Headrick & Pant (2012) have it in closed form.
    """

    def half(h: float) -> np.ndarray:
        u = _PHI(_S / math.sqrt(1 - h))
        return np.array([(_S_WEIGHTS * polynomial(u)).sum() for polynomial in _LEGENDRE]) / (
            math.sqrt(2 * math.pi) * (1 - h)
        )

    return half(right) + np.array([-1, 1, -1, 1]) * half(left)


NORMAL_L_KURTOSIS = 30 / math.pi * math.atan(math.sqrt(2)) - 9
_HEAVIEST = 0.95


def tukey_tails(skewness: float, kurtosis: float) -> tuple[float, float]:
    """The (left, right) tails whose L-skewness and L-kurtosis these are, or the nearest from 0 to 0.95; (0, 0) where the data
    have no long tails."""
    if not kurtosis > NORMAL_L_KURTOSIS:
        return 0.0, 0.0

    def ratios(left: float, right: float) -> tuple[float, float]:
        moments = tukey_l_moments(left, right)
        return float(moments[2] / moments[1]), float(moments[3] / moments[1])

    def heavy(share: float) -> float:
        """How heavy the heavier tail must be for the kurtosis, where the lighter one has this share of it."""
        return _root(lambda h: kurtosis - ratios(share * h, h)[1], 0.0, _HEAVIEST)

    def lopsided(share: float) -> float:
        h = heavy(share)
        return ratios(share * h, h)[0] - abs(skewness)

    share = _root(lopsided, 0.0, 1.0)  # 1 makes both sides alike, and no skewness
    h = heavy(share)
    return (share * h, h) if skewness >= 0 else (h, share * h)
