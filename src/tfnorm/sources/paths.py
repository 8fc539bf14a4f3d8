"""From paths, globs and folders to files, in sorted order.

The one law: the same pattern over the same files gives the same list, each file once, whatever links lie in the way.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from glob import has_magic
from pathlib import Path
from typing import Any

from tfnorm.errors import DataError
from tfnorm.sources import formats, remote

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

_NONE: frozenset[Path] = frozenset()


def is_path(data: Any) -> bool:
    """Whether it is a path, or a list of paths."""
    if isinstance(data, (list, tuple)):
        return len(data) > 0 and all(isinstance(item, (str, os.PathLike)) for item in data)
    return isinstance(data, (str, os.PathLike))


def is_data(path: str) -> bool:
    """Whether the end of a name is one that we read."""
    return formats.of(path) is not None


def is_image(path: str) -> bool:
    """Whether the end of a name is that of an image."""
    return path.lower().partition("?")[0].endswith(IMAGES)


def find_all(patterns: Iterable[Any]) -> tuple[str, ...]:
    """The files of all patterns, in the order given; one that is found twice is taken once."""
    by_file: dict[str, str] = {}
    real_folder = cache(os.path.realpath)  # of many files in few folders

    def real(path: str) -> str:
        if remote.is_url(path):
            return path
        folder, name = os.path.split(path)
        if name in ("", ".", "..") or os.path.islink(path):  # noqa: PTH114  # Path takes ten times as long
            return os.path.realpath(path)
        return os.path.join(real_folder(folder), name)  # noqa: PTH118

    for pattern in patterns:
        for path in find(pattern):
            by_file.setdefault(real(path), path)
    return tuple(by_file.values())


def find(pattern: str | os.PathLike[Any]) -> list[str]:
    """The files of a path, a glob or a folder, sorted.

    In folders, names that begin with `_` or `.` are left out (they are marks and scraps of whoever writes); a glob
    finds them only where it begins so itself. A folder that a glob finds is searched. Images are taken where there is nothing
    else: a picture beside tables is no data.
    """
    text = os.fsdecode(os.fspath(pattern))
    if not text.strip():  # as of a shell variable that is not set; it would stand for the working directory
        raise DataError(f"path: expected a file, glob or folder, got {text!r}. The working directory is '.'.")
    if "://" in text:
        return remote.find(text, is_data)
    path = Path(text)
    relative = "" if path.is_absolute() else " It is relative to the working directory."
    if is_folder(path):
        found = _below(path)
        none = (
            f"{text}: no data file in folder. Looked for {formats.listed()}, and not for names that begin with _ or ."
        )
    elif path.is_symlink() or path.exists():
        return [str(path)]
    elif has_magic(text):
        anchor = Path(path.anchor) if path.anchor else Path()
        parts = path.parts[1:] if path.anchor else path.parts
        matches = dict.fromkeys(_expand(anchor, parts))
        found = sorted({file for match in matches for file in (_below(match) if is_folder(match) else [str(match)])})
        none = f"{text}: no file matches.{relative}"
    else:
        found = []
        none = f"{text}: no such file or folder.{relative}"
    if not found:
        raise DataError(none)
    return found


def _is_one(name: str) -> bool:
    """Whether a folder of that name is one data set."""
    found = formats.of(name)
    return found is not None and found.folder


def is_folder(path: Path) -> bool:
    """Whether a folder holds files to be found, and is not one data set itself."""
    return path.is_dir() and not _is_one(path.name)


def _names(folder: Path) -> list[str]:
    return [name for name, _ in _listed(folder)]


def _listed(folder: Path) -> list[tuple[str, bool]]:
    """The names in a folder, sorted, and whether each is a folder as `is_folder` has it."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, _is_dir(entry) and not _is_one(entry.name)) for entry in entries)
    except OSError as error:
        raise DataError(f"{folder}: cannot list the folder: {error.strerror}. Allow it, or leave it out.") from error


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a loop: no folder, and whoever reads it says so
        return False


def _below(folder: Path) -> list[str]:
    files = list(_walk(folder, _NONE))
    images = [path for path in files if is_image(path)]
    data = files if len(images) < len(files) else []
    return [path for path in data if not is_image(path) and is_data(path)] or images


def _walk(folder: Path, above: frozenset[Path]) -> Iterator[str]:
    """All files below a folder, in sorted order; links are followed, but not round in a loop. The system tells of a name
    whether it is a folder as it lists it: of many files none is asked for."""
    real = folder.resolve()
    if real in above:
        return
    prefix = "" if folder == Path() else str(folder)
    for name, searched in _listed(folder):
        if name.startswith(("_", ".")):
            continue
        if searched:
            yield from _walk(folder / name, above | {real})
        else:
            yield os.path.join(prefix, name)  # noqa: PTH118  # Path takes ten times as long


def _folders(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """A folder and all below it, as `**` means; links are followed, but not round in a loop."""
    real = folder.resolve()
    if real in above:
        return
    yield folder
    for name in _names(folder):
        if not name.startswith(("_", ".")) and is_folder(folder / name):
            yield from _folders(folder / name, above | {real})


def _expand(base: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """What a glob matches below `base`. Python's own runs round loops of links, two of them for ever."""
    if not parts:
        yield base
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        for folder in _folders(base, _NONE):
            yield from _expand(folder, rest)
    elif not has_magic(part):
        if (base / part).is_symlink() or (base / part).exists():
            yield from _expand(base / part, rest)
    elif base.is_dir():
        for name in _names(base):
            hidden = name.startswith(("_", ".")) and name[0] != part[0]
            if not hidden and fnmatchcase(name, part):
                yield from _expand(base / name, rest)
