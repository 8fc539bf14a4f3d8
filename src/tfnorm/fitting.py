"""scan() and fit(): from data to what the user holds.

The one law: a fit is its profile and its choice; `fit(p, choice)` and `load(save(...))` give the same maps, and
`fit(a, c) + fit(b, c)` those of `fit` on both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tfnorm.already import already
from tfnorm.chains import ALWAYS, Place, first_places, next_places, solve, written
from tfnorm.checkpoint import recorded
from tfnorm.choosing import (
    Unit,
    Unstored,
    check_key_columns,
    check_keys,
    check_shapes,
    chosen_columns,
    fits_shape,
    hint_of,
    key_names,
    keys_of,
    numeric_columns,
    refuse_infinite,
    stages_of,
)
from tfnorm.engines import Remote
from tfnorm.engines.named import engine_of
from tfnorm.engines.threads import Threads
from tfnorm.errors import ChoiceError, DataError
from tfnorm.fitted import Fitted
from tfnorm.gather import gather
from tfnorm.maps import Identity, Map
from tfnorm.measuring import Measure, Measured, Want
from tfnorm.profile import Column, Profile
from tfnorm.progress import Callback
from tfnorm.quantiles import Quantiles
from tfnorm.rules import Rules, policies_of, share_of
from tfnorm.skipping import Skipping
from tfnorm.sources import Absent, OnError, Shard, Source, open_source
from tfnorm.sources.columns import quoted
from tfnorm.sources.images import with_encoded
from tfnorm.sources.masks import masked, names_of
from tfnorm.statistics import Count, Extremes, Moments, Statistic
from tfnorm.techniques import Choosable, Stages

EVERYTHING: tuple[type[Statistic], ...] = (Count, Extremes, Moments, Quantiles)


def scan(
    source: Any,
    *,
    columns: Any = None,
    axis: Any = -1,
    unit: Unit = None,
    weight: Any = None,
    by: str | Sequence[str] | None = None,
    sparse: Unstored = "zero",
    mask: Any = None,
    checkpoint: Any = None,
    on_error: OnError = "raise",
    absent: Absent = "error",
    engine: Any = "threads",
    workers: int | None = None,
    callback: Callback | None = None,
) -> Profile:
    """Every marginal statistic of every numeric column, in one pass.

    Counts of finite, missing, NaN, infinite and zero values, exact minimum and maximum, four moments, and a sketch of the
    distribution. Infinities are counted here and refused by `fit`.

    source: arrays, sparse matrices, ragged tensors, a mapping of these, a table (pandas, polars, pyarrow), a Spark DataFrame, a
        tf.data.Dataset, loaders, batches, `tfnorm.sql`, or files of any format (docs/sources.md), URLs, globs, folders.
    columns: names, where not all numeric ones are wanted.
    axis: -1 for statistics a position of the last axis (the channels of images), None for one number over all.
    unit: in which unit times are counted ("s", or by column), which makes numbers of them.
    weight: a column's name, an array, or True for the third part of (x, y, weight) batches. Whole numbers are as rows that
        often; a row of weight 0 is counted and tells nothing else; a negative, missing or infinite weight is an error.
    by: a key column, or several that are a key together ("store", ["store", "weekday"]): all that is gathered of all rows, and
        of the rows of each key besides. `profile["price"].by("store")` is a table of it, and techniques `.by("store")` can be
        fitted from the profile. A key column is no column to be measured.
    sparse: what it stands for that sparse matrices and tensors do not store: "zero", or "missing", which is counted as null.
    mask: which steps of padded rows are there; the others are null. A boolean array of the data's leading shape (n,) or
        (n, steps), True where there; the name of the column that holds such; or the number rows were padded with (a step is
        padding where all its features are this number). By column, {"series": "mask"}, where not all columns have it.
    checkpoint: a folder in which is kept what was measured of each part of the files: stopped at any moment, the same call goes
        on there, and ends with the same bits; with files added it reads only these (of images, the parts they fall into); a file
        that changed is read again.
    on_error: "raise", or "skip" to leave out files and parts of files that cannot be read; they are named in the log, and in
        `profile.provenance`.
    absent: "error" where a later file lacks a column, or "missing" to take it as null in all rows of that file.
    engine: who reads and measures: "threads", "processes", any executor of `concurrent.futures`, a Spark session, a Dask client,
        Beam's pipeline options; "spark", "dask", "ray", "beam", with an address as in "spark=spark://host:7077"
        (docs/scaling.md). The result is the same for any. All but threads are for files, which the workers must find, too.
    workers: how many threads or processes; as many as there are cores by default. The result is the same for any.
    callback: called with a `tfnorm.Progress` as rows are measured and parts of files are finished; by one thread at a time.

    >>> scan({"age": [22.0, 38.0, 26.0, float("nan")]})["age"].count.missing
    array([1])
    """
    named = None if columns is None else [columns] if isinstance(columns, str) else list(columns)
    keys, told = key_names(by), columns is None and mask is None
    opened = with_encoded(open_source(source, weight=weight, on_error=on_error, absent=absent), named or (), on_error)
    around, reader = around_of(opened, checkpoint, on_error), reader_of(opened, engine, workers)
    check_key_columns(opened, keys)
    if both := [name for name in keys if name in (named or ())]:
        raise ChoiceError(
            f"column {quoted(both)}: is a key, and no column to be measured. Leave it out of columns, or of by."
        )
    if named is None and (keys or mask is not None):
        named = [name for name in numeric_columns(opened, unit) if name not in (*names_of(mask), *keys)]
        if not named:
            raise ChoiceError(f"there is no column of numbers in {opened.name} beside keys and masks.{hint_of(opened)}")
    if mask is not None:
        opened = masked(opened, mask, named or ())
    chosen = chosen_columns(opened, named, axis, unit, sparse)
    left_out = {column.name for column in opened.columns} - {column.name for column in chosen} - {opened.weight, *keys}
    if left_out and told:
        _tell("left out", [column for column in opened.columns if column.name in left_out])
    sets = ((), keys) if keys else ((),)
    wants = [Want(column, "", Identity(), EVERYTHING, by=one) for one in sets for column in chosen]
    return gather(opened, chosen, wants, infinite=frozenset(), engine=reader, callback=callback, around=around)


def fit(
    source: Any,
    choice: Choosable | Mapping[str, Choosable] = "standard",
    *,
    axis: Any = -1,
    unit: Unit = None,
    infinite: Any = "error",
    constant: Any = "zero",
    missing: Any = "keep",
    out_of_range: Any = "keep",
    share: Any = None,
    exact: bool = False,
    full: bool = False,
    target: str | None = None,
    model: str | None = None,
    activation: str | None = None,
    weight: Any = None,
    sparse: Unstored = "zero",
    mask: Any = None,
    checkpoint: Any = None,
    on_error: OnError = "raise",
    absent: Absent = "error",
    engine: Any = "threads",
    workers: int | None = None,
    callback: Callback | None = None,
) -> Fitted:
    """Fit techniques to data in one pass, gathering only what the choice needs.

    source: as for `scan`, or a Profile, which is not read again.
    choice: one technique for all numeric columns ("standard", "minmax(-1, 1)", `tfnorm.robust(low=5, high=95)`), or a
        mapping from columns to them; a list is a chain, applied in turn. Columns not named are passed through. "auto" is
        what `tfnorm.advise` says, for all columns or for one; `fitted.choice` tells which technique that was.
    target, model, activation: for "auto": what is to be predicted, by what, as `tfnorm.advise` takes them. The target is left as
        it is, and a column that tells it nearly exactly is warned of in the log.
    share: columns that are to have one set of numbers, solved from all their values: ["open", "high", "low", "close"], or
        several such lists.
    exact: whether to read the data again where the first pass tells what a stage needs only within the bounds of the sketch
        (`fitted["x"].uncertainty`): lambda of yeo_johnson and box_cox, and what follows a curve in a chain. Percentiles stay
        the sketch's. What it does not tell at all (after `whiten`, say) is read again in any case.
    full: whether to gather all that `scan` does, in the same pass, for `tfnorm.check` and reports: distributions too.

    Policies, each one word for all columns or a mapping from columns to words:
    constant: of a column with one value: "zero" (0, or `low`, whatever comes), "keep" (as it is) or "error".
    missing: "keep" (NaN), "error", or a number that takes its place on the normalized scale (0 is the mean for `standard`).
    infinite: "error" refuses infinite values at the fit, "missing" treats them as missing, in `transform` too.
    out_of_range: of values beyond the fit's smallest and largest: "keep", "clip" to these, or "missing". Of a technique by key
        they are those of the row's key (of the first such technique in a chain).
    `fitted.fired` counts how often they did something.

    The other arguments are those of `scan`.

    Fit on the training part only: what is learned from validation or test data leaks into the model.

    >>> fitted = fit({"age": [22.0, 38.0, 26.0], "fare": [7.25, 71.25, 8.0]}, {"age": "minmax", "fare": ["log1p", "standard"]})
    >>> fitted.transform({"age": [30.0]})
    {'age': array([0.5])}
    """
    if not isinstance(exact, bool):
        raise ChoiceError(f"exact must be True or False, got {exact!r}.")
    if not isinstance(full, bool):
        raise ChoiceError(f"full must be True or False, got {full!r}.")
    given = {"infinite": infinite, "constant": constant, "missing": missing, "out_of_range": out_of_range}
    asked = {"target": target, "model": model, "activation": activation}
    if not isinstance(source, Profile) or absent != "error":
        source, weight = open_source(source, weight=weight, on_error=on_error, absent=absent), None
    if is_auto(choice):
        from tfnorm.advice import Asked, resolved

        how = {"axis": axis, "unit": unit, "weight": weight, "sparse": sparse, "mask": mask, "checkpoint": checkpoint}
        how |= {"on_error": on_error, "engine": engine, "workers": workers, "callback": callback}
        source, choice, settled = resolved(source, choice, Asked(**asked), exact=exact, **how)
        if settled:  # when the profile was made
            axis, unit, weight, sparse, mask, checkpoint, on_error = -1, None, None, "zero", None, None, "raise"
    elif given_for_auto := [name for name, value in asked.items() if value is not None]:
        raise ChoiceError(
            f'{" and ".join(given_for_auto)}: for techniques that are advised, and none is. Say "auto", or leave '
            f"{'it' if len(given_for_auto) == 1 else 'them'} out."
        )
    if isinstance(source, Profile):
        if axis != -1 or unit is not None or weight is not None or sparse != "zero" or mask is not None:
            raise ChoiceError(
                "axis, unit, weight, sparse and mask were settled when the profile was made; give them to tfnorm.scan."
            )
        if checkpoint is not None or on_error != "raise":
            raise ChoiceError(
                "checkpoint and on_error are for reading data, and a profile is not read again. Leave them out."
            )
        if exact:
            raise ChoiceError("exact=True reads the data again, and a profile has none. Fit from the data.")
        if full and not set(EVERYTHING) <= {type(one.statistic) for one in source.gatherings}:
            raise ChoiceError("full=True reads the data, and this profile does not hold all. Take that of tfnorm.scan.")
        stages = stages_of(choice, list(source), list(source))
        check_shapes([source[name].column for name in stages], stages)
        rules = _rules(stages, {name: source[name].column for name in stages}, given, share)
        refuse_infinite(source, [name for name in stages if rules.of(name).infinite == "error"])
        return solved(source, stages, rules)
    named = map(str, choice) if isinstance(choice, Mapping) else ()
    opened = with_encoded(source, named, on_error)
    around, reader = around_of(opened, checkpoint, on_error), reader_of(opened, engine, workers)
    opened, stages, chosen, wants = planned(opened, choice, axis, unit, sparse, mask)
    wants = [_with_everything(want) for want in wants] if full else wants
    keys = check_keys(opened, stages)
    rules = _rules(stages, {column.name: column for column in chosen}, given, share)
    wants += _wants_of_ends(chosen, rules, wants)
    refused = frozenset(name for name in stages if rules.of(name).infinite == "error")

    def read(wants: list[Want]) -> Profile:
        return gather(
            opened, chosen, wants, infinite=refused, engine=reader, keys=keys, callback=callback, around=around
        )

    profile = read(wants)
    while again := [
        _want(column, place)
        for column in chosen
        for place in next_places(profile, rules.sharing(column.name), stages[column.name], exact=exact)
    ]:
        if not opened.repeatable:
            raise ChoiceError(
                f"{opened.name}: column {quoted([again[0].column.name])} has to be read again for what follows "
                f"{again[0].via}, and these data can be read only once. Pass a function that returns them, or files."
            )
        profile = profile.with_pass(read(again))
    if said := already(profile, stages):
        logging.getLogger("tfnorm").warning("%s", said)
    return solved(profile, stages, rules)


def is_auto(choice: Any) -> bool:
    """Whether a technique is to be advised for any column."""
    each = choice.values() if isinstance(choice, Mapping) else (choice,)
    return any(isinstance(one, str) and one.strip() == "auto" for one in each)


def planned(
    opened: Source, choice: Any, axis: Any, unit: Unit, sparse: Unstored = "zero", mask: Any = None
) -> tuple[Source, dict[str, Stages], list[Column], list[Want]]:
    """What a choice means for a source: it with its masks, each column's techniques, the columns, and what to gather first."""
    by_name = [column.name for column in opened.columns]
    numeric = [name for name in numeric_columns(opened, unit) if name not in names_of(mask)]
    if opened.bare:  # the one column there is was meant, whatever it holds
        numeric = by_name
    stages = stages_of(choice, by_name, numeric, hint_of(opened))
    if mask is not None:
        opened = masked(opened, mask, list(stages))
    left_out = [c for c in opened.columns if c.name not in stages and c.name != opened.weight]
    if left_out and not isinstance(choice, Mapping):
        _tell("left as they are", left_out)
    chosen = chosen_columns(opened, list(stages), axis, unit, sparse)
    check_shapes(chosen, stages)
    check_keys(opened, stages)
    return opened, stages, chosen, wanted(chosen, stages)


def _tell(what: str, columns: Sequence[Any]) -> None:
    logging.getLogger("tfnorm").info("%s: %s", what, quoted(f"{column.name} ({column.dtype})" for column in columns))


def around_of(opened: Source, checkpoint: Any, on_error: OnError) -> Callable[[Measure], Callable[[Shard], Measured]]:
    """What is done around the measuring of a part, as `gather` takes it."""
    if on_error not in ("raise", "skip"):
        raise ChoiceError(f'on_error must be "raise" or "skip", got {on_error!r}.')
    if not hasattr(opened, "paths") and (checkpoint is not None or on_error == "skip"):
        raise ChoiceError(f"checkpoint and on_error are for files, and this is {opened.name}. Leave them out.")

    def around(measure: Measure) -> Callable[[Shard], Measured]:
        run = Skipping(measure) if on_error == "skip" else measure
        return run if checkpoint is None else recorded(measure, run, checkpoint)

    return around


def reader_of(opened: Source, engine: Any, workers: int | None) -> Threads | Remote:
    """Who reads the parts of a source."""
    reader = engine_of(engine, workers)
    if not isinstance(reader, Threads) and not hasattr(opened, "paths"):
        raise ChoiceError(
            f"engine: other workers than threads read files, and this is {opened.name}, which is here. Leave engine out."
        )
    return reader


def wanted(columns: Sequence[Column], stages: Mapping[str, Stages]) -> list[Want]:
    """What one pass gathers so that these techniques can be solved."""
    return [_want(column, place) for column in columns for place in first_places(stages[column.name])]


def _with_everything(want: Want) -> Want:
    """Of the column as it is, all there is."""
    plain = not want.via and not want.by
    return replace(want, kinds=tuple(dict.fromkeys((*want.kinds, *EVERYTHING)))) if plain else want


def _want(column: Column, place: Place) -> Want:
    return Want(column, place.via, place.step, place.kinds, place.through, place.by)


def _wants_of_ends(columns: Sequence[Column], rules: Rules, wants: Sequence[Want]) -> list[Want]:
    """What else `out_of_range` by key needs: the ends of each key, of the data themselves."""
    there = {(want.column.name, want.by) for want in wants if not want.via}
    found = []
    for column in columns:
        sets = (rules.of(name).ends_by for name in rules.sharing(column.name))  # who share, share their keys
        by = next(filter(None, sets), ())
        if by and (column.name, by) not in there:
            found.append(Want(column, "", Identity(), ALWAYS, by=by))
    return found


def _rules(stages: Mapping[str, Stages], columns: Mapping[str, Column], given: dict[str, Any], share: Any) -> Rules:
    policies = policies_of(list(stages), **given)
    for name, own in policies.items():
        if own.out_of_range != "keep" and (by := keys_of(stages[name])):
            policies[name] = replace(own, ends_by=by[0])
    rules = Rules(policies, share_of(share, list(stages)))
    for group in rules.share:
        first = group[0]
        for other in group[1:]:
            if stages[other] != stages[first] or columns[other].features != columns[first].features:
                raise ChoiceError(
                    f"share: columns {quoted(group)} need the same technique and as many features each; "
                    f"{quoted([first])} has {written(stages[first])} and {columns[first].features}, "
                    f"{quoted([other])} {written(stages[other])} and {columns[other].features}."
                )
    return rules


def solved(profile: Profile, stages: Mapping[str, Stages], rules: Rules = Rules()) -> Fitted:  # noqa: B008  # frozen
    """The maps for these statistics: the same in every place where they are solved."""
    constant, missing = [], []
    steps: dict[str, Map] = {}
    for name, chain in stages.items():
        policies, extremes = rules.of(name), rules.extremes(profile, name)
        ends = None if policies.out_of_range == "keep" else rules.ends(profile, name, chain)
        step = fits_shape(profile[name].column, solve(profile, rules.sharing(name), chain))
        if policies.constant == "error" and (extremes.constant & (extremes.minimum <= extremes.maximum)).any():
            constant.append(name)
        if policies.missing == "error" and profile[name].count.missing.any():
            missing.append(name)
        may_be_infinite = profile[name].column.dtype.startswith(("float", "bfloat"))
        try:
            steps[name] = policies.around(step, extremes, ends, may_be_infinite=may_be_infinite)
        except ChoiceError as error:
            raise ChoiceError(f"column {quoted([name])}: {written(chain)}: {error}") from None
    if constant:
        raise ChoiceError(f'columns {quoted(constant)}: constant. Leave them out, or say constant="zero" or "keep".')
    if missing:
        raise DataError(
            f'columns {quoted(missing)}: values are missing. Mend them, or say missing="keep", or a number.'
        )
    return Fitted(profile, dict(stages), steps, rules)
