"""What is known of the data: for each column its statistics, and where they came from.

The one law: profiles add up as their statistics do. `scan(a) + scan(b)` knows what `scan` of both would know.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from tfnorm.codec import optional
from tfnorm.covariance import Covariance
from tfnorm.curve import Curve
from tfnorm.errors import ChoiceError, DataError
from tfnorm.gatherings import Gathering, KeyedGathering, Part
from tfnorm.quantiles import Quantiles
from tfnorm.statistics import Count, Extremes, Moments, Statistic

UNITS = ("W", "D", "h", "m", "s", "ms", "us", "ns")
"""In which times can be counted."""


@dataclass(frozen=True)
class Column:
    """A column as it was seen at the fit."""

    name: str
    dtype: str  # NumPy's name, or the source's own where NumPy has none
    shape: tuple[int | None, ...]  # of one row: () a number, (d,) a vector, (h, w, c) an image
    features: int  # how many numbers each statistic has: the length of the last axis, or 1
    unit: str | None = None  # in which times are counted, where they are times
    unstored: Literal["zero", "missing"] = optional("zero")  # what it stands for that sparse rows do not store

    def flaw(self) -> str:
        """Why no source can have such a column; empty where one can."""
        lengths = all(length is None or 0 < length < 1 << 40 for length in self.shape) and len(self.shape) < 32
        fits = self.features == 1 or (self.shape and self.features == self.shape[-1])
        known = self.unit is None or self.unit in UNITS
        return (
            "" if lengths and fits and known and len(self.dtype) < 200 else f"column {self.name[:80]!r} is impossible"
        )

    @property
    def scalar(self) -> bool:
        return not self.shape

    @property
    def absent(self) -> float:
        """What a place of sparse rows stands for where nothing is stored; NaN where it is missing."""
        return float("nan") if self.unstored == "missing" else 0.0


@dataclass(frozen=True)
class Skipped:
    """A part of a source that could not be read, and was left out because the user said so."""

    part: str
    reason: str


@dataclass(frozen=True)
class Provenance:
    """One source that was read."""

    source: str
    num_rows: int
    num_shards: int
    fingerprint: str  # SHA-256 over the shards' fingerprints in order
    skipped: tuple[Skipped, ...] = optional(())


@dataclass(frozen=True)
class Profile(Mapping[str, "ColumnProfile"]):
    """Column -> its statistics, and where they came from. What is merged and saved; `profile["age"].mean` and so on."""

    columns: tuple[Column, ...]
    bare: bool  # whether it was one array without a name
    num_rows: int
    gatherings: tuple[Gathering, ...]
    provenance: tuple[Provenance, ...]
    keyed: tuple[KeyedGathering, ...] = ()  # one for each set of key columns

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def _by_kind(self) -> dict[type[Statistic], Gathering]:
        return {type(gathering.statistic): gathering for gathering in self.gatherings}

    def __getitem__(self, name: str) -> ColumnProfile:
        if name not in self._by_name:
            close = difflib.get_close_matches(str(name), self._by_name, 1)
            raise ChoiceError(
                f"the profile has no column {name!r}{f', did you mean {close[0]!r}?' if close else '.'} "
                f"It has: {', '.join(map(repr, list(self._by_name)[:20]))}."
            )
        return ColumnProfile(self, self._by_name[name])

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self.columns)

    def statistic(self, kind: type[Statistic], column: str, via: str = "", through: str = "") -> Statistic | None:
        """One column's statistic of one kind; None where it was not gathered."""
        gathering = self._by_kind.get(kind)
        place = gathering.places.get((column, via, through)) if gathering else None
        return gathering.statistic.take(*place) if gathering and place else None

    def by(self, columns: tuple[str, ...]) -> KeyedGathering | None:
        """The statistics by the keys in these columns; None where there are none."""
        return next((keyed for keyed in self.keyed if keyed.grouped.keys.names == columns), None)

    def __add__(self, other: Profile) -> Profile:
        """The profile of both data sets together."""
        if not isinstance(other, Profile):
            return NotImplemented
        if [(c.name, c.features, c.unit, c.unstored) for c in self.columns] != [
            (c.name, c.features, c.unit, c.unstored) for c in other.columns
        ]:
            raise DataError(
                "profiles add only when they have the same columns; these have "
                f"{', '.join(map(repr, list(self)[:10]))} and {', '.join(map(repr, list(other)[:10]))}."
            )
        mine, theirs = self._lasting(other), other._lasting(self)
        if mine._gathered() != theirs._gathered():
            raise DataError("profiles add only when the same statistics were gathered: fit both with the same choice.")
        return Profile(
            wider(self.columns, other.columns),
            self.bare,
            self.num_rows + other.num_rows,
            tuple(
                Gathering(one.parts, one.statistic + theirs._by_kind[kind].statistic)
                for kind, one in mine._by_kind.items()
            ),
            self.provenance + other.provenance,
            tuple(
                KeyedGathering(one.parts, one.grouped + two.grouped)
                for one, two in zip(mine.keyed, theirs.keyed, strict=True)
            ),
        )

    def _lasting(self, other: Profile) -> Profile:
        """Without what was gathered after maps solved from these data: it adds to nothing else, unless the maps are the same."""
        known = other._parts

        def lasting(parts: Sequence[Part]) -> list[Part]:
            return [part for part in parts if not part.through or part in known]

        return dataclasses.replace(
            self,
            gatherings=tuple(one.of(kept) for one in self.gatherings if (kept := lasting(one.parts))),
            keyed=tuple(one.of(lasting) for one in self.keyed),
        )

    @cached_property
    def _parts(self) -> frozenset[Part]:
        keyed = (part for one in self.keyed for parts in one.parts for part in parts)
        return frozenset((*(part for one in self.gatherings for part in one.parts), *keyed))

    def with_pass(self, other: Profile) -> Profile:
        """With what a further pass over the same rows has gathered."""
        if (self.num_rows, self.provenance) != (other.num_rows, other.provenance):
            raise DataError(
                f"the data changed while they were read: {self.num_rows:,} rows at first, {other.num_rows:,} then, or other ones."
            )
        gatherings = {type(one.statistic): one for one in self.gatherings}
        for new in other.gatherings:
            kind = type(new.statistic)
            gatherings[kind] = gatherings[kind].beside(new) if kind in gatherings else new
        keyed = {one.grouped.keys.names: one for one in self.keyed}
        for more in other.keyed:
            names = more.grouped.keys.names
            keyed[names] = keyed[names].beside(more) if names in keyed else more
        return dataclasses.replace(self, gatherings=tuple(gatherings.values()), keyed=tuple(keyed.values()))

    def _gathered(self) -> tuple[object, ...]:
        """What was gathered, without the numbers."""
        keyed = [(one.grouped.keys.names, one.parts, [*map(type, one.grouped.statistics)]) for one in self.keyed]
        return {kind: gathering.parts for kind, gathering in self._by_kind.items()}, keyed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Profile) and self._as_text() == other._as_text()

    def __hash__(self) -> int:
        return hash(self._as_text())

    def _as_text(self) -> str:
        from tfnorm.codec import encode

        return str(encode(self))

    def __repr__(self) -> str:
        from tfnorm.tables import profile_text

        return profile_text(self)

    def _repr_html_(self) -> str:
        from tfnorm.tables import profile_html

        return profile_html(self)

    def save(self, path: Any) -> None:
        """Write it as JSON (see `tfnorm.artefact`)."""
        from tfnorm.artefact import save

        save(self, path)

    def flaw(self) -> str:
        """Why no data can have given this; empty where some can. Asked of what a file says."""
        if len(self._by_name) != len(self.columns):
            return "a column is named twice"
        if self.num_rows < 0 or (self.bare and len(self.columns) != 1):
            return "its number of rows or columns is impossible"
        if flaw := next((flaw for column in self.columns if (flaw := column.flaw())), ""):
            return flaw
        for gathering in self.gatherings:
            if len(gathering.places) != len(gathering.parts):
                return "a statistic is there twice"
            for part in gathering.parts:
                column = self._by_name.get(part.column)
                if column is None or part.features < 1 or (not part.via and part.features != column.features):
                    return f"a statistic is of column {part.column!r}, which does not fit"
            if sum(part.features for part in gathering.parts) != gathering.statistic.features:
                return f"{type(gathering.statistic).__name__} has another number of features than its columns"
            if flaw := gathering.statistic.flaw():
                return f"{type(gathering.statistic).__name__}: {flaw}"
            sizes = tuple(part.features for part in gathering.parts)
            if isinstance(gathering.statistic, Covariance) and gathering.statistic.sizes != sizes:
                return "Covariance: its blocks are not its columns"
        for keyed in self.keyed:
            if flaw := keyed.flaw():
                return flaw
            for part in (part for parts in keyed.parts for part in parts):
                if part.column not in self._by_name or (
                    not part.via and part.features != self._by_name[part.column].features
                ):
                    return f"a statistic by key is of column {part.column!r}, which does not fit"
        if len({keyed.grouped.keys.names for keyed in self.keyed}) < len(self.keyed):
            return "statistics by the same keys are there twice"
        return "" if len(self._by_kind) == len(self.gatherings) else "a kind of statistic is there twice"


def wider(columns: tuple[Column, ...], others: tuple[Column, ...]) -> tuple[Column, ...]:
    """The same columns, each of a type and shape that hold both."""
    return tuple(_wider(a, b) for a, b in zip(columns, others, strict=True))


def _wider(a: Column, b: Column) -> Column:
    if a.dtype == b.dtype:
        return a if a.shape == b.shape else dataclasses.replace(a, shape=_common(a.shape, b.shape))
    try:
        return dataclasses.replace(a, dtype=np.result_type(a.dtype, b.dtype).name)
    except TypeError:
        return a


def _common(a: tuple[int | None, ...], b: tuple[int | None, ...]) -> tuple[int | None, ...]:
    return tuple(x if x == y else None for x, y in zip(a, b, strict=True)) if len(a) == len(b) else a


@dataclass(frozen=True)
class ColumnProfile:
    """One column's statistics. Numbers for a scalar column, arrays with one entry a feature for others."""

    profile: Profile
    column: Column

    def __repr__(self) -> str:
        return f"{self.column.name}: {self.column.dtype}, {self.profile.num_rows:,} rows"

    def get(self, kind: type[Statistic]) -> Any:
        """The statistic of one kind; DataError where the fit did not gather it."""
        found = self.profile.statistic(kind, self.column.name)
        if found is None:
            raise DataError(
                f"column {self.column.name!r}: {kind.__name__} was not gathered by this fit. tfnorm.scan gathers everything."
            )
        return found

    @property
    def count(self) -> Count:
        return self.get(Count)

    @property
    def moments(self) -> Moments:
        return self.get(Moments)

    @property
    def extremes(self) -> Extremes:
        return self.get(Extremes)

    @property
    def quantiles(self) -> Quantiles:
        return self.get(Quantiles)

    @property
    def covariance(self) -> Covariance:
        return self.get(Covariance)

    @property
    def mean(self) -> Any:
        """NaN where there is no value."""
        return self._plain(np.where(self.moments.weight > 0, self.moments.mean, np.nan))

    @property
    def std(self) -> Any:
        """Population standard deviation."""
        return self._plain(self.moments.std)

    @property
    def variance(self) -> Any:
        """Population variance."""
        return self._plain(self.moments.variance)

    @property
    def skewness(self) -> Any:
        return self._plain(self.moments.skewness)

    @property
    def kurtosis(self) -> Any:
        """Excess kurtosis."""
        return self._plain(self.moments.kurtosis)

    @property
    def minimum(self) -> Any:
        return self._plain(self.extremes.minimum)

    @property
    def maximum(self) -> Any:
        return self._plain(self.extremes.maximum)

    def quantile(self, q: float) -> Any:
        """The value below which a share `q` (0 to 1) lies; within 0.002 in rank, exact up to 4,096 values.

        >>> import tfnorm
        >>> tfnorm.scan({"age": [1.0, 2.0, 3.0, 4.0]})["age"].quantile(0.5)
        2.5
        """
        return self._plain(self.quantiles.at(_share(q), self.extremes))

    def quantile_bounds(self, q: float) -> Any:
        """An interval (low, high) that surely holds the exact quantile; a list of them for a column of several features."""
        bounds = [self.curve(j).quantile_bounds(_share(q)) for j in range(self.column.features)]
        return bounds[0] if self.column.scalar else bounds

    def curve(self, feature: int = 0) -> Curve:
        """The cumulative distribution of one feature."""
        return self.quantiles.curve(feature, self.extremes)

    def by(self, *columns: str) -> dict[str, np.ndarray]:
        """The numbers by key that a technique `.by(*columns)` has gathered: the key columns and, beside them, count, missing,
        min, max, mean, std and median, as far as it asked for them; an entry a key, sorted. A table for `pandas.DataFrame`.

        >>> import tfnorm
        >>> table = {"store": ["b", "a", "b"], "price": [1.0, 5.0, 3.0]}
        >>> fitted = tfnorm.fit(table, {"price": "standard.by('store')"})
        >>> {name: array.tolist() for name, array in fitted["price"].profile.by("store").items() if name in ("store", "mean")}
        {'store': ['a', 'b'], 'mean': [5.0, 2.0]}
        """
        keyed = self.profile.by(columns)
        found = (
            {kind: keyed.take(kind, self.column.name, "") for kind in (Count, Extremes, Moments, Quantiles)}
            if keyed
            else {}
        )
        if keyed is None or not any(found.values()):
            gathered = [one.grouped.keys.names for one in self.profile.keyed]
            raise DataError(
                f"column {self.column.name!r}: has no numbers by {columns}; "
                + (f"this profile has some by {gathered}." if gathered else "fit it with a technique .by(...).")
            )
        keys = keyed.grouped.keys
        table = {
            name: np.array([key[i] for key in map(keys.__getitem__, range(len(keys)))])
            for i, name in enumerate(columns)
        }
        count, extremes, moments, quantiles = found.values()
        numbers: dict[str, np.ndarray] = {}
        if isinstance(count, Count):
            numbers |= {"count": count.finite, "missing": count.missing}
        if isinstance(extremes, Extremes):
            known = extremes.minimum <= extremes.maximum
            numbers |= {
                "min": np.where(known, extremes.minimum, np.nan),
                "max": np.where(known, extremes.maximum, np.nan),
            }
        if isinstance(moments, Moments):
            numbers |= {"mean": np.where(moments.weight > 0, moments.mean, np.nan), "std": moments.std}
        if isinstance(quantiles, Quantiles):
            numbers["median"] = quantiles.at(0.5, extremes)
        shape = (len(keys),) if self.column.features == 1 else (len(keys), self.column.features)
        return table | {name: array.reshape(-1, len(keys)).T.reshape(shape) for name, array in numbers.items()}

    def plot(self, path: Any = None) -> Any:
        """Its distribution with quartiles and outliers, as a picture that notebooks show.

        path: where it is saved, too, as SVG or PNG by the end of the name; PNG needs `pip install 'tfnorm[plot]'`.
        """
        from tfnorm.plots import of_column_profile

        return of_column_profile(self, path)

    def _plain(self, values: np.ndarray) -> Any:
        return float(values[0]) if self.column.scalar else values


def _share(q: float) -> float:
    if isinstance(q, int | float | np.number) and 0 <= q <= 1:
        return float(q)
    raise ChoiceError(f"a quantile is one number from 0 to 1 (0.5 for the median), got {q!r}.")
