"""Statistics of tensors: what a layer gathers, in a graph or not.

The one law: they add up as those of `tfnorm.statistics` do, and to the same numbers.

Each formula is in terms of `xp`: `keras.ops`, or `numpy` where the numbers are at hand, since an operation at a time is slow.
Values are (rows, several a row, features) in float64. Moments are merged by Chan, Golub & LeVeque (1983) and Pébay (2008), as
`kernels.moments` does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfnorm.fading import FAINTEST, WINDOW
from tfnorm.statistics import Moments

Tensor = Any
Namespace = Any  # numpy or keras.ops


def cast(x: Tensor, dtype: str, xp: Namespace) -> Tensor:
    return np.asarray(x).astype(dtype, copy=False) if xp is np else xp.cast(x, dtype)


def counts_of(x: Tensor, there: Tensor, xp: Namespace) -> Tensor:
    """(6, features) int64 in the order of Count's fields; `there` (rows, several, features): what is no padding."""
    infinite, nothing = xp.isinf(x), xp.zeros_like(there)
    kinds = [xp.isfinite(x), xp.isnan(x), nothing, infinite & (x > 0), infinite & (x < 0), xp.equal(x, 0)]
    return xp.sum(cast(xp.stack(kinds) & there, "int64", xp), axis=(1, 2))


def moments_of(x: Tensor, weight: Tensor, xp: Namespace) -> Tensor:
    """(5, features): weight, mean and the second to fourth sum about it; where the weight is 0, x must be 0."""
    total = xp.sum(weight, axis=(0, 1))
    divisor = xp.where(total > 0, total, xp.ones_like(total))
    mean = xp.sum(x * weight, axis=(0, 1)) / divisor
    rest = xp.sum((x - mean) * weight, axis=(0, 1)) / divisor  # what the rounding of long sums left
    mean = mean + rest
    away = x - mean
    square = away * away
    powers = [xp.sum(power * weight, axis=(0, 1)) for power in (square, square * away, square * square)]
    return xp.stack([total, mean, *powers])


def merged(a: Tensor, b: Tensor, xp: Namespace) -> Tensor:
    """The moments of both; either may be of nothing."""
    n_a, mean_a, m2_a, m3_a, m4_a = (a[i] for i in range(5))
    n_b, mean_b, m2_b, m3_b, m4_b = (b[i] for i in range(5))
    n = n_a + n_b
    divisor = xp.where(n > 0, n, xp.ones_like(n))
    part_a, part_b = n_a / divisor, n_b / divisor
    delta = xp.where((n_a > 0) & (n_b > 0), mean_b - mean_a, xp.zeros_like(n))
    square, between = delta * delta, n_a * part_b
    mean = xp.where(n_a > 0, mean_a + delta * part_b, mean_b)
    m2 = m2_a + m2_b + square * between
    m3 = m3_a + m3_b + square * delta * between * (part_a - part_b) + 3.0 * delta * (part_a * m2_b - part_b * m2_a)
    m4 = (
        m4_a
        + m4_b
        + square * square * between * (part_a * part_a - part_a * part_b + part_b * part_b)
        + 6.0 * square * (part_b * part_b * m2_a + part_a * part_a * m2_b)
        + 4.0 * delta * (part_a * m3_b - part_b * m3_a)
    )
    return xp.stack([n, mean, m2, m3, m4])


def halved(age: Tensor, half_life: float, xp: Namespace) -> Tensor:
    """The weight of what is so many rows old; never so little that it would be none."""
    return xp.maximum(xp.power(np.float64(0.5), cast(age, "float64", xp) / half_life), 2.0**-1000)


def faded(moments: Tensor, rows: Tensor, half_life: float, xp: Namespace) -> Tensor:
    """The moments once so many rows came after theirs; what is faint stays, until something newer comes."""
    factor, weight = halved(rows, half_life, xp), moments[0]
    factor = xp.where(weight * factor < FAINTEST, xp.ones_like(weight), factor)
    return xp.stack([weight * factor, moments[1], *(moments[power] * factor for power in (2, 3, 4))])


def widest(extremes: Tensor, x: Tensor, counted: Tensor, xp: Namespace) -> Tensor:
    """(1, 2, features): minimum and maximum of all that was and of what is counted of x."""
    low = xp.min(xp.where(counted, x, xp.full_like(x, np.inf)), axis=(0, 1), initial=np.inf)
    high = xp.max(xp.where(counted, x, xp.full_like(x, -np.inf)), axis=(0, 1), initial=-np.inf)
    return xp.stack([xp.minimum(extremes[0, 0], low), xp.maximum(extremes[0, 1], high)])[None]


def newest_runs(
    extremes: Tensor, newest: Tensor, x: Tensor, counted: Tensor, run_of_row: Tensor, xp: Namespace
) -> tuple[Tensor, Tensor]:
    """What `fading.Runs.and_then` gives, for the rows of several runs at once.

    extremes: (WINDOW + 1, 2, features), the oldest run first. newest: (features,), the number of the newest, -1 for none.
    run_of_row: (rows,) int64. Returns both as they are after.
    """
    low = xp.min(xp.where(counted, x, xp.full_like(x, np.inf)), axis=1, initial=np.inf)  # (rows, features)
    high = xp.max(xp.where(counted, x, xp.full_like(x, -np.inf)), axis=1, initial=-np.inf)
    run = run_of_row[:, None]
    last = xp.max(xp.where(xp.any(counted, axis=1), run, xp.full_like(run, -1)), axis=0, initial=-1)
    after = xp.maximum(newest, cast(last, "int64", xp))
    places = xp.arange(WINDOW + 1, dtype="int64")[:, None]
    shift = xp.where(newest < 0, xp.zeros_like(newest), xp.minimum(after - newest, WINDOW + 1))
    source = cast(xp.minimum(places + shift[None], WINDOW + 1), "int32", xp)
    mine = run[None] == (after[None] - (WINDOW - places))[:, None]  # (runs, rows, features)

    def end(which: int, rows: Tensor, none: float, smallest: Any, smaller: Any) -> Tensor:
        padded = xp.concatenate([extremes[:, which], xp.full_like(extremes[:1, which], none)])
        moved = xp.take_along_axis(padded, source, axis=0)
        came = xp.where(mine, rows[None], xp.full_like(rows[None], none))
        return smaller(moved, smallest(came, axis=1, initial=none))

    ends = [end(0, low, np.inf, xp.min, xp.minimum), end(1, high, -np.inf, xp.max, xp.maximum)]
    return xp.stack(ends, axis=1), after


def plain(moments: Moments) -> np.ndarray:
    """Moments without a unit of their own, (5, features)."""
    exponent = moments.exponent.astype(np.int64)
    largest = np.finfo(np.float64).max
    with np.errstate(over="ignore"):
        powers = [np.ldexp(getattr(moments, f"m{k}"), k * exponent).clip(-largest, largest) for k in (2, 3, 4)]
    return np.stack([moments.weight, moments.mean + moments.mean_low, *powers])


def with_units(moments: np.ndarray) -> Moments:
    """The way back: central sums in units of the deviation's power of two."""
    weight, mean, m2, m3, m4 = moments
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.where(m2 > 0, np.sqrt(m2 / np.where(weight > 0, weight, 1.0)), np.abs(mean))
    exponent = np.clip(np.frexp(deviation)[1], -250, 250)
    powers = [np.ldexp(power, -k * exponent) for k, power in ((2, m2), (3, m3), (4, m4))]
    return Moments(weight, mean, np.zeros_like(mean), exponent.astype(np.float64), *powers)
