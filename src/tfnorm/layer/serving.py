"""A layer as a function of named tensors: what servers, phones and other runtimes are given.

The one law: `Served(layer, ...)` of raw columns is `layer` of them; names of its tensors are words that every format takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from tfnorm.errors import ChoiceError
from tfnorm.key_columns import TextKeys
from tfnorm.layer.lookups import Lookup, halved, keys_of, text_mark
from tfnorm.layer.maps import rounding_is_harmless
from tfnorm.layer.normalize import Normalize, Tensor
from tfnorm.maps import Map, Shape, mark_name

_NOT_A_WORD = re.compile(r"[^A-Za-z0-9_]+")


class _Portable(Normalize):
    """The layer for runtimes whose operations are few."""

    _find = staticmethod(halved)


class _Single(_Portable):
    """The layer in float32 throughout, for runtimes that have no other: what that loses is asked for first (`loss`)."""

    def _fits_float32(self, step: Map) -> bool:  # noqa: ARG002
        return True


@dataclass(frozen=True)
class Served:
    """Raw tensors by name in, normalized ones by name out."""

    layer: Normalize
    inputs: Mapping[str, tuple[str, Shape, str]]  # name of the tensor -> (column, shape, type)
    outputs: Mapping[str, str]  # name of the tensor -> column, or what marks of a column are called
    guarded: bool = False  # whether what is missing is kept so by itself: a runtime's own functions may lose it

    @property
    def texts(self) -> dict[str, tuple[str, ...]]:
        """The texts whose places are looked up, by a word that is in the name of the operation that does it."""
        return {
            text_mark(index, place): column.values
            for index, keys in enumerate(keys_of(self.layer.columns.values()))
            for place, column in enumerate(keys.columns)
            if isinstance(column, TextKeys)
        }

    def __call__(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        came = {column: tensors[name] for name, (column, _, _) in self.inputs.items()}
        bare = self.layer.bare and len(came) == 1
        result = self.layer(next(iter(came.values())) if bare else came)
        found = result if isinstance(result, Mapping) else dict.fromkeys(self.outputs.values(), result)
        return {name: self._kept(found[column], column, came) for name, column in self.outputs.items()}

    def _kept(self, y: Tensor, column: str, came: Mapping[str, Tensor]) -> Tensor:
        y = ops.copy(y)  # an output of its own, also where the map changes nothing
        step = self.layer.columns.get(column)
        if not self.guarded or step is None or not step.elementwise or fills(step):
            return y
        return ops.where(ops.isnan(came[column]), ops.full_like(y, float("nan")), y)


def fills(step: Map) -> bool:
    """Whether it makes a number of what is missing."""
    return any(one.fills for one in step.steps())


def served(layer: Normalize, shapes: Mapping[str, Shape], *, runtime: str = "") -> Served:
    """The layer's function; `shapes` of one raw row, by column.

    runtime: "ONNX", where no tensor that comes out may be called as one that goes in; "TFLite", whose arithmetic is of float32
        and whose curves lose NaN.
    """
    apart = runtime == "ONNX"
    if kind := {"ONNX": _Portable, "TFLite": _Single}.get(runtime):
        flags = {name: getattr(layer, name) for name in ("bare", "inverse", "missing", "fingerprint", "name")}
        layer = kind(layer.columns, dtype=layer.dtype_policy if runtime == "ONNX" else "float32", **flags)
    outputs = [one for name, step in layer.columns.items() for one in (name, mark_name(name))[: 1 + step.marks]]
    outputs = list(layer.columns) if layer.bare or layer.inverse else outputs
    types = input_types(layer, shapes)
    inputs = {word: (name, *types[name]) for word, name in words(types).items()}
    named = words((f"{name}_out", name) for name in outputs) if apart else words(outputs)
    while taken := set(named) & set(inputs) if apart else set():
        named = {f"{name}_out" if name in taken else name: column for name, column in named.items()}
    return Served(layer, inputs, named, guarded=runtime == "TFLite")


def write_saved_model(function: Served, folder: str) -> None:
    """The function as a SavedModel, with the signature that servers ask for."""
    signature = {
        name: keras.InputSpec(dtype=dtype, shape=shape, name=name)
        for name, (_, shape, dtype) in function.inputs.items()
    }
    archive = keras.export.ExportArchive()
    archive.track(function.layer)
    archive.add_endpoint("serving_default", function.__call__, input_signature=[signature])
    archive.write_out(folder, verbose=False)


def places_of_keys(columns: Mapping[str, Map]) -> Callable[[Mapping[str, Tensor]], dict[tuple[str, ...], Tensor]]:
    """From tensors of key columns, of whole numbers, to the place of each row's key, by key columns; with constants only."""

    def constant(_: str, array: np.ndarray) -> Tensor:
        return ops.convert_to_tensor(array)

    def texts(place: int, column: TextKeys) -> Callable[[Tensor], Tensor]:  # noqa: ARG001
        raise ChoiceError("text keys are not integers; give them numbers before the fit")

    lookups = [Lookup(keys, constant, texts, halved) for keys in keys_of(columns.values())]
    return lambda came: {one.keys.names: one(came) for one in lookups}


def holds_its_fit(layer: Normalize) -> bool:
    """Whether its weights are those of the fit that it names: others may have been loaded into it."""
    return all(
        np.array_equal(ops.convert_to_numpy(weight), group.step.at(precision).arrays()[field])
        for group in layer._fit.groups
        for precision, weights in group.weights.items()
        for field, weight in weights.items()
    )


def words(columns: Iterable[str | tuple[str, str]]) -> dict[str, str]:
    """Names that every format takes -> columns, which may be given as (what it would be called, column).

    >>> words(["age", "net worth", "net-worth", "2020"])
    {'age': 'age', 'net_worth': 'net worth', 'net_worth_2': 'net-worth', 'c2020': '2020'}
    """
    found: dict[str, str] = {}
    for one in columns:
        called, column = one if isinstance(one, tuple) else (one, one)
        number, free = 1, word(called)
        while free in found:
            number += 1
            free = f"{word(called)}_{number}"
        found[free] = column
    return found


def word(column: str) -> str:
    """A name for this column, alone."""
    found = _NOT_A_WORD.sub("_", column)[:100]
    return found if found[:1].isalpha() else f"c{found}"


def input_types(layer: Normalize, shapes: Mapping[str, Shape]) -> dict[str, tuple[Shape, str]]:
    """What the layer takes: shape with rows first, and the narrowest type that loses no digits of raw values."""
    found: dict[str, tuple[Shape, str]] = {}
    for name, step in layer.columns.items():
        shape: Shape = (None, *shapes[name])
        if layer.inverse:
            wide = shape if len(shape) > 1 or step.width(1) == 1 else (*shape, 1)
            shape = step.shape(wide)
        narrow = layer.inverse or isinstance(layer, _Single) or (step.fits("float32") and rounding_is_harmless(step))
        exact = keras.config.floatx() == "float64" or layer.dtype_policy.variable_dtype == "float64"
        found[name] = (shape, "float32" if narrow and not exact else "float64")
    for keys in keys_of(layer.columns.values()):
        for key in keys.columns:
            found.setdefault(key.name, ((None,), "string" if key.kind == "text" else "int64"))
    return found
