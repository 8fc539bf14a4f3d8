"""Parts that were made apart, used together: policies, keys, chains, whitening, sparse rows, masks, samples, wide integers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import scipy.sparse

import tfnorm
from tfnorm.errors import ChoiceError, TfnormError

NAN = float("nan")
STORE = np.arange(90) % 3
ROWS = np.random.default_rng(0).normal(size=(90, 4)) * [1, 2, 3, 4] + 10.0 * STORE[:, None]
BY = tfnorm.standard.by("store")


def by_hand(rows: Any, store: Any = STORE) -> Any:
    """Each row by mean and deviation of the rows of its store."""
    each = [(np.ma.mean(ROWS[store == key], axis=0), ROWS[store == key].std(axis=0)) for key in range(3)]
    return np.stack([(row - each[key][0]) / each[key][1] for row, key in zip(rows, store, strict=True)])


@pytest.mark.parametrize("unseen", ["global", "missing", "error"])
def test_samples_come_back_by_key(unseen: Any) -> None:
    """Inverse with like= takes each row's own numbers, in NumPy and in the layer."""
    data = {"x": ROWS, "store": STORE}
    fitted = tfnorm.fit(data, {"x": [tfnorm.standard.by("store", unseen=unseen), "instance"]})
    mapped = fitted.transform(data)
    standard = by_hand(ROWS)
    away = standard - standard.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(mapped["x"], away / away.std(axis=1, keepdims=True), atol=1e-12)
    np.testing.assert_allclose(fitted.inverse(mapped, like=data)["x"], ROWS, atol=1e-12)
    np.testing.assert_allclose(fitted["x"].inverse(mapped["x"], keys=STORE, like=ROWS), ROWS, atol=1e-12)
    back = fitted.layer(inverse=True, like=True)(
        {k: keras.ops.convert_to_tensor(v) for k, v in mapped.items()}, like=data
    )
    np.testing.assert_allclose(back["x"], ROWS, atol=1e-5)


@pytest.mark.parametrize("unseen", ["global", "missing"])
@pytest.mark.parametrize("repeats", [1, 200])  # few values are mapped at once, many in tiles
def test_masked_values_have_no_say_by_key(unseen: Any, repeats: int) -> None:
    fitted = tfnorm.fit({"x": ROWS, "store": STORE}, {"x": [tfnorm.standard.by("store", unseen=unseen), "instance"]})
    standard = np.tile(by_hand(ROWS), (repeats, 1))
    hidden = np.random.default_rng(1).random(standard.shape) < 0.2
    hidden[:, 0] = False
    came = np.ma.MaskedArray(np.where(hidden, 1e6, np.tile(ROWS, (repeats, 1))), hidden)
    kept = np.ma.MaskedArray(standard, hidden)
    away = kept - kept.mean(axis=1, keepdims=True)
    std = kept.std(axis=1, keepdims=True)
    expected = (away / np.where(std == 0, 1, std)).filled(0)
    found = fitted.transform({"x": came, "store": np.tile(STORE, repeats)})["x"]
    np.testing.assert_allclose(found.filled(0), expected, atol=1e-9)


def test_a_mask_in_a_layer_by_key() -> None:
    steps = np.stack([ROWS[:30], ROWS[:30] + 1, ROWS[:30] - 3], axis=1)
    data = {"x": steps, "store": STORE[:30]}
    fitted = tfnorm.fit(data, {"x": [tfnorm.standard.by("store", unseen="missing"), "instance(axis=-2)"]})
    there = np.ones((30, 3), bool)
    there[::2, 2] = False
    found = fitted.layer(dtype="float64")(data, mask={"x": there})["x"].numpy()
    short = fitted.transform({"x": steps[::2, :2], "store": STORE[:30:2]})["x"]
    np.testing.assert_allclose(found[::2, :2], short, atol=1e-9)
    assert (found[::2, 2] == 0).all()


@pytest.mark.parametrize("way", ["instance", "l1", "l2", "linf", "contrast"])
def test_no_rows_of_samples_in_the_layer(way: str) -> None:
    fitted = tfnorm.fit(ROWS, ["standard", way])
    assert fitted.layer()(np.zeros((0, 4), "float32")).shape == (0, 4)
    assert fitted.transform(np.zeros((0, 4))).shape == (0, 4)


@pytest.mark.parametrize("before", [[BY], ["impute", "standard"], ["impute", BY], ["standard", "impute"], ["impute"]])
def test_whitening_after_others(before: list[Any]) -> None:
    """What comes out has the identity for its covariance."""
    data = {"x": ROWS, "store": STORE}
    white = tfnorm.fit(data, {"x": [*before, "whiten"]}).transform(data)["x"]
    np.testing.assert_allclose(np.cov(white.T, ddof=0), np.eye(4), atol=1e-6)


@pytest.mark.parametrize("sparse", ["zero", "missing"])
@pytest.mark.parametrize("policy", ["clip", "missing"])
def test_range_of_sparse_rows(sparse: Any, policy: Any) -> None:
    """Each stored value is held against its own feature, and counted."""
    seen = scipy.sparse.csr_matrix([[1.0, 0.0, 30.0], [2.0, 20.0, 0.0], [0.0, 10.0, 60.0]])
    came = scipy.sparse.csr_matrix([[4.0, 10.0, 0.0], [0.0, 40.0, 60.0]])
    fitted = tfnorm.fit(seen, "maxabs", sparse=sparse, out_of_range=policy)
    outside = 1.0 if policy == "clip" else NAN
    np.testing.assert_array_equal(fitted.transform(came).toarray(), [[outside, 0.5, 0], [0, outside, 1]])
    assert fitted.fired["x", "out_of_range"] == 2


def test_sparse_rows_beside_a_column_by_key() -> None:
    data = {"text": scipy.sparse.csr_matrix(np.eye(90)), "x": ROWS, "store": STORE}
    found = tfnorm.fit(data, {"text": "maxabs", "x": BY}).transform(data)
    np.testing.assert_allclose(found["x"], by_hand(ROWS), atol=1e-12)
    with pytest.raises(TfnormError, match=r'"text".*would become'):
        tfnorm.fit({**data, "text": ROWS[:, :1]}, {"text": BY}).transform({**data, "text": data["text"][:, :1]})


@pytest.mark.parametrize("rule", [{}, {"out_of_range": "clip"}, {"out_of_range": "missing"}, {"constant": "keep"}])
@pytest.mark.parametrize(
    "choice",
    ["standard", BY, "standard, impute(indicator=True)", "standard, minmax", "minmax, standard", [BY, "minmax"]],
)
def test_wide_integers_keep_their_digits(rule: Any, choice: Any) -> None:
    """Beyond 2^53 a float64 has gaps of 256 at 2^60, and these numbers lie 3 apart."""
    steps = 3 * np.arange(90)
    rows = np.stack([2**60 + steps, np.full(90, 2**60), steps - 2**60], axis=1) if "constant" in rule else 2**60 + steps
    data = {"x": rows, "store": np.zeros(90, int)}
    by_key = BY in (choice if isinstance(choice, list) else [choice])
    if by_key and "constant" in rule:
        return  # refused
    fitted = tfnorm.fit(data, {"x": choice}, **rule)
    found = fitted.transform(data)["x"]
    last = str(choice[-1] if isinstance(choice, list) else choice).removesuffix(", impute(indicator=True)")
    expected = steps / steps.max() if last.endswith("minmax") else (steps - steps.mean()) / steps.std()
    np.testing.assert_allclose(found[:, 0] if found.ndim > 1 else found, expected, atol=1e-9)
    if rule.get("out_of_range"):
        low, high = fitted.transform({"x": np.array([2**59, 2**61]), "store": np.zeros(2, int)})["x"]
        ends = [expected[0], expected[-1]] if rule["out_of_range"] == "clip" else [NAN, NAN]
        filled = "impute" in str(choice) and rule["out_of_range"] == "missing"
        np.testing.assert_allclose([low, high], [0, 0] if filled else ends, atol=1e-9)


def test_constant_features_are_kept_beside_marks() -> None:
    rows = np.array([[7.0, 1.0], [7.0, NAN], [7.0, 3.0]])
    fitted = tfnorm.fit(rows, "standard, impute(indicator=True)", constant="keep")
    expected = [[7, -1, 0, 0], [7, 0, 0, 1], [7, 1, 0, 0]]
    np.testing.assert_array_equal(fitted.transform(rows), expected)
    np.testing.assert_allclose(fitted.layer()(rows), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("choice", "rule", "says"),
    [
        ("whiten", {"constant": "keep"}, r'"x": whiten: .*features \[0\] are constant.*constant="zero"'),
        ("standard, l2", {"constant": "keep"}, r'"x": standard, l2: .*features \[0\] are constant'),
        (BY, {"constant": "keep"}, 'column "x": .*by key'),
        ("standard", {"axis": {"y": None}}, 'axis: column "y": not in'),
        ("standard", {"share": 5}, "share must be a list of columns"),
        ("standard", {"exact": "no"}, "exact must be True or False, got 'no'"),
    ],
)
def test_what_does_not_go_together_is_said(choice: Any, rule: Any, says: str) -> None:
    rows = np.array([[7.0, 1.0], [7.0, 2.0], [7.0, 4.0]])
    with pytest.raises(ChoiceError, match=says):
        tfnorm.fit({"x": rows, "store": [0, 1, 0]}, {"x": choice}, **rule)


@pytest.mark.parametrize("zero", [0, 0.0, np.float32(0), np.int64(0)])
def test_any_number_fills(zero: Any) -> None:
    assert tfnorm.fit([1.0, NAN, 3.0], "standard", missing=zero).transform([NAN])[0] == 0


def test_ragged_rows_have_no_marks() -> None:
    """In NumPy and in the layer; vectors may get another width."""
    tf = pytest.importorskip("tensorflow")
    ragged = tf.ragged.constant([[1.0, 2.0], [3.0], []])
    fitted = tfnorm.fit({"x": ragged}, "standard, impute(indicator=True)")
    for way in (fitted.transform, fitted.layer()):
        with pytest.raises(TfnormError, match="no place for marks"):
            way({"x": ragged})
    steps = tf.RaggedTensor.from_row_lengths(ROWS[:6], [2, 0, 4])
    fitted = tfnorm.fit(steps, "whiten(components=2)")
    expected = tfnorm.fit(ROWS[:6], "whiten(components=2)").transform(ROWS[:6])
    np.testing.assert_allclose(fitted.transform(steps).flat_values, expected, atol=1e-9)
    np.testing.assert_allclose(fitted.layer(dtype="float64")(steps).flat_values, expected, atol=1e-9)


@pytest.mark.parametrize("choice", ["standard", "minmax", "standard, clip(-2, 2)", "standard, impute", "sigmoid"])
def test_running_layers_treat_infinite_values_as_their_running_does(choice: str) -> None:
    rows = ROWS.astype("float32")
    rows[3, 1] = np.inf
    layer = tfnorm.Running(choice, infinite="missing").layer()
    layer(rows, training=True)
    again = type(layer).from_config(layer.get_config())
    expected = tfnorm.fit(rows, choice, infinite="missing").transform(rows)
    for one in (layer, again, layer.running().layer()):
        np.testing.assert_allclose(one(rows), expected, atol=1e-4)
    assert layer.running().infinite == "missing"


@pytest.mark.parametrize("choice", ["standard", "standard, instance(axis=-2)"])
def test_running_layers_leave_masked_steps_out(choice: str) -> None:
    """They come out as 0, also where padding is NaN, and have no say in what is computed of a sample."""
    steps, there = ROWS.reshape(30, 3, 4).astype("float32"), np.ones((30, 3), bool)
    there[::2, 2] = False
    steps[~there] = np.nan
    found = tfnorm.RunningNormalize(choice)(steps, training=True, mask=there).numpy()
    assert (found[~there] == 0).all()
    seen = steps[there].astype(np.float64)
    standard = (steps - seen.mean(axis=0)) / seen.std(axis=0)
    if "instance" in choice:
        for i, one in enumerate(there):
            own = standard[i, one]
            standard[i, one] = (own - own.mean(axis=0)) / own.std(axis=0)
    np.testing.assert_allclose(found[there], standard[there], atol=1e-3)


def test_what_running_layers_refuse() -> None:
    tf = pytest.importorskip("tensorflow")
    with pytest.raises(ChoiceError, match=r"impute\(indicator=True\): a layer that keeps statistics gives no marks"):
        tfnorm.RunningNormalize("standard, impute(indicator=True)")
    with pytest.raises(TfnormError, match="takes dense tensors"):
        tfnorm.RunningNormalize("maxabs")(tf.sparse.from_dense(ROWS), training=True)
    with pytest.raises(TfnormError, match="expected numbers, got string"):
        tfnorm.RunningNormalize()(tf.constant([["a"]]), training=True)


@pytest.mark.parametrize("like", [ROWS[:1], ROWS[:7], ROWS[:, :2], ROWS[:, 0], np.full(ROWS.shape, "a")])
def test_like_must_be_the_samples_themselves(like: Any) -> None:
    """One row would spread over all, silently."""
    fitted = tfnorm.fit(ROWS, "standard, instance")
    with pytest.raises(TfnormError, match="like: column"):
        fitted.inverse(fitted.transform(ROWS), like=like)


IMAGES = np.random.default_rng(2).random((30, 4, 4, 2)) + STORE[:30, None, None, None]


@pytest.mark.parametrize("rule", [{}, {"out_of_range": "clip", "missing": 0}])
@pytest.mark.parametrize(
    ("rows", "choice"),
    [
        (IMAGES, [BY, "patches(2)"]),
        (IMAGES, ["patches(2)", BY]),
        (IMAGES, ["patches(2)", BY, "whiten", "join_patches(2)"]),
        (IMAGES, ["standard", "patches(2)", "whiten"]),
        (ROWS[:30], [BY, "whiten(components=2)"]),
        (ROWS[:30], [BY, "impute(indicator=True)"]),
    ],
)
def test_maps_of_another_width_by_key_in_the_layer(rows: Any, choice: Any, rule: Any) -> None:
    data = {"x": rows, "store": STORE[:30]}
    fitted = tfnorm.fit(data, {"x": choice}, **rule)
    found, expected = fitted.layer(dtype="float64")(data), fitted.transform(data)
    for name in set(expected) - {"store"}:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-9)
    if "components" not in str(choice):
        np.testing.assert_allclose(fitted.inverse(expected)["x"], rows, atol=1e-6)


@pytest.mark.parametrize("seen", [True, False])
def test_running_adds_only_over_the_same_axes(seen: bool) -> None:
    each, over_all = tfnorm.Running("standard"), tfnorm.Running("standard", axis=None)
    for one in (each, over_all)[: 1 + seen]:
        one.update(ROWS)
    for one, other in ((each, over_all), (over_all, each)):
        with pytest.raises(TfnormError, match="only when"):
            one + other
    assert (each + tfnorm.Running("standard")).num_rows == len(ROWS)
    assert (tfnorm.Running("standard", axis=None).update(ROWS[:, 0]) + tfnorm.Running("standard")).num_rows == len(ROWS)
