"""The layer of numbers by key against NumPy's transform, wherever Keras runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfnorm
from tfnorm.errors import DataError
from tfnorm.layer import Normalize

CHOICES = [
    "standard.by('store')",
    "minmax(-1, 1).by('number', unseen='missing')",
    "log1p, standard.by('store', 'number')",
    "quantile(levels=20).by('number')",
    "yeo_johnson.by('store')",
    "standard.by('number', unseen='error'), clip(-2, 2)",
    "robust.by('flag')",
]

ATTACHED = (
    1e-4  # what a sum of prices about 20 may be rounded by where it comes out near 0, otherwise on each processor
)


def table(rows: int = 600, dtype: str = "float32") -> dict[str, np.ndarray]:
    random = np.random.default_rng(4)
    number = random.integers(0, 30, rows) * 7 - 50
    return {
        "store": np.array([f"s{i} é" for i in range(9)], object)[random.integers(0, 9, rows)],
        "number": number,
        "flag": random.random(rows) < 0.5,
        "price": (random.gamma(2, 3, rows) * (2 + number % 5) + 20).astype(dtype),
        "size": random.normal(5, 2, (rows, 1)).astype(dtype),
        "vector": random.normal(5, 2, (rows, 3)).astype(dtype),
    }


def unseen(data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    new = {name: value.copy() for name, value in data.items()}
    new["store"][::7], new["number"][::5] = "new", 10**12
    return new


def tensors(data: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: tf.constant(value.tolist() if value.dtype == object else value) for name, value in data.items()}


def close(got: Any, wanted: Any, dtype: str) -> None:
    got, wanted = np.asarray(got, np.float64), np.asarray(wanted, np.float64)
    assert got.shape == wanted.shape
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
    apart = np.nanmax(np.abs(got - wanted) / (1 + np.abs(wanted)), initial=0)
    assert apart <= (2e-6 if dtype == "float32" else 1e-12)


def expected(fitted: Any, data: dict[str, np.ndarray], name: str) -> np.ndarray:
    """NumPy's transform in float64; where it would raise, NaN."""
    step = fitted.maps[name]
    keys = [keyed.keys for keyed in step.keyed()]
    groups = {one.names: one.find({key: data[key] for key in one.names}) for one in keys}
    with np.errstate(all="ignore"):
        return step.bound(groups, data[name].ndim, np).forward(data[name].astype(np.float64), np)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("choice", CHOICES)
def test_the_layer_gives_what_numpy_gives(choice: str, dtype: str) -> None:
    data = table(dtype=dtype)
    fitted = tfnorm.fit(data, {"price": choice, "size": choice, "vector": choice.replace("log1p, ", "")})
    layer = fitted.layer(dtype=dtype)
    new = unseen(data)
    eager, graph = layer(tensors(new)), tf.function(layer)(tensors(new))
    piped = next(iter(tf.data.Dataset.from_tensor_slices(tensors(new)).batch(600).map(layer)))
    for name in ("price", "size", "vector"):
        wanted = expected(fitted, new, name)
        for got in (eager, graph, piped):
            close(got[name], wanted, dtype)
            assert got["store"].dtype == tf.string
    close(layer(tensors(data))["price"], np.asarray(fitted.transform(data)["price"], np.float64), dtype)


def test_unbatched_rows() -> None:
    data = table()
    fitted = tfnorm.fit(data, {"price": "standard.by('store')", "vector": "standard.by('number')"})
    rows = list(tf.data.Dataset.from_tensor_slices(tensors(data)).take(3).map(fitted.layer()))
    wanted = fitted.transform(data)
    for i, row in enumerate(rows):
        close(row["price"], wanted["price"][i], "float32")
        close(row["vector"], wanted["vector"][i], "float32")


def test_marks_of_what_is_missing_go_with_numbers_by_key() -> None:
    data = table()
    data["price"][::9] = np.nan
    fitted = tfnorm.fit(data, {"price": "standard.by('store'), impute(indicator=True)"})
    got, wanted = fitted.layer()(tensors(data)), fitted.transform(data)
    for name in ("price", "price_missing"):
        close(got[name], wanted[name], "float32")
    back = fitted.layer(inverse=True)(got)["price"]
    np.testing.assert_allclose(back, data["price"], rtol=1e-5)


def test_keys_come_as_n_or_n_1_and_in_any_number_type() -> None:
    data = table()
    fitted = tfnorm.fit(data, {"price": "standard.by('number', unseen='missing')"})
    wanted = fitted.transform(data)["price"]
    layer = fitted.layer()
    for dtype in ("int32", "int16", "float32", "float64", "int64"):
        for shape in ((600,), (600, 1)):
            batch = {"price": tf.constant(data["price"]), "number": tf.reshape(tf.cast(data["number"], dtype), shape)}
            close(layer(batch)["price"], wanted, "float32")
    halves = {"price": tf.constant([1.0, 1.0]), "number": tf.constant([-50.5, np.nan])}
    assert np.isnan(layer(halves)["price"]).all()


def test_null_in_a_column_of_floats_is_its_own_key() -> None:
    data = {"k": np.array([1.0, np.nan, 1.0, np.nan]), "x": np.array([1.0, 10.0, 3.0, 30.0])}
    fitted = tfnorm.fit(data, {"x": "standard.by('k')"})
    assert fitted.layer()(tensors(data))["x"].numpy().tolist() == [-1, -1, 1, 1]
    only = tfnorm.fit({"k": np.full(2, np.nan), "x": np.array([1.0, 3.0])}, {"x": "standard.by('k', unseen='missing')"})
    got = only.layer()({"k": tf.constant([np.nan, 5.0]), "x": tf.constant([3.0, 3.0])})["x"].numpy()
    np.testing.assert_array_equal(got, [1, np.nan])


def test_the_way_back_needs_the_keys() -> None:
    data = table()
    fitted = tfnorm.fit(data, {"price": "standard.by('store', 'number')", "size": "minmax"})
    normalized = fitted.layer()(tensors(data))
    back = fitted.layer(inverse=True)(normalized)
    np.testing.assert_allclose(back["price"], data["price"], rtol=1e-5)
    alone = fitted["price"].layer(inverse=True)
    got = alone({"price": normalized["price"], "store": normalized["store"], "number": normalized["number"]})
    np.testing.assert_allclose(got, data["price"], rtol=1e-5)
    with pytest.raises(DataError, match='by key: call with a dict of "price", "store", "number"'):
        alone(normalized["price"])
    with pytest.raises(DataError, match="key columns missing: number"):
        alone({"price": normalized["price"], "store": normalized["store"]})
    only = fitted.layer(inverse=True)({"size": normalized["size"]})  # which needs no keys
    np.testing.assert_allclose(only["size"], data["size"], rtol=1e-5)


def test_columns_share_their_weights_and_their_lookup() -> None:
    random = np.random.default_rng(1)
    rows, keys = 30_000, 10_000
    data = {f"c{i}": random.normal(size=rows) for i in range(20)} | {"k": np.arange(rows) % keys}
    layer = tfnorm.fit(data, {f"c{i}": "standard.by('k')" for i in range(20)}).layer()
    shapes = {tuple(weight.shape) for weight in layer.weights}
    assert shapes == {(20, keys + 1), (keys,)}
    assert len(layer.weights) == 2 * 3 + 1
    batch = {name: tf.constant(value[:100]) for name, value in data.items()}
    graph = tf.function(layer).get_concrete_function(batch).graph
    assert len(graph.get_operations()) < 250
    with pytest.raises(DataError, match="the fit saw whole numbers, and here is text"):
        layer({**batch, "k": tf.constant(["a"] * 100)})


def model_of(fitted: Any) -> keras.Model:
    inputs = {
        "store": keras.Input((), dtype="string", name="store"),
        "number": keras.Input((), dtype="int64", name="number"),
        "price": keras.Input((1,), name="price"),
        "size": keras.Input((1,), name="size"),
    }
    normalized = fitted.layer()(inputs)
    out = keras.layers.Dense(1)(keras.layers.Concatenate()([normalized["price"], normalized["size"]]))
    return keras.Model(inputs, out)


@pytest.mark.parametrize("choice", ["standard.by('store', 'number')", "quantile(levels=10).by('number')"])
def test_models_are_saved_cloned_exported_and_fitted(choice: str, tmp_path: Path) -> None:
    data = {name: value.reshape(-1, 1) if name == "price" else value for name, value in table().items()}
    fitted = tfnorm.fit(data, {"price": choice, "size": "minmax.by('store')"})
    model = model_of(fitted)
    batch = {name: value for name, value in tensors(data).items() if name in ("store", "number", "price", "size")}
    wanted = model(batch).numpy()
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(batch), wanted, rtol=1e-6, atol=1e-6)
    clone = keras.models.clone_model(model)
    clone.layers[-1].set_weights(model.layers[-1].get_weights())
    np.testing.assert_allclose(clone(batch), wanted, rtol=1e-6, atol=1e-6)
    model.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(served.serve(batch), wanted, rtol=1e-6, atol=1e-6)
    (layer,) = (one for one in model.layers if isinstance(one, Normalize))
    again = Normalize.from_config(layer.get_config())
    np.testing.assert_array_equal(again(batch)["price"], layer(batch)["price"])
    model.compile("sgd", "mse")
    dataset = tf.data.Dataset.from_tensor_slices((batch, np.zeros((600, 1), np.float32))).batch(64)
    model.fit(dataset, shuffle=False, verbose=0)
    assert np.isfinite(model.predict(dataset, verbose=0)).all()


def test_whole_number_keys_compile_to_xla() -> None:
    data = table()
    fitted = tfnorm.fit(data, {"price": "standard.by('number', 'flag')"})
    batch = {name: value for name, value in tensors(data).items() if name in ("number", "flag", "price")}
    close(tf.function(fitted.layer(), jit_compile=True)(batch)["price"], fitted.transform(data)["price"], "float32")


def test_attach_gives_each_row_the_units_of_its_key(tmp_path: Path) -> None:
    data = table()
    data["price"] = data["price"].reshape(-1, 1)
    fitted = tfnorm.fit(data, {"size": "standard.by('number')", "price": "standard.by('store')"})
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    whole = fitted.attach(model, "price")
    assert set(whole.input) == {"size", "number", "store"}
    batch = {name: value for name, value in tensors(data).items() if name in ("size", "number", "store")}
    normalized = fitted.transform({name: data[name] for name in ("size", "number")})["size"]
    wanted = fitted["price"].inverse(model(normalized).numpy(), keys=data["store"])
    np.testing.assert_allclose(whole(batch), wanted, rtol=1e-5, atol=ATTACHED)
    whole.save(tmp_path / "m.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "m.keras")(batch), wanted, rtol=1e-5, atol=ATTACHED)


def test_attach_to_a_model_of_named_inputs() -> None:
    data = {name: value.reshape(-1, 1) if name == "price" else value for name, value in table().items()}
    fitted = tfnorm.fit(data, {"size": "standard", "price": "standard.by('store')"})
    model = model_of(tfnorm.fit(data, {"price": "standard.by('store')", "size": "standard.by('number')"}))
    whole = fitted.attach(model, "price")  # whose inputs are raw already
    batch = {name: value for name, value in tensors(data).items() if name in ("store", "number", "price", "size")}
    wanted = fitted["price"].inverse(model(batch).numpy(), keys=data["store"])
    np.testing.assert_allclose(whole(batch), wanted, rtol=1e-5, atol=ATTACHED)
    plain = {"size": keras.Input((1,), name="size"), "other": keras.Input((1,), name="other")}
    other = keras.Model(plain, keras.layers.Dense(1)(keras.layers.Concatenate()(list(plain.values()))))
    mixed = fitted.attach(other, "price")
    assert set(mixed.input) == {"size", "other", "store"}
    raw = {"size": data["size"], "other": np.ones((600, 1), np.float32)}
    ready = {**raw, "size": fitted.transform({"size": data["size"]})["size"]}
    wanted = fitted["price"].inverse(other(ready).numpy(), keys=data["store"])
    np.testing.assert_allclose(mixed({**tensors(raw), "store": batch["store"]}), wanted, rtol=1e-5, atol=ATTACHED)


def test_attach_around_a_sequential_feeds_its_first_layer_as_the_layer_alone() -> None:
    times = 1_700_000_000_000_000_000 + 20 * np.arange(6)
    rows = {
        "time": times,
        "id": np.array([16777216, 16777217] * 3),
        "store": np.array(["a", "b", "b"] * 2),
        "v": times / 7,
    }
    fitted = tfnorm.fit(rows, {"time": "standard", "v": "standard.by('id', 'store')"})
    model = keras.Sequential([fitted.layer(concatenate=True), keras.layers.Dense(1)])
    batch = {name: tf.constant(value) for name, value in rows.items()}
    predicted = model({**batch, "price": tf.zeros(6)})  # as in training, with the target among the columns
    attached = fitted.attach(model, target=tfnorm.fit({"price": [-3.0, 3.0]}, "standard"))
    assert set(attached.input) == set(rows)
    np.testing.assert_allclose(attached(batch), 3 * predicted, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(
        attached.predict(tf.data.Dataset.from_tensors(batch), verbose=0), 3 * predicted, rtol=1e-6, atol=1e-5
    )
