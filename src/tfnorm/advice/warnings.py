"""What to look at before a column is trained on.

The one law: a warning is read off what a column is (`Described`), says the number that made it, and what to do. It decides
nothing: which technique is best is for the measures to say.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tfnorm.advice.described import Described
from tfnorm.already import near_standard
from tfnorm.summary import number, share

MANY_MISSING = 0.8
MANY_ZEROS = 0.5
FEW_VALUES = 20  # different whole numbers, up to which they may be names of something
ENOUGH_ROWS = 100  # below which nothing is said of what it looks like
EVEN = 0.06  # how far from evenly spread an identifier may be, in rank
TAILS, FAR_OUT, SKEWED = 10.0, 25.0, 2.0
EPOCH = (946_684_800, 2_208_988_800)  # 2000 to 2040 in seconds
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}


def _no_values(d: Described) -> str:
    return "no value is there: leave it out" if math.isnan(d.low) else ""


def _constant(d: Described) -> str:
    if d.constant and not d.vector:
        return f"constant (always {number(d.low)}): it tells nothing, leave it out"
    if d.constant_features:
        return f"{d.constant_features:,} of {d.column.features:,} features constant"
    return ""


def _missing(d: Described) -> str:
    if d.missing < MANY_MISSING or math.isnan(d.low):
        return ""
    return f"{share(d.missing, 1)} missing: whether it is there may tell more than its value (mask, or impute(indicator=True))"


def _infinite(d: Described) -> str:
    return f'{share(d.infinite, 1)} infinite: fit refuses them unless infinite="missing"' if d.infinite else ""


def _timestamp(d: Described) -> str:
    if d.vector:
        return ""
    if d.column.unit is not None and d.column.dtype.startswith("datetime64"):
        return "a timestamp: later data lie outside of what was seen; take the hour, the weekday or the time since an event"
    if not d.whole or d.constant or math.isnan(d.low):
        return ""
    for unit, factor in UNITS.items():
        if EPOCH[0] * factor <= d.low and d.high <= EPOCH[1] * factor:
            return f"looks like a timestamp in {unit} since 1970: take the hour, the weekday or the time since an event"
    if d.low >= 19_000_101 and d.high <= 21_001_231 and _dates(d.low) and _dates(d.high):
        return "looks like dates written as numbers (yyyymmdd): differences between them mean nothing; take them apart"
    return ""


def _dates(value: float) -> bool:
    month, day = int(value) // 100 % 100, int(value) % 100
    return 1 <= month <= 12 and 1 <= day <= 31


def _identifier(d: Described) -> str:
    values = d.rows * (1 - d.missing - d.infinite)
    if d.vector or not d.whole or d.constant or values < ENOUGH_ROWS or d.uneven > EVEN:
        return ""
    different = d.distinct is not None and d.distinct >= 0.99 * values
    room = d.distinct is None and d.high - d.low + 1 >= 0.95 * values and d.heaviest < 10 / values
    return (
        "looks like an identifier (whole numbers, each there once, evenly spread): leave it out"
        if different or room
        else ""
    )


def _category(d: Described) -> str:
    if d.vector or not d.whole or d.distinct is None or not 2 < d.distinct <= FEW_VALUES or d.rows < 10 * d.distinct:
        return ""
    return (
        f"only {d.distinct} different whole numbers: where they name something and count nothing, encode them instead"
    )


def _normalized(d: Described) -> str:
    if d.whole or d.constant:
        return ""
    if near_standard(d.mean, d.std):
        return "already normalized (mean 0, deviation 1): on the training part only?"
    if (d.low, d.high) == (0.0, 1.0):
        return "already on [0, 1], both ends reached: shares, or normalized before?"
    return ""


def _zeros(d: Described) -> str:
    if d.zeros < MANY_ZEROS or d.constant or (d.whole and d.distinct == 2):
        return ""
    return f"{share(d.zeros, 1)} zeros: where 0 means nothing, choose what keeps it (maxabs, signed_log)"


def _bounded(d: Described) -> str:
    if d.bounds is None:
        return ""
    low, high = (number(end) for end in d.bounds)
    return f"bounded by design ({low} to {high}): a fixed rescale({low}, {high}) suits data not yet seen, too"


def _tails(d: Described) -> str:
    if d.constant or d.bounds is not None:
        return ""
    if d.robust_z > FAR_OUT:
        words = f"the farthest value is {number(round(d.robust_z))} deviations from the median"
        return f"heavy tails ({words}): a fault? robust, quantile and signed_log mind it least"
    if d.kurtosis > TAILS and not (d.whole and d.distinct == 2):
        return f"heavy tails (excess kurtosis {d.kurtosis:.0f}): robust, quantile and signed_log mind them least"
    return ""


def _skewed(d: Described) -> str:
    if d.low < 0 or d.skewness < SKEWED or d.constant or (d.whole and d.distinct == 2):
        return ""
    return f"positive and skewed (skewness {d.skewness:.1f}): log1p or yeo_johnson"


def _vector(d: Described) -> str:
    if len(d.column.shape) != 1 or d.column.features < 2 or d.bounds is not None:
        return ""
    return f"vectors of {d.column.features:,}: where only the direction matters (cosine similarity), l2"


KINDS: dict[str, Callable[[Described], str]] = {
    "no values": _no_values,
    "constant": _constant,
    "missing": _missing,
    "infinite": _infinite,
    "timestamp": _timestamp,
    "identifier": _identifier,
    "category": _category,
    "normalized": _normalized,
    "zeros": _zeros,
    "bounded": _bounded,
    "tails": _tails,
    "skewed": _skewed,
    "vector": _vector,
}
"""Each kind of warning, and the function that words it; empty where there is nothing to say."""


def warnings_of(d: Described) -> tuple[str, ...]:
    """All that is to be said of a column."""
    with np.errstate(invalid="ignore"):
        return tuple(words for kind in KINDS.values() if (words := kind(d)))
