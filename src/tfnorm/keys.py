"""Keys: which group a row belongs to, by one key column or several.

The one law: the same rows have the same keys in the same order, however they come and whoever counts them; keys are sorted,
and the keys of two parts together are the sorted union of both.

A key is a whole number, a boolean (counted as 0 or 1), a text or null; null is a key like any other, before all others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np

from tfnorm.codec import encode, packed
from tfnorm.errors import DataError
from tfnorm.key_columns import KeyColumn, column_codes, numbered

MAX_KEYS = 1_000_000
_MOST_PLACES = 1 << 22
_MOST_NUMBERS = 1 << 62  # as many combinations of values of several columns can be numbered


@dataclass(frozen=True, eq=False)
class Keys:
    """The different keys of some rows, sorted: by the first column, then by the second, and so on.

    >>> keys, groups = Keys.of({"store": np.array(["b", "a", "b"]), "day": np.array([1, 2, 1])})
    >>> list(keys), groups
    ([('a', 2), ('b', 1)], array([1, 0, 1]))
    """

    columns: tuple[KeyColumn, ...]
    codes: np.ndarray = packed("int64")  # noqa: RUF009  # it makes a field
    # (keys * columns,) of the first key's values, then of the second's

    @classmethod
    def of(cls, arrays: Mapping[str, Any], place: str = "", first_row: int = 0) -> tuple[Keys, np.ndarray]:
        """The keys of rows, and which of them each row has, (n,) int64. `place` and `first_row` are for errors."""
        columns, codes = zip(
            *(column_codes(name, array, place, first_row) for name, array in arrays.items()), strict=True
        )
        if len(columns) == 1:  # every value is there, and is a key
            first = int(len(codes[0]) == 0 or codes[0].min() > 0)
            numbers, groups = np.arange(first, len(columns[0]) + 1), codes[0]
            groups -= first
        else:
            numbers, groups = numbered(_combined(columns, codes))
        keys = cls(columns, _apart(columns, numbers))
        keys.check_number()
        return keys, groups

    @classmethod
    def nothing(cls, names: Sequence[str]) -> Keys:
        """The keys of no rows."""
        return cls(tuple(KeyColumn(name) for name in names), np.empty(0, np.int64))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def __len__(self) -> int:
        return len(self.codes) // len(self.columns)

    def __getitem__(self, at: int) -> tuple[int | str | None, ...]:
        """One key, a value a column."""
        if not 0 <= at < len(self):
            raise IndexError(at)
        width = len(self.columns)
        codes = self.codes[at * width : (at + 1) * width]
        return tuple(column.value(int(code)) for column, code in zip(self.columns, codes, strict=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keys) and (self is other or self.fingerprint == other.fingerprint)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all of them."""
        return hashlib.sha256(json.dumps(encode(self)).encode()).hexdigest()

    @cached_property
    def numbers(self) -> np.ndarray:
        """One number a key that grows with it, (keys,) int64."""
        return _combined(self.columns, list(self.codes.reshape(-1, len(self.columns)).T))

    def united(self, other: Keys) -> tuple[Keys, np.ndarray, np.ndarray]:
        """The keys of both, and where this one's and the other's are among them, (keys,) int64 each."""
        pairs = list(zip(self.columns, other.columns, strict=True))
        if np.array_equal(self.codes, other.codes) and all(one.same(two) for one, two in pairs):
            return self, np.arange(len(self)), np.arange(len(self))
        columns, mine, theirs = zip(*(one.united(two) for one, two in pairs), strict=True)
        first, second = (_combined(columns, keys._recoded(new)) for keys, new in ((self, mine), (other, theirs)))
        numbers = first if np.array_equal(first, second) else np.union1d(first, second)
        keys = Keys(columns, _apart(columns, numbers))
        keys.check_number()
        same = np.arange(len(numbers))
        mine, theirs = (
            same if len(part) == len(numbers) else np.searchsorted(numbers, part) for part in (first, second)
        )
        return keys, mine, theirs

    def find(self, arrays: Mapping[str, Any], place: str = "", first_row: int = 0) -> np.ndarray:
        """Which key each row has, (n,) int64; `len(self)` for those that are not among them."""
        found = []
        for column in self.columns:
            local, codes = column_codes(column.name, arrays[column.name], place, first_row)
            if local.kind and column.kind and local.kind != column.kind:
                raise DataError(
                    f"key column {column.name!r}: the fit saw {column.kind}, and here are {local.kind}. Cast it."
                )
            if len(self.columns) == 1:  # a place for each value, before each row
                places = np.append(self._places, -1)[column.codes_of(local)]  # what is not known has the code -1
                return np.where(places < 0, len(self), places)[codes]
            found.append(column.codes_of(local)[codes])
        unknown = reduce(np.logical_or, [codes < 0 for codes in found])
        numbers = _combined(self.columns, [np.maximum(codes, 0) for codes in found])
        if self._places is not None:
            at = self._places[numbers]
            return np.where(unknown | (at < 0), len(self), at)
        at = np.minimum(np.searchsorted(self.numbers, numbers), max(len(self) - 1, 0))
        return np.where(unknown | (self.numbers[at] != numbers), len(self), at)

    @cached_property
    def _places(self) -> Any:
        """For every combination of codes, its key's place, or -1; None where there are too many combinations."""
        size = 1
        for column in self.columns:
            size *= len(column) + 1
        if size > _MOST_PLACES and len(self.columns) > 1:
            return None
        places = np.full(size, -1, np.int64)
        places[self.numbers] = np.arange(len(self))
        return places

    def _recoded(self, new: Sequence[np.ndarray]) -> list[np.ndarray]:
        codes = self.codes.reshape(-1, len(self.columns)).T
        return [table[column] for table, column in zip(new, codes, strict=True)]

    def check_number(self) -> None:
        if len(self) > MAX_KEYS:
            raise DataError(
                f"by {listed(self.names)}: {len(self):,} different keys so far, and at most {MAX_KEYS:,} can be held. "
                "Is this an identifier? Choose a column with fewer values, or leave by() out."
            )

    def flaw(self) -> str:
        """Why no rows can have these keys; empty where some can. Asked of what a file says."""
        width = len(self.columns)
        if not width or len(set(self.names)) < width:
            return "it has no key columns, or one of them twice"
        if flaw := next((flaw for column in self.columns if (flaw := column.flaw())), ""):
            return flaw
        if len(self.codes) % width or len(self) > MAX_KEYS:
            return "its codes do not fit its key columns"
        for column, codes in zip(self.columns, self.codes.reshape(-1, width).T, strict=True):
            values = np.unique(codes)
            if len(values) and not 0 <= values[0] <= values[-1] <= len(column):
                return f"a code of key column {column.name[:80]!r} stands for nothing"
            if (values > 0).sum() != len(column):
                return f"a value of key column {column.name[:80]!r} is nobody's"
        return "" if (np.diff(self.numbers) > 0).all() else "its keys are not in order"


def key_text(key: tuple[int | str | None, ...]) -> str:
    """A key as an error shows it: one line, short.

    >>> key_text(("a\\nb", 3, None))
    "'a\\\\nb', 3, null"
    """
    texts = ("null" if value is None else repr(value) for value in key)
    return ", ".join(text if len(text) <= 40 else text[:37] + "..." for text in texts)


def listed(names: Sequence[str]) -> str:
    """Names of columns as people read them."""
    return " and ".join(filter(None, [", ".join(map(repr, names[:-1])), repr(names[-1])]))


def _combined(columns: Sequence[KeyColumn], codes: Sequence[np.ndarray]) -> np.ndarray:
    """The codes of all columns as one number, the first column's weighing most."""
    most = 1
    for column in columns:
        most *= len(column) + 1
    if most > _MOST_NUMBERS:
        raise DataError(
            f"by {listed([column.name for column in columns])}: their values have more combinations than can be numbered. "
            "Choose fewer columns, or ones with fewer values."
        )
    total = codes[0].astype(np.int64, copy=False)
    for column, more in zip(columns[1:], codes[1:], strict=True):
        total = total * (len(column) + 1) + more
    return total


def _apart(columns: Sequence[KeyColumn], numbers: np.ndarray) -> np.ndarray:
    """The codes of numbers that `_combined` made, (keys * columns,)."""
    codes = np.empty((len(numbers), len(columns)), np.int64)
    for place in range(len(columns) - 1, -1, -1):
        numbers, codes[:, place] = np.divmod(numbers, len(columns[place]) + 1)
    return codes.reshape(-1)
