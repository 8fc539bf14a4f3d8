"""Columns that look normalized before they are fitted are told of, and others are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tfnorm
from tfnorm import cli
from tfnorm.already import untold

RNG = np.random.default_rng(2)
ROWS = 3000
RAW = RNG.lognormal(2, 1, ROWS)
STANDARD = (RAW - RAW.mean()) / RAW.std()
UNIT = (RAW - RAW.min()) / np.ptp(RAW)
IMAGES = RNG.integers(0, 256, (20, 16, 16, 3)) / 255

LOOKS: dict[str, tuple[Any, str]] = {
    "standard": (STANDARD, "mean 0, deviation 1"),
    "standard, in float32": (STANDARD.astype(np.float32), "mean 0, deviation 1"),
    "vectors": (np.stack([STANDARD, -STANDARD], axis=1), "mean 0, deviation 1"),
    "minmax": (UNIT, "from 0 to 1, both reached"),
    "minmax(-1, 1)": (2 * UNIT - 1, "from -1 to 1, both reached"),
    "pixels": (IMAGES, "pixels between 0 and 1"),
}
DOES_NOT: dict[str, Any] = {
    "raw": RAW,
    "few rows": STANDARD[:200],
    "by chance": RNG.normal(0.05, 1, ROWS),
    "marks": RNG.integers(0, 2, ROWS).astype(float),
    "signs": RNG.integers(-1, 2, ROWS).astype(float),
    "shares": np.clip(RNG.normal(0.5, 0.4, ROWS), 0, 1),
    "whole numbers": RNG.integers(0, 2, ROWS),
    "one of two features": np.stack([STANDARD, RAW], axis=1),
    "pixels to 255": IMAGES * 255,
    "probabilities that reach no end": 0.1 + 0.8 * UNIT,
}


@pytest.mark.parametrize("technique", ["standard", "minmax", "robust", "maxabs"])
@pytest.mark.parametrize("name", LOOKS)
def test_what_looks_so_is_told(name: str, technique: str, caplog: pytest.LogCaptureFixture) -> None:
    values, why = LOOKS[name]
    if why == "mean 0, deviation 1" and technique != "standard":
        technique = "standard"  # the others do not gather it
    tfnorm.fit({"x": values}, technique)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith(f'"x" looks already normalized ({why})')


@pytest.mark.parametrize("name", DOES_NOT)
def test_what_does_not_is_not(name: str, caplog: pytest.LogCaptureFixture) -> None:
    for technique in ("standard", "minmax"):
        tfnorm.fit({"x": DOES_NOT[name]}, technique)
    assert caplog.records == []


def test_what_is_not_scaled_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    keys = RNG.integers(0, 3, ROWS)
    tfnorm.fit({"x": STANDARD, "k": keys}, {"x": "standard.by('k')"})
    tfnorm.fit({"x": STANDARD}, "signed_log")
    tfnorm.fit({"x": STANDARD}, "clip(-3, 3)")
    with untold():
        tfnorm.fit({"x": STANDARD}, "standard")
    assert caplog.records == []


def test_one_line_for_all_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = {"a": STANDARD, "b": -STANDARD, "c": UNIT, "d": RAW}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    assert cli.main(["fit", str(tmp_path / "x.parquet"), "-t", "standard", "-q"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        '"a", "b" look already normalized (mean 0, deviation 1); "c" looks already normalized (from 0 to 1, both reached): '
        "the way back ends at these numbers, not at the raw ones. Fit the raw data, or leave it out."
    ]
    assert cli.main(["compare", str(tmp_path / "x.parquet"), "--target", "d", "-t", "standard", "-t", "minmax"]) == 0
    assert "already" not in capsys.readouterr().err
