"""Statistics by key and what is fitted on them: held against pandas' groupby, exact fractions and the rows of each key alone."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tfnorm
from test_laws import AGREE, STATISTICS, equal, laws, moments_agree
from tfnorm import grouped as grouped_module
from tfnorm import keys as keys_module
from tfnorm.codec import decode, encode
from tfnorm.errors import ArtefactError, ChoiceError, DataError
from tfnorm.grouped import Grouped, Partition, of_partition, pooled
from tfnorm.keys import Keys
from tfnorm.maps import ByKey, Map
from tfnorm.quantiles import Quantiles
from tfnorm.statistics import Count, Extremes, Moments, Statistic

RANDOM = np.random.default_rng(17)
HOSTILE = [
    "",
    " ",
    "a\x00b",
    'quote"',
    "it's",
    "\n\t",
    "ключ",
    "🙂",
    "null",
    "None",
    "NaN",
    "1",
    "a" * 5000,
    "<b>",
    "\\",
]


def table(rows: int = 3000, stores: int = 7) -> pd.DataFrame:
    store = RANDOM.integers(0, stores, rows)
    return pd.DataFrame(
        {
            "store": np.array([f"s{i}" for i in range(stores)], object)[store],
            "number": store * 10 - 20,
            "weekday": RANDOM.integers(0, 3, rows),
            "price": RANDOM.gamma(2, 3, rows) * (1 + store) + 100 * store,
            "size": RANDOM.normal(0, 1, rows).astype(np.float32),
        }
    )


# 1. Keys.


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([3, -1, 3, 2**62]), [-1, 3, 2**62]),
        (np.array([3, 1, 3], np.uint8), [1, 3]),
        (np.array([True, False]), [0, 1]),
        (np.array([2.0, np.nan, 1.0]), [None, 1, 2]),
        (np.ma.MaskedArray([5, 6, 7], [False, True, False]), [None, 5, 7]),
        (np.array(["b", "a", None], object), [None, "a", "b"]),
        (np.array(["b", "a", np.nan], object), [None, "a", "b"]),
        (np.array(["b", "a"]), ["a", "b"]),
        (np.array([b"b", b"\xc3\xa9"]), ["b", "é"]),
        (np.array([3, None, 1], object), [None, 1, 3]),
        (np.array([None, None], object), [None]),
        (pa.array(["z", "y", None, "z"]).dictionary_encode(), [None, "y", "z"]),
        (pa.DictionaryArray.from_arrays(pa.array([1, 0, 1]), pa.array(["x", "x", "unused"])), ["x"]),
        (["b", "a", None], [None, "a", "b"]),
        (np.array([10**15, -(10**15), 0]), [-(10**15), 0, 10**15]),
    ],
)
def test_keys_of_every_type(values: Any, expected: list[Any]) -> None:
    keys, groups = Keys.of({"k": values})
    assert [key[0] for key in keys] == expected
    assert keys.flaw() == ""
    plain = (
        values.to_pylist() if isinstance(values, pa.Array) else values.tolist() if hasattr(values, "tolist") else values
    )
    plain = [None if value is None or str(value) == "nan" else value for value in plain]
    plain = [value.decode() if isinstance(value, bytes) else value for value in plain]
    assert [expected[group] for group in groups] == plain
    assert keys.find({"k": values}).tolist() == groups.tolist()
    again = decode(Keys, json.loads(json.dumps(encode(keys))))
    assert again == keys
    assert list(again) == list(keys)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([1.0, 2.5]), "whole numbers of 64 bits, got 2.5 in row 8"),
        (np.array([np.inf]), "got inf in row 7"),
        (np.array([2**64 - 1], np.uint64), "got 18446744073709551615 in row 7"),
        (np.array(["a", 1], object), "something else from row 7 on"),
        (np.array(["\ud800"], object), "something else from row 7 on"),
        (np.array(["2020-01-01"], "datetime64[D]"), "got datetime64"),
        (np.array([1 + 2j]), "got complex128"),
        (np.zeros((3, 2)), "one key a row"),
    ],
)
def test_what_is_no_key(values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        Keys.of({"store": values}, "day.csv", 7)
    assert "'store'" in str(error.value)


def test_keys_of_several_columns_are_sorted_and_united() -> None:
    a = {"store": np.array(["b", "a", "b"], object), "day": np.array([1, 2, 1])}
    b = {"store": np.array([None, "c", "b"], object), "day": np.array([5, 2, 0])}
    (first, _), (second, _) = Keys.of(a), Keys.of(b)
    both, mine, theirs = first.united(second)
    expected = [("a", 2), ("b", 0), ("b", 1), ("c", 2)]
    assert list(both) == [(None, 5), *expected]
    assert [both[i] for i in mine] == list(first)
    assert [both[i] for i in theirs] == list(second)
    assert both == second.united(first)[0]
    assert both.find({"store": ["c", "c", "zz", None], "day": [2, 5, 2, 5]}).tolist() == [4, 5, 5, 0]
    with pytest.raises(DataError, match="holds text in one part and whole numbers in another"):
        first.united(Keys.of({"store": np.array([1]), "day": np.array([1])})[0])
    with pytest.raises(DataError, match="the fit saw text, and here are whole numbers"):
        first.find({"store": [1], "day": [1]})


def test_too_many_keys_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "MAX_KEYS", 1000)
    rows = 2000
    data = {"customer": np.arange(rows), "price": np.ones(rows)}
    with pytest.raises(DataError, match=r"by 'customer': 2,000 different keys so far.*identifier"):
        tfnorm.fit(data, {"price": "standard.by('customer')"})
    one, two = Keys.of({"customer": np.arange(600)})[0], Keys.of({"customer": np.arange(500, 1200)})[0]
    with pytest.raises(DataError, match="1,200 different keys"):
        one.united(two)


# 2. The law, for every statistic.

key_lists = st.lists(st.sampled_from([None, "a", "b", "c", "é"]), min_size=1, max_size=6)
any_rows = hnp.arrays(
    np.float64,
    st.tuples(st.integers(0, 40), st.just(2)),
    elements=st.one_of(st.floats(-1e6, 1e6), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1e9, 1e9 + 1e-6])),
)


def grouped_equal(a: Grouped, b: Grouped, kind: type | None = None) -> None:
    assert a.keys == b.keys
    assert a.features == b.features
    for one, two in zip(a.statistics, b.statistics, strict=True):
        AGREE.get(type(one), equal)(one, two) if kind else equal(one, two)


@pytest.mark.parametrize("kind", [kind for kind in STATISTICS if not kind.joint])
@laws
@given(
    a=any_rows, b=any_rows, c=any_rows, names=key_lists, weights=st.lists(st.sampled_from([0.0, 1.0, 2.5]), max_size=4)
)
def test_grouped_statistics_add_up(kind: Any, a: Any, b: Any, c: Any, names: list[Any], weights: list[float]) -> None:
    def of(rows: np.ndarray, start: int = 0) -> Grouped:
        by = np.resize(np.array(names, object), 200)[start : start + len(rows)]
        weight = np.resize(weights, 200)[start : start + len(rows)] if weights else None
        return Grouped.of({"k": by}, rows, (kind,), weight)

    whole = of(np.concatenate([a, b]))
    parts = of(a), of(b, len(a)), of(c, len(a) + len(b))
    assert whole.flaw() == ""
    grouped_equal(whole, parts[0] + parts[1], kind)
    grouped_equal((parts[0] + parts[1]) + parts[2], parts[0] + (parts[1] + parts[2]), kind)
    zero = Grouped.nothing(["k"], {kind: 2})
    grouped_equal(zero + parts[0], parts[0])
    grouped_equal(parts[0] + zero, parts[0])
    if len(whole.keys):  # there are some wherever there is a row
        again = decode(Grouped, json.loads(json.dumps(encode(whole))))
        grouped_equal(again, whole)
        assert again.flaw() == ""


@pytest.mark.parametrize("kind", [kind for kind in STATISTICS if not kind.joint])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.uint64, np.int8, bool])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_keys_statistic_is_that_of_its_rows_alone(kind: Any, dtype: Any, masked: bool, weighted: bool) -> None:
    random = np.random.default_rng(3)
    rows = (random.normal(0, 50, (900, 2)) + 60).astype(dtype)
    if dtype in (np.int64, np.uint64):
        rows = rows + dtype(2**61 + 1)
    groups = random.integers(0, 6, 900)
    weight = random.choice([0.0, 1.0, 2.5], 900) if weighted else None
    for features in (1, 2):
        own = rows[:, :features]
        data = np.ma.MaskedArray(own, random.random(own.shape) < 0.2) if masked else own
        found = Grouped.of({"k": groups}, data, (kind,), weight)
        for key in range(6):
            alone = kind.of(data[groups == key], None if weight is None else weight[groups == key])
            mine = found.statistics[0].pick(np.array([feature * 6 + key for feature in range(features)]))
            (moments_agree if kind is Moments else equal)(mine, alone)


def test_the_statistics_of_a_kind_without_a_kernel_are_those_of_the_rows_too() -> None:
    class Mine(Count):
        pass

    rows, by = RANDOM.normal(size=(50, 3)), RANDOM.integers(0, 4, 50)
    found = Grouped.of({"k": by}, rows, (Mine,)).statistics[0]
    assert found.finite.tolist() == Grouped.of({"k": by}, rows, (Count,)).statistics[0].finite.tolist()


@pytest.mark.parametrize("offset", [0.0, 1e8, 1e12, -1e12])
def test_moments_keep_14_digits_at_any_offset(offset: float) -> None:
    random = np.random.default_rng(5)
    groups = random.integers(0, 50, 20_000)
    x = random.normal(0, 1, 20_000) * 2.0 ** random.integers(-3, 3, 50)[groups] + offset
    found = Grouped.of({"k": groups}, x[:, None]).get(Moments)
    parts = [Grouped.of({"k": groups[i : i + 1000]}, x[i : i + 1000, None]) for i in range(0, 20_000, 1000)]
    added = parts[0]
    for part in parts[1:]:
        added = added + part
    for key in range(50):
        exact = [Fraction(value) for value in x[groups == key].tolist()]
        mean = sum(exact) / len(exact)
        variance = float(sum((value - mean) ** 2 for value in exact) / len(exact))
        for moments in (found, added.get(Moments)):
            assert (
                abs(float(Fraction(moments.mean[key]) + Fraction(moments.mean_low[key]) - mean))
                <= 1e-14 * abs(offset) + 1e-14
            )
            assert abs(moments.variance[key] - variance) <= 1e-13 * variance


def test_pooled_keys_are_all_rows() -> None:
    rows, by = RANDOM.normal(5, 2, (5000, 2)), RANDOM.integers(0, 37, 5000)
    for kind in (Count, Extremes):
        equal(pooled(Grouped.of({"k": by}, rows, (kind,)).statistics[0], 2), kind.of(rows))
    moments_agree(pooled(Grouped.of({"k": by}, rows, (Moments,)).statistics[0], 2), Moments.of(rows))


def test_quantiles_by_key_are_within_their_bounds_and_stay_small() -> None:
    random = np.random.default_rng(9)
    by, x = random.integers(0, 3, 60_000), random.lognormal(0, 2, 60_000)
    parts = [Grouped.of({"k": by[i : i + 5000]}, x[i : i + 5000, None], (Quantiles,)) for i in range(0, 60_000, 5000)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    final = total.coarsened().statistics[0]
    assert np.diff(final.ends, prepend=0).max() <= grouped_module.MAX_KEY_CELLS
    for key in range(3):
        ordered = np.sort(x[by == key])
        for q in np.linspace(0, 1, 21):
            low, high = final.curve(key).quantile_bounds(q)
            assert low <= ordered[int(q * (len(ordered) - 1))] <= high
        assert final.curve(key).rank_error() <= 0.005
        ranks = np.searchsorted(ordered, [final.curve(key).quantile(q) for q in (0.05, 0.25, 0.5, 0.75, 0.95)])
        np.testing.assert_allclose(ranks / len(ordered), [0.05, 0.25, 0.5, 0.75, 0.95], atol=0.003)


# 3. Fits.


def standardized(frame: pd.DataFrame, by: list[str], column: str) -> pd.Series:
    groups = frame.groupby(by, dropna=False)[column]
    return (frame[column] - groups.transform("mean")) / groups.transform(lambda values: values.std(ddof=0))


@pytest.mark.parametrize("by", [["store"], ["number"], ["store", "weekday"], ["weekday", "number"]])
def test_standard_by_key_is_what_pandas_gives(by: list[str]) -> None:
    frame = table()
    fitted = tfnorm.fit(frame, {"price": tfnorm.standard.by(*by)})
    result = fitted.transform(frame)
    np.testing.assert_allclose(result["price"], standardized(frame, by, "price"), rtol=1e-12, atol=1e-12)
    pd.testing.assert_frame_equal(result.drop(columns="price"), frame.drop(columns="price"))
    np.testing.assert_allclose(fitted.inverse(result)["price"], frame["price"], rtol=1e-12)


def test_minmax_by_key_is_what_pandas_gives() -> None:
    frame = table()
    result = tfnorm.fit(frame, {"price": "minmax(-1, 1).by('store')"}).transform(frame)["price"]
    groups = frame.groupby("store")["price"]
    low, high = groups.transform("min"), groups.transform("max")
    np.testing.assert_allclose(result, 2 * (frame["price"] - low) / (high - low) - 1, rtol=1e-12, atol=1e-12)


def test_robust_by_key_is_what_pandas_gives() -> None:
    frame = table(1500)  # some 200 a key, each kept
    result = tfnorm.fit(frame, {"price": "robust.by('store')"}).transform(frame)["price"]
    groups = frame.groupby("store")["price"]
    middle, low, high = (groups.transform(lambda values, q=q: values.quantile(q)) for q in (0.5, 0.25, 0.75))
    np.testing.assert_allclose(result, (frame["price"] - middle) / (high - low), rtol=1e-9, atol=1e-12)


SETTINGS = {"power": "power(3)", "clip": "clip(0, 50)", "impute": "impute('median')", "patches": "patches(2)"}
SETTINGS["join_patches"] = "join_patches(2)"
GROUPABLE = [
    SETTINGS.get(name, name)
    for name, kind in tfnorm.TECHNIQUES.items()
    if kind.statistics and not any(needed.joint for needed in kind.statistics.values())
]


@pytest.mark.parametrize("choice", GROUPABLE)
def test_every_technique_by_key_is_itself_on_each_keys_rows(choice: str) -> None:
    frame = table(700, stores=3)
    frame.loc[frame.index[::50], "price"] = np.nan
    fitted = tfnorm.fit(frame, {"price": f"{choice}.by('store', 'weekday')"})
    result = fitted.transform(frame)["price"].to_numpy()
    step = fitted.maps["price"]
    assert isinstance(step, ByKey)
    equal(decode(Map, json.loads(json.dumps(encode(step)))), step)
    for _, part in frame.groupby(["store", "weekday"]):
        alone = tfnorm.fit(part[["price"]], {"price": choice})
        np.testing.assert_allclose(
            result[part.index], alone.transform(part[["price"]])["price"], rtol=1e-9, atol=1e-9, equal_nan=True
        )
    if fitted["price"].invertible and not choice.startswith(("clip", "winsorize", "impute", "yeo_johnson", "box_cox")):
        back = fitted.inverse(fitted.transform(frame))["price"]
        np.testing.assert_allclose(back, frame["price"], rtol=1e-9, atol=1e-9)
    everywhere = tfnorm.fit(frame[["price"]], {"price": choice})
    new = frame.assign(store="new")
    np.testing.assert_allclose(
        fitted.transform(new)["price"], everywhere.transform(frame[["price"]])["price"], rtol=1e-9, atol=1e-9
    )


def test_what_looks_at_all_features_is_refused() -> None:
    with pytest.raises(ChoiceError, match="all features together"):
        tfnorm.TECHNIQUES["whiten"].by("store")


@pytest.mark.parametrize(
    "choice", [SETTINGS.get(name, name) for name, kind in tfnorm.TECHNIQUES.items() if not kind.statistics]
)
def test_what_gathers_nothing_is_refused(choice: str) -> None:
    with pytest.raises(ChoiceError, match="gathers nothing"):
        tfnorm.fit(table(), {"price": f"{choice}.by('store')"})


@pytest.mark.parametrize(
    ("choice", "by_hand"),
    [
        (
            "log1p, standard.by('store')",
            lambda f: standardized(f.assign(price=np.log1p(f["price"])), ["store"], "price"),
        ),
        ("standard.by('store'), clip(-1, 1)", lambda f: standardized(f, ["store"], "price").clip(-1, 1)),
        ("standard, standard.by('store')", lambda f: standardized(f, ["store"], "price")),
        (
            "standard.by('store'), minmax",
            lambda f: (z := standardized(f, ["store"], "price")).sub(z.min()) / (z.max() - z.min()),
        ),
        (
            "center.by('store'), standard",
            lambda f: (c := f["price"] - f.groupby("store")["price"].transform("mean")) / c.std(ddof=0),
        ),
        ("center.by('store'), standard.by('store')", lambda f: standardized(f, ["store"], "price")),
        ("standard.by('store'), log1p", None),
        (
            "standard.by('store'), robust",
            lambda f: (
                (z := standardized(f, ["store"], "price")).sub(z.median()) / (z.quantile(0.75) - z.quantile(0.25))
            ),
        ),
        (
            "standard.by('store'), standard.by('weekday')",
            lambda f: standardized(f.assign(price=standardized(f, ["store"], "price")), ["weekday"], "price"),
        ),
    ],
)
def test_chains(choice: str, by_hand: Callable[[pd.DataFrame], Any] | None) -> None:
    frame = table()
    if by_hand is None:
        with pytest.raises(ChoiceError, match="needs values above -1"):
            tfnorm.fit(frame, {"price": choice})
        return
    fitted = tfnorm.fit(frame, {"price": choice})
    np.testing.assert_allclose(fitted.transform(frame)["price"], by_hand(frame), rtol=1e-9, atol=1e-9)


def test_vectors_and_images_by_key() -> None:
    data = {
        "store": np.array(["a", "b", "a", "b"]),
        "v": RANDOM.normal(size=(4, 3)),
        "image": RANDOM.normal(size=(4, 2, 2, 3)),
    }
    fitted = tfnorm.fit(data, {"v": "standard.by('store')", "image": "center.by('store')"})
    result = fitted.transform(data)
    for store in ("a", "b"):
        rows = data["store"] == store
        v, image = data["v"][rows], data["image"][rows]
        np.testing.assert_allclose(result["v"][rows], (v - v.mean(0)) / v.std(0), rtol=1e-10)
        np.testing.assert_allclose(result["image"][rows], image - image.mean((0, 1, 2)), rtol=1e-10, atol=1e-12)
    together = tfnorm.fit(data, {"image": "center.by('store')"}, axis=None).transform(data)["image"]
    image = data["image"][data["store"] == "a"]
    np.testing.assert_allclose(together[data["store"] == "a"], image - image.mean(), rtol=1e-10, atol=1e-12)


def test_null_is_a_key_of_its_own_and_what_was_not_seen_is_unseen(caplog: pytest.LogCaptureFixture) -> None:
    frame = pd.DataFrame({"store": ["a", None, "a", None], "price": [1.0, 10.0, 3.0, 30.0]})
    fitted = tfnorm.fit(frame, {"price": "standard.by('store')"})
    assert fitted.transform(frame)["price"].tolist() == [-1, -1, 1, 1]
    with caplog.at_level(logging.WARNING, "tfnorm"):
        known = tfnorm.fit(frame.dropna(), {"price": "minmax.by('store')"})
        assert known.transform(frame)["price"].tolist() == [0, 4.5, 1, 14.5]
    assert "2 of 4 rows have a key of 'store' that the fit has not seen, first null in row 1" in caplog.text


def test_unseen_keys_never_pass_through_raw(caplog: pytest.LogCaptureFixture) -> None:
    frame = table()
    new = frame.assign(store="new")
    whole = tfnorm.fit(frame[["price"]]).transform(frame[["price"]])["price"]
    for unseen, expected in (("global", whole), ("missing", whole * np.nan)):
        choice = {"price": f"standard.by('store', unseen={unseen!r})", "size": "minmax.by('store')"}
        fitted = tfnorm.fit(frame, choice)
        with caplog.at_level(logging.WARNING, "tfnorm"):
            caplog.clear()
            result = fitted.transform(new)
        assert len(caplog.records) == 1
        np.testing.assert_allclose(result["price"], expected, rtol=1e-12)
        np.testing.assert_allclose(
            fitted["price"].inverse(expected, keys="new"), new["price"] + 0 * expected, rtol=1e-12
        )
        caplog.clear()
        fitted.transform(frame)
        assert not caplog.records
    fitted = tfnorm.fit(frame, {"price": "standard.by('store', 'weekday', unseen='error')"})
    with pytest.raises(DataError, match=r"'store' and 'weekday': 'new', \d in row 0, and 3,000 of 3,000 rows"):
        fitted.transform(new)
    with pytest.raises(DataError, match="has not seen"):
        fitted["price"].inverse([1.0], keys={"store": "s1", "weekday": 9})


def test_a_key_with_one_row_or_no_value_is_a_constant() -> None:
    data = {"k": np.array([1, 2, 2, 3]), "x": np.array([5.0, 1.0, 3.0, np.nan])}
    fitted = tfnorm.fit(data, {"x": "standard.by('k')"})
    assert fitted["x"].transform([5.0, 77.0, 1.0, 3.0, 4.0], keys=[1, 1, 2, 2, 3]).tolist() == [0, 0, -1, 1, 0]
    assert fitted["x"].inverse([0.0], keys=[1]).tolist() == [5.0]


def test_shrinking_is_adding_rows_that_lie_as_all_do() -> None:
    frame = table(400, stores=5)
    rows = frame["price"].to_numpy()
    shrink = 30
    fitted = tfnorm.fit(frame, {"price": f"standard.by('store', shrink={shrink})"})
    step = fitted.maps["price"]
    for key, (store,) in enumerate(step.keys):
        own = frame.loc[frame["store"] == store, "price"].to_numpy()
        weight = np.concatenate([np.ones(len(own)), np.full(len(rows), shrink / len(rows))])
        values = np.concatenate([own, rows])
        mean = np.average(values, weights=weight)
        std = np.sqrt(np.average((values - mean) ** 2, weights=weight))
        np.testing.assert_allclose([step.inner.center[0, key], 1 / step.inner.scale[0, key]], [mean, std], rtol=1e-12)
    np.testing.assert_allclose(step.inner.center[0, -1], rows.mean(), rtol=1e-12)
    minmax = tfnorm.fit(frame, {"price": f"minmax.by('store', shrink={shrink})"}).maps["price"]
    for key, (store,) in enumerate(minmax.keys):
        own = frame.loc[frame["store"] == store, "price"].to_numpy()
        part = shrink / (len(own) + shrink)
        low, high = (
            (1 - part) * one + part * whole for one, whole in ((own.min(), rows.min()), (own.max(), rows.max()))
        )
        np.testing.assert_allclose(minmax.inner.center[0, key], low, rtol=1e-12)
        np.testing.assert_allclose(1 / minmax.inner.scale[0, key], high - low, rtol=1e-12)


def test_shrinking_draws_quantiles_too_and_has_limits() -> None:
    frame = table(2000, stores=4)
    medians = {
        shrink: tfnorm.fit(frame, {"price": f"robust.by('store', shrink={shrink})"}).maps["price"].inner.center[0]
        for shrink in (1e-6, 500, 1e9)
    }
    own = frame.groupby("store")["price"].median().to_numpy()
    np.testing.assert_allclose(medians[1e-6][:-1], own, rtol=5e-3)  # within the sketch of a key
    np.testing.assert_allclose(medians[1e9], frame["price"].median(), rtol=2e-2)
    np.testing.assert_allclose(medians[500][-1], frame["price"].median(), rtol=1e-9)
    mixed = np.concatenate([np.repeat(frame.loc[frame["store"] == "s0", "price"], 4), frame["price"]])
    np.testing.assert_allclose(medians[500][0], np.median(mixed), rtol=3e-2)


def test_a_choice_by_key_is_written_and_read() -> None:
    text = "minmax(low=-1).by('it\\'s', \"b\", unseen='error', shrink=20)"
    (technique,) = tfnorm.techniques.parse(text)
    assert technique == tfnorm.minmax(-1).by("it's", "b", unseen="error", shrink=20.0)
    assert tfnorm.techniques.parse(str(technique)) == (technique,)
    assert str(tfnorm.standard.by("store")) == "standard.by('store')"
    assert tfnorm.techniques.parse(["log1p", tfnorm.standard.by("a", "b")])[1].grouping.columns == ("a", "b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("standard.by()", "needs names of columns"),
        ("standard.by(1)", "needs names of columns"),
        ("standard.by('a', 'a')", "each once"),
        ("standard.by('a').by('b')", "there twice"),
        ("standard.by('a', unseen='raw')", "unseen must be one of 'global', 'error', 'missing'"),
        ("standard.by('a', shrink=0)", "shrink must be a number of rows above 0"),
        ("standard.by('a', shrink=True)", "shrink must be"),
        ("standard.by('a', fold=3)", "unexpected keyword"),
        ("standard.of('a')", "is not a technique"),
        ("standard.by(open('a'))", "arguments must be plain"),
        ("nonsense.by('a')", "no technique 'nonsense'"),
    ],
)
def test_a_choice_that_makes_no_sense(text: str, message: str) -> None:
    with pytest.raises(ChoiceError, match=message):
        tfnorm.fit(table(), {"price": text})


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"price": "standard.by('shop')"}, 'key column "shop": not in'),
        (
            {"price": "standard.by('store')", "number": "standard.by('weekday')", "weekday": "standard"},
            "is a key of others",
        ),
    ],
)
def test_key_columns_are_checked_before_reading(choice: Any, message: str) -> None:
    with pytest.raises(ChoiceError, match=message):
        tfnorm.fit(table(), choice)
    with pytest.raises(ChoiceError, match="one array, without names"):
        tfnorm.fit(np.ones((3, 2)), "standard.by('store')")
    with pytest.raises(ChoiceError, match="one a row, got datetime64"):
        tfnorm.fit({"t": np.array(["2020-01-01"], "datetime64[D]"), "x": [1.0]}, {"x": "standard.by('t')"})


def test_one_technique_for_all_columns_leaves_the_keys_out() -> None:
    fitted = tfnorm.fit(table(), "standard.by('number')")
    assert fitted.columns == ("weekday", "price", "size")


def test_what_is_missing_at_the_transform_is_told() -> None:
    frame = table()
    fitted = tfnorm.fit(frame, {"price": "standard.by('store', 'weekday')"})
    with pytest.raises(DataError, match='key column "store": not there'):
        fitted.transform(frame.drop(columns="store"))
    with pytest.raises(ChoiceError, match="give keys="):
        fitted["price"].transform([1.0])
    with pytest.raises(ChoiceError, match="must be a mapping"):
        fitted["price"].transform([1.0], keys=["s0"])
    with pytest.raises(DataError, match="one key for each of 2 rows, got 3"):
        fitted["price"].transform([1.0, 2.0], keys={"store": ["a"] * 3, "weekday": [1, 2]})
    with pytest.raises(ChoiceError, match="takes no keys="):
        tfnorm.fit(frame, {"price": "standard"})["price"].transform([1.0], keys=["s0"])


# 4. The same everywhere.


def test_the_same_bits_for_any_source_and_number_of_threads(tmp_path: Path) -> None:
    frame = table(300_000, stores=40)
    choice = {"price": "standard.by('store', 'weekday')", "size": "robust.by('number')"}
    expected = tfnorm.fit(frame, choice, workers=1)
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "all.parquet", row_group_size=1 << 20)
    batches = [frame.iloc[i : i + 70_001] for i in range(0, len(frame), 70_001)]
    sources = {
        "threads": (frame, 3),
        "arrow": (pa.Table.from_pandas(frame), 2),
        "polars": (pl.from_pandas(frame), 2),
        "lazy": (pl.from_pandas(frame).lazy(), 2),
        "categorical": (frame.astype({"store": "category"}), 2),
        "string": (frame.astype({"store": "string"}), 2),
        "arrays": ({name: frame[name].to_numpy() for name in frame}, 2),
        "unicode": ({name: frame[name].to_numpy(str if name == "store" else None) for name in frame}, 2),
        "batches": (batches, 1),
        "parquet": (str(tmp_path / "all.parquet"), 2),
    }
    for name, (source, workers) in sources.items():
        fitted = tfnorm.fit(source, choice, workers=workers)
        assert fitted.fingerprint == expected.fingerprint, name
        keyed, expected_keyed = fitted.profile.keyed, expected.profile.keyed
        for one, two in zip(keyed, expected_keyed, strict=True):
            grouped_equal(one.grouped, two.grouped)
    frame.to_csv(tmp_path / "all.csv", index=False)
    from_csv = tfnorm.fit(str(tmp_path / "all.csv"), {"price": "standard.by('store', 'weekday')"})
    np.testing.assert_allclose(from_csv.maps["price"].inner.center, expected.maps["price"].inner.center, rtol=1e-13)


def test_transform_takes_every_kind_of_table() -> None:
    frame = table(50)
    fitted = tfnorm.fit(frame, {"price": "standard.by('store', 'weekday')"})
    expected = fitted.transform(frame)["price"].to_numpy()
    plain = {name: frame[name].tolist() for name in frame}
    assert fitted.transform(plain)["price"].tolist() == expected.tolist()
    assert fitted.transform(pl.from_pandas(frame))["price"].to_list() == expected.tolist()
    assert fitted.transform(pa.Table.from_pandas(frame))["price"].to_pylist() == expected.tolist()
    assert fitted.transform(frame.astype({"store": "category"}))["price"].tolist() == expected.tolist()
    keys = {"store": frame["store"], "weekday": frame["weekday"].to_numpy()}
    assert fitted["price"].transform(frame["price"].to_numpy(), keys=keys).tolist() == expected.tolist()


def test_tiles_and_threads_give_each_row_its_own_numbers() -> None:
    rows = 400_000
    keys, x = RANDOM.integers(0, 999, rows), RANDOM.normal(size=rows)
    data = {"k": keys, "x": x + keys, "wide": np.stack([x, x * keys], axis=1)}
    for choice in ("standard.by('k')", "quantile(levels=20).by('k')"):
        fitted = tfnorm.fit(data, {"x": choice, "wide": choice})
        result = fitted.transform(data)
        for start in (0, 123_456, rows - 500):
            part = {name: value[start : start + 500] for name, value in data.items()}
            again = fitted.transform(part)
            np.testing.assert_array_equal(result["x"][start : start + 500], again["x"])
            np.testing.assert_array_equal(result["wide"][start : start + 500], again["wide"])


def test_fits_by_key_add_up() -> None:
    frame = table()
    choice = {"price": "standard.by('store')", "size": "minmax.by('store', 'weekday', shrink=3)"}
    first, second = frame[frame["store"] < "s5"].iloc[:1000], frame.iloc[1000:]
    added = tfnorm.fit(first, choice) + tfnorm.fit(second, choice)
    whole = tfnorm.fit(pd.concat([first, second]), choice)
    assert added.maps["size"].keys == whole.maps["size"].keys
    for name in choice:
        for field, value in added.maps[name].arrays().items():
            np.testing.assert_allclose(value, whole.maps[name].arrays()[field], rtol=1e-12, atol=1e-13)
    with pytest.raises((ChoiceError, DataError)):
        tfnorm.fit(first, choice) + tfnorm.fit(second, {**choice, "price": "standard"})


def test_hostile_keys_survive_saving(tmp_path: Path) -> None:
    data = {
        "k": np.array([*HOSTILE, None] * 3, object),
        "n": np.resize([2**63 - 1, -(2**63), 0], 48),
        "x": RANDOM.normal(size=48),
    }
    fitted = tfnorm.fit(data, {"x": "standard.by('k', 'n', unseen='error')"})
    fitted.save(tmp_path / "f.json")
    again = tfnorm.load(tmp_path / "f.json")
    assert again == fitted
    np.testing.assert_array_equal(again.transform(data)["x"], fitted.transform(data)["x"])
    assert sorted(again.maps["x"].keys.columns[0].values) == sorted(HOSTILE)


def test_a_file_whose_keys_do_not_fit_is_refused(tmp_path: Path) -> None:
    from tfnorm import artefact

    fitted = tfnorm.fit(table(), {"price": "standard.by('store')"})
    content = json.loads(artefact.dumps(fitted))["content"]

    def refused(change: Callable[[Any], None]) -> str:
        broken = json.loads(json.dumps(content))
        change(broken)
        head = {"format": "tfnorm", "version": artefact.VERSION, "tfnorm": "0", "kind": "fitted"}
        data = json.dumps({**head, "checksum": artefact._checksum(broken), "content": broken}).encode()
        with pytest.raises(ArtefactError) as error:
            artefact.loads(data)
        return str(error.value)

    def keys(broken: Any) -> Any:
        return broken["maps"]["price"]["keys"]["columns"][0]

    assert "no rising texts" in refused(lambda c: keys(c).update(values=["b"] * 7))
    assert "is nobody's" in refused(lambda c: keys(c)["values"].append("z"))
    assert "not those of the profile" in refused(lambda c: keys(c)["values"].__setitem__(6, "z"))
    assert "unseen must be one of" in refused(lambda c: c["maps"]["price"].update(unseen="raw"))
    assert "maps.price" in refused(lambda c: c["maps"]["price"]["inner"]["center"][0].pop())
    assert "profile" in refused(lambda c: c["profile"]["keyed"][0]["grouped"]["features"].__setitem__(0, 2))
    assert "profile" in refused(lambda c: c["profile"]["keyed"][0]["parts"][0].clear())
    assert "grouped.keys" in refused(lambda c: c["profile"]["keyed"][0]["grouped"]["keys"]["codes"].update(items=3))


def test_a_million_rows_of_many_keys_take_no_python_a_key() -> None:
    rows = 1 << 18
    partition = Partition.of({"k": RANDOM.integers(0, 100_000, rows)})
    found = of_partition((Count, Extremes, Moments), partition, RANDOM.normal(size=(rows, 1)))
    assert all(isinstance(one, Statistic) and one.features == len(partition.keys) for one in found)
    assert int(found[0].finite.sum()) == rows
