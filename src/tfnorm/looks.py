"""How a column looks before and after its map: what drawings and reports show of a distribution.

The one law: nothing is read again. Before is what the fit gathered, after is that pushed through the map; what neither tells
is left out, with the reason in words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tfnorm.binning import view
from tfnorm.curve import Curve
from tfnorm.maps import Fill, Map
from tfnorm.profile import Profile
from tfnorm.pushing import Curves, push
from tfnorm.quantiles import Quantiles
from tfnorm.statistics import Count, Extremes, Moments, Statistic
from tfnorm.summary import MAX_POOLED_CELLS, pooled

KINDS: tuple[type[Statistic], ...] = (Count, Extremes, Moments, Quantiles)
FENCE = 1.5  # interquartile ranges beyond the quartiles, from where on a value is an outlier (Tukey, 1977)
NO_SKETCH = "the fit gathered no distribution, as its technique needs none; full=True (--full) gathers it, as scan does"
UNMAPPED = "what the fit gathered does not tell what becomes of it"
NAN = float("nan")
MOST_EDGES = 2048  # at which the distributions of several features are added up
POINTS = 5  # that stand for a piece of a distribution where a map need not keep the order


@dataclass(frozen=True)
class Look:
    """What is known of one column's values, all its features together. NaN stands for what is not known."""

    curve: Curve | None  # the distribution
    unknown: str  # why there is none, in words; empty where there is one
    values: float = NAN  # how many there are, missing ones among them
    missing: float = NAN
    infinite: float = NAN
    zeros: float = NAN
    minimum: float = NAN
    maximum: float = NAN
    mean: float = NAN
    std: float = NAN
    skewness: float = NAN
    kurtosis: float = NAN

    @cached_property
    def quartiles(self) -> tuple[float, float, float]:
        """25 %, median, 75 %."""
        if self.curve is None:
            return NAN, NAN, NAN
        low, middle, high = self.curve.quantiles(np.array([0.25, 0.5, 0.75]))
        return low, middle, high

    @cached_property
    def view(self) -> tuple[float, float] | None:
        """From where to where it is drawn."""
        return None if self.curve is None else view(self.curve)

    @cached_property
    def fences(self) -> tuple[float, float]:
        """Beyond them lie the outliers; never beyond the smallest and the largest value."""
        low, _, high = self.quartiles
        reach = FENCE * (high - low)
        return max(low - reach, self.minimum), min(high + reach, self.maximum)

    @cached_property
    def outliers(self) -> tuple[float, float]:
        """Which share lies below and above the fences."""
        if self.curve is None or not math.isfinite(self.quartiles[0]):
            return NAN, NAN
        low, high = self.fences
        below, upto = self.curve.cumulative(np.array([np.nextafter(low, -np.inf), high]))
        return float(below), max(0.0, 1.0 - float(upto))

    @property
    def constant(self) -> bool:
        return self.minimum == self.maximum

    def quantile(self, q: float) -> float:
        return NAN if self.curve is None else self.curve.quantile(q)


def before(profile: Profile, name: str) -> Look:
    """A column as the fit saw it."""
    return _look(*_as_it_was(profile, name))


def after(profile: Profile, name: str, step: Map) -> Look:
    """A column as it comes out of its map."""
    return _look(*_as_it_came_out(profile, name, step))


def before_each(profile: Profile, name: str) -> list[Look]:
    """Each feature of a column by itself, as the fit saw it."""
    return _looks(*_as_it_was(profile, name), profile[name].column.features)


def after_each(profile: Profile, name: str, step: Map) -> list[Look]:
    """Each feature of a column by itself, as it comes out of the map."""
    return _looks(*_as_it_came_out(profile, name, step), profile[name].column.features)


def _as_it_was(profile: Profile, name: str) -> tuple[dict[type[Statistic], Any], str]:
    """What is known, and why the distribution is not where it is not."""
    return _known(profile, name), why_unknown(profile, name)


def _as_it_came_out(profile: Profile, name: str, step: Map) -> tuple[dict[type[Statistic], Any], str]:
    if step.keyed():
        return {}, "each key has numbers of its own, so what comes out depends on a row's key"
    if not step.elementwise:
        return {}, "what becomes of a value depends on the whole sample it is in"
    known = _known(profile, name)
    with np.errstate(all="ignore"):  # far beyond what was seen, a map may overflow
        pushed = push(known, step, KINDS).statistics
    count, quantiles = known.get(Count), known.get(Quantiles)
    if count is not None:
        pushed[Count] = _without_zeros(count, step)
    if Quantiles not in pushed and quantiles is not None:  # a map that falls, or leaves values out
        curves = [quantiles.curve(j, known.get(Extremes)) for j in range(quantiles.features)]
        pushed = {Count: pushed[Count]} if count is not None else {}
        pushed[Quantiles] = Curves(tuple(_mapped(curve, step, j, len(curves)) for j, curve in enumerate(curves)))
    return pushed, "" if Quantiles in pushed else why_unknown(profile, name) or UNMAPPED


def _looks(known: dict[type[Statistic], Any], unknown: str, features: int) -> list[Look]:
    return [_look({kind: _of_feature(one, j) for kind, one in known.items()}, unknown) for j in range(features)]


def _of_feature(statistic: Any, feature: int) -> Any:
    if isinstance(statistic, dict):
        return {name: part[feature : feature + 1] for name, part in statistic.items()}
    if isinstance(statistic, Curves):
        return Curves(statistic.curves[feature : feature + 1])
    return statistic.take(feature, feature + 1)


def why_unknown(profile: Profile, name: str) -> str:
    """Why a column has no distribution, in words; empty where it has one."""
    if profile.statistic(Quantiles, name) is not None:
        return ""
    keyed = any(part.column == name for one in profile.keyed for parts in one.parts for part in parts)
    return "the fit gathered what it needs key by key, and no distribution of all rows" if keyed else NO_SKETCH


def _known(profile: Profile, name: str) -> dict[type[Statistic], Any]:
    found = {kind: profile.statistic(kind, name) for kind in KINDS}
    return {kind: statistic for kind, statistic in found.items() if statistic is not None}


def _without_zeros(count: Count, step: Map) -> Any:
    """How many values come out; which of them are 0 is not counted."""
    fills = any(isinstance(one, Fill) for one in step.steps())
    missing = count.missing * 0 if fills else count.missing + count.infinite
    return {"values": count.rows, "missing": missing, "infinite": count.infinite * 0}


def _look(known: dict[type[Statistic], Any], unknown: str) -> Look:
    said: dict[str, float] = {}
    count = known.get(Count)
    if isinstance(count, Count):
        parts = {"values": count.rows, "missing": count.missing, "infinite": count.infinite, "zeros": count.zero}
        said |= {name: float(part.sum()) for name, part in parts.items()}
        unknown = unknown if count.finite.any() else "there is no value"
    elif count is not None:
        said |= {name: float(part.sum()) for name, part in count.items()}
    curve = None
    if (quantiles := known.get(Quantiles)) is not None:
        extremes = known.get(Extremes)
        if isinstance(quantiles, Quantiles) and len(quantiles.keys) > MAX_POOLED_CELLS:
            unknown = f"its {quantiles.features:,} features have too many cells to be drawn as one"
        else:
            curve = _together(quantiles, extremes)
            if len(curve.count):
                said["minimum"], said["maximum"] = float(curve.low.min()), float(curve.high.max())
            else:
                curve, unknown = None, "there is no value"
    if (extremes := known.get(Extremes)) is not None:
        low, high = float(extremes.minimum.min()), float(extremes.maximum.max())
        if low <= high and math.isfinite(low) and math.isfinite(high):
            said["minimum"], said["maximum"] = low, high
    if (moments := known.get(Moments)) is not None:
        one: Any = pooled(moments)
        if one.weight[0]:
            said["mean"], said["std"] = float(one.mean[0]), float(one.std[0])
            said["skewness"], said["kurtosis"] = float(one.skewness[0]), float(one.kurtosis[0])
    return Look(curve, unknown, **said)


def _together(quantiles: Quantiles | Curves, extremes: Extremes | None) -> Curve:
    """The distribution of all features; without what has come out infinite."""
    if not isinstance(quantiles, Quantiles):
        return _as_one([_finite(curve) for curve in quantiles.curves])
    one: Any = pooled(quantiles)
    curve: Curve = one.curve()
    if extremes is not None and len(curve.count):
        low, high = extremes.minimum.min(), extremes.maximum.max()
        curve = Curve(np.clip(curve.low, low, high), np.clip(curve.high, low, high), curve.count)
    return curve


def _finite(curve: Curve) -> Curve:
    held = np.isfinite(curve.low) & np.isfinite(curve.high)
    return curve if held.all() else Curve(curve.low[held], curve.high[held], curve.count[held])


def _as_one(curves: Sequence[Curve]) -> Curve:
    """The distribution of the values of several features together: what lies at each of so many points, and between them."""
    held = [curve for curve in curves if len(curve.count)]
    if len(held) <= 1:
        return held[0] if held else curves[0]
    edges = np.unique(np.concatenate([curve.quantiles(np.linspace(0.0, 1.0, 257)) for curve in held]))
    edges = edges[np.unique(np.linspace(0, len(edges) - 1, MOST_EDGES).astype(np.int64))]
    upto, below = (
        np.sum([curve.cumulative(at) * curve.total for curve in held], axis=0)
        for at in (edges, np.nextafter(edges, -np.inf))
    )
    low, high = np.concatenate([edges, edges[:-1]]), np.concatenate([edges, edges[1:]])
    count = np.concatenate([upto - below, below[1:] - upto[:-1]])
    order = np.lexsort((-high, low))
    order = order[count[order] > 0]
    return Curve(low[order], high[order], count[order])


def _mapped(curve: Curve, step: Map, feature: int, features: int) -> Curve:
    """A distribution through a map that need not rise: some points of each piece stand for it."""
    low, high, mass = curve.pieces()
    part = np.linspace(0.0, 1.0, POINTS)[:, None]
    x = np.zeros((POINTS, len(low), features))
    x[..., feature] = low * (1 - part) + high * part
    with np.errstate(all="ignore"):
        y = np.asarray(step.forward(x, np))[..., feature].reshape(-1)
    known = np.isfinite(y)
    y, mass = y[known], np.tile(mass / POINTS, POINTS)[known]
    order = np.argsort(y)
    return Curve(y[order], y[order], mass[order])
