"""Chains: a later stage is fitted on what the earlier ones give, by pushed statistics or by reading again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

import tfnorm
from tfnorm.errors import ChoiceError, DataError
from tfnorm.techniques import parse

RANDOM = np.random.default_rng(5)
POSITIVE = RANDOM.lognormal(0, 1, (2001, 3))
NORMAL = RANDOM.normal(0, 1, (2001, 3))
MANY = np.random.default_rng(6).lognormal(1, 0.7, 60_000)
SETTINGS = {"power": "power(3)", "clip": "clip(0.2, 3)", "quantile": "quantile(levels=50)"}
ALL = [SETTINGS.get(name, name) for name in tfnorm.TECHNIQUES if "patches" not in name]  # for these rows are no images


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("first", [*ALL, "vast, maxabs", "minmax(clip=True)", "impute('mean'), signed_log"])
def test_any_chain_is_as_one_fit_after_the_other(first: str, exact: bool) -> None:
    x = np.stack([POSITIVE[:201, 0] + 0.1, -POSITIVE[:201, 1], NORMAL[:201, 2] + 0.3], axis=1)
    right = 0
    for data in (x, np.abs(x), np.where(np.abs(x) > 2, np.nan, np.abs(x))):
        for second in ALL if not exact else ("standard", "robust", "yeo_johnson"):
            try:
                chained = tfnorm.fit(data, [*parse(first), *parse(second)], exact=exact).transform(data)
            except (ChoiceError, DataError):  # log1p of what the first gives, say: apart they do not go either
                with pytest.raises((ChoiceError, DataError)):
                    tfnorm.fit(tfnorm.fit(data, first).transform(data), second)
                continue
            between = tfnorm.fit(data, first).transform(data)
            apart = tfnorm.fit(between, second).transform(between)
            np.testing.assert_allclose(chained, apart, rtol=1e-6, atol=1e-6, err_msg=f"{first}, {second}")
            right += 1
    assert right > (5 if exact else 40)


@pytest.mark.parametrize(
    "choice",
    [
        *("log1p, standard", "yeo_johnson, standard", "winsorize, standard", "quantile('normal'), robust"),
        *("clip(1, 5), minmax", "sqrt, winsorize(5, 95), maxabs", "robust, soft_clip, standard", "asinh, box_cox"),
    ],
)
def test_a_profile_tells_what_the_data_would_within_the_stated_bounds(choice: str) -> None:
    exact = tfnorm.fit(MANY[:, None], choice, exact=True).transform(MANY[:, None])[:, 0]
    fitted = tfnorm.fit(tfnorm.scan(MANY[:, None]), choice)
    told = fitted["x"].uncertainty
    last = list(fitted["x"].uncertainty.values())[-1] if told else {}
    off = np.abs(fitted.transform(MANY[:, None])[:, 0] - exact)
    assert np.median(off) <= 3e-3 * (1 + np.median(np.abs(exact)))
    if {"mean", "std"} <= set(last) and "standard" in choice and "yeo" not in choice and "winsorize" not in choice:
        before = tfnorm.fit(tfnorm.scan(MANY[:, None]), choice.rsplit(", ", 1)[0]).transform(MANY[:, None])
        step: Any = fitted.maps["x"]
        center, scale = step.maps[-1].center[0], step.maps[-1].scale[0]
        assert abs(center - before.mean()) <= last["mean"][0]
        assert abs(1 / scale - before.std()) <= last["std"][0]
        assert last["std"][0] < 0.1 * before.std()


laws = settings(
    derandomize=True, max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


@laws
@given(
    values=st.lists(st.floats(-50, 50) | st.just(float("nan")), min_size=2, max_size=40),
    stages=st.lists(st.sampled_from(["signed_log", "impute(1.5)", "clip(-3, 9)", "asinh", "minmax", "robust", "sigmoid"]),
                    min_size=1, max_size=3),
)  # fmt: skip
def test_pushed_statistics_are_those_of_what_was_mapped(values: list[float], stages: list[str]) -> None:
    """Exactly, while every value is kept: moments, extremes, quantiles through anything that rises."""
    x = np.array(values)[:, None]
    if np.isnan(x).all():
        return
    pushed = tfnorm.fit(tfnorm.scan(x), [*stages, "standard"])
    y = tfnorm.fit(x, stages).transform(x) if not np.isnan(x).all() else x
    step: Any = pushed.maps["x"]
    affine = step.maps[-1] if hasattr(step, "maps") else step
    seen = y[~np.isnan(y)]
    size = max(1.0, np.abs(seen).max())
    assert affine.center[0] == pytest.approx(seen.mean(), abs=1e-9 * size)
    if seen.std() > 1e-6:
        assert 1 / affine.scale[0] == pytest.approx(seen.std(), rel=1e-6)


def test_exact_lambda_is_the_likeliest_on_all_data() -> None:
    for shape in (MANY, -MANY, MANY**2 + 5, np.random.default_rng(1).normal(3, 1, 50_000)):
        fitted: Any = tfnorm.fit(shape[:, None], "yeo_johnson", exact=True).maps["x"]
        wanted = stats.yeojohnson_normmax(shape, brack=(fitted.bend[0] - 0.1, fitted.bend[0] + 0.1))
        assert fitted.bend[0] == pytest.approx(wanted, abs=1e-6)
    fitted = tfnorm.fit(MANY[:, None], "box_cox", exact=True).maps["x"]
    assert fitted.bend[0] == pytest.approx(stats.boxcox_normmax(MANY, method="mle"), abs=1e-6)


def test_exact_reads_again_and_is_exact() -> None:
    reads = []

    def batches() -> Iterator[np.ndarray]:
        reads.append(1)
        yield from MANY.reshape(20, -1, 1)

    once = tfnorm.fit(batches, "yeo_johnson, standard")
    passes = len(reads)
    again = tfnorm.fit(batches, "yeo_johnson, standard", exact=True)
    assert len(reads) - passes > passes
    y = again.transform(MANY[:, None])
    assert abs(y.mean()) < 1e-12
    assert y.std() == pytest.approx(1, abs=1e-12)
    assert abs(once.transform(MANY[:, None]).std() - 1) > 1e-7
    assert again["x"].uncertainty == {}
    assert set(once["x"].uncertainty) == {"yeo_johnson", "standard"}


def test_what_no_sketch_tells_is_read_again_or_refused() -> None:
    series = RANDOM.normal(size=(50, 8)) * np.arange(1, 9)
    choice = ["standard", "instance", "standard"]
    between = tfnorm.fit(tfnorm.fit(series, "standard").transform(series), "instance").transform(
        tfnorm.fit(series, "standard").transform(series)
    )
    np.testing.assert_allclose(
        tfnorm.fit(series, choice).transform(series), stats.zscore(between, axis=0), rtol=1e-9, atol=1e-9
    )
    with pytest.raises(ChoiceError, match=r"read again for what follows standard, instance.*only once"):
        tfnorm.fit((part for part in np.split(series, 5)), choice)
    with pytest.raises(ChoiceError, match="a profile has none"):
        tfnorm.fit(tfnorm.scan(series), "standard", exact=True)


def test_data_that_change_between_passes_are_refused() -> None:
    sizes = iter([30, 30, 31, 31, 32, 32])

    def batches() -> Iterator[np.ndarray]:
        yield POSITIVE[: next(sizes)]

    with pytest.raises(DataError, match="changed while they were read"):
        tfnorm.fit(batches, "standard, instance, standard")


def test_what_was_gathered_after_fitted_maps_adds_to_no_other_data(tmp_path: Any) -> None:
    a, b = MANY[:30_000, None], MANY[30_000:, None] * 2
    first, second = (tfnorm.fit(part, "yeo_johnson, standard", exact=True) for part in (a, b))
    both = first + second
    plain = tfnorm.fit(a, "yeo_johnson, standard") + tfnorm.fit(b, "yeo_johnson, standard")
    assert both.maps["x"].maps[0].bend[0] == pytest.approx(plain.maps["x"].maps[0].bend[0], abs=1e-12)  # type: ignore[attr-defined]
    assert both["x"].uncertainty
    for fitted in (first, both):
        fitted.save(tmp_path / "norm.json")
        loaded = tfnorm.load(tmp_path / "norm.json")
        assert loaded == fitted
        assert tfnorm.fit(loaded.profile, "yeo_johnson, standard").fingerprint == fitted.fingerprint


def test_box_cox_of_what_a_stage_gives() -> None:
    with pytest.raises(ChoiceError, match="above 0"):
        tfnorm.fit(POSITIVE, "standard, box_cox")
    got = tfnorm.fit(POSITIVE, "minmax(1, 100), box_cox").transform(POSITIVE)[:, 0]
    scaled = 1 + 99 * (POSITIVE[:, 0] - POSITIVE[:, 0].min()) / np.ptp(POSITIVE[:, 0])
    np.testing.assert_allclose(got, stats.boxcox(scaled)[0], rtol=1e-5, atol=1e-6)


def test_a_further_pass_for_one_column_of_several() -> None:
    random = np.random.default_rng(3)
    data = {"a": random.normal(size=9999), "b": random.lognormal(size=9999)}
    fitted = tfnorm.fit(data, {"a": "standard", "b": "yeo_johnson, standard"}, exact=True)
    assert fitted["b"].uncertainty == {}
    np.testing.assert_allclose(fitted.transform(data)["b"].std(), 1, rtol=1e-12)


@pytest.mark.parametrize("choice", ["yeo_johnson, robust", "log1p, winsorize", "signed_log, robust"])
def test_percentiles_of_what_a_curve_gives_need_no_data(choice: str) -> None:
    x = {"x": np.exp(np.random.default_rng(0).normal(1, 1, 3000))}
    fitted = tfnorm.fit(tfnorm.scan(x), choice)
    np.testing.assert_allclose(fitted.transform(x)["x"], tfnorm.fit(x, choice).transform(x)["x"], rtol=1e-9, atol=1e-9)
