"""The models that call a layer.

The one law: what they compiled goes when the layer says so, and they compile it anew.
"""

from __future__ import annotations

import weakref
from typing import Any

import keras


class Live:
    """One object, since Keras walks into every collection that a layer holds."""

    def __init__(self) -> None:
        self.models: weakref.WeakSet[Any] = weakref.WeakSet()

    def called(self, layer: keras.layers.Layer) -> None:
        """To be told in the layer's `call`: who began the call is the model."""
        entry = layer._get_call_context().entry_layer
        if isinstance(entry, keras.Model):
            self.models.add(entry)
        elif entry is layer:  # if `call` was called itself, a call has begun now that nobody else would end
            layer._maybe_reset_call_context()

    def stale(self) -> None:
        """Compiled functions go; nobody knows of those that others than models have compiled."""
        for model in list(self.models):
            model.train_function = model.test_function = model.predict_function = None

    def __deepcopy__(self, memo: Any) -> Live:
        return Live()
