"""A `ray.data.Dataset`, measured where its blocks lie.

The one law: rows are cut as those of an array are, in the order of the data set, so the statistics are, bit for bit, those of the
same rows in one table, however its blocks are cut and wherever they lie.

Blocks come as Ray Data makes them, in order; a task gets those that hold the rows of its part, and none passes through here.
Where a step of the data set puts rows in another order each time (a shuffle without a seed), only that differs.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tfnorm.errors import DataError
from tfnorm.patience import waits
from tfnorm.sources import Batch, Column, Shard
from tfnorm.sources.arrow import batches_of, needs_head, schema_columns
from tfnorm.sources.columns import describe, pick, rows_per_shard, weight_column
from tfnorm.sources.streams import open_columns

NAME = "ray.data.Dataset"
HEAD_ROWS = 1024
RETRIES = 3  # of a part whose worker or host died
PER_CORE = 2  # parts that are waited for: none is idle, and no more blocks are held than these need
_log = logging.getLogger("tfnorm")


@dataclass(frozen=True)
class Part:
    """What a worker is sent: the number of a part of the rows, and it as the only shard."""

    number: int
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class BlocksShard:
    """Some rows of blocks, on the worker that has them."""

    name: str
    fingerprint: str
    num_rows: int
    tables: tuple[Any, ...]
    columns: tuple[Column, ...]

    def __call__(self) -> Iterable[Batch]:
        return batches_of(self.tables, self.columns, self.name)


@dataclass(frozen=True)
class RaySource:
    """A data set, as a source."""

    data: Any
    columns: tuple[Column, ...]
    weight: str | None
    name: str = NAME
    bare: bool = False
    num_rows: int | None = None
    repeatable: bool = True

    def shards(self, columns: Sequence[str]) -> Iterator[Shard]:
        """Its rows here, one part after the other, for what is done here with a sample of them."""
        stream = open_columns(self.name, self.columns, self._read, weight=self.weight)
        return stream.shards(columns)

    def _read(self, columns: Sequence[Column]) -> Iterator[Any]:
        for reference, start, stop in _blocks(self.data):
            yield from batches_of([_table(_got(reference), start, stop)], columns, self.name)

    def states(self, columns: Sequence[str], work: Callable[[Any], bytes], _told: Any) -> Iterator[bytes]:
        """What `work` makes of each part, by workers of Ray, in any order: as they come, so that nothing is told besides."""
        import ray

        asked = pick(self.columns, columns, self.name)
        wanted = asked if self.weight is None else pick(self.columns, (*columns, self.weight), self.name)
        what = ", ".join(f"{column.name}: {describe(column)}" for column in wanted)
        window = PER_CORE * max(1, int(ray.cluster_resources().get("CPU", 1)))
        running = _Running(work, wanted)
        first = 0
        try:
            for number, pieces in enumerate(cut(_blocks(self.data), rows_per_shard(asked))):
                rows = sum(stop - start for _, start, stop in pieces)
                place = f"{first} to {first + rows - 1}"
                names = (f"{self.name}, rows {place}", f"{self.name}, {place} of {what}")
                spans = [(start, stop) for _, start, stop in pieces]
                running.ask(number, names, spans, [block for block, _, _ in pieces])
                first += rows
                while len(running) >= window:
                    yield running.next()
            while running:
                yield running.next()
        finally:
            running.cancel()


class _Running:
    """Parts that workers have been asked for: what comes first of each, and counts."""

    def __init__(self, work: Callable[[Any], bytes], columns: Sequence[Column]) -> None:
        import ray

        # without a claim on a core: Ray Data's own workers may hold them all until somebody takes their blocks
        self._run = ray.remote(num_cpus=0, max_retries=RETRIES)(_measured)
        self._job = ray.put((work, tuple(columns)))
        self._waiting: dict[Any, int] = {}  # reference -> number of the part, of which there may be several
        self._parts: dict[int, tuple[Any, ...]] = {}  # number -> what is sent besides, as long as it may be sent again

    def __len__(self) -> int:
        return len(self._parts)

    def ask(self, number: int, names: tuple[str, str], spans: Any, blocks: Sequence[Any]) -> None:
        self._parts[number] = (names, spans, *blocks)
        self._send(number, _where(blocks))

    def next(self) -> bytes:
        """The first that is there; it is waited for no longer."""
        import ray

        for patience in waits():
            done, _ = ray.wait(list(self._waiting), num_returns=1, timeout=patience)
            if done:
                return self._taken(done[0])
            _log.warning("%s: nothing came for %g seconds; %d parts are asked for again", NAME, patience, len(self))
            for number in self._parts:
                self._send(number, {"scheduling_strategy": "SPREAD"})
        raise DataError(f"{NAME}: nothing came from Ray's workers for {sum(waits()):g} seconds. Their logs tell more.")

    def cancel(self) -> None:
        """What nobody waits for any longer."""
        import ray

        for reference in self._waiting:
            ray.cancel(reference, force=True)

    def _send(self, number: int, where: dict[str, Any]) -> None:
        reference = self._run.options(**where).remote(self._job, number, *self._parts[number])
        self._waiting[reference] = number

    def _taken(self, reference: Any) -> bytes:
        import ray

        number = self._waiting.pop(reference)
        del self._parts[number]
        for other in [one for one, of in self._waiting.items() if of == number]:
            del self._waiting[other]
            ray.cancel(other, force=True)
        try:
            return bytes(ray.get(reference))
        except ray.exceptions.RayError as error:
            raise DataError(
                f"{NAME}: a worker of Ray failed: {str(error).splitlines()[0]}. Its logs tell more."
            ) from error


Piece = tuple[Any, int, int]
"""The reference of a block, and the first and the last but one of its rows."""


def cut(blocks: Iterable[Piece], step: int) -> Iterator[list[Piece]]:
    """The same rows in parts of `step`, the last one shorter.

    >>> list(cut([("a", 0, 3), ("b", 2, 4), ("c", 0, 5)], 4))
    [[('a', 0, 3), ('b', 2, 3)], [('b', 3, 4), ('c', 0, 3)], [('c', 3, 5)]]
    """
    part: list[Piece] = []
    room = step
    for block, first, stop in blocks:
        start = first
        while start < stop:
            end = min(stop, start + room)
            part.append((block, start, end))
            room -= end - start
            start = end
            if room == 0:
                yield part
                part, room = [], step
    if part:
        yield part


def open_dataset(data: Any, *, weight: Any = None) -> RaySource:
    """A data set of Ray, which its workers measure."""
    if weight is not None and not isinstance(weight, str):
        raise DataError(f"weight: expected the name of a column of {NAME}, got {type(weight).__name__}.")
    schema: Any = getattr(data.schema(), "base_schema", None)
    head: Any = None
    if not hasattr(schema, "metadata") or any(needs_head(field.type) for field in schema):  # blocks of pandas, or lists
        head = data.take_batch(HEAD_ROWS, batch_format="pyarrow") if schema is not None else None
        schema = getattr(head, "schema", None)
    if schema is None or not len(schema):
        raise DataError(f"{NAME}: it has no rows, or no columns. Statistics need at least one.")
    columns = schema_columns(schema, NAME, head)
    if weight is not None:
        weight_column(columns, weight, NAME)
    return RaySource(data, columns, weight)


def _blocks(data: Any) -> Iterator[Piece]:
    """Its blocks in order, as they are made."""
    context = data.context
    before = context.execution_options
    options = copy.copy(before)
    options.preserve_order = True
    context.execution_options = options
    try:
        bundles = data.iter_internal_ref_bundles()
    finally:
        context.execution_options = before
    for bundle in bundles:
        slices = getattr(bundle, "slices", None) or [None] * len(bundle.block_refs)
        for reference, about, piece in zip(bundle.block_refs, bundle.metadata, slices, strict=True):
            if piece is not None:
                yield reference, piece.start_offset, piece.end_offset
            else:
                rows = about.num_rows
                yield reference, 0, len(_table(_got(reference))) if rows is None else rows


def _where(blocks: Sequence[Any]) -> dict[str, Any]:
    """The host that has the first of them, where Ray tells it."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    try:
        hosts = ray.experimental.get_object_locations(blocks[:1])[blocks[0]]["node_ids"]
    except (AttributeError, KeyError, ray.exceptions.RayError):
        hosts = []
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(hosts[0], soft=True)} if hosts else {}


def _got(reference: Any) -> Any:
    import ray

    return ray.get(reference)


def _table(block: Any, start: int = 0, stop: int | None = None) -> Any:
    """Rows of a block as a table of Arrow."""
    from ray.data.block import BlockAccessor

    table = BlockAccessor.for_block(block).to_arrow()
    return table.slice(start, None if stop is None else stop - start)


def _measured(
    job: tuple[Callable[[Any], bytes], tuple[Column, ...]],
    number: int,
    names: tuple[str, str],
    spans: Sequence[tuple[int, int]],
    *blocks: Any,
) -> bytes:
    """By a worker."""
    work, columns = job
    tables = tuple(_table(block, *span) for block, span in zip(blocks, spans, strict=True))
    shard = BlocksShard(*names, sum(len(table) for table in tables), tables, columns)
    return work(Part(number, (shard,)))
