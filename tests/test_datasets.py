"""`fitted.dataset`: every structure, batched or not, gives what the layer and NumPy give, in the order of the data."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfnorm
from tfnorm.errors import ChoiceError, DataError

ROWS = 2500  # more than are batched at once
RANDOM = np.random.default_rng(5)
TABLE = {
    "age": RANDOM.normal(40, 10, ROWS).astype("float32"),
    "fare": RANDOM.lognormal(3, 1, ROWS).astype("float32"),
    "vector": RANDOM.normal(3, 2, (ROWS, 4)).astype("float32"),
    "time": 1_700_000_000 + RANDOM.integers(0, 100_000, ROWS),
    "price": RANDOM.normal(300, 50, ROWS).astype("float32"),
}
CHOICE = {"age": "standard", "fare": "log1p, standard", "vector": "robust", "time": "minmax", "price": "standard"}
FITTED = tfnorm.fit(TABLE, CHOICE)
INPUTS = ("age", "fare", "vector", "time")
X = {name: TABLE[name] for name in INPUTS} | {"name": np.array([f"n{i}" for i in range(ROWS)])}
Y, WEIGHT = TABLE["price"], RANDOM.uniform(size=ROWS).astype("float32")
EXACT = {name: FITTED[name].transform(TABLE[name].astype("float64")) for name in (*INPUTS, "price")}


def whole(dataset: tf.data.Dataset, *, batched: bool) -> Any:
    """All of a dataset's elements as arrays."""
    return tf.nest.map_structure(
        lambda *parts: np.concatenate(parts) if batched else np.stack(parts), *list(dataset.as_numpy_iterator())
    )


def near(got: np.ndarray, wanted: np.ndarray) -> None:
    assert got.dtype == "float32"
    np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("batch", [None, 1, 700])
@pytest.mark.parametrize("structure", ["x", "(x,)", "(x, y)", "(x, y, w)"])
def test_every_structure_batched_or_not(structure, batch):
    came: Any = {"x": X, "(x,)": (X,), "(x, y)": (X, Y), "(x, y, w)": (X, Y, WEIGHT)}[structure]
    raw = tf.data.Dataset.from_tensor_slices(came)
    raw = raw if batch is None else raw.batch(batch)
    mapped = FITTED.dataset(raw, target="price" if "y" in structure else None).prefetch(2)
    assert mapped.cardinality() == raw.cardinality()
    assert tf.nest.map_structure(lambda one: one.shape.as_list(), mapped.element_spec) == tf.nest.map_structure(
        lambda one: one.shape.as_list(), raw.element_spec
    )
    found = whole(mapped, batched=batch is not None)
    x, *rest = found if structure != "x" else (found,)
    for name in INPUTS:
        near(x[name], EXACT[name])
    assert x["name"][[0, 1999]].tolist() == [b"n0", b"n1999"]  # untouched, in order
    if rest:
        near(rest[0], EXACT["price"])
    if len(rest) > 1:
        np.testing.assert_array_equal(rest[1], WEIGHT)


def test_it_is_the_layer_and_the_same_to_the_bit_each_time():
    raw = tf.data.Dataset.from_tensor_slices({name: X[name] for name in INPUTS}).batch(100)
    layer = tfnorm.fit({name: TABLE[name] for name in INPUTS}, {name: CHOICE[name] for name in INPUTS}).layer()
    first, again = (whole(FITTED.dataset(raw, num_parallel_calls=calls), batched=True) for calls in (-1, 2))
    by_layer = layer({name: X[name] for name in INPUTS})
    for name in INPUTS:
        np.testing.assert_array_equal(first[name], again[name])
        np.testing.assert_allclose(first[name], by_layer[name], rtol=1e-6, atol=1e-6)


def test_targets_by_name_by_place_and_as_they_are():
    raw = tf.data.Dataset.from_tensor_slices((X, {"price": Y, "label": np.arange(ROWS)})).batch(500)
    _, y = whole(FITTED.dataset(raw), batched=True)
    near(y["price"], EXACT["price"])
    assert y["label"].dtype == "int64"
    _, y = whole(FITTED.dataset(raw, target={"label": "time"}), batched=True)
    np.testing.assert_array_equal(y["price"], Y)
    near(y["label"], FITTED["time"].transform(np.arange(ROWS, dtype="float64")))
    raw = tf.data.Dataset.from_tensor_slices((X, (np.arange(ROWS), Y))).batch(500)
    _, y = whole(FITTED.dataset(raw, target={1: tfnorm.fit({"p": Y}, "standard")}), batched=True)
    near(y[1], EXACT["price"])
    assert y[0][-1] == ROWS - 1
    raw = tf.data.Dataset.from_tensor_slices((X, np.arange(ROWS))).batch(500)
    assert whole(FITTED.dataset(raw), batched=True)[1].dtype == "int64"  # nobody said that it is a column


@pytest.mark.parametrize("batch", [None, 500])
def test_a_fit_of_arrays(batch):
    x, y = TABLE["vector"], Y
    fitted, target = tfnorm.fit(x, "standard"), tfnorm.fit(y, "minmax")
    raw = tf.data.Dataset.from_tensor_slices((x, y))
    raw = raw if batch is None else raw.batch(batch)
    got_x, got_y = whole(fitted.dataset(raw, target=target), batched=batch is not None)
    near(got_x, fitted.transform(x.astype("float64")))
    near(got_y, target.transform(y.astype("float64")))


def test_features_side_by_side():
    raw = tf.data.Dataset.from_tensor_slices((X, Y)).batch(500)
    x, _ = whole(FITTED.dataset(raw, concatenate=True), batched=True)
    near(x, np.concatenate([EXACT[name].reshape(ROWS, -1) for name in INPUTS], axis=1))


def test_images_rows_without_end_and_rows_of_unlike_length():
    images = RANDOM.integers(0, 255, (6, 8, 8, 3)).astype("uint8")
    fitted = tfnorm.fit(images, "standard")
    endless = tf.data.Dataset.from_tensor_slices((images, np.arange(6))).repeat()
    mapped = fitted.dataset(endless)
    assert mapped.cardinality() == tf.data.INFINITE_CARDINALITY
    got = list(mapped.take(7).as_numpy_iterator())
    near(np.stack([x for x, _ in got[:6]]), fitted.transform(images.astype("float64")))
    np.testing.assert_array_equal(got[6][0], got[0][0])

    def steps():
        for length in (2, 5, 0, 3):
            yield {"steps": np.arange(length, dtype="float32"), "id": np.array([length], "int64")[0]}

    spec = {"steps": tf.TensorSpec((None,), tf.float32), "id": tf.TensorSpec((), tf.int64)}
    unlike = tf.data.Dataset.from_generator(steps, output_signature=spec)
    seen = tf.RaggedTensor.from_row_lengths(tf.concat([one["steps"] for one in steps()], 0), [2, 5, 0, 3])
    fitted = tfnorm.fit({"steps": seen}, "minmax")
    for one, raw in zip(fitted.dataset(unlike), steps(), strict=True):
        np.testing.assert_allclose(one["steps"], raw["steps"] / 4, rtol=1e-6)
        assert one["id"] == raw["id"]


def test_by_sample_and_by_key_one_by_one():
    x = {"v": TABLE["vector"], "store": np.arange(ROWS) % 3, "price": Y}
    fitted = tfnorm.fit(x, {"v": "l2", "price": "standard.by('store')"})
    raw = tf.data.Dataset.from_tensor_slices(({"v": x["v"], "store": x["store"]}, Y))
    wanted = fitted.transform(
        {name: one.astype("float64") if one.dtype == "float32" else one for name, one in x.items()}
    )
    for batch in (None, 300):
        got_x, got_y = whole(
            fitted.dataset(raw if batch is None else raw.batch(batch), target="price"), batched=batch is not None
        )
        near(got_x["v"], wanted["v"])
        near(got_y, wanted["price"])
        np.testing.assert_array_equal(got_x["store"], x["store"])


def test_sparse_and_ragged_batches_stay_so():
    sparse = tf.sparse.from_dense(np.where(TABLE["vector"] > 3, TABLE["vector"], 0))
    fitted = tfnorm.fit(
        {"s": sparse, "r": tf.RaggedTensor.from_row_lengths(Y, [1000, 1500] + [0] * (ROWS - 2))}, "maxabs"
    )
    raw = tf.data.Dataset.from_tensor_slices(
        {"s": sparse, "r": tf.RaggedTensor.from_row_lengths(Y, [1000, 1500] + [0] * (ROWS - 2))}
    ).batch(ROWS)
    (got,) = fitted.dataset(raw)
    assert isinstance(got["s"], tf.SparseTensor)
    assert isinstance(got["r"], tf.RaggedTensor)
    dense = np.where(TABLE["vector"] > 3, TABLE["vector"], 0)
    np.testing.assert_allclose(tf.sparse.to_dense(got["s"]), dense / np.abs(dense).max(axis=0), rtol=2e-6)
    near(np.asarray(got["r"].flat_values), fitted["r"].transform(Y.astype("float64")))


def test_a_model_trains_on_it():
    raw = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(ROWS, seed=1).batch(250)
    mapped = FITTED.dataset(raw, target="price", concatenate=True).prefetch(tf.data.AUTOTUNE)
    model = keras.Sequential([keras.Input((7,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    assert np.isfinite(model.fit(mapped, epochs=2, verbose=0).history["loss"]).all()
    assert model.evaluate(mapped, verbose=0) < 10


@pytest.mark.parametrize(
    ("data", "options", "error", "said"),
    [
        ((X, Y), {"target": "prise"}, ChoiceError, r'column "prise": not in this fit'),
        ((X, Y), {"target": {"price": "price"}}, ChoiceError, r'y is one tensor, and target= names "price" in it'),
        ((X, {"a": Y}), {"target": "price"}, ChoiceError, r'y has "a", and target= names one column for all'),
        ((X, Y), {"target": ("price", "variance")}, ChoiceError, "data have values only, no variance"),
        (X, {"target": "price"}, ChoiceError, "no y"),
        (({"agee": Y}, Y), {}, DataError, r'none of the fitted columns.*"age"'),
        ((Y, Y), {}, DataError, "x is no dict"),
        ((Y, Y, Y, Y), {}, DataError, "4 parts"),
    ],
)
def test_what_does_not_suit_is_told(data, options, error, said):
    with pytest.raises(error, match=said):
        FITTED.dataset(tf.data.Dataset.from_tensor_slices(data).batch(10), **options)


def test_other_things_than_datasets():
    with pytest.raises(DataError, match=r"expected a tf.data.Dataset, got dict. For arrays: fitted.transform"):
        FITTED.dataset(X)
    with pytest.raises(DataError, match=r"fitted.dataset\(dataset\)"):
        FITTED.transform(tf.data.Dataset.from_tensor_slices(X))
