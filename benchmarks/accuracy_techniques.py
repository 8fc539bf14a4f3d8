"""Techniques other than z-scores, on data that make a formula go wrong: a part of `accuracy.py`.

What is expected is computed in fractions, and in decimals of 60 digits where there are roots or logarithms. The error is the
largest difference in units of 1 + |y|; where nothing varies, or a sample is zero, 0 is right (of min-max the lower end).
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np

Exactly = Callable[[list[Any]], list[Any]]  # rows of fractions (None where missing) to rows of numbers


@dataclass(frozen=True)
class Trial:
    """One technique on one column, or on one sample."""

    technique: str
    data: str
    x: np.ndarray  # (rows,) a column; (1, d) a sample
    exactly: Exactly
    good: float  # an error up to here is rounding in the type of the output


def minmax(values: list[Any]) -> list[Any]:
    known = [value for value in values if value is not None]
    low, span = min(known), max(known) - min(known)
    return [None if value is None else (value - low) / span if span else Fraction(0) for value in values]


def maxabs(values: list[Any]) -> list[Any]:
    largest = max(abs(value) for value in values)
    return [value / largest if largest else Fraction(0) for value in values]


def robust(values: list[Any]) -> list[Any]:
    ordered = sorted(values)

    def at(share: Fraction) -> Fraction:
        place = share * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        return Fraction(ordered[below] + (place - below) * (ordered[above] - ordered[below]))

    spread = at(Fraction(3, 4)) - at(Fraction(1, 4))
    return [(value - at(Fraction(1, 2))) / spread for value in values]


def l2(values: list[Any]) -> list[Any]:
    norm = _decimal(sum(value * value for value in values)).sqrt()
    return [_decimal(value) / norm if norm else Decimal(0) for value in values]


def l1(values: list[Any]) -> list[Any]:
    norm = sum(abs(value) for value in values)
    return [value / norm if norm else Fraction(0) for value in values]


def log1p(values: list[Any]) -> list[Any]:
    return [_decimal(1 + value).ln() for value in values]


def uniform(values: list[Any]) -> list[Any]:
    """The share of values below, ties in the middle of their ranks; the ends are 0 and 1."""
    low, high, last = min(values), max(values), len(values) - 1

    def share(value: Any) -> Fraction:
        below, same = sum(one < value for one in values), sum(one == value for one in values)
        return Fraction(2 * below + same - 1, 2 * last)

    return [Fraction(0) if value == low else Fraction(1) if value == high else share(value) for value in values]


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


F32, F16 = np.float32, np.float16
TRIALS = [
    Trial("minmax", "0, 1, 2 and so on to 9", np.arange(10.0), minmax, 1e-15),
    Trial("minmax", "1, 2, missing, 300", np.array([1, 2, np.nan, 300.0]), minmax, 1e-15),
    Trial("minmax", "-1.7e308, 0, 1.7e308: the range overflows", np.array([-1.7e308, 0, 1.7e308]), minmax, 1e-15),
    Trial("minmax", "-65504, 0, 65504 in float16", np.array([-65504, 0, 65504], F16), minmax, 1e-3),
    Trial("minmax", "1.7e9 + 128 k in float32, k to 7", (1.7e9 + 128 * np.arange(8)).astype(F32), minmax, 1e-6),
    Trial("minmax", "0 to 5e-7 in float32: a small range", np.linspace(0, 5e-7, 6).astype(F32), minmax, 1e-6),
    Trial("minmax", "2^53 + 1, + 2, + 3 in int64", 2**53 + np.array([1, 2, 3]), minmax, 1e-15),
    Trial("minmax", "0.1 three times: constant", np.full(3, 0.1), minmax, 0.0),
    Trial("maxabs", "-128, 64 in int8", np.array([-128, 64], np.int8), maxabs, 1e-7),
    Trial("maxabs", "1e-310, 5e-311: denormals", np.array([1e-310, 5e-311]), maxabs, 1e-12),
    Trial("maxabs", "1.7e308, -1e308", np.array([1.7e308, -1e308]), maxabs, 1e-15),
    Trial(
        "robust", "-1.7e308 to 1.7e308 in five: the distance overflows", np.linspace(-1, 1, 5) * 1.7e308, robust, 1e-15
    ),
    Trial("robust", "2^53 + 0 to 8 in int64", 2**53 + np.arange(9), robust, 1e-15),
    Trial("robust", "1e6 + k / 16 in float32, k to 8", (1e6 + np.arange(9) / 16).astype(F32), robust, 1e-6),
    Trial("quantile", "1, 1, 1, 2, 3, 3, 9: ties", np.array([1, 1, 1, 2, 3, 3, 9.0]), uniform, 1e-15),
    Trial("log1p", "1e-20, 1e-10, 1, 1e300", np.array([1e-20, 1e-10, 1, 1e300]), log1p, 1e-15),
    Trial("l2", "3, 4", np.array([[3, 4.0]]), l2, 1e-15),
    Trial("l2", "300, 400 in float16", np.array([[300, 400]], F16), l2, 1e-3),
    Trial("l2", "1e200, 1e200", np.array([[1e200, 1e200]]), l2, 1e-15),
    Trial("l2", "1e-200, 1e-200", np.array([[1e-200, 1e-200]]), l2, 1e-15),
    Trial("l2", "3e-20, 4e-20 in float32", np.array([[3e-20, 4e-20]], F32), l2, 1e-6),
    Trial("l2", "3e20, 4e20 in float32", np.array([[3e20, 4e20]], F32), l2, 1e-6),
    Trial("l2", "0, 0", np.zeros((1, 2)), l2, 0.0),
    Trial("l2", "0, 0 in float16", np.zeros((1, 2), F16), l2, 0.0),
    Trial("l1", "1e308, 1e308", np.array([[1e308, 1e308]]), l1, 1e-15),
    Trial("l1", "1, 2 in int64", np.array([[1, 2]]), l1, 1e-15),
]


def by_tfnorm(trial: Trial) -> Any:
    import tfnorm

    return tfnorm.fit(_rows(trial), trial.technique).transform(_rows(trial))


def by_layer(trial: Trial) -> Any:
    import tensorflow as tf

    import tfnorm

    fitted = tfnorm.fit(_rows(trial), trial.technique)
    return fitted.layer(dtype="float64" if trial.x.dtype == np.float64 else None)(tf.constant(_rows(trial)))


def by_sklearn(trial: Trial) -> Any:
    from sklearn import preprocessing as sk

    scalers: dict[str, Callable[[], Any]] = {
        "minmax": sk.MinMaxScaler,
        "maxabs": sk.MaxAbsScaler,
        "robust": sk.RobustScaler,
        "quantile": sk.QuantileTransformer,
        "l2": sk.Normalizer,
        "l1": lambda: sk.Normalizer(norm="l1"),
        "log1p": lambda: sk.FunctionTransformer(np.log1p),
    }
    return scalers[trial.technique]().fit_transform(_rows(trial))


def by_keras(trial: Trial) -> Any:
    import keras
    import tensorflow as tf

    if trial.technique != "l2":
        return None
    return keras.layers.UnitNormalization(dtype=trial.x.dtype.name)(tf.constant(trial.x))


CONTESTANTS: dict[str, tuple[str, Callable[[Trial], Any]]] = {
    "tfnorm": ("tfnorm", by_tfnorm),
    "tfnorm layer": ("keras", by_layer),
    "scikit-learn": ("sklearn", by_sklearn),
    "Keras UnitNormalization": ("keras", by_keras),
}


def _rows(trial: Trial) -> np.ndarray:
    return trial.x if trial.x.ndim == 2 else trial.x[:, None]


def error(trial: Trial, answer: Any) -> float:
    """The largest difference from what is exact, in units of 1 + |y|; NaN where a number should stand, or none."""
    values = [None if math.isnan(value) else Fraction(value) for value in trial.x.reshape(-1).tolist()]
    with localcontext() as context:
        context.prec = 60
        exact = trial.exactly(values)
        got = np.asarray(answer).astype(np.float64).reshape(-1).tolist()
        worst = 0.0
        for one, value in zip(exact, got, strict=True):
            if (one is None) != math.isnan(value) or math.isinf(value):
                return math.nan
            if one is not None:
                kind = type(one)
                worst = max(worst, float(abs(kind(value) - one) / (1 + abs(one))))
    return worst


def results(names: list[str]) -> dict[tuple[str, str], dict[str, str]]:
    """(technique, data) -> contestant -> the error, bold where it is more than rounding; "" where it has no such thing."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for trial in TRIALS:
        row = found.setdefault((trial.technique, trial.data), {})
        for name in names:
            try:
                with np.errstate(all="ignore"):
                    answer = CONTESTANTS[name][1](trial)
            except Exception as refused:  # a refusal is an answer
                row[name] = f"`{type(refused).__name__}`"
                continue
            if answer is None:
                row[name] = ""
                continue
            off = error(trial, answer)
            text = "NaN" if math.isnan(off) else f"{off:.0e}" if off else "0"
            rounding = max(10 * trial.good, float(np.finfo(np.asarray(answer).dtype).eps))
            row[name] = text if off <= rounding else f"**{text}**"
    return found


def section(only: list[str] | None = None) -> Iterator[tuple[str, ...]]:
    """The table's head and rows, of the contestants that are installed (and begin with one of the words)."""
    names = [
        name
        for name, (package, _) in CONTESTANTS.items()
        if importlib.util.find_spec(package) and (not only or name.lower().startswith(tuple(only)))
    ]
    yield ("technique", "data", *names)
    for (technique, data), row in results(names).items():
        yield (technique, data, *(row[name] for name in names))
