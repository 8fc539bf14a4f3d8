"""Keras on JAX and on PyTorch: the layer gives what NumPy gives, trains, saves and loads, where TensorFlow is not installed.

Each in a process of its own, in which TensorFlow cannot be imported; skipped where the backend is not installed.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import tfnorm

SCRIPT = r"""
import json, sys, tempfile, warnings
sys.modules["tensorflow"] = None  # importing it fails
import keras
import numpy as np
import tfnorm
from tfnorm import TECHNIQUES

random = np.random.default_rng(0)
x = random.normal(1e6, 1, (64, 3)).astype("float32")
table = {"a": x[:, 0], "b": x[:, 1:], "store": np.arange(64) % 3, "time": 1_700_000_000 + np.arange(64)}
found = {"backend": keras.backend.backend()}


def numbers(y):
    return np.asarray(keras.ops.convert_to_numpy(y), "float64")


def apart(got, wanted):
    wanted = np.asarray(wanted, "float64")
    return float(np.nanmax(np.abs(numbers(got) - wanted) / (1 + np.abs(wanted))))


def wide(batch):
    return {name: one.astype("float64") if one.dtype == "float32" else one for name, one in batch.items()}


def told(action):
    try:
        action()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


# ---- every technique, forward and back
needs = {"power": "power(0.5)", "clip": "clip(1, 4)", "patches": None, "join_patches": None}
found["techniques"], found["inverse"] = {}, {}
z = np.abs(random.normal(3, 1, (64, 4))).astype("float32")
z[0, 0] = np.nan
for name in TECHNIQUES:
    choice = needs.get(name, name)
    if choice is None:
        continue
    fitted = tfnorm.fit(z, choice)
    y = fitted.layer()(z)
    found["techniques"][name] = apart(y, fitted.transform(z.astype("float64")))
    (column,) = fitted.columns
    if not fitted[column].map.lost:
        back = numbers(y)
        found["inverse"][name] = apart(fitted.layer(inverse=True)(y), fitted.inverse(back))

# ---- columns, keys, masks
columns = tfnorm.fit({name: table[name] for name in ("a", "b")}, "standard")
y = columns.layer()(table)
wanted = columns.transform(wide(table))
found["columns"] = {name: apart(y[name], wanted[name]) for name in ("a", "b")}
joined = columns.layer(concatenate=True)(table)
found["columns"]["joined"] = apart(joined, np.concatenate([wanted["a"][:, None], wanted["b"]], axis=1))
by_key = tfnorm.fit({"store": table["store"], "a": table["a"]}, {"a": "standard.by('store')"})
found["columns"]["by key"] = apart(by_key.layer()(table)["a"], by_key.transform(wide(table))["a"])
of_array = tfnorm.fit(x, "standard")
masked = of_array.layer()(x, mask=np.arange(64) < 60)
left_out, rest = numbers(masked)[60:], of_array.transform(x.astype("float64"))[:60]
found["masked"] = [float(np.abs(left_out).max()), apart(masked[:60], rest)]
text = tfnorm.fit({"k": np.array(["u", "v"] * 32), "a": table["a"]}, {"a": "standard.by('k')"})
found["text keys"] = [told(lambda: text.layer(builtin=builtin)) for builtin in (False, True)]
near = {"a": z[:, 1], "store": table["store"]}
near_by_key = tfnorm.fit(near, {"a": "standard.by('store')"})
rows = {name: keras.ops.convert_to_tensor(one) for name, one in near.items()}
found["columns"]["by key, stock"] = apart(near_by_key.layer(builtin=True)(rows)["a"], near_by_key.transform(wide(near))["a"])
found["dataset"] = told(lambda: columns.dataset(type("Dataset", (), {"element_spec": {}})()))

# ---- models
target = tfnorm.fit(x[:, :1], "standard")
inputs = {"a": x[:, :1], "b": x[:, 1:]}
inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
whole = columns.attach(inner, target=(target, "mean", "variance"))
raw = inner.predict(np.concatenate([wanted["a"][:, None], wanted["b"]], axis=1).astype("float32"), verbose=0)
known = target.profile[target.columns[0]]
mean, std = float(np.ravel(known.mean)[0]), float(np.ravel(known.std)[0])
found["attached"] = apart(whole.predict(inputs, verbose=0), raw.astype("float64") * [std, std**2] + [mean, 0])
whole.compile(keras.optimizers.Adam(0.01), "mse")
losses = whole.fit(inputs, np.concatenate([x[:, :1], np.ones((64, 1))], axis=1), epochs=3, verbose=0).history["loss"]
found["losses"] = [float(one) for one in losses]
with tempfile.TemporaryDirectory() as folder:
    whole.save(folder + "/m.keras")
    again = keras.models.load_model(folder + "/m.keras")
found["loaded"] = apart(again.predict(inputs, verbose=0), whole.predict(inputs, verbose=0))

if len(sys.argv) > 1:  # a model that was saved elsewhere
    other = keras.models.load_model(sys.argv[1] + "/m.keras")
    data = np.load(sys.argv[1] + "/data.npz")
    rows = {name: data[name] for name in ("a", "b")}
    found["from TensorFlow"] = apart(other.predict(rows, verbose=0), data["y"])

# ---- 64 bits
times = tfnorm.fit({"time": table["time"]}, "standard")
found["time"] = told(lambda: found.update(times=apart(times.layer()(table)["time"], times.transform(table)["time"])))
far = tfnorm.fit({"k": np.array([1, 1 << 40] * 32), "a": table["a"]}, {"a": "standard.by('k')"})
found["far keys"] = told(far.layer)


def running():
    layer = tfnorm.RunningNormalize("standard")
    model = keras.Sequential([keras.Input((3,)), layer, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, x[:, :1] - 1e6, batch_size=16, epochs=1, verbose=0)
    seen = tfnorm.fit(x, "standard")
    found["running"] = [layer.num_rows, apart(layer(x), seen.transform(x.astype("float64")))]


found["ran"] = told(running)
found["unseen"] = told(lambda: tfnorm.RunningNormalize("standard")(x))
print("FOUND" + json.dumps(found))
"""
BACKENDS = {"jax": {}, "jax with 64 bits": {"JAX_ENABLE_X64": "1"}, "torch": {}}
DOUBLE = [name for name in BACKENDS if name != "jax"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model saved by Keras as it runs here."""
    keras = pytest.importorskip("keras")
    random = np.random.default_rng(1)
    data = {"a": random.normal(1e4, 2, (20, 1)).astype("float32"), "b": random.normal(3, 2, (20, 2)).astype("float32")}
    folder = tmp_path_factory.mktemp("saved")
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    whole = tfnorm.fit(data, {"a": "standard", "b": "robust"}).attach(
        inner, target=tfnorm.fit([[1.0], [5.0]], "minmax")
    )
    whole.save(folder / "m.keras")
    np.savez(folder / "data.npz", **data, y=whole.predict(data, verbose=0))
    return folder


@functools.cache
def found_on(backend: str, folder: str) -> dict[str, Any]:
    name = backend.split(maxsplit=1)[0]
    environment = {
        **os.environ,
        "KERAS_BACKEND": name,
        "JAX_ENABLE_X64": "0",
        "JAX_PLATFORMS": "cpu",
        **BACKENDS[backend],
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, folder], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.split("FOUND", 1)[1])


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    if importlib.util.find_spec(request.param.split()[0]) is None:
        pytest.skip(f"{request.param} is not installed")
    return request.param


@pytest.fixture
def found(backend: str, saved: Any) -> dict[str, Any]:
    return found_on(backend, str(saved))


def test_every_technique_gives_what_numpy_gives(found, backend):
    assert found["backend"] == backend.split()[0]
    assert len(found["techniques"]) > 25
    assert {name: off for name, off in found["techniques"].items() if not off < 2e-6} == {}
    assert len(found["inverse"]) > 15
    assert {name: off for name, off in found["inverse"].items() if not off < 1e-5} == {}


def test_columns_keys_and_masks(found):
    assert all(off < 2e-6 for off in found["columns"].values())
    assert found["masked"][0] == 0
    assert found["masked"][1] < 2e-6


def test_models_train_save_and_load(found):
    assert found["attached"] < 2e-6
    assert found["losses"][-1] <= found["losses"][0]
    assert found["loaded"] < 1e-6


def test_a_model_saved_on_tensorflow_predicts_the_same(found):
    assert found["from TensorFlow"] < 1e-5


def test_what_needs_tensorflow_says_so(found, backend):
    name = backend.split()[0]
    for said in found["text keys"]:
        assert f"text keys in a layer need Keras on TensorFlow, and it runs on {name}" in said
    assert f"Keras runs on {name} here. Set KERAS_BACKEND=tensorflow" in found["dataset"]


def test_64_bits_are_kept_or_asked_for(found, backend):
    if backend in DOUBLE:
        assert found["time"] == found["ran"] == found["far keys"] == "nothing"
        assert found["times"] < 2e-6
        assert found["running"][0] == 64
        assert found["running"][1] < 2e-6
        assert "has seen no rows yet" in found["unseen"]
    else:
        assert 'column "time": needs 64-bit numbers' in found["time"]
        assert "beyond 32 bits" in found["far keys"]
        for key in ("time", "far keys", "ran"):
            assert "JAX_ENABLE_X64=1" in found[key]
