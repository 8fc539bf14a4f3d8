"""Watching data flow: the tap in `tf.data` and the Keras callback."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import tfnorm
from tfnorm.drift import Watch, watching

ROWS = 6000


def table(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "age": rng.normal(40, 10, ROWS).astype(np.float32),
        "vector": rng.normal(size=(ROWS, 3)).astype(np.float32),
        "count": rng.poisson(3, ROWS),
    }


@pytest.fixture(scope="module")
def fitted() -> tfnorm.Fitted:
    return tfnorm.fit(table(), "standard", full=True)


def batches(data: dict[str, np.ndarray], size: int) -> Any:
    return ({name: array[i : i + size] for name, array in data.items()} for i in range(0, ROWS, size))


# In NumPy


@pytest.mark.parametrize("size", [7, 100, ROWS])
def test_a_watch_knows_what_check_knows(fitted: tfnorm.Fitted, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "ROWS_TOGETHER", 1000)  # several parts, each exact
    data = table(1) | {"age": table(1)["age"] + 6}
    watch = fitted.watch()
    for batch in batches(data, size):
        assert watch.update((batch, None)) is watch
    assert watch.num_rows == ROWS
    drift, wanted = watch.check(), tfnorm.check(fitted, data)
    assert drift is watch.drift is watch.drifts[0]
    assert drift is not None
    assert drift.rows == ROWS
    assert drift.findings == wanted.findings
    assert [(one.name, one.severity) for one in drift.columns] == [(one.name, one.severity) for one in wanted.columns]
    for one, two in zip(drift.columns, wanted.columns, strict=True):
        close = {name: pytest.approx(number, abs=1e-2, rel=1e-2) for name, number in two.numbers.items()}
        assert dict(one.numbers) == close
    assert watch.num_rows == 0
    assert watch.check() is None
    assert len(watch.drifts) == 1


def test_every_so_many_rows_it_tells(fitted: tfnorm.Fitted, caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch(fitted, every=2000, columns=["age"])
    with caplog.at_level(logging.INFO, "tfnorm.drift"):
        for batch in batches(table(1), 500):
            watch.update(batch)
        assert len(watch.drifts) == 3
        assert not caplog.records
        for batch in batches({"age": table(1)["age"] + 10}, 500):
            watch.update(batch)
    assert [drift.drifted for drift in watch.drifts] == [False] * 3 + [True] * 3
    assert len(caplog.records) == 3
    assert caplog.records[0].levelno == logging.WARNING
    assert caplog.records[0].getMessage().startswith("drift in 1 of 1 columns in 2,000 rows: age: 0.9")


def test_batches_that_are_used_again_and_shapes_that_change() -> None:
    rng = np.random.default_rng(0)
    profile = tfnorm.scan(rng.normal(size=(3000, 5)), axis=None)
    watch, room = Watch(profile), np.empty((100, 5))
    for _ in range(20):
        room[:] = rng.normal(size=(100, 5))
        watch.update(room)
    for steps in (3, 9):  # rows of other lengths
        watch.update(rng.normal(size=(50, steps)))
    drift = watch.check()
    assert drift is not None
    assert not drift.drifted
    assert drift.rows == 2100
    moments = drift["x"].profile.moments  # type: ignore[union-attr]
    assert moments.weight[0] == 2000 * 5 + 50 * 3 + 50 * 9


def test_what_fails_stops_the_watch_only(fitted: tfnorm.Fitted, caplog: pytest.LogCaptureFixture) -> None:
    watch = fitted.watch()
    watch.take({"nobody": np.ones(5)})
    with pytest.raises(tfnorm.DataError, match="none of the fitted columns"):
        watch.check()
    watch = fitted.watch(every=5)
    watch.take({"nobody": np.ones(5)})
    assert isinstance(watch.failed, tfnorm.DataError)
    assert "the watch has stopped: " in caplog.text
    watch.take({"age": np.ones(5)})
    assert watch.drift is None
    with pytest.raises(tfnorm.ChoiceError, match="every must be a number of rows"):
        fitted.watch(every=0)


def test_missing_columns_are_found_by_a_watch(fitted: tfnorm.Fitted) -> None:
    watch = fitted.watch()
    for batch in batches(table(1), 1000):
        watch.update({"age": batch["age"], "vector": batch["vector"][:, :2]})
    drift = watch.check()
    assert drift is not None
    assert drift["count"].findings == ("the column is missing",)
    assert drift["vector"].findings == ("has 2 features a row, had 3",)
    assert drift["age"].severity == "none"


# In TensorFlow


@pytest.fixture(scope="module")
def tf() -> Any:
    return pytest.importorskip("tensorflow")


def as_dataset(tf: Any, data: Any, size: int = 64) -> Any:
    return tf.data.Dataset.from_tensor_slices(data).batch(size)


def test_the_tap_hands_on_what_came(fitted: tfnorm.Fitted, tf: Any) -> None:
    data = {name: array[:1000] for name, array in table(1).items()} | {"who": np.array([b"a", b"bc"] * 500)}
    target = np.arange(1000.0)
    for elements in (data, (data, target), (data, target, target + 1)):
        dataset = as_dataset(tf, elements)
        watch = fitted.watch()
        tapped = watch(dataset)
        assert tapped.element_spec == dataset.element_spec
        assert int(tapped.cardinality()) == int(dataset.cardinality()) == 16
        for came, handed_on in zip(dataset.as_numpy_iterator(), tapped.as_numpy_iterator(), strict=True):
            tf.nest.map_structure(np.testing.assert_array_equal, came, handed_on)
        assert watch.failed is None
        assert watch.num_rows == 1000
    drift = watch.check()
    assert drift is not None
    assert {name: drift[name].severity for name in fitted.columns} == dict.fromkeys(fitted.columns, "none")


def test_sparse_ragged_and_bare_batches_are_tapped(tf: Any) -> None:
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(500, 5)) * (rng.random((500, 5)) < 0.3)
    rows = [list(rng.normal(size=rng.integers(1, 9))) for _ in range(500)]
    for data in (dense, tf.sparse.from_dense(dense), tf.ragged.constant(rows)):
        dataset = as_dataset(tf, data)
        fitted = tfnorm.fit(dataset, "maxabs", full=True)
        watch = fitted.watch()
        tapped = watch(dataset)
        assert tapped.element_spec == dataset.element_spec
        for came, handed_on in zip(dataset, tapped, strict=True):
            parts = (tf.nest.flatten(one, expand_composites=True) for one in (came, handed_on))
            tf.nest.map_structure(np.testing.assert_array_equal, *parts)
        assert watch.failed is None
        drift = watch.check()
        assert drift is not None
        assert not drift.drifted
        assert drift["x"].numbers["ks"] == 0


def test_examples_are_not_batches(fitted: tfnorm.Fitted, tf: Any) -> None:
    with pytest.raises(tfnorm.DataError, match="Batch the examples first"):
        fitted.watch()(tf.data.Dataset.from_tensor_slices(table()))
    with pytest.raises(tfnorm.DataError, match=r"expected a tf.data.Dataset, got dict"):
        fitted.watch()(table())


def test_an_error_in_a_watch_does_not_end_the_data(fitted: tfnorm.Fitted, tf: Any) -> None:
    watch = fitted.watch(every=10)
    dataset = watch(as_dataset(tf, {"other": np.arange(100.0)}, 10))
    assert len(list(dataset)) == 10
    assert isinstance(watch.failed, tfnorm.DataError)


def test_the_callback_checks_every_epoch(fitted: tfnorm.Fitted, tf: Any, caplog: pytest.LogCaptureFixture) -> None:
    import keras

    inputs = {"age": keras.Input((), name="age"), "vector": keras.Input((3,), name="vector")}
    normalize = tfnorm.fit(table(), {"age": "standard", "vector": "standard"}).layer(concatenate=True)
    model = keras.Model(inputs, keras.layers.Dense(1)(normalize(inputs)))
    model.compile("sgd", "mse")
    data, target = table(1), np.zeros(ROWS, np.float32)
    watch = fitted.watch(columns=["age", "vector"])
    callback = tfnorm.DriftCallback(watch)
    features = {"age": data["age"] + 6, "vector": data["vector"]}
    history = model.fit(
        watch(as_dataset(tf, (features, target))).prefetch(2), epochs=2, callbacks=[callback], verbose=0
    )
    assert len(history.epoch) == 2
    assert watch.failed is None
    assert [drift.rows for drift in callback.drifts] == [ROWS, ROWS]
    assert callback.drift is watch.drift
    assert callback.drift["age"].severity == "severe"
    assert callback.drift["vector"].severity == "none"
    assert caplog.text.count("drift in 1 of 2 columns in 6,000 rows: age: 0.59 deviations higher") == 2
    stopped = tfnorm.DriftCallback(watch, stop=True)
    history = model.fit(watch(as_dataset(tf, (features, target))), epochs=3, callbacks=[stopped], verbose=0)
    assert len(history.epoch) == 1


def test_the_callback_checks_given_data_once(tf: Any) -> None:
    import keras

    x = np.random.default_rng(0).normal(size=(2000, 3)).astype(np.float32)
    fitted = tfnorm.fit(x, "standard", full=True)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    callback = tfnorm.DriftCallback(fitted, fitted.transform(x), normalized=True)
    model.fit(fitted.transform(x), x[:, 0], epochs=2, callbacks=[callback], verbose=0)
    assert len(callback.drifts) == 1
    assert not callback.drift
    raw = tfnorm.DriftCallback(fitted, x * 5 + 3, normalized=True, stop=True)
    model.fit(x * 5 + 3, x[:, 0], epochs=2, callbacks=[raw], verbose=0)
    assert raw.drift is not None
    assert raw.drift.drifted
    with pytest.raises(tfnorm.ChoiceError, match="needs data"):
        tfnorm.DriftCallback(fitted)
    with pytest.raises(tfnorm.ChoiceError, match="a watch has its own data"):
        tfnorm.DriftCallback(fitted.watch(), x)


def test_checking_loads_neither_tensorflow_nor_keras() -> None:
    code = (
        "import sys, numpy as np, tfnorm; f = tfnorm.fit({'x': np.arange(9.0)}, full=True); "
        "w = f.watch(every=3); w.update({'x': np.arange(9.0)}); repr(tfnorm.check(f, {'x': [1.0]})); "
        "print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
