"""NumPy arrays (in memory or memory-mapped), mappings of them, and plain Python numbers.

The one law: a shard is a view of the array's rows; nothing is copied unless the dtype is one that only NumPy
extensions know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources import BARE, Column
from tfnorm.sources.columns import cell, column_like, delivered, quoted, refuse_duplicates
from tfnorm.sources.forms import is_stored, read
from tfnorm.sources.stored import Stored
from tfnorm.sources.tables import TableSource, open_table


@dataclass(frozen=True)
class ArrayTable:
    """Arrays of the same number of rows."""

    arrays: Mapping[str, Any]  # column -> ndarray, or what has a NumPy dtype, a shape and slices (h5py, zarr, Stored)

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(column_like(name, array) for name, array in self.arrays.items())

    @property
    def num_rows(self) -> int:
        return next((int(array.shape[0]) for array in self.arrays.values()), 0)

    def part(self, start: int, stop: int) -> ArrayTable:
        return ArrayTable({name: _Rows(array, start, stop) for name, array in self.arrays.items()})

    def read(self, columns: Sequence[Column], first_row: int) -> dict[str, np.ndarray]:  # noqa: ARG002
        return {column.name: delivered(self.arrays[column.name][:]) for column in columns}


class _Rows:
    """Rows of something array-like, sliced when they are read: for a file behind it, that is when its bytes are."""

    def __init__(self, array: Any, start: int, stop: int) -> None:
        in_memory = isinstance(array, (np.ndarray, Stored))
        self.array = array[start:stop] if in_memory else array
        self.start, self.stop = (0, stop - start) if in_memory else (start, stop)
        self.dtype, self.layout = array.dtype, getattr(array, "layout", "dense")
        self.shape = (stop - start, *array.shape[1:])

    def __getitem__(self, everything: slice) -> Any:
        return self.array[self.start : self.stop]


def is_array(data: Any) -> bool:
    """Whether it is an array or stands for one: a shape, a dtype, rows to slice or a way to become an array."""
    return isinstance(data, np.generic) or (
        hasattr(data, "shape") and hasattr(data, "dtype") and hasattr(data, "__array__")
    )


def as_array(data: Any) -> Any:
    """The thing itself where its rows can be sliced as NumPy arrays can, else converted."""
    if is_stored(data):
        return read(data)
    if isinstance(data, np.ndarray) or (
        isinstance(getattr(data, "dtype", None), np.dtype) and hasattr(data, "__getitem__")
    ):
        return data
    return np.asarray(data)


def open_array(data: Any, *, weight: Any = None, name: str = "array") -> TableSource:
    """A lone array, (n,) or (n, d, ...): one column called BARE. One of records: a column a field."""
    array = as_array(data)
    if len(array.shape) == 0:
        raise DataError(
            f"array: expected rows, got a single value ({cell(array)}). Pass an array of shape (n,) or (n, d)."
        )
    if isinstance(array, np.ndarray) and array.dtype.names:
        return open_mapping({field: array[field] for field in array.dtype.names}, weight=weight, name=name)
    if isinstance(weight, str):
        raise DataError(
            f"weight={quoted([weight])}: an array has no column names. Pass one number a row, or a mapping of arrays."
        )
    return open_table(ArrayTable({BARE: array}), name, weight=weight, bare=True)


def open_mapping(data: Mapping[Any, Any], *, weight: Any = None, name: str = "mapping of arrays") -> TableSource:
    """Column name -> array, list of numbers or whatever becomes an array."""
    names = [str(key) for key in data]
    refuse_duplicates(names, name)
    arrays = {
        column: as_array(value) if is_array(value) else read(value, column)
        for column, value in zip(names, data.values(), strict=True)
    }
    if not arrays:
        raise DataError(f"{name}: it has no columns. Pass at least one.")
    single = [column for column, array in arrays.items() if len(array.shape) == 0]
    if single:
        raise DataError(
            f"column {quoted(single)}: expected rows, got a single value. Pass arrays of shape (n,) or (n, d)."
        )
    lengths = {column: int(array.shape[0]) for column, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{quoted([column])} {length}" for column, length in list(lengths.items())[:10])
        raise DataError(f"{name}: expected as many rows in every column, got {listed}. Cut or pad them to one length.")
    return open_table(ArrayTable(arrays), name, weight=weight)


def numbers(data: Any, column: str | None = None) -> np.ndarray:
    """A list of numbers, or a nested one of one shape, as an array; None is null."""
    where = "list" if column is None else f"column {quoted([column])}"
    try:
        array = data if isinstance(data, np.ma.MaskedArray) else np.asarray(data)
    except ValueError:
        lengths = _lengths(data)
        raise DataError(
            f"{where}: expected rows of one length, got {lengths}. Pad them or cut them to one; "
            "if these are batches, pass a function that returns them: `lambda: batches`."
        ) from None
    if array.dtype == object and array.ndim == 1:
        return _with_nulls(array)
    return array


def _lengths(data: Any) -> str:
    rows = list(data)
    first = np.shape(rows[0]) if np.ndim(rows[0]) == 0 or not isinstance(rows[0], (list, tuple)) else (len(rows[0]),)
    for row, value in enumerate(rows):
        here = (len(value),) if isinstance(value, (list, tuple)) else np.shape(value)
        if here != first:
            return f"shape {first} in row 0 and {here} in row {row}"
    return "rows nested unevenly"


def _with_nulls(array: np.ndarray) -> np.ndarray:
    """An object array of numbers and None as a masked one of numbers; any other as it is."""
    mask = np.array([value is None for value in array], dtype=bool)
    if not mask.any() or mask.all():
        return array
    known = np.asarray(array[~mask].tolist())
    if known.dtype.kind not in "biuf" or known.ndim != 1:
        return array
    filled = np.zeros(array.shape, known.dtype)
    filled[~mask] = known
    return np.ma.MaskedArray(filled, mask)


def open_list(data: Sequence[Any], *, weight: Any = None) -> TableSource:
    """A list of numbers, of rows of numbers, or of dicts (a dict a row)."""
    if len(data) == 0:
        raise DataError("list: it has no rows. Statistics need at least one.")
    first = data[0]
    if isinstance(first, Mapping):
        return open_mapping(_columns(data), weight=weight, name="list of rows")
    return open_array(numbers(data), weight=weight, name="list")


def _columns(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """A dict a row -> a list a column. A key that a row lacks is an error, as is one that the first row lacks."""
    names = list(rows[0])
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping) or row.keys() != rows[0].keys():
            got = quoted(map(str, row)) if isinstance(row, Mapping) else type(row).__name__
            expected = quoted(map(str, names))
            raise DataError(
                f"list of rows: expected columns {expected} as in row 0, got {got} in row {number}. "
                "Use None where a value is missing."
            )
    return {name: [row[name] for row in rows] for name in names}
