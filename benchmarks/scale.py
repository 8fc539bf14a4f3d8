"""What does a fit cost at a size that no machine here holds: 100,000 parts of 1,000 columns, a petabyte?

    python benchmarks/scale.py                       # folds some thousand states, and says what that makes of 100,000
    python benchmarks/scale.py --folded 100000       # folds them all: an hour

By simulation. Real are the states (everything that scan gathers, of drawn columns of five kinds), their bytes, and what the
driver does with them: it reads, checks and folds them by the code that fits use, in a process of its own, in the order in
which so many workers would deliver. Reckoned from these rates, and said so, is what is larger than was run.
"""

from __future__ import annotations

import argparse
import json
import operator
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import common
import tfnorm
from tfnorm.elsewhere import MANY, Folding
from tfnorm.engines import Fold, cut
from tfnorm.fitting import EVERYTHING, chosen_columns
from tfnorm.maps import Identity
from tfnorm.measuring import Measure, Measured, Want
from tfnorm.sources import open_source
from tfnorm.states import read, written

PETABYTE, GIGABIT = 1e15, 1.25e8  # bytes; bytes a second
KINDS = 5


def table(columns: int, rows: int, seed: int) -> dict[str, np.ndarray]:
    """Gaussian, lognormal, small whole numbers, exponential, and mostly zeros, in turn."""
    rng = np.random.default_rng(seed)
    draw = (
        lambda: rng.normal(100, 15, rows),
        lambda: rng.lognormal(3, 1, rows),
        lambda: rng.integers(0, 50, rows).astype(np.float64),
        lambda: rng.exponential(2, rows),
        lambda: np.where(rng.random(rows) < 0.8, 0, rng.normal(size=rows)),
    )
    return {f"c{number}": draw[number % KINDS]().astype(np.float32) for number in range(columns)}


def measure_of(data: Any, by_columns: bool = False) -> Measure:
    source = open_source(data)
    columns = chosen_columns(source, None, -1, None, "zero")
    kinds = EVERYTHING[:3] if by_columns else EVERYTHING
    return Measure(tuple(Want(column, "", Identity(), kinds) for column in columns), frozenset(), 1 << 18, None)


def peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return 1000 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def states(folder: Path, columns: int, rows: int, several: int) -> list[Path]:
    """Real states of as many parts, as files. Each is of so many rows four times over, as large parts have more cells."""
    measure = measure_of(table(columns, 8, 0))
    paths = []
    for number in range(several):
        fold: Fold[Measured] = Fold(operator.add)
        for seed in range(4):
            fold.push(measure.of(table(columns, rows, 4 * number + seed), "", 0))
        total = fold.total()
        assert total is not None
        paths.append(folder / f"{number}.state")
        paths[-1].write_bytes(written(total, task=number))
    return paths


def fold(folder: str, columns: int, number: int, window: int) -> None:
    """Run in a process of its own: read and fold so many states as they come from so many workers."""
    measure = measure_of(table(columns, 8, 0))
    nothing = measure.nothing()
    messages = [path.read_bytes() for path in sorted(Path(folder).glob("*.state"))]
    read(messages[0], nothing) + read(messages[1], nothing)  # compiles
    rng = np.random.default_rng(0)
    # whoever is done first delivers first: neighbours are as far apart as there are workers
    order = np.argsort(np.arange(number) + rng.uniform(0, window, number))
    folding = Folding(nothing)
    most, reading, before = 0, 0.0, peak_bytes()
    began = time.perf_counter()
    for index in order.tolist():
        message = bytes(memoryview(messages[index % len(messages)]))  # of its own, as each that comes
        start = time.perf_counter()
        state = read(message, nothing)
        reading += time.perf_counter() - start
        folding.put(index, state, 0, message)
        most = max(most, len(folding))
    total = folding.total()
    seconds = time.perf_counter() - began
    assert total is not None
    size = len(written(total))
    peak = peak_bytes()
    told = {"seconds": seconds, "reading": reading, "held": most, "peak": peak, "before": before, "total": size}
    print(json.dumps(told))


def folded(folder: Path, columns: int, number: int, window: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--fold", str(folder), str(columns), str(number), str(window)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


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
    each, reading = 1e3 * found["seconds"] / number, 1e3 * found["reading"] / number
    return (
        f"{time_text(found['seconds'])} ({each:.0f} ms each, {reading:.0f} of it reading), at most {found['held']:.0f} held, "
        f"{size_text(found['peak'] - found['before'])} of memory for them, the sum {size_text(found['total'])}, "
        f"{size_text(number * state)} over the wire"
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
    if sys.argv[1:2] == ["--fold"]:
        folder, columns, number, window = sys.argv[2:]
        fold(folder, int(columns), int(number), int(window))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--columns", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=5000, help="of what a state is made of, four times over")
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--folded", type=int, default=2048, help="how many states are really folded, at most")
    arguments = parser.parse_args()
    columns, shards = arguments.columns, arguments.shards
    about, versions = common.machine(), common.versions()
    print(
        f"{about['cpu']}, {about['cores_used']} cores; "
        + ", ".join(f"{k} {versions[k]}" for k in ("python", "tfnorm", "numpy"))
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.perf_counter()
        paths = states(folder, columns, arguments.rows, 16)
        state = float(np.mean([path.stat().st_size for path in paths]))
        print(
            f"a state of {columns:,} columns, everything: {size_text(state)} ({time.perf_counter() - began:.0f} s to make 16)"
        )
        plain = measure_of(table(columns, 8, 0), by_columns=True)
        moments = len(written(plain.of(table(columns, arguments.rows, 0), "", 0)))
        print(f"without sketches (standard, minmax): {size_text(moments)}")
        print("\nThe driver, as 100 workers deliver one state a part:")
        number = min(128, arguments.folded)
        sizes = []
        while number < arguments.folded:
            sizes.append(number)
            number *= 4
        for number in (*sizes, arguments.folded):
            found = folded(folder, columns, number, 100)
            each = found["seconds"] / number
            print(f"  {number:7,} states: {told(found, number, state)}")
        print(f"  reckoned for {shards:,}: {time_text(shards * each)}, {size_text(shards * state)} over the wire")
        wide = folded(folder, columns, arguments.folded, 1000)
        print(
            f"The same from 1,000 workers, of whose states more wait for a neighbour: {told(wide, arguments.folded, state)}"
        )
        print("\nAs a tree: each worker folds a run of neighbours, the driver gets one state a run:")
        held = (found["peak"] - found["before"]) / min(MANY, found["held"])
        for workers in (2, 100, 1000):
            tasks = cut(range(shards), workers)
            run = max(len(task.shards) for task in tasks)
            deep = run.bit_length() + 1
            print(
                f"  {workers:5,} workers: runs of {run:,}; the driver gets {len(tasks):,} states, "
                f"{size_text(len(tasks) * state)}, and reads and folds them in {time_text(len(tasks) * each)}; "
                f"a worker holds at most {deep} states at once, "
                f"{size_text(deep * held)}"
            )
        rate, width = parquet_rate(folder)
    print(
        f"\nA petabyte of Parquet ({width:.1f} bytes a value), at {size_text(rate)}/s a worker as measured here by one thread:"
    )
    for workers in (100, 1000):
        petabyte(workers, shards, rate, each, state)


if __name__ == "__main__":
    main()
