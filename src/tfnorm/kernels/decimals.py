"""Numbers written out in tables of plain text, to the nearest float64: Eisel & Lemire's algorithm (Lemire 2021).

Only what is beyond doubt is read: digits with a point, a minus and an exponent, nothing for null. All else is left to others.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from tfnorm.kernels.moments import entry, kernel

LEAST, MOST = -342, 308  # powers of ten: beyond them everything is 0 or infinite
PADDING = 16  # bytes that may be read behind the text
ODD, FRACTION = -1, -2  # why a table is not read

U, S = np.uint64, np.int64
_TENS = np.array([10.0**power for power in range(23)])  # exactly
_WHOLE_TENS = np.array([10**power for power in range(9)], np.uint64)


def _five_to(power: int) -> int:
    """The leading 128 bits of 5**power: cut off, of a fraction one more."""
    if power >= 0:
        found = 5**power
        return found << 128 - found.bit_length() if found.bit_length() <= 128 else found >> found.bit_length() - 128
    divisor = 5**-power
    bits = (divisor - 1).bit_length()
    found = (1 << (bits + 127 if power >= -27 else 2 * bits + 128)) // divisor + 1
    return found >> max(0, found.bit_length() - 128)


def powers() -> np.ndarray:
    """(651, 2) uint64: upper and lower half of the powers of five that `read_table` takes."""
    found = [_five_to(power) for power in range(LEAST, MOST + 1)]
    return np.array([(one >> 64, one & (1 << 64) - 1) for one in found], np.uint64)


@intrinsic
def _upper(typing, a, b):  # noqa: ARG001  # numba's own way to declare one
    """The upper 64 bits of a product."""

    def generate(context, builder, signature, arguments):  # noqa: ARG001
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(one, wide) for one in arguments))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


@intrinsic
def _eight(typing, address):  # noqa: ARG001
    """Eight bytes, the first one lowest."""

    def generate(context, builder, signature, arguments):  # noqa: ARG001
        return builder.load(builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()), align=1)

    return types.uint64(types.uint64), generate


@intrinsic
def _zeros_below(typing, a):  # noqa: ARG001
    """How many bits below the lowest that is set, 64 if none is."""

    def generate(context, builder, signature, arguments):  # noqa: ARG001
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@intrinsic
def _zeros_before(typing, a):  # noqa: ARG001
    """How many bits above the highest that is set."""

    def generate(context, builder, signature, arguments):  # noqa: ARG001
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@intrinsic
def _bits_of(typing, value):  # noqa: ARG001
    """A float as the integer that its bits are."""

    def generate(context, builder, signature, arguments):  # noqa: ARG001
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.uint64(types.float64), generate


@kernel
def _digits(address, digits):
    """(`digits` with those written at an address behind them, how many these are).

    Eight bytes are looked at together: first how many are digits, then the number that they are, two at a time, then four, then
    all. No branch asks how many, which would be guessed wrongly for every other number.
    """
    count = S(0)
    while True:
        eight = _eight(address + U(count)) ^ U(0x3030303030303030)  # 0 to 9 where digits are
        other = ((eight + U(0x7676767676767676)) | eight) & U(0x8080808080808080)
        found = _zeros_below(other) >> U(3)
        half = U(32) - (found << U(2))
        eight = (eight << half) << half  # zeros for what is before, nothing for what comes after
        eight = eight * U(10) + (eight >> U(8))
        low = (eight & U(0x000000FF000000FF)) * U(0x000F424000000064)
        high = ((eight >> U(16)) & U(0x000000FF000000FF)) * U(0x0000271000000001)
        digits = digits * _WHOLE_TENS[S(found)] + ((low + high) >> U(32) & U(0xFFFFFFFF))
        count += S(found)
        if found < U(8):
            return digits, count


@kernel
def _nearest(digits, power, fives):
    """(the bits of the float64 nearest to digits * 10**power, whether that is certain); `digits` are not 0."""
    if power < LEAST:
        return U(0), True
    if power > MOST:
        return U(0x7FF0000000000000), True
    shift = _zeros_before(digits)
    w = digits << shift
    row = power - LEAST
    upper, lower = _upper(w, fives[row, 0]), w * fives[row, 0]
    if (upper & U(0x1FF)) == U(0x1FF):
        more = _upper(w, fives[row, 1])
        lower += more
        if more > lower:
            upper += U(1)
    if lower == U(0xFFFFFFFFFFFFFFFF) and not -27 <= power <= 55:
        return U(0), False
    top = upper >> U(63)
    down = top + U(9)
    mantissa = upper >> down
    exponent = ((S(217706) * power) >> S(16)) + S(63) + S(top) - S(shift) + S(1023)
    if exponent <= 0:
        if 1 - exponent >= 64:
            return U(0), True
        mantissa >>= U(1 - exponent)
        mantissa += mantissa & U(1)
        return mantissa >> U(1), True  # the least normal number's bits follow those of the largest below it
    if lower <= U(1) and -4 <= power <= 23 and (mantissa & U(3)) == U(1) and (mantissa << down) == upper:
        mantissa &= ~U(1)  # halfway: to the even one
    mantissa += mantissa & U(1)
    mantissa >>= U(1)
    if mantissa >= U(1 << 53):
        mantissa = U(1 << 52)
        exponent += 1
    if exponent >= 2047:
        return U(0x7FF0000000000000), True
    return (mantissa & ~U(1 << 52)) | (U(exponent) << U(52)), True


@entry
def read_table(text, length, delimiter, places, whole, fives, bits, null, row):  # noqa: PLR0915  # calls would cost more
    """Read rows of as many cells as `places` are long: cell c goes to column places[c], or nowhere if that is below 0.

    `text` has `length` bytes, the last of which ends a row, and PADDING more. From `row` on `bits` (columns, rows) uint64 become
    those of a float64, or of an int64 where `whole` (columns,) says so; `null` (columns, rows) are set where a cell is empty.
    Returns the row behind the last one; or ODD where something is not plain; or FRACTION - column where a plain number would fit
    a float64 and no int64.
    """
    tens = _TENS
    address, at = U(text.ctypes.data), S(0)
    newline, carriage = np.uint8(10), np.uint8(13)
    while at < length:
        if row == bits.shape[1]:
            return ODD
        for cell in range(len(places)):
            column = places[cell]
            if column < 0:
                while at < length and text[at] != delimiter and text[at] != newline:
                    at += 1
            else:
                negative = text[at] == 45
                start = at + S(negative)
                at = start
                power = S(0)
                digits = U(0)
                while np.uint8(text[at] - 48) <= 9:
                    digits = digits * U(10) + U(np.uint8(text[at] - 48))
                    at += 1
                number = at - start
                real = text[at] == 46
                if real:
                    at += 1
                    digits, behind = _digits(address + U(at), digits)
                    at += behind
                    power = -behind
                    number += behind
                if number == 0:
                    if negative or real:
                        return ODD
                    null[column, row] = True
                    bits[column, row] = U(0)
                else:
                    if number > 18:
                        first = start
                        while text[first] == 48 or text[first] == 46:
                            number -= S(text[first] == 48)
                            first += 1
                        if number > 19 or (number == 19 and whole[column]):
                            return ODD
                    if text[at] == 101 or text[at] == 69:
                        real = True
                        at += 1
                        below = text[at] == 45
                        at += S(below or text[at] == 43)
                        first, exponent = at, S(0)
                        while np.uint8(text[at] - 48) <= 9 and at - first < 6:
                            exponent = exponent * 10 + S(np.uint8(text[at] - 48))
                            at += 1
                        if at == first:
                            return ODD
                        power += -exponent if below else exponent
                    if whole[column]:
                        if real:
                            return FRACTION - column
                        if text[start] == 48 and number > 1:
                            return ODD
                        bits[column, row] = U(-S(digits)) if negative else digits
                    else:
                        if digits == U(0):
                            found = U(0)
                        elif digits <= U(1 << 53) and -22 <= power <= 22:
                            value = float(S(digits))
                            value = value / tens[-power] if power < 0 else value * tens[power]
                            found = _bits_of(value)
                        else:
                            found, certain = _nearest(digits, power, fives)
                            if not certain:
                                return ODD
                        bits[column, row] = found | (U(negative) << U(63))
            if cell < len(places) - 1:
                if text[at] != delimiter:
                    return ODD
                at += 1
        at += S(text[at] == carriage)
        if text[at] != newline:
            return ODD
        at += 1
        row += 1
    return row
