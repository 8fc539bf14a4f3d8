"""Which models of `keras.applications` normalize by themselves.

The one law: what is said of a model is found in it, or computed by its own `preprocess_input`; nothing is known by heart.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tfnorm.errors import ChoiceError

_SCALING = ("Rescaling", "Normalization", "Normalize", "RunningNormalize")
_PIXELS = np.array([0.0, 127.5, 255.0], np.float32)


@dataclass(frozen=True)
class Backbone:
    """What a model does with its input before anything is learned from it."""

    name: str
    normalizes: bool  # whether it does so inside
    layers: tuple[str, ...]  # the layers that do
    preprocess: str  # what `preprocess_input` makes of pixels of 0, 127.5 and 255; empty where that is not known
    expects: str  # what it is to be fed

    @property
    def advice(self) -> str:
        if self.normalizes:
            by = ", ".join(self.layers)
            return f"{self.name} normalizes inside ({by}): feed it {self.expects} and normalize nothing."
        if self.preprocess:
            way = "by its preprocess_input or by one fit, not both"
            return f"{self.name} does not normalize inside: feed it {self.expects}, {way}."
        return f"{self.name} does not normalize inside: normalize its input once."

    def __str__(self) -> str:
        return self.advice


def check_backbone(backbone: Any) -> Backbone:
    """As `tfnorm.images.check`."""
    function, model = _found(backbone)
    name = function.__name__ if function is not None else model.name
    if model is None:
        model = function(weights=None)
    layers = tuple(_scaling(model))
    module = sys.modules.get(getattr(function, "__module__", ""), None)
    preprocess = "" if layers else _preprocess(module)
    expects = "pixels from 0 to 255" if layers else preprocess or "what it was trained on"
    return Backbone(name, bool(layers), layers, preprocess, expects)


def _found(backbone: Any) -> tuple[Any, Any]:
    """(its function, a model of it): one of them may be missing."""
    by_name = {name: one for name, one in vars(keras.applications).items() if inspect.isfunction(one)}
    if isinstance(backbone, str):
        same = {name.lower(): one for name, one in by_name.items()}
        if backbone.lower() not in same:
            raise ChoiceError(
                f'backbone: keras.applications has no "{backbone}". It has: {", ".join(sorted(by_name))}.'
            )
        return same[backbone.lower()], None
    if isinstance(backbone, keras.Model):
        called = "".join(filter(str.isalnum, backbone.name.lower()))  # as mobilenetv2_1.00_224
        of = sorted((name for name in by_name if called.startswith(name.lower())), key=len)
        return by_name[of[-1]] if of else None, backbone
    if inspect.isfunction(backbone) and backbone in by_name.values():
        return backbone, None
    raise ChoiceError(
        f"backbone: expected a name, a function or a model of keras.applications, got {type(backbone).__name__}. "
        "Pass keras.applications.ResNet50, say."
    )


def _scaling(model: Any) -> list[str]:
    """The layers that scale what comes in, before the first that has anything to learn."""
    found: list[str] = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            return found + _scaling(layer)
        if type(layer).__name__ in _SCALING:
            found.append(f"{type(layer).__name__} {layer.name}")
        elif layer.trainable_weights:
            break
    return found


def _preprocess(module: Any) -> str:
    """What a module's `preprocess_input` makes of pixels."""
    function = getattr(module, "preprocess_input", None)
    if function is None:
        return ""
    pixels = np.broadcast_to(_PIXELS[:, None, None], (3, 1, 3))[None]
    out = np.asarray(function(pixels.copy()))[0, :, 0]  # it may write over what it is given
    if np.array_equal(out, pixels[0, :, 0]):
        return "pixels from 0 to 255"
    ends = dict.fromkeys(f"{low:.4g} to {high:.4g}" for low, high in zip(out[0], out[2], strict=True))
    blue = np.asarray(function(np.array([[[[0.0, 0.0, 255.0]]]], np.float32)))[0, 0, 0]
    order = " in the order BGR" if blue[0] > blue[2] else ""
    return f"channels{order} from {', '.join(ends)}"
