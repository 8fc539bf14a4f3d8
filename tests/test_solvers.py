"""What is solved on a sketch of many values, against the same values: L-moments by Hosking's sums, lambda by SciPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

import tfnorm
from tfnorm.curve import Curve
from tfnorm.quantiles import Quantiles
from tfnorm.statistics import Extremes
from tfnorm.techniques import solvers, tails

Draw = Callable[[np.random.Generator, int], np.ndarray]


def tukey(h: float, g: float = 0.0) -> Draw:
    """Tails of h on the right and of g on the left."""

    def draw(random: np.random.Generator, size: int) -> np.ndarray:
        z = random.standard_normal(size)
        return 5 + 2 * z * np.exp(np.where(z > 0, h, g) * z * z / 2)

    return draw


def l_moments(x: np.ndarray) -> np.ndarray:
    """The first four of a sample, without bias (Hosking 1990)."""
    x, n = np.sort(x), len(x)
    below = np.arange(n)
    share = [np.ones(n)]
    for k in (1, 2, 3):
        share.append(share[-1] * (below - k + 1) / (n - k))
    b = [float((x * weight).mean()) for weight in share]
    return np.array([b[0], 2 * b[1] - b[0], 6 * b[2] - 6 * b[1] + b[0], 20 * b[3] - 30 * b[2] + 12 * b[1] - b[0]])


def curve(x: np.ndarray) -> Curve:
    column = x[:, None]
    return Quantiles.of(column).coarsened().curve(0, Extremes.of(column))


@pytest.mark.parametrize("size", [100_000, 1_000_000])
@pytest.mark.parametrize(
    ("right", "left"), [(0.0, 0.0), (0.1, 0.1), (0.2, 0.0), (0.4, 0.4), (0.5, 0.1), (0.5, 0.5), (0.7, 0.7)]
)
def test_tails_are_those_of_the_values(right: float, left: float, size: int) -> None:
    for seed in range(3):
        x = tukey(right, left)(np.random.default_rng(seed), size)
        exact, found = l_moments(x), solvers.l_moments(tails.tailed(curve(x)))
        np.testing.assert_allclose(found / exact[1], exact / exact[1], atol=0.1 if max(left, right) > 0.5 else 0.025)
        step: Any = tfnorm.fit(x[:, None], "gaussianize").maps["x"]
        if right + left == 0:
            continue
        found_tails = (float(step.maps[1].left[0]), float(step.maps[1].right[0]))
        within = 0.04 if max(left, right) > 0.5 else 0.02
        expected = solvers.tukey_tails(*(exact[2:] / exact[1]))
        assert found_tails == pytest.approx(expected, abs=within)
        # what chance leaves of so many values is no matter of the sketch
        assert tuple(expected) == pytest.approx((left, right), abs=2 * within)


SHAPES: dict[str, tuple[Draw, float]] = {  # how it is drawn, and how near lambda is
    "lognormal": (lambda r, n: r.lognormal(0, 0.5, n), 2e-3),
    "wide lognormal": (lambda r, n: r.lognormal(0, 2, n), 2e-3),
    "lognormal over decades": (lambda r, n: r.lognormal(0, 10, n), 2e-3),
    "gamma": (lambda r, n: r.gamma(2, size=n), 2e-3),
    "exponential": (lambda r, n: r.exponential(size=n), 2e-3),
    "chi-squared": (lambda r, n: r.chisquare(1, n), 2e-3),
    "Pareto": (lambda r, n: r.pareto(3, n) + 1, 2e-3),
    "thousands": (lambda r, n: r.gamma(3, 1000, n), 2e-3),
    "negative": (lambda r, n: -r.gamma(2, size=n), 2e-3),
    "both signs": (lambda r, n: r.gamma(2, size=n) - 1, 4e-3),
    "uniform": (lambda r, n: r.uniform(-1, 2, n), 2e-3),
    "beta": (lambda r, n: r.beta(2, 5, n), 2e-3),
    "normal": (lambda r, n: r.normal(3, 2, n), 5e-3),
    "Weibull": (lambda r, n: r.weibull(3, n), 5e-3),
    "Student's t": (lambda r, n: r.standard_t(4, n), 1e-2),
    "counts": (lambda r, n: r.poisson(3, n) * 1.0, 5e-3),
}


@pytest.mark.parametrize("size", [20_000, 300_000])
@pytest.mark.parametrize("shape", SHAPES)
def test_lambda_is_scipys(shape: str, size: int) -> None:
    draw, within = SHAPES[shape]
    x = draw(np.random.default_rng(size), size)
    step: Any = tfnorm.fit(x[:, None], "yeo_johnson").maps["x"]
    assert step.bend[0] == pytest.approx(stats.yeojohnson_normmax(x), abs=within)
    if x.min() > 0:
        step = tfnorm.fit(x[:, None], "box_cox").maps["x"]
        assert step.bend[0] == pytest.approx(stats.boxcox_normmax(x, method="mle"), abs=within)


def test_what_lies_across() -> None:
    x = np.random.default_rng(4).standard_cauchy(700_000)
    x[:50_000] = 3.0
    found = curve(x)
    at = np.unique(np.concatenate([found.low, found.high, found.low + 0.01]))
    expected = [int(((found.low < v) & (v < found.high)).sum()) for v in at]
    assert found.across(at).tolist() == expected
    for v in at[found.across(at) == 0]:  # there the rank is known
        below = float(found.count[found.high < v].sum())
        assert below <= (x <= v).sum() <= float(found.count[found.low <= v].sum())


@pytest.mark.parametrize("scale", [1e-300, 1e-3, 1.0, 1e300])
@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_tails_keep_the_mass_and_the_order(scale: float, shift: float) -> None:
    random = np.random.default_rng(6)
    for x in (random.standard_cauchy(50_000), np.round(random.normal(size=50_000) * 3), random.pareto(1, 9_000)):
        found = curve((np.clip(x, -1e6, 1e6) + shift) * scale)
        pieces, before = tails.tailed(found), found.pieces()
        low, high, mass = pieces
        assert mass.sum() == pytest.approx(before[2].sum())
        assert (mass >= 0).all()
        assert (low <= high).all()
        assert (np.diff(low) >= 0).all()
        assert low[0] == pytest.approx(before[0][0], rel=1e-12, abs=1e-12 * abs(before[1][-1]))
        assert high[-1] == pytest.approx(before[1][-1], rel=1e-12)


@pytest.mark.parametrize(
    "x", [[3.0], [1.0, 2.0], [5.0] * 9000, [0.0] * 8000 + [1.0], [-1.0] + [0.0] * 8000 + [1.0, 2.0]]
)
def test_few_different_values(x: list[float]) -> None:
    low, high, mass = tails.tailed(curve(np.array(x)))
    assert (low[0], high[-1], mass.sum()) == (min(x), max(x), len(x))
    single = low == high
    assert set(low[single]) <= set(x)
    assert mass[~single].sum() <= 2  # of the last two of the last, one lies anywhere between 0 and the largest
