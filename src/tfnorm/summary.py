"""What is said of a column, in numbers and in words: tables, the command line and JSON take it from here.

The one law: only what was gathered is said, and many features are summed up by adding their statistics.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfnorm.binning import Bins, bins_of
from tfnorm.fitted import Fitted
from tfnorm.maps import Affine, Chain, Clip, Fill, FillAndMark, Identity, Limit, Log1p, Map
from tfnorm.profile import Column, Profile
from tfnorm.quantiles import Quantiles
from tfnorm.sources.columns import cell
from tfnorm.statistics import Count, Extremes, Moments, Statistic
from tfnorm.techniques import Stages, Technique

BINS = 12
FEW = 10  # values of a key, below which its numbers say little
BLOCKS = " ▁▂▃▄▅▆▇█"
QUARTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75}
MAX_POOLED_CELLS = 5_000_000  # sketches with more are not added up for one line of a table


def number(value: float) -> str:
    """About five significant digits, whole numbers whole; `-` for none.

    >>> [number(value) for value in (26.123456, 336776.0, 1234567.8, 1e-9, 2.5e300, float("nan"))]
    ['26.123', '336776', '1234568', '1e-09', '2.5e+300', '-']
    """
    if not math.isfinite(value):
        return "-"
    size = abs(value)
    if value == 0:
        return "0"
    if size < 1e8 and (size >= 1e5 or value == int(value)):
        return f"{value:.0f}"
    return f"{value:.5g}"


def share(part: float, whole: float) -> str:
    """A part of a whole in percent, to two digits; `0` where there is none of it.

    >>> share(0, 10), share(1, 3), share(4, 26115), share(10, 10)
    ('0', '33%', '0.015%', '100%')
    """
    if not part or not whole:
        return "0"
    percent = 100.0 * part / whole
    if percent > 99 and part < whole:
        return ">99%"
    return f"{percent:.0f}%" if percent >= 9.95 else f"{percent:.2g}%"


def instant(value: float, column: Column, span: float) -> str:
    """A point in time as a date, or as date and time where all lies within two days; durations are plain numbers."""
    if column.unit is None or not column.dtype.startswith("datetime64") or not math.isfinite(value):
        return number(value)
    seconds = float(np.timedelta64(1, column.unit) / np.timedelta64(1, "s"))  # type: ignore[call-overload]
    try:
        moment = np.datetime64(int(value * seconds), "s")
    except (OverflowError, ValueError):
        return number(value)
    text = str(moment.astype("datetime64[D]") if span * seconds > 2 * 86400 else moment)
    return text if len(text) <= 19 else number(value)


def pooled(statistic: Statistic) -> Statistic:
    """The statistic of all features as if they were one: their sum, halves at a time."""
    while statistic.features > 1:
        half = statistic.features // 2
        summed = statistic.take(0, half) + statistic.take(half, 2 * half)
        odd = statistic.features - 2 * half
        statistic = type(statistic).join([summed, statistic.take(2 * half, 2 * half + 1)]) if odd else summed
    return statistic


def facts(profile: Profile, name: str, feature: int | None = None) -> dict[str, Any]:
    """The numbers of a column, its features pooled, or of one feature of it. Keys only for what was gathered."""
    found: dict[type[Statistic], Any] = {}
    for kind in (Count, Extremes, Moments, Quantiles):
        statistic = profile.statistic(kind, name)
        if statistic is None or (isinstance(statistic, Quantiles) and len(statistic.keys) > MAX_POOLED_CELLS):
            continue
        found[kind] = pooled(statistic) if feature is None else statistic.take(feature, feature + 1)
    said: dict[str, Any] = {}
    if count := found.get(Count):
        said["values"] = int(count.rows[0])
        said["missing"], said["zeros"] = int(count.missing[0]), int(count.zero[0])
        said["infinite"], said["finite"] = int(count.infinite[0]), int(count.finite[0])
    extremes: Extremes | None = found.get(Extremes)
    if extremes is not None:
        said["min"], said["max"] = float(extremes.minimum[0]), float(extremes.maximum[0])
        said["constant"] = bool(extremes.constant[0])
    if moments := found.get(Moments):
        said["mean"], said["std"] = float(moments.mean[0]) if moments.weight[0] else math.nan, float(moments.std[0])
    if Quantiles in found:
        curve = found[Quantiles].curve(0, extremes)
        said.update(zip(QUARTILES, curve.quantiles(np.array(list(QUARTILES.values()))), strict=True))
        said["bins"] = bins_of(curve, BINS)
    return said


def histogram(bins: Bins | None) -> str:
    """Bins in block characters; an empty one is blank.

    >>> import tfnorm
    >>> histogram(bins_of(tfnorm.scan([0.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0])["x"].curve(), 4))
    '▃▅█▃'
    """
    return "" if bins is None else bars(bins.shares)


def bars(heights: np.ndarray) -> str:
    """Heights as block characters, the tallest full; blank only for nothing at all."""
    tallest = float(heights.max(initial=0.0))
    if tallest <= 0:
        return " " * len(heights)
    seen = heights > tallest * 1e-9
    return "".join(BLOCKS[max(1, round(8 * h / tallest))] if s else " " for h, s in zip(heights, seen, strict=True))


def map_words(step: Map, stages: Stages, features: int, feature: int | None = None) -> str:
    """What a map does, with its numbers where it has one of each.

    >>> import numpy as np
    >>> affine = Affine(np.array([26.1]), np.array([1 / 14.5]), np.array([0.0]))
    >>> map_words(affine, (), 1), map_words(Chain((Log1p(), affine)), (), 1)
    ('(x - 26.1) / 14.5', 'log(1 + x), then (x - 26.1) / 14.5')
    """
    steps = step.maps if isinstance(step, Chain) else (step,)
    mixes = any(not one.elementwise and not one.marks for one in steps)
    if mixes or (features > 1 and feature is None):
        return ", then ".join(_in_general(step, stage) for stage in stages)
    at = feature or 0
    texts = [_step_words(one, at) for one in steps]
    if None in texts or not texts:
        return ", then ".join(_in_general(step, stage) for stage in stages)
    return ", then ".join(str(text) for text in texts)


def _in_general(step: Map, stage: Technique) -> str:
    """What a stage does, without numbers; by how many keys, where it is by keys."""
    if stage.grouping is None:
        return stage.kind.summary
    names = stage.grouping.columns
    number = next((len(keyed.keys) for keyed in step.keyed() if keyed.keys.names == names), 0)
    return f"{stage.kind.summary} by {number:,} keys of {', '.join(cell(name) for name in names)}"


def _step_words(step: Map, at: int) -> str | None:
    if isinstance(step, Affine):
        center, scale, offset = (float(array[at]) for array in (step.center, step.scale, step.offset))
        if scale == 0:
            return f"becomes {number(offset)}"  # a constant
        text = "x" if center == 0 else f"x {'-' if center > 0 else '+'} {number(abs(center))}"
        width = 1 / scale
        if width != 1:
            text = (f"({text})" if center else text) + f" / {number(width)}"
        # what is lost when a large center is rounded is in the offset, too small to be read
        small = abs(offset) < 1e-9
        return text if small else f"{text} {'+' if offset > 0 else '-'} {number(abs(offset))}"
    if isinstance(step, Clip):
        return f"clip to [{number(float(step.low[at]))}, {number(float(step.high[at]))}]"
    if isinstance(step, Fill | FillAndMark):
        return f"{number(float(step.value[at]))} where missing{', and a mark of it' if step.marks else ''}"
    if isinstance(step, Limit):
        return f"clip to [{number(step.low)}, {number(step.high)}]"
    return {Log1p: "log(1 + x)", Identity: "x"}.get(type(step))


def notes(profile: Profile, name: str, said: Mapping[str, Any], feature: int | None = None) -> str:
    """What may surprise: no value, one value only, infinite values."""
    found = []
    features = 1 if feature is not None else profile[name].column.features
    extremes = profile.statistic(Extremes, name)
    if said.get("finite") == 0:
        found.append("no value seen")
    elif said.get("constant"):
        found.append("constant")
    elif features > 1 and isinstance(extremes, Extremes) and extremes.constant.any():
        found.append(f"{int(extremes.constant.sum())} of {features} features constant")
    if said.get("infinite"):
        found.append(f"{said['infinite']:,} infinite")
    found += _of_keys(profile, name)
    return "; ".join(found)


def _of_keys(profile: Profile, name: str) -> Iterator[str]:
    """How many keys have few values, for each set of keys by which a column was gathered."""
    for keyed in profile.keyed:
        number = len(keyed.grouped.keys)
        parts = {part for parts in keyed.parts for part in parts if part.column == name}
        for part in sorted(parts, key=lambda part: (part.via, part.through))[:1]:
            count = keyed.take(Count, name, part.via, part.through)
            few = int((count.finite.reshape(-1, number).max(axis=0) < FEW).sum()) if isinstance(count, Count) else 0
            if few:
                yield f"{few:,} of {number:,} keys under {FEW} values"


def records(value: Profile | Fitted) -> Iterator[dict[str, Any]]:
    """One flat dict a column, for machines: numbers, or lists with one entry a feature; None where there is none."""
    profile = value.profile if isinstance(value, Fitted) else value
    names = list(value.maps) if isinstance(value, Fitted) else list(profile)
    for name in names:
        column = profile[name].column
        record: dict[str, Any] = {"column": name, "dtype": column.dtype, "shape": list(column.shape)}
        record |= {"features": column.features, "unit": column.unit, "rows": profile.num_rows}
        count, extremes, moments, quantiles = (
            profile.statistic(kind, name) for kind in (Count, Extremes, Moments, Quantiles)
        )
        if isinstance(count, Count):
            record |= _plain(column, finite=count.finite, missing=count.missing, nan=count.nan, null=count.null)
            record |= _plain(column, infinite=count.infinite, zeros=count.zero)
        if isinstance(extremes, Extremes):
            record |= _plain(column, min=extremes.minimum, max=extremes.maximum, constant=extremes.constant)
        if isinstance(moments, Moments):
            record |= _plain(column, mean=np.where(moments.weight > 0, moments.mean, np.nan), std=moments.std)
            record |= _plain(column, skewness=moments.skewness, kurtosis=moments.kurtosis)
        if isinstance(quantiles, Quantiles):
            curves = [quantiles.curve(j, extremes) for j in range(column.features)]
            found = np.array([curve.quantiles(np.array(list(QUARTILES.values()))) for curve in curves])
            record |= _plain(column, **{key: found[:, i] for i, key in enumerate(QUARTILES)})
        if isinstance(value, Fitted):
            step = value.maps[name]
            record["technique"] = value.choice[name]
            record["map"] = map_words(step, value.stages[name], column.features)
            record["invertible"] = step.invertible
            record["policies"] = dataclasses.asdict(value.rules.of(name))
            record["share"] = [list(group) for group in value.rules.share if name in group]
            if step.keyed():
                sizes = {keyed.keys.names: len(keyed.keys) for keyed in step.keyed()}
                record["by"], record["keys"] = [list(names) for names in sizes], [*sizes.values()]
        elif value.keyed:
            record["by"] = [list(keyed.grouped.keys.names) for keyed in value.keyed]
            record["keys"] = [len(keyed.grouped.keys) for keyed in value.keyed]
        yield record


def told(value: Any) -> Any:
    """A value as JSON has it: None for what is no number."""
    if isinstance(value, list):
        return [told(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(column: Column, **arrays: np.ndarray) -> dict[str, Any]:
    """Arrays as JSON has them: one number for a scalar column, and None for what is no number."""
    lists = {name: told(array.tolist()) for name, array in arrays.items()}
    return {name: values[0] if column.scalar else values for name, values in lists.items()}
