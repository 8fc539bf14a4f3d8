"""Maps that bend: each number by itself, along a curve.

The one law: a curve rises on all of its domain, so it keeps the order and comes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tfnorm.maps.core import Array, Map, Namespace


@dataclass(frozen=True)
class Log1p(Map):
    """`y = log(1 + x)` for x > -1, NaN elsewhere; back by `exp(y) - 1`."""

    elementwise: ClassVar[bool] = True

    def forward(self, x: Array, xp: Namespace) -> Array:
        inside = x > -1
        return xp.where(inside, xp.log1p(xp.where(inside, x, xp.zeros_like(x))), xp.full_like(x, float("nan")))

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return xp.expm1(y)

    @property
    def domain(self) -> str:
        return "values above -1"
