"""Saved comparisons: what was altered is refused, and says where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfnorm.artefact import checksum_of
from tfnorm.cli import main
from tfnorm.comparing.loading import HEAD, loads
from tfnorm.comparing.showing import json_text
from tfnorm.comparing.values import Comparison, Contender
from tfnorm.errors import ArtefactError
from tfnorm.profile import Skipped


def contender(name: str, losses: list[list[float]], choice: dict[str, str]) -> Contender:
    array = np.array(losses)
    steps, astray = np.array([10.0, np.nan]), ~np.isfinite(array[:, -1])
    return Contender(name, array, array[:, -1], steps, astray, 7.5, choice, np.array([0.5, np.nan]))


FOUND = Comparison(
    target="delay",
    model="mlp",
    metric="cross-entropy",
    marks=np.array([0, 10, 100]),
    contenders=(
        contender("standard", [[1.0, 0.5, 0.1], [1.0, 0.6, 0.2]], {"a": "log1p, standard", "<b>": "minmax"}),
        contender("none", [[3.0, 1e300, np.nan], [2.0, np.inf, np.inf]], {}),
    ),
    seeds=(0, 3),
    rows=80,
    validation_rows=20,
    budget=None,
    verdict="standard is best",
    baseline=1.25,
    failed={"box_cox": 'column "a": no'},
    notes=("a note",),
    columns=("a", "<b>"),
    skipped=(Skipped("a.csv", "a.csv: is not whole"),),
)


def test_it_comes_back() -> None:
    text = json_text(FOUND)
    again = loads(text.encode())
    assert json_text(again) == text
    assert again.skipped == FOUND.skipped
    assert np.isnan(again.level)
    for one, other in zip(again.contenders, FOUND.contenders, strict=True):
        np.testing.assert_array_equal(one.losses, other.losses)
        np.testing.assert_array_equal(one.diverged, other.diverged)
        assert one.losses.dtype == np.float64


def sealed(whole: dict[str, Any]) -> bytes:
    """With the checksum of what it holds now."""
    content = {name: value for name, value in whole.items() if name not in HEAD}
    return json.dumps({**whole, "checksum": checksum_of(content)}).encode()


def changed(place: list[Any], value: Any) -> Callable[[dict[str, Any]], None]:
    def change(whole: dict[str, Any]) -> None:
        at: Any = whole
        for step in place[:-1]:
            at = at[step]
        at[place[-1]] = value

    return change


FIRST = ["contenders", 0]


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (["rows"], 79.5, "rows: expected int"),
        (["rows"], 0, "rows: expected some"),
        (["seeds"], [0, 0], "seeds"),
        (["seeds"], [0, 1, 2], "not of these seeds"),
        (["marks"], [0, 100, 10], "marks"),
        (["marks"], [0, 10, 99], "marks"),
        (["marks"], [0.5, 10, 100], "marks"),
        (["budget"], -1.0, "budget"),
        (["level"], "much", "level: expected a number"),
        (["columns"], ["a", "a"], "columns"),
        (["columns"], ["a"], "no features"),
        (["failed"], {"x": 3}, "failed"),
        (["skipped"], [{"is": "Skipped", "part": 3, "reason": ""}], "skipped"),
        (["more"], 1, "its parts are"),
        (["contenders"], [], "contenders: expected some"),
        (["contenders"], {}, "contenders: expected a list"),
        ([*FIRST, "technique"], "none", "of different names"),
        ([*FIRST, "losses"], [[1.0, 0.5], [1.0, 0.6]], "not of these seeds"),
        ([*FIRST, "losses"], [[1.0, 0.5, 0.1], [1.0, 0.6]], "rows of one length"),
        ([*FIRST, "losses"], [[True, False, True]] * 2, "no fractions"),
        ([*FIRST, "final"], [0.1, 0.3], "where the losses end"),
        ([*FIRST, "steps_to"], [11.0, 10.0], "no mark"),
        ([*FIRST, "diverged"], [0, 1], "not of these seeds"),
        ([*FIRST, "condition"], 0.5, "condition"),
        ([*FIRST, "accuracy"], [0.5, 1.5], "accuracy"),
        ([*FIRST, "choice"], {"a": "__import__('os')"}, "choice.a"),
        ([*FIRST, "loss"], None, "loss: expected a number"),
        ([*FIRST, "extra"], 1, "expected the fields"),
        (["format_version"], 2, "format version '2'"),
        (["format_version"], True, "format version"),
        (["format"], "tfnorm", "no comparison"),
    ],
)
def test_what_does_not_fit_is_refused(place: list[Any], value: Any, said: str) -> None:
    whole = json.loads(json_text(FOUND))
    changed(place, value)(whole)
    with pytest.raises(ArtefactError, match=said):
        loads(sealed(whole))


def test_files_that_are_not_whole_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = json_text(FOUND)
    file = tmp_path / "comparison.json"
    for broken in (text[:-10], text.replace('"rows": 80', '"rows": 81'), text.replace("1.25", "NaN"), "[" * 100_000):
        file.write_text(broken)
        with pytest.raises(ArtefactError, match=r"comparison\.json: "):
            Comparison.load(file)
        assert main(["report", str(file), "-o", str(tmp_path / "r.html")]) == 1
        assert "comparison.json: " in capsys.readouterr().err
    with pytest.raises(ArtefactError, match=r"nothing\.json: cannot be read"):
        Comparison.load(tmp_path / "nothing.json")
