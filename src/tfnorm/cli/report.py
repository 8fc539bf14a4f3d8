"""The command that makes a report: a page about what the other commands wrote."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tfnorm.artefact import MAX_BYTES, loads
from tfnorm.cli.common import EXIT, Force, Quiet, app, begin, check_output
from tfnorm.errors import ArtefactError, DataError, TfnormError
from tfnorm.terminal import result

Files = Annotated[
    list[str],
    typer.Argument(metavar="FILE...", help="What fit, scan, check, compare and advise wrote; - for stdin."),
]
COMPARISON = "tfnorm comparison"  # as its file begins
Out = Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="The page; - for stdout.")]


@app.command(epilog=EXIT)
def report(files: Files, output: Out = None, force: Force = False, quiet: Quiet = False) -> None:
    """Make one HTML page about a fit or a profile, and what was checked, compared and advised.

    \b
    tfnorm report norm.json
    tfnorm report monday.json tuesday.json -o diff.html
    tfnorm report norm.json drift.json comparison.json -o report.html

    Two fits are shown side by side. The page is one file that loads nothing: send it, keep it, print it. Without -o it is
    report.html.
    """
    from tfnorm.comparing import Comparison
    from tfnorm.looks import NO_SKETCH
    from tfnorm.reporting import report as made

    terminal = begin(quiet, False)
    target = output or "report.html"
    check_output(target, force)
    values, names = [], []
    for file in files:
        value = _read(file)
        values.append(value)
        if not isinstance(value, dict | Comparison):
            names.append("stdin" if file == "-" else Path(file).name)
    page = made(values, names=names)
    if target == "-":
        result(page.html)
        return
    page.save(target)
    if NO_SKETCH in page.html:
        terminal.say(
            "note: some columns have no distribution to draw, as the fit gathered none: tfnorm fit --full does"
        )
    terminal.say(f"wrote {target}: {page.title}, {len(page.html.encode()) / 1e6:.2f} MB. Open it in a browser.")


def _read(file: str) -> Any:
    """What a command saved, or the JSON that one printed."""
    from tfnorm.reporting.reading import kind_of

    try:
        if file != "-" and (size := Path(file).stat().st_size) > MAX_BYTES:
            raise DataError(f"{size} bytes is too large (limit {MAX_BYTES}).")
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"not JSON: {error}. Give what fit, scan, check, compare or advise wrote as JSON."
            ) from None
        if not isinstance(value, dict):
            raise DataError(
                f"holds a JSON {type(value).__name__}, and nothing that fit, check, compare or advise writes."
            )
        if value.get("format") not in ("tfnorm", COMPARISON) and not kind_of(value):
            raise DataError("holds nothing that fit, scan, check, compare or advise writes.")
        if value.get("format") == COMPARISON:
            from tfnorm.comparing.loading import loads as loads_comparison

            return loads_comparison(data)
        return loads(data) if value.get("format") == "tfnorm" else value
    except ArtefactError as error:
        raise ArtefactError(f"{file}: {error}") from None
    except TfnormError as error:
        raise DataError(f"{file}: {error}") from None
