"""Jobs of a Spark session, watched while they run: how far they are, and an end to those that nothing is heard of.

The one law: public API alone; classic sessions (job groups, the status tracker) and Spark Connect (tags, progress handlers) are
the same to whoever waits.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Tasks:
    """Of the stages that have begun: Spark tells no more."""

    done: int = 0
    all: int = 0
    running: int = 0


def is_connect(session: Any) -> bool:
    """Whether it is one of Spark Connect: it has neither a context nor accumulators."""
    return ".connect." in type(session).__module__


class Jobs:
    """What is run as one of these is counted, and can be cancelled; a context, in which that is so."""

    def __init__(self, session: Any) -> None:
        self._session, self._tag = session, f"tfnorm-{secrets.token_hex(8)}"
        self._connect = is_connect(session)
        self._operations: dict[Any, Tasks] = {}  # of Spark Connect
        self.tasks, self._since = Tasks(), time.monotonic()

    def __enter__(self) -> Jobs:
        if hasattr(self._session, "registerProgressHandler") and self._connect:
            self._session.registerProgressHandler(self._told)
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self._session, "removeProgressHandler") and self._connect:
            self._session.removeProgressHandler(self._told)

    def of(self, run: Callable[[], T]) -> Callable[[], T]:
        """What runs it as one of these, in any thread, with the settings that this thread has for its jobs."""
        from pyspark import __version__, inheritable_thread_target

        def marked() -> T:
            if self._connect:
                self._session.addTag(self._tag)
            else:
                self._session.sparkContext.setJobGroup(self._tag, "tfnorm")
            return run()

        inherited: Any = inheritable_thread_target
        if int(__version__.split(".")[0]) >= 4:
            return inherited(self._session)(marked)
        return marked if self._connect else inherited(marked)

    def idle(self) -> float:
        """Seconds in which no task has begun or ended, though some are running; looks how many are (`tasks`)."""
        tasks, now = self._count(), time.monotonic()
        if tasks != self.tasks or not tasks.running:  # where none is, they wait for a place
            self.tasks, self._since = tasks, now
        return now - self._since

    def cancel(self) -> None:
        if not self._connect:
            self._session.sparkContext.cancelJobGroup(self._tag)
        elif hasattr(self._session, "interruptTag"):
            self._session.interruptTag(self._tag)

    def _count(self) -> Tasks:
        if self._connect:
            each = list(self._operations.values())
            return Tasks(sum(one.done for one in each), sum(one.all for one in each), sum(one.running for one in each))
        tracker = self._session.sparkContext.statusTracker()
        jobs = [tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup(self._tag)]
        stages = {stage for job in jobs if job is not None for stage in job.stageIds}
        found = [one for one in map(tracker.getStageInfo, stages) if one is not None]
        begun = [one for one in found if one.numActiveTasks or one.numCompletedTasks]  # a skipped one never does
        return Tasks(*(sum(one) for one in zip(*_counts(begun), strict=True))) if begun else Tasks()

    def _told(self, stages: Iterable[Any] | None, inflight_tasks: int, operation_id: Any, done: bool) -> None:
        """By Spark Connect, of any operation of the session; the names are Spark's."""
        found = list(stages or ())
        completed, every = sum(one.num_completed_tasks for one in found), sum(one.num_tasks for one in found)
        self._operations[operation_id] = Tasks(completed, every, 0 if done else inflight_tasks)


def _counts(stages: Iterable[Any]) -> list[tuple[int, int, int]]:
    return [(one.numCompletedTasks, one.numTasks, one.numActiveTasks) for one in stages]
