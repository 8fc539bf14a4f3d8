"""The benchmarks run, on next to nothing: every contestant gives the expected answer. Times are not judged."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
FILES = "--rows 4000 --columns 3 --row-group 600 --dataset-rows 3000 --batch-size 256"
OF_SKLEARN = (
    *("minmax", "standard", "maxabs", "robust", "yeo_johnson", "box_cox", "quantile", "quantile('normal')"),
    *("log1p", "sqrt", "clip(-1, 1)", "l1", "l2", "linf"),
)
CASES = {
    "fit_memory.py": ("--shape 3000x5", ["3,000 x 5"], 4),
    "fit_files.py": (
        FILES,
        ["Parquet 4,000 x 3", "tf.data 3,000 x 20, batches of 256"],
        3 + Path("/proc/self/status").exists(),
    ),
    "transform.py": (
        "--rows 5000 --columns 3",
        [f"{technique}, 5,000 x 3" for technique in ("standard", "minmax", "robust", "l2")],
        2,
    ),
    "techniques.py": (
        "--fit-rounds 1 --values 20000 --rows 2000 --columns 3 --dtype float32",
        [
            *(f"fit {technique}, 20,000 values" for technique in ("robust", "yeo_johnson", "quantile")),
            *(f"{technique}, 2,000 x 3, float32" for technique in OF_SKLEARN),
        ],
        len(OF_SKLEARN),  # log1p, sqrt and clip are told, not judged; the fits are
    ),
    "grouped.py": (
        "--rows 20000 --keys 50",
        [f"{what} by {kind}" for kind in ("whole numbers", "text") for what in ("fit", "transform")],
        2,
    ),
    "sources.py": (
        "--rows 2000 --images 3 --csv-rows 2000 --npy-rows 2000 --checkpoint-rows 2000",
        [
            *("TFRecord 2,000 x ten floats", "TFRecord 2,000 x vector of 64", "images 3 x 400 x 600"),
            *("CSV 2,000 x 10", ".npy 2,000 x 64", "checkpoint, Parquet 2,000 x 50"),
        ],
        8,
    ),
    "layer.py": (
        "--rows 300 --columns 3 --many 6 --most 20 --calls 2 --predictions 2",
        [
            *(f"layer in {how}, 300 x 3" for how in ("a graph", "XLA")),
            *(f"6 columns, {rows} rows" for rows in (256, 300)),
            *("predict, 32 x 20", "loading"),
        ],
        11,
    ),
    "startup.py": ("--rows 100 --cold float32 --cold-rounds 1", ["starting", "compiling"], 2),
}


def test_the_benchmarks_run(tmp_path: Path) -> None:
    for peer in ("sklearn", "polars", "tensorflow", "duckdb"):
        if importlib.util.find_spec(peer) is None:
            pytest.skip(f"{peer} is not installed")
    running = {script: start(script, tmp_path) for script in CASES}  # side by side: most of it is importing
    printed = {script: process.communicate() for script, process in running.items()}
    for script, (out, errors) in printed.items():
        assert running[script].returncode == 0, f"{script}: {out}{errors}"
        check(CASES[script], out, json.loads((tmp_path / f"{script}.json").read_text()))


def start(script: str, folder: Path) -> subprocess.Popen[str]:
    arguments = [*CASES[script][0].split(), "--rounds", "1", "--json", str(folder / f"{script}.json")]
    return subprocess.Popen(
        [sys.executable, str(FOLDER / script), *arguments],
        env={**os.environ, "OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_L2_SIZE": "1048576"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def check(case: tuple[str, list[str], int], out: str, report: dict[str, Any]) -> None:
    _, titles, asked = case
    assert [section["title"] for section in report["sections"]] == titles
    for section in report["sections"]:
        assert all(len(times) == 1 and times[0] > 0 for times in section["seconds"].values())
    verdicts = [line for line in out.splitlines() if line.endswith((" OK", " MISSED")) and "(wanted: " in line]
    judged = [one for section in report["sections"] for one in section["requirements"]]
    assert len(verdicts) == len(judged) == asked
    environment = report["machine"]["environment"]
    assert environment["OPENBLAS_CORETYPE"] is None
    assert environment["OPENBLAS_L2_SIZE"] is None


@pytest.fixture
def common(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(FOLDER)
    import common

    monkeypatch.setattr(common, "SETTLE_SECONDS", 0)
    yield common
    del sys.modules["common"]


def test_an_answer_that_is_not_the_same_is_found(common: Any) -> None:
    x = common.normal(1000, 2)
    reference = common.Reference.of_array(x)
    exact = x.astype(np.float64)
    right = {"mean": exact.mean(0), "std": exact.std(0), "minimum": x.min(0), "maximum": x.max(0)}
    assert reference.check(right, tolerance=1e-12)
    for wrong in ({"mean": exact.mean(0) + 1e-3}, {"std": exact.std(0, ddof=1)}, {"maximum": x.max(0) + 1}):
        with pytest.raises(common.DifferentError):
            reference.check({**right, **wrong}, tolerance=1e-6)


def test_everyone_takes_a_turn_in_every_round_and_none_is_always_first(common: Any) -> None:
    order: list[str] = []
    arguments = common.options("").parse_args(["--rounds", "3"])
    names = ["a", "b", "c"]
    contestants = [common.Contestant(name, lambda name=name: order.append(name), lambda _: "") for name in names]
    section = common.Report("test", arguments).race("turns", "none", contestants)
    assert "".join(order) == "abc" + "abc" + "bca" + "cab"
    section.seconds = {"a": [1.0, 2.0, 9.0], "b": [6.0, 7.0, 1.0], "c": [2.2, 2.2, 2.2]}
    report = common.Report("test", arguments)
    report.faster(section, "a", "b", 3)
    report.faster(section, "a", "b", 3.1)
    report.within(section, "c", "a", 1.15)
    assert [(one.value, one.ok) for one in section.requirements] == [(3.0, True), (3.0, False), (1.1, True)]
