"""Profiles and fits as tables."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

import tfnorm
from tfnorm.binning import bins_of
from tfnorm.maps import Affine, Chain, Clip, Log1p
from tfnorm.statistics import Count, Extremes, Moments
from tfnorm.summary import bars, facts, histogram, map_words, number, pooled, records, share
from tfnorm.tables import fitted_html, fitted_text, profile_html, profile_text

AGES = {"age": np.array([22.0, 38.0, np.nan, 26.0]), "fare": np.array([7.25, 71.25, 0.0, 8.0])}


def test_a_profile_says_every_number() -> None:
    lines = profile_text(tfnorm.scan(AGES), 200).splitlines()
    assert lines[0] == "profile of 2 columns on 4 rows of mapping of arrays"
    header = "column type missing zeros min 25% median 75% max mean std distribution"
    assert lines[1].split() == header.split()
    assert lines[2].split()[:11] == ["age", "float64", "25%", "0", "22", "24", "26", "32", "38", "28.667", "6.7987"]
    assert lines[3].split()[:9] == ["fare", "float64", "0", "25%", "0", "5.4375", "7.625", "23.812", "71.25"]
    assert re.search("[▁▂▃▄▅▆▇█]", lines[2])


def test_a_fit_says_what_it_does_with_the_numbers_it_used() -> None:
    fitted = tfnorm.fit(AGES, {"age": "standard", "fare": ["log1p", "minmax"]})
    lines = fitted_text(fitted, 200).splitlines()
    assert lines[1].split() == ["column", "technique", "what", "it", "does", "missing", "min", "max", "mean", "std"]
    assert "(x - 28.667) / 6.7987" in lines[2]
    assert "log(1 + x), then x / 4.28" in lines[3]
    assert repr(fitted) == fitted_text(fitted)


@pytest.mark.parametrize(
    ("values", "technique", "expected"),
    [
        ([3.0, 3.0], "standard", "constant: becomes 0"),
        ([3.0, 3.0], "minmax(-1, 1)", "constant: becomes -1"),
        ([np.nan, np.nan], "standard", "no value seen: becomes 0"),
        ([-2.0, 8.0], "minmax(-1, 1)", "(x + 2) / 5 - 1"),
        ([0.0, 8.0], "minmax(clip=True)", "x / 8, then clip to [0, 1]"),
        ([1.0, 2.0], "identity", "x"),
        ([1.0, 2.0], "standard(scale=False)", "x - 1.5"),
        ([-4.0, 2.0], "maxabs", "x / 4"),
    ],
)
def test_maps_in_words(values: list[float], technique: str, expected: str) -> None:
    line = fitted_text(tfnorm.fit({"a": values}, technique), 200).splitlines()[2]
    assert f"  {expected}  " in line


def test_words_of_maps() -> None:
    one = Affine(np.array([26.1]), np.array([1 / 14.5]), np.array([0.0]))
    assert map_words(one, (), 1) == "(x - 26.1) / 14.5"
    two = Chain((Log1p(), Clip(np.array([0.0]), np.array([2.0]))))
    assert map_words(two, (), 1) == "log(1 + x), then clip to [0, 2]"


def test_an_array_has_a_line_for_each_feature_and_a_vector_column_one() -> None:
    data = np.random.default_rng(0).normal(size=(50, 64)).astype(np.float32)
    lines = profile_text(tfnorm.scan(data), 200).splitlines()
    assert lines[0] == "profile of 64 features on 50 rows of array"
    assert lines[2].startswith("x[0]")
    assert lines[-1] == "... and 24 more features"
    lines = profile_text(tfnorm.scan({"v": data}), 200).splitlines()
    assert lines[2].split()[:3] == ["v", "float32", "(64)"]
    assert number(float(data.min())) in lines[2]
    assert number(float(data.mean(dtype=np.float64))) in lines[2]
    text = fitted_text(tfnorm.fit({"v": data}, "l2"), 200)
    assert "64 features: x / sqrt(sum x**2) of each sample" in text
    assert "not invertible" in text


def test_pooling_is_adding() -> None:
    data = np.random.default_rng(1).normal(size=(40, 7))
    kinds = {Count: ["finite"], Extremes: ["minimum", "maximum"], Moments: ["mean", "std", "kurtosis"]}
    for kind, names in kinds.items():
        one, whole = pooled(kind.of(data)), kind.of(data.reshape(-1, 1))
        for name in names:
            np.testing.assert_allclose(getattr(one, name), getattr(whole, name), rtol=1e-12, atol=1e-15)
    assert facts(tfnorm.scan({"v": data}), "v")["values"] == 280


def test_constant_features_and_infinite_values_are_told() -> None:
    text = profile_text(tfnorm.scan({"v": np.array([[1.0, 2.0], [1.0, 3.0]]), "w": np.array([1.0, np.inf])}), 200)
    assert "1 of 2 features constant" in text
    assert "1 infinite" in text


def test_a_long_table_is_cut() -> None:
    started = time.perf_counter()
    lines = profile_text(tfnorm.scan({f"c{i}": [1.0, 2.0] for i in range(1000)}), 200).splitlines()
    assert len(lines) == 43
    assert lines[-1] == "... and 960 more columns"
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("width", [30, 60, 80, 100, 140])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    profile = tfnorm.scan({"a": [1.123456, 2.0, 1e300], "a rather long name of a column": [1.0, 2.0, np.nan]})
    fitted = tfnorm.fit(profile, "standard")
    for text in (profile_text(profile, width), fitted_text(fitted, width)):
        assert max(map(len, text.splitlines())) <= width
        assert text.splitlines()[2].startswith("a")
    assert "(too narrow for: " in profile_text(profile, 60)


def test_names_are_shown_escaped() -> None:
    evil = "a\n\x1b[31m\u202e<b>"
    fitted = tfnorm.fit({evil: [1.0, 2.0], "": [1.0, 2.0], "名前": [1.0, 2.0]}, "standard")
    for text in (fitted_text(fitted), profile_text(fitted.profile)):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "a\\n\\x1b[31m\\u202e<b>" in text
        assert len(text.splitlines()) == 5
        assert '""' in text
    starts = [line.index("standard") + line.count("名前") * 2 for line in fitted_text(fitted).splitlines()[2:]]
    assert len(set(starts)) == 1  # wide characters take two places
    for page in (fitted_html(fitted), profile_html(fitted.profile), fitted._repr_html_(), fitted.profile._repr_html_()):
        assert "<b>" not in page
        assert "&lt;b&gt;" in page
        assert "<script" not in page
        assert page.count("<tr>") == 4


def test_times_are_dates() -> None:
    days = np.array(["2013-01-01", "2013-03-01", "NaT"], "datetime64[s]")
    text = profile_text(tfnorm.scan({"t": days}, unit="s"), 200)
    assert "2013-01-01" in text
    assert "2013-03-01" in text
    minutes = np.array(["2013-01-01T10:00", "2013-01-01T12:00"], "datetime64[m]")
    assert "2013-01-01T10:00:00" in profile_text(tfnorm.scan({"t": minutes}, unit="m"), 200)


def test_numbers_and_shares() -> None:
    assert [number(v) for v in (0.0, 1e5 + 0.4, -0.000123456, 1e9, 2**40 + 0.5)] == [
        "0", "100000", "-0.00012346", "1e+09", "1.0995e+12"
    ]  # fmt: skip
    assert share(999_999, 1_000_000) == ">99%"
    assert share(1, 1_000_000) == "0.0001%"


def test_histograms() -> None:
    def drawn(values: np.ndarray) -> str:
        return histogram(bins_of(tfnorm.scan(values)["x"].curve(), 12))

    assert drawn(np.linspace(0, 1, 10_001)) == "█" * 12
    normal = drawn(np.random.default_rng(0).normal(size=20_000))
    assert normal[0] < "▃" < normal[5]
    assert drawn(np.ones(2)) == ""
    assert bars(np.array([0.0, 1e-6, 1.0])) == " ▁█"
    assert bars(np.zeros(3)) == "   "


def test_records_are_plain() -> None:
    fitted = tfnorm.fit({"a": [1.0, 3.0, np.nan], "v": [[1.0, 2.0]] * 3, "n": [np.nan] * 3}, "standard")
    a, v, n = records(fitted)
    assert (a["column"], a["mean"], a["std"], a["missing"], a["technique"]) == ("a", 2.0, 1.0, 1, "standard")
    assert v["mean"] == [1.0, 2.0]
    assert (n["mean"], n["min"], n["finite"]) == (None, None, 0)
    assert "median" not in a
    assert next(records(tfnorm.scan({"a": [1.0, 3.0]})))["median"] == 2.0
