"""Statistics by key: the law for every kind, exact fractions, and the rows of each key alone."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from test_laws import AGREE, STATISTICS, covariances_agree, equal, laws, moments_agree
from tfnorm import grouped as grouped_module
from tfnorm.codec import decode, encode
from tfnorm.covariance import Covariance
from tfnorm.grouped import Grouped, Partition, of_partition, pooled
from tfnorm.quantiles import Quantiles
from tfnorm.statistics import Count, Extremes, Moments, Statistic

RANDOM = np.random.default_rng(17)


key_lists = st.lists(st.sampled_from([None, "a", "b", "c", "é"]), min_size=1, max_size=6)
any_rows = hnp.arrays(
    np.float64,
    st.tuples(st.integers(0, 40), st.just(2)),
    elements=st.one_of(st.floats(-1e6, 1e6), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1e9, 1e9 + 1e-6])),
)


def grouped_equal(a: Grouped, b: Grouped, kind: type | None = None) -> None:
    assert a.keys == b.keys
    assert a.features == b.features
    for one, two in zip(a.statistics, b.statistics, strict=True):
        if kind and isinstance(one, Covariance) and isinstance(two, Covariance):
            for own, other in zip(one.blocks(), two.blocks(), strict=True):
                covariances_agree(own, other)
            continue
        AGREE.get(type(one), equal)(one, two) if kind else equal(one, two)


@pytest.mark.parametrize("kind", STATISTICS)
@laws
@given(
    a=any_rows, b=any_rows, c=any_rows, names=key_lists, weights=st.lists(st.sampled_from([0.0, 1.0, 2.5]), max_size=4)
)
def test_grouped_statistics_add_up(kind: Any, a: Any, b: Any, c: Any, names: list[Any], weights: list[float]) -> None:
    def of(rows: np.ndarray, start: int = 0) -> Grouped:
        by = np.resize(np.array(names, object), 200)[start : start + len(rows)]
        weight = np.resize(weights, 200)[start : start + len(rows)] if weights else None
        return Grouped.of({"k": by}, rows, (kind,), weight)

    whole = of(np.concatenate([a, b]))
    parts = of(a), of(b, len(a)), of(c, len(a) + len(b))
    assert whole.flaw() == ""
    grouped_equal(whole, parts[0] + parts[1], kind)
    grouped_equal((parts[0] + parts[1]) + parts[2], parts[0] + (parts[1] + parts[2]), kind)
    zero = Grouped.nothing(["k"], {kind: 2})
    grouped_equal(zero + parts[0], parts[0])
    grouped_equal(parts[0] + zero, parts[0])
    if len(whole.keys):  # there are some wherever there is a row
        again = decode(Grouped, json.loads(json.dumps(encode(whole))))
        grouped_equal(again, whole)
        assert again.flaw() == ""


@pytest.mark.parametrize("kind", STATISTICS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.uint64, np.int8, bool])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_keys_statistic_is_that_of_its_rows_alone(kind: Any, dtype: Any, masked: bool, weighted: bool) -> None:
    random = np.random.default_rng(3)
    rows = (random.normal(0, 50, (900, 2)) + 60).astype(dtype)
    if dtype in (np.int64, np.uint64):
        rows = rows + dtype(2**61 + 1)
    groups = random.integers(0, 6, 900)
    weight = random.choice([0.0, 1.0, 2.5], 900) if weighted else None
    for features in (1, 2):
        own = rows[:, :features]
        data = np.ma.MaskedArray(own, random.random(own.shape) < 0.2) if masked else own
        found = Grouped.of({"k": groups}, data, (kind,), weight)
        for key in range(6):
            alone = kind.of(data[groups == key], None if weight is None else weight[groups == key])
            mine = found.statistics[0]
            if isinstance(mine, Covariance):
                mine = mine.pick_blocks(np.array([key]))
            else:
                mine = mine.pick(np.array([feature * 6 + key for feature in range(features)]))
            AGREE.get(kind, equal)(mine, alone)


def test_the_statistics_of_a_kind_without_a_kernel_are_those_of_the_rows_too() -> None:
    class Mine(Count):
        pass

    rows, by = RANDOM.normal(size=(50, 3)), RANDOM.integers(0, 4, 50)
    found = Grouped.of({"k": by}, rows, (Mine,)).statistics[0]
    assert found.finite.tolist() == Grouped.of({"k": by}, rows, (Count,)).statistics[0].finite.tolist()


@pytest.mark.parametrize("offset", [0.0, 1e8, 1e12, -1e12])
def test_moments_keep_14_digits_at_any_offset(offset: float) -> None:
    random = np.random.default_rng(5)
    groups = random.integers(0, 50, 20_000)
    x = random.normal(0, 1, 20_000) * 2.0 ** random.integers(-3, 3, 50)[groups] + offset
    found = Grouped.of({"k": groups}, x[:, None]).get(Moments)
    parts = [Grouped.of({"k": groups[i : i + 1000]}, x[i : i + 1000, None]) for i in range(0, 20_000, 1000)]
    added = parts[0]
    for part in parts[1:]:
        added = added + part
    for key in range(50):
        exact = [Fraction(value) for value in x[groups == key].tolist()]
        mean = sum(exact) / len(exact)
        variance = float(sum((value - mean) ** 2 for value in exact) / len(exact))
        for moments in (found, added.get(Moments)):
            assert (
                abs(float(Fraction(moments.mean[key]) + Fraction(moments.mean_low[key]) - mean))
                <= 1e-14 * abs(offset) + 1e-14
            )
            assert abs(moments.variance[key] - variance) <= 1e-13 * variance


def test_pooled_keys_are_all_rows() -> None:
    rows, by = RANDOM.normal(5, 2, (5000, 2)), RANDOM.integers(0, 37, 5000)
    for kind in (Count, Extremes):
        equal(pooled(Grouped.of({"k": by}, rows, (kind,)).statistics[0], 2), kind.of(rows))
    moments_agree(pooled(Grouped.of({"k": by}, rows, (Moments,)).statistics[0], 2), Moments.of(rows))
    covariances_agree(pooled(Grouped.of({"k": by}, rows, (Covariance,)).statistics[0], 2), Covariance.of(rows))


def test_quantiles_by_key_are_within_their_bounds_and_stay_small() -> None:
    random = np.random.default_rng(9)
    by, x = random.integers(0, 3, 60_000), random.lognormal(0, 2, 60_000)
    parts = [Grouped.of({"k": by[i : i + 5000]}, x[i : i + 5000, None], (Quantiles,)) for i in range(0, 60_000, 5000)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    final = total.coarsened().statistics[0]
    assert np.diff(final.ends, prepend=0).max() <= grouped_module.MAX_KEY_CELLS
    for key in range(3):
        ordered = np.sort(x[by == key])
        for q in np.linspace(0, 1, 21):
            low, high = final.curve(key).quantile_bounds(q)
            assert low <= ordered[int(q * (len(ordered) - 1))] <= high
        assert final.curve(key).rank_error() <= 0.005
        ranks = np.searchsorted(ordered, [final.curve(key).quantile(q) for q in (0.05, 0.25, 0.5, 0.75, 0.95)])
        np.testing.assert_allclose(ranks / len(ordered), [0.05, 0.25, 0.5, 0.75, 0.95], atol=0.003)


def test_a_million_rows_of_many_keys_take_no_python_a_key() -> None:
    rows = 1 << 18
    partition = Partition.of({"k": RANDOM.integers(0, 100_000, rows)})
    found = of_partition((Count, Extremes, Moments), partition, RANDOM.normal(size=(rows, 1)))
    assert all(isinstance(one, Statistic) and one.features == len(partition.keys) for one in found)
    assert int(found[0].finite.sum()) == rows
