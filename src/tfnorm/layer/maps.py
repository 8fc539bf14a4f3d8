"""Maps as a layer holds them: decoded, whole, and those that differ in their numbers only side by side.

The one law: what is put side by side maps each column as it was mapped alone.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import Any

import numpy as np

from tfnorm import codec, maps
from tfnorm.errors import ArtefactError

_INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
NUMBERS = frozenset([*_INTEGERS, "bool", "float16", "bfloat16", "float32", "float64"])


def decoded(columns: Any) -> dict[str, maps.Map]:
    steps: dict[str, maps.Map] = {}
    for pair in columns.items() if isinstance(columns, Mapping) else columns or ():
        named = isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)
        if not named or pair[0] in steps:
            raise ArtefactError(f"columns: expected pairs of a name, there once, and a map, got {str(pair)[:80]}")
        name, step = pair
        if not isinstance(step, maps.Map):
            step = codec.decode(maps.Map, step, f"$.columns[{len(steps)}]")
        steps[name] = _whole(name, step)
    return steps


def _whole(name: str, step: maps.Map) -> maps.Map:
    """The map with float64 arrays of one entry a feature each."""
    arrays = {field: np.atleast_1d(np.asarray(value, np.float64)) for field, value in step.arrays().items()}
    if not shares(step):
        step = step.with_arrays(arrays)
        if flaw := step.flaw(step.features()):
            raise ArtefactError(f"column {quoted(name)}: {flaw}")
        return step
    features = max(map(len, arrays.values()), default=1)
    for field, value in arrays.items():
        if not value.size or len(value) not in (1, features):
            raise ArtefactError(f"column {quoted(name)}: {field} has shape {value.shape}, expected ({features},)")
    return step.with_arrays({k: v if len(v) == features else np.repeat(v, features, 0) for k, v in arrays.items()})


def shares(step: maps.Map) -> bool:
    """Whether its numbers may lie beside those of other columns: each is of one feature, the same all the way."""
    *before, last = step.maps if isinstance(step, maps.Chain) and step.maps else (step,)
    return all(one.elementwise for one in before) and (last.elementwise or last.marks or not step.arrays())


def alike(steps: dict[str, maps.Map]) -> Iterator[dict[str, maps.Map]]:
    """Columns that can share arrays, together: of one class and settings, float32 holding all numbers or none."""
    groups: dict[Any, dict[str, maps.Map]] = {}
    for name, step in steps.items():
        if not shares(step):
            groups[name] = {name: step}
            continue
        trailing = tuple((field, value.shape[1:]) for field, value in step.arrays().items())
        groups.setdefault((type(step), step.settings(), trailing), {})[name] = step
    for group in groups.values():
        all_fit = side_by_side(group.values()).fits("float32")
        narrow = {name: step for name, step in group.items() if all_fit or step.fits("float32")}
        wide = {name: step for name, step in group.items() if name not in narrow}
        yield from filter(None, (narrow, wide))


def side_by_side(steps: Iterable[maps.Map]) -> maps.Map:
    """The maps as one, over all their features."""
    steps = list(steps)
    arrays = [step.arrays() for step in steps]
    return steps[0].with_arrays({field: np.concatenate([one[field] for one in arrays]) for field in arrays[0]})


def rounding_is_harmless(step: maps.Map) -> bool:
    """Whether raw data may arrive rounded to float32: where the results lie, does it move them by less than 1e-6?

    From what has no way back nobody knows where they come from: what comes before it is asked in its place.
    """
    if step.lost:
        steps = step.maps if isinstance(step, maps.Chain) else (step,)
        before = tuple(takewhile(lambda one: not one.lost, steps))
        return not before or rounding_is_harmless(maps.chain(*before))
    if step.keyed():
        return _rounding_is_harmless_for_keys(step)
    shape = _shape_of_results(step, 4)
    y = np.reshape([-1.0, 0.0, 0.5, 1.0], (4, *[1] * (len(shape) - 1))) + np.zeros(shape)
    with np.errstate(all="ignore"):
        x = step.inverse(y, np)
        exact, rounded = (maps.run(step, value, np) for value in (x, x.astype("float32").astype("float64")))
        moved = np.abs(rounded - exact) / (1 + np.abs(exact))
    return bool(np.all((moved <= 1e-6) | np.isnan(exact)))


def _shape_of_results(step: maps.Map, rows: int) -> list[int]:
    """Of the least that the map gives for so many rows: images are as large as their patches need."""
    steps = step.maps if isinstance(step, maps.Chain) else (step,)
    side = math.prod(one.size for one in steps if isinstance(one, maps.Patches | maps.JoinPatches))
    features = side**2 if step.features() == 1 else step.features()  # any number will do: one that makes a patch
    came = (rows, side, side, features) if step.sample_axes > 1 else (rows, step.features())
    return [length or 1 for length in step.shape(came)]


def _rounding_is_harmless_for_keys(step: maps.Map) -> bool:
    """The same for every key: each a row of its own."""
    sizes = {one.keys.names: len(one.keys) for one in step.keyed()}
    rows = max(sizes.values()) + 1
    groups = {names: np.minimum(np.arange(rows), size) for names, size in sizes.items()}
    shape = _shape_of_results(step, rows)
    bound = step.bound(groups, len(shape), np)
    for value in (-1.0, 0.0, 0.5, 1.0):
        with np.errstate(all="ignore"):
            x = bound.inverse(np.full(shape, value), np)
            exact, rounded = (maps.run(bound, one, np) for one in (x, x.astype("float32").astype("float64")))
            moved = np.abs(rounded - exact) / (1 + np.abs(exact))
        if not np.all((moved <= 1e-6) | np.isnan(exact)):
            return False
    return True


def is_number(step: maps.Map, shape: maps.Shape) -> bool:
    """Whether it is one number a row that the map makes several of, or did: such need an axis of their own."""
    return len(shape) < 2 and not step.elementwise and step.features() == 1 and step.width(1) != 1


def layout_of(step: maps.Map, features: int, shape: maps.Shape) -> str:
    """How a column goes into a block of several."""
    if not (step.elementwise or step.marks) or features != 1:
        return "alone"
    return "stacked" if len(shape) < 2 else "joined" if shape[1:] == (1,) else "alone"


def shape_of_all(shapes: list[maps.Shape]) -> maps.Shape:
    widths = [shape[-1] if len(shape) > 1 else 1 for shape in shapes]
    batch = next((shape[0] for shape in shapes if shape[0] is not None), None)
    return (batch, None if None in widths else sum(width or 0 for width in widths))


def loss_in_float32(step: maps.Map, *, inverse: bool = False) -> float:
    """How far float32 takes results from where they lie, relative to 1 + their size; infinite beyond its range."""
    if step.lost or step.keyed():
        return 0.0
    shape = _shape_of_results(step, 7)
    y = np.reshape(np.linspace(-1.0, 1.0, 7), (7, *[1] * (len(shape) - 1))) + np.zeros(shape)
    with np.errstate(all="ignore"):
        single, x = step.at("float32"), maps.run(step, y, np, inverse=True)
        came, wanted = (y, x) if inverse else (x, maps.run(step, x, np))
        off = np.abs(maps.run(single, came.astype("float32"), np, inverse=inverse) - wanted) / (1 + np.abs(wanted))
    off = off[np.isfinite(wanted)]
    return float(np.where(np.isnan(off), np.inf, off).max(initial=0.0))


def fit_mark(fingerprint: str) -> str:
    """A word for graphs, which keep names and nothing else: `tfnorm.fingerprint` finds it in what was exported."""
    return f"tfnorm_{fingerprint}" if re.fullmatch("[0-9a-f]{64}", fingerprint) else "maps"


def quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def listed(names: Iterable[str], most: int = 10) -> str:
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(map(quoted, names[:most])) or "nothing") + more
