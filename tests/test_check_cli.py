"""tfnorm check, and tfnorm fit --full."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tfnorm
from tfnorm import cli


def write(name: str, seed: int, shift: float = 0.0, rows: int = 4000) -> None:
    rng = np.random.default_rng(seed)
    table = {"age": rng.normal(40 + shift, 10, rows), "count": rng.poisson(3, rows), "who": ["a"] * rows}
    pq.write_table(pa.table(table), name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder to be in, with a fit and data that have drifted or not."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    write("train.parquet", 0)
    write("clean.parquet", 1)
    write("moved.parquet", 1, 6.0)
    assert run("fit", "train.parquet", "--full", "-o", "norm.json", "-q") == 0
    capsys.readouterr()
    return tmp_path


def run(*arguments: str) -> int:
    return cli.main(list(arguments))


def test_the_exit_code_tells(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "norm.json", "clean.parquet") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "no drift in 2 columns: 4,000 rows of clean.parquet beside 4,000 of the fit"
    assert err == ""
    assert run("check", "norm.json", "moved.parquet") == 3
    out, err = capsys.readouterr()
    assert out.splitlines()[2].startswith("age     severe  +0.60")
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["age", "count"]
    assert err == "next: tfnorm scan moved.parquet\n"
    assert run("check", "norm.json", "clean.parquet", "moved.parquet") == 3
    assert run("check", "norm.json", "none.parquet") == 1
    assert "none.parquet" in capsys.readouterr().err


def test_quiet_json_and_options(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "norm.json", "moved.parquet", "-q") == 3
    assert capsys.readouterr() == ("", "")
    assert run("check", "norm.json", "moved.parquet", "--json") == 3
    told = json.loads(capsys.readouterr().out)
    assert told == tfnorm.check(tfnorm.load("norm.json"), "moved.parquet").to_dict()
    assert run("check", "norm.json", "moved.parquet", "--only", "count", "-q") == 0
    loose = ("--threshold", "shift=1", "--threshold", "ks=0.5,0.8", "--threshold", "psi=1")
    assert run("check", "norm.json", "moved.parquet", *loose, "-q") == 0
    assert run("check", "norm.json", "moved.parquet", "--threshold", "shift=much") == 2
    assert run("check", "norm.json", "moved.parquet", "--threshold", "sift=1") == 1
    assert 'Did you mean "shift"' in capsys.readouterr().err
    assert run("check", "norm.json", "moved.parquet", "--false-alarms", "2") == 1
    assert run("check", "norm.json", "moved.parquet", "--only", "agee") == 1


def test_normalized_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("transform", "norm.json", "clean.parquet", "-o", "out.parquet", "-q") == 0
    assert run("check", "norm.json", "out.parquet", "--normalized", "-q") == 0
    assert run("check", "norm.json", "out.parquet", "--json") == 3
    findings = [column["findings"][0] for column in json.loads(capsys.readouterr().out)["columns"]]
    assert all(finding.startswith("normalized already") for finding in findings)
    assert run("check", "norm.json", "clean.parquet", "--normalized", "--json") == 3
    assert "not normalized" in capsys.readouterr().out


def test_a_profile_is_enough(folder: Path) -> None:
    assert run("scan", "train.parquet", "-o", "profile.json", "-q") == 0
    assert run("check", "profile.json", "clean.parquet", "-q") == 0
    assert run("check", "profile.json", "moved.parquet", "-q") == 3
    assert run("check", "profile.json", "clean.parquet", "--normalized") == 1


def test_the_help_says_what_the_exit_codes_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "--help") == 0
    assert "3 drift" in " ".join(capsys.readouterr().out.split())
