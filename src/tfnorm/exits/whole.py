"""Maps in whole numbers, for chips that have no others: the operations of TFLite on int32, and tables.

The one law: `Whole(values, step, ...)` stands for values * step; every operation rounds once, to the nearest, and none overflows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tfnorm import maps
from tfnorm.errors import ChoiceError

Tensor = Any

BITS = 13  # of a number whose square is added to others'
LARGEST = 1 << 30
MOST_PLACES = 1 << 26  # of a table


@dataclass(frozen=True)
class Span:
    """Which whole numbers stand for the results of a stage: `levels` of them from `low` up, in steps that 0 is one of."""

    least: float
    step: float
    levels: int

    @classmethod
    def of(cls, values: np.ndarray, levels: int) -> Span:
        """For these results."""
        least, most = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        return cls(least, (most - least) / (levels - 1) or 1.0, levels)

    @property
    def low(self) -> int:
        return round(self.least / self.step)

    @property
    def high(self) -> int:
        return self.low + self.levels - 1

    def parts_of(self, unit: float, most: int) -> tuple[int, Span]:
        """The span in steps that are a whole part of the unit, no smaller than they were; and how many of them it has."""
        parts = max(1, min(int(unit / self.step), most))
        return parts, Span(self.least, unit / parts, self.levels)

    def whole(self, values: Tensor) -> Whole:
        import tensorflow as tf

        return Whole(tf.minimum(tf.maximum(values, self.low), self.high), self.step, self.low, self.high)


@dataclass(frozen=True)
class Whole:
    """Whole numbers that stand for real ones."""

    values: Tensor  # int32
    step: float  # what 1 stands for
    low: int  # no value is below
    high: int

    @property
    def largest(self) -> int:
        return max(-self.low, self.high)

    def moved(self, move: Callable[[Tensor], Tensor]) -> Whole:
        """The same numbers in other places, or some of them."""
        return replace(self, values=move(self.values))

    def of_bits(self, bits: int) -> Whole:
        """In finer steps, as far as so many bits hold them."""
        if self.largest >= 1 << bits:
            raise ChoiceError("too many values are added up for 32 bits")
        factor = 1 << (bits - self.largest.bit_length())
        return Whole(self.values * factor, self.step / factor, self.low * factor, self.high * factor)


def looked_up(
    x: Whole, curves: Sequence[Callable[[np.ndarray], np.ndarray]], features: int, span: Span, key: Tensor
) -> Whole:
    """The numbers of a table: of each curve, one a key, what it makes of every number there may be."""
    import tensorflow as tf

    levels = x.high - x.low + 1
    if levels * features * len(curves) > MOST_PLACES:
        raise ChoiceError(
            f"a table of {levels:,} numbers for {len(curves):,} keys and {features:,} features is too large"
        )
    grid = np.repeat(np.arange(x.low, x.high + 1)[:, None] * x.step, features, axis=1)
    with np.errstate(all="ignore"):
        results = np.stack([_known(np.array(curve(grid), np.float64)) for curve in curves])
    table = np.clip(np.round(results / span.step), span.low, span.high).astype(np.int32)
    first = np.arange(features, dtype=np.int32) * len(curves) * levels - x.low
    places = x.values + (first if features > 1 else first[0])
    if len(curves) > 1:
        places += tf.reshape(key, (-1, *[1] * (len(x.values.shape) - 1))) * levels
    flat = table.transpose(2, 0, 1).reshape(-1)
    small = np.int16 if max(-span.low, span.high) < 1 << 15 else np.int32
    return Whole(tf.cast(tf.gather(tf.constant(flat.astype(small)), places), tf.int32), span.step, span.low, span.high)


def _known(results: np.ndarray) -> np.ndarray:
    """Numbers that a map does not take become what the nearest does that it takes: nothing can be missing."""
    for column in results.T:
        there = np.flatnonzero(~np.isnan(column))
        if not len(there):
            raise ChoiceError("it takes none of the numbers of the sample")
        places = np.arange(len(column))
        after = np.minimum(np.searchsorted(there, places), len(there) - 1)
        before = np.maximum(after - 1, 0)
        nearer = np.abs(there[before] - places) <= np.abs(there[after] - places)
        column[:] = column[np.where(nearer, there[before], there[after])]
    return results


def normed(x: Whole, step: maps.RowNorm, span: Span) -> Whole:
    """Each sample by its length."""
    import tensorflow as tf

    axes, number = _sample(x, step.axes)
    unit = 1.0
    if step.order == 2:
        x = x.of_bits(BITS)
        size, unit = _root_of_squares(x.values, axes, number)
    else:
        x = x.of_bits(BITS if step.order > 2 else min(BITS, 30 - _bits(number)))
        reduce = tf.reduce_max if step.order > 2 else tf.reduce_sum
        size = reduce(tf.abs(x.values), axes, keepdims=True)
    return _ratio(x, size, 1 / unit, span)


def standardized(x: Whole, step: maps.Instance, span: Span) -> Whole:
    """Each sample by its own mean and deviation."""
    import tensorflow as tf

    axes, number = _sample(x, step.axes)
    times = (
        number if x.largest << _bits(number) < 1 << (BITS - 1) else 1
    )  # of few values the mean is exact, as their sum
    x = x.of_bits(min(BITS - 1 - _bits(times), 29 - _bits(number)))
    total = tf.reduce_sum(x.values, axes, keepdims=True)
    mean = total if times > 1 else tf.math.floordiv(2 * total + number, 2 * number)
    away = Whole(times * x.values - mean, x.step / times, times * (x.low - x.high), times * (x.high - x.low))
    size, unit = _root_of_squares(away.values, axes, number, added=step.bias * number / away.step**2)
    unit *= away.step / math.sqrt(number)  # of the deviation
    least = tf.constant(min(round(step.epsilon / unit), LARGEST >> 1), tf.int32)
    return _ratio(away, tf.maximum(size, least), step.scale * away.step / unit, span)


def mixed(x: Whole, matrix: np.ndarray, shift: np.ndarray, span: Span) -> Whole:
    """`x @ matrix + shift` over the last axis."""
    import tensorflow as tf

    factors, added = matrix * (x.step / span.step), shift / span.step
    most = float((np.abs(factors).sum(axis=0) * x.largest + np.abs(added)).max(initial=1.0))
    bits = int(math.log2(LARGEST / most)) - 1
    if bits < 1 or matrix.size > MOST_PLACES >> 6:
        raise ChoiceError("its matrix is too large for 32 bits")
    whole = np.round(factors * (1 << bits)).astype(np.int32)
    total = tf.reduce_sum(x.values[..., None] * whole, axis=-2) + np.round(added * (1 << bits)).astype(np.int32)
    return span.whole(_rounded(total, bits))


def _sample(x: Whole, axes: tuple[int, ...]) -> tuple[list[int], int]:
    """Over which axes, and how many values these are."""
    shape = x.values.shape
    found = [axis % len(shape) for axis in axes] or list(range(1, len(shape)))
    lengths = [shape[axis] for axis in found]
    if None in lengths:
        raise ChoiceError("how many values a sample has must be known, and it is not")
    return found, math.prod(lengths)


def _bits(number: int) -> int:
    return max(number - 1, 0).bit_length()


def _rounded(x: Tensor, bits: int) -> Tensor:
    """x / 2^bits."""
    import tensorflow as tf

    return tf.math.floordiv(x + (1 << bits >> 1), 1 << bits) if bits else x


def _root_of_squares(x: Tensor, axes: list[int], number: int, added: float = 0.0) -> tuple[Tensor, float]:
    """The root of the sum of squares, of numbers of `BITS` bits; and in which unit it is."""
    import tensorflow as tf

    bits = max(0, 2 * BITS + _bits(number) - 28)
    squares = tf.reduce_sum(_rounded(x * x, bits), axes, keepdims=True)
    if added:
        more = min(round(added / (1 << bits)), 1 << 27)
        squares = tf.minimum(squares, (1 << 28) - 1 - more) + more
    return _root(4 * squares), 2.0 ** (bits / 2 - 1)


def _root(x: Tensor) -> Tensor:
    """By Newton's steps from the power of two above, rounded to the nearest, at least 1."""
    import tensorflow as tf

    x = tf.maximum(x, 1)
    powers = np.arange(15, dtype=np.int32)
    reached = tf.cast(x[..., None] >= 4**powers, tf.int32)
    root = tf.reduce_sum(reached * np.where(powers > 0, 2**powers, 2).astype(np.int32), axis=-1)
    for _ in range(5):
        root = tf.math.floordiv(root + tf.math.floordiv(x, root), 2)
    return root + tf.cast(x - root * root > root, tf.int32)


def _ratio(over: Whole, under: Tensor, unit: float, span: Span) -> Whole:
    """over / under in units, where both are counted in the same steps."""
    import tensorflow as tf

    parts, span = span.parts_of(unit, LARGEST // (2 * max(over.largest, 1)))
    under = tf.maximum(under, 1)
    return span.whole(tf.math.floordiv(over.values * (2 * parts) + under, 2 * under))
