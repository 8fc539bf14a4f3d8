"""Norms of rows in one pass over memory: `maps.RowNorm`, step for step.

Sums run over eight numbers side by side, and longer rows are halved until PAIRWISE is left, as NumPy does: its very bits.
"""

# ruff: noqa: E702  eight of a kind in a line
# fmt: off

from __future__ import annotations

import numpy as np

from tfnorm.kernels.moments import entry, kernel

PAIRWISE = 128


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
    """out = x / norm of each row, of order 1, 2 or infinite; x and out are (rows, values) and contiguous."""
    zero, one = x.dtype.type(0.0), x.dtype.type(1.0)
    for g in range(len(x)):
        row, result = x[g], out[g]
        largest = _largest(row)
        largest = one if largest == zero else largest
        for i in range(len(row)):
            result[i] = row[i] / largest
        if order > 2:
            missing = 0
            for i in range(len(row)):
                missing += row[i] != row[i]
            if missing:
                result[:] = np.nan
            continue
        norm = _sum(result, order == 2)
        norm = np.sqrt(norm) if order == 2 else norm
        norm = one if norm == zero else norm
        for i in range(len(row)):
            result[i] /= norm
