"""What a column looks like after its map, against the mapped data themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import tfnorm
from tfnorm.binning import binned, bins_of, common_view, view
from tfnorm.looks import after, after_each, before, before_each

RNG = np.random.default_rng(5)
DATA = {
    "normal": RNG.normal(100, 5, 5000),
    "skewed": RNG.lognormal(0, 1, 5000),
    "gaps": np.where(RNG.random(5000) < 0.2, np.nan, RNG.random(5000)),
    "zeros": np.where(RNG.random(5000) < 0.9, 0.0, RNG.exponential(size=5000)),
}
PROFILE = tfnorm.scan(DATA)


@pytest.mark.parametrize(
    "technique", ["standard", "minmax(-1, 1)", "yeo_johnson, standard", "quantile", "clip(0.5, 2)"]
)
@pytest.mark.parametrize("name", DATA)
def test_after_is_the_mapped_data(technique: str, name: str) -> None:
    fitted = tfnorm.fit(PROFILE, technique)
    look = after(fitted.profile, name, fitted.maps[name])
    y = fitted[name].transform(DATA[name])
    known = y[np.isfinite(y)]
    assert look.curve is not None
    scale = float(known.std()) or 1.0
    for q, found in zip((0.25, 0.5, 0.75), look.quartiles, strict=True):
        low, high = np.quantile(known, [max(0, q - 0.002), min(1, q + 0.002)])
        assert low - 1e-3 * scale <= found <= high + 1e-3 * scale
    assert (look.minimum, look.maximum) == pytest.approx((known.min(), known.max()))
    assert look.mean == pytest.approx(known.mean(), abs=2e-3 * scale)
    assert look.std == pytest.approx(known.std(), rel=5e-3)
    if known.std():
        skewness = stats.skew(known)
        assert look.skewness == pytest.approx(skewness, abs=0.05 + 0.02 * abs(skewness))
    assert (look.values, look.missing) == (5000, 5000 - len(known))


def test_a_map_that_does_not_rise_is_followed_all_the_same() -> None:
    fitted = tfnorm.fit(tfnorm.scan({"x": RNG.normal(size=3000)}), "power(2)")
    look = after(fitted.profile, "x", fitted.maps["x"])
    assert look.quartiles[1] == pytest.approx(stats.chi2.ppf(0.5, 1), abs=0.05)
    assert look.minimum >= 0


def test_policies_are_seen() -> None:
    fitted = tfnorm.fit(PROFILE, "standard", missing=0)
    assert after(fitted.profile, "gaps", fitted.maps["gaps"]).missing == 0
    assert before(fitted.profile, "gaps").missing == np.isnan(DATA["gaps"]).sum()


def test_several_features_are_seen_together() -> None:
    data = RNG.normal(size=(2000, 5)) * np.arange(1, 6) + np.arange(5) * 10
    fitted = tfnorm.fit(tfnorm.scan({"v": data}), "standard")
    look = after(fitted.profile, "v", fitted.maps["v"])
    y = fitted["v"].transform(data)
    np.testing.assert_allclose(look.quartiles, np.quantile(y, [0.25, 0.5, 0.75]), atol=0.02)
    np.testing.assert_allclose(before(fitted.profile, "v").quartiles, np.quantile(data, [0.25, 0.5, 0.75]), rtol=0.02)


@pytest.mark.parametrize("technique", ["standard", "quantile", "power(2)"])
def test_each_feature_by_itself_is_as_a_column_of_its_own(technique: str) -> None:
    data = np.abs(RNG.normal(size=(800, 3))) * [1, 5, 9]
    data[::7, 1] = np.nan
    joint = tfnorm.fit(tfnorm.scan({"v": data}), technique)
    looks = before_each(joint.profile, "v"), after_each(joint.profile, "v", joint.maps["v"])
    for j in range(3):
        alone = tfnorm.fit(tfnorm.scan({"x": data[:, j]}), technique)
        for look, own in zip(
            looks, (before(alone.profile, "x"), after(alone.profile, "x", alone.maps["x"])), strict=True
        ):
            np.testing.assert_allclose(look[j].quartiles, own.quartiles)
            assert (look[j].values, look[j].missing, look[j].minimum) == pytest.approx(
                (own.values, own.missing, own.minimum)
            )


@pytest.mark.parametrize(
    ("choice", "words"),
    [("l2", "whole sample"), (tfnorm.standard.by("k"), "each key")],
)
def test_what_is_not_known_is_said(choice: object, words: str) -> None:
    data = {"v": RNG.normal(size=(50, 3)), "k": np.arange(50) % 3}
    fitted = tfnorm.fit(data, {"v": choice})
    look = after(fitted.profile, "v", fitted.maps["v"])
    assert look.curve is None
    assert words in look.unknown
    assert np.isnan(look.quartiles).all()


def test_a_fit_without_a_sketch_knows_range_and_moments() -> None:
    fitted = tfnorm.fit(DATA, "standard")
    for look in (before(fitted.profile, "normal"), after(fitted.profile, "normal", fitted.maps["normal"])):
        assert look.curve is None
        assert "scan" in look.unknown
        assert look.minimum < look.mean < look.maximum
    assert look.std == pytest.approx(1)


def test_fences_and_outliers_are_tukeys() -> None:
    look = before(PROFILE, "skewed")
    x = DATA["skewed"]
    low, high = np.quantile(x, [0.25, 0.75])
    assert look.outliers[1] == pytest.approx((x > high + 1.5 * (high - low)).mean(), abs=0.003)
    assert look.outliers[0] == 0
    assert look.fences[0] == x.min()


def test_shares_add_up_to_all() -> None:
    for name in DATA:
        curve = PROFILE[name].curve()
        bins = bins_of(curve, 17)
        assert bins is not None
        assert bins.below + bins.shares.sum() + bins.above == pytest.approx(1)
        known = DATA[name][np.isfinite(DATA[name])]
        counts = np.histogram(known, bins.edges)[0] / len(known)
        np.testing.assert_allclose(bins.shares, counts, atol=0.03)


def test_views() -> None:
    constant, few, none = (tfnorm.scan(np.array(x))["x"].curve() for x in ([3.0, 3.0], [1.0, 2.0], [np.nan]))
    assert (view(constant), view(few), view(none)) == (None, (1.0, 2.0), None)
    assert common_view(constant, few) == (1.0, 3.0)
    assert common_view(constant, constant, none) is None
    assert common_view(constant, tfnorm.scan(np.array([5.0]))["x"].curve()) == (3.0, 5.0)
    assert binned(none, 0.0, 1.0, 3).shares.tolist() == [0, 0, 0]


def test_the_largest_numbers_have_bins() -> None:
    curve = tfnorm.scan(np.array([-1.7e308, 0.0, 1.7e308]))["x"].curve()
    bins = bins_of(curve, 5)
    assert bins is not None
    assert np.isfinite(bins.edges).all()
    assert bins.shares.sum() == pytest.approx(1)
