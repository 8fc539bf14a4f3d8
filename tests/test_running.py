"""Running statistics against `fit` on all rows, NumPy's weighted averages, pandas' ewm and exact fractions."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tfnorm
from test_artefact import altered, signed
from test_laws import equal, moments_agree, sketches_agree
from tfnorm.errors import ArtefactError, ChoiceError, DataError, NotInvertibleError
from tfnorm.fading import WINDOW
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


KEPT = [name for name in tfnorm.TECHNIQUES if name not in ("clip", "power") and "patches" not in name]


@pytest.mark.parametrize("technique", KEPT)
def test_every_technique_is_kept(technique: str) -> None:
    rows = np.random.default_rng(1).uniform(0.1, 0.9, (500, 3))
    fitted = tfnorm.fit(rows, technique)
    for half_life in (None, 1e15):  # of which 500 rows see nothing
        running = run(rows, [1, 7, 30, 480], technique, half_life)
        np.testing.assert_allclose(running.normalize(rows), fitted.transform(rows), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(running.freeze().transform(rows), running.normalize(rows))
        if not fitted["x"].map.lost:
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
        ((["standard", "instance", "standard"],), "the profile cannot tell"),
        (("standard.by('store')",), "by key are not kept"),
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


@pytest.mark.parametrize(
    ("path", "other", "said"),
    [
        (("memory", "half_life"), -1.0, "not a number above 0"),
        (("memory", "half_life"), "nan", "not a number above 0"),
        (("memory", "half_life"), None, "do not go together"),
        (("memory", "runs"), None, "do not go together"),
        (("memory", "half_life"), 1e6, "numbers of its runs"),
        (("memory", "infinite"), "count", "one of"),
        (("memory", "axes"), [None], "axis of column"),
        (("memory", "axes"), [0], "axis of column"),
        (("memory", "axes"), [], "same columns"),
        (("memory", "runs", "newest"), [3, 10**9], "numbers of its runs"),
        (("memory", "runs", "newest"), [3.5, 3.0], "numbers of its runs"),
        (("memory", "runs", "newest"), [-1, 3], "newest run has no value"),
        (("memory", "runs", "extremes", "minimum"), [[0.0, 0.0]], "runs of 2 features"),
        (("memory", "runs", "extremes", "minimum"), [[-9.0, -9.0]] * (WINDOW + 1), "not finite|not those of its runs"),
        (("choice", "x"), "robust", "what the choice needs"),
        (("choice", "x"), "yeo_johnson, standard", "what the choice needs|one pass"),
        (("choice",), {"y": "standard"}, "same columns"),
        (("choice",), {}, "same columns"),
        (("profile", "num_rows"), 7, "number of rows"),
        (("profile", "provenance"), [], "number of rows"),
        (("profile", "gatherings", 1, "statistic", "maximum"), [1e9, 1e9], "not those of its runs"),
    ],
)
def test_a_memory_that_no_stream_leaves_is_refused(path: Any, other: Any, said: str, tmp_path: Path) -> None:
    running = run(np.random.default_rng(17).normal(size=(40, 2)), [9], "standard", 10)
    running.save(tmp_path / "a.json")
    whole = altered(json.loads((tmp_path / "a.json").read_text()), ("content", *path), lambda _: other)
    (tmp_path / "a.json").write_bytes(signed(whole))
    with pytest.raises(ArtefactError, match=said):
        tfnorm.load(tmp_path / "a.json")
