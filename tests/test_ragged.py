"""Rows of other lengths: ragged tensors and lists of Arrow, polars and pandas. Absent steps count for nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tfnorm
from tfnorm.errors import DataError
from tfnorm.sources.stored import Ragged

ROWS = [[1.0, 2.0, 3.0], [], [4.0], [-5.0, 6.5]]
FLAT = np.concatenate(ROWS)
TABLE = pa.table({"a": pa.array(ROWS), "b": np.arange(4.0)})
FORMS: dict[str, Callable[[Any], Any]] = {
    "arrow": lambda path: TABLE,
    "large lists": lambda path: TABLE.cast(pa.schema([("a", pa.large_list(pa.float64())), ("b", pa.float64())])),
    "chunks": lambda path: pa.concat_tables([TABLE.slice(0, 2), TABLE.slice(2)]),
    "polars": lambda path: pl.from_arrow(TABLE),
    "polars lazily": lambda path: pl.from_arrow(TABLE).lazy(),
    "pandas of arrays": lambda path: pd.DataFrame({"a": [np.array(row) for row in ROWS], "b": np.arange(4.0)}),
    "pandas of lists": lambda path: pd.DataFrame({"a": ROWS, "b": np.arange(4.0)}),
    "pandas of Arrow": lambda path: TABLE.to_pandas(types_mapper=pd.ArrowDtype),
    "batches of tables": lambda path: lambda: iter([TABLE.slice(0, 2), TABLE.slice(2)]),
    "parquet": lambda path: _written(path, TABLE),
}


def _written(path: Any, table: Any) -> str:
    pq.write_table(table, path / "rows.parquet", row_group_size=2)
    return str(path / "rows.parquet")


@pytest.mark.parametrize("form", FORMS)
def test_lists_of_other_lengths_are_one_column_of_numbers(form: str, tmp_path: Any) -> None:
    found = tfnorm.scan(FORMS[form](tmp_path))
    assert found.num_rows == 4
    assert found["a"].count.finite.tolist() == [6]
    assert found["a"].count.missing.tolist() == [0]
    np.testing.assert_allclose([found["a"].mean[0], found["a"].std[0]], [FLAT.mean(), FLAT.std()], rtol=1e-14)
    assert found["a"].quantile(0.5) == np.median(FLAT)
    assert found["b"].mean == 1.5


@pytest.mark.parametrize("form", ["arrow", "large lists", "chunks", "polars", "pandas of arrays", "pandas of Arrow"])
def test_tables_stay_what_they_are(form: str, tmp_path: Any) -> None:
    table = FORMS[form](tmp_path)
    fitted = tfnorm.fit(table, "minmax")
    y = fitted.transform(table)
    assert type(y) is type(table)
    rows = [list(row) for row in (y["a"].to_pylist() if isinstance(y, pa.Table) else y["a"])]
    want = [[(value + 5) / 11.5 for value in row] for row in ROWS]
    assert [len(row) for row in rows] == [3, 0, 1, 2]
    np.testing.assert_allclose(np.concatenate(rows), np.concatenate(want), rtol=1e-15)
    back = fitted.inverse(y)
    rows = [list(row) for row in (back["a"].to_pylist() if isinstance(back, pa.Table) else back["a"])]
    np.testing.assert_allclose(np.concatenate(rows), FLAT, rtol=1e-14)


def test_nulls_are_null_steps_and_null_rows() -> None:
    table = pa.table({"a": pa.array([[1.0, None], None, [3.0], []])})
    found = tfnorm.scan(table)["a"]
    assert (found.count.finite.tolist(), found.count.null.tolist(), found.mean[0]) == ([2], [1], 2.0)
    fitted = tfnorm.fit(table, "minmax")
    assert fitted.transform(table)["a"].to_pylist() == [[0.0, None], None, [1.0], []]
    frame = fitted.transform(table.to_pandas())["a"]
    assert frame[1] is None
    np.testing.assert_array_equal(frame[0], [0.0, np.nan])


def test_steps_of_vectors_are_fitted_by_feature() -> None:
    steps = [np.array([[1.0, 10.0], [3.0, 30.0]]), np.array([[8.0, 20.0]])]
    table = pa.table({"a": pa.array([row.tolist() for row in steps], pa.list_(pa.list_(pa.float64(), 2)))})
    found = tfnorm.fit(table, "standard")
    assert found.profile["a"].column.shape == (None, 2)
    flat = np.concatenate(steps)
    np.testing.assert_allclose(found.profile["a"].mean, flat.mean(axis=0))
    y = np.concatenate([np.array(row) for row in found.transform(table)["a"].to_pylist()])
    np.testing.assert_allclose(y, (flat - flat.mean(axis=0)) / flat.std(axis=0))


def test_lists_of_lists_of_other_lengths_are_refused() -> None:
    table = pa.table({"a": pa.array([[[1.0], [2.0, 3.0]], [[4.0]]])})
    with pytest.raises(DataError, match=r'"a".*lists of lists of other lengths'):
        tfnorm.fit(table, axis=None)


def test_weights_count_each_step_of_a_row() -> None:
    weight = np.array([1.0, 5.0, 0.5, 2.0])
    each = np.repeat(weight, [len(row) for row in ROWS])
    table = TABLE.append_column("w", pa.array(weight))
    for found in (tfnorm.scan(TABLE, weight=weight), tfnorm.scan(table, weight="w")):
        np.testing.assert_allclose(found["a"].mean, [np.average(FLAT, weights=each)], rtol=1e-15)


def test_faults_name_the_row() -> None:
    table = pa.table({"a": pa.array([[1.0], [2.0, 3.0, np.inf]])})
    with pytest.raises(DataError, match=r"infinite value in row 1 "):
        tfnorm.fit(table)
    table = pa.table({"a": pa.array([[1.0], [2.0, 3.0, -4.0], [-9.0]])})
    with pytest.raises(DataError, match=r"log1p needs values above -1, got -4.0 in row 1 "):
        tfnorm.fit(table, "log1p, standard")


def test_rows_are_cut_and_joined() -> None:
    rows = Ragged.of_rows([np.array(row) for row in ROWS])
    again: Any = np.concatenate([rows[:1], rows[1:1], rows[1:]])  # type: ignore[call-overload]
    assert isinstance(again, Ragged)
    assert again.starts.tolist() == rows.starts.tolist() == [0, 3, 3, 4, 6]
    np.testing.assert_array_equal(again.values, FLAT)
    assert [rows.row_of(index) for index in range(6)] == [0, 0, 0, 2, 3, 3]


def test_the_command_line_copies_ragged_files(tmp_path: Any) -> None:
    from tfnorm.files_out import plan, run

    even = pa.table(
        {"a": pa.array([[1.0, 2.0], [3.0, 4.0]]), "b": np.arange(2.0)}
    )  # its rows happen to be of one length
    source = _written(tmp_path, pa.concat_tables([TABLE, even]))
    fitted = tfnorm.fit(source, "minmax")
    run(fitted, plan([source], str(tmp_path / "out.parquet"), force=False), inverse=False)
    out = pq.read_table(tmp_path / "out.parquet")["a"]
    assert [len(row) for row in out.to_pylist()] == [3, 0, 1, 2, 2, 2]


# TensorFlow

tf = pytest.importorskip("tensorflow")


def ragged(rows: Any = ROWS, **options: Any) -> Any:
    return tf.ragged.constant(rows, dtype=options.pop("dtype", tf.float64), **options)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_ragged_tensors(dtype: str) -> None:
    x = tf.cast(ragged(), dtype)
    flat = FLAT.astype(dtype)
    fitted = tfnorm.fit(x, "standard")
    np.testing.assert_allclose(fitted.profile["x"].mean, [flat.mean(dtype=np.float64)], rtol=1e-13)
    y = fitted.transform(x)
    assert isinstance(y, tf.RaggedTensor)
    np.testing.assert_array_equal(y.row_splits, x.row_splits)
    np.testing.assert_array_equal(y.flat_values, tfnorm.fit(flat, "standard").transform(flat))
    np.testing.assert_allclose(fitted.inverse(y).flat_values, flat, rtol=1e-5)


def test_ragged_tensors_of_vectors_and_of_ragged_rows() -> None:
    x = ragged([[[1.0, 2.0], [3.0, 7.0]], [], [[5.0, 9.0]]], ragged_rank=1)
    flat = np.array([[1.0, 2], [3, 7], [5, 9]])
    fitted = tfnorm.fit(x, "standard")
    np.testing.assert_allclose(fitted.profile["x"].mean, flat.mean(axis=0))
    np.testing.assert_allclose(fitted.transform(x).flat_values, (flat - flat.mean(axis=0)) / flat.std(axis=0))
    assert tfnorm.fit(x, "standard", axis=None).profile["x"].mean.tolist() == [4.5]
    deep = ragged([[[1.0], [3.0, 7.0]], [], [[5.0, 9.0, 2.0]]])
    y = tfnorm.fit(deep, "minmax").transform(deep)
    assert y.to_list() == [[[0.0], [0.25, 0.75]], [], [[0.5, 1.0, 0.125]]]
    with pytest.raises(DataError, match=r'"x": l2.*ragged along more than one axis'):
        tfnorm.fit(deep, "l2").transform(deep)
    with pytest.raises(DataError, match=r"2 features on the last axis"):
        fitted.transform(ragged())


@pytest.mark.parametrize("choice", ["l2", "l1", "linf", "instance", "contrast", "l2, standard"])
def test_techniques_of_samples_take_each_row_at_its_length(choice: str) -> None:
    x = ragged([[1.0, 2.0, 3.0], [], [4.0], [-5.0, 6.5, 1.0]])
    y = tfnorm.fit(x, choice).transform(x)
    if choice == "l2, standard":
        rows = [np.asarray(row) / max(1e-300, np.linalg.norm(row)) for row in x.to_list()]
        flat = np.concatenate(rows)
        np.testing.assert_allclose(y.flat_values, (flat - flat.mean()) / flat.std(), rtol=1e-12)
        return
    for row, got in zip(x.to_list(), y.to_list(), strict=True):
        if row:
            np.testing.assert_allclose(got, tfnorm.fit([row], choice).transform([row])[0], rtol=1e-14)


def test_the_way_back_like_another_takes_dense_arrays() -> None:
    x = ragged()
    with pytest.raises(DataError, match=r'"x": like= takes dense arrays'):
        tfnorm.fit(x, "instance").inverse(x, like=x)


def test_datasets() -> None:
    x = ragged([[1.0, 2.0, 3.0], [], [4.0], [-5.0, 6.5]])
    age = np.arange(4)
    examples = tf.data.Dataset.from_tensor_slices({"a": x, "b": age})
    vectors = tf.data.Dataset.range(1, 5).map(lambda k: tf.ones((k, 3)) * tf.cast(k, tf.float32)).ragged_batch(3)
    for data in (examples, examples.batch(3), examples.batch(1), examples.batch(2).map(lambda rows: (rows, rows["b"]))):
        found = tfnorm.scan(data)
        np.testing.assert_allclose(found["a"].mean, [FLAT.mean()])
        assert found["b"].mean == 1.5
    assert tfnorm.fit(examples.batch(3), "standard").fingerprint == tfnorm.fit(examples, "standard").fingerprint
    found = tfnorm.scan(vectors)
    assert found["x"].count.finite.tolist() == [10] * 3
    np.testing.assert_allclose(found["x"].mean, [3.0] * 3)
    mapping = tfnorm.fit({"a": x, "b": age}, "maxabs").transform({"a": x, "b": age})
    assert isinstance(mapping["a"], tf.RaggedTensor)


@pytest.mark.parametrize(
    "choice", ["standard", "minmax", "log1p, standard", "quantile", "l2", "l1", "instance", "contrast", "l2, standard"]
)
def test_the_layer_gives_what_numpy_gives(choice: str) -> None:
    x = ragged([[1.0, 2.0, 3.0], [], [4.0], [5.0, 6.5, 1.0]])
    fitted = tfnorm.fit(x, choice)
    layer, want = fitted.layer(dtype="float64"), fitted.transform(x)
    for run in (layer, tf.function(layer)):
        y = run(x)
        assert isinstance(y, tf.RaggedTensor)
        np.testing.assert_array_equal(y.row_splits, x.row_splits)
        np.testing.assert_allclose(y.flat_values, want.flat_values, rtol=1e-13, atol=1e-14)
    (part,) = tf.data.Dataset.from_tensor_slices(x).batch(4).map(layer)
    np.testing.assert_allclose(part.flat_values, want.flat_values, rtol=1e-13, atol=1e-14)
    assert layer(ragged([[], []])).to_list() == [[], []]


def test_the_layer_maps_steps_of_vectors_by_feature() -> None:
    x = ragged([[[1.0, 2.0], [3.0, 7.0]], [], [[5.0, 9.0]]], ragged_rank=1)
    for choice in ("standard", "l2", "instance(axis=-2)"):
        fitted = tfnorm.fit({"a": x}, choice)
        y = fitted.layer(dtype="float64")({"a": x})["a"]
        np.testing.assert_allclose(y.flat_values, fitted.transform({"a": x})["a"].flat_values, rtol=1e-13, atol=1e-14)
        assert y.shape.as_list() == [3, None, 2]
    deep = ragged([[[1.0], [3.0, 7.0]], []])
    with pytest.raises(DataError, match=r"ragged along more than one axis"):
        tfnorm.fit(deep, "l2").layer()(deep)
    with pytest.raises(DataError, match=r"fitted on 2 features"):
        tfnorm.fit(x, "standard").layer()(ragged())


def test_a_model_of_ragged_inputs() -> None:
    import keras

    x = ragged(dtype=tf.float32)
    fitted = tfnorm.fit(x, "standard")
    inputs = keras.Input((None,), ragged=True)
    output = fitted.layer()(inputs)
    assert output.ragged
    y = keras.Model(inputs, output)(x)
    np.testing.assert_allclose(y.flat_values, fitted.transform(x).flat_values, rtol=1e-6)
