"""What `"auto"` stands for in a fit.

The one law: `fit(source, "auto", model=m, target=t)` is `fit(source, advise(source, m, target=t).choice)`, and reads the source
no more often than it must.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfnorm.advice.advising import LEAKING, advised
from tfnorm.advice.reading import Known, check_target, of_profile, of_source
from tfnorm.advice.weights import weights_for
from tfnorm.chains import first_places
from tfnorm.choosing import numeric_columns
from tfnorm.errors import ChoiceError
from tfnorm.profile import Profile
from tfnorm.sources import open_source
from tfnorm.sources.columns import did_you_mean, quoted
from tfnorm.sources.images import with_encoded
from tfnorm.sources.masks import names_of
from tfnorm.techniques import parse


@dataclass(frozen=True)
class Asked:
    """What the advice is to be for."""

    target: str | None = None
    model: str | None = None  # None: as `advise` has it
    activation: str | None = None

    def __post_init__(self) -> None:
        weights_for(self.model or "mlp", self.activation)  # errors before anything is read


def resolved(source: Any, choice: Any, asked: Asked, *, exact: bool, **how: Any) -> tuple[Any, Any, bool]:
    """What to fit from, the choice with techniques for each "auto", and whether `how` is settled since that is a profile.

    how: axis, unit, weight, sparse, mask, checkpoint, on_error, workers and callback, as `scan` takes them.
    """
    if isinstance(source, Profile):
        names = _auto(choice, list(source), asked.target)
        unknown = [name for name in names if name not in source]
        if unknown:
            raise ChoiceError(f"column {quoted(unknown)}: not in the profile.{did_you_mean(unknown[0], source)}")
        return source, _advised(of_profile(source, names, asked.target), choice, asked), False
    opened = open_source(source, weight=how.pop("weight"), on_error=how["on_error"])
    masks, every = names_of(how["mask"]), [column.name for column in opened.columns]
    if asked.target is not None:
        check_target(asked.target, every, opened.name)
    numeric = every if opened.bare else [name for name in numeric_columns(opened, how["unit"]) if name not in masks]
    names = _auto(choice, numeric, asked.target)
    if not names:
        raise ChoiceError(f"there is no column of numbers in {opened.name}.")
    opened = with_encoded(opened, names, how["on_error"])
    others = isinstance(choice, Mapping) and len(names) < len(choice)
    if (others or exact) and not opened.repeatable:
        raise ChoiceError(
            f'{opened.name}: can be read only once, which advice does. Say "auto" for all columns, or pass a function that '
            "returns the data, or files."
        )
    known = of_source(opened, names, asked.target, **how)
    made = _advised(known, choice, asked)
    if opened.repeatable and (others or exact or _needs_more(made)):
        return opened, made, False
    return known.profile, made, True


def _auto(choice: Any, numeric: list[str], target: str | None) -> list[str]:
    """The columns on which there is to be advice."""
    if not isinstance(choice, Mapping):
        return [name for name in numeric if name != target]
    names = [str(name) for name, one in choice.items() if isinstance(one, str) and one.strip() == "auto"]
    if target in names:
        raise ChoiceError(
            f'column {quoted([str(target)])}: is the target, on which nothing is advised. Name a technique instead of "auto", '
            "or leave it out."
        )
    return names


def _needs_more(choice: Mapping[str, Any]) -> bool:
    """Whether a pass for this choice would gather what a scan does not: behind a curve, say."""
    return any(place.via for one in choice.values() for place in first_places(parse(one)))


def _advised(known: Known, choice: Any, asked: Asked) -> dict[str, Any]:
    advice = advised(known, asked.model or "mlp", asked.activation, asked.target)
    for finding in advice.findings:
        level = logging.WARNING if finding.startswith(LEAKING) else logging.INFO
        logging.getLogger("tfnorm").log(level, "%s", finding)
    said = advice.choice
    if not isinstance(choice, Mapping):
        return dict(said)
    return {str(name): said.get(str(name), one) for name, one in choice.items()}
