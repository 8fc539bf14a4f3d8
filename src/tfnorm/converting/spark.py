"""Scaler models of Spark ML, from the folder that `model.save(path)` wrote: JSON and Parquet, read without Spark.

The one law: the map gives what the model's own `transform` does, for each feature of its vectors.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tfnorm import maps
from tfnorm.converting.made import Numbers
from tfnorm.converting.scalers import affine, inverted, settings_text
from tfnorm.errors import DataError

PREFIX = "org.apache.spark.ml.feature."


def is_model(folder: Path) -> bool:
    return (folder / "metadata").is_dir()


def numbers_of(folder: Path) -> Numbers:
    """From the saved folder; DataError where it is no scaler's."""
    about = _metadata(folder)
    kind = str(about.get("class", "")).removeprefix(PREFIX)
    parameters = {**about.get("defaultParamMap", {}), **about.get("paramMap", {})}
    if kind == "Normalizer":
        order = float(parameters.get("p", 2.0))
        names = {1.0: "l1", 2.0: "l2", np.inf: "linf"}
        if order not in names:
            raise DataError(f"{folder}: Normalizer with p={order}: the norms of 1, 2 and infinity can be converted.")
        return Numbers(maps.RowNorm(order), names[order], 0, f"Spark {kind}")
    make = {
        "StandardScalerModel": _standard,
        "MinMaxScalerModel": _minmax,
        "MaxAbsScalerModel": _maxabs,
        "RobustScalerModel": _robust,
    }.get(kind)
    if make is None:
        known = "StandardScalerModel, MinMaxScalerModel, MaxAbsScalerModel, RobustScalerModel and Normalizer"
        raise DataError(f"{folder}: holds a {kind[:80] or 'model without a class'}; {known} can be converted.")
    step, choice = make(_data(folder), parameters)
    return Numbers(step, choice, step.features(), f"Spark {kind}")


def _metadata(folder: Path) -> dict[str, Any]:
    parts = sorted(one for one in (folder / "metadata").iterdir() if one.name.startswith("part-"))
    try:
        found = json.loads("".join(one.read_text(encoding="utf-8") for one in parts).strip().splitlines()[0])
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"{folder}: its metadata cannot be read: {error}.") from None
    if not isinstance(found, dict):
        raise DataError(f"{folder}: its metadata is no JSON object.")
    return found


def _data(folder: Path) -> dict[str, np.ndarray]:
    """The one row of vectors, by column."""
    import pyarrow.parquet as pq

    files = sorted((folder / "data").glob("*.parquet"))
    try:
        row = pq.read_table(files[0]).to_pylist()[0]
        return {name: _vector(value) for name, value in row.items()}
    except (OSError, ValueError, IndexError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: its data cannot be read: {error}.") from None


def _vector(value: Any) -> np.ndarray:
    """Spark's vector, dense or sparse."""
    numbers = np.asarray(value["values"], np.float64)
    if value["type"] == 1:
        return numbers
    dense = np.zeros(int(value["size"]))
    dense[np.asarray(value["indices"], np.int64)] = numbers
    return dense


def _standard(data: dict[str, np.ndarray], said: dict[str, Any]) -> tuple[maps.Map, str]:
    center, scale = bool(said.get("withMean", False)), bool(said.get("withStd", True))
    std = data["std"]
    step = affine(data["mean"] if center else 0 * std, inverted(std) if scale else np.ones(len(std)))
    off = {name: False for name, on in (("center", center), ("scale", scale)) if not on}
    return step, settings_text("standard", **off)


def _minmax(data: dict[str, np.ndarray], said: dict[str, Any]) -> tuple[maps.Map, str]:
    low, high = float(said.get("min", 0.0)), float(said.get("max", 1.0))
    start, span = data["originalMin"], data["originalMax"] - data["originalMin"]
    offset = np.where(span == 0, (low + high) / 2, low)  # a constant becomes the middle, as Spark has it
    return affine(start, inverted(span) * (high - low), offset), settings_text("minmax", low=low, high=high)


def _maxabs(data: dict[str, np.ndarray], _said: dict[str, Any]) -> tuple[maps.Map, str]:
    largest = data["maxAbs"]
    return affine(0 * largest, inverted(np.where(largest == 0, 1.0, largest))), "maxabs"


def _robust(data: dict[str, np.ndarray], said: dict[str, Any]) -> tuple[maps.Map, str]:
    spread, median = data["range"], data["median"]
    center = median if said.get("withCentering", False) else 0 * median
    scale = inverted(spread) if said.get("withScaling", True) else np.ones(len(spread))
    low, high = (100 * float(said.get(name, share)) for name, share in (("lower", 0.25), ("upper", 0.75)))
    return affine(center, scale), settings_text("robust", low=low, high=high)
