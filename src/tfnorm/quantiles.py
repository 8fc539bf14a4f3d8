"""The one sketch: quantiles of any distribution in one pass, with bounds that hold.

The one law: sketches add up, `Quantiles.of(a ++ b) == Quantiles.of(a) + Quantiles.of(b)` bit for bit where `a` ends with a
block, and in any order, until a sum has more than MAX_CELLS cells; from there on the sum is coarsened, its bounds with it.

The number line is cut into cells by the leading bits of float64, as in a q-digest (Shrivastava et al., 2004). A block of
rows keeps the widest cells that hold at most 1/800 of it each, so the rank of any number is known to that part of the
block; adding keeps that, whatever the blocks hold and in whichever order they come: no sampling, no chance, no origin.
A single value is a cell of its own when it is heavy, and in blocks of up to EXACT values every value is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tfnorm.codec import packed
from tfnorm.statistics import Block, Statistic

BLOCK_ROWS = 1 << 18
RESOLUTION = 800.0  # a block's cell of several values holds at most this part of it
EXACT = 4096  # up to as many values in a block, each is kept
MAX_CELLS = 8192
FINAL_RESOLUTION = 1400.0  # with a block's 1/800 this makes less than 0.002 in rank
GROUP = 64  # features tallied together: their tables together stay in cache
SAMPLE = 1024
PIECE_VALUES = 1 << 17
_LARGEST = np.uint64((1 << 63) | 0x7FEFFFFFFFFFFFFF)  # keys of the largest finite number and of its negative
_SMALLEST = ~_LARGEST
SORTED_BELOW = 1 << 14  # rows; fewer are sorted sooner than tallied


@dataclass(frozen=True)
class Quantiles(Statistic):
    """A distribution as cells of the number line and how many values lie in each.

    >>> Quantiles.of(np.arange(1001.0)[:, None]).at(0.25)
    array([250.])
    """

    ends: np.ndarray  # (features,) int64: where each feature's cells end in the arrays below
    keys: np.ndarray = packed("uint64")  # (cells,) a cell's first value, as `kernels.cells` orders them
    levels: np.ndarray = packed("uint8")  # (cells,) it is 2**level such values wide
    counts: np.ndarray = packed("float64")  # (cells,) how many values (or what weight) it holds

    @classmethod
    def of_block(cls, block: Block) -> Quantiles:
        flat = block.flat
        if block.integers is not None:
            flat = np.ma.filled(block.integers.astype(np.float64), np.nan).reshape(-1)
        rows = flat.reshape(-1, block.features)
        total = cls.nothing(block.features)
        for start in range(0, len(rows), BLOCK_ROWS):
            part, weight = rows[start : start + BLOCK_ROWS], block.weight[start : start + BLOCK_ROWS]
            if len(weight) or len(part) < SORTED_BELOW:
                weights = weight if len(weight) else None
                sketch = _settled(cls.join([_values(part[:, j], weights) for j in range(block.features)]))
            elif block.features <= GROUP:
                sketch = _tallied(part, partial(_fetch, block, start))
            else:
                sketch = cls.join([_tallied(part[:, j : j + GROUP]) for j in range(0, block.features, GROUP)])
            total = total + sketch
        return total

    @classmethod
    def nothing(cls, features: int) -> Quantiles:
        return cls(np.zeros(features, np.int64), np.empty(0, np.uint64), np.empty(0, np.uint8), np.empty(0))

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
        room = len(self.keys) + len(other.keys)
        keys, levels, counts = np.empty(room, np.uint64), np.empty(room, np.uint8), np.empty(room)
        ends = np.empty(self.features, np.int64)
        used = cells.add(
            (self.ends, self.keys, self.levels, self.counts),
            (other.ends, other.keys, other.levels, other.counts),
            max_cells,
            RESOLUTION,
            (ends, keys, levels, counts),
        )
        return Quantiles(ends, keys[:used].copy(), levels[:used].copy(), counts[:used].copy())

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
        return _settled(cls(ends, _keys(values), np.zeros(len(values), np.uint8), counts))

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

        Up to `exact` different values of a feature stay as they are.
        """
        copy = Quantiles(self.ends.copy(), self.keys.copy(), self.levels.copy(), self.counts.copy())
        return copy._coarsen(resolution, keep=-1, exact=exact)

    def _coarsen(self, resolution: float, keep: int, exact: int = EXACT) -> Quantiles:
        """`coarsened`, on these very arrays; with `keep` from 0 on, it is up to as many values in all that stay."""
        from tfnorm.kernels import cells

        used = cells.coarsen_all(self.ends, self.keys, self.levels, self.counts, resolution, keep, exact)
        return Quantiles(self.ends, self.keys[:used].copy(), self.levels[:used].copy(), self.counts[:used].copy())

    @property
    def total(self) -> np.ndarray:
        """How many values (or what weight) each feature has, (features,)."""
        return np.array([self.counts[self._slice(j)].sum() for j in range(self.features)])

    def at(self, q: float, extremes: Any = None) -> np.ndarray:
        """The q-quantile of every feature, (features,); NaN where there is no value.

        Interpolated between order statistics as NumPy does by default (type 7), which is exact where every cell is a single
        value; within a wider cell, values are taken to lie evenly. `extremes` narrows the outermost cells.
        """
        return np.array([self.curve(j, extremes).quantile(q) for j in range(self.features)])

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
        if (self.levels > 64).any() or not (np.isfinite(self.counts) & (self.counts > 0)).all():
            return "a cell has no sound level or count"
        for feature in range(self.features):
            span = self._slice(feature)
            keys, levels = self.keys[span], self.levels[span].astype(np.int64)
            same = keys[1:] == keys[:-1]
            if not ((keys[1:] > keys[:-1]) | (same & (levels[1:] < levels[:-1]))).all():
                return "its cells are not in order"
            if (keys != first_key(keys, levels)).any():
                return "a cell does not begin where its level says"
        return ""


@dataclass(frozen=True)
class Curve:
    """A cumulative distribution with its uncertainty: cells [low, high] and what each holds."""

    low: np.ndarray  # (cells,) smallest value a cell can hold
    high: np.ndarray  # (cells,) largest
    count: np.ndarray  # (cells,)

    @property
    def total(self) -> float:
        return float(self.count.sum())

    def rank_bounds(self, value: float) -> tuple[float, float]:
        """Between how many and how many values are at most `value`."""
        return float(self.count[self.high <= value].sum()), float(self.count[self.low <= value].sum())

    def quantile(self, q: float) -> float:
        """The q-quantile (0 to 1), NaN where there is no value."""
        return self.quantiles(np.array([q]))[0]

    def quantiles(self, q: np.ndarray) -> list[float]:
        """Several at once."""
        if not len(self.count):
            return [float("nan")] * len(q)
        edges, below, upto = self._steps()
        position = np.clip(q, 0.0, 1.0) * max(self.total - 1.0, 0.0)
        first, second = np.floor(position), np.ceil(position)
        a, b = (_value_at(rank, edges, below, upto) for rank in (first, second))
        return [float(v) for v in _between(a, b, position - first)]

    def cumulative(self, values: np.ndarray) -> np.ndarray:
        """The estimated share of values at most each of `values`."""
        edges, below, upto = self._steps()
        at = np.searchsorted(edges, values, side="right") - 1
        inside = np.clip(at, 0, len(edges) - 1)
        after = np.minimum(inside + 1, len(edges) - 1)
        width = (
            edges[after] / 2 - edges[inside] / 2
        )  # of neighbours at either end of the numbers the difference overflows
        part = np.where(width > 0, (values / 2 - edges[inside] / 2) / np.where(width > 0, width, 1.0), 0.0)
        counted = upto[inside] + np.clip(part, 0.0, 1.0) * (below[after] - upto[inside])
        return np.where(at < 0, 0.0, counted) / self.total

    def quantile_bounds(self, q: float) -> tuple[float, float]:
        """An interval that surely holds the q-quantile."""
        if not len(self.count):
            return float("nan"), float("nan")
        position = min(max(q, 0.0), 1.0) * max(self.total - 1.0, 0.0)
        return self._first(self.low, np.floor(position)), self._first(self.high, np.ceil(position))

    def _first(self, ends: np.ndarray, rank: float) -> float:
        order = np.argsort(ends, kind="stable")
        sums = np.cumsum(self.count[order])
        return float(ends[order][min(int(np.searchsorted(sums, rank, side="right")), len(sums) - 1)])

    def pieces(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The distribution as pieces side by side: from where to where, and the mass spread evenly over each; a heavy value is
        a piece without width."""
        if not len(self.count):
            return (np.empty(0),) * 3
        edges, below, upto = self._steps()
        low, high = np.repeat(edges, 2)[:-1], np.repeat(edges, 2)[1:]
        low[0::2], high[0::2] = edges, edges
        mass = np.empty(len(low))
        mass[0::2], mass[1::2] = upto - below, below[1:] - upto[:-1]
        held = mass > 0
        return low[held], high[held], mass[held]

    def across(self, values: np.ndarray) -> np.ndarray:
        """How many cells begin below and end above each of `values`; where none does, its rank is known."""
        wide = self.high > self.low
        begun = np.searchsorted(np.sort(self.low[wide]), values, side="left")
        return begun - np.searchsorted(np.sort(self.high[wide]), values, side="right")

    def rank_error(self) -> float:
        """The widest uncertainty of any value's rank, as a share of all values."""
        if not len(self.count):
            return 0.0
        wide = self.high > self.low
        order = np.concatenate([self.low[wide], self.high[wide]])
        change = np.concatenate([self.count[wide], -self.count[wide]])
        # a cell begins before another ends at the same value: the larger uncertainty counts
        sums = np.cumsum(change[np.lexsort((-change, order))])
        return float(sums.max(initial=0.0) / self.total)

    def _steps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(edges, count below each, count up to and with each): jumps at single values, straight lines through cells."""
        edges = np.unique(np.concatenate([self.low, self.high]))
        a, b = np.searchsorted(edges, self.low), np.searchsorted(edges, self.high)
        single = self.high / 2 - self.low / 2 < 1e-290  # among the denormal numbers a slope would overflow
        jump = np.bincount(a[single], self.count[single], len(edges))
        density = self.count[~single] / (edges[b[~single]] / 2 - edges[a[~single]] / 2)
        slope = _slopes(a[~single], b[~single], density, len(edges) - 1)
        gain = np.concatenate([[0.0], slope * (edges[1:] / 2 - edges[:-1] / 2)])
        upto = np.cumsum(gain + jump)
        scale = self.total / upto[-1] if upto[-1] > 0 else 1.0
        return edges, (upto - jump) * scale, upto * scale


def _slopes(first: np.ndarray, last: np.ndarray, density: np.ndarray, steps: int) -> np.ndarray:
    """The sum of the densities of all cells over each step; cells (from edge `first` to edge `last`) nest or lie apart.

    Layer by layer of nesting: were a cell's density added where it begins and taken off where it ends, the rounding of
    narrow cells' large ones would drown the others.
    """
    slope, step = np.zeros(steps), np.arange(steps)
    depth = np.arange(len(first)) - np.searchsorted(np.sort(last), first, side="right")
    for layer in range(int(depth.max(initial=-1)) + 1):
        at = depth == layer
        begin, end, dense = first[at], last[at], density[at]
        cell = np.searchsorted(begin, step, side="right") - 1
        slope += np.where((cell >= 0) & (step < end[cell]), dense[cell], 0.0)
    return slope


def _value_at(rank: np.ndarray, edges: np.ndarray, below: np.ndarray, upto: np.ndarray) -> np.ndarray:
    """The value of the rank-th smallest (from 0), taken at the middle of its own unit of mass."""
    middle = rank + 0.5
    at = np.searchsorted(upto, middle)
    at = np.minimum(at, len(edges) - 1)
    before = np.maximum(at - 1, 0)
    span = below[at] - upto[before]
    part = np.where(span > 0, (middle - upto[before]) / np.where(span > 0, span, 1.0), 1.0)
    between = _between(edges[before], edges[at], np.clip(part, 0.0, 1.0))
    return np.where((middle > below[at]) | (at == 0), edges[at], between)


def _between(a: np.ndarray, b: np.ndarray, part: np.ndarray) -> np.ndarray:
    """a + part * (b - a), also where the difference overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        step = (b - a) * part
        return np.where(np.isfinite(step), a + step, a * (1.0 - part) + b * part)


def _fetch(block: Block, start: int, row: int) -> None:
    block.measure_up_to(start + row)


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
    return Quantiles(np.array([size]), _keys(values), np.zeros(size, np.uint8), total.astype(np.float64))


def _settled(sketch: Quantiles) -> Quantiles:
    """A block's own sketch: the widest cells with at most 1/RESOLUTION of it, or every value where there are few."""
    return sketch._coarsen(RESOLUTION, keep=EXACT)


def _tallied(rows: np.ndarray, fetch: Callable[[int], None] | None = None) -> Quantiles:
    """The sketch of a block's columns by counting them into tables.

    `fetch(row)` is called before the rows up to there are read: whoever else reads them brings them into cache.
    """
    from tfnorm.kernels import tables as counting

    features = rows.shape[1]
    flat = np.ascontiguousarray(rows).reshape(-1)
    bits = flat.view(np.uint32 if flat.dtype == np.float32 else np.uint64)
    kind, shift, base, origin = _tables(rows)
    tables = np.zeros((features, counting.TABLE), np.uint32)
    spill = np.empty((features, counting.SPILL), np.int64)
    kept, zeros = np.zeros(features, np.int64), np.zeros(features, np.int64)
    step = max(1, PIECE_VALUES // features) * features
    found = np.empty(step + 3 & ~3, np.uint16)
    work = found, found.view(np.uint64), np.empty(step, np.int64)
    lanes = _lanes(flat.dtype, features, kind, shift, base, origin)
    for at in range(0, len(flat), step):
        if fetch is not None:
            fetch(min(at + step, len(flat)) // features)
        piece = slice(at, at + step)
        counting.tally(flat[piece], bits[piece], features, lanes, tables, at, spill, kept, zeros, *work)
    largest = tables.max(axis=1)
    total = tables.sum(axis=1, dtype=np.int64) + kept + zeros
    most = np.where(total <= EXACT, 0.0, np.floor(total / RESOLUTION))
    few = np.where(kind == counting.FLOAT_TABLE, max(counting.SPILL, len(rows) // 4), counting.SPILL)
    by_value = (kind == counting.NO_TABLE) | (kept > few)
    too_heavy = (kind == counting.FLOAT_TABLE) & ((kept > counting.SPILL) | (largest > most))
    singles = []  # what the tables do not tell
    for j in range(features):
        if by_value[j]:
            singles.append(_values(rows[:, j]))
            continue
        others, counts = flat[spill[j, : kept[j]]].astype(np.float64), None
        if too_heavy[j]:
            column = np.ascontiguousarray(rows[:, j], np.float64)
            others = np.empty(len(column))
            table = tables[j], shift[j], base[j], most[j]
            others = others[: counting.heavy_values(column, column.view(np.int64), *table, others)]
        elif kind[j] == counting.WHOLE_TABLE:
            filled = np.flatnonzero(tables[j])
            others, counts = np.append(others, origin[j] + filled), np.append(np.ones(len(others)), tables[j, filled])
        singles.append(_values(others, counts, zeros[j]))
    kind[by_value] = counting.NO_TABLE
    most_cells = features * counting.TABLE
    room = (
        np.empty(features, np.int64),
        np.empty(most_cells, np.uint64),
        np.empty(most_cells, np.uint8),
        np.empty(most_cells),
    )
    used = counting.cells_of_tables(tables, kind, shift, base, most, *room)
    ends, *counted = room
    return _settled(
        Quantiles(ends, *(part[:used] for part in counted)).union(Quantiles.join(singles), len(flat) + most_cells)
    )


def _lanes(
    dtype: np.dtype, features: int, kind: np.ndarray, shift: np.ndarray, base: np.ndarray, origin: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What the kernel has to know of every lane: features side by side, short rows several times."""
    from tfnorm.kernels import tables as counting

    lanes = 4 * max(1, counting.LANES // 4 // features) * features
    if dtype == np.float32:
        shift = np.maximum(shift - 29, 0)
        base = (base - (counting.SINGLE_BIAS >> shift)).astype(np.uint32)
    word = np.uint32 if dtype == np.float32 else np.uint64
    whole = kind == counting.WHOLE_TABLE
    return (
        np.resize(shift.astype(word), lanes),
        np.resize(base.astype(word), lanes),
        np.resize(whole, lanes if whole.any() else 0),
        np.resize(origin, lanes),
    )


def _keys(values: np.ndarray) -> np.ndarray:
    """Float64 values as integers in the same order."""
    bits = values.view(np.int64)
    return bits.view(np.uint64) ^ ((bits >> 63).view(np.uint64) | np.uint64(1 << 63))


def _tables(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Which table suits each column, by a sample of the block: (kind, shift, base, origin)."""
    from tfnorm.kernels import tables as counting

    features = rows.shape[1]
    sample = np.ascontiguousarray(rows[:: len(rows) // SAMPLE][:SAMPLE].T, np.float64)
    kind, origin = np.full(features, counting.FLOAT_TABLE), np.zeros(features)
    useful = np.isfinite(sample) & (sample != 0)
    for j in np.flatnonzero(~useful.all(axis=1)):  # NaN, infinity and zero are not looked up: the others stand for them
        sample[j] = np.resize(sample[j][useful[j]], SAMPLE) if useful[j].any() else 1.0
    low, high = sample.min(axis=1), sample.max(axis=1)
    whole = (sample == np.rint(sample)).all(axis=1) & (high / 2 - low / 2 < counting.TABLE // 4)
    kind[whole] = counting.WHOLE_TABLE
    origin[whole] = np.rint(low[whole] - (counting.TABLE - (high[whole] - low[whole])) / 2)
    keys = np.sort(_keys(sample.reshape(-1)).reshape(features, SAMPLE), axis=1)
    shift, base = np.zeros(features, np.int64), np.zeros(features, np.int64)
    counting.choose_tables(keys, features, 0.75 / RESOLUTION, rows.dtype == np.float32, kind, shift, base)
    return kind, shift, base, origin


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
    wide = levels >= 64
    return np.where(wide, ~np.uint64(0), (np.uint64(1) << np.where(wide, 0, levels).astype(np.uint64)) - np.uint64(1))
