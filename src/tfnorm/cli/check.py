"""The command `check`: whether new data are still those that were fitted."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Annotated, Any

import typer

import tfnorm
from tfnorm.cli.common import (
    Artefact,
    Delimiter,
    Engine,
    Json,
    NoColor,
    OnErrorOption,
    Paths,
    Quiet,
    Weight,
    Workers,
    app,
    begin,
    end_if_skipped,
    load,
    on_error_of,
    open_files,
)
from tfnorm.terminal import result

DRIFT = 3
EXIT = "Exit codes: 0 no drift, 1 error, 2 misuse, 3 drift, 4 skipped, 130 stopped."


@app.command(epilog=EXIT)
def check(
    artefact: Artefact,
    paths: Paths,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="COLUMN", help="Check only these columns of the fit.")
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option("--threshold", metavar="WHAT=N[,M]", help="As shift=0.1 or psi=0.2,0.4; see above."),
    ] = None,
    false_alarms: Annotated[
        float, typer.Option("--false-alarms", metavar="P", help="How probable any may be, without drift.")
    ] = 0.01,
    normalized: Annotated[
        bool, typer.Option("--normalized", help="These data went through the fit already: did they, once?")
    ] = False,
    weight: Weight = None,
    delimiter: Delimiter = None,
    on_error: OnErrorOption = "raise",
    engine: Engine = "threads",
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Check new data against a fit: exit code 3 where they have drifted.

    \b
    tfnorm check norm.json 'new/*.parquet'
    tfnorm check norm.json today.csv --threshold psi=0.2 --threshold missing=0.05
    tfnorm check norm.json normalized.parquet --normalized

    A line a column, the worst first. Drift is an effect above its threshold (moderate, then severe) that chance does not
    explain: psi=0.1,0.25 ks=0.1,0.25 shift=0.2,0.5 (deviations) spread=1.5,2.5 missing=0.01,0.1 outside=0.01,0.1.
    Distributions are compared where the fit has them: tfnorm fit --full.
    """
    from tfnorm.drift.text import drift_text

    terminal = begin(quiet, no_color)
    limits = thresholds_of(threshold or ())
    fitted = load(artefact)
    source = open_files(paths, weight, delimiter, terminal, on_error)
    with terminal.bar("checking") as callback:
        drift = tfnorm.check(
            fitted,
            source,
            columns=only,
            thresholds=limits,
            false_alarms=false_alarms,
            normalized=normalized,
            on_error=on_error_of(on_error),
            engine=engine,
            workers=workers,
            callback=callback,
        )
    if as_json:
        result(drift.to_json())
    elif not quiet:
        result(drift_text(drift, limit=None))
    if drift.drifted and not as_json:
        terminal.next(f"tfnorm scan {shlex.join(paths)}")
    if drift.drifted:
        raise typer.Exit(DRIFT)
    end_if_skipped(*drift.skipped)


def thresholds_of(texts: Sequence[str]) -> dict[str, Any]:
    """`psi=0.2`, or `psi=0.2,0.4` for moderate and severe."""
    found: dict[str, Any] = {}
    for text in texts:
        name, _, numbers = text.partition("=")
        try:
            pair = tuple(float(one) for one in numbers.split(","))
        except ValueError:
            raise typer.BadParameter(
                f'expected WHAT=NUMBER, as in psi=0.2, got "{text}"', param_hint="--threshold"
            ) from None
        found[name] = pair[0] if len(pair) == 1 else pair
    return found
