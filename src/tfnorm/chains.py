"""From statistics to the maps of a chain: a stage after the first is solved on what the earlier ones make of the statistics.

The one law: `push(S.of(x), m)` is `S.of(m.forward(x))`, for the statistics that a map carries.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from tfnorm import maps
from tfnorm.errors import ChoiceError
from tfnorm.grouped import pooled, with_rest
from tfnorm.keys import Keys, listed
from tfnorm.maps import Affine, ByKey, Clip, Identity, Map
from tfnorm.profile import Profile
from tfnorm.quantiles import Curve, Quantiles
from tfnorm.sources.columns import quoted
from tfnorm.statistics import Count, Extremes, Moments, Statistic
from tfnorm.techniques import Stages, Technique


def written(stages: Stages) -> str:
    """A chain as text, as `fit` takes it."""
    return ", ".join(map(str, stages))


def needs_of(stages: Stages) -> list[type[Statistic]]:
    """The statistics that its stages are solved from."""
    return [kind for stage in stages for kind in stage.needs]


def needs_by(stages: Stages, by: tuple[str, ...]) -> list[type[Statistic]]:
    """The statistics that are gathered by these keys: those of its stages, and what later ones can make of them."""
    own = [kind for stage in stages for kind in stage.needs if stage.grouping and stage.grouping.columns == by]
    return [*own, *(kind for kind in needs_of(stages) if kind is not Quantiles)]


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
    statistics = _Statistics(profile, name, written(before), written(stages))
    for stage in (first, *after):
        if not stage.needs:
            step = stage.solve({})
            if (known := statistics.of_all((Extremes,))) is not None:
                _refuse_outside(name, step, known[Extremes])
        elif stage.grouping is None:
            step = stage.solve(statistics.wanted(stage))
        else:
            step = stage.solve_by_key(*statistics.wanted_by_key(stage))
        statistics.pushed = maps.chain(statistics.pushed, step)
        done.append(step)
    return maps.chain(*done)


@dataclasses.dataclass
class _Statistics:
    """What is known of one column after the maps so far: of all rows, and by key."""

    profile: Profile
    name: str
    via: str  # the maps after which the column was measured
    stages: str  # the whole chain, for errors
    pushed: Map = dataclasses.field(default_factory=Identity)  # the maps since then

    def wanted(self, stage: Technique) -> dict[type[Statistic], Any]:
        """What a stage needs, of all rows."""
        found = self.of_all(stage.needs, stage)
        if found is None:
            raise self._unknown(stage)
        return found

    def of_all(
        self, kinds: Sequence[type[Statistic]], stage: Technique | None = None
    ) -> dict[type[Statistic], Any] | None:
        """Statistics of all rows; None where the maps so far do not carry them."""
        keyed = self.pushed.keyed()
        if not keyed:
            return _mapped({kind: self._get(kind, stage) for kind in (*kinds, Extremes)}, self.pushed)
        own = {kind: self._get(kind, stage, keyed[-1].keys) for kind in (*kinds, Extremes) if kind is not Quantiles}
        features, number = self._get(Extremes, stage).features, len(keyed[-1].keys)
        found = None if Quantiles in kinds else _mapped(own, _of_keys(self.pushed, features, number))
        return None if found is None else {kind: pooled(statistic, features) for kind, statistic in found.items()}

    def wanted_by_key(self, stage: Technique) -> tuple[Keys, dict[type[Statistic], Any]]:
        """The keys by which a stage is solved, and what it needs: a feature for each of them and one for all rows."""
        assert stage.grouping is not None
        keys = self._keys(stage)
        if any(keyed.keys.names != keys.names for keyed in self.pushed.keyed()):
            raise self._unknown(stage)
        kinds = (*stage.needs, Extremes)
        own = {kind: self._get(kind, stage, keys) for kind in kinds}
        whole = {kind: self._get(kind, stage) for kind in kinds}
        mapped = _mapped(own, _of_keys(self.pushed, whole[Extremes].features, len(keys)))
        rest = _mapped(whole, _of_rest(self.pushed))
        if mapped is None or rest is None or any(isinstance(one, _Pushed) for one in mapped.values()):
            raise self._unknown(stage)
        mapped[Count] = self._get(Count, stage, keys)  # as many, wherever they lie
        return keys, with_rest(mapped, rest, stage.needs, stage.grouping.shrink)

    def _keys(self, stage: Technique) -> Keys:
        assert stage.grouping is not None
        keyed = self.profile.by(stage.grouping.columns)
        if keyed is None:
            raise ChoiceError(
                f"column {quoted([self.name])}: {stage} needs statistics by key, which the profile lacks; fit from the data."
            )
        return keyed.grouped.keys

    def _get(self, kind: type[Statistic], stage: Technique | None, keys: Keys | None = None) -> Any:
        """A statistic as it was gathered: of all rows, or by key."""
        if keys is None:
            how, found = "", self.profile.statistic(kind, self.name, self.via)
        else:
            gathered = self.profile.by(keys.names)
            how = f" by {listed(keys.names)}"
            found = None if gathered is None else gathered.take(kind, self.name, self.via)
        if found is not None:
            return found
        if self.via:
            raise ChoiceError(
                f"column {quoted([self.name])}: the profile does not know {kind.__name__.lower()}{how} after {self.via}; "
                "fit from the data instead."
            )
        raise ChoiceError(
            f"column {quoted([self.name])}: {stage or self.stages} needs {kind.__name__.lower()}{how}, which the profile lacks."
        )

    def _unknown(self, stage: Technique) -> ChoiceError:
        return ChoiceError(
            f"column {quoted([self.name])}: {stage} would need the statistics of what {self.stages} gives before it, "
            "which one pass cannot know. Transform with the first part, then fit the rest."
        )


def _mapped(raw: dict[type[Statistic], Any], step: Map) -> dict[type[Statistic], Any] | None:
    """The statistics of mapped data; None where the map does not carry one of them."""
    if isinstance(step, Identity):
        return raw
    if not set(raw) <= _carried(step, raw[Extremes]):
        return None
    return {kind: push(statistic, step) for kind, statistic in raw.items()}


def _of_keys(step: Map, features: int, number: int) -> Map:
    """The map of the rows of all keys, the features of each side by side with those of the others."""
    again = np.repeat(np.arange(features), number)
    parts = []
    for one in step.maps if isinstance(step, maps.Chain) else (step,):
        if isinstance(one, ByKey):
            values = {name: value[:, :-1].reshape(-1, *value.shape[2:]) for name, value in one.arrays().items()}
            parts.append(one.inner.with_arrays(values))
        else:
            parts.append(one.with_arrays({name: value[again] for name, value in one.arrays().items()}))
    return maps.chain(*parts)


def _of_rest(step: Map) -> Map:
    """The map of rows whose key is not known."""
    parts = (
        one.inner.with_arrays({name: value[:, -1] for name, value in one.arrays().items()})
        if isinstance(one, ByKey)
        else one
        for one in (step.maps if isinstance(step, maps.Chain) else (step,))
    )
    return maps.chain(*parts)


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
