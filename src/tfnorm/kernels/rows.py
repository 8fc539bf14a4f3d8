"""Norms of rows in one pass over memory: `maps.RowNorm`, step for step.

Sums run over eight numbers side by side, and longer rows are halved until PAIRWISE is left, as NumPy does: its very bits.
"""

# ruff: noqa: E702  eight of a kind in a line
# fmt: off

from __future__ import annotations

import numpy as np

from tfnorm.kernels.moments import entry, kernel

PAIRWISE = 128
BLOCK_VALUES = 1024  # of a block of rows, in the nearest cache


@kernel
def _larger(a, b):
    return b if b > a else a


@kernel
def _largest(row):
    """The largest absolute value of those that are there."""
    zero = row.dtype.type(0.0)
    a = b = c = d = e = f = g = h = zero
    whole = len(row) // 8 * 8
    for i in range(0, whole, 8):
        a = _larger(a, abs(row[i])); b = _larger(b, abs(row[i + 1])); c = _larger(c, abs(row[i + 2]))
        d = _larger(d, abs(row[i + 3])); e = _larger(e, abs(row[i + 4])); f = _larger(f, abs(row[i + 5]))
        g = _larger(g, abs(row[i + 6])); h = _larger(h, abs(row[i + 7]))
    for i in range(whole, len(row)):
        a = _larger(a, abs(row[i]))
    return _larger(_larger(_larger(a, b), _larger(c, d)), _larger(_larger(e, f), _larger(g, h)))


@kernel
def _squares(row):
    zero = row.dtype.type(0.0)
    a = b = c = d = e = f = g = h = zero
    whole = len(row) // 8 * 8
    for i in range(0, whole, 8):
        a += row[i] * row[i]; b += row[i + 1] * row[i + 1]; c += row[i + 2] * row[i + 2]; d += row[i + 3] * row[i + 3]
        e += row[i + 4] * row[i + 4]; f += row[i + 5] * row[i + 5]; g += row[i + 6] * row[i + 6]; h += row[i + 7] * row[i + 7]
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for i in range(whole, len(row)):
        total += row[i] * row[i]
    return total


@kernel
def _sizes(row):
    zero = row.dtype.type(0.0)
    a = b = c = d = e = f = g = h = zero
    whole = len(row) // 8 * 8
    for i in range(0, whole, 8):
        a += abs(row[i]); b += abs(row[i + 1]); c += abs(row[i + 2]); d += abs(row[i + 3])
        e += abs(row[i + 4]); f += abs(row[i + 5]); g += abs(row[i + 6]); h += abs(row[i + 7])
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for i in range(whole, len(row)):
        total += abs(row[i])
    return total


@kernel
def _sum(row, square):
    if len(row) <= PAIRWISE:
        return _squares(row) if square else _sizes(row)
    half = len(row) // 2 // 8 * 8
    return _sum(row[:half], square) + _sum(row[half:], square)


@entry
def unit(x, order, out):
    """out = x / norm of each row, of order 1, 2 or infinite; x and out are (rows, values) and contiguous.

    Step by step for the rows of a block, so that a row need not wait for the last one's root and division.
    """
    zero, one = x.dtype.type(0.0), x.dtype.type(1.0)
    values = x.shape[1]
    rows = max(1, BLOCK_VALUES // values)
    divisor = np.empty(rows, x.dtype)
    present = np.empty(values, x.dtype)
    for start in range(0, len(x), rows):
        block, result = x[start : start + rows], out[start : start + rows]
        for g in range(len(block)):
            largest = _largest(block[g])
            divisor[g] = one if largest == zero else largest
        for g in range(len(block)):
            by = divisor[g]
            for i in range(values):
                result[g, i] = block[g, i] / by
        if order > 2:
            continue
        for g in range(len(block)):
            norm = _sum(result[g], order == 2)
            if norm != norm:  # missing values add nothing
                for i in range(values):
                    present[i] = result[g, i] if block[g, i] == block[g, i] else zero
                norm = _sum(present, order == 2)
            norm = np.sqrt(norm) if order == 2 else norm
            divisor[g] = one if norm == zero else norm
        for g in range(len(block)):
            by = divisor[g]
            for i in range(values):
                result[g, i] /= by
