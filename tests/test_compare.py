"""compare() with real networks, on real data, for a few steps."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

import tfnorm
from tfnorm.cli import main
from tfnorm.errors import ChoiceError, DataError
from tfnorm.progress import Meter

keras = pytest.importorskip("keras")

DIABETES = load_diabetes(as_frame=True, scaled=False).frame
CANCER = load_breast_cancer(as_frame=True).frame
DIGITS = load_digits()
FEW: dict[str, Any] = {"seeds": 2, "steps": 40}


@pytest.fixture(scope="module")
def regression() -> tfnorm.Comparison:
    return tfnorm.compare(DIABETES, target="target", techniques=["standard", "minmax", "box_cox"], seeds=3, steps=120)


def test_normalization_helps(regression: tfnorm.Comparison) -> None:
    assert {one.technique for one in regression.contenders} == {"standard", "minmax", "box_cox", "none"}
    raw, standard = regression["none"], regression["standard"]
    assert standard.loss < 0.7 < raw.loss
    assert standard.condition < 1e3
    assert raw.condition > 1e7
    assert standard.losses.shape == (3, len(regression.marks))
    assert standard.choice["bmi"] == "standard"
    assert "Raw features never reach" in regression.verdict
    assert regression.rows + regression.validation_rows == len(DIABETES)


def test_the_same_call_gives_the_same_numbers(regression: tfnorm.Comparison) -> None:
    again = tfnorm.compare(DIABETES, target="target", techniques="standard", seeds=3, steps=120)
    for name in ("standard", "none"):
        np.testing.assert_array_equal(again[name].losses, regression[name].losses)


def test_held_out_rows_do_not_move_what_is_fitted(regression: tfnorm.Comparison) -> None:
    rows = np.arange(len(DIABETES))
    held_out = np.sort(np.random.default_rng(0).permutation(rows)[: round(0.2 * len(rows))])
    changed = DIABETES.astype(float)
    changed.iloc[held_out, :-1] *= 1000.0
    found = tfnorm.compare(changed, target="target", techniques=["standard", "minmax"], **FEW)
    for name in ("standard", "minmax", "none"):
        assert found[name].condition == regression[name].condition


def test_random_numbers_of_the_user_go_on() -> None:
    np.random.seed(5)
    expected = np.random.random(2)
    np.random.seed(5)
    first = np.random.random()
    tfnorm.compare(DIABETES, target="target", techniques="standard", seeds=1, steps=2)
    assert [first, np.random.random()] == expected.tolist()


def test_classes_and_what_cannot_be_fitted() -> None:
    """Some columns of the breast cancer data hold zeros, which box_cox refuses."""
    table = CANCER.assign(target=CANCER["target"].map({0: "malignant", 1: "benign"}), note="text")
    found = tfnorm.compare(table, target="target", techniques=["standard", "box_cox"], **FEW)
    assert found.metric == "cross-entropy"
    assert list(found.failed) == ["box_cox"]
    assert "above 0" in found.failed["box_cox"]
    assert found.failed["box_cox"].startswith('column "mean concavity", "mean concave points", ')
    assert "not run" in repr(found)
    accuracy = found["standard"].accuracy
    assert accuracy is not None
    assert accuracy.mean() > 0.85
    assert any('"note"' in note for note in found.notes)


def test_missing_values_and_targets() -> None:
    table = DIABETES.astype(float)
    table.loc[::7, "bmi"] = np.nan
    table.loc[:9, "target"] = np.nan
    found = tfnorm.compare(table, target="target", techniques="standard", **FEW)
    assert found.rows + found.validation_rows == len(DIABETES) - 10
    assert any("10 rows were dropped" in note for note in found.notes)
    assert any('"bmi"' in note and "0 after normalization" in note for note in found.notes)
    assert np.isfinite(found["standard"].losses).all()


@pytest.mark.parametrize(
    ("source", "model", "best"),
    [
        ({"image": DIGITS.images[..., None].astype(np.uint8)}, "cnn", "minmax"),
        (DIGITS.data, "mlp", "l2"),
        ({"series": DIGITS.images}, "rnn", "standard"),
    ],
)
def test_images_vectors_and_series(source: Any, model: str, best: str) -> None:
    found = tfnorm.compare(source, target=DIGITS.target, techniques=best, seeds=1, steps=30)
    assert found.model == model
    assert found.target == "target"
    accuracy = found[best].accuracy
    assert accuracy is not None
    assert found[best].final[0] < found[best].losses[0, 0]


def test_your_own_network() -> None:
    def wide(shape: tuple[int, ...], outputs: int) -> Any:
        layers = keras.layers
        hidden = [
            layers.Dense(8, activation="relu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
        ]
        model = keras.Sequential([keras.Input(shape), *hidden, layers.Dense(outputs)])
        model.compile(keras.optimizers.SGD(0.05))
        return model

    one, two = (
        tfnorm.compare(DIABETES, target="target", model_fn=wide, techniques="standard", **FEW) for _ in range(2)
    )
    assert one.model == "wide"
    np.testing.assert_array_equal(one["standard"].losses, two["standard"].losses)
    with pytest.raises(ChoiceError, match=r"End with keras.layers.Dense\(1\)"):
        tfnorm.compare(DIABETES, target="target", model_fn=lambda shape: wide(shape, 3), **FEW)
    with pytest.raises(ChoiceError, match=r"expected a keras.Model, got str"):
        tfnorm.compare(DIABETES, target="target", model_fn=lambda shape: "model", **FEW)


def test_a_budget_is_kept_and_shared() -> None:
    told: list[tfnorm.Progress] = []
    found = tfnorm.compare(
        DIABETES,
        target="target",
        techniques=["standard", "robust"],
        seeds=2,
        budget=6,
        callback=told.append,
    )
    assert any("a budget of 6 s" in note for note in found.notes)
    assert {one.losses.shape for one in found.contenders} == {(len(found.seeds), len(found.marks))}
    assert told[-1].done == told[-1].total == 3 * found.steps * len(found.seeds)
    assert found.budget == 6


def test_progress_ends_where_no_more_is_done() -> None:
    told: list[tfnorm.Progress] = []
    meter = Meter(told.append, 10)
    meter.add(4)
    meter.ends_here()
    assert [(one.done, one.total) for one in told] == [(4, 10), (4, 4)]


def test_weights_count(regression: tfnorm.Comparison) -> None:
    table = DIABETES.assign(times=1.0)
    found = tfnorm.compare(table, target="target", techniques="standard", seeds=1, steps=10, weight="times")
    assert "times" not in found.columns
    np.testing.assert_allclose(found["standard"].losses[0, 0], regression["standard"].losses[0, 0], rtol=1e-5)


def test_a_target_beside_the_source_hides_no_column() -> None:
    found = tfnorm.compare(DIABETES, target=DIABETES["age"], techniques="standard", seeds=1, steps=2, task="regression")
    assert "target" in found.columns
    assert len(found.columns) == 11


def test_numbers_by_key() -> None:
    table = DIABETES.assign(sex=DIABETES["sex"].map({1: "m", 2: "f"}))
    found = tfnorm.compare(table, target="target", techniques="standard.by('sex')", seeds=1, steps=2)
    assert found["standard.by('sex')"].choice["bmi"] == "standard.by('sex')"
    assert "sex" not in found.columns
    with pytest.raises(ChoiceError, match="is the target"):
        tfnorm.compare(table, target="sex", techniques="standard.by('sex')", seeds=1, steps=2)


def test_another_number_of_features() -> None:
    choice = tfnorm.whiten(components=8)
    found = tfnorm.compare(DIGITS.data, target=DIGITS.target, techniques=[choice], seeds=1, steps=2)
    assert any("initial weights of their own" in note for note in found.notes)


def test_rows_are_drawn_and_said() -> None:
    found = tfnorm.compare(DIABETES, target="target", techniques="standard", seeds=1, steps=5, rows=100)
    assert (found.rows, found.validation_rows) == (80, 20)
    assert any("100 of 442 rows" in note for note in found.notes)


def test_a_divergence_is_told() -> None:
    found = tfnorm.compare(
        DIABETES, target="target", techniques="standard", model="linear", optimizer="sgd", learning_rate=0.01, **FEW
    )
    assert found["none"].diverged.all()
    assert "Diverged: raw features (2 of 2 seeds)" in found.verdict
    assert not found["standard"].diverged.any()
    json.dumps(found.to_dict(), allow_nan=False)
    assert "<svg" in found.plot()._repr_svg_()


def test_json_is_strict(regression: tfnorm.Comparison, tmp_path: Path) -> None:
    regression.save(tmp_path / "found.json")

    def refuse(name: str) -> None:
        raise AssertionError(name)

    saved = json.loads((tmp_path / "found.json").read_text(), parse_constant=refuse)
    assert saved == regression.to_dict()
    assert saved["contenders"][0]["technique"] == regression.contenders[0].technique
    np.testing.assert_array_equal(np.array(saved["contenders"][0]["losses"]), regression.contenders[0].losses)
    assert saved["verdict"] == regression.verdict


def test_a_saved_comparison_is_read_back(regression: tfnorm.Comparison, tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    regression.save(path)
    again = tfnorm.Comparison.load(path)
    assert again.to_dict() == regression.to_dict()
    assert again._repr_html_() == regression._repr_html_()
    assert repr(again) == repr(regression)
    assert main(["report", str(path), "-o", str(tmp_path / "r.html")]) == 0
    assert tfnorm.report(regression).html == (tmp_path / "r.html").read_text(encoding="utf-8")
    with pytest.raises(tfnorm.ArtefactError, match=r"Comparison\.load"):
        tfnorm.load(path)


def test_names_are_escaped() -> None:
    evil = "<script>alert(1)</script>\x1b[31m\n"
    found = tfnorm.compare(
        DIABETES.rename(columns={"target": evil, "bmi": "<b>$x$"}), target=evil, techniques="standard", **FEW
    )
    assert "<script>" not in found._repr_html_()
    assert "\x1b" not in repr(found)
    assert "<table" in found._repr_html_()
    assert "<svg" in found.plot()._repr_svg_()


def test_the_picture(regression: tfnorm.Comparison, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    regression.plot(tmp_path / "curves.png")
    regression.plot(tmp_path / "curves.svg")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "curves.svg").read_text()
    assert "a constant guess" in regression.plot()._repr_svg_()
    assert regression.plot()._repr_svg_() in regression._repr_html_()
    with pytest.raises(ChoiceError, match=r"\.svg or \.png"):
        regression.plot(tmp_path / "curves.pdf")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "nothing"}, 'target "nothing"'),
        ({"target": [1, 2]}, "expected 442 values"),
        ({"target": 3}, "expected a column's name"),
        ({"steps": 0}, "steps must be"),
        ({"seeds": 0}, "seeds: expected"),
        ({"seeds": [1, 1]}, "seeds: expected"),
        ({"budget": -1}, "budget must be a number above 0"),
        ({"validation": 1.5}, "validation must be"),
        ({"task": "ranking"}, "task must be"),
        ({"techniques": "standrad"}, "standard"),
        ({"techniques": {"a": {"bim": "standard"}}}, 'column "bim"'),
        ({"rows": 1}, "rows must be"),
        ({"model": "mlp", "model_fn": lambda shape: None}, "model_fn"),
    ],
)
def test_what_cannot_be_done(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ChoiceError, DataError), match=message):
        tfnorm.compare(DIABETES, **{"target": "target", **FEW} | options)


def test_the_benchmark_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "convergence.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--only", "diabetes", "--steps", "60", "--seeds", "1"])
    runpy.run_path(str(script), run_name="__main__")
    header, row = capsys.readouterr().out.splitlines()
    assert header.startswith("data set")
    assert row.startswith("diabetes")
    assert "x " in row


def test_without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match=r"pip install 'tfnorm\[tf\]'"):
        tfnorm.compare(DIABETES, target="target")


class TestCommand:
    def test_it_trains_and_saves(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        DIABETES.to_csv(tmp_path / "train.csv", index=False)
        fit = ["fit", str(tmp_path / "train.csv"), "-t", "robust", "-o", str(tmp_path / "norm.json"), "-q"]
        assert main(fit) == 0
        command = [
            "compare",
            str(tmp_path / "train.csv"),
            "--target",
            "target",
            "-t",
            "standard",
            "--steps",
            "20",
            "--seeds",
            "2",
        ]
        out = ["-t", str(tmp_path / "norm.json"), "-o", str(tmp_path / "found.json"), "--json"]
        assert main([*command, *out]) == 0
        shown, said = capsys.readouterr()
        assert json.loads(shown) == json.loads((tmp_path / "found.json").read_text())
        assert {one["technique"] for one in json.loads(shown)["contenders"]} == {
            "none",
            "standard",
            str(tmp_path / "norm.json"),
        }
        assert "next: tfnorm fit" in said or json.loads(shown)["contenders"][0]["technique"] == "none"
        assert main([*command, *out]) == 1
        assert "--force" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("more", "code", "message"),
        [
            (["--target", "targte"], 1, 'Did you mean "target"'),
            (["--target", "target", "--budget", "3x"], 2, "expected a time as 60s"),
            (["--target", "target", "--picture", "a.pdf"], 2, ".png or .svg"),
            (["--target", "target", "-t", "standrad"], 1, "standard"),
            ([], 2, "--target"),
        ],
    )
    def test_what_is_wrong(
        self, more: list[str], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        DIABETES.to_csv(tmp_path / "train.csv", index=False)
        assert main(["compare", str(tmp_path / "train.csv"), *more]) == code
        assert message in capsys.readouterr().err
