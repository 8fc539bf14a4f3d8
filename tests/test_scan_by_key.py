"""A profile by key: held against pandas' groupby, from frames and files, added, saved, fitted from and shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import tfnorm
from tfnorm.cli import main
from tfnorm.errors import ChoiceError, DataError

RANDOM = np.random.default_rng(41)


def table(rows: int = 2000) -> pd.DataFrame:
    store = RANDOM.integers(0, 5, rows)
    frame = pd.DataFrame(
        {
            "store": np.array(["a", "b", "ключ", "it's", ""], object)[store],
            "day": RANDOM.integers(0, 3, rows),
            "price": RANDOM.gamma(2, 3, rows) + 10 * store,
            "size": RANDOM.normal(0, 1, rows).astype(np.float32),
        }
    )
    frame.loc[frame.index[::13], "price"] = np.nan
    return frame


FRAME = table()


@pytest.mark.parametrize("by", [["store"], ["day"], ["store", "day"], ["day", "store"]])
def test_numbers_by_key_are_those_of_pandas(by: list[str]) -> None:
    profile = tfnorm.scan(FRAME, by=by)
    assert list(profile) == [name for name in FRAME.columns if name not in by and name != "store"]
    found = pd.DataFrame(profile["price"].by(*by)).set_index(by)
    groups = FRAME.groupby(by)["price"]
    expected = groups.agg(["count", "min", "max", "mean"])
    expected["std"] = groups.std(ddof=0)
    expected["missing"] = groups.size() - groups.count()
    pd.testing.assert_frame_equal(found[expected.columns], expected, rtol=1e-12, check_index_type=False)
    for key, values in groups:
        median = found["median"][key if len(by) > 1 else key[0]]
        assert abs((values < median).sum() / values.count() - 0.5) < 0.005
    assert profile["price"].mean == tfnorm.scan(FRAME)["price"].mean  # of all rows as ever


def test_one_name_is_one_key_column() -> None:
    assert tfnorm.scan(FRAME, by="store") == tfnorm.scan(FRAME, by=["store"])


@pytest.mark.parametrize(
    "choice",
    [
        "standard.by('store')",
        "robust(10, 90).by('store')",
        "minmax.by('store', unseen='missing')",
        "quantile(levels=20).by('store', shrink=50)",
        "yeo_johnson.by('store')",
        "asinh, standard.by('store')",
        "standard.by('store'), clip(-2, 2)",
    ],
)
def test_a_fit_of_the_profile_is_one_of_the_data(choice: str) -> None:
    profile = tfnorm.scan(FRAME, by="store")
    own = {name: choice for name in profile if name != "day"}
    for policy in ("keep", "clip"):
        fitted, expected = (tfnorm.fit(source, own, out_of_range=policy) for source in (profile, FRAME))
        for name in own:
            # of data the mean after a curve, of a profile the sketch's
            near = dict.fromkeys(("rtol", "atol"), 0.05 if choice.startswith("asinh") else 1e-12)
            np.testing.assert_allclose(fitted.transform(FRAME)[name], expected.transform(FRAME)[name], **near)
    with pytest.raises(ChoiceError, match="needs moments, extremes by 'day', which the profile lacks"):
        tfnorm.fit(profile, {"price": "standard.by('day')"})


def test_parts_add_up_and_files_come_back(tmp_path: Path) -> None:
    parts = [FRAME.iloc[:700], FRAME.iloc[700:]]
    both = tfnorm.scan(parts[0], by=["store", "day"]) + tfnorm.scan(parts[1], by=["store", "day"])
    whole = tfnorm.scan(FRAME, by=["store", "day"])
    got, expected = (pd.DataFrame(one["price"].by("store", "day")) for one in (both, whole))
    pd.testing.assert_frame_equal(got, expected, rtol=1e-12)
    whole.save(tmp_path / "profile.json")
    assert tfnorm.load(tmp_path / "profile.json") == whole
    with pytest.raises(DataError, match="profiles add only when the same statistics were gathered"):
        whole + tfnorm.scan(FRAME, columns=["price", "size"])


@pytest.mark.parametrize("engine", ["threads", "processes"])
def test_files_by_any_engine(engine: str, tmp_path: Path) -> None:
    for i in range(3):
        FRAME.iloc[i::3].to_parquet(tmp_path / f"{i}.parquet")
    files = str(tmp_path / "*.parquet")
    found = pd.DataFrame(tfnorm.scan(files, by="store", engine=engine)["price"].by("store")).set_index("store")
    np.testing.assert_allclose(found["mean"], FRAME.groupby("store")["price"].mean(), rtol=1e-12)


def test_vectors_weights_and_sparse_rows() -> None:
    keys = RANDOM.integers(0, 3, 500)
    rows = RANDOM.normal(size=(500, 4)) * (RANDOM.random((500, 4)) < 0.3)
    weight = RANDOM.integers(0, 4, 500)
    expected = pd.DataFrame(rows).groupby(keys).mean().to_numpy()
    for came in (rows, scipy.sparse.csr_array(rows)):
        profile = tfnorm.scan({"k": keys, "x": came}, by="k")
        np.testing.assert_allclose(profile["x"].by("k")["mean"], expected, rtol=1e-9, atol=1e-12)
    again = np.repeat(np.arange(500), weight)
    weighted = tfnorm.scan({"k": keys, "x": rows}, by="k", weight=weight)["x"].by("k")
    repeated = tfnorm.scan({"k": keys[again], "x": rows[again]}, by="k")["x"].by("k")
    for what in ("min", "max", "mean", "std", "median"):
        np.testing.assert_allclose(weighted[what], repeated[what], rtol=1e-9, atol=1e-12)


def test_padded_steps_are_of_no_key() -> None:
    keys, rows = np.array([0, 0, 1]), np.arange(12.0).reshape(3, 4)
    there = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]], bool)
    profile = tfnorm.scan({"k": keys, "x": rows, "there": there}, by="k", columns="x", axis=None, mask={"x": "there"})
    np.testing.assert_allclose(profile["x"].by("k")["mean"], [rows[:2][there[:2]].mean(), 8])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"by": "stor"}, r'key column "stor": not in .*Did you mean "store"'),
        ({"by": ["store", "store"]}, "each once"),
        ({"by": [3]}, "by must be the name of a key column"),
        ({"by": "price"}, "key column 'price': expected whole numbers of 64 bits, got 43.3.* in row 1 "),
        ({"by": "day", "columns": ["day", "price"]}, 'column "day": is a key, and no column to be measured'),
    ],
)
def test_what_cannot_be_says_so(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises((ChoiceError, DataError), match=says):
        tfnorm.scan(FRAME, **arguments)
    with pytest.raises(ChoiceError, match=r"no column of numbers in .* beside keys and masks"):
        tfnorm.scan(FRAME[["store", "day"]], by=["store", "day"])


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FRAME.assign(store=FRAME["store"].replace("", "x")).to_csv(tmp_path / "train.csv", index=False)
    profile = str(tmp_path / "profile.json")
    assert main(["scan", str(tmp_path / "train.csv"), "--by", "store,day", "-o", profile]) == 0
    assert "and by store, day, 15 keys: profile[name].by('store', 'day')" in capsys.readouterr().out
    assert main(["show", profile, "--keys", "price", "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)
    expected = FRAME[FRAME["store"].eq("a") & FRAME["day"].eq(0)]["price"].mean()
    assert lines[0]["store"] == "a"
    assert lines[0]["mean"] == pytest.approx(expected, rel=1e-12)
    assert main(["show", profile, "--json"]) == 0
    (record, *_) = json.loads(capsys.readouterr().out)
    assert (record["by"], record["keys"]) == ([["store", "day"]], [15])
