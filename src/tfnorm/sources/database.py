"""Databases in files, for queries on the command line: DuckDB's and SQLite's. The only file that imports DuckDB.

The one law: a database is opened to be read, and one that is not there is not made.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from tfnorm.errors import DataError, needs

SCHEMES = ("duckdb", "sqlite")
WRITTEN = "duckdb:///file.duckdb or sqlite:///file.db"


def is_database(address: str) -> bool:
    """Whether it is the address of a database.

    >>> is_database("duckdb:///flights.duckdb"), is_database("s3://bucket/a.parquet")
    (True, False)
    """
    return address.partition("://")[0] in SCHEMES and "://" in address


def connect(address: str) -> Any:
    """A connection; `duckdb:///a.db` is a file in the working directory, and one with another slash lies where it says."""
    scheme, mark, rest = address.partition("://")
    if scheme not in SCHEMES or not mark:
        raise DataError(
            f"{address}: expected the address of a database, {WRITTEN}. Or pass a connection to tfnorm.sql."
        )
    path = _file(rest, address)
    try:
        if scheme == "sqlite":
            return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        with needs("sql", address):
            import duckdb
        return duckdb.connect(str(path), read_only=True)
    except (DataError, MemoryError):
        raise
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise DataError(f"{address}: the database cannot be opened: {lines[0]}") from error


def _file(rest: str, address: str) -> Path:
    near, there = Path(rest.removeprefix("/")), Path(rest)
    for path in (near, there):  # /tmp/a.db is often written where //tmp/a.db is meant
        if rest.strip("/") and path.is_file():
            return path
    raise DataError(
        f"{address}: there is no file {near}. One that does not lie in the working directory: {WRITTEN.replace(':///', ':////')}."
    )
