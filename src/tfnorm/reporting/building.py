"""From values to what the report says: one fit or profile, two of them, and the evidence beside.

The one law: each value that was given is on the page, or an error says why not.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

import tfnorm
from tfnorm.errors import ChoiceError
from tfnorm.fitted import Fitted
from tfnorm.looks import NO_SKETCH, before, why_unknown
from tfnorm.profile import ColumnProfile, Profile
from tfnorm.reporting import columns, difference, evidence
from tfnorm.reporting.model import Entry, Flag, Page, Part
from tfnorm.reporting.reading import Kind, by_name, get, kind_of
from tfnorm.reporting.risks import by_weight
from tfnorm.sources.columns import cell

EXPECTED = "A report is of a fit or a profile, two of them, a check, a comparison, or an advice"


def page_of(values: Sequence[Any], names: Sequence[str] = ()) -> Page:
    """The page about these values; `names` says what two fits are called."""
    subjects: list[Fitted | Profile] = []
    beside: dict[Kind, Any] = {}
    for value in values:
        one = value.freeze() if hasattr(value, "freeze") else value  # running statistics, as they stand
        if isinstance(one, Fitted | Profile):
            subjects.append(one)
            continue
        kind = kind_of(one)
        if not kind or kind in beside:
            twice = f"two values are a {kind}" if kind else f"got {type(one).__name__}"
            hint = " tfnorm.load opens what was saved." if isinstance(one, str | os.PathLike) else ""
            raise ChoiceError(f"{EXPECTED}; {twice}. Give one of each kind at most, two fits at most.{hint}")
        beside[kind] = one
    if len(subjects) > 2 or not values:
        raise ChoiceError(
            f"{EXPECTED}; got {len(subjects)} fits and profiles. Give one of each kind at most, two fits at most."
        )
    if len(subjects) == 2:
        page = _of_two(subjects[0], subjects[1], tuple(names[:2]) if len(names) >= 2 else ("first", "second"))
    elif subjects:
        page = _of_one(subjects[0])
    else:
        page = Page("Report", "", (("tfnorm", tfnorm.__version__),), (), (), ())
    return _with_evidence(page, beside, subjects[0] if subjects else None)


def _of_one(value: Fitted | Profile) -> Page:
    fitted = isinstance(value, Fitted)
    profile = value.profile if isinstance(value, Fitted) else value
    read = [*_read(profile), *([("fingerprint of the fit", value.fingerprint)] if isinstance(value, Fitted) else [])]
    entries = tuple(
        entry
        for name in value
        for entry in (columns.of_fitted(value, name) if isinstance(value, Fitted) else columns.of_profile(value, name))
    )
    what = "column" if len(entries) == len(profile) or not profile.bare else "feature"
    title = f"{'Fit' if fitted else 'Profile'} of {_counted(len(entries), what)}"
    bare = sum(why_unknown(profile, name) == NO_SKETCH for name in value)
    which = "All" if bare == len(list(value)) else f"{bare:,} of {len(list(value)):,}"
    said = f"{which} columns are drawn without their distribution: {NO_SKETCH}."
    parts = (Part("What is not drawn", (said,)),) * bool(bare)
    subject = f"on {_counted(profile.num_rows, 'row')}"
    return Page(title, subject, tuple(read), parts, columns.HEADER, entries, columns.ORDERS)


def _of_two(first: Fitted | Profile, second: Fitted | Profile, labels: tuple[str, ...]) -> Page:
    pair = (cell(labels[0], 40), cell(labels[1], 40))
    if pair[0] == pair[1]:
        pair = (f"{pair[0]} (first)", f"{pair[1]} (second)")
    read = []
    for value, label in zip((first, second), pair, strict=True):
        found = [(term, words) for term, words in _read(difference.profile_of(value)) if term != "tfnorm"]
        read += [(f"{label}: {term}", words) for term, words in found]
        if isinstance(value, Fitted):
            read.append((f"{label}: fingerprint of the fit", value.fingerprint))
    read.append(("tfnorm", tfnorm.__version__))
    entries = tuple(difference.entry(first, second, pair, name) for name in difference.names_of(first, second))
    changed = sum(bool(one.flags) for one in entries)
    same = isinstance(first, Fitted) and isinstance(second, Fitted) and first.fingerprint == second.fingerprint
    said = (
        "Both fits do the same: their maps are equal."
        if same
        else f"{changed:,} of {_counted(len(entries), 'column')} differ."
    )
    subject = f"{pair[0]} and {pair[1]}"
    return Page(
        "What differs", subject, tuple(read), (Part("In short", (said,)),), difference.HEADER, entries, ("moved",)
    )


def _read(profile: Profile) -> Iterator[tuple[str, str]]:
    """What was read."""
    yield "rows", f"{profile.num_rows:,}"
    yield "tfnorm", tfnorm.__version__
    for origin in profile.provenance[:10]:
        shards = f", {_counted(origin.num_shards, 'shard')}" if origin.num_shards > 1 else ""
        yield "source", f"{cell(origin.source, 200)}: {_counted(origin.num_rows, 'row')}{shards}"
        if origin.fingerprint:
            yield "its fingerprint", origin.fingerprint
    if len(profile.provenance) > 10:
        yield "and", f"{len(profile.provenance) - 10:,} sources more"


def _with_evidence(page: Page, beside: dict[Kind, Any], value: Fitted | Profile | None) -> Page:
    """With what checks, comparisons and advice say, in general and of each column."""
    drift, comparison, advice = beside.get("drift"), beside.get("comparison"), beside.get("advice")
    parts = list(page.parts)
    if comparison is not None:
        parts.append(evidence.of_comparison(comparison))
    if drift is not None:
        parts.append(evidence.of_drift(drift))
    if advice is not None:
        parts.append(evidence.of_advice(advice))
    moved, advised = by_name(get(drift, "columns")), by_name(get(advice, "columns"))
    entries = [_entry_with(one, moved.get(one.name), advised.get(one.name), value) for one in page.entries]
    known = {one.name for one in entries}
    for name in evidence.names_of(drift, advice):
        if name not in known:
            entries.append(_entry_with(_bare(name, moved.get(name), page), moved.get(name), advised.get(name), value))
    header, orders = page.header, page.orders
    if not page.entries and entries and any(one.cells for one in entries):
        header = columns.HEADER
    title = page.title
    if value is None:
        named = [
            word for one, word in ((drift, "check"), (comparison, "comparison"), (advice, "advice")) if one is not None
        ]
        title = " and ".join(named).capitalize()
    orders = (*orders, "shift") if drift is not None else orders
    return dataclasses.replace(
        page, title=title, parts=tuple(parts), entries=tuple(entries), header=header, orders=orders
    )


def _bare(name: str, moved: Any, page: Page) -> Entry:
    """A column of which only the evidence knows."""
    new = get(moved, "profile") if moved is not None else None
    if isinstance(new, ColumnProfile) and page.header in ((), columns.HEADER):
        found = columns.of_profile(new.profile, new.column.name)
        return dataclasses.replace(found[0], name=name, flags=())
    return Entry(name, "", (), (), ("-",) * len(page.header), ())


def _entry_with(entry: Entry, moved: Any, advised: Any, value: Fitted | Profile | None) -> Entry:
    parts, flags = list(entry.parts), list(entry.flags)
    order = dict(entry.order) | {"shift": evidence.shift_of(moved)}
    what = entry.what
    if moved is not None:
        profile = value.profile if isinstance(value, Fitted) else value
        look = before(profile, entry.name) if profile is not None and entry.name in profile else None
        part, more = evidence.of_column_drift(moved, look)
        parts.append(part)
        flags += more
    if advised is not None:
        chosen = columns.technique_of(value, entry.name) if isinstance(value, Fitted) and entry.name in value else ""
        part, more = evidence.of_column_advice(advised, chosen)
        parts.append(part)
        flags += more
        ranked = get(advised, "ranked", default=())
        what = what or (cell(get(ranked[0], "technique", default="")) if ranked else "")
    return dataclasses.replace(entry, parts=tuple(parts), flags=by_weight(tuple(flags)), order=order, what=what)


def _counted(many: int, what: str) -> str:
    return f"{many:,} {what}{'s' * (many != 1)}"


def filters(entries: Sequence[Entry]) -> list[tuple[str, int]]:
    """The flags that occur, with how many columns have each; the most frequent first."""
    counts: dict[str, int] = {}
    for one in entries:
        for key in {flag.key for flag in one.flags}:
            counts[key] = counts.get(key, 0) + 1
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def at_risk(entries: Sequence[Entry]) -> list[tuple[Entry, Flag]]:
    """The columns to look at first, with the worst flag of each."""
    found = sorted((one for one in entries if one.flags), key=lambda one: -one.risk)
    return [(one, one.flags[0]) for one in found]
