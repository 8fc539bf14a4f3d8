"""Statistics through maps: what is known of x, said of m(x), without the data.

The one law: `push(S.of(x), m)` is `S.of(m.forward(x))`: exactly for extremes, for quantiles of values kept one by one, and for
moments through straight lines; within the bounds that the sketch has for moments through curves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from tfnorm.covariance import Covariance
from tfnorm.curve import Curve, quantiles_of
from tfnorm.maps import Affine, Chain, Clip, Fill, Identity, Limit, Map
from tfnorm.quantiles import Quantiles
from tfnorm.statistics import Count, Extremes, Moments, Statistic

Statistics = Mapping[type[Statistic], Any]

_NODES = np.array([-np.sqrt(0.6), 0.0, np.sqrt(0.6)])  # Gauss and Legendre's, exact to the fifth power
_WEIGHTS = np.array([5.0, 8.0, 5.0]) / 18.0


@dataclass(frozen=True)
class Pushed:
    """What is known of mapped data."""

    statistics: dict[type[Statistic], Any]
    bounds: tuple[np.ndarray, np.ndarray] | None = None  # how far mean and deviation may be from exact, if they may


def push(known: Statistics, step: Map, wanted: Collection[type[Statistic]]) -> Pushed:
    """The wanted statistics of the mapped data, as far as those of the data tell them: none through what does not rise."""
    steps = step.maps if isinstance(step, Chain) else (step,)
    if all(isinstance(one, Identity) for one in steps):
        return Pushed({kind: known[kind] for kind in wanted if kind in known})
    extremes = known.get(Extremes)
    rises = all(one.elementwise and (one.rises or isinstance(one, Fill)) for one in steps)
    filled = _filled(known) if any(isinstance(one, Fill) for one in steps) else np.zeros(1)
    if extremes is None or not rises or filled is None:
        return Pushed({})
    found: dict[type[Statistic], Any] = {Extremes: _extremes(extremes, steps, filled)}
    straight = _is_straight(extremes, steps) and not filled.any()
    if Covariance in wanted and straight and Covariance in known:
        found[Covariance] = known[Covariance].pushed(step)
    lines = Moments in wanted and straight and Moments in known
    if lines:
        found[Moments] = _through_lines(known[Moments], step, steps)
    if Quantiles in known and (Quantiles in wanted or (Moments in wanted and not lines)):
        curves = known[Quantiles]
        whole = [curves.curve(j, extremes) for j in range(curves.features)]
        every: tuple[Curve, ...] = ()
        if Quantiles in wanted or any(
            (one.high > one.low).any() for one in whole
        ):  # of single values there are no bounds
            every = tuple(_curve(one, step, steps, j, filled) for j, one in enumerate(whole))
            found[Quantiles] = Curves(every)
        if lines or Moments not in wanted:
            return Pushed(found)
        nodes = []
        for j, one in enumerate(whole):
            low, high, mass = one.pieces()
            nodes.append(_nodes(*_with_filling(low, high, mass, j, filled), step, j))
        found[Moments] = _moments(nodes)
        bounds = np.array([_bounds(one) for one in every]).T
        return Pushed(found, (bounds[0], bounds[1]) if bounds.any() else None)
    return Pushed(found)


def _filled(known: Statistics) -> np.ndarray | None:
    """How many missing values are there to be filled, (features,); None where that is not known."""
    count, quantiles = known.get(Count), known.get(Quantiles)
    if (
        count is None or quantiles is None or (quantiles.total != count.finite).any()
    ):  # weights: of the missing none are known
        return None
    return np.asarray(count.missing + count.infinite, np.float64)


def _extremes(extremes: Extremes, steps: tuple[Map, ...], filled: np.ndarray) -> Extremes:
    empty = extremes.minimum > extremes.maximum
    low, high = np.where(empty, np.nan, extremes.minimum), np.where(empty, np.nan, extremes.maximum)
    rest = extremes.minimum_low, extremes.maximum_low  # what one float64 does not hold of whole numbers
    for one in steps:
        if isinstance(one, Fill):
            gap = filled > 0
            low = np.where(gap, np.fmin(low, one.value), low)
            high = np.where(gap, np.fmax(high, one.value), high)
        else:
            low, high = (np.asarray(one.forward(end, np)) for end in (low, high))
            if isinstance(one, Affine):
                low, high = low + rest[0] * one.scale, high + rest[1] * one.scale
            if not isinstance(one, Identity):
                rest = np.zeros(1), np.zeros(1)
    none = np.isnan(low) | np.isnan(high)
    zero = np.zeros(len(low))
    return Extremes(np.where(none, np.inf, low), zero, np.where(none, -np.inf, high), zero)


def _is_straight(extremes: Extremes, steps: tuple[Map, ...]) -> bool:
    """Whether these data go through straight lines only: a limit that takes off nothing is one."""
    ends = np.stack([extremes.minimum, extremes.maximum])
    ends[np.isinf(ends)] = np.nan  # of a feature without values
    for one in steps:
        mapped = np.asarray(one.forward(ends, np))
        if isinstance(one, Clip | Limit):
            if not np.array_equal(mapped, ends, equal_nan=True):
                return False
        elif not isinstance(one, Affine | Identity | Fill):
            return False
        ends = mapped
    return True


def _through_lines(moments: Moments, step: Map, steps: tuple[Map, ...]) -> Moments:
    scales = (one.scale for one in steps if isinstance(one, Affine))
    scale = reduce(np.multiply, scales, np.ones(moments.features))
    mantissa, exponent = np.frexp(scale)
    return dataclasses.replace(
        moments,
        mean=np.asarray(step.forward(moments.mean, np)) + moments.mean_low * scale,
        mean_low=np.zeros_like(moments.mean),
        exponent=np.clip(moments.exponent + exponent, -1000, 1000),
        m2=moments.m2 * mantissa**2,
        m3=moments.m3 * mantissa**3,
        m4=moments.m4 * mantissa**4,
    )


@dataclass(frozen=True)
class Curves:
    """The distributions of several features, in place of a sketch: it answers what techniques ask of one."""

    curves: tuple[Curve, ...]

    @property
    def features(self) -> int:
        return len(self.curves)

    @property
    def total(self) -> np.ndarray:
        return np.array([one.total for one in self.curves])

    def at(self, q: float | Sequence[float], extremes: Any = None) -> np.ndarray:  # noqa: ARG002  # as Quantiles has it
        return quantiles_of(self.curves, q)

    def curve(self, feature: int = 0, extremes: Any = None) -> Curve:  # noqa: ARG002
        return self.curves[feature]


def _of_feature(step: Map, feature: int) -> Map:
    return step.with_arrays({name: value[[feature]] for name, value in step.arrays().items()})


def _along(step: Map, feature: int, values: np.ndarray) -> np.ndarray:
    """One feature's values, mapped."""
    with np.errstate(all="ignore"):
        return np.asarray(_of_feature(step, feature).forward(values.reshape(-1, 1), np)).reshape(values.shape)


def _curve(curve: Curve, step: Map, steps: tuple[Map, ...], feature: int, filled: np.ndarray) -> Curve:
    """The mapped distribution: cells go to cells, in order, since the map rises; what was missing is one more."""
    low, high, count = _with_filling(curve.low, curve.high, curve.count, feature, filled)
    if any(isinstance(one, Affine) and one.scale[feature] == 0 for one in steps):
        low = high = np.where(np.isnan(low), low, 0.0)  # infinite ends of nothing: the map gives its constant
    low, high = (_along(step, feature, ends) for ends in (low, high))
    known = ~np.isnan(low) & ~np.isnan(high)
    order = np.lexsort((-high[known], low[known]))
    return Curve(low[known][order], high[known][order], count[known][order])


def _with_filling(
    low: np.ndarray, high: np.ndarray, mass: np.ndarray, feature: int, filled: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """With what was missing, as NaN: `Fill` makes a number of it."""
    missing = filled[feature % len(filled)]
    return (np.append(low, np.nan), np.append(high, np.nan), np.append(mass, missing)) if missing else (low, high, mass)


def _nodes(
    low: np.ndarray, high: np.ndarray, mass: np.ndarray, step: Map, feature: int
) -> tuple[np.ndarray, np.ndarray]:
    """(mapped values, mass) by which sums over the pieces are taken."""
    wide = high > low
    middle, half = low[wide] / 2 + high[wide] / 2, high[wide] / 2 - low[wide] / 2
    x = np.concatenate([low[~wide], (middle[:, None] + half[:, None] * _NODES).reshape(-1)])
    weight = np.concatenate([mass[~wide], (mass[wide][:, None] * _WEIGHTS).reshape(-1)])
    y = _along(step, feature, x)
    known = np.isfinite(y)
    return y[known], weight[known]


def _moments(nodes: list[tuple[np.ndarray, np.ndarray]]) -> Moments:
    """The moments of each feature's weighted values."""
    columns = [Moments.of(y[:, None], weight) if len(y) else Moments.nothing(1) for y, weight in nodes]
    return Moments.join(columns)


def _bounds(curve: Curve) -> tuple[float, float]:
    """How far mean and deviation may be from those of the values, each of which lies somewhere in its cell.

    The mean moves by no more than the mean width of the cells, the deviation by no more than the root of the mean square of
    it, since the deviation is a norm (Minkowski's inequality).
    """
    if not curve.total:
        return 0.0, 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        share, width = curve.count / curve.total, curve.high - curve.low
        return float((share * width).sum()), float(np.sqrt((share * width * width).sum()))
