"""The covariance of sparse rows: held against NumPy's of the dense ones, by key against each key's rows alone."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA

import tfnorm
from tfnorm import sparse_covariance
from tfnorm.artefact import dumps, loads
from tfnorm.covariance import Covariance
from tfnorm.errors import ChoiceError, DataError
from tfnorm.sources.scipy import read

RANDOM = np.random.default_rng(5)
NAN, INF = np.nan, np.inf


def table(rows: int = 600, width: int = 7) -> np.ndarray:
    """Columns of other scales and densities: one always stored and far off, one never, one the same wherever it is stored."""
    x = RANDOM.normal(2, 1, (rows, width)) @ RANDOM.normal(size=(width, width)) * np.logspace(-3, 3, width)
    x *= RANDOM.random((rows, width)) < np.linspace(0.02, 0.9, width)
    x[:, 1] = RANDOM.normal(1e9, 1, rows)
    x[:, 2] = 0
    x[:, 3] = np.where(x[:, 3] != 0, 0.1, 0)
    return x


def close(found: Covariance, dense: np.ndarray, weight: np.ndarray | None = None) -> None:
    """Means and products to 1e-12 of what the deviations allow."""
    expected = np.atleast_2d(np.cov(dense.T.astype(np.longdouble), bias=True, aweights=weight).astype(np.float64))
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_array_less(np.abs(found.matrix - expected), 1e-12 * scale + 1e-300)
    mean = np.average(dense.astype(np.longdouble), axis=0, weights=weight)
    np.testing.assert_allclose((found.mean + found.mean_low).astype(np.float64), mean.astype(np.float64), rtol=1e-14)
    assert found.flaw() == ""


def of(x: Any, weight: np.ndarray | None = None, absent: float = 0.0) -> Covariance:
    rows = read(sp.csr_array(x))
    nobody = np.zeros(x.shape[0], np.int64)
    return sparse_covariance.measure(rows, np.full(x.shape[1], absent), weight, nobody, 1)


def test_it_is_that_of_the_dense_rows() -> None:
    x = table()
    close(of(x), x)
    weight = RANDOM.integers(0, 4, len(x))
    close(of(x, weight.astype(float)), np.repeat(x, weight, axis=0))


def test_fractions_as_weights() -> None:
    x, weight = table(), RANDOM.random(600)
    close(of(x, weight), x, weight)


def test_parts_add_up() -> None:
    x = table()
    close(of(x[:1]) + of(x[1:17]) + of(x[17:]), x)
    assert of(x[:0]).weight.tolist() == [0.0] * 7


@pytest.mark.parametrize("scale", [2.0**-960, 2.0**-500, 2.0**500, 2.0**960])  # which round nothing
def test_no_scale_overflows_or_vanishes(scale: float) -> None:
    x = table(200)
    found, plain = of(x * scale), of(x)
    np.testing.assert_allclose(found.correlation, plain.correlation, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.mean / scale, plain.mean, rtol=1e-12)


def test_what_never_varies_has_no_variance_at_all() -> None:
    x = np.full((100, 3), 0.1)
    x[:, 1] = 0
    x[:, 2] = 1e9 + 1 / 3
    assert of(x).products.tolist() == [0.0] * 6
    np.testing.assert_array_equal(of(x).mean, [0.1, 0, 1e9 + 1 / 3])


def test_rows_with_gaps_are_left_out_whole() -> None:
    x = table(300)
    x[5, 1], x[7, 3], x[9, 0] = NAN, INF, -INF
    found, kept = of(x), np.isfinite(x).all(axis=1)
    close(found, x[kept])
    assert set(found.left_out.tolist()) == {3}
    stored = sp.csr_array(np.where(RANDOM.random((300, 3)) < 0.9, RANDOM.normal(5, 1, (300, 3)), 0))
    whole = np.diff(stored.indptr) == 3
    missing = sparse_covariance.measure(read(stored), np.full(3, NAN), None, np.zeros(300, np.int64), 1)
    close(missing, stored.toarray()[whole])
    assert set(missing.left_out.tolist()) == {300 - whole.sum()}


def test_by_key_it_is_that_of_each_keys_rows() -> None:
    x, keys = table(), RANDOM.integers(0, 4, 600)
    keys[keys == 2] = 3  # of which no row is
    found = sparse_covariance.measure(read(sp.csr_array(x)), np.zeros(7), None, keys, 4)
    for key, own in enumerate(found.blocks()):
        if key == 2:
            assert own.weight.tolist() == [0.0] * 7
        else:
            close(own, x[keys == key])


@pytest.mark.parametrize("sparse", ["zero", "missing"])
@pytest.mark.parametrize("choice", ["whiten", "whiten('zca')", "standard, whiten(components=3)", "whiten(epsilon=0.1)"])
@pytest.mark.parametrize("by", ["", ".by('k')", ".by('k', shrink=20)"])
def test_whitening_fitted_on_sparse_rows_is_that_of_the_dense_ones(choice: str, by: str, sparse: Any) -> None:
    x = RANDOM.normal(size=(900, 5)) @ RANDOM.normal(size=(5, 5)) + 3
    x *= RANDOM.random((900, 5)) < 0.9
    keys, choice = RANDOM.integers(0, 3, 900), choice + by
    fitted = tfnorm.fit({"k": keys, "x": sp.csr_array(x)}, {"x": choice}, sparse=sparse)
    dense = {"k": keys, "x": np.where(x == 0, NAN, x) if sparse == "missing" else x}
    expected = tfnorm.fit(dense, {"x": choice})
    got, wanted = fitted.transform(dense)["x"], expected.transform(dense)["x"]
    np.testing.assert_allclose(got, wanted, rtol=1e-8, atol=1e-8)
    assert loads(dumps(fitted)) == fitted


def test_scikit_learns_components() -> None:
    x = sp.random_array((2000, 30), density=0.2, rng=RANDOM, format="csr")
    got = tfnorm.fit(x, "whiten(components=4)").transform(x.toarray())
    theirs = PCA(4, whiten=True, svd_solver="full").fit(x.toarray())
    largest = np.abs(theirs.components_).argmax(axis=1)
    signs = np.sign(theirs.components_[np.arange(4), largest])
    expected = theirs.transform(x.toarray()) * signs * np.sqrt(2000 / 1999)
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-8)


def test_whitened_rows_are_dense_which_is_said() -> None:
    x = sp.csr_array(table())
    fitted = tfnorm.fit(x, "whiten(epsilon=1e-6)")
    with pytest.raises(DataError, match=r"needs all values of a sample.*Pass dense rows"):
        fitted.transform(x)


def test_nothing_is_made_dense() -> None:
    rows, width = 200_000, 1000
    x = sp.random_array((rows, width), density=0.005, rng=RANDOM, format="csr")
    tfnorm.fit(x[:100], "whiten(epsilon=1)")
    tracemalloc.start()
    start = time.perf_counter()
    fitted = tfnorm.fit(x, "whiten(components=2)", workers=1)
    took, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < rows * width  # an eighth of what dense rows take
    assert took < 60
    expected = (x.T @ x / rows - np.outer(x.mean(axis=0), x.mean(axis=0))).diagonal()
    found = fitted.profile.statistic(Covariance, "x")
    assert isinstance(found, Covariance)
    np.testing.assert_allclose(np.diag(found.matrix), expected, rtol=1e-9)


def test_too_many_products_are_refused_before_they_are_made() -> None:
    x = sp.csr_array((50, 5000))
    with pytest.raises(ChoiceError, match="covariance of 5,000 features"):
        tfnorm.fit(x, "whiten")
    wide = {"k": np.arange(3000), "x": sp.csr_array((3000, 300))}
    with pytest.raises(DataError, match="covariances of 300 features by 3,000 keys"):
        tfnorm.fit(wide, {"x": "whiten(epsilon=1).by('k')"})
