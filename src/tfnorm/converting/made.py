"""A fit of numbers that came from elsewhere.

The one law: it transforms, goes back, is saved and becomes a layer as others do; what it has not gathered, it says so when asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfnorm.errors import ChoiceError
from tfnorm.fitted import Fitted
from tfnorm.maps import Affine, Map
from tfnorm.profile import Column, Profile, Provenance
from tfnorm.sources import BARE
from tfnorm.sources.columns import quoted
from tfnorm.techniques import parse


@dataclass(frozen=True)
class Numbers:
    """What another library has fitted."""

    step: Map  # of all features at once
    choice: str  # the techniques that would fit the like
    features: int  # 0 where it is for rows of any width
    source: str  # whose it is
    names: tuple[str, ...] = ()  # of the features, where they are known
    num_rows: int = 0  # on how many it was fitted; 0 where that is not known


def fitted_of(numbers: Numbers, columns: Sequence[str] | None) -> Fitted:
    """A column for each feature where they have names, else the one column of an array of them.

    Errors: ChoiceError where names are given of another number, or for features that are mapped together.
    """
    step, features = numbers.step, numbers.features
    if flaw := step.flaw(features or 1):
        raise ChoiceError(f"{numbers.source}: {flaw}.")
    names = tuple(numbers.names if columns is None else columns)
    if columns is not None and (len(names) != features or len(set(names)) < features):
        raise ChoiceError(
            f"{numbers.source}: has {features} features; columns must name each once, got {list(names)!r}."
        )
    if columns is not None and not step.elementwise:
        raise ChoiceError(
            f"{numbers.source}: {numbers.choice} maps the features of a row together. Leave columns out, and give it arrays."
        )
    stages, bare = parse(numbers.choice), not names or not step.elementwise
    seen = (Provenance(numbers.source, numbers.num_rows, 0, ""),)
    if bare:
        column = Column(BARE, "float64", (features or None,), features or 1)  # None: of any width
        return Fitted(Profile((column,), True, numbers.num_rows, (), seen), {BARE: stages}, {BARE: step})
    table = tuple(Column(name, "float64", (), 1) for name in names)
    maps = {name: _feature(step, place) for place, name in enumerate(names)}
    return Fitted(Profile(table, False, numbers.num_rows, (), seen), dict.fromkeys(names, stages), maps)


def fitted_of_columns(found: Mapping[Column, Numbers]) -> Fitted:
    """A fit of columns that each have a map of their own."""
    table, (first, *_) = tuple(found), found.values()
    for column, numbers in found.items():
        if flaw := numbers.step.flaw(column.features):
            raise ChoiceError(f"{numbers.source}: column {quoted([column.name])}: {flaw}.")
    profile = Profile(table, False, first.num_rows, (), (Provenance(first.source, first.num_rows, 0, ""),))
    stages = {column.name: parse(numbers.choice) for column, numbers in found.items()}
    return Fitted(profile, stages, {column.name: numbers.step for column, numbers in found.items()})


def _feature(step: Map, place: int) -> Map:
    return step.with_arrays({field: values[place : place + 1] for field, values in step.arrays().items()})


def side_by_side(maps: Mapping[str, Map]) -> Map:
    """The way back: the maps of columns as one over all features; ChoiceError where they are of several kinds."""
    steps = list(maps.values())
    if len(steps) > 1 and all(isinstance(step, Affine) for step in steps):
        one = {name: np.concatenate([step.arrays()[name] for step in steps]) for name in steps[0].arrays()}
        return Affine(one["center"], one["scale"], one["offset"], has_constant=bool((one["scale"] == 0).any()))
    kinds = {(type(step), step.settings()) for step in steps}
    if len(steps) > 1 and (len(kinds) > 1 or not all(step.elementwise for step in steps)):
        raise ChoiceError("the columns are mapped in several ways, which one scaler does not. Convert them one by one.")
    arrays: list[dict[str, Any]] = [step.arrays() for step in steps]
    return steps[0].with_arrays({field: np.concatenate([one[field] for one in arrays]) for field in arrays[0]})
