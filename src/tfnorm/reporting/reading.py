"""Checks, comparisons and advice as the report reads them: by the names of their fields, from the value or from its JSON.

The one law: what is not there is left out. A value may have more fields than are known here, or fewer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

Kind = Literal["drift", "comparison", "advice", ""]


def get(value: Any, *names: str, default: Any = None) -> Any:
    """The first of these fields that is there and not None, of an object or of a mapping."""
    for name in names:
        found = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
        if found is not None:
            return found
    return default


def kind_of(value: Any) -> Kind:
    """What a value is, by what it has."""
    if get(value, "contenders") is not None:
        return "comparison"
    if get(value, "rows_of_fit") is not None:
        return "drift"
    if any(get(column, "ranked") is not None for column in by_name(get(value, "columns")).values()):
        return "advice"
    return ""


def by_name(columns: Any) -> dict[str, Any]:
    """Columns by name, from a mapping or from a list of values that have one."""
    if isinstance(columns, Mapping):
        return {str(name): column for name, column in columns.items()}
    if isinstance(columns, Sequence) and not isinstance(columns, str):
        return {str(get(column, "name", "column", default="")): column for column in columns}
    return {}


def texts(value: Any, *names: str) -> tuple[str, ...]:
    """A list of texts, or one; none where it is not there."""
    found = get(value, *names, default=())
    return (found,) * bool(found) if isinstance(found, str) else tuple(str(one) for one in found)


def numbers(value: Any, *names: str) -> dict[str, float]:
    """Name -> number, of a mapping."""
    found = get(value, *names, default={})
    return {str(name): as_number(one) for name, one in dict(found).items()}


def as_number(value: Any) -> float:
    """NaN where it is none; "inf" and "nan" are as JSON has to write them."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def array(value: Any, *names: str) -> np.ndarray:
    """Numbers in rows and columns."""
    try:
        return np.asarray(get(value, *names, default=()), np.float64)
    except (TypeError, ValueError):
        return np.zeros(0)
