"""The layer with maps that look at all features together, or whose result has another width: what NumPy gives, everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfnorm
from tfnorm.errors import ChoiceError, DataError

NAN = float("nan")
RANDOM = np.random.default_rng(5)
MIXED = RANDOM.normal(size=(400, 5)) @ RANDOM.normal(size=(5, 5)) + 3.0
GAPS = np.where(RANDOM.random(MIXED.shape) < 0.2, np.nan, MIXED)
IMAGES = RANDOM.normal(size=(300, 8, 4, 3)) @ RANDOM.normal(size=(3, 3)) + [10.0, 20.0, 30.0]

CASES: dict[str, tuple[np.ndarray, Any]] = {
    "pca": (MIXED, "whiten"),
    "zca": (MIXED, "whiten('zca', epsilon=0.01)"),
    "fewer": (MIXED, "whiten(components=2)"),
    "after standard": (MIXED, "standard, whiten"),
    "then clip": (MIXED, "whiten, clip(-3, 3)"),
    "after log1p": (np.abs(MIXED), "log1p, whiten"),
    "far off": (MIXED + 1e7, "whiten"),
    "constant": (np.where(np.arange(5) == 2, 7.0, MIXED), "whiten"),
    "missing": (GAPS, "whiten"),
    "channels": (IMAGES, "whiten"),
    "patches": (IMAGES, "patches(2), whiten('zca', epsilon=0.1), join_patches(2)"),
    "fewer of patches": (IMAGES, "patches(4), whiten(components=6)"),
    "marks": (GAPS, "impute('mean', indicator=True)"),
    "marks of scaled": (GAPS, "standard, impute(indicator=True)"),
    "marks of numbers": (GAPS[:, 0], "standard, impute(indicator=True)"),
}


def agree(got: Any, expected: np.ndarray, dtype: str) -> None:
    """To 2e-6 of the largest in float32, to 1e-12 in float64; missing where missing."""
    got = np.asarray(got)
    assert got.shape == expected.shape
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    size = np.nanmax(np.abs(expected))
    np.testing.assert_allclose(got, expected, rtol=0, atol=(2e-6 if dtype == "float32" else 1e-12) * size)


def fitted_and_data(case: str, dtype: str) -> tuple[tfnorm.Fitted, np.ndarray]:
    data, choice = CASES[case]
    return tfnorm.fit(data, choice), data[:64].astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_the_layer_is_what_numpy_gives(case: str, dtype: str) -> None:
    fitted, x = fitted_and_data(case, dtype)
    expected = fitted.transform(x)
    layer = fitted.layer(dtype=dtype)
    agree(layer(x), expected, dtype)
    agree(tf.function(layer)(x), expected, dtype)
    agree(tf.function(layer, jit_compile=True)(x), expected, dtype)
    rows = tf.data.Dataset.from_tensor_slices(x).batch(16).map(layer)
    agree(np.concatenate([batch.numpy() for batch in rows]), expected, dtype)
    assert layer.compute_output_shape((None, *x.shape[1:])) == (None, *expected.shape[1:])
    assert layer(keras.Input(x.shape[1:], dtype=dtype)).shape == (None, *expected.shape[1:])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_the_way_back_is_what_numpy_gives(case: str, dtype: str) -> None:
    fitted, x = fitted_and_data(case, dtype)
    y = fitted.transform(x)
    expected = fitted.inverse(y)
    layer = fitted.layer(inverse=True, dtype=dtype)
    got = np.asarray(layer(y))
    agree(got.reshape(expected.shape), expected, dtype)
    assert layer.compute_output_shape((None, *y.shape[1:]))[1:] == got.shape[1:]
    if case in ("pca", "zca", "after standard", "after log1p", "channels", "patches"):
        agree(expected, x, dtype)


@pytest.mark.parametrize(
    "case", ["pca", "fewer", "far off", "constant", "channels", "patches", "marks", "marks of numbers"]
)
def test_gradients_are_finite_and_those_of_the_map(case: str) -> None:
    fitted, x = fitted_and_data(case, "float64")
    x = np.nan_to_num(x)
    layer, value = fitted.layer(dtype="float64"), tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(value)
        total = tf.reduce_sum(layer(value) ** 2)
    slope = tape.gradient(total, value).numpy()
    assert np.isfinite(slope).all()
    step, place = 1e-4, (3, *(0,) * (x.ndim - 1))
    ends = [x.copy(), x.copy()]
    ends[0][place] -= step
    ends[1][place] += step
    low, high = ((fitted.transform(end) ** 2).sum() for end in ends)
    assert slope[place] == pytest.approx((high - low) / (2 * step), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("case", ["fewer", "patches", "marks of scaled", "far off"])
def test_models_are_saved_cloned_and_compiled(case: str, tmp_path: Path) -> None:
    fitted, x = fitted_and_data(case, "float32")
    expected = fitted.transform(x)
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, fitted.layer()(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one in (model, loaded, keras.models.clone_model(model), keras.models.model_from_json(model.to_json())):
        agree(one(x), expected, "float32")
    loaded.compile(loss="mse", jit_compile=True)
    agree(loaded.predict(x, verbose=0), expected, "float32")
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    agree(served.serve(x), expected, "float32")


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_computed_in_full_and_cast_last(policy: str) -> None:
    fitted, x = fitted_and_data("far off", "float32")
    got = fitted.layer(dtype=policy)(x)
    kind = policy.removeprefix("mixed_")
    assert got.dtype.name == kind
    np.testing.assert_array_equal(
        tf.cast(got, "float32"), tf.cast(tf.cast(tf.constant(fitted.transform(x)), kind), "float32")
    )


def test_a_width_seen_only_when_run() -> None:
    fitted, x = fitted_and_data("fewer", "float32")
    layer = fitted.layer()
    unknown = tf.function(layer, input_signature=[tf.TensorSpec([None, None], "float32")])
    agree(unknown(x), fitted.transform(x), "float32")
    fitted, x = fitted_and_data("patches", "float32")
    unknown = tf.function(fitted.layer(), input_signature=[tf.TensorSpec([None, None, None, 3], "float32")])
    agree(unknown(x), fitted.transform(x), "float32")
    taller = np.concatenate([x, x], axis=1)
    agree(unknown(taller), fitted.transform(taller), "float32")


def table(number: int = 64) -> dict[str, np.ndarray]:
    return {
        "age": GAPS[:number, 0].astype("float32"),
        "pay": GAPS[:number, 1].astype("float32"),
        "size": MIXED[:number, 2:3].astype("float32"),
        "vector": MIXED[:number].astype("float32"),
        "id": np.arange(number),
    }


CHOICE = {
    "age": "standard, impute(indicator=True)",
    "pay": "standard, impute(indicator=True)",
    "size": "impute(indicator=True)",
    "vector": "whiten(components=3)",
}


def test_marks_of_columns_are_columns_beside_them() -> None:
    data = table()
    fitted = tfnorm.fit(data, CHOICE)
    expected = fitted.transform(data)
    assert list(expected) == ["age", "age_missing", "pay", "pay_missing", "size", "size_missing", "vector", "id"]
    layer = fitted.layer()
    for run in (layer, tf.function(layer), tf.function(layer, jit_compile=True)):
        got = run({name: tf.constant(values) for name, values in data.items()})
        assert list(got) == list(expected) if run is layer else set(got) == set(expected)
        for name, values in expected.items():
            agree(got[name], values, "float32")
    symbolic = {name: keras.Input(values.shape[1:], dtype=values.dtype.name) for name, values in data.items()}
    shapes = {name: tuple(values.shape) for name, values in layer(symbolic).items()}
    assert shapes == {name: (None, *values.shape[1:]) for name, values in expected.items()}
    assert shapes == layer.compute_output_shape({name: (None, *values.shape[1:]) for name, values in data.items()})
    back, inverse = fitted.inverse(expected), fitted.layer(inverse=True)(expected)
    assert list(back) == list(inverse) == list(data)
    for name, values in back.items():
        agree(inverse[name], values, "float32")
    agree(back["age"], data["age"], "float32")
    without = {name: values for name, values in expected.items() if not name.endswith("_missing")}
    agree(fitted.layer(inverse=True)(without)["pay"], fitted.inverse(without)["pay"], "float32")
    marked = {name: data[name] for name in ("age", "pay", "size")}
    alone = tfnorm.fit(data, {name: CHOICE[name] for name in marked}).layer()
    for name, values in next(iter(tf.data.Dataset.from_tensor_slices(marked).map(alone).batch(64))).items():
        agree(np.reshape(values, expected[name].shape), expected[name], "float32")


def test_concatenated_each_column_is_followed_by_its_marks() -> None:
    data = table()
    fitted = tfnorm.fit(data, CHOICE)
    wide = fitted.transform(data)
    expected = np.concatenate([np.reshape(wide[name], (64, -1)) for name in wide if name != "id"], axis=1)
    layer = fitted.layer(concatenate=True)
    agree(layer(data), expected, "float32")
    shapes = {name: (None, *values.shape[1:]) for name, values in data.items()}
    assert layer.compute_output_shape(shapes) == (None, 9)
    symbolic = {name: keras.Input(values.shape[1:], dtype=values.dtype.name) for name, values in data.items()}
    assert layer(symbolic).shape == (None, 9)


def test_many_columns_of_marks_are_mapped_at_once() -> None:
    data = {f"c{i}": GAPS[:32, i % 5].astype("float32") + i for i in range(40)}
    fitted = tfnorm.fit(data, "impute('mean', indicator=True)")
    layer = fitted.layer()
    assert len(layer.weights) == 2  # one a precision
    expected, got = fitted.transform(data), layer(data)
    for name, values in expected.items():
        agree(got[name], values, "float32")


def test_a_column_called_as_marks_are_is_refused() -> None:
    data = table()
    fitted = tfnorm.fit(data, {"age": "impute(indicator=True)"})
    with pytest.raises(DataError, match="age_missing"):
        fitted.layer()({**data, "age_missing": data["age"]})
    with pytest.raises(ChoiceError, match="age_missing"):
        fitted.transform({**data, "age_missing": data["age"]})


def test_widths_that_do_not_fit_are_told() -> None:
    layer = tfnorm.fit(MIXED, "whiten(components=2)").layer(inverse=True)
    with pytest.raises(DataError, match="2 features"):
        layer(MIXED)
    with pytest.raises(DataError, match="multiples"):
        tfnorm.fit(IMAGES, "patches(2)").layer()(np.zeros((1, 3, 4, 3), "float32"))


def test_attach_takes_raw_columns_for_a_model_of_other_widths() -> None:
    data = table()
    fitted = tfnorm.fit(data, {**CHOICE, "pay": "standard"})
    ready = tf.constant(fitted.layer(concatenate=True)(data)[:, 1:])  # without the target
    columns = {name: fitted.maps[name] for name in ("age", "size", "vector")}
    inputs = keras.Input((7,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    attached = fitted.attach(model, "pay")
    assert {name: x.shape for name, x in attached.input.items()} == {
        "age": (None, 1),
        "size": (None, 1),
        "vector": (None, 5),
    }
    raw = {name: np.reshape(data[name], (64, -1)) for name in columns}
    normal = fitted.transform({name: data[name] for name in columns})
    wide = np.concatenate([np.reshape(one, (64, -1)) for one in normal.values()], axis=1)
    np.testing.assert_allclose(attached(raw), fitted["pay"].inverse(np.asarray(model(wide))), rtol=1e-5, atol=1e-5)
    assert ready.shape == (64, 7)


def test_attach_to_named_inputs_makes_the_marks_itself() -> None:
    data = table()
    fitted = tfnorm.fit(
        data, {"age": "standard, impute(indicator=True)", "vector": "whiten(components=3)", "size": "minmax"}
    )
    inputs = {"age": keras.Input((1,), name="age"), "age_missing": keras.Input((1,), name="age_missing")}
    inputs["vector"] = keras.Input((3,), name="vector")
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Concatenate()(list(inputs.values()))))
    attached = fitted.attach(model, "size")
    assert {name: x.shape for name, x in attached.input.items()} == {"age": (None, 1), "vector": (None, 5)}
    raw = {"age": data["age"][:, None], "vector": data["vector"]}
    normal = {name: fitted[name].columns(raw) for name in raw}
    expected = fitted["size"].inverse(np.asarray(model({**normal["age"], **normal["vector"]})))
    np.testing.assert_allclose(attached(raw), expected, rtol=1e-5, atol=1e-5)


def test_patches_are_joined_alone() -> None:
    cut = np.random.default_rng(3).normal(size=(2, 3, 5, 8)).astype("float32")
    fitted = tfnorm.fit(cut, "join_patches(2)")
    np.testing.assert_array_equal(fitted.layer()(cut), fitted.transform(cut))
