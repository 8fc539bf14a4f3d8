"""The table of file formats: one line each, which paths, files, the command line and docs/sources.md walk.

The one law: the end of a name says the format, and a format's module is loaded when there is a file of it.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfnorm.sources.files import OpenedFile


@dataclass(frozen=True)
class Format:
    """How files of one kind are told, read and written."""

    name: str  # for people
    endings: tuple[str, ...]  # in lower case
    opener: str  # "module:function" of tfnorm.sources: a path -> OpenedFile
    shard: str  # what one worker reads, for people
    about: str  # what of it is read and what is refused, for people
    extra: str | None = None  # what has to be installed: tfnorm[extra]
    batches: str | None = None  # "module:function": a path -> its Arrow batches, all columns as they are
    writer: str | None = None  # "module:class", where such files can be written
    delimited: bool = False  # whether opener and batches take a delimiter
    folder: bool = False  # whether a folder of that name is one data set
    remote: bool = True  # whether it can be read where there is no local file: by URL

    def open(self, path: str, delimiter: str | None) -> OpenedFile:
        """Its columns and parts."""
        return attribute(self.opener)(path, delimiter) if self.delimited else attribute(self.opener)(path)


TFRECORD = (".tfrecord", ".tfrecords", ".tfrec")

FORMATS = (
    Format(
        "Parquet",
        (".parquet", ".pq"),
        "parquet:open_parquet",
        "a row group",
        "every page whose checksum does not fit is refused",
        batches="parquet_copy:open_parquet",
        writer="parquet_copy:Writer",
    ),
    Format(
        "CSV",
        (".csv", ".csv.gz", ".tsv", ".tsv.gz"),
        "csv:open_csv",
        "a file; of a large plain one some rows",
        "plain or gzipped; a column has the type of its first 4 MiB, integers become floats where a fraction comes later",
        batches="csv_copy:open_csv",
        writer="csv_copy:Writer",
        delimited=True,
    ),
    Format(
        "JSON lines",
        (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"),
        "json_lines:open_json_lines",
        "a file",
        "plain or gzipped; what a line lacks is null; objects in objects are no column",
        batches="json_lines_copy:batches",
        writer="json_lines_copy:Writer",
    ),
    Format(
        "Arrow",
        (".arrow", ".feather", ".ipc", ".arrows"),
        "arrow_ipc:open_arrow",
        "a record batch; a stream whole",
        "IPC files and streams, Feather of version 2; offsets of lists are checked",
        batches="arrow_ipc:batches",
        writer="arrow_ipc:Writer",
    ),
    Format(
        "ORC",
        (".orc",),
        "orc:open_orc",
        "a stripe",
        "only the wanted columns of a stripe are decoded",
        batches="orc:batches",
        writer="orc:Writer",
    ),
    Format(
        "NumPy",
        (".npy",),
        "npy:open_npy",
        "some rows",
        "memory-mapped; one array without a name, or a column a field; Python objects are refused",
        writer="npy_copy:Writer",
        remote=False,
    ),
    Format(
        "NumPy archive",
        (".npz",),
        "npz:open_npz",
        "a file",
        "a column an array, all of as many rows; checksums are checked, Python objects refused",
        remote=False,
    ),
    Format(
        "HDF5",
        (".h5", ".hdf5"),
        "hdf5:open_hdf5",
        "some rows",
        "a column a dataset, all of as many rows; links to other files and virtual datasets are refused",
        extra="hdf5",
        remote=False,
    ),
    Format(
        "Zarr",
        (".zarr",),
        "zarr:open_zarr",
        "some rows",
        "versions 2 and 3; a column an array, or one array without a name; codecs that unpickle are refused",
        extra="zarr",
        folder=True,
        remote=False,
    ),
    Format(
        "TFRecord",
        (*TFRECORD, *(f"{end}{packed}" for end in TFRECORD for packed in (".gz", ".zlib"))),
        "tfrecord:open_tfrecord",
        "a file; of a large plain one some records",
        "tf.Example and tf.SequenceExample, plain, gzip or zlib; checksums are checked; a feature that a record lacks is null",
    ),
    Format(
        "ArrayRecord",
        (".array_record", ".arrayrecord"),
        "array_record:open_array_record",
        "some records",
        "tf.Example and tf.SequenceExample, as of TFRecord",
        extra="arrayrecord",
        remote=False,
    ),
)

_NUMBERED = re.compile(r"(.*)-(\d{5,})-of-(\d{5,})((?:\.[^/]*)?)", re.DOTALL)
_SHARDED = re.compile(r"-\d{5,}-of-\d{5,}$")  # train.tfrecord-00000-of-00100


def _plain(path: str) -> str:
    """A path or URL without what may follow the ending."""
    path = path.partition("?")[0] if "://" in path else path
    return _SHARDED.sub("", path.lower().rstrip("/"))


def of(path: str) -> Format | None:
    """The format of a path by the end of its name; what numbers it among its like (`-00000-of-00100`) may follow. TFRecord
    is that of a name which ends in such numbers alone.

    >>> of("train/A.Parquet").name, of("train-00000-of-00100").name, of("notes.txt")
    ('Parquet', 'TFRecord', None)
    """
    lower = _plain(path)
    found = next((one for one in FORMATS if lower.endswith(one.endings)), None)
    if found is None and _SHARDED.search(path) and "." not in re.split(r"[/\\]", lower)[-1]:
        return next(one for one in FORMATS if one.name == "TFRecord")
    return found


def not_among(paths: Iterable[str]) -> Iterator[str]:
    """What of numbered files (`-00000-of-00100`, an ending may follow) is not there though others of the same set are.

    >>> list(not_among(["a-00000-of-00003", "a-00002-of-00003", "b.csv"]))
    ['a-*-of-00003: 1 of 3 files is not there: a-00001-of-00003']
    """
    found: dict[tuple[str, str, str], set[int]] = {}
    for path in paths:
        if match := _NUMBERED.fullmatch(path):
            stem, number, total, ending = match.groups()
            found.setdefault((stem, total, ending), set()).add(int(number))
    for (stem, total, ending), numbers in found.items():
        gone = int(total) - len(numbers)
        if gone > 0 and max(numbers) < int(total):
            first = next(number for number in range(int(total)) if number not in numbers)
            verb, more = ("is", "") if gone == 1 else ("are", " and others")
            said = (
                f"{gone} of {int(total)} files {verb} not there: {stem}-{first:0{len(total)}}-of-{total}{ending}{more}"
            )
            yield f"{stem}-*-of-{total}{ending}: {said}"


def ending_of(path: str) -> str:
    """The ending itself, or nothing."""
    lower = _plain(path)
    return max((end for one in FORMATS for end in one.endings if lower.endswith(end)), key=len, default="")


def attribute(where: str) -> Any:
    """What "module:name" means."""
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(f"tfnorm.sources.{module}"), name)


def listed(*, written: bool = False) -> str:
    """All names with their endings, as an error and a help text list them: those that can be read, or written."""
    return ", ".join(f"{one.name} ({' '.join(one.endings)})" for one in FORMATS if one.writer or not written)


def written_endings() -> Iterator[str]:
    """The endings of what can be written."""
    return (end for one in FORMATS if one.writer for end in one.endings)
