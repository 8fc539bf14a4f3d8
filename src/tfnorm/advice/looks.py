"""A second look at the data themselves: what no column's statistics tell.

The one law: some rows, always the same ones, and no more than that: how features of a vector go together, and whether a
column tells the target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.sources import Source
from tfnorm.sources.stored import Stored

MOST_ROWS, MOST_SHARDS = 16_384, 8
MOST_BESIDE = 4096  # of them, which go through every candidate
FEW_CLASSES = 20  # different numbers of a target, up to which they are taken for classes
LEAKS = 0.985  # of what there is to tell of the target
ENOUGH_ROWS = 60


@dataclass(frozen=True)
class Look:
    """Some rows."""

    rows: Mapping[str, np.ndarray]  # column -> (n, ...)


def look(source: Source, names: list[str], *, skip: bool = False) -> Look:
    """Up to MOST_ROWS rows, from shards that are spread over the source.

    skip: pass over shards that cannot be read.
    """
    shards = list(islice(source.shards(names), 4096))
    if not shards:
        return Look({})
    picked = np.unique(np.linspace(0, len(shards) - 1, min(MOST_SHARDS, len(shards))).astype(np.int64))
    each = MOST_ROWS // len(picked)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for i in picked.tolist():
        try:
            batch = next(iter(shards[i]()), None)
        except DataError:
            if not skip:
                raise
            continue
        if batch is None or any(isinstance(batch[name], Stored) for name in names):
            continue
        number = len(batch[names[0]])
        rows = (
            np.unique(np.linspace(0, number - 1, min(each, number)).astype(np.int64))
            if number
            else np.empty(0, np.int64)
        )
        for name in names:
            parts[name].append(_plain(batch[name][rows]))
    try:
        return Look({name: np.concatenate(found) for name, found in parts.items() if found})
    except ValueError:  # rows that differ in length
        return Look({})


def _plain(values: Any) -> np.ndarray:
    if isinstance(values, np.ma.MaskedArray) and values.dtype.kind in "biuf":
        return np.ma.filled(values.astype(np.float64), np.nan)
    return np.asarray(values)


def whole_rows(found: Look, name: str, most: int = 512) -> np.ndarray | None:
    """Some rows of a vector column without a missing value; None where there are too few."""
    rows = found.rows.get(name)
    if rows is None or rows.ndim != 2 or rows.dtype.kind not in "biuf":
        return None
    rows = rows[np.isfinite(rows.astype(np.float64)).all(axis=1)]
    if len(rows) < ENOUGH_ROWS:
        return None
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)].astype(np.float64)


def told_of(target: np.ndarray, values: np.ndarray) -> float:
    """Which share of what there is to tell of the target a column's order tells: 0 to 1, whatever bends lie between.

    Rows are sorted by the column and cut into up to 200 groups: the share of the target's variation (of its ranks, or of
    its classes) that lies between these groups.

    >>> x = np.arange(1000.0) % 97
    >>> round(told_of(np.exp(x), x), 2), told_of(np.cos(np.arange(1000.0) ** 2), x) < 0.2
    (1.0, True)
    """
    values = values.astype(np.float64)
    known = np.isfinite(values)
    if target.dtype.kind in "biuf":
        known &= np.isfinite(target.astype(np.float64))
    values, target = values[known], target[known]
    if len(values) < ENOUGH_ROWS or values.min() == values.max():
        return 0.0
    order = np.argsort(values, kind="stable")
    groups = min(200, len(values) // 12)
    place = np.empty(len(values), np.int64)
    place[order] = np.arange(len(values)) * groups // len(values)
    # equal values belong to one group, the first of theirs: rows that a column does not tell apart are not told apart here
    different, inverse = np.unique(values, return_inverse=True)
    first = np.full(len(different), groups)
    np.minimum.at(first, inverse, place)
    place = first[inverse]
    different_targets, codes = np.unique(
        target if target.dtype.kind in "biuf" else target.astype(str), return_inverse=True
    )
    if target.dtype.kind not in "biuf" or len(different_targets) <= FEW_CLASSES:
        y = np.eye(len(different_targets))[codes] if len(different_targets) <= 200 else _ranks(codes)[:, None]
    else:
        y = _ranks(codes)[:, None]
    y = y - y.mean(axis=0)
    number = np.bincount(place, minlength=groups)
    sums = np.stack([np.bincount(place, column, minlength=groups) for column in y.T])
    between = (sums**2 / np.maximum(number, 1)).sum()
    whole = (y**2).sum()
    # groups of few rows differ by chance: so much is taken off, as in the adjusted R^2
    used, free = int((number > 0).sum()) - 1, len(y) - int((number > 0).sum())
    return float(max(0.0, 1.0 - (1.0 - between / whole) * (used + free) / free)) if whole > 0 and free > 0 else 0.0


@dataclass(frozen=True)
class Beside:
    """A column's values beside those of the target, row by row."""

    values: np.ndarray  # (n,) finite
    target: np.ndarray  # (n, k) centered: one number, or a mark for each class

    def told(self, mapped: np.ndarray) -> float:
        """The share of the target's variation that a straight line through the mapped values tells."""
        away = mapped - mapped.mean()
        size = float((away**2).sum())
        whole = float((self.target**2).sum())
        if not (math.isfinite(size) and size > 0 and whole > 0):
            return 0.0
        return float(min(1.0, ((away @ self.target) ** 2).sum() / size / whole))


def beside(found: Look, name: str, target: str | None) -> Beside | None:
    """A column of numbers and the target; None where there are too few rows that have both, or the target is not known."""
    values, y = found.rows.get(name), found.rows.get(target) if target is not None else None
    if values is None or y is None or values.ndim != 1 or values.dtype.kind not in "biuf" or y.ndim != 1:
        return None
    known = np.isfinite(values.astype(np.float64))
    if y.dtype.kind in "biuf":
        known &= np.isfinite(y.astype(np.float64))
    rows = np.flatnonzero(known)
    if len(rows) < ENOUGH_ROWS:
        return None
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(MOST_BESIDE, len(rows))).astype(np.int64))]
    values, marks = values[rows].astype(np.float64), _marks(y[rows])
    return None if marks is None else Beside(values, marks - marks.mean(axis=0))


def _marks(y: np.ndarray) -> np.ndarray | None:
    """(n, k): numbers as they are, classes as marks; None for text of too many kinds."""
    numeric = y.dtype.kind in "biuf"
    different, codes = np.unique(y if numeric else y.astype(str), return_inverse=True)
    if numeric and len(different) > FEW_CLASSES:
        size = float(np.abs(y.astype(np.float64)).max()) or 1.0  # so that no square overflows
        return (y.astype(np.float64) / size)[:, None]
    return np.eye(len(different))[codes] if len(different) <= 200 else None


def _ranks(codes: np.ndarray) -> np.ndarray:
    """Ranks, the mean of them where values are equal."""
    number = np.bincount(codes)
    middle = np.cumsum(number) - (number - 1) / 2
    return middle[codes].astype(np.float64)
