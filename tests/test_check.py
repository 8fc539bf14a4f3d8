"""check(): what it finds, and in what words."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfnorm
from tfnorm.drift import ColumnDrift, Drift, Thresholds

ROWS = 8000


def table(rows: int = ROWS, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "age": np.round(rng.normal(40, 12, rows)),
        "fare": np.where(rng.random(rows) < 0.02, np.nan, rng.lognormal(3, 1, rows)),
        "zero": np.where(rng.random(rows) < 0.9, 0.0, rng.lognormal(size=rows)),
        "flag": rng.random(rows) < 0.3,
        "count": rng.poisson(3, rows),
        "vector": rng.normal(size=(rows, 4)),
    }


@pytest.fixture(scope="module")
def fitted() -> tfnorm.Fitted:
    return tfnorm.fit(table(), "standard", full=True)


def found(fitted: Any, data: Any, name: str, **options: Any) -> ColumnDrift:
    return tfnorm.check(fitted, data, **options)[name]


def test_the_same_data_and_their_like_have_not_drifted(fitted: tfnorm.Fitted) -> None:
    for data in (table(), table(seed=1), table(100, 2), table(1, 3)):
        drift = tfnorm.check(fitted, data)
        assert not drift.drifted
        assert not drift
        assert {column.severity for column in drift.columns} == {"none"}
        assert [column.name for column in drift.columns] == list(fitted.columns)
    same = tfnorm.check(fitted, table())["vector"].numbers
    assert (same["ks_low"], same["outside"], same["missing"]) == (0, 0, 0)
    assert same["psi"] == pytest.approx(0, abs=1e-12)


def test_every_kind_of_drift(fitted: tfnorm.Fitted) -> None:
    data = table(seed=1)
    data["age"] = data["age"] + 12
    data["fare"] = np.where(np.random.default_rng(0).random(ROWS) < 0.3, np.nan, data["fare"])
    data["flag"] = np.random.default_rng(0).random(ROWS) < 0.5
    data["vector"] = data["vector"] + [0, 0, 5, 0.3]
    drift = tfnorm.check(fitted, data)
    assert drift.drifted
    assert {column.name: column.severity for column in drift.columns} == {
        **{"age": "severe", "fare": "severe", "vector": "severe", "flag": "moderate"},
        **{"zero": "none", "count": "none"},
    }
    age = drift["age"]
    assert age.numbers["shift"] == pytest.approx(1.0, abs=0.05)
    assert age.findings[0].startswith("0.99 deviations higher (median 52, was 40)")
    assert "32% missing, 1.9% in the fit" in drift["fare"].findings
    assert drift["vector"].numbers["feature"] == 2
    assert drift["vector"].numbers["features_drifted"] == 2
    assert drift["vector"].findings[0].startswith("2 of 4 features, the worst is 2: 5 deviations higher")
    assert any("above the fit's largest" in finding for finding in drift["vector"].findings)
    assert "mean 0.50113, was 0.30275" in drift["flag"].findings[0]
    assert drift["age"].profile is not None
    assert drift["age"].profile.mean == pytest.approx(np.mean(data["age"]))


def test_a_shift_is_told_in_deviations_of_the_fit() -> None:
    rng = np.random.default_rng(0)
    heavy = rng.standard_t(2, 50_000)
    profile = tfnorm.scan({"n": rng.normal(5, 2, 50_000), "heavy": heavy, "zeros": np.where(heavy > 2, heavy, 0)})
    data = {"n": rng.normal(5.6, 2, 50_000), "heavy": heavy + 0.5, "zeros": np.where(heavy > 2, heavy, 0) - 1}
    drift = tfnorm.check(profile, data)
    assert drift["n"].numbers["shift"] == pytest.approx(0.3, abs=0.02)
    iqr = np.subtract(*np.quantile(heavy, [0.75, 0.25]))
    assert drift["heavy"].numbers["shift"] == pytest.approx(0.5 / (iqr / 1.349), rel=0.01)
    assert drift["zeros"].numbers["shift"] == pytest.approx(-1 / np.std(np.where(heavy > 2, heavy, 0)), rel=0.01)


def test_wider_and_narrower_and_constant(fitted: tfnorm.Fitted) -> None:
    data = table(seed=1)
    middle = np.mean(data["age"])
    wider = found(fitted, data | {"age": (data["age"] - middle) * 2 + middle}, "age")
    assert wider.drifted
    assert "spread 2 times" in " ".join(wider.findings)
    narrower = found(fitted, data | {"age": (data["age"] - middle) / 2 + middle}, "age")
    assert narrower.numbers["spread"] == pytest.approx(0.5, abs=0.05)
    assert narrower.drifted
    stuck = found(fitted, data | {"age": np.full(ROWS, 40.0)}, "age")
    assert stuck.severity == "severe"
    assert "now constant" in " ".join(stuck.findings)


def test_what_leaves_a_constant_is_outside() -> None:
    fitted = tfnorm.fit({"c": np.full(5000, 7.0)}, full=True)
    assert not tfnorm.check(fitted, {"c": np.full(100, 7.0)})
    moved = found(fitted, {"c": [7.0] * 800 + [8.0] * 200}, "c")
    assert moved.severity == "severe"
    assert moved.findings[-1] == "was 7 throughout: 20% above the fit's largest, 7 (as far as 8)"
    assert np.isnan(moved.numbers["shift"])
    assert moved.to_dict()["numbers"]["shift"] is None


def test_out_of_range_is_judged_beyond_chance() -> None:
    rng = np.random.default_rng(0)
    small = tfnorm.scan({"x": rng.random(20)})  # whose range new data leave by chance
    clean = found(small, {"x": rng.random(2000)}, "x")
    assert clean.numbers["outside"] > 0.01
    assert not clean.drifted
    large = tfnorm.scan({"x": rng.random(50_000)})
    data = rng.random(2000)
    data[:60] = 1.5
    some = found(large, {"x": data}, "x")
    assert some.severity == "moderate"
    assert some.numbers["outside"] == pytest.approx(0.03, abs=1e-3)
    assert some.findings == ("3% above the fit's largest, 1 (as far as 1.5)",)


def test_missing_new_and_retyped_columns(fitted: tfnorm.Fitted) -> None:
    data = table(seed=1)
    data["Zero"] = data.pop("zero")
    data["count"] = data["count"].astype(str)
    data["vector"] = data["vector"][:, :3]
    data["flag"] = data["flag"].astype(float)
    drift = tfnorm.check(fitted, data)
    assert [column.name for column in drift.columns[:3]] == ["zero", "count", "vector"]
    assert drift["zero"].findings == ('the column is missing. Did you mean "Zero"?',)
    assert drift["count"].findings == ("holds text or objects (string), held numbers (int64)",)
    assert drift["vector"].findings == ("has 3 features a row, had 4",)
    assert all(drift[name].severity == "severe" and drift[name].profile is None for name in ("zero", "count", "vector"))
    assert drift["flag"].findings == ("float64, was bool",)
    assert drift["flag"].severity == "none"
    assert drift.findings == (
        'cannot be compared: "zero", "count", "vector"',
        'new, and not in the fit: "Zero"',
    )


def test_what_never_can_be_compared_is_an_error(fitted: tfnorm.Fitted) -> None:
    with pytest.raises(tfnorm.DataError, match=r'none of the fitted columns .* Did you mean "Age"'):
        tfnorm.check(fitted, {"Age": [1.0]})
    with pytest.raises(tfnorm.DataError, match="named columns, and these are one array"):
        tfnorm.check(fitted, np.ones((5, 2)))
    with pytest.raises(tfnorm.ChoiceError, match=r'"agee": not in the fit. Did you mean "age"'):
        tfnorm.check(fitted, table(), columns="agee")
    with pytest.raises(tfnorm.ChoiceError, match=r"expected some of psi, ks, .* got 'sift'. Did you mean \"shift\""):
        tfnorm.check(fitted, table(), thresholds={"sift": 1})
    for wrong in (0, -1, (0.2, 0.1), "a", True, (1, 2, 3), float("nan")):
        with pytest.raises(tfnorm.ChoiceError, match="psi must be a number above 0"):
            tfnorm.check(fitted, table(), thresholds={"psi": wrong})
    with pytest.raises(tfnorm.ChoiceError, match="spread must be a number above 1"):
        Thresholds.of({"spread": 0.5})
    with pytest.raises(tfnorm.ChoiceError, match="false_alarms must be a probability"):
        tfnorm.check(fitted, table(), false_alarms=1)
    with pytest.raises(tfnorm.ChoiceError, match="a fit or a profile"):
        tfnorm.check("norm.json", table())  # type: ignore[arg-type]
    with pytest.raises(tfnorm.ChoiceError, match="normalized=True needs a fit"):
        tfnorm.check(fitted.profile, table(), normalized=True)


def test_thresholds_and_columns(fitted: tfnorm.Fitted) -> None:
    data = table(seed=1)
    data["age"] = data["age"] + 3
    assert found(fitted, data, "age").severity == "moderate"
    loose = {"shift": 0.5, "ks": 0.5, "psi": (0.5, 1.0)}
    assert found(fitted, data, "age", thresholds=loose).severity == "none"
    assert found(fitted, data, "age", thresholds={"shift": 0.05}).severity == "severe"
    drift = tfnorm.check(fitted, data, columns=["age", "zero"])
    assert [column.name for column in drift.columns] == ["age", "zero"]
    assert drift.findings == ()
    assert tfnorm.check(fitted, data, columns="zero").columns[0].name == "zero"


def test_profiles_and_fits_are_compared_as_they_are(fitted: tfnorm.Fitted) -> None:
    data = table(seed=1)
    data["age"] = data["age"] + 12
    wanted = tfnorm.check(fitted, data).to_dict()["columns"]
    assert tfnorm.check(fitted.profile, data).to_dict()["columns"] == wanted
    assert tfnorm.check(fitted, tfnorm.scan(data)).to_dict()["columns"] == wanted
    assert tfnorm.check(fitted, tfnorm.fit(data, "standard", full=True)).to_dict()["columns"] == wanted
    with pytest.raises(tfnorm.DataError, match="settled when the profile was made"):
        tfnorm.check(fitted, tfnorm.scan(data), weight="age")


# Normalized once, twice, never


@pytest.mark.parametrize("technique", ["standard", "minmax", "robust", "log1p, standard", "quantile", "yeo_johnson"])
@pytest.mark.parametrize("full", [True, False])
def test_normalized_twice_and_not_at_all(technique: str, full: bool) -> None:
    rng = np.random.default_rng(0)
    raw = {"x": rng.lognormal(3, 1, ROWS), "k": rng.poisson(20, ROWS)}
    fitted = tfnorm.fit(raw, technique, full=full)
    once = {name: array.astype(np.float32) for name, array in fitted.transform(raw).items()}
    assert not tfnorm.check(fitted, raw).drifted
    assert not tfnorm.check(fitted, once, normalized=True).drifted
    ranges_only = not full and technique == "minmax"
    for name in raw:
        already = found(fitted, once, name)
        bare = found(fitted, raw, name, normalized=True)
        assert already.severity == bare.severity == "severe" or ranges_only
        if not ranges_only:
            assert already.findings[0].startswith("normalized already"), name
            assert bare.findings[0].startswith("not normalized"), name
    if technique in ("standard", "robust"):
        twice = fitted.transform(once)
        assert found(fitted, twice, "x", normalized=True).findings[0].startswith("normalized twice")


def test_what_a_map_mixes_is_not_compared_when_normalized() -> None:
    rng = np.random.default_rng(0)
    data = {"v": rng.normal(size=(500, 3)), "s": rng.integers(0, 3, 500), "p": rng.normal(size=500)}
    fitted = tfnorm.fit(data, {"v": "l2", "p": tfnorm.standard.by("s")}, full=True)
    drift = tfnorm.check(fitted, fitted.transform(data), normalized=True)
    assert not drift.drifted
    assert drift["v"].findings == (
        "what l2 gives cannot be told from the fit's statistics: only missing values were compared",
    )
    assert "ks" not in drift["p"].numbers
    assert tfnorm.check(fitted, {**data, "p": data["p"] + 9}).columns[0].name == "p"
    assert drift.findings == ()


def test_what_was_filled_is_not_missing() -> None:
    rng = np.random.default_rng(0)
    data = {"x": np.where(rng.random(ROWS) < 0.3, np.nan, rng.normal(size=ROWS))}
    fitted = tfnorm.fit(data, "standard", missing=0.0, full=True)
    normalized = fitted.transform(data)
    assert not np.isnan(normalized["x"]).any()
    assert not tfnorm.check(fitted, normalized, normalized=True).drifted
    assert tfnorm.check(fitted, data, normalized=True).drifted


# What a fit gathered


def test_without_sketches_means_deviations_and_ranges_are_compared() -> None:
    fitted = tfnorm.fit(table(), {"age": "standard", "count": "minmax"})
    data = table(seed=1)
    clean = tfnorm.check(fitted, data)
    assert not clean.drifted
    assert "full=True" in clean.findings[-1]
    assert "shift" in clean["age"].numbers
    assert "ks" not in clean["age"].numbers
    moved = tfnorm.check(fitted, {"age": data["age"] + 6, "count": data["count"] * 3})
    assert moved["age"].findings[0].startswith("mean 0.49 deviations higher")
    assert moved["count"].findings == ("19% above the fit's largest, 12 (as far as 39)",)
    ranges = tfnorm.check(fitted, tfnorm.fit({"age": data["age"], "count": data["count"] * 3}, "minmax"))
    assert ranges["count"].severity == "none"  # of ranges alone nobody knows how many left them
    assert ranges["count"].findings == ("values above the fit's largest, 12 (as far as 39)",)
    wider = found(fitted, {"age": (data["age"] - 40) * 3 + 40, "count": data["count"]}, "age")
    assert wider.findings[0].startswith("deviation 3 times")
    assert wider.severity == "severe"


def test_full_gathers_all_and_changes_nothing_else() -> None:
    choice = {"age": "standard", "fare": "log1p, standard", "zero": "minmax", "count": tfnorm.standard.by("flag")}
    bare, full = (tfnorm.fit(table(), choice, full=one) for one in (False, True))
    assert bare.fingerprint == full.fingerprint
    scanned = tfnorm.scan(table(), columns=list(choice))
    for name in choice:
        for one in (tfnorm.statistics.Count, tfnorm.statistics.Moments, tfnorm.quantiles.Quantiles):  # type: ignore[attr-defined]
            assert repr(full.profile.statistic(one, name)) == repr(scanned.statistic(one, name))
    again = tfnorm.fit(table(seed=1), choice, full=True)
    assert (full + again).profile.num_rows == 2 * ROWS
    assert tfnorm.fit(scanned, "standard", full=True).fingerprint
    with pytest.raises(tfnorm.ChoiceError, match="this profile does not hold all"):
        tfnorm.fit(bare.profile, {"age": "standard"}, full=True)
    with pytest.raises(tfnorm.ChoiceError, match="full must be True or False"):
        tfnorm.fit(table(), full="yes")  # type: ignore[arg-type]


def test_a_saved_fit_checks_the_same(fitted: tfnorm.Fitted, tmp_path: Any) -> None:
    fitted.save(tmp_path / "norm.json")
    data = table(seed=1) | {"age": table()["age"] + 5}
    assert tfnorm.check(tfnorm.load(tmp_path / "norm.json"), data).to_json() == tfnorm.check(fitted, data).to_json()


# Kinds of data


def test_times_integers_masked_and_weighted() -> None:
    rng = np.random.default_rng(0)
    when = np.datetime64("2020-01-01T00:00:00") + rng.integers(0, 30 * 86400, ROWS).astype("m8[s]")
    data = {"t": when, "i": rng.integers(0, 2**62, ROWS), "w": rng.integers(1, 3, ROWS)}
    fitted = tfnorm.fit(data, {"t": "standard", "i": "standard"}, unit="h", weight="w", full=True)
    assert not tfnorm.check(fitted, data, weight="w").drifted
    later = tfnorm.check(fitted, data | {"t": when.astype("M8[ms]") + np.timedelta64(20, "D")}, weight="w")
    assert later["t"].severity == "severe"
    assert "median 2020-02-0" in later["t"].findings[0]
    assert later["i"].severity == "none"
    numbers = tfnorm.check(fitted, data | {"t": rng.random(ROWS)})
    assert numbers["t"].findings == ("holds numbers (float64), held times (datetime64[s])",)
    holes = np.ma.MaskedArray(data["i"], rng.random(ROWS) < 0.5)
    assert "missing" in found(fitted, data | {"i": holes}, "i").findings[0]


def test_float32_of_the_same_prices_is_no_drift() -> None:
    prices = np.random.default_rng(0).choice([0.1, 0.2, 0.3, 19.99], ROWS)
    fitted = tfnorm.fit({"p": prices}, full=True)
    drift = tfnorm.check(fitted, {"p": prices.astype(np.float32)})
    assert not drift.drifted
    assert drift["p"].numbers["ks"] < 1e-9
    assert drift["p"].numbers["outside"] == 0


def test_sparse_images_and_values_of_one_row() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(0)
    rows = sparse.random(4000, 10, 0.3, random_state=0, format="csr")
    fitted = tfnorm.fit(rows, "maxabs", full=True)
    assert not tfnorm.check(fitted, rows).drifted
    assert tfnorm.check(fitted, rows * 2)["x"].numbers["features_drifted"] == 10
    images = rng.random((300, 8, 8, 3)) + rng.normal(size=(300, 1, 1, 1))  # a level of its own to each
    of_images = tfnorm.fit(images, "standard", full=True)
    fresh = rng.random((50, 8, 8, 3)) + rng.normal(size=(50, 1, 1, 1))
    clean = tfnorm.check(of_images, fresh)
    assert clean["x"].numbers["rows"] == 50  # and not 3,200: pixels of an image go together
    assert not clean.drifted
    assert tfnorm.check(of_images, fresh + 2).drifted


def test_nothing_but_missing_and_infinite(fitted: tfnorm.Fitted) -> None:
    data = table(seed=1)
    none = found(fitted, data | {"age": np.full(ROWS, np.nan)}, "age")
    assert none.severity == "severe"
    assert none.findings == ("100% missing, none in the fit", "no value to compare")
    infinite = data["age"].copy()
    infinite[:3] = np.inf
    some = found(fitted, data | {"age": infinite}, "age")
    assert some.severity == "none"
    assert some.findings == ("0.037% infinite, none in the fit",)
    never = tfnorm.scan({"x": np.full(10, np.nan), "y": np.ones(10)})
    assert "the fit has seen no value" in found(never, {"x": [1.0], "y": [1.0]}, "x").findings


# How it is shown


def test_it_reads_as_a_table_and_as_strict_json(fitted: tfnorm.Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    data = table(seed=1)
    data["age"] = data["age"] + 12
    drift = tfnorm.check(fitted, data)
    lines = repr(drift).splitlines()
    assert lines[0] == "drift in 1 of 6 columns: 8,000 rows of mapping of arrays beside 8,000 of the fit"
    assert lines[1].split() == ["column", "drift", "shift", "PSI", "KS", "missing", "outside", "findings"]
    assert lines[2].startswith("age     severe  +0.99  0.91  0.37        0")
    assert all(len(line) <= 100 for line in lines)
    back = json.loads(drift.to_json(), parse_constant=pytest.fail)
    assert back["drifted"] is True
    assert back["columns"][0]["column"] == "age"
    assert back["columns"][0]["numbers"]["ks_low"] <= back["columns"][0]["numbers"]["ks"]
    assert "<table" in drift._repr_html_()
    with pytest.raises(KeyError):
        drift["nobody"]


def test_hostile_names_are_escaped() -> None:
    name = "<script>\x1b[31m"
    drift = tfnorm.check(tfnorm.scan({name: np.arange(999.0)}), {name: np.arange(999.0) + 900, "<b>": [1.0] * 999})
    assert drift.drifted
    assert "\x1b" not in repr(drift)
    assert "<script>" not in drift._repr_html_()
    assert "<b>" not in drift._repr_html_()


def test_few_rows_are_told_to_be_few() -> None:
    profile = tfnorm.scan({"x": np.random.default_rng(0).normal(size=5000)})
    drift = tfnorm.check(profile, {"x": [1.0, 2.0, 2.5]})
    assert not drift.drifted
    assert drift.findings[0].startswith("few rows: differences below KS 1 ")


def test_values_have_no_numbers_to_lose() -> None:
    drift = Drift((ColumnDrift("x", "moderate", ("a",), {"psi": float("inf")}, None),), 1, 2, "here", ())
    assert drift.to_dict()["columns"][0]["numbers"] == {"psi": None}
    assert repr(drift["x"]) == "x: moderate: a"
    assert repr(ColumnDrift("y", "none", (), {}, None)) == "y: none: as in the fit"


odd = st.lists(
    st.floats(allow_nan=True, allow_infinity=True)
    | st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1.7e308, -1.7e308, 1e-300])
    | st.integers(-3, 3).map(float),
    min_size=1,
    max_size=40,
)


@settings(max_examples=80, deadline=None)
@given(odd, odd, st.booleans())
def test_any_numbers_can_be_compared(one: list[float], two: list[float], normalized: bool) -> None:
    if not np.isfinite(one).any():
        one = [*one, 1.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = tfnorm.fit({"x": np.array(one)}, "standard", infinite="missing", full=True)
        drift = tfnorm.check(fitted, {"x": np.array(two)}, normalized=normalized)
        assert repr(drift)
        json.loads(drift.to_json())
        same = tfnorm.check(fitted, {"x": np.array(one)})
    assert not same.drifted
