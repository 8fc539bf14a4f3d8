"""What was measured of each part of the files, kept in a folder: a fit that was stopped goes on, one with more files adds them.

The one law: a pass with a checkpoint gives the bits of one without, however often it was stopped and whatever the folder holds.

A part's statistics lie in a file of their own, named after the part and what was asked of it; it tells the part's fingerprint
(name, size, time), a digest of the file's content at both ends, and a checksum over all. What is not whole, or of other
content, is measured again. Files are written beside and renamed, so that several runs may share a folder.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfnorm.errors import ArtefactError, ChoiceError, DataError
from tfnorm.measuring import Measure, Measured
from tfnorm.messages import head_of, relabelled
from tfnorm.sources import Shard
from tfnorm.sources.remote import input_file
from tfnorm.states import asked_of, digest, read, written
from tfnorm.writing import PART, write_atomically

MARK = "tfnorm-checkpoint"  # a file that says whose folder it is
SAMPLE_BYTES = 1 << 16
_log = logging.getLogger("tfnorm")


@dataclass(frozen=True)
class Recorded:
    """A `Measure` that looks in the folder first, and keeps there what it has measured."""

    measure: Measure
    run: Callable[[Shard], Measured]  # the measure, or what skips what it cannot read
    folder: Path
    asked: str  # digest of what is gathered

    def __call__(self, shard: Shard) -> Measured:
        measured = self.there(shard)
        if measured is not None:
            if self.measure.on_rows is not None:
                self.measure.on_rows(measured.num_rows)
            return measured
        content = self.content(shard)
        measured = self.run(shard)
        self.keep(shard, measured, content)
        return measured

    def there(self, shard: Shard) -> Measured | None:
        """What the folder has of this part as it is now; None where it has nothing, or of what it was before."""
        try:
            data = self._path(shard).read_bytes()
            head = head_of(data)
            content = self.content(shard)
            if content is None or (head.get("fingerprint"), head.get("content")) != (shard.fingerprint, content):
                _log.info("%s: it has changed since it was recorded, and is read again", shard.name)
                return None
            return read(data, self.measure.nothing())
        except FileNotFoundError:
            return None
        except (OSError, ArtefactError):
            _log.info("%s: what was recorded of it is damaged, and it is read again", shard.name)
            return None

    def keep(self, shard: Shard, measured: Measured, content: str | None, message: bytes | None = None) -> None:
        """content: digest of it before it was measured; None where it could not be read then. message: it as a worker sent it."""
        if measured.skipped or content is None:  # may be mended before the next run
            return
        path = self._path(shard)
        head = {"part": shard.name, "fingerprint": shard.fingerprint, "content": content}
        data = written(measured, **head) if message is None else relabelled(message, **head)
        try:
            write_atomically(path, data, durable=False)
        except OSError as error:
            raise DataError(
                f"{path}: the checkpoint cannot be written: {error.strerror or error}. Free the disk, or choose another folder; "
                "what was recorded so far is kept."
            ) from error

    def _path(self, shard: Shard) -> Path:
        return self.folder / f"{digest(self.asked, shard.name)[:40]}.json"

    def content(self, shard: Any) -> str | None:
        """Digest of the content of a part's file, or of its files; None where it cannot be read, which its reading tells."""
        try:
            return digest(*map(_sample, shard.paths)) if hasattr(shard, "paths") else _sample(str(shard.path))
        except OSError:
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
    return Recorded(measure, run, path, asked_of(measure))


def _sample(path: str) -> str:
    """Digest of the first and the last bytes of a file: size and time alone may stay as they were when the content changed."""
    if Path(path).is_dir():  # of which its stamp tells all that is told
        return ""
    with input_file(path) as file:
        head = file.read(SAMPLE_BYTES)
        file.seek(max(0, file.size() - SAMPLE_BYTES))
        return hashlib.sha256(head + file.read()).hexdigest()
