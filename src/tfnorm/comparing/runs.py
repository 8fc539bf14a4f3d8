"""The runs of a comparison: who trains when, for how long, and what the losses were.

The one law: of a seed, all contenders have the same initial weights, the same rows in the same order and as many steps.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfnorm.comparing import clock
from tfnorm.comparing.clock import Clock
from tfnorm.comparing.entrants import Entrant, condition, varying
from tfnorm.comparing.samples import Split, Target
from tfnorm.comparing.training import Build, Data, Trainer, orders, placed
from tfnorm.comparing.values import NONE
from tfnorm.progress import Callback, Meter

"""Called with the steps done since the last call, and how many there are in all."""


@dataclass
class Trainers:
    """Trainers, one for each shape of features."""

    build: Build
    goal: Target
    batch: int
    optimizer: str
    learning_rate: float | None

    def __post_init__(self) -> None:
        self.made: dict[tuple[int, ...], Trainer] = {}

    def trainer(self, shape: tuple[int, ...]) -> Trainer:
        if shape not in self.made:
            outputs = len(self.goal.classes) or 1
            self.made[shape] = Trainer(
                self.build, shape, outputs, self.goal.is_classes, self.optimizer, self.learning_rate
            )
        return self.made[shape]


@dataclass(frozen=True, eq=False)
class Run:
    """A contender's data where its network is."""

    trainer: Trainer
    data: Data
    rows: int


def ready(made: Trainers, entrants: Sequence[Entrant], parts: Split, shaped: bool) -> tuple[list[Run], list[float]]:
    """Each contender's features on the device, and their condition numbers."""
    runs, conditions = [], []
    keep: np.ndarray | None = None
    for one in entrants:
        train = one.features(parts.train.features, shaped)
        valid = one.features(parts.validation.features, shaped)
        flat = train.reshape(len(train), -1)
        if one.name == NONE:
            keep = varying(flat)
        conditions.append(condition(flat, keep if keep is not None and len(keep) == flat.shape[1] else None))
        trainer = made.trainer(train.shape[1:])
        with np.errstate(over="ignore"):  # what is too large for single precision is infinite, and training shows it
            single = train.astype(np.float32), valid.astype(np.float32)
        sides = zip(single, (parts.train, parts.validation), strict=True)
        arrays = [array for features, side in sides for array in (features, side.goal, side.weight)]
        runs.append(Run(trainer, placed(*arrays), len(train)))
    return runs, conditions


def plan(
    now: Clock, runs: Sequence[Run], steps: int | None, seeds: tuple[int, ...], batch: int, notes: list[str]
) -> tuple[int, tuple[int, ...]]:
    """Steps and seeds; where there is a budget, some steps are timed first."""
    if now.budget is None or steps is not None:
        return steps or (clock.STEPS if runs[0].trainer.compiled else clock.STEPS_OF_LARGE), seeds
    cost = np.zeros(2)
    for run in {id(run.trainer): run for run in runs}.values():
        cost = np.maximum(cost, _timed(run, seeds[0], batch, now.left / 20))
    planned, kept = now.plan(len(runs), len(seeds), *cost)
    notes.append(
        f"{planned:,} steps for each of {len(runs)} contenders and {kept} seed{'s' * (kept != 1)}, from "
        f"{1e3 * cost[0]:.2g} ms a step and a budget of {now.budget:g} s."
    )
    return planned, seeds[:kept]


def _timed(run: Run, seed: int, batch: int, most: float) -> tuple[float, float]:
    """Seconds of a step, and of a run besides its steps; in about `most` seconds where the network is not slow."""
    order = orders(
        seed, run.rows, clock.MOST_STEPS, min(batch, run.rows)
    )  # as long as any, so that it compiles but once

    def timed(*marks: int) -> float:
        began = time.monotonic()
        run.trainer.train(run.data, seed, order, _padded(np.array(marks), run))
        return time.monotonic() - began

    timed(0, 1)  # compiled now
    short = timed(0, 1)
    some = 8
    while (took := timed(0, some)) < most and some < clock.STEPS:
        some *= 4
    rest = short if run.trainer.compiled else short + clock.MOST_MARKS * max(0.0, timed(0, 0, 0, 0, 1) - short) / 3
    return max(0.0, took - short) / some, rest


def _padded(marks: np.ndarray, run: Run) -> np.ndarray:
    """As long for any number of steps, for a compiled network: the last mark again, which costs a look at the loss."""
    return np.pad(marks, (0, clock.MOST_MARKS - len(marks)), mode="edge") if run.trainer.compiled else marks


def marks_of(steps: int) -> np.ndarray:
    """Where the loss is measured: evenly, and on a logarithmic scale, so that both ends of a curve are seen."""
    half = clock.MOST_MARKS // 2 - 1
    both = [*np.linspace(0, steps, half + 1), *np.geomspace(1, steps, half), (steps + 1) // 2]
    return np.unique(np.rint(both).astype(np.int64))


def train(
    now: Clock,
    runs: Sequence[Run],
    seeds: tuple[int, ...],
    marks: np.ndarray,
    batch: int,
    callback: Callback | None,
    notes: list[str],
) -> tuple[np.ndarray, np.ndarray]:
    """Losses (contenders, seeds, marks) and final accuracy (contenders, seeds): a seed for all contenders, then the next."""
    losses: list[list[np.ndarray]] = []
    accuracy: list[list[float]] = []
    steps = int(marks[-1])
    meter = Meter(callback, steps * len(runs) * len(seeds)) if callback is not None else None
    capacity = max(steps, clock.MOST_STEPS) if now.budget is not None else steps  # what was compiled for timing serves
    slowest = 0.0
    for seed in seeds:
        if losses and now.left < slowest:
            notes.append(f"The budget was used up after {len(losses)} of {len(seeds)} seeds.")
            if meter is not None:
                meter.ends_here()
            break
        began = time.monotonic()
        order = orders(seed, runs[0].rows, capacity, min(batch, runs[0].rows))
        found = []
        for run in runs:
            found.append(run.trainer.train(run.data, seed, order, _padded(marks, run)))
            if meter is not None:
                meter.add(steps)
        losses.append([loss[: len(marks)] for loss, _ in found])
        accuracy.append([right for _, right in found])
        slowest = max(slowest, time.monotonic() - began)
    return np.array(losses).transpose(1, 0, 2), np.array(accuracy).T
