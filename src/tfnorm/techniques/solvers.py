"""Numbers that have no formula: the likeliest lambda, the tails whose L-moments are those of the data.

The one law: what is solved depends on the distribution alone, a list of pieces (low, high, mass), never on how it came.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

Pieces = tuple[np.ndarray, np.ndarray, np.ndarray]

_NODES = np.array([-math.sqrt(0.6), 0.0, math.sqrt(0.6)])  # Gauss and Legendre's, exact to the fifth power
_WEIGHTS = np.array([5.0, 8.0, 5.0]) / 18.0
_LEAST, _MOST, _GRID = -8.0, 10.0, 73  # where lambda is looked for,
_REACH = 60.0  # and no further than what it makes stays below exp(60), which float32 holds


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

    def bent(bend: float) -> tuple[np.ndarray | float, np.ndarray, float, np.ndarray, float]:
        """The power of each value, what it makes of it, its size, that about the mean in units of the size, its variance."""
        bends = np.where(negative, 2 - bend, bend) if not one_sign else 2 - bend if side < 0 else bend
        y = _bent(log, bends)
        signed = np.where(negative, -y, y)
        with np.errstate(all="ignore"):
            unit = np.abs(signed).max()
            away = signed / unit - (mass * (signed / unit)).sum()
            return bends, y, float(unit), away, float((mass * away * away).sum())

    def likelihood(bend: float) -> float:
        """Of a value."""
        _, _, unit, _, variance = bent(bend)
        if not (variance > 0 and np.isfinite(unit)):
            return -math.inf
        shift = middle * (2 - bend if side < 0 else bend)
        return -0.5 * math.log(variance) - math.log(unit) - shift + (bend - 1) * base

    def rise(bend: float) -> float:
        """Its derivative."""
        bends, y, unit, away, variance = bent(bend)
        slope = _derivative(log, bends, y)  # of -y to -lambda below 0, hence of y to lambda
        with np.errstate(all="ignore"):
            covariance = float((mass * away * (slope / unit)).sum())
        sound = variance > 0 and np.isfinite(unit) and np.isfinite(covariance)
        return -covariance / variance - side * middle + base if sound else math.nan

    reach = _REACH / max(float(np.abs(log + middle).max()), 1e-300)
    grid = np.linspace(max(_LEAST, -reach), min(_MOST, reach), _GRID)
    best = int(np.argmax([likelihood(float(bend)) for bend in grid]))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, _GRID - 1)])
    return _root(rise, low, high)


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


def PHI(z: np.ndarray) -> np.ndarray:  # noqa: N802  # as it is written
    """The share of a normal distribution below z, (n,)."""
    return 0.5 * np.array([math.erfc(one) for one in (-z / math.sqrt(2)).tolist()])


def tukey_l_moments(left: float, right: float) -> np.ndarray:
    """The first four L-moments of Tukey's h-h: x = z exp(h z^2 / 2), z normal, h below 1 and of its own on either side.

    The right half gives the integral of s exp(-s^2 / 2) P(Phi(s / sqrt(1 - h))) over s > 0, by (1 - h) sqrt(2 pi); the left one
    the same with alternating signs. Headrick & Pant (2012) have it in closed form.
    """

    ours = _half(right)
    return ours + np.array([-1, 1, -1, 1]) * (ours if left == right else _half(left))


@functools.lru_cache(maxsize=256)
def _half(h: float) -> np.ndarray:
    u = PHI(_S / math.sqrt(1 - h))
    sums = np.array([(_S_WEIGHTS * polynomial(u)).sum() for polynomial in _LEGENDRE])
    return np.asarray(sums / (math.sqrt(2 * math.pi) * (1 - h)))


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
