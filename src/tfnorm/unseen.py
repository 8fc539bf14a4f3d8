"""Which key each row has, and what is done about keys that the fit has not seen.

The one law: rows of a key that is not known are told of, once a call, whatever becomes of them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfnorm.apply import Groups
from tfnorm.errors import ChoiceError, DataError
from tfnorm.keys import Keys, key_text, listed
from tfnorm.maps import ByKey, Map
from tfnorm.sources.columns import quoted


def key_columns(steps: Iterable[Map]) -> list[str]:
    """The names of the key columns that some maps need."""
    return list(dict.fromkeys(name for step in steps for keyed in step.keyed() for name in keyed.keys.names))


def groups_of(
    steps: Mapping[str, Map], arrays: Mapping[str, Any], num_rows: int, place: str = "", first_row: int = 0
) -> Groups:
    """Which key each row has, for every set of key columns that the maps of some columns need.

    arrays: a key column's rows, or the one key of all of them. `place` and `first_row` are for errors.
    """
    found: dict[tuple[str, ...], np.ndarray] = {}
    where = f" ({place})" if place else ""
    missing = [name for name in key_columns(steps.values()) if name not in arrays]
    if missing:
        raise DataError(
            f"key column {quoted(missing)}: not there, and {quoted(steps)} cannot go without{where}. Add it."
        )
    for keys, users in _by_keys(steps):
        rows = {name: _rows(name, arrays[name], num_rows) for name in keys.names}
        groups = found[keys.names] = keys.find(rows, place, first_row)
        unknown = np.flatnonzero(groups == len(keys))
        if not len(unknown):
            continue
        first = {
            name: column[unknown[:1]] if not isinstance(column, list) else column[unknown[0] :][:1]
            for name, column in rows.items()
        }
        example = f"{key_text(Keys.of(first)[0][0])} in row {first_row + int(unknown[0])}"
        refused = [name for name, keyed in users.items() if keyed.unseen == "error"]
        if refused:
            raise DataError(
                f"column {quoted(refused)}: the fit has not seen every key of {listed(keys.names)}: {example}, and "
                f"{len(unknown):,} of {num_rows:,} rows in all{where}. Leave them out, or fit with unseen='global'."
            )
        becomes = ", ".join(
            f"{quoted([name])} {'gets the numbers of all rows' if keyed.unseen == 'global' else 'becomes NaN'}"
            for name, keyed in list(users.items())[:10]
        )
        logging.getLogger("tfnorm").warning(
            "%s of %s rows have a key of %s that the fit has not seen, first %s%s: %s",
            f"{len(unknown):,}", f"{num_rows:,}", listed(keys.names), example, where, becomes,
        )  # fmt: skip
    return found


def _by_keys(steps: Mapping[str, Map]) -> list[tuple[Keys, dict[str, ByKey]]]:
    """Every set of keys, and which columns are mapped by it."""
    found: dict[tuple[str, ...], tuple[Keys, dict[str, ByKey]]] = {}
    for column, step in steps.items():
        for keyed in step.keyed():
            found.setdefault(keyed.keys.names, (keyed.keys, {}))[1][column] = keyed
    return list(found.values())


def _rows(name: str, values: Any, num_rows: int) -> Any:
    """One key a row, as an array or a list; a lone key is that of every row."""
    if values is None or isinstance(values, str | bytes) or np.ndim(values) == 0:
        lone = np.empty(num_rows, object)
        lone[:] = values.item() if isinstance(values, np.generic | np.ndarray) else values
        return lone
    if not isinstance(values, list | tuple | np.ndarray) and not hasattr(values, "__arrow_array__"):
        values = np.asarray(values)
    if len(values) != num_rows:
        raise DataError(
            f"key column {quoted([name])}: expected one key for each of {num_rows} rows, got {len(values)}."
        )
    return list(values) if isinstance(values, tuple) else values


def keys_argument(step: Map, keys: Any, column: str) -> Mapping[str, Any]:
    """What was given as `keys=` of a lone array: by the name of the key column, or itself where there is one."""
    names: Sequence[str] = key_columns([step])
    if not names:
        if keys is not None:
            raise ChoiceError(f"column {quoted([column])}: its technique is by no key, so it takes no keys=.")
        return {}
    if keys is None:
        example = ", ".join(f"{name!r}: ..." for name in names)
        raise ChoiceError(f"column {quoted([column])}: its numbers are by key; give keys={{{example}}}.")
    if isinstance(keys, Mapping):
        return {str(name): value for name, value in keys.items()}
    if len(names) > 1:
        raise ChoiceError(f"column {quoted([column])}: keys= must be a mapping with {quoted(names)}.")
    return {names[0]: keys}
