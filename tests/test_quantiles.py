"""The sketch against sorting: rank errors, bounds, exactness, sums, and whichever way a block was counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest

import tfnorm
from tfnorm import quantiles
from tfnorm.engines import Fold
from tfnorm.kernels import tables
from tfnorm.quantiles import Quantiles

ROWS = 300_000  # a block and a part of one
SOME = np.r_[0, 1e-4, 1e-3, 0.01, np.linspace(0.02, 0.98, 49), 0.99, 0.999, 0.9999, 1]


def shapes() -> dict[str, np.ndarray]:
    random = np.random.default_rng(11)
    normal, chance = random.normal(size=ROWS), random.random(ROWS)
    half = chance < 0.5
    wide = {
        "normal": normal,
        "lognormal": np.exp(3 * normal),
        "cauchy": random.standard_cauchy(ROWS),
        "years": random.integers(1950, 2025, ROWS).astype(np.float64),
        "zeros": np.where(chance < 0.9, 0.0, normal + 5),
        "two clusters": np.where(half, normal, normal + 1000),
        "two far clusters": np.where(half, normal, normal + 1e12),
        "sorted": np.sort(normal),
        "sorted down": np.sort(normal)[::-1].copy(),
        "drift": normal + np.linspace(0, 1000, ROWS),
        "a block of zeros first": np.where(np.arange(ROWS) < quantiles.BLOCK_ROWS, 0.0, normal + 1e6),
        "offset": normal + 1e9,
        "prices": np.round(np.exp(normal + 3), 2),
        "constant": np.full(ROWS, 3.7),
        "whole": random.integers(0, 10**6, ROWS).astype(np.float64),
        "half NaN": np.where(half, np.nan, normal),
        "infinities": np.where(chance < 0.1, np.inf, np.where(chance > 0.9, -np.inf, normal)),
        "negative": -np.exp(normal),
        "few values": random.choice([-1e9, -0.0, 0.0, 1e-9, 1.5], ROWS),
    }
    narrow = {f"{name}, float32": values.astype(np.float32) for name, values in wide.items()}
    rest = {
        "denormal": random.integers(-3000, 3000, ROWS) * 5e-324,
        "denormal, float32": (random.integers(-3000, 3000, ROWS) * 1.4e-45).astype(np.float32),
        "1e300": normal * 1e300,
        "1e-300": normal * 1e-300,
        "to the ends": random.uniform(-1, 1, ROWS) * 1.79e308,
        "two scales": np.where(half, normal, normal * 1e-18),
        "many scales": normal * 10.0 ** random.integers(-200, 200, ROWS),
        "pixels": random.integers(0, 256, ROWS).astype(np.uint8),
        "float16": normal.astype(np.float16),
        "int64": random.integers(-(2**63), 2**63 - 1, ROWS),
    }
    return {**wide, **narrow, **rest}


SHAPES = shapes()


def rank_error(ordered: np.ndarray, value: float, q: float) -> float:
    """How far q is from the ranks that `value` has, as a share; its ties are all its ranks."""
    below, upto = (np.searchsorted(ordered, value, side) / len(ordered) for side in ("left", "right"))
    return float(max(0.0, below - q, q - upto))


def check(found: Any, ordered: np.ndarray, error: float = 0.002) -> None:
    """`found` has quantile, quantile_bounds and curve() (a column of a profile, say); `ordered` is the truth."""
    n = len(ordered)
    for q in SOME:
        value, (low, high) = found.quantile(q), found.quantile_bounds(q)
        assert rank_error(ordered, value, q) <= error
        assert low <= ordered[int(np.floor(q * (n - 1)))]
        assert high >= ordered[int(np.ceil(q * (n - 1)))]
        assert low <= value <= high
        assert rank_error(ordered, low, q) <= error
        assert rank_error(ordered, high, q) <= error
        assert isinstance(found, Found) or ordered[0] <= value <= ordered[-1]  # a profile knows the extremes
    curve = found.curve()
    assert curve.rank_error() <= error
    values = ordered[:: n // 60]
    exact = np.searchsorted(ordered, values, "right")
    assert np.abs(curve.cumulative(values) - exact / n).max() <= error
    for value, rank in zip(values, exact, strict=True):
        low, high = curve.rank_bounds(value)
        assert low <= rank <= high


@pytest.mark.parametrize("shape", SHAPES)
def test_ranks_and_bounds(shape: str) -> None:
    values = SHAPES[shape]
    profile = tfnorm.scan(values)
    assert profile.flaw() == ""
    check(profile["x"], np.sort(values[np.isfinite(values)].astype(np.float64)))


def same(a: Quantiles, b: Quantiles) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(Quantiles))


Tables = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def none(rows: np.ndarray, choose: Callable[[np.ndarray], Tables]) -> Tables:
    kind, *rest = choose(rows)
    return np.full_like(kind, tables.NO_TABLE), *rest


def wider(rows: np.ndarray, choose: Callable[[np.ndarray], Tables]) -> Tables:
    """Rows of the tables four times as wide, as a poor sample might have them."""
    kind, shift, base, origin = choose(rows)
    return kind, shift + 2, np.maximum((base >> 2) & ~15, 16), origin


def narrower(rows: np.ndarray, choose: Callable[[np.ndarray], Tables]) -> Tables:
    kind, shift, base, origin = choose(rows)
    return kind, np.maximum(shift - 1, 0), np.where(shift > 0, base * 2, base), origin


def elsewhere(rows: np.ndarray, choose: Callable[[np.ndarray], Tables]) -> Tables:
    """Tables that begin too far up, so that half of the values or more lie outside."""
    kind, shift, base, origin = choose(rows)
    return kind, shift, base + tables.WIDTH // 2, origin + 100


@pytest.mark.parametrize("way", [none, wider, narrower, elsewhere])
def test_the_sketch_does_not_depend_on_the_table(way: Callable[..., Tables], monkeypatch: pytest.MonkeyPatch) -> None:
    choose = quantiles.tables_for
    for shape, values in SHAPES.items():
        if way in (wider, narrower) and values.dtype != np.float64:
            continue  # those of float32 keep clear of its denormal numbers by where they begin
        block = values[: quantiles.BLOCK_ROWS : 4, None]
        tallied = Quantiles.of(block)
        with monkeypatch.context() as patch:
            patch.setattr(quantiles, "tables_for", lambda rows, most: way(rows, lambda some: choose(some, most)))
            assert same(Quantiles.of(block), tallied), shape
        assert same(Quantiles.of(block[::-1]), tallied), shape  # nor on the order of the rows


def test_few_rows_are_sorted_and_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for shape, values in SHAPES.items():
        block = values[:20_000, None]
        tallied = Quantiles.of(block)
        with monkeypatch.context() as patch:
            patch.setattr(quantiles, "SORTED_BELOW", 1 << 20)
            assert same(Quantiles.of(block), tallied), shape


def test_a_sample_of_whole_numbers_does_not_hide_the_rest() -> None:
    """Which table serves is told by a sample of every so many rows; here just these hold small whole numbers."""
    row = np.arange(quantiles.BLOCK_ROWS)
    values = np.where(row % 256 < 240, row % 7, np.random.default_rng(8).normal(size=len(row)) * 40).astype(np.float64)
    curve = tfnorm.scan(values)["x"].curve()
    for q in (0.01, 0.2, 0.5, 0.9, 0.99):
        assert rank_error(np.sort(values), curve.quantile(q), q) <= 0.002


@pytest.mark.parametrize("width", [1, 16, 40])
@pytest.mark.parametrize("whole", [False, True])
def test_zeros_and_what_is_not_finite_stand_beside_the_tables(width: int, whole: bool) -> None:
    random = np.random.default_rng(9)
    values = random.normal(size=(50_000, width)) * 40
    values = (np.rint(values) + 1000 if whole else values).astype(np.float32)
    kind = random.integers(0, 10, values.shape)  # more than any table counts before it begins again
    values = np.select([kind < 5, kind == 5, kind == 6, kind == 7], [0, np.nan, np.inf, -np.inf], values)
    found = Quantiles.of(values)
    for j in (0, width - 1):
        finite = np.sort(values[np.isfinite(values[:, j]), j])
        one = found.take(j, j + 1)
        assert one.total[0] == len(finite)
        zero = one.counts[(one.keys == 1 << 63) & (one.levels == 0)]
        assert zero.tolist() == [(finite == 0).sum()]
        assert same(one, Quantiles.of(values[:, j : j + 1]))
        for q in (0.1, 0.3, 0.7, 0.9):
            assert rank_error(finite, one.curve().quantile(q), q) <= 0.002


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("features", [2, 7, 45, 70])
def test_columns_side_by_side(dtype: type, features: int) -> None:
    names = [name for name in SHAPES if f"{name}, float32" in SHAPES]
    columns = [SHAPES[names[j % len(names)]][:: 10 if features > 7 else 1] for j in range(features)]
    together = np.stack(columns, axis=1).astype(dtype)
    found = Quantiles.of(together)
    alone = [Quantiles.of(together[:, j : j + 1]) for j in range(features)]
    assert same(found, Quantiles.join(alone))
    assert all(same(found.take(j, j + 1), alone[j]) for j in range(features))
    assert found.features == features
    np.testing.assert_array_equal(found.total, np.isfinite(together).sum(axis=0))
    column = tfnorm.scan(together)["x"]
    for q in (0.0, 0.1, 0.5, 0.9, 1.0):
        values, bounds = column.quantile(q), column.quantile_bounds(q)
        for feature in range(0, features, 3):
            known = together[np.isfinite(together[:, feature]), feature].astype(np.float64)
            ordered, (low, high) = np.sort(known), bounds[feature]
            assert low <= ordered[round(q * (len(ordered) - 1))] <= high
            assert rank_error(ordered, values[feature], q) <= 0.002


def different(seed: int, number: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    parts = []
    for i in range(number):
        n = int(random.integers(500, 6000))
        kinds = [
            random.normal(i, 1, n),
            random.lognormal(0, 3, n),
            random.integers(0, 50, n) * 1.0,
            random.standard_cauchy(n) * 1e6,
            random.random(n) * 10.0 ** random.integers(-30, 30),
            random.normal(1000 * i, 1, n).astype(np.float32),
        ]
        parts.append(kinds[i % len(kinds)])
    return parts


class Found:
    """A sketch by itself, as `check` asks of it."""

    def __init__(self, sketch: Quantiles) -> None:
        self.curve = lambda: sketch.curve(0)
        self.quantile, self.quantile_bounds = sketch.curve(0).quantile, sketch.curve(0).quantile_bounds


@pytest.mark.parametrize("order", ["one after another", "backwards", "as a tree"])
def test_sums_of_many_that_differ(order: str) -> None:
    parts = different(12, 200)
    sketches = [Quantiles.of(part[:, None]) for part in parts]
    if order == "as a tree":
        fold: Fold[Quantiles] = Fold(add)
        for sketch in sketches:
            fold.push(sketch)
        total = fold.total()
        assert total is not None
    else:
        total = reduce(add, sketches if order == "one after another" else sketches[::-1])
    assert sum(len(sketch.keys) for sketch in sketches) > 5 * quantiles.MAX_CELLS  # so it was coarsened, often
    assert len(total.keys) <= quantiles.MAX_CELLS
    ordered = np.sort(np.concatenate(parts).astype(np.float64))
    assert total.total[0] == len(ordered)
    for sketch in (total, total.coarsened()):
        assert sketch.flaw() == ""
        check(Found(sketch), ordered)
    assert len(total.coarsened().keys) <= 4096


def test_sums_are_free_of_order_until_they_are_coarsened() -> None:
    a, b, c = (Quantiles.of(part[:, None]) for part in different(13, 3))
    assert same(a + b, b + a)
    assert same((a + b) + c, a + (b + c))
    assert same((a + b) + c, (c + a) + b)
    zero = Quantiles.nothing(1)
    assert same(zero + a, a)
    assert same(a + zero, a)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 777, 4096])
@pytest.mark.parametrize("parts", [1, 5])
def test_exact_up_to_4096_values(n: int, parts: int) -> None:
    random = np.random.default_rng(n)
    q = np.r_[np.linspace(0, 1, n) if n > 1 else 0.5, random.random(50)]
    for values in (random.normal(5, 3, n), random.integers(0, 20, n) * 0.5, random.lognormal(0, 9, n)):
        pieces = np.array_split(values, parts)
        sketch = reduce(add, (Quantiles.of(piece[:, None]) for piece in pieces))
        exact = np.quantile(values, q)
        for found in (sketch, sketch.coarsened()):
            got = np.array(found.curve(0).quantiles(q))
            assert found.at(q[0])[0] == got[0]
            np.testing.assert_allclose(got, exact, rtol=1e-15, atol=0)  # NumPy may interpolate from the other end
            ranks = np.rint(q * (n - 1)) == q * (n - 1)
            np.testing.assert_array_equal(got[ranks], exact[ranks])
            low, high = found.curve(0).quantile_bounds(0.5)
            assert low <= np.quantile(values, 0.5) <= high
            assert found.curve(0).rank_error() == 0.0


def test_ties_stay_exact_however_many_values_there_are() -> None:
    values = np.random.default_rng(14).choice([1.0, 2.0, 4.0], 1_000_000, p=[0.2, 0.5, 0.3])
    found = tfnorm.scan(values)["x"]
    for q in SOME:
        assert found.quantile(q) == np.quantile(values, q)
    assert found.quantile_bounds(0.5) == (2.0, 2.0)


def test_whole_weights_are_repetition() -> None:
    random = np.random.default_rng(15)
    for n in (1000, 30_000):
        values, weights = random.normal(size=(n, 2)), random.integers(0, 4, n)
        values[::9, 1] = np.nan
        weighted, repeated = Quantiles.of(values, weights), Quantiles.of(np.repeat(values, weights, axis=0))
        assert same(weighted, repeated)
    profile = tfnorm.scan({"a": values[:, 0], "w": weights}, weight="w")
    check(profile["a"], np.sort(np.repeat(values[:, 0], weights)))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_weights_of_any_size(scale: float) -> None:
    random = np.random.default_rng(16)
    values, weights = random.normal(size=20_000), random.random(20_000)
    order = np.argsort(values)
    shares = np.cumsum(weights[order]) / weights.sum()
    curve = Quantiles.of(values[:, None], weights * scale).curve(0)
    assert curve.rank_error() <= 0.002
    got = curve.cumulative(values[order][::100])
    np.testing.assert_allclose(got, shares[::100], atol=0.002)
    for value, share in zip(values[order][::100], shares[::100], strict=True):
        low, high = curve.rank_bounds(value)
        assert low / curve.total <= share * (1 + 1e-12)
        assert high / curve.total >= share * (1 - 1e-12)


def test_without_a_value() -> None:
    for rows in (np.empty((0, 2)), np.full((5, 2), np.nan), np.full((30_000, 2), np.inf)):
        sketch = Quantiles.of(rows)
        assert sketch.flaw() == ""
        assert np.isnan(sketch.at(0.5)).all()
        assert np.isnan(sketch.curve(1).quantile_bounds(0.5)).all()
        assert sketch.curve(0).rank_error() == 0.0
        assert sketch.total.tolist() == [0.0, 0.0]


def test_zeros_of_both_signs_are_one_value() -> None:
    for n in (10, 50_000):
        sketch = Quantiles.of(np.resize([0.0, -0.0], (n, 1)))
        assert len(sketch.keys) == 1
        assert sketch.at(0.5)[0] == 0.0


def flawed() -> dict[str, Quantiles]:
    sketch = Quantiles.of(np.random.default_rng(17).normal(size=(50_000, 2)))

    def altered(name: str, where: int, value: Any) -> Quantiles:
        array = getattr(sketch, name).copy()
        array[where] = value
        return dataclasses.replace(sketch, **{name: array})

    wide = int(np.flatnonzero(sketch.levels > 0)[0])
    return {
        "an end beyond": altered("ends", 1, len(sketch.keys) + 5),
        "an end too early": altered("ends", 1, 3),
        "ends that fall": altered("ends", 0, len(sketch.keys) + 1),
        "an end below 0": altered("ends", 0, -1),
        "keys out of order": altered("keys", 5, np.uint64(0)),
        "a cell twice": Quantiles(np.array([2]), sketch.keys[[0, 0]], sketch.levels[[0, 0]], sketch.counts[[0, 0]]),
        "a cell in one that comes later": Quantiles(
            np.array([2]), np.uint64([1 << 60, 1 << 60]), np.uint8([3, 9]), np.array([1.0, 1.0])
        ),
        "a cell that begins inside itself": altered("keys", wide, sketch.keys[wide] + np.uint64(1)),
        "a level beyond": altered("levels", 2, 65),
        "a level that its key has not": altered("levels", wide, sketch.levels[wide] + 9),
        "a count of 0": altered("counts", 0, 0.0),
        "a count below 0": altered("counts", 3, -1.0),
        "a count that is none": altered("counts", 3, np.nan),
        "an infinite count": altered("counts", 3, np.inf),
        "fewer levels": dataclasses.replace(sketch, levels=sketch.levels[:-1]),
        "more counts": dataclasses.replace(sketch, counts=np.r_[sketch.counts, 1.0]),
        "no ends": dataclasses.replace(sketch, ends=np.empty(0, np.int64)),
    }


@pytest.mark.parametrize("flaw", flawed())
def test_flaws(flaw: str) -> None:
    assert flawed()[flaw].flaw() != ""
