"""How the outputs of a model come back to real units.

The one law: an output that has a way back is mapped by it, part by part of its last axis; the others stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from tfnorm.errors import TfnormError
from tfnorm.layer.lookups import keys_of
from tfnorm.layer.maps import listed
from tfnorm.layer.normalize import Normalize

Tensor = Any
Heads = Mapping[
    Any, Sequence[Normalize]
]  # name or place of an output (None: the only one) -> the ways back of its parts
SAFE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")  # of a layer: servers show it


def restored(model: keras.Model, predicted: Any, heads: Heads, keys: Mapping[str, Tensor], taken: set[str]) -> Any:
    """The outputs in real units, in the structure and under the names in which they came.

    keys: the key columns, for ways back that are by key.
    taken: names that other layers have.
    Errors: TfnormError where an output is not there, or does not part evenly.
    """
    named = _named(model, predicted)
    lone = None in heads
    if lone and len(named) != 1:
        raise TfnormError(
            f"the model has {len(named)} outputs: {listed(map(str, named))}. Say which column each one predicts: "
            "target={output: column}, those left out staying as they are"
        )
    chosen = {next(iter(named)): heads[None]} if lone else {_key(name, named): parts for name, parts in heads.items()}
    found = {}
    for name, x in named.items():  # Keras calls outputs as the layers that they come from
        free = not lone and isinstance(name, str) and SAFE_NAME.fullmatch(name) and name not in taken
        called = {"name": name} if free else {}
        taken.update(called.values())
        found[name] = _back(name, x, chosen.get(name, ()), called, keys)
    if isinstance(predicted, Mapping):
        return found
    return list(found.values()) if isinstance(predicted, list | tuple) else next(iter(found.values()))


def _named(model: keras.Model, predicted: Any) -> dict[Any, Tensor]:
    """The outputs by name, or by place where they have none."""
    if isinstance(predicted, Mapping):
        named = dict(predicted)
    elif isinstance(predicted, list | tuple):
        names = getattr(model, "output_names", None) or range(len(predicted))
        named = dict(zip(names if len(set(names)) == len(predicted) else range(len(predicted)), predicted, strict=True))
    else:
        named = {(getattr(model, "output_names", None) or [0])[0]: predicted}
    if nested := [name for name, x in named.items() if isinstance(x, Mapping | list | tuple)]:
        raise TfnormError(
            f"output {listed(map(str, nested))}: holds several tensors itself. Give each a name of its own"
        )
    return named


def _key(name: Any, named: Mapping[Any, Tensor]) -> Any:
    """The output that is meant: by name, or by its place among them."""
    if name in named:
        return name
    if isinstance(name, int) and -len(named) <= name < len(named):
        return list(named)[name]
    raise TfnormError(f"output {listed([str(name)])}: the model has {listed(map(str, named))}. Name one of these")


def _back(
    output: Any, x: Tensor, parts: Sequence[Normalize], called: dict[str, str], keys: Mapping[str, Tensor]
) -> Tensor:
    """One output in real units; `called` holds the name of the layer that gives it, where it is to have one."""
    if not parts:
        return keras.layers.Identity(**called)(x)
    if len(parts) == 1:
        (step,) = parts
        if called:
            step = Normalize.from_config({**step.get_config(), **called})
            step.set_weights(parts[0].get_weights())
        return _run(step, x, keys)
    width = x.shape[-1]
    if len(x.shape) < 2 or width is None or width % len(parts):
        came = f"shape {tuple(x.shape)} does not part evenly into {len(parts)} on its last axis"
        raise TfnormError(
            f"output {listed([str(output)])}: {came}. Say what it predicts, in this order: (column, part, ...)"
        )
    split = ops.split(x, len(parts), axis=-1)
    return keras.layers.Concatenate(**called)([_run(step, one, keys) for step, one in zip(parts, split, strict=True)])


def _run(step: Normalize, x: Tensor, keys: Mapping[str, Tensor]) -> Tensor:
    return step({**keys, next(iter(step.columns)): x} if keys_of(step.columns.values()) else x)
