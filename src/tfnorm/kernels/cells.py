"""Cells of the number line: the sketch of a distribution, exact to the count.

Finite float64 values, read as ordered integers (`key`), are the leaves of a binary tree 64 levels high. A cell is a node of it:
`(key, level)` are the 2**level keys that begin with the same bits, level 0 a single value. A sketch is a list of
(key, level, count), sorted by key, wider cells first; counts are float64 that hold integers unless there are weights.

A block of values is tallied in a table: in one whose rows are cells of equal level about the bulk of the data, or, where a
sample holds small whole numbers, in one a number. What falls outside is kept value by value. Which table serves
changes the time and never the result, which is the block's own: the widest cells with at most `most` values each.
"""

from __future__ import annotations

import numpy as np

from tfnorm.kernels.moments import kernel

WIDTH = 8192  # rows of a table for magnitudes; each has one cell for either sign
TABLE = 2 * WIDTH
TRASH = np.uint16(TABLE)
RESOLUTION = 800.0  # a cell of several values holds at most this part of a block
EXACT = 4096  # up to as many values in a block, each is kept
SPILL = 4096  # values outside the table; a column with more in one block is sorted instead
FLOAT_TABLE, WHOLE_TABLE, NO_TABLE = 0, 1, 2
U = np.uint64
_SIGN = U(1 << 63)
_MAGNITUDE = np.int64((1 << 63) - 1)
_SINGLE_BIAS = 896 << 23  # from float32's exponents to float64's, in units of float32's last bit


@kernel
def keys_of(bits, keys):
    """Ordered integers from the bits (int64) of float64 values."""
    for i in range(len(bits)):
        b = bits[i]
        keys[i] = U(b) ^ (U(b >> 63) | _SIGN)


@kernel
def choose_tables(sample, features, target, single, kind, shift, base, origin):
    """From sorted keys (features, m) of a sample: which table, its level and its first row, for cells of `target` of the mass.

    `single` says that the data are float32. `origin` holds the first number of a table of whole numbers; `kind` says where
    those are to be used, and gets NO_TABLE where none would do.
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
        while level < 58 and float(U(1) << U(level + 1)) * cells_a_run <= float(narrowest):
            level += 1
        level = max(level, 29) if single else level
        # the magnitudes in the sample, as rows; the table lies where it holds the most of them
        rows = np.empty(m, np.int64)
        for i in range(m):
            magnitude = row[i] ^ _SIGN if row[i] >= _SIGN else ~row[i]
            rows[i] = np.int64((magnitude & U(_MAGNITUDE)) >> U(level))
        rows.sort()
        best, best_at, i = 0, 0, 0
        for k in range(m):
            while rows[k] - rows[i] >= WIDTH:
                i += 1
            if k - i + 1 > best:
                best, best_at = k - i + 1, i
        spare = WIDTH - (rows[best_at + best - 1] - rows[best_at] + 1)
        first = rows[best_at] - spare // 2
        if single:  # below float32's normal numbers the bits count otherwise: they stay out of the table
            first = max(first, ((_SINGLE_BIAS + (1 << 23)) >> (level - 29)) + 1)
        first = max(first, 1)
        if best < m * 0.97:
            kind[j] = NO_TABLE
        shift[j], base[j] = level, first
        origin[j] = 0.0


@kernel
def _rows_single(bits, shift, base, out):
    """Which row of the table each float32 falls into: twice its magnitude's row, plus its sign."""
    lanes = len(shift)
    for r in range(len(bits) // lanes):
        row, rows = bits[r * lanes : (r + 1) * lanes], out[r * lanes : (r + 1) * lanes]
        for lane in range(lanes):
            b = row[lane]
            c = ((b & 0x7FFFFFFF) >> shift[lane]) - base[lane]
            c = c if 0 <= c < WIDTH else WIDTH
            rows[lane] = c + c + ((b >> 31) & (1 if c < WIDTH else 0))


@kernel
def _rows_double(bits, shift, base, out):
    lanes = len(shift)
    for r in range(len(bits) // lanes):
        row, rows = bits[r * lanes : (r + 1) * lanes], out[r * lanes : (r + 1) * lanes]
        for lane in range(lanes):
            b = row[lane]
            c = ((b & _MAGNITUDE) >> shift[lane]) - base[lane]
            c = c if 0 <= c < WIDTH else WIDTH
            rows[lane] = c + c + ((b >> 63) & (1 if c < WIDTH else 0))


@kernel
def _rows_whole(x, kind, origin, out):
    """As the others, for features whose table has a row a whole number."""
    lanes = len(kind)
    for r in range(len(x) // lanes):
        row, rows = x[r * lanes : (r + 1) * lanes], out[r * lanes : (r + 1) * lanes]
        for lane in range(lanes):
            if kind[lane] == WHOLE_TABLE:
                distance = float(row[lane]) - origin[lane]
                inside = 0.0 <= distance < TABLE
                c = np.int64(distance if inside else 0.0)
                rows[lane] = c if inside and float(c) == distance else TABLE


@kernel
def _tally(rows, x, features, first_feature, kind, tables, spill, spilled, zeros):
    """Count one chunk's rows of the tables; zeros, and values outside, are kept apart. NaN and infinities are nobody's."""
    n = len(x) // features
    for j in range(features):
        f = first_feature + j
        if kind[f] == NO_TABLE:
            continue
        table, out, kept = tables[j], spill[j], spilled[f]
        at = U(j)
        for _ in range(n):
            c = rows[at]
            if c < TRASH:
                table[U(c)] += np.uint32(1)
            else:
                value = float(x[at])
                if value == 0.0:
                    zeros[f] += 1
                elif value - value == 0.0:
                    if kept < SPILL:
                        out[kept] = value
                    kept += 1
            at += U(features)
        spilled[f] = kept


@kernel
def tally(x, bits, features, single, kind, shift, base, origin, tables, spill, spilled, zeros):
    """Count all rows in `x` (flat; `bits` are the same memory as integers) in the tables of its features."""
    fold = max(1, 64 // features)
    lanes = fold * features
    rows_a_chunk = max(fold, (1 << 14) // features // fold * fold)
    lane_shift, lane_base = np.empty(lanes, np.int64), np.empty(lanes, np.int64)
    lane_kind, lane_origin = np.empty(lanes, np.int64), np.empty(lanes)
    any_whole = False
    for lane in range(lanes):
        j = lane % features
        lane_kind[lane], lane_origin[lane] = kind[j], origin[j]
        lane_shift[lane], lane_base[lane] = shift[j], base[j]
        any_whole |= kind[j] == WHOLE_TABLE
        if single:
            lane_shift[lane] = max(shift[j] - 29, 0)
            lane_base[lane] = base[j] - (_SINGLE_BIAS >> lane_shift[lane])
    rows = np.empty(rows_a_chunk * features, np.uint16)
    n = len(x) // features
    for first in range(0, n, rows_a_chunk):
        start, stop = first * features, min(first + rows_a_chunk, n) * features
        whole_lanes = (stop - start) // lanes * lanes
        for part in range(2):  # the folded rows, then those left over
            a, b = (start, start + whole_lanes) if part == 0 else (start + whole_lanes, stop)
            width = lanes if part == 0 else features
            out = rows[a - start : b - start]
            if single:
                _rows_single(bits[a:b], lane_shift[:width], lane_base[:width], out)
            else:
                _rows_double(bits[a:b], lane_shift[:width], lane_base[:width], out)
            if any_whole:
                _rows_whole(x[a:b], lane_kind[:width], lane_origin[:width], out)
        _tally(rows[: stop - start], x[start:stop], features, 0, kind, tables, spill, spilled, zeros)


@kernel
def key_of_number(value, scratch):
    """`keys_of` for one float64; `scratch` is float64 of length 1."""
    scratch[0] = value
    b = scratch.view(np.int64)[0]
    return U(b) ^ (U(b >> 63) | _SIGN)


@kernel
def items_of(table, kind, shift, base, origin, others, zeros, keys, levels, counts):
    """A tallied table, the other values' keys (sorted) and the zeros as one sorted list of cells; the table is cleared.

    Returns how many there are.
    """
    n, k = 0, 0
    scratch = np.empty(1)
    size = TABLE
    level = np.uint8(0 if kind == WHOLE_TABLE else shift)
    zero_key, zero_left = _SIGN, zeros
    for index in range(size + 1):
        if index < size:
            if kind == WHOLE_TABLE:
                at = index
            else:  # negative magnitudes from the largest down, then the positive ones upwards
                at = 2 * (WIDTH - 1 - index) + 1 if index < WIDTH else 2 * (index - WIDTH)
            count = table[at]
            if count == 0:
                continue
            table[at] = 0
            if kind == WHOLE_TABLE:
                key = key_of_number(origin + at, scratch)
            elif at & 1:
                key = ~(_SIGN | (U(base + (at >> 1)) << U(shift))) - ((U(1) << U(shift)) - U(1))
            else:
                key = _SIGN | (U(base + (at >> 1)) << U(shift))
        else:
            count, key = 0, U(0xFFFFFFFFFFFFFFFF)
        while True:  # what lies before this row of the table
            next_other = others[k] if k < len(others) else U(0xFFFFFFFFFFFFFFFF)
            if zero_left > 0 and zero_key < key and zero_key < next_other:
                keys[n], levels[n], counts[n] = zero_key, 0, zero_left
                n, zero_left = n + 1, 0
            elif k < len(others) and next_other < key:
                if n > 0 and keys[n - 1] == next_other and levels[n - 1] == 0:
                    counts[n - 1] += 1
                else:
                    keys[n], levels[n], counts[n] = next_other, 0, 1
                    n += 1
                k += 1
            else:
                break
        if count > 0:
            keys[n], levels[n], counts[n] = key, level, count
            n += 1
    return n


@kernel
def distinct(sorted_keys, weights, keys, levels, counts):
    """Sorted keys as single-value cells with their numbers (or weights, where there are any). Returns how many."""
    n = 0
    for i in range(len(sorted_keys)):
        weight = weights[i] if len(weights) > 0 else 1.0
        if n > 0 and keys[n - 1] == sorted_keys[i]:
            counts[n - 1] += weight
        else:
            keys[n], levels[n], counts[n] = sorted_keys[i], 0, weight
            n += 1
    return n


@kernel
def _parting(key, level, next_key):
    """The level at which the next cell leaves this one: inside it where it is nested, else where their bits differ first."""
    different = key ^ next_key
    bit = U(0)
    for step in (U(32), U(16), U(8), U(4), U(2), U(1)):  # its highest set bit, by halving
        bit += step * U((different >> (bit + step)) != U(0))
    return max(np.int64(bit), np.int64(level) - 1)


@kernel
def coarsen(keys, levels, counts, n, most):
    """Replace cells by the widest ones with at most `most` in all, in place; a cell with more stays. Returns how many.

    One sweep builds the tree of the cells from the levels at which neighbours part, as one builds a Cartesian tree.
    """
    if n <= 1 or most < 1.0:
        return n
    depth = 2 * 64 + 2  # levels part ever lower up the stack, a cell and what is nested in it at the same level
    first = np.empty(depth, np.int64)  # of a subtree on the stack: its first cell,
    total = np.empty(depth)  # what it holds, -1 where it is settled already,
    height = np.empty(depth, np.int64)  # its own level,
    gap = np.empty(depth, np.int64)  # and the level at which it parts from the one below it on the stack
    top = -1
    for i in range(n + 1):
        parting = _parting(keys[i - 1], levels[i - 1], keys[i]) if 0 < i < n else 64
        while top >= 1 and (i == n or gap[top] < parting):
            joint, bottom = gap[top], top - 1
            if bottom > 0 and gap[bottom] == joint:  # a cell and both its halves join as one
                bottom -= 1
            whole = 0.0
            for side in range(bottom, top + 1):
                whole += total[side] if total[side] >= 0.0 else most + 1.0
            for side in range(bottom, top + 1):
                if whole > most:
                    if total[side] >= 0.0:
                        levels[first[side]], counts[first[side]] = max(height[side], joint), total[side]
                        total[side] = -1.0
                elif side > bottom:
                    counts[first[side]] = 0.0  # it lives on in its neighbour
            if whole <= most:
                total[bottom], height[bottom] = whole, joint + 1
            top = bottom
        if i < n:
            top += 1
            first[top], height[top], gap[top] = i, levels[i], parting
            total[top] = counts[i] if counts[i] <= most else -1.0
    if total[0] >= 0.0:
        levels[first[0]], counts[first[0]] = height[0], total[0]
    kept = 0
    for i in range(n):
        if counts[i] > 0.0:
            level = U(levels[i])
            mask = U(0) if level >= U(64) else ~((U(1) << level) - U(1))
            keys[kept], levels[kept], counts[kept] = keys[i] & mask, levels[i], counts[i]
            kept += 1
    return kept


@kernel
def merge(keys_a, levels_a, counts_a, keys_b, levels_b, counts_b, keys, levels, counts):
    """The sum of two sketches of one feature: the union of their cells. Returns how many there are."""
    i = k = n = 0
    while i < len(keys_a) or k < len(keys_b):
        take_a = k >= len(keys_b) or (
            i < len(keys_a)
            and (keys_a[i] < keys_b[k] or (keys_a[i] == keys_b[k] and levels_a[i] >= levels_b[k]))
        )
        take_b = i >= len(keys_a) or (
            k < len(keys_b)
            and (keys_b[k] < keys_a[i] or (keys_b[k] == keys_a[i] and levels_b[k] >= levels_a[i]))
        )
        if take_a:
            keys[n], levels[n], counts[n] = keys_a[i], levels_a[i], counts_a[i]
            i += 1
            if take_b:
                counts[n] += counts_b[k]
                k += 1
        else:
            keys[n], levels[n], counts[n] = keys_b[k], levels_b[k], counts_b[k]
            k += 1
        n += 1
    return n


@kernel
def most_in_a_cell(total):
    """How many of `total` values a cell may hold that is not a single value: none while every value can be kept."""
    return 0.0 if total <= EXACT else np.floor(total / RESOLUTION)


@kernel
def sketch_tables(tables, spill, spilled, zeros, kind, shift, base, origin, sizes, keys, levels, counts):
    """Turn the tallied tables of all features into sketches, one after the other, and clear them.

    `sizes` gets the number of cells of each, or -1 for a feature that needs another look (`heavy_values`): one without a
    table, with too many values outside it, or with a cell too heavy to stay whole. Its table is left as it is.
    """
    used = 0
    scratch = np.empty(SPILL, np.uint64)
    for j in range(len(kind)):
        total, largest = float(spilled[j] + zeros[j]), np.uint32(0)
        for c in tables[j]:
            total += c
            largest = max(largest, c)
        most = most_in_a_cell(total)
        if kind[j] == NO_TABLE or spilled[j] > SPILL or (kind[j] == FLOAT_TABLE and largest > most):
            sizes[j] = -1
            continue
        others = scratch[: spilled[j]]
        keys_of(spill[j, : spilled[j]].view(np.int64), others)
        others.sort()
        room = slice(used, len(keys))
        n = items_of(
            tables[j], kind[j], shift[j], base[j], origin[j], others, zeros[j], keys[room], levels[room], counts[room]
        )
        sizes[j] = coarsen(keys[room], levels[room], counts[room], n, most)
        used += sizes[j]
    return used


@kernel
def heavy_values(x, j, features, table, shift, base, most, out):
    """Copy to `out` the float64 values of feature j that lie outside its table or in a cell with more than `most` values, which
    is then emptied. Returns how many."""
    n = 0
    view = np.empty(1)
    bits = view.view(np.int64)
    for i in range(len(x) // features):
        view[0] = x[i * features + j]
        c = ((bits[0] & _MAGNITUDE) >> shift) - base
        value = view[0]
        if value - value != 0.0 or value == 0.0:
            continue
        if not 0 <= c < WIDTH or table[2 * c + (1 if value < 0.0 else 0)] > most:
            out[n] = value
            n += 1
    for c in range(TABLE):
        if table[c] > most:
            table[c] = 0
    return n


@kernel
def coarsen_all(ends, keys, levels, counts, resolution):
    """`coarsen` every feature of a sketch, in place, to cells of at most 1/resolution of it. Returns how many cells are left."""
    used, start = 0, 0
    for j in range(len(ends)):
        stop = ends[j]
        n = stop - start
        for i in range(n):
            keys[used + i], levels[used + i], counts[used + i] = keys[start + i], levels[start + i], counts[start + i]
        if n > EXACT or (n > 0 and levels[used : used + n].max() > 0):
            most = np.floor(counts[used : used + n].sum() / resolution)
            n = coarsen(keys[used : used + n], levels[used : used + n], counts[used : used + n], n, most)
        used, start = used + n, stop
        ends[j] = used
    return used


@kernel
def add(a, b, max_cells, out):
    """The sum of two sketches (ends, keys, levels, counts) of the same features, into `out`. Returns how many cells it has."""
    used = start_a = start_b = 0
    for j in range(len(a[0])):
        stop_a, stop_b = a[0][j], b[0][j]
        keys, levels, counts = out[1][used:], out[2][used:], out[3][used:]
        n = merge(
            a[1][start_a:stop_a], a[2][start_a:stop_a], a[3][start_a:stop_a],
            b[1][start_b:stop_b], b[2][start_b:stop_b], b[3][start_b:stop_b],
            keys, levels, counts,
        )  # fmt: skip
        if n > max_cells:
            total = counts[:n].sum()
            resolution = 2.0 * RESOLUTION
            while n > max_cells:  # finer cells first; rarely twice
                n = coarsen(keys, levels, counts, n, np.floor(total / resolution))
                resolution /= 2.0
        used, start_a, start_b = used + n, stop_a, stop_b
        out[0][j] = used
    return used
