"""What maps do to places that store no value: the zeros of sparse rows, or what they lack.

The one law: a map keeps rows sparse where it sends 0 to 0 (or what is missing to what is missing), which the map itself is asked.
"""

from __future__ import annotations

import numpy as np

from tfnorm.maps.core import Chain, Map, run
from tfnorm.maps.keyed import ByKey
from tfnorm.maps.samples import RowNorm


def after(step: Map, absent: float, *, inverse: bool = False) -> np.ndarray:
    """What a place becomes where nothing is stored, (features,), by what it stands for: 0, or NaN where it is missing.

    >>> from tfnorm.maps import Affine
    >>> after(Affine(np.array([2.0]), np.array([3.0]), np.array([0.0])), 0.0)
    array([-6.])
    """
    features = max((len(array) for array in step.arrays().values()), default=1)
    with np.errstate(all="ignore"):
        return np.asarray(run(step, np.full((1, features), absent), np, inverse=inverse))[0]


def sparse_flaw(step: Map, absent: float, *, inverse: bool = False) -> str:
    """Why sparse rows would not stay so, in words; empty where they do."""
    for one in step.maps if isinstance(step, Chain) else (step,):
        if not one.elementwise and not (isinstance(one, RowNorm) and one.axes in ((-1,), ())):
            return f"{type(one).__name__.lower()} needs all values of a sample, and sparse rows do not store all"
    if step.keyed():  # each step by itself, for every key
        steps = step.maps if isinstance(step, Chain) else (step,)
        return next((flaw for one in steps if (flaw := _flaw_of(one, absent, inverse))), "")
    return _flaw(step, absent, inverse)


def _flaw_of(one: Map, absent: float, inverse: bool) -> str:
    """As `sparse_flaw`, of a single step, by key or not."""
    if not isinstance(one, ByKey):
        return _flaw(one, absent, inverse)
    if one.unseen == "missing" and not np.isnan(absent):
        return "unseen='missing' makes rows missing whose key is not known, and sparse rows would keep their zeros"
    return _flaw(one.flat, absent, inverse, len(one.keys) + 1)


def _flaw(step: Map, absent: float, inverse: bool, keys: int = 1) -> str:
    became = after(step, absent, inverse=inverse)
    moved = np.flatnonzero(~np.isnan(became) if np.isnan(absent) else became != 0)
    if not len(moved):
        return ""
    what = "missing, and would become" if np.isnan(absent) else "zero, and would become"
    return f"what is not stored is {what} {became[moved[0]]:.6g} (feature {moved[0] // keys}), so the result would be dense"
