"""Who runs a pass.

The one law: an engine computes `fold(map(measure, shards))` and nothing else; shards are folded in the fixed tree of their
order, so the result has the same bits for any number of workers, in whatever order they deliver, and however often.

On one machine threads measure and fold (`threads.py`). Elsewhere (`Remote`, a file each) tasks go out, a run of neighbouring
shards each, and bytes come back, which are checked before they count.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from tfnorm.errors import DataError
from tfnorm.patience import ATTEMPTS

T = TypeVar("T")
TASKS = 16  # to each worker, so that none is idle for long at the end
LONGEST = 8  # 2**LONGEST neighbours are a task at most: who is at work for longer than PATIENCE is taken to hang
_log = logging.getLogger("tfnorm")


class Fold(Generic[T]):
    """Adds states in the tree of a binary counter: neighbours of the same weight as soon as both are there.

    Where they come in order, never more than log2(n) are held; else as many for each gap. `total` is None where none came.

    >>> fold = Fold(lambda a, b: f"({a}+{b})")
    >>> for letter in "abcde":
    ...     fold.push(letter)
    >>> fold.total()
    '(((a+b)+(c+d))+e)'
    >>> other = Fold(lambda a, b: f"({a}+{b})")
    >>> other.put(4, "e"), other.put(1, "(c+d)", height=1), other.put(1, "b"), other.put(0, "a"), other.total()
    (None, None, None, None, '(((a+b)+(c+d))+e)')
    """

    def __init__(self, add: Callable[[T, T], T]) -> None:
        self._add = add
        self._next = 0
        self._nodes: dict[tuple[int, int], T] = {}  # (height, index among those of this height) -> state

    def push(self, state: T) -> None:
        """The next one."""
        self.put(self._next, state)
        self._next += 1

    def put(self, index: int, state: T, height: int = 0) -> None:
        """That of the `2**height` neighbours from `index * 2**height` on, or of the last ones from there."""
        while (neighbour := (height, index ^ 1)) in self._nodes:
            other = self._nodes.pop(neighbour)
            state = self._add(other, state) if index & 1 else self._add(state, other)
            height, index = height + 1, index >> 1
        self._nodes[height, index] = state

    def __len__(self) -> int:
        """How many are held."""
        return len(self._nodes)

    def total(self) -> T | None:
        nodes = sorted(self._nodes.items(), key=lambda node: node[0][1] << node[0][0])
        if not nodes:
            return None
        *others, (_, total) = nodes
        for _, state in reversed(others):
            total = self._add(state, total)
        return total


def folded(add: Callable[[T, T], T], states: Iterable[T]) -> T:
    """All of them, one at least, in the fixed tree."""
    fold: Fold[T] = Fold(add)
    for state in states:
        fold.push(state)
    total = fold.total()
    assert total is not None
    return total


@dataclass(frozen=True)
class Task:
    """Neighbouring shards that one worker measures and folds: `2**height` from `index * 2**height` on, or the last ones."""

    number: int  # among the tasks of a pass
    index: int
    height: int
    shards: tuple[Any, ...]


class Remote(Protocol):
    """Workers that share no memory with us. `tasks_each`, where an engine has it, says how many tasks a worker is to get: fewer
    than TASKS, where each costs much to start."""

    @property
    def parallel(self) -> int:
        """About how many work at once."""

    def __call__(self, work: Callable[[Task], bytes], tasks: Sequence[Task]) -> Iterator[bytes]:
        """What `work` gave for each task, in any order. Some may be lost, and some come twice. An engine that knows why some
        are lost ends with a LostError that says so."""


class LostError(Exception):
    """What came back is of no use, for that reason; it is asked for again."""


def cut(shards: Sequence[Any], parallel: int, each: int = TASKS, longest: int = LONGEST) -> list[Task]:
    """Shards as tasks: runs as long as leave every worker so many, and no longer than 2**longest, each a branch of the tree, the
    last one what there is of it.

    >>> [len(task.shards) for task in cut(range(5), 2)], [len(task.shards) for task in cut(range(67), 1)][-3:]
    ([1, 1, 1, 1, 1], [4, 4, 3])
    """
    height = min(longest, max(0, (len(shards) // (each * max(1, parallel))).bit_length() - 1))
    starts = range(0, len(shards), 1 << height)
    return [Task(number, number, height, tuple(shards[i : i + (1 << height)])) for number, i in enumerate(starts)]


def deliver(
    engine: Remote, work: Callable[[Task], bytes], tasks: Sequence[Task], read: Callable[[bytes], tuple[int, T]]
) -> Iterator[tuple[Task, T]]:
    """Each task's result once, in the order in which they come.

    read: what a worker sent as (number of the task, result); LostError where it is damaged or somebody else's.
    What is lost is asked for again; DataError where nothing new came ATTEMPTS times.
    """
    left = {task.number: task for task in tasks}
    reason, failed = "nothing came back", 0
    while left:
        before = len(left)
        messages = engine(work, list(left.values()))
        try:
            while True:
                try:
                    message = next(messages, None)  # an engine that knows why some are lost says so at its end
                    if message is None:
                        break
                    number, value = read(message)
                except LostError as error:
                    reason = str(error)
                    _log.warning("a worker's result is of no use, and asked for again: %s", reason)
                    continue
                task = left.pop(number, None)
                if task is not None:  # else it came twice
                    yield task, value
        finally:
            if hasattr(messages, "close"):
                # of a generator workers stop when this one is left, not when it is collected
                messages.close()
        failed = failed + 1 if len(left) == before else 0
        if failed == ATTEMPTS:
            first = next(iter(left.values())).shards[0]
            others = f", nor could {len(left) - 1} other tasks" if len(left) > 1 else ""
            raise DataError(
                f"{getattr(first, 'name', first)}: could not be measured by {type(engine).__name__.lower()} in {ATTEMPTS} "
                f'attempts{others}: {reason}. The workers\' logs tell more; engine="threads" reads it here.'
            )
