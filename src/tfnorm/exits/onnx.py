"""ONNX: a fit as a graph that onnxruntime runs, and running it. The one file that imports tf2onnx, onnx and onnxruntime.

The one law: every operation keeps what is missing, and small numbers their digits, as TensorFlow's own does.

tf2onnx has no log1p and expm1, and selects by multiplying with 0, which makes NaN of NaN * 0: these three are written here.
log1p and expm1 are Kahan's (Higham 2002, section 1.14).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tfnorm.errors import ChoiceError, DataError
from tfnorm.exits.labels import KEY, Label
from tfnorm.exits.rows import Rows

OPSET = 18


def _needs(error: ImportError) -> ImportError:
    return ImportError(f"ONNX needs {error.name}, which is not installed: pip install 'tfnorm[onnx]'.")


def convert(function: Any, label: Label) -> bytes:
    """The function of named tensors (`tfnorm.layer.served`) as an ONNX file."""
    try:
        import tensorflow as tf
        import tf2onnx
    except ImportError as error:
        raise _needs(error) from None
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # what it does not know is told by our error
    named = {name: tf.TensorSpec(shape, dtype, name=name) for name, (_, shape, dtype) in function.inputs.items()}
    graph = tf.function(function.__call__, input_signature=[named], autograph=False)
    handlers: dict[str, Any] = {"SelectV2": (_select, []), "Log1p": (_log1p, []), "Expm1": (_expm1, [])}
    handlers["LookupTableFindV2"] = (partial(_code_of_text, function.texts), [])
    extra = [tf2onnx.utils.make_opsetid("ai.onnx.ml", 2)] if function.texts else None
    model, _ = tf2onnx.convert.from_function(
        graph, input_signature=[named], opset=OPSET, custom_op_handlers=handlers, extra_opset=extra
    )
    for captured in [
        one for one in model.graph.input if one.name not in named
    ]:  # what tables give where nothing is found
        model.graph.input.remove(captured)
    known = {"", "ai.onnx.ml"}
    if unknown := {node.op_type for node in model.graph.node if not _is_known(node, known)}:
        raise ChoiceError(f"ONNX has no {', '.join(sorted(unknown))}")
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, label.text()
    return bytes(model.SerializeToString())


def _is_known(node: Any, domains: set[str]) -> bool:
    from onnx import defs

    return node.domain in domains and (node.domain != "" or defs.has(node.op_type))


def _select(_graph: Any, node: Any, *_: Any) -> None:
    node.type = "Where"


def _log1p(graph: Any, node: Any, *_: Any) -> None:
    """`log(u) x / (u - 1)` with u = 1 + x, and x where u is 1."""
    make = _Maker(graph, node)
    x, one = node.input[0], make.number(1)
    u = make("Add", x, one)
    away = make("Sub", u, one)
    nothing = make("Equal", away, make.number(0))
    ratio = make("Div", x, make("Where", nothing, one, away))
    ratio = make("Where", make("Equal", u, x), one, ratio)  # so large that 1 is lost, infinite too
    make.replace("Where", nothing, x, make("Mul", make("Log", u), ratio))


def _expm1(graph: Any, node: Any, *_: Any) -> None:
    """`(u - 1) x / log(u)` with u = exp(x); x where u is 1, u - 1 where that is -1 or as large as u."""
    make = _Maker(graph, node)
    x, one = node.input[0], make.number(1)
    u = make("Exp", x)
    away = make("Sub", u, one)
    plain = make("Or", make("Equal", away, make.number(-1)), make("Equal", away, u))
    nothing = make("Equal", away, make.number(0))
    log = make("Log", make("Where", make("Or", plain, nothing), make.number(np.e), u))
    bent = make("Mul", away, make("Div", x, log))
    make.replace("Where", nothing, x, make("Where", plain, away, bent))


def _code_of_text(texts: Mapping[str, Sequence[str]], graph: Any, node: Any, name: str, *_: Any) -> None:
    """A LabelEncoder, whose texts are those of the table that the node's name tells."""
    values = next(values for mark, values in texts.items() if f"{mark}/" in name)
    attributes = {"keys_strings": list(values), "values_int64s": list(range(1, len(values) + 1)), "default_int64": -1}
    output, shape, dtype = node.output, graph.get_shape(node.output[0]), graph.get_dtype(node.output[0])
    came = node.input[1]
    graph.remove_node(node.name)
    graph.make_node(
        "LabelEncoder",
        [came],
        name=name,
        outputs=output,
        shapes=[shape],
        dtypes=[dtype],
        attr=attributes,
        domain="ai.onnx.ml",
    )


class _Maker:
    """Makes nodes of a graph in the place of one that ONNX does not have."""

    def __init__(self, graph: Any, node: Any) -> None:
        self.graph, self.node = graph, node
        self.dtype = graph.get_dtype(node.input[0])
        self.shape = graph.get_shape(node.output[0])

    def __call__(self, operation: str, *inputs: str) -> str:
        return str(self.graph.make_node(operation, list(inputs)).output[0])

    def number(self, value: float) -> str:
        from tf2onnx import utils

        array = np.array(value, utils.map_onnx_to_numpy_type(self.dtype))
        return str(self.graph.make_const(utils.make_name("number"), array).output[0])

    def replace(self, operation: str, *inputs: str) -> None:
        outputs, name = self.node.output, self.node.name
        self.graph.remove_node(name)
        self.graph.make_node(
            operation, list(inputs), name=name, outputs=outputs, shapes=[self.shape], dtypes=[self.dtype]
        )


def opened(path: Path) -> Any:
    """What runs an ONNX file: (types of the inputs by name, function of arrays by name)."""
    try:
        import onnxruntime
    except ImportError as error:
        raise _needs(error) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise DataError(f"{path}: is no ONNX model that onnxruntime runs: {str(error)[:300]}.") from None
    types = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(int64)": "int64", "tensor(string)": "str"}
    inputs = {one.name: types.get(one.type, "float32") for one in session.get_inputs()}
    outputs = [one.name for one in session.get_outputs()]

    def run(rows: Rows) -> Rows:
        return dict(zip(outputs, session.run(outputs, rows), strict=True))

    return inputs, run
