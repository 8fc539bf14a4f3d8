"""Rows told by how often each value was there: images, of which nobody keeps the pixels.

The one law: counts add up, exactly and in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources.stored import Stored


@dataclass(frozen=True, eq=False)
class Counted(Stored):
    """So many rows, of whose values this is known: each value, and how often it was there, feature by feature."""

    rows: int
    values: np.ndarray  # (values, features), masked where a feature never has the value
    counts: np.ndarray  # (values, features) int64

    layout: Literal["counted"] = "counted"  # type: ignore[assignment]

    @classmethod
    def of_integers(cls, rows: int, counts: np.ndarray, dtype: Any) -> Counted:
        """`counts` (2**bits, features) of the integers from 0 on."""
        there = counts.any(axis=1)
        counts = counts[there]
        values = np.broadcast_to(np.flatnonzero(there).astype(dtype)[:, None], counts.shape)
        return cls(rows, np.ma.MaskedArray(values.copy(), counts == 0), counts)

    def __len__(self) -> int:
        return self.rows

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (self.rows, None, None, self.values.shape[-1])

    def __getitem__(self, rows: slice) -> Counted:
        start, stop, _ = rows.indices(self.rows)
        if (start, stop) != (0, self.rows):
            raise DataError("images are measured as they were counted, and cannot be taken apart again.")
        return self

    def with_values(self, values: np.ndarray) -> Counted:
        return Counted(self.rows, values, self.counts)

    def _joined(self, parts: Sequence[Counted]) -> Counted:
        rows = sum(part.rows for part in parts)
        size = 1 + max(int(np.ma.getdata(part.values).max(initial=0)) for part in parts)
        counts = np.zeros((size, self.counts.shape[1]), np.int64)
        for part in parts:
            counts[np.ma.getdata(part.values)[:, 0]] += part.counts
        return Counted.of_integers(rows, counts, self.values.dtype)
