"""Dask: workers in processes of their own, by an address, a client or its executor; one dies, one hangs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import CHOICE, EACH, LONG, Once, fitted_here, kill, loaded, same, write

import tfnorm
from tfnorm.engines.executor import Executors
from tfnorm.errors import ChoiceError

distributed = pytest.importorskip("distributed")
import dask  # noqa: E402


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("train"), 4, 1000, 3)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("long"), 4, 50_000, 10)


@pytest.fixture(scope="module")
def expected(long: Path) -> Any:
    return fitted_here(long, LONG)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = str(tmp_path_factory.mktemp("dask"))
    here = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "10s"}),
        distributed.LocalCluster(**here, local_directory=folder, silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def pids(client: Any) -> list[int]:
    return list(client.run(os.getpid).values())


@pytest.mark.parametrize(("choice", "options"), EACH, ids=["choice", "weights", "full", "exact"])
def test_the_bits_of_one_thread(files: Path, client: Any, choice: Any, options: dict[str, Any]) -> None:
    here = fitted_here(files, choice, **options)
    for engine in (f"dask={client.scheduler.address}", "dask", client, client.get_executor(pure=False)):
        assert same(tfnorm.fit(files, choice, engine=engine, **options), here)
    assert set(map(tuple, client.run(loaded).values())) == {()}


def test_scan_and_check(files: Path, client: Any) -> None:
    assert tfnorm.scan(files, engine=client) == tfnorm.scan(files, workers=1)
    fitted = fitted_here(files, "standard", full=True)
    assert tfnorm.check(fitted, files, engine=client).columns == tfnorm.check(fitted, files).columns


def test_a_worker_is_killed_in_the_middle(long: Path, expected: Any, client: Any, tmp_path: Path) -> None:
    there = Once(lambda: kill(pids(client)))
    fitted = tfnorm.fit(long, LONG, engine=client, callback=there, checkpoint=tmp_path / "kept")
    assert there.in_the_middle
    assert there.done[-1] == 2_000_000
    assert same(fitted, expected)
    again = tfnorm.fit(long, LONG, checkpoint=tmp_path / "kept")  # by threads, from what Dask's workers measured
    assert same(again, fitted)


def test_a_worker_that_hangs_costs_time(long: Path, expected: Any, client: Any) -> None:
    client.wait_for_workers(2, timeout=30)
    stopped: list[int] = []
    there = Once(lambda: stopped.append(kill(pids(client), signal.SIGSTOP)))
    engine = Executors(client.get_executor(pure=False), 2, patience=3.0)
    try:
        assert same(tfnorm.fit(long, LONG, engine=engine, callback=there), expected)
        assert there.in_the_middle
    finally:
        os.kill(stopped[0], signal.SIGCONT)


def test_without_a_scheduler_the_error_says_what_to_do(
    files: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(ChoiceError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9: .* Is it running"),
    ):
        tfnorm.fit(files, "standard", engine="dask=tcp://127.0.0.1:9")

    def none() -> None:
        raise ValueError

    monkeypatch.setattr(distributed.Client, "current", none)
    with pytest.raises(ChoiceError, match="DASK_SCHEDULER_ADDRESS"):
        tfnorm.fit(files, "standard", engine="dask")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ChoiceError, match=r"needs distributed, which is not there: pip install 'tfnorm\[dask\]'"):
        tfnorm.fit(files, "standard", engine="dask")


def test_loky(files: Path, long: Path, expected: Any, tmp_path: Path) -> None:
    loky = pytest.importorskip("loky")
    pool = loky.get_reusable_executor(max_workers=2)
    assert same(tfnorm.fit(files, CHOICE, engine=Executors(pool, 2, patience=60.0)), fitted_here(files, CHOICE))
    # with little patience: should loky not notice, the test ends all the same
    there = Once(lambda: kill(pool._processes))
    with pytest.raises(ChoiceError, match="Make a new one and run again"):
        tfnorm.fit(long, LONG, engine=Executors(pool, 2, patience=60.0), callback=there, checkpoint=tmp_path / "kept")
    new = loky.get_reusable_executor(max_workers=2)
    told = Once(lambda: None)
    assert same(tfnorm.fit(long, LONG, engine=new, callback=told, checkpoint=tmp_path / "kept"), expected)
    new.shutdown(wait=True, kill_workers=True)
