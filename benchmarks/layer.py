"""What does the layer cost inside a model, against Keras' own, by column, in a prediction, and when a model is loaded?

    python benchmarks/layer.py

Layers are run as a compiled model runs them, in one graph, on the same tensors; "XLA" with `jit_compile=True`. What a layer of
many columns costs is what a step takes with it less what it takes without: TensorFlow itself needs longer for 500 tensors.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import common
from common import Contestant, DifferentError, Report

FIT_ROWS = 4096
WANTED = {"standard": 1.0, "minmax": 1.3, "robust": 1.3, "l2": 1.3}  # times what Keras' Normalization takes
NOISE = 0.05  # what the same graph was measured to differ from itself
KERAS = "keras.layers.Normalization"


def near(expected: np.ndarray, tolerance: float = 2e-6) -> Callable[[Any], str]:
    """A check against the formula in float64."""

    def check(answer: Any) -> str:
        error = float(np.max(np.abs(np.asarray(answer, np.float64) - expected) / (1 + np.abs(expected))))
        if not error <= tolerance:
            raise DifferentError(f"off by {error:.1e} of 1 + |z|")
        return f"off by {error:.1e} of 1 + |z|"

    return check


def fine(_: Any) -> str:
    return ""


def repeated(run: Callable[[], Any], times: int) -> Callable[[], Any]:
    """So many calls as one run, so that the clock is no part of what is measured."""

    def several() -> Any:
        for _ in range(times - 1):
            run()
        return run()

    return several


def graph(layer: Any, x: Any, *, xla: bool) -> Callable[[], Any]:
    """The layer as a part of a compiled function, traced before."""
    import tensorflow as tf

    run = tf.function(layer, jit_compile=xla)
    concrete = run.get_concrete_function(
        tf.nest.map_structure(lambda one: tf.TensorSpec((None, *one.shape[1:]), one.dtype), x)
    )
    concrete(x)
    return lambda: run(x)


def race_techniques(report: Report, x: np.ndarray, *, xla: bool) -> None:
    """Each against Keras' layer, which knows `standard` alone: what the others may cost is measured by it."""
    import keras
    import tensorflow as tf

    import tfnorm

    tensor, exact = tf.constant(x), x.astype(np.float64)
    peer = keras.layers.Normalization(
        mean=exact[:FIT_ROWS].mean(axis=0).astype("float32"), variance=exact[:FIT_ROWS].var(axis=0).astype("float32")
    )
    peer.build(x.shape)
    fitted = {name: tfnorm.fit(x[:FIT_ROWS], name) for name in WANTED}
    times = report.arguments.calls
    contestants = [
        Contestant(name, repeated(graph(one.layer(), tensor, xla=xla), times), near(one.transform(exact)))
        for name, one in fitted.items()
    ]
    mean, std = exact[:FIT_ROWS].mean(axis=0), exact[:FIT_ROWS].std(axis=0)
    keras_run = repeated(graph(peer, tensor, xla=xla), times)
    contestants.insert(1, Contestant(KERAS, keras_run, near((exact - mean) / std, 1e-2)))
    section = report.race(
        f"layer in {'XLA' if xla else 'a graph'}, {x.shape[0]:,} x {x.shape[1]}",
        f"float32 N(mean_i, sd_i), {times} calls a round",
        contestants,
        gigabytes=x.nbytes * times / 1e9,
    )
    for name, most in WANTED.items():
        report.within(section, name, KERAS, most + NOISE)


def stepping(work: Callable[[Any], Any], element: Any, steps: int) -> Callable[[], Any]:
    """So many steps inside one graph, as `model.fit` runs several an execution: the same batch comes from tf.data each time."""
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensors(element).repeat(steps)

    @tf.function
    def run() -> Any:
        done = tf.constant(0)
        for batch in batches:
            with tf.control_dependencies(tf.nest.flatten(work(batch))):
                done += 1
        return done

    return run


def race_columns(report: Report, rows: int, columns: int) -> None:
    """What the layer adds to a step: the time with it less that of the same step without."""
    import keras
    import tensorflow as tf

    import tfnorm

    x = common.normal(rows, columns)
    tensor = tf.constant(x)
    by_name = {f"column_{i}": tf.constant(x[:, i]) for i in range(columns)}
    of_matrix = tfnorm.fit(x, "standard").layer()
    of_names = tfnorm.fit({name: one.numpy() for name, one in by_name.items()}, "standard")
    mean, variance = x.mean(axis=0), x.var(axis=0)
    each = {
        name: keras.layers.Normalization(axis=None, mean=mean[i], variance=variance[i])
        for i, name in enumerate(by_name)
    }
    dicts, one_tensor = of_names.layer(), of_names.layer(concatenate=True)
    near(np.asarray(of_matrix(tensor), np.float64))(np.asarray(one_tensor(by_name)))
    names, steps = list(by_name), report.arguments.calls
    works: dict[str, tuple[Callable[[Any], Any], Any]] = {
        "matrix": (of_matrix, tensor),
        "matrix, no layer": (lambda one: one, tensor),
        "dict": (dicts, by_name),
        "dict, no layer": (lambda one: one, by_name),
        "dict to one tensor": (one_tensor, by_name),
        "dict stacked, no layer": (lambda one: tf.stack([one[name] for name in names], axis=-1), by_name),
        "dict, Keras' layer a column": (lambda one: {name: each[name](one[name]) for name in names}, by_name),
    }
    contestants = [Contestant(name, stepping(work, element, steps), fine) for name, (work, element) in works.items()]
    section = report.race(f"{columns} columns, {rows:,} rows", f"{steps} steps a round, in one graph", contestants)

    def own(name: str, without: str) -> float:
        return section.median(name) - section.median(without)

    matrix = own("matrix", "matrix, no layer")
    for name, without, judged in (
        ("dict", "dict, no layer", True),
        ("dict to one tensor", "dict stacked, no layer", True),
        ("dict, Keras' layer a column", "dict, no layer", False),
    ):
        times = own(name, without) / matrix
        text = f"the layer in '{name}' vs in 'matrix': {times:.3f}x the time (wanted: at most 1.5x)"
        if judged:
            report.require(section, common.Requirement(text, times, 1.5, times <= 1.5))
        else:
            common.say(f"{section.title}: {text.split(' (', maxsplit=1)[0]}")


def race_predict(report: Report, rows: int, columns: int = 20) -> None:
    """A small model, as a server calls it: the whole of `predict_on_batch`."""
    import keras

    import tfnorm

    x = common.normal(4096, columns)
    fitted = tfnorm.fit(x, "standard")

    def model(*first: Any) -> Any:
        keras.utils.set_random_seed(1)
        layers = [keras.layers.Dense(32, activation="relu"), keras.layers.Dense(1)]
        return keras.Sequential([keras.Input((columns,)), *first, *layers])

    batch = x[:rows]
    contestants = []
    for name, one in {"with the layer": model(fitted.layer()), "without": model()}.items():
        one.predict_on_batch(batch)
        contestants.append(
            Contestant(name, repeated(lambda one=one: one.predict_on_batch(batch), report.arguments.predictions), fine)
        )
    section = report.race(
        f"predict, {rows:,} x {columns}", f"two Dense layers, {report.arguments.predictions} calls a round", contestants
    )
    report.within(section, "with the layer", "without", 1.1)


def race_loading(report: Report, columns: int) -> None:
    import keras

    import tfnorm

    x = common.normal(64, columns)
    fitted = tfnorm.fit({f"column_{i}": x[:, i] for i in range(columns)}, "standard")
    model = keras.Sequential([fitted.layer(concatenate=True), keras.layers.Dense(1)])
    model({f"column_{i}": x[:, i] for i in range(columns)})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        size = path.stat().st_size / 1e6

        def load() -> float:
            start = time.perf_counter()
            keras.models.load_model(path)
            return time.perf_counter() - start

        name = f"load_model, {columns:,} columns"
        section = report.race(
            "loading", f"a .keras file of {size:.3g} MB", [Contestant(name, load, fine, self_timed=True)]
        )
    report.under(section, name, section.median(name), 2, "s")


def main() -> None:
    parser = common.options(__doc__ or "", rounds=25)
    parser.add_argument("--rows", type=int, default=8192, help="of a batch")
    parser.add_argument("--columns", type=int, default=64, help="of the matrix")
    parser.add_argument("--many", type=int, default=500, help="columns of the dict")
    parser.add_argument("--most", type=int, default=10_000, help="columns of the model that is loaded")
    parser.add_argument("--calls", type=int, default=10, help="of a layer in a round")
    parser.add_argument("--predictions", type=int, default=100, help="in a round")
    arguments = parser.parse_args()
    common.settle(arguments.threads)
    report = Report(Path(__file__).name, arguments)
    x = common.normal(arguments.rows, arguments.columns)
    for xla in (False, True):
        race_techniques(report, x, xla=xla)
    for rows in (256, arguments.rows):
        race_columns(report, rows, arguments.many)
    race_predict(report, 32)
    race_loading(report, arguments.most)
    report.finish()


if __name__ == "__main__":
    main()
