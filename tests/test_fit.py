"""fit, scan, transform, inverse: the words of the library and what they mean."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from sklearn.preprocessing import StandardScaler

import tfnorm
from tfnorm.errors import ChoiceError, DataError, NotInvertibleError
from tfnorm.statistics import Count, Extremes, Moments

MISSION = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
RANDOM = np.random.default_rng(41)
TABLE = {
    "age": np.array([22, 38, 26, 35, 54, 2], np.int64),
    "fare": np.array([7.25, 71.2833, np.nan, 53.1, 0.0, 300.5]),
    "name": np.array(["a", "b", "c", "d", "e", "f"], object),
    "rooms": np.array([1, 2, 2, 3, 4, 6], np.float32),
}
NUMBERS = {name: TABLE[name] for name in ("age", "fare", "rooms")}


def test_the_missions_examples() -> None:
    minmax = tfnorm.fit(MISSION, "minmax").transform(MISSION)
    assert minmax.tolist() == [[0, 0, 0], [0.5, 0.5, 0.5], [1, 1, 1]]
    standard = tfnorm.fit(MISSION, "standard").transform(MISSION)
    np.testing.assert_allclose(standard, np.array([[-1.0], [0.0], [1.0]]) * math.sqrt(1.5) * np.ones(3), rtol=1e-15)
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-15)
    np.testing.assert_allclose(standard.std(axis=0), 1, rtol=1e-15)
    unit = tfnorm.fit(MISSION, "l2").transform(MISSION)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-15)
    np.testing.assert_allclose(unit, MISSION / np.sqrt([[14], [77], [194]]), rtol=1e-15)


def test_what_does_not_vary_gives_zero_for_unseen_values_too() -> None:
    data = np.array([[5.0, 0.0], [5.0, 1.0]])
    for choice, low in (("minmax", 0.0), ("minmax(-1, 1)", -1.0), ("standard", 0.0), ("robust", 0.0)):
        fitted = tfnorm.fit(data, choice)
        assert fitted.transform(np.array([[5.0, 0], [7.5, 1], [-1e9, 0], [np.inf, 1]]))[:, 0].tolist() == [low] * 4
        assert np.isnan(fitted.transform(np.array([[np.nan, 0]]))[0, 0])
    assert tfnorm.fit(data, "l2").transform(np.zeros((1, 2))).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    "choice",
    [
        "minmax(-1, 1)",
        tfnorm.minmax(-1, 1),
        tfnorm.minmax(low=-1, high=1),
        tfnorm.minmax(low=-1),
        [tfnorm.minmax(-1)],
        ["minmax(low=-1)"],
        {"age": "minmax(-1, 1)", "fare": tfnorm.minmax(-1), "rooms": ["minmax(-1)"]},
        {"rooms": [tfnorm.minmax(-1)], "age": tfnorm.minmax(low=-1), "fare": "minmax(low=-1,)"},
    ],
)
def test_a_choice_may_be_text_object_list_or_mapping(choice: Any) -> None:
    expected = tfnorm.fit(TABLE, tfnorm.minmax(low=-1.0, high=1.0))
    fitted = tfnorm.fit(TABLE, choice)
    assert fitted.fingerprint == expected.fingerprint
    assert fitted == expected
    assert fitted.choice == dict.fromkeys(("age", "fare", "rooms"), "minmax(low=-1)")
    assert fitted.columns == ("age", "fare", "rooms")
    np.testing.assert_allclose(fitted.transform(TABLE)["rooms"], [-1, -0.6, -0.6, -0.2, 0.2, 1], rtol=1e-6)


def test_a_technique_without_settings_may_be_given_uncalled() -> None:
    assert tfnorm.fit(MISSION, tfnorm.standard) == tfnorm.fit(MISSION) == tfnorm.fit(MISSION, "standard")


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"agee": "standard"}, r'"agee".*not in the data.*Did you mean "age"'),
        ({"Age": "standard", "fate": "minmax"}, r'"Age", "fate"'),
        ({"age": "standrad"}, "did you mean 'standard'"),
        ({}, "names no column"),
        ({"name": "standard", "age": "standard"}, r'no numbers.*"name"'),
        ({"age": "l2"}, r'"age".*l2 needs a vector'),
    ],
)
def test_a_wrong_choice_says_so(choice: Any, said: str) -> None:
    with pytest.raises(ChoiceError, match=said):
        tfnorm.fit(TABLE, choice)


def test_one_error_lists_all_columns_that_hold_no_numbers() -> None:
    table = pa.table({"a": [1.0], "t1": ["x"], "t2": ["y"], "b": [True], "t3": [[1, "z"][1:]]})
    with pytest.raises(ChoiceError) as error:
        tfnorm.fit(table, {"t1": "standard", "a": "standard", "t2": "minmax", "t3": "standard"})
    assert all(f'"{name}"' in str(error.value) for name in ("t1", "t2", "t3"))
    assert '"a"' not in str(error.value)
    assert "string" in str(error.value)
    assert tfnorm.fit(table, "standard").columns == ("a", "b")  # left alone when nobody named them
    assert list(tfnorm.scan(table)) == ["a", "b"]
    with pytest.raises(ChoiceError, match='no column of numbers among "t1"'):
        tfnorm.fit(table.select(["t1"]), "standard")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"axis": 0}, "axis must be -1"),
        ({"infinite": "ignore"}, "'error' or 'missing'"),
        ({"unit": "s"}, None),
        ({"unit": {"age": "s"}}, "holds no times"),
        ({"unit": {"age": "fortnight"}}, "no unit of time"),
        ({"weight": "waight"}, "waight"),
        ({"weight": "age", "choice": {"age": "standard"}}, "holds the weights"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], said: str | None) -> None:
    if said is None:
        tfnorm.fit(NUMBERS, **arguments)
        return
    with pytest.raises((ChoiceError, DataError), match=said):
        tfnorm.fit(NUMBERS, **arguments)


def test_other_columns_pass_through() -> None:
    fitted = tfnorm.fit(TABLE, {"fare": "standard"})
    out = fitted.transform({**TABLE, "new": "anything"})
    assert list(out) == [*TABLE, "new"]
    assert all(out[name] is TABLE[name] for name in ("age", "name", "rooms"))
    assert out["new"] == "anything"
    assert np.isnan(out["fare"][2])
    assert np.isfinite(np.delete(out["fare"], 2)).all()


def test_some_columns_by_name() -> None:
    fitted = tfnorm.fit(TABLE, {"age": "standard", "fare": ["log1p", "standard"], "rooms": "minmax"})
    both = fitted.transform(TABLE)
    some = fitted.transform({"fare": TABLE["fare"]})
    assert list(some) == ["fare"]
    np.testing.assert_array_equal(some["fare"], both["fare"])
    back = fitted.inverse({"rooms": both["rooms"], "fare": both["fare"]})
    np.testing.assert_allclose(back["fare"], TABLE["fare"], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(back["rooms"], TABLE["rooms"], rtol=1e-6)
    for values in (both["fare"], both["fare"].tolist(), both["fare"][:, None]):  # as a model gives them: (n, 1)
        found = fitted["fare"].inverse(values)
        assert found.shape == np.shape(values)
        np.testing.assert_allclose(found.reshape(-1), TABLE["fare"], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(fitted["age"].transform(TABLE["age"]), both["age"])
    assert ("age" in fitted, "name" in fitted) == (True, False)
    with pytest.raises(ChoiceError, match='Did you mean "fare"'):
        fitted["far"]
    with pytest.raises(DataError, match=r'none of the fitted columns.*"Fare".*Did you mean "fare"'):
        fitted.transform({"Fare": TABLE["fare"]})


def test_a_unit_norm_has_no_way_back() -> None:
    fitted = tfnorm.fit({"v": MISSION, "a": [1.0, 2.0, 3.0]}, {"v": ["l2", "standard"], "a": "standard"})
    assert not fitted["v"].invertible
    with pytest.raises(NotInvertibleError, match=r'"v".*forgets its length'):
        fitted.inverse({"v": MISSION})
    assert fitted.inverse({"a": [0.0]})["a"].tolist() == [2.0]


def test_inverse_of_a_clipped_value_is_the_end() -> None:
    fitted = tfnorm.fit({"a": [0.0, 10.0]}, "minmax(clip=True)")
    assert fitted.transform({"a": [-5.0, 5.0, 99.0]})["a"].tolist() == [0.0, 0.5, 1.0]
    assert fitted.inverse({"a": [0.0, 0.5, 1.0]})["a"].tolist() == [0.0, 5.0, 10.0]
    assert tfnorm.fit({"a": [0.0, 10.0]}, "minmax").transform({"a": [-5.0, 15.0]})["a"].tolist() == [-0.5, 1.5]


MERGED = [
    "standard",
    "minmax",
    "maxabs",
    "robust",
    "mean_range",
    "log1p, standard",
    "l2",
    "identity",
    "standard, minmax",
]


@pytest.mark.parametrize("choice", MERGED)
def test_fits_add(choice: str) -> None:
    data = RANDOM.exponential(5, (900, 3))
    a, b, both = (tfnorm.fit(part, choice) for part in (data[:300], data[300:], data))
    total = a + b
    assert total.profile.num_rows == 900
    assert [p.num_rows for p in total.profile.provenance] == [300, 600]
    np.testing.assert_allclose(total.transform(data), both.transform(data), rtol=1e-12, atol=1e-12)
    if choice in ("minmax", "maxabs", "robust", "l2", "identity"):
        assert total.fingerprint == both.fingerprint
    assert (total["x"].profile.count.rows == 900).all()


def test_fits_that_do_not_add() -> None:
    a = tfnorm.fit(NUMBERS, "standard")
    with pytest.raises(ChoiceError, match="same choice"):
        a + tfnorm.fit(NUMBERS, "minmax")
    with pytest.raises((ChoiceError, DataError), match="same"):
        a + tfnorm.fit({"age": [1.0]}, "standard")
    with pytest.raises(DataError, match="same columns"):
        a.profile + tfnorm.fit({"age": [1.0], "fare": [1.0], "other": [1.0]}, "standard").profile
    with pytest.raises(TypeError):
        a + 1  # type: ignore[operator]


@pytest.mark.parametrize("choice", ["standard", "minmax", "maxabs", "robust", "mean_range", "l2", "identity", "log1p"])
def test_a_profile_is_fitted_as_its_data(choice: str) -> None:
    data = RANDOM.exponential(5, (900, 3))
    assert tfnorm.fit(tfnorm.scan(data), choice).fingerprint == tfnorm.fit(data, choice).fingerprint


def test_a_profile_lacks_what_was_not_gathered() -> None:
    with pytest.raises(ChoiceError, match=r"standard needs moments, extremes of what mask gives.*Fit from the data"):
        tfnorm.fit(tfnorm.scan(np.abs(RANDOM.normal(size=(9, 1)))), "mask, standard")
    narrow = tfnorm.fit(TABLE, {"age": "minmax"}).profile
    with pytest.raises(ChoiceError, match="robust needs quantiles, which the profile lacks"):
        tfnorm.fit(narrow, "robust")
    with pytest.raises(ChoiceError, match="needs values above -1"):
        tfnorm.fit(tfnorm.scan({"a": [-3.0, 2.0]}), "log1p")


def test_only_what_the_choice_needs_is_gathered() -> None:
    def gathered(choice: Any) -> dict[str, set[str]]:
        profile = tfnorm.fit(TABLE, choice).profile
        return {type(g.statistic).__name__: {part.column for part in g.parts} for g in profile.gatherings}

    always = {"Count": {"age"}, "Extremes": {"age"}}
    for name in ("minmax", "maxabs", "identity", "log1p"):
        assert gathered({"age": name}) == always
    assert gathered({"age": "standard"}) == {**always, "Moments": {"age"}}
    assert gathered({"age": "robust"}) == {**always, "Quantiles": {"age"}}
    both = {"age", "fare"}
    assert gathered({"age": "robust", "fare": "standard"}) == {
        "Count": both,
        "Extremes": both,
        "Moments": {"fare"},
        "Quantiles": {"age"},
    }
    column = tfnorm.fit(TABLE, {"age": "minmax"}).profile["age"]
    assert (column.minimum, column.maximum) == (2.0, 54.0)
    with pytest.raises(DataError, match=r"Moments was not gathered.*tfnorm.scan gathers everything"):
        _ = column.mean


def test_scan_knows_everything_of_every_column() -> None:
    profile = tfnorm.scan(TABLE)
    assert list(profile) == ["age", "fare", "rooms"]
    fare = profile["fare"]
    assert fare.count == Count(*(np.array([n]) for n in (5, 1, 0, 0, 0, 1)))
    assert isinstance(fare.extremes, Extremes)
    assert isinstance(fare.moments, Moments)
    known = TABLE["fare"][np.isfinite(TABLE["fare"])]
    assert (fare.minimum, fare.maximum, fare.quantile(0.5)) == (0.0, 300.5, np.median(known))
    assert fare.mean == pytest.approx(known.mean(), rel=1e-15)
    assert fare.std == pytest.approx(known.std(), rel=1e-15)
    assert fare.variance == pytest.approx(known.var(), rel=1e-15)
    assert tfnorm.scan(TABLE, columns=["rooms"])["rooms"].count.finite.tolist() == [6]
    assert list(tfnorm.scan(TABLE, columns="age")) == ["age"]
    with pytest.raises(ChoiceError, match=r'"name".*no numbers|no numbers.*"name"'):
        tfnorm.scan(TABLE, columns=["name"])
    with pytest.raises(ChoiceError, match="no column 'agee', did you mean 'age'"):
        profile["agee"]


FRAMES: dict[str, Callable[[Any], Any]] = {
    "pandas": lambda table: pd.DataFrame(table, index=list("uvwxyz")),
    "polars": pl.DataFrame,
    "pyarrow": pa.table,
}


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_come_back_as_they_came(kind: str) -> None:
    frame = FRAMES[kind]({**TABLE, "name": list(TABLE["name"])})
    fitted = tfnorm.fit(frame, {"age": "standard", "fare": "minmax"})
    out = fitted.transform(frame)
    assert type(out) is type(frame)
    names = list(out.schema.names if kind == "pyarrow" else out.columns)
    assert names == list(TABLE)
    expected = fitted.transform(NUMBERS)
    as_pandas = out if kind == "pandas" else out.to_pandas()
    for name in ("age", "fare"):
        np.testing.assert_array_equal(as_pandas[name].to_numpy(), expected[name])
    assert list(as_pandas["name"]) == list(TABLE["name"])
    assert as_pandas["rooms"].dtype == np.float32
    if kind == "pandas":
        assert list(out.index) == list("uvwxyz")
        pd.testing.assert_series_equal(out["name"], frame["name"])
    else:
        assert out.schema["name"] == frame.schema["name"] if kind == "polars" else True
    back = fitted.inverse(out)
    assert type(back) is type(frame)
    again = back if kind == "pandas" else back.to_pandas()
    np.testing.assert_allclose(again["fare"].to_numpy(), TABLE["fare"], rtol=1e-14, atol=1e-13)
    some = fitted.inverse(out[["fare"]] if kind != "pyarrow" else out.select(["fare"]))
    assert type(some) is type(frame)


def test_nulls_stay_nulls() -> None:
    table = pa.table({"a": [1.0, None, float("nan"), 3.0]})
    fitted = tfnorm.fit(table, "standard")
    count = fitted.profile["a"].count
    assert (count.null[0], count.nan[0], count.missing[0], count.finite[0]) == (1, 1, 2, 2)
    out = fitted.transform(table)["a"]
    assert out.null_count == 1
    assert out[0].as_py() == -1.0
    assert np.isnan(out[2].as_py())
    polars = fitted.transform(pl.from_arrow(table))["a"]
    assert polars.null_count() == 1


def test_vectors_and_images() -> None:
    vectors = RANDOM.normal(5, 3, (20, 4)) * [1, 10, 100, 1000]
    images = RANDOM.integers(0, 256, (20, 6, 5, 3)).astype(np.uint8)
    fitted = tfnorm.fit({"v": vectors, "i": images}, "standard")
    out = fitted.transform({"v": vectors, "i": images})
    np.testing.assert_allclose(out["v"], StandardScaler().fit_transform(vectors), rtol=1e-12, atol=1e-12)
    exact = (images - images.mean(axis=(0, 1, 2))) / images.std(axis=(0, 1, 2))
    assert out["i"].dtype == np.float32
    np.testing.assert_allclose(out["i"], exact, rtol=1e-6, atol=1e-6)
    assert fitted.profile["i"].mean.shape == (3,)
    assert (fitted.profile["i"].count.finite == 20 * 6 * 5).all()
    one = tfnorm.fit({"v": vectors, "i": images}, "standard", axis=None)
    np.testing.assert_allclose(
        one.transform({"v": vectors})["v"], (vectors - vectors.mean()) / vectors.std(), rtol=1e-12, atol=1e-12
    )
    assert one.profile["i"].mean.shape == (1,)
    mixed = tfnorm.fit({"v": vectors, "i": images}, "standard", axis={"i": None})
    np.testing.assert_array_equal(mixed.transform({"v": vectors})["v"], out["v"])
    assert mixed.profile["i"].mean.shape == (1,)
    bare = tfnorm.fit(images, "minmax")
    np.testing.assert_array_equal(bare.transform(images).max(axis=(0, 1, 2)), 1)
    assert bare.inverse(bare.transform(images)).shape == images.shape


@pytest.mark.parametrize("width", [2, 3, 5, 1])
def test_another_width_is_an_error(width: int) -> None:
    fitted = tfnorm.fit(RANDOM.normal(size=(9, 4)), "standard")
    for call in (fitted.transform, fitted.inverse):
        with pytest.raises(DataError, match=r"expected 4 features on the last axis, got shape \(2, "):
            call(np.zeros((2, width)))
    with pytest.raises(DataError):
        fitted.transform(np.zeros(4))
    with pytest.raises(DataError, match=r"expected an array of 2 axes"):
        fitted.transform(np.zeros((2, 3, 4)))


def test_infinities() -> None:
    data = {"a": [1.0, 2.0, 3.0], "b": [1.0, np.inf, 5.0], "c": [-np.inf, 0.0, np.nan]}
    with pytest.raises(DataError, match=r'"b": infinite value in row 1.*infinite="missing"'):
        tfnorm.fit(data, "standard")
    assert tfnorm.fit(data, {"a": "standard"}).columns == ("a",)
    fitted = tfnorm.fit(data, "standard", infinite="missing")
    assert fitted.transform({"b": [1.0, 3.0, 5.0]})["b"].tolist() == [-1.0, 0.0, 1.0]
    assert np.isnan(fitted.transform({"b": [np.inf, -np.inf]})["b"]).all()
    count = fitted.profile["b"].count
    assert (count.finite[0], count.infinite[0], count.missing[0]) == (2, 1, 0)
    profile = tfnorm.scan(data)
    assert (profile["c"].count.negative_infinite[0], profile["c"].count.nan[0]) == (1, 1)
    with pytest.raises(ChoiceError, match=r'"b", "c": there were infinite values'):
        tfnorm.fit(profile, "standard")
    assert tfnorm.fit(profile, "standard", infinite="missing").fingerprint == fitted.fingerprint


def test_times_ask_for_a_unit() -> None:
    seconds = np.array([1_700_000_000, 1_700_000_060, 1_700_003_600])
    times = pd.DataFrame({"at": pd.to_datetime(seconds, unit="s"), "n": [1.0, 2.0, 3.0]})
    times.loc[3] = [pd.NaT, 4.0]
    with pytest.raises(ChoiceError, match=r'"at" hold times.*unit='):
        tfnorm.fit(times, {"at": "standard"})
    assert tfnorm.fit(times, "standard").columns == ("n",)
    for unit, factor in (("s", 1), ("m", 60), ("h", 3600), ("D", 86400), ("ms", 1e-3), ("ns", 1e-9)):
        for source in (times, pl.from_pandas(times), {"at": times["at"].to_numpy()}):
            column = tfnorm.fit(source, {"at": "standard"}, unit={"at": unit}).profile["at"]
            assert column.mean == pytest.approx(seconds.mean() / factor, rel=1e-15)
            assert column.std == pytest.approx(seconds.std() / factor, rel=1e-12)
            assert column.count.missing[0] == 1
    fitted = tfnorm.fit(times, {"at": "minmax"}, unit="s")
    assert fitted.transform({"at": times["at"].to_numpy()})["at"].tolist()[:3] == [0.0, 1 / 60, 1.0]
    assert fitted.inverse({"at": np.array([0.0, 1.0])})["at"].tolist() == [1_700_000_000, 1_700_003_600]
    assert tfnorm.scan(times, unit="s")["at"].maximum == 1_700_003_600


def test_weights() -> None:
    data, weights = RANDOM.normal(size=(500, 2)), RANDOM.random(500)
    weights[::7] = 0
    scaler = StandardScaler().fit(data, sample_weight=weights)
    expected = scaler.transform(data)
    named = {"a": data[:, 0], "b": data[:, 1], "w": weights}
    for fitted in (
        tfnorm.fit(data, "standard", weight=weights),
        tfnorm.fit(lambda: ((data[i : i + 50], None, weights[i : i + 50]) for i in range(0, 500, 50)), weight=True),
    ):
        np.testing.assert_allclose(fitted.transform(data), expected, rtol=1e-9, atol=1e-9)
    by_name = tfnorm.fit(pd.DataFrame(named), "standard", weight="w")
    assert by_name.columns == ("a", "b")
    np.testing.assert_allclose(by_name.transform(named)["b"], expected[:, 1], rtol=1e-9, atol=1e-9)
    images = RANDOM.normal(size=(10, 4, 4, 2))  # a weight counts for all of a row's values
    heavy = np.arange(10)
    repeated = tfnorm.fit(np.repeat(images, heavy, axis=0), "standard")
    weighted = tfnorm.fit(images, "standard", weight=heavy)
    np.testing.assert_allclose(weighted.transform(images), repeated.transform(images), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e6, 1e9, -3e7])
@pytest.mark.parametrize("choice", ["standard", "minmax", "robust", "mean_range"])
def test_float32_is_right_whatever_the_offset(offset: float, choice: str) -> None:
    data = (RANDOM.normal(size=(5000, 2)) * max(1.0, abs(offset) * 1e-6) + offset).astype(np.float32)
    fitted = tfnorm.fit(data, choice)
    step: Any = fitted.maps["x"]
    exact = (data.astype(np.longdouble) - step.center) * step.scale + step.offset
    z = fitted.transform(data)
    assert z.dtype == np.float32
    assert (np.abs(z - exact) <= 1e-6 * (1 + np.abs(exact))).all()
    if choice == "standard":
        wide = data.astype(np.longdouble)
        exact = (wide - wide.mean(axis=0)) / wide.std(axis=0)
        assert (np.abs(z - exact) <= 1e-6 * (1 + np.abs(exact))).all()


@pytest.mark.parametrize(
    ("dtype", "result"),
    [
        ("float16", "float16"),
        ("float32", "float32"),
        ("float64", "float64"),
        ("longdouble", "float64"),
        ("bool", "float32"),
        ("int8", "float32"),
        ("uint16", "float32"),
        ("int32", "float64"),
        ("uint32", "float64"),
        ("int64", "float64"),
        ("uint64", "float64"),
        (">f4", "float32"),
        (">i8", "float64"),
    ],
)
def test_types_that_come_and_go(dtype: str, result: str) -> None:
    data = RANDOM.integers(0, 2, (400, 3)).astype(dtype)
    fitted = tfnorm.fit(data, "standard")
    found = fitted.transform(data)
    assert found.dtype == np.dtype(result)
    wide = data.astype(np.float64)
    exact = (wide - wide.mean(axis=0)) / wide.std(axis=0)
    np.testing.assert_allclose(found, exact, rtol=1e-3 if result == "float16" else 2e-6)


def test_neither_tensorflow_nor_keras_is_loaded(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pa.table(NUMBERS), tmp_path / "a.parquet")
    code = (
        "import sys, tfnorm\n"
        "early = sorted({'numpy', 'numba', 'pyarrow', 'pandas', 'polars', 'rich'} & set(sys.modules))\n"
        "fitted = tfnorm.fit(sys.argv[1], {'age': 'standard', 'fare': ['log1p', 'robust']})\n"
        "fitted.save(sys.argv[1] + '.json'); tfnorm.load(sys.argv[1] + '.json').transform({'age': [3.0]}); repr(fitted)\n"
        "late = sorted({'tensorflow', 'keras', 'polars', 'sklearn', 'matplotlib'} & set(sys.modules))\n"
        "print(early, late)"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "a.parquet")]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.split("\n")[-2] == "[] []"
