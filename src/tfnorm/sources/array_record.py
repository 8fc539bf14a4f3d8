"""ArrayRecord files of tf.Example and tf.SequenceExample: some records a shard, by their numbers.

The one law: the records are those of TFRecord files in another wrapping, and give the same columns and the same statistics. The
library checks the checksums; a file that was cut, which it takes for an empty one, is refused here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfnorm.errors import DataError, needs
from tfnorm.sources import Batch, Column
from tfnorm.sources.columns import cell, rows_per_shard
from tfnorm.sources.example_rows import batches_of
from tfnorm.sources.examples import HEAD_RECORDS, Feature, as_features, features_of
from tfnorm.sources.files import OpenedFile, Stamp, reading

BLOCK_BYTES = 1 << 20  # read and parsed at once, about


@dataclass(frozen=True)
class Records:
    """Some records of a file in a row."""

    data: np.ndarray  # uint8
    starts: np.ndarray  # (records,) int64
    ends: np.ndarray  # (records,) int64
    path: str
    first: int  # number of the first in its file

    @classmethod
    def of(cls, found: Sequence[bytes], path: str, first: int) -> Records:
        ends = np.cumsum([0, *map(len, found)]).astype(np.int64)
        data = bytearray(b"".join(found))  # kernels are compiled for what may be written to
        return cls(np.frombuffer(data, np.uint8), ends[:-1], ends[1:], path, first)

    def where(self, index: int) -> str:
        return f"{self.path}: record {self.first + index}"


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    with needs("arrayrecord", path):
        from array_record.python.array_record_module import ArrayRecordReader
    reader = None
    try:
        reader = ArrayRecordReader(path)
        if not reader.ok():
            raise DataError(
                f"{path}: it is no whole ArrayRecord file: its end holds no index. It was cut, added to, or is another file. "
                "Copy it anew."
            )
        yield reader
    except RuntimeError as error:  # what the library raises, whatever is wrong
        raise DataError(
            f"{path}: it cannot be read: {cell(error, 200)}. It is no ArrayRecord file, or damaged."
        ) from None
    finally:
        if reader is not None:
            with suppress(RuntimeError):  # says again what was wrong
                reader.close()


def _read(reader: Any, path: str, start: int, stop: int, step: int) -> Iterator[Records]:
    for first in range(start, stop, step):
        yield Records.of(reader.read(first, min(first + step, stop)), path, first)


@dataclass(frozen=True)
class RecordRange:
    """Some records of a file; they are read when it is called, wherever that is."""

    path: str
    stamp: Stamp
    features: tuple[Feature, ...]
    start: int
    stop: int
    num_bytes: int  # its share of the file
    step: int  # how many records are read at once

    @property
    def name(self) -> str:
        return f"{self.path}, records {self.start} to {self.stop - 1}"

    @property
    def fingerprint(self) -> str:
        return f"{self.name}, {self.stamp}, {', '.join(feature.name for feature in self.features)}"

    @property
    def num_rows(self) -> int:
        return self.stop - self.start

    def __call__(self) -> Iterator[Batch]:
        rows = rows_per_shard(self.features)
        with reading(self.path, self.stamp), _opened(self.path) as reader:
            yield from batches_of(_read(reader, self.path, self.start, self.stop, self.step), self.features, rows)


def open_array_record(path: str) -> OpenedFile:
    """The columns of a file, from its first records."""
    with reading(path):
        stamp = Stamp.of(path)
        with _opened(path) as reader:
            num_rows = int(reader.num_records())
            if num_rows == 0:
                return OpenedFile(path, stamp, (), 0, lambda _: ())
            few = max(1, min(HEAD_RECORDS, num_rows, BLOCK_BYTES * num_rows // stamp.num_bytes))
            head = Records.of(reader.read(0, few), path, 0)
    features = features_of(head)
    step = max(1, BLOCK_BYTES * few // max(1, len(head.data)))

    def shards(wanted: Sequence[Column]) -> Iterator[RecordRange]:
        own = as_features(wanted, features)
        rows = rows_per_shard(own)
        for start in range(0, num_rows, rows):
            stop = min(start + rows, num_rows)
            yield RecordRange(path, stamp, own, start, stop, stamp.num_bytes * (stop - start) // num_rows, step)

    optional = frozenset(feature.name for feature in features if not feature.always)
    return OpenedFile(path, stamp, features, num_rows, shards, optional=optional)
