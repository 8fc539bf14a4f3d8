"""How often a check cries wolf, and what it sees: a small, seeded part of benchmarks/drift.py."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfnorm

FILE = Path(__file__).parents[1] / "benchmarks" / "drift.py"


@pytest.fixture(scope="module")
def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("benchmark_drift", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("rows_of_fit", "full"), [(20_000, True), (500, True), (20_000, False)])
def test_clean_batches_raise_no_alarm(benchmark: Any, rows_of_fit: int, full: bool) -> None:
    alarms = [
        one
        for shape in benchmark.SHAPES
        for several in benchmark.false_alarms(shape, 20, rows_of_fit, full=full, seed=3).values()
        for one in several
    ]
    assert len(alarms) == 20 * len(benchmark.SHAPES)
    assert np.mean(alarms) < 0.01


@pytest.mark.parametrize("shape", ["normal", "uniform", "exponential", "Student t, 3", "two clusters", "rounded"])
def test_a_shift_of_a_third_of_a_deviation_is_seen(benchmark: Any, shape: str) -> None:
    assert benchmark.detected(shape, 10, 10_000, seed=4) == 1


def test_many_columns_are_one_check(benchmark: Any) -> None:
    alarms, finds = benchmark.wide(5, 60, seed=5)
    assert alarms == 0
    assert finds == 1


def test_without_effect_or_without_evidence_there_is_no_alarm() -> None:
    rng = np.random.default_rng(0)
    profile = tfnorm.scan({"x": rng.normal(size=200_000)})
    certain_and_small = tfnorm.check(profile, {"x": rng.normal(0.05, 1, 200_000)})["x"]
    assert certain_and_small.numbers["ks_low"] > certain_and_small.numbers["ks_noise"]
    assert certain_and_small.severity == "none"
    large_and_uncertain = tfnorm.check(profile, {"x": rng.normal(0.5, 1, 12)})["x"]
    assert large_and_uncertain.numbers["ks"] > 0.1
    assert large_and_uncertain.numbers["ks"] < large_and_uncertain.numbers["ks_noise"]
    assert large_and_uncertain.severity == "none"


@pytest.mark.parametrize("power", [1.5, 3.0])
@pytest.mark.parametrize("full", [True, False])
def test_a_few_heavy_rows_are_few_rows(power: float, full: bool) -> None:
    rng = np.random.default_rng(7)

    def weighted(rows: int) -> dict[str, np.ndarray]:
        return {"x": rng.normal(size=rows), "k": rng.integers(0, 2, rows), "w": rng.pareto(power, rows) + 0.1}

    for rows in (200, 1000, 5000):
        for _ in range(5):
            fitted = tfnorm.fit(weighted(2000), {"x": "standard", "k": "standard"}, weight="w", full=full)
            data = weighted(rows)
            drift = tfnorm.check(fitted, data, weight="w", workers=1)
            assert not drift.drifted
            worth = data["w"].sum() ** 2 / (data["w"] ** 2).sum()
            assert drift["x"].numbers["rows"] <= worth * (1 + 1e-9)
            assert drift["k"].numbers["rows"] == drift["x"].numbers["rows"]
