"""Maps of a sample by its own numbers: no statistics of the data.

The one law: a sample's result depends on that sample alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tfnorm.maps.core import Array, Map, Namespace

PLAIN = 2.0**60
"""A sum of squares (or sizes) from 1/PLAIN to PLAIN has lost none that matters, and none has overflown, in float32 either."""

LANES = (16, 8)
"""How many numbers are added at a time, where the width is a multiple."""


@dataclass(frozen=True)
class RowNorm(Map):
    """`y = x / norm(x)` of each sample over `axes`; a zero sample stays zero; missing values stay so and add nothing.

    Where its values are so large or small that squares might overflow or vanish, the largest is divided out first.
    """

    leaves_out: ClassVar[bool] = True
    restores_like: ClassVar[bool] = True

    order: float  # 1, 2 or infinity
    axes: tuple[int, ...] = (-1,)  # counted from the end; none means all of a sample's

    def forward(self, x: Array, xp: Namespace) -> Array:
        if not hasattr(xp, "cond") or type(x).__name__ == "KerasTensor":  # NumPy, or a graph that cannot ask
            return self._forward_of_any(x, xp)
        # a third of the time where, as nearly always, nothing is missing, zero, or so large that a square overflows
        largest = self.order > 2
        size = xp.max(xp.abs(x), axis=self._axes_of(x), keepdims=True, initial=0) if largest else self._lanes(x, xp)
        plain = xp.all(xp.logical_and(size > 1 / PLAIN, size < PLAIN))
        norm = xp.sqrt(size) if self.order == 2 else size
        return xp.cond(plain, lambda: x * (1 / norm), lambda: self._forward_of_any(x, xp))

    def _forward_of_any(self, x: Array, xp: Namespace) -> Array:
        missing = xp.isnan(x)
        direction, norm, _ = self._parts(xp.where(missing, xp.zeros_like(x), x), xp)
        if norm is not None:
            direction = direction / xp.where(norm == 0, xp.ones_like(norm), norm)
        return xp.where(missing, xp.full_like(direction, float("nan")), direction)

    def inverse_like(self, y: Array, x: Array, xp: Namespace) -> Array:
        """Back to the lengths of the samples x."""
        _, norm, divided = self._parts(xp.where(xp.isnan(x), xp.zeros_like(x), x), xp)
        return y * divided if norm is None else y * norm * divided

    def _parts(self, x: Array, xp: Namespace) -> tuple[Array, Array | None, Array]:
        """x with its size divided out where it must be, the norm of that (None where it is 1), and what it was divided by."""
        largest = xp.max(xp.abs(x), axis=self._axes_of(x), keepdims=True, initial=0)
        one = xp.ones_like(largest)
        divided = xp.where(largest == 0, one, largest)
        if self.order > 2:
            return x / divided, None, divided
        size = self._sum(xp.minimum(xp.abs(x), 2 * PLAIN ** (1 / self.order)), xp)  # without an overflow
        divided = xp.where((size > 1 / PLAIN) & (size < PLAIN), one, divided)
        direction = x / divided
        norm = self._sum(direction, xp)
        if self.order == 2:
            norm = xp.sqrt(xp.where(norm == 0, one, norm))  # the root's slope at 0 is infinite
        return direction, norm, divided

    def _sum(self, x: Array, xp: Namespace) -> Array:
        return xp.sum(x * x if self.order == 2 else xp.abs(x), axis=self._axes_of(x), keepdims=True)

    def _lanes(self, x: Array, xp: Namespace) -> Array:
        """The sum as several side by side, then theirs: XLA adds up a row number after number, and takes twice as long.

        Sums are never negative: the absolute value only keeps XLA from making one sum of the two.
        """
        width = x.shape[-1] or 0
        lanes = next((lanes for lanes in LANES if width % lanes == 0 and width > lanes), 0)
        if self.axes != (-1,) or not lanes:
            return self._sum(x, xp)
        parts = x * x if self.order == 2 else xp.abs(x)
        sums = xp.sum(xp.reshape(parts, (*xp.shape(x)[:-1], width // lanes, lanes)), axis=-2)
        return xp.sum(xp.abs(sums), axis=-1, keepdims=True)

    def _axes_of(self, x: Array) -> tuple[int, ...]:
        return self.axes or tuple(range(1, len(x.shape)))

    @property
    def sample_axes(self) -> int:
        return max((-axis for axis in self.axes), default=1)

    def forward_where(self, x: Array, there: Array, xp: Namespace) -> Array:
        return self.forward(xp.where(there, x, xp.zeros_like(x)), xp)

    def flaw(self, features: int) -> str:
        sound = self.order in (1, 2, np.inf) and all(-32 <= axis < 0 for axis in self.axes)
        sound = sound and len(set(self.axes)) == len(self.axes)
        return "" if sound else "it is no norm over axes counted from the end"

    @property
    def lost(self) -> str:
        return "a unit norm keeps the direction of a sample and forgets its length; inverse(y, like=x) takes it from the raw x"


@dataclass(frozen=True)
class Instance(Map):
    """`y = (x - mean) / max(sqrt(bias + variance), epsilon) * scale` of each sample over `axes`, of the values that are there.

    A sample without variance becomes 0. What was taken off and divided by is forgotten, unless the way back is given it:
    `inverse_like(y, x)` takes it from x.
    """

    leaves_out: ClassVar[bool] = True
    restores_like: ClassVar[bool] = True

    axes: tuple[int, ...] = ()  # counted from the end; none means all of a sample's
    scale: float = 1.0
    bias: float = 0.0  # added to the variance, in the input's units squared
    epsilon: float = 0.0  # the divisor is never below, in the input's units

    def forward(self, x: Array, xp: Namespace) -> Array:
        return self.forward_where(x, None, xp)

    def forward_where(self, x: Array, there: Array | None, xp: Namespace) -> Array:
        known = ~xp.isnan(x)
        away, _, divisor = self._parts(x, xp, known if there is None else there & known)
        nothing = divisor == 0
        y = xp.where(nothing, away - away, away / xp.where(nothing, xp.ones_like(divisor), divisor)) * self.scale
        return xp.where(known, y, xp.full_like(y, float("nan")))

    def inverse_like(self, y: Array, x: Array, xp: Namespace) -> Array:
        """Back to the scale of x, whose samples are those that y belongs to; along `axes` their lengths may differ."""
        _, mean, divisor = self._parts(x, xp, ~xp.isnan(x))
        return y / self.scale * divisor + mean

    def _parts(self, x: Array, xp: Namespace, there: Array) -> tuple[Array, Array, Array]:
        """The distance from the mean, the mean and the divisor."""
        axes = self.axes or tuple(range(1, len(x.shape)))
        number = xp.sum(xp.multiply(xp.ones_like(x), there), axis=axes, keepdims=True)

        def mean(values: Array) -> Array:
            return xp.sum(_kept(values, there, xp), axis=axes, keepdims=True) / xp.maximum(number, xp.ones_like(number))

        inside = xp.where(there, x, xp.full_like(x, float("inf")))
        lowest = xp.min(inside, axis=axes, keepdims=True, initial=float("inf"))  # Keras refuses one of no rows without
        least = xp.where(number > 0, lowest, xp.zeros_like(lowest))
        above = _kept(x - least, there, xp)  # exactly 0 where nothing varies, and nearly exact about any offset
        rest = mean(above)
        away = _kept(above - rest, there, xp)
        largest = xp.max(xp.abs(away), axis=axes, keepdims=True, initial=0)
        unit = xp.where(largest > 0, largest, xp.ones_like(largest))  # squares neither overflow nor vanish
        part = away / unit
        variance = mean(part * part)
        if self.bias:
            variance = variance + self.bias / unit / unit
        varies = variance > 0
        root = xp.sqrt(xp.where(varies, variance, xp.ones_like(variance)))  # the root's slope at 0 is infinite
        divisor = xp.where(varies, root * unit, xp.zeros_like(root))
        if self.epsilon:
            divisor = xp.maximum(divisor, xp.full_like(divisor, self.epsilon))
        return away, least + rest, divisor

    @property
    def sample_axes(self) -> int:
        return max((-axis for axis in self.axes), default=1)

    def flaw(self, features: int) -> str:
        sound = all(-32 <= axis < 0 for axis in self.axes) and len(set(self.axes)) == len(self.axes)
        sound = sound and 0 < self.scale < np.inf and 0 <= self.bias < np.inf and 0 <= self.epsilon < np.inf
        return "" if sound else "it is no standardization over axes counted from the end"

    @property
    def lost(self) -> str:
        return "a sample's own mean and deviation are forgotten; inverse(y, like=x) takes them from the raw x"


def _kept(values: Array, there: Array, xp: Namespace) -> Array:
    """0 where a value is not there."""
    return xp.where(there, values, xp.zeros_like(values))
