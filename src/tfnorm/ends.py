"""Between which ends a column lies, for `out_of_range`: of all rows, or of the rows of each key.

The one law: what is limited and what is counted as limited is told by the same ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import Any

import numpy as np

from tfnorm.errors import ChoiceError
from tfnorm.grouped import with_rest
from tfnorm.keys import Keys, listed
from tfnorm.maps import Affine, ByKey, Chain, Clip, Map, Within, chain
from tfnorm.maps.core import rows_of_table
from tfnorm.profile import Profile
from tfnorm.sources.columns import quoted
from tfnorm.statistics import Count, Extremes, Statistic
from tfnorm.techniques import Grouping

LARGEST = np.finfo(np.float64).max


@dataclass(frozen=True)
class Ends:
    """The smallest and the largest value that the fit saw of each feature; where it saw none, nothing is out of range.

    >>> ends = Ends(Extremes.of(np.array([[1.0], [5.0]])))
    >>> ends.outside(np.array([[0.0], [1.0], [6.0], [np.nan]])).ravel().tolist()
    [True, False, True, False]
    """

    extremes: Extremes
    # (features,); by key (features * (keys + 1),): all keys of a feature side by side, and after them what all rows have
    keys: Keys | None = None  # None for ends of all rows
    unseen: str = (
        "global"  # what rows of other keys are: "global" lie between the ends of all rows, others are missing anyhow
    )

    @property
    def _known(self) -> np.ndarray:
        return self.extremes.minimum <= self.extremes.maximum

    @cached_property
    def low(self) -> np.ndarray:
        return np.where(self._known, self.extremes.minimum, -LARGEST)

    @cached_property
    def high(self) -> np.ndarray:
        return np.where(self._known, self.extremes.maximum, LARGEST)

    def outside(
        self,
        x: np.ndarray,
        groups: Mapping[tuple[str, ...], np.ndarray] | None = None,
        places: np.ndarray | None = None,
    ) -> np.ndarray:
        """Which of these raw values lie beyond the ends, a bool each; neither what is missing nor what is infinite does.

        groups: for the names of key columns, which key each row of x has. places: of sparse rows, whose values lie in one
        line, to which feature each of them belongs.
        """
        low, high = self.low, self.high
        known: Any = True
        if self.keys is not None and groups is not None:
            codes = groups[self.keys.names]
            tables = (end.reshape(-1, len(self.keys) + 1) for end in (low, high))
            if places is None:
                low, high = (rows_of_table(table, codes, x.ndim, np) for table in tables)
            else:
                low, high = (table[places, codes] for table in tables)
            if self.unseen != "global":
                seen = codes < len(self.keys)
                known = seen.reshape(-1, *([1] * (x.ndim - 1)))
        elif places is not None:
            low, high = low[places], high[places]
        return np.asarray(((x < low) | (x > high)) & np.isfinite(x) & known)

    def limit(self, step: Map, kind: type[Clip | Within], *, whole_numbers: bool) -> Map:
        """The column's map with what limits to these ends: before it, or after its first step."""
        head, *rest = step.maps if isinstance(step, Chain) else (step,)
        limits = self._after(head, kind, whole_numbers=whole_numbers)
        if limits is not None:
            return chain(head, limits, *rest)
        return chain(_by_key(self.keys, kind(self.low, self.high), self.unseen), step)

    def _after(self, head: Map, kind: type[Clip | Within], *, whole_numbers: bool) -> Map | None:
        """What limits to the range of the data after a chain's first map, so that 64-bit integers are subtracted as they are;
        None where it is before it that they are to be limited."""
        affine = head.flat if isinstance(head, ByKey) else head
        ends, known = np.stack([self.extremes.minimum, self.extremes.maximum]), self._known
        large = whole_numbers and bool((np.abs(ends[:, known]) >= 1 << 53).any())
        if not (isinstance(affine, Affine) and affine.rises):
            return None
        if not large and (kind is Within or head is not affine or self.keys is not None):
            return None
        if kind is Within and not affine.scale.all():
            return None
        size = max(len(affine.scale), len(known))  # the map's numbers, the ends or both are by key
        affine = affine.with_arrays({name: _wide(value, size) for name, value in affine.arrays().items()})
        rest = np.stack([self.extremes.minimum_low, self.extremes.maximum_low])
        low, high = affine.forward(_wide(ends, size), np) + _wide(rest, size) * affine.scale
        if kind is Within:  # the ends themselves are in, however they are rounded
            least = 4 * np.spacing(np.maximum(np.abs(low), np.abs(high)))
            low, high = low - least, high + least
        known = _wide(known, size)
        limits = kind(np.where(known, low, -LARGEST), np.where(known, high, LARGEST))
        return (
            _by_key(head.keys, limits, head.unseen)
            if isinstance(head, ByKey)
            else _by_key(self.keys, limits, self.unseen)
        )


def ends_of(profile: Profile, names: Sequence[str], grouping: Grouping | None) -> Ends:
    """The ends of columns that share their numbers, or of a column alone: of all rows, or of each key.

    With `shrink`, those of small groups are drawn to those of all rows, as they are for the technique itself.
    """
    rest: dict[type[Statistic], Any] = {Extremes: reduce(add, [profile[name].extremes for name in names])}
    if grouping is None:
        return Ends(rest[Extremes])
    keyed = profile.by(grouping.columns)
    own: dict[type[Statistic], Any] = {}
    for kind in (Extremes, Count):
        each = [keyed.take(kind, name, "") if keyed else None for name in names]
        if keyed is None or any(one is None for one in each):
            raise ChoiceError(
                f"column {quoted(names)}: out_of_range needs the smallest and the largest value by "
                f"{listed(grouping.columns)}, which the profile lacks. Fit from the data instead, or leave it out."
            )
        own[kind] = reduce(add, each)
    extremes = with_rest(own, rest, (Extremes,), grouping.shrink)[Extremes]
    assert isinstance(extremes, Extremes)
    assert keyed is not None
    return Ends(extremes, keyed.grouped.keys, grouping.unseen)


def _by_key(keys: Keys | None, limits: Map, unseen: str) -> Map:
    return limits if keys is None else ByKey.of_flat(keys, limits, unseen)


def _wide(values: np.ndarray, size: int) -> np.ndarray:
    """A number a feature as one for each key of every feature."""
    return np.repeat(values, size // values.shape[-1], axis=-1)
