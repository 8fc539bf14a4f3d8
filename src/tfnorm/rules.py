"""What a fit is told besides its choice: policies for what may go wrong in a column, and which columns share their numbers.

The one law: a policy is a map put before or after the column's own, so it acts the same in NumPy, in the layer and in a saved
model; with the default rules no map is added.

    constant      "zero": what the technique gives (0, or `low`), "keep": x stays as it is, "error": refused by the fit
    missing       "keep", "error": refused by fit and transform, or a number that takes its place on the normalized scale
    infinite      "error": refused by the fit, "missing": treated as missing, at the fit and ever after
    out_of_range  "keep", "clip": to the nearest end of what the fit saw, of a technique by key in the rows of that key; "missing"
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, reduce
from itertools import takewhile
from numbers import Real
from operator import add
from typing import Any, Literal, get_args, get_type_hints

import numpy as np

from tfnorm import maps
from tfnorm.apply import Groups
from tfnorm.codec import optional
from tfnorm.ends import LARGEST, Ends, ends_of
from tfnorm.errors import ChoiceError
from tfnorm.keys import listed
from tfnorm.maps import Map
from tfnorm.profile import Profile
from tfnorm.sources.columns import did_you_mean, quoted
from tfnorm.statistics import Extremes
from tfnorm.techniques import Stages


@dataclass(frozen=True)
class Policies:
    """What is done where a column is constant, missing, infinite or out of the fitted range."""

    constant: Literal["zero", "keep", "error"] = "zero"
    missing: Literal["keep", "error", "fill"] = "keep"
    infinite: Literal["error", "missing"] = "error"
    out_of_range: Literal["keep", "clip", "missing"] = "keep"
    fill: float = 0.0  # on the normalized scale, for missing="fill"
    ends_by: tuple[str, ...] = optional(())  # by which keys out_of_range has ends of its own, if by any

    def around(self, step: Map, extremes: Extremes, ends: Ends | None, *, may_be_infinite: bool) -> Map:
        """A column's own map with the policies' before and after it; `extremes` are those of all rows, `ends` those between which
        out_of_range leaves values alone, where it does not leave all."""
        before: list[Map] = []
        if self.infinite == "missing" and may_be_infinite:
            all_numbers = np.full(extremes.features, LARGEST)
            before.append(maps.Within(-all_numbers, all_numbers))
        if self.constant == "keep" and extremes.constant.any():
            step = _unless(np.where(extremes.constant, 1.0, 0.0), step)
        if ends is not None:
            kind = maps.Clip if self.out_of_range == "clip" else maps.Within
            step = ends.limit(step, kind, whole_numbers=not may_be_infinite)
        after = [maps.Fill(np.full(step.width(extremes.features), self.fill))] if self.missing == "fill" else []
        return maps.chain(*before, step, *after)

    def done(self, policy: str) -> str:
        """What a policy does where it fires, in a word or two."""
        if policy == "missing" and self.missing == "fill":
            return f"{self.fill:g}"
        by = f" by {listed(self.ends_by)}" if policy == "out_of_range" and self.ends_by else ""
        return f"{getattr(self, policy)}{by}"

    def counts(
        self, x: np.ndarray, ends: Ends | None, groups: Groups | None = None, places: np.ndarray | None = None
    ) -> dict[str, int]:
        """How many of these raw values each policy fires on, of those that are not to keep them.

        ends: where out_of_range does; `groups` and `places` as `Ends.outside` has them.
        """
        found: dict[str, int] = {}
        data, absent = np.ma.getdata(x), np.ma.getmaskarray(x)
        if self.missing != "keep":
            found["missing"] = int((absent | np.isnan(data)).sum())
        if self.infinite == "missing":
            found["infinite"] = int((np.isinf(data) & ~absent).sum())
        if ends is not None:
            found["out_of_range"] = int((ends.outside(data, groups, places) & ~absent).sum())
        return {policy: count for policy, count in found.items() if count}


@dataclass(frozen=True)
class Rules:
    """The policies of each column, and the groups of columns that share one set of numbers."""

    policies: dict[str, Policies] = dataclasses.field(
        default_factory=dict
    )  # of columns whose policies are not the default
    share: tuple[tuple[str, ...], ...] = ()

    def of(self, name: str) -> Policies:
        return self.policies.get(name, Policies())

    def words(self) -> list[str]:
        """Those that are not the default, in words.

        >>> Rules({"fare": Policies(missing="fill", fill=0.0)}, (("open", "close"),)).words()
        ['"fare": missing=0', '"open", "close" share their numbers']
        """
        said = {
            name: ", ".join(
                f"{one.name}={policies.done(one.name)}"
                for one in dataclasses.fields(policies)
                if one.name not in ("fill", "ends_by") and getattr(policies, one.name) != one.default
            )
            for name, policies in self.policies.items()
        }
        alike = {words: [name for name, own in said.items() if own == words] for words in said.values()}
        groups = [f"{quoted(names)}: {words}" for words, names in alike.items()]
        return groups + [f"{quoted(group)} share their numbers" for group in self.share]

    def sharing(self, name: str) -> tuple[str, ...]:
        """The columns whose numbers are solved together with this one's, itself among them."""
        return next((group for group in self.share if name in group), (name,))

    def extremes(self, profile: Profile, name: str) -> Extremes:
        """What the fit saw at least and at most, of all columns that share with this one."""
        return reduce(add, [profile[one].extremes for one in self.sharing(name)])

    def ends(self, profile: Profile, name: str, stages: Stages) -> Ends:
        """Between which ends out_of_range leaves values alone."""
        by, names = self.of(name).ends_by, self.sharing(name)
        groupings = [stage.grouping for stage in stages if stage.grouping and stage.grouping.columns == by]
        if by and not groupings:
            raise ChoiceError(f"column {quoted([name])}: out_of_range is by {listed(by)}, and no technique of it is.")
        return ends_of(profile, names, groupings[0] if groupings else None)


def _unless(kept: np.ndarray, step: Map) -> Map:
    """The map, but for the features that stay as they are; marks of what was missing are put beside these too."""
    steps = step.maps if isinstance(step, maps.Chain) else (step,)
    own = tuple(takewhile(lambda one: one.elementwise, steps))
    rest = steps[len(own) :]
    if step.keyed():
        raise ChoiceError('constant="keep" does not go with numbers by key. Leave the column out of the fit.')
    if not any(one.arrays() for one in steps):
        return step  # nothing in it is of the data, so that nothing is made of what is constant
    if not all(one.marks for one in rest):
        raise ChoiceError(
            f'constant="keep": features {np.flatnonzero(kept).tolist()[:10]} are constant, and the technique mixes them with '
            'others. Take them out of the rows, or say constant="zero".'
        )
    return maps.chain(maps.Unless(kept, maps.chain(*own)), *rest) if own else step


def policies_of(names: list[str], **given: Any) -> dict[str, Policies]:
    """From what the user said, a policy for all columns or a mapping from columns to policies, to those that are not default."""
    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    for policy, said in given.items():
        if isinstance(said, Mapping):
            unknown = [name for name in said if name not in found]
            if unknown:
                hint = did_you_mean(str(unknown[0]), names)
                raise ChoiceError(f"{policy}: column {quoted(map(str, unknown))} is not among those of the fit.{hint}")
        for name, one in said.items() if isinstance(said, Mapping) else ((name, said) for name in names):
            found[name] |= _checked(policy, one)
    return {name: made for name, one in found.items() if (made := Policies(**one)) != Policies()}


@cache
def _words(policy: str) -> list[str]:
    """What a policy may be. Kept, as it is asked for every column."""
    return [word for word in get_args(get_type_hints(Policies)[policy]) if word != "fill"]


def _checked(policy: str, said: Any) -> dict[str, Any]:
    words = _words(policy)
    if policy == "missing" and isinstance(said, Real) and not isinstance(said, bool) and math.isfinite(said):
        return {"missing": "fill", "fill": float(said)}
    if not isinstance(said, str) or said not in words:
        number = ", or a number" if policy == "missing" else ""
        raise ChoiceError(f"{policy} must be {' or '.join(map(repr, words))}{number}, got {said!r}.")
    return {policy: said}


def share_of(share: Any, names: list[str]) -> tuple[tuple[str, ...], ...]:
    """The groups that share: one list of columns, or a list of such lists."""
    if share is None:
        return ()
    if not isinstance(share, list | tuple | set) or not all(isinstance(one, str | list | tuple) for one in share):
        raise ChoiceError(f"share must be a list of columns, or a list of such lists, got {share!r}.")
    groups = [tuple(share)] if all(isinstance(one, str) for one in share) else [tuple(one) for one in share]
    flat = [name for group in groups for name in group]
    unknown = [name for name in flat if name not in names]
    if unknown:
        hint = did_you_mean(str(unknown[0]), names)
        raise ChoiceError(
            f"share: column {quoted(map(str, unknown))} is not among those of the fit. Choose a technique for it.{hint}"
        )
    if len(set(flat)) < len(flat) or any(len(group) < 2 for group in groups):
        raise ChoiceError(f"share: each group takes two columns or more, and a column one group, got {share!r}.")
    return tuple(groups)
