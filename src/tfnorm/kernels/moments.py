"""Counts, extremes and the first four moments of many features in one pass.

Rows lie flat: value `i` belongs to feature `i % features`. Narrow rows are folded into one of LANES or more values, each
lane with sums of its own, so that the inner loop is long and free of dependences. A block is summed about a provisional
center taken from a few of its rows; where that was far off, or something in the block is not finite, the block is done again
with care, in cache.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

LANES = 64
BLOCK_VALUES = 1 << 15
SAMPLE_ROWS = 16
MAX_EXPONENT = 1000  # 2**k and 2**-k are exact up to here, with room for the fourth power of a unit of data
_TWO_TO = np.ldexp(1.0, np.arange(-MAX_EXPONENT - 20, MAX_EXPONENT + 21))

# rows of `sums` and of `counts`
WEIGHT, MEAN, MEAN_LOW, EXPONENT, M2, M3, M4, MINIMUM, MAXIMUM = range(9)
FINITE, NAN, POSITIVE_INFINITE, NEGATIVE_INFINITE, ZERO = range(5)

kernel = njit(cache=True, nogil=True, error_model="numpy")


@kernel
def _power_of_two(exponent):
    return _TWO_TO[int(exponent) + MAX_EXPONENT + 20]


@kernel
def _exponent_of(value):
    """The k with |value| <= 2**k, within what `_power_of_two` covers."""
    if value == 0.0:
        return 0.0
    return min(max(float(math.frexp(value)[1]), -float(MAX_EXPONENT)), float(MAX_EXPONENT))


@kernel
def add_moments(a, b, out, features):
    """out = a + b for the first seven rows (WEIGHT to M4), feature by feature; out may be a.

    Chan, Golub & LeVeque (1983) for two moments, Pébay (2008) for four. Central sums are in units of 2**exponent, so
    that nothing overflows or vanishes; the mean is an unevaluated sum of two float64.
    """
    for j in range(features):
        n_a, n_b = a[WEIGHT, j], b[WEIGHT, j]
        if n_a == 0.0 or n_b == 0.0:
            for row in range(M4 + 1):
                out[row, j] = b[row, j] if n_a == 0.0 else a[row, j]
            continue
        mean_a, low_a = a[MEAN, j], a[MEAN_LOW, j]
        half = b[MEAN, j] * 0.5 - mean_a * 0.5
        exponent = max(a[EXPONENT, j], b[EXPONENT, j])
        if half != 0.0:
            exponent = max(exponent, _exponent_of(half) + 1.0)
        unit = _power_of_two(-exponent)
        ratio_a = _power_of_two(max(a[EXPONENT, j] - exponent, -500.0))
        ratio_b = _power_of_two(max(b[EXPONENT, j] - exponent, -500.0))
        m2_a, m2_b = a[M2, j] * ratio_a * ratio_a, b[M2, j] * ratio_b * ratio_b
        m3_a, m3_b = a[M3, j] * ratio_a * ratio_a * ratio_a, b[M3, j] * ratio_b * ratio_b * ratio_b
        m4_a = a[M4, j] * (ratio_a * ratio_a) * (ratio_a * ratio_a)
        m4_b = b[M4, j] * (ratio_b * ratio_b) * (ratio_b * ratio_b)
        part_a, part_b = n_a / (n_a + n_b), n_b / (n_a + n_b)
        delta = (b[MEAN, j] * unit - mean_a * unit) + (b[MEAN_LOW, j] - low_a) * unit
        d2 = delta * delta
        between = n_a * part_b
        out[M4, j] = (
            (m4_a + m4_b)
            + d2 * d2 * between * (part_a * part_a - part_a * part_b + part_b * part_b)
            + 6.0 * d2 * (part_b * part_b * m2_a + part_a * part_a * m2_b)
            + 4.0 * delta * (part_a * m3_b - part_b * m3_a)
        )
        out[M3, j] = (m3_a + m3_b) + d2 * delta * between * (part_a - part_b) + 3.0 * delta * (part_a * m2_b - part_b * m2_a)
        out[M2, j] = (m2_a + m2_b) + d2 * between
        step = delta * part_b * _power_of_two(exponent)
        mean = mean_a + step
        back = mean - mean_a
        low = low_a + ((mean_a - (mean - back)) + (step - back))
        out[MEAN, j] = mean + low
        out[MEAN_LOW, j] = low - (out[MEAN, j] - mean)
        out[EXPONENT, j] = exponent
        out[WEIGHT, j] = n_a + n_b


@kernel
def _central(block, center, exponents, features):
    """From sums of powers about `center`, in units of 2**exponent, to central moments about the mean."""
    for j in range(features):
        n = block[WEIGHT, j]
        if n == 0.0:
            continue
        s1, s2, s3, s4 = block[MEAN, j], block[M2, j], block[M3, j], block[M4, j]
        d = s1 / n
        block[M2, j] = max(s2 - d * s1, 0.0)
        block[M3, j] = s3 - 3.0 * d * s2 + 2.0 * d * d * s1
        block[M4, j] = max(s4 - 4.0 * d * s3 + 6.0 * d * d * s2 - 3.0 * d * d * d * s1, 0.0)
        step = d * _power_of_two(exponents[j])
        mean = center[j] + step
        back = mean - center[j]
        block[MEAN, j] = mean
        block[MEAN_LOW, j] = (center[j] - (mean - back)) + (step - back)
        block[EXPONENT, j] = exponents[j]
        if block[MINIMUM, j] == block[MAXIMUM, j]:  # constant: no rounding may say otherwise
            block[MEAN, j], block[MEAN_LOW, j] = block[MINIMUM, j], 0.0
            block[M2, j] = block[M3, j] = block[M4, j] = 0.0


@kernel
def _choose_center(middle, low, high, whole):
    """A number of few digits near the middle makes the differences exact; far from it, it would be of no use."""
    if not low <= middle <= high:
        middle = low * 0.5 + high * 0.5
    rounded = np.rint(middle) if whole else float(np.float32(middle))
    return rounded if low <= rounded <= high else middle


@kernel
def _provisional(x, start, stop, features, whole, center, exponents):
    """Center and unit of every feature from a few rows of the block; whatever is not finite is left to the check after."""
    rows = (stop - start) // features
    step = max(1, rows // SAMPLE_ROWS)
    for j in range(features):
        low, high, total, count = np.inf, -np.inf, 0.0, 0
        for i in range(0, rows, step):
            value = float(x[start + i * features + j])
            low, high, total, count = min(low, value), max(high, value), total + value, count + 1
        if not (low - low == 0.0 and high - high == 0.0):
            low = high = total = 0.0
        center[j] = _choose_center(total / count, low, high, whole)
        reach = high * 0.5 - low * 0.5
        exponents[j] = _exponent_of(reach) + 1.0 if reach != 0.0 else _exponent_of(center[j])


@kernel
def _one_pass(x, start, rows, lanes, work):
    """Sums of four powers of (x - center) / unit, and extremes, by lane, over `rows` folded rows, four at a time."""
    s1, s2, s3, s4, low, high, unit, shift = work[0], work[1], work[2], work[3], work[4], work[5], work[6], work[7]
    for quad in range(rows // 4):
        at = start + 4 * quad * lanes
        x0, x1 = x[at : at + lanes], x[at + lanes : at + 2 * lanes]
        x2, x3 = x[at + 2 * lanes : at + 3 * lanes], x[at + 3 * lanes : at + 4 * lanes]
        for lane in range(lanes):
            v0, v1, v2, v3 = float(x0[lane]), float(x1[lane]), float(x2[lane]), float(x3[lane])
            p, q = (v0 if v0 < v1 else v1), (v2 if v2 < v3 else v3)
            r = p if p < q else q
            low[lane] = r if r < low[lane] else low[lane]
            p, q = (v0 if v0 > v1 else v1), (v2 if v2 > v3 else v3)
            r = p if p > q else q
            high[lane] = r if r > high[lane] else high[lane]
            u, c = unit[lane], shift[lane]
            a, b, d, e = v0 * u - c, v1 * u - c, v2 * u - c, v3 * u - c
            a2, b2, d2, e2 = a * a, b * b, d * d, e * e
            s1[lane] += (a + b) + (d + e)
            s2[lane] += (a2 + b2) + (d2 + e2)
            s3[lane] += (a2 * a + b2 * b) + (d2 * d + e2 * e)
            s4[lane] += (a2 * a2 + b2 * b2) + (d2 * d2 + e2 * e2)


@kernel
def _one_row(x, at, width, work):
    """As `_one_pass`, for one folded row of `width` values, the last of which may be short."""
    for lane in range(width):
        value = float(x[at + lane])
        work[4, lane] = min(work[4, lane], value)
        work[5, lane] = max(work[5, lane], value)
        a = value * work[6, lane] - work[7, lane]
        work[0, lane] += a
        work[1, lane] += a * a
        work[2, lane] += a * a * a
        work[3, lane] += (a * a) * (a * a)


@kernel
def _finite_block(x, start, stop, features, lanes, whole, center, exponents, work, block):
    """The block in one pass; False where a value is not finite or the provisional center was too far off."""
    _provisional(x, start, stop, features, whole, center, exponents)
    for lane in range(lanes):
        j = lane % features
        work[0, lane] = work[1, lane] = work[2, lane] = work[3, lane] = 0.0
        work[4, lane], work[5, lane] = np.inf, -np.inf
        work[6, lane] = _power_of_two(-exponents[j])
        work[7, lane] = center[j] * work[6, lane]
    rows = (stop - start) // lanes
    _one_pass(x, start, rows, lanes, work)
    for row in range(rows - rows % 4, rows):
        _one_row(x, start + row * lanes, lanes, work)
    _one_row(x, start + rows * lanes, stop - start - rows * lanes, work)
    n = float((stop - start) // features)
    for j in range(features):
        s1 = s2 = s3 = s4 = 0.0
        low, high = np.inf, -np.inf
        for lane in range(j, lanes, features):
            s1 += work[0, lane]
            s2 += work[1, lane]
            s3 += work[2, lane]
            s4 += work[3, lane]
            low, high = min(low, work[4, lane]), max(high, work[5, lane])
        # within a deviation of the mean the subtraction of the mean's square costs less than a bit
        near = s1 * s1 <= n * s2 * 0.5 and 1e-60 * n <= s2 and s4 <= 1e200
        if not (s1 - s1 == 0.0 and (near or low == high)):
            return False
        block[WEIGHT, j], block[MEAN, j], block[M2, j], block[M3, j], block[M4, j] = n, s1, s2, s3, s4
        block[MINIMUM, j], block[MAXIMUM, j] = low, high
    return True


@kernel
def _careful_block(x, weight, first_row, features, whole, center, exponents, block, counts):
    """Value by value, in two passes: NaN and infinities are counted and left out, weights are used."""
    for j in range(features):
        block[WEIGHT, j] = block[MEAN, j] = block[M2, j] = block[M3, j] = block[M4, j] = 0.0
        block[MINIMUM, j], block[MAXIMUM, j] = np.inf, -np.inf
    for i in range(len(x)):
        j = i % features
        value = x[i]
        w = weight[first_row + i // features] if len(weight) > 0 else 1.0
        if value - value == 0.0:
            counts[FINITE, j] += 1
            if w > 0.0:
                block[WEIGHT, j] += w
                block[MEAN, j] += w * value
                block[MINIMUM, j] = min(block[MINIMUM, j], value)
                block[MAXIMUM, j] = max(block[MAXIMUM, j], value)
        else:
            counts[NAN if value != value else POSITIVE_INFINITE if value > 0.0 else NEGATIVE_INFINITE, j] += 1
    for j in range(features):
        low, high = block[MINIMUM, j], block[MAXIMUM, j]
        if block[WEIGHT, j] > 0.0:
            center[j] = _choose_center(block[MEAN, j] / block[WEIGHT, j], low, high, whole)
            reach = max(high * 0.5 - center[j] * 0.5, center[j] * 0.5 - low * 0.5)
            exponents[j] = _exponent_of(reach) + 1.0 if reach != 0.0 else _exponent_of(center[j])
        block[MEAN, j] = 0.0
    for i in range(len(x)):
        j = i % features
        value = x[i]
        w = weight[first_row + i // features] if len(weight) > 0 else 1.0
        if w > 0.0 and value - value == 0.0:
            unit = _power_of_two(-exponents[j])
            a = value * unit - center[j] * unit
            block[MEAN, j] += w * a
            block[M2, j] += w * (a * a)
            block[M3, j] += w * (a * a * a)
            block[M4, j] += w * ((a * a) * (a * a))


@kernel
def _count_zeros(x, features, zeros):
    """Add how many values of each feature are zero."""
    lanes = max(1, LANES // features) * features
    rows = len(x) // lanes
    found = np.zeros(lanes, np.int64)
    for quad in range(rows // 4):
        at = 4 * quad * lanes
        x0, x1 = x[at : at + lanes], x[at + lanes : at + 2 * lanes]
        x2, x3 = x[at + 2 * lanes : at + 3 * lanes], x[at + 3 * lanes : at + 4 * lanes]
        for lane in range(lanes):
            a, b = (1 if x0[lane] == 0.0 else 0), (1 if x1[lane] == 0.0 else 0)
            c, d = (1 if x2[lane] == 0.0 else 0), (1 if x3[lane] == 0.0 else 0)
            found[lane] += (a + b) + (c + d)
    for i in range((rows - rows % 4) * lanes, len(x)):
        found[i % lanes] += x[i] == 0.0
    for lane in range(lanes):
        zeros[lane % features] += found[lane]


@kernel
def measure(x, features, weight, whole, sums, counts):
    """Add all rows in `x` (flat, float32 or float64) to `sums` (9, features) and `counts` (5, features).

    `weight` has a number a row, or none at all. `whole` says that all values are integers.
    """
    rows = len(x) // features
    fold = max(1, LANES // features)
    lanes = fold * features
    block_rows = max(64, BLOCK_VALUES // features)
    block_rows -= block_rows % fold
    center, exponents = np.empty(features), np.empty(features)
    block, work = np.empty((9, features)), np.empty((8, lanes))
    wide = np.empty(0)
    for first in range(0, rows, block_rows):
        last = min(first + block_rows, rows)
        start, stop = first * features, last * features
        if len(weight) == 0 and _finite_block(x, start, stop, features, lanes, whole, center, exponents, work, block):
            for j in range(features):
                counts[FINITE, j] += last - first
        else:
            if len(wide) == 0:
                wide = np.empty(block_rows * features)
            for i in range(stop - start):
                wide[i] = x[start + i]
            _careful_block(wide[: stop - start], weight, first, features, whole, center, exponents, block, counts)
        _central(block, center, exponents, features)
        add_moments(sums, block, sums, features)
        any_zero = False
        for j in range(features):
            any_zero |= block[MINIMUM, j] <= 0.0 <= block[MAXIMUM, j]
            sums[MINIMUM, j] = min(sums[MINIMUM, j], block[MINIMUM, j])
            sums[MAXIMUM, j] = max(sums[MAXIMUM, j], block[MAXIMUM, j])
        if any_zero:
            _count_zeros(x[start:stop], features, counts[ZERO])
