"""Zarr folders of version 2 and 3: a column an array. The only file that imports zarr, and only for such folders.

The one law: an array is read by codecs that only unpack numbers; one that could run what it finds is refused, as are a
shape that the folder is far too small for, and chunks that no memory holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from tfnorm.errors import DataError, needs
from tfnorm.sources import BARE, Batch, Column
from tfnorm.sources.columns import cell, column_of, delivered, one_length, quoted, refuse_hollow, row_bytes, spans
from tfnorm.sources.files import OpenedFile, Stamp, reading

CODECS = frozenset(
    (
        *("bytes", "transpose", "sharding_indexed", "shuffle", "delta", "fixedscaleoffset", "quantize", "bitround"),
        *("gzip", "zstd", "blosc", "zlib", "bz2", "lzma", "lz4", "zfpy", "pcodec", "packbits", "astype"),
        *("crc32c", "adler32", "crc32", "fletcher32", "jenkins_lookup3", "vlen-utf8", "vlen-bytes"),
    )
)
CHUNK_BYTES = 1 << 31  # a chunk is decoded whole
MARKS = ("zarr.json", ".zarray", ".zgroup")


@dataclass(frozen=True)
class Rows:
    """Some rows of some arrays of a folder; they are read when it is called, wherever that is."""

    path: str
    stamp: Stamp  # of the whole folder, when it was opened
    mark: tuple[str, Stamp]  # the file that says what the folder is: of many chunks not each is looked at again
    start: int
    stop: int
    columns: tuple[Column, ...]
    bare: bool

    @property
    def name(self) -> str:
        return f"{self.path}, rows {self.start} to {self.stop - 1}"

    @property
    def fingerprint(self) -> str:
        return f"{self.name}, {self.stamp} of {', '.join(column.name for column in self.columns)}"

    @property
    def num_rows(self) -> int:
        return self.stop - self.start

    @property
    def num_bytes(self) -> int:
        return self.num_rows * row_bytes(self.columns)

    def __call__(self) -> Iterator[Batch]:
        with reading(*self.mark), _opened(self.path) as node:
            batch = {}
            for column in self.columns:
                array = node if self.bare else node[column.name]
                _refuse(self.path, column.name, array, self.stamp)  # it is opened anew, perhaps on another machine
                batch[column.name] = delivered(np.asarray(array[self.start : self.stop]))
            yield batch


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    with needs("zarr", path):
        import zarr
    try:
        yield zarr.open(path, mode="r")
    except (DataError, OSError, MemoryError):
        raise
    except Exception as error:  # its codecs raise what they like
        said = cell((str(error).splitlines() or [type(error).__name__])[0], 200)
        raise DataError(f"{path}: it cannot be read as Zarr: {said}. Is it whole?") from error


def _codecs(metadata: Any) -> Iterator[str]:
    """The names of all codecs of an array, those within others too."""
    if isinstance(metadata, Mapping):
        for key in ("id", "name"):
            if isinstance(metadata.get(key), str):
                yield metadata[key].removeprefix("numcodecs.").lower()
        for key in ("codecs", "index_codecs", "configuration", "filters", "compressor"):
            yield from _codecs(metadata.get(key))
    elif isinstance(metadata, (list, tuple)):
        for one in metadata:
            yield from _codecs(one)


def _refuse(path: str, name: str, array: Any, stamp: Stamp) -> None:
    said = array.metadata.to_dict()
    unknown = set(_codecs({key: said.get(key) for key in ("codecs", "filters", "compressor")})) - CODECS
    if unknown:
        raise DataError(
            f"{path}: array {quoted([name])} is packed by {quoted(sorted(unknown))}, which might run what it unpacks or is "
            "not known. Write it with another codec."
        )
    size, chunk = (prod(shape) * array.dtype.itemsize for shape in (array.shape, array.chunks))
    refuse_hollow(name, size, stamp.num_bytes, path)
    if chunk > CHUNK_BYTES:
        raise DataError(
            f"{path}: array {quoted([name])} has chunks of {chunk:,} bytes, each of which is decoded whole. "
            "Write it in smaller chunks."
        )


def open_zarr(path: str) -> OpenedFile:
    """All arrays of a folder, which must have as many rows each; single values are left out."""
    with reading(path):
        stamp = Stamp.of(path)
        mark = next((str(Path(path) / name) for name in MARKS if (Path(path) / name).is_file()), None)
        if mark is None:
            raise DataError(f"{path}: it is no Zarr folder: it has none of {', '.join(MARKS)}. Is it whole?")
        marked = (mark, Stamp.of(mark))
        with _opened(path) as node:
            bare = not hasattr(node, "members")
            arrays = {BARE: node} if bare else dict(sorted(node.members(max_depth=None)))
            arrays = {name: array for name, array in arrays.items() if getattr(array, "shape", ())}
            for name, array in arrays.items():
                _refuse(path, name, array, stamp)
            columns = tuple(column_of(name, array.dtype, tuple(array.shape[1:])) for name, array in arrays.items())
            lengths = {name: int(array.shape[0]) for name, array in arrays.items()}
            notes = tuple(note for name, array in arrays.items() for note in _notes(name, array))
    num_rows = one_length(lengths, path, "array", "node = zarr.open(path); tfnorm.fit({'x': node['x']})")

    def shards(wanted: Sequence[Column]) -> Iterator[Rows]:
        for start, stop in spans(num_rows, wanted):
            yield Rows(path, stamp, marked, start, stop, tuple(wanted), bare)

    return OpenedFile(path, stamp, columns, num_rows, shards, bare, notes=notes)


def _notes(name: str, array: Any) -> Iterator[str]:
    """Chunks that were not written, or got lost: the format has no way to tell which."""
    lacking = array.nchunks - array.nchunks_initialized
    if lacking > 0:
        yield (
            f"{lacking} of {array.nchunks} chunks of array {quoted([name])} are not there: their values count as "
            f"{cell(array.metadata.fill_value)}"
        )
