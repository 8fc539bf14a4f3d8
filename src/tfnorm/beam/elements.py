"""Elements of a PCollection as Arrow tables, and back: dicts, rows (beam.Row, named tuples), Arrow batches and tables.

The one law: a value keeps its type and None its place; a column holds values of one kind, or the error names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources.arrow import from_numpy
from tfnorm.sources.columns import cell, did_you_mean, quoted

PLACE = "PCollection"


def is_arrow(element: Any) -> bool:
    """Whether it is a `pyarrow.Table` or `RecordBatch`: many rows."""
    return type(element).__module__.partition(".")[0] == "pyarrow" and hasattr(element, "schema")


def tables_of(elements: Sequence[Any], names: Sequence[str] | None, *, absent: bool) -> list[Any]:
    """Elements as tables, neighbours of one kind together, with just these columns, or all.

    absent: whether what an element lacks of `names` is null; else it is an error.
    """
    import pyarrow as pa

    found, rows = [], []
    for element in elements:
        if is_arrow(element):
            table = pa.Table.from_batches([element]) if isinstance(element, pa.RecordBatch) else element
            found.append(_picked(table, names, absent))
        else:
            rows.append(fields_of(element))
    return [*found, _table(rows, names, absent)] if rows else found


def fields_of(element: Any) -> dict[str, Any]:
    """A row by name."""
    if isinstance(element, dict):
        return element
    if hasattr(element, "_asdict"):
        return dict(element._asdict())
    hint = " Of paths, say Scan(...) of a PCollection of str, or files=." if isinstance(element, str) else ""
    raise DataError(
        f"{PLACE}: expected dicts, rows or Arrow batches, got {type(element).__name__} ({cell(element)}).{hint}"
    )


def with_fields(element: Any, new: dict[str, Any], gone: Sequence[str] = ()) -> Any:
    """A row of the same kind with other values, perhaps more of them, and without some."""
    if hasattr(element, "_replace") and set(new) <= set(element._fields) and not gone:
        return element._replace(**new)
    values = {name: value for name, value in (fields_of(element) | new).items() if name not in gone}
    if isinstance(element, dict):
        return values
    from apache_beam.pvalue import Row

    return Row(**values)


def _picked(table: Any, names: Sequence[str] | None, absent: bool) -> Any:
    import pyarrow as pa

    if names is None:
        return table
    _refuse_absent([name for name in names if name not in table.schema.names and not absent], table.schema.names)
    for name in names:
        if name not in table.schema.names:
            table = table.append_column(name, pa.nulls(table.num_rows))
    return table.select(list(names))


def _table(rows: list[dict[str, Any]], names: Sequence[str] | None, absent: bool) -> Any:
    import pyarrow as pa

    keys = rows[0].keys()
    wanted = list(keys) if names is None else list(names)
    for row in rows:
        if names is None and row.keys() != keys:
            _refuse_absent([name for name in (*keys, *row) if name not in row or name not in keys], list(row))
        elif names is not None and not absent:
            _refuse_absent([name for name in names if name not in row], list(row))
    columns = {str(name): _column(str(name), [row.get(name) for row in rows]) for name in wanted}
    return pa.table(columns)


def _refuse_absent(missing: list[str], there: Iterable[Any]) -> None:
    if missing:
        raise DataError(
            f"column {quoted(map(str, missing))}: not in every element; one has {quoted(map(str, there))}."
            f"{did_you_mean(str(missing[0]), map(str, there))} Use None where a value is missing, or name the columns and "
            'say absent="missing".'
        )


def _column(name: str, values: list[Any]) -> Any:
    """An Arrow array of a column's values."""
    import pyarrow as pa

    try:
        if isinstance(values[0], np.ndarray) and values[0].ndim:
            return from_numpy(np.stack(values)) if _alike(values) else pa.array(_lists(values))
        return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        if any(isinstance(value, bool | int | float | np.number | np.ndarray) for value in values):
            kinds = sorted({type(value).__name__ for value in values if value is not None})
            raise DataError(
                f"column {quoted([name])}: expected values of one kind, got {', '.join(kinds)}: {cell(error, 200)} ({PLACE}). "
                "Cast them."
            ) from None
        return pa.array([type(value).__name__ for value in values])  # neither numbers nor text: nothing to measure


def _alike(values: list[Any]) -> bool:
    first = values[0]
    return all(isinstance(value, np.ndarray) and value.shape == first.shape for value in values)


def _lists(values: list[Any]) -> list[Any]:
    return [value.tolist() if isinstance(value, np.ndarray) else value for value in values]


def values_of(column: Any, like: Sequence[Any]) -> list[Any]:
    """An Arrow column as values of the kind that came: arrays where these were, else numbers and lists."""
    values: list[Any] = column.to_pylist()
    if not any(isinstance(value, np.ndarray) for value in like):
        return values
    dtype = _leaf(column.type).to_pandas_dtype()
    return [None if value is None else np.array(value, dtype) for value in values]


def _leaf(type_: Any) -> Any:
    return _leaf(type_.value_type) if hasattr(type_, "value_type") else type_


def mapped(
    elements: Sequence[Any], names: Sequence[str], kept: Sequence[str], change: Callable[[Any], Any]
) -> list[Any]:
    """Each element with columns changed, in the order in which they came.

    change: a table to one with other columns; `names` and `kept` is what it looks at, and leaves `kept` as they are.
    """
    result = [change(element) if is_arrow(element) else element for element in elements]
    rows = [index for index, element in enumerate(elements) if not is_arrow(element)]
    if not rows:
        return result
    fields = [fields_of(elements[index]) for index in rows]
    there = [name for name in (*names, *kept) if name in fields[0]]
    (table,) = tables_of(fields, there or None, absent=False)
    done = change(table)
    new = {
        name: values_of(done.column(name), [row.get(name) for row in fields])
        for name in done.schema.names
        if name not in kept
    }
    gone = [name for name in there if name not in done.schema.names]
    for number, index in enumerate(rows):
        result[index] = with_fields(elements[index], {name: values[number] for name, values in new.items()}, gone)
    return result
