"""What advice is: for each column, techniques from best to worst, and why.

The one law: advice says what `fit` takes. `fit(source, advise(source).choice)` is `fit(source, "auto")`, and a plan read back
is the choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfnorm.profile import Skipped


@dataclass(frozen=True)
class Candidate:
    """A technique, and what becomes of the column by it."""

    technique: str  # as `fit` takes it
    score: float  # the weighted sum of its measures, and a margin where it is not the reference; lower is better
    measures: Mapping[str, float]  # each from 0 (nothing to object to) up: see `tfnorm.advice.measures`


@dataclass(frozen=True)
class ColumnAdvice:
    """What is advised for one column."""

    name: str
    ranked: tuple[Candidate, ...]  # best first
    evidence: tuple[str, ...]  # the two or three numbers that decided, in words
    would_change: str  # what would change the advice; empty where nothing tried did
    warnings: tuple[str, ...]  # what to look at before training; empty for nothing

    @property
    def technique(self) -> str:
        """The best one."""
        return self.ranked[0].technique


@dataclass(frozen=True, repr=False)
class Advice:
    """What is advised for all columns. Made by `tfnorm.advise`."""

    columns: Mapping[str, ColumnAdvice]
    model: str  # the family of models it is for
    activation: str | None  # of its hidden layers, where that was said
    findings: tuple[str, ...]  # about the whole: columns left out, what the model makes of them
    skipped: tuple[Skipped, ...] = ()  # what could not be read, where the user said on_error="skip"

    @property
    def choice(self) -> dict[str, str]:
        """Column -> technique, as `fit` takes it."""
        return {name: column.technique for name, column in self.columns.items()}

    def __getitem__(self, name: str) -> ColumnAdvice:
        return self.columns[name]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, ready for JSON."""
        from tfnorm.advice.showing import advice_dict

        return advice_dict(self)

    def plan(self) -> str:
        """An editable plan as TOML text, which `tfnorm fit --plan` takes: a line a column, comments with the reasons."""
        from tfnorm.advice.plan import plan_text

        return plan_text(self)

    def __repr__(self) -> str:
        from tfnorm.advice.showing import advice_text

        return advice_text(self)

    def _repr_html_(self) -> str:
        from tfnorm.advice.showing import advice_html

        return advice_html(self)
