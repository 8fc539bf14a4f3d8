"""NumPy, Arrow, ORC, JSON lines, HDF5 and Zarr files: how they are read, and everything that can be wrong with them."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import subprocess
import sys
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


def hdf5(path: Path, make: Callable[[Any, Any], None]) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        make(h5py, file)
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
