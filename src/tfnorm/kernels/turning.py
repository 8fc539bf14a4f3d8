"""Rows turned into columns, eight at a time by vectors: one number at a time, it takes as long as to find which numbers."""

from __future__ import annotations

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
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
