"""The table of file formats: one line each, which paths, files, the command line and docs/sources.md walk.

The one law: the end of a name says the format, and a format's module is loaded when there is a file of it.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tfnorm.errors import DataError

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
        "a file",
        "plain or gzipped; a column has the type of its first 4 MiB, integers become floats where a fraction comes later",
        batches="csv_copy:open_csv",
        writer="csv_copy:Writer",
        delimited=True,
    ),
)

_SHARDED = re.compile(r"-\d{5,}-of-\d{5,}$")  # train.tfrecord-00000-of-00100


def of(path: str) -> Format | None:
    """The format of a path by the end of its name; what numbers it among its like (`-00000-of-00100`) may follow.

    >>> of("train/A.Parquet").name, of("notes.txt")
    ('Parquet', None)
    """
    lower = _SHARDED.sub("", path.lower().rstrip("/"))
    return next((one for one in FORMATS if lower.endswith(one.endings)), None)


def ending_of(path: str) -> str:
    """The ending itself, or nothing."""
    lower = _SHARDED.sub("", path.lower().rstrip("/"))
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


def need(library: str, extra: str, path: str) -> Any:
    """An optional library, or an error that says how to install it. Called in the one file that uses it."""
    try:
        return importlib.import_module(library)
    except ImportError as error:
        if (error.name or "").partition(".")[0] != library.partition(".")[0]:
            raise
        raise DataError(
            f"{path}: is read with {library}, which is not installed: pip install 'tfnorm[{extra}]'."
        ) from None
