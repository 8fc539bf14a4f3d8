"""NumPy that spares itself work: the namespace in which maps run on tiles.

The one law: a formula gives the same bits in it as in NumPy. Formulas guard every step against values outside their domain;
most tiles have none, and then `where` hands on what it would have copied. A constant stays a single number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

COMPILED_FROM = 1 << 15  # values; only tiles of large arrays have as many


def where(condition: Any, inside: Any, outside: Any) -> Any:
    """`numpy.where`, but one of the two as it is where the condition holds for all or none; narrower perhaps on flat tiles."""
    if np.all(condition):
        return _as_wide(inside, condition)
    if not np.any(condition):
        return _as_wide(outside, condition)
    shape, dtype = np.shape(condition), np.result_type(inside, outside)
    if condition.size < COMPILED_FROM or len(shape) != 1 or dtype.name not in ("float32", "float64"):
        return np.where(condition, inside, outside)
    from tfnorm.kernels.elementwise import select

    out = np.empty(shape, dtype)
    select(condition, _full(inside, out), _full(outside, out), out)
    return out


def _as_wide(x: Any, condition: Any) -> Any:
    """Samples are summed along their axes, so a single number must have them."""
    shape = np.shape(condition)
    return x if len(shape) < 2 or np.ndim(x) == len(shape) else np.broadcast_to(x, shape)


def _full(x: Any, like: np.ndarray) -> np.ndarray:
    if x.shape == like.shape and x.dtype == like.dtype and x.flags.c_contiguous:
        return np.asarray(x)
    full = np.empty_like(like)
    full[...] = x
    return full


def full_like(x: Any, value: float) -> Any:
    return x.dtype.type(value)


def zeros_like(x: Any, dtype: str | None = None) -> Any:
    return np.dtype(dtype or x.dtype).type(0)


def ones_like(x: Any) -> Any:
    return x.dtype.type(1)


def __getattr__(name: str) -> Any:
    return getattr(np, name)
