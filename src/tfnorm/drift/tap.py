"""A tap in a `tf.data` pipeline. The only file of the package that loads TensorFlow.

The one law: the dataset that comes out has the elements, the order, the spec and the cardinality of the one that went in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfnorm.errors import DataError


def tapped(dataset: Any, take: Callable[[Any], None]) -> Any:
    """The same dataset; `take` is called with the features of every element, in NumPy, before it is handed on."""
    import tensorflow as tf

    from tfnorm.sources.tensorflow import read

    if not isinstance(dataset, tf.data.Dataset):
        raise DataError(
            f"expected a tf.data.Dataset, got {type(dataset).__name__}. Feed other batches by watch.update(batch)."
        )
    whole = dataset.element_spec
    spec = whole[0] if isinstance(whole, tuple) else whole
    kinds = (tf.TensorSpec, tf.SparseTensorSpec, tf.RaggedTensorSpec)
    leaves = tf.nest.flatten(spec)
    if not all(isinstance(one, kinds) for one in leaves) or any(one.shape.rank == 0 for one in leaves):
        raise DataError(f"expected batches of tensors, got {spec}. Batch the examples first: watch(dataset.batch(32)).")
    dense = all(isinstance(one, tf.TensorSpec) for one in leaves)

    def in_numpy(part: Any) -> Any:
        return read(part) if isinstance(part, (tf.SparseTensor, tf.RaggedTensor)) else part.numpy()

    def looked_at(*arrays: np.ndarray) -> np.int64:
        if dense:
            take(tf.nest.pack_sequence_as(spec, arrays))
        else:
            tensors = [tf.constant(array) for array in arrays]
            take(tf.nest.map_structure(in_numpy, tf.nest.pack_sequence_as(spec, tensors, expand_composites=True)))
        return np.int64(0)

    def passed_on(*element: Any) -> Any:
        came = element if isinstance(whole, tuple) else element[0]
        features = came[0] if isinstance(whole, tuple) else came
        seen = tf.numpy_function(looked_at, tf.nest.flatten(features, expand_composites=True), tf.int64)
        with tf.control_dependencies([seen]):
            return tf.nest.map_structure(tf.identity, came, expand_composites=True)

    return dataset.map(passed_on)  # one after the other, so in their order
