"""What a fit by key found, told to people and machines; series; what is said on the way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import tfnorm
from tfnorm import cli
from tfnorm.errors import ChoiceError, DataError

TABLE = pd.DataFrame(
    {
        "store": ["b", "a", None, "b", "b", "a"],
        "day": [1, 1, 2, 2, 1, 1],
        "price": [1.0, 5.0, 7.0, np.nan, 3.0, 9.0],
    }
)


def test_the_numbers_are_those_that_pandas_finds() -> None:
    fitted = tfnorm.fit(TABLE, {"price": "robust.by('store', 'day')"})
    found = pd.DataFrame(fitted["price"].profile.by("store", "day"))
    wanted = TABLE.groupby(["store", "day"], dropna=False)["price"].agg(["count", "min", "max", "median"]).reset_index()
    for store, day, *numbers in wanted.itertuples(index=False):
        same = found["store"].isna() if pd.isna(store) else found["store"] == store
        row = found[same & (found["day"] == day)]
        np.testing.assert_allclose(row[["count", "min", "max", "median"]].to_numpy(float)[0], np.array(numbers, float))
    assert len(found) == len(wanted)


def test_vectors_have_a_row_a_key() -> None:
    rows = {"s": np.array([1, 2, 1]), "v": np.array([[1.0, 10.0], [5.0, 5.0], [3.0, 30.0]])}
    found = tfnorm.fit(rows, {"v": "standard.by('s')"})["v"].profile.by("s")
    assert found["mean"].tolist() == [[2.0, 20.0], [5.0, 5.0]]


def test_what_was_not_gathered_is_said() -> None:
    fitted = tfnorm.fit(TABLE[["store", "price"]], {"price": "standard.by('store')"})
    with pytest.raises(DataError, match="this profile has some by"):
        fitted["price"].profile.by("day")
    with pytest.raises(DataError, match="fit it with a technique"):
        tfnorm.fit({"x": [1.0]}, "standard")["x"].profile.by("day")


def test_show_tells_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "norm.json")
    tfnorm.fit(TABLE, {"price": "standard.by('store')", "day": "minmax"}, missing={"price": 0}).save(path)
    assert cli.main(["show", path, "--keys", "price", "--no-color"]) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[2:]] == [
        ["null", "1"],
        ["a", "2"],
        ["b", "2"],
    ]
    assert cli.main(["show", path, "--keys", "price", "--json"]) == 0
    assert [row["mean"] for row in json.loads(capsys.readouterr().out)] == [7.0, 7.0, 2.0]
    assert cli.main(["show", path, "--keys", "day"]) == 1
    assert "has no numbers by key" in capsys.readouterr().err
    assert cli.main(["show", path, "--json"]) == 0
    assert {row["column"]: row["policies"]["missing"] for row in json.loads(capsys.readouterr().out)} == {
        "price": "fill",
        "day": "keep",
    }
    assert '"price": missing=0' in repr(tfnorm.load(path))


@pytest.mark.parametrize("series", [TABLE["price"], pl.Series("price", [1.0, 5.0, None])])
def test_a_series_comes_back_as_one(series: pd.Series | pl.Series) -> None:
    fitted = tfnorm.fit(series, "minmax")
    there = fitted.transform(series)
    assert type(there) is type(series)
    assert there.name == "price"
    back = fitted.inverse(there)
    np.testing.assert_allclose(back.to_numpy(), series.to_numpy())


def test_a_column_is_chosen_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TABLE.to_csv(tmp_path / "train.csv", index=False)
    path = str(tmp_path / "train.csv")
    assert cli.main(["fit", path, "--set", "price=minmax", "--set", "price=robust"]) == 2
    assert "--set price='minmax, robust'" in capsys.readouterr().err
    assert cli.main(["scan", path]) == 0
    assert 'left out: "store (string)"' in capsys.readouterr().err


def test_times_alone_say_what_they_need() -> None:
    times = pd.DataFrame({"at": pd.to_datetime(["2020-01-01", "2020-01-02"])})
    for read in (tfnorm.scan, tfnorm.fit):
        with pytest.raises(ChoiceError, match="--unit at=s"):
            read(times)


def test_progress_is_a_function() -> None:
    with pytest.raises(ChoiceError, match="must be a function"):
        tfnorm.scan([1.0, 2.0], progress=5)
