"""Any export, or a live Keras object, as one thing that maps rows by column.

The one law: `opened(x).run(rows)` is what x gives for these rows, whatever its tensors are called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.exits import litert, onnx, saved_model
from tfnorm.exits.exporting import ENDINGS, FORMATS
from tfnorm.exits.identifying import fingerprints, label_of
from tfnorm.exits.rows import Rows
from tfnorm.fitted import Fitted
from tfnorm.keras_part import keras_part
from tfnorm.sources.columns import quoted


@dataclass(frozen=True)
class Opened:
    """What maps rows."""

    name: str
    inverse: bool
    fingerprints: tuple[str, ...]
    run: Callable[[Rows], Rows]  # columns in, columns out


def opened(fitted: Fitted, model: Any) -> Opened:
    """`model` is a path, a layer or a model, of which the part that normalizes is taken."""
    if isinstance(model, str | PathLike):
        path = Path(model)
        kind = FORMATS.get(path.suffix)
        if not path.exists():
            raise DataError(f"{path}: is not there. Expected an export: {ENDINGS}.")
        if path.is_dir() or kind == "SavedModel":
            return _of_tensors(fitted, path, *saved_model.opened(path))
        if kind == "Keras":
            return _of_keras(fitted, keras_part().open_model(path), str(path))
        if kind is None:
            raise DataError(f"{path}: expected an export: {ENDINGS}.")
        return _of_tensors(fitted, path, *(onnx if kind == "ONNX" else litert).opened(path))
    if not (hasattr(model, "get_config") and callable(model)):
        raise DataError(f"expected a Keras layer or model, or an export's path, got {type(model).__name__}.")
    return _of_keras(fitted, model, getattr(model, "name", type(model).__name__))


def _of_tensors(fitted: Fitted, path: Path, types: Mapping[str, str], run: Callable[[Rows], Rows]) -> Opened:
    label = label_of(path)
    columns = label.inputs if label else _guessed(fitted, path, types)

    def of_columns(rows: Rows) -> Rows:
        came = {name: _cast(rows[columns[name]], kind) for name, kind in types.items()}
        found = run(came)
        names = label.outputs if label else {name: name for name in found}
        if len(found) == len(fitted.columns) == 1:
            return {fitted.columns[0]: next(iter(found.values()))}
        return {names.get(name, name): values for name, values in found.items()}

    return Opened(str(path), bool(label and label.inverse), fingerprints(path), of_columns)


def _guessed(fitted: Fitted, path: Path, types: Mapping[str, str]) -> dict[str, str]:
    """Which tensor is which column, where somebody else named them: by name, or the one there is."""
    if len(types) == 1 and len(fitted.columns) == 1:
        return dict(zip(types, fitted.columns, strict=True))
    names = {keras_part().word(column): column for column in fitted.columns}
    if unknown := [name for name in types if name not in names]:
        raise DataError(
            f"{path}: its inputs {quoted(types)} are not the columns {quoted(fitted.columns)} (no column is called "
            f"{quoted(unknown)}). Export the fit itself: tfnorm export."
        )
    return {name: names[name] for name in types}


def _cast(values: np.ndarray, kind: str) -> np.ndarray:
    if kind == "str":
        return np.asarray(["" if one is None else str(one) for one in values.tolist()], object)
    return values.astype(kind)


def _of_keras(fitted: Fitted, model: Any, name: str) -> Opened:
    part, bare = keras_part(), fitted.profile.bare
    found = part.normalizing(model)
    if found is None:
        raise DataError(f"{name}: has no layer of a fit in it, or several. Give the layer itself.")
    alone = bare or (isinstance(found, part.Normalize) and found.bare)
    types = part.types_of(found, fitted.shapes)

    def run(rows: Rows) -> Rows:
        tensors = {column: part.tensor(rows[column], kind) for column, kind in types.items()}
        keyed = alone and len(tensors) > 1
        result = found(tensors if keyed or not alone else next(iter(tensors.values())))
        if isinstance(result, Mapping):
            return {column: np.asarray(part.array(values)) for column, values in result.items()}
        if alone:
            return {next(iter(types)): np.asarray(part.array(result))}
        raise DataError(f"{name}: gives one tensor of all columns (concatenate), and they are compared by name.")

    return Opened(name, part.is_inverse(found), fingerprints(model), run)
