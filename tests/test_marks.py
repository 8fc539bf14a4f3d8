"""Marks of what was missing beside the values: arrays, tables and files, against scikit-learn's indicators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression

import tfnorm
from tfnorm.errors import ChoiceError, DataError

RANDOM = np.random.default_rng(11)
GAPS = np.where(RANDOM.random((200, 3)) < 0.3, np.nan, RANDOM.normal(size=(200, 3)))


def test_marks_are_scikit_learns_indicators() -> None:
    expected = SimpleImputer(add_indicator=True).fit_transform(GAPS)
    fitted = tfnorm.fit(GAPS, "impute('mean', indicator=True)")
    y = fitted.transform(GAPS)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    np.testing.assert_array_equal(fitted.inverse(y), GAPS)
    values = fitted.inverse(y[:, :3])  # without marks all are there
    np.testing.assert_array_equal(values, y[:, :3])
    model = LinearRegression().fit(y, np.arange(200))
    assert model.coef_.shape == (6,)
    np.testing.assert_array_equal(fitted.transform(GAPS[:0]).shape, (0, 6))


def test_marks_of_numbers_and_of_images() -> None:
    fitted = tfnorm.fit(GAPS[:, 0], "impute(-1, indicator=True)")
    y = fitted.transform(GAPS[:, 0])
    assert y.shape == (200, 2)
    np.testing.assert_array_equal(fitted.inverse(y), GAPS[:, 0])
    assert fitted.inverse([5.0, 6.0]).tolist() == [5.0, 6.0]
    images = GAPS.reshape(10, 4, 5, 3)
    fitted = tfnorm.fit(images, "impute(indicator=True)")
    assert fitted.transform(images).shape == (10, 4, 5, 6)
    np.testing.assert_array_equal(fitted.inverse(fitted.transform(images)), images)
    with pytest.raises(DataError, match="6 features"):
        fitted.inverse(images[..., :2])


def frames() -> dict[str, Any]:
    import pandas as pd
    import polars as pl

    rows = {"id": [1, 2, 3], "age": [1.0, None, 4.0], "pay": [2.0, 5.0, 8.0]}
    return {
        "pandas": pd.DataFrame(rows),
        "pandas nullable": pd.DataFrame(rows).astype({"age": "Float64"}),
        "polars": pl.DataFrame(rows),
        "arrow": pa.table(rows),
        "record batch": pa.RecordBatch.from_pydict(rows),
    }


def listed(frame: Any, name: str) -> list[Any]:
    """A column as a list, None where it is missing in any way."""
    column = frame[name] if hasattr(frame, "columns") and not isinstance(frame, pa.Table) else frame.column(name)
    values = column.to_pylist() if hasattr(column, "to_pylist") else list(column)
    return [float(value) if isinstance(value, int | float) and not np.isnan(value) else None for value in values]


def names_of(frame: Any) -> list[str]:
    return list(frame.schema.names if isinstance(frame, pa.Table | pa.RecordBatch) else frame.columns)


@pytest.mark.parametrize("kind", frames())
def test_in_tables_marks_are_a_column_beside_theirs(kind: str) -> None:
    frame = frames()[kind]
    fitted = tfnorm.fit(frame, {"age": "standard, impute(indicator=True)", "pay": "impute(indicator=True)"})
    new = fitted.transform(frame)
    assert type(new) is type(frame)
    names = (
        list(new.schema.names)
        if hasattr(new, "schema") and kind not in ("polars",) and "pandas" not in kind
        else list(new.columns)
    )
    assert names == ["id", "age", "age_missing", "pay", "pay_missing"]
    assert listed(new, "age") == [-1.0, 0.0, 1.0]
    assert listed(new, "age_missing") == [0.0, 1.0, 0.0]
    back = fitted.inverse(new)
    assert listed(back, "age") == [1.0, None, 4.0]
    assert listed(back, "pay") == [2.0, 5.0, 8.0]
    assert names_of(back) == ["id", "age", "pay"]
    with pytest.raises(ChoiceError, match=r"age_missing.*already"):
        fitted.transform(new)


@pytest.mark.parametrize("kind", frames())
def test_nulls_are_filled(kind: str) -> None:
    frame = frames()[kind]
    assert listed(tfnorm.fit(frame, {"age": "impute(9)"}).transform(frame), "age") == [1.0, 9.0, 4.0]
    assert listed(tfnorm.fit(frame, {"age": "mask"}).transform(frame), "age") == [1.0, 0.0, 1.0]


def test_a_null_in_a_vector_is_missing_to_all_of_it() -> None:
    rows = np.ma.MaskedArray([[1.0, 2.0], [3.0, 5.0], [4.0, 1.0], [0.0, 0.0]], [[0, 0], [0, 0], [0, 0], [0, 1]])
    y = tfnorm.fit(rows, "whiten").transform(rows)
    assert np.ma.getmaskarray(y).tolist() == [[False, False]] * 3 + [[True, True]]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_files_get_the_column_of_marks_too(tmp_path: Any, suffix: str) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    from tfnorm.files_out import plan, run

    table = frames()["arrow"]
    source, target, again = (str(tmp_path / f"{name}.{suffix}") for name in ("in", "out", "back"))
    read, write = (
        (pyarrow.parquet.read_table, pyarrow.parquet.write_table)
        if suffix == "parquet"
        else (pyarrow.csv.read_csv, pyarrow.csv.write_csv)
    )
    write(table, source)
    fitted = tfnorm.fit(source, {"age": "standard, impute(indicator=True)"})
    run(fitted, plan([source], target, force=False), inverse=False)
    written = read(target)
    assert written.schema.names == ["id", "age", "age_missing", "pay"]
    assert written["age_missing"].to_pylist() == [0, 1, 0]
    run(fitted, plan([target], again, force=False), inverse=True)
    assert read(again).schema.names == ["id", "age", "pay"]
    assert read(again)["age"].to_pylist()[0] == 1.0
    with pytest.raises(DataError, match="age_missing"):
        run(fitted, plan([target], str(tmp_path / f"x.{suffix}"), force=False), inverse=False)
