"""The same rows give the same fit: from every source, to the bit for any workers and any batches of the reader."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import tfnorm
from tfnorm import sources
from tfnorm.codec import encode
from tfnorm.fitted import Fitted
from tfnorm.profile import Profile
from tfnorm.sources import csv, parquet

ROWS = 5000


def table() -> dict[str, np.ndarray]:
    random = np.random.default_rng(51)
    normal = random.normal(size=(ROWS, 3))
    return {
        "a": normal[:, 0] + 1e6,
        "b": np.where(random.random(ROWS) < 0.2, np.nan, np.exp(normal[:, 1])),
        "c": random.integers(0, 1000, ROWS),
        "d": normal[:, 2].astype(np.float32),
        "e": 2**53 + random.integers(0, 9, ROWS),
    }


TABLE = table()
CHOICE = {"a": "standard", "b": ["log1p", "standard"], "c": "robust", "d": "minmax", "e": "mean_range"}


def bits(found: Fitted | Profile) -> Any:
    """All of it but where it came from and as which type: floats in hex, so that not a bit is lost."""
    profile = found.profile if isinstance(found, Fitted) else found
    columns = [(column.name, column.shape, column.features) for column in profile.columns]
    statistics = [_hex(encode(gathering)) for gathering in profile.gatherings]
    return columns, profile.num_rows, statistics, _hex(encode(dict(found.maps))) if isinstance(found, Fitted) else None


def _hex(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hex(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_hex(item) for item in value]
    return value.hex() if isinstance(value, float) else value


def batches(size: int, of: dict[str, np.ndarray] | None = None) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, ROWS, size):
        yield {name: array[start : start + size] for name, array in (of or TABLE).items()}


def in_file(write: Callable[[Path], object], name: str) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        write(folder / name)
        return folder / name

    return made


def csv_bytes() -> bytes:
    columns = [["" if np.isnan(value) else repr(value.item()) for value in array] for array in TABLE.values()]
    return "\n".join([",".join(TABLE), *map(",".join, zip(*columns, strict=True))]).encode()


EVERY: dict[str, Callable[[Path], Any]] = {
    "mapping": lambda _: TABLE,
    "lists": lambda _: {name: array.tolist() for name, array in TABLE.items()},
    "pandas": lambda _: pd.DataFrame(TABLE),
    "pandas, arrow": lambda _: pa.table(TABLE).to_pandas(types_mapper=pd.ArrowDtype),
    "polars": lambda _: pl.DataFrame(TABLE),
    "polars, lazy": lambda _: pl.DataFrame(TABLE).lazy(),
    "pyarrow": lambda _: pa.table(TABLE),
    "pyarrow reader": lambda _: pa.table(TABLE).to_reader(max_chunksize=333),
    "parquet": in_file(lambda path: pa.parquet.write_table(pa.table(TABLE), path), "a.parquet"),
    "csv": in_file(lambda path: path.write_bytes(csv_bytes()), "a.csv"),
    "csv.gz": in_file(lambda path: path.write_bytes(gzip.compress(csv_bytes())), "a.csv.gz"),
    "generator": lambda _: batches(100),
    "function": lambda _: lambda: batches(7),
    "function of tables": lambda _: lambda: map(pl.DataFrame, batches(999)),
}


@pytest.mark.parametrize("kind", EVERY)
def test_every_source_gives_the_same_fit(kind: str, tmp_path: Path) -> None:
    expected = tfnorm.fit(TABLE, CHOICE)
    fitted = tfnorm.fit(EVERY[kind](tmp_path), CHOICE)
    columns, rows, statistics, maps = bits(fitted)
    want_columns, want_rows, want_statistics, want_maps = bits(expected)
    assert (columns, rows) == (want_columns, want_rows)
    if kind.startswith("csv"):  # an empty field is null and not NaN, so blocks hold other rows
        ours, theirs = (one.profile["b"].count for one in (fitted, expected))
        np.testing.assert_array_equal(ours.null, theirs.nan)
        for name, (mine, other) in {name: (fitted[name], expected[name]) for name in TABLE}.items():
            z = other.transform(TABLE[name])
            np.testing.assert_allclose(mine.transform(TABLE[name]), z, rtol=1e-14, atol=1e-14)
        statistics, want_statistics = [_of(found, "a") for found in (statistics, want_statistics)]
    else:
        assert maps == want_maps
    assert statistics == want_statistics


def _of(gatherings: Any, column: str) -> Any:
    """The statistics of one column, by kind."""
    at = {one["statistic"]["is"]: [part["column"] for part in one["parts"]] for one in gatherings}
    return [
        {
            field: values[at[one["statistic"]["is"]].index(column)]
            for field, values in one["statistic"].items()
            if field != "is"
        }
        for one in gatherings
        if column in at[one["statistic"]["is"]] and one["statistic"]["is"] != "Quantiles"
    ]


@pytest.fixture(params=[64, 512])
def short_shards(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Shards of so few rows that there are many."""
    monkeypatch.setattr(sources, "SHARD_ROWS", request.param)
    monkeypatch.setattr(sources, "NARROW_ROWS", request.param)
    return int(request.param)


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("name", ["mapping", "parquet", "csv", "pandas", "polars, lazy", "function"])
def test_the_same_bits_for_any_workers(name: str, workers: int, short_shards: int, tmp_path: Path) -> None:
    if name == "parquet":
        pa.parquet.write_table(pa.table(TABLE), tmp_path / "a.parquet", row_group_size=300)
    source = (tmp_path / "a.parquet") if name == "parquet" else EVERY[name](tmp_path)
    assert bits(tfnorm.scan(source, workers=workers)) == bits(tfnorm.scan(source, workers=3))
    assert bits(tfnorm.fit(source, CHOICE, workers=workers)) == bits(tfnorm.fit(source, CHOICE))


@pytest.mark.parametrize("size", [1, 7, 64, 256, 777, ROWS])
def test_the_same_bits_for_any_batches_of_a_stream(size: int, short_shards: int) -> None:
    expected = bits(tfnorm.scan(TABLE))
    if size == 1:
        few = {name: array[:700] for name, array in TABLE.items()}
        expected = bits(tfnorm.scan(few))
        stream = ({name: array[i : i + 1] for name, array in few.items()} for i in range(700))
        assert bits(tfnorm.scan(stream)) == expected
        return
    assert bits(tfnorm.scan(lambda: batches(size))) == expected
    assert bits(tfnorm.scan(batches(size), workers=1)) == expected
    frames = pa.Table.from_batches([pa.RecordBatch.from_pydict(dict(batch)) for batch in batches(size)])
    assert bits(tfnorm.scan(frames.to_reader(max_chunksize=size))) == expected
    assert bits(tfnorm.scan(frames)) == expected  # chunks of a table are the table's own affair


@pytest.mark.parametrize("step", [1, 37, 1000, 1 << 20])
@pytest.mark.parametrize("columns", [None, ["b"]])
def test_the_same_bits_for_any_batches_of_a_parquet_reader(
    step: int, columns: list[str] | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sources, "SHARD_ROWS", 256)
    monkeypatch.setattr(sources, "NARROW_ROWS", 256)
    rows = 600 if step == 1 else ROWS
    small = pa.table(TABLE).slice(0, rows)
    pa.parquet.write_table(small, tmp_path / "a.parquet", row_group_size=1300, data_page_size=2000)
    expected = bits(tfnorm.scan(tmp_path / "a.parquet", columns=columns))
    monkeypatch.setattr(parquet, "rows_per_shard", lambda columns: step)
    monkeypatch.setattr(parquet, "COLUMN_BYTES", step * 8)
    assert bits(tfnorm.scan(tmp_path / "a.parquet", columns=columns)) == expected
    # one row group that is one shard: as the array of the same rows
    pa.parquet.write_table(small, tmp_path / "b.parquet")
    arrays = {name: TABLE[name][:rows] for name in columns or TABLE}
    assert bits(tfnorm.scan(tmp_path / "b.parquet", columns=columns)) == bits(tfnorm.scan(arrays))


@pytest.mark.parametrize("size", [1000, 1 << 20])
def test_the_same_bits_for_any_blocks_of_a_csv_reader(
    size: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_bytes(csv_bytes())
    expected = bits(tfnorm.scan(tmp_path / "a.csv"))
    monkeypatch.setattr(csv, "BLOCK_BYTES", size)
    assert bits(tfnorm.scan(tmp_path / "a.csv")) == expected


def test_weights_are_cut_with_their_rows(short_shards: int) -> None:
    weights = np.random.default_rng(52).random(ROWS)
    expected = bits(tfnorm.scan(TABLE, weight=weights))
    with_weights = {**TABLE, "w": weights}
    named = bits(tfnorm.scan(with_weights, weight="w"))
    assert named[2] == expected[2]
    for size in (7, 256, ROWS):
        assert bits(tfnorm.scan(lambda size=size: batches(size, with_weights), weight="w"))[2] == expected[2]
        pairs = [(b, None, weights[i * size : (i + 1) * size]) for i, b in enumerate(batches(size))]
        assert bits(tfnorm.scan(lambda pairs=pairs: iter(pairs), weight=True))[2] == expected[2]


def test_files_add_up_as_profiles_do(tmp_path: Path) -> None:
    for part in range(5):
        rows = pa.table(TABLE).slice(part * 1000, 1000)
        pa.parquet.write_table(rows, tmp_path / f"{part}.parquet")
    whole = tfnorm.scan(tmp_path)
    parts = [tfnorm.scan(tmp_path / f"{part}.parquet") for part in range(5)]
    total = ((parts[0] + parts[1]) + (parts[2] + parts[3])) + parts[4]  # as the engine folds them
    assert bits(total)[1] == bits(whole)[1] == ROWS
    for gathering, other in zip(total.gatherings, whole.gatherings, strict=True):
        name = type(gathering.statistic).__name__
        if name != "Quantiles":  # those of a profile are coarsened when its pass is over
            assert _hex(encode(gathering)) == _hex(encode(other)), name
    for name in TABLE:
        for q in (0.1, 0.5, 0.9):
            values = np.sort(TABLE[name][np.isfinite(TABLE[name])])
            rank = np.searchsorted(values, [total[name].quantile(q)] * 1)[0] / len(values)
            assert abs(rank - q) <= 0.002 or name in ("c", "e")


def test_progress_counts_every_row(tmp_path: Path) -> None:
    pa.parquet.write_table(pa.table(TABLE), tmp_path / "a.parquet", row_group_size=700)
    for source, total in ((TABLE, ROWS), (tmp_path / "a.parquet", ROWS), (batches(99), None)):
        seen: list[tfnorm.Progress] = []
        tfnorm.scan(source, callback=seen.append)
        assert seen[-1].done == ROWS
        assert [now.done for now in seen] == sorted(now.done for now in seen)
        assert {now.total for now in seen} == {total}
        if seen[-1].total_bytes:
            assert seen[-1].num_bytes == pytest.approx(seen[-1].total_bytes, rel=1e-4)  # parts' shares are rounded
            assert (seen[-1].share, seen[-1].seconds_left) == (1.0, 0.0)


def test_rows_in_another_order_change_little_but_the_rounding() -> None:
    order = np.random.default_rng(53).permutation(ROWS)
    mixed = {name: array[order] for name, array in TABLE.items()}
    a, b = tfnorm.scan(TABLE), tfnorm.scan(mixed)
    for name in TABLE:
        for field in dataclasses.fields(a[name].count):
            np.testing.assert_array_equal(getattr(a[name].count, field.name), getattr(b[name].count, field.name))
        assert (a[name].minimum, a[name].maximum) == (b[name].minimum, b[name].maximum)
        assert a[name].mean == pytest.approx(b[name].mean, rel=1e-14, abs=1e-15)
        assert a[name].quantile(0.3) == b[name].quantile(0.3)
