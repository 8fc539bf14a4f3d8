"""Tables: a block of values counted into the cells of a sketch without sorting it.

A table's rows are cells of equal level about the bulk of the data or, where a sample holds small whole numbers, one number
each. Zeros and what is not finite are counted behind it; what falls outside is kept value by value. Which table serves changes
the time and never the result, which is the block's own: the widest cells with at most `most` values each.
"""

from __future__ import annotations

import numpy as np

from tfnorm.kernels.cells import SIGN, U
from tfnorm.kernels.moments import entry, kernel
from tfnorm.kernels.turning import lay_quads, sum_of

NARROW = 32  # features; the rows of the tables of fewer lie as the values do
TOGETHER = 256  # values whose rows of the tables are found together at least
WIDTH = 16384  # rows of a table for magnitudes: as many for positive numbers, then as many for negative ones
WIDTH_BITS = WIDTH.bit_length() - 1
TABLE = 2 * WIDTH
APART = 1088  # rows between tables: were they a power of two apart, they would share a few lines of the cache
ZERO_ROW, NOT_FINITE_ROW = (
    np.uint16(TABLE),
    np.uint16(TABLE + 1),
)  # behind a table: what has no row is counted all the same
OUTSIDE = np.uint16(TABLE + WIDTH)  # of these two bits a row has one at most
OVER_STEP = 2 * TABLE
CAREFUL = -1
BYTES_ENOUGH = 1 << 18  # values of a column, of which few rows of its table get more than a byte counts
SPILL_SHARE = 64  # of a block's values as many may lie outside the table; a column with more is sorted instead
FLOAT_TABLE, WHOLE_TABLE, NO_TABLE = 0, 1, 2
ENOUGH = 0.99  # of a sample in a table leave room among what may lie outside for what it does not show
MAX_LEVEL = 45  # of a table's rows: it then spans 128 powers of two, and float32 has 254
_MAGNITUDE = np.int64((1 << 63) - 1)
_HIGHEST_BITS = U(TABLE * 0x0001_0001_0001_0001)
SINGLE_BIAS = 896 << 23  # from float32's exponents to float64's, in units of float32's last bit


@entry
def choose_tables(sample, features, target, single, kind, shift, base):
    """From sorted keys (features, m) of a sample: which table, its level and its first row, for cells of `target` of the mass.

    `single` says that the data are float32. Where `kind` is WHOLE_TABLE already, it stays; it gets NO_TABLE where none would do.
    """
    m = sample.shape[1]
    run = max(2, m // 16)
    cells_a_run = max(1.0, run / m / target)
    for j in range(features):
        row = sample[j]
        if kind[j] == WHOLE_TABLE:
            continue
        narrowest = U(0xFFFFFFFFFFFFFFFF)
        for i in range(m - run):
            width = row[i + run] - row[i]
            if U(0) < width < narrowest:
                narrowest = width
        level = 0
        while level < MAX_LEVEL and float(U(1) << U(level + 1)) * cells_a_run <= float(narrowest):
            level += 1
        level = max(level, 29) if single else level
        # the magnitudes in the sample, in order; the table lies where it holds the most of them
        magnitudes = np.empty(m, np.uint64)
        right = 0
        while right < m and row[right] < SIGN:
            right += 1
        left = right - 1
        for i in range(m):
            below = ~row[left] & U(_MAGNITUDE) if left >= 0 else SIGN
            above = row[right] & U(_MAGNITUDE) if right < m else SIGN
            if below <= above:
                magnitudes[i], left = below, left - 1
            else:
                magnitudes[i], right = above, right + 1
        rows = np.empty(m, np.int64)
        best, best_at, finest = 0, 0, level
        while True:  # a row too heavy here and there costs less than many values outside
            for i in range(m):
                rows[i] = np.int64(magnitudes[i] >> U(level))
            best, best_at, i = 0, 0, 0
            for k in range(m):
                while rows[k] - rows[i] >= WIDTH:
                    i += 1
                if k - i + 1 > best:
                    best, best_at = k - i + 1, i
            if best >= m * ENOUGH or level >= min(finest + 2, MAX_LEVEL):
                break
            level += 1
        spare = WIDTH - (rows[best_at + best - 1] - rows[best_at] + 1)
        first = rows[best_at] - spare // 2
        end = ((255 << 23) + SINGLE_BIAS) >> (level - 29) if single else (2047 << 52) >> level
        first = min(first, end - WIDTH)  # infinity and NaN stay out of the table
        if single:  # below float32's normal numbers the bits count otherwise: they stay out too
            first = max(first, ((SINGLE_BIAS + (1 << 23)) >> (level - 29)) + 1)
        first = max(first, 1)  # zero stays out as well
        if best < m * 0.97:
            kind[j] = NO_TABLE
        shift[j], base[j] = level, first


@entry
def find_whole_rows(x, origin, width, quad_step, out):
    """As `kernels.reading.find_rows`, for the features whose table has a row a whole number; `origin` is NaN where it has not."""
    lanes = len(origin)
    side = np.zeros((lanes + 3) // 4 * 4, np.uint16)
    near, quads, fours, quad_width = (
        side if quad_step > 0 else out,
        out.view(np.uint64),
        side.view(np.uint64),
        (width + 3) // 4,
    )
    for start in range(0, len(x), lanes):
        at, row = 0 if quad_step > 0 else start, x[start : start + lanes]
        found, first, rows = near[at : at + len(row)], start // width, len(row) // width
        if quad_step > 0:
            for four in range(quad_width):
                for one in range(rows):
                    fours[one * quad_width + four] = quads[four * quad_step + first + one]
        for i in range(len(row)):
            found[i] = _whole_row(row[i], origin[i], found[i])
        if quad_step > 0:
            lay_quads(fours, quad_width, rows, quad_step, quads[first:])


@kernel
def _whole_row(number, origin, otherwise):
    value = float(number)
    distance = value - origin
    inside = (distance >= 0.0) & (distance < float(TABLE))
    c = np.int32(distance if inside else 0.0)
    # compared as a value: the distance of a tiny number from the origin is rounded to a whole one
    inside &= float(c) + origin == value
    apart = ZERO_ROW if value == 0.0 else NOT_FINITE_ROW if value - value != 0.0 else OUTSIDE
    return otherwise if origin != origin else np.uint16(c) if inside else apart


@kernel
def _run_over(j, row, over, known):
    over[known[1, 0]] = j * OVER_STEP + np.int64(row)
    known[1, 0] += 1
    known[2, j] = CAREFUL


@kernel
def _tally_four(quads, at, step, lots, low, lanes, aside):
    """Count `lots` of `quads`, every step-th from `at` on, the rows in the tables of four neighbouring lanes, read as one number.

    Where a value of the four lies outside, nothing is counted and which of the quads it was is written to `aside`. Returns how
    many there are. Whether a count runs over is not asked of each, which would take a third longer.
    """
    t0, t1, t2, t3 = low[lanes[0]], low[lanes[1]], low[lanes[2]], low[lanes[3]]
    one, at, found = low.dtype.type(1), U(at), U(0)
    for i in range(lots):
        four = quads[at]
        if four & (four << U(1)) & _HIGHEST_BITS:
            aside[found] = i
            found += U(1)
        else:
            t0[four & U(0xFFFF)] += one
            t1[(four >> U(16)) & U(0xFFFF)] += one
            t2[(four >> U(32)) & U(0xFFFF)] += one
            t3[four >> U(48)] += one
        at += U(step)
    return np.int64(found)


@kernel
def _tally_four_carefully(quads, at, step, lots, low, lanes, aside, over, known):
    """As `_tally_four`, and what runs over is written down."""
    j0, j1, j2, j3 = lanes[0], lanes[1], lanes[2], lanes[3]
    t0, t1, t2, t3 = low[j0], low[j1], low[j2], low[j3]
    one, at, found = low.dtype.type(1), U(at), U(0)
    for i in range(lots):
        four = quads[at]
        if four & (four << U(1)) & _HIGHEST_BITS:
            aside[found] = i
            found += U(1)
        else:
            r0, r1, r2, r3 = four & U(0xFFFF), (four >> U(16)) & U(0xFFFF), (four >> U(32)) & U(0xFFFF), four >> U(48)
            t0[r0] += one
            if t0[r0] == 0:
                _run_over(j0, r0, over, known)
            t1[r1] += one
            if t1[r1] == 0:
                _run_over(j1, r1, over, known)
            t2[r2] += one
            if t2[r2] == 0:
                _run_over(j2, r2, over, known)
            t3[r3] += one
            if t3[r3] == 0:
                _run_over(j3, r3, over, known)
        at += U(step)
    return np.int64(found)


@kernel
def _count_again(rows, at, step, lots, own, j, low, aside, over, known):
    """Find which of table j's counts ran over in what `_tally_four` has counted: they are less than a sum of their own."""
    table, again, apart = low[j], np.zeros(low.shape[1], np.int64), 0
    for i in range(lots):
        if apart < len(aside) and aside[apart] == i:
            apart += 1
            continue
        for one in range(4):
            if own[one] == j:
                again[rows[4 * (at + i * step) + one]] += 1
    full = np.int64(1) << np.int64(8 * low.itemsize)
    for row in range(len(table)):
        before = (np.int64(table[row]) - again[row]) & (full - 1)
        for _ in range((before + again[row]) // full):
            _run_over(j, row, over, known)


@kernel
def _tally_one(row, j, place, low, over, outside, known):
    if row != OUTSIDE:
        low[j, row] += low.dtype.type(1)
        known[2, j] += known[2, j] != CAREFUL
        if low[j, row] == 0:
            _run_over(j, row, over, known)
    elif j < len(outside):  # the table after the last is of lanes that are not to be counted
        if known[0, j] < outside.shape[1]:
            outside[j, known[0, j]] = place
        known[0, j] += 1


@entry
def tally(rows, quads, quad_step, lots, lanes, stride, low, over, first, outside, known):
    """Count some lanes by their `rows` of the tables: uint16, and the same as `quads`, uint64, as `find_rows` lays them.

    A table counts to 255, or to 65,535, and begins again: so small it stays in cache. Then table * OVER_STEP + row is written to
    `over`. `lanes` says which table each is of, the last one if it is not to be counted. They are a multiple of four, and come
    `lots` of times, each time `stride` further in the block, at whose place `first` the first of them is. `outside` (features, n)
    gets the places of what lies outside the tables. `known` (3, features + 1) counts those (even if more than fit); as the first
    of its second row, how many are in `over`; and how many values each table has counted, or CAREFUL once a count has run over.
    """
    width, aside = len(lanes), np.empty(lots, np.int64)
    for lane in range(0, width, 4):
        at, step = (lane // 4 * quad_step, 1) if quad_step > 0 else (lane // 4, width // 4)
        own, careful = lanes[lane : lane + 4], False
        for j in own:
            careful |= known[2, j] == CAREFUL
        if careful:
            found = _tally_four_carefully(quads, at, step, lots, low, own, aside, over, known)
        else:
            found = _tally_four(quads, at, step, lots, low, own, aside)
        for one in range(4):
            if known[2, own[one]] != CAREFUL:
                known[2, own[one]] += lots - found
        for j in own:
            ran_over = not careful and j < len(outside) and known[2, j] != CAREFUL and sum_of(low[j]) != known[2, j]
            if ran_over:
                _count_again(rows, at, step, lots, own, j, low, aside[:found], over, known)
        for i in range(found):
            for one in range(4):
                row, place = rows[4 * (at + aside[i] * step) + one], first + aside[i] * stride + lane + one
                _tally_one(row, own[one], place, low, over, outside, known)
    if quad_step == 0:
        for at in range(lots * width, len(rows)):  # what is left of rows that lie side by side
            _tally_one(rows[at], lanes[at - lots * width], first + at, low, over, outside, known)


@entry
def heavy_values(column, bits, table, shift, base, most, out):
    """Copy to `out` those of a column's float64 values (as int64: `bits`) that lie outside its table or in a row with more
    than `most`. Returns how many."""
    n = 0
    for i in range(len(column)):
        value = column[i]
        if value - value != 0.0 or value == 0.0:
            continue
        c = ((bits[i] & _MAGNITUDE) >> shift) - base
        if not 0 <= c < WIDTH or table[c + (WIDTH if value < 0.0 else 0)] > most:
            out[n] = value
            n += 1
    return n
