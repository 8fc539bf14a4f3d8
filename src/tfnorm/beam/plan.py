"""Files measured by a pipeline: runs of neighbouring parts, folded in the fixed tree in two levels.

The one law: the bits are those of one thread. A run is a whole branch of the tree, and so are FAN runs: whoever folds them holds
no more than these.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tfnorm.beam.partial import Asked, needed
from tfnorm.engines import Task, cut, folded
from tfnorm.errors import DataError
from tfnorm.gather import finished, profile_of, refuse_weightless
from tfnorm.measuring import Measure, Measured
from tfnorm.profile import Column, Profile, Skipped
from tfnorm.skipping import Skipping
from tfnorm.sources import Absent, OnError, Shard, open_source
from tfnorm.sources.images import with_encoded
from tfnorm.sources.remote import shown
from tfnorm.states import read, written

FAN = 64  # a power of two; runs of any length are less than FAN * FAN
ANY = 64  # as a height: of a run of any length, since a pipeline has no patience that it could try
Numbered = tuple[int, bytes]  # place among those of a level, and what was measured


@dataclass(frozen=True)
class Plan:
    """What is to be measured of some files, and by what: picklable."""

    source: str
    bare: bool
    columns: tuple[Column, ...]
    measure: Measure
    run: Callable[[Shard], Measured]  # the measure, or what skips what it cannot read
    runs: tuple[Task, ...]
    skipped: tuple[Skipped, ...]

    @classmethod
    def of(cls, paths: Sequence[str], asked: Asked, on_error: OnError, absent: Absent) -> Plan:
        """Their parts in runs of 2**height, the last one shorter."""
        data = paths[0] if len(paths) == 1 else list(paths)
        opened: Any = open_source(data, weight=asked.weight, on_error=on_error, absent=absent)
        opened = with_encoded(opened, asked.names or (), on_error)
        columns, measure = asked.of(opened)
        shards = list(opened.shards(needed(columns, measure.wants)))
        skipped = tuple(Skipped(shown(path), reason) for path, reason in getattr(opened, "skipped", ()))
        run = Skipping(measure) if on_error == "skip" else measure
        return cls(
            opened.name, opened.bare, tuple(columns), measure, run, tuple(cut(shards, FAN, longest=ANY)), skipped
        )

    def tasks(self) -> Iterator[tuple[Callable[[Shard], Measured], Task]]:
        for task in self.runs:
            yield self.run, task

    def folded(self, group: int, numbered: Iterable[Numbered]) -> Numbered:
        """Neighbours of one level as one of the next."""
        states = (read(state, self.measure.nothing()) for _, state in sorted(dict(numbered).items()))
        return group, written(folded(operator.add, states))

    def profile(self, state: bytes | None) -> Profile:
        """When all is folded; None where there was nothing to fold."""
        total = None if state is None else read(state, self.measure.nothing())
        skipped = (*self.skipped, *(total.skipped if total else ()))
        if total is None or total.num_rows == 0:
            reason = f"nothing could be read: {skipped[0].reason}" if skipped else "there are no rows"
            raise DataError(f"{self.source}: {reason}")
        if total.num_shards != sum(len(task.shards) for task in self.runs):
            raise DataError(f"{self.source}: {total.num_shards} parts of {sum(len(t.shards) for t in self.runs)} came.")
        profile = finished(profile_of(self.source, self.bare, self.columns, self.measure.wants, total, skipped))
        refuse_weightless(profile)
        return profile


def measured(run: Callable[[Shard], Measured], task: Task) -> Numbered:
    """What a worker does with a run."""
    return task.number, written(folded(operator.add, map(run, task.shards)))
