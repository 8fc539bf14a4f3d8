"""Small networks with every technique, trained side by side: what advice is calibrated on and judged by.

The one law: only the normalization differs. The rows, the split, the first weights, the order of the batches and the optimizer
(Adam) are the same for all techniques of a seed; fits see the training part only.

All techniques of a seed are trained at once, as one network with an axis for them: a thousand trainings in minutes.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import tfnorm
from advice_sets import DataSet

STEPS, BATCH, EVERY = 600, 128, 50
HIDDEN = (64, 32)
MODELS = {"linear": (), "mlp": HIDDEN, "mlp, tanh": HIDDEN}
RATES = {"linear": 1e-2, "mlp": 1e-3, "mlp, tanh": 1e-3}  # 1e-3 is Keras' own; a line would not arrive in so few steps
SEEDS = 5
VALIDATION = 0.3

Choice = str | dict[str, str]


def split(data: DataSet, seed: int) -> tuple[DataSet, DataSet]:
    """Training and validation part, what is missing replaced by the training part's medians."""
    order = np.random.default_rng(1000 + seed).permutation(len(data.target))
    at = int(len(order) * (1 - VALIDATION))
    train, valid = data.take(order[:at]), data.take(order[at:])
    columns = [dict(train.columns), dict(valid.columns)]
    for name, values in train.columns.items():
        if values.ndim == 1 and any(np.isnan(part[name]).any() for part in columns):
            middle = np.nanmedian(values) if np.isfinite(values).any() else 0.0
            for part in columns:
                part[name] = np.where(np.isnan(part[name]), middle, part[name])
    return (
        DataSet(data.name, columns[0], train.target, data.classes),
        DataSet(data.name, columns[1], valid.target, data.classes),
    )


def normalized(train: DataSet, valid: DataSet, choice: Choice) -> tuple[np.ndarray, np.ndarray] | None:
    """Both parts by a fit of the first, as float32 rows; None where a technique cannot take these values."""
    try:
        fitted = tfnorm.fit(train.columns, choice)
        with np.errstate(all="ignore"):
            parts = [fitted.transform(part.columns) for part in (train, valid)]
    except tfnorm.TfnormError:
        return None
    x, v = (
        np.concatenate([np.asarray(a, np.float64).reshape(len(a), -1) for a in part.values()], axis=1) for part in parts
    )
    if not np.isfinite(x).all():
        return None
    return x.astype(np.float32), np.nan_to_num(v, posinf=1e30, neginf=-1e30).astype(np.float32)


class _Adam:
    """Adam, as Keras has it by default."""

    def __init__(self, weights: list[np.ndarray], rate: float) -> None:
        self.weights, self.rate, self.step = weights, rate, 0
        self.first, self.second = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]

    def apply(self, gradients: list[np.ndarray]) -> None:
        self.step += 1
        rate = self.rate * np.sqrt(1 - 0.999**self.step) / (1 - 0.9**self.step)
        for i, gradient in enumerate(gradients):
            self.first[i] += np.float32(0.1) * (gradient - self.first[i])
            self.second[i] += np.float32(0.001) * (gradient * gradient - self.second[i])
            self.weights[i] -= np.float32(rate) * self.first[i] / (np.sqrt(self.second[i]) + np.float32(1e-7))


def train(
    x: np.ndarray, y: np.ndarray, x_valid: np.ndarray, y_valid: np.ndarray, classes: int, model: str, seed: int
) -> np.ndarray:
    """Validation losses (techniques, marks), at each EVERY steps; x (techniques, n, d), y (n,) standardized or classes."""
    generator = np.random.default_rng(seed)
    many, n, d = x.shape
    sizes = [d, *MODELS[model], max(1, classes)]
    weights: list[np.ndarray] = []
    for a, b in itertools.pairwise(sizes):  # Glorot and Bengio's, as Keras has by default
        limit = np.sqrt(6.0 / (a + b))
        weights.append(np.repeat(generator.uniform(-limit, limit, (1, a, b)).astype(np.float32), many, axis=0))
        weights.append(np.zeros((many, 1, b), np.float32))
    optimizer, smooth = _Adam(weights, RATES[model]), "tanh" in model
    target = np.eye(classes, dtype=np.float32)[y] if classes else y.astype(np.float32)[:, None]
    losses = []
    order = generator.permutation(n)
    at = 0
    for step in range(1, STEPS + 1):
        if at + BATCH > n and at > 0:
            order, at = generator.permutation(n), 0
        rows = order[at : at + BATCH]
        at += BATCH
        layers = [x[:, rows]]
        for i in range(0, len(weights), 2):
            z = layers[-1] @ weights[i] + weights[i + 1]
            layers.append(z if i == len(weights) - 2 else np.tanh(z) if smooth else np.maximum(z, 0))
        out = layers[-1]
        error = (_softmax(out) if classes else 2 * out) - (target[rows] if classes else 2 * target[rows])
        error /= np.float32(len(rows))
        gradients: list[np.ndarray] = [None] * len(weights)  # type: ignore[list-item]
        for i in range(len(weights) - 2, -1, -2):
            gradients[i] = layers[i // 2].transpose(0, 2, 1) @ error
            gradients[i + 1] = error.sum(axis=1, keepdims=True)
            if i:
                inner = layers[i // 2]
                error = (error @ weights[i].transpose(0, 2, 1)) * ((1 - inner * inner) if smooth else (inner > 0))
        optimizer.apply(gradients)
        if step % EVERY == 0:
            losses.append(_loss(x_valid, y_valid, weights, classes, smooth))
    return np.array(losses).T


def _softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _loss(x: np.ndarray, y: np.ndarray, weights: list[np.ndarray], classes: int, smooth: bool) -> np.ndarray:
    z = x
    for i in range(0, len(weights), 2):
        z = z @ weights[i] + weights[i + 1]
        if i < len(weights) - 2:
            z = np.tanh(z) if smooth else np.maximum(z, 0)
    if not classes:
        return ((z[..., 0].astype(np.float64) - y) ** 2).mean(axis=1)
    z = z.astype(np.float64)
    top = z.max(axis=-1)
    log = top + np.log(np.exp(z - top[..., None]).sum(axis=-1))
    return (log - z[:, np.arange(len(y)), y]).mean(axis=1)


class Cache:
    """Losses that were trained already, in a file outside the repository."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    @staticmethod
    def key(data: str, model: str, seed: int, choice: Choice) -> str:
        return json.dumps([data, model, seed, choice, STEPS, RATES[model]], sort_keys=True)

    def save(self) -> None:
        beside = self.path.with_suffix(".part")
        beside.write_text(json.dumps(self.found))
        beside.replace(self.path)


def run(
    data: DataSet,
    choices: Callable[[DataSet], Mapping[str, Mapping[str, Choice]]],
    cache: Cache,
    seeds: int = SEEDS,
) -> dict[str, dict[str, np.ndarray]]:
    """model -> contender -> (seeds, marks) losses; NaN where a technique could not take the values.

    choices: from the training part to, model by model, what each contender does with it.
    """
    found: dict[str, dict[str, list[Any]]] = {}
    for seed in range(seeds):
        part, valid = split(data, seed)
        if data.classes:
            y, y_valid = part.target, valid.target
        else:
            middle, spread = part.target.mean(), part.target.std()
            y, y_valid = (part.target - middle) / spread, (valid.target - middle) / spread
        made: dict[str, Any] = {}
        for model, contenders in choices(part).items():
            missing = [c for c in contenders.values() if cache.key(data.name, model, seed, c) not in cache.found]
            missing = list({json.dumps(c, sort_keys=True): c for c in missing}.values())
            for choice in missing:
                text = json.dumps(choice, sort_keys=True)
                if text not in made:
                    made[text] = normalized(part, valid, choice)
            usable = [c for c in missing if made[json.dumps(c, sort_keys=True)] is not None]
            if usable:
                pairs = [made[json.dumps(c, sort_keys=True)] for c in usable]
                x, v = (np.stack([pair[i] for pair in pairs]) for i in (0, 1))
                with np.errstate(all="ignore"):
                    losses = train(x, y, v, y_valid, data.classes, model, seed)
                for choice, line in zip(usable, losses, strict=True):
                    numbers = [float(one) if np.isfinite(one) else None for one in line]
                    cache.found[cache.key(data.name, model, seed, choice)] = numbers
            for choice in missing:
                cache.found.setdefault(cache.key(data.name, model, seed, choice), None)
            for name, choice in contenders.items():
                line = cache.found[cache.key(data.name, model, seed, choice)]
                found.setdefault(model, {}).setdefault(name, []).append(line)
    cache.save()
    marks = STEPS // EVERY
    return {
        model: {
            name: np.array(
                [[np.nan] * marks if line is None else [np.inf if v is None else v for v in line] for line in lines]
            )
            for name, lines in contenders.items()
        }
        for model, contenders in found.items()
    }
