"""How many steps and seeds a time budget pays for.

The one law: all contenders get the same steps and the same seeds; time decides only how many.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

STEPS = 2000  # where there is no budget
STEPS_OF_LARGE = 500  # of networks that are not compiled, for images
FEWEST_STEPS = 20
WANTED_STEPS = 200  # below which seeds are given up first
MOST_STEPS = 20_000
MOST_MARKS = 62  # how often the loss is measured, at most
SPARE = 0.85  # of the time left that is planned for: the machine may slow down


@dataclass
class Clock:
    """Time since the comparison began, and what it allows."""

    budget: float | None
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        return float("inf") if self.budget is None else self.budget - (time.monotonic() - self.began)

    def plan(self, contenders: int, seeds: int, step: float, rest: float) -> tuple[int, int]:
        """(steps, seeds) for what is left. `step` and `rest` are the seconds of one step, and of a run besides its steps."""
        while True:
            a_run = SPARE * self.left / (contenders * seeds) - rest
            steps = int(min(MOST_STEPS, max(0.0, a_run) / max(step, 1e-7)))
            if steps >= WANTED_STEPS or seeds == 1:
                return round_down(max(FEWEST_STEPS, steps)), seeds
            seeds -= 1


def round_down(steps: int) -> int:
    """To two digits.

    >>> round_down(1234), round_down(56)
    (1200, 56)
    """
    digit = 10 ** max(0, len(str(steps)) - 2)
    return steps // digit * digit
