"""The layer that goes on while it trains: against NumPy on the whole history, and against `tfnorm.Running`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import tfnorm
from test_laws import equal
from tfnorm import artefact, tensors
from tfnorm.errors import ArtefactError, ChoiceError, DataError
from tfnorm.fading import WINDOW
from tfnorm.layer import Normalize
from tfnorm.layer_running import RunningNormalize
from tfnorm.statistics import Count, Extremes, Moments
from tfnorm.traced import Traced

KEPT = [
    *("standard", "standard(center=False)", "standard(scale=False)", "center", "minmax", "minmax(-1, 1, clip=True)"),
    *("maxabs", "mean_range", "pareto", "vast", "sigmoid", "tanh", "impute('mean')", "clip(-1, 1)"),
    *("standard, clip(-1, 1)", "standard, soft_clip(2)", "asinh, standard", "vast, clip(-1, 1)", "standard, minmax"),
]


def offset(rows: int = 300, features: int = 3, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(1e6, [1, 2, 0.5][:features], (rows, features))


def steps(x: Any, *sizes: int) -> list[Any]:
    return np.split(x, np.cumsum(sizes))


def way(layer: Any, how: str) -> Any:
    def step(batch: Any) -> Any:
        return layer(batch, training=True)

    return step if how == "eager" else tf.function(step, jit_compile=how == "xla")


# ---- the same as Running


@pytest.mark.parametrize("technique", KEPT)
@pytest.mark.parametrize("half_life", [None, 7.5])
def test_it_knows_and_does_what_running_does(technique: str, half_life: float | None) -> None:
    x = np.random.default_rng(2).normal(3, 2, (200, 3))
    x[5:9, 1] = np.nan
    running = tfnorm.Running(technique, half_life)
    layer = RunningNormalize(technique, half_life, dtype="float64")
    for batch in steps(x, 50, 1, 13, 3, 100):
        running.update(batch)
        got = layer(batch, training=True)
        np.testing.assert_allclose(got, running.normalize(batch), rtol=1e-10, atol=1e-11)
    mine = layer.running()
    for part in running.profile.gatherings[0].parts:
        one, other = (
            {
                type(g.statistic): g.statistic.take(*g.places[part.column, part.via, part.through])
                for g in r.profile.gatherings
                if (part.column, part.via, part.through) in g.places
            }
            for r in (mine, running)
        )
        equal(one[Count], other[Count])
        np.testing.assert_allclose(one[Extremes].minimum, other[Extremes].minimum, rtol=1e-15)
        np.testing.assert_allclose(one[Extremes].maximum, other[Extremes].maximum, rtol=1e-15)
        for name in ("weight", "mean", "std", "skewness", "kurtosis") if Moments in other else ():
            np.testing.assert_allclose(getattr(one[Moments], name), getattr(other[Moments], name), rtol=1e-10)
    np.testing.assert_allclose(mine.normalize(x), running.normalize(x), rtol=1e-10, atol=1e-11)
    assert mine.num_rows == layer.num_rows == 200


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
@pytest.mark.parametrize("half_life", [None, 20])
def test_however_it_is_run(how: str, half_life: float | None) -> None:
    x = offset()
    layer = RunningNormalize(["standard", "clip(-5, 5)"], half_life)
    run = way(layer, how)
    for i in range(0, 300, 60):
        got = run(tf.constant(x[i : i + 60]))
        w = 0.5 ** (np.arange(i + 59, -1, -1) / (half_life or np.inf))
        mean = np.average(x[: i + 60] - 1e6, axis=0, weights=w)
        std = np.sqrt(np.average((x[: i + 60] - 1e6 - mean) ** 2, axis=0, weights=w))
        np.testing.assert_allclose(got, (x[i : i + 60] - 1e6 - mean) / std, atol=1e-6)
    assert got.dtype == "float32"
    assert not layer.trainable_weights


@pytest.mark.parametrize("half_life", [1, 3, 2.5])
def test_extremes_are_those_of_running(half_life: float) -> None:
    random = np.random.default_rng(3)
    x = np.where(random.random((400, 2)) < 0.6, np.nan, random.normal(size=(400, 2)))
    x[100:220, 0] = np.nan
    running, layer = tfnorm.Running("minmax", half_life), RunningNormalize("minmax", half_life, dtype="float64")
    run, at = way(layer, "graph"), 0
    while at < 400:
        size = int(random.integers(1, 60))
        batch, at = x[at : at + size], at + size
        running.update(batch)
        run(tf.constant(batch))
        mine, other = layer.running().memory().runs, running.memory().runs
        for field in ("minimum", "maximum"):
            np.testing.assert_array_equal(getattr(mine.extremes, field), getattr(other.extremes, field))  # type: ignore[union-attr]
        np.testing.assert_array_equal(mine.newest, other.newest)  # type: ignore[union-attr]
    assert mine.extremes.minimum.shape == (WINDOW + 1, 2)  # type: ignore[union-attr]


def test_an_agent_with_observations_a_million_off() -> None:
    """As agents go: eight environments, a policy whose first layer is ours, positions far from the origin."""
    random = np.random.default_rng(4)
    layer = tfnorm.Running("standard, clip(-10, 10)").layer(dtype="float64")
    policy = keras.Sequential([layer, keras.layers.Dense(8, "tanh", dtype="float32"), keras.layers.Dense(2)])
    history, state = [], np.tile([1e6, -1e6, 0.0, 5e5], (8, 1))
    act = tf.function(lambda x: policy(x, training=True))
    for _ in range(500):
        state = state + random.normal(0, [0.01, 0.1, 1, 0.5], (8, 4))
        history.append(state)
        act(tf.constant(state))
    seen = np.concatenate(history)
    exact = seen.astype(np.longdouble)
    mean, std = exact.mean(axis=0), exact.std(axis=0)
    wanted = np.clip((exact[-8:] - mean) / std, -10, 10)
    np.testing.assert_allclose(layer(state), np.float64(wanted), atol=1e-7)
    profile = layer.running().freeze().profile["x"]
    np.testing.assert_allclose((profile.mean - mean) / std, np.zeros(4), atol=1e-7)
    np.testing.assert_allclose(profile.std, np.float64(std), rtol=1e-8)


def test_after_ten_million_rows_a_batch_still_counts() -> None:
    random = np.random.default_rng(5)
    x = random.normal(1e6, 1, 10_000_000)
    layer = tfnorm.Running("standard").update(x[:, None]).layer()
    more = random.normal(1e6 + 20, 1, (400, 8, 1))
    run = way(layer, "xla")
    for batch in more:
        run(tf.constant(batch))
    whole = np.concatenate([x, more.reshape(-1)]) - 1e6
    profile = layer.running().freeze().profile["x"]
    assert profile.mean[0] - 1e6 == pytest.approx(whole.mean(), abs=1e-7)
    assert abs(whole.mean() - (x - 1e6).mean()) > 0.005
    assert profile.std[0] == pytest.approx(whole.std(), rel=1e-9)
    assert layer.num_rows == 10_003_200


# ---- in models


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_fit_save_and_load(jit_compile: bool, policy: str, tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    x = random.normal(1e4, 30, (256, 3)).astype("float32")
    y = (x @ [0.1, 0.2, -0.1])[:, None].astype("float32") - 2000
    model = keras.Sequential(
        [
            keras.Input((3,)),
            tfnorm.RunningNormalize("standard", dtype=policy),
            keras.layers.Dense(4, dtype=policy),
            keras.layers.Dense(1, dtype="float32"),
        ]
    )
    model.compile("sgd", "mse", jit_compile=jit_compile)
    model.fit(x, y, batch_size=32, epochs=2, verbose=0)
    layer = model.layers[0]
    assert layer.num_rows == 512
    mean, std = x.astype(np.float64).mean(axis=0), x.astype(np.float64).std(axis=0)
    got = layer(x)
    assert got.dtype == ("float16" if policy == "mixed_float16" else "float32")
    np.testing.assert_allclose(got, (x - mean) / std, atol=4e-3 if policy == "mixed_float16" else 1e-5)
    before = [weight.numpy() for weight in layer.weights]
    predicted = model.predict(x, verbose=0)
    model.evaluate(x, y, verbose=0)
    for weight, value in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)

    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "served"))
    np.testing.assert_allclose(served.serve(tf.constant(x)), predicted, rtol=1e-4, atol=1e-2)


def test_a_fresh_process_goes_on_with_a_saved_model(tmp_path: Path) -> None:
    x = offset(256).astype("float32")
    model = keras.Sequential([keras.Input((3,)), tfnorm.RunningNormalize("standard"), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, np.ones((256, 1)), epochs=2, verbose=0)
    predicted = model.predict(x, verbose=0)
    model.save(tmp_path / "m.keras")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", predicted)
    for imports in ("import keras, tfnorm", "import tfnorm, keras\ntfnorm.RunningNormalize"):
        code = (
            f"import sys\n{imports}\nimport numpy as np\n"
            "model = keras.models.load_model(sys.argv[1] + '/m.keras')\n"
            "x, y = (np.load(sys.argv[1] + name) for name in ('/x.npy', '/y.npy'))\n"
            "np.testing.assert_array_equal(model.predict(x, verbose=0), y)\n"
            "model.fit(x, y, verbose=0)\n"
            "print(model.layers[0].num_rows, model.layers[0].running().num_rows)\n"
        )
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
        assert done.stdout.split() == ["768", "768"], done.stderr[-2000:]


def test_a_functional_model_of_columns(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    data = {
        "age": random.normal(40, 9, (90, 1)).astype("float32"),
        "fare": random.exponential(30, (90, 1)).astype("float32"),
        "flag": np.ones((90, 1), "float32"),
    }
    choice = {"age": "standard", "fare": ["log1p", "standard"]}
    inputs = {name: keras.Input((1,), name=name) for name in data}
    ready = tfnorm.RunningNormalize(choice, half_life=1000)(inputs)
    out = keras.layers.Dense(1)(keras.layers.Concatenate()([ready[name] for name in data]))
    model = keras.Model(inputs, out)
    model.compile("sgd", "mse")
    model.fit(data, np.ones((90, 1)), batch_size=90, verbose=0)
    layer = next(one for one in model.layers if isinstance(one, RunningNormalize))
    running = tfnorm.Running(choice, half_life=1000).update({k: data[k] for k in choice})
    wanted = running.normalize(data)
    got = layer(data)
    shuffled = layer.running().normalize(data)  # fit shuffles its rows, and with a half-life order counts: a little
    for name in data:
        np.testing.assert_allclose(got[name], shuffled[name], atol=2e-6)
        np.testing.assert_allclose(got[name], wanted[name], atol=0.1)
    np.testing.assert_array_equal(got["flag"], data["flag"])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict(data, verbose=0), model.predict(data, verbose=0))


def test_a_custom_train_step_and_gradients() -> None:
    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.ours, self.dense = RunningNormalize("standard"), keras.layers.Dense(1)

        def call(self, x: Any, training: Any = None) -> Any:
            return self.dense(self.ours(x, training=training))

        def train_step(self, data: Any) -> Any:
            x, y = data
            with tf.GradientTape() as tape:
                loss = ops.mean((self(x, training=True) - y) ** 2)
            grads = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(grads, self.trainable_variables, strict=True))
            return {"loss": loss}

    x = offset(128).astype("float32")
    model = Model()
    model.compile("sgd")
    model.fit(x, np.ones((128, 1)), batch_size=64, epochs=3, verbose=0)
    assert model.ours.num_rows == 384
    assert len(model.trainable_variables) == 2
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = model.ours(inputs, training=True)
    std = model.ours.running().freeze().profile["x"].std
    np.testing.assert_allclose(tape.gradient(y, inputs), np.broadcast_to(1 / std, x.shape), rtol=1e-5)


def test_frozen_stops_at_once_in_compiled_functions_and_is_saved(tmp_path: Path) -> None:
    layer = RunningNormalize("standard")
    run = tf.function(lambda x: layer(x, training=True), jit_compile=True)
    x = tf.constant(offset(40))
    run(x)
    layer.freeze()
    before = [weight.numpy() for weight in layer.weights]
    run(x + 100)
    for weight, value in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    assert layer.frozen
    model = keras.Sequential([keras.Input((3,)), layer])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras").layers[0]
    assert loaded.frozen
    loaded(x, training=True)
    assert loaded.num_rows == 40
    layer.unfreeze()
    run(x)
    assert layer.num_rows == 80
    layer.trainable = False
    layer(x, training=True)
    assert layer.num_rows == 80


def test_before_any_update_it_is_an_error_or_missing_but_never_identity() -> None:
    layer = RunningNormalize("standard")
    x = np.ones((4, 2), "float32")
    with pytest.raises(DataError, match=r"seen no rows yet.*training=True"):
        layer(x)
    layer.freeze()
    with pytest.raises(DataError, match="seen no rows yet"):
        layer(x, training=True)
    layer.unfreeze()
    model = keras.Sequential([keras.Input((2,)), layer])
    assert np.isnan(model.predict(x, verbose=0)).all()
    layer(x, training=True)
    assert (model.predict(x, verbose=0) == 0).all()


def test_mask_leaves_padding_out() -> None:
    random = np.random.default_rng(8)
    x = random.normal(5, 2, (20, 6, 3)).astype("float32")
    mask = random.random((20, 6)) < 0.7
    mask[3] = False
    for half_life in (None, 4):
        masked = RunningNormalize("standard", half_life, dtype="float64")
        padded = np.where(mask[..., None], x, -1.0)
        for i in (0, 10):
            masked(padded[i : i + 10], training=True, mask=mask[i : i + 10])
        rows = np.repeat(np.arange(20)[:, None], 6, axis=1)[mask]
        kept = np.unique(rows)
        age = len(kept) - 1 - np.searchsorted(kept, rows)
        w = np.ones(len(rows)) if half_life is None else 0.5 ** (age / half_life)
        mean = np.average(x[mask], axis=0, weights=w)
        profile = masked.running().freeze().profile["x"]
        np.testing.assert_allclose(profile.mean, mean, rtol=1e-6)
        np.testing.assert_allclose(profile.std**2, np.average((x[mask] - mean) ** 2, axis=0, weights=w), rtol=1e-6)
        assert masked.num_rows == 19
        assert profile.count.finite.tolist() == [mask.sum()] * 3
    inputs = keras.Input((6, 3))
    ours = RunningNormalize("standard")
    out = keras.layers.LSTM(2)(ours(keras.layers.Masking(-1.0)(inputs)))
    model = keras.Model(inputs, out)
    model.compile("sgd", "mse")
    model.fit(padded, np.ones((20, 2)), batch_size=20, verbose=0)
    np.testing.assert_allclose(ours.running().freeze().profile["x"].mean, x[mask].mean(axis=0), rtol=1e-6)


def test_images_scalars_and_one_for_all() -> None:
    x = np.random.default_rng(9).integers(0, 256, (16, 5, 4, 3), np.uint8)
    layer = RunningNormalize("standard")
    got = layer(x, training=True)
    flat = x.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(got, (x - flat.mean(axis=0)) / flat.std(axis=0), atol=1e-5)
    layer = RunningNormalize("standard", axis=None)
    np.testing.assert_allclose(layer(x, training=True), (x - x.mean()) / x.std(), atol=1e-5)
    assert layer.running().axis == {"x": None}
    layer = RunningNormalize("minmax")
    assert layer(np.array([1.0, 3.0, 2.0]), training=True).numpy().tolist() == [0.0, 1.0, 0.5]
    assert layer.running().normalize(np.array([2.0])).tolist() == [0.5]


def test_missing_and_infinite_are_left_out() -> None:
    layer = RunningNormalize("log1p, minmax", dtype="float64")
    x = np.array([[0.0], [np.nan], [np.inf], [-np.inf], [-5.0], [np.e - 1]])
    np.testing.assert_allclose(layer(x, training=True)[:2], [[0.0], [np.nan]])
    count = layer.running().profile["x"].count
    assert (count.finite[0], count.nan[0], count.positive_infinite[0], count.negative_infinite[0]) == (3, 1, 1, 1)
    assert layer(np.array([[np.e - 1]])).numpy().tolist() == [[1.0]]


# ---- in and out


def test_it_begins_with_what_was_seen_and_gives_it_back(tmp_path: Path) -> None:
    x = offset()
    for half_life in (None, 25):
        running = tfnorm.Running("standard", half_life).update(x[:100])
        layer = running.layer(dtype="float64")
        np.testing.assert_allclose(layer(x), running.normalize(x), atol=1e-8)
        running.update(x[100:])  # apart from the layer
        assert layer.num_rows == 100
        layer(x[100:200], training=True)
        layer.running().save(tmp_path / "a.json")
        loaded = tfnorm.load(tmp_path / "a.json").update(x[200:])
        np.testing.assert_allclose(loaded.normalize(x), running.normalize(x), atol=1e-7)
        plain = loaded.freeze().layer(dtype="float64")
        assert type(plain) is Normalize
        np.testing.assert_allclose(plain(x), running.normalize(x), atol=1e-7)
    unseen = tfnorm.Running("standard", 5).layer()
    assert unseen.running().num_rows == 0
    assert unseen.running() == tfnorm.Running("standard", 5)


def test_a_clone_and_json_begin_with_what_the_layer_knows() -> None:
    for layer, x in (
        (
            RunningNormalize({"class_name": "standard", "b": "minmax"}, 30),
            {"class_name": offset()[:, 0], "b": offset()},
        ),
        (RunningNormalize("standard", axis=None), offset()),
    ):
        model = keras.Sequential([layer])
        model(x, training=True)
        text = json.dumps(layer.get_config(), allow_nan=False)
        again = RunningNormalize.from_config(json.loads(text))
        for got, wanted in zip(*(keras.tree.flatten(one(x)) for one in (again, layer)), strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-6)
        assert again.num_rows == 300
        assert again.running().memory() is not None
        clone = keras.models.clone_model(model)
        clone(x)
        clone.set_weights(model.get_weights())
        for got, wanted in zip(*(keras.tree.flatten(one(x)) for one in (clone, model)), strict=True):
            np.testing.assert_array_equal(got, wanted)
        config = layer.get_config()
        with pytest.raises(ArtefactError, match="checksum"):
            RunningNormalize(seen=config["seen"].replace('"num_rows": 300', '"num_rows": 301'))
        with pytest.raises(ChoiceError, match="what a Running wrote, got a Fitted"):
            RunningNormalize(seen=artefact.dumps(layer.running().freeze()).decode())


@pytest.mark.parametrize(
    "technique", ["robust", "quantile", "yeo_johnson", "standard, winsorize", "decimal", "impute('median')"]
)
def test_what_a_layer_cannot_keep_is_refused(technique: str) -> None:
    for make in (lambda: RunningNormalize(technique), lambda: tfnorm.Running({"a": technique}).layer()):
        with pytest.raises(ChoiceError, match=r"cannot be kept in a layer.*freeze\(\)\.layer\(\)"):
            make()


def test_what_does_not_suit_is_said() -> None:
    layer = RunningNormalize("standard")
    layer(np.ones((4, 3)), training=True)
    for x, said in (
        (np.ones((4, 2)), r"keeps 3 features a row, got shape \(4, 2\)"),
        ({"a": np.ones(3)}, "takes one tensor"),
    ):
        with pytest.raises(DataError, match=said):
            layer(x, training=True)
    assert layer.num_rows == 4
    named = RunningNormalize({"a": "standard"})
    with pytest.raises(DataError, match='columns missing: "a"'):
        named({"b": np.ones(3)}, training=True)
    with pytest.raises(DataError, match="last length must be known"):
        RunningNormalize("standard").build((None, None))
    with pytest.raises(DataError, match="keeps one array"):
        tfnorm.Running("standard").update(np.ones((2, 2))).layer()({"a": np.ones((2, 2))})
    with pytest.raises(ChoiceError, match="half_life"):
        RunningNormalize("standard", half_life=-1)


# ---- the parts


@pytest.mark.parametrize("xp", [np, ops])
def test_moments_of_tensors_are_those_of_the_definition(xp: Any) -> None:
    random = np.random.default_rng(10)
    x, w = random.lognormal(0, 1, (50, 2, 3)), random.random((50, 1, 1)) + np.zeros((50, 2, 3))
    a, b, nothing = (
        tensors.moments_of(*(xp.array(one[part]) for one in (x, w)), xp)
        for part in (slice(20), slice(20, 50), slice(0))
    )
    flat, weights = x.reshape(-1, 3), w.reshape(-1, 3)
    mean = (flat * weights).sum(axis=0) / weights.sum(axis=0)
    wanted = [weights.sum(axis=0), mean, *((weights * (flat - mean) ** k).sum(axis=0) for k in (2, 3, 4))]
    around = tensors.merged(tensors.merged(nothing, a, xp), tensors.merged(b, nothing, xp), xp)
    for got in (tensors.merged(a, b, xp), around):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)
    back = tensors.plain(tensors.with_units(np.stack(wanted)))
    np.testing.assert_allclose(back, wanted, rtol=1e-14)


@pytest.mark.parametrize("how", ["eager", "graph"])
def test_many_half_lives_in_one_batch(how: str) -> None:
    x = np.arange(4000.0)[:, None]
    running, layer = tfnorm.Running("standard", 1).update(x), RunningNormalize("standard", 1, dtype="float64")
    way(layer, how)(tf.constant(x))
    mine, other = layer.running().profile["x"], running.profile["x"]
    assert (mine.count.finite, mine.minimum, mine.maximum) == (4000, other.minimum, other.maximum)
    assert mine.mean == pytest.approx(other.mean, rel=1e-14)
    assert mine.std == pytest.approx(other.std, rel=1e-12)


def test_an_empty_batch_adds_nothing() -> None:
    for half_life in (None, 3):
        layer = RunningNormalize("standard", half_life)
        layer(np.ones((2, 3), "float32"), training=True)
        before = [weight.numpy() for weight in layer.weights]
        for run in (way(layer, "eager"), way(layer, "graph")):
            assert run(tf.zeros((0, 3))).shape == (0, 3)
        for weight, value in zip(layer.weights, before, strict=True):
            np.testing.assert_array_equal(weight.numpy(), value)


def test_a_traced_array_says_what_it_cannot_tell() -> None:
    one = Traced(ops.convert_to_tensor(np.array([1.0, 2.0])))
    for ask in (bool, float, np.asarray, list, np.add.reduce, lambda x: np.sum(x, axis=0)):
        with pytest.raises(TypeError):
            ask(one)
    assert (np.nextafter(one, 0.0).tensor.numpy() == np.nextafter([1.0, 2.0], 0.0)).all()
    assert (np.ldexp(one, np.array([1, -1])).tensor.numpy() == [2.0, 1.0]).all()
