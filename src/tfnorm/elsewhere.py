"""A pass by workers elsewhere: what goes out to them, and what is taken of what comes back.

The one law: the statistics are those of one thread here, bit for bit, whatever workers die, repeat or make up.

Out go parts by description (a path, a row group) and what is to be gathered; back comes JSON in the format of artefacts with
its arrays behind it, which is decoded and checked as any file is. A state counts once, where it is of the parts that were asked
for.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tfnorm import errors
from tfnorm.checkpoint import Recorded
from tfnorm.engines import TASKS, Fold, LostError, Remote, Task, cut, deliver, folded
from tfnorm.errors import ArtefactError, DataError, TfnormError
from tfnorm.measuring import Measure, Measured
from tfnorm.messages import head_of
from tfnorm.progress import Meter
from tfnorm.sources import Shard
from tfnorm.states import asked_of, read, written

MANY = 32  # states that wait for a neighbour and are held as they are
ADDERS = 3  # threads that add states up: as many as one keeps busy that reads them


@dataclass(frozen=True)
class Job:
    """What a worker does with a task: picklable."""

    run: Callable[[Shard], Measured]  # the measure, or what skips what it cannot read
    asked: str  # digest of what is gathered

    def __call__(self, task: Task) -> bytes:
        return self.sum(task.number, map(self.run, task.shards))

    def sum(self, number: int, parts: Iterable[Measured]) -> bytes:
        """What was measured of neighbours, as one message under that number."""

        def answer(head: dict[str, Any]) -> bytes:
            return written(folded(operator.add, parts), **head)

        return answered(number, self.asked, answer)


def answered(number: int, asked: str, answer: Callable[[dict[str, Any]], bytes]) -> bytes:
    """What a worker sends: its answer under a head that says of what it is, or why there is none."""
    head = {"task": number, "asked": asked}
    try:
        return answer(head)
    except TfnormError as error:  # is the same wherever it is read
        head |= {"error": type(error).__name__, "message": str(error)}
    except Exception as error:  # of this worker, perhaps: it is tried again
        head |= {"failed": f"{type(error).__name__}: {error}"}
    return f"{json.dumps(head)}\n".encode()


def answer_of(message: bytes, asked: str) -> dict[str, Any]:
    """The head of an answer, "task" its number; the worker's error where it sent one, LostError where it is of no use."""
    try:
        head = head_of(message)
    except ArtefactError as error:
        raise LostError(str(error)) from None
    number = head.get("task")
    if head.get("asked") != asked or type(number) is not int or number < 0:
        raise LostError("it is of another job")
    if "error" in head:
        kind = getattr(errors, str(head["error"]), TfnormError)
        raise kind(str(head.get("message")))
    if "failed" in head:
        raise LostError(str(head["failed"]))
    return head


@dataclass(frozen=True)
class Reader:
    """The driver's side of a job."""

    job: Job
    nothing: Measured
    tasks: dict[int, Task] | None  # None where the workers have the parts, and tell which

    def __call__(self, message: bytes) -> tuple[int, tuple[Measured, bytes]]:
        number = answer_of(message, self.job.asked)["task"]
        try:
            measured = read(message, self.nothing)
        except ArtefactError as error:
            raise LostError(str(error)) from None
        if self.tasks is not None and not _is_of(measured, self.tasks.get(number)):
            raise LostError("it is of other parts")
        return number, (measured, message)


@dataclass(frozen=True)
class Held:
    """What workers do with parts that they hold already: a job that folds on the way, too. Picklable."""

    job: Job
    nothing: Measured

    def __call__(self, task: Task) -> bytes:
        return self.job(task)

    def part(self, number: int, shard: Shard) -> bytes:
        """The message of a part, of that number among all."""
        return self.job.sum(number, map(self.job.run, [shard]))

    def joined(self, number: int, messages: Iterable[bytes]) -> bytes:
        """Those of neighbouring parts, in their order, as one. It stands for them in the tree where they are a whole branch of
        it, or what there is of the last one; `number` counts the branches."""
        reader = Reader(self.job, self.nothing, None)
        return self.job.sum(number, (reader(message)[1][0] for message in messages))


def _is_of(measured: Measured, task: Task | None) -> bool:
    if task is None or measured.num_shards != len(task.shards):
        return False
    return bool(measured.skipped) or measured.digest == _digest(task)


def _digest(task: Task) -> str:
    """As adding up the states of these parts gives it."""

    def both(first: str, second: str) -> str:
        return hashlib.sha256((first + second).encode()).hexdigest()

    fingerprints = (shard.fingerprint.encode("utf-8", "surrogatepass") for shard in task.shards)
    return folded(both, (hashlib.sha256(one).hexdigest() for one in fingerprints))


class Folding:
    """States as they come, added up in the tree of their order, by threads beside the one that reads them.

    Of those that wait for a neighbour only MANY are held as they are; the others as the message they came as, a fifth as large.
    """

    def __init__(self, nothing: Measured) -> None:
        self._nothing = nothing
        self._fold: Fold[_Waiting] = Fold(self._submitted)
        # one takes what was submitted first, so that what it waits for is always done or being done
        self._adders = ThreadPoolExecutor(ADDERS, "tfnorm-fold")
        self._adding: deque[Future[Measured]] = deque()

    def put(self, index: int, measured: Measured, height: int = 0, message: bytes | None = None) -> None:
        waiting, before = _Waiting(measured, message), len(self._fold)
        self._fold.put(index, waiting, height)
        if len(self._fold) > max(before, MANY) and message is not None:  # its neighbour is not there
            waiting.state = None
        while len(self._adding) > 2 * ADDERS:  # each holds two states
            self._adding.popleft().result()

    def total(self) -> Measured | None:
        total = self._fold.total()
        try:
            return None if total is None else self._opened(total)
        finally:
            self._adders.shutdown()

    def __len__(self) -> int:
        return len(self._fold)

    def _submitted(self, a: _Waiting, b: _Waiting) -> _Waiting:
        self._adding.append(self._adders.submit(lambda: self._opened(a) + self._opened(b)))
        return _Waiting(self._adding[-1])

    def _opened(self, waiting: _Waiting) -> Measured:
        state = waiting.state
        if state is None:
            assert waiting.message is not None
            return read(waiting.message, self._nothing)
        return state.result() if isinstance(state, Future) else state


@dataclass
class _Waiting:
    state: Measured | Future[Measured] | None  # as it is, being added up, or in the message alone
    message: bytes | None = None


def measured_elsewhere(
    engine: Remote, work: Callable[[Shard], Measured], measure: Measure, shards: Iterable[Shard], meter: Meter | None
) -> Measured | None:
    """The statistics of all shards; None where there are none. `work` is the measure, or what is around it."""
    folding = Folding(measure.nothing())
    records = work if isinstance(work, Recorded) else None
    before: dict[int, str | None] = {}  # task -> digest of its content before it was measured

    def done(measured: Measured, parts: Iterable[Shard]) -> None:
        if meter is not None:
            meter.add(measured.num_rows, sum(getattr(shard, "num_bytes", 0) for shard in parts))

    if records is None:
        tasks = cut(list(shards), engine.parallel, getattr(engine, "tasks_each", TASKS))
    else:  # part by part, as each is kept
        tasks = []
        for index, shard in enumerate(shards):
            there = records.there(shard)
            if there is None:
                before[len(tasks)] = records.content(shard)
                tasks.append(Task(len(tasks), index, 0, (shard,)))
            else:
                folding.put(index, there)
                done(there, [shard])
    job = Job(work if records is None else records.run, asked_of(measure))
    reader = Reader(job, measure.nothing(), {task.number: task for task in tasks})
    for task, (measured, message) in deliver(engine, job, tasks, reader):
        if records is not None:
            records.keep(task.shards[0], measured, before[task.number], message)
        folding.put(task.index, measured, task.height, message)
        done(measured, task.shards)
    return folding.total()


def measured_there(
    states: Callable[[Held, Callable[[int, int], None]], Iterable[bytes]], measure: Measure, meter: Meter | None
) -> Measured | None:
    """The statistics of parts that the workers have already, in the order of their numbers, which count from 0.

    states: takes what turns a part into bytes, and what is told how many parts are done, of how many that are known of; gives
        these bytes, of each part (or branch of parts) once or more often.
    """
    told: Callable[[int, int], None] = (lambda *_: None) if meter is None else meter.parts
    held = Held(Job(measure, asked_of(measure)), measure.nothing())
    reader = Reader(held.job, held.nothing, None)
    folding = Folding(measure.nothing())
    seen: set[int] = set()
    for message in states(held, told):
        try:
            number, (measured, _) = reader(message)
        except LostError as error:
            raise DataError(f"a worker failed: {error}. The workers' logs tell more.") from None
        if number not in seen:
            seen.add(number)
            folding.put(number, measured, 0, message)
            if meter is not None:
                meter.add(measured.num_rows)
    if seen and max(seen) >= len(seen):
        raise DataError(f"{max(seen) + 1 - len(seen)} parts of the data were not measured. Run it again.")
    if meter is not None:
        meter.ends_here()
    return folding.total()
