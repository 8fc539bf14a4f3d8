"""The forms in which one column's values may come: plain arrays, sparse matrices, tensors, ragged tensors.

The one law: `like(x, read(x))` is x, of the same class. A library is imported only for its own objects.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfnorm.sources.frames import library
from tfnorm.sources.stored import Ragged, Sparse, Stored


def is_stored(data: Any) -> bool:
    """Whether not every place of it holds a value, by form: sparse or ragged."""
    if isinstance(data, Stored):
        return True
    root = library(data)
    if root == "scipy":
        from tfnorm.sources import scipy

        return scipy.is_sparse(data)
    return root == "tensorflow" and type(data).__name__ in ("SparseTensor", "RaggedTensor")


def read(data: Any, column: str | None = None) -> Any:
    """As a batch holds it: an array, or one of `sources.stored`."""
    if isinstance(data, Stored):
        return data
    if is_stored(data):
        if library(data) == "scipy":
            from tfnorm.sources import scipy

            return scipy.read(data, column)
        from tfnorm.sources import tensorflow

        return tensorflow.read(data, column)
    from tfnorm.sources import arrays

    return arrays.numbers(data, column)


def like(data: Any, values: Any) -> Any:
    """Values in the form of `data`, if that was sparse or ragged; arrays are as they are."""
    if not isinstance(values, (Sparse, Ragged)) or isinstance(data, Stored):
        return values
    if library(data) == "scipy" and isinstance(values, Sparse):
        from tfnorm.sources import scipy

        return scipy.like(data, values)
    if library(data) == "tensorflow":
        from tfnorm.sources import tensorflow

        return tensorflow.like(data, values)
    return values


def as_batch_column(value: Any, column: str) -> np.ndarray:
    """What a stream's batch holds of a column."""
    from tfnorm.sources.columns import delivered

    return delivered(read(value, column) if is_stored(value) else value)
