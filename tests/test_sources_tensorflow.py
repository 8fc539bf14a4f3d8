"""Datasets and tensors of TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfnorm.errors import DataError
from tfnorm.sources import BARE, WEIGHT, open_source

tf = pytest.importorskip("tensorflow")

X = np.arange(24, dtype=np.float32).reshape(8, 3)
Y = np.arange(8)
W = np.linspace(0.5, 4, 8)


def dataset(*arrays: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0])


def read(data: Any, *columns: str, **options: Any) -> dict[str, np.ndarray]:
    source = open_source(data, **options)
    (shard,) = source.shards(columns or (BARE,))
    (batch,) = shard()
    return dict(batch)


def test_every_kind_of_dataset() -> None:
    for data in (
        dataset(X).batch(3),
        dataset(X, Y).batch(3),
        dataset(X, Y, W).batch(3),
        dataset(X).batch(4, drop_remainder=True),
        dataset(X, Y),  # single examples: the label is a scalar
        tf.data.Dataset.from_tensors(X),
        tf.data.Dataset.from_generator(lambda: iter([X[:5], X[5:]]), output_types=tf.float32),
    ):
        source = open_source(data)
        assert source.bare
        assert source.repeatable
        assert [(column.dtype, column.shape) for column in source.columns] == [("float32", (3,))]
        for _ in range(2):
            (shard,) = source.shards([BARE])
            np.testing.assert_array_equal(next(iter(shard()))[BARE], X)


@pytest.mark.parametrize("size", [None, 3])
def test_datasets_of_dicts(size: int | None) -> None:
    data = dataset({"a": X, "b": Y, "s": np.array(["x"] * 8)}, Y)
    data = data if size is None else data.batch(size)
    source = open_source(data)
    assert [(column.name, column.kind, column.shape) for column in source.columns] == [
        ("a", "number", (3,)),
        ("b", "number", ()),
        ("s", "other", ()),
    ]
    got = read(data, "b", "a")
    np.testing.assert_array_equal(got["a"], X)
    np.testing.assert_array_equal(got["b"], Y)


def test_weights() -> None:
    np.testing.assert_array_equal(read(dataset(X, Y, W).batch(3), weight=True)[WEIGHT], W)
    np.testing.assert_array_equal(read(dataset({"a": X, "w": W}).batch(3), "a", weight="w")["w"], W)
    with pytest.raises(DataError, match="expects \\(x, y, weight\\)"):
        open_source(dataset(X, Y).batch(3), weight=True)


def test_bfloat16_is_delivered_as_float32() -> None:
    for data in (tf.cast(X, tf.bfloat16), dataset(tf.cast(X, tf.bfloat16)).batch(3)):
        assert open_source(data).columns[0].dtype == "float32"
        got = read(data)[BARE]
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, X)


def test_tensors() -> None:
    for data in (tf.constant(X), tf.Variable(X)):
        np.testing.assert_array_equal(read(data)[BARE], X)
    np.testing.assert_array_equal(read({"a": tf.constant(X), "b": Y}, "a")["a"], X)
    np.testing.assert_array_equal(read(iter([tf.constant(X)]))[BARE], X)


def test_images_of_one_size_whose_spec_does_not_say_so() -> None:
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    spec = tf.TensorSpec((None, None, None, 3), tf.uint8)
    data = tf.data.Dataset.from_generator(lambda: iter([images]), output_signature=spec)
    assert open_source(data).columns[0].shape == (4, 4, 3)
    np.testing.assert_array_equal(read(data)[BARE], images)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: dataset(X).repeat(), "never ends.*take"),
        (
            lambda: dataset(X).batch(2).map(lambda x: {"a": tf.data.Dataset.from_tensors(x)}),
            "expected tensors, got Dataset",
        ),
        (lambda: tf.sparse.from_dense(X.reshape(2, 4, 3)), "sparse tensor \\(n, d\\), got shape \\(2, 4, 3\\)"),
        (lambda: dataset(X).batch(2).take(0), "no rows"),
        (lambda: dataset(X).batch(2).map(lambda x: tf.debugging.check_numerics(x / 0.0, "bad")), "reading it failed"),
    ],
)
def test_faults(make: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        list(open_source(make()).shards([BARE]))


def test_the_sequence_of_keras() -> None:
    import keras

    class Halves(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            return X[4 * index : 4 * index + 4], Y[4 * index : 4 * index + 4]

    source = open_source(Halves())
    assert source.repeatable
    np.testing.assert_array_equal(read(Halves())[BARE], X)
