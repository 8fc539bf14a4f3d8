"""Plans: written, edited, read back; on the command line."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfnorm
from tfnorm.advice.plan import load_plan, read_plan, toml_text
from tfnorm.cli import main

HOSTILE = [
    'a "quoted" name',
    "new\nline",
    "tab\t",
    "back\\slash",
    "# no comment",
    "[columns]",
    "a.b.c",
    "é中文🙂",
    " ",
    "\x7f\x00\x1b[31m",
    "</style><script>",
    "'''",
    "=",
    "\u2028",
]


def table(names: list[str]) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {name: generator.gamma(2, 3, 200) for name in names}


def test_a_plan_comes_back_whatever_columns_are_called() -> None:
    advice = tfnorm.advise(table(HOSTILE))
    plan = read_plan(advice.plan())
    assert dict(plan.choice) == advice.choice
    assert list(plan.choice) == HOSTILE
    assert tfnorm.fit(table(HOSTILE), plan.choice).fingerprint == tfnorm.fit(table(HOSTILE), "auto").fingerprint


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_is_toml(text: str) -> None:
    assert tomllib.loads(f"{toml_text(text)} = {toml_text(text)}") == {text: text}


def test_half_a_character_is_told() -> None:
    with pytest.raises(tfnorm.DataError, match="Rename it"):
        toml_text("\ud83d")


def test_policies_and_share_may_stand_in_it() -> None:
    plan = read_plan(
        'share = [["a", "b"]]\n[columns]\na = "standard"\nb = "standard"\nc = ["log1p", "standard"]\nd = "auto"\n'
        '[policies]\nmissing = 0\nout_of_range = {c = "clip"}\n'
    )
    data = table(["a", "b", "c", "d"])
    fitted = tfnorm.fit(data, dict(plan.choice), **plan.options)
    assert fitted.choice["c"] == "log1p, standard"
    assert fitted.maps["a"] == fitted.maps["b"] or np.array_equal(fitted.maps["a"].center, fitted.maps["b"].center)
    assert fitted.rules.of("c").out_of_range == "clip"
    assert fitted.rules.of("a").missing == "fill"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[columns", "plan.toml: is no TOML: .*end of document"),
        ("[columns]\nage = standard\n", "plan.toml: is no TOML: .*line 2"),
        ("", "plan.toml: columns: names no column"),
        ("columns = 3", "plan.toml: columns: names no column"),
        ("[colums]\na = 'standard'", 'plan.toml: colums: .*Did you mean "columns"'),
        ("[columns]\nage = 3", 'plan.toml: columns."age": expected a technique in quotes'),
        ("[columns]\nage = []", 'plan.toml: columns."age": expected a technique in quotes'),
        ("[columns]\nage = 'standrad'", "plan.toml: columns.\"age\": no technique 'standrad', did you mean 'standard'"),
        ("[columns]\nage = 'minmax(1, 0)'", 'plan.toml: columns."age": minmax: low must be below high'),
        ("[columns]\na = 'standard'\n[policies]\nmising = 0", 'plan.toml: policies.mising: .*Did you mean "missing"'),
        ("policies = 3\n[columns]\na = 'standard'", "plan.toml: policies: expected"),
        (
            "[columns]\na = 'standard'\n[policies]\nmissing = {b = 0}",
            'plan.toml: policies.missing: column "b" is not in',
        ),
    ],
)
def test_errors_name_file_and_place(text: str, match: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(tfnorm.ChoiceError, match=match.replace("(", r"\(").replace(")", r"\)")):
        load_plan(path)


def test_a_mark_before_the_text_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text('[columns]\n"age" = "standard"\n', encoding="utf-8-sig")  # as editors on Windows save it
    assert dict(load_plan(path).choice) == {"age": "standard"}


def test_advice_is_of_a_fit_too_and_is_no_choice_itself() -> None:
    data = table(["age"])
    advice = tfnorm.advise(tfnorm.fit(data, "standard", full=True))
    assert advice.choice == tfnorm.advise(tfnorm.scan(data)).choice
    with pytest.raises(tfnorm.ChoiceError, match=r"got Advice\. Pass its \.choice\.") as told:
        tfnorm.fit(data, advice)  # type: ignore[arg-type]
    assert "\n" not in str(told.value)


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(tfnorm.ChoiceError, match="no text in UTF-8"):
        load_plan(tmp_path / "plan.toml")


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    size = generator.gamma(2, 50, 300)
    lines = [f"{i},{s:.3f},{3 * s + 7:.3f},x{i}" for i, s in enumerate(size)]
    path = tmp_path / "train.csv"
    path.write_text("\n".join(["id,size,price,name", *lines]), encoding="utf-8")
    return path


def test_advise_and_fit_on_the_command_line(train: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["advise", "train.csv", "--target", "price", "-o", "plan.toml"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("advice on 2 columns for model mlp")
    assert "next: tfnorm fit --plan plan.toml train.csv -o norm.json" in err
    text = Path("plan.toml").read_text(encoding="utf-8")
    assert "looks like an identifier" in text
    assert 'leaks the target? It tells >99% of "price"' in text
    edited = text.replace('"id" = ', '# "id" = ')
    Path("plan.toml").write_text(edited, encoding="utf-8")
    assert main(["fit", "--plan", "plan.toml", "train.csv", "-o", "norm.json"]) == 0
    assert list(tfnorm.load("norm.json").choice) == ["size"]
    capsys.readouterr()
    assert main(["advise", "train.csv", "-o", "plan.toml"]) == 1  # not written over
    assert "--force" in capsys.readouterr().err


def test_json_stdout_and_profiles(train: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["advise", "train.csv", "--model", "linear", "--json", "-q"]) == 0
    out, err = capsys.readouterr()
    assert set(json.loads(out)["columns"]) == {"id", "size", "price"}
    assert err == ""
    assert main(["advise", "train.csv", "-o", "-", "-q"]) == 0
    plan = read_plan(capsys.readouterr().out)
    assert main(["scan", "train.csv", "-o", "profile.json", "-q"]) == 0
    capsys.readouterr()
    assert main(["advise", "profile.json", "-o", "-", "-q"]) == 0
    assert dict(read_plan(capsys.readouterr().out).choice) == dict(plan.choice)


def test_auto_on_the_command_line(train: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "train.csv", "-t", "auto", "-o", "a.json", "-q"]) == 0
    assert tfnorm.load("a.json").choice == tfnorm.advise("train.csv").choice
    assert main(["fit", "train.csv", "--set", "size=auto", "-o", "b.json", "-q"]) == 0
    assert tfnorm.load("b.json").choice == {"size": tfnorm.advise("train.csv").choice["size"]}
    capsys.readouterr()


def test_a_column_that_is_not_there_is_told_with_its_plan(train: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = train.parent / "wrong.toml"
    plan.write_text('[columns]\n"nope" = "standard"\n')
    assert main(["fit", str(train), "--plan", str(plan)]) == 1
    assert f'{plan}: columns."nope": not in {train}' in capsys.readouterr().err


def test_no_path_is_not_the_working_directory(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["advise", ""]) == 1
    assert "path: expected a file, glob or folder, got ''" in capsys.readouterr().err


def test_the_next_command_knows_what_was_said(train: Path, capsys: pytest.CaptureFixture[str]) -> None:
    column = next(iter(tfnorm.scan(train)))
    assert main(["advise", str(train), "--target", str(column)]) == 0
    told = capsys.readouterr().err
    assert f"next: tfnorm fit -t auto --target {column} {train} -o norm.json" in told


def test_a_plan_stands_alone(train: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["advise", "train.csv", "-o", "plan.toml", "-q"]) == 0
    assert main(["fit", "train.csv", "--plan", "plan.toml", "-t", "minmax"]) == 2
    assert "a plan says it all" in capsys.readouterr().err
    assert main(["fit", "train.csv", "--plan", "none.toml"]) == 1
    assert "none.toml" in capsys.readouterr().err
    assert main(["advise", "train.csv", "--model", "forest"]) == 1
    assert "model must be one of" in capsys.readouterr().err
