"""The engine of one machine: threads, since kernels and readers leave Python's lock alone."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from tfnorm.engines import Fold

S = TypeVar("S")
T = TypeVar("T")


def default_workers() -> int:
    """As many threads as this process may use cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Threads:
    """`workers` threads; as many shards again wait in line, so memory stays bounded while none is idle."""

    workers: int

    def __call__(self, measure: Callable[[S], T], shards: Iterable[S], add: Callable[[T, T], T]) -> T | None:
        fold: Fold[T] = Fold(add)
        if self.workers == 1:
            for shard in shards:
                fold.push(measure(shard))
            return fold.total()
        waiting: deque[Future[T]] = deque()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="tfnorm") as pool:
            try:
                for shard in shards:
                    if len(waiting) > self.workers:
                        fold.push(waiting.popleft().result())
                    waiting.append(pool.submit(measure, shard))
                    del shard  # a shard of a stream holds its rows: let them go with its measuring
                while waiting:
                    fold.push(waiting.popleft().result())
            except BaseException:
                for future in waiting:
                    future.cancel()
                raise
        return fold.total()
