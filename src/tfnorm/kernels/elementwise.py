"""Each value by itself, in one pass over memory: the formulas of `tfnorm.maps`, step for step and rounding for rounding."""

from __future__ import annotations

import numpy as np

from tfnorm.kernels.moments import entry

LANES = 256


@entry
def affine(x, center, scale, offset, out):
    """out = (x - center) * scale + offset, all flat, for constants that repeat every `len(center)` values.

    Where the scale is 0, infinite values give the offset, too.
    """
    features, zero = len(center), x.dtype.type(0.0)
    lanes = max(1, LANES // features) * features
    c, s, o = np.empty(lanes, x.dtype), np.empty(lanes, x.dtype), np.empty(lanes, x.dtype)
    for lane in range(lanes):
        c[lane], s[lane], o[lane] = center[lane % features], scale[lane % features], offset[lane % features]
    for start in range(0, len(x), lanes):
        width = min(lanes, len(x) - start)
        row, result = x[start : start + width], out[start : start + width]
        for lane in range(width):
            distance = row[lane] - c[lane]
            distance = zero if (s[lane] == zero) & (abs(distance) == np.inf) else distance
            result[lane] = distance * s[lane] + o[lane]


@entry
def clip(x, low, high, out):
    """out = min(max(x, low), high), NaN staying; all flat, for constants that repeat every `len(low)` values."""
    features = len(low)
    lanes = max(1, LANES // features) * features
    least, most = np.empty(lanes, x.dtype), np.empty(lanes, x.dtype)
    for lane in range(lanes):
        least[lane], most[lane] = low[lane % features], high[lane % features]
    for start in range(0, len(x), lanes):
        width = min(lanes, len(x) - start)
        row, result = x[start : start + width], out[start : start + width]
        for lane in range(width):
            value, least_here, most_here = row[lane], least[lane], most[lane]
            value = least_here if value < least_here else value
            result[lane] = most_here if value > most_here else value


@entry
def square_root(x, out):
    """out = sqrt(x), NaN below 0, and 0 of either sign gives 0."""
    for i in range(len(x)):
        out[i] = np.sqrt(x[i]) + x.dtype.type(0.0)


@entry
def piecewise(x, starts, ends, out):
    """out = ends[j, k] + (x - starts[j, k]) * slope, k the last knot at most x of feature j; x and out are (rows, features)."""
    features, number = starts.shape
    slopes = np.empty((features, number - 1), x.dtype)
    half = 1
    while 2 * half < number - 1:
        half *= 2
    knots = np.full((features, 2 * half), np.nan, x.dtype)  # nothing is found beyond the last
    for j in range(features):
        for k in range(number - 1):
            width = starts[j, k + 1] - starts[j, k]
            slopes[j, k] = (ends[j, k + 1] - ends[j, k]) / (width if width > 0 else x.dtype.type(1.0))
            knots[j, k] = starts[j, k]
    value, at = np.empty(LANES, x.dtype), np.empty(LANES, np.int64)
    for start in range(0, len(x), LANES):
        width = min(LANES, len(x) - start)
        for column in range(x.shape[1]):
            j = column if features > 1 else 0
            for lane in range(width):
                value[lane], at[lane] = x[start + lane, column], 0
            step = half
            while step > 0:  # halving many at once, without a branch to guess wrong
                for lane in range(width):
                    at[lane] += step if value[lane] >= knots[j, at[lane] + step] else 0
                step //= 2
            for lane in range(width):
                k = at[lane]
                out[start + lane, column] = ends[j, k] + (value[lane] - starts[j, k]) * slopes[j, k]


@entry
def select(condition, inside, outside, out):
    """out = inside where the condition holds, outside elsewhere; all flat."""
    for i in range(len(out)):
        out[i] = inside[i] if condition[i] else outside[i]
