"""Files by URL: object stores by Arrow's own file systems, all else by fsspec. The only file that imports fsspec.

The one law: whoever reads a file need not know where it lies; a URL is text, so a shard of it can go to another process.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import lru_cache
from glob import has_magic
from typing import Any

from tfnorm.errors import DataError, needs
from tfnorm.sources import formats
from tfnorm.sources.columns import cell

_ARROW = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs", "file")
_BUCKETS = ("s3", "gs", "gcs")  # of which who asks may be said: gs://anonymous@bucket/key
_NO_FOLDERS = ("http", "https")


def is_url(path: str) -> bool:
    """Whether it is no local path."""
    return "://" in path


def shown(path: str) -> str:
    """A path or URL as it may be told and kept: without a password, a key or a signature."""
    if not is_url(path):
        return path
    scheme, _, rest = path.partition("?")[0].partition("://")
    host, slash, inner = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{inner}"


def is_gzip(path: str) -> bool:
    """By its name."""
    return _bare(path).lower().endswith(".gz")


def _bare(path: str) -> str:
    return path.partition("?")[0] if is_url(path) else path


@lru_cache(maxsize=16)
def _by_arrow(scheme: str, rest: str, process: int) -> Any:  # noqa: ARG001  # a file system does not outlive a fork
    import pyarrow.fs

    return pyarrow.fs.FileSystem.from_uri(f"{scheme}://{rest}")[0]


def _by_fsspec(path: str) -> tuple[Any, str]:
    """The file system of fsspec that holds a URL, and its path there; fsspec keeps the systems."""
    scheme = path.partition("://")[0]
    with needs("remote", path):
        import fsspec
    try:
        return fsspec.core.url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise DataError(
            f"{path}: {scheme}:// cannot be read: {cell(error, 200)}. Install it, or copy the file."
        ) from None


def _system(path: str) -> tuple[Any, str]:
    """The Arrow file system that holds a URL, and its path there."""
    import pyarrow.fs

    scheme = path.partition("://")[0]
    if scheme in _ARROW:
        bucket, _, key = _bare(path).partition("://")[2].partition("/")
        query = path.partition("?")[2]
        if scheme in ("gs", "gcs") and "retry_limit_seconds" not in query:  # else it tries for a quarter of an hour
            query = f"{query}&retry_limit_seconds=30".lstrip("&")
        system = _by_arrow(scheme, f"{bucket}/{'?' + query if query else ''}", os.getpid())
        bucket = bucket.rpartition("@")[2] if scheme in _BUCKETS else bucket
        return system, f"{bucket}/{key}" if bucket else f"/{key}"
    system, inner = _by_fsspec(path)
    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(system)), inner


def input_file(path: str) -> Any:
    """A file to be read at any place of it."""
    import pyarrow as pa

    if not is_url(path):
        return pa.OSFile(path)
    system, inner = _system(path)
    return system.open_input_file(inner)


def readable(path: str) -> Any:
    """What a library takes that takes paths and files: the path itself where it is a local one."""
    return input_file(path) if is_url(path) else path


def input_stream(path: str) -> Any:
    """A file to be read from its beginning, unpacked where its name ends in .gz."""
    import pyarrow as pa

    codec: Any = "gzip" if is_gzip(path) else None
    if not is_url(path):
        return pa.input_stream(path, compression=codec)
    scheme = path.partition("://")[0]
    if scheme in _ARROW:
        system, inner = _system(path)
        return system.open_input_stream(inner, compression=codec)
    far, inner = _by_fsspec(path)
    file = far.open(inner, "rb", **({"block_size": 0} if scheme in _NO_FOLDERS else {}))
    return pa.input_stream(pa.PythonFile(file, "r"), compression=codec)


def status(path: str) -> tuple[int, int]:
    """(bytes, a number that changes when the file does); OSError where it is not there."""
    system, inner = _system(path)
    info = system.get_file_info(inner)
    if info.type.name == "NotFound":
        raise DataError(f"{path}: there is no such file, or its server does not answer. Check the address.")
    size = info.size
    if not info.is_file or size is None:
        raise DataError(f"{path}: expected a file whose size is told. Name a file, or copy it here.")
    return int(size), info.mtime_ns or _tag(path)


def _tag(path: str) -> int:
    """What an HTTP server says of a file's version, as a number; 0 where it says nothing."""
    far, inner = _by_fsspec(path)
    info = far.info(inner)
    tag = str(info.get("ETag") or info.get("Content-MD5") or info.get("mtime") or "")
    return int.from_bytes(hashlib.sha256(tag.encode()).digest()[:6], "big") if tag else 0


def find(url: str, is_data: Callable[[str], bool]) -> list[str]:
    """The files of a URL, a glob in it, or a folder of an object store, sorted; as of local paths, but for links."""
    import pyarrow as pa
    from pyarrow.fs import FileSelector

    scheme = url.partition("://")[0]
    query = url.partition("?")[2] if scheme in _ARROW else ""
    if scheme in _NO_FOLDERS:
        return [url]
    pattern = _bare(url).partition("://")[2]
    try:
        system, inner = _system(url)
        if not has_magic(pattern):
            if system.get_file_info(inner).is_file:
                return [url]
            base = inner.rstrip("/")
        else:
            parts = inner.split("/")
            base = "/".join(parts[: next(i for i, part in enumerate(parts) if has_magic(part))])
        infos = system.get_file_info(FileSelector(base, recursive=True, allow_not_found=True))
    except (OSError, pa.ArrowException) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise DataError(
            f"{url}: cannot be listed: {cell(lines[0], 200)}. Check the address and your rights."
        ) from error
    names = sorted(info.path for info in infos if info.is_file and not _hidden(info.path[len(base) :]))
    if has_magic(pattern):
        names = [name for name in names if _matches(name.split("/"), inner.split("/"))]
    else:
        names = [name for name in names if is_data(name)]
    if not names:
        what = "no file matches" if has_magic(pattern) else "no such file, and no data file below it"
        raise DataError(f"{url}: {what}. Looked for {formats.listed()}.")
    who = pattern.partition("/")[0].rpartition("@") if scheme in _BUCKETS else ("", "", "")
    return [f"{scheme}://{who[0]}{who[1]}{name}{'?' + query if query else ''}" for name in names]


def _hidden(below: str) -> bool:
    return any(part.startswith(("_", ".")) for part in below.split("/"))


def _matches(parts: list[str], pattern: list[str]) -> bool:
    """Whether a path fits a glob; `**` stands for any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[at:], pattern[1:]) for at in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
