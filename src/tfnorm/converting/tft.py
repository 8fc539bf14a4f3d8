"""What tensorflow-transform wrote: the graph of a `preprocessing_fn`, with the numbers of its analyzers in it.

The one law: each column's map gives what the graph gives for it. The graph is read, never run: the file is parsed, and of what
it says only what `tfnorm.converting.graph` knows becomes a map; all else is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfnorm.converting.graph import Came, Graph, RefusedError, Worked, choice_of, name_of, number_in
from tfnorm.converting.made import Numbers
from tfnorm.errors import ChoiceError, DataError
from tfnorm.maps import Identity
from tfnorm.profile import Column
from tfnorm.sources.columns import quoted

SOURCE = "tensorflow-transform"
_MAX_BYTES = 1 << 28


@dataclass(frozen=True)
class _Spec:
    """A tensor of raw features, by the name of the feature."""

    dtype: str
    shape: tuple[int | None, ...]  # of a batch


def is_output(folder: Path) -> bool:
    return (folder / "transform_fn").is_dir()


def numbers_of(folder: Path, outputs: Sequence[str] | None) -> dict[Column, Numbers]:
    """The columns that come in, and what becomes of each; `outputs` says which of the graph's are taken, all by default.

    What comes out as it came in is left out. Errors: DataError for what is no such folder, ChoiceError where an output is more
    than a technique of one column, or two are made of the same.
    """
    graph, inputs, ends = _graph(folder)
    chosen = list(ends) if outputs is None else list(outputs)
    if unknown := [name for name in chosen if name not in ends]:
        raise ChoiceError(f"{folder}: has no output {quoted(unknown)}. It has {quoted(sorted(ends))}.")
    found: dict[str, tuple[str, Numbers]] = {}  # input -> (output, what it becomes)
    for name in sorted(chosen):
        try:
            value = graph.value(ends[name])
            if not isinstance(value, Worked):
                raise RefusedError("is made of no feature")
            if isinstance(value.map, Identity):
                continue
            numbers = Numbers(value.map, choice_of(value), value.features, SOURCE)
        except RefusedError as refused:
            others = [one for one in chosen if one != name]
            raise ChoiceError(
                f"{folder}: output {quoted([name])}: {refused}. Leave it out: columns={others!r}; or fit it anew."
            ) from None
        if value.column in found:
            both = sorted([name, found[value.column][0]])
            raise ChoiceError(
                f"{folder}: {quoted([value.column])} becomes {quoted(both)}, and a column is normalized once. Say which are "
                "taken: columns=[...]."
            )
        found[value.column] = name, numbers
    if not found:
        raise ChoiceError(f"{folder}: nothing in {quoted(chosen)} is normalized: all come out as they came in.")
    return {_column(name, inputs[name], one.features): one for name, (_, one) in found.items()}


def _column(name: str, spec: _Spec, features: int) -> Column:
    return Column(name, spec.dtype, spec.shape[1:], features)


def _graph(folder: Path) -> tuple[Graph, dict[str, _Spec], dict[str, str]]:
    """The nodes and what comes into them, the raw features, and for each output what gives it."""
    path = folder / "transform_fn" / "saved_model.pb"
    try:
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
        from tensorflow.core.protobuf import saved_model_pb2
    except ImportError as error:
        raise DataError(f"{folder}: TensorFlow reads its graph, and is missing. pip install tensorflow.") from error
    model = saved_model_pb2.SavedModel()
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(f"{path}: is too large (limit {_MAX_BYTES} bytes).")
        model.ParseFromString(path.read_bytes())
        meta = model.meta_graphs[0]
        signatures = meta.signature_def
        made = _in_graph(meta) if "transform_signature" in signatures else _in_function(meta)
    except (OSError, DecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}.") from None
    except (KeyError, IndexError, ValueError) as error:
        raise DataError(f"{path}: is no graph that tensorflow-transform writes ({error!r}).") from None
    return made


def _in_graph(meta: Any) -> tuple[Graph, dict[str, _Spec], dict[str, str]]:
    """As TensorFlow 1 has it, and `force_tf_compat_v1`: one graph, tensors by the names of features."""
    signature = meta.signature_def["transform_signature"]
    inputs = {name: _spec(one.dtype, one.tensor_shape) for name, one in signature.inputs.items() if one.name}
    given = {name_of(signature.inputs[name].name): _came(name, spec) for name, spec in inputs.items()}
    nodes = {node.name: node for node in meta.graph_def.node}
    outputs = {name: one.name for name, one in signature.outputs.items()}
    return Graph(nodes, given, _bodies(meta)), inputs, outputs


def _in_function(meta: Any) -> tuple[Graph, dict[str, _Spec], dict[str, str]]:
    """As TensorFlow 2 has it: a function of the features and of the analyzers' numbers, which are constants outside of it."""
    objects = meta.object_graph_def.nodes
    at = next(child.node_id for child in objects[0].children if child.local_name == "transform_fn")
    name = objects[at].bare_concrete_function.concrete_function_name or objects[at].function.concrete_functions[0]
    about = meta.object_graph_def.concrete_functions[name]
    function = next(one for one in meta.graph_def.library.function if one.signature.name == name)
    arguments = iter(function.signature.input_arg)
    inputs: dict[str, _Spec] = {}
    given: dict[str, Any] = {}
    (features,) = about.canonicalized_input_signature.tuple_value.values[0].tuple_value.values
    for feature, spec in sorted(features.dict_value.fields.items()):
        if spec.WhichOneof("kind") == "tensor_spec_value":
            inputs[feature] = _spec(spec.tensor_spec_value.dtype, spec.tensor_spec_value.shape)
            given[next(arguments).name] = _came(feature, inputs[feature])
        else:
            for argument in _parts(feature, spec, arguments):
                given[argument] = RefusedError(
                    f"{quoted([feature])} is sparse, and only dense features can be converted"
                )
    outside = {node.name: node for node in meta.graph_def.node}
    for argument, place in zip(arguments, about.bound_inputs, strict=True):
        held = outside.get(objects[place].constant.operation)
        given[argument.name] = (
            RefusedError("looks something up in a table or a file") if held is None else number_in(held)
        )
    ends = [function.ret[one.name] for one in function.signature.output_arg]
    names = sorted(about.output_signature.dict_value.fields)
    specs = about.output_signature.dict_value.fields
    if any(specs[one].WhichOneof("kind") != "tensor_spec_value" for one in names):
        sparse = [one for one in names if specs[one].WhichOneof("kind") != "tensor_spec_value"]
        places = _places(specs, names)
        outputs = {one: ends[places[one]] for one in names if one not in sparse}
        given |= {
            f"{one} as sparse": RefusedError("is sparse, and only dense features can be converted") for one in sparse
        }
        outputs |= {one: f"{one} as sparse" for one in sparse}
    else:
        outputs = dict(zip(names, ends, strict=True))
    return Graph({node.name: node for node in function.node_def}, given, _bodies(meta)), inputs, outputs


def _parts(feature: str, spec: Any, arguments: Iterator[Any]) -> Iterator[str]:
    for _ in range(_length(feature, spec)):
        yield next(arguments).name


def _length(feature: str, spec: Any) -> int:
    """How many tensors a sparse one is."""
    kind = spec.type_spec_value.type_spec_class_name if spec.WhichOneof("kind") == "type_spec_value" else "?"
    if kind != "SparseTensorSpec":
        raise ValueError(f"{feature} is of an unknown kind, {kind}")
    return 3


def _places(specs: Mapping[str, Any], names: Sequence[str]) -> dict[str, int]:
    places, place = {}, 0
    for name in names:
        places[name] = place
        dense = specs[name].WhichOneof("kind") == "tensor_spec_value"
        place += 1 if dense else _length(name, specs[name])
    return places


def _bodies(meta: Any) -> dict[str, list[str]]:
    """The operations of every function, by its name."""
    return {one.signature.name: [node.op for node in one.node_def] for one in meta.graph_def.library.function}


def _spec(dtype: int, shape: Any) -> _Spec:
    from tensorflow import dtypes

    lengths = tuple(None if one.size < 0 else int(one.size) for one in shape.dim)
    return _Spec(dtypes.as_dtype(dtype).name, lengths)


def _came(name: str, spec: _Spec) -> Any:
    if not np.issubdtype(np.dtype("O" if spec.dtype == "string" else spec.dtype), np.number):
        return RefusedError(f"is made of {quoted([name])}, which holds no numbers but {spec.dtype}")
    width = spec.shape[-1] if len(spec.shape) > 1 else 1
    if width is None:
        return RefusedError(f"{quoted([name])} has rows of no known width")
    return Came(name, width)
