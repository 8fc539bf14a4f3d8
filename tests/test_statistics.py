"""Counts, extremes and moments against exact fractions: how many digits, on data that cost others theirs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import scipy.stats

import tfnorm
from tfnorm.engines import Fold
from tfnorm.errors import ChoiceError, DataError
from tfnorm.statistics import Count, Extremes, Moments, prepare

ROWS = 10_000
TINIEST = 5e-324


def exact(values: Any, weights: Any = None) -> tuple[Fraction, Fraction]:
    """Mean and population standard deviation of what is finite, exactly (the root to 39 digits)."""
    pairs = [(v, 1 if weights is None else int(weights[i])) for i, v in enumerate(values) if np.isfinite(v)]
    ratios = [(v.item().as_integer_ratio() if isinstance(v, np.generic) else v.as_integer_ratio(), w) for v, w in pairs]
    shift = max(denominator.bit_length() - 1 for (_, denominator), _ in ratios)
    whole = [(numerator << (shift - denominator.bit_length() + 1), w) for (numerator, denominator), w in ratios]
    n, total = sum(w for _, w in whole), sum(v * w for v, w in whole)
    square = n * sum(v * v * w for v, w in whole) - total * total
    more = max(0, (260 - square.bit_length() + 1) // 2)
    return Fraction(total, n << shift), Fraction(math.isqrt(square << 2 * more), n << (shift + more))


def digits(got: float, right: Fraction) -> float:
    """Correct significant digits (the log relative error), 17 for all."""
    assert math.isfinite(got)
    error = abs(Fraction(float(got)) - right)
    if not error:
        return 17.0
    ratio = error / abs(right) if right else Fraction(1)
    return min(17.0, math.log10(ratio.denominator) - math.log10(ratio.numerator))


def data_sets() -> dict[str, np.ndarray]:
    """The names of the table of faults; every one is built here."""
    random = np.random.default_rng(20)
    normal = random.normal(size=ROWS)
    nist = [np.r_[first, np.tile([first - 0.1, first + 0.1], 500)] for first in (1.2, 1000000.2, 10000000.2)]
    mostly_nan = np.where(random.random(ROWS) < 0.97, np.nan, normal + 1e6)
    return {
        "plain": normal + 3,
        "offset_1e8": normal + 1e8,
        "offset_1e12": normal + 1e12,
        "offset_1e15": normal + 1e15,
        "offset_rel_1e7": normal * 1e-3 + 1e4,
        "kahan_killer": np.resize([1.0, 1e100, 1.0, -1e100], ROWS),
        "big_first": np.r_[1e8, random.random(ROWS - 1)],
        "outlier_first": np.r_[1e12, normal[1:]],
        "alternating": np.resize([1e8 + 1.0, -1e8], ROWS),
        "geometric": np.geomspace(1e-100, 1e100, ROWS),
        "denormals": random.integers(0, 4000, ROWS) * TINIEST,
        "tiny_squares": (normal + 3) * 1e-200,
        "huge_squares": (normal + 3) * 1e200,
        "overflow_1e308": random.uniform(0.5, 1.0, ROWS) * 1.7e308,
        "f32_max": (random.uniform(0.5, 1.0, ROWS) * 3.4e38).astype(np.float32),
        "constant_tenth": np.full(ROWS, 0.1),
        "constant_big": np.full(ROWS, 1e15 + 0.3),
        "long_constant_run": np.r_[np.full(ROWS - 1, 1e9 + 0.1), 1e9 + 0.2],
        "bimodal": np.where(random.random(ROWS) < 0.3, -1e6, 1e6) + normal,
        "cauchy": random.standard_cauchy(ROWS),
        "sorted_up": np.sort(normal + 1e5),
        "sorted_down": np.sort(normal + 1e5)[::-1].copy(),
        "drift": normal + np.linspace(0, 1e6, ROWS),
        "mostly_nan": mostly_nan,
        "nan_first_batches": np.r_[np.full(2560, np.nan), normal[2560:] + 1e3],
        "ints_2_53": 2**53 + random.integers(0, 1000, ROWS),
        "timestamps_ns": 1_700_000_000 * 10**9 + np.sort(random.integers(0, 86_400 * 10**9, ROWS)),
        "pixels": random.integers(0, 256, ROWS).astype(np.uint8),
        "nist_numacc1": np.array([10000001, 10000003, 10000002]),
        **{f"nist_numacc{2 + i}": values for i, values in enumerate(nist)},
        "spread_1e-150": normal * 1e-150,
        "spread_1e150": normal * 1e150,
    }


DATA = data_sets()
FEWER = {
    # mean 0.5 of numbers of 1e100 that cancel: 16 digits of the deviation are none of the mean; it takes exact sums
    "kahan_killer": (-math.inf, 14.0),
    # mean 0.5 of numbers of 1e8 that cancel: 16 digits of the deviation are 7 of the mean
    "alternating": (7.0, 14.0),
    # multiples of 5e-324 whose mean and deviation are not: about 2,000 and 1,150 of them, so the nearest has 3 digits
    "denormals": (3.0, 3.0),
    # the mean is a hundredth of the deviation, so two digits of 16 are cancelled before any sum
    "spread_1e-150": (13.5, 14.0),
    "spread_1e150": (13.5, 14.0),
}


def in_batches(values: np.ndarray, sizes: Iterator[int]) -> Iterator[np.ndarray]:
    start = 0
    while start < len(values):
        size = next(sizes)
        yield values[start : start + size]
        start += size


def always(size: int) -> Iterator[int]:
    while True:
        yield size


def by_chance(seed: int) -> Iterator[int]:
    random = np.random.default_rng(seed)
    while True:
        yield int(random.integers(1, 700))


def one_array(values: np.ndarray) -> Any:
    return values


def batches_of_256(values: np.ndarray) -> Any:
    return lambda: in_batches(values, always(256))


def random_batches(values: np.ndarray) -> Any:
    return lambda: in_batches(values, by_chance(5))


@pytest.mark.parametrize("source", [one_array, batches_of_256, random_batches])
@pytest.mark.parametrize("name", DATA)
def test_digits_of_a_fit(name: str, source: Callable[[np.ndarray], Any]) -> None:
    mean, std = exact(DATA[name])
    if name == "denormals":
        assert 3 < digits(float(std), std) < 14  # what the nearest there is has
    found = tfnorm.fit(source(DATA[name]), "standard").profile["x"]
    least = FEWER.get(name, (14.0, 14.0))
    assert digits(found.mean, mean) >= least[0]
    assert digits(found.std, std) >= least[1]
    assert abs(Fraction(found.mean) - mean) <= max(Fraction(TINIEST), (abs(mean) + std) / 10**15)  # whatever cancels
    assert found.extremes.constant[0] == (name in ("constant_tenth", "constant_big"))


@pytest.mark.parametrize("sizes", [always(7), always(256), by_chance(6)], ids=["7", "256", "random"])
@pytest.mark.parametrize("name", DATA)
def test_digits_of_a_sum_of_many(name: str, sizes: Iterator[int]) -> None:
    fold: Fold[Moments] = Fold(lambda a, b: a + b)
    for batch in in_batches(DATA[name], sizes):
        fold.push(Moments.of(batch[:, None]))
    total = fold.total()
    assert total is not None
    mean, std = exact(DATA[name])
    least = FEWER.get(name, (14.0, 14.0))
    if name == "denormals":  # every sum rounds to a multiple of 5e-324: a handful of those
        assert abs(total.mean[0] - float(mean)) <= 5 * TINIEST
        assert abs(total.std[0] - float(std)) <= 5 * TINIEST
    else:
        assert digits(total.mean[0], mean) >= least[0]
        assert digits(total.std[0], std) >= least[1]


def test_the_certified_values_of_nist() -> None:
    for number, mean, std in ((1, 10000002, 1.0), (2, 1.2, 0.1), (3, 1000000.2, 0.1), (4, 10000000.2, 0.1)):
        values = DATA[f"nist_numacc{number}"].astype(np.float64)
        found = tfnorm.scan(values)["x"]
        n = len(values)
        assert found.mean == pytest.approx(mean, rel=1e-15)
        # they are certified for the decimal numbers, with n - 1; those of float64 differ by the rounding of the data
        assert found.std * math.sqrt(n / (n - 1)) == pytest.approx(std, rel=1e-13 if number < 3 else 1e-8)


@pytest.mark.parametrize("features", [1, 2, 3, 63, 64, 65, 200])
@pytest.mark.parametrize("rows", [1, 3, 64, 1000])
def test_every_width(features: int, rows: int) -> None:
    values = np.random.default_rng(rows).normal(5, 2, (rows, features))
    found = Moments.of(values)
    np.testing.assert_allclose(found.mean, values.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.std, values.std(axis=0), rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(Extremes.of(values).minimum, values.min(axis=0))
    np.testing.assert_array_equal(Extremes.of(values).maximum, values.max(axis=0))
    assert (Count.of(values).finite == rows).all()


@pytest.mark.parametrize("where", [0, 1, 40, 999])
@pytest.mark.parametrize("what", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_counted_and_never_summed(where: int, what: float) -> None:
    values = np.random.default_rng(1).normal(5, 2, (1000, 3))
    values[where, 1] = what
    rest = np.delete(values[:, 1], where)
    moments, count, extremes = Moments.of(values), Count.of(values), Extremes.of(values)
    mean, std = exact(rest)
    assert digits(moments.mean[1], mean) >= 14
    assert digits(moments.std[1], std) >= 14
    assert (extremes.minimum[1], extremes.maximum[1]) == (rest.min(), rest.max())
    assert count.finite.tolist() == [1000, 999, 1000]
    assert (count.nan[1], count.positive_infinite[1], count.negative_infinite[1]) == (
        np.isnan(what),
        what > 0,
        what < 0,
    )
    assert (count.rows == 1000).all()


@pytest.mark.parametrize("share", [0.001, 0.3, 0.97])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_of_which_much_is_not_finite(dtype: type, share: float) -> None:
    random = np.random.default_rng(3)
    values = random.normal(1000, [0.5, 2, 900, 1e-3, 30], (60_001, 5)).astype(dtype)
    kinds = np.array([np.nan, np.inf, -np.inf, 0.0], dtype)
    values = np.where(random.random(values.shape) < share, kinds[random.integers(0, 4, values.shape)], values)
    values[:, 2] = np.nan  # a column without a value beside others
    values[40_000, 1] = 3e38  # far beyond what a few rows show
    moments, count, extremes = Moments.of(values), Count.of(values), Extremes.of(values)
    for j in (0, 1, 3, 4):
        column = values[:, j]
        finite = column[np.isfinite(column)]
        mean, std = exact(finite)
        assert digits(moments.mean[j], mean) >= 14
        assert digits(moments.std[j], std) >= 13
        assert (extremes.minimum[j], extremes.maximum[j]) == (finite.min(), finite.max())
        assert moments.weight[j] == count.finite[j] == len(finite)
        assert count.zero[j] == (finite == 0).sum()
        told = count.nan[j], count.positive_infinite[j], count.negative_infinite[j]
        assert told == (np.isnan(column).sum(), (column == np.inf).sum(), (column == -np.inf).sum())
    assert (moments.weight[2], count.nan[2]) == (0, len(values))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_stands_in_for_missing_values_is_no_extreme(dtype: type) -> None:
    """None of the rows that a block is centered by holds a value, and a center of 0 would serve the sums."""
    values = np.geomspace(1e-3, 1e3, 64).astype(dtype)
    rows = np.full((4096, 1), np.nan, dtype)
    rows[1::64, 0] = values
    extremes, moments = Extremes.of(rows), Moments.of(rows)
    assert (extremes.minimum.item(), extremes.maximum.item()) == (float(values[0]), float(values[-1]))
    assert moments.mean.item() == pytest.approx(math.fsum(values.tolist()) / 64, rel=1e-14)


def test_masked_is_null_and_not_nan() -> None:
    data = np.array([[1.0, np.nan], [np.nan, 5.0], [3.0, 7.0], [99.0, np.inf]])
    mask = [[False, False], [False, False], [False, True], [True, False]]
    rows = np.ma.MaskedArray(data, mask)
    count = Count.of(rows)
    assert count.nan.tolist() == [1, 1]
    assert count.null.tolist() == [1, 1]
    assert count.missing.tolist() == [2, 2]
    assert count.finite.tolist() == [2, 1]
    assert count.positive_infinite.tolist() == [0, 1]
    assert Moments.of(rows).mean.tolist() == [2.0, 5.0]
    assert Extremes.of(rows).maximum.tolist() == [3.0, 5.0]
    alone = np.ma.MaskedArray([[1], [2], [1000]], [[False], [False], [True]])
    assert (Moments.of(alone).mean[0], Count.of(alone).null[0], Count.of(alone).nan[0]) == (1.5, 1, 0)
    # a value under the mask is no value: of a NaN under it only the mask counts
    under = np.ma.MaskedArray([[np.nan], [2.0]], [[True], [False]])
    assert (Count.of(under).null[0], Count.of(under).nan[0]) == (1, 0)
    under = np.ma.MaskedArray([[np.nan, 1.0], [2.0, 3.0]], [[True, False], [False, False]])
    assert (Count.of(under).null.tolist(), Count.of(under).nan.tolist()) == ([1, 0], [0, 0])


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@pytest.mark.parametrize("masked", [False, True])
def test_integers_beyond_float64(dtype: type, masked: bool) -> None:
    top = np.iinfo(dtype).max
    values = np.array([[2**53 + 1], [2**53 + 3], [top], [top - 2], [0]], dtype)
    two = values[:2]
    if masked:  # among others that are null
        two = np.ma.MaskedArray(np.concatenate([two, two[:1] * 0]), [[False], [False], [True]])
    moments, extremes = Moments.of(two), Extremes.of(two)
    assert Fraction(moments.mean[0]) + Fraction(moments.mean_low[0]) == 2**53 + 2
    assert moments.std[0] == 1.0
    assert (extremes.minimum[0], extremes.minimum_low[0]) == (2.0**53, 1.0)
    assert Fraction(extremes.maximum[0]) + Fraction(extremes.maximum_low[0]) == 2**53 + 3
    assert extremes.range[0] == 2.0
    assert not extremes.constant[0]
    both = Extremes.of(values[2:4])
    assert not both.constant[0]
    assert both.range[0] == 2.0
    mean, std = exact(values[:, 0].tolist())
    assert digits(Moments.of(values).mean[0], mean) >= 15
    assert digits(Moments.of(values).std[0], std) >= 15
    assert Count.of(values).zero[0] == 1


def test_integers_beyond_float64_side_by_side_and_added() -> None:
    values = np.array([[2**60 + 1, -(2**62)], [2**60 + 3, 2**62], [2**60 + 5, 2**62 + 1]], np.int64)
    masked = np.ma.MaskedArray(np.r_[values, [[5, 5]]], [[False, False]] * 3 + [[True, True]])
    for rows in (values, masked):
        moments, extremes = Moments.of(rows), Extremes.of(rows)
        assert Fraction(moments.mean[0]) + Fraction(moments.mean_low[0]) == 2**60 + 3
        assert extremes.range.tolist() == [4.0, 2.0**63]
        assert Fraction(extremes.maximum[1]) + Fraction(extremes.maximum_low[1]) == 2**62 + 1
        for feature in range(2):
            _, std = exact(values[:, feature].tolist())
            assert digits(moments.std[feature], std) >= 15
    apart = Moments.of(values[:1]) + Moments.of(values[1:])
    np.testing.assert_allclose(apart.std, Moments.of(values).std, rtol=1e-15)
    assert (Extremes.of(values[:1]) + Extremes.of(values[1:])).range.tolist() == [4.0, 2.0**63]


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32])
def test_whole_numbers_are_the_same_whether_float32_holds_them(dtype: type) -> None:
    few = np.random.default_rng(4).integers(0, 1 << 24, (70_000, 3)).astype(dtype)
    assert prepare(few).flat.dtype == np.float32
    more = np.append(few, [[(1 << 24) + 1] * 3], axis=0).astype(dtype)
    assert prepare(more).flat.dtype == np.float64
    last = more[-1:]
    for kind in (Count, Extremes):
        together, added = kind.of(more), kind.of(few) + kind.of(last)
        assert all(np.array_equal(getattr(together, f.name), getattr(added, f.name)) for f in dataclasses.fields(kind))
    mean, std = exact(more[:, 0])
    for moments in (Moments.of(more), Moments.of(few) + Moments.of(last)):
        assert digits(moments.mean[0], mean) >= 15
        assert digits(moments.std[0], std) >= 14


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.longdouble, np.bool_, np.int8, np.uint16, np.int32, ">f4"]
)
def test_every_number_type(dtype: Any) -> None:
    values = np.random.default_rng(2).integers(0, 2 if dtype is np.bool_ else 100, (5000, 2)).astype(dtype)
    if np.dtype(dtype).kind == "f":
        values = (values / 3).astype(dtype)
    mean, std = exact(values[:, 1].astype(np.float64))
    found = tfnorm.fit(values, "standard").profile["x"]
    assert digits(found.mean[1], mean) >= 14
    assert digits(found.std[1], std) >= 14
    assert found.count.finite.tolist() == [5000, 5000]
    assert found.count.zero[1] == (values[:, 1] == 0).sum()


def test_float16_does_not_overflow() -> None:
    found = Moments.of(np.full((1000, 1), 65504, np.float16) * np.resize([1, -1], (1000, 1)).astype(np.float16))
    assert (found.mean[0], found.std[0]) == (0.0, 65504.0)


@pytest.mark.parametrize("value", [0.1, 1e100, -1e-310, 1e308, 2**53 + 1, 0.0, -7])
@pytest.mark.parametrize("features", [1, 3])
def test_a_constant_is_found_exactly(value: float, features: int) -> None:
    values = np.full((3000, features), value)
    moments, extremes = Moments.of(values), Extremes.of(values)
    assert extremes.constant.all()
    assert (extremes.range == 0).all()
    assert (moments.mean == value).all()
    assert (moments.std == 0).all()
    total = Moments.of(values[:1]) + Moments.of(values[1:1700]) + Moments.of(values[1700:])
    assert (total.std == 0).all()
    assert (total.mean == value).all()
    nearly = values.astype(np.float64)
    nearly[1500] = np.nextafter(float(value), np.inf)
    if value != 2**53 + 1:
        assert not Extremes.of(nearly).constant.any()
        assert (Moments.of(nearly).std > 0).all() or abs(value) < 1e-300


@pytest.mark.parametrize("wide", [1, 4])
def test_whole_weights_are_repetition(wide: int) -> None:
    random = np.random.default_rng(3)
    values, weights = random.normal(1e6, 1, (2000, wide)), random.integers(0, 5, 2000)
    values[::50] = np.nan
    weighted, repeated = Moments.of(values, weights), Moments.of(np.repeat(values, weights, axis=0))
    np.testing.assert_array_equal(weighted.weight, repeated.weight)
    np.testing.assert_allclose(weighted.mean, repeated.mean, rtol=1e-15)
    for name in ("std", "skewness", "kurtosis"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), rtol=1e-9, atol=1e-12)
    mean, std = exact(values[:, 0], weights)
    assert digits(weighted.mean[0], mean) >= 15
    assert digits(weighted.std[0], std) >= 13.5
    seen = values[weights > 0]
    np.testing.assert_array_equal(Extremes.of(values, weights).minimum, np.nanmin(seen, axis=0))
    assert (Count.of(values, weights).rows == 2000).all()  # rows are rows, whatever they weigh


def test_rows_of_weight_0_count_and_add_nothing_else() -> None:
    for rows in (np.array([[0.0], [7.0], [np.nan]]), np.array([[0], [2**60 + 1], [2**62]])):
        weights = np.array([0.0, 1.0, 0.0])
        parts = [Count.of(rows[i : i + 1], weights[i : i + 1]) for i in range(3)]
        assert Count.of(rows, weights) == parts[0] + parts[1] + parts[2]
        assert Count.of(rows, weights).zero.tolist() == [1]
        extremes = Extremes.of(rows, weights)
        assert extremes.constant.all()
        assert Fraction(extremes.minimum[0]) + Fraction(extremes.minimum_low[0]) == int(rows[1, 0])
        assert Moments.of(rows, weights).std.tolist() == [0.0]
        nothing = Extremes.of(rows, np.zeros(3))
        assert (nothing.minimum[0], nothing.maximum[0]) == (np.inf, -np.inf)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1.0, 1e200])
def test_zeros_first_take_nothing_from_what_comes_after(scale: float) -> None:
    values = np.r_[np.zeros(100), np.arange(100.0) * scale]
    mean, std = exact(values)
    for cut in (1, 50, 100, 150):
        total = Moments.of(values[:cut, None]) + Moments.of(values[cut:, None])
        assert digits(total.mean[0], mean) >= 14
        assert digits(total.std[0], std) >= 14
        assert total.kurtosis[0] == pytest.approx(scipy.stats.kurtosis(values / scale), rel=1e-12)


@pytest.mark.parametrize("weights", [None, [1.0, 2.5], [2.5, 2.0**-9, 1.0]])
def test_a_rare_value_at_an_end_that_has_few_digits(weights: list[float] | None) -> None:
    """1e9 is the smallest value, and a round number, and 50 deviations from the mean."""
    values = np.r_[np.full(3000, 1e9 + 1e-6), 1e9, np.nan]
    many = None if weights is None else np.resize(weights, len(values))
    found = Moments.of(values[:, None], many)
    mean, std = exact(values, None if many is None else many * 2**9)
    assert digits(found.mean[0], mean) >= 15
    assert digits(found.std[0], std) >= 14


def test_weights_of_any_size_scale_away() -> None:
    values, weights = np.random.default_rng(4).normal(3, 1, (500, 1)), np.random.default_rng(5).random(500)
    for scale in (1e-9, 1.0, 1e9):
        found = Moments.of(values, weights * scale)
        assert found.mean[0] == pytest.approx(np.average(values[:, 0], weights=weights), rel=1e-14)
        assert found.variance[0] == pytest.approx(
            np.average((values[:, 0] - found.mean[0]) ** 2, weights=weights), rel=1e-13
        )


@pytest.mark.parametrize("weight", [[1.0, -1.0], [1.0, np.nan], [np.inf, 1.0], np.ma.MaskedArray([1.0, 1.0], [0, 1])])
def test_weights_that_are_none(weight: Any) -> None:
    with pytest.raises(DataError, match="weights must be numbers from 0 up"):
        prepare(np.ones((2, 1)), weight)
    with pytest.raises((DataError, ChoiceError), match="weight"):
        tfnorm.fit({"a": [1.0, 2.0], "w": weight}, "standard", weight="w")


def test_weights_of_another_length() -> None:
    with pytest.raises(DataError, match=r"one weight for each of 2 rows, got 3"):
        prepare(np.ones((2, 1)), np.ones(3))


@pytest.mark.parametrize(
    "shape",
    [
        scipy.stats.norm(),
        scipy.stats.expon(),
        scipy.stats.uniform(),
        scipy.stats.gamma(0.3),
        scipy.stats.t(5),
        scipy.stats.norm(1e6),
        scipy.stats.norm(0, 1e-100),
        scipy.stats.norm(0, 1e90),
    ],
)
def test_skewness_and_kurtosis(shape: Any) -> None:
    values = shape.rvs(size=20_000, random_state=6)
    unit = (values - values.mean()) / values.std()  # for scipy, which overflows
    whole = tfnorm.scan(values)["x"]
    parts = Moments.of(values[:50, None]) + Moments.of(values[50:7000, None]) + Moments.of(values[7000:, None])
    for found in (whole.moments, parts):
        assert found.skewness[0] == pytest.approx(scipy.stats.skew(unit), rel=1e-8, abs=1e-8)
        assert found.kurtosis[0] == pytest.approx(scipy.stats.kurtosis(unit), rel=1e-8, abs=1e-8)
    assert whole.skewness == whole.moments.skewness[0]


def test_without_a_value() -> None:
    for rows in (np.empty((0, 2)), np.full((5, 2), np.nan), np.full((5, 2), np.inf)):
        moments, extremes = Moments.of(rows), Extremes.of(rows)
        assert (moments.weight == 0).all()
        assert np.isnan(moments.std).all()
        assert (extremes.minimum == np.inf).all()
        assert (extremes.maximum == -np.inf).all()
        assert extremes.constant.all()
        assert (extremes.range == 0).all()


@pytest.mark.parametrize(
    ("flawed", "said"),
    [
        (Count(*[np.array([-1])] * 6), "from 0 up"),
        (Count(*[np.array([0])] * 5, np.array([1])), "more zeros than values"),
        (Count(*[np.array([1.5])] * 6), "whole number"),
        (Extremes(np.array([2.0]), np.zeros(1), np.array([1.0]), np.zeros(1)), "above its maximum"),
        (Extremes(np.array([np.nan]), np.zeros(1), np.array([1.0]), np.zeros(1)), "not finite"),
        (Moments(*[np.array([-1.0])] * 7), "negative"),
        (Moments(*[np.array([np.nan])] * 7), "not finite"),
        (Moments(*[np.ones(1)] * 3, np.array([0.5]), *[np.ones(1)] * 3), "exponent"),
        (Moments(*[np.ones(1)] * 3, np.array([5000.0]), *[np.ones(1)] * 3), "exponent"),
        (Moments(*[np.ones(1)] * 6, np.ones(2)), "length"),
    ],
)
def test_flaws(flawed: Any, said: str) -> None:
    assert said in flawed.flaw()
