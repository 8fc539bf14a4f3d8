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
from tfnorm.sources.columns import column_of, quoted, row_bytes, weight_column
from tfnorm.sources.streams import StreamSource, named, parts, read_raw

_NAME = "tf.data.Dataset"
_EXAMPLES = 8192
_BATCH_BYTES = 1 << 19  # with larger batches TensorFlow was measured to take twice as long now and then
_FEW_ROWS = 64


def open_tensorflow(data: Any, *, weight: Any = None) -> Source:
    """A `tf.data.Dataset` or a tensor."""
    import tensorflow as tf

    if isinstance(data, tf.data.Dataset):
        return open_dataset(data, weight=weight)
    if isinstance(data, (tf.RaggedTensor, tf.SparseTensor)):
        raise DataError(
            f"tf.{type(data).__name__}: expected rows of one length. Pass `.to_tensor()` or `tf.sparse.to_dense(...)`."
        )
    if isinstance(data, tf.Variable) or (isinstance(data, tf.Tensor) and hasattr(data, "numpy")):
        return open_array(data.numpy(), weight=weight, name="tf.Tensor")
    raise DataError(
        f"{type(data).__name__}: expected a tf.data.Dataset or a tensor with values. Pass one of these, or arrays."
    )


def open_dataset(dataset: Any, *, weight: Any = None) -> StreamSource:
    """A dataset of x, (x, y), (x, y, weight), where x is a tensor or a mapping of tensors."""
    import tensorflow as tf

    if int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise DataError(f"{_NAME}: it never ends. Pass `dataset.take(...)`, or the dataset before `.repeat()`.")
    features, _ = parts(dataset.element_spec, weight is True, 0, _NAME)
    specs = dict(features) if isinstance(features, Mapping) else {BARE: features}
    wrong = [str(name) for name, spec in specs.items() if not isinstance(spec, tf.TensorSpec)]
    if wrong:
        kinds = ", ".join(
            dict.fromkeys(type(specs[name]).__name__.removesuffix("Spec") for name in specs if str(name) in wrong)
        )
        raise DataError(
            f"{_NAME}, column {quoted(wrong)}: expected dense tensors, got {kinds}. "
            "Make them dense with `.map(...)` first."
        )
    if _are_examples(tf.nest.flatten(dataset.element_spec)):
        dataset = dataset.batch(_EXAMPLES)
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
            yield from read_raw(batches.prefetch(2).as_numpy_iterator(), wanted, key, _NAME)
        except tf.errors.OpError as error:
            raise DataError(f"{_NAME}: reading it failed: {cell_of(error)}") from error

    return StreamSource(_NAME, columns, bare, key, True, read, True)


def _are_examples(specs: Sequence[Any]) -> bool:
    """Whether the elements cannot be batches: a single value among them, or first lengths that differ."""
    shapes = [spec.shape for spec in specs if getattr(spec, "shape", None) is not None and spec.shape.rank is not None]
    lengths = {shape[0] for shape in shapes if shape.rank > 0}
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
        first = next(iter(dataset.take(1).as_numpy_iterator()), None)
        if first is None:
            raise DataError(f"{_NAME}: it has no batches. Statistics need at least one row.")
        arrays = named(parts(first, False, 0, _NAME)[0], None, 0, _NAME)
        return tuple(column_of(name, array.dtype, array.shape[1:]) for name, array in arrays.items())
    return tuple(_column(str(name), spec) for name, spec in specs.items())


def _column(name: str, spec: Any) -> Column:
    if spec.dtype.name == "string":
        return Column(name, "string", tuple(spec.shape[1:]), "other")
    return column_of(name, np.dtype(spec.dtype.as_numpy_dtype), tuple(spec.shape[1:]))
