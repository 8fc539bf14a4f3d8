"""Policies and shared numbers: what a fit is told besides its choice."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import tfnorm
from tfnorm.errors import ChoiceError, DataError

NAN, INF = float("nan"), float("inf")
PRICES = {"open": [1.0, 2.0, 3.0], "high": [4.0, 5.0, 6.0], "volume": [7.0, 7.0, 70.0]}


@pytest.mark.parametrize(
    ("choice", "policy", "seen", "came", "expected"),
    [
        ("minmax", {}, [0, 10], [-5, 5, 20], [-0.5, 0.5, 2]),
        ("minmax", {"out_of_range": "clip"}, [0, 10], [-5, 5, 20], [0, 0.5, 1]),
        ("minmax", {"out_of_range": "missing"}, [0, 10], [-5, 5, 10, 20], [NAN, 0.5, 1, NAN]),
        ("log1p", {"out_of_range": "clip"}, [0, 10], [-5, 20], [0, np.log(11)]),
        ("standard", {"missing": 0}, [1, 3], [1, NAN, 3], [-1, 0, 1]),
        ("minmax", {"missing": -1.5}, [1, NAN, 3], [1, NAN, 3], [0, -1.5, 1]),
        ("minmax", {"missing": 0.5, "out_of_range": "missing"}, [1, 3], [9, NAN], [0.5, 0.5]),
        ("standard", {"infinite": "missing"}, [1, INF, 3], [1, INF, -INF], [-1, NAN, NAN]),
        ("standard", {"infinite": "missing", "missing": 7}, [1, INF, 3], [1, INF, -INF], [-1, 7, 7]),
        ("standard", {"constant": "zero"}, [5, 5], [5, 6], [0, 0]),
        ("standard", {"constant": "keep"}, [5, 5], [5, 6], [5, 6]),
        ("minmax(-1, 1)", {"constant": "keep"}, [1, 3], [1, 3], [-1, 1]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_policies(choice: str, policy: Any, seen: Any, came: Any, expected: Any, dtype: Any, tmp_path: Any) -> None:
    """In NumPy, after saving and in the layer alike."""
    fitted = tfnorm.fit({"x": np.array(seen, dtype)}, choice, **policy)
    fitted.save(tmp_path / "norm.json")
    loaded = tfnorm.load(tmp_path / "norm.json")
    assert loaded == fitted
    assert loaded.rules == fitted.rules
    for one in (fitted, loaded):
        np.testing.assert_allclose(one.transform({"x": np.array(came, dtype)})["x"], expected, rtol=1e-6)
    layer = fitted.layer()
    np.testing.assert_allclose(layer({"x": np.array(came, dtype)})["x"].numpy(), expected, rtol=1e-6, atol=1e-7)


def test_what_fires_is_counted_and_told(caplog: Any) -> None:
    data = {"a": [1.0, 2.0, 3.0], "b": [1.0, 2.0, 3.0]}
    fitted = tfnorm.fit(data, "standard", out_of_range={"a": "clip"}, missing={"a": 0.0}, infinite="missing")
    new = {"a": [NAN, 0.0, 9.0, 2.0, INF], "b": [NAN, 0.0, 9.0, 2.0, 2.0]}
    with caplog.at_level(logging.INFO, logger="tfnorm.policies"):
        fitted.transform(new)
        fitted.transform(pd.DataFrame(new))
    assert fitted.fired == {("a", "missing"): 2, ("a", "out_of_range"): 4, ("a", "infinite"): 2}
    assert 'column "a": out_of_range in 2 values: clip' in caplog.text
    assert '"b"' not in caplog.text


def test_what_is_refused_says_where() -> None:
    with pytest.raises(ChoiceError, match=r'columns "a", "b": constant.*"keep"'):
        tfnorm.fit({"a": [1.0, 1.0], "b": [2, 2], "c": [1.0, 2.0]}, "standard", constant="error")
    fitted = tfnorm.fit({"a": [[1.0, 2.0], [3.0, 4.0]]}, "standard", missing="error")
    with pytest.raises(DataError, match=r'"a": 2 values are missing, the first in row 1'):
        fitted.transform({"a": [[1.0, 2.0], [NAN, 2.0], [NAN, 2.0]]})
    with pytest.raises(DataError, match=r'columns "a": values are missing'):
        tfnorm.fit({"a": [1.0, NAN], "b": [1.0, 2.0]}, "standard", missing="error")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"constant": "drop"}, "'zero' or 'keep' or 'error', got 'drop'"),
        ({"missing": "mean"}, "'keep' or 'error', or a number, got 'mean'"),
        ({"missing": NAN}, "or a number"),
        ({"missing": True}, "or a number"),
        ({"out_of_range": 3}, "'keep' or 'clip' or 'missing', got 3"),
        ({"infinite": {"opne": "missing"}}, 'Did you mean "open"'),
        ({"share": "open"}, "list of columns"),
        ({"share": ["open", "hihg"]}, 'Did you mean "high"'),
        ({"share": ["open"]}, "two columns or more"),
        ({"share": [["open", "high"], ["high", "volume"]]}, "a column one group"),
        ({"choice": {"open": "minmax", "high": "standard"}, "share": ["open", "high"]}, "the same technique"),
    ],
)
def test_wrong_rules(arguments: Any, says: str) -> None:
    with pytest.raises(ChoiceError) as error:
        tfnorm.fit(PRICES, **arguments)
    assert says in str(error.value)


@pytest.mark.parametrize(
    "choice", ["standard", "minmax", "robust", "yeo_johnson", "quantile", "log1p, standard", "maxabs"]
)
@pytest.mark.parametrize("exact", [False, True])
def test_shared_numbers_are_those_of_all_values_together(choice: str, exact: bool) -> None:
    random = np.random.default_rng(3)
    data = {name: random.lognormal(at, 1, 500) for at, name in enumerate(["open", "high", "low"])}
    fitted = tfnorm.fit(data, choice, share=["open", "high"], exact=exact)
    together = tfnorm.fit(np.concatenate([data["open"], data["high"]])[:, None], choice, exact=exact)
    alone = tfnorm.fit({"low": data["low"]}, choice, exact=exact)
    for name in ("open", "high"):
        np.testing.assert_allclose(
            fitted.transform(data)[name], together.transform(data[name][:, None])[:, 0], rtol=1e-9, atol=1e-9
        )
    np.testing.assert_allclose(fitted.transform(data)["low"], alone.transform(data)["low"], rtol=1e-12)
    np.testing.assert_allclose(fitted.inverse(fitted.transform(data))["open"], data["open"], rtol=1e-6)


def test_sharing_survives_saving_and_adding(tmp_path: Any) -> None:
    other = {name: [value * 3 for value in values] for name, values in PRICES.items()}
    fitted = tfnorm.fit(PRICES, "standard", share=["open", "high"])
    fitted.save(tmp_path / "norm.json")
    both = tfnorm.load(tmp_path / "norm.json") + tfnorm.fit(other, "standard", share=["open", "high"])
    values = np.concatenate([one[name] for one in (PRICES, other) for name in ("open", "high")])
    assert both.transform({"high": [10.0]})["high"][0] == pytest.approx((10 - values.mean()) / values.std())
    with pytest.raises(ChoiceError, match="same rules"):
        fitted + tfnorm.fit(other, "standard")
    vectors = {"a": np.eye(3) * 5, "b": np.ones((3, 3))}
    together = np.concatenate([vectors["a"], vectors["b"]])
    got = tfnorm.fit(vectors, "standard", share=["a", "b"]).transform(vectors)["a"]
    np.testing.assert_allclose(got, (vectors["a"] - together.mean(0)) / together.std(0), rtol=1e-12)


def test_64_bit_integers_keep_their_digits_under_a_range_policy() -> None:
    start = 2**60
    fitted = tfnorm.fit({"id": [start + 1, start + 3]}, "minmax", out_of_range="clip")
    assert fitted.transform({"id": np.array([start + 1, start + 2, start + 9])})["id"].tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64")}),
        pl.DataFrame({"a": [1, None, 3]}),
        pa.table({"a": [1.0, None, 3.0]}),
    ],
)
def test_nulls_of_tables_are_filled(table: Any) -> None:
    for choice, rules, wanted in (
        ("impute('mean'), standard", {}, [-np.sqrt(1.5), 0, np.sqrt(1.5)]),
        ("mask", {}, [1, 0, 1]),
        ("standard", {"missing": 0.25}, [-1, 0.25, 1]),
    ):
        got = tfnorm.fit(table, choice, **rules).transform(table)
        assert list(map(float, pa.array(got["a"]).to_pylist())) == pytest.approx(wanted)
