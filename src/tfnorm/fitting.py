"""scan() and fit(): from data to what the user holds.

The one law: a fit is its profile and its choice; `fit(p, choice)` and `load(save(...))` give the same maps, and
`fit(a, c) + fit(b, c)` those of `fit` on both.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Mapping
from functools import reduce
from typing import Any, Literal

import numpy as np

from tfnorm import maps
from tfnorm.codec import encode
from tfnorm.errors import ChoiceError
from tfnorm.fitted import Fitted
from tfnorm.gather import Progress, Want, gather, threads
from tfnorm.maps import Affine, Clip, Identity, Map, RowNorm
from tfnorm.profile import UNITS, Column, Profile
from tfnorm.quantiles import Curve, Quantiles
from tfnorm.sources import Source, open_source
from tfnorm.sources.columns import did_you_mean, quoted
from tfnorm.sources.masks import masked, names_of
from tfnorm.statistics import Count, Extremes, Moments, Statistic
from tfnorm.techniques import Choosable, Stages, parse

ALWAYS: tuple[type[Statistic], ...] = (Count, Extremes)
EVERYTHING: tuple[type[Statistic], ...] = (Count, Extremes, Moments, Quantiles)
Axis = Literal[-1] | None
Unit = str | Mapping[str, str] | None
Unstored = Literal["zero", "missing"]


def scan(
    source: Any,
    *,
    columns: Any = None,
    axis: Any = -1,
    unit: Unit = None,
    weight: Any = None,
    sparse: Unstored = "zero",
    mask: Any = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Profile:
    """Every marginal statistic of every numeric column, in one pass.

    Counts of finite, missing, NaN, infinite and zero values, exact minimum and maximum, four moments, and a sketch of the
    distribution. Infinities are counted here and refused by `fit`.

    source: arrays, sparse matrices, ragged tensors, a mapping of these, a table (pandas, polars, pyarrow), a
        tf.data.Dataset, batches, or Parquet and CSV files, globs and folders.
    columns: names, where not all numeric ones are wanted.
    axis: -1 for statistics a position of the last axis (the channels of images), None for one number over all.
    unit: in which unit times are counted ("s", or by column), which makes numbers of them.
    weight: a column's name, an array, or True for the third part of (x, y, weight) batches.
    sparse: what it stands for that sparse matrices and tensors do not store: "zero", or "missing", which is counted as null.
    mask: which steps of padded rows are there; the others are null. A boolean array of the data's leading shape (n,) or
        (n, steps), True where there; the name of the column that holds such; or the number rows were padded with (a step is
        padding where all its features are this number). By column, {"series": "mask"}, where not all columns have it.
    workers: threads; as many as there are cores by default. The result is the same for any.
    progress: called with the number of rows measured at each step, and the number in all or None.

    >>> scan({"age": [22.0, 38.0, 26.0, float("nan")]})["age"].count.missing
    array([1])
    """
    opened = open_source(source, weight=weight)
    named = None if columns is None else [columns] if isinstance(columns, str) else list(columns)
    if mask is not None:
        named = [name for name in _numeric(opened, unit) if name not in names_of(mask)] if named is None else named
        opened = masked(opened, mask, named)
    chosen = _chosen_columns(opened, named, axis, unit, sparse)
    wants = [Want(column, "", Identity(), EVERYTHING) for column in chosen]
    return gather(opened, chosen, wants, infinite="count", engine=threads(workers), progress=progress)


def fit(
    source: Any,
    choice: Choosable | Mapping[str, Choosable] = "standard",
    *,
    axis: Any = -1,
    unit: Unit = None,
    infinite: Literal["error", "missing"] = "error",
    weight: Any = None,
    sparse: Unstored = "zero",
    mask: Any = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Fit techniques to data in one pass, gathering only what the choice needs.

    source: as for `scan`, or a Profile, which is not read again.
    choice: one technique for all numeric columns ("standard", "minmax(-1, 1)", `tfnorm.robust(low=5, high=95)`), or a
        mapping from columns to them; a list is a chain, applied in turn. Columns not named are passed through.
    infinite: "error" refuses infinite values, "missing" treats them as missing.
    The other arguments are those of `scan`.

    Fit on the training part only: what is learned from validation or test data leaks into the model.

    >>> fitted = fit({"age": [22.0, 38.0, 26.0], "fare": [7.25, 71.25, 8.0]}, {"age": "minmax", "fare": ["log1p", "standard"]})
    >>> fitted.transform({"age": [30.0]})
    {'age': array([0.5])}
    """
    if infinite not in ("error", "missing"):
        raise ChoiceError(f'infinite must be "error" or "missing", got {infinite!r}.')
    if isinstance(source, Profile):
        profile = source
        if axis != -1 or unit is not None or weight is not None or sparse != "zero" or mask is not None:
            raise ChoiceError(
                "axis, unit, weight, sparse and mask were settled when the profile was made; give them to tfnorm.scan."
            )
        stages = _stages_of(choice, list(profile), list(profile))
        _check_shapes([profile[name].column for name in stages], stages)
        if infinite == "error":
            _refuse_infinite(profile, stages)
        return solved(profile, stages)
    opened = open_source(source, weight=weight)
    by_name = [column.name for column in opened.columns]
    numeric = [name for name in _numeric(opened, unit) if name not in names_of(mask)]
    if opened.bare:  # the one column there is was meant, whatever it holds
        numeric = by_name
    stages = _stages_of(choice, by_name, numeric)
    if mask is not None:
        opened = masked(opened, mask, list(stages))
    left_out = [c for c in opened.columns if c.name not in stages and c.name != opened.weight]
    if left_out and not isinstance(choice, Mapping):
        logging.getLogger("tfnorm").info("left as they are: %s", quoted(f"{c.name} ({c.dtype})" for c in left_out))
    chosen = _chosen_columns(opened, list(stages), axis, unit, sparse)
    _check_shapes(chosen, stages)
    wants: list[Want] = []
    for column in chosen:
        before, first, _ = _split(stages[column.name])
        kinds = tuple(dict.fromkeys((*ALWAYS, *_needs(stages[column.name]))))
        if before and first is not None:
            wants.append(Want(column, "", Identity(), ALWAYS))
            wants.append(Want(column, _text(before), maps.chain(*(s.solve({}) for s in before)), kinds))
        else:
            wants.append(Want(column, "", Identity(), kinds))
    profile = gather(opened, chosen, wants, infinite=infinite, engine=threads(workers), progress=progress)
    return solved(profile, stages)


def solved(profile: Profile, stages: Mapping[str, Stages]) -> Fitted:
    """The maps for these statistics: the same in every place where they are solved."""
    steps = {name: _solve(profile, name, chain) for name, chain in stages.items()}
    return Fitted(profile, dict(stages), steps, fingerprint(stages, steps))


def fingerprint(stages: Mapping[str, Stages], steps: Mapping[str, Map]) -> str:
    """SHA-256 of the choice and the maps."""
    text = json.dumps({name: [_text(chain), encode(steps[name])] for name, chain in stages.items()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _text(stages: Stages) -> str:
    return ", ".join(map(str, stages))


def _needs(stages: Stages) -> list[type[Statistic]]:
    return [kind for stage in stages for kind in stage.needs]


def _split(stages: Stages) -> tuple[Stages, Any, Stages]:
    """The stages before the first that needs statistics, that one (or None), and those after it."""
    first = next((i for i, stage in enumerate(stages) if stage.needs), None)
    return (stages, None, ()) if first is None else (stages[:first], stages[first], stages[first + 1 :])


def _stages_of(choice: Any, names: list[str], numeric: list[str]) -> dict[str, Stages]:
    if not isinstance(choice, Mapping):
        stages = parse(choice)
        if not numeric:
            raise ChoiceError(f"there is no column of numbers among {quoted(names)}.")
        return dict.fromkeys(numeric, stages)
    choice = {str(name): one for name, one in choice.items()}  # as tables with numbers for names are read
    unknown = [name for name in choice if name not in names]
    if unknown:
        hints = "".join(did_you_mean(name, names) for name in unknown[:3])
        raise ChoiceError(f"column {quoted(unknown)}: not in the data, which has {quoted(names)}.{hints}")
    if not choice:
        raise ChoiceError("the choice names no column; give one technique for all, or {column: technique}.")
    return {name: parse(choice[name]) for name in names if name in choice}


def _chosen_columns(source: Source, names: list[str] | None, axis: Any, unit: Unit, sparse: Unstored) -> list[Column]:
    """The columns to measure; one error for all that cannot be."""
    known = {column.name: column for column in source.columns}
    units = _units(source, unit)
    if names is None:
        names = _numeric(source, unit)
        if not names:
            raise ChoiceError(f"there is no column of numbers in {source.name}; it has {quoted(known)}.")
    missing = [name for name in names if name not in known]
    if missing:
        hints = "".join(did_you_mean(name, known) for name in missing[:3])
        raise ChoiceError(f"column {quoted(missing)}: not in {source.name}, which has {quoted(known)}.{hints}")
    if names and source.weight in names:
        raise ChoiceError(f"column {quoted([str(source.weight)])} holds the weights and cannot be normalized as well.")
    wrong = [known[name] for name in names if known[name].kind == "other"]
    times = [known[name] for name in names if known[name].kind == "time" and not units.get(name)]
    problems = []
    if wrong:
        listed = ", ".join(f"{quoted([c.name])} ({c.dtype})" for c in wrong)
        problems.append(f"columns that hold no numbers cannot be normalized: {listed}. Cast them, or leave them out.")
    if times:
        example = f'unit={{{times[0].name!r}: "s"}}'
        problems.append(
            f"columns {quoted(c.name for c in times)} hold times; say in which unit to count them: {example}."
        )
    if problems:
        raise ChoiceError(f"{source.name}: " + " ".join(problems))
    _check_sparse(sparse, [known[name] for name in names])
    return [
        Column(
            name,
            known[name].dtype,
            known[name].shape,
            _features(known[name], axis.get(name, -1) if isinstance(axis, Mapping) else axis),
            units.get(name) if known[name].kind == "time" else None,
            sparse if known[name].layout == "sparse" else "zero",
        )
        for name in names
    ]


def _check_sparse(sparse: Unstored, columns: list[Any]) -> None:
    if sparse not in ("zero", "missing"):
        raise ChoiceError(f'sparse must be "zero" or "missing", got {sparse!r}.')
    if sparse != "zero" and not any(column.layout == "sparse" for column in columns):
        raise ChoiceError(
            f'sparse="missing" is for sparse matrices and tensors, and {quoted(column.name for column in columns)} '
            "are stored whole. Leave it out, or mark what is missing as NaN."
        )


def _numeric(source: Source, unit: Unit) -> list[str]:
    units = _units(source, unit)
    return [c.name for c in source.columns if (c.kind == "number" or c.name in units) and c.name != source.weight]


def _units(source: Source, unit: Unit) -> dict[str, str]:
    """Which columns of times are counted, and in which unit."""
    times = [column.name for column in source.columns if column.kind == "time"]
    if unit is not None and not isinstance(unit, str | Mapping):
        raise ChoiceError(f'unit must be a unit of time ("s") or a mapping from columns to them, got {unit!r}.')
    units = dict.fromkeys(times, unit) if isinstance(unit, str) else dict(unit or {})
    for name, one in units.items():
        if one not in UNITS:
            raise ChoiceError(f"column {quoted([name])}: {one!r} is no unit of time; there are {', '.join(UNITS)}.")
        if name not in times:
            raise ChoiceError(f"column {quoted([name])}: has the unit {one!r}, and holds no times.")
    return units


def _features(column: Any, axis: Any) -> int:
    name, shape = column.name, column.shape
    if axis not in (-1, None):
        raise ChoiceError(
            f"axis must be -1 (statistics a position of the last axis) or None (one for all), got {axis!r}."
        )
    if not shape or axis is None:
        return 1
    if shape[-1] is None and column.layout == "ragged":
        return 1  # steps that are single numbers
    if shape[-1] is None:
        raise ChoiceError(f"column {quoted([name])}: rows differ in their last length, so only axis=None would fit.")
    if shape[-1] == 0:
        raise ChoiceError(f"column {quoted([name])}: its rows are empty, there is nothing to normalize.")
    return shape[-1]


def _check_shapes(columns: list[Column], stages: Mapping[str, Stages]) -> None:
    for column in columns:
        for stage in stages[column.name]:
            step = None if stage.needs else stage.solve({})
            if isinstance(step, RowNorm) and len(column.shape) < max((-axis for axis in step.axes), default=1):
                raise ChoiceError(
                    f"column {quoted([column.name])}: {stage} needs a vector in each row, got {_shape_text(column)}. "
                    "Join the columns into one array first (df.to_numpy()), or choose another technique."
                )


def _shape_text(column: Column) -> str:
    return "single numbers" if column.scalar else f"rows of shape {column.shape}"


def _refuse_infinite(profile: Profile, stages: Mapping[str, Stages]) -> None:
    found = [name for name in stages if profile[name].count.infinite.any()]
    if found:
        raise ChoiceError(
            f'columns {quoted(found)}: there were infinite values. Mend them, or treat them as missing with infinite="missing".'
        )


def _solve(profile: Profile, name: str, stages: Stages) -> Map:
    before, first, after = _split(stages)
    done = [stage.solve({}) for stage in before]
    _check_domain(profile, name, done)
    if first is None:
        return maps.chain(*done)
    via = _text(before)
    statistics: dict[type[Statistic], Any] = {}
    for kind in dict.fromkeys((*_needs(stages), Extremes)):
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
                    f"column {quoted([name])}: {stage} would need the statistics of what {_text(stages)} gives before it, "
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
