"""Rows told by how often each value was there, or by sums of their powers: images, of which nobody keeps the pixels.

The one law: counts and sums are whole numbers, and add up exactly and in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources.stored import Stored

MIDDLE = 128  # of bytes: powers are of how far they are from it


class _Whole(Stored):
    """So many rows that stay together."""

    rows: int
    layout: Literal["counted"] = "counted"  # type: ignore[assignment]

    def __len__(self) -> int:
        return self.rows

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (self.rows, None, None, self.values.shape[-1])

    def __getitem__(self, rows: slice) -> Self:
        start, stop, _ = rows.indices(self.rows)
        if (start, stop) != (0, self.rows):
            raise DataError("images are measured as they were counted, and cannot be taken apart again.")
        return self


@dataclass(frozen=True, eq=False)
class Counted(_Whole):
    """So many rows, of whose values this is known: each value, and how often it was there, feature by feature."""

    rows: int
    values: np.ndarray  # (values, features), masked where a feature never has the value
    counts: np.ndarray  # (values, features) int64

    @classmethod
    def of_integers(cls, rows: int, counts: np.ndarray, dtype: Any) -> Counted:
        """`counts` (2**bits, features) of the integers from 0 on."""
        there = counts.any(axis=1)
        counts = counts[there]
        values = np.broadcast_to(np.flatnonzero(there).astype(dtype)[:, None], counts.shape)
        return cls(rows, np.ma.MaskedArray(values.copy(), counts == 0), counts)

    def with_values(self, values: np.ndarray) -> Counted:
        return Counted(self.rows, values, self.counts)

    def _joined(self, parts: Sequence[Counted]) -> Counted:
        rows = sum(part.rows for part in parts)
        size = 1 + max(int(np.ma.getdata(part.values).max(initial=0)) for part in parts)
        counts = np.zeros((size, self.counts.shape[1]), np.int64)
        for part in parts:
            counts[np.ma.getdata(part.values)[:, 0]] += part.counts
        return Counted.of_integers(rows, counts, self.values.dtype)

    def summed(self) -> Summed:
        """The sums of these values, which are bytes."""
        number = self.counts.sum(axis=0)
        exact: Any = np.int64 if number.max(initial=0) < 1 << 34 else object
        above, counts = np.ma.getdata(self.values).astype(np.int64) - MIDDLE, self.counts.astype(exact)
        powers = [(above**power * counts).sum(axis=0) for power in range(1, 5)]
        ends = np.stack([np.ma.filled(self.values.min(axis=0), 255), np.ma.filled(self.values.max(axis=0), 0)])
        zeros = np.where(np.ma.getdata(self.values) == 0, self.counts, 0).sum(axis=0)
        return Summed(self.rows, ends, number, zeros, np.array(powers, dtype=object))


@dataclass(frozen=True, eq=False)
class Summed(_Whole):
    """So many rows of bytes, of whose values no more is known than these sums, feature by feature."""

    rows: int
    values: np.ndarray  # (2, features) uint8: the least and the greatest
    number: np.ndarray  # (features,) int64: how many values
    zeros: np.ndarray  # (features,) int64: how many of them are 0
    powers: np.ndarray  # (4, features) Python integers: the sums of (value - MIDDLE) to the first, ..., fourth

    def with_values(self, values: np.ndarray) -> Summed:  # noqa: ARG002
        raise DataError("what images sum up to is of their pixels as they are.")

    def _joined(self, parts: Sequence[Summed]) -> Summed:
        ends = np.stack([part.values for part in parts])
        return Summed(
            sum(part.rows for part in parts),
            np.stack([ends[:, 0].min(axis=0), ends[:, 1].max(axis=0)]),
            np.sum([part.number for part in parts], axis=0),
            np.sum([part.zeros for part in parts], axis=0),
            np.sum([part.powers for part in parts], axis=0),
        )

    def together(self) -> Summed:
        """All features as one."""
        least, greatest = self.values[0].min(), self.values[1].max()
        number, zeros = (np.array([one.sum()]) for one in (self.number, self.zeros))
        return Summed(self.rows, np.array([[least], [greatest]]), number, zeros, self.powers.sum(axis=1, keepdims=True))
