"""From statistics to the maps of a chain: a stage after the first is solved on what the earlier ones make of the statistics.

The one law: `push(S.of(x), m)` is `S.of(m.forward(x))`, for the statistics that a map carries.
"""

from __future__ import annotations

import dataclasses
from functools import reduce
from typing import Any

import numpy as np

from tfnorm import maps
from tfnorm.errors import ChoiceError
from tfnorm.maps import Affine, Clip, Identity, Map
from tfnorm.profile import Profile
from tfnorm.quantiles import Curve, Quantiles
from tfnorm.sources.columns import quoted
from tfnorm.statistics import Extremes, Moments, Statistic
from tfnorm.techniques import Stages


def written(stages: Stages) -> str:
    """A chain as text, as `fit` takes it."""
    return ", ".join(map(str, stages))


def needs_of(stages: Stages) -> list[type[Statistic]]:
    """The statistics that its stages are solved from."""
    return [kind for stage in stages for kind in stage.needs]


def split(stages: Stages) -> tuple[Stages, Any, Stages]:
    """The stages before the first that needs statistics, that one (or None), and those after it."""
    first = next((i for i, stage in enumerate(stages) if stage.needs), None)
    return (stages, None, ()) if first is None else (stages[:first], stages[first], stages[first + 1 :])


def solve(profile: Profile, name: str, stages: Stages) -> Map:
    """One column's map."""
    before, first, after = split(stages)
    done = [stage.solve({}) for stage in before]
    _check_domain(profile, name, done)
    if first is None:
        return maps.chain(*done)
    via = written(before)
    statistics: dict[type[Statistic], Any] = {}
    for kind in dict.fromkeys((*needs_of(stages), Extremes)):
        statistics[kind] = profile.statistic(kind, name, via)
        if statistics[kind] is None:
            if via:
                raise ChoiceError(
                    f"column {quoted([name])}: the profile does not know {kind.__name__.lower()} after {via}; "
                    "fit from the data instead."
                )
            raise ChoiceError(
                f"column {quoted([name])}: {first} needs {kind.__name__.lower()}, which the profile lacks."
            )
    done.append(first.solve(statistics))
    pushed = done[-1]
    for stage in after:
        carried = _carried(pushed, statistics[Extremes])
        if stage.needs:
            if not set(stage.needs) <= carried:
                raise ChoiceError(
                    f"column {quoted([name])}: {stage} would need the statistics of what {written(stages)} gives before it, "
                    "which one pass cannot know. Transform with the first part, then fit the rest."
                )
            done.append(stage.solve({kind: push(statistics[kind], pushed) for kind in stage.needs}))
        else:
            done.append(stage.solve({}))
            if Extremes in carried:
                _refuse_outside(name, done[-1], push(statistics[Extremes], pushed))
        pushed = maps.chain(pushed, done[-1])
    return maps.chain(*done)


def _check_domain(profile: Profile, name: str, done: list[Map]) -> None:
    """Maps without statistics that come first must be defined on all that was seen."""
    extremes, pushed = profile.statistic(Extremes, name), maps.chain()
    for step in done if isinstance(extremes, Extremes) else ():
        assert isinstance(extremes, Extremes)
        if Extremes in _carried(pushed, extremes):
            _refuse_outside(name, step, push(extremes, pushed))
        pushed = maps.chain(pushed, step)


def _refuse_outside(name: str, step: Map, extremes: Extremes) -> None:
    if not step.domain:
        return
    ends = np.stack([extremes.minimum, extremes.maximum])
    with np.errstate(all="ignore"):
        outside = np.isfinite(ends) & np.isnan(step.forward(ends, np))
    if outside.any():
        raise ChoiceError(
            f"column {quoted([name])}: a technique needs {step.domain}, and values go from {ends[0].min():g} to "
            f"{ends[1].max():g}. Choose another one."
        )


_CURVES = (
    *(maps.Log1p, maps.SignedLog, maps.Asinh, maps.YeoJohnson, maps.BoxCox),
    *(maps.Sigmoid, maps.SmoothClip, maps.TukeyTails, maps.Piecewise),
)


def _carried(step: Map, extremes: Extremes) -> set[type[Statistic]]:
    """The statistics that a map carries to those of what it gives: extremes go through all that rises, quantiles and
    moments through straight lines, and limits that take off nothing of these data."""
    steps = _steps(step)
    if not all(isinstance(one, (Affine, Clip, Identity, *_CURVES)) and not _falls(one) for one in steps):
        return set()
    if any(isinstance(one, _CURVES) for one in steps):
        return {Extremes}
    ends = np.stack([extremes.minimum, extremes.maximum])
    ends[np.isinf(ends)] = np.nan  # of a feature without values
    for one in steps:
        mapped = np.asarray(one.forward(ends, np))
        if isinstance(one, Clip) and not np.array_equal(mapped, ends, equal_nan=True):
            return {Extremes}
        ends = mapped
    return {Extremes, Quantiles, Moments}


def _falls(step: Map) -> bool:
    return isinstance(step, Affine) and bool((step.scale < 0).any())


def _steps(step: Map) -> tuple[Map, ...]:
    return step.maps if isinstance(step, maps.Chain) else (step,)


@dataclasses.dataclass(frozen=True)
class _Pushed:
    """Quantiles of mapped data: what rises carries quantiles to quantiles."""

    inner: Quantiles
    step: Map

    def at(self, q: float, extremes: Any = None) -> np.ndarray:  # noqa: ARG002  # as Quantiles has it
        return np.asarray(self.step.forward(self.inner.at(q), np))

    @property
    def features(self) -> int:
        return self.inner.features

    def curve(self, feature: int, extremes: Any = None) -> Curve:  # noqa: ARG002
        step = self.step.with_arrays({name: value[[feature]] for name, value in self.step.arrays().items()})
        found = self.inner.curve(feature)
        low, high = (np.asarray(step.forward(ends[:, None], np))[:, 0] for ends in (found.low, found.high))
        return Curve(low, high, found.count)


def push(statistic: Statistic, step: Map) -> Any:
    """The statistic of the mapped data, for a map that is affine on them."""
    if isinstance(statistic, Extremes):
        low, high = step.forward(np.stack([statistic.minimum, statistic.maximum]), np)
        empty = statistic.minimum > statistic.maximum
        zero = np.zeros(len(low))
        return Extremes(np.where(empty, np.inf, low), zero, np.where(empty, -np.inf, high), zero)
    if isinstance(statistic, Moments):
        scales = (one.scale for one in _steps(step) if isinstance(one, Affine))
        mantissa, exponent = np.frexp(reduce(np.multiply, scales, np.ones(statistic.features)))
        return dataclasses.replace(
            statistic,
            mean=np.asarray(step.forward(statistic.mean, np)),
            mean_low=np.zeros_like(statistic.mean),
            exponent=np.clip(statistic.exponent + exponent, -1000, 1000),
            m2=statistic.m2 * mantissa**2,
            m3=statistic.m3 * mantissa**3,
            m4=statistic.m4 * mantissa**4,
        )
    return _Pushed(statistic, step) if isinstance(statistic, Quantiles) else statistic
