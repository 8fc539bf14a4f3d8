"""Which columns a network is given, and which network that calls for.

The one law: whatever is left out is named, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tfnorm.errors import ChoiceError
from tfnorm.sources import Column, Source
from tfnorm.sources.columns import did_you_mean, quoted

MODELS = ("mlp", "linear", "cnn", "rnn")


@dataclass(frozen=True)
class Features:
    """The columns, in the source's order, and what is done with them."""

    columns: tuple[Column, ...]
    model: str
    shaped: bool  # one column in its own shape, and not numbers side by side
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def width(self) -> int:
        """Numbers a row."""
        return sum(math.prod(int(length or 1) for length in column.shape) for column in self.columns)


def chosen_features(source: Source, target: str | None, columns: Any, model: str | None, own: bool) -> Features:
    """All numeric columns of a known shape but target and weight, or those of them that were asked for.

    target: the column to predict, which is no feature; None where it came beside the source.
    own: whether the network is the user's.
    """
    if model is not None and (model not in MODELS or own):
        said = "leave it out beside model_fn" if own else f"expected one of {', '.join(MODELS)}"
        raise ChoiceError(f"model={model!r}: {said}.{'' if own else did_you_mean(model, MODELS)}")
    known = {column.name: column for column in source.columns}
    named = None if columns is None else [columns] if isinstance(columns, str) else [str(name) for name in columns]
    if unknown := [name for name in named or () if name not in known]:
        hint = did_you_mean(unknown[0], known)
        raise ChoiceError(f"column {quoted(unknown)}: not in {source.name}, which has {quoted(known)}.{hint}")
    found, left = [], {}
    for column in source.columns:
        if column.name in (target, source.weight) or (named is not None and column.name not in named):
            continue
        if column.kind != "number":
            left[column.name] = column.dtype
        elif column.layout != "dense" or None in column.shape:
            left[column.name] = f"{column.layout}, rows of no fixed shape"
        else:
            found.append(column)
    if not found:
        raise ChoiceError(
            f"there is no column of numbers among {quoted(known)} to predict {quoted([target or 'target'])} from."
        )
    deep = [column for column in found if len(column.shape) > 1]
    if model is None and not own:
        model = "mlp" if not deep else "cnn" if len(deep[0].shape) == 3 else "rnn"
    shaped = len(found) == 1 if own else model in ("cnn", "rnn")
    if shaped and not own:
        found, others = _one_shape(deep, found, str(model))
        left |= {column.name: f"{column.dtype}, beside {quoted([found[0].name])}" for column in others}
    notes: tuple[str, ...] = ()
    if left:
        listed = ", ".join(f"{quoted([name])} ({why})" for name, why in list(left.items())[:10])
        more = f" and {len(left) - 10} more" if len(left) > 10 else ""
        notes = (f"Left out: {listed}{more}.",)
    return Features(tuple(found), model or "", shaped, notes)


def _one_shape(deep: Sequence[Column], found: Sequence[Column], model: str) -> tuple[list[Column], list[Column]]:
    """The column of images or series that a network takes, and those that it does not."""
    lengths = (2, 3) if model == "cnn" else (2,)
    fit = [column for column in deep if len(column.shape) in lengths]
    wanted = "images (h, w, c) or series (t, d)" if model == "cnn" else "series (t, d)"
    if len(fit) != 1:
        shapes = ", ".join(f"{quoted([column.name])} {column.shape}" for column in found[:10])
        raise ChoiceError(
            f"model={model!r} takes one column of {wanted}, and there are {len(fit)}: {shapes}. "
            "Choose it with columns=, or another model."
        )
    return fit, [column for column in found if column is not fit[0]]
