"""Every technique through every exit gives what NumPy gives; fingerprints travel; files are whole or not there."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfnorm
from exit_cases import BY_KEY, CHOICES, EXITS, rows, with_gaps
from tfnorm.cli import main
from tfnorm.errors import ChoiceError, DataError, TfnormError
from tfnorm.exits.litert import _to_integers as to_integers
from tfnorm.exits.litert import _to_numbers as to_numbers
from tfnorm.exits.litert import opened
from tfnorm.layer.serving import words

DOCS = Path(__file__).parent.parent / "docs"
ENDINGS = {"builtin": ".keras", "folder": "", "tflite": ".tflite", "onnx": ".onnx"}
RANDOM = np.random.default_rng(5)
TABLE = {
    "age": RANDOM.normal(40, 12, 300),
    "net worth €": RANDOM.lognormal(10, 2, 300),
    "seen": 1.7e9 + RANDOM.uniform(0, 3600, 300),
    "pixel": RANDOM.normal(size=(300, 4)).astype(np.float32),
}
CHOICE = {"age": "minmax", "net worth €": "log1p, standard", "seen": "standard", "pixel": "l2"}


def needs(exit: str) -> None:
    for library in {"onnx": ("tf2onnx", "onnx", "onnxruntime")}.get(exit, ()):
        pytest.importorskip(library)


def exports_onnx() -> bool:
    return all(importlib.util.find_spec(name) for name in ("tf2onnx", "onnx", "onnxruntime"))


def through(fitted: Any, exit: str, folder: Path, **options: Any) -> Any:
    """What a user would hand to verify."""
    needs(exit)
    if exit == "layer":
        return fitted.layer(**options)
    path = folder / f"out{ENDINGS[exit]}"
    fitted.export(path, **options)
    return path


@pytest.mark.parametrize("exit", EXITS)
@pytest.mark.parametrize("choice", CHOICES)
def test_an_exit_gives_what_numpy_gives(choice: str, exit: str, tmp_path: Path) -> None:
    data = rows(choice)
    fitted = tfnorm.fit(data, choice)
    model = through(fitted, exit, tmp_path)
    found = tfnorm.verify(fitted, model, with_gaps(data), tolerance=1e-5 if exit == "tflite" else 3e-6)
    assert found.ok, str(found)
    assert found.same_fit is True
    assert tfnorm.fingerprint(model) == fitted.fingerprint


@pytest.mark.parametrize("exit", ["layer", "builtin", "folder", "onnx"])
def test_a_table_goes_by_name(exit: str, tmp_path: Path) -> None:
    fitted = tfnorm.fit(TABLE, CHOICE)
    batch = {name: with_gaps(values) for name, values in TABLE.items()}
    found = tfnorm.verify(fitted, through(fitted, exit, tmp_path), batch, tolerance=3e-6)
    assert list(found.columns) == list(CHOICE)
    assert found.ok, str(found)


@pytest.mark.parametrize("exit", EXITS)
def test_numbers_of_one_column_and_their_marks(exit: str, tmp_path: Path) -> None:
    table = {"age": with_gaps(TABLE["age"]), "fare": with_gaps(TABLE["age"] * 3)}
    fitted = tfnorm.fit(table, "impute(indicator=True), standard")
    found = tfnorm.verify(fitted, through(fitted, exit, tmp_path), table, tolerance=3e-6)
    assert set(found.columns) == {"age", "age_missing", "fare", "fare_missing"}
    assert found.ok, str(found)


@pytest.mark.parametrize("exit", EXITS[1:])
def test_the_way_back(exit: str, tmp_path: Path) -> None:
    table = {"age": TABLE["age"], "tip": TABLE["net worth €"] ** 0.2}
    fitted = tfnorm.fit(table, {"age": "minmax", "tip": "log1p, standard"})
    found = tfnorm.verify(fitted, through(fitted, exit, tmp_path, inverse=True), table, tolerance=1e-5)
    assert found.ok, str(found)


def stores() -> dict[str, Any]:
    store = np.array(["north", "süd", "", "[UNK]"])[np.arange(300) % 4]
    return {"store": store, "size": np.arange(300) % 5 * 7 - 3, "price": TABLE["age"], "pixel": TABLE["pixel"][:, :3]}


@pytest.mark.parametrize("exit", EXITS)
@pytest.mark.parametrize("keys", ["'store'", "'size'", "'store', 'size'"])
@pytest.mark.parametrize("kind", ["standard", "quantile", "whiten"])
def test_numbers_by_key(exit: str, keys: str, kind: str, tmp_path: Path) -> None:
    table = stores()
    fitted = tfnorm.fit(table, {"pixel" if kind == "whiten" else "price": f"{kind}.by({keys})"})
    sample = {**table, "store": np.where(np.arange(300) < 9, "west", table["store"]), "size": table["size"] % 29}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*have a key of")
        found = tfnorm.verify(fitted, through(fitted, exit, tmp_path), sample, tolerance=5e-6)
    assert found.ok, str(found)
    assert found.same_fit is True


@pytest.mark.parametrize("exit", ["builtin", "folder", "tflite", "onnx"])
def test_keys_that_the_fit_has_not_seen_may_be_missing_and_go_back(exit: str, tmp_path: Path) -> None:
    table = stores()
    fitted = tfnorm.fit(table, {"price": "log1p, robust.by('store', unseen='missing')", "pixel": "standard.by('size')"})
    sample = {**table, "store": np.where(np.arange(300) < 9, "west", table["store"])}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*have a key of")
        for inverse in (False, True):
            (tmp_path / str(inverse)).mkdir()
            model = through(fitted, exit, tmp_path / str(inverse), inverse=inverse)
            found = tfnorm.verify(fitted, model, sample, tolerance=5e-6)
            assert found.ok, str(found)


def test_a_stock_model_by_key_is_of_keras_own_layers_and_trains(tmp_path: Path) -> None:
    table = stores()
    fitted = tfnorm.fit(table, {"price": "standard.by('store')"})
    stock = fitted.layer(builtin=True)
    assert {type(one).__module__.split(".")[0] for one in stock.layers} == {"keras"}
    assert list(stock.output) == ["price"]
    price = keras.layers.Reshape((1,))(stock.output["price"])
    model = keras.Model(stock.input, keras.layers.Dense(1)(price))
    model.compile("sgd", "mse")
    rows = {"price": table["price"].astype("float32"), "store": tf.constant(table["store"])}
    model.fit(rows, np.ones((300, 1)), verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
    np.testing.assert_array_equal(again.predict(rows, verbose=0), model.predict(rows, verbose=0))


def test_tflite_says_what_float32_would_lose(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'column "seen": standard: float32 is off by 0\.\d+ there'):
        tfnorm.fit(TABLE, {"seen": "standard"}).export(tmp_path / "out.tflite")


def of_256(run: Any, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What stands for the numbers that go in."""
    ways = run.runner.get_input_details()
    return {
        name: to_numbers(to_integers(one, ways[name]), ways[name]) if ways[name]["quantization"][0] else one
        for name, one in rows.items()
    }


@pytest.mark.parametrize("choice", CHOICES)
def test_tflite_in_integers_gives_the_nearest_of_256_to_what_comes_of_256(choice: str, tmp_path: Path) -> None:
    data = rows(choice)
    fitted = tfnorm.fit(data, choice)
    made = fitted.export(tmp_path / "out.tflite", integers=True, sample=data)
    interpreter = tf.lite.Interpreter(model_path=made.path)
    kinds = {np.dtype(one["dtype"]).name for one in interpreter.get_tensor_details()}
    assert not any("float" in kind for kind in kinds), "every step runs in integers"
    _, run = opened(Path(made.path))
    (got,), (step,) = run({"x": data}).values(), run.steps.values()
    wanted = fitted.transform(of_256(run, {"x": data})["x"].astype(np.float64))
    limits = got.min() if got.min() > wanted.min() else -np.inf, got.max() if got.max() < wanted.max() else np.inf
    off = np.abs(got - np.clip(wanted, *limits)).max() / step
    assert off <= (0.51 if fitted.maps["x"].elementwise else 1.1)
    found = tfnorm.verify(fitted, made.path, data)
    assert found.worst.largest <= made.steps_off["x"] * step * (1 + 1e-6)
    assert max(np.abs(got - fitted.transform(data)).max() / step, 0) == pytest.approx(made.steps_off["x"], abs=1e-3)
    assert found.same_fit is True


INTEGER_CASES = {
    "by key": ({"price": "standard.by('size')"}, {}),
    "several": ({"price": "log1p, minmax.by('size')", "pixel": "standard, l2"}, {}),
    "marks": ({"price": "impute(indicator=True), standard", "pixel": "impute(indicator=True)"}, {}),
    "a curve of rows": ({"pixel": "l2, standard"}, {}),
    "images": ({"image": "patches(2), l2"}, {}),
    "one sample": ({"image": "contrast"}, {}),
    "back": ({"price": "log1p, standard", "pixel": "whiten"}, {"inverse": True}),
    "back by key": ({"price": "standard.by('size')"}, {"inverse": True}),
    "back from marks": ({"price": "impute(indicator=True), standard"}, {"inverse": True}),
}


@pytest.mark.parametrize("case", INTEGER_CASES)
def test_tables_keys_marks_and_ways_back_in_integers(case: str, tmp_path: Path) -> None:
    choice, options = INTEGER_CASES[case]
    images = np.random.default_rng(1).integers(0, 256, (300, 4, 4, 3)).astype("uint8")
    table = {**stores(), "image": images}
    made = (fitted := tfnorm.fit(table, choice)).export(tmp_path / "o.tflite", integers=True, sample=table, **options)
    found = tfnorm.verify(fitted, made.path, table, tolerance=1)
    assert found.same_fit is True
    assert set(made.steps_off) == set(choice)
    _, run = opened(Path(made.path))
    assert all(off < (8 if "l2" in str(choice) else 2) for off in made.steps_off.values())
    for name, off in made.steps_off.items():
        assert found.columns[name].largest <= off * run.steps[name] * (1 + 1e-6)


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        ({"price": "standard.by('store')"}, "text keys are not integers"),
        (
            {"price": "standard.by('size', unseen='missing')"},
            "rows of a key that the fit has not seen would be missing",
        ),
        ({"pixel": "whiten.by('size')"}, "matrices by key are not had in integers"),
        ({"price": "standard", "seen": "standard"}, "in 8 bits it is off by 255 of 256 steps"),
    ],
)
def test_what_integers_cannot_do_names_technique_and_column(choice: Any, why: str, tmp_path: Path) -> None:
    table = {**stores(), "seen": TABLE["seen"]}
    column, technique = list(choice.items())[-1]
    wanted = rf'column "{column}": {re.escape(technique)}.*{why}'
    with pytest.raises(ChoiceError, match=wanted):
        tfnorm.fit(table, choice).export(tmp_path / "out.tflite", integers=True, sample=table)
    assert list(tmp_path.iterdir()) == []


def test_tflite_in_integers_needs_a_sample(tmp_path: Path) -> None:
    with pytest.raises(ChoiceError, match="needs sample="):
        tfnorm.fit(rows("minmax"), "minmax").export(tmp_path / "out.tflite", integers=True)


def test_the_page_shows_what_can_be() -> None:
    lines = (DOCS / "exports.md").read_text().splitlines()
    cells = {(row := line.split(" | "))[0].strip("|` "): row[1:] for line in lines if line.startswith("| `")}
    table = {name: row for name, row in cells.items() if len(row) == 6}
    assert list(table) == [*CHOICES, *BY_KEY], "run `make docs`"
    assert [(name, i) for name, row in table.items() for i, one in enumerate(row) if one.startswith("no")] == [
        (BY_KEY[0], 4)  # text is no integer
    ]


ALONE = """
import sys
sys.modules["tfnorm"] = None  # not to be imported
import numpy as np
path, kind = sys.argv[1:]
age = np.array([30.0, np.nan, 50.0], np.float32)
fare = np.array([7.0, 70.0, 700.0], np.float32)
if kind == "builtin":
    import keras
    got = keras.models.load_model(path, safe_mode=True)({"age": age, "fare": fare})
elif kind == "folder":
    import tensorflow as tf
    served = tf.saved_model.load(path).signatures["serving_default"]
    assert {name: one.dtype for name, one in served.structured_input_signature[1].items()} == {
        "age": tf.float32, "fare": tf.float32}, served.structured_input_signature
    got = served(age=tf.constant(age), fare=tf.constant(fare))
elif kind == "tflite":
    import tensorflow as tf
    got = tf.lite.Interpreter(model_path=path).get_signature_runner("serving_default")(age=age, fare=fare)
else:
    import onnxruntime
    session = onnxruntime.InferenceSession(path)
    found = session.run(["age_out", "fare_out"], {"age": age, "fare": fare})
    got = dict(zip(("age", "fare"), found))
print([float(one) for name in ("age", "fare") for one in np.asarray(got[name])])
"""


@pytest.mark.parametrize("exit", EXITS[1:])
def test_it_runs_in_a_process_without_tfnorm(exit: str, tmp_path: Path) -> None:
    table = {"age": TABLE["age"], "fare": TABLE["net worth €"]}
    fitted = tfnorm.fit(table, {"age": "standard", "fare": "log1p, minmax"})
    path = through(fitted, exit, tmp_path)
    command = [sys.executable, "-c", ALONE, str(path), exit]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert told.returncode == 0, told.stderr[-2000:]
    got = json.loads(told.stdout.strip().splitlines()[-1].replace("nan", "NaN"))
    wanted = fitted.transform({"age": [30.0, np.nan, 50.0], "fare": [7.0, 70.0, 700.0]})
    np.testing.assert_allclose(got, [*wanted["age"], *wanted["fare"]], rtol=1e-6, atol=1e-6)


def test_models_that_keras_exports_tell_their_fit(tmp_path: Path) -> None:
    fitted = tfnorm.fit({"age": TABLE["age"], "pixel": TABLE["pixel"]}, {"age": "standard", "pixel": "l2"})
    inputs = {"age": keras.Input((1,), name="age"), "pixel": keras.Input((4,), name="pixel")}
    model = keras.Model(inputs, keras.layers.Dense(1)(fitted.layer(concatenate=True)(inputs)))
    model.save(tmp_path / "m.keras")
    model.export(tmp_path / "served", verbose=False)
    model.export(tmp_path / "m.tflite", format="litert", verbose=False)
    attached = fitted.attach(keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]), "age")
    attached.export(tmp_path / "attached", verbose=False)
    for what in (
        model,
        tmp_path / "m.keras",
        tmp_path / "served",
        tmp_path / "m.tflite",
        attached,
        tmp_path / "attached",
    ):
        assert tfnorm.fingerprint(what) == fitted.fingerprint, what
    if exports_onnx():
        model.predict({"age": TABLE["age"][:2], "pixel": TABLE["pixel"][:2]}, verbose=0)
        model.export(tmp_path / "m.onnx", format="onnx", verbose=False)
        assert tfnorm.fingerprint(tmp_path / "m.onnx") == fitted.fingerprint
    stock = keras.Sequential([fitted["pixel"].layer(), keras.layers.Dense(1)])
    assert tfnorm.fingerprint(stock) == tfnorm.fingerprint(fitted["pixel"]) == fitted.fingerprint


def test_a_stock_model_is_a_layer_of_others_and_goes_into_tf_data(tmp_path: Path) -> None:
    fitted = tfnorm.fit(TABLE["pixel"], "standard")
    model = keras.Sequential([keras.Input((4,)), fitted.layer(builtin=True), keras.layers.Dense(2)])
    model.save(tmp_path / "m.keras")
    assert tfnorm.fingerprint(tmp_path / "m.keras") == tfnorm.fingerprint(model) == fitted.fingerprint
    assert tfnorm.verify(fitted, model, TABLE["pixel"]).ok
    rows = tf.data.Dataset.from_tensor_slices(TABLE["pixel"]).batch(50).map(fitted.layer(builtin=True))
    np.testing.assert_allclose(np.concatenate(list(rows)), fitted.transform(TABLE["pixel"]), atol=1e-6)
    kinds = [type(one) for one in fitted.layer(builtin=True).layers]
    assert kinds[:2] == [keras.layers.InputLayer, keras.layers.Normalization]


def test_no_fit_several_fits_and_other_weights_are_told(tmp_path: Path) -> None:
    one, two = tfnorm.fit(TABLE["pixel"], "standard"), tfnorm.fit(TABLE["pixel"], "minmax")
    model = keras.Sequential([keras.Input((4,)), one.layer(), two.layer()])
    with pytest.raises(TfnormError, match="holds 2 fits"):
        tfnorm.fingerprint(model)
    assert tfnorm.fingerprints(model) == (one.fingerprint, two.fingerprint)
    with pytest.raises(TfnormError, match="holds no fit"):
        tfnorm.fingerprint(keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]))
    other = one.layer()
    other.set_weights([weight + 1 for weight in other.get_weights()])
    with pytest.raises(TfnormError, match="other weights were loaded"):
        tfnorm.fingerprint(other)
    one.save(tmp_path / "norm.json")
    assert tfnorm.fingerprint(tmp_path / "norm.json") == one.fingerprint
    with pytest.raises(DataError, match="is not there"):
        tfnorm.fingerprint(tmp_path / "nothing.onnx")


def test_verify_sees_what_is_not_the_fit(tmp_path: Path) -> None:
    fitted, other = tfnorm.fit(TABLE, {"age": "standard"}), tfnorm.fit(TABLE, {"age": "robust"})
    written = other.export(tmp_path / "other.keras")  # stands for its path
    assert tfnorm.fingerprint(written) == other.fingerprint
    assert tfnorm.verify(other, written, TABLE).ok
    found = tfnorm.verify(fitted, tmp_path / "other.keras", TABLE)
    assert not found.ok
    assert found.same_fit is False
    assert found.worst.largest > 1e-3
    age = found.columns["age"]
    assert age.numpy == pytest.approx(fitted.transform(TABLE)["age"][age.row])
    filled = tfnorm.fit(TABLE, {"age": "impute, standard"}).layer()
    gaps = tfnorm.verify(fitted, filled, {"age": with_gaps(TABLE["age"])})
    assert gaps.worst.largest == np.inf
    with pytest.raises(DataError, match='column "age" of the fit not there'):
        tfnorm.verify(fitted, filled, {"aged": [1.0]})


def test_an_export_is_whole_or_not_there(tmp_path: Path) -> None:
    fitted = tfnorm.fit(TABLE, {"age": "standard"})
    for name in ("out.keras", "served"):
        path = tmp_path / name
        fitted.export(path)
        with pytest.raises(DataError, match="is there already"):
            fitted.export(path)
        fitted.export(path, force=True)
        assert tfnorm.fingerprint(path) == fitted.fingerprint
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out.keras", "served"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all my work")
    with pytest.raises(DataError, match="is no SavedModel"):
        fitted.export(tmp_path / "mine", force=True)
    with pytest.raises(DataError, match="there is no folder"):
        fitted.export(tmp_path / "no" / "out.keras")


def test_names_are_words_and_each_its_own() -> None:
    assert words(["a b", "a_b", "a-b", "é", ""]) == {"a_b": "a b", "a_b_2": "a_b", "a_b_3": "a-b", "c_": "é", "c": ""}


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = {"age": TABLE["age"], "net worth €": TABLE["net worth €"]}
    fitted = tfnorm.fit(table, {"age": "standard", "net worth €": "log1p, minmax"})
    fitted.save("norm.json")
    np.savez("sample.npz", **table)
    assert main(["export", "norm.json", "-o", "served", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["inputs"] == {"age": "age", "net_worth_": "net worth €"}
    assert "next: tfnorm verify norm.json served" in told.err
    assert main(["export", "norm.json", "-o", "served"]) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["verify", "norm.json", "served", "sample.npz", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    assert [one["column"] for one in found["columns"]] == list(table)
    assert main(["verify", "norm.json", "served", "sample.npz", "--tolerance", "0"]) == 3
    assert "NOT within 0" in capsys.readouterr().out
