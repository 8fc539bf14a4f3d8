"""Two fits or profiles side by side: what is the same, what moved, what is only in one of them.

The one law: both are drawn on the same bins and told by the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from tfnorm.drawing import two
from tfnorm.fitted import Fitted
from tfnorm.looks import Look, before
from tfnorm.profile import Profile
from tfnorm.reporting.columns import mini, numbers, technique_of
from tfnorm.reporting.model import Entry, Flag, Part, Table
from tfnorm.reporting.risks import by_weight
from tfnorm.sources.columns import cell
from tfnorm.summary import instant, map_words, number, share

HEADER = ("moved", "missing")
MOVED, MOVED_FAR = 0.1, 0.5  # deviations of the first
MISSING = 0.02


def profile_of(value: Fitted | Profile) -> Profile:
    return value.profile if isinstance(value, Fitted) else value


def names_of(*values: Fitted | Profile) -> list[str]:
    """The columns of all of them, each once."""
    return list(dict.fromkeys(name for value in values for name in value))


def entry(first: Fitted | Profile, second: Fitted | Profile, labels: tuple[str, str], name: str) -> Entry:
    """One column of either or both."""
    held = [(value, label) for value, label in zip((first, second), labels, strict=True) if name in value]
    looks = [before(profile_of(value), name) for value, _ in held]
    column = profile_of(held[0][0])[name].column
    flags = by_weight(tuple(_flags(first, second, labels, name)))
    names = tuple(label for _, label in held)
    table = numbers(tuple(looks), names, column)
    parts = [Part("Numbers", table=table)]
    shift = math.nan
    if len(looks) == 2:
        shift = shift_between(*looks)
        scene = two(
            looks[0], looks[1], labels, cell(name), lambda v: instant(v, column, looks[0].maximum - looks[0].minimum)
        )
        parts.insert(0, Part("Distribution", drawings=(scene,)))
    rows = tuple(
        (label, technique_of(value, name), _does(value, name)) for value, label in held if isinstance(value, Fitted)
    )
    if rows:
        parts.append(Part("What is done", table=Table(("", "technique", "what it does"), rows), wide=True))
    minis = tuple(mini(look, role) for look, role in zip(looks, ("before", "after"), strict=False))
    missing = [share(look.missing, look.values) for look in looks]
    said = (number(shift), " → ".join(dict.fromkeys(missing)))
    what = " → ".join(dict.fromkeys(_technique(value, name) for value, _ in held))
    return Entry(name, what, flags, minis, said, tuple(parts), {"moved": -1.0 if math.isnan(shift) else shift})


def shift_between(first: Look, second: Look) -> float:
    """How far mean or median moved, whichever more, in deviations of the first (ranges, where it has none)."""
    unit = first.std if first.std > 0 else first.maximum - first.minimum
    moved = [abs(second.mean - first.mean), abs(second.quartiles[1] - first.quartiles[1])]
    known = [move for move in moved if math.isfinite(move)]
    return max(known) / unit if known and unit > 0 else (math.inf if any(known) else 0.0) if known else math.nan


def _flags(first: Any, second: Any, labels: tuple[str, str], name: str) -> Iterator[Flag]:
    if name not in second:
        yield Flag("gone", 3, f"only in {labels[0]}")
        return
    if name not in first:
        yield Flag("new", 2, f"only in {labels[1]}")
        return
    a, b = (before(profile_of(value), name) for value in (first, second))
    one, other = (profile_of(value)[name].column for value in (first, second))
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        yield Flag("type", 2, f"{one.dtype} {list(one.shape)} became {other.dtype} {list(other.shape)}")
    before_it, then = _technique(first, name), _technique(second, name)
    if isinstance(first, Fitted) and isinstance(second, Fitted) and before_it != then:
        yield Flag("technique", 2, f"{cell(before_it)} became {cell(then)}")
    shift = shift_between(a, b)
    if shift > MOVED:
        yield Flag("moved", 3 if shift > MOVED_FAR else 2, f"{shift:.2g} deviations of {labels[0]} away")
    missing = [look.missing / look.values if look.values else 0.0 for look in (a, b)]
    if abs(missing[1] - missing[0]) > MISSING:
        yield Flag("missing", 2, f"missing went from {share(missing[0], 1)} to {share(missing[1], 1)}")


def _technique(value: Fitted | Profile, name: str) -> str:
    return technique_of(value, name) if isinstance(value, Fitted) else value[name].column.dtype


def _does(fitted: Fitted, name: str) -> str:
    return map_words(fitted.maps[name], fitted.stages[name], fitted.profile[name].column.features)
