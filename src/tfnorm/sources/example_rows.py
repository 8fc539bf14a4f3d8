"""Records of tf.Example as batches: room for the rows of one, which a kernel fills.

The one law: a record is parsed once, straight into the columns of its batch; only what differs in length is found first and
copied then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources.columns import quoted
from tfnorm.sources.examples import BYTES, FLOAT, INT64, LISTS, UNEVEN, Block, Feature, Met, Table, no_example
from tfnorm.sources.stored import Ragged

HELD_BYTES = 1 << 26  # of texts and images, after which a batch is handed on though it has not all its rows

_CALLED = {BYTES: "text or bytes", FLOAT: "floats", INT64: "int64"}


class Rows:
    """Room for the rows of one batch, filled record by record."""

    def __init__(self, features: Sequence[Feature], rows: int) -> None:
        self.features, self.rows, self.filled = features, rows, 0
        self.held = 0  # bytes of what differs in length
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
        self._table = Table(names, widths, self.places, [f.holds for f in features])

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
            self.held += int((spans[place, :, 1] - spans[place, :, 0]).sum())
        self.filled += many
        return start + many

    def _wrong(self, block: Block, met: Met) -> DataError:
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
            place, shape = self.places[number], (self.filled, *(length or 0 for length in feature.shape))
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
            if room.filled == room.rows or room.held > HELD_BYTES:
                yield room.batch()
                room = Rows(features, rows)
    if room.filled:
        yield room.batch()
