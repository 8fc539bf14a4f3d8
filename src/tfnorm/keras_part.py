"""The one place that loads Keras: everything that needs it is imported here, when it is asked for."""

from __future__ import annotations

from typing import Any


def keras_part() -> Any:
    """The module with the layer. All that saved models may hold is registered then."""
    try:
        import tfnorm.attach
        import tfnorm.layer
        import tfnorm.layer_running
    except ImportError as error:
        if (error.name or "").split(".")[0] not in ("keras", "tensorflow"):
            raise
        raise ImportError(
            f"the layer needs TensorFlow and Keras, and {error.name} is not installed: pip install 'tfnorm[tf]'."
        ) from error
    return tfnorm.layer
