"""A check as a readable table: a line a column, the worst first.

The one law: effect sizes stand before words, and what is not known is left blank.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import replace

from tfnorm.drift.values import ColumnDrift, Drift
from tfnorm.sources.columns import cell
from tfnorm.summary import share
from tfnorm.tables import MAX_LINES, NAME_LENGTH, WIDEST, Table, table_html, table_text

_HEADER = ("column", "drift", "shift", "PSI", "KS", "missing", "outside", "findings")
LEAST_WORDS = 40
_DROPPED = ("missing", "KS", "outside", "PSI", "shift")


def drift_text(drift: Drift, width: int | None = None, limit: int | None = MAX_LINES) -> str:
    """A check as plain text; `width` is the terminal's by default, `limit` how many columns are shown."""
    width = width or shutil.get_terminal_size((WIDEST, 24)).columns
    table = _table(drift, limit)
    if "findings" in table.header:  # what they have room for: numbers go before words
        others = (max(map(len, column)) + 2 for column in list(zip(table.header, *table.rows, strict=True))[:-1])
        room = max(LEAST_WORDS, width - sum(others))
        cut = (row if len(row[-1]) <= room else (*row[:-1], row[-1][: room - 3].rstrip() + "...") for row in table.rows)
        table = replace(table, rows=tuple(cut))
    lines = [table_text(table, width), *(f"note: {note}" for note in drift.findings)]
    return "\n".join(lines)


def drift_html(drift: Drift) -> str:
    """A check as a small HTML table, without scripts or colors."""
    import html

    notes = "".join(f"<div>note: {html.escape(note)}</div>" for note in drift.findings)
    return table_html(_table(drift, MAX_LINES)) + notes


def _table(drift: Drift, limit: int | None) -> Table:
    shown = drift.columns[:limit]
    rows = tuple(_row(column) for column in shown)
    kept = [i for i, name in enumerate(_HEADER) if name in ("column", "drift") or any(row[i] for row in rows)]
    more = len(drift.columns) - len(shown)
    return Table(
        _title(drift),
        tuple(_HEADER[i] for i in kept),
        tuple(tuple(row[i] for i in kept) for row in rows),
        f"... and {more:,} more columns" if more else "",
        _DROPPED,
    )


def _title(drift: Drift) -> str:
    many, number = len(drift.columns), sum(column.drifted for column in drift.columns)
    what = f"drift in {number:,} of {many:,} column{'s' * (many != 1)}" if number else f"no drift in {many:,} column"
    what += "s" * (many != 1 and not number)
    rows = f"{drift.rows:,} row{'s' * (drift.rows != 1)} of {cell(drift.source)}"
    return f"{what}: {rows} beside {drift.rows_of_fit:,} of the fit"


def _row(column: ColumnDrift) -> tuple[str, ...]:
    numbers = column.numbers
    psi = max(numbers["psi"] - numbers["psi_expected"], 0.0) if "psi" in numbers else None  # what is not by chance
    effects = (_effect(numbers.get("shift"), sign=True), _effect(psi), _effect(numbers.get("ks")))
    shares = (share(numbers[name], 1.0) if name in numbers else "" for name in ("missing", "outside"))
    name = cell(column.name, NAME_LENGTH) if column.name.strip() else f'"{cell(column.name, NAME_LENGTH)}"'
    severity = "-" if column.severity == "none" else column.severity
    return (name, severity, *effects, *shares, "; ".join(cell(finding, 200) for finding in column.findings))


def _effect(value: float | None, *, sign: bool = False) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{value:{'+' if sign else ''}.2f}" if abs(value) < 1000 else f"{value:{'+' if sign else ''}.1g}"
