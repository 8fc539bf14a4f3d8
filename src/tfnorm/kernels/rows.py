"""Norms of rows in one pass over memory: `maps.RowNorm`, step for step.

Sums run over eight numbers side by side, and longer rows are halved until PAIRWISE is left, as NumPy does: its very bits. Rows
are looked through block by block: to hand a single one on takes as long as to sum it up.
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
def _largest(x, found):
    """The largest absolute value in each row (rows, values) of those that are there."""
    zero, values = x.dtype.type(0.0), x.shape[1]
    whole = values // 8 * 8
    for r in range(len(x)):
        a = b = c = d = e = f = g = h = zero
        for i in range(0, whole, 8):
            a = _larger(a, abs(x[r, i])); b = _larger(b, abs(x[r, i + 1])); c = _larger(c, abs(x[r, i + 2]))
            d = _larger(d, abs(x[r, i + 3])); e = _larger(e, abs(x[r, i + 4])); f = _larger(f, abs(x[r, i + 5]))
            g = _larger(g, abs(x[r, i + 6])); h = _larger(h, abs(x[r, i + 7]))
        for i in range(whole, values):
            a = _larger(a, abs(x[r, i]))
        found[r] = _larger(_larger(_larger(a, b), _larger(c, d)), _larger(_larger(e, f), _larger(g, h)))


@kernel
def _squares(x, first, last, found):
    zero, whole = x.dtype.type(0.0), first + (last - first) // 8 * 8
    for r in range(len(x)):
        a = b = c = d = e = f = g = h = zero
        for i in range(first, whole, 8):
            a += x[r, i] * x[r, i]; b += x[r, i + 1] * x[r, i + 1]; c += x[r, i + 2] * x[r, i + 2]
            d += x[r, i + 3] * x[r, i + 3]; e += x[r, i + 4] * x[r, i + 4]; f += x[r, i + 5] * x[r, i + 5]
            g += x[r, i + 6] * x[r, i + 6]; h += x[r, i + 7] * x[r, i + 7]
        total = ((a + b) + (c + d)) + ((e + f) + (g + h))
        for i in range(whole, last):
            total += x[r, i] * x[r, i]
        found[r] = total


@kernel
def _sizes(x, first, last, found):
    zero, whole = x.dtype.type(0.0), first + (last - first) // 8 * 8
    for r in range(len(x)):
        a = b = c = d = e = f = g = h = zero
        for i in range(first, whole, 8):
            a += abs(x[r, i]); b += abs(x[r, i + 1]); c += abs(x[r, i + 2]); d += abs(x[r, i + 3])
            e += abs(x[r, i + 4]); f += abs(x[r, i + 5]); g += abs(x[r, i + 6]); h += abs(x[r, i + 7])
        total = ((a + b) + (c + d)) + ((e + f) + (g + h))
        for i in range(whole, last):
            total += abs(x[r, i])
        found[r] = total


@kernel
def _halves(values, first, last, after):
    """The parts of a row that are summed by themselves, from where to where, and how many sums of two follow each. Returns how
    many there are.

    Halved and halved again from a list of what is still to be halved: numba's cache does not bear what calls itself.
    """
    waiting, number, left = np.empty((128, 3), np.int64), 0, 1
    waiting[0, 0], waiting[0, 1], waiting[0, 2] = 0, values, 0
    while left > 0:
        left -= 1
        start, stop, sums = waiting[left, 0], waiting[left, 1], waiting[left, 2]
        if stop - start <= PAIRWISE:
            first[number], last[number], after[number] = start, stop, sums
            number += 1
            continue
        half = start + (stop - start) // 2 // 8 * 8
        waiting[left, 0], waiting[left, 1], waiting[left, 2] = half, stop, sums + 1
        waiting[left + 1, 0], waiting[left + 1, 1], waiting[left + 1, 2] = start, half, 0
        left += 2
    return number


@kernel
def _sum(x, first, last, after, square, stack):
    """The sum of each row's squares or sizes, to the first of `stack` (depth, rows)."""
    top = 0
    for part in range(len(first)):
        if square:
            _squares(x, first[part], last[part], stack[top])
        else:
            _sizes(x, first[part], last[part], stack[top])
        top += 1
        for _ in range(after[part]):
            top -= 1
            for r in range(len(x)):
                stack[top - 1, r] += stack[top, r]


@kernel
def _careful(row, order, plain, present, found, result):
    """result = row / norm where values are missing, or so large or small that they must be divided by the largest first.

    `present` (1, values) and `found` (first, last, after, stack), as `_sum` has them, are room.
    """
    zero, one = row.dtype.type(0.0), row.dtype.type(1.0)
    first, last, after, stack = found
    for i in range(len(row)):  # missing values add nothing
        present[0, i] = row[i] if row[i] == row[i] else zero
    stack[0, 0] = zero
    if order <= 2:
        _sum(present, first, last, after, order == 2, stack)
    largest = one
    if not (stack[0, 0] > one / plain and stack[0, 0] < plain):
        _largest(present, stack[0])
        largest = one if stack[0, 0] == zero else stack[0, 0]
    for i in range(len(row)):
        result[i] = row[i] / largest
        present[0, i] = present[0, i] / largest
    if order > 2:
        return
    _sum(present, first, last, after, order == 2, stack)
    norm = np.sqrt(stack[0, 0]) if order == 2 else stack[0, 0]
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
    parts = np.empty((3, values // (PAIRWISE // 4) + 2), np.int64)
    number = _halves(values, parts[0], parts[1], parts[2])
    first, last, after = parts[0, :number], parts[1, :number], parts[2, :number]
    stack, alone = np.empty((64, rows), x.dtype), np.empty((64, 1), x.dtype)
    present = np.empty((1, values), x.dtype)
    for start in range(0, len(x), rows):
        block, result = x[start : start + rows], out[start : start + rows]
        divisor = stack[0]
        if order > 2:
            _largest(block, divisor)
        else:
            _sum(block, first, last, after, order == 2, stack)
            for g in range(len(block)):
                size = divisor[g]
                divisor[g] = np.sqrt(size) if order == 2 else size
                if not (size > one / plain and size < plain):
                    divisor[g] = zero
        for g in range(len(block)):
            by = divisor[g]
            if by == zero:
                _careful(block[g], order, plain, present, (first, last, after, alone), result[g])
                continue
            for i in range(values):
                result[g, i] = block[g, i] / by
