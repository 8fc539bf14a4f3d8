"""Statistics that are kept running: for streams, and for agents that learn while they look.

The one law: without a half-life, what is known after many updates is what `fit` would know of all their rows; with one, what a
row tells fades with the rows that come after it, however these were cut into batches (`tfnorm.fading`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import numbers
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from tfnorm.chains import written
from tfnorm.choosing import Unit, chosen_columns
from tfnorm.codec import encode
from tfnorm.engines.threads import Threads, default_workers
from tfnorm.errors import ChoiceError, DataError
from tfnorm.fading import Fading, Runs, extremes_in
from tfnorm.fitted import Fitted
from tfnorm.fitting import planned, solved, wanted
from tfnorm.gather import finished, profile_of, refuse_weightless
from tfnorm.gatherings import Gathering
from tfnorm.keras_part import keras_part
from tfnorm.measuring import Measure, Measured
from tfnorm.profile import Column, Profile, Provenance, wider
from tfnorm.rules import Policies, Rules
from tfnorm.sources import WEIGHT, Source, open_source
from tfnorm.sources.columns import quoted, rows_per_shard
from tfnorm.statistics import Count, Extremes, check_weight
from tfnorm.techniques import Choosable, Stages, parse

NAME = "running"
"""As what the profile names its source."""


@dataclass(frozen=True)
class Memory:
    """What a Running keeps beside the profile and the choice."""

    half_life: float | None  # rows after which a row counts half; None for never
    infinite: Literal["error", "missing"]
    axes: tuple[int | None, ...]  # a column: -1 for statistics a position of the last axis, None for one over all
    runs: Runs | None  # with a half-life, what its extremes are of

    def flaw(self, profile: Profile, stages: Mapping[str, Stages]) -> str:
        """Why no stream can have left this; empty where one can. Asked of what a file says."""
        if list(stages) != list(profile) or len(self.axes) != len(profile):
            return "choice, axes and profile are not of the same columns"
        for column, axis in zip(profile.columns, self.axes, strict=True):
            wide = column.shape[-1] if column.shape and axis == -1 else 1
            if axis not in (-1, None) or wide != column.features:
                return f"the axis of column {column.name[:80]!r} does not suit it"
        rows = sum(one.num_rows for one in profile.provenance)
        if len(profile.provenance) != 1 or not 0 < profile.num_rows == rows:
            return "its number of rows is not that of its source"
        wants = wanted(profile.columns, stages)
        kinds = {kind: [(w.column.name, w.via) for w in wants if kind in w.kinds] for w in wants for kind in w.kinds}
        held = {type(one.statistic): [(part.column, part.via) for part in one.parts] for one in profile.gatherings}
        if kinds != held:
            return "the profile does not hold what the choice needs"
        if self.half_life is None or self.runs is None:
            neither = self.half_life is None and self.runs is None
            return "" if neither else "half-life and runs do not go together"
        if not (math.isfinite(self.half_life) and self.half_life > 0):
            return "its half-life is not a number above 0"
        whole = extremes_in({type(one.statistic): one.statistic for one in profile.gatherings})
        if flaw := self.runs.flaw(whole.features, (profile.num_rows - 1) // Fading(self.half_life).run):
            return flaw
        over = self.runs.whole()
        same = all(np.array_equal(getattr(over, f.name), getattr(whole, f.name)) for f in dataclasses.fields(whole))
        return "" if same else "the extremes are not those of its runs"


@dataclass(frozen=True)
class Seen:
    """What is known after some updates: a value, so that whoever reads it is not disturbed by the next one."""

    profile: Profile
    stages: Mapping[str, Stages]
    axes: Mapping[str, int | None]  # by column
    runs: Runs | None


class Running:
    """Statistics that go on with every batch, and the normalization by what is known so far.

    technique: as `fit` takes it: one for all columns, or a mapping from columns to them; a list is a chain. All that `fit` can
        solve in one pass can be kept running.
    half_life: in rows; the weight of a row halves with every so many rows that come after it. None keeps all rows alike,
        exactly as `fit` on all of them. Extremes (`minmax`, `maxabs`) have no weight: a half-life keeps those of the 10 to 11
        half-lives before a column's last value, which hold 99.9 % of its weight. Counts stay those of all rows. A column of which
        nothing comes any more keeps what was last known.
    axis, unit: as for `fit`.
    infinite: "error" refuses a batch with infinite values, "missing" treats them as missing.

    A batch that is refused (DataError, ChoiceError) changes nothing. `update` takes a lock, so several threads may share one
    object; with a half-life the order in which they come is then that of the lock. `normalize` never waits. Copies and
    pickles are independent of the object they were made from.

    >>> running = Running("standard")
    >>> for batch in ([[1.0], [2.0]], [[3.0]]):
    ...     _ = running.update(batch)
    >>> running.normalize([[2.0], [4.0]]).round(6)
    array([[0.     ],
           [2.44949]])
    >>> running
    Running("standard"): 3 rows seen, 1 feature

    stable-baselines3's RunningMeanStd and VecNormalize, which keep two moments apart from the saved policy; river's scalers.
    """

    def __init__(
        self,
        technique: Choosable | Mapping[str, Choosable] = "standard",
        half_life: float | None = None,
        *,
        axis: Any = -1,
        unit: Unit = None,
        infinite: Literal["error", "missing"] = "error",
    ) -> None:
        if infinite not in ("error", "missing"):
            raise ChoiceError(f'infinite must be "error" or "missing", got {infinite!r}.')
        is_number = isinstance(half_life, numbers.Real) and not isinstance(half_life, bool)
        if half_life is not None and not (is_number and 0 < half_life < math.inf):
            raise ChoiceError(f"half_life must be a number of rows above 0, or None for never; got {half_life!r}.")
        by_column = {str(k): parse(v) for k, v in technique.items()} if isinstance(technique, Mapping) else None
        self._choice: Stages | dict[str, Stages] = parse(technique) if by_column is None else by_column  # type: ignore[arg-type]
        if not self._choice:
            raise ChoiceError("the choice names no column; give one technique for all, or {column: technique}.")
        _refuse_unsolvable(self._choice if isinstance(self._choice, dict) else {"": self._choice})
        self._fading = None if half_life is None else Fading(float(half_life))
        self._axis, self._unit, self._infinite = axis, unit, infinite
        self._seen: Seen | None = None
        self._fitted: tuple[Seen, Fitted] | None = None  # of what was seen when it was last asked for
        self._lock = threading.Lock()

    @property
    def technique(self) -> str | dict[str, str]:
        """The choice as text, as `fit` takes it; a mapping where it was one."""
        if isinstance(self._choice, dict):
            return {name: written(stages) for name, stages in self._choice.items()}
        return written(self._choice)

    @property
    def half_life(self) -> float | None:
        """In rows; None for never."""
        return None if self._fading is None else self._fading.half_life

    @property
    def axis(self) -> Any:
        """-1 for statistics a position of the last axis, None for one over all; or by column."""
        return self._axis

    @property
    def infinite(self) -> Literal["error", "missing"]:
        """What becomes of infinite values."""
        return self._infinite

    @property
    def num_rows(self) -> int:
        """How many rows were seen."""
        return 0 if self._seen is None else self._seen.profile.num_rows

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are kept; none before the first update."""
        return () if self._seen is None else tuple(self._seen.stages)

    def update(self, batch: Any, *, weight: Any = None) -> Self:
        """Add rows: whatever `fit` takes, from one batch to a folder of files. They come after all that were seen.

        Samples come first, so one observation is a batch of one: `observation[None]`.

        weight: as for `fit`; a row's own weight fades as any.

        Errors: DataError and ChoiceError, as `fit` raises them; and where columns or shapes are not those of the first batch.
        """
        opened = open_source(batch, weight=weight)
        with self._lock:
            self._seen = self._after(opened)
        return self

    def normalize(self, batch: Any) -> Any:
        """To the normalized scale by all that was seen, as the kind that came; see `Fitted.transform`."""
        return self.freeze().transform(batch)

    def update_and_normalize(self, batch: Any, *, weight: Any = None) -> Any:
        """`update`, then `normalize` the same batch: what an agent does with each observation."""
        return self.update(batch, weight=weight).normalize(batch)

    def inverse(self, batch: Any) -> Any:
        """Back to real units, by all that was seen; see `Fitted.inverse`."""
        return self.freeze().inverse(batch)

    def freeze(self) -> Fitted:
        """What is known now as an ordinary fit, which no later update changes: profile, layer, save and all.

        DataError where nothing was seen yet.
        """
        seen = self._known("normalize by")
        if self._fitted is None or self._fitted[0] is not seen:
            profile = seen.profile
            refuse_weightless(profile)
            if self._fading is not None:
                profile = self._settled(profile)
            policies = Policies(infinite=self._infinite)
            rules = Rules({} if policies == Policies() else dict.fromkeys(seen.stages, policies))
            self._fitted = seen, solved(finished(profile), seen.stages, rules)
        return self._fitted[1]

    def layer(self, **kwargs: Any) -> Any:
        """A Keras layer that begins with what was seen, goes on while training, and stands still in inference.

        See `RunningNormalize`, which also tells which techniques a layer can keep. Needs TensorFlow: `pip install 'tfnorm[tf]'`.
        """
        return keras_part().RunningNormalize.of(self, **kwargs)

    def save(self, path: Any) -> None:
        """Write it as JSON, whole or not at all; after `tfnorm.load` updates go on bit for bit as if never saved."""
        from tfnorm.artefact import save

        self._known("save")
        save(self, path)

    def __add__(self, other: Running) -> Running:
        """What both have seen, as workers that look at different rows: without a half-life, rows have no order."""
        if not isinstance(other, Running):
            return NotImplemented
        if self._fading or other._fading:
            raise ChoiceError(
                "with a half-life rows have an order, and those of two streams have none in common. "
                "Update one Running with the batches of both, in the order in which they come."
            )
        if not self._made_as(other):
            raise ChoiceError(f"two Running add only when made alike, got {self!r} and {other!r}.")
        both = self._empty_copy()
        both._seen = other._seen if self._seen is None else self._seen
        if self._seen is not None and other._seen is not None:
            profile = self._seen.profile + other._seen.profile
            both._seen = dataclasses.replace(self._seen, profile=of_one_source(profile))
        return both

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Running) or not self._made_as(other):
            return False
        a, b = self._seen, other._seen
        if a is None or b is None:
            return a is b
        return a.profile == b.profile and encode(self.memory()) == encode(other.memory())

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        technique = self.technique
        chosen = f'"{technique}"' if isinstance(technique, str) else repr(technique)
        life = "" if self.half_life is None else f", half_life={self.half_life:g}"
        return f"Running({chosen}{life}): {self._subject()}"

    def _subject(self) -> str:
        if self._seen is None:
            return "nothing seen yet"
        profile = self._seen.profile
        number = profile.columns[0].features
        what = f"{number:,} feature{'s' * (number != 1)}" if profile.bare else f"columns {quoted(profile)}"
        return f"{profile.num_rows:,} row{'s' * (profile.num_rows != 1)} seen, {what}"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    # What is saved, and made again.

    @property
    def profile(self) -> Profile:
        """All statistics as they are added to: with a half-life, sums of faded weights."""
        return self._known("tell").profile

    @property
    def stages(self) -> Mapping[str, Stages]:
        """Column -> its techniques."""
        return self._known("tell").stages

    def memory(self) -> Memory:
        """What is kept beside profile and stages."""
        seen = self._known("tell")
        return Memory(self.half_life, self._infinite, tuple(seen.axes[name] for name in seen.profile), seen.runs)

    @classmethod
    def restored(cls, profile: Profile, stages: Mapping[str, Stages], memory: Memory) -> Running:
        """From what was saved."""
        axes = dict(zip(profile, memory.axes, strict=True))
        units = {column.name: column.unit for column in profile.columns if column.unit}
        choice: Any = next(iter(stages.values())) if profile.bare else dict(stages)
        running = cls(choice, memory.half_life, axis=axes, unit=units or None, infinite=memory.infinite)
        running._seen = Seen(profile, stages, axes, memory.runs)
        return running

    def _known(self, what: str) -> Seen:
        if self._seen is None:
            raise DataError(
                f"this Running has seen no rows yet, so there is nothing to {what}. Call update(batch) first."
            )
        return self._seen

    def _made_as(self, other: Running) -> bool:
        """Whether both would do the same with the same rows."""
        one, two = (each._choice if each._seen is None else dict(each._seen.stages) for each in (self, other))
        if isinstance(one, dict) and isinstance(two, tuple):
            one, two = two, one
        alike = set(two.values()) == {one} if isinstance(one, tuple) and isinstance(two, dict) else one == two
        same = (self.half_life, self._infinite) == (other.half_life, other._infinite)
        return alike and same and self._axes_alike(other)

    def _axes_alike(self, other: Running) -> bool:
        """Whether both keep a statistic a position of the last axis, or one over all, in the same columns."""
        seen = self._seen or other._seen
        if seen is None:
            return bool(self._axis == other._axis)
        several = [column.name for column in seen.profile.columns if column.shape not in ((), (1,))]
        return all(self._axis_of(name) == other._axis_of(name) for name in several)

    def _axis_of(self, name: str) -> Any:
        if self._seen is not None and name in self._seen.axes:
            return self._seen.axes[name]
        return self._axis.get(name, -1) if isinstance(self._axis, Mapping) else self._axis

    def _empty_copy(self) -> Running:
        choice: Any = self._choice
        return Running(choice, self.half_life, axis=self._axis, unit=self._unit, infinite=self._infinite)

    # One update.

    def _after(self, opened: Source) -> Seen:
        """What is known once these rows came too."""
        seen = self._seen
        if seen is None:
            _, stages, columns, wants = planned(opened, self._choice, self._axis, self._unit)
            axes = {c.name: -1 if c.features == (c.shape[-1] if c.shape else 1) else None for c in columns}
        else:
            stages, axes = dict(seen.stages), dict(seen.axes)
            if opened.bare != seen.profile.bare:
                kept = "one array" if seen.profile.bare else f"the columns {quoted(seen.profile)}"
                raise DataError(f"this Running keeps {kept}, got {opened.name}. Give batches of one kind.")
            columns = chosen_columns(opened, list(seen.profile), axes, self._unit)
            _check_same(columns, seen.profile.columns)
            wants = wanted(columns, stages)
        by_name = {column.name: column for column in opened.columns}
        rows = rows_per_shard([by_name[column.name] for column in columns])
        refused = frozenset(stages) if self._infinite == "error" else frozenset()
        measure = Measure(tuple(wants), refused, rows, opened.weight)
        if self._fading is None:
            small = opened.num_rows is not None and opened.num_rows <= rows
            total = Threads(1 if small else default_workers())(measure, opened.shards(list(stages)), _add)
            assert total is not None
            added = profile_of(NAME, opened.bare, columns, wants, total)
            return Seen(added if seen is None else of_one_source(seen.profile + added), stages, axes, None)
        return self._faded(seen, opened, measure, columns, stages, axes)

    def _faded(
        self,
        seen: Seen | None,
        opened: Source,
        measure: Measure,
        columns: list[Column],
        stages: Mapping[str, Stages],
        axes: Mapping[str, int | None],
    ) -> Seen:
        fading, weight = self._fading, opened.weight
        assert fading is not None
        total = measure.nothing() if seen is None else _as_measured(seen.profile)
        runs = None if seen is None else seen.runs
        runs = runs or Runs.nothing(total.statistics[Extremes].features)
        measure = dataclasses.replace(measure, weight=WEIGHT)
        digest = hashlib.sha256(total.digest.encode())
        for shard in opened.shards(list(stages)):
            digest.update(shard.fingerprint.encode("utf-8", "surrogatepass"))
            for batch in shard():
                num_rows = len(next(iter(batch.values())))
                given = None if weight is None else check_weight(batch[weight], num_rows)

                def piece(
                    start: int, stop: int, batch: Any = batch, given: Any = given, place: str = shard.name
                ) -> Any:
                    part = {name: array[start:stop] for name, array in batch.items()}
                    part[WEIGHT] = fading.weights(stop - start) * (1.0 if given is None else given[start:stop])
                    return measure.of(part, place, start)

                for after, new in fading.measured(total.num_rows, num_rows, piece):
                    runs = runs.and_then((after - 1) // fading.run, extremes_in(new.statistics))
                    statistics = {
                        kind: runs.whole() if kind is Extremes else fading.add(old, new.statistics[kind], new.num_rows)
                        for kind, old in total.statistics.items()
                    }
                    total = Measured(after, total.num_shards, statistics, "")
            total = dataclasses.replace(total, num_shards=total.num_shards + 1)
        total = dataclasses.replace(total, digest=digest.hexdigest())
        widest = columns if seen is None else wider(seen.profile.columns, tuple(columns))
        return Seen(profile_of(NAME, opened.bare, widest, measure.wants, total), stages, axes, runs)

    def _settled(self, profile: Profile) -> Profile:
        """With the sketches as techniques ask them."""
        assert self._fading is not None
        finite = {
            place: gathering.statistic.finite[slice(*span)]
            for gathering in profile.gatherings
            if isinstance(gathering.statistic, Count)
            for place, span in gathering.places.items()
        }
        rows, fading = profile.num_rows, self._fading

        def settled(gathering: Gathering) -> Gathering:
            count = np.concatenate([finite[part.column, part.via, part.through] for part in gathering.parts])
            return Gathering(gathering.parts, fading.settled(gathering.statistic, count, rows))

        return dataclasses.replace(profile, gatherings=tuple(map(settled, profile.gatherings)))


def _add(a: Measured, b: Measured) -> Measured:
    return a + b


def of_one_source(profile: Profile) -> Profile:
    """With one line on where it came from, or a stream's would grow for ever."""
    lines = profile.provenance
    digest = hashlib.sha256("".join(one.fingerprint for one in lines).encode()).hexdigest()
    whole = Provenance(NAME, profile.num_rows, sum(one.num_shards for one in lines), digest)
    return dataclasses.replace(profile, provenance=(whole,))


def _as_measured(profile: Profile) -> Measured:
    (line,) = profile.provenance
    statistics = {type(one.statistic): one.statistic for one in profile.gatherings}
    return Measured(profile.num_rows, line.num_shards, statistics, line.fingerprint)


def _check_same(columns: list[Column], kept: tuple[Column, ...]) -> None:
    for new, old in zip(columns, kept, strict=True):
        if new.features != old.features or len(new.shape) != len(old.shape):
            raise DataError(
                f"column {quoted([new.name])}: this Running keeps {_shape(old)}, got {_shape(new)}. "
                "Give batches of one shape, or begin a new Running."
            )


def _shape(column: Column) -> str:
    return "single numbers" if column.scalar else f"rows of shape {column.shape}".replace("None", "?")


def _refuse_unsolvable(choice: Mapping[str, Stages]) -> None:
    """A chain that no statistics of one pass can solve is refused before the first batch, by solving it for no rows."""
    keyed = [stage for stages in choice.values() for stage in stages if stage.grouping]
    if keyed:
        raise ChoiceError(
            f"{keyed[0]}: statistics by key are not kept running. Keep a Running for every key, or fit anew."
        )
    columns = [Column(name, "float64", (), 1) for name in choice]
    wants = wanted(columns, choice)
    nothing = Measure(tuple(wants), frozenset(), 1, None).nothing()
    solved(profile_of(NAME, False, columns, wants, nothing), choice)
