"""Counts, extremes and the first four moments of many features in one pass.

Rows lie flat: value `i` belongs to feature `i % features`. Narrow rows are folded into one of LANES or more values, each
lane with sums of its own, so that the inner loop is long and free of dependences. A block is summed about a provisional
center taken from a few of its rows; where that was far off, or something in the block is not finite, the block is done again
with care, in cache.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
from numba import njit

LANES = 64
BLOCK_VALUES = 1 << 15
SAMPLE_ROWS = 16
PART_ROWS = 64
MAX_EXPONENT = 1000  # 2**k and 2**-k are exact up to here, with room for the fourth power of a unit of data
_TWO_TO = np.ldexp(1.0, np.arange(-MAX_EXPONENT - 20, MAX_EXPONENT + 21))

# rows of `sums` and of `counts`
WEIGHT, MEAN, MEAN_LOW, EXPONENT, M2, M3, M4, MINIMUM, MAXIMUM = range(9)
POWERS = (WEIGHT, MEAN, M2, M3, M4)
FINITE, NAN, POSITIVE_INFINITE, NEGATIVE_INFINITE, ZERO = range(5)

kernel = njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore[call-overload]
"""For kernels that only kernels call: they are compiled with their callers and need no way in from Python."""
entry = njit(cache=True, nogil=True, error_model="numpy")
"""For kernels that Python calls."""


@kernel
def _power_of_two(exponent):
    return _TWO_TO[int(exponent) + MAX_EXPONENT + 20]


@kernel
def _exponent_of(value):
    """The k with |value| <= 2**k, within what `_power_of_two` covers."""
    if value == 0.0:
        return 0.0
    return min(max(float(math.frexp(value)[1]), -float(MAX_EXPONENT)), float(MAX_EXPONENT))


@entry
def add_moments(a, b, out, features):
    """out = a + b for the first seven rows (WEIGHT to M4), feature by feature; out may be a.

    Chan, Golub & LeVeque (1983) for two moments, Pébay (2008) for four. Central sums are in units of 2**exponent, so
    that nothing overflows or vanishes; the mean is an unevaluated sum of two float64.
    """
    for j in range(features):
        n_a, n_b = a[WEIGHT, j], b[WEIGHT, j]
        if n_a == 0.0 or n_b == 0.0:
            for row in range(M4 + 1):
                out[row, j] = a[row, j] if n_b == 0.0 else b[row, j]
            continue
        mean_a, low_a = a[MEAN, j], a[MEAN_LOW, j]
        half = (b[MEAN, j] * 0.5 - mean_a * 0.5) + (b[MEAN_LOW, j] - low_a) * 0.5
        # what does not vary has no unit of its own: that of zeros would be too large for what is small
        exponent_a = a[EXPONENT, j] if a[M2, j] > 0.0 else -float(MAX_EXPONENT)
        exponent_b = b[EXPONENT, j] if b[M2, j] > 0.0 else -float(MAX_EXPONENT)
        exponent = max(exponent_a, exponent_b)
        if half != 0.0:
            exponent = max(exponent, _exponent_of(half) + 1.0)
        elif a[M2, j] == b[M2, j] == 0.0:
            exponent = max(a[EXPONENT, j], b[EXPONENT, j])
        unit = _power_of_two(-exponent)
        ratio_a = _power_of_two(max(exponent_a - exponent, -500.0))
        ratio_b = _power_of_two(max(exponent_b - exponent, -500.0))
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
        out[M3, j] = (
            (m3_a + m3_b) + d2 * delta * between * (part_a - part_b) + 3.0 * delta * (part_a * m2_b - part_b * m2_a)
        )
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
def _provisional(sample, rows, features, whole, center, exponents):
    """Center and unit of every feature from a few rows of the block; whatever is not finite is left to the check after."""
    for j in range(features):
        low, high, total = np.inf, -np.inf, 0.0
        for i in range(rows):
            value = sample[i * features + j]
            low, high, total = min(low, value), max(high, value), total + value
        if not (low - low == 0.0 and high - high == 0.0):
            low = high = total = 0.0
        center[j] = _choose_center(total / rows, low, high, whole)
        reach = high * 0.5 - low * 0.5
        exponents[j] = _exponent_of(reach) + 1.0 if reach != 0.0 else _exponent_of(center[j])


@njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, fastmath={"contract"})  # type: ignore[call-overload]
def _one_pass(x, rows, lanes, ends, work):
    """Sums of four powers of (x - center) / unit, and extremes, by lane, over `rows` folded rows, four at a time.

    Products and sums may be fused, which is faster and rounds once less. The extremes, in `ends`, are of the type of x.
    """
    s1, s2, s3, s4, unit, shift = work[0], work[1], work[2], work[3], work[6], work[7]
    low, high = ends[0], ends[1]
    low[:], high[:] = np.inf, -np.inf
    for quad in range(rows // 4):
        at = 4 * quad * lanes
        x0, x1 = x[at : at + lanes], x[at + lanes : at + 2 * lanes]
        x2, x3 = x[at + 2 * lanes : at + 3 * lanes], x[at + 3 * lanes : at + 4 * lanes]
        for lane in range(lanes):
            v0, v1, v2, v3 = x0[lane], x1[lane], x2[lane], x3[lane]
            p, q = (v0 if v0 < v1 else v1), (v2 if v2 < v3 else v3)
            r = p if p < q else q
            low[lane] = r if r < low[lane] else low[lane]
            p, q = (v0 if v0 > v1 else v1), (v2 if v2 > v3 else v3)
            r = p if p > q else q
            high[lane] = r if r > high[lane] else high[lane]
        for lane in range(lanes):
            u, c = unit[lane], shift[lane]
            a, b, d, e = (
                float(x0[lane]) * u - c,
                float(x1[lane]) * u - c,
                float(x2[lane]) * u - c,
                float(x3[lane]) * u - c,
            )
            a2, b2, d2, e2 = a * a, b * b, d * d, e * e
            s1[lane] += (a + b) + (d + e)
            s2[lane] += (a2 + b2) + (d2 + e2)
            s3[lane] += (a2 * a + b2 * b) + (d2 * d + e2 * e)
            s4[lane] += (a2 * a2 + b2 * b2) + (d2 * d2 + e2 * e2)
    for lane in range(lanes):
        work[4, lane], work[5, lane] = low[lane], high[lane]


@kernel
def _rest(x, lanes, work):
    """As `_one_pass`, for the values left over; `x` begins with lane 0."""
    for i in range(len(x)):
        lane, value = i % lanes, x[i]
        work[4, lane] = min(work[4, lane], value)
        work[5, lane] = max(work[5, lane], value)
        a = value * work[6, lane] - work[7, lane]
        work[0, lane] += a
        work[1, lane] += a * a
        work[2, lane] += a * a * a
        work[3, lane] += (a * a) * (a * a)


@kernel
def _prepare_lanes(center, exponents, work):
    for lane in range(work.shape[1]):
        j = lane % len(center)
        work[0, lane] = work[1, lane] = work[2, lane] = work[3, lane] = 0.0
        work[4, lane], work[5, lane] = np.inf, -np.inf
        work[6, lane] = _power_of_two(-exponents[j])
        work[7, lane] = center[j] * work[6, lane]


@kernel
def _fold_lanes(rows, features, work, block):
    """The lanes' sums as one block's; False where a value is not finite or the provisional center was too far off."""
    n = float(rows)
    for j in range(features):
        s1 = s2 = s3 = s4 = 0.0
        low, high = np.inf, -np.inf
        for lane in range(j, work.shape[1], features):
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
def _sum_powers(x, weight, first_row, center, exponents, block):
    """The weights of what is finite and the sums of its powers about `center`, in units of 2**exponent."""
    features = len(center)
    part, lost = np.empty((5, features)), np.zeros((5, features))
    for k in range(5):
        block[POWERS[k]] = 0.0
    for first in range(0, len(x), PART_ROWS * features):  # long sums of like numbers would all round the same way
        part[:] = 0.0
        for i in range(first, min(first + PART_ROWS * features, len(x))):
            j = i % features
            value = x[i]
            w = weight[first_row + i // features] if len(weight) > 0 else 1.0
            if w > 0.0 and value - value == 0.0:
                unit = _power_of_two(-exponents[j])
                a = value * unit - center[j] * unit
                part[0, j] += w
                part[1, j] += w * a
                part[2, j] += w * (a * a)
                part[3, j] += w * (a * a * a)
                part[4, j] += w * ((a * a) * (a * a))
        for k in range(5):
            sums = block[POWERS[k]]
            for j in range(features):  # Kahan (1965)
                term = part[k, j] - lost[k, j]
                total = sums[j] + term
                lost[k, j] = (total - sums[j]) - term
                sums[j] = total


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
            middle = block[MEAN, j] / block[WEIGHT, j]
            middle = middle if low <= middle <= high else low * 0.5 + high * 0.5
            center[j] = np.rint(middle) if whole else middle  # fewer digits may be many deviations away
            reach = max(high * 0.5 - center[j] * 0.5, center[j] * 0.5 - low * 0.5)
            exponents[j] = _exponent_of(reach) + 1.0 if reach != 0.0 else _exponent_of(center[j])
    _sum_powers(x, weight, first_row, center, exponents, block)
    far = False
    for j in range(features):  # the mean was too coarse for a center within a deviation of it
        if block[MEAN, j] * block[MEAN, j] > 0.5 * block[WEIGHT, j] * block[M2, j]:
            far = True
            center[j] += block[MEAN, j] / block[WEIGHT, j] * _power_of_two(exponents[j])
    if far:
        _sum_powers(x, weight, first_row, center, exponents, block)


@kernel
def _rows_per_block(features):
    """How many rows are summed before they are added to the rest: whole folded rows, as many as stay in cache."""
    rows = max(64, BLOCK_VALUES // features)
    return rows - rows % max(1, LANES // features)


@kernel
def _count_zeros(x, lanes, found, zeros):
    """Add how many values of each feature are zero; `found` (lanes,) int32 is room to work in."""
    found[:] = 0
    for start in range(0, len(x) // lanes * lanes, lanes):
        row = x[start : start + lanes]
        for lane in range(lanes):
            found[lane] += np.int32(row[lane] == 0)
    for i in range(len(x) // lanes * lanes, len(x)):
        found[i % lanes] += np.int32(x[i] == 0)
    for lane in range(lanes):
        zeros[lane % len(zeros)] += found[lane]


@kernel
def _copy(x, start, step, width, out):
    """Every step-th run of `width` values from `start` on, side by side as float64. Returns how many values."""
    n = 0
    for first in range(start, len(x), step):
        for i in range(first, first + width):
            out[n] = x[i]
            n += 1
    return n


@kernel
def _add_block(x, features, center, exponents, block, sums, counts, lanes, zeros, any_zero):
    """Add a block's sums about its center to all others."""
    _central(block, center, exponents, features)
    add_moments(sums, block, sums, features)
    for j in range(features):
        any_zero |= block[MINIMUM, j] <= 0.0 <= block[MAXIMUM, j]
        sums[MINIMUM, j] = min(sums[MINIMUM, j], block[MINIMUM, j])
        sums[MAXIMUM, j] = max(sums[MAXIMUM, j], block[MAXIMUM, j])
    if any_zero:
        _count_zeros(x, lanes, zeros, counts[ZERO])


@entry
def measure(flat, features, whole, sums, counts):
    """Add rows, which lie in `flat` (float32 or float64), to `sums` (9, features) and `counts` (5, features).

    It stops before a block that wants care (`measure_carefully`). Returns how many rows it added. `whole` says that all values
    are integers.
    """
    rows = len(flat) // features
    lanes = max(1, LANES // features) * features
    block_rows = _rows_per_block(features)
    center, exponents = np.empty(features), np.empty(features)
    block, work = np.empty((9, features)), np.empty((8, lanes))
    ends, zeros = np.empty((2, lanes), flat.dtype), np.empty(lanes, np.int32)
    wide = np.empty(block_rows * features)
    for first in range(0, rows, block_rows):
        last = min(first + block_rows, rows)
        x = flat[first * features : last * features]
        sampled = _copy(x, 0, max(1, (last - first) // SAMPLE_ROWS) * features, features, wide)
        _provisional(wide, sampled // features, features, whole, center, exponents)
        _prepare_lanes(center, exponents, work)
        folded = len(x) // lanes // 4 * 4
        _one_pass(x, folded, lanes, ends, work)
        _rest(wide[: _copy(x, folded * lanes, 1, 1, wide)], lanes, work)
        if not _fold_lanes(last - first, features, work, block):
            return first
        for j in range(features):
            counts[FINITE, j] += last - first
        _add_block(x, features, center, exponents, block, sums, counts, lanes, zeros, False)
    return rows


@entry
def measure_carefully(flat, weight, features, whole, sums, counts):
    """As `measure`, value by value. `flat` is float64, `weight` has a number a row, or none at all."""
    rows = len(flat) // features
    lanes = max(1, LANES // features) * features
    block_rows = _rows_per_block(features)
    center, exponents, block = np.empty(features), np.empty(features), np.empty((9, features))
    zeros = np.empty(lanes, np.int32)
    for first in range(0, rows, block_rows):
        x = flat[first * features : min(first + block_rows, rows) * features]
        _careful_block(x, weight, first, features, whole, center, exponents, block, counts)
        # rows of weight 0 are not in the extremes
        _add_block(x, features, center, exponents, block, sums, counts, lanes, zeros, len(weight) > 0)


rows_per_block = _rows_per_block.py_func


def _announce() -> None:
    """Say that the first run compiles, where no earlier one has left its code in numba's cache."""
    folder = getattr(getattr(measure, "_cache", None), "cache_path", None)
    if folder is not None and not any(Path(folder).glob("moments.measure*.nbi")):
        logging.getLogger("tfnorm").warning("compiling the kernels, once for this machine; it takes some seconds")


_announce()
