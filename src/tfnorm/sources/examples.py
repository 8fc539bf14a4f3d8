"""tf.Example and tf.SequenceExample, as records of bytes: which features they have, and these as columns.

The one law: what a column is, the first records tell; a later one that lacks the feature is null there, and one that holds
something else under its name is an error that says which record and what it holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources import Column
from tfnorm.sources.columns import column_of, quoted, refuse_duplicates

HEAD_RECORDS = 1024  # tell what the columns are
_HEAD_MESSAGES = 1 << 22  # at most so many features of theirs

CONTEXT, LISTS = 1, 2
BYTES, FLOAT, INT64 = 1, 2, 3
UNEVEN = -1
_WIDEST = 1 << 62


class Block(Protocol):
    """Some records in a row."""

    @property
    def data(self) -> np.ndarray:
        """Their bytes, and what may lie between."""

    @property
    def starts(self) -> np.ndarray:
        """Where in `data` each begins, (records,) int64."""

    @property
    def ends(self) -> np.ndarray:
        """The place behind the last byte of each, (records,) int64."""

    def where(self, index: int) -> str:
        """Which record of which file it is, for errors."""


@dataclass(frozen=True)
class Feature(Column):
    """What records hold under a name: the column that becomes of it, and how it is written."""

    key: bytes = b""  # the name as it is written
    part: int = CONTEXT  # all there is in a tf.Example; or LISTS, whose steps are those of a SequenceExample
    holds: int = FLOAT  # BYTES, FLOAT or INT64
    width: int = 1  # how many values a record has, or a step of LISTS; UNEVEN where that differs
    always: bool = True  # whether each of the first records has values of it

    @property
    def spanned(self) -> bool:
        """Whether only its place is found at first, since how much it holds differs."""
        return self.part == LISTS or self.width == UNEVEN or self.holds == BYTES


def as_features(wanted: Sequence[Column], features: Sequence[Feature]) -> tuple[Feature, ...]:
    """The wanted columns as the first file has them; as this one, where the first is of another format."""
    own = {feature.name: feature for feature in features}
    return tuple(column if isinstance(column, Feature) else own[column.name] for column in wanted)


def features_of(block: Block) -> tuple[Feature, ...]:
    """The features of some first records, by name."""
    from tfnorm.kernels import examples as kernels

    names: dict[tuple[int, bytes], None] = {}
    at = 0
    while at >= 0:  # up to a record with a name that none before it has
        met = Table(list(names)).parse(block, slice(at, None), all_known=True)
        at = met.at
        if at >= 0 and met.what != kernels.OTHER_NAME:
            raise no_example(block, at)
        if at >= 0:
            names |= dict.fromkeys(_names(bytes(block.data[block.starts[at] : block.ends[at]])))
    if not names:
        raise DataError(
            f"{block.where(0)}: it has no features. Expected records of tf.Example or tf.SequenceExample; read others with "
            "tf.data, and pass the dataset."
        )
    features = sorted(_features(list(names), block), key=lambda feature: feature.key)  # maps are written in any order
    refuse_duplicates([feature.name for feature in features], block.where(0))
    return tuple(features)


def no_example(block: Block, index: int) -> DataError:
    return DataError(
        f"{block.where(index)}: it is no tf.Example and no tf.SequenceExample. Read such records with tf.data, and pass the "
        "dataset; if this file holds others too, it was damaged when it was written."
    )


def _names(record: bytes) -> Iterator[tuple[int, bytes]]:
    """The names in one record, which `parse` has found to be sound."""
    for part, features in _fields(record):
        for number, entry in _fields(features) if part in (CONTEXT, LISTS) else ():
            if number == 1:
                yield part, dict(_fields(entry)).get(1, b"")


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message that hold bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while at < len(message):
        tag = varint()
        if tag & 7 == 2:
            length = varint()
            yield tag >> 3, message[at : at + length]
            at += length
        elif tag & 7 == 0:
            varint()
        else:
            at += 8 if tag & 7 == 1 else 4


def _features(names: Sequence[tuple[int, bytes]], block: Block) -> Iterator[Feature]:
    """What the first records hold under each name."""
    from tfnorm.kernels import examples as kernels

    records = slice(0, max(1, _HEAD_MESSAGES // len(names)))
    spans = np.zeros((len(names), len(block.starts[records]), 2), np.int64)
    Table(names).parse(block, records, spans=spans)
    for part in (CONTEXT, LISTS):
        own = [number for number, name in enumerate(names) if name[0] == part]
        if not own:
            continue
        flat = spans[own].reshape(-1, 2)
        kinds, counts, widths = np.empty((3, len(flat)), np.int64)
        kernels.measure(block.data, flat, part, kinds, counts, widths)
        kinds, widths = kinds.reshape(len(own), -1), widths.reshape(len(own), -1)
        broken = np.argwhere(kinds == kernels.MALFORMED)
        if len(broken):
            number, at = broken[0]
            name = quoted([_called(names[own[number]][1])])
            raise DataError(f"{block.where(int(at))}: feature {name} holds no list, or several kinds of them.")
        first = (kinds > kernels.ABSENT).argmax(axis=1)
        holds = kinds[np.arange(len(own)), first]
        largest = np.where(widths == UNEVEN, _WIDEST, widths).max(axis=1, initial=0)
        smallest = np.where(widths > 0, widths, _WIDEST).min(axis=1, initial=_WIDEST)
        for number, place in enumerate(own):
            kind, width = int(holds[number]) or FLOAT, int(largest[number]) or 1
            width = width if largest[number] in (0, smallest[number]) and width < _WIDEST else UNEVEN
            always = bool((widths[number] != 0).all())
            column = _column(_called(names[place][1]), part, kind, width)
            yield Feature(**vars(column), key=names[place][1], part=part, holds=kind, width=width, always=always)


def _called(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace")


def _column(name: str, part: int, kind: int, width: int) -> Column:
    dtype = np.dtype(np.float32 if kind == FLOAT else np.int64)
    if kind == BYTES:
        return Column(name, "string" if part == CONTEXT and width == 1 else "list of strings", (), "other")
    if part == LISTS and width == UNEVEN:
        return Column(name, f"steps of {dtype}, of other lengths", (), "other")
    steps = () if width == 1 else (None if width == UNEVEN else width,)
    if part == LISTS:
        return column_of(name, dtype, (None, *steps), "ragged")
    return column_of(name, dtype, steps, "ragged" if None in steps else "dense")


@dataclass(frozen=True)
class Met:
    """Where parsing ended."""

    at: int  # the record in which something is wrong, or -1
    what: int
    column: int
    got: int


class Table:
    """Names of features, to be found in records, and where their values go."""

    def __init__(
        self, names: Sequence[tuple[int, bytes]], widths: Any = None, places: Any = None, kinds: Any = None
    ) -> None:
        """Without widths, places and kinds, only the places of their messages are found."""
        from tfnorm.kernels import examples as kernels

        number = len(names)
        self.parts = np.array([part for part, _ in names], np.int64)
        texts = [text for _, text in names]
        self.bytes = np.frombuffer(b"".join(texts) + b"\0", np.uint8).copy()
        self.starts = np.cumsum([0, *map(len, texts)]).astype(np.int64)
        self.slots = np.full(1 << (2 * len(names) + 1).bit_length(), -1, np.int64)
        kernels.enter(self.slots, self.bytes, self.starts, self.parts)
        self.widths = np.asarray([UNEVEN] * number if widths is None else widths, np.int64)
        self.places = np.asarray(np.arange(number) if places is None else places, np.int64)
        self.kinds = np.asarray([BYTES] * number if kinds is None else kinds, np.int64)

    def parse(
        self,
        block: Block,
        records: slice,
        *,
        row: int = 0,
        floats: np.ndarray | None = None,
        integers: np.ndarray | None = None,
        present: np.ndarray | None = None,
        spans: np.ndarray | None = None,
        all_known: bool = False,
    ) -> Met:
        """As `kernels.examples.parse` has it; what is not given is of no interest."""
        from tfnorm.kernels import examples as kernels

        starts, ends = block.starts[records], block.ends[records]
        number, wrong = len(self.kinds), np.zeros(3, np.int64)
        spans = np.zeros((number, len(starts), 2), np.int64) if spans is None else spans
        present = np.zeros((number, len(starts)), bool) if present is None else present
        floats = np.empty(0, np.uint32) if floats is None else floats
        integers = np.empty(0, np.int64) if integers is None else integers
        table = (self.slots, self.bytes, self.starts, self.parts)
        columns = (self.kinds, self.widths, self.places)
        at = kernels.parse(
            *(block.data, starts, ends, table, columns, row, floats, integers, present, spans, all_known, wrong)
        )
        return Met(at if at < 0 else at + (records.start or 0), *map(int, wrong))
