"""Fits what each measure weighs to training results: `python benchmarks/calibrate_advice.py --cache FILE`.

The one law: only the data sets of `advice_sets.CALIBRATE` are used. Each is trained with every technique for all columns, and
with MIXTURES in which each column has one drawn at random; the regret of such a choice (its loss over the best one's, less 1)
is explained by the measures, the mean over columns: non-negative least squares, with a pull to PRIOR where the data are silent.
Prints the weights as `tfnorm/advice/weights.py` holds them, and the mean regret by leaving out one data set after another.

Then the margin by which `standard` is left, and what bending weighs more (`fit_margins`): each data set is advised by column with
the weights of the others and each of MARGINS and BENDS, and trained; where no target is told, also with targets that follow one
of its columns in a straight line (`echoes`): nobody knows then that they do not.

From nothing it takes about 25 minutes on one core (OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1), and a tenth of that where the cache
holds what is trained. `--only`, `--seeds` and `--no-margins` shorten it, for a look.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

import tfnorm
from advice_sets import CALIBRATE, DataSet
from advice_training import MODELS, SEEDS, Cache, Choice, run
from tfnorm.advice.candidates import mapped_by
from tfnorm.advice.described import described
from tfnorm.advice.distribution import distribution_of
from tfnorm.advice.looks import beside, look, whole_rows
from tfnorm.advice.measures import MEASURES, measured
from tfnorm.advice.weights import REFERENCE
from tfnorm.sources import open_source
from tfnorm.techniques import parse

UNIFORM = (
    "identity", "standard", "minmax", "minmax(-1, 1)", "maxabs", "robust", "decimal", "signed_log", "signed_log, standard",
    "asinh, standard", "sqrt, standard", "yeo_johnson, standard", "quantile", "quantile, standard", "quantile(output='normal')",
    "winsorize, standard", "sigmoid, standard", "soft_clip, standard", "gaussianize", "l2", "l2, standard",
)  # fmt: skip
SAFE = (  # of which mixtures are drawn: they suit columns of any sign
    "standard", "minmax", "minmax(-1, 1)", "maxabs", "robust", "signed_log, standard", "yeo_johnson, standard", "quantile",
    "quantile(output='normal')", "winsorize, standard", "sigmoid, standard", "gaussianize",
)  # fmt: skip
MIXTURES = 8
TARGET = "the target"  # as it is called beside the columns
KNOWN_AS = {"linear": "linear", "mlp": "mlp", "mlp, tanh": "saturating"}  # as weights.FITTED calls them

WORST = 1.0  # a regret beyond which a choice is merely bad
SOFTEN = 0.05  # good choices count more: the weight of one is 1 / (SOFTEN + regret)
PULL = 0.02  # to the prior, as a share of the data
FLOOR = 0.2  # of the prior, which a measure weighs in any case: what these data sets do not show may be elsewhere
ASIDE = list(MEASURES).index("aside")
"""What the target tells: weights are fitted with it and without."""
BENT = list(MEASURES).index("bent")
FORGOTTEN = list(MEASURES).index("forgotten")
"""What forgets (unit norms) is left out, and that weighs what the prior says: on spectra it halved the loss, on a series it
added half, and no statistic of the features told which."""
PRIOR = {
    **{"offset": 0.02, "narrow": 0.03, "wide": 0.1, "skewed": 0.03, "tailed": 0.01, "far": 0.03, "farthest": 0.01},
    **{"squeezed": 0.02, "tied": 0.5, "moved_zero": 0.02, "forgotten": 0.3, "bent": 0.02, "aside": 1.0},
    **{"complexity": 0.02},
}


def uniform(data: DataSet) -> dict[str, Choice]:
    """One technique for all columns."""
    vector = any(values.ndim > 1 for values in data.columns.values())
    return {text: text for text in UNIFORM if vector or not text.startswith("l2")}


def mixtures(data: DataSet) -> dict[str, Choice]:
    """For each column one of SAFE, drawn at random but always the same ones."""
    if len(data.columns) < 2:
        return {}
    generator = np.random.default_rng(zlib.crc32(data.name.encode()))
    return {f"mixture {i}": {name: str(generator.choice(SAFE)) for name in data.columns} for i in range(MIXTURES)}


def measures_of(data: DataSet, choices: Mapping[str, Choice]) -> dict[str, np.ndarray]:
    """Contender -> measures, the mean over columns; those that apply to all columns."""
    profile = tfnorm.scan(data.columns)
    known: dict[tuple[str, str], dict[str, float] | None] = {}
    distributions = {}
    with_target = {**data.columns, TARGET: data.target}
    found_rows = look(open_source(with_target), list(with_target))
    for name in profile:
        rows = whole_rows(found_rows, name)
        distributions[name] = distribution_of(profile[name], rows, beside(found_rows, name, TARGET))

    def of(name: str, text: str) -> dict[str, float] | None:
        if (name, text) not in known:
            bounds = described(profile[name], distributions[name]).bounds
            mapped = mapped_by(distributions[name], parse(text), bounds)
            known[name, text] = None if mapped is None else measured(mapped)
        return known[name, text]

    found = {}
    for contender, choice in choices.items():
        each = [of(name, choice if isinstance(choice, str) else choice[name]) for name in profile]
        if all(one is not None for one in each):
            found[contender] = np.array([np.mean([one[m] for one in each if one]) for m in MEASURES])
    return found


def regrets(losses: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Contender -> its loss over the best one's, less 1: of each seed the best mark (who trains stops early), then the mean."""
    reached = {name: float(one.min(axis=1).mean()) for name, one in losses.items() if not np.isnan(one).any()}
    best = min(reached.values())
    return {name: loss / best - 1 for name, loss in reached.items()}


def fitted(tables: list[tuple[Mapping[str, np.ndarray], Mapping[str, float]]], *, told: bool) -> np.ndarray:
    """Weights from (measures, regrets) of several data sets; what is common to a data set is taken off.

    told: whether the target is known.
    """
    rows, values = [], []
    for measures, regret in tables:
        names = [name for name in regret if name in measures and not measures[name][FORGOTTEN]]
        x, r = np.array([measures[name] for name in names]), np.array([regret[name] for name in names])
        x[:, ASIDE] *= told
        r = np.minimum((1 + r) / (1 + r.min()) - 1, WORST)
        weight = 1.0 / (SOFTEN + r) / len(names)
        x, r = x - np.average(x, axis=0, weights=weight), r - np.average(r, weights=weight)
        rows.append(x * np.sqrt(weight)[:, None])
        values.append(r * np.sqrt(weight))
    x, y = np.concatenate(rows), np.concatenate(values)
    size = np.sqrt((x**2).mean(axis=0)) + 1e-9
    pull = np.sqrt(PULL * len(y))
    prior = np.array([PRIOR.get(name, 0.0) for name in MEASURES])
    floor = FLOOR * prior
    aim = np.concatenate([y - x @ floor, pull * (prior - floor) * size])
    found, _ = nnls(np.vstack([x / size, pull * np.eye(len(size))]), aim)
    weights = floor + found / size
    weights[ASIDE] *= told
    return np.asarray(weights)


def best_of(measures: Mapping[str, np.ndarray], weights: np.ndarray, names: list[str]) -> str:
    return min((name for name in names if name in measures), key=lambda name: float(measures[name] @ weights))


MARGINS = (0.0, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2)
BENDS = (0.0, 0.1, 0.25, 0.5)
SEEDS_OF_MARGINS = 2
BEHIND = 0.05  # of the loss of `standard`, from which on being behind counts
ECHOES, NOISE = 2, 0.4  # targets that are a column and so many deviations of noise

Setting = tuple[float, float]  # the margin, and what bending weighs more
SETTINGS: list[Setting] = list(itertools.product(MARGINS, BENDS))
Weights = Mapping[tuple[bool, str, str], np.ndarray]  # (target told, model, the data set left out) -> of all measures


def by_column(train: DataSet, name: str, weights: Weights, *, told: bool) -> dict[str, dict[str, Choice]]:
    """Model -> setting -> what would be advised for each column with the weights that the data set `name` did not see."""
    advice = tfnorm.advise({**train.columns, TARGET: train.target}, target=TARGET)
    found: dict[str, dict[str, Choice]] = {model: {REFERENCE: REFERENCE} for model in MODELS}
    for model, (margin, bends) in itertools.product(MODELS, SETTINGS):
        choice = {}
        for column, advised in advice.columns.items():
            measures = {one.technique: np.array([one.measures.get(m, 0.0) for m in MEASURES]) for one in advised.ranked}
            known = told and any(x[ASIDE] for x in measures.values())  # never of vectors
            weigh = weights[known, model, name] + bends * (np.arange(len(MEASURES)) == BENT)
            scores = {one: round(float(x @ weigh) + margin * (one != REFERENCE), 9) for one, x in measures.items()}
            best = min(scores, key=scores.__getitem__)
            choice[column] = REFERENCE if scores[best] == scores.get(REFERENCE) else best
        found[model][str((margin, bends))] = choice
    return found


def echoes(data: DataSet) -> Iterator[DataSet]:
    """The same columns, with targets that follow one of them in a straight line."""
    generator = np.random.default_rng(zlib.crc32(data.name.encode()))
    usual = [name for name, values in data.columns.items() if values.ndim == 1 and np.nanstd(values) > 0]
    for name in generator.permutation(usual)[:ECHOES] if len(usual) > 1 else ():
        values = data.columns[name]
        clean = np.where(np.isfinite(values), values, np.nanmedian(values)) / np.nanstd(values)
        target = clean + NOISE * generator.standard_normal(len(clean))
        yield dataclasses.replace(data, name=f"{data.name} ~ {name}", target=target, classes=0)


def fit_margins(cache: Cache, weights: Weights, names: Sequence[str] = tuple(CALIBRATE)) -> None:
    """Prints, by model and with the target told or not, the setting that is `preferred`, and what comes of leaving sets out."""
    for told in (False, True):
        gains: dict[tuple[str, Setting], list[float]] = {}
        sets: list[str] = []
        for name in names:
            data = CALIBRATE[name]()
            chosen = partial(by_column, name=name, weights=weights, told=told)
            for one in (data, *(() if told else echoes(data))):
                seeds = SEEDS_OF_MARGINS if one is data else 1
                losses = run(one, chosen, cache, seeds)
                sets.append(name)
                for model, setting in itertools.product(MODELS, SETTINGS):
                    ours, theirs = (losses[model][key].min(axis=1).mean() for key in (str(setting), REFERENCE))
                    gains.setdefault((model, setting), []).append(float(ours / theirs - 1))
        for model in MODELS:
            mine = {setting: np.array(gains[model, setting]) for setting in SETTINGS}
            best = preferred(mine, np.ones(len(sets), bool))
            print(f"\nmargin, {'target told' if told else 'no target'}, {model}: {best[0]}, bending more by {best[1]}")
            print(f"    without it against standard: {against(mine[0.0, 0.0])}")
            print(f"    with it: {against(mine[best])}")
            left = {name: np.array([one == name for one in sets]) for name in names}
            out = [mine[preferred(mine, ~here)][here] for here in left.values()]
            print(f"    left out in turn: {against(np.concatenate(out))}")


def preferred(gains: Mapping[Setting, np.ndarray], kept: np.ndarray) -> Setting:
    """The most cautious setting that is as good as the best.

    The best is that with the fewest sets clearly behind `standard` and, of those, the lowest mean. As good are those with as few
    whose mean is above it by no more than one standard error of the difference, set by set (Breiman et al. 1984): a few data
    sets do not tell them apart. Of these one with the largest margin: the best.
    """
    kept_gains = {one: np.minimum(gain[kept], 1.0) for one, gain in gains.items()}
    clearly = {one: int((gain > BEHIND).sum()) for one, gain in kept_gains.items()}
    best = min(gains, key=lambda one: (clearly[one], kept_gains[one].mean()))

    def is_as_good(one: Setting) -> bool:
        more = kept_gains[one] - kept_gains[best]
        return clearly[one] == clearly[best] and bool(more.mean() <= more.std(ddof=1) / np.sqrt(len(more)))

    return max(
        (one for one in gains if one == best or is_as_good(one)), key=lambda one: (one[0], -kept_gains[one].mean())
    )


def against(gains: np.ndarray) -> str:
    return f"mean {gains.mean():+.1%}, at worst {gains.max():+.1%}, {(gains > BEHIND).sum()} of {len(gains)} clearly behind"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cache", type=Path, required=True, help="a JSON file outside the repository")
    parser.add_argument("--only", nargs="*", default=list(CALIBRATE), metavar="SET", help="these data sets alone")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each choice")
    parser.add_argument("--no-margins", action="store_true", help="the weights alone")
    arguments = parser.parse_args()
    cache = Cache(arguments.cache)
    tables: dict[str, dict[str, tuple[dict[str, np.ndarray], dict[str, float]]]] = {model: {} for model in MODELS}
    for name in arguments.only:
        start = time.perf_counter()
        data = CALIBRATE[name]()
        contenders = uniform(data) | mixtures(data)
        trained = run(data, lambda _, chosen=contenders: dict.fromkeys(MODELS, chosen), cache, arguments.seeds)
        measures = measures_of(data, contenders)
        for model, losses in trained.items():
            tables[model][name] = measures, regrets(losses)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    unseen: dict[tuple[bool, str, str], np.ndarray] = {}
    for told, model in itertools.product((False, True), MODELS):
        by_set = tables[model]
        weights = fitted(list(by_set.values()), told=told)
        said = ", ".join(f'"{m}": {w:.4f}' for m, w in zip(MEASURES, weights, strict=True))
        print(f'\n{"WITH_TARGET" if told else "FITTED"}: "{KNOWN_AS[model]}": {{{said}}},')
        lost = []
        for name, (measures, regret) in by_set.items():
            others = fitted([table for other, table in by_set.items() if other != name], told=told)
            unseen[told, model, name] = others
            chosen = best_of(measures, others, [one for one in regret if not one.startswith("mixture")])
            lost.append((regret[chosen], regret["standard"], regret["minmax"]))
            print(
                f"    {name:20} {chosen:28} {lost[-1][0]:6.1%}  standard {lost[-1][1]:6.1%}  minmax {lost[-1][2]:6.1%}"
            )
        means = np.mean(lost, axis=0)
        print(
            f"    left out in turn, the mean regret is {means[0]:.1%} (standard {means[1]:.1%}, minmax {means[2]:.1%})"
        )
    if not arguments.no_margins:
        fit_margins(cache, unseen, arguments.only)


if __name__ == "__main__":
    main()
