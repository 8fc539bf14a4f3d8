"""pandas tables. The only file that imports pandas, and only once there is a table of it.

The one law: rows first, then columns: a column nobody asked for is never touched, and none is converted as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources import BARE, Column
from tfnorm.sources.arrow import cell_of, describe_column, to_numpy
from tfnorm.sources.columns import column_of, delivered, quoted, refuse_duplicates
from tfnorm.sources.stored import Ragged

_NAME = "pandas.DataFrame"


@dataclass(frozen=True)
class PandasTable:
    """A `pandas.DataFrame`; its columns go by `str` of their names."""

    frame: Any
    columns: tuple[Column, ...]

    @property
    def num_rows(self) -> int:
        return len(self.frame)

    def part(self, start: int, stop: int) -> PandasTable:
        return PandasTable(self.frame.iloc[start:stop], self.columns)

    def read(self, columns: Sequence[Column], first_row: int) -> dict[str, np.ndarray]:
        place = {column.name: position for position, column in enumerate(self.columns)}
        return {column.name: _read(self.frame.iloc[:, place[column.name]], column, first_row) for column in columns}


def table_of(frame: Any) -> PandasTable:
    """The table of a frame, or of a series: one column, named BARE where it has no name."""
    import pandas as pd

    if isinstance(frame, pd.Series):
        frame = frame.to_frame(BARE if frame.name is None else frame.name)
    names = [str(name) for name in frame.columns]
    refuse_duplicates(names, _NAME)
    return PandasTable(frame, tuple(_describe(name, frame.iloc[:, position]) for position, name in enumerate(names)))


def _describe(name: str, series: Any) -> Column:
    import pandas as pd

    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    if isinstance(dtype, pd.SparseDtype):
        dtype = dtype.subtype
    if isinstance(dtype, pd.ArrowDtype):
        return describe_column(name, dtype.pyarrow_dtype, _arrow(series))
    if isinstance(dtype, pd.DatetimeTZDtype):
        return column_of(name, np.dtype(f"datetime64[{dtype.unit}]"))
    if _is_object(dtype):
        return _describe_objects(name, series)
    if isinstance(dtype, np.dtype):
        return column_of(name, dtype)
    if isinstance(dtype, pd.StringDtype):
        return Column(name, "string", (), "other")
    numeric = getattr(dtype, "numpy_dtype", None)  # the masked ones: Int64, Float32, boolean
    return Column(name, str(dtype), (), "other") if numeric is None else column_of(name, np.dtype(numeric))


def _is_object(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind == "O"


def _describe_objects(name: str, series: Any) -> Column:
    """Python objects may be lists or decimals: the first rows tell, or the first value where those are missing."""
    import pyarrow as pa

    head = series.iloc[:1024]
    if head.isna().all():
        first = series.first_valid_index()
        if first is None:
            return column_of(name, np.dtype(np.float64)) if len(series) else Column(name, "object", (), "other")
        start = int(np.argmax(series.notna().to_numpy()))
        head = series.iloc[start : start + 1]
    try:
        array = _arrow(head)
    except pa.ArrowException:
        return Column(name, "object", (), "other")
    return describe_column(name, array.type, array)


def _arrow(series: Any) -> Any:
    import pyarrow as pa

    return pa.array(
        series.array if hasattr(series.dtype, "pyarrow_dtype") else series.to_numpy(),
        from_pandas=_is_object(series.dtype),
    )


def _read(series: Any, column: Column, first_row: int) -> np.ndarray:
    import pandas as pd
    import pyarrow as pa

    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype) and column.kind != "other":
        return _categories(series, column, first_row)
    if isinstance(dtype, pd.SparseDtype):
        return delivered(series.array.to_dense())
    if isinstance(dtype, pd.DatetimeTZDtype):
        return np.asarray(series.dt.tz_convert(None).to_numpy())
    if isinstance(dtype, np.dtype) and not _is_object(dtype):
        return delivered(series.to_numpy())
    if isinstance(dtype, pd.ArrowDtype) or (_is_object(dtype) and column.kind != "other"):
        try:
            array = _arrow(series)
        except pa.ArrowException as error:
            raise DataError(
                f"column {quoted([column.name])}: expected values of one type, got {cell_of(error)} "
                f"in rows {first_row} to {first_row + len(series) - 1} ({_NAME}). Cast it, or leave it out."
            ) from None
        return to_numpy(array, column, _NAME, first_row)
    if column.kind == "other":
        return np.asarray(series.to_numpy(dtype=object))
    mask = series.isna().to_numpy()
    values = series.to_numpy(dtype=np.dtype(column.dtype), na_value=0)
    return np.ma.MaskedArray(values, mask) if mask.any() else values


def _categories(series: Any, column: Column, first_row: int) -> np.ndarray:
    """Categories that are numbers, as the numbers."""
    codes = series.cat.codes.to_numpy()
    kinds = _read(series.cat.categories.to_series(), column, first_row)
    values: np.ndarray = kinds[np.maximum(codes, 0)] if len(kinds) else np.zeros(len(codes), column.dtype)
    return np.ma.MaskedArray(values, codes < 0) if (codes < 0).any() else values


def replace(frame: Any, values: Mapping[str, np.ndarray], beside: Mapping[str, str], drop: Sequence[str]) -> Any:
    """The frame with other values in these columns; index, order and all other columns stay as they are."""
    names = {str(name): name for name in frame.columns}
    result = frame.copy(deep=False)
    for name, array in values.items():
        old = names[beside.get(name, name)]
        if name in beside:
            result.insert(result.columns.get_loc(old) + 1, name, _series(frame[old], array))
        else:
            result[old] = _series(frame[old], array)
    return result.drop(columns=[names[name] for name in drop]) if drop else result


def _objects(rows: Ragged) -> np.ndarray:
    """An array a row, None where the row is null; null steps as NaN."""
    values = rows.values
    if np.ma.is_masked(values):
        values = np.ma.filled(values.astype(np.result_type(values, np.float32)), np.nan)
    result = np.empty(len(rows), dtype=object)
    for row, (start, stop) in enumerate(pairwise(rows.starts.tolist())):
        result[row] = None if rows.null is not None and rows.null[row] else np.asarray(values[start:stop])
    return result


def _series(old: Any, array: np.ndarray) -> Any:
    """A series of these values of the old one's kind: NumPy's with NaN for null, or one that has nulls."""
    import pandas as pd

    if isinstance(array, Ragged) and not isinstance(old.dtype, pd.ArrowDtype):
        return pd.Series(_objects(array), index=old.index, dtype=object)
    if not isinstance(array, Ragged) and array.ndim > 1:
        rows = np.empty(len(array), dtype=object)
        data = (
            np.ma.filled(array.astype(np.result_type(array, np.float32)), np.nan)
            if np.ma.is_masked(array)
            else np.asarray(array)
        )
        for row, vector in enumerate(data):
            rows[row] = vector
        return pd.Series(rows, index=old.index, dtype=object)
    if isinstance(old.dtype, pd.ArrowDtype):
        from tfnorm.sources.arrow import from_numpy

        converted = from_numpy(array)
        return pd.Series(pd.arrays.ArrowExtensionArray(converted), index=old.index)
    if hasattr(old.dtype, "numpy_dtype") and array.dtype.kind in "biuf":
        nullable = pd.array(np.ma.getdata(array)).dtype
        series = pd.Series(pd.array(np.ma.getdata(array), dtype=nullable), index=old.index)
        return series.mask(np.ma.getmaskarray(array)) if np.ma.is_masked(array) else series
    if np.ma.is_masked(array):
        floats = array if array.dtype.kind == "f" else array.astype(np.float64)
        return pd.Series(np.ma.filled(floats, np.nan), index=old.index)
    return pd.Series(np.ma.getdata(array), index=old.index)
