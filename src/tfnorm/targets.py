"""What the outputs of a model predict: which column, and what of its distribution.

The one law: naming a head says all that is needed to bring it back, so whoever takes a `target` takes it in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tfnorm.errors import ChoiceError
from tfnorm.fitted_column import FittedColumn
from tfnorm.maps import SPREADS
from tfnorm.sources.columns import quoted

if TYPE_CHECKING:
    from tfnorm.fitted import Fitted

Output = str | int | None  # the name of an output, its place in a list of them, or the only one there is


@dataclass(frozen=True)
class Head:
    """One output of a model."""

    column: FittedColumn
    parts: tuple[str, ...] = ("mean",)  # what lies side by side on its last axis, in equal shares

    def layers(self) -> list[Any]:
        """The way back of each part, as layers."""
        return [self.column.layer(inverse=True, of=of) for of in self.parts]


def heads_of(fitted: Fitted, target: Any) -> dict[Output, Head]:
    """From what a user says to the heads, by output.

    target: a column's name, `fitted[name]`, or a fit of one column, for a model of one output; a pair of this and what of its
        distribution is predicted: `("price", "variance")`, or, for several side by side on the last axis,
        `("price", "mean", "log_variance")`; or a dict of such by output: its name, or its place where outputs have none.

    Errors: ChoiceError.

    >>> import tfnorm
    >>> fitted = tfnorm.fit({"price": [1.0, 3.0], "qty": [1.0, 9.0]}, "standard")
    >>> {name: (head.column.name, head.parts) for name, head in
    ...  heads_of(fitted, {"mu": "price", "sigma": ("price", "deviation"), "qty": "qty"}).items()}
    {'mu': ('price', ('mean',)), 'sigma': ('price', ('deviation',)), 'qty': ('qty', ('mean',))}
    """
    if not isinstance(target, Mapping):
        return {None: _head(fitted, target)}
    if not target:
        raise ChoiceError("target names no output. Say which column each one predicts: {output: column}.")
    return {name if isinstance(name, int) else str(name): _head(fitted, one) for name, one in target.items()}


def _head(fitted: Fitted, target: Any) -> Head:
    parts: tuple[Any, ...] = ("mean",)
    if isinstance(target, tuple | list):
        target, *rest = target or (None,)
        parts = tuple(rest) or parts
    if wrong := [part for part in parts if part not in ("mean", *SPREADS)]:
        raise ChoiceError(
            f"target: after the column come mean, {', '.join(SPREADS)}, got {wrong[0]!r}. Several outputs are named: "
            "{output: column, other: column}."
        )
    if isinstance(target, type(fitted)):
        if len(target.columns) != 1:
            raise ChoiceError(f"target has the columns {quoted(target.columns)}; say which one: fitted[name].")
        target = target[target.columns[0]]
    column = fitted[target] if isinstance(target, str) else target
    if not isinstance(column, FittedColumn):
        raise ChoiceError(f"target must be a column's name, a fit of it, or fitted[name]; got {target!r}.")
    return Head(column, parts)
