"""Any executor of `concurrent.futures`: Dask's `client.get_executor()`, loky, mpi4py's MPIPoolExecutor.

The one law: as many tasks wait in line as keep its workers busy, and when nothing comes back for long, others are asked, too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from dataclasses import dataclass
from typing import Any

from tfnorm.engines import Task
from tfnorm.errors import ChoiceError
from tfnorm.patience import PATIENCE

_log = logging.getLogger("tfnorm")


@dataclass(frozen=True)
class Executors:
    """Workers behind an executor, which whoever made it shuts down."""

    executor: Executor
    parallel: int = 64  # about as many workers; no executor tells
    patience: float = (
        PATIENCE  # seconds without any result after which what is waited for is given to other workers, too
    )

    def __call__(self, work: Callable[[Task], bytes], tasks: Sequence[Task]) -> Iterator[bytes]:
        try:
            yield from submitted(self.executor, work, tasks, 4 * self.parallel, self.patience, copies=2)
        except BrokenExecutor as error:
            raise ChoiceError(
                f"the executor has lost its workers ({error}), and only whoever made it can replace them. Make a new one and "
                "run again; with checkpoint=FOLDER it goes on where it stopped."
            ) from error


def submitted(
    executor: Any, work: Callable[[Task], bytes], tasks: Sequence[Task], window: int, patience: float, copies: int
) -> Iterator[bytes]:
    """Results as they come; at most `window` tasks wait at once. BrokenExecutor where its workers are gone.

    Each time that nothing came for `patience` seconds, what is waited for is submitted once more, `copies` times in all; then
    it is given up.
    """
    waiting: dict[Future[bytes], Task] = {}
    todo = iter(tasks)
    more, copied = 0, False  # how often in a row nothing came; whether some tasks wait twice
    try:
        while True:
            while len(waiting) < window and (task := next(todo, None)) is not None:
                waiting[executor.submit(work, task)] = task
            if not waiting:
                return
            finished, _ = wait(waiting, timeout=patience, return_when=FIRST_COMPLETED)
            for future in finished:
                task = waiting.pop(future)
                try:
                    message = future.result()
                except BrokenExecutor:
                    raise
                except (Exception, CancelledError) as error:  # its worker died, or could not be sent it
                    _log.warning("a task was lost: %s: %s", type(error).__name__, error)
                    continue
                if copied:
                    waiting = _without(waiting, task)
                more = 0
                yield message
            if not finished:
                more += 1
                _log.warning("nothing came back for %g seconds: %d tasks are given to others", patience, len(waiting))
                if more >= copies:
                    return
                copied = True
                waiting |= {executor.submit(work, task): task for task in list(waiting.values())}
    finally:
        for future in waiting:
            future.cancel()


def _without(waiting: dict[Future[bytes], Task], task: Task) -> dict[Future[bytes], Task]:
    """What is waited for once this task is done; copies of it are not."""
    rest = {}
    for future, other in waiting.items():
        if other.number == task.number:
            future.cancel()
        else:
            rest[future] = other
    return rest
