"""The command line."""

from __future__ import annotations

import errno
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

import tfnorm
from tfnorm import cli
from tfnorm.sources import csv_copy, parquet_copy

COMMANDS = (
    *("fit", "scan", "show", "transform", "inverse", "techniques", "demo"),
    *("advise", "check", "report"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with `train.parquet` and `train.csv` of the same rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    table = pa.table(
        {
            "id": pa.array(["007", 'a,"b"', "", None]),
            "age": pa.array([22.0, 38.0, None, 26.0]),
            "fare": pa.array([7.25, 71.25, 0.0, 8.0], pa.float32()),
            "count": pa.array([1, 2, 3, 4], pa.int64()),
        }
    )
    pq.write_table(table, "train.parquet", compression="zstd", row_group_size=3)
    Path("train.csv").write_text('id,age,fare,count\n007,22,7.25,1\n"a,""b""",38,71.25,2\n,NA,0,3\nNA,26,8,4\n')
    return tmp_path


def run(*arguments: str) -> int:
    return cli.main(list(arguments))


def ok(*arguments: str) -> None:
    assert run(*arguments) == 0


# What is said, and where


def test_fit_saves_shows_and_names_the_next_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ok("fit", "train.parquet", "-t", "standard", "--set", "fare=log1p,minmax(-1, 1)", "-o", "norm.json")
    out, err = capsys.readouterr()
    assert "log1p, minmax(low=-1)" in out
    assert err == "saved norm.json\nnext: tfnorm transform norm.json train.parquet -o normalized.parquet\n"
    fitted = tfnorm.load("norm.json")
    choice = {"age": "standard", "fare": "log1p, minmax(-1, 1)", "count": "standard"}
    assert fitted == tfnorm.fit("train.parquet", choice)


def test_set_without_technique_names_the_only_columns(folder: Path) -> None:
    ok("fit", "train.csv", "--set", "age=robust", "-o", "norm.json", "-q")
    assert tfnorm.load("norm.json").choice == {"age": "robust"}


def test_names_and_arguments_may_hold_equals_signs(folder: Path) -> None:
    Path("odd.csv").write_text("a=b,c\n1,2\n3,4\n")
    ok("fit", "odd.csv", "--set", "a=b=minmax(low=-1, high=1)", "--set", "c=standard", "-o", "norm.json")
    assert tfnorm.load("norm.json").choice == {"a=b": "minmax(low=-1)", "c": "standard"}


def test_options_reach_the_fit(folder: Path) -> None:
    Path("t.csv").write_text("when,x,w\n2020-01-01,1,1\n2020-01-03,inf,3\n")
    ok(
        "fit",
        "t.csv",
        "-t",
        "standard",
        "--unit",
        "when=D",
        "--policy",
        "infinite=missing",
        "--weight",
        "w",
        "-o",
        "n.json",
    )
    fitted = tfnorm.load("n.json")
    assert fitted.columns == ("when", "x")
    assert fitted.profile["x"].count.infinite[0] == 1
    assert fitted.profile["when"].mean == 18262 + 1.5
    ok(
        "fit",
        "t.csv",
        "-t",
        "standard",
        "--set",
        "w=minmax",
        "--unit",
        "D",
        "--policy",
        "infinite=missing",
        "-o",
        "m.json",
    )
    assert tfnorm.load("m.json").columns == ("when", "x", "w")
    pq.write_table(pa.table({"v": [[1.0, 2.0], [3.0, 4.0]]}), "v.parquet")
    ok("fit", "v.parquet", "--axis", "all", "-o", "v.json")
    assert tfnorm.load("v.json").profile["v"].column.features == 1
    Path("s.csv").write_text("a;b\n1;2\n")
    ok("scan", "s.csv", "--delimiter", ";", "-o", "s.json", "--workers", "1")
    assert list(tfnorm.load("s.json")) == ["a", "b"]


def test_policies_and_shared_columns(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.csv").write_text("open,high,low\n1,4,1\n2,5,1\n3,6,\n")
    rules = ("--policy", "out_of_range=clip", "--policy", "low:missing=-1", "--share", "open,high", "--exact")
    ok("fit", "p.csv", "-t", "minmax", *rules, "-o", "p.json", "-q")
    data = {"open": [1.0, 2, 3], "high": [4.0, 5, 6], "low": [1.0, 1, np.nan]}
    wanted = tfnorm.fit(data, "minmax", out_of_range="clip", missing={"low": -1}, share=["open", "high"], exact=True)
    assert tfnorm.load("p.json").fingerprint == wanted.fingerprint
    Path("new.csv").write_text("open,high,low\n0,9,\n6,1,1\n")
    capsys.readouterr()
    ok("transform", "p.json", "new.csv", "-o", "out.csv")
    told = capsys.readouterr().err
    assert '"open": out_of_range in 1 values: clip' in told
    assert '"low": missing in 1 values: -1' in told
    assert pc.read_csv("out.csv").to_pydict() == {"open": [0, 1], "high": [1, 0], "low": [-1, 0]}
    refused(capsys, "fit", "p.csv", "--policy", "missing=0", "--policy", "low:missing=1", code=2)


def test_results_on_stdout_messages_on_stderr(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ok("fit", "train.parquet", "-o", "-")
    out, err = capsys.readouterr()
    assert json.loads(out)["format"] == "tfnorm"
    assert err == 'left as they are: "id (string)"\n'
    ok("scan", "train.parquet", "--json")
    out, err = capsys.readouterr()
    age, fare, count = json.loads(out)
    assert (age["column"], age["missing"], age["median"]) == ("age", 1, 26.0)
    assert (fare["dtype"], count["max"]) == ("float32", 4.0)
    assert "next: tfnorm fit train.parquet" in err
    ok("scan", "train.parquet", "--quiet")
    out, err = capsys.readouterr()
    assert out.startswith("profile of 3 columns on 4 rows")
    assert err == ""
    ok("scan", "train.parquet", "--quiet", "-o", "p.json")
    assert capsys.readouterr() == ("", "")
    ok("show", "p.json")
    assert capsys.readouterr().out.startswith("profile of 3 columns")


def test_show_reads_stdin(folder: Path) -> None:
    command = f"{sys.executable} -c 'import sys; from tfnorm.cli import main; sys.exit(main())'"
    both = f"{command} fit train.parquet -o - | {command} show - --json"
    shown = subprocess.run(both, shell=True, capture_output=True, text=True, check=True, timeout=300)
    assert [record["column"] for record in json.loads(shown.stdout)] == ["age", "fare", "count"]


def test_techniques_walks_the_registry(capsys: pytest.CaptureFixture[str]) -> None:
    ok("techniques")
    out = capsys.readouterr().out
    for name, kind in tfnorm.TECHNIQUES.items():
        assert any(line.startswith(f"{name}(") and line.endswith(kind.summary) for line in out.splitlines())
        ok("techniques", name)
        assert kind.summary in capsys.readouterr().out
    ok("techniques", "--json")
    assert {one["name"] for one in json.loads(capsys.readouterr().out)} == set(tfnorm.TECHNIQUES)


# Help


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_fits_a_screen(
    command: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for option in ("-h", "--help"):
        ok(*([command] if command else []), option)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) <= 40
        assert max(map(len, lines)) <= 80
        assert any(line.startswith("  tfnorm ") for line in lines[:8])  # examples first
        assert lines[-1].strip().startswith("Exit codes: 0 ")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    ok("--version")
    assert capsys.readouterr().out == f"tfnorm {tfnorm.__version__}\n"


def test_no_command_loads_tensorflow(folder: Path) -> None:
    code = """
import sys
from tfnorm.cli import main
for line in ["--help", "fit train.parquet -o n.json", "scan train.csv", "show n.json", "techniques",
             "transform n.json train.parquet -o t.parquet", "inverse n.json t.parquet -o i.csv"]:
    assert main(line.split()) == 0, line
loaded = {"tensorflow", "keras", "polars", "sklearn", "matplotlib"} & set(sys.modules)  # pandas: pyarrow looks for it
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def test_progress_is_drawn_on_a_terminal_only(folder: Path) -> None:
    pty = pytest.importorskip("pty")
    for arguments, drawn in (([], True), (["--quiet"], False)):
        parent, child = pty.openpty()
        code = f"from tfnorm.cli import main; main(['scan', 'train.parquet', *{arguments!r}])"
        with subprocess.Popen([sys.executable, "-c", code], stderr=child, stdout=subprocess.DEVNULL) as process:
            os.close(child)
            said = b""
            while True:
                try:
                    more = os.read(parent, 4096)
                except OSError:
                    break
                if not more:
                    break
                said += more
            assert process.wait(120) == 0
        os.close(parent)
        assert (b"rows/s" in said) == drawn, said


# Errors


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 1) -> str:
    assert run(*arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    if code == 1:
        assert err.startswith("tfnorm: error: ")
        assert err.count("\n") == 1
    return err


def test_errors_are_one_line_with_an_exit_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such file" in refused(capsys, "fit", "nothing.parquet")
    assert 'Did you mean "age"?' in refused(capsys, "fit", "train.parquet", "--set", "agee=standard")
    assert "hold no numbers" in refused(capsys, "fit", "train.parquet", "--set", "id=standard")
    assert "nope.json" in refused(capsys, "show", "nope.json")
    assert "no technique 'standrd'" in refused(capsys, "fit", "train.csv", "--set", "age=standrd", code=2)
    assert "COLUMN=TECHNIQUE" in refused(capsys, "fit", "train.csv", "--set", "age", code=2)
    assert "no technique" in refused(capsys, "fit", "train.csv", "-t", "standrd")
    refused(capsys, "fit", "train.csv", "--axis", "0", code=2)
    refused(capsys, "fit", "train.csv", "--policy", "infinte=missing", code=2)
    refused(capsys, "fit", "train.csv", "--unit", "s", "--unit", "a=s", code=2)
    refused(capsys, "transform", "norm.json", "train.csv", code=2)
    refused(capsys, "frobnicate", code=2)


def test_nothing_is_written_over_without_force(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("norm.json").write_text("precious")
    assert "--force" in refused(capsys, "fit", "train.parquet", "-o", "norm.json")
    assert Path("norm.json").read_text() == "precious"
    ok("fit", "train.parquet", "-o", "norm.json", "--force", "-q")
    Path("out.csv").write_text("precious")
    assert "--force" in refused(capsys, "transform", "norm.json", "train.csv", "-o", "out.csv")
    ok("transform", "norm.json", "train.csv", "-o", "out.csv", "--force", "-q")
    capsys.readouterr()
    for source in ("train.csv", "train.parquet"):
        assert "is an input" in refused(capsys, "transform", "norm.json", source, "-o", source, "--force")
    assert "lies in the folder" in refused(capsys, "transform", "norm.json", ".", "-o", "here", "--force")
    assert "is a folder" in refused(capsys, "fit", "train.parquet", "-o", ".")
    assert "cannot write" in refused(capsys, "fit", "train.parquet", "-o", "no/norm.json")
    assert "no folder" in refused(capsys, "transform", "norm.json", "train.csv", "-o", "no/out.csv")
    assert "ends in .parquet" in refused(capsys, "transform", "norm.json", "train.csv", "-o", "out.txt")


def test_a_closed_pipe_is_no_error(folder: Path) -> None:
    ok("scan", "train.parquet", "-o", "p.json", "-q")
    code = "import sys, time; from tfnorm.cli import main; time.sleep(1); sys.exit(main())"
    line = f"{sys.executable} -c '{code}' show p.json | true"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False, timeout=300)
    assert done.stderr == ""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_kill_clears_up(folder: Path) -> None:
    fitted_file()
    before = sorted(p.name for p in folder.iterdir())
    code = """
import os, signal, sys
from tfnorm import cli
from tfnorm.sources import parquet_copy
parquet_copy.Writer.write = lambda self, columns: os.kill(os.getpid(), signal.SIGTERM)
sys.exit(cli.main())
"""
    command = [sys.executable, "-c", code, "transform", "norm.json", "train.parquet", "-o", "out.parquet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (143, "")
    assert sorted(p.name for p in folder.iterdir()) == before


# Files out


def fitted_file(*extra: str) -> None:
    ok("fit", "train.parquet", "-t", "standard", *extra, "-o", "norm.json", "-q")


def test_parquet_to_parquet_keeps_all_else(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fitted_file()
    ok("transform", "norm.json", "train.parquet", "-o", "out.parquet")
    before, after = pq.read_table("train.parquet"), pq.read_table("out.parquet")
    assert after.column_names == before.column_names
    assert after["id"].equals(before["id"])
    assert after.schema.field("fare").type == pa.float32()
    assert after.schema.field("count").type == pa.float64()
    assert after["age"].null_count == 1
    assert after.equals(tfnorm.load("norm.json").transform(before).cast(after.schema))
    written = pq.ParquetFile("out.parquet").metadata
    assert written.num_row_groups == 2
    assert written.row_group(0).column(0).compression == "ZSTD"
    assert "next: tfnorm inverse norm.json out.parquet -o real.parquet" in capsys.readouterr().err
    ok("inverse", "norm.json", "out.parquet", "-o", "back.parquet", "--json")
    assert json.loads(capsys.readouterr().out) == {"output": "back.parquet", "files": 1, "rows": 4}
    back = pq.read_table("back.parquet")
    np.testing.assert_allclose(back["count"].to_numpy(), before["count"].to_numpy(), rtol=1e-12)


def test_csv_text_stays_as_it_was(folder: Path) -> None:
    fitted_file("--set", "count=identity")
    ok("transform", "norm.json", "train.csv", "-o", "out.csv.gz")
    lines = gzip.decompress(Path("out.csv.gz").read_bytes()).decode().splitlines()
    assert lines[0] == "id,age,fare,count"
    assert [line.rpartition(",")[2] for line in lines[1:]] == ["1", "2", "3", "4"]
    assert lines[1].startswith("007,")
    assert lines[2].startswith('"a,""b""",')
    assert lines[3].startswith(",,")
    assert lines[4].startswith("NA,")
    assert pc.read_csv("out.csv.gz").num_rows == 4


def test_csv_and_parquet_give_the_same_numbers(folder: Path) -> None:
    fitted_file()
    ok("transform", "norm.json", "train.csv", "-o", "a.parquet")
    ok("transform", "norm.json", "train.parquet", "-o", "b.csv")
    ok("transform", "norm.json", "train.csv", "-o", "c.tsv")
    a, b = pq.read_table("a.parquet"), pc.read_csv("b.csv")
    c = pc.read_csv("c.tsv", parse_options=pc.ParseOptions(delimiter="\t"))
    for name in ("age", "fare", "count"):
        np.testing.assert_allclose(b[name].to_numpy(), a[name].to_numpy(), rtol=1e-6)
        np.testing.assert_array_equal(c[name].to_numpy(), a[name].to_numpy())
    assert a["id"].to_pylist() == ["007", 'a,"b"', "", "NA"]


def test_a_column_that_turns_out_to_be_text_is_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_copy, "BLOCK_BYTES", 64)
    Path("late.csv").write_text("x,code,n\n" + "1,5,1\n" * 40 + "2.5,A7,\n")
    ok("fit", "late.csv", "--set", "x=standard", "-o", "norm.json", "-q")
    ok("transform", "norm.json", "late.csv", "-o", "late.parquet")
    out = pq.read_table("late.parquet")
    assert out["code"].to_pylist() == ["5"] * 40 + ["A7"]
    assert out["n"].to_pylist() == [1] * 40 + [None]
    Path("bad.csv").write_text("x,code\n" + "1,5\n" * 40 + "oops,6\n")
    assert run("transform", "norm.json", "bad.csv", "-o", "bad.parquet") == 1
    assert not Path("bad.parquet").exists()


def test_folders_and_globs_keep_their_names(folder: Path) -> None:
    fitted_file()
    Path("in/deep").mkdir(parents=True)
    Path("train.csv").rename("in/a.csv")
    Path("train.parquet").rename("in/deep/b.parquet")
    ok("transform", "norm.json", "in", "-o", "out")
    assert sorted(str(p.relative_to("out")) for p in Path("out").rglob("*.*")) == ["a.csv", "deep/b.parquet"]
    ok("transform", "norm.json", "in/**/*.parquet", "-o", "glob/")
    assert Path("glob/deep/b.parquet").exists()
    ok("transform", "norm.json", "in/a.csv", "-o", "out", "--force")
    assert run("transform", "norm.json", "in", "-o", "out") == 1
    ok("transform", "norm.json", "in", "-o", "out", "--force")
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


def test_missing_columns_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fitted_file()
    Path("some.csv").write_text("id,fare\n1,2\n")
    assert 'columns "age", "count"' in refused(capsys, "transform", "norm.json", "some.csv", "-o", "out.csv")
    ok("transform", "norm.json", "some.csv", "--only", "fare", "-o", "out.csv")
    ok("inverse", "norm.json", "out.csv", "-o", "back.csv")  # the way back takes what is there
    assert float(Path("back.csv").read_text().splitlines()[1].split(",")[1]) == pytest.approx(2)
    Path("none.csv").write_text("id\n1\n")
    capsys.readouterr()
    assert "not there" in refused(capsys, "inverse", "norm.json", "none.csv", "-o", "x.csv")


def test_what_has_no_way_back_is_told_before_reading(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(pa.table({"v": [[3.0, 4.0]], "x": [1.0]}), "v.parquet")
    ok("fit", "v.parquet", "--set", "v=l2", "--set", "x=standard", "-o", "norm.json", "-q")
    ok("transform", "norm.json", "v.parquet", "-o", "out.parquet", "-q")
    assert pq.read_table("out.parquet")["v"].to_pylist() == [pytest.approx([0.6, 0.8])]
    capsys.readouterr()
    assert "forgets its length" in refused(capsys, "inverse", "norm.json", "out.parquet", "-o", "back.parquet")
    ok("inverse", "norm.json", "out.parquet", "--only", "x", "-o", "back.parquet")
    capsys.readouterr()
    assert "holds no" in refused(capsys, "transform", "norm.json", "v.parquet", "-o", "v.csv")


def test_a_profile_is_no_fit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ok("scan", "train.csv", "-o", "p.json", "-q")
    assert "holds a profile" in refused(capsys, "transform", "p.json", "train.csv", "-o", "out.csv")


def test_pandas_reads_what_it_wrote(folder: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"n": pandas.array([1, 2, None], "Int64"), "s": ["a", "b", "c"]}, index=[5, 6, 7])
    frame.to_parquet("p.parquet")
    ok("fit", "p.parquet", "--set", "n=standard", "-o", "norm.json", "-q")
    ok("transform", "norm.json", "p.parquet", "-o", "out.parquet", "-q")
    out = pandas.read_parquet("out.parquet")
    assert out["n"].tolist()[:2] == [-1.0, 1.0]
    assert out.index.tolist() == [5, 6, 7]


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows(folder: Path, rows: int) -> None:
    fitted_file()
    pq.write_table(pq.read_table("train.parquet").slice(0, rows), "few.parquet")
    ok("transform", "norm.json", "few.parquet", "-o", "out.parquet")
    assert pq.read_table("out.parquet").num_rows == rows
    ok("transform", "norm.json", "few.parquet", "-o", "out.csv")
    assert Path("out.csv").read_text().splitlines()[0] == "id,age,fare,count"


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (OSError(errno.ENOSPC, "No space left on device"), 1)]
)
@pytest.mark.parametrize("target", ["out.parquet", "out.csv", "out/"])
def test_nothing_half_written_is_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, target: str
) -> None:
    fitted_file()
    Path("in").mkdir()
    for name in ("train.parquet", "train.csv"):
        Path(name).rename(f"in/{name}")
    Path("out.parquet").write_text("precious")
    before = sorted(str(p) for p in folder.rglob("*"))

    def fail(self: Any, columns: Any) -> None:
        raise error

    monkeypatch.setattr(parquet_copy.Writer, "write", fail)
    monkeypatch.setattr(csv_copy.Writer, "write", fail)
    source = "in" if target == "out/" else "in/train.parquet"
    assert run("transform", "norm.json", source, "-o", target, "--force") == code
    assert sorted(str(p) for p in folder.rglob("*")) == before
    assert Path("out.parquet").read_text() == "precious"
