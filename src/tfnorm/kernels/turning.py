"""What numba does not find out how to do by vectors: rows turned into columns, and the sum of what a table counts.

One number at a time, the first takes as long as to find which numbers, and the second a third of the time to count them.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tfnorm.kernels.cells import U
from tfnorm.kernels.moments import kernel

EIGHT = 8  # rows and columns that are turned at once


@intrinsic
def _turn(typing, source, source_step, target, target_step):  # noqa: ARG001  # numba's own way to declare one
    """Eight rows of eight 64-bit numbers as columns: addresses, and how many bytes on the next row of each lies."""

    def generate(context, builder, signature, arguments):  # noqa: ARG001
        source, source_step, target, target_step = arguments
        long = ir.IntType(64)
        eight = ir.VectorType(long, EIGHT)

        def at(address, step, row):
            place = builder.add(address, builder.mul(step, ir.Constant(long, row)))
            return builder.inttoptr(place, eight.as_pointer())

        def halves(a, b, size):  # runs of `size` of both in turn: the even ones, and the odd ones
            order = np.arange(2 * EIGHT).reshape(2, -1, 2, size)
            for half in range(2):
                picked = order[:, :, half].transpose(1, 0, 2).reshape(-1).tolist()
                yield builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), EIGHT), picked))

        rows = [builder.load(at(source, source_step, row), align=8) for row in range(EIGHT)]
        for size in (1, 2, 4):
            turned = list(rows)
            for row in range(EIGHT):
                if not row & size:
                    turned[row], turned[row + size] = halves(rows[row], rows[row + size], size)
            rows = turned
        for row in range(EIGHT):
            builder.store(rows[row], at(target, target_step, row), align=8)
        return context.get_dummy_value()

    return types.void(*(types.uint64,) * 4), generate


@kernel
def lay_quads(fours, width, rows, quad_step, quads):
    """`rows` rows of `width` numbers, each the rows of the tables of four neighbouring lanes, laid so that these lie side by
    side, value after value, and those of the next four lanes `quad_step` numbers further on."""
    source, target = U(fours.ctypes.data), U(quads.ctypes.data)
    whole_rows, whole = rows // EIGHT * EIGHT, width // EIGHT * EIGHT
    for row in range(0, whole_rows, EIGHT):
        for four in range(0, whole, EIGHT):
            here, there = U(8 * (row * width + four)), U(8 * (four * quad_step + row))
            _turn(source + here, U(8 * width), target + there, U(8 * quad_step))
    for four in range(width):
        for row in range(whole_rows if four < whole else 0, rows):
            quads[four * quad_step + row] = fours[row * width + four]


def _sum_of(bits):
    """The sum of unsigned numbers of so many bits, in up to BLOCKS runs of 64 bytes from an address on."""
    long, wide = ir.IntType(64), ir.IntType(2 * bits)
    vector = ir.VectorType(wide, 512 // (2 * bits))
    longs = ir.VectorType(long, vector.count)

    def all_of(value):
        return ir.Constant(vector, [value] * vector.count)

    @intrinsic
    def total(typing, address, runs):  # noqa: ARG001
        def generate(context, builder, signature, arguments):  # noqa: ARG001
            address, runs = arguments
            sums = cgutils.alloca_once_value(builder, all_of(0))
            with cgutils.for_range(builder, runs) as loop:
                place = builder.add(address, builder.mul(loop.index, ir.Constant(long, 64)))
                two = builder.load(builder.inttoptr(place, vector.as_pointer()), align=1)  # numbers in one
                both = builder.add(builder.and_(two, all_of((1 << bits) - 1)), builder.lshr(two, all_of(bits)))
                builder.store(builder.add(builder.load(sums), both), sums)
            kind = ir.FunctionType(long, [longs])
            add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.add.v{vector.count}i64")
            return builder.call(add, [builder.zext(builder.load(sums), longs)])

        return types.uint64(types.uint64, types.uint64), generate

    return total


BLOCKS = 128  # runs of 64 bytes, of whose pairs the sums fit 16 bits
_sum_of_bytes, _sum_of_words = _sum_of(8), _sum_of(16)


@kernel
def sum_of(table):
    """The sum of a uint8 or uint16 table, whose bytes are a multiple of 64."""
    at, runs, total = U(table.ctypes.data), len(table) * table.itemsize // 64, U(0)
    for first in range(0, runs, BLOCKS):
        here, many = at + U(64 * first), U(min(BLOCKS, runs - first))
        total += _sum_of_bytes(here, many) if table.itemsize == 1 else _sum_of_words(here, many)
    return np.int64(total)
