"""Statistics of sparse rows: of what is stored, and of the zeros in between without making them.

The one law: they are those of the dense rows; counts and extremes to the bit, quantiles within the same bounds (and to the bit
while every value is kept), moments to the rounding of float64. It is statistics adding up: what a column stores, and what it
does not store, that many times.

Columns that store about as many values make one dense block, as long as the next power of two and filled up with what is not
stored: 1,000,000 columns cost a handful of calls, and less than twice what is stored is ever made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfnorm import sparse_covariance
from tfnorm.covariance import Covariance
from tfnorm.errors import DataError
from tfnorm.quantiles import Quantiles
from tfnorm.sources.stored import Sparse
from tfnorm.statistics import Statistic, check_weight, prepare

PIECE_VALUES = 1 << 21  # stored values that are sorted at once

Kinds = Sequence[type[Statistic]]
Statistics = dict[type[Statistic], Any]


def measure(
    rows: Sparse,
    kinds: Kinds,
    features: int,
    absent: float | np.ndarray,
    weight: np.ndarray | None = None,
    by: tuple[np.ndarray, int] | None = None,
) -> Statistics:
    """The statistics of sparse rows.

    features: their width, or 1 for one number over all.
    absent: what a place stands for where nothing is stored, one number or (features,); NaN where it is missing, and counts as
        null.
    weight: (rows,) how often each row counts.
    by: (rows,) which key each row has, and how many there are: statistics of features * keys, all keys of a feature side by side.

    >>> from tfnorm.statistics import Moments
    >>> rows = Sparse.of_coo(np.array([0, 2]), np.array([1, 1]), np.array([4.0, 2.0]), (3, 2))
    >>> measure(rows, [Moments], 2, absent=0.0)[Moments].mean
    array([0., 2.])
    """
    for kind in kinds:
        if kind is not Covariance and "repeated" not in vars(kind):
            raise DataError(f"{kind.__name__.lower()} of sparse rows cannot be gathered. Pass them dense: x.toarray().")
    if len(rows.values) > PIECE_VALUES and len(rows) > 1:
        half = len(rows) // 2
        parts = (slice(0, half), slice(half, len(rows)))
        one, two = (
            measure(
                rows[s],
                kinds,
                features,
                absent,
                None if weight is None else weight[s],
                None if by is None else (by[0][s], by[1]),
            )
            for s in parts
        )
        return {kind: one[kind] + two[kind] for kind in kinds}
    from tfnorm.kernels.columns import by_column

    absent = np.broadcast_to(np.asarray(absent, np.float64), features)
    together: Statistics = {}
    if Covariance in kinds:
        whose, number_of_groups = by or (np.zeros(len(rows), np.int64), 1)
        together[Covariance] = sparse_covariance.measure(rows, absent, weight, whose, number_of_groups)
        kinds = [kind for kind in kinds if kind is not Covariance]
    columns = rows.places if features > 1 else np.zeros(len(rows.places), np.int64)
    width = 1 if features > 1 else rows.width
    groups, keys = by or (np.zeros(len(rows), np.int64), 1)
    if by is not None:
        if not keys:
            return {kind: kind.nothing(1).take(0, 0) for kind in kinds} | together
        columns = columns * keys + groups[rows.rows]
    rows_of = np.tile(np.bincount(groups, minlength=keys), features)  # of each column
    features, absent = features * keys, np.repeat(absent, keys)
    number = np.bincount(columns, minlength=features)
    order = np.empty(len(columns), np.int64)
    by_column(columns, np.cumsum(number) - number, order)
    stored = _Columns(rows.values[order], number, None)
    places, rest_weight = rows_of * width, None
    if weight is not None:
        weights = check_weight(weight, len(rows))
        stored = _Columns(rows.values[order], number, weights[rows.rows[order]])
        of_key = (np.bincount(groups, one, minlength=keys) for one in (weights > 0, weights))
        number_of, weight_of = (np.tile(one, features // keys) * width for one in of_key)
        rest_weight = _weight_of_rest(weights[rows.rows], number_of, weight_of, columns)
    found, made = stored.blocks([kind for kind in kinds if kind is not Quantiles], places, absent)
    if Quantiles in kinds:
        found[Quantiles] = Quantiles.of_groups(stored.values, number, stored.weight)
    for kind in kinds:
        rest = places - (number if kind is Quantiles else made)
        absent_ones = kind.repeated(absent, rest, rest * 1.0 if rest_weight is None else rest_weight)
        found[kind] = absent_ones + found[kind]  # a mean near 0 keeps its digits when it grows from there
    return found | together


def _weight_of_rest(of_values: np.ndarray, number: np.ndarray, weight: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """What the places of each column weigh together where nothing is stored: of so many that weigh something, and so much."""
    features = len(number)
    # told by numbers: rounding leaves a little of a sum that is taken off another
    left = number - np.bincount(columns[of_values > 0], minlength=features)
    return np.where(left > 0, weight - np.bincount(columns, of_values, minlength=features), 0.0)


@dataclasses.dataclass(frozen=True)
class _Columns:
    """What columns store, one after the other."""

    values: np.ndarray  # (stored,)
    number: np.ndarray  # (features,) how many of each column
    weight: np.ndarray | None  # (stored,)

    def blocks(self, kinds: Kinds, places: np.ndarray, absent: np.ndarray) -> tuple[Statistics, np.ndarray]:
        """The statistics of what is stored and what fills it up to dense blocks; and of how many places a column they are."""
        made, order = np.zeros(len(self.number), np.int64), []
        parts: dict[type[Statistic], list[Any]] = {kind: [] for kind in kinds}
        for columns, length in self._alike(places) if kinds else ():
            block = prepare(*self._block(columns, length, absent))
            for kind in kinds:
                parts[kind].append(kind.of_block(block))
            made[columns] = length
            order.append(columns)
        place = np.empty(len(self.number), np.int64)
        if order:
            place[np.concatenate(order)] = np.arange(len(place))
        return {kind: _taken(kind.join(several), place) for kind, several in parts.items()}, made

    def _alike(self, places: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Columns and a length that does for all of them; with weights each alone, since those differ."""
        if self.weight is not None:
            yield from ((np.array([column]), int(number)) for column, number in enumerate(self.number))
            return
        size = np.left_shift(1, np.frexp(np.maximum(self.number - 1, 0))[1].astype(np.int64))
        lengths = np.where(self.number > 0, np.minimum(size, places), 0)
        order = np.argsort(lengths, kind="stable")
        each, first = np.unique(lengths[order], return_index=True)
        for length, columns in zip(each.tolist(), np.split(order, first[1:]), strict=True):
            at_once = max(1, PIECE_VALUES // max(1, length))
            yield from ((columns[i : i + at_once], length) for i in range(0, len(columns), at_once))

    def _block(self, columns: np.ndarray, length: int, absent: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """These columns as (length, columns), filled up where they store less; and the weights of its rows."""
        ends = np.cumsum(self.number)[columns]
        number = self.number[columns]
        first = ends - number
        if len(columns) == 1 and number[0] == length:
            span = slice(int(first[0]), int(ends[0]))
            return self.values[span, None], None if self.weight is None else self.weight[span]
        step = np.arange(length)[:, None]
        stored = step < number
        rows = self.values[np.where(stored, first + step, 0)]
        fill = absent[columns]
        if np.isnan(fill).any():
            return np.ma.MaskedArray(
                np.where(stored, rows, np.nan_to_num(fill).astype(rows.dtype)), ~stored & np.isnan(fill)
            ), None
        return np.where(stored, rows, fill.astype(rows.dtype)), None


def _taken(statistic: Any, place: np.ndarray) -> Any:
    """The features in another order."""
    fields = dataclasses.fields(statistic)
    return dataclasses.replace(statistic, **{field.name: getattr(statistic, field.name)[place] for field in fields})
