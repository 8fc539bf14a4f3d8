"""Which maps are done in one pass over memory, and where.

The one law: a twin gives what the map gives, on contiguous float32 and float64; all else is left to the map itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfnorm.maps import PLAIN, Affine, Clip, Limit, Log1p, Map, Piecewise, Power, RowNorm

Rows = Callable[[int, int], None]  # fills the result from one row to another
TILE_BYTES = 1 << 19


def twin(step: Map, x: np.ndarray, out: np.ndarray, inverse: bool) -> Rows | None:
    """What fills `out`, contiguous and of the type of x and the map, float32 or float64; None where there is no twin."""
    if not x.flags.c_contiguous:
        return None
    if isinstance(step, Piecewise):
        starts, ends = (step.values, step.knots) if inverse else (step.knots, step.values)
        return _piecewise(starts, ends, x, out) if len(starts) in (1, x.shape[-1]) else None
    if inverse:
        return None
    if isinstance(step, RowNorm):
        return _unit(step, x, out)
    if isinstance(step, Log1p):
        return _log1p(x, out)
    flat = _flat(step, x.shape[-1])
    if flat is None:
        return None
    width, values, result = x.size // len(x), x.reshape(-1), out.reshape(-1)

    def rows(first: int, last: int) -> None:
        part = slice(first * width, last * width)
        flat(values[part], result[part])

    return rows


def _flat(step: Map, features: int) -> Callable[[np.ndarray, np.ndarray], Any] | None:
    """The kernel that fills one flat array from another."""
    from tfnorm.kernels import elementwise

    if isinstance(step, Affine) and len(step.center) in (1, features):
        return lambda x, out: elementwise.affine(x, step.center, step.scale, step.offset, out)
    if isinstance(step, Clip) and len(step.low) in (1, features):
        return lambda x, out: elementwise.clip(x, step.low, step.high, out)
    if isinstance(step, Limit):
        low, high = np.array([step.low]), np.array([step.high])
        return lambda x, out: elementwise.clip(x, low.astype(x.dtype), high.astype(x.dtype), out)
    if isinstance(step, Power) and step.exponent == 0.5:
        return elementwise.square_root
    return None


def _piecewise(starts: np.ndarray, ends: np.ndarray, x: np.ndarray, out: np.ndarray) -> Rows:
    from tfnorm.kernels.elementwise import piecewise

    features = x.shape[-1] if x.ndim > 1 else 1
    values, result, repeats = x.reshape(-1, features), out.reshape(-1, features), x.size // len(x) // features

    def rows(first: int, last: int) -> None:
        part = slice(first * repeats, last * repeats)
        piecewise(values[part], starts, ends, result[part])

    return rows


def _unit(step: RowNorm, x: np.ndarray, out: np.ndarray) -> Rows | None:
    """Where the axes are the last ones, so that what belongs together lies together."""
    axes = sorted(step.axes) or list(range(1 - x.ndim, 0))
    if axes != list(range(-len(axes), 0)) or len(axes) >= x.ndim:
        return None
    from tfnorm.kernels.rows import unit

    size = int(np.prod(x.shape[-len(axes) :]))
    values, result, repeats = x.reshape(-1, size), out.reshape(-1, size), x.size // len(x) // size

    def rows(first: int, last: int) -> None:
        part = slice(first * repeats, last * repeats)
        unit(values[part], step.order, PLAIN, result[part])

    return rows


def _log1p(x: np.ndarray, out: np.ndarray) -> Rows:
    """NumPy's own, into place; it gives NaN below -1 and minus infinity at it."""
    tile = max(1, TILE_BYTES // x[0].nbytes)

    def rows(first: int, last: int) -> None:
        with np.errstate(all="ignore"):
            for start in range(first, last, tile):
                part = slice(start, min(start + tile, last))
                np.log1p(x[part], out=out[part])
                if not out[part].min() > -np.inf:
                    np.putmask(out[part], x[part] == -1, np.nan)

    return rows
