"""The values of one key column, and which of them each row has.

The one law: the same values get the same codes, sorted, in whatever type they come: whole numbers (also as floats), booleans
(counted as 0 or 1) or text; null is code 0, the values are 1, 2, ...
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.key_texts import is_text, text_codes

_SPARE_TABLE = 1 << 16


@dataclass(frozen=True, eq=False)
class KeyColumn:
    """The different values of one key column, sorted. Their codes are 1, 2, ...; 0 stands for null. This one has no value."""

    name: str

    @property
    def kind(self) -> str:
        """What its values are, in words; empty where there is none."""
        return ""

    def __len__(self) -> int:
        return 0

    def value(self, code: int) -> int | str | None:  # noqa: ARG002
        """The value of a code."""
        return None

    def same(self, other: KeyColumn) -> bool:
        """Whether both have the same values."""
        return type(self) is type(other) and len(self) == len(other) and self._equal(other)

    def _equal(self, other: Any) -> bool:  # noqa: ARG002
        return True

    def united(self, other: KeyColumn) -> tuple[KeyColumn, np.ndarray, np.ndarray]:
        """The column of both's values, and what their codes become in it."""
        if self.kind and other.kind and self.kind != other.kind:
            raise DataError(
                f"key column {self.name!r}: holds {self.kind} in one part and {other.kind} in another. Cast it to one type."
            )
        whole = self if not other.kind else other if not self.kind else self._union(other)
        return whole, whole.codes_of(self), whole.codes_of(other)

    def _union(self, other: Any) -> KeyColumn:  # noqa: ARG002
        return self

    def codes_of(self, other: Any) -> np.ndarray:
        """What the codes of `other` are in this column (len(other) + 1,); -1 for what it does not have."""
        return np.concatenate([np.zeros(1, np.int64), np.full(len(other), -1, np.int64)])

    def only(self, used: np.ndarray) -> KeyColumn:  # noqa: ARG002
        """The column of some of its values."""
        return self

    def flaw(self) -> str:
        return ""


@dataclass(frozen=True, eq=False)
class WholeKeys(KeyColumn):
    """Whole numbers."""

    values: np.ndarray  # (n,) int64, rising

    @property
    def kind(self) -> str:
        return "whole numbers"

    def __len__(self) -> int:
        return len(self.values)

    def value(self, code: int) -> int | None:
        return int(self.values[code - 1]) if code else None

    def _equal(self, other: WholeKeys) -> bool:
        return np.array_equal(self.values, other.values)

    def _union(self, other: WholeKeys) -> WholeKeys:
        if np.array_equal(self.values, other.values):
            return self
        return WholeKeys(self.name, np.union1d(self.values, other.values))

    def codes_of(self, other: Any) -> np.ndarray:
        if not isinstance(other, WholeKeys):
            return super().codes_of(other)
        if other is self or np.array_equal(self.values, other.values):
            return np.arange(len(other) + 1)
        at = np.minimum(np.searchsorted(self.values, other.values), len(self.values) - 1)
        return np.concatenate([[0], np.where(self.values[at] == other.values, at + 1, -1)])

    def only(self, used: np.ndarray) -> KeyColumn:
        return WholeKeys(self.name, self.values[used]) if len(used) else KeyColumn(self.name)

    def flaw(self) -> str:
        rising = len(self.values) and self.values.dtype == np.int64 and (self.values[1:] > self.values[:-1]).all()
        return "" if rising else f"the values of key column {self.name[:80]!r} are no rising whole numbers"


@dataclass(frozen=True, eq=False)
class TextKeys(KeyColumn):
    """Texts."""

    values: tuple[str, ...]  # rising by code points

    @property
    def kind(self) -> str:
        return "text"

    def __len__(self) -> int:
        return len(self.values)

    def value(self, code: int) -> str | None:
        return self.values[code - 1] if code else None

    def _equal(self, other: TextKeys) -> bool:
        return self.values == other.values

    def _union(self, other: TextKeys) -> TextKeys:
        if self.values == other.values:
            return self
        return TextKeys(self.name, tuple(sorted({*self.values, *other.values})))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {value: place for place, value in enumerate(self.values, 1)}

    def codes_of(self, other: Any) -> np.ndarray:
        if not isinstance(other, TextKeys):
            return super().codes_of(other)
        if other is self or other.values == self.values:
            return np.arange(len(other) + 1)
        return np.array([0, *(self._places.get(value, -1) for value in other.values)], np.int64)

    def only(self, used: np.ndarray) -> KeyColumn:
        return TextKeys(self.name, tuple(self.values[i] for i in used)) if len(used) else KeyColumn(self.name)

    def flaw(self) -> str:
        rising = self.values and all(one < other for one, other in pairwise(self.values))
        return "" if rising else f"the values of key column {self.name[:80]!r} are no rising texts"


def numbered(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different ones of some whole numbers, rising, and which of them each is."""
    if not len(values):
        return values, np.empty(0, np.int64)
    low, high = int(values.min()), int(values.max())
    if high - low < 2 * len(values) + _SPARE_TABLE:
        from tfnorm.kernels import groups

        table, codes = np.zeros(high - low + 1, np.int32), np.empty(len(values), np.int64)
        groups.number_in_range(values, low, table, codes)
        return np.flatnonzero(table) + low, codes
    import pyarrow as pa

    encoded = pa.array(values).dictionary_encode()
    found, codes = np.asarray(encoded.dictionary), np.asarray(encoded.indices)
    order = np.argsort(found)
    ranks = np.empty(len(found), np.int64)
    ranks[order] = np.arange(len(found))
    return found[order], ranks[codes]


def column_codes(name: str, array: Any, place: str = "", first_row: int = 0) -> tuple[KeyColumn, np.ndarray]:
    """The different values of one key column and the code of each row, (n,) int64.

    `array` holds whole numbers (also as floats), booleans or text, masked or None or NaN where null.
    """
    data, null = np.ma.getdata(array) if isinstance(array, np.ma.MaskedArray) else array, None
    if isinstance(array, np.ma.MaskedArray) and np.ma.getmaskarray(array).any():
        null = np.ma.getmaskarray(array)
    if getattr(data, "ndim", 1) != 1:
        if data.ndim != 2 or data.shape[1] != 1:
            raise DataError(f"key column {name!r}: expected one key a row, got rows of shape {data.shape[1:]}.")
        data, null = data[:, 0], None if null is None else null[:, 0]
    dtype = getattr(data, "dtype", None)
    if isinstance(data, np.ndarray) and dtype is not None and dtype.kind in "biuf":
        return _whole_codes(name, data, null, place, first_row)
    return _arrow_codes(name, data, null, place, first_row)


def _arrow_codes(
    name: str, data: Any, null: np.ndarray | None, place: str, first_row: int
) -> tuple[KeyColumn, np.ndarray]:
    """By way of Arrow, which finds the different texts among many."""
    import pyarrow as pa
    import pyarrow.types as t

    where = f" ({place})" if place else ""
    if isinstance(data, np.ndarray) and data.dtype.kind not in "OUST":
        raise DataError(
            f"key column {name!r}: expected whole numbers, booleans or text, got {data.dtype}{where}. Cast it."
        )
    try:
        plain = data.astype(object) if isinstance(data, np.ndarray) and data.dtype.kind == "T" else data
        array = pa.array(plain, from_pandas=True)
        array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
        if t.is_dictionary(array.type) and not is_text(array.type.value_type):
            array = array.dictionary_decode()
        texts = text_codes(name, array)
    except (pa.ArrowException, TypeError, ValueError) as error:  # a lone surrogate, texts beside numbers
        reason = str(error).splitlines()[0][:120]
        raise DataError(
            f"key column {name!r}: expected whole numbers, booleans or text in every row, and there is something else "
            f"from row {first_row} on: {reason}{where}."
        ) from None
    if texts is not None:
        values, codes = texts
        if null is not None:
            codes[null] = 0
        return _used(TextKeys(name, tuple(values)), codes)
    if t.is_null(array.type):
        return KeyColumn(name), np.zeros(len(array), np.int64)
    if not (t.is_integer(array.type) or t.is_boolean(array.type) or t.is_floating(array.type)):
        raise DataError(
            f"key column {name!r}: expected whole numbers, booleans or text, got {array.type}{where}. Cast it."
        )
    absent = np.asarray(array.is_null())
    numbers = array.fill_null(False if t.is_boolean(array.type) else 0).to_numpy(zero_copy_only=False)
    return _whole_codes(name, numbers, absent if null is None else null | absent, place, first_row)


def _used(column: KeyColumn, codes: np.ndarray) -> tuple[KeyColumn, np.ndarray]:
    """Only those values that a row has: a dictionary may hold others."""
    seen = np.zeros(len(column) + 1, bool)
    seen[codes] = True
    if seen[1:].all() and len(column):
        return column, codes
    new = np.cumsum(seen) - seen[0]
    return column.only(np.flatnonzero(seen[1:])), np.where(codes > 0, new[codes], 0)


def _whole_codes(
    name: str, data: np.ndarray, null: np.ndarray | None, place: str, first_row: int
) -> tuple[KeyColumn, np.ndarray]:
    if data.dtype.kind == "f":
        missing = np.isnan(data)
        null = missing if null is None else null | missing
        wrong = ~null & ~((data == np.rint(data)) & (np.abs(data) < 2.0**63))
    elif data.dtype == np.uint64:
        wrong = data > np.uint64(2**63 - 1)
        wrong = wrong & ~null if null is not None else wrong
    else:
        wrong = None
    if wrong is not None and wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"key column {name!r}: expected whole numbers of 64 bits, got {data[row]} in row {first_row + row}"
            f"{f' ({place})' if place else ''}. Cast it to text, or choose another column."
        )
    with np.errstate(invalid="ignore"):  # NaN, which is null
        known = (data if null is None or not null.any() else data[~null]).astype(np.int64, copy=False)
    values, codes = numbered(known)
    if len(known) < len(data):
        assert null is not None
        spread = np.zeros(len(data), np.int64)
        spread[~null] = codes + 1
        codes = spread
    else:
        codes += 1
    return (WholeKeys(name, values) if len(values) else KeyColumn(name)), codes
