"""Images as a source: files, or encoded bytes in a column of another source. What is told of them is how often each value is
there, channel by channel.

The one law: pixels are those that the decoder of the training gives, which is named in all that is saved; what it is asked to
decode is looked at first: its kind, its size, its bits. An image counts whole or not at all.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources import Batch, Column, OnError, Shard, Source, remote
from tfnorm.sources.columns import pick, quoted
from tfnorm.sources.decoding import Decoder, is_encoded
from tfnorm.sources.files import Stamp, reading
from tfnorm.sources.paths import is_image
from tfnorm.sources.pixels import Pixels

SHARD_BYTES, SHARD_FILES = 1 << 22, 32  # of encoded images that are counted together, at most
CUT_EACH = 24  # files, about: of which one whose name says so begins a new shard, whatever comes before it
TOGETHER = 1 << 12  # images of another source that are counted together: a power of two, as what is measured at once is
IMAGE = "image"

Tell = Callable[[str, str], None]
"""Told the name of an image that is left out, and why."""


def column_of(name: str, pixels: np.ndarray) -> Column:
    """The column of images of any size, with as many channels and bits as this one."""
    return Column(name, pixels.dtype.name, (None, None, pixels.shape[-1]))


# ---------------------------------------------------------------------------------------------------------------- files


def _content(path: str, stamp: Stamp) -> bytes:
    """All bytes of a file, as it was when it was opened. It is read at once, so one look at it tells whether it has changed."""
    if remote.is_url(path):
        with reading(path, stamp):
            return bytes(remote.input_file(path).read())
    with reading(path), open(path, "rb", buffering=0) as file:  # noqa: PTH123  # half the calls of Path.open
        data, status = file.read(), os.fstat(file.fileno())
    if (len(data), status.st_mtime_ns) != (stamp.num_bytes, stamp.modified_ns):
        with reading(path, stamp):  # which says how
            pass
    return data


@dataclass(frozen=True)
class ImageFiles:
    """Some image files; they are read when it is called, wherever that is."""

    paths: tuple[str, ...]
    stamps: tuple[Stamp, ...]
    first: int  # number of the first among all
    column: Column
    decoder: Decoder
    tell: Tell | None = None  # of images that cannot be read, where they are to be left out
    summed: bool = False  # whether sums of powers are enough, which are faster than counts

    @property
    def name(self) -> str:
        return self.paths[0] if len(self.paths) == 1 else f"images {self.paths[0]} to {self.paths[-1]}"

    @property
    def num_rows(self) -> int:
        return len(self.paths)

    @property
    def num_bytes(self) -> int:
        return sum(stamp.num_bytes for stamp in self.stamps)

    @property
    def fingerprint(self) -> str:
        files = "; ".join(f"{path}, {stamp}" for path, stamp in zip(self.paths, self.stamps, strict=True))
        return f"{files}; {self.decoder}"

    def telling(self, tell: Tell) -> ImageFiles:
        """The same, which tells of images that cannot be read, and goes on."""
        return replace(self, tell=tell)

    def summing(self) -> ImageFiles:
        """The same, for whom it is enough how many values there are, their extremes and the sums of their powers."""
        return replace(self, summed=True)

    def __call__(self) -> Iterator[Batch]:
        pixels = Pixels(self.column, summed=self.summed)
        for path, stamp in zip(self.paths, self.stamps, strict=True):
            try:
                pixels.add(self.decoder(_content(path, stamp), path), path)
            except DataError as error:
                if self.tell is None:
                    raise
                self.tell(path, str(error))
        if pixels.rows:
            yield pixels.batch(self.column.name)


@dataclass(frozen=True)
class ImageSource:
    """Image files as a source of one column."""

    place: str
    paths: tuple[str, ...]
    decoder: Decoder
    on_error: OnError = "raise"

    def skipping(self) -> ImageSource:
        """The same, whose columns are those of the first image that can be read."""
        return replace(self, on_error="skip")

    @property
    def name(self) -> str:
        return f"{self.place}, decoded by {self.decoder}"

    @property
    def bare(self) -> bool:
        return False

    @property
    def weight(self) -> None:
        return None

    @property
    def num_rows(self) -> int:
        return len(self.paths)

    @property
    def repeatable(self) -> bool:
        return True

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        first: DataError | None = None
        for path, stamp in zip(self.paths, self._stamps, strict=True):
            try:
                return (column_of(IMAGE, self.decoder(_content(path, stamp), path)),)
            except DataError as error:
                if self.on_error == "raise":
                    raise
                first = first or error
        raise DataError(f"{self.place}: none of {len(self.paths)} images can be read. The first: {first}")

    @cached_property
    def _stamps(self) -> tuple[Stamp, ...]:
        stamps = []
        for path in self.paths:
            try:
                with reading(path):
                    stamps.append(Stamp.of(path))
            except DataError:
                if self.on_error == "raise":
                    raise
                stamps.append(Stamp(0, 0))  # reading it says what is the matter
        return tuple(stamps)

    @property
    def num_bytes(self) -> int:
        return sum(stamp.num_bytes for stamp in self._stamps)

    @property
    def notes(self) -> tuple[str, ...]:
        return self.decoder.notes

    def shards(self, columns: Sequence[str]) -> Iterator[ImageFiles]:
        (column,) = pick(self.columns, columns, self.name)
        first, held = 0, 0
        for number, stamp in enumerate(self._stamps):
            full = held + stamp.num_bytes > SHARD_BYTES or number - first == SHARD_FILES
            if number > first and (full or _begins(self.paths[number])):
                yield self._part(first, number, column)
                first, held = number, 0
            held += stamp.num_bytes
        yield self._part(first, len(self.paths), column)

    def _part(self, start: int, stop: int, column: Column) -> ImageFiles:
        return ImageFiles(self.paths[start:stop], self._stamps[start:stop], start, column, self.decoder)


def _begins(path: str) -> bool:
    """Whether a shard begins here by the file's own name: so a file that is added moves those near it alone, and what a
    checkpoint has of the others still holds."""
    name = path[max(path.rfind("/"), path.rfind("\\")) + 1 :]
    return zlib.crc32(name.encode("utf-8", "surrogatepass")) % CUT_EACH == 0


# ----------------------------------------------------------------------------------------- encoded, in another source


@dataclass(frozen=True)
class EncodedSource:
    """Another source, of which one column holds encoded images."""

    source: Source
    encoded: str
    decoder: Decoder
    on_error: OnError = "raise"

    def skipping(self) -> EncodedSource:
        """The same, whose column is that of the first image that can be decoded."""
        return replace(self, on_error="skip")

    @property
    def paths(self) -> tuple[str, ...]:
        """Of its files, where it has some."""
        found: tuple[str, ...] = self.source.paths  # type: ignore[attr-defined]  # AttributeError says that it has none
        return found

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Files that were left out, and why."""
        return list(getattr(self.source, "skipped", ()))

    @property
    def name(self) -> str:
        return f"{self.source.name}, {quoted([self.encoded])} decoded by {self.decoder}"

    @property
    def bare(self) -> bool:
        return False

    @property
    def weight(self) -> None:
        return None

    @property
    def num_rows(self) -> int | None:
        return self.source.num_rows

    @property
    def repeatable(self) -> bool:
        return self.source.repeatable

    @property
    def notes(self) -> tuple[str, ...]:
        return (*getattr(self.source, "notes", ()), *self.decoder.notes)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        for data, where in first_images(self.source, self.encoded):
            try:
                image = column_of(self.encoded, self.decoder(data, where))
            except DataError:
                if self.on_error == "raise":
                    raise
                continue
            return tuple(image if c.name == self.encoded else c for c in self.source.columns)
        raise DataError(f"{self.source.name}: column {quoted([self.encoded])} holds no image.")

    def shards(self, columns: Sequence[str]) -> Iterator[Shard]:
        pick(self.columns, columns, self.name)
        if self.encoded not in columns:
            yield from self.source.shards(columns)
            return
        if len(columns) > 1:
            raise DataError(
                f"{self.name}: images are counted, and so are measured alone: choose techniques for {quoted([self.encoded])}, or "
                "for the other columns."
            )
        (column,) = pick(self.columns, [self.encoded], self.name)
        for shard in self.source.shards([self.encoded]):
            yield EncodedImages(shard, column, self.decoder)


@dataclass(frozen=True)
class EncodedImages:
    """A part of another source, whose images are decoded when it is called."""

    shard: Shard
    column: Column
    decoder: Decoder
    tell: Tell | None = None  # of images that cannot be decoded, where they are to be left out
    summed: bool = False  # whether sums of powers are enough, which are faster than counts

    @property
    def path(self) -> str:
        """Of the file of which it is a part."""
        return str(self.shard.path)  # type: ignore[attr-defined]  # a file's shard has one

    def telling(self, tell: Tell) -> EncodedImages:
        """The same, which tells of images that cannot be decoded, and goes on."""
        return replace(self, tell=tell)

    def summing(self) -> EncodedImages:
        """The same, for whom it is enough how many values there are, their extremes and the sums of their powers."""
        return replace(self, summed=True)

    @property
    def name(self) -> str:
        return self.shard.name

    @property
    def num_rows(self) -> int | None:
        return self.shard.num_rows

    @property
    def fingerprint(self) -> str:
        return f"{self.shard.fingerprint}; {self.decoder}"

    def __call__(self) -> Iterable[Batch]:
        pixels, row = Pixels(self.column, summed=self.summed), 0
        for batch in self.shard():
            for data in _bytes_of(batch[self.column.name]):
                where = f"column {quoted([self.column.name])}, row {row} ({self.name})"
                try:
                    if data is not None:
                        pixels.add(self.decoder(data, where), where)
                except DataError as error:
                    if self.tell is None:
                        raise
                    self.tell(where, str(error))
                row += 1
                if pixels.rows == TOGETHER:
                    yield pixels.batch(self.column.name)
                    pixels = Pixels(self.column, summed=self.summed)
        if pixels.rows:
            yield pixels.batch(self.column.name)


def _bytes_of(values: Any) -> Iterator[bytes | None]:
    """Encoded images as bytes; of what has bytes and a path, the bytes."""
    for value in values.tolist() if hasattr(values, "tolist") else values:
        data = value.get("bytes") if isinstance(value, dict) else value
        yield data.encode() if isinstance(data, str) else data


def first_images(source: Source, column: str) -> Iterator[tuple[bytes, str]]:
    """What the first batches of a source hold in a column of bytes, and where."""
    for shard in source.shards([column]):
        for batch in shard():
            for row, data in enumerate(_bytes_of(batch[column][:16])):
                if data is not None:
                    yield data, f"{shard.name}, row {row}"


def with_encoded(source: Source, names: Iterable[str], on_error: OnError = "raise") -> Source:
    """The source, with those of the named columns as images that hold encoded ones: their first bytes say so."""
    named = set(names)
    for column in source.columns if source.repeatable else ():
        if (
            column.name in named
            and column.kind == "other"
            and column.shape == ()
            and _holds_images(source, column.name)
        ):
            source = open_encoded(source, column.name, _as_training(), on_error)
    return source


def _holds_images(source: Source, column: str) -> bool:
    first = next(first_images(source, column), None)
    return first is not None and isinstance(first[0], bytes) and is_encoded(first[0])


def _as_training() -> Decoder:
    return Decoder.of(None, 0, "INTEGER_FAST")


def open_images(
    place: str, paths: Sequence[str], decoder: Decoder | None = None, on_error: OnError = "raise"
) -> ImageSource:
    """Image files, in this order; decoded as training with TensorFlow does where nothing else is said."""
    other = [path for path in paths if not is_image(path)]
    if other:
        raise DataError(
            f"{place}: expected images alone, or none, got {quoted(other, 3)} among them. Name the ones or the others."
        )
    return ImageSource(place, tuple(paths), decoder or _as_training(), on_error)


def open_encoded(source: Source, column: str, decoder: Decoder, on_error: OnError = "raise") -> EncodedSource:
    """The images in a column of another source."""
    if source.weight is not None:
        raise DataError(f"column {quoted([column])}: images have no weights ({source.name}). Leave weight out.")
    (found,) = pick(source.columns, [column], source.name)
    if found.kind != "other":
        raise DataError(f"column {quoted([column])}: expected encoded images, got {found.dtype} ({source.name}).")
    return EncodedSource(source, column, decoder, on_error)
