"""Rows of a sample as a model takes them: a number or text for every place, by column.

The one law: times, masks and missing values become numbers as they do in the fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.fitted import Fitted
from tfnorm.measuring import as_numbers
from tfnorm.sources import open_source
from tfnorm.sources.columns import did_you_mean, quoted
from tfnorm.sources.stored import Stored
from tfnorm.unseen import key_columns

Rows = dict[str, np.ndarray]


def rows_of(fitted: Fitted, sample: Any) -> list[Rows]:
    """Batches of rows of the fitted columns and of those that hold their keys; DataError where one is not there."""
    batches = list(_batches(fitted, sample))
    if not any(len(next(iter(batch.values()))) for batch in batches):
        raise DataError("the sample has no rows, so nothing can be compared. Give some.")
    return batches


def _batches(fitted: Fitted, sample: Any) -> Iterator[Rows]:
    source = open_source(sample)
    names = list(dict.fromkeys([*fitted.columns, *key_columns(fitted.maps.values())]))
    there = [column.name for column in source.columns]
    if missing := [name for name in names if name not in there]:
        hints = "".join(did_you_mean(name, there) for name in missing[:3])
        raise DataError(f"{source.name}: column {quoted(missing)} of the fit not there; it has {quoted(there)}.{hints}")
    for shard in source.shards(names):
        for batch in shard():
            yield {name: _plain(fitted, name, batch[name]) for name in names}


def _plain(fitted: Fitted, name: str, values: Any) -> np.ndarray:
    if isinstance(values, Stored):
        raise DataError(f"column {quoted([name])}: sparse and ragged rows are not compared. Give dense ones.")
    if name not in fitted.columns:
        return np.asarray(values)
    numbers = as_numbers(values, fitted.profile[name].column)
    if not isinstance(numbers, np.ma.MaskedArray):
        return np.asarray(numbers)
    wide: Any = numbers if numbers.dtype.kind == "f" else numbers.astype(np.float64)
    return np.asarray(wide.filled(np.nan))
