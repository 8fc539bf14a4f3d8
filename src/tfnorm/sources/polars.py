"""polars tables. The only file that imports polars, and only once there is a table of it.

The one law: columns are chosen before rows become Arrow, so that strings nobody asked for are never converted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfnorm.sources import BARE, Column
from tfnorm.sources.arrow import describe_column, from_numpy, needs_head, to_numpy

_NAME = "polars.DataFrame"


@dataclass(frozen=True)
class PolarsTable:
    """A `polars.DataFrame`."""

    frame: Any
    columns: tuple[Column, ...]

    @property
    def num_rows(self) -> int:
        return int(self.frame.height)

    def part(self, start: int, stop: int) -> PolarsTable:
        return PolarsTable(self.frame.slice(start, stop - start), self.columns)

    def read(self, columns: Sequence[Column], first_row: int) -> dict[str, np.ndarray]:
        return {column.name: _read(self.frame.get_column(column.name), column, first_row) for column in columns}


def table_of(frame: Any) -> PolarsTable:
    """The table of a frame, or of a series: one column, named BARE where it has no name."""
    import polars as pl

    if isinstance(frame, pl.Series):
        frame = (frame if frame.name else frame.alias(BARE)).to_frame()
    return PolarsTable(frame, tuple(_describe(series) for series in frame))


def _describe(series: Any) -> Column:
    if not _has_arrow(series.dtype):
        return Column(series.name, str(series.dtype).lower(), (), "other")
    type_ = _widened(series.slice(0, 0)).to_arrow().type
    return describe_column(series.name, type_, series.to_arrow() if needs_head(type_) else None)


def _has_arrow(dtype: Any) -> bool:
    import polars as pl

    return bool(dtype != pl.Object)


def _widened(series: Any) -> Any:
    """Integers of 128 bits, which Arrow has no type for, as float64."""
    import polars as pl

    wide = [getattr(pl, name) for name in ("Int128", "UInt128") if hasattr(pl, name)]
    return series.cast(pl.Float64) if series.dtype in wide else series


def _read(series: Any, column: Column, first_row: int) -> np.ndarray:
    if not _has_arrow(series.dtype):
        return np.asarray(series.to_numpy())
    return to_numpy(_to_arrow(_widened(series)), column, _NAME, first_row)


def _to_arrow(series: Any) -> Any:
    """Texts as the views that polars holds, without copying them: Arrow does something with them from pyarrow 19 on."""
    import polars as pl
    import pyarrow as pa

    if series.dtype == pl.String and int(pa.__version__.split(".", 1)[0]) >= 19:
        return series.to_arrow(compat_level=pl.CompatLevel.newest())
    return series.to_arrow()


def lazy_columns(frame: Any) -> tuple[Column, ...]:
    """The columns of a `LazyFrame`; only where it has lists are some rows of it computed."""
    import polars as pl

    schema = frame.collect_schema()
    head = pl.DataFrame(schema=schema)
    if any(needs_head(_widened(series).to_arrow().type) for series in head if _has_arrow(series.dtype)):
        head = frame.head(1024).collect()
    return table_of(head).columns


def lazy_batches(frame: Any, columns: Sequence[Column]) -> Iterator[dict[str, np.ndarray]]:
    """The rows of a `LazyFrame` as they are computed, in order."""
    row = 0
    for part in frame.select([column.name for column in columns]).collect_batches(maintain_order=True):
        yield PolarsTable(part, tuple(columns)).read(columns, row)
        row += part.height


def replace(frame: Any, values: Mapping[str, np.ndarray], beside: Mapping[str, str], drop: Sequence[str]) -> Any:
    """A `DataFrame` or `LazyFrame` with other values in these columns."""
    import polars as pl

    result = frame.with_columns([pl.Series(name, from_numpy(array)) for name, array in values.items()])
    if not beside and not drop:
        return result
    order = [name for name in frame.collect_schema().names() if name not in drop]
    for name, old in beside.items():
        order.insert(order.index(old) + 1, name)
    return result.select(order)
