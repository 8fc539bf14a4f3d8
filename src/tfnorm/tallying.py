"""A block's values counted into tables, which is most of the time that a sketch takes.

The one law: which table a column gets changes the time and never the sketch; whatever a table does not hold is told beside it.
"""

from __future__ import annotations

import math

import numpy as np

from tfnorm.statistics import Block, RowsOfTables

SAMPLE = 512  # rows, by which tables are chosen
CHUNK_VALUES = 1 << 20  # whose rows of the tables are found before they are counted, feature after feature
KEPT_BYTES = 1 << 24  # what a block takes for a while comes back at once; fresh pages took a tenth of the time
Tables = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""(kind, shift, base, origin), each (features,): what `kernels.tables` has to know of each table."""


def tables_for(block: np.ndarray, most: float) -> Tables:
    """Which table suits each column of a block (rows, features) whose cells may hold `most`, by a sample: (kind, shift, base,
    origin), each (features,)."""
    from tfnorm.kernels import tables as counting

    rows, features = block.shape
    sample = np.ascontiguousarray(block[:: rows // SAMPLE][:SAMPLE].T, np.float64)
    kind, origin = np.full(features, counting.FLOAT_TABLE), np.zeros(features)
    useful = np.isfinite(sample) & (sample != 0)
    for j in np.flatnonzero(~useful.all(axis=1)):  # NaN, infinity and zero are not looked up: the others stand for them
        sample[j] = np.resize(sample[j][useful[j]], SAMPLE) if useful[j].any() else 1.0
    low, high = sample.min(axis=1), sample.max(axis=1)
    whole = (sample == np.rint(sample)).all(axis=1) & (high / 2 - low / 2 < counting.TABLE // 4)
    kind[whole] = counting.WHOLE_TABLE
    origin[whole] = np.rint(low[whole] - (counting.TABLE - (high[whole] - low[whole])) / 2)
    constant = ~whole & (low == high)  # one row, which holds nothing else
    kind[constant], origin[constant] = counting.WHOLE_TABLE, low[constant]
    keys = np.sort(keys_of(sample.reshape(-1)).reshape(features, SAMPLE), axis=1)
    target = max(0.2, 0.85 - 2.8 / np.sqrt(most)) * most / rows  # room for chance: of 300 expected, 350 may come
    shift, base = np.zeros(features, np.int64), np.zeros(features, np.int64)
    counting.choose_tables(keys, features, target, block.dtype == np.float32, kind, shift, base)
    return kind, shift, base, origin


def count(
    block: Block, first: int, num_rows: int, tables: Tables, *, measure: bool
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray, np.ndarray]:
    """`num_rows` from `first` on counted into their tables.

    The tables' counts (features, TABLE), modulo what their type holds; for each, the rows whose count ran over, once each time;
    the places of what lies outside (features, n); and (3, features) how many values are such, zero, and not finite.
    """
    from tfnorm.kernels import moments
    from tfnorm.kernels import tables as counting

    np.empty(KEPT_BYTES, np.uint8)  # glibc keeps at hand what is smaller than the largest yet freed
    kind, shift, base, origin = tables
    features = block.features
    flat = block.flat[first * features : (first + num_rows) * features]
    kind_of_count = np.uint8 if num_rows <= counting.BYTES_ENOUGH else np.uint16
    counts, full = (
        np.zeros((features + 1, counting.TABLE + counting.APART), kind_of_count),
        np.iinfo(kind_of_count).max + 1,
    )
    outside = np.empty((features, max(1, num_rows // counting.SPILL_SHARE)), np.int64)
    known = np.zeros((3, features + 1), np.int64)
    if flat.dtype == np.float32:
        shift = np.maximum(shift - 29, 0)
        base = base - (counting.SINGLE_BIAS >> shift)
    none = kind == counting.NO_TABLE  # all go into one row, which nobody reads: what lies outside costs time
    shift, base = np.where(none, flat.dtype.itemsize * 8 - 1, shift), np.where(none, 0, base)
    step = moments.rows_per_block(features) * features
    chunk = max(1, CHUNK_VALUES // step) * step
    lanes, stride, quad_step = _layout(features, chunk)
    own = np.arange(-(-stride // 4) * 4)  # lanes, and up to three more that are not to be counted
    to = np.where(own < stride, own % features, features)
    over = np.empty(len(flat) // stride * len(own) // full + 1, np.int64)
    found = np.empty(quad_step * len(own) or chunk, np.uint16)
    quads = found.view(np.uint64)
    whole, lane = kind == counting.WHOLE_TABLE, np.arange(lanes) % features
    origins = np.where(whole, origin, np.nan)[lane]
    wanted = None if whole.all() else RowsOfTables(shift[lane], base[lane], quad_step, found)
    for start in range(0, len(flat), chunk):
        part = flat[start : start + chunk]
        done = first + start // features
        block.read(done, done + len(part) // features, wanted, measure=measure)
        if whole.any():
            counting.find_whole_rows(part, origins, features, quad_step, found)
        rows, lots = found if quad_step else found[: len(part)], len(part) // stride
        counting.tally(rows, quads, quad_step, lots, to, stride, counts, over, start, outside, known)
    table, row = np.divmod(over[: known[1, 0]], counting.OVER_STEP)
    ran_over = [row[(table == j) & (row < counting.TABLE)] for j in range(features)]
    apart = counts[:features, [counting.ZERO_ROW, counting.NOT_FINITE_ROW]].T.astype(np.int64)
    for kind_apart, special in enumerate((counting.ZERO_ROW, counting.NOT_FINITE_ROW)):
        apart[kind_apart] += full * np.bincount(table[row == special], minlength=features + 1)[:features]
    return counts[:features], ran_over, outside, np.vstack([known[:1, :features], apart])


def _layout(features: int, chunk: int) -> tuple[int, int, int]:
    """How rows of the tables lie for a chunk of values: how many lanes are found together, how far on in the block the same lanes
    come again, and `kernels.reading.find_rows`' quad_step."""
    from tfnorm.kernels.tables import NARROW, TOGETHER
    from tfnorm.kernels.turning import EIGHT

    if features < NARROW:  # short rows side by side, so many that they are a multiple of four
        return -(-TOGETHER // features) * features, math.lcm(features, 4), 0
    # a few lines of the cache more: a power of two apart, they would share one set of it
    return features if features % 4 else EIGHT * features, features, chunk // features + 24


def keys_of(values: np.ndarray) -> np.ndarray:
    """Float64 values as integers in the same order."""
    bits = values.view(np.int64)
    return bits.view(np.uint64) ^ ((bits >> 63).view(np.uint64) | np.uint64(1 << 63))
