"""What was gathered on what: one kind of statistic for many columns, of all rows or by key.

The one law: parts of the same rows lie side by side, and can be taken apart again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tfnorm.covariance import Covariance
from tfnorm.grouped import Grouped
from tfnorm.statistics import Statistic


@dataclass(frozen=True)
class Part:
    """On what a statistic was gathered: a column, as it is or after maps that need no statistics."""

    column: str
    via: str  # the techniques it went through first, as text; empty for none
    features: int
    through: str = ""  # a digest of their maps where these were solved from the data, and hold for these data only


@dataclass(frozen=True)
class Gathering:
    """One kind of statistic for many parts, feature after feature."""

    parts: tuple[Part, ...]
    statistic: Statistic

    @cached_property
    def places(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        """(column, via, through) -> (first feature, feature after the last)."""
        ends = np.cumsum([part.features for part in self.parts]).tolist()
        return {
            (part.column, part.via, part.through): (end - part.features, end)
            for part, end in zip(self.parts, ends, strict=True)
        }

    def of(self, parts: Sequence[Part]) -> Gathering:
        """Some of the parts alone."""
        if tuple(parts) == self.parts:
            return self
        taken = [self.statistic.take(*self.places[part.column, part.via, part.through]) for part in parts]
        return Gathering(tuple(parts), type(self.statistic).join(taken))

    def beside(self, other: Gathering) -> Gathering:
        """The parts of both, which are of the same rows."""
        fresh = [part for part in other.parts if part not in self.parts]
        if not fresh:
            return self
        new = other.of(fresh)
        return Gathering(self.parts + new.parts, type(self.statistic).join([self.statistic, new.statistic]))


@dataclass(frozen=True)
class KeyedGathering:
    """Statistics by the same keys."""

    parts: tuple[tuple[Part, ...], ...]  # of each statistic, on what: feature after feature
    grouped: Grouped

    def take(self, kind: type[Statistic], column: str, via: str, through: str = "") -> Statistic | None:
        """One column's statistic of one kind, features * keys wide; None where it was not gathered."""
        for one in self._gatherings:
            place = one.places.get((column, via, through)) if type(one.statistic) is kind else None
            if place:
                return one.statistic.take(*place)
        return None

    @cached_property
    def _gatherings(self) -> tuple[Gathering, ...]:
        pairs = zip(self.parts, self.grouped.statistics, strict=True)
        return tuple(Gathering(_times(parts, len(self.grouped.keys)), statistic) for parts, statistic in pairs)

    def of(self, some: Callable[[Sequence[Part]], list[Part]]) -> KeyedGathering:
        """Some of the parts alone."""
        number = len(self.grouped.keys)
        pairs = zip(self._gatherings, map(some, self.parts), strict=True)
        taken = [(own, one.of(_times(own, number)).statistic) for one, own in pairs if own]
        return self._with([own for own, _ in taken], [statistic for _, statistic in taken])

    def beside(self, other: KeyedGathering) -> KeyedGathering:
        """The parts of both, which are of the same rows."""
        parts = {type(one.statistic): (own, one) for own, one in zip(self.parts, self._gatherings, strict=True)}
        for own, one in zip(other.parts, other._gatherings, strict=True):
            kind = type(one.statistic)
            before, mine = parts.get(kind, ((), None))
            fresh = [part for part in own if part not in before]
            parts[kind] = ((*before, *fresh), one if mine is None else mine.beside(one))
        return self._with([own for own, _ in parts.values()], [one.statistic for _, one in parts.values()])

    def _with(self, parts: Sequence[Sequence[Part]], statistics: Sequence[Statistic]) -> KeyedGathering:
        features = tuple(sum(part.features for part in own) for own in parts)
        return KeyedGathering(tuple(map(tuple, parts)), Grouped(self.grouped.keys, features, tuple(statistics)))

    def flaw(self) -> str:
        """Why no data can have given this; empty where some can."""
        if flaw := self.grouped.flaw():
            return flaw
        widths = tuple(sum(part.features for part in parts) for parts in self.parts)
        if widths != self.grouped.features:
            return "a statistic by key has another number of features than its columns"
        for parts, one in zip(self.parts, self.grouped.statistics, strict=True):
            wanted = tuple(part.features for part in parts for _ in range(len(self.grouped.keys)))
            if isinstance(one, Covariance) and one.sizes != wanted:
                return "Covariance: its blocks are not its columns by key"
        twice = any(len({(p.column, p.via, p.through) for p in parts}) < len(parts) for parts in self.parts)
        return "a statistic by key is there twice" if twice else ""


def _times(parts: Sequence[Part], number: int) -> tuple[Part, ...]:
    """Parts of so many keys each."""
    return tuple(dataclasses.replace(part, features=part.features * number) for part in parts)
