"""A column as weighted points: what is pushed through the candidates.

The one law: the points stand for the sketch, to what is solved on it and to what is measured. A value that is heavy is a point
of its own, and a cell that is wide has the nodes by which an integral over it is taken; tails thin out as techniques take them
to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tfnorm.advice.measures import Before
from tfnorm.curve import Curve
from tfnorm.profile import ColumnProfile
from tfnorm.pushing import Curves
from tfnorm.quantiles import Quantiles
from tfnorm.statistics import Count, Extremes, Moments, Statistic
from tfnorm.techniques.tails import tailed

MOST_FEATURES = 48  # of a vector that are looked at, spread evenly; so advice on 10,000 features takes no longer
MOST_POINTS = 1200  # of a feature
HEAVY = 1 / 2000  # the share from which on a value is a point of its own
OUTER = 40  # points at either end that are left as they are
KINDS: tuple[type[Statistic], ...] = (Count, Extremes, Moments, Quantiles)

_NODES = np.array([-np.sqrt(0.6), 0.0, np.sqrt(0.6)])  # Gauss and Legendre's
_WEIGHTS = np.array([5.0, 8.0, 5.0]) / 18.0


@dataclass(frozen=True)
class Distribution:
    """What is known of a column, its features side by side."""

    statistics: Mapping[type[Statistic], Any]  # of the features that are looked at; in place of the sketch, `points`
    curves: tuple[Curve, ...]  # a feature each, as the sketch has it
    points: np.ndarray  # (n, features); NaN where a feature has fewer
    weight: np.ndarray  # (n, features), of each feature 1 in all; 0 where there is no point
    rows: np.ndarray | None = None  # (m, ...) whole rows of a vector, as they are or as if features were independent
    beside: Any = None  # its values beside the target's (`looks.Beside`), where a target is known
    solved: dict[Any, Any] = field(default_factory=dict)  # a memo: technique -> its map of this column

    @property
    def features(self) -> int:
        return self.points.shape[1]

    @cached_property
    def before(self) -> Before:
        return Before(self.points, self.weight)

    @cached_property
    def varies(self) -> np.ndarray:
        """(features,) which have more than one value."""
        extremes = self.statistics[Extremes]
        return np.asarray(~extremes.constant & (extremes.minimum < extremes.maximum))


def distribution_of(column: ColumnProfile, rows: np.ndarray | None = None, beside: Any = None) -> Distribution:
    """A column's distribution; `rows`: some of its rows, where they were read and it is a vector; `beside`: its values and the
    target's.

    >>> import tfnorm
    >>> found = distribution_of(tfnorm.scan({"age": [22.0, 38.0, 26.0, 26.0]})["age"])
    >>> found.points.ravel(), found.weight.ravel()
    (array([22., 26., 38.]), array([0.25, 0.5 , 0.25]))
    """
    features = column.column.features
    places = np.unique(np.linspace(0, features - 1, min(features, MOST_FEATURES)).astype(np.int64))
    whole = {kind: column.get(kind) for kind in KINDS}
    if rows is None and len(column.column.shape) == 1 and features > 1:
        rows = _independent(whole[Quantiles], whole[Extremes])
    picked = {kind: _picked(statistic, places) for kind, statistic in whole.items()}
    curves = [picked[Quantiles].curve(j, picked[Extremes]) for j in range(len(places))]
    points = [points_of(*tailed(one)) for one in curves]
    of_points = (Curve(x, x, weight * one.total) for one, (x, weight) in zip(curves, points, strict=True))
    picked[Quantiles] = Curves(tuple(of_points))
    return Distribution(picked, tuple(curves), *_side_by_side(points), rows, beside)


def _picked(statistic: Any, places: np.ndarray) -> Any:
    if statistic.features == len(places):
        return statistic
    return type(statistic).join([statistic.take(j, j + 1) for j in places.tolist()])


def points_of(low: np.ndarray, high: np.ndarray, mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of pieces side by side: values and their shares, rising."""
    if not len(mass):
        return np.empty(0), np.empty(0)
    wide = high > low
    middle, half = low[wide] / 2 + high[wide] / 2, high[wide] / 2 - low[wide] / 2
    inner = np.clip(middle[:, None] + half[:, None] * _NODES, low[wide, None], high[wide, None])
    x = np.concatenate([low[~wide], inner.reshape(-1)])
    weight = np.concatenate([mass[~wide], (mass[wide][:, None] * _WEIGHTS).reshape(-1)])
    order = np.argsort(x, kind="stable")
    x, weight = x[order], weight[order] / weight.sum()
    return _fewer(x, weight) if len(x) > MOST_POINTS else (x, weight)


def _fewer(x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours of equal mass taken together, but for the heavy ones and those at the ends."""
    alone = weight > HEAVY
    alone[:OUTER] = alone[-OUTER:] = True
    bins = (np.cumsum(weight) * (MOST_POINTS - 2 * OUTER)).astype(np.int64)
    new = np.concatenate([[True], alone[1:] | alone[:-1] | (np.diff(bins) > 0)])
    first = np.flatnonzero(new)
    total = np.add.reduceat(weight, first)
    origin = x[first]
    away = x - np.repeat(
        origin, np.diff(first, append=len(x))
    )  # first subtracted: the mean of large numbers keeps its digits
    return origin + np.add.reduceat(away * weight, first) / total, total


def _side_by_side(features: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    most = max((len(x) for x, _ in features), default=0)
    points, weights = np.full((most, len(features)), np.nan), np.zeros((most, len(features)))
    for j, (x, weight) in enumerate(features):
        points[: len(x), j], weights[: len(x), j] = x, weight
    return points, weights


def _independent(quantiles: Quantiles, extremes: Extremes, number: int = 256) -> np.ndarray:
    """Rows (number, features) that are distributed as the features are, each by itself: always the same ones."""
    generator = np.random.default_rng(0)
    q = (np.arange(number) + 0.5) / number
    columns = [quantiles.curve(j, extremes).quantiles(generator.permutation(q)) for j in range(quantiles.features)]
    return np.array(columns).T
