"""Files of all formats that are written: there and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import tfnorm
from test_sources_formats import ENDINGS, TABLE, read, write
from tfnorm.errors import DataError


@pytest.mark.parametrize("to", [".parquet", ".arrow", ".feather", ".jsonl", ".jsonl.gz", ".orc"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_files_go_out_and_come_back(ending: str, to: str, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from tfnorm.cli import app

    path, norm = write(tmp_path / f"in{ending}"), tmp_path / "norm.json"
    fitted = tfnorm.fit(path, {"a": "standard"})
    fitted.save(norm)
    out, back = tmp_path / f"out{to}", tmp_path / f"back{to}"
    for command, source, target in (("transform", path, out), ("inverse", out, back)):
        run = CliRunner().invoke(app, [command, str(norm), str(source), "-o", str(target)])
        assert run.exit_code == 0, run.output
    np.testing.assert_array_equal(read(out, "a")[0], fitted["a"].transform(TABLE["a"]))
    np.testing.assert_allclose(read(back, "a")[0], TABLE["a"], atol=1e-9)
    b = TABLE["b"][:, 0] if ending == ".npy" else TABLE["b"]
    np.testing.assert_array_equal(read(back, "b")[0], b)


def test_an_array_goes_out_and_comes_back_as_an_array(tmp_path: Path) -> None:
    from tfnorm import files_out

    array = np.random.default_rng(1).normal(3, 2, (700, 4, 2)).astype(np.float32)
    np.save(tmp_path / "in.npy", array)
    fitted = tfnorm.fit(tmp_path / "in.npy", "standard")
    for inverse, source, target in ((False, "in.npy", "out.npy"), (True, "out.npy", "back.npy")):
        planned = files_out.plan([str(tmp_path / source)], str(tmp_path / target), force=False)
        assert files_out.run(fitted, planned, inverse=inverse) == 700
    out, back = (np.load(tmp_path / name, allow_pickle=False) for name in ("out.npy", "back.npy"))
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, fitted.transform(array))
    np.testing.assert_allclose(back, array, atol=1e-5)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("out.h5", "HDF5 is read, and not written; expected a name that ends in .parquet"),
        ("out.xyz", "expected a name that ends in .parquet"),
        ("out.npy", 'a .npy file holds one array, and there are the columns "a", "b"'),
        ("out.csv", "a CSV file holds no fixed_size_list"),
    ],
)
def test_what_cannot_be_written(output: str, said: str, tmp_path: Path) -> None:
    from tfnorm import files_out

    path = write(tmp_path / "in.npz")
    fitted = tfnorm.fit(path, {"a": "standard"})
    with pytest.raises(DataError) as error:
        files_out.run(fitted, files_out.plan([str(path)], str(tmp_path / output), force=False), inverse=False)
    assert said in str(error.value)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in.npz"]


def test_a_folder_of_what_is_only_read_becomes_parquet(tmp_path: Path) -> None:
    from tfnorm import files_out

    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "x.npz")
    fitted = tfnorm.fit(tmp_path / "in", {"a": "standard"})
    files_out.run(fitted, files_out.plan([str(tmp_path / "in")], str(tmp_path / "out"), force=False), inverse=False)
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["x.parquet"]


def test_json_has_no_infinity_and_no_nan(tmp_path: Path) -> None:
    from tfnorm.sources.json_lines_copy import Writer

    schema = pa.schema({"a": pa.float64()})
    writer = Writer(tmp_path / "a.jsonl", schema)
    writer.write([pa.array([1.5, float("nan"), None])])
    writer.close()
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert [json.loads(line)["a"] for line in lines] == [1.5, None, None]
    with pytest.raises(DataError, match="JSON holds no inf"):
        Writer(tmp_path / "b.jsonl", schema).write([pa.array([float("inf")])])


def test_keys_that_show_late_are_copied(tmp_path: Path) -> None:
    from tfnorm import files_out

    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n' * 600_000 + '{"a": 0.5, "late": "x"}\n')
    fitted = tfnorm.fit(path, {"a": "minmax"})
    files_out.run(fitted, files_out.plan([str(path)], str(tmp_path / "b.parquet"), force=False), inverse=False)
    import pyarrow.parquet as pq

    found = pq.read_table(tmp_path / "b.parquet")
    assert found.num_rows == 600_001
    assert found.slice(600_000).to_pylist() == [{"a": 0.0, "late": "x"}]
