"""SciPy's sparse matrices and arrays. The only file that imports SciPy, and only once there is one of its objects.

The one law: what goes back is of the class and format that came.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources.stored import Sparse

_FORMATS = ("csr", "csc", "coo", "bsr", "dia", "dok", "lil")


def is_sparse(data: Any) -> bool:
    """Whether it is a sparse matrix or array of SciPy."""
    return str(getattr(data, "format", "")) in _FORMATS and callable(getattr(data, "tocoo", None))


def name_of(data: Any) -> str:
    """`scipy.sparse.csr_array`, for people."""
    return f"scipy.sparse.{type(data).__name__}"


def read(data: Any, column: str | None = None) -> Sparse:
    """Its rows, in the order of the places; a CSR matrix in order shares its memory."""
    where = name_of(data) if column is None else f'column "{column}"'
    if len(data.shape) > 2 or data.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: expected a sparse matrix of numbers, (n, d), got {data.dtype.name} of shape {data.shape}. "
            "Reshape or cast it."
        )
    if data.format == "csr" and len(data.shape) == 2 and data.has_canonical_format:
        return Sparse(data.indptr.astype(np.int64), data.indices, data.data, int(data.shape[1]))
    coordinates = data.tocoo()
    rows, *places = coordinates.coords if hasattr(coordinates, "coords") else (coordinates.row, coordinates.col)
    column_of = places[0] if places else np.zeros_like(rows)
    return Sparse.of_coo(rows.astype(np.int64), column_of, coordinates.data, tuple(map(int, data.shape)))


def like(data: Any, rows: Sparse) -> Any:
    """The rows as an object of the class and format of `data`."""
    import scipy.sparse

    shape = data.shape
    if data.format == "csr" and len(shape) == 2:
        return type(data)((rows.values, rows.places.astype(np.int64), rows.starts), shape=shape)
    if len(shape) == 1:
        return scipy.sparse.coo_array((rows.values, (rows.rows,)), shape=shape).asformat(data.format)
    make = scipy.sparse.coo_array if isinstance(data, scipy.sparse.sparray) else scipy.sparse.coo_matrix
    return make((rows.values, (rows.rows, rows.places)), shape=shape).asformat(data.format)
