"""Tables with named columns: pandas, polars, pyarrow, and whatever else offers `__arrow_c_stream__` (duckdb, ...).

The one law: a library is imported only for its own objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources import Batch, Source
from tfnorm.sources.columns import did_you_mean, pick, quoted
from tfnorm.sources.tables import Table, open_table


def library(data: Any) -> str:
    """The library that an object's type, or one that it derives from, belongs to: "pandas", "polars", ... or ""."""
    for base in type(data).__mro__:
        root = str(base.__module__).partition(".")[0]
        if root in ("pandas", "polars", "pyarrow", "pyspark", "tensorflow", "keras", "scipy"):
            return root
    return ""


def type_name(data: Any) -> str:
    """`pandas.DataFrame`, `polars.LazyFrame`, ... for people."""
    root = library(data) or type(data).__module__.partition(".")[0]
    return f"{root}.{type(data).__name__}"


def is_frame(data: Any) -> bool:
    """Whether it is a table with named columns (a series is not)."""
    root, name = library(data), type(data).__name__
    if root in ("pandas", "polars"):
        return name != "Series" and hasattr(type(data), "columns")  # asking a LazyFrame itself would resolve its plan
    if root == "pyarrow":
        return hasattr(data, "schema") and hasattr(data, "__arrow_c_stream__")
    return hasattr(data, "__arrow_c_stream__")


def is_series(data: Any) -> bool:
    """Whether it is one column of a library whose tables we read."""
    root = library(data)
    return (root in ("pandas", "polars") and type(data).__name__ == "Series") or (
        root == "pyarrow" and type(data).__name__ == "ChunkedArray"
    )


def table_of(data: Any) -> Table | None:
    """The table of a frame that lies in memory; None where it is computed or read as it goes."""
    root = library(data)
    if root == "pandas":
        from tfnorm.sources import pandas

        return pandas.table_of(data)
    if root == "polars":
        from tfnorm.sources import polars

        return None if type(data).__name__ == "LazyFrame" else polars.table_of(data)
    if root == "pyarrow" and hasattr(data, "num_rows"):
        from tfnorm.sources import arrow

        return arrow.table_of(data, type_name(data))
    return None


def open_frame(data: Any, *, weight: Any = None) -> Source:
    """A table with named columns as a source."""
    table = table_of(data)
    if table is not None:
        return open_table(table, type_name(data), weight=weight)
    from tfnorm.sources.streams import open_columns

    name = type_name(data)
    if library(data) == "polars":
        from tfnorm.sources import polars

        columns = polars.lazy_columns(data)
        return open_columns(name, columns, lambda wanted: polars.lazy_batches(data, wanted), weight=weight)
    from tfnorm.sources import arrow

    reader = arrow.stream_of(data, name)
    first = next(iter(reader), None) if any(arrow.needs_head(field.type) for field in reader.schema) else None
    columns = arrow.schema_columns(reader.schema, name, first)
    if reader is data:  # it can be read once only
        rest = data if first is None else chain([first], data)
        return open_columns(
            name, columns, lambda wanted: arrow.batches_of(rest, wanted, name), weight=weight, repeatable=False
        )
    del reader
    return open_columns(
        name, columns, lambda wanted: arrow.batches_of(arrow.stream_of(data, name), wanted, name), weight=weight
    )


def open_series(data: Any, *, weight: Any = None) -> Source:
    """One column as a source; without a name it is bare, as an array is."""
    name = type_name(data)
    if isinstance(weight, str):
        raise DataError(f"weight={quoted([weight])}: a series has no other column. Pass one number a row.")
    if library(data) == "pyarrow":
        import pyarrow as pa

        from tfnorm.sources import BARE, arrow

        return open_table(arrow.table_of(pa.table({BARE: data}), name), name, weight=weight, bare=True)
    table = table_of(data)
    assert table is not None
    return open_table(table, name, weight=weight, bare=data.name in (None, ""))


def read_columns(frame: Any, names: list[str]) -> Batch:
    """These columns of a frame in memory, whole: (n,) or (n, d, ...) arrays, masked where it has nulls."""
    table = table_of(frame)
    if table is None:
        raise DataError(f"{type_name(frame)}: expected a table in memory. Collect it first.")
    return table.read(pick(table.columns, names, type_name(frame)), 0)


def replace_columns(
    frame: Any, values: Mapping[str, np.ndarray], *, beside: Mapping[str, str] | None = None, drop: Sequence[str] = ()
) -> Any:
    """A frame of the same kind with other values in these columns, all else as it was.

    An (n, d) array becomes a fixed-size list, in pandas a column of arrays. What is masked becomes null, in pandas'
    columns of NumPy dtypes NaN.

    beside: a new column of `values` -> the one that it is put after.
    drop: columns that go.
    """
    beside = beside or {}
    root = library(frame)
    name = type_name(frame)
    if not is_frame(frame) or root not in ("pandas", "polars", "pyarrow") or name == "pyarrow.RecordBatchReader":
        raise DataError(f"{name}: expected a pandas, polars or pyarrow table. Convert it first.")
    names = [
        str(column) for column in (frame.collect_schema().names() if name == "polars.LazyFrame" else _names(frame))
    ]
    missing = [column for column in values if column not in names and column not in beside]
    if missing:
        raise DataError(f"column {quoted(missing)}: not in {name}.{did_you_mean(missing[0], names)}")
    num_rows = None if name == "polars.LazyFrame" else len(frame)
    for column, array in values.items():
        if num_rows is not None and len(array) != num_rows:
            raise DataError(f"column {quoted([column])}: expected {num_rows} rows, got {len(array)}.")
    if root == "pandas":
        from tfnorm.sources import pandas

        return pandas.replace(frame, values, beside, drop)
    if root == "polars":
        from tfnorm.sources import polars

        return polars.replace(frame, values, beside, drop)
    from tfnorm.sources import arrow

    return arrow.replace(frame, values, beside, drop)


def column_names(frame: Any) -> list[str]:
    """The names of a frame's columns, as batches have them."""
    return [str(name) for name in _names(frame)]


def _names(frame: Any) -> list[Any]:
    return list(frame.schema.names if library(frame) == "pyarrow" else frame.columns)
