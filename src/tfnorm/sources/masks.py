"""Masks: which steps of padded rows are there.

The one law: a masked value is null, whatever number lies under it, and wherever the mask came from: an array beside the data, a
column among them, or the number that rows were padded with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources import Batch, Column, Shard, Source
from tfnorm.sources.columns import cell, describe, pick, quoted
from tfnorm.sources.stored import Ragged

Masks = Mapping[str, Any]
"""Column -> the name of its mask's column, a number that is padding, or an array: True where a step is there."""


def masked(source: Source, mask: Any, chosen: Sequence[str]) -> Source:
    """The source with its masks applied; `mask` is a mapping by column, or one for all columns that are chosen."""
    masks = {str(name): one for name, one in mask.items()} if isinstance(mask, Mapping) else dict.fromkeys(chosen, mask)
    for column in pick(source.columns, masks, source.name):
        name, one = column.name, masks[column.name]
        if column.layout == "sparse":
            raise DataError(
                f'mask: column {quoted([name])} is sparse. Leave out what is missing, and say so: sparse="missing".'
            )
        if isinstance(one, str):
            _check_column(column, *pick(source.columns, [one], source.name))
        elif not _is_number(one):
            masks[name] = _array(one, column, source)
    return (MaskedThere if hasattr(source, "states") else Masked)(source, masks)


def names_of(mask: Any) -> list[str]:
    """The columns that hold masks: no numbers to be normalized."""
    return [one for one in (mask.values() if isinstance(mask, Mapping) else [mask]) if isinstance(one, str)]


def _is_number(mask: Any) -> bool:
    return isinstance(mask, (int, float, np.number)) and not isinstance(mask, (bool, np.bool_))


def _check_column(column: Column, mask: Column) -> None:
    if mask.kind != "number" or len(mask.shape) > len(column.shape):
        raise DataError(
            f"mask of column {quoted([column.name])}: {quoted([mask.name])} holds {describe(mask)}; expected True and False "
            f"of the leading shape of rows of {describe(column)}, True where a step is there."
        )


def _array(mask: Any, column: Column, source: Source) -> np.ndarray:
    """A mask that was given beside the data, checked as far as one can before they are read."""
    if source.num_rows is None:
        raise DataError(
            f"mask of column {quoted([column.name])}: {source.name} is read as it comes; expected the name of the mask's "
            f"column, or the number that is padding, got {type(mask).__name__}."
        )
    array = np.asarray(mask)
    expected = f"expected True and False of the leading shape of ({source.num_rows}, ...), True where a step is there"
    if array.dtype.kind not in "biu" or not array.ndim or len(array) != source.num_rows:
        raise DataError(
            f"mask of column {quoted([column.name])}: {expected}, got {array.dtype.name} of shape {array.shape}."
        )
    return array


@dataclass(frozen=True)
class Masked:
    """A source whose masked values are null. Columns of masks are read with the columns they belong to."""

    source: Source
    masks: Masks

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.source.columns

    @property
    def bare(self) -> bool:
        return self.source.bare

    @property
    def weight(self) -> str | None:
        return self.source.weight

    @property
    def num_rows(self) -> int | None:
        return self.source.num_rows

    @property
    def repeatable(self) -> bool:
        return self.source.repeatable

    @property
    def skipped(self) -> Sequence[tuple[str, str]]:
        """What could not be read."""
        return getattr(self.source, "skipped", ())

    def _of(self, columns: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """The masks of these columns, and the columns that are read for both."""
        masks = {name: self.masks[name] for name in columns if name in self.masks}
        return masks, list(dict.fromkeys([*columns, *(one for one in masks.values() if isinstance(one, str))]))

    def shards(self, columns: Sequence[str]) -> Iterator[Shard]:
        masks, read = self._of(columns)
        start = 0
        for shard in self.source.shards(read):
            own = masks
            if any(isinstance(one, np.ndarray) for one in masks.values()):
                stop = start + (shard.num_rows or 0)
                own = {k: one[start:stop] if isinstance(one, np.ndarray) else one for k, one in masks.items()}
                start = stop
            yield MaskedShard(shard, own)


@dataclass(frozen=True)
class MaskedThere(Masked):
    """One of which workers hold the rows: they mask them, too."""

    def states(self, columns: Sequence[str], work: Any, told: Any) -> Iterable[bytes]:
        """As the source has it."""
        masks, read = self._of(columns)
        there: Any = self.source
        return there.states(read, _Masking(work, masks), told)


@dataclass(frozen=True)
class _Masking:
    """`tfnorm.elsewhere.Held` of parts whose masks are yet to be applied."""

    work: Any
    masks: Masks

    def __call__(self, task: Any) -> bytes:
        return self.work(replace(task, shards=tuple(MaskedShard(shard, self.masks) for shard in task.shards)))

    def part(self, number: int, shard: Shard) -> bytes:
        return self.work.part(number, MaskedShard(shard, self.masks))

    def joined(self, number: int, messages: Iterable[bytes]) -> bytes:
        return self.work.joined(number, messages)


@dataclass(frozen=True)
class MaskedShard:
    """A part of a masked source."""

    shard: Shard
    masks: Masks

    @property
    def name(self) -> str:
        return self.shard.name

    @property
    def fingerprint(self) -> str:
        said = {name: _digest(one) if isinstance(one, np.ndarray) else one for name, one in self.masks.items()}
        return f"{self.shard.fingerprint}, masked by {said}"

    @property
    def num_rows(self) -> int | None:
        return self.shard.num_rows

    @property
    def row_of_first(self) -> int:
        """How the first row is called in errors."""
        return getattr(self.shard, "row_of_first", 0)

    @property
    def path(self) -> str:
        """Of the file that it is a part of."""
        return self.shard.path  # type: ignore[attr-defined]

    def __call__(self) -> Iterable[Batch]:
        row = 0
        for batch in self.shard():
            num_rows = len(next(iter(batch.values())))
            part = slice(row, row + num_rows)
            yield {**batch, **{name: self._masked(batch, name, part) for name in self.masks}}
            row += num_rows

    def _masked(self, batch: Batch, name: str, part: slice) -> np.ndarray:
        values, mask = batch[name], self.masks[name]
        if _is_number(mask):
            return _padded(values, mask)
        there = batch[mask] if isinstance(mask, str) else mask[part]
        return _where(values, there, f"mask of column {quoted([name])} ({self.name})")


def _padded(values: Any, number: Any) -> Any:
    """Null where every feature of a step is the number; single numbers and plain vectors each by itself."""
    if isinstance(values, Ragged):
        steps = values.values
        return values.with_values(_null(steps, _all_of_a_step(np.ma.getdata(steps) == number, 1)))
    return _null(values, _all_of_a_step(np.ma.getdata(values) == number, 2))


def _all_of_a_step(same: np.ndarray, first_feature: int) -> np.ndarray:
    axes = tuple(range(first_feature, same.ndim))
    return np.broadcast_to(same.all(axis=axes, keepdims=True), same.shape) if axes else same


def _where(values: Any, there: Any, what: str) -> Any:
    """Null where `there` is not True; it has the leading shape of the values."""
    if isinstance(values, Ragged):
        if isinstance(there, Ragged) and np.array_equal(there.starts, values.starts):
            there = there.values
        elif not isinstance(there, Ragged) and there.shape == (len(values),):
            there = np.repeat(there, values.lengths)
        else:
            raise DataError(
                f"{what}: expected as many steps in every row as the column has. Mask and column go together."
            )
        return values.with_values(_where(values.values, there, what))
    if isinstance(there, Ragged) or there.shape != values.shape[: there.ndim] or there.dtype.kind not in "biu":
        got = "ragged rows" if isinstance(there, Ragged) else f"{there.dtype.name} of shape {there.shape}"
        raise DataError(
            f"{what}: expected True and False of the leading shape of {values.shape}, True where a step is there, got {got}."
        )
    if np.ma.getdata(there).size and not np.isin(np.ma.getdata(there), (0, 1)).all():
        raise DataError(f"{what}: expected True and False (or 1 and 0), got {cell(np.ma.getdata(there).max())}.")
    gone = ~np.ma.filled(there.astype(bool), False)
    return _null(values, np.broadcast_to(gone.reshape(gone.shape + (1,) * (values.ndim - gone.ndim)), values.shape))


def _null(values: np.ndarray, gone: np.ndarray) -> np.ndarray:
    return np.ma.MaskedArray(np.ma.getdata(values), gone | np.ma.getmaskarray(values)) if gone.any() else values


def _digest(mask: np.ndarray) -> str:
    return hashlib.sha256(mask.tobytes()).hexdigest()[:16]
