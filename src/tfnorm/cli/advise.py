"""The command that advises: which technique for which column, and why, as a plan to edit."""

from __future__ import annotations

import json
import shlex
from typing import Annotated, Any

import typer

import tfnorm
from tfnorm.cli.common import (
    EXIT,
    Activation,
    Axis,
    Delimiter,
    Force,
    Json,
    NoColor,
    OnErrorOption,
    Paths,
    Quiet,
    TargetColumn,
    Unit,
    Weight,
    Workers,
    app,
    axis_of,
    begin,
    check_output,
    end_if_skipped,
    on_error_of,
    open_files,
    units_of,
)
from tfnorm.terminal import result
from tfnorm.writing import write_atomically

Model = Annotated[
    str, typer.Option("--model", metavar="FAMILY", help="mlp, linear, cnn, rnn, transformer, knn or trees.")
]
PlanOutput = Annotated[
    str | None, typer.Option("-o", "--output", metavar="PLAN.TOML", help="Write a plan here; - for stdout.")
]


@app.command(epilog=EXIT)
def advise(
    paths: Paths,
    model: Model = "mlp",
    activation: Activation = None,
    target: TargetColumn = None,
    output: PlanOutput = None,
    force: Force = False,
    axis: Axis = "last",
    unit: Unit = None,
    weight: Weight = None,
    delimiter: Delimiter = None,
    on_error: OnErrorOption = "raise",
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Advise which technique suits which column, with the reasons, as a plan to edit.

    \b
    tfnorm advise train.parquet --target price -o plan.toml
    tfnorm fit --plan plan.toml train.parquet -o norm.json
    tfnorm advise train.csv --model linear --json
    tfnorm advise profile.json        (what scan saved)
    """
    terminal = begin(quiet, no_color)
    check_output(output, force)
    options: dict[str, Any] = {"axis": axis_of(axis), "unit": units_of(unit)}
    profile = _saved(paths)
    source: Any = open_files(paths, weight, delimiter, terminal, on_error) if profile is None else profile
    options["on_error"] = on_error_of(on_error)
    with terminal.bar("scanning") as callback:
        advice = tfnorm.advise(source, model, activation, target, workers=workers, callback=callback, **options)
    if output == "-":
        result(advice.plan().rstrip("\n"))
        end_if_skipped(*advice.skipped)
        return
    if output is not None:
        write_atomically(output, advice.plan().encode())
    if as_json:
        result(json.dumps(advice.to_dict(), indent=1, ensure_ascii=True))
    elif output is None or not quiet:
        result(repr(advice))
    if output is not None:
        terminal.say(f"wrote {output}")
    files = shlex.join(paths) if profile is None else "train.parquet"
    if output is not None:
        terminal.next(f"tfnorm fit --plan {shlex.quote(output)} {files} -o norm.json")
    else:
        said = {"--target": target, "--model": None if model == "mlp" else model, "--activation": activation}
        asked = "".join(f" {option} {shlex.quote(value)}" for option, value in said.items() if value is not None)
        terminal.next(f"tfnorm fit -t auto{asked} {files} -o norm.json")
    end_if_skipped(*advice.skipped)


def _saved(paths: list[str]) -> Any:
    """A profile that scan saved, or that of a fit; None where the paths are of data."""
    if len(paths) != 1 or not paths[0].endswith(".json"):
        return None
    from tfnorm.fitted import Fitted

    found = tfnorm.load(paths[0])
    return found.profile if isinstance(found, Fitted) else found
