"""Maps that bend: each number by itself, along a curve.

The one law: a curve rises on all of its domain, so it keeps the order and comes back. Outside the domain it gives NaN; beyond
what forward can give, the way back gives the end that is meant: infinity, or the edge of the domain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tfnorm.maps.core import Array, Map, Namespace, constant, rows_of_table


def _where_inside(inside: Array, curve: Array, xp: Namespace) -> Array:
    return xp.where(inside, curve, xp.full_like(curve, float("nan")))


def _with_sign(size: Array, like: Array, xp: Namespace) -> Array:
    return xp.where(like < 0, -size, size)


@dataclass(frozen=True)
class Log1p(Map):
    """`y = log(1 + x)` for x > -1, NaN elsewhere; back by `exp(y) - 1`."""

    elementwise: ClassVar[bool] = True
    rises: ClassVar[bool] = True

    def forward(self, x: Array, xp: Namespace) -> Array:
        inside = x > -1
        return _where_inside(inside, xp.log1p(xp.where(inside, x, xp.zeros_like(x))), xp)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return xp.expm1(y)

    @property
    def domain(self) -> str:
        return "values above -1"


@dataclass(frozen=True)
class SignedLog(Map):
    """`y = sign(x) log(1 + |x|)`; back by `sign(y) (exp|y| - 1)`."""

    elementwise: ClassVar[bool] = True
    rises: ClassVar[bool] = True

    def forward(self, x: Array, xp: Namespace) -> Array:
        return _with_sign(xp.log1p(xp.abs(x)), x, xp)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return _with_sign(xp.expm1(xp.abs(y)), y, xp)


@dataclass(frozen=True)
class Asinh(Map):
    """`y = asinh(x / scale)`; back by `sinh(y) scale`."""

    elementwise: ClassVar[bool] = True
    rises: ClassVar[bool] = True

    scale: float  # in the input's units, above 0

    def forward(self, x: Array, xp: Namespace) -> Array:
        # log1p(a + a^2 / (1 + sqrt(1 + a^2))), but of numbers that cannot overflow: a^2 / (...) = a / (1/a + sqrt(1/a^2 + 1))
        a = xp.abs(x / self.scale)
        large = a > 1
        safe = xp.where(large, a, xp.ones_like(a))
        small = xp.where(large, xp.ones_like(a), a)
        beyond = xp.log(safe) + xp.log1p(xp.sqrt(1 + (1 / safe) * (1 / safe)))
        within = xp.log1p(small + small * small / (1 + xp.sqrt(1 + small * small)))
        return _with_sign(xp.where(large, beyond, within), x, xp)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return xp.sinh(y) * self.scale

    def flaw(self, features: int) -> str:
        return "" if 0 < self.scale < math.inf else "its scale must be a number above 0"


@dataclass(frozen=True)
class Power(Map):
    """`y = x ** exponent`; back by `y ** (1 / exponent)`, with the sign where the exponent is an odd number."""

    elementwise: ClassVar[bool] = True

    exponent: float  # not 0

    @property
    def rises(self) -> bool:  # type: ignore[override]  # an even one falls below 0, a negative one above
        return self.exponent > 0 and not self.lost

    @property
    def _odd(self) -> bool:
        return self.exponent % 2 == 1

    def forward(self, x: Array, xp: Namespace) -> Array:
        raised = self._raised(x, self.exponent, xp)
        if self.exponent % 1:
            return _where_inside(x >= 0 if self.exponent > 0 else x > 0, raised, xp)
        return raised if self.exponent > 0 else _where_inside(x != 0, raised, xp)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        raised = self._raised(y, 1 / self.exponent, xp)
        return raised if self._odd else _where_inside(y >= 0, raised, xp)

    def _raised(self, x: Array, exponent: float, xp: Namespace) -> Array:
        size = xp.abs(x)
        positive = size > 0
        safe = xp.where(positive, size, xp.ones_like(size))  # the slope at 0 may be infinite
        raised = xp.sqrt(safe) if exponent == 0.5 else safe * safe if exponent == 2 else xp.power(safe, exponent)
        at_zero = size if exponent > 0 else xp.where(xp.isnan(x), x, xp.full_like(size, float("inf")))
        raised = xp.where(positive, raised, at_zero)
        return _with_sign(raised, x, xp) if self._odd else raised

    @property
    def lost(self) -> str:
        return "" if self._odd or self.exponent % 1 else "an even power forgets the sign, so it cannot be undone"

    @property
    def domain(self) -> str:
        if self.exponent % 1:
            return "values from 0 up" if self.exponent > 0 else "values above 0"
        return "" if self.exponent > 0 else "values other than 0"

    def flaw(self, features: int) -> str:
        return "" if math.isfinite(self.exponent) and self.exponent != 0 else "its exponent must be a number but 0"


def _bent(log: Array, bend: Array, xp: Namespace) -> Array:
    """`(exp(bend log) - 1) / bend`, which tends to `log` as the bend does to 0."""
    straight = xp.abs(bend) < 1e-30  # where the product has no digits, and bends nothing
    return xp.where(straight, log, xp.expm1(bend * log) / xp.where(straight, xp.ones_like(bend), bend))


def _unbent(y: Array, bend: Array, xp: Namespace) -> Array:
    """The log of which `_bent` makes y; beyond the curve's end, infinity with the sign of that end."""
    straight = xp.abs(bend) < 1e-30  # where the product has no digits, and bends nothing
    grown = bend * y
    reached = grown > -1
    log = xp.log1p(xp.where(reached, grown, xp.zeros_like(grown))) / xp.where(straight, xp.ones_like(bend), bend)
    end = xp.where(bend > 0, xp.full_like(log, -float("inf")), xp.full_like(log, float("inf")))
    return xp.where(straight, y, xp.where(reached | xp.isnan(y), xp.where(xp.isnan(y), y, log), end))


@dataclass(frozen=True)
class YeoJohnson(Map):
    """`y = ((1 + x)^lambda - 1) / lambda` from 0 up, `-((1 - x)^(2 - lambda) - 1) / (2 - lambda)` below; logs where that is 0/0.

    Written as sign(x) (exp(b log(1 + |x|)) - 1) / b with b = lambda or 2 - lambda, which keeps the digits near b = 0.
    """

    elementwise: ClassVar[bool] = True
    rises: ClassVar[bool] = True

    bend: Array  # (features,) lambda

    def forward(self, x: Array, xp: Namespace) -> Array:
        return _with_sign(_bent(xp.log1p(xp.abs(x)), self._bend(x, xp), xp), x, xp)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return _with_sign(xp.expm1(_unbent(xp.abs(y), self._bend(y, xp), xp)), y, xp)

    def _bend(self, x: Array, xp: Namespace) -> Array:
        return xp.where(x < 0, 2 - self.bend, self.bend + xp.zeros_like(x))


@dataclass(frozen=True)
class BoxCox(Map):
    """`y = (x^lambda - 1) / lambda`, `log x` where lambda is 0; for x > 0, NaN elsewhere."""

    elementwise: ClassVar[bool] = True
    rises: ClassVar[bool] = True

    bend: Array  # (features,) lambda

    def forward(self, x: Array, xp: Namespace) -> Array:
        inside = x > 0
        return _where_inside(inside, _bent(xp.log(xp.where(inside, x, xp.ones_like(x))), self._bend(x, xp), xp), xp)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return xp.exp(_unbent(y, self._bend(y, xp), xp))

    def _bend(self, x: Array, xp: Namespace) -> Array:
        return self.bend + xp.zeros_like(x)

    @property
    def domain(self) -> str:
        return "values above 0"


@dataclass(frozen=True)
class Sigmoid(Map):
    """`y = 1 / (1 + exp(-x))`; back by `log(y / (1 - y))`, infinite at 0 and 1 and beyond."""

    elementwise: ClassVar[bool] = True
    rises: ClassVar[bool] = True

    def forward(self, x: Array, xp: Namespace) -> Array:
        small = xp.exp(-xp.abs(x))
        return xp.where(x < 0, small, xp.ones_like(small)) / (1 + small)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        inside = (y > 0) & (y < 1)
        safe = xp.where(inside, y, xp.full_like(y, 0.5))
        end = xp.where(y <= 0, xp.full_like(y, -float("inf")), xp.full_like(y, float("inf")))
        return xp.where(inside, xp.log(safe) - xp.log1p(-safe), xp.where(xp.isnan(y), y, end))


@dataclass(frozen=True)
class SmoothClip(Map):
    """`y = x / sqrt(1 + (x / limit)^2)`: near x about 0, never beyond the limit; back by `y / sqrt(1 - (y / limit)^2)`."""

    elementwise: ClassVar[bool] = True
    rises: ClassVar[bool] = True

    limit: float  # above 0

    def forward(self, x: Array, xp: Namespace) -> Array:
        part = x / self.limit
        far = xp.abs(part) > 1
        near = xp.where(far, xp.ones_like(part), part)
        past = 1 / xp.where(far, part, xp.ones_like(part))  # nothing overflows when squared
        bent = _with_sign(1 / xp.sqrt(1 + past * past), x, xp)
        return xp.where(far, bent, near / xp.sqrt(1 + near * near)) * self.limit

    def inverse(self, y: Array, xp: Namespace) -> Array:
        part = y / self.limit
        inside = xp.abs(part) < 1
        safe = xp.where(inside, part, xp.zeros_like(part))
        end = _with_sign(xp.full_like(part, float("inf")), part, xp)
        root = safe / xp.sqrt((1 - safe) * (1 + safe)) * self.limit
        return xp.where(inside, root, xp.where(xp.isnan(y), y, end))

    def flaw(self, features: int) -> str:
        return "" if 0 < self.limit < math.inf else "its limit must be a number above 0"


_STEPS = 6  # Newton's, from the start below: more move nothing in float64
_LARGEST = 1e15


@dataclass(frozen=True)
class TukeyTails(Map):
    """The normal z of which Tukey's h-h makes x: `x = z exp(h z^2 / 2)`, h of its own on either side of 0.

    Forward draws the tails in: `z = sign(x) sqrt(W(h x^2) / h)`, W being Lambert's. Goerg (2015).
    """

    elementwise: ClassVar[bool] = True
    rises: ClassVar[bool] = True

    left: Array  # (features,) h below 0, from 0 up
    right: Array  # (features,) h above 0, from 0 up

    def forward(self, x: Array, xp: Namespace) -> Array:
        tail = self._tail(x, xp)
        size = xp.minimum(xp.abs(x), xp.full_like(x, _LARGEST))
        argument = tail * size * size
        bends = argument > 1e-30  # below it moves nothing, and has no digits
        a = xp.where(bends, argument, xp.ones_like(argument))
        w = xp.log1p(a)
        for _ in range(_STEPS):  # Newton on w + log w = log a
            w = w * (1 + xp.log(a / w)) / (1 + w)
        z = xp.sqrt(w / xp.where(bends, tail, xp.ones_like(tail)))
        return _with_sign(xp.where(bends, z, xp.abs(x)), x, xp)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return y * xp.exp(self._tail(y, xp) * y * y / 2)

    def _tail(self, x: Array, xp: Namespace) -> Array:
        return xp.where(x < 0, self.left + xp.zeros_like(x), self.right + xp.zeros_like(x))

    def flaw(self, features: int) -> str:
        sound = all((value >= 0).all() for value in self.arrays().values())
        return super().flaw(features) or ("" if sound else "a tail is below 0")


@dataclass(frozen=True)
class Piecewise(Map):
    """Straight lines from knot to knot, the first and the last going on: `y = y0 + (x - x0) (y1 - y0) / (x1 - x0)`."""

    elementwise: ClassVar[bool] = True
    rises: ClassVar[bool] = True

    knots: Array  # (features, k) in the input's units, rising
    values: Array  # (features, k) what they become, rising

    def forward(self, x: Array, xp: Namespace) -> Array:
        return self._lines(xp).forward(x, xp)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return self._lines(xp).inverse(y, xp)

    def _lines(self, xp: Namespace) -> _Lines:
        features, number = self.knots.shape
        first = np.arange(features, dtype=np.int32) * number if features > 1 else np.zeros(1, np.int32)
        return _Lines(self.knots, self.values, constant(first, xp))

    def of_rows(self, groups: Array, axes: int, xp: Namespace) -> _Lines:
        """Which of the lines a row has: were each row given its own, they would fill the memory."""
        features, keys, number = self.knots.shape
        whole = np.int32 if features * keys * number < 1 << 31 else np.int64
        starts = (np.arange(features * keys, dtype=whole) * number).reshape(features, keys)
        return _Lines(
            self.knots,
            self.values,
            rows_of_table(constant(starts, xp), groups, axes, xp),
        )

    def flaw(self, features: int) -> str:
        for name, value in self.arrays().items():
            if value.dtype != np.float64 or value.ndim != 2 or len(value) != features or value.shape[1] < 2:
                return f"{name} must hold rows of at least two numbers for {features} features"
            if not np.isfinite(value).all() or not (np.diff(value, axis=1) > 0).all():
                return f"{name} must be finite and rise"
        return "" if self.knots.shape == self.values.shape else "knots and values differ in number"


@dataclass(frozen=True)
class _Lines:
    """Knots of many curves side by side, and where those of each value begin."""

    knots: Array  # (..., k), the last axis rising
    values: Array  # (..., k)
    first: Array  # whole numbers that broadcast with the data: the place of the first of its knots among all
    subtracts_first: ClassVar[bool] = False

    def arrays(self) -> dict[str, Array]:
        return {"knots": self.knots, "values": self.values}

    def forward(self, x: Array, xp: Namespace) -> Array:
        return _along(x, self.knots, self.values, self.first, xp)

    def forward_where(self, x: Array, there: Array, xp: Namespace) -> Array:  # as `Map` has it
        return self.forward(x, xp)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return _along(y, self.values, self.knots, self.first, xp)


def _along(x: Array, starts: Array, ends: Array, first: Array, xp: Namespace) -> Array:
    """Linear between the knots from `first` on, found by halving; one gather a step, whatever runs it."""
    number = starts.shape[-1]
    flat_starts, flat_ends = xp.reshape(starts, (-1,)), xp.reshape(ends, (-1,))
    at = xp.zeros_like(x, dtype=getattr(first.dtype, "name", first.dtype)) + first
    last = first + (number - 2)
    step = 1 << max(number - 2, 1).bit_length()
    while step > 1:
        step //= 2
        further = xp.minimum(at + step, last)
        at = xp.where(x >= xp.take(flat_starts, further), further, at)
    x0, x1 = xp.take(flat_starts, at), xp.take(flat_starts, at + 1)
    y0, y1 = xp.take(flat_ends, at), xp.take(flat_ends, at + 1)
    width = x1 - x0  # 0 where rounding to float32 made one of two knots
    return y0 + (x - x0) * ((y1 - y0) / xp.where(width > 0, width, xp.ones_like(width)))


@dataclass(frozen=True)
class Fill(Map):
    """`y = value` where x is missing, x elsewhere; what was missing comes back as the value."""

    elementwise: ClassVar[bool] = True
    fills: ClassVar[bool] = True

    value: Array  # (features,)

    def forward(self, x: Array, xp: Namespace) -> Array:
        return xp.where(xp.isnan(x), self.value + xp.zeros_like(x), x)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return y

    @property
    def limited(self) -> str:
        return "what was missing comes back as what it was filled with"


@dataclass(frozen=True)
class Present(Map):
    """`y = 1` where x is there, 0 where it is missing."""

    elementwise: ClassVar[bool] = True
    fills: ClassVar[bool] = True

    def forward(self, x: Array, xp: Namespace) -> Array:
        return xp.where(xp.isnan(x), xp.zeros_like(x), xp.ones_like(x))

    @property
    def lost(self) -> str:
        return "a mask tells whether a value is there and forgets which, so it cannot be undone"
