"""Files of any format as one source, each checked against the first.

The one law: each file is read once, as it was when it was opened: a wanted column that is missing or of another kind,
a change while reading, or a fault of the disk is an error that names the file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from tfnorm.errors import ChoiceError, DataError
from tfnorm.sources import Absent, Column, OnError, Shard, Source, formats, remote
from tfnorm.sources.columns import KIND_NOUNS, cell, describe, did_you_mean, pick, quoted, weight_column
from tfnorm.sources.filled import Filled, can_be_null
from tfnorm.sources.paths import find_all, is_image


@dataclass(frozen=True)
class Stamp:
    """What tells whether a file is still the one that was opened."""

    num_bytes: int
    modified_ns: int

    @staticmethod
    def of(path: str) -> Stamp:
        """Of a folder that is one data set: of all its files together."""
        if remote.is_url(path):
            return Stamp(*remote.status(path))
        status = os.stat(path)  # noqa: PTH116  # of a hundred thousand images Path takes a second more
        if stat.S_ISDIR(status.st_mode):
            below = [file.stat() for file in Path(path).rglob("*") if file.is_file()]
            return Stamp(sum(one.st_size for one in below), max((one.st_mtime_ns for one in below), default=0))
        return Stamp(status.st_size, status.st_mtime_ns)

    def __str__(self) -> str:
        return f"{self.num_bytes} bytes of {self.modified_ns}"


@dataclass(frozen=True)
class OpenedFile:
    """A file whose columns are known."""

    path: str
    stamp: Stamp
    columns: tuple[Column, ...]
    num_rows: int | None  # None where only reading would tell; 0 where it is known to hold none
    shards: Callable[[Sequence[Column]], Iterable[Shard]]  # the wanted columns, as the first file has them -> its parts
    bare: bool = False  # whether it is one array without a name
    about_rows: int | None = None  # a guess where `num_rows` is None, for a progress bar
    notes: tuple[str, ...] = ()  # what may surprise, and is no error
    optional: frozenset[str] = frozenset()  # columns that rows may lack, and so may other files


@contextmanager
def reading(path: str, stamp: Stamp | None = None) -> Iterator[None]:
    """Errors of the disk and of the format become one that names the file; it must be `stamp`'s before and after."""
    import pyarrow as pa

    try:
        if stamp is not None:
            _unchanged(path, stamp)
        yield
        if stamp is not None:
            _unchanged(path, stamp)
    except DataError:
        raise
    except (OSError, pa.ArrowException, UnicodeError) as error:
        if isinstance(error, MemoryError):
            raise
        # cut short while being read it fails in many ways: say the cause
        if stamp is not None and not remote.is_url(path) and Path(path).exists():
            _unchanged(path, stamp)
        raise DataError(f"{path}: {_reason(path, error)}") from error
    except Exception as error:  # a library of fsspec raises what it likes
        if not remote.is_url(path) or type(error).__module__.startswith("tfnorm"):
            raise
        raise DataError(f"{path}: {_reason(path, error)}") from error


def _unchanged(path: str, stamp: Stamp) -> None:
    now = Stamp.of(path)
    if now != stamp:
        raise DataError(
            f"{path}: it changed while being read ({stamp.num_bytes} bytes before, {now.num_bytes} now). "
            "Read it when it is complete."
        )


def _reason(path: str, error: BaseException) -> str:
    if Path(path).is_symlink() and not Path(path).exists():
        return "it is a link to a file that is not there. Restore the file, or leave the link out."
    if isinstance(error, FileNotFoundError):
        return "there is no such file. If it was there, it was removed while being read."
    if isinstance(error, PermissionError):
        return "no permission to read it. Allow it, or leave the file out."
    if isinstance(error, IsADirectoryError):
        return "expected a file, got a folder."
    if isinstance(error, UnicodeError):
        return "it is not UTF-8. Convert it, for example with `iconv -t UTF-8`."
    if remote.is_url(path) and "range requests" in str(error):
        return "its server gives whole files only, and parts are needed. Copy the file here, or use CSV or JSON lines."
    lines = str(error).strip().rstrip(".").splitlines()
    return f"it cannot be read: {cell(lines[0] if lines else type(error).__name__, 200)}. Is it whole?"


def open_path(path: str, delimiter: str | None) -> OpenedFile:
    """One file, by the end of its name."""
    found = formats.of(path)
    if found is not None and not found.remote and remote.is_url(path):
        raise DataError(f"{path}: {found.name} is read from a local path only. Copy it here, or mount it.")
    if found is None:
        raise DataError(f"{path}: expected one of {formats.listed()}. Rename it, or read it yourself.")
    return found.open(path, delimiter)


@dataclass(frozen=True)
class FilesSource:
    """Files as a source: a shard is a part of a file, as its format has it, and can be sent to another process."""

    name: str
    paths: tuple[str, ...]
    delimiter: str | None
    weight: str | None
    on_error: OnError = "raise"
    absent: Absent = "error"
    skipped: list[tuple[str, str]] = field(default_factory=list, compare=False)  # files that were left out, and why

    @property
    def bare(self) -> bool:
        return self._first.bare

    @property
    def repeatable(self) -> bool:
        return True

    @cached_property
    def _first(self) -> OpenedFile:
        """The first file that has rows: all others are held against it."""
        for path in self.paths:
            opened = self._open(path)
            if opened is not None and opened.num_rows != 0:
                return opened
        if self.skipped:
            raise DataError(f"{self.name}: nothing could be read. {self.skipped[0][1]}")
        where = "it has no rows" if len(self.paths) == 1 else f"no rows in {_count(self.paths)}"
        raise DataError(f"{self.name}: {where}. Statistics need at least one.")

    @cached_property
    def _opened(self) -> tuple[OpenedFile, ...]:
        """Every file, opened; those without rows left out."""
        first = self._first
        before = self.paths.index(first.path)
        opened = [first, *(self._open(path) for path in self.paths[before + 1 :])]
        return tuple(file for file in opened if file is not None and file.num_rows != 0)

    def _open(self, path: str) -> OpenedFile | None:
        with self._skipping(path):
            return open_path(path, self.delimiter)
        return None

    @contextmanager
    def _skipping(self, path: str) -> Iterator[None]:
        """An error of this file is kept and not raised, where the user said so."""
        try:
            yield
        except DataError as error:
            if self.on_error == "raise":
                raise
            self.skipped.append((path, str(error)))

    @property
    def columns(self) -> tuple[Column, ...]:
        return self._first.columns

    @property
    def num_rows(self) -> int | None:
        counts = [file.num_rows for file in self._opened]
        return None if None in counts else sum(count or 0 for count in counts)

    @property
    def about_rows(self) -> int | None:
        """As `num_rows`, or guessed from how long first lines are, which is enough for a progress bar."""
        counts = [file.about_rows if file.num_rows is None else file.num_rows for file in self._opened]
        return None if None in counts else sum(count or 0 for count in counts)

    @property
    def num_bytes(self) -> int:
        """The size of all files on disk; a shard has its share as `num_bytes`, for a progress bar."""
        return sum(file.stamp.num_bytes for file in self._opened)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was taken without an error but may surprise: files without rows, widths that differ, extra columns."""
        first = self._first
        by_name = {column.name: column for column in first.columns}
        kept = {file.path for file in self._opened}
        said = list(formats.not_among(self.paths))
        said += [
            f"{path}: skipped, it has no rows"
            for path in self.paths
            if path not in kept and path not in dict(self.skipped)
        ]
        for file in self._opened:
            said += [f"{file.path}: {note}" for note in file.notes]
            extra = [column.name for column in file.columns if column.name not in by_name]
            if extra:
                said.append(f"{file.path}: ignored columns {quoted(extra)}, which {first.path} does not have")
            if self.absent == "missing" and (gone := _gone(file, first.columns, first)):
                names = quoted(column.name for column in gone)
                said.append(f"{file.path}: missing in all its rows: {names}, which {first.path} has")
            for column in file.columns:
                expected = by_name.get(column.name, column)
                if column.kind == expected.kind and column.dtype != expected.dtype:
                    said.append(
                        f"{file.path}: column {quoted([column.name])} is {column.dtype}, {expected.dtype} in "
                        f"{first.path}"
                    )
        return tuple(said)

    def shards(self, columns: Sequence[str]) -> Iterator[Shard]:
        names = list(columns) if self.weight is None else [*columns, self.weight]
        wanted = pick(self.columns, names, self._first.path)
        fitting = []
        for file in self._opened:
            if file.path not in dict(self.skipped):
                with self._skipping(file.path):
                    _check(file, wanted, self._first, self._may_lack(file, wanted))
                    fitting.append(file)
        return chain.from_iterable(self._parts(file, wanted) for file in fitting)

    def _may_lack(self, file: OpenedFile, wanted: Sequence[Column]) -> list[Column]:
        """The wanted columns that are null in this file, which has not got them."""
        gone = [] if self.absent == "error" else _gone(file, wanted, self._first)
        return [column for column in gone if can_be_null(column) and column.name != self.weight]

    def _parts(self, file: OpenedFile, wanted: Sequence[Column]) -> Iterator[Shard]:
        nulls = self._may_lack(file, wanted)
        there = [column for column in wanted if column not in nulls]
        counted = () if there else file.columns[:1]
        for shard in file.shards([*there, *counted]):
            yield Filled(shard, tuple(nulls), *(column.name for column in counted)) if nulls else shard


def _gone(file: OpenedFile, wanted: Sequence[Column], first: OpenedFile) -> list[Column]:
    """The wanted columns that a file lacks, and may not."""
    names = {column.name for column in file.columns} | first.optional
    return [column for column in wanted if column.name not in names]


def _check(file: OpenedFile, wanted: Sequence[Column], first: OpenedFile, may_lack: Sequence[Column]) -> None:
    """Every wanted column must be there, unless it may lack, and of the kind that it has in the first file."""
    by_name = {column.name: column for column in file.columns}
    missing = [column.name for column in _gone(file, wanted, first) if column not in may_lack]
    if missing:
        hints = "".join(did_you_mean(name, by_name) for name in missing[:3])
        noun, verb, it = ("column", "is", "it") if len(missing) == 1 else ("columns", "are", "them")
        raise DataError(
            f"{file.path}: {noun} {quoted(missing)} {verb} missing; {first.path} has {it}.{hints} Add {it}, leave "
            'the file out, or take numbers that it lacks as missing: absent="missing" (--absent missing).'
        )
    said = []
    for column in wanted:
        here = by_name.get(column.name, column)
        if column.kind not in ("other", here.kind):
            said.append(
                f"column {quoted([column.name])}: expected {KIND_NOUNS[column.kind]} as in {first.path}, got "
                f"{here.dtype}"
            )
        elif column.kind != "other" and not _same_shape(here.shape, column.shape):
            said.append(
                f"column {quoted([column.name])}: expected {describe(column)} as in {first.path}, got {describe(here)}"
            )
    if said:
        raise DataError(f"{'; '.join(said)} ({file.path}). Cast it, or leave it out.")


def _same_shape(here: tuple[int | None, ...], there: tuple[int | None, ...]) -> bool:
    return len(here) == len(there) and all(a == b or a is None or b is None for a, b in zip(here, there, strict=True))


def _count(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{len(paths)} files"


def open_files(
    data: Any,
    *,
    weight: Any = None,
    delimiter: str | None = None,
    on_error: OnError = "raise",
    absent: Absent = "error",
) -> Source:
    """A path, a glob, a folder, or a list of these, in the order given; a file that is found twice is read once."""
    patterns = list(data) if isinstance(data, (list, tuple)) else [data]
    if weight is not None and not isinstance(weight, str):
        raise DataError(f"weight: for files expected the name of a column, got {type(weight).__name__}.")
    if absent not in ("error", "missing"):
        raise ChoiceError(f'absent must be "error" or "missing", got {absent!r}.')
    first = remote.shown(os.fsdecode(patterns[0]))
    name = first if len(patterns) == 1 else f"{len(patterns)} paths from {first}"
    found = find_all(patterns)
    if any(map(is_image, found)):
        from tfnorm.sources import images

        if weight is not None:
            raise DataError(f"weight: {name} holds images, which have no columns of weights. Leave it out.")
        return images.open_images(name, found, on_error=on_error)
    source = FilesSource(name, found, delimiter, weight, on_error, absent)
    if weight is not None:
        weight_column(source.columns, weight, source._first.path)
    elif not source.columns:
        raise DataError(f"{name}: it has no columns.")
    return source
