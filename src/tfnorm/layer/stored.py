"""Sparse and ragged tensors, and masks, in the layer.

The one law: what is stored becomes what it would in a dense tensor, and what comes out is of the kind that came.

TensorFlow's own methods on its tensors are used, so nothing of it is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from tfnorm import maps
from tfnorm.errors import DataError

Tensor = Any


def is_sparse(x: Tensor) -> bool:
    """Whether it is a SparseTensor, or stands for one."""
    return bool(getattr(x, "sparse", False)) or (hasattr(x, "dense_shape") and hasattr(x, "with_values"))


def is_ragged(x: Tensor) -> bool:
    """Whether it is a RaggedTensor, or stands for one."""
    return bool(getattr(x, "ragged", False)) or hasattr(x, "flat_values")


def is_stored(x: Tensor) -> bool:
    return is_sparse(x) or is_ragged(x)


def like_symbol(x: Any, dtype: Any) -> Any:
    """The symbolic tensor of this type that is as sparse or ragged as x."""
    kinds = {kind: True for kind in ("sparse", "ragged") if getattr(x, kind, False)}
    return keras.KerasTensor(x.shape, dtype, **kinds)


def spread(mask: Tensor, x: Tensor) -> Tensor:
    """A mask of x's leading shape, as booleans with as many axes as x."""
    mask = ops.cast(mask, "bool")
    if len(mask.shape) > len(x.shape):
        raise DataError(f"mask: expected the leading shape of {tuple(x.shape)}, got {tuple(mask.shape)}")
    for _ in range(len(x.shape) - len(mask.shape)):
        mask = ops.expand_dims(mask, -1)
    return mask


def map_stored(
    step: maps.Map, x: Tensor, groups: Mapping[tuple[str, ...], Tensor], precision: str, result: str, *, inverse: bool
) -> Tensor:
    """A map whose arrays are of the precision, on what a sparse or ragged tensor stores; `groups` has the keys of its rows."""
    if is_ragged(x):
        return _map_ragged(step, x, groups, precision, result, inverse)
    values = x.values if step.subtracts_first and step.arrays() and not inverse else ops.cast(x.values, precision)
    steps = step.maps if isinstance(step, maps.Chain) else (step,)
    for one in reversed(steps) if inverse else steps:
        if one.elementwise:
            values = maps.run(_at_places(one, x.indices, groups), values, ops, inverse=inverse)
        else:  # a norm, to which zeros add nothing: the stored values of each row side by side
            compact, at = _side_by_side(x, values)
            values = ops.take(ops.reshape(maps.run(one, compact, ops), (-1,)), at)
    return x.with_values(ops.cast(values, result))


def _at_places(step: maps.Map, indices: Tensor, groups: Mapping[tuple[str, ...], Tensor]) -> maps.Runnable:
    """The map of each stored value: the numbers of its feature, and of the key of its row."""
    arrays, places = step.arrays(), indices[:, -1]
    if isinstance(step, maps.ByKey):
        own = ops.take(groups[step.keys.names], indices[:, 0], axis=0)
        return step.of_values(ops.cast(places, own.dtype), own, ops)
    if all(array.shape[0] == 1 for array in arrays.values()):
        return step
    return step.with_arrays({name: ops.take(array, places, axis=0) for name, array in arrays.items()})


def _side_by_side(x: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """(rows, most that one stores) with zeros after what a row stores; and where each value is in it, flat."""
    rows = ops.cast(x.indices[:, 0], "int32")
    number = ops.segment_sum(ops.ones_like(rows), rows, num_segments=ops.cast(x.dense_shape[0], "int32"))
    longest = ops.max(ops.append(number, ops.ones((1,), "int32")))
    first = ops.cumsum(number) - number
    at = rows * longest + ops.arange(ops.shape(rows)[0], dtype="int32") - ops.take(first, rows)
    size = ops.shape(number)[0] * longest
    flat = ops.segment_sum(values, at, num_segments=size)
    return ops.reshape(flat, (-1, longest)), at


def _map_ragged(
    step: maps.Map,
    x: Tensor,
    groups: Mapping[tuple[str, ...], Tensor],
    precision: str,
    result: str,
    inverse: bool,
) -> Tensor:
    if step.elementwise:
        values = x.flat_values
        bound = step.bound(_of_steps(groups, x), len(values.shape), ops) if step.keyed() else step
        if not (step.subtracts_first and step.arrays()) or inverse:
            values = ops.cast(values, precision)
        return x.with_flat_values(ops.cast(maps.run(bound, values, ops, inverse=inverse), result))
    if x.ragged_rank > 1:
        raise DataError(
            f"{type(step).__name__.lower()} takes a sample as a whole, and these are ragged along more than one axis. "
            "Choose a technique of single values, or make them ragged along one"
        )
    padded = ops.cast(x.to_tensor(), precision)
    padded = ops.pad(
        padded, [[0, int(axis == 1)] for axis in range(len(padded.shape))]
    )  # else there may be no step at all
    lengths = x.row_lengths()
    there = ops.arange(ops.shape(padded)[1], dtype=lengths.dtype)[None, :] < lengths[:, None]
    bound = step.bound(groups, len(padded.shape), ops) if step.keyed() else step
    mapped = maps.run(bound, padded, ops, inverse=inverse, there=spread(there, padded))
    return type(x).from_tensor(ops.cast(mapped, result), lengths=lengths)


def _of_steps(groups: Mapping[tuple[str, ...], Tensor], x: Tensor) -> dict[tuple[str, ...], Tensor]:
    """The key of each row, for each value that lies flat in it."""
    rows = x.value_rowids()
    inside = x.values
    while is_ragged(inside):
        rows, inside = ops.take(rows, inside.value_rowids(), axis=0), inside.values
    return {names: ops.take(own, rows, axis=0) for names, own in groups.items()}
