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


@kernel
def _careful(row, order, plain, present, result):
    """result = row / norm where values are missing, or so large or small that they must be divided by the largest first."""
    zero, one = row.dtype.type(0.0), row.dtype.type(1.0)
    for i in range(len(row)):  # missing values add nothing
        present[i] = row[i] if row[i] == row[i] else zero
    size = zero if order > 2 else _sum(present, order == 2)
    largest = one
    if not (size > one / plain and size < plain):
        largest = _largest(present)
        largest = one if largest == zero else largest
    for i in range(len(row)):
        result[i] = row[i] / largest
        present[i] = present[i] / largest
    if order > 2:
        return
    norm = _sum(present, order == 2)
    norm = np.sqrt(norm) if order == 2 else norm
    norm = one if norm == zero else norm
    for i in range(len(row)):
        result[i] /= norm


@entry
def unit(x, order, plain, out):
    """out = x / norm of each row, of order 1, 2 or infinite; x and out are (rows, values) and contiguous.

    Step by step for the rows of a block, so that a row need not wait for the last one's root and division.
    """
    zero, one = x.dtype.type(0.0), x.dtype.type(1.0)
    plain = x.dtype.type(plain)
    values = x.shape[1]
    rows = max(1, BLOCK_VALUES // values)
    divisor, present = np.empty(rows, x.dtype), np.empty(values, x.dtype)
    for start in range(0, len(x), rows):
        block, result = x[start : start + rows], out[start : start + rows]
        for g in range(len(block)):
            if order > 2:
                divisor[g] = _largest(block[g])
                continue
            size = _sum(block[g], order == 2)
            divisor[g] = np.sqrt(size) if order == 2 else size
            if not (size > one / plain and size < plain):
                divisor[g] = zero
        for g in range(len(block)):
            by = divisor[g]
            if by == zero:
                _careful(block[g], order, plain, present, result[g])
                continue
            for i in range(values):
                result[g, i] = block[g, i] / by
