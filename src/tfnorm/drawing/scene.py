"""A drawing as data: shapes at places, each with a role instead of a color.

The one law: what is drawn is said once. `svg` and `png` draw the same scene, and a page gives its roles colors of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Rectangles:
    """Filled, one or many."""

    role: str
    x: np.ndarray  # (n,) of the left side, in pixels from the left
    y: np.ndarray  # (n,) of the upper side, in pixels from the top
    width: np.ndarray  # (n,)
    height: np.ndarray  # (n,)


@dataclass(frozen=True)
class Polyline:
    """One line through points."""

    role: str
    x: np.ndarray  # (n,)
    y: np.ndarray  # (n,)


@dataclass(frozen=True)
class Band:
    """What lies between two lines, filled."""

    role: str
    x: np.ndarray  # (n,)
    low: np.ndarray  # (n,) y of one line
    high: np.ndarray  # (n,) y of the other


@dataclass(frozen=True)
class Dots:
    """Filled circles."""

    role: str
    x: np.ndarray  # (n,)
    y: np.ndarray  # (n,)
    radius: float


@dataclass(frozen=True)
class Text:
    """One line of text."""

    role: str
    x: float
    y: float  # of its base line
    text: str
    anchor: Anchor = "start"


Mark = Rectangles | Polyline | Band | Dots | Text


@dataclass(frozen=True)
class Scene:
    """Marks in the order in which they are drawn."""

    width: float
    height: float
    marks: tuple[Mark, ...]
    title: str  # what is to be seen, for who does not see it


@dataclass(frozen=True)
class Style:
    """How a role looks: filled or stroked, where no page says otherwise."""

    color: str  # as SVG and matplotlib have it; "" for that of the text around
    opacity: float = 1.0
    width: float = 1.0  # of lines
    dashed: bool = False
    size: float = 11.0  # of text


SERIES = ("#2f6fb7", "#c26a1b", "#3a8a5f", "#a3478f", "#7d6b2e", "#c0444b", "#4c8fa8", "#6b6fae")
"""Colors of lines side by side, to be told apart on light and dark ground."""

STYLES: dict[str, Style] = {
    "before": Style("#8695a8"),
    "after": Style("#3b7fc4"),
    "other": Style("#d07a24", width=1.6),
    "box": Style("#5b6b80", 0.45),
    "median": Style("#33475c", width=2.0),
    "outlier": Style("#cc5a45"),
    "axis": Style("", 0.45),
    "grid": Style("", 0.12),
    "guess": Style("#5b6b80", 0.8, dashed=True),
    "link": Style("#5b6b80", 0.55),
    "tick": Style("", 0.75, size=12.0),
    "label": Style("", 1.0, size=13.0),
    "note": Style("", 0.75, size=12.0),
    **{f"series{i}": Style(color, width=1.8) for i, color in enumerate(SERIES)},
    **{f"band{i}": Style(color, 0.18) for i, color in enumerate(SERIES)},
}
