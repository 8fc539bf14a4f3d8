"""A large CSV file cut into parts of so many rows, which are read side by side.

The one law: a part begins where a row does. That is known as long as nothing before is quoted: from where it is not, the rest of
the file is one part.
"""

from __future__ import annotations

import csv as plain_csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

FILE_BYTES = 1 << 25  # a file that is no longer is one part
PART_BYTES = 1 << 23  # about: of a part, if all lines are as long as the first ones
SCAN_BYTES = 1 << 18  # looked at together: the cache holds them
HEADER_BYTES = 1 << 16  # the header of a file that is cut is shorter
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Span:
    """Some rows of a file."""

    start: int  # the byte at which they begin
    stop: int | None  # the byte behind them, None for the end of the file
    first: int  # rows before them, the header aside
    num_rows: int | None  # None where only reading would tell


def spans(path: str, header: Sequence[str], delimiter: str, rows: int) -> Iterator[Span]:
    """The parts of a file, of as many rows each but the last: a power of two, at most `rows`. Looking for them reads it."""
    from tfnorm.kernels.lines import count_lines

    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # read into one buffer
        start = _after_header(file.read(HEADER_BYTES), header, delimiter)
        if start is None:
            yield Span(0, None, 0, None)
            return
        file.seek(start)
        data, before = bytearray(SCAN_BYTES), 10
        at, first, held = start, 0, 0  # `held`: rows of this part so far
        while got := file.readinto(data):
            text = np.frombuffer(data, np.uint8, got)
            ends, doubt = count_lines(text, before)
            if doubt:
                break
            if first == held == 0:
                rows = min(rows, 1 << (max(1, PART_BYTES * ends // got).bit_length() - 1))
            if held + ends >= rows:
                places = at + 1 + np.flatnonzero(text == 10)
                while held + len(places) >= rows:
                    stop = int(places[rows - held - 1])
                    yield Span(start, stop, first, rows)
                    places = places[rows - held :]
                    start, first, held = stop, first + rows, 0
                ends = len(places)
            held, at, before = held + ends, at + got, int(text[-1])
        else:
            if start == at:  # the last row was the last of a part
                return
            if before == 10:
                yield Span(start, at, first, held)
                return
        yield Span(start, None, first, None)


def _after_header(head: bytes, header: Sequence[str], delimiter: str) -> int | None:
    """The byte behind the header, None where it is not one plain line."""
    line, newline, _ = head.partition(b"\n")
    try:
        text = line.removeprefix(BYTE_ORDER_MARK).removesuffix(b"\r").decode()
        (names,) = plain_csv.reader([text], delimiter=delimiter)
    except (ValueError, plain_csv.Error):
        return None
    return len(line) + 1 if newline and b"\r" not in line[:-1] and tuple(names) == tuple(header) else None


class Window:
    """A file from one byte to another, to be read once, as `pyarrow.PythonFile` takes it."""

    def __init__(self, path: str, start: int, stop: int | None) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: PTH123, SIM115  # closed with the window
        self._file.seek(start)
        self._left = None if stop is None else stop - start
        self.mode = "rb"

    def read(self, size: int = -1) -> bytes:
        if self._left is not None:
            size = self._left if size < 0 else min(size, self._left)
        data = self._file.read(size)
        if self._left is not None:
            self._left -= len(data)
        return data

    @property
    def closed(self) -> bool:
        return self._file.closed

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
