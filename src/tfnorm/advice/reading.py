"""What advice is made from: the columns' statistics, and some rows beside the target's.

The one law: data are read once, and some rows of them again; both see the same files, so that one which lacks the target is
left out of both, or refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tfnorm.advice.looks import Look, look
from tfnorm.choosing import Unit, Unstored, chosen_columns
from tfnorm.errors import ChoiceError
from tfnorm.fitting import scan
from tfnorm.profile import Profile
from tfnorm.progress import Callback
from tfnorm.sources import OnError, Source
from tfnorm.sources.columns import did_you_mean, quoted
from tfnorm.sources.masks import masked


@dataclass(frozen=True)
class Known:
    """What is known of the columns that are to be advised on."""

    profile: Profile
    names: tuple[str, ...]  # of these columns
    rows: Look  # empty where none could be looked at
    findings: tuple[str, ...]  # what is to be said of the whole


def of_profile(profile: Profile, names: Iterable[str], target: str | None) -> Known:
    """Of statistics alone."""
    findings = []
    if target is not None:
        check_target(target, profile, "the profile")
        findings.append(
            f"{quoted([target])} is the target, and left out. Whether a column tells it, a profile does not say: "
            "advise from the data."
        )
    return Known(profile, tuple(name for name in names if name != target), Look({}), tuple(findings))


def of_source(
    opened: Source,
    names: Iterable[str],
    target: str | None,
    *,
    axis: Any = -1,
    unit: Unit = None,
    sparse: Unstored = "zero",
    mask: Any = None,
    checkpoint: Any = None,
    on_error: OnError = "raise",
    engine: Any = "threads",
    workers: int | None = None,
    callback: Callback | None = None,
) -> Known:
    """Of the data. `names`: the columns, the target among them or not."""
    findings = []
    if target is not None:
        check_target(target, [column.name for column in opened.columns], opened.name)
        findings.append(f"{quoted([target])} is the target, and left out.")
    kept = [name for name in names if name != target]
    columns = chosen_columns(opened, kept, axis, unit, sparse)
    looked_at = kept if target is not None else [column.name for column in columns if len(column.shape) == 1]
    found = Look({})
    if looked_at and opened.repeatable:
        whole = opened if mask is None else masked(opened, mask, kept)
        with_target = [*looked_at, *([target] if target is not None else [])]
        found = look(whole, with_target, skip=on_error == "skip")
    elif looked_at:
        findings.append("these data can be read only once, so that vectors and the target had no second look.")
    profile = scan(
        opened,
        columns=kept,
        axis=axis,
        unit=unit,
        sparse=sparse,
        mask=mask,
        checkpoint=checkpoint,
        on_error=on_error,
        engine=engine,
        workers=workers,
        callback=callback,
    )
    return Known(profile, tuple(kept), found, tuple(findings))


def check_target(target: Any, names: Iterable[str], where: str) -> None:
    """ChoiceError for a target that is not there."""
    known = list(names)
    if not isinstance(target, str):
        raise ChoiceError(f"target must be the name of a column, got {target!r}.")
    if target not in known:
        raise ChoiceError(
            f"target: column {quoted([target])}: not in {where}, which has {quoted(known)}.{did_you_mean(target, known)}"
        )
