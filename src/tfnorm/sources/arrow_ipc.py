"""Arrow's own files (IPC, also called Feather): a shard a record batch of a file, or a whole stream.

The one law: rows are read as they lie; lists whose offsets lead outside their values are an error, not a crash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfnorm.errors import DataError
from tfnorm.sources import SHARD_BYTES, Batch, Column
from tfnorm.sources.arrow import needs_head, numpy_dtype, schema_columns, to_numpy
from tfnorm.sources.columns import cell, rows_per_shard
from tfnorm.sources.files import OpenedFile, Stamp, reading
from tfnorm.sources.parquet_copy import Opened
from tfnorm.sources.remote import input_file, is_url


@dataclass(frozen=True)
class RecordBatch:
    """A record batch of a file, or, where `index` is None, all of a stream; read when it is called, wherever that is."""

    path: str
    stamp: Stamp
    index: int | None
    num_bytes: int  # its share of the file
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        return self.path if self.index is None else f"{self.path}, record batch {self.index}"

    @property
    def fingerprint(self) -> str:
        return f"{self.name}, {self.stamp} of {', '.join(column.name for column in self.columns)}"

    @property
    def num_rows(self) -> None:
        """Only the batch itself tells; the footer of a file does not."""

    def __call__(self) -> Iterator[Batch]:
        names = [column.name for column in self.columns]
        with reading(self.path, self.stamp), opened(self.path, names) as file:
            batches = file if self.index is None else [file.get_batch(self.index)]
            yield from pieces(batches, self.columns, self.name)


def pieces(batches: Iterable[Any], columns: Sequence[Column], place: str) -> Iterator[Batch]:
    """Arrow batches, checked and in parts of no more rows than are measured at once."""
    step, row = rows_per_shard(columns), 0
    for batch in batches:
        checked(batch, [column.name for column in columns])
        for start in range(0, batch.num_rows, step):
            part = batch.slice(start, step)
            yield {column.name: to_numpy(part.column(column.name), column, place, row) for column in columns}
            row += part.num_rows


def checked(batch: Any, names: Sequence[str]) -> Any:
    """ArrowInvalid where a column is not what its type says; of plain numbers only the length can be wrong."""
    batch.validate()
    for name in names:
        column = batch.column(name)
        column.validate(full=numpy_dtype(column.type) is None)
    return batch


@contextmanager
def opened(path: str, names: Sequence[str] | None = None) -> Iterator[Any]:
    """Its reader, of these columns or all: of a file with record batches by number, or of a stream."""
    try:
        with _reader(path, names) as reader:
            yield reader
    except MemoryError as error:  # Arrow believes whatever length is written
        raise DataError(f"{path}: it asks for more memory than there is ({cell(error, 100)}). Is it whole?") from error


@contextmanager
def _reader(path: str, names: Sequence[str] | None) -> Iterator[Any]:
    import pyarrow as pa

    magic = _magic(path)
    if not magic:
        raise DataError(f"{path}: it is empty. Write it again, or leave it out.")
    if magic[:4] == b"FEA1":
        raise DataError(f"{path}: Feather version 1, which Arrow no longer writes. Write it again as version 2.")
    if magic[:6] != b"ARROW1":
        with input_file(path) as raw, pa.ipc.open_stream(raw) as reader:
            yield reader
        return
    with input_file(path) as raw, pa.ipc.open_file(raw) as reader:
        schema, num_batches = reader.schema, reader.num_record_batches
    fields = None if names is None else sorted(schema.get_field_index(name) for name in names)
    options = pa.ipc.IpcReadOptions(included_fields=fields)
    # of a batch that is read only what is wanted of it has to be in memory; mapped, not even that
    large = Stamp.of(path).num_bytes > 4 * SHARD_BYTES * max(1, num_batches)
    raw = pa.memory_map(path) if large and not is_url(path) else input_file(path)
    with raw, pa.ipc.open_file(raw, options=options) as reader:
        yield reader


def _magic(path: str) -> bytes:
    with input_file(path) as file:
        return bytes(file.read(8))


def open_arrow(path: str) -> OpenedFile:
    """The columns and record batches, from the footer; of a stream from its beginning."""
    import pyarrow as pa

    with reading(path):
        stamp = Stamp.of(path)
        with opened(path) as file:
            schema = file.schema
            num_batches = getattr(file, "num_record_batches", None)
            num_rows = int(file.count_rows()) if hasattr(file, "count_rows") else None
            first = None
            if any(needs_head(field.type) for field in schema):
                batches = file if num_batches is None else map(file.get_batch, range(num_batches))
                first = next((batch for batch in batches if batch.num_rows), None)
            head = None if first is None else pa.Table.from_batches([checked(first, schema.names)])
            columns = schema_columns(schema, path, head)

    def shards(wanted: Sequence[Column]) -> Iterator[RecordBatch]:
        chosen = tuple(wanted)
        if num_batches is None:
            yield RecordBatch(path, stamp, None, stamp.num_bytes, chosen)
        for index in range(num_batches or 0):
            yield RecordBatch(path, stamp, index, stamp.num_bytes // (num_batches or 1), chosen)

    return OpenedFile(path, stamp, columns, num_rows, shards)


def batches(path: str) -> Opened:
    """A file with all its columns, record batch by record batch."""
    import pyarrow as pa

    stamp = Stamp.of(path)
    with reading(path, stamp), opened(path) as file:
        schema = file.schema

    def read(schema: Any) -> Iterator[Any]:
        empty = True
        with reading(path, stamp), opened(path) as file:
            several = (
                file if not hasattr(file, "num_record_batches") else map(file.get_batch, range(file.num_record_batches))
            )
            for batch in several:
                checked(batch, batch.schema.names)
                for start in range(0, batch.num_rows, 1 << 16):
                    empty = False
                    yield batch.slice(start, 1 << 16)
        if empty:
            yield pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)

    return Opened(schema, None, read)


class Writer:
    """An Arrow file that grows by batches, with zstd where Arrow has it."""

    def __init__(self, path: Path, schema: Any, **_: Any) -> None:
        import pyarrow as pa

        codec = "zstd" if pa.Codec.is_available("zstd") else None
        self._schema = schema
        self._file = pa.ipc.new_file(str(path), schema, options=pa.ipc.IpcWriteOptions(compression=codec))

    def write(self, columns: Sequence[Any]) -> None:
        """One more batch."""
        import pyarrow as pa

        self._file.write_batch(pa.RecordBatch.from_arrays(list(columns), schema=self._schema))

    def close(self) -> None:
        self._file.close()
