"""Writes what `test_converting_tft.py` reads: real output of tensorflow-transform, and what it gave for its rows.

    python -m venv tft; tft/bin/pip install tensorflow-transform==1.21.0
    tft/bin/python tests/make_tft.py wine_data.csv tests/converted/tft.zip

The rows are of the wine data that scikit-learn has in `sklearn/datasets/data/wine_data.csv`. tensorflow-transform needs an
environment of its own, so no test runs this.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

SPEC = {
    "alcohol": tf.io.FixedLenFeature([], tf.float32),
    "malic_acid": tf.io.FixedLenFeature([], tf.float32),
    "ash": tf.io.FixedLenFeature([1], tf.float32),
    "magnesium": tf.io.FixedLenFeature([], tf.int64),
    "color": tf.io.FixedLenFeature([], tf.float32),
    "proline": tf.io.FixedLenFeature([], tf.float32),
    "phenols": tf.io.FixedLenFeature([3], tf.float32),  # the last does not vary
    "same": tf.io.FixedLenFeature([], tf.float32),
    "kind": tf.io.FixedLenFeature([], tf.string),
    "rest": tf.io.VarLenFeature(tf.float32),
}


def whole(inputs: dict[str, Any]) -> dict[str, Any]:
    """All that can be converted, and some that cannot."""
    return {
        "alcohol_z": tft.scale_to_z_score(inputs["alcohol"]),
        "alcohol": inputs["alcohol"],
        "malic_gauss": tft.scale_to_gaussian(inputs["malic_acid"]),
        "ash_log_z": tft.scale_to_z_score(tf.math.log1p(inputs["ash"])),
        "magnesium_z": tft.scale_to_z_score(inputs["magnesium"]),
        "magnesium_half": tft.scale_by_min_max(inputs["magnesium"], 0.0, 0.5),
        "color_ends": tft.scale_by_min_max(inputs["color"], -1.0, 1.0),
        "proline_01": tft.scale_to_0_1(inputs["proline"]),
        "phenols_z": tft.scale_to_z_score(inputs["phenols"], elementwise=True),
        "phenols_01": tft.scale_to_0_1(inputs["phenols"]),
        "same_01": tft.scale_to_0_1(inputs["same"]),
        "sine": tf.math.sin(inputs["proline"]),
        "ratio": inputs["proline"] / inputs["color"],
        "by_kind": tft.scale_to_z_score_per_key(inputs["color"], inputs["kind"]),
        "kind_id": tft.compute_and_apply_vocabulary(inputs["kind"]),
        "rest_z": tft.scale_to_z_score(inputs["rest"]),
    }


def old(inputs: dict[str, Any]) -> dict[str, Any]:
    """A little of it, as TensorFlow 1 writes graphs."""
    return {
        "alcohol_z": tft.scale_to_z_score(inputs["alcohol"]),
        "proline_01": tft.scale_to_0_1(inputs["proline"]),
        "phenols_z": tft.scale_to_z_score(inputs["phenols"], elementwise=True),
    }


def rows_of(path: Path) -> list[dict[str, Any]]:
    table = np.loadtxt(path, delimiter=",", skiprows=1)[::4]
    return [
        {
            **{"alcohol": row[0], "malic_acid": row[1] ** 3, "ash": [row[2]], "magnesium": int(row[4])},
            **{"color": row[9], "proline": row[12], "phenols": [*row[5:7], 7.0], "same": 3.0},
            **{"kind": f"kind {row[13]:.0f}", "rest": [row[3]] * (i % 2)},
        }
        for i, row in enumerate(table)
    ]


def write(rows: list[dict[str, Any]], function: Any, folder: Path, *, old_graph: bool) -> dict[str, Any]:
    """The folder, and what became of the rows."""
    about = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(SPEC))
    with tft_beam.Context(temp_dir=tempfile.mkdtemp(), force_tf_compat_v1=old_graph):
        (data, _), transform = (rows, about) | tft_beam.AnalyzeAndTransformDataset(function)
        transform | tft_beam.WriteTransformFn(str(folder))  # pylint: disable=expression-not-assigned
    names = [name for name in data[0] if name not in ("rest_z", "kind_id")]
    return {name: [np.asarray(row[name], np.float64).tolist() for row in data] for name in names if name in data[0]}


def main() -> None:
    rows, made = rows_of(Path(sys.argv[1])), Path(sys.argv[2])
    folder = Path(tempfile.mkdtemp())
    out = {
        "function": write(rows, whole, folder / "function", old_graph=False),
        "graph": write(rows, old, folder / "graph", old_graph=True),
    }
    columns = {name: [row[name] for row in rows] for name in SPEC if name not in ("kind", "rest")}
    (folder / "expected.json").write_text(json.dumps({"rows": columns, "out": out}))
    shutil.make_archive(str(made.with_suffix("")), "zip", folder)


if __name__ == "__main__":
    main()
