"""A table that lies in memory, whoever made it, as a source.

The one law: shards are cut by rows alone (`rows_per_shard` of the columns asked), so the same numbers give the same
shards whether they come as arrays, pandas, polars or Arrow; nothing is converted before its shard is read, and only
what was asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources import WEIGHT, Batch, Column, Shard
from tfnorm.sources.columns import describe, pick, spans, weight_array, weight_column


class Table(Protocol):
    """Rows in memory: what arrays, pandas, polars and Arrow tables have in common."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """All of them, in order."""

    @property
    def num_rows(self) -> int:
        """How many rows."""

    def part(self, start: int, stop: int) -> Table:
        """These rows, without copying."""

    def read(self, columns: Sequence[Column], first_row: int) -> dict[str, np.ndarray]:
        """These columns as arrays; `first_row` is the number of the first row, for errors."""


@dataclass(frozen=True)
class TableShard:
    """Some rows of a table; they become arrays when it is called."""

    name: str
    fingerprint: str
    rows: Table
    columns: tuple[Column, ...]
    first_row: int
    weights: np.ndarray | None  # (num_rows,), those that came beside the table

    @property
    def num_rows(self) -> int:
        return self.rows.num_rows

    def __call__(self) -> Iterable[Batch]:
        batch = self.rows.read(self.columns, self.first_row)
        if self.weights is not None:
            batch[WEIGHT] = self.weights
        yield batch


@dataclass(frozen=True)
class TableSource:
    """A table as a source."""

    name: str
    table: Table
    bare: bool
    weight: str | None
    weights: np.ndarray | None  # (num_rows,), those that came beside the table

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.table.columns

    @property
    def num_rows(self) -> int:
        return self.table.num_rows

    @property
    def repeatable(self) -> bool:
        return True

    def shards(self, columns: Sequence[str]) -> Iterator[Shard]:
        wanted = pick(self.columns, columns, self.name)
        asked = wanted
        if self.weight is not None and self.weight != WEIGHT:
            wanted = pick(self.columns, (*columns, self.weight), self.name)
        what = ", ".join(f"{column.name}: {describe(column)}" for column in wanted)
        for start, stop in spans(self.num_rows, asked):
            yield TableShard(
                name=f"{self.name}, rows {start} to {stop - 1}",
                fingerprint=f"{self.name} of {self.num_rows} rows, {start} to {stop - 1} of {what}",
                rows=self.table.part(start, stop),
                columns=wanted,
                first_row=start,
                weights=None if self.weights is None else self.weights[start:stop],
            )


def open_table(table: Table, name: str, *, weight: Any = None, bare: bool = False) -> TableSource:
    """A table as a source; `weight` is the name of a column, or one number a row."""
    if table.num_rows == 0:
        raise DataError(f"{name}: it has no rows. Statistics need at least one.")
    if isinstance(weight, bool):
        raise DataError(
            "weight=True is for (x, y, weight) batches. "
            "For a table or an array pass a column's name or one number a row."
        )
    if weight is None:
        return TableSource(name, table, bare, None, None)
    if isinstance(weight, str):
        weight_column(table.columns, weight, name)
        return TableSource(name, table, bare, weight, None)
    return TableSource(name, table, bare, WEIGHT, weight_array(weight, table.num_rows))
