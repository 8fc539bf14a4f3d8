"""Statistics of tensors, by `keras.ops` alone: what a layer gathers in a graph.

The one law: they add up as those of `tfnorm.statistics` do, and to the same numbers.

Values are (rows, several a row, features) in float64. Moments are merged by Chan, Golub & LeVeque (1983) and Pébay (2008), as
`kernels.moments` does for NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from tfnorm.fading import FAINTEST, WINDOW, Fading
from tfnorm.statistics import Moments

Tensor = Any


def counts_of(x: Tensor, there: Tensor) -> Tensor:
    """(6, features) int64 in the order of Count's fields; `there` (rows, several, 1) or as x: what is no padding."""
    nothing = ops.zeros_like(x, dtype="bool")
    positive = ops.isinf(x) & (x > 0)
    kinds = [ops.isfinite(x), ops.isnan(x), nothing, positive, ops.isinf(x) & (x < 0), ops.equal(x, 0)]
    return ops.stack([ops.sum(ops.cast(kind & there, "int64"), axis=(0, 1)) for kind in kinds])


def moments_of(x: Tensor, weight: Tensor) -> Tensor:
    """(5, features): weight, mean and the second to fourth sum about it; where the weight is 0, x must be 0."""
    total = ops.sum(weight, axis=(0, 1))
    divisor = ops.where(total > 0, total, ops.ones_like(total))
    mean = ops.sum(x * weight, axis=(0, 1)) / divisor
    rest = ops.sum((x - mean) * weight, axis=(0, 1)) / divisor  # what the rounding of long sums left
    mean = mean + rest
    away = x - mean
    square = away * away
    powers = [ops.sum(power * weight, axis=(0, 1)) for power in (square, square * away, square * square)]
    return ops.stack([total, mean, *powers])


def merged(a: Tensor, b: Tensor) -> Tensor:
    """The moments of both; either may be of nothing."""
    n_a, mean_a, m2_a, m3_a, m4_a = ops.unstack(a, 5)
    n_b, mean_b, m2_b, m3_b, m4_b = ops.unstack(b, 5)
    n = n_a + n_b
    divisor = ops.where(n > 0, n, ops.ones_like(n))
    part_a, part_b = n_a / divisor, n_b / divisor
    delta = ops.where((n_a > 0) & (n_b > 0), mean_b - mean_a, ops.zeros_like(n))
    square, between = delta * delta, n_a * part_b
    mean = ops.where(n_a > 0, mean_a + delta * part_b, mean_b)
    m2 = m2_a + m2_b + square * between
    m3 = m3_a + m3_b + square * delta * between * (part_a - part_b) + 3.0 * delta * (part_a * m2_b - part_b * m2_a)
    m4 = (
        m4_a
        + m4_b
        + square * square * between * (part_a * part_a - part_a * part_b + part_b * part_b)
        + 6.0 * square * (part_b * part_b * m2_a + part_a * part_a * m2_b)
        + 4.0 * delta * (part_a * m3_b - part_b * m3_a)
    )
    return ops.stack([n, mean, m2, m3, m4])


def faded(moments: Tensor, rows: Tensor, fading: Fading) -> Tensor:
    """The moments once so many rows came after theirs; what is faint stays, until something newer comes."""
    factor = ops.power(ops.cast(0.5, "float64"), ops.cast(rows, "float64") / fading.half_life)
    weight = moments[0]
    factor = ops.where(weight * factor < FAINTEST, ops.ones_like(weight), factor)
    return ops.stack([weight * factor, moments[1], *(moments[power] * factor for power in (2, 3, 4))])


def widest(extremes: Tensor, x: Tensor, counted: Tensor) -> Tensor:
    """(1, 2, features): minimum and maximum of all that was and of what is counted of x."""
    low = ops.min(ops.where(counted, x, ops.full_like(x, np.inf)), axis=(0, 1))
    high = ops.max(ops.where(counted, x, ops.full_like(x, -np.inf)), axis=(0, 1))
    return ops.stack([ops.minimum(extremes[0, 0], low), ops.maximum(extremes[0, 1], high)])[None]


def newest_runs(
    extremes: Tensor, newest: Tensor, x: Tensor, counted: Tensor, run_of_row: Tensor
) -> tuple[Tensor, Tensor]:
    """What `fading.Runs.and_then` gives, for the rows of several runs at once.

    extremes: (WINDOW + 1, 2, features), the oldest run first. newest: (features,), the number of the newest, -1 for none.
    run_of_row: (rows,) int64. Returns both as they are after.
    """
    low = ops.min(ops.where(counted, x, ops.full_like(x, np.inf)), axis=1)  # (rows, features)
    high = ops.max(ops.where(counted, x, ops.full_like(x, -np.inf)), axis=1)
    run = run_of_row[:, None]
    last = ops.max(ops.where(ops.any(counted, axis=1), run, ops.full_like(run, -1)), axis=0)
    after = ops.maximum(newest, last)
    places = ops.arange(WINDOW + 1, dtype="int64")[:, None]
    shift = ops.where(newest < 0, ops.zeros_like(newest), ops.minimum(after - newest, WINDOW + 1))
    source = ops.minimum(places + shift[None], WINDOW + 1)
    mine = run[None] == (after[None] - (WINDOW - places))[:, None]  # (runs, rows, features)
    ends = []
    for end, rows, none, reduce, wider in (
        (0, low, np.inf, ops.min, ops.minimum),
        (1, high, -np.inf, ops.max, ops.maximum),
    ):
        padded = ops.concatenate([extremes[:, end], ops.full_like(extremes[:1, end], none)])
        moved = ops.take_along_axis(padded, ops.cast(source, "int32"), axis=0)
        ends.append(wider(moved, reduce(ops.where(mine, rows[None], ops.full_like(rows[None], none)), axis=1)))
    return ops.stack(ends, axis=1), after


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
