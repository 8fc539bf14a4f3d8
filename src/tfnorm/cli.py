"""The command line.

The one law: results on stdout, all else on stderr, and nothing is loaded that a command does not need: none but `demo`
loads TensorFlow.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import tfnorm
from tfnorm.errors import ChoiceError, DataError, TfnormError
from tfnorm.terminal import Terminal, fail, result, show_log

if TYPE_CHECKING:
    from tfnorm.fitted import Fitted
    from tfnorm.profile import Profile

EXIT = "Exit codes: 0 done, 1 error in data or file, 2 wrong usage, 130 interrupted."

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT,
)

Paths = Annotated[list[str], typer.Argument(metavar="PATH...", help="Parquet and CSV files, globs, folders.")]
Technique = Annotated[str | None, typer.Option("-t", "--technique", metavar="NAME", help="For all numeric columns.")]
Chosen = Annotated[list[str] | None, typer.Option("--set", metavar="COL=NAME", help="For one; without -t, only these.")]
Policy = Annotated[
    list[str] | None, typer.Option("--policy", metavar="[COL:]WHAT=DO", help="As fare:missing=0; see above.")
]
Share = Annotated[list[str] | None, typer.Option("--share", metavar="A,B,C", help="These get one set of numbers.")]
Exact = Annotated[bool, typer.Option("--exact", help="Read again where one pass gives bounds only.")]
Output = Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="Write it here; - for stdout.")]
Artefact = Annotated[str, typer.Argument(metavar="NORM.JSON", help="What fit or scan wrote; - for stdin.")]
Target = Annotated[str, typer.Option("-o", "--output", metavar="PATH", help="A file, or a folder for several.")]
Only = Annotated[list[str] | None, typer.Option("--only", metavar="COLUMN", help="Only these columns of the fit.")]
Axis = Annotated[
    str, typer.Option("--axis", metavar="last|all", help="Vectors: numbers by position, or one.", show_default=False)
]
Unit = Annotated[list[str] | None, typer.Option("--unit", metavar="COL=s", help="Count times in D, h, m, s, ms ...")]
Weight = Annotated[str | None, typer.Option("--weight", metavar="COLUMN", help="How often each row counts.")]
Delimiter = Annotated[str | None, typer.Option("--delimiter", metavar="CHAR", help="Of CSV, if neither comma nor tab.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, metavar="N", help="Threads; all cores by default.")]
Force = Annotated[bool, typer.Option("--force", help="Write over what is there.")]
Json = Annotated[bool, typer.Option("--json", help="Numbers as JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Errors only.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="As NO_COLOR=1.")]


def _version(wanted: bool) -> None:
    if wanted:
        result(f"tfnorm {tfnorm.__version__}")
        raise typer.Exit


@app.callback()
def _tfnorm(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Normalize training data for TensorFlow and Keras.

    \b
    tfnorm fit 'train/*.parquet' -t standard -o norm.json
    tfnorm show norm.json
    tfnorm transform norm.json test.parquet -o normalized.parquet
    """


@app.command(epilog=EXIT)
def fit(
    paths: Paths,
    technique: Technique = None,
    chosen: Chosen = None,
    output: Output = None,
    force: Force = False,
    policy: Policy = None,
    share: Share = None,
    exact: Exact = False,
    axis: Axis = "last",
    unit: Unit = None,
    weight: Weight = None,
    delimiter: Delimiter = None,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Fit techniques in one pass over the training data.

    \b
    tfnorm fit 'train/*.parquet' -o norm.json
    tfnorm fit train.csv -t standard --set fare='log1p, standard' -o norm.json
    tfnorm fit train/ --set age=robust --set 'share=minmax(-1, 1)' -o norm.json

    A technique is a name, or several in turn: see tfnorm techniques. Policies: constant=zero|keep|error,
    missing=keep|error|NUMBER, infinite=error|missing, out_of_range=keep|clip|missing.
    """
    terminal = _begin(quiet, no_color)
    units = _units(unit)
    options: dict[str, Any] = {"axis": _axis(axis), "unit": units, "workers": workers}
    pairs = dict(_column_and_technique(text) for text in chosen or [])
    _check_output(output, force)
    source = _open(paths, weight, delimiter, terminal)
    choice: Any = technique or "standard"
    if pairs and technique is None:
        choice = pairs
    elif pairs:
        times = [c.name for c in source.columns if c.kind == "time"]
        counted = times if isinstance(units, str) else list(units or ())
        numeric = [c.name for c in source.columns if c.kind == "number" or c.name in counted]
        choice = dict.fromkeys((name for name in numeric if name != source.weight), technique) | pairs
    options |= _policies(policy)
    options["share"] = [group.split(",") for group in share] if share else None
    with terminal.bar("fitting") as progress:
        fitted = tfnorm.fit(source, choice, exact=exact, progress=progress, **options)
    _finish(fitted, output, as_json, terminal)
    if output not in (None, "-"):
        terminal.next(f"tfnorm transform {shlex.quote(str(output))} {shlex.quote(paths[0])} -o normalized{_end(paths)}")


@app.command(epilog=EXIT)
def scan(
    paths: Paths,
    output: Output = None,
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
    """Look at the data: all statistics of all numeric columns, in one pass.

    \b
    tfnorm scan train.csv
    tfnorm scan 'train/*.parquet' -o profile.json
    """
    terminal = _begin(quiet, no_color)
    options: dict[str, Any] = {"axis": _axis(axis), "unit": _units(unit), "workers": workers}
    _check_output(output, force)
    source = _open(paths, weight, delimiter, terminal)
    with terminal.bar("scanning") as progress:
        profile = tfnorm.scan(source, progress=progress, **options)
    _finish(profile, output, as_json, terminal)
    again = f"tfnorm show {shlex.quote(output)}" if output not in (None, "-") and output else None
    terminal.next(again or f"tfnorm fit {shlex.join(paths)} -t standard -o norm.json")


@app.command(epilog=EXIT)
def show(artefact: Artefact, as_json: Json = False, quiet: Quiet = False) -> None:
    """Show a saved fit or profile as a table.

    \b
    tfnorm show norm.json
    tfnorm show norm.json --json | jq '.[].mean'
    """
    _begin(quiet, False)
    _show(_load(artefact), as_json)


@app.command(epilog=EXIT)
def transform(
    artefact: Artefact,
    paths: Paths,
    output: Target,
    only: Only = None,
    force: Force = False,
    delimiter: Delimiter = None,
    as_json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Normalize files: the fitted columns are replaced, all others copied.

    \b
    tfnorm transform norm.json test.parquet -o normalized.parquet
    tfnorm transform norm.json 'raw/**/*.csv' -o normalized/

    Parquet or CSV by the end of the name; a folder keeps the names of its files. Data may be of any size.
    """
    _run_files(artefact, paths, output, only, force, delimiter, as_json, _begin(quiet, no_color), inverse=False)


@app.command(epilog=EXIT)
def inverse(
    artefact: Artefact,
    paths: Paths,
    output: Target,
    only: Only = None,
    force: Force = False,
    delimiter: Delimiter = None,
    as_json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Bring normalized files back to real units; those columns of the fit that are there.

    \b
    tfnorm inverse norm.json predictions.csv -o in_minutes.csv
    tfnorm inverse norm.json predictions.parquet --only fare -o fares.csv
    """
    _run_files(artefact, paths, output, only, force, delimiter, as_json, _begin(quiet, no_color), inverse=True)


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

    terminal = _begin(quiet, False)
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

    terminal = _begin(quiet, False)
    run(Path(output), say=result, force=force)
    terminal.next(f"tfnorm show {shlex.quote(str(Path(output) / 'norm.json'))}")


def _begin(quiet: bool, no_color: bool) -> Terminal:
    show_log(quiet)
    return Terminal(quiet, not no_color)


def _axis(text: str) -> int | None:
    if text not in ("last", "all"):
        raise typer.BadParameter(f'expected last or all, got "{text}"', param_hint="--axis")
    return -1 if text == "last" else None


def _units(texts: Sequence[str] | None) -> str | dict[str, str] | None:
    """`s` for all columns of times, or `column=s` for each."""
    if not texts:
        return None
    if any("=" not in text for text in texts):
        if len(texts) > 1:
            raise typer.BadParameter("give one unit for all, or COLUMN=UNIT for each", param_hint="--unit")
        return texts[0]
    return {name: unit for name, _, unit in (text.rpartition("=") for text in texts)}


def _policies(texts: Sequence[str] | None) -> dict[str, Any]:
    """`missing=0` for all columns, `fare:missing=0` for one; those for one rule."""
    found: dict[str, Any] = {}
    for text in texts or ():
        what, _, do = text.rpartition("=")
        column, _, policy = what.rpartition(":")
        if policy not in ("constant", "missing", "infinite", "out_of_range"):
            raise typer.BadParameter(
                f'expected constant, missing, infinite or out_of_range, as in missing=0, got "{text}"',
                param_hint="--policy",
            )
        said: Any = do
        with contextlib.suppress(ValueError):
            said = float(do)
        if bool(column) != isinstance(found.get(policy, {} if column else None), dict):
            raise typer.BadParameter(f"give {policy} for all columns, or column by column", param_hint="--policy")
        if column:
            found.setdefault(policy, {})[column] = said
        else:
            found[policy] = said
    return found


def _column_and_technique(text: str) -> tuple[str, str]:
    """`column=technique` split at the last `=` that leaves a technique: names and arguments may hold others."""
    from tfnorm.techniques import parse

    places = [i for i, letter in enumerate(text) if letter == "="]
    if not places:
        raise typer.BadParameter(f'expected COLUMN=TECHNIQUE, got "{text}"', param_hint="--set")
    for place in reversed(places):
        try:
            parse(text[place + 1 :])
        except ChoiceError as error:
            reason = error
            continue
        return text[:place], text[place + 1 :]
    raise typer.BadParameter(str(reason), param_hint="--set")


def _open(paths: Sequence[str], weight: str | None, delimiter: str | None, terminal: Terminal) -> Any:
    from tfnorm.sources import open_source

    source = open_source(list(paths), weight=weight, delimiter=delimiter)
    for note in getattr(source, "notes", ()):
        terminal.say(f"note: {note}")
    return source


def _load(artefact: str) -> Any:
    from tfnorm.artefact import loads

    return loads(sys.stdin.buffer.read()) if artefact == "-" else tfnorm.load(artefact)


def _check_output(output: str | None, force: bool) -> None:
    """Told before the data are read, not after."""
    if output is None or output == "-":
        return
    path = Path(output)
    if path.is_dir():
        raise DataError(f"{output}: is a folder. Name a file in it: -o {path / 'norm.json'}.")
    if path.exists() and not force:
        raise DataError(f"{output}: is there already. Choose another name, or write over it with --force.")
    if not os.access(path.absolute().parent, os.W_OK):
        raise DataError(f"{output}: cannot write to the folder {path.absolute().parent}. Make it, or choose another.")


def _finish(value: Fitted | Profile, output: str | None, as_json: bool, terminal: Terminal) -> None:
    """Save it and show it."""
    from tfnorm.artefact import dumps

    if output == "-":
        result(dumps(value).decode().rstrip("\n"))
        return
    if output is not None:
        value.save(output)
    if as_json or output is None or not terminal.quiet:
        _show(value, as_json)
    if output is None:
        terminal.say("not saved: -o FILE does")
    else:
        terminal.say(f"saved {output}")


def _show(value: Fitted | Profile, as_json: bool) -> None:
    from tfnorm.summary import records
    from tfnorm.tables import table_of

    result(json.dumps(list(records(value)), indent=1, ensure_ascii=True) if as_json else table_of(value))


def _run_files(
    artefact: str,
    paths: Sequence[str],
    output: str,
    only: Sequence[str] | None,
    force: bool,
    delimiter: str | None,
    as_json: bool,
    terminal: Terminal,
    *,
    inverse: bool,
) -> None:
    from tfnorm import files_out
    from tfnorm.fitted import Fitted
    from tfnorm.sources.columns import quoted

    fitted = _load(artefact)
    if not isinstance(fitted, Fitted):
        raise DataError(f"{artefact}: holds a profile, and no fit. Fit first: tfnorm fit ... -o norm.json.")
    planned = files_out.plan(paths, output, force=force)
    with terminal.bar("inverting" if inverse else "transforming") as progress:
        rows = files_out.run(fitted, planned, inverse=inverse, only=only or (), delimiter=delimiter, progress=progress)
    if as_json:
        result(json.dumps({"output": output, "files": len(planned.files), "rows": rows}))
    files = f"{len(planned.files)} files, " if len(planned.files) > 1 else ""
    terminal.say(f"wrote {output} ({files}{rows:,} rows)")
    for (name, policy), count in fitted.fired.items():
        terminal.say(f"{quoted([name])}: {policy} in {count:,} values: {fitted.rules.of(name).done(policy)}")
    path = shlex.quote(output)
    back = f"tfnorm inverse {shlex.quote(artefact)} {path} -o real{_end([output])}"
    terminal.next(f"tfnorm scan {path}" if inverse else back)


def _end(paths: Sequence[str]) -> str:
    """How the name of an output like these inputs would end."""
    from tfnorm.sources.paths import CSV, PARQUET

    one = paths[0].lower()
    plain = len(paths) == 1 and not any(mark in one for mark in "*?[")
    return next((end for end in (*PARQUET, *CSV) if plain and one.endswith(end)), "/")


def _terminated(number: int, _frame: Any) -> None:
    raise SystemExit(128 + number)  # so that what is half-written is cleared away


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks block characters shows ?
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)
    try:
        app(args=arguments, prog_name="tfnorm")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except TfnormError as error:
        fail(str(error))
    except MemoryError:
        fail("out of memory. Use fewer threads (--workers 1), or fewer columns at a time (--set).")
    except OSError as error:
        fail(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
    except ImportError as error:
        fail(str(error))
    except KeyboardInterrupt:
        return 130
    return 1
