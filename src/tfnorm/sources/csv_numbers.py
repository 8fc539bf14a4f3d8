"""The numbers of a part of a plain CSV file, read faster than text in general is parsed.

The one law: what is read is what pyarrow would have read, to the last bit; where a cell is anything but a plain number or empty,
nothing is, and pyarrow is asked.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from tfnorm.sources.csv_parts import Span


def read_numbers(
    path: str, span: Span, delimiter: str, header: Sequence[str], types: Mapping[str, Any]
) -> list[np.ndarray] | None:
    """The columns `types` (names in the header -> Arrow types) of a part, or None where it is not all plain numbers."""
    import pyarrow as pa

    whole = np.array([pa.types.is_int64(type_) for type_ in types.values()], bool)
    known = all(whole[i] or pa.types.is_float64(type_) for i, type_ in enumerate(types.values()))
    if span.stop is None or span.num_rows is None or not known or not delimiter.isascii() or sys.byteorder != "little":
        return None
    from tfnorm.kernels.decimals import PADDING, read_table

    length = span.stop - span.start
    text = np.empty(length + PADDING, np.uint8)
    text[length:] = 0
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # read into one buffer
        file.seek(span.start)
        at = 0
        while got := file.readinto(memoryview(text)[at:length]):  # type: ignore[arg-type]
            at += got
    if at < length:  # `reading` says that the file has changed
        return None
    order = {name: i for i, name in enumerate(types)}
    places = np.array([order.get(name, -1) for name in header])
    bits = np.empty((len(types), span.num_rows), np.uint64)
    null = np.zeros(bits.shape, bool)
    if not read_table(text, length, ord(delimiter), places, whole, _powers(), bits, null):
        return None
    columns = [row.view(np.int64 if exact else np.float64) for row, exact in zip(bits, whole, strict=True)]
    return [np.ma.MaskedArray(row, gone) if gone.any() else row for row, gone in zip(columns, null, strict=True)]


@cache
def _powers() -> np.ndarray:
    from tfnorm.kernels.decimals import powers

    return powers()
