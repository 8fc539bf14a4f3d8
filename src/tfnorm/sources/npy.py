"""NumPy's `.npy` files, memory-mapped: a shard some rows of the array.

The one law: the file is one array, the whole array and nothing but it; what would have to be unpickled is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources import BARE, Batch, Column
from tfnorm.sources.columns import cell, column_like, delivered, row_bytes, spans
from tfnorm.sources.files import OpenedFile, Stamp, reading


@dataclass(frozen=True)
class NpyRows:
    """Some rows of an array in a file, mapped when it is called, wherever that is."""

    path: str
    stamp: Stamp
    start: int
    stop: int
    columns: tuple[Column, ...]
    bare: bool  # else they are fields of an array of records

    @property
    def name(self) -> str:
        return f"{self.path}, rows {self.start} to {self.stop - 1}"

    @property
    def fingerprint(self) -> str:
        names = "" if self.bare else f" of {', '.join(column.name for column in self.columns)}"
        return f"{self.path}, {self.stamp}, rows {self.start} to {self.stop - 1}{names}"

    @property
    def num_rows(self) -> int:
        return self.stop - self.start

    @property
    def num_bytes(self) -> int:
        return self.num_rows * row_bytes(self.columns)

    def __call__(self) -> Iterator[Batch]:
        with reading(self.path, self.stamp):
            rows = _mapped_once(self.path, self.stamp)[self.start : self.stop]
            yield {column.name: delivered(rows if self.bare else rows[column.name]) for column in self.columns}


@lru_cache(maxsize=4)
def _mapped_once(path: str, stamp: Stamp) -> np.ndarray:  # noqa: ARG001
    """One mapping for all parts of a file as `stamp` has it: to unmap one stops whoever reads another."""
    return mapped(path)


def mapped(path: str) -> np.ndarray:
    """The array of a file, of which only what is looked at is read."""
    try:
        with np.errstate(all="raise"):
            array = np.load(path, mmap_mode="r", allow_pickle=False, max_header_size=1 << 20)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a header is read by Python's own parser, which has many errors
        raise refused(path, error) from None
    if not isinstance(array, np.memmap):
        raise DataError(f"{path}: expected one array, got another kind of file. Name it by what it is.")
    return array


def refused(place: str, error: Exception) -> DataError:
    """What NumPy says of bytes that are no array, with what to do."""
    said = str(error)
    if "pickle" in said or "Python objects" in said or "Object arrays" in said:
        return DataError(
            f"{place}: holds Python objects, which would have to be unpickled, and that can run any code. "
            "Save it as numbers: numpy.save(path, array.astype(float), allow_pickle=False)."
        )
    return DataError(
        f"{place}: it cannot be read as an array: {cell(said.splitlines()[0] if said else 'it ends', 200)}."
    )


def columns_of(array: np.ndarray, name: str, place: str) -> tuple[Column, ...]:
    """One column, or one a field of records."""
    if array.ndim == 0:
        raise DataError(f"{place}: expected rows, got a single value. Save an array of shape (n,) or (n, d).")
    if array.dtype.hasobject:
        raise refused(place, ValueError("Object arrays"))
    if array.dtype.names is None:
        return (column_like(name, array),)
    return tuple(column_like(field, array[field]) for field in array.dtype.names)


def open_npy(path: str) -> OpenedFile:
    """The array's shape and dtype, from the header; a column a field where it is one of records."""
    with reading(path):
        stamp = Stamp.of(path)
        if stamp.num_bytes == 0:
            raise DataError(f"{path}: it is empty. Write it again, or leave it out.")
        array: Any = mapped(path)
        columns = columns_of(array, BARE, path)
        beyond = stamp.num_bytes - array.offset - array.nbytes
        if beyond > 0:
            raise DataError(
                f"{path}: {beyond} bytes follow the array, which NumPy would pass over. "
                "Is a second array saved behind it? Save each in a file of its own, or all with numpy.savez."
            )
    bare, num_rows = array.dtype.names is None, len(array)

    def shards(wanted: Sequence[Column]) -> Iterator[NpyRows]:
        for start, stop in spans(num_rows, wanted):
            yield NpyRows(path, stamp, start, stop, tuple(wanted), bare)

    return OpenedFile(path, stamp, columns, num_rows, shards, bare)
