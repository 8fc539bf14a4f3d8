"""advise(): which technique suits which column.

The one law: what is advised is what `fit(source, "auto")` does with the same words about model and target.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tfnorm.advice.reading import Known, of_profile, of_source
from tfnorm.advice.scoring import of_column
from tfnorm.advice.values import Advice
from tfnorm.advice.weights import weights_for
from tfnorm.choosing import Unit, numeric_columns
from tfnorm.errors import ChoiceError
from tfnorm.fitted import Fitted
from tfnorm.profile import Profile
from tfnorm.progress import Callback
from tfnorm.skipping import skipped_words
from tfnorm.sources import OnError, open_source
from tfnorm.sources.columns import quoted

LEAKING = "nearly exactly the target"
"""How the finding begins that a fit warns of."""


def advise(
    source: Any,
    model: str = "mlp",
    activation: str | None = None,
    target: str | None = None,
    *,
    axis: Any = -1,
    unit: Unit = None,
    weight: Any = None,
    on_error: OnError = "raise",
    workers: int | None = None,
    callback: Callback | None = None,
) -> Advice:
    """Ranked techniques for each column of numbers, with the numbers that decided, what would change it, and warnings.

    Each technique of the registry, and each with `standard` behind it where it bends, is a candidate. The column's sketch is
    pushed through it and what comes out is measured (skewness, tails, range, what is nearly tied, what is lost, ...;
    `tfnorm.advice.measures`); the score is the weighted sum, lower is better. `standard`, the reference, is left where another
    one's score is lower by a margin. Weights and margin come from training results.

    source: a Profile (of `tfnorm.scan`), a fit, or what `scan` takes. A source is read once, and some of its rows again: for
        whether a column tells the target, and how features of vectors go together.
    model: "mlp", "linear", "cnn", "rnn", "transformer", "knn" or "trees".
    activation: of its hidden layers, as Keras calls it; "tanh" and other saturating ones mind large values more.
    target: the column that is to be predicted: it gets no advice; what a straight line through each column tells of it is
        measured, too; and columns that tell it nearly exactly get a warning. That needs a source; a profile does not tell it.

    The other arguments are those of `scan`.

    >>> import numpy as np, tfnorm
    >>> income = np.exp(np.random.default_rng(0).normal(10, 1.2, 2000))
    >>> advice = tfnorm.advise({"income": income, "id": np.arange(2000)})
    >>> advice["id"].warnings
    ('looks like an identifier (whole numbers, each there once, evenly spread): leave it out',)
    >>> fitted = tfnorm.fit({"income": income}, tfnorm.advise({"income": income}).choice)
    """
    weights_for(model, activation)  # errors before anything is read
    if isinstance(source, Fitted):
        source = source.profile
    if isinstance(source, Profile):
        if axis != -1 or unit is not None or weight is not None:
            raise ChoiceError("axis, unit and weight were settled when the profile was made; give them to tfnorm.scan.")
        if on_error != "raise":
            raise ChoiceError("on_error is for reading data, and a profile is not read again. Leave it out.")
        return advised(of_profile(source, source, target), model, activation, target)
    opened = open_source(source, weight=weight, on_error=on_error)
    columns = [column.name for column in opened.columns]
    names = columns if opened.bare else numeric_columns(opened, unit)
    if not [name for name in names if name != target]:
        raise ChoiceError(f"there is no column of numbers to advise on in {opened.name}; it has {quoted(columns)}.")
    known = of_source(
        opened, names, target, axis=axis, unit=unit, on_error=on_error, workers=workers, callback=callback
    )
    left_out = [name for name in columns if name not in (*known.names, target, opened.weight)]
    if left_out:
        known = dataclasses.replace(
            known, findings=(*known.findings, f"no numbers, left as they are: {quoted(left_out)}.")
        )
    return advised(known, model, activation, target)


def advised(known: Known, model: str, activation: str | None, target: str | None) -> Advice:
    """The advice on what is known."""
    findings = list(known.findings)
    columns = {name: of_column(known.profile[name], model, activation, known.rows, target) for name in known.names}
    leaking = [name for name, one in columns.items() if any(words.startswith("leaks") for words in one.warnings)]
    if leaking:
        findings.append(f"{LEAKING}: {quoted(leaking)}. What is not known when predicting must not be an input.")
    if model == "trees":
        findings.append("trees split by order, which no scale changes: none is needed.")
    skipped = tuple(one for origin in known.profile.provenance for one in origin.skipped)
    if skipped:
        findings.append(skipped_words(skipped))
    return Advice(columns, model, activation, tuple(findings), skipped)
