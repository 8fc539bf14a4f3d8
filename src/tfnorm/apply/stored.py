"""How a map runs on sparse and ragged rows.

The one law: what is stored becomes what it would in dense rows, and what is not stored stays so.
"""

from __future__ import annotations

import numpy as np

from tfnorm.apply.dense import Groups, apply, at_work
from tfnorm.errors import DataError
from tfnorm.maps import ByKey, Chain, Map, RowNorm, run, sparse_flaw
from tfnorm.sources.stored import Ragged, Sparse, Stored

TILE_VALUES = 1 << 15


def apply_stored(step: Map, rows: Stored, *, groups: Groups | None = None, inverse: bool = False) -> Stored:
    """Forward or back on the stored values; whether what is not stored stays so is asked of `maps.sparse_flaw`.
    Maps by key need the rows' `groups`."""
    if isinstance(rows, Ragged):
        return rows.with_values(_on_steps(step, rows, groups, inverse))
    assert isinstance(rows, Sparse)
    working, result, step = at_work(step, rows.dtype)
    values = rows.values
    if inverse or not (step.subtracts_first and values.dtype in (np.int64, np.uint64)):
        values = values.astype(working)
    steps = step.maps if isinstance(step, Chain) else (step,)
    with np.errstate(all="ignore"):
        for one in reversed(steps) if inverse else steps:
            if isinstance(one, ByKey) and groups is not None and one.elementwise:
                own = np.repeat(groups[one.keys.names], rows.lengths)
                values = _one_by_one(one, values, rows.places, inverse, own)
            elif one.elementwise:
                values = _one_by_one(one, values, rows.places, inverse)
            elif not isinstance(one, RowNorm):
                raise DataError(f"{sparse_flaw(one, 0.0)}. Pass dense rows: x.toarray().")
            else:  # zeros add nothing to a norm
                values = _by_length(one, rows.with_values(values))
    return rows.with_values(values.astype(result, copy=False))


def _one_by_one(
    step: Map, values: np.ndarray, places: np.ndarray, inverse: bool, groups: np.ndarray | None = None
) -> np.ndarray:
    """Each value by the numbers of its feature, and of the key of its row."""
    arrays = step.arrays()
    shared = all(len(array) == 1 for array in arrays.values())
    parts = []
    for start in range(0, len(values), TILE_VALUES):
        tile = slice(start, start + TILE_VALUES)
        if groups is not None:
            assert isinstance(step, ByKey)
            by_key = step.of_values(places[tile], groups[tile], np)
            parts.append(np.asarray(run(by_key, values[tile], np, inverse=inverse)))
            continue
        own = step if shared else step.with_arrays({name: array[places[tile]] for name, array in arrays.items()})
        parts.append(np.asarray(run(own, values[tile], np, inverse=inverse)))
    return np.concatenate(parts) if parts else values.astype(np.float64)


def _on_steps(step: Map, rows: Ragged, groups: Groups | None, inverse: bool) -> np.ndarray:
    if step.elementwise:
        steps = None if groups is None else {names: np.repeat(own, rows.lengths) for names, own in groups.items()}
        return apply(step, rows.values, groups=steps, inverse=inverse)
    if rows.depth > 1:
        raise DataError(
            f"{type(step).__name__.lower()} takes a sample as a whole, and these are ragged along more than one axis. "
            "Choose a technique of single values, or make them ragged along one."
        )
    return _by_length(step, rows, groups, inverse)


def _by_length(step: Map, rows: Stored, groups: Groups | None = None, inverse: bool = False) -> np.ndarray:
    """Rows that store as many values make one array together."""
    lengths, out = rows.lengths, apply(step, rows.values[:0].reshape(0, 1, *rows.values.shape[1:]), inverse=inverse)
    shape = (len(rows.values), *out.shape[2:])  # of steps that are vectors the width may be another one
    masked = isinstance(rows.values, np.ma.MaskedArray)
    result: np.ndarray = np.ma.empty(shape, out.dtype) if masked else np.empty(shape, out.dtype)
    for length in np.unique(lengths[lengths > 0]):
        at = rows.starts[:-1][lengths == length][:, None] + np.arange(length)
        own = None if groups is None else {names: codes[lengths == length] for names, codes in groups.items()}
        result[at] = apply(step, rows.values[at], groups=own, inverse=inverse)
    return result
