"""A Spark Connect server of its own, by its address, from the command line.

Needs Java 17 and `pip install 'tfnorm[spark]' 'pyspark[connect]'`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import fitted_here, write

import tfnorm

pyspark = pytest.importorskip("pyspark")
pytest.importorskip("grpc_status")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java", allow_module_level=True)
if not list((Path(pyspark.__file__).parent / "jars").glob("spark-connect_*")):
    pytest.skip("this pyspark has no Connect server", allow_module_level=True)

SOURCE = str(Path(tfnorm.__file__).parent.parent)
SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"


def settings() -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    paths = os.pathsep.join([SOURCE, *filter(None, [os.environ.get("PYTHONPATH")])])
    return plain | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1", "PYTHONPATH": paths}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("connect")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(Path(pyspark.__file__).parent / "bin" / "spark-class")
    confs = (f"spark.connect.grpc.binding.port={port}", "spark.ui.enabled=false")
    words = [program, "org.apache.spark.deploy.SparkSubmit", "--class", SERVER, "--master", "local[2]"]
    words += [word for conf in confs for word in ("--conf", conf)] + ["spark-internal"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(words, env=settings(), cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while True:
            assert server.poll() is None, (folder / "log").read_text()[-3000:]
            assert time.monotonic() < deadline
            with socket.socket() as attempt:
                if attempt.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield f"sc://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(30)


def test_the_command_line_by_its_address(address: str, tmp_path: Path) -> None:
    files = write(tmp_path / "train", 3, 1000, 3)
    words = [sys.executable, "-m", "tfnorm", "fit", str(files / "*.parquet"), "-t", "standard", "-q"]
    words += ["--engine", f"spark={address}", "-o", "norm.json"]
    done = subprocess.run(words, env=settings(), cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    expected = fitted_here(files, "standard")
    assert tfnorm.load(tmp_path / "norm.json").fingerprint == expected.fingerprint
