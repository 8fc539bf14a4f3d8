"""Files that are there whole or not at all.

The one law: whoever reads a path finds what was there before or what was written, never a part of it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

PART = ".tfnorm."  # how the names of files begin that are being written


def write_atomically(path: Any, data: bytes, *, durable: bool = True) -> None:
    """A reader of `path` finds the old file or the new one, never a part; where writing fails, the old one stays.

    durable: also when the machine itself stops, which waits for the disk.
    """
    target = Path(os.fspath(path))
    if target.is_symlink():
        target = target.resolve()
    if target.exists() and not target.is_file():  # a pipe or a device is written through, not replaced
        target.write_bytes(data)
        return
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: there is no folder {target.parent}. Make it first.")
    handle, beside = tempfile.mkstemp(prefix=PART, suffix=".part", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(beside).chmod(mode)
        Path(beside).replace(target)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    if durable and hasattr(os, "O_DIRECTORY"):  # the rename itself is on the disk once the folder is
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
