"""Columns that are computed together: put side by side, and taken apart again.

The one law: what comes out of a block is, column by column, what would come of each alone.

Columns of single numbers are rows of a block where TensorFlow runs it ("turned", (columns, n)): it copies each of them as it
lies, and takes them apart without a copy. Side by side they would have to be copied number by number, both ways.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from tfnorm import maps

Tensor = Any


@dataclass(frozen=True)
class Block:
    """The mapped values of columns that were computed together."""

    names: list[str]
    values: Tensor
    # "stacked" (n, columns) of (n,), "joined" (n, columns) of (n, 1), "alone" as the one column came, "number" (n, 1) of (n,)
    layout: str
    marks: bool  # whether as many marks of what was missing follow the values
    turned: bool = False  # whether "stacked" and "joined" are (columns, n)

    def columns(self, *, flat: bool) -> Iterator[tuple[str, Tensor]]:
        """Each column in the shape in which it came, and each that has marks followed by these; `flat`, as (n, width)."""
        halves = ops.split(self.values, 2, axis=-1) if self.marks else [self.values]
        kinds = [self._parts(half, flat) for half in halves]
        for i, name in enumerate(self.names):
            yield from zip((name, maps.mark_name(name)), (parts[i] for parts in kinds), strict=False)

    def side_by_side(self) -> Tensor:
        """All columns as one tensor (n, columns)."""
        return ops.transpose(self.values) if self.turned else self.values

    def _parts(self, values: Tensor, flat: bool) -> Sequence[Tensor]:
        if self.layout == "alone":
            return [ops.expand_dims(values, -1) if flat and len(values.shape) == 1 else values]
        if self.layout == "number":
            return [values if flat else ops.squeeze(values, -1)]
        wide = self.layout == "joined" or flat
        if self.turned:
            return list(ops.unstack(ops.expand_dims(values, -1) if wide else values, len(self.names), axis=0))
        if wide:
            return list(ops.split(values, len(self.names), axis=-1))
        return list(ops.unstack(values, len(self.names), axis=-1))


def can_turn(step: maps.Map, columns: Sequence[Tensor]) -> bool:
    """Whether columns may be rows: each number is mapped by itself, by one number a feature, and TensorFlow runs it now."""
    single = step.elementwise and all(array.ndim == 1 for array in step.arrays().values())
    symbolic = isinstance(columns[0], keras.KerasTensor)
    return single and len(columns[0].shape) > 0 and not symbolic and keras.backend.backend() == "tensorflow"


def beside(columns: Sequence[Tensor], layout: str, *, turned: bool = False) -> Tensor:
    """Columns (n,) ("stacked") or (n, 1) ("joined") as one tensor (n, columns), or (columns, n)."""
    if layout == "stacked":
        return ops.stack(columns, axis=0 if turned else -1)
    if turned:
        return ops.reshape(ops.concatenate(columns, axis=0), (len(columns), -1))
    return ops.concatenate(columns, axis=-1)
