"""What a report says, before it is a page.

The one law: it is plain text, numbers and scenes. What comes from the data is never markup here; the page escapes all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tfnorm.drawing import Scene

Level = Literal[1, 2, 3]


@dataclass(frozen=True)
class Flag:
    """Something to look at: a word to filter by, how bad it is (3 is worst), and what it is in words."""

    key: str
    level: Level
    words: str


@dataclass(frozen=True)
class Table:
    """Cells as text; the first of each row names it."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Part:
    """Some lines, drawings and a table under one heading."""

    title: str
    lines: tuple[str, ...] = ()
    drawings: tuple[Scene, ...] = ()
    table: Table | None = None
    notes: tuple[str, ...] = ()  # lines below, in small
    wide: bool = False  # whether it takes the whole width


@dataclass(frozen=True)
class Entry:
    """One column: a row of the list, and what is seen when it is opened."""

    name: str  # as the data have it
    what: str  # its technique, or its type
    flags: tuple[Flag, ...]  # the worst first
    small: tuple[Scene, ...]
    cells: tuple[str, ...]  # as the page's header says
    parts: tuple[Part, ...]
    order: Mapping[str, float] = field(default_factory=dict)  # what the list can be sorted by; larger comes first

    @property
    def risk(self) -> float:
        """By which the columns at risk come first: the worst flag decides, then how many there are."""
        return sum(10.0 ** (flag.level - 1) for flag in self.flags)


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    subject: str
    read: tuple[tuple[str, str], ...]  # what was read: terms and what they are here
    parts: tuple[Part, ...]  # about the whole, above the list
    header: tuple[str, ...]  # of the entries' cells
    entries: tuple[Entry, ...]
    orders: tuple[str, ...] = ()  # what the list can be sorted by, besides risk, name and place
