"""`plot()` of a column: which drawing is made of which value.

The one law: a plot shows what the report shows of the same column, by the same drawing.
"""

from __future__ import annotations

from typing import Any

from tfnorm.drawing import Picture, Words, before_and_after, distribution, shown_or_saved
from tfnorm.fitted_column import FittedColumn
from tfnorm.looks import Look, after, before
from tfnorm.profile import Column, ColumnProfile
from tfnorm.sources.columns import cell
from tfnorm.summary import instant


def words_of(column: Column, look: Look) -> Words:
    """How a column's numbers are written along an axis: times as dates."""
    return lambda value: instant(value, column, look.maximum - look.minimum)


def of_column_profile(profiled: ColumnProfile, path: Any = None) -> Picture:
    """The distribution of a column."""
    look = before(profiled.profile, profiled.column.name)
    scene = distribution(look, cell(profiled.column.name), words_of(profiled.column, look))
    return shown_or_saved(scene, path)


def of_fitted_column(column: FittedColumn, path: Any = None) -> Picture:
    """The distribution of a column before and after its map."""
    first = before(column.fitted.profile, column.name)
    second = after(column.fitted.profile, column.name, column.map)
    words = words_of(column.column, first)
    return shown_or_saved(before_and_after(first, second, cell(column.name), column.technique, words, named=True), path)
