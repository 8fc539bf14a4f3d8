"""Which candidate is best for a column.

The one law: every candidate is treated alike. The column's sketch is pushed through it, what comes out is measured, and its
score is the sum of what the measures weigh; no line here or elsewhere says of a technique when it is good. Only the reference,
what people take who ask nobody, is left at a price: small gains that are expected do not carry the risk.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from tfnorm.advice.candidates import Bounds, candidates_for, mapped_by, scales_only
from tfnorm.advice.described import Described, described
from tfnorm.advice.distribution import KINDS, Distribution, distribution_of
from tfnorm.advice.looks import LEAKS, Look, beside, told_of, whole_rows
from tfnorm.advice.measures import measured
from tfnorm.advice.values import Candidate, ColumnAdvice
from tfnorm.advice.warnings import warnings_of
from tfnorm.advice.weights import LEAVING, REFERENCE, weights_for
from tfnorm.advice.words import RODS, evidence, would_change
from tfnorm.chains import written
from tfnorm.curve import Curve
from tfnorm.profile import Column, ColumnProfile
from tfnorm.pushing import Curves
from tfnorm.quantiles import Quantiles
from tfnorm.sources.columns import quoted
from tfnorm.statistics import Count, Extremes, Moments
from tfnorm.summary import share
from tfnorm.techniques import Stages, parse

OUTERMOST = 0.001  # of the values on either side, without which the advice is looked at again
FAR_OUT = 8.0  # deviations from which on that is worth a look
OTHER_MODELS = ("mlp", "linear", "knn")
AGAIN = 12  # of the best, which are tried again without the outermost values


def of_column(
    profile: ColumnProfile, model: str, activation: str | None, found: Look, target: str | None
) -> ColumnAdvice:
    """What is advised for one column."""
    name = profile.column.name
    distribution = distribution_of(profile, whole_rows(found, name), beside(found, name, target))
    d = described(profile, distribution)
    known = {"told": distribution.beside is not None, "named": target in found.rows}
    weights = weights_for(model, activation, **known)
    ranked = ranking(distribution, _candidates(profile.column, distribution, d, weights), d.bounds, weights)
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


def _candidates(column: Column, distribution: Distribution, d: Described, weights: Mapping[str, float]) -> list[Stages]:
    """All there are. Of one value only straight lines, as there is no shape to bend; to 0, where it counts where values lie."""
    found = list(candidates_for(column, d.bounds))
    if not d.constant:
        return found
    found = [stages for stages in found if all(map(scales_only, stages))]
    if not weights.get("offset"):
        return found
    mapped = [mapped_by(distribution, stages, d.bounds) for stages in found]
    return [one for one, to in zip(found, mapped, strict=True) if to is not None and not np.nan_to_num(to.result).any()]


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
    curve = Curve(x, x, number)
    statistics |= {Moments: Moments.of(column, number), Quantiles: Curves((curve,))}
    assert set(statistics) == set(KINDS)
    return dataclasses.replace(
        distribution, statistics=statistics, curves=(curve,), points=column, weight=weight[:, None], solved={}
    )
