"""What a comparison found: numbers that are shown, saved and drawn.

The one law: all contenders of a comparison have the same seeds, the same marks and the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfnorm.drawing import Picture, shown_or_saved
from tfnorm.profile import Skipped

NONE = "none"
"""The name of the contender that gets the features as they are."""


@dataclass(frozen=True, eq=False)
class Contender:
    """One way to normalize, and how training went with it."""

    technique: str  # as text, or the name under which a whole choice was given; "none" for raw features
    losses: np.ndarray  # (seeds, marks) validation loss; nan or inf where training went astray
    final: np.ndarray  # (seeds,) validation loss after the last step
    steps_to: np.ndarray  # (seeds,) the first mark at which the loss is at most the comparison's level; nan: never
    diverged: np.ndarray  # (seeds,) bool: not finite, or exploded
    condition: float  # of the second-moment matrix of the training features and a constant 1; inf where singular
    choice: Mapping[str, str] = field(default_factory=dict)  # column -> technique as text; empty for raw features
    accuracy: np.ndarray | None = None  # (seeds,) share of validation rows classified right; None for regression

    @property
    def loss(self) -> float:
        """Mean over seeds of the final loss; inf where a seed diverged."""
        return float("inf") if self.diverged.any() else float(np.mean(self.final))

    @property
    def spread(self) -> float:
        """Standard deviation over seeds (n - 1) of the final loss; nan for one seed, or where one diverged."""
        return float(np.std(self.final, ddof=1)) if len(self.final) > 1 and not self.diverged.any() else float("nan")

    @property
    def lowest(self) -> float:
        """The lowest that the mean over seeds of the loss gets on the way: what stopping early would keep."""
        return float(np.min(np.where(np.isfinite(self.curve), self.curve, np.inf)))

    @property
    def steps(self) -> float:
        """Median over seeds of the steps to the level; nan where half of them or more never get there."""
        reached = float(np.median(np.where(np.isnan(self.steps_to), np.inf, self.steps_to)))
        return reached if np.isfinite(reached) else float("nan")

    @property
    def curve(self) -> np.ndarray:
        """(marks,) mean over seeds of the loss."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(np.mean(self.losses, axis=0))


@dataclass(frozen=True, eq=False)
class Comparison:
    """The same network, the same initial weights, the same batches; what differs is the normalization. Best first."""

    target: str  # the column that is predicted
    model: str  # "mlp", "linear", "cnn", "rnn", or the name of the user's function
    metric: str  # what the losses are, in words
    marks: np.ndarray  # (marks,) int64: the steps after which the loss was measured, 0 among them
    contenders: tuple[Contender, ...]  # by final loss, those that diverged last
    seeds: tuple[int, ...]  # of the initial weights and of the order of batches
    rows: int  # that trained
    validation_rows: int  # that were held out: nothing was fitted on them
    budget: float | None  # seconds, where there was one
    verdict: str  # in plain words; differences within the spread over seeds are not claimed
    level: float = float("nan")  # the loss that the best one has at half the steps, mean over seeds
    baseline: float = float("nan")  # the loss of a constant guess: mean or frequencies of the training part
    failed: Mapping[str, str] = field(default_factory=dict)  # technique -> why it could not be fitted
    notes: tuple[str, ...] = ()  # what was left out, dropped, filled and sampled
    columns: tuple[str, ...] = ()  # the features
    skipped: tuple[Skipped, ...] = ()  # what could not be read, where the user said on_error="skip"

    @property
    def steps(self) -> int:
        """How many steps each run had."""
        return int(self.marks[-1])

    def __getitem__(self, technique: str) -> Contender:
        """A contender by name."""
        for contender in self.contenders:
            if contender.technique == technique:
                return contender
        raise KeyError(f"{technique!r} is not among {[contender.technique for contender in self.contenders]}")

    def to_dict(self) -> dict[str, Any]:
        """Numbers and text as JSON has them; what it lacks is written "nan", "inf", "-inf"."""
        from tfnorm.comparing.showing import as_dict

        return as_dict(self)

    @classmethod
    def load(cls, path: Any) -> Comparison:
        """What `save` and `tfnorm compare -o` wrote; ArtefactError where it is not whole and sound."""
        from tfnorm.comparing.loading import load

        return load(path)

    def save(self, path: Any) -> None:
        """Write it as strict JSON."""
        from tfnorm.comparing.showing import save

        save(self, path)

    def plot(self, path: Any = None) -> Picture:
        """The loss curves with bands over seeds, as the report shows them: for notebooks, and to a .svg or .png file."""
        from tfnorm.comparing.showing import scene_of

        return shown_or_saved(scene_of(self), path)

    def __repr__(self) -> str:
        from tfnorm.comparing.showing import text

        return text(self)

    def _repr_html_(self) -> str:
        from tfnorm.comparing.showing import as_html

        return as_html(self)
