"""Scan, Fit and Transform as PTransforms.

The one law: what leaves a worker is JSON in the format of artefacts, checked when it is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from tfnorm.artefact import dumps, load, loads
from tfnorm.beam.elements import PLACE, is_arrow, mapped, tables_of
from tfnorm.beam.partial import Asked, Partial, of_table
from tfnorm.beam.plan import FAN, Numbered, Plan, measured
from tfnorm.errors import ChoiceError, DataError
from tfnorm.fitted import Fitted
from tfnorm.fitting import fit
from tfnorm.gather import finished, refuse_weightless
from tfnorm.maps import mark_name
from tfnorm.profile import Profile, Provenance
from tfnorm.states import digest
from tfnorm.unseen import key_columns

try:
    import apache_beam as beam
    from apache_beam.transforms.window import GlobalWindows
    from apache_beam.utils.windowed_value import WindowedValue
except ImportError as error:
    raise ImportError(
        f"tfnorm.beam: needs {error.name or 'apache_beam'}, which is not there: pip install 'tfnorm[beam]'."
    ) from error

TABLE_ROWS = 4096  # elements that become a table
CHUNK_ROWS, CHUNK_BYTES = 1 << 18, 1 << 26  # that are measured at once
METRICS = "tfnorm"  # Beam's namespace of what policies did
FANOUT = 16  # adders of partial profiles before the last one


class ArtefactCoder(beam.coders.Coder):
    """Profiles and fits between workers: in the format in which they are saved."""

    def encode(self, value: Any) -> bytes:
        return dumps(value)

    def decode(self, encoded: bytes) -> Any:
        return loads(encoded)

    def is_deterministic(self) -> bool:
        return True

    def to_type_hint(self) -> Any:
        return Any


class PartialCoder(beam.coders.Coder):
    """Partial profiles between workers."""

    def encode(self, value: Partial | None) -> bytes:
        return b"" if value is None else value.dumps()

    def decode(self, encoded: bytes) -> Partial | None:
        return Partial.loads(encoded) if encoded else None

    def to_type_hint(self) -> Any:
        return Any


for _type, _coder in ((Profile, ArtefactCoder), (Fitted, ArtefactCoder), (Partial, PartialCoder)):
    beam.coders.registry.register_coder(_type, _coder)


def as_text(value: Profile | Fitted) -> str:
    """What `save` writes, for `beam.io.WriteToText`; `tfnorm.load` opens it."""
    return dumps(value).decode().rstrip("\n")


def fired(result: Any) -> Counter[tuple[str, str]]:
    """What policies did in a pipeline, as `fitted.fired` counts it: (column, policy) -> values, of all its transforms.

    result: what `pipeline.run()` gives.

    >>> import apache_beam as beam, tfnorm
    >>> fitted = tfnorm.fit({"age": [22.0, 38.0]}, "minmax", out_of_range="clip")
    >>> pipeline = beam.Pipeline("FnApiRunner")
    >>> _ = pipeline | beam.Create([{"age": 22.0}, {"age": 90.0}]) | Transform(fitted)
    >>> fired(pipeline.run())
    Counter({('age', 'out_of_range'): 1})
    """
    counted = result.metrics().query(beam.metrics.MetricsFilter().with_namespace(METRICS))["counters"]
    total: Counter[tuple[str, str]] = Counter()
    for one in counted:
        policy, _, name = one.key.metric.name.partition(": ")
        total[name, policy] += int(one.result or 0)
    return total


class Scan(beam.PTransform):
    """Every marginal statistic of every numeric column, in one pass: a PCollection with one element, the `tfnorm.Profile`.

    Applied to a PCollection of
    - dicts, rows (`beam.Row`, named tuples) or Arrow tables and batches: what `tfnorm.scan` knows of the same rows. They have no
      order, so that counts and extremes are exact, quantiles within the sketch's bounds, and moments to rounding. Of other
      windows than the global one: a profile for each, of rows that came;
    - paths and patterns (of type str): what `tfnorm.scan` knows of these files in sorted order, bit for bit. The same applied to
      a pipeline, with files= as `tfnorm.scan` takes them.

    columns, axis, unit, weight, absent, on_error: as for `tfnorm.scan`.

    Errors, as DataError in the worker's: a column of text in one element and of numbers in another, one that is not in every
    element (None is missing, and absent="missing" takes named columns that lack as None), vectors of other lengths.

    >>> import apache_beam as beam
    >>> with beam.Pipeline("FnApiRunner") as pipeline:
    ...     rows = pipeline | beam.Create([{"age": 22.0}, {"age": 38.0}, {"age": None}])
    ...     _ = rows | Scan() | beam.Map(lambda profile: print(profile["age"].mean))
    30.0
    """

    def __init__(
        self,
        files: Any = None,
        *,
        columns: str | Sequence[str] | None = None,
        axis: Any = -1,
        unit: Any = None,
        weight: str | None = None,
        absent: Any = "error",
        on_error: Any = "raise",
    ) -> None:
        super().__init__()
        named = (columns,) if isinstance(columns, str) else None if columns is None else tuple(columns)
        self._gathered = _Gathered(Asked(None, named, axis, unit, weight, "missing", absent), files, on_error)

    def expand(self, pcoll: Any) -> Any:
        return pcoll | self._gathered


class Fit(beam.PTransform):
    """`tfnorm.fit` of a PCollection, or of files: a PCollection with one element, the `tfnorm.Fitted`.

    choice: as for `tfnorm.fit`, where one pass tells all that it needs; else ChoiceError.
    policies: constant, missing, infinite, out_of_range and share, as for `tfnorm.fit`.
    The rest as for `Scan`.

    >>> import apache_beam as beam
    >>> with beam.Pipeline("FnApiRunner") as pipeline:
    ...     rows = pipeline | beam.Create([{"age": 22.0}, {"age": 38.0}])
    ...     _ = rows | Transform(rows | Fit("minmax")) | beam.Map(print)
    {'age': 0.0}
    {'age': 1.0}
    """

    def __init__(
        self,
        choice: Any = "standard",
        files: Any = None,
        *,
        axis: Any = -1,
        unit: Any = None,
        weight: str | None = None,
        absent: Any = "error",
        on_error: Any = "raise",
        infinite: Any = "error",
        **policies: Any,
    ) -> None:
        super().__init__()
        asked = Asked(choice, None, axis, unit, weight, infinite, absent)
        self._gathered = _Gathered(asked, files, on_error)
        self._choice, self._policies = choice, {"infinite": infinite, **policies}

    def expand(self, pcoll: Any) -> Any:
        solve = beam.Map(fit, self._choice, **self._policies).with_output_types(Fitted)
        return pcoll | self._gathered | "solve" >> solve


class Transform(beam.PTransform):
    """Each element with its fitted columns on the normalized scale, of the kind that came: dict, row, Arrow table or batch.

    fitted: a `tfnorm.Fitted`, the path of a saved one, or a PCollection with one element, as `Fit` gives it.
    inverse: back to real units instead.

    What policies did is counted as metrics of Beam, which `tfnorm.beam.fired(pipeline.run())` reads, and not in `fitted.fired`.

    Elements are mapped in batches, and keep their times and windows; those of a bundle keep their order. Rows may hold more
    fields afterwards (the marks of `impute(indicator=True)`); named tuples then become `beam.Row`.
    """

    def __init__(self, fitted: Any, *, inverse: bool = False) -> None:
        super().__init__()
        if not isinstance(fitted, Fitted | beam.pvalue.PCollection):
            fitted = load(fitted)
            if not isinstance(fitted, Fitted):
                raise ChoiceError(f"expected a fit, got a saved {type(fitted).__name__}. Save what tfnorm.fit gives.")
        self._fitted, self._inverse = fitted, inverse

    def expand(self, pcoll: Any) -> Any:
        if isinstance(self._fitted, Fitted):
            return pcoll | beam.ParDo(_Mapped(dumps(self._fitted), self._inverse))
        return pcoll | beam.ParDo(_Mapped(None, self._inverse), fitted=beam.pvalue.AsSingleton(self._fitted))


class _Gathered(beam.PTransform):
    """Elements or files to the one profile of them."""

    def __init__(self, asked: Asked, files: Any, on_error: Any) -> None:
        super().__init__()
        if asked.weight is not None and not isinstance(asked.weight, str):
            raise ChoiceError(f"weight: expected the name of a column, got {type(asked.weight).__name__}.")
        self._asked, self._files, self._on_error = asked, files, on_error

    def expand(self, pcoll: Any) -> Any:
        if isinstance(pcoll, beam.pvalue.PBegin | beam.Pipeline) != (self._files is not None):
            raise ChoiceError("files= is for a pipeline, and a PCollection is the data itself. Say one of both.")
        if self._files is not None:
            paths = [str(path) for path in ([self._files] if isinstance(self._files, str) else _listed(self._files))]
            return self._of_files(pcoll | "paths" >> beam.Create([paths]))
        if pcoll.element_type is str:
            return self._of_files(pcoll | beam.combiners.ToList() | beam.Map(sorted))
        if self._on_error != "raise":
            raise ChoiceError('on_error="skip" is for files, and these are elements. Leave it out.')
        everywhere = pcoll.windowing.windowfn == GlobalWindows()
        add = beam.CombineGlobally(_Added(self._asked)).with_fanout(FANOUT)
        partials = pcoll | "measure" >> beam.ParDo(_Measured(self._asked)).with_output_types(Partial)
        added = partials | "add" >> (add if everywhere else add.without_defaults())
        return added | "finish" >> beam.Map(_finished).with_output_types(Profile)

    def _of_files(self, lists: Any) -> Any:
        plans = lists | "plan" >> beam.Map(Plan.of, self._asked, self._on_error, self._asked.absent)
        plan = beam.pvalue.AsSingleton(plans)
        runs = plans | "runs" >> beam.FlatMap(Plan.tasks) | beam.Reshuffle()
        states = runs | "measure" >> beam.MapTuple(measured)
        for level in ("fold", "fold all"):
            keyed = states | f"{level}: by branch" >> beam.Map(_by_branch) | f"{level}: together" >> beam.GroupByKey()
            states = keyed | level >> beam.Map(lambda group, plan: plan.folded(*group), plan)
        whole = lists.pipeline | "once" >> beam.Create([None])
        found = beam.pvalue.AsIter(states)
        return whole | "finish" >> beam.Map(_whole, plan, found).with_output_types(Profile)


def _listed(files: Any) -> list[Any]:
    return list(files) if isinstance(files, list | tuple) else [files]


def _by_branch(numbered: Numbered) -> tuple[int, Numbered]:
    return numbered[0] // FAN, numbered


def _whole(_: None, plan: Plan, states: Iterable[Numbered]) -> Profile:
    found = list(states)
    if len(found) > 1:
        raise DataError(f"{plan.source}: {len(found)} states where one was expected.")
    return plan.profile(found[0][1] if found else None)


def _finished(partial: Partial | None) -> Profile:
    if partial is None:
        raise DataError(f"{PLACE}: there are no rows to fit. Check where they come from.")
    profile = finished(partial.profile)
    refuse_weightless(profile)
    said = f"{PLACE}, {profile.num_rows} rows of " + ", ".join(f"{c.name}: {c.dtype}" for c in profile.columns)
    return Profile(
        *(profile.columns, profile.bare, profile.num_rows, profile.gatherings),
        (Provenance(PLACE, profile.num_rows, 1, digest(said)),),
        profile.keyed,
    )


class _Measured(beam.DoFn):
    """Elements of a bundle to one partial profile for each window."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def start_bundle(self) -> None:
        self._chunks: dict[Any, _Chunk] = {}

    def process(self, element: Any, window: Any = beam.DoFn.WindowParam) -> None:
        if window not in self._chunks:
            self._chunks[window] = _Chunk(self._asked)
        self._chunks[window].take(element)

    def finish_bundle(self) -> Iterator[Any]:
        for window, chunk in self._chunks.items():
            total = chunk.total()
            if total is not None:
                yield WindowedValue(total, window.max_timestamp(), (window,))
        self._chunks = {}


class _Chunk:
    """Elements that wait until there are enough of them, and what is known of those before."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._elements: list[Any] = []
        self._tables: list[Any] = []
        self._rows = self._bytes = 0
        self._total: Partial | None = None

    def take(self, element: Any) -> None:
        self._elements.append(element)
        if len(self._elements) == TABLE_ROWS or is_arrow(element):
            self._to_tables()
        if self._rows >= CHUNK_ROWS or self._bytes >= CHUNK_BYTES:
            self._measure()

    def total(self) -> Partial | None:
        self._measure()
        return self._total

    def _to_tables(self) -> None:
        if self._elements:
            tables = tables_of(self._elements, self._asked.names, absent=self._asked.absent == "missing")
            self._rows += sum(table.num_rows for table in tables)
            self._bytes += sum(table.nbytes for table in tables)
            self._tables += tables
            self._elements = []

    def _measure(self) -> None:
        import pyarrow as pa

        self._to_tables()
        tables, self._tables, self._rows, self._bytes = self._tables, [], 0, 0
        alike: dict[Any, list[Any]] = {}
        for table in tables:
            if table.num_rows:
                alike.setdefault(table.schema.remove_metadata(), []).append(table)
        for several in alike.values():
            partial = of_table(pa.concat_tables(several), self._asked)
            self._total = partial if self._total is None else self._total.add(partial, self._asked)


class _Added(beam.CombineFn):
    """Partial profiles added up; None is that of no rows."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def create_accumulator(self) -> Partial | None:
        return None

    def add_input(self, accumulator: Partial | None, element: Partial | None) -> Partial | None:
        if accumulator is None or element is None:
            return element if accumulator is None else accumulator
        return accumulator.add(element, self._asked)

    def merge_accumulators(self, accumulators: Iterable[Partial | None]) -> Partial | None:
        total: Partial | None = None
        for one in accumulators:
            total = self.add_input(total, one)
        return total

    def extract_output(self, accumulator: Partial | None) -> Partial | None:
        return accumulator

    def get_accumulator_coder(self) -> Any:
        return PartialCoder()


class _Mapped(beam.DoFn):
    """Elements mapped in batches."""

    def __init__(self, artefact: bytes | None, inverse: bool) -> None:
        self._artefact, self._inverse = artefact, inverse

    def setup(self) -> None:
        self._fitted: Fitted | None = None if self._artefact is None else loads(self._artefact)

    def start_bundle(self) -> None:
        self._waiting: list[tuple[Any, Any, Any]] = []

    def process(
        self,
        element: Any,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
        fitted: Fitted | None = None,
    ) -> Iterator[Any]:
        self._fitted = fitted or self._fitted
        self._waiting.append((element, timestamp, window))
        if len(self._waiting) >= TABLE_ROWS or is_arrow(element):
            yield from self._mapped()

    def finish_bundle(self) -> Iterator[Any]:
        yield from self._mapped()

    def _mapped(self) -> Iterator[Any]:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        assert self._fitted is not None
        fitted = replace(self._fitted, fired=Counter())  # other threads may have the same one
        names = [*fitted, *(mark_name(name) for name in fitted if self._inverse and fitted.maps[name].marks)]
        change = fitted.inverse if self._inverse else fitted.transform
        keys = [name for name in key_columns(fitted.maps.values()) if name not in fitted]
        done = mapped([element for element, _, _ in waiting], names, keys, change)
        for value, (_, timestamp, window) in zip(done, waiting, strict=True):
            yield WindowedValue(value, timestamp, (window,))
        for (name, policy), count in fitted.fired.items():
            beam.metrics.Metrics.counter(METRICS, f"{policy}: {name}").inc(count)
