"""TFLite: a fit as a flatbuffer that LiteRT runs, and running it. The one file that imports ai_edge_litert.

The one law: in float32 it gives what the layer gives; in 8 bits what it gives is told in steps of the result, or refused.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfnorm.errors import ChoiceError, DataError
from tfnorm.exits.labels import KEY, Label
from tfnorm.exits.rows import Rows
from tfnorm.fitted import Fitted
from tfnorm.keras_part import keras_part
from tfnorm.sources.columns import quoted

MOST_LOST = 1e-5  # of a result by float32, relative to 1 + its size
MOST_STEPS = 4.0  # of 256, by which a result in 8 bits may be off
CALIBRATED = 1000  # rows


def convert(fitted: Fitted, function: Any, label: Label, sample: list[Rows] | None) -> bytes:
    """The function of named tensors (`tfnorm.layer.served`) as a TFLite file; in 8 bits where there is a sample."""
    import tensorflow as tf

    loss, inverse = keras_part().loss_in_float32, function.layer.inverse
    lossy = {name: lost for name, step in fitted.maps.items() if (lost := loss(step, inverse=inverse)) > MOST_LOST}
    if lossy:
        name = max(lossy, key=lambda one: lossy[one])
        raise DataError(
            f"column {quoted(lossy)}: {fitted.choice[name]}: float32 is off by {lossy[name]:.1g} there, as the values are "
            "far from 0 for their spread, and TFLite computes in no other. Take off a constant first, or export to ONNX or a "
            "SavedModel."
        )
    if sample is not None and any(dtype == "string" for _, _, dtype in function.inputs.values()):
        raise ChoiceError("text keys are not integers")
    with tempfile.TemporaryDirectory() as folder:
        keras_part().write_saved_model(function, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if sample is not None:
            rows = [_ready(function, batch) for batch in _first(fitted, sample)]
            if not rows:
                raise DataError(
                    "integers: every row of the sample has missing values, and 8 bits have none. Give others."
                )
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: iter(rows)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        data = _labelled(_converted(converter), label)
    if sample is not None:
        _check_integers(data)
        _check_steps(fitted, function, data, rows)
    return data


def _converted(converter: Any) -> bytes:
    try:
        return bytes(converter.convert())
    except Exception as error:
        lacking = dict.fromkeys(re.findall(r"'tf\.(\w+)' op is neither", str(error)))
        raise ChoiceError(f"TFLite has no {', '.join(lacking)}" if lacking else str(error)) from error


def _first(fitted: Fitted, sample: list[Rows]) -> Iterator[Rows]:
    """Some rows without missing values, by which the converter sees what comes."""
    left = CALIBRATED
    for batch in sample:
        whole = np.logical_and.reduce(
            [np.isfinite(batch[name]).reshape(len(batch[name]), -1).all(axis=1) for name in fitted.columns]
        )
        rows = {name: values[whole][:left] for name, values in batch.items()}
        left -= len(next(iter(rows.values())))
        if len(next(iter(rows.values()))):
            yield rows
        if left <= 0:
            return


def _ready(function: Any, rows: Rows) -> Rows:
    return {name: rows[column].astype(dtype) for name, (column, _, dtype) in function.inputs.items()}


def _check_integers(data: bytes) -> None:
    interpreter = _interpreter()(model_content=data)
    kinds = {np.dtype(one["dtype"]).name for one in interpreter.get_tensor_details()}
    if kinds & {"float32", "float16", "float64"}:
        raise ValueError("LiteRT has some of its steps in floating point only")


def _check_steps(fitted: Fitted, function: Any, data: bytes, sample: list[Rows]) -> None:
    """Refuses what is off by more than a few steps of the result: steep curves have too few."""
    _, run = opened(data)
    for rows in sample:
        came = {column: rows[name] for name, (column, _, _) in function.inputs.items()}
        got = run(rows)
        for name, step in run.steps.items():
            column = function.outputs[name]
            if step and column in fitted.columns:
                wanted = fitted[column].transform(came[column])
                off = float(np.nanmax(np.abs(got[name].reshape(wanted.shape) - wanted), initial=0.0)) / step
                if off > MOST_STEPS:
                    raise ChoiceError(
                        f"column {quoted([column])}: {fitted.choice[column]}: in 8 bits it is off by {off:.0f} of 256 steps of "
                        f"the result, and more than {MOST_STEPS:.0f} are refused. Export it in float32 (without integers), or "
                        "choose a straight line: standard, minmax, robust."
                    )


def _labelled(data: bytes, label: Label) -> bytes:
    """With the label in a metadata buffer of its own, where LiteRT leaves it alone."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(data))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(label.text().encode(), np.uint8)
    entry.name, entry.buffer = KEY, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def opened(model: Path | bytes) -> Any:
    """What runs a TFLite file: (types of the inputs by name, function of arrays by name)."""
    given = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
    try:
        runner = _interpreter()(**given).get_signature_runner()
    except (ValueError, RuntimeError) as error:
        where = "the TFLite model" if isinstance(model, bytes) else model
        raise DataError(f"{where}: is nothing that LiteRT runs: {str(error)[:300]}.") from None
    types = {name: np.dtype(way["dtype"]) for name, way in runner.get_input_details().items()}
    return {name: _given(one) for name, one in types.items()}, _Run(runner)


def _given(kind: np.dtype[Any]) -> str:
    """The type of what is put in: numbers also where the model takes integers of 8 bits."""
    return "str" if kind.kind in "OSU" else "float32" if kind.itemsize == 1 else kind.name


class _Run:
    """Runs rows of real numbers, also through a model of integers."""

    def __init__(self, runner: Any) -> None:
        self.runner = runner
        self.steps = {name: one["quantization"][0] for name, one in runner.get_output_details().items()}

    def __call__(self, rows: Rows) -> Rows:
        ways_in, ways_out = self.runner.get_input_details(), self.runner.get_output_details()
        found = self.runner(**{name: _to_integers(values, ways_in[name]) for name, values in rows.items()})
        return {name: _to_numbers(values, ways_out[name]) for name, values in found.items()}


def _to_integers(values: np.ndarray, way: Any) -> np.ndarray:
    step, zero = way["quantization"]
    if not step:
        return values.astype(way["dtype"])
    limits = np.iinfo(way["dtype"])
    with np.errstate(invalid="ignore"):
        return np.clip(np.round(np.nan_to_num(values) / step + zero), limits.min, limits.max).astype(way["dtype"])


def _to_numbers(values: np.ndarray, way: Any) -> np.ndarray:
    step, zero = way["quantization"]
    return (values.astype(np.float32) - zero) * np.float32(step) if step else values


def _interpreter() -> Any:
    """LiteRT's own, or the one that TensorFlow still has."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tensorflow import lite
        except ImportError:
            raise ImportError(
                "TFLite needs ai-edge-litert, which is not installed: pip install 'tfnorm[litert]'."
            ) from None
        return lite.Interpreter
    return Interpreter
