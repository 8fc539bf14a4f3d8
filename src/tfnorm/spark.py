"""Spark DataFrames: measured where their rows are, and normalized there.

    fitted = tfnorm.spark.fit(df, {"age": "standard"})     # as tfnorm.fit(df, ...)
    normalized = tfnorm.spark.transform(fitted, df)        # a DataFrame

The one law: a partition's rows are mapped by what maps a file's; columns that are not of the fit stay as they are. By the
DataFrame API alone (`mapInArrow`), so that Spark Connect does the same. tfnorm is installed where the workers' Python is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tfnorm import artefact, fitting
from tfnorm.errors import DataError, needs
from tfnorm.files_out import mapped_batch, marks_of, refuse_lost
from tfnorm.fitted import Fitted
from tfnorm.profile import Profile
from tfnorm.sources.arrow import from_numpy, numpy_dtype
from tfnorm.sources.columns import did_you_mean, quoted, refuse_duplicates
from tfnorm.sources.spark import NAME, Run, map_in_arrow, said_of
from tfnorm.sources.stored import Ragged
from tfnorm.spark_jobs import is_connect
from tfnorm.unseen import key_columns


def scan(frame: Any, **options: Any) -> Profile:
    """`tfnorm.scan` of a Spark DataFrame: a partition is measured where it is, and what was measured of it comes back."""
    return fitting.scan(frame, **options)


def fit(frame: Any, choice: Any = "standard", **options: Any) -> Fitted:
    """`tfnorm.fit` of a Spark DataFrame. The same partitions with the same rows in the same order give the same bits."""
    return fitting.fit(frame, choice, **options)


def transform(fitted: Fitted, frame: Any) -> Any:
    """A DataFrame with the fitted columns on the normalized scale, computed when it is asked for; streams, too.

    Numbers become float or double as `fitted.transform` makes them, vectors arrays of these; the other columns stay as they
    are, as do fitted ones that are not there. Each time that Spark computes it, `fitted.fired` learns what policies did; not by
    Spark Connect, which brings nothing back but rows: `fired` counts it there.

    Errors: DataError, here where columns do not suit, and by Spark where values do not.
    """
    return _run(fitted, frame, inverse=False)


def fired(fitted: Fitted, frame: Any) -> Counter[tuple[str, str]]:
    """What policies do to these rows, as `fitted.fired` counts it: (column, policy) -> values. A pass of its own.

    >>> fired(fitted, df)  # doctest: +SKIP
    Counter({('fare', 'out_of_range'): 12, ('age', 'missing'): 3})
    """
    came, names, types, _ = _planned(fitted, frame, inverse=False)
    text = artefact.dumps(fitted)

    def counted(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa

        total: Counter[tuple[str, str]] = Counter()
        for _ in _mapping(text, names, types, inverse=False, count=total.update)(batches):
            pass
        said = [[*which, count] for which, count in total.items()]
        arrays = [
            pa.array([one[place] for one in said], pa.string() if place < 2 else pa.int64()) for place in range(3)
        ]
        yield pa.RecordBatch.from_arrays(arrays, ["column", "policy", "count"])

    found = map_in_arrow(frame, came, counted, "column string, policy string, count long")
    total: Counter[tuple[str, str]] = Counter()
    for column, policy, count in said_of(found.collect):
        total[column, policy] += count
    return total


def inverse(fitted: Fitted, frame: Any) -> Any:
    """A DataFrame with the fitted columns back in real units. NotInvertibleError where a technique forgets what it would need."""
    return _run(fitted, frame, inverse=True)


def _run(fitted: Fitted, frame: Any, *, inverse: bool) -> Any:
    came, names, types, fields = _planned(fitted, frame, inverse=inverse)
    from pyspark.sql.types import StructType

    count: Callable[[Counter[tuple[str, str]]], None] = _nowhere
    if not is_connect(frame.sparkSession):
        count = frame.sparkSession.sparkContext.accumulator(fitted.fired, _Adding()).add
    mapped = _mapping(artefact.dumps(fitted), names, types, inverse=inverse, count=count)
    return map_in_arrow(frame, came, mapped, StructType(fields))


class _Adding:
    """How an accumulator of Spark adds counters: here, into the one of the fit."""

    def zero(self, _: Any) -> Counter[tuple[str, str]]:
        return Counter()

    def addInPlace(self, total: Counter[Any], more: Counter[Any]) -> Counter[Any]:  # noqa: N802  # as Spark has it
        total.update(more)
        return total


def _nowhere(_: Any) -> None:
    pass


def _planned(fitted: Fitted, frame: Any, *, inverse: bool) -> tuple[list[str], list[str], dict[str, Any], list[Any]]:
    """All columns by name, those that are mapped, the Arrow types of what they become, and the fields of the result."""
    with needs("spark", NAME):
        from pyspark.sql.pandas.types import to_arrow_schema

    came = to_arrow_schema(frame.schema)
    refuse_duplicates(came.names, NAME)
    names = [name for name in fitted.columns if name in came.names]
    if not names:
        hint = did_you_mean(came.names[0], fitted.columns) if came.names else ""
        raise DataError(f"none of the fitted columns {quoted(fitted.columns)} is among {quoted(came.names)}.{hint}")
    if inverse:
        refuse_lost(fitted, names, "Leave them out.")
    keys = [name for name in key_columns(fitted.maps[name] for name in names) if name not in came.names]
    if keys:
        raise DataError(f"key column {quoted(keys)} of the fit not there; {NAME} has {quoted(came.names)}. Add it.")
    marks = marks_of(fitted, names, came.names, NAME, inverse=inverse)
    fields: list[Any] = []
    types: dict[str, Any] = {}
    for field in frame.schema.fields:
        if field.name in names:
            found = _types(fitted, field.name, came.field(field.name).type, inverse=inverse)
            types |= found
            fields += _fields(field, found)
        elif field.name not in marks:
            fields.append(field)
    return came.names, names, types, fields


def _mapping(
    text: bytes,
    names: Sequence[str],
    types: Mapping[str, Any],
    *,
    inverse: bool,
    count: Callable[[Counter[tuple[str, str]]], None],
) -> Run:
    """What a worker does; a fit goes out to it in the format of artefacts, and `count` takes what its policies did."""

    def mapped(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa
        from pyspark import TaskContext

        context = TaskContext.get()
        assert context is not None
        fitted = replace(artefact.loaded(text), fired=Counter())  # which others of this process have loaded, too
        place, row = f"{NAME}, partition {context.partitionId()}", 0
        for batch in batches:
            if not batch.num_rows:
                continue
            done = mapped_batch(fitted, names, _shaped(batch, fitted, names), place, row, inverse)
            cast = [
                one.cast(types[name]) if name in types else one
                for name, one in zip(done.schema.names, done.columns, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(cast, done.schema.names)
            row += batch.num_rows
            if fitted.fired:
                count(Counter(fitted.fired))
                fitted.fired.clear()

    return mapped


def _shaped(batch: Any, fitted: Fitted, names: Sequence[str]) -> Any:
    """A batch in which vectors that are all null have the length that they have elsewhere."""
    import pyarrow as pa

    for index, field in enumerate(batch.schema):
        shape = fitted.profile[field.name].column.shape if field.name in names else ()
        if len(shape) == 1 and shape[0] is not None and batch.column(index).null_count == batch.num_rows:
            nulls = pa.nulls(batch.num_rows, pa.list_(field.type.value_type, shape[0]))
            batch = batch.set_column(index, pa.field(field.name, nulls.type), nulls)
    return batch


def _types(fitted: Fitted, name: str, type_: Any, *, inverse: bool) -> dict[str, Any]:
    """The Arrow types of the columns that this one becomes, as a made-up row of it tells."""
    import pyarrow as pa

    leaf = type_
    while hasattr(leaf, "value_type"):
        leaf = leaf.value_type
    dtype = numpy_dtype(leaf)
    if dtype is None:
        raise DataError(f"column {quoted([name])}: expected numbers, got {type_} ({NAME}). Cast it.")
    column, step = fitted.profile[name].column, fitted.maps[name]
    if hasattr(type_, "value_type") == column.scalar:
        expected = "single numbers" if column.scalar else f"arrays of shape {column.shape}"
        raise DataError(f"column {quoted([name])}: expected {expected}, as at the fit, got {type_} ({NAME}).")
    made = _made(step.shape((1, *column.shape))[1:] if inverse else column.shape, dtype)
    groups = {keyed.keys.names: np.zeros(1, np.int64) for keyed in step.keyed()}
    apart = replace(fitted, fired=Counter())  # what is made up is not to be counted
    found = apart[name].columns({name: made}, inverse=inverse, groups=groups or None)

    def plain(type_: Any) -> Any:
        return pa.list_(plain(type_.value_type)) if hasattr(type_, "value_type") else type_

    return {new: plain(from_numpy(values).type) for new, values in found.items()}


def _made(shape: Sequence[int | None], dtype: np.dtype[Any]) -> Any:
    if shape[:1] == (None,):
        return Ragged(np.array([0, 1]), np.ones((1, *(length or 1 for length in shape[1:])), dtype), None)
    return np.ones((1, *(length or 1 for length in shape)), dtype)


def _fields(field: Any, types: Mapping[str, Any]) -> list[Any]:
    """What Spark calls them."""
    from pyspark.sql.pandas.types import from_arrow_type
    from pyspark.sql.types import StructField

    metadata = {field.name: field.metadata}
    return [StructField(name, from_arrow_type(type_), True, metadata.get(name)) for name, type_ in types.items()]
