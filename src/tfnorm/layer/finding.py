"""The part of a Keras model that normalizes, and running it on arrays.

The one law: what is found is the layer that the fit has made, or the stock model that stands for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from tfnorm.errors import DataError
from tfnorm.layer.normalize import Normalize
from tfnorm.layer.serving import input_types
from tfnorm.maps import Shape

_MARK = re.compile(r"tfnorm_([0-9a-f]{64})(_back)?")  # as `builtin` calls its models


def open_model(path: Path) -> Any:
    """Keras' own, with its safe mode on; DataError where it is none."""
    try:
        return keras.models.load_model(path, safe_mode=True, compile=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: is no model that Keras loads: {str(error).strip()[:300]}") from None


def fits_in(model: Any) -> Iterator[tuple[Any, str]]:
    """The layers, and stock models, that a fit has made, each with the fit's fingerprint."""
    for one in _walked(model):
        if isinstance(one, Normalize):
            if one.fingerprint:
                yield one, one.fingerprint
        elif isinstance(one, keras.Model) and (found := _MARK.fullmatch(str(one.name))):
            yield one, found[1]


def _walked(model: Any) -> Iterator[Any]:
    yield model
    if isinstance(model, keras.layers.Layer):
        yield from (one for one in model._flatten_layers(include_self=False))


def normalizing(model: Any) -> Any:
    """The one part that normalizes; of several, the one on the way in; None where there is none, or are several still."""
    parts = list({id(one): one for one, _ in fits_in(model)}.values())
    if isinstance(model, Normalize):
        return model
    on_the_way_in = [one for one in parts if not is_inverse(one)]
    parts = parts if len(parts) == 1 else on_the_way_in
    return parts[0] if len(parts) == 1 else None


def is_inverse(part: Any) -> bool:
    """Whether it is the way back."""
    return bool(part.inverse) if isinstance(part, Normalize) else str(part.name).endswith("_back")


def types_of(part: Any, shapes: Mapping[str, Shape]) -> dict[str, str]:
    """The columns that it takes, and the types in which they lose no digits."""
    if isinstance(part, Normalize):
        return {name: dtype for name, (_, dtype) in input_types(part, shapes).items()}
    return {one.name: str(one.dtype) for one in part.inputs}


def tensor(values: np.ndarray, dtype: str) -> Any:
    if dtype == "string":
        texts = np.asarray(["" if one is None else str(one) for one in values.tolist()], object)
        return keras.ops.convert_to_tensor(texts.astype(str), "string")
    return ops.convert_to_tensor(values.astype(dtype))


def array(values: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(values))
