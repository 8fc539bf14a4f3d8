"""Is the advice right more often than the default? `python benchmarks/advice.py --cache FILE`.

The one law: judged on `advice_sets.JUDGE`, which the weights have not seen. For each split the advice is asked of the training
part, by column; it is held against one technique for all columns: the best of all in hindsight, always `standard`, always
`minmax`, and none. Regret is the validation loss over that of the best one, less 1; what is below 0 beat it.

Against `standard` the same splits and first weights are compared, pair by pair: the mean difference, and its standard error over
the pairs. On a data set the advice is clearly behind where the mean over its models is, by more than CLEARLY and by more than
twice the standard error.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import tfnorm
from advice_sets import JUDGE, DataSet
from advice_training import EVERY, MODELS, Cache, Choice, run
from calibrate_advice import TARGET, regrets, uniform
from tfnorm.advice.candidates import candidates_for
from tfnorm.advice.scoring import score
from tfnorm.advice.weights import weights_for
from tfnorm.chains import written
from tfnorm.profile import Column

ASKED = {"linear": ("linear", None), "mlp": ("mlp", None), "mlp, tanh": ("mlp", "tanh")}
NONE, STANDARD, MINMAX = "identity", "standard", "minmax"
TOLD, UNTOLD = "advice, target told", "advice"
PLACES = {written(stages): i for i, stages in enumerate(candidates_for(Column("x", "float64", (), 1), None))}
"""Of equals, the one that comes first in the registry."""
CLEARLY = 0.05  # of the best loss, by which advice may not be behind `standard` on any set,
ERRORS = 2.0  # nor by more than so many standard errors


def contenders(train: DataSet) -> Mapping[str, Mapping[str, Choice]]:
    """One technique for all columns, and what is advised for this training part and each model.

    The measures are the same for each model, and the target but one of them: they are taken once and weighed six times, as
    `tfnorm.advise` weighs them; asking it six times gives the same, and takes six times as long.
    """
    advice = tfnorm.advise({**train.columns, TARGET: train.target}, target=TARGET)
    return {
        model: uniform(train)
        | {
            TOLD: weighed(advice, family, activation, named=True),
            UNTOLD: weighed(advice, family, activation, named=False),
        }
        for model, (family, activation) in ASKED.items()
    }


def weighed(advice: tfnorm.Advice, family: str, activation: str | None, *, named: bool) -> dict[str, Choice]:
    """What is advised for another model, and without the target, from the measures of an advice that knew it."""
    chosen: dict[str, Choice] = {}
    for name, column in advice.columns.items():
        told = any(one.measures.get("aside", 0.0) for one in column.ranked)
        weights = weights_for(family, activation, told=told and named, named=named)
        known = [
            (one.technique, {**one.measures, "aside": one.measures.get("aside", 0.0) * named}) for one in column.ranked
        ]
        scores = {technique: round(score(technique, measures, weights), 9) for technique, measures in known}
        chosen[name] = min(scores, key=lambda one: (scores[one], PLACES.get(one, len(PLACES))))
    return chosen


def against(losses: Mapping[str, np.ndarray], ours: str, floor: float) -> np.ndarray:
    """By how much of the best loss `ours` is behind always `standard`, split by split."""
    return np.asarray((losses[ours].min(axis=1) - losses[STANDARD].min(axis=1)) / floor)


def spread_of(differences: np.ndarray) -> tuple[float, float]:
    """The mean of pairs, and its standard error."""
    error = float(differences.std(ddof=1) / np.sqrt(len(differences))) if len(differences) > 1 else float("nan")
    return float(differences.mean()), error


def verdict(mean: float, error: float) -> str:
    """Whether a difference is clear."""
    clear = abs(mean) > CLEARLY and not abs(mean) <= ERRORS * error
    return "" if not clear else "**behind**" if mean > 0 else "ahead"


def steps_to(losses: np.ndarray, aim: float) -> str:
    """The first mark at which the mean over seeds is as low as that."""
    reached = np.flatnonzero(losses.mean(axis=0) <= aim)
    return f"{(reached[0] + 1) * EVERY}" if len(reached) else "-"


def trained_on(name: str, path: Path) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Any]]:
    """Losses on one data set, and what was trained for them."""
    cache = Cache(path)
    known = set(cache.found)
    cache.path = path.with_suffix(f".{zlib.crc32(name.encode()):x}")  # so that workers do not write over each other
    trained = run(JUDGE[name](), contenders, cache)
    cache.path.unlink(missing_ok=True)
    return trained, {key: value for key, value in cache.found.items() if key not in known}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cache", type=Path, required=True, help="a JSON file outside the repository")
    parser.add_argument("--workers", type=int, default=1, help="processes, each with one data set at a time")
    parser.add_argument("--only", nargs="*", default=list(JUDGE), metavar="SET", help="these data sets alone")
    arguments = parser.parse_args()
    cache = Cache(arguments.cache)
    start = time.perf_counter()
    pool = ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn"))
    jobs = {name: pool.submit(trained_on, name, arguments.cache) for name in arguments.only}
    regret_rows, step_rows, set_rows = [], [], []
    means: dict[str, list[tuple[float, ...]]] = {model: [] for model in MODELS}
    for name, job in jobs.items():
        trained, new = job.result()
        cache.found |= new
        cache.save()
        behind: dict[str, list[np.ndarray]] = {TOLD: [], UNTOLD: []}
        for model, losses in trained.items():
            alone = {one: line for one, line in losses.items() if one not in (TOLD, UNTOLD)}
            best = min(regrets(alone), key=lambda one: regrets(alone)[one])
            floor = losses[best].min(axis=1).mean()
            found = {one: float(line.min(axis=1).mean() / floor - 1) for one, line in losses.items()}
            found_of = tuple(found[one] for one in (TOLD, UNTOLD, STANDARD, MINMAX, NONE))
            means[model].append(found_of)
            for one, differences in behind.items():
                differences.append(against(losses, one, floor))
            regret_rows.append(
                f"| {name} | {model} | `{best}` {floor:.3f} | "
                + " | ".join(map(percent, found_of))
                + f" | {signed(*spread_of(behind[TOLD][-1]))} |"
            )
            if model == "mlp":
                aim = float(losses[NONE].mean(axis=0).min())
                each = (steps_to(losses[one], aim) for one in (NONE, STANDARD, TOLD))
                step_rows.append(f"| {name} | {aim:.3f} | " + " | ".join(each) + " |")
        over_models = {one: spread_of(np.mean(each, axis=0)) for one, each in behind.items()}
        set_rows.append(
            f"| {name} | " + " | ".join(f"{signed(*both)} | {verdict(*both)}" for both in over_models.values()) + " |"
        )
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    print(
        "\n| data set | model | best technique, its loss | advice, target told | advice | standard | minmax | none "
        "| told, against standard |"
    )
    print("|---|---|---|---:|---:|---:|---:|---:|---:|")
    print("\n".join(regret_rows))
    for model, rows in means.items():
        average, middle = np.mean(np.minimum(rows, 10.0), axis=0), np.median(rows, axis=0)
        print(f"| **mean** | {model} | | " + " | ".join(map(percent, average)) + " | |")
        print(f"| **median** | {model} | | " + " | ".join(map(percent, middle)) + " | |")
    every = np.minimum([row for rows in means.values() for row in rows], 10.0)
    print("| **mean** | all | | " + " | ".join(map(percent, every.mean(axis=0))) + " | |")
    for i, name in enumerate((TOLD, UNTOLD)):
        words = []
        for j, other in ((2, STANDARD), (3, MINMAX), (4, "none")):
            won, lost = (int((sign * (every[:, j] - every[:, i]) > 0.005).sum()) for sign in (1, -1))
            words.append(f"{won} to {lost} against {other}")
        worst = float((every[:, i] - every[:, 2]).max())
        print(f"\nOf {len(every)} (data set, model), lower by 0.5 % or more: {name}: {', '.join(words)}.")
        print(f"At worst it is {worst:.1%} of the best loss behind always standard.")
    print("\n| data set, mean of its models | advice, target told, against standard | | advice, against standard | |")
    print("|---|---:|---|---:|---|")
    print("\n".join(set_rows))
    print("\n| data set | best loss of an mlp without normalization | its steps | standard's | the advice's |")
    print("|---|---:|---:|---:|---:|")
    print("\n".join(step_rows))


def signed(mean: float, error: float) -> str:
    return f"{100 * mean:+.1f} ± {100 * error:.1f} %"


def percent(value: float) -> str:
    return "> 1000 %" if value > 9.995 else f"{100 * value:.1f} %"


if __name__ == "__main__":
    main()
