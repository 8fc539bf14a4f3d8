"""Files in, files out, by workers elsewhere: a file a task.

The one law: what is written is what one process writes, each file whole or not at all, whatever worker dies over it.

The fit lies as a file beside the output, where the workers must find the folder, too.
"""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tfnorm.artefact import load
from tfnorm.elsewhere import answer_of, answered
from tfnorm.engines import LostError, Remote, Task, deliver
from tfnorm.fitted import Fitted

Write = Callable[[Fitted, str, Path, bool, Sequence[str], str | None, None], int]


@dataclass(frozen=True)
class FileOut:
    """A file that is to be written."""

    name: str
    target: str


@dataclass(frozen=True)
class Writing:
    """What a worker does with a task: picklable."""

    write: Write
    fit: str  # the path of the artefact
    asked: str  # whose answers are taken
    inverse: bool
    only: tuple[str, ...]
    delimiter: str | None

    def __call__(self, task: Task) -> bytes:
        def answer(head: dict[str, Any]) -> bytes:
            fitted = _loaded(self.fit)
            fitted.fired.clear()
            (file,) = task.shards
            target = Path(file.target)
            # a name of its own: another worker may be at the same file
            beside = target.with_name(f".{secrets.token_hex(4)}.{target.name}")
            try:
                rows = self.write(fitted, file.name, beside, self.inverse, self.only, self.delimiter, None)
                beside.replace(target)
            finally:
                beside.unlink(missing_ok=True)
            fired = [[*which, count] for which, count in fitted.fired.items()]
            return f"{json.dumps({**head, 'rows': rows, 'fired': fired})}\n".encode()

        return answered(task.number, self.asked, answer)


@lru_cache(maxsize=1)
def _loaded(path: str) -> Fitted:
    fitted = load(path)
    assert isinstance(fitted, Fitted)
    return fitted


@dataclass(frozen=True)
class Done:
    """What a worker says of a file that it has written."""

    rows: int
    fired: Counter[tuple[str, str]]


def written_elsewhere(
    engine: Remote,
    write: Write,
    fitted: Fitted,
    files: Sequence[tuple[str, Path]],
    stage: Path,
    *,
    inverse: bool,
    only: Sequence[str],
    delimiter: str | None,
    done: Callable[[int, int], None],
) -> int:
    """Write (input, target) after (input, target); gives the number of rows. `done` is told of a file's number and its rows."""
    fit = stage / f".{secrets.token_hex(8)}.json"
    fitted.save(fit)
    asked = secrets.token_hex(16)

    def read(message: bytes) -> tuple[int, Done]:
        head = answer_of(message, asked)
        try:
            fired = Counter({(str(name), str(policy)): int(count) for name, policy, count in head["fired"]})
            return head["task"], Done(int(head["rows"]), fired)
        except (KeyError, TypeError, ValueError) as error:
            raise LostError(f"not what a worker says of a file: {error}") from None

    tasks = [
        Task(number, number, 0, (FileOut(path, os.fspath(target.absolute())),))
        for number, (path, target) in enumerate(files)
    ]
    work = Writing(write, os.fspath(fit.absolute()), asked, inverse, tuple(only), delimiter)
    rows = 0
    try:
        for task, said in deliver(engine, work, tasks, read):
            rows += said.rows
            fitted.fired.update(said.fired)
            done(task.number, said.rows)
    finally:
        fit.unlink(missing_ok=True)
    return rows
