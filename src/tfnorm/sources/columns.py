"""What is said of a column, and what every source checks of it.

The one law: a column is described by what its batches will hold, so that the same numbers are described alike
wherever they lie.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from tfnorm import sources
from tfnorm.errors import DataError
from tfnorm.sources import Column
from tfnorm.sources.stored import Stored

Kind = Literal["number", "time", "other"]
Layout = Literal["dense", "sparse", "ragged"]

SPARSE_VALUES, RAGGED_STEPS = 64, 256  # stored in a row, where only reading would tell: shards must not depend on it

KIND_NOUNS: dict[Kind, str] = {"number": "numbers", "time": "times", "other": "text or objects"}
"""How an error says what a column holds."""

NUMBERS_WITH_COMMAS = "numbers with commas"
"""The dtype of a column of text that would hold numbers, were they written with decimal points and no marks for thousands."""


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that is delivered: in this machine's byte order, and float32 for the small floats of `ml_dtypes`."""
    if dtype.kind == "V" and dtype.names is None and dtype.name.startswith(("bfloat16", "float")):
        return np.dtype(np.float32)
    return dtype.newbyteorder("=")


def delivered(array: Any) -> np.ndarray:
    """The array as a batch holds it: a `MaskedArray` stays one; nothing is copied unless the dtype has to change."""
    if isinstance(array, Stored):
        return array  # type: ignore[return-value]  # cut and joined as arrays are
    result = array if isinstance(array, np.ma.MaskedArray) else np.asarray(array)
    return result.astype(native(result.dtype), copy=False)


def kind_of(dtype: np.dtype[Any]) -> Kind:
    """Whether values of this dtype are numbers (booleans are, complex ones are not), times, or something else."""
    if dtype.kind in "biuf":
        return "number"
    return "time" if dtype.kind in "mM" else "other"


def column_of(name: str, dtype: np.dtype[Any], shape: tuple[int | None, ...] = (), layout: Layout = "dense") -> Column:
    """The column of an array of this dtype; `shape` is that of one row.

    >>> column_of("age", np.dtype(">f4")), column_of("who", np.dtype("U5")).kind
    (Column(name='age', dtype='float32', shape=(), kind='number', layout='dense'), 'other')
    """
    dtype = native(dtype)
    called = {"U": "string", "T": "string", "S": "bytes"}.get(dtype.kind, dtype.name)
    return Column(name, called, shape, kind_of(dtype), layout)


def column_like(name: str, array: Any) -> Column:
    """The column that an array, or a sparse or ragged one, is rows of."""
    return column_of(name, array.dtype, tuple(array.shape[1:]), getattr(array, "layout", "dense"))


def row_bytes(columns: Iterable[Column], least: int = 1) -> int:
    """Bytes of one row as it is delivered, a number taking `least` at least; whatever is no number counts as a pointer, an
    unknown length as one value, and where only reading would tell what a row stores, it is taken to be SPARSE_VALUES or
    RAGGED_STEPS.

    >>> row_bytes([Column("age", "float32"), Column("vector", "float64", (10,)), Column("who", "string", (), "other")])
    92
    """
    total = 0
    for column in columns:
        width = 8 if column.kind == "other" else max(least, np.dtype(column.dtype).itemsize)
        for length in column.shape:
            width *= 1 if length is None else min(length, SPARSE_VALUES) if column.layout == "sparse" else length
        total += width * (RAGGED_STEPS if column.layout == "ragged" else 1)
    return total


def rows_per_shard(columns: Iterable[Column]) -> int:
    """How many rows are measured at once: a power of two, as many as fit SHARD_BYTES.

    At most SHARD_ROWS; or up to NARROW_ROWS of numbers that would fit with 8 bytes each. So narrow rows are cut alike whatever
    type a format gives them. Arrays and streams are cut into shards of as many rows, so that the same rows give the same bits
    whichever way they come.

    >>> rows_per_shard([Column("x", "float32", (64,))]), rows_per_shard([Column("x", "float64", (100_000,))])
    (262144, 64)
    >>> rows_per_shard([Column("x", "float32", (8,))]), rows_per_shard([Column("x", "float64", (8,))])
    (1048576, 1048576)
    """
    columns = list(columns)
    any_type, own = (max(1, sources.SHARD_BYTES // max(1, row_bytes(columns, least))) for least in (8, 1))
    fitting = max(min(any_type, sources.NARROW_ROWS), min(own, sources.SHARD_ROWS))
    return 1 << (fitting.bit_length() - 1)


def spans(num_rows: int, columns: Iterable[Column]) -> Iterator[tuple[int, int]]:
    """(start, stop) of each shard of so many rows with these columns."""
    step = rows_per_shard(columns)
    for start in range(0, num_rows, step):
        yield start, min(start + step, num_rows)


def quoted(names: Iterable[str], limit: int = 10) -> str:
    """Names as an error lists them, each in quotes with its control characters escaped; a long list is cut.

    >>> quoted(["age", "fa\\nre"])
    '"age", "fa\\\\nre"'
    """
    listed = ['"' + _visible(name) + '"' for name in names]
    rest = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {rest} more" if rest > 0 else "")


def cell(value: object, limit: int = 60) -> str:
    """A value from the data as an error shows it: one line, no control characters, cut where long."""
    text = _visible(str(value))
    return text if len(text) <= limit else text[:limit] + "..."


def _visible(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """` Did you mean "a"?` for the nearest of `names` (letter case first), or nothing.

    >>> did_you_mean("Age", ["age", "fare"])
    ' Did you mean "age"?'
    """
    names = list(names)
    same = [other for other in names if other.casefold() == name.casefold() and other != name]
    near = same or difflib.get_close_matches(name, names[:1000], n=1)
    return f" Did you mean {quoted(near[:1])}?" if near else ""


def pick(columns: Sequence[Column], names: Iterable[str], place: str) -> tuple[Column, ...]:
    """The columns of these names, in the order asked; one error for all that are not there."""
    by_name = {column.name: column for column in columns}
    names = list(dict.fromkeys(names))
    missing = [name for name in names if name not in by_name]
    if missing:
        hints = "".join(did_you_mean(name, by_name) for name in missing[:3])
        word = "column" if len(missing) == 1 else "columns"
        raise DataError(f"{word} {quoted(missing)}: not in {place}, which has {quoted(by_name)}.{hints}")
    return tuple(by_name[name] for name in names)


def refuse_duplicates(names: Sequence[str], place: str) -> None:
    """A name says which column is meant, so no two may share one."""
    if len(set(names)) < len(names):
        counts = Counter(names)
        twice = [name for name, count in counts.items() if count > 1]
        raise DataError(f"{quoted(twice)}: more than one column of {place} has this name. Rename all but one.")


def weight_column(columns: Sequence[Column], weight: str, place: str) -> Column:
    """The column that holds the weights: one number a row."""
    (column,) = pick(columns, [weight], place)
    if column.kind != "number" or column.shape != ():
        raise DataError(
            f"weight column {quoted([weight])}: expected one number a row, got {describe(column)} ({place})."
        )
    return column


def weight_array(weight: Any, num_rows: int) -> np.ndarray:
    """Weights given beside the data, as one number a row."""
    array = delivered(weight)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (num_rows,) or kind_of(array.dtype) != "number":
        expected = f"expected {num_rows} numbers, one a row"
        raise DataError(
            f"weight: {expected}, got {array.dtype.name} of shape {array.shape}. "
            "Pass a column's name, or such an array."
        )
    return array


def one_length(lengths: Mapping[str, int], place: str, what: str, instead: str) -> int:
    """How many rows the arrays of a file have, 0 where there is none; DataError where they differ."""
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{quoted([name])} {length}" for name, length in list(lengths.items())[:10])
        raise DataError(
            f"{place}: expected as many rows in every {what}, got {said}. Put those that belong together into a file of "
            f"their own, or pass them: {instead}."
        )
    return next(iter(lengths.values()), 0)


HOLLOW_BYTES, HOLLOW_TIMES = 1 << 32, 1000


def refuse_hollow(name: str, num_bytes: int, stored: int, place: str) -> None:
    """What says that it has more than both of HOLLOW_BYTES and HOLLOW_TIMES what is stored of it is a bomb."""
    if num_bytes > HOLLOW_BYTES and num_bytes > HOLLOW_TIMES * stored:
        raise DataError(
            f"{place}: {quoted([name])} says it has {num_bytes:,} bytes, and stores {stored:,}. Is it what it should be?"
        )


def describe(column: Column) -> str:
    """What a column holds, as an error says it: `float32`, `float32 (10,)`."""
    return column.dtype if not column.shape else f"{column.dtype} {column.shape}".replace("None", "?")
