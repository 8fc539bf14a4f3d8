"""Whether a column looks normalized before it is fitted.

The one law: it is read off exact statistics, and says nothing where they leave doubt: a false alarm teaches to overlook the next.

Two fits in a row are no error, but the second one's way back ends at the first one's numbers and not at the raw ones, and the
first may have been made on data that should not have been seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from tfnorm.profile import Profile
from tfnorm.sources.columns import quoted
from tfnorm.statistics import Count, Extremes, Moments
from tfnorm.techniques import Stages

NEAR = 0.01  # of mean 0 and deviation 1
ENOUGH_ROWS = 1000  # below which it may be chance
FEW_ZEROS = (
    0.01  # of all: shares, marks and clipped numbers reach the ends of [0, 1] many times, what was scaled to them once
)
BRIGHT = 0.9  # some pixel of an image is
SCALES = frozenset(
    {"standard", "minmax", "robust", "maxabs", "mean_range", "decimal"}
)  # of which one is wanted of raw numbers

_told: ContextVar[bool] = ContextVar("told", default=True)


@contextmanager
def untold() -> Iterator[None]:
    """Inside, nobody is told: who tries many fits of the same columns would be told as often."""
    token = _told.set(False)
    try:
        yield
    finally:
        _told.reset(token)


def near_standard(mean: Any, std: Any) -> Any:
    """|mean| <= NEAR and |std - 1| <= NEAR.

    >>> near_standard(0.003, 1.0), near_standard(0.3, 1.0)
    (True, False)
    """
    return (abs(mean) <= NEAR) & (abs(std - 1) <= NEAR)


def already(profile: Profile, stages: Mapping[str, Stages]) -> str:
    """One sentence on the columns that are scaled and look so already; empty where there are none.

    >>> from tfnorm import fit
    >>> raw = np.random.default_rng(0).normal(5, 3, 2000)
    >>> once = fit({"x": raw}, "standard")
    >>> with untold():
    ...     twice = fit(once.transform({"x": raw}), "standard")
    >>> already(once.profile, once.stages), already(twice.profile, twice.stages)[:50]
    ('', '"x" looks already normalized (mean 0, deviation 1)')
    """
    if not _told.get():
        return ""
    found = {name: why for name, why in _looks(profile) if _is_scaled(profile, name, stages)}
    if not found:
        return ""
    said = []
    for reason in dict.fromkeys(found.values()):
        names = [name for name, why in found.items() if why == reason]
        verb = "looks" if len(names) == 1 else "look"
        said.append(f"{quoted(names)} {verb} already normalized ({reason})")
    return f"{'; '.join(said)}: the way back ends at these numbers, not at the raw ones. Fit the raw data, or leave it out."


def _is_scaled(profile: Profile, name: str, stages: Mapping[str, Stages]) -> bool:
    first = stages[name][0] if stages.get(name) else None
    floats = profile[name].column.dtype.startswith(("float", "bfloat"))
    return floats and first is not None and first.kind.name in SCALES and first.grouping is None


def _looks(profile: Profile) -> Iterator[tuple[str, str]]:
    """(column, why) of those all of whose features look so, of any type and technique."""
    by_kind = {type(one.statistic): one for one in profile.gatherings}
    count, extremes = by_kind[Count], by_kind[Extremes]
    assert isinstance(count.statistic, Count)
    assert isinstance(extremes.statistic, Extremes)
    enough = count.statistic.finite >= ENOUGH_ROWS
    low, high = extremes.statistic.minimum, extremes.statistic.maximum
    once = enough & (count.statistic.zero <= FEW_ZEROS * count.statistic.finite) & (high == 1)
    flags = {
        "from 0 to 1, both reached": (extremes, once & (low == 0)),
        "from -1 to 1, both reached": (extremes, once & (low == -1)),
        "pixels between 0 and 1": (extremes, enough & (low >= 0) & (high <= 1) & (high >= BRIGHT)),
    }
    if moments := by_kind.get(Moments):
        assert isinstance(moments.statistic, Moments)
        many = moments.statistic.weight >= ENOUGH_ROWS
        near = near_standard(moments.statistic.mean, moments.statistic.std)
        flags = {"mean 0, deviation 1": (moments, many & near), **flags}
    for why, (gathering, flag) in flags.items():
        ends = np.cumsum([part.features for part in gathering.parts])
        whole = np.logical_and.reduceat(flag, np.append(0, ends[:-1])) if len(ends) else np.empty(0, bool)
        for i in np.flatnonzero(whole).tolist():
            part = gathering.parts[i]
            image = len(profile[part.column].column.shape) == 3
            if not part.via and (image or not why.startswith("pixels")):
                yield part.column, why
