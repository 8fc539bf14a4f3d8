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


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("technique", ["l1", "l2", "linf"])
def test_plain_rows_of_unit_norm_are_what_they_are_beside_rows_that_are_not(way, technique):
    plain = RANDOM.normal(0, 3, (20, 6)).astype("float32")
    odd = np.zeros((5, 6), "float32")
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
    length = {"l1": 6, "l2": 6**0.5, "linf": 1}[technique]
    np.testing.assert_allclose(both[[21, 23]], 1 / length, rtol=1e-6)
    rest = {"l1": 5, "l2": 5**0.5, "linf": 1}[technique]
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
