"""What the tests of clusters share: files, and a fault in the middle of a fit."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import tfnorm

CHOICE = {"a": "robust", "b": ["yeo_johnson", "standard"], "c": "standard.by('k')", "v": "whiten"}
PLAIN = {"a": "robust", "b": "minmax"}  # for what has no weights
EACH = [(CHOICE, {}), (PLAIN, {"weight": "w"}), (CHOICE, {"full": True}), (CHOICE, {"exact": True})]
LONG = ["robust", "standard"]


def table(seed: int, rows: int) -> Any:
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 9, rows)
    b = pa.array(rng.lognormal(size=rows), mask=rng.random(rows) < 0.1)
    columns = {"a": rng.normal(1e6, 1, rows), "b": b, "c": rng.normal(keys), "k": keys, "w": rng.integers(0, 4, rows)}
    return pa.table({**columns, "v": pa.FixedSizeListArray.from_arrays(rng.normal(size=rows * 3), 3)})


def write(folder: Path, files: int, rows: int, groups: int) -> Path:
    """Files of as many row groups each."""
    folder.mkdir(exist_ok=True)
    for number in range(files):
        pq.write_table(table(number, rows * groups), folder / f"part-{number}.parquet", row_group_size=rows)
    return folder


def same(first: Any, second: Any) -> bool:
    return bool(first.profile == second.profile and first.fingerprint == second.fingerprint)


def loaded() -> list[str]:
    import sys

    assert "tfnorm.measuring" in sys.modules
    return [name for name in ("tensorflow", "keras", "sklearn") if name in sys.modules]


@dataclass
class Once:
    """A callback that does something when the first parts are measured, and remembers how far it was."""

    do: Callable[[], Any]
    done: list[int] = field(default_factory=list)
    share: float | None = None

    def __call__(self, progress: Any) -> None:
        self.done.append(progress.done)
        if self.share is None:
            self.share = progress.share
            self.do()

    @property
    def in_the_middle(self) -> bool:
        return self.share is not None and self.share < 0.5 and len(self.done) > 1


def kill(pids: Iterable[int], signum: int = signal.SIGKILL) -> int:
    """The first of these processes."""
    pid = next(iter(pids))
    os.kill(pid, signum)
    return pid


def fitted_here(folder: Path, choice: Any, **options: Any) -> Any:
    return tfnorm.fit(folder, choice, workers=1, **options)
