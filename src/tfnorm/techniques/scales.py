"""Techniques that shift and scale: straight lines.

The one law: where nothing varies the result is a constant, whatever comes.
"""

from __future__ import annotations

import numpy as np

from tfnorm import maps
from tfnorm.errors import ChoiceError
from tfnorm.maps import Affine, Map
from tfnorm.quantiles import Quantiles
from tfnorm.statistics import Extremes, Moments
from tfnorm.techniques.core import technique

# What one technique after another needs: the way from a center and a spread to a map, decided once.


def _scaled(
    center: np.ndarray,
    center_low: np.ndarray,
    spread: np.ndarray,
    low: float = 0.0,
    extent: float | np.ndarray = 1.0,
    varies: np.ndarray | None = None,
) -> Affine:
    """`low + extent * (x - center) / spread`; `low` where the spread is 0 or nothing varies, whatever x is."""
    usable = (spread > 0) & np.isfinite(spread) if varies is None else varies & (spread > 0) & np.isfinite(spread)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        scale = np.where(usable, np.minimum(extent / np.where(usable, spread, 1.0), np.finfo(np.float64).max), 0.0)
    known = np.isfinite(center)
    offset = low - np.where(usable, center_low, 0.0) * scale
    return Affine(np.where(known, center, 0.0), scale, offset, has_constant=bool((scale == 0).any()))


def _distance(low: np.ndarray, high: np.ndarray, exact: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """From low to high as (spread, extent), spread / extent being the distance: half of it where float64 holds no more."""
    with np.errstate(invalid="ignore", over="ignore"):
        whole = high - low if exact is None else exact
        wide = np.isinf(whole)
        return np.where(wide, high / 2 - low / 2, whole), np.where(wide, 0.5, 1.0)


@technique
def minmax(extremes: Extremes, low: float = 0.0, high: float = 1.0, clip: bool = False) -> Map:
    """low + (high - low) * (x - min) / (max - min)

    Into [low, high], the ends reached by the smallest and the largest value of the fit. Keeps the order and the shape of
    the distribution, not zero; one outlier squeezes all the rest. New values may fall outside unless `clip` is True; what is
    clipped comes back as the end. Choose it for bounded data (pixels, shares) and for models that want bounded inputs.
    A constant column becomes `low`.

    >>> import tfnorm
    >>> tfnorm.fit([[1.0], [2.0], [5.0]], "minmax").transform([[3.0]])
    array([[0.5]])

    scikit-learn's MinMaxScaler, but subtracted first: (x - min) * scale keeps digits that x * scale + min_ loses.
    """
    if not low < high:
        raise ChoiceError(f"minmax: low must be below high, got low={low!r} and high={high!r}.")
    span = extremes.range
    wide = np.isinf(span)  # the range is beyond float64: from the middle, half of it is not
    halves = np.where(wide, extremes.maximum / 2 - extremes.minimum / 2, span)
    middle = np.where(
        wide, np.where(wide, extremes.minimum, 0.0) / 2 + np.where(wide, extremes.maximum, 0.0) / 2, extremes.minimum
    )
    low_part = np.where(wide, 0.0, extremes.minimum_low)
    extent = np.where(wide, (high - low) / 2, high - low)
    start = np.where(wide, (high + low) / 2, low)
    fitted = _scaled(middle, low_part, halves, 0.0, 1.0)
    with np.errstate(over="ignore"):
        scale = fitted.scale * extent
        # rounding must not carry the largest value beyond `high`
        for _ in range(4):
            beyond = halves * scale + start > high
            scale = np.where(beyond & ~wide, np.nextafter(scale, 0.0), scale)
    affine = Affine(
        fitted.center, scale, np.where(scale == 0, low, start + fitted.offset * extent), fitted.has_constant
    )
    if not clip:
        return affine
    return maps.chain(affine, maps.Clip(np.full(len(scale), float(low)), np.full(len(scale), float(high))))


@technique
def rescale(extremes: Extremes, low: float = 0.0, high: float = 255.0) -> Map:
    """(x - low) / (high - low)

    From limits that are known into [0, 1]: the fit learns nothing but which columns are constant. Keeps the order and the
    shape of the distribution, and zero where `low` is 0. Choose it for what is bounded by design (pixels, percentages, marks
    from 0 to 20): the numbers do not depend on which rows were seen. A constant column becomes 0.

    >>> import tfnorm
    >>> tfnorm.fit([[3.0], [51.0]], "rescale(0, 255)").transform([[51.0]])
    array([[0.2]])

    Keras' Rescaling(1 / 255).
    """
    if not low < high:
        raise ChoiceError(f"rescale: low must be below high, got low={low!r} and high={high!r}.")
    features = extremes.features
    spread, extent = _distance(np.full(features, float(low)), np.full(features, float(high)))
    center = np.where(extremes.constant, extremes.minimum, low)  # so that a constant comes back
    return _scaled(center, np.zeros(features), spread, extent=extent, varies=~extremes.constant)


@technique
def standard(moments: Moments, extremes: Extremes, center: bool = True, scale: bool = True) -> Map:
    """(x - mean) / std

    To mean 0 and population standard deviation 1 (z-score). Keeps order and shape, not zero unless `center` is False;
    outliers stay outliers and widen the deviation. Choose it for features that look Gaussian and as the default for
    networks and linear models. A constant column becomes 0.

    >>> import tfnorm
    >>> tfnorm.fit([[1.0], [2.0], [3.0]], "standard").transform([[3.0]]).round(6)
    array([[1.224745]])

    scikit-learn's StandardScaler, Keras' Normalization; the divisor is the population's (n, not n - 1) in all three.
    """
    ones = np.ones(moments.features)
    spread = moments.std if scale else np.where(extremes.constant, 0.0, 1.0) if center else ones
    varies = ~extremes.constant if center or scale else ones > 0
    zero = np.zeros(moments.features)
    held = np.where(extremes.constant & scale, moments.mean, 0.0)  # so that a constant comes back
    middle, low = (moments.mean, moments.mean_low) if center else (held, zero)
    return _scaled(middle, low, spread, varies=varies)


@technique
def maxabs(extremes: Extremes) -> Map:
    """x / max|x|

    Into [-1, 1]. Keeps zero, sign, order and shape; one outlier squeezes all the rest. Choose it where zero has a meaning
    (mostly-zero features, signed amplitudes). A column of zeros stays 0.

    >>> import tfnorm
    >>> tfnorm.fit([[-4.0], [0.0], [2.0]], "maxabs").transform([[2.0]])
    array([[0.5]])

    scikit-learn's MaxAbsScaler.
    """
    empty = extremes.minimum > extremes.maximum
    largest = np.where(empty, 0.0, np.maximum(np.abs(extremes.minimum), np.abs(extremes.maximum)))
    zero = np.zeros(extremes.features)
    return _scaled(zero, zero, largest)


@technique
def robust(quantiles: Quantiles, extremes: Extremes, low: float = 25.0, high: float = 75.0) -> Map:
    """(x - median) / (percentile(high) - percentile(low))

    To median 0 and a range of 1 between two percentiles. Keeps order and shape, not zero; outliers stay far out but
    move nothing else. Choose it for heavy tails and faulty readings. Where the percentiles coincide although the
    column varies (more than half the values equal, say), it is only centered; a constant column becomes 0.

    64-bit integers beyond 2**53 are ranked as float64 rounds them, and subtracted with all their bits: median and percentiles
    are within one float64 step at the column's offset (256 at 2**60). Where the range is no more than some of these, choose
    `minmax` or `standard`, whose numbers are exact there.

    >>> import tfnorm
    >>> tfnorm.fit([[1.0], [2.0], [3.0], [4.0], [1000.0]], "robust").transform([[5.0]])
    array([[1.]])

    scikit-learn's RobustScaler; percentiles come from a sketch, exact up to 4,096 values and within 0.002 in rank beyond.
    """
    if not 0 <= low < high <= 100:
        raise ChoiceError(
            f"robust: percentiles must satisfy 0 <= low < high <= 100, got low={low!r} and high={high!r}."
        )
    middle, bottom, top = quantiles.at([0.5, low / 100, high / 100], extremes)
    spread, extent = _distance(bottom, top)
    varies = ~extremes.constant
    spread = np.where(varies & (spread == 0), 1.0, spread)
    return _scaled(middle, np.zeros(len(middle)), spread, extent=extent, varies=varies)


@technique
def mean_range(moments: Moments, extremes: Extremes) -> Map:
    """(x - mean) / (max - min)

    To mean 0 and a range of 1 ("mean normalization"). Keeps order and shape, not zero; an outlier squeezes all the rest.
    Choose it where bounded inputs about 0 are wanted. A constant column becomes 0.

    >>> import tfnorm
    >>> tfnorm.fit([[0.0], [1.0], [2.0]], "mean_range").transform([[2.0]])
    array([[0.5]])

    feature-engine's MeanNormalizationScaler.
    """
    spread, extent = _distance(extremes.minimum, extremes.maximum, extremes.range)
    return _scaled(moments.mean, moments.mean_low, spread, extent=extent)


@technique
def center(moments: Moments, extremes: Extremes) -> Map:
    """x - mean

    To mean 0, in the input's units. Keeps order, shape and spread, not zero. Choose it before a model with its own scale, or
    where units matter. A constant column becomes 0.

    >>> import tfnorm
    >>> tfnorm.fit([[1.0], [2.0], [6.0]], "center").transform([[6.0]])
    array([[3.]])

    scikit-learn's StandardScaler(with_std=False).
    """
    varies = ~extremes.constant
    return _scaled(moments.mean, moments.mean_low, np.where(varies, 1.0, 0.0), varies=varies)


@technique
def pareto(moments: Moments, extremes: Extremes) -> Map:
    """(x - mean) / sqrt(std)

    To mean 0, the spread drawn together without being made equal: large deviations stay larger than small ones. Keeps order and
    shape, not zero. Choose it where the size of a feature's variation tells something (spectra, metabolomics). A constant
    column becomes 0.

    >>> import tfnorm
    >>> tfnorm.fit([[0.0], [8.0]], "pareto").transform([[8.0]])
    array([[2.]])

    van den Berg et al. 2006, "Centering, scaling, and transformations: improving the biological information content".
    """
    return _scaled(moments.mean, moments.mean_low, np.sqrt(moments.std), varies=~extremes.constant)


@technique
def vast(moments: Moments, extremes: Extremes) -> Map:
    """(x - mean) / std * (mean / std)

    Variable stability scaling: the z-score weighted by the inverse of the coefficient of variation, so features that vary
    little for their size count more. Keeps order (turned about where the mean is negative) and shape. Choose it for positive
    measurements whose stable ones matter. Where the mean is 0, and for a constant column, the result is 0.

    >>> import tfnorm
    >>> tfnorm.fit([[8.0], [12.0]], "vast").transform([[12.0]])
    array([[5.]])

    Keun et al. 2003, "Improved analysis of multivariate data by variable stability scaling".
    """
    steady = np.where(
        extremes.constant | (moments.std == 0), 0.0, moments.mean / np.where(moments.std > 0, moments.std, 1.0)
    )
    plain = _scaled(moments.mean, moments.mean_low, moments.std, varies=~extremes.constant)
    steady = np.where(np.isfinite(steady), steady, 0.0)
    scale = plain.scale * steady
    return Affine(plain.center, scale, plain.offset * steady, has_constant=bool((scale == 0).any()))


@technique
def decimal(extremes: Extremes) -> Map:
    """x / 10**j, j the least whole number with max|x| / 10**j < 1

    Moves the decimal point, into (-1, 1). Keeps zero, sign, order, shape and the digits people read. Choose it where people go
    on reading the numbers. A column of zeros stays 0.

    >>> import tfnorm
    >>> tfnorm.fit([[-986.0], [917.0]], "decimal").transform([[917.0]])
    array([[0.917]])

    Han, Kamber & Pei, "Data Mining: Concepts and Techniques", "normalization by decimal scaling".
    """
    empty = extremes.minimum > extremes.maximum
    largest = np.where(empty, 0.0, np.maximum(np.abs(extremes.minimum), np.abs(extremes.maximum)))
    unit = np.array([_power_of_ten_above(value) for value in largest])
    zero = np.zeros(extremes.features)
    return _scaled(zero, zero, unit)


def _power_of_ten_above(value: float) -> float:
    """The least power of ten above a number from 0 up; 0 for 0."""
    if value == 0:
        return 0.0
    exponent = int(np.floor(np.log10(value)))
    for power in (exponent, exponent + 1, exponent + 2):  # the logarithm may be rounded up or down
        if power < 309 and float(f"1e{power}") > value:
            return float(f"1e{power}")
    return float(np.finfo(np.float64).max)


@technique
def identity() -> Map:
    """x

    Keeps everything: the column stays as it is, and the fit says so. Choose it for columns that are on their scale already.

    >>> import tfnorm
    >>> tfnorm.fit([[7.0]], "identity").transform([[7.0]])
    array([[7.]])

    scikit-learn's "passthrough".
    """
    return maps.Identity()
