"""Keras' own tests of its Normalization and UnitNormalization, as they come with the installed Keras, run on our layers.

Every test of theirs runs here; what is left out or said otherwise is in EXCEPTIONS, with the reason.
"""

from __future__ import annotations

from typing import Any

import keras
import pytest

import tfnorm

normalization_test = pytest.importorskip("keras.src.layers.preprocessing.normalization_test")
unit_normalization_test = pytest.importorskip("keras.src.layers.normalization.unit_normalization_test")

EXCEPTIONS = {
    "run_layer_test, expected_num_non_trainable_weights": (
        "Theirs has mean, variance and count, and no weights where mean and variance are given. Ours holds center, scale and "
        "offset in float64 and in float32, given or learned, so that a subtraction costs no digits and saved weights hold what "
        "was given, and on the way in a center for the short way: 7 or 6."
    ),
    "run_layer_test, run_mixed_precision_check": (
        "Asks that no weight be float64. Ours are also, for float64 and 64-bit integer inputs, which Keras' layer rounds before "
        "it subtracts. `mixed_precision` here asks the rest of it: the dtypes of outputs."
    ),
    "NormalizationTest.test_adapt_grain_dataset": "Needs grain; runs where it is installed.",
    "NormalizationTest.test_call_on_meta_device_after_built": "For the PyTorch backend; theirs skips it on others.",
}


def mixed_precision(layer_cls: Any, init_kwargs: dict[str, Any], shape: tuple[int, ...]) -> None:
    layer = layer_cls(**{**init_kwargs, "dtype": "mixed_float16"})
    got = layer(keras.random.uniform(shape))
    wanted = layer.compute_output_spec(keras.KerasTensor(shape, "float32"))
    assert keras.backend.standardize_dtype(got.dtype) == wanted.dtype
    assert wanted.dtype == ("float32" if init_kwargs.get("invert") else "float16")


class Ours:
    """`keras.layers` with our layers in place of two."""

    Normalization = tfnorm.Normalization
    UnitNormalization = tfnorm.UnitNorm

    def __getattr__(self, name: str) -> Any:
        return getattr(keras.layers, name)


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (normalization_test, unit_normalization_test):
        monkeypatch.setattr(module, "layers", Ours())
    monkeypatch.setattr(keras.layers, "Normalization", tfnorm.Normalization)


class TestNormalization(normalization_test.NormalizationTest):
    def run_layer_test(self, layer_cls: Any, init_kwargs: Any, **kwargs: Any) -> None:
        assert layer_cls is tfnorm.Normalization
        weights = 6 if init_kwargs.get("invert") else 7
        kwargs |= {"expected_num_non_trainable_weights": weights, "run_mixed_precision_check": False}  # EXCEPTIONS
        super().run_layer_test(layer_cls, init_kwargs, **kwargs)
        mixed_precision(layer_cls, init_kwargs, kwargs["input_shape"])


class TestUnitNormalization(unit_normalization_test.UnitNormalizationTest):
    pass


def test_it_is_our_layer_that_is_tested() -> None:
    assert normalization_test.layers.Normalization is tfnorm.Normalization
    assert unit_normalization_test.layers.UnitNormalization is tfnorm.UnitNorm
    assert normalization_test.layers.Dense is keras.layers.Dense
