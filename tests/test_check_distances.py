"""Distances from sketches: those of SciPy and of hand, and bounds that hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfnorm
from tfnorm.curve import Curve
from tfnorm.drift import chance
from tfnorm.drift.distances import (
    HALF,
    Shares,
    bin_edges,
    jensen_shannon,
    kolmogorov_smirnov,
    snapped,
    stability_index,
)

stats = pytest.importorskip("scipy.stats")
distance = pytest.importorskip("scipy.spatial.distance")

PAIRS = {
    "same": lambda rng, n: rng.normal(size=n),
    "moved": lambda rng, n: rng.normal(0.4, 1.0, n),
    "wider": lambda rng, n: rng.normal(0.0, 2.0, n),
    "rounded": lambda rng, n: np.round(rng.normal(size=n), 1),
    "zeros": lambda rng, n: np.where(rng.random(n) < 0.5, 0.0, rng.normal(size=n)),
    "counts": lambda rng, n: rng.poisson(1.0, n).astype(float),
    "far": lambda rng, n: rng.normal(100.0, 1.0, n),
}


def curve(values: np.ndarray) -> Curve:
    return tfnorm.scan({"x": values})["x"].curve()


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("rows", [(300, 500), (4000, 4000), (100_000, 60_000)])
def test_ks_is_scipys(name: str, rows: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    one, two = rng.normal(size=rows[0]), PAIRS[name](rng, rows[1])
    found = kolmogorov_smirnov(curve(one), curve(two))
    exact = stats.ks_2samp(one, two).statistic
    assert found.low - 1e-12 <= exact <= found.high + 1e-12
    assert found.value == pytest.approx(exact, abs=1e-12 if max(rows) <= 4096 else 0.003)
    assert found.high - found.low <= (1e-12 if max(rows) <= 4096 else 0.008)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("rows", [(2000, 3000), (100_000, 60_000)])
def test_psi_and_js_are_those_of_the_same_bins(name: str, rows: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    one, two = PAIRS["zeros"](rng, rows[0]), PAIRS[name](rng, rows[1])
    edges = bin_edges(curve(one), 0.005)
    sides = (Shares.of(curve(values), edges, len(values)) for values in (one, two))
    p, q = sides
    bins = np.concatenate([[-np.inf], edges, [np.inf]])
    exact = []
    for values in (one, two):  # bins end with their edge, as np.histogram's begin with it
        counted = np.histogram(-values, -bins[::-1])[0][::-1]
        exact.append((counted + HALF) / (len(values) + HALF * len(counted)))
    psi, js = stability_index(p, q), jensen_shannon(p, q)
    by_hand = sum((b - a) * math.log(b / a) for a, b in zip(*exact, strict=True))
    by_scipy = distance.jensenshannon(*exact, base=2)
    assert psi.low - 1e-9 <= by_hand <= psi.high + 1e-9
    assert js.low - 1e-9 <= by_scipy <= js.high + 1e-9
    few = max(rows) <= 4096
    assert psi.value == pytest.approx(by_hand, rel=1e-9 if few else 0.05, abs=1e-9 if few else 1e-3)
    assert js.value == pytest.approx(by_scipy, rel=1e-7 if few else 0.05, abs=1e-6 if few else 2e-3)


def test_bins_are_of_equal_share_and_heavy_values_have_their_own() -> None:
    rng = np.random.default_rng(0)
    normal = bin_edges(curve(rng.normal(size=50_000)), 0.001)
    assert normal == pytest.approx(stats.norm.ppf(np.arange(1, 10) / 10), abs=0.03)
    zeros = bin_edges(curve(PAIRS["zeros"](rng, 50_000)), 0.001)
    assert 0.0 in zeros
    assert zeros[zeros < 0].max() > -0.01  # less than a bin's worth below it
    assert len(zeros) > 9
    assert bin_edges(curve(np.array([0.0, 1.0] * 500)), 0.01).tolist() == [-5e-324, 0.0, 1.0]
    assert len(bin_edges(curve(rng.normal(size=100)), 0.4)) == 1


values = st.lists(st.integers(-6, 6).map(float) | st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(values, values)
def test_distances_of_any_values(one: list[float], two: list[float]) -> None:
    a, b = curve(np.array(one)), curve(np.array(two))
    found, back = kolmogorov_smirnov(a, b), kolmogorov_smirnov(b, a)
    with np.errstate(all="ignore"):  # SciPy's own, for one value
        exact = stats.ks_2samp(one, two, method="asymp").statistic
    assert found.value == pytest.approx(exact, abs=1e-12)
    assert (found.value, found.low, found.high) == pytest.approx((back.value, back.low, back.high), abs=1e-12)
    assert kolmogorov_smirnov(a, a).value == 0
    edges = bin_edges(a, 0.05)
    assert (np.diff(edges) > 0).all()
    p, q = Shares.of(a, edges, len(one)), Shares.of(b, edges, len(two))
    psi, js = stability_index(p, q), jensen_shannon(p, q)
    assert 0 <= psi.low <= psi.value + 1e-12 <= psi.high + 2e-12
    assert 0 <= js.low <= js.value + 1e-7 <= js.high + 2e-7 <= 1 + 3e-7
    assert stability_index(p, p).value == 0


def test_numbers_that_were_rounded_find_back() -> None:
    onto = np.array([-1.0, 0.1, 0.2, 1e6])
    rounded = np.float32(onto).astype(float)
    assert snapped(rounded, onto, 2.0**-20, 1.0).tolist() == onto.tolist()
    assert snapped(np.array([0.15]), onto, 2.0**-20, 1.0).tolist() == [0.15]
    assert snapped(rounded, onto, 0.0, 1.0).tolist() == rounded.tolist()
    assert snapped(np.array([3.0]), np.array([3.0]), 0.1, 1.0).tolist() == [3.0]


# What chance does


def test_limits_of_shares_hold() -> None:
    for share, n in ((0.0, 100), (0.3, 50), (1.0, 20), (0.02, 5000)):
        low, high = chance.share_bounds(share, n, 0.01)
        exact = stats.binomtest(round(share * n), n).proportion_ci(0.99)  # Clopper and Pearson's, which are narrower
        assert low <= exact.low + 1e-12
        assert high >= exact.high - 1e-12


def test_exceeding_is_the_hypergeometric_probability() -> None:
    for k, n, m in ((1, 10, 90), (3, 50, 20), (5, 5, 7)):
        exact = math.comb(n, k) / math.comb(n + m, k)
        assert chance.exceeding(k, n, m) == pytest.approx(exact, rel=1e-9)
    assert chance.exceeding(0, 10, 10) == 1


@pytest.mark.parametrize("bins", [2, 5, 10, 20])
@pytest.mark.parametrize("level", [1e-2, 1e-4, 1e-7])
def test_the_noise_of_psi_is_above_the_chi_squared_quantile(bins: int, level: float) -> None:
    unit = 1 / 1000 + 1 / 5000
    exact = unit * stats.chi2.isf(level, bins - 1)
    assert exact <= chance.psi_noise(bins, 1000, 5000, level) <= 2.2 * exact
    assert chance.psi_expected(bins, 1000, 5000) == pytest.approx(unit * (bins - 1))


def test_the_noise_of_ks_is_above_the_exact_quantile() -> None:
    for n, m, level in ((50, 80, 1e-2), (200, 200, 1e-4), (1000, 300, 1e-3)):
        noise = chance.ks_noise(n, m, level)
        tail = stats.kstwo.sf(noise, round(n * m / (n + m)))
        assert tail <= level
