"""Cells of the number line: the sketch of a distribution, exact to the count.

Finite float64 values, read as ordered integers (`key`), are the leaves of a binary tree 64 levels high. A cell is a node of it:
`(key, level)` are the 2**level keys that begin with the same bits, level 0 a single value. A sketch is a list of
(key, level, count), sorted by key, wider cells first; counts are float64 that hold integers unless there are weights.
"""

from __future__ import annotations

import numpy as np

from tfnorm.kernels.moments import entry, kernel

U = np.uint64
ONE = U(1)
SIGN = U(1 << 63)


@kernel
def _counts_in_front(words, over, full, width, below):
    """How many values lie in front of each row of a table, by key: negative numbers from the largest magnitude down first.

    `words` are its counts, as many rows at once as 64 bits hold; `over` has a row each time that its count came to `full` and
    began again. Returns from which row up to which there are any; only there is `below` filled in.
    """
    bits = 8 if full == 256 else 16
    each = 64 // bits
    half = width // each
    start, stop = 0, 2 * half  # of the words with a count, by key
    while start < half and words[2 * half - 1 - start] == U(0):
        start += 1
    while stop > half and words[stop - 1 - half] == U(0):
        stop -= 1
    for row in over:
        word = _place_of_row(row, width) // each
        start, stop = min(start, word), max(stop, word + 1)
    total = np.int64(0)
    below[each * start] = 0
    for word in range(start, stop):
        number = words[2 * half - 1 - word] if word < half else words[word - half]
        part = below[each * word + 1 : each * word + each + 1]
        back = word < half
        total = _add_up_bytes(number, back, total, part) if bits == 8 else _add_up_words(number, back, total, part)
    for row in over:
        below[_place_of_row(row, width) + 1 : each * stop + 1] += np.int32(full)
    return each * start, each * stop


@kernel
def _add_up_bytes(number, backwards, total, part):
    """Each by its name: found by a count, one at a time, they take three times as long."""
    if backwards:
        number = (number >> U(32)) | (number << U(32))
        number = ((number >> U(16)) & U(0x0000FFFF0000FFFF)) | ((number & U(0x0000FFFF0000FFFF)) << U(16))
        number = ((number >> U(8)) & U(0x00FF00FF00FF00FF)) | ((number & U(0x00FF00FF00FF00FF)) << U(8))
    total += np.int64(number & U(0xFF))
    part[0] = total
    total += np.int64((number >> U(8)) & U(0xFF))
    part[1] = total
    total += np.int64((number >> U(16)) & U(0xFF))
    part[2] = total
    total += np.int64((number >> U(24)) & U(0xFF))
    part[3] = total
    total += np.int64((number >> U(32)) & U(0xFF))
    part[4] = total
    total += np.int64((number >> U(40)) & U(0xFF))
    part[5] = total
    total += np.int64((number >> U(48)) & U(0xFF))
    part[6] = total
    total += np.int64(number >> U(56))
    part[7] = total
    return total


@kernel
def _add_up_words(number, backwards, total, part):
    """As `_add_up_bytes`."""
    if backwards:
        number = (number >> U(32)) | (number << U(32))
        number = ((number >> U(16)) & U(0x0000FFFF0000FFFF)) | ((number & U(0x0000FFFF0000FFFF)) << U(16))
    total += np.int64(number & U(0xFFFF))
    part[0] = total
    total += np.int64((number >> U(16)) & U(0xFFFF))
    part[1] = total
    total += np.int64((number >> U(32)) & U(0xFFFF))
    part[2] = total
    total += np.int64(number >> U(48))
    part[3] = total
    return total


@kernel
def _place_of_row(row, width):
    return row + width if row < width else 2 * width - 1 - row


@kernel
def _highest_bit(number):
    """Which is the highest bit that is set, 0 where there is none: by halving."""
    bit = U(0)
    for step in (U(32), U(16), U(8), U(4), U(2), U(1)):
        bit += step * U((number >> (bit + step)) != U(0))
    return np.int64(bit)


@kernel
def _together(key, level, last):
    """The narrowest cell that holds a cell of that level and all after it up to the one with the key `last`."""
    height = max(_highest_bit(key ^ last) + 1, level)
    return key & ~((ONE << U(height)) - ONE) if height < 64 else U(0), height


@kernel
def _place_in_table(key, width, shift, base):
    """How many of a table's rows lie in front of a key that some cell of their level or a wider one begins with."""
    if key >= SIGN:
        return width + min(max(np.int64((key - SIGN) >> U(shift)) - base, 0), width)
    return width - min(max(np.int64((SIGN - key) >> U(shift)) - base, 0), width)


@kernel
def _first_from(key, keys, start, stop):
    """The place of the first of the keys that is not below `key`."""
    while start < stop:
        half = (start + stop) // 2
        if keys[half] < key:
            start = half + 1
        else:
            stop = half
    return start


@kernel
def _part_rows(rows, out, used):
    """The widest cells with at most `most` of the rows `a` to `b` of a table, which hold more and lie on the side of zero where
    `key` does. Returns how many cells there are then.

    From the left: the next cell is the widest one that begins where the last one ended, mostly as wide as that. Where nothing
    but rows is, this finds what halving would, without a look at all the cells that hold too much.
    """
    key, a, b, most, below, width, shift, base = rows
    new_keys, new_levels, new_counts = out
    side = SIGN >> U(shift)
    # rows are numbered by the keys in them; this is the first one's number
    begin = side + U(base - width) if key >= SIGN else side - U(base + width)
    height = _highest_bit((begin + U(a)) ^ (begin + U(b - 1))) + 1
    at, limit = np.int64(a), below[a] + most
    while below[min(at + (1 << height), b)] > limit:
        height -= 1
        at = np.int64(((begin + U(a)) >> U(height) << U(height)) - begin)
    while at < b:
        number, front = begin + U(at), below[max(at, a)]
        limit = front + most
        if below[min(at + (1 << height), b)] <= limit:
            while not (number >> U(height)) & ONE and below[min(at + (2 << height), b)] <= limit:
                height += 1
        else:
            height -= 1
            while below[min(at + (1 << height), b)] > limit:
                height -= 1
        held = below[min(at + (1 << height), b)] - front
        if held > 0:
            new_keys[used], new_levels[used], new_counts[used] = number << U(shift), height + shift, held
            used += 1
        at += 1 << height
    return used


@kernel
def _copy(cells, start, stop, out, at):
    for i in range(start, stop):
        out[1][at + i - start], out[2][at + i - start], out[3][at + i - start] = cells[1][i], cells[2][i], cells[3][i]


@entry
def settle(cells, most, tables, out):
    """The widest cells with at most `most` (features,) each, of sketches and the rows of tables. Returns how many there are.

    From the whole number line downwards: a cell that holds too much is parted in two. `cells` are a sketch's (ends, keys,
    levels, counts); what one of them holds stays together. Where `most` is negative, they stay as they are. `tables` are
    (counts, the same as uint64, over_at, over, full, width, shift, base), as `kernels.tables` fills them: `over` from
    over_at[j] on has the rows of table j whose count came to `full` and began again, once for each time. No row holds more than
    `most`. `out` are a sketch's arrays.
    """
    ends, keys, levels, counts = cells
    _, words, over_at, over, full, width, shift, base = tables
    new_ends, new_keys, new_levels, new_counts = out
    below, sums = np.zeros(2 * width + 1, np.int32), np.zeros(len(keys) + 1)
    # of the cells still to be looked at, a stack: their first key, their level,
    begin, level = np.empty(70, np.uint64), np.empty(70, np.int64)
    low, high = np.empty(70, np.int64), np.empty(70, np.int64)  # from which row of the table up to which,
    first, last = np.empty(70, np.int64), np.empty(70, np.int64)  # and from which given cell
    used = start = 0
    for j in range(len(ends)):
        stop = ends[j]
        if most[j] < 0:
            _copy(cells, start, stop, out, used)
            used += stop - start
        else:
            a, b = _counts_in_front(words[j], over[over_at[j] : over_at[j + 1]], full, width, below)
            for i in range(start, stop):
                sums[i + 1] = sums[i] + counts[i]
            top = 0
            begin[0], level[0], low[0], high[0], first[0], last[0] = U(0), 64, a, b, start, stop
            while top >= 0:
                key, height, a, b, i, k = begin[top], level[top], low[top], high[top], first[top], last[top]
                held = float(below[b] - below[a]) + (sums[k] - sums[i])
                top -= 1
                if i == k and held == 0.0:
                    continue
                alone = k - i == 1 and below[a] == below[b]
                if held <= most[j] or height == 0 or alone:
                    held = float(below[b] - below[a])
                    for one in range(i, k):  # not by difference, which rounds where there are weights
                        held += counts[one]
                    if alone and held > most[j]:  # what one cell holds stays together
                        key, height = keys[i], np.int64(levels[i])
                    new_keys[used], new_levels[used], new_counts[used] = key, height, held
                    used += 1
                    continue
                if i == k and height < 64:
                    rows = key, a, b, np.int64(most[j]), below, width, shift[j], base[j]
                    used = _part_rows(rows, (new_keys, new_levels, new_counts), used)
                    continue
                if below[a] == below[b]:  # given cells alone
                    key, height = _together(keys[i], np.int64(levels[i]), keys[k - 1])
                if i < k and np.int64(levels[i]) == height:  # a cell that others are nested in
                    new_keys[used], new_levels[used], new_counts[used] = key, height, counts[i]
                    used, i = used + 1, i + 1
                middle = key + (ONE << U(height - 1))
                row = min(max(_place_in_table(middle, width, shift[j], base[j]), a), b) if a < b else a
                at = _first_from(middle, keys, i, k)
                top += 2
                begin[top - 1], level[top - 1], low[top - 1], high[top - 1] = middle, height - 1, row, b
                begin[top], level[top], low[top], high[top] = key, height - 1, a, row
                first[top - 1], last[top - 1], first[top], last[top] = at, k, i, at
        start, new_ends[j] = stop, used
    return used


@entry
def merge(a, b, out):
    """The sum of two sketches (ends, keys, levels, counts) of the same features, into `out`: the union of their cells. Returns
    how many there are.

    Which sketch the next cell is of is a matter of chance, which no processor foresees: it is computed, not branched upon.
    """
    ends_a, keys_a, levels_a, counts_a = a
    ends_b, keys_b, levels_b, counts_b = b
    ends, keys, levels, counts = out
    start_a = start_b = used = 0
    for j in range(len(ends)):
        stop_a, stop_b = ends_a[j], ends_b[j]
        key_a, level_a, count_a = keys_a[start_a:stop_a], levels_a[start_a:stop_a], counts_a[start_a:stop_a]
        key_b, level_b, count_b = keys_b[start_b:stop_b], levels_b[start_b:stop_b], counts_b[start_b:stop_b]
        key, level, count = keys[used:], levels[used:], counts[used:]
        many_a, many_b, i, k, n = U(len(key_a)), U(len(key_b)), U(0), U(0), U(0)
        while i < many_a and k < many_b:
            same = U(key_a[i] == key_b[k])
            of_a = U(key_a[i] < key_b[k]) | (
                same & U(level_a[i] >= level_b[k])
            )  # 0 or 1; both where it is the same cell
            of_b = U(key_a[i] > key_b[k]) | (same & U(level_a[i] <= level_b[k]))
            bits = U(0) - of_a  # none or all
            key[n] = key_b[k] ^ ((key_a[i] ^ key_b[k]) & bits)
            level[n] = U(level_b[k]) ^ ((U(level_a[i]) ^ U(level_b[k])) & bits)
            count[n] = count_a[i] * float(np.int64(of_a)) + count_b[k] * float(np.int64(of_b))
            i, k, n = i + of_a, k + of_b, n + ONE
        start_a, start_b, used = start_a + np.int64(i), start_b + np.int64(k), used + np.int64(n)
        _copy(a, start_a, stop_a, out, used)
        used += stop_a - start_a
        _copy(b, start_b, stop_b, out, used)
        used += stop_b - start_b
        start_a, start_b, ends[j] = stop_a, stop_b, used
    return used


BAD_CELL, BAD_ORDER, BAD_START = 4, 2, 1


@entry
def check(cells):
    """What is wrong with a sketch's (ends, keys, levels, counts): 0, or the sum of a level or count that no cell has, a cell
    that does not follow the one before it, and one that does not begin where its level says."""
    ends, keys, levels, counts = cells
    start, found = 0, U(0)
    for stop in ends:
        key, level, count = keys[start:stop], levels[start:stop], counts[start:stop]
        cell = order = begin = U(0)
        for i in range(len(key)):
            cell |= U(level[i] > 64) | U(not 0.0 < count[i] < np.inf)
            begin |= key[i] & (~U(0) if level[i] > 63 else (ONE << U(level[i])) - ONE)
        for i in range(1, len(key)):
            order |= U(key[i] < key[i - 1]) | (U(key[i] == key[i - 1]) & U(level[i] >= level[i - 1]))
        found |= cell * U(BAD_CELL) | order * U(BAD_ORDER) | U(begin != U(0)) * U(BAD_START)
        start = stop
    return np.int64(found)
