"""Parquet files: a shard a row group.

The one law: a page whose checksum does not fit is an error, and no more than one batch of rows is ever decoded at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from tfnorm.sources import Batch, Column
from tfnorm.sources.arrow import needs_head, schema_columns, to_numpy
from tfnorm.sources.columns import row_bytes, rows_per_shard
from tfnorm.sources.files import OpenedFile, Stamp, reading
from tfnorm.sources.remote import readable

COLUMN_BYTES = 1 << 24  # of one column that are read or decoded at once


@dataclass(frozen=True)
class RowGroup:
    """A part of a Parquet file; it is read when it is called, wherever that is."""

    path: str
    stamp: Stamp
    index: int  # of the row group
    num_rows: int
    num_bytes: int  # its share of the file
    first_row: int  # of the file, for errors
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        return f"{self.path}, row group {self.index}"

    @property
    def fingerprint(self) -> str:
        return (
            f"{self.path}, {self.stamp}, row group {self.index} of {', '.join(column.name for column in self.columns)}"
        )

    def __call__(self) -> Iterator[Batch]:
        names = [column.name for column in self.columns]
        step = rows_per_shard(self.columns)
        row = self.first_row
        with reading(self.path, self.stamp), self._open() as file:
            for batch in file.iter_batches(batch_size=step, row_groups=[self.index], columns=names, use_threads=False):
                yield {
                    column.name: to_numpy(batch.column(column.name), column, self.path, row) for column in self.columns
                }
                row += batch.num_rows

    def one_by_one(self) -> Iterator[tuple[str, Iterator[np.ndarray]]]:
        """Each column alone, in batches. Read one after the other, each is found in cache, where rows of many would not fit."""
        with reading(self.path, self.stamp), self._open() as file:
            for column in self.columns:
                yield column.name, self._alone(file, column)

    def _alone(self, file: Any, column: Column) -> Iterator[np.ndarray]:
        step = max(1, COLUMN_BYTES // row_bytes([column]))
        row = self.first_row
        with reading(self.path, self.stamp):  # a generator of its own, whose errors the caller's `with` does not see
            for batch in file.iter_batches(
                batch_size=step, row_groups=[self.index], columns=[column.name], use_threads=False
            ):
                yield to_numpy(batch.column(0), column, self.path, row)
                row += batch.num_rows

    def _open(self) -> Any:
        metadata = _metadata(self.path, self.stamp)
        group = metadata.row_group(self.index)
        largest = max((group.column(i).total_compressed_size for i in range(group.num_columns)), default=0)
        return _file(self.path, metadata, buffer_size=0 if largest <= COLUMN_BYTES else 1 << 20)


def _file(path: str, metadata: Any = None, buffer_size: int = 1 << 20) -> Any:
    """`buffer_size` 0 reads a column's part of a row group at once; `pre_buffer` would read all of it."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(
        readable(path), metadata=metadata, page_checksum_verification=True, pre_buffer=False, buffer_size=buffer_size
    )


@lru_cache(maxsize=4)
def _metadata(path: str, stamp: Stamp) -> Any:  # noqa: ARG001
    """The footer, parsed once for all row groups of a file as `stamp` has it."""
    import pyarrow.parquet as pq

    return pq.read_metadata(readable(path))


def open_parquet(path: str) -> OpenedFile:
    """The columns and row groups of a file, from its footer (and a few rows, where there are lists of any length)."""
    with reading(path):
        stamp = Stamp.of(path)
        with _file(path) as file:
            metadata = file.metadata
            schema = file.schema_arrow
            head = None
            lists = [field.name for field in schema if needs_head(field.type)]
            if lists and metadata.num_rows:
                import pyarrow as pa

                batch = next(iter(file.iter_batches(batch_size=1024, columns=lists, use_threads=False)))
                head = pa.Table.from_batches([batch])
            columns = schema_columns(schema, path, head)
            counts = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
            num_rows = int(metadata.num_rows)

    def shards(wanted: Sequence[Column]) -> Iterable[RowGroup]:
        row = 0
        for index, count in enumerate(counts):
            if count:
                yield RowGroup(
                    path, stamp, index, count, stamp.num_bytes * count // max(1, num_rows), row, tuple(wanted)
                )
            row += count

    return OpenedFile(path, stamp, columns, num_rows, shards)
