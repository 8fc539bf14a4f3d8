"""What `adapt` is given, as rows.

The one law: the statistics are those of all values that came, however they were cut into batches.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tfnorm.errors import DataError
from tfnorm.maps import Shape
from tfnorm.sources import BARE, open_source, paths
from tfnorm.sources.columns import quoted
from tfnorm.sources.frames import column_names, is_frame, is_series, library, read_columns

_BATCH = 32  # rows, where steps are counted and nobody said how large they are: as Keras has it
_EXAMPLES = 128


class BatchError(DataError, TypeError):
    """A batch that is none: a TypeError, as Keras raises it."""


@dataclass(frozen=True)
class Given:
    """Data for `adapt`, looked at but not read."""

    shape: Any  # of a batch: of the one array, or by column
    read: Callable[[Callable[[Any], Any]], Any]  # with what is done to each array -> what `Running.update` takes


def given(data: Any, batch_size: int | None, steps: int | None, *, by_name: bool) -> Given:
    """by_name: whether a table is taken by column, not as one array."""
    if isinstance(data, tuple) and _is_x_y(data):
        data = data[0]
    if is_series(data) or (is_frame(data) and not by_name):
        data = _matrix(data)
    if paths.is_path(data) or is_frame(data) or _is_stored(data):
        return _of_source(data)
    if isinstance(data, Mapping):
        rows = None if steps is None else steps * (batch_size or _BATCH)
        named = {str(name): value if rows is None else value[:rows] for name, value in data.items()}
        return Given({name: np.shape(value) for name, value in named.items()}, lambda _: named)
    if hasattr(data, "element_spec"):
        return _of_dataset(data, batch_size, steps)
    if isinstance(data, keras.utils.PyDataset):
        number = len(data) if steps is None else min(steps, len(data))
        return _of_batches((data[i] for i in range(number)), None)
    if hasattr(data, "shape") and hasattr(data, "dtype"):
        return _of_array(data, batch_size, steps)
    if isinstance(data, list | tuple) and len(data) and not _is_batch(data[0]):
        return _of_array(np.asarray(data), batch_size, steps)
    if isinstance(data, Iterable):
        return _of_batches(data, steps)
    return _of_source(data)


def _of_source(data: Any) -> Given:
    source = open_source(data)
    shapes = {column.name: (None, *column.shape) for column in source.columns}
    return Given(shapes[BARE] if source.bare else shapes, lambda _: source)


def _of_array(data: Any, batch_size: int | None, steps: int | None) -> Given:
    array = data if isinstance(data, np.ndarray) else np.asarray(keras.ops.convert_to_numpy(data))
    if not array.ndim:
        raise DataError("adapt: expected rows, got a single value. Pass an array of shape (n,) or (n, d).")
    rows = array if steps is None else array[: steps * (batch_size or _BATCH)]
    return Given(rows.shape, lambda as_rows: as_rows(rows))


def _of_dataset(data: Any, batch_size: int | None, steps: int | None) -> Given:
    """Elements are batches; vectors of a known length are rows without their batch, as Keras takes them."""

    def x(element: Any) -> Any:
        return element[0] if isinstance(element, tuple) else element

    spec = x(data.element_spec)
    if not isinstance(spec, Mapping) and spec.shape.rank in (0, 1) and spec.shape.is_fully_defined():
        data = data.batch(batch_size or _EXAMPLES)
        spec = x(data.element_spec)
    if steps is not None:
        data = data.take(steps)
    if isinstance(spec, Mapping):
        return Given({str(name): tuple(one.shape) for name, one in spec.items()}, lambda _: data)
    shape: Shape = tuple(spec.shape)
    if type(spec).__name__ != "TensorSpec" or len(shape) == 1:
        return Given(shape, lambda _: data)
    return Given(shape, lambda as_rows: (as_rows(x(element)) for element in data.prefetch(2).as_numpy_iterator()))


def _of_batches(batches: Iterable[Any], steps: int | None) -> Given:
    iterator = itertools.islice(iter(batches), steps)
    first = next(iterator, None)
    if first is None:
        raise DataError("adapt() received an empty iterable: expected at least one batch. Pass rows.")
    first = first[0] if isinstance(first, tuple) else first
    if isinstance(first, Mapping):
        return Given({str(name): np.shape(one) for name, one in first.items()}, lambda _: _chained(first, iterator))
    if is_frame(first):
        shape: Any = dict.fromkeys(column_names(first), (None,))
        return Given(shape, lambda _: _chained(first, iterator))
    if not _is_batch(first):
        raise BatchError(
            f"adapt: expected batches, arrays with a `.shape` such as (n, d), got {type(first).__name__}. "
            "Put single examples together first."
        )
    return Given(tuple(first.shape), lambda as_rows: map(as_rows, _chained(first, iterator)))


def _chained(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    return itertools.chain([first], (one[0] if isinstance(one, tuple) else one for one in rest))


def _is_batch(value: Any) -> bool:
    if isinstance(value, tuple):
        return len(value) > 0 and _is_batch(value[0])
    return isinstance(value, Mapping) or is_frame(value) or len(getattr(value, "shape", ())) > 0


def _is_x_y(data: tuple[Any, ...]) -> bool:
    """Whether it is (x, y) or (x, y, weight) and not batches: as many rows each, which differ in shape."""
    if not 2 <= len(data) <= 3 or not all(one is None or len(getattr(one, "shape", ())) for one in data[1:]):
        return False
    if isinstance(data[0], Mapping) or is_frame(data[0]):
        return True
    shapes = [tuple(one.shape) for one in data if hasattr(one, "shape")]
    return len({shape[0] for shape in shapes}) == 1 and len({shape[1:] for shape in shapes}) > 1


def _is_stored(data: Any) -> bool:
    """Sparse and ragged rows, and what else tells its own columns."""
    return library(data) == "scipy" or hasattr(data, "with_values") or hasattr(data, "flat_values")


def _matrix(data: Any) -> np.ndarray:
    """The columns of a table side by side, as Keras takes a table for one array."""
    if is_series(data):
        return np.asarray(data)
    names = column_names(data)
    columns = read_columns(data, names)
    wrong = [name for name in names if columns[name].dtype.kind not in "biuf"]
    if wrong:
        raise DataError(f"adapt: columns {quoted(wrong)} hold no numbers. Leave them out, or cast them.")
    return np.stack([np.ma.filled(columns[name].astype(np.float64), np.nan) for name in names], axis=1)
