"""What tensorflow-transform 1.21 wrote gives its numbers, and what is no technique is refused: `make_tft.py` made `tft.zip`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfnorm
from tfnorm.errors import ChoiceError, DataError

TECHNIQUES = {
    "alcohol_z": ("alcohol", "standard"),
    "malic_gauss": ("malic_acid", "gaussianize"),
    "ash_log_z": ("ash", "log1p, standard"),
    "magnesium_z": ("magnesium", "standard"),
    "magnesium_half": ("magnesium", "minmax(high=0.5)"),
    "color_ends": ("color", "minmax(low=-1.0)"),
    "proline_01": ("proline", "minmax"),
    "phenols_z": ("phenols", "standard"),
    "phenols_01": ("phenols", "minmax"),
    "same_01": ("same", "sigmoid"),  # what tensorflow-transform does to what does not vary
}
REFUSED = {
    "sine": r"node .* does Sin",
    "ratio": "does RealDiv to two columns",
    "by_kind": "does GatherV2",
    "kind_id": "does LookupTableFindV2",
    "rest_z": "sparse",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: Any) -> Path:
    folder = Path(tmp_path_factory.mktemp("tft"))
    shutil.unpack_archive(Path(__file__).parent / "converted" / "tft.zip", folder)
    return folder


def rows_of(made: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    found = json.loads((made / "expected.json").read_text())
    rows = {name: np.array(values) for name, values in found["rows"].items()}
    return {name: x if x.dtype.kind == "i" else x.astype("float32") for name, x in rows.items()}, found["out"]


@pytest.mark.parametrize("output", TECHNIQUES)
def test_each_output_gives_its_numbers(output: str, made: Path) -> None:
    rows, out = rows_of(made)
    column, choice = TECHNIQUES[output]
    fitted = tfnorm.convert(made / "function", columns=[output])
    assert fitted.columns == (column,)
    assert fitted.choice[column] == tfnorm.fit({column: rows[column]}, choice).choice[column]
    got = fitted.transform({column: rows[column]})[column]
    assert got.shape == rows[column].shape
    np.testing.assert_allclose(got, out["function"][output], rtol=2e-5, atol=2e-6)  # its float32
    if output != "same_01":
        np.testing.assert_allclose(fitted[column].inverse(got), rows[column], rtol=1e-4)


def test_several_at_once_are_a_fit_as_others_are(made: Path, tmp_path: Path) -> None:
    rows, _ = rows_of(made)
    outputs = ["alcohol_z", "alcohol", "malic_gauss", "ash_log_z", "color_ends", "phenols_z", "magnesium_z"]
    fitted = tfnorm.convert(made / "function", columns=outputs)
    assert set(fitted.columns) == {"alcohol", "malic_acid", "ash", "color", "phenols", "magnesium"}
    fitted.save(tmp_path / "norm.json")
    assert tfnorm.load(tmp_path / "norm.json") == fitted
    found = tfnorm.verify(fitted, fitted.layer(), {name: rows[name] for name in fitted.columns}, tolerance=5e-6)
    assert found.ok, str(found)
    assert fitted.transform(rows)["proline"] is not None


def test_graphs_of_tensorflow_1_are_read_too(made: Path) -> None:
    rows, out = rows_of(made)
    fitted = tfnorm.convert(made / "graph")  # all of it
    got = fitted.transform(rows)
    for output in out["graph"]:
        column = TECHNIQUES[output][0]
        np.testing.assert_allclose(got[column], out["graph"][output], rtol=2e-5, atol=2e-6)
    assert str(fitted.choice["phenols"]) == str(tfnorm.fit(rows["phenols"], "standard").choice["x"])


@pytest.mark.parametrize("output", REFUSED)
def test_what_is_no_technique_of_one_column_is_refused_by_name(output: str, made: Path) -> None:
    with pytest.raises(ChoiceError, match=f'output "{output}": .*{REFUSED[output]}.*Leave it out: columns=') as told:
        tfnorm.convert(made / "function", columns=[output, "alcohol_z"])
    assert "columns=['alcohol_z']" in str(told.value)


def test_choices_that_are_none_are_said(made: Path) -> None:
    with pytest.raises(ChoiceError, match='"magnesium" becomes "magnesium_half", "magnesium_z"'):
        tfnorm.convert(made / "function", columns=["magnesium_z", "magnesium_half"])
    with pytest.raises(ChoiceError, match='no output "alcohl"'):
        tfnorm.convert(made / "function", columns=["alcohl"])
    with pytest.raises(ChoiceError, match="come out as they came in"):
        tfnorm.convert(made / "function", columns=["alcohol"])


@pytest.mark.parametrize("damage", ["missing", "cut", "text", "empty", "no features", "cycle", "no constants"])
def test_damaged_folders_are_told(damage: str, made: Path, tmp_path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(made / "function", tmp_path / "tft")
    path = tmp_path / "tft" / "transform_fn" / "saved_model.pb"
    whole = path.read_bytes()
    model = saved_model_pb2.SavedModel.FromString(whole)
    (meta,) = model.meta_graphs
    if damage == "cycle":
        for function in meta.graph_def.library.function:
            for node in function.node_def:
                if node.op == "Identity":
                    node.input[:] = [node.name]
    elif damage == "no features":
        meta.object_graph_def.concrete_functions.clear()
    elif damage == "no constants":
        del meta.graph_def.node[:]
    change: dict[str, Callable[[], object]] = {
        "missing": path.unlink,
        "cut": lambda: path.write_bytes(whole[:5000]),
        "text": lambda: path.write_bytes(b"no graph at all" * 9),
        "empty": lambda: path.write_bytes(b""),
    }
    change.get(damage, lambda: path.write_bytes(model.SerializeToString()))()
    with pytest.raises((DataError, ChoiceError), match=str(tmp_path)):
        tfnorm.convert(tmp_path / "tft", columns=["alcohol_z"])
