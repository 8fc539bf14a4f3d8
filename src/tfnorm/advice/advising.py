"""advise(): which technique suits which column.

The one law: every candidate is treated alike. The column's sketch is pushed through it, what comes out is measured, and its
score is the sum of what the measures weigh; no line here or elsewhere says of a technique when it is good. Only the reference,
what people take who ask nobody, is left at a price: small gains that are expected do not carry the risk.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfnorm.advice.candidates import Bounds, candidates_for, mapped_by
from tfnorm.advice.described import Described, described
from tfnorm.advice.distribution import KINDS, Distribution, distribution_of
from tfnorm.advice.looks import LEAKS, Look, beside, look, told_of, whole_rows
from tfnorm.advice.measures import measured
from tfnorm.advice.values import Advice, Candidate, ColumnAdvice
from tfnorm.advice.warnings import warnings_of
from tfnorm.advice.weights import LEAVING, REFERENCE, weights_for
from tfnorm.advice.words import RODS, evidence, would_change
from tfnorm.chains import written
from tfnorm.choosing import Unit, chosen_columns, numeric_columns
from tfnorm.errors import ChoiceError
from tfnorm.fitted import Fitted
from tfnorm.fitting import scan
from tfnorm.profile import ColumnProfile, Profile
from tfnorm.progress import Callback
from tfnorm.quantiles import Quantiles
from tfnorm.sources import open_source
from tfnorm.sources.columns import did_you_mean, quoted
from tfnorm.statistics import Count, Extremes, Moments
from tfnorm.summary import share
from tfnorm.techniques import Stages, parse

OUTERMOST = 0.001  # of the values on either side, without which the advice is looked at again
FAR_OUT = 8.0  # deviations from which on that is worth a look
OTHER_MODELS = ("mlp", "linear", "knn")
AGAIN = 12  # of the best, which are tried again without the outermost values


def advise(
    source: Any,
    model: str = "mlp",
    activation: str | None = None,
    target: str | None = None,
    *,
    axis: Any = -1,
    unit: Unit = None,
    weight: Any = None,
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
    activation: of its hidden layers; "tanh" and other saturating ones mind large values more.
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
    if target is not None and not isinstance(target, str):
        raise ChoiceError(f"target must be the name of a column, got {target!r}.")
    if isinstance(source, Fitted):
        source = source.profile
    if isinstance(source, Profile):
        if axis != -1 or unit is not None or weight is not None:
            raise ChoiceError("axis, unit and weight were settled when the profile was made; give them to tfnorm.scan.")
        profile, found, findings = source, Look({}), []
        names = [name for name in profile if name != target]
        if target is not None:
            if target not in profile:
                raise ChoiceError(
                    f"target: column {quoted([target])}: not in the profile.{did_you_mean(target, profile)}"
                )
            findings.append(
                f"{quoted([target])} is the target, and left out. Whether a column tells it, a profile does not say: "
                "advise from the data."
            )
    else:
        opened = open_source(source, weight=weight)
        columns = {column.name: column for column in opened.columns}
        if target is not None and target not in columns:
            raise ChoiceError(
                f"target: column {quoted([target])}: not in {opened.name}, which has {quoted(columns)}."
                f"{did_you_mean(target, columns)}"
            )
        numeric = numeric_columns(opened, unit) if not opened.bare else list(columns)
        names = [name for name in numeric if name != target]
        if not names:
            raise ChoiceError(f"there is no column of numbers to advise on in {opened.name}; it has {quoted(columns)}.")
        chosen_columns(opened, names, axis, unit)
        profile = scan(opened, columns=names, axis=axis, unit=unit, workers=workers, callback=callback)
        findings = [f"{quoted([target])} is the target, and left out."] if target is not None else []
        wanted = names if target is not None else [name for name in names if len(profile[name].column.shape) == 1]
        found = Look({})
        if wanted and opened.repeatable:
            found = look(opened, [*wanted, *([target] if target is not None else [])])
        elif wanted:
            findings.append("these data can be read only once, so that vectors and the target had no second look.")
        left_out = [c.name for c in opened.columns if c.name not in (*names, target, opened.weight)]
        if left_out:
            findings.append(f"no numbers, left as they are: {quoted(left_out)}.")
    advised = {name: _advised(profile[name], model, activation, found, target) for name in names}
    leaking = [name for name, one in advised.items() if any("target" in words for words in one.warnings)]
    if leaking:
        findings.append(
            f"nearly exactly the target: {quoted(leaking)}. What is not known when predicting must not be an input."
        )
    if model == "trees":
        findings.append("trees split by order, which no scale changes: none is needed.")
    return Advice(advised, model, activation, tuple(findings))


def _advised(
    profile: ColumnProfile, model: str, activation: str | None, found: Look, target: str | None
) -> ColumnAdvice:
    name = profile.column.name
    distribution = distribution_of(profile, whole_rows(found, name), beside(found, name, target))
    d = described(profile, distribution)
    known = {"told": distribution.beside is not None, "named": target in found.rows}
    weights = weights_for(model, activation, **known)
    ranked = ranking(distribution, list(candidates_for(profile.column, d.bounds)), d.bounds, weights)
    warnings = warnings_of(d)
    if target is not None and target in found.rows and name in found.rows and found.rows[name].ndim == 1:
        told = told_of(found.rows[target], found.rows[name])
        if told > LEAKS:
            warnings = (
                f"leaks the target? It tells {share(told, 1)} of {quoted([target])} by its order alone",
                *warnings,
            )
    if not ranked:  # nothing can be said of no values
        return ColumnAdvice(name, (Candidate("identity", 0.0, {}),), (), "", warnings)
    elsewhere = _elsewhere(distribution, d, ranked, model, weights, known)
    return ColumnAdvice(
        name, ranked, evidence(d, ranked, weights), would_change(ranked[0].technique, elsewhere), warnings
    )


def ranking(
    distribution: Distribution, candidates: list[Stages], bounds: Bounds, weights: Mapping[str, float]
) -> tuple[Candidate, ...]:
    """Those that can be applied, best first; of equals, the one that comes first in the registry."""
    if not distribution.points.size:
        return ()
    found: dict[str, Candidate] = {}
    for stages in candidates:
        mapped = mapped_by(distribution, stages, bounds)
        if mapped is not None:
            measures = measured(mapped)
            text = written(stages)
            found.setdefault(text, Candidate(text, score(text, measures, weights), measures))
    return tuple(sorted(found.values(), key=lambda one: round(one.score, 9)))


def score(technique: str, measures: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The sum of what the measures weigh, and the price of leaving the reference."""
    price = 0.0 if technique == REFERENCE else weights.get(LEAVING, 0.0)
    return price + float(sum(weights.get(name, 0.0) * value for name, value in measures.items()))


def _elsewhere(
    distribution: Distribution,
    d: Described,
    ranked: tuple[Candidate, ...],
    model: str,
    weights: Mapping[str, float],
    known: Mapping[str, bool],
) -> list[tuple[str, str]]:
    """What would be best under other circumstances: without the outermost values, for other models."""
    found = []
    if d.robust_z > FAR_OUT or d.kurtosis > FAR_OUT:
        inner = _inner(distribution)
        candidates = [parse(one.technique) for one in ranked[:AGAIN]]
        candidates += [parse(name) for name in RODS if all(name != one.technique for one in ranked[:AGAIN])]
        if inner is not None and (again := ranking(inner, candidates, d.bounds, weights)):
            found.append((f"without the outermost {2 * OUTERMOST:.1%} of the values", again[0].technique))
    for other in OTHER_MODELS:
        if other != model:
            theirs = weights_for(other, None, **known)
            best = min(ranked, key=lambda one: round(score(one.technique, one.measures, theirs), 9))
            found.append((f"for {other}", best.technique))
    return found


def _inner(distribution: Distribution) -> Distribution | None:
    """The distribution without its outermost values."""
    if distribution.features != 1:
        return None
    x, weight = distribution.points[:, 0], distribution.weight[:, 0]
    upto = np.cumsum(weight)
    kept = (upto > OUTERMOST) & (upto - weight < 1 - OUTERMOST)
    if kept.all() or kept.sum() < 2:
        return None
    x, weight = x[kept], weight[kept] / weight[kept].sum()
    column, count = x[:, None], distribution.statistics[Count]
    number = weight * float(count.finite[0])
    statistics = {Count: count, Extremes: Extremes.of(column)}
    statistics |= {Moments: Moments.of(column, number), Quantiles: Quantiles.of(column, number)}
    assert set(statistics) == set(KINDS)
    return dataclasses.replace(distribution, statistics=statistics, points=column, weight=weight[:, None], solved={})
