"""JSON lines read with all their columns, and written.

The one law: whatever a line holds is written again: a key or a type that shows later has the file read anew with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tfnorm.errors import DataError
from tfnorm.sources.columns import cell, quoted
from tfnorm.sources.csv_copy import OtherTypeError
from tfnorm.sources.files import Stamp, reading
from tfnorm.sources.json_lines import blocks, open_json_lines
from tfnorm.sources.parquet_copy import Opened


def batches(path: str) -> Opened:
    """A file with all its columns, block by block."""
    import pyarrow as pa

    open_json_lines(path)  # checks the file, with clear errors
    stamp = Stamp.of(path)
    with reading(path, stamp):
        first = next(blocks(path), None)
        schema = pa.schema([]) if first is None else first.table({}, "infer")[0].schema

    def read(schema: Any) -> Iterator[Any]:
        known, empty = dict(zip(schema.names, schema.types, strict=True)), True
        with reading(path, stamp):
            for block in blocks(path):
                table, types = block.table(known, "infer")
                types |= {field.name: field.type for field in table.schema if field.name not in types}
                if types != known:
                    raise OtherTypeError(pa.schema(list(types.items())))
                for batch in table.select(schema.names).combine_chunks().to_batches(max_chunksize=1 << 16):
                    empty = False
                    yield batch
        if empty:
            yield pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)

    return Opened(schema, None, read)


class Writer:
    """A file that grows by batches: an object a row; NaN, which JSON does not have, is written as null."""

    def __init__(self, path: Path, schema: Any, **_: Any) -> None:
        import pyarrow as pa

        codec: Any = "gzip" if path.name.lower().endswith(".gz") else None
        self._names = list(schema.names)
        self._file = pa.output_stream(str(path), compression=codec)

    def write(self, columns: Sequence[Any]) -> None:
        """One more batch."""
        lists = [column.to_pylist() for column in columns]
        for name, values in zip(self._names, lists, strict=True):
            values[:] = [_plain(name, value) for value in values]
        lines = (
            json.dumps(dict(zip(self._names, row, strict=True)), ensure_ascii=False) for row in zip(*lists, strict=True)
        )
        text = "".join(f"{line}\n" for line in lines)
        self._file.write(text.encode())

    def close(self) -> None:
        self._file.close()


def _plain(name: str, value: Any) -> Any:
    """As JSON has it."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise DataError(f"column {quoted([name])}: JSON holds no {value}. Write Parquet or CSV.")
        return None if math.isnan(value) else value
    if isinstance(value, list):
        return [_plain(name, one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(name, one) for key, one in value.items()}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise DataError(f"column {quoted([name])}: JSON holds no {type(value).__name__} ({cell(value)}). Write Parquet.")
