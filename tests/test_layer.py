"""The layer against exact arithmetic: every expected value is written here in NumPy float64, or made by fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfnorm import maps
from tfnorm.errors import ChoiceError, DataError, NotInvertibleError
from tfnorm.layer import Normalize

POLICIES = {"float32": 1e-6, "mixed_float16": 2e-3, "mixed_bfloat16": 1e-2, "float64": 1e-14}


def affine(center: Any, scale: Any, offset: Any = 0.0) -> maps.Affine:
    center, scale, offset = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(v, np.float64)) for v in (center, scale, offset))
    )
    return maps.Affine(center.copy(), scale.copy(), offset.copy(), has_constant=bool((scale == 0).any()))


def exact(x: np.ndarray, center: Any, scale: Any, offset: Any = 0.0) -> np.ndarray:
    """(x - center) * scale + offset, in longer than double precision."""
    x = x.astype(np.longdouble)
    return ((x - np.longdouble(center)) * np.longdouble(scale) + np.longdouble(offset)).astype(np.float64)


def ways(layer: Any, x: Any) -> dict[str, Any]:
    """What a layer gives, however it is run."""
    return {
        "eager": layer(x),
        "graph": tf.function(layer)(x),
        "xla": tf.function(layer, jit_compile=True)(x),
    }


def apart(got: Any, wanted: np.ndarray) -> float:
    got = np.asarray(got, np.float64)
    assert got.shape == wanted.shape
    assert (np.isnan(got) == np.isnan(wanted)).all()
    return float(np.nanmax(np.abs(got - wanted) / (1 + np.abs(wanted)), initial=0.0))


def table(rows: int = 50) -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    return {
        "age": random.normal(40, 10, rows).astype("float32"),
        "fare": random.normal(1e6, 1, (rows, 1)).astype("float32"),
        "vector": random.normal(3, 2, (rows, 3)).astype("float32"),
        "time": 1_700_000_000 + np.arange(rows),
    }


COLUMNS = {
    "age": affine(40, 1 / 10),
    "fare": affine(1e6, 1.0),
    "vector": affine([3, 2, 1], [1, 2, 4], [0, 0, 0.5]),
    "time": affine(1.7e9, 1 / 25),
}


def expected(data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        "age": exact(data["age"], 40, 1 / 10),
        "fare": exact(data["fare"], 1e6, 1),
        "vector": exact(data["vector"], [3, 2, 1], [1, 2, 4], [0, 0, 0.5]),
        "time": exact(data["time"], 1.7e9, 1 / 25),
    }


# ---- numbers


@pytest.mark.parametrize(("mean", "spread"), [(1e4, 1), (1e6, 1), (1e9, 1000), (-7e7, 30), (1e-3, 1e-6), (0, 1e30)])
def test_float32_is_within_a_millionth_whatever_the_offset(mean, spread):
    x = np.random.default_rng(1).normal(mean, spread, (2000, 2)).astype("float32")
    center, scale = mean + spread / 3, 1 / (1.1 * spread)
    layer = Normalize({"x": affine([center] * 2, scale)}, bare=True)
    wanted = exact(x, center, scale)
    for way, got in ways(layer, tf.constant(x)).items():
        assert got.dtype == "float32"
        assert apart(got, wanted) < 1e-6, way


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_gives_its_own_type_and_digits(policy):
    data = table()
    for got in ways(Normalize(COLUMNS, dtype=policy), {k: tf.constant(v) for k, v in data.items()}).values():
        for name, wanted in expected(data).items():
            assert got[name].dtype == keras.dtype_policies.get(policy).compute_dtype
            assert apart(got[name], wanted) < POLICIES[policy]


def test_timestamps_stay_apart_and_match_fractions():
    stamps = 1_700_000_000_000 + np.arange(1000)
    layer = Normalize({"t": affine(1_700_000_000_500, 1 / 300)}, bare=True)
    wanted = [float(Fraction(int(t) - 1_700_000_000_500) * Fraction(1 / 300)) for t in stamps]
    for dtype in ("int64", "float64", "uint64"):
        for got in ways(layer, tf.constant(stamps.astype(dtype))).values():
            assert len(np.unique(got)) == 1000
            assert apart(got, np.array(wanted)) < 1e-6


def test_integers_beyond_53_bits_keep_their_last_one():
    x = np.array([2**60 + 1, 2**60 + 3], "int64")
    layer = Normalize({"x": affine(2.0**60, 1.0)}, bare=True, dtype="float64")
    assert layer(x).numpy().tolist() == [1.0, 3.0]


@pytest.mark.parametrize(
    "dtype",
    ["bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "float16", "bfloat16", "float32", "float64"],
)
def test_every_number_type(dtype):
    x = tf.cast([[1, 0], [1, 1]], dtype)
    for got in ways(Normalize({"x": affine([0.25, 0.5], [4, 2])}, bare=True), x).values():
        assert got.dtype == "float32"
        assert got.numpy().tolist() == [[3, -1], [3, 1]]


def test_missing_stays_missing_and_a_constant_gives_its_offset():
    x = np.array([[5.0, np.nan], [7.0, 1.0], [np.inf, 2.0]], "float32")
    for got in ways(Normalize({"x": affine([5, 0], [0, 2], [0.5, 0])}, bare=True), tf.constant(x)).values():
        np.testing.assert_array_equal(got, [[0.5, np.nan], [0.5, 2], [0.5, 4]])


@pytest.mark.parametrize("order", [1.0, 2.0, np.inf])
def test_a_missing_value_adds_nothing_to_a_norm_everywhere_it_runs(order):
    x = tf.constant([[np.nan, 2.0], [3, 4], [0, 0]])
    norm = {1.0: 7, 2.0: 5, np.inf: 4}[order]
    for got in ways(Normalize({"x": maps.RowNorm(order)}, bare=True), x).values():
        np.testing.assert_allclose(got, [[np.nan, 1], [3 / norm, 4 / norm], [0, 0]], rtol=1e-6)


def test_numbers_beyond_float32_are_computed_in_float64():
    x = np.array([1.0, 2.0], "float32")
    got = Normalize({"x": affine(1.0, 1e-45), "y": affine(1.0, 1.0)}, dtype="float64")({"x": x, "y": x})
    assert got["x"].numpy().tolist() == [0.0, 1e-45]
    assert Normalize({"x": affine(1e300, 1e-300)}, bare=True)(np.array([2e300])).numpy() == pytest.approx(1.0)


FEATURES = 3
NUMBERS = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
POSITIVE = st.floats(1e-3, 1e3)
ROUND = st.floats(-5, 5).map(lambda value: round(value, 6))  # TensorFlow takes subnormal numbers for zero


def array_of(elements: Any) -> Any:
    return hnp.arrays(np.float64, FEATURES, elements=elements)


AFFINE = st.builds(maps.Affine, array_of(NUMBERS), array_of(POSITIVE), array_of(st.floats(-10, 10)))
CLIP = st.tuples(array_of(st.floats(-10, 10)), array_of(st.floats(0, 10))).map(
    lambda ab: maps.Clip(ab[0], ab[0] + ab[1])
)
ROW = st.sampled_from([maps.RowNorm(1.0), maps.RowNorm(2.0), maps.RowNorm(float("inf"))])
UNIT = st.builds(maps.Affine, array_of(st.floats(-3, 3)), array_of(st.floats(0.1, 10)), array_of(st.floats(-3, 3)))
MAPS = st.one_of(
    AFFINE,
    CLIP,
    st.just(maps.Log1p()),
    ROW,
    st.builds(lambda a, b: maps.chain(maps.Log1p(), a, b), UNIT, CLIP),
    st.builds(maps.chain, UNIT, ROW),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(step=MAPS, z=hnp.arrays(np.float64, (4, FEATURES), elements=ROUND), inverse=st.booleans())
def test_the_layer_is_what_the_map_says_in_numpy(step, z, inverse):
    inverse = inverse and step.invertible
    x = z if inverse or not isinstance(step, maps.Affine) else z / step.scale + step.center
    for dtype, bound in (("float32", 2e-6), ("float64", 1e-12)):
        data = x.astype(dtype)
        precision = dtype if step.fits(dtype) else "float64"
        wanted = maps.run(step.at(precision), data, np, inverse=inverse).astype("float64")
        got = np.asarray(Normalize({"x": step}, bare=True, inverse=inverse, dtype=dtype)(data), "float64")
        np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
        assert np.nanmax(np.abs(got - wanted) / (1 + np.abs(wanted)), initial=0) < bound


@pytest.mark.parametrize(
    "step",
    [
        affine([5, 0], [0, 2]),
        maps.Clip(np.array([0.0, 0]), np.array([1.0, 1])),
        maps.Log1p(),
        maps.RowNorm(1.0),
        maps.RowNorm(2.0),
        maps.RowNorm(float("inf")),
        maps.chain(maps.Log1p(), affine([0, 0], [1, 2])),
    ],
)
def test_gradients_are_finite_even_at_zero_and_outside_the_domain(step):
    x = tf.constant([[0.0, 0.0], [3.0, -4.0], [1.0, 1.0], [-1.0, 0.5]])
    layer = Normalize({"x": step}, bare=True)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(layer(x) ** 2)
    assert np.isfinite(tape.gradient(y, x)).all() or isinstance(step, maps.Log1p | maps.Chain)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        y = tf.reduce_sum(tf.where(tf.math.is_finite(y), y, tf.zeros_like(y)))
    assert np.isfinite(tape.gradient(y, x)).all()


# ---- shapes and columns


def test_a_dict_keeps_its_keys_their_order_and_what_was_not_fitted():
    data = {"name": np.array(["a"] * 50), "extra": np.arange(50), **table()}
    got = Normalize(COLUMNS)(data)
    assert list(got) == list(data)
    assert got["name"].dtype == "string"
    np.testing.assert_array_equal(got["extra"], np.arange(50))
    for name, wanted in expected(data).items():
        assert apart(got[name], wanted) < 1e-6


def test_columns_of_many_types_and_shapes_share_a_map():
    types = {"a": "float32", "b": "int64", "c": "float16", "d": "float32", "e": "uint8", "f": "float64"}
    layer = Normalize({name: affine(i, i + 1.0, 0.5) for i, name in enumerate(types)})
    assert len(layer.weights) == 7
    for shape in ((4,), (4, 1), (4, 2), (), (1,), (1, 1), (2, 3, 1)):
        data = {name: np.full(shape, 3, dtype) for name, dtype in types.items()}
        for got in ways(layer, {name: tf.constant(x) for name, x in data.items()}).values():
            for i, name in enumerate(types):
                assert apart(got[name], np.full(shape, (3 - i) * (i + 1) + 0.5)) < 1e-6


def test_images_by_channel_and_by_one_for_all():
    image = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3)).astype("uint8")
    wanted = exact(image, [100, 120, 140], [0.01, 0.02, 0.03])
    assert apart(Normalize({"i": affine([100, 120, 140], [0.01, 0.02, 0.03])}, bare=True)(image), wanted) < 1e-6
    assert apart(Normalize({"i": affine(127.5, 1 / 127.5)}, bare=True)(image), exact(image, 127.5, 1 / 127.5)) < 1e-6


@pytest.mark.parametrize("shape", [(8,), (8, 1)])
def test_five_thousand_columns_are_a_handful_of_nodes(shape):
    count = 5000
    layer = Normalize({f"c{i}": affine(i, 2.0) for i in range(count)})
    assert len(layer.weights) == 7
    data = {f"c{i}": tf.fill(shape, np.float32(i + 1)) for i in range(count)}
    graph = (
        tf.function(layer)
        .get_concrete_function({name: tf.TensorSpec((None, *shape[1:]), "float32") for name in data})
        .graph
    )
    kinds = [node.type for node in graph.get_operations()]
    assert len(kinds) < 2 * count + 50  # a placeholder and an output each
    assert len([kind for kind in kinds if kind not in ("Placeholder", "Identity")]) < 30
    got = layer(data)
    assert all(got[f"c{i}"].shape == shape for i in (0, count - 1))
    np.testing.assert_array_equal(np.stack([got[name] for name in list(data)[::500]]), 2)


def test_a_lone_tensor_of_a_hundred_thousand_columns():
    center = np.arange(100_000.0)
    x = np.random.default_rng(0).normal(center, 1, (4, 100_000)).astype("float32")
    assert apart(Normalize({"x": affine(center, 1.5)}, bare=True)(x), exact(x, center, 1.5)) < 1e-6


@pytest.mark.parametrize("rows", [1, 5])
def test_concatenate_gives_one_tensor_in_fitted_order(rows):
    data = table(rows)
    layer = Normalize(COLUMNS, concatenate=True)
    wanted = np.concatenate([x.reshape(rows, -1) for x in expected(data).values()], axis=1)
    shuffled = {name: tf.constant(data[name]) for name in ("vector", "time", "fare", "age")}
    for got in ways(layer, {**shuffled, "other": tf.constant([1] * rows)}).values():
        assert apart(got, wanted) < 1e-6
    assert layer.compute_output_shape({name: (None, *x.shape[1:]) for name, x in data.items()}) == (None, 6)
    scalars = Normalize({"a": affine(1, 1.0), "b": affine(2, 1.0)}, concatenate=True)
    np.testing.assert_array_equal(scalars({"b": np.ones(rows), "a": np.ones(rows)}), [[0, -1]] * rows)
    mixed = Normalize(
        {"a": affine(1, 1.0), "b": maps.Clip(np.zeros(1), np.ones(1)), "c": affine(2, 1.0)}, concatenate=True
    )
    np.testing.assert_array_equal(mixed(dict.fromkeys("abc", np.full(rows, 5.0))), [[4, 1, 3]] * rows)


def test_shapes_are_told_before_anything_runs():
    layer = Normalize({"a": affine(1, 1.0), "v": affine([1, 2], 1.0)}, dtype="mixed_float16")
    spec = layer({"a": keras.Input(()), "v": keras.Input((2,)), "s": keras.Input((), dtype="string")})
    assert {name: (x.shape, x.dtype) for name, x in spec.items()} == {
        "a": ((None,), "float16"),
        "v": ((None, 2), "float16"),
        "s": ((None,), "string"),
    }
    assert layer.compute_output_shape({"a": (None,), "v": (None, 2)}) == {"a": (None,), "v": (None, 2)}
    assert Normalize({"a": affine(1, 1.0)}, bare=True).compute_output_shape((None, 4)) == (None, 4)


def test_masks_travel():
    x = keras.ops.convert_to_tensor(np.ones((2, 3, 1), "float32"))
    layer = keras.Sequential([keras.layers.Masking(1.0), Normalize({"x": affine(0, 1.0)}, bare=True)])
    assert layer(x)._keras_mask.numpy().tolist() == [[False] * 3] * 2


# ---- the way back


def test_inverse_takes_any_subset_and_comes_back():
    data = table()
    back = Normalize(COLUMNS, inverse=True, dtype="float64")
    for name, wanted in expected(data).items():
        ((key, got),) = back({name: wanted}).items()
        assert key == name
        np.testing.assert_allclose(got, data[name].astype("float64"), rtol=1e-15)
    with pytest.raises(DataError, match="missing"):
        back({"other": np.ones(3)})


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "float32"])
def test_a_price_survives_half_precision(policy):
    back = Normalize({"price": affine(70_000, 1 / 1000)}, bare=True, inverse=True, dtype=policy)
    got = back(np.array([0.0, 2.0], "float16"))
    assert got.dtype == "float32"
    assert got.numpy().tolist() == [70_000, 72_000]


def test_what_cannot_come_back_is_told_when_it_is_made():
    with pytest.raises(NotInvertibleError, match=r'"a\\nb": .*forgets its length'):
        Normalize({"x": affine(0, 1.0), "a\nb": maps.RowNorm(2.0)}, inverse=True)


# ---- errors


@pytest.mark.parametrize("columns", [{}, None, []])
def test_no_fit_is_an_error_never_identity(columns):
    with pytest.raises(ChoiceError, match="no columns"):
        Normalize(columns)


@pytest.mark.parametrize(
    ("flags", "message"),
    [({"bare": True}, "one column"), ({"concatenate": True, "inverse": True}, "neither"), ({"wrong": 1}, "wrong")],
)
def test_flags_that_contradict(flags, message):
    with pytest.raises(ValueError, match=message):
        Normalize({"a": affine(0, 1.0), "b": affine(0, 1.0)}, **flags)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"a": np.ones(3), "z": np.ones(3)}, '"v".* has "a", "z"'),
        ({"a": np.ones(3), "v": np.ones((3, 4))}, '"v": fitted on 2 features a row, got 4'),
        ({"a": np.ones(3), "v": np.ones((3, 1))}, '"v": fitted on 2 features a row, got 1'),
        ({"a": np.ones(3), "v": np.ones(3)}, '"v": fitted on 2 .*got a scalar'),
        ({"a": np.array(["x"]), "v": np.ones((1, 2))}, '"a": expected numbers, got string'),
        (np.ones((3, 2)), 'dict of columns \\("a", "v"\\)'),
    ],
)
def test_input_that_does_not_suit_names_the_column_and_both_sides(inputs, message):
    layer = Normalize({"a": affine(0, 1.0), "v": affine([1, 2], 1.0)})
    with pytest.raises(DataError, match=message):
        layer(inputs)
    with pytest.raises(DataError, match=message):
        layer(
            keras.tree.map_structure(
                lambda x: keras.KerasTensor(x.shape, "string" if x.dtype.kind == "U" else x.dtype), inputs
            )
        )


def test_a_width_seen_only_when_run_does_not_spread():
    layer = Normalize({"v": affine([1, 2], 1.0)}, bare=True)
    run = tf.function(layer, input_signature=[tf.TensorSpec((None, None), "float32")])
    np.testing.assert_array_equal(run(tf.ones((3, 2))), [[0, -1]] * 3)
    for width in (1, 4):
        with pytest.raises(tf.errors.InvalidArgumentError):
            run(tf.ones((6, width)))
    unknown = tf.function(layer, input_signature=[tf.TensorSpec(None, "float32")], autograph=False)
    with pytest.raises(DataError, match="number of axes is unknown"):
        unknown.get_concrete_function()


def test_a_row_norm_never_runs_across_the_batch():
    with pytest.raises(DataError, match="Batch the data"):
        Normalize({"x": maps.RowNorm(2.0)})({"x": np.ones(3)})
    with pytest.raises(DataError, match="concatenate"):
        Normalize({"v": affine([1, 2], 1.0)}, concatenate=True)({"v": np.ones(2)})
