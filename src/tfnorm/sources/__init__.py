"""Where data comes from.

The one law: a source opens into the same shards in the same order, however often it is opened and whoever reads them.

`open_source` turns whatever the user holds (array, table, file, folder, dataset, generator) into a `Source`. Nothing
here knows of statistics or techniques.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from tfnorm.errors import DataError

Batch = Mapping[str, np.ndarray]
"""Column name -> array, rows first. A `numpy.ma.MaskedArray` where the format has nulls (its mask says which), and one of
`sources.stored` (Sparse, Ragged), which are cut and joined alike, where not every place holds a value."""

WEIGHT = "__weight__"
"""The name under which a batch carries the weights that came beside the features and not as one of them."""

BARE = "x"
"""The name of the one column of a source that has no names (a lone array)."""

SHARD_BYTES = 1 << 26
SHARD_ROWS, NARROW_ROWS = 1 << 18, 1 << 20


@dataclass(frozen=True)
class Column:
    """What a source says of one of its columns before it is read."""

    name: str
    dtype: str  # NumPy's name where it has one ("float32", "datetime64[ns]"), else the source's own ("string")
    shape: tuple[
        int | None, ...
    ] = ()  # of one row: () a number, (d,) a vector, (h, w, c) an image; None where rows differ
    kind: Literal["number", "time", "other"] = "number"
    layout: Literal["dense", "sparse", "ragged"] = "dense"  # ragged: rows were seen to have other numbers of steps


@runtime_checkable
class Shard(Protocol):
    """A part of a source that one worker reads: picklable where the source is made of files."""

    @property
    def name(self) -> str:
        """For people: the path and the part of it, as an error names it."""

    @property
    def fingerprint(self) -> str:
        """Changes when the content may have changed (path, size, modification time, part); else says its shape."""

    @property
    def num_rows(self) -> int | None:
        """None where only reading would tell."""

    def __call__(self) -> Iterable[Batch]:
        """Read it, in batches of any length."""


@runtime_checkable
class Source(Protocol):
    """Anything that opens into an ordered list of shards."""

    @property
    def name(self) -> str:
        """For people: a path or glob, "array", "pandas.DataFrame", ..."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns there are, in the source's order, whether numbers or not; never the weights that came beside."""

    @property
    def bare(self) -> bool:
        """Whether it is one array without a name; its column is then called BARE."""

    @property
    def weight(self) -> str | None:
        """The key of the weights in each batch, where the user asked for weights."""

    @property
    def num_rows(self) -> int | None:
        """None where only reading would tell."""

    @property
    def repeatable(self) -> bool:
        """Whether `shards` may be called again (a generator may not)."""

    def shards(self, columns: Sequence[str]) -> Iterator[Shard]:
        """Its parts, in order; each gives batches with just these columns (and the weights where asked)."""


OnError = Literal["raise", "skip"]
"""What is done where a file, or a part of one, cannot be read."""

Absent = Literal["error", "missing"]
"""What a column is in a file that does not have it, though the first one has."""


def open_source(
    data: Any,
    *,
    weight: Any = None,
    delimiter: str | None = None,
    on_error: OnError = "raise",
    absent: Absent = "error",
) -> Source:
    """Whatever holds rows as a `Source`: arrays, tables, files, datasets, batches.

    `data` is a NumPy array, a sparse matrix of SciPy, or a mapping of them by column; a list of numbers, of rows of numbers
    or of dicts (a dict a row); a pandas, polars or pyarrow table or series, a Spark DataFrame, or what else has
    `__arrow_c_stream__`; a path, URL, glob or folder of files of any format in the table of `sources.formats`, or a list of
    these; a `tf.data.Dataset` or a tensor, sparse and ragged ones too; a dataset or loader of Hugging Face, PyTorch, grain
    or TensorFlow Datasets; what `tfnorm.sql` gives; an iterable of batches, or a function that returns one. A batch is x,
    (x, y) or (x, y, weight), where x is an array, a table or a mapping.

    `weight` is the name of a column, or one number a row, or True for those of (x, y, weight) batches.
    `delimiter` is that of CSV files, where it is neither a comma nor, in .tsv, a tab.
    `on_error="skip"` leaves out files that cannot be read.
    `absent="missing"` takes a column that a later file lacks to be null in all its rows.

    >>> source = open_source({"age": [22.0, 38.0, 26.0], "fare": [7.25, 71.28, 7.92]})
    >>> [column.name for column in source.columns], source.num_rows
    (['age', 'fare'], 3)
    >>> [sum(batch["age"]) for shard in source.shards(["age"]) for batch in shard()]
    [np.float64(86.0)]
    """
    from tfnorm.sources import arrays, files, forms, frames, loaders, paths, streams

    if (
        frames.library(data) == "pyspark" and absent == "error"
    ):  # first: one of Spark Connect seems to have every attribute
        from tfnorm.sources import spark

        return spark.open_spark(data, weight=weight)
    if on_error == "skip" and hasattr(type(data), "skipping"):
        data = data.skipping()
    if callable(getattr(data, "shards", None)) and isinstance(data, Source):
        if weight is not None or absent != "error":
            given = "absent" if weight is None else "weight"
            raise DataError(f"{given}: this is a source already. Give {given} to open_source when it is made.")
        return data
    if paths.is_path(data):
        return files.open_files(data, weight=weight, delimiter=delimiter, on_error=on_error, absent=absent)
    if delimiter is not None:
        raise DataError(f"delimiter={delimiter!r} is for CSV files, and this is {type(data).__name__}. Leave it out.")
    if absent != "error":
        raise DataError(f"absent={absent!r} is for files, and this is {type(data).__name__}. Leave it out.")
    opener = loaders.opener(data)
    if opener is not None:
        return opener(data, weight=weight)
    library = frames.library(data)
    if library == "tensorflow" and not isinstance(data, (Mapping, list, tuple)):
        from tfnorm.sources import tensorflow

        return tensorflow.open_tensorflow(data, weight=weight)
    if library == "scipy" and forms.is_stored(data):
        from tfnorm.sources import scipy

        return arrays.open_array(data, weight=weight, name=scipy.name_of(data))
    if frames.is_frame(data):
        return frames.open_frame(data, weight=weight)
    if frames.is_series(data):
        return frames.open_series(data, weight=weight)
    if arrays.is_array(data):
        return arrays.open_array(data, weight=weight)
    if isinstance(data, Mapping):
        return arrays.open_mapping(data, weight=weight)
    if isinstance(data, (list, tuple)):
        if streams.holds_batches(data):
            return streams.open_batches(data, weight=weight)
        return arrays.open_list(data, weight=weight)
    if library == "keras" and hasattr(data, "__getitem__") and hasattr(data, "__len__"):  # a PyDataset
        return streams.open_function(lambda: (data[index] for index in range(len(data))), weight=weight)
    if isinstance(data, Iterable):
        return streams.open_batches(data, weight=weight)
    if callable(data):
        return streams.open_function(data, weight=weight)
    raise DataError(
        f"data: expected arrays, a table, paths, a dataset or batches, got {type(data).__name__}. "
        "Pass one of these, or a function that returns batches."
    )
