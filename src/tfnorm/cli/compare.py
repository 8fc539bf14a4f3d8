"""The command that trains: which technique helps a network on these data."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tfnorm.cli.common import (
    EXIT,
    Delimiter,
    Force,
    Json,
    NoColor,
    OnErrorOption,
    Output,
    Paths,
    Quiet,
    Weight,
    app,
    begin,
    check_output,
    end_if_skipped,
    load,
    on_error_of,
    open_files,
)
from tfnorm.errors import DataError
from tfnorm.terminal import result, silent_start

SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
PICTURES = (".png", ".svg")


def seconds_of(text: str | None) -> float | None:
    """`90`, `60s`, `2m` or `1h` as seconds.

    >>> seconds_of("60s"), seconds_of("1.5m"), seconds_of(None)
    (60.0, 90.0, None)
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([a-z]*)\s*", text)
    if match is None or match[2] not in SECONDS or not float(match[1]) > 0:
        raise typer.BadParameter(f'expected a time as 60s, 2m or 1h, got "{text}"', param_hint="--budget")
    return float(match[1]) * SECONDS[match[2]]


def techniques_of(texts: Sequence[str] | None) -> Any:
    """Techniques by their text; a name ending in .json stands for the choice of that fit, .toml for that of a plan."""
    from tfnorm.advice.plan import load_plan
    from tfnorm.fitted import Fitted
    from tfnorm.techniques import parse

    if not texts:
        return None
    found: dict[str, Any] = {}
    for text in texts:
        if text in found:
            raise typer.BadParameter(f'"{text}" is there twice', param_hint="-t")
        found[text] = text
        if text.endswith(".json"):
            fitted = load(text)
            if not isinstance(fitted, Fitted):
                raise DataError(f"{text}: holds no fit. Name a technique, or a file that tfnorm fit wrote.")
            found[text] = fitted.choice
        elif text.endswith(".toml"):
            found[text] = load_plan(text).choice
        elif text.strip() != "auto":
            parse(text)  # told before TensorFlow starts
    return found


@app.command(epilog=EXIT)
def compare(
    paths: Paths,
    target: Annotated[str, typer.Option("--target", metavar="COLUMN", help="What to predict.")],
    technique: Annotated[
        list[str] | None,
        typer.Option(
            "-t", "--technique", metavar="NAME", help="One of several; auto; or the choice of a NORM.JSON, PLAN.TOML."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="mlp|linear|cnn|rnn", help="By the columns' shapes by default.")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="regression|classification", help="By the target by default.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option("--column", metavar="NAME", help="A feature; all numeric columns by default.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs of each technique.")] = 5,
    steps: Annotated[int | None, typer.Option("--steps", min=1, metavar="N", help="Of each run; 2,000.")] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="60s|2m", help="Time to train in; sets steps.")
    ] = None,
    rows: Annotated[int | None, typer.Option("--rows", min=4, metavar="N", help="At most; 100,000.")] = None,
    validation: Annotated[float, typer.Option("--validation", metavar="SHARE", help="Of the rows held out.")] = 0.2,
    picture: Annotated[
        str | None, typer.Option("--picture", metavar="FILE", help="Loss curves, as .png or .svg.")
    ] = None,
    output: Output = None,
    force: Force = False,
    weight: Weight = None,
    delimiter: Delimiter = None,
    on_error: OnErrorOption = "raise",
    as_json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Train the same small network with each technique and with none, and say which helps.

    \b
    tfnorm compare train.parquet --target price
    tfnorm compare train.csv --target species -t standard -t 'log1p, standard' --budget 60s
    tfnorm compare train.csv --target price --picture curves.png -o comparison.json

    Same initial weights, same order of rows, fitted on the training part only. Needs TensorFlow: pip install 'tfnorm[tf]'.
    """
    terminal = begin(quiet, no_color)
    seconds = seconds_of(budget)
    for file in (output, picture):
        check_output(file, force)
    if picture is not None and Path(picture).suffix.lower() not in PICTURES:
        raise typer.BadParameter(f'expected a name ending with .png or .svg, got "{picture}"', param_hint="--picture")
    if picture is not None and Path(picture).suffix.lower() == ".png":
        from tfnorm.drawing.png import library

        library()  # told before training, not after
    techniques = techniques_of(technique)
    source = open_files(paths, weight, delimiter, terminal, on_error)
    from tfnorm.comparing import compare as run
    from tfnorm.comparing.samples import target_column
    from tfnorm.comparing.showing import json_text
    from tfnorm.comparing.training import libraries

    target_column(source, target)  # told before TensorFlow starts, not after
    terminal.say("starting TensorFlow ...")
    with silent_start():
        libraries()
    options: dict[str, Any] = {"model": model, "task": task, "columns": column or None, "validation": validation}
    with terminal.bar("training", "steps") as callback:
        found = run(
            source,
            target=target,
            techniques=techniques,
            seeds=seeds,
            steps=steps,
            budget=seconds,
            rows=rows,
            on_error=on_error_of(on_error),
            callback=callback,
            **options,
        )
    if output == "-":
        result(json_text(found))
    elif output is not None:
        found.save(output)
    if output != "-":
        result(json_text(found) if as_json else repr(found))
    if picture is not None:
        found.plot(picture)
    for file in (output, picture):
        if file not in (None, "-"):
            terminal.say(f"saved {file}")
    best = found.contenders[0]
    fitted = best.technique.endswith(".json")  # there already
    if best.technique in (technique or [best.technique]) and best.choice and not best.diverged.any() and not fitted:
        how = "--plan" if best.technique.endswith(".toml") else "-t"
        terminal.next(f"tfnorm fit {shlex.join(paths)} {how} {shlex.quote(best.technique)} -o norm.json")
    end_if_skipped(*found.skipped)
