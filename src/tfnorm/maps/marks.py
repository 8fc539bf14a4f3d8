"""Maps that tell beside the values which of them were missing.

The one law: values come first on the last axis, then as many marks; the way back makes missing again what is marked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tfnorm.maps.core import Array, Map, Namespace, Shape


def mark_name(column: str) -> str:
    """What tables call the column of a column's marks."""
    return f"{column}_missing"


@dataclass(frozen=True)
class FillAndMark(Map):
    """`y = (value where x is missing, x elsewhere; then 1 where x is missing, 0 elsewhere)`: twice as many features.

    On the way back values without marks are taken to be there.
    """

    fills: ClassVar[bool] = True
    marks: ClassVar[bool] = True

    value: Array  # (features,)

    def forward(self, x: Array, xp: Namespace) -> Array:
        missing = xp.isnan(x)
        filled = xp.where(missing, self.value + xp.zeros_like(x), x)
        return xp.concatenate([filled, xp.where(missing, xp.ones_like(x), xp.zeros_like(x))], axis=-1)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        if y.shape[-1] == self.value.shape[0]:
            return y
        values, marks = xp.split(y, 2, axis=-1)
        return xp.where(marks > 0.5, xp.full_like(values, float("nan")), values)

    @property
    def sample_axes(self) -> int:
        return 0

    def shape(self, came: Shape, *, inverse: bool = False) -> Shape:
        last = came[-1] if came else None
        if not inverse:
            return (*came[:-1], None if last is None else 2 * last)
        return came if last is None or last == self.value.shape[0] else (*came[:-1], last // 2)

    def features(self, width: int = 1) -> int:
        return max(self.value.shape[0], width // 2)
