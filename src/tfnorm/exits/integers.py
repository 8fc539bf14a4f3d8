"""A fit as a TFLite file of integers throughout: what goes in and comes out has 8 bits, what is between them 32.

The one law: of the numbers that the 256 that go in stand for, each gives the nearest of the 256 that come out, as near as whole
numbers of 32 bits tell it; nothing is estimated but which numbers come, of a sample.

Maps of single numbers, one after the other, are one table: any curve, exactly. Where a sample is mapped as one (`l2`, `instance`,
`whiten`), whole numbers are added, multiplied and divided (`tfnorm.exits.whole`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from tfnorm import maps
from tfnorm.errors import ChoiceError
from tfnorm.exits import whole
from tfnorm.exits.rows import Rows
from tfnorm.exits.whole import Span, Whole
from tfnorm.keras_part import keras_part
from tfnorm.keys import Keys

Tensor = Any

BETWEEN = 1 << 12  # as many numbers may come out of a stage that is not the last


@dataclass(frozen=True)
class _Stage:
    """Maps that are one step in whole numbers, as they run one way."""

    step: maps.Map
    inverse: bool

    def run(self, x: np.ndarray, groups: Mapping[tuple[str, ...], np.ndarray]) -> np.ndarray:
        """In NumPy, for rows of these keys."""
        with np.errstate(all="ignore"):
            step = self.step.bound(groups, x.ndim, np) if self.step.keyed() else self.step
            return np.asarray(maps.run(step, x, np, inverse=self.inverse))

    def of_key(self, key: int, x: np.ndarray) -> np.ndarray:
        """In NumPy, where all rows are of one key."""
        return self.run(x, {one.keys.names: np.full(len(x), key) for one in self.step.keyed()})


@dataclass(frozen=True)
class _Plan:
    """How one column goes."""

    step: maps.Map
    came: Span  # what goes in
    stages: Sequence[tuple[_Stage, Span]]
    wide: bool  # whether single numbers need an axis of their own
    keys: Keys | None


def converted(function: Any, sample: Rows) -> bytes:
    """The function (`tfnorm.layer.served`) as TFLite; `sample` has rows without missing values, by column, as they go in."""
    import tensorflow as tf

    layer = function.layer
    plans = {name: _plan(step, layer.inverse, sample, name) for name, step in layer.columns.items()}
    specs = {
        name: tf.TensorSpec(shape, tf.int8 if column in plans else dtype, name=name)
        for name, (column, shape, dtype) in function.inputs.items()
    }
    given: dict[str, Whole] = {}
    places_of, apart = keras_part().places_of_keys(layer.columns), not (layer.bare or layer.inverse)

    def serve(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        came = {column: tensors[name] for name, (column, _, _) in function.inputs.items()}
        groups = places_of(came)
        for column, plan in plans.items():
            given.update(_whole_of(plan, column, came[column], groups, apart=apart and plan.step.marks))
        return {name: _codes(given[column]) for name, column in function.outputs.items()}

    module = tf.Module()
    module.serve = tf.function(serve, input_signature=[specs], autograph=False)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})
        data = bytes(tf.lite.TFLiteConverter.from_saved_model(folder).convert())
    ways_in = {name: plans[column].came for name, (column, *_) in function.inputs.items() if column in plans}
    return _quantized(data, ways_in, {name: given[column] for name, column in function.outputs.items()})


def wanted(function: Any, sample: Rows) -> dict[str, np.ndarray]:
    """What comes out in NumPy, by column; of those with marks, values first."""
    layer, found = function.layer, {}
    for name, step in layer.columns.items():
        x = _wide(sample[name].astype(np.float64), step)
        found[name] = _Stage(step, layer.inverse).run(x, _groups(step, sample))
    return found


def _plan(step: maps.Map, inverse: bool, sample: Rows, column: str) -> _Plan:
    """By what comes out of each stage for the sample."""
    keyed = {one.keys.names: one for one in step.keyed()}
    if any(not one.elementwise for one in keyed.values()):
        raise ChoiceError("matrices by key are not had in integers")
    if any(one.unseen != "global" for one in keyed.values()):
        raise ChoiceError("rows of a key that the fit has not seen would be missing, and 8 bits have none")
    if len(keyed) > 1:
        raise ChoiceError("several sets of keys for a column are not had in integers")
    x, groups = sample[column].astype(np.float64), _groups(step, sample)
    wide = _wide(x, step)
    came, y, spans = Span.of(x, 256), wide, []
    stages = [*_stages(step, inverse)]
    for place, stage in enumerate(stages, 1):
        y = stage.run(y, groups)
        last = all(isinstance(one.step, _MOVED) for one in stages[place:])
        spans.append(Span.of(y[np.isfinite(y)], 256 if last else BETWEEN))
    keys = next((one.keys for one in keyed.values()), None)
    return _Plan(step, came, list(zip(stages, spans, strict=True)), wide.ndim > x.ndim, keys)


def _wide(x: np.ndarray, step: maps.Map) -> np.ndarray:
    """Single numbers of which a map makes several, with an axis of their own."""
    alone = x.ndim < 2 and not step.elementwise and step.features() == 1 and step.width(1) != 1
    return x[:, None] if alone else x


def _groups(step: maps.Map, sample: Rows) -> dict[tuple[str, ...], np.ndarray]:
    sets = {one.keys.names: one.keys for one in step.keyed()}
    return {names: keys.find({name: sample[name] for name in names}) for names, keys in sets.items()}


def _stages(step: maps.Map, inverse: bool) -> Iterator[_Stage]:
    steps = step.maps if isinstance(step, maps.Chain) else (step,)
    for elementwise, run in groupby(reversed(steps) if inverse else steps, lambda one: one.elementwise):
        several = [*run]
        if elementwise:
            chained = maps.chain(*(reversed(several) if inverse else several))
            yield from () if isinstance(chained, maps.Identity) else (_Stage(chained, inverse),)
        else:
            yield from (_Stage(one, inverse) for one in several)


def _whole_of(
    plan: _Plan, column: str, codes: Tensor, groups: Mapping[tuple[str, ...], Tensor], *, apart: bool
) -> dict[str, Whole]:
    """What comes out for the codes that came in; marks as a column of their own where they are `apart`."""
    import tensorflow as tf

    low, high = plan.came.low, plan.came.high
    x = Whole(tf.cast(codes, tf.int32) + (low + 128), plan.came.step, low, high)
    x = x.moved(lambda values: tf.expand_dims(values, -1)) if plan.wide else x
    for stage, span in plan.stages:
        x = _done(stage, span, x, plan.keys, groups)
    if not apart:
        return {column: x}
    halves = tf.split(x.values, 2, axis=-1)
    halves = [tf.squeeze(one, -1) for one in halves] if plan.wide else halves
    return {name: replace(x, values=one) for name, one in zip((column, maps.mark_name(column)), halves, strict=True)}


def _done(stage: _Stage, span: Span, x: Whole, keys: Keys | None, groups: Mapping[tuple[str, ...], Tensor]) -> Whole:
    step = stage.step
    if step.elementwise:
        number = len(keys) + 1 if step.keyed() and keys is not None else 1
        curves = [partial(stage.of_key, key) for key in range(number)]
        key = groups[keys.names] if keys is not None else None
        return whole.looked_up(x, curves, step.features(), span, key)
    match step:
        case maps.RowNorm():
            return whole.normed(x, step, span)
        case maps.Instance():
            return whole.standardized(x, step, span)
        case maps.Matrix() if stage.inverse:
            return whole.mixed(x, step.back, step.center - step.offset @ step.back, span)
        case maps.Matrix():
            return whole.mixed(x, step.matrix, step.offset - step.center @ step.matrix, span)
        case maps.Patches() | maps.JoinPatches():
            return x.moved(lambda values: (step.inverse if stage.inverse else step.forward)(values, _Places()))
        case maps.FillAndMark():
            return x.moved(partial(_marked, step, stage.inverse))
    raise ChoiceError(f"{type(step).__name__} is not had in integers")


_MOVED = maps.Patches | maps.JoinPatches | maps.FillAndMark


def _marked(step: maps.FillAndMark, inverse: bool, values: Tensor) -> Tensor:
    """Nothing is missing: marks are 0, and are left out on the way back."""
    import tensorflow as tf

    if not inverse:
        return tf.concat([values, tf.zeros_like(values)], axis=-1)
    return values if values.shape[-1] == len(step.value) else tf.split(values, 2, axis=-1)[0]


class _Places:
    """What maps ask that only move numbers, of TensorFlow; an unknown length is -1, as reshape has it."""

    def shape(self, x: Tensor) -> tuple[int, ...]:
        return tuple(-1 if length is None else length for length in x.shape)

    def __getattr__(self, name: str) -> Any:
        import tensorflow as tf

        return getattr(tf, name)


def _codes(x: Whole) -> Tensor:
    import tensorflow as tf

    return tf.cast(x.values - (x.low + 128), tf.int8)


def _quantized(data: bytes, ways_in: Mapping[str, Span], ways_out: Mapping[str, Whole]) -> bytes:
    """With what the numbers of each tensor that goes in or comes out stand for, where clients of TFLite look for it."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(data))
    (signature,) = model.signatureDefs
    for tensors, ways in ((signature.inputs, ways_in), (signature.outputs, ways_out)):
        for tensor in tensors:
            if (name := tensor.name.decode()) in ways:
                how = schema.QuantizationParametersT()
                how.scale, how.zeroPoint = [float(ways[name].step)], [-128 - ways[name].low]
                model.subgraphs[0].tensors[tensor.tensorIndex].quantization = how
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
