"""Tables: a block of values counted into the cells of a sketch without sorting it.

A table's rows are cells of equal level about the bulk of the data or, where a sample holds small whole numbers, one number
each. What falls outside is kept value by value. Which table serves changes the time and never the result, which is the
block's own: the widest cells with at most `most` values each.
"""

from __future__ import annotations

import numpy as np

from tfnorm.kernels.cells import SIGN, U
from tfnorm.kernels.moments import entry, kernel

LANES = 128
WIDTH = 8192  # rows of a table for magnitudes: as many for positive numbers, then as many for negative ones
TABLE = 2 * WIDTH
OUTSIDE = np.uint16(TABLE)  # this bit says that there is no row
SPILL = 4096  # values outside the table; a column with more in one block is sorted instead
FLOAT_TABLE, WHOLE_TABLE, NO_TABLE = 0, 1, 2
ENOUGH = 0.99  # of a sample in a table leave room among SPILL values for what it does not show
MAX_LEVEL = 46  # of a table's rows: it then spans 128 powers of two, and float32 has 254
_MAGNITUDE = np.int64((1 << 63) - 1)
_ANY_OUTSIDE = U(TABLE * 0x0001_0001_0001_0001)
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
            first = max(first, ((SINGLE_BIAS + (1 << 23)) >> (level - 29)) + 16)
        first = max(first, 16) // 16 * 16  # so that sixteen rows that begin at a multiple of sixteen are a cell
        if best < m * 0.97:
            kind[j] = NO_TABLE
        shift[j], base[j] = level, first


@kernel
def _rows(bits, shift, base, out):
    """Which row of the table each value falls into: its magnitude's, WIDTH further on if it is negative.

    `bits` are float32's as uint32 or float64's as uint64, and so are `shift` and `base`.
    """
    lanes, word = len(shift), bits.dtype.type
    last = word(31) if U(word(~word(0))) == U(0xFFFFFFFF) else word(63)  # a constant to the compiler
    magnitude, width, negative = word((word(1) << last) - word(1)), word(WIDTH), word(last - word(13))
    for r in range(len(bits) // lanes):
        row, rows = bits[r * lanes : (r + 1) * lanes], out[r * lanes : (r + 1) * lanes]
        for lane in range(lanes):  # cast at every step: numba would go on in 64 bits, at half the speed
            c = word(word(row[lane] & magnitude) >> word(shift[lane] & last))
            c = min(word(c - base[lane]), width)  # below the table it wraps to far above it
            c = word(c + word(word(row[lane] >> negative) & width)) | word(word(c & width) << word(1))
            rows[lane] = c


@kernel
def _rows_whole(x, whole, origin, out):
    """As `_rows`, for features whose table has a row a whole number."""
    lanes = len(whole)
    for r in range(len(x) // lanes):
        row, rows = x[r * lanes : (r + 1) * lanes], out[r * lanes : (r + 1) * lanes]
        for lane in range(lanes):
            if whole[lane]:
                distance = float(row[lane]) - origin[lane]
                inside = 0.0 <= distance < TABLE
                c = np.int64(distance if inside else 0.0)
                # compared as a value: the distance of a tiny number from the origin is rounded to a whole one
                rows[lane] = c if inside and float(c) + origin[lane] == float(row[lane]) else TABLE


@kernel
def _tally_four(quads, first, step, t0, t1, t2, t3, aside, found):
    """Count every step-th of `quads` from `first` on, the rows in the tables of four neighbouring lanes, read as one number.

    Where a value of the four lies outside, the place of the quad is written to `aside`, from `found` on, and nothing
    counted. Returns how many there are then.
    """
    one = np.uint32(1)
    at = U(first)
    for _ in range(len(quads) // step):
        four = quads[at]
        if four & _ANY_OUTSIDE:
            aside[U(found)] = at
            found += 1
        else:
            t0[four & U(0xFFFF)] += one
            t1[(four >> U(16)) & U(0xFFFF)] += one
            t2[(four >> U(32)) & U(0xFFFF)] += one
            t3[four >> U(48)] += one
        at += U(step)
    return found


@entry
def tally(flat, bits, features, lanes, tables, first, spill, kept, zeros, rows, quads, aside):
    """Count all rows, which lie in `flat` (float32 or float64) and, as the integers of the same bits, in `bits`.

    `lanes` are the (shift, base, whole, origin) of the lanes, LANES or more and a multiple of four; `whole` is empty where no
    table is one of whole numbers. `first` is the place of the first value in the block; `spill` (features, SPILL) gets the
    places of what lies outside the tables, `kept` how many there are (even if more than fit), `zeros` how many zeros. `rows`
    (uint16, one a value), the same as `quads` (uint64) and `aside` (int64, one a value) are room to work in.
    """
    shift, base, whole, origin = lanes
    folded = len(flat) // len(shift) * len(shift)
    for start, stop, width in (
        (0, folded, len(shift)),
        (folded, len(flat), features),
    ):  # what is left over is not folded
        out = rows[start:stop]
        _rows(bits[start:stop], shift[:width], base[:width], out)
        if len(whole) > 0:
            _rows_whole(flat[start:stop], whole[:width], origin[:width], out)
    found = 0
    wide = features if features % 4 == 0 else 2 * features if features % 2 == 0 else 4 * features
    for lane in range(0, wide, 4):
        t0, t1 = tables[lane % features], tables[(lane + 1) % features]
        t2, t3 = tables[(lane + 2) % features], tables[(lane + 3) % features]
        found = _tally_four(quads[: folded // 4], lane // 4, wide // 4, t0, t1, t2, t3, aside, found)
    for i in range(4 * found + len(flat) - folded):  # the values of those quads, and the rest, one by one
        at = 4 * aside[i // 4] + i % 4 if i < 4 * found else folded + i - 4 * found
        j, value = at % features, flat[at]
        if not rows[at] & OUTSIDE:
            tables[j, rows[at]] += np.uint32(1)
        elif value == 0:
            zeros[j] += 1
        elif value - value == 0:  # NaN and infinities are nobody's
            if kept[j] < SPILL:
                spill[j, kept[j]] = first + at
            kept[j] += 1


@kernel
def _rows_together(table, row, many, sign):
    """How many values `many` rows of one sign hold."""
    total = np.uint32(0)
    for count in table[sign * WIDTH + row : sign * WIDTH + row + many]:
        total += count
    return total


@kernel
def _key_of_row(row, wider, sign, shift, base):
    """The first key of the cell that begins with this row of the table and spans 2**wider of them."""
    magnitude = U(base + row) << U(shift)
    if sign:
        return ~SIGN - magnitude - ((U(1) << U(shift + wider)) - U(1))
    return SIGN | magnitude


@kernel
def _cells_of_table(table, shift, base, most, n, keys, levels, counts):
    for sign in (1, 0):  # negative numbers from the largest magnitude down, then the positive ones upwards
        for group in range(WIDTH // 16):
            row = 16 * (WIDTH // 16 - 1 - group if sign else group)
            together = _rows_together(table, row, 16, sign)
            if together == 0:
                continue
            many, wider = (16, 4) if together <= most else (4, 2)
            for part in range(16 // many):
                first = row + many * (16 // many - 1 - part if sign else part)
                held = _rows_together(table, first, many, sign)
                if held == 0:
                    continue
                if held <= most:
                    keys[n], levels[n] = _key_of_row(first, wider, sign, shift, base), shift + wider
                    counts[n] = held
                    n += 1
                    continue
                for step in range(many):
                    single = first + (many - 1 - step if sign else step)
                    if 0 < table[sign * WIDTH + single] <= most:
                        keys[n], levels[n] = _key_of_row(single, 0, sign, shift, base), shift
                        counts[n] = table[sign * WIDTH + single]
                        n += 1
    return n


@entry
def cells_of_tables(tables, kind, shift, base, most, ends, keys, levels, counts):
    """The filled rows of all tables of floats as sorted cells, to `ends` (features,) where each feature's end. Returns how many.

    Sixteen rows, or four, become one cell at once where they hold at most `most`, which leaves `coarsen` the rest. A row
    with more is left out: its values come back one by one (`heavy_values`).
    """
    n = 0
    for j in range(len(kind)):
        if kind[j] == FLOAT_TABLE:
            n = _cells_of_table(tables[j], shift[j], base[j], most[j], n, keys, levels, counts)
        ends[j] = n
    return n


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
