"""Check while data flow: batches pass by, their statistics stay, and after so many rows they are compared with the fit.

The one law: a watch changes nothing. Batches, their order and their shapes go through a tap as they came, and what fails in a
watch is told and stops the watch, never the training.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np

from tfnorm.drift.checking import Reference
from tfnorm.drift.judging import Thresholds, checked_probability
from tfnorm.drift.reading import Arrived
from tfnorm.drift.values import Drift
from tfnorm.errors import ChoiceError
from tfnorm.fitted import Fitted
from tfnorm.profile import Profile, Provenance
from tfnorm.sources import BARE
from tfnorm.sources.columns import cell
from tfnorm.sources.stored import Stored
from tfnorm.sources.streams import parts

ROWS_TOGETHER, BYTES_TOGETHER = (
    1 << 14,
    1 << 26,
)  # batches are measured when they are as many: small ones take Python's time
TOLD = 5  # columns named in one message

_log = logging.getLogger("tfnorm.drift")


class Watch:
    """Gathers the statistics of batches that pass by, and checks them against a fit.

    fitted, columns, thresholds, false_alarms, normalized: as for `tfnorm.check`. Each check of a stream has that probability of a
        false alarm, so of a hundred checks one may be.
    every: after how many rows to check; None for when `check` is called, as `DriftCallback` does at the end of an epoch. Rows are
        then counted from nothing again.

    What drifted is logged as a warning (logger "tfnorm.drift") and kept: `drift` is the last check, `drifts` are all. Threads
    may share a watch.

    >>> import numpy as np, tfnorm
    >>> rng = np.random.default_rng(0)
    >>> watch = Watch(tfnorm.fit(tfnorm.scan(rng.normal(size=(5000, 2)))))
    >>> for _ in range(10):
    ...     _ = watch.update(rng.normal(size=(100, 2)) + [0, 1])
    >>> watch.check().drifted, watch.drift["x"].numbers["feature"]
    (True, 1)
    """

    def __init__(
        self,
        fitted: Fitted | Profile,
        *,
        every: int | None = None,
        columns: Any = None,
        thresholds: Thresholds | Mapping[str, Any] | None = None,
        false_alarms: float = 0.01,
        normalized: bool = False,
    ) -> None:
        if every is not None and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
            raise ChoiceError(
                f"every must be a number of rows from 1, or None for when check() is called; got {every!r}."
            )
        self.every = every
        self.drifts: list[Drift] = []
        self.failed: Exception | None = None  # why it has stopped, if it has
        self._reference = Reference.of(fitted, columns, normalized=normalized)
        self._thresholds, self._false_alarms = Thresholds.of(thresholds), checked_probability(false_alarms)
        self._lock = threading.RLock()
        self._waiting: list[Any] = []
        self._rows = self._waiting_rows = self._waiting_bytes = 0
        self._arrived: Arrived | None = None

    def __repr__(self) -> str:
        last = self.drift
        told = "not checked yet" if last is None else repr(last).splitlines()[0]
        return f"watch of {len(self._reference.names):,} columns, {self._rows:,} rows since the last check; {told}"

    @property
    def drift(self) -> Drift | None:
        """The last check; None before the first."""
        return self.drifts[-1] if self.drifts else None

    @property
    def num_rows(self) -> int:
        """How many rows came since the last check."""
        return self._rows

    def update(self, batch: Any) -> Self:
        """Add a batch: x, (x, y) or (x, y, weight), where x is an array or a mapping of arrays. Weights do not count."""
        features = self._needed(parts(batch, False, len(self._waiting), "watch")[0])
        rows, size = _measures(features)
        with self._lock:
            if self._waiting and _shapes(self._waiting[-1]) != _shapes(features):
                self._measure()
            self._waiting.append(features)
            self._rows, self._waiting_rows = self._rows + rows, self._waiting_rows + rows
            self._waiting_bytes += size
            if self._waiting_rows >= ROWS_TOGETHER or self._waiting_bytes >= BYTES_TOGETHER:
                self._measure()
            if self.every is not None and self._rows >= self.every:
                self.check()
        return self

    def check(self) -> Drift | None:
        """Compare what came since the last check with the fit, and begin anew; None where nothing came."""
        with self._lock:
            self._measure()
            arrived, self._arrived, self._rows = self._arrived, None, 0
            if arrived is None:
                return None
            drift = self._reference.drift(arrived, self._thresholds, self._false_alarms)
            self.drifts.append(drift)
        if drift.drifted:
            _log.warning("%s", said(drift))
        return drift

    def __call__(self, dataset: Any) -> Any:
        """A `tf.data.Dataset` of the same batches, each of which is looked at as it passes.

        Put it where batches are what the fit was of: `model.fit(watch(dataset), callbacks=[tfnorm.DriftCallback(watch)])`.
        """
        from tfnorm.drift.tap import tapped

        return tapped(dataset, self.take)

    def take(self, batch: Any) -> None:
        """As `update`, but that an error stops the watch and not who feeds it."""
        if self.failed is not None:
            return
        try:
            self.update(batch)
        except Exception as error:
            self.failed = error
            _log.warning("the watch has stopped: %s", error)

    def _needed(self, features: Any) -> Any:
        """A copy of what is compared: whoever hands batches out may use their memory again."""
        if isinstance(features, Mapping):
            by_name = {str(name): value for name, value in features.items()}
            # names alone of the others: that they came is a finding, too
            return {n: _copied(value) for n, value in by_name.items() if n in self._reference.expected} or by_name
        return _copied(features)

    def _measure(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting, self._waiting_rows, self._waiting_bytes = self._waiting, [], 0, 0
        came = self._reference.read(lambda: waiting, workers=1)
        before = self._arrived
        if came.profile is not None:
            came = replace(came, profile=_of_one_source(came.profile), source="watch")
        if before is not None and before.profile is not None and came.profile is not None:
            profile = _of_one_source(before.profile + came.profile)
            came = replace(came, profile=profile, rows=profile.num_rows)
        self._arrived = came


def watch(fitted: Fitted | Profile, **options: Any) -> Watch:
    """A `Watch` on this fit; see there for the options.

    >>> import numpy as np, tfnorm
    >>> watch(tfnorm.scan({"age": [1.0, 2.0]}), every=1000).num_rows
    0
    """
    return Watch(fitted, **options)


def said(drift: Drift) -> str:
    """What drifted, in one line."""
    columns = [column for column in drift.columns if column.drifted]
    listed = "; ".join(f"{cell(one.name)}: {cell(one.findings[0], 120)}" for one in columns[:TOLD])
    more = f"; and {len(columns) - TOLD:,} more" if len(columns) > TOLD else ""
    return f"drift in {len(columns):,} of {len(drift.columns):,} columns in {drift.rows:,} rows: {listed}{more}"


def _copied(value: Any) -> Any:
    return value if isinstance(value, Stored) else np.array(value)


def _shapes(features: Any) -> Any:
    """What all batches that are measured together have in common."""
    if isinstance(features, Mapping):
        return {name: _shapes(value) for name, value in features.items()}
    return features.shape[1:], features.dtype.kind


def _measures(features: Any) -> tuple[int, int]:
    """(rows, bytes) of a batch."""
    arrays = list(features.values()) if isinstance(features, Mapping) else [features]
    size = sum(getattr(one.values if isinstance(one, Stored) else one, "nbytes", 0) for one in arrays)
    return (len(arrays[0]) if arrays else 0), size


def _of_one_source(profile: Profile) -> Profile:
    """With one line on where it came from, or a stream's would grow for ever."""
    shards = sum(one.num_shards for one in profile.provenance)
    return replace(profile, provenance=(Provenance(BARE, profile.num_rows, shards, ""),))
