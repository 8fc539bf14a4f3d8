"""TFRecord files: everything that can be wrong with them."""

from __future__ import annotations

import gzip
import random
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfnorm.errors import DataError
from tfnorm.sources import open_source
from tfrecords import (
    EXAMPLES,
    ROWS,
    example,
    field,
    framed,
    mark,
    read,
    refused,
    write,
)


def test_truncated(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.tfrecord", EXAMPLES).read_bytes()
    at = len(b"".join(map(framed, EXAMPLES[:-1])))
    for left in (1, 11, 12, 20, len(whole) - at - 1):
        path = tmp_path / "a.tfrecord"
        path.write_bytes(whole[: at + left])
        message = refused(path, "age")
        assert f"a.tfrecord: record 99 at byte {at}: expected a" in message
        assert f"the file ends after {left} more bytes" in message
        assert f"keep the 99 records before it: `truncate -s {at}`" in message


@pytest.mark.parametrize(
    "added", [b"\0", b"\0" * 11, b"\0" * 12, b"\0" * 4096, b"tail of another file, longer than a header"]
)
def test_padded(tmp_path: Path, added: bytes) -> None:
    path = write(tmp_path / "a.tfrecord", EXAMPLES)
    at = path.stat().st_size
    path.write_bytes(path.read_bytes() + added)
    assert f"record 100 at byte {at}: " in refused(path, "age")


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    whole = b"".join(map(framed, EXAMPLES[:3]))
    path = tmp_path / "a.tfrecord"
    pick = random.Random(0)
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << pick.randrange(8)
        path.write_bytes(damaged)
        message = refused(path, "age")
        record = next(i for i in range(3) if at < len(b"".join(map(framed, EXAMPLES[: i + 1]))))
        assert f"a.tfrecord: record {record} at byte {len(b''.join(map(framed, EXAMPLES[:record])))}" in message, at


def test_damaged_data_and_length(tmp_path: Path) -> None:
    whole = bytearray(b"".join(map(framed, EXAMPLES)))
    start = len(b"".join(map(framed, EXAMPLES[:7])))
    path = tmp_path / "a.tfrecord"
    path.write_bytes(whole[: start + 20] + b"?" + whole[start + 21 :])
    assert f"record 7 at byte {start}: its {len(EXAMPLES[7])} bytes of data do not fit their checksum" in refused(
        path, "n"
    )
    path.write_bytes(whole[:start] + b"?" + whole[start + 1 :])
    assert f"record 7 at byte {start}: the length of the record does not fit its checksum" in refused(path, "n")


@pytest.mark.parametrize("length", [1 << 31, 1 << 60, (1 << 64) - 1, (1 << 64) - 16])
@pytest.mark.parametrize("packed", [bytes, gzip.compress, zlib.compress])
def test_a_length_made_to_do_damage(tmp_path: Path, length: int, packed: Callable[[bytes], bytes]) -> None:
    """TensorFlow 2.21 crashes on it."""
    header = struct.pack("<Q", length)
    crafted = b"".join(map(framed, EXAMPLES)) + header + mark(header) + b"data"
    (tmp_path / "a.tfrecord").write_bytes(packed(crafted))
    message = refused(tmp_path / "a.tfrecord", "age")
    assert "record 100 at byte" in message
    assert f"its header says {length} bytes of data, and none has more than 2147483647" in message


def test_a_length_of_two_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    header = struct.pack("<Q", (1 << 31) - 64)
    (tmp_path / "a.tfrecord").write_bytes(gzip.compress(header + mark(header) + bytes(1000)))
    script = (
        "import resource, sys; from tfnorm.sources import open_source; import tfnorm.kernels.examples\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 29),) * 2)\n"
        "try: open_source(sys.argv[1])\n"
        "except ValueError as error: print(error)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "a.tfrecord")]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "expected a whole record, and the file ends after 1012 more bytes" in out.stdout, out.stderr


def test_files_without_records(tmp_path: Path) -> None:
    write(tmp_path / "a.tfrecord", [])
    write(tmp_path / "b.tfrecord", [], gzip.compress)
    assert "no rows" in refused(tmp_path, "age")
    assert "no rows" in refused(tmp_path / "a.tfrecord", "age")
    write(tmp_path / "c.tfrecord", EXAMPLES)
    source = open_source(tmp_path)
    assert read(tmp_path, "n")[0].tolist() == ROWS["n"].tolist()
    assert [note.rpartition("/")[2] for note in source.notes] == [  # type: ignore[attr-defined]
        "a.tfrecord: skipped, it has no rows",
        "b.tfrecord: skipped, it has no rows",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PAR1" + bytes(100), "It looks like Parquet"),
        (b"a,b\n1,2\n3,4\n", "these are no TFRecords"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "It looks like HDF5"),
        (b"x", "expected a whole record, and the file ends after 1 more byte"),
        (framed(b"\xff\xff\xff not an example"), "it is no tf.Example and no tf.SequenceExample"),
        (framed(b""), "it has no features"),
        (framed(example(x=1.0)[:-2]), "it is no tf.Example"),
        (
            framed(field(1, field(1, field(1, b"x") + field(2, field(2, field(1, b"abc")))))),
            'feature "x" holds no list',
        ),
        (b"\x1f\x8b" + bytes(50), "cannot be unpacked"),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.tfrecord").write_bytes(content)
    message = refused(tmp_path / "a.tfrecord", "x")
    assert "a.tfrecord: record 0 at byte 0" in message
    assert said in message


@pytest.mark.parametrize("packed", [gzip.compress, zlib.compress])
def test_compressed_files_cut_short(tmp_path: Path, packed: Callable[[bytes], bytes]) -> None:
    path = write(tmp_path / "a.tfrecord", EXAMPLES, packed)
    whole = path.read_bytes()
    for left in (len(whole) - 1, len(whole) - 5, len(whole) // 2):
        path.write_bytes(whole[:left])
        message = refused(path, "age")
        assert "cannot be unpacked further: the compressed data end before their end mark" in message
        assert "copy it anew" in message
    if packed is gzip.compress:
        path.write_bytes(whole[:-8] + b"????" + whole[-4:])
        assert "incorrect data check" in refused(path, "age")


def test_a_bomb_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """A million equal records in some hundred kilobytes."""
    path = tmp_path / "a.tfrecord"
    path.write_bytes(gzip.compress(framed(example(x=1.0)) * 1_000_000, 1))
    script = (
        "import resource, sys, tfnorm; tfnorm.scan({'x': [1.0]}); from tfnorm.kernels import examples\n"
        "from tfnorm.sources import open_source; open_source(sys.argv[1])\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28),) * 2)\n"
        "print(tfnorm.scan(sys.argv[1], workers=1)['x'].count.finite)"
    )
    out = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert out.stdout.strip() == "[1000000]", out.stderr


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord", EXAMPLES)
    (shard,) = open_source(path).shards(["age"])
    write(path, EXAMPLES[:50])
    with pytest.raises(DataError, match="it changed while being read"):
        list(shard())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 255), max_size=60), st.integers(0, 200))
def test_bytes_of_any_kind_are_an_error_or_columns(found: list[int], at: int) -> None:
    """Sound records of whatever bytes: parsed, or refused by name, and never beyond their ends."""
    record = bytearray(EXAMPLES[3] * 4)
    record[at % len(record) : at % len(record) + len(found)] = bytes(found)
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "a.tfrecord", [bytes(record)])
        try:
            source = open_source(path)
            for column in source.columns:
                for shard in source.shards([column.name]):
                    list(shard())
        except DataError as error:
            assert "record 0 at byte 0" in str(error)  # noqa: PT017
