"""Counts, extremes and the first four moments of many features in one pass.

Rows lie flat: value `i` belongs to feature `i % features`. Narrow rows are folded into one of LANES or more values, each
lane with sums of its own, so that the inner loop is long and free of dependences. A block is summed about a provisional
center taken from a few of its rows; where something in it is not finite, the center takes its place; where the center was
far off, about what was found; and where that does not serve either, or rows have weights, with care, value by value.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

LANES = 64
BLOCK_VALUES = 1 << 17  # of float32, half the second cache
PART_VALUES = 1 << 15  # of a block, summed by themselves
SAMPLE_ROWS = 16
PART_ROWS = 64
MAX_EXPONENT = 1000  # 2**k and 2**-k are exact up to here, with room for the fourth power of a unit of data
_TWO_TO = np.ldexp(1.0, np.arange(-MAX_EXPONENT - 20, MAX_EXPONENT + 21))

# rows of a block and of `counts`
WEIGHT, MEAN, MEAN_LOW, EXPONENT, M2, M3, M4, MINIMUM, MAXIMUM, CENTER = range(10)
POWERS = (WEIGHT, MEAN, M2, M3, M4)
GOOD, FAR, NOT_FINITE = range(3)
FINITE, NAN, POSITIVE_INFINITE, NEGATIVE_INFINITE, ZERO = range(5)
KINDS = (NAN, POSITIVE_INFINITE, NEGATIVE_INFINITE, ZERO)

kernel = njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore[call-overload]
"""For kernels that only kernels call: they are compiled with their callers and need no way in from Python."""
inlined = njit(nogil=True, error_model="numpy", inline="always", no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore[call-overload]
"""For kernels called for one value: passing arrays on would count references, which costs more than they do."""
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


@kernel
def _add(a, b, out):
    """out = a + b for the first seven rows (WEIGHT to M4), feature by feature; out may be a.

    Chan, Golub & LeVeque (1983) for two moments, Pébay (2008) for four. Central sums are in units of 2**exponent, so
    that nothing overflows or vanishes; the mean is an unevaluated sum of two float64.
    """
    for j in range(a.shape[1]):
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
        if abs(half) >= _power_of_two(exponent - 1.0) or (half != 0.0 and exponent == -MAX_EXPONENT):
            exponent = max(exponent, _exponent_of(half) + 1.0)  # which takes a while, and seldom changes it
        elif half == a[M2, j] == b[M2, j] == 0.0:
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
def _central(block):
    """From sums of powers about the block's center, in units of 2**exponent, to central moments about the mean."""
    for j in range(block.shape[1]):
        n, center = block[WEIGHT, j], block[CENTER, j]
        if n == 0.0:
            continue
        s1, s2, s3, s4 = block[MEAN, j], block[M2, j], block[M3, j], block[M4, j]
        d = s1 / n
        block[M2, j] = max(s2 - d * s1, 0.0)
        block[M3, j] = s3 - 3.0 * d * s2 + 2.0 * d * d * s1
        block[M4, j] = max(s4 - 4.0 * d * s3 + 6.0 * d * d * s2 - 3.0 * d * d * d * s1, 0.0)
        step = d * _power_of_two(block[EXPONENT, j])
        mean = center + step
        back = mean - center
        block[MEAN, j] = mean
        block[MEAN_LOW, j] = (center - (mean - back)) + (step - back)
        if block[MINIMUM, j] == block[MAXIMUM, j]:  # constant: no rounding may say otherwise
            block[MEAN, j], block[MEAN_LOW, j] = block[MINIMUM, j], 0.0
            block[M2, j] = block[M3, j] = block[M4, j] = 0.0


@entry
def add_up(parts):
    """Add all of `parts` (n, 10, features), which are sums of powers, to the first, which is not, in order."""
    total = parts[0]
    for k in range(1, len(parts)):
        part = parts[k]
        _central(part)
        for j in range(part.shape[1]):
            total[MINIMUM, j] = min(total[MINIMUM, j], part[MINIMUM, j])
            total[MAXIMUM, j] = max(total[MAXIMUM, j], part[MAXIMUM, j])
        _add(total, part, total)


@entry
def add(total, part):
    """Add `part` (7, features) to `total`, same."""
    _add(total, part, total)


@kernel
def _choose_center(middle, low, high, whole):
    """A number of few digits near the middle makes the differences exact; far from it, it would be of no use."""
    if not low <= middle <= high:
        middle = low * 0.5 + high * 0.5
    rounded = np.rint(middle) if whole else float(np.float32(middle))
    return rounded if low <= rounded <= high else middle


@kernel
def provisional(x, whole, block):
    """Center and unit of every feature from what is finite in a few rows of the block; its weight is how much that was."""
    features = block.shape[1]
    step = max(1, (len(x) // features + SAMPLE_ROWS - 1) // SAMPLE_ROWS) * features
    for j in range(features):
        low, high, total, finite = np.inf, -np.inf, 0.0, 0
        for i in range(j, len(x), step):
            value = float(x[i])
            if value - value == 0.0:
                low, high, total, finite = min(low, value), max(high, value), total + value, finite + 1
        if finite == 0:
            low = high = 0.0
        block[WEIGHT, j] = finite
        block[CENTER, j] = _choose_center(total / max(finite, 1), low, high, whole)
        reach = high * 0.5 - low * 0.5
        block[EXPONENT, j] = _exponent_of(reach) + 1.0 if reach != 0.0 else _exponent_of(block[CENTER, j])


@kernel
def better_center(block, whole):
    """Center and unit from what the block's sums about another center say."""
    for j in range(block.shape[1]):
        if block[WEIGHT, j] == 0.0:
            continue
        low, high = block[MINIMUM, j], block[MAXIMUM, j]
        middle = block[CENTER, j] + block[MEAN, j] / block[WEIGHT, j] * _power_of_two(block[EXPONENT, j])
        middle = middle if low <= middle <= high else low * 0.5 + high * 0.5
        center = np.rint(middle) if whole else middle  # fewer digits may be many deviations away
        reach = max(high * 0.5 - center * 0.5, center * 0.5 - low * 0.5)
        block[CENTER, j] = center
        block[EXPONENT, j] = _exponent_of(reach) + 1.0 if reach != 0.0 else _exponent_of(center)


@njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, fastmath={"contract"})  # type: ignore[call-overload]
def one_pass(x, quads, lanes, ends, parts, sums):
    """Sums of four powers of (x - center) / unit, and extremes, by lane, over `quads` times four folded rows.

    Products and sums may be fused, which is faster and rounds once less. The extremes and what is nearest to zero, in `ends`,
    are of the type of x. Long sums of like numbers would all round the same way, so a part of the rows is summed by itself.
    The four rows come from the four quarters of a part: in each, memory is read straight on, which it foresees.
    """
    unit, shift = sums[4], sums[5]
    s1, s2, s3, s4 = parts[0], parts[1], parts[2], parts[3]
    low, high, near = ends[0], ends[1], ends[2]
    length = max(1, PART_VALUES // (4 * lanes))
    for first in range(0, quads, length):
        parts[:] = 0.0
        many = min(length, quads - first)
        for quad in range(many):
            at, on = (4 * first + quad) * lanes, many * lanes
            x0, x1 = x[at : at + lanes], x[at + on : at + on + lanes]
            x2, x3 = x[at + 2 * on : at + 2 * on + lanes], x[at + 3 * on : at + 3 * on + lanes]
            for lane in range(lanes):
                u, c = unit[lane], shift[lane]
                v0, v1, v2, v3 = x0[lane], x1[lane], x2[lane], x3[lane]
                p, q = (v0 if v0 < v1 else v1), (v2 if v2 < v3 else v3)
                r = p if p < q else q
                low[lane] = r if r < low[lane] else low[lane]
                p, q = (v0 if v0 > v1 else v1), (v2 if v2 > v3 else v3)
                r = p if p > q else q
                high[lane] = r if r > high[lane] else high[lane]
                p, q = abs(v0), abs(v1)
                p = p if p < q else q
                q, r = abs(v2), abs(v3)
                q = q if q < r else r
                p = p if p < q else q
                near[lane] = p if p < near[lane] else near[lane]
                a, b, d, e = float(v0) * u - c, float(v1) * u - c, float(v2) * u - c, float(v3) * u - c
                a2, b2, d2, e2 = a * a, b * b, d * d, e * e
                s1[lane] += (a + b) + (d + e)
                s2[lane] += (a2 + b2) + (d2 + e2)
                s3[lane] += (a2 * a + b2 * b) + (d2 * d + e2 * e)
                s4[lane] += (a2 * a2 + b2 * b2) + (d2 * d2 + e2 * e2)
        for power in range(4):
            total, part = sums[power], parts[power]
            for lane in range(lanes):
                total[lane] += part[lane]


@kernel
def fill_in(x, lanes, block, filled):
    """`x` with its feature's center in place of what is not finite: it adds nothing to the sums and is no extreme."""
    center = np.empty(lanes, x.dtype)
    for lane in range(lanes):
        center[lane] = block[CENTER, lane % block.shape[1]]
    folded = len(x) // lanes * lanes
    for start in range(0, folded, lanes):
        row, out = x[start : start + lanes], filled[start : start + lanes]
        for lane in range(lanes):
            out[lane] = row[lane] if row[lane] - row[lane] == 0 else center[lane]
    for i in range(folded, len(x)):
        filled[i] = x[i] if x[i] - x[i] == 0 else center[i - folded]


@kernel
def center_of_finite(x, held, block):
    """A center that `fill_in` can put among `x`, a value of it where the sample had none that is finite."""
    features = block.shape[1]
    for j in range(features):
        if block[WEIGHT, j] == 0.0 and held[j] > 0.0:
            i = j
            while x[i] - x[i] != 0:
                i += features
            block[CENTER, j], block[EXPONENT, j] = x[i], _exponent_of(float(x[i]))
        block[CENTER, j] = x.dtype.type(block[CENTER, j])


@kernel
def rest(x, ends, sums):
    """As `one_pass`, for the values left over; `x` begins with lane 0."""
    for i in range(len(x)):
        lane, value = i % ends.shape[1], x[i]
        ends[0, lane] = min(ends[0, lane], value)
        ends[1, lane] = max(ends[1, lane], value)
        ends[2, lane] = min(ends[2, lane], abs(value))
        a = float(value) * sums[4, lane] - sums[5, lane]
        sums[0, lane] += a
        sums[1, lane] += a * a
        sums[2, lane] += a * a * a
        sums[3, lane] += (a * a) * (a * a)


@kernel
def prepare_lanes(block, ends, sums):
    for lane in range(sums.shape[1]):
        j = lane % block.shape[1]
        sums[0, lane] = sums[1, lane] = sums[2, lane] = sums[3, lane] = 0.0
        sums[4, lane] = _power_of_two(-block[EXPONENT, j])
        sums[5, lane] = block[CENTER, j] * sums[4, lane]
        ends[0, lane], ends[1, lane], ends[2, lane] = np.inf, -np.inf, np.inf


@kernel
def fold_lanes(held, ends, sums, block):
    """The lanes' sums as one block's, of `held` (features,) values. Whether they serve, or with another center would: GOOD, FAR
    or NOT_FINITE."""
    found, features = GOOD, block.shape[1]
    for j in range(features):
        n, s1, s2, s3, s4 = held[j], 0.0, 0.0, 0.0, 0.0
        low, high = float(ends[0, j]), float(ends[1, j])
        for lane in range(j, sums.shape[1], features):
            s1 += sums[0, lane]
            s2 += sums[1, lane]
            s3 += sums[2, lane]
            s4 += sums[3, lane]
            low, high = min(low, float(ends[0, lane])), max(high, float(ends[1, lane]))
        if n == 0.0:
            low, high = np.inf, -np.inf
        block[WEIGHT, j], block[MEAN, j], block[M2, j], block[M3, j], block[M4, j] = n, s1, s2, s3, s4
        block[MINIMUM, j], block[MAXIMUM, j] = low, high
        if s1 - s1 != 0.0:
            return NOT_FINITE
        # within a deviation of the mean the subtraction of the mean's square costs less than a bit
        if not (n == 0.0 or low == high or (s1 * s1 <= n * s2 * 0.5 and 1e-60 * n <= s2 and s4 <= 1e200)):
            found = FAR
    return found


@kernel
def _sum_powers(x, weight, block):
    """The weights of what is finite and the sums of its powers about the center, in units of 2**exponent."""
    features = block.shape[1]
    part, lost = np.empty((5, features)), np.zeros((5, features))
    for k in range(5):
        for j in range(features):
            block[POWERS[k], j] = 0.0
    for first in range(0, len(x), PART_ROWS * features):  # long sums of like numbers would all round the same way
        part[:] = 0.0
        for i in range(first, min(first + PART_ROWS * features, len(x))):
            j = i % features
            value = x[i]
            w = weight[i // features] if len(weight) > 0 else 1.0
            if w > 0.0 and value - value == 0.0:
                unit = _power_of_two(-block[EXPONENT, j])
                a = value * unit - block[CENTER, j] * unit
                part[0, j] += w
                part[1, j] += w * a
                part[2, j] += w * (a * a)
                part[3, j] += w * (a * a * a)
                part[4, j] += w * ((a * a) * (a * a))
        for k in range(5):
            for j in range(features):  # Kahan (1965)
                term = part[k, j] - lost[k, j]
                total = block[POWERS[k], j] + term
                lost[k, j] = (total - block[POWERS[k], j]) - term
                block[POWERS[k], j] = total


@entry
def measure_carefully(x, weight, whole, block, counts):
    """As `measure`, a block of float64 value by value, in two passes: NaN and infinities are counted and left out, weights are
    used. `weight` has a number a row, or none at all."""
    features = block.shape[1]
    for j in range(features):
        block[WEIGHT, j] = block[MEAN, j] = block[CENTER, j] = block[EXPONENT, j] = 0.0
        block[MINIMUM, j], block[MAXIMUM, j] = np.inf, -np.inf
    for i in range(len(x)):
        j = i % features
        value = x[i]
        w = weight[i // features] if len(weight) > 0 else 1.0
        if value - value == 0.0:
            counts[FINITE, j] += 1
            counts[ZERO, j] += value == 0.0
            if w > 0.0:
                block[WEIGHT, j] += w
                block[MEAN, j] += w * value
                block[MINIMUM, j] = min(block[MINIMUM, j], value)
                block[MAXIMUM, j] = max(block[MAXIMUM, j], value)
        else:
            counts[NAN if value != value else POSITIVE_INFINITE if value > 0.0 else NEGATIVE_INFINITE, j] += 1
    far = True
    for _ in range(2):
        if far:
            better_center(block, whole)
            _sum_powers(x, weight, block)
            far = False  # unless the first mean was too coarse for a center within a deviation of it
            for j in range(features):
                far |= block[MEAN, j] * block[MEAN, j] > 0.5 * block[WEIGHT, j] * block[M2, j]


@kernel
def count_kinds(x, lanes, found):
    """How many values of each feature are NaN, infinite, minus infinite and zero, to `found` (4, features), as KINDS."""
    features, folded = found.shape[1], len(x) // lanes * lanes
    number = np.zeros((4, lanes), np.int32)
    nan, positive, negative, zero = number[0], number[1], number[2], number[3]
    for start in range(0, folded, lanes):
        row = x[start : start + lanes]
        for lane in range(lanes):
            nan[lane] += np.int32(row[lane] != row[lane])
            positive[lane] += np.int32(row[lane] == np.inf)
            negative[lane] += np.int32(row[lane] == -np.inf)
            zero[lane] += np.int32(row[lane] == 0)
    for i in range(folded, len(x)):
        nan[i - folded] += np.int32(x[i] != x[i])
        positive[i - folded] += np.int32(x[i] == np.inf)
        negative[i - folded] += np.int32(x[i] == -np.inf)
        zero[i - folded] += np.int32(x[i] == 0)
    found[:] = 0
    for kind in range(4):
        for lane in range(lanes):
            found[kind, lane % features] += number[kind, lane]


def rows_per_block(features: int) -> int:
    """How many rows are summed before they are added to the rest: a power of two, as many as stay in cache."""
    return max(64, 1 << (max(1, BLOCK_VALUES // features).bit_length() - 1))
