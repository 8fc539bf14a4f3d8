"""From statistics to the maps of a chain, stage by stage.

The one law: a stage is solved on what the earlier ones give. What was gathered there is used; what was not is pushed there from
where something was gathered, if the maps between tell it; else it takes another pass over the data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from tfnorm import maps
from tfnorm.codec import encode
from tfnorm.errors import ChoiceError
from tfnorm.grouped import added, pooled, with_rest
from tfnorm.maps import Map
from tfnorm.profile import Profile
from tfnorm.pushing import Pushed, push
from tfnorm.quantiles import Quantiles
from tfnorm.sources.columns import quoted
from tfnorm.statistics import Count, Extremes, Moments, Statistic
from tfnorm.techniques import Stages, Technique

ALWAYS: tuple[type[Statistic], ...] = (Count, Extremes)


def written(stages: Stages) -> str:
    """A chain as text, as `fit` takes it."""
    return ", ".join(map(str, stages))


@dataclass(frozen=True)
class Place:
    """Where statistics are gathered: after which stages."""

    via: str  # the stages as text; empty for the data themselves
    step: Map  # what they do
    through: str  # a digest of it where it was solved from data: other data have another one. Else empty
    kinds: tuple[type[Statistic], ...]  # what is wanted there
    by: tuple[str, ...] = ()  # the key columns, where it is wanted for every key


def first_places(stages: Stages) -> list[Place]:
    """What the first pass gathers: at the first stage that needs anything, whatever can be pushed on to the later ones."""
    first = next((i for i, stage in enumerate(stages) if stage.needs), len(stages))
    before = [stage.solve({}) for stage in stages[:first]]
    places = [Place("", maps.Identity(), "", ALWAYS)]
    # what has a domain after what does not rise: extremes there tell whether it is kept
    for i in range(1, first):
        if before[i].domain and not all(step.rises for step in before[:i]):
            places.append(Place(written(stages[:i]), maps.chain(*before[:i]), "", ALWAYS))
    if first < len(stages):
        needed = [kind for stage in stages for kind in stage.needs]
        if sum(bool(stage.needs) for stage in stages) > 1:
            needed += [Moments, Quantiles]
        there = _place(stages, first, before)
        there = replace(there, kinds=tuple(dict.fromkeys((*there.kinds, *needed))))
        places = [*places, there] if before else [there]
        if stages[first].grouping is not None:
            by = _by_key(there, stages[first])
            places.append(replace(by, kinds=tuple(dict.fromkeys((*by.kinds, Moments)))) if stages[first + 1 :] else by)
    return places


def next_places(profile: Profile, names: Sequence[str], stages: Stages, *, exact: bool) -> list[Place]:
    """What another pass has to gather; nothing where the stages can be solved (`exact`: from data, not from pushed sketches)."""
    done: list[Map] = []
    for i, stage in enumerate(stages):
        if stage.grouping is not None:
            wanted = _place(stages, i, done)
            lacking = [place for place in (wanted, _by_key(wanted, stage)) if not _gathered(profile, names, place)]
            if lacking:
                return lacking
        elif stage.needs:
            here = _place(stages, i, done)
            known = (
                _gathered(profile, names, here)
                if exact
                else _known(profile, names, stages, i, done, stage.needs).statistics
            )
            if not known:
                return [here]
        elif stage.solve({}).domain and not _known(profile, names, stages, i, done, ()).statistics:
            return [_place(stages, i, done)]
        step, trials = _stage(profile, names, stages, i, done)
        if exact and trials:
            return trials
        done.append(step)
    return []


def solve(profile: Profile, names: Sequence[str], stages: Stages) -> Map:
    """The map of a column, or of several that share one: their statistics together."""
    done: list[Map] = []
    for i in range(len(stages)):
        done.append(_stage(profile, names, stages, i, done)[0])
    return maps.chain(*done)


def uncertainty(profile: Profile, names: Sequence[str], stages: Stages) -> dict[str, dict[str, np.ndarray]]:
    """How far from exact the statistics may be from which stages were solved, by stage; only what is not 0.

    `rank`: of any value, as a share of all; `mean` and `std`: in the units of what the stage is given.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    done: list[Map] = []
    for i, stage in enumerate(stages):
        if stage.grouping is not None:
            if Quantiles in stage.needs:
                found[str(stage)] = {"rank": _rank_by_key(profile, names, _by_key(_place(stages, i, done), stage))}
        elif stage.needs:
            known = _known(profile, names, stages, i, done, stage.needs)
            told: dict[str, np.ndarray] = {}
            if Quantiles in stage.needs and not (stage.kind.refine and not _stage(profile, names, stages, i, done)[1]):
                quantiles = known.statistics[Quantiles]
                extremes = known.statistics[Extremes]
                told["rank"] = np.array([quantiles.curve(j, extremes).rank_error() for j in range(quantiles.features)])
            if Moments in stage.needs and known.bounds is not None:
                told["mean"], told["std"] = known.bounds
            told = {name: bound for name, bound in told.items() if bound.any()}
            if told:
                found[str(stage)] = told
        done.append(_stage(profile, names, stages, i, done)[0])
    return found


def _place(stages: Stages, i: int, done: Sequence[Map]) -> Place:
    """Where stage `i` stands, and what it needs there."""
    kinds = tuple(dict.fromkeys((*ALWAYS, *stages[i].needs)))
    return Place(written(stages[:i]), maps.chain(*done), _through(stages[:i], done), kinds)


def _by_key(place: Place, stage: Technique) -> Place:
    """The same place, and what a stage needs there for every key."""
    assert stage.grouping is not None
    return replace(place, kinds=tuple(dict.fromkeys((*ALWAYS, *stage.needs))), by=stage.grouping.columns)


def _rank_by_key(profile: Profile, names: Sequence[str], place: Place) -> np.ndarray:
    """The widest uncertainty of a rank that a key has, (features,)."""
    known = _gathered(profile, names, place)
    quantiles, extremes = known[Quantiles], known[Extremes]
    errors = [quantiles.curve(j, extremes).rank_error() for j in range(quantiles.features)]
    return np.array(errors).reshape(-1, len(profile.keys_of(place.by) or ())).max(axis=1)


def _through(stages: Stages, done: Sequence[Map]) -> str:
    return digest(maps.chain(*done)) if any(stage.needs for stage in stages) else ""


def digest(step: Map) -> str:
    """SHA-256 of a map's numbers."""
    return hashlib.sha256(json.dumps(encode(step)).encode()).hexdigest()


def _gathered(profile: Profile, names: Sequence[str], place: Place) -> dict[type[Statistic], Any]:
    """What was gathered at a place, of all its kinds; empty where one lacks."""
    found: dict[type[Statistic], Any] = {}
    for kind in place.kinds:
        each: list[Any] = [profile.statistic(kind, name, place.via, place.through, place.by) for name in names]
        if any(one is None for one in each):
            return {}
        found[kind] = reduce(added if place.by else add, each)
    return found


def _known(
    profile: Profile,
    names: Sequence[str],
    stages: Stages,
    i: int,
    done: Sequence[Map],
    needed: Sequence[type[Statistic]],
) -> Pushed:
    """The statistics needed where stage `i` stands: gathered there, or pushed from the nearest place that tells them."""
    wanted = {*needed, Extremes}
    for base in range(i, -1, -1):
        place = _place(stages, base, done[:base])
        there: dict[type[Statistic], Any] = {}
        for kind in dict.fromkeys((*ALWAYS, Moments, Quantiles, *wanted)):
            there |= _gathered(profile, names, replace(place, kinds=(kind,)))
        step = maps.chain(*done[base:i])
        pushed = _pushed_by_key(profile, names, place, step, wanted) if step.keyed() else push(there, step, wanted)
        if wanted <= set(pushed.statistics):
            return pushed
    return Pushed({})


def _pushed_by_key(
    profile: Profile, names: Sequence[str], place: Place, step: Map, wanted: Collection[type[Statistic]]
) -> Pushed:
    """The statistics of all rows behind maps by key: those of every key pushed through its own, and added up."""
    by = {keyed.keys.names for keyed in step.keyed()}
    if len(by) > 1 or Quantiles in wanted:  # sketches behind different maps have no cells in common
        return Pushed({})
    place = replace(place, by=by.pop())
    own: dict[type[Statistic], Any] = {}
    for kind in (*ALWAYS, Moments):
        own |= _gathered(profile, names, replace(place, kinds=(kind,)))
    if not own:
        return Pushed({})
    number = len(profile.keys_of(place.by) or ())
    features = own[Extremes].features // number
    pushed = push(own, step.of_keys(features, number), wanted)
    return Pushed({kind: pooled(statistic, features) for kind, statistic in pushed.statistics.items()})


def _stage(
    profile: Profile, names: Sequence[str], stages: Stages, i: int, done: Sequence[Map]
) -> tuple[Map, list[Place]]:
    """The map of stage `i`, and where a further pass would gather to solve it more exactly."""
    stage = stages[i]
    if not stage.needs:
        step = stage.solve({})
        if step.domain and (seen := _known(profile, names, stages, i, done, ()).statistics):
            _refuse_outside(names[0], step, seen[Extremes])
        return step, []
    if stage.grouping is not None:
        here = _place(stages, i, done)
        whole, own = _gathered(profile, names, here), _gathered(profile, names, _by_key(here, stage))
        keys = profile.keys_of(stage.grouping.columns)
        if not whole or not own or keys is None:
            raise ChoiceError(
                f"column {quoted([names[0]])}: {stage} needs statistics by key, which the profile lacks. Fit from the data."
            )
        return stage.solve_by_key(keys, with_rest(own, whole, stage.needs, stage.grouping.shrink)), []
    known = _known(profile, names, stages, i, done, stage.needs).statistics
    if not known:
        raise ChoiceError(_unknown(profile, names[0], stage, stages[:i]))
    step = stage.solve(known)
    refine = stage.kind.refine
    if refine is None:
        return step, []
    tried = [maps.chain(*done, trial) for trial in refine.trials(step)]
    via = written(stages[: i + 1])
    places = [Place(f"{via}, trial {k}", one, digest(one), (*ALWAYS, Moments)) for k, one in enumerate(tried)]
    measured = [found[Moments] for place in places if (found := _gathered(profile, names, place))]
    return (refine.choose(step, measured), []) if len(measured) == len(places) else (step, places)


def _unknown(profile: Profile, name: str, stage: Technique, before: Stages) -> str:
    lacking = [kind for kind in stage.needs if before or profile.statistic(kind, name) is None]
    kinds = ", ".join(kind.__name__.lower() for kind in lacking)
    if not before:
        return (
            f"column {quoted([name])}: {stage} needs {kinds}, which the profile lacks. tfnorm.scan gathers everything."
        )
    return (
        f"column {quoted([name])}: {stage} needs {kinds} of what {written(before)} gives, which the profile cannot tell. "
        "Fit from the data instead."
    )


def _refuse_outside(name: str, step: Map, extremes: Extremes) -> None:
    ends = np.stack([extremes.minimum, extremes.maximum])
    with np.errstate(all="ignore"):
        outside = np.isfinite(ends) & np.isnan(step.forward(ends, np))
    if outside.any():
        raise ChoiceError(
            f"column {quoted([name])}: a technique needs {step.domain}, and values go from {ends[0].min():g} to "
            f"{ends[1].max():g}. Choose another one."
        )
