"""Columns that a layer maps at once: their numbers side by side in weights, and how these become a map.

The one law: a group gives each column what its own map gives, whatever numbers the weights have.

A layer's way in has one pass less over the data where the centers can hold the offsets: as the numbers of the fit have it, so
that it is part of what is compiled. In the graph the new centers are made of the weights, so other numbers that are set later
are right, too, within what rounding costs; where it costs too much the layer takes the long way again (`judged_anew`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
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
    short: bool  # whether in float32, on the way in, centers hold the offsets: an operation less (see `center_will_do`)

    @property
    def needs_like(self) -> bool:
        """Whether the way back takes what is lost from raw samples."""
        return self.step.restores_like

    def features(self, name: str) -> int:
        return self.spans[name][1] - self.spans[name][0]

    def step_of(self, names: Sequence[str], precision: str) -> maps.Map:
        """The map of some columns, with weights in place of numbers."""
        step = self._step_of(names, self.weights[precision])
        return _in_center(step, ops) if self.short and precision == "float32" else step

    def judged_anew(self) -> Group:
        """The group by the numbers that its weights have now."""
        if not self.short:
            return self
        now = {field: ops.convert_to_numpy(weight) for field, weight in self.weights["float64"].items()}
        return self if center_will_do(self.step.with_arrays(now)) else dataclasses.replace(self, short=False)

    def _step_of(self, names: Sequence[str], weights: dict[str, Tensor]) -> maps.Map:
        if len(names) == len(self.spans):
            return self.step.with_arrays(weights)
        if all(self.spans[one][1] == self.spans[other][0] for one, other in pairwise(names)):
            start, end = self.spans[names[0]][0], self.spans[names[-1]][1]
            return self.step.with_arrays({field: weight[start:end] for field, weight in weights.items()})
        places = np.array([place for name in names for place in range(*self.spans[name])], np.int32)
        return self.step.with_arrays({field: ops.take(weight, places, axis=0) for field, weight in weights.items()})


def center_will_do(step: maps.Map) -> bool:
    """Whether a map has offsets that its centers can hold in float32."""
    affine = [one for one in step.steps() if isinstance(one, maps.Affine)]
    return bool(affine) and all(moves_little(one) for one in affine)


def moves_little(step: maps.Affine) -> bool:
    """Whether `at("float32").in_center` is near enough to the map: results move by 1e-6 of 1 + their size at most, to which the
    three roundings of x - center, of the scale and of their product add up to .18e-6 of the size."""
    with np.errstate(all="ignore"):
        exact = step.center - step.offset / step.scale
        moved = (step.at("float32").in_center(np).center.astype("float64") - exact) * step.scale
    return not step.has_constant and bool((np.abs(moved) <= CENTER_MOVES).all())


def _in_center(step: maps.Map, xp: Any) -> maps.Map:
    if isinstance(step, maps.Chain):
        return maps.Chain(tuple(_in_center(one, xp) for one in step.maps))
    return step.in_center(xp) if isinstance(step, maps.Affine) else step
