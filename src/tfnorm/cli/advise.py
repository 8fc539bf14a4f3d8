"""The command that advises: which technique for which column, and why, as a plan to edit."""

from __future__ import annotations

import json
import shlex
from typing import Annotated, Any

import typer

import tfnorm
from tfnorm.cli.common import (
    EXIT,
    Axis,
    Delimiter,
    Force,
    Json,
    NoColor,
    Paths,
    Quiet,
    Unit,
    Weight,
    Workers,
    app,
    axis_of,
    begin,
    check_output,
    open_files,
    units_of,
)
from tfnorm.terminal import result
from tfnorm.writing import write_atomically

Model = Annotated[
    str, typer.Option("--model", metavar="FAMILY", help="mlp, linear, cnn, rnn, transformer, knn or trees.")
]
Activation = Annotated[str | None, typer.Option("--activation", metavar="NAME", help="Of its hidden layers: tanh ...")]
TargetColumn = Annotated[str | None, typer.Option("--target", metavar="COLUMN", help="What is to be predicted.")]
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
    source: Any = open_files(paths, weight, delimiter, terminal) if profile is None else profile
    with terminal.bar("scanning") as callback:
        advice = tfnorm.advise(source, model, activation, target, workers=workers, callback=callback, **options)
    if output == "-":
        result(advice.plan().rstrip("\n"))
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
    elif target is None and activation is None and model == "mlp":
        terminal.next(f"tfnorm fit -t auto {files} -o norm.json")
    else:  # of which "auto" would know nothing
        terminal.next("the same with -o plan.toml, then tfnorm fit --plan plan.toml")


def _saved(paths: list[str]) -> Any:
    """A profile that scan saved, or that of a fit; None where the paths are of data."""
    if len(paths) != 1 or not paths[0].endswith(".json"):
        return None
    from tfnorm.fitted import Fitted

    found = tfnorm.load(paths[0])
    return found.profile if isinstance(found, Fitted) else found
