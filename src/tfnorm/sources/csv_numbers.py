"""The numbers of a part of a plain CSV file, read faster than text in general is parsed.

The one law: what is read is what pyarrow would have read, to the last bit; where a cell is anything but a plain number or empty,
nothing is, and pyarrow is asked.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from tfnorm.sources.csv_parts import Span

PIECE_BYTES = 1 << 18  # read at once
APART = 72  # numbers between columns: a power of two apart, all would want the same few places of the cache
MOST_FRACTIONS = 4  # columns that may turn out to hold them; of more pyarrow is asked


def read_numbers(
    path: str, span: Span, delimiter: str, header: Sequence[str], types: Mapping[str, Any]
) -> list[np.ndarray] | None:
    """The columns `types` (names in the header -> Arrow types) of a part, or None where it is not all plain numbers."""
    import pyarrow as pa

    whole = np.array([pa.types.is_int64(type_) for type_ in types.values()], bool)
    known = all(whole[i] or pa.types.is_float64(type_) for i, type_ in enumerate(types.values()))
    if span.stop is None or span.num_rows is None or not known or not delimiter.isascii() or sys.byteorder != "little":
        return None
    from tfnorm.kernels.decimals import FRACTION, read_table

    order = {name: i for i, name in enumerate(types)}
    places = np.array([order.get(name, -1) for name in header])
    bits = np.empty((len(types), span.num_rows + APART), np.uint64)
    null = np.empty(bits.shape, bool)
    for _ in range(MOST_FRACTIONS):
        row = 0
        null[:] = False
        for text, length in _pieces(path, span.start, span.stop):
            row = read_table(text, length, ord(delimiter), places, whole, _powers(), bits, null, row)
            if row < 0:
                break
        if row > FRACTION:
            break
        whole[FRACTION - row] = False  # a fraction where whole numbers seemed to be: once more, as pyarrow is asked
    if row != span.num_rows:
        return None
    bits, null = bits[:, :row], null[:, :row]
    columns = [one.view(np.int64 if exact else np.float64) for one, exact in zip(bits, whole, strict=True)]
    return [np.ma.MaskedArray(one, gone) if gone.any() else one for one, gone in zip(columns, null, strict=True)]


def _pieces(path: str, start: int, stop: int) -> Iterator[tuple[np.ndarray, int]]:
    """The text from `start` to `stop`, whole rows at a time, and how many bytes they are: in one buffer that the cache holds.

    A file that ends before gives no more, and a last row without its end none.
    """
    from tfnorm.kernels.decimals import PADDING

    data, held, left = bytearray(PIECE_BYTES + PADDING), 0, stop - start
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # read into one buffer
        file.seek(start)
        while left:
            space = len(data) - PADDING - held
            got = file.readinto(memoryview(data)[held : held + min(space, left)])
            if not got:  # `reading` says that the file has changed
                return
            left -= got
            rows = data.rfind(b"\n", held, held + got) + 1
            held += got
            if rows:
                yield np.frombuffer(data, np.uint8), rows
                data[: held - rows] = data[rows:held]
                held -= rows
            elif held == len(data) - PADDING:  # a row is longer
                data = data + bytes(len(data))


@cache
def _powers() -> np.ndarray:
    from tfnorm.kernels.decimals import powers

    return powers()
