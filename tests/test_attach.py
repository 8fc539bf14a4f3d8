"""Raw inputs in, real units out: every kind of model, several heads, heads that predict a distribution; trained, saved, exported.

Expected values are written here in NumPy float64, from the data's own means and deviations.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfnorm
from tfnorm import maps
from tfnorm.errors import ChoiceError, NotInvertibleError, TfnormError

ROWS = 400


def data() -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    age, size = random.normal(40, 10, ROWS), random.lognormal(4, 0.5, ROWS)
    return {
        "age": age.astype("float32"),
        "size": size.astype("float32"),
        "time": 1_700_000_000 + random.integers(0, 10_000, ROWS),
        "price": (1000 * size + 500 * age + random.normal(0, 300, ROWS)).astype("float32"),
        "qty": random.poisson(3, ROWS).astype("float32"),
    }


DATA = data()
FITTED = tfnorm.fit(DATA, {**dict.fromkeys(("age", "size", "time", "price"), "standard"), "qty": "minmax"})
INPUTS = ("age", "size", "time")
RAW = {name: DATA[name] for name in INPUTS}
NORMAL = FITTED.transform(DATA)
TARGET = {"price": NORMAL["price"], "qty": NORMAL["qty"]}
STD, MEAN = float(np.std(DATA["price"], dtype="float64")), float(np.mean(DATA["price"], dtype="float64"))
RANGE = float(np.ptp(DATA["qty"]))


@keras.saving.register_keras_serializable("test_attach")
class TwoHeads(keras.Model):
    """A subclassed model, of a tensor or of a dict."""

    def __init__(self, listed: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.listed = listed
        self.price, self.qty = keras.layers.Dense(1), keras.layers.Dense(1)

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = inputs if not isinstance(inputs, dict) else keras.ops.stack([inputs[name] for name in INPUTS], axis=-1)
        heads = {"price": self.price(x), "qty": self.qty(x)}
        return list(heads.values()) if self.listed else heads

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "listed": self.listed}


def matrix() -> np.ndarray:
    return np.stack([NORMAL[name] for name in INPUTS], axis=1).astype("float32")


def functional(listed: bool) -> keras.Model:
    x = keras.Input((3,))
    price, qty = (keras.layers.Dense(1, name=name)(x) for name in ("price", "qty"))
    return keras.Model(x, [price, qty] if listed else {"price": price, "qty": qty})


def subclassed(named: bool) -> keras.Model:
    model = TwoHeads()
    model({name: NORMAL[name] for name in INPUTS} if named else matrix())
    return model


def served(folder: Any, model: keras.Model) -> Any:
    """What TensorFlow's own loader makes of the exported model, for the raw rows in the shapes that it declares."""
    shapes = {name: (-1, *x.shape[1:]) for name, x in model.input.items()}
    loaded = tf.saved_model.load(folder)
    return loaded.serve({name: tf.reshape(x, shapes[name]) for name, x in RAW.items()})


KINDS = {
    "functional of a dict of outputs": lambda: functional(listed=False),
    "functional of a list of outputs": lambda: functional(listed=True),
    "subclassed, of a tensor": lambda: subclassed(named=False),
    "subclassed, of a dict": lambda: subclassed(named=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_several_heads_of_every_kind_of_model(kind, tmp_path):
    model = KINDS[kind]()
    listed, named = "list" in kind, "of a dict" in kind and "subclassed" in kind
    entry = {name: NORMAL[name] for name in INPUTS} if named else matrix()
    goal = list(TARGET.values()) if listed else TARGET
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss=["mse", "mse"] if listed else "mse")
    model.fit(entry, goal, epochs=3, verbose=0)
    wanted = model.predict(entry, verbose=0)
    price, qty = wanted if listed else wanted.values()
    expected = [price.astype("float64") * STD + MEAN, qty.astype("float64") * RANGE + DATA["qty"].min()]

    whole = FITTED.attach(model, target={"price": "price", "qty": "qty"})
    found = whole.predict(RAW, verbose=0)
    if not listed:
        assert list(found) == ["price", "qty"]
    for one, other in zip(found if listed else found.values(), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=1e-6 * STD)

    whole.compile(optimizer=keras.optimizers.Adam(0.01), loss={"price": "mae", "qty": "mae"})
    real = {"price": DATA["price"], "qty": DATA["qty"]}
    history = whole.fit(RAW, real, epochs=2, verbose=0).history
    assert {"price_loss", "qty_loss"} <= set(history)
    assert np.isfinite(history["loss"]).all()

    now = whole.predict(RAW, verbose=0)
    whole.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras").predict(RAW, verbose=0)
    whole.export(tmp_path / "served", verbose=False)
    for other in (again, served(tmp_path / "served", whole)):
        for one, two in zip(tf.nest.flatten(now), tf.nest.flatten(other), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-5)


def inputs_only() -> tfnorm.Fitted:
    return tfnorm.fit({**RAW, "price": DATA["price"]}, "standard")


@pytest.mark.parametrize("begins", ["normalized", "raw"])
def test_one_head_trains_before_and_after(begins, tmp_path):
    fitted = inputs_only()
    if begins == "raw":
        chosen = tfnorm.fit(RAW, "standard")
        model = keras.Sequential([chosen.layer(concatenate=True), keras.layers.Dense(1)])
        entry: Any = RAW
        model(entry)
        whole_of = chosen
    else:
        model, entry, whole_of = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]), matrix(), fitted
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss="mse")
    model.fit(entry, NORMAL["price"], epochs=1, verbose=0)
    whole = whole_of.attach(model, target=fitted["price"])
    wanted = model.predict(entry, verbose=0).astype("float64") * STD + MEAN
    np.testing.assert_allclose(whole.predict(RAW, verbose=0), wanted, rtol=2e-6, atol=1e-6 * STD)
    assert whole.input["time"].dtype == "int64"
    whole.compile(optimizer=keras.optimizers.Adam(0.05), loss="mse")
    before = whole.evaluate(RAW, DATA["price"], verbose=0)
    whole.fit(RAW, DATA["price"], epochs=10, verbose=0)
    assert whole.evaluate(RAW, DATA["price"], verbose=0) < before
    assert model.evaluate(entry, NORMAL["price"], verbose=0) < 1  # the model's own weights were trained
    whole.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.predict(RAW, verbose=0), whole.predict(RAW, verbose=0))


# ---- heads that predict a distribution


def gaussian(log: bool = False, joined: bool = False) -> keras.Model:
    x = keras.Input((3,))
    hidden = keras.layers.Dense(8, activation="tanh")(x)
    mean = keras.layers.Dense(1, name="mu")(hidden)
    spread = keras.layers.Dense(1, activation=None if log else "softplus", name="spread")(hidden)
    if joined:
        return keras.Model(x, keras.layers.Concatenate(name="both")([mean, spread]))
    return keras.Model(x, {"mu": mean, "spread": spread})


def real(of: str, y: np.ndarray) -> np.ndarray:
    y = y.astype("float64")
    return {"deviation": y * STD, "variance": y * STD**2, "log_variance": y + 2 * np.log(STD)}[of]


@pytest.mark.parametrize("of", maps.SPREADS)
@pytest.mark.parametrize("joined", [False, True])
def test_a_head_of_mean_and_spread(of, joined, tmp_path):
    model, fitted = gaussian(of == "log_variance", joined), inputs_only()
    target = ("price", "mean", of) if joined else {"mu": "price", "spread": ("price", of)}
    whole = fitted.attach(model, target=target)
    came, found = model.predict(matrix(), verbose=0), whole.predict(RAW, verbose=0)
    mean, spread = (came[:, :1], came[:, 1:]) if joined else (came["mu"], came["spread"])
    got = (found[:, :1], found[:, 1:]) if joined else (found["mu"], found["spread"])
    np.testing.assert_allclose(got[0], mean.astype("float64") * STD + MEAN, rtol=2e-6, atol=1e-6 * STD)
    np.testing.assert_allclose(got[1], real(of, spread), rtol=3e-6, atol=1e-6)
    # as in NumPy
    np.testing.assert_allclose(fitted["price"].inverse(spread.astype("float64"), of=of), real(of, spread), rtol=1e-12)

    @keras.saving.register_keras_serializable("test_attach", of)
    def loss(y: Any, p: Any) -> Any:  # the negative log-likelihood in real units, so the attached model trains
        scale = {"deviation": lambda s: 2 * tf.math.log(s), "variance": tf.math.log, "log_variance": lambda s: s}[of](
            p[:, 1:]
        )
        return tf.reduce_mean(0.5 * scale + 0.5 * tf.square(y - p[:, :1]) / tf.exp(scale))

    if joined:
        whole.compile(optimizer=keras.optimizers.Adam(0.01), loss=loss)
        losses = whole.fit(RAW, DATA["price"][:, None], epochs=8, verbose=0).history["loss"]
        assert losses[-1] < losses[0]
    whole.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    for one, two in zip(
        tf.nest.flatten(whole.predict(RAW, verbose=0)), tf.nest.flatten(again.predict(RAW, verbose=0)), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    again.export(tmp_path / "served", verbose=False)
    got = served(tmp_path / "served", whole)
    np.testing.assert_allclose(
        tf.nest.flatten(got)[-1], tf.nest.flatten(whole.predict(RAW, verbose=0))[-1], rtol=1e-6, atol=1e-6
    )


def test_a_chain_of_affine_maps_multiplies_their_slopes():
    x = {"x": np.array([0.0, 2.0, 10.0])}
    column = tfnorm.fit(x, "minmax(-1, 1), rescale(0, 3), center")["x"]
    slope = 2 / 10 / 3
    for of, wanted in (("deviation", 1 / slope), ("variance", 1 / slope**2), ("log_variance", 1 - 2 * np.log(slope))):
        assert column.inverse(np.array([1.0]), of=of) == pytest.approx(wanted, rel=1e-12)
        np.testing.assert_allclose(column.layer(inverse=True, of=of)(np.array([1.0], "float32")), wanted, rtol=1e-6)


def test_a_negative_slope_makes_no_negative_deviation():
    step = maps.Affine(np.array([1.0]), np.array([-0.5]), np.array([2.0]))
    assert [maps.spread_of(step, of).inverse(np.array([1.0]), np)[0] for of in maps.SPREADS] == [
        2.0,
        4.0,
        pytest.approx(1 + 2 * np.log(2)),
    ]


def test_by_key_every_row_has_the_slope_of_its_key(tmp_path):
    table = {"store": np.array([1, 1, 2, 2]), "x": np.arange(4.0), "price": np.array([0.0, 10, 0, 1000])}
    fitted = tfnorm.fit(table, {"x": "standard", "price": "minmax.by('store')"})
    given, keys = np.full((2, 1), 0.25), {"store": np.array([1, 2])}
    np.testing.assert_allclose(fitted["price"].inverse(given, of="variance", keys=keys), [[25], [250_000]])
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, kernel_initializer="zeros")])
    model.layers[-1].bias.assign([0.5, 0.25])
    whole = fitted.attach(model, target=("price", "mean", "variance"))
    whole.save(tmp_path / "m.keras")
    rows = {"x": np.array([[1.0], [2.0], [2.0]], "float32"), "store": np.array([1, 2, 9])}
    wanted = [[5, 25], [500, 250_000], [500, 250_000]]  # an unknown store: as all rows
    for one in (whole, keras.models.load_model(tmp_path / "m.keras")):
        np.testing.assert_allclose(one.predict(rows, verbose=0), wanted)


@pytest.mark.parametrize("technique", ["log1p, standard", "yeo_johnson", "standard, clip(-3, 3)", "quantile", "tanh"])
def test_a_spread_comes_back_from_affine_maps_alone(technique):
    fitted = tfnorm.fit({"age": DATA["age"], "price": DATA["price"]}, {"age": "standard", "price": technique})
    with pytest.raises(NotInvertibleError, match=r'column "price".*is not affine.*standard, minmax, robust'):
        fitted.attach(gaussian(), target={"mu": "price", "spread": ("price", "variance")})
    with pytest.raises(NotInvertibleError, match="is not affine"):
        fitted["price"].inverse([1.0], of="deviation")


def test_what_is_constant_has_no_spread():
    column = tfnorm.fit({"x": np.ones(5)}, "standard")["x"]
    assert column.inverse([3.0], of="variance").tolist() == [0.0]
    with pytest.raises(ChoiceError, match=r'column "x".*do not vary'):
        column.inverse([3.0], of="log_variance")


# ---- what does not suit


def test_heads_that_are_left_out_stay_as_they_are():
    fitted, model = inputs_only(), functional(listed=True)
    whole = fitted.attach(model, target={0: "price"})
    assert whole.output_names == ["price", "qty"]
    (price, qty), (mine, other) = model.predict(matrix(), verbose=0), whole.predict(RAW, verbose=0)
    np.testing.assert_allclose(mine, price.astype("float64") * STD + MEAN, rtol=2e-6, atol=1e-6 * STD)
    np.testing.assert_allclose(other, qty, rtol=1e-5, atol=1e-6)


def test_outputs_called_as_inputs_are_or_by_no_word(tmp_path):
    x = keras.Input((1,))
    odd = {"age": keras.layers.Dense(1)(x), "a/b": keras.layers.Dense(1)(x)}
    fitted = tfnorm.fit({"age": DATA["age"], "y": DATA["price"]}, "standard")
    whole = fitted.attach(keras.Model(x, odd), target={"age": "y", "a/b": "y"})
    whole.save(tmp_path / "m.keras")
    rows = {"age": DATA["age"]}
    one, two = whole.predict(rows, verbose=0), keras.models.load_model(tmp_path / "m.keras").predict(rows, verbose=0)
    assert list(one) == list(two) == ["age", "a/b"]
    np.testing.assert_array_equal(one["a/b"], two["a/b"])


@pytest.mark.parametrize(
    ("target", "error", "said"),
    [
        ("price", TfnormError, r'has 2 outputs: "price", "qty". Say which column'),
        ({"prise": "price"}, TfnormError, r'output "prise": the model has "price", "qty"'),
        ({5: "price"}, TfnormError, r'output "5"'),
        ({}, ChoiceError, "names no output"),
        ({"price": ("price", "sigma")}, ChoiceError, r"mean, deviation, variance, log_variance, got 'sigma'"),
        ({"price": "prize"}, ChoiceError, r'column "prize": not in this fit'),
        ({"price": 3}, ChoiceError, "must be a column's name"),
        (
            {"price": ("price", "mean", "variance")},
            TfnormError,
            r'output "price": shape \(None, 1\) does not part evenly',
        ),
    ],
)
def test_a_target_that_does_not_suit(target, error, said):
    with pytest.raises(error, match=said):
        inputs_only().attach(functional(listed=False), target=target)


def test_a_fresh_process_loads_heads_in_safe_mode(tmp_path):
    whole = inputs_only().attach(gaussian(joined=True), target=("price", "mean", "variance"))
    whole.save(tmp_path / "m.keras")
    np.savez(tmp_path / "x.npz", **RAW)
    code = f"""
import keras, numpy as np
import tfnorm.layer
model = keras.models.load_model({str(tmp_path / "m.keras")!r}, safe_mode=True)
np.save({str(tmp_path / "y.npy")!r}, model.predict(dict(np.load({str(tmp_path / "x.npz")!r})), verbose=0))
"""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), whole.predict(RAW, verbose=0))
    assert "pickle" not in json.dumps(whole.get_config())
