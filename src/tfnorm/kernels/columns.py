"""From rows to columns, for what sparse rows store."""

from __future__ import annotations

from tfnorm.kernels.moments import entry


@entry
def by_column(places, starts, order):
    """Which stored value comes when, column after column and within one in the order of the rows.

    places: the column of each; starts: where each column begins, which is moved on as it fills; order: filled in.
    """
    for i in range(len(places)):
        column = places[i]
        order[starts[column]] = i
        starts[column] += 1
