"""How raw inputs and real units are put around a trained model.

The one law: `attach(normalize, model, restore)(raw)` is `restore(model(normalize(raw)))`, on the model's own weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras

from tfnorm.errors import ChoiceError, TfnormError
from tfnorm.layer.heads import SAFE_NAME, Heads, restored
from tfnorm.layer.lookups import keys_of
from tfnorm.layer.maps import listed, quoted
from tfnorm.layer.normalize import Normalize
from tfnorm.maps import Map, Shape, mark_name


@keras.saving.register_keras_serializable(package="tfnorm")
class Attached(keras.Model):  # type: ignore[misc]
    """A functional model that finds its inputs by name; Keras takes a dict with other keys by position, and errs."""

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        inputs, mask = (
            {name: x[name] for name in self.input} if isinstance(x, dict) and isinstance(self.input, dict) else x
            for x in (inputs, mask)
        )
        return super().call(inputs, training=training, mask=mask)


def attach(
    normalize: Normalize | None, model: keras.Model, restore: Normalize | Heads, dtypes: Mapping[str, str] | None = None
) -> keras.Model:
    """Raw inputs -> normalize -> model -> restore -> real units; the model's weights are shared, not copied.

    normalize: the fit of the inputs, or None where they are raw already. A model of one tensor gets the fitted columns
    side by side in their order (or the tensor itself, if `normalize` is bare); a model of named inputs gets those, and
    inputs that are no fitted column pass through.
    restore: `inverse=True, bare=True`, for the model's one output; or, by output, those of its parts (`tfnorm.layer.heads`).
    Where one of all is by key, the model that is returned takes the key columns too, as inputs of their own.
    dtypes: column -> the NumPy type its data had at fit, so that 64-bit integers and floats enter unrounded.

    Errors: TfnormError if the model is not built, has other outputs, or another width than the columns together.
    """
    heads: Heads = {None: [restore]} if isinstance(restore, Normalize) else restore
    backs = [step for parts in heads.values() for step in parts]
    if not all(step.inverse and step.bare for step in backs):
        raise ChoiceError("restore must be Normalize({column: map}, bare=True, inverse=True)")
    wanted, is_dict = _inputs_of(model, dtypes or {})
    shapes: dict[str, Shape] = {name: tuple(x.shape) for name, x in wanted.items()}
    lone = len(wanted) == 1 and not is_dict
    layer = normalize
    if normalize is not None:
        if normalize.inverse or (normalize.bare and not lone):
            raise ChoiceError(f"normalize must take a dict, as the model does: {listed(wanted)}. No inverse, not bare")
        if normalize.bare:
            shapes = {name: _raw(step, next(iter(shapes.values()))) for name, step in normalize.columns.items()}
        elif lone:
            shapes = _widths(normalize, next(iter(shapes.values())))
            layer = _part(normalize, list(shapes), concatenate=True)
        else:
            layer = _part(normalize, [name for name in normalize.columns if name in wanted], concatenate=False)
            marks = [mark_name(name) for name, step in layer.columns.items() if step.marks]
            shapes = {
                name: _raw(layer.columns[name], shape) if name in layer.columns else shape
                for name, shape in shapes.items()
                if name not in marks
            }
    columns = layer.columns if layer else {}
    taken = {model.name, *(step.name for step in backs), *([layer.name] if layer else [])}
    raw: dict[str, Any] = {}
    for name, shape in shapes.items():
        dtype = (dtypes or {}).get(name, layer.compute_dtype) if layer and name in columns else wanted[name].dtype
        raw[name] = keras.Input(shape[1:], dtype=dtype, name=_input_name(name, taken))
    inputs = list(raw)
    ways = [step for back in backs for step in back.columns.values()]
    for key, dtype in _key_types([*columns.values(), *ways]).items():
        if key not in raw:  # the model does not take it, our layers do
            raw[key] = keras.Input((), dtype=dtype, name=_input_name(key, taken))
    entry = next(iter(raw.values())) if len(raw) == 1 and lone and (layer is None or layer.bare) else raw
    ready = entry if layer is None else layer(entry)
    if isinstance(ready, dict):
        ready = {name: ready[name] for name in (wanted if is_dict or layer is not None else inputs)}
        ready = ready if is_dict else next(iter(ready.values())) if lone else list(ready.values())
    with warnings.catch_warnings():  # Keras wants the keys to be names of layers; a column's name need not make one
        warnings.filterwarnings("ignore", message="When providing `inputs` as a dict")
        return Attached(entry, restored(model, model(ready), heads, raw, taken))


def _key_types(steps: Iterable[Map]) -> dict[str, str]:
    """The key columns that these maps need, and the type in which Keras takes them."""
    found = (key for keys in keys_of(steps) for key in keys.columns)
    return {key.name: "string" if key.kind == "text" else "int64" for key in found}


def _raw(step: Map, shape: Shape) -> Shape:
    """The shape that the map takes to give this one."""
    return step.shape(shape, inverse=True)


def _inputs_of(model: Any, dtypes: Mapping[str, str]) -> tuple[dict[str, Any], bool]:
    """What a model takes, by name, as symbolic tensors; and whether it takes them as a dict."""
    if not getattr(model, "built", False):
        raise TfnormError(f"model {quoted(model.name)} is not built. Call it on a batch first")
    tensors = getattr(model, "inputs", None)
    if tensors:
        struct = model.input if isinstance(model, keras.Model) and not isinstance(model, keras.Sequential) else None
        return (dict(struct), True) if isinstance(struct, dict) else ({x.name: x for x in tensors}, False)
    shape = (model.get_build_config() or {}).get("input_shape")  # a subclassed model knows what it was called with
    if isinstance(shape, dict):
        types: dict[str, str] = {}
        for inside in _inside(model):  # what they take must come unrounded
            types |= {name: dtypes.get(name, inside.compute_dtype) for name in inside.columns}
            types |= _key_types(inside.columns.values())
        first = model.layers[0] if isinstance(model, keras.Sequential) else None
        if isinstance(first, Normalize) and first.concatenate:  # what it leaves out need not come
            shape = {name: one for name, one in shape.items() if name in types}
        inputs = {name: (None, *one[1:]) for name, one in shape.items()}
        return {name: keras.KerasTensor(one, types.get(name, "float32")) for name, one in inputs.items()}, True
    if not shape or not all(size is None or isinstance(size, int) for size in shape):
        raise TfnormError(f"model {quoted(model.name)}: its inputs are unknown. Call it on a tensor or a dict of them")
    return {"inputs": keras.KerasTensor((None, *shape[1:]))}, False


def _inside(model: Any) -> Iterator[Normalize]:
    """The layers in a model that normalize columns of its input."""
    return (one for one in model._flatten_layers() if isinstance(one, Normalize) and not (one.inverse or one.bare))


def _input_name(column: str, taken: set[str]) -> str:
    """The column's name where it is a plain word and free, since servers show it; a neutral one else."""
    name = column if SAFE_NAME.fullmatch(column) else f"column_{len(taken)}"
    while name in taken:
        name += "_input"
    taken.add(name)
    return name


def _part(normalize: Normalize, names: list[str], *, concatenate: bool) -> Normalize:
    """The layer for some of its columns; with all of them, it also gets the weights as they are now."""
    if not names:
        raise ChoiceError("the model takes none of the fitted columns: " + listed(normalize.columns))
    kept = {"fingerprint": normalize.fingerprint, "dtype": normalize.dtype_policy}
    kept["missing"] = tuple(name for name in normalize.missing if name in names)
    part = Normalize({name: normalize.columns[name] for name in names}, concatenate=concatenate, **kept)
    if names == list(normalize.columns):
        part.set_weights(normalize.get_weights())
    return part


def _widths(normalize: Normalize, shape: Shape) -> dict[str, Shape]:
    """Each column as it must come, so that all together give the rows that the model takes."""
    wanted = shape[-1] if shape else None
    steps = normalize.columns
    widths = {name: step.width(step.features()) for name, step in steps.items()}
    total = sum(widths.values())
    # rows without numbers of their own may be of any width: the one there is takes what the others leave
    free = [name for name, step in steps.items() if not step.elementwise and not step.arrays()]
    free = free or (list(widths) if list(widths.values()) == [1] else [])
    if len(free) == 1:
        widths[free[0]] += max(0, (wanted or 0) - total)
    if len(shape) != 2 or sum(widths.values()) != wanted:
        raise TfnormError(
            f"the model takes rows of {wanted} numbers (shape {shape}), the fitted columns have {total} together: "
            f"{listed(widths)}, in this order. Fit the columns that the model was trained on"
        )
    return {name: _raw(steps[name], (None, width)) for name, width in widths.items()}
