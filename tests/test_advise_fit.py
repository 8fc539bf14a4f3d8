"""Advice in a fit: for which target and model it is, what is told, what could not be read."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfnorm
from tfnorm.advice.candidates import scales_only
from tfnorm.advice.weights import ACTIVATIONS, SATURATING, weights_for
from tfnorm.advice.words import WORDS
from tfnorm.cli import main
from tfnorm.techniques import parse

ROWS = 600


@pytest.fixture
def data() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    area = np.exp(generator.normal(4, 0.8, ROWS))
    price = 3 * np.log(area) + generator.normal(0, 0.3, ROWS)
    return {"area": area, "rooms": generator.normal(5, 2, ROWS), "tax": 2 * price, "price": price}


# For a target and a model.


@pytest.mark.parametrize("asked", [{}, {"model": "linear"}, {"model": "mlp", "activation": "tanh"}])
def test_auto_is_what_is_advised_for_this_target(asked: dict[str, str], data: dict[str, np.ndarray]) -> None:
    advice = tfnorm.advise(data, target="price", **asked)
    fitted = tfnorm.fit(data, "auto", target="price", **asked)
    assert fitted.choice == advice.choice
    assert fitted.fingerprint == tfnorm.fit(data, advice.choice).fingerprint
    assert "price" not in fitted.choice
    np.testing.assert_array_equal(fitted.transform(data)["price"], data["price"])


def test_a_target_is_looked_at_row_by_row(data: dict[str, np.ndarray]) -> None:
    """`area` tells the price by its log: nobody knows that who does not know the price."""
    told, untold = (tfnorm.fit(data, "auto", model="linear", target=target) for target in ("price", None))
    assert told.choice["area"] != untold.choice["area"]
    line = [np.corrcoef(one.transform(data)["area"], data["price"])[0, 1] ** 2 for one in (told, untold)]
    assert line[0] > 0.95 > line[1]


def test_what_leaks_is_warned_of(data: dict[str, np.ndarray], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tfnorm"):
        tfnorm.fit(data, "auto", target="price")
    warned = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert warned == ['nearly exactly the target: "tax". What is not known when predicting must not be an input.']
    assert '"price" is the target, and left out.' in caplog.text


def test_a_target_with_a_technique_of_its_own(data: dict[str, np.ndarray]) -> None:
    fitted = tfnorm.fit(data, {"area": "auto", "price": "standard"}, target="price")
    assert fitted.choice == {"area": tfnorm.advise(data, target="price").choice["area"], "price": "standard"}


def test_of_vectors_their_own_rows_are_looked_at() -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(0, 1, (400, 6)) * np.exp(generator.normal(0, 2, (400, 1)))
    assert tfnorm.fit(x, "auto").choice == tfnorm.advise(x).choice


def test_profiles_and_streams(data: dict[str, np.ndarray]) -> None:
    profile = tfnorm.scan(data)
    assert tfnorm.fit(profile, "auto", target="price").choice == tfnorm.advise(profile, target="price").choice
    assert "price" not in tfnorm.fit((one for one in [data]), "auto", target="price").choice


@pytest.mark.parametrize(
    ("choice", "asked", "said"),
    [
        ("standard", {"target": "price"}, "target: for techniques that are advised"),
        ({"area": "minmax"}, {"model": "mlp", "activation": "relu"}, "model and activation: .* leave them out"),
        ("auto", {"target": "prise"}, 'Did you mean "price"'),
        ("auto", {"target": 3}, "target must be the name"),
        ("auto", {"model": "forest"}, "model must be one of"),
        ("auto", {"activation": "snake"}, "tanh_shrink"),
        ({"price": "auto", "area": "auto"}, {"target": "price"}, 'column "price": is the target'),
    ],
)
def test_errors(choice: Any, asked: dict[str, Any], said: str, data: dict[str, np.ndarray]) -> None:
    with pytest.raises(tfnorm.ChoiceError, match=said):
        tfnorm.fit(data, choice, **asked)
    if asked.get("target") == "prise":
        with pytest.raises(tfnorm.ChoiceError, match=said):
            tfnorm.fit(tfnorm.scan(data), choice, **asked)


# Activations.


def test_every_activation_of_keras_is_known() -> None:
    activations = pytest.importorskip("keras").activations
    for name in ACTIVATIONS:
        assert callable(activations.get(name))
        weights_for("mlp", name)
    names = {name for name in dir(activations) if callable(getattr(activations, name)) and not name.startswith("_")}
    assert names - {"get", "serialize", "deserialize"} <= set(ACTIVATIONS)


def test_saturating_ones_are_flat_on_both_sides() -> None:
    activations = pytest.importorskip("keras").activations
    assert set(SATURATING) < set(ACTIVATIONS)
    for name in ("relu", "gelu", *SATURATING):
        ends = np.asarray(activations.get(name)(np.array([[-1e4, -1e3, 1e3, 1e4]], np.float32)))[0]
        flat = abs(ends[1] - ends[0]) < 2e-3 and abs(ends[3] - ends[2]) < 2e-3
        assert flat == (name in SATURATING), name


def test_an_unknown_activation_is_told_before_anything_is_read() -> None:
    with pytest.raises(tfnorm.ChoiceError, match=r"got 'snake'.*relu"):
        tfnorm.advise("no/such/file.csv", activation="snake")
    with pytest.raises(tfnorm.ChoiceError, match='Did you mean "tanh"'):
        tfnorm.advise("no/such/file.csv", activation="tahn")


# Constants, and words.


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 5.0, -3.0, 1e6, 1e-200])
@pytest.mark.parametrize("asked", [{}, {"model": "linear"}, {"activation": "tanh"}])
def test_a_constant_gets_a_line_to_0(value: float, asked: dict[str, str], data: dict[str, np.ndarray]) -> None:
    for target in (None, "price"):
        source = {**data, "same": np.full(ROWS, value)}
        column = tfnorm.advise(source, target=target, **asked)["same"]
        assert all(scales_only(stage) for one in column.ranked for stage in parse(one.technique))
        assert "constant (always" in column.warnings[0]
        assert not tfnorm.fit(source, {"same": column.technique}).transform(source)["same"].any()


def test_what_is_not_narrowed_is_said_so() -> None:
    words, unit = WORDS["squeezed"]
    said = words.format(best=unit(0.0), other=unit(1.2), by="standard")
    assert said == "inner 90% not narrowed by outer values (narrowed 2.3 times by standard)"


# What cannot be read.


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: dict[str, np.ndarray]) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new").mkdir()
    rows = [",".join(f"{value:.4f}" for value in row) for row in zip(*data.values(), strict=True)]
    head = ",".join(data)
    for name, part in (("a", rows[:300]), ("c", rows[300:])):
        (tmp_path / "new" / f"{name}.csv").write_text("\n".join([head, *part]) + "\n")
    (tmp_path / "new" / "b.csv").write_text(f"{head}\n1,2\n")
    return tmp_path


def test_parts_are_skipped_where_that_is_said(folder: Path) -> None:
    with pytest.raises(tfnorm.DataError, match=r"b\.csv"):
        tfnorm.advise("new", target="price")
    good = ["new/a.csv", "new/c.csv"]
    advice = tfnorm.advise("new", target="price", on_error="skip")
    assert [one.part for one in advice.skipped] == ["new/b.csv"]
    assert 'not read, and left out: "new/b.csv"' in advice.findings
    assert advice.choice == tfnorm.advise(good, target="price").choice
    fitted = tfnorm.fit("new", "auto", target="price", on_error="skip")
    assert fitted.choice == advice.choice
    assert [one.part for one in fitted.profile.provenance[0].skipped] == ["new/b.csv"]
    drift = tfnorm.check(tfnorm.fit(good, "standard", full=True), "new", on_error="skip")
    assert not drift.drifted
    assert [one.part for one in drift.skipped] == ["new/b.csv"]
    assert drift.rows == ROWS
    assert json.loads(drift.to_json())["skipped"][0]["part"] == "new/b.csv"


def test_a_file_without_the_target_is_left_out_everywhere(folder: Path) -> None:
    (folder / "new" / "b.csv").write_text("area,rooms,tax\n" + "1e9,1e9,1e9\n" * 50)
    with pytest.raises(tfnorm.DataError, match=r'b\.csv: column "price" is missing'):
        tfnorm.fit("new", "auto", target="price")
    fitted = tfnorm.fit("new", "auto", target="price", on_error="skip")
    assert fitted.profile.num_rows == ROWS
    assert [one.part for one in fitted.profile.provenance[0].skipped] == ["new/b.csv"]


def test_advice_with_a_checkpoint(folder: Path) -> None:
    (folder / "new" / "b.csv").unlink()
    fits = [tfnorm.fit("new", "auto", target="price", checkpoint=folder / "kept") for _ in range(2)]
    assert fits[0].fingerprint == fits[1].fingerprint
    assert any((folder / "kept").iterdir())


@pytest.mark.parametrize("value", ["skip", "no"])
def test_skipping_is_for_files(value: Any, data: dict[str, np.ndarray]) -> None:
    for call in (tfnorm.advise, lambda source, **how: tfnorm.check(tfnorm.scan(data), source, **how)):
        for source in (data, tfnorm.scan(data)):
            with pytest.raises(tfnorm.ChoiceError, match="on_error"):
                call(source, on_error=value)


def test_exit_codes_tell(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skip = ["--on-error", "skip"]
    assert main(["fit", "new", "-t", "auto", "--target", "price"]) == 1
    assert main(["fit", "new", "-t", "auto", "--target", "price", *skip, "-o", "norm.json"]) == 4
    said = capsys.readouterr().err
    assert "skipped: new/b.csv, row 2: expected 4 values" in said
    assert 'nearly exactly the target: "tax"' in said
    assert "price" not in tfnorm.load("norm.json").choice
    mixed = ["--set", "rooms=minmax", "--target", "price", "--model", "linear"]
    assert main(["fit", "new", "-t", "auto", *mixed, *skip, "-o", "mixed.json", "-q"]) == 4
    assert list(tfnorm.load("mixed.json").choice) == ["area", "rooms", "tax"]
    assert main(["advise", "new"]) == 1
    assert main(["advise", "new", *skip]) == 4
    assert main(["advise", "new", *skip, "-o", "-"]) == 4
    assert main(["advise", "new", "--on-error", "perhaps"]) == 2
    assert main(["fit", "new", *skip, "-t", "standard", "--full", "-o", "full.json", "-q"]) == 4
    capsys.readouterr()
    assert main(["check", "full.json", "new"]) == 1
    assert main(["check", "full.json", "new", *skip]) == 4
    out, err = capsys.readouterr()
    assert 'note: not read, and left out: "new/b.csv"' in out
    assert "skipped: new/b.csv" in err
    (folder / "far.csv").write_text("area,rooms,tax,price\n" + "1e6,1e6,1e6,1e6\n" * 100)
    assert main(["check", "full.json", "new/b.csv", "far.csv", *skip, "-q"]) == 3  # which matters more
