"""The pixels of images, told together: how often each value was there, or what their powers sum up to.

The one law: both are whole numbers, and from either follow the same statistics, bit for bit.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources import Column
from tfnorm.sources.counted import Counted, Summed

PAIRS_FROM = 1 << 16  # values of a picture, that are counted in pairs
MOST = 1 << 34  # values whose powers are summed in 64 bits: those of fourth powers are below 2**28


class Pixels:
    """What is told of some images, all of one number of channels and bits."""

    def __init__(self, column: Column, *, summed: bool = False) -> None:
        """summed: whether sums are enough, and are to be told where they can be had faster than counts."""
        from tfnorm.kernels.powers import AVAILABLE

        self.dtype, self.channels = np.dtype(column.dtype), int(column.shape[-1] or 0)
        self.rows = 0
        self._add: _Counts | _Sums
        if summed and AVAILABLE and self.dtype == np.uint8:
            self._add = _Sums(self.channels)
        else:
            self._add = _Counts(self.dtype, self.channels)

    def add(self, pixels: np.ndarray, where: str) -> None:
        if pixels.shape[-1] != self.channels or pixels.dtype != self.dtype:
            raise DataError(
                f"{where}: expected {_called(self.channels, self.dtype)} as of the first image, got "
                f"{_called(pixels.shape[-1], pixels.dtype)}. Convert it, leave it out, or decode all to as many: "
                f"tfnorm.images.open(..., channels={self.channels})."
            )
        self._add(np.ascontiguousarray(pixels).reshape(-1))
        self.rows += 1

    def batch(self, name: str) -> dict[str, Any]:
        return {name: self._add.told(self.rows)}


class _Counts:
    """How often each value was there."""

    def __init__(self, dtype: np.dtype[Any], channels: int) -> None:
        self._dtype = dtype
        self._counts = np.zeros((1 << 8 * dtype.itemsize, channels), np.int64)
        self._pairs: tuple[np.ndarray, np.ndarray] | None = None  # of large pictures in RGB, as `count_rgb` has them

    def __call__(self, flat: np.ndarray) -> None:
        from tfnorm.kernels.pixels import count_bytes, count_rgb, count_words

        channels = self._counts.shape[1]
        if channels == 3 and self._dtype == np.uint8 and len(flat) >= PAIRS_FROM and sys.byteorder == "little":
            if self._pairs is None:
                self._pairs = np.zeros((3, 1 << 16), np.uint16), np.zeros((3, 1 << 16), np.uint32)
            whole = len(flat) // 24 * 24
            count_rgb(flat[:whole].view(np.uint16), *self._pairs)
            flat = flat[whole:]
        if len(flat):
            (count_bytes if self._dtype == np.uint8 else count_words)(flat, channels, self._counts)

    def told(self, rows: int) -> Counted:
        from tfnorm.kernels.pixels import fold_rgb

        if self._pairs is not None:
            fold_rgb(*self._pairs, self._counts)
            self._pairs = None
        return Counted.of_integers(rows, self._counts, self._dtype)


class _Sums:
    """How many values there were, how many zeros, the least and the greatest, and the sums of their powers."""

    def __init__(self, channels: int) -> None:
        self._number = 0  # of values of a channel
        self._zeros, self._ends = np.zeros(channels, np.int64), np.zeros((2, channels), np.uint8)
        self._ends[0] = 255
        self._powers, self._held = np.zeros((4, channels), np.int64), 0  # of so many values
        self._total = self._powers.astype(object)  # of those before

    def __call__(self, flat: np.ndarray) -> None:
        from tfnorm.kernels.powers import sum_powers

        number = len(flat) // len(self._zeros)
        if self._held + number > MOST:
            self._fold()
        sum_powers(flat, len(self._zeros), self._powers, self._ends, self._zeros)
        self._held += number
        self._number += number

    def _fold(self) -> None:
        self._total = self._total + self._powers.astype(object)
        self._powers[:], self._held = 0, 0

    def told(self, rows: int) -> Summed:
        self._fold()
        number = np.full(len(self._zeros), self._number)
        return Summed(rows, self._ends, number, self._zeros, self._total)


def _called(channels: int, dtype: Any) -> str:
    kind = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGBA"}.get(channels, f"{channels} channels")
    return f"{kind} of {8 * np.dtype(dtype).itemsize} bits"
