"""Maps of a sample by its own numbers: no statistics of the data.

The one law: a sample's result depends on that sample alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfnorm.maps.core import Array, Map, Namespace


@dataclass(frozen=True)
class RowNorm(Map):
    """`y = x / norm(x)` of each sample over `axes`; a zero sample stays zero, one with a missing value is missing.

    The sample is first divided by its largest absolute value, so that nothing overflows or vanishes when squared.
    """

    order: float  # 1, 2 or infinity
    axes: tuple[int, ...] = (-1,)  # counted from the end; none means all of a sample's

    def forward(self, x: Array, xp: Namespace) -> Array:
        axes = self.axes or tuple(range(1, len(x.shape)))
        largest = xp.max(xp.abs(x), axis=axes, keepdims=True)
        direction = x / xp.where(largest == 0, xp.ones_like(largest), largest)
        if self.order == 1:
            norm = xp.sum(xp.abs(direction), axis=axes, keepdims=True)
        elif self.order == 2:
            square = xp.sum(direction * direction, axis=axes, keepdims=True)
            norm = xp.sqrt(xp.where(square == 0, xp.ones_like(square), square))  # the root's slope at 0 is infinite
        else:  # a maximum does not see NaN everywhere that this runs (XLA)
            missing = xp.any(xp.isnan(x), axis=axes, keepdims=True)
            return xp.where(missing, xp.full_like(direction, float("nan")), direction)
        return direction / xp.where(norm == 0, xp.ones_like(norm), norm)

    def flaw(self, features: int) -> str:
        sound = self.order in (1, 2, np.inf) and all(-32 <= axis < 0 for axis in self.axes)
        sound = sound and len(set(self.axes)) == len(self.axes)
        return "" if sound else "it is no norm over axes counted from the end"

    @property
    def lost(self) -> str:
        return "a unit norm keeps the direction of a sample and forgets its length, so it cannot be undone"
