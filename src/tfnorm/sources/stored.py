"""Rows of which not every place holds a value: sparse and ragged ones, as a Batch carries them.

The one law: cut and joined they are the same rows, and no value that is not stored is ever made.

Both behave as arrays do where rows are cut (`x[start:stop]`) and put together (`numpy.concatenate`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np


class Stored(ABC):
    """What both have: stored values, and where each row's begin."""

    layout: Literal["sparse", "ragged"]
    starts: np.ndarray  # (rows + 1,) int64: row i has the values from starts[i] up to starts[i + 1]
    values: np.ndarray  # (stored, ...)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """`numpy.concatenate`, so that whoever puts rows together need not know what they are."""
        return self._joined(list(args[0])) if function is np.concatenate and not kwargs else NotImplemented

    @property
    @abstractmethod
    def shape(self) -> tuple[int | None, ...]:
        """As of an array, None where rows differ."""

    @abstractmethod
    def __getitem__(self, rows: slice) -> Self:
        """Some rows."""

    @abstractmethod
    def with_values(self, values: np.ndarray) -> Self:
        """Other values in the same places."""

    @abstractmethod
    def _joined(self, parts: Sequence[Self]) -> Self:
        """The rows of all parts."""

    @property
    def lengths(self) -> np.ndarray:
        """How many values each row stores, (rows,)."""
        return np.diff(self.starts)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    def row_of(self, index: int) -> int:
        """The row of a stored value."""
        return int(np.searchsorted(self.starts, index, side="right")) - 1

    def _span(self, rows: slice) -> tuple[np.ndarray, slice]:
        start, stop, _ = rows.indices(len(self))
        starts = self.starts[start : max(start, stop) + 1]
        return starts - starts[0], slice(int(starts[0]), int(starts[-1]))


def _joined_starts(parts: Sequence[Stored]) -> np.ndarray:
    shifts = np.cumsum([0, *(int(part.starts[-1]) for part in parts)])
    return np.concatenate(
        [np.zeros(1, np.int64), *(part.starts[1:] + shift for part, shift in zip(parts, shifts, strict=False))]
    )


@dataclass(frozen=True, eq=False)
class Sparse(Stored):
    """Rows of `width` numbers, of which those are stored that are not zero (or, by another reading, not missing).

    >>> rows = Sparse.of_coo(np.array([1, 0, 1]), np.array([2, 0, 2]), np.array([3.0, 1.0, 4.0]), (2, 3))
    >>> rows.values, rows.places  # what is there twice is added up
    (array([1., 7.]), array([0, 2]))
    """

    starts: np.ndarray  # (rows + 1,) int64
    places: np.ndarray  # (stored,) where in its row each value stands, rising within a row
    values: np.ndarray  # (stored,)
    width: int
    scalar: bool = False  # whether a row is a single number: width is 1 then

    layout = "sparse"

    @classmethod
    def of_coo(cls, rows: np.ndarray, places: np.ndarray, values: np.ndarray, shape: tuple[int, ...]) -> Sparse:
        """From coordinates in any order; values of the same place are added up, as SciPy has it."""
        num_rows, width = shape[0], shape[1] if len(shape) > 1 else 1
        rising = np.diff(rows) * width + np.diff(places)
        if not ((np.diff(rows) >= 0).all() and (rising > 0).all()):
            order = np.lexsort((places, rows))
            rows, places, values = rows[order], places[order], values[order]
            first = np.flatnonzero(np.append(True, (np.diff(rows) != 0) | (np.diff(places) != 0)))
            if len(first) < len(values):
                values = np.add.reduceat(values, first, dtype=values.dtype)
                rows, places = rows[first], places[first]
        starts = np.zeros(num_rows + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=num_rows), out=starts[1:])
        return cls(starts, places, values, width, len(shape) == 1)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self),) if self.scalar else (len(self), self.width)

    def __getitem__(self, rows: slice) -> Sparse:
        starts, span = self._span(rows)
        return Sparse(starts, self.places[span], self.values[span], self.width, self.scalar)

    def _joined(self, parts: Sequence[Sparse]) -> Sparse:
        places, values = (np.concatenate([getattr(part, name) for part in parts]) for name in ("places", "values"))
        return Sparse(_joined_starts(parts), places, values, self.width, self.scalar)

    def with_values(self, values: np.ndarray) -> Sparse:
        return Sparse(self.starts, self.places, values, self.width, self.scalar)

    @property
    def rows(self) -> np.ndarray:
        """The row of each stored value, (stored,)."""
        return np.repeat(np.arange(len(self)), self.lengths)


@dataclass(frozen=True, eq=False)
class Ragged(Stored):
    """Rows of steps, each row with as many as it has; a step is a number or an array of one shape.

    >>> rows = Ragged.of_rows([np.array([1.0, 2.0]), np.array([]), np.array([3.0])])
    >>> rows.shape, rows[1:].values
    ((3, None), array([3.]))
    """

    starts: np.ndarray  # (rows + 1,) int64
    values: np.ndarray  # (steps, ...) of all rows, masked where a step is null
    null: np.ndarray | None = None  # (rows,) bool: which rows are null, and not merely without steps
    depth: int = 1  # along how many axes rows differ; a row's values lie flat where these are several

    layout = "ragged"

    @classmethod
    def of_rows(cls, rows: Sequence[np.ndarray]) -> Ragged:
        starts = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=starts[1:])
        return cls(starts, np.concatenate(rows))

    @classmethod
    def of_padded(cls, array: np.ndarray) -> Ragged:
        """Rows that are of one length in this batch, and of another in the next."""
        rows, steps = array.shape[:2]
        return cls(np.arange(rows + 1) * steps, array.reshape(rows * steps, *array.shape[2:]))

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (len(self), *([None] * self.depth), *self.values.shape[1:])

    def __getitem__(self, rows: slice) -> Ragged:
        starts, span = self._span(rows)
        return Ragged(starts, self.values[span], None if self.null is None else self.null[rows], self.depth)

    def _joined(self, parts: Sequence[Ragged]) -> Ragged:
        masked = any(isinstance(part.values, np.ma.MaskedArray) for part in parts)
        join: Any = np.ma.concatenate if masked else np.concatenate
        null = None
        if any(part.null is not None for part in parts):
            null = np.concatenate([np.zeros(len(p), bool) if p.null is None else p.null for p in parts])
        return Ragged(_joined_starts(parts), join([part.values for part in parts]), null, self.depth)

    def with_values(self, values: np.ndarray) -> Ragged:
        return Ragged(self.starts, values, self.null, self.depth)
