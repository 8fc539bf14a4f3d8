"""Techniques that set limits and fill gaps: what is outside, what is missing.

The one law: a value within the limits, and there, stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tfnorm import maps
from tfnorm.errors import ChoiceError
from tfnorm.maps import Map
from tfnorm.quantiles import Quantiles
from tfnorm.statistics import Extremes, Moments
from tfnorm.techniques.core import technique


@technique
def clip(low: float, high: float) -> Map:
    """min(max(x, low), high)

    Fixed limits, in the input's units. Keeps what is within; what is beyond comes back as the limit. Choose it for limits that
    are known (a sensor's range, a percentage).

    >>> import tfnorm
    >>> tfnorm.fit([[1.0], [500.0]], "clip(0, 100)").transform([[500.0]])
    array([[100.]])

    numpy.clip.
    """
    if not low < high:
        raise ChoiceError(f"clip: low must be below high, got low={low!r} and high={high!r}.")
    return maps.Limit(float(low), float(high))


@technique
def winsorize(quantiles: Quantiles, extremes: Extremes, low: float = 1.0, high: float = 99.0) -> Map:
    """min(max(x, percentile(low)), percentile(high))

    Sets what lies beyond two percentiles to them. Keeps the rest as it is; what is beyond comes back as the percentile. Choose
    it against outliers before a technique that minds them: `["winsorize", "minmax"]`. A constant column stays as it is.

    >>> import tfnorm
    >>> tfnorm.fit([[float(i)] for i in range(101)], "winsorize(5, 95)").transform([[0.0], [50.0], [1000.0]])
    array([[ 5.],
           [50.],
           [95.]])

    SciPy's mstats.winsorize, feature-engine's Winsorizer; percentiles come from a sketch, exact up to 4,096 values and within
    0.002 in rank beyond.
    """
    if not 0 <= low < high <= 100:
        raise ChoiceError(
            f"winsorize: percentiles must satisfy 0 <= low < high <= 100, got low={low!r} and high={high!r}."
        )
    bottom, top = quantiles.at([low / 100, high / 100], extremes)
    known = np.isfinite(bottom) & np.isfinite(top)
    largest = np.finfo(np.float64).max  # a column without values sets no limit
    return maps.Clip(np.where(known, bottom, -largest), np.where(known, top, largest))


def _of_value(value: object, indicator: object) -> Sequence[str]:  # noqa: ARG001
    return {"mean": ["moments"], "median": ["quantiles", "extremes"]}.get(str(value), ["extremes"])


@technique(only=_of_value)
def impute(
    moments: Moments,
    quantiles: Quantiles,
    extremes: Extremes,
    value: float | Literal["mean", "median"] = 0.0,
    indicator: bool = False,
) -> Map:
    """x, or `value` where x is missing

    Fills NaN and null with a number, or with the column's mean or median. Keeps all other values; what was missing comes back
    as what it was filled with. Choose it last, after the technique that scales ("standard, impute"), where 0 is the mean. A
    column without values is filled with 0.

    `indicator`: beside the values, as many marks, 1 where a value was missing and 0 elsewhere: features first, then their
    marks. Then what was missing comes back missing. An array (n, d) becomes (n, 2 d), one of numbers (n,) becomes (n, 2). In a
    mapping or table the marks get a column of their own: "age" stays, and "age_missing" is put after it. The marks are no part
    of the scale: choose it last.

    >>> import tfnorm
    >>> tfnorm.fit([[1.0], [float("nan")], [3.0]], "impute('mean')").transform([[float("nan")]])
    array([[2.]])
    >>> fitted = tfnorm.fit({"age": [1.0, None, 3.0]}, "impute('mean', indicator=True)")
    >>> fitted.transform({"age": [1.0, float("nan")]})
    {'age': array([1., 2.]), 'age_missing': array([0., 1.])}

    scikit-learn's SimpleImputer; with its add_indicator, which marks only the features that had missing values at the fit.
    """
    if value == "mean":
        filling = np.where(moments.weight > 0, moments.mean, 0.0)
    elif value == "median":
        filling = quantiles.at(0.5, extremes)
    else:
        filling = np.full(extremes.features, float(value))
    filling = np.where(np.isfinite(filling), filling, 0.0)
    return maps.FillAndMark(filling) if indicator else maps.Fill(filling)


@technique
def mask() -> Map:
    """1 where x is there, 0 where it is missing

    Turns a column into its mask, for a model that is told what was missing. Forgets the values, so it has no inverse. Choose
    it for a copy of the column, beside the imputed one.

    >>> import tfnorm
    >>> tfnorm.fit([[1.0], [float("nan")]], "mask").transform([[7.0], [float("nan")]])
    array([[1.],
           [0.]])

    scikit-learn's MissingIndicator, the other way about.
    """
    return maps.Present()
