"""scikit-learn's own tests of its scalers, as they come with the installed scikit-learn, run on our equivalents.

Each of theirs that is about StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler or Normalizer runs here, unless it is in
NOT_OURS. What fails is in EXCEPTIONS, with the reason; it must fail, or the list is wrong.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sklearn.preprocessing

import tfnorm.sklearn

NAMES = ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler", "Normalizer")

NOT_OURS = {
    "array_api": "of PyTorch, CuPy and other arrays under SciPy's array API: ours are NumPy's and SciPy's.",
    "test_scale_1d": "the function `scale`, which has no estimator behind it that could be ours; so are the next ones.",
    "callback": "of callbacks, which scikit-learn's base class for them has.",
}
NOT_ROBUST = (
    "`robust` takes the median off and divides by the range, both: no with_centering, with_scaling, unit_variance."
)
CONSTANT = (
    "What did not vary in the fit becomes one value whatever comes, since its unit is not known; theirs divides what is new by "
    "1. What the fit has seen is mapped as theirs does."
)
IN_PLACE = "copy=False: the input is never written to; all before it in that test passes."
EXCEPTIONS = {  # of the whole name of a case
    r"test_min_max_scaler_zero_variance_features": CONSTANT,
    r"test_robust_scaler_zero_variance_features": CONSTANT,
    r"test_maxabs_scaler_zero_variance_features\[.*\]": CONSTANT,
    r"test_scaler_2d_arrays": IN_PLACE,
    r"test_normalizer_l1_l2_max\[.*\]": IN_PLACE,
    r"test_robust_scaler_invalid_range": "Refused with a ValueError, too, in other words.",
    r"test_standard_scaler_near_constant_features\[.*-float64-.*\]": (
        "Asks that columns whose deviation is below what rounding may have done to *its* variance count as constant. Ours is "
        "summed about the mean, so they have a deviation, and it is right to 1e-7; constant is what has one value."
    ),
}


class _Scaler(tfnorm.sklearn.Normalizer):
    """What scikit-learn's scalers can be told and tell, on top of ours."""

    missing, infinite, out_of_range, constant = "keep", "error", "keep", "zero"

    def __init__(self, *, copy: bool = True) -> None:
        self.copy = copy

    def transform(self, X: Any, copy: Any = None) -> Any:
        return super().transform(X)

    @property
    def _profile(self) -> Any:
        return self.fitted_.profile["x"]

    @property
    def n_samples_seen_(self) -> Any:
        number = self._profile.moments.weight if hasattr(self._profile, "moments") else self._profile.count.finite
        return number[0] if (number == number[0]).all() else number


class StandardScaler(_Scaler):
    def __init__(self, *, copy: bool = True, with_mean: bool = True, with_std: bool = True) -> None:
        self.copy, self.with_mean, self.with_std = copy, with_mean, with_std

    @property
    def choice(self) -> str:
        return f"standard(center={self.with_mean}, scale={self.with_std})"

    @property
    def constant(self) -> str:  # type: ignore[override]
        return "zero" if self.with_mean else "keep"

    @property
    def mean_(self) -> Any:
        return self._profile.moments.mean if self.with_mean or self.with_std else None

    @property
    def var_(self) -> Any:
        return self._profile.moments.variance if self.with_std else None

    @property
    def scale_(self) -> Any:
        std = self._profile.moments.std
        return np.where((std > 0) & ~self._profile.extremes.constant, std, 1.0) if self.with_std else None


class MinMaxScaler(_Scaler):
    def __init__(self, feature_range: Any = (0, 1), *, copy: bool = True, clip: bool = False) -> None:
        self.feature_range, self.copy, self.clip = feature_range, copy, clip

    @property
    def choice(self) -> str:
        return f"minmax({self.feature_range[0]}, {self.feature_range[1]}, clip={self.clip})"

    n_samples_seen_ = property(lambda self: self.fitted_.profile.num_rows)
    data_min_ = property(lambda self: self._profile.extremes.minimum)
    data_max_ = property(lambda self: self._profile.extremes.maximum)
    data_range_ = property(lambda self: self.data_max_ - self.data_min_)

    @property
    def scale_(self) -> Any:
        low, high = self.feature_range
        return (high - low) / np.where(self.data_range_ == 0, 1.0, self.data_range_)

    @property
    def min_(self) -> Any:
        return self.feature_range[0] - self.data_min_ * self.scale_


class MaxAbsScaler(_Scaler):
    def __init__(self, *, copy: bool = True, clip: bool = False) -> None:
        self.copy, self.clip = copy, clip

    @property
    def choice(self) -> str:
        return "maxabs, clip(-1, 1)" if self.clip else "maxabs"

    n_samples_seen_ = property(lambda self: self.fitted_.profile.num_rows)

    @property
    def max_abs_(self) -> Any:
        extremes = self._profile.extremes
        return np.maximum(np.abs(extremes.minimum), np.abs(extremes.maximum))

    @property
    def scale_(self) -> Any:
        return np.where(self.max_abs_ == 0, 1.0, self.max_abs_)


class RobustScaler(_Scaler):
    def __init__(
        self,
        *,
        with_centering: bool = True,
        with_scaling: bool = True,
        quantile_range: Any = (25.0, 75.0),
        copy: bool = True,
        unit_variance: bool = False,
    ) -> None:
        self.with_centering, self.with_scaling, self.quantile_range = with_centering, with_scaling, quantile_range
        self.copy, self.unit_variance = copy, unit_variance

    @property
    def choice(self) -> str:
        if not (self.with_centering and self.with_scaling) or self.unit_variance:
            pytest.skip(NOT_ROBUST)
        return f"robust({self.quantile_range[0]}, {self.quantile_range[1]})"

    center_ = property(lambda self: self.fitted_.maps["x"].center)
    scale_ = property(lambda self: 1 / self.fitted_.maps["x"].scale)


class Normalizer(_Scaler):
    def __init__(self, norm: str = "l2", *, copy: bool = True) -> None:
        self.norm, self.copy = norm, copy

    @property
    def choice(self) -> str:
        return {"max": "linf"}.get(self.norm, self.norm)


@contextlib.contextmanager
def ours_in_place() -> Iterator[None]:
    """Their test module makes some estimators when it is imported."""
    before = {name: getattr(sklearn.preprocessing, name) for name in NAMES}
    for name in NAMES:
        setattr(sklearn.preprocessing, name, globals()[name])
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(sklearn.preprocessing, name, value)


def theirs() -> Any:
    found = importlib.util.find_spec("sklearn.preprocessing.tests.test_data")
    if found is None or found.origin is None:
        pytest.skip("this scikit-learn comes without its tests", allow_module_level=True)
    spec = importlib.util.spec_from_file_location("sklearn_test_data", found.origin)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with ours_in_place():
        spec.loader.exec_module(module)
    return module


def about_ours(test: Any) -> bool:
    marks = [str(mark.args) for mark in getattr(test, "pytestmark", ())]
    return any(name in text for name in NAMES for text in (inspect.getsource(test), *marks))


def test_deviations_that_theirs_takes_for_none_are_right() -> None:
    """Why the last of the exceptions is one: against exact fractions."""
    for average in (1e-10, 1.0, 1e10):
        for spread in (1e-15, 1e-8, 1.0):
            x = np.repeat([average + spread, average - spread], 50)
            exact = [Fraction(float(value)) for value in x]
            mean = sum(exact) / len(exact)
            variance = sum((value - mean) ** 2 for value in exact) / len(exact)
            got = StandardScaler(with_mean=False).fit(x[:, None]).scale_[0]
            assert got == pytest.approx(float(variance) ** 0.5 or 1.0, rel=1e-7)


THEIRS = theirs()
for _name, _test in list(vars(THEIRS).items()):
    if _name.startswith("test_") and about_ours(_test) and not any(part in _name for part in NOT_OURS):
        globals()[_name] = _test


@pytest.fixture(autouse=True)
def exceptions(request: pytest.FixtureRequest) -> None:
    for pattern, reason in EXCEPTIONS.items():
        if re.fullmatch(pattern, request.node.name):
            request.node.add_marker(pytest.mark.xfail(strict=True, reason=reason))
