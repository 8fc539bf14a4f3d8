"""NumPy, Arrow, ORC, JSON lines, HDF5 and Zarr files: how they are read, and everything that can be wrong with them."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tfnorm
from tfnorm.errors import DataError
from tfnorm.sources import formats, open_source

TABLE = {"a": np.arange(1000.0), "b": np.arange(2000).reshape(1000, 2)}


def arrow_table() -> pa.Table:
    from tfnorm.sources.arrow import from_numpy

    return pa.table({name: from_numpy(array) for name, array in TABLE.items()})


def write(path: Path) -> Path:
    """The table in the format that the name says."""
    whole, name = arrow_table(), path.name
    if name.endswith((".arrow", ".feather")):
        with pa.ipc.new_file(path, whole.schema) as file:
            file.write_table(whole, max_chunksize=300)
    elif name.endswith(".arrows"):
        with pa.ipc.new_stream(path, whole.schema) as stream:
            stream.write_table(whole, max_chunksize=300)
    elif name.endswith(".orc"):
        import pyarrow.orc

        lists = pa.table({"a": whole["a"], "b": whole["b"].cast(pa.list_(pa.int64()))})
        pyarrow.orc.write_table(lists, path)
    elif name.endswith(".jsonl"):
        path.write_text("".join(json.dumps(row) + "\n" for row in whole.to_pylist()))
    elif name.endswith(".jsonl.gz"):
        path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in whole.to_pylist()).encode()))
    elif name.endswith(".npy"):
        np.save(path, np.rec.fromarrays([TABLE["a"], TABLE["b"][:, 0]], names="a,b"))
    elif name.endswith(".npz"):
        np.savez(path, **TABLE)
    elif name.endswith(".h5"):
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            for column, array in TABLE.items():
                file.create_dataset(column, data=array, chunks=True, fletcher32=True)
    elif name.endswith(".zarr"):
        zarr = pytest.importorskip("zarr")
        group = zarr.open_group(path, mode="w")
        for column, array in TABLE.items():
            group.create_array(column, data=array, chunks=(300, *array.shape[1:]))
    else:
        raise AssertionError(name)
    return path


ENDINGS = (".arrow", ".arrows", ".feather", ".orc", ".jsonl", ".jsonl.gz", ".npy", ".npz", ".h5", ".zarr")
FILES = tuple(ending for ending in ENDINGS if ending != ".zarr")


def read(data: Any, *columns: str, **options: Any) -> list[np.ndarray]:
    source = open_source(data, **options)
    batches = [batch for shard in source.shards(columns) for batch in shard()]
    return [np.ma.concatenate([batch[name] for batch in batches]) for name in columns]


def refused(data: Any, *columns: str) -> str:
    with pytest.raises(DataError) as error:
        read(data, *columns)
    said = str(error.value)
    assert "\n" not in said
    return said


# All formats alike


@pytest.mark.parametrize("ending", ENDINGS)
def test_shards_are_named_told_apart_and_sent_elsewhere(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a{ending}")
    source = open_source(path)
    assert source.num_rows in (1000, None)
    assert source.num_bytes > 0
    assert getattr(source, "about_rows", None) is None or abs(source.about_rows - 1000) < 50
    shards = list(source.shards(["a"]))
    assert all(str(path) in shard.name for shard in shards)
    assert len({shard.fingerprint for shard in shards}) == len(shards)
    assert sum(shard.num_bytes for shard in shards) > 0
    sent = [pickle.loads(pickle.dumps(shard)) for shard in shards]
    got = np.concatenate([np.asarray(batch["a"], float) for shard in sent for batch in shard()])
    np.testing.assert_array_equal(got, TABLE["a"])
    before = shards[0].fingerprint
    if path.is_file():
        os.utime(path, ns=(1, 1))
        assert next(iter(open_source(path).shards(["a"]))).fingerprint != before


@pytest.mark.parametrize("ending", [e for e in ENDINGS if e != ".npy"])
def test_only_what_is_asked_in_the_order_asked(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a{ending}")
    b, a = read(path, "b", "a")
    np.testing.assert_array_equal(b, TABLE["b"])
    np.testing.assert_array_equal(a, TABLE["a"])
    assert 'column "A": not in' in refused(path, "A")


@pytest.mark.parametrize("ending", FILES)
def test_several_files_in_a_folder_are_one_source(ending: str, tmp_path: Path) -> None:
    for name in ("x", "y"):
        write(tmp_path / f"{name}{ending}")
    for data in (tmp_path, f"{tmp_path}/*{ending}", [tmp_path / f"x{ending}", tmp_path / f"y{ending}"]):
        assert tfnorm.fit(data, {"a": "standard"}).profile.num_rows == 2000


def test_formats_stand_side_by_side(tmp_path: Path) -> None:
    for ending in (*FILES[:-1], ".zarr") if "zarr" in sys.modules else FILES[:-1]:
        write(tmp_path / f"a{ending}")
    fitted = tfnorm.fit(tmp_path, {"a": "standard"})
    assert fitted.profile.num_rows % 1000 == 0
    assert float(np.mean(fitted.profile["a"].mean)) == 499.5


@pytest.mark.parametrize("ending", FILES)
def test_empty_files(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"")
    assert str(path) in refused(path, "a")


@pytest.mark.parametrize("ending", FILES)
def test_text_under_another_name(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    path.write_text("this is no data file, whatever its name says\n" * 30)
    assert str(path) in refused(path, "a")


@pytest.mark.parametrize("ending", FILES)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95, 0.999])
def test_a_file_that_is_cut_off_is_never_read_as_a_shorter_one(ending: str, share: float, tmp_path: Path) -> None:
    path = write(tmp_path / f"a{ending}")
    data = path.read_bytes()
    kept = data[: int(len(data) * share)]
    if ending == ".jsonl":
        kept = kept[: kept.rindex(b":")]  # within a line: at its end nothing tells
    path.write_bytes(kept)
    assert str(path) in refused(path, "a")


@pytest.mark.parametrize("ending", FILES)
def test_a_file_that_changes_after_it_was_opened(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a{ending}")
    (shard, *_) = open_source(path).shards(["a"])
    os.utime(path, ns=(1, 1))
    with pytest.raises(DataError, match="changed while being read"):
        list(shard())
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        list(shard())


@pytest.mark.parametrize("ending", FILES)
def test_bytes_at_random_are_an_error_and_no_crash(ending: str, tmp_path: Path) -> None:
    """In a process of its own, in 3 GiB: whatever bytes say, nothing is allocated for it, and nothing crashes."""
    good = write(tmp_path / f"good{ending}").read_bytes()
    generator = np.random.default_rng(5)
    for number in range(25):
        bad = bytearray(good)
        for at in generator.integers(0, len(bad), 8):
            bad[at] = generator.integers(0, 256)
        (tmp_path / f"bad{number:02}{ending}").write_bytes(bad)
    code = """
import resource, sys, glob
import tfnorm, pyarrow.orc, pyarrow.json
from tfnorm.sources import open_source
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
for path in sorted(glob.glob(sys.argv[1])):
    print(path, flush=True)
    try:
        source = open_source(path)
        for shard in source.shards([column.name for column in source.columns]):
            for batch in shard():
                pass
    except tfnorm.DataError as error:
        assert path in str(error), error
print("done")
"""
    pattern = f"{tmp_path}/bad*{ending}"
    found = subprocess.run(
        [sys.executable, "-c", code, pattern], capture_output=True, text=True, check=False, timeout=300
    )
    assert found.stdout.endswith("done\n"), (found.returncode, found.stdout[-100:], found.stderr[-2000:])


def no_rows(path: Path) -> Path:
    """A file of the format with columns and no rows."""
    nothing, ending = arrow_table().slice(0, 0), path.suffix
    if ending == ".arrow":
        with pa.ipc.new_file(path, nothing.schema):
            pass
    elif ending == ".arrows":
        with pa.ipc.new_stream(path, nothing.schema):
            pass
    elif ending == ".orc":
        import pyarrow.orc

        pyarrow.orc.write_table(pa.table({"a": nothing["a"]}), path)
    elif ending == ".npy":
        np.save(path, np.zeros(0, [("a", "f8")]))
    elif ending == ".npz":
        np.savez(path, a=np.zeros(0))
    elif ending == ".h5":
        hdf5(path, lambda _, file: file.create_dataset("a", data=np.zeros(0)))
    elif ending == ".zarr":
        pytest.importorskip("zarr").open_group(path, mode="w").create_array("a", shape=(0,), dtype="f8", chunks=(3,))
    else:
        path.write_text("\n\n")
    return path


@pytest.mark.parametrize("ending", [e for e in ENDINGS if e not in (".feather", ".jsonl.gz")])
def test_no_rows_alone_and_among_others(ending: str, tmp_path: Path) -> None:
    empty, full = no_rows(tmp_path / f"a{ending}"), write(tmp_path / f"b{ending}")
    with pytest.raises(DataError, match="no rows"):
        tfnorm.fit(empty, {"a": "standard"})
    assert tfnorm.fit([empty, full], {"a": "standard"}).profile.num_rows == 1000


# The table


def test_every_line_of_the_table_can_be_walked() -> None:
    endings = [ending for one in formats.FORMATS for ending in one.endings]
    assert len(set(endings)) == len(endings)
    for one in formats.FORMATS:
        for where in (one.opener, one.batches, one.writer):
            assert where is None or callable(formats.attribute(where))
        assert all(
            formats.of(f"a{ending.upper()}") is one and formats.ending_of(f"a{ending}") == ending
            for ending in one.endings
        )


@pytest.mark.parametrize(("ending", "library", "extra"), [(".h5", "h5py", "hdf5"), (".zarr", "zarr", "zarr")])
def test_a_library_that_is_not_there(
    ending: str, library: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / f"a{ending}")
    monkeypatch.setitem(sys.modules, library, None)
    assert f"pip install 'tfnorm[{extra}]'" in refused(path, "a")


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


def hdf5(path: Path, make: Callable[[Any, Any], None]) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        make(h5py, file)
    return path


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


# Written


@pytest.mark.parametrize("to", [".parquet", ".arrow", ".feather", ".jsonl", ".jsonl.gz", ".orc"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_files_go_out_and_come_back(ending: str, to: str, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from tfnorm.cli import app

    path, norm = write(tmp_path / f"in{ending}"), tmp_path / "norm.json"
    fitted = tfnorm.fit(path, {"a": "standard"})
    fitted.save(norm)
    out, back = tmp_path / f"out{to}", tmp_path / f"back{to}"
    for command, source, target in (("transform", path, out), ("inverse", out, back)):
        run = CliRunner().invoke(app, [command, str(norm), str(source), "-o", str(target)])
        assert run.exit_code == 0, run.output
    np.testing.assert_array_equal(read(out, "a")[0], fitted["a"].transform(TABLE["a"]))
    np.testing.assert_allclose(read(back, "a")[0], TABLE["a"], atol=1e-9)
    b = TABLE["b"][:, 0] if ending == ".npy" else TABLE["b"]
    np.testing.assert_array_equal(read(back, "b")[0], b)


def test_an_array_goes_out_and_comes_back_as_an_array(tmp_path: Path) -> None:
    from tfnorm import files_out

    array = np.random.default_rng(1).normal(3, 2, (700, 4, 2)).astype(np.float32)
    np.save(tmp_path / "in.npy", array)
    fitted = tfnorm.fit(tmp_path / "in.npy", "standard")
    for inverse, source, target in ((False, "in.npy", "out.npy"), (True, "out.npy", "back.npy")):
        planned = files_out.plan([str(tmp_path / source)], str(tmp_path / target), force=False)
        assert files_out.run(fitted, planned, inverse=inverse) == 700
    out, back = (np.load(tmp_path / name, allow_pickle=False) for name in ("out.npy", "back.npy"))
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, fitted.transform(array))
    np.testing.assert_allclose(back, array, atol=1e-5)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("out.h5", "HDF5 is read, and not written; expected a name that ends in .parquet"),
        ("out.xyz", "expected a name that ends in .parquet"),
        ("out.npy", 'a .npy file holds one array, and there are the columns "a", "b"'),
        ("out.csv", "a CSV file holds no fixed_size_list"),
    ],
)
def test_what_cannot_be_written(output: str, said: str, tmp_path: Path) -> None:
    from tfnorm import files_out

    path = write(tmp_path / "in.npz")
    fitted = tfnorm.fit(path, {"a": "standard"})
    with pytest.raises(DataError) as error:
        files_out.run(fitted, files_out.plan([str(path)], str(tmp_path / output), force=False), inverse=False)
    assert said in str(error.value)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in.npz"]


def test_a_folder_of_what_is_only_read_becomes_parquet(tmp_path: Path) -> None:
    from tfnorm import files_out

    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "x.npz")
    fitted = tfnorm.fit(tmp_path / "in", {"a": "standard"})
    files_out.run(fitted, files_out.plan([str(tmp_path / "in")], str(tmp_path / "out"), force=False), inverse=False)
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["x.parquet"]


def test_json_has_no_infinity_and_no_nan(tmp_path: Path) -> None:
    from tfnorm.sources.json_lines_copy import Writer

    schema = pa.schema({"a": pa.float64()})
    writer = Writer(tmp_path / "a.jsonl", schema)
    writer.write([pa.array([1.5, float("nan"), None])])
    writer.close()
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert [json.loads(line)["a"] for line in lines] == [1.5, None, None]
    with pytest.raises(DataError, match="JSON holds no inf"):
        Writer(tmp_path / "b.jsonl", schema).write([pa.array([float("inf")])])


def test_keys_that_show_late_are_copied(tmp_path: Path) -> None:
    from tfnorm import files_out

    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n' * 600_000 + '{"a": 0.5, "late": "x"}\n')
    fitted = tfnorm.fit(path, {"a": "minmax"})
    files_out.run(fitted, files_out.plan([str(path)], str(tmp_path / "b.parquet"), force=False), inverse=False)
    import pyarrow.parquet as pq

    found = pq.read_table(tmp_path / "b.parquet")
    assert found.num_rows == 600_001
    assert found.slice(600_000).to_pylist() == [{"a": 0.0, "late": "x"}]
