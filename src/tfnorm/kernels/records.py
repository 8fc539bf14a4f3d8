"""Framing of TFRecord files: where each record lies, and whether its checksums fit.

A record is its length (8 bytes), the masked CRC-32C of these, the data, and the masked CRC-32C of the data; all little-endian.
Checksums run over eight bytes at a time with eight tables (slicing by eight, Kounavis & Berry 2005).
"""

from __future__ import annotations

import numpy as np

from tfnorm.kernels.moments import entry, inlined, kernel

HEADER, FOOTER = 12, 4  # bytes before and after the data of a record

# what `frame` found where it stopped
MORE, LENGTH_DAMAGED, DATA_DAMAGED, TOO_LONG = range(4)

_POLYNOMIAL = 0x82F63B78  # of CRC-32C, bits reversed
_WORD, _PLACE = np.uint32, np.uint64


def _tables() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    tables = [table]
    for _ in range(7):
        tables.append((tables[-1] >> 8) ^ table[tables[-1] & 0xFF])
    return np.stack(tables).astype(np.uint32)


_T0, _T1, _T2, _T3, _T4, _T5, _T6, _T7 = _tables()


@inlined
def word_at(data, at):
    """Four bytes as an unsigned integer; `at` is unsigned, so that numba allows for no negative places."""
    return (
        _WORD(data[at])
        | (_WORD(data[at + _PLACE(1)]) << _WORD(8))
        | (_WORD(data[at + _PLACE(2)]) << _WORD(16))
        | (_WORD(data[at + _PLACE(3)]) << _WORD(24))
    )


@kernel
def _checksum(data, start, stop):
    """CRC-32C of some bytes, masked as TFRecord has it: turned by 15 bits, and a constant added."""
    crc, byte = _WORD(0xFFFFFFFF), _WORD(0xFF)
    at, end = _PLACE(start), _PLACE(stop)
    whole = at + ((end - at) & ~_PLACE(7))
    while at < whole:
        low, high = word_at(data, at) ^ crc, word_at(data, at + _PLACE(4))
        crc = (
            _T7[low & byte]
            ^ _T6[(low >> _WORD(8)) & byte]
            ^ _T5[(low >> _WORD(16)) & byte]
            ^ _T4[low >> _WORD(24)]
            ^ _T3[high & byte]
            ^ _T2[(high >> _WORD(8)) & byte]
            ^ _T1[(high >> _WORD(16)) & byte]
            ^ _T0[high >> _WORD(24)]
        )
        at += _PLACE(8)
    while at < end:
        crc = _T0[(crc ^ _WORD(data[at])) & byte] ^ (crc >> _WORD(8))
        at += _PLACE(1)
    crc = _WORD(~crc)
    return _WORD(_WORD((crc >> _WORD(15)) | (crc << _WORD(17))) + _WORD(0xA282EAD8))


@entry
def checksum(data):
    """The masked CRC-32C of bytes."""
    return _checksum(data, 0, len(data))


@entry
def frame(data, limit, checked, starts, ends):
    """Record after record of `data`: (how many, the place behind the last, MORE or what is wrong with the one there).

    `starts` and `ends` are filled with where the data of each lie. MORE: it is not all there yet, or `starts` is full. No
    record may reach beyond the place `limit`, that of the end of the file. `checked`: whether the data's checksums, too.
    """
    count, at = 0, 0
    while count < len(starts) and len(data) - at >= HEADER:
        if _checksum(data, at, at + 8) != word_at(data, _PLACE(at + 8)):
            return count, at, LENGTH_DAMAGED
        length = _PLACE(word_at(data, _PLACE(at))) | (_PLACE(word_at(data, _PLACE(at + 4))) << _PLACE(32))
        if length > _PLACE(max(0, limit - at - HEADER - FOOTER)):
            return count, at, TOO_LONG
        start = at + HEADER
        end = start + np.int64(length)
        if end + FOOTER > len(data):
            break
        if checked and _checksum(data, start, end) != word_at(data, _PLACE(end)):
            return count, at, DATA_DAMAGED
        starts[count], ends[count] = start, end
        count += 1
        at = end + FOOTER
    return count, at, MORE
