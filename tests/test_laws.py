"""The laws, over every statistic, map and technique there is: adding one adds its tests. What is wrong fails them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tfnorm
from tfnorm import maps as M
from tfnorm import quantiles
from tfnorm.codec import decode, encode
from tfnorm.covariance import Covariance
from tfnorm.errors import NotInvertibleError
from tfnorm.keys import Keys
from tfnorm.maps import Affine, Chain, Clip, Identity, Log1p, Map, RowNorm, chain
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
MAPS: list[Any] = ours(Map)


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


# 1. Statistics add up.


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


# 2. Maps come back.


def comes_back(step: Map, x: np.ndarray) -> None:
    """m.inverse(m.forward(x)) == x, to the rounding of the numbers on the way; or the map says what is lost."""
    assert step.invertible == (not step.lost and not step.limited)
    if step.lost:
        if step.restores_like:
            back = step.inverse_like(step.forward(x, np), x, np)
            np.testing.assert_allclose(back, x, rtol=1e-9, atol=1e-9 * np.abs(x).max(initial=0.0))
        with pytest.raises(NotInvertibleError, match=step.lost[:20]):
            step.inverse(x, np)
        return
    forth = step.forward(x, np)
    back = step.inverse(forth, np)
    assert back.shape == x.shape
    assert forth.shape == step.shape(x.shape)
    assert step.shape(forth.shape, inverse=True) == x.shape
    size = max(np.abs(one).max(initial=1.0) for one in (x, *step.arrays().values()))
    np.testing.assert_allclose(back, x, rtol=1e-12, atol=1e-12 * size)


def features(low: float, high: float) -> Any:
    return hnp.arrays(np.float64, 3, elements=st.floats(low, high))


def turned(center: np.ndarray, angle: float) -> M.Matrix:
    """A turn about the third axis, and a stretch along it."""
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    stretch = np.array([1.0, 1.0, 4.0])
    return M.Matrix(center, np.array([0.0, 1.0, -2.0]), turn * stretch, turn.T / stretch[:, None], kept=3)


affine = st.builds(Affine, features(-1e6, 1e6), features(1e-3, 1e3), features(-5, 5))
near = st.builds(Affine, features(-10, 10), features(1e-2, 1e2), features(-5, 5))
outer = st.builds(Clip, features(-1e6, -1e5), features(1e5, 1e6))
EXAMPLES: dict[type, tuple[Any, tuple[float, float]]] = {  # a map of three features, and what of its domain to try
    Affine: (affine, (-1e6, 1e6)),
    Clip: (st.builds(Clip, features(-1e5, -1e4), features(1e4, 1e5)), (-1e4, 1e4)),
    M.Limit: (st.just(M.Limit(-2.0, 5.0)), (-2, 5)),
    Log1p: (st.just(Log1p()), (-0.999, 1e9)),
    Identity: (st.just(Identity()), (-1e300, 1e300)),
    RowNorm: (st.builds(RowNorm, st.sampled_from([1.0, 2.0, np.inf])), (-1e300, 1e300)),
    M.SignedLog: (st.just(M.SignedLog()), (-1e9, 1e9)),
    M.Asinh: (st.builds(M.Asinh, st.floats(0.01, 100)), (-1e9, 1e9)),
    M.Power: (st.builds(M.Power, st.sampled_from([0.5, 3.0, 1.0, 0.25])), (0.0, 1e6)),
    M.YeoJohnson: (st.builds(M.YeoJohnson, features(0.1, 1.9)), (-100, 100)),
    M.BoxCox: (st.builds(M.BoxCox, features(-1, 2)), (0.1, 100)),
    M.Sigmoid: (st.just(M.Sigmoid()), (-2, 2)),
    M.SmoothClip: (st.builds(M.SmoothClip, st.floats(1, 10)), (-10, 10)),
    M.TukeyTails: (st.builds(M.TukeyTails, features(0, 0.5), features(0, 0.5)), (-100, 100)),
    M.Piecewise: (
        st.just(M.Piecewise(np.tile([0.0, 1.0, 10.0], (3, 1)), np.tile([-1.0, 0.0, 3.0], (3, 1)))),
        (-100, 100),
    ),
    M.Within: (st.builds(M.Within, features(-1e5, -1e4), features(1e4, 1e5)), (-1e4, 1e4)),
    M.Unless: (st.builds(M.Unless, st.just(np.array([1.0, 0.0, 0.0])), near), (-1e6, 1e6)),
    M.Fill: (st.builds(M.Fill, features(-5, 5)), (-1e300, 1e300)),
    M.Present: (st.just(M.Present()), (-1e300, 1e300)),
    M.Instance: (st.builds(M.Instance, st.sampled_from([(), (-1,)])), (-1e100, 1e100)),
    M.ByKey: (
        st.builds(
            lambda center, scale, offset: M.ByKey(
                Keys.of({"store": np.array(["a", "b"])})[0],
                Affine(center.reshape(3, 3), scale.reshape(3, 3), offset.reshape(3, 3)),
                "global",
            ),
            hnp.arrays(np.float64, 9, elements=st.floats(-1e6, 1e6)),
            hnp.arrays(np.float64, 9, elements=st.floats(1e-3, 1e3)),
            hnp.arrays(np.float64, 9, elements=st.floats(-5, 5)),
        ),
        (-1e6, 1e6),
    ),
    M.FillAndMark: (st.builds(M.FillAndMark, features(-5, 5)), (-1e300, 1e300)),
    M.Matrix: (
        st.builds(turned, features(-10, 10), st.floats(-4, 4)),
        (-100, 100),
    ),
    M.Patches: (st.just(M.Patches(2)), (-1e300, 1e300)),
    M.JoinPatches: (st.just(M.JoinPatches(2)), (-1e300, 1e300)),
    Chain: (st.builds(lambda one, clip: Chain((Log1p(), one, clip)), near, outer), (-0.9, 1e4)),
}


SAMPLES: dict[type, tuple[int, ...]] = {M.Patches: (4, 2, 3), M.JoinPatches: (1, 2, 12)}  # shapes that are not (3,)


def test_every_map_has_examples() -> None:
    assert set(EXAMPLES) == set(MAPS)


def drawn(kind: type, data: Any) -> tuple[Map, np.ndarray]:
    maps, (low, high) = EXAMPLES[kind]
    shape = (data.draw(st.sampled_from([1, 2, 7])), *SAMPLES.get(kind, (3,)))
    return data.draw(maps), data.draw(hnp.arrays(np.float64, shape, elements=st.floats(low, high)))


@pytest.mark.parametrize("kind", MAPS)
@laws
@given(data=st.data())
def test_maps_come_back(kind: Any, data: Any) -> None:
    step, x = drawn(kind, data)
    comes_back(step, x)
    assert np.isfinite(step.forward(x, np)).all()
    comes_back(chain(step, Identity()), x)


@pytest.mark.parametrize("kind", MAPS)
@laws
@given(data=st.data())
def test_maps_are_values(kind: Any, data: Any) -> None:
    step, x = drawn(kind, data)
    equal(decode(Map, encode(step)), step)
    equal(step.with_arrays(step.arrays()), step)
    equal(step.at("float64"), step)
    number = x.shape[-1]
    assert step.flaw(number) == ""
    assert bool(step.flaw(number + 1)) == bool(step.arrays() or kind is M.JoinPatches)
    assert step.features(step.width(number)) == number
    assert step.width(number) == step.forward(x, np).shape[-1]
    assert hash(step.settings()) == hash(decode(Map, encode(step)).settings())
    with pytest.raises(dataclasses.FrozenInstanceError):
        step.center = 1  # type: ignore[attr-defined]
    x[0].flat[1] = np.nan
    missing = np.isnan(step.forward(x, np))
    moves = kind in (M.Patches, M.JoinPatches)
    assert missing[0].flat[1] or moves or step.fills  # which are there to end it
    assert not missing[1:].any()
    assert missing.sum() == (0 if step.fills else 1 if step.elementwise or moves else 3)
    if step.invertible and step.fills and step.marks:
        np.testing.assert_array_equal(np.isnan(step.inverse(step.forward(x, np), np)), np.isnan(x))


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


@dataclasses.dataclass(frozen=True)
class ForgetsItsOffset(Map):
    offset: np.ndarray

    def forward(self, x: Any, xp: Any) -> Any:
        return x + self.offset

    def inverse(self, y: Any, xp: Any) -> Any:
        return y


@dataclasses.dataclass(frozen=True)
class Squared(Map):
    """Says that it comes back, and loses the sign."""

    def forward(self, x: Any, xp: Any) -> Any:
        return x * x

    def inverse(self, y: Any, xp: Any) -> Any:
        return xp.sqrt(y)


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


def test_a_wrong_map_fails() -> None:
    for wrong in (ForgetsItsOffset(np.array([1.0])), Squared()):
        with pytest.raises(AssertionError):
            comes_back(wrong, np.array([[-3.0], [2.0]]))


# 3. Techniques: from statistics to a map.

VARIANTS: dict[str, list[str]] = {
    "minmax": ["minmax(-1, 1)", "minmax(low=2, high=5, clip=True)"],
    "standard": ["standard(center=False)", "standard(scale=False)"],
    "robust": ["robust(5, 95)", "robust(0, 100)"],
    "l2": ["l2(axis=None)"],
}
BENT = {  # whose curves, fills and limits have laws of their own: tests/test_curves.py
    *("signed_log", "asinh", "sqrt", "power", "soft_clip", "sigmoid", "tanh", "yeo_johnson", "box_cox", "quantile"),
    *("gaussianize", "clip", "winsorize", "impute", "mask", "instance", "contrast", "vast", "decimal", "pareto"),
    *("whiten", "patches", "join_patches"),  # tests/test_joint.py
}
CHOICES = [text for name in tfnorm.TECHNIQUES if name not in BENT for text in (name, *VARIANTS.get(name, []))]


def statistics_of(choice: str) -> Any:
    """What the technique is solved from."""
    return tfnorm.TECHNIQUES[choice.split("(", maxsplit=1)[0]].statistics


def columns_for(choice: str) -> Iterator[Any]:
    """All magnitudes whose ratios are numbers; some about 1; few different ones."""
    low = -0.99 if choice == "log1p" else -1e150
    yield st.floats(low, 1e150).map(lambda value: value if abs(value) > 1e-150 else 0.0)
    yield st.floats(max(low, -100), 100)
    yield st.integers(0, 3).map(float)


@pytest.mark.parametrize("choice", CHOICES)
@laws
@given(data=st.data())
def test_techniques(choice: str, data: Any) -> None:
    elements = data.draw(st.sampled_from(list(columns_for(choice))))
    x = data.draw(hnp.arrays(np.float64, (data.draw(st.sampled_from([1, 2, 9])), 3), elements=elements))
    fitted = tfnorm.fit(x, choice)
    y = fitted.transform(x)
    assert y.shape == x.shape
    assert np.isfinite(y).all()
    step = fitted.maps["x"]
    equal(decode(Map, encode(step)), step)
    if not step.lost:
        varies = (x != x[0]).any(axis=0) | (not tfnorm.TECHNIQUES[choice.split("(", maxsplit=1)[0]].statistics)
        back = fitted.inverse(y)
        spread = np.ptp(x / 2, axis=0)
        for j in np.flatnonzero(varies & ((spread > 1e-300) | (spread == 0))):
            np.testing.assert_allclose(back[:, j], x[:, j], rtol=1e-12, atol=1e-12 * np.abs(x[:, j]).max())
    unseen = data.draw(hnp.arrays(np.float64, x.shape, elements=elements))
    assert not np.isnan(fitted.transform(unseen)).any()
    x[0, 1] = np.nan
    missing = np.isnan(fitted.transform(x))
    assert missing[0].tolist() == ([False, True, False] if step.elementwise else [True] * 3)
    assert not missing[1:].any()


@pytest.mark.parametrize("choice", [text for text in CHOICES if statistics_of(text)])
@laws
@given(value=st.floats(-1e300, 1e300), unseen=st.floats(allow_nan=False))
def test_a_constant_gives_zero_whatever_comes(choice: str, value: float, unseen: float) -> None:
    value = 0.0 if choice == "maxabs" else value  # there only a column of zeros has no size
    fitted = tfnorm.fit(np.full((5, 1), value), choice)
    low = {"minmax(-1, 1)": -1.0, "minmax(low=2, high=5, clip=True)": 2.0}.get(choice, 0.0)
    assert fitted.transform([[value], [unseen], [0.0]]).tolist() == [[low]] * 3
    assert fitted.inverse([[low]]).tolist() == [[value]]
    assert np.isnan(fitted.transform([[np.nan]])).all()
