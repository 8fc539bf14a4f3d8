"""Where the rows of a text end, while nothing in it makes that doubtful."""

from __future__ import annotations

import numpy as np

from tfnorm.kernels.moments import entry, inlined

NEWLINE, RETURN, QUOTE = np.uint8(10), np.uint8(13), np.uint8(34)
LANES, LINES = 256, 128  # side by side, so that bytes stay bytes; of so many of which 8 bits hold the count


@inlined
def _doubtful(byte, last):
    """Whether a byte, or that it follows `last`, makes it doubtful whether each end of a line is one of a row."""
    empty = (last == NEWLINE) & ((byte == NEWLINE) | (byte == RETURN))
    return (byte == QUOTE) | empty | ((last == RETURN) & (byte != NEWLINE))


@entry
def count_lines(text, before):
    """(ends of lines, whether one of them may be no row's end) in `text`, which `before` is the byte in front of.

    Doubtful are quotes, in which a line may end and the row go on; lines without anything in them, which are no rows; and a
    carriage return alone, which ends a line for some.
    """
    ends, doubt = np.int64(0), False
    found, odd = np.zeros(LANES, np.uint8), np.zeros(LANES, np.uint8)
    whole = (len(text) - 1) // LANES * LANES
    for start in range(1, 1 + whole, LANES * LINES):
        found[:] = 0
        for at in range(start, min(start + LANES * LINES, 1 + whole), LANES):
            here, front = text[at : at + LANES], text[at - 1 : at - 1 + LANES]
            for i in range(LANES):
                found[i] += here[i] == NEWLINE
                odd[i] |= _doubtful(here[i], front[i])
        for i in range(LANES):
            ends += found[i]
    for i in range(LANES):
        doubt |= odd[i] != 0
    for i in range(1 + max(whole, 0), len(text)):
        ends += text[i] == NEWLINE
        doubt |= _doubtful(text[i], text[i - 1])
    if len(text) > 0:
        ends += text[0] == NEWLINE
        doubt |= _doubtful(text[0], before)
    return ends, doubt
