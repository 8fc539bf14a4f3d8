"""Sums of the first four powers of bytes, their extremes and zeros, by vectors of 16: exact integers, and faster than counting.

Powers are of what a byte is above or below 128, so that a square fits 16 bits and two fourth powers 32. What one instruction
does, multiply two pairs of 16 bits and add the products up (`pmaddwd`), numba does not find by itself; so rows of bytes are
interleaved, and it is asked for by name. Where the processor lacks it, `AVAILABLE` is False and bytes are counted instead.
"""

from __future__ import annotations

import platform

import llvmlite.binding  # type: ignore[import-untyped]
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

from tfnorm.kernels.moments import entry

LANES = 96  # bytes of a row: a multiple of 16, and of 1, 2, 3 and 4 channels
PAIRS = 7  # of rows that are summed in registers: the fourth powers of 16 rows might overflow
ROWS = 2 * PAIRS
TILE = ROWS * LANES
TILES = 64  # of which the sums of third powers fit 32 bits
MIDDLE = 128

_own = config.CPU_NAME is None and config.CPU_FEATURES is None  # type: ignore[attr-defined]  # else it is of another
AVAILABLE = (
    _own
    and platform.machine().lower() in ("x86_64", "amd64")
    and bool(llvmlite.binding.get_host_cpu_features().get("avx2"))
)

_BYTE, _WORD, _INT, _LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_BYTES, _WORDS, _INTS, _LONGS = (
    ir.VectorType(_BYTE, 16),
    ir.VectorType(_WORD, 16),
    ir.VectorType(_INT, 8),
    ir.VectorType(_LONG, 8),
)


def _all(type_, value):
    return ir.Constant(type_, [value] * type_.count)


@intrinsic
def _add_tile(typing, pixels, sums, fourth, ends, zeros):  # noqa: ARG001  # numba's own way to declare one
    """Add 16 lanes of ROWS rows at `pixels` to their `sums` (3, LANES) int32, `fourth` (LANES,) uint64, `ends` (2, LANES) and
    `zeros` (LANES,) uint16. All are addresses."""

    def generate(context, builder, signature, arguments):  # noqa: ARG001
        def at(address, type_, lanes):
            whole = builder.inttoptr(builder.add(address, ir.Constant(_LONG, lanes)), type_.as_pointer())
            return whole, lambda: builder.load(whole, align=1), lambda value: builder.store(value, whole, align=1)

        def pairs(a, b):  # a[0] * b[0] + a[1] * b[1], a[2] * b[2] + ...
            kind = ir.FunctionType(_INTS, [_WORDS, _WORDS])
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx2.pmadd.wd"), [a, b])

        pixels, sums, fourth, ends, zeros = arguments
        total = [[_all(_INTS, 0), _all(_INTS, 0)] for _ in range(4)]
        (_, low, set_low), (_, high, set_high) = at(ends, _BYTES, 0), at(ends, _BYTES, LANES)
        lowest, highest, none = low(), high(), _all(_BYTES, 0)
        for pair in range(PAIRS):
            rows = [at(pixels, _BYTES, (2 * pair + one) * LANES)[1]() for one in range(2)]
            for row in rows:
                lowest = builder.select(builder.icmp_unsigned("<", row, lowest), row, lowest)
                highest = builder.select(builder.icmp_unsigned(">", row, highest), row, highest)
                is_zero = builder.icmp_unsigned("==", row, _all(_BYTES, 0))
                none = builder.sub(none, builder.sext(is_zero, _BYTES))
            for half in range(2):
                order = [lane // 2 + 8 * half + 16 * (lane % 2) for lane in range(16)]
                both = builder.shuffle_vector(*rows, ir.Constant(ir.VectorType(_INT, 16), order))
                x = builder.sub(builder.zext(both, _WORDS), _all(_WORDS, MIDDLE))
                square = builder.mul(x, x)
                factors = (x, _all(_WORDS, 1)), (x, x), (square, x), (square, square)
                for power, (a, b) in enumerate(factors):
                    total[power][half] = builder.add(total[power][half], pairs(a, b))
        set_low(lowest)
        set_high(highest)
        _, load, store = at(zeros, _WORDS, 0)
        store(builder.add(load(), builder.zext(none, _WORDS)))
        for half in range(2):
            for power in range(3):
                _, load, store = at(sums, _INTS, 4 * (power * LANES + 8 * half))
                store(builder.add(load(), total[power][half]))
            _, load, store = at(fourth, _LONGS, 8 * 8 * half)
            store(builder.add(load(), builder.zext(total[3][half], _LONGS)))
        return context.get_dummy_value()

    return types.void(*(types.uint64,) * 5), generate


@entry
def sum_powers(pixels, channels, powers, ends, zeros):
    """Add to `powers` (4, channels) int64 the sums of the powers of `pixels`, flat and channels in turn, about MIDDLE, and to
    `zeros` (channels,) how many are 0; lower and raise `ends` (2, channels) uint8."""
    whole = len(pixels) // TILE * TILE
    step = TILES * TILE
    sums, fourth = np.empty((3, LANES), np.int32), np.empty(LANES, np.uint64)
    bounds, none = np.empty((2, LANES), np.uint8), np.empty(LANES, np.uint16)
    here, sums_at, fourth_at = np.uint64(pixels.ctypes.data), np.uint64(sums.ctypes.data), np.uint64(fourth.ctypes.data)
    bounds_at, none_at = np.uint64(bounds.ctypes.data), np.uint64(none.ctypes.data)
    for start in range(0, whole, step):
        sums[:], fourth[:], none[:] = 0, 0, 0
        bounds[0], bounds[1] = 255, 0
        for tile in range(start, min(whole, start + step), TILE):
            for lane in range(0, LANES, 16):
                one = np.uint64(lane)
                _add_tile(
                    here + np.uint64(tile) + one,
                    sums_at + one * np.uint64(4),
                    fourth_at + one * np.uint64(8),
                    bounds_at + one,
                    none_at + one * np.uint64(2),
                )
        for lane in range(LANES):
            channel = lane % channels
            for power in range(3):
                powers[power, channel] += sums[power, lane]
            powers[3, channel] += np.int64(fourth[lane])
            zeros[channel] += none[lane]
            ends[0, channel] = min(ends[0, channel], bounds[0, lane])
            ends[1, channel] = max(ends[1, channel], bounds[1, lane])
    for at in range(whole, len(pixels)):
        channel, x = at % channels, np.int64(pixels[at]) - MIDDLE
        product = np.int64(1)
        for power in range(4):
            product *= x
            powers[power, channel] += product
        zeros[channel] += pixels[at] == 0
        ends[0, channel] = min(ends[0, channel], pixels[at])
        ends[1, channel] = max(ends[1, channel], pixels[at])
