"""Running a SavedModel as a server does: by its signature.

The one law: what `serving_default` gives for named tensors is what a client gets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.exits.rows import Rows


def opened(path: Path) -> Any:
    """(types of the inputs by name, function of arrays by name)."""
    import tensorflow as tf

    try:
        model = tf.saved_model.load(str(path))
        signature = model.signatures["serving_default"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: is no SavedModel with a signature serving_default: {str(error)[:300]}.") from None
    specs = signature.structured_input_signature[1]
    inputs = {name: "str" if spec.dtype == tf.string else spec.dtype.name for name, spec in specs.items()}

    def run(rows: Rows, *, _keep: Any = model) -> Rows:  # the signature does not keep the model's variables alive
        tensors = {
            name: tf.constant(values.tolist() if inputs[name] == "str" else values) for name, values in rows.items()
        }
        return {name: np.asarray(value) for name, value in signature(**tensors).items()}

    return inputs, run
