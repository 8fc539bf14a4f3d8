"""Keys of every type: sorted, united, found, refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tfnorm
from tfnorm import keys as keys_module
from tfnorm.codec import decode, encode
from tfnorm.errors import DataError
from tfnorm.keys import Keys


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([3, -1, 3, 2**62]), [-1, 3, 2**62]),
        (np.array([3, 1, 3], np.uint8), [1, 3]),
        (np.array([True, False]), [0, 1]),
        (np.array([2.0, np.nan, 1.0]), [None, 1, 2]),
        (np.ma.MaskedArray([5, 6, 7], [False, True, False]), [None, 5, 7]),
        (np.array(["b", "a", None], object), [None, "a", "b"]),
        (np.array(["b", "a", np.nan], object), [None, "a", "b"]),
        (np.array(["b", "a"]), ["a", "b"]),
        (np.array([b"b", b"\xc3\xa9"]), ["b", "é"]),
        (np.array([3, None, 1], object), [None, 1, 3]),
        (np.array([None, None], object), [None]),
        (pa.array(["z", "y", None, "z"]).dictionary_encode(), [None, "y", "z"]),
        (pa.DictionaryArray.from_arrays(pa.array([1, 0, 1]), pa.array(["x", "x", "unused"])), ["x"]),
        (["b", "a", None], [None, "a", "b"]),
        (np.array([10**15, -(10**15), 0]), [-(10**15), 0, 10**15]),
    ],
)
def test_keys_of_every_type(values: Any, expected: list[Any]) -> None:
    keys, groups = Keys.of({"k": values})
    assert [key[0] for key in keys] == expected
    assert keys.flaw() == ""
    plain = (
        values.to_pylist() if isinstance(values, pa.Array) else values.tolist() if hasattr(values, "tolist") else values
    )
    plain = [None if value is None or str(value) == "nan" else value for value in plain]
    plain = [value.decode() if isinstance(value, bytes) else value for value in plain]
    assert [expected[group] for group in groups] == plain
    assert keys.find({"k": values}).tolist() == groups.tolist()
    again = decode(Keys, json.loads(json.dumps(encode(keys))))
    assert again == keys
    assert list(again) == list(keys)


@pytest.mark.parametrize(
    "pool",
    [
        ["b", "a", "é", ""],
        ["x" * 12, "x" * 13, "x" * 14, "y" * 40, None],
        [None],
        ["a", "b", None, "zz"],  # some of what came before, and more
        ["b", "a"],  # less than came before
        [f"{i:05d}" for i in range(5000)],
        [f"of more than twelve bytes {i:05d}" for i in range(5000)],
    ],
)
@pytest.mark.parametrize("num_rows", [0, 1, 5, 3000, 40_000])
def test_texts_have_the_same_keys_in_every_layout(pool: list[str | None], num_rows: int) -> None:
    drawn = [pool[i] for i in np.random.default_rng(num_rows).integers(0, len(pool), num_rows)]
    for start in (0, 2):
        texts = drawn[start:]
        for layout in (pa.string_view(), pa.string(), pa.large_string()):
            array = pa.array(drawn, layout).slice(start)
            keys, groups = Keys.of({"k": array})
            wanted = sorted(set(texts), key=lambda text: (text is not None, text))
            assert [key[0] for key in keys] == wanted
            assert [wanted[group] for group in groups] == texts
            assert keys.find({"k": array}).tolist() == groups.tolist()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([1.0, 2.5]), "whole numbers of 64 bits, got 2.5 in row 8"),
        (np.array([np.inf]), "got inf in row 7"),
        (np.array([2**64 - 1], np.uint64), "got 18446744073709551615 in row 7"),
        (np.array(["a", 1], object), "something else from row 7 on"),
        (np.array(["\ud800"], object), "something else from row 7 on"),
        (np.array(["2020-01-01"], "datetime64[D]"), "got datetime64"),
        (np.array([1 + 2j]), "got complex128"),
        (np.zeros((3, 2)), "one key a row"),
    ],
)
def test_what_is_no_key(values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        Keys.of({"store": values}, "day.csv", 7)
    assert "'store'" in str(error.value)


def test_keys_of_several_columns_are_sorted_and_united() -> None:
    a = {"store": np.array(["b", "a", "b"], object), "day": np.array([1, 2, 1])}
    b = {"store": np.array([None, "c", "b"], object), "day": np.array([5, 2, 0])}
    (first, _), (second, _) = Keys.of(a), Keys.of(b)
    both, mine, theirs = first.united(second)
    expected = [("a", 2), ("b", 0), ("b", 1), ("c", 2)]
    assert list(both) == [(None, 5), *expected]
    assert [both[i] for i in mine] == list(first)
    assert [both[i] for i in theirs] == list(second)
    assert both == second.united(first)[0]
    assert both.find({"store": ["c", "c", "zz", None], "day": [2, 5, 2, 5]}).tolist() == [4, 5, 5, 0]
    with pytest.raises(DataError, match="holds text in one part and whole numbers in another"):
        first.united(Keys.of({"store": np.array([1]), "day": np.array([1])})[0])
    with pytest.raises(DataError, match="the fit saw text, and here are whole numbers"):
        first.find({"store": [1], "day": [1]})


def test_too_many_keys_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "MAX_KEYS", 1000)
    rows = 2000
    data = {"customer": np.arange(rows), "price": np.ones(rows)}
    with pytest.raises(DataError, match=r"by 'customer': 2,000 different keys so far.*identifier"):
        tfnorm.fit(data, {"price": "standard.by('customer')"})
    one, two = Keys.of({"customer": np.arange(600)})[0], Keys.of({"customer": np.arange(500, 1200)})[0]
    with pytest.raises(DataError, match="1,200 different keys"):
        one.united(two)
