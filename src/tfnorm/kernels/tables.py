"""Tables: a block of values counted into the cells of a sketch without sorting it.

A table's rows are cells of equal level about the bulk of the data or, where a sample holds small whole numbers, one number
each. What falls outside is kept value by value. Which table serves changes the time and never the result, which is the
block's own: the widest cells with at most `most` values each.
"""

from __future__ import annotations

import numpy as np

from tfnorm.kernels.cells import SIGN, U, coarsen, distinct, most_in_a_cell
from tfnorm.kernels.moments import entry, kernel

LANES = 128
WIDTH = 8192  # rows of a table for magnitudes: as many for positive numbers, then as many for negative ones
TABLE = 2 * WIDTH
OUTSIDE = np.uint16(TABLE)  # from this row on there is no table
SPILL = 4096  # values outside the table; a column with more in one block is sorted instead
BLOCK_ROWS = 32  # turned from rows into columns at once
FLOAT_TABLE, WHOLE_TABLE, NO_TABLE = 0, 1, 2
MAX_LEVEL = 46  # of a table's rows: it then spans 128 powers of two, and float32 has 254
_MAGNITUDE = np.int64((1 << 63) - 1)
_SINGLE_BIAS = 896 << 23  # from float32's exponents to float64's, in units of float32's last bit


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
        # the magnitudes in the sample, as rows in order; the table lies where it holds the most of them
        rows = np.empty(m, np.int64)
        right = 0
        while right < m and row[right] < SIGN:
            right += 1
        left = right - 1
        for i in range(m):
            below = ~row[left] & U(_MAGNITUDE) if left >= 0 else SIGN
            above = row[right] & U(_MAGNITUDE) if right < m else SIGN
            if below <= above:
                rows[i], left = np.int64(below >> U(level)), left - 1
            else:
                rows[i], right = np.int64(above >> U(level)), right + 1
        best, best_at, i = 0, 0, 0
        for k in range(m):
            while rows[k] - rows[i] >= WIDTH:
                i += 1
            if k - i + 1 > best:
                best, best_at = k - i + 1, i
        spare = WIDTH - (rows[best_at + best - 1] - rows[best_at] + 1)
        first = rows[best_at] - spare // 2
        end = ((255 << 23) + _SINGLE_BIAS) >> (level - 29) if single else (2047 << 52) >> level
        first = min(first, end - WIDTH)  # infinity and NaN stay out of the table
        if single:  # below float32's normal numbers the bits count otherwise: they stay out too
            first = max(first, ((_SINGLE_BIAS + (1 << 23)) >> (level - 29)) + 16)
        first = max(first, 16) // 16 * 16  # so that sixteen rows that begin at a multiple of sixteen are a cell
        if best < m * 0.97:
            kind[j] = NO_TABLE
        shift[j], base[j] = level, first


@kernel
def _rows_single(bits, shift, base, out):
    """Which row of the table each float32 falls into: its magnitude's, WIDTH further on if it is negative."""
    lanes = len(shift)
    for r in range(len(bits) // lanes):
        row, rows = bits[r * lanes : (r + 1) * lanes], out[r * lanes : (r + 1) * lanes]
        for lane in range(lanes):
            b = row[lane]
            # a magnitude below the table wraps to far above it
            c = min((((b & 0x7FFFFFFF) >> shift[lane]) - base[lane]) & 0xFFFFFFFF, WIDTH)
            rows[lane] = (c + (((b >> 31) & 1) << 13)) | ((c & WIDTH) << 1)


@kernel
def _rows_double(bits, shift, base, out):
    """As `_rows_single`, for float64."""
    lanes = len(shift)
    for r in range(len(bits) // lanes):
        row, rows = bits[r * lanes : (r + 1) * lanes], out[r * lanes : (r + 1) * lanes]
        for lane in range(lanes):
            b = row[lane]
            c = ((b & _MAGNITUDE) >> shift[lane]) - base[lane]
            c = min(c if c >= 0 else WIDTH, WIDTH)
            rows[lane] = (c + (((b >> 63) & 1) << 13)) | ((c & WIDTH) << 1)


@kernel
def _rows_whole(x, lane_kind, origin, out):
    """As the others, for features whose table has a row a whole number."""
    lanes = len(lane_kind)
    for r in range(len(x) // lanes):
        row, rows = x[r * lanes : (r + 1) * lanes], out[r * lanes : (r + 1) * lanes]
        for lane in range(lanes):
            if lane_kind[lane] == WHOLE_TABLE:
                distance = float(row[lane]) - origin[lane]
                inside = 0.0 <= distance < TABLE
                c = np.int64(distance if inside else 0.0)
                # compared as a value: the distance of a tiny number from the origin is rounded to a whole one
                rows[lane] = c if inside and float(c) + origin[lane] == float(row[lane]) else TABLE


@kernel
def _set_aside(x, at, first, features, spill, kept, zeros):
    """The place of a value outside the tables is kept; a zero is counted, NaN and infinities are nobody's."""
    j, value = at % features, x[at]
    if value == 0:
        zeros[j] += 1
    elif value - value == 0:
        if kept[j] < SPILL:
            spill[j, kept[j]] = first + at
        kept[j] += 1


@kernel
def _turn(block, features, rows, first):
    """Copy a block of rows, one after the other in memory, into `rows` (features, ...), where each feature has its own."""
    many = len(block) // features
    for j in range(features):
        column = rows[j, first : first + many]
        at = U(j)
        for r in range(many):
            column[r] = block[at]
            at += U(features)


@kernel
def _tally(rows, n, tables, aside):
    """Count n rows of the tables, a feature at a time, whose table then stays in the nearest cache.

    The places of values outside are written to `aside`. Returns how many.
    """
    features, found = len(tables), 0
    for j in range(features):
        table, column = tables[j], rows[j, :n]
        for i in range(n):
            c = column[i]
            if c < OUTSIDE:
                table[U(c)] += np.uint32(1)
            else:
                aside[found] = i * features + j
                found += 1
    return found


@entry
def tally(single, double, features, kind, shift, base, origin, tables, first, spill, kept, zeros, rows, aside):
    """Count all rows in the tables of their features. The rows lie flat in `single` (float32) or `double` (float64).

    `first` is the place of the first value in the block; `spill` (features, SPILL) gets the places of what lies outside the
    tables, `kept` how many there are (even if more than fit), `zeros` how many zeros. `rows` (features, ...) uint16 and `aside`
    (int64, one a value) are room to work in.
    """
    fold = max(1, LANES // features)
    lanes = fold * features
    lane_shift, lane_base = np.empty(lanes, np.int64), np.empty(lanes, np.int64)
    single_shift, single_base = np.empty(lanes, np.int32), np.empty(lanes, np.int32)
    lane_kind, lane_origin = np.empty(lanes, np.int64), np.empty(lanes)
    any_whole = False
    for lane in range(lanes):
        j = lane % features
        lane_kind[lane], lane_origin[lane] = kind[j], origin[j]
        lane_shift[lane], lane_base[lane] = shift[j], base[j]
        any_whole |= kind[j] == WHOLE_TABLE
        single_shift[lane] = max(shift[j] - 29, 0)
        single_base[lane] = np.int32(base[j] - (_SINGLE_BIAS >> np.int64(single_shift[lane])))
    n = max(len(single), len(double)) // features
    block_rows = fold * (-(-BLOCK_ROWS // fold))
    block = np.empty(block_rows * features, np.uint16)
    single_bits, double_bits = single.view(np.int32), double.view(np.int64)
    for first_row in range(0, n, block_rows):
        many = min(block_rows, n - first_row)
        width = lanes if many == block_rows else features  # what is left over is not folded
        a, b = first_row * features, (first_row + many) * features
        out = block[: b - a]
        if len(single) > 0:
            _rows_single(single_bits[a:b], single_shift[:width], single_base[:width], out)
            if any_whole:
                _rows_whole(single[a:b], lane_kind[:width], lane_origin[:width], out)
        else:
            _rows_double(double_bits[a:b], lane_shift[:width], lane_base[:width], out)
            if any_whole:
                _rows_whole(double[a:b], lane_kind[:width], lane_origin[:width], out)
        _turn(out, features, rows, first_row)
    found = _tally(rows, n, tables, aside)
    if len(single) > 0:
        for i in range(found):
            _set_aside(single, aside[i], first, features, spill, kept, zeros)
    else:
        for i in range(found):
            _set_aside(double, aside[i], first, features, spill, kept, zeros)


@kernel
def key_of_number(value, scratch):
    """`keys_of` for one float64; `scratch` is float64 of length 1."""
    scratch[0] = value
    b = scratch.view(np.int64)[0]
    return U(b) ^ (U(b >> 63) | SIGN)


@kernel
def _rows_together(table, row, many, sign):
    """How many values `many` rows of one sign hold."""
    total = np.uint32(0)
    for count in table[sign * WIDTH + row : sign * WIDTH + row + many]:
        total += count
    return total


@kernel
def cells_of_table(table, kind, shift, base, origin, most, keys, levels, counts):
    """The filled rows of a table as sorted cells; the table is cleared. Returns how many.

    Sixteen rows, or four, become one cell at once where they hold at most `most`, which leaves `coarsen` the rest. A row
    with more is left out: its values come back one by one (`heavy_values`).
    """
    n = 0
    if kind == WHOLE_TABLE:
        scratch = np.empty(1)
        for at in range(TABLE):
            if table[at] != 0:
                keys[n], levels[n], counts[n] = key_of_number(origin + at, scratch), 0, table[at]
                n += 1
                table[at] = 0
        return n
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
    for at in range(TABLE):
        table[at] = 0
    return n


@kernel
def _key_of_row(row, wider, sign, shift, base):
    """The first key of the cell that begins with this row of the table and spans 2**wider of them."""
    magnitude = U(base + row) << U(shift)
    if sign:
        return ~SIGN - magnitude - ((U(1) << U(shift + wider)) - U(1))
    return SIGN | magnitude


@kernel
def with_others(n, others, zeros, spare, keys, levels, counts):
    """Merge other values' sorted keys, and zeros, into the first n cells. Returns how many there are then."""
    if len(others) == 0 and zeros == 0:
        return n
    other_keys, other_levels, other_counts = spare
    k = distinct(others, np.empty(0), other_keys, other_levels, other_counts)
    if zeros > 0:
        at = k
        while at > 0 and other_keys[at - 1] > SIGN:
            other_keys[at], other_counts[at] = other_keys[at - 1], other_counts[at - 1]
            at -= 1
        other_keys[at], other_counts[at] = SIGN, zeros
        other_levels[k] = 0
        k += 1
    # from the back, so that nothing is overwritten before it has moved
    i, j, total = n - 1, k - 1, n + k
    for at in range(total - 1, -1, -1):
        if j < 0:
            break
        if i >= 0 and keys[i] > other_keys[j]:
            keys[at], levels[at], counts[at] = keys[i], levels[i], counts[i]
            i -= 1
        else:
            keys[at], levels[at], counts[at] = other_keys[j], other_levels[j], other_counts[j]
            j -= 1
    return total


@entry
def needs_another_look(tables, kind, kept, zeros, most):
    """Which features have no table, too many values outside it, or a cell too heavy to stay whole; and, in `most`, how many
    values a cell may have."""
    found = np.zeros(len(kind), np.bool_)
    for j in range(len(kind)):
        total, largest = kept[j] + zeros[j], np.uint32(0)
        for c in tables[j]:
            total += np.int64(c)
            largest = max(largest, c)
        most[j] = most_in_a_cell(float(total))
        found[j] = kind[j] == NO_TABLE or kept[j] > SPILL or (kind[j] == FLOAT_TABLE and largest > most[j])
    return found


@entry
def sketch(table, kind, shift, base, origin, most, others, zeros, keys, levels, counts):
    """A tallied table, other values' sorted keys and zeros as the sketch of one feature. Returns how many cells it has."""
    spare = np.empty(len(others) + 1, np.uint64), np.empty(len(others) + 1, np.uint8), np.empty(len(others) + 1)
    n = cells_of_table(table, kind, shift, base, origin, most, keys, levels, counts)
    n = with_others(n, others, zeros, spare, keys, levels, counts)
    return coarsen(keys, levels, counts, n, most)


@entry
def heavy_values(column, table, shift, base, most, out):
    """Copy to `out` those of a column's float64 values that lie outside its table or in a row with more than `most`. Returns
    how many."""
    n = 0
    bits = column.view(np.int64)
    for i in range(len(column)):
        value = column[i]
        if value - value != 0.0 or value == 0.0:
            continue
        c = ((bits[i] & _MAGNITUDE) >> shift) - base
        if not 0 <= c < WIDTH or table[c + (WIDTH if value < 0.0 else 0)] > most:
            out[n] = value
            n += 1
    return n
