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
from tfnorm.covariance import Covariance
from tfnorm.errors import ChoiceError
from tfnorm.grouped import pooled, with_rest
from tfnorm.keys import Keys, listed
from tfnorm.maps import Map
from tfnorm.profile import Profile
from tfnorm.pushing import Curves, Pushed, push
from tfnorm.quantiles import Quantiles
from tfnorm.sources.columns import quoted
from tfnorm.statistics import Count, Extremes, Moments, Statistic
from tfnorm.techniques import Stages, Technique

ALWAYS: tuple[type[Statistic], ...] = (Count, Extremes)


def written(stages: Stages) -> str:
    """A chain as text, as `fit` takes it."""
    return ", ".join(map(str, stages))


def split(stages: Stages) -> tuple[Stages, Technique | None, Stages]:
    """The stages before the first that needs statistics, that one (or None), and those after it."""
    first = next((i for i, stage in enumerate(stages) if stage.needs), None)
    return (stages, None, ()) if first is None else (stages[:first], stages[first], stages[first + 1 :])


@dataclass(frozen=True)
class Place:
    """Where statistics are gathered: after which stages."""

    via: str  # the stages as text; empty for the data themselves
    step: Map  # what they do
    through: str  # a digest of it where it was solved from data: other data have another one. Else empty
    kinds: tuple[type[Statistic], ...]  # what is wanted there
    by: tuple[str, ...] = ()  # of every key in these columns; none for all rows


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
        needing = [stage for stage in stages if stage.needs]
        needed = [kind for stage in needing for kind in stage.needs]
        if any({Moments, Quantiles} & set(stage.needs) for stage in needing[1:]):  # to be pushed there
            needed += [Moments, Quantiles]
        there = replace(_place(stages, first, before), by=())
        there = replace(there, kinds=tuple(dict.fromkeys((*there.kinds, *needed))))
        places = [*places, there] if before else [there]
        for by in dict.fromkeys(stage.grouping.columns for stage in needing if stage.grouping):
            # what a stage by these keys needs, and later ones can make of it
            own = [kind for stage in needing if stage.grouping and stage.grouping.columns == by for kind in stage.needs]
            kinds = (*ALWAYS, *own, *(kind for kind in needed if kind not in (Quantiles, Covariance)))
            places.append(replace(there, kinds=tuple(dict.fromkeys(kinds)), by=by))
    return places


def next_places(profile: Profile, names: Sequence[str], stages: Stages, *, exact: bool) -> list[Place]:
    """What another pass has to gather; nothing where the stages can be solved (`exact`: from data, not from pushed sketches)."""
    done: list[Map] = []
    for i, stage in enumerate(stages):
        if stage.needs:
            whole = replace(_place(stages, i, done), by=())
            places = [whole, replace(whole, by=stage.grouping.columns)] if stage.grouping else [whole]
            lacking = [place for place in places if not _gathered(profile, names, place)]
            if lacking and (exact or not _is_known(profile, names, stages, i, done)):
                return lacking
        elif stage.solve({}).domain and not _known(profile, names, stages, i, done, ()).statistics:
            return [_place(stages, i, done)]
        if i + 1 == len(stages) and not (exact and stage.needs and stage.kind.refine):
            break  # nobody asks for what the last one gives
        step, trials = _stage(profile, names, stages, i, done)
        if exact and trials:
            return trials
        done.append(step)
    return []


def _is_known(profile: Profile, names: Sequence[str], stages: Stages, i: int, done: Sequence[Map]) -> bool:
    if stages[i].grouping:
        return _known_by_key(profile, names, stages, i, done) is not None
    return bool(_known(profile, names, stages, i, done, stages[i].needs).statistics)


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
        if stage.needs and not stage.grouping:
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


def _through(stages: Stages, done: Sequence[Map]) -> str:
    return digest(maps.chain(*done)) if any(stage.needs for stage in stages) else ""


def digest(step: Map) -> str:
    """SHA-256 of a map's numbers."""
    return hashlib.sha256(json.dumps(encode(step)).encode()).hexdigest()


def _gathered(profile: Profile, names: Sequence[str], place: Place) -> dict[type[Statistic], Any]:
    """What was gathered at a place, of all its kinds; empty where one lacks."""
    found: dict[type[Statistic], Any] = {}
    for kind in place.kinds:
        one = _of_kind(profile, names, place, kind)
        if one is None:
            return {}
        found[kind] = one
    return found


def _of_kind(profile: Profile, names: Sequence[str], place: Place, kind: type[Statistic]) -> Any:
    """What was gathered at a place of one kind, of these columns together; None where one lacks."""
    if place.by:
        keyed = profile.by(place.by)
        each = [keyed.take(kind, name, place.via, place.through) if keyed else None for name in names]
    else:
        each = [profile.statistic(kind, name, place.via, place.through) for name in names]
    return None if any(one is None for one in each) else reduce(add, each)


def _there(
    profile: Profile, names: Sequence[str], place: Place, kinds: Collection[type[Statistic]]
) -> dict[type[Statistic], Any]:
    """What was gathered at a place, of these kinds and of those from which they are pushed on."""
    asked = dict.fromkeys((*ALWAYS, Moments, Quantiles, *kinds))
    each = {kind: _of_kind(profile, names, place, kind) for kind in asked}
    return {kind: one for kind, one in each.items() if one is not None}


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
        place, step = replace(_place(stages, base, done[:base]), by=()), maps.chain(*done[base:i])
        keyed = step.keyed()
        if not keyed:
            pushed = push(_there(profile, names, place, wanted), step, wanted)
        elif not {Quantiles, Covariance} & wanted:  # those of each key are pushed by its own numbers, and added up
            own = _there(profile, names, replace(place, by=keyed[0].keys.names), wanted)
            pushed = _pooled(own, step, wanted) if len({one.keys.names for one in keyed}) == 1 else Pushed({})
        else:
            pushed = Pushed({})
        if wanted <= set(pushed.statistics):
            return pushed
    return Pushed({})


def _pooled(own: dict[type[Statistic], Any], step: Map, wanted: Collection[type[Statistic]]) -> Pushed:
    """Statistics by key through a map by the same keys, all keys together."""
    number = len(step.keyed()[0].keys)
    if Extremes not in own or not number:
        return Pushed({})
    features = own[Extremes].features // number
    pushed = push(own, _of_keys(step, features, number), wanted).statistics
    return Pushed({kind: pooled(statistic, features) for kind, statistic in pushed.items() if kind in wanted})


def _known_by_key(
    profile: Profile, names: Sequence[str], stages: Stages, i: int, done: Sequence[Map]
) -> tuple[Keys, dict[type[Statistic], Any]] | None:
    """The keys by which stage `i` is solved, and what it needs: a feature for each of them and one for all rows."""
    grouping, wanted = stages[i].grouping, {*stages[i].needs, Count, Extremes}
    keyed = profile.by(grouping.columns) if grouping else None
    if grouping is None or keyed is None:
        return None
    keys = keyed.grouped.keys
    for base in range(i, -1, -1):
        place, step = _place(stages, base, done[:base]), maps.chain(*done[base:i])
        if any(one.keys.names != keys.names for one in step.keyed()):
            continue
        own, whole = (_there(profile, names, replace(place, by=by), wanted) for by in (keys.names, ()))
        if Extremes not in own or Extremes not in whole:
            continue
        if base < i and not step.elementwise:
            continue  # no statistic goes through
        by_key = _pushed_by_key(own, step, whole[Extremes].features, len(keys), wanted)
        rest = push(whole, _of_rest(step), wanted).statistics
        by_key.setdefault(Count, own.get(Count))  # as many, wherever they lie
        rest.setdefault(Count, whole.get(Count))
        found = (*by_key.values(), *rest.values())
        if wanted <= set(by_key) & set(rest) and not any(isinstance(one, Curves) for one in found):
            return keys, with_rest(by_key, rest, stages[i].needs, grouping.shrink)
    return None


def _pushed_by_key(
    own: dict[type[Statistic], Any], step: Map, features: int, number: int, wanted: Collection[type[Statistic]]
) -> dict[type[Statistic], Any]:
    """Statistics by key through a map that may be by the same keys."""
    alone = {kind: one for kind, one in own.items() if kind is not Covariance}
    pushed = push(alone, _of_keys(step, features, number), wanted).statistics
    if (
        Covariance in wanted and Covariance in own
    ):  # which has all features of a key, where others have all keys of a feature
        turned = np.arange(features * number).reshape(features, number).T.reshape(-1)
        known = {Covariance: own[Covariance], Extremes: own[Extremes].pick(turned)}
        found = push(known, _picked(_of_keys(step, features, number), turned), (Covariance,)).statistics
        pushed |= {kind: one for kind, one in found.items() if kind is Covariance}
    return pushed


def _of_keys(step: Map, features: int, number: int) -> Map:
    """The map of the rows of all keys, the features of each side by side with those of the others."""
    again = np.repeat(np.arange(features), number)
    parts = []
    for one in step.maps if isinstance(step, maps.Chain) else (step,):
        if isinstance(one, maps.ByKey):
            values = {name: value[:, :-1].reshape(-1, *value.shape[2:]) for name, value in one.arrays().items()}
            parts.append(one.inner.with_arrays(values))
        else:
            parts.append(_picked(one, again))
    return maps.chain(*parts)


def _picked(step: Map, places: np.ndarray) -> Map:
    """The map of the features at these places."""
    return step.with_arrays({name: value[places] for name, value in step.arrays().items()})


def _of_rest(step: Map) -> Map:
    """The map of rows whose key is not known."""
    parts = (
        one.inner.with_arrays({name: value[:, -1] for name, value in one.arrays().items()})
        if isinstance(one, maps.ByKey)
        else one
        for one in (step.maps if isinstance(step, maps.Chain) else (step,))
    )
    return maps.chain(*parts)


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
    if stage.grouping:
        by_key = _known_by_key(profile, names, stages, i, done)
        if by_key is None:
            raise ChoiceError(_unknown(profile, names[0], stage, stages[:i]))
        return stage.solve_by_key(*by_key), []
    known = _known(profile, names, stages, i, done, stage.needs).statistics
    if not known:
        raise ChoiceError(_unknown(profile, names[0], stage, stages[:i]))
    try:
        step = stage.solve(known)
    except ChoiceError as error:  # a technique knows the statistics, not of what they are
        raise ChoiceError(f"column {quoted(names)}: {error}") from None
    refine = stage.kind.refine
    if refine is None:
        return step, []
    tried = [maps.chain(*done, trial) for trial in refine.trials(step)]
    via = written(stages[: i + 1])
    places = [Place(f"{via}, trial {k}", one, digest(one), (*ALWAYS, Moments)) for k, one in enumerate(tried)]
    measured = [found[Moments] for place in places if (found := _gathered(profile, names, place))]
    return (refine.choose(step, measured), []) if len(measured) == len(places) else (step, places)


def _unknown(profile: Profile, name: str, stage: Technique, before: Stages) -> str:
    lacking = [kind for kind in stage.needs if before or stage.grouping or profile.statistic(kind, name) is None]
    kinds = ", ".join(kind.__name__.lower() for kind in lacking)
    if stage.grouping:
        kinds += f" by {listed(stage.grouping.columns)}"
    if not before:
        return f"column {quoted([name])}: {stage} needs {kinds}, which the profile lacks. Fit from the data instead."
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
