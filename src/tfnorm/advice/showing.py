"""Advice as a table, as HTML and as plain data.

The one law: a line a column; what is said is what the values hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tfnorm.advice.values import Advice
from tfnorm.tables import MAX_LINES, Table, shown_name, table_html, table_text

DROPPED = ("runner-up", "warnings", "why")
SHOWN_WARNINGS = 1


def advice_text(advice: Advice, width: int | None = None) -> str:
    """As plain text; `width` is the terminal's by default."""
    lines = [table_text(_table(advice), width), *advice.findings]
    return "\n".join(lines)


def advice_html(advice: Advice) -> str:
    """As a small HTML table, without scripts or colors."""
    return table_html(_table(advice), advice.findings)


def _table(advice: Advice) -> Table:
    header = ("column", "technique", "why", "runner-up", "warnings")
    rows = []
    for column in list(advice.columns.values())[:MAX_LINES]:
        runner_up = column.ranked[1].technique if len(column.ranked) > 1 else ""
        more = len(column.warnings) - SHOWN_WARNINGS
        warnings = "; ".join(column.warnings[:SHOWN_WARNINGS]) + (f" (and {more} more)" if more > 0 else "")
        rows.append((shown_name(column.name), column.technique, "; ".join(column.evidence), runner_up, warnings))
    more = len(advice.columns) - len(rows)
    number = len(advice.columns)
    title = f"advice on {number:,} column{'s' * (number != 1)} for model {advice.model}"
    title += f" with activation {advice.activation}" if advice.activation else ""
    return Table(title, header, tuple(rows), f"... and {more:,} more columns" if more > 0 else "", DROPPED)


def advice_dict(advice: Advice) -> dict[str, Any]:
    """As plain data, ready for JSON: None for what is no number."""
    return {
        "model": advice.model,
        "activation": advice.activation,
        "findings": list(advice.findings),
        "columns": {
            name: {
                "technique": column.technique,
                "ranked": [
                    {"technique": one.technique, "score": _plain(one.score), "measures": _all_plain(one.measures)}
                    for one in column.ranked
                ],
                "evidence": list(column.evidence),
                "would_change": column.would_change,
                "warnings": list(column.warnings),
            }
            for name, column in advice.columns.items()
        },
    }


def _all_plain(measures: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _plain(value) for name, value in measures.items()}


def _plain(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
