"""One table of values through every source; arrays, mappings and lists; and what importing loads."""

from __future__ import annotations

import gzip
import pickle
import subprocess
import sys
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

from tfnorm.errors import DataError
from tfnorm.sources import BARE, WEIGHT, Source, open_source
from tfnorm.sources.columns import rows_per_shard

VALUES = {
    "age": np.array([22, 38, 26, 35, 54, 2], np.int64),
    "fare": np.array([7.25, 71.2833, np.nan, 53.1, -0.0, 1e300]),
    "weight": np.array([1.0, 2.0, 0.5, 1.0, 1.0, 3.0]),
}


class ArrowStream:
    """An object of a library we do not know, which offers its table as an Arrow stream."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


def gather(source: Source, columns: list[str], key: str | None = None) -> dict[str, np.ndarray]:
    """All rows of a source, as one array a column."""
    batches = [batch for shard in source.shards(columns) for batch in shard()]
    names = columns if key is None else [*columns, key]
    assert all(set(batch) == set(names) for batch in batches)
    return {name: np.ma.concatenate([batch[name] for batch in batches]) for name in names}


def parquet(folder: Path) -> Path:
    pyarrow.parquet.write_table(pa.table(VALUES), folder / "a.parquet", row_group_size=2)
    return folder / "a.parquet"


def csv(folder: Path) -> Path:
    (folder / "a.csv").write_bytes(csv_bytes())
    return folder / "a.csv"


def csv_bytes() -> bytes:
    rows = zip(*(array.tolist() for array in VALUES.values()), strict=True)
    return "\n".join([",".join(VALUES), *(",".join(map(repr, row)) for row in rows)]).encode()


def csv_gz(folder: Path) -> Path:
    (folder / "a.csv.gz").write_bytes(gzip.compress(csv_bytes()))
    return folder / "a.csv.gz"


def tsv(folder: Path) -> Path:
    (folder / "a.tsv").write_bytes(csv_bytes().replace(b",", b"\t"))
    return folder / "a.tsv"


def halves(_: Path) -> Any:
    return ({name: array[part] for name, array in VALUES.items()} for part in (slice(0, 4), slice(4, 6)))


EVERY: dict[str, Callable[[Path], Any]] = {
    "mapping": lambda _: VALUES,
    "mapping of lists": lambda _: {name: array.tolist() for name, array in VALUES.items()},
    "list of rows": lambda _: [dict(zip(VALUES, row, strict=True)) for row in zip(*VALUES.values(), strict=True)],
    "records": lambda _: pd.DataFrame(VALUES).to_records(index=False),
    "pandas": lambda _: pd.DataFrame(VALUES),
    "pandas, arrow dtypes": lambda _: pa.table(VALUES).to_pandas(types_mapper=pd.ArrowDtype),
    "polars": lambda _: pl.DataFrame(VALUES),
    "polars, lazy": lambda _: pl.DataFrame(VALUES).lazy(),
    "pyarrow": lambda _: pa.table(VALUES),
    "pyarrow batch": lambda _: pa.table(VALUES).to_batches()[0],
    "pyarrow reader": lambda _: pa.table(VALUES).to_reader(max_chunksize=4),
    "arrow stream": lambda _: ArrowStream(pa.table(VALUES)),
    "parquet": parquet,
    "csv": csv,
    "csv.gz": csv_gz,
    "tsv": tsv,
    "folder": lambda folder: (parquet(folder), folder)[1],
    "glob": lambda folder: (parquet(folder), str(folder / "*.parquet"))[1],
    "list of paths": lambda folder: [str(csv(folder))],
    "generator": halves,
    "function": lambda folder: lambda: halves(folder),
    "generator of tables": lambda _: (pl.DataFrame(VALUES).slice(start, 4) for start in (0, 4)),
}


@pytest.mark.parametrize("kind", EVERY)
def test_the_same_table_from_every_source(kind: str, tmp_path: Path) -> None:
    source = open_source(EVERY[kind](tmp_path))
    assert isinstance(source, Source)
    assert [column.name for column in source.columns] == list(VALUES)
    assert [column.dtype for column in source.columns] == ["int64", "float64", "float64"]
    assert all(column.kind == "number" and column.shape == () for column in source.columns)
    assert source.num_rows in (6, None)
    assert not source.bare
    got = gather(source, ["fare", "age"])
    for name, array in got.items():
        assert array.dtype == VALUES[name].dtype
        assert not np.ma.getmaskarray(array).any()
        np.testing.assert_array_equal(array, VALUES[name])
    if source.repeatable:
        np.testing.assert_array_equal(gather(source, ["age"])["age"], VALUES["age"])


@pytest.mark.parametrize("kind", EVERY)
def test_a_column_of_weights_comes_along(kind: str, tmp_path: Path) -> None:
    source = open_source(EVERY[kind](tmp_path), weight="weight")
    assert source.weight == "weight"
    np.testing.assert_array_equal(gather(source, ["age"], "weight")["weight"], VALUES["weight"])


@pytest.mark.parametrize("kind", EVERY)
def test_a_column_that_is_not_there(kind: str, tmp_path: Path) -> None:
    source = open_source(EVERY[kind](tmp_path))
    with pytest.raises(DataError, match=r'"Age".*Did you mean "age"') as error:
        list(source.shards(["Age", "fare"]))
    assert '"fare"' in str(error.value)
    with pytest.raises(DataError, match='"wait"'):
        open_source(EVERY[kind](tmp_path), weight="wait")


@pytest.mark.parametrize("kind", ["parquet", "csv", "csv.gz"])
def test_shards_of_files_can_be_sent(kind: str, tmp_path: Path) -> None:
    for shard in open_source(EVERY[kind](tmp_path)).shards(["age"]):
        again = pickle.loads(pickle.dumps(shard))
        assert again.name == shard.name
        assert again.fingerprint == shard.fingerprint
        np.testing.assert_array_equal(*(np.concatenate([batch["age"] for batch in each()]) for each in (shard, again)))


ROWS = 300_000


def long_table() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {"a": random.normal(size=ROWS), "b": np.arange(ROWS, dtype=np.int32), "c": random.normal(size=(ROWS, 3))}


def in_batches(table: dict[str, np.ndarray], size: int) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, ROWS, size):
        yield {name: array[start : start + size] for name, array in table.items()}


@pytest.mark.parametrize("columns", [["a"], ["c", "b"]])
def test_the_same_numbers_give_the_same_shards(columns: list[str]) -> None:
    table = long_table()
    lists = pa.FixedSizeListArray.from_arrays(pa.array(table["c"].ravel()), 3)
    arrow = pa.table({"a": table["a"], "b": table["b"], "c": lists})
    frames = [
        arrow,
        pl.from_arrow(arrow),
        arrow.to_pandas(types_mapper=pd.ArrowDtype),
        arrow.to_reader(max_chunksize=777),
    ]
    streams = [in_batches(table, size) for size in (999, 290_000)]
    expected = [next(iter(shard())) for shard in open_source(table).shards(columns)]
    step = rows_per_shard(open_source({name: table[name] for name in columns}).columns)
    assert [len(batch[columns[0]]) for batch in expected] == [step] * (ROWS // step) + [ROWS % step]
    for data in [*frames, *streams]:
        shards = list(open_source(data).shards(columns))
        assert len(shards) == len(expected)
        for shard, batch in zip(shards, expected, strict=True):
            (got,) = shard()
            for name in columns:
                assert got[name].dtype == batch[name].dtype
                np.testing.assert_array_equal(got[name], batch[name])


def test_shards_of_arrays_are_views() -> None:
    table = long_table()
    for shard in open_source(table).shards(["a", "c"]):
        (batch,) = shard()
        assert np.shares_memory(batch["a"], table["a"])
        assert np.shares_memory(batch["c"], table["c"])


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "i1", "u2", "i4", "u8", "?", ">f4", ">i8"])
def test_every_number_is_delivered_as_it_is(dtype: str) -> None:
    array = np.array([[0, 1, 1], [1, 0, 1]], dtype)
    source = open_source(array)
    assert source.bare
    (column,) = source.columns
    assert (column.name, column.shape, column.kind) == (BARE, (3,), "number")
    got = gather(source, [BARE])[BARE]
    assert got.dtype == array.dtype.newbyteorder("=") == np.dtype(column.dtype)
    np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a", "b"], "other"),
        ([b"a", b"b"], "other"),
        ([1, "b"], "other"),
        ([1 + 2j, 3], "other"),
        (np.array(["2020-01-01", "NaT"], "datetime64[s]"), "time"),
        (np.array([1, 2], "timedelta64[ns]"), "time"),
        (np.array([{}, []], object), "other"),
        ([1, None], "number"),
    ],
)
def test_kinds(values: Any, kind: str) -> None:
    (column,) = open_source({"a": values}).columns
    assert column.kind == kind


def test_masked_stays_masked_and_none_is_null() -> None:
    masked = np.ma.MaskedArray([1.0, np.nan, 3.0], [True, False, False])
    for data in (masked, [None, float("nan"), 3.0]):
        got = gather(open_source(data), [BARE])[BARE]
        np.testing.assert_array_equal(np.ma.getmaskarray(got), [True, False, False])
        np.testing.assert_array_equal(np.ma.getdata(got)[1:], [np.nan, 3.0])


def test_memory_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(12.0).reshape(4, 3))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    (shard,) = open_source(mapped).shards([BARE])
    np.testing.assert_array_equal(next(iter(shard()))[BARE], mapped)


def test_weights_beside() -> None:
    for data in (np.zeros((6, 2)), pd.DataFrame(VALUES), pl.DataFrame(VALUES), VALUES):
        source = open_source(data, weight=VALUES["weight"].tolist())
        assert source.weight == WEIGHT
        assert WEIGHT not in [column.name for column in source.columns]
        name = source.columns[0].name
        np.testing.assert_array_equal(gather(source, [name], WEIGHT)[WEIGHT], VALUES["weight"])


@pytest.mark.parametrize("weight", [[1.0, 2.0], ["a"] * 6, np.ones((6, 2)), True])
def test_weights_that_are_none(weight: Any) -> None:
    with pytest.raises(DataError, match="weight"):
        open_source(VALUES, weight=weight)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (np.float64(3), "single value"),
        (np.array(3), "single value"),
        (np.zeros((0, 3)), "no rows"),
        ([], "no rows"),
        ({}, "no columns"),
        ({"a": 3.0}, '"a".*single value'),
        ({"a": [1, 2], "b": [1, 2, 3]}, '"a" 2, "b" 3'),
        ({1: [1], "1": [2]}, '"1".*Rename'),
        ([[1, 2], [1, 2, 3]], "row 1"),
        ([{"a": 1}, {"b": 1}], "row 1"),
        ([np.zeros((2, 3)), np.zeros((2, 3))], "rows or batches"),
        ((np.zeros((4, 3)), np.zeros(4)), "pass x alone"),
        ([{"a": np.zeros(3)}], "rows or batches"),
        (3, "got int"),
        (None, "got NoneType"),
        (object(), "got object"),
        (pd.DataFrame({"a": []}), "no rows"),
        (pl.DataFrame({"a": []}), "no rows"),
    ],
)
def test_what_is_no_data(data: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        open_source(data)


def test_an_opened_source_stays_itself() -> None:
    source = open_source(VALUES)
    assert open_source(source) is source


def test_importing_loads_no_library() -> None:
    code = (
        "import sys; from tfnorm.sources import open_source; import numpy as np\n"
        "next(iter(next(open_source({'a': np.ones(3)}).shards(['a']))()))\n"
        "print({'pyarrow', 'pandas', 'polars', 'tensorflow'} & set(sys.modules))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "set()"
    )
