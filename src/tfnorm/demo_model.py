"""The part of the demonstration that trains: the same network on raw and on normalized inputs.

The one law: what differs between the two runs is the scale of the inputs, and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfnorm.fitted import Fitted
from tfnorm.summary import number
from tfnorm.terminal import silent_start

BATCH = 256
UNITS = 32
SEED = 1
MARKS = (0, 10, 30, 100, 300, 1000, 3000)  # steps at which losses are told


def load_keras() -> Any:
    """Keras, without the messages of TensorFlow's start. ImportError where it is not installed."""
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # the same sums on every run
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    with silent_start():
        import keras
    return keras


def train(fitted: Fitted, folder: Path, target: str, say: Callable[[str], None], steps: int) -> None:
    """Train twice, tell the losses, draw them, save the model and show a prediction in real units."""
    keras = load_keras()
    features = [name for name in fitted.columns if name != target]
    train_raw, valid_raw = _read(folder / "train.parquet"), _read(folder / "validation.parquet")
    train_norm, valid_norm = fitted.transform(train_raw), fitted.transform(valid_raw)
    means = {name: np.float32(fitted.profile[name].mean) for name in features}
    goal, goal_valid = train_norm[target], valid_norm[target]
    say(f"   {len(features)} inputs, two layers of {UNITS}, Adam as Keras has it, {steps:,} steps of {BATCH} rows.")
    say("   In both, missing inputs are the column's mean and the delay to be learned is normalized. The loss is its")
    say("   squared error on the validation rows:\n")
    losses: dict[str, list[tuple[int, float]]] = {}
    models = {}
    minutes = {}
    for name, inputs, inputs_valid in (
        ("without", _matrix(train_raw, features, means), _matrix(valid_raw, features, means)),
        ("with", _matrix(train_norm, features, None), _matrix(valid_norm, features, None)),
    ):
        models[name], losses[name] = _run(keras, (inputs, goal), (inputs_valid, goal_valid), steps)
        predictions = fitted[target].inverse(models[name].predict_on_batch(inputs_valid)[:, 0])
        minutes[name] = float(np.abs(predictions - valid_raw[target]).mean())
    _tell(losses, say)
    say(f"\n   Mean error in minutes: {minutes['without']:.1f} without, {minutes['with']:.1f} with normalization.\n")
    say("5. Put the numbers into the model: raw inputs in, minutes out.\n")
    whole = fitted.attach(models["with"], target=target)
    whole.save(folder / "model.keras")
    row = {name: valid_raw[name][:1] for name in features}
    predicted = float(np.ravel(keras.ops.convert_to_numpy(whole(row)))[0])
    say(f'   model = fitted.attach(model, target="{target}"); model.save("{folder / "model.keras"}")')
    said = ", ".join(f"{name} {number(float(row[name][0]))}" for name in features[:4])
    say(f"   {said}, ...: {predicted:.0f} minutes predicted, {valid_raw[target][0]:.0f} were it.")
    try:
        _draw(losses, folder / "losses.png")
    except ImportError:
        say("   matplotlib is not installed, so no picture of the losses: pip install 'tfnorm[tf,demo]'")


def _read(path: Path) -> dict[str, np.ndarray]:
    import pyarrow.parquet as pq

    table: Any = pq.read_table(path)
    return {name: np.asarray(table[name].to_numpy(), np.float32) for name in table.column_names}


def _matrix(batch: dict[str, np.ndarray], names: list[str], fill: dict[str, np.float32] | None) -> np.ndarray:
    """The columns side by side, (rows, columns); missing values as `fill` says, or left to the model."""
    matrix = np.stack([batch[name] for name in names], axis=1)
    return matrix if fill is None else np.where(np.isnan(matrix), np.array([fill[name] for name in names]), matrix)


def _network(keras: Any, width: int) -> Any:
    keras.utils.set_random_seed(SEED)
    inputs = keras.Input((width,))
    hidden = keras.ops.nan_to_num(inputs)  # after normalization 0 is the mean
    for _ in range(2):
        hidden = keras.layers.Dense(UNITS, activation="relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    model.compile(optimizer="adam", loss="mse")
    return model


def _run(
    keras: Any, training: tuple[np.ndarray, np.ndarray], validation: tuple[np.ndarray, np.ndarray], steps: int
) -> tuple[Any, list[tuple[int, float]]]:
    """A trained network, and its validation loss at some steps."""
    inputs, goal = training
    model = _network(keras, inputs.shape[1])
    rng = np.random.default_rng(SEED)
    watched = {*np.unique(np.geomspace(1, max(1, steps), 60).astype(int)).tolist(), *MARKS, steps}
    losses = []
    for step in range(steps + 1):
        if step in watched:
            error = model.predict_on_batch(validation[0])[:, 0] - validation[1]
            losses.append((step, float(np.mean(np.square(error, dtype=np.float64)))))
        if step < steps:
            rows = rng.integers(0, len(inputs), BATCH)
            model.train_on_batch(inputs[rows], goal[rows])
    return model, losses


def _tell(losses: dict[str, list[tuple[int, float]]], say: Callable[[str], None]) -> None:
    without, with_ = dict(losses["without"]), dict(losses["with"])
    last = max(without)
    say(f"   {'step':>8}  {'without':>10}  {'with':>10}")
    for step in [step for step in without if step in MARKS or step == last]:
        say(f"   {step:8,}  {without[step]:10,.3f}  {with_[step]:10,.3f}")
    sooner = next((step for step, loss in losses["with"] if loss <= without[last]), None)
    if sooner is not None and sooner < last:
        say(f"\n   What takes {last:,} steps without normalization takes {max(1, sooner):,} with it.")


def _draw(losses: dict[str, list[tuple[int, float]]], path: Path) -> None:
    """Both curves, over steps and on logarithmic axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    looks = {"without": ("without normalization", "#d1495b"), "with": ("with tfnorm, standard", "#00798c")}
    for name, (label, color) in looks.items():
        steps, values = zip(*((step, value) for step, value in losses[name] if step > 0), strict=True)
        axes.plot(steps, values, color=color, linewidth=2, label=label)
        axes.annotate(f" {values[-1]:.2g}", (steps[-1], values[-1]), color=color, va="center")
    axes.set(xscale="log", yscale="log", xlabel="training steps", ylabel="validation loss (squared error, normalized)")
    axes.set_title("Predicting the arrival delay of flights", loc="left")
    axes.margins(x=0.07)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
