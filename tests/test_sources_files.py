"""Parquet and CSV files, and everything that can be wrong with them."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfnorm.errors import DataError
from tfnorm.sources import csv, open_source


def write(folder: Path, name: str, table: dict[str, Any], **options: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".parquet"):
        pq.write_table(pa.table(table), path, **options)
    else:
        rows = zip(*table.values(), strict=True)
        path.write_text("\n".join([",".join(table), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def read(data: Any, *columns: str, **options: Any) -> list[np.ndarray]:
    source = open_source(data, **options)
    batches = [batch for shard in source.shards(columns) for batch in shard()]
    return [np.ma.concatenate([batch[name] for batch in batches]) for name in columns]


def refused(data: Any, *columns: str, **options: Any) -> str:
    with pytest.raises(DataError) as error:
        read(data, *columns, **options)
    return str(error.value)


BOTH = pytest.mark.parametrize("suffix", ["parquet", "csv"])


# Finding


@BOTH
def test_files_are_found_in_sorted_order(tmp_path: Path, suffix: str) -> None:
    for number, name in enumerate(["b/x", "a", "c", "b/_hidden", ".hidden", "_temporary/a"]):
        write(tmp_path, f"{name}.{suffix}", {"n": [number]})
    (tmp_path / "README.txt").write_text("no data")
    (tmp_path / "_SUCCESS").write_text("")
    for data in (tmp_path, str(tmp_path), [tmp_path], [tmp_path / f"a.{suffix}", tmp_path]):
        np.testing.assert_array_equal(read(data, "n")[0], [1, 0, 2])
    np.testing.assert_array_equal(read(f"{tmp_path}/*.{suffix}", "n")[0], [1, 2])
    np.testing.assert_array_equal(read(f"{tmp_path}/**/*.{suffix}", "n")[0], [1, 0, 2])
    np.testing.assert_array_equal(read([tmp_path / f"c.{suffix}", tmp_path / f"a.{suffix}"], "n")[0], [2, 1])
    np.testing.assert_array_equal(read(tmp_path / "b" / f"_hidden.{suffix}", "n")[0], [3])


def test_a_name_with_brackets_is_a_name_first(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(write(tmp_path, "a[1].csv", {"n": [7]}), "n")[0], [7])


def test_folders_that_link_in_a_loop(tmp_path: Path) -> None:
    write(tmp_path, "a/x.csv", {"n": [1]})
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "a")
    np.testing.assert_array_equal(read(tmp_path, "n")[0], [1])
    np.testing.assert_array_equal(read(f"{tmp_path}/**/*.csv", "n")[0], [1])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.csv", "no such file"),
        ("*.csv", "no file matches"),
        ("", "no data file in folder"),
        ("http://localhost/a.npy", "NumPy is read from a local path only"),
        ("notes.txt", "expected one of Parquet (.parquet .pq)"),
    ],
)
def test_nothing_to_read(tmp_path: Path, name: str, said: str) -> None:
    if name == "notes.txt":
        (tmp_path / name).write_text("")
    path = name if "://" in name else f"{tmp_path}/{name}"
    message = refused(path, "a")
    assert said in message
    assert path.rstrip("/") in message


def test_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").symlink_to(tmp_path / "gone.parquet")
    assert "a.parquet: it is a link to a file that is not there" in refused(tmp_path, "a")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@BOTH
def test_no_permission(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, f"a.{suffix}", {"a": [1]})
    path.chmod(0)
    assert "a." in refused(path, "a")
    assert "no permission" in refused(path, "a")


# Shards


def test_a_shard_a_row_group(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", {"n": np.arange(5)}, row_group_size=2)
    write(tmp_path, "b.parquet", {"n": np.arange(5, 8)})
    source = open_source(tmp_path)
    shards = list(source.shards(["n"]))
    assert [shard.name.rpartition("/")[2] for shard in shards] == [
        *(f"a.parquet, row group {index}" for index in range(3)),
        "b.parquet, row group 0",
    ]
    assert [shard.num_rows for shard in shards] == [2, 2, 1, 3]
    assert source.num_rows == 8
    assert len({shard.fingerprint for shard in shards}) == 4


@BOTH
def test_progress_in_bytes(tmp_path: Path, suffix: str) -> None:
    paths = [write(tmp_path, f"{name}.{suffix}", {"n": np.arange(10)}) for name in "ab"]
    source: Any = open_source(tmp_path)
    size = sum(path.stat().st_size for path in paths)
    assert source.num_bytes == size
    assert sum(shard.num_bytes for shard in source.shards(["n"])) == size


@BOTH
def test_a_file_that_changes(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, f"a.{suffix}", {"n": np.arange(10)})
    source = open_source(path)
    (shard,) = source.shards(["n"])
    before = shard.fingerprint
    write(tmp_path, f"a.{suffix}", {"n": np.arange(1000, 1010)})
    os.utime(path, (1, 1))
    with pytest.raises(DataError, match=f"a.{suffix}: it changed while being read"):
        list(shard())
    (again,) = open_source(path).shards(["n"])
    assert again.fingerprint != before
    reader = iter(again())
    next(reader)
    os.utime(path, (2, 2))
    with pytest.raises(DataError, match="changed while being read"):
        list(reader)
    path.unlink()
    with pytest.raises(DataError, match=f"a.{suffix}: there is no such file"):
        list(again())


# Drift


@BOTH
def test_order_of_columns_and_extra_ones_do_not_matter(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, f"a.{suffix}", {"a": [1], "b": [2.5]})
    write(tmp_path, f"b.{suffix}", {"c": [0], "b": [3.5], "a": [4]})
    a, b = read(tmp_path, "a", "b")
    np.testing.assert_array_equal(a, [1, 4])
    np.testing.assert_array_equal(b, [2.5, 3.5])
    source: Any = open_source(tmp_path)
    assert any("b." in note and 'ignored columns "c"' in note for note in source.notes)


@BOTH
def test_widths_may_differ(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, f"a.{suffix}", {"a": [1, 2**53 + 1]})
    write(tmp_path, f"b.{suffix}", {"a": [0.5]})
    source: Any = open_source(tmp_path)
    batches = [batch["a"] for shard in source.shards(["a"]) for batch in shard()]
    assert [batch.dtype.name for batch in batches] == ["int64", "float64"]
    assert batches[0][1] == 2**53 + 1
    assert any('"a" is float64, int64 in' in note for note in source.notes)


@BOTH
def test_a_missing_column(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, f"a.{suffix}", {"a": [1], "b": [1]})
    write(tmp_path, f"b.{suffix}", {"A": [2], "b": [1]})
    message = refused(tmp_path, "a", "b")
    assert f'b.{suffix}: column "a" is missing' in message
    assert 'Did you mean "A"?' in message
    np.testing.assert_array_equal(read(tmp_path, "b")[0], [1, 1])


@BOTH
def test_text_where_numbers_were(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, f"a.{suffix}", {"a": [1], "b": [1], "c": [2]})
    write(tmp_path, f"b.{suffix}", {"a": ["x"], "b": ["y"], "c": [2]})
    message = refused(tmp_path, "a", "b", "c")
    assert 'column "a": expected numbers' in message
    assert 'column "b": expected numbers' in message
    assert f"b.{suffix}" in message
    np.testing.assert_array_equal(read(tmp_path, "c")[0], [2, 2])


def test_lists_of_another_length(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", {"v": [[1.0, 2.0], [3.0, 4.0]]})
    assert open_source(tmp_path).columns[0].shape == (2,)
    np.testing.assert_array_equal(read(tmp_path, "v")[0], [[1, 2], [3, 4]])
    write(tmp_path, "b.parquet", {"v": [[1.0, 2.0, 3.0]]})
    assert "b.parquet" in refused(tmp_path, "v")
    write(tmp_path, "b.parquet", {"v": [[1.0, 2.0], None, [1.0]]})
    assert 'column "v": expected 2 numbers in every row, got 1 in row 2' in refused(tmp_path, "v")


@BOTH
def test_files_without_rows(tmp_path: Path, suffix: str) -> None:
    empty = write(tmp_path, f"a.{suffix}", {"a": np.array([], np.int64)})
    assert "no rows" in refused(empty, "a")
    assert "no rows in 2 files" in refused([empty, write(tmp_path, f"b.{suffix}", {"a": np.array([], np.int64)})], "a")
    write(tmp_path, f"c.{suffix}", {"a": [1]})
    np.testing.assert_array_equal(read(tmp_path, "a")[0], [1])
    source: Any = open_source(tmp_path)
    assert sum("skipped, it has no rows" in note for note in source.notes) == 2


@BOTH
def test_the_weight_of_files(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, f"a.{suffix}", {"a": [1, 2], "w": [0.5, 1.5], "t": ["x", "y"]})
    source = open_source(path, weight="w")
    batch = next(batch for shard in source.shards(["a"]) for batch in shard())
    np.testing.assert_array_equal(batch["w"], [0.5, 1.5])
    assert "one number a row" in refused(path, "a", weight="t")
    assert "name of a column" in refused(path, "a", weight=[1, 2])


# Parquet


def test_every_type_of_parquet(tmp_path: Path) -> None:
    from datetime import date, datetime, timedelta
    from decimal import Decimal

    table = pa.table(
        {
            "half": pa.array(np.array([1, 2], "f2")),
            "bool": pa.array([True, None]),
            "decimal": pa.array([Decimal("1.25"), None]),
            "dictionary": pa.array([7, 7]).dictionary_encode(),
            "null": pa.nulls(2),
            "unsigned": pa.array([2**64 - 1, 0], pa.uint64()),
            "string": pa.array(["a", None]),
            "struct": pa.array([{"x": 1}, None]),
            "words": pa.array([["a"], []]),
            "date": pa.array([date(2020, 1, 2), None]),
            "stamp": pa.array([datetime(2020, 1, 2, tzinfo=UTC)] * 2),
            "duration": pa.array([timedelta(seconds=1)] * 2),
            "clock": pa.array([3, 4], pa.time32("s")),
            "fixed": pa.FixedSizeListArray.from_arrays(pa.array([1, 2, 3, 4], pa.int16()), 2),
            "image": pa.array([[[1.0, 2.0], [3.0, 4.0]], None]),
            "a.b": pa.array([1.0, None]),
            "": pa.array([1, 2]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    source = open_source(tmp_path / "a.parquet")
    columns = {column.name: column for column in source.columns}
    (shard,) = source.shards(list(columns))
    (batch,) = shard()
    for name, column in columns.items():
        assert len(batch[name]) == 2
        if column.kind != "other":
            assert batch[name].dtype == np.dtype(column.dtype), name
            assert batch[name].shape[1:] == column.shape, name
        else:
            assert batch[name].dtype == object
    assert [name for name, column in columns.items() if column.kind == "other"] == ["string", "struct", "words"]
    assert [name for name, column in columns.items() if column.kind == "time"] == ["date", "stamp", "duration", "clock"]
    assert batch["decimal"].tolist() == [1.25, None]
    assert batch["bool"].tolist() == [True, None]
    assert batch["dictionary"].tolist() == [7, 7]
    assert batch["null"].mask.all()
    assert batch["unsigned"][0] == 2**64 - 1
    assert batch["date"][0] == np.datetime64("2020-01-02")
    assert batch["stamp"][0] == np.datetime64("2020-01-02")
    assert batch["duration"][0] == np.timedelta64(1, "s")
    assert batch["clock"].tolist() == [timedelta(seconds=3), timedelta(seconds=4)]
    assert batch["fixed"].tolist() == [[1, 2], [3, 4]]
    assert batch["image"][0].tolist() == [[1, 2], [3, 4]]
    assert batch["image"].mask[1].all()
    assert batch["a.b"].tolist() == [1.0, None]


def test_null_beside_nan(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", {"a": pa.array([1.0, float("nan"), None])})
    (a,) = read(tmp_path, "a")
    assert np.ma.getmaskarray(a).tolist() == [False, False, True]
    assert np.isnan(np.ma.getdata(a)).tolist() == [False, True, False]


def test_twice_the_same_name(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("a,b,a\n1,2,3\n")
    for name in ("a.parquet", "a.csv"):
        message = refused(tmp_path / name, "a")
        assert '"a": more than one column' in message
        assert name in message


@pytest.mark.parametrize("damage", ["cut", "no footer", "text", "empty", "page"])
def test_damaged_parquet(tmp_path: Path, damage: str) -> None:
    values = {"a": np.random.default_rng(0).normal(size=1000)}
    path = write(tmp_path, "a.parquet", values, write_page_checksum=True, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    if damage == "page":
        content[len(content) // 2] ^= 1
    new = {
        "cut": content[:-100],
        "no footer": content[:200],
        "text": b"no Parquet at all",
        "empty": b"",
        "page": content,
    }
    path.write_bytes(new[damage])
    assert "a.parquet: it cannot be read" in refused(path, "a")


def test_many_equal_rows_in_little_memory(tmp_path: Path) -> None:
    """67 million rows in one row group of a small file: half a gigabyte, if it were decoded at once."""
    path = tmp_path / "a.parquet"
    schema = pa.schema({"a": pa.float64()})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        block = pa.table({"a": np.ones(1 << 26)})
        writer.write_table(block, row_group_size=1 << 26)
    assert path.stat().st_size < 1 << 20
    code = (
        "import resource, sys; from tfnorm.sources import open_source; import pyarrow.parquet, pyarrow.compute\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "total = sum(int(b['a'].sum()) for s in open_source(sys.argv[1]).shards(['a']) for b in s())\n"
        "print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    total, kilobytes = map(int, done.stdout.split())
    assert total == 1 << 26
    assert kilobytes < 200_000


# CSV


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv, "BLOCK_BYTES", 1 << 12)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("late", ["0.5", "1e3", "nan", "99999999999999999999", "-inf"])
def test_integers_and_then_something_wider(tmp_path: Path, late: str) -> None:
    lines = [f"{i},{2**53 + 1},{i}" for i in range(5000)] + [f"{late},3,{late}"] + ["1,2,3"] * 5000
    (tmp_path / "a.csv").write_text("a,b,c\n" + "\n".join(lines))
    a, b, c = read(tmp_path, "a", "b", "c")
    expected = [*range(5000), float(late), *[1] * 5000]
    np.testing.assert_array_equal(a, expected)
    np.testing.assert_array_equal(c[5000:], [float(late), *[3] * 5000])
    assert b.dtype == np.int64
    assert b[0] == 2**53 + 1


@pytest.mark.usefixtures("small_blocks")
def test_many_columns_that_widen_one_after_another(tmp_path: Path) -> None:
    rows = np.arange(40_000).reshape(2000, 20).tolist()
    for column in range(20):
        rows[1000 + column * 40][column] = 0.5
    (tmp_path / "a.csv").write_text("\n".join(",".join(map(str, row)) for row in [[*map(chr, range(97, 117))], *rows]))
    got = read(tmp_path, *map(chr, range(97, 117)))
    np.testing.assert_array_equal(np.stack(got, axis=1), rows)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("compress", [False, True])
def test_late_text(tmp_path: Path, compress: bool) -> None:
    content = ("a,b\n" + "1,2\n" * 5000 + "3,oops\n" + "1,2\n" * 10).encode()
    path = tmp_path / ("a.csv.gz" if compress else "a.csv")
    path.write_bytes(gzip.compress(content) if compress else content)
    assert f'column "b": expected numbers, got "oops" ({path}, row 5002)' in refused(path, "a", "b")
    np.testing.assert_array_equal(read(path, "a")[0][-12:], [1, 3, *[1] * 10])


@pytest.mark.usefixtures("small_blocks")
def test_a_column_that_begins_empty(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n" + ",2\n" * 5000 + "0.5,2\n")
    assert open_source(tmp_path).columns[0].kind == "number"
    (a,) = read(tmp_path, "a")
    assert a[-1] == 0.5
    assert np.ma.getmaskarray(a).sum() == 5000
    (tmp_path / "a.csv").write_text("a,b\n" + ",2\n" * 5000 + "x,2\n")
    assert 'got "x"' in refused(tmp_path, "a")


def test_what_is_null_and_what_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a,b\n1.5,x\n,""\nNA,\nnan,y\ninf,z\n1e400,\n')
    a, b = read(tmp_path, "a", "b")
    assert np.ma.getmaskarray(a).tolist() == [False, True, True, False, False, False]
    np.testing.assert_array_equal(np.ma.getdata(a)[[0, 3, 4, 5]], [1.5, np.nan, np.inf, np.inf])
    assert b[0] == "x"


@pytest.mark.usefixtures("small_blocks")
def test_ragged_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n" + "1,2\n" * 5000 + "1,2,3\n")
    message = refused(tmp_path, "a")
    assert "a.csv, row 5002: expected 2 values as in the header, got 3" in message
    (tmp_path / "a.csv").write_text("a,b\n1,2\n1\n")
    assert "row 3: expected 2 values" in refused(tmp_path, "a")


@pytest.mark.parametrize(("delimiter", "called"), [(";", '";"'), ("\t", "a tab"), ("|", '"|"')])
def test_another_delimiter(tmp_path: Path, delimiter: str, called: str) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n".replace(",", delimiter))
    message = refused(tmp_path, "a")
    assert f"delimiter seems to be {called}" in message
    np.testing.assert_array_equal(read(tmp_path, "b", delimiter=delimiter)[0], [2])


def test_decimal_commas(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a;b\n1;2\n" + "1;2\n" * 10)
    (tmp_path / "b.csv").write_text('a;b\n"1,5";2\n')
    assert 'column "a": expected numbers' in refused(tmp_path, "a", delimiter=";")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), "UTF-16"),
        ("a,\xe9\n1,2\n".encode("latin-1"), "not UTF-8"),
        (b"", "no rows"),
        (b"\n\n", "no rows"),
        (b"a,b", "no rows"),
        (b"a,b\n", "no rows"),
        (b'a,b\n"1,2\n' + b"1,2\n" * (1 << 21), "a row is longer than 4 MiB"),
    ],
)
def test_damaged_csv(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    message = refused(tmp_path / "a.csv", "a", "b")
    assert said in message
    assert "a.csv" in message


def test_a_nul_makes_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,\0\n")
    assert [column.kind for column in open_source(tmp_path).columns] == ["number", "other"]
    (tmp_path / "b.csv").write_bytes(b"a,b\n1,2\n")
    assert 'column "b": expected numbers' in refused([tmp_path / "b.csv", tmp_path / "a.csv"], "b")


def test_latin_1_in_a_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("a,b\n1,caf\xe9\n".encode("latin-1"))
    np.testing.assert_array_equal(read(tmp_path, "a")[0], [1])
    assert "a.csv" in refused(tmp_path, "b")


@pytest.mark.parametrize("damage", ["cut", "checksum", "plain"])
def test_damaged_gzip(tmp_path: Path, damage: str) -> None:
    good = gzip.compress(b"a,b\n" + b"1,2\n" * 20_000)
    content = {"cut": good[:-20], "checksum": good[:-8] + bytes(4) + good[-4:], "plain": b"a,b\n1,2\n"}[damage]
    (tmp_path / "a.csv.gz").write_bytes(content)
    assert "a.csv.gz: it cannot be read" in refused(tmp_path, "a")


def test_byte_order_mark_and_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfa,b\r\n1,2\r\n\r\n3,4\r\n")
    np.testing.assert_array_equal(read(tmp_path, "a")[0], [1, 3])


def test_hostile_names(tmp_path: Path) -> None:
    names = ["", "a\nb", "e\u0301", "\u00e9", "=1+1", "<script>", "../x", "\u202eabc"]
    pq.write_table(pa.table([pa.array([i]) for i in range(len(names))], names=names), tmp_path / "a.parquet")
    assert [int(array[0]) for array in read(tmp_path, *names)] == list(range(len(names)))
    message = refused(tmp_path, "x\n\u202ey")
    assert "\n" not in message
    assert "\u202e" not in message


def test_bounded_memory_of_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1.25,2.5\n" * 12_000_000, compresslevel=1))  # 108 MB of text
    code = (
        "import resource, sys; from tfnorm.sources import open_source; import pyarrow.csv, pyarrow.compute\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "total = sum(b['a'].sum() for s in open_source(sys.argv[1]).shards(['a']) for b in s())\n"
        "print(int(total), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    total, kilobytes = map(int, done.stdout.split())
    assert total == 15_000_000
    assert kilobytes < 100_000
