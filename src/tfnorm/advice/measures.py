"""What comes out of a candidate, measured.

The one law: a measure looks at numbers before and after a map and at nothing else. It knows no technique, so that one that
is added is measured as all others are. Each measure is 0 where there is nothing to object to and grows from there, on a
logarithmic scale where sizes are compared; the mean is taken over features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tfnorm.maps import Identity, Map

NEAR = 0.01  # what differs by less is nearly equal to a model whose inputs have deviation 1
USUAL = 4.0  # deviations within which values are usual
CAP = 20.0  # of logarithms to the base 2: a factor of a million


@dataclass(frozen=True)
class Before:
    """A column as it is; what all its candidates are held against."""

    points: np.ndarray  # (n, features); NaN where there is none
    weight: np.ndarray  # (n, features), each feature 1 in all; 0 where there is no point

    @cached_property
    def held(self) -> np.ndarray:
        """Where there are points."""
        return self.weight > 0

    @cached_property
    def whole(self) -> bool:
        """Whether every place holds a point."""
        return bool(self.held.all())

    @cached_property
    def extent(self) -> np.ndarray:
        """(features,) from the smallest to the largest; -inf for nothing."""
        return np.asarray(
            np.nanmax(self.points, axis=0, initial=-np.inf) - np.nanmin(self.points, axis=0, initial=np.inf)
        )

    @cached_property
    def straight(self) -> tuple[np.ndarray, np.ndarray]:
        """(n, features) by how much each point is off the mean, weighted, (features,) and the deviation: both in a unit in which
        no square overflows."""
        middle = np.nansum(self.points * self.weight, axis=0)
        away = np.where(self.held, self.points - middle, 0.0)
        away /= np.maximum(np.abs(away).max(axis=0, initial=0.0), 1e-300)
        return away * self.weight, np.sqrt((away**2 * self.weight).sum(axis=0))


@dataclass(frozen=True)
class Mapped:
    """A column before and after a map."""

    before: Before
    result: np.ndarray  # (n, features) after
    zeros: np.ndarray  # (features,) the share of zeros
    at_zero: np.ndarray  # (features,) what becomes of zero
    at_bounds: (
        np.ndarray
    )  # (k, features) what becomes of the ends of what can come at all; the extremes where that is not known
    step: Map
    forgotten: float = 0.0  # the share of the variation that what comes out cannot tell
    told: float = 1.0  # the share of the target's variation that a straight line tells; 1 where no target is known

    @property
    def weight(self) -> np.ndarray:
        return self.before.weight

    @cached_property
    def mean(self) -> np.ndarray:
        found = self.result * self.weight
        return np.asarray(found.sum(axis=0) if self.before.whole else np.nansum(found, axis=0))

    @cached_property
    def _away(self) -> np.ndarray:
        away = self.result - self.mean
        return away if self.before.whole else np.where(self.before.held, away, 0.0)

    @cached_property
    def std(self) -> np.ndarray:
        return np.sqrt((self._away**2 * self.weight).sum(axis=0))

    @cached_property
    def varies(self) -> np.ndarray:
        return self.std > 1e-12 * np.maximum(np.abs(self.mean), 1e-290)

    @cached_property
    def died(self) -> np.ndarray:
        """Whether what varied comes out as one value, to the last digits: nothing can be learned from that."""
        return ~self.varies & (self.before.extent > 0)

    @cached_property
    def standard(self) -> np.ndarray:
        """What comes out, in deviations from its mean."""
        return self._away / np.where(self.varies, self.std, 1.0)

    @cached_property
    def squares(self) -> np.ndarray:
        return self.standard**2

    @cached_property
    def rising(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """Of each feature, what comes out and its weights, sorted."""
        found = []
        for values, weight, held in zip(self.result.T, self.weight.T, self.before.held.sum(axis=0), strict=True):
            order = np.argsort(values, kind="stable")[:held]  # NaN last, of weight 0
            found.append((values[order], weight[order]))
        return tuple(found)

    def quantile(self, *shares: float) -> np.ndarray:
        """(shares, features) of what comes out."""
        found = np.zeros((len(shares), self.result.shape[1]))
        for j, (values, weight) in enumerate(self.rising):
            if len(values):
                found[:, j] = np.interp(shares, np.cumsum(weight) - weight / 2, values)
        return found


def offset(mapped: Mapped) -> np.ndarray:
    """log(1 + mean^2 / variance): how far from 0 the middle lies, which makes gradients of all weights go together."""
    return np.log1p(mapped.mean**2 / np.where(mapped.varies, mapped.std**2, 1.0))


def narrow(mapped: Mapped) -> np.ndarray:
    """log2(1 / deviation) where it is below 1: weights have to grow before the column counts."""
    return np.where(mapped.died, CAP, np.clip(-np.log2(np.where(mapped.varies, mapped.std, 1.0)), 0.0, CAP))


def wide(mapped: Mapped) -> np.ndarray:
    """log2(deviation) where it is above 1: the column drowns the others, and steps overshoot."""
    return np.clip(np.log2(np.where(mapped.varies, mapped.std, 1.0)), 0.0, CAP)


def skewed(mapped: Mapped) -> np.ndarray:
    """log(1 + |skewness|)."""
    return np.log1p(np.abs((mapped.standard * mapped.squares * mapped.weight).sum(axis=0)))


def tailed(mapped: Mapped) -> np.ndarray:
    """log(1 + excess kurtosis), where there is any."""
    return np.log1p(np.maximum((mapped.squares**2 * mapped.weight).sum(axis=0) - 3.0, 0.0))


def far(mapped: Mapped) -> np.ndarray:
    """log2(|value| / 4) at the outermost 0.1 % on either side, where that is above 4."""
    ends = np.abs(mapped.quantile(0.001, 0.999)).max(axis=0)
    return np.clip(np.log2(np.maximum(ends, USUAL) / USUAL), 0.0, CAP)


def farthest(mapped: Mapped) -> np.ndarray:
    """log2(|value| / 4) of the largest value that can come, where that is above 4."""
    ends = np.abs(mapped.at_bounds).max(axis=0)
    return np.clip(np.log2(np.maximum(ends, USUAL) / USUAL), 0.0, CAP)


def squeezed(mapped: Mapped) -> np.ndarray:
    """log2 of how much narrower the inner 90 % are than a normal distribution of this deviation has them: few values take the
    room of all others."""
    low, high = mapped.quantile(0.05, 0.95)
    inner = (high - low) / (2 * 1.6449) / np.where(mapped.varies, mapped.std, 1.0)
    return np.where(mapped.varies, np.clip(-np.log2(np.maximum(inner, 2.0**-6)), 0.0, 6.0), 0.0)


def tied(mapped: Mapped) -> np.ndarray:
    """The share of pairs of different values that come out nearly equal (within 0.01)."""
    found = np.zeros(mapped.result.shape[1])
    for j, (y, weight) in enumerate(mapped.rising):
        upto = np.concatenate([[0.0], np.cumsum(weight)])
        near = upto[np.searchsorted(y, y + NEAR, side="right")] - upto[np.searchsorted(y, y - NEAR, side="left")]
        same, different = (weight**2).sum(), 1.0 - (weight**2).sum()
        found[j] = ((near * weight).sum() - same) / different if different > 1e-9 else 0.0
    return np.clip(found, 0.0, 1.0)


def moved_zero(mapped: Mapped) -> np.ndarray:
    """The share of zeros that are no longer 0, in units of the result's deviation at most 1: zeros that mean "nothing"."""
    unit = np.where(mapped.varies, mapped.std, 1.0)
    moved = np.where(np.isnan(mapped.at_zero), 0.0, np.abs(mapped.at_zero))
    return mapped.zeros**2 * np.minimum(moved / unit, 1.0)


def forgotten(mapped: Mapped) -> np.ndarray:
    """The share of the variation of whole rows that what comes out cannot tell (lengths, for unit norms)."""
    return np.full(mapped.result.shape[1], mapped.forgotten)


def bent(mapped: Mapped) -> np.ndarray:
    """The share of the variation that no straight line through what comes out tells: relations that were straight no longer
    are."""
    away, spread = mapped.before.straight
    together = (away * mapped.standard).sum(axis=0)
    told = np.where((spread > 0) & mapped.varies, (together / np.where(spread > 0, spread, 1.0)) ** 2, 1.0)
    return np.where(mapped.died, 1.0, np.clip(1.0 - told, 0.0, 1.0))


def aside(mapped: Mapped) -> np.ndarray:
    """The share of the target's variation that no straight line through what comes out tells; 0 where no target is known."""
    return np.full(mapped.result.shape[1], 1.0 - mapped.told)


def complexity(mapped: Mapped) -> np.ndarray:
    """A tenth a step, and a tenth of log2(1 + numbers a feature): what has to be understood, stored and computed."""
    steps = [one for one in mapped.step.steps() if not isinstance(one, Identity)]
    numbers = sum(array.size / max(1, array.shape[0]) for one in steps for array in one.arrays().values())
    return np.full(mapped.result.shape[1], (len(steps) + np.log2(1.0 + numbers)) / 10.0)


MEASURES: Mapping[str, Callable[[Mapped], np.ndarray]] = {
    one.__name__: one
    for one in (
        *(offset, narrow, wide, skewed, tailed, far, farthest, squeezed, tied, moved_zero, forgotten),
        *(bent, aside, complexity),
    )
}
"""Every measure there is, by name: from a column before and after to one number a feature."""


def measured(mapped: Mapped) -> dict[str, float]:
    """All measures, the mean over features."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = np.array([measure(mapped) for measure in MEASURES.values()]).mean(axis=1)
    return dict(zip(MEASURES, found.tolist(), strict=True))
