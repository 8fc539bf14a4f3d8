"""ArrayRecord files, written by their library: the same records as TFRecord files, by number."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfnorm
from tfnorm.sources import array_record, open_source
from tfrecords import EXAMPLES, ROWS, example, read, refused
from tfrecords import write as write_tfrecord

module = pytest.importorskip("array_record.python.array_record_module")


def write(path: Path, examples: list[bytes], options: str = "group_size:7") -> Path:
    writer = module.ArrayRecordWriter(str(path), options)
    for one in examples:
        writer.write(one)
    writer.close()
    return path


@pytest.mark.parametrize("options", ["group_size:1", "group_size:1000", "group_size:8,uncompressed"])
def test_the_same_records_give_the_same_bits(tmp_path: Path, options: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 5)).astype(np.float32)
    examples = [example(x=row, r=row[: i % 5]) for i, row in enumerate(x)]
    path = write(tmp_path / "a.array_record", examples, options)
    np.testing.assert_array_equal(read(path, "x")[0], x)
    found, expected = tfnorm.scan(path), tfnorm.scan(write_tfrecord(tmp_path / "a.tfrecord", examples))
    for mine, theirs in zip(found.gatherings, expected.gatherings, strict=True):
        for name, value in vars(theirs.statistic).items():
            np.testing.assert_array_equal(getattr(mine.statistic, name), value)


def test_shards_are_records_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_record, "rows_per_shard", lambda columns: 32)
    for number in range(2):
        write(tmp_path / f"train.array_record-{number:05}-of-00002", EXAMPLES)
    source = open_source(tmp_path)
    assert source.num_rows == 200
    shards: Any = list(source.shards(["n"]))
    assert [shard.num_rows for shard in shards] == [32, 32, 32, 4] * 2
    np.testing.assert_array_equal(np.concatenate([b["n"] for s in shards for b in s()]), np.tile(ROWS["n"], 2))


def test_records_that_are_wrong(tmp_path: Path) -> None:
    path = write(tmp_path / "a.array_record", [*EXAMPLES * 20, example(age=[1.0, 2.0], n=1)])
    assert 'a.array_record: record 2000: feature "age": expected 1 value' in refused(path, "age")
    assert "record 0: it is no tf.Example" in refused(write(path, [b"\xff"]), "x")
    assert "no rows" in refused(write(path, []), "x")


def test_files_that_are_wrong(tmp_path: Path) -> None:
    rng = random.Random(0)
    whole = write(tmp_path / "a.array_record", [example(x=rng.random()) for _ in range(20_000)]).read_bytes()
    path = tmp_path / "b.array_record"
    for content in (whole[:-1], whole[: len(whole) // 2], whole + bytes(100), whole[: -(1 << 16)], bytes(100_000)):
        path.write_bytes(content)  # the library takes these for empty ones
        assert "b.array_record: it is no whole ArrayRecord file" in refused(path, "x")
    for content in (b"", b"text"):
        path.write_bytes(content)
        assert "b.array_record: it is no whole ArrayRecord file" in refused(path, "x")
    path.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    assert "b.array_record: it cannot be read: Corrupted" in refused(path, "x")


def test_without_the_library(tmp_path: Path) -> None:
    write(tmp_path / "a.array_record", EXAMPLES)
    script = (
        "import sys; sys.modules['array_record'] = None; from tfnorm.sources import open_source\n"
        "try: open_source(sys.argv[1])\n"
        "except ValueError as error: print(error)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "a.array_record")]
    assert (
        "pip install 'tfnorm[arrayrecord]'"
        in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    )
