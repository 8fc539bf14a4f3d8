"""Several hosts, as network namespaces with addresses of their own: one for the scheduler (of Dask, Spark or Ray) and a worker,
one for another worker, one for who asks. A worker is killed, or its host is cut off; the bits are those of one thread.

The folder of files is there on each host, as a network file system's is.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from clusters import LONG, fitted_here, write

SCRIPT = """
import sys, tfnorm

started = False

def told(progress):
    global started
    if not started:
        started = True
        print("measured", progress.share, flush=True)
        sys.stdin.readline()  # goes on when the fault has happened

if __name__ == "__main__":
    fitted = tfnorm.fit(sys.argv[1], ["robust", "standard"], engine=sys.argv[2], callback=told)
    print(fitted.fingerprint, flush=True)
"""
SETTINGS = {  # so that a host that is cut off is given up in seconds
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5s",
    "DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT": "3s",
    "DASK_DISTRIBUTED__ADMIN__LOG_LENGTH": "100",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",  # without which it lets nobody in who comes from another host
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "PYSPARK_PYTHON": sys.executable,
    "PYSPARK_SUBMIT_ARGS": " ".join(
        f"--conf {one}"
        for one in (
            "spark.ui.enabled=false",
            "spark.executor.memory=512m",
            "spark.network.timeout=12s",
            "spark.network.timeoutInterval=3s",
            "spark.executor.heartbeatInterval=2s",
        )
    )
    + " pyspark-shell",
}


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@dataclass
class Hosts:
    """Namespaces on one switch, which is in a namespace, too."""

    names: dict[str, str] = field(default_factory=dict)  # host -> address
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    prefix: str = f"tfnorm{os.getpid()}"

    def make(self, *hosts: str) -> None:
        ip("netns", "add", f"{self.prefix}switch")
        ip("-n", f"{self.prefix}switch", "link", "add", "bridge", "type", "bridge")
        ip("-n", f"{self.prefix}switch", "link", "set", "bridge", "up")
        for number, host in enumerate(hosts, 1):
            space, end = self.prefix + host, f"to{number}"
            ip("netns", "add", space)
            self.names[host] = f"10.77.0.{number}"
            ip("-n", space, "link", "add", "eth0", "type", "veth", "peer", "name", end, "netns", f"{self.prefix}switch")
            ip("-n", f"{self.prefix}switch", "link", "set", end, "master", "bridge", "up")
            ip("-n", space, "addr", "add", f"{self.names[host]}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            ip("-n", space, "link", "set", "lo", "up")

    def start(self, host: str, log: Path, *command: str, **options: Any) -> subprocess.Popen[str]:
        with log.open("w") as file:
            options = {"stdout": file, "stderr": file, **options}
            known = {**os.environ, **SETTINGS, "SPARK_LOCAL_IP": self.names[host]}
            whole = ["ip", "netns", "exec", self.prefix + host, *command]
            process = subprocess.Popen(whole, env=known, text=True, start_new_session=True, **options)
        self.processes.append(process)
        return process

    def cut_off(self, host: str) -> None:
        ip("-n", self.prefix + host, "link", "set", "eth0", "down")

    def kill(self, host: str) -> None:
        """All that was started there, and what it has started."""
        found = subprocess.run(["ip", "netns", "pids", self.prefix + host], capture_output=True, text=True, check=False)
        for pid in found.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def remove(self) -> None:
        for host in self.names:
            self.kill(host)
        for process in self.processes:
            process.wait(30)
        for host in (*self.names, "switch"):
            subprocess.run(["ip", "netns", "del", self.prefix + host], capture_output=True, timeout=30, check=False)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("long"), 4, 50_000, 10)


@pytest.fixture(scope="module")
def expected(long: Path) -> str:
    return str(fitted_here(long, LONG).fingerprint)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    if shutil.which("ip") is None:
        pytest.skip("there is no ip command (Debian: apt-get install iproute2)")
    there = Hosts()
    try:
        try:
            there.make("one", "two", "asks")
        except OSError as error:
            pytest.skip(f"network namespaces cannot be made here: {error}")
        yield there
    finally:
        there.remove()


def wait_for(log: Path, said: str, times: int = 1) -> None:
    deadline = time.monotonic() + 120
    while not log.exists() or log.read_text().count(said) < times:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def asked(hosts: Hosts, fault: str, engine: str, files: Path, tmp_path: Path) -> str:
    """The fingerprint of a fit by that engine, during which host two has that fault."""
    (tmp_path / "run.py").write_text(SCRIPT)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stdin": subprocess.PIPE}
    command = (sys.executable, str(tmp_path / "run.py"), str(files), engine)
    asks = hosts.start("asks", tmp_path / "asks", *command, **pipes)
    assert asks.stdout is not None
    told = asks.stdout.readline()
    assert told.startswith("measured"), (tmp_path / "asks").read_text()
    assert float(told.split()[1]) < 1
    if fault == "killed":
        hosts.kill("two")
    elif fault == "cut off":
        hosts.cut_off("two")
    out, _ = asks.communicate("go on\n", timeout=180)
    assert out, (tmp_path / "asks").read_text()
    return out.strip()


@pytest.mark.parametrize("fault", ["none", "killed", "cut off"])
def test_dask(hosts: Hosts, long: Path, expected: str, tmp_path: Path, fault: str) -> None:
    pytest.importorskip("distributed")
    address, dask = f"tcp://{hosts.names['one']}:8786", (sys.executable, "-m", "dask")
    hosts.start("one", tmp_path / "scheduler", *dask, "scheduler", "--host", hosts.names["one"], "--no-dashboard")
    wait_for(tmp_path / "scheduler", "Scheduler at")
    for host in ("one", "two"):
        own = ("--nthreads", "1", "--no-dashboard", "--host", hosts.names[host], "--no-nanny")
        folder = ("--local-directory", str(tmp_path / host))
        hosts.start(host, tmp_path / f"worker {host}", *dask, "worker", address, *own, *folder)
    wait_for(tmp_path / "scheduler", "Register worker", 2)
    assert asked(hosts, fault, f"dask={address}", long, tmp_path) == expected


@pytest.mark.parametrize("fault", ["killed", "cut off"])
def test_spark(hosts: Hosts, long: Path, expected: str, tmp_path: Path, fault: str) -> None:
    pyspark = pytest.importorskip("pyspark")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    program = str(Path(pyspark.__file__).parent / "bin" / "spark-class")
    address, master = f"spark://{hosts.names['one']}:7077", "org.apache.spark.deploy.master.Master"
    own = ("--host", hosts.names["one"], "--port", "7077", "--webui-port", "0")
    hosts.start("one", tmp_path / "master", program, master, *own)
    wait_for(tmp_path / "master", "Starting Spark master")
    for host in ("one", "two"):
        own = ("--host", hosts.names[host], "--cores", "1", "--memory", "1g", "--webui-port", "0")
        worker = ("org.apache.spark.deploy.worker.Worker", *own, "--work-dir", str(tmp_path / host), address)
        hosts.start(host, tmp_path / f"worker {host}", program, *worker)
    wait_for(tmp_path / "master", "Registering worker", 2)
    assert asked(hosts, fault, f"spark={address}", long, tmp_path) == expected


def test_ray_by_its_client(hosts: Hosts, long: Path, expected: str, tmp_path: Path) -> None:
    """Who asks is on none of Ray's hosts, of which one is killed. (One that was cut off Ray did not give up in two minutes.)"""
    pytest.importorskip("ray")
    start = (sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus", "1")
    start = (*start, "--object-store-memory", str(100 << 20), "--node-ip-address")
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as short:  # paths of sockets must be
        own = ("--head", "--port", "6379", "--ray-client-server-port", "10001", "--include-dashboard", "false")
        hosts.start("one", tmp_path / "one", *start, hosts.names["one"], *own, "--temp-dir", short)
        wait_for(tmp_path / "one", "Ray runtime started")
        hosts.start("two", tmp_path / "two", *start, hosts.names["two"], "--address", f"{hosts.names['one']}:6379")
        wait_for(tmp_path / "two", "Ray runtime started")
        address = f"ray=ray://{hosts.names['one']}:10001"
        try:
            assert asked(hosts, "killed", address, long, tmp_path) == expected
        finally:
            hosts.remove()
