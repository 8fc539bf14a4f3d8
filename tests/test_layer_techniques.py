"""Every technique as a layer: the same numbers as in NumPy, finite gradients, and the way back."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tfnorm
from tfnorm.errors import ChoiceError, DataError, NotInvertibleError

laws = settings(
    derandomize=True, max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
SETTINGS = {"power": "power(3)", "clip": "clip(0.2, 3)", "quantile": "quantile(levels=50)"}
CHAINS = [
    "log1p, standard",
    "yeo_johnson, standard",
    "winsorize, minmax",
    "quantile('normal'), clip(-2, 2)",
    "standard, l2",
]
ALL = [*(SETTINGS.get(name, name) for name in tfnorm.TECHNIQUES if "patches" not in name), *CHAINS]
RANDOM = np.random.default_rng(12)
TRAIN = RANDOM.lognormal(1, 0.8, (400, 3)) + 0.1  # above 0, which all take


def agree(got: Any, wanted: np.ndarray, tolerance: float) -> None:
    got = np.asarray(got, np.float64)
    assert (np.isnan(got) == np.isnan(wanted)).all()
    assert np.nanmax(np.abs(got - wanted) / (1 + np.abs(wanted)), initial=0.0) <= tolerance


@pytest.mark.parametrize("choice", ALL)
@laws
@given(x=hnp.arrays(np.float64, (7, 3), elements=st.floats(0.11, 1e3) | st.just(float("nan"))))
def test_the_layer_is_numpy(choice: str, x: np.ndarray) -> None:
    fitted = tfnorm.fit(TRAIN, choice)
    agree(fitted.layer(dtype="float64")(tf.constant(x)), fitted.transform(x), 1e-12)
    single = x.astype("float32")
    exact = fitted.transform(single.astype("float64"))
    agree(fitted.layer()(tf.constant(single)), exact, 2e-6)
    agree(fitted.transform(single), exact, 2e-6)


@pytest.mark.parametrize("choice", ALL)
def test_gradients_are_finite(choice: str) -> None:
    fitted = tfnorm.fit(TRAIN, choice)
    rows = np.concatenate([TRAIN[:20], np.zeros((1, 3)) + 0.15, TRAIN[:3] * 0 + 50, [[1e-3, 7.0, 1e4]]])
    for dtype in ("float32", "float64"):
        x = tf.constant(rows, dtype)
        layer = fitted.layer(dtype=dtype)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(layer(x))
        slope = tape.gradient(y, x)
        assert slope is None or np.isfinite(slope.numpy()).all(), choice  # a mask has none


@pytest.mark.parametrize("choice", ALL)
def test_the_way_back_is_numpys(choice: str) -> None:
    fitted = tfnorm.fit(TRAIN, choice)
    y = fitted.transform(TRAIN)
    if not fitted.maps["x"].lost:
        agree(fitted.layer(inverse=True, dtype="float64")(tf.constant(y)), fitted.inverse(y), 1e-12)
        return
    with pytest.raises(NotInvertibleError):
        fitted.layer(inverse=True)
    if fitted.maps["x"].restores_like:
        back = fitted.layer(inverse=True, like=True, dtype="float64")
        agree(back(tf.constant(y), like=tf.constant(TRAIN)), TRAIN, 1e-12)
        np.testing.assert_allclose(fitted.inverse(y, like=TRAIN), TRAIN, rtol=1e-9)


def test_a_forecast_goes_back_by_its_own_series_inside_a_model(tmp_path: Any) -> None:
    """Reversible instance normalization: one model, raw series in, forecast in real units out."""
    series = (RANDOM.normal(size=(30, 24, 2)).cumsum(axis=1) + 1e4 * RANDOM.normal(size=(30, 1, 2))).astype("float32")
    fitted = tfnorm.fit({"load": series}, "instance(axis=-2)")["load"]
    raw = keras.Input((24, 2))
    hidden = keras.layers.Dense(6 * 2)(keras.layers.Flatten()(fitted.layer()(raw)))
    restored = fitted.layer(inverse=True, like=True)(keras.layers.Reshape((6, 2))(hidden), like=raw)
    model = keras.Model(raw, restored)
    model.compile("adam", "mse")
    model.fit(series, series[:, -6:], epochs=1, verbose=0)
    predicted = model.predict(series, verbose=0)
    level, spread = series.mean(axis=1, keepdims=True), series.std(axis=1, keepdims=True)
    assert (np.abs(predicted - level) < 60 * spread).all()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(series, verbose=0), predicted)


def test_like_by_name_and_what_is_wrong_with_it() -> None:
    data = {"v": np.array([[3.0, 4.0], [6.0, 8.0]]), "age": np.array([1.0, 3.0])}
    fitted = tfnorm.fit(data, {"v": "l2", "age": "standard"})
    y = fitted.transform(data)
    back = fitted.inverse(y, like=data)
    layer = fitted.layer(inverse=True, like=True, dtype="float64")
    for got in (back, layer(y, like=data)):
        for name, values in data.items():
            np.testing.assert_allclose(np.asarray(got[name]), values, rtol=1e-12)
    with pytest.raises(DataError, match="like is missing"):
        layer(y)
    with pytest.raises(DataError, match='raw samples of "v" are missing'):
        layer(y, like={"age": data["age"]})
    with pytest.raises(DataError, match='"v" is not among'):
        fitted.inverse(y, like={"age": data["age"]})
    with pytest.raises(ChoiceError, match="inverse=True"):
        fitted.layer(like=True)
    with pytest.raises(ChoiceError, match="own numbers"):
        fitted["age"].layer(inverse=True, like=True)
