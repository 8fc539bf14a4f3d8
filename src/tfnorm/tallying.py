"""A block's values counted into tables, which is most of the time that a sketch takes.

The one law: which table a column gets changes the time and never the sketch; whatever a table does not hold is told beside it.
"""

from __future__ import annotations

import math

import numpy as np

from tfnorm.statistics import Block, RowsOfTables

SAMPLE = 512  # rows, by which tables are chosen
CHUNK_VALUES = 1 << 19  # whose rows of the tables are found before they are counted, feature after feature
Tables = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""(kind, shift, base, origin), each (features,): what `kernels.tables` has to know of each table."""


def tables_for(rows: np.ndarray, most: float) -> Tables:
    """Which table suits each column of a block whose cells may hold `most`, by a sample: (kind, shift, base, origin)."""
    from tfnorm.kernels import tables as counting

    features = rows.shape[1]
    sample = np.ascontiguousarray(rows[:: len(rows) // SAMPLE][:SAMPLE].astype(np.float64).T)
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
    target = max(0.2, 0.85 - 2.8 / np.sqrt(most)) * most / len(rows)  # room for chance: of 300 expected, 350 may come
    shift, base = np.zeros(features, np.int64), np.zeros(features, np.int64)
    counting.choose_tables(keys, features, target, rows.dtype == np.float32, kind, shift, base)
    return kind, shift, base, origin


def count(
    block: Block, first: int, num_rows: int, tables: Tables, *, measure: bool
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray, np.ndarray]:
    """The tables' counts (features, TABLE), modulo 256; for each feature, the rows whose count ran over, once for each time;
    the places of what lies outside (features, SPILL); and (3, features) how many values are such, zero, and not finite."""
    from tfnorm.kernels import moments
    from tfnorm.kernels import tables as counting

    kind, shift, base, origin = tables
    features = block.features
    flat = block.flat[first * features : (first + num_rows) * features]
    counts = np.zeros((features + 1, counting.TABLE + counting.APART), np.uint8)
    outside, known = np.empty((features, counting.SPILL), np.int64), np.zeros((2, features + 1), np.int64)
    if flat.dtype == np.float32:
        shift = np.maximum(shift - 29, 0)
        base = base - (counting.SINGLE_BIAS >> shift)
    none = kind == counting.NO_TABLE  # all go into one row, which nobody reads: what lies outside costs time
    shift, base = np.where(none, flat.dtype.itemsize * 8 - 1, shift), np.where(none, 0, base)
    together = counting.TOGETHER
    step = moments.rows_per_block(features) * features
    chunk = max(1, CHUNK_VALUES // step) * step
    if features < together:  # short rows side by side, so many that they are a multiple of four
        lanes = together = features * together
        stride = features * 4 // math.gcd(features, 4)
        groups = [(np.arange(stride) % features, 0)]
        room = chunk
    else:  # the last group begins early, and what it shares with the one before is not counted
        lanes, stride, room, groups = features, features, chunk // features * together, []
        for done in range(0, features, together):
            begin = min(done, features - together)
            own = np.arange(begin, begin + together)
            groups.append((np.where(own < done, features, own), begin))
    counted = len(flat) * len(groups) * together // lanes  # what two groups share counts twice
    over = np.empty(counted // 256 + 1, np.int64)
    found = np.empty(room * len(groups), np.uint16)
    quads = found.view(np.uint64)
    whole, lane = kind == counting.WHOLE_TABLE, np.arange(lanes) % features
    origins = np.where(whole, origin, np.nan)[lane]
    wanted = None if whole.all() else RowsOfTables(shift[lane], base[lane], together, room, together, found)
    for start in range(0, len(flat), chunk):
        part = flat[start : start + chunk]
        block.read(first + start // features, first + (start + len(part)) // features, wanted, measure=measure)
        if whole.any():
            counting.find_whole_rows(part, origins, together, room, together, found)
        used = len(part) * together // lanes
        for number, (own, begin) in enumerate(groups):
            at = number * room
            rows, four_rows = found[at : at + used], quads[at // 4 : (at + used) // 4]
            counting.tally(rows, four_rows, own, stride, counts, over, start + begin, outside, known)
    table, row = np.divmod(over[: known[1, 0]], counting.OVER_STEP)
    apart = counts[:features, [counting.ZERO_ROW, counting.NOT_FINITE_ROW]].T.astype(np.int64)
    ran_over = [row[:0]] * features
    for j in np.flatnonzero(np.bincount(table, minlength=features)[:features]).tolist():
        rows = row[table == j]
        ran_over[j] = rows[rows < counting.TABLE]
        apart[0, j] += 256 * np.count_nonzero(rows == counting.ZERO_ROW)
        apart[1, j] += 256 * np.count_nonzero(rows == counting.NOT_FINITE_ROW)
    return counts[:features], ran_over, outside, np.vstack([known[:1, :features], apart])


def keys_of(values: np.ndarray) -> np.ndarray:
    """Float64 values as integers in the same order."""
    bits = values.view(np.int64)
    return bits.view(np.uint64) ^ ((bits >> 63).view(np.uint64) | np.uint64(1 << 63))
