"""Messages between processes: the same bits come back, and what is damaged or made up is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfnorm
from tfnorm.codec import encode, packed
from tfnorm.engines import folded
from tfnorm.errors import ArtefactError
from tfnorm.messages import head_of, opened, sealed
from tfnorm.quantiles import Quantiles
from tfnorm.states import State, read, written


@dataclass(frozen=True)
class Some:
    """Of every type."""

    counts: np.ndarray
    numbers: np.ndarray
    table: np.ndarray
    codes: np.ndarray = packed("uint64")  # noqa: RUF009  # it makes a field
    names: tuple[str, ...] = ("a\nb", "é")
    others: dict[str, str] = field(default_factory=lambda: {"array": "no"})


SOME = Some(
    np.arange(-2, 3), np.array([0.1, -0.0, np.nan, np.inf, 5e-324]), np.ones((2, 3)), np.array([2**64 - 1], np.uint64)
)


def test_every_array_comes_back_bit_for_bit() -> None:
    message = sealed(SOME, task=3)
    back = opened(Some, message)
    assert head_of(message)["task"] == 3
    for name in ("counts", "numbers", "table", "codes"):
        before, after = getattr(SOME, name), getattr(back, name)
        assert (before.dtype, before.shape, before.tobytes()) == (after.dtype, after.shape, after.tobytes())
        assert after.flags.writeable
        assert after.flags.owndata
    assert (back.names, back.others) == (SOME.names, SOME.others)


def same(a: Quantiles, b: Quantiles) -> bool:
    fields = ("ends", "keys", "levels", "counts")
    return all(
        getattr(a, name).tobytes() == getattr(b, name).tobytes() and getattr(a, name).dtype == getattr(b, name).dtype
        for name in fields
    )


@settings(deadline=None)  # the first call compiles
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=60),
    st.sampled_from(["none", "whole", "fractions", "huge"]),
    st.integers(1, 50),
)
def test_any_sketch_comes_back(values: list[float], weights: str, parts: int) -> None:
    rows = np.array(values)[:, None]
    random = np.random.default_rng(len(values))
    of = {
        "none": None,
        "whole": random.integers(1, 1000, len(rows)).astype(np.float64),
        "fractions": random.random(len(rows)),
        "huge": random.random(len(rows)) * 1e300,
    }[weights]
    sketch = Quantiles.join([Quantiles.of(rows, of), Quantiles.nothing(1), Quantiles.of(rows[::-1], of)])
    coarse = sketch.coarsened(float(parts), 4)
    for one in (sketch, coarse, coarse + sketch):
        assert not one.flaw()
        assert same(opened(Quantiles, sealed(one)), one)


def test_the_sum_of_many_blocks_takes_two_bytes_a_cell() -> None:
    random = np.random.default_rng(0)
    total = folded(lambda a, b: a + b, (Quantiles.of(random.normal(size=(20_000, 3))) for _ in range(8)))
    message = sealed(total)
    assert same(opened(Quantiles, message), total)
    assert len(message) < 2.1 * len(total.keys) + 500


def remade(message: bytes, change: Callable[[Any], Any]) -> bytes:
    """With a checksum that fits: what someone writes who means harm."""
    _, text, behind = message.split(b"\n", 2)
    body = json.dumps(change(json.loads(text))).encode() + b"\n" + behind[:-1]
    return json.dumps({"checksum": hashlib.sha256(body).hexdigest()}).encode() + b"\n" + body + b"\n"


@pytest.mark.parametrize(
    "array",
    [
        ["int64", [5], 1 << 40],
        ["int64", [5], -1],
        ["int64", [1 << 60], 0],
        ["int64", [-5], 0],
        ["int64", [5, 1, 1, 1], 0],
        ["int64", [], 0],
        ["object", [5], 0],
        ["int32", [5], 0],
        ["uint64", [5], 0],
        ["int64", [True], 0],
        ["int64", 5, 0],
        [["int64"], [5], 0],
        ["int64", [5]],
        [],
    ],
    ids=str,
)
def test_what_is_no_array_is_refused(array: list[Any]) -> None:
    message = remade(sealed(SOME), lambda value: {**value, "counts": {"array": array}})
    with pytest.raises(ArtefactError):
        opened(Some, message)


def test_any_damaged_byte_is_refused() -> None:
    message = sealed(SOME)
    first = message.index(b"\n")
    for place in range(first + 1, len(message) - 1):
        damaged = bytearray(message)
        damaged[place] ^= 1
        with pytest.raises(ArtefactError):
            opened(Some, bytes(damaged))
    for end in range(len(message)):
        with pytest.raises(ArtefactError):
            opened(Some, message[:end])


@settings(deadline=None)  # the first call compiles
@given(st.binary(max_size=80), st.lists(st.integers(-3, 200), max_size=4))
def test_bytes_that_are_no_cells_are_refused_or_a_sketch_that_is_checked(code: bytes, ends: list[int]) -> None:
    arrays = {"ends": np.array(ends, np.int64), "code": np.frombuffer(code, np.uint8).copy()}
    try:
        sketch = Quantiles.of_compact(arrays)
    except ArtefactError:
        return
    assert sketch.ends.tolist() == ends
    if not sketch.flaw():
        assert same(opened(Quantiles, sealed(sketch)), sketch)


def test_a_changed_code_never_gives_another_error() -> None:
    random = np.random.default_rng(1)
    arrays = Quantiles.of(random.normal(size=(6000, 2))).compact()
    for change in range(2000):
        code = arrays["code"].copy()
        code[random.integers(0, 40 if change % 2 else len(code))] = random.integers(0, 256)
        code = code[: random.integers(1, len(code) + 1)] if change % 5 == 0 else code
        try:
            Quantiles.of_compact({**arrays, "code": code}).flaw()
        except ArtefactError:
            continue


@pytest.mark.parametrize(
    "arrays", [{}, {"ends": 1}, {"ends": 1, "code": 1, "more": 1}, {"ends": 2, "code": 1}], ids=str
)
def test_other_arrays_are_no_sketch(arrays: dict[str, int]) -> None:
    with pytest.raises(ArtefactError, match="not those of its cells"):
        Quantiles.of_compact({name: np.zeros(2, np.uint8 if kind == 2 else np.int64) for name, kind in arrays.items()})


def test_what_an_older_version_wrote_is_read() -> None:
    from tfnorm.fitting import planned
    from tfnorm.measuring import Measure
    from tfnorm.sources import open_source

    data = {"a": np.random.default_rng(0).normal(size=500), "b": np.arange(500)}
    _, _, _, wants = planned(open_source(data), "robust", -1, None)
    measure = Measure(tuple(wants), frozenset(), 1000, None)
    measured = measure.of(data, "", 0)
    state = json.dumps(encode(State.of(measured)), allow_nan=False)
    head = {"task": 0, "checksum": hashlib.sha256(state.encode()).hexdigest()}
    old = f"{json.dumps(head)}\n{state}\n".encode()
    assert written(read(old, measure.nothing())) == written(measured)
    assert tfnorm.fit(data, "robust").fingerprint  # the same columns
