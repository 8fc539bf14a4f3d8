"""A comparison as a table in plain text, as HTML for notebooks, and as JSON for machines.

The one law: the table, the page and the file say the same numbers; what the data named is shown escaped.
"""

from __future__ import annotations

import html
import json
import textwrap
from typing import Any

import tfnorm
from tfnorm.artefact import checksum_of
from tfnorm.codec import encode
from tfnorm.comparing.numbers import short
from tfnorm.comparing.values import Comparison, Contender
from tfnorm.drawing import Scene, loss_curves, svg
from tfnorm.sources.columns import cell
from tfnorm.writing import write_atomically

WIDTH = 110
FORMAT, VERSION = "tfnorm comparison", 1


def text(found: Comparison) -> str:
    """Title, table, verdict and notes."""
    header, rows = _table(found)
    widths = [max(len(one) for one in column) for column in zip(header, *rows, strict=True)]
    lines = [_title(found)]
    for row in (header, *rows):
        cells = [one.ljust(width) if i == 0 else one.rjust(width) for i, (one, width) in enumerate(zip(row, widths))]  # noqa: B905
        lines.append("  ".join(cells).rstrip())
    for said in (found.verdict, *_remarks(found)):
        lines += ["", *textwrap.wrap(said, WIDTH)] if said == found.verdict else textwrap.wrap(said, WIDTH)
    return "\n".join(lines)


def as_html(found: Comparison) -> str:
    """The same, and the loss curves, without scripts."""
    header, rows = _table(found)

    def line(tag: str, cells: tuple[str, ...]) -> str:
        sides = ("left", *["right"] * (len(cells) - 1))
        marked = (
            f'<{tag} style="text-align:{side}">{html.escape(one)}</{tag}>'
            for side, one in zip(sides, cells, strict=True)
        )
        return f"<tr>{''.join(marked)}</tr>"

    body = "".join(line("td", row) for row in rows)
    remarks = "".join(f"<div>{html.escape(said)}</div>" for said in _remarks(found))
    return (
        f'<div style="overflow-x:auto"><div>{html.escape(_title(found))}</div>'
        f'<table style="font-variant-numeric:tabular-nums"><thead>{line("th", header)}</thead><tbody>{body}</tbody></table>'
        f"<div><b>{html.escape(found.verdict)}</b></div>{svg(scene_of(found))}{remarks}</div>"
    )


def scene_of(found: Comparison) -> Scene:
    """The loss curves."""
    losses = {cell(one.technique): one.losses for one in found.contenders}
    return loss_curves(found.marks, losses, found.metric, found.baseline)


def _title(found: Comparison) -> str:
    seeds = f"{len(found.seeds)} seed{'s' * (len(found.seeds) != 1)}"
    columns = f"{len(found.columns):,} column{'s' * (len(found.columns) != 1)}"
    return (
        f'predicting "{cell(found.target)}" from {columns} with {found.model}: '
        f"{found.steps:,} steps, {seeds}, {found.rows:,} rows and {found.validation_rows:,} held out"
    )


def _table(found: Comparison) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    header = ["technique", "final loss", "± seeds", "lowest", f"steps to {short(found.level)}", "condition"]
    judged = any(one.accuracy is not None for one in found.contenders)
    header += ["accuracy"] * judged
    astray = any(one.diverged.any() for one in found.contenders)
    header += ["diverged"] * astray
    rows = [_row(one, judged, astray) for one in found.contenders]
    rows += [(cell(name), "not run", *[""] * (len(header) - 2)) for name in found.failed]
    return tuple(header), rows


def _row(one: Contender, judged: bool, astray: bool) -> tuple[str, ...]:
    row = [
        cell(one.technique),
        short(one.loss),
        short(one.spread),
        short(one.lowest),
        f"{one.steps:,.0f}" if one.steps == one.steps else "never",
    ]
    row.append(short(one.condition))
    if judged:
        row.append("-" if one.accuracy is None or one.diverged.any() else f"{100 * one.accuracy.mean():.1f}%")
    if astray:
        row.append(f"{int(one.diverged.sum())} of {len(one.diverged)}")
    return tuple(row)


def _remarks(found: Comparison) -> list[str]:
    failed = [f"Not run: {cell(name)}: {why}" for name, why in found.failed.items()]
    legend = (
        f"Loss: {found.metric}, on the held-out rows; a constant guess has {short(found.baseline)}. "
        "Lowest: at its best mark. Steps: until the loss that the best one has at half its steps. "
        "Condition: of the second-moment matrix of the training features that vary and a constant 1."
    )
    return [*failed, *found.notes, legend]


def as_dict(found: Comparison) -> dict[str, Any]:
    """The values of a comparison, and what is worked out of them."""
    contenders = [
        {
            "technique": one.technique,
            "choice": dict(one.choice),
            "loss": one.loss,
            "spread": one.spread,
            "lowest": one.lowest,
            "steps": one.steps,
            "condition": one.condition,
            "diverged": one.diverged,
            "final": one.final,
            "steps_to": one.steps_to,
            "accuracy": one.accuracy,
            "losses": one.losses,
        }
        for one in found.contenders
    ]
    content = encode(
        {
            "target": found.target,
            "model": found.model,
            "metric": found.metric,
            "columns": list(found.columns),
            "rows": found.rows,
            "validation_rows": found.validation_rows,
            "seeds": list(found.seeds),
            "steps": found.steps,
            "budget": found.budget,
            "level": found.level,
            "baseline": found.baseline,
            "verdict": found.verdict,
            "notes": list(found.notes),
            "failed": dict(found.failed),
            "skipped": found.skipped,
            "marks": found.marks,
            "contenders": contenders,
        }
    )
    head = {"format": FORMAT, "format_version": VERSION, "tfnorm": tfnorm.__version__}
    return {**head, "checksum": checksum_of(content), **content}


def json_text(found: Comparison) -> str:
    """Strict JSON."""
    return json.dumps(as_dict(found), allow_nan=False, ensure_ascii=True)


def save(found: Comparison, path: Any) -> None:
    """Write it; an old file stays whole until the new one is."""
    write_atomically(path, (json_text(found) + "\n").encode())
