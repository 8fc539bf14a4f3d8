"""What does a fit cost at a size that no machine here holds: 100,000 parts of 1,000 columns, a petabyte?

    python benchmarks/scale.py                                      # folds some thousand states, and reckons from that
    python benchmarks/scale.py --folded 10000 --tree 100000         # folds them all: an hour of a core
    python benchmarks/scale.py --states FOLDER                      # keeps the states there, and makes them once

By simulation. Real are the states (everything that scan gathers, of drawn columns of five kinds), their bytes, and what driver
and workers do with them, by the code that fits use, in processes of their own, in the order in which so many workers would
deliver. There are 64 different parts, over and over. Reckoned from these rates, and said so, is what is larger than was run.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import multiprocessing
import operator
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import common
import tfnorm
from tfnorm.elsewhere import Folding, measured_elsewhere
from tfnorm.engines import Task, cut, folded
from tfnorm.engines.executor import submitted
from tfnorm.fitting import EVERYTHING, chosen_columns
from tfnorm.maps import Identity
from tfnorm.measuring import Measure, Measured, Want
from tfnorm.sources import open_source
from tfnorm.states import read, written

PETABYTE, GIGABIT = 1e15, 1.25e8  # bytes; bytes a second
KINDS = 5
BLOCKS, PARTS = 8, 64  # different ones of all columns, of which parts are made; and different parts
ROWS = 1 << 18  # of a block; those of a fit are longer, and so their sums have rather fewer cells
BLOCKS_A_PART = 10  # 2.6 million rows of 1,000 columns: ten gigabytes
WINDOW = 6  # tasks that wait at once for the processes of a tree


def table(columns: int, rows: int, seed: int) -> dict[str, np.ndarray]:
    """Gaussian, lognormal, small whole numbers, exponential, and mostly zeros, in turn."""
    rng = np.random.default_rng(seed)
    draw = (
        lambda: 100 + 15 * rng.standard_normal(rows, np.float32),
        lambda: np.exp(3 + rng.standard_normal(rows, np.float32)),
        lambda: rng.integers(0, 50, rows, np.int32).astype(np.float32),
        lambda: 2 * rng.standard_exponential(rows, np.float32),
        lambda: np.where(rng.random(rows, np.float32) < 0.8, np.float32(0), rng.standard_normal(rows, np.float32)),
    )
    return {f"c{number}": draw[number % KINDS]() for number in range(columns)}


def measure_of(data: Any, by_columns: bool = False) -> Measure:
    source = open_source(data)
    columns = chosen_columns(source, None, -1, None, "zero")
    kinds = EVERYTHING[:3] if by_columns else EVERYTHING
    return Measure(tuple(Want(column, "", Identity(), kinds) for column in columns), frozenset(), 1 << 18, None)


def peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return 1000 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def rolled(state: Measured, by: int) -> Measured:
    """As of other rows: the numbers of a column are those of another one of its kind."""
    statistics = {
        kind: one.pick((np.arange(one.features) + KINDS * by) % one.features) for kind, one in state.statistics.items()
    }
    return dataclasses.replace(state, statistics=statistics)


def states(folder: Path, columns: int, rows: int) -> list[Path]:
    """Real states of as many parts, as files; each is the sum of blocks, as a worker adds them up."""
    if paths := sorted(folder.glob("*.state")):
        return paths
    measure = measure_of(table(columns, 8, 0))
    blocks = [measure.of(table(columns, rows, seed), "", 0) for seed in range(BLOCKS)]
    rng = np.random.default_rng(0)
    for number in range(PARTS):
        chosen = rng.integers(0, [BLOCKS, columns], (BLOCKS_A_PART, 2)).tolist()
        total = folded(operator.add, (rolled(blocks[block], by) for block, by in chosen))
        (folder / f"{number:02}.state").write_bytes(written(total, task=number))
    return sorted(folder.glob("*.state"))


def delivered(number: int, window: int) -> list[int]:
    """In which order: whoever is done first delivers first, so that neighbours are as far apart as there are workers."""
    return np.argsort(np.arange(number) + np.random.default_rng(0).uniform(0, window, number)).tolist()


def fold(folder: str, columns: int, number: int, window: int) -> None:
    """Run in a process of its own: read and fold so many states as they come from so many workers."""
    nothing = measure_of(table(columns, 8, 0)).nothing()
    messages = [path.read_bytes() for path in sorted(Path(folder).glob("*.state"))]
    read(messages[0], nothing) + read(messages[1], nothing)  # compiles
    folding = Folding(nothing)
    most, reading, before = 0, 0.0, peak_bytes()
    began, cpu = time.perf_counter(), time.process_time()
    for index in delivered(number, window):
        message = bytes(bytearray(messages[index % len(messages)]))  # of its own, as each that comes
        start = time.perf_counter()
        state = read(message, nothing)
        reading += time.perf_counter() - start
        folding.put(index, state, 0, message)
        most = max(most, len(folding))
    total = folding.total()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert total is not None
    told = {"seconds": seconds, "cpu": cpu, "reading": reading, "held": most, "memory": peak_bytes() - before}
    print(json.dumps({**told, "total": len(written(total))}))


@dataclass(frozen=True)
class Part:
    """What a shard is to an engine."""

    number: int
    num_bytes: int = 0

    @property
    def name(self) -> str:
        return f"part {self.number}"

    fingerprint = name

    def __call__(self) -> Any:
        raise NotImplementedError  # what a part gives is made elsewhere: here it only stands for its place in the tree


@dataclass(frozen=True)
class Stored:
    """What a worker has measured of a part."""

    folder: str
    columns: int

    def __call__(self, part: Part) -> Measured:
        digest = hashlib.sha256(part.fingerprint.encode()).hexdigest()
        return dataclasses.replace(stored(self.folder, self.columns, part.number % 16), digest=digest, num_shards=1)


@lru_cache(maxsize=16)
def stored(folder: str, columns: int, number: int) -> Measured:
    return read((Path(folder) / f"{number:02}.state").read_bytes(), measure_of(table(columns, 8, 0)).nothing())


@dataclass(frozen=True)
class Cluster:
    """An engine of two processes, which deliver in the order in which so many workers would."""

    parallel: int
    sizes: list[int] = field(default_factory=list)

    def __call__(self, work: Callable[[Task], bytes], tasks: Sequence[Task]) -> Iterator[bytes]:
        ordered = [tasks[index] for index in delivered(len(tasks), self.parallel)]
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            for message in submitted(pool, work, ordered, WINDOW, 1e9, copies=1):
                self.sizes.append(len(message))
                yield message


def tree(folder: str, columns: int, number: int, workers: int) -> None:
    """Run in a process of its own: parts that workers fold in runs, and a driver that folds these, by the code of a fit."""
    measure = measure_of(table(columns, 8, 0))
    messages = [path.read_bytes() for path in sorted(Path(folder).glob("*.state"))[:2]]
    read(messages[0], measure.nothing()) + read(messages[1], measure.nothing())  # compiles
    before = peak_bytes()
    began, cpu = time.perf_counter(), time.process_time()
    cluster = Cluster(workers)
    total = measured_elsewhere(cluster, Stored(folder, columns), measure, map(Part, range(number)), None)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert total is not None
    assert total.num_shards == number
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = {"seconds": seconds, "cpu": cpu, "memory": peak_bytes() - before, "states": len(cluster.sizes)}
    told |= {"wire": sum(cluster.sizes), "workers": children.ru_utime + children.ru_stime}
    print(json.dumps({**told, "worker": 1024 * children.ru_maxrss, "total": len(written(total))}))


def apart(what: str, folder: Path, columns: int, number: int, workers: int) -> dict[str, float]:
    command = [sys.executable, __file__, what, str(folder), str(columns), str(number), str(workers)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def parquet_rate(folder: Path) -> tuple[float, float]:
    """(bytes of a Parquet file that one thread scans a second, bytes a value) of 50 such columns."""
    path = folder / "rate.parquet"
    pq.write_table(pa.table(table(50, 1_000_000, 1)), path, row_group_size=250_000)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        tfnorm.scan(path, workers=1)
        seconds.append(time.perf_counter() - began)
    size = path.stat().st_size
    path.unlink()
    return size / float(np.median(seconds)), size / 5e7


def told(found: dict[str, float], number: int, state: float) -> str:
    each, reading, cpu = (1e3 * found[name] / number for name in ("seconds", "reading", "cpu"))
    return (
        f"{time_text(found['seconds'])} ({each:.1f} ms each, {reading:.1f} of it reading; {cpu:.1f} ms of processors), "
        f"at most {found['held']:.0f} held, {size_text(found['memory'])} of memory, {size_text(number * state)} over the wire"
    )


def size_text(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def time_text(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def petabyte(workers: int, shards: int, rate: float, each: float, state: float) -> None:
    tasks = cut(range(shards), workers)
    measuring = PETABYTE / rate / workers
    driver = len(tasks) * each
    wire = len(tasks) * state
    longest = max(len(task.shards) for task in tasks)
    last = longest * PETABYTE / shards / rate  # one task more than the others have
    print(
        f"  {workers:5,} workers: {len(tasks):6,} tasks of up to {longest} parts; measuring {time_text(measuring)} "
        f"(and up to {time_text(last)} for the last), driver reads and folds {time_text(driver)} meanwhile, "
        f"{size_text(wire)} over its wire ({time_text(wire / (10 * GIGABIT))} at 10 Gbit/s)"
    )
    costs = {"the workers' reading and measuring": measuring + last, "the driver's folding": driver}
    bottleneck = max(costs, key=lambda name: costs[name])
    print(f"          {time_text(max(costs.values()))} in all; bottleneck: {bottleneck}")


def main() -> None:
    if sys.argv[1:2] in (["--as-driver"], ["--as-tree"]):
        what, folder, *numbers = sys.argv[1:]
        (fold if what == "--as-driver" else tree)(folder, *map(int, numbers))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--columns", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=ROWS, help="of a block")
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--folded", type=int, default=1024, help="how many states a driver really folds, at most")
    parser.add_argument("--tree", type=int, default=1024, help="of how many parts workers and a driver fold states")
    parser.add_argument("--states", type=Path, help="the folder in which the states are, or are made")
    arguments = parser.parse_args()
    about, versions = common.machine(), common.versions()
    print(
        f"{about['cpu']}, {about['cores_used']} cores; "
        + ", ".join(f"{k} {versions[k]}" for k in ("python", "tfnorm", "numpy"))
    )
    with contextlib.ExitStack() as stack:
        folder = arguments.states or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        run(folder, arguments.columns, arguments.rows, arguments.shards, arguments.folded, arguments.tree)


def run(folder: Path, columns: int, rows: int, shards: int, most: int, as_tree: int) -> None:
    state = float(np.mean([path.stat().st_size for path in states(folder, columns, rows)]))
    plain = measure_of(table(columns, 8, 0), by_columns=True)
    moments = len(written(plain.of(table(columns, 1000, 0), "", 0)))
    print(
        f"a state of {columns:,} columns, everything, of {BLOCKS_A_PART * rows:,} rows: {size_text(state)}; without sketches "
        f"(standard, minmax): {size_text(moments)}"
    )
    print("\nThe driver, as 100 workers deliver one state a part:")
    each = 0.0
    for number in [*(one for one in (256, 1024, 4096) if one < most), most]:
        found = apart("--as-driver", folder, columns, number, 100)
        each = found["seconds"] / number
        print(f"  {number:7,} states: {told(found, number, state)}", flush=True)
    print(f"  reckoned for {shards:,}: {time_text(shards * each)}, {size_text(shards * state)} over the wire")
    number = min(most, 1024)
    wide = apart("--as-driver", folder, columns, number, 1000)
    print(f"The same from 1,000 workers, of whose states more wait for a neighbour:\n  {number:7,} states: ", end="")
    print(told(wide, number, state), flush=True)
    print("\nAs a tree: workers fold runs of neighbours, the driver gets one state a run:")
    trees = {}
    for workers in (100, 1000):
        number = min(as_tree, shards) if workers == 1000 else min(as_tree, 4000)
        # so many workers for so few parts that each has as many as in a fit of all: then runs are as long
        trees[workers] = found = apart("--as-tree", folder, columns, number, max(1, round(workers * number / shards)))
        print(
            f"  {workers:5,} workers, {number:,} of {shards:,} parts: {found['states']:,.0f} states, {size_text(found['wire'])} "
            f"over the wire; {time_text(found['seconds'])} by two processes and the driver, of processors "
            f"{1e3 * found['workers'] / number:.1f} ms a part for the workers and {1e3 * found['cpu'] / found['states']:.1f} ms "
            f"a state for the driver; memory {size_text(found['memory'])} of the driver, "
            f"{size_text(found['worker'])} of a worker",
            flush=True,
        )
    rate, width = parquet_rate(folder)
    print(
        f"\nA petabyte of Parquet ({width:.1f} bytes a value), at {size_text(rate)}/s a worker as measured here by one thread:"
    )
    for workers, found in trees.items():
        petabyte(workers, shards, rate, found["cpu"] / found["states"], found["wire"] / found["states"])


if __name__ == "__main__":
    main()
