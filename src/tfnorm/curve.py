"""A distribution as a curve: what is known of each value's rank, and what is taken to lie between.

The one law: `quantiles` and `cumulative` undo each other, within the bounds that `quantile_bounds` and `rank_bounds` tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Curve:
    """A cumulative distribution with its uncertainty: cells [low, high] and what each holds."""

    low: np.ndarray  # (cells,) smallest value a cell can hold
    high: np.ndarray  # (cells,) largest
    count: np.ndarray  # (cells,)

    @property
    def total(self) -> float:
        return float(self.count.sum())

    def rank_bounds(self, value: float) -> tuple[float, float]:
        """Between how many and how many values are at most `value`."""
        return float(self.count[self.high <= value].sum()), float(self.count[self.low <= value].sum())

    def quantile(self, q: float) -> float:
        """The q-quantile (0 to 1), NaN where there is no value."""
        return self.quantiles(np.array([q]))[0]

    def quantiles(self, q: np.ndarray) -> list[float]:
        """Several at once."""
        if not len(self.count):
            return [float("nan")] * len(q)
        edges, below, upto = self._steps
        position = np.clip(q, 0.0, 1.0) * max(self.total - 1.0, 0.0)
        first, second = np.floor(position), np.ceil(position)
        a, b = (_value_at(rank, edges, below, upto) for rank in (first, second))
        return [float(v) for v in _between(a, b, position - first)]

    def cumulative(self, values: np.ndarray) -> np.ndarray:
        """The estimated share of values at most each of `values`."""
        edges, below, upto = self._steps
        at = np.searchsorted(edges, values, side="right") - 1
        inside = np.clip(at, 0, len(edges) - 1)
        after = np.minimum(inside + 1, len(edges) - 1)
        width = (
            edges[after] / 2 - edges[inside] / 2
        )  # of neighbours at either end of the numbers the difference overflows
        part = np.where(width > 0, (values / 2 - edges[inside] / 2) / np.where(width > 0, width, 1.0), 0.0)
        counted = upto[inside] + np.clip(part, 0.0, 1.0) * (below[after] - upto[inside])
        return np.where(at < 0, 0.0, counted) / self.total

    def quantile_bounds(self, q: float) -> tuple[float, float]:
        """An interval that surely holds the q-quantile."""
        if not len(self.count):
            return float("nan"), float("nan")
        position = min(max(q, 0.0), 1.0) * max(self.total - 1.0, 0.0)
        return self._first(self.low, np.floor(position)), self._first(self.high, np.ceil(position))

    def _first(self, ends: np.ndarray, rank: float) -> float:
        order = np.argsort(ends, kind="stable")
        sums = np.cumsum(self.count[order])
        return float(ends[order][min(int(np.searchsorted(sums, rank, side="right")), len(sums) - 1)])

    def pieces(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The distribution as pieces side by side: from where to where, and the mass spread evenly over each; a heavy value is
        a piece without width."""
        return self._pieces

    @cached_property
    def _pieces(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if not len(self.count):
            return (np.empty(0),) * 3
        edges, below, upto = self._steps
        low, high = np.repeat(edges, 2)[:-1], np.repeat(edges, 2)[1:]
        low[0::2], high[0::2] = edges, edges
        mass = np.empty(len(low))
        mass[0::2], mass[1::2] = upto - below, below[1:] - upto[:-1]
        held = mass > 0
        return low[held], high[held], mass[held]

    def across(self, values: np.ndarray) -> np.ndarray:
        """How many cells begin below and end above each of `values`; where none does, its rank is known."""
        wide = self.high > self.low
        begun = np.searchsorted(np.sort(self.low[wide]), values, side="left")
        return begun - np.searchsorted(np.sort(self.high[wide]), values, side="right")

    def rank_error(self) -> float:
        """The widest uncertainty of any value's rank, as a share of all values."""
        if not len(self.count):
            return 0.0
        wide = self.high > self.low
        order = np.concatenate([self.low[wide], self.high[wide]])
        change = np.concatenate([self.count[wide], -self.count[wide]])
        # a cell begins before another ends at the same value: the larger uncertainty counts
        sums = np.cumsum(change[np.lexsort((-change, order))])
        return float(sums.max(initial=0.0) / self.total)

    @cached_property
    def _steps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(edges, count below each, count up to and with each): jumps at single values, straight lines through cells."""
        edges = np.unique(np.concatenate([self.low, self.high]))
        a, b = np.searchsorted(edges, self.low), np.searchsorted(edges, self.high)
        single = self.high / 2 - self.low / 2 < 1e-290  # among the denormal numbers a slope would overflow
        jump = np.bincount(a[single], self.count[single], len(edges))
        density = self.count[~single] / (edges[b[~single]] / 2 - edges[a[~single]] / 2)
        slope = _slopes(a[~single], b[~single], density, len(edges) - 1)
        gain = np.concatenate([[0.0], slope * (edges[1:] / 2 - edges[:-1] / 2)])
        upto = np.cumsum(gain + jump)
        scale = self.total / upto[-1] if upto[-1] > 0 else 1.0
        return edges, (upto - jump) * scale, upto * scale


def quantiles_of(curves: Iterable[Curve], q: float | Sequence[float]) -> np.ndarray:
    """The q-quantile of each distribution, (curves,); of several q, (q, curves)."""
    wanted = np.atleast_1d(q)
    found = np.array([one.quantiles(wanted) for one in curves]).reshape(-1, len(wanted))
    return found.T.reshape(*np.shape(q), -1)


def _slopes(first: np.ndarray, last: np.ndarray, density: np.ndarray, steps: int) -> np.ndarray:
    """The sum of the densities of all cells over each step; cells (from edge `first` to edge `last`) nest or lie apart.

    Layer by layer of nesting: were a cell's density added where it begins and taken off where it ends, the rounding of
    narrow cells' large ones would drown the others.
    """
    slope, step = np.zeros(steps), np.arange(steps)
    depth = np.arange(len(first)) - np.searchsorted(np.sort(last), first, side="right")
    for layer in range(int(depth.max(initial=-1)) + 1):
        at = depth == layer
        begin, end, dense = first[at], last[at], density[at]
        cell = np.searchsorted(begin, step, side="right") - 1
        slope += np.where((cell >= 0) & (step < end[cell]), dense[cell], 0.0)
    return slope


def _value_at(rank: np.ndarray, edges: np.ndarray, below: np.ndarray, upto: np.ndarray) -> np.ndarray:
    """The value of the rank-th smallest (from 0), taken at the middle of its own unit of mass."""
    middle = rank + 0.5
    at = np.searchsorted(upto, middle)
    at = np.minimum(at, len(edges) - 1)
    before = np.maximum(at - 1, 0)
    span = below[at] - upto[before]
    part = np.where(span > 0, (middle - upto[before]) / np.where(span > 0, span, 1.0), 1.0)
    between = _between(edges[before], edges[at], np.clip(part, 0.0, 1.0))
    return np.where((middle > below[at]) | (at == 0), edges[at], between)


def _between(a: np.ndarray, b: np.ndarray, part: np.ndarray) -> np.ndarray:
    """a + part * (b - a), also where the difference overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        step = (b - a) * part
        return np.where(np.isfinite(step), a + step, a * (1.0 - part) + b * part)
