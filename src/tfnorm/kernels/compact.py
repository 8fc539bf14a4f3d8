"""Cells of sketches as few bytes, which is how they travel.

The one law: `unpack(pack(cells))` are the same cells, bit for bit, and bytes that are none are told.

A cell mostly begins where the one before it ended, or is the first one inside it: then a byte tells both this and its level. Else
what lies between where the two begin follows, in units of the cell's width: a byte of how many bytes (low half) behind how many
of zeros (high half), and these, the lowest first. Then its count: seven bits a byte, the lowest first, with the highest bit set
where more follow; or, where there are weights, the eight bytes of the float64. A first byte says which.
"""

from __future__ import annotations

import numpy as np

from tfnorm.kernels.moments import entry, kernel

U = np.uint64
LEVELS = 65
AT_END, AT_START, APART = (LEVELS * way for way in range(3))  # what is added to the level
MOST = 20  # bytes that a cell takes
LEAST = 2
LAST_SHIFT = 49  # of a count's bits: up to 2**53 and beyond
WHOLE, WEIGHED = 1, 0


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


@entry
def pack(cells, bits, whole, out):
    """A sketch's (ends, keys, levels, counts) into `out`, of MOST bytes a cell and one more; `bits` are the counts as uint64.
    Returns how many bytes were used; 0 where `whole` was said and a count is none, or too large."""
    ends, keys, levels, counts = cells
    out[0] = WHOLE if whole else WEIGHED
    at, i = 1, 0
    for stop in ends:
        before = after = U(0)  # where the last cell began, and ended
        while i < stop:
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
            if whole:
                count = counts[i]
                if not 0.0 <= count <= 9007199254740992.0 or count != np.floor(count):
                    return 0
                left = U(count)
                while left >= U(128):
                    out[at] = (left & U(127)) | U(128)
                    left >>= U(7)
                    at += 1
                out[at] = left
                at += 1
            else:
                left = bits[i]
                for k in range(8):
                    out[at + k] = (left >> U(8 * k)) & U(0xFF)
                at += 8
            i += 1
    return at


@entry
def unpack(code, cells, bits):
    """The other way: fills in what lies in front of the `ends`, which rise up to how many cells there is room for; `bits` are
    the counts as uint64. Returns whether the bytes were those of so many cells, to the last."""
    ends, keys, levels, counts = cells
    size = len(code)
    if size == 0 or code[0] > WHOLE:
        return False
    whole = code[0] == WHOLE
    at, i = 1, 0
    for stop in ends:
        key = after = U(0)
        while i < stop:
            if at + LEAST > size:
                return False
            level = np.int64(code[at])
            at += 1
            key = after if level < AT_START else key
            level -= LEVELS if level >= AT_START else 0
            if level >= LEVELS:
                level -= LEVELS
                many, zeros = np.int64(code[at]) & 15, np.int64(code[at]) >> 4
                at += 1
                if many > 8 or zeros > 7 or at + many >= size:
                    return False
                gap = U(0)
                for k in range(many):
                    gap |= U(code[at + k]) << U(8 * k)
                at += many
                if level > 63:
                    return False
                key = (_widths(key, level) + (gap << U(8 * zeros))) << U(level)
            keys[i], levels[i] = key, level
            after = _end(key, level)
            if whole:
                count, shift = U(code[at]) & U(127), 7
                while code[at] >= 128:
                    at += 1
                    if at >= size or shift > LAST_SHIFT:
                        return False
                    count |= (U(code[at]) & U(127)) << U(shift)
                    shift += 7
                at += 1
                counts[i] = float(count)
            else:
                if at + 8 > size:
                    return False
                count = U(0)
                for k in range(8):
                    count |= U(code[at + k]) << U(8 * k)
                bits[i] = count
                at += 8
            i += 1
    return at == size
