"""Which fit is in a model: asked by servers, told by what was saved.

The one law: two that tell the same fingerprint have the same techniques with the same numbers.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

from tfnorm.errors import ArtefactError, DataError, TfnormError
from tfnorm.exits.labels import FILE, Label, label_in, marks_in
from tfnorm.fitted import Fitted
from tfnorm.fitted_column import FittedColumn
from tfnorm.keras_part import keras_part

MAX_BYTES = 1 << 31


def fingerprint(model: Any) -> str:
    """The fingerprint of the one fit in it: SHA-256 of its techniques and numbers, 64 hexadecimal digits.

    model: a fit, a layer, a Keras model, or the path of norm.json, a .keras or .tflite or .onnx file, or a SavedModel's folder;
        what Keras' own `model.export` wrote, too.

    A server asserts that it serves what it thinks: `assert tfnorm.fingerprint("model/") == tfnorm.fingerprint("norm.json")`.

    Errors: TfnormError where there is none, or several (`tfnorm.fingerprints` tells all), or where other weights were loaded
    into a layer than its fit's.

    >>> import tfnorm
    >>> fitted = tfnorm.fit({"age": [22.0, 38.0, 26.0]}, "standard")
    >>> tfnorm.fingerprint(fitted) == fitted.fingerprint
    True
    """
    found = fingerprints(model)
    if len(found) != 1:
        named = Path(model) if isinstance(model, str | PathLike) else getattr(model, "name", type(model).__name__)
        raise TfnormError(
            f"{named}: holds {'no fit' if not found else f'{len(found)} fits: ' + ', '.join(found)}, expected one. "
            + ("Make it with fitted.layer() or fitted.export(path)." if not found else "tfnorm.fingerprints gives all.")
        )
    return found[0]


def fingerprints(model: Any) -> tuple[str, ...]:
    """Those of all fits in it, each once, in the order in which they are found; see `fingerprint`."""
    if isinstance(model, Fitted):
        return (model.fingerprint,)
    if isinstance(model, FittedColumn):
        return (model.fitted.fingerprint,)
    if isinstance(model, str | PathLike):
        return _of_path(Path(model))
    if not (hasattr(model, "get_config") and callable(model)):
        raise DataError(f"expected a fit, a Keras layer or model, or a path, got {type(model).__name__}.")
    part = keras_part()
    found: dict[str, None] = {}
    for one, mark in part.fits_in(model):
        if isinstance(one, part.Normalize) and not part.holds_its_fit(one):
            raise TfnormError(
                f"layer {one.name}: other weights were loaded into it than those of its fit {mark[:12]}..., so it is no fit's."
            )
        found[mark] = None
    return tuple(found)


def label_of(path: Path) -> Label | None:
    """What an export says of itself; None where it says nothing."""
    file = path / FILE if path.is_dir() else path
    return label_in(_bytes(file)) if file.is_file() else None


def _of_path(path: Path) -> tuple[str, ...]:
    if path.is_dir():
        if label := label_of(path):
            return (label.fingerprint,)
        graph = path / "saved_model.pb"
        if not graph.is_file():
            raise DataError(f"{path}: is no SavedModel: it has no saved_model.pb.")
        return marks_in(_bytes(graph))
    if path.suffix == ".keras":
        return _of_keras_file(path)
    data = _bytes(path)
    if label := label_in(data):
        return (label.fingerprint,)
    if path.suffix != ".json":
        return marks_in(data)
    from tfnorm.artefact import loads

    try:
        value = loads(data)
    except ArtefactError as error:
        raise ArtefactError(f"{path}: {error}") from None
    return (value.fingerprint,) if isinstance(value, Fitted) else ()


def _of_keras_file(path: Path) -> tuple[str, ...]:
    """From the configuration, which is text; nothing is built from it."""
    try:
        with zipfile.ZipFile(path) as whole:
            config = json.loads(whole.read("config.json"))
    except (OSError, ValueError, KeyError, RecursionError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: is no Keras file: {error}.") from None
    return tuple(dict.fromkeys(_in_config(config)))


def _in_config(config: Any) -> Iterator[str]:
    if isinstance(config, dict):
        inner = config.get("config")
        if config.get("registered_name") == "tfnorm>Normalize" and isinstance(inner, dict) and inner.get("fingerprint"):
            yield str(inner["fingerprint"])
            return
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            yield from marks_in(inner["name"].encode()) if inner["name"].startswith("tfnorm_") else ()
        for value in config.values():
            yield from _in_config(value)
    elif isinstance(config, list):
        for value in config:
            yield from _in_config(value)


def _bytes(path: Path) -> bytes:
    if not path.exists():
        raise DataError(f"{path}: is not there.")
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: {path.stat().st_size} bytes is too large (limit {MAX_BYTES}).")
    return path.read_bytes()
