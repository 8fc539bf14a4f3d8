"""A scene as a PNG picture. The only file here that imports matplotlib, when there is need.

The one law: it draws the marks that `svg` draws, at the same places, in the same colors.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from tfnorm.drawing.scene import STYLES, Band, Dots, Polyline, Rectangles, Scene, Text
from tfnorm.sources.columns import cell

_PIXELS_PER_INCH = 96.0  # as browsers have them
_ANCHORS = {"start": "left", "middle": "center", "end": "right"}


def library() -> tuple[Any, Any]:
    """What draws; ImportError where it is not there, which a command may want to know before it works for minutes."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "PNG needs matplotlib, which is not installed: pip install 'tfnorm[plot]'. SVG needs nothing: name the file .svg."
        ) from error
    return FigureCanvasAgg, Figure


def png(scene: Scene, *, scale: float = 2.0) -> bytes:
    """On white, `scale` dots to a pixel of the scene."""
    new_canvas, new_figure = library()
    points = 72.0 / _PIXELS_PER_INCH
    figure = new_figure((scene.width / _PIXELS_PER_INCH, scene.height / _PIXELS_PER_INCH), dpi=_PIXELS_PER_INCH * scale)
    axes: Any = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, scene.width), ylim=(scene.height, 0))
    axes.axis("off")
    for mark in scene.marks:
        style = STYLES[mark.role]
        look = {"color": style.color or "black", "alpha": style.opacity}
        if isinstance(mark, Text):
            text = cell(mark.text, 200).replace("$", r"\$")
            axes.text(
                mark.x, mark.y, text, ha=_ANCHORS[mark.anchor], va="baseline", fontsize=style.size * points, **look
            )
        elif isinstance(mark, Polyline):
            axes.plot(mark.x, mark.y, linewidth=style.width * points, linestyle="--" if style.dashed else "-", **look)
        elif isinstance(mark, Band):
            axes.fill_between(mark.x, mark.low, mark.high, linewidth=0, **look)
        elif isinstance(mark, Dots):
            area = np.pi * (mark.radius * points) ** 2
            axes.scatter(mark.x, mark.y, s=area, linewidths=0, **look)
        elif isinstance(mark, Rectangles):
            axes.bar(mark.x, mark.height, mark.width, mark.y, align="edge", linewidth=0, **look)
    axes.set(xlim=(0, scene.width), ylim=(scene.height, 0))  # bars and points widen them
    drawn = io.BytesIO()
    canvas: Any = new_canvas(figure)
    canvas.print_png(drawn, metadata={"Software": None, "Title": cell(scene.title, 200)})
    return drawn.getvalue()
