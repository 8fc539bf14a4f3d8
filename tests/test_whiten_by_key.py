"""Whitening by key: held against scikit-learn on each key's rows, the laws, the layer and the file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.decomposition import PCA

import tfnorm
from tfnorm import covariance
from tfnorm.artefact import dumps, loads
from tfnorm.codec import decode, encode
from tfnorm.covariance import Covariance
from tfnorm.errors import ChoiceError, DataError
from tfnorm.grouped import Grouped
from tfnorm.maps import ByKey, Map, Matrix

RANDOM = np.random.default_rng(23)
KEYS, ROWS, WIDTH = 4, 1200, 3
STORE = RANDOM.integers(0, KEYS, ROWS)
MIXED = np.einsum(
    "ni,nij->nj", RANDOM.normal(size=(ROWS, WIDTH)), RANDOM.normal(size=(KEYS, WIDTH, WIDTH))[STORE]
) + 10.0 * STORE.reshape(-1, 1)
DATA = {"store": np.array(["a", "b", "c", "é"], object)[STORE], "v": MIXED}
CHOICES = [
    "whiten.by('store')",
    "whiten('zca').by('store')",
    "whiten(components=2).by('store', unseen='missing')",
    "whiten('zca', epsilon=0.1).by('store', shrink=5)",
    "standard, whiten.by('store')",
    "standard.by('store'), whiten('zca').by('store'), clip(-2, 2)",
]


def inner(fitted: Any) -> Matrix:
    (keyed,) = fitted.maps["v"].keyed()
    assert isinstance(keyed.inner, Matrix)
    return keyed.inner


def test_each_key_is_whitened_as_scikit_learn_whitens_its_rows() -> None:
    y = tfnorm.fit(DATA, {"v": "whiten.by('store')"}).transform(DATA)["v"]
    for key in range(KEYS):
        own = MIXED[key == STORE]
        theirs = PCA(whiten=True, svd_solver="full").fit(own)
        largest = np.abs(theirs.components_).argmax(axis=1)
        signs = np.sign(theirs.components_[np.arange(WIDTH), largest])
        expected = theirs.transform(own) * signs * np.sqrt(len(own) / (len(own) - 1))
        np.testing.assert_allclose(y[key == STORE], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("choice", CHOICES)
def test_each_key_is_what_a_fit_of_its_rows_alone_gives(choice: str) -> None:
    fitted = tfnorm.fit(DATA, {"v": choice})
    y = fitted.transform(DATA)["v"]
    plain = choice.replace(".by('store')", "").replace(".by('store', unseen='missing')", "")
    shared = choice.startswith("standard, ")  # by all rows: the rest is of what it gives
    came = tfnorm.fit(MIXED, "standard").transform(MIXED) if shared else MIXED
    for key in range(KEYS) if "shrink" not in choice else ():
        own = came[key == STORE]
        alone = tfnorm.fit(own, plain.removeprefix("standard, ") if shared else plain)
        np.testing.assert_allclose(y[key == STORE], alone.transform(own), rtol=1e-8, atol=1e-8)
    if not any(word in choice for word in ("clip", "components")):
        np.testing.assert_allclose(fitted.inverse({**DATA, "v": y})["v"], MIXED, rtol=1e-10, atol=1e-10)
    everywhere = tfnorm.fit({"v": MIXED}, {"v": plain.replace(".by('store', shrink=5)", "")})
    new = fitted.transform({**DATA, "store": np.full(ROWS, "new", object)})["v"]
    if "missing" in choice:
        assert np.isnan(new).all()
    else:
        np.testing.assert_allclose(new, everywhere.transform({"v": MIXED})["v"], rtol=1e-8, atol=1e-8)


def test_shrinking_adds_rows_that_lie_as_all_do() -> None:
    step = inner(tfnorm.fit(DATA, {"v": "whiten.by('store', shrink=40)"}))
    for key in range(KEYS):
        own = MIXED[key == STORE]
        weight = np.concatenate([np.ones(len(own)), np.full(ROWS, 40 / ROWS)])
        wanted = np.cov(np.concatenate([own, MIXED]).T, aweights=weight, bias=True)
        matrix = step.matrix[:, key]
        np.testing.assert_allclose(matrix.T @ wanted @ matrix, np.eye(WIDTH), atol=1e-10)
        mean = np.average(np.concatenate([own, MIXED]), axis=0, weights=weight)
        np.testing.assert_allclose(step.center[:, key], mean, rtol=1e-12)


def test_a_key_of_few_rows_has_few_directions() -> None:
    k = np.array([0] * 50 + [1] * 2 + [2] + [3] * 2)
    x = RANDOM.normal(size=(55, 3))
    x[53:, 1] = np.nan  # of the last key nothing whole is known
    data = {"k": k, "v": x}
    fitted = tfnorm.fit(data, {"v": "whiten.by('k')"})
    y = fitted.transform(data)["v"]
    assert np.isfinite(y[:53]).all()
    np.testing.assert_allclose(np.abs(y[50:52]), [[1, 0, 0], [1, 0, 0]], atol=1e-12)
    assert y[52].tolist() == [0, 0, 0]
    assert np.isnan(y[53:]).all()
    back = fitted.inverse({"k": k, "v": y})["v"]
    np.testing.assert_allclose(back[:53], x[:53], rtol=1e-12, atol=1e-12)
    assert fitted["v"].transform([[1.0, np.inf, 2.0]], keys=[2]).tolist() == [[0, 0, 0]]
    assert fitted["v"].lost == "of a key up to 3 of 3 directions are dropped, and come back as the mean's"
    with pytest.raises(ChoiceError, match="there is none"):
        tfnorm.fit({"k": k[53:], "v": x[53:]}, {"v": "whiten.by('k')"})


def test_a_share_of_the_variance_is_held_of_every_key() -> None:
    k = np.repeat([0, 1], 200)
    x = RANDOM.normal(size=(400, 3)) * np.where(k[:, None] == 0, [10.0, 1.0, 1.0], [10.0, 9.0, 1.0])
    fitted = tfnorm.fit({"k": k, "v": x}, {"v": "whiten(components=0.9).by('k')"})
    y = fitted.transform({"k": k, "v": x})["v"]
    assert y.shape == (400, 2)
    assert not y[:200, 1].any()
    assert y[200:].std(axis=0) == pytest.approx([1, 1])
    assert fitted["v"].width == 2


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_layer_gives_what_numpy_gives(choice: str, dtype: str) -> None:
    data = {**DATA, "v": MIXED.astype(dtype)}
    fitted = tfnorm.fit(data, {"v": choice})
    data["store"] = np.where(np.arange(ROWS) % 7 == 0, "new", DATA["store"]).astype(object)
    layer, wanted = fitted.layer(dtype=dtype), fitted.transform(data)["v"]
    batch = {"store": tf.constant(data["store"].tolist()), "v": tf.constant(data["v"])}
    piped = next(iter(tf.data.Dataset.from_tensor_slices(batch).batch(ROWS).map(layer)))
    tolerance = 2e-6 if dtype == "float32" else 1e-12
    for got in (layer(batch)["v"], tf.function(layer)(batch)["v"], piped["v"]):
        assert got.shape == wanted.shape
        off = np.abs(got - wanted) / (1 + np.abs(wanted))
        np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
        assert np.nanmax(off) <= tolerance
    back = fitted.layer(inverse=True, dtype=dtype)({**batch, "v": tf.constant(wanted)})["v"]
    expected = fitted.inverse({**data, "v": wanted})["v"]
    np.testing.assert_allclose(back, expected, rtol=1e-5 if dtype == "float32" else 1e-11, atol=1e-5)


def test_models_images_and_gradients(tmp_path: Path) -> None:
    images = RANDOM.normal(size=(60, 4, 5, 3)).astype("float32") + 3
    k = np.arange(60) % 3
    fitted = tfnorm.fit({"k": k, "v": images}, {"v": "whiten('zca').by('k')"})
    y = fitted.transform({"k": k, "v": images})["v"]
    for key in range(3):
        np.testing.assert_allclose(np.cov(y[k == key].reshape(-1, 3).T, bias=True), np.eye(3), atol=1e-4)
    inputs = {"k": keras.Input((), dtype="int64", name="k"), "v": keras.Input(images.shape[1:], name="v")}
    model = keras.Model(inputs, fitted.layer()(inputs)["v"])
    model.save(tmp_path / "m.keras")
    batch = {"k": tf.constant(k), "v": tf.constant(images)}
    for one in (model, keras.models.load_model(tmp_path / "m.keras"), tf.function(fitted.layer(), jit_compile=True)):
        got = one(batch)
        np.testing.assert_allclose(got["v"] if isinstance(got, dict) else got, y, rtol=2e-6, atol=4e-6)
    with tf.GradientTape() as tape:
        tape.watch(batch["v"])
        loss = tf.reduce_sum(fitted.layer()(batch)["v"] ** 2)
    assert np.isfinite(tape.gradient(loss, batch["v"])).all()


def test_fits_add_up_and_are_saved(tmp_path: Path) -> None:
    choice = {"v": "whiten.by('store')", "w": "whiten(components=0.5).by('store')"}
    data = {**DATA, "w": MIXED[:, :2] ** 2}
    whole = tfnorm.fit(data, choice)
    parts = [tfnorm.fit({name: x[part] for name, x in data.items()}, choice) for part in (slice(7), slice(7, ROWS))]
    for added in (parts[0] + parts[1], parts[1] + parts[0]):  # the first has seen fewer rows of a key, or none
        for name in choice:
            np.testing.assert_allclose(added.transform(data)[name], whole.transform(data)[name], atol=1e-9)
    assert loads(dumps(whole)) == whole
    whole.save(tmp_path / "fit.json")
    assert tfnorm.load(tmp_path / "fit.json") == whole
    step = decode(Map, encode(whole.maps["v"]))
    assert isinstance(step, ByKey)
    assert step.flaw(WIDTH) == ""
    assert "shape (4, 5)" in step.flaw(4)
    kept = tfnorm.fit(data, choice, workers=3)
    assert kept == tfnorm.fit(data, choice, workers=1)


def test_a_profile_tells_what_it_lacks_and_what_it_may_not_say() -> None:
    with pytest.raises(ChoiceError, match="vector"):
        tfnorm.fit({"k": [1, 2], "x": [1.0, 2.0]}, {"x": "whiten.by('k')"})
    grouped = Grouped.of({"k": STORE}, MIXED, (Covariance,))
    assert grouped.flaw() == ""
    cut = Covariance.join([Covariance.of(MIXED[:, :2]), Covariance.of(MIXED), Covariance.of(MIXED[:, :1])])
    wrong = Grouped(grouped.keys, (WIDTH,), (Covariance.join([cut, cut]),))
    assert "blocks are not those of its keys" in wrong.flaw()


def test_more_than_memory_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(covariance, "MAX_PRODUCTS", 20)
    with pytest.raises(DataError, match=r"3 features by 4 keys are 24 numbers, and at most 20"):
        tfnorm.fit(DATA, {"v": "whiten.by('store')"})
    halves = [Grouped.of({"k": STORE[part == STORE // 2]}, MIXED[part == STORE // 2], (Covariance,)) for part in (0, 1)]
    with pytest.raises(DataError, match="by 4 keys"):
        halves[0] + halves[1]


def seconds(work: Callable[[], Any]) -> float:
    def once() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return min(once() for _ in range(3))


def test_time_grows_as_the_number_of_keys() -> None:
    def table(keys: int) -> dict[str, np.ndarray]:
        return {"k": np.arange(keys * 10) % keys, "v": np.random.default_rng(0).normal(size=(keys * 10, 3))}

    few, many = table(500), table(4000)
    choice = {"v": "whiten.by('k')"}
    taken = [seconds(lambda data=data: tfnorm.fit(data, choice, workers=1).transform(data)) for data in (few, many)]
    assert taken[1] < 8 * 2.5 * taken[0]
