"""TFRecord files of tf.Example and tf.SequenceExample, without TensorFlow.

The one law: a shard is a file, or of a large plain one as many records as are measured at once; so the statistics are, bit for
bit, those of the same rows as one array.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tfnorm.sources import Batch, Column
from tfnorm.sources.columns import rows_per_shard
from tfnorm.sources.example_rows import batches_of
from tfnorm.sources.examples import HEAD_RECORDS, Feature, as_features, features_of
from tfnorm.sources.files import OpenedFile, Stamp, reading
from tfnorm.sources.records import FOOTER, records_of

HEAD_BYTES = 1 << 19  # tell what the columns are, or one record where that is longer
SHARD_BYTES = 1 << 26  # of a plain file that is read as one shard, rather than cut
_PACKED = 3  # how many times smaller compressed files are taken to be, for a progress bar


@dataclass(frozen=True)
class RecordFile:
    """A file, or some records of it; it is read when it is called, wherever that is."""

    path: str
    stamp: Stamp
    features: tuple[Feature, ...]
    start: int = 0  # the byte at which it begins
    stop: int | None = None  # the byte behind its last, where it is not all
    first: int = 0  # number of its first record in the file
    num_rows: int | None = None

    @property
    def name(self) -> str:
        return (
            self.path
            if self.stop is None
            else f"{self.path}, records {self.first} to {self.first + (self.num_rows or 0) - 1}"
        )

    @property
    def num_bytes(self) -> int:
        return self.stamp.num_bytes if self.stop is None else self.stop - self.start

    @property
    def fingerprint(self) -> str:
        part = "" if self.stop is None else f", bytes {self.start} to {self.stop}"
        return f"{self.path}, {self.stamp}{part}, {', '.join(feature.name for feature in self.features)}"

    def __call__(self) -> Iterator[Batch]:
        rows = rows_per_shard(self.features)
        with reading(self.path, self.stamp):
            blocks = records_of(self.path, start=self.start, stop=self.stop, first=self.first)
            yield from batches_of(blocks, self.features, rows)


def open_tfrecord(path: str) -> OpenedFile:
    """The columns of a file, from its first records."""
    with reading(path):
        stamp = Stamp.of(path)
        head = next(records_of(path, block_bytes=HEAD_BYTES), None)
        if head is None:
            return OpenedFile(path, stamp, (), 0, lambda _: ())
        head = dataclasses.replace(head, starts=head.starts[:HEAD_RECORDS], ends=head.ends[:HEAD_RECORDS])
        features, plain = features_of(head), not head.unpacked
        record_bytes = (int(head.ends[-1]) + FOOTER) / len(head.starts)

    def shards(wanted: Sequence[Column]) -> Iterable[RecordFile]:
        return _parts(RecordFile(path, stamp, as_features(wanted, features)), plain)

    about = int(stamp.num_bytes / record_bytes * (1 if plain else _PACKED))
    optional = frozenset(feature.name for feature in features if not feature.always)
    return OpenedFile(path, stamp, features, None, shards, about_rows=about, optional=optional)


def _parts(file: RecordFile, plain: bool) -> Iterator[RecordFile]:
    """A large plain file cut into as many records as are measured at once, so that its statistics are those of one array."""
    if not plain or file.stamp.num_bytes <= SHARD_BYTES:
        yield file
        return
    step = rows_per_shard(file.features)
    start = stop = first = total = 0
    with reading(file.path, file.stamp):
        for block in records_of(file.path, checked=False):
            total = block.first + len(block.starts)
            ends = block.position + block.ends + FOOTER
            while total - first >= step:
                stop = int(ends[first + step - 1 - block.first])
                yield dataclasses.replace(file, start=start, stop=stop, first=first, num_rows=step)
                start, first = stop, first + step
            stop = int(ends[-1])
    if total > first:
        yield dataclasses.replace(file, start=start, stop=stop, first=first, num_rows=total - first)
