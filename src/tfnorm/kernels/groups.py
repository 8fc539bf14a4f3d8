"""Rows by group: which rows are whose, and the moments, extremes and values of each group.

The one law: a group's numbers are those of its rows alone, in their order, whichever other groups there are.
"""

from __future__ import annotations

import numpy as np

from tfnorm.kernels.cells import U
from tfnorm.kernels.moments import (
    CENTER,
    EXPONENT,
    FINITE,
    M2,
    MAXIMUM,
    MEAN,
    MINIMUM,
    NAN,
    NEGATIVE_INFINITE,
    PART_ROWS,
    POSITIVE_INFINITE,
    POWERS,
    WEIGHT,
    ZERO,
    _central,
    _exponent_of,
    _power_of_two,
    entry,
    kernel,
)


@entry
def number_in_range(values, low, table, codes):
    """The rank of every value among the different ones, to `codes`; `table` is one zero (int32) for each number from `low` on
    that there may be. Returns how many different ones there are; `table` then holds 1 + rank, 0 where there is no such value."""
    for i in range(len(values)):
        table[values[i] - low] = 1
    found = 0
    for at in range(len(table)):
        if table[at]:
            found += 1
            table[at] = found
    for i in range(len(values)):
        codes[i] = table[values[i] - low] - 1
    return found


_ODD_ONE, _ODD_TWO = U(0x9E3779B97F4A7C15), U(0xD1B54A32D192ED03)  # of no pattern: they carry low bits to the highest


@kernel
def _place_of(one, two, shift):
    mixed = two * _ODD_ONE
    return ((mixed ^ (mixed >> U(32)) ^ one) * _ODD_TWO) >> shift


@kernel
def _table_of(different, number, shift):
    """Where each pair is looked for: open addressing."""
    table = np.full(1 << np.int64(U(64) - shift), -1, np.int32)
    mask = U(len(table) - 1)
    for code in range(number):
        at = _place_of(different[code, 0], different[code, 1], shift)
        while table[at] >= 0:
            at = (at + U(1)) & mask
        table[at] = code
    return table


@entry
def number_pairs(pairs, known, different, codes):
    """Number pairs (n, 2) uint64 from 1 on: to `codes`. The first `known` of `different` (most, 2) have the numbers 1 to
    `known`; those that come besides are put behind them. Returns how many there are, or -1 where they are more than fit."""
    shift, found = U(64 - 12), known
    while found > 1 << np.int64(U(62) - shift):
        shift -= U(1)
    table = _table_of(different, found, shift)
    for i in range(len(pairs)):
        one, two, mask = pairs[i, 0], pairs[i, 1], U(len(table) - 1)
        at = _place_of(one, two, shift)
        code = table[at]
        while code >= 0 and (different[U(code), 0] != one or different[U(code), 1] != two):
            at = (at + U(1)) & mask
            code = table[at]
        if code < 0:
            if found == len(different):
                return -1
            code = table[at] = found
            different[found, 0], different[found, 1] = one, two
            found += 1
            if 4 * found > len(table):  # where more are full, looking takes longer
                shift -= U(1)
                table = _table_of(different, found, shift)
        codes[i] = code + 1
    return found


@entry
def rows_by_group(groups, starts, order):
    """The rows of each group side by side, in their order: group g has order[starts[g] : starts[g + 1]]."""
    number = len(starts) - 1
    starts[:] = 0
    for i in range(len(groups)):
        starts[groups[i] + 1] += 1
    for g in range(number):
        starts[g + 1] += starts[g]
    at = starts[:-1].copy()
    for i in range(len(groups)):
        group = groups[i]
        order[at[group]] = i
        at[group] += 1


@kernel
def _gather(flat, features, feature, rows, weight, j, sums, counts, values, weights):
    """A group's finite values that weigh anything, side by side; its counts and extremes. Returns how many and their middle."""
    n = zeros = kept = 0
    low, high, first, total, heavy = np.inf, -np.inf, 0.0, 0.0, 0.0
    for i in range(len(rows)):
        row = np.int64(rows[i])
        value = np.float64(flat[row * features + feature])
        if value - value != 0.0:
            counts[NAN if value != value else POSITIVE_INFINITE if value > 0.0 else NEGATIVE_INFINITE, j] += 1
            continue
        n += 1
        zeros += value == 0.0
        w = 1.0
        if len(weight) > 0:
            w = weight[row]
            if not w > 0.0:
                continue
            weights[kept] = w
        first = value if kept == 0 else first
        values[kept] = value
        kept += 1
        low, high = min(low, value), max(high, value)
        total += w * (value - first)
        heavy += w
    counts[FINITE, j] += n
    counts[ZERO, j] += zeros
    sums[MINIMUM, j], sums[MAXIMUM, j] = low, high
    middle = first + total / heavy if heavy > 0.0 else 0.0
    return kept, middle if low <= middle <= high else low * 0.5 + high * 0.5


@kernel
def _sum_powers(values, weights, n, center, exponent, sums, j):
    """The weights and the sums of the powers of (value - center) / 2**exponent, to `sums`."""
    for k in range(5):
        sums[POWERS[k], j] = 0.0
    unit = _power_of_two(-exponent)
    shift = center * unit
    lost0 = lost1 = lost2 = lost3 = lost4 = 0.0
    t0 = t1 = t2 = t3 = t4 = 0.0
    for start in range(0, n, PART_ROWS):  # long sums of like numbers would all round the same way
        p0 = p1 = p2 = p3 = p4 = 0.0
        for i in range(start, min(start + PART_ROWS, n)):
            a = values[i] * unit - shift
            w = weights[i] if len(weights) > 0 else 1.0
            b = w * a
            c = b * a
            p0 += w
            p1 += b
            p2 += c
            p3 += c * a
            p4 += c * (a * a)
        p0, p1, p2, p3, p4 = p0 - lost0, p1 - lost1, p2 - lost2, p3 - lost3, p4 - lost4
        n0, n1, n2, n3, n4 = t0 + p0, t1 + p1, t2 + p2, t3 + p3, t4 + p4
        lost0, lost1, lost2 = (n0 - t0) - p0, (n1 - t1) - p1, (n2 - t2) - p2  # Kahan (1965)
        lost3, lost4 = (n3 - t3) - p3, (n4 - t4) - p4
        t0, t1, t2, t3, t4 = n0, n1, n2, n3, n4
    sums[POWERS[0], j], sums[POWERS[1], j], sums[POWERS[2], j] = t0, t1, t2
    sums[POWERS[3], j], sums[POWERS[4], j] = t3, t4


@entry
def measure_groups(flat, features, weight, order, starts, whole, sums, counts):
    """Counts, extremes and central moments of every feature of every group: `counts` (5, features * groups) and `sums` (10,
    same), all groups of a feature side by side.

    Rows lie in `flat` (float32 or float64); `weight` has a number a row, or none at all; `order` and `starts` are those of
    `rows_by_group`. A group is summed about its own mean, in two passes over its values, which then lie in cache.
    """
    groups = len(starts) - 1
    longest = 0
    for g in range(groups):
        longest = max(longest, starts[g + 1] - starts[g])
    values, weights = np.empty(longest), np.empty(longest if len(weight) > 0 else 0)
    for feature in range(features):
        for g in range(groups):
            j = feature * groups + g
            rows = order[starts[g] : starts[g + 1]]
            n, center = _gather(flat, features, feature, rows, weight, j, sums, counts, values, weights)
            if n == 0:
                for k in range(5):
                    sums[POWERS[k], j] = 0.0
                continue
            center = np.rint(center) if whole else center
            low, high = sums[MINIMUM, j], sums[MAXIMUM, j]
            reach = max(high * 0.5 - center * 0.5, center * 0.5 - low * 0.5)
            exponent = _exponent_of(reach) + 1.0 if reach != 0.0 else _exponent_of(center)
            _sum_powers(values, weights, n, center, exponent, sums, j)
            if sums[MEAN, j] * sums[MEAN, j] > 0.5 * sums[WEIGHT, j] * sums[M2, j]:  # too coarse a center
                center += sums[MEAN, j] / sums[WEIGHT, j] * _power_of_two(exponent)
                _sum_powers(values, weights, n, center, exponent, sums, j)
            sums[CENTER, j], sums[EXPONENT, j] = center, exponent
    _central(sums)


@entry
def values_of_groups(flat, features, weight, order, starts, ends, values, totals):
    """The different finite values of every feature of every group in rising order, and how many (or what weight) each has.

    `ends` (features * groups,) gets where each one's values end. Returns how many there are in all.
    """
    groups = len(starts) - 1
    used = 0
    for feature in range(features):
        for g in range(groups):
            begin = used
            for i in range(starts[g], starts[g + 1]):
                row = np.int64(order[i])
                value = np.float64(flat[row * features + feature])
                w = weight[row] if len(weight) > 0 else 1.0
                if value - value == 0.0 and w > 0.0:
                    values[used], totals[used] = value + 0.0, w  # which makes -0.0 what it is equal to
                    used += 1
            if len(weight) > 0:
                ranks = np.argsort(values[begin:used], kind="mergesort")
                values[begin:used], totals[begin:used] = values[begin:used][ranks], totals[begin:used][ranks]
            else:
                values[begin:used].sort()
            last = begin - 1
            for i in range(begin, used):
                if last >= begin and values[last] == values[i]:
                    totals[last] += totals[i]
                else:
                    last += 1
                    values[last], totals[last] = values[i], totals[i]
            used = last + 1
            ends[feature * groups + g] = used
    return used
