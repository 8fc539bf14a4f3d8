"""The commands of the main job: fit, scan, show, transform, inverse, techniques, demo."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import tfnorm
from tfnorm.cli.common import (
    EXIT,
    AbsentOption,
    Artefact,
    Axis,
    By,
    Checkpoint,
    Chosen,
    Delimiter,
    Engine,
    Exact,
    Force,
    Full,
    Json,
    NoColor,
    OnErrorOption,
    Only,
    Output,
    Paths,
    PlanFile,
    Policy,
    Query,
    Quiet,
    Share,
    Target,
    TargetColumn,
    Technique,
    Unit,
    Weight,
    Workers,
    app,
    axis_of,
    begin,
    check_output,
    end_if_skipped,
    end_of,
    finish,
    load,
    open_files,
    pairs_of,
    plan_of,
    policies_of,
    show_keys,
    show_value,
    skipped_of,
    units_of,
)
from tfnorm.engines.named import engine_of
from tfnorm.errors import DataError
from tfnorm.terminal import Terminal, result


@app.command(epilog=EXIT)
def fit(
    paths: Paths,
    technique: Technique = None,
    chosen: Chosen = None,
    plan: PlanFile = None,
    target: TargetColumn = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="FAMILY", help="For which auto advises; see advise.")
    ] = None,
    activation: Annotated[str | None, typer.Option("--activation", hidden=True)] = None,  # as advise tells it
    output: Output = None,
    force: Force = False,
    policy: Policy = None,
    share: Share = None,
    exact: Exact = False,
    full: Full = False,
    axis: Axis = "last",
    unit: Unit = None,
    weight: Weight = None,
    delimiter: Delimiter = None,
    checkpoint: Checkpoint = None,
    on_error: OnErrorOption = "raise",
    absent: AbsentOption = "error",
    query: Query = None,
    engine: Engine = "threads",
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Fit techniques (see tfnorm techniques) in one pass over the training data.

    \b
    tfnorm fit train.csv -t standard --set fare='log1p, standard' -o norm.json
    tfnorm fit train.parquet -t auto --target price --model mlp -o norm.json

    Policies: constant=zero|keep|error, missing=keep|error|NUMBER, infinite=error|missing, out_of_range=keep|clip|missing.
    """
    terminal = begin(quiet, no_color)
    units = units_of(unit)
    options: dict[str, Any] = {"axis": axis_of(axis), "unit": units, "engine": engine, "workers": workers}
    pairs = pairs_of(chosen)
    check_output(output, force)
    source = open_files(paths, weight, delimiter, terminal, on_error, absent, query)
    options |= {"checkpoint": checkpoint, "on_error": on_error}
    options |= {"target": target, "model": model, "activation": activation}
    choice: Any = technique or "standard"
    if pairs and technique is None:
        choice = pairs
    elif pairs:
        times = [c.name for c in source.columns if c.kind == "time"]
        counted = times if isinstance(units, str) else list(units or ())
        numeric = [c.name for c in source.columns if c.kind == "number" or c.name in counted]
        others = (source.weight, target if technique == "auto" else None)
        choice = dict.fromkeys((name for name in numeric if name not in others), technique) | pairs
    if plan is not None:
        choice, planned = plan_of(plan, technique, chosen, source)
        options |= planned
    options |= policies_of(policy)
    if share:
        options["share"] = [group.split(",") for group in share]
    with terminal.bar("fitting") as callback:
        fitted = tfnorm.fit(source, choice, exact=exact, full=full, callback=callback, **options)
    finish(fitted, output, as_json, terminal)
    if output not in (None, "-") and query is None:  # what is written out is files
        terminal.next(
            f"tfnorm transform {shlex.quote(str(output))} {shlex.quote(paths[0])} -o normalized{end_of(paths)}"
        )
    end_if_skipped(*skipped_of(fitted.profile))


@app.command(epilog=EXIT)
def scan(
    paths: Paths,
    output: Output = None,
    force: Force = False,
    axis: Axis = "last",
    unit: Unit = None,
    weight: Weight = None,
    by: By = None,
    delimiter: Delimiter = None,
    checkpoint: Checkpoint = None,
    on_error: OnErrorOption = "raise",
    absent: AbsentOption = "error",
    query: Query = None,
    engine: Engine = "threads",
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Look at the data: all statistics of all numeric columns, in one pass.

    \b
    tfnorm scan train.csv
    tfnorm scan 'train/*.parquet' -o profile.json
    tfnorm scan train.csv --by store -o profile.json
    tfnorm show profile.json --keys price
    """
    terminal = begin(quiet, no_color)
    options: dict[str, Any] = {"axis": axis_of(axis), "unit": units_of(unit), "engine": engine, "workers": workers}
    check_output(output, force)
    source = open_files(paths, weight, delimiter, terminal, on_error, absent, query)
    options |= {"checkpoint": checkpoint, "on_error": on_error, "by": by.split(",") if by else None}
    with terminal.bar("scanning") as callback:
        profile = tfnorm.scan(source, callback=callback, **options)
    finish(profile, output, as_json, terminal)
    again = f"tfnorm show {shlex.quote(output)}" if output not in (None, "-") and output else None
    terminal.next(again or f"tfnorm fit {shlex.join(paths)} -t standard -o norm.json")
    end_if_skipped(*skipped_of(profile))


@app.command(epilog=EXIT)
def show(
    artefact: Artefact,
    keys: Annotated[str | None, typer.Option("--keys", metavar="COLUMN", help="This one's numbers by key.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Show a saved fit or profile as a table.

    \b
    tfnorm show norm.json
    tfnorm show norm.json --json | jq '.[].mean'
    tfnorm show norm.json --keys price
    """
    begin(quiet, no_color)
    value = load(artefact)
    if keys is None:
        show_value(value, as_json)
    else:
        show_keys(getattr(value, "profile", value), keys, as_json)


@app.command(epilog=EXIT)
def transform(
    artefact: Artefact,
    paths: Paths,
    output: Target,
    only: Only = None,
    force: Force = False,
    delimiter: Delimiter = None,
    engine: Engine = "threads",
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Normalize files: the fitted columns are replaced, all others copied.

    \b
    tfnorm transform norm.json test.parquet -o normalized.parquet
    tfnorm transform norm.json 'raw/**/*.csv' -o normalized/

    The format goes by the end of the name; a folder keeps the names of its files. Data may be of any size.
    """
    run = engine_of(engine, workers)
    _run_files(artefact, paths, output, only, force, delimiter, run, as_json, begin(quiet, no_color), inverse=False)


@app.command(epilog=EXIT)
def inverse(
    artefact: Artefact,
    paths: Paths,
    output: Target,
    only: Only = None,
    force: Force = False,
    delimiter: Delimiter = None,
    engine: Engine = "threads",
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Bring normalized files back to real units; those columns of the fit that are there.

    \b
    tfnorm inverse norm.json predictions.csv -o in_minutes.csv
    tfnorm inverse norm.json predictions.parquet --only fare -o fares.csv
    """
    run = engine_of(engine, workers)
    _run_files(artefact, paths, output, only, force, delimiter, run, as_json, begin(quiet, no_color), inverse=True)


@app.command(epilog=EXIT)
def techniques(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Tell all about this one.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the techniques with their formulas.

    \b
    tfnorm techniques
    tfnorm techniques robust
    """
    import inspect

    from tfnorm.techniques import TECHNIQUES, parse

    terminal = begin(quiet, False)
    kinds = TECHNIQUES if name is None else {name: TECHNIQUES.get(name) or parse(name)[0].kind}
    if as_json:
        listed = []
        for kind in kinds.values():
            about = {"call": repr(kind), "formula": kind.summary, "about": inspect.getdoc(kind)}
            listed.append({"name": kind.name, **about})
        result(json.dumps(listed, indent=1))
    elif name is not None:
        result(f"{kinds[name]!r}\n\n{inspect.getdoc(kinds[name])}")
    else:
        width = max(len(repr(kind)) for kind in kinds.values())
        result("\n".join(f"{kind!r:{width}}  {kind.summary}" for kind in kinds.values()))
        terminal.next("tfnorm techniques robust")


@app.command(epilog=EXIT)
def demo(
    output: Annotated[str, typer.Option("-o", "--output", metavar="FOLDER", help="Where its files go.")] = "demo",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Show it all on real data: 336,776 flights, with and without normalization, in about a minute.

    \b
    tfnorm demo
    tfnorm demo -o flights
    """
    from tfnorm.demo import run

    terminal = begin(quiet, False)
    run(Path(output), say=result, force=force)
    terminal.next(f"tfnorm show {shlex.quote(str(Path(output) / 'norm.json'))}")


def _run_files(
    artefact: str,
    paths: Sequence[str],
    output: str,
    only: Sequence[str] | None,
    force: bool,
    delimiter: str | None,
    engine: Any,
    as_json: bool,
    terminal: Terminal,
    *,
    inverse: bool,
) -> None:
    from tfnorm import files_out
    from tfnorm.fitted import Fitted
    from tfnorm.sources.columns import quoted

    fitted = load(artefact)
    if not isinstance(fitted, Fitted):
        raise DataError(f"{artefact}: holds a profile, and no fit. Fit first: tfnorm fit ... -o norm.json.")
    planned = files_out.plan(paths, output, force=force)
    with terminal.bar("inverting" if inverse else "transforming") as callback:
        how: dict[str, Any] = {"delimiter": delimiter, "engine": engine, "callback": callback}
        rows = files_out.run(fitted, planned, inverse=inverse, only=only or (), **how)
    if as_json:
        result(json.dumps({"output": output, "files": len(planned.files), "rows": rows}))
    files = f"{len(planned.files)} files, " if len(planned.files) > 1 else ""
    terminal.say(f"wrote {output} ({files}{rows:,} rows)")
    for (name, policy), count in fitted.fired.items():
        terminal.say(f"{quoted([name])}: {policy} in {count:,} values: {fitted.rules.of(name).done(policy)}")
    path = shlex.quote(output)
    back = f"tfnorm inverse {shlex.quote(artefact)} {path} -o real{end_of([output])}"
    terminal.next(f"tfnorm scan {path}" if inverse else back)
