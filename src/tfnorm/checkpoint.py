"""What was measured of each part of the files, kept in a folder: a fit that was stopped goes on, one with more files adds them.

The one law: a pass with a checkpoint gives the bits of one without, however often it was stopped and whatever the folder holds.

A part's statistics lie in a file of their own, named after the part and what was asked of it; it tells the part's fingerprint
(name, size, time), a digest of the file's content at both ends, and a checksum over all. What is not whole, or of other
content, is measured again. Files are written beside and renamed, so that several runs may share a folder.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tfnorm
from tfnorm.codec import decode, encode
from tfnorm.errors import ArtefactError, ChoiceError, DataError
from tfnorm.gather import Measure, Measured
from tfnorm.grouped import Grouped
from tfnorm.sources import Shard
from tfnorm.sources.remote import input_file
from tfnorm.statistics import Statistic
from tfnorm.writing import PART, write_atomically

MARK = "tfnorm-checkpoint"  # a file that says whose folder it is
SAMPLE_BYTES = 1 << 16
_log = logging.getLogger("tfnorm")


@dataclass(frozen=True)
class State:
    """What was measured of a part, as it is written."""

    num_rows: int
    num_shards: int
    digest: str
    statistics: tuple[Statistic, ...]
    grouped: tuple[Grouped, ...]

    @classmethod
    def of(cls, measured: Measured) -> State:
        statistics, grouped = tuple(measured.statistics.values()), tuple(measured.grouped.values())
        return cls(measured.num_rows, measured.num_shards, measured.digest, statistics, grouped)

    def measured(self, nothing: Measured) -> Measured:
        """The other way; ArtefactError where it is not of the same kinds and columns as `nothing`, of no rows, is."""
        statistics: Mapping[type[Statistic], Statistic] = {type(one): one for one in self.statistics}
        grouped = {one.keys.names: one for one in self.grouped}
        same = [(kind, one.features) for kind, one in statistics.items()] == [
            (kind, one.features) for kind, one in nothing.statistics.items()
        ] and [(by, one.features, [*map(type, one.statistics)]) for by, one in grouped.items()] == [
            (by, one.features, [*map(type, one.statistics)]) for by, one in nothing.grouped.items()
        ]
        flawed = any(one.flaw() for one in self.statistics) or any(one.flaw() for one in self.grouped)
        if not same or flawed or self.num_rows < 0:
            raise ArtefactError("not the statistics that are asked for")
        return Measured(self.num_rows, self.num_shards, statistics, self.digest, grouped)


@dataclass(frozen=True)
class Recorded:
    """A `Measure` that looks in the folder first, and keeps there what it has measured."""

    measure: Measure
    run: Callable[[Shard], Measured]  # the measure, or what skips what it cannot read
    folder: Path
    asked: str  # digest of what is gathered

    def __call__(self, shard: Shard) -> Measured:
        path = self.folder / f"{_digest(self.asked, shard.name)[:40]}.json"
        try:
            content = _content(shard)
        except OSError:  # whose reading says what is the matter
            return self.run(shard)
        there = self._there(path, shard, content)
        if there is not None:
            if self.measure.on_rows is not None:
                self.measure.on_rows(there.num_rows)
            return there
        measured = self.run(shard)
        if measured.skipped:  # may be mended before the next run
            return measured
        state = json.dumps(encode(State.of(measured), level=1), allow_nan=False)
        head = {"part": shard.name, "fingerprint": shard.fingerprint, "content": content, "checksum": _digest(state)}
        try:
            write_atomically(path, f"{json.dumps(head)}\n{state}\n".encode(), durable=False)
        except OSError as error:
            raise DataError(
                f"{path}: the checkpoint cannot be written: {error.strerror or error}. Free the disk, or choose another folder; "
                "what was recorded so far is kept."
            ) from error
        return measured

    def _there(self, path: Path, shard: Shard, content: str) -> Measured | None:
        """What the folder has of this part as it is now; None where it has nothing, or of what it was before."""
        try:
            first, state = path.read_text().split("\n")[:2]
            head = json.loads(first)
            if head["checksum"] != _digest(state):
                raise ValueError("checksum")
            if head["fingerprint"] != shard.fingerprint or head["content"] != content:
                _log.info("%s: it has changed since it was recorded, and is read again", shard.name)
                return None
            return decode(State, json.loads(state)).measured(self.measure.nothing())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            _log.info("%s: what was recorded of it is damaged, and it is read again", shard.name)
            return None


def recorded(measure: Measure, run: Callable[[Shard], Measured], folder: Any) -> Recorded:
    """The measure with a checkpoint in that folder, which is made where it is not there."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        mark = path / MARK
        if not mark.exists():
            others = [one for one in path.iterdir() if not one.name.startswith(PART)]
            if others and not mark.exists():  # which another run may have written meanwhile
                raise ChoiceError(f"{path}: the folder is not empty, and no checkpoint. Name a new folder.")
            write_atomically(mark, b"Parts of files that tfnorm has measured. May be deleted when the fit is saved.\n")
    except OSError as error:
        raise ChoiceError(
            f"{path}: cannot hold a checkpoint: {error.strerror or error}. Name another folder."
        ) from error
    wants = [
        [
            encode(want.column),
            want.via,
            encode(want.step),
            [kind.__name__ for kind in want.kinds],
            want.through,
            want.by,
        ]
        for want in measure.wants
    ]
    asked = [tfnorm.__version__, wants, sorted(measure.infinite), measure.rows, measure.weight]
    return Recorded(measure, run, path, _digest(json.dumps(asked, sort_keys=True)))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()


def _content(shard: Any) -> str:
    """Digest of the content of a part's file, or of its files."""
    return _digest(*map(_sample, shard.paths)) if hasattr(shard, "paths") else _sample(str(shard.path))


def _sample(path: str) -> str:
    """Digest of the first and the last bytes of a file: size and time alone may stay as they were when the content changed."""
    if Path(path).is_dir():  # of which its stamp tells all that is told
        return ""
    with input_file(path) as file:
        head = file.read(SAMPLE_BYTES)
        file.seek(max(0, file.size() - SAMPLE_BYTES))
        return hashlib.sha256(head + file.read()).hexdigest()
