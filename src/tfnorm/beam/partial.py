"""What is known of some elements, whose order nobody knows.

The one law: partial profiles add up in any order to that of all rows: counts and extremes exactly, moments to rounding. A column
of which only nulls have come may turn out to hold numbers, vectors or text.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tfnorm.beam.elements import PLACE
from tfnorm.choosing import chosen_columns
from tfnorm.engines import folded
from tfnorm.errors import ArtefactError, ChoiceError, DataError
from tfnorm.fitting import EVERYTHING, is_auto, planned
from tfnorm.gather import profile_of
from tfnorm.maps import Identity
from tfnorm.measuring import Measure, Want
from tfnorm.messages import opened, sealed
from tfnorm.profile import Column, Profile, Provenance
from tfnorm.sources import Source, open_source
from tfnorm.sources.columns import quoted, rows_per_shard
from tfnorm.techniques import parse


@dataclass(frozen=True)
class Asked:
    """What is to be gathered: picklable."""

    choice: Any = None  # None for all there is
    columns: tuple[str, ...] | None = None
    axis: Any = -1
    unit: Any = None
    weight: str | None = None
    infinite: Any = "missing"  # "error" refuses them; a word, or by column
    absent: str = "error"

    @property
    def everything(self) -> bool:
        return self.choice is None or is_auto(self.choice)

    @property
    def names(self) -> list[str] | None:
        """The columns that are needed; None for all there are."""
        if not isinstance(self.choice, Mapping):
            named = self.columns
        else:
            by = (name for one in self.choice.values() for stage in _stages(one) for name in stage)
            named = (*self.choice, *by)
        if named is None:
            return None
        return list(dict.fromkeys((*named, *([self.weight] if self.weight else []))))

    def of(self, opened: Source) -> tuple[list[Column], Measure]:
        """The columns, and what measures them."""
        if self.everything:
            choice = self.choice if isinstance(self.choice, Mapping) else None
            named = list(self.columns or choice or ()) or None
            columns = chosen_columns(opened, named, self.axis, self._unit(opened))
            wants = [Want(column, "", Identity(), EVERYTHING) for column in columns]
        else:
            opened, _, columns, wants = planned(opened, self.choice, self.axis, self._unit(opened))
        by_name = {column.name: column for column in opened.columns}
        rows = rows_per_shard([by_name[name] for name in needed(columns, wants)])
        word = self.infinite
        refused = [
            c.name for c in columns if (word.get(c.name, "error") if isinstance(word, Mapping) else word) == "error"
        ]
        return columns, Measure(tuple(wants), frozenset(refused), rows, opened.weight)

    def _unit(self, opened: Source) -> Any:
        """Of the columns that are there: of a column of nulls no unit is known to be one."""
        if not isinstance(self.unit, Mapping):
            return self.unit
        times = [column.name for column in opened.columns if column.kind == "time"]
        return {name: unit for name, unit in self.unit.items() if name in times} or None


def needed(columns: Sequence[Column], wants: Sequence[Want]) -> list[str]:
    """The columns to read, in the order in which `tfnorm.gather` asks for them: parts of files are named after it."""
    return list(dict.fromkeys((*(c.name for c in columns), *(name for want in wants for name in want.columns))))


def _stages(choice: Any) -> list[tuple[str, ...]]:
    """The key columns of a choice."""
    if isinstance(choice, str) and choice.strip() == "auto":
        return []
    return [stage.grouping.columns for stage in parse(choice) if stage.grouping is not None]


@dataclass(frozen=True)
class Partial:
    """Of some rows."""

    profile: Profile
    unknown: tuple[str, ...]  # columns of which only nulls have come, taken for numbers so far
    others: dict[str, str]  # columns that hold no numbers, and what they hold

    def dumps(self) -> bytes:
        return sealed(self)

    @classmethod
    def loads(cls, data: bytes) -> Partial:
        """What `dumps` wrote; ArtefactError where it is damaged."""
        partial: Partial = opened(cls, data)
        if flaw := partial.profile.flaw():
            raise ArtefactError(f"what a worker sent is no profile: {flaw}.")
        return partial

    def add(self, other: Partial, asked: Asked) -> Partial:
        """Of the rows of both."""
        mine, theirs = self._kinds(), other._kinds()
        if strange := set(mine) ^ set(theirs):
            raise DataError(
                f"column {quoted(sorted(strange))}: not in every element. Use None where a value is missing."
            )
        names, unknown, others = [], [], {}
        for name, kind in mine.items():
            if "text" in (kind, theirs[name]):
                _refuse_both(name, {kind, theirs[name]}, self.others | other.others)
                others[name] = self.others.get(name) or other.others[name]
            elif (kind, theirs[name]) == ("null", "null"):
                unknown.append(name)
            if name not in others:
                names.append(name)
        if not names:
            raise ChoiceError(f"{PLACE}: there is no column of numbers; it has {quoted(mine)}.")
        return Partial(_sum(self._like(other, names, asked), other._like(self, names, asked)), tuple(unknown), others)

    def _kinds(self) -> dict[str, str]:
        kinds = {name: "null" if name in self.unknown else "number" for name in self.profile}
        return kinds | dict.fromkeys(self.others, "text")

    def _like(self, other: Partial, names: Sequence[str], asked: Asked) -> Profile:
        """The profile of these columns in this order; where only nulls have come, of what the other one knows it to be."""
        profile = _only(self.profile, names)
        known = {c.name: c for c in other.profile.columns if c.name in self.unknown and c.name not in other.unknown}
        for column in known.values():
            if column.features != 1 or column.shape:
                profile = _with_nulls(profile, column, asked)
        columns = tuple(known.get(column.name, column) for column in profile.columns)
        return dataclasses.replace(profile, columns=columns)


def _refuse_both(name: str, kinds: set[str], others: Mapping[str, str]) -> None:
    if "number" in kinds:
        raise DataError(
            f"column {quoted([name])}: expected numbers as in other elements, got {others[name]} ({PLACE}). "
            "Cast it, or leave it out."
        )


def _sum(first: Profile, second: Profile) -> Profile:
    for a, b in zip(first.columns, second.columns, strict=True):
        if (a.features, a.unit) != (b.features, b.unit):
            raise DataError(
                f"column {quoted([a.name])}: expected {a.features} numbers in every element, got {b.features} ({PLACE}). "
                "Pad the rows or cut them to one length."
            )
    both = first + second
    return dataclasses.replace(both, provenance=(Provenance(PLACE, both.num_rows, 1, ""),))


def _only(profile: Profile, names: Sequence[str]) -> Profile:
    """Of these columns in this order."""
    if list(profile) == list(names):
        return profile
    place = {name: index for index, name in enumerate(names)}

    def kept(parts: Any) -> list[Any]:
        return sorted((part for part in parts if part.column in place), key=lambda part: place[part.column])

    return dataclasses.replace(
        profile,
        columns=tuple(profile[name].column for name in names),
        gatherings=tuple(one.of(parts) for one in profile.gatherings if (parts := kept(one.parts))),
        keyed=tuple(one.of(kept) for one in profile.keyed),
    )


def _with_nulls(profile: Profile, column: Column, asked: Asked) -> Profile:
    """The profile with as many null rows of a vector in a column as it has null numbers."""
    if any(part.column == column.name for one in profile.keyed for parts in one.parts for part in parts):
        raise DataError(f"column {quoted([column.name])}: holds vectors, and only nulls in some bundle. Fill them.")
    shape = tuple(length or 1 for length in column.shape)
    nulls = np.ma.MaskedArray(np.zeros((profile.num_rows, *shape), column.dtype), mask=True)
    own = partial_of(
        open_source({column.name: nulls}),
        dataclasses.replace(asked, columns=None, weight=None, choice=_of(asked, column.name)),
    )
    names = list(profile)
    rest = _only(profile, [name for name in names if name != column.name])
    gathered = {type(one.statistic): one for one in own.profile.gatherings}
    both = dataclasses.replace(
        rest,
        columns=(*rest.columns, own.profile[column.name].column),
        gatherings=tuple(
            one.beside(gathered[type(one.statistic)]) if type(one.statistic) in gathered else one
            for one in rest.gatherings
        ),
    )
    return _only(both, names)


def _of(asked: Asked, name: str) -> Any:
    return {name: asked.choice[name]} if isinstance(asked.choice, Mapping) else asked.choice


def partial_of(opened: Source, asked: Asked) -> Partial:
    """Of a table's rows."""
    columns, measure = asked.of(opened)
    total = folded(operator.add, map(measure, opened.shards(needed(columns, measure.wants))))
    profile = profile_of(PLACE, False, columns, measure.wants, total)
    profile = dataclasses.replace(profile, provenance=(Provenance(PLACE, total.num_rows, 1, ""),))
    left = {c.name: c.dtype for c in opened.columns if c.name not in profile and c.name != opened.weight}
    keys = {name for want in measure.wants for name in want.by}
    return Partial(profile, (), {name: dtype for name, dtype in left.items() if name not in keys})


def of_table(table: Any, asked: Asked) -> Partial:
    """Of an Arrow table's rows; at least one."""
    opened: Any = dataclasses.replace(open_source(table, weight=asked.weight), name=PLACE)  # type: ignore[type-var]
    partial = partial_of(opened, asked)
    nulls = {field.name for field in table.schema if pa.types.is_null(field.type)}
    return dataclasses.replace(partial, unknown=tuple(name for name in partial.profile if name in nulls))
