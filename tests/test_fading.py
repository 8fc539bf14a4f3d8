"""Rows that fade: NumPy's weighted averages and ranks, pandas' ewm and exact fractions, however a stream is cut."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfnorm
from test_laws import equal
from test_running import laws, run, streams
from tfnorm import fading
from tfnorm.fading import WINDOW, Fading
from tfnorm.quantiles import Quantiles
from tfnorm.statistics import Count, Extremes, Moments


def decay(rows: int, half_life: float) -> np.ndarray:
    return np.array([0.5 ** ((rows - 1 - i) / half_life) for i in range(rows)])


def statistic(running: tfnorm.Running, kind: Any) -> Any:
    return running.freeze().profile.statistic(kind, running.columns[0])


def same(a: tfnorm.Running, b: tfnorm.Running, rtol: float = 1e-12) -> None:
    """Counts and extremes to the bit, the rest to rounding."""
    for kind in (Count, Extremes):
        equal(statistic(a, kind), statistic(b, kind))
    for kind in (Moments, Quantiles):
        one, other = (r.profile.statistic(kind, r.columns[0]) for r in (a, b))
        if one is None:
            continue
        if kind is Moments:
            np.testing.assert_allclose(one.weight, other.weight, rtol=rtol, atol=2.0**-240)
            size = np.nan_to_num(np.abs(one.mean) + one.std)
            assert (np.abs(one.mean - other.mean) <= rtol * size).all()
            assert (np.nan_to_num(np.abs(one.std - other.std)) <= rtol * size).all()
        else:
            weights = [{(k, j): c for j in range(r.features) for k, c in cells(r, j)} for r in (one, other)]
            heavy = {key for each in weights for key, count in each.items() if count > 2.0**-48 * sum(each.values())}
            for key in heavy:
                assert weights[0][key] == pytest.approx(weights[1][key], rel=rtol)


def cells(sketch: Quantiles, feature: int) -> Any:
    one = sketch.take(feature, feature + 1)
    assert not one.levels.any()
    return zip(one.keys.tolist(), one.counts.tolist(), strict=True)


@laws
@given(stream=streams(), half_life=st.sampled_from([0.3, 1, 2.5, 7, 40, 1e6]), more=st.lists(st.integers(1, 60)))
def test_however_a_stream_is_cut(stream: Any, half_life: float, more: list[int]) -> None:
    rows, cuts = stream
    same(run(rows, cuts, ["standard", "winsorize"], half_life), run(rows, more, ["standard", "winsorize"], half_life))


@laws
@given(
    seed=st.integers(0, 99), gaps=st.lists(st.integers(0, 400), max_size=6), half_life=st.sampled_from([0.5, 1, 3.5])
)
def test_however_a_stream_with_long_gaps_is_cut(seed: int, gaps: list[int], half_life: float) -> None:
    """Of which each column lacks values for many half-lives, and one batch spans all."""
    random = np.random.default_rng(seed)
    rows = random.normal(5, 3, (400, 2))
    for i, gap in enumerate(gaps):
        start = random.integers(400)
        rows[start : start + gap, i % 2] = np.nan
    few, many = run(rows, [], "standard", half_life), run(rows, range(1, 400, 3), "standard", half_life)
    same(few, many)
    same(few, run(rows, range(400), "standard", half_life))


@pytest.mark.parametrize("half_life", [1, 3.5, 20, 1000])
def test_moments_are_numpys_weighted_averages(half_life: float) -> None:
    random = np.random.default_rng(7)
    rows = random.normal(1e6, 1, (300, 3)) + np.linspace(0, 50, 300)[:, None]
    own = random.choice([0.0, 0.5, 1, 3], 300)
    for weight in (None, own):
        running = run(rows, [1, 2, 50, 51, 200], "standard", half_life, weight=weight)
        w = decay(300, half_life) * (1 if weight is None else weight)
        mean = np.average(rows - 1e6, axis=0, weights=w)
        std = np.sqrt(np.average((rows - 1e6 - mean) ** 2, axis=0, weights=w))
        profile = running.freeze().profile["x"]
        np.testing.assert_allclose(profile.mean - 1e6, mean, atol=2e-10)
        np.testing.assert_allclose(profile.std, std, rtol=1e-9)
        np.testing.assert_allclose(profile.moments.weight, w.sum(), rtol=1e-13)
        np.testing.assert_allclose(running.normalize(rows), (rows - 1e6 - mean) / std, rtol=1e-7, atol=1e-8)
        assert profile.count.finite.tolist() == [300] * 3


@pytest.mark.parametrize("half_life", [1, 4, 30])
def test_moments_are_those_of_pandas(half_life: float) -> None:
    values = np.random.default_rng(8).normal(3, 2, 200)
    values[[0, 5, 6, 7, 150]] = np.nan
    running, ewm = tfnorm.Running("standard", half_life), pd.Series(values).ewm(halflife=half_life, adjust=True)
    means, stds = ewm.mean().to_numpy(), ewm.std(bias=True).to_numpy()
    for i in range(200):
        running.update(values[i : i + 1])
        if i >= 2:
            profile = running.freeze().profile["x"]
            assert profile.mean == pytest.approx(means[i], rel=1e-12)
            assert profile.std == pytest.approx(stds[i], rel=1e-10, abs=1e-13)


def test_moments_are_exact_fractions() -> None:
    values = [3, 1, 4, 1, 5, 9, 2, 6]
    weights = [Fraction(1, 2) ** (7 - i) for i in range(8)]
    mean = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
    variance = sum(w * (v - mean) ** 2 for w, v in zip(weights, values, strict=True)) / sum(weights)
    for cuts in ([], [1, 2, 3], [5]):
        profile = run(np.array(values), cuts, "standard", 1).freeze().profile["x"]
        assert profile.mean == pytest.approx(float(mean), rel=1e-15)
        assert profile.variance == pytest.approx(float(variance), rel=1e-15)


def test_what_an_image_tells_fades_as_one() -> None:
    images = np.random.default_rng(9).normal(size=(40, 3, 4, 2)) + np.arange(40)[:, None, None, None]
    running = run(images, [13], "standard", 6)
    w = np.repeat(decay(40, 6), 12)
    np.testing.assert_allclose(
        running.freeze().profile["x"].mean, np.average(images.reshape(-1, 2), axis=0, weights=w), rtol=1e-13
    )


@pytest.mark.parametrize("half_life", [50, 500, 4000])
@pytest.mark.parametrize("batch", [10, 3000])
def test_quantiles_are_weighted_ranks(half_life: float, batch: int) -> None:
    random = np.random.default_rng(10)
    rows = np.concatenate([random.normal(0, 1, 15_000), random.normal(50, 3, 15_000), random.lognormal(0, 1, 6_000)])
    running = run(rows, range(0, len(rows), batch), "robust", half_life)
    w = decay(len(rows), half_life)
    curve = running.freeze().profile["x"].curve()
    assert len(curve.count) <= 8192
    order = np.argsort(rows)
    upto = np.cumsum(w[order]) / w.sum()
    worth = w.sum() ** 2 / (w**2).sum()
    assert curve.total == pytest.approx(worth, rel=1e-6)
    for q in (0.05, 0.25, 0.5, 0.75, 0.95):
        at = np.searchsorted(rows[order], curve.quantile(q), side="right") - 1
        assert abs(upto[at] - q) < 0.003 + 1.5 / worth
    median = np.quantile(rows, 0.5, weights=w, method="inverted_cdf")
    assert running.freeze().maps["x"].center[0] == pytest.approx(median, abs=0.1 * (half_life < 100) + 0.05)  # type: ignore[attr-defined]


def test_a_sketch_stays_bounded_and_forgets() -> None:
    running = tfnorm.Running("robust", 100)
    random = np.random.default_rng(11)
    for start in range(0, 200):
        running.update(random.normal(start, 1, 100))
    sketch = running.profile.statistic(Quantiles, "x")
    assert isinstance(sketch, Quantiles)
    assert len(sketch.keys) <= 100 * 55  # about fifty half-lives, and no dust
    profile = running.freeze().profile["x"]
    assert 195 < profile.quantile(0.5) < 200
    assert profile.minimum > 185  # ten to eleven half-lives


@pytest.mark.parametrize("half_life", [1, 3, 2.5, 10])
def test_extremes_are_those_of_the_newest_half_lives(half_life: float) -> None:
    run_rows = int(np.ceil(half_life))
    values = np.random.default_rng(12).normal(size=500)
    running = tfnorm.Running("minmax", half_life)
    for i in range(500):
        running.update(values[i : i + 1])
        first = max(0, (i // run_rows - WINDOW) * run_rows)
        assert i + 1 - first >= min(i + 1, WINDOW * half_life)
        assert i + 1 - first <= (WINDOW + 1) * run_rows
        profile = running.freeze().profile["x"]
        assert (profile.minimum, profile.maximum) == (values[first : i + 1].min(), values[first : i + 1].max())


def test_what_was_last_known_stays_until_something_newer_comes() -> None:
    running = tfnorm.Running("standard", 2).update([[1.0, 1.0], [3.0, 3.0]])
    before = running.freeze().profile["x"]
    for _ in range(40):
        running.update(np.tile([[np.nan, 5.0]], (100, 1)))
    after = running.freeze().profile["x"]
    assert after.mean[0] == before.mean[0]
    assert after.std[0] == pytest.approx(before.std[0], rel=1e-14)
    assert (after.minimum.tolist(), after.maximum.tolist()) == ([1.0, 5.0], [3.0, 5.0])
    assert after.mean[1] == 5.0
    running.update([[7.0, 5.0]])
    assert running.freeze().profile["x"].mean[0] == 7.0
    quantiles = tfnorm.Running("robust", 2).update([1.0, 2.0, 3.0]).update([np.nan] * 5000)
    assert quantiles.freeze().profile["x"].quantile(1.0) == 3.0
    assert quantiles.normalize([np.nan, 3.0])[1] > 0


def test_a_drifting_stream_is_followed() -> None:
    random, running, errors = np.random.default_rng(13), tfnorm.Running("standard", 500), []
    for step in range(200):
        batch = random.normal(step, 1, (100, 1))
        errors.append(abs(running.update_and_normalize(batch).mean()))
    age = 500 / np.log(2)  # of the weight, in rows, and its deviation; a batch's own is about 50
    lag, spread = (age - 50) / 100, np.sqrt(1 + (age / 100) ** 2)
    assert np.mean(errors[100:]) == pytest.approx(lag / spread, abs=0.01)


def test_fading_as_written() -> None:
    rule = Fading(3)
    np.testing.assert_allclose(rule.weights(7), decay(7, 3), rtol=1e-15)
    for rows in (1, 2, 10, 100):
        w = decay(rows, 3)
        assert rule.worth(rows) == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-12)
    assert Fading(1e18).worth(10**6) == pytest.approx(10**6)


def test_a_long_batch_of_short_half_lives_is_not_measured_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    rule = Fading(2)
    running = tfnorm.Running("standard", 2)
    original = fading.Fading.measured

    def counting(self: Any, first: int, rows: int, measure: Any) -> Any:
        found = original(self, first, rows, measure)
        seen.append(len(found))
        return found

    monkeypatch.setattr(fading.Fading, "measured", counting)
    rows = np.random.default_rng(14).normal(size=(100_000, 1))
    running.update(rows)
    assert seen[0] < 100_000 / 512 + 30
    np.testing.assert_allclose(
        running.freeze().profile["x"].mean, np.average(rows[:, 0], weights=rule.weights(100_000))
    )
