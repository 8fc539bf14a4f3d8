"""Large CSV files, cut into parts: the same rows, numbers and errors as of the file read whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfnorm
from tfnorm.errors import DataError
from tfnorm.sources import columns, csv, csv_numbers, csv_parts, open_source

RNG = np.random.default_rng(0)
ROWS = 1 << 10  # of a part, here


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv, "FILE_BYTES", 0)
    monkeypatch.setattr(csv_parts, "SCAN_BYTES", 1 << 12)
    monkeypatch.setattr(csv, "BLOCK_BYTES", 1 << 14)
    monkeypatch.setattr(csv, "rows_per_shard", lambda _: ROWS)


def shards(path: Path, *names: str) -> list[Any]:
    return list(open_source(path).shards(names or [column.name for column in open_source(path).columns]))


def read(path: Path, name: str) -> np.ndarray:
    return np.ma.concatenate([batch[name] for shard in shards(path) for batch in shard()])  # type: ignore[no-untyped-call]


def whole(path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> np.ndarray:
    with monkeypatch.context() as patch:
        patch.setattr(csv, "FILE_BYTES", 1 << 40)
        assert len(shards(path)) == 1
        return read(path, name)


def lines_of(number: int) -> list[str]:
    return [f"{i},{x!r}" for i, x in enumerate(RNG.normal(size=number).tolist())]


@pytest.mark.parametrize("number", [1, 1023, 1024, 1025, 2048, 10_000])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_parts_are_of_so_many_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, end: str, last: bool
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes((end.join(["a,b", *lines_of(number)]) + end * last).encode())
    parts = shards(path)
    assert len(parts) == -(-number // ROWS)
    found = [sum(len(batch["a"]) for batch in part()) for part in parts]
    assert found[:-1] == [ROWS] * (len(parts) - 1)
    assert [part.num_rows for part in parts[:-1]] == found[:-1]
    assert sum(part.num_bytes for part in parts) == path.stat().st_size - len(f"a,b{end}")
    assert len({part.fingerprint for part in parts}) == len({part.name for part in parts}) == len(parts)
    np.testing.assert_array_equal(read(path, "a"), np.arange(number))
    np.testing.assert_array_equal(read(path, "b"), whole(path, monkeypatch, "b"))


@pytest.mark.parametrize(
    ("header", "odd", "cut"),
    [
        ('"a","b"', None, 5),  # as pyarrow writes it
        ("\ufeffa,b", None, 5),
        ('"a\nx",b', None, 1),
        ("a,b", '7,"8"', 3),
        ("a,b", '7,"of\ntwo\nlines"', 3),
        ("a,b", "", 3),
        ("a,b", "\r", 3),
        ("a,b", "7,8\r9,10", 3),
    ],
)
def test_what_makes_the_end_of_a_row_doubtful(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: str, odd: str | None, cut: int
) -> None:
    """From there the rest is one part."""
    rows = lines_of(5000)
    if odd is not None:
        rows = [row.replace(",", ",of text ") for row in rows] if "of" in odd else rows
        rows.insert(2500, odd)
    path = tmp_path / "a.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8", newline="")
    assert len(shards(path)) == cut
    for name in (column.name for column in open_source(path).columns):
        np.testing.assert_array_equal(read(path, name), whole(path, monkeypatch, name))


@pytest.mark.parametrize(
    "bad", ["x,1", "1,2,3", "1", "inf,x", "\xff,1", '"1,2'], ids=["text", "long", "short", "late", "bytes", "open"]
)
def test_errors_are_those_of_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    path = tmp_path / "a.csv"
    for at in (1200, 2500, 4999):
        rows = lines_of(5000)
        rows[at] = bad
        path.write_text("\n".join(["a,b", *rows]) + "\n", encoding="latin-1")
        said = []
        for size in (0, 1 << 40):
            monkeypatch.setattr(csv, "FILE_BYTES", size)
            with pytest.raises(DataError) as raised:
                read(path, "a")
            said.append(str(raised.value))
        assert said[0] == said[1]
        assert f"row {at + 2}" in said[0] or bad in ("\xff,1", '"1,2')


def test_rows_are_named_beyond_the_first_part(tmp_path: Path) -> None:
    rows = lines_of(5000)
    rows[3000] = "1,inf"
    (tmp_path / "a.csv").write_text("\n".join(["a,b", *rows]))
    with pytest.raises(DataError, match=r'column "b": infinite value in row 3002'):
        tfnorm.fit(tmp_path / "a.csv", "standard")


def test_the_same_bits_for_any_number_of_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And those of an array, where parts are of as many rows as are measured at once."""
    monkeypatch.undo()
    monkeypatch.setattr(csv, "FILE_BYTES", 0)
    x = RNG.normal(size=(1 << 18, 1))
    assert columns.rows_per_shard([columns.Column("a", "float64")]) > 1 << 18
    monkeypatch.setattr("tfnorm.sources.NARROW_ROWS", 1 << 14)
    monkeypatch.setattr("tfnorm.sources.SHARD_ROWS", 1 << 14)
    path = tmp_path / "a.csv"
    path.write_text("a\n" + "\n".join(map(repr, x[:, 0].tolist())))
    assert len(shards(path)) == 16
    wanted = tfnorm.scan({"a": x[:, 0]})["a"]
    for workers in (1, 2, 3):
        found = tfnorm.scan(path, workers=workers)["a"]
        for kind in ("count", "moments", "extremes", "quantiles"):
            for name in type(getattr(found, kind)).__match_args__:
                np.testing.assert_array_equal(getattr(getattr(found, kind), name), getattr(getattr(wanted, kind), name))


def test_where_lines_end() -> None:
    from tfnorm.kernels.lines import count_lines

    for length in (0, 1, 2, 1000, 32_768, 32_769, 70_000):
        text = np.full(length, 48, np.uint8)
        text[3::7] = 10
        assert count_lines(text, 48) == ((text == 10).sum(), False)
        for at in {0, 1, length // 2, length - 1} & set(range(length)):
            for odd, place in ((34, at), (13, at)):
                other = text.copy()
                other[place] = odd
                follows = other[place + 1] if place + 1 < length else 10  # at the end the next chunk says
                before = other[place - 1] if place else 48
                doubtful = odd == 34 or follows != 10 or before == 10
                assert count_lines(other, 48)[1] == doubtful
            assert count_lines(text, 13)[1] == (length > 0 and text[0] != 10)
            assert count_lines(text, 10)[1] == (length > 0 and text[0] in (10, 13))


def test_parts_are_about_as_large_as_they_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["a,b", *lines_of(5000)]))
    monkeypatch.setattr(csv_parts, "PART_BYTES", 1 << 14)
    parts = shards(path)
    assert all(1 << 13 < part.num_bytes <= 1 << 14 for part in parts[:-1])
    assert [part.num_rows for part in parts[:-1]] == [512] * 9
    np.testing.assert_array_equal(read(path, "a"), np.arange(5000))


# Plain numbers, which are read without pyarrow


def parsed(cells: list[str], *, whole: bool = False) -> tuple[bool, np.ndarray, np.ndarray]:
    from tfnorm.kernels.decimals import PADDING, powers, read_table

    data = "".join(f"{cell}\n" for cell in cells).encode()
    text = np.zeros(len(data) + PADDING, np.uint8)
    text[: len(data)] = np.frombuffer(data, np.uint8)
    bits, null = np.zeros((1, len(cells)), np.uint64), np.zeros((1, len(cells)), bool)
    row = read_table(text, len(data), ord(","), np.array([0]), np.array([whole]), powers(), bits, null, 0)
    return row == len(cells), bits[0], null[0]


def hard_numbers() -> Any:
    """Of every exponent, of many digits, denormal, halfway between two float64, and beyond both ends."""
    some = RNG.integers(0, 1 << 64, 20_000, dtype=np.uint64).view(np.float64)
    some = some[np.isfinite(some)]
    yield from map(repr, some.tolist())
    yield from (f"{x:.18e}" for x in some.tolist())
    yield from map(repr, RNG.normal(size=20_000).tolist())
    yield from map(repr, RNG.integers(0, 1 << 52, 5000, dtype=np.uint64).view(np.float64).tolist())
    digits, power = RNG.integers(1, 10**18, 20_000), RNG.integers(-360, 330, 20_000)
    yield from (
        f"{d // 10 ** int(cut)}e{p}" for d, p, cut in zip(digits, power, RNG.integers(0, 18, 20_000), strict=True)
    )
    for odd in RNG.integers(1 << 52, 1 << 53, 2000).tolist():
        yield from (f"{2 * odd + 1}", f"{2 * odd + 1}0e-1", f"{(2 * odd + 1) * 5}e-1", f"{4 * odd + 2}")
    yield from ("0", "-0", "0.0", "-0.0", "1e400", "-1e400", "1e-400", "5e-324", ".5", "5.", "1e+5", "1E5", "00012.5")
    yield from ("9007199254740993", "9007199254740992.5", "2.2250738585072011e-308", "2.2250738585072014e-308")
    yield from (
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
    )
    yield f"0.{'0' * 40}1234567890123456789"


def test_every_number_is_the_nearest() -> None:
    """As Python's own reading has it, which is exact."""
    cells = list(hard_numbers())
    plain, bits, null = parsed(cells)
    assert plain
    assert not null.any()
    np.testing.assert_array_equal(bits, np.array([float(cell) for cell in cells]).view(np.uint64))


def test_what_is_not_plain_is_left_to_pyarrow() -> None:
    odd = (
        "nan",
        "inf",
        "NA",
        "+1",
        ".",
        "-",
        "1e",
        "1e+",
        "1.2.3",
        "0x10",
        "12345678901234567890",
        '"1"',
        "1,2",
        "\0",
        "1-",
    )
    for cell in (*odd, "\u00e9", " 1", "1 ", "1\r2", "1e1000000"):
        assert not parsed(["1.5", cell])[0], cell
    for cell in ("1.0", "1e3", "1234567890123456789", "007", "-"):
        assert not parsed(["1", cell], whole=True)[0], cell
    plain, bits, null = parsed(["1", "", "-5", "-0", "-999999999999999999"], whole=True)
    assert plain
    assert bits.view(np.int64).tolist() == [1, 0, -5, 0, -999999999999999999]
    assert null.tolist() == [False, True, False, False, False]


@pytest.mark.parametrize("cell", ["0.5", "-1e3", "-0.0", "7.", "12345678901234567890", "007", "x"])
def test_fractions_that_come_late_among_whole_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str
) -> None:
    """As pyarrow is asked: that column becomes one of floats, and no other; what is no plain fraction is left to it."""
    rows = [[str(i), str(2**53 + 1 + i), "-0"] for i in range(4 * ROWS + 1)]
    rows[2 * ROWS + 5][2] = rows[3 * ROWS][0] = cell
    path = tmp_path / "a.csv"
    path.write_text("\n".join(map(",".join, [list("abc"), *rows])) + "\n")
    monkeypatch.setattr(csv, "HEAD_BYTES", 1 << 10)
    parts = shards(path)
    used = [part._numbers(dict(zip("abc", part.types, strict=True))) is not None for part in parts]
    assert used == [True, True, *([cell in ("0.5", "-1e3", "-0.0", "7.")] * 2), True]
    if cell == "x":
        with pytest.raises(DataError, match=rf'column "c": expected numbers, got "x" .*row {2 * ROWS + 7}'):
            list(parts[2]())
        return
    ours = [list(part()) for part in parts]
    monkeypatch.setattr(csv, "read_numbers", lambda *_: None)
    for several in zip(ours, [list(part()) for part in parts], strict=True):
        for name in "abc":
            a, b = (np.concatenate([batch[name] for batch in batches]) for batches in several)
            assert a.dtype == b.dtype
            assert a.tobytes() == b.tobytes()


def test_rows_longer_than_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = RNG.normal(size=(3 * ROWS, 3))
    path = tmp_path / "a.csv"
    path.write_text("\n".join([",".join("abc"), *(",".join(map(repr, row)) for row in x.tolist())]) + "\n")
    for size in (1, 60, 64, 1 << 12):
        monkeypatch.setattr(csv_numbers, "PIECE_BYTES", size)
        assert all(part._numbers(dict(zip("abc", part.types, strict=True))) is not None for part in shards(path))
        np.testing.assert_array_equal(read(path, "b"), x[:, 1])


def test_a_large_file_is_told_by_its_first_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they are numbers, and no longer than the head; else by as much as is parsed at once."""
    monkeypatch.setattr(csv, "HEAD_BYTES", 1 << 9)
    for first, late, expected in (
        ("1,2", "3,x", [("a", "number"), ("b", "number")]),
        ("1,", "3,4", [("a", "number"), ("b", "number")]),
        ("1,x", "3,4", [("a", "number"), ("b", "other")]),
        (f"1,{'2' * 600}", "3,4.5", [("a", "number"), ("b", "number")]),
    ):
        path = tmp_path / "a.csv"
        path.write_text("\n".join(["a,b", *[first] * 200, late]))
        assert [(column.name, column.kind) for column in open_source(path).columns] == expected, first
    monkeypatch.setattr(csv, "HEAD_BYTES", 1 << 14)
    path.write_text("\n".join(["a,b", *["1,2"] * 200, "3,x"]))
    assert [column.kind for column in open_source(path).columns] == ["number", "other"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_parts_of_plain_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delimiter: str, end: str) -> None:
    """The same arrays as pyarrow's: nulls, integers, columns of text between them, rows of odd values here and there."""
    rows = [
        [str(i), f"text {i}", repr(x), "" if i % 7 == 0 else str(-i), "", repr(x * 1e300)]
        for i, x in enumerate(RNG.normal(size=8000).tolist())
    ]
    rows[5000][2], rows[7000][3] = "nan", "NA"
    path = tmp_path / "a.csv"
    path.write_bytes(end.join(map(delimiter.join, [list("abcdef"), *rows])).encode())
    source = open_source(path, delimiter=delimiter)
    for names in ("a", "acdef", "cf", "fca", "b", "abc"):
        plain = list(source.shards(list(names)))
        assert len(plain) == 8
        used = [part._numbers(dict(zip(names, part.types, strict=True))) is not None for part in plain]
        assert sum(used) == (
            0 if "b" in names else 7 - ("c" in names) - ("d" in names)
        )  # the last part may be cut anywhere
        ours = [list(part()) for part in plain]
        with monkeypatch.context() as patch:
            patch.setattr(csv, "read_numbers", lambda *_: None)
            theirs = [list(part()) for part in plain]
        for several in zip(ours, theirs, strict=True):
            for name in names:
                a, b = (np.ma.concatenate([batch[name] for batch in batches]) for batches in several)  # type: ignore[no-untyped-call]
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(np.ma.getmaskarray(a), np.ma.getmaskarray(b))
                np.testing.assert_array_equal(np.ma.getdata(a), np.ma.getdata(b))
