"""The affine map in one pass over memory: `maps.Affine.forward`, step for step and rounding for rounding."""

from __future__ import annotations

import numpy as np

from tfnorm.kernels.moments import entry

LANES = 256


@entry
def affine(x, center, scale, offset, out):
    """out = (x - center) * scale + offset, all flat, for constants that repeat every `len(center)` values."""
    features = len(center)
    lanes = max(1, LANES // features) * features
    c, s, o = np.empty(lanes, x.dtype), np.empty(lanes, x.dtype), np.empty(lanes, x.dtype)
    for lane in range(lanes):
        c[lane], s[lane], o[lane] = center[lane % features], scale[lane % features], offset[lane % features]
    for start in range(0, len(x), lanes):
        width = min(lanes, len(x) - start)
        row, result = x[start : start + width], out[start : start + width]
        for lane in range(width):
            result[lane] = (row[lane] - c[lane]) * s[lane] + o[lane]
