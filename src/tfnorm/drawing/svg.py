"""A scene as SVG text.

The one law: every text is escaped, and nothing in it is fetched or run.
"""

from __future__ import annotations

import html

import numpy as np

from tfnorm.drawing.scene import STYLES, Band, Dots, Mark, Polyline, Rectangles, Scene, Style, Text
from tfnorm.sources.columns import cell


def svg(scene: Scene, *, colors: bool = True, ground: str = "") -> str:
    """As text, to stand in a page or alone in a file.

    colors: False where the page has them, as CSS of the classes `d-<role>`.
    ground: the color behind it; none by default, and texts then have the color of the text around.

    >>> from tfnorm.drawing.scene import Text
    >>> svg(Scene(20, 10, (Text("label", 0, 9, "a<b"),), "x"), colors=False).partition(">")[2]
    '<text class="d-label" x="0" y="9">a&lt;b</text></svg>'
    """
    size = f'viewBox="0 0 {_number(scene.width)} {_number(scene.height)}"'
    if colors:
        size += f' width="{_number(scene.width)}" height="{_number(scene.height)}" font-family="system-ui, sans-serif"'
    title = html.escape(cell(scene.title, 1000))
    behind = f'<rect width="100%" height="100%" fill="{html.escape(ground)}"/>' if ground else ""
    marks = "".join(_mark(mark, colors) for mark in scene.marks)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{title}">{behind}{marks}</svg>'


def _mark(mark: Mark, colors: bool) -> str:
    style = STYLES[mark.role]
    head = f'class="d-{mark.role}"'
    if isinstance(mark, Text):
        look = _filled(style) + f' font-size="{_number(style.size)}"' if colors else ""
        anchor = f' text-anchor="{mark.anchor}"' if mark.anchor != "start" else ""
        place = f'x="{_number(mark.x)}" y="{_number(mark.y)}"'
        return f"<text {head}{look}{anchor} {place}>{html.escape(cell(mark.text, 200))}</text>"
    if isinstance(mark, Polyline):
        look = _stroked(style) if colors else ""
        return f'<path {head}{look} fill="none" d="{_path(mark.x, mark.y)}"/>'
    if isinstance(mark, Dots):  # lines of no length with round ends
        look = f' stroke="{style.color or "currentColor"}"' + _opacity(style) if colors else ""
        size = f"stroke-width:{_number(2 * mark.radius)};stroke-linecap:round"
        points = "".join(f"M{_number(x)},{_number(y)}h0" for x, y in zip(mark.x, mark.y, strict=True))
        return f'<path {head}{look} fill="none" style="{size}" d="{points}"/>'
    look = _filled(style) if colors else ""
    return f'<path {head}{look} d="{_outline(mark)}"/>'


def _outline(mark: Rectangles | Band) -> str:
    if isinstance(mark, Band):
        return _path(np.append(mark.x, mark.x[::-1]), np.append(mark.low, mark.high[::-1])) + "z"
    parts = []
    for x, y, width, height in zip(mark.x, mark.y, mark.width, mark.height, strict=True):
        w, h = _number(width), _number(height)
        parts.append(f"M{_number(x)},{_number(y)}h{w}v{h}h-{w}z")
    return "".join(parts)


def _path(x: np.ndarray, y: np.ndarray) -> str:
    return "M" + "L".join(f"{_number(a)},{_number(b)}" for a, b in zip(x, y, strict=True))


def _filled(style: Style) -> str:
    return f' fill="{style.color or "currentColor"}"' + _opacity(style)


def _stroked(style: Style) -> str:
    dashes = ' stroke-dasharray="4 3"' if style.dashed else ""
    width = f' stroke-width="{_number(style.width)}"'
    return f' stroke="{style.color or "currentColor"}"{width}{dashes}' + _opacity(style)


def _opacity(style: Style) -> str:
    return f' opacity="{style.opacity:g}"' if style.opacity < 1 else ""


def _number(value: float) -> str:
    """To a tenth of a pixel, in as few letters as that takes."""
    text = f"{value:.1f}"
    text = text.removesuffix(".0")
    return "0" if text == "-0" else text
