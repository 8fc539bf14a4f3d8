"""compare(): the same network from the same seeds with each technique and with none.

The one law: what differs between two runs of a seed is what was done to the features.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from tfnorm.comparing.clock import Clock
from tfnorm.comparing.entrants import Asked, Entrant, entrant, keys_needed, named_choices
from tfnorm.comparing.features import chosen_features
from tfnorm.comparing.runs import Trainers, marks_of, plan, ready, train
from tfnorm.comparing.samples import TARGET, Split, Target, draw, read_target, split, target_column
from tfnorm.comparing.training import libraries, network, users_network
from tfnorm.comparing.values import Comparison, Contender
from tfnorm.comparing.verdict import diverged, level_of, ranked, with_steps, words
from tfnorm.errors import ChoiceError, DataError
from tfnorm.fitting import around_of
from tfnorm.profile import Skipped
from tfnorm.progress import Callback
from tfnorm.skipping import skipped_words
from tfnorm.sources import OnError, open_source
from tfnorm.sources.columns import quoted

ROWS = 100_000
MOST_NUMBERS = 1 << 26  # of the features of all contenders together, 256 MB in single precision


def compare(
    source: Any,
    *,
    target: Any,
    techniques: Any = None,
    model: str | None = None,
    model_fn: Callable[..., Any] | None = None,
    task: str | None = None,
    columns: Any = None,
    seeds: int | Sequence[int] = 5,
    steps: int | None = None,
    budget: float | None = None,
    validation: float = 0.2,
    weight: Any = None,
    rows: int | None = None,
    batch: int = 128,
    activation: str = "relu",
    optimizer: str = "adam",
    learning_rate: float | None = None,
    split_seed: int = 0,
    on_error: OnError = "raise",
    callback: Callback | None = None,
) -> Comparison:
    """Train the same small network with each technique and with none; say which helps, and by how much.

    Every run of a seed starts from the same weights and takes the rows in the same order. The rows are split before anything is
    fitted, and fits see the training part only. Losses are those of the validation part, in units that do not depend on the
    technique: squared error of the target divided by its training variance, or cross-entropy.

    source: as for `fit`.
    target: the column to predict, or an array with its value for each row. Rows where it is missing are dropped, and counted.
    techniques: some, or a mapping from names to techniques or to whole choices {column: technique}. By default minmax,
        standard, robust, maxabs, yeo_johnson and a normal quantile map, and l2 where there are vectors. "auto" is what is
        advised for this target and model, from the training part. Raw
        features ("none") are always among them. One that cannot be fitted is told in
        `failed`.
    model: "mlp" (two layers of 32), "linear", "cnn" (a column of images (h, w, c), or of series (t, d)) or "rnn" (a GRU on
        series); by default what the shapes call for.
    model_fn: your own, called with the shape of a row's features, or with it and the number of outputs; it returns a
        keras.Model that gives numbers, or logits of classes. The optimizer of a compiled model is taken, its loss is not.
    task: "regression" or "classification"; by default text, booleans and up to 20 different whole numbers are classes.
    columns: the features, where not all numeric columns are wanted.
    seeds: how many, or which.
    steps: of each run; 2,000 by default, or as many as the budget pays for.
    budget: seconds for everything. A few steps are timed, then steps are chosen, then seeds are given up where it must be,
        for all contenders alike. How many steps there are then depends on the machine: `steps` gives the same numbers again.
    validation: the share of rows held out, at most 10,000 rows, drawn by `split_seed`.
    weight: a column's name or an array: how much each row counts in fits, training and validation.
    rows: at most so many, drawn evenly from the source; 100,000 by default, fewer where rows are long.
    batch, activation, optimizer, learning_rate: of the training; Keras's own defaults for Adam.
    on_error: "raise", or "skip" to leave out files and parts of files that cannot be read; they are named in the log, and in
        `skipped`.
    callback: called with a `tfnorm.Progress` of the steps of all networks, as each is trained.

    Missing and infinite values are 0 after normalization; in raw features, the training part's mean.

    The same call on the same machine gives the same numbers (on a GPU, with TensorFlow's op determinism).

    Errors: ChoiceError for what is not there or cannot be, DataError for data that cannot be split or learned, ImportError
    without TensorFlow: `pip install 'tfnorm[tf]'`.

    >>> rng = np.random.default_rng(0)
    >>> area = rng.lognormal(5, 1, 600)
    >>> found = compare({"area": area, "price": 3 * area}, target="price", techniques="standard", seeds=2, steps=60)
    >>> [contender.technique for contender in found.contenders], found.rows, found.validation_rows
    (['standard', 'none'], 480, 120)
    """
    now = Clock(_positive("budget", budget))
    chosen_seeds = _seeds(seeds)
    if steps is not None and (not isinstance(steps, int) or steps < 1):
        raise ChoiceError(f"steps must be a whole number of at least 1, got {steps!r}.")
    if task not in (None, "regression", "classification"):
        raise ChoiceError(f'task must be "regression" or "classification", got {task!r}.')
    if not 0 < validation < 1:
        raise ChoiceError(f"validation must be a share between 0 and 1, got {validation!r}.")
    libraries()
    notes: list[str] = []
    opened = open_source(source, weight=weight, on_error=on_error)
    around_of(opened, None, on_error)  # an error where it has no meaning
    name = target if isinstance(target, str) else TARGET
    if isinstance(target, str):
        target_column(opened, target)
    features = chosen_features(
        opened, target if isinstance(target, str) else None, columns, model, model_fn is not None
    )
    notes += features.notes
    choices = named_choices(techniques, features.columns, [column.name for column in opened.columns])
    keys = keys_needed(choices)
    if wrong := [key for key in keys if key not in {column.name for column in opened.columns}]:
        raise ChoiceError(f"key column {quoted(wrong)}: not in {opened.name}.")
    if isinstance(target, str) and target in keys:
        raise ChoiceError(f"key column {quoted([target])}: is the target, which nobody knows when predicting.")
    most = _most_rows(rows, features.width * len(choices))
    names = list(dict.fromkeys([*features.names, *keys, *([target] if isinstance(target, str) else [])]))
    skipped: list[Skipped] | None = [] if on_error == "skip" else None
    sample, places, total = draw(opened, names, most, split_seed, skipped)
    notes += _drawn(len(places), total, skipped or ())
    goal = read_target(name, _goal_values(target, sample, places, total), task)
    if dropped := int((~goal.known).sum()):
        rows_were = "row was" if dropped == 1 else "rows were"
        notes.append(f"{dropped:,} {rows_were} dropped because {quoted([name])} is missing or infinite there.")
    inputs = {one: sample[one] for one in dict.fromkeys([*features.names, *keys])}
    parts = split(inputs, goal, sample.get(opened.weight) if opened.weight else None, validation, split_seed)
    notes += _said_of(goal, features.names, inputs)
    weights = parts.train.weight if opened.weight else None
    entrants, failed = _entrants(
        choices, features.names, parts, weights, Asked(parts.train.goal, features.model, activation)
    )
    build = users_network(model_fn) if model_fn is not None else network(features.model, activation)
    made = Trainers(build, goal, batch, optimizer, learning_rate)
    runs, conditions = ready(made, entrants, parts, features.shaped)
    if len(made.made) > 1:
        notes.append("Techniques that give another number of features than others have initial weights of their own.")
    planned, chosen_seeds = plan(now, runs, steps, chosen_seeds, batch, notes)
    marks = marks_of(planned)
    losses, accuracy = train(now, runs, chosen_seeds, marks, batch, callback, notes)
    chosen_seeds = chosen_seeds[: losses.shape[1]]
    contenders = [
        Contender(
            one.name,
            losses[i],
            losses[i, :, -1],
            np.full(len(chosen_seeds), np.nan),
            diverged(losses[i], parts.baseline),
            conditions[i],
            one.choice,
            accuracy[i] if goal.is_classes else None,
        )
        for i, one in enumerate(entrants)
    ]
    level = level_of(contenders, marks)
    done = ranked([with_steps(one, level, marks) for one in contenders])
    return Comparison(
        target=name,
        model=getattr(model_fn, "__name__", "model_fn") if model_fn is not None else features.model,
        metric="cross-entropy" if goal.is_classes else "squared error / variance of the target in training",
        marks=marks,
        contenders=done,
        seeds=chosen_seeds,
        rows=len(parts.train),
        validation_rows=len(parts.validation),
        budget=budget,
        verdict=words(done, marks, parts.baseline),
        level=level,
        baseline=parts.baseline,
        failed=failed,
        notes=tuple(notes),
        columns=features.names,
        skipped=tuple(skipped or ()),
    )


def _drawn(rows: int, total: int, skipped: Sequence[Skipped]) -> list[str]:
    """What is to be said of the rows that take part."""
    for part in skipped:
        logging.getLogger("tfnorm").warning("skipped: %s", part.reason)
    notes = [f"Parts were {skipped_words(skipped)}."] * bool(skipped)
    if rows < total:
        notes.append(f"{rows:,} of {total:,} rows were drawn evenly; rows= takes more or fewer.")
    return notes


def _seeds(seeds: Any) -> tuple[int, ...]:
    given = range(seeds) if isinstance(seeds, int) else seeds
    found = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else ()
    found = () if any(not isinstance(seed, Integral) for seed in found) else tuple(map(int, found))
    if not found or len(set(found)) < len(found) or min(found) < 0:
        raise ChoiceError(
            f"seeds: expected a number of at least 1, or different whole numbers from 0 on, got {seeds!r}."
        )
    return found


def _positive(name: str, value: float | None) -> float | None:
    if value is not None and not (isinstance(value, Real) and value > 0):
        raise ChoiceError(f"{name} must be a number above 0, got {value!r}.")
    return value


def _most_rows(rows: int | None, numbers_a_row: int) -> int:
    if rows is None:
        return max(1000, min(ROWS, MOST_NUMBERS // max(1, numbers_a_row)))
    if not isinstance(rows, int) or rows < 4:
        raise ChoiceError(f"rows must be a whole number of at least 4, got {rows!r}.")
    return rows


def _goal_values(target: Any, sample: Mapping[str, np.ndarray], places: np.ndarray, total: int) -> np.ndarray:
    if isinstance(target, str):
        return sample[target]
    values = target if isinstance(target, np.ma.MaskedArray) else np.asarray(target)
    if values.ndim == 0:
        raise ChoiceError(f"target: expected a column's name, or an array with a value for each row, got {target!r}.")
    if len(values) != total:
        raise DataError(f"target: expected {total:,} values, one for each row, got {len(values):,}.")
    return values[places]


def _said_of(goal: Target, names: Sequence[str], inputs: Mapping[str, np.ndarray]) -> list[str]:
    notes = []
    if goal.is_classes and goal.guessed:
        notes.append(
            f"{quoted([goal.name])} has {len(goal.classes)} different whole numbers and was taken for classes; "
            'task="regression" takes them for numbers.'
        )
    missing = [name for name in names if not _whole(inputs[name])]
    if missing:
        notes.append(
            f"Missing and infinite values of {quoted(missing)} are 0 after normalization, "
            "and the mean of the training part in raw features."
        )
    return notes


def _whole(array: np.ndarray) -> bool:
    if np.ma.getmaskarray(array).any():
        return False
    return array.dtype.kind != "f" or bool(np.isfinite(np.asarray(array)).all())


def _entrants(
    choices: Mapping[str, Any], names: Sequence[str], parts: Split, weights: np.ndarray | None, asked: Asked
) -> tuple[list[Entrant], dict[str, str]]:
    """Those that could be fitted, and why others could not."""
    found, failed = [], {}
    for name, choice in choices.items():
        try:
            found.append(entrant(name, choice, names, parts.train.features, weights, asked))
        except (ChoiceError, DataError) as error:
            failed[name] = _reason(error, choice, parts, weights)
    return found, failed


def _reason(error: Exception, choice: Mapping[str, Any], parts: Split, weights: np.ndarray | None) -> str:
    """What a fit said, with the columns that it is about: those that cannot be fitted alone, either."""
    wrong = []
    for column, stages in choice.items():
        try:
            entrant(column, {column: stages}, [column], parts.train.features, weights)
        except (ChoiceError, DataError):
            wrong.append(column)
    said = str(error).removeprefix(f"column {quoted(wrong[:1])}: ")  # which names the first alone
    return said if not wrong or said.startswith("column") else f"column {quoted(wrong)}: {said}"
