"""Maps with ends: what lies beyond them, by a technique or a policy.

The one law: where a policy does not fire, the column's own map alone decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tfnorm.maps.core import Array, Map, Namespace, high_and_low


@dataclass(frozen=True)
class Clip(Map):
    """`y = min(max(x, low), high)`: values outside are set to the nearest end, and come back as that end."""

    elementwise: ClassVar[bool] = True
    rises: ClassVar[bool] = True

    low: Array  # (features,)
    high: Array  # (features,)

    def forward(self, x: Array, xp: Namespace) -> Array:
        return xp.where(xp.isnan(x), x, xp.minimum(xp.maximum(x, self.low), self.high))

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return y

    @property
    def limited(self) -> str:
        return f"what lies outside {span(self.low, self.high)} comes back as the nearest end"


def span(low: Array, high: Array) -> str:
    one = low.size == 1 or (np.all(low == low[0]) and np.all(high == high[0]))
    return f"{float(low[0]):g} to {float(high[0]):g}" if one else "the limits of its feature"


@dataclass(frozen=True)
class Limit(Map):
    """`y = min(max(x, low), high)`, the same for all features: what `Clip` does where no data set the ends."""

    elementwise: ClassVar[bool] = True
    rises: ClassVar[bool] = True

    low: float
    high: float

    def forward(self, x: Array, xp: Namespace) -> Array:
        inside = xp.where(x < self.low, xp.full_like(x, self.low), x)  # which keeps NaN
        return xp.where(x > self.high, xp.full_like(x, self.high), inside)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return y

    @property
    def limited(self) -> str:
        return f"what lies outside {self.low:g} to {self.high:g} comes back as the nearest end"

    def flaw(self, features: int) -> str:
        return "" if self.low < self.high else "its low must be below its high"


@dataclass(frozen=True)
class Within(Map):
    """`y = x` from low to high, NaN outside."""

    elementwise: ClassVar[bool] = True
    rises: ClassVar[bool] = True

    low: Array  # (features,)
    high: Array  # (features,)

    def forward(self, x: Array, xp: Namespace) -> Array:
        return xp.where((x >= self.low) & (x <= self.high), x, xp.full_like(x, float("nan")))

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return y

    @property
    def limited(self) -> str:
        largest = np.finfo(np.float64).max
        which = "infinite" if (self.high == largest).all() else f"outside {span(self.low, self.high)}"
        return f"what is {which} is missing, and stays so"


@dataclass(frozen=True)
class Unless(Map):
    """`y = x` for the features that are kept, the map's for the others."""

    kept: Array  # (features,) 1 where the feature stays as it is, else 0
    step: Map

    @property
    def elementwise(self) -> bool:  # type: ignore[override]  # as the map is
        return self.step.elementwise

    @property
    def rises(self) -> bool:  # type: ignore[override]  # as the map does
        return self.step.rises

    @property
    def subtracts_first(self) -> bool:  # type: ignore[override]  # as the map does
        return self.step.subtracts_first

    def forward(self, x: Array, xp: Namespace) -> Array:
        high, low = high_and_low(x, xp)
        return xp.where(self.kept == 1, high if low is None else high + low, self.step.forward(x, xp))

    def forward_where(self, x: Array, there: Array, xp: Namespace) -> Array:
        return xp.where(self.kept == 1, x, self.step.forward_where(x, there, xp))

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return xp.where(self.kept == 1, y, self.step.inverse(y, xp))

    @property
    def lost(self) -> str:
        return self.step.lost

    @property
    def limited(self) -> str:
        return self.step.limited

    @property
    def domain(self) -> str:
        return self.step.domain

    @property
    def sample_axes(self) -> int:
        return self.step.sample_axes

    def arrays(self) -> dict[str, Array]:
        return {"kept": self.kept, **{f"step.{name}": value for name, value in self.step.arrays().items()}}

    def with_arrays(self, arrays: dict[str, Array]) -> Unless:
        inner = {name.removeprefix("step."): value for name, value in arrays.items() if name != "kept"}
        return Unless(arrays["kept"], self.step.with_arrays(inner))

    def at(self, dtype: str) -> Unless:
        return Unless(self.kept.astype(dtype), self.step.at(dtype))

    def fits(self, dtype: str) -> bool:
        return self.step.fits(dtype)

    def taken_off(self) -> Array:
        return self.step.taken_off()

    def flaw(self, features: int) -> str:
        if self.kept.dtype != np.float64 or self.kept.shape != (features,) or not np.isin(self.kept, (0, 1)).all():
            return f"kept must hold 0 or 1 for {features} features"
        return self.step.flaw(features)

    def settings(self) -> tuple[object, ...]:
        return (type(self.step), self.step.settings())
