"""What several replicas of a model that run in step know of each other.

The one law: what is gathered of the rows of all replicas is what one device would gather of the same batch.
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
