"""Whether an export gives what the fit gives.

The one law: the same rows go through NumPy in float64 and through the export, and the largest difference is told as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tfnorm.errors import DataError
from tfnorm.exits.opening import Opened, opened
from tfnorm.exits.rows import Rows, rows_of
from tfnorm.fitted import Fitted
from tfnorm.sources.columns import quoted

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Difference:
    """How far one column is off, where it is most."""

    column: str
    largest: float  # |export - NumPy| / (1 + |NumPy|); infinite where only one of both is missing
    row: int  # of the sample, where that is
    numpy: float
    export: float

    def __str__(self) -> str:
        return f"{self.column}: {self.largest:.2g} (row {self.row}: {self.numpy:.9g} in NumPy, {self.export:.9g} in the export)"


@dataclass(frozen=True)
class Verification:
    """What was compared, and how near it is."""

    model: str
    num_rows: int
    tolerance: float
    same_fit: bool | None  # whether the fingerprints agree; None where the export tells none
    columns: Mapping[str, Difference]

    @property
    def worst(self) -> Difference:
        return max(self.columns.values(), key=lambda one: one.largest)

    @property
    def ok(self) -> bool:
        """Whether it is the same fit, as far as it tells, and no value is off by more than the tolerance."""
        return self.same_fit is not False and self.worst.largest <= self.tolerance

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        width = max(len(name) for name in self.columns)
        lines = [f"{name:{width}}  {one.largest:8.2g}  {_where(one)}" for name, one in self.columns.items()]
        fit = {True: "the same fit", False: "ANOTHER FIT", None: "tells no fit"}[self.same_fit]
        said = "within" if self.ok else "NOT within"
        lines.append(f"{self.model}: {fit}; {self.num_rows:,} rows, {said} {self.tolerance:g} of NumPy")
        return "\n".join(lines)

    def to_json(self) -> str:
        """As JSON has it; what is infinite or missing is text."""
        columns = [{key: _plain(value) for key, value in asdict(one).items()} for one in self.columns.values()]
        head = {"model": self.model, "rows": self.num_rows, "tolerance": self.tolerance, "ok": self.ok}
        return json.dumps({**head, "same_fit": self.same_fit, "columns": columns}, indent=1)


def _where(one: Difference) -> str:
    if not one.largest:
        return "the same in every row"
    return f"row {one.row}: {one.numpy:.9g} in NumPy, {one.export:.9g} in the export"


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def verify(fitted: Fitted, model: Any, sample: Any, *, tolerance: float = TOLERANCE) -> Verification:
    """Run rows through the fit in NumPy and through `model`, and say how far each column is off.

    model: what `fitted.export` or Keras wrote (a path), or a Keras layer or model, of which the part that normalizes is taken.
    sample: rows as `fit` takes them: a table, arrays, files.
    tolerance: how far a value may be off, relative to 1 + its size, for the result to be `ok`.

    >>> import tfnorm
    >>> sample = {"age": [22.0, 38.0, 26.0]}
    >>> fitted = tfnorm.fit(sample, "standard")
    >>> bool(tfnorm.verify(fitted, fitted.layer(), sample))
    True
    """
    if not isinstance(fitted, Fitted):
        raise DataError(f"fitted: expected what tfnorm.fit or tfnorm.load gives, got {type(fitted).__name__}.")
    if not 0 <= tolerance < np.inf:
        raise DataError(f"tolerance: expected a number from 0 up, got {tolerance!r}.")
    batches, ran = rows_of(fitted, sample), opened(fitted, model)
    found: dict[str, Difference] = {}
    first = 0
    for batch in batches:
        rows, wanted = _both(fitted, batch, ran)
        got = ran.run(rows)
        if lacking := [name for name in wanted if name not in got]:
            raise DataError(
                f"{ran.name}: gives no {quoted(lacking)}; it gives {quoted(got)}. Give an export of the fit alone."
            )
        for name, values in wanted.items():
            one = _difference(name, np.asarray(values), got[name], first)
            if name not in found or one.largest > found[name].largest:
                found[name] = one
        first += len(next(iter(batch.values())))
    same = None if not ran.fingerprints else fitted.fingerprint in ran.fingerprints
    return Verification(ran.name, first, float(tolerance), same, found)


def _both(fitted: Fitted, batch: Rows, ran: Opened) -> tuple[Rows, Rows]:
    """What goes into the export, and what must come out."""
    exact = {name: _wide(values) if name in fitted.columns else values for name, values in batch.items()}
    only = fitted.columns
    if fitted.profile.bare:
        name = only[0]
        forward = {name: fitted.transform(exact[name])}
        back = {name: fitted.inverse(forward[name])} if ran.inverse else {}
    else:
        forward = fitted.transform(exact)
        back = fitted.inverse(forward) if ran.inverse else {}
    if ran.inverse:
        return forward, {name: back[name] for name in only}
    keys = [name for name in batch if name not in only]
    return batch, {name: values for name, values in forward.items() if name not in keys}


def _wide(values: np.ndarray) -> np.ndarray:
    return values if values.dtype.kind in "iu" and values.dtype.itemsize == 8 else values.astype(np.float64)


def _difference(name: str, wanted: np.ndarray, got: np.ndarray, first: int) -> Difference:
    if wanted.size != got.size:
        raise DataError(f"column {quoted([name])}: shape {got.shape} came out, expected {wanted.shape}.")
    expected, came = (one.astype(np.float64).reshape(len(wanted), -1) for one in (wanted, got))
    with np.errstate(invalid="ignore"):
        off = np.abs(came - expected) / (1 + np.abs(expected))
    off[(came == expected) | (np.isnan(came) & np.isnan(expected))] = 0.0
    off[np.isnan(off)] = np.inf  # one of both is missing, or infinite
    if not off.size:
        return Difference(name, 0.0, first, np.nan, np.nan)
    row, place = np.unravel_index(int(off.argmax()), off.shape)
    pair = float(expected[row, place]), float(came[row, place])
    return Difference(name, float(off[row, place]), first + int(row), *pair)
