"""Parts of a source that cannot be read, left out by request.

The one law: a part counts whole or not at all, and what is left out is named. Of images each is such a part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tfnorm.errors import DataError
from tfnorm.measuring import Measure, Measured
from tfnorm.profile import Skipped
from tfnorm.sources import Batch, Shard
from tfnorm.sources.columns import quoted


@dataclass(frozen=True)
class Skipping:
    """A `Measure` that leaves out the parts that cannot be read. What was read and is refused (infinite values) is an error."""

    measure: Measure

    def __call__(self, shard: Shard) -> Measured:
        left_out: list[Skipped] = []
        if hasattr(shard, "telling"):  # whose records are read, or left out, one by one
            shard = shard.telling(lambda name, reason: left_out.append(Skipped(name, reason)))
        try:
            measured = self.measure(_Fragile(shard))
            return dataclasses.replace(measured, skipped=tuple(left_out))
        except _UnreadableError as error:
            skipped = (Skipped(shard.name, error.reason),)
            return dataclasses.replace(self.measure.nothing(), num_shards=1, skipped=skipped)


def skipped_words(skipped: Sequence[Skipped]) -> str:
    """That something is missing, and what.

    >>> skipped_words([Skipped("a.csv", "a.csv: it cannot be read.")])
    'not read, and left out: "a.csv"'
    """
    return f"not read, and left out: {quoted([one.part for one in skipped])}"


class _UnreadableError(Exception):
    """Reading failed, for that reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Fragile:
    """A part whose errors are told from those of measuring it."""

    def __init__(self, shard: Any) -> None:
        self._shard = shard
        if hasattr(shard, "one_by_one"):
            self.one_by_one = self._one_by_one

    @property
    def name(self) -> str:
        return str(self._shard.name)

    @property
    def fingerprint(self) -> str:
        return str(self._shard.fingerprint)

    @property
    def num_rows(self) -> int | None:
        return self._shard.num_rows

    @property
    def row_of_first(self) -> int:
        return getattr(self._shard, "row_of_first", 0)

    def __call__(self) -> Iterator[Batch]:
        return _guarded(lambda: iter(self._shard()))

    def _one_by_one(self) -> Iterator[tuple[str, Iterator[Any]]]:
        for name, arrays in _guarded(lambda: iter(self._shard.one_by_one())):
            yield name, _guarded(lambda arrays=arrays: iter(arrays))  # type: ignore[misc]


def _guarded(begin: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    try:
        yield from begin()
    except DataError as error:
        raise _UnreadableError(str(error)) from error
