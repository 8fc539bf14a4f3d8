"""A profile or a fit as one readable table, as plain text for any terminal and as HTML for notebooks.

The one law: a line a column, at most MAX_LINES of them, never wider than the terminal; names are shown escaped.
"""

from __future__ import annotations

import html
import shutil
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfnorm.binning import Bins
from tfnorm.drawing import small, svg
from tfnorm.fitted import Fitted
from tfnorm.keys import Keys
from tfnorm.maps import Map, Matrix
from tfnorm.profile import Column, ColumnProfile, Profile
from tfnorm.sources.columns import cell
from tfnorm.summary import facts, histogram, instant, map_words, notes, number, share

MAX_LINES = 40
WIDEST = 160  # where nobody says how wide the terminal is (a pipe, a notebook)
NAME_LENGTH = 24
WORDS_LENGTH = 56
LEFT = frozenset(
    {"column", "type", "technique", "what it does", "distribution", "note", "drift", "findings"}
) | frozenset({"why", "runner-up", "warnings"})
DROPPED = ("type", "zeros", "25%", "75%", "std", "missing", "median", "mean", "max", "min", "distribution", "note")
DROPPED_OF_A_FIT = ("25%", "75%", "std", "mean", "median", "distribution", "missing", "max", "min", "note")
"""In this order, where the terminal is narrow; a narrower one that still fits comes back."""


@dataclass(frozen=True)
class Table:
    """Cells as text, with what stands above and below them."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: str  # lines below: what is not shown, and policies; empty for nothing
    dropped: tuple[str, ...]  # which columns go first where there is no room
    bins: tuple[Bins | None, ...] = ()  # of each row's distribution, where it is drawn instead of written


def profile_text(profile: Profile, width: int | None = None) -> str:
    """A profile as plain text; `width` is the terminal's by default."""
    return table_text(_profile_table(profile), width)


def profile_html(profile: Profile) -> str:
    """A profile as a small HTML table with drawings, without scripts."""
    return table_html(_profile_table(profile))


def fitted_text(fitted: Fitted, width: int | None = None) -> str:
    """A fit as plain text; `width` is the terminal's by default.

    >>> import tfnorm
    >>> print(fitted_text(tfnorm.fit({"age": [22.0, 38.0, 26.0]}, "minmax")))
    fit of 1 column on 3 rows of mapping of arrays
    column  technique  what it does   missing  min  max
    age     minmax     (x - 22) / 16        0   22   38
    """
    return table_text(_fitted_table(fitted), width)


def fitted_html(fitted: Fitted) -> str:
    """A fit as a small HTML table with drawings, without scripts."""
    return table_html(_fitted_table(fitted))


def _profile_table(profile: Profile) -> Table:
    return _table(f"profile of {_subject(profile, len(profile))}", profile, list(profile), None)


def _fitted_table(fitted: Fitted) -> Table:
    title = f"fit of {_subject(fitted.profile, len(fitted.maps))}"
    if fitted.profile.bare:
        features, width = fitted.profile.columns[0].features, fitted[fitted.columns[0]].width
        title += f", giving {width:,} feature{'s' * (width != 1)}" if width != features else ""
    return _table(title, fitted.profile, list(fitted.maps), fitted)


def _subject(profile: Profile, columns: int) -> str:
    sources = list(dict.fromkeys(cell(origin.source) for origin in profile.provenance))
    where = ", ".join(sources[:3]) + (f" and {len(sources) - 3:,} more" if len(sources) > 3 else "")
    if profile.bare:
        features = profile.columns[0].features
        what = "one array" if profile.columns[0].scalar else f"{features:,} feature{'s' * (features != 1)}"
    else:
        what = f"{columns:,} column{'s' * (columns != 1)}"
    rows = f"{profile.num_rows:,} row{'s' * (profile.num_rows != 1)}"
    if not profile.num_rows and not profile.gatherings:  # of numbers that came from elsewhere
        rows = "rows that it does not tell"
    return f"{what} on {rows}" + (f" of {where}" if where else "")


def _table(title: str, profile: Profile, names: Sequence[str], fitted: Fitted | None) -> Table:
    lines: list[tuple[dict[str, str], Bins | None]] = []
    if profile.bare and len(names) == 1 and profile[names[0]].column.features > 1:  # an array: a line a feature
        features = profile[names[0]].column.features
        lines = [_line(profile, names[0], fitted, j) for j in range(min(features, MAX_LINES))]
        more, what = features - len(lines), "features"
    else:
        lines = [_line(profile, name, fitted, None) for name in names[:MAX_LINES]]
        more, what = len(names) - len(lines), "columns"
    keys = ["column", "type", "technique", "what it does", "missing", "zeros", "min", "25%", "median", "75%", "max"]
    keys = [key for key in [*keys, "mean", "std", "distribution", "note"] if any(line.get(key) for line, _ in lines)]
    rows = tuple(tuple(line.get(key, "") for key in keys) for line, _ in lines)
    rest = "\n".join(
        ([f"... and {more:,} more {what}"] if more > 0 else [])
        + ([] if fitted else [_keys_words(keyed.grouped.keys) for keyed in profile.keyed])
        + [cell(words, 10 * NAME_LENGTH) for words in (fitted.rules.words() if fitted else ())]
    )
    dropped = DROPPED if fitted is None else DROPPED_OF_A_FIT
    return Table(title, tuple(keys), rows, rest, dropped, tuple(bins for _, bins in lines))


def _keys_words(keys: Keys) -> str:
    """What else a profile holds."""
    shown, names = ", ".join(map(shown_name, keys.names)), ", ".join(map(repr, keys.names))
    return f"and by {shown}, {len(keys):,} keys: profile[name].by({names}), tfnorm show --keys NAME"


def _line(
    profile: Profile, name: str, fitted: Fitted | None, feature: int | None
) -> tuple[dict[str, str], Bins | None]:
    column = profile[name].column
    said = facts(profile, name, feature if column.features > 1 else 0)
    line = {"column": shown_name(name) + (f"[{feature}]" if feature is not None else "")}
    if fitted is None:
        line["type"] = _type(column)
    else:
        line["technique"] = fitted.choice[name]
        words = map_words(fitted.maps[name], fitted.stages[name], column.features, feature)
        several = column.features > 1 and feature is None
        width = fitted.maps[name].width(column.features)
        number_of = f"{column.features:,} features" + (f" to {width:,}" if width != column.features else "")
        line["what it does"] = f"{number_of}: {words}" if several else words
    if "values" in said:
        line["missing"] = share(said["missing"], said["values"])
        if fitted is None:
            line["zeros"] = share(said["zeros"], said["values"])
    span = said.get("max", 0.0) - said.get("min", 0.0)
    shown = {"min": "min", "q25": "25%", "median": "median", "q75": "75%", "max": "max", "mean": "mean"}
    line |= {title: instant(said[key], column, span) for key, title in shown.items() if key in said}
    if "std" in said:
        line["std"] = number(said["std"]) + (f" {column.unit}" if column.unit and said["std"] == said["std"] else "")
    line["distribution"] = histogram(said.get("bins"))
    line["note"] = notes(profile, name, said, feature)
    if fitted is not None:
        if line["what it does"].startswith("becomes"):
            line["what it does"], line["note"] = f"{line['note'] or 'constant'}: {line['what it does']}", ""
        step = fitted.maps[name]
        lost = "not invertible" if step.lost else _dropped(step) if feature is None else ""
        line["note"] = "; ".join(filter(None, [line["note"], lost]))
    return line, said.get("bins")


def _dropped(step: Map) -> str:
    """What a matrix drops; what limits do is told by what it does."""
    return "; ".join(one.limited for one in step.steps() if isinstance(one, Matrix) and one.limited)


def shown_name(name: str) -> str:
    """A column's name as a cell of a table."""
    return cell(name, NAME_LENGTH) if name.strip() else f'"{cell(name, NAME_LENGTH)}"'


def _type(column: Column) -> str:
    shape = "" if column.scalar else " (" + ", ".join("?" if d is None else str(d) for d in column.shape) + ")"
    return column.dtype + shape


def table_text(table: Table, width: int | None) -> str:
    """As plain text, as wide as the terminal or `width`."""
    width = width or shutil.get_terminal_size((WIDEST, 24)).columns
    keys = list(table.header)
    cut = {"what it does": WORDS_LENGTH, "technique": 34, "note": 40, "type": 24}
    cut |= {"why": 64, "runner-up": 34, "warnings": 48}
    cells: dict[str, list[str]] = {}
    for i, key in enumerate(keys):
        cells[key] = [_shortened(row[i], cut.get(key, 1000)) for row in table.rows]
    widths = {key: max(_width(text) for text in [key, *cells[key]]) for key in keys}
    left_out: list[str] = []
    room = width + 2 - sum(widths[key] + 2 for key in keys)
    for key in [key for key in table.dropped if key in keys]:
        if room >= 0:
            break
        left_out.append(key)
        room += widths[key] + 2
    for key in reversed(list(left_out)):
        if widths[key] + 2 <= room:
            left_out.remove(key)
            room -= widths[key] + 2
    keys = [key for key in keys if key not in left_out]
    lines = [table.title, _joined(keys, {key: key for key in keys}, widths)]
    for i in range(len(table.rows)):
        lines.append(_joined(keys, {key: cells[key][i] for key in keys}, widths))
    if table.more:
        lines += table.more.split("\n")
    if left_out:
        order = [key for key in table.header if key in left_out]
        lines.append(f"(too narrow for: {', '.join(order)})")
    return "\n".join(_shortened(line, width) for line in lines)


def _joined(keys: Sequence[str], row: dict[str, str], widths: dict[str, int]) -> str:
    parts = []
    for key in keys:
        pad = " " * (widths[key] - _width(row[key]))
        parts.append(row[key] + pad if key in LEFT else pad + row[key])
    return "  ".join(parts).rstrip()


def _width(text: str) -> int:
    """How many places of a terminal a text takes: two for wide East Asian characters, none for marks that combine."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _shortened(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    kept = text
    while kept and _width(kept) > width - 3:
        kept = kept[:-1]
    return kept.rstrip() + "..."


def table_html(table: Table, remarks: Sequence[str] = ()) -> str:
    """As HTML with remarks below it, without scripts."""

    def row(tag: str, cells: Sequence[str], bins: Bins | None = None) -> str:
        texts = (_html_cell(tag, key, text, bins) for key, text in zip(table.header, cells, strict=True))
        return f"<tr>{''.join(texts)}</tr>"

    body = "".join(
        row("td", cells, bins) for cells, bins in zip(table.rows, table.bins or (None,) * len(table.rows), strict=True)
    )
    more = "".join(f"<div>{html.escape(text)}</div>" for text in (*table.more.split("\n"), *remarks) if text)
    return (
        f'<div style="overflow-x:auto"><div>{html.escape(table.title)}</div>'
        f'<table style="font-variant-numeric:tabular-nums"><thead>{row("th", table.header)}</thead>'
        f"<tbody>{body}</tbody></table>{more}</div>"
    )


def _html_cell(tag: str, key: str, text: str, bins: Bins | None) -> str:
    style = "text-align:left" if key in LEFT else "text-align:right"
    inside = svg(small(bins)) if key == "distribution" and bins is not None else html.escape(text)
    return f'<{tag} style="{style}">{inside}</{tag}>'


def keys_text(profile: ColumnProfile, keys: tuple[str, ...], width: int | None = None) -> str:
    """The numbers of one column by key, a line a key."""
    found = profile.by(*keys)
    title = f"{shown_name(profile.column.name)} by {len(found[keys[0]]):,} keys of {', '.join(map(shown_name, keys))}"
    rows = tuple(
        tuple(
            cell("null" if one is None else str(one), NAME_LENGTH) if name in keys else _cell_of(one)
            for name, one in zip(found, row, strict=True)
        )
        for row in zip(*(array[:MAX_LINES] for array in found.values()), strict=True)
    )
    more = len(found[keys[0]]) - len(rows)
    rest = f"... and {more:,} more keys: all of them with --json, or fitted[name].profile.by(...)" if more else ""
    return table_text(Table(title, tuple(found), rows, rest, ("median", "missing", "std")), width)


def _cell_of(value: Any) -> str:
    return number(float(value)) if np.ndim(value) == 0 else ", ".join(number(float(one)) for one in value[:4])


def table_of(value: Any, width: int | None = None) -> str:
    """Either as plain text."""
    return fitted_text(value, width) if isinstance(value, Fitted) else profile_text(value, width)
