"""The scikit-learn face: its own checks for every technique, and what users do with estimators."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import sklearn
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.fixes import parse_version

import tfnorm
from tfnorm.errors import ChoiceError, DataError
from tfnorm.sklearn import Normalizer

SETTINGS = {"power": "power(3)", "clip": "clip(0.2, 3)", "quantile": "quantile(levels=50)"}
CHECKED = [SETTINGS.get(name, name) for name in tfnorm.TECHNIQUES if "patches" not in name and name != "box_cox"]
# box_cox takes values above 0. The checks give estimators that say so data that begin at 0, on which scikit-learn's own
# PowerTransformer("box-cox") fails as well; so it is checked behind a step that lifts them
CHECKED += ["minmax(1, 2), box_cox", "log1p, standard", "standard, clip(-3, 3)"]
LEFT_OUT = ["array_api"]  # skipped unless SCIPY_ARRAY_API is set
if parse_version(sklearn.__version__) < parse_version(
    "1.7"
):  # which asks it also of those that say they take no sparse data
    LEFT_OUT.append("check_sample_weight_equivalence_on_sparse_data")
RANDOM = np.random.default_rng(6)
X = RANDOM.lognormal(1, 0.5, (200, 3)) + 0.1
FRAME = pd.DataFrame(X, columns=["age", "fare", "size"])


@pytest.mark.parametrize("choice", CHECKED)
def test_all_of_scikit_learns_checks(choice: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(Normalizer(choice), on_skip=None, on_fail=None)
    failed = [(one["check_name"], one["exception"]) for one in results if one["status"] != "passed"]
    assert [one for one in failed if not any(name in one[0] for name in LEFT_OUT)] == []


@pytest.mark.parametrize("choice", CHECKED)
def test_it_is_the_fit_in_parts_too(choice: str) -> None:
    normalizer = Normalizer(choice).fit(X)
    np.testing.assert_array_equal(normalizer.transform(X), tfnorm.fit(X, choice).transform(X))
    parts = Normalizer(choice)
    for part in np.split(X, [40, 41, 90]):
        parts.partial_fit(part)
    if choice != "minmax(1, 2), box_cox":  # is solved within the bounds of a sketch, or by reading again
        np.testing.assert_allclose(parts.transform(X), normalizer.transform(X), rtol=1e-3, atol=1e-3)
    before = parts.transform(X)
    parts.partial_fit(np.full((5, 3), np.nan))
    np.testing.assert_allclose(parts.transform(X), before, rtol=1e-9, atol=1e-12)
    if hasattr(normalizer, "inverse_transform") and "clip" not in choice and choice not in ("winsorize", "impute"):
        np.testing.assert_allclose(normalizer.inverse_transform(normalizer.transform(X)), X, rtol=1e-5)


def test_a_first_batch_of_missing_values_ruins_nothing() -> None:
    for choice in ("standard", "minmax", "robust", "maxabs", "quantile"):
        normalizer = Normalizer(choice).partial_fit(np.full((5, 3), np.nan)).partial_fit(X)
        np.testing.assert_allclose(normalizer.transform(X), Normalizer(choice).fit(X).transform(X), atol=1e-9)
    refused = Normalizer().fit(X)
    with pytest.raises(ValueError, match="infinity"):
        refused.partial_fit([[np.inf, 1, 2]])
    np.testing.assert_array_equal(refused.transform(X), Normalizer().fit(X).transform(X))
    whiten = Normalizer("whiten")
    with pytest.raises(ChoiceError, match="without missing values"):  # as fit says it
        whiten.partial_fit(np.full((5, 3), np.nan))
    np.testing.assert_array_equal(whiten.partial_fit(X).transform(X), Normalizer("whiten").fit(X).transform(X))


def test_weights() -> None:
    weight = RANDOM.integers(0, 4, 200)
    for choice in ("standard", "robust", "whiten"):
        weighted = Normalizer(choice).fit(X, sample_weight=weight)
        repeated = Normalizer(choice).fit(np.repeat(X, weight, axis=0))
        np.testing.assert_allclose(weighted.transform(X), repeated.transform(X), atol=1e-9)


def test_names_and_outputs() -> None:
    normalizer = Normalizer("minmax").fit(FRAME)
    assert list(normalizer.get_feature_names_out()) == ["age", "fare", "size"]
    pandas = normalizer.set_output(transform="pandas").transform(FRAME)
    assert list(pandas.columns) == ["age", "fare", "size"]
    assert pandas.index.equals(FRAME.index)
    polars = Normalizer("minmax").set_output(transform="polars").fit_transform(pl.DataFrame(FRAME.to_dict("list")))
    np.testing.assert_array_equal(polars.to_numpy(), pandas.to_numpy())
    marked = Normalizer(tfnorm.impute("mean", indicator=True)).fit(FRAME)
    wanted = ["age", "fare", "size", "age_missing", "fare_missing", "size_missing"]
    assert list(marked.get_feature_names_out()) == wanted
    assert list(marked.set_output(transform="pandas").transform(FRAME).columns) == wanted
    np.testing.assert_allclose(marked.inverse_transform(np.hstack([X, np.zeros_like(X)])), X)
    mixed = Normalizer("whiten(components=2)").fit(FRAME)
    assert list(mixed.get_feature_names_out()) == ["whiten0", "whiten1"]
    assert mixed.inverse_transform(mixed.transform(FRAME.to_numpy())).shape == X.shape


def test_by_column() -> None:
    choice = {"age": "standard", "fare": ["log1p", "standard"]}
    normalizer = Normalizer(choice).set_output(transform="pandas").fit(FRAME)
    wanted = tfnorm.fit(FRAME, choice).transform(FRAME)
    pd.testing.assert_frame_equal(normalizer.transform(FRAME), wanted)
    back = normalizer.inverse_transform(normalizer.transform(FRAME).to_numpy())
    np.testing.assert_allclose(back, X, rtol=1e-12)
    normalizer.partial_fit(FRAME * 2)
    whole = Normalizer(choice).fit(pd.concat([FRAME, FRAME * 2]))
    np.testing.assert_allclose(normalizer.transform(FRAME), whole.transform(FRAME), rtol=1e-9, atol=1e-12)
    by_place = Normalizer({0: "standard", -1: "minmax"}).fit(X)
    np.testing.assert_array_equal(by_place.transform(X)[:, 1], X[:, 1])
    marked = Normalizer({"fare": tfnorm.impute("mean", indicator=True)}).fit(FRAME)
    assert list(marked.get_feature_names_out()) == ["age", "fare", "fare_missing", "size"]
    assert marked.transform(FRAME).shape == (200, 4)
    with pytest.raises(ChoiceError, match=r"[Dd]id you mean"):
        Normalizer({"fair": "standard"}).fit(FRAME)


def test_sparse() -> None:
    rows = scipy.sparse.random_array((50, 4), density=0.3, rng=np.random.default_rng(1)).tocsr()
    for choice in ("maxabs", "standard(center=False)", "l2", "signed_log"):
        normalizer = Normalizer(choice).fit(rows)
        got = normalizer.transform(rows)
        assert scipy.sparse.issparse(got)
        np.testing.assert_allclose(got.toarray(), Normalizer(choice).fit(rows.toarray()).transform(rows.toarray()))
    with pytest.raises(DataError, match="Cannot center sparse"):
        Normalizer("minmax").fit(rows)


def test_pipelines_searches_columns_and_targets() -> None:
    y = X @ [1.0, -2.0, 3.0]
    labels = y > np.median(y)
    pipeline = make_pipeline(Normalizer("standard"), LogisticRegression())
    search = GridSearchCV(
        pipeline, {"normalizer__choice": ["standard", "robust", tfnorm.minmax(-1), ["log1p", "standard"]]}
    )
    search.fit(X, labels)
    assert search.best_score_ > 0.9
    assert str(search.best_estimator_[0].choice) in ("standard", "robust", "minmax(low=-1)", "['log1p', 'standard']")
    both = FRAME.assign(city=["a", "b"] * 100)
    columns = ColumnTransformer(
        [("n", Normalizer("robust"), make_column_selector(dtype_include=float))], remainder="drop"
    ).set_output(transform="pandas")
    assert list(columns.fit_transform(both).columns) == ["n__age", "n__fare", "n__size"]
    target = TransformedTargetRegressor(Ridge(1e-6), transformer=Normalizer("standard")).fit(X, y)
    np.testing.assert_allclose(target.predict(X), y, rtol=1e-4)
    power = TransformedTargetRegressor(LinearRegression(), transformer=Normalizer("yeo_johnson, standard")).fit(X, y)
    assert power.score(X, y) > 0.9
    with sklearn.config_context(enable_metadata_routing=True):
        weighted = make_pipeline(
            Normalizer().set_fit_request(sample_weight=True), Ridge().set_fit_request(sample_weight=True)
        )
        weighted.fit(X, y, sample_weight=np.arange(200.0))
        np.testing.assert_array_equal(
            weighted[0].fitted_.profile["x"].moments.weight, np.full(3, np.arange(200.0).sum())
        )


def test_kept_copied_and_shown(tmp_path: Path) -> None:
    normalizer = Normalizer(tfnorm.minmax(-1), constant="keep").fit(FRAME)
    again = pickle.loads(pickle.dumps(normalizer))
    np.testing.assert_array_equal(again.transform(FRAME), normalizer.transform(FRAME))
    again.partial_fit(FRAME * 2)
    assert not hasattr(clone(normalizer), "fitted_")
    assert clone(normalizer).get_params() == normalizer.get_params()
    assert repr(normalizer) == "Normalizer(choice=minmax(low=-1), constant='keep')"
    normalizer.save(tmp_path / "n.json")
    np.testing.assert_array_equal(tfnorm.load(tmp_path / "n.json").transform(X), normalizer.transform(X))
    html = normalizer._repr_mimebundle_()["text/html"]
    assert "sk-top-container" in html
    assert normalizer.fitted_._repr_html_() in html
    assert normalizer._repr_html_() == html or len(normalizer._repr_html_()) == len(html)
    assert "sk-top-container" in make_pipeline(normalizer)._repr_html_()


def test_digits_and_dtypes() -> None:
    seconds = np.int64(1_700_000_000_000_000_000) + RANDOM.integers(0, 1000, (100, 1))
    got = Normalizer().fit(seconds).transform(seconds)
    exact = seconds - seconds[0]
    np.testing.assert_allclose(got, (exact - exact.mean()) / exact.std(), rtol=1e-9)
    for dtype in ("float16", "float32", "float64"):
        assert Normalizer().fit_transform(X.astype(dtype)).dtype == dtype
    assert Normalizer().fit_transform((X * 9).astype("int8")).dtype == "float64"


def test_auto_and_what_has_no_way_back() -> None:
    normalizer = Normalizer("auto").fit(X)
    technique = normalizer.fitted_.choice["x"]
    normalizer.partial_fit(X * 2)
    assert normalizer.fitted_.choice["x"] == technique
    assert not hasattr(Normalizer("l2"), "inverse_transform")
    assert hasattr(Normalizer("standard"), "inverse_transform")
    with pytest.raises(ChoiceError, match=r"[Dd]id you mean"):
        Normalizer("standrad").fit(X)


def test_the_layer_has_the_same_numbers() -> None:
    pytest.importorskip("keras")
    normalizer = Normalizer("robust").fit(X)
    np.testing.assert_allclose(normalizer.layer(dtype="float64")(X), normalizer.transform(X), rtol=1e-12, atol=1e-12)


def test_without_scikit_learn_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import tfnorm\n"
        "try: tfnorm.sklearn.Normalizer\n"
        "except ImportError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'tfnorm[sklearn]'" in said
