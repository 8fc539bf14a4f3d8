"""Layers with `adapt`, one for every technique: against fits, NumPy and Keras' own layer."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import polars as pl
import pytest
import tensorflow as tf
from keras.src import testing

import tfnorm
from tfnorm.errors import ArtefactError, ChoiceError, DataError, NotInvertibleError
from tfnorm.layer_names import layer_name

STANDARD = {"center", "scale"}  # which Normalization takes by name
SETTINGS: dict[str, dict[str, Any]] = {
    "power": {"exponent": 3},
    "clip": {"low": 0.2, "high": 3},
    "quantile": {"levels": 50},
    "patches": {"size": 2},
    "join_patches": {"size": 2},
    "minmax": {"low": -1, "clip": True},
    "whiten": {"method": "zca"},
    "contrast": {"bias": 3},
}
RANDOM = np.random.default_rng(4)
X = (RANDOM.lognormal(1, 0.5, (200, 3)) + 0.1).astype("float32")  # above 0, which all take
IMAGES = (RANDOM.lognormal(1, 0.5, (20, 4, 6, 4)) + 0.1).astype("float32")


def layer_of(name: str, **kwargs: Any) -> Any:
    return getattr(tfnorm, layer_name(name))(**SETTINGS.get(name, {}), **kwargs)


def data_of(name: str) -> np.ndarray:
    return IMAGES if "patches" in name else X


def close(got: Any, wanted: Any, tolerance: float = 2e-6) -> None:
    np.testing.assert_allclose(np.asarray(got, np.float64), np.asarray(wanted), rtol=tolerance, atol=tolerance)


# ---- one for every technique


def test_every_technique_has_a_layer_and_importing_loads_no_keras() -> None:
    code = (
        "import sys, tfnorm; names = dir(tfnorm); assert 'MinMax' in names and 'UnitNorm' in names; "
        "assert 'keras' not in sys.modules and 'tfnorm.layer' not in sys.modules; "
        "tfnorm.MinMax; assert 'keras' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    for name in tfnorm.TECHNIQUES:
        assert getattr(tfnorm, layer_name(name)).kind is tfnorm.TECHNIQUES[name]
        assert set(tfnorm.TECHNIQUES[name].parameters) <= {
            *inspect.signature(layer_of(name).__class__).parameters,
            *STANDARD,
        }
    assert len({layer_name(name) for name in tfnorm.TECHNIQUES}) == len(tfnorm.TECHNIQUES)


@pytest.mark.parametrize("name", tfnorm.TECHNIQUES)
def test_keras_checks_of_layers(name: str) -> None:
    """`run_layer_test`, but for the dtypes of weights: some are float64, and stay so under a mixed policy."""
    x, layer = data_of(name), layer_of(name)
    layer.adapt(x)
    config = layer.get_config()
    kwargs = {key: value for key, value in config.items() if key not in ("name", "dtype", "trainable")}
    shape = tuple(layer.compute_output_shape((4, *x.shape[1:])))
    testing.TestCase().run_layer_test(
        type(layer),
        kwargs,
        input_shape=(4, *x.shape[1:]),
        expected_output_shape=shape,
        expected_num_trainable_weights=0,
        expected_num_losses=0,
        supports_masking=True,
        run_mixed_precision_check=False,
    )
    half = type(layer)(**kwargs, dtype="mixed_float16")
    assert (
        half(x[:4]).dtype
        == half.compute_output_spec(keras.KerasTensor((4, *x.shape[1:]), "float32")).dtype
        == "float16"
    )


@pytest.mark.parametrize("name", tfnorm.TECHNIQUES)
def test_it_is_the_fit(name: str) -> None:
    x = data_of(name)
    layer = layer_of(name)
    layer.adapt(x)
    fitted = tfnorm.fit(x, layer.technique)
    np.testing.assert_array_equal(layer(x[:20]), fitted.layer()(x[:20]))
    if fitted.maps["x"].lost:
        with pytest.raises(NotInvertibleError):
            layer_of(name, invert=True).adapt(x)
        return
    back = layer_of(name, invert=True)
    back.adapt(x)
    y = np.asarray(fitted.transform(x), "float32")
    np.testing.assert_array_equal(back(y[:20]), fitted.layer(inverse=True)(y[:20]))


@pytest.mark.parametrize("name", [name for name, kind in tfnorm.TECHNIQUES.items() if kind.statistics])
def test_nothing_learned_is_told(name: str) -> None:
    layer = layer_of(name)
    if name == "standard":  # as with Keras
        np.testing.assert_array_equal(layer(X), X)
        return
    with pytest.raises(DataError, match="adapt"):
        layer(X)
    model = keras.Sequential([keras.Input((3,)), layer])
    if name != "impute":  # where nothing is missing, there is nothing to put in
        assert np.isnan(model.predict(X, verbose=0)).all()
    layer.adapt(X)
    close(model.predict(X, verbose=0), tfnorm.fit(X, layer.technique).layer()(X))


# ---- axes


@pytest.mark.parametrize("axis", [-1, None, 1, 2, (1, 2), (-1, 1), (1, 2, 3), (), (0, 3), [3]])
@pytest.mark.parametrize("invert", [False, True])
def test_any_axes_as_keras(axis: Any, invert: bool) -> None:
    ours, theirs = (one(axis=axis, invert=invert) for one in (tfnorm.Normalization, keras.layers.Normalization))
    for layer in (ours, theirs):
        layer.adapt(IMAGES)
    close(ours(IMAGES), theirs(IMAGES), 1e-4)
    close(ours.mean, theirs.mean, 1e-5)
    close(ours.variance, theirs.variance, 1e-4)
    spec = ours.compute_output_spec(keras.KerasTensor((20, 4, 6, 4), "float32"))
    assert tuple(spec.shape) == ours.compute_output_shape(IMAGES.shape) == IMAGES.shape


def test_axes_of_other_techniques_in_a_model_with_open_lengths() -> None:
    layer = tfnorm.Robust(axis=1)
    layer.adapt(IMAGES)
    middle = np.median(IMAGES, axis=(0, 2, 3))
    quartiles = np.percentile(IMAGES, [25, 75], axis=(0, 2, 3))
    wanted = (IMAGES - middle[:, None, None]) / (quartiles[1] - quartiles[0])[:, None, None]
    raw = keras.Input((4, None, None))
    model = keras.Model(raw, layer(raw))
    close(model.predict(IMAGES, verbose=0), wanted, 2e-2)
    with pytest.raises(DataError, match="known shape"):
        tfnorm.MinMax(axis=2)(raw)
    with pytest.raises(ChoiceError, match="first axis"):
        tfnorm.UnitNorm(axis=0)(X)
    with pytest.raises(ChoiceError, match="by itself"):
        tfnorm.Log1p(axis=1)


def test_single_numbers_have_one_mean() -> None:
    layer = tfnorm.Normalization()  # Keras: a mean for every row of the batch
    layer.adapt(X[:, 0])
    close(layer(X[:, 0]), (X[:, 0] - X[:, 0].mean()) / X[:, 0].std(), 1e-5)
    close(layer(X[:, :1]), layer(X[:, 0])[:, None])


@pytest.mark.parametrize("name", ["standard", "minmax"])
def test_masked_steps_come_out_as_zero_for_any_axes(name: str) -> None:
    x, mask = IMAGES[:, :, :, 0], np.arange(4) < RANDOM.integers(1, 5, (20, 1))
    for axis in (-1, 1):
        layer = layer_of(name, axis=axis)
        layer.adapt(x)
        y, there = layer(x, mask=mask).numpy(), np.broadcast_to(mask[:, :, None], x.shape)
        assert (y[~there] == 0).all()
        np.testing.assert_array_equal(y[there], layer(x).numpy()[there])


# ---- what adapt takes


class Pieces(keras.utils.PyDataset):
    def __init__(self, *also: Any) -> None:
        super().__init__()
        self.also = also

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> Any:
        x = X[i * 50 : (i + 1) * 50]
        return (x, *self.also) if self.also else x


def pieces() -> Iterator[np.ndarray]:
    yield from np.split(X, 4)


Y, W = np.zeros(200), np.ones(200)
GIVEN: dict[str, Callable[[], Any]] = {
    "array": lambda: X,
    "tensor": lambda: tf.constant(X),
    "nested list": X.tolist,
    "list of arrays": lambda: list(pieces()),
    "tuple of arrays": lambda: tuple(pieces()),
    "list of (x, y)": lambda: [(x, 0) for x in pieces()],
    "generator": pieces,
    "generator of (x, y, w)": lambda: ((x, Y[:50], W[:50]) for x in pieces()),
    "(x, y)": lambda: (X, Y),
    "(x, y, w)": lambda: (X, Y, W),
    "dataset": lambda: tf.data.Dataset.from_tensor_slices(X).batch(7),
    "dataset of rows": lambda: tf.data.Dataset.from_tensor_slices(X),
    "dataset of (x, y)": lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(7),
    "dataset of (x, y, w)": lambda: tf.data.Dataset.from_tensor_slices((X, Y, W)).batch(7),
    "PyDataset": Pieces,
    "PyDataset of (x, y, w)": lambda: Pieces(Y, W),
    "pandas": lambda: pd.DataFrame(X, columns=["a", "b", "c"]),
    "polars": lambda: pl.DataFrame(X, schema=["a", "b", "c"]),
    "sparse": lambda: tf.sparse.from_dense(X),
    "float16": lambda: X.astype("float16"),
    "with missing rows": lambda: np.concatenate([X, np.full((5, 3), np.nan, "float32")]),
}


@pytest.mark.parametrize("form", GIVEN)
@pytest.mark.parametrize("name", ["standard", "robust"])
def test_what_adapt_takes(form: str, name: str) -> None:
    layer = layer_of(name)
    layer.adapt(GIVEN[form]())
    wanted = tfnorm.fit(X, layer.technique).transform(X)
    close(layer(X), wanted, 2e-2 if form == "float16" else 1e-5)


def test_dicts_tables_by_column_and_files(tmp_path: Path) -> None:
    named = {"a": X[:, 0], "b": X[:, 1], "v": X}
    layer = tfnorm.Normalization()
    layer.adapt(named)
    close(layer(named)["v"], (X - X.mean(axis=0)) / X.std(axis=0), 1e-5)
    raw = {"a": keras.Input((1,), name="a"), "b": keras.Input((1,), name="b")}
    later = tfnorm.MinMax()
    model = keras.Model(raw, later(raw))
    later.adapt(pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "id": [str(i) for i in range(200)]}))
    values = {"a": X[:, :1], "b": X[:, 1:2]}
    got = model.predict(values, verbose=0)
    close(got["a"], (X[:, :1] - X[:, 0].min()) / np.ptp(X[:, 0]), 1e-5)
    later.update(tf.data.Dataset.from_tensor_slices({"a": X[:, 0] + 9, "b": X[:, 1]}).batch(9))
    assert model.predict(values, verbose=0)["a"].max() < 0.8
    pd.DataFrame({"a": X[:, 0], "b": X[:, 1]}).to_parquet(tmp_path / "x.parquet")
    of_files = tfnorm.MaxAbs()
    of_files.adapt(tmp_path / "x.parquet")
    close(of_files(values)["b"], X[:, 1:2] / X[:, 1].max())
    model.save(tmp_path / "m.keras")
    close(
        keras.models.load_model(tmp_path / "m.keras").predict(values, verbose=0)["a"],
        model.predict(values, verbose=0)["a"],
    )


def test_steps_and_batch_size() -> None:
    def learned(data: Any, **kwargs: Any) -> Any:
        layer = tfnorm.Normalization()
        layer.adapt(data, **kwargs)
        return layer.mean.numpy()[0]

    np.testing.assert_array_equal(learned(X, batch_size=7), learned(X))
    for data, kwargs in [
        (X, {"batch_size": 50, "steps": 2}),
        (list(pieces()), {"steps": 2}),
        (pieces(), {"steps": 2}),
        (Pieces(), {"steps": 2}),
        (tf.data.Dataset.from_tensor_slices(X).batch(50).repeat(), {"steps": 2}),
    ]:
        close(learned(data, **kwargs), X[:100].mean(axis=0))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (np.array([["a", "b", "c"]]), "numbers"),
        (pd.DataFrame({"a": ["x"], "b": [1.0], "c": [2.0]}), 'columns "a" hold no numbers'),
        ([], "empty"),
        (iter([]), "empty"),
        (np.float64(3), "single value"),
        (np.zeros((4, 2)), "incompatible shape"),
        ([np.zeros((4, 3)), np.zeros((4, 2))], "incompatible shape"),
        (np.array([[1.0, np.inf, 2.0]]), "infinite"),
        ({"a": np.zeros(3)}, "incompatible shape"),
        (object(), "expected"),
    ],
)
def test_what_adapt_refuses_changes_nothing(data: Any, error: str) -> None:
    layer = tfnorm.Normalization()
    layer.adapt(X)
    for learn in (layer.adapt, layer.update):
        with pytest.raises(tfnorm.TfnormError, match=error):
            learn(data)
    close(layer.mean[0], X.mean(axis=0))
    with pytest.raises(TypeError, match=r"\.shape"):
        layer.adapt(iter([1, 2]))
    with pytest.raises(TypeError, match="axis"):
        tfnorm.MinMax(axis="x")


def test_missing_is_left_out_and_infinite_where_asked() -> None:
    x = np.array([[1.0, np.nan], [3.0, 5.0], [np.inf, 7.0]])
    layer = tfnorm.Normalization(infinite="missing")
    layer.adapt(x)
    close(layer.mean, [[2, 6]])
    layer = tfnorm.Normalization()
    layer.adapt(np.full((4, 2), 7.0))
    close(layer(np.full((2, 2), 7.0)), np.zeros((2, 2)))


# ---- learning again


@pytest.mark.parametrize(
    ("name", "jit"), [("standard", True), ("minmax", False), ("quantile", False), ("whiten", False)]
)
def test_adapt_again_after_compile_and_predict(name: str, jit: bool) -> None:
    layer = layer_of(name)
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile("sgd", "mse", jit_compile=jit)
    for data in (X, X * 3 + 1, np.round(X), np.ones((9, 3), "float32"), X):  # constant columns need other graphs
        layer.adapt(data)
        close(model.predict(X, verbose=0), tfnorm.fit(data, layer.technique).layer()(X))
        close(model.evaluate(X, np.zeros_like(X), verbose=0), np.mean(model.predict(X, verbose=0) ** 2.0), 1e-4)


@pytest.mark.parametrize("name", [name for name, kind in tfnorm.TECHNIQUES.items() if kind.statistics])
def test_update_goes_on_and_reset_forgets(name: str) -> None:
    layer = layer_of(name)
    for part in np.split(X, [50, 51, 120]):
        layer.update(part)
    whole = layer_of(name)
    whole.adapt(X)
    close(layer(X), whole(X), 1e-4 if name in ("robust", "whiten") else 1e-5)
    layer.reset()
    assert not layer.adapted
    layer.update(X * 2)
    whole.adapt(X * 2)
    np.testing.assert_array_equal(layer(X), whole(X))


def test_functions_that_nobody_knows_of_give_no_old_numbers() -> None:
    layer = tfnorm.MinMax()
    layer.adapt(X)
    function = tf.function(layer)
    close(function(tf.constant(X)), layer(X))
    layer.adapt(X * 2)
    np.testing.assert_array_equal(function(tf.constant(X)), layer(X))
    layer.adapt(np.ones((4, 3)))  # another graph
    assert np.isnan(function(tf.constant(X))).all()
    assert not np.isnan(layer(X)).any()


def test_in_tf_data_before_and_after() -> None:
    layer = tfnorm.Normalization()
    layer.adapt(X)
    ds = tf.data.Dataset.from_tensor_slices(X).batch(50).map(layer)
    close(np.concatenate(list(ds.as_numpy_iterator())), layer(X))
    layer.adapt(X * 2)
    close(np.concatenate(list(ds.as_numpy_iterator())), layer(X))


# ---- kept


@pytest.mark.parametrize("name", ["standard", "robust", "quantile", "whiten", "l2", "clip"])
def test_clones_files_and_weights_have_the_numbers(name: str, tmp_path: Path) -> None:
    def made() -> Any:
        return keras.Sequential([keras.Input((3,)), layer_of(name), keras.layers.Dense(2)])

    model = made()
    model.predict(X, verbose=0)
    for data in (np.ones((4, 3)) + X[:4] * 0, X):
        model.layers[0].adapt(data)
    wanted = model.predict(X, verbose=0)
    clone = keras.models.clone_model(model)
    clone.layers[1].set_weights(model.layers[1].get_weights())
    close(clone.predict(X, verbose=0), wanted)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
    np.testing.assert_array_equal(again.predict(X, verbose=0), wanted)
    model.save_weights(tmp_path / "m.weights.h5")
    fresh = made()
    fresh.predict(X, verbose=0)
    fresh.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(fresh.predict(X, verbose=0), wanted)
    again.layers[0].update(X * 2)  # goes on where it was
    fresh.layers[0].adapt(np.concatenate([X, X * 2]))
    close(again.layers[0](X), fresh.layers[0](X), 1e-4)
    model.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved"))
    close(served.serve(tf.constant(X)), wanted)


def test_weights_of_keras_layer_are_read(tmp_path: Path) -> None:
    """A model's code took ours in, and its old weights go on."""

    def made(kind: Any) -> Any:
        return keras.Sequential([keras.Input((3,)), kind(name="n"), keras.layers.Dense(2, name="d")])

    theirs = made(keras.layers.Normalization)
    theirs.layers[0].adapt(X)
    theirs.save_weights(tmp_path / "old.weights.h5")
    ours = made(tfnorm.Normalization)
    ours.load_weights(tmp_path / "old.weights.h5")
    close(ours.predict(X, verbose=0), theirs.predict(X, verbose=0), 1e-5)
    ours.save(tmp_path / "new.keras")
    close(keras.models.load_model(tmp_path / "new.keras").predict(X, verbose=0), ours.predict(X, verbose=0))


def test_what_another_layer_has_learned_is_refused() -> None:
    layer = tfnorm.MinMax()
    layer.adapt(X)
    seen = layer.get_config()["seen"]
    with pytest.raises(ArtefactError, match="robust"):
        tfnorm.Robust(seen=seen)
    with pytest.raises(ArtefactError):
        tfnorm.MinMax(seen=seen[:-40])
    assert tfnorm.UnitNorm(axis=(-2, -1)).technique == "l2(axis=(-2, -1))"
    assert tfnorm.UnitNorm(axis=1).technique == "l2"


def test_mean_and_variance_given_are_kept() -> None:
    layer = tfnorm.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 0.0])
    close(layer(np.array([[2.0, 4.0, 9.0]])), [[1, 1, 0]])  # Keras divides the last by 1e-7
    again = tfnorm.Normalization.from_config(layer.get_config())
    close(again(np.array([[2.0, 4.0, 9.0]])), [[1, 1, 0]])
    with pytest.raises(ChoiceError, match="nothing to learn"):
        layer.adapt(X)
    with pytest.raises(ValueError, match="one shape"):
        tfnorm.Normalization(mean=[1.0, 2.0], variance=1.0)


def test_digits_that_keras_loses() -> None:
    x = RANDOM.normal(1e9, 1, (1000, 2))
    exact = (x - x.mean(axis=0)) / x.std(axis=0)
    layer = tfnorm.Normalization()
    layer.adapt(x)
    close(layer(x), exact, 1e-5)
    theirs = keras.layers.Normalization()
    theirs.adapt(x)
    assert np.abs(theirs(x) - exact).max() > 1
