"""The techniques that bend, fill and limit, against SciPy and scikit-learn, and their layer against NumPy."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import QuantileTransformer

import tfnorm
from tfnorm.errors import ChoiceError, NotInvertibleError

RANDOM = np.random.default_rng(51)
NORMAL = RANDOM.normal(size=(1500, 3))
POSITIVE = np.exp(NORMAL)
FIXED: dict[str, Any] = {
    "signed_log": lambda x: np.sign(x) * np.log1p(np.abs(x)),
    "asinh(scale=0.5)": lambda x: np.arcsinh(x / 0.5),
    "power(3)": lambda x: x**3,
    "soft_clip(2)": lambda x: x / np.sqrt(1 + (x / 2) ** 2),
    "clip(-1, 1)": lambda x: np.clip(x, -1, 1),
    "center": lambda x: x - x.mean(axis=0),
    "pareto": lambda x: (x - x.mean(axis=0)) / np.sqrt(x.std(axis=0)),
    "vast": lambda x: stats.zscore(x) * x.mean(axis=0) / x.std(axis=0),
    "decimal": lambda x: x / 10.0 ** np.ceil(np.log10(np.abs(x).max(axis=0))),
    "sigmoid": lambda x: 1 / (1 + np.exp(-stats.zscore(x))),
    "tanh": lambda x: 0.5 * (np.tanh(0.01 * stats.zscore(x)) + 1),
    "winsorize(5, 95)": lambda x: np.clip(x, *np.percentile(x, [5, 95], axis=0)),
    "instance": lambda x: stats.zscore(x, axis=1),
    "contrast(scale=2, bias=1)": lambda x: 2 * (x - x.mean(1, keepdims=True)) / np.sqrt(1 + x.var(1, keepdims=True)),
}
OF_POSITIVE: dict[str, Any] = {"sqrt": np.sqrt, "power(-0.5)": lambda x: x**-0.5}
FORGETS = ("instance", "contrast", "mask", "clip", "winsorize")


@pytest.mark.parametrize("choice", [*FIXED, *OF_POSITIVE])
def test_as_the_formula_has_it(choice: str) -> None:
    x = NORMAL if choice in FIXED else POSITIVE
    fitted = tfnorm.fit(x, choice)
    y = fitted.transform(x)
    np.testing.assert_allclose(y, {**FIXED, **OF_POSITIVE}[choice](x), rtol=1e-9, atol=1e-9)
    if not choice.startswith(FORGETS):
        np.testing.assert_allclose(fitted.inverse(y), x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", ["lognormal", "negative", "shifted"])
def test_lambda_is_the_likeliest(shape: str) -> None:
    x = {"lognormal": POSITIVE, "negative": -POSITIVE, "shifted": NORMAL * 3 + 2}[shape]
    bends = tfnorm.fit(x, "yeo_johnson").maps["x"].bend  # type: ignore[attr-defined]
    for j, bend in enumerate(bends):
        assert bend == pytest.approx(stats.yeojohnson(x[:, j])[1], abs=1e-6)
        expected = stats.yeojohnson(x[:, j], bend)
        np.testing.assert_allclose(tfnorm.fit(x, "yeo_johnson").transform(x)[:, j], expected, rtol=1e-9, atol=1e-9)
    if shape == "lognormal":
        for j, bend in enumerate(tfnorm.fit(x, "box_cox").maps["x"].bend):  # type: ignore[attr-defined]
            assert bend == pytest.approx(stats.boxcox(x[:, j])[1], abs=1e-5)


def test_box_cox_refuses_what_is_not_above_zero() -> None:
    with pytest.raises(ChoiceError, match="yeo_johnson"):
        tfnorm.fit(NORMAL, "box_cox")


@pytest.mark.parametrize("output", ["uniform", "normal"])
def test_quantile_as_scikit_learn(output: str) -> None:
    peer = QuantileTransformer(output_distribution=output, n_quantiles=len(NORMAL), subsample=None).fit(NORMAL)
    fitted = tfnorm.fit(NORMAL, f"quantile('{output}', levels={len(NORMAL)})")
    y, expected = fitted.transform(NORMAL), peer.transform(NORMAL)
    inner = np.abs(expected) < 5  # the extremes of its normal output are -5.2 and 5.2 whatever there is
    np.testing.assert_allclose(y[inner], expected[inner], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fitted.inverse(y), NORMAL, rtol=1e-9, atol=1e-9)
    beyond = np.array([[99.0] * 3, [-99.0] * 3])
    np.testing.assert_allclose(fitted.inverse(fitted.transform(beyond)), beyond, rtol=1e-9)


def test_gaussianize_finds_the_tails() -> None:
    z = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    x = (z * np.exp(np.where(z < 0, 0.1, 0.2) * z * z / 2) * 3 + 7)[:, None]
    fitted = tfnorm.fit(x, "gaussianize")
    y = fitted.transform(x)
    np.testing.assert_allclose(y[:, 0], z, atol=0.03)
    np.testing.assert_allclose(fitted.inverse(y), x, rtol=1e-9)


@pytest.mark.parametrize("value", ["mean", "median"])
def test_impute_as_scikit_learn(value: str) -> None:
    x = np.where(NORMAL > 1, np.nan, NORMAL)
    expected = SimpleImputer(strategy=value).fit_transform(x)
    np.testing.assert_allclose(tfnorm.fit(x, f"impute('{value}')").transform(x), expected, rtol=1e-12)
    assert np.array_equal(tfnorm.fit(x, "mask").transform(x), (~np.isnan(x)).astype(float))


def test_reversible_instance_normalization() -> None:
    """A forecast on the normalized scale goes back by the series it belongs to, whatever its length."""
    series = RANDOM.normal(size=(20, 30, 2)).cumsum(axis=1) + 1e4
    fitted = tfnorm.fit(series, "instance(axis=-2)")
    y = fitted.transform(series)
    np.testing.assert_allclose(y, stats.zscore(series, axis=1), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fitted.inverse(y[:, -5:], like=series), series[:, -5:], rtol=1e-12)
    for fitted in (tfnorm.fit(series, "standard"), tfnorm.fit(series, "standard")["x"]):
        with pytest.raises(ChoiceError, match="like="):
            fitted.inverse(series, like=series)


def test_what_forgets_says_so() -> None:
    with pytest.raises(NotInvertibleError, match="like"):
        tfnorm.fit(NORMAL, "instance").inverse(NORMAL)


@pytest.mark.parametrize(
    "choice", ["yeo_johnson", "quantile", "gaussianize", "sigmoid", "winsorize", "impute", "decimal"]
)
def test_constants_and_columns_without_values_are_finite(choice: str) -> None:
    x = np.stack([np.full(5, 3.0), np.arange(5.0), np.full(5, np.nan)], axis=1)
    y = tfnorm.fit(x, choice).transform(x)
    assert np.isfinite(y[:, :2]).all()


@pytest.mark.parametrize(
    "choice", [*FIXED, "yeo_johnson", "quantile", "quantile('normal')", "gaussianize", "impute", "mask"]
)
@pytest.mark.parametrize(("dtype", "apart"), [("float32", 4e-6), ("float64", 1e-11)])
def test_the_layer_is_what_numpy_gives(choice: str, dtype: str, apart: float) -> None:
    x = NORMAL.astype(dtype)
    fitted = tfnorm.fit(x, choice)
    y = fitted.layer(dtype=dtype)(x).numpy()
    expected = fitted.transform(x.astype("float64"))
    assert np.max(np.abs(y - expected) / (1 + np.abs(expected))) < apart


@pytest.mark.parametrize("name", list(tfnorm.TECHNIQUES))
def test_the_examples_are_right(name: str) -> None:
    examples = doctest.DocTestParser().get_doctest(tfnorm.TECHNIQUES[name].__doc__ or "", {}, name, None, 0)
    said: list[str] = []
    assert doctest.DocTestRunner(verbose=False).run(examples, out=said.append).failed == 0, "".join(said)
