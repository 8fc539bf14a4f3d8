"""A fit as a stock Keras model: no layer of ours in it, so it opens where tfnorm is not installed.

The one law: `builtin(columns, ...)(batch)` is what our layer gives, from a file that Keras 3 loads with its safe mode on.

Straight lines become `keras.layers.Normalization` and `Rescaling`, all else the operations of `keras.ops` in which the maps
are written, with the numbers as constants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfnorm import maps
from tfnorm.errors import ChoiceError
from tfnorm.key_columns import TextKeys
from tfnorm.layer.lookups import halved, need_tensorflow
from tfnorm.layer.maps import fit_mark, quoted
from tfnorm.layer.normalize import Normalize, Tensor
from tfnorm.layer.replicas import let_texts_through
from tfnorm.layer.serving import input_types
from tfnorm.maps import Shape

_STEEPEST = 1e6  # Normalization divides by no deviation below 1e-7


class _Symbolic:
    """`keras.ops` for tensors that stand for others: an unknown length is -1, as reshape has it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(ops, name)

    def shape(self, x: Tensor) -> Shape:
        return tuple(-1 if length is None else length for length in x.shape)

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        """As a layer: Keras before 3.11 does not load the operation."""
        if getattr(x, "dtype", "") == dtype:
            return x
        return keras.layers.Rescaling(1.0, dtype=dtype)(x) if isinstance(x, keras.KerasTensor) else ops.cast(x, dtype)


class _Stock(Normalize):
    """The layer, of which `call` on symbolic tensors leaves nothing but stock operations behind."""

    _xp = _Symbolic()
    _find = staticmethod(halved)

    def _texts(self, index: int, place: int, column: TextKeys) -> Any:  # noqa: ARG002
        need_tensorflow(column)
        let_texts_through()
        unknown = "unknown"
        while unknown in column.values:
            unknown += "_"
        layer = keras.layers.StringLookup(vocabulary=list(column.values), oov_token=unknown)

        def codes(x: Tensor) -> Tensor:
            code = layer(x)  # 0 for what is not among them
            return ops.where(code > 0, code, ops.full_like(code, -1))

        return codes

    def _weight(self, name: str, array: np.ndarray) -> Tensor:  # noqa: ARG002
        return ops.convert_to_tensor(array)

    def _mapped(self, group: Any, names: Sequence[str], x: Tensor, *rest: Any) -> Tensor:
        precision = self._precision(group, x)
        step = group.step_of(names, precision)
        single = precision == "float32"  # Keras' layer rounds its numbers to that, whatever its policy
        if self.inverse or not single or not isinstance(step, maps.Affine) or not _is_normalization(step):
            return super()._mapped(group, names, x, *rest)
        offset = 0.0 * step.scale if step.offset is None else step.offset  # None where the center holds it
        center, scale, offset = (np.asarray(one, np.float64) for one in (step.center, step.scale, offset))
        wide = len(scale) > 1
        mean, variance = (one.tolist() if wide else float(one[0]) for one in (center, scale**-2.0))
        axis = -1 if wide else None
        y = keras.layers.Normalization(axis=axis, mean=mean, variance=variance, dtype=precision)(x)
        if offset.any():
            y = keras.layers.Rescaling(1.0, offset.tolist() if wide else float(offset[0]), dtype=precision)(y)
        return self._xp.cast(y, self._result_dtype)


def _is_normalization(step: maps.Affine) -> bool:
    scale = np.asarray(step.scale, np.float64)
    return not step.has_constant and bool(((scale > 1 / _STEEPEST) & (scale < _STEEPEST)).all())


def builtin(
    columns: Mapping[str, maps.Map], shapes: Mapping[str, Shape], choice: Mapping[str, str], **options: Any
) -> keras.Model:
    """The model for a fit: `shapes` of one row and `choice`, the techniques as text, by column; options are `Normalize`'s.

    ChoiceError names the technique and the column that no stock layer can do.
    """
    for name, step in columns.items():
        named = [name, *(key for one in step.keyed() for key in one.keys.names)]
        why = "Keras names no input with a slash; rename the column" if any("/" in one for one in named) else ""
        if why or options.get("like"):
            why = why or "takes what is lost from raw samples, which only tfnorm's layer does"
            raise ChoiceError(
                f"column {quoted(name)}: {choice[name]}: {why}. Leave builtin out, or fit it otherwise: "
                "a .keras file then opens where tfnorm is installed, and SavedModel, TFLite and ONNX anywhere"
            )
    mark = fit_mark(options.get("fingerprint", "")) + ("_back" if options.get("inverse") else "")
    name = options.pop("name", None) or mark
    layer = _Stock(columns, **options)
    inputs: Any = {
        column: keras.Input(shape[1:], dtype=dtype, name=column)
        for column, (shape, dtype) in input_types(layer, shapes).items()
    }
    came = [id(one) for one in inputs.values()]
    inputs = next(iter(inputs.values())) if layer.bare and len(inputs) == 1 else inputs
    outputs = layer.call(inputs)
    if isinstance(outputs, Mapping):  # keys go in, and numbers come out
        outputs = {name: y for name, y in outputs.items() if name in columns or name not in inputs}
    outputs = keras.tree.map_structure(
        lambda y: keras.layers.Identity(dtype=y.dtype)(y) if id(y) in came else y, outputs
    )
    return keras.Model(inputs, outputs, name=name)


def normalization(step: maps.Affine) -> keras.layers.Layer:
    """Keras' own layer for a straight line, `(x - mean) / std` in float32: an offset goes into the mean."""
    mean = step.center - step.offset / step.scale
    wide = len(mean) > 1
    values = [one.tolist() if wide else float(one[0]) for one in (mean, step.scale**-2.0)]
    return keras.layers.Normalization(axis=-1 if wide else None, mean=values[0], variance=values[1])
