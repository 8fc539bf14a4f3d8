"""TFRecord files: written by TensorFlow, read without it."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfnorm
from tfnorm.sources import open_source, records, tfrecord
from tfnorm.sources.stored import Ragged
from tfrecords import (
    EXAMPLES,
    ROWS,
    example,
    feature,
    field,
    framed,
    read,
    refused,
    varint,
    write,
)

RNG = np.random.default_rng(0)


# As TensorFlow writes them


@pytest.fixture(scope="module")
def by_tensorflow(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, dict[str, Any]]:
    tf = pytest.importorskip("tensorflow")
    n = 2500
    data: dict[str, Any] = {
        "scalar": RNG.normal(100, 3, n).astype(np.float32),
        "vector": RNG.normal(size=(n, 7)).astype(np.float32),
        "id": RNG.integers(-(2**63), 2**63, n),
        "whole": RNG.integers(0, 300, (n, 3)),
        "variable": [RNG.normal(size=RNG.integers(0, 9)).astype(np.float32) for _ in range(n)],
        "text": np.array([f"Zoë {i % 13}".encode() for i in range(n)], object),
    }

    def of(values: Any) -> Any:
        array = np.atleast_1d(values)
        if array.dtype.kind == "f":
            return tf.train.Feature(float_list=tf.train.FloatList(value=array))
        if array.dtype.kind == "i":
            return tf.train.Feature(int64_list=tf.train.Int64List(value=array))
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=array))

    folder = tmp_path_factory.mktemp("tensorflow")
    for kind in ("", "GZIP", "ZLIB"):
        with tf.io.TFRecordWriter(str(folder / f"{kind}.tfrecord"), kind) as writer:
            for i in range(n):
                parts = {name: of(values[i]) for name, values in data.items() if name != "scalar" or i % 10}
                writer.write(tf.train.Example(features=tf.train.Features(feature=parts)).SerializeToString())
    return tf, folder, data


@pytest.mark.parametrize("kind", ["", "GZIP", "ZLIB"])
def test_what_tensorflow_wrote(by_tensorflow: tuple[Any, Path, dict[str, Any]], kind: str) -> None:
    _, folder, data = by_tensorflow
    path = folder / f"{kind}.tfrecord"
    columns = {column.name: column for column in open_source(path).columns}
    assert list(columns) == sorted(data)  # maps are written in any order
    assert {name: (c.dtype, c.shape, c.layout) for name, c in columns.items()} == {
        "scalar": ("float32", (), "dense"),
        "vector": ("float32", (7,), "dense"),
        "id": ("int64", (), "dense"),
        "whole": ("int64", (3,), "dense"),
        "variable": ("float32", (None,), "ragged"),
        "text": ("string", (), "dense"),
    }
    scalar, vector, identity, whole, variable = read(path, "scalar", "vector", "id", "whole", "variable")
    absent = np.arange(len(scalar)) % 10 == 0
    np.testing.assert_array_equal(np.ma.getmaskarray(scalar), absent)
    np.testing.assert_array_equal(scalar.compressed(), data["scalar"][~absent])
    for got, name in ((vector, "vector"), (identity, "id"), (whole, "whole")):
        assert got.dtype == data[name].dtype
        np.testing.assert_array_equal(got, data[name])
    np.testing.assert_array_equal(variable.lengths, [len(row) for row in data["variable"]])
    np.testing.assert_array_equal(variable.values, np.concatenate(data["variable"]))
    (text,) = read(path, "text")
    assert text.tolist() == [one.decode() for one in data["text"]]


def test_statistics_are_those_of_the_arrays(by_tensorflow: tuple[Any, Path, dict[str, Any]]) -> None:
    _, folder, data = by_tensorflow
    absent = np.arange(len(data["id"])) % 10 == 0
    arrays = {
        "scalar": np.ma.MaskedArray(data["scalar"], absent),
        "vector": data["vector"],
        "id": data["id"],
        "variable": Ragged.of_rows(data["variable"]),
    }
    expected = tfnorm.scan(arrays)
    for kind in ("", "GZIP", "ZLIB"):
        found = tfnorm.scan(folder / f"{kind}.tfrecord", columns=list(arrays))
        for mine, theirs in zip(found.gatherings, expected.gatherings, strict=True):
            for name, value in vars(theirs.statistic).items():
                np.testing.assert_array_equal(getattr(mine.statistic, name), value, err_msg=f"{kind} {name}")


def test_sequence_examples(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    lengths = RNG.integers(0, 6, 300)
    series = [RNG.normal(size=(n, 2)).astype(np.float32) for n in lengths]
    codes = [RNG.integers(0, 9, n) for n in lengths]
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for i in range(len(lengths)):
            one = tf.train.SequenceExample()
            one.context.feature["length"].int64_list.value.append(lengths[i])
            for step, code in zip(series[i], codes[i], strict=True):
                one.feature_lists.feature_list["series"].feature.add().float_list.value.extend(step)
                one.feature_lists.feature_list["code"].feature.add().int64_list.value.append(code)
            writer.write(one.SerializeToString())
    source = open_source(tmp_path / "a.tfrecord")
    assert [(c.name, c.dtype, c.shape, c.layout) for c in source.columns] == [
        ("code", "int64", (None,), "ragged"),
        ("length", "int64", (), "dense"),
        ("series", "float32", (None, 2), "ragged"),
    ]
    code, length, found = read(source.name, "code", "length", "series")
    np.testing.assert_array_equal(length, lengths)
    np.testing.assert_array_equal(code.values, np.concatenate(codes))
    np.testing.assert_array_equal(found.values, np.concatenate(series))
    np.testing.assert_array_equal(found.lengths, lengths)
    fitted = tfnorm.fit(tmp_path / "a.tfrecord", {"series": "standard"})
    np.testing.assert_allclose(fitted.profile["series"].mean, np.concatenate(series).mean(axis=0), rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_encoding_means_what_protocol_buffers_say(data: st.DataObject) -> None:
    """Fields in any order, packed or not, unknown ones among them, names twice: against TensorFlow's own parser."""
    tf = pytest.importorskip("tensorflow")
    draw = data.draw
    noise = st.sampled_from(
        [b"", field(9, 7), field(8, b"noise"), varint(7 << 3 | 5) + b"abcd", varint(6 << 3 | 1) + bytes(8)]
    )

    def values(kind: str) -> bytes:
        out = b""
        for _ in range(draw(st.integers(0, 3))):
            many = draw(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3))
            if kind == "i":
                packed = draw(st.booleans())
                out += field(1, b"".join(map(varint, many))) if packed else b"".join(field(1, m) for m in many)
            else:
                floats = [struct.pack("<f", m % 1000) for m in many]
                out += (
                    field(1, b"".join(floats))
                    if draw(st.booleans())
                    else b"".join(varint(1 << 3 | 5) + f for f in floats)
                )
            out += draw(noise)
        return out

    def one() -> bytes:
        entries = []
        for name in draw(st.lists(st.sampled_from("abab"), max_size=4)):
            kind = "f" if name == "a" else "i"
            value = field(2, draw(noise) + field(2 if kind == "f" else 3, values(kind)) + draw(noise))
            parts = [field(1, name.encode()), value]  # with other fields, the oracle drops an entry
            entries.append(field(1, b"".join(draw(st.permutations(parts)))) + draw(noise))
        return draw(noise) + field(1, b"".join(entries)) + draw(noise)

    records_ = [example(a=np.float32([1, 2]), b=np.array([1, 2])), example(a=np.float32([1]), b=np.array([1]))]
    records_ += [one() for _ in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        a, b = read(write(Path(folder) / "a.tfrecord", records_), "a", "b")
    for i, record in enumerate(records_):
        parsed = tf.train.Example.FromString(record).features.feature
        for rows, name in ((a, "a"), (b, "b")):
            feature_ = parsed[name] if name in parsed else tf.train.Feature()
            expected = list(feature_.float_list.value if name == "a" else feature_.int64_list.value)
            assert rows[i : i + 1].values.tolist() == expected, (i, name)


# Finding and cutting


def test_names_of_several(tmp_path: Path) -> None:
    for number in range(3):
        part = EXAMPLES[number * 30 : (number + 1) * 30]
        write(tmp_path / "a" / f"data-{number:05}-of-00003", part)
        write(tmp_path / "b" / f"data.tfrecord-{number:05}-of-00003", part)
    for data in (tmp_path / "a", f"{tmp_path}/a/data-*", tmp_path / "b", f"{tmp_path}/b/*.tfrecord-*"):
        np.testing.assert_array_equal(read(data, "age")[0], ROWS["age"][:90])
    assert open_source(tmp_path / "a").notes == ()  # type: ignore[attr-defined]
    (tmp_path / "a" / "data-00001-of-00003").unlink()
    (note,) = open_source(tmp_path / "a").notes  # type: ignore[attr-defined]
    assert note.endswith("data-*-of-00003: 1 of 3 files is not there: " + f"{tmp_path}/a/data-00001-of-00003")
    for ending in ("tfrecords", "tfrec", "tfrecord.gz"):
        path = write(tmp_path / "c" / f"x.{ending}", EXAMPLES, gzip.compress if ending.endswith("gz") else bytes)
        np.testing.assert_array_equal(read(path, "n")[0], ROWS["n"])


def test_a_large_file_is_cut_and_gives_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = RNG.normal(size=(5000, 4)).astype(np.float32)
    path = write(tmp_path / "a.tfrecord", [example(x=row) for row in x])
    whole = tfnorm.scan(path)
    monkeypatch.setattr(tfrecord, "SHARD_BYTES", 1000)
    monkeypatch.setattr(tfrecord, "rows_per_shard", lambda columns: 1024)
    monkeypatch.setattr(records, "BLOCK_BYTES", 3000)
    shards = list(open_source(path).shards(["x"]))
    assert [shard.num_rows for shard in shards] == [1024] * 4 + [904]
    assert sum(shard.num_bytes for shard in shards) == path.stat().st_size  # type: ignore[attr-defined]
    np.testing.assert_array_equal(read(path, "x")[0], x)
    assert len({shard.fingerprint for shard in shards}) == 5
    assert tfnorm.scan(path, workers=3)["x"].mean == pytest.approx(whole["x"].mean)
    assert "records 1024 to 2047" in shards[1].name


def test_records_longer_than_a_block(tmp_path: Path) -> None:
    rows = [RNG.normal(size=1 << 17).astype(np.float32) for _ in range(5)]
    for packed in (bytes, gzip.compress):
        path = write(tmp_path / "a.tfrecord", [example(x=row) for row in rows], packed)
        np.testing.assert_array_equal(read(path, "x")[0], rows)


def test_gzip_files_of_several_streams(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord", EXAMPLES[:10], gzip.compress)
    path.write_bytes(path.read_bytes() + gzip.compress(b"".join(map(framed, EXAMPLES[10:20]))))
    np.testing.assert_array_equal(read(path, "n")[0], ROWS["n"][:20])


def test_the_command_line_loads_no_tensorflow(tmp_path: Path) -> None:
    write(tmp_path / "data-00000-of-00002", EXAMPLES[:50])
    write(tmp_path / "data-00001-of-00002", EXAMPLES[50:])
    script = (
        "import sys; from tfnorm.cli import main\n"
        "try: main()\n"
        "finally: print([m for m in ('tensorflow', 'keras', 'google.protobuf') if m in sys.modules], file=sys.stderr)"
    )
    arguments = ["fit", f"{tmp_path}/data-*", "-t", "standard", "-o", f"{tmp_path}/norm.json"]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().endswith("[]")
    assert tfnorm.load(tmp_path / "norm.json").profile["age"].mean == pytest.approx(ROWS["age"].mean())


def test_a_hundred_thousand_features(tmp_path: Path) -> None:
    names = [f"f{i}" for i in range(100_000)]
    record = b"".join(field(1, field(1, name.encode()) + field(2, feature(1.5))) for name in names)
    path = write(tmp_path / "a.tfrecord", [field(1, record)] * 2)
    (found,) = read(path, "f99999")
    assert found.tolist() == [1.5, 1.5]
    assert len(open_source(path).columns) == 100_000


# What is missing, and what is different


def test_missing_features_are_null(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.tfrecord",
        [example(x=1.0, v=[1.0, 2.0], r=[1.0]), example(y=2.0), example(x=np.float32([]), v=[3.0, 4.0], r=np.float32([])),
         example(r=[1.0, 2.0]), field(1, field(1, field(1, b"x")))],
    )  # fmt: skip
    x, v, r = read(path, "x", "v", "r")
    assert x.tolist() == [1.0, None, None, None, None]
    assert v.tolist() == [[1.0, 2.0], [None, None], [3.0, 4.0], [None, None], [None, None]]
    assert r.lengths.tolist() == [1, 0, 0, 2, 0]
    assert r.null.tolist() == [False, True, False, False, True]
    assert tfnorm.scan(path)["x"].count.null == 4


def test_a_feature_may_be_missing_in_other_files_only_if_it_may_in_the_first(tmp_path: Path) -> None:
    write(tmp_path / "a.tfrecord", [example(x=1.0, y=1.0), example(x=2.0)])
    write(tmp_path / "b.tfrecord", [example(x=3.0)])
    assert read(tmp_path, "y")[0].tolist() == [1.0, None, None]
    write(tmp_path / "c.tfrecord", [example(X=3.0)])
    message = refused(tmp_path, "x")
    assert 'c.tfrecord: column "x" is missing' in message
    assert 'Did you mean "X"?' in message


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"x": [1.0, 2.0]}, 'feature "x": expected 1 value as in the first records, got 2'),
        ({"x": 3}, 'feature "x": expected floats as in the first records, got int64'),
        ({"x": "three"}, 'feature "x": expected floats as in the first records, got text or bytes'),
        ({"v": [1.0]}, 'feature "v": expected 3 values as in the first records, got 1'),
        ({"r": [1, 2]}, 'feature "r": expected floats as in the first records, got int64'),
        ({"t": 1.0}, 'feature "t": expected text or bytes as in the first records, got floats'),
    ],
)
def test_a_later_record_that_differs(tmp_path: Path, other: dict[str, Any], said: str) -> None:
    usual: dict[str, Any] = {"x": 1.0, "v": [1.0, 2.0, 3.0], "r": [1.0], "t": "text"}
    first = [example(**usual), example(**{**usual, "r": [1.0, 2.0]})] * 600
    path = write(tmp_path / "a.tfrecord", [*first, example(**{**usual, **other}), *first])
    message = refused(path, *usual)
    position = sum(len(framed(one)) for one in first)
    assert f"a.tfrecord: record 1200 at byte {position}: {said}" in message
    read(path, *(name for name in usual if name not in other))  # the others are as they were


def test_hostile_names(tmp_path: Path) -> None:
    names = ["", "a\nb", "</script>", "=1+1", "\u202eabc", "e\u0301", "é", "a/b"]
    record = b"".join(field(1, field(1, name.encode()) + field(2, feature(1.0))) for name in names)
    path = write(tmp_path / "a.tfrecord", [field(1, record)])
    assert {column.name for column in open_source(path).columns} == set(names)
    assert all(array.tolist() == [1.0] for array in read(path, *names))
