"""Who takes part: each way to normalize, fitted on the training part, and the features it gives.

The one law: a fit sees the training part only; both parts go through the same maps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from tfnorm.already import untold
from tfnorm.choosing import keys_of
from tfnorm.comparing.samples import Batch, as_float
from tfnorm.comparing.values import NONE
from tfnorm.errors import ChoiceError
from tfnorm.fitted import Fitted
from tfnorm.fitting import fit
from tfnorm.maps import mark_name
from tfnorm.sources import Column
from tfnorm.sources.columns import did_you_mean, quoted
from tfnorm.techniques import Stages, Technique, TechniqueKind, parse

DEFAULT = ("minmax", "standard", "robust", "maxabs", "yeo_johnson, standard", "quantile(output='normal')")
MOST_PRODUCTS = 2e10  # of the condition number: more rows than these allow tell it no better

AUTO: Stages = ()  # what is advised, which the training part tells

Choice = dict[str, Stages]


def named_choices(techniques: Any, columns: Sequence[Column], others: Sequence[str] = ()) -> dict[str, Choice]:
    """Name -> {column: techniques}, in the order given; raw features first.

    techniques: one, a sequence of them, or a mapping from names to techniques or whole choices.
    others: columns that are no features: what a whole choice says of them (of the target, say) has no place here.
    """
    names = [column.name for column in columns]
    if techniques is None:
        techniques = _default(columns)
    if isinstance(techniques, str | Technique | TechniqueKind):
        techniques = [techniques]
    if not isinstance(techniques, Mapping):
        given: dict[str, Any] = {}
        for one in techniques:
            name = one if isinstance(one, str) else ", ".join(map(str, parse(one)))
            if name in given:
                raise ChoiceError(f"techniques: {name!r} is there twice. Leave one out.")
            given[name] = one
        techniques = given
    found: dict[str, Choice] = {NONE: {}}
    for name, one in techniques.items():
        if name != NONE:
            found[str(name)] = _choice(one, names, others)
    if len(found) == 1:
        raise ChoiceError("techniques: expected one at least, got none.")
    return found


def _default(columns: Sequence[Column]) -> dict[str, Any]:
    """The techniques of most use, and unit norms where there are vectors."""
    vectors = [column.name for column in columns if len(column.shape) == 1 and column.shape != (1,)]
    found: dict[str, Any] = {name: name for name in DEFAULT}
    if vectors:
        rest = [column.name for column in columns if column.name not in vectors]
        found["l2" + ", others standard" * bool(rest)] = dict.fromkeys(vectors, "l2") | dict.fromkeys(rest, "standard")
    return found


def _choice(one: Any, names: Sequence[str], others: Sequence[str]) -> Choice:
    if isinstance(one, Mapping):
        if unknown := [str(name) for name in one if str(name) not in {*names, *others}]:
            hint = did_you_mean(unknown[0], names)
            raise ChoiceError(f"column {quoted(unknown)}: not among the features, which are {quoted(names)}.{hint}")
        found = {str(name): _stages(stages) for name, stages in one.items() if str(name) in names}
        if not found:
            raise ChoiceError(f"a choice names none of the features {quoted(names)}, which would be none at all.")
        return found
    stages = _stages(one)
    keys = {name for by in keys_of(stages) for name in by}
    return {name: stages for name in names if name not in keys}


def _stages(one: Any) -> Stages:
    return AUTO if isinstance(one, str) and one.strip() == "auto" else parse(one)


def keys_needed(choices: Mapping[str, Choice]) -> list[str]:
    """The key columns by which some of them are solved."""
    chains = [stages for choice in choices.values() for stages in choice.values()]
    return list(dict.fromkeys(name for stages in chains for by in keys_of(stages) for name in by))


@dataclass(frozen=True, eq=False)
class Entrant:
    """One way to normalize, ready to be trained with."""

    name: str
    fitted: Fitted | None  # None for raw features
    columns: tuple[str, ...]  # the features, in order
    means: Mapping[str, np.ndarray]  # of what is not normalized: what missing values there become

    def features(self, batch: Batch, shaped: bool) -> np.ndarray:
        """What the network sees, (n, features), or the one column in its own shape, in double precision.

        Missing values become 0 after normalization, and the training part's mean where there is none.
        """
        given = batch if self.fitted is None else self.fitted.transform(batch)
        fills: dict[str, Any] = {}
        for name in self.columns:
            fills[name] = self.means.get(name, 0.0)
            if self.fitted is not None and name in self.fitted.maps and self.fitted.maps[name].marks:
                fills[mark_name(name)] = 0.0
        with np.errstate(over="ignore"):
            arrays = [_filled(as_float(np.ma.asanyarray(given[name])), fill) for name, fill in fills.items()]
        if shaped:
            return np.concatenate(arrays, axis=-1)
        return np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)

    @property
    def choice(self) -> dict[str, str]:
        return {} if self.fitted is None else self.fitted.choice


def _filled(array: np.ndarray, fill: Any) -> np.ndarray:
    missing = ~np.isfinite(array)
    return np.where(missing, fill, array) if missing.any() else array


@dataclass(frozen=True, eq=False)
class Asked:
    """What is known to the advice that `auto` stands for."""

    goal: np.ndarray  # (n,) or (n, 1), of the training part: what is predicted
    model: str  # empty for the user's own
    activation: str

    def words(self, goal: str) -> dict[str, str | None]:
        """As `fit` takes it; `goal` is what the target is called there."""
        activation = self.activation if self.activation in ("tanh", "sigmoid", "hard_sigmoid", "softsign") else None
        return {"target": goal, "model": self.model or None, "activation": activation}


def entrant(
    name: str,
    choice: Choice,
    columns: Sequence[str],
    train: Batch,
    weight: np.ndarray | None,
    asked: Asked | None = None,
) -> Entrant:
    """Fit one on the training part; ChoiceError or DataError where that cannot be done."""
    means = {column: _mean(as_float(train[column])) for column in columns if column not in choice}
    if not choice:
        return Entrant(name, None, tuple(columns), means)
    needed = dict.fromkeys([*columns, *keys_needed({name: choice})])
    batch = {column: train[column] for column in needed}
    words: dict[str, Any] = {}
    if asked is not None and any(stages == AUTO for stages in choice.values()):
        goal = next(free for i in count() if (free := f"target {i}") not in batch)
        batch[goal] = asked.goal.reshape(len(asked.goal))
        words = asked.words(goal)
    said = {column: stages or "auto" for column, stages in choice.items()}
    with untold():
        fitted = fit(batch, said, infinite="missing", weight=weight, **words)
    return Entrant(name, fitted, tuple(columns), means)


def _mean(array: np.ndarray) -> np.ndarray:
    """Of the finite values, by position of the last axis."""
    rows = array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array[:, None]
    finite = np.isfinite(rows)
    total = np.where(finite, rows, 0.0).sum(axis=0) / np.maximum(1, finite.sum(axis=0))
    return total if array.ndim > 1 else total[0]


def varying(rows: np.ndarray) -> np.ndarray:
    """Which features differ anywhere, (features,)."""
    return np.asarray(rows.min(axis=0) != rows.max(axis=0))


def condition(rows: np.ndarray, keep: np.ndarray | None) -> float:
    """The condition number of the second-moment matrix of features and a constant 1: largest by smallest eigenvalue.

    rows: (n, features); keep: which features count. Infinite where the matrix is singular in double precision.

    From the singular values of the rows and never from the matrix itself, whose condition is their square.

    >>> rows = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> round(condition(rows - 1.5, None), 12), round(condition((rows - 1.5) / np.sqrt(1.25), None), 12)
    (1.25, 1.0)
    """
    rows = rows.reshape(len(rows), -1)
    rows = rows if keep is None else rows[:, keep]
    width = rows.shape[1] + 1
    most = int(max(10 * width, MOST_PRODUCTS / width**2))
    step = -(-len(rows) // most)
    rows = rows[::step]
    if not np.isfinite(rows).all():
        return float("nan")
    triangle = np.empty((0, width))
    for start in range(0, len(rows), 8192):  # a block at a time: never all rows twice
        block = rows[start : start + 8192]
        whole = np.concatenate([triangle, np.concatenate([block, np.ones((len(block), 1))], axis=1)])
        triangle = np.asarray(np.linalg.qr(whole, mode="r"))
    values = np.linalg.svd(triangle, compute_uv=False)
    if len(values) < width or values[-1] <= values[0] * max(len(rows), width) * np.finfo(np.float64).eps:
        return float("inf")
    return float((values[0] / values[-1]) ** 2)
