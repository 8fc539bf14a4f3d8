"""Cells of the number line: the sketch of a distribution, exact to the count.

Finite float64 values, read as ordered integers (`key`), are the leaves of a binary tree 64 levels high. A cell is a node of it:
`(key, level)` are the 2**level keys that begin with the same bits, level 0 a single value. A sketch is a list of
(key, level, count), sorted by key, wider cells first; counts are float64 that hold integers unless there are weights.
"""

from __future__ import annotations

import numpy as np

from tfnorm.kernels.moments import entry, kernel

U = np.uint64
SIGN = U(1 << 63)


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
    if n <= 1 or not most > 0.0:
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
            i < len(keys_a) and (keys_a[i] < keys_b[k] or (keys_a[i] == keys_b[k] and levels_a[i] >= levels_b[k]))
        )
        take_b = i >= len(keys_a) or (
            k < len(keys_b) and (keys_b[k] < keys_a[i] or (keys_b[k] == keys_a[i] and levels_b[k] >= levels_a[i]))
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


@entry
def coarsen_all(ends, keys, levels, counts, resolution, keep, exact):
    """`coarsen` every feature of a sketch, in place, to cells of at most 1/resolution of it. Returns how many are left.

    Up to `keep` values of a feature stay as they are; up to `exact` different ones do where `keep` is negative.
    """
    used, start = 0, 0
    for j in range(len(ends)):
        n = ends[j] - start
        total, widest = 0.0, 0
        for i in range(n):
            at = used + i
            keys[at], levels[at], counts[at] = keys[start + i], levels[start + i], counts[start + i]
            total += counts[at]
            widest = max(widest, np.int64(levels[at]))
        start = ends[j]
        if total > keep if keep >= 0 else n > exact or widest > 0:
            n = coarsen(keys[used:], levels[used:], counts[used:], n, total / resolution)
        used += n
        ends[j] = used
    return used


@entry
def add(a, b, max_cells, resolution, out):
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
            total = 0.0
            for i in range(n):
                total += counts[i]
            parts = 2.0 * resolution
            while n > max_cells:  # finer cells first; rarely twice
                n = coarsen(keys, levels, counts, n, total / parts)
                parts /= 2.0
        used, start_a, start_b = used + n, stop_a, stop_b
        out[0][j] = used
    return used
