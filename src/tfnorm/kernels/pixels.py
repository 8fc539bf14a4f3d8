"""How often each value is there, channel by channel: all that is asked of pixels, exactly."""

from __future__ import annotations

import numpy as np

from tfnorm.kernels.moments import entry

LANES = 12  # a multiple of 1, 2, 3 and 4 channels: neighbours with one value do not wait for each other


@entry
def count_bytes(pixels, channels, counts):
    """Add to `counts` (256, channels) how often each byte is there; `pixels` are flat, channels in turn."""
    tables = np.zeros((LANES, 256), np.uint32)
    whole = len(pixels) // LANES * LANES
    step = LANES << 26  # so many that no count overflows
    for first in range(0, whole, step):
        last = min(whole, first + step)
        for at in range(np.uint64(first), np.uint64(last), np.uint64(LANES)):
            for lane in range(LANES):
                tables[np.uint64(lane), pixels[at + np.uint64(lane)]] += np.uint32(1)
        for lane in range(LANES):
            for value in range(256):
                counts[value, lane % channels] += tables[lane, value]
        tables[:] = 0
    for at in range(whole, len(pixels)):
        counts[pixels[at], at % channels] += 1


@entry
def count_words(pixels, channels, counts):
    """As `count_bytes`, of 16 bits: `counts` are (65536, channels)."""
    for at in range(len(pixels)):
        counts[pixels[at], at % channels] += 1
