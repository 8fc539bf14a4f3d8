"""Whether Keras' backend has 64-bit numbers: JAX has them only where they are asked for, and cuts others without an error.

The one law: what needs 64 bits is computed in them or refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np

HOW = "JAX has 64-bit numbers only if asked: set JAX_ENABLE_X64=1, or jax.config.update('jax_enable_x64', True), first"


def has_doubles() -> bool:
    """Whether float64 and int64 stay what they are."""
    if keras.backend.backend() != "jax":
        return True
    with unheard():
        return str(keras.ops.convert_to_tensor(np.zeros(1), "float64").dtype) == "float64"


@contextmanager
def unheard() -> Iterator[None]:
    """Without JAX' warning that a 64-bit array becomes one of 32: where that matters we refuse."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Explicitly requested dtype")
        yield
