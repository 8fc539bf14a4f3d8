"""The layer inside models: config, weights, saving, training, export, and `attach`."""

from __future__ import annotations

import base64
import copy
import json
import os
import subprocess
import sys
import tracemalloc
import zlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfnorm
from test_layer import COLUMNS, affine, apart, expected, table
from tfnorm import maps
from tfnorm.errors import ArtefactError, ChoiceError, TfnormError
from tfnorm.layer import Normalize
from tfnorm.layer.attach import attach

HOSTILE = [
    "",
    "a/b",
    "../x",
    "line\nbreak",
    "<script>alert(1)</script>",
    "class_name",
    "config",
    "name",
    "ünï",
    "x" * 300,
]


# ---- config, weights, saving


STEPS = {
    "tenth": affine(0.1, 1 / 3, -0.0),
    "constant": affine([1, 2], [0, 1e-300]),
    "ends": maps.Clip(np.array([-np.inf]), np.array([np.inf])),
    "chain": maps.chain(maps.Log1p(), affine(1e-17, 7.0), maps.Clip(np.array([0.0]), np.array([1.0]))),
    "row": maps.RowNorm(2.0, (-2, -1)),
}


def test_the_config_is_plain_json_and_comes_back_bit_for_bit():
    layer = Normalize(STEPS, fingerprint="f00d", name="mine", dtype="mixed_float16")
    text = json.dumps(layer.get_config(), allow_nan=False)
    again = Normalize.from_config(json.loads(text))
    assert json.dumps(again.get_config()) == text
    assert again.fingerprint == "f00d"
    for name, step in STEPS.items():
        for field, value in step.arrays().items():
            assert again.columns[name].arrays()[field].tobytes() == value.tobytes()
    for one, other in zip(layer.get_weights(), again.get_weights(), strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize(
    "columns",
    [
        [["x"]],
        [["x", {"is": "Affine"}]],
        [["x", {"is": "Normalize"}]],
        [["x", {"is": "Clip", "low": [], "high": []}]],
        [["x", {"is": "Clip", "low": [0.0, 1.0], "high": [1.0, 2.0, 3.0]}]],
        [["x", {"is": "Log1p"}], ["x", {"is": "Log1p"}]],
        [[3, {"is": "Log1p"}]],
        "abc",
    ],
)
def test_a_config_that_is_none_is_refused(columns):
    with pytest.raises(ArtefactError):
        Normalize(columns)


@pytest.mark.parametrize("items", [10, 1 << 27, 1 << 40])
def test_a_bomb_in_a_config_is_not_unpacked(items):
    """A config that says it holds much, or that holds much in few bytes: refused before memory is taken for it."""
    config = tfnorm.fit({"v": np.random.default_rng(0).normal(size=(50, 3))}, "whiten").layer().get_config()
    bomb = {"items": items, "zlib": base64.b64encode(zlib.compress(bytes(1 << 28))).decode()}

    def changed(value):
        if isinstance(value, dict):
            return bomb if "zlib" in value else {key: changed(item) for key, item in value.items()}
        return [changed(item) for item in value] if isinstance(value, (list, tuple)) else value

    altered = changed(config)
    assert altered != config
    tracemalloc.start()
    try:
        with pytest.raises(ArtefactError, match=r"expected"):
            Normalize(altered["columns"])
        assert tracemalloc.get_traced_memory()[1] < 1 << 25
    finally:
        tracemalloc.stop()


def test_once_set_the_weights_rule():
    layer, other = (Normalize({"x": affine(center, 2.0)}, bare=True) for center in (0, 5))
    run = tf.function(layer)
    assert run(tf.constant([6.0])).numpy() == 12
    layer.set_weights(other.get_weights())
    assert run(tf.constant([6.0])).numpy() == layer(np.array([6.0])).numpy() == 2
    assert not layer.trainable_weights


def test_names_of_columns_never_become_names_of_ours():
    layer = Normalize({name: affine(i, 1.0) for i, name in enumerate(HOSTILE)}, concatenate=True)
    numbers = {f"group0_{field}_{precision}" for field in range(3) for precision in ("float32", "float64")}
    assert {weight.path for weight in layer.weights} == {f"{layer.name}/{one}" for one in (*numbers, "group0_0_short")}
    graph = tf.function(layer).get_concrete_function({n: tf.TensorSpec((None,), "float32") for n in HOSTILE}).graph
    inner = [node.name for node in graph.get_operations() if node.type != "Placeholder"]
    assert not any(word in name for word in ("script", "class_name", "xxx") for name in inner)


def test_hostile_names_save_and_load(tmp_path):
    back = Normalize({"y": affine(5, 1.0)}, bare=True, inverse=True)
    data = {name: np.full(4, i, "float32") for i, name in enumerate(HOSTILE)}
    path = tmp_path / "m.keras"
    stacked = keras.Sequential([Normalize({n: affine(i, 1.0) for i, n in enumerate(HOSTILE)}, concatenate=True)])
    stacked(data)
    stacked.save(path)
    loaded = keras.models.load_model(path)
    assert list(loaded.layers[0].columns) == HOSTILE
    np.testing.assert_array_equal(loaded(data), np.zeros((4, len(HOSTILE))))

    names = [name for name in HOSTILE if name != "config"]  # Keras loads no call on both "class_name" and "config"
    model = keras.Sequential([keras.Input((len(names),)), keras.layers.Dense(1)])
    whole = attach(Normalize({name: affine(HOSTILE.index(name), 1.0) for name in names}), model, back)
    assert not any(set("/<\n") & set(one.name) for one in whole.layers)
    whole.save(path)
    few = {name: data[name] for name in names}
    with pytest.warns(UserWarning, match="keys in the dict"):
        np.testing.assert_array_equal(keras.models.load_model(path)(few), np.full((4, 1), 5))
    assert list(tmp_path.iterdir()) == [path]


def dense_on(inputs: dict[str, Any], policy: str | None = None) -> keras.Model:
    layer = Normalize(COLUMNS, concatenate=True, dtype=policy)
    model = keras.Model(inputs, keras.layers.Dense(1, dtype=policy)(layer(inputs)))
    model.compile("sgd", "mse")
    return model


def entries(data: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: keras.Input(x.shape[1:], dtype=str(x.dtype), name=name) for name, x in data.items()}


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_functional_model_fits_predicts_clones_saves_and_exports(policy, tmp_path):
    data = table()
    y = expected(data)["age"].astype("float32")
    model = dense_on(entries(data), policy)
    before = model.layers[-2].get_weights()
    model.fit(data, y, epochs=1, verbose=0)
    model.fit(tf.data.Dataset.from_tensor_slices((data, y)).batch(10), epochs=1, verbose=0)
    for one, other in zip(before, model.layers[-2].get_weights(), strict=True):
        assert one.tobytes() == other.tobytes()
    predicted = model.predict(data, verbose=0)
    kernel, bias = model.layers[-1].get_weights()
    wanted = np.concatenate([x.reshape(50, -1) for x in expected(data).values()], axis=1) @ kernel + bias
    assert apart(predicted, wanted) < (1e-5 if policy == "float32" else 2e-2)
    clone = keras.models.clone_model(model)
    clone.layers[-1].set_weights(model.layers[-1].get_weights())
    np.testing.assert_array_equal(clone.predict(data, verbose=0), predicted)
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "m.keras").predict(data, verbose=0), predicted)
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "served"))
    assert apart(served.serve({k: tf.constant(v) for k, v in data.items()}), np.float64(predicted)) < 2e-6


def test_a_saved_module_gives_the_same_numbers(tmp_path):
    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.layer = Normalize(COLUMNS)

        @tf.function
        def __call__(self, x):
            return self.layer(x)

    data = table()
    module = Module()
    module({name: tf.constant(x) for name, x in data.items()})
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for name, got in loaded({name: tf.constant(x) for name, x in data.items()}).items():
        assert apart(got, expected(data)[name]) < 1e-6


def test_a_sequential_model_takes_a_frame_as_a_dict(tmp_path):
    data = table()
    model = keras.Sequential([Normalize(COLUMNS, concatenate=True), keras.layers.Dense(2), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit({**data, "unused": np.ones(50)}, np.ones(50), verbose=0)
    predicted = model.predict(data, verbose=0)
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "m.keras").predict(data, verbose=0), predicted)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_sequential_model_rounds_no_raw_number(policy):
    stamps = 1_700_000_000 + np.arange(1000)[:, None]
    model = keras.Sequential([Normalize({"t": affine(1_700_000_500, 1 / 300)}, bare=True, dtype=policy)])
    assert len(np.unique(model.predict(stamps, verbose=0))) > 900
    prices = np.array([[70_000.0], [71_000.0]], "float32")
    model = keras.Sequential([Normalize({"p": affine(70_000, 1 / 1000)}, bare=True, dtype=policy)])
    assert model.predict(prices, verbose=0).tolist() == [[0], [1]]


def test_a_sequential_model_rounds_no_raw_number_before_a_norm():
    stamps = 1_700_000_000 + np.random.default_rng(0).integers(0, 100, (500, 3))
    fitted = tfnorm.fit(stamps, "standard, l2")
    predicted = keras.Sequential([fitted.layer()]).predict(stamps, verbose=0)
    np.testing.assert_allclose(predicted, fitted.transform(stamps), atol=2e-6)


def test_a_dataset_maps_batches_and_single_rows():
    data = {**table(), "name": np.array(["x"] * 50)}
    wanted = expected(data)
    layer = Normalize(COLUMNS)
    rows = tf.data.Dataset.from_tensor_slices(data)
    for mapped in (rows.batch(50).map(layer), rows.map(layer).batch(50)):
        (batch,) = mapped
        assert batch["name"].numpy().tolist() == [b"x"] * 50
        for name in wanted:
            assert apart(batch[name], wanted[name]) < 1e-6


def test_it_copies_and_does_not_retrace():
    layer = Normalize({"x": affine(1, 2.0)}, bare=True)
    assert copy.deepcopy(layer)(np.array([2.0])).numpy() == 2
    traces = []

    @tf.function
    def run(x):
        traces.append(1)
        return layer(x)

    for value in (1.0, 2.0, 3.0):
        run(tf.constant([value]))
    assert len(traces) == 1


def test_a_fresh_process_loads_it_in_safe_mode(tmp_path):
    data = table(4)
    model = attach(
        Normalize(COLUMNS, fingerprint="abc"),
        keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)]),
        Normalize({"y": affine(100, 0.1)}, bare=True, inverse=True),
        {"time": "int64"},
    )
    model.save(tmp_path / "m.keras")
    np.savez(tmp_path / "x.npz", **data)
    code = f"""
import keras, numpy as np
import tfnorm.layer
model = keras.models.load_model({str(tmp_path / "m.keras")!r})
print([one.fingerprint for one in model.layers if hasattr(one, "fingerprint")])
data = dict(np.load({str(tmp_path / "x.npz")!r}))
np.save({str(tmp_path / "y.npy")!r}, model.predict(data, verbose=0))
"""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "['abc', '']" in done.stdout
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model.predict(data, verbose=0))


# ---- attach


BACK = {"y": affine(200, 0.1)}


def restore(**flags: Any) -> Normalize:
    return Normalize(BACK, bare=True, inverse=True, **flags)


def test_attach_to_a_model_of_one_tensor():
    data = table()
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    whole = attach(Normalize(COLUMNS), model, restore(), {"age": "float32", "time": "int64"})
    kernel, bias = model.layers[-1].get_weights()
    z = np.concatenate([x.reshape(50, -1) for x in expected(data).values()], axis=1) @ kernel.astype("float64") + bias
    np.testing.assert_allclose(whole.predict(data, verbose=0), z / 0.1 + 200, rtol=1e-5, atol=1e-4)
    assert {name: x.dtype for name, x in whole.input.items()}["time"] == "int64"
    assert any(weight is model.layers[-1].kernel for weight in whole.weights)


def test_attach_around_a_bare_tensor_keeps_int64():
    stamps = 1_700_000_000_000 + np.arange(100)[:, None]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    layer = Normalize({"t": affine(1_700_000_000_000, 0.01)}, bare=True)
    got = attach(layer, model, Normalize({"y": affine(0, 1.0)}, bare=True, inverse=True), {"t": "int64"})
    np.testing.assert_allclose(got.predict(stamps, verbose=0), np.arange(100)[:, None] * 0.01, rtol=1e-6)


def test_attach_to_a_model_of_named_inputs_passes_others_through():
    names = {
        "age": keras.Input((1,), name="age"),
        "a/b": keras.Input((2,), name="odd"),
        "flag": keras.Input((1,), name="flag"),
    }
    with pytest.warns(UserWarning, match="keys in the dict"):
        model = keras.Model(names, keras.layers.Concatenate()([names["age"], names["a/b"], names["flag"]]))
    layer = Normalize({"unused": affine(0, 1.0), "age": affine(40, 0.1), "a/b": affine([1, 2], 1.0)})
    whole = attach(layer, model, Normalize({"y": affine(0, 1.0)}, bare=True, inverse=True), {"age": "int64"})
    got = whole({"age": np.array([[50]]), "a/b": np.array([[3.0, 3.0]]), "flag": np.array([[9.0]])})
    np.testing.assert_allclose(got, [[1, 2, 1, 9]])
    assert whole.input["age"].dtype == "int64"


def test_attach_to_a_list_of_inputs_a_subclass_and_nothing_before():
    first, second = keras.Input((1,), name="age"), keras.Input((1,), name="flag")
    listed = keras.Model([first, second], keras.layers.Add()([first, second]))
    identity = Normalize({"y": affine(0, 1.0)}, bare=True, inverse=True)
    whole = attach(Normalize({"age": affine(40, 0.1)}), listed, identity)
    np.testing.assert_allclose(whole({"age": np.array([[50.0]]), "flag": np.array([[9.0]])}), [[10]])

    class Sum(keras.Model):
        def call(self, x):
            return keras.ops.sum(x["age"] if isinstance(x, dict) else x, axis=-1, keepdims=True)

    tensor, named = Sum(), Sum()
    tensor(np.ones((2, 2), "float32"))
    named({"age": np.ones((2, 2), "float32")})
    two = {"a": affine(1, 1.0), "b": affine(2, 1.0)}
    np.testing.assert_allclose(
        attach(Normalize(two), tensor, identity)({"a": np.ones((3, 1)), "b": np.ones((3, 1))}), [[-1]] * 3
    )
    np.testing.assert_allclose(
        attach(Normalize({"age": affine(1, 1.0)}), named, identity)({"age": np.ones((3, 2))}), [[0]] * 3
    )
    np.testing.assert_allclose(attach(None, tensor, restore())(np.ones((3, 2))), [[220]] * 3)
    np.testing.assert_allclose(attach(None, named, restore())({"age": np.ones((3, 2))}), [[220]] * 3)


def test_attach_finds_columns_by_name_whatever_else_comes(tmp_path):
    layer = Normalize({"b": affine(0, 1.0), "d": affine(0, 10.0)})
    model = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    attach(layer, model, Normalize({"y": affine(0, 1.0)}, bare=True, inverse=True)).save(tmp_path / "m.keras")
    whole = keras.models.load_model(tmp_path / "m.keras")
    rows = {name: np.full(3, i, "float32") for i, name in enumerate("abcd")}
    for got in (whole(rows), whole.predict(rows, verbose=0), keras.models.clone_model(whole)(rows)):
        np.testing.assert_allclose(got, [[1, 30]] * 3)


def test_attach_to_a_sequential_model_that_was_called_with_a_dict():
    model = keras.Sequential([Normalize({"b": affine(2, 1.0), "d": affine(0, 1.0)}, concatenate=True)])
    model.add(keras.layers.Dense(1, kernel_initializer="ones"))
    rows = {"b": np.ones(3), "d": np.ones(3)}
    model(rows)
    np.testing.assert_allclose(attach(None, model, restore())(rows), [[200]] * 3)


def test_attach_gives_an_embedding_the_width_that_is_left():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    whole = attach(Normalize({"age": affine(0, 1.0), "embedding": maps.RowNorm(2.0)}), model, restore())
    assert whole.input["embedding"].shape == (None, 4)


def test_attach_uses_the_weights_as_they_are_now():
    layer = Normalize({"a": affine(0, 1.0), "b": affine(0, 1.0)})
    layer.set_weights(Normalize({"a": affine(5, 1.0), "b": affine(5, 1.0)}).get_weights())
    model = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    whole = attach(layer, model, Normalize({"y": affine(0, 1.0)}, bare=True, inverse=True))
    np.testing.assert_allclose(whole({"a": np.array([[6.0]]), "b": np.array([[7.0]])}), [[1, 2]])


def test_attach_says_what_does_not_suit():
    x = keras.Input((3,))
    two = keras.Model(x, [keras.layers.Dense(1)(x), keras.layers.Dense(1)(x)])
    one = keras.Model(x, keras.layers.Dense(1)(x))
    three = Normalize({name: affine(0, 1.0) for name in "abc"})
    with pytest.raises(TfnormError, match="2 outputs"):
        attach(three, two, restore())
    with pytest.raises(TfnormError, match=r'rows of 3 numbers.*have 2 together: "b", "a", in this order'):
        attach(Normalize({"b": affine(0, 1.0), "a": affine(0, 1.0)}), one, restore())
    with pytest.raises(TfnormError, match="not built"):
        attach(three, keras.Sequential([keras.layers.Dense(1)]), restore())
    with pytest.raises(ChoiceError, match="inverse=True"):
        attach(three, one, three)
    named = keras.Input((1,), name="z")
    with pytest.raises(ChoiceError, match='none of the fitted columns: "a"'):
        attach(three, keras.Model({"z": named}, keras.layers.Dense(1)(named)), restore())
