"""A block's values counted into tables, which is most of the time that a sketch takes.

The one law: which table a column gets changes the time and never the sketch; whatever a table does not hold is told beside it.
"""

from __future__ import annotations

import math

import numpy as np

from tfnorm.statistics import Block, RowsOfTables

SAMPLE = 512  # rows, by which tables are chosen
CHUNK_VALUES = 1 << 19  # whose rows of the tables are found before they are counted, feature after feature
KEPT_BYTES = 1 << 24  # what a block takes for a while comes back at once; fresh pages took a tenth of the time
Tables = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""(kind, shift, base, origin), each (features,): what `kernels.tables` has to know of each table."""


def tables_for(blocks: np.ndarray, most: float) -> Tables:
    """Which table suits each column of each of `blocks` (blocks, rows, features) whose cells may hold `most`, by a sample:
    (kind, shift, base, origin), each (blocks * features,)."""
    from tfnorm.kernels import tables as counting

    rows = blocks.shape[1]
    some = blocks[:, :: rows // SAMPLE][:, :SAMPLE].astype(np.float64)
    sample = np.ascontiguousarray(some.transpose(0, 2, 1)).reshape(-1, SAMPLE)
    features = len(sample)
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
    counting.choose_tables(keys, features, target, blocks.dtype == np.float32, kind, shift, base)
    return kind, shift, base, origin


def count(
    block: Block, first: int, num_rows: int, tables: Tables, *, measure: bool
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray, np.ndarray]:
    """`num_rows` from `first` on counted into their tables, and as many of the next where these are of several blocks.

    The tables' counts (tables, TABLE), modulo 256; for each, the rows whose count ran over, once for each time;
    the places of what lies outside (tables, SPILL); and (3, tables) how many values are such, zero, and not finite.
    """
    from tfnorm.kernels import moments
    from tfnorm.kernels import tables as counting

    np.empty(KEPT_BYTES, np.uint8)  # glibc keeps at hand what is smaller than the largest yet freed
    kind, shift, base, origin = tables
    features, several = block.features, len(kind)
    flat = block.flat[first * features : first * features + num_rows * several]
    counts = np.zeros((several + 1, counting.TABLE + counting.APART), np.uint8)
    outside, known = np.empty((several, counting.SPILL), np.int64), np.zeros((2, several + 1), np.int64)
    if flat.dtype == np.float32:
        shift = np.maximum(shift - 29, 0)
        base = base - (counting.SINGLE_BIAS >> shift)
    none = kind == counting.NO_TABLE  # all go into one row, which nobody reads: what lies outside costs time
    shift, base = np.where(none, flat.dtype.itemsize * 8 - 1, shift), np.where(none, 0, base)
    step = moments.rows_per_block(features) * features
    chunk = max(1, CHUNK_VALUES // step) * step
    lanes, stride, quad_step = _layout(features, chunk)
    own = np.arange(-(-stride // 4) * 4)  # lanes, and up to three more that are not to be counted
    over = np.empty(len(flat) // stride * len(own) // 256 + 1, np.int64)
    found = np.empty(quad_step * len(own) or chunk, np.uint16)
    quads = found.view(np.uint64)
    whole, lane = kind == counting.WHOLE_TABLE, np.arange(lanes) % features
    for leading in range(0, several, features):  # the first one of a block
        own_whole, of_lane = whole[leading : leading + features], lane + leading
        origins = np.where(whole, origin, np.nan)[of_lane]
        tables_of = RowsOfTables(shift[of_lane], base[of_lane], quad_step, found)
        wanted = None if own_whole.all() else tables_of
        to = np.where(own < stride, own % features + leading, several)
        stop = (leading + features) * num_rows
        for start in range(leading * num_rows, stop, chunk):
            part = flat[start : min(start + chunk, stop)]
            done = first + start // features
            block.read(done, done + len(part) // features, wanted, measure=measure)
            if own_whole.any():
                counting.find_whole_rows(part, origins, quad_step, found)
            rows, lots = found if quad_step else found[: len(part)], len(part) // stride
            counting.tally(rows, quads, quad_step, lots, to, stride, counts, over, start, outside, known)
    table, row = np.divmod(over[: known[1, 0]], counting.OVER_STEP)
    apart = counts[:several, [counting.ZERO_ROW, counting.NOT_FINITE_ROW]].T.astype(np.int64)
    ran_over = [row[:0]] * several
    for j in np.flatnonzero(np.bincount(table, minlength=several)[:several]).tolist():
        rows = row[table == j]
        ran_over[j] = rows[rows < counting.TABLE]
        apart[0, j] += 256 * np.count_nonzero(rows == counting.ZERO_ROW)
        apart[1, j] += 256 * np.count_nonzero(rows == counting.NOT_FINITE_ROW)
    return counts[:several], ran_over, outside, np.vstack([known[:1, :several], apart])


def _layout(features: int, chunk: int) -> tuple[int, int, int]:
    """How rows of the tables lie for a chunk of values: how many lanes are found together, how far on in the block the same lanes
    come again, and `kernels.reading.find_rows`' quad_step."""
    from tfnorm.kernels.tables import TOGETHER

    if features < TOGETHER:  # short rows side by side, so many that they are a multiple of four
        return features * TOGETHER, math.lcm(features, 4), 0
    # a few lines of the cache more: a power of two apart, they would share one set of it
    return features, features, chunk // features + 24


def keys_of(values: np.ndarray) -> np.ndarray:
    """Float64 values as integers in the same order."""
    bits = values.view(np.int64)
    return bits.view(np.uint64) ^ ((bits >> 63).view(np.uint64) | np.uint64(1 << 63))
