"""Running statistics inside a model: gathered while it trains, applied where it predicts, saved with it.

The one law: what the layer knows after some training batches is what `tfnorm.Running` knows of the same rows, and it applies the
same maps.

Statistics are non-trainable float64 weights (`tfnorm.tensors` gathers them), so an offset a million times the spread costs no
digits in ten million steps. A technique's formula is that of NumPy, traced (`tfnorm.traced`).
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from tfnorm import artefact, maps, tensors
from tfnorm.errors import ChoiceError, DataError
from tfnorm.fading import WINDOW, Fading, Runs
from tfnorm.fitting import split, wanted
from tfnorm.gather import Measured, Want, profile_of
from tfnorm.layer import Shape, listed, quoted
from tfnorm.profile import Column
from tfnorm.running import NAME, Memory, Running
from tfnorm.sources import BARE
from tfnorm.statistics import Count, Extremes, Moments, Statistic
from tfnorm.techniques import Choosable, Stages, parse
from tfnorm.traced import refuse_unkept, solved, statistics_of, tensor_of

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

    technique, half_life, axis: as for `tfnorm.Running`; with what was seen, it is made by `running.layer()`. A layer keeps
        counts, moments and extremes, hence `standard`, `center`, `minmax`, `maxabs`, `mean_range`, `pareto`, `vast`, `tanh`,
        `sigmoid`, `impute`, and chains such as `"standard, clip(-10, 10)"`. What needs quantiles (`robust`) is refused: keep a
        `tfnorm.Running` outside of the model and put `running.freeze().layer()` into it.

    Shapes: a tensor of any shape with samples first, or a dict of columns, of which those chosen are normalized. A mask
    (`mask=`, or Keras' own) leaves steps out; a sample without any step does not count as a row.

    In inference nothing changes. Before the first update, a call that can tell (eager) is an error, and one that cannot (in a
    graph: `predict`) gives NaN. Training stops updating with `layer.freeze()`, at once, even in compiled functions and saved with
    the model, until `unfreeze()`; or with `trainable = False`, which Keras sees when it compiles.

    Missing values are left out, and so are infinite ones and those outside a map's domain, since a graph cannot raise.
    Statistics are float64 (on JAX only if x64 is enabled). Input is computed in float32 or, where it is float64 or wide integers,
    in float64; the result has the policy's compute dtype. `Model.fit` casts float64 *arrays* to `keras.config.floatx()` first.

    `layer.running()` gives the statistics back: to save apart, to go on with, or, by `layer.running().freeze().layer()`, as an
    ordinary `Normalize` that no training moves. A clone of the model begins with what the layer knows. Statistics of several
    replicas are not added up: use it on one device.

    Errors: ChoiceError (a technique that a layer cannot keep), DataError (shapes; nothing seen), ArtefactError (no such config).

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
            start = Running(_unpaired(technique), half_life, axis=_unpaired(axis))
        self._start, self._begins_frozen = start, bool(frozen)
        self._fading = None if start.half_life is None else Fading(start.half_life)
        self._axis = _unpaired(axis)
        named = start.technique if isinstance(start.technique, dict) else {"": start.technique}
        for name, text in named.items():
            refuse_unkept(parse(text), f"column {quoted(name)}: " if name else "")
        self._state: _State | None = None
        self._has_seen = False  # as far as an eager call has found out
        self.supports_masking = True

    @classmethod
    def of(cls, running: Running, **kwargs: Any) -> RunningNormalize:
        """A layer that goes on from what `running` has seen, and apart from it."""
        seen = artefact.dumps(running).decode() if running.num_rows else None
        return cls(running.technique, running.half_life, axis=running.axis, seen=seen, **kwargs)

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
            "seen": artefact.dumps(running).decode() if running.num_rows else None,
            "frozen": self.frozen,
        }

    def build(self, input_shape: Any) -> None:
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
                    slice(*one.places[want.column.name, want.via])
                    for one in self._start.profile.gatherings
                    if isinstance(one.statistic, Extremes)
                )
                each = memory.runs.extremes
                extremes = np.stack([each.minimum[:, place], each.maximum[:, place]], axis=1)
                newest = memory.runs.newest[place]
        arrays = {"counts": counts, "moments": moments, "extremes": extremes, "newest": newest}
        return _Kept(want, *(self._weight(f"part{index}_{name}", array) for name, array in arrays.items()))

    def _weight(self, name: str, array: np.ndarray) -> Tensor:
        fixed = {"trainable": False, "autocast": False, "name": name}
        weight = self.add_weight(array.shape, initializer=lambda *_, **__: array, dtype=str(array.dtype), **fixed)
        setattr(self, f"_{name}", weight)  # as TensorFlow finds it when it saves
        return weight

    def call(self, inputs: Tensor, training: Any = False, mask: Any = None) -> Tensor:
        state = self._state
        assert state is not None
        came = self._named(inputs)
        masks = {BARE: mask} if state.bare else mask or {}
        updates = bool(training) and bool(self.trainable)
        batch = self._batch(came, masks) if updates else None
        if not updates:
            self._refuse_unseen()
        statistics: dict[str, dict[type[Statistic], Any]] = {}
        for kept in state.kept:
            x = came[kept.want.column.name]
            now = self._updated(kept, x, masks.get(kept.want.column.name), batch) if batch else kept.weights()
            statistics[kept.want.column.name] = statistics_of(
                now[1], now[2]
            )  # the last is that after the maps that need none
        if batch:
            self._rows.assign(ops.where(self._frozen, self._rows, batch.rows + batch.added))
        results = {name: self._mapped(name, came[name], found) for name, found in statistics.items()}
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
            _check(kept.want.column, tuple(named[kept.want.column.name].shape))
        return named

    def _batch(self, came: Mapping[str, Tensor], masks: Mapping[str, Any]) -> _Batch:
        assert self._state is not None
        first = came[next(iter(self._state.stages))]
        present = ops.ones((ops.shape(first)[0],), dtype="bool")
        given = [masks[name] for name in self._state.stages if masks.get(name) is not None]
        if len(given) == len(self._state.stages):  # a row of which any column has something is a row
            rows = [ops.any(ops.reshape(ops.cast(one, "bool"), (ops.shape(one)[0], -1)), axis=1) for one in given]
            present = ops.any(ops.stack(rows), axis=0)
        position = ops.cumsum(ops.cast(present, "int64"))
        added, before = ops.sum(ops.cast(present, "int64")), ops.convert_to_tensor(self._rows)
        weight, run = ops.cast(present, "float64"), None
        if self._fading is not None:
            age = ops.cast(added - position, "float64")
            weight = weight * ops.power(ops.cast(0.5, "float64"), age / self._fading.half_life)
            run = (before + position - 1) // self._fading.run
        return _Batch(before, added, weight[:, None, None], run)

    def _updated(self, kept: _Kept, x: Tensor, mask: Any, batch: _Batch) -> tuple[Tensor, ...]:
        """A column's statistics with those of a batch, written to its weights unless it is frozen."""
        counts, moments, extremes, newest = map(ops.convert_to_tensor, kept.weights())
        x, features = ops.cast(ops.stop_gradient(x), "float64"), kept.want.column.features
        there = ops.ones_like(x, dtype="bool")
        if mask is not None:
            mask = ops.cast(mask, "bool")
            there = there & ops.reshape(mask, (*ops.shape(mask), *[1] * (len(x.shape) - len(mask.shape))))
        if kept.want.via:
            x = kept.want.step.forward(x, ops)
        x, there = (ops.reshape(one, (ops.shape(x)[0], -1, features)) for one in (x, there))
        there = there & (batch.weight > 0)
        counted = there & ops.isfinite(x)
        values = ops.where(counted, x, ops.zeros_like(x))
        gathered = tensors.moments_of(values, ops.where(counted, batch.weight, ops.zeros_like(x)))
        if self._fading is None or batch.run is None:
            extremes_after, newest_after = tensors.widest(extremes, x, counted), newest
        else:
            moments = tensors.faded(moments, batch.added, self._fading)
            extremes_after, newest_after = tensors.newest_runs(extremes, newest, x, counted, batch.run)
        after = counts + tensors.counts_of(x, there), tensors.merged(moments, gathered), extremes_after, newest_after
        before = map(ops.convert_to_tensor, kept.weights())
        after = tuple(ops.where(self._frozen, old, new) for old, new in zip(before, after, strict=True))
        for weight, value in zip(kept.weights(), after, strict=True):
            weight.assign(value)
        return after

    def _mapped(self, name: str, x: Tensor, statistics: Mapping[type[Statistic], Any]) -> Tensor:
        assert self._state is not None
        stages = self._state.stages[name]
        dtype = keras.backend.standardize_dtype(x.dtype)
        # what comes after a curve may take off much of what float32 rounded
        curved = bool(split(stages)[0]) and split(stages)[1] is not None
        double = curved or super().compute_dtype == "float64"
        precision = "float64" if double else maps.working_dtypes(dtype)[0]
        step = solved(stages, statistics).at(precision)
        step = step.with_arrays({key: ops.convert_to_tensor(tensor_of(one)) for key, one in step.arrays().items()})
        if not step.arrays():
            x = ops.cast(x, precision)
        y = maps.run(step, x, ops)
        unseen = ops.equal(self._rows, 0)
        y = ops.where(unseen, ops.full_like(y, np.nan), y)
        return ops.cast(y, self._result_dtype)

    def _refuse_unseen(self) -> None:
        """An error before the first update, where this call can tell."""
        if self._has_seen:
            return
        try:
            rows = int(_numbers(self._rows))
        except Exception:  # in a graph: each backend has its own error
            return
        if not rows:
            raise DataError(
                "this layer has seen no rows yet, so there is nothing to normalize by. Call it with training=True first "
                "(as model.fit does), or make it of a Running that has seen some: running.layer()."
            )
        self._has_seen = True


def _numbers(weight: Tensor) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(ops.convert_to_tensor(weight)))


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
