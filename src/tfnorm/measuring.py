"""Rows measured: from a part of a source to its statistics.

The one law: the same rows give the same statistics, bit for bit, however the source hands them out and whoever measures.
What is missing, infinite, out of a domain or not a number is found here, with column, row and file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfnorm import counted
from tfnorm.apply import apply, apply_stored
from tfnorm.engines import Fold
from tfnorm.errors import ChoiceError, DataError
from tfnorm.grouped import Grouped, Partition, of_partition
from tfnorm.maps import Chain, Map, after, chain, sparse_flaw
from tfnorm.profile import Column, Skipped
from tfnorm.quantiles import Quantiles
from tfnorm.sources import Batch, Shard
from tfnorm.sources.arrow import TextArray
from tfnorm.sources.columns import quoted
from tfnorm.sources.counted import Counted, Summed
from tfnorm.sources.stored import Sparse, Stored
from tfnorm.sparse import measure
from tfnorm.statistics import Count, Statistic, prepare
from tfnorm.unseen import groups_of, key_columns


@dataclass(frozen=True)
class Want:
    """What to gather on one column: which statistics, after which maps."""

    column: Column
    via: str
    step: Map
    kinds: tuple[type[Statistic], ...]
    through: str = ""  # a digest of the maps, where they were solved from these data
    by: tuple[str, ...] = ()  # key columns, where they are gathered for every key; none for all rows

    @property
    def features(self) -> int:
        """How many the statistics are of: those of what the map gives."""
        return self.step.width(self.column.features)

    @property
    def columns(self) -> tuple[str, ...]:
        """All that it reads: the column, the keys by which it is gathered, and those of its maps."""
        return (self.column.name, *self.by, *key_columns([self.step]))


@dataclass(frozen=True)
class Measured:
    """The statistics of some rows, in the order of the wants."""

    num_rows: int
    num_shards: int
    statistics: Mapping[type[Statistic], Statistic]
    digest: str  # of the shards' fingerprints, in order
    grouped: Mapping[tuple[str, ...], Grouped] = field(
        default_factory=dict
    )  # key columns -> statistics of the wants by them
    skipped: tuple[Skipped, ...] = ()  # what could not be read

    def __add__(self, other: Measured) -> Measured:
        return Measured(
            self.num_rows + other.num_rows,
            self.num_shards + other.num_shards,
            {kind: mine + other.statistics[kind] for kind, mine in self.statistics.items()},
            hashlib.sha256((self.digest + other.digest).encode()).hexdigest(),
            {by: mine + other.grouped[by] for by, mine in self.grouped.items()},
            self.skipped + other.skipped,
        )


@dataclass(frozen=True)
class Measure:
    """From a shard to its statistics: picklable, so that workers can be sent it."""

    wants: tuple[Want, ...]
    infinite: Set[str]  # the columns in which infinite values are refused
    rows: int  # how many are measured at once
    weight: str | None
    on_rows: Callable[[int], None] | None = None  # told of rows as they are done

    def __call__(self, shard: Shard) -> Measured:
        digest = hashlib.sha256(shard.fingerprint.encode("utf-8", "surrogatepass")).hexdigest()
        if hasattr(shard, "summing") and all(
            not want.via and counted.SUMMED.issuperset(want.kinds) for want in self.wants
        ):
            shard = shard.summing()
        if self._one_by_one(shard):
            total = self._by_column(shard)
        else:
            total = self._fold(shard(), shard.name, getattr(shard, "row_of_first", 0))
        return dataclasses.replace(total, num_shards=1, digest=digest)

    def _one_by_one(self, shard: Shard) -> bool:
        alone = self.weight is None and all(
            len(want.columns) == 1 for want in self.wants
        )  # no column is needed by another
        return hasattr(shard, "one_by_one") and alone and len(self.wants) > 1

    def _by_column(self, shard: Any) -> Measured:
        """As `_fold`, a column after the other: the same statistics, since no column's depend on another's."""
        wants: dict[str, list[Want]] = {}
        for want in self.wants:
            wants.setdefault(want.column.name, []).append(want)
        found = {}
        for name, arrays in shard.one_by_one():
            if name not in wants:
                continue
            alone = dataclasses.replace(self, wants=tuple(wants[name]), on_rows=None)
            found[name] = alone._fold(({name: array} for array in arrays), shard.name)  # read at once
        totals = [found[name] for name in wants]
        if self.on_rows is not None:
            self.on_rows(totals[0].num_rows)
        kinds = dict.fromkeys(kind for total in totals for kind in total.statistics)
        joined = {
            kind: kind.join([total.statistics[kind] for total in totals if kind in total.statistics]) for kind in kinds
        }
        return Measured(totals[0].num_rows, 0, joined, "", {})

    def _fold(self, batches: Iterable[Batch], place: str, first_row: int = 0) -> Measured:
        """`first_row`: the number of the first row, as errors count them."""
        fold: Fold[Measured] = Fold(operator.add)
        for batch in recut(batches, self.rows):
            fold.push(measured := self.of(batch, place, first_row))
            first_row += measured.num_rows
            if self.on_rows is not None:
                self.on_rows(measured.num_rows)
        total = fold.total()
        return self.nothing() if total is None else total

    def _kinds(self, by: tuple[str, ...] = ()) -> list[type[Statistic]]:
        return list(dict.fromkeys(kind for want in self.wants if want.by == by for kind in want.kinds))

    def _by(self) -> list[tuple[str, ...]]:
        return list(dict.fromkeys(want.by for want in self.wants if want.by))

    def _features(self, by: tuple[str, ...]) -> dict[type[Statistic], int]:
        """How many features each kind of statistic has."""
        wants = [want for want in self.wants if want.by == by]
        return {kind: sum(w.features for w in wants if kind in w.kinds) for kind in self._kinds(by)}

    def nothing(self) -> Measured:
        """The statistics of no rows."""
        statistics = {kind: kind.nothing(features) for kind, features in self._features(()).items()}
        return Measured(0, 0, statistics, "", {by: Grouped.nothing(by, self._features(by)) for by in self._by()})

    def of(self, batch: Batch, place: str, first_row: int) -> Measured:
        """The statistics of rows at hand; `place` and the number of the first row are for errors."""
        num_rows = _length(batch)
        parts: dict[tuple[str, ...], dict[type[Statistic], list[Statistic]]] = {
            by: {kind: [] for kind in self._kinds(by)} for by in ((), *self._by())
        }
        partitions = {by: Partition.of({name: batch[name] for name in by}, place, first_row) for by in self._by()}
        for want in self.wants:
            came = batch[want.column.name]
            stored = came if isinstance(came, Stored) else None
            array = as_numbers(came if stored is None else stored.values, want.column)
            shape = came.shape if isinstance(came, Sparse) else array.shape
            if len(shape) > 1 and want.column.features not in (1, shape[-1]):
                raise DataError(
                    f"column {quoted([want.column.name])}: expected {want.column.features} features, got {shape[-1]} ({place})."
                )
            if want.via:
                array = self._through(want, batch, array, stored, place, first_row)
            weight: Any = None if self.weight is None else np.ma.asarray(batch[self.weight])
            if want.by:
                for kind, statistic in _by_key(want, array, stored, partitions[want.by], weight).items():
                    parts[want.by][kind].append(statistic)
                continue
            measured = _measured(want, array, stored, weight)
            for kind, statistic in measured.items():
                parts[()][kind].append(statistic)
            count = measured.get(Count)
            if want.column.name in self.infinite and isinstance(count, Count) and count.infinite.any():
                row = _first_row(np.isinf(np.ma.filled(array, 0)), stored)
                raise DataError(
                    f"column {quoted([want.column.name])}: infinite value in row {first_row + row} ({place}). "
                    'Mend it, or treat it as missing with infinite="missing".'
                )
        joined = {by: {kind: kind.join(several) for kind, several in kinds.items()} for by, kinds in parts.items()}
        grouped = {
            by: Grouped(partitions[by].keys, tuple(self._features(by).values()), tuple(joined[by].values()))
            for by in self._by()
        }
        return Measured(num_rows, 0, joined[()], "", grouped)

    def _through(
        self, want: Want, batch: Batch, array: np.ndarray, stored: Stored | None, place: str, first_row: int
    ) -> np.ndarray:
        keyed = {want.column.name: want.step} if want.step.keyed() else {}
        groups = groups_of(keyed, batch, _length(batch), place, first_row) if keyed else None
        # in float64: the statistics are of what exact arithmetic would give
        array = array.astype(np.float64)
        if isinstance(stored, Counted) and not want.step.elementwise:
            raise DataError(
                f"column {quoted([want.column.name])}: {want.via} takes channels together, and of images each is counted alone "
                f"({place}). Read them as arrays, and pass these."
            )
        if stored is None or isinstance(stored, Counted):
            mapped = apply(want.step, array, groups=groups, workers=1)
        else:
            mapped = apply_stored(want.step, stored.with_values(array), groups=groups).values
        if not want.step.domain:
            return mapped
        # numbers are compared with themselves, so before any of them changes its place
        own = mapped
        if not want.step.elementwise and stored is None:
            own = apply(_elementwise_part(want.step), array, groups=groups, workers=1)
        outside = np.isnan(np.ma.filled(own, 0)) & np.isfinite(np.ma.filled(array, np.nan).astype(np.float64))
        if outside.any():
            row = 0 if isinstance(stored, Counted) else _first_row(outside, stored)
            got = array[row] if stored is None else array[outside][0]
            raise DataError(
                f"column {quoted([want.column.name])}: {want.via} needs {want.step.domain}, got {got} in row "
                f"{first_row + row} ({place}). Choose another technique, or leave such rows out."
            )
        return mapped


def _elementwise_part(step: Map) -> Map:
    """What it does up to the first step that mixes or moves numbers."""
    steps = step.maps if isinstance(step, Chain) else (step,)
    return chain(*itertools.takewhile(lambda one: one.elementwise, steps))


def _measured(
    want: Want, array: np.ndarray, stored: Stored | None, weight: np.ndarray | None
) -> dict[type[Statistic], Statistic]:
    """The statistics of one column: of rows, of the steps of ragged rows, or of what sparse rows store and what they do not."""
    if isinstance(stored, Counted | Summed):
        return counted.measure(array, stored, want.kinds, want.column.features)
    if isinstance(stored, Sparse):
        return measure(stored.with_values(array), want.kinds, want.column.features, _absent(want), weight)
    rows = array.reshape(-1, want.features)
    if weight is not None and stored is not None:
        weight = np.repeat(weight, stored.lengths)
    if weight is not None and len(rows) != len(weight):  # several values of a feature in one row
        weight = np.repeat(weight, len(rows) // max(1, len(weight)))
    block = prepare(rows, weight)
    kinds = sorted(want.kinds, key=lambda kind: kind is not Quantiles)  # it measures the rest as it reads
    return {kind: kind.of_block(block) for kind in kinds}


def _absent(want: Want) -> float | np.ndarray:
    """What a place of sparse rows stands for where nothing is stored, after the maps: a number, or one a feature."""
    if not want.via:
        return want.column.absent
    if want.step.keyed() and (why := sparse_flaw(want.step, want.column.absent)):
        raise DataError(
            f"column {quoted([want.column.name])}: {want.via}: {why}. Pass dense rows (x.toarray()), or choose what "
            "keeps zeros."
        )
    return after(want.step, want.column.absent)


def _by_key(
    want: Want, array: np.ndarray, stored: Stored | None, partition: Partition, weight: np.ndarray | None
) -> dict[type[Statistic], Statistic]:
    """As `_measured`, for every key; each step of a ragged row, and each place of a sparse one, has the row's."""
    if isinstance(stored, Counted):
        raise DataError(
            f"column {quoted([want.column.name])}: images that are counted as they are read have no statistics by key. "
            "Read them as arrays, and pass these."
        )
    if isinstance(stored, Sparse):
        keys = len(partition.keys)
        by = (partition.groups, keys)
        return measure(stored.with_values(array), want.kinds, want.column.features, _absent(want), weight, by)
    if stored is not None:
        partition = Partition(partition.keys, np.repeat(partition.groups, stored.lengths))
        weight = None if weight is None else np.repeat(weight, stored.lengths)
    rows = array.reshape(-1, want.features)
    times = len(rows) // max(1, len(partition.groups))  # several values of a feature in one row
    weight = weight if weight is None or times == 1 else np.repeat(weight, times)
    found = of_partition(want.kinds, partition.repeated(times), rows, weight)
    return dict(zip(want.kinds, found, strict=True))


def _first_row(found: np.ndarray, stored: Stored | None = None) -> int:
    index = int(np.flatnonzero(found.reshape(len(found), -1).any(axis=1))[0])
    return index if stored is None else stored.row_of(index)


def as_numbers(array: np.ndarray, column: Column) -> np.ndarray:
    """A column's array as numbers: times as their count of the column's unit (since 1970, for dates), missing as NaN."""
    if array.dtype.kind not in "mM":
        return array
    if column.unit is None:
        raise ChoiceError(
            f"column {column.name!r}: holds times ({array.dtype}); say in which unit to count them, "
            f'unit={{{column.name!r}: "s"}} (or "D", "h", "ms", "ns", ...), or cast the column to numbers.'
        )
    data, absent = np.asarray(array), np.ma.getmaskarray(array) | np.isnat(np.asarray(array))
    name, many = np.datetime_data(data.dtype)
    step, unit = np.timedelta64(many, name), np.timedelta64(1, column.unit)  # type: ignore[call-overload]
    counts = data.astype(np.int64)
    if step == unit:  # integers stay integers: float64 does not hold nanoseconds
        return np.ma.MaskedArray(counts, absent) if absent.any() else counts
    numbers = counts * (step / unit) if step > unit else counts / (unit / step)  # exact, by whole factors
    null = np.ma.getmaskarray(array)
    numbers[absent] = np.nan
    return np.ma.MaskedArray(numbers, null) if null.any() else numbers


def _length(batch: Batch) -> int:
    return next((len(batch[name]) for name in batch), 0)


def recut(batches: Any, rows: int) -> Iterator[Batch]:
    """The same rows in batches of exactly `rows` (the last may be shorter), so that a reader's batch size never shows."""
    waiting: list[Batch] = []
    held = 0
    for batch in batches:
        size = _length(batch)
        start = 0
        if held and held + size >= rows:
            start = rows - held
            yield _joined([*waiting, {k: v[:start] for k, v in batch.items()}])
            waiting, held = [], 0
        while size - start >= rows:
            yield batch if size == rows and not start else {k: v[start : start + rows] for k, v in batch.items()}
            start += rows
        if start < size:
            waiting.append({k: v[start:] for k, v in batch.items()} if start else batch)
            held += size - start
    if held:
        yield _joined(waiting)


def _joined(batches: list[Batch]) -> Batch:
    return batches[0] if len(batches) == 1 else _Joined(batches)


class _Joined(Mapping[str, np.ndarray]):
    """Several batches as one; a column is put together when it is asked for, so that never all lie in memory twice."""

    def __init__(self, batches: list[Batch]) -> None:
        self._batches = batches

    def __getitem__(self, name: str) -> np.ndarray:
        parts = [batch[name] for batch in self._batches]
        if all(isinstance(part, TextArray) for part in parts):
            return TextArray.join(parts)  # type: ignore[return-value, arg-type]  # behaves as an array does
        masked = any(isinstance(part, np.ma.MaskedArray) for part in parts)
        return np.ma.concatenate(parts) if masked else np.concatenate(parts)  # type: ignore[no-untyped-call]

    def __iter__(self) -> Iterator[str]:
        return iter(self._batches[0])

    def __len__(self) -> int:
        return len(self._batches[0])
