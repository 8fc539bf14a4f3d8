"""Statistics of values that are there many times.

The one law: they are those of the rows themselves; counts, extremes and quantiles' counts to the bit, moments to the rounding of
float64. Each value is measured once, and weighs as often as it was there; moments of bytes are those of exact sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources.counted import MIDDLE, Counted, Summed
from tfnorm.statistics import Count, Extremes, Moments, Statistic, prepare

SUMMED = frozenset({Count, Extremes, Moments})
"""What sums tell of bytes."""

EXPONENT = 8  # of the unit of the moments of bytes, which are below 2**8


def measure(
    values: np.ndarray, rows: Counted | Summed, kinds: Sequence[type[Statistic]], features: int
) -> dict[type[Statistic], Any]:
    """The statistics of rows whose values are now `values` (values, features); `features` is 1 for one number over all.

    >>> from tfnorm.statistics import Moments
    >>> rows = Counted.of_integers(1, np.array([[1], [0], [3]]), np.uint8)
    >>> measure(rows.values, rows, [Moments], 1)[Moments].mean
    array([1.5])
    """
    for kind in kinds:
        if kind.joint:
            raise DataError(
                f"{kind.__name__.lower()} of images cannot be gathered: it is of channels together, and each is counted alone. "
                "Read the images as arrays, and pass these."
            )
    if isinstance(rows, Summed):
        return _of_sums(rows if features > 1 else rows.together(), kinds)
    found = {}
    if values.dtype == np.uint8:
        sums = rows.summed()
        found = _of_sums(sums if features > 1 else sums.together(), [kind for kind in kinds if kind in SUMMED])
    counted = [kind for kind in kinds if kind not in found]
    return {**found, **_of_counts(values, rows, counted, features)} if counted else found


def _of_sums(rows: Summed, kinds: Sequence[type[Statistic]]) -> dict[type[Statistic], Any]:
    """Of whole numbers: nothing is rounded before the last step."""
    number, zero, none = rows.number, np.zeros(len(rows.number)), np.zeros(len(rows.number), np.int64)
    low, high = (np.where(number > 0, rows.values[i], end) for i, end in enumerate((np.inf, -np.inf)))
    found: dict[type[Statistic], Any] = {}
    for kind in kinds:
        if kind is Count:
            found[kind] = Count(number, none, none, none, none, rows.zeros)
        elif kind is Extremes:
            found[kind] = Extremes(low, zero, high, zero)
        else:
            central = [_central(int(n), *map(int, powers)) for n, powers in zip(number, rows.powers.T, strict=True)]
            found[kind] = Moments(*np.array(central, np.float64).reshape(-1, 7).T)
    return found


def _central(n: int, s1: int, s2: int, s3: int, s4: int) -> tuple[float, ...]:
    """The fields of `Moments`, from the sums of powers about MIDDLE: about the mean s1 / n instead."""
    if n == 0:
        return (0.0,) * 7
    exact = Fraction(MIDDLE * n + s1, n)
    mean = float(exact)
    m2 = Fraction(n * s2 - s1**2, n)
    m3 = Fraction(n**2 * s3 - 3 * n * s1 * s2 + 2 * s1**3, n**2)
    m4 = Fraction(n**3 * s4 - 4 * n**2 * s1 * s3 + 6 * n * s1**2 * s2 - 3 * s1**4, n**3)
    units = (float(m / 2 ** (EXPONENT * power)) for power, m in ((2, m2), (3, m3), (4, m4)))
    return (float(n), mean, float(exact - Fraction(mean)), float(EXPONENT), *units)


def _of_counts(
    values: np.ndarray, rows: Counted, kinds: Sequence[type[Statistic]], features: int
) -> dict[type[Statistic], Any]:
    number = values.shape[1]
    columns = [values] if features == 1 else [values[:, j : j + 1] for j in range(number)]
    weights = [rows.counts] if features == 1 else [rows.counts[:, j : j + 1] for j in range(number)]
    found = [_of_one(*pair, kinds) for pair in zip(columns, weights, strict=True)]
    return {kind: kind.join([one[kind] for one in found]) for kind in kinds}


def _of_one(values: np.ndarray, counts: np.ndarray, kinds: Sequence[type[Statistic]]) -> dict[type[Statistic], Any]:
    """The statistics of one feature."""
    there = counts.ravel() > 0
    value, count = np.ma.getdata(values).ravel()[there], counts.ravel()[there]
    block = prepare(value[:, None], count.astype(np.float64))
    return {kind: _count(value, count) if kind is Count else kind.of_block(block) for kind in kinds}


def _count(value: np.ndarray, count: np.ndarray) -> Count:
    null = np.zeros(len(value), bool)
    marks = (np.isfinite(value), np.isnan(value), null, value == np.inf, value == -np.inf, value == 0)
    return Count(*(np.array([count[mark].sum()], np.int64) for mark in marks))
