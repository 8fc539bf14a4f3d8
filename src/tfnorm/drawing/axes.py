"""Where numbers lie along a line, and which of them are written beside it.

The one law: what is written is where it says: ticks are round numbers, and no two labels overlap.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfnorm.drawing.scene import Anchor, Mark, Polyline, Text
from tfnorm.summary import number

Words = Callable[[float], str]
LETTER = 6.9  # pixels that a letter of a label takes


@dataclass(frozen=True)
class Axis:
    """Numbers from low to high, from pixel to pixel; equal factors are equally far apart where `log`."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        """Where these lie, within the ends."""
        low, high, at = (np.asarray(self._scaled(part), np.float64) for part in (self.low, self.high, values))
        width = high / 2 - low / 2  # halves, as the difference of the largest numbers is none
        part = (at / 2 - low / 2) / (width if width > 0 else 1.0) if width > 0 else np.full_like(at, 0.5)
        return np.asarray(self.start + np.clip(part, 0.0, 1.0) * (self.stop - self.start))

    def _scaled(self, value: np.ndarray | float) -> np.ndarray | float:
        return np.log10(np.maximum(value, 1e-300)) if self.log else value

    def ticks(self, most: int) -> list[float]:
        """Round numbers along it, at most so many.

        >>> Axis(0.0, 9.7, 0, 100).ticks(4), Axis(1.0, 1000.0, 0, 100, log=True).ticks(4)
        ([0.0, 5.0], [1.0, 10.0, 100.0, 1000.0])
        """
        if not self.low < self.high:
            return [self.low] if self.low == self.high else []
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            every = max(1, -(-(last - first) // most))
            for factors in ((1, 2, 5), (1, 3), (1,)):
                found = [by * 10.0**power for power in range(first, last + 1, every) for by in factors]
                found = [tick for tick in found if self.low * (1 - 1e-9) <= tick <= self.high * (1 + 1e-9)]
                if 1 < len(found) <= most:
                    return found
        rough = (self.high / most - self.low / most) or math.ulp(self.high)
        power = 10.0 ** math.floor(math.log10(rough))
        step = next((power * by for by in (1, 2, 5, 10) if power * by >= rough * (1 - 1e-9)), rough)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [min(max(at * step, self.low), self.high) for at in range(first, min(last, first + most) + 1)]


def labels(ticks: list[float], words: Words | None = None) -> list[str]:
    """The ticks in words, no two of them the same.

    >>> labels([0.1, 0.2, 0.30000000000000004])
    ['0.1', '0.2', '0.3']
    """
    for say in (words or number, number, lambda tick: f"{tick:.12g}", repr):
        texts = [say(tick) for tick in ticks]
        if len(set(texts)) == len(texts):
            return texts
    return texts


def below(axis: Axis, y: float, most: int, words: Words | None = None) -> list[Mark]:
    """A horizontal axis at height y, its ticks and labels below it."""
    marks: list[Mark] = [Polyline("axis", np.array([axis.start, axis.stop]), np.array([y, y]))]
    ticks = axis.ticks(most)
    taken = -math.inf
    for tick, text in zip(ticks, labels(ticks, words), strict=True):
        x, half = float(axis(tick)), len(text) * LETTER / 2
        anchor: Anchor = "start" if x - half < 0 else "end" if x + half > axis.stop + 10 else "middle"
        left = x if anchor == "start" else x - 2 * half if anchor == "end" else x - half
        marks.append(Polyline("axis", np.array([x, x]), np.array([y, y + 4])))
        if left > taken + LETTER:
            marks.append(Text("tick", x, y + 15, text, anchor))
            taken = left + 2 * half
    return marks
