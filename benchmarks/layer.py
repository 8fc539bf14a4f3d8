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


def paired(report: Report, section: common.Section, ours: str, peer: str, most: float) -> None:
    """`ours` may take at most that many times what `peer` took in the same round, by the median of all rounds."""
    times = float(np.median(np.divide(section.seconds[ours], section.seconds[peer])))
    text = f"{ours} vs {peer}: {times:.3f}x the time, round by round (wanted: at most {most:g}x)"
    report.require(section, common.Requirement(text, times, most, times <= most))


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
        paired(report, section, name, KERAS, most + NOISE)


def step(work: Callable[[Any], Any], columns: int) -> Any:
    """`work` on a dict of columns, made inside the graph: TensorFlow needs longer to be handed 500 tensors than to map them.

    They come of two tensors in turn, so that no optimizer sees that they were side by side before.
    """
    import tensorflow as tf

    @tf.function
    def run(even: Any, odd: Any) -> Any:
        halves = tf.unstack(even), tf.unstack(odd)
        return tf.nest.flatten(work({f"column_{i:05}": halves[i % 2][i // 2] for i in range(columns)}))

    return run


def race_columns(report: Report, rows: int, columns: int, *, judged: bool) -> None:
    """What the layer adds to a step: the time with it less that of the same step without."""
    import keras
    import tensorflow as tf

    import tfnorm

    x = common.normal(rows, columns)
    of_matrix = tfnorm.fit(x, "standard").layer()
    of_names = tfnorm.fit({f"column_{i:05}": x[:, i] for i in range(columns)}, "standard")
    dicts, one_tensor = of_names.layer(), of_names.layer(concatenate=True)
    mean, variance = x.mean(axis=0), x.var(axis=0)
    each = [keras.layers.Normalization(axis=None, mean=mean[i], variance=variance[i]) for i in range(columns)]
    wanted = np.asarray(of_matrix(x), np.float64)
    tensor, even, odd = (tf.constant(np.ascontiguousarray(one)) for one in (x, x.T[::2], x.T[1::2]))
    matrix, bare = tf.function(of_matrix), tf.function(tf.identity)

    def of_columns(work: Callable[[Any], Any]) -> Callable[[], Any]:
        run = step(work, columns)
        return lambda: run(even, odd)

    runs: dict[str, tuple[Callable[[], Any], Callable[[Any], str]]] = {
        "matrix": (lambda: matrix(tensor), near(wanted)),
        "matrix, no layer": (lambda: bare(tensor), fine),
        "dict": (of_columns(dicts), near(wanted.T)),
        "dict, no layer": (of_columns(lambda one: one), fine),
        "dict to one tensor": (of_columns(one_tensor), near(wanted[None])),
        "stacked, no layer": (of_columns(lambda one: tf.stack(list(one.values()), axis=-1)), fine),
        "dict, Keras' layer a column": (
            of_columns(lambda one: {name: each[i](x) for i, (name, x) in enumerate(one.items())}),
            near(wanted.T, 1e-2),
        ),
    }
    times = report.arguments.calls
    contestants = [Contestant(name, repeated(run, times), check) for name, (run, check) in runs.items()]
    section = report.race(f"{columns} columns, {rows:,} rows", f"{times} calls a round", contestants)
    seconds = {name: np.array(one) for name, one in section.seconds.items()}
    own = {
        name: float(np.median(seconds[name] - seconds[without]))
        for name, without in (
            ("matrix", "matrix, no layer"),
            ("dict", "dict, no layer"),
            ("dict to one tensor", "dict, no layer"),
            ("stacked, no layer", "dict, no layer"),
            ("dict, Keras' layer a column", "dict, no layer"),
        )
    }
    for name, one in own.items():
        common.say(f"  more than without, '{name}': {1000 * one / times:.3f} ms a call")
    if judged:
        ratio = own["dict"] / own["matrix"]
        text = f"the layer in 'dict' vs in 'matrix': {ratio:.3f}x the time (wanted: at most 1.5x)"
        report.require(section, common.Requirement(text, ratio, 1.5, ratio <= 1.5))


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
    paired(report, section, "with the layer", "without", 1.1)


def race_loading(report: Report, columns: int) -> None:
    import keras

    import tfnorm

    x = common.normal(64, columns)
    fitted = tfnorm.fit({f"column_{i:05}": x[:, i] for i in range(columns)}, "standard")
    model = keras.Sequential([fitted.layer(concatenate=True), keras.layers.Dense(1)])
    model({f"column_{i:05}": x[:, i] for i in range(columns)})
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
    parser = common.options(__doc__ or "", rounds=15)
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
    for rows in (256, arguments.rows):  # of few rows, what TensorFlow needs for so many tensors is most of it
        race_columns(report, rows, arguments.many, judged=rows != 256)
    race_predict(report, 32)
    race_loading(report, arguments.most)
    report.finish()


if __name__ == "__main__":
    main()
