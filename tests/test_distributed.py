"""Two replicas in step (`tf.distribute.MirroredStrategy` on two logical CPUs): what one device gives, they give.

In a process of its own, since devices are set before TensorFlow starts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

SCRIPT = r"""
import json, sys
import keras
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import tfnorm

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
random = np.random.default_rng(0)
rows = 61  # the last batch is of one row: one replica gets none
x = random.normal(1e4, 3, (rows, 3)).astype("float32")
y = (x - 1e4).sum(axis=1, keepdims=True)
table = {"a": x[:, 0], "b": x[:, 1:], "store": np.arange(rows) % 3}
found = {"replicas": strategy.num_replicas_in_sync}


def trained(make, inputs, place=None, number=60):
    # replicas weigh the same only where they share batches evenly, so 61 rows train to something else
    inputs = {name: one[:number] for name, one in inputs.items()} if isinstance(inputs, dict) else inputs[:number]
    keras.utils.set_random_seed(0)
    if place is None:
        model = make()
    else:
        with place.scope():
            model = make()
    model.fit(inputs, y[:number], batch_size=12, epochs=3, verbose=0, shuffle=False)
    return model


def compiled(model):
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


def apart(one, two):
    return float(np.abs(np.asarray(one) - np.asarray(two)).max())


# ---- the layer
by_array, by_name = tfnorm.fit(x, "standard"), tfnorm.fit({"a": x[:, 0], "b": x[:, 1:]}, "robust")
by_key = tfnorm.fit(table, {"a": "standard.by('store')"})
target = tfnorm.fit(y, "standard")


def attached():
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    return compiled(by_name.attach(inner, target=target))


def keyed():
    inputs = {"a": keras.Input((), name="a"), "store": keras.Input((), dtype="int64", name="store")}
    a = by_key.layer()(inputs)["a"]
    return compiled(keras.Model(inputs, keras.layers.Dense(1)(keras.ops.expand_dims(a, -1))))


texts = np.array(["north", "south", "east"])[table["store"]]
by_text = tfnorm.fit({**table, "store": texts}, {"a": "standard.by('store')"})


def keyed_by_text():
    inputs = {"a": keras.Input((), name="a"), "store": keras.Input((), dtype="string", name="store")}
    a = by_text.layer()(inputs)["a"]
    return compiled(keras.Model(inputs, keras.layers.Dense(1)(keras.ops.expand_dims(a, -1))))


cases = {
    "array": (lambda: compiled(keras.Sequential([keras.Input((3,)), by_array.layer(), keras.layers.Dense(1)])), x),
    "dict": (lambda: compiled(keras.Sequential([by_name.layer(concatenate=True), keras.layers.Dense(1)])),
             {"a": x[:, 0], "b": x[:, 1:]}),
    "attached": (attached, {"a": x[:, :1], "b": x[:, 1:]}),
    "running": (lambda: compiled(keras.Sequential(
        [keras.Input((3,)), tfnorm.RunningNormalize(), keras.layers.Dense(1)])), x),
    "keys of text": (keyed_by_text, {"a": table["a"], "store": tf.constant(texts)}),
    "keys": (keyed, {"a": table["a"], "store": table["store"]}),
}
found["apart"], found["loaded in scope"] = {}, []
for name, (make, inputs) in cases.items():
    models = [trained(make, inputs, place) for place in (None, strategy)]
    one, two = (model.predict(inputs, verbose=0) for model in models)
    found["apart"][name] = apart(one, two) / float(np.abs(one).max())
    if name.startswith("keys"):
        models[1].save(sys.argv[1] + "/m.keras")
        with strategy.scope():
            again = keras.models.load_model(sys.argv[1] + "/m.keras")
        found["loaded in scope"].append(apart(again.predict(inputs, verbose=0), two))

# ---- the layer that gathers
found["running"] = {}
for name, options in {"all": {}, "half-life": {"half_life": 20}, "minmax": {"technique": "minmax"}}.items():
    kinds = [
        trained(lambda: compiled(keras.Sequential(
            [keras.Input((3,)), tfnorm.RunningNormalize(**options), keras.layers.Dense(1)])), x, place, rows)
        for place in (None, strategy)
    ]
    layers = [model.layers[0] for model in kinds]
    weights = [[np.asarray(keras.ops.convert_to_numpy(w), "float64") for w in layer.weights] for layer in layers]
    found["running"][name] = {
        "rows": [layer.num_rows for layer in layers],
        "apart": max(float(np.nanmax(np.abs(np.where(np.isfinite(a), a - b, 0)) / (1 + np.abs(np.where(np.isfinite(a), a, 0)))))
                     for a, b in zip(*weights)),
    }
    seen = tfnorm.Running(options.get("technique", "standard"), options.get("half_life"))
    for _ in range(3):
        for start in range(0, rows, 12):
            seen.update(x[start : start + 12])
    found["running"][name]["numpy"] = apart(
        layers[1].running().freeze().transform(x), seen.freeze().transform(x))
    each = [np.asarray(one) for one in layers[1].weights[2].value.values]
    found["running"][name]["replicas agree"] = bool(all(np.array_equal(one, each[0]) for one in each))
with strategy.scope():
    model = keras.Sequential([keras.Input((3,)), tfnorm.RunningNormalize(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
model.fit(x, y, batch_size=12, epochs=1, verbose=0)
found["eager rows"] = model.layers[0].num_rows
print("FOUND" + json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path_factory.mktemp("models"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.split("FOUND", 1)[1])


@pytest.mark.parametrize("case", ["array", "dict", "attached", "running", "keys of text", "keys"])
def test_two_replicas_train_to_the_same_predictions(found, case):
    assert found["replicas"] == 2
    assert found["apart"][case] < 1e-5


def test_a_model_loads_under_the_strategy(found):
    assert found["loaded in scope"] == [0, 0]


@pytest.mark.parametrize("kind", ["all", "half-life", "minmax"])
def test_the_layer_that_gathers_knows_the_rows_of_all_replicas(found, kind):
    seen = found["running"][kind]
    assert seen["rows"] == [183, 183]
    assert seen["replicas agree"]
    assert seen["apart"] < 1e-12
    assert seen["numpy"] < 1e-6


def test_it_does_so_eagerly_too(found):
    assert found["eager rows"] == 61
