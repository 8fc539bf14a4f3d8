"""Loss curves with bands, as a scene.

The one law: a line is the median over the seeds, its band reaches from the lowest to the highest seed, and a seed that has
diverged ends the band's upper edge at the top, where it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from tfnorm.drawing.axes import LETTER, Axis, below, labels
from tfnorm.drawing.scene import SERIES, Band, Mark, Polyline, Scene, Text

WIDTH, HEIGHT = 480.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 12.0, 12.0, 36.0
REACH = (
    3.0  # the picture ends at so many times the lowest loss at the start (raw features may begin in the millions), and
)
# what is above is drawn at its edge


def loss_curves(
    marks: np.ndarray, losses: Mapping[str, np.ndarray], metric: str = "loss", baseline: float = math.nan
) -> Scene:
    """Losses against steps, both in powers of ten where they spread that far.

    marks: (steps,) at which step each loss was told.
    losses: label -> (seeds, marks) losses.
    baseline: what a constant guess loses, drawn across; NaN where that is not known.
    """
    steps = np.asarray(marks, np.float64)
    curves = {label: np.atleast_2d(np.asarray(loss, np.float64)) for label, loss in losses.items()}
    known = np.concatenate([curve[np.isfinite(curve)] for curve in curves.values()] or [np.zeros(0)])
    if not len(known) or len(steps) < 2:
        nothing = Text("note", LEFT, HEIGHT / 2, "no losses to draw")
        return Scene(WIDTH, 60, (Text("note", LEFT, 30, nothing.text),), nothing.text)
    first = [float(np.median(start)) for curve in curves.values() if len(start := curve[np.isfinite(curve[:, 0]), 0])]
    low = float(known.min())
    high = float(min(known.max(), max(REACH * min(first, default=low), 2 * low)))
    if not low < high:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    spread = low > 0 and high / low > 20
    vertical = Axis(low, high, HEIGHT - BOTTOM, TOP, log=spread)
    positive = steps[steps > 0]
    far = len(positive) > 1 and positive[-1] / positive[0] >= 30
    horizontal = Axis(float(positive[0]) if far else float(steps[0]), float(steps[-1]), LEFT, WIDTH - RIGHT, log=far)
    drawn: list[Mark] = [*_grid(vertical)]
    x = horizontal(np.maximum(steps, horizontal.low))
    kept = steps >= horizontal.low
    lines: list[Mark] = []
    for i, curve in enumerate(curves.values()):
        capped = np.where(np.isfinite(curve), curve, high)[:, kept]
        role = i % len(SERIES)
        drawn.append(Band(f"band{role}", x[kept], vertical(capped.min(axis=0)), vertical(capped.max(axis=0))))
        lines.append(Polyline(f"series{role}", x[kept], vertical(np.median(capped, axis=0))))
    level = math.isfinite(baseline) and low <= baseline <= high
    if level:
        drawn.append(_across(float(vertical(baseline))))
    drawn += [*lines, *below(horizontal, HEIGHT - BOTTOM, 6)]
    drawn.append(Text("note", LEFT, HEIGHT - 4, f"loss: {metric.partition(' in training')[0]}"))
    drawn.append(Text("note", WIDTH - RIGHT, HEIGHT - 4, "training steps", "end"))
    legend, height = _legend([f"{label}  {_ends(curve)}" for label, curve in curves.items()])
    if level:
        note = Text("note", LEFT + 26, height + 8, f"a constant guess  {baseline:.3g}")
        legend, height = [*legend, _across(height + 4, LEFT, LEFT + 20), note], height + 16
    said = ", ".join(f"{label} ends at {np.median(curve[:, -1]):.3g}" for label, curve in curves.items())
    return Scene(WIDTH, height, (*drawn, *legend), f"{metric} by training step: {said}")


def _ends(curve: np.ndarray) -> str:
    last = float(np.median(curve[:, -1]))
    return f"{last:.3g}" if math.isfinite(last) else "diverged"


def _across(y: float, start: float = LEFT, stop: float = WIDTH - RIGHT) -> Mark:
    return Polyline("guess", np.array([start, stop]), np.array([y, y]))


def _grid(vertical: Axis) -> list[Mark]:
    ticks = vertical.ticks(5)
    marks: list[Mark] = []
    for tick, text in zip(ticks, labels(ticks), strict=True):
        y = float(vertical(tick))
        marks.append(Polyline("grid", np.array([LEFT, WIDTH - RIGHT]), np.array([y, y])))
        marks.append(Text("tick", LEFT - 6, y + 4, text, "end"))
    return marks


def _legend(names: list[str]) -> tuple[list[Mark], float]:
    """Below the picture, in as many lines as it takes."""
    marks: list[Mark] = []
    x, y = LEFT, HEIGHT + 14
    for i, name in enumerate(names):
        text = name if len(name) <= 34 else name[:33] + "…"
        wide = 28 + len(text) * LETTER + 16
        if x + wide > WIDTH and x > LEFT:
            x, y = LEFT, y + 18
        marks.append(Polyline(f"series{i % len(SERIES)}", np.array([x, x + 20]), np.array([y - 4, y - 4])))
        marks.append(Text("note", x + 26, y, text))
        x += wide
    return marks, y + 8
