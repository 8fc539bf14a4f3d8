"""A part of a file that lacks columns, with these as null: by request, where files of one source differ.

The one law: what a file does not have is missing in each of its rows, and counted so; all else is as the file has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfnorm.sources import Batch, Column, Shard


def can_be_null(column: Column) -> bool:
    """Whether rows without it can be made: numbers and times, as many of them in every row."""
    return column.kind != "other" and column.layout == "dense" and None not in column.shape


@dataclass(frozen=True)
class Filled:
    """A shard with columns besides, all null."""

    shard: Shard
    absent: tuple[Column, ...]
    only_counted: str = ""  # a column that is read for its number of rows alone

    @property
    def name(self) -> str:
        return self.shard.name

    @property
    def fingerprint(self) -> str:
        return f"{self.shard.fingerprint}, without {', '.join(column.name for column in self.absent)}"

    @property
    def num_rows(self) -> int | None:
        return self.shard.num_rows

    @property
    def num_bytes(self) -> int:
        return getattr(self.shard, "num_bytes", 0)

    @property
    def row_of_first(self) -> int:
        """How the first row is called in errors."""
        return getattr(self.shard, "row_of_first", 0)

    @property
    def path(self) -> str:
        """Of the file that it is a part of."""
        return self.shard.path  # type: ignore[attr-defined]  # a file's shard has one

    def __call__(self) -> Iterator[Batch]:
        for batch in self.shard():
            num_rows = len(next(iter(batch.values())))
            there = {name: values for name, values in batch.items() if name != self.only_counted}
            yield {**there, **{column.name: _null(column, num_rows) for column in self.absent}}


def _null(column: Column, num_rows: int) -> Any:
    zeros: Any = np.zeros((num_rows, *column.shape), np.dtype(column.dtype))
    return np.ma.MaskedArray(zeros, True)
