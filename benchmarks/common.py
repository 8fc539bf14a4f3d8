"""What the benchmarks share: contestants take turns in one process, and their medians are held against what was asked.

Round by round every contestant runs once, each round beginning with another one, so that a slow minute of the machine
hits all alike. A first round is not counted; its answers are checked: a race is fair only where all do the same work.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = (
    "tfnorm", "numpy", "numba", "scikit-learn", "polars", "pandas", "pyarrow", "tensorflow", "tensorflow-cpu", "keras",
    "duckdb", "river", "tensorflow-transform", "pyspark",
)  # fmt: skip
UNSET = (  # they make it another program than users have
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "PYTHONDONTWRITEBYTECODE",  # every start would compile our modules again
)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
SETTLE_SECONDS = 0.05  # threads of the contestant before spin for a while when they are done


# ----------------------------------------------------------------------------------------- the process and its options


def options(description: str, *, rounds: int = 5) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(
        description=description.split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=rounds, help="counted rounds")
    parser.add_argument(
        "--threads", type=int, default=2, help="for every contestant; the process is held to as many cores"
    )
    parser.add_argument("--json", type=Path, help="write the results there, too")
    return parser


def settle(threads: int) -> None:
    """Hold the process to `threads` cores and start it again where its environment is not the one to measure in."""
    if hasattr(
        os, "sched_setaffinity"
    ):  # what default thread counts are taken from: ours, Polars', Arrow's, TensorFlow's
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    wanted = {name: value for name, value in os.environ.items() if name not in UNSET}
    wanted |= dict.fromkeys(THREADS, str(threads))
    wanted |= {"CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    if wanted != dict(os.environ):
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)


def machine() -> dict[str, Any]:
    """What it runs on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "cores_used": usable,
        "ram_gb": round(ram / 1e9, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "environment": {name: os.environ.get(name) for name in (*UNSET, *THREADS)},
    }


def versions() -> dict[str, str]:
    """Of Python and of whatever is installed of PACKAGES, without importing any."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


# ------------------------------------------------------------------------------------------------------------ the race


@dataclass(frozen=True)
class Contestant:
    """Someone who does the work."""

    name: str
    run: Callable[[], Any]  # the work; what it returns is its answer
    check: Callable[
        [Any], str
    ]  # of the answer: how near it is, for the reader; raises DifferentError where it is another one
    self_timed: bool = False  # the answer is the seconds it took, measured where the work was done


class DifferentError(Exception):
    """A contestant's answer is not the one expected: its time would say nothing."""


@dataclass
class Section:
    """One race: what it was run on, who ran, and what was asked of them."""

    title: str
    data: str
    gigabytes: float  # read by each contestant; 0 where that is no measure
    seconds: dict[str, list[float]] = field(default_factory=dict)  # contestant -> a number a round
    answers: dict[str, str] = field(default_factory=dict)  # contestant -> how near the answer was
    requirements: list[Requirement] = field(default_factory=list)
    load: tuple[float, float] = (0.0, 0.0)  # of the machine, before and after

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])


@dataclass(frozen=True)
class Requirement:
    """One thing asked for, and what came."""

    text: str
    value: float
    wanted: float
    ok: bool


class Report:
    """Prints as it goes, and writes all of it as JSON in the end."""

    def __init__(self, script: str, arguments: argparse.Namespace) -> None:
        self.script, self.arguments = script, arguments
        self.machine, self.versions = machine(), versions()
        self.sections: list[Section] = []
        m = self.machine
        say(f"{script}: {arguments.rounds} rounds, {arguments.threads} threads")
        say(f"{m['cpu']}, {m['cores_used']} of {m['cores']} cores, {m['ram_gb']} GB RAM, {m['kernel']}")
        say(", ".join(f"{name} {version}" for name, version in self.versions.items()))

    def race(
        self,
        title: str,
        data: str,
        contestants: Sequence[Contestant],
        *,
        gigabytes: float = 0.0,
        rounds: int | None = None,
        warm_up: bool = True,
    ) -> Section:
        """Run them in turns; the first one is "ours", which the others are compared with.

        warm_up: whether a round that does not count, but whose answers are checked, comes first.
        """
        section = Section(title, data, gigabytes)
        self.sections.append(section)
        say(f"\n{title}: {data}")
        before = _load()
        for one in contestants if warm_up else ():
            try:
                section.answers[one.name] = one.check(one.run())
            except DifferentError as error:
                raise SystemExit(f"{title}: {one.name}: not the same work: {error}") from error
            if section.answers[one.name]:
                say(f"  checked {one.name}: {section.answers[one.name]}")
        section.seconds = {one.name: [] for one in contestants}
        for number in range(self.arguments.rounds if rounds is None else rounds):
            first = number % len(contestants)
            for one in (*contestants[first:], *contestants[:first]):
                section.seconds[one.name].append(_timed(one))
        section.load = before, _load()
        _print_table(section)
        return section

    def require(self, section: Section, requirement: Requirement) -> None:
        section.requirements.append(requirement)
        say(f"{section.title}: {requirement.text} {'OK' if requirement.ok else 'MISSED'}")

    def faster(self, section: Section, ours: str, peer: str, at_least: float) -> None:
        """`ours` must be that many times as fast as `peer`."""
        times = section.median(peer) / section.median(ours)
        text = f"{ours} vs {peer}: {times:.2f}x faster (wanted: {at_least:g}x)"
        self.require(section, Requirement(text, times, at_least, times >= at_least))

    def within(self, section: Section, ours: str, bare: str, at_most: float) -> None:
        """`ours` may take at most that many times what `bare` takes."""
        times = section.median(ours) / section.median(bare)
        text = f"{ours} vs {bare}: {times:.3f}x the time (wanted: at most {at_most:g}x)"
        self.require(section, Requirement(text, times, at_most, times <= at_most))

    def under(self, section: Section, what: str, value: float, limit: float, unit: str) -> None:
        """A number must stay under a limit."""
        text = f"{what}: {value:.4g} {unit} (wanted: under {limit:g} {unit})"
        self.require(section, Requirement(text, value, limit, value < limit))

    def finish(self) -> None:
        """Write the JSON, where one was asked for."""
        missed = [r for section in self.sections for r in section.requirements if not r.ok]
        asked = sum(len(section.requirements) for section in self.sections)
        say(f"\n{self.script}: {asked - len(missed)} of {asked} requirements met")
        if self.arguments.json is None:
            return
        result = {
            "script": self.script,
            "arguments": {name: str(value) for name, value in vars(self.arguments).items()},
            "machine": self.machine,
            "versions": self.versions,
            "sections": [
                {
                    **asdict(section),
                    "median_seconds": {name: section.median(name) for name in section.seconds},
                }
                for section in self.sections
            ],
        }
        self.arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def say(line: str) -> None:
    print(line, flush=True)


def _timed(one: Contestant) -> float:
    gc.collect()
    time.sleep(SETTLE_SECONDS)
    start = time.perf_counter()
    answer = one.run()
    seconds = time.perf_counter() - start
    return float(answer) if one.self_timed else seconds


def _load() -> float:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0


def _print_table(section: Section) -> None:
    ours = next(iter(section.seconds))
    width = max(len("contestant"), *map(len, section.seconds))
    say(f"  {'contestant':{width}} | median s |    min s |    GB/s | ratio to ours")
    say(f"  {'-' * width}-|---------:|---------:|--------:|-------------:")
    for name, seconds in section.seconds.items():
        median = section.median(name)
        rate = f"{section.gigabytes / median:7.3f}" if section.gigabytes else "      -"
        say(f"  {name:{width}} | {median:8.4f} | {min(seconds):8.4f} | {rate} | {median / section.median(ours):13.2f}")
    say(f"  load of the machine {section.load[0]} before, {section.load[1]} after")


# --------------------------------------------------------------------------------------------- answers and their check


@dataclass(frozen=True)
class Reference:
    """What the data's statistics are, computed in float64 in two passes."""

    mean: np.ndarray  # (features,)
    std: np.ndarray  # (features,) population standard deviation
    minimum: np.ndarray  # (features,)
    maximum: np.ndarray  # (features,)

    @classmethod
    def of(cls, blocks: Callable[[], Any]) -> Reference:
        """From what gives the (rows, features) blocks of the data each time it is called."""
        rows, total, low, high = 0, 0.0, np.inf, -np.inf
        for block in blocks():
            rows, total = rows + len(block), total + block.sum(axis=0, dtype=np.float64)
            low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        mean, left, squares = np.asarray(total) / rows, 0.0, 0.0
        for block in blocks():
            deviation = block - mean
            left, squares = left + deviation.sum(axis=0), squares + np.square(deviation).sum(axis=0)
        rest = left / rows  # what rounding left out of the mean
        return cls(mean + rest, np.sqrt(squares / rows - rest * rest), np.asarray(low), np.asarray(high))

    @classmethod
    def of_array(cls, x: np.ndarray) -> Reference:
        return cls.of(lambda: (x[start : start + (1 << 16)] for start in range(0, len(x), 1 << 16)))

    def check(self, answer: Mapping[str, Any], *, tolerance: float) -> str:
        """How far mean (in standard deviations) and std (relative) are off; extremes, where given, must be exact.

        tolerance: what is more is another answer. That of a peer that computes in float32 is wide: its error is told,
            and is a finding, not a failure.
        """
        mean_error = float(np.max(np.abs(np.asarray(answer["mean"], np.float64) - self.mean) / self.std))
        std_error = float(np.max(np.abs(np.asarray(answer["std"], np.float64) / self.std - 1.0)))
        said = f"mean off by {mean_error:.1e} std, std by {std_error:.1e} of itself"
        if not max(mean_error, std_error) <= tolerance:
            raise DifferentError(said)
        for name, exact in (("minimum", self.minimum), ("maximum", self.maximum)):
            if name in answer and not np.array_equal(np.asarray(answer[name], np.float64), exact.astype(np.float64)):
                raise DifferentError(f"the {name} is not exact")
        return said


EXACT, SINGLE = 1e-6, 1e-2  # tolerances: of who sums in float64, and of who does so in float32
ANY = float("inf")  # of who sums so much in float32 that its answer is another one: that is told, not refused


def of_profile(profile: Any) -> dict[str, np.ndarray]:
    """A tfnorm profile's answer, for one array or for columns of numbers."""
    names = {"mean": "mean", "std": "std", "minimum": "minimum", "maximum": "maximum"}
    return {word: np.ravel([getattr(profile[name], word) for name in profile]) for word in names}


def of_keras(layer: Any) -> dict[str, np.ndarray]:
    """The answer of an adapted `keras.layers.Normalization`."""
    return {"mean": np.ravel(layer.mean), "std": np.sqrt(np.ravel(layer.variance))}


def polars_statistics() -> list[Any]:
    """Polars expressions for mean, std, min and max of all columns."""
    import polars as pl

    each = pl.all()
    return [
        each.mean().name.suffix(".mean"),
        each.std(ddof=0).name.suffix(".std"),
        each.min().name.suffix(".minimum"),
        each.max().name.suffix(".maximum"),
    ]


def of_polars(frame: Any) -> dict[str, np.ndarray]:
    """The answer of a frame of `polars_statistics`: one row, statistic after statistic."""
    row = np.array(frame.row(0), np.float64).reshape(4, -1)
    return dict(zip(("mean", "std", "minimum", "maximum"), row, strict=True))


def normal(rows: int, columns: int, dtype: Any = np.float32, seed: int = 0, *, first_row: int = 0) -> np.ndarray:
    """Rows of N(mean_i, sd_i): means within 5, deviations from 1/4 to 4, the same for any part of the same data."""
    shape = np.random.default_rng(seed)
    mean, deviation = shape.uniform(-5, 5, columns), 2.0 ** shape.uniform(-2, 2, columns)
    x = np.random.default_rng((seed, first_row)).standard_normal((rows, columns), dtype=dtype)
    x *= deviation.astype(dtype)
    x += mean.astype(dtype)
    return x
