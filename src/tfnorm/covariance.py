"""How the features of a column vary together.

The one law: covariances add up, `Covariance.of(a ++ b) == Covariance.of(a) + Covariance.of(b)`, to the rounding of float64,
whatever the offset: every block of rows is centered before anything is multiplied, and blocks are merged about their means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

import numpy as np

from tfnorm.codec import packed
from tfnorm.errors import DataError
from tfnorm.maps import Affine, Chain, Clip, Fill, Identity, Limit, Map
from tfnorm.statistics import Block, Statistic, in_two_parts

MAX_FEATURES = 4096  # of a column: the matrix of as many takes 134 MB, and some such lie in memory at once
MAX_PRODUCTS = 1 << 25  # of all keys together: 268 MB, and the matrices made of them four times as much
_FEW_ROWS = 64  # a group: with fewer, going from group to group takes longer than what is computed of each
_SMALLEST = -1000  # the exponent of zeros: below any other that matters
_LANES = 16  # BLAS cuts the work for its threads at multiples of these: so padded, no bit depends on how many there are


@dataclass(frozen=True)
class Covariance(Statistic):
    """Weight, means and central products of every two features of a column.

    A row with a missing or infinite value in any position is left out whole, and counted. Columns side by side stay apart: only
    features of one column, a block, are multiplied. Products are kept in units of 2**exponent for each of the two, so spreads
    from 1e-300 to 1e300 neither overflow nor vanish. Chan, Golub & LeVeque 1983; Pébay 2008.

    >>> covariance = Covariance.of(np.array([[1.0, 2.0], [3.0, 6.0], [np.nan, 0.0]]) + 1e9)
    >>> covariance.matrix.tolist(), int(covariance.left_out[0])
    ([[1.0, 2.0], [2.0, 4.0]], 1)
    """

    joint: ClassVar[bool] = True

    ends: (
        np.ndarray
    )  # (features,) int64: where the products of each feature, with itself and the later ones of its block, end
    weight: np.ndarray  # (features,) sum of the weights of whole rows, or their count; one number for all of a block
    left_out: np.ndarray  # (features,) int64: rows of the block with a missing or infinite value
    mean: np.ndarray  # (features,) of the whole rows
    mean_low: np.ndarray  # (features,) what of the mean did not fit float64
    exponent: np.ndarray  # (features,) int64: k of the unit 2**k
    products: np.ndarray = packed("float64")  # (pairs,) sum of weight * (x - mean) / 2**k * (other - mean) / 2**k

    @classmethod
    def of_block(cls, block: Block) -> Covariance:
        if too_wide := excess(block.features):
            raise DataError(too_wide)
        total = cls._of_rows(block.flat.reshape(-1, block.features), block.weight)
        if block.features == 1:  # nulls of a single feature lie in no row of the block
            total = replace(total, left_out=total.left_out + block.null)
        return total if block.base is None else total.moved(*in_two_parts(block.base))

    @classmethod
    def of_groups(cls, block: Block, order: np.ndarray, starts: np.ndarray) -> Covariance:
        """A block for each group of rows: group i has the rows `order[starts[i] : starts[i + 1]]`, its nulls being told apart."""
        if too_wide := excess(block.features, len(starts) - 1):
            raise DataError(too_wide)
        rows = block.flat.reshape(-1, block.features)
        parts, first, step = [], 0, _rows_at_once(block.features)
        while first < len(starts) - 1:
            # as many groups as fit in cache, or one that does not
            after = max(first + 1, int(np.searchsorted(starts, starts[first] + step, side="right")) - 1)
            own = order[starts[first] : starts[after]]
            weight = block.weight[own] if len(block.weight) else block.weight
            if after == first + 1:
                parts.append(cls._of_rows(rows[own], weight))
            else:
                parts.append(_centered(rows[own], weight, starts[first : after + 1] - starts[first]))
            first = after
        total = cls.join(parts) if parts else cls.nothing(0)
        return total if block.base is None else total.moved(*in_two_parts(np.tile(block.base, len(starts) - 1)))

    @classmethod
    def _of_rows(cls, rows: np.ndarray, weight: np.ndarray) -> Covariance:
        total, step = cls.nothing(rows.shape[1]), _rows_at_once(rows.shape[1])
        for start in range(0, len(rows), step):
            total = total + _centered(rows[start : start + step], weight[start : start + step])
        return total

    def moved(self, base: np.ndarray, base_low: float | np.ndarray = 0.0) -> Covariance:
        """Of the same rows with a number a feature, in two parts, added to them."""
        mean, low = _two_sum(base, self.mean)
        mean, low = _two_sum(mean, low + base_low + self.mean_low)
        held = self.weight > 0
        moved = replace(self, mean=np.where(held, mean, 0.0), mean_low=np.where(held, low, 0.0))
        return moved._in_units(self.exponent)

    @classmethod
    def nothing(cls, features: int) -> Covariance:
        ends = _ends(features)
        zero, none = np.zeros(features), np.zeros(features, np.int64)
        return cls(ends, zero, none, zero, zero, none + _SMALLEST, np.zeros(int(ends[-1]) if features else 0))

    @property
    def features(self) -> int:
        return len(self.ends)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many features each block has."""
        last = np.flatnonzero(np.diff(self.ends, prepend=0) == 1)
        return tuple(np.diff(last, prepend=-1).tolist())

    def __add__(self, other: Covariance) -> Covariance:
        weight = self.weight + other.weight
        share = other.weight / np.where(weight > 0, weight, 1.0)
        exponent = np.maximum(self.exponent, other.exponent)
        mean, low = np.ldexp(self.mean, -exponent), np.ldexp(self.mean_low, -exponent)
        apart = (np.ldexp(other.mean, -exponent) - mean) + (np.ldexp(other.mean_low, -exponent) - low)
        middle, rest = _two_sum(mean, share * apart)
        middle, rest = _two_sum(middle, rest + low)
        first, second = _pairs(self.ends.tobytes())
        units, other_units = (np.ldexp(1.0, one.exponent - exponent) for one in (self, other))
        between = apart * np.where(share == 0, 0.0, self.weight * share)
        products = (
            self.products * units[first] * units[second] + other.products * other_units[first] * other_units[second]
        )
        products += between[first] * apart[second]
        held, other_held = self.weight > 0, other.weight > 0
        return Covariance(
            self.ends,
            weight,
            self.left_out + other.left_out,
            np.where(held & other_held, np.ldexp(middle, exponent), np.where(held, self.mean, other.mean)),
            np.where(held & other_held, np.ldexp(rest, exponent), np.where(held, self.mean_low, other.mean_low)),
            exponent,
            products,
        )

    def _in_units(self, exponent: np.ndarray) -> Covariance:
        """With products that are now in units of 2**exponent in units that hold the means too."""
        first, second = _pairs(self.ends.tobytes())
        of_mean = np.where(self.mean != 0, np.frexp(self.mean)[1], _SMALLEST)
        unit = np.clip(np.maximum(exponent, of_mean), _SMALLEST, 1024)
        less = np.ldexp(1.0, exponent - unit)
        return replace(self, exponent=unit, products=self.products * less[first] * less[second])

    def take(self, start: int, stop: int) -> Covariance:
        """The features from `start` up to `stop`; of a block in part, what its whole rows say of these."""
        first, second = _pairs(self.ends.tobytes())
        last = np.repeat(np.cumsum(self.sizes, dtype=np.int64), self.sizes)  # where each feature's block ends
        lengths = np.minimum(last[start:stop], stop) - np.arange(start, stop)
        kept = (
            self.products[(first >= start) & (second < stop)] if (start, stop) != (0, self.features) else self.products
        )
        fields = {
            name: getattr(self, name)[start:stop] for name in ("weight", "left_out", "mean", "mean_low", "exponent")
        }
        return Covariance(ends=np.cumsum(lengths, dtype=np.int64), products=kept, **fields)

    def pick_blocks(self, places: np.ndarray) -> Covariance:
        """The blocks at these places, whole (any integers, a place may be there twice)."""
        sizes = np.array(self.sizes, np.int64)[places]
        pairs = sizes * (sizes + 1) // 2
        features = _spans((np.cumsum(self.sizes, dtype=np.int64) - self.sizes)[places], sizes)
        products = _spans((self.ends[np.cumsum(self.sizes, dtype=np.int64) - 1])[places] - pairs, pairs)
        fields = {
            name: getattr(self, name)[features] for name in ("weight", "left_out", "mean", "mean_low", "exponent")
        }
        ends = np.cumsum(np.diff(self.ends, prepend=0)[features], dtype=np.int64)
        return Covariance(ends=ends, products=self.products[products], **fields)

    def blocks(self) -> Iterator[Covariance]:
        """Each block alone, in time linear in what it holds."""
        first = done = 0
        for size in self.sizes:
            own, end = slice(first, first + size), int(self.ends[first + size - 1])
            fields = {name: getattr(self, name)[own] for name in ("weight", "left_out", "mean", "mean_low", "exponent")}
            yield Covariance(ends=self.ends[own] - done, products=self.products[done:end], **fields)
            first, done = first + size, end

    @classmethod
    def join(cls, parts: Sequence[Covariance]) -> Covariance:
        """Blocks side by side; between two of them nothing is known."""
        if len(parts) == 1:
            return parts[0]
        shifts = np.cumsum([0, *(len(part.products) for part in parts[:-1])])
        names = ("weight", "left_out", "mean", "mean_low", "exponent", "products")
        return cls(
            np.concatenate([part.ends + shift for part, shift in zip(parts, shifts, strict=True)]),
            *(np.concatenate([getattr(part, name) for part in parts]) for name in names),
        )

    def scaled(self, factor: float | np.ndarray) -> Covariance:
        first, _ = _pairs(self.ends.tobytes())
        each = np.broadcast_to(factor, self.features)  # one number a block
        return replace(self, weight=self.weight * each, products=self.products * each[first])

    def in_units(self) -> tuple[np.ndarray, int]:
        """The population covariance (features, features) in units of 4**k, and k; for one block. Zeros where there is no row."""
        first, second = _pairs(self.ends.tobytes())
        unit = int(self.exponent.max(initial=_SMALLEST))
        units = np.ldexp(1.0, self.exponent - unit)
        found = np.zeros((self.features, self.features))
        weight = np.where(self.weight > 0, self.weight, 1.0)
        found[first, second] = self.products * units[first] * units[second] / weight[first]
        found[second, first] = found[first, second]
        return found, unit

    @property
    def matrix(self) -> np.ndarray:
        """The population covariance (divided by n), (features, features); NaN where there is no whole row."""
        first, second = _pairs(self.ends.tobytes())
        found = np.full((self.features, self.features), np.nan)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            mean = self.products / self.weight[first]
            found[first, second] = np.ldexp(mean, self.exponent[first] + self.exponent[second])
        found[second, first] = found[first, second]
        return found

    @property
    def correlation(self) -> np.ndarray:
        """Pearson's, (features, features); NaN where a feature does not vary."""
        first, second = _pairs(self.ends.tobytes())
        spread = np.sqrt(self.products[first == second])
        found = np.full((self.features, self.features), np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            found[first, second] = np.clip(self.products / spread[first] / spread[second], -1.0, 1.0)
        found[second, first] = found[first, second]
        return found

    def pushed(self, step: Map) -> Covariance:
        """The covariance of what an affine map gives; limits and fillings in a chain must change nothing of these data."""
        if isinstance(step, Chain):
            found = self
            for one in step.maps:
                found = found.pushed(one)
            return found
        if isinstance(step, Identity | Clip | Limit | Fill):
            return self
        if not isinstance(step, Affine):
            raise TypeError(f"a covariance goes through straight lines only, not through {type(step).__name__}")
        mantissa, exponent = np.frexp(step.scale)
        mantissa = mantissa + np.zeros(self.features)
        first, second = _pairs(self.ends.tobytes())
        mean, low = _two_sum(np.asarray(step.forward(self.mean, np)), self.mean_low * step.scale)
        products = self.products * mantissa[first] * mantissa[second]
        held = self.weight > 0
        moved = replace(self, mean=np.where(held, mean, 0.0), mean_low=np.where(held, low, 0.0), products=products)
        return moved._in_units(np.where((mantissa != 0) & held, self.exponent + exponent, _SMALLEST))

    def flaw(self) -> str:
        integers = (self.ends, self.left_out, self.exponent)
        floats = (self.weight, self.mean, self.mean_low, self.products)
        if any(one.dtype != np.int64 for one in integers) or any(one.dtype != np.float64 for one in floats):
            return "a field does not hold numbers of its kind"
        if len({len(one) for one in (*integers, *floats[:3])}) != 1:
            return "its fields differ in length"
        lengths = np.diff(self.ends, prepend=0)
        ends_block = lengths == 1
        descends = np.append((lengths[1:] == lengths[:-1] - 1) | ends_block[:-1], ends_block[-1:] | (lengths[-1:] == 1))
        if not ((lengths > 0) & descends).all() or lengths.sum() != len(self.products):
            return "the ends of its features do not fit its products"
        if not all(np.isfinite(one).all() for one in floats):
            return "a number is not finite"
        if (self.weight < 0).any() or (self.left_out < 0).any():
            return "a count is below 0"
        same = ends_block[:-1] | ((self.weight[1:] == self.weight[:-1]) & (self.left_out[1:] == self.left_out[:-1]))
        if not same.all():
            return "features of one block differ in their rows"
        if ((self.exponent < _SMALLEST) | (self.exponent > 1024)).any():
            return "an exponent is out of range"
        first, second = _pairs(self.ends.tobytes())
        variance = self.products[first == second]
        if (variance < 0).any():
            return "a variance is below 0"
        spread = np.sqrt(variance)
        if (np.abs(self.products) > spread[first] * spread[second] * (1 + 1e-6)).any():
            return "a product is larger than the two variances allow"
        return ""


def excess(features: int, groups: int = 1) -> str:
    """Why a covariance of so many features, one for each of so many groups, is not taken; empty where it is."""
    if features <= MAX_FEATURES:
        products = groups * (features * (features + 1) // 2)
        if groups == 1 or products <= MAX_PRODUCTS:
            return ""
        return (
            f"the covariances of {features:,} features by {groups:,} keys are {products:,} numbers, and at most "
            f"{MAX_PRODUCTS:,} are held. Take fewer features, or a key column with fewer values."
        )
    return (
        f"the covariance of {features:,} features is a matrix of {features * features * 8 / 1e9:.1f} GB, several of which would "
        f"lie in memory at once; it is taken of up to {MAX_FEATURES:,}. Take fewer features, patches of images "
        '(["patches(8)", "whiten"]), or a technique that looks at each feature alone (standard).'
    )


def _rows_at_once(features: int) -> int:
    """How many lie in cache."""
    return max(1024, (1 << 17) // features)


def _centered(rows: np.ndarray, weight: np.ndarray, starts: np.ndarray | None = None) -> Covariance:
    """Of rows (n, features), few enough to lie in cache; each counted `weight` times, or once where that is empty.

    starts: (groups + 1,) where each group of rows begins, which becomes a block of its own; without it all rows are one.
    """
    features = rows.shape[1]
    groups = 1 if starts is None else len(starts) - 1
    owner = np.zeros(len(rows), np.int64) if starts is None else np.repeat(np.arange(groups), np.diff(starts))
    values = np.array(rows.T, np.float64, order="C")  # a copy (features, n): sums along a row are pairwise, and fast
    keep = np.asarray(np.isfinite(values).all(axis=0))
    out = np.bincount(owner[~keep], minlength=groups)
    if len(weight):
        keep &= weight > 0
    if not keep.all():
        values, owner, weight = values[:, keep], owner[keep], weight[keep] if len(weight) else weight
    nothing = Covariance.nothing(features)
    nothing = nothing if starts is None else nothing.pick_blocks(np.zeros(groups, np.int64))
    nothing = replace(nothing, left_out=np.repeat(out, features))
    if not values.shape[1]:
        return nothing
    held, first = np.unique(owner, return_index=True)  # the groups that have rows, and where each begins
    number = np.diff(first, append=len(owner))
    largest = np.maximum.reduceat(np.abs(values), first, axis=1)
    exponent = np.where(largest > 0, np.maximum(np.frexp(largest)[1], _SMALLEST), _SMALLEST).astype(np.int64)
    values *= _each(np.ldexp(1.0, -exponent), number)  # now within 1, and what they lose is nothing beside the largest
    total = np.add.reduceat(weight, first) if len(weight) else number.astype(np.float64)
    start = values[:, first]
    values -= _each(start, number)
    middle = _sum(values, weight, first) / total
    values -= _each(middle, number)
    rest = _sum(values, weight, first) / total
    values -= _each(rest, number)
    if len(weight):
        values *= np.sqrt(weight)
    mean, low = _two_sum(start, middle)
    mean, low = _two_sum(mean, low + rest)
    products = _products(values, first, number)
    found = {
        "weight": np.broadcast_to(total, (features, len(held))),
        "mean": np.ldexp(mean, exponent),
        "mean_low": np.ldexp(low, exponent),
        "exponent": exponent,
        "products": products,
    }
    for name, own in found.items():  # (..., groups that have rows)
        every = getattr(nothing, name).reshape(groups, -1).copy()
        every[held] = own.T
        found[name] = every.reshape(-1)
    return replace(nothing, **found)


def _products(values: np.ndarray, first: np.ndarray, number: np.ndarray) -> np.ndarray:
    """(pairs, groups) sums over the columns of each group, which begin at `first`."""
    features = len(values)
    one, other = _pairs(_ends(features).tobytes())
    if len(first) > 1 and number.mean() < _FEW_ROWS:
        return np.concatenate([np.add.reduceat(values[i] * values[i:], first, axis=1) for i in range(features)])
    padded = -features % _LANES if features > _LANES else 0
    if padded:
        values = np.concatenate([values, np.zeros((padded, values.shape[1]))])
    found = np.empty((len(one), len(first)))
    for group, (start, many) in enumerate(zip(first.tolist(), number.tolist(), strict=True)):
        own = values[:, start : start + many]
        found[:, group] = (own @ own.T)[one, other]
    return found


def _each(of_groups: np.ndarray, number: np.ndarray) -> np.ndarray:
    """What each group has, for its columns."""
    return of_groups if len(number) == 1 else np.repeat(of_groups, number, axis=1)


def _sum(values: np.ndarray, weight: np.ndarray, first: np.ndarray) -> np.ndarray:
    values = values * weight if len(weight) else values
    return values.sum(axis=1, keepdims=True) if len(first) == 1 else np.add.reduceat(values, first, axis=1)


def _spans(first: np.ndarray, length: np.ndarray) -> np.ndarray:
    """The numbers from each first on, so many of each, one after the other."""
    return np.repeat(first - (np.cumsum(length) - length), length) + np.arange(length.sum())


def _two_sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a + b rounded, and what rounding took."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def _ends(features: int) -> np.ndarray:
    return np.cumsum(np.arange(features, 0, -1, dtype=np.int64))


@lru_cache(maxsize=4)
def _pairs(ends: bytes) -> tuple[np.ndarray, np.ndarray]:
    """For each product, the place of the one feature and of the other, from the bytes of `ends`."""
    found = np.frombuffer(ends, np.int64)
    lengths = np.diff(found, prepend=0)
    first = np.repeat(np.arange(len(found), dtype=np.int32), lengths)
    within = np.arange(len(first), dtype=np.int32) - np.repeat((found - lengths).astype(np.int32), lengths)
    return first, first + within
