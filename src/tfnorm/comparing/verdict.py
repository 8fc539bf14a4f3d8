"""From loss curves to what is said of them.

The one law: a difference is claimed only where it is larger than the spread over seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tfnorm.comparing.numbers import short
from tfnorm.comparing.values import NONE, Contender
from tfnorm.sources.columns import cell

EXPLODED = 10.0


def diverged(losses: np.ndarray, baseline: float) -> np.ndarray:
    """(seeds,) whether a run went astray: a loss that is not finite, or an end ten times worse than both its own best and
    a constant guess."""
    finite = np.isfinite(losses).all(axis=1)
    best = np.min(np.where(np.isfinite(losses), losses, np.inf), axis=1)
    with np.errstate(invalid="ignore"):
        exploded = losses[:, -1] > EXPLODED * np.maximum(best, baseline)
    return np.asarray(~finite | exploded)


def ranked(contenders: Sequence[Contender]) -> tuple[Contender, ...]:
    """By final loss; those that diverged last, the least often diverged of them first."""
    return tuple(sorted(contenders, key=lambda one: (one.diverged.sum(), one.loss)))


def level_of(contenders: Sequence[Contender], marks: np.ndarray) -> float:
    """The loss that the best one has at half the steps, mean over seeds; nan where all diverged."""
    best = ranked(contenders)[0]
    if best.diverged.any():
        return float("nan")
    half = int(np.searchsorted(marks, marks[-1] / 2))
    return float(best.curve[half])


def with_steps(contender: Contender, level: float, marks: np.ndarray) -> Contender:
    """The contender with the first marks at which each seed's loss is at the level."""
    there = contender.losses <= level
    first = np.where(there.any(axis=1), marks[np.argmax(there, axis=1)], np.nan)
    return replace(contender, steps_to=first)


def differs(one: Contender, other: Contender) -> bool:
    """Whether the final losses of two are further apart than either's spread over seeds."""
    if one.diverged.any() or other.diverged.any():
        return bool(one.diverged.sum() != other.diverged.sum())
    if len(one.final) < 2:
        return False
    return abs(one.loss - other.loss) > max(one.spread, other.spread)


def words(contenders: Sequence[Contender], marks: np.ndarray, baseline: float) -> str:
    """The verdict. `contenders` are ranked."""
    best, *others = contenders
    runs = len(best.final)
    if best.diverged.any():
        return "All diverged: nothing can be said of the techniques. Lower the learning rate, or look at the data."
    said = [_first(best, [one for one in others if not differs(one, best)], runs)]
    behind = [one for one in others if differs(one, best) and not one.diverged.any()]
    if behind:
        said.append(_sentence("; ".join(f"{_ends(one)} {_higher(one, best)}" for one in behind)))
    astray = [one for one in others if one.diverged.any()]
    if astray:
        listed = ", ".join(f"{_called(one)} ({int(one.diverged.sum())} of {runs} seeds)" for one in astray)
        said.append(f"Diverged: {listed}.")
    raw = next((one for one in others if one.technique == NONE), None)
    said.append(_speed(best, raw, int(marks[-1])))
    said.append(_overfit(contenders, marks))
    if best.loss >= baseline:
        said.append("None ends better than a constant guess.")
    return " ".join(filter(None, said))


def _called(contender: Contender) -> str:
    return "raw features" if contender.technique == NONE else f'"{cell(contender.technique)}"'


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _ends(contender: Contender) -> str:
    return f"{_called(contender)} {'end' if contender.technique == NONE else 'ends'}"


def _first(best: Contender, equal: Sequence[Contender], runs: int) -> str:
    subject = _sentence(_ends(best))[:-1]
    if runs < 2:
        return f"{subject} lowest, at {short(best.loss)}; with one seed no difference can be told from chance."
    loss = f"{short(best.loss)} ± {short(best.spread)} over {runs} seeds"
    if not equal:
        return f"{subject} lowest, at {loss}."
    listed = ", ".join(_called(one) for one in equal)
    return f"{subject} at {loss}; within the spread of it: {listed}."


def _higher(one: Contender, best: Contender) -> str:
    ratio = one.loss / best.loss if best.loss > 0 else float("inf")
    return f"{100 * (ratio - 1):.0f} % higher" if ratio < 2 else f"{short(ratio)} times as high"


def _overfit(contenders: Sequence[Contender], marks: np.ndarray) -> str:
    """Who would lead if training stopped at the lowest loss; empty where losses fall to the end."""
    sound = [one for one in contenders if not one.diverged.any()]
    rising = [one for one in sound if len(one.final) > 1 and one.loss - one.curve.min() > one.spread]
    if not rising:
        return ""
    lead = min(sound, key=lambda one: one.curve.min())
    count = f"{len(rising)} of {len(sound)}" if len(rising) < len(sound) else "all"
    return (
        f"Trained too long for {count}, whose loss rises again; stopped where it is lowest, {_called(lead)} "
        f"{'lead' if lead.technique == NONE else 'leads'}, at {short(lead.curve.min())} after "
        f"{int(marks[np.argmin(lead.curve)]):,} steps."
    )


def _speed(best: Contender, raw: Contender | None, steps: int) -> str:
    """How much sooner than raw features: only where no seed says otherwise."""
    if raw is None or best.technique == NONE or len(best.final) < 2:
        return ""
    slow = np.where(np.isnan(raw.steps_to), np.inf, raw.steps_to)
    fast = np.where(np.isnan(best.steps_to), np.inf, best.steps_to)
    if fast.max() >= slow.min():
        return ""
    if np.isinf(slow).all():
        return f"Raw features never reach in {steps:,} steps what {_called(best)} has after {best.steps:,.0f}."
    if np.isnan(raw.steps):
        return ""
    ratio = raw.steps / max(1.0, best.steps)
    return f"Raw features take {ratio:.2g} times the steps to the same loss ({raw.steps:,.0f} for {best.steps:,.0f})."
