"""Statistics of values that are there many times.

The one law: they are those of the rows themselves; counts, extremes and quantiles' counts to the bit, moments to the rounding of
float64. Each value is measured once, and weighs as often as it was there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources.counted import Counted
from tfnorm.statistics import Count, Statistic, prepare


def measure(
    values: np.ndarray, rows: Counted, kinds: Sequence[type[Statistic]], features: int
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
