"""One pass over a source: its shards measured by an engine, their statistics added up.

The one law: the same rows give the same statistics, bit for bit, however the source hands them out and whoever measures.
What is missing, infinite, out of a domain or not a number is found here, with column, row and file.
"""

from __future__ import annotations

import dataclasses
import logging
import operator
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tfnorm.elsewhere import measured_elsewhere, measured_there
from tfnorm.engines import Remote
from tfnorm.engines.threads import Threads
from tfnorm.errors import DataError
from tfnorm.gatherings import Gathering, KeyedGathering, Part
from tfnorm.measuring import Measure, Measured, Want
from tfnorm.profile import Column, Profile, Provenance, Skipped
from tfnorm.progress import Callback, Meter
from tfnorm.quantiles import Quantiles
from tfnorm.sources import Shard, Source
from tfnorm.sources.columns import rows_per_shard
from tfnorm.sources.remote import shown
from tfnorm.statistics import Count, Extremes, Statistic


def gather(
    source: Source,
    columns: Sequence[Column],
    wants: Sequence[Want],
    *,
    infinite: Set[str],
    engine: Threads | Remote,
    keys: Sequence[str] = (),
    callback: Callback | None = None,
    around: Callable[[Measure], Callable[[Shard], Measured]] = lambda measure: measure,
) -> Profile:
    """Every want's statistics over all rows, in one pass. Infinite values are refused in the columns `infinite`; `keys` are
    the key columns that this or another pass over the same data needs; `around` is what is done around the measuring of a
    part, to keep or to skip it."""
    # all of them in every pass, so that the shards and their fingerprints are the same
    needed = (name for want in wants for name in want.columns)
    names = list(dict.fromkeys((*(column.name for column in columns), *keys, *needed)))
    by_name = {column.name: column for column in source.columns}
    rows = rows_per_shard([by_name[name] for name in names])
    meter = None
    if callback is not None:
        about = source.num_rows or getattr(source, "about_rows", None)
        meter = Meter(callback, about, getattr(source, "num_bytes", None))
    here = isinstance(engine, Threads) and not hasattr(source, "states")
    measure = Measure(tuple(wants), infinite, rows, source.weight, meter.add if meter and here else None)
    work = around(measure)
    if hasattr(source, "states"):  # workers hold the data already
        total = measured_there(partial(source.states, names), measure, meter)
    elif isinstance(engine, Threads):
        total = engine(work if meter is None else _Metered(work, meter), source.shards(names), operator.add)
    else:
        total = measured_elsewhere(engine, work, measure, source.shards(names), meter)
    unread = (Skipped(shown(path), reason) for path, reason in getattr(source, "skipped", ()))  # whole files
    skipped = (*unread, *(total.skipped if total else ()))
    for one in skipped:
        logging.getLogger("tfnorm").warning("skipped: %s", one.reason)
    if skipped and (total is None or total.num_rows == 0):
        raise DataError(f"{source.name}: nothing could be read; {len(skipped)} parts were skipped: {skipped[0].reason}")
    if total is None or total.num_rows == 0:
        raise DataError(f"{source.name}: there are no rows to fit. Check the path or the data set.")
    profile = finished(profile_of(source.name, source.bare, columns, wants, total, skipped))
    refuse_weightless(profile)
    return profile


@dataclass(frozen=True)
class _Metered:
    """Reports the bytes of each part that is done; its rows are reported as they are measured."""

    work: Callable[[Shard], Measured]
    meter: Meter

    def __call__(self, shard: Shard) -> Measured:
        measured = self.work(shard)
        self.meter.add(0, getattr(shard, "num_bytes", 0))
        return measured


def profile_of(
    source: str,
    bare: bool,
    columns: Sequence[Column],
    wants: Sequence[Want],
    total: Measured,
    skipped: tuple[Skipped, ...] = (),
) -> Profile:
    """What was measured, by column; to be added to, or finished."""
    gatherings = tuple(Gathering(_parts(wants, kind, ()), statistic) for kind, statistic in total.statistics.items())
    keyed = tuple(
        KeyedGathering(tuple(_parts(wants, type(one), by) for one in grouped.statistics), grouped)
        for by, grouped in total.grouped.items()
    )
    provenance = Provenance(source, total.num_rows, total.num_shards, total.digest, skipped)
    return Profile(tuple(columns), bare, total.num_rows, gatherings, (provenance,), keyed)


def finished(profile: Profile) -> Profile:
    """The profile as it is kept once the pass is over: with sketches no finer than need be."""
    coarser = with_statistics(profile, lambda one: one.coarsened() if isinstance(one, Quantiles) else one)
    keyed = tuple(dataclasses.replace(one, grouped=one.grouped.coarsened()) for one in profile.keyed)
    return dataclasses.replace(coarser, keyed=keyed)


def with_statistics(profile: Profile, change: Callable[[Any], Any]) -> Profile:
    """The profile with every kind's statistic of all rows changed."""
    changed = tuple(Gathering(one.parts, change(one.statistic)) for one in profile.gatherings)
    return dataclasses.replace(profile, gatherings=changed)


def _parts(wants: Sequence[Want], kind: type[Statistic], by: tuple[str, ...]) -> tuple[Part, ...]:
    found = (want for want in wants if kind in want.kinds and want.by == by)
    return tuple(Part(want.column.name, want.via, want.features, want.through) for want in found)


def refuse_weightless(profile: Profile) -> None:
    """A column whose values all have the weight 0 is a mistake, not a constant."""
    by_kind = {type(one.statistic): one for one in profile.gatherings}
    count, extremes = by_kind[Count].statistic, by_kind[Extremes].statistic
    assert isinstance(count, Count)
    assert isinstance(extremes, Extremes)
    empty = np.flatnonzero((count.finite > 0) & (extremes.minimum > extremes.maximum))
    if len(empty):
        ends = np.cumsum([part.features for part in by_kind[Count].parts])
        name = by_kind[Count].parts[int(np.searchsorted(ends, empty[0], side="right"))].column
        raise DataError(
            f"column {name!r}: every value has the weight 0. Give some of them weight, or no weights at all."
        )
