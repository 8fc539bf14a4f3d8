"""The accuracy document is what its script prints, and what it says of tfnorm holds."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "accuracy.md"
DIGITS = 14
NO_ANSWER = {"missing_all": "none", "no_rows": "`DataError`"}  # data without a value
ILL_CONDITIONED: dict[str, tuple[set[str], str]] = {  # case -> measures in which fewer digits are left, and why
    "denormals": ({"z"}, "1 / deviation is larger than any float64"),
}


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """The document on tfnorm and NumPy alone, and its cells: case -> contestant -> measure -> text."""
    cells = tmp_path_factory.mktemp("accuracy") / "cells.json"
    arguments = [ROOT / "benchmarks" / "accuracy.py", "--only", "tfnorm,numpy", "--json", cells]
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(cells.read_text())


def test_tfnorm_keeps_its_digits(printed: tuple[str, dict[str, Any]]) -> None:
    _, cells = printed
    assert len(cells) >= 30
    for case, row in cells.items():
        told = row["tfnorm"]
        if case in NO_ANSWER:
            assert set(told.values()) == {NO_ANSWER[case]}, case
            continue
        excepted, _ = ILL_CONDITIONED.get(case, (set(), ""))
        assert "NaN" not in " ".join(told.values()), case
        for measure in {"mean", "std"} - excepted:
            assert int(told[measure].strip("*")) >= DIGITS, (case, measure)
        for measure in {"z", "quartiles"} - excepted:
            assert "*" not in told[measure], (case, measure)  # bold is what keeps less than half of the digits
            float(told[measure])


def test_a_known_failure_is_seen(printed: tuple[str, dict[str, Any]]) -> None:
    naive = {case: row["NumPy float32"] for case, row in printed[1].items()}
    assert naive["offset_1e9"]["std"] == "**0**"
    assert naive["missing_batch"]["mean"] == naive["huge"]["std"] == "**NaN**"


def test_the_document_is_of_this_script(printed: tuple[str, dict[str, Any]]) -> None:
    written, now = DOCUMENT.read_text(encoding="utf-8"), printed[0]
    assert headings(written) == headings(now)
    assert section(written, "Data") == section(now, "Data")
    for measure in ("mean", "deviation"):
        rows = re.findall(r"^\| `(\w+)` \| (\S+) ", section(written, f"Digits of the {measure}"), re.MULTILINE)
        assert [case for case, _ in rows] == list(printed[1])
        assert all(case in NO_ANSWER or int(digits) >= DIGITS for case, digits in rows)


def test_other_techniques_round_and_no_more() -> None:
    """Of tfnorm's own columns, bold are the known ones: below the normal numbers 1 / x has no float64."""
    rows = re.findall(
        r"^\| (\w+) \| (.+?) \| (\S+) \| (\S+) \|", section(DOCUMENT.read_text("utf-8"), "Other techniques"), re.M
    )
    assert len(rows) >= 25
    bold = [(technique, data) for technique, data, ours, _ in rows if "*" in ours]
    assert bold == [("maxabs", "1e-310, 5e-311: denormals")]
    assert all("range" in data or "overflows" in data or "1.7e308" in data or "denormals" in data
               for _, data, _, layer in rows if "*" in layer)  # fmt: skip


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ .*$", text, re.MULTILINE)


def section(text: str, heading: str) -> str:
    return text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]


def test_what_is_expected_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """By another way: fractions for sums, and the square of the deviation."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    assert importlib.util.find_spec("torture")
    import torture

    for x in (np.array([0.1, np.nan, 1e308, -5e-324]), np.array([2**53 + 1, 2**53 + 3, -7])):
        values = [Fraction(value) for value in x.tolist() if value == value]  # noqa: PLR0124  # NaN is not itself
        exact = torture.Exact.of(x)
        mean = sum(values, Fraction(0)) / len(values)
        variance = sum(((value - mean) ** 2 for value in values), Fraction(0)) / len(values)
        assert exact.mean == mean
        assert abs(exact.std**2 / variance - 1) < Fraction(1, 10**50)
        assert exact.mean_digits(float(mean)) == exact.std_digits(float(exact.std)) == 16
        assert exact.mean_digits(float(mean) * (1 + 2e-5)) == 4
        assert np.isnan(exact.z).tolist() == np.isnan(x.astype(np.float64)).tolist()
    exact = torture.Exact.of(np.array([1.0, 2.0, 2.0, 3.0]))
    assert exact.rank_error([1.5, 2.0, 2.5]) == 0
    assert exact.rank_error([1.5, 2.0, 3.5]) == 0.25
    assert exact.rank_error([1.5, 2.0, float("nan")]) != 0
    assert torture.Exact.of(np.full(3, np.nan)) is None
    del sys.modules["torture"]
