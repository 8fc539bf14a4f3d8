"""Other libraries' datasets and databases: what test_sources_same does not ask."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfnorm
from tfnorm import cli
from tfnorm.errors import DataError
from tfnorm.sources import open_source

# SQL


def people() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE people (age, name)")
    connection.executemany("INSERT INTO people VALUES (?, ?)", [(22, "a"), (None, "b"), (38, "c"), (0.5, None)])
    return connection


def refused(query: str, connection: Any, *columns: str, **options: Any) -> str:
    def read() -> None:
        source = tfnorm.sql(query, connection, **options)
        for shard in source.shards(columns or [column.name for column in source.columns]):
            list(shard())

    with pytest.raises(DataError) as error:
        read()
    return str(error.value)


def test_a_query_is_a_source() -> None:
    source = tfnorm.sql("SELECT * FROM people", people())
    fitted = tfnorm.fit(source, {"age": ["winsorize", "standard"]}, exact=True)  # reads it more than once
    assert fitted.profile.num_rows == 4
    assert int(fitted.profile["age"].count.null[0]) == 1
    assert open_source(source).name == "query SELECT * FROM people"


def test_parameters_and_weights() -> None:
    source = tfnorm.sql("SELECT age, 2 AS w FROM people WHERE age > ?", people(), parameters=(1,), weight="w")
    assert tfnorm.fit(source, {"age": "standard"}).profile.num_rows == 2


def database(scheme: str, folder: Path) -> Path:
    path = folder / f"shop.{scheme}"
    connection: Any = sqlite3.connect(path)
    if scheme == "duckdb":
        connection = pytest.importorskip("duckdb").connect(path.with_name("new"))
    connection.execute(
        "CREATE TABLE sales AS SELECT 1.5 AS price, 3 AS age UNION ALL SELECT 2.5, 4 UNION ALL SELECT 3.5, 5"
    )
    connection.commit()
    connection.close()
    if scheme == "duckdb":
        path.with_name("new").replace(path)
    return path


@pytest.mark.parametrize("scheme", ["duckdb", "sqlite"])
def test_databases_in_files(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command, too; a database is not changed, and one that is not there is not made."""
    path = database(scheme, tmp_path)
    before = path.read_bytes()
    monkeypatch.chdir(tmp_path)
    query = "SELECT price, age FROM sales WHERE age > 3"
    for address in (f"{scheme}:///{path.name}", f"{scheme}:///{path}", f"{scheme}://{path}"):
        assert tfnorm.scan(tfnorm.sql(query, address))["price"].mean == 3.0
    arguments = ["fit", f"{scheme}:///{path.name}", "-t", "standard", "-o", "norm.json", "--force"]
    assert cli.main([*arguments, "--query", query]) == 0
    assert tfnorm.load("norm.json").profile["age"].mean == 4.5
    assert cli.main([*arguments, "--query", "SELECT nothing FROM sales"]) == 1
    assert "the database says: " in capsys.readouterr().err
    assert cli.main([*arguments, "--query", "DELETE FROM sales"]) == 1
    assert cli.main(arguments) == 2
    assert cli.main(["scan", "a.csv", "--query", query]) == 2
    assert cli.main(["scan", f"{scheme}:///none.db", "--query", query]) == 1
    assert "there is no file none.db" in capsys.readouterr().err
    Path("text.db").write_text("no database, and long enough to be looked at as if it were one" * 99)
    assert cli.main(["scan", f"{scheme}:///text.db", "--query", query]) == 1
    assert "text.db" in capsys.readouterr().err or scheme == "sqlite"
    assert path.read_bytes() == before
    assert not Path("none.db").exists()
    with pytest.raises(DataError, match="expected the address of a database"):
        tfnorm.sql(query, "postgresql://host/shop")


def test_integers_that_become_fractions_and_columns_of_nothing() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a, b)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", [(1, None)] * 40_000 + [(0.5, 7)])
    fitted = tfnorm.scan(tfnorm.sql("SELECT * FROM t", connection))
    assert fitted["a"].extremes.minimum[0] == 0.5
    assert int(fitted["b"].count.null[0]) == 40_000


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT nonsense", "query SELECT nonsense: the database says: no such column"),
        ("SELECT * FROM people WHERE age > 100", "it gives no rows"),
        ("CREATE TABLE other (x)", "it gives no rows. Pass a SELECT"),
        ("SELECT age, age FROM people", '"age": more than one column'),
        (
            "SELECT 1 AS a UNION ALL SELECT 'x'",
            "column \"a\": expected values of one kind, got 'x' in row 1",
        ),
    ],
)
def test_queries_that_fail(query: str, said: str) -> None:
    assert said in refused(query, people())


def test_late_types_in_a_query() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a)")
    connection.executemany("INSERT INTO t VALUES (?)", [(1,)] * 20_000 + [("x",)])
    assert "column \"a\": expected int64 as before, got 'x' in row 20000" in refused("SELECT * FROM t", connection)


def test_what_is_no_connection() -> None:
    assert "expected a connection of DuckDB, ADBC or Python's DB-API, got int" in refused("SELECT 1", 7)


def test_decimals_and_times_of_a_driver() -> None:
    """As PostgreSQL's drivers give them; sqlite3 does so where it is told to."""
    sqlite3.register_converter("price", lambda text: Decimal(text.decode()))
    sqlite3.register_converter("moment", lambda text: datetime.fromisoformat(text.decode()))
    connection = sqlite3.connect(":memory:", detect_types=sqlite3.PARSE_DECLTYPES)
    connection.execute('CREATE TABLE sales (price price, "when" moment)')
    rows = [("1.50", "2024-01-01 00:00:00"), (None, None), ("22.250", "2024-01-03 00:00:00")]
    connection.executemany("INSERT INTO sales VALUES (?, ?)", rows)
    profile = tfnorm.scan(tfnorm.sql("SELECT * FROM sales", connection), unit={"when": "D"})
    assert profile["price"].extremes.maximum[0] == 22.25
    assert profile["when"].extremes.maximum[0] - profile["when"].extremes.minimum[0] == 2


CODE = """
import resource, sys, duckdb, tfnorm
connection = duckdb.connect(config={"threads": 1, "memory_limit": "300MB"})
query = "SELECT (i % 1000)::DOUBLE AS a, i AS b FROM range(60000000) t(i)"
tfnorm.fit({"a": [1.0, 2.0]}, "standard")  # compiles the kernels
used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
before = used()
source = tfnorm.sql(query, connection) if sys.argv[1] == "sql" else connection.sql(query)
print(tfnorm.fit(source, {"a": "standard", "b": "standard"}, workers=1).profile.num_rows, used() - before)
"""


@pytest.mark.parametrize("way", ["sql", "relation"])
def test_duckdb_is_streamed(way: str) -> None:
    """60 million rows, 960 MB, in less than 300 MB."""
    pytest.importorskip("duckdb")
    found = subprocess.run([sys.executable, "-c", CODE, way], capture_output=True, text=True, check=False, timeout=300)
    assert found.returncode == 0, found.stderr[-1000:]
    rows, grown = map(int, found.stdout.splitlines()[-1].split())  # DuckDB shows its progress above
    assert rows == 60_000_000
    assert grown < 300


# Hugging Face


def test_hugging_face_splits_and_features() -> None:
    datasets = pytest.importorskip("datasets")
    one = datasets.Dataset.from_dict(
        {"label": [0, 1, 1], "words": ["a", "b", "c"], "grid": np.arange(12.0).reshape(3, 2, 2)},
        features=datasets.Features(
            label=datasets.ClassLabel(names=["no", "yes"]),
            words=datasets.Value("string"),
            grid=datasets.Array2D((2, 2), "float64"),
        ),
    )
    with pytest.raises(DataError, match=r"""it has the splits "train", "test". Pass one of them: data\['train'\]"""):
        open_source(datasets.DatasetDict(train=one, test=one))
    columns = {column.name: (column.kind, column.shape) for column in open_source(one).columns}
    assert columns == {"label": ("number", ()), "words": ("other", ()), "grid": ("number", (2, 2))}
    assert tfnorm.fit(one, {"grid": "minmax"}).profile["grid"].column.features == 2
    assert tfnorm.fit(one.with_format("numpy"), {"grid": "standard"}, weight="label").profile.num_rows == 3


# PyTorch


def test_torch_batches_of_other_kinds() -> None:
    torch = pytest.importorskip("torch")
    pairs = torch.utils.data.TensorDataset(torch.arange(100.0).reshape(50, 2), torch.arange(50), torch.ones(50))
    loader = torch.utils.data.DataLoader(pairs, batch_size=8)
    fitted = tfnorm.fit(loader, "standard", weight=True)
    assert fitted.profile.bare
    np.testing.assert_allclose(fitted.profile["x"].mean, [49, 50])
    half = torch.utils.data.DataLoader([torch.ones(4, dtype=torch.bfloat16) * i for i in range(9)], batch_size=4)
    assert tfnorm.fit(half, "minmax").profile["x"].column.dtype == "float32"
    alone = torch.utils.data.DataLoader(pairs, batch_size=None)
    np.testing.assert_allclose(tfnorm.fit(alone, "standard").profile["x"].mean, [49, 50])


# TensorFlow Datasets


def test_a_builder_of_tensorflow_datasets(tmp_path: Path) -> None:
    tfds = pytest.importorskip("tensorflow_datasets")
    tf = pytest.importorskip("tensorflow")

    def examples(count: int) -> Any:
        return tf.data.Dataset.from_tensor_slices({"x": np.arange(count * 2.0, dtype=np.float32).reshape(count, 2)})

    features = tfds.features.FeaturesDict({"x": tfds.features.Tensor(shape=(2,), dtype=np.float32)})
    splits = {"train": examples(100), "test": examples(10)}
    builder = tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny", version="1.0.0", features=features, split_datasets=splits, data_dir=tmp_path
    )
    for data in (builder, tfds.builder_from_directory(builder.data_dir)):
        fitted = tfnorm.fit(data, {"x": "standard"})
        assert fitted.profile.num_rows == 100
        np.testing.assert_allclose(fitted.profile["x"].mean, [99, 100])


def test_no_library_is_loaded_for_what_is_not_its_own() -> None:
    code = "import sys, tfnorm; tfnorm.fit([1.0, 2.0], 'standard'); print(sorted({'torch', 'datasets', 'grain', "
    code += "'tensorflow_datasets', 'fsspec', 'h5py', 'zarr', 'duckdb', 'tensorflow', 'keras'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
