"""One feature of the new data beside that of the fit: the numbers, and whether they are an alarm.

The one law: an alarm has two parts. An effect is larger than its threshold, and the difference is larger than chance makes it:
than `level` of all samples without drift would show (`tfnorm.drift.chance`), less what the sketches leave open.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real

import numpy as np

from tfnorm.curve import Curve
from tfnorm.drift import chance
from tfnorm.drift.distances import (
    LEAST_IN_BIN,
    Ranks,
    Shares,
    bin_edges,
    jensen_shannon,
    just_below,
    kolmogorov_smirnov,
    stability_index,
)
from tfnorm.drift.sides import Side
from tfnorm.drift.values import SEVERITIES, Severity
from tfnorm.errors import ChoiceError
from tfnorm.sources.columns import did_you_mean
from tfnorm.summary import number, share

# a feature's tests, each of which gets its part of the level: KS and PSI (or mean and spread), missing, infinite, above, below
TESTS = 6
LEVELS = np.arange(1, 20) / 20  # the quantiles whose mean shift is told
FEW_MAKE_IT = 30.0  # values on which a deviation rests; of fewer nothing is said
WIDER = 1.25  # a spread that is worth a word

Say = Callable[[float], str]


@dataclass(frozen=True)
class Thresholds:
    """From which effect on a column has drifted: (moderately, severely).

    psi        population stability index beyond what chance gives; 0.1 and 0.25 are the customary ones
    ks         largest difference of the cumulative shares
    shift      of quantiles on the mean (of the mean, where there is no sketch), in deviations of the fit
    spread     factor by which the deviation is larger or smaller, asked only where there is no sketch
    missing    difference of the shares of missing, or of infinite values
    outside    share of values beyond the fit's smallest or largest
    """

    psi: tuple[float, float] = (0.1, 0.25)
    ks: tuple[float, float] = (0.1, 0.25)
    shift: tuple[float, float] = (0.2, 0.5)
    spread: tuple[float, float] = (1.5, 2.5)
    missing: tuple[float, float] = (0.01, 0.1)
    outside: tuple[float, float] = (0.01, 0.1)

    @classmethod
    def of(cls, given: Thresholds | Mapping[str, object] | None) -> Thresholds:
        """From what the user said: by name a number (severe is 2.5 times as much) or two.

        >>> Thresholds.of({"shift": 0.1, "psi": (0.2, 0.3)}).shift
        (0.1, 0.25)
        """
        if isinstance(given, Thresholds):
            return given
        known = list(cls.__dataclass_fields__)
        said: dict[str, tuple[float, float]] = {}
        for name, one in (given or {}).items():
            pair = (one, 2.5 * one) if isinstance(one, int | float) and not isinstance(one, bool) else one
            is_pair = isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(x, Real) for x in pair)
            if name not in known:
                raise ChoiceError(
                    f"thresholds: expected some of {', '.join(known)}, got {name!r}.{did_you_mean(name, known)}"
                )
            if not is_pair or not 0 < pair[0] <= pair[1] < math.inf or (name == "spread" and pair[0] <= 1):  # type: ignore[index]
                above = 1 if name == "spread" else 0
                raise ChoiceError(
                    f"thresholds: {name} must be a number above {above}, or two that rise, got {one!r}. Say {name}=0.2, or "
                    "(moderate, severe)."
                )
            said[name] = (float(pair[0]), float(pair[1]))  # type: ignore[index]
        return cls(**said)


def checked_probability(given: object) -> float:
    """A probability that is neither 0 nor 1."""
    if isinstance(given, int | float) and 0 < given < 1:
        return float(given)
    raise ChoiceError(f"false_alarms must be a probability above 0 and below 1, got {given!r}.")


@dataclass
class Judged:
    """What is found of one feature, as it is found."""

    severity: Severity = "none"
    score: float = 0.0
    alarms: list[str] = field(default_factory=list)  # in words
    notes: list[str] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[str, ...]:
        """What raises an alarm, then what does not."""
        return (*self.alarms, *self.notes)

    @property
    def rank(self) -> tuple[int, float]:
        """By which the worst is found."""
        return SEVERITIES.index(self.severity), self.score

    def alarm(self, effect: float, thresholds: tuple[float, float], text: str) -> bool:
        """An effect that chance does not explain; nothing where it is below its threshold."""
        if not effect >= thresholds[0]:
            return False
        severity: Severity = "severe" if effect >= thresholds[1] else "moderate"
        self.severity = max(self.severity, severity, key=SEVERITIES.index)
        self.score = max(self.score, effect / thresholds[0])
        if text:
            self.alarms.append(text)
        return True


def judge(fit: Side, new: Side, thresholds: Thresholds, level: float, say: Say = number) -> Judged:
    """The new data of one feature beside the fit's. `level`: of each test; `say`: a value in words."""
    found = Judged()
    found.numbers |= {"rows": new.number, "rows_of_fit": fit.number}
    _judge_share(found, "missing", (fit.missing, new.missing), (fit, new), thresholds.missing, level)
    _judge_share(found, "infinite", (fit.infinite, new.infinite), (fit, new), thresholds.missing, level)
    if not new.number:
        if fit.number:
            found.notes.append("no value to compare")
        return found
    if not fit.number:
        found.notes.append("the fit has seen no value")
        return found
    if fit.curve is not None and new.curve is not None:
        _judge_distribution(found, fit, new, thresholds, level, say)
    elif fit.mean is not None and new.mean is not None:
        _judge_moments(found, fit, new, thresholds, level, say)
    _judge_outside(found, fit, new, thresholds.outside, level, say)
    return found


def _judge_share(
    found: Judged,
    what: str,
    shares: tuple[float, float],
    sides: tuple[Side, Side],
    thresholds: tuple[float, float],
    level: float,
) -> None:
    """Whether more or fewer values are missing (or infinite): the limits of both shares lie apart."""
    (was, now), (fit, new) = shares, sides
    found.numbers |= {what: now, f"{what}_of_fit": was}
    if was == now:
        return
    rows = max(fit.rows, 1.0), max(new.rows, 1.0)
    (low_was, high_was), (low, high) = (
        chance.share_bounds(one, n, level / 2) for one, n in zip(shares, rows, strict=True)
    )
    text = f"{share(now, 1)} {what}, {share(was, 1) if was else 'none'} in the fit"
    beyond = low > high_was or high < low_was
    told = beyond and found.alarm(abs(now - was), thresholds, text)
    if now > 0 and not was and not told:
        found.notes.append(text)  # not many, but where there were none


def _judge_outside(
    found: Judged, fit: Side, new: Side, thresholds: tuple[float, float], level: float, say: Say
) -> None:
    """Which share lies beyond the fit's smallest and largest. Of n new values among m it is some by chance, too."""
    if fit.extremes is None or new.extremes is None:
        return
    low, high = fit.extremes
    above, below = float(new.extremes[1] > high), float(new.extremes[0] < low)  # that there are any is exact
    sure = above / new.number, below / new.number
    estimate = sure
    if new.curve is not None:
        ranks = Ranks.of(new.curve, np.array([high, just_below(np.array(low))]))
        estimate = (1.0 - float(ranks.value[0])) * above, float(ranks.value[1]) * below
        sure = max(sure[0], 1.0 - float(ranks.high[0])), max(sure[1], float(ranks.low[1]))
        estimate = max(estimate[0], sure[0]), max(estimate[1], sure[1])
    found.numbers["outside"] = sum(estimate)
    ends = ("above the fit's largest", high, new.extremes[1]), ("below the fit's smallest", low, new.extremes[0])
    for part, certain, (where, end, farthest) in zip(estimate, sure, ends, strict=True):
        if part and new.curve is None:  # how many they are, only a sketch knows
            found.notes.append(f"values {where}, {say(end)} (as far as {say(farthest)})")
        if chance.exceeding(math.floor(certain * new.number + 1e-9), new.number, fit.number) <= level:
            text = f"{share(part, 1)} {where}, {say(end)} (as far as {say(farthest)})"
            found.alarm(part, thresholds, f"was {say(end)} throughout: {text}" if low == high else text)


def _judge_distribution(found: Judged, fit: Side, new: Side, thresholds: Thresholds, level: float, say: Say) -> None:
    """Whether the two distributions are other than samples of one would be, and how far they are apart."""
    one, two = fit.curve, new.curve
    assert one is not None
    assert two is not None
    n, m = new.number, fit.number
    ks = kolmogorov_smirnov(one, two)
    edges = bin_edges(one, LEAST_IN_BIN / min(n, m))
    p, q = Shares.of(one, edges, m), Shares.of(two, edges, n)
    psi, js = stability_index(p, q), jensen_shannon(p, q)
    bins = len(edges) + 1
    ks_noise, psi_noise = chance.ks_noise(n, m, level), chance.psi_noise(bins, n, m, level)
    expected = chance.psi_expected(bins, n, m)
    shift, spread, medians = _shift(one, two, fit.scale)
    found.numbers |= {"shift": shift, "spread": spread}
    found.numbers |= {"ks": ks.value, "ks_low": ks.low, "ks_high": ks.high, "ks_noise": ks_noise}
    found.numbers |= {"psi": psi.value, "psi_low": psi.low, "psi_high": psi.high}
    found.numbers |= {"psi_expected": expected, "psi_noise": psi_noise}
    found.numbers |= {"js": js.value, "js_low": js.low, "js_high": js.high}
    if ks.low <= ks_noise and psi.low <= psi_noise:
        return
    side, middle = "higher" if shift > 0 else "lower", f"median {say(medians[1])}, was {say(medians[0])}"
    if fit.mean is not None and new.mean is not None and (medians[0] == medians[1] or len(one.count) <= 2):
        # of yes and no, or of zeros mostly, the median tells little
        middle = f"mean {say(new.mean)}, was {say(fit.mean)}"
    moved = found.alarm(abs(shift), thresholds.shift, f"{abs(shift):.2g} deviations {side} ({middle})")
    words = [f"PSI {psi.value:.2g} (by chance {expected:.1g})", f"KS {ks.value:.2g}"]
    if spread >= WIDER or 0 < spread <= 1 / WIDER:
        words.append(f"spread {spread:.2g} times")
    if two.low.min() == two.high.max() and one.low.min() < one.high.max():
        words.append("now constant")
    far = found.alarm(psi.value - expected, thresholds.psi, ""), found.alarm(ks.value, thresholds.ks, "")
    if moved or any(far):
        found.alarms.append("distribution: " + ", ".join(words))


def _shift(fit: Curve, new: Curve, scale: float) -> tuple[float, float, tuple[float, float]]:
    """The mean shift of the quantiles from 5 % to 95 % in units of `scale`; the deciles' distance, new over old; the medians."""
    was, now = np.array(fit.quantiles(LEVELS)), np.array(new.quantiles(LEVELS))
    with np.errstate(all="ignore"):
        moved = float(np.mean(now - was))
        shift = moved / scale if scale > 0 else math.nan  # what leaves a constant is outside
        spread = float((now[17] - now[1]) / (was[17] - was[1])) if was[17] > was[1] else math.nan
    return shift, spread, (float(was[9]), float(now[9]))


def _judge_moments(found: Judged, fit: Side, new: Side, thresholds: Thresholds, level: float, say: Say) -> None:
    """Mean and deviation alone, where the fit has no sketch. The standard error takes the larger deviation of the two, since
    the smaller one may lack the tail."""
    assert fit.mean is not None
    assert new.mean is not None
    was, now, n, m = fit.std or 0.0, new.std or 0.0, new.number, fit.number
    moved, many = new.mean - fit.mean, chance.deviations(level)
    error = max(was, now) * math.sqrt(1.0 / n + 1.0 / m)
    # what leaves a constant is outside, and no shift
    shift, shift_error = (one / was if was > 0 else math.nan for one in (moved, error))
    found.numbers |= {"shift": shift, "shift_error": shift_error}
    side = "higher" if moved > 0 else "lower"
    if abs(moved) > many * error:
        text = f"mean {abs(shift):.2g} deviations {side} ({say(new.mean)}, was {say(fit.mean)})"
        found.alarm(abs(shift), thresholds.shift, text)
    spread = now / was if was > 0 else math.nan
    found.numbers["spread"] = spread
    if not (was > 0 and now > 0):
        return
    # a deviation rests on n / (kurtosis + 3) values, and its logarithm has a variance of (kurtosis + 2) / 4 n
    tails = max(fit.kurtosis or 0.0, new.kurtosis or 0.0) + 3.0
    if min(n, m) / tails < FEW_MAKE_IT:
        return
    if abs(math.log(spread)) > many * math.sqrt((tails - 1.0) / 4.0 * (1.0 / n + 1.0 / m)):
        text = f"deviation {spread:.2g} times ({number(now)}, was {number(was)})"
        found.alarm(max(spread, 1 / spread), thresholds.spread, text)
