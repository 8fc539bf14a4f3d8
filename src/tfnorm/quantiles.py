"""The one sketch: quantiles of any distribution in one pass, with bounds that hold.

The one law: sketches add up, `Quantiles.of(a ++ b) == Quantiles.of(a) + Quantiles.of(b)` bit for bit where `a` ends with a
block, and in any order, until a sum has more than MAX_CELLS cells; from there on the sum is coarsened, its bounds with it.

The number line is cut into cells by the leading bits of float64, as in a q-digest (Shrivastava et al., 2004). A block of
rows keeps the widest cells that hold at most 1/800 of it each, so the rank of any number is known to that part of the
block; adding keeps that, whatever the blocks hold and in whichever order they come: no sampling, no chance, no origin.
A single value is a cell of its own when it is heavy, and in blocks of up to EXACT values every value is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfnorm.codec import packed
from tfnorm.curve import Curve, quantiles_of
from tfnorm.errors import ArtefactError
from tfnorm.statistics import Block, Statistic, prepare
from tfnorm.tallying import count, keys_of, tables_for

BLOCK_ROWS = 1 << 20  # what is done for a block besides counting takes as long for a short one
RESOLUTION = 800.0  # a block's cell of several values holds at most this part of it
EXACT = 4096  # up to as many values in a block, each is kept
MAX_CELLS = 8192
FINAL_RESOLUTION = 1400.0  # with a block's 1/800 this makes less than 0.002 in rank
GROUP = 64  # features tallied together: their tables together stay in cache
_LARGEST = np.uint64((1 << 63) | 0x7FEFFFFFFFFFFFFF)  # keys of the largest finite number and of its negative
_SMALLEST = ~_LARGEST
_ZERO = np.uint64(1 << 63)
SORTED_BELOW = 1 << 14  # rows; fewer are sorted sooner than tallied
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""The fields of a sketch."""


@dataclass(frozen=True)
class Quantiles(Statistic):
    """A distribution as cells of the number line and how many values lie in each.

    Values are float64: 64-bit integers beyond 2**53 lie in it as they are rounded, within half a step of float64 (128 at 2**60).

    >>> Quantiles.of(np.arange(1001.0)[:, None]).at(0.25)
    array([250.])
    """

    ends: np.ndarray  # (features,) int64: where each feature's cells end in the arrays below
    keys: np.ndarray = packed("uint64")  # (cells,) a cell's first value, as `kernels.cells` orders them
    levels: np.ndarray = packed("uint8")  # (cells,) it is 2**level such values wide
    counts: np.ndarray = packed("float64")  # (cells,) how many values (or what weight) it holds

    @classmethod
    def of_block(cls, block: Block) -> Quantiles:
        whole = block
        if block.integers is not None:
            values = np.ma.filled(block.integers.astype(np.float64), np.nan)
            block = prepare(values, block.weight if len(block.weight) else None)
        rows = block.flat.reshape(-1, block.features)
        total = cls.nothing(block.features)
        for start in range(0, len(rows), BLOCK_ROWS):
            stop = start + BLOCK_ROWS
            part, weight = rows[start:stop], block.weight[start:stop]
            if len(weight) or len(part) < SORTED_BELOW:
                weights = weight if len(weight) else None
                sketch = cls.join([_values(part[:, j], weights) for j in range(block.features)])
                sketch = sketch._settled(_most(sketch.total))
            elif block.features <= GROUP:
                sketch = _tallied(block, start, measure=block is whole)
            else:
                groups = (prepare(part[:, j : j + GROUP]) for j in range(0, block.features, GROUP))
                sketch = cls.join([_tallied(group, 0, measure=False) for group in groups])
            total = total + sketch
        return total

    @classmethod
    def nothing(cls, features: int) -> Quantiles:
        return cls(np.zeros(features, np.int64), np.empty(0, np.uint64), np.empty(0, np.uint8), np.empty(0))

    @classmethod
    def of_groups(cls, values: np.ndarray, number: np.ndarray, weight: np.ndarray | None = None) -> Quantiles:
        """Of features that lie one after the other, `number` (features,) values of each."""
        values = values.astype(np.float64) + 0.0  # which makes -0.0 what it is equal to
        feature = np.repeat(np.arange(len(number)), number)
        held = np.isfinite(values) if weight is None else np.isfinite(values) & (weight > 0)
        order = np.flatnonzero(held)
        order = order[np.lexsort((values[order], feature[order]))]
        values, feature = values[order], feature[order]
        first = np.append(True, (values[1:] != values[:-1]) | (feature[1:] != feature[:-1])).nonzero()[0][: len(values)]
        counts = np.ones(len(order)) if weight is None else weight[order]
        total = np.add.reduceat(counts, first) if len(first) else np.empty(0)
        ends = np.cumsum(np.bincount(feature[first], minlength=len(number)))
        return cls.of_values(ends, values[first], total)

    @classmethod
    def repeated(cls, value: np.ndarray, number: np.ndarray, weight: np.ndarray) -> Quantiles:  # noqa: ARG003
        there = (weight > 0) & np.isfinite(value)
        keys = keys_of(value[there].astype(np.float64) + 0.0)
        return cls(np.cumsum(there), keys, np.zeros(len(keys), np.uint8), weight[there].astype(np.float64))

    @property
    def features(self) -> int:
        return len(self.ends)

    def _slice(self, feature: int) -> slice:
        return slice(int(self.ends[feature - 1]) if feature else 0, int(self.ends[feature]))

    def __add__(self, other: Quantiles) -> Quantiles:
        return self.union(other, MAX_CELLS)

    def union(self, other: Quantiles, max_cells: int) -> Quantiles:
        """The cells of both; wider ones where a feature would have more than `max_cells`."""
        from tfnorm.kernels import cells

        if not len(self.keys) or not len(other.keys):
            return self if not len(other.keys) else other
        out = _room(self.features, len(self.keys) + len(other.keys))
        total = _filled(out, cells.merge(self._arrays(), other._arrays(), out))
        parts = 2 * RESOLUTION
        while ((many := np.diff(total.ends, prepend=0)) > max_cells).any():  # finer cells first
            most = np.where(many > max_cells, total.total / parts, -1.0)
            if (most >= total._of_each(np.minimum, total.counts)).any():  # below, every cell would stay as it is
                total = total._settled(most)
            parts /= 2
        return total

    def _arrays(self) -> Arrays:
        return self.ends, self.keys, self.levels, self.counts

    def _settled(self, most: np.ndarray, tables: tuple[Any, ...] | None = None) -> Quantiles:
        """The widest cells with at most `most` (features,) each, of these and of the rows of tables; where that is negative
        (and the tables are empty), these."""
        from tfnorm.kernels import cells

        none, empty = np.zeros(self.features + 1, np.int64), np.empty((self.features, 0), np.uint8)
        tables = tables or (empty, empty.view(np.uint64), none, none[:0], 0, 0, none, none)
        # room for as many as there are rows that hold something: each is in one cell, and no cell has none
        rows = int(np.count_nonzero(tables[0])) + len(tables[3])
        out = _room(self.features, len(self.keys) + rows)
        return _filled(out, cells.settle(self._arrays(), most, tables, out))

    def scaled(self, factor: float | np.ndarray) -> Quantiles:
        return Quantiles(self.ends, self.keys, self.levels, self.counts * self._each(factor))

    def without_dust(self, share: float) -> Quantiles:
        """Without the cells that hold less than that share of their feature."""
        kept = self.counts >= self._each(self.total) * share
        ends = np.concatenate([[0], np.cumsum(kept)])[self.ends]
        return Quantiles(ends, self.keys[kept], self.levels[kept], self.counts[kept])

    def _each(self, values: float | np.ndarray) -> np.ndarray:
        """A feature's value for every cell of it."""
        return np.repeat(np.broadcast_to(values, self.features), np.diff(self.ends, prepend=0))

    def _of_each(self, reduce: np.ufunc, values: np.ndarray) -> np.ndarray:
        """The cells' values reduced to one a feature, 0 where it has no cell."""
        sizes = np.diff(self.ends, prepend=0)
        found = np.zeros(self.features, values.dtype)
        held = np.flatnonzero(sizes)
        if len(held):
            found[held] = reduce.reduceat(values, (self.ends - sizes)[held])
        return found

    def take(self, start: int, stop: int) -> Quantiles:
        begin = int(self.ends[start - 1]) if start else 0
        span = slice(begin, int(self.ends[stop - 1]) if stop else 0)
        return Quantiles(self.ends[start:stop] - begin, self.keys[span], self.levels[span], self.counts[span])

    def pick(self, places: np.ndarray) -> Quantiles:
        sizes = np.diff(self.ends, prepend=0)[places]
        ends = np.cumsum(sizes)
        cells = np.arange(int(sizes.sum())) + np.repeat(self.ends[places] - ends, sizes)
        return Quantiles(ends, self.keys[cells], self.levels[cells], self.counts[cells])

    @classmethod
    def of_values(cls, ends: np.ndarray, values: np.ndarray, counts: np.ndarray) -> Quantiles:
        """From the different values of each feature, rising, and how many (or what weight) each has, (features,) `ends` telling
        where a feature's values end."""
        sketch = cls(ends, keys_of(values), np.zeros(len(values), np.uint8), counts)
        return sketch._settled(_most(sketch.total))

    @classmethod
    def join(cls, parts: Sequence[Quantiles]) -> Quantiles:
        if len(parts) == 1:
            return parts[0]
        shifts = np.cumsum([0, *(len(part.keys) for part in parts[:-1])])
        return cls(
            np.concatenate([part.ends + shift for part, shift in zip(parts, shifts, strict=True)]),
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("keys", "levels", "counts")),
        )

    def coarsened(self, resolution: float = FINAL_RESOLUTION, exact: int = EXACT) -> Quantiles:
        """With the widest cells of at most 1/resolution of a feature's values; what a profile keeps when the pass is over.

        Up to `exact` different values of a feature stay as they are, and so do cells that are hardly more than these would be.
        """
        many, wide = np.diff(self.ends, prepend=0), self._of_each(np.maximum, self.levels) > 0
        too_many = (wide & (many > 2 * resolution)) | (many > exact)
        return self._settled(np.where(too_many, self.total / resolution, -1.0)) if too_many.any() else self

    @property
    def total(self) -> np.ndarray:
        """How many values (or what weight) each feature has, (features,)."""
        return self._of_each(np.add, self.counts)

    def at(self, q: float | Sequence[float], extremes: Any = None) -> np.ndarray:
        """The q-quantile of every feature, (features,); of several q, (q, features); NaN where there is no value.

        Interpolated between order statistics as NumPy does by default (type 7), which is exact where every cell is a single
        value; within a wider cell, values are taken to lie evenly. `extremes` narrows the outermost cells.
        """
        return quantiles_of((self.curve(j, extremes) for j in range(self.features)), q)

    def curve(self, feature: int = 0, extremes: Any = None) -> Curve:
        """The cumulative distribution of one feature."""
        span = self._slice(feature)
        low, high = (
            value_of(np.maximum(self.keys[span], _SMALLEST)),
            value_of(last_key(self.keys[span], self.levels[span])),
        )
        if extremes is not None and len(low):
            low = np.clip(low, extremes.minimum[feature], extremes.maximum[feature])
            high = np.clip(high, extremes.minimum[feature], extremes.maximum[feature])
        return Curve(low, high, self.counts[span])

    def flaw(self) -> str:
        ends_rise = not len(self.ends) or (self.ends[0] >= 0 and (np.diff(self.ends) >= 0).all())
        if self.ends.dtype != np.int64 or not ends_rise or (self.ends[-1] if len(self.ends) else 0) != len(self.keys):
            return "the ends of its features do not fit its cells"
        if not len(self.keys) == len(self.levels) == len(self.counts):
            return "its fields differ in length"
        from tfnorm.kernels import cells

        found = cells.check(self._arrays())
        if found & cells.BAD_CELL:
            return "a cell has no sound level or count"
        if found & cells.BAD_ORDER:
            return "its cells are not in order"
        return "a cell does not begin where its level says" if found & cells.BAD_START else ""

    def compact(self) -> dict[str, np.ndarray]:
        """Two or three bytes a cell: see `kernels.compact`."""
        from tfnorm.kernels import compact

        room = np.empty(compact.MOST * len(self.keys) + self.features, np.uint8)
        used = compact.pack(self._arrays(), self.counts.view(np.uint64), room)
        return {"ends": self.ends, "code": room[:used]}

    @classmethod
    def of_compact(cls, arrays: Mapping[str, np.ndarray]) -> Quantiles:
        """What `compact` gave; ArtefactError where it gave no such thing."""
        from tfnorm.kernels import compact

        none = np.empty(0)
        ends, code = arrays.get("ends", none), arrays.get("code", none)
        if len(arrays) == 2 and ends.dtype == np.int64 and code.dtype == np.uint8 and ends.ndim == code.ndim == 1:
            cells = int(ends[-1]) if len(ends) else 0
            if (np.diff(ends, prepend=0) >= 0).all() and cells <= len(code) // compact.LEAST:
                room = (ends, *_room(0, cells)[1:])
                if compact.unpack(code, room, room[3].view(np.uint64)):
                    return cls(*room)
        raise ArtefactError("a sketch's bytes are not those of its cells")


def _values(column: np.ndarray, weight: np.ndarray | None = None, zeros: float = 0.0) -> Quantiles:
    """One feature's finite values, each a cell of its own, counted once or `weight` (n,) times, and so many zeros."""
    if not len(column) and not zeros:
        return Quantiles.nothing(1)
    keep = np.isfinite(column) if weight is None else np.isfinite(column) & (weight > 0)
    values = column[keep].astype(np.float64) + 0.0  # which makes -0.0 what it is equal to
    counts = None if weight is None else weight[keep]
    if counts is None:
        values.sort()
    else:
        order = np.argsort(values, kind="stable")
        values, counts = values[order], counts[order]
    first = np.flatnonzero(np.append(True, values[1:] != values[:-1])) if len(values) else np.empty(0, np.int64)
    total = np.diff(first, append=len(values)) if counts is None or not len(values) else np.add.reduceat(counts, first)
    values = values[first]
    if zeros:
        at = np.searchsorted(values, 0.0)
        values, total = np.insert(values, at, 0.0), np.insert(total, at, zeros)
    size = len(values)
    return Quantiles(np.array([size]), keys_of(values), np.zeros(size, np.uint8), total.astype(np.float64))


def _most(total: np.ndarray) -> np.ndarray:
    """How many values of a block's `total` (features,) a cell may hold; below 0 where every value is kept."""
    return np.where(total <= EXACT, -1.0, total / RESOLUTION)


def _tallied(block: Block, start: int, *, measure: bool) -> Quantiles:
    """The sketch of a block's rows from `start` on, up to BLOCK_ROWS of them, by counting them into tables; `measure` what else
    is asked on the way."""
    from tfnorm.kernels import tables as counting

    features = block.features
    values = block.flat.reshape(-1, features)[start : start + BLOCK_ROWS]
    rows, flat = len(values), values.reshape(-1)
    tables = tables_for(values, max(1.0, rows / RESOLUTION))
    kind, shift, base, origin = tables
    counts, over, outside, known = count(block, start, rows, tables, measure=measure)
    full = np.iinfo(counts.dtype).max + 1
    kept, zeros, not_finite = known
    most, spill = _most(rows - not_finite), outside.shape[1]
    passed = [(none, none) for none in over]
    largest = counts[:, : counting.TABLE].max(axis=1).astype(np.int64)
    for j in np.flatnonzero([len(several_times) for several_times in over]).tolist():
        row, times = passed[j] = np.unique(over[j], return_counts=True)  # the rows of the table, and how often
        largest[j] = max(largest[j], (counts[j, row] + full * times).max())
    few = np.where(kind == counting.FLOAT_TABLE, max(spill, rows // 4), spill)
    by_value = (kind == counting.NO_TABLE) | (kept > few) | (most < 0)
    too_heavy = (kind == counting.FLOAT_TABLE) & ((kept > spill) | (largest > most)) & ~by_value
    singles = _outside(flat, outside, np.where(by_value | too_heavy, 0, kept), zeros)  # what the tables do not tell
    special = by_value | too_heavy | (kind == counting.WHOLE_TABLE)
    if special.any():
        several = [singles.take(j, j + 1) for j in range(features)]
        for j in np.flatnonzero(special).tolist():
            table, (row, times) = counts[j, : counting.TABLE], passed[j]
            if too_heavy[j]:
                held = table.astype(np.int64)
                held[row] += full * times
                column, found = np.ascontiguousarray(values[:, j], np.float64), np.empty(rows)
                number = counting.heavy_values(column, column.view(np.int64), held, shift[j], base[j], most[j], found)
                several[j] = _values(found[:number], zeros=zeros[j])
                told = held > most[j]  # the rest of the table stays
                table[told], over[j] = 0, over[j][~told[over[j]]]
                continue
            if by_value[j]:
                several[j] = _values(values[:, j])
            else:
                there = table != 0
                there[row] = True
                filled = np.flatnonzero(there)
                held = table[filled].astype(np.float64)
                held[np.searchsorted(filled, row)] += full * times
                there_too = flat[outside[j, : kept[j]]]
                several[j] = _values(
                    np.append(there_too, origin[j] + filled), np.append(np.ones(kept[j]), held), zeros[j]
                )
            table[:], over[j] = 0, over[j][:0]
        singles = Quantiles.join(several)
    over_at = np.cumsum([0, *map(len, over)])
    tables_left = (
        counts,
        counts.view(np.uint64),
        over_at,
        np.concatenate(over),
        full,
        counting.WIDTH,
        shift,
        base,
    )
    return singles._settled(most, tables_left)


def _outside(flat: np.ndarray, places: np.ndarray, kept: np.ndarray, zeros: np.ndarray) -> Quantiles:
    """The values (features, n) at those places, as many of a feature as are kept, and so many zeros; each a cell of its own."""
    number = kept + (zeros > 0)
    ends, feature = np.cumsum(number), np.repeat(np.arange(len(number)), number)
    keys = np.full(len(feature), _ZERO)
    for j in np.flatnonzero(kept).tolist():
        own = keys[ends[j] - number[j] : ends[j]]
        own[: kept[j]] = keys_of(flat[places[j, : kept[j]]].astype(np.float64))
        own.sort()
    counts = np.where(keys == _ZERO, zeros[feature], 1).astype(np.float64)
    return Quantiles(ends, keys, np.zeros(len(keys), np.uint8), counts)


def _room(features: int, cells: int) -> Arrays:
    return np.empty(features, np.int64), np.empty(cells, np.uint64), np.empty(cells, np.uint8), np.empty(cells)


def _filled(room: Arrays, cells: int) -> Quantiles:
    ends, *arrays = room
    for array in arrays:
        array.resize(cells, refcheck=False)  # gives back what is left over; nobody else has seen it
    return Quantiles(ends, *arrays)


_MASKS = np.array([(1 << level) - 1 for level in range(65)], np.uint64)  # of the keys in a cell of each level


def value_of(keys: np.ndarray) -> np.ndarray:
    """The float64 values that ordered keys stand for."""
    positive = keys >= np.uint64(1 << 63)
    return np.where(positive, keys ^ np.uint64(1 << 63), ~keys).view(np.float64)


def first_key(keys: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Where the cell of that level begins in which each key lies."""
    return keys & ~_mask(levels)


def last_key(keys: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The last key of each cell, within the finite numbers."""
    return np.minimum(keys | _mask(levels), _LARGEST)


def _mask(levels: np.ndarray) -> np.ndarray:
    return _MASKS[levels]
