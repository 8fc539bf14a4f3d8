"""Numbers by key of sparse and ragged rows: those of the dense rows, in NumPy and in the layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import tensorflow as tf

import tfnorm
from test_grouped import grouped_equal
from tfnorm.errors import DataError
from tfnorm.grouped import Grouped, Partition, of_partition
from tfnorm.quantiles import Quantiles
from tfnorm.sources.stored import Sparse
from tfnorm.sparse import measure
from tfnorm.statistics import Count, Extremes, Moments

RANDOM = np.random.default_rng(31)
ROWS, WIDTH = 400, 6
KEY = RANDOM.integers(0, 5, ROWS)
DENSE = np.where(RANDOM.random((ROWS, WIDTH)) < 0.3, RANDOM.gamma(2, 2, (ROWS, WIDTH)) * (1 + KEY[:, None]), 0.0)
DENSE[:, 4] = 0.0
DENSE[KEY == 1, 3] = 7.0 + (np.arange((KEY == 1).sum()) % 2)  # a column that is full, for one key
LENGTHS = RANDOM.integers(0, 6, ROWS)
STEP_KEY = np.repeat(KEY, LENGTHS)
NEW = np.where(np.arange(ROWS) % 9 == 0, 99, KEY)


def ragged(values: np.ndarray) -> Any:
    return tf.RaggedTensor.from_row_lengths(values, LENGTHS)


def sparse(x: np.ndarray) -> Sparse:
    rows, places = np.nonzero(x)
    return Sparse.of_coo(rows, places, x[rows, places], x.shape)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("features", [1, WIDTH])
@pytest.mark.parametrize("missing", [False, True])
def test_statistics_are_those_of_the_dense_rows(
    weighted: bool, features: int, missing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = RANDOM.choice([0.0, 1.0, 2.5], ROWS) if weighted else None
    kinds = (Count, Extremes, Moments, Quantiles)
    dense: Any = np.ma.MaskedArray(DENSE, DENSE == 0) if missing else DENSE
    partition = Partition.of({"k": KEY})
    times = WIDTH // features
    wanted = of_partition(
        kinds,
        partition.repeated(times),
        dense.reshape(-1, features),
        None if weight is None else np.repeat(weight, times),
    )
    absent = np.nan if missing else 0.0
    for pieces in (1 << 21, 300):
        monkeypatch.setattr("tfnorm.sparse.PIECE_VALUES", pieces)
        found = measure(sparse(DENSE), kinds, features, absent, weight, (partition.groups, len(partition.keys)))
        for one, kind in zip(wanted, kinds, strict=True):
            keys = partition.keys
            mine, other = (Grouped(keys, (features,), (s,)) for s in (found[kind], one))
            assert mine.flaw() == ""
            grouped_equal(mine, other, kind)


@pytest.mark.parametrize("choice", ["maxabs.by('k')", "standard(center=False).by('k'), signed_log", "robust.by('k')"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sparse_rows_by_key(choice: str, dtype: str) -> None:
    x = DENSE.astype(dtype)
    if "robust" in choice:
        x[:, 3] = 0.0  # a median away from 0 would not keep zeros
    wanted = tfnorm.fit({"x": x, "k": KEY}, {"x": choice})
    tolerance = {"rtol": 2e-6 if dtype == "float32" else 1e-12, "atol": 1e-12}
    for came in (sp.csr_matrix(x), sp.csc_array(x), tf.sparse.from_dense(x)):
        fitted = tfnorm.fit({"x": came, "k": KEY}, {"x": choice})
        for keys in (KEY, NEW):
            result = fitted.transform({"x": came, "k": keys})["x"]
            assert type(result) is type(came)
            dense = tf.sparse.to_dense(result).numpy() if isinstance(came, tf.SparseTensor) else result.toarray()
            expected = wanted.transform({"x": x, "k": keys})["x"]
            np.testing.assert_allclose(dense, expected, **tolerance)
            batch = {"x": tf.sparse.from_dense(x), "k": tf.constant(keys)}
            layer = fitted.layer(dtype=dtype)
            for run in (layer, tf.function(layer)):
                np.testing.assert_allclose(tf.sparse.to_dense(run(batch)["x"]), expected, **tolerance)
        back = fitted["x"].inverse(fitted["x"].transform(came, keys=KEY), keys=KEY)
        back = tf.sparse.to_dense(back).numpy() if isinstance(came, tf.SparseTensor) else back.toarray()
        np.testing.assert_allclose(back, x, rtol=1e-5)


def test_what_is_not_stored_is_missing_where_so_said() -> None:
    fitted = tfnorm.fit({"x": sp.csr_matrix(DENSE), "k": KEY}, {"x": "standard.by('k')"}, sparse="missing")
    gaps = np.where(DENSE == 0, np.nan, DENSE)
    wanted = tfnorm.fit({"x": gaps, "k": KEY}, {"x": "standard.by('k')"}).transform({"x": gaps, "k": KEY})["x"]
    result = fitted.transform({"x": sp.csr_matrix(DENSE), "k": KEY})["x"]
    np.testing.assert_allclose(result.toarray(), np.nan_to_num(wanted), rtol=1e-12, atol=1e-12)


def test_what_would_not_stay_sparse_is_told() -> None:
    data = {"x": sp.csr_matrix(DENSE), "k": KEY}
    with pytest.raises(DataError, match="zero, and would become"):
        tfnorm.fit(data, {"x": "standard.by('k')"}).transform(data)
    with pytest.raises(DataError, match="would keep their zeros"):
        tfnorm.fit(data, {"x": "maxabs.by('k', unseen='missing')"}).transform(data)
    with pytest.raises(DataError, match="needs all values of a sample"):
        tfnorm.fit(data, {"x": "whiten(epsilon=1).by('k')"}).transform(data)
    with pytest.raises(DataError, match=r"center\.by\('k'\): what is not stored is zero, and would"):
        tfnorm.fit(data, {"x": "center.by('k'), maxabs"}, exact=True)
    with pytest.raises(DataError, match="expected one key for each of 400 rows, got 3"):
        tfnorm.fit(data, {"x": "maxabs.by('k')"})["x"].transform(data["x"], keys=[1, 2, 3])


@pytest.mark.parametrize("choice", ["standard.by('k')", "log1p, minmax.by('k', unseen='missing')", "robust.by('k')"])
def test_steps_of_ragged_rows_have_their_rows_key(choice: str) -> None:
    values = RANDOM.gamma(2, 2, LENGTHS.sum()) * (1 + STEP_KEY)
    fitted = tfnorm.fit({"x": ragged(values), "k": KEY}, {"x": choice})
    flat = tfnorm.fit({"x": values, "k": STEP_KEY}, {"x": choice})
    layer = fitted.layer(dtype="float64")
    for keys in (KEY, NEW):
        expected = flat.transform({"x": values, "k": np.repeat(keys, LENGTHS)})["x"]
        result = fitted.transform({"x": ragged(values), "k": keys})["x"]
        np.testing.assert_allclose(result.flat_values, expected, rtol=1e-12, atol=1e-12)
        for run in (layer, tf.function(layer)):
            got = run({"x": ragged(values), "k": tf.constant(keys)})["x"]
            assert got.row_lengths().numpy().tolist() == LENGTHS.tolist()
            np.testing.assert_allclose(got.flat_values, expected, rtol=1e-12, atol=1e-12)
    back = fitted["x"].inverse(fitted["x"].transform(ragged(values), keys=KEY), keys=KEY)
    np.testing.assert_allclose(back.flat_values, values, rtol=1e-12)


def test_weights_of_ragged_rows_count_for_their_steps() -> None:
    values, weight = RANDOM.normal(size=LENGTHS.sum()), RANDOM.integers(0, 3, ROWS).astype(float)
    fitted = tfnorm.fit({"x": ragged(values), "k": KEY}, {"x": "standard.by('k')"}, weight=weight)
    flat = tfnorm.fit({"x": values, "k": STEP_KEY}, {"x": "standard.by('k')"}, weight=np.repeat(weight, LENGTHS))
    result = fitted["x"].transform(ragged(values), keys=KEY)
    np.testing.assert_allclose(result.flat_values, flat["x"].transform(values, keys=STEP_KEY), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("choice", ["standard.by('k')", "standard.by('k'), instance(axis=-2)", "whiten.by('k')"])
def test_steps_that_are_vectors(choice: str) -> None:
    values = RANDOM.normal(size=(LENGTHS.sum(), 3)) @ RANDOM.normal(size=(3, 3)) + STEP_KEY[:, None]
    fitted = tfnorm.fit({"x": ragged(values), "k": KEY}, {"x": choice})
    result = fitted.transform({"x": ragged(values), "k": KEY})["x"]
    if "instance" not in choice:
        expected = tfnorm.fit({"x": values, "k": STEP_KEY}, {"x": choice})["x"].transform(values, keys=STEP_KEY)
        np.testing.assert_allclose(result.flat_values, expected, rtol=1e-10, atol=1e-10)
    got = fitted.layer(dtype="float64")({"x": ragged(values), "k": tf.constant(KEY)})["x"]
    np.testing.assert_allclose(got.flat_values, result.flat_values, rtol=1e-10, atol=1e-10)


def test_ragged_along_two_axes() -> None:
    rows = tf.ragged.constant([[[1.0, 2.0], [3.0]], [], [[5.0, 9.0, 4.0]]], dtype=tf.float64)
    k = np.array([1, 2, 3])
    fitted = tfnorm.fit({"x": rows, "k": k}, {"x": "minmax.by('k')"})
    wanted = [0.0, 0.5, 1.0, 0.2, 1.0, 0.0]
    np.testing.assert_allclose(fitted.transform({"x": rows, "k": k})["x"].flat_values, wanted, atol=1e-15)
    got = fitted.layer(dtype="float64")({"x": rows, "k": tf.constant(k)})["x"]
    np.testing.assert_allclose(got.flat_values, wanted, atol=1e-15)


@pytest.mark.parametrize("choice", ["whiten.by('k')", "quantile(levels=10).by('k'), instance(axis=-2)"])
def test_masked_steps_in_the_layer(choice: str) -> None:
    x = RANDOM.normal(size=(60, 4, 3)).astype("float32")
    k, mask = np.arange(60) % 3, np.arange(4) < RANDOM.integers(1, 5, 60)[:, None]
    fitted = tfnorm.fit({"x": x, "k": k}, {"x": choice})
    got = fitted.layer()({"x": tf.constant(x), "k": tf.constant(k)}, mask={"x": tf.constant(mask), "k": None})["x"]
    assert not got.numpy()[~mask].any()
    assert np.isfinite(got).all()
