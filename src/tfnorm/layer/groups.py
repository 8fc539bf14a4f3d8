"""Columns that a layer maps at once: their numbers side by side in weights, and how these become a map.

The one law: a group gives each column what its own map gives, whatever numbers the weights are set to together.

A layer's way in has one pass less over the data where the centers can hold the offsets: as the numbers of the fit have it, so
that it is part of what is compiled. Such centers are weights beside the others, so other numbers that are set later are right,
too, within what rounding costs; where it costs too much the layer takes the long way again (`judged_anew`). (Were they made in
the graph of the other weights, XLA would make them anew for every value: a division each.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from keras import ops

from tfnorm import maps

Tensor = Any

CENTER_MOVES = 0.8e-6
"""How far the rounding of a center may move results, in their units, before an operation is spent on taking that back."""


@dataclass(frozen=True)
class Group:
    """Columns whose maps differ in their numbers only. These lie side by side, one weight a field and precision."""

    step: maps.Map  # the map of all of them at once, float64
    spans: dict[str, tuple[int, int]]  # column -> where its features begin and end, in fitted order
    fits_float32: bool  # whether float32 holds the numbers
    weights: dict[str, dict[str, Tensor]]  # precision -> field -> weight (features of all columns, ...)
    moved: dict[str, Tensor | None]  # field -> weight: in float32, centers that hold the offsets, and None for these
    short: bool  # whether in float32, on the way in, centers hold the offsets: an operation less (see `center_will_do`)

    @property
    def needs_like(self) -> bool:
        """Whether the way back takes what is lost from raw samples."""
        return self.step.restores_like

    def features(self, name: str) -> int:
        return self.spans[name][1] - self.spans[name][0]

    def step_of(self, names: Sequence[str], precision: str) -> maps.Map:
        """The map of some columns, with weights in place of numbers."""
        short = self.moved if self.short and precision == "float32" else {}
        return self._step_of(names, {**self.weights[precision], **short})

    def judged_anew(self) -> Group:
        """The group by the numbers that its weights have now."""
        if not self.short:
            return self
        now = {field: ops.convert_to_numpy(weight) for field, weight in self.weights["float64"].items()}
        return self if center_will_do(self.step.with_arrays(now)) else dataclasses.replace(self, short=False)

    def _step_of(self, names: Sequence[str], weights: dict[str, Tensor | None]) -> maps.Map:
        if len(names) == len(self.spans):
            return self.step.with_arrays(weights)
        if all(self.spans[one][1] == self.spans[other][0] for one, other in pairwise(names)):
            start, end = self.spans[names[0]][0], self.spans[names[-1]][1]
            return self.step.with_arrays(_of_each(weights, lambda weight: weight[start:end]))
        places = np.array([place for name in names for place in range(*self.spans[name])], np.int32)
        return self.step.with_arrays(_of_each(weights, lambda weight: ops.take(weight, places, axis=0)))


def _of_each(weights: dict[str, Tensor | None], part: Callable[[Tensor], Tensor]) -> dict[str, Tensor | None]:
    return {field: None if weight is None else part(weight) for field, weight in weights.items()}


def center_will_do(step: maps.Map) -> bool:
    """Whether a map has offsets that its centers can hold in float32."""
    affine = [one for one in step.steps() if isinstance(one, maps.Affine)]
    return bool(affine) and all(moves_little(one) for one in affine)


def moves_little(step: maps.Affine) -> bool:
    """Whether `at("float32").in_center` is near enough to the map: results move by 1e-6 of 1 + their size at most, to which the
    three roundings of x - center, of the scale and of their product add up to .18e-6 of the size."""
    with np.errstate(all="ignore"):
        exact = step.center - step.offset / step.scale
        moved = (exact.astype("float32") - exact) * step.scale
        return not step.has_constant and bool((np.abs(moved) <= CENTER_MOVES).all())


def in_centers(step: maps.Map) -> dict[str, np.ndarray | None]:
    """What `Group.moved` has, as numbers."""
    moved = _in_center(step).arrays()
    lacking = [field for field in step.arrays() if field not in moved]  # the offsets
    centers = [field.removesuffix("offset") + "center" for field in lacking]
    with np.errstate(over="ignore"):  # beyond float32 they will not do
        return {**{field: moved[field].astype("float32") for field in centers}, **dict.fromkeys(lacking)}


def _in_center(step: maps.Map) -> maps.Map:
    if isinstance(step, maps.Chain):
        return maps.Chain(tuple(_in_center(one) for one in step.maps))
    return step.in_center() if isinstance(step, maps.Affine) else step
