"""Tables of pandas, polars and pyarrow: types, nulls, and columns put back."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tfnorm.errors import DataError
from tfnorm.sources import BARE, open_source
from tfnorm.sources.frames import is_frame, read_columns, replace_columns


def column(data: Any, name: str = "a") -> tuple[Any, np.ndarray]:
    source = open_source(data)
    (shard,) = source.shards([name])
    (batch,) = shard()
    (described,) = (column for column in source.columns if column.name == name)
    return described, batch[name]


def all_kinds(values: list[Any], type_: pa.DataType | None = None) -> list[Any]:
    table = pa.table({"a": pa.array(values, type_), "other": ["x"] * len(values)})
    return [table, pl.from_arrow(table), table.to_pandas(types_mapper=pd.ArrowDtype), table.to_reader()]


@pytest.mark.parametrize(
    ("values", "type_", "dtype"),
    [
        ([1, None, 3], pa.int16(), "int16"),
        ([1, None, 3], pa.uint64(), "uint64"),
        ([1.5, None, float("nan")], pa.float32(), "float32"),
        ([True, None, False], pa.bool_(), "bool"),
        ([Decimal("1.5"), None, Decimal("-2.25")], pa.decimal128(10, 2), "float64"),
        ([None, None, None], pa.null(), "float64"),
    ],
)
def test_nulls_are_masked_and_nan_is_not(values: list[Any], type_: pa.DataType, dtype: str) -> None:
    for data in all_kinds(values, type_):
        described, got = column(data)
        assert (described.kind, described.dtype, got.dtype.name) == ("number", dtype, dtype)
        np.testing.assert_array_equal(np.ma.getmaskarray(got), [value is None for value in values])
        known = [value is not None for value in values]
        expected = [float(value) for value in values if value is not None]
        np.testing.assert_array_equal(np.ma.getdata(got)[known], expected)


def test_times() -> None:
    for data in all_kinds([date(2020, 1, 2), None], pa.date32()):
        described, got = column(data)
        assert described.kind == "time"
        assert got[0] == np.datetime64("2020-01-02")
        assert np.ma.getmaskarray(got).tolist() == [False, True]
    zoned = pd.DataFrame({"a": pd.to_datetime(["2020-01-02T01:00+01:00"])})
    described, got = column(zoned)
    assert described.kind == "time"
    assert got[0] == np.datetime64("2020-01-02")


def test_lists_are_vectors() -> None:
    for data in all_kinds([[1.0, 2.0], None, [3.0, None]]):
        described, got = column(data) if not isinstance(data, pa.RecordBatchReader) else (None, column(data)[1])
        if described is not None:
            assert described.shape == (2,)
        np.testing.assert_array_equal(np.ma.getmaskarray(got), [[False, False], [True, True], [False, True]])
        np.testing.assert_array_equal(np.ma.filled(got, 0), [[1, 2], [0, 0], [3, 0]])
    for objects in ([[1, 2], [3, 4]], [np.array([1, 2]), np.array([3, 4])]):
        described, got = column(pd.DataFrame({"a": pd.Series(objects, dtype=object)}))
        assert described.shape == (2,)
        np.testing.assert_array_equal(got, [[1, 2], [3, 4]])


def test_ragged_lists() -> None:
    frames = [*all_kinds([[1.0, 2.0], None, [3.0]]), pd.DataFrame({"a": [[1.0, 2.0], None, [3.0]]})]
    for data in frames:
        described, got = column(data)
        assert (described.layout, described.shape) == ("ragged", (None,))
        assert (got.values.tolist(), got.starts.tolist(), got.null.tolist()) == ([1, 2, 3], [0, 2, 2, 3], [0, 1, 0])
    late = pd.DataFrame({"a": [[1.0, 2.0]] * 1024 + [[3.0]]})  # of objects only the first rows are looked at
    with pytest.raises(DataError, match=r'"a": expected 2 numbers in every row, got 1 in row 1024.*Pad'):
        column(late)


def test_text_and_structs_are_no_numbers() -> None:
    for values in (["a", None], [{"x": 1}, None], [["a"], []]):
        for data in all_kinds(values):
            described, got = column(data)
            assert described.kind == "other"
            assert got.dtype == object
            assert len(got) == 2


def test_dictionaries_of_numbers() -> None:
    encoded = pa.table({"a": pa.array([10, None, 10, 20]).dictionary_encode()})
    for data in (encoded, pd.DataFrame({"a": pd.Categorical([10, None, 10, 20])})):
        described, got = column(data)
        assert described.kind == "number"
        assert got.tolist() == [10, None, 10, 20]
    described, _ = column(pd.DataFrame({"a": pd.Categorical(["x", "y"])}))
    assert described.kind == "other"


@pytest.mark.parametrize(
    ("series", "dtype", "expected"),
    [
        (pd.Series([1.5, np.nan]), "float64", "[1.5 nan]"),
        (pd.Series([1, None], dtype="Int32"), "int32", "[1 --]"),
        (pd.Series([1.5, None], dtype="Float32"), "float32", "[1.5 --]"),
        (pd.Series([True, None], dtype="boolean"), "bool", "[True --]"),
        (pd.Series([1, None], dtype=object), "int64", "[1 --]"),
        (pd.Series([Decimal("1.5"), Decimal(2)]), "float64", "[1.5 2. ]"),
        (pd.Series(pd.arrays.SparseArray([0.0, 2.0])), "float64", "[0. 2.]"),
        (pd.Series([None, None], dtype=object), "float64", "[-- --]"),
    ],
)
def test_dtypes_of_pandas(series: pd.Series, dtype: str, expected: str) -> None:
    described, got = column(pd.DataFrame({"a": series}))
    assert described.kind == "number"
    assert described.dtype == dtype
    assert str(got) == expected


def test_objects_that_turn_out_otherwise() -> None:
    frame = pd.DataFrame({"a": pd.Series([1] * 2000 + ["x"], dtype=object)})
    with pytest.raises(DataError, match=r'column "a".*pandas'):
        column(frame)
    frame = pd.DataFrame({"a": pd.Series([None] * 2000 + [2.5], dtype=object)})
    assert column(frame)[1][-1] == 2.5


def test_no_copy_without_nulls() -> None:
    values = np.arange(5.0)
    for data in (pa.table({"a": values}), pd.DataFrame({"a": values}), pl.DataFrame({"a": values})):
        first, second = column(data)[1], column(data)[1]
        assert np.shares_memory(first, second)


def test_names_of_pandas() -> None:
    assert [column.name for column in open_source(pd.DataFrame(np.ones((2, 3)))).columns] == ["0", "1", "2"]
    for names in (["a", "a"], [1, "1"]):
        with pytest.raises(DataError, match="more than one column"):
            open_source(pd.DataFrame(np.ones((2, 2)), columns=names))
    with pytest.raises(DataError, match="more than one column"):
        open_source(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]))


def test_series() -> None:
    for data in (pd.Series([1, 2]), pl.Series([1, 2]), pa.chunked_array([[1], [2]])):
        source = open_source(data)
        assert source.bare
        assert column(data, BARE)[1].tolist() == [1, 2]
        assert not is_frame(data)
    for named in (pd.Series([1, 2], name="a"), pl.Series("a", [1, 2])):
        assert not open_source(named).bare
        assert column(named)[1].tolist() == [1, 2]


def test_polars_integers_of_128_bits_and_objects() -> None:
    frame = pl.DataFrame({"a": pl.Series([1, None], dtype=pl.Int128), "o": pl.Series([{1}, {2}], dtype=pl.Object)})
    assert column(frame)[1].tolist() == [1.0, None]
    assert column(frame, "o")[0].kind == "other"


def test_a_lazy_frame_is_computed_for_the_columns_asked_only() -> None:
    lazy = pl.LazyFrame({"a": [1.0, 2.0], "b": ["x", "y"]}).with_columns(
        pl.col("b").str.to_integer(strict=True).alias("c")
    )
    source = open_source(lazy)
    assert [column.kind for column in source.columns] == ["number", "other", "number"]
    assert column(lazy)[1].tolist() == [1.0, 2.0]


def test_a_reader_can_be_read_once() -> None:
    source = open_source(pa.table({"a": [1]}).to_reader())
    assert not source.repeatable
    list(source.shards(["a"]))
    with pytest.raises(DataError, match="cannot be read twice"):
        list(source.shards(["a"]))


# Putting columns back


def example() -> pd.DataFrame:
    table = {
        "s": ["x", "y", "z"],
        "a": np.array([1, 2, 3], np.int32),
        "b": [0.5, 1.5, 2.5],
        "t": pd.to_datetime(["2020"] * 3),
    }
    return pd.DataFrame(table, index=[7, 8, 9])


NEW = {"b": np.array([1, 2, 3], np.float32), "a": np.array([-1.5, 0.0, 1.5])}


def test_replace_in_pandas() -> None:
    old = example()
    new = replace_columns(old, NEW)
    assert list(new.columns) == list(old.columns)
    assert new.dtypes.astype(str).to_dict() == {**old.dtypes.astype(str).to_dict(), "a": "float64", "b": "float32"}
    pd.testing.assert_index_equal(new.index, old.index)
    pd.testing.assert_frame_equal(new[["s", "t"]], old[["s", "t"]])
    assert new["a"].tolist() == [-1.5, 0, 1.5]
    pd.testing.assert_frame_equal(old, example())
    numbered = pd.DataFrame(np.ones((2, 3)))
    assert list(replace_columns(numbered, {"1": np.zeros(2)}).columns) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["polars", "lazy", "pyarrow", "batch"])
def test_replace_in_arrow(kind: str) -> None:
    old = pa.Table.from_pandas(example(), preserve_index=False)
    makers: dict[str, Any] = {
        "polars": pl.from_arrow,
        "lazy": lambda table: pl.from_arrow(table).lazy(),
        "pyarrow": lambda table: table,
        "batch": lambda table: table.to_batches()[0],
    }
    frame = makers[kind](old)
    new = replace_columns(frame, {**NEW, "t": np.ma.MaskedArray([[1.0, 2], [3, 4], [5, 6]], [[0, 0], [1, 1], [0, 1]])})
    assert type(new) is type(frame)
    new = new.collect() if kind == "lazy" else new
    table = pa.table(new.to_arrow() if isinstance(new, pl.DataFrame) else new)
    assert table.column_names == old.column_names
    assert table["s"].to_pylist() == ["x", "y", "z"]
    assert table["a"].to_pylist() == [-1.5, 0, 1.5]
    assert table["b"].type == pa.float32()
    assert table["t"].to_pylist() == [[1, 2], None, [5, None]]
    assert pa.types.is_fixed_size_list(table["t"].type)


def test_masked_becomes_null_or_nan() -> None:
    masked = np.ma.MaskedArray([1.0, 2.0, 3.0], [False, True, False])
    whole = np.ma.MaskedArray([1, 2, 3], [False, True, False])
    frame = pd.DataFrame(
        {"n": [1.0, 2, 3], "m": pd.array([1, 2, 3], "Int64"), "r": pd.array([1, 2, 3], "int64[pyarrow]")}
    )
    new = replace_columns(frame, {"n": masked, "m": masked, "r": masked})
    assert new.dtypes.astype(str).tolist() == ["float64", "Float64", "double[pyarrow]"]
    assert new.isna().to_numpy().tolist() == [[False] * 3, [True] * 3, [False] * 3]
    assert replace_columns(frame, {"m": whole}).dtypes.astype(str)["m"] == "Int64"
    assert replace_columns(pl.DataFrame({"n": [1, 2, 3]}), {"n": masked})["n"].to_list() == [1, None, 3]


def test_vectors_in_pandas() -> None:
    new = replace_columns(example(), {"a": np.ma.MaskedArray([[1.0, 2], [3, 4], [5, 6]], [[0, 0], [0, 1], [0, 0]])})
    np.testing.assert_array_equal(np.stack(new["a"].tolist()), [[1, 2], [3, np.nan], [5, 6]])


def test_replace_is_what_read_undoes() -> None:
    values = {"a": np.ma.MaskedArray([1.0, 2.0, 3.0], [0, 1, 0]), "b": np.arange(6.0).reshape(3, 2)}
    for frame in (pl.from_pandas(example()), pa.table({"a": [1, 2, 3], "b": [4, 5, 6]})):
        got = read_columns(replace_columns(frame, values), ["b", "a"])
        np.testing.assert_array_equal(got["b"], values["b"])
        np.testing.assert_array_equal(np.ma.getmaskarray(got["a"]), [0, 1, 0])


@pytest.mark.parametrize("make", [example, lambda: pl.from_pandas(example()), lambda: pa.Table.from_pandas(example())])
def test_what_cannot_be_replaced(make: Any) -> None:
    with pytest.raises(DataError, match=r'"A": not in.*Did you mean "a"'):
        replace_columns(make(), {"A": np.ones(3)})
    with pytest.raises(DataError, match="expected 3 rows, got 2"):
        replace_columns(make(), {"a": np.ones(2)})
    with pytest.raises(DataError, match="expected a pandas, polars or pyarrow table"):
        replace_columns(make()["a"], {"a": np.ones(3)})
