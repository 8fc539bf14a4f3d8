"""A column of a fit or a profile as an entry of the report.

The one law: what it shows is what `show`, `plot` and the maps say of the same column.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from tfnorm.binning import binned
from tfnorm.drawing import Scene, Words, before_and_after, distribution, small
from tfnorm.drawing.distribution import SMALL_BINS
from tfnorm.fitted import Fitted
from tfnorm.looks import Look, after, after_each, before, before_each
from tfnorm.profile import Column, Profile
from tfnorm.reporting.model import Entry, Flag, Part, Table
from tfnorm.reporting.risks import by_weight, of_data, of_result
from tfnorm.rules import Policies
from tfnorm.sources.columns import cell, quoted
from tfnorm.summary import instant, map_words, number, share

HEADER = ("missing", "from", "to", "outliers")
ORDERS = ("missing", "outliers")
MOST_FEATURES = 2000  # of an array, that are shown one by one


def of_fitted(fitted: Fitted, name: str) -> list[Entry]:
    """A column of a fit, or each feature of the one array that was fitted."""
    profile, step = fitted.profile, fitted.maps[name]
    if not _apart(profile, name):
        return [_fitted(fitted, name, before(profile, name), after(profile, name, step))]
    pairs = zip(before_each(profile, name), after_each(profile, name, step), strict=True)
    return [_fitted(fitted, name, first, then, j) for j, (first, then) in enumerate(pairs)]


def of_profile(profile: Profile, name: str) -> list[Entry]:
    """A column that was only looked at, or each feature of the one array that was."""
    if not _apart(profile, name):
        return [_profiled(profile, name, before(profile, name))]
    return [_profiled(profile, name, look, j) for j, look in enumerate(before_each(profile, name))]


def _apart(profile: Profile, name: str) -> bool:
    """Whether features are shown one by one, as the table in the terminal does: those of an array without names."""
    return profile.bare and 1 < profile[name].column.features <= MOST_FEATURES


def _fitted(fitted: Fitted, name: str, first: Look, then: Look, feature: int | None = None) -> Entry:
    column, step, technique = fitted.profile[name].column, fitted.maps[name], technique_of(fitted, name)
    flags = [*of_data(first), *of_result(then, technique)]
    fired = {policy: count for (one, policy), count in fitted.fired.items() if one == name and count}
    if fired:
        flags.append(Flag("policy", 1, f"policies fired on {sum(fired.values()):,} values"))
    if step.lost:
        flags.append(Flag("one way", 1, f"not invertible: {step.lost}"))
    title = _title(name, feature)
    scene = before_and_after(first, then, cell(title), technique, _words(column, first))
    parts = (
        Part("Distribution", drawings=(scene,)),
        Part("Numbers", table=numbers((first, then), ("before", "after"), column)),
        Part("What is done", tuple(_done(fitted, name, fired, feature))),
    )
    minis = (mini(first, "before"), mini(then, "after"))
    return Entry(title, technique, by_weight(tuple(flags)), minis, cells(first, column), parts, orders(first))


def _profiled(profile: Profile, name: str, look: Look, feature: int | None = None) -> Entry:
    column, title = profile[name].column, _title(name, feature)
    drawn = Part("Distribution", drawings=(distribution(look, cell(title), _words(column, look)),))
    parts = (drawn, Part("Numbers", table=numbers((look,), ("",), column)))
    shape = "" if column.scalar or feature is not None else f" {list(column.shape)}".replace("None", "?")
    minis = (mini(look, "before"),)
    return Entry(title, column.dtype + shape, by_weight(of_data(look)), minis, cells(look, column), parts, orders(look))


def _title(name: str, feature: int | None) -> str:
    return name if feature is None else f"{name}[{feature}]"


def technique_of(fitted: Fitted, name: str) -> str:
    """As text; `fitted.choice` writes those of all columns at each call."""
    return ", ".join(map(str, fitted.stages[name]))


def cells(look: Look, column: Column) -> tuple[str, ...]:
    """What the list says of a column, under HEADER."""
    words = _words(column, look)
    outside = sum(look.outliers)
    return share(look.missing, look.values), words(look.minimum), words(look.maximum), _share(outside)


def orders(look: Look) -> dict[str, float]:
    """By what the list can be sorted."""
    missing = look.missing / look.values if look.values else 0.0
    found = {"missing": missing, "outliers": sum(look.outliers)}
    return {key: value if math.isfinite(value) else -1.0 for key, value in found.items()}


def numbers(looks: tuple[Look, ...], names: tuple[str, ...], column: Column) -> Table:
    """The numbers of one look, or of several side by side; rows that all lack are left out."""
    said = [
        _numbers(look, _words(column, look) if i == 0 or len(set(names) & {"after"}) == 0 else number)
        for i, look in enumerate(looks)
    ]
    keys = [key for key in said[0] if any(one[key] != "-" for one in said)]
    return Table(("", *names), tuple((key, *(one[key] for one in said)) for key in keys))


def _numbers(look: Look, words: Words) -> dict[str, str]:
    low, middle, high = look.quartiles
    below, above = look.outliers
    return {
        "values": f"{look.values:,.0f}" if look.values == look.values else "-",
        "missing": share(look.missing, look.values) if look.values == look.values else "-",
        "infinite": f"{look.infinite:,.0f}" if look.infinite > 0 else "-",
        "zeros": share(look.zeros, look.values - look.missing - look.infinite) if look.zeros == look.zeros else "-",
        "smallest": words(look.minimum),
        "25 %": words(low),
        "median": words(middle),
        "75 %": words(high),
        "largest": words(look.maximum),
        "mean": words(look.mean),
        "deviation": number(look.std),
        "skewness": number(look.skewness),
        "excess kurtosis": number(look.kurtosis),
        "outliers below": _share(below),
        "outliers above": _share(above),
    }


def _share(part: float) -> str:
    return share(part, 1.0) if math.isfinite(part) else "-"


def _done(fitted: Fitted, name: str, fired: dict[str, int], feature: int | None = None) -> Iterator[str]:
    """What the map does, what it takes, what is lost, and the policies around it."""
    column, step = fitted.profile[name].column, fitted.maps[name]
    several = f" ({column.features:,} features)" if column.features > 1 and feature is None else ""
    yield f"{technique_of(fitted, name)}: {map_words(step, fitted.stages[name], column.features, feature)}{several}"
    if fitted[name].domain:
        yield f"Takes {fitted[name].domain}; others become missing."
    yield f"On the way back: {fitted[name].lost}." if fitted[name].lost else "Every value comes back."
    if others := [other for other in fitted.rules.sharing(name) if other != name]:
        yield f"One set of numbers with {quoted(others)}."
    policies, usual = fitted.rules.of(name), Policies()
    for policy in ("constant", "missing", "infinite", "out_of_range"):
        if getattr(policies, policy) != getattr(usual, policy):
            yield f"Policy {policy}: {policies.done(policy)}."
    for policy, count in fired.items():
        yield f"Policy {policy} fired on {count:,} values of what was transformed."


def mini(look: Look, role: str) -> Scene:
    return small(None if look.curve is None or look.view is None else binned(look.curve, *look.view, SMALL_BINS), role)


def _words(column: Column, look: Look) -> Words:
    return lambda value: instant(value, column, look.maximum - look.minimum)
