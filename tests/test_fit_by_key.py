"""What is fitted by key: held against pandas' groupby and the rows of each key alone, the same from every source and file."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tfnorm
from test_grouped import grouped_equal
from test_laws import equal
from tfnorm.codec import decode, encode
from tfnorm.errors import ArtefactError, ChoiceError, DataError
from tfnorm.maps import ByKey, Map

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
        assert fitted.fired == {(name, "unseen"): len(new) for name in choice}
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
    np.testing.assert_allclose(medians[500][-1], frame["price"].median(), rtol=1e-9)
    first = np.repeat(frame.loc[frame["store"] == "s0", "price"], 4)  # 500 of 2000 rows weigh a quarter of them
    mixed = np.concatenate([first, frame["price"]])
    for found, values in ((medians[1e9][0], frame["price"]), (medians[500][0], mixed)):
        assert abs(np.mean(values < found) - 0.5) < 0.005


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
        ("impute('mean', indicator=True).by('a')", "gives marks of what is missing, and is not solved by key"),
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
        data = json.dumps({**head, "checksum": artefact.checksum_of(broken), "content": broken}).encode()
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


@pytest.mark.parametrize(("read", "written"), [("a.csv", "b.csv"), ("a.parquet", "b.parquet"), ("a.csv", "b.parquet")])
def test_files_in_and_out_by_key(read: str, written: str, tmp_path: Path) -> None:
    from tfnorm import files_out

    frame = table(200).assign(flag=lambda f: f["weekday"] > 1)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    fitted = tfnorm.fit(str(tmp_path / read), {"price": "standard.by('store', 'number', 'flag')", "size": "minmax"})
    files_out.run(fitted, files_out.plan([str(tmp_path / read)], str(tmp_path / written), force=False), inverse=False)
    files_out.run(
        fitted, files_out.plan([str(tmp_path / written)], str(tmp_path / f"c{written}"), force=False), inverse=True
    )
    load = pd.read_csv if written.endswith("csv") else pd.read_parquet
    done, back = load(tmp_path / written), load(tmp_path / f"c{written}")
    np.testing.assert_allclose(
        done["price"], standardized(frame, ["store", "number", "flag"], "price"), rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(back["price"], frame["price"], rtol=1e-9)
    assert done["store"].tolist() == frame["store"].tolist()
    frame.drop(columns="flag").to_csv(tmp_path / "d.csv", index=False)
    with pytest.raises(DataError, match='key column "flag" of the fit not there'):
        files_out.run(
            fitted, files_out.plan([str(tmp_path / "d.csv")], str(tmp_path / "e.csv"), force=False), inverse=False
        )


def test_a_fit_by_key_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    frame = table(60, stores=20)
    fitted = tfnorm.fit(frame, {"price": "standard.by('store')"})
    keys = frame["store"].nunique()
    few = int((frame.groupby("store").size() < 10).sum())
    text = repr(fitted)
    assert f"(x - mean) / std by {keys} keys of store" in text
    assert f"{few} of {keys} keys under 10 values" in text
    from tfnorm.summary import records

    (record,) = records(fitted)
    assert (record["by"], record["keys"]) == ([["store"]], [keys])
