"""One network, trained again and again: from the weights of a seed, on rows in the order of a seed.

The one law: a run depends on the features, the goal and the seed; nothing of the run before is left.

The network is built and traced once a shape of features; a run puts the weights back and makes many steps a call. Here, and
nowhere else in the comparison, TensorFlow and Keras are imported.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tfnorm.errors import ChoiceError

UNITS = 32
ROWS_AT_ONCE = 4096  # of the validation part, where a network is not compiled
COMPILED = frozenset(
    {*("InputLayer", "Dense", "Activation", "ReLU", "LeakyReLU", "Dropout", "Flatten", "Reshape", "Concatenate", "Add")}
    | {*("BatchNormalization", "LayerNormalization", "GaussianNoise", "Rescaling", "GRU", "LSTM", "SimpleRNN")}
)
"""Networks of these layers alone are compiled by XLA: 3 times as fast where there is much to start and little to multiply.
Convolutions are not: on a CPU, XLA's took 10 to 30 times as long as TensorFlow's own."""

Build = Callable[[tuple[int, ...], int], Any]
"""(shape of a row's features, number of outputs) -> keras.Model that gives numbers, or logits of classes."""


def libraries() -> tuple[Any, Any]:
    """TensorFlow and Keras; an ImportError that says what to do where they are not there."""
    try:
        import keras
        import tensorflow as tf
    except ImportError as error:
        if (error.name or "").split(".")[0] not in ("keras", "tensorflow"):
            raise
        raise ImportError(
            f"compare trains networks with TensorFlow and Keras, and {error.name} is not installed: "
            "pip install 'tfnorm[tf]'."
        ) from error
    if keras.backend.backend() != "tensorflow":
        raise ImportError(
            f"compare trains with TensorFlow, and Keras runs on {keras.backend.backend()}: set KERAS_BACKEND=tensorflow."
        )
    return tf, keras


def network(kind: str, activation: str) -> Build:
    """A small network of a kind: "mlp", "linear", "cnn" (images or series) or "rnn" (series)."""

    def build(shape: tuple[int, ...], outputs: int) -> Any:
        _, keras = libraries()
        layers = keras.layers
        inputs = hidden = keras.Input(shape)
        if kind == "cnn":
            conv = layers.Conv2D if len(shape) == 3 else layers.Conv1D
            for filters in (UNITS // 2, UNITS):
                hidden = conv(filters, 3, strides=2, padding="same", activation=activation)(hidden)
        elif kind == "rnn":
            hidden = layers.GRU(UNITS)(hidden)
        if len(hidden.shape) > 2:
            hidden = layers.Flatten()(hidden)
        for _ in range({"mlp": 2, "cnn": 1}.get(kind, 0)):
            hidden = layers.Dense(UNITS, activation=activation)(hidden)
        return keras.Model(inputs, layers.Dense(outputs)(hidden))

    return build


def users_network(model_fn: Callable[..., Any]) -> Build:
    """The user's function as one of (shape, outputs); it may want the shape only."""
    try:
        wants = len(
            [p for p in inspect.signature(model_fn).parameters.values() if p.default is p.empty and p.kind in (0, 1)]
        )
    except (TypeError, ValueError):
        wants = 1

    def build(shape: tuple[int, ...], outputs: int) -> Any:
        _, keras = libraries()
        model = model_fn(shape, outputs) if wants > 1 else model_fn(shape)
        if not isinstance(model, keras.Model):
            raise ChoiceError(f"model_fn: expected a keras.Model, got {type(model).__name__}. Return the model.")
        if not model.built:
            model.build((None, *shape))
        expected = (None, outputs)
        given = tuple(model.compute_output_shape((None, *shape)))
        if given != expected:
            raise ChoiceError(
                f"model_fn: expected outputs of shape {expected} (numbers, or logits of the classes, without softmax), "
                f"got {given}. End with keras.layers.Dense({outputs})."
            )
        return model

    return build


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Python's, NumPy's and Keras's random numbers from a seed; the first two go on afterwards as if nothing had been."""
    _, keras = libraries()
    pythons, numpys = random.getstate(), np.random.get_state()
    try:
        keras.utils.set_random_seed(seed)
        yield
    finally:
        random.setstate(pythons)
        np.random.set_state(numpys)


def orders(seed: int, rows: int, steps: int, batch: int) -> Any:
    """(steps, batch) int32, as TensorFlow has it: the rows of each step; every row once before any comes again."""
    tf, _ = libraries()
    rng = np.random.default_rng([seed, rows])
    epochs = -(-steps * batch // rows)
    found = np.concatenate([rng.permutation(rows).astype(np.int32) for _ in range(epochs)])
    return tf.constant(found[: steps * batch].reshape(steps, batch))


Data = tuple[Any, ...]
"""Inputs, goal and weight of the training part, and those of the validation part."""


def placed(*arrays: np.ndarray) -> Data:
    """Arrays, put where the network is."""
    tf, _ = libraries()
    return tuple(tf.constant(array) for array in arrays)


def _values(part: Any) -> list[np.ndarray]:
    """Copies of the variables of a model or an optimizer."""
    return [np.array(variable.numpy()) for variable in part.variables]


class Trainer:
    """A network for one shape of features."""

    def __init__(
        self,
        build: Build,
        shape: tuple[int, ...],
        outputs: int,
        classes: bool,
        optimizer: str,
        learning_rate: float | None,
    ) -> None:
        tf, keras = libraries()
        self._build, self._shape, self._outputs = build, shape, outputs
        self._started: dict[int, list[np.ndarray]] = {}
        with seeded(0):
            self.model = build(shape, outputs)
        own = getattr(self.model, "optimizer", None)  # of a model that the user compiled
        self.optimizer = type(own).from_config(own.get_config()) if own else keras.optimizers.get(optimizer)
        if learning_rate is not None:
            self.optimizer.learning_rate = learning_rate
        self.optimizer.build(self.model.trainable_variables)
        self._fresh = _values(self.optimizer)
        model, apply = self.model, self.optimizer.apply_gradients

        def losses(outputs: Any, goal: Any) -> Any:
            if classes:
                return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=goal, logits=outputs)
            return tf.reduce_mean(tf.square(outputs - goal), axis=-1)

        of_rows = (
            tf.TensorSpec((None, *shape), tf.float32),
            tf.TensorSpec((None,), tf.int32) if classes else tf.TensorSpec((None, outputs), tf.float32),
            tf.TensorSpec((None,), tf.float32),
        )
        compiled = {type(layer).__name__ for layer in model._flatten_layers() if layer is not model} <= COMPILED

        def step(inputs: Any, goal: Any, weight: Any, rows: Any) -> None:
            with tf.GradientTape() as tape:
                outputs = model(tf.gather(inputs, rows), training=True)
                each = losses(outputs, tf.gather(goal, rows)) * tf.gather(weight, rows)
                loss = tf.add_n([tf.reduce_mean(each), *model.losses])
            variables = model.trainable_variables
            apply(zip(tape.gradient(loss, variables), variables, strict=True))

        def judged(inputs: Any, goal: Any, weight: Any) -> Any:
            """Loss and accuracy, both times the sum of weights."""
            outputs = model(inputs, training=False)
            right = tf.zeros_like(weight)
            if classes:
                right = tf.cast(tf.argmax(outputs, axis=-1, output_type=tf.int32) == goal, tf.float32)
            both = tf.cast(tf.stack([losses(outputs, goal), right]), tf.float64)
            return tf.linalg.matvec(both, tf.cast(weight, tf.float64))

        def judge(inputs: Any, goal: Any, weight: Any) -> Any:
            if compiled:
                total = judged(inputs, goal, weight)
            else:
                total = tf.zeros(2, tf.float64)
                for at in tf.range(0, tf.shape(goal)[0], ROWS_AT_ONCE):
                    end = at + ROWS_AT_ONCE
                    total += judged(inputs[at:end], goal[at:end], weight[at:end])
            return total / tf.reduce_sum(tf.cast(weight, tf.float64))

        whole = (*of_rows, *of_rows, tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None,), tf.int32))

        @tf.function(input_signature=whole, jit_compile=compiled)  # type: ignore[untyped-decorator]
        def run(
            inputs: Any,
            goal: Any,
            weight: Any,
            inputs_valid: Any,
            goal_valid: Any,
            weight_valid: Any,
            order: Any,
            marks: Any,
        ) -> Any:
            done, mark, count = 0, 0, tf.shape(marks)[0]
            found = tf.zeros((count, 2), tf.float64)
            while mark < count:  # and not tf.range, which XLA compiles anew for every length
                while done < marks[mark]:
                    step(inputs, goal, weight, order[done])
                    done += 1
                found = tf.tensor_scatter_nd_update(found, [[mark]], [judge(inputs_valid, goal_valid, weight_valid)])
                mark += 1
            return found

        self.compiled = compiled
        self._run = run

    def start(self, seed: int) -> None:
        """The weights of a seed, and an optimizer that has seen nothing."""
        if seed not in self._started:
            with seeded(seed):
                built = self._build(self._shape, self._outputs)
            self._started[seed] = _values(built)
        for variable, value in zip(self.model.variables, self._started[seed], strict=True):
            variable.assign(value)
        for variable, value in zip(self.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)

    def train(self, data: Data, seed: int, order: Any, marks: np.ndarray) -> tuple[np.ndarray, float]:
        """A whole run: the loss at each mark, and the accuracy at the last."""
        tf, _ = libraries()
        self.start(seed)
        found = self._run(*data, order, tf.constant(marks, tf.int32)).numpy()
        return found[:, 0], float(found[-1, 1])
