"""Arrays written to `.npy` files.

The one law: the file is the column, bit for bit; its header says how many rows there are once all are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources.arrow import describe_column, to_numpy
from tfnorm.sources.columns import quoted


class Writer:
    """A file of one array that grows by batches; null, which it does not have, is written as NaN."""

    def __init__(self, path: Path, schema: Any, **_: Any) -> None:
        if len(schema.names) != 1:
            raise DataError(
                f"{path.name}: a .npy file holds one array, and there are the columns {quoted(schema.names)}. "
                "Write Parquet or Arrow."
            )
        self._name = schema.names[0]
        self._file = path.open("w+b")
        self._rows, self._dtype, self._shape = 0, np.dtype(np.float64), tuple[int, ...]()
        self._begun = False

    def write(self, columns: Sequence[Any]) -> None:
        """One more batch."""
        (column,) = columns
        described = describe_column(self._name, column.type, column)
        if described.kind == "other" or described.layout == "ragged":
            raise DataError(
                f"column {quoted([self._name])}: a .npy file holds numbers, got {described.dtype}"
                f"{' rows of other lengths' if described.layout == 'ragged' else ''}. Write Parquet."
            )
        array = to_numpy(column, described, self._name)
        if isinstance(array, np.ma.MaskedArray):
            if array.dtype.kind != "f":
                raise DataError(
                    f"column {quoted([self._name])}: a .npy file holds no null among {array.dtype.name}. Write Parquet."
                )
            array = array.filled(np.nan)
        if not self._begun:
            self._dtype, self._shape, self._begun = array.dtype, array.shape[1:], True
            self._header()
        self._file.write(np.ascontiguousarray(array, self._dtype).data)
        self._rows += len(array)

    def _header(self) -> None:
        """NumPy leaves room in it for as long a number of rows as there can be."""
        said = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(self._file, said | {"shape": (self._rows, *self._shape)})

    def close(self) -> None:
        self._file.seek(0)
        self._header()
        self._file.close()
