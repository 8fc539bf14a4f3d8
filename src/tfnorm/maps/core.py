"""Maps: their base, the affine ones, chains, and how a map is run.

The one law: a map comes back, `m.inverse(m.forward(x)) == x` on the domain that the map states.

A map is a frozen dataclass of float64 arrays, one number a feature (the last axis of the data), and of plain settings.
Each formula is written once, in terms of `xp`, which is `numpy` or `keras.ops`; the arrays may be NumPy's or tensors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar, Self

import numpy as np

from tfnorm.errors import NotInvertibleError

Array = Any  # a NumPy array or a tensor of whatever backend Keras runs on
Namespace = Any  # numpy or keras.ops


@dataclass(frozen=True)
class Map:
    """What every map has. Subclasses are final: wrap one (`Chain`), never refine it."""

    subtracts_first: ClassVar[bool] = False
    """Whether `forward` takes 64-bit integers as they are, because its first step is a subtraction that brings them near zero."""

    elementwise: ClassVar[bool] = False
    """Whether each number is mapped by itself, so that features of different columns can lie side by side."""

    def forward(self, x: Array, xp: Namespace) -> Array:
        """To the normalized scale. `x` is in the working precision; its last axis matches the arrays'."""
        raise TypeError(f"{type(self).__name__} does not say what it does")

    def forward_where(self, x: Array, there: Array, xp: Namespace) -> Array:
        """As `forward`, where only some values count: `there` is True for them, of a shape that spreads to that of x.

        What is not there has no say in what becomes of the rest of its sample, and may become anything itself.
        """
        return self.forward(x, xp)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        """Back to real units."""
        raise NotInvertibleError(self.lost)

    @property
    def invertible(self) -> bool:
        """Whether every value of the domain comes back."""
        return not self.lost

    @property
    def lost(self) -> str:
        """What the way back lacks, in words; empty where nothing is lost."""
        return ""

    @property
    def domain(self) -> str:
        """Which finite numbers it takes, in words; empty for all. Others become NaN."""
        return ""

    def arrays(self) -> dict[str, Array]:
        """The numbers, by field."""
        return {
            field.name: value
            for field in dataclasses.fields(self)
            if hasattr(value := getattr(self, field.name), "shape")
        }

    def with_arrays(self, arrays: dict[str, Array]) -> Self:
        """The same map with other numbers (another precision, tensors)."""
        return dataclasses.replace(self, **arrays)

    def at(self, dtype: str) -> Self:
        """The map whose arithmetic runs in `dtype` ("float32"), as close to this one as that allows."""
        return self.with_arrays({name: value.astype(dtype) for name, value in self.arrays().items()})

    def fits(self, dtype: str) -> bool:
        """Whether `at(dtype)` keeps every number: none overflows, none sinks below the smallest normal one."""
        tiny = np.finfo(dtype).tiny
        with np.errstate(over="ignore"):
            rounded = [(value, value.astype(dtype)) for value in self.arrays().values()]
        return all(
            bool(np.all((np.isfinite(low) == np.isfinite(high)) & ((np.abs(low) >= tiny) | (high == 0))))
            for high, low in rounded
        )

    def flaw(self, features: int) -> str:
        """Why no fit of so many features can have given this; empty where one can. Asked of what a file says."""
        if type(self) is Map:
            return "it is no kind of map"
        for name, value in self.arrays().items():
            if value.dtype != np.float64 or value.shape != (features,):
                return f"{name} must hold {features} numbers"
            if not np.isfinite(value).all():
                return f"{name} is not finite"
        return ""

    def settings(self) -> tuple[object, ...]:
        """What is not a number of a feature. Maps of one class with equal settings can share arrays."""
        arrays = self.arrays()
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in arrays)


def _high_and_low(x: Array, xp: Namespace) -> tuple[Array, Array | None]:
    """64-bit integers as an unevaluated sum of two float64, since one holds only 53 bits; floats as they are."""
    if "int64" not in str(x.dtype):
        return x, None
    low_bits = x % (1 << 32)
    return _cast(x - low_bits, "float64", xp), _cast(low_bits, "float64", xp)


def _cast(x: Array, dtype: str, xp: Namespace) -> Array:
    return x.astype(dtype) if xp is np else xp.cast(x, dtype)


@dataclass(frozen=True)
class Affine(Map):
    """`y = (x - center) * scale + offset`; a scale of 0 gives `offset` whatever x is, and goes back to `center`.

    The subtraction comes first and in the input's own precision, so an offset a million times the spread costs nothing.
    """

    subtracts_first: ClassVar[bool] = True
    elementwise: ClassVar[bool] = True

    center: Array  # (features,) in the input's units
    scale: Array  # (features,) per unit of the input, 0 where the data do not vary
    offset: Array  # (features,) in the output's units
    has_constant: bool = False  # whether any scale is 0: only then is an infinite x kept from giving inf * 0

    def forward(self, x: Array, xp: Namespace) -> Array:
        high, low = _high_and_low(x, xp)
        distance = high - self.center
        if low is not None:
            distance = distance + low
        if self.has_constant:
            distance = xp.where(xp.isinf(distance) & (self.scale == 0), xp.zeros_like(distance), distance)
        return distance * self.scale + self.offset

    def inverse(self, y: Array, xp: Namespace) -> Array:
        divisor = self.scale
        if self.has_constant:
            divisor = xp.where(divisor == 0, xp.full_like(divisor, float("inf")), divisor)
        return (y - self.offset) / divisor + self.center

    def at(self, dtype: str) -> Affine:
        """What rounding the center loses goes into the offset: (x - c) = (x - round(c)) + (round(c) - c)."""
        center = self.center.astype(dtype)
        offset = self.offset + (center.astype("float64") - self.center) * self.scale
        return dataclasses.replace(self, center=center, scale=self.scale.astype(dtype), offset=offset.astype(dtype))


@dataclass(frozen=True)
class Clip(Map):
    """`y = min(max(x, low), high)`: values outside are set to the nearest end, and come back as that end."""

    elementwise: ClassVar[bool] = True

    low: Array  # (features,)
    high: Array  # (features,)

    def forward(self, x: Array, xp: Namespace) -> Array:
        return xp.where(xp.isnan(x), x, xp.minimum(xp.maximum(x, self.low), self.high))

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return y


@dataclass(frozen=True)
class Identity(Map):
    """`y = x`."""

    elementwise: ClassVar[bool] = True

    def forward(self, x: Array, xp: Namespace) -> Array:
        return x

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return y


@dataclass(frozen=True)
class Chain(Map):
    """Maps in turn: `forward` from the first to the last, `inverse` from the last to the first."""

    maps: tuple[Map, ...]

    @property
    def subtracts_first(self) -> bool:  # type: ignore[override]  # a chain begins as its first map does
        return bool(self.maps) and self.maps[0].subtracts_first

    @property
    def elementwise(self) -> bool:  # type: ignore[override]  # a chain is as its steps are
        return all(step.elementwise for step in self.maps)

    def forward(self, x: Array, xp: Namespace) -> Array:
        return reduce(lambda value, step: step.forward(value, xp), self.maps, x)

    def forward_where(self, x: Array, there: Array, xp: Namespace) -> Array:
        return reduce(lambda value, step: step.forward_where(value, there, xp), self.maps, x)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return reduce(lambda value, step: step.inverse(value, xp), reversed(self.maps), y)

    @property
    def lost(self) -> str:
        return "; ".join(step.lost for step in self.maps if step.lost)

    @property
    def domain(self) -> str:
        return next((step.domain for step in self.maps if step.domain), "")

    def arrays(self) -> dict[str, Array]:
        return {f"{i}.{name}": value for i, step in enumerate(self.maps) for name, value in step.arrays().items()}

    def with_arrays(self, arrays: dict[str, Array]) -> Chain:
        return Chain(tuple(step.with_arrays(_of_step(arrays, i)) for i, step in enumerate(self.maps)))

    def fits(self, dtype: str) -> bool:
        """Not where a stage takes off much of what an earlier one has rounded already: log1p of a million, say."""
        precision = np.finfo(dtype).eps
        later = (step for step in self.maps[1:] if isinstance(step, Affine) and not self.maps[0].subtracts_first)
        return super().fits(dtype) and all(bool((np.abs(s.center * s.scale) * precision < 5e-7).all()) for s in later)

    def at(self, dtype: str) -> Chain:
        return Chain(tuple(step.at(dtype) for step in self.maps))

    def flaw(self, features: int) -> str:
        if not self.maps:
            return "it is a chain of nothing"
        return next((flaw for step in self.maps if (flaw := step.flaw(features))), "")

    def settings(self) -> tuple[object, ...]:
        return tuple((type(step), step.settings()) for step in self.maps)


def _of_step(arrays: dict[str, Array], step: int) -> dict[str, Array]:
    prefix = f"{step}."
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def chain(*maps: Map) -> Map:
    """The maps in turn, as simple as can be: identities drop out, chains flatten, one map stays itself.

    >>> chain(Identity(), Identity())
    Identity()
    """

    def flat(several: tuple[Map, ...]) -> Iterator[Map]:
        for one in several:
            if isinstance(one, Chain):
                yield from flat(one.maps)
            elif not isinstance(one, Identity):
                yield one

    steps = tuple(flat(maps))
    return steps[0] if len(steps) == 1 else Chain(steps) if steps else Identity()


def working_dtypes(dtype: str) -> tuple[str, str]:
    """(the precision in which data of this type are computed, the type of the result).

    Half precisions are computed in float32 and cast last; small integers fit float32 exactly; wider ones need float64.

    >>> [working_dtypes(name) for name in ("float16", "uint8", "int64")]
    [('float32', 'float16'), ('float32', 'float32'), ('float64', 'float64')]
    """
    if dtype in ("float16", "bfloat16"):
        return "float32", dtype
    if dtype in ("float32", "int8", "int16", "uint8", "uint16", "bool"):
        return "float32", "float32"
    return "float64", "float64"


def run(step: Map, x: Array, xp: Namespace, *, inverse: bool = False, there: Array | None = None) -> Array:
    """Apply a map whose arrays are already in the working precision to data of any number type, which is cast to it first.

    there: which values count, where not all do (see `Map.forward_where`).
    """
    dtype = str(step_dtype) if (step_dtype := _arrays_dtype(step)) else working_dtypes(_name(x.dtype))[0]
    if inverse or not (step.subtracts_first and _name(x.dtype) in ("int64", "uint64")):
        x = _cast(x, dtype, xp)
    if inverse:
        return step.inverse(x, xp)
    return step.forward(x, xp) if there is None else step.forward_where(x, there, xp)


def _arrays_dtype(step: Map) -> str:
    return next((_name(value.dtype) for value in step.arrays().values()), "")


def _name(dtype: object) -> str:
    return str(getattr(dtype, "name", dtype))
