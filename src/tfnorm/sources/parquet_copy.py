"""Parquet files read with all their columns, and written.

The one law: schema, metadata, row groups and compression stay, but for the columns that are replaced.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfnorm.sources import SHARD_BYTES, SHARD_ROWS
from tfnorm.sources.columns import refuse_duplicates
from tfnorm.sources.files import Stamp, reading
from tfnorm.sources.remote import readable


@dataclass(frozen=True)
class Opened:
    """A file that can be read from its beginning, as often as wanted, as Arrow record batches with all columns."""

    schema: Any
    num_rows: int | None  # None where only reading would tell
    read: Callable[[Any], Iterator[Any]]  # the schema -> batches; one without rows where there are none
    compression: str = "snappy"

    def batches(self) -> Iterator[Any]:
        return self.read(self.schema)


def open_parquet(path: str) -> Opened:
    """A file, row group by row group, and no more than SHARD_BYTES of it at once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    stamp = Stamp.of(path)

    def opened() -> Any:
        return pq.ParquetFile(readable(path), page_checksum_verification=True, pre_buffer=False, buffer_size=1 << 20)

    with reading(path, stamp), opened() as file:
        schema, metadata = file.schema_arrow, file.metadata
        refuse_duplicates(schema.names, path)
        groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        steps = [_rows_at_once(group) for group in groups]
        codec = groups[0].column(0).compression.lower() if groups and groups[0].num_columns else "snappy"

    def read(schema: Any) -> Iterator[Any]:
        with reading(path, stamp), opened() as file:
            for index, step in enumerate(steps):
                yield from file.iter_batches(batch_size=step, row_groups=[index])
        if not metadata.num_rows:
            yield pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)

    return Opened(schema, metadata.num_rows, read, "none" if codec == "uncompressed" else codec)


def _rows_at_once(group: Any) -> int:
    row_bytes = max(1, int(group.total_byte_size) // max(1, int(group.num_rows)))
    return max(1, min(SHARD_ROWS, SHARD_BYTES // row_bytes))


class Writer:
    """A Parquet file that grows by batches."""

    def __init__(self, path: Path, schema: Any, *, compression: Any = "snappy", **_: Any) -> None:
        import pyarrow.parquet as pq

        self._schema = schema
        self._file = pq.ParquetWriter(path, schema, compression=compression)

    def write(self, columns: Sequence[Any]) -> None:
        """One more batch."""
        import pyarrow as pa

        batch = pa.RecordBatch.from_arrays(list(columns), schema=self._schema)
        if batch.num_rows:
            self._file.write_batch(batch)

    def close(self) -> None:
        self._file.close()


def with_pandas_types(schema: Any, names: Sequence[str]) -> Any:
    """The schema whose notes for pandas name the new types of these columns; else it would cast them back."""
    metadata = dict(schema.metadata or {})
    try:
        notes = json.loads(metadata[b"pandas"])
        for column in notes["columns"]:
            if column.get("field_name") in names:
                type_ = schema.field(column["field_name"]).type
                called = "object" if type_.num_fields else str(type_.to_pandas_dtype().__name__)
                column |= {"pandas_type": called, "numpy_type": called, "metadata": None}
    except (KeyError, ValueError, TypeError, AttributeError):
        return schema  # not from pandas
    return schema.with_metadata({**metadata, b"pandas": json.dumps(notes).encode()})
