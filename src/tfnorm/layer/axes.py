"""Axes as Keras names them: those that keep statistics of their own; all others are summed over.

The one law: `back(rows(x), x) == x`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfnorm.errors import ChoiceError, DataError
from tfnorm.maps import Shape

Tensor = Any
Namespace = Any  # numpy or keras.ops


class AxisError(ChoiceError, TypeError):
    """An axis that is none: a TypeError, as Keras raises it."""


def standardized(axis: Any) -> tuple[int, ...]:
    """As Keras keeps it: -1 is (-1,), None is ()."""
    axes = () if axis is None else (axis,) if isinstance(axis, int) else axis
    if not isinstance(axes, list | tuple) or not all(isinstance(a, int) and not isinstance(a, bool) for a in axes):
        raise AxisError(
            "Invalid value for `axis` argument: expected an int or a list/tuple of ints, or None where one number is for "
            f"all, got {axis!r}."
        )
    return tuple(axes)


@dataclass(frozen=True)
class Axes:
    """The kept axes of tensors of one rank."""

    ndim: int
    kept: tuple[int, ...]  # from the first to the last, none negative
    lengths: tuple[int, ...]  # of the kept ones

    @classmethod
    def of(cls, axis: Sequence[int], shape: Shape) -> Axes:
        """Of tensors of this shape. One number a row has no axis of features, so -1 keeps nothing there."""
        ndim = len(shape)
        if any(not -ndim <= a < ndim for a in axis):
            raise ChoiceError(
                f"All `axis` values must be in the range [-ndim, ndim), got axis={tuple(axis)} for shape {shape}."
            )
        kept = tuple(sorted({a % ndim for a in axis}))
        if ndim == 1:
            kept = ()
        lengths = tuple(shape[a] for a in kept)
        if None in lengths:
            raise DataError(
                "All `axis` values to be kept must have a known shape, "
                f"got axis={tuple(axis)} for shape {shape}. Give the lengths of these axes to keras.Input."
            )
        return cls(ndim, kept, lengths)  # type: ignore[arg-type]  # None is refused

    @property
    def features(self) -> int:
        return math.prod(self.lengths)

    @property
    def in_place(self) -> bool:
        """Whether the features are on the last axis already, or there is one number for all."""
        return self.kept in ((), (self.ndim - 1,))

    @property
    def spread(self) -> tuple[int, ...]:
        """The shape in which numbers of the kept axes meet a tensor: 1 for all others."""
        return tuple(self.lengths[self.kept.index(a)] if a in self.kept else 1 for a in range(self.ndim))

    @property
    def _order(self) -> list[int]:
        return [*(a for a in range(self.ndim) if a not in self.kept), *self.kept]

    def matches(self, shape: Shape) -> bool:
        """Whether a tensor of this shape has these kept axes; (n,) and (n, 1) are the same."""
        if len(shape) != self.ndim:
            return self.features == 1 and max(len(shape), self.ndim) == 2 and shape[1:] in ((), (1,))
        return all(shape[a] in (length, None) for a, length in zip(self.kept, self.lengths, strict=True))

    def rows(self, x: Tensor, xp: Namespace) -> Tensor:
        """(rows, features), or (rows,) where no axis is kept."""
        if not self.kept:
            return xp.reshape(x, (-1,))
        ordered = x if self._order == list(range(self.ndim)) else xp.transpose(x, self._order)
        return xp.reshape(ordered, (-1, self.features))

    def back(self, rows: Tensor, like: Tensor, xp: Namespace) -> Tensor:
        """What `rows` gave of a tensor, in the shape of that tensor."""
        shape = xp.shape(like)
        ordered = xp.reshape(rows, [shape[a] for a in self._order])
        return xp.transpose(ordered, [int(a) for a in np.argsort(self._order)])
