"""Batches that come one after another, and datasets of TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tfnorm.errors import DataError
from tfnorm.sources import BARE, WEIGHT, Column, open_source
from tfnorm.sources.columns import rows_per_shard
from tfnorm.sources.streams import cut

X = np.arange(24, dtype=np.float32).reshape(8, 3)
Y = np.arange(8)
W = np.linspace(0.5, 4, 8)


def read(data: Any, *columns: str, **options: Any) -> dict[str, np.ndarray]:
    source = open_source(data, **options)
    names = columns or (BARE,)
    batches = [batch for shard in source.shards(names) for batch in shard()]
    return {name: np.ma.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def in_batches(*arrays: np.ndarray, size: int = 3) -> Iterator[tuple[np.ndarray, ...]]:
    for start in range(0, 8, size):
        yield tuple(array[start : start + size] for array in arrays)


# Cutting


@pytest.mark.parametrize("sizes", [[1] * 20, [20], [7, 13], [3, 0, 9, 8], [4, 4, 4, 8], [16, 1, 3]])
@pytest.mark.parametrize("lasting", [False, True])
def test_batches_are_cut_anew(sizes: list[int], lasting: bool) -> None:
    rows = np.arange(40.0).reshape(20, 2)
    edges = np.cumsum([0, *sizes])
    batches = [{"a": rows[start:stop]} for start, stop in pairwise(edges)]
    got = list(cut(batches, 8, lasting=lasting))
    assert [len(batch["a"]) for batch in got] == [8, 8, 4]
    np.testing.assert_array_equal(np.concatenate([batch["a"] for batch in got]), rows)
    if lasting and sizes == [20]:
        assert np.shares_memory(got[0]["a"], rows)


def test_a_batch_that_is_written_over() -> None:
    def overwriting() -> Iterator[np.ndarray]:
        batch = np.empty((rows_per_shard([Column(BARE, "float64")]), 1))
        for number in range(3):
            batch[:] = number
            yield batch

    shards = list(open_source(overwriting()).shards([BARE]))
    assert [next(iter(shard()))[BARE][0, 0] for shard in shards] == [0, 1, 2]


def test_masks_and_wider_types_may_come_late() -> None:
    batches = [np.array([1, 2]), np.ma.MaskedArray([3, 4], [False, True]), np.array([0.5])]
    got = read(iter(batches))[BARE]
    assert got.dtype == np.float64
    assert got.tolist() == [1, 2, 3, None, 0.5]


# What a batch may be


def test_every_kind_of_batch() -> None:
    for batches in (
        (x for (x,) in in_batches(X)),
        (x.tolist() for (x,) in in_batches(X)),
        in_batches(X),
        in_batches(X, Y),
        in_batches(X, Y, W),
        list(in_batches(X, Y)),
        lambda: in_batches(X, Y),
        lambda: [X[:5], X[5:]],
    ):
        source = open_source(batches)
        assert source.bare
        assert source.weight is None
        assert source.num_rows is None
        (shard,) = source.shards([BARE])
        np.testing.assert_array_equal(next(iter(shard()))[BARE], X)
    got = read(({"a": x, "b": y} for x, y in in_batches(X, Y)), "b")
    assert list(got) == ["b"]
    np.testing.assert_array_equal(got["b"], Y)


def test_weights() -> None:
    np.testing.assert_array_equal(read(in_batches(X, Y, W), weight=True)[WEIGHT], W)
    np.testing.assert_array_equal(read(in_batches(X, Y, W[:, None]), weight=True)[WEIGHT], W)
    named = (({"a": x, "w": w}, y) for x, y, w in in_batches(X, Y, W))
    np.testing.assert_array_equal(read(named, "a", weight="w")["w"], W)
    with pytest.raises(DataError, match="expects \\(x, y, weight\\)"):
        open_source(in_batches(X, Y), weight=True)
    with pytest.raises(DataError, match="batch 1: expected 3 weights"):
        read(iter([(X[:3], Y[:3], W[:3]), (X[:3], Y[:3], W[:2])]), weight=True)
    with pytest.raises(DataError, match="expected True"):
        open_source(in_batches(X, Y, W), weight=W)


# Reading again


def test_a_generator_can_be_read_once() -> None:
    source = open_source(in_batches(X))
    assert not source.repeatable
    list(source.shards([BARE]))
    with pytest.raises(DataError, match=r"cannot be read twice.*function"):
        list(source.shards([BARE]))


def test_a_function_can_be_read_again() -> None:
    source = open_source(lambda: in_batches(X))
    assert source.repeatable
    for _ in range(2):
        assert sum(shard.num_rows or 0 for shard in source.shards([BARE])) == 8
    batches = in_batches(X)
    with pytest.raises(DataError, match="same iterator twice"):
        list(open_source(lambda: batches).shards([BARE]))


# Faults


def read_first_column(data: Any) -> None:
    source = open_source(data)
    list(source.shards([source.columns[0].name]))


@pytest.mark.parametrize(
    ("batches", "said"),
    [
        ([], "no batches"),
        ([np.zeros((0, 3))], "no rows"),
        ([3.0, 4.0], "batch 0.*single value"),
        ([X, X[0, 0]], "batch 1.*single value"),
        ([X, X[:, :2]], r"batch 1.*\(3,\) as in batch 0, got \(2,\)"),
        ([X, X[:, 0]], "batch 1"),
        ([X, X.astype(str)], "batch 1.*expected numbers as in batch 0, got string"),
        ([{"a": Y}, {"b": Y}], 'batch 1: columns "a" are missing; it has "b"'),
        ([{"a": Y}, Y], "batch 1: expected columns"),
        ([{"a": Y, "b": Y[:3]}], "batch 0: expected as many rows"),
        ([(X, Y, W, W)], "tuple of 4"),
        ([[[1, 2], [3]]], "batch 0"),
        ([{}], "no columns"),
    ],
)
def test_faults_name_the_batch(batches: list[Any], said: str) -> None:
    for data in (iter(batches), lambda: batches):
        with pytest.raises(DataError, match=said):
            read_first_column(data)


def test_a_fault_of_the_generator_itself_stays_what_it_is() -> None:
    def broken() -> Iterator[np.ndarray]:
        yield X
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(open_source(broken()).shards([BARE]))


def test_a_function_that_returns_no_batches() -> None:
    with pytest.raises(DataError, match="expected that it returns batches, got int"):
        open_source(lambda: 3)
