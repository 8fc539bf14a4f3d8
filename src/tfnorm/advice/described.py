"""What a column is, in a few numbers: bounds, zeros, ties, modes, whole numbers, outliers.

The one law: what is said of a column is read off its statistics; features of a vector are taken together, those that are
looked at standing for all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfnorm.advice.distribution import Distribution
from tfnorm.curve import Curve
from tfnorm.profile import Column, ColumnProfile
from tfnorm.statistics import Count, Extremes, Moments

BY_TYPE = {"uint8": (0.0, 255.0), "bool": (0.0, 1.0)}  # all that a type can hold, where that is what is measured
USUAL_ENDS = (1.0, 15.0, 16.0, 100.0, 255.0)  # of scales that features share
SHARING = 0.2  # the share of features that reach the common ends, so that they are taken for those of the scale
NORMAL_IQR = 1.349  # of a normal distribution of deviation 1


@dataclass(frozen=True)
class Described:
    """A column in numbers; shares are of the values that are there, unless said otherwise."""

    column: Column
    rows: int  # values in all, missing ones too; rows times features
    missing: float  # the share of all
    infinite: float  # the share of all
    zeros: float
    low: float
    high: float
    mean: float
    std: float
    skewness: float  # the mean over features
    kurtosis: float  # in excess of a normal distribution's, the mean over features
    median: float
    robust_z: float  # of the value farthest from the median, in deviations as the quartiles tell them; NaN where they coincide
    outliers: float  # the share beyond 8 such deviations
    whole: bool  # whether all values are whole numbers, as far as the sketch tells
    distinct: int | None  # different values; None where there are more than the sketch keeps apart
    heaviest: float  # the share of the value that is there most often, as far as the sketch tells
    uneven: float  # how far from evenly spread between the ends, in rank: 0 to 1; NaN for vectors
    modes: int  # heaps
    constant: bool  # of all features one value each
    constant_features: int
    bounds: tuple[float, float] | None  # between what values lie by design

    @property
    def offset(self) -> float:
        """|mean| in deviations."""
        return abs(self.mean) / self.std if self.std > 0 else 0.0

    @property
    def vector(self) -> bool:
        return bool(self.column.shape)


def described(profile: ColumnProfile, distribution: Distribution) -> Described:
    """What is known of a column.

    >>> import tfnorm
    >>> from tfnorm.advice.distribution import distribution_of
    >>> column = tfnorm.scan({"age": [22.0, 38.0, 26.0, 0.0]})["age"]
    >>> found = described(column, distribution_of(column))
    >>> found.zeros, found.whole, found.distinct, found.bounds
    (0.25, True, 4, None)
    """
    column, count = profile.column, profile.get(Count)
    rows, finite = int(count.rows.sum()), max(1, int(count.finite.sum()))
    extremes: Extremes = profile.get(Extremes)
    known = extremes.minimum <= extremes.maximum
    moments: Moments = distribution.statistics[Moments]
    curves = [curve for curve in distribution.curves if len(curve.count)]
    whole = column.dtype.startswith(("int", "uint", "bool")) or (bool(curves) and all(map(_whole, curves)))
    weight = moments.weight.sum()
    middle = float((moments.mean * moments.weight).sum() / weight) if weight else 0.0
    around = float((moments.variance * moments.weight).sum() / weight) if weight else 0.0
    between = float(((moments.mean - middle) ** 2 * moments.weight).sum() / weight) if weight else 0.0
    distances = [_robust(curve) for curve in curves]
    return Described(
        column,
        rows,
        float(count.missing.sum()) / max(1, rows),
        float(count.infinite.sum()) / max(1, rows),
        float(count.zero.sum()) / finite,
        float(extremes.minimum[known].min()) if known.any() else np.nan,
        float(extremes.maximum[known].max()) if known.any() else np.nan,
        middle,
        float(np.sqrt(around + between)),
        _mean(moments.skewness),
        _mean(moments.kurtosis),
        float(np.median([curve.quantile(0.5) for curve in curves])) if curves else np.nan,
        max((far for far, _ in distances), default=np.nan),
        float(np.mean([share for _, share in distances])) if distances else 0.0,
        whole,
        _distinct(curves) if column.features == 1 else None,
        max((_heaviest(curve) for curve in curves), default=0.0),
        _uneven(curves[0]) if column.features == 1 and curves else float("nan"),
        _modes(curves[0]) if column.features == 1 and curves else 1,
        bool(extremes.constant[known].all()) and bool(known.any()),
        int((extremes.constant & known).sum()),
        _bounds(column, extremes, whole=whole),
    )


def _mean(values: np.ndarray) -> float:
    """Of those features that have one."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def _whole(curve: Curve) -> bool:
    """Whether every cell holds a whole number: one by itself, or one between its ends."""
    largest = max(abs(float(curve.low.min())), abs(float(curve.high.max())))
    return largest < 1 << 53 and bool(
        (np.ceil(curve.low) <= np.floor(curve.high)).all()
    )  # beyond, every float64 is whole


def _distinct(curves: list[Curve]) -> int | None:
    """How many different values there are, where each is kept by itself."""
    if any((curve.low < curve.high).any() for curve in curves):
        return None
    return sum(len(curve.count) for curve in curves)


def _heaviest(curve: Curve) -> float:
    return float(curve.count[curve.low == curve.high].max(initial=0.0) / curve.total)


def _uneven(curve: Curve) -> float:
    """The largest distance from the even distribution between the ends (Kolmogorov and Smirnov's)."""
    low, high = float(curve.low.min()), float(curve.high.max())
    if not low < high:
        return 1.0
    edges = np.linspace(low, high, 65)
    return float(np.abs(curve.cumulative(edges) - np.linspace(0.0, 1.0, 65)).max())


def _robust(curve: Curve) -> tuple[float, float]:
    """How far the farthest value is from the median, and which share is farther than 8, in deviations by the quartiles."""
    first, median, third = curve.quantiles(np.array([0.25, 0.5, 0.75]))
    unit = (third - first) / NORMAL_IQR
    if not unit > 0:
        return float("nan"), 0.0
    away = np.maximum(np.abs(curve.low - median), np.abs(curve.high - median)) / unit
    return float(away.max()), float(curve.count[away > 8.0].sum() / curve.total)


def _modes(curve: Curve, bins: int = 24) -> int:
    """Heaps of a histogram between the 1 % and the 99 % quantile: peaks with a valley of half their height on either side."""
    low, high = curve.quantiles(np.array([0.01, 0.99]))
    if not low < high or curve.total < 50:
        return 1
    edges = np.linspace(low, high, bins + 1)
    heights = np.convolve(np.diff(curve.cumulative(edges)), [0.25, 0.5, 0.25], mode="same")
    modes, top, bottom = 0, 0.0, 0.0
    rising = True
    for height in [*heights.tolist(), 0.0]:
        if rising:
            top = max(top, height)
            if height < top / 2 and top > 2 / bins / 3:
                modes, rising, bottom = modes + 1, False, height
        else:
            bottom = min(bottom, height)
            if height > 2 * bottom and height > 2 / bins / 3:
                rising, top = True, height
    return max(1, modes)


def _bounds(column: Column, extremes: Extremes, *, whole: bool) -> tuple[float, float] | None:
    """What the type can hold, where that is a scale; or a usual scale whose ends many features of whole numbers share."""
    if column.dtype in BY_TYPE and column.dtype != "bool":
        return BY_TYPE[column.dtype]
    varies = ~extremes.constant & (extremes.minimum < extremes.maximum)
    if column.features < 2 or not whole or not varies.any():
        return None
    low, high = float(extremes.minimum[varies].min()), float(extremes.maximum[varies].max())
    at_ends = (extremes.minimum[varies] == low).mean(), (extremes.maximum[varies] == high).mean()
    return (low, high) if low == 0 and high in USUAL_ENDS and min(at_ends) >= SHARING else None
