"""What data, disks and people who mean harm do to a tool, each with a file that is made here.

`TESTS` says where each fault is tested that is not tested below. Commands and Python meet the same files.
"""

from __future__ import annotations

import ast
import csv
import gzip
import struct
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tfnorm
from tfnorm import cli
from tfnorm.errors import TfnormError
from tfrecords import example, mark
from tfrecords import write as write_records

VALUES = np.random.default_rng(0).normal(size=1000)
ENDLESS = struct.pack("<Q", 1 << 60)


def parquet(change: Callable[[bytearray], bytes | bytearray] = bytes, **options: Any) -> Callable[[Path], Path]:
    """A file of one column "a", changed after it was written."""

    def make(folder: Path) -> Path:
        path = folder / "bad.parquet"
        pq.write_table(pa.table({"a": VALUES}), path, use_dictionary=False, write_page_checksum=True, **options)
        path.write_bytes(change(bytearray(path.read_bytes())))
        return path

    return make


def flipped(data: bytearray) -> bytearray:
    data[len(data) // 3] ^= 1
    return data


def zeroed(data: bytearray) -> bytearray:
    data[100:300] = bytes(200)
    return data


def two(first: Any, second: Any, suffix: str = "parquet") -> Callable[[Path], Path]:
    """A folder of two files, the second of which may be bad."""

    def make(folder: Path) -> Path:
        for name, table in (("a", first), ("bad", second)):
            if suffix == "parquet":
                pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), folder / f"{name}.parquet")
            else:
                (folder / f"{name}.csv").write_text(table)
        return folder

    return make


def content(name: str, data: str | bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
        return folder / name

    return make


def parquet_of(table: dict[str, Any]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        pq.write_table(pa.table(table), folder / "bad.parquet")
        return folder / "bad.parquet"

    return make


def records(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = write_records(folder / "bad.tfrecord", [example(a=float(i)) for i in range(20)])
        path.write_bytes(change(path.read_bytes()))
        return path

    return make


def link(folder: Path) -> Path:
    (folder / "bad.parquet").symlink_to(folder / "gone.parquet")
    return folder


A, ROWS = {"a": [1.0, 2.0]}, "a,b\n" + "1,2\n" * 3000
GOOD_GZIP = gzip.compress(ROWS.encode())
NESTED = {"a": [1.0], "bad": [{"x": 1}], "worse": [["text"]], "words": ["x"]}

# what is wrong, the file, and what the error says beside the name of the file
REFUSED: list[tuple[str, Callable[[Path], Path], str]] = [
    ("page with a flipped bit", parquet(flipped, compression="none"), "it cannot be read"),
    ("page with a flipped bit, zstd", parquet(flipped, compression="zstd"), "it cannot be read"),
    ("broken zstd page", parquet(zeroed, compression="zstd"), "it cannot be read"),
    ("Parquet cut short", parquet(lambda data: data[:-50]), "it cannot be read"),
    ("Parquet magic", parquet(lambda data: b"PARX" + data[4:-4] + b"PARX"), "it cannot be read"),
    ("empty Parquet", content("bad.parquet", b""), "it cannot be read"),
    ("text as Parquet", content("bad.parquet", ROWS), "it cannot be read"),
    ("Parquet without rows", parquet_of({"a": np.empty(0)}), "no rows"),
    ("TFRecord without records", content("bad.tfrecord", b""), "no rows"),
    ("CSV without rows", content("bad.csv", "a,b\n"), "no rows"),
    ("empty CSV", content("bad.csv", ""), "no rows"),
    ("missing column", two(A, {"b": [1.0]}), 'column "a" is missing'),
    ("missing column in CSV", two("a\n1\n", "b\n1\n", "csv"), 'column "a" is missing'),
    ("letter case", two(A, {"A": [1.0]}), 'Did you mean "A"'),
    ("letter case in CSV", two("a\n1\n", "A\n1\n", "csv"), 'Did you mean "A"'),
    ("text for numbers", two(A, {"a": ["x"]}), "expected numbers as in"),
    ("text for numbers in CSV", two("a\n1\n", "a\nx\n", "csv"), "expected numbers as in"),
    ("same name twice", two(A, pa.table([[1.0], [2.0]], ["a", "a"])), "more than one column"),
    ("same name twice in CSV", content("bad.csv", "a,a\n1,2\n"), "more than one column"),
    ("infinity", content("bad.csv", "a,b\n1,2\n1e400,3\n"), 'column "a": infinite value in row 3'),
    ("infinity in Parquet", two(A, {"a": [0.0, np.inf]}), "infinite value in row 1"),
    ("late text", content("bad.csv", "a,b\n" + "1,2\n" * 1_200_000 + "3,oops\n"), 'got "oops" (BAD, row 1200002)'),
    ("long row", content("bad.csv", ROWS + "1,2,3\n"), "row 3002: expected 2 values as in the header, got 3"),
    ("short row", content("bad.csv", ROWS + "1\n"), "row 3002: expected 2 values as in the header, got 1"),
    ("semicolons", content("bad.csv", "a;b\n1;2\n3;4\n"), "delimiter seems to be"),
    ("semicolons and decimal commas", content("bad.csv", "a;b\n1,5;2,5\n3,5;4,5\n"), "delimiter seems to be"),
    ("tabs and decimal commas", content("bad.csv", "a\tb\n1,5\t2\n3,5\t4\n"), "seems to be a tab"),
    ("UTF-16", content("bad.csv", ROWS.encode("utf-16")), "got UTF-16"),
    ("Latin-1", content("bad.csv", "a,é\n1,2\n".encode("latin-1")), "not UTF-8"),
    ("field of 20 MB", content("bad.csv", "a,b\n1,2\n3," + "9" * 20_000_000), "a row is longer than 4 MiB"),
    ("checksum of gzip", content("bad.csv.gz", GOOD_GZIP[:-8] + bytes(4) + GOOD_GZIP[-4:]), "it cannot be read"),
    ("payload of a record", records(lambda data: data[:20] + b"?" + data[21:]), "record 0 at byte 0"),
    ("length of a record", records(lambda data: b"?" + data[1:]), "record 0 at byte 0"),
    ("cut record", records(lambda data: data[:-5]), "record 19 at byte"),
    ("part of a header", records(lambda data: data + bytes(5)), "record 20 at byte"),
    ("length of 2^60", records(lambda data: data + ENDLESS + mark(ENDLESS)), "record 20 at byte"),
    ("broken link", link, "a link to a file that is not there"),
]


@pytest.mark.parametrize(("make", "said"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED])
def test_refused_and_named(
    make: Callable[[Path], Path], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path)
    bad = next(tmp_path.glob("bad.*"), tmp_path / "bad.parquet")
    said = said.replace("BAD", str(bad))
    with pytest.raises(TfnormError) as error:
        tfnorm.fit(path, "standard")
    assert said in str(error.value)
    assert bad.name in str(error.value)
    before = sorted(tmp_path.iterdir())
    assert cli.main(["fit", str(path), "-t", "standard", "-o", str(tmp_path / "norm.json")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.splitlines()[-1].startswith("tfnorm: error: ")
    assert len(err.splitlines()[-1]) < 1000
    assert sorted(tmp_path.iterdir()) == before


def lying(folder: Path) -> Path:
    """The footer says that the maximum is a million."""
    path = folder / "a.parquet"
    pq.write_table(pa.table({"a": np.arange(999.0)}), path)
    data = path.read_bytes()
    end = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    footer = data[end:].replace(struct.pack("<d", 998.0), struct.pack("<d", 1e6))
    path.write_bytes(data[:end] + footer)
    assert pq.read_metadata(path).row_group(0).column(0).statistics.max == 1e6
    return path


SMALL = pa.table({"b": [7], "a": pa.array([4.0], pa.float32()), "new": ["x"]})
DRIFTED = (pa.table({"a": [1, 2], "b": [1, 1]}), SMALL)
EVERY = pa.table(
    {
        "bool": [True, False],
        "half": pa.array(np.array([1, 3], "f2")),
        "byte": pa.array([1, 3], pa.int8()),
        "decimal": [Decimal("1.25"), Decimal("2.25")],
        "empty": pa.array([None, None], pa.float64()),
    }
)
INTEGERS = pa.table({"a": [2**53 + 1, 2**53 + 3], "u": pa.array([2**64 - 1, 2**64 - 3], pa.uint64())})


def unsaid(folder: Path) -> Path:
    """Records packed by gzip, of which the name says nothing."""
    path = write_records(folder / "a.tfrecord", [example(a=float(i)) for i in range(20)])
    path.write_bytes(gzip.compress(path.read_bytes()))
    return path


def table(value: pa.Table) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        pq.write_table(value, folder / "a.parquet")
        return folder

    return make


# what may mislead, the file, and mean and maximum of its columns
TAKEN: list[tuple[str, Callable[[Path], Path], dict[str, tuple[float, float]]]] = [
    ("lying footer", lying, {"a": (499.0, 998.0)}),
    ("order, width and new columns", two(*DRIFTED), {"a": (7 / 3, 4.0), "b": (3.0, 7.0)}),
    ("order in CSV", two("a,b\n1,1\n2,1\n", "b,a\n7,4.0\n", "csv"), {"a": (7 / 3, 4.0), "b": (3.0, 7.0)}),
    ("a file without rows", two(A, {"a": np.empty(0)}), {"a": (1.5, 2.0)}),
    ("null beside NaN", table(pa.table({"a": [1.0, None, np.nan, 2.0]})), {"a": (1.5, 2.0)}),
    ("a late fraction", content("a.csv", "a\n" + "1\n" * 200_000 + "0.5\n"), {"a": (200_000.5 / 200_001, 1.0)}),
    ("gzip unsaid", unsaid, {"a": (9.5, 19.0)}),
    ("other types", table(EVERY), {"bool": (0.5, 1.0), "half": (2.0, 3.0), "byte": (2.0, 3.0), "decimal": (1.75, 2.25)}),
]  # fmt: skip


@pytest.mark.parametrize(("make", "wanted"), [one[1:] for one in TAKEN], ids=[one[0] for one in TAKEN])
def test_right_though_it_may_mislead(
    make: Callable[[Path], Path], wanted: dict[str, tuple[float, float]], tmp_path: Path
) -> None:
    profile = tfnorm.scan(make(tmp_path))
    for name, (mean, maximum) in wanted.items():
        assert profile[name].mean == pytest.approx(mean, rel=1e-15)
        assert profile[name].maximum == maximum


def test_null_and_nan_are_counted_apart(tmp_path: Path) -> None:
    count = tfnorm.scan(table(pa.table({"a": [1.0, None, None, np.nan]}))(tmp_path))["a"].count
    assert (count.null, count.nan, count.finite) == (2, 1, 1)


def test_integers_beyond_float64_are_exact(tmp_path: Path) -> None:
    fitted = tfnorm.fit(table(INTEGERS)(tmp_path), "standard")
    assert [fitted.profile[name].std for name in ("a", "u")] == [1.0, 1.0]
    assert fitted.transform({"a": [2**53 + 1, 2**53 + 3]})["a"].tolist() == [-1.0, 1.0]
    assert fitted.transform({"u": np.array([2**64 - 1], np.uint64)})["u"].tolist() == [1.0]


def test_all_columns_that_are_no_numbers_are_told_at_once(tmp_path: Path) -> None:
    folder = table(pa.table({**NESTED, "when": [datetime(2020, 1, 2)]}))(tmp_path)
    with pytest.raises(TfnormError) as error:
        tfnorm.fit(folder, dict.fromkeys(["bad", "worse", "words", "when"], "standard"))
    assert all(f'"{name}"' in str(error.value) for name in ("bad", "worse", "words", "when"))
    assert "--unit when=s" in str(error.value)


@pytest.mark.parametrize("text", ["a;b\n1,5;2,5\n3,5;4,5\n", 'a,b\n"1,5","1,234"\n'])
def test_numbers_with_commas_are_seen(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    source = tfnorm.sources.open_source(tmp_path, delimiter=";" if ";" in text else None)
    with pytest.raises(TfnormError, match=r'Columns "a", "b" hold numbers with commas: write 1,5 as 1.5'):
        tfnorm.fit(source, "standard")
    with pytest.raises(TfnormError, match=r'"a" \(numbers with commas\)'):
        tfnorm.fit(source, {"a": "standard"})


def test_a_few_texts_among_numbers_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the first block they make a column one of text, which a technique for all numbers leaves out."""
    (tmp_path / "a.csv").write_text("a,b,id\n" + "1,2,007\n" * 3000 + "3,oops,A1\n" + "1,,\n" * 5)
    said = 'text, as "oops" in row 3002 is no number'
    with pytest.raises(TfnormError, match=rf'a.csv: columns that hold no numbers .*"b" \({said}\)'):
        tfnorm.fit(tmp_path / "a.csv", {"a": "standard", "b": "standard"})
    assert cli.main(["fit", str(tmp_path / "a.csv"), "-t", "standard"]) == 0
    assert f'left as they are: "b ({said})"' in capsys.readouterr().err
    (tmp_path / "0.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TfnormError, match=rf'"b": expected numbers as in .*, got {said}'):
        tfnorm.fit(tmp_path, "standard")


def test_infinities_are_missing_on_request(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n1e400\n3\n-inf\n")
    fitted = tfnorm.fit(tmp_path, "standard", infinite="missing")
    assert fitted.profile["a"].mean == 2.0
    assert fitted.profile["a"].count.infinite == 2


def test_a_technique_that_does_not_suit_names_the_column(tmp_path: Path) -> None:
    with pytest.raises(TfnormError, match=r'column "a": box_cox needs values above 0'):
        tfnorm.fit(table(pa.table({"a": [-1.0, 2.0]}))(tmp_path), "box_cox")


HOSTILE = ["", "a\nb", "e\u0301", "é", "=1+1", "@x", "</script><script>alert(1)</script>", "../../x", "a/b", "\u202eabc",
           "\x1b[31mred", "\tz", "a,b", '"', "x" * 300, "__proto__", "{{7*7}}"]  # fmt: skip


def test_hostile_names_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fitted, saved, shown, reported, written and brought back by the commands."""
    wide = pa.table([VALUES + i for i in range(len(HOSTILE))], HOSTILE)
    pq.write_table(wide, tmp_path / "a.parquet")
    monkeypatch.chdir(tmp_path)
    for arguments in (
        "fit a.parquet -t standard -o n.json",
        "show n.json",
        "show n.json --json",
        "scan a.parquet",
        "advise a.parquet -o plan.toml",
        "fit a.parquet --plan plan.toml -o planned.json",
        "check n.json a.parquet",
        "report n.json -o r.html",
        "transform n.json a.parquet -o z.csv",
        "inverse n.json z.csv -o back.parquet",
    ):
        assert cli.main(arguments.split()) == 0, arguments
        assert all(c.isprintable() or c == "\n" for text in capsys.readouterr() for c in text), arguments
    assert {path.name for path in tmp_path.iterdir()} == {
        *("a.parquet", "n.json", "plan.toml", "planned.json", "r.html", "z.csv", "back.parquet"),
    }
    assert list(tfnorm.load("n.json")) == list(tfnorm.load("planned.json")) == HOSTILE
    with Path("z.csv").open(newline="") as file:
        header = next(csv.reader(file))
    assert {"'=1+1", "'@x", "'\tz"} < set(header)
    assert not any(name.startswith(("=", "+", "-", "@", "\t", "\r")) for name in header)
    assert list(tfnorm.scan("z.csv")) == HOSTILE
    back = pq.read_table("back.parquet")
    assert back.column_names == HOSTILE
    for i in range(len(HOSTILE)):
        np.testing.assert_allclose(back.column(i), VALUES + i, rtol=1e-12)
    page = Path("r.html").read_text()
    assert "<script>alert" not in page
    assert not {"\u202e", "\x1b"} & set(page)


LACKING: dict[str, tuple[Any, Any]] = {
    "parquet": ({"a": [1.0, 2.0], "b": [1, 5], "v": [[1.0, 2.0]] * 2}, {"a": [4.0]}),
    "csv": ("a,b\n1,1\n2,5\n", "a\n4\n"),
}


@pytest.mark.parametrize("suffix", LACKING)
def test_columns_that_a_file_lacks_are_missing_on_request(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = two(*LACKING[suffix], suffix)(tmp_path)
    found = tfnorm.scan(folder, absent="missing")
    assert (found["a"].mean, found["b"].mean) == (pytest.approx(7 / 3), 3.0)
    assert (found["b"].count.null, found["b"].count.finite, found["b"].maximum) == (1, 2, 5)
    assert "v" not in found or found["v"].count.null.tolist() == [1, 1]
    assert tfnorm.scan(folder, absent="missing", checkpoint=tmp_path / "kept") == found
    assert tfnorm.scan(folder, absent="missing", checkpoint=tmp_path / "kept") == found
    out = str(tmp_path / "norm.json")
    assert cli.main(["fit", str(folder), "-t", "standard", "-o", out, "--absent", "missing"]) == 0
    assert f'bad.{suffix}: missing in all its rows: "b"' in capsys.readouterr().err
    fitted = tfnorm.fit(folder, "auto", absent="missing")
    assert fitted.profile["b"].count.null == tfnorm.load(out).profile["b"].count.null == 1
    assert tfnorm.fit(folder, {"b": "standard"}, absent="missing").profile["b"].count.null == 1
    with pytest.raises(TfnormError, match=r'bad.*column "b" is missing'):
        tfnorm.fit(folder, "standard", absent="missing", weight="b")
    for run in (tfnorm.scan, lambda data, **words: tfnorm.fit(data, "standard", **words)):
        with pytest.raises(TfnormError, match="absent='missing' is for files"):
            run({"x": [1.0, 2.0]}, absent="missing")
    with pytest.raises(TfnormError, match='absent must be "error" or "missing"'):
        tfnorm.scan(folder, absent="null")


def test_cells_of_csv_are_data_and_names_are_no_formulas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text and numbers stay as they are whatever they begin with: other programs read them, too."""
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("-x,'-y,-1,@who\n1,2,3,=1+1\n3,4,5,-\n2,0,1,+\n")
    assert list(tfnorm.scan("a.csv")) == ["-x", "-y", "-1"]
    assert cli.main(["fit", "a.csv", "--set", "-x=standard", "--set", "-y=standard", "-o", "n.json"]) == 0
    assert cli.main(["transform", "n.json", "a.csv", "-o", "z.csv"]) == 0
    lines = [line.split(",") for line in Path("z.csv").read_text().splitlines()]
    assert lines[0] == ["'-x", "'-y", "-1", "'@who"]
    assert [line[3] for line in lines[1:]] == ["=1+1", "-", "+"]
    assert lines[1][0].startswith("-1.2")
    Path("twice.csv").write_text("-x,'-x\n1,2\n")
    with pytest.raises(TfnormError, match="more than one column"):
        tfnorm.scan("twice.csv")
    Path("late.csv").write_text("'-x\n" + "1\n" * 2_200_000 + "2.5\noops\n")
    with pytest.raises(TfnormError, match=r'column "-x": expected numbers, got "oops" .*row 2200003'):
        tfnorm.scan("late.csv")


def test_hostile_names_of_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a\u202e\x1b[31m.parquet"
    path.write_bytes(b"PAR1")
    assert cli.main(["fit", str(path), "-t", "standard"]) == 1
    assert "a\\u202e\\x1b[31m.parquet: it cannot be read" in capsys.readouterr().err
    pq.write_table(pa.table(A), path)
    assert cli.main(["fit", str(path), "-t", "standard"]) == 0
    assert all(c.isprintable() or c == "\n" for text in capsys.readouterr() for c in text)


def test_nothing_that_could_run_code_is_imported() -> None:
    """No pickle, no archive that is extracted, no evaluation of text, no other process, no model loaded without its guard."""
    never = {"pickle", "marshal", "shelve", "joblib", "dill", "cloudpickle", "tarfile", "subprocess", "runpy", "code"}
    names = {"eval", "exec", "compile", "__import__"}
    attributes = {"extractall", "unpack_archive", "system", "popen", "enable_unsafe_deserialization"}
    for path in Path(tfnorm.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not never & {name.name.split(".")[0] for name in node.names}, path
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in never, path
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in names, path
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in attributes, (path, node.func.attr)
                guarded = any(word.arg == "safe_mode" and ast.unparse(word.value) == "True" for word in node.keywords)
                assert node.func.attr != "load_model" or guarded, path
            elif isinstance(node, ast.keyword):
                said = node.value.value if isinstance(node.value, ast.Constant) else None
                assert (node.arg, said) not in {("allow_pickle", True), ("safe_mode", False)}, path


# Where each fault is tested, that none is forgotten: file -> tests
TESTS = {
    "test_faults": (
        *("refused_and_named", "right_though_it_may_mislead", "null_and_nan_are_counted_apart"),
        *("integers_beyond_float64_are_exact", "all_columns_that_are_no_numbers_are_told_at_once"),
        *("a_few_texts_among_numbers_are_told", "numbers_with_commas_are_seen", "infinities_are_missing_on_request"),
        *("hostile_names_everywhere", "hostile_names_of_files", "nothing_that_could_run_code_is_imported"),
        *("cells_of_csv_are_data_and_names_are_no_formulas",),
        *("columns_that_a_file_lacks_are_missing_on_request",),
    ),
    "test_faults_system": (
        *("files_that_would_fill_memory", "out_of_memory_is_an_error_and_leaves_the_old_file"),
        *("ten_times_the_columns_take_ten_times_as_long", "a_device_that_is_full"),
        *("a_full_disk_leaves_the_old_file_and_no_rest", "eight_writers_and_readers_of_one_path"),
        *("the_same_bits_whatever_is_around", "no_path_and_no_address_in_an_artefact_is_followed"),
        *("code_in_the_config_of_our_layer_does_not_run", "requests_of_a_served_model"),
    ),
    "test_fuzz": ("artefacts", "csv", "tfrecord"),
    "test_sources_files": (
        *(
            "damaged_parquet",
            "files_without_rows",
            "order_of_columns_and_extra_ones_do_not_matter",
            "widths_may_differ",
        ),
        *("a_missing_column", "text_where_numbers_were", "twice_the_same_name", "every_type_of_parquet", "late_text"),
        *("integers_and_then_something_wider", "ragged_rows", "another_delimiter", "decimal_commas", "damaged_csv"),
        *("a_nul_makes_text", "latin_1_in_a_column", "damaged_gzip", "many_equal_rows_in_little_memory"),
        *("bounded_memory_of_csv", "a_file_that_changes", "no_permission", "a_link_to_nothing", "null_beside_nan"),
        *("folders_that_link_in_a_loop",),
    ),
    "test_sources_tfrecord": (
        *("a_later_record_that_differs", "missing_features_are_null", "a_hundred_thousand_features", "hostile_names"),
    ),
    "test_sources_tfrecord_faults": (
        *("truncated", "padded", "every_flipped_bit_is_noticed", "damaged_data_and_length", "other_files"),
        *("a_length_made_to_do_damage", "a_length_of_two_gigabytes_takes_no_memory", "compressed_files_cut_short"),
        *("a_bomb_is_read_in_bounded_memory", "files_without_records", "a_file_that_changes_while_it_is_read"),
    ),
    "test_sources_formats_each": (
        *("pickles_are_never_opened", "npy_headers_that_lie", "hdf5_reads_no_other_file", "hdf5_shapes_that_lie"),
        *("zarr_codecs_that_unpickle", "zarr_shapes_that_lie", "arrow_offsets_that_lead_outside"),
    ),
    "test_images": (
        *("broken_files_are_named", "bombs_are_refused_before_they_are_decoded", "sixteen_bits"),
        *("another_number_of_channels", "folders_of_any_size"),
    ),
    "test_checkpoint": (
        *("killed_at_any_moment_it_goes_on", "killed_among_images_it_goes_on", "two_at_once"),
        *("a_damaged_record_is_measured_again",),
        *("skipped_parts_are_named_and_the_rest_counts", "added_and_changed_files_alone_are_read"),
    ),
    "test_artefact": (
        *("heads", "altered_bytes", "missing_and_extra_keys", "anything_in_place_of_anything", "duplicate_keys"),
        *("numbers_that_json_has_not", "deep_nesting", "states_that_no_data_have", "maps_that_no_fit_has"),
        *("a_bomb_is_not_unpacked", "a_full_disk_leaves_the_old_file", "a_kill_leaves_a_whole_file"),
        *("many_writers_and_readers", "any_name_of_a_column", "what_is_no_artefact"),
    ),
    "test_engines": (
        *("a_foreign_state_costs_time_and_no_more", "delivered_twice_and_in_any_order_it_counts_once"),
        *("what_is_lost_is_asked_for_again", "a_worker_that_dies_or_hangs_is_replaced"),
        *("what_never_comes_is_an_error_that_names_the_part", "an_executor_without_workers_says_so"),
    ),
    "engines/test_dask": ("a_worker_is_killed_in_the_middle", "a_worker_that_hangs_costs_time"),
    "engines/test_ray": (
        *("a_worker_is_killed_in_the_middle", "a_worker_of_a_data_set_dies_or_hangs"),
        *("a_node_dies_in_the_middle",),
    ),
    "test_fit": ("one_error_lists_all_columns_that_hold_no_numbers", "infinities", "times_ask_for_a_unit"),
    "test_fit_same": ("the_same_bits_for_any_workers",),
    "test_layer": ("a_lone_tensor_of_a_hundred_thousand_columns", "five_thousand_columns_are_a_handful_of_nodes"),
    "test_layer_models": (
        *("a_fresh_process_loads_it_in_safe_mode", "a_config_that_is_none_is_refused", "hostile_names_save_and_load"),
        *("names_of_columns_never_become_names_of_ours", "a_bomb_in_a_config_is_not_unpacked"),
    ),
    "test_report": ("names_are_escaped_everywhere", "it_loads_nothing"),
    "test_report_browser": ("hostile_names_are_shown_and_do_nothing", "it_opens_without_a_request_or_an_error"),
}


@pytest.mark.parametrize("file", TESTS)
def test_no_test_of_a_fault_went_away(file: str) -> None:
    tree = ast.parse((Path(__file__).parent / f"{file}.py").read_text())
    there = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {f"test_{name}" for name in TESTS[file]} <= there
