"""How often each value is there, channel by channel: all that is asked of pixels, exactly."""

from __future__ import annotations

import numpy as np

from tfnorm.kernels.moments import entry, inlined

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


@inlined
def _count(table, at, over):
    """One more; what 16 bits do not hold goes to `over`, so that the tables stay in the cache."""
    more = table[at] + np.uint16(1)
    table[at] = more
    if np.uint16(more) == np.uint16(0):
        over[at] += np.uint32(1)


@entry
def count_rgb(pairs, tables, over):
    """Add to `tables` (3, 65536) uint16 and `over`, its higher digits, how often each pair of neighbouring bytes of RGB pixels is
    there: red and green, blue and red, green and blue. `pairs` are a multiple of 12.

    Pairs are half as many as bytes; four places are counted in turn, so that neighbours of one value do not wait for each other.
    """
    part = len(pairs) // 4
    first, second = pairs[:part], pairs[part : 2 * part]
    third, fourth = pairs[2 * part : 3 * part], pairs[3 * part :]
    for start in range(np.uint64(0), np.uint64(part), np.uint64(3)):
        for phase in range(3):
            at = start + np.uint64(phase)
            _count(tables[phase], first[at], over[phase])
            _count(tables[phase], second[at], over[phase])
            _count(tables[phase], third[at], over[phase])
            _count(tables[phase], fourth[at], over[phase])


@entry
def fold_rgb(tables, over, counts):
    """Add to `counts` (256, 3) the bytes of the pairs that `count_rgb` counted."""
    by_low = np.empty(256, np.int64)
    for phase in range(3):
        low, high = 2 * phase % 3, (2 * phase + 1) % 3
        by_low[:] = 0
        for upper in range(256):
            few, more = tables[phase, 256 * upper : 256 * upper + 256], over[phase, 256 * upper : 256 * upper + 256]
            total = np.int64(0)
            for lower in range(256):
                many = np.int64(few[lower]) + (np.int64(more[lower]) << 16)
                by_low[lower] += many
                total += many
            counts[upper, high] += total
        counts[:, low] += by_low


@entry
def count_words(pixels, channels, counts):
    """As `count_bytes`, of 16 bits: `counts` are (65536, channels)."""
    for at in range(len(pixels)):
        counts[pixels[at], at % channels] += 1
