"""Running statistics inside a model: gathered while it trains, applied where it predicts, saved with it.

The one law: what the layer knows after some training batches is what `tfnorm.Running` knows of the same rows, and it applies the
same maps.

Statistics are non-trainable float64 weights (`tfnorm.layer.tensors` gathers them), so an offset a million times the spread
costs no digits in ten million steps. A technique's formula is that of NumPy, traced (`tfnorm.layer.traced`).
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from tfnorm import artefact, maps
from tfnorm.chains import split
from tfnorm.errors import ChoiceError, DataError
from tfnorm.fading import WINDOW, Fading, Runs
from tfnorm.fitting import wanted
from tfnorm.gather import profile_of
from tfnorm.layer import tensors
from tfnorm.layer.doubles import HOW, has_doubles
from tfnorm.layer.maps import listed, quoted
from tfnorm.layer.replicas import of_all_replicas
from tfnorm.layer.stored import is_stored, spread
from tfnorm.layer.traced import Traced, refuse_unkept, solved, statistics_of, tensor_of
from tfnorm.maps import Shape
from tfnorm.measuring import Measured, Want
from tfnorm.profile import Column
from tfnorm.running import NAME, Memory, Running
from tfnorm.sources import BARE
from tfnorm.statistics import Count, Extremes, Moments, Statistic
from tfnorm.techniques import Choosable, Stages, parse

Tensor = Any
_COUNTS = [field.name for field in dataclasses.fields(Count)]
_NONE = np.array([[np.inf], [-np.inf]])  # minimum and maximum of nothing


@dataclass(frozen=True)
class _Kept:
    """The statistics of a column, as it comes or after maps that need none, as weights."""

    want: Want
    counts: Tensor  # (6, features) int64, as Count's fields
    moments: Tensor  # (5, features) float64: weight, mean, and the second to fourth sum about it
    extremes: Tensor  # (runs, 2, features) float64: minimum and maximum of the newest runs, the oldest first
    newest: Tensor  # (features,) int64: the number of each feature's newest run, -1 for none

    def weights(self) -> tuple[Tensor, ...]:
        return self.counts, self.moments, self.extremes, self.newest


@dataclass(frozen=True)
class _State:
    """One object, since Keras walks into every collection that a layer holds."""

    stages: dict[str, Stages]  # column -> its techniques
    bare: bool
    kept: list[_Kept]


@dataclass(frozen=True)
class _Batch:
    """What of a batch concerns all its columns."""

    rows: Tensor  # () int64: how many there were before
    added: Tensor  # () int64: how many there are in it
    weight: Tensor  # (n, 1, 1) float64
    run: Tensor | None  # (n,) int64: with a half-life, in which run of rows each lies


@keras.saving.register_keras_serializable(package="tfnorm")
class RunningNormalize(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Normalizes by statistics that it gathers itself: of each batch it is called on with `training=True`, then by all so far.

    technique, half_life, axis, infinite: as for `tfnorm.Running`, but that a graph cannot raise: where infinite values are an
        "error" they are left out of the statistics and mapped as any number. With what was seen, it is made by
        `running.layer()`. A layer keeps counts, moments and extremes, hence `standard`, `center`, `minmax`, `maxabs`,
        `mean_range`, `pareto`, `vast`, `tanh`, `sigmoid`, `impute` (without marks), and chains such as
        `"standard, clip(-10, 10)"`. What needs quantiles (`robust`) is refused: keep a `tfnorm.Running` outside of the model
        and put `running.freeze().layer()` into it.

    Shapes: a tensor of any shape with samples first, or a dict of columns, of which those chosen are normalized. A mask
    (`mask=`, or Keras' own) leaves steps out, which come out as 0; a sample without any step does not count as a row.

    In inference nothing changes. Before the first update, a call that can tell (eager) is an error, and one that cannot (in a
    graph: `predict`) gives NaN. Training stops updating with `layer.freeze()`, at once, even in compiled functions and saved with
    the model, until `unfreeze()`; or with `trainable = False`, which Keras sees when it compiles.

    Missing values are left out, and so are infinite ones and those outside a map's domain, since a graph cannot raise.
    Statistics are float64 (on JAX, x64 must be enabled). Input is computed in float32 or, where it is float64 or wide integers,
    in float64; the result has the policy's compute dtype. `Model.fit` casts float64 *arrays* to `keras.config.floatx()` first.

    `layer.running()` gives the statistics back: to save apart, to go on with, or, by `layer.running().freeze().layer()`, as an
    ordinary `Normalize` that no training moves. A clone of the model begins with what the layer knows. Under
    `tf.distribute.MirroredStrategy` every replica sees the rows of all, in their order, so that all know the same.

    Errors: ChoiceError (a technique that a layer cannot keep; no 64-bit numbers), DataError (shapes; nothing seen),
    ArtefactError (no such config).

    >>> layer = RunningNormalize("standard")
    >>> layer(np.array([[1.0], [3.0]], "float32"), training=True).numpy().tolist()
    [[-1.0], [1.0]]
    >>> layer(np.array([[5.0]], "float32")).numpy().tolist()
    [[3.0]]

    Keras' BatchNormalization, whose moving averages forget by a fixed factor a batch; asked for as an online Normalization layer.
    """

    def __init__(
        self,
        technique: Choosable | Mapping[str, Choosable] | Sequence[Any] = "standard",
        half_life: float | None = None,
        *,
        axis: Any = -1,
        infinite: Literal["error", "missing"] = "error",
        seen: str | None = None,
        frozen: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        if seen is not None:
            start = artefact.loads(seen.encode())
            if not isinstance(start, Running):
                raise ChoiceError(f"seen must be what a Running wrote, got a {type(start).__name__}.")
        else:
            start = Running(_unpaired(technique), half_life, axis=_unpaired(axis), infinite=infinite)
        self._start, self._begins_frozen = start, bool(frozen)
        self._fading = None if start.half_life is None else Fading(start.half_life)
        self._axis = _unpaired(axis)
        named = start.technique if isinstance(start.technique, dict) else {"": start.technique}
        for name, text in named.items():
            refuse_unkept(parse(text), f"column {quoted(name)}: " if name else "")
        self._state: _State | None = None
        self.supports_masking = True

    @classmethod
    def of(cls, running: Running, **kwargs: Any) -> RunningNormalize:
        """A layer that goes on from what `running` has seen, and apart from it."""
        seen = artefact.dumps(running).decode() if running.num_rows else None
        known = {"axis": running.axis, "infinite": running.infinite, "seen": seen}
        return cls(running.technique, running.half_life, **known, **kwargs)

    @property
    def technique(self) -> str | dict[str, str]:
        """The choice as text."""
        return self._start.technique

    @property
    def half_life(self) -> float | None:
        """In rows; None for never."""
        return self._start.half_life

    @property
    def num_rows(self) -> int:
        """How many rows were seen."""
        return self._start.num_rows if self._state is None else int(_numbers(self._rows))

    @property
    def frozen(self) -> bool:
        """Whether training leaves the statistics as they are."""
        return self._begins_frozen if self._state is None else bool(_numbers(self._frozen))

    def freeze(self) -> None:
        """Stop updating, in functions compiled before, too."""
        self._set_frozen(True)

    def unfreeze(self) -> None:
        """Go on updating."""
        self._set_frozen(False)

    def _set_frozen(self, frozen: bool) -> None:
        self._begins_frozen = frozen
        if self._state is not None:
            self._frozen.assign(frozen)

    @property
    def compute_dtype(self) -> str:
        """The narrowest type in which *raw* data may arrive (see `Normalize.compute_dtype`); results have the policy's."""
        return "float64" if super().compute_dtype == "float64" else "float32"

    @property
    def _result_dtype(self) -> str:
        return str(super().compute_dtype)

    def get_config(self) -> dict[str, Any]:
        running = self.running()
        technique = self.technique
        return {
            **super().get_config(),
            "technique": technique if isinstance(technique, str) else _paired(technique),
            "half_life": self.half_life,
            "axis": _paired(self._axis) if isinstance(self._axis, Mapping) else self._axis,
            "infinite": self._start.infinite,
            "seen": artefact.dumps(running).decode() if running.num_rows else None,
            "frozen": self.frozen,
        }

    def build(self, input_shape: Any) -> None:
        if not has_doubles():
            raise ChoiceError(f"this layer keeps its statistics in 64-bit numbers. {HOW}")
        bare = not isinstance(input_shape, Mapping)
        shapes: dict[str, Shape] = {BARE: tuple(input_shape)} if bare else {k: tuple(v) for k, v in input_shape.items()}
        if self._start.num_rows:
            columns, stages = self._start.profile.columns, dict(self._start.stages)
            if self._start.profile.bare != bare:
                known = "one array" if not bare else f"the columns {listed(self._start.columns)}"
                raise DataError(f"this layer keeps {known}, got {'one tensor' if bare else listed(shapes)}")
        else:
            technique = self._start.technique
            names = list(technique) if isinstance(technique, dict) else list(shapes)
            stages = {name: parse(technique[name] if isinstance(technique, dict) else technique) for name in names}
            columns = tuple(self._column(name, shapes) for name in names)
        missing = [column.name for column in columns if column.name not in shapes]
        if missing:
            raise DataError(f"columns missing: {listed(missing)}. The input has {listed(shapes)}; pass them all")
        for column in columns:
            _check(column, shapes[column.name])
        self._rows = self._weight("rows", np.array(self._start.num_rows, np.int64))
        self._frozen = self._weight("frozen", np.array(self._begins_frozen))
        kept = [self._kept(i, want) for i, want in enumerate(wanted(columns, stages))]
        self._state = _State(stages, bare, kept)
        self.built = True

    def _column(self, name: str, shapes: Mapping[str, Shape]) -> Column:
        if name not in shapes:
            raise DataError(f"columns missing: {listed([name])}. The input has {listed(shapes)}; pass them all")
        shape = shapes[name]
        axis = self._axis.get(name, -1) if isinstance(self._axis, Mapping) else self._axis
        features = shape[-1] if axis == -1 and len(shape) > 1 else 1
        if features is None:
            raise DataError(
                f"column {quoted(name)}: its last length must be known, got shape {shape}. Or take axis=None"
            )
        return Column(name, "float32", shape[1:], features)

    def _kept(self, index: int, want: Want) -> _Kept:
        features, runs = want.column.features, 1 if self._fading is None else WINDOW + 1
        counts, moments = np.zeros((len(_COUNTS), features), np.int64), np.zeros((5, features))
        extremes, newest = np.tile(_NONE, (runs, 1, features)), np.full(features, -1)
        if self._start.num_rows:
            found: dict[Any, Any] = {
                kind: self._start.profile.statistic(kind, want.column.name, want.via) for kind in want.kinds
            }
            counts = np.stack([getattr(found[Count], name) for name in _COUNTS])
            if Moments in found:
                moments = tensors.plain(found[Moments])
            memory = self._start.memory()
            if memory.runs is None:
                extremes[0] = found[Extremes].minimum, found[Extremes].maximum
            else:
                (place,) = (
                    slice(*one.places[want.column.name, want.via, want.through])
                    for one in self._start.profile.gatherings
                    if isinstance(one.statistic, Extremes)
                )
                each = memory.runs.extremes
                extremes = np.stack([each.minimum[:, place], each.maximum[:, place]], axis=1)
                newest = memory.runs.newest[place]
        arrays = {"counts": counts, "moments": moments, "extremes": extremes, "newest": newest}
        return _Kept(want, *(self._weight(f"part{index}_{name}", array) for name, array in arrays.items()))

    def _weight(self, name: str, array: np.ndarray) -> Tensor:
        fixed = {"trainable": False, "autocast": False, "aggregation": "only_first_replica", "name": name}
        weight = self.add_weight(array.shape, initializer=lambda *_, **__: array, dtype=str(array.dtype), **fixed)
        setattr(self, f"_{name}", weight)  # as TensorFlow finds it when it saves
        return weight

    def call(self, inputs: Tensor, training: Any = False, mask: Any = None) -> Tensor:
        state = self._state
        assert state is not None
        came = self._named(inputs)
        updates = bool(training) and bool(self.trainable)
        rows = _at_hand(self._rows)
        nothing = rows is not None and not rows and (not updates or self.frozen)
        if nothing and _at_hand(next(iter(came.values()))) is not None:  # else Keras only asks what would come out
            raise DataError(
                "this layer has seen no rows yet, so there is nothing to normalize by. Call it with training=True first "
                "(as model.fit does), or make it of a Running that has seen some: running.layer()."
            )
        masks = {BARE: mask} if state.bare else mask or {}
        known = self._updated(came, masks, rows) if updates else None
        results = {}
        for i, kept in enumerate(state.kept):  # of a column's, the last is that after the maps that need none
            now = known[i] if known else kept.weights()
            results[kept.want.column.name] = statistics_of(*(_or_at_hand(one) for one in now[1:3]))
        results = {name: self._mapped(name, came[name], found, masks.get(name)) for name, found in results.items()}
        return results[BARE] if state.bare else {**inputs, **results}

    def compute_output_spec(self, inputs: Tensor, training: Any = None, mask: Any = None) -> Any:  # noqa: ARG002
        assert self._state is not None
        dtype = self._result_dtype
        if self._state.bare:
            return keras.KerasTensor(inputs.shape, dtype)
        return {
            name: keras.KerasTensor(x.shape, dtype if name in self._state.stages else x.dtype)
            for name, x in self._named(inputs).items()
        }

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def running(self) -> Running:
        """What the layer knows, as a `tfnorm.Running` that goes on apart from it."""
        if self._state is None or not self.num_rows:
            return copy.deepcopy(self._start)
        state = self._state
        found: dict[type[Statistic], list[Any]] = {}
        runs = []
        for kept in state.kept:
            counts, moments, extremes, newest = map(_numbers, kept.weights())
            own = {Count: Count(*counts.astype(np.int64)), Moments: tensors.with_units(moments.astype(np.float64))}
            zero = np.zeros_like(extremes[:, 0], np.float64)
            each = Extremes(extremes[:, 0].astype(np.float64), zero, extremes[:, 1].astype(np.float64), zero)
            runs.append(Runs(newest.astype(np.int64), each))
            for kind in kept.want.kinds:
                found.setdefault(kind, []).append(None if kind is Extremes else own[kind])
        joined = Runs(
            np.concatenate([one.newest for one in runs]),
            Extremes(
                *(
                    np.concatenate([getattr(one.extremes, field.name) for one in runs], axis=1)
                    for field in dataclasses.fields(Extremes)
                )
            ),
        )
        statistics = {kind: joined.whole() if kind is Extremes else kind.join(parts) for kind, parts in found.items()}
        digest = hashlib.sha256(b"".join(_numbers(one).tobytes() for one in self.weights)).hexdigest()
        columns = tuple({kept.want.column.name: kept.want.column for kept in state.kept}.values())
        total = Measured(self.num_rows, 1, statistics, digest)
        profile = profile_of(NAME, state.bare, columns, [kept.want for kept in state.kept], total)
        axes = tuple(-1 if c.features == (c.shape[-1] if c.shape else 1) else None for c in columns)
        memory = Memory(self.half_life, self._start.infinite, axes, None if self._fading is None else joined)
        return Running.restored(profile, state.stages, memory)

    def _named(self, inputs: Any) -> Mapping[str, Tensor]:
        """What came, by column, checked."""
        assert self._state is not None
        if self._state.bare == isinstance(inputs, Mapping):
            came = f"a dict of {listed(inputs)}" if isinstance(inputs, Mapping) else "one tensor"
            wants = "one tensor" if self._state.bare else f"a dict with the columns {listed(self._state.stages)}"
            raise DataError(f"this layer takes {wants}, got {came}")
        named = {BARE: inputs} if self._state.bare else inputs
        missing = [name for name in self._state.stages if name not in named]
        if missing:
            raise DataError(f"columns missing: {listed(missing)}. The input has {listed(named)}; pass them all")
        for kept in self._state.kept:
            name = kept.want.column.name
            if is_stored(named[name]):
                raise DataError(
                    f"column {quoted(name)}: this layer takes dense tensors, got a sparse or ragged one. Make it dense, or keep "
                    "a tfnorm.Running outside of the model"
                )
            if keras.backend.standardize_dtype(named[name].dtype) == "string":
                raise DataError(f"column {quoted(name)}: expected numbers, got string. Cast it, or leave it out")
            _check(kept.want.column, tuple(named[name].shape))
        return named

    def _updated(self, came: Mapping[str, Tensor], masks: Mapping[str, Any], rows: Any) -> list[tuple[Tensor, ...]]:
        """All columns' statistics with those of a batch, written to the weights unless they are frozen."""
        assert self._state is not None
        names = list(self._state.stages)
        came = {name: of_all_replicas(came[name]) for name in names}
        values = {name: _at_hand(came[name]) for name in names}
        covers = {name: of_all_replicas(masks[name]) for name in names if masks.get(name) is not None}
        xp: Any = np if rows is not None and all(one is not None for one in values.values()) else ops
        if xp is np:
            covers = {name: np.asarray(_numbers(mask)) for name, mask in covers.items()}
        else:
            values = {name: ops.stop_gradient(came[name]) for name in names}
        now = _numbers if xp is np else ops.convert_to_tensor
        batch = self._batch(values[names[0]], covers, now(self._rows), xp)
        frozen, after = now(self._frozen), []
        with np.errstate(all="ignore"):  # values outside a map's domain, and infinite ones, are left out
            for kept in self._state.kept:
                name = kept.want.column.name
                before = tuple(map(now, kept.weights()))
                added = self._added(kept, before, values[name], covers.get(name), batch, xp)
                after.append(tuple(xp.where(frozen, old, new) for old, new in zip(before, added, strict=True)))
                for weight, value in zip(kept.weights(), after[-1], strict=True):
                    weight.assign(value)
        self._rows.assign(xp.where(frozen, batch.rows, batch.rows + batch.added))
        return after

    def _batch(self, first: Tensor, masks: Mapping[str, Tensor], rows: Tensor, xp: Any) -> _Batch:
        assert self._state is not None
        number = xp.shape(first)[0]
        present = xp.ones((number,), dtype="bool")
        if len(masks) == len(self._state.stages):  # a row of which any column has something is a row
            flat = (tensors.cast(xp.reshape(mask, (number, -1)), "bool", xp) for mask in masks.values())
            present = xp.any(xp.stack([xp.any(mask, axis=1) for mask in flat]), axis=0)
        counted = tensors.cast(present, "int64", xp)
        position, added = xp.cumsum(counted), xp.sum(counted)
        weight, run = tensors.cast(present, "float64", xp), None
        if self._fading is not None:
            weight = weight * tensors.halved(added - position, self._fading.half_life, xp)
            run = (rows + position - 1) // self._fading.run
        return _Batch(rows, added, weight[:, None, None], run)

    def _added(
        self, kept: _Kept, before: tuple[Tensor, ...], x: Tensor, mask: Any, batch: _Batch, xp: Any
    ) -> tuple[Tensor, ...]:
        """A column's statistics, and those of the batch with them."""
        counts, moments, extremes, newest = before
        x = tensors.cast(x, "float64", xp)
        there = xp.ones_like(x, dtype="bool")
        if mask is not None:
            mask = tensors.cast(mask, "bool", xp)
            there = there & xp.reshape(mask, (*xp.shape(mask), *[1] * (len(x.shape) - len(mask.shape))))
        if kept.want.via:
            x = kept.want.step.forward(x, xp)
        several = int(np.prod(x.shape[1:])) // kept.want.column.features if None not in x.shape[1:] else -1
        x, there = (xp.reshape(one, (xp.shape(x)[0], several, kept.want.column.features)) for one in (x, there))
        there = there & (batch.weight > 0)
        counted = there & xp.isfinite(x)
        nothing = xp.zeros_like(x)
        gathered = tensors.moments_of(xp.where(counted, x, nothing), xp.where(counted, batch.weight, nothing), xp)
        if self._fading is None or batch.run is None:
            extremes = tensors.widest(extremes, x, counted, xp)
        else:
            moments = tensors.faded(moments, batch.added, self._fading.half_life, xp)
            extremes, newest = tensors.newest_runs(extremes, newest, x, counted, batch.run, xp)
        return counts + tensors.counts_of(x, there, xp), tensors.merged(moments, gathered, xp), extremes, newest

    def _mapped(
        self, name: str, x: Tensor, statistics: Mapping[type[Statistic], Any], mask: Tensor | None = None
    ) -> Tensor:
        assert self._state is not None
        stages = self._state.stages[name]
        dtype = keras.backend.standardize_dtype(x.dtype)
        # what comes after a curve may take off much of what float32 rounded
        curved = bool(split(stages)[0]) and split(stages)[1] is not None
        double = curved or super().compute_dtype == "float64"
        precision = "float64" if double else maps.working_dtypes(dtype)[0]
        in_graph = isinstance(statistics[Moments].mean, Traced)
        step = solved(stages, statistics).at(precision)
        step = step.with_arrays({key: ops.convert_to_tensor(tensor_of(one)) for key, one in step.arrays().items()})
        if self._start.infinite == "missing" and "float" in dtype:
            x = ops.where(ops.isinf(x), ops.zeros_like(x) + np.nan, x)
        if not step.arrays():
            x = ops.cast(x, precision)
        there = None if mask is None else spread(mask, x)
        y = maps.run(step, x, ops, there=None if step.elementwise else there)
        if there is not None:  # padding stays harmless, whatever it was
            y = ops.where(there, y, ops.zeros_like(y))
        if in_graph:  # an eager call would have been refused
            y = ops.where(ops.equal(self._rows, 0), ops.zeros_like(y) + np.nan, y)
        return ops.cast(y, self._result_dtype)


def _numbers(tensor: Tensor) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(ops.convert_to_tensor(tensor)))


def _at_hand(tensor: Tensor) -> np.ndarray | None:
    """The numbers of a tensor; None in a graph, where they are not known yet."""
    try:
        return _numbers(tensor)
    except Exception:  # each backend has its own error
        return None


def _or_at_hand(tensor: Tensor) -> Tensor:
    """The numbers where they are at hand, else the tensor."""
    numbers = tensor if isinstance(tensor, np.ndarray) else _at_hand(tensor)
    return ops.convert_to_tensor(tensor) if numbers is None else numbers


def _check(column: Column, shape: Shape) -> None:
    width = shape[-1] if len(shape) > 1 else 1
    if not shape or (column.features != 1 and width not in (column.features, None)):
        came = f"keeps {column.features} features a row, got shape {shape}"
        raise DataError(f"column {quoted(column.name)}: this layer {came}. Give rows of that width, samples first")


def _paired(named: Mapping[str, Any]) -> list[list[Any]]:
    """As pairs, since a column called "class_name" would make a dict look like one of Keras' own objects."""
    return [[name, value] for name, value in named.items()]


def _unpaired(value: Any) -> Any:
    pairs = isinstance(value, list | tuple) and value and all(isinstance(one, list) and len(one) == 2 for one in value)
    return dict(value) if pairs else value
