"""What a query gives, as a source: DuckDB, ADBC, and whatever else speaks Python's DB-API.

The one law: rows are fetched as they are needed, and the query is run anew for each pass, on the connection that came.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources import Column, database
from tfnorm.sources.arrow import cell_of, needs_head, schema_columns, to_numpy
from tfnorm.sources.columns import cell, quoted, refuse_duplicates
from tfnorm.sources.streams import StreamSource, open_columns

FETCH = 1 << 14  # rows that are fetched at once


def sql(query: str, connection: Any, *, parameters: Any = None, weight: str | None = None) -> StreamSource:
    """The rows of a query, streamed, for `fit` and `scan`.

    query: any statement that gives rows. connection: one of DuckDB, of an ADBC driver (its `dbapi`), or any of Python's
    DB-API (sqlite3, psycopg, ...), or the address of a database in a file: "duckdb:///a.duckdb", "sqlite:///a.db".
    A driver that gives Arrow record batches is asked for those; of the others a column has the type that its first rows
    show, and integers become floats where a fraction comes later. parameters: of the query, in the driver's own way.
    weight: the column that says how often each row counts.

    The query is run once to see its columns, and once for each pass; without ORDER BY a database may give other rows first,
    which changes the last bits of a mean.

    Errors: DataError, naming the query, where it fails, gives no rows, or values change their kind.

    >>> import sqlite3
    >>> connection = sqlite3.connect(":memory:")
    >>> _ = connection.execute("CREATE TABLE people AS SELECT 22.0 AS age UNION SELECT 38 UNION SELECT NULL")
    >>> source = sql("SELECT age FROM people ORDER BY age", connection)
    >>> [batch["age"].tolist() for shard in source.shards(["age"]) for batch in shard()]
    [[None, 22.0, 38.0]]
    """
    name = f"query {cell(' '.join(query.split()), 60)}"
    fetch = _fetch(database.connect(connection) if isinstance(connection, str) else connection, name)
    reader = _named(name, lambda: fetch(query, parameters))
    with _Closing(reader):
        first = _named(name, lambda: next(iter(reader), None))
        if first is None:
            raise DataError(f"{name}: it gives no rows. Statistics need at least one.")
        import pyarrow as pa

        refuse_duplicates(first.schema.names, name)
        head = pa.Table.from_batches([first]) if any(needs_head(field.type) for field in first.schema) else None
        columns = schema_columns(first.schema, name, head)

    def read(wanted: Sequence[Column]) -> Iterator[dict[str, np.ndarray]]:
        again, row = _named(name, lambda: fetch(query, parameters)), 0
        with _Closing(again):
            batches = iter(again)
            while (batch := _named(name, lambda: next(batches, None))) is not None:
                yield {column.name: to_numpy(batch.column(column.name), column, name, row) for column in wanted}
                row += batch.num_rows

    return open_columns(name, columns, read, weight=weight)


class _Closing:
    """Lets go of what was not read to its end."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader

    def __enter__(self) -> None: ...

    def __exit__(self, *_: Any) -> None:
        if hasattr(self.reader, "close"):
            self.reader.close()


def _named(name: str, run: Any) -> Any:
    """What a database says becomes an error that names the query; each driver has its own errors."""
    try:
        return run()
    except (DataError, MemoryError):
        raise
    except Exception as error:
        raise DataError(f"{name}: the database says: {cell_of(error)}") from error


def _fetch(connection: Any, name: str) -> Any:
    """(query, parameters) -> Arrow record batches."""
    root = type(connection).__module__.partition(".")[0]
    if root in ("duckdb", "_duckdb"):
        return lambda query, parameters: _duckdb(connection, query, parameters)
    if not hasattr(connection, "cursor"):
        raise DataError(
            f"{name}: expected a connection of DuckDB, ADBC or Python's DB-API, got {type(connection).__name__}. "
            "Pass what the driver's connect() gives."
        )
    return lambda query, parameters: _by_cursor(connection, query, parameters, name)


def _duckdb(connection: Any, query: str, parameters: Any) -> Any:
    cursor = connection.cursor()  # so that other queries on the connection do not end this one
    found = cursor.sql(query, params=parameters)  # a relation: what execute gives lies in memory whole
    if found is None:
        raise DataError("it gives no rows. Pass a SELECT.")
    return found.to_arrow_reader(FETCH) if hasattr(found, "to_arrow_reader") else found.fetch_arrow_reader(FETCH)


def _by_cursor(connection: Any, query: str, parameters: Any, name: str) -> Iterator[Any]:
    cursor = connection.cursor()
    try:
        if parameters is None:
            cursor.execute(query)
        else:
            cursor.execute(query, parameters)
        if hasattr(cursor, "fetch_record_batch"):
            yield from cursor.fetch_record_batch()
        elif cursor.description is None:
            raise DataError(f"{name}: it gives no rows. Pass a SELECT.")
        else:
            yield from _batches(cursor, [str(column[0]) for column in cursor.description], name)
    finally:
        cursor.close()


def _batches(cursor: Any, names: Sequence[str], name: str) -> Iterator[Any]:
    """Rows of Python values as record batches; a column keeps the type of its first values."""
    import pyarrow as pa

    refuse_duplicates(names, name)
    known: dict[str, Any] = {}
    row = 0
    while rows := cursor.fetchmany(FETCH):
        arrays = []
        for column, values in zip(names, zip(*rows, strict=True), strict=True):
            array = _array(values, known.get(column), column, name, row)
            if not pa.types.is_null(array.type):
                known[column] = array.type
            arrays.append(array)
        yield pa.RecordBatch.from_arrays(arrays, names=list(names))
        row += len(rows)


def _array(values: Sequence[Any], type_: Any, column: str, name: str, row: int) -> Any:
    import pyarrow as pa

    whole_or_not = type_ is None or pa.types.is_integer(type_) or pa.types.is_floating(type_)
    for attempt in (None, pa.float64()) if whole_or_not else (type_,):
        try:
            array = pa.array(values, attempt)
        except (pa.ArrowException, OverflowError, TypeError):
            continue
        if type_ is None or pa.types.is_null(array.type) or _alike(array.type, type_):
            return array
    at, value = _odd(values, type_)
    expected = "values of one kind" if type_ is None else f"{type_} as before"
    raise DataError(
        f"column {quoted([column])}: expected {expected}, got {cell(repr(value))} in row {row + at} ({name}). "
        "Cast it in the query."
    )


def _alike(here: Any, there: Any) -> bool:
    import pyarrow.types as t

    number = t.is_integer(here) or t.is_floating(here)
    return here == there or (number and (t.is_integer(there) or t.is_floating(there)))


def _odd(values: Sequence[Any], type_: Any) -> tuple[int, Any]:
    """The first value of another kind than those before it, or than the type."""
    import pyarrow as pa

    seen = type_
    for at, value in enumerate(values):
        if value is None:
            continue
        try:
            here = pa.scalar(value).type
        except (pa.ArrowException, OverflowError):
            return at, value
        if seen is not None and not _alike(here, seen):
            return at, value
        seen = seen or here
    return 0, values[0]
