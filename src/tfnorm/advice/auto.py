"""What `"auto"` stands for in a fit.

The one law: `fit(source, "auto")` is `fit(source, advise(source).choice)`, and reads the source no more often than it must.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfnorm.advice.advising import advise
from tfnorm.chains import first_places
from tfnorm.choosing import numeric_columns
from tfnorm.errors import ChoiceError
from tfnorm.fitting import scan
from tfnorm.profile import Profile
from tfnorm.sources import open_source
from tfnorm.sources.columns import did_you_mean, quoted
from tfnorm.sources.masks import names_of
from tfnorm.techniques import parse


def resolved(
    source: Any, choice: Any, *, exact: bool, workers: int | None, callback: Any, **how: Any
) -> tuple[Any, Any, bool]:
    """What to fit from, the choice with techniques for each "auto", and whether `how` is settled since that is a profile.

    how: axis, unit, weight, sparse and mask, as `scan` takes them.
    """
    if isinstance(source, Profile):
        auto = [name for name, one in choice.items() if one == "auto"] if isinstance(choice, Mapping) else list(source)
        return source, _advised(_of_columns(source, auto), choice), False
    opened = open_source(source, weight=how["weight"])
    masks = names_of(how["mask"])
    names = [name for name in numeric_columns(opened, how["unit"]) if name not in masks]
    if opened.bare:
        names = [column.name for column in opened.columns]
    auto = [str(name) for name, one in choice.items() if one == "auto"] if isinstance(choice, Mapping) else names
    others = len(auto) < len(choice) if isinstance(choice, Mapping) else False
    if not auto:
        raise ChoiceError(f"there is no column of numbers in {opened.name}.")
    if (others or exact) and not opened.repeatable:
        raise ChoiceError(
            f'{opened.name}: can be read only once, which advice does. Say "auto" for all columns, or pass a function that '
            "returns the data, or files."
        )
    within = {name: value for name, value in how.items() if name != "weight"}
    profile = scan(opened, columns=auto, workers=workers, callback=callback, **within)
    made = _advised(profile, choice)
    if opened.repeatable and (others or exact or _needs_more(made)):
        return opened, made, False
    return profile, made, True


def _needs_more(choice: Mapping[str, Any]) -> bool:
    """Whether a pass for this choice would gather what a scan does not: behind a curve, say."""
    return any(place.via for one in choice.values() for place in first_places(parse(one)))


def _of_columns(profile: Profile, names: list[str]) -> Profile:
    unknown = [name for name in names if name not in profile]
    if unknown:
        raise ChoiceError(f"column {quoted(unknown)}: not in the profile.{did_you_mean(unknown[0], profile)}")
    return profile


def _advised(profile: Profile, choice: Any) -> dict[str, Any]:
    said = advise(profile).choice
    if not isinstance(choice, Mapping):
        return said
    return {str(name): said[str(name)] if one == "auto" else one for name, one in choice.items()}
