"""tf.data datasets and tensors. The only file of the sources that imports TensorFlow, and only for TensorFlow's own
objects.

The one law: what a dataset's `element_spec` says is not read to be found out. Elements of rank 1 and more are taken
for batches, as Keras takes them, unless the spec shows that they are not (a scalar among them, or lengths that
differ); those that are single examples are batched here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources import BARE, WEIGHT, Column, Source
from tfnorm.sources.arrays import open_array
from tfnorm.sources.arrow import cell_of
from tfnorm.sources.columns import Layout, column_like, column_of, quoted, row_bytes, weight_column
from tfnorm.sources.stored import Ragged, Sparse
from tfnorm.sources.streams import StreamSource, named, parts, read_raw

_NAME = "tf.data.Dataset"
_EXAMPLES = 8192
_BATCH_BYTES = 1 << 19  # with larger batches TensorFlow was measured to take twice as long now and then
_FEW_ROWS = 64


def open_tensorflow(data: Any, *, weight: Any = None) -> Source:
    """A `tf.data.Dataset` or a tensor, dense, sparse or ragged."""
    import tensorflow as tf

    if isinstance(data, tf.data.Dataset):
        return open_dataset(data, weight=weight)
    if isinstance(data, (tf.RaggedTensor, tf.SparseTensor)):
        return open_array(read(data), weight=weight, name=f"tf.{type(data).__name__}")
    if isinstance(data, tf.Variable) or (isinstance(data, tf.Tensor) and hasattr(data, "numpy")):
        return open_array(data.numpy(), weight=weight, name="tf.Tensor")
    raise DataError(
        f"{type(data).__name__}: expected a tf.data.Dataset or a tensor with values. Pass one of these, or arrays."
    )


def read(data: Any, column: str | None = None) -> Sparse | Ragged:
    """The rows of a SparseTensor of rank 1 or 2, or of a RaggedTensor whose steps are numbers or arrays of one shape."""
    import tensorflow as tf

    where = f"tf.{type(data).__name__}" if column is None else f"column {quoted([column])}"
    if isinstance(data, tf.SparseTensor):
        if data.shape.rank not in (1, 2):
            raise DataError(f"{where}: expected a sparse tensor (n, d), got shape {data.shape}. Reshape it.")
        rows, *places = np.asarray(data.indices).T
        shape = tuple(int(length) for length in np.asarray(data.dense_shape))
        return Sparse.of_coo(rows, places[0] if places else np.zeros_like(rows), np.asarray(data.values), shape)
    starts = np.asarray(data.row_splits, np.int64)
    for splits in data.nested_row_splits[1:]:
        starts = np.asarray(splits, np.int64)[starts]
    return Ragged(starts, np.asarray(data.flat_values), depth=int(data.ragged_rank))


def like(data: Any, rows: Sparse | Ragged) -> Any:
    """The rows as a SparseTensor, or as a RaggedTensor with the steps of `data`."""
    import tensorflow as tf

    if isinstance(rows, Ragged):
        return data.with_flat_values(tf.convert_to_tensor(rows.values))
    places = [rows.rows] if rows.scalar else [rows.rows, rows.places]
    return tf.SparseTensor(np.stack(places, axis=1).astype(np.int64), rows.values, data.dense_shape)


def _in_numpy(spec: Any, part: Any) -> Any:
    """A part of an element: a tensor of any kind."""
    if type(part).__name__ in ("SparseTensor", "RaggedTensor"):
        return read(part)
    return Ragged.of_padded(part.numpy()) if _is_padded(spec) else part.numpy()


def _is_padded(spec: Any) -> bool:
    """Whether each batch may have another number of steps: vectors of them, or a mask of them."""
    if type(spec).__name__ != "TensorSpec" or (spec.shape.rank or 0) < 2 or spec.shape[1] is not None:
        return False
    return bool(spec.shape[2:].is_fully_defined() if spec.shape.rank > 2 else spec.dtype.is_bool)


def open_dataset(dataset: Any, *, weight: Any = None) -> StreamSource:
    """A dataset of x, (x, y), (x, y, weight), where x is a tensor or a mapping of tensors, dense, sparse or ragged."""
    import tensorflow as tf

    if int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise DataError(f"{_NAME}: it never ends. Pass `dataset.take(...)`, or the dataset before `.repeat()`.")
    features, _ = parts(dataset.element_spec, weight is True, 0, _NAME)
    specs = dict(features) if isinstance(features, Mapping) else {BARE: features}
    known = (tf.TensorSpec, tf.SparseTensorSpec, tf.RaggedTensorSpec)
    wrong = [str(name) for name, spec in specs.items() if not isinstance(spec, known)]
    if wrong:
        kinds = ", ".join(
            dict.fromkeys(type(specs[name]).__name__.removesuffix("Spec") for name in specs if str(name) in wrong)
        )
        raise DataError(
            f"{_NAME}, column {quoted(wrong)}: expected tensors, got {kinds}. Make them dense with `.map(...)` first."
        )
    if _are_examples(tf.nest.flatten(dataset.element_spec)):
        dataset = batched(dataset)
    columns = _columns(dataset)
    key: str | None = None
    if weight is True:
        key = WEIGHT
    elif isinstance(weight, str):
        key = weight_column(columns, weight, _NAME).name
    elif weight is not None and weight is not False:
        raise DataError(
            f"weight: expected True (for (x, y, weight) elements) or a column's name, got {type(weight).__name__}."
        )
    bare = not isinstance(features, Mapping)

    def read(wanted: Sequence[Column]) -> Iterator[dict[str, np.ndarray]]:
        batches = dataset
        rows = _BATCH_BYTES // max(1, row_bytes(columns))
        if rows >= _FEW_ROWS and _can_be_cut(tf.nest.flatten(dataset.element_spec)):
            batches = dataset.rebatch(rows)  # sooner done by TensorFlow than many small batches are taken by Python
        try:
            yield from read_raw(_elements(batches.prefetch(2)), wanted, key, _NAME)
        except tf.errors.OpError as error:
            raise DataError(f"{_NAME}: reading it failed: {cell_of(error)}") from error

    return StreamSource(_NAME, columns, bare, key, True, read, True)


def batched(examples: Any) -> Any:
    """Examples as batches."""
    return examples.batch(_EXAMPLES)


def _elements(dataset: Any) -> Iterator[Any]:
    """Its elements in NumPy, and in `sources.stored` where they are sparse, ragged, or padded batch by batch."""
    import tensorflow as tf

    specs = dataset.element_spec
    if all(isinstance(spec, tf.TensorSpec) and not _is_padded(spec) for spec in tf.nest.flatten(specs)):
        return dataset.as_numpy_iterator()
    return (tf.nest.map_structure(_in_numpy, specs, element) for element in dataset)


def _are_examples(specs: Sequence[Any]) -> bool:
    """Whether the elements cannot be batches: a single value or the steps of one row among them, or first lengths that differ."""
    shapes = [spec.shape for spec in specs if getattr(spec, "shape", None) is not None and spec.shape.rank is not None]
    lengths = {shape[0] for shape in shapes if shape.rank > 0}
    if any(getattr(spec, "ragged_rank", 1) == 0 for spec in specs):  # a slice of a ragged tensor
        return True
    if any(type(spec).__name__ == "SparseTensorSpec" and spec.shape.rank == 1 for spec in specs):  # and of a sparse one
        return True
    return any(shape.rank == 0 for shape in shapes) or (None not in lengths and len(lengths) > 1)


def _can_be_cut(specs: Sequence[Any]) -> bool:
    """Whether all parts are dense and of a shape that is known, but for the first length."""
    shapes = [getattr(spec, "shape", None) for spec in specs if type(spec).__name__ == "TensorSpec"]
    return len(shapes) == len(specs) and all(
        shape is not None and shape.rank is not None and shape[1:].is_fully_defined() for shape in shapes
    )


def _columns(dataset: Any) -> tuple[Column, ...]:
    """From the spec; where that leaves a shape open, from the first batch."""
    features, _ = parts(dataset.element_spec, False, 0, _NAME)
    specs = dict(features) if isinstance(features, Mapping) else {BARE: features}
    if any(not spec.shape[1:].is_fully_defined() for spec in specs.values()):
        first = next(iter(_elements(dataset.take(1))), None)
        if first is None:
            raise DataError(f"{_NAME}: it has no batches. Statistics need at least one row.")
        arrays = named(parts(first, False, 0, _NAME)[0], None, 0, _NAME)
        return tuple(column_like(name, array) for name, array in arrays.items())
    return tuple(_column(str(name), spec) for name, spec in specs.items())


def _column(name: str, spec: Any) -> Column:
    if spec.dtype.name == "string":
        return Column(name, "string", tuple(spec.shape[1:]), "other")
    layout: Layout = "sparse" if type(spec).__name__ == "SparseTensorSpec" else "dense"
    return column_of(name, np.dtype(spec.dtype.as_numpy_dtype), tuple(spec.shape[1:]), layout)
