"""What can be wrong with NumPy, Arrow, JSON lines, HDF5 and Zarr files, each in its own way."""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tfnorm
from test_sources_formats import hdf5, read, refused, write
from tfnorm.sources import open_source

# NumPy


class Evil:
    """Runs when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch evil",)


def test_pickles_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    objects = np.array([Evil()], dtype=object)
    np.save("a.npy", objects, allow_pickle=True)
    np.savez("a.npz", allow_pickle=True, x=objects)
    Path("b.npy").write_bytes(pickle.dumps(Evil()))
    for name in ("a.npy", "a.npz", "b.npy"):
        assert "unpickled" in refused(name, "x")
    assert not Path("evil").exists()


def header(shape: str, dtype: str = "<f8") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    ("bytes_", "said"),
    [
        (header("(1000000000000,)") + b"12345678", "cannot be read as an array"),
        (header("(4611686018427387904, 8)"), "cannot be read as an array"),
        (header("(-1,)"), "cannot be read"),
        (header("(1,)", "<f3") + b"12345678", "cannot be read as an array"),
        (header("(__import__('os').system('touch evil'),)"), "cannot be read as an array"),
        (header("()") + b"12345678", "single value"),
        (header("(1,)") + b"12345678" + b"more", "4 bytes follow"),
    ],
)
def test_npy_headers_that_lie(bytes_: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(bytes_)
    assert said in refused(tmp_path / "a.npy", "x")


def test_npz_headers_that_lie(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("x.npy", header("(1000000000000,)") + b"12345678")
    assert "needs 8000000000000 bytes" in refused(tmp_path / "a.npz", "x")


def test_npz_checksums(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.arange(1000.0))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[1000] ^= 1
    (tmp_path / "a.npz").write_bytes(data)
    assert "Bad CRC-32" in refused(tmp_path / "a.npz", "x")


def test_npz_of_other_lengths(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.arange(4))
    assert 'expected as many rows in every array, got "x" 3, "y" 4' in refused(tmp_path / "a.npz", "x")


def test_npz_by_column(tmp_path: Path) -> None:
    array = np.arange(24.0).reshape(4, 3, 2)
    np.savez(tmp_path / "a.npz", x=np.asfortranarray(array), y=np.arange(4))
    np.testing.assert_array_equal(read(tmp_path / "a.npz", "x")[0], array)


def test_complex_numbers_are_no_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones(3, complex))
    with pytest.raises(tfnorm.TfnormError, match="complex128"):
        tfnorm.fit(tmp_path / "a.npy", "standard")


# Arrow and ORC


def test_feather_of_version_1(tmp_path: Path) -> None:
    (tmp_path / "a.feather").write_bytes(b"FEA1" + b"\0" * 40)
    assert "Feather version 1" in refused(tmp_path / "a.feather", "a")


def test_arrow_offsets_that_lead_outside(tmp_path: Path) -> None:
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 3], pa.int32()), pa.array([1.0, 2.0, 3.0]))
    with pa.ipc.new_file(tmp_path / "a.arrow", pa.schema({"a": lists.type})) as file:
        file.write_batch(pa.RecordBatch.from_arrays([lists], names=["a"]))
    data, offsets = (tmp_path / "a.arrow").read_bytes(), struct.pack("<3i", 0, 2, 3)
    assert data.count(offsets) == 1
    (tmp_path / "a.arrow").write_bytes(data.replace(offsets, struct.pack("<3i", 0, 2, 1 << 20)))
    assert f"{tmp_path}/a.arrow" in refused(tmp_path / "a.arrow", "a")


def test_columns_of_the_same_name(tmp_path: Path) -> None:
    twice = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pa.ipc.new_file(tmp_path / "a.arrow", twice.schema) as file:
        file.write_batch(twice)
    assert '"a": more than one column' in refused(tmp_path / "a.arrow", "a")


# JSON lines


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1}\n\n{"a": "x"}', 'column "a": expected numbers, got "x" (PATH, line 3)'),
        ('{"a": 1}\n{"a": {"b": 2}}', 'column "a": expected numbers, got {"b": 2} (PATH, line 2)'),
        (
            '{"a": [1, 2]}\n' * 400_000 + '{"a": [1]}\n',
            'column "a": expected 2 numbers in every row, got 1 (PATH, line 400001)',
        ),
        ('{"a": 1}\n{"A": 2}', 'PATH, line 2: column "a" is missing. Did you mean "A"?'),
        ('{"a": 1}\n{"a": 2', "PATH, line 2: it is not JSON"),
        ('{"a": 1}\n[2]', 'PATH, line 2: expected an object, as {"age": 22.0}, got list'),
        ('{"a": 1, "a": 2}', 'PATH, line 1: it is not JSON: key "a" is there twice'),
        ('{"a": 1e400}', 'column "a": expected numbers up to 1.8e308, got a larger one (PATH, line 1)'),
        ('{"a": ' * 100_000, "PATH, line 1: it is not JSON: nested too deeply"),
        ("[" * 100_000, "PATH, line 1: it is not JSON: nested too deeply"),
        ('{"a": "' + "x" * (9 << 20), "PATH, line 1: is longer than 4 MiB"),
        ("\ufeff".encode("utf-16").decode("latin-1") + "{\0", "PATH: expected UTF-8, got UTF-16"),
    ],
)
def test_json_lines_that_do_not_fit(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text, encoding="latin-1")
    assert said.replace("PATH", str(path)) in refused(path, "a")


@pytest.mark.parametrize("late", ['"x"', "true", "[1]"])
def test_late_types_in_json_lines(late: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n' * 600_000 + f'{{"a": {late}}}\n')
    assert f'column "a": expected numbers, got {late} ({path}, line 600001)' in refused(path, "a")


def test_late_fractions_in_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n' * 600_000 + '{"a": 0.5}\n')
    assert read(path, "a")[0].sum() == 600_000.5


def test_what_a_line_lacks_is_null(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1, "b": 2}\n{"b": 3}\n{"a": null, "b": 3, "new": 1}\n')
    count = tfnorm.scan(path)["a"].count
    assert (int(count.null[0]), int(count.finite[0])) == (2, 1)


def test_objects_in_objects_are_no_column(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": {"b": 1}, "c": 2}\n')
    assert [c.name for c in tfnorm.scan(tmp_path / "a.jsonl").columns] == ["c"]
    with pytest.raises(tfnorm.TfnormError, match=r'"a".*struct<b: int64>'):
        tfnorm.fit(tmp_path / "a.jsonl", {"a": "standard"})


def test_gzip_whose_checksum_is_wrong(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl.gz")
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    assert str(path) in refused(path, "a")


# HDF5


def test_hdf5_groups_and_what_is_no_column(tmp_path: Path) -> None:
    def make(h5py: Any, file: Any) -> None:
        file["a"] = np.arange(3, dtype=">i2")
        file["group/b"] = np.ones((3, 2))
        file["group/loop"] = file["/"]
        file["again"] = h5py.SoftLink("/a")
        file["one"] = 5
        file["text"] = ["x", "y", "z"]
        file.create_dataset("lists", (3,), h5py.vlen_dtype(np.float32))

    path = hdf5(tmp_path / "a.h5", make)
    source = open_source(path)
    kinds = {column.name: column.kind for column in source.columns}
    assert kinds == {"a": "number", "group/b": "number", "text": "other", "lists": "other"}
    np.testing.assert_array_equal(read(path, "a", "group/b")[0], [0, 1, 2])


def test_hdf5_reads_no_other_file(tmp_path: Path) -> None:
    other = hdf5(tmp_path / "other.h5", lambda _, file: file.__setitem__("x", np.arange(3.0)))
    raw = tmp_path / "raw"
    raw.write_bytes(b"\0" * 24)

    def linked(h5py: Any, file: Any) -> None:
        file["x"] = h5py.ExternalLink(str(other), "x")

    def virtual(h5py: Any, file: Any) -> None:
        layout = h5py.VirtualLayout((3,), np.float64)
        layout[:] = h5py.VirtualSource(str(other), "x", (3,))
        file.create_virtual_dataset("x", layout)

    def outside(h5py: Any, file: Any) -> None:
        file.create_dataset("x", (3,), np.float64, external=[(str(raw), 0, 24)])

    for make, said in (
        (linked, "is a link to another file"),
        (virtual, "is virtual"),
        (outside, "lie in another file"),
    ):
        message = refused(hdf5(tmp_path / "a.h5", make), "x")
        assert said in message
        assert '"x"' in message


def test_hdf5_shapes_that_lie(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5", lambda _, file: file.create_dataset("x", (10**12,), np.float64, chunks=(1000,)))
    assert "says it has 8,000,000,000,000 bytes, and stores 0" in refused(path, "x")


def test_hdf5_groups_that_multiply(tmp_path: Path) -> None:
    """Forty groups, each twice in the one above: a billion paths, and forty groups."""

    def make(_: Any, file: Any) -> None:
        above = file
        for _level in range(40):
            below = above.create_group("one")
            above["two"] = below
            above = below
        above["x"] = np.arange(3.0)

    path = hdf5(tmp_path / "a.h5", make)
    assert len(open_source(path).columns) == 1


def test_hdf5_of_other_lengths(tmp_path: Path) -> None:
    def make(_: Any, file: Any) -> None:
        file["train/x"], file["test/x"] = np.arange(3.0), np.arange(2.0)

    path = hdf5(tmp_path / "a.h5", make)
    assert 'got "test/x" 2, "train/x" 3' in refused(path, "train/x")
    h5py = pytest.importorskip("h5py")
    with h5py.File(path) as file:  # as the error says
        assert tfnorm.fit({"x": file["train/x"]}, "standard").profile.num_rows == 3


def test_hdf5_checksums(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    data = bytearray(path.read_bytes())
    at = bytes(data).index(np.arange(100.0, 110.0).tobytes())
    data[at] ^= 1
    path.write_bytes(data)
    assert str(path) in refused(path, "a")


# Zarr


def test_zarr_codecs_that_unpickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zarr")
    monkeypatch.chdir(tmp_path)
    Path("a.zarr").mkdir()
    about = {"zarr_format": 2, "shape": [3], "chunks": [3], "dtype": "<f8", "fill_value": 0, "order": "C"}
    about |= {"filters": [{"id": "pickle", "protocol": 5}], "compressor": None, "dimension_separator": "."}
    Path("a.zarr/.zarray").write_text(json.dumps(about))
    Path("a.zarr/0").write_bytes(pickle.dumps(Evil()))
    message = refused("a.zarr", "x")
    assert not Path("evil").exists()
    assert "pickle" in message


def test_zarr_chunks_that_are_cut_off_or_lost(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr")
    chunk = path / "a" / "c" / "1"
    data = chunk.read_bytes()
    chunk.write_bytes(data[: len(data) // 2])
    assert f"{path}: it cannot be read as Zarr" in refused(path, "a")
    chunk.unlink()
    (note,) = open_source(path).notes
    assert note == f'{path}: 1 of 4 chunks of array "a" are not there: their values count as 0.0'


def test_zarr_shapes_that_lie(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    zarr.create_array(tmp_path / "a.zarr", shape=(10**12,), chunks=(1000,), dtype="f8")
    assert "says it has 8,000,000,000,000 bytes" in refused(tmp_path / "a.zarr", "x")
    zarr.create_array(tmp_path / "b.zarr", shape=(10**9,), chunks=(10**9,), dtype="f4")
    assert "chunks of 4,000,000,000 bytes" in refused(tmp_path / "b.zarr", "x")


def test_a_folder_that_is_no_zarr(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    (tmp_path / "a.zarr").mkdir()
    assert "it is no Zarr folder" in refused(tmp_path / "a.zarr", "x")


# Bounded memory


def test_memory_stays_bounded(tmp_path: Path) -> None:
    """640 MB of rows in 640 KB of file, measured in 2 GiB of address space."""
    zeros = np.zeros(1 << 20)
    packed = zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED)
    with packed as file, file.open("x.npy", "w", force_zip64=True) as member:
        member.write(header(f"({80 << 20},)"))
        for _ in range(80):
            member.write(zeros.tobytes())
    code = """
import resource, sys, tfnorm
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
print(tfnorm.fit(sys.argv[1], "standard", workers=1).profile.num_rows)
"""
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.npz")], capture_output=True, text=True, check=False, timeout=300
    )
    assert found.stdout == f"{80 << 20}\n", found.stderr[-1000:]
