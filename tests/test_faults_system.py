"""What memory, disks, other processes and the surroundings do to a fit, and what may be asked of a model."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tfnorm
from test_faults import ENDLESS
from tfrecords import example, mark
from tfrecords import write as write_records

DATA = {"a": np.random.default_rng(1).normal(size=3000), "b": np.arange(3000) % 7}
CHOICE = {"a": "robust", "b": ["log1p", "standard"]}

# so much more memory than is in use once all is loaded and compiled
LIMITED = """
import resource, sys, numpy as np, tfnorm, pyarrow.parquet, pyarrow.csv
tfnorm.fit({"a": [1.0, 2.0]}, "standard")
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + MORE, used + MORE))
"""


def child(
    code: str, *arguments: object, more: int | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    whole = (LIMITED.replace("MORE", str(more)) if more else "import sys, tfnorm\n") + code
    return subprocess.run(
        [sys.executable, "-c", whole, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


# Memory


def bomb(path: Path) -> Path:
    """A PNG of 300 bytes whose header says 40,000 x 40,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


def equal_rows(path: Path) -> Path:
    with pq.ParquetWriter(path, pa.schema({"a": pa.float64()}), compression="zstd") as writer:
        writer.write_table(pa.table({"a": np.ones(1 << 26)}), row_group_size=1 << 26)
    return path


def long_field(path: Path) -> Path:
    path.write_text("a,b\n1,2\n3," + "9" * 20_000_000 + "\n")
    return path


def endless(path: Path) -> Path:
    write_records(path, [example(a=1.0)] * 3)
    path.write_bytes(path.read_bytes() + ENDLESS + mark(ENDLESS) + bytes(100))
    return path


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("make", "name", "more", "said"),
    [
        (equal_rows, "a.parquet", 400 << 20, "done 1.0"),
        (long_field, "a.csv", 200 << 20, "longer than 4 MiB"),
        (endless, "a.tfrecord", 100 << 20, "none has more than 2147483647"),
        (bomb, "a.png", 200 << 20, "40000 x 40000 pixels"),
    ],
)
def test_files_that_would_fill_memory(make: Any, name: str, more: int, said: str, tmp_path: Path) -> None:
    """In a process of its own, which may not take much more than it has: a crash would be seen, too."""
    path = make(tmp_path / name)
    opened = "tfnorm.images.open(sys.argv[1], decoder='pillow')" if name.endswith("png") else "sys.argv[1]"
    code = f"""
try:
    print("done", tfnorm.fit({opened}, "standard", workers=1).profile["a"].mean)
except tfnorm.TfnormError as error:
    print(error)
"""
    for limit in (None, more):  # first without: compiling for this machine takes memory of its own
        done = child(code, path, more=limit)
        assert done.returncode == 0, done.stderr[-1000:]
        assert said in done.stdout


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_out_of_memory_is_an_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    """Also what is asked to transform a billion rows."""
    tfnorm.fit(DATA, CHOICE).save(tmp_path / "norm.json")
    before = (tmp_path / "norm.json").read_bytes()
    pq.write_table(pa.table({"a": np.random.default_rng(0).normal(size=3_000_000)}), tmp_path / "a.parquet")
    warm = tfnorm.fit(tmp_path / "a.parquet", "robust")  # compiled before there is too little memory for it
    assert len(warm["a"].transform(np.array([0.0]))) == 1
    code = """
fitted = tfnorm.load(sys.argv[1])
try:
    fitted["a"].transform(np.broadcast_to(np.float64(0), (10**9,)))
except MemoryError:
    print("out of memory")
print(fitted["a"].transform(np.array([0.0])))
from tfnorm import cli
print(cli.main(["fit", sys.argv[2], "-t", "robust", "-o", sys.argv[1], "--force", "-q"]))
"""
    done = child(code, tmp_path / "norm.json", tmp_path / "a.parquet", more=24 << 20)
    assert done.returncode == 0, done.stderr[-1000:]
    assert done.stdout.startswith("out of memory\n[")
    if done.stdout.splitlines()[-1] == "1":  # what little there was did not suffice
        assert (tmp_path / "norm.json").read_bytes() == before
    assert not list(tmp_path.glob(".tfnorm*"))
    tfnorm.load(tmp_path / "norm.json")


# Width


@pytest.mark.parametrize(("kind", "columns"), [("array", 100_000), ("parquet", 10_000), ("csv", 10_000)])
def test_ten_times_the_columns_take_ten_times_as_long(kind: str, columns: int, tmp_path: Path) -> None:
    """TFNORM_WIDE=1 tries a hundred thousand from files, too, which takes minutes."""
    columns = 100_000 if os.environ.get("TFNORM_WIDE") else columns

    def seconds(columns: int) -> float:
        data: Any = np.arange(4.0 * columns).reshape(4, columns) % 97
        names = [f"c{i}" for i in range(columns)]
        if kind == "parquet":
            pq.write_table(pa.table(list(data.T), names), tmp_path / "a.parquet")
            data = tmp_path / "a.parquet"
        elif kind == "csv":
            rows = [",".join(map(str, row)) for row in data.tolist()]
            (tmp_path / "a.csv").write_text("\n".join([",".join(names), *rows]))
            data = tmp_path / "a.csv"
        start = time.process_time()
        fitted = tfnorm.fit(data, "standard")
        spent = time.process_time() - start
        assert sum(column.features for column in fitted.profile.columns) == columns
        return spent

    seconds(100)
    assert seconds(columns) < 20 * max(seconds(columns // 10), 0.05)


# Disks and other writers


def test_a_device_that_is_full() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with pytest.raises(OSError, match="No space left"):
        tfnorm.fit(DATA, CHOICE).save("/dev/full")
    assert not Path("/dev/full").is_file()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """64 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_leaves_the_old_file_and_no_rest(small_disk: Path, tmp_path: Path) -> None:
    small = tfnorm.fit({"a": [1.0, 2.0]}, "standard")
    small.save(small_disk / "norm.json")
    large = tfnorm.fit({f"c{i}": DATA["a"] for i in range(40)}, "robust")
    pq.write_table(pa.table({"a": np.random.default_rng(0).normal(size=50_000)}), tmp_path / "a.parquet")
    large.save(tmp_path / "norm.json")
    assert (tmp_path / "norm.json").stat().st_size > 1 << 16
    for write in (
        lambda: large.save(small_disk / "norm.json"),
        lambda: tfnorm.report(large).save(small_disk / "report.html"),
    ):
        with pytest.raises(OSError, match="No space left"):
            write()
    done = child(
        "import sys; from tfnorm import cli; sys.exit(cli.main(sys.argv[1:]))",
        *("transform", small_disk / "norm.json", tmp_path / "a.parquet", "-o", small_disk / "out.parquet"),
    )
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert [path.name for path in small_disk.iterdir()] == ["norm.json"]
    assert tfnorm.load(small_disk / "norm.json") == small


def test_eight_writers_and_readers_of_one_path(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.json" for i in range(8)]
    for i, path in enumerate(paths):
        tfnorm.fit({"a": np.arange(50.0) + i}, "standard").save(path)
    code = (
        "import sys, tfnorm\n"
        "shared, mine, *every = sys.argv[1:]\n"
        "value, known = tfnorm.load(mine), {tfnorm.load(path).fingerprint for path in every}\n"
        "for _ in range(200):\n"
        "    value.save(shared)\n"
        "    assert tfnorm.load(shared).fingerprint in known\n"
        "print('whole')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "shared.json")]
    running = [
        subprocess.Popen([*command, str(path), *map(str, paths)], stdout=subprocess.PIPE, text=True) for path in paths
    ]
    assert [process.communicate()[0] for process in running] == ["whole\n"] * 8
    assert {path.name for path in tmp_path.iterdir()} == {*(path.name for path in paths), "shared.json"}


# Surroundings


FINGERPRINT = """
import sys, locale, tfnorm
try:
    locale.setlocale(locale.LC_ALL, "")
except locale.Error:
    pass
fitted = tfnorm.fit(sys.argv[1], {"a": "robust", "b": "standard.by('k')"}, workers=int(sys.argv[2]))
print(fitted.fingerprint, repr(fitted.transform({"a": [0.5], "b": [3.0], "k": ["x"]})["b"].tolist()))
"""
FORKED = """
import os, sys, tensorflow as tf
tf.reduce_sum(tf.random.normal((100, 100)) @ tf.random.normal((100, 100))).numpy()
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def keyed(folder: Path) -> Path:
    rng = np.random.default_rng(3)
    for i in range(3):
        table = {"a": rng.normal(size=9000), "b": rng.normal(size=9000), "k": rng.choice(["x", "y", "ü"], 9000)}
        pq.write_table(pa.table(table), folder / f"{i}.parquet", row_group_size=2500)
    return folder


@pytest.mark.parametrize("forked", [False, True])
def test_the_same_bits_whatever_is_around(forked: bool, tmp_path: Path) -> None:
    """Locale, hash seed, time zone, number of threads; and in a process forked after TensorFlow had started."""
    if forked:
        pytest.importorskip("tensorflow")
    folder = keyed(tmp_path)
    wanted = child(FINGERPRINT, folder, 1)
    assert wanted.returncode == 0, wanted.stderr
    around = {"LC_ALL": "de_DE.UTF-8", "PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    found = child((FORKED if forked else "") + FINGERPRINT, folder, 3, **around)
    assert found.returncode == 0, found.stderr[-1000:]
    assert found.stdout == wanted.stdout


# What is loaded


AUDITED = """
import sys, tfnorm
from tfnorm import cli
cli.main(["show", sys.argv[1]])  # what is imported late is there
seen = []
never = ("pickle.", "subprocess.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "socket.")
def look(event, given):
    if event.startswith(never):
        seen.append(event)
    if event == "open" and isinstance(given[0], str) and "secret" in given[0]:
        seen.append(given[0])
sys.addaudithook(look)
value = tfnorm.load(sys.argv[1])
repr(value), value.transform({"a": [1.0]})
print(seen)
"""


def test_no_path_and_no_address_in_an_artefact_is_followed(tmp_path: Path) -> None:
    """Names of columns and files that lead to a server on this machine, which must see nobody come."""
    came: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/secret"

        def listen() -> None:
            with contextlib.suppress(OSError):
                came.append(server.accept())

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        tfnorm.fit({"a": [1.0, 2.0], address: [1.0, 2.0]}, "standard").save(tmp_path / "norm.json")
        whole = json.loads((tmp_path / "norm.json").read_text())
        for origin in whole["content"]["profile"]["provenance"]:
            origin["source"] = address
        canonical = json.dumps(whole["content"], sort_keys=True, separators=(",", ":"))
        whole["checksum"] = "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()
        (tmp_path / "norm.json").write_text(json.dumps(whole))
        done = child(AUDITED, tmp_path / "norm.json")
        assert done.returncode == 0, done.stderr[-1000:]
        assert done.stdout.splitlines()[-1] == "[]"
        tfnorm.report(tfnorm.load(tmp_path / "norm.json")).save(tmp_path / "report.html")
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    assert came == []


LOAD = """
import sys, keras, tfnorm.layer
for path in sys.argv[1:]:
    try:
        keras.models.load_model(path)
        print("loaded")
    except Exception as error:
        print(type(error).__name__)
"""
EVIL: tuple[dict[str, Any], ...] = (
    {"module": "os", "class_name": "system", "config": "touch MARK", "registered_name": "system"},
    {"module": "builtins", "class_name": "function", "config": "exec", "registered_name": "function"},
    {"module": "keras.utils", "class_name": "get_file", "config": {"fname": "MARK", "origin": "file:///etc/hostname"}},
    {"module": "keras.layers", "class_name": "Lambda", "config": {"function": {
        "class_name": "__lambda__", "config": {"code": "4wAAAAA=", "defaults": None, "closure": None}}}},
)  # fmt: skip


def test_code_in_the_config_of_our_layer_does_not_run(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential([tfnorm.fit({"a": [1.0, 2.0]}, "standard").layer()])
    model({"a": np.zeros((2, 1))})
    model.save(tmp_path / "m.keras")

    def changed(value: Any, evil: Any) -> Any:
        if isinstance(value, dict) and value.get("class_name") == "Normalize":
            return {**value, "config": {**value["config"], **dict.fromkeys(["columns", "dtype"], evil)}}
        if isinstance(value, dict):
            return {key: changed(item, evil) for key, item in value.items()}
        return [changed(item, evil) for item in value] if isinstance(value, list) else value

    paths = []
    with zipfile.ZipFile(tmp_path / "m.keras") as old:
        for number, one in enumerate(EVIL):
            evil = json.loads(json.dumps(one).replace("MARK", str(tmp_path / "mark")))
            config = json.loads(old.read("config.json"))
            assert changed(config, evil) != config
            paths.append(tmp_path / f"{number}.keras")
            with zipfile.ZipFile(paths[-1], "w") as new:
                for name in old.namelist():
                    new.writestr(name, json.dumps(changed(config, evil)) if name == "config.json" else old.read(name))
    done = child(LOAD, *paths, TF_CPP_MIN_LOG_LEVEL="3")
    assert done.returncode == 0, done.stderr[-1000:]
    assert len(done.stdout.splitlines()) == len(EVIL)
    assert "loaded" not in done.stdout
    assert not (tmp_path / "mark").exists()


SERVED = """
import sys, numpy as np, tensorflow as tf
served = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
(name,) = served.structured_input_signature[1]
for x in ([[1.0, 2.0, 3.0]], [[1.0, np.nan, np.inf]]):
    print(served(**{name: tf.constant(x, tf.float32)})["output_0"].numpy().tolist())
for x in (np.zeros((1, 2)), np.zeros((1, 4)), np.array([["text"] * 3])):
    try:
        served(**{name: tf.constant(x) if x.dtype.kind == "U" else tf.constant(x, tf.float32)})
        print("taken")
    except Exception as error:
        print("refused")
"""


def test_requests_of_a_served_model(tmp_path: Path) -> None:
    """Another width or type is an error; what is missing stays missing; nothing crashes."""
    keras = pytest.importorskip("keras")
    pytest.importorskip("tensorflow")
    fitted = tfnorm.fit(np.array([[1.0, 2.0, 3.0], [3.0, 6.0, 9.0]]), "minmax")
    model = keras.Sequential([keras.Input((3,)), fitted.layer()])
    model.export(tmp_path / "served", verbose=False)
    done = child(SERVED, tmp_path / "served", TF_CPP_MIN_LOG_LEVEL="3")
    assert done.returncode == 0, done.stderr[-1000:]
    assert done.stdout.splitlines() == ["[[0.0, 0.0, 0.0]]", "[[0.0, nan, inf]]", *["refused"] * 3]
