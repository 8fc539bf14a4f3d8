"""Fits from other libraries give their numbers; what these saved lies in `converted`, with what they gave for its rows.

The folders are of Spark 4.3.0 (`model.save`), the JSON of bridgescaler 0.8.6 (`save_scaler`).
"""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn import preprocessing as p
from sklearn.pipeline import make_pipeline

import tfnorm
from tfnorm.errors import ChoiceError, DataError

SAVED = Path(__file__).parent / "converted"
RANDOM = np.random.default_rng(8)
ROWS = RANDOM.gamma(2, 3, (200, 3)) + np.array([0.5, 2, 5])
TIED = np.round(RANDOM.gamma(2, 2, (300, 2)))  # many zeros, ones and twos
NEW = np.concatenate([ROWS[:50], ROWS[:50] * 1.7, ROWS[:5] * 0.01])
SCALERS = [
    p.StandardScaler(),
    p.StandardScaler(with_mean=False),
    p.StandardScaler(with_std=False),
    p.MinMaxScaler(),
    p.MinMaxScaler((-1, 1), clip=True),
    p.MaxAbsScaler(),
    p.RobustScaler(),
    p.RobustScaler(quantile_range=(10, 90)),
    p.PowerTransformer(),
    p.PowerTransformer("box-cox", standardize=False),
    p.QuantileTransformer(n_quantiles=50),
    p.Normalizer(),
    p.Normalizer("l1"),
    p.Normalizer("max"),
    make_pipeline(p.PowerTransformer(), p.MinMaxScaler(), p.Normalizer()),
]


@pytest.mark.parametrize("scaler", SCALERS, ids=str)
def test_a_scikit_learn_scaler_gives_its_numbers(scaler: Any, tmp_path: Path) -> None:
    scaler.fit(ROWS)
    fitted = tfnorm.convert(scaler)
    np.testing.assert_allclose(fitted.transform(NEW), scaler.transform(NEW), rtol=1e-9, atol=1e-9)
    fitted.save(tmp_path / "norm.json")
    loaded = tfnorm.load(tmp_path / "norm.json")
    assert loaded == fitted
    assert tfnorm.verify(fitted, fitted.layer(), NEW, tolerance=3e-6).ok
    if not fitted.maps["x"].lost and "clip" not in str(scaler) and "Quantile" not in str(scaler):
        back = scaler.inverse_transform(scaler.transform(ROWS))
        np.testing.assert_allclose(fitted.inverse(fitted.transform(ROWS)), back, rtol=1e-9)


def test_quantiles_that_are_one_value_leap() -> None:
    scaler = p.QuantileTransformer(n_quantiles=100).fit(TIED)
    new = np.concatenate([TIED, TIED + 0.3, TIED - 5])
    np.testing.assert_allclose(tfnorm.convert(scaler).transform(new), scaler.transform(new), atol=1e-9)


def test_columns_have_the_names_that_the_scaler_saw_or_that_are_given() -> None:
    frame = pd.DataFrame(ROWS, columns=["a", "b", "c"])
    fitted = tfnorm.convert(p.StandardScaler().fit(frame))
    assert fitted.columns == ("a", "b", "c")
    assert fitted.choice == {"a": "standard", "b": "standard", "c": "standard"}
    assert fitted.profile.num_rows == 200
    wanted = p.StandardScaler().fit_transform(frame)
    np.testing.assert_allclose(fitted.transform(frame).to_numpy(), wanted, rtol=1e-9, atol=1e-9)
    assert tfnorm.convert(p.MinMaxScaler().fit(ROWS), columns=["x", "y", "z"]).columns == ("x", "y", "z")
    assert tfnorm.convert(p.Normalizer().fit(frame)).profile.bare, "a norm is of the row"
    with pytest.raises(ChoiceError, match="columns must name each once"):
        tfnorm.convert(p.MinMaxScaler().fit(ROWS), columns=["x", "y"])


def test_what_was_not_gathered_is_said_when_it_is_asked_for() -> None:
    fitted = tfnorm.convert(p.StandardScaler().fit(ROWS), columns=["a", "b", "c"])
    assert "a" in repr(fitted)
    with pytest.raises(DataError, match="was not gathered"):
        _ = fitted["a"].profile.mean
    with pytest.raises(DataError, match="not gathered"):
        _ = fitted + fitted


@pytest.mark.parametrize("technique", ["standard", "minmax(-1, 1)", "maxabs", "robust", "center", "rescale(0, 9)", "l1", "l2",
                                       "linf", "yeo_johnson", "box_cox, standard"])  # fmt: skip
def test_a_fit_becomes_a_scikit_learn_scaler(technique: str) -> None:
    fitted = tfnorm.fit(ROWS, technique)
    scaler = tfnorm.convert(fitted, to="sklearn")
    np.testing.assert_allclose(scaler.transform(NEW), fitted.transform(NEW), rtol=1e-7, atol=1e-9)
    again = pickle.loads(pickle.dumps(scaler))
    np.testing.assert_array_equal(again.transform(NEW), scaler.transform(NEW))
    np.testing.assert_allclose(tfnorm.convert(scaler).transform(NEW), fitted.transform(NEW), rtol=1e-7, atol=1e-9)
    if hasattr(scaler, "inverse_transform"):
        np.testing.assert_allclose(scaler.inverse_transform(fitted.transform(ROWS)), ROWS, rtol=1e-7)


def test_a_table_becomes_a_scaler_with_names_and_constants_stay_zero() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 5.0], "same": [4.0, 4.0, 4.0]})
    fitted = tfnorm.fit(frame, "standard")
    scaler = tfnorm.convert(fitted, to="sklearn")
    assert list(scaler.feature_names_in_) == ["a", "same"]
    new = pd.DataFrame({"a": [3.0], "same": [5.0]})
    np.testing.assert_allclose(scaler.transform(new), fitted.transform(new).to_numpy())
    with pytest.raises(ChoiceError, match="several ways"):
        tfnorm.convert(tfnorm.fit(frame, {"a": "standard", "same": "log1p"}), to="sklearn")
    with pytest.raises(ChoiceError, match='"x": asinh: scikit-learn has no scaler'):
        tfnorm.convert(tfnorm.fit(ROWS, "asinh"), to="sklearn")


@pytest.mark.parametrize("axis", [-1, None])
def test_keras_normalization_both_ways(axis: int | None) -> None:
    layer = keras.layers.Normalization(axis=axis)
    layer.adapt(ROWS)
    fitted = tfnorm.convert(layer)
    np.testing.assert_allclose(fitted.transform(ROWS), np.asarray(layer(ROWS)), rtol=2e-4, atol=2e-4)  # its float32
    given = keras.layers.Normalization(axis=-1, mean=[1.0, 2.0, 3.0], variance=[4.0, 9.0, 0.0])
    given.build((None, 3))
    np.testing.assert_allclose(
        tfnorm.convert(given).transform(np.full((1, 3), 5.0)), np.asarray(given(np.full((1, 3), 5.0))), rtol=1e-6
    )
    for technique in ("standard", "minmax", "robust"):
        own = tfnorm.fit(ROWS[:, :2], technique)
        stock = tfnorm.convert(own, to="keras")
        assert type(stock) is keras.layers.Normalization
        np.testing.assert_allclose(np.asarray(stock(ROWS[:, :2])), own.transform(ROWS[:, :2]), atol=1e-5)
    with pytest.raises(ChoiceError, match="Keras' Normalization does"):
        tfnorm.convert(tfnorm.fit(ROWS, "log1p"), to="keras")
    with pytest.raises(ChoiceError, match="was not adapted"):
        tfnorm.convert(keras.layers.Normalization())


SPARK: dict[str, Any] = json.loads((SAVED / "spark" / "expected.json").read_text())
BRIDGE: dict[str, Any] = json.loads((SAVED / "bridgescaler" / "expected.json").read_text())


@pytest.mark.parametrize("name", SPARK["out"])
def test_a_spark_model_gives_its_numbers(name: str) -> None:
    fitted = tfnorm.convert(SAVED / "spark" / name)
    assert "rows that it does not tell" in repr(fitted)
    np.testing.assert_allclose(fitted.transform(np.array(SPARK["rows"])), SPARK["out"][name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in BRIDGE["out"] if name != "d_quantile"])
def test_bridgescaler_gives_its_numbers(name: str) -> None:
    fitted = tfnorm.convert(SAVED / "bridgescaler" / f"{name}.json")
    rows = np.array(BRIDGE["rows"])
    if fitted.profile.bare:
        got = fitted.transform(rows)
    else:
        got = fitted.transform(pd.DataFrame(rows, columns=["wind", "t2m"])).to_numpy()
    np.testing.assert_allclose(got, BRIDGE["out"][name], rtol=1e-9, atol=1e-12)
    assert fitted.profile.bare == (name not in ("d_standard", "standard"))


def test_what_cannot_be_converted_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="DQuantileScaler"):
        tfnorm.convert(SAVED / "bridgescaler" / "d_quantile.json")
    (tmp_path / "scaler.pkl").write_bytes(pickle.dumps(p.StandardScaler().fit(ROWS)))
    with pytest.raises(DataError, match="none is opened"):
        tfnorm.convert(tmp_path / "scaler.pkl")
    with pytest.raises(ChoiceError, match="SplineTransformer: cannot be converted"):
        tfnorm.convert(p.SplineTransformer().fit(ROWS))
    with pytest.raises(ChoiceError, match="was it fitted"):
        tfnorm.convert(p.StandardScaler())
    with pytest.raises(ChoiceError, match="normal output bends"):
        tfnorm.convert(p.QuantileTransformer(n_quantiles=9, output_distribution="normal").fit(ROWS))
    with pytest.raises(ChoiceError, match="expected a fitted scikit-learn scaler"):
        tfnorm.convert({"mean": 1})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="nor of tensorflow-transform"):
        tfnorm.convert(tmp_path / "empty")


@pytest.mark.parametrize("damage", ["metadata", "data", "json"])
def test_damaged_files_are_told(damage: str, tmp_path: Path) -> None:
    shutil.copytree(SAVED / "spark" / "minmax", tmp_path / "minmax")
    path: Any = tmp_path / "minmax"
    if damage == "json":
        path = tmp_path / "scaler.json"
        path.write_text(
            json.dumps({"type": "StandardScaler", "mean_": {"__numpy__": "AAAA", "dtype": "O", "shape": [1]}})
        )
    else:
        for one in (path / damage).iterdir():
            one.write_bytes(one.read_bytes()[:20])
    with pytest.raises(DataError, match=str(path)):
        tfnorm.convert(path)
