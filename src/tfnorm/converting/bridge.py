"""JSON of bridgescaler (NCAR): `save_scaler` writes the attributes of a scaler, arrays as base64.

The one law: the map gives what the scaler's own `transform` does. Nothing but numbers and names is built from the text.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from tfnorm.converting.made import Numbers
from tfnorm.converting.scalers import KINDS, affine, inverted, solved
from tfnorm.errors import DataError

_PLAIN = re.compile(r"[<>|=]?[fiub][1248]")
MAX_BYTES = 1 << 28


def numbers_of(path: Path) -> Numbers:
    """From the file; DataError where it is none of the scalers that are known."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: is too large (limit {MAX_BYTES} bytes).")
        found = json.loads(path.read_text(encoding="utf-8"), object_hook=_array)
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: is no JSON that bridgescaler writes: {error}.") from None
    kind = found.get("type") if isinstance(found, dict) else None
    own = {"DStandardScaler": _standard, "DMinMaxScaler": _minmax}
    if not isinstance(kind, str) or (kind not in own and kind not in KINDS):
        known = ", ".join([*own, *KINDS])
        raise DataError(f"{path}: holds {str(kind)[:60]!r}, and no scaler that can be converted. These can: {known}.")
    names = found.get("x_columns_" if kind in own else "feature_names_in_")
    names = () if found.get("is_array_", names is None) or names is None else tuple(str(name) for name in names)
    try:
        step, choice = own[kind](found) if kind in own else solved(kind, found)
    except KeyError as error:
        raise DataError(f"{path}: {kind} has no {error}; was it fitted?") from None
    seen = int(np.max(found.get("n_") or found.get("n_samples_seen_") or 0))
    return Numbers(
        step, choice, int(found.get("n_features_in_") or step.features()), f"bridgescaler {kind}", names, seen
    )


def _array(value: dict[str, Any]) -> Any:
    if "__numpy__" in value:
        dtype = value.get("dtype")
        if not isinstance(dtype, str) or not _PLAIN.fullmatch(dtype):
            raise ValueError(f"an array of {str(dtype)[:40]}")
        array = np.frombuffer(base64.b64decode(value["__numpy__"]), np.dtype(dtype))
        return array.reshape([int(length) for length in value["shape"]]) if value.get("shape") else array[0]
    if value.get("object") == "ndarray":
        return list(value["data"])
    return value


def _standard(a: dict[str, Any]) -> Any:
    return affine(a["mean_x_"], inverted(np.sqrt(a["var_x_"]))), "standard"


def _minmax(a: dict[str, Any]) -> Any:
    low, high = (np.asarray(a[name], np.float64) for name in ("min_x_", "max_x_"))
    return affine(low, inverted(high - low)), "minmax"
