"""Statistics per key: one statistic with a feature for every key, beside the sorted keys.

The one law: grouped statistics add up over the union of their keys, and a key's are those of its rows alone:
`Grouped.of(a ++ b) == Grouped.of(a) + Grouped.of(b)`, as far as the statistic itself adds up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from tfnorm.covariance import Covariance, excess
from tfnorm.errors import ChoiceError, DataError
from tfnorm.keys import Keys
from tfnorm.lazy import lazy
from tfnorm.quantiles import Quantiles
from tfnorm.statistics import Block, Count, Extremes, Moments, Statistic, in_two_parts, prepare

MAX_KEY_CELLS = 1024  # of the sketch of one key while rows come
KEY_RESOLUTION, KEY_EXACT = 400.0, 512  # what a key's sketch keeps when the pass is over
_REST_RESOLUTION, _REST_EXACT = 400.0, 512  # of the distribution of all rows, where it is added to that of each key


@dataclass(frozen=True)
class Partition:
    """Rows by key."""

    keys: Keys
    groups: np.ndarray  # (rows,) int64, which key each row has

    @classmethod
    def of(cls, arrays: Mapping[str, Any], place: str = "", first_row: int = 0) -> Partition:
        """By one array of keys a key column; `place` and `first_row` are for errors."""
        return cls(*Keys.of(arrays, place, first_row))

    @lazy
    def by_group(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each key's rows begin in the second array, (keys + 1,), and the rows, key after key, (rows,)."""
        from tfnorm.kernels import groups

        starts, order = np.empty(len(self.keys) + 1, np.int64), np.empty(len(self.groups), np.int32)
        groups.rows_by_group(self.groups, starts, order)
        return starts, order

    def repeated(self, times: int) -> Partition:
        """For rows each of which holds several values of a feature."""
        return self if times == 1 else Partition(self.keys, np.repeat(self.groups, times))

    def of_rows(self, rows: np.ndarray) -> Partition:
        """Of some of the rows; all keys stay."""
        return Partition(self.keys, self.groups[rows])

    def count(self, rows: np.ndarray) -> np.ndarray:
        """How many of some rows, given as (rows, features) bool, each key has, (features * keys,) int64."""
        found = [np.bincount(self.groups[column], minlength=len(self.keys)) for column in rows.T]
        return np.concatenate(found).astype(np.int64) if found else np.empty(0, np.int64)


@dataclass(frozen=True)
class Grouped:
    """For every key the statistics of its rows."""

    keys: Keys
    features: tuple[int, ...]  # of the rows, a number a statistic
    statistics: tuple[Statistic, ...]
    # one of each kind, features * keys wide: all keys of a feature side by side; of covariances, all keys of a column

    @classmethod
    def of(
        cls,
        by: Mapping[str, Any],
        rows: np.ndarray,
        kinds: Sequence[type[Statistic]] = (Count, Extremes, Moments),
        weight: np.ndarray | None = None,
    ) -> Grouped:
        """Of rows (n, features) whose keys are in the arrays (n,) of `by`.

        >>> grouped = Grouped.of({"store": np.array(["a", "b", "a"])}, np.array([[1.0], [5.0], [3.0]]))
        >>> list(grouped.keys), grouped.get(Moments).mean
        ([('a',), ('b',)], array([2., 5.]))
        """
        partition = Partition.of(by)
        return cls(partition.keys, (rows.shape[1],) * len(kinds), of_partition(kinds, partition, rows, weight))

    @classmethod
    def nothing(cls, names: Sequence[str], features: Mapping[type[Statistic], int]) -> Grouped:
        """The statistics of no rows."""
        return cls(Keys.nothing(names), tuple(features.values()), tuple(map(_of_no_key, features)))

    def get(self, kind: type[Statistic]) -> Any:
        """The statistic of one kind, features * keys wide; None where it was not gathered."""
        return next((statistic for statistic in self.statistics if type(statistic) is kind), None)

    def take(self, kind: type[Statistic], start: int, stop: int) -> Statistic:
        """The statistic of one kind for the features from `start` up to `stop`, (stop - start) * keys wide."""
        return self.get(kind).take(start * len(self.keys), stop * len(self.keys))

    def __add__(self, other: Grouped) -> Grouped:
        if not len(self.keys) or not len(other.keys):
            return self if len(self.keys) else other
        keys, mine, theirs = self.keys.united(other.keys)
        pairs = zip(self.statistics, other.statistics, strict=True)
        added = (_added(_spread(one, mine, len(keys)), _spread(two, theirs, len(keys))) for one, two in pairs)
        return Grouped(keys, self.features, tuple(added))

    def coarsened(self) -> Grouped:
        """What a profile keeps when the pass is over: sketches with fewer cells."""
        final = (
            one.coarsened(KEY_RESOLUTION, KEY_EXACT) if isinstance(one, Quantiles) else one for one in self.statistics
        )
        return dataclasses.replace(self, statistics=tuple(final))

    def flaw(self) -> str:
        """Why no rows can have given this; empty where some can. Asked of what a file says."""
        if flaw := self.keys.flaw():
            return flaw
        if len(self.features) != len(self.statistics) or len({type(one) for one in self.statistics}) < len(
            self.statistics
        ):
            return "a kind of statistic is there twice, or its features are not"
        for features, statistic in zip(self.features, self.statistics, strict=True):
            if statistic.features != features * len(self.keys):
                return f"{type(statistic).__name__} has another number of features than its keys and columns"
            if flaw := statistic.flaw():
                return f"{type(statistic).__name__}: {flaw}"
            if isinstance(statistic, Covariance) and statistic.sizes != _sizes_by_key(statistic.sizes, len(self.keys)):
                return "Covariance: its blocks are not those of its keys"
        return ""


def _of_no_key(kind: type[Statistic]) -> Statistic:
    return kind.nothing(1).take(0, 0)


def _sizes_by_key(sizes: Sequence[int], number: int) -> tuple[int, ...]:
    """The blocks of covariances of columns, each as wide as the first of its keys: the same as often as there are keys."""
    return tuple(size for size in sizes[::number] for _ in range(number)) if number else ()


def _picked(statistic: Statistic, places: np.ndarray) -> Any:
    """What is at these places: features, or blocks of features that are told of together."""
    return statistic.pick_blocks(places) if isinstance(statistic, Covariance) else statistic.pick(places)


def _columns(statistic: Statistic, number: int) -> int:
    """How many things of so many keys each there are to be picked."""
    return (len(statistic.sizes) if isinstance(statistic, Covariance) else statistic.features) // max(1, number)


def _spread(statistic: Statistic, places: np.ndarray, number: int) -> Statistic:
    """The statistic of keys for `number` keys, among which they have these places; the others have no rows."""
    if len(places) == number:
        return statistic
    kind, columns = type(statistic), _columns(statistic, len(places))
    nothing = [kind.nothing(1)]
    at = np.full((columns, number), columns * len(places))  # of no rows
    if isinstance(statistic, Covariance):
        sizes = statistic.sizes[:: len(places)]
        _refuse_many(sizes, number)
        nothing = [kind.nothing(size) for size in sizes]
        at += np.arange(columns)[:, None]
    at[:, places] = np.arange(columns * len(places)).reshape(columns, -1)
    return _picked(kind.join([statistic, *nothing]), at.reshape(-1))


def _refuse_many(sizes: Sequence[int], number: int) -> None:
    if too_many := next((flaw for size in sizes if (flaw := excess(size, number))), ""):
        raise DataError(too_many)


def _added(one: Statistic, two: Statistic) -> Statistic:
    return one.union(two, MAX_KEY_CELLS) if isinstance(one, Quantiles) and isinstance(two, Quantiles) else one + two


def pooled(statistic: Statistic, features: int) -> Statistic:
    """The statistic of all keys together, `features` wide: the sum over the keys, half of them at a time."""
    number = statistic.features // max(1, features)
    if number == 0:
        return type(statistic).nothing(features)
    columns = _columns(statistic, number)
    while number > 1:
        at = np.arange(columns * number).reshape(columns, number)
        half = number // 2
        summed = _picked(statistic, at[:, :half].reshape(-1)) + _picked(statistic, at[:, half : 2 * half].reshape(-1))
        rest = at[:, 2 * half :]
        together = np.concatenate(
            [
                np.arange(columns * half).reshape(columns, half),
                columns * half + np.arange(rest.size).reshape(columns, -1),
            ],
            axis=1,
        )
        statistic = type(statistic).join([summed, _picked(statistic, rest.reshape(-1))])
        statistic = _picked(statistic, together.reshape(-1))
        number = half + number % 2
    return statistic


def of_partition(
    kinds: Sequence[type[Statistic]], partition: Partition, rows: np.ndarray, weight: np.ndarray | None = None
) -> tuple[Statistic, ...]:
    """The statistics of each kind, features * keys wide, of rows (n, features) of any number type, masked where null."""
    features, null = rows.shape[1], np.zeros(rows.shape[1] * len(partition.keys), np.int64)
    if isinstance(rows, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(rows)
        null = partition.count(mask)
        if features == 1:  # more are NaN from here on
            valid = ~mask[:, 0]
            partition, weight = partition.of_rows(valid), None if weight is None else np.asarray(weight)[valid]
            rows = np.asarray(rows.data)[valid]
    groups = _Groups(partition, prepare(rows, weight), null)
    return tuple(groups.statistic(kind) for kind in kinds)


@dataclass(frozen=True)
class _Groups:
    """Rows made ready for the kernels, and whose they are."""

    partition: Partition
    block: Block
    null: np.ndarray  # (features * keys,) int64 how many were null

    def statistic(self, kind: type[Statistic]) -> Statistic:
        fast: dict[type[Statistic], Any] = {Count: self._count, Extremes: self._extremes, Moments: self._moments}
        fast |= {Quantiles: self._quantiles, Covariance: self._covariance}
        return fast[kind]() if kind in fast else self._one_by_one(kind)

    @lazy
    def _measured(self) -> tuple[np.ndarray, np.ndarray]:
        """The kernel's sums and counts: one pass, whichever statistics ask."""
        from tfnorm.kernels import groups

        starts, order = self.partition.by_group
        width = self.block.features * len(self.partition.keys)
        sums, counts = np.zeros((10, width)), np.zeros((5, width), np.int64)
        block = self.block
        groups.measure_groups(block.flat, block.features, block.weight, order, starts, block.whole, sums, counts)
        return sums, counts

    def _count(self) -> Count:
        finite, nan, positive, negative, zero = self._measured[1]
        if self.block.integers is not None:  # what is zero after taking off the base is not zero
            zero = self.partition.count(np.ma.filled(self.block.integers == 0, False))
        return Count(finite, nan - self.null if self.block.nan_is_null else nan, self.null, positive, negative, zero)

    def _extremes(self) -> Extremes:
        from tfnorm.kernels import moments

        sums, _ = self._measured
        zero = np.zeros(sums.shape[1])
        found = Extremes(sums[moments.MINIMUM], zero, sums[moments.MAXIMUM], zero)
        if self.block.integers is None:
            return found
        number = len(self.partition.keys)
        low, high = (np.zeros(len(zero)), np.zeros(len(zero))), (np.zeros(len(zero)), np.zeros(len(zero)))
        low[0][:], high[0][:] = np.inf, -np.inf
        _, order = self.partition.by_group
        for feature in range(self.block.features):
            column = self.block.integers[:, feature]
            keep = ~np.ma.getmaskarray(column)[order]
            if len(self.block.weight):
                keep &= self.block.weight[order] > 0
            kept = order[keep]
            owners, first = np.unique(self.partition.groups[kept], return_index=True)
            at, values = feature * number + owners, np.ma.getdata(column)[kept]
            if len(kept):
                low[0][at], low[1][at] = in_two_parts(np.minimum.reduceat(values, first))
                high[0][at], high[1][at] = in_two_parts(np.maximum.reduceat(values, first))
        return Extremes(*low, *high)

    def _moments(self) -> Moments:
        sums, _ = self._measured
        if self.block.base is None:
            return Moments.of_sums(sums, None)
        base = np.repeat(self.block.base, len(self.partition.keys))
        return Moments.of_sums(sums, np.where(sums[0] > 0, base, 0).astype(base.dtype))

    def _quantiles(self) -> Quantiles:
        from tfnorm.kernels import groups

        block, flat = self.block, self.block.flat
        if block.integers is not None:
            flat = np.ma.filled(block.integers.astype(np.float64), np.nan).reshape(-1)
        starts, order = self.partition.by_group
        ends = np.empty(block.features * len(self.partition.keys), np.int64)
        values, totals = np.empty(len(flat)), np.empty(len(flat))
        used = groups.values_of_groups(flat, block.features, block.weight, order, starts, ends, values, totals)
        return Quantiles.of_values(ends, values[:used].copy(), totals[:used].copy())

    def _covariance(self) -> Covariance:
        starts, order = self.partition.by_group
        found = Covariance.of_groups(self.block, order, starts)
        if self.block.features == 1:  # nulls of a single feature lie in no row of the block
            found = dataclasses.replace(found, left_out=found.left_out + self.null)
        return found

    def _one_by_one(self, kind: type[Statistic]) -> Statistic:
        """For statistics without a kernel that knows of keys."""
        number, features = len(self.partition.keys), self.block.features
        if not number:
            return _of_no_key(kind)
        starts, order = self.partition.by_group
        rows = self.block.flat.reshape(-1, features) if self.block.integers is None else self.block.integers
        found = []
        for start, stop in pairwise(starts):
            own = order[start:stop]
            found.append(kind.of(rows[own], self.block.weight[own] if len(self.block.weight) else None))
        return kind.join(found).pick(np.arange(number * features).reshape(number, features).T.reshape(-1))


def with_rest(
    grouped: Mapping[type[Statistic], Statistic],
    rest: Mapping[type[Statistic], Statistic],
    kinds: Sequence[type[Statistic]],
    shrink: float | None,
) -> dict[type[Statistic], Statistic]:
    """For each kind the statistic of every key and, as one key more, of all rows, features * (keys + 1) wide.

    shrink: so many rows that lie as all rows do are added to each key's, `S_key + (shrink / n) * S_all`. Extremes do not
    scale: those of a key are drawn to those of all rows by shrink / (n_key + shrink) of the way; for techniques that read
    quantiles, whose pseudo-rows lie anywhere, they are those of all rows.
    """
    found: dict[type[Statistic], Statistic] = {}
    for kind in kinds:
        own, whole = grouped[kind], rest[kind]
        if shrink:
            own = _shrunk(own, whole, grouped, shrink, mixed=Quantiles in kinds)
        number = own.features // whole.features
        columns = _columns(whole, 1)
        at = np.concatenate(
            [np.arange(columns * number).reshape(columns, number), columns * number + np.arange(columns)[:, None]],
            axis=1,
        )
        found[kind] = _picked(kind.join([own, whole]), at.reshape(-1))
    return found


def _shrunk(
    own: Statistic,
    whole: Statistic,
    grouped: Mapping[type[Statistic], Statistic],
    shrink: float,
    *,
    mixed: bool,
) -> Statistic:
    number = own.features // whole.features
    again = np.repeat(np.arange(whole.features), number)
    if isinstance(own, Count):
        return own
    if isinstance(own, Covariance) and isinstance(whole, Covariance):  # of one column, or of several that share
        return own + _to_rows(whole, shrink).pick_blocks(np.zeros(number, np.int64))
    if isinstance(own, Moments) and isinstance(whole, Moments):
        return own + Moments.join([_to_rows(whole.take(j, j + 1), shrink) for j in range(whole.features)]).pick(again)
    if isinstance(own, Quantiles) and isinstance(whole, Quantiles):
        coarse = whole.coarsened(_REST_RESOLUTION, _REST_EXACT)
        pseudo = Quantiles.join([_to_rows(coarse.take(j, j + 1), shrink) for j in range(whole.features)])
        return own.union(pseudo.pick(again), 1 << 30)
    if isinstance(own, Extremes) and isinstance(whole, Extremes):
        if mixed:
            return own + whole.pick(again)
        count = grouped[Count]
        assert isinstance(count, Count)
        return _drawn(own, whole.pick(again), shrink / (count.finite + shrink))
    raise ChoiceError(f"shrink: {type(own).__name__.lower()} cannot be drawn to those of all rows. Leave shrink out.")


def _to_rows(statistic: Any, number: float) -> Any:
    """The statistic of one feature, or of one block of them, as that of so many rows."""
    total = float(statistic.counts.sum() if isinstance(statistic, Quantiles) else statistic.weight[0])
    return statistic.scaled(number / total) if total > 0 else statistic


def _drawn(own: Extremes, whole: Extremes, part: np.ndarray) -> Extremes:
    """Extremes moved by a part of the way to others; those of no value are the others."""
    empty = own.minimum > own.maximum
    part = np.where(empty, 1.0, part)

    def moved(
        value: np.ndarray, low: np.ndarray, goal: np.ndarray, goal_low: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(all="ignore"):
            step = (goal * part - value * part) + (goal_low - low) * part  # 0 where they are equal: nothing moves
            new = value + step
            back = new - value
            new_low = low + ((value - (new - back)) + (step - back))
        return np.where(empty, goal, new), np.where(empty, goal_low, new_low)

    return Extremes(
        *moved(own.minimum, own.minimum_low, whole.minimum, whole.minimum_low),
        *moved(own.maximum, own.maximum_low, whole.maximum, whole.maximum_low),
    )
