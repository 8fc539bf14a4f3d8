"""The engine of one machine in processes of their own, for what holds Python's lock: decoders, loaders, text formats.

The one law: workers that die or hang are replaced, and what they had is given to others.
"""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass

from tfnorm.engines import Task
from tfnorm.engines.executor import submitted
from tfnorm.patience import PATIENCE

_log = logging.getLogger("tfnorm")


@dataclass(frozen=True)
class Processes:
    """`workers` processes, started for a pass and ended with it. A script that uses them says `if __name__ == "__main__":`."""

    workers: int
    patience: float = PATIENCE  # seconds without any result after which all are replaced

    @property
    def parallel(self) -> int:
        return self.workers

    def __call__(self, work: Callable[[Task], bytes], tasks: Sequence[Task]) -> Iterator[bytes]:
        others = set(multiprocessing.active_children())
        # spawned: a forked process would have this one's locks without the threads that hold them
        pool = ProcessPoolExecutor(min(self.workers, len(tasks)), multiprocessing.get_context("spawn"))
        try:
            yield from submitted(pool, work, tasks, 2 * self.workers, self.patience, copies=1)
        except BrokenExecutor:
            _log.warning("a worker process died; what it had is measured again")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.kill()  # also one that hangs
