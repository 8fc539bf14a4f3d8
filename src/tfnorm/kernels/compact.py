"""Cells of sketches as few bytes, which is how they travel.

The one law: `unpack(pack(cells))` are the same cells, bit for bit, and bytes that are none are told.

A cell mostly begins where the one before it ended, or is the first one inside it: then a byte tells both this and its level. Else
what lies between where the two begin follows, in units of the cell's width: a byte of how many bytes (low half) behind how many
of zeros (high half), and these, the lowest first. Then its count, in as many bytes as the largest one of its feature takes,
which a byte in front of each feature tells; where that is 0, there are weights, and a count is the eight bytes of its float64.
"""

from __future__ import annotations

import numpy as np

from tfnorm.kernels.moments import entry, kernel

U = np.uint64
LEVELS = 65
AT_END, AT_START, APART = (LEVELS * way for way in range(3))  # what is added to the level
MOST = 18  # bytes that a cell takes; and one more for each feature
LEAST = 2
LARGEST = 9007199254740992.0  # up to here float64 has every whole number


@kernel
def _end(key, level):
    """The key behind a cell; 0 behind the last one there is."""
    return key + (U(1) << U(level)) if level < 64 else U(0)


@kernel
def _widths(key, level):
    """How many cells of that level lie in front of a key."""
    return key >> U(level) if level < 64 else U(0)


@kernel
def _put_gap(gap, out, at):
    zeros, many = 0, 0
    while gap != U(0) and gap & U(0xFF) == U(0):
        gap >>= U(8)
        zeros += 1
    begin = at
    at += 1
    while gap != U(0):
        out[at] = gap & U(0xFF)
        gap >>= U(8)
        at += 1
        many += 1
    out[begin] = zeros * 16 + many
    return at


@kernel
def _width(count):
    """How many bytes the largest of some counts takes; 0 where not all are whole numbers that float64 can tell apart."""
    whole, largest = True, 0.0
    for one in count:
        whole &= one == np.floor(one)
        largest = max(largest, one)
    if not whole or not largest <= LARGEST:
        return 0
    width, left = 1, U(largest) >> U(8)
    while left != U(0):
        width, left = width + 1, left >> U(8)
    return width


@kernel
def _put(bits, width, out, at):
    for k in range(width):
        out[at + k] = (bits >> U(8 * k)) & U(0xFF)
    return at + width


@kernel
def _got(code, at, width):
    bits = U(code[at])
    if width > 1:
        bits |= U(code[at + 1]) << U(8)
    for k in range(2, width):  # seldom
        bits |= U(code[at + k]) << U(8 * k)
    return bits


@entry
def pack(cells, bits, out):
    """A sketch's (ends, keys, levels, counts) into `out`, which has room for MOST bytes a cell and one a feature; `bits` are the
    counts as uint64. Returns how many bytes were used."""
    ends, keys, levels, counts = cells
    at = start = 0
    for stop in ends:
        width = _width(counts[start:stop])
        out[at] = width
        at += 1
        before = after = U(0)  # where the last cell began, and ended
        for i in range(start, stop):
            key, level = keys[i], levels[i]
            if key == after:
                out[at] = level + AT_END
                at += 1
            elif key == before:
                out[at] = level + AT_START
                at += 1
            else:
                out[at] = level + APART
                at = _put_gap(_widths(key, level) - _widths(before, level), out, at + 1)
            before, after = key, _end(key, level)
            at = _put(U(counts[i]), width, out, at) if width else _put(bits[i], 8, out, at)
        start = stop
    return at


@entry
def unpack(code, cells, bits):
    """The other way: fills in what lies in front of the `ends`, which rise up to how many cells there is room for; `bits` are
    the counts as uint64. Returns whether the bytes were those of so many cells, to the last."""
    ends, keys, levels, counts = cells
    size = len(code)
    at = start = 0
    for stop in ends:
        if at >= size or code[at] > 8:
            return False
        width = np.int64(code[at])
        at += 1
        key = after = U(0)
        for i in range(start, stop):
            if at >= size:
                return False
            level = np.int64(code[at])
            at += 1
            inside = np.int64(level >= AT_START)
            key = after ^ ((after ^ key) & (U(0) - U(inside)))  # by chance one or the other, so not by a branch
            level -= LEVELS * inside
            if level >= LEVELS:
                level -= LEVELS
                if at >= size:
                    return False
                many, zeros = np.int64(code[at]) & 15, np.int64(code[at]) >> 4
                at += 1
                if level > 63 or many > 8 or zeros > 7 or at + many > size:
                    return False
                gap = (_got(code, at, many) if many else U(0)) << U(8 * zeros)
                at += many
                key = (_widths(key, level) + gap) << U(level)
            keys[i], levels[i] = key, level
            after = _end(key, level)
            if at + (width or 8) > size:
                return False
            if width:
                counts[i] = float(_got(code, at, width))
                at += width
            else:
                bits[i] = _got(code, at, 8)
                at += 8
        start = stop
    return at == size
