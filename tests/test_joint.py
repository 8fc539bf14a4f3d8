"""Covariance, whitening and patches against exact fractions, scikit-learn and NumPy."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

import tfnorm
from tfnorm import covariance
from tfnorm.artefact import dumps, loads
from tfnorm.covariance import Covariance
from tfnorm.errors import ArtefactError, ChoiceError, DataError
from tfnorm.maps import Affine, Chain, Matrix, Patches

NAN = float("nan")
RANDOM = np.random.default_rng(11)
MIXED = RANDOM.normal(size=(500, 4)) @ RANDOM.normal(size=(4, 4)) + 3.0


def exact(x: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """The population covariance in fractions, rounded once at the end."""
    rows = [[Fraction(float(value)) for value in row] for row in x]
    weights = [Fraction(float(w)) for w in (np.ones(len(x)) if weight is None else weight)]
    total, places = sum(weights), range(x.shape[1])
    means = [sum(w * row[j] for w, row in zip(weights, rows, strict=True)) / total for j in places]
    away = [[row[j] - means[j] for j in places] for row in rows]
    return np.array(
        [
            [float(sum(w * a[i] * a[j] for w, a in zip(weights, away, strict=True)) / total) for j in places]
            for i in places
        ]
    )


# 1. The statistic.


@pytest.mark.parametrize("offset", [0.0, 1e8, 1e12])
@pytest.mark.parametrize("weighted", [False, True])
def test_covariance_is_exact_at_any_offset(offset: float, weighted: bool) -> None:
    x = RANDOM.normal(size=(700, 3)) @ RANDOM.normal(size=(3, 3)) + [offset, -offset, 0.0]
    weight = RANDOM.integers(0, 4, 700) / 4 if weighted else None
    expected = exact(x, weight)
    cut = [slice(0, 300), slice(300, 301), slice(301, 700)]
    parts = [Covariance.of(x[s], None if weight is None else weight[s]) for s in cut]
    for found in (Covariance.of(x, weight), parts[0] + (parts[1] + parts[2])):
        spread = np.sqrt(np.diag(expected))
        assert (np.abs(found.matrix - expected) <= 1e-14 * np.outer(spread, spread)).all()


def test_integers_beyond_53_bits_vary_as_they_do() -> None:
    x = np.array([[1, 5], [2, 3], [3, 1], [4, 1]], np.int64)
    far = x + (1 << 62)
    np.testing.assert_array_equal(Covariance.of(far).matrix, Covariance.of(x).matrix)
    assert Covariance.of(far).mean.tolist() == [float(2**62), float(2**62)]
    assert Covariance.of(far).mean_low.tolist() == [2.5, 2.5]


def test_spreads_of_any_size() -> None:
    x = RANDOM.normal(size=(300, 3)) @ RANDOM.normal(size=(3, 3))
    wide = Covariance.of(x * [1e-200, 1.0, 1e250])
    np.testing.assert_allclose(wide.correlation, np.corrcoef(x.T), rtol=1e-12)
    assert wide.matrix[1, 1] == pytest.approx(x[:, 1].var(), rel=1e-12)
    assert np.isinf(wide.matrix[2, 2])  # beyond float64, where the correlation is not


def test_the_rows_stay_as_they_are() -> None:
    for x in (MIXED.copy(), MIXED[:1].copy(), MIXED[:, :1].copy()):
        before = x.copy()
        Covariance.of(x, np.full(len(x), 2.0))
        np.testing.assert_array_equal(x, before)


def test_rows_with_a_gap_in_any_position_are_left_out_and_counted() -> None:
    x = MIXED.copy()
    x[[3, 50], [1, 2]], x[77, 0], x[80] = NAN, np.inf, np.nan
    whole = np.isfinite(x).all(axis=1)
    found = Covariance.of(x)
    assert found.left_out.tolist() == [4] * 4
    assert found.weight.tolist() == [496.0] * 4
    np.testing.assert_allclose(found.matrix, np.cov(x[whole].T, bias=True), rtol=1e-12)
    nulls = Covariance.of(np.ma.MaskedArray(x[:, :1], np.arange(500)[:, None] < 10))
    assert nulls.left_out.tolist() == [12]


def test_bits_do_not_depend_on_threads() -> None:
    x = RANDOM.normal(size=(3000, 130))
    for features in (*range(1, 20), 31, 48, 63, 64, 65, 100, 129):
        with threadpool_limits(1):
            alone = Covariance.of(x[:, :features])
        for number in (2, 3):
            with threadpool_limits(number):
                np.testing.assert_array_equal(Covariance.of(x[:, :features]).products, alone.products)
    fits = [tfnorm.fit(RANDOM_ROWS, "whiten", workers=number) for number in (1, 2, 3)]
    assert fits[0] == fits[1] == fits[2]


RANDOM_ROWS = np.random.default_rng(3).normal(size=(600_000, 3))


def test_a_block_is_a_column_and_a_part_of_it_a_smaller_one() -> None:
    columns = [MIXED, MIXED[:, :1] * 2, MIXED[:, 1:3]]
    joined = Covariance.join([Covariance.of(one) for one in columns])
    assert joined.sizes == (4, 1, 2)
    np.testing.assert_array_equal(joined.take(1, 3).matrix, Covariance.of(MIXED).matrix[1:3, 1:3])
    np.testing.assert_array_equal(joined.take(3, 6).sizes, (1, 1, 1))
    np.testing.assert_array_equal(joined.take(5, 7).matrix, Covariance.of(MIXED).matrix[1:3, 1:3])


def test_pushed_through_straight_lines() -> None:
    center, scale, offset = (
        np.array([3.0, 1e6, 0.0, 2.0]),
        np.array([2.0, -1e-9, 0.0, 1e200]),
        np.array([1.0, 5.0, 7.0, 0.0]),
    )
    step = Affine(center, scale, offset, has_constant=True)
    for far in (0.0, 1e9):
        found = Covariance.of(MIXED + far).pushed(Chain((Affine(center * 0 + far, center * 0 + 1, center * 0), step)))
        expected = Covariance.of(step.forward(MIXED, np))
        assert found.flaw() == ""
        np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-7)
        varying = np.ix_([0, 1, 3], [0, 1, 3])
        np.testing.assert_allclose(found.correlation[varying], expected.correlation[varying], rtol=1e-6)
        assert np.diag(found.in_units()[0])[2] == 0
    with pytest.raises(TypeError, match="Patches"):
        Covariance.of(MIXED).pushed(Patches(2))


def flawed() -> dict[str, Covariance]:
    good = Covariance.of(MIXED)

    def but(**fields: Any) -> Covariance:
        return dataclasses.replace(good, **fields)

    negative, large = good.products.copy(), good.products.copy()
    negative[0], large[1] = -1.0, 1e9
    return {
        "do not fit": but(ends=good.ends + 1),
        "differ in length": but(mean=good.mean[:3]),
        "differ in their rows": but(weight=good.weight + np.arange(4.0)),
        "below 0": but(products=negative),
        "two variances": but(products=large),
        "not finite": but(mean=good.mean * NAN),
        "out of range": but(exponent=good.exponent + 5000),
        "count is below": but(left_out=good.left_out - 1),
        "numbers of its kind": but(left_out=good.left_out * 1.0),
    }


@pytest.mark.parametrize("words", flawed())
def test_what_no_data_can_have_given_is_told(words: str) -> None:
    assert words in flawed()[words].flaw()


def test_too_many_features_are_refused_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ChoiceError, match=r'column "x": whiten: .* 20,000 features is a matrix of 3\.2 GB.*patches'):
        tfnorm.fit(np.broadcast_to(0.0, (10, 20_000)), "whiten")
    monkeypatch.setattr(covariance, "MAX_FEATURES", 3)
    with pytest.raises(DataError, match="4 features"):
        Covariance.of(MIXED)
    with pytest.raises(ChoiceError, match="4 features"):
        tfnorm.fit(np.zeros((5, 2, 2, 1)), "patches(2), whiten")


# 2. Whitening.


def test_pca_is_scikit_learns_but_for_the_divisor_and_signs() -> None:
    y, n = tfnorm.fit(MIXED, "whiten").transform(MIXED), len(MIXED)
    theirs = PCA(whiten=True).fit(MIXED)
    expected = theirs.transform(MIXED) * np.sqrt(n / (n - 1))
    loadings = theirs.components_
    signs = np.sign(loadings[np.arange(4), np.abs(loadings).argmax(axis=1)])
    np.testing.assert_allclose(y, expected * signs, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        tfnorm.fit(MIXED, "whiten(components=2)").transform(MIXED), (expected * signs)[:, :2], atol=1e-9
    )
    kept = tfnorm.fit(MIXED, "whiten(components=2)")
    theirs = PCA(n_components=2).fit(MIXED)
    np.testing.assert_allclose(
        kept.inverse(kept.transform(MIXED)), theirs.inverse_transform(theirs.transform(MIXED)), atol=1e-9
    )


def test_zca_is_the_inverse_root_of_the_covariance() -> None:
    x = np.array([[3.0, 3.0], [-3.0, -3.0], [1.0, -1.0], [-1.0, 1.0]])  # covariance [[5, 4], [4, 5]]: roots 3 and 1
    step = tfnorm.fit(x, "whiten('zca')").maps["x"]
    assert isinstance(step, Matrix)
    np.testing.assert_allclose(step.matrix, [[2 / 3, -1 / 3], [-1 / 3, 2 / 3]], rtol=1e-14)
    np.testing.assert_allclose(step.back, [[2.0, 1.0], [1.0, 2.0]], rtol=1e-14)
    covariance = np.cov(MIXED.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    for epsilon in (0, 0.5):
        root = vectors @ np.diag(1 / np.sqrt(values + epsilon)) @ vectors.T
        step = tfnorm.fit(MIXED, f"whiten('zca', epsilon={epsilon})").maps["x"]
        assert isinstance(step, Matrix)
        np.testing.assert_allclose(step.matrix, root, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("method", ["pca", "zca"])
def test_far_from_zero_where_scikit_learn_loses_digits(method: str) -> None:
    x = np.round(RANDOM.normal(size=(400, 3)) @ RANDOM.normal(size=(3, 3)), 3) + 1e8
    fitted = tfnorm.fit(x, f"whiten('{method}')")
    step = fitted.maps["x"]
    assert isinstance(step, Matrix)
    true = exact(x)
    np.testing.assert_allclose(step.matrix.T @ true @ step.matrix, np.eye(3), atol=1e-12)
    y = fitted.transform(x)
    np.testing.assert_allclose(np.cov(y.T, bias=True), np.eye(3), atol=1e-12)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(fitted.inverse(y), x, rtol=1e-15)
    narrow = fitted.transform((x - 1e8).astype("float32"))  # other rows, of another type
    np.testing.assert_allclose(narrow, fitted.transform((x - 1e8).astype("float32").astype("float64")), rtol=1e-6)


@pytest.mark.parametrize("method", ["pca", "zca"])
def test_directions_without_variance_become_zero(method: str) -> None:
    a, b = MIXED[:, 0], MIXED[:, 1]
    x = np.stack([a, np.full(500, 7.0), b, 0.1 * a - 3 * b + 1], axis=1)
    fitted = tfnorm.fit(x, f"whiten('{method}')")
    y = fitted.transform(x)
    np.testing.assert_allclose(np.linalg.eigvalsh(np.cov(y.T, bias=True)), [0, 0, 1, 1], atol=1e-12)
    np.testing.assert_allclose(fitted.inverse(y), x, rtol=1e-12, atol=1e-12)
    assert "2 of 4 directions" in fitted["x"].lost
    assert not fitted["x"].invertible  # as far as the kept directions go
    unseen = x[:1] + np.array([0.0, np.inf, 0.0, 0.0])
    np.testing.assert_array_equal(fitted.transform(unseen), y[:1])
    off = x[:1] + np.array([0.0, 0.0, 0.0, 5.0])  # what the data never did
    assert np.isfinite(fitted.transform(off)).all()
    if method == "pca":
        assert (fitted.transform(off)[:, 2:] == 0).all()


@pytest.mark.parametrize("choice", ["whiten", "whiten('zca')", "whiten('zca', epsilon=0.1)", "standard, whiten"])
def test_a_constant_gives_zero_whatever_comes(choice: str) -> None:
    fitted = tfnorm.fit(np.full((5, 2), 3.5), choice)
    assert fitted.transform([[3.5, 1e300], [np.inf, -4.0]]).tolist() == [[0.0, 0.0]] * 2
    assert fitted.inverse([[0.0, 0.0]]).tolist() == [[3.5, 3.5]]
    assert np.isnan(fitted.transform([[NAN, 3.5]])).all()


def test_signs_and_order_are_fixed() -> None:
    x = MIXED[:, :2]
    for data in (x, -x, x[::-1]):
        step = tfnorm.fit(data, "whiten").maps["x"]
        assert isinstance(step, Matrix)
        largest = np.abs(step.back).argmax(axis=1)
        assert (step.back[[0, 1], largest] > 0).all()
        spread = np.sqrt((step.back**2).sum(axis=1))
        assert spread[0] > spread[1]
    equal = np.array([[1.0, 1.0], [-1.0, -1.0], [0.5, -0.5], [-0.5, 0.5]])  # loadings of one size
    step = tfnorm.fit(equal, "whiten").maps["x"]
    assert isinstance(step, Matrix)
    assert (step.back[:, 0] > 0).all()


def test_components_by_number_and_by_share() -> None:
    ratios = PCA().fit(MIXED).explained_variance_ratio_.cumsum()
    for number in (1, 2, 3):
        share = ratios[number - 1] - 1e-6
        assert tfnorm.fit(MIXED, f"whiten(components={share})").transform(MIXED).shape == (500, number)
        zca = tfnorm.fit(MIXED, f"whiten('zca', components={number})").transform(MIXED)
        assert zca.shape == (500, 4)
        assert np.linalg.matrix_rank(zca) == number
    for wrong, words in (("5", "at most"), ("0", "from 1 up"), ("1.5", "whole number"), ("'two'", "a number or None")):
        with pytest.raises(ChoiceError, match=words):
            tfnorm.fit(MIXED, f"whiten(components={wrong})")


def test_chains() -> None:
    y = tfnorm.fit(MIXED, "standard, whiten").transform(MIXED)
    apart = tfnorm.fit(MIXED, "standard").transform(MIXED)
    np.testing.assert_allclose(y, tfnorm.fit(apart, "whiten").transform(apart), atol=1e-10)
    positive = np.abs(MIXED)
    y = tfnorm.fit(positive, "log1p, whiten").transform(positive)
    logs = np.log1p(positive)
    np.testing.assert_allclose(y, tfnorm.fit(logs, "whiten").transform(logs), atol=1e-10)
    clipped = tfnorm.fit(MIXED, "whiten, clip(-1, 1)").transform(MIXED)
    np.testing.assert_allclose(clipped, np.clip(tfnorm.fit(MIXED, "whiten").transform(MIXED), -1, 1))


def test_it_must_have_a_vector_of_features() -> None:
    for data in ({"age": [1.0, 2.0]}, np.arange(5.0)):
        with pytest.raises(ChoiceError, match="a vector in each row"):
            tfnorm.fit(data, "whiten")
    with pytest.raises(ChoiceError, match="axis=None"):
        tfnorm.fit(MIXED, "whiten", axis=None)
    with pytest.raises(ChoiceError, match="covariance, which the profile lacks"):
        tfnorm.fit(tfnorm.scan(MIXED), "whiten")
    with pytest.raises(ChoiceError, match="there is none"):
        tfnorm.fit([[1.0, NAN], [NAN, 2.0]], "whiten")


def test_weights_count_rows() -> None:
    weight = RANDOM.integers(0, 4, 500).astype(float)
    repeated = np.repeat(MIXED, weight.astype(int), axis=0)
    weighted = tfnorm.fit(MIXED, "whiten", weight=weight).transform(MIXED)
    np.testing.assert_allclose(weighted, tfnorm.fit(repeated, "whiten").transform(MIXED), atol=1e-11)


def test_fits_add_up_and_are_saved() -> None:
    whole, parts = tfnorm.fit(MIXED, "whiten"), [tfnorm.fit(MIXED[s], "whiten") for s in (slice(200), slice(200, 500))]
    added = parts[0] + parts[1]
    np.testing.assert_allclose(added.transform(MIXED), whole.transform(MIXED), atol=1e-11)
    for one in (
        added,
        tfnorm.fit({"a": MIXED, "b": MIXED[:, :2]}, {"a": "whiten(components=2)", "b": "whiten('zca')"}),
    ):
        assert loads(dumps(one)) == one
    images = RANDOM.normal(size=(20, 4, 4, 2))
    fitted = tfnorm.fit(images, "patches(2), whiten, join_patches(2)")
    assert loads(dumps(fitted)) == fitted
    text = dumps(whole).decode().replace('"kept": 4', '"kept": 7')
    with pytest.raises(ArtefactError, match="checksum"):
        loads(text.encode())
    assert "cannot keep 7" in dataclasses.replace(whole.maps["x"], kept=7).flaw(4)  # type: ignore[call-arg]


def test_float32_where_it_will_do() -> None:
    mild = tfnorm.fit(MIXED, "standard, whiten").maps["x"]
    assert isinstance(mild, Chain)
    assert mild.maps[1].fits("float32")
    steep = np.stack([MIXED[:, 0], MIXED[:, 0] + MIXED[:, 1] * 1e-4], axis=1).astype("float32")
    fitted = tfnorm.fit(steep, "whiten")
    assert not fitted.maps["x"].fits("float32")  # so float64 computes it
    np.testing.assert_allclose(fitted.transform(steep), fitted.transform(steep.astype("float64")), rtol=1e-6, atol=1e-6)


# 3. Images.


def test_channels_of_images_are_decorrelated() -> None:
    images = RANDOM.normal(size=(30, 5, 6, 3)) @ RANDOM.normal(size=(3, 3)) + 100
    pixels = images.reshape(-1, 3)
    y = tfnorm.fit(images, "whiten('zca')").transform(images)
    np.testing.assert_allclose(y.reshape(-1, 3), tfnorm.fit(pixels, "whiten('zca')").transform(pixels), atol=1e-9)
    large = np.tile(images, (40, 1, 1, 1)).astype("float32")  # many tiles
    np.testing.assert_allclose(tfnorm.fit(images, "whiten('zca')").transform(large)[-30:], y, atol=1e-4)


def test_patches_are_cut_and_joined() -> None:
    images = np.arange(2 * 4 * 6 * 2.0).reshape(2, 4, 6, 2)
    fitted = tfnorm.fit(images, "patches(2)")
    y = fitted.transform(images)
    assert y.shape == (2, 2, 3, 8)
    for row in range(2):
        for column in range(3):
            patch = images[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            np.testing.assert_array_equal(y[:, row, column], patch.reshape(2, 8))
    np.testing.assert_array_equal(fitted.inverse(y), images)
    for wrong, words in ((np.zeros((2, 5, 4, 1)), "multiples"), (np.zeros((2, 5)), "cut from images")):
        with pytest.raises(ChoiceError, match=f'column "x": .*{words}'):
            tfnorm.fit(wrong, "patches(2)")
    with pytest.raises(DataError, match="multiples"):
        fitted.transform(images[:, :3])
    with pytest.raises(ChoiceError, match="from 1 up"):
        tfnorm.fit(images, "patches(0)")
    with pytest.raises(ChoiceError, match="patches of 3"):
        tfnorm.fit(images, "patches(2), whiten, join_patches(3)")


def test_patches_are_whitened_as_vectors() -> None:
    images = RANDOM.normal(size=(60, 8, 4, 3)) + RANDOM.normal(size=(60, 1, 1, 3))
    cut = tfnorm.fit(images, "patches(2)").transform(images).reshape(-1, 12)
    expected = tfnorm.fit(cut, "whiten('zca')").transform(cut)
    fitted = tfnorm.fit(images, "patches(2), whiten('zca'), join_patches(2)")
    y = fitted.transform(images)
    assert y.shape == images.shape
    np.testing.assert_allclose(tfnorm.fit(y, "patches(2)").transform(y).reshape(-1, 12), expected, atol=1e-9)
    np.testing.assert_allclose(fitted.inverse(y), images, atol=1e-12)
    assert fitted.profile.flaw() == ""
    assert tfnorm.fit(images, "patches(4), whiten(components=5)").transform(images).shape == (60, 2, 1, 5)


def test_outside_a_domain_is_told_before_patches_are_cut() -> None:
    images = np.ones((4, 2, 2, 1))
    images[2, 1, 0, 0] = -5.0
    with pytest.raises((ChoiceError, DataError), match="above -1"):
        tfnorm.fit(images, "log1p, patches(2), whiten")


# 4. What surrounds them.


def test_a_column_of_vectors_becomes_one_of_another_length() -> None:
    import polars as pl

    frame = pl.DataFrame({"v": pl.Series(MIXED.tolist(), dtype=pl.Array(pl.Float64, 4)), "id": np.arange(500)})
    new = tfnorm.fit(frame, {"v": "whiten(components=2)"}).transform(frame)
    assert new.schema["v"] == pl.Array(pl.Float64, 2)
    expected = tfnorm.fit(MIXED, "whiten(components=2)").transform(MIXED)
    np.testing.assert_allclose(new["v"].to_numpy(), expected, atol=1e-12)


def test_a_table_of_a_fit_tells_widths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = repr(tfnorm.fit({"v": MIXED}, {"v": "whiten(components=2)"}))
    assert "4 features to 2: (x - mean) @ W" in text
    assert "2 of 4 directions are dropped" in text
    assert repr(tfnorm.fit(MIXED, "whiten(components=2)")).startswith(
        "fit of 4 features on 500 rows of array, giving 2 features"
    )
    text = repr(tfnorm.fit({"age": [1.0, NAN, 4.0]}, "standard, impute(indicator=True)"))
    assert "(x - 2.5) / 1.5, then 0 where missing, and a mark of it" in text


def test_times_in_nanoseconds_keep_their_last_digits() -> None:
    x = np.array([[0, 9], [1, 3], [2, 1], [3, 7]], np.int64) + 1_700_000_000_123_456_789
    fitted, near = tfnorm.fit(x, "whiten"), tfnorm.fit(x - x.min(), "whiten")
    np.testing.assert_allclose(fitted.transform(x), near.transform(x - x.min()), atol=1e-12)
    np.testing.assert_allclose(fitted.layer()(x), near.transform(x - x.min()), atol=1e-6)


def test_log1p_of_large_numbers_is_whitened_in_float64() -> None:
    x = (1e6 + RANDOM.normal(size=(200, 2)) * 100).astype("float32")
    fitted = tfnorm.fit(x, "log1p, whiten")
    exact_in_float64 = fitted.transform(x.astype("float64"))
    np.testing.assert_allclose(fitted.transform(x), exact_in_float64, atol=2e-6)
    np.testing.assert_allclose(fitted.layer()(x), exact_in_float64, atol=2e-6)


def test_rounding_at_a_large_offset_is_no_direction() -> None:
    a = RANDOM.normal(size=500)
    x = np.stack([a, 3 * a], axis=1) + 1e10  # dependent, but for the rounding of the numbers themselves
    fitted = tfnorm.fit(x, "whiten")
    assert (fitted.transform(x)[:, 1] == 0).all()
    np.testing.assert_allclose(fitted.inverse(fitted.transform(x)), x, rtol=1e-15)


def test_blocks_that_are_not_the_columns_are_told() -> None:
    profile = tfnorm.fit({"a": MIXED, "b": MIXED[:, :2]}, "whiten").profile
    assert profile.flaw() == ""
    assert profile["b"].covariance.features == 2
    wrong = Covariance.join([Covariance.of(MIXED[:, :3]), Covariance.of(MIXED[:, :3])])
    gatherings = [
        dataclasses.replace(one, statistic=wrong) if isinstance(one.statistic, Covariance) else one
        for one in profile.gatherings
    ]
    assert "blocks" in dataclasses.replace(profile, gatherings=tuple(gatherings)).flaw()


def test_spreads_at_the_end_of_float64_give_no_infinity() -> None:
    for x in ([[0.0], [5e-324]], [[1e308, -1e308], [-1e308, 1e308], [1e308, 1e308]], [[1e200, 1.0], [3e200, 2.0]]):
        for choice in ("whiten", "whiten('zca')"):
            fitted = tfnorm.fit(np.array(x), choice)
            assert np.isfinite(fitted.transform(np.array(x))).all()
            assert fitted.maps["x"].flaw(len(x[0])) == ""
