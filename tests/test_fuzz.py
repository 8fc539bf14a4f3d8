"""Files that nobody wrote: each is an error that is meant, or data; never another error, a crash or a value made up.

A few seconds each, the same ones each time; TFNORM_FUZZ_SECONDS=60 goes on with others for so long.
"""

from __future__ import annotations

import csv as plain_csv
import hashlib
import io
import json
import math
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import tfnorm
from tfnorm import artefact
from tfnorm.errors import DataError, TfnormError
from tfnorm.sources import csv, open_source
from tfrecords import example, framed

SECONDS = float(os.environ.get("TFNORM_FUZZ_SECONDS", "0"))


def fuzz(files: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Try the first seed, and further ones until the time is over. What fails is shrunk and shown with its seed."""
    end, number = time.monotonic() + SECONDS, 0
    while number == 0 or time.monotonic() < end:

        @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @seed(number)
        @given(files)
        def run(data: Any) -> None:
            check(data)

        run()
        number += 1


def told(error: TfnormError, name: str = "") -> None:
    """An error for people: not endless, and of this file."""
    assert len(str(error)) < 2000
    assert name in str(error)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, tokens: tuple[bytes, ...] = ()) -> bytes:
    """A file with some bytes changed, taken out, put in or repeated."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 40))
        piece = draw(st.binary(max_size=12) | st.sampled_from((b"\0", b"\xff", *tokens)))
        how = draw(st.sampled_from(["change", "cut", "insert", "repeat", "flip"]))
        if how == "change":
            data[at : at + len(piece)] = piece
        elif how == "cut":
            del data[at : at + length]
        elif how == "insert":
            data[at:at] = piece
        elif how == "repeat":
            data[at:at] = data[at : at + length]
        elif data:
            data[at % len(data)] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


# Artefacts

RNG = np.random.default_rng(5)
FITTED = tfnorm.fit(
    {
        "a": RNG.normal(size=300),
        "b": RNG.exponential(size=300),
        "v": RNG.normal(size=(300, 2)),
        "k": RNG.integers(0, 3, 300),
    },
    {"a": "robust", "b": ["log1p", "minmax"], "v": "l2"},
)
SAVED = {value.__class__.__name__: artefact.dumps(value) for value in (FITTED, FITTED.profile)}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["nan", "inf", "Affine"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def forged(draw: st.DrawFn) -> bytes:
    """An artefact in which something is something else, with a checksum that fits."""
    whole = json.loads(draw(st.sampled_from(sorted(SAVED.values()))))
    for _ in range(draw(st.integers(1, 2))):
        at, key = whole, "content"
        while isinstance(at[key], dict | list) and at[key] and draw(st.integers(0, 5)):
            at = at[key]
            key = draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(min(4, len(at)))))
        at[key] = draw(JSON)
    canonical = json.dumps(whole["content"], sort_keys=True, separators=(",", ":"))
    whole["checksum"] = "sha256:" + hashlib.sha256(canonical.encode(errors="replace")).hexdigest()
    return json.dumps(whole).encode()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numbers that were made up may overflow
def test_artefacts() -> None:
    def check(data: bytes) -> None:
        try:
            value = artefact.loads(data)
        except tfnorm.ArtefactError as error:
            told(error)
            return
        assert artefact.loads(artefact.dumps(value)) == value
        repr(value)
        if isinstance(value, tfnorm.Fitted):
            given_ = {"a": [1.0, np.nan], "b": [0.5, 2.0], "v": [[1.0, 2.0]] * 2}
            z = value.transform({name: given_[name] for name in value if name in given_})
            assert all(len(one) == 2 for one in z.values())

    wholes = st.sampled_from(sorted(SAVED.values()))
    fuzz(
        forged() | wholes.flatmap(lambda whole: damaged(whole, (b'"', b"{", b"]", b"1e999", b"NaN"))) | st.binary(),
        check,
    )


# CSV

CELLS = st.sampled_from(
    [
        "1",
        "-2.5",
        "",
        "1e400",
        "nan",
        "NA",
        "0.1",
        "9" * 25,
        "x",
        '"a,b"',
        '"',
        '""',
        "1,5",
        "2020-01-02",
        "true",
        "\0",
        " 3",
    ]
)
TABLES = st.lists(st.lists(CELLS, min_size=1, max_size=4), min_size=1, max_size=12).map(
    lambda rows: "\n".join(",".join(row) for row in rows).encode()
)
NUMBERS = st.lists(
    st.lists(CELLS.filter(lambda text: text in ("1", "-2.5", "0.1", "nan", "9" * 25)), min_size=2, max_size=2)
)


def read_csv(data: bytes) -> dict[str, list[Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        path.write_bytes(data)
        source = open_source(path)
        names = [column.name for column in source.columns]
        batches = [batch for shard in source.shards(names) for batch in shard()]
        kinds = {column.name: column.kind for column in source.columns}
        return {
            name: [one for batch in batches for one in batch[name].tolist()]
            for name in names
            if kinds[name] == "number"
        }


@pytest.mark.parametrize("block", [64, 1 << 22])
def test_csv(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv, "BLOCK_BYTES", block)

    def check(data: bytes | list[list[str]]) -> None:
        text = "a,b\n" + "\n".join(map(",".join, data)) if isinstance(data, list) else None
        try:
            found = read_csv(data if isinstance(data, bytes) else (text or "").encode())
        except DataError as error:
            told(error, "a.csv")
            return
        lengths = {len(values) for values in found.values()}
        assert len(lengths) <= 1
        if text is not None:  # then every number is the one that Python's own reader sees
            rows = list(plain_csv.DictReader(io.StringIO(text)))
            for name, values in found.items():
                wanted = [float(row[name]) for row in rows]
                assert len(values) == len(wanted)
                assert all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(values, wanted, strict=True))

    good = b"a,b,c\n1,2.5,x\n2,,y\n" * 3
    fuzz(
        TABLES | NUMBERS | damaged(good, (b",", b"\n", b'"', b";", b"\r", b"\xef\xbb\xbf", b"\x1f\x8b")) | st.binary(),
        check,
    )


# TFRecord

EXAMPLES = [example(age=float(i), n=[i, -i], t=f"text {i}", r=[0.5] * (i % 3)) for i in range(6)]
PAYLOADS = st.lists(
    st.sampled_from(EXAMPLES) | st.sampled_from(EXAMPLES).flatmap(damaged) | st.binary(max_size=60), max_size=8
)
FRAMED = PAYLOADS.map(lambda payloads: b"".join(map(framed, payloads)))


def test_tfrecord() -> None:
    def check(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "a.tfrecord")
            path.write_bytes(data)
            try:
                source = open_source(path)
                names = [column.name for column in source.columns]
                lengths = [len(batch[name]) for shard in source.shards(names) for batch in shard() for name in names]
            except DataError as error:
                told(error, "a.tfrecord")
                return
            assert len(set(lengths)) == 1
            try:
                tfnorm.scan(path)
            except TfnormError as error:
                told(error)

    whole = b"".join(map(framed, EXAMPLES))
    fuzz(FRAMED | damaged(whole) | st.binary(), check)
