"""What the commands share: their options, how they are read, how files are opened and results shown."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import tfnorm
from tfnorm.errors import ChoiceError, DataError
from tfnorm.terminal import Terminal, result, show_log

if TYPE_CHECKING:
    from tfnorm.fitted import Fitted
    from tfnorm.profile import Profile

SKIPPED = 4
EXIT = "Exit codes: 0 done, 1 error, 2 wrong usage, 3 drift, 4 skipped, 130 stopped."

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT,
)

Paths = Annotated[list[str], typer.Argument(metavar="PATH...", help="Files of any known format, globs, folders.")]
Technique = Annotated[
    str | None, typer.Option("-t", "--technique", metavar="NAME", help="For all numeric columns; auto advises.")
]
Chosen = Annotated[list[str] | None, typer.Option("--set", metavar="COL=NAME", help="For one; without -t, only these.")]
Policy = Annotated[
    list[str] | None, typer.Option("--policy", metavar="[COL:]WHAT=DO", help="As fare:missing=0; see above.")
]
Share = Annotated[list[str] | None, typer.Option("--share", metavar="A,B,C", help="These get one set of numbers.")]
Exact = Annotated[bool, typer.Option("--exact", help="Read again where one pass gives bounds only.")]
Full = Annotated[bool, typer.Option("--full", help="Gather all that scan does, for check and report.")]
PlanFile = Annotated[str | None, typer.Option("--plan", metavar="PLAN.TOML", help="What advise wrote, edited or not.")]
Output = Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="Write it here; - for stdout.")]
Artefact = Annotated[str, typer.Argument(metavar="NORM.JSON", help="What fit or scan wrote; - for stdin.")]
Target = Annotated[str, typer.Option("-o", "--output", metavar="PATH", help="A file, or a folder for several.")]
Only = Annotated[list[str] | None, typer.Option("--only", metavar="COLUMN", help="Only these columns of the fit.")]
Axis = Annotated[
    str, typer.Option("--axis", metavar="last|all", help="Vectors: numbers by position, or one.", show_default=False)
]
Unit = Annotated[list[str] | None, typer.Option("--unit", metavar="COL=s", help="Count times in D, h, m, s, ms ...")]
By = Annotated[str | None, typer.Option("--by", metavar="A,B", help="Numbers by these key columns, too.")]
Weight = Annotated[str | None, typer.Option("--weight", metavar="COLUMN", help="How often each row counts.")]
Delimiter = Annotated[str | None, typer.Option("--delimiter", metavar="CHAR", help="Of CSV, if neither comma nor tab.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, metavar="N", help="How many; all cores by default.")]
Engine = Annotated[
    str,
    typer.Option("--engine", metavar="NAME", help="processes, dask, ray, spark, beam[=ADDRESS].", show_default=False),
]
Force = Annotated[bool, typer.Option("--force", help="Write over what is there.")]
Checkpoint = Annotated[
    str | None,
    typer.Option("--checkpoint", metavar="FOLDER", help="Keep what is measured; go on there when run again."),
]
OnErrorOption = Annotated[
    str, typer.Option("--on-error", metavar="raise|skip", help="Files that cannot be read.", show_default=False)
]
Activation = Annotated[str | None, typer.Option("--activation", metavar="NAME", help="Of its hidden layers: tanh ...")]
TargetColumn = Annotated[str | None, typer.Option("--target", metavar="COLUMN", help="What is to be predicted.")]
Query = Annotated[
    str | None,
    typer.Option("--query", metavar="SQL", help="Of PATH sqlite:///FILE or duckdb:///FILE.", show_default=False),
]
AbsentOption = Annotated[
    str,
    typer.Option("--absent", metavar="error|missing", help="Columns that a later file lacks.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Numbers as JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Errors only.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="As NO_COLOR=1.", hidden=True)]  # helps fit a screen


def begin(quiet: bool, no_color: bool) -> Terminal:
    show_log(quiet)
    return Terminal(quiet, not no_color)


def axis_of(text: str) -> int | None:
    if text not in ("last", "all"):
        raise typer.BadParameter(f'expected last or all, got "{text}"', param_hint="--axis")
    return -1 if text == "last" else None


def on_error_of(text: str) -> Any:
    if text not in ("raise", "skip"):
        raise typer.BadParameter(f'expected raise or skip, got "{text}"', param_hint="--on-error")
    return text


def absent_of(text: str) -> Any:
    if text not in ("error", "missing"):
        raise typer.BadParameter(f'expected error or missing, got "{text}"', param_hint="--absent")
    return text


def end_if_skipped(*skipped: Any) -> None:
    """With an exit code of its own, where something was left out."""
    if any(skipped):
        raise typer.Exit(SKIPPED)


def skipped_of(profile: Profile) -> list[Any]:
    """The parts that could not be read."""
    return [part for origin in profile.provenance for part in origin.skipped]


def units_of(texts: Sequence[str] | None) -> str | dict[str, str] | None:
    """`s` for all columns of times, or `column=s` for each."""
    if not texts:
        return None
    if any("=" not in text for text in texts):
        if len(texts) > 1:
            raise typer.BadParameter("give one unit for all, or COLUMN=UNIT for each", param_hint="--unit")
        return texts[0]
    return {name: unit for name, _, unit in (text.rpartition("=") for text in texts)}


def policies_of(texts: Sequence[str] | None) -> dict[str, Any]:
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


def pairs_of(texts: Sequence[str] | None) -> dict[str, str]:
    """Column -> technique, each column once."""
    found: dict[str, str] = {}
    for name, technique in map(column_and_technique, texts or ()):
        if name in found:
            raise typer.BadParameter(
                f"column \"{name}\" is there twice. For several techniques in turn: --set {name}='{found[name]}, {technique}'",
                param_hint="--set",
            )
        found[name] = technique
    return found


def column_and_technique(text: str) -> tuple[str, str]:
    """`column=technique` split at the last `=` that leaves a technique: names and arguments may hold others."""
    from tfnorm.techniques import parse

    places = [i for i, letter in enumerate(text) if letter == "="]
    if not places:
        raise typer.BadParameter(f'expected COLUMN=TECHNIQUE, got "{text}"', param_hint="--set")
    for place in reversed(places):
        if text[place + 1 :].strip() == "auto":
            return text[:place], "auto"
        try:
            parse(text[place + 1 :])
        except ChoiceError as error:
            reason = error
            continue
        return text[:place], text[place + 1 :]
    raise typer.BadParameter(str(reason), param_hint="--set")


def plan_of(
    path: str, technique: str | None, chosen: Sequence[str] | None, source: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A plan's choice and its options; what stands in it is not said again beside it."""
    from tfnorm.advice.plan import load_plan
    from tfnorm.sources.columns import did_you_mean, quoted

    if technique is not None or chosen:
        raise typer.BadParameter("a plan says it all: edit it instead of giving -t or --set, too", param_hint="--plan")
    plan = load_plan(path)
    names = [column.name for column in source.columns]
    if not source.bare and (unknown := [name for name in plan.choice if name not in names]):
        hints = "".join(did_you_mean(name, names) for name in unknown[:3])
        raise ChoiceError(f"{path}: columns.{quoted(unknown)}: not in {source.name}, which has {quoted(names)}.{hints}")
    return dict(plan.choice), dict(plan.options)


def open_files(
    paths: Sequence[str],
    weight: str | None,
    delimiter: str | None,
    terminal: Terminal,
    on_error: str = "raise",
    absent: str = "error",
    query: str | None = None,
) -> Any:
    from tfnorm.sources import database, open_source

    if query is not None or any(map(database.is_database, paths)):
        return _open_query(paths, query, weight)
    faults: dict[str, Any] = {"on_error": on_error_of(on_error), "absent": absent_of(absent)}
    source = open_source(list(paths), weight=weight, delimiter=delimiter, **faults)
    for note in getattr(source, "notes", ()):
        terminal.say(f"note: {note}")
    return source


def _open_query(paths: Sequence[str], query: str | None, weight: str | None) -> Any:
    from tfnorm.sources import database
    from tfnorm.sources.sql import sql

    if query is None:
        raise typer.BadParameter(f"{paths[0]} is a database: say what to read of it", param_hint="--query")
    if len(paths) != 1 or not database.is_database(paths[0]):
        raise typer.BadParameter(
            f"expected one database, {database.WRITTEN}, got {' '.join(paths)}", param_hint="--query"
        )
    return sql(query, paths[0], weight=weight)


def load(artefact: str) -> Any:
    from tfnorm.artefact import loads

    return loads(sys.stdin.buffer.read()) if artefact == "-" else tfnorm.load(artefact)


def check_output(output: str | None, force: bool) -> None:
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


def finish(value: Fitted | Profile, output: str | None, as_json: bool, terminal: Terminal) -> None:
    """Save it and show it."""
    from tfnorm.artefact import dumps

    if output == "-":
        result(dumps(value).decode().rstrip("\n"))
        return
    if output is not None:
        value.save(output)
    if as_json or output is None or not terminal.quiet:
        show_value(value, as_json)
    if output is None:
        terminal.say("not saved: -o FILE does")
    else:
        terminal.say(f"saved {output}")


def show_keys(profile: Profile, name: str, as_json: bool) -> None:
    """The numbers of a column by each set of keys that it was fitted by."""
    from tfnorm.summary import told
    from tfnorm.tables import keys_text

    column = profile[name]
    sets = [
        keyed.grouped.keys.names for keyed in profile.keyed if any(p.column == name for one in keyed.parts for p in one)
    ]
    if not sets:
        raise DataError(
            f'column "{name}": has no numbers by key. Scan with --by, or fit it so: --set {name}="standard.by(\'store\')".'
        )
    for keys in sets:
        found = column.by(*keys)
        rows = zip(*(array.tolist() for array in found.values()), strict=True)
        lines = [{of: told(one) for of, one in zip(found, row, strict=True)} for row in rows]
        result(json.dumps(lines, indent=1) if as_json else keys_text(column, keys))


def show_value(value: Fitted | Profile, as_json: bool) -> None:
    from tfnorm.summary import records
    from tfnorm.tables import table_of

    result(json.dumps(list(records(value)), indent=1, ensure_ascii=True) if as_json else table_of(value))


def end_of(paths: Sequence[str]) -> str:
    """How the name of an output like these inputs would end."""
    from tfnorm.sources import formats

    plain = len(paths) == 1 and not any(mark in paths[0] for mark in "*?[")
    found = formats.of(paths[0]) if plain else None
    if found is None:
        return "/"
    return formats.ending_of(paths[0]) if found.writer else ".parquet"
