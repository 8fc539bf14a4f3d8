"""What is gathered.

The one law: statistics add up. `S.of(a ++ b) == S.of(a) + S.of(b)` for every statistic `S` and rows `a`, `b`, and `S.nothing`
changes nothing; counts and extremes to the bit, moments to the rounding of float64.

A statistic holds arrays with one entry a feature. NaN and null are missing and counted apart; infinities are counted and
never summed; rows of weight 0 count as rows and add nothing else. All of that is decided here and in the kernels, once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple, Self

import numpy as np

from tfnorm.errors import DataError

_NO_WEIGHT = np.empty(0)
_EXACT_IN_FLOAT32, _EXACT_IN_FLOAT64 = 1 << 24, 1 << 53
BLOCKS_TOGETHER = 17  # of the kernel's, that are added up at once


class RowsOfTables(NamedTuple):
    """What `kernels.reading` is to find besides, and where: see `kernels.tables.find_rows`."""

    shift: np.ndarray  # (lanes,)
    base: np.ndarray  # (lanes,)
    quad_step: int
    out: np.ndarray  # uint16


_NO_TABLES = RowsOfTables(np.empty(0, np.uint32), np.empty(0, np.uint32), 0, np.empty(0, np.uint16))


@dataclass(frozen=True)
class Block:
    """Rows made ready for the kernels: flat, in float32 or float64, nulls out of the way."""

    flat: np.ndarray  # (rows * features,) float32 or float64
    features: int
    weight: np.ndarray  # (rows,) float64, or empty where every row counts once
    whole: bool  # whether all values are integers by type
    integers: (
        np.ndarray | None
    )  # (rows, features) the values themselves, masked where null, where float64 cannot hold them
    base: np.ndarray | None  # (features,) what was taken off those to give `flat`
    null: np.ndarray  # (features,) int64 how many were null
    nan_is_null: bool  # whether nulls still lie in `flat`, as NaN

    @cached_property
    def _progress(self) -> _Progress:
        return _Progress(self.features)

    def read(self, start: int, stop: int, tables: RowsOfTables | None = None, *, measure: bool = True) -> None:
        """Run the kernel over these rows: measure them, unless that was done, and find where they lie in tables.

        Bits do not depend on how far each call reads.
        """
        from tfnorm.kernels import moments, reading

        progress, features = self._progress, self.features
        step, tables = moments.rows_per_block(features), tables or _NO_TABLES
        bits = self.flat.view(np.uint32 if self.flat.dtype == np.float32 else np.uint64)
        shift, base = tables.shift.astype(bits.dtype, copy=False), tables.base.astype(bits.dtype, copy=False)
        measure = measure and progress.rows == start
        at = start
        while at < stop:
            end = min(stop, at + step * progress.room) if measure else stop
            part, many = slice(at * features, end * features), -(-(end - at) // step)
            blocks = progress.blocks(many if measure and not len(self.weight) else 0)
            done = 0
            if len(blocks) or len(tables.shift):
                read = (at - start) * features
                out = tables.out[read // features * 4 if tables.quad_step else read :]
                done = reading.read(
                    self.flat[part],
                    bits[part],
                    step * features,
                    self.whole,
                    blocks,
                    progress.counts,
                    shift,
                    base,
                    tables.quad_step,
                    out,
                )
            if measure and done < many:
                first, end = at + done * step, min(at + (done + 1) * step, end)
                x, weight = self.flat[first * features : end * features], self.weight[first:end]
                block = progress.blocks(done + 1)[done]
                moments.measure_carefully(x.astype(np.float64, copy=False), weight, self.whole, block, progress.counts)
                done += 1
            if measure:
                progress.advance(end, done)
            at = end

    @property
    def measured(self) -> tuple[np.ndarray, np.ndarray]:
        """The kernel's sums (10, features) and counts (5, features): one pass, whichever statistics ask."""
        self.read(self._progress.rows, len(self.flat) // max(1, self.features))
        return self._progress.sums(), self._progress.counts


class _Progress:
    """How far a block of rows has been measured, in blocks of the kernel's."""

    def __init__(self, features: int) -> None:
        from tfnorm.kernels import moments

        self.rows = 0
        self.counts = np.zeros((5, features), np.int64)
        self._parts = np.zeros((BLOCKS_TOGETHER, 10, features))  # the sum of what came before, then block after block
        self._parts[0, moments.MINIMUM], self._parts[0, moments.MAXIMUM] = np.inf, -np.inf
        self._filled = 1

    @property
    def room(self) -> int:
        """For how many blocks there is room."""
        if self._filled == BLOCKS_TOGETHER:
            self.sums()
        return BLOCKS_TOGETHER - self._filled

    def blocks(self, many: int) -> np.ndarray:
        """The next ones, (many, 10, features)."""
        return self._parts[self._filled : self._filled + many]

    def advance(self, rows: int, blocks: int) -> None:
        """So many blocks were filled, up to this row."""
        self.rows, self._filled = rows, self._filled + blocks

    def sums(self) -> np.ndarray:
        """All so far."""
        from tfnorm.kernels import moments

        if self._filled > 1:
            moments.add_up(self._parts[: self._filled])
            self._filled = 1
        return self._parts[0].copy()  # without the room for blocks


def prepare(rows: np.ndarray, weight: np.ndarray | None = None) -> Block:
    """Rows (n, features) of any number type, masked where null, as a Block."""
    n, features = rows.shape
    null, mask = np.zeros(features, np.int64), None
    weights = _NO_WEIGHT if weight is None else check_weight(weight, n)
    if isinstance(rows, np.ma.MaskedArray):
        mask, rows = np.ma.getmaskarray(rows), np.asarray(rows.data)
        null = mask.sum(axis=0, dtype=np.int64)
        if features == 1:
            valid = ~mask[:, 0]
            rows, weights = rows[valid], weights[valid] if len(weights) else weights
        if features == 1 or not null.any():
            mask = None
    whole = rows.dtype.kind in "iub"
    narrow = rows.dtype.kind in "fiub" and (rows.dtype.itemsize <= 2 or rows.dtype == np.float32)
    integers = base = None
    largest = _largest(rows) if whole and not narrow and rows.size else 0
    narrow = narrow or (whole and largest <= _EXACT_IN_FLOAT32)
    if largest > _EXACT_IN_FLOAT64:
        integers = rows if mask is None else np.ma.MaskedArray(rows, mask)
        base = np.ma.filled(integers.min(axis=0), 0)
        rows = rows.astype(np.uint64) - base.astype(np.uint64)  # modulo 2**64, hence exact
    if mask is not None:
        rows = np.where(mask, np.nan, rows)
    flat = np.ascontiguousarray(rows, np.float32 if narrow else np.float64).reshape(-1)
    return Block(flat, features, weights, whole, integers, base, null, nan_is_null=mask is not None)


def _largest(integers: np.ndarray) -> int:
    """The largest magnitude; of 32 bits perhaps only that of some, if it is too large for float32 already."""
    if integers.dtype.itemsize == 4 and (some := _largest_of(integers[:: len(integers) // 64 + 1])) > _EXACT_IN_FLOAT32:
        return some
    return _largest_of(integers)


def _largest_of(integers: np.ndarray) -> int:
    return max(-int(integers.min()), int(integers.max()))


def check_weight(weight: np.ndarray, rows: int) -> np.ndarray:
    """Weights as float64, one a row, none negative, missing or infinite."""
    weights = np.ma.filled(np.ma.asarray(weight).astype(np.float64), np.nan).reshape(-1)
    if len(weights) != rows:
        raise DataError(f"expected one weight for each of {rows} rows, got {len(weights)}.")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        row = int(np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))[0])
        raise DataError(f"weights must be numbers from 0 up, got {weights[row]} in row {row}. Leave such rows out.")
    with np.errstate(over="ignore"):
        total = weights.sum()
    if np.isinf(total):
        raise DataError("weights: their sum is beyond float64. Divide them all by the largest.")
    return weights


def _names(kind: type[Statistic]) -> tuple[str, ...]:
    """Of its fields, which of a hundred thousand columns are asked for millions of times: kept, where `fields` looks anew."""
    return kind.__match_args__


@dataclass(frozen=True)
class Statistic:
    """What every statistic has."""

    joint: ClassVar[bool] = False
    """Whether features of a column are told of together: then columns side by side stay apart, but a feature does not."""

    @classmethod
    def of(cls, rows: np.ndarray, weight: np.ndarray | None = None) -> Self:
        """The statistic of rows (n, features), each counted `weight` (n,) times."""
        return cls.of_block(prepare(rows, weight))

    @classmethod
    def of_block(cls, block: Block) -> Self:  # noqa: ARG003
        """The statistic of rows made ready."""
        raise TypeError(f"{cls.__name__} does not say what it gathers")

    @classmethod
    def nothing(cls, features: int) -> Self:
        """The statistic of no rows."""
        return cls.of(np.empty((0, features)))

    @classmethod
    def repeated(cls, value: np.ndarray, number: np.ndarray, weight: np.ndarray) -> Self:  # noqa: ARG003
        """The statistic of `value` (features,), there `number` (features,) times and weighing `weight` (features,) in all.

        So the zeros of sparse rows, which nobody stores, are counted without being made. NaN stands for null here.
        """
        raise TypeError(f"{cls.__name__} does not say what a value many times over adds")

    def __add__(self, other: Self) -> Self:
        """The statistic of this one's rows followed by the other's."""
        raise TypeError(f"{type(self).__name__} does not say how it adds")

    def scaled(self, factor: float | np.ndarray) -> Self:  # noqa: ARG002
        """The statistic of the same rows, each counted `factor` times as much; a number, or one a feature, above 0.

        What asks whether a row counts, and not how much, stays as it is.
        """
        return self

    @property
    def features(self) -> int:
        return len(getattr(self, _names(type(self))[0]))

    def take(self, start: int, stop: int) -> Self:
        """The features from `start` up to `stop`."""
        return type(self)(*(getattr(self, name)[start:stop] for name in _names(type(self))))

    def pick(self, places: np.ndarray) -> Self:
        """The features at these places (any integers, a place may be there twice)."""
        return type(self)(*(getattr(self, name)[places] for name in _names(type(self))))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Features side by side."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in _names(cls)))

    def flaw(self) -> str:
        """Why no data can have given this; empty where some can. Asked of what a file says."""
        lengths = {len(getattr(self, name)) for name in _names(type(self))}
        return "" if len(lengths) == 1 else "its fields differ in length"


@dataclass(frozen=True)
class Count(Statistic):
    """How many values of which kind.

    >>> count = Count.of(np.array([[1.0], [np.nan], [np.inf], [0.0]]))
    >>> count.finite, count.missing, count.infinite, count.zero
    (array([2]), array([1]), array([1]), array([1]))
    """

    finite: np.ndarray  # (features,) int64
    nan: np.ndarray  # (features,) int64 not a number, as computing leaves them
    null: np.ndarray  # (features,) int64 absent, as formats and tables mark them
    positive_infinite: np.ndarray  # (features,) int64
    negative_infinite: np.ndarray  # (features,) int64
    zero: np.ndarray  # (features,) int64 among the finite

    @classmethod
    def of_block(cls, block: Block) -> Count:
        _, (finite, nan, positive, negative, zero) = block.measured
        if block.integers is not None:  # what is zero after taking off the base is not zero
            zero = np.ma.filled((block.integers == 0).sum(axis=0), 0)
        return cls(finite, nan - block.null if block.nan_is_null else nan, block.null, positive, negative, zero)

    @classmethod
    def repeated(cls, value: np.ndarray, number: np.ndarray, weight: np.ndarray) -> Count:  # noqa: ARG003
        kinds = np.isfinite(value), np.zeros(len(value)), np.isnan(value), value == np.inf, value == -np.inf, value == 0
        return cls(*(np.where(kind, number, 0).astype(np.int64) for kind in kinds))

    def __add__(self, other: Count) -> Count:
        return Count(*(getattr(self, name) + getattr(other, name) for name in _names(Count)))

    @property
    def rows(self) -> np.ndarray:
        """All values there were, (features,)."""
        return self.finite + self.nan + self.null + self.infinite

    @property
    def missing(self) -> np.ndarray:
        """NaN and null together, (features,)."""
        return self.nan + self.null

    @property
    def infinite(self) -> np.ndarray:
        return self.positive_infinite + self.negative_infinite

    def flaw(self) -> str:
        fields = [getattr(self, field.name) for field in dataclasses.fields(self)]
        if any(field.dtype != np.int64 or (field < 0).any() for field in fields):
            return "a count is not a whole number from 0 up"
        if flaw := super().flaw():
            return flaw
        return "more zeros than values" if (self.zero > self.finite).any() else ""


@dataclass(frozen=True)
class Extremes(Statistic):
    """The smallest and the largest finite value, exactly; infinity and -infinity where there is none.

    >>> Extremes.of(np.array([[3], [2**53 + 1]])).maximum_low
    array([1.])
    """

    minimum: np.ndarray  # (features,) float64
    minimum_low: np.ndarray  # (features,) float64: what of an integer beyond 2**53 did not fit the minimum
    maximum: np.ndarray  # (features,) float64
    maximum_low: np.ndarray  # (features,) float64, as minimum_low

    @classmethod
    def of_block(cls, block: Block) -> Extremes:
        from tfnorm.kernels import moments

        if block.integers is None:
            sums, _ = block.measured
            zero = np.zeros(block.features)
            return cls(sums[moments.MINIMUM], zero, sums[moments.MAXIMUM], zero)
        integers = block.integers
        if len(block.weight):
            weightless = np.broadcast_to(block.weight[:, None] == 0, integers.shape)
            integers = np.ma.MaskedArray(integers, np.ma.getmaskarray(integers) | weightless)
        low, high = integers.min(axis=0), integers.max(axis=0)
        return cls(*in_two_parts(low, np.inf), *in_two_parts(high, -np.inf))

    @classmethod
    def repeated(cls, value: np.ndarray, number: np.ndarray, weight: np.ndarray) -> Extremes:  # noqa: ARG003
        there, zero = (weight > 0) & np.isfinite(value), np.zeros(len(value))
        return cls(np.where(there, value, np.inf), zero, np.where(there, value, -np.inf), zero)

    def __add__(self, other: Extremes) -> Extremes:
        lower = _below(other.minimum, other.minimum_low, self.minimum, self.minimum_low)
        higher = _below(self.maximum, self.maximum_low, other.maximum, other.maximum_low)
        return Extremes(
            np.where(lower, other.minimum, self.minimum),
            np.where(lower, other.minimum_low, self.minimum_low),
            np.where(higher, other.maximum, self.maximum),
            np.where(higher, other.maximum_low, self.maximum_low),
        )

    @property
    def constant(self) -> np.ndarray:
        """Whether there is not more than one value, (features,) bool."""
        return (self.minimum > self.maximum) | ((self.minimum == self.maximum) & (self.minimum_low == self.maximum_low))

    @property
    def range(self) -> np.ndarray:
        """Maximum less minimum, 0 where there is no value; infinity where float64 cannot hold it."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.where(self.constant, 0.0, (self.maximum - self.minimum) + (self.maximum_low - self.minimum_low))

    def flaw(self) -> str:
        if flaw := super().flaw() or _not_numbers(self):
            return flaw
        empty = (self.minimum == np.inf) & (self.maximum == -np.inf)
        ordered = np.isfinite(self.minimum) & np.isfinite(self.maximum) & (self.minimum <= self.maximum)
        whole = np.isfinite(self.minimum_low) & np.isfinite(self.maximum_low)
        return "" if ((empty | ordered) & whole).all() else "a minimum is above its maximum, or not finite"


def _not_numbers(statistic: Statistic) -> str:
    fields = [getattr(statistic, field.name) for field in dataclasses.fields(statistic)]
    return "" if all(field.dtype == np.float64 for field in fields) else "a field does not hold numbers"


def in_two_parts(integers: np.ndarray, missing: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """64-bit integers as float64 and what of them that did not hold; `missing` where they are masked."""
    data, mask = np.ma.getdata(integers), np.ma.getmaskarray(integers)
    high = data.astype(np.float64)
    low = np.array([float(int(exact) - int(near)) for exact, near in zip(data, high, strict=True)])
    return np.where(mask, missing, high), np.where(mask, 0.0, low)


def _below(a: np.ndarray, a_low: np.ndarray, b: np.ndarray, b_low: np.ndarray) -> np.ndarray:
    return np.asarray((a < b) | ((a == b) & (a_low < b_low)))


@dataclass(frozen=True)
class Moments(Statistic):
    """Weight, mean and the second to fourth central moments of the finite values.

    Central sums are kept in units of 2**exponent, so that spreads from 1e-300 to 1e300 neither overflow nor vanish. The
    deviation is the population's (divided by n). Chan, Golub & LeVeque 1983; Pébay 2008.

    >>> m = Moments.of(np.array([[2.0], [4.0], [4.0], [4.0], [5.0], [5.0], [7.0], [9.0]]))
    >>> float(m.mean[0]), float(m.std[0]), round(float(m.skewness[0]), 6)
    (5.0, 2.0, 0.65625)
    """

    weight: np.ndarray  # (features,) sum of weights; the count of finite values where there are none
    mean: np.ndarray  # (features,)
    mean_low: np.ndarray  # (features,) what of the mean did not fit float64
    exponent: np.ndarray  # (features,) k of the unit 2**k
    m2: np.ndarray  # (features,) sum of weight * ((x - mean) / 2**k)**2
    m3: np.ndarray  # (features,) of the third power
    m4: np.ndarray  # (features,) of the fourth power

    @classmethod
    def of_block(cls, block: Block) -> Moments:
        sums, _ = block.measured
        return cls.of_sums(sums, block.base)

    @classmethod
    def of_sums(cls, sums: np.ndarray, base: np.ndarray | None) -> Moments:
        """From the first seven rows of what the kernels sum up, of values from which `base` (features,) was taken off."""
        weight, mean, low, exponent, m2, m3, m4 = sums[:7]
        if base is not None:
            high, base_low = in_two_parts(base)
            total = high + mean
            low = low + base_low + ((high - (total - (total - high))) + (mean - (total - high)))
            mean = total + low
            low = low - (mean - total)
        return cls(weight, mean, low, exponent, m2, m3, m4)

    @classmethod
    def repeated(cls, value: np.ndarray, number: np.ndarray, weight: np.ndarray) -> Moments:  # noqa: ARG003
        there = (weight > 0) & np.isfinite(value)
        middle, zero = np.where(there, value, 0.0), np.zeros(len(value))
        exponent = np.clip(np.frexp(middle)[1], -1000, 1000).astype(np.float64)
        return cls(np.where(there, weight, 0.0), middle, zero, exponent, zero, zero, zero)

    def __add__(self, other: Moments) -> Moments:
        from tfnorm.kernels import moments

        total = self._stacked()
        moments.add(total, other._stacked())
        return Moments(*total)

    def scaled(self, factor: float | np.ndarray) -> Moments:
        sums = {name: getattr(self, name) * factor for name in ("weight", "m2", "m3", "m4")}
        return dataclasses.replace(self, **sums)

    def _stacked(self) -> np.ndarray:
        return np.stack([getattr(self, field.name) for field in dataclasses.fields(self)])

    @property
    def std(self) -> np.ndarray:
        """Population standard deviation, NaN where there is no value."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return np.ldexp(np.sqrt(self.m2 / self.weight), self.exponent.astype(np.int64))

    @property
    def variance(self) -> np.ndarray:
        """Population variance, NaN where there is no value."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore", under="ignore"):
            return np.ldexp(self.m2 / self.weight, 2 * self.exponent.astype(np.int64))

    @property
    def skewness(self) -> np.ndarray:
        """Third central moment over std**3, NaN where nothing varies."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return (self.m3 / self.weight) / (self.m2 / self.weight) ** 1.5

    @property
    def kurtosis(self) -> np.ndarray:
        """Fourth central moment over variance**2, less 3 (so 0 for the normal); NaN where nothing varies."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return (self.m4 / self.weight) / (self.m2 / self.weight) ** 2 - 3.0

    def flaw(self) -> str:
        if flaw := super().flaw() or _not_numbers(self):
            return flaw
        arrays = [getattr(self, field.name) for field in dataclasses.fields(self)]
        if not all(np.isfinite(array).all() for array in arrays):
            return "a moment is not finite"
        if any((array < 0).any() for array in (self.weight, self.m2, self.m4)):
            return "a weight or an even moment is negative"
        in_range = (np.abs(self.exponent) <= 1021) & (self.exponent == np.rint(self.exponent))
        return "" if in_range.all() else "an exponent is out of range"
