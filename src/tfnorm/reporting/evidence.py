"""Checks, comparisons and advice as parts of the report.

The one law: evidence is shown in the words and numbers it came with; nothing is judged here again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfnorm.drawing import Scene, loss_curves, two
from tfnorm.looks import Look, before
from tfnorm.profile import ColumnProfile
from tfnorm.reporting.model import Flag, Level, Part, Table
from tfnorm.reporting.reading import array, as_number, by_name, get, numbers, texts
from tfnorm.sources.columns import cell
from tfnorm.summary import number

LEVELS: dict[str, Level] = {"moderate": 2, "severe": 3}
SHOWN = 12  # candidates of an advice
BESIDE = ("low", "high", "noise", "expected", "of_fit")  # what names of numbers end in that belong to another


def of_comparison(found: Any) -> Part:
    """Loss curves, a line for each contender, and the verdict."""
    contenders = list(get(found, "contenders", default=()))
    marks = array(found, "marks")
    losses = {cell(get(one, "technique", default="?")): array(one, "losses") for one in contenders}
    losses = {name: loss for name, loss in losses.items() if loss.ndim == 2 and loss.shape[1] == len(marks)}
    metric = str(get(found, "metric", default="loss"))
    rows = tuple(_contender(one) for one in contenders)
    header = ("technique", "final loss", "± seeds", "steps", "diverged", "condition")
    about = (
        f"A network ({_said(found, 'model')}) learns {_said(found, 'target')} from the same seeds with each technique"
    )
    seeds, held = len(get(found, "seeds", default=())), as_number(get(found, "validation_rows"))
    about += (
        f": {seeds} seeds" * bool(seeds)
        + f", {held:,.0f} rows held out" * (not math.isnan(held))
        + f". Loss: {metric}."
    )
    drawings: tuple[Scene, ...] = (
        (loss_curves(marks, losses, metric, as_number(get(found, "baseline"))),) if losses else ()
    )
    return Part(
        "Compared by training",
        texts(found, "verdict"),
        drawings,
        Table(header, rows),
        (about, *texts(found, "notes")),
        wide=True,
    )


def _contender(one: Any) -> tuple[str, ...]:
    final, steps, diverged = array(one, "final"), array(one, "steps_to"), array(one, "diverged")
    finite = final[np.isfinite(final)]
    loss = f"{finite.mean():.4g}" if len(finite) else "-"
    spread = f"{finite.std(ddof=1):.2g}" if len(finite) > 1 else "-"
    reached = np.median(np.where(np.isnan(steps), np.inf, steps)) if len(steps) else math.nan
    took = "never" if reached == math.inf else number(float(reached))
    astray = f"{int(np.nansum(diverged))} of {len(diverged)}" if len(diverged) and np.nansum(diverged) else "no"
    condition = as_number(get(one, "condition"))
    said = "-" if math.isnan(condition) else "singular" if math.isinf(condition) else f"{condition:.3g}"
    return cell(get(one, "technique", default="?")), loss, spread, took, astray, said


def of_advice(found: Any) -> Part:
    """What was advised for the whole."""
    activation = get(found, "activation")
    asked = f"Advised for a model of the kind {_said(found, 'model')}" + f", with {activation} inside" * bool(
        activation
    )
    return Part("Advice", (f"{asked}.", *texts(found, "findings")))


def of_column_advice(found: Any, technique: str = "") -> tuple[Part, tuple[Flag, ...]]:
    """Why a technique suits a column, what else was tried, and what to look at."""
    ranked = list(get(found, "ranked", default=()))
    lines = [f"Advised: {cell(get(ranked[0], 'technique'))}." if ranked else "Nothing was advised."]
    lines += texts(found, "evidence")
    lines += [f"What would change it: {words}" for words in texts(found, "would_change")]
    lines += [f"Look at this first: {words}" for words in texts(found, "warnings")]
    measures = list(dict.fromkeys(key for one in ranked for key, value in numbers(one, "measures").items() if value))
    rows = []
    for one in ranked[:SHOWN]:
        measured = numbers(one, "measures")
        said = (f"{measured[key]:.3f}" if key in measured else "-" for key in measures)
        rows.append((cell(get(one, "technique", default="?")), f"{as_number(get(one, 'score')):.3f}", *said))
    table = Table(("technique", "score", *map(cell, measures)), tuple(rows)) if rows else None
    flags = [Flag("advice", 1, words) for words in texts(found, "warnings")]
    if ranked and technique and (best := str(get(ranked[0], "technique"))) != technique:
        flags.append(Flag("other advice", 1, f"{cell(best)} is advised, {cell(technique)} was chosen"))
    return Part("Why: the advice", tuple(lines), table=table, wide=len(measures) > 3), tuple(flags)


def of_drift(found: Any) -> Part:
    """What was checked, and what was found about the whole."""
    rows, fitted = as_number(get(found, "rows")), as_number(get(found, "rows_of_fit"))
    columns = by_name(get(found, "columns"))
    bad = [name for name, one in columns.items() if get(one, "severity", default="none") != "none"]
    about = f"{_many(rows)} rows of {_said(found, 'source')} beside {_many(fitted)} rows of the fit: "
    about += f"{len(bad):,} of {len(columns):,} columns have drifted." if bad else "no column has drifted."
    return Part("Checked against new data", (about, *texts(found, "findings")))


def of_column_drift(found: Any, look: Look | None) -> tuple[Part, tuple[Flag, ...]]:
    """How far one column has moved: in words, in numbers, and on the same bins where both distributions are known."""
    said = texts(found, "findings")
    severity = str(get(found, "severity", default="none"))
    measured = {name: value for name, value in numbers(found, "numbers").items() if math.isfinite(value)}
    table = _measures(measured)
    new = get(found, "profile")
    drawings: tuple[Scene, ...] = ()
    name = str(get(found, "name", "column", default=""))
    if isinstance(new, ColumnProfile) and look is not None:
        drawings = (two(look, before(new.profile, new.column.name), ("the fit", "new data"), cell(name)),)
    level = LEVELS.get(severity)
    flags = (Flag("drift", level, said[0] if said else f"{severity} drift"),) if level else ()
    lines = (f"Drift: {severity}.", *said)
    return Part("New data", lines, drawings, table if measured else None, wide=bool(drawings)), flags


def _measures(measured: dict[str, float]) -> Table:
    """Numbers by name, a row for each; beside it what belongs to it: `psi_low` to `psi`, and so on."""

    def said(name: str) -> str:
        value = measured.get(name)
        return "" if value is None else number(value if value == int(value) else float(f"{value:.4g}"))

    rows = []
    for name in measured:
        stem, _, kind = name.partition("_")
        if stem in measured and kind in BESIDE:
            continue
        low, high = said(f"{name}_low"), said(f"{name}_high")
        between = low if low == high else f"{low} to {high}"
        rows.append((cell(name), said(name), said(f"{name}_of_fit"), between, said(f"{name}_noise")))
    header = ("", "new data", "of the fit", "surely between", "by chance below")
    kept = [i for i in range(len(header)) if i < 2 or any(row[i] for row in rows)]
    return Table(tuple(header[i] for i in kept), tuple(tuple(row[i] for i in kept) for row in rows))


def shift_of(found: Any) -> float:
    """By which columns are sorted: how far it moved, in units of the fitted scale; -1 where that is not known."""
    shift = abs(numbers(found, "numbers").get("shift", -1.0)) if found is not None else -1.0
    return shift if math.isfinite(shift) else -1.0


def _many(value: float) -> str:
    return "?" if math.isnan(value) else f"{value:,.0f}"


def _said(found: Any, name: str) -> str:
    return cell(get(found, name, default="?"))


def names_of(*found: Any) -> Iterator[str]:
    """Which columns the evidence is about, each once."""
    yield from dict.fromkeys(name for one in found if one is not None for name in by_name(get(one, "columns")))
