"""What a check found: for each column how far the new data are from the fit's, and what that means in words.

The one law: a column has drifted when an effect is larger than its threshold *and* chance does not explain it; the numbers
are kept whether it has or not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tfnorm.profile import ColumnProfile, Skipped

Severity = Literal["none", "moderate", "severe"]
SEVERITIES: tuple[Severity, ...] = ("none", "moderate", "severe")
"""From the least to the worst."""


@dataclass(frozen=True)
class ColumnDrift:
    """One column of the fit beside the same column of the new data.

    numbers, where both sides know what they need (of the worst feature, for vectors and images; `feature` says which):
    rows, rows_of_fit            values that count as independent, by which chance is judged
    missing, missing_of_fit      shares of NaN and null; infinite, infinite_of_fit likewise
    outside                      share of values below the fit's smallest or above its largest
    shift                        how far quantiles have moved on the mean, in deviations of the fit; not of a constant
    spread                       the new deviation over that of the fit
    ks, ks_low, ks_high          largest difference of the two cumulative shares, and between which bounds it surely is
    ks_noise                     what it stays below by chance
    psi, psi_low, psi_high       population stability index over bins of the fit; psi_expected by chance, psi_noise at most
    js, js_low, js_high          Jensen-Shannon distance over the same bins (0 to 1)
    score                        the largest effect in units of its threshold, 0 where chance explains it
    """

    name: str
    severity: Severity
    findings: tuple[str, ...]  # in plain words, the worst first; some are notes and raise no alarm
    numbers: Mapping[str, float]
    profile: ColumnProfile | None  # of the new data; None where the column is not there, or holds no numbers

    @property
    def drifted(self) -> bool:
        return self.severity != "none"

    def __repr__(self) -> str:
        said = "; ".join(self.findings) or "as in the fit"
        return f"{self.name}: {self.severity}: {said}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: None for what is no number."""
        numbers = {name: value if math.isfinite(value) else None for name, value in self.numbers.items()}
        return {"column": self.name, "severity": self.severity, "findings": list(self.findings), "numbers": numbers}


@dataclass(frozen=True)
class Drift:
    """New data beside a fit. Made by `tfnorm.check`."""

    columns: tuple[ColumnDrift, ...]  # the worst first
    rows: int  # of the new data
    rows_of_fit: int
    source: str  # where the new data came from
    findings: tuple[str, ...]  # about the whole: new columns, what could not be compared
    skipped: tuple[Skipped, ...] = ()  # of the new data what could not be read, where the user said on_error="skip"

    @property
    def drifted(self) -> bool:
        """Whether any column has."""
        return any(column.drifted for column in self.columns)

    def __bool__(self) -> bool:
        return self.drifted

    def __getitem__(self, name: str) -> ColumnDrift:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, which JSON takes."""
        return {
            "drifted": self.drifted,
            "source": self.source,
            "rows": self.rows,
            "rows_of_fit": self.rows_of_fit,
            "findings": list(self.findings),
            "skipped": [{"part": one.part, "reason": one.reason} for one in self.skipped],
            "columns": [column.to_dict() for column in self.columns],
        }

    def to_json(self) -> str:
        """As strict JSON."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def __repr__(self) -> str:
        from tfnorm.drift.text import drift_text

        return drift_text(self)

    def _repr_html_(self) -> str:
        from tfnorm.drift.text import drift_html

        return drift_html(self)
