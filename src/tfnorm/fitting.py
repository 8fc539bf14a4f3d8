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
from typing import Any, Literal

from tfnorm import maps
from tfnorm.chains import needs_by, needs_of, solve, split, written
from tfnorm.choosing import (
    Unit,
    check_keys,
    check_shapes,
    chosen_columns,
    keys_of,
    refuse_infinite,
    stages_of,
    units_of,
)
from tfnorm.codec import encode
from tfnorm.errors import ChoiceError
from tfnorm.fitted import Fitted
from tfnorm.gather import Progress, Want, gather, threads
from tfnorm.maps import Identity, Map
from tfnorm.profile import Profile
from tfnorm.quantiles import Quantiles
from tfnorm.sources import open_source
from tfnorm.sources.columns import quoted
from tfnorm.statistics import Count, Extremes, Moments, Statistic
from tfnorm.techniques import Choosable, Stages

ALWAYS: tuple[type[Statistic], ...] = (Count, Extremes)
EVERYTHING: tuple[type[Statistic], ...] = (Count, Extremes, Moments, Quantiles)


def scan(
    source: Any,
    *,
    columns: Any = None,
    axis: Any = -1,
    unit: Unit = None,
    weight: Any = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Profile:
    """Every marginal statistic of every numeric column, in one pass.

    Counts of finite, missing, NaN, infinite and zero values, exact minimum and maximum, four moments, and a sketch of the
    distribution. Infinities are counted here and refused by `fit`.

    source: arrays, a mapping of arrays, a table (pandas, polars, pyarrow), a tf.data.Dataset, batches, or Parquet and
        CSV files, globs and folders.
    columns: names, where not all numeric ones are wanted.
    axis: -1 for statistics a position of the last axis (the channels of images), None for one number over all.
    unit: in which unit times are counted ("s", or by column), which makes numbers of them.
    weight: a column's name, an array, or True for the third part of (x, y, weight) batches.
    workers: threads; as many as there are cores by default. The result is the same for any.
    progress: called with the number of rows measured at each step, and the number in all or None.

    >>> scan({"age": [22.0, 38.0, 26.0, float("nan")]})["age"].count.missing
    array([1])
    """
    opened = open_source(source, weight=weight)
    named = None if columns is None else [columns] if isinstance(columns, str) else list(columns)
    chosen = chosen_columns(opened, named, axis, unit)
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
        if axis != -1 or unit is not None or weight is not None:
            raise ChoiceError("axis, unit and weight were settled when the profile was made; give them to tfnorm.scan.")
        stages = stages_of(choice, list(profile), list(profile))
        check_shapes([profile[name].column for name in stages], stages)
        if infinite == "error":
            refuse_infinite(profile, stages)
        return solved(profile, stages)
    opened = open_source(source, weight=weight)
    by_name = [column.name for column in opened.columns]
    units = units_of(opened, unit)
    numeric = [c.name for c in opened.columns if (c.kind == "number" or c.name in units) and c.name != opened.weight]
    if opened.bare:  # the one column there is was meant, whatever it holds
        numeric = by_name
    stages = stages_of(choice, by_name, numeric)
    left_out = [c for c in opened.columns if c.name not in stages and c.name != opened.weight]
    if left_out and not isinstance(choice, Mapping):
        logging.getLogger("tfnorm").info("left as they are: %s", quoted(f"{c.name} ({c.dtype})" for c in left_out))
    chosen = chosen_columns(opened, list(stages), axis, unit)
    check_shapes(chosen, stages)
    check_keys(opened, stages)
    wants: list[Want] = []
    for column in chosen:
        chain = stages[column.name]
        before, first, _ = split(chain)
        whole = Want(column, "", Identity(), tuple(dict.fromkeys((*ALWAYS, *needs_of(chain)))))
        if before and first is not None:
            wants.append(Want(column, "", Identity(), ALWAYS))
            step = maps.chain(*(s.solve({}) for s in before))
            whole = dataclasses.replace(whole, via=written(before), step=step)
        wants.append(whole)
        for by in keys_of(chain):
            kinds = tuple(dict.fromkeys((*ALWAYS, *needs_by(chain, by))))
            wants.append(dataclasses.replace(whole, kinds=kinds, by=by))
    profile = gather(opened, chosen, wants, infinite=infinite, engine=threads(workers), progress=progress)
    return solved(profile, stages)


def solved(profile: Profile, stages: Mapping[str, Stages]) -> Fitted:
    """The maps for these statistics: the same in every place where they are solved."""
    steps = {name: solve(profile, name, chain) for name, chain in stages.items()}
    return Fitted(profile, dict(stages), steps, fingerprint(stages, steps))


def fingerprint(stages: Mapping[str, Stages], steps: Mapping[str, Map]) -> str:
    """SHA-256 of the choice and the maps."""
    text = json.dumps({name: [written(chain), encode(steps[name])] for name, chain in stages.items()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
