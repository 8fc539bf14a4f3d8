"""How long until something happens: the import, the command's help, the first scan ever and the first in a process?

    python benchmarks/startup.py

Every run is a process of its own. Compiled kernels are where they always are, and in an empty folder for the first scan
ever.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import common
from common import Contestant, DifferentError, Report

PYTHON, IMPORT, WORDS, HELP = "python -c pass", "import tfnorm", "from tfnorm import fit, scan", "tfnorm --help"
KINDS = ["float32", "float64", "mixed"]
WARM = "first scan in a process, kernels cached"

# 20,000 rows are enough for the sketch to count a block into tables, rather than sort it, which is other code.
SCAN = r"""
import sys, time
import numpy as np
import tfnorm
kind, rows = sys.argv[1], int(sys.argv[2])
x = np.random.default_rng(0).standard_normal((rows, 4))
if kind == "mixed":
    x[::7] = np.nan
    data = {"a": x[:, 0].astype("float32"), "b": x[:, 1].copy(), "c": np.arange(rows), "d": x.round()}
else:
    data = x.astype(kind)
start = time.perf_counter()
profile = tfnorm.scan(data)
print(time.perf_counter() - start)
"""


def process(command: list[str], **environment: str) -> Callable[[], str]:
    """A run of it that says what it printed, and raises where it fails."""

    def run() -> str:
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DifferentError(f"exit code {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
        return done.stdout

    return run


def fine(_: object) -> str:
    return ""


def cold(kind: str, rows: int) -> Callable[[], float]:
    """A first scan ever: the seconds of the scan alone, imports that it makes itself included."""

    def run() -> float:
        with tempfile.TemporaryDirectory() as empty:
            return float(process([sys.executable, "-c", SCAN, kind, str(rows)], NUMBA_CACHE_DIR=empty)())

    return run


def race_starts(report: Report) -> None:
    python = sys.executable
    command = Path(python).parent / "tfnorm"
    runs = {
        IMPORT: [python, "-c", "import tfnorm"],
        PYTHON: [python, "-c", "pass"],
        WORDS: [python, "-c", WORDS],
        HELP: [str(command), "--help"],
    }
    ready: list[Contestant] = []
    for name, arguments in runs.items():
        run = process(arguments)
        try:
            run()
        except (DifferentError, OSError) as error:  # the others can still be measured
            common.say(f"left out: {name}: {error}")
        else:
            ready.append(Contestant(name, run, fine))
    warm = process([python, "-c", SCAN, "float32", str(report.arguments.rows)])
    ready.append(Contestant(WARM, lambda: float(warm()), fine, self_timed=True))
    section = report.race("starting", "a process each; the last is timed from inside, from imported to scanned", ready)
    report.under(section, IMPORT, section.median(IMPORT), 0.5, "s")


def race_compiling(report: Report) -> None:
    arguments = report.arguments
    contestants = [
        Contestant(f"first scan ever, {kind}", cold(kind, arguments.rows), fine, self_timed=True)
        for kind in arguments.cold
    ]
    data = f"{arguments.rows:,} x 4, the folder of compiled kernels empty"
    section = report.race("compiling", data, contestants, rounds=arguments.cold_rounds, warm_up=False)
    for one in contestants:
        report.under(section, one.name, section.median(one.name), 10, "s")


def main() -> None:
    parser = common.options(__doc__ or "", rounds=7)
    parser.add_argument("--rows", type=int, default=20_000, help="of the array that is scanned")
    parser.add_argument("--cold-rounds", type=int, default=3, help="of the compiling ones")
    parser.add_argument(
        "--cold", nargs="+", choices=["float32", "float64", "mixed"], default=["float32", "float64", "mixed"]
    )
    arguments = parser.parse_args()
    common.settle(arguments.threads)
    report = Report(Path(__file__).name, arguments)
    race_starts(report)
    race_compiling(report)
    report.finish()


if __name__ == "__main__":
    main()
