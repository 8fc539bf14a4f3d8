"""A Spark DataFrame, measured where its rows are.

The one law: a partition is a shard, and only what was measured of it leaves its worker; neighbours are folded by workers, too, in
the tree in which all are. By the DataFrame API alone, so that Spark Connect does the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tfnorm.errors import DataError, TfnormError, last_line
from tfnorm.patience import waits
from tfnorm.sources import Batch, Column, Shard
from tfnorm.sources.arrow import batches_of, needs_head, schema_columns
from tfnorm.sources.columns import describe, pick, weight_column
from tfnorm.sources.streams import open_columns
from tfnorm.spark_jobs import Jobs

Run = Callable[[Iterator[Any]], Iterator[Any]]
"""From a partition's record batches to others."""

Told = Callable[[int, int], None]
"""Takes how many tasks are done, of how many that are known of."""

NAME = "Spark DataFrame"
HEAD_ROWS = 1024  # tell the shape of lists
HEIGHT = 5  # 2**HEIGHT neighbouring partitions are folded by one worker
LOOK = 0.5  # seconds after which one looks again how far it is


@dataclass(frozen=True)
class SparkSource:
    """A DataFrame as a source."""

    frame: Any
    columns: tuple[Column, ...]
    weight: str | None
    name: str = NAME
    bare: bool = False
    num_rows: int | None = None
    repeatable: bool = True

    def shards(self, columns: Sequence[str]) -> Iterator[Shard]:
        """The rows themselves, for what looks at some of them here; a partition at a time."""

        def read(wanted: Sequence[Column]) -> Iterator[dict[str, np.ndarray]]:
            return batches_of(record_batches(self.frame, [column.name for column in wanted]), wanted, NAME)

        return open_columns(NAME, self.columns, read, weight=self.weight).shards(columns)

    def states(self, columns: Sequence[str], work: Any, told: Told) -> Iterator[bytes]:
        """What workers measured, of 2**HEIGHT partitions each; `work` is `tfnorm.elsewhere.Held`."""
        names = [*columns, *([self.weight] if self.weight and self.weight not in columns else [])]
        wanted = pick(self.columns, names, NAME)
        schema = "run long, part long, state binary"

        def collected() -> Any:
            measured = map_in_arrow(self.frame, names, _measuring(wanted, work), schema)
            return (
                measured.repartition("run").mapInArrow(_joining(work), "run long, parts long, state binary").collect()
            )

        found = sorted(_watched(self.frame.sparkSession, collected, told), key=lambda row: int(row[0]))
        for place, (run, parts, state) in enumerate(found):
            if run != place or (parts != 1 << HEIGHT and place < len(found) - 1):
                raise DataError(f"{NAME}: not all of its partitions were measured. Run it again.")
            yield bytes(state)


@dataclass(frozen=True)
class Partition:
    """Rows that a worker is handed; they can be read once."""

    number: int
    columns: tuple[Column, ...]
    batches: Iterable[Any]
    num_rows: int | None = None

    @property
    def name(self) -> str:
        return f"{NAME}, partition {self.number}"

    @property
    def fingerprint(self) -> str:
        return f"{self.name} of {', '.join(f'{column.name}: {describe(column)}' for column in self.columns)}"

    def __call__(self) -> Iterator[Batch]:
        return batches_of(self.batches, self.columns, self.name)


def open_spark(frame: Any, *, weight: Any = None) -> SparkSource:
    """A Spark DataFrame as a source; `weight` is the name of a column."""
    from pyspark.sql.pandas.types import to_arrow_schema

    if weight is not None and not isinstance(weight, str):
        raise DataError(
            f"weight: {NAME} has its rows elsewhere; expected the name of its column of weights, got {type(weight).__name__}."
        )
    if frame.isStreaming:
        raise DataError(f"{NAME}: its stream has no end. Fit a part of it, spark.read instead of spark.readStream.")
    schema = to_arrow_schema(frame.schema)
    lists, head = [field.name for field in schema if needs_head(field.type)], None
    if lists:
        import pyarrow as pa

        first = partial(record_batches, frame, lists, HEAD_ROWS)
        batches = _watched(frame.sparkSession, lambda: list(first()), lambda *_: None)
        if not batches:
            raise DataError(f"{NAME}: it has no rows. Statistics need at least one.")
        head = pa.Table.from_batches(batches)
    columns = schema_columns(schema, NAME, head)
    if weight is not None:
        weight_column(columns, weight, NAME)
    return SparkSource(frame, columns, weight)


def map_in_arrow(frame: Any, names: Sequence[str], run: Run, schema: Any, limit: int | None = None) -> Any:
    """What `run` makes of these columns' record batches. On the way they are called by number: `mapInArrow` takes no names
    with dots."""

    def renamed(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa

        return run(pa.RecordBatch.from_arrays(batch.columns, list(names)) for batch in batches)

    came = list(frame.columns)
    numbered = frame.toDF(*map(str, range(len(came)))).select(*(str(came.index(name)) for name in names))
    return (numbered if limit is None else numbered.limit(limit)).mapInArrow(renamed, schema)


def record_batches(frame: Any, names: Sequence[str], limit: int | None = None) -> Iterator[Any]:
    """Arrow batches of these columns, as the workers see them."""

    def sent(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa

        for batch in batches:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_batch(batch)
            yield pa.RecordBatch.from_arrays([pa.array([sink.getvalue().to_pybytes()], pa.binary())], ["batch"])

    import pyarrow as pa

    rows = iter(said_of(map_in_arrow(frame, names, sent, "batch binary", limit).toLocalIterator))
    while (row := said_of(lambda: next(rows, None))) is not None:
        yield from pa.ipc.open_stream(bytes(row[0]))


def _watched(session: Any, run: Callable[[], Any], told: Told) -> Any:
    """What it gives; it is told how far it is, ended where nothing is heard of it for long, and then run again.

    run: makes what it runs itself, since Spark keeps of a data frame what was cancelled of it."""
    for patience in waits():
        pool = ThreadPoolExecutor(1, "tfnorm-spark")
        with Jobs(session) as jobs:
            running = pool.submit(jobs.of(run))
            try:
                while not wait([running], timeout=LOOK).done and jobs.idle() <= patience:
                    told(jobs.tasks.done, jobs.tasks.all)
                if running.done():
                    return said_of(running.result)
            finally:
                if not running.done():
                    jobs.cancel()
                pool.shutdown(wait=False)
        logging.getLogger("tfnorm").warning("%s: no task has ended for %g seconds: it is given up", NAME, patience)
    raise DataError(
        f"{NAME}: no task of Spark's has ended for {waits()[-1]:g} seconds, nor in the runs before. The executors' logs tell "
        "more; spark.speculation=true starts what is slow elsewhere, too."
    )


def said_of(run: Callable[[], Any]) -> Any:
    """What Spark says becomes an error of ours; classic and Connect have errors of their own each."""
    try:
        return run()
    except (TfnormError, MemoryError):
        raise
    except Exception as error:
        raise DataError(f"{NAME}: Spark says: {last_line(error)}") from error


def _measuring(columns: tuple[Column, ...], work: Any) -> Run:
    def measured(batches: Iterator[Any]) -> Iterator[Any]:
        from pyspark import TaskContext

        context = TaskContext.get()
        assert context is not None
        number = context.partitionId()
        yield _row(number >> HEIGHT, "part", number, work.part(number, Partition(number, columns, batches)))

    return measured


def _joining(work: Any) -> Run:
    def joined(batches: Iterator[Any]) -> Iterator[Any]:
        runs: dict[int, dict[int, bytes]] = {}
        for batch in batches:
            for run, part, state in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                runs.setdefault(run, {})[part] = state
        for run in sorted(runs):
            parts = runs.pop(run)
            state = work.joined(run, (parts[part] for part in sorted(parts)))
            yield _row(run, "parts", len(parts), state)

    return joined


def _row(run: int, what: str, number: int, state: bytes) -> Any:
    import pyarrow as pa

    values = [pa.array([run], pa.int64()), pa.array([number], pa.int64()), pa.array([state], pa.binary())]
    return pa.RecordBatch.from_arrays(values, ["run", what, "state"])
