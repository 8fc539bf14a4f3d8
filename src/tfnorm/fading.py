"""How old rows fade, where a half-life is set.

The one law: a row's weight is `0.5 ** (rows that came after it / half_life)`, so what is known of a stream does not depend on how
it was cut into batches.

Moments and sketches carry weights, hence fade by a factor. An extreme has none: it is kept for WINDOW half-lives, in runs of one
(`Runs`). Counts stay counts of all rows. A feature of which no more values come keeps what was last known.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np

from tfnorm.covariance import Covariance
from tfnorm.measuring import Measured
from tfnorm.quantiles import Quantiles
from tfnorm.statistics import Count, Extremes, Moments, Statistic

WINDOW = 10
"""Half-lives, before a feature's last value, after which an extreme is forgotten: all that is older together has less than a
thousandth of the weight."""

_LONGEST = 256  # half-lives that are measured at once: no weight in them vanishes
FAINTEST = 2.0**-500
"""What is known is kept at no less than this weight, until something newer comes."""

_DUST = 2.0**-50  # of a sketch's weight; cells with less would change no digit


@dataclass(frozen=True)
class Fading:
    """The rule for one half-life.

    >>> Fading(2.0).weights(5)
    array([0.25      , 0.35355339, 0.5       , 0.70710678, 1.        ])
    """

    half_life: float  # rows after which a row counts half

    @property
    def run(self) -> int:
        """Rows whose extremes are kept, and forgotten, as one."""
        return max(1, math.ceil(self.half_life))

    def weights(self, rows: int) -> np.ndarray:
        """The weight of each of so many rows, the last being the newest: (rows,)."""
        return np.exp2(-np.arange(rows - 1, -1, -1) / self.half_life)

    def worth(self, rows: int) -> float:
        """How many rows of equal weight tell as much: Kish's (sum w)**2 / sum w**2; `rows` where the half-life is long."""
        rate = math.log(2) / self.half_life
        return math.tanh(rows * rate / 2) / math.tanh(rate / 2)

    def measured(self, first: int, rows: int, measure: Callable[[int, int], Measured]) -> list[tuple[int, Measured]]:
        """Rows in pieces, each within a run: (how many rows the stream has up to its end, what it gave).

        first: how many rows came before. measure: from a piece's first row and the row after its last.
        """
        run = self.run
        edges = [0, *range(run - first % run, rows, run), rows]
        newest = edges[-2 * (WINDOW + 1) - 1 :]
        older = edges[: len(edges) - len(newest) + 1]
        tail = [(first + stop, measure(start, stop)) for start, stop in pairwise(newest)]
        last = [extremes_in(one.statistics) for _, one in tail[-WINDOW - 1 :]]
        if len(older) > 1 and not unknown(reduce(_add, last)).any():
            step = max(1, int(_LONGEST * self.half_life) // run)  # no feature's extremes reach back so far
            older = [*older[:-1:step], older[-1]]
        return [*((first + stop, measure(start, stop)) for start, stop in pairwise(older)), *tail]

    def add(self, old: Any, new: Any, rows: int) -> Any:
        """What was known, faded by the `rows` that came after it, and what these gave; a statistic of weights, or Count."""
        if isinstance(old, Moments | Covariance):
            return old.scaled(self._factor(old.weight, rows)) + new
        if isinstance(old, Quantiles):
            return (old.scaled(self._factor(old.total, rows)) + new).without_dust(_DUST)
        if isinstance(old, Count):
            return old + new
        raise TypeError(f"{type(old).__name__} does not fade")

    def _factor(self, weight: np.ndarray, rows: int) -> np.ndarray:
        factor = np.exp2(-rows / self.half_life)
        return np.where(weight * factor < FAINTEST, 1.0, factor)

    def settled(self, statistic: Statistic, count: np.ndarray, rows: int) -> Statistic:
        """A sketch as techniques ask it: of as many values as it is worth, since ranks are counted in values.

        count: how many finite values each feature had, (features,).
        """
        if not isinstance(statistic, Quantiles):
            return statistic
        total = statistic.total
        worth = np.minimum(count, self.worth(rows) * np.maximum(1.0, count / max(rows, 1)))
        return statistic.scaled(np.where(total > 0, worth / np.where(total > 0, total, 1.0), 1.0))


@dataclass(frozen=True)
class Runs:
    """The extremes of the newest runs of rows in which a feature had values; a feature's last of these is its newest.

    Rows are numbered from the first of the stream, so runs begin where they begin, however batches are cut.
    """

    newest: np.ndarray  # (features,) int64: the number of the newest run, -1 where there was no value
    extremes: Extremes  # of (WINDOW + 1, features) each, the oldest run first

    @classmethod
    def nothing(cls, features: int) -> Runs:
        none = Extremes.nothing(features)
        return cls(np.full(features, -1), _each(none, lambda array: np.tile(array, (WINDOW + 1, 1))))

    def and_then(self, run: int, new: Extremes) -> Runs:
        """Once values came in this run, which is no older than any."""
        newest = np.where(unknown(new), self.newest, run)
        shift = np.minimum(np.where(self.newest < 0, 0, newest - self.newest), WINDOW + 1)
        place = np.arange(WINDOW + 1)[:, None] + shift  # from which each comes
        none = Extremes.nothing(len(newest))

        def moved(name: str) -> np.ndarray:
            padded = np.concatenate([getattr(self.extremes, name), getattr(none, name)[None]])
            return np.take_along_axis(padded, np.minimum(place, WINDOW + 1), axis=0)

        kept = Extremes(*(moved(field.name) for field in dataclasses.fields(Extremes)))
        last = Runs(newest, kept)._run(-1) + new
        for field in dataclasses.fields(Extremes):
            getattr(kept, field.name)[-1] = getattr(last, field.name)
        return Runs(newest, kept)

    def whole(self) -> Extremes:
        """Over all runs."""
        return reduce(_add, map(self._run, range(len(self.extremes.minimum))))

    def _run(self, place: int) -> Extremes:
        return _each(self.extremes, lambda array: array[place])

    def flaw(self, features: int, last: int) -> str:
        """Why no stream, whose last run has that number, can have left this; empty where one can."""
        arrays = [getattr(self.extremes, field.name) for field in dataclasses.fields(Extremes)]
        if any(array.shape != (WINDOW + 1, features) for array in arrays):
            return f"it does not hold {WINDOW + 1} runs of {features} features"
        numbers = self.newest.dtype == np.int64 and self.newest.shape == (features,)
        if not numbers or (self.newest < -1).any() or (self.newest > last).any():
            return "the numbers of its runs are impossible"
        if flaw := self.extremes.flaw():
            return flaw
        return "" if (unknown(self._run(-1)) == (self.newest < 0)).all() else "a newest run has no value"


def extremes_in(statistics: Mapping[type[Statistic], Statistic]) -> Extremes:
    found = statistics[Extremes]
    assert isinstance(found, Extremes)
    return found


def unknown(extremes: Extremes) -> np.ndarray:
    """Where there was no value."""
    return extremes.minimum > extremes.maximum


def _add(a: Extremes, b: Extremes) -> Extremes:
    return a + b


def _each(extremes: Extremes, change: Callable[[np.ndarray], np.ndarray]) -> Extremes:
    return Extremes(*(change(getattr(extremes, field.name)) for field in dataclasses.fields(extremes)))
