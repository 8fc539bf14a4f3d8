"""ORC files: a shard a stripe.

The one law: only the wanted columns of a stripe are decoded, and a stripe is cut before it becomes arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfnorm.sources import Batch, Column
from tfnorm.sources.arrow import needs_head, schema_columns
from tfnorm.sources.arrow_ipc import pieces
from tfnorm.sources.files import OpenedFile, Stamp, reading
from tfnorm.sources.parquet_copy import Opened
from tfnorm.sources.remote import input_file


@dataclass(frozen=True)
class Stripe:
    """A stripe of a file; it is read when it is called, wherever that is."""

    path: str
    stamp: Stamp
    index: int
    num_bytes: int  # its share of the file
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        return f"{self.path}, stripe {self.index}"

    @property
    def fingerprint(self) -> str:
        return f"{self.name}, {self.stamp} of {', '.join(column.name for column in self.columns)}"

    @property
    def num_rows(self) -> None:
        """Only reading tells."""

    def __call__(self) -> Iterator[Batch]:
        names = [column.name for column in self.columns]
        with reading(self.path, self.stamp), _file(self.path) as file:
            yield from pieces([file.read_stripe(self.index, columns=names)], self.columns, self.name)


@contextmanager
def _file(path: str) -> Iterator[Any]:
    import pyarrow.orc

    with input_file(path) as raw:
        yield pyarrow.orc.ORCFile(raw)


def open_orc(path: str) -> OpenedFile:
    """The columns and stripes, from the footer (and the first stripe, where there are lists)."""
    import pyarrow as pa

    with reading(path):
        stamp = Stamp.of(path)
        with _file(path) as file:
            schema, num_rows, num_stripes = file.schema, int(file.nrows), int(file.nstripes)
            lists = [field.name for field in schema if needs_head(field.type)]
            head = pa.Table.from_batches([file.read_stripe(0, columns=lists)]) if lists and num_stripes else None
            columns = schema_columns(schema, path, head)

    def shards(wanted: Sequence[Column]) -> Iterator[Stripe]:
        for index in range(num_stripes):
            yield Stripe(path, stamp, index, stamp.num_bytes // num_stripes, tuple(wanted))

    return OpenedFile(path, stamp, columns, num_rows, shards)


def batches(path: str) -> Opened:
    """A file with all its columns, stripe by stripe."""
    import pyarrow as pa

    stamp = Stamp.of(path)
    with reading(path, stamp), _file(path) as file:
        schema, num_rows = file.schema, int(file.nrows)

    def read(schema: Any) -> Iterator[Any]:
        with reading(path, stamp), _file(path) as file:
            for index in range(int(file.nstripes)):
                stripe = file.read_stripe(index)
                for start in range(0, stripe.num_rows, 1 << 16):
                    yield stripe.slice(start, 1 << 16)
        if not num_rows:
            yield pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)

    return Opened(schema, num_rows, read)


class Writer:
    """An ORC file that grows by batches."""

    def __init__(self, path: Path, schema: Any, **_: Any) -> None:
        import pyarrow.orc

        self._schema = schema
        self._file = pyarrow.orc.ORCWriter(str(path), compression="zstd")

    def write(self, columns: Sequence[Any]) -> None:
        """One more batch."""
        import pyarrow as pa

        batch = pa.RecordBatch.from_arrays(list(columns), schema=self._schema)
        self._file.write(pa.Table.from_batches([batch]))

    def close(self) -> None:
        self._file.close()
