"""The short cuts of the layer give what the long way gives; and layers train where Keras compiles with XLA."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfnorm
from tfnorm import maps
from tfnorm.layer import Normalize
from tfnorm.layer.blocks import can_turn
from tfnorm.layer.groups import moves_little

ROWS = 40
RANDOM = np.random.default_rng(2)
WAYS = {"eager": lambda layer: layer, "graph": tf.function, "xla": lambda one: tf.function(one, jit_compile=True)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 1)])
@pytest.mark.parametrize("technique", ["standard", "log1p, minmax, clip(0, 1)", "quantile", "yeo_johnson, standard"])
def test_columns_of_single_numbers_are_mapped_together_and_each_as_alone(way, shape, technique):
    data = {f"c{i}": RANDOM.lognormal(i / 5, 1, shape).astype("float32") for i in range(7)}
    data["c3"][2] = np.nan
    data["c5"] = RANDOM.integers(0, 1000, shape)  # of another type: in a block of its own
    fitted = tfnorm.fit(data, technique)
    wanted = {name: fitted[name].transform(x.astype("float64")) for name, x in data.items()}
    tensors = {name: tf.constant(x) for name, x in data.items()}
    found = WAYS[way](fitted.layer())(tensors)
    joined = WAYS[way](fitted.layer(concatenate=True))(tensors)
    for i, (name, one) in enumerate(wanted.items()):
        assert found[name].shape == shape
        np.testing.assert_allclose(found[name], one, rtol=2e-6, atol=2e-6)
        np.testing.assert_allclose(joined[:, i], one.reshape(-1), rtol=2e-6, atol=2e-6)
    back = WAYS[way](fitted.layer(inverse=True))({name: found[name] for name in ("c6", "c1", "c2")})
    for name in back:
        limits = data[name].min(), data[name].max()
        np.testing.assert_allclose(back[name], np.clip(data[name], *limits), rtol=2e-5, atol=1e-5)


def test_lone_numbers_and_an_unknown_number_of_rows():
    layer = Normalize(
        {name: maps.Affine(np.array([i]), np.array([2.0]), np.array([0.0])) for i, name in enumerate("abc")}
    )
    one = layer({name: tf.constant(5.0) for name in "abc"})
    assert [float(x) for x in one.values()] == [10, 8, 6]
    spec = {name: tf.TensorSpec((None,), tf.float32) for name in "abc"}
    graph = tf.function(layer).get_concrete_function(spec)
    assert [x.shape.as_list() for x in graph.structured_outputs.values()] == [[None]] * 3
    assert {"Pack", "Unpack"} <= {node.type for node in graph.graph.get_operations()}


def test_what_cannot_lie_in_rows_does_not():
    knots = tfnorm.fit(RANDOM.normal(size=100), "quantile").maps["x"]
    number = maps.Affine(*np.ones((3, 1)))
    column = tf.ones(4)
    assert can_turn(number, [column])
    assert not can_turn(number, [tf.ones(())])
    assert not can_turn(number, [keras.KerasTensor((None,))])
    assert can_turn(knots, [column]) == all(array.ndim == 1 for array in knots.arrays().values())
    assert not can_turn(maps.RowNorm(2.0), [column])


def affine(center: Any, scale: Any, offset: Any = 0.0) -> maps.Affine:
    return maps.Affine(
        *np.broadcast_arrays(*(np.atleast_1d(np.asarray(one, float)) for one in (center, scale, offset)))
    )


def short(layer: Normalize) -> bool:
    return all(group.short for group in layer._fit.groups)


def test_centers_that_hold_the_offsets_cost_no_more_than_promised():
    """Numbers by thousands, up to where the long way is taken: 1e-6 of 1 + |z| is kept on both sides of that."""
    random = np.random.default_rng(5)
    size = 2000
    scale = 2.0 ** random.uniform(-40, 40, size)
    step = affine(random.choice([-1, 1], size) * 2.0 ** random.uniform(-6, 10, size) / scale, scale)
    step = maps.Affine(step.center, step.scale, random.choice([0.0, 0.0, -1.0, 0.3, 5.0], size))
    each = [moves_little(affine(*one)) for one in zip(step.center, step.scale, step.offset, strict=True)]
    assert 0.4 < np.mean(each) < 0.95
    for chosen in (np.array(each), ~np.array(each)):
        one = affine(step.center[chosen], step.scale[chosen], step.offset[chosen])
        layer = Normalize({"x": one}, bare=True)
        assert short(layer) == chosen[np.argmax(each)]
        z = random.normal(0, 1, (50, len(one.scale))) * random.choice([1e-3, 1, 30], (50, 1))
        x = (one.center + z / one.scale).astype("float32")
        exact = one.forward(x.astype("float64"), np)
        for way in WAYS.values():
            off = np.abs(np.asarray(way(layer)(tf.constant(x)), "float64") - exact) / (1 + np.abs(exact))
            assert off.max() < 1e-6


@pytest.mark.parametrize("technique", ["standard", "minmax(-1, 1)", "robust", "log1p, standard"])
def test_what_a_fit_gives_is_one_operation_shorter_only_where_it_may_be(technique):
    near, far = RANDOM.lognormal(0, 1, (100, 4)), RANDOM.lognormal(0, 1, (100, 4)) + 3e4
    assert short(tfnorm.fit(near, technique).layer())
    assert not short(tfnorm.fit(near, technique).layer(inverse=True))
    assert not short(tfnorm.fit(far, technique).layer())
    still = near * [1, 1, 0, 1]
    assert not short(tfnorm.fit(still, technique).layer())
    graph = tf.function(tfnorm.fit(near, technique).layer()).get_concrete_function(tf.TensorSpec((None, 4)))
    passes = [one.type for one in graph.graph.get_operations() if one.outputs and one.outputs[0].shape.rank == 2]
    assert "AddV2" not in passes
    assert passes.count("Sub") == passes.count("Mul") == 1


@pytest.mark.parametrize("come", ["set_weights", "load_weights", "of the model"])
def test_numbers_of_another_fit_are_right_where_the_short_way_was_compiled(come, tmp_path):
    x, other = (RANDOM.normal(mean, 1, (64, 3)).astype("float32") for mean in (1, 3e4))
    other[:, 1] = 7

    def model_of(rows: np.ndarray) -> Any:
        return keras.Sequential([keras.Input((3,)), tfnorm.fit(rows, "standard").layer(), keras.layers.Identity()])

    model, wanted = model_of(x), model_of(other)
    assert short(model.layers[0])
    model.predict(x, verbose=0)
    if come == "load_weights":
        wanted.save_weights(tmp_path / "m.weights.h5")
        model.load_weights(tmp_path / "m.weights.h5")
    else:
        (model if come == "of the model" else model.layers[0]).set_weights(wanted.get_weights())
    exact = tfnorm.fit(other, "standard").transform(other.astype("float64"))
    # nobody tells the layer where a model's weights are set: the compiled way goes on, with the new center in float32
    limit = 3e4 * 2.0**-23 if come == "of the model" else 2e-6
    np.testing.assert_allclose(model.predict(other, verbose=0), exact, atol=limit)
    assert short(model.layers[0]) == (come == "of the model")


def test_a_layer_that_learned_what_is_near_learns_what_is_far():
    layer = tfnorm.Normalization()
    model = keras.Sequential([keras.Input((3,)), layer])
    for mean in (1, 3e4, 2):
        x = RANDOM.normal(mean, 1, (64, 3)).astype("float32")
        layer.adapt(x)
        exact = tfnorm.fit(x, "standard").transform(x.astype("float64"))
        np.testing.assert_allclose(model.predict(x, verbose=0), exact, rtol=2e-6, atol=2e-6)
        assert short(layer._numbers) == (mean < 3e4)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("technique", ["l1", "l2"])
@pytest.mark.parametrize("width", [1, 8, 16, 24, 50, 96])
def test_sums_by_lanes_are_sums(way, technique, width):
    x = (RANDOM.normal(0, 1, (5, 3, width)) * 10.0 ** RANDOM.integers(-3, 3, (5, 3, width))).astype("float32")
    layer = tfnorm.fit(x.reshape(-1, width), technique).layer()
    wanted = x / np.linalg.norm(x.astype("float64"), {"l1": 1, "l2": 2}[technique], axis=-1, keepdims=True)
    np.testing.assert_allclose(WAYS[way](layer)(tf.constant(x)), wanted, rtol=1e-6)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("width", [6, 32])
@pytest.mark.parametrize("technique", ["l1", "l2", "linf"])
def test_plain_rows_of_unit_norm_are_what_they_are_beside_rows_that_are_not(way, technique, width):
    plain = RANDOM.normal(0, 3, (20, width)).astype("float32")
    odd = np.zeros((5, width), "float32")
    odd[1], odd[2, 0], odd[3], odd[4, 0] = 1e-30, np.nan, 1e30, np.inf
    odd[2, 1:] = 2.0
    layer = tfnorm.fit(plain, technique).layer()
    run = WAYS[way](layer)
    order = {"l1": 1, "l2": 2, "linf": np.inf}[technique]
    wanted = plain / np.linalg.norm(plain.astype("float64"), order, axis=1, keepdims=True)
    np.testing.assert_allclose(run(tf.constant(plain)), wanted, rtol=1e-6, atol=1e-7)
    both = np.asarray(run(tf.constant(np.concatenate([plain, odd]))))
    np.testing.assert_allclose(both[:20], wanted, rtol=1e-6, atol=1e-7)
    assert (both[20] == 0).all()
    length = {"l1": width, "l2": width**0.5, "linf": 1}[technique]
    np.testing.assert_allclose(both[[21, 23]], 1 / length, rtol=1e-6)
    rest = {"l1": width - 1, "l2": (width - 1) ** 0.5, "linf": 1}[technique]
    assert np.isnan(both[22, 0])
    np.testing.assert_allclose(both[22, 1:], 1 / rest, rtol=1e-6)


@pytest.mark.parametrize("technique", ["standard", "robust", "l2", "yeo_johnson, standard", "quantile('normal')"])
def test_a_model_trains_with_xla(technique):
    x = RANDOM.lognormal(0, 1, (64, 3)).astype("float32")
    fitted, target = tfnorm.fit({"v": x}, technique), tfnorm.fit(x[:, :1], "standard")

    def trained(jit_compile: bool) -> Any:
        keras.utils.set_random_seed(0)
        inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model = fitted.attach(inner, target=target)
        model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=jit_compile)
        losses = model.fit({"v": x}, x[:, :1], epochs=4, batch_size=16, shuffle=False, verbose=0).history["loss"]
        assert losses[-1] < losses[0]
        return model.predict({"v": x}, verbose=0)

    np.testing.assert_allclose(trained(True), trained(False), rtol=1e-3, atol=1e-3)


def test_a_gradient_goes_through_both_branches_of_a_unit_norm():
    layer = Normalize({"v": maps.RowNorm(2.0)}, bare=True)
    for row in ([[3.0, 4.0]], [[3.0, 4.0], [0.0, 0.0]]):
        x = tf.constant(row)
        with tf.GradientTape() as tape:
            tape.watch(x)
            first = layer(x)[0, 0]
        np.testing.assert_allclose(tape.gradient(first, x)[0], [16 / 125, -12 / 125], rtol=1e-5)
