"""What the README shows is run, and must print what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tfnorm
from pages import WIDTH, run

README = Path(__file__).parent.parent / "README.md"


def test_the_examples_print_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras
    from sklearn.datasets import load_diabetes

    train = load_diabetes(as_frame=True, scaled=False).frame.rename(columns={"target": "progression"})
    (tmp_path / "train").mkdir()
    train[:221].to_parquet(tmp_path / "train" / "part-0.parquet")
    train[221:].to_parquet(tmp_path / "train" / "part-1.parquet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", WIDTH)
    assert run(README, {"tfnorm": tfnorm, "keras": keras, "train": train}) >= 6


def test_every_technique_is_in_the_table() -> None:
    section = README.read_text(encoding="utf-8").split("## Which technique")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`([a-z0-9_]+)[(`]", " ".join(row.split("|")[1] for row in rows)))
    assert named == set(tfnorm.TECHNIQUES)
