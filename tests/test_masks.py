"""Padded steps that a mask says are not there: not counted by a fit, left out of what is computed of a whole sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

import tfnorm
from tfnorm.errors import ChoiceError, DataError
from tfnorm.maps import Affine, Instance, RowNorm, chain

RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(0, 9, 40)
THERE = np.arange(8) < LENGTHS[:, None]
SERIES = np.where(THERE[..., None], RNG.normal(5, 2, (40, 8, 3)), 0.0)
STEPS = SERIES[THERE]  # (steps, 3), those that are there
PADDED = np.where(THERE[..., None], SERIES, np.nan)


def is_fitted_on_steps(found: Any, steps: np.ndarray = STEPS) -> None:
    np.testing.assert_allclose(found.mean, steps.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.std, steps.std(axis=0), rtol=1e-13)
    np.testing.assert_array_equal(found.minimum, steps.min(axis=0))
    assert found.count.finite.tolist() == [len(steps)] * len(found.mean)
    assert found.count.null.tolist() == [THERE.size - len(steps)] * len(found.mean)
    np.testing.assert_allclose(found.quantile(0.3), np.quantile(steps, 0.3, axis=0))


@pytest.mark.parametrize("pad", [0.0, -1.0, np.nan, np.inf, 1e300])
@pytest.mark.parametrize("dtype", [bool, np.int8])
def test_an_array_beside_the_data(pad: float, dtype: Any) -> None:
    x = np.where(THERE[..., None], SERIES, pad)
    is_fitted_on_steps(tfnorm.scan(x, mask=THERE.astype(dtype))["x"])
    fitted = tfnorm.fit(x, "standard", mask=THERE)
    want = (STEPS - STEPS.mean(axis=0)) / STEPS.std(axis=0)
    np.testing.assert_allclose(fitted.transform(x)[THERE], want, rtol=1e-12, atol=1e-14)
    is_fitted_on_steps(tfnorm.scan({"a": x}, mask={"a": THERE})["a"])
    rows = tfnorm.scan(SERIES, mask=LENGTHS > 7)["x"]  # whole rows
    np.testing.assert_allclose(rows.mean, SERIES[LENGTHS > 7].mean(axis=(0, 1)))


def test_the_number_that_rows_were_padded_with() -> None:
    x = np.where(THERE[..., None], SERIES, -7.0)
    x[np.flatnonzero(THERE[:, 0])[0], 0, 1] = -7.0  # one feature of a step may be this number
    is_fitted_on_steps(tfnorm.scan(x, mask=-7.0)["x"], x[THERE])
    batches = lambda: (x[i : i + 7] for i in range(0, 40, 7))
    is_fitted_on_steps(tfnorm.scan(batches, mask=-7)["x"], x[THERE])
    assert tfnorm.fit(batches, mask=-7.0).fingerprint == tfnorm.fit(x, mask=-7.0).fingerprint
    ages = {"age": np.array([-1.0, 30.0, 50.0]), "fare": np.array([-1.0, 1.0, 2.0])}
    found = tfnorm.scan(ages, mask={"age": -1})
    assert (found["age"].mean, found["fare"].mean) == (40.0, pytest.approx(2 / 3))


def test_the_column_that_holds_the_mask(tmp_path: Any) -> None:
    data = {"a": SERIES, "b": np.arange(40.0), "there": THERE}
    found = tfnorm.scan(data, mask={"a": "there"})
    is_fitted_on_steps(found["a"])
    assert list(found) == ["a", "b"]
    assert found["b"].mean == 19.5
    fitted = tfnorm.fit(data, "standard", mask={"a": "there"})
    assert fitted.columns == ("a", "b")
    assert fitted.fingerprint == tfnorm.fit(data, {"a": "standard", "b": "standard"}, mask={"a": "there"}).fingerprint
    np.testing.assert_array_equal(fitted.transform(data)["there"], THERE)
    is_fitted_on_steps(tfnorm.scan({"a": SERIES, "m": THERE}, mask="m")["a"])
    batches = lambda: ({k: v[i : i + 7] for k, v in data.items()} for i in range(0, 40, 7))
    assert tfnorm.fit(batches, "standard", mask={"a": "there"}).fingerprint == fitted.fingerprint
    table = pa.table({"v": np.array([1.0, 2.0, 9.0]), "ok": np.array([True, True, False])})
    pq.write_table(table, tmp_path / "rows.parquet")
    for form in (table, table.to_pandas(), str(tmp_path / "rows.parquet")):
        assert tfnorm.scan(form, mask={"v": "ok"})["v"].mean == 1.5
    null = pd.DataFrame({"v": [1.0, 2.0, 9.0], "ok": pd.array([True, True, None])})
    assert tfnorm.scan(null, mask={"v": "ok"})["v"].mean == 1.5  # what nobody says is there is not


def test_ragged_rows_with_a_mask() -> None:
    table = pa.table({"a": pa.array([[1.0, 2.0, 50.0], [3.0]]), "m": pa.array([[True, True, False], [True]])})
    assert tfnorm.scan(table, mask={"a": "m"})["a"].mean == [2.0]
    assert tfnorm.scan(table, mask={"a": np.array([False, True])})["a"].mean == [3.0]
    assert tfnorm.scan(table, mask={"a": 50})["a"].mean == [2.0]
    other = table.set_column(1, "m", pa.array([[True, True], [True]]))
    with pytest.raises(DataError, match=r'mask of column "a".*as many steps in every row'):
        tfnorm.scan(other, mask={"a": "m"})


def test_masks_together_with_weights() -> None:
    weight = RNG.uniform(0.5, 2, 40)
    each = np.repeat(weight, LENGTHS.clip(max=8))
    found = tfnorm.scan(SERIES, mask=THERE, weight=weight)["x"]
    np.testing.assert_allclose(found.mean, np.average(STEPS, axis=0, weights=each), rtol=1e-13)


def test_numpy_masked_arrays_say_the_same() -> None:
    x = np.ma.MaskedArray(SERIES, np.broadcast_to(~THERE[..., None], SERIES.shape))
    assert tfnorm.fit(x, "standard").fingerprint == tfnorm.fit(SERIES, "standard", mask=THERE).fingerprint


@pytest.mark.parametrize(
    "choice", ["instance(axis=-2)", "instance", "l2(axis=-2)", "l1(axis=None)", "linf(axis=-2)", "contrast(axis=-2)"]
)
@pytest.mark.parametrize("pad", [0.0, 99.0, np.nan])
def test_what_is_computed_of_a_sample_leaves_masked_steps_out(choice: str, pad: float) -> None:
    x = np.ma.MaskedArray(np.where(THERE[..., None], SERIES, pad), np.broadcast_to(~THERE[..., None], SERIES.shape))
    fitted = tfnorm.fit(x, choice)
    y = fitted.transform(x)
    for row, length in enumerate(LENGTHS):
        if length:
            alone = fitted.transform(SERIES[[row], :length])[0]
            np.testing.assert_allclose(np.asarray(y.data[row, :length]), alone, rtol=1e-12, atol=1e-14)
    series = tfnorm.fit(np.asarray(x.data), f"{choice}, standard", mask=THERE).profile  # and when statistics follow
    whole = np.concatenate([fitted.transform(SERIES[[row], :n])[0] for row, n in enumerate(LENGTHS) if n])
    via = series.statistic(tfnorm.statistics.Moments, "x", choice)  # type: ignore[attr-defined]
    np.testing.assert_allclose(via.mean, whole.mean(axis=0), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "step", [RowNorm(2.0), RowNorm(1.0, ()), RowNorm(np.inf, (-2,)), Instance(), Instance((-2,), bias=0.5)]
)
def test_maps_where_all_is_there_and_where_nothing_is(step: Any) -> None:
    x = RNG.normal(5, 2, (4, 8, 3))
    for one in (step, chain(step, Affine(np.ones(3), np.full(3, 2.0), np.zeros(3)))):
        np.testing.assert_allclose(
            one.forward_where(x, np.ones(x.shape, bool), np), one.forward(x, np), rtol=1e-14, atol=1e-15
        )
        assert np.isfinite(one.forward_where(x * np.inf, np.zeros((4, 8, 1), bool), np)).all()


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (THERE[:5], r'"x".*leading shape of \(40, \.\.\.\).*got bool of shape \(5, 8\)'),
        (THERE[:, :3], r"leading shape of \(40, 8, 3\).*got bool of shape \(40, 3\)"),
        (THERE.astype(float), "got float64"),
        (THERE * 2, "True and False"),
    ],
)
def test_faults(mask: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        tfnorm.fit(SERIES, mask=mask)


def test_more_faults() -> None:
    data = {"a": SERIES, "b": np.arange(40.0), "t": THERE}
    with pytest.raises(DataError, match=r'"m".*not in mapping'):
        tfnorm.fit(data, mask={"a": "m"})
    with pytest.raises(DataError, match=r'"b": "t" holds bool \(8,\)'):
        tfnorm.fit(data, mask="t")
    with pytest.raises(DataError, match="read as it comes"):
        tfnorm.fit(lambda: iter([SERIES]), mask=THERE)
    with pytest.raises(ChoiceError, match="mask were settled"):
        tfnorm.fit(tfnorm.scan(SERIES), mask=THERE)
    with pytest.raises(DataError, match="is sparse"):
        tfnorm.fit(sp.csr_array(np.eye(3)), mask=np.ones(3, bool))


# TensorFlow

tf = pytest.importorskip("tensorflow")


def test_datasets_with_the_mask_among_the_columns() -> None:
    data = tf.data.Dataset.from_tensor_slices({"a": SERIES, "there": THERE})
    for one in (data, data.batch(7), data.batch(8).map(lambda row: (row, tf.zeros(8)))):
        found = tfnorm.scan(one, mask={"a": "there"})
        is_fitted_on_steps(found["a"])
        assert list(found) == ["a"]


@pytest.mark.parametrize(
    "choice", ["standard", "log1p, minmax", "instance(axis=-2)", "l2(axis=-2)", "linf", "instance"]
)
def test_a_model_with_masking_in_front(choice: str) -> None:
    import keras

    series = np.where(THERE[..., None], abs(SERIES) + 0.5, -999.0).astype(np.float32)
    fitted = tfnorm.fit(series, choice, mask=-999.0)
    inputs = keras.Input((8, 3))
    normal = fitted.layer()(keras.layers.Masking(-999.0)(inputs))
    model = keras.Model(inputs, [normal, keras.layers.LSTM(4)(normal)])
    y, state = model(series)
    np.testing.assert_array_equal(y._keras_mask, THERE)
    assert np.isfinite(y).all()
    assert np.isfinite(state).all()
    for row, length in enumerate(LENGTHS):
        if length:
            alone = fitted.transform(series[[row], :length])[0]
            np.testing.assert_allclose(y[row, :length], alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(y)[~THERE], 0)
    state_alone = model(np.where(THERE[..., None], series, -999.0))[1]
    np.testing.assert_array_equal(state, state_alone)


def test_masks_of_a_dict_go_with_their_columns() -> None:
    import keras

    fitted = tfnorm.fit({"a": SERIES, "b": np.arange(40.0)}, {"a": "instance(axis=-2)", "b": "standard"})
    inputs = {"a": keras.Input((8, 3), name="a"), "b": keras.Input((), name="b")}
    masked = {"a": keras.layers.Masking(0.0)(inputs["a"]), "b": inputs["b"]}
    normal = fitted.layer()(masked)
    model = keras.Model(inputs, [normal["a"], normal["b"], keras.layers.GRU(2)(normal["a"])])
    y, ages, _ = model({"a": SERIES.astype("float32"), "b": np.arange(40.0)})
    np.testing.assert_array_equal(y._keras_mask, THERE)
    np.testing.assert_allclose(ages, fitted["b"].transform(np.arange(40.0)), rtol=1e-5)
    row = int(np.argmax(LENGTHS == 5))
    np.testing.assert_allclose(y[row, :5], fitted["a"].transform(SERIES[[row], :5])[0], rtol=1e-4, atol=1e-5)
