"""From paths, globs and folders to files, in sorted order.

The one law: the same pattern over the same files gives the same list, each file once, whatever links lie in the way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
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
    for pattern in patterns:
        for path in find(pattern):
            by_file.setdefault(path if remote.is_url(path) else os.path.realpath(path), path)
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
        found = [str(file) for file in _below(path)]
        none = (
            f"{text}: no data file in folder. Looked for {formats.listed()}, and not for names that begin with _ or ."
        )
    elif path.is_symlink() or path.exists():
        return [str(path)]
    elif has_magic(text):
        anchor = Path(path.anchor) if path.anchor else Path()
        parts = path.parts[1:] if path.anchor else path.parts
        matches = dict.fromkeys(_expand(anchor, parts))
        found = sorted({str(file) for match in matches for file in (_below(match) if is_folder(match) else [match])})
        none = f"{text}: no file matches.{relative}"
    else:
        found = []
        none = f"{text}: no such file or folder.{relative}"
    if not found:
        raise DataError(none)
    return found


def _is_one(path: Path) -> bool:
    """Whether a folder is one data set, by its name."""
    found = formats.of(path.name)
    return found is not None and found.folder


def is_folder(path: Path) -> bool:
    """Whether a folder holds files to be found, and is not one data set itself."""
    return path.is_dir() and not _is_one(path)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot list the folder: {error.strerror}. Allow it, or leave it out.") from error


def _below(folder: Path) -> list[Path]:
    return list(_walk(folder, _NONE)) or list(_walk(folder, _NONE, is_image))


def _walk(folder: Path, above: frozenset[Path], wanted: Callable[[str], bool] = is_data) -> Iterator[Path]:
    """All data files below a folder, in sorted order; links are followed, but not round in a loop."""
    real = folder.resolve()
    if real in above:
        return
    for name in _names(folder):
        path = folder / name
        if name.startswith(("_", ".")):
            continue
        if is_folder(path):
            yield from _walk(path, above | {real}, wanted)
        elif wanted(name):
            yield path


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
