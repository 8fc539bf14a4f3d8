"""Maps: their base, the affine ones, chains, and how a map is run.

The one law: a map comes back, `m.inverse(m.forward(x)) == x` on the domain that the map states.

A map is a frozen dataclass of float64 arrays, one number a feature (the last axis of the data), and of plain settings.
Each formula is written once, in terms of `xp`, which is `numpy` or `keras.ops`; the arrays may be NumPy's or tensors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np

from tfnorm.errors import NotInvertibleError

if TYPE_CHECKING:
    from tfnorm.maps.keyed import ByKey

Array = Any  # a NumPy array or a tensor of whatever backend Keras runs on
Namespace = Any  # numpy or keras.ops
Shape = tuple[int | None, ...]


class Runnable(Protocol):
    """What `run` runs: a map, or one bound to the keys of some rows."""

    @property
    def subtracts_first(self) -> bool: ...

    def arrays(self) -> dict[str, Array]: ...

    def forward(self, x: Array, xp: Namespace) -> Array: ...

    def forward_where(self, x: Array, there: Array, xp: Namespace) -> Array: ...

    def inverse(self, y: Array, xp: Namespace) -> Array: ...


@dataclass(frozen=True)
class Map:
    """What every map has. Subclasses are final: wrap one (`Chain`), never refine it."""

    subtracts_first: ClassVar[bool] = False
    """Whether `forward` takes 64-bit integers as they are, because its first step is a subtraction that brings them near zero."""

    elementwise: ClassVar[bool] = False
    """Whether each number is mapped by itself, so that features of different columns can lie side by side."""

    rises: ClassVar[bool] = False
    """Whether it keeps the order of all numbers of its domain (equal ones may come of different ones): quantiles go through."""

    fills: ClassVar[bool] = False
    """Whether it makes a number of what is missing."""

    marks: ClassVar[bool] = False
    """Whether the result has, after its values, as many marks of what was missing; tables give these a column of their own."""

    leaves_out: ClassVar[bool] = False
    """Whether `forward_where` leaves out of a whole sample what is not there."""

    restores_like: ClassVar[bool] = False
    """Whether `inverse_like` gives back what `inverse` cannot."""

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

    def inverse_like(self, y: Array, x: Array, xp: Namespace) -> Array:  # x: of the samples that y belongs to
        """Back to real units, where what the way back lacks is taken from the raw samples `x`."""
        return self.inverse(y, xp)

    @property
    def invertible(self) -> bool:
        """Whether every value of the domain comes back."""
        return not self.lost and not self.limited

    @property
    def lost(self) -> str:
        """Why there is no way back, in words; empty where there is one."""
        return ""

    @property
    def limited(self) -> str:
        """What does not come back as it was, in words, where the rest does; empty where everything does."""
        return ""

    @property
    def sample_axes(self) -> int:
        """How many trailing axes make the sample that is mapped as one: none where each number is mapped by itself."""
        return 0 if self.elementwise else 1

    def shape(self, came: Shape, *, inverse: bool = False) -> Shape:  # most leave it as it is
        """The shape of the result for an array of this shape; None for an axis that is not known."""
        return came

    def width(self, features: int) -> int:
        """How many features the result has, for so many."""
        return self.shape((None, None, None, features))[-1] or 1

    def features(self, width: int = 1) -> int:
        """How many features a row must have for `width` of them to come out; 1 stands for any."""
        return max(width, *map(len, self.arrays().values())) if self.arrays() else width

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

    def steps(self) -> tuple[Map, ...]:
        """The simple maps that it does in turn."""
        return (self,)

    def keyed(self) -> tuple[ByKey, ...]:
        """The maps by key in it, which cannot run before they are bound."""
        return ()

    def bound(self, groups: Mapping[tuple[str, ...], Array], axes: int, xp: Namespace) -> Runnable:
        """The map for rows whose keys are known: `groups` has for the names of key columns each row's place among the keys, and
        the data have so many `axes`."""
        return self

    def of_rows(self, groups: Array, axes: int, xp: Namespace) -> Runnable:
        """From a map whose arrays are (features, keys) the one for rows of these keys: of what each row has, for data of so many
        axes, features last."""
        return self.with_arrays({name: rows_of_table(value, groups, axes, xp) for name, value in self.arrays().items()})

    def taken_off(self) -> Array:
        """How much the subtraction that it begins with takes off, in the output's units; 0 where there is none."""
        return 0.0

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

    def flaw_by_key(self, features: int, number: int) -> str:
        """As `flaw`, of a map with numbers for so many keys."""
        return f"{type(self).__name__.lower()} has no numbers by key"

    def settings(self) -> tuple[object, ...]:
        """What is not a number of a feature. Maps of one class with equal settings can share arrays."""
        arrays = self.arrays()
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in arrays)


def rows_of_table(table: Array, groups: Array, axes: int, xp: Namespace) -> Array:
    """(features, keys) -> (rows, 1, ..., features), or (rows,) for data without an axis of features."""
    extra = axes - len(groups.shape)
    if extra < 1:
        return xp.take(table[0], groups)
    rows = xp.moveaxis(xp.take(table, groups, axis=1), 0, -1)
    return rows if extra == 1 else xp.reshape(rows, (*([-1] * len(groups.shape)), *([1] * (extra - 1)), table.shape[0]))


def constant(values: np.ndarray, xp: Namespace) -> Array:
    """An array as the namespace has it; NumPy's, and what stands in for it, as it is."""
    return xp.convert_to_tensor(values) if hasattr(xp, "convert_to_tensor") else values


def high_and_low(x: Array, xp: Namespace) -> tuple[Array, Array | None]:
    """64-bit integers as an unevaluated sum of two float64, since one holds only 53 bits; floats as they are."""
    if "int64" not in str(x.dtype):
        return x, None
    low_bits = x % (1 << 32)
    return _cast(x - low_bits, "float64", xp), _cast(low_bits, "float64", xp)


def away_from(center: Array, x: Array, xp: Namespace) -> Array:
    """x - center; of 64-bit integers with all their bits."""
    high, low = high_and_low(x, xp)
    distance = high - center
    return distance if low is None else distance + low


def _cast(x: Array, dtype: str, xp: Namespace) -> Array:
    return x.astype(dtype) if isinstance(x, np.ndarray) else xp.cast(x, dtype)


@dataclass(frozen=True)
class Affine(Map):
    """`y = (x - center) * scale + offset`; a scale of 0 gives `offset` whatever x is, and goes back to `center`.

    The subtraction comes first and in the input's own precision, so an offset a million times the spread costs nothing.
    """

    subtracts_first: ClassVar[bool] = True
    elementwise: ClassVar[bool] = True

    center: Array  # (features,) in the input's units
    scale: Array  # (features,) per unit of the input, 0 where the data do not vary
    offset: Array  # (features,) in the output's units; None where a graph has it in the center (see `in_center`)
    has_constant: bool = False  # whether any scale is 0: only then is an infinite x kept from giving inf * 0

    @property
    def rises(self) -> bool:  # type: ignore[override]  # where no scale is negative
        return bool((self.scale >= 0).all())

    def forward(self, x: Array, xp: Namespace) -> Array:
        distance = away_from(self.center, x, xp)
        if self.has_constant:
            distance = xp.where(xp.isinf(distance) & (self.scale == 0), xp.zeros_like(distance), distance)
        scaled = distance * self.scale
        return scaled if self.offset is None else scaled + self.offset

    def inverse(self, y: Array, xp: Namespace) -> Array:
        divisor = self.scale
        if self.has_constant:
            divisor = xp.where(divisor == 0, xp.full_like(divisor, float("inf")), divisor)
        return (y - self.offset) / divisor + self.center

    def taken_off(self) -> Array:
        return np.abs(self.center * self.scale)

    def at(self, dtype: str) -> Affine:
        """What rounding the center loses goes into the offset: (x - c) = (x - round(c)) + (round(c) - c)."""
        center = self.center.astype(dtype)
        offset = self.offset + (center.astype("float64") - self.center) * self.scale
        return dataclasses.replace(self, center=center, scale=self.scale.astype(dtype), offset=offset.astype(dtype))

    def in_center(self) -> Affine:
        """The same way forward with one pass less over the data: (x - (center - offset / scale)) * scale, for scales but 0."""
        with np.errstate(all="ignore"):
            share = self.offset / self.scale
            return dataclasses.replace(self, center=self.center - np.where(np.isfinite(share), share, 0), offset=None)


@dataclass(frozen=True)
class Identity(Map):
    """`y = x`."""

    elementwise: ClassVar[bool] = True
    rises: ClassVar[bool] = True

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

    @property
    def rises(self) -> bool:  # type: ignore[override]  # a chain is as its steps are
        return all(step.rises for step in self.maps)

    @property
    def fills(self) -> bool:  # type: ignore[override]  # where a step does
        return any(step.fills for step in self.maps)

    @property
    def marks(self) -> bool:  # type: ignore[override]  # marks are marks until they are mixed with values
        return reduce(lambda marked, step: step.marks or (marked and step.elementwise), self.maps, False)

    @property
    def sample_axes(self) -> int:
        return max((step.sample_axes for step in self.maps), default=0)

    def shape(self, came: Shape, *, inverse: bool = False) -> Shape:
        steps = reversed(self.maps) if inverse else self.maps
        return reduce(lambda shape, step: step.shape(shape, inverse=inverse), steps, came)

    def features(self, width: int = 1) -> int:
        return reduce(lambda found, step: step.features(found), reversed(self.maps), width)

    @property
    def leaves_out(self) -> bool:  # type: ignore[override]  # where each step does that looks at more than one value
        return all(step.elementwise or step.leaves_out for step in self.maps)

    @property
    def restores_like(self) -> bool:  # type: ignore[override]  # where each step that loses something does
        return bool(self.lost) and all(step.restores_like or not step.lost for step in self.maps)

    def forward(self, x: Array, xp: Namespace) -> Array:
        return reduce(lambda value, step: step.forward(value, xp), self.maps, x)

    def forward_where(self, x: Array, there: Array, xp: Namespace) -> Array:
        return reduce(lambda value, step: step.forward_where(value, there, xp), self.maps, x)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return reduce(lambda value, step: step.inverse(value, xp), reversed(self.maps), y)

    def inverse_like(self, y: Array, x: Array, xp: Namespace) -> Array:
        came = [x]  # to each step
        for step in self.maps[:-1]:
            came.append(step.forward(came[-1], xp))
        for step, raw in zip(reversed(self.maps), reversed(came), strict=True):
            y = step.inverse_like(y, raw, xp)
        return y

    @property
    def lost(self) -> str:
        return "; ".join(step.lost for step in self.maps if step.lost)

    @property
    def limited(self) -> str:
        return "; ".join(step.limited for step in self.maps if step.limited)

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
        later = () if not self.maps or self.maps[0].subtracts_first else self.maps[1:]
        return all(step.fits(dtype) for step in self.maps) and all(
            bool((np.asarray(step.taken_off()) * precision < 5e-7).all()) for step in later
        )

    def steps(self) -> tuple[Map, ...]:
        return tuple(one for step in self.maps for one in step.steps())

    def keyed(self) -> tuple[ByKey, ...]:
        return tuple(one for step in self.maps for one in step.keyed())

    def bound(self, groups: Mapping[tuple[str, ...], Array], axes: int, xp: Namespace) -> Runnable:
        return Chain(tuple(step.bound(groups, axes, xp) for step in self.maps))  # type: ignore[misc]  # runs as maps do

    def of_rows(self, groups: Array, axes: int, xp: Namespace) -> Runnable:
        return Chain(tuple(step.of_rows(groups, axes, xp) for step in self.maps))  # type: ignore[misc]

    def at(self, dtype: str) -> Chain:
        return Chain(tuple(step.at(dtype) for step in self.maps))

    def flaw(self, features: int) -> str:
        if not self.maps:
            return "it is a chain of nothing"
        for step in self.maps:
            if flaw := step.flaw(features):
                return flaw
            features = step.width(features)
        return ""

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
    steps = tuple(_flat(maps))
    return steps[0] if len(steps) == 1 else Chain(steps) if steps else Identity()


def _flat(several: tuple[Map, ...]) -> Iterator[Map]:
    for one in several:
        if isinstance(one, Chain):
            yield from _flat(one.maps)
        elif not isinstance(one, Identity):
            yield one


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


def run(
    step: Runnable,
    x: Array,
    xp: Namespace,
    *,
    inverse: bool = False,
    like: Array | None = None,
    there: Array | None = None,
) -> Array:
    """Apply a map whose arrays are already in the working precision to data of any number type, which is cast to it first.

    like: on the way back, the raw samples from which to take what it lacks.
    there: which values count, where not all do (see `Map.forward_where`).
    """
    dtype = str(step_dtype) if (step_dtype := _arrays_dtype(step)) else working_dtypes(_name(x.dtype))[0]
    if inverse or not (step.subtracts_first and _name(x.dtype) in ("int64", "uint64")):
        x = _cast(x, dtype, xp)
    if like is not None:
        assert isinstance(step, Map)
        return step.inverse_like(x, _cast(like, dtype, xp), xp)
    if inverse:
        return step.inverse(x, xp)
    if there is None:
        return step.forward(x, xp)
    return step.forward_where(x, there, xp)


def _arrays_dtype(step: Runnable) -> str:
    return next((_name(value.dtype) for value in step.arrays().values()), "")


def _name(dtype: object) -> str:
    return str(getattr(dtype, "name", dtype))
