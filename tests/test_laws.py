"""The laws of statistics, over every one there is: adding one adds its tests. What is wrong fails them.

Those of maps and techniques are in test_laws_maps.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfnorm import quantiles
from tfnorm.codec import decode, encode
from tfnorm.covariance import Covariance
from tfnorm.maps import Map
from tfnorm.quantiles import Quantiles
from tfnorm.statistics import Block, Moments, Statistic

laws = settings(
    derandomize=True, max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


def ours(base: type) -> list[type]:
    """All classes below `base` that the package has, not those that tests make."""
    below = [one for child in base.__subclasses__() for one in (child, *ours(child))]
    return [one for one in below if one.__module__.startswith("tfnorm.")]


STATISTICS: list[Any] = ours(Statistic)


def equal(a: Any, b: Any) -> None:
    """Bit for bit, field by field (NaN is NaN)."""
    assert type(a) is type(b)
    for field in dataclasses.fields(a):
        mine, other = getattr(a, field.name), getattr(b, field.name)
        if isinstance(mine, np.ndarray):
            assert mine.dtype == other.dtype
            np.testing.assert_array_equal(mine, other)
        elif isinstance(mine, Map):
            equal(mine, other)
        elif isinstance(mine, tuple) and mine and dataclasses.is_dataclass(mine[0]):
            assert len(mine) == len(other)
            for one, two in zip(mine, other, strict=True):
                equal(one, two)
        elif dataclasses.is_dataclass(mine):
            equal(mine, other)
        else:
            assert mine == other


def moments_agree(a: Moments, b: Moments) -> None:
    """To 1e-13 of the scale that each has: the largest of mean and deviation, the deviation, its powers."""
    np.testing.assert_allclose(a.weight, b.weight, rtol=1e-14)
    for j in range(a.features):
        size = np.maximum(np.abs(a.mean[j] / 2), np.nan_to_num(a.std[j] / 2))
        assert abs(a.mean[j] / 2 - b.mean[j] / 2) <= 1e-13 * size
        if a.weight[j] == 0 or not (a.m2[j] > 0 or b.m2[j] > 0):
            continue
        if size < 1e-290:  # deviations of a few denormal numbers have few digits
            continue
        assert abs(a.std[j] - b.std[j]) <= 1e-13 * a.std[j]
        fourth = a.kurtosis[j] + 3
        assert abs(a.skewness[j] - b.skewness[j]) <= 1e-12 * fourth**0.75
        assert abs(a.kurtosis[j] - b.kurtosis[j]) <= 1e-12 * fourth


def sketches_agree(a: Quantiles, b: Quantiles) -> None:
    """Bit for bit while every value is kept; else, since where blocks end may differ, by bounds that both hold."""
    if not a.levels.any() and not b.levels.any():
        equal(a, b)
    np.testing.assert_allclose(a.total, b.total, rtol=1e-12)
    for j in range(a.features):
        for q in (0.0, 0.25, 0.5, 0.9, 1.0) if a.total[j] else ():
            (low, high), (other_low, other_high) = (one.curve(j).quantile_bounds(q) for one in (a, b))
            assert max(low, other_low) <= min(high, other_high)


def covariances_agree(a: Covariance, b: Covariance) -> None:
    """Rows exactly; means to 1e-13 of the larger of mean and deviation, products to 1e-13 of the two deviations."""
    np.testing.assert_array_equal(a.ends, b.ends)
    np.testing.assert_allclose(a.weight, b.weight, rtol=1e-14)
    np.testing.assert_array_equal(a.left_out, b.left_out)
    first, second = np.array(
        [(i, j) for i in range(a.features) for j in range(i, a.features)]
    ).T  # each pair, row by row
    units = np.ldexp(1.0, b.exponent - a.exponent)
    other = b.products * units[first] * units[second]
    spread = np.sqrt(a.products[first == second])
    size = np.maximum(np.abs(a.mean / 2), np.ldexp(spread / np.sqrt(np.maximum(a.weight, 1)), a.exponent - 1))
    assert (np.abs(a.mean / 2 - b.mean / 2) <= 1e-13 * size).all()
    large = (size > 1e-290)[first] & (size > 1e-290)[second]  # deviations of a few denormal numbers have few digits
    assert (np.abs(a.products - other) <= 2e-13 * spread[first] * spread[second])[large].all()


AGREE: dict[type, Callable[[Any, Any], None]] = {
    Moments: moments_agree,
    Quantiles: sketches_agree,
    Covariance: covariances_agree,
}


def adds_up(kind: Any, a: np.ndarray, b: np.ndarray, weight: np.ndarray | None = None) -> None:
    """S.of(a ++ b) == S.of(a) + S.of(b)."""
    first, second = (None, None) if weight is None else (weight[: len(a)], weight[len(a) :])
    together = kind.of(
        np.ma.concatenate([a, b]) if isinstance(a, np.ma.MaskedArray) else np.concatenate([a, b]), weight
    )
    assert together.flaw() == ""
    AGREE.get(kind, equal)(together, kind.of(a, first) + kind.of(b, second))


def zero_is_neutral(kind: Any, a: np.ndarray) -> None:
    """S.nothing + S.of(a) == S.of(a) == S.of(a) + S.nothing, and S.nothing is the statistic of no rows."""
    value, zero = kind.of(a), kind.nothing(a.shape[1])
    assert zero.flaw() == ""
    assert zero.features == value.features == a.shape[1]
    equal(zero + value, value)
    equal(value + zero, value)
    equal(kind.of(a[:0]), zero)


def adding_is_associative(kind: Any, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    first, second, third = kind.of(a), kind.of(b), kind.of(c)
    AGREE.get(kind, equal)((first + second) + third, first + (second + third))


def columns_stand_alone(kind: Any, a: np.ndarray) -> None:
    """Columns side by side are told of as each alone, also when they are added: what a joint statistic keeps of the law below."""
    columns = [a[:, :1], a, a[:, 1:]] if a.shape[1] > 1 else [a, a]
    parts = [kind.of(column) for column in columns]
    joined = kind.join(parts)
    assert joined.flaw() == ""
    twice = joined + joined
    ends = np.cumsum([column.shape[1] for column in columns])
    for part, end in zip(parts, ends.tolist(), strict=True):
        equal(joined.take(end - part.features, end), part)
        equal(twice.take(end - part.features, end), part + part)


def features_stand_alone(kind: Any, a: np.ndarray) -> None:
    """The statistic of columns side by side is that of each, side by side."""
    columns_stand_alone(kind, a)
    value = kind.of(a)
    if kind.joint:  # its features are told of together, which is what it is for
        equal(value.take(0, a.shape[1]), value)
        return
    parts = [value.take(j, j + 1) for j in range(a.shape[1])]
    equal(kind.join(parts), value)
    for j, part in enumerate(parts):
        (moments_agree if kind is Moments else equal)(part, kind.of(a[:, j : j + 1]))


def scaling_is_weighing(kind: Any, a: np.ndarray, weight: np.ndarray, factor: float) -> None:
    """S.of(a, weight * factor) == S.of(a, weight).scaled(factor), and each feature may have a factor of its own."""
    value = kind.of(a, weight).scaled(factor)
    AGREE.get(kind, equal)(value, kind.of(a, weight * factor))
    equal(value, kind.of(a, weight).scaled(np.full(a.shape[1], factor)))
    assert value.flaw() == ""


any_float = st.floats(allow_nan=True, allow_infinity=True, width=64)
near_constant = st.sampled_from([1e9, 1e9 + 1e-6, 1e9 - 1e-6])
whole_numbers = st.integers(-5, 5).map(float)
elements = st.sampled_from([any_float, st.floats(-1e6, 1e6), near_constant, whole_numbers, st.just(0.1)])


class Rows(list[np.ndarray]):
    """Arrays whose repr is short enough to read."""

    def __repr__(self) -> str:
        return f"{[(len(one), one[:6].tolist()) for one in self]} (number of rows, first rows, which repeat)"


@st.composite
def row_lists(draw: Any, number: int) -> Rows:
    """As many arrays of the same number of features, of few rows and of many."""
    kind, features = draw(elements), draw(st.sampled_from([1, 2, 5]))
    found = Rows()
    for _ in range(number):
        few = draw(hnp.arrays(np.float64, (draw(st.integers(0, 6)), features), elements=kind))
        times = draw(st.sampled_from([1, 1, 1, 40, 700]))
        found.append(np.tile(few, (times, 1)))
    return found


@pytest.mark.parametrize("kind", STATISTICS)
@laws
@given(rows=row_lists(2))
def test_statistics_add_up(kind: Any, rows: Rows) -> None:
    adds_up(kind, *rows)


@pytest.mark.parametrize("kind", STATISTICS)
@laws
@given(rows=row_lists(2), data=st.data())
def test_weighted_statistics_add_up(kind: Any, rows: Rows, data: Any) -> None:
    weights = data.draw(st.lists(st.sampled_from([0.0, 1.0, 2.5, 2.0**-9]), min_size=1, max_size=5))
    adds_up(kind, *rows, weight=np.resize(weights, sum(map(len, rows))))


@pytest.mark.parametrize("kind", STATISTICS)
@laws
@given(rows=row_lists(1), data=st.data())
def test_scaling_is_weighing(kind: Any, rows: Rows, data: Any) -> None:
    weights = data.draw(st.lists(st.sampled_from([0.0, 1.0, 2.5, 2.0**-9]), min_size=1, max_size=5))
    scaling_is_weighing(
        kind, rows[0], np.resize(weights, len(rows[0])), data.draw(st.sampled_from([0.5, 1.0, 2.0**-30]))
    )


@pytest.mark.parametrize("kind", STATISTICS)
@laws
@given(rows=row_lists(2), data=st.data())
def test_statistics_of_nulls_add_up(kind: Any, rows: Rows, data: Any) -> None:
    masks = data.draw(st.lists(st.booleans(), min_size=1, max_size=9))
    adds_up(kind, *(np.ma.MaskedArray(one, np.resize(masks, one.shape)) for one in rows))


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.int8, np.bool_, np.float16, np.float32])
@pytest.mark.parametrize("kind", STATISTICS)
@laws
@given(data=st.data())
def test_statistics_of_every_type_add_up(kind: Any, dtype: Any, data: Any) -> None:
    a, b = (data.draw(hnp.arrays(dtype, (data.draw(st.integers(0, 9)), 2))) for _ in range(2))
    adds_up(kind, a, b)
    zero_is_neutral(kind, a)


@pytest.mark.parametrize("kind", STATISTICS)
@laws
@given(rows=row_lists(1))
def test_zero_is_neutral(kind: Any, rows: Rows) -> None:
    zero_is_neutral(kind, rows[0])


@pytest.mark.parametrize("kind", STATISTICS)
@laws
@given(rows=row_lists(3))
def test_adding_is_associative(kind: Any, rows: Rows) -> None:
    adding_is_associative(kind, *rows)


@pytest.mark.parametrize("kind", STATISTICS)
@laws
@given(rows=row_lists(1))
def test_features_stand_alone(kind: Any, rows: Rows) -> None:
    features_stand_alone(kind, rows[0])


@pytest.mark.parametrize("kind", STATISTICS)
@laws
@given(rows=row_lists(1))
def test_statistics_are_written_and_read(kind: Any, rows: Rows) -> None:
    value = kind.of(rows[0])
    equal(decode(kind, encode(value)), value)
    equal(decode(Statistic, encode(value)), value)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Blocks just long enough that cells hold several values, tallied or sorted as long ones are."""
    monkeypatch.setattr(quantiles, "BLOCK_ROWS", 8192)
    monkeypatch.setattr(quantiles, "SORTED_BELOW", 6000)
    return 8192


def many(seed: int, number: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    kinds = [random.normal(5, 1, number), random.lognormal(0, 4, number), random.integers(0, 99, number) * 1.0]
    return np.where(random.random((number, 3)) < 0.01, np.nan, np.stack(kinds, axis=1))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rest", [0, 1, 5999, 7000])
def test_sketches_add_up_bit_for_bit_after_whole_blocks(small_blocks: int, seed: int, rest: int) -> None:
    a, b = many(seed, 2 * small_blocks), many(seed + 100, small_blocks + rest)
    equal(Quantiles.of(np.concatenate([a, b])), Quantiles.of(a) + Quantiles.of(b))
    adding_is_associative(Quantiles, a, b, many(seed + 200, 3000))
    features_stand_alone(Quantiles, b)


@pytest.mark.parametrize("seed", range(4))
def test_sketches_add_up_within_bounds_after_any_rows(small_blocks: int, seed: int) -> None:
    a, b = many(seed, small_blocks + 77), many(seed + 100, 20_000)
    rows = np.concatenate([a, b])
    together, added = Quantiles.of(rows), Quantiles.of(a) + Quantiles.of(b)
    np.testing.assert_array_equal(together.total, added.total)
    for j in range(3):
        ordered = np.sort(rows[np.isfinite(rows[:, j]), j])
        for q in np.linspace(0, 1, 41):
            for curve in (together.curve(j), added.curve(j)):
                low, high = curve.quantile_bounds(q)
                assert low <= ordered[int(np.floor(q * (len(ordered) - 1)))] <= high
                assert curve.rank_error() <= 0.002


# What is wrong must fail.


@dataclasses.dataclass(frozen=True)
class MeanOfMeans(Statistic):
    """Adds as if both had as many rows."""

    mean: np.ndarray

    @classmethod
    def of_block(cls, block: Block) -> MeanOfMeans:
        rows = block.flat.reshape(-1, block.features)
        return cls(rows.mean(axis=0) if len(rows) else np.zeros(block.features))

    def __add__(self, other: MeanOfMeans) -> MeanOfMeans:
        return MeanOfMeans((self.mean + other.mean) / 2)


@dataclasses.dataclass(frozen=True)
class LastRow(Statistic):
    """Adds up, and takes no rows for a row of zeros."""

    last: np.ndarray

    @classmethod
    def of_block(cls, block: Block) -> LastRow:
        rows = block.flat.reshape(-1, block.features)
        return cls(rows[-1] if len(rows) else np.zeros(block.features))

    def __add__(self, other: LastRow) -> LastRow:
        return other


def test_a_statistic_that_does_not_scale_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Moments, "scaled", Statistic.scaled)
    with pytest.raises(AssertionError):
        scaling_is_weighing(Moments, np.array([[1.0], [2.0]]), np.ones(2), 0.5)


def test_a_wrong_statistic_fails() -> None:
    a, b, c = np.array([[1.0], [2.0]]), np.array([[9.0], [4.0], [7.0]]), np.array([[5.0]])
    for law in (adds_up, zero_is_neutral, adding_is_associative):
        with pytest.raises(AssertionError):
            law(MeanOfMeans, *(a, b, c)[: {adds_up: 2, zero_is_neutral: 1}.get(law, 3)])
    adds_up(LastRow, a, b)
    with pytest.raises(AssertionError):
        zero_is_neutral(LastRow, a)


def test_wrong_moments_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = np.arange(5.0)[:, None], np.arange(9.0)[:, None] ** 2
    right = Moments.__add__
    for name in ("mean", "m2", "m3", "m4", "weight"):

        def wrong(x: Moments, y: Moments, name: str = name) -> Moments:
            return dataclasses.replace(right(x, y), **{name: getattr(right(x, y), name) * (1 + 1e-9)})

        with monkeypatch.context() as patch:
            patch.setattr(Moments, "__add__", wrong)
            with pytest.raises(AssertionError):
                adds_up(Moments, a, b)
    adds_up(Moments, a, b)
