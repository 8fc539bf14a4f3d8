"""The one loop that reads all values: their moments, and their rows of the tables, while a block of them is in cache."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from tfnorm.kernels.cells import U
from tfnorm.kernels.moments import (
    FAR,
    FINITE,
    GOOD,
    KINDS,
    LANES,
    NOT_FINITE,
    better_center,
    center_of_finite,
    count_kinds,
    entry,
    fill_in,
    fold_lanes,
    kernel,
    one_pass,
    prepare_lanes,
    provisional,
    rest,
)
from tfnorm.kernels.tables import NOT_FINITE_ROW, WIDTH, WIDTH_BITS, ZERO_ROW
from tfnorm.kernels.turning import lay_quads


@kernel
def _row_of(bits, shift, base, word):
    """Which row of the table a value falls into: its magnitude's, WIDTH further on if it is negative, OUTSIDE if in none."""
    last = word(31) if U(word(~word(0))) == U(0xFFFFFFFF) else word(63)  # a constant to the compiler
    magnitude, width = word((word(1) << last) - word(1)), word(WIDTH)
    # cast at every step: numba would go on in 64 bits, at half the speed
    c = word(word(bits & magnitude) >> word(shift & last))
    c = min(word(c - base), width)  # below the table it wraps to far above it
    return word(c | word(word(bits >> word(last - word(WIDTH_BITS))) & width)) | word(word(c & width) << word(1))


@kernel
def _row_apart(bits, row, word):
    """The row behind the table if the value is zero or not finite, else `row`."""
    magnitude, infinite = (
        (0x7FFFFFFF, 0x7F800000) if U(word(~word(0))) == U(0xFFFFFFFF) else (0x7FFFFFFFFFFFFFFF, 0x7FF0000000000000)
    )
    c = word(bits & word(magnitude))
    return ZERO_ROW if c == word(0) else NOT_FINITE_ROW if c >= word(infinite) else row


@kernel
def find_rows(bits, shift, base, any_apart, width, quad_step, out, side):
    """The row of its table for each value: `bits` are float32's as uint32 or float64's as uint64.

    `shift` and `base`, one a lane, are of the same type. In `out` the rows lie as the values do; or, where `quad_step` is not 0,
    as `lay_quads` does, for which `side` has room. `any_apart` says that there may be zeros or what is not finite.
    """
    lanes, word, near = len(shift), bits.dtype.type, side if quad_step > 0 else out
    quads, fours = out.view(np.uint64), side.view(np.uint64)
    for start in range(0, len(bits), lanes):
        at = 0 if quad_step > 0 else start
        row = bits[start : start + lanes]
        found = near[at : at + len(row)]
        for i in range(len(row)):
            found[i] = _row_of(row[i], shift[i], base[i], word)
        if any_apart:
            for i in range(len(row)):
                found[i] = _row_apart(row[i], found[i], word)
        if quad_step > 0:
            lay_quads(fours, (width + 3) // 4, len(row) // width, quad_step, quads[start // width :])


@entry
def read(x, bits, block_values, whole, blocks, counts, shift, base, quad_step, out):
    """Block after block of `x` (float32 or float64; `bits` are the same as integers): sums of powers and extremes into `blocks`
    (n, 10, features), unless there are none, and `find_rows`, unless `shift` and `base` are empty.

    `counts` (5, features) are added to; `whole` says that all values are integers. Returns how many blocks were done: all, or
    those before one that wants care (`measure_carefully`), whose rows were found.
    """
    features = max(1, counts.shape[1])
    lanes, table_lanes = max(1, LANES // features) * features, max(1, len(shift))
    ends, parts, sums = np.empty((3, lanes), x.dtype), np.empty((4, lanes)), np.empty((6, lanes))
    held, kinds = np.empty(features), np.empty((4, features), np.int64)
    number, filled = 0, np.empty(0, x.dtype)
    side = np.zeros((table_lanes + 3) // 4 * 4, np.uint16)
    for first in range(0, len(x), block_values):
        values = x[first : first + block_values]
        found, quads, any_apart = GOOD, len(values) // lanes // 4, True
        if len(blocks) > 0:
            block = blocks[number]
            provisional(values, whole, block)
            held[:], kinds[:] = len(values) // features, 0
            centered = of_finite = found == NOT_FINITE  # not a constant, of which there would be code of its own
            summed = values
            for attempt in range(3):
                if of_finite:
                    if len(filled) == 0:
                        filled = np.empty(block_values, x.dtype)
                    center_of_finite(values, held, block)
                    fill_in(values, lanes, block, filled)
                    summed = filled[: len(values)]
                prepare_lanes(block, ends, sums)
                one_pass(summed, quads, lanes, ends, parts, sums)
                rest(summed[4 * quads * lanes :], ends, sums)
                found = fold_lanes(held, ends, sums, block)
                if found == NOT_FINITE and attempt == 0:
                    of_finite = True
                    count_kinds(values, lanes, kinds)
                    for j in range(features):
                        held[j] -= kinds[0, j] + kinds[1, j] + kinds[2, j]
                    provisional(values, whole, block)  # whose weights the sums took the place of
                elif found == FAR and not centered:
                    centered = True
                    better_center(block, whole)
                else:
                    break
            if found == GOOD:
                any_apart = of_finite
                for lane in range(lanes):
                    any_apart |= ends[2, lane] == 0
                if any_apart and not of_finite:
                    count_kinds(values, lanes, kinds)
                for j in range(features):
                    counts[FINITE, j] += np.int64(held[j])
                    for kind in range(4):
                        counts[KINDS[kind], j] += kinds[kind, j]
        if len(shift) > 0:
            on = first // features * 4 if quad_step > 0 else first
            find_rows(bits[first : first + block_values], shift, base, any_apart, features, quad_step, out[on:], side)
        if found != GOOD:
            return number
        number += 1
    return number


def _announce() -> None:
    """Say that the first run compiles, where no earlier one has left its code in numba's cache."""
    folder = getattr(getattr(read, "_cache", None), "cache_path", None)
    if folder is not None and not any(Path(folder).glob("reading.read*.nbi")):
        logging.getLogger("tfnorm").warning("compiling the kernels, once for this machine; it takes some seconds")


_announce()
