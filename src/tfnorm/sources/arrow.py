"""Arrow columns as NumPy arrays and back, for everything that speaks Arrow; and Arrow tables as a source.

The one law: a number keeps its type and a null its place; where there are no nulls the memory is shared, not copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources import Column
from tfnorm.sources.columns import KIND_NOUNS, Layout, cell, column_of, quoted, refuse_duplicates
from tfnorm.sources.stored import Ragged

_HEAD_ROWS = 1024  # tell the shape of lists; whether their lengths differ, all rows that are at hand do


def numpy_dtype(type_: Any) -> np.dtype[Any] | None:
    """The dtype under which values of an Arrow type are delivered; None where they are neither numbers nor times."""
    import pyarrow.types as t

    if t.is_boolean(type_) or t.is_integer(type_) or t.is_floating(type_):
        return np.dtype(type_.to_pandas_dtype())
    if t.is_decimal(type_) or t.is_null(type_):
        return np.dtype(np.float64)
    if t.is_timestamp(type_):
        return np.dtype(f"datetime64[{type_.unit}]")
    if t.is_date(type_):
        return np.dtype("datetime64[D]" if t.is_date32(type_) else "datetime64[ms]")
    if t.is_duration(type_) or t.is_time(type_):
        return np.dtype(f"timedelta64[{type_.unit}]")
    if t.is_dictionary(type_):
        return numpy_dtype(type_.value_type)
    return None


def _is_list(type_: Any) -> bool:
    import pyarrow.types as t

    tests = (t.is_list, t.is_large_list, t.is_fixed_size_list, t.is_list_view, t.is_large_list_view)
    return any(test(type_) for test in tests)


def _storage(type_: Any) -> Any:
    return type_.storage_type if hasattr(type_, "storage_type") else type_


def describe_column(name: str, type_: Any, head: Any = None) -> Column:
    """The column of an Arrow type; lists learn their length from `head`, some first rows of it or all.

    Where lengths differ, the column is ragged: each row has as many steps as it has.
    """
    tensor = _tensor_shape(type_)
    storage = _storage(type_)
    shape, leaf = _shape(storage, None if head is None else head.slice(0, _HEAD_ROWS))
    layout: Layout = "ragged" if head is not None and shape and _lengths_differ(head) else "dense"
    shape = (None, *shape[1:]) if layout == "ragged" else shape
    dtype = numpy_dtype(leaf)
    if dtype is None:
        return Column(name, _called(storage if shape else leaf), (), "other")
    return column_of(name, dtype, tensor or shape, layout)


def _tensor_shape(type_: Any) -> tuple[int, ...] | None:
    """That of one row, where the type tells it: Arrow's tensors and those of Ray."""
    name = getattr(type_, "extension_name", "")
    known = name == "arrow.fixed_shape_tensor" or name.startswith("ray.data.arrow_tensor")
    return tuple(type_.shape) if known else None


def as_ragged(column: Column) -> Column:
    """The column of lists, to be read as ragged though all at hand may have one length."""
    return column_of(column.name, np.dtype(column.dtype), (None, *column.shape[1:]), "ragged")


def _lengths_differ(lists: Any) -> bool:
    import pyarrow.compute as pc
    import pyarrow.types as t

    if t.is_fixed_size_list(lists.type) or not _is_list(lists.type):
        return False
    ends = pc.min_max(pc.list_value_length(lists)).as_py()
    return bool(ends["min"] != ends["max"])


def _called(type_: Any) -> str:
    text = str(type_)
    return {"large_string": "string", "string_view": "string", "large_binary": "binary"}.get(text, text)


def _shape(type_: Any, head: Any) -> tuple[tuple[int | None, ...], Any]:
    """The shape of one row and the type of its values."""
    import pyarrow.types as t

    if not _is_list(type_):
        return (), type_
    known = None if head is None else _storage_array(_one_chunk(head)).drop_null()
    inner = known.flatten() if known is not None and len(known) else None
    length = type_.list_size if t.is_fixed_size_list(type_) else None
    if length is None and known is not None and len(known):
        length = len(known[0])
    shape, leaf = _shape(type_.value_type, inner)
    return (length, *shape), leaf


def needs_head(type_: Any) -> bool:
    """Whether only rows tell the shape: lists of any length."""
    import pyarrow.types as t

    if _tensor_shape(type_) is not None:
        return False
    type_ = _storage(type_)
    return _is_list(type_) and (not t.is_fixed_size_list(type_) or needs_head(type_.value_type))


def _one_chunk(array: Any) -> Any:
    import pyarrow as pa

    if not isinstance(array, pa.ChunkedArray):
        return array
    if array.num_chunks == 1:
        return array.chunk(0)
    combined: Any = array.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined


def _storage_array(array: Any) -> Any:
    return array.storage if hasattr(array.type, "storage_type") else array


def to_numpy(array: Any, column: Column, place: str, first_row: int = 0) -> np.ndarray:
    """Arrow array -> (n,) or (n, d, ...), masked where it has nulls; `place` and `first_row` are for errors."""
    array = _one_chunk(array)
    if getattr(array.type, "extension_name", "") == "arrow.fixed_shape_tensor" and array.null_count == 0:
        return np.asarray(array.to_numpy_ndarray())  # knows of permuted axes, too
    tensor = _tensor_shape(array.type)
    array = _storage_array(array)
    if tensor is not None and len(tensor) > 1:  # stored as one list of numbers
        flat = Column(column.name, column.dtype, (prod(tensor),), column.kind)
        return to_numpy(array, flat, place, first_row).reshape(len(array), *tensor)
    _, leaf = _shape(array.type, None)
    dtype = numpy_dtype(leaf)
    kind = "other" if dtype is None else column_of("", dtype).kind
    if column.kind not in (kind, "other"):
        expected = f"expected {KIND_NOUNS[column.kind]}, got {_called(array.type)}"
        raise DataError(f"column {quoted([column.name])}: {expected} ({place}). Cast it, or leave it out.")
    if column.kind == "other":
        return TextArray(array) if _is_text(array.type) else _objects(array)  # type: ignore[return-value]
    if column.layout == "ragged":
        return _steps(array, column, place, first_row)  # type: ignore[return-value]  # cut and joined as arrays are
    if _is_list(array.type):
        return _vectors(array, column, place, first_row)
    return _values(array)


class TextArray:
    """Texts as Arrow holds them, under the face of a NumPy array of objects, which they become only where someone asks."""

    ndim = 1
    dtype = np.dtype(object)

    def __init__(self, array: Any) -> None:
        self.array = array

    @classmethod
    def join(cls, parts: Sequence[TextArray]) -> TextArray:
        """One after the other."""
        import pyarrow as pa

        kinds = {str(part.array.type) for part in parts}
        arrays = [part.array if len(kinds) == 1 else part.array.cast(pa.large_string()) for part in parts]
        return cls(_one_chunk(pa.chunked_array(arrays)))

    @property
    def shape(self) -> tuple[int]:
        return (len(self.array),)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice) and at.step in (None, 1):
            start, stop, _ = at.indices(len(self))
            return TextArray(self.array.slice(start, max(0, stop - start)))
        return np.asarray(self)[at]

    def __arrow_array__(self, type: Any = None) -> Any:
        return self.array if type is None else self.array.cast(type)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        objects = _objects(self.array)
        return objects if dtype is None else objects.astype(dtype)

    def tolist(self) -> list[str | None]:
        return list(self.array.to_pylist())

    def __repr__(self) -> str:
        return f"TextArray({len(self)})"


def _is_text(type_: Any) -> bool:
    import pyarrow.types as t

    type_ = type_.value_type if t.is_dictionary(type_) else type_
    return t.is_string(type_) or t.is_large_string(type_) or t.is_string_view(type_)


def _steps(array: Any, column: Column, place: str, first_row: int) -> Ragged:
    """Rows of as many steps as each has; a null row has none, and stays null."""
    import pyarrow.compute as pc

    flat = array.flatten()
    if _is_list(flat.type) and _lengths_differ(flat):
        raise DataError(
            f"column {quoted([column.name])}: expected steps of one shape, got lists of lists of other lengths ({place}). "
            "Flatten them, or pad the inner ones to one length."
        )
    starts = np.zeros(len(array) + 1, np.int64)
    np.cumsum(pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False), out=starts[1:])
    null = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    inner = Column(column.name, column.dtype, column.shape[1:], column.kind)
    return Ragged(starts, to_numpy(flat, inner, place, first_row), null)


def _objects(array: Any) -> np.ndarray:
    result = np.empty(len(array), dtype=object)
    result[:] = array.to_pylist() if _is_list(array.type) else array.to_numpy(zero_copy_only=False)
    return result


def _values(array: Any) -> np.ndarray:
    """Single numbers or times."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if t.is_dictionary(array.type):
        array = array.dictionary_decode()
    if t.is_decimal(array.type) or t.is_null(array.type):
        array = array.cast(pa.float64())
    dtype = numpy_dtype(array.type)
    assert dtype is not None
    times = dtype.kind in "mM"
    if times:  # as the integers that they are
        array = array.cast(pa.int32()) if t.is_date32(array.type) or t.is_time32(array.type) else array
        array = array.cast(pa.int64())
    if array.null_count == 0:
        plain = np.asarray(array.to_numpy(zero_copy_only=False))
        return plain.view(dtype) if times else plain
    mask = array.is_null().to_numpy(zero_copy_only=False)
    zero = pa.scalar(False) if t.is_boolean(array.type) else pa.scalar(0).cast(array.type)
    values = pc.fill_null(array, zero).to_numpy(zero_copy_only=False)
    return np.ma.MaskedArray(values.view(dtype) if times else values, mask)


def _vectors(array: Any, column: Column, place: str, first_row: int) -> np.ndarray:
    """Rows of numbers: flat values and one length."""
    import pyarrow.compute as pc
    import pyarrow.types as t

    valid = (
        np.ones(len(array), dtype=bool) if array.null_count == 0 else array.is_valid().to_numpy(zero_copy_only=False)
    )
    if t.is_fixed_size_list(array.type):
        length = array.type.list_size
    else:
        lengths = pc.list_value_length(array).drop_null().to_numpy(zero_copy_only=False)
        declared = column.shape[0] if column.shape else None
        length = declared if declared is not None else int(lengths[0]) if len(lengths) else 0
        wrong = np.flatnonzero(lengths != length)
        if len(wrong):
            row = first_row + int(np.flatnonzero(valid)[wrong[0]])
            raise DataError(
                f"column {quoted([column.name])}: expected {length} numbers in every row, got {int(lengths[wrong[0]])} "
                f"in row {row} ({place}). Pad the rows or cut them to one length."
            )
    inner = Column(column.name, column.dtype, column.shape[1:], column.kind)
    flat = to_numpy(array.flatten(), inner, place, first_row * length)
    shape = (int(valid.sum()), length, *flat.shape[1:])
    values = flat.reshape(shape)
    if column.shape and prod(values.shape[1:]) == prod(d or 0 for d in column.shape):
        values = values.reshape(len(values), *(d or 0 for d in column.shape))  # a tensor stored as one list
    if valid.all():
        return values
    data = np.zeros((len(valid), *values.shape[1:]), values.dtype)
    mask = np.ones(data.shape, dtype=bool)
    data[valid] = np.ma.getdata(values)
    mask[valid] = np.ma.getmaskarray(values)
    return np.ma.MaskedArray(data, mask)


def from_numpy(array: np.ndarray) -> Any:
    """(n,) -> an Arrow array, (n, d, ...) -> a fixed-size list of them, ragged rows -> a list; what is masked becomes null."""
    import pyarrow as pa

    if isinstance(array, Ragged):
        list_of, offset = (pa.ListArray, pa.int32()) if array.starts[-1] < 1 << 31 else (pa.LargeListArray, pa.int64())
        null = None if array.null is None else pa.array(array.null)
        return list_of.from_arrays(pa.array(array.starts, offset), from_numpy(array.values), mask=null)
    if array.ndim == 1:
        mask = np.ma.getmaskarray(array) if isinstance(array, np.ma.MaskedArray) else None
        return pa.array(np.ma.getdata(array), mask=mask)
    length = array.shape[1]
    flat = from_numpy(array.reshape(-1, *array.shape[2:]))
    if isinstance(array, np.ma.MaskedArray) and array.mask is not np.ma.nomask:
        # A row that is masked throughout is a null row.
        whole: Any = np.ma.getmaskarray(array).reshape(len(array), -1).all(axis=1)
        return pa.FixedSizeListArray.from_arrays(flat, length, mask=pa.array(whole))
    return pa.FixedSizeListArray.from_arrays(flat, length)


@dataclass(frozen=True)
class ArrowTable:
    """A `pyarrow.Table`."""

    table: Any
    columns: tuple[Column, ...]
    name: str

    @property
    def num_rows(self) -> int:
        return int(self.table.num_rows)

    def part(self, start: int, stop: int) -> ArrowTable:
        return ArrowTable(self.table.slice(start, stop - start), self.columns, self.name)

    def read(self, columns: Sequence[Column], first_row: int) -> dict[str, np.ndarray]:
        return {
            column.name: to_numpy(self.table.column(column.name), column, self.name, first_row) for column in columns
        }


def schema_columns(schema: Any, place: str, head: Any = None) -> tuple[Column, ...]:
    """The columns of an Arrow schema; `head` is a table of some first rows or all, for lists."""
    refuse_duplicates(schema.names, place)
    return tuple(
        describe_column(
            field.name, field.type, head.column(field.name) if head is not None and needs_head(field.type) else None
        )
        for field in schema
    )


def table_of(data: Any, name: str) -> ArrowTable:
    """A `pyarrow.Table` or `RecordBatch`."""
    import pyarrow as pa

    table = pa.Table.from_batches([data]) if isinstance(data, pa.RecordBatch) else data
    return ArrowTable(table, schema_columns(table.schema, name, table), name)


def stream_of(data: Any, name: str) -> Any:
    """The `RecordBatchReader` of whatever has `__arrow_c_stream__`."""
    import pyarrow as pa

    if isinstance(data, pa.RecordBatchReader):
        return data
    try:
        return pa.RecordBatchReader.from_stream(data)
    except (pa.ArrowException, TypeError) as error:
        raise DataError(
            f"{name}: expected a stream of tables, got {cell_of(error)}. Pass a table with named columns."
        ) from None


def cell_of(error: BaseException) -> str:
    """The first line of a library's error, at most 200 characters of it, without control characters."""
    lines = str(error).strip().splitlines()
    return cell(lines[0] if lines else type(error).__name__, 200)


def batches_of(reader: Any, columns: Sequence[Column], name: str) -> Iterator[dict[str, np.ndarray]]:
    """The batches of an Arrow stream, each with these columns."""
    row = 0
    for batch in reader:
        yield {column.name: to_numpy(batch.column(column.name), column, name, row) for column in columns}
        row += batch.num_rows


def replace(table: Any, values: Mapping[str, np.ndarray], beside: Mapping[str, str], drop: Sequence[str]) -> Any:
    """A `pyarrow.Table` or `RecordBatch` with other values in these columns."""
    import pyarrow as pa

    result = table
    for name, array in values.items():
        index = result.schema.get_field_index(beside.get(name, name))
        field, column = pa.field(name, from_numpy(array).type), from_numpy(array)
        result = (
            result.add_column(index + 1, field, column) if name in beside else result.set_column(index, field, column)
        )
    return result.select([name for name in result.schema.names if name not in drop]) if drop else result
