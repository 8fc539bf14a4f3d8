"""tf.Example and tf.SequenceExample, as records of bytes: which features they have, and these as columns.

The one law: what a column is, the first records tell; a later one that lacks the feature is null there, and one that holds
something else under its name is an error that says which record and what it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources import Column
from tfnorm.sources.columns import column_of, quoted, refuse_duplicates
from tfnorm.sources.stored import Ragged

HEAD_RECORDS = 1024  # tell what the columns are
_HEAD_MESSAGES = 1 << 22  # at most so many features of theirs

CONTEXT, LISTS = 1, 2
BYTES, FLOAT, INT64 = 1, 2, 3
UNEVEN = -1
_CALLED = {BYTES: "text or bytes", FLOAT: "floats", INT64: "int64"}


class Block(Protocol):
    """Some records in a row."""

    data: np.ndarray  # uint8
    starts: np.ndarray  # (records,) int64: where in `data` each begins
    ends: np.ndarray  # (records,) int64: the place behind its last byte

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
        met = _Table(list(names)).parse(block, slice(at, None), all_known=True)
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
    records = slice(0, max(1, _HEAD_MESSAGES // len(names)))
    spans = np.zeros((len(names), len(block.starts[records]), 2), np.int64)
    _Table(list(names)).parse(block, records, spans=spans)
    features = tuple(_feature(name, block, spans[number]) for number, name in enumerate(names))
    features = tuple(sorted(features, key=lambda feature: feature.key))  # maps are written in any order
    refuse_duplicates([feature.name for feature in features], block.where(0))
    return features


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


def _feature(name: tuple[int, bytes], block: Block, spans: np.ndarray) -> Feature:
    """What the first records hold under a name."""
    from tfnorm.kernels import examples as kernels

    part, text = name
    called = text.decode("utf-8", "backslashreplace")
    kinds, counts, widths = np.empty((3, len(spans)), np.int64)
    kernels.measure(block.data, spans, part, kinds, counts, widths)
    if (kinds == kernels.MALFORMED).any():
        at = int(np.flatnonzero(kinds == kernels.MALFORMED)[0])
        raise DataError(f"{block.where(at)}: feature {quoted([called])} holds no list, or several kinds of them.")
    there = kinds > kernels.ABSENT
    kind = int(kinds[there][0]) if there.any() else FLOAT
    found = np.unique(widths[there & (widths != 0)])
    width = int(found[0]) if len(found) == 1 else 1 if not len(found) else UNEVEN
    column = _column(called, part, kind, width)
    return Feature(**vars(column), key=text, part=part, holds=kind, width=width, always=bool((widths != 0).all()))


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
class _Met:
    """Where parsing ended."""

    at: int  # the record in which something is wrong, or -1
    what: int
    column: int
    got: int


class _Table:
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
        self.holdss = np.asarray([BYTES] * number if kinds is None else kinds, np.int64)

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
    ) -> _Met:
        """As `kernels.examples.parse` has it; what is not given is of no interest."""
        from tfnorm.kernels import examples as kernels

        starts, ends = block.starts[records], block.ends[records]
        number, wrong = len(self.holdss), np.zeros(3, np.int64)
        spans = np.zeros((number, len(starts), 2), np.int64) if spans is None else spans
        present = np.zeros((number, len(starts)), bool) if present is None else present
        floats = np.empty(0, np.uint32) if floats is None else floats
        integers = np.empty(0, np.int64) if integers is None else integers
        table = (self.slots, self.bytes, self.starts, self.parts)
        at = kernels.parse(
            block.data, starts, ends, table, self.holdss, self.widths, self.places, row, floats, integers, present, spans,
            all_known, wrong,
        )  # fmt: skip
        return _Met(at if at < 0 else at + (records.start or 0), *map(int, wrong))


class Rows:
    """Room for the rows of one batch, filled record by record."""

    def __init__(self, features: Sequence[Feature], rows: int) -> None:
        self.features, self.rows, self.filled = features, rows, 0
        self.spanned = [number for number, feature in enumerate(features) if feature.spanned]
        fixed = [0 if feature.spanned else feature.width * rows for feature in features]
        of_floats = [many if feature.holds == FLOAT else 0 for feature, many in zip(features, fixed, strict=True)]
        of_integers = [many if feature.holds == INT64 else 0 for feature, many in zip(features, fixed, strict=True)]
        self.floats, self.integers = np.zeros(sum(of_floats), np.uint32), np.zeros(sum(of_integers), np.int64)
        self.present = np.zeros((len(features), rows), bool)
        self.places = np.where([f.holds == FLOAT for f in features], _before(of_floats), _before(of_integers))
        self.places[self.spanned] = np.arange(len(self.spanned))
        self.pieces: dict[int, list[Any]] = {number: [] for number in self.spanned}
        names = [(f.part, f.key) for f in features]
        widths = [UNEVEN if f.spanned else f.width for f in features]
        self._table = _Table(names, widths, self.places, [f.holds for f in features])

    def put(self, block: Block, start: int) -> int:
        """The records from `start` on, as many as there is room for; returns the number of the first left over."""
        many = min(len(block.starts) - start, self.rows - self.filled)
        spans = np.zeros((len(self.spanned), many, 2), np.int64)
        met = self._table.parse(
            block, slice(start, start + many), spans=spans, row=self.filled, floats=self.floats,
            integers=self.integers, present=self.present,
        )  # fmt: skip
        if met.at >= 0:
            raise self._wrong(block, met)
        for place, number in enumerate(self.spanned):
            there = self.present[number, self.filled : self.filled + many]
            self.pieces[number].append(_spanned(block, start, spans[place], there, self.features[number]))
        self.filled += many
        return start + many

    def _wrong(self, block: Block, met: _Met) -> DataError:
        from tfnorm.kernels import examples as kernels

        if met.what == kernels.NO_EXAMPLE:
            return no_example(block, met.at)
        feature = self.features[met.column]
        if met.what == kernels.OTHER_KIND:
            return _other_kind(block, met.at, feature, met.got)
        return _other_length(block, met.at, feature, met.got)

    def batch(self) -> dict[str, np.ndarray]:
        """What was put in."""
        found = {}
        for number, feature in enumerate(self.features):
            if feature.spanned:
                parts = self.pieces[number]
                found[feature.name] = parts[0] if len(parts) == 1 else _joined(parts)
                continue
            flat, dtype = (self.floats, np.float32) if feature.holds == FLOAT else (self.integers, np.int64)
            place, shape = self.places[number], (self.filled, *feature.shape)
            values = flat[place : place + self.filled * feature.width].view(dtype).reshape(shape)
            absent = ~self.present[number, : self.filled]
            if absent.any():
                each = absent.reshape(-1, *([1] * (values.ndim - 1)))
                values = np.ma.MaskedArray(values, np.broadcast_to(each, shape).copy())
            found[feature.name] = values
        return found


def _before(many: Sequence[int]) -> np.ndarray:
    return np.cumsum([0, *many])[:-1].astype(np.int64)


def _joined(parts: Sequence[Any]) -> Any:
    from tfnorm.sources.arrow import TextArray

    if all(isinstance(part, TextArray) for part in parts):
        return TextArray.join(parts)
    return np.concatenate(parts)


def _other_kind(block: Block, at: int, feature: Feature, got: int) -> DataError:
    return DataError(
        f"{block.where(at)}: feature {quoted([feature.name])}: expected {_CALLED[feature.holds]} as in the first records, "
        f"got {_CALLED.get(got, 'no list')}. Write all records with one type, or leave the feature out."
    )


def _other_length(block: Block, at: int, feature: Feature, got: int) -> DataError:
    step = " in each step" if feature.part == LISTS else ""
    return DataError(
        f"{block.where(at)}: feature {quoted([feature.name])}: expected {feature.width} "
        f"value{'' if feature.width == 1 else 's'}{step} as in the first records, got {got}. Pad or cut it to one length, or "
        "leave the feature out."
    )


def _spanned(block: Block, start: int, spans: np.ndarray, there: np.ndarray, feature: Feature) -> Any:
    """What lies in messages whose places are known: ragged rows, or texts."""
    from tfnorm.kernels import examples as kernels

    kinds, counts, widths = np.empty((3, len(spans)), np.int64)
    kernels.measure(block.data, spans, feature.part, kinds, counts, widths)
    wrong = np.flatnonzero((kinds != kernels.ABSENT) & (kinds != feature.holds))
    if len(wrong):
        raise _other_kind(block, start + int(wrong[0]), feature, int(kinds[wrong[0]]))
    if feature.width != UNEVEN and len(wrong := np.flatnonzero((widths != 0) & (widths != feature.width))):
        if widths[wrong[0]] == UNEVEN:
            raise _other_length(block, start + int(wrong[0]), feature, "several numbers of them")  # type: ignore[arg-type]
        raise _other_length(block, start + int(wrong[0]), feature, int(widths[wrong[0]]))
    if feature.holds == BYTES:
        return _texts(block, spans, feature)
    steps, width = (counts, feature.width) if feature.part == LISTS else (widths, 1)
    starts = np.zeros(len(spans) + 1, np.int64)
    np.cumsum(np.where(there, steps, 0), out=starts[1:])
    size = int(starts[-1]) * width
    values = np.zeros(size, np.uint32 if feature.holds == FLOAT else np.int64)
    other = np.empty(0, np.int64 if feature.holds == FLOAT else np.uint32)
    floats, integers = (values, other) if feature.holds == FLOAT else (other, values)
    present = np.ones(int(starts[-1]), bool)
    kernels.fill(block.data, spans, feature.part, starts, width, floats, integers, present)
    values = values.view(np.float32) if feature.holds == FLOAT else values
    shaped = values.reshape(-1, *feature.shape[1:])
    if not present.all():
        mask = np.repeat(~present, width).reshape(shaped.shape)
        shaped = np.ma.MaskedArray(shaped, mask)
    return Ragged(starts, shaped, None if there.all() else ~there)


def _texts(block: Block, spans: np.ndarray, feature: Feature) -> Any:
    """The one text of each record; bytes where they are no UTF-8."""
    import pyarrow as pa

    from tfnorm.kernels import examples as kernels
    from tfnorm.sources.arrow import TextArray

    if feature.width != 1 or feature.part == LISTS:
        raise DataError(
            f"{block.where(0)}: feature {quoted([feature.name])} holds several texts in a record. Leave it out."
        )
    starts, ends = np.empty((2, len(spans)), np.int64)
    kernels.texts(block.data, spans, starts, ends)
    offsets = np.zeros(len(spans) + 1, np.int64)
    np.cumsum(ends - starts, out=offsets[1:])
    data = np.empty(int(offsets[-1]), np.uint8)
    kernels.gather(block.data, starts, ends, data)
    valid = np.packbits(starts >= 0, bitorder="little")
    buffers = [pa.py_buffer(valid), pa.py_buffer(offsets), pa.py_buffer(data)]
    array = pa.Array.from_buffers(pa.large_string(), len(spans), buffers)
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        found = np.empty(len(spans), object)
        found[:] = pa.Array.from_buffers(pa.large_binary(), len(spans), buffers).to_pylist()
        return found
    return TextArray(array)


def batches_of(blocks: Iterable[Block], features: Sequence[Feature], rows: int) -> Iterator[dict[str, np.ndarray]]:
    """The features of all records as batches of so many rows."""
    room = Rows(features, rows)
    for block in blocks:
        start = 0
        while start < len(block.starts):
            start = room.put(block, start)
            if room.filled == room.rows:
                yield room.batch()
                room = Rows(features, rows)
    if room.filled:
        yield room.batch()
