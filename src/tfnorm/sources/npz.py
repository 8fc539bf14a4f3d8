"""NumPy's `.npz` archives: a column an array, read side by side: a shard a file.

The one law: every array is read from its beginning to its end, so that its checksum is looked at, and no more than one
batch of rows is in memory.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from typing import IO, Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources import SHARD_BYTES, Batch, Column
from tfnorm.sources.columns import column_of, delivered, one_length, quoted, refuse_duplicates, spans
from tfnorm.sources.files import OpenedFile, Stamp, reading
from tfnorm.sources.npy import refused

READ_BYTES = 1 << 20
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True)
class NpzFile:
    """An archive; it is read when it is called, wherever that is."""

    path: str
    stamp: Stamp
    num_rows: int
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        return self.path

    @property
    def fingerprint(self) -> str:
        return f"{self.path}, {self.stamp}, {', '.join(column.name for column in self.columns)}"

    @property
    def num_bytes(self) -> int:
        return self.stamp.num_bytes

    def __call__(self) -> Iterator[Batch]:
        with reading(self.path, self.stamp), _archive(self.path) as archive, ExitStack() as stack:
            members = {
                column.name: _Member(self.path, stack.enter_context(archive.open(_member(archive, column.name))))
                for column in self.columns
            }
            for start, stop in spans(self.num_rows, self.columns):
                yield {name: delivered(member.rows(stop - start)) for name, member in members.items()}
            for member in members.values():
                member.end()


class _Member:
    """An array of an archive, read from its front."""

    def __init__(self, path: str, file: IO[bytes]) -> None:
        self.place, self.file = f"{path}, array {quoted([file.name.removesuffix('.npy')])}", file
        try:
            version = np.lib.format.read_magic(file)
            if version not in _HEADERS:
                raise ValueError(f"version {version} of the format is not known")
            self.shape, by_column, self.dtype = _HEADERS[version](file)
        except (OSError, MemoryError, zipfile.BadZipFile, zlib.error):
            raise
        except Exception as error:  # a header is read by Python's own parser, which has many errors
            raise refused(self.place, error) from None
        if self.dtype.hasobject:
            raise refused(self.place, ValueError("Object arrays"))
        if not self.shape:
            raise DataError(f"{self.place}: expected rows, got a single value. Leave it out of the archive.")
        self.whole: np.ndarray | None = None
        self.by_column = by_column and len(self.shape) > 1
        if self.by_column and self.num_bytes > SHARD_BYTES << 4:
            raise DataError(
                f"{self.place}: lies column by column, so that no row can be read before all are. "
                "Save it row by row: numpy.savez(path, x=numpy.ascontiguousarray(x))."
            )

    @property
    def num_bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    def rows(self, count: int) -> np.ndarray:
        """The next rows."""
        if self.by_column:
            if self.whole is None:
                values = np.frombuffer(self._read(self.num_bytes), self.dtype)
                self.whole = values.reshape(self.shape[::-1]).T
            rows, self.whole = self.whole[:count], self.whole[count:]
            return rows
        shape = (count, *self.shape[1:])
        return np.frombuffer(self._read(prod(shape) * self.dtype.itemsize), self.dtype).reshape(shape)

    def _read(self, size: int) -> bytearray:
        data = bytearray()
        while len(data) < size:
            part = self.file.read(min(READ_BYTES, size - len(data)))
            if not part:
                raise DataError(f"{self.place}: expected {size - len(data)} more bytes. It is cut off: save it again.")
            data += part
        return data

    def end(self) -> None:
        """Nothing may follow; reading up to the end is what checks the checksum."""
        if self.file.read(1):
            raise DataError(f"{self.place}: more bytes than its shape {self.shape} says. Save it again.")


@contextmanager
def _archive(path: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: it cannot be read as an archive: {error}. Is it whole?") from None


def _member(archive: zipfile.ZipFile, column: str) -> str:
    return column if column in archive.NameToInfo and not column.endswith(".npy") else f"{column}.npy"


def open_npz(path: str) -> OpenedFile:
    """The arrays' names, shapes and dtypes, from their headers."""
    columns, lengths = [], {}
    with reading(path), _archive(path) as archive:
        stamp = Stamp.of(path)
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        refuse_duplicates(names, path)
        for name in names:
            info = archive.getinfo(_member(archive, name))
            with archive.open(info) as file:
                member = _Member(path, file)
            if member.num_bytes > info.file_size:
                raise DataError(
                    f"{member.place}: its shape {member.shape} needs {member.num_bytes} bytes, and it has "
                    f"{info.file_size}. It is cut off, or not what it says: save it again."
                )
            columns.append(_column(name, member))
            lengths[name] = member.shape[0]
    num_rows = one_length(lengths, path, "array", "tfnorm.fit({'x': numpy.load(path)['x']})")

    def shards(wanted: Sequence[Column]) -> Sequence[NpzFile]:
        return [NpzFile(path, stamp, num_rows, tuple(wanted))]

    return OpenedFile(path, stamp, tuple(columns), num_rows, shards)


def _column(name: str, member: _Member) -> Column:
    shape: Any = tuple(member.shape[1:])
    return column_of(name, member.dtype, shape)
