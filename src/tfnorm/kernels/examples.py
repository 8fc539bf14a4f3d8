"""The wire format of tf.Example and tf.SequenceExample, parsed record after record of a block.

    Example         { 1: Features context }
    SequenceExample { 1: Features context, 2: FeatureLists }
    Features        { 1: map entries { 1: name, 2: Feature } }
    FeatureLists    { 1: map entries { 1: name, 2: { 1: Feature, a step each } } }
    Feature         { 1: bytes list | 2: float list | 3: int64 list }, each { 1: values }, numbers packed or not

Fields come in any order and unknown ones are passed over; of what is there twice the last counts, as in TensorFlow. No length
is believed before it is held against what is left. Names are told apart by a table of hashes, the context's from the lists'.
"""

from __future__ import annotations

import numpy as np

from tfnorm.kernels.moments import entry, inlined, kernel
from tfnorm.kernels.records import word_at

CONTEXT, LISTS = 1, 2  # the fields of an example, and which of them a column is in
ABSENT, BYTES, FLOAT, INT64 = range(4)  # the fields of a feature
UNEVEN, MALFORMED = -1, -1  # as a width: differs; as a kind, count or place: no such message

# what `parse` and `measure` may find wrong
FINE, NO_EXAMPLE, OTHER_KIND, OTHER_LENGTH, OTHER_NAME = range(5)

_VARINT, _EIGHT_BYTES, _DELIMITED, _FOUR_BYTES = 0, 1, 2, 5  # wire types
_HASH_START, _HASH_FACTOR = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a


@kernel
def _varint(data, at, stop):
    """(value, the place behind it); the place is MALFORMED where there is none."""
    value, shift = np.uint64(0), np.uint64(0)
    while at < stop and shift < np.uint64(70):
        byte = data[at]
        at += 1
        value |= np.uint64(byte & 0x7F) << shift
        if byte < 0x80:
            return np.int64(value), at
        shift += np.uint64(7)
    return np.int64(0), np.int64(MALFORMED)


@kernel
def _span(data, at, stop):
    """(start, end) of what follows, told by a length before it; the end is MALFORMED where it is not all there."""
    length, at = _varint(data, at, stop)
    if at < 0 or length < 0 or length > stop - at:
        return np.int64(0), np.int64(MALFORMED)
    return at, at + length


@kernel
def _after(data, wire_type, at, stop):
    """The place behind a field that nobody asked for."""
    if wire_type == _VARINT:
        return _varint(data, at, stop)[1]
    if wire_type == _DELIMITED:
        return _span(data, at, stop)[1]
    width = 8 if wire_type == _EIGHT_BYTES else 4 if wire_type == _FOUR_BYTES else stop - at + 1
    return at + width if width <= stop - at else np.int64(MALFORMED)


@kernel
def _field(data, at, stop):
    """(number, wire type, the place behind the tag)."""
    if at < stop and data[at] < 0x80:
        tag, at = np.int64(data[at]), at + 1
    else:
        tag, at = _varint(data, at, stop)
    return tag >> 3, tag & 7, at


@kernel
def _message(data, at, stop, number):
    """(start, end) of the last field of this number that holds bytes; empty where there is none."""
    start, end = stop, stop
    while at < stop:
        found, wire_type, at = _field(data, at, stop)
        if at < 0:
            return start, np.int64(MALFORMED)
        if found == number and wire_type == _DELIMITED:
            start, end = _span(data, at, stop)
            at = end
        else:
            at = _after(data, wire_type, at, stop)
        if at < 0:
            return start, np.int64(MALFORMED)
    return start, end


@kernel
def _list(data, at, stop):
    """(kind, start, end) of the list in a feature: ABSENT where it has none, MALFORMED where it is no feature."""
    kind, start, end = ABSENT, stop, stop
    while at < stop:
        number, wire_type, at = _field(data, at, stop)
        if at < 0:
            return MALFORMED, start, end
        if BYTES <= number <= INT64 and wire_type == _DELIMITED:
            kind = number
            start, end = _span(data, at, stop)
            at = end
        else:
            at = _after(data, wire_type, at, stop)
        if at < 0:
            return MALFORMED, start, end
    return kind, start, end


@kernel
def _values(data, kind, at, stop, floats, integers, place, room):
    """How many values a list has; the first `room` of them are written at `place`. Of texts none is."""
    count = 0
    while at < stop:
        number, wire_type, at = _field(data, at, stop)
        if at < 0:
            return MALFORMED
        if number == 1 and wire_type == _DELIMITED:
            start, end = _span(data, at, stop)
            if end < 0:
                return MALFORMED
            if kind == BYTES:
                count += 1
            elif kind == FLOAT:
                if (end - start) % 4:
                    return MALFORMED
                many = (end - start) // 4
                for i in range(min(many, room - count)):
                    floats[place + count + i] = word_at(data, np.uint64(start + 4 * i))
                count += many
            else:
                while start < end:
                    value, start = _varint(data, start, end)
                    if start < 0:
                        return MALFORMED
                    if count < room:
                        integers[place + count] = value
                    count += 1
            at = end
        elif number == 1 and kind == FLOAT and wire_type == _FOUR_BYTES and stop - at >= 4:
            if count < room:
                floats[place + count] = word_at(data, np.uint64(at))
            count += 1
            at += 4
        elif number == 1 and kind == INT64 and wire_type == _VARINT:
            value, at = _varint(data, at, stop)
            if at < 0:
                return MALFORMED
            if count < room:
                integers[place + count] = value
            count += 1
        else:
            at = _after(data, wire_type, at, stop)
            if at < 0:
                return MALFORMED
    return count


@inlined
def _slot(data, start, stop, part, slots, names, name_starts, parts):
    """Where in the table of hashes a name is, or belongs."""
    value = _HASH_START ^ np.uint64(part)
    for at in range(start, stop):
        value = (value ^ np.uint64(data[at])) * _HASH_FACTOR
    last = len(slots) - 1
    slot = np.int64(value ^ (value >> np.uint64(32))) & last
    while slots[slot] >= 0:
        column = slots[slot]
        first = name_starts[column]
        if parts[column] == part and name_starts[column + 1] - first == stop - start:
            same = True
            for i in range(stop - start):
                same &= names[first + i] == data[start + i]
            if same:
                return slot
        slot = (slot + 1) & last
    return slot


@entry
def enter(slots, names, name_starts, parts):
    """Fill the table of hashes: `slots` are -1 at first, a power of two, and twice as many as there are names or more."""
    for column in range(len(parts)):
        start, stop = name_starts[column], name_starts[column + 1]
        slots[_slot(names, start, stop, parts[column], slots, names, name_starts, parts)] = column


@inlined
def _named(data, start, stop):
    """An entry of a map: (start, end) of its name and (start, end) of its value; an end is MALFORMED where there is no such."""
    if stop - start > 2 and data[start] == 0x0A:  # name, then value, as all write them
        name, name_end = _span(data, start + 1, stop)
        if 0 <= name_end < stop and data[name_end] == 0x12:
            value, value_end = _span(data, name_end + 1, stop)
            if value_end == stop:
                return name, name_end, value, value_end
    name, name_end = _message(data, start, stop, 1)
    value, value_end = _message(data, start, stop, 2)
    return name, name_end, value, value_end


@inlined
def _store(data, at, stop, column, i, row, kind, width, place, floats, integers, present, spans, wrong):
    """Put a feature where its column wants it; says what is wrong with it."""
    if width == UNEVEN:
        spans[place, i, 0], spans[place, i, 1] = at, stop
        present[column, row + i] = 1
        return FINE
    found, at, stop = _list(data, at, stop)
    count = 0
    if found != ABSENT:
        wrong[1], wrong[2] = column, found
        if found != kind:
            return NO_EXAMPLE if found == MALFORMED else OTHER_KIND
        count = _values(data, kind, at, stop, floats, integers, place + (row + i) * width, width)
        if count not in (width, 0):
            wrong[2] = count
            return NO_EXAMPLE if count == MALFORMED else OTHER_LENGTH
    present[column, row + i] = count > 0
    return FINE


@inlined
def _next(data, number, at, stop):
    """(start, end) of the next field of this number that holds bytes; nothing is left where the start is `stop`, and the end is
    MALFORMED where it is no message."""
    while at < stop:
        found, wire_type, at = _field(data, at, stop)
        if at < 0:
            break
        if found == number and wire_type == _DELIMITED:
            return _span(data, at, stop)
        at = _after(data, wire_type, at, stop)
        if at < 0:
            break
    return stop, np.int64(MALFORMED) if at < 0 else stop


@entry
def parse(data, starts, ends, table, columns, row, floats, integers, present, spans, all_known, wrong):
    """The wanted columns of some records; returns the number of the record in which something is wrong, or -1.

    `table`: what `enter` made. `columns`: kinds, widths and places of each. A column of fixed width has its values of row r at
    place + r * width in `floats` (as bits) or `integers`, and `present` (columns, rows) tells which rows have any. One of width
    UNEVEN has where its messages lie at `place` in `spans` (columns of that kind, records, 2). `wrong` is filled with
    (what, column, got). `all_known`: a name that is not in the table is wrong, if nothing else is.
    """
    slots, names, name_starts, parts = table
    kinds, widths, places = columns
    for i in range(len(starts)):
        at, stop, unknown = starts[i], ends[i], False
        while at < stop:
            part, wire_type, at = _field(data, at, stop)
            if at >= 0 and (part not in (CONTEXT, LISTS) or wire_type != _DELIMITED):
                at = _after(data, wire_type, at, stop)
                if at >= 0:
                    continue
            inner, inner_stop = _span(data, at, stop) if at >= 0 else (stop, np.int64(MALFORMED))
            if inner_stop < 0:
                wrong[0] = NO_EXAMPLE
                return i
            at = inner_stop
            while inner < inner_stop:
                inner, end = _next(data, 1, inner, inner_stop)
                if inner == inner_stop and end == inner_stop:
                    break
                name, name_end, value, value_end = _named(data, inner, end)
                if end < 0 or name_end < 0 or value_end < 0:
                    wrong[0] = NO_EXAMPLE
                    return i
                inner = end
                column = slots[_slot(data, name, name_end, part, slots, names, name_starts, parts)]
                unknown |= column < 0
                found = FINE
                if column >= 0:
                    found = _store(
                        data, value, value_end, column, i, row, kinds[column], widths[column], places[column],
                        floats, integers, present, spans, wrong,
                    )  # fmt: skip
                if found != FINE:
                    wrong[0] = found
                    return i
        if unknown and all_known:
            wrong[0] = OTHER_NAME
            return i
    return -1


@entry
def measure(data, spans, part, kinds, counts, widths):
    """What messages hold: (records, 2) places -> each one's kind, how many steps, and how many values a step has.

    In the context a record is one step. A step without values counts for no width; widths that differ are UNEVEN, kinds that
    differ and what is no feature MALFORMED.
    """
    nothing, none = np.empty(0, np.uint32), np.empty(0, np.int64)
    for i in range(len(spans)):
        at, stop = spans[i, 0], spans[i, 1]
        kinds[i], counts[i], widths[i] = ABSENT, 0, 0
        while at < stop or (part == CONTEXT and counts[i] == 0 and stop >= 0):
            start, end = at, stop
            at = stop
            if part == LISTS:
                number, wire_type, start = _field(data, start, stop)
                if start >= 0 and (number != 1 or wire_type != _DELIMITED):
                    at = _after(data, wire_type, start, stop)
                    start = at
                    if at >= 0:
                        continue
                if start >= 0:
                    start, end = _span(data, start, stop)
                if start < 0 or end < 0:
                    kinds[i] = MALFORMED
                    break
                at = end
            kind, start, end = _list(data, start, end)
            width = 0
            if kind > ABSENT:
                width = _values(data, kind, start, end, nothing, none, 0, 0)
            if MALFORMED in (kind, width) or (kinds[i] != ABSENT and kind not in (ABSENT, kinds[i])):
                kinds[i] = MALFORMED
                break
            if kind != ABSENT:
                kinds[i] = kind
            if width > 0:
                widths[i] = width if widths[i] in (0, width) else UNEVEN
            counts[i] += 1


@entry
def fill(data, spans, part, firsts, width, floats, integers, present):
    """The values of messages that `measure` found to be sound, step after step, `width` for each from place firsts[i] * width on.

    Width UNEVEN: as many as there are, from firsts[i] on. `present` tells which steps have any.
    """
    for i in range(len(spans)):
        at, stop, step = spans[i, 0], spans[i, 1], firsts[i]
        if part == CONTEXT:
            kind, start, end = _list(data, at, stop)
            if kind > ABSENT:
                room = np.int64(1) << 62
                _values(data, kind, start, end, floats, integers, step, room)
            continue
        while at < stop:
            number, wire_type, at = _field(data, at, stop)
            if number != 1 or wire_type != _DELIMITED:
                at = _after(data, wire_type, at, stop)
                continue
            start, end = _span(data, at, stop)
            at = end
            kind, start, end = _list(data, start, end)
            if kind > ABSENT:
                present[step] = _values(data, kind, start, end, floats, integers, step * width, width) > 0
            step += 1


@entry
def texts(data, spans, starts, ends):
    """The place of the one text of each message that `measure` found to be sound, -1 where there is none."""
    for i in range(len(spans)):
        starts[i], ends[i] = -1, -1
        _, at, stop = _list(data, spans[i, 0], spans[i, 1])
        while at < stop:
            number, wire_type, at = _field(data, at, stop)
            if number == 1 and wire_type == _DELIMITED:
                starts[i], ends[i] = _span(data, at, stop)
                at = ends[i]
            else:
                at = _after(data, wire_type, at, stop)


@entry
def gather(data, starts, ends, out):
    """Pieces of `data`, one behind the other."""
    place = 0
    for i in range(len(starts)):
        for at in range(starts[i], ends[i]):
            out[place] = data[at]
            place += 1
