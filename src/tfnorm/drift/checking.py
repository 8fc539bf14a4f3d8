"""check(): new data beside a fit.

The one law: the whole check raises any alarm on data without drift with a probability of at most `false_alarms`, however many
columns and features it has: each test of each feature gets an equal part of it (Bonferroni).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from tfnorm.drift.judging import TESTS, Judged, Thresholds, checked_probability, judge
from tfnorm.drift.reading import Arrived, expected_columns, read
from tfnorm.drift.sides import (
    ROUNDING,
    Known,
    Side,
    as_rounded,
    evenness,
    known_of,
    pushed,
    rest_of,
    sides,
    via_of,
)
from tfnorm.drift.values import SEVERITIES, ColumnDrift, Drift
from tfnorm.errors import ChoiceError
from tfnorm.fitted import Fitted
from tfnorm.maps import Map
from tfnorm.profile import Column, Profile
from tfnorm.progress import Callback
from tfnorm.quantiles import Quantiles
from tfnorm.skipping import skipped_words
from tfnorm.sources import OnError
from tfnorm.sources.columns import did_you_mean, quoted
from tfnorm.statistics import Count, Moments
from tfnorm.summary import instant, number
from tfnorm.unseen import key_columns

NEAR = 0.25  # KS below which data look like what they may have been taken for
NEARER = 4.0  # and by this factor less than to what they should be


def check(
    fitted: Fitted | Profile,
    source: Any,
    *,
    columns: Any = None,
    thresholds: Thresholds | Mapping[str, Any] | None = None,
    false_alarms: float = 0.01,
    normalized: bool = False,
    weight: Any = None,
    mask: Any = None,
    on_error: OnError = "raise",
    engine: Any = "threads",
    workers: int | None = None,
    callback: Callback | None = None,
) -> Drift:
    """Whether new data are still those that were fitted: what is missing, new or out of range, and how distributions moved.

    An alarm needs an effect above its threshold and evidence that chance does not give: no alarm for a small sample that
    scatters, nor for a large one where everything is significant and nothing has moved.

    fitted: a fit or a profile. One that gathered no sketches (`standard` needs none) can tell means, deviations and ranges only;
        `tfnorm.fit(..., full=True)` and `tfnorm.scan` gather all.
    source: whatever `scan` takes, or a Profile. Units, axes and what sparse rows do not store are those of the fit.
    columns: names, where not all of the fit are to be checked.
    thresholds: by name, a number or (moderate, severe): psi (0.1, 0.25), ks (0.1, 0.25), shift (0.2, 0.5) in deviations of the
        fit, spread (1.5, 2.5), missing (0.01, 0.1), outside (0.01, 0.1); see `tfnorm.drift.Thresholds`.
    false_alarms: how probable any alarm may be where nothing has drifted, all columns together.
    normalized: whether the data are normalized already: they are then compared with what the fit makes of its own.
    weight, mask, on_error, engine, workers, callback: as for `scan`; what was skipped is in `skipped`.

    Errors: DataError where no column of the fit is there; ChoiceError for columns and thresholds that there are not.

    >>> import numpy as np, tfnorm
    >>> rng = np.random.default_rng(0)
    >>> fitted = tfnorm.fit({"age": rng.normal(40, 10, 5000)}, "standard", full=True)
    >>> check(fitted, {"age": rng.normal(40, 10, 500)}).drifted
    False
    >>> check(fitted, {"age": rng.normal(46, 10, 5000)})["age"].findings[0]
    '0.63 deviations higher (median 46.175, was 39.727)'

    Yurdakul 2018 (PSI under no drift), Massart 1990 (the band of Dvoretzky, Kiefer and Wolfowitz).
    """
    limits = Thresholds.of(thresholds)
    probability = checked_probability(false_alarms)
    reference = Reference.of(fitted, columns, normalized=normalized)
    if isinstance(source, Fitted):
        source = source.profile
    how = {"on_error": on_error, "engine": engine, "workers": workers, "callback": callback}
    arrived = reference.read(source, weight=weight, mask=mask, **how)
    return reference.drift(arrived, limits, probability)


class Reference:
    """What new data are compared with."""

    def __init__(
        self, profile: Profile, maps: Mapping[str, Map], choice: Mapping[str, str], names: list[str], normalized: bool
    ) -> None:
        self.profile, self.maps, self.choice = profile, maps, choice
        self.names, self.normalized = names, normalized
        widths = {name: maps[name].width(profile[name].column.features) for name in names} if normalized else {}
        every = expected_columns(profile, widths)
        self.expected: dict[str, Column] = {name: every[name] for name in names}

    @classmethod
    def of(cls, fitted: Fitted | Profile, columns: Any, *, normalized: bool) -> Reference:
        profile = fitted.profile if isinstance(fitted, Fitted) else fitted
        if not isinstance(profile, Profile):
            hint = " tfnorm.load opens what was saved." if isinstance(fitted, str | os.PathLike) else ""
            raise ChoiceError(f"expected a fit or a profile to compare with, got {type(fitted).__name__}.{hint}")
        maps, choice = (dict(fitted.maps), fitted.choice) if isinstance(fitted, Fitted) else ({}, {})
        if normalized and not maps:
            raise ChoiceError("normalized=True needs a fit, which knows how it normalizes; a profile does not.")
        have = list(maps or profile)
        names = have if columns is None else [columns] if isinstance(columns, str) else [str(one) for one in columns]
        if unknown := [name for name in names if name not in have]:
            raise ChoiceError(f"column {quoted(unknown)}: not in the fit.{did_you_mean(unknown[0], have)}")
        return cls(profile, maps, choice, names, normalized)

    def read(self, source: Any, **options: Any) -> Arrived:
        """The new data's statistics."""
        known = {*self.profile, *key_columns(self.maps.values())}
        return read(source, self.expected, known, bare=self.profile.bare, exact_types=not self.normalized, **options)

    def drift(self, arrived: Arrived, thresholds: Thresholds, false_alarms: float) -> Drift:
        """What came beside what was expected."""
        there = [name for name in self.names if name not in arrived.problems]
        level = false_alarms / TESTS / max(1, sum(self.expected[name].features for name in there))
        found: list[tuple[tuple[int, float], ColumnDrift]] = []
        for name in self.names:
            if problem := arrived.problems.get(name):
                found.append(((len(SEVERITIES), 0.0), ColumnDrift(name, "severe", (problem,), {}, None)))
                continue
            found.append(self._column(name, arrived, thresholds, level))
        found.sort(key=lambda one: one[0], reverse=True)  # the order of the fit stays among equals
        drifts = tuple(one for _, one in found)
        notes, rows = self._notes(arrived, drifts, there, thresholds), self.profile.num_rows
        return Drift(drifts, arrived.rows, rows, arrived.source, notes, arrived.skipped)

    def _column(
        self, name: str, arrived: Arrived, thresholds: Thresholds, level: float
    ) -> tuple[tuple[int, float], ColumnDrift]:
        assert arrived.profile is not None
        fit, new = self._sides(name, arrived)
        column = arrived.profile[name].column
        if fit is None:
            note = f"what {self.choice[name]} gives cannot be told from the fit's statistics: only missing values were compared"
            fit, new = _shares_only(self.profile, name), _shares_only(arrived.profile, name)
            each = [judge(a, b, thresholds, level) for a, b in zip(fit, new, strict=True)]
            for one in each:
                one.notes = [note]
        else:
            span = max((b.extremes[1] - b.extremes[0] for b in fit if b.extremes), default=0.0)

            def say(value: float) -> str:
                return number(value) if self.normalized else instant(value, column, span)

            each = [judge(a, b, thresholds, level, say) for a, b in zip(fit, new, strict=True)]
        at = max(range(len(each)), key=lambda j: each[j].rank)
        worst = each[at]
        findings = list(worst.findings)
        alarmed = sum(one.severity != "none" for one in each)
        if alarmed and len(each) > 1:
            findings[0] = f"{alarmed:,} of {len(each):,} features, the worst is {at}: {findings[0]}"
        if worst.severity != "none" and fit and (alike := self._alike(name, arrived, thresholds, level, each)):
            findings.insert(0, alike)
        if name in arrived.notes:
            findings.append(arrived.notes[name])
        numbers = {**worst.numbers, "score": worst.score}
        if len(each) > 1:
            numbers |= {"feature": at, "features_drifted": alarmed}
        return worst.rank, ColumnDrift(name, worst.severity, tuple(findings), numbers, arrived.profile[name])

    @cached_property
    def _evenness(self) -> float | None:
        return evenness(self.profile)

    def _sides(self, name: str, arrived: Arrived, times: int | None = None) -> tuple[list[Side] | None, list[Side]]:
        """Each feature of the fit, sent `times` through its map, and of the new data."""
        assert arrived.profile is not None
        new, times = arrived.profile, int(self.normalized) if times is None else times
        known, came = known_of(self.profile, name), known_of(new, name)
        if Moments not in known and Quantiles not in known and (via := via_of(self.profile, name)):
            known, came, times = self._after(via, name, known, came, times)
        for _ in range(times):
            mapped = pushed(known, self.maps[name])
            if mapped is None:
                return None, []
            known = mapped
        even, even_new = self._evenness, arrived.evenness  # of the one, if the other does not tell
        fit = sides(known, self.profile.num_rows, even or even_new or 1.0)
        others = sides(came, new.num_rows, even_new or even or 1.0)
        if len(fit) != len(others):
            return None, []
        relative = self._rounding(name, new)
        return fit, [as_rounded(b, a, relative) for a, b in zip(fit, others, strict=True)]

    def _after(
        self, via: tuple[str, Map], name: str, known: Known, came: Known, times: int
    ) -> tuple[Known, Known, int]:
        """Both sides where the fit gathered more than ranges: of log(1 + x), say. How many passes are left to do there."""
        after = {**known_of(self.profile, name, via[0]), Count: known[Count]}
        if times:  # the new data are normalized: the fit's are sent on from there
            rest = rest_of(self.maps[name], via[1])
            mapped = None if rest is None else pushed(after, rest)
            return (known, came, times) if mapped is None else (mapped, came, times - 1)
        there = pushed(came, via[1])  # the new data are raw: they are sent there, too
        if there is None or Moments not in there:
            return known, came, times
        return {**known, Moments: after[Moments]}, {**came, Moments: there[Moments]}, times

    def _rounding(self, name: str, new: Profile) -> float:
        """How far two numbers may be apart that are the same but for the type in which they come."""
        was, now = self.profile[name].column.dtype, new[name].column.dtype
        if self.normalized:
            return ROUNDING.get(now, ROUNDING["float64"])
        return max((ROUNDING[one] for one in (was, now) if one in ROUNDING), default=0.0) if was != now else 0.0

    def _alike(self, name: str, arrived: Arrived, thresholds: Thresholds, level: float, found: list[Judged]) -> str:
        """Whether data that are not as expected are what the fit makes of its own once less, or once more."""
        if name not in self.maps:
            return ""
        usual = int(self.normalized)
        for times, words in _TAKEN_FOR[usual]:
            fit, others = self._sides(name, arrived, times)
            if fit is None or len(fit) != len(found):
                continue
            each = [judge(a, as_rounded(b, a, 2.0**-20), thresholds, level) for a, b in zip(fit, others, strict=True)]
            is_nearer = [_nearer(now, expected) for now, expected in zip(each, found, strict=True)]
            if np.mean(is_nearer) > 0.5:
                return words
        return ""

    def _notes(
        self, arrived: Arrived, drifts: tuple[ColumnDrift, ...], there: list[str], thresholds: Thresholds
    ) -> tuple[str, ...]:
        notes = [skipped_words(arrived.skipped)] if arrived.skipped else []
        missing = [name for name in self.names if name in arrived.problems]
        if missing:
            notes.append(f"cannot be compared: {quoted(missing)}")
        if arrived.new:
            notes.append(f"new, and not in the fit: {quoted(arrived.new)}")
        by_name = {one.name: one for one in drifts}
        bare = [n for n in there if self.profile.statistic(Quantiles, n) is None and "ks" not in by_name[n].numbers]
        bare = [n for n in bare if "outside" in by_name[n].numbers]
        if bare:
            notes.append(
                f"no sketch in the fit, so only its ranges, means and deviations were compared: {quoted(bare)}. "
                "Distributions need a fit with full=True (--full)"
            )
        blind = [n for n in there if by_name[n].numbers.get("ks_noise", 0.0) > thresholds.ks[1]]
        if blind:
            most = max(by_name[n].numbers["ks_noise"] for n in blind)
            notes.append(
                f"few rows: differences below KS {min(most, 1.0):.2g} are not told from chance: {quoted(blind)}"
            )
        return tuple(notes)


_TAKEN_FOR = (
    ((1, "normalized already: as the fit's own data after its map, so it would be normalized twice"),),
    (
        (0, "not normalized: as the fit's own data before its map"),
        (2, "normalized twice: as after two passes of its map"),
    ),
)
"""What data may be taken for that were expected raw, and that were expected normalized: (passes through the map, in words)."""


def _nearer(now: Judged, expected: Judged) -> bool:
    """Whether a feature is as good as that, and much nearer to it than to what was expected."""
    if "ks" in now.numbers and "ks" in expected.numbers:
        return now.numbers["ks"] <= max(NEAR, now.numbers["ks_noise"]) and (
            now.numbers["ks"] * NEARER <= expected.numbers["ks"]
        )
    return now.severity == "none" and expected.severity != "none" and "shift" in now.numbers


def _shares_only(profile: Profile, name: str) -> list[Side]:
    return [
        replace(one, extremes=None, mean=None, curve=None) for one in sides(known_of(profile, name), profile.num_rows)
    ][:1]
