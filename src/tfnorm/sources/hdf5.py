"""HDF5 files: a column a dataset. The only file that imports h5py, and only for such files.

The one law: nothing is read but what lies in the file itself: links to other files, virtual datasets and data stored
outside are refused, as is a shape that the file is far too small for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from tfnorm.errors import DataError, needs
from tfnorm.sources import Batch, Column
from tfnorm.sources.columns import cell, column_of, delivered, one_length, quoted, refuse_hollow, row_bytes, spans
from tfnorm.sources.files import OpenedFile, Stamp, reading

DEPTH = 64  # of groups in groups


@dataclass(frozen=True)
class Rows:
    """Some rows of some datasets of a file; they are read when it is called, wherever that is."""

    path: str
    stamp: Stamp
    start: int
    stop: int
    columns: tuple[Column, ...]

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
        with reading(self.path, self.stamp), _file(self.path) as file:
            yield {column.name: self._rows(file, column) for column in self.columns}

    def _rows(self, file: Any, column: Column) -> np.ndarray:
        dataset = file[column.name]
        _refuse(self.path, column.name, dataset)  # it is opened anew, perhaps on another machine
        if column.kind == "other" and dataset.dtype.metadata and "vlen" in dataset.dtype.metadata:
            dataset = dataset.asstr() if dataset.dtype.metadata["vlen"] in (str, bytes) else dataset
        return delivered(dataset[self.start : self.stop])


@contextmanager
def _file(path: str) -> Iterator[Any]:
    with needs("hdf5", path):
        import h5py
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (KeyError, RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise DataError(
            f"{path}: it cannot be read as HDF5: {cell(error.args[0] if error.args else error, 200)}."
        ) from None


def _datasets(path: str, group: Any, inside: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """All datasets with rows below a group, by their paths; a group that has several, and what soft links name, once."""
    import h5py

    seen = set() if seen is None else seen
    address = int(h5py.h5o.get_info(group.id).addr)
    if address in seen:
        return
    seen.add(address)
    if inside.count("/") > DEPTH:
        raise DataError(
            f"{path}: groups in groups, more than {DEPTH} deep. Copy the datasets into a file of their own."
        )
    for name in group:
        link = group.get(name, getlink=True)
        called = f"{inside}{name}"
        kind = type(link).__name__
        if kind == "ExternalLink":
            raise DataError(
                f"{path}: {quoted([called])} is a link to another file ({cell(link.filename)}). "
                "Open that file instead, or copy the data."
            )
        if kind == "SoftLink":
            continue
        item = group[name]
        if hasattr(item, "keys"):
            yield from _datasets(path, item, f"{called}/", seen)
        elif hasattr(item, "shape") and item.shape:
            yield called, item


def _refuse(path: str, name: str, dataset: Any) -> None:
    if dataset.is_virtual:
        raise DataError(
            f"{path}: {quoted([name])} is virtual: its data lie in other files. Open those, or copy the data."
        )
    if dataset.external:
        where = cell(dataset.external[0][0])
        raise DataError(f"{path}: the data of {quoted([name])} lie in another file ({where}). Copy them into this one.")
    size = prod(dataset.shape) * dataset.dtype.itemsize
    refuse_hollow(name, size, dataset.id.get_storage_size(), path)


def open_hdf5(path: str) -> OpenedFile:
    """All datasets of a file, which must have as many rows each; single values are left out."""
    columns, lengths = [], {}
    with reading(path):
        stamp = Stamp.of(path)
        with _file(path) as file:
            for name, dataset in _datasets(path, file):
                _refuse(path, name, dataset)
                columns.append(_column(name, dataset))
                lengths[name] = int(dataset.shape[0])
    num_rows = one_length(lengths, path, "dataset", "file = h5py.File(path); tfnorm.fit({'x': file['x']})")

    def shards(wanted: Sequence[Column]) -> Iterator[Rows]:
        for start, stop in spans(num_rows, wanted):
            yield Rows(path, stamp, start, stop, tuple(wanted))

    return OpenedFile(path, stamp, tuple(columns), num_rows, shards)


def _column(name: str, dataset: Any) -> Column:
    if dataset.dtype.names is not None or dataset.dtype.hasobject:
        vlen = (dataset.dtype.metadata or {}).get("vlen")
        called = "string" if vlen in (str, bytes) else "records" if dataset.dtype.names else "lists of any length"
        return Column(name, called, (), "other")
    return column_of(name, dataset.dtype, tuple(dataset.shape[1:]))
