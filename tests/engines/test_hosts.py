"""Several hosts, as network namespaces with addresses of their own: one for Dask's scheduler and a worker, one for another
worker, one for who asks. A worker is killed, or its host is cut off; the bits are those of one thread.

The folder of files is there on each host, as a network file system's is.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from clusters import LONG, fitted_here, write

pytest.importorskip("distributed")

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
            whole = ["ip", "netns", "exec", self.prefix + host, sys.executable, *command]
            process = subprocess.Popen(
                whole, env={**os.environ, **SETTINGS}, text=True, start_new_session=True, **options
            )
        self.processes.append(process)
        return process

    def cut_off(self, host: str) -> None:
        ip("-n", self.prefix + host, "link", "set", "eth0", "down")

    def remove(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
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
    deadline = time.monotonic() + 60
    while not log.exists() or log.read_text().count(said) < times:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


@pytest.mark.parametrize("fault", ["none", "killed", "cut off"])
def test_the_bits_of_one_thread(hosts: Hosts, long: Path, expected: str, tmp_path: Path, fault: str) -> None:
    address = f"tcp://{hosts.names['one']}:8786"
    hosts.start(
        "one", tmp_path / "scheduler", "-m", "dask", "scheduler", "--host", hosts.names["one"], "--no-dashboard"
    )
    wait_for(tmp_path / "scheduler", "Scheduler at")
    workers = {}
    for host in ("one", "two"):
        own = ("--nthreads", "1", "--no-dashboard", "--host", hosts.names[host], "--no-nanny")
        folder = ("--local-directory", str(tmp_path / host))
        workers[host] = hosts.start(host, tmp_path / f"worker {host}", "-m", "dask", "worker", address, *own, *folder)
    wait_for(tmp_path / "scheduler", "Register worker", 2)
    (tmp_path / "run.py").write_text(SCRIPT)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stdin": subprocess.PIPE}
    asks = hosts.start("asks", tmp_path / "asks", str(tmp_path / "run.py"), str(long), f"dask={address}", **pipes)
    assert asks.stdout is not None
    told = asks.stdout.readline()
    assert told.startswith("measured"), (tmp_path / "asks").read_text()
    assert float(told.split()[1]) < 0.5
    if fault == "killed":
        os.killpg(workers["two"].pid, signal.SIGKILL)
    elif fault == "cut off":
        hosts.cut_off("two")
    out, _ = asks.communicate("go on\n", timeout=90)
    assert out.strip() == expected, (tmp_path / "asks").read_text()
