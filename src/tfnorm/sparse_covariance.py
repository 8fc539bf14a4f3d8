"""The covariance of sparse rows, of all of them or by key: of what they store, without the zeros in between.

The one law: it is that of the dense rows, to the rounding of float64; its time is that of the pairs that rows store.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tfnorm.covariance import Covariance, excess
from tfnorm.errors import DataError
from tfnorm.sources.stored import Sparse
from tfnorm.statistics import check_weight, prepare

_NO_WEIGHT = np.empty(0)


def measure(rows: Sparse, absent: np.ndarray, weight: np.ndarray | None, groups: np.ndarray, number: int) -> Covariance:
    """A block for each of `number` groups, of rows that are each in one of `groups` (rows,).

    absent: (width,) what a place stands for where nothing is stored; NaN where it is missing: a row that lacks a place is left
        out, as rows with missing and infinite values are. weight: (rows,) how often each row counts.

    >>> rows = Sparse.of_coo(np.array([0, 1, 2]), np.array([1, 0, 1]), np.array([4.0, 2.0, 2.0]), (3, 2))
    >>> measure(rows, np.zeros(2), None, np.zeros(3, np.int64), 1).matrix.round(6).tolist()
    [[0.888889, -1.333333], [-1.333333, 2.666667]]
    """
    if too_many := excess(rows.width, number):
        raise DataError(too_many)
    from tfnorm.kernels import products

    if np.isnan(absent).any():
        return _of_whole_rows(rows, rows.lengths == rows.width, weight, groups, number)
    values = rows.values.astype(np.float64) - (absent[rows.places] if absent.any() else 0.0)
    odd = np.zeros(len(rows), bool)
    odd[rows.rows[~np.isfinite(values)]] = True
    weights = _NO_WEIGHT if weight is None else check_weight(weight, len(rows))
    kept = np.flatnonzero(~odd & (weights > 0) if len(weights) else ~odd)
    kept = kept[np.argsort(groups[kept], kind="stable")]
    first = np.searchsorted(groups[kept], np.arange(number + 1))
    width, pairs = rows.width, rows.width * (rows.width + 1) // 2
    found, exponent = np.empty((3, number, width)), np.empty((number, width), np.int64)
    summed = np.empty((number, pairs))
    places = rows.places.astype(np.int64, copy=False)
    products.of_groups(values, places, rows.starts, kept, first, weights, found, exponent, summed)
    total = Covariance.nothing(width).pick_blocks(np.zeros(number, np.int64))
    total = replace(
        total,
        weight=found[0].reshape(-1),
        left_out=np.repeat(np.bincount(groups[odd], minlength=number), width),
        mean=np.ldexp(found[1], exponent).reshape(-1),
        mean_low=np.ldexp(found[2], exponent).reshape(-1),
        exponent=exponent.reshape(-1),
        products=summed.reshape(-1),
    )
    return total.moved(np.tile(absent, number)) if absent.any() else total


def _of_whole_rows(
    rows: Sparse, whole: np.ndarray, weight: np.ndarray | None, groups: np.ndarray, number: int
) -> Covariance:
    """Of the rows that store every place, and are dense as they are."""
    own = groups[whole]
    dense = rows.values[np.repeat(whole, rows.lengths)].reshape(-1, rows.width)
    block = prepare(dense, None if weight is None else weight[whole])
    order = np.argsort(own, kind="stable")
    found = Covariance.of_groups(block, order, np.searchsorted(own[order], np.arange(number + 1)))
    lacking = np.bincount(groups[~whole], minlength=number)
    return replace(found, left_out=found.left_out + np.repeat(lacking, rows.width))
