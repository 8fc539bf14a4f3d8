"""The rows that a comparison trains on and judges by.

The one law: the draw and the split depend on the number of rows and the seed alone, never on a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfnorm.errors import ChoiceError, DataError
from tfnorm.key_columns import column_codes
from tfnorm.profile import Skipped
from tfnorm.sources import Column, Source
from tfnorm.sources.columns import describe, did_you_mean, quoted

FEW_VALUES = 20  # whole numbers with no more different values are taken for classes
MOST_HELD_OUT = 10_000  # rows: more tell the loss no better, and it is measured often
TARGET = "target"
"""What a target is called that came as an array beside the source."""

Batch = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Target:
    """What is predicted, row by row."""

    name: str
    values: np.ndarray  # (n,) float64 numbers, or int64 classes 0, 1, ...
    known: np.ndarray  # (n,) bool: False where it is missing, or infinite
    classes: tuple[str, ...]  # their names; empty for regression
    guessed: bool = False  # whether numbers were taken for classes without being told

    @property
    def is_classes(self) -> bool:
        return bool(self.classes)


@dataclass(frozen=True, eq=False)
class Part:
    """The rows of one side of the split."""

    features: Batch  # column -> rows, as the source has them; key columns among them
    goal: np.ndarray  # (n, 1) float32, standardized by the training part; or (n,) int32 classes
    weight: np.ndarray  # (n,) float32, 1 on average over the training part

    def __len__(self) -> int:
        return len(self.goal)


def draw(
    source: Source, names: Sequence[str], rows: int, seed: int, skipped: list[Skipped] | None = None
) -> tuple[Batch, np.ndarray, int]:
    """At most `rows` rows, drawn evenly from one pass; with their places in the source and how many rows there are.

    skipped: where parts go that cannot be read; None to raise their errors. A part counts whole or not at all.

    Each row gets a random number as it comes by, and those with the least are kept: the same ones however the source is cut.
    """
    rng = np.random.default_rng(seed)
    kept: list[tuple[np.ndarray, np.ndarray, Batch]] = []
    total = held = 0
    limit = 1.0
    for batch in _batches(source, names, skipped):
        size = len(next(iter(batch.values())))
        chances = rng.random(size)
        at = np.flatnonzero(chances < limit)
        kept.append((chances[at], total + at, {name: array[at] for name, array in batch.items()}))
        total, held = total + size, held + len(at)
        if held > 2 * rows:
            kept = [_least(kept, rows)]
            limit, held = float(kept[0][0].max()), rows
    if not total:
        raise DataError(f"{source.name}: has no rows to train on.")
    _, places, sample = _least(kept, rows)
    return sample, places, total


def _batches(source: Source, names: Sequence[str], skipped: list[Skipped] | None) -> Iterator[Batch]:
    for shard in source.shards(names):
        for batch in shard() if skipped is None else _readable(shard, skipped):
            yield {name: _array(batch[name]) for name in batch}
    if skipped is not None:
        skipped[:0] = [Skipped(part, reason) for part, reason in getattr(source, "skipped", ())]  # whole files


def _readable(shard: Any, skipped: list[Skipped]) -> list[Mapping[str, np.ndarray]]:
    """All of a part, or nothing; of a part whose records are read one by one those that can be."""
    if hasattr(shard, "telling"):
        shard = shard.telling(lambda name, reason: skipped.append(Skipped(name, reason)))
    try:
        return list(shard())
    except DataError as error:
        skipped.append(Skipped(shard.name, str(error)))
        return []


def _array(values: Any) -> np.ndarray:
    return values if isinstance(values, np.ndarray) else np.asarray(values)


def _least(kept: list[tuple[np.ndarray, np.ndarray, Batch]], rows: int) -> tuple[np.ndarray, np.ndarray, Batch]:
    """The rows with the least chances, in the source's order."""
    chances = np.concatenate([one for one, _, _ in kept])
    places = np.concatenate([at for _, at, _ in kept])
    stay = np.sort(np.argpartition(chances, rows)[:rows]) if len(chances) > rows else slice(None)
    names = list(kept[0][2])
    return chances[stay], places[stay], {name: _joined([batch[name] for _, _, batch in kept])[stay] for name in names}


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    if len(arrays) == 1:
        return arrays[0]
    masked = any(isinstance(array, np.ma.MaskedArray) for array in arrays)
    return np.ma.concatenate(arrays) if masked else np.concatenate(arrays)  # type: ignore[no-untyped-call]


def as_float(array: np.ndarray) -> np.ndarray:
    """float64, with NaN where a value is missing."""
    if isinstance(array, np.ma.MaskedArray):
        return np.ma.MaskedArray(array, dtype=np.float64).filled(np.nan)
    return array.astype(np.float64)


def target_column(source: Source, target: str) -> Column:
    """The column to be predicted, where it can be."""
    known = {column.name: column for column in source.columns}
    if target not in known:
        hint = did_you_mean(target, known)
        raise ChoiceError(f"target {quoted([target])}: not in {source.name}, which has {quoted(known)}.{hint}")
    column = known[target]
    if column.kind == "time" or column.shape not in ((), (1,)) or column.layout != "dense":
        raise ChoiceError(
            f"target {quoted([target])}: expected one number, text or boolean a row, got {describe(column)}. "
            "Choose another column, or cast it."
        )
    return column


def read_target(name: str, values: np.ndarray, task: str | None) -> Target:
    """Numbers or classes: what `task` says, or what the values look like."""
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(f"target: expected one value a row, got an array of shape {values.shape}.")
    guessed = False
    if values.dtype.kind in "biuf":
        numbers = as_float(values)
        finite = np.isfinite(numbers)
        found = np.unique(numbers[finite])
        whole = bool(len(found)) and bool((found == np.rint(found)).all())
        few = whole and len(found) <= FEW_VALUES and 5 * len(found) <= finite.sum()
        if task == "regression" or (task is None and values.dtype.kind != "b" and not few):
            if len(found) < 2:
                raise DataError(f"target {quoted([name])}: expected numbers that differ, {_same(found)}.")
            return Target(name, numbers, finite, ())
        if len(found) == 1:
            raise DataError(f"target {quoted([name])}: expected classes that differ, {_same(found)}.")
        if not whole and len(found):
            raise ChoiceError(
                f"target {quoted([name])}: classes are whole numbers, booleans or text, got "
                f"{found[found != np.rint(found)][0]}. Leave task out, or cast it to text."
            )
        values = np.where(finite, numbers, np.nan)
        guessed = task is None and found.tolist() not in ([0.0], [1.0], [0.0, 1.0])
    elif task == "regression":
        raise ChoiceError(f"target {quoted([name])}: regression needs numbers, got text. Leave task out, or cast it.")
    column, codes = column_codes(name, values)
    known = codes > 0
    if len(column) < 2:
        raise DataError(
            f"target {quoted([name])}: expected two classes or more, got {len(column)}. Choose another column."
        )
    if 2 * len(column) > known.sum():
        raise DataError(
            f"target {quoted([name])}: {len(column):,} classes in {int(known.sum()):,} rows are too many to learn. "
            "Choose another column."
        )
    return Target(name, codes - 1, known, tuple(str(column.value(code + 1)) for code in range(len(column))), guessed)


def _same(found: np.ndarray) -> str:
    """That there is one value, or none, and what to do."""
    what = f"and all are {found[0]:g}" if len(found) else "and all are missing or infinite"
    return f"{what}. Choose another column"


@dataclass(frozen=True, eq=False)
class Split:
    """Both sides, and what the target's numbers mean."""

    train: Part
    validation: Part
    baseline: float  # validation loss of guessing the training part's mean, or its frequencies


def split(
    features: Mapping[str, np.ndarray], target: Target, weight: np.ndarray | None, share: float, seed: int
) -> Split:
    """Two parts of the rows whose target is known."""
    rows = np.flatnonzero(target.known)
    held_out = min(MOST_HELD_OUT, round(share * len(rows)))
    if not 1 <= held_out <= len(rows) - 2:
        raise DataError(
            f"validation={share:g} of {len(rows):,} rows with a known target leaves too few on one side. "
            "Give more rows, or another share."
        )
    order = np.random.default_rng(seed).permutation(len(rows))
    ours, theirs = np.sort(rows[order[held_out:]]), np.sort(rows[order[:held_out]])
    heavy = np.ones(len(target.values)) if weight is None else as_float(weight)
    if not heavy[ours].sum() > 0 or not heavy[theirs].sum() > 0:
        raise DataError("weight: all rows of a side of the split have the weight 0. Give more rows.")
    mean_weight = heavy[ours].mean()
    goal = goal_of(target, ours, heavy)

    def part(at: np.ndarray) -> Part:
        return Part(
            {name: array[at] for name, array in features.items()},
            goal(at),
            (heavy[at] / mean_weight).astype(np.float32),
        )

    train, validation = part(ours), part(theirs)
    return Split(train, validation, _baseline(train, validation, target))


def goal_of(target: Target, train: np.ndarray, weight: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """What the network is to give for some rows: numbers standardized by those of the training part, or classes."""
    if target.is_classes:
        return lambda at: target.values[at].astype(np.int32)
    mean = np.average(target.values[train], weights=weight[train])
    std = np.sqrt(np.average((target.values[train] - mean) ** 2, weights=weight[train]))
    if not (std > 0 and np.isfinite(std)):
        raise DataError(f"target {quoted([target.name])}: is constant in the training part. Give more rows.")
    return lambda at: ((target.values[at] - mean) / std).astype(np.float32)[:, None]


def _baseline(train: Part, validation: Part, target: Target) -> float:
    if not target.is_classes:  # the training part's mean is 0
        return float(np.average(validation.goal[:, 0].astype(np.float64) ** 2, weights=validation.weight))
    counts = np.bincount(train.goal, train.weight, len(target.classes)) + 1e-9  # a class may be on one side only
    surprise = -np.log(counts / counts.sum())
    return float(np.average(surprise[validation.goal], weights=validation.weight))
