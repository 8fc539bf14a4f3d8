"""What might be done to a column: every technique of the registry, and chains of them.

The one law: candidates come from the registry and from what a column can hold; whether one suits is for the measures to say.
A technique is a candidate where it can be made without settings, takes a number (or a row) and gives as many, and is solved
from one feature's statistics; each also in its variants, where a setting has a few words to choose from, and with `standard`
behind it, where it bends.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from tfnorm import maps
from tfnorm.advice.distribution import KINDS, Distribution
from tfnorm.advice.measures import Before, Mapped
from tfnorm.errors import ChoiceError, DataError
from tfnorm.maps import Affine, Identity, Map
from tfnorm.profile import Column
from tfnorm.pushing import push
from tfnorm.statistics import Count, Extremes
from tfnorm.techniques import TECHNIQUES, Stages, Technique, TechniqueKind, parse

BEHIND = "standard"  # what makes one scale of what a curve gives
MORE = ("minmax(-1, 1)",)  # settings that are numbers, and usual

Bounds = tuple[float, float] | None


def candidates_for(column: Column, bounds: Bounds) -> Iterator[Stages]:
    """All that might be done to a column with such rows; `bounds`: between what its values lie by design.

    >>> column = Column("age", "float64", (), 1)
    >>> texts = [", ".join(map(str, stages)) for stages in candidates_for(column, None)]
    >>> [text in texts for text in ("standard", "log1p, standard", "rescale", "l2")]
    [True, True, False, False]
    """
    yield from _of_registry(column.shape, column.features, tuple(TECHNIQUES))
    if bounds is not None:
        yield parse(f"rescale({bounds[0]:g}, {bounds[1]:g})")


@lru_cache(maxsize=64)
def _of_registry(shape: tuple[int | None, ...], features: int, _names: tuple[str, ...]) -> tuple[Stages, ...]:
    """Once for all columns of a shape; `_names`: of the registry, which may grow."""
    behind = parse(BEHIND)
    found = [behind]  # of equals the first is taken: what people know
    for kind in TECHNIQUES.values():
        for stage in _variants(kind):
            if _takes(stage, shape, features) and not _is_fixed_line(stage):
                found.append((stage,))
                if not scales_only(stage):
                    found.append((stage, *behind))
    return (*dict.fromkeys(found), *(parse(text) for text in MORE))


def _is_fixed_line(stage: Technique) -> bool:
    """Whether it is a straight line whose numbers are the same whatever the data are: who knows a column's limits gives them."""
    if not scales_only(stage):
        return False
    one, other = (
        stage.solve({kind: kind.of(np.array(rows)) for kind in stage.needs})
        for rows in ([[0.0], [1.0]], [[5.0], [9.0]])
    )
    numbers = one.arrays()
    return bool(numbers) and all(np.array_equal(value, other.arrays()[name]) for name, value in numbers.items())


def _variants(kind: TechniqueKind) -> Iterator[Technique]:
    """With all settings as they are, and with each other word where a setting is one of a few words."""
    if any(parameter.default is parameter.empty for parameter in kind.parameters.values()):
        return  # only who knows the data can set it
    yield kind()
    for name, parameter in kind.parameters.items():
        if typing.get_origin(kind.hints[name]) is typing.Literal:
            for word in typing.get_args(kind.hints[name]):
                if word != parameter.default:
                    yield kind(**{name: word})


def _takes(stage: Technique, shape: tuple[int | None, ...], features: int) -> bool:
    """Whether it takes rows like these and gives as many numbers."""
    if not set(stage.needs) <= set(KINDS):
        return False
    dry = stage.solve({kind: kind.nothing(features) for kind in stage.needs})
    if dry.fills or dry.marks or dry.width(features) != features:
        return False
    if dry.elementwise:
        return True
    try:
        return len(shape) == 1 and dry.shape((None, *shape)) == (None, *shape)
    except DataError:
        return False


def scales_only(stage: Technique) -> bool:
    """Whether it is a straight line, whatever it is solved on."""
    dry = stage.solve({kind: kind.nothing(1) for kind in stage.needs})
    return all(isinstance(one, Affine | Identity) for one in dry.steps())


def mapped_by(distribution: Distribution, stages: Stages, bounds: Bounds) -> Mapped | None:
    """A column before and after these stages; None where they cannot be applied to its values."""
    if any(not stage.needs and not stage.solve({}).elementwise for stage in stages):
        return _rows_mapped(distribution, stages)
    try:
        step = solved(distribution, stages)
    except (ChoiceError, DataError):
        return None
    return None if step is None else _points_mapped(distribution, step, bounds)


def solved(distribution: Distribution, stages: Stages) -> Map | None:
    """The map of these stages, each solved on what the earlier ones make of the sketch; None where that is not known."""
    known, steps = distribution.statistics, list[Map]()
    for i, stage in enumerate(stages):
        if i:
            before = push(known, steps[-1], (Extremes, *stage.needs)).statistics
            known = {Count: distribution.statistics[Count], **before}
        if not set(stage.needs) <= set(known):
            return None
        steps.append(_solved_first(distribution, stage) if i == 0 else stage.solve(known))
    return maps.chain(*steps)


def _solved_first(distribution: Distribution, stage: Technique) -> Map:
    """Solved on the column itself: once, though it begins several chains."""
    if stage not in distribution.solved:
        distribution.solved[stage] = stage.solve(distribution.statistics)
    found: Map = distribution.solved[stage]
    return found


def _points_mapped(distribution: Distribution, step: Map, bounds: Bounds) -> Mapped | None:
    before = distribution.before
    extremes, count = distribution.statistics[Extremes], distribution.statistics[Count]
    ends = np.stack([extremes.minimum, extremes.maximum])
    ends = np.where(np.isfinite(ends), ends, 0.0)
    if bounds is not None:
        ends = np.concatenate([ends, np.broadcast_to(np.array(bounds)[:, None], ends.shape)])
    with np.errstate(all="ignore"):
        points = before.points if before.whole else np.where(before.held, before.points, ends[0])
        result = np.asarray(step.forward(points, np))
        at_zero = np.asarray(step.forward(np.zeros((1, distribution.features)), np))[0]
        at_bounds = np.asarray(step.forward(ends, np))
    if not np.isfinite(result).all() or not np.isfinite(at_bounds[:2]).all():
        return None
    zeros = count.zero / np.maximum(count.finite, 1)
    at_bounds = np.where(np.isfinite(at_bounds), at_bounds, 0.0)
    told = 1.0
    if distribution.beside is not None:
        with np.errstate(all="ignore"):
            told = distribution.beside.told(np.asarray(step.forward(distribution.beside.values[:, None], np))[:, 0])
    found = result if before.whole else np.where(before.held, result, np.nan)
    return Mapped(before, found, zeros, at_zero, at_bounds, step, told=told)


def _rows_mapped(distribution: Distribution, stages: Stages) -> Mapped | None:
    """By rows, where a technique looks at more than one number; what stands before or behind it is solved on those rows."""
    rows = distribution.rows
    if rows is None or not len(rows):
        return None
    result, steps = rows, list[Map]()
    for stage in stages:
        try:
            step = stage.solve({kind: kind.of(result) for kind in stage.needs})
            with np.errstate(all="ignore"):
                result = np.asarray(step.forward(result, np))
        except (ChoiceError, DataError):
            return None
        steps.append(step)
    if not np.isfinite(result).all():
        return None
    weight = np.full(rows.shape, 1.0 / len(rows))
    ends, zeros = np.stack([result.min(axis=0), result.max(axis=0)]), (rows == 0).mean(axis=0)
    at_zero = np.asarray(maps.chain(*steps).forward(np.zeros((1, rows.shape[1])), np))[0]
    return Mapped(Before(rows, weight), result, zeros, at_zero, ends, maps.chain(*steps), _forgotten(rows, result))


def _forgotten(before: np.ndarray, after: np.ndarray) -> float:
    """The share of the variation of rows that no straight line brings back, feature by feature."""
    x, y = before - before.mean(axis=0), after - after.mean(axis=0)
    variation = (x**2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        told = (x * y).sum(axis=0) ** 2 / (y**2).sum(axis=0)
    return float(np.clip(1.0 - np.nansum(told) / max(variation.sum(), 1e-300), 0.0, 1.0))
