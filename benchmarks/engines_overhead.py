"""What an engine costs beside threads: `tfnorm.scan` of the same Parquet files by two workers of each.

    python benchmarks/engines_overhead.py --folder /tmp/engines

With the start of the cluster (the first call, and starting it), and without (a later call). The engines take turns; medians.
The files, 4,000,000 x 50 float32 in row groups of 100,000, are written where the folder has none.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import tfnorm

FILES, GROUP = 8, 100_000


def write(folder: Path, rows: int, columns: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for number in range(FILES):
        table = pa.table({f"x{i}": random.normal(i, 1 + i, rows // FILES).astype(np.float32) for i in range(columns)})
        pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=GROUP)


@contextmanager
def threads() -> Iterator[dict[str, Any]]:
    yield {"workers": 2}


@contextmanager
def processes() -> Iterator[dict[str, Any]]:
    yield {"engine": "processes", "workers": 2}


@contextmanager
def loky() -> Iterator[dict[str, Any]]:
    from loky import get_reusable_executor

    pool = get_reusable_executor(max_workers=2)
    yield {"engine": pool, "workers": 2}
    pool.shutdown(wait=True)


@contextmanager
def dask() -> Iterator[dict[str, Any]]:
    from distributed import Client, LocalCluster

    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        yield {"engine": client}


@contextmanager
def ray() -> Iterator[dict[str, Any]]:
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield {"engine": "ray"}
    ray.shutdown()


ENGINES: dict[str, Callable[[], Any]] = {one.__name__: one for one in (threads, processes, loky, dask, ray)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", default="/tmp/tfnorm-engines", type=Path)
    parser.add_argument("--rows", default=4_000_000, type=int)
    parser.add_argument("--columns", default=50, type=int)
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    given = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not any(given.folder.glob("*.parquet")):
        write(given.folder, given.rows, given.columns)
    expected = tfnorm.scan(given.folder)  # and compiles the kernels
    started: dict[str, list[float]] = {name: [] for name in given.engines}
    running: dict[str, list[float]] = {name: [] for name in given.engines}
    for _ in range(given.rounds):
        for name in given.engines:
            start = time.perf_counter()
            with ENGINES[name]() as options:
                assert tfnorm.scan(given.folder, **options) == expected
                started[name].append(time.perf_counter() - start)
                start = time.perf_counter()
                tfnorm.scan(given.folder, **options)
                running[name].append(time.perf_counter() - start)
    base = statistics.median(running.get("threads", [float("nan")]))
    print(f"scan of {expected.num_rows:,} rows x {len(expected)} columns, two workers, medians of {given.rounds}")
    print(f"{'engine':<10} {'with its start':>15} {'running':>9} {'of threads':>11}")
    for name, times in running.items():
        first, later = statistics.median(started[name]), statistics.median(times)
        print(f"{name:<10} {first:>13.2f} s {later:>7.2f} s {later / base:>10.2f}x")


if __name__ == "__main__":
    main()
