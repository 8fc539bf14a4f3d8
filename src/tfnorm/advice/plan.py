"""Plans: a choice with its reasons as a TOML file, which people edit and `tfnorm fit --plan` takes.

The one law: a plan that was written and read back is the choice it was written of, whatever the columns are called.

    share = [["open", "high", "low", "close"]]   # columns that get one set of numbers

    [columns]
    "fare" = "log1p, standard"                    # or a list: ["log1p", "standard"]

    [policies]
    missing = 0
    out_of_range = {"fare" = "clip"}
"""

from __future__ import annotations

import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfnorm.advice.values import Advice, ColumnAdvice
from tfnorm.errors import ChoiceError, DataError
from tfnorm.sources.columns import cell, did_you_mean, quoted
from tfnorm.summary import number
from tfnorm.techniques import parse

POLICIES = ("constant", "missing", "infinite", "out_of_range")
KEYS = ("columns", "policies", "share")
WIDTH = 110
ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


@dataclass(frozen=True)
class Plan:
    """What a plan says, as `tfnorm.fit` takes it."""

    choice: Mapping[str, Any]  # column -> technique; "auto" is one
    options: Mapping[str, Any]  # policies and share


def plan_text(advice: Advice) -> str:
    """The plan of an advice.

    >>> import tfnorm
    >>> text = plan_text(tfnorm.advise({"size": [1.0, 2.0, 3.0, 5.0, 8.0]}, "linear"))
    >>> dict(read_plan(text).choice) == tfnorm.advise({"size": [1.0, 2.0, 3.0, 5.0, 8.0]}, "linear").choice
    True
    """
    lines = [f"# What is advised for {_model(advice)}. Edit it, then: tfnorm fit --plan THIS FILE ... -o norm.json"]
    lines += ["# A line a column; take one out, and the column stays as it is. tfnorm techniques lists what there is."]
    for finding in advice.findings:
        lines += _comment(finding)
    lines += ["", "[columns]"]
    for column in advice.columns.values():
        lines += _about(column)
        lines.append(f"{toml_text(column.name)} = {toml_text(column.technique)}")
    lines += ["", "# [policies]", "# missing = 0             # or by column: missing = {fare = 0}"]
    lines += ['# out_of_range = "clip"', ""]
    return "\n".join(lines)


def _model(advice: Advice) -> str:
    return f"model {advice.model}" + (f" with activation {advice.activation}" if advice.activation else "")


def _about(column: ColumnAdvice) -> Iterator[str]:
    yield ""
    for warning in column.warnings:
        yield from _comment(f"! {warning}")
    if column.evidence:
        yield from _comment("; ".join(column.evidence))
    if len(column.ranked) > 1:
        best, other = column.ranked[:2]
        yield from _comment(f"score {number(best.score)}; then {other.technique}, {number(other.score)}")
    if column.would_change:
        yield from _comment(f"but {column.would_change}")


def _comment(text: str) -> list[str]:
    return textwrap.wrap(cell(text, 4000), WIDTH, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False)


def toml_text(text: str) -> str:
    """A text as TOML has it, in quotes; DataError where it has half a character (a lone surrogate), which no file can hold.

    >>> print(toml_text('say "hi"' + chr(10)))
    "say \\"hi\\"\\n"
    """
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise DataError(f"column {quoted([text])}: its name is no text that a file can hold. Rename it.")
    inside = (
        ESCAPES.get(c)
        or (f"\\u{ord(c):04X}" if ord(c) < 32 or 127 <= ord(c) < 160 or ord(c) in (0x2028, 0x2029) else c)
        for c in text
    )
    return f'"{"".join(inside)}"'


def load_plan(path: str | Path) -> Plan:
    """A plan from a file; ChoiceError with file and key, or line, where it is none."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # some editors put a mark before the text
    except UnicodeDecodeError:
        raise ChoiceError(f"{path}: is no text in UTF-8. A plan is a TOML file, as tfnorm advise writes it.") from None
    return read_plan(text, str(path))


def read_plan(text: str, name: str = "plan") -> Plan:
    """A plan from its text; `name` is how errors call it."""
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ChoiceError(f"{name}: is no TOML: {error}. Names and techniques stand in quotes.") from None
    for key in said:
        if key not in KEYS:
            raise ChoiceError(f"{name}: {cell(key)}: expected [columns], [policies] or share.{did_you_mean(key, KEYS)}")
    columns = said.get("columns")
    if not isinstance(columns, dict) or not columns:
        raise ChoiceError(f'{name}: columns: names no column. Write [columns], and below it "age" = "standard".')
    for column, technique in columns.items():
        _check(name, column, technique)
    options: dict[str, Any] = {}
    policies = said.get("policies", {})
    if not isinstance(policies, dict):
        raise ChoiceError(f"{name}: policies: expected [policies] and a line for each, got {policies!r}.")
    for policy, word in policies.items():
        if policy not in POLICIES:
            hint = did_you_mean(policy, POLICIES)
            raise ChoiceError(f"{name}: policies.{cell(policy)}: expected one of {', '.join(POLICIES)}.{hint}")
        if isinstance(word, dict) and (unknown := [column for column in word if column not in columns]):
            raise ChoiceError(f"{name}: policies.{policy}: column {quoted(unknown)} is not in [columns].")
        options[policy] = word
    if "share" in said:
        options["share"] = said["share"]
    return Plan(columns, options)


def _check(name: str, column: str, technique: Any) -> None:
    if technique == "auto":
        return
    texts = technique if isinstance(technique, list) else [technique]
    if not texts or not all(isinstance(one, str) for one in texts):
        raise ChoiceError(
            f'{name}: columns.{quoted([column])}: expected a technique in quotes ("standard"), got {technique!r}.'
        )
    try:
        parse(technique)
    except ChoiceError as error:
        raise ChoiceError(f"{name}: columns.{quoted([column])}: {error}") from None
