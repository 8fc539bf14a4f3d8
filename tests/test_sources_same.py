"""One table of values in every format and object: the same statistics to the last bit, where the format keeps the values."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tfnorm
from tfnorm.quantiles import Quantiles
from tfnorm.statistics import Count, Extremes, Moments

ROWS = 1000
NUMBERS = ("whole", "narrow", "real", "single", "flag")
NULLS = ("some", "counted")
EVERYTHING = (*NUMBERS, *NULLS, "time", "vector")


def values() -> dict[str, Any]:
    """Whatever is hard to keep: large integers, NaN, both zeros, denormals, infinities, nulls, times, vectors."""
    generator = np.random.default_rng(7)
    whole = generator.integers(-(1 << 40), 1 << 40, ROWS)
    whole[:3] = (1 << 53) + 1, -(1 << 53) - 1, (1 << 62) + 3
    real = generator.lognormal(0, 3, ROWS)
    real[:8] = np.nan, np.inf, -np.inf, -0.0, 0.0, 5e-324, 1.7e308, 0.1
    single = generator.normal(1e4, 1, ROWS).astype(np.float32)
    single[:3] = np.float32(1e-45), -0.0, np.float32(3.4e38)
    null = generator.random(ROWS) < 0.25
    return {
        "whole": whole,
        "narrow": generator.integers(0, 256, ROWS).astype(np.uint8),
        "real": real,
        "single": single,
        "flag": generator.random(ROWS) < 0.5,
        "some": np.ma.MaskedArray(generator.normal(size=ROWS), null),
        "counted": np.ma.MaskedArray(generator.integers(0, 1000, ROWS), null[::-1]),
        "time": np.datetime64("2024-02-29", "ms") + generator.integers(0, 10**11, ROWS).astype("timedelta64[ms]"),
        "vector": generator.normal(size=(ROWS, 3)),
    }


VALUES = values()


def table(names: tuple[str, ...]) -> pa.Table:
    from tfnorm.sources.arrow import from_numpy

    return pa.table({name: from_numpy(VALUES[name]) for name in names})


def rows(names: tuple[str, ...]) -> list[dict[str, Any]]:
    return table(names).to_pylist()


def bits(profile: Any, name: str) -> dict[str, Any]:
    """All statistics of a column, byte for byte."""
    column, found = profile[name], {}
    for kind in (Count, Extremes, Moments, Quantiles):
        statistic = column.profile.statistic(kind, name)
        if statistic is None:
            continue
        for field in fields(statistic):
            value = getattr(statistic, field.name)
            found[f"{kind.__name__}.{field.name}"] = value.tobytes() if isinstance(value, np.ndarray) else repr(value)
    return found


Made = tuple[Any, tuple[str, ...]]
MAKERS: dict[str, Callable[[Path], Made]] = {}


def made(function: Callable[[Path], Made]) -> Callable[[Path], Made]:
    MAKERS[function.__name__] = function
    return function


# Files


@made
def parquet(folder: Path) -> Made:
    import pyarrow.parquet as pq

    pq.write_table(table(EVERYTHING), folder / "a.parquet")
    return folder / "a.parquet", EVERYTHING


def lines(mark: str) -> str:
    names = (*NUMBERS, *NULLS, "time")
    text = {
        name: ["" if value is None else str(value) for value in np.ma.asarray(VALUES[name]).tolist()] for name in names
    }
    text["single"] = [repr(float(value)) for value in VALUES["single"]]
    text["flag"] = [str(value).lower() for value in VALUES["flag"].tolist()]
    return "\n".join([mark.join(names), *(mark.join(row) for row in zip(*text.values(), strict=True))]) + "\n"


@made
def csv(folder: Path) -> Made:
    (folder / "a.csv").write_text(lines(","))
    return folder / "a.csv", (*NUMBERS, *NULLS, "time")


@made
def tsv_gz(folder: Path) -> Made:
    import gzip

    (folder / "a.tsv.gz").write_bytes(gzip.compress(lines("\t").encode()))
    return folder / "a.tsv.gz", (*NUMBERS, *NULLS, "time")


@made
def json_lines(folder: Path) -> Made:
    names = tuple(name for name in EVERYTHING if name != "time")  # JSON has none, and Arrow takes none with a fraction
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(names)))
    return folder / "a.jsonl", names


@made
def arrow_file(folder: Path) -> Made:
    whole = table(EVERYTHING)
    with pa.ipc.new_file(folder / "a.arrow", whole.schema) as file:
        file.write_table(whole)
    return folder / "a.arrow", EVERYTHING


@made
def arrow_stream(folder: Path) -> Made:
    whole = table(EVERYTHING)
    with pa.ipc.new_stream(folder / "a.arrows", whole.schema) as file:
        file.write_table(whole, max_chunksize=300)
    return folder / "a.arrows", EVERYTHING


@made
def feather(folder: Path) -> Made:
    import pyarrow.feather

    pyarrow.feather.write_feather(table(EVERYTHING), folder / "a.feather", compression="lz4")
    return folder / "a.feather", EVERYTHING


@made
def orc(folder: Path) -> Made:
    import pyarrow.orc

    names = tuple(
        name for name in EVERYTHING if name not in ("narrow", "vector")
    )  # ORC has neither uint8 nor fixed lists
    pyarrow.orc.write_table(table(names), folder / "a.orc")
    return folder / "a.orc", names


@made
def npz(folder: Path) -> Made:
    names = (*NUMBERS, "time", "vector")
    np.savez_compressed(folder / "a.npz", **{name: VALUES[name] for name in names})
    return folder / "a.npz", names


@made
def npy_of_records(folder: Path) -> Made:
    names = (*NUMBERS, "time", "vector")
    records = np.zeros(ROWS, [(name, VALUES[name].dtype, VALUES[name].shape[1:]) for name in names])
    for name in names:
        records[name] = VALUES[name]
    np.save(folder / "a.npy", records)
    return folder / "a.npy", names


@made
def hdf5(folder: Path) -> Made:
    h5py = pytest.importorskip("h5py")
    names = (*NUMBERS, "vector")
    with h5py.File(folder / "a.h5", "w") as file:
        for name in names:
            file.create_dataset(name, data=VALUES[name], chunks=True, compression="gzip", fletcher32=True)
    return folder / "a.h5", names


def zarr_of(folder: Path, version: Any) -> Made:
    zarr = pytest.importorskip("zarr")
    names = (*NUMBERS, "time", "vector")
    group = zarr.open_group(folder / "a.zarr", mode="w", zarr_format=version)
    for name in names:
        group.create_array(name, data=VALUES[name], chunks=(300, *VALUES[name].shape[1:]))
    return folder / "a.zarr", names


@made
def zarr_2(folder: Path) -> Made:
    return zarr_of(folder, 2)


@made
def zarr_3(folder: Path) -> Made:
    return zarr_of(folder, 3)


# Objects


@made
def arrays(folder: Path) -> Made:
    return VALUES, EVERYTHING


@made
def batches(folder: Path) -> Made:
    return (
        lambda: ({name: array[i : i + 77] for name, array in VALUES.items()} for i in range(0, ROWS, 77)),
        EVERYTHING,
    )


@made
def pandas(folder: Path) -> Made:
    pd = pytest.importorskip("pandas")
    return pd.DataFrame({name: VALUES[name] for name in (*NUMBERS, "time")}), (*NUMBERS, "time")


@made
def polars(folder: Path) -> Made:
    pl = pytest.importorskip("polars")
    return pl.from_arrow(table(EVERYTHING)), EVERYTHING


@made
def record_batches(folder: Path) -> Made:
    return table(EVERYTHING).to_reader(max_chunksize=100), EVERYTHING


def duckdb_of(folder: Path) -> tuple[Any, str]:
    duckdb = pytest.importorskip("duckdb")
    parquet(folder)
    return duckdb.connect(), f"SELECT * FROM '{folder}/a.parquet'"


@made
def duckdb_relation(folder: Path) -> Made:
    connection, query = duckdb_of(folder)
    return connection.sql(query), EVERYTHING


@made
def duckdb_query(folder: Path) -> Made:
    connection, query = duckdb_of(folder)
    return tfnorm.sql(query, connection), EVERYTHING


def sqlite(path: Path) -> tuple[str, ...]:
    """SQLite takes NaN for null, so it is left out, and has no other types than these."""
    names = ("whole", "narrow", "single", *NULLS)
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE a ({', '.join(names)})")
        connection.executemany(
            f"INSERT INTO a VALUES ({', '.join('?' * len(names))})", [tuple(row.values()) for row in rows(names)]
        )
    return names


@made
def sqlite_query(folder: Path) -> Made:
    names = sqlite(folder / "a.db")
    return tfnorm.sql("SELECT * FROM a", sqlite3.connect(folder / "a.db")), names


@made
def adbc_query(folder: Path) -> Made:
    driver = pytest.importorskip("adbc_driver_sqlite.dbapi")
    names = sqlite(folder / "a.db")
    return tfnorm.sql("SELECT * FROM a", driver.connect(str(folder / "a.db"))), names


@made
def hugging_face(folder: Path) -> Made:
    datasets = pytest.importorskip("datasets")
    return datasets.Dataset(table(EVERYTHING)), EVERYTHING


@made
def hugging_face_chosen(folder: Path) -> Made:
    datasets = pytest.importorskip("datasets")
    backwards = datasets.Dataset(table(EVERYTHING).take(np.arange(ROWS)[::-1]))
    return backwards.select(np.arange(ROWS)[::-1]), EVERYTHING


@made
def hugging_face_iterable(folder: Path) -> Made:
    datasets = pytest.importorskip("datasets")
    return datasets.Dataset(table(EVERYTHING)).to_iterable_dataset(num_shards=3), EVERYTHING


TENSORS = (*NUMBERS, "vector")


@made
def torch_batches(folder: Path) -> Made:
    torch = pytest.importorskip("torch")

    class Examples(torch.utils.data.Dataset):  # type: ignore[misc,name-defined]
        def __len__(self) -> int:
            return ROWS

        def __getitem__(self, at: int) -> dict[str, Any]:
            return {name: torch.as_tensor(VALUES[name][at]) for name in TENSORS}

    return torch.utils.data.DataLoader(Examples(), batch_size=64), TENSORS


@made
def torch_examples(folder: Path) -> Made:
    torch_batches(folder)
    return torch_batches(folder)[0].dataset, TENSORS


def examples() -> list[dict[str, Any]]:
    return [{name: VALUES[name][at] for name in TENSORS} for at in range(ROWS)]


@made
def grain_batches(folder: Path) -> Made:
    return pytest.importorskip("grain").MapDataset.source(examples()).batch(64), TENSORS


@made
def grain_examples(folder: Path) -> Made:
    return pytest.importorskip("grain").MapDataset.source(examples()).to_iter_dataset(), TENSORS


@made
def grain_loader(folder: Path) -> Made:
    grain = pytest.importorskip("grain")
    sampler = grain.samplers.IndexSampler(ROWS, shard_options=grain.sharding.NoSharding(), num_epochs=1, shuffle=False)
    operations = [grain.transforms.Batch(64)]
    return grain.DataLoader(data_source=examples(), sampler=sampler, operations=operations), TENSORS


@made
def tf_data(folder: Path) -> Made:
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices({name: VALUES[name] for name in TENSORS}), TENSORS


@pytest.fixture(scope="module")
def expected() -> dict[str, dict[str, Any]]:
    profile = tfnorm.scan(VALUES, unit={"time": "s"})
    return {name: bits(profile, name) for name in EVERYTHING}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_the_same_values_give_the_same_bits(
    maker: Callable[[Path], Made], expected: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    source, names = maker(tmp_path)
    profile = tfnorm.scan(source, unit={"time": "s"} if "time" in names else None, workers=2)
    assert profile.num_rows == ROWS
    assert {column.name for column in profile.columns} == set(names)
    if "time" in names:  # in the unit that the format has, which counts otherwise in the last bits
        unit = next(column.dtype for column in profile.columns if column.name == "time")
        in_unit = tfnorm.scan({"time": VALUES["time"].astype(unit)}, unit={"time": "s"})
        expected = expected | {"time": bits(in_unit, "time")}
    for name in names:
        assert bits(profile, name) == expected[name], name


def torch_pairs(array: np.ndarray) -> Any:
    """x and y, of which y is left out."""
    torch = pytest.importorskip("torch")
    pairs = torch.utils.data.TensorDataset(torch.from_numpy(array), torch.zeros(len(array)))
    return torch.utils.data.DataLoader(pairs, batch_size=100)


ALONE: dict[str, Callable[[Path, np.ndarray], Any]] = {
    "npy": lambda folder, array: np.save(folder / "a.npy", array) or folder / "a.npy",
    "npy_by_column": lambda folder, array: np.save(folder / "a.npy", np.asfortranarray(array)) or folder / "a.npy",
    "npy_big_endian": lambda folder, array: np.save(folder / "a.npy", array.astype(">f8")) or folder / "a.npy",
    "zarr": lambda folder, array: (
        pytest.importorskip("zarr").save_array(str(folder / "a.zarr"), array) or folder / "a.zarr"
    ),
    "torch": lambda folder, array: torch_pairs(array),
}


@pytest.mark.parametrize("shape", [(500,), (500, 4), (50, 8, 6, 3)])
@pytest.mark.parametrize("make", ALONE.values(), ids=ALONE)
def test_one_array_is_bare_and_goes_there_and_back(
    make: Callable[[Path, np.ndarray], Any], shape: tuple[int, ...], tmp_path: Path
) -> None:
    array = np.random.default_rng(3).normal(5, 2, shape)
    fitted = tfnorm.fit(make(tmp_path, array), "robust")
    direct = tfnorm.fit(array, "robust")
    assert fitted.profile.bare
    assert bits(fitted.profile, "x") == bits(direct.profile, "x")
    np.testing.assert_array_equal(fitted.transform(array), direct.transform(array))
    np.testing.assert_allclose(fitted.inverse(fitted.transform(array)), array)
