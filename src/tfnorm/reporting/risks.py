"""What to look at in a column, from its numbers before and after.

The one law: a flag states the number that raised it. Thresholds are here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from tfnorm.looks import Look
from tfnorm.reporting.model import Flag
from tfnorm.summary import number, share

MUCH_MISSING, NEARLY_ALL = 0.05, 0.95
MOSTLY_ZERO = 0.5
FAR = 20.0  # interquartile ranges from the median to the farthest value
SQUEEZED = 0.05  # of the range that the middle 98 % take up
FAR_AFTER = 30.0  # how far from 0 a value may come out
OFFSET = 1e5  # deviations that the mean is away from 0: float32 then has two digits left for what differs
SCALE = (0.02, 50.0)  # of the deviation after
SKEWED = 3.0


def of_data(look: Look) -> Iterator[Flag]:
    """Of the data themselves."""
    finite = look.values - look.missing - look.infinite
    if finite == 0:
        yield Flag("empty", 3, "no value was seen")
        return
    if look.constant:
        yield Flag("constant", 2, f"every value is {number(look.minimum)}")
    part = look.missing / look.values if look.values else 0.0
    if part > MUCH_MISSING:
        words = f"{share(look.missing, look.values)} of the values are missing"
        yield Flag("missing", 3 if part > NEARLY_ALL else 2 if part > 0.5 else 1, words)
    if look.infinite > 0:
        yield Flag("infinite", 2, f"{look.infinite:,.0f} values are infinite")
    if finite and not look.constant and look.zeros / finite > MOSTLY_ZERO:
        yield Flag("zeros", 1, f"{share(look.zeros, finite)} of the values are zero")
    low, middle, high = look.quartiles
    farthest = max(look.maximum - middle, middle - look.minimum)
    if high > low and farthest > FAR * (high - low):
        at = look.maximum if look.maximum - middle >= middle - look.minimum else look.minimum
        words = f"{number(at)} is {number(round(farthest / (high - low)))} interquartile ranges from the median"
        yield Flag("outliers", 2, words)
    if look.std > 0 and abs(look.mean) > OFFSET * look.std:
        words = f"its mean is {number(abs(look.mean) / look.std)} deviations from 0, more than float32 tells apart"
        yield Flag("offset", 1, words)


def of_result(look: Look, technique: str) -> Iterator[Flag]:
    """Of what comes out of the map."""
    if math.isnan(look.minimum) or look.constant:
        return
    wide = look.maximum - look.minimum
    first, last = look.quantile(0.01), look.quantile(0.99)
    if last - first < SQUEEZED * wide:
        yield Flag(
            "squeezed", 3, f"after {technique}, 98 % of the values lie in {share(last - first, wide)} of the range"
        )
    farthest = max(abs(look.minimum), abs(look.maximum))
    if farthest > FAR_AFTER:
        yield Flag("far", 2, f"after {technique}, values reach {number(farthest)}")
    if look.std == look.std and not SCALE[0] <= look.std <= SCALE[1]:
        yield Flag("scale", 2, f"after {technique}, the deviation is {number(look.std)}")
    if abs(look.skewness) > SKEWED:
        yield Flag("skewed", 1, f"after {technique}, the skewness is {number(look.skewness)}")


def by_weight(flags: Iterator[Flag] | tuple[Flag, ...]) -> tuple[Flag, ...]:
    """The worst first, each once."""
    return tuple(sorted(dict.fromkeys(flags), key=lambda flag: -flag.level))
