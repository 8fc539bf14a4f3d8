"""Batches that come one after another: generators, functions that return them, datasets, Arrow streams.

The one law: batches are cut anew into shards of `rows_per_shard` rows, so the statistics do not depend on the batch
size and are, bit for bit, those of the same rows as one array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources import BARE, WEIGHT, Batch, Column, Shard
from tfnorm.sources.columns import (
    KIND_NOUNS,
    cell,
    column_like,
    delivered,
    describe,
    pick,
    quoted,
    rows_per_shard,
    weight_column,
)
from tfnorm.sources.forms import as_batch_column
from tfnorm.sources.frames import is_frame, read_columns, table_of
from tfnorm.sources.stored import Stored

Read = Callable[[Sequence[Column]], Iterable[dict[str, np.ndarray]]]
"""Columns -> batches with these columns, and WEIGHT where the weights come beside them."""


@dataclass(frozen=True)
class MemoryShard:
    """Rows that were copied out of a stream."""

    name: str
    fingerprint: str
    batch: Batch

    @property
    def num_rows(self) -> int:
        return next((len(array) for array in self.batch.values()), 0)

    def __call__(self) -> Iterable[Batch]:
        return (self.batch,)


@dataclass(frozen=True)
class StreamSource:
    """Batches as a source. Its shards lie in memory: take one, measure it, drop it."""

    name: str
    columns: tuple[Column, ...]
    bare: bool
    weight: str | None
    repeatable: bool
    read: Read
    lasting: bool  # whether a batch stays as it is once the next one came, so that its memory may be handed on

    @property
    def num_rows(self) -> None:
        return None

    def shards(self, columns: Sequence[str]) -> Iterator[Shard]:
        wanted = asked = pick(self.columns, columns, self.name)
        if self.weight is not None and self.weight != WEIGHT:
            wanted = pick(self.columns, (*columns, self.weight), self.name)
        return self._shards(wanted, rows_per_shard(asked))

    def _shards(self, columns: tuple[Column, ...], step: int) -> Iterator[Shard]:
        start = 0
        what = ", ".join(f"{column.name}: {describe(column)}" for column in columns)
        for batch in cut(self.read(columns), step, lasting=self.lasting):
            stop = start + len(next(iter(batch.values())))
            fingerprint = f"{self.name}, {start} to {stop - 1} of {what}"
            yield MemoryShard(f"{self.name}, rows {start} to {stop - 1}", fingerprint, batch)
            start = stop
        if start == 0:
            raise DataError(f"{self.name}: it has no rows. Statistics need at least one.")


def cut(
    batches: Iterable[dict[str, np.ndarray]], step: int, *, lasting: bool = False
) -> Iterator[dict[str, np.ndarray]]:
    """The same rows in batches of `step`, the last one shorter.

    Rows are copied once, into arrays made for the whole shard; not at all where a batch holds a whole shard and lasts.
    """
    buffers: dict[str, _Buffer | _Parts] = {}
    filled = 0
    for batch in batches:
        num_rows = len(next(iter(batch.values()))) if batch else 0
        start = 0
        while start < num_rows:
            take = min(step - filled, num_rows - start)
            if take == step and lasting:
                yield {name: array[start : start + step] for name, array in batch.items()}
            else:
                if filled == 0:
                    buffers = {name: _buffer(array, step) for name, array in batch.items()}
                for name, array in batch.items():
                    buffers[name].put(filled, array[start : start + take])
                filled += take
                if filled == step:
                    yield {name: buffer.rows(step) for name, buffer in buffers.items()}
                    filled = 0
            start += take
    if filled:
        yield {name: buffer.rows(filled) for name, buffer in buffers.items()}


def _buffer(like: Any, step: int) -> _Buffer | _Parts:
    return _Parts() if isinstance(like, Stored) else _Buffer(like, step)


class _Parts:
    """Sparse or ragged rows of a shard, which have no room of their own: kept as they came, and joined."""

    def __init__(self) -> None:
        self.parts: list[Any] = []

    def put(self, start: int, rows: Any) -> None:  # noqa: ARG002  # as _Buffer has it
        self.parts.append(rows)

    def rows(self, stop: int) -> np.ndarray:  # noqa: ARG002
        return self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)


class _Buffer:
    """Room for the rows of one column of a shard, filled from the front; wider where a wider dtype comes."""

    def __init__(self, like: np.ndarray, step: int) -> None:
        self.data = np.empty((step, *like.shape[1:]), like.dtype)
        self.mask: np.ndarray | None = None

    def put(self, start: int, rows: np.ndarray) -> None:
        stop = start + len(rows)
        if rows.dtype != self.data.dtype:
            self.data = self.data.astype(np.result_type(self.data, rows), copy=False)
        self.data[start:stop] = np.ma.getdata(rows)
        if isinstance(rows, np.ma.MaskedArray) and self.mask is None:
            self.mask = np.zeros(self.data.shape, dtype=bool)
        if self.mask is not None:
            self.mask[start:stop] = np.ma.getmaskarray(rows)

    def rows(self, stop: int) -> np.ndarray:
        return self.data[:stop] if self.mask is None else np.ma.MaskedArray(self.data[:stop], self.mask[:stop])


def open_columns(
    name: str, columns: tuple[Column, ...], read: Read, *, weight: Any = None, repeatable: bool = True
) -> StreamSource:
    """A source of named columns, known beforehand, that are read as a stream."""
    if weight is not None and not isinstance(weight, str):
        raise DataError(
            f"weight: {name} is read as a stream; expected the name of its column of weights, got "
            f"{type(weight).__name__}."
        )
    if weight is not None:
        weight_column(columns, weight, name)
    return StreamSource(name, columns, False, weight, repeatable, read if repeatable else _Once(read, name), True)


class _Once:
    """Something to read that cannot be read again."""

    def __init__(self, read: Read, name: str) -> None:
        self.read, self.name, self.used = read, name, False

    def __call__(self, columns: Sequence[Column]) -> Iterable[dict[str, np.ndarray]]:
        if self.used:
            raise DataError(
                f"{self.name}: it was read already and cannot be read twice. "
                "Pass a function that returns a new one each time (`lambda: batches()`), a tf.data.Dataset, or arrays."
            )
        self.used = True
        return self.read(columns)


def holds_batches(data: Sequence[Any]) -> bool:
    """Whether a list holds batches rather than rows; where it might hold either, an error that says how to tell.

    Tuples that begin with an array or a mapping of arrays, and tables, are batches. Arrays of two and more
    dimensions, and mappings of arrays only, could be rows as well.
    """
    first: Any = data[0] if len(data) else None
    if isinstance(data, list) and (is_frame(first) or (isinstance(first, tuple) and first and _has_rows(first[0]))):
        return True
    if _has_rows(first) and (isinstance(first, Mapping) or np.ndim(first) > 1 or isinstance(data, tuple)):
        kind = type(data).__name__
        raise DataError(
            f"{kind} of {type(first).__name__}: its items could be rows or batches. "
            "Pass `numpy.stack(items)` where each is a row, `lambda: items` where each is a batch; of (x, y) "
            "pass x alone."
        )
    return False


def _has_rows(data: Any) -> bool:
    """Whether it is an array, or a mapping of nothing but arrays."""
    if isinstance(data, Mapping):
        return bool(data) and all(_has_rows(value) for value in data.values())
    return len(getattr(data, "shape", ())) > 0


def open_batches(batches: Iterable[Any], *, weight: Any = None, name: str | None = None) -> StreamSource:
    """An iterable of batches: arrays, tables, mappings, (x, y) or (x, y, weight). An iterator can be read once."""
    name = name or type(batches).__name__
    iterator = iter(batches)
    first = next(iterator, None)
    if first is None:
        raise DataError(f"{name}: it has no batches. Statistics need at least one row.")
    bare, columns, weight = _schema(first, weight, name)
    if iterator is batches:
        rest = chain([first], iterator)
        return StreamSource(name, columns, bare, weight, False, _Once(_reader(lambda: rest, weight, name), name), False)
    return StreamSource(
        name, columns, bare, weight, True, _reader(lambda: batches, weight, name), isinstance(batches, (list, tuple))
    )


def open_function(function: Callable[[], Any], *, weight: Any = None) -> StreamSource:
    """A function without arguments that returns an iterable of batches, a new one each time."""
    name = getattr(function, "__name__", type(function).__name__)
    result = function()
    if not isinstance(result, Iterable):
        raise DataError(
            f"{name}: expected that it returns batches, got {type(result).__name__}. "
            "Return an iterable of arrays or mappings."
        )
    first = next(iter(result), None)
    if first is None:
        raise DataError(f"{name}: it returned no batches. Statistics need at least one row.")
    bare, columns, weight = _schema(first, weight, name)

    def fresh() -> Iterable[Any]:
        again = function()
        if again is result and isinstance(again, Iterator):
            raise DataError(
                f"{name}: it returned the same iterator twice, which was read already. Return a new one each time."
            )
        return again

    return StreamSource(name, columns, bare, weight, True, _reader(fresh, weight, name), False)


def _schema(first: Any, weight: Any, name: str) -> tuple[bool, tuple[Column, ...], str | None]:
    """Whether the batches are bare, their columns, and the key of the weights."""
    features, weights = parts(first, weight is True, 0, name)
    if is_frame(features):
        table = table_of(features)
        columns = () if table is None else table.columns
    else:
        columns = tuple(column_like(column, array) for column, array in named(features, None, 0, name).items())
    if not columns:
        raise DataError(f"{name}, batch 0: it has no columns. Pass at least one.")
    bare = not isinstance(features, Mapping) and not is_frame(features)
    if weight is None or weight is False:
        return bare, columns, None
    if weight is True:
        assert weights is not None
        return bare, columns, WEIGHT
    if not isinstance(weight, str):
        raise DataError(
            f"weight: expected True (for (x, y, weight) batches) or a column's name, got {type(weight).__name__}."
        )
    weight_column(columns, weight, name)
    return bare, columns, weight


def parts(batch: Any, weighted: bool, number: int, name: str) -> tuple[Any, Any]:
    """The features of a batch, and its weights where wanted: x, (x,), (x, y) or (x, y, weight), as Keras has it."""
    if not isinstance(batch, tuple):
        batch = (batch,)
    if not 1 <= len(batch) <= 3:
        raise DataError(f"{name}, batch {number}: expected x, (x, y) or (x, y, weight), got a tuple of {len(batch)}.")
    if not weighted:
        return batch[0], None
    if len(batch) < 3 or batch[2] is None:
        raise DataError(
            f"{name}, batch {number}: weight=True expects (x, y, weight), got no weights. "
            "Leave weight out, or give them."
        )
    return batch[0], batch[2]


def named(features: Any, columns: Sequence[Column] | None, number: int, name: str) -> dict[str, np.ndarray]:
    """The features of one batch as named arrays; `columns`: only these, and checked against them."""
    if is_frame(features):
        table = table_of(features)
        if table is None:
            raise DataError(
                f"{name}, batch {number}: expected a table in memory, got {type(features).__name__}. Collect it first."
            )
        names = [column.name for column in table.columns] if columns is None else [column.name for column in columns]
        batch = dict(read_columns(features, names)) if table.num_rows else {}
    elif isinstance(features, Mapping):
        by_name = {str(key): value for key, value in features.items()}
        if columns is None:
            wanted = list(by_name)
        else:
            wanted = [column.name for column in columns]
            missing = [column for column in wanted if column not in by_name]
            if missing:
                raise DataError(
                    f"{name}, batch {number}: columns {quoted(missing)} are missing; it has {quoted(by_name)}."
                )
        batch = {column: _array(by_name[column], column, number, name) for column in wanted}
    else:
        batch = {BARE: _array(features, BARE, number, name)}
    for column in columns or ():
        if column.name not in batch:
            if not batch:
                continue
            raise DataError(
                f"{name}, batch {number}: expected columns {quoted(c.name for c in columns or ())}, got an array "
                "without names."
            )
        _check(column, batch[column.name], number, name)
    lengths = {column: len(array) for column, array in batch.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{quoted([column])} {length}" for column, length in list(lengths.items())[:10])
        raise DataError(f"{name}, batch {number}: expected as many rows in every column, got {listed}.")
    return batch


def _array(value: Any, column: str, number: int, name: str) -> np.ndarray:
    try:
        array = as_batch_column(value, column)
    except (ValueError, TypeError):
        got = type(value).__name__
        raise DataError(
            f"{name}, batch {number}, column {quoted([column])}: expected an array, got {got} of uneven rows."
        ) from None
    if len(array.shape) == 0:
        raise DataError(
            f"{name}, batch {number}, column {quoted([column])}: expected rows, got a single value ({cell(array)}). "
            "Yield batches of shape (n,) or (n, d), not single examples."
        )
    return array


def _check(column: Column, array: np.ndarray, number: int, name: str) -> None:
    now = column_like(column.name, array)
    if now.kind != column.kind or now.layout != column.layout:
        got = f"expected {KIND_NOUNS[column.kind]} as in batch 0, got {now.dtype}"
        if now.kind == column.kind:
            got = f"expected {column.layout} rows as in batch 0, got {now.layout} ones"
        raise DataError(f"{name}, batch {number}, column {quoted([column.name])}: {got}. Cast it, or leave it out.")
    if column.kind != "other" and (
        len(now.shape) != len(column.shape)
        or any(d is not None and d != e for d, e in zip(column.shape, now.shape, strict=True))
    ):
        expected = f"expected rows of shape {column.shape} as in batch 0, got {now.shape}"
        raise DataError(
            f"{name}, batch {number}, column {quoted([column.name])}: {expected}. Give every batch the same shape."
        )


def _reader(open_: Callable[[], Iterable[Any]], weight: str | None, name: str) -> Read:
    """Raw batches as named arrays, checked one by one."""

    return lambda columns: read_raw(open_(), columns, weight, name)


def read_raw(
    batches: Iterable[Any], columns: Sequence[Column], weight: str | None, name: str
) -> Iterator[dict[str, np.ndarray]]:
    """Raw batches as named arrays with these columns, and the weights under WEIGHT where `weight` says so."""
    for number, raw in enumerate(batches):
        features, weights = parts(raw, weight == WEIGHT, number, name)
        batch = named(features, columns, number, name)
        if weight == WEIGHT and batch:
            batch[WEIGHT] = _weights(weights, batch, number, name)
        yield batch


def _weights(weights: Any, batch: Batch, number: int, name: str) -> np.ndarray:
    array = delivered(weights)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    num_rows = len(next(iter(batch.values())))
    if array.shape != (num_rows,) or array.dtype.kind not in "biuf":
        expected = f"expected {num_rows} weights, one a row, got {array.dtype.name} of shape {array.shape}"
        raise DataError(f"{name}, batch {number}: {expected}.")
    return array
