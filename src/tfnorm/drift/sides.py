"""The two sides that are compared: what the fit knows of each feature of a column, and what is known of the new data.

The one law: the fit's side may be pushed through maps (`tfnorm.pushing`), so that normalized data are compared with what the fit
makes of its own; both sides are then of the same thing.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfnorm.codec import encode
from tfnorm.curve import Curve
from tfnorm.drift.distances import snapped
from tfnorm.maps import Chain, Fill, Map, chain
from tfnorm.profile import Profile
from tfnorm.pushing import Curves, Statistics, push
from tfnorm.quantiles import Quantiles
from tfnorm.statistics import Count, Extremes, Moments, Statistic
from tfnorm.techniques import parse

KINDS = (Count, Extremes, Moments, Quantiles)
ROUNDING = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-20, "float64": 2.0**-40}
"""How far apart, relative to their size, two numbers may be that are the same in this type after some arithmetic."""


Known = dict[type[Statistic], Any]
"""A column's statistics by kind; of quantiles also `Curves`, which pushing gives."""


@dataclass(frozen=True)
class Side:
    """What is known of one feature; None where it was not gathered."""

    rows: float  # values that count as independent, missing ones among them: of several in one row, one
    number: float  # the finite ones of these
    missing: float  # share of NaN and null
    infinite: float  # share
    extremes: tuple[float, float] | None  # None also where there is no value
    mean: float | None
    std: float | None
    kurtosis: float | None
    curve: Curve | None

    @property
    def scale(self) -> float:
        """The deviation in which shifts are told: IQR / 1.349 (that of a normal distribution), at most the standard deviation
        (less where there are clusters), which is also taken where half of the values hardly differ; 0 for a constant."""
        std = self.std or 0.0
        if self.curve is None:
            return std
        low, high = self.curve.quantiles(np.array([0.25, 0.75]))
        robust = (high - low) / 1.349
        return robust if std / 10 <= robust <= std or not std > 0 else std


def known_of(profile: Profile, name: str, via: str = "") -> Known:
    """A column's statistics by kind, as far as they were gathered, after the techniques `via`."""
    found = {kind: profile.statistic(kind, name, via) for kind in KINDS}
    return {kind: statistic for kind, statistic in found.items() if statistic is not None}


def pushed(known: Statistics, step: Map) -> Known | None:
    """The statistics of what a map gives; None where they cannot be told."""
    wanted = [kind for kind in (Extremes, Moments, Quantiles) if kind in known]
    if step.keyed() or step.marks:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        found = push(known, step, wanted).statistics
    extremes = found.get(Extremes)
    if extremes is None:
        return None
    held = np.isfinite(extremes.minimum) & np.isfinite(extremes.maximum)
    if (~held & (extremes.minimum <= extremes.maximum)).any():  # a range that float64 does not hold
        return None
    count = known[Count]
    steps = step.maps if isinstance(step, Chain) else (step,)
    if any(isinstance(one, Fill) for one in steps):
        none = np.zeros_like(count.nan)
        full = count.finite + count.missing + count.infinite
        count = dataclasses.replace(
            count, finite=full, nan=none, null=none, positive_infinite=none, negative_infinite=none
        )
    return {Count: count, **found}


def via_of(profile: Profile, name: str) -> tuple[str, Map] | None:
    """After which techniques a column's moments were gathered, where they were not of the column as it is: they need no
    statistics, so new data can be sent through them."""
    for gathering in profile.gatherings:
        for part in gathering.parts if isinstance(gathering.statistic, Moments) else ():
            if part.column == name and part.via and not part.through:
                return part.via, chain(*(stage.solve({}) for stage in parse(part.via)))
    return None


def rest_of(step: Map, before: Map) -> Map | None:
    """What a map does after its first steps; None where these are not those `before`."""
    steps, first = (one.maps if isinstance(one, Chain) else (one,) for one in (step, before))
    same = [encode(one) for one in steps[: len(first)]] == [encode(one) for one in first]
    return chain(*steps[len(first) :]) if same else None


def evenness(profile: Profile) -> float | None:
    """How many rows of one weight tell as much as one of these does, at least: (sum w)^2 / (n sum w^2), as Kish has it; 1 without
    weights, None where nothing tells.

    Nobody has kept the weights. But a sketch's cell holds the weight of a row or of several, so its cells' squares sum to no
    less than theirs; and as all columns have the same rows, the column that tells most tells it of all.
    """
    found = []
    for name in profile:
        known = known_of(profile, name)
        count, moments, quantiles = (known.get(kind) for kind in (Count, Moments, Quantiles))
        if count is None or not count.finite.any():
            continue
        if moments is not None and (moments.weight == count.finite).all():
            return 1.0
        if quantiles is not None:
            total, squares = quantiles.total, dataclasses.replace(quantiles, counts=quantiles.counts**2).total
            there = squares > 0
            found.append(float((total[there] ** 2 / squares[there] / count.finite[there]).max(initial=0.0)))
    return min(1.0, max(found)) if found else None


def sides(known: Statistics, num_rows: int, evenness: float = 1.0) -> list[Side]:
    """Each feature's own."""
    count: Count = known[Count]
    extremes, moments, quantiles = (known.get(kind) for kind in (Extremes, Moments, Quantiles))
    rows = np.maximum(count.rows, 1)
    missing, infinite = count.missing / rows, count.infinite / rows
    found = []
    for j in range(count.features):
        curve = quantiles.curve(j, None if isinstance(quantiles, Curves) else extremes) if quantiles else None
        some = extremes is not None and extremes.minimum[j] <= extremes.maximum[j]
        told = moments is not None and moments.weight[j] > 0
        found.append(
            Side(
                float(min(count.rows[j], num_rows)),
                float(min(count.finite[j], num_rows)) * evenness,
                float(missing[j]),
                float(infinite[j]),
                (float(extremes.minimum[j]), float(extremes.maximum[j])) if some and extremes else None,
                float(moments.mean[j]) if told and moments else None,
                float(moments.std[j]) if told and moments else None,
                float(moments.kurtosis[j]) if told and moments else None,
                curve if curve is not None and len(curve.count) else None,
            )
        )
    return found


def as_rounded(new: Side, fit: Side, relative: float) -> Side:
    """The new data's side with its numbers as they were before they were rounded, where the fit has them."""
    if not relative or fit.extremes is None or new.extremes is None:
        return new
    scale = fit.scale
    ends = np.array(fit.extremes)
    low, high = snapped(np.array(new.extremes), ends, relative, scale)
    curve = new.curve
    if curve is not None and fit.curve is not None:
        onto = np.concatenate([fit.curve.low, fit.curve.high])
        first, last = (snapped(one, onto, relative, scale) for one in (curve.low, curve.high))
        curve = Curve(first, np.maximum(first, last), curve.count)
    return dataclasses.replace(new, extremes=(float(low), float(high)), curve=curve)
