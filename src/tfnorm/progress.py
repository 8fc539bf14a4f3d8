"""How far a pass is: what is done of how much, in rows and in bytes, and how long the rest will take.

The one law: what is reported is done; it never goes back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tfnorm.errors import ChoiceError


@dataclass(frozen=True)
class Progress:
    """How far it is.

    >>> half = Progress(500, 1000, 0, None, seconds=2.0)
    >>> half.share, half.seconds_left, Progress(500, None, 10, 40, 2.0).share, Progress(500, None, 0, None, 2.0).share
    (0.5, 2.0, 0.25, None)
    """

    done: int  # rows; steps where a network is trained
    total: int | None  # None where only reading would tell; a guess for text files
    num_bytes: int  # of the parts of files that are finished
    total_bytes: int | None
    seconds: float  # since it began
    parts: int = 0  # that workers have done, of data that they hold already; their rows are told at the end
    total_parts: int | None = None

    @property
    def share(self) -> float | None:
        """From 0 to 1, by rows where their number is known, else by bytes, else by parts; None where none is."""
        if self.total:
            return min(1.0, self.done / self.total)
        if self.total_bytes:
            return min(1.0, self.num_bytes / self.total_bytes)
        return self.parts / self.total_parts if self.total_parts else None

    @property
    def seconds_left(self) -> float | None:
        """At the speed so far; None where it cannot be told yet."""
        return self.seconds * (1 / self.share - 1) if self.share else None


Callback = Callable[[Progress], None]


class Meter:
    """Counts what threads report, and tells the callback, one report at a time."""

    def __init__(self, callback: Callback, total: int | None, total_bytes: int | None = None) -> None:
        if not callable(callback):
            raise ChoiceError(f"callback must be a function that takes a tfnorm.Progress, got {callback!r}.")
        self._callback, self._total, self._total_bytes = callback, total, total_bytes
        self._done = self._bytes = 0
        self._parts: tuple[int, int | None] = 0, None
        self._began, self._lock = time.monotonic(), threading.Lock()

    def add(self, done: int, num_bytes: int = 0) -> None:
        """So much more is done."""
        with self._lock:
            self._done += done
            self._bytes += num_bytes
            self._tell()

    def parts(self, done: int, known: int) -> None:
        """So many parts are done in all, of those known of: where more turn up, nothing is told until the share grows."""
        with self._lock:
            before, of = self._parts
            if known and done / known > (before / of if of else 0.0):
                self._parts = done, known
                self._tell()

    def _tell(self) -> None:
        seconds = time.monotonic() - self._began
        self._callback(Progress(self._done, self._total, self._bytes, self._total_bytes, seconds, *self._parts))

    def ends_here(self) -> None:
        """No more will be done than was, which is all there is then."""
        self._total = self._done
        self.add(0)
