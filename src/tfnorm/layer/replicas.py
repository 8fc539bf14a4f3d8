"""What several replicas of a model that run in step know of each other.

The one law: what is gathered of the rows of all replicas is what one device would gather of the same batch; and what one device
takes, several take.
"""

from __future__ import annotations

from typing import Any

import keras

Tensor = Any


def of_all_replicas(x: Tensor) -> Tensor:
    """The rows of all replicas that run this step, in their order, where several do (`tf.distribute`); else x itself."""
    if keras.backend.backend() != "tensorflow":
        return x
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return x
    rows = tf.convert_to_tensor(x)
    return tf.ensure_shape(replica.all_gather(rows, axis=0), (None, *rows.shape[1:]))


def let_texts_through() -> None:
    """Under a strategy: its `reduce` gives the first replica's of texts, where it would fail.

    Keras takes the mean of a first batch to see its shapes, and a sum of texts is none: no model with an input of texts could
    be trained. What could be reduced before is reduced as before.
    """
    import tensorflow as tf

    if not tf.distribute.has_strategy():
        return
    strategy = tf.distribute.get_strategy()
    plain = strategy.reduce
    if getattr(plain, "lets_texts_through", False):
        return

    def reduce(reduce_op: Any, value: Any, axis: int | None = None) -> Any:
        locals_ = [strategy.experimental_local_results(one)[0] for one in tf.nest.flatten(value)]
        if all(getattr(one, "dtype", None) != tf.string for one in locals_):
            return plain(reduce_op, value, axis)
        reduced = [
            first if getattr(first, "dtype", None) == tf.string else plain(reduce_op, one, axis)
            for one, first in zip(tf.nest.flatten(value), locals_, strict=True)
        ]
        return tf.nest.pack_sequence_as(value, reduced)

    reduce.lets_texts_through = True  # type: ignore[attr-defined]
    strategy.reduce = reduce
