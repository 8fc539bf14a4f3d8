"""Files of the formats that have no Arrow in them, read with all their columns as Arrow.

The one law: every column is there, in its order, with its values; what Arrow has no type for is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources.arrow import TextArray, from_numpy
from tfnorm.sources.columns import quoted
from tfnorm.sources.files import OpenedFile
from tfnorm.sources.parquet_copy import Opened


def batches(file: OpenedFile) -> Opened:
    """A file batch by batch, under the schema of its first one."""
    import pyarrow as pa

    first = next(_read(file), None)
    schema = pa.schema([]) if first is None else first.schema

    def read(schema: Any) -> Iterator[Any]:
        if first is None:
            raise DataError(f"{file.path}: it has no rows.")
        for batch in _read(file):
            yield batch if batch.schema == schema else batch.cast(schema)

    return Opened(schema, file.num_rows, read)


def _read(file: OpenedFile) -> Iterator[Any]:
    import pyarrow as pa

    for shard in file.shards(file.columns):
        for batch in shard():
            arrays = [_arrow(name, values, file.path) for name, values in batch.items()]
            yield pa.RecordBatch.from_arrays(arrays, names=list(batch))


def _arrow(name: str, values: Any, path: str) -> Any:
    import pyarrow as pa

    if isinstance(values, TextArray):
        return values.array
    if isinstance(values, np.ndarray) and values.dtype.kind in "mM":
        unit = np.datetime_data(values.dtype)[0]
        coarse = unit in ("W", "D", "h", "m") if values.dtype.kind == "m" else unit in ("Y", "M", "W", "h", "m")
        values = values.astype(f"{values.dtype.kind}8[s]") if coarse else values
    try:
        return from_numpy(values)
    except (pa.ArrowException, TypeError, ValueError):
        kind = getattr(values, "dtype", type(values).__name__)
        raise DataError(f"column {quoted([name])}: {kind} cannot be copied ({path}). Leave the column out.") from None
