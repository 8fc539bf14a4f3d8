"""Sparse matrices, arrays and tensors: the statistics and the numbers of the dense rows, and nothing made dense."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.stats
from sklearn.preprocessing import MaxAbsScaler, Normalizer, StandardScaler

import tfnorm
from tfnorm import sparse as measuring
from tfnorm.errors import ChoiceError, DataError
from tfnorm.profile import Profile
from tfnorm.sources.scipy import read
from tfnorm.sources.stored import Sparse
from tfnorm.statistics import Count, Extremes, Moments, Statistic

FORMATS = ("csr", "csc", "coo", "bsr", "dia", "dok", "lil")
KINDS: list[Any] = [kind for kind in Statistic.__subclasses__() if "repeated" in vars(kind)]


def matrix(rows: int, width: int, density: float, dtype: Any = np.float64, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    found = sp.random_array((rows, width), density=density, rng=rng, format="csr")
    found.data = rng.normal(3, 2, len(found.data)).round(1) + 0.05
    return found.astype(dtype)


def same_as_dense(found: Profile, dense: np.ndarray) -> None:
    """Counts and extremes exactly, moments to 1e-13, quantiles as NumPy has them; `dense` has NaN where values are missing."""
    wide = dense.astype(np.float64).reshape(len(dense), -1)
    column = found["x"]
    np.testing.assert_array_equal(column.count.finite, np.isfinite(wide).sum(axis=0))
    np.testing.assert_array_equal(column.count.missing, np.isnan(wide).sum(axis=0))
    np.testing.assert_array_equal(column.count.zero, (wide == 0).sum(axis=0))
    filled = np.isfinite(wide).any(axis=0)
    values = wide[:, filled]
    np.testing.assert_array_equal(column.minimum[filled], np.nanmin(values, axis=0))
    np.testing.assert_array_equal(column.maximum[filled], np.nanmax(values, axis=0))
    np.testing.assert_allclose(column.mean[filled], np.nanmean(values, axis=0), rtol=1e-13)
    np.testing.assert_allclose(column.std[filled], np.nanstd(values, axis=0), rtol=1e-13)
    varies = np.nanmax(values, axis=0, initial=-np.inf) > np.nanmin(values, axis=0, initial=np.inf)
    skewness = scipy.stats.skew(values[:, varies], nan_policy="omit")
    np.testing.assert_allclose(np.asarray(column.skewness)[filled][varies], skewness, rtol=1e-9, atol=1e-12)
    for q in (0.1, 0.5, 0.9):
        np.testing.assert_allclose(column.quantile(q)[filled], np.nanquantile(values, q, axis=0), rtol=1e-12)


@pytest.mark.parametrize("make", [sp.csr_array, sp.csr_matrix], ids=["array", "matrix"])
@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")
def test_every_format_is_as_its_dense_rows_and_stays_what_it_is(format_: str, make: Any) -> None:
    x = make(matrix(300, 7, 0.3)).asformat(format_)
    dense = x.toarray()
    same_as_dense(tfnorm.scan(x), dense)
    fitted = tfnorm.fit(x, "maxabs")
    y = fitted.transform(x)
    assert type(y) is type(x)
    np.testing.assert_array_equal(y.toarray(), tfnorm.fit(dense, "maxabs").transform(dense))
    np.testing.assert_allclose(y.toarray(), MaxAbsScaler().fit_transform(x.tocsr()).toarray(), rtol=1e-15)
    back = fitted.inverse(y)
    assert type(back) is type(x)
    np.testing.assert_allclose(back.toarray(), dense, rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int8, np.uint16, np.bool_])
@pytest.mark.parametrize(
    ("rows", "width", "density"), [(1, 1, 1), (40, 3, 0), (50, 300, 0.02), (500, 4, 1), (999, 60, 0.1)]
)
def test_statistics_of_every_shape_and_type(rows: int, width: int, density: float, dtype: Any) -> None:
    x = matrix(rows, width, density, dtype)
    same_as_dense(tfnorm.scan(x), x.toarray())


def test_zeros_are_counted_as_dense_ones_are() -> None:
    """S.repeated(v, k) == S.of(k times v), for every statistic that knows it; NaN stands for null."""
    value, number = np.array([0.0, 2.5, -1e300, np.inf, np.nan]), np.array([3, 0, 7, 2, 4])
    for kind in KINDS:
        got = kind.repeated(value, number, number * 0.5)
        assert got.flaw() == ""
        for j in range(5):
            rows = np.full((number[j], 1), value[j])
            want = kind.of(np.ma.masked_invalid(rows) if np.isnan(value[j]) else rows, np.full(number[j], 0.5))
            for name in vars(want):
                if name != "exponent":  # the unit of nothing
                    np.testing.assert_array_equal(getattr(got.take(j, j + 1), name), getattr(want, name), err_msg=name)
    assert {Count, Extremes, Moments} <= set(KINDS)


def test_pieces_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    x = matrix(700, 9, 0.4)
    monkeypatch.setattr(measuring, "PIECE_VALUES", 100)
    same_as_dense(tfnorm.scan(x), x.toarray())


def test_stored_zeros_nan_and_duplicates() -> None:
    rows, columns, values = [0, 0, 1, 2, 2, 2], [1, 1, 0, 1, 0, 0], [1.0, 2.0, 0.0, np.nan, 4.0, -4.0]
    x = sp.coo_array((values, (rows, columns)), shape=(4, 2))
    assert tfnorm.scan(x)["x"].count.nan.tolist() == [0, 1]
    same_as_dense(tfnorm.scan(x), x.toarray())
    same_as_dense(tfnorm.scan(sp.csr_array(x)), x.toarray())
    y = tfnorm.fit(x, "maxabs").transform(x).toarray()
    np.testing.assert_array_equal(y, [[0, 1], [0, 0], [0, np.nan], [0, 0]])
    assert x.nnz == 6  # what came is as it was
    unsorted = sp.csr_array((np.array([1.0, 2.0, 5.0]), np.array([2, 0, 2]), np.array([0, 3, 3])), shape=(2, 3))
    same_as_dense(tfnorm.scan(unsorted), unsorted.toarray())
    assert unsorted.data.tolist() == [1.0, 2.0, 5.0]


def test_integers_beyond_float64_are_exact() -> None:
    x = sp.csr_array(np.array([[2**62 + 1, 0], [2**62 + 3, 5]]))
    found, dense = tfnorm.scan(x)["x"], tfnorm.scan(x.toarray())["x"]
    for name in ("minimum", "minimum_low", "maximum", "maximum_low"):
        np.testing.assert_array_equal(getattr(found.extremes, name), getattr(dense.extremes, name))
    fitted = tfnorm.fit(x, "minmax", sparse="missing")
    np.testing.assert_array_equal(fitted.transform(x).toarray(), [[0, 0], [1, 0]])


@pytest.mark.parametrize(
    "choice",
    [
        *("maxabs", "standard(center=False)", "signed_log", "asinh", "sqrt", "log1p", "decimal", "clip(-1, 1)"),
        *(
            "log1p, maxabs",
            "signed_log, standard(center=False)",
            "identity",
            "minmax",
            "l1",
            "l2",
            "linf",
            "yeo_johnson",
        ),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_what_keeps_zero_gives_what_dense_rows_would(choice: str, dtype: Any) -> None:
    x = abs(matrix(400, 12, 0.2)).astype(dtype)
    dense = x.toarray()
    assert (dense == 0).any(axis=0).all()
    fitted, whole = tfnorm.fit(x, choice), tfnorm.fit(dense, choice)
    y, want = fitted.transform(x), whole.transform(dense)
    assert y.dtype == want.dtype
    np.testing.assert_array_equal(y.indices, x.indices)
    np.testing.assert_allclose(y.toarray(), want, rtol=1e-12 if want.dtype == np.float64 else 1e-6)
    if fitted["x"].invertible:
        np.testing.assert_allclose(fitted.inverse(y).toarray(), whole.inverse(want), rtol=1e-5, atol=1e-6)


def test_as_scikit_learn_scales_sparse_rows() -> None:
    x = matrix(400, 12, 0.2)
    for choice, peer in (
        ("standard(center=False)", StandardScaler(with_mean=False)),
        ("maxabs", MaxAbsScaler()),
        ("l2", Normalizer()),
        ("l1", Normalizer("l1")),
        ("linf", Normalizer("max")),
    ):
        np.testing.assert_allclose(
            tfnorm.fit(x, choice).transform(x).toarray(), peer.fit_transform(x).toarray(), rtol=1e-13, err_msg=choice
        )


@pytest.mark.parametrize("choice", ["standard", "center", "sigmoid", "robust", "minmax(-1, 1)", "mean_range"])
def test_what_moves_zero_is_refused_with_a_way_out(choice: str) -> None:
    x = matrix(50, 3, 0.5)
    fitted = tfnorm.fit(x, choice)
    np.testing.assert_allclose(
        fitted.transform(x.toarray()), tfnorm.fit(x.toarray(), choice).transform(x.toarray()), rtol=1e-12
    )
    with pytest.raises(DataError, match=r'"x".*zero, and would become -?[0-9.e-]+ .*dense.*toarray.*maxabs'):
        fitted.transform(x)


def test_what_needs_whole_samples_is_refused() -> None:
    x = matrix(50, 3, 0.5)
    with pytest.raises(DataError, match=r"instance needs all values of a sample.*toarray"):
        tfnorm.fit(x, "instance").transform(x)


@pytest.mark.parametrize("choice", ["standard", "minmax", "robust", "maxabs", "sigmoid", "log1p, standard", "l2"])
def test_what_is_not_stored_is_missing_where_the_fit_says_so(choice: str) -> None:
    x = abs(matrix(200, 5, 0.4))
    x.data[3] = 0.0  # a stored zero is a value
    dense = np.full(x.shape, np.nan)
    coordinates = x.tocoo()
    dense[coordinates.coords] = coordinates.data
    fitted = tfnorm.fit(x, choice, sparse="missing")
    if choice != "l2":
        same_as_dense(tfnorm.scan(x, sparse="missing"), dense)
        want = tfnorm.fit(dense, choice).transform(dense)
        y = fitted.transform(x)
        np.testing.assert_array_equal(y.indices, x.indices)
        np.testing.assert_allclose(y.tocoo().data, want[coordinates.coords], rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(fitted.inverse(y).data, x.data, rtol=1e-9, atol=1e-12)
    count = fitted.profile["x"].count
    assert count.null.tolist() == np.isnan(dense).sum(axis=0).tolist()
    assert count.nan.sum() == 0


def test_missing_by_form_is_remembered_and_does_not_mix(tmp_path: Any) -> None:
    x = matrix(60, 4, 0.4)
    fitted = tfnorm.fit(x, "standard", sparse="missing")
    fitted.save(tmp_path / "norm.json")
    loaded = tfnorm.load(tmp_path / "norm.json")
    assert loaded == fitted
    np.testing.assert_array_equal(loaded.transform(x).toarray(), fitted.transform(x).toarray())
    assert (fitted + fitted).profile["x"].column.unstored == "missing"
    tfnorm.fit(x, "maxabs").save(tmp_path / "zero.json")
    assert "unstored" not in (tmp_path / "zero.json").read_text()
    with pytest.raises(DataError, match=r"same columns"):
        tfnorm.scan(x) + tfnorm.scan(x, sparse="missing")  # pylint: disable=expression-not-assigned
    with pytest.raises(DataError, match=r"missing, and would become"):
        tfnorm.fit(x, "standard, impute", sparse="missing").transform(x)


def test_faults() -> None:
    x = matrix(60, 4, 0.4)
    with pytest.raises(ChoiceError, match=r'"zero" or "missing", got 0'):
        tfnorm.fit(x, sparse=0)  # type: ignore[arg-type]
    with pytest.raises(ChoiceError, match=r"are stored whole"):
        tfnorm.fit(x.toarray(), sparse="missing")
    with pytest.raises(ChoiceError, match=r"settled when the profile was made"):
        tfnorm.fit(tfnorm.scan(x), sparse="missing")
    with pytest.raises(DataError, match=r"complex128.*Reshape or cast"):
        tfnorm.fit(x.astype(np.complex128))
    with pytest.raises(DataError, match=r"4 features.*shape \(60, 2\)"):
        tfnorm.fit(x, "maxabs").transform(x[:, :2])
    x.data[[5, 9]] = np.inf
    row = int(x.tocoo().coords[0][5])
    with pytest.raises(DataError, match=f"infinite value in row {row} "):
        tfnorm.fit(x, "maxabs")
    assert np.isfinite(tfnorm.fit(x, "maxabs", infinite="missing").profile["x"].maximum).all()
    x.data[:] = 1.0
    x.data[7] = -5.0
    with pytest.raises(DataError, match=f"log1p needs values above -1, got -5.0 in row {int(x.tocoo().coords[0][7])} "):
        tfnorm.fit(x, "log1p, standard")


@pytest.mark.parametrize("missing", [False, True])
def test_weights(missing: bool) -> None:
    x = matrix(300, 6, 0.3)
    weight = np.random.default_rng(1).integers(0, 4, 300) * 0.5
    dense = x.toarray()
    if missing:
        dense[dense == 0] = np.nan
    choice: Any = "missing" if missing else "zero"
    found, whole = tfnorm.scan(x, weight=weight, sparse=choice)["x"], tfnorm.scan(dense, weight=weight)["x"]
    held = np.where(np.isnan(dense), 0.0, 1.0) * weight[:, None]
    mean = (np.nan_to_num(dense) * held).sum(axis=0) / held.sum(axis=0)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-13)
    np.testing.assert_allclose(
        found.variance, (held * (np.nan_to_num(dense) - mean) ** 2).sum(axis=0) / held.sum(axis=0)
    )
    np.testing.assert_array_equal(found.minimum, whole.minimum)
    np.testing.assert_array_equal(found.count.finite, whole.count.finite)
    np.testing.assert_allclose(found.quantile(0.7), whole.quantile(0.7))
    unweighted = sp.csr_array([[0.0, 1.0], [2.0, 3.0]])  # the one row with a place that is not stored weighs nothing
    assert tfnorm.scan(unweighted, weight=[0.0, 1.0])["x"].minimum.tolist() == [2.0, 3.0]


def test_one_number_over_all() -> None:
    x = matrix(300, 6, 0.3)
    found, dense = tfnorm.scan(x, axis=None)["x"], x.toarray()
    np.testing.assert_allclose([found.mean[0], found.std[0]], [dense.mean(), dense.std()], rtol=1e-13)
    assert found.count.zero.tolist() == [(dense == 0).sum()]
    np.testing.assert_allclose(found.quantile(0.9), np.quantile(dense, 0.9))
    y = tfnorm.fit(x, "maxabs", axis=None).transform(x).toarray()
    np.testing.assert_allclose(y, dense / np.abs(dense).max(), rtol=1e-15)


def test_columns_of_a_mapping_and_a_sparse_vector() -> None:
    x, age = matrix(90, 4, 0.4), np.arange(90.0)
    one = sp.coo_array(matrix(90, 1, 0.5).toarray()[:, 0])
    data = {"words": x, "age": age, "bonus": one}
    fitted = tfnorm.fit(data, {"words": "maxabs", "age": "standard", "bonus": "maxabs"})
    dense = tfnorm.fit({"words": x.toarray(), "age": age, "bonus": one.toarray()}, fitted.choice)
    assert fitted.maps["age"].center == dense.maps["age"].center  # type: ignore[attr-defined]
    y = fitted.transform(data)
    want = dense.transform({"words": x.toarray(), "age": age, "bonus": one.toarray()})
    for name in data:
        got = y[name].toarray() if name != "age" else y[name]
        np.testing.assert_array_equal(got, want[name])
    assert fitted["words"].transform(x[:5]).shape == (5, 4)
    with pytest.raises(DataError, match=r"as many rows in every column"):
        tfnorm.fit({"words": x, "age": age[:5]})


def test_batches_of_any_size_give_the_same_bits() -> None:
    x = matrix(1000, 8, 0.2)
    whole = tfnorm.fit(x, "standard")
    for size in (1, 7, 1000):
        batches = lambda size=size: (x[i : i + size] for i in range(0, 1000, size))  # type: ignore[misc]
        assert tfnorm.fit(batches, "standard").fingerprint == whole.fingerprint
    assert tfnorm.fit(x, "standard", workers=1).fingerprint == whole.fingerprint
    dicts = lambda: iter([({"a": x[:600]}, None), ({"a": x[600:]}, None)])
    np.testing.assert_array_equal(tfnorm.scan(dicts)["a"].mean, whole.profile["x"].mean)
    with pytest.raises(DataError, match=r"batch 1.*expected sparse rows as in batch 0, got dense"):
        tfnorm.fit(lambda: iter([x[:600], x[600:].toarray()]))


def test_rows_are_cut_and_joined() -> None:
    x = matrix(50, 4, 0.4)
    rows = read(x)
    again: Any = np.concatenate([rows[:0], rows[:20], rows[20:21], rows[21:]])  # type: ignore[call-overload]
    assert isinstance(again, Sparse)
    for name in ("starts", "places", "values"):
        np.testing.assert_array_equal(getattr(again, name), getattr(rows, name))
    assert rows.row_of(len(rows.values) - 1) == int(x.tocoo().coords[0][-1])


def test_pandas_sparse_columns() -> None:
    import pandas as pd

    dense = np.array([0.0, 3.0, 0.0, -1.0])
    frame = pd.DataFrame({"a": pd.arrays.SparseArray(dense), "b": dense})
    found = tfnorm.scan(frame)
    assert found["a"].mean == found["b"].mean == 0.5
    assert tfnorm.fit(frame, "maxabs").transform(frame)["a"].tolist() == (dense / 3).tolist()


def test_a_matrix_larger_than_memory_dense() -> None:
    """200,000 x 10,000 (16 GB dense) with 1e-4 of it stored, in 800 MB in all."""
    pytest.importorskip("resource")
    script = """
        import resource
        import numpy as np, scipy.sparse as sp
        import tfnorm
        tfnorm.fit(sp.csr_array(np.eye(3)), "robust")  # what is compiled needs memory of its own
        rng = np.random.default_rng(0)
        at, values = rng.integers(0, (200_000, 10_000), (200_000, 2)), rng.normal(0, 1, 200_000)
        x = sp.coo_array((values, at.T), shape=(200_000, 10_000))
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 800_000_000,) * 2)
        fitted = tfnorm.fit(x, "maxabs", workers=2)
        y = fitted.transform(x)
        profile = tfnorm.scan(x, workers=2)["x"]
        largest = abs(x.tocsr()).max(axis=0).toarray()
        assert (abs(profile.extremes.maximum) <= largest).all()
        assert abs(abs(y).max() - 1) == 0
        total = np.asarray(x.tocsr().sum(axis=0)).ravel()
        np.testing.assert_allclose(profile.mean, total / 200_000, rtol=1e-13, atol=1e-20)
    """
    done = subprocess.run(  # noqa: PLW1510
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


# TensorFlow

tf = pytest.importorskip("tensorflow")


def tensor(x: Any) -> Any:
    return tf.sparse.from_dense(x.toarray())


def test_sparse_tensors() -> None:
    x = matrix(200, 6, 0.3)
    same_as_dense(tfnorm.scan(tensor(x)), x.toarray())
    fitted = tfnorm.fit(tensor(x), "maxabs")
    y = fitted.transform(tensor(x))
    assert isinstance(y, tf.SparseTensor)
    np.testing.assert_array_equal(tf.sparse.to_dense(y), fitted.transform(x.toarray()))
    np.testing.assert_allclose(tf.sparse.to_dense(fitted.inverse(y)), x.toarray(), rtol=1e-15)
    data = {"a": tensor(x), "b": np.arange(200.0)}
    assert isinstance(tfnorm.fit(data, "maxabs").transform(data)["a"], tf.SparseTensor)
    assert fitted.fingerprint == tfnorm.fit(x, "maxabs").fingerprint
    with pytest.raises(DataError, match=r"zero, and would become"):
        tfnorm.fit(tensor(x), "standard").transform(tensor(x))
    missing = tfnorm.fit(tensor(x), "standard", sparse="missing")
    np.testing.assert_allclose(missing.transform(tensor(x)).values.numpy().std(), 1, rtol=0.02)
    shuffled = tf.SparseTensor([[1, 0], [0, 1], [1, 0]], [1.0, 2.0, 3.0], [2, 2])
    assert tf.sparse.to_dense(tfnorm.fit(shuffled, "maxabs").transform(shuffled)).numpy().tolist() == [[0, 1], [1, 0]]


def test_datasets_of_sparse_tensors() -> None:
    x = matrix(100, 6, 0.3)
    whole = tfnorm.fit(x, "standard", sparse="missing").fingerprint
    plain = tf.data.Dataset.from_tensor_slices(tensor(x))
    for data in (plain, plain.batch(7), plain.batch(100), plain.batch(7).map(lambda rows: (rows, tf.zeros(7)))):
        assert tfnorm.fit(data, "standard", sparse="missing").fingerprint == whole
    named = tf.data.Dataset.from_tensor_slices({"a": tensor(x), "b": np.arange(100.0)})
    for data in (named, named.batch(7)):
        found = tfnorm.scan(data)
        np.testing.assert_allclose(found["a"].mean, x.toarray().mean(axis=0), rtol=1e-13)
        assert found["b"].mean == 49.5


@pytest.mark.parametrize(
    "choice", ["maxabs", "standard(center=False)", "signed_log", "log1p, maxabs", "l2", "l1", "linf"]
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_the_layer_gives_what_numpy_gives(choice: str, dtype: str) -> None:
    x = abs(matrix(50, 6, 0.4)).astype(dtype)
    fitted = tfnorm.fit(x, choice)
    layer, want = fitted.layer(dtype="float64" if dtype != "float32" else "float32"), fitted.transform(x).toarray()
    sparse = tensor(x)
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    for run in (layer, tf.function(layer)):
        y = run(sparse)
        assert isinstance(y, tf.SparseTensor)
        np.testing.assert_allclose(tf.sparse.to_dense(y), want, rtol=tolerance)
    data = tf.data.Dataset.from_tensor_slices(sparse).batch(20).map(layer)
    assert data.element_spec.shape.as_list() == [None, 6]
    np.testing.assert_allclose(np.concatenate([tf.sparse.to_dense(part) for part in data]), want, rtol=tolerance)
    if fitted["x"].invertible:
        back = fitted.layer(inverse=True, dtype="float64")(layer(sparse))
        np.testing.assert_allclose(tf.sparse.to_dense(back), x.toarray(), rtol=1e-5)


def test_the_layer_in_a_model(tmp_path: Any) -> None:
    import keras

    x = matrix(50, 6, 0.4).astype(np.float32)
    fitted = tfnorm.fit({"words": x, "age": np.arange(50.0, dtype=np.float32)}, {"words": "maxabs", "age": "standard"})
    inputs = {"words": keras.Input((6,), sparse=True, name="words"), "age": keras.Input((1,), name="age")}
    normal = fitted.layer()(inputs)
    assert normal["words"].sparse
    both = keras.layers.Concatenate()([keras.layers.Dense(2)(normal["words"]), normal["age"]])
    model = keras.Model(inputs, keras.layers.Dense(1)(both))
    model.compile("sgd", "mse")
    age = np.arange(50.0, dtype=np.float32)[:, None]
    data = tf.data.Dataset.from_tensor_slices(({"words": tensor(x), "age": age}, age)).batch(10)
    model.fit(data, verbose=0)
    one = {"words": tensor(x), "age": tf.constant(age)}
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(one), model(one), rtol=1e-6)


def test_the_layer_remembers_what_is_missing_by_form() -> None:
    x = matrix(50, 6, 0.4)
    fitted = tfnorm.fit(x, "standard", sparse="missing")
    for layer in (fitted.layer(dtype="float64"), fitted["x"].layer(dtype="float64")):
        again = type(layer).from_config(layer.get_config())
        for one in (layer, again):
            np.testing.assert_allclose(tf.sparse.to_dense(one(tensor(x))), fitted.transform(x).toarray(), rtol=1e-13)
    with pytest.raises(DataError, match=r'"x".*zero, and would become.*to_dense'):
        tfnorm.fit(x, "standard").layer()(tensor(x))
    with pytest.raises(DataError, match=r"instance needs all values of a sample"):
        tfnorm.fit(x, "instance").layer()(tensor(x))
    with pytest.raises(DataError, match=r"concatenate=True takes dense tensors"):
        tfnorm.fit({"a": x}, "maxabs").layer(concatenate=True)({"a": tensor(x)})


@pytest.mark.parametrize("choice", ["standard, quantile", "center, asinh, standard", "standard, yeo_johnson"])
def test_a_second_pass_takes_what_is_not_stored_for_what_its_own_feature_makes_of_zero(choice: str) -> None:
    x = matrix(3000, 3, 0.4) * np.array([1.0, 100.0, 0.01])
    fitted, expected = (tfnorm.fit(one, choice, exact=True) for one in (sp.csr_array(x), x.toarray()))
    np.testing.assert_allclose(fitted.transform(x.toarray()), expected.transform(x.toarray()), rtol=1e-9, atol=1e-9)
