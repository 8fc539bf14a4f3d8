"""TFLite: a fit as a flatbuffer that LiteRT runs, and running it. The one file that imports ai_edge_litert.

The one law: in float32 it gives what the layer gives; in 8 bits what it gives is told in steps of the result, or refused.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tfnorm.errors import ChoiceError, DataError
from tfnorm.exits import integers
from tfnorm.exits.labels import KEY, Label
from tfnorm.exits.rows import Rows
from tfnorm.fitted import Fitted
from tfnorm.keras_part import keras_part
from tfnorm.sources.columns import quoted

MOST_LOST = 1e-5  # of a result by float32, relative to 1 + its size
MOST_STEPS = 32.0  # of 256, by which a result in 8 bits may be off
MOST_ROWS = 10_000  # of a sample


def in_integers(fitted: Fitted, function: Any, label: Label, sample: list[Rows]) -> tuple[bytes, dict[str, float]]:
    """The function of named tensors (`tfnorm.layer.served`) as a TFLite file of 8 bits; and by how many of the 256 steps of its
    results each column is off where it is most, for the sample."""
    rows = _whole_rows(fitted, sample)
    if function.layer.inverse:
        alone = fitted.profile.bare and len(fitted.columns) == len(rows)
        rows |= {fitted.columns[0]: fitted.transform(rows[fitted.columns[0]])} if alone else fitted.transform(rows)
    data = integers.converted(function, rows)
    _check_integers(data)
    return _labelled(data, label), _steps_off(fitted, function, data, rows)


def convert(fitted: Fitted, function: Any, label: Label) -> bytes:
    """The function of named tensors (`tfnorm.layer.served`) as a TFLite file, in float32."""
    loss, inverse = keras_part().loss_in_float32, function.layer.inverse
    lossy = {name: lost for name, step in fitted.maps.items() if (lost := loss(step, inverse=inverse)) > MOST_LOST}
    if lossy:
        name = max(lossy, key=lambda one: lossy[one])
        raise DataError(
            f"column {quoted(lossy)}: {fitted.choice[name]}: float32 is off by {lossy[name]:.1g} there, as the values are "
            "far from 0 for their spread, and TFLite computes in no other. Take off a constant first, or export to ONNX or a "
            "SavedModel."
        )
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        keras_part().write_saved_model(function, folder)
        return _labelled(_converted(tf.lite.TFLiteConverter.from_saved_model(folder)), label)


def _converted(converter: Any) -> bytes:
    try:
        return bytes(converter.convert())
    except Exception as error:
        lacking = dict.fromkeys(re.findall(r"'tf\.(\w+)' op is neither", str(error)))
        raise ChoiceError(f"TFLite has no {', '.join(lacking)}" if lacking else str(error)) from error


def _whole_rows(fitted: Fitted, sample: list[Rows]) -> Rows:
    """Some rows without missing values, which tell what numbers come."""
    found: list[Rows] = []
    left = MOST_ROWS
    for batch in sample:
        whole = np.logical_and.reduce(
            [np.isfinite(batch[name]).reshape(len(batch[name]), -1).all(axis=1) for name in fitted.columns]
        )
        found.append({name: values[whole][:left] for name, values in batch.items()})
        left -= len(next(iter(found[-1].values())))
        if left <= 0:
            break
    rows = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
    if not len(next(iter(rows.values()))):
        raise DataError("integers: every row of the sample has missing values, and 8 bits have none. Give others.")
    return rows


def _check_integers(data: bytes) -> None:
    interpreter = _interpreter()(model_content=data)
    kinds = {np.dtype(one["dtype"]).name for one in interpreter.get_tensor_details()}
    if kinds & {"float32", "float16", "float64"}:
        raise ValueError("LiteRT has some of its steps in floating point only")


def _steps_off(fitted: Fitted, function: Any, data: bytes, rows: Rows) -> dict[str, float]:
    """Refuses what is off by too many: where a curve is steep, one of the 256 numbers that go in is many of its results."""
    _, run = opened(data)
    expected, found = integers.wanted(function, rows), {}
    got = run({name: rows[column] for name, (column, *_) in function.inputs.items()})
    for name, step in run.steps.items():
        column = function.outputs[name]
        if column in expected:
            wanted = expected[column].reshape(len(got[name]), -1)
            values = got[name].reshape(len(got[name]), -1)
            off = np.abs(values - wanted[:, : values.shape[1]]) / step  # after the values there may be marks
            found[column] = float(np.nanmax(off, initial=0.0))
            if found[column] > MOST_STEPS:
                raise ChoiceError(
                    f"column {quoted([column])}: {fitted.choice[column]}: in 8 bits it is off by {found[column]:.0f} of 256 "
                    f"steps of the result, and more than {MOST_STEPS:.0f} are refused: the sample's values, and 0, have 256 "
                    "numbers. Take off what is far from 0, or export it in float32 (without integers)."
                )
    return found


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
    if values.dtype.kind in "OU":
        return np.array([str(one).encode() for one in values.tolist()], np.bytes_)
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
