"""The new data, read as the fit read its own: the same columns, units and axes.

The one law: what cannot be compared is a finding, not an error; only data that share no column with the fit are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tfnorm.drift.sides import evenness
from tfnorm.engines import Remote
from tfnorm.engines.threads import Threads
from tfnorm.errors import ChoiceError, DataError
from tfnorm.fitting import EVERYTHING, around_of, reader_of
from tfnorm.gather import gather
from tfnorm.maps import Identity
from tfnorm.measuring import Measure, Measured, Want
from tfnorm.profile import Column, Profile, Skipped
from tfnorm.progress import Callback
from tfnorm.sources import OnError, Shard, Source, open_source
from tfnorm.sources.columns import KIND_NOUNS, Kind, did_you_mean, quoted
from tfnorm.sources.masks import masked, names_of


@dataclass(frozen=True)
class Arrived:
    """What came: the statistics of what can be compared, and why the rest cannot."""

    profile: Profile | None  # None where no column can
    rows: int
    source: str
    problems: Mapping[str, str]  # column -> why it cannot be compared
    notes: Mapping[str, str]  # column -> what is other, and yet can be
    new: tuple[str, ...]  # columns of numbers that the fit does not have

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What could not be read."""
        return (
            () if self.profile is None else tuple(one for origin in self.profile.provenance for one in origin.skipped)
        )

    @cached_property
    def evenness(self) -> float | None:
        """As `sides.evenness` has it."""
        return None if self.profile is None else evenness(self.profile)


def expected_columns(profile: Profile, widths: Mapping[str, int]) -> dict[str, Column]:
    """The columns as they are to be compared: those of the fit; `widths`: of what its maps gave, as plain numbers."""
    found = {}
    for name in profile:
        column = profile[name].column
        if name in widths:
            shape = (*column.shape[:-1], widths[name]) if column.shape and column.features > 1 else column.shape
            column = Column(name, "float64", shape, widths[name], None, column.unstored)
        found[name] = column
    return found


def read(
    source: Any,
    expected: Mapping[str, Column],
    known: Iterable[str],
    *,
    bare: bool,
    exact_types: bool,
    weight: Any = None,
    mask: Any = None,
    on_error: OnError = "raise",
    engine: Any = "threads",
    workers: int | None = None,
    callback: Callback | None = None,
) -> Arrived:
    """Read what can be compared. `known`: names that are not new; `exact_types`: whether another type is worth a note."""
    if isinstance(source, Profile):
        if weight is not None or mask is not None:
            raise DataError("weight and mask were settled when the profile was made; give them to tfnorm.scan.")
        if on_error != "raise":
            raise ChoiceError("on_error is for reading data, and a profile is not read again. Leave it out.")
        came = {column.name: _of_profile(column) for column in source.columns}
        where = ", ".join(dict.fromkeys(one.source for one in source.provenance)) or "profile"
        problems, notes, new = _sorted_out(came, expected, known, where, (bare, source.bare), exact_types)
        return Arrived(source, source.num_rows, where, problems, notes, new)
    opened = open_source(source, weight=weight, on_error=on_error)
    around, reader = around_of(opened, None, on_error), reader_of(opened, engine, workers)
    hidden = {opened.weight, *(names_of(mask) if mask is not None else ())}
    came = {c.name: _Came(c.dtype, c.shape, c.kind) for c in opened.columns if c.name not in hidden}
    where = opened.name
    problems, notes, new = _sorted_out(came, expected, known, where, (bare, opened.bare), exact_types)
    names = [name for name in expected if name in came and name not in problems]
    if mask is not None:
        opened = masked(opened, mask, names)
    columns = [expected[name] for name in names]
    profile = statistics_of(opened, columns, reader, callback, around) if names else None
    rows = profile.num_rows if profile is not None else opened.num_rows or 0
    return Arrived(profile, rows, where, problems, notes, new)


def statistics_of(
    opened: Source,
    columns: Iterable[Column],
    engine: Threads | Remote,
    callback: Callback | None = None,
    around: Callable[[Measure], Callable[[Shard], Measured]] = lambda measure: measure,
) -> Profile:
    """Every marginal statistic of these columns."""
    chosen = [as_it_came(opened, column) for column in columns]
    wants = [Want(column, "", Identity(), EVERYTHING) for column in chosen]
    return gather(opened, chosen, wants, infinite=frozenset(), engine=engine, callback=callback, around=around)


def as_it_came(opened: Source, column: Column) -> Column:
    """A column of the fit with the new data's type and shape."""
    came = next(one for one in opened.columns if one.name == column.name)
    unstored = column.unstored if came.layout == "sparse" else "zero"
    return Column(column.name, came.dtype, came.shape, column.features, column.unit, unstored)


@dataclass(frozen=True)
class _Came:
    dtype: str
    shape: tuple[int | None, ...]
    kind: Kind


def _of_profile(column: Column) -> _Came:
    return _Came(column.dtype, column.shape, "time" if column.unit else "number")


def _sorted_out(
    came: Mapping[str, _Came],
    expected: Mapping[str, Column],
    known: Iterable[str],
    where: str,
    bare: tuple[bool, bool],
    exact_types: bool,
) -> tuple[dict[str, str], dict[str, str], tuple[str, ...]]:
    """(why columns cannot be compared, what is other about those that can, what is new)."""
    if bare[0] != bare[1]:
        kinds = [("one array without a name" if one else "named columns") for one in bare]
        raise DataError(f"{where}: the fit is of {kinds[0]}, and these are {kinds[1]}. Pass data of the same kind.")
    if not any(name in came for name in expected):
        hint = "".join(did_you_mean(name, came) for name in list(expected)[:3])
        raise DataError(f"{where}: none of the fitted columns {quoted(expected)} is among {quoted(came)}.{hint}")
    problems: dict[str, str] = {}
    notes: dict[str, str] = {}
    for name, column in expected.items():
        if name not in came:
            hint = did_you_mean(name, [one for one in came if one not in expected])
            problems[name] = f"the column is missing{'.' if hint else ''}{hint}"
            continue
        if problem := _problem(column, came[name]):
            problems[name] = problem
        elif exact_types and came[name].dtype != column.dtype:
            notes[name] = f"{came[name].dtype}, was {column.dtype}"
    others = {*expected, *known}
    return problems, notes, tuple(name for name, one in came.items() if name not in others and one.kind == "number")


def _problem(column: Column, came: _Came) -> str:
    """Why a column cannot be compared; empty where it can."""
    kind: Kind = "time" if column.unit else "number"
    if came.kind != kind:
        return f"holds {KIND_NOUNS[came.kind]} ({came.dtype}), held {KIND_NOUNS[kind]} ({column.dtype})"
    last = came.shape[-1] if came.shape else 1
    if column.features > 1 and last != column.features:
        return f"has {last if came.shape else 'no'} features a row, had {column.features}"
    if column.scalar and came.shape not in ((), (1,)):
        return f"has rows of shape {came.shape}, had single numbers".replace("None", "?")
    return ""
