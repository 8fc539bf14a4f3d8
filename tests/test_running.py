"""Running statistics against `fit` on all rows, NumPy's weighted averages, pandas' ewm and exact fractions."""

from __future__ import annotations

import copy
import pickle
import threading
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tfnorm
from test_laws import equal, moments_agree, sketches_agree
from tfnorm import fading
from tfnorm.errors import ChoiceError, DataError, NotInvertibleError
from tfnorm.fading import WINDOW, Fading
from tfnorm.quantiles import Quantiles
from tfnorm.statistics import Count, Extremes, Moments

laws = settings(
    derandomize=True, max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
KINDS = (Count, Extremes, Moments, Quantiles)
AGREE: dict[Any, Any] = {Moments: moments_agree, Quantiles: sketches_agree}


def run(rows: Any, cuts: Any, *args: Any, weight: Any = None, **kwargs: Any) -> tfnorm.Running:
    """A Running that was given these rows, cut at these places."""
    running = tfnorm.Running(*args, **kwargs)
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    for start, stop in pairwise(edges):
        running.update(rows[start:stop], weight=None if weight is None else weight[start:stop])
    return running


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


# ---- without a half-life: what a fit knows


values = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([1e9, 1e9 + 1e-6, np.nan, 0.0, -0.0]), st.integers(-3, 3))


@st.composite
def streams(draw: Any, most: int = 60) -> tuple[np.ndarray, list[int]]:
    number = draw(st.integers(1, most))
    rows = np.array(draw(st.lists(values, min_size=2 * number, max_size=2 * number)), np.float64).reshape(number, 2)
    return rows, draw(st.lists(st.integers(1, most), max_size=12))


@laws
@given(stream=streams())
def test_after_any_updates_it_is_a_fit_on_all_rows(stream: Any) -> None:
    rows, cuts = stream
    running, fitted = run(rows, cuts, ["standard", "winsorize"]), tfnorm.fit(rows, ["standard", "winsorize"])
    frozen = running.freeze()
    assert running.num_rows == frozen.profile.num_rows == len(rows)
    for kind in KINDS:
        AGREE.get(kind, equal)(frozen.profile.statistic(kind, "x"), fitted.profile.statistic(kind, "x"))
    assert frozen.choice == fitted.choice


@pytest.mark.parametrize("technique", [name for name in tfnorm.TECHNIQUES if name not in ("clip", "power")])
def test_every_technique_is_kept(technique: str) -> None:
    rows = np.random.default_rng(1).uniform(0.1, 0.9, (500, 3))
    fitted = tfnorm.fit(rows, technique)
    for half_life in (None, 1e15):  # of which 500 rows see nothing
        running = run(rows, [1, 7, 30, 480], technique, half_life)
        np.testing.assert_allclose(running.normalize(rows), fitted.transform(rows), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(running.freeze().transform(rows), running.normalize(rows))
        if fitted["x"].invertible:
            back = fitted.inverse(fitted.transform(rows))
            np.testing.assert_allclose(running.inverse(running.normalize(rows)), back, rtol=1e-9)
        else:
            with pytest.raises(NotInvertibleError):
                running.inverse(rows)


def test_a_hundred_thousand_updates_keep_their_digits() -> None:
    rows = np.random.default_rng(2).normal(1e6, 1, (100_000, 2))
    running = tfnorm.Running("standard")
    for row in rows[:20_000]:
        running.update(row[None])
    for start in range(20_000, 100_000, 10):
        running.update(rows[start : start + 10])
    profile = running.freeze().profile["x"]
    exact = rows.astype(np.longdouble)
    mean = exact.mean(axis=0)
    np.testing.assert_allclose(profile.mean, mean.astype(np.float64), rtol=3e-16)
    np.testing.assert_allclose(profile.std, exact.std(axis=0).astype(np.float64), rtol=1e-13)
    assert len(running.profile.provenance) == 1


def test_sketches_of_a_long_stream_keep_their_rank() -> None:
    random = np.random.default_rng(3)
    rows = np.concatenate([random.normal(0, 1, 60_000), random.normal(5, 0.1, 60_000), random.lognormal(0, 3, 60_000)])
    running = tfnorm.Running("robust")
    for start in range(0, len(rows), 300):
        running.update(rows[start : start + 300])
    curve, ordered = running.freeze().profile["x"].curve(), np.sort(rows)
    assert curve.rank_error() < 0.004
    for q in np.linspace(0, 1, 101):
        assert abs(np.searchsorted(ordered, curve.quantile(q)) / len(rows) - q) < 0.002


def test_columns_images_weights_frames_and_times() -> None:
    random = np.random.default_rng(4)
    table = {"age": random.normal(40, 9, 90), "fare": random.exponential(30, 90), "id": [str(i) for i in range(90)]}
    parts = [{name: values[i : i + 30] for name, values in table.items()} for i in (0, 30, 60)]
    choice = {"age": "standard", "fare": ["log1p", "standard"]}
    running, weight = tfnorm.Running(choice), random.integers(0, 4, 90) * 1.0
    for i, part in enumerate(parts):
        running.update(pd.DataFrame(part) if i else part, weight=weight[30 * i : 30 * i + 30])
    fitted = tfnorm.fit(table, choice, weight=weight)
    for name, got in fitted.transform(table).items():
        if name != "id":
            np.testing.assert_allclose(running.normalize(table)[name], got, rtol=1e-12)
    assert running.columns == ("age", "fare")
    running.update({"more": [1, 2], "fare": [1.0, 2.0], "age": [4, 5]})  # in another order, of another type
    assert running.num_rows == 92

    images = random.integers(0, 256, (20, 4, 5, 3), np.uint8)
    for axis in (-1, None):
        got = run(images, [3, 11], "standard", axis=axis).freeze()
        wanted = images.reshape(-1, 3).astype(np.float64) if axis == -1 else images.reshape(-1, 1).astype(np.float64)
        np.testing.assert_allclose(got.profile["x"].mean, wanted.mean(axis=0), rtol=1e-14)
        np.testing.assert_allclose(got.profile["x"].std, wanted.std(axis=0), rtol=1e-14)

    days = np.arange("2020-01-01", "2020-03-01", dtype="datetime64[D]")
    running = run(days, [10], "minmax", unit="D")
    np.testing.assert_allclose(running.normalize(days), np.linspace(0, 1, len(days)), rtol=1e-12, atol=1e-15)

    running = run(pd.Series([0.0, 1, 1, 2, 3, 5, 8, 13]), [3], "standard").update(
        lambda: iter([np.ones(3), np.zeros(2)])
    )
    assert running.num_rows == 13


def test_before_any_update_it_says_so(tmp_path: Path) -> None:
    running = tfnorm.Running("standard")
    for act in (running.normalize, running.inverse, lambda _: running.freeze(), lambda _: running.save(tmp_path / "a")):
        with pytest.raises(DataError, match=r"has seen no rows yet.*update\(batch\) first"):
            act(np.ones((2, 2)))
    assert repr(running) == 'Running("standard"): nothing seen yet'
    assert running.num_rows == 0
    assert not list(tmp_path.iterdir())


def test_missing_is_left_out_and_infinite_refused() -> None:
    running = tfnorm.Running("standard").update([[1.0], [np.nan], [3.0]])
    assert running.freeze().profile["x"].mean.tolist() == [2.0]
    before = running.freeze()
    for half_life in (None, 5):
        other = tfnorm.Running("standard", half_life).update([[1.0]] * 20)
        with pytest.raises(DataError, match=r"infinite value in row 12 .*infinite=\"missing\""):
            other.update([[1.0]] * 12 + [[np.inf]])
        assert other.num_rows == 20
    assert running.freeze() is before  # nothing came, so nothing is solved again
    lenient = tfnorm.Running("standard", infinite="missing").update([[1.0], [np.inf], [3.0]])
    assert lenient.freeze().profile["x"].mean.tolist() == [2.0]
    assert lenient.freeze().profile["x"].count.positive_infinite.tolist() == [1]


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    running = tfnorm.Running("standard").update(np.ones((4, 3)))
    for batch, said in (
        (np.ones((4, 2)), r"keeps rows of shape \(3,\), got rows of shape \(2,\)"),
        (np.ones(4), "keeps rows of shape"),
        ({"x": np.ones((4, 3))}, "keeps one array"),
        ([[1.0, 2.0, 3.0], [4.0]], "rows of one length"),
        (np.ones((0, 3)), "no rows"),
    ):
        with pytest.raises(DataError, match=said):
            running.update(batch)
    table = tfnorm.Running({"a": "standard", "b": "minmax"}).update({"a": [1.0], "b": [2.0]})
    with pytest.raises(ChoiceError, match='"b": not in'):
        table.update({"a": [1.0]})
    with pytest.raises(DataError, match='keeps the columns "a", "b"'):
        table.update([1.0])
    with pytest.raises(DataError, match="weights must be numbers from 0 up"):
        tfnorm.Running("standard", 3).update([1.0, 2.0], weight=[1.0, -1.0])
    with pytest.raises(DataError, match=r"row 1 .*Choose another"):
        tfnorm.Running(["log1p", "standard"]).update([1.0, -2.0])
    assert (running.num_rows, table.num_rows) == (4, 1)
    weightless = tfnorm.Running("standard").update([1.0, 2.0], weight=[0.0, 0.0])
    with pytest.raises(DataError, match="every value has the weight 0"):
        weightless.normalize([1.0])
    weightless.update([1.0, 3.0], weight=[1.0, 1.0])
    assert weightless.normalize([3.0]).tolist() == [1.0]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("standrad",), "did you mean"),
        ((["yeo_johnson", "standard"],), "which one pass cannot know"),
        (({},), "names no column"),
        (("standard", 0), "half_life must be"),
        (("standard", -1.0), "half_life must be"),
        (("standard", float("nan")), "half_life must be"),
        (("standard", float("inf")), "half_life must be"),
        (("standard", True), "half_life must be"),
        (("standard", "100"), "half_life must be"),
    ],
)
def test_what_cannot_be_kept_is_refused_at_once(args: Any, said: str) -> None:
    with pytest.raises(ChoiceError, match=said):
        tfnorm.Running(*args)
    with pytest.raises(ChoiceError, match="infinite"):
        tfnorm.Running("standard", infinite="count")  # type: ignore[arg-type]


def test_workers_add_up() -> None:
    rows = np.random.default_rng(5).normal(100, 3, (90, 2))
    workers = [run(rows[i::3], [7, 9], "standard") for i in range(3)]
    total = sum(workers, tfnorm.Running("standard"))
    assert total.num_rows == 90
    np.testing.assert_allclose(total.freeze().profile["x"].std, rows.std(axis=0), rtol=1e-14)
    assert workers[0].num_rows == 30  # as it was
    assert (tfnorm.Running("standard") + tfnorm.Running("standard")).num_rows == 0
    assert len(total.profile.provenance) == 1
    with pytest.raises(ChoiceError, match="rows have an order"):
        tfnorm.Running("standard", 5) + tfnorm.Running("standard", 5)
    with pytest.raises(ChoiceError, match="made alike"):
        tfnorm.Running("minmax") + tfnorm.Running("standard")
    with pytest.raises(TypeError):
        total + 1


def test_a_frozen_one_stays_as_it_is(tmp_path: Path) -> None:
    running = tfnorm.Running("standard").update([[1.0], [3.0]])
    frozen = running.freeze()
    running.update([[100.0]])
    assert frozen.transform([[3.0]]).tolist() == [[1.0]]
    frozen.save(tmp_path / "a.json")
    assert tfnorm.load(tmp_path / "a.json") == frozen
    assert running.update_and_normalize([[5.0]]).shape == (1, 1)
    assert running.num_rows == 4


def test_threads_and_copies() -> None:
    running, batches = tfnorm.Running("standard"), np.random.default_rng(6).normal(7, 2, (8, 40, 5))

    def work(part: np.ndarray) -> None:
        for row in part:
            running.update(row[None])
            running.normalize(row[None])

    workers = [threading.Thread(target=work, args=(part,)) for part in batches]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert running.num_rows == 320
    np.testing.assert_allclose(running.freeze().profile["x"].std, batches.reshape(-1, 5).std(axis=0), rtol=1e-13)
    for other in (copy.deepcopy(running), pickle.loads(pickle.dumps(running))):
        assert other == running
        other.update(np.ones((1, 5)))
        assert other != running
    assert running.num_rows == 320


# ---- with a half-life: weights that halve


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


# ---- saved and gone on with


@pytest.mark.parametrize("half_life", [None, 30])
@pytest.mark.parametrize("choice", ["standard", "robust", ["log1p", "minmax"], "clip(-1, 1)"])
def test_after_saving_it_goes_on_as_if_never_saved(choice: Any, half_life: float | None, tmp_path: Path) -> None:
    rows = np.random.default_rng(15).exponential(3, (400, 2))
    running = run(rows[:200], [50, 51], choice, half_life, infinite="missing")
    running.save(tmp_path / "a.json")
    loaded = tfnorm.load(tmp_path / "a.json")
    assert isinstance(loaded, tfnorm.Running)
    assert loaded == running
    assert repr(loaded) == repr(running)
    for one in (running, loaded):
        one.update(rows[200:333]).update(rows[333:])
    assert loaded == running
    np.testing.assert_array_equal(loaded.normalize(rows), running.normalize(rows))
    for one, name in ((running, "b.json"), (loaded, "c.json")):
        one.save(tmp_path / name)
    assert (tmp_path / "b.json").read_bytes() == (tmp_path / "c.json").read_bytes()


def test_settings_and_columns_are_saved(tmp_path: Path) -> None:
    days = np.arange("2020-01-01", "2020-03-01", dtype="datetime64[D]")
    table = {"day": days, "image": np.random.default_rng(16).normal(size=(60, 4, 3)), "a/b": np.arange(60)}
    choice = {"a/b": "minmax", "day": "standard", "image": "standard"}
    running = tfnorm.Running(choice, axis={"image": None}, unit={"day": "D"}).update(table)
    running.save(tmp_path / "a.json")
    loaded = tfnorm.load(tmp_path / "a.json").update(table)
    assert loaded == running.update(table)
    assert loaded.freeze().profile["image"].mean.shape == (1,)
    with pytest.raises(DataError, match="infinite"):
        loaded.update({**table, "a/b": np.full(60, np.inf)})
    assert (loaded + running).num_rows == 240
