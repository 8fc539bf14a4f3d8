"""The records in TFRecord files, plain, gzip or zlib.

The one law: every checksum is checked, no length is believed before it is held against the file, and whatever is wrong is
told with file, record and byte.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.kernels import records as kernels
from tfnorm.sources import remote
from tfnorm.sources.columns import cell

BLOCK_BYTES = 1 << 20  # read, checked and parsed at once: as much as stays in cache
MAX_RECORD_BYTES = (1 << 31) - 1  # no protocol buffer is longer
FOOTER = kernels.FOOTER
SMALLEST_RECORD = kernels.HEADER + FOOTER  # bytes of an empty one

_KINDS = {b"PAR1": "Parquet", b"ARROW1": "Arrow", b"\x89HDF": "HDF5", b"PK\x03\x04": "zip", b"\x93NUMPY": "NumPy"}


@dataclass(frozen=True)
class Records:
    """Some records of a file in a row."""

    data: np.ndarray  # uint8
    starts: np.ndarray  # (records,) int64: where in `data` each begins
    ends: np.ndarray  # (records,) int64: the place behind its last byte
    path: str
    first: int  # number of the first in its file
    position: int  # of `data` in the file, as it is unpacked
    unpacked: bool  # whether the file is compressed

    def where(self, index: int) -> str:
        return _where(self.path, self.first + index, self.position + int(self.starts[index]) - 12, self.unpacked)


def _where(path: str, record: int, position: int, unpacked: bool) -> str:
    return f"{path}: record {record} at byte {position}{' as unpacked' if unpacked else ''}"


class _Plain:
    """The bytes of a file from one place up to another."""

    def __init__(self, file: Any, start: int, stop: int) -> None:
        self.file, self.left = file, stop - start
        file.seek(start)

    def readinto(self, room: memoryview) -> int:
        count = self.file.readinto(room[: min(len(room), self.left)]) if self.left else 0
        self.left -= count
        return int(count)


class _Unpacked:
    """The bytes of a gzip or zlib file, of one stream or several. A stream cut short is an error."""

    def __init__(self, file: Any, window: int) -> None:
        self.file, self.window = file, window
        self.stream, self.packed = zlib.decompressobj(window), b""
        self.begun = False  # whether the stream has any bytes

    def readinto(self, room: memoryview) -> int:
        found = b""
        while not found:
            if self.stream.eof:
                self.packed = self.stream.unused_data
                self.stream, self.begun = zlib.decompressobj(self.window), False
            self.packed = self.packed or self.file.read(BLOCK_BYTES)
            if not self.packed and self.begun:
                raise zlib.error("the compressed data end before their end mark")
            if not self.packed:
                return 0
            found, self.begun = self.stream.decompress(self.packed, len(room)), True
            self.packed = self.stream.unconsumed_tail
        room[: len(found)] = found
        return len(found)


def _window(head: bytes) -> int:
    """How a file that begins so is compressed, as zlib says it; 0 where it is not. Its name may say what it will."""
    if len(head) == 12 and kernels.checksum(np.frombuffer(head[:8], np.uint8)) == int.from_bytes(head[8:], "little"):
        return 0
    gzip = head[:2] == b"\x1f\x8b"
    return 31 if gzip else 15 if head[:1] == b"\x78" and int.from_bytes(head[:2], "big") % 31 == 0 else 0


def records_of(
    path: str,
    *,
    start: int = 0,
    stop: int | None = None,
    first: int = 0,
    block_bytes: int = BLOCK_BYTES,
    checked: bool = True,
) -> Iterator[Records]:
    """The records of a file, block by block; each block is overwritten by the next.

    start, stop: of a plain file, from which byte to which; `first` is the number of the record there. `checked`: whether the
    checksums of the data are looked at, and not of the lengths alone.
    """
    with remote.input_file(path) if remote.is_url(path) else Path(path).open("rb", buffering=0) as file:
        window = _window(file.read(12))
        size = file.seek(0, 2)
        file.seek(0)
        stop = size if stop is None else stop
        stream = _Unpacked(file, window) if window else _Plain(file, start, stop)
        data = np.empty(min(block_bytes, stop - start + 1) if not window else block_bytes, np.uint8)
        starts, ends = np.empty((2, len(data) // SMALLEST_RECORD + 1), np.int64)
        held, position, ended = 0, start, False
        while True:
            while not ended and held < len(data):
                try:
                    count = stream.readinto(memoryview(data.data)[held:])
                except zlib.error as error:
                    raise DataError(
                        f"{_where(path, first, position, True)}: it cannot be unpacked further: {cell(error)}. "
                        "The file is cut short or damaged: copy it anew."
                    ) from None
                ended = count == 0
                held += count
            limit = MAX_RECORD_BYTES if window else size - position
            count, used, found = kernels.frame(data[:held], limit, checked, starts, ends)
            if count:
                yield Records(data, starts[:count], ends[:count], path, first, position, bool(window))
                first += count
            if found != kernels.MORE:
                raise _damaged(
                    path, first, position + used, bool(window), found, bytes(data[used : min(held, used + 16)]), size
                )
            if ended and not count:
                if held:
                    raise _cut(path, first, position, bool(window), held)
                return
            data[: held - used] = data[used:held]  # NumPy minds that they overlap
            held, position = held - used, position + used
            if not count and held == len(data):
                data = _longer(data, limit)


def _longer(data: np.ndarray, limit: int) -> np.ndarray:
    """Twice the room, or as much as the one record in it needs: whatever its header says, no more than there was to fill it."""
    needed = int.from_bytes(bytes(data[:8]), "little") + SMALLEST_RECORD if len(data) >= 12 else 1 << 12
    room = np.empty(
        max(min(needed, 2 * len(data)), len(data) + 1, 64) if limit == MAX_RECORD_BYTES else needed, np.uint8
    )
    room[: len(data)] = data
    return room


def _damaged(path: str, record: int, position: int, unpacked: bool, found: int, head: bytes, size: int) -> DataError:
    where, length = _where(path, record, position, unpacked), int.from_bytes(head[:8], "little")
    whole = _whole(record, position, unpacked)
    if found == kernels.DATA_DAMAGED:
        return DataError(
            f"{where}: its {length} bytes of data do not fit their checksum: they were damaged. Copy the file anew."
        )
    if found == kernels.TOO_LONG and (unpacked or length > MAX_RECORD_BYTES):
        return DataError(
            f"{where}: its header says {length} bytes of data, and none has more than {MAX_RECORD_BYTES}: it was damaged, or "
            f"made to do damage. {whole}"
        )
    if found == kernels.TOO_LONG:
        return _cut(path, record, position, unpacked, size - position, length + SMALLEST_RECORD)
    if record == 0:
        kind = next((f" It looks like {kind}." for mark, kind in _KINDS.items() if head.startswith(mark)), "")
        return DataError(
            f"{where}: these are no TFRecords, or the header of the first was damaged.{kind} Check what it is."
        )
    return DataError(
        f"{where}: the length of the record does not fit its checksum: it was damaged, or something was added to the file. "
        f"{whole}"
    )


def _cut(path: str, record: int, position: int, unpacked: bool, left: int, needed: int | None = None) -> DataError:
    expected = "a whole record" if needed is None else f"a record of {needed} bytes"
    return DataError(
        f"{_where(path, record, position, unpacked)}: expected {expected}, and the file ends after {left} more bytes. "
        f"{_whole(record, position, unpacked)}"
    )


def _whole(record: int, position: int, unpacked: bool) -> str:
    kept = "" if unpacked or not record else f", or keep the {record} records before it: `truncate -s {position}`"
    return f"Copy the file anew{kept}."
