"""Techniques on tensors whose numbers are not known yet: in a graph, under XLA, on whatever backend Keras runs.

The one law: what NumPy's functions do to arrays, they do to the tensor in a `Traced`, by `keras.ops`; so a technique's formula,
written once for NumPy, gives the map of statistics that a graph will compute.

A formula that asks for a number (`if x == 0`, `float(x)`) cannot be traced and raises TypeError.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from tfnorm import maps
from tfnorm.chains import split
from tfnorm.errors import ChoiceError
from tfnorm.statistics import Extremes, Moments, Statistic
from tfnorm.techniques import Stages

_NAMES = {"invert": "logical_not", "bitwise_and": "logical_and", "bitwise_or": "logical_or", "fabs": "absolute"}
"""Where keras.ops has another name: `&`, `|` and `~` are only ever of booleans here."""


class Traced(np.lib.mixins.NDArrayOperatorsMixin):
    """A tensor that NumPy's functions take for an array.

    >>> one = Traced(ops.convert_to_tensor(np.array([4.0, 9.0])))
    >>> (np.where(one > 5, np.sqrt(one), 0.0) + 1).tensor.numpy().tolist()
    [1.0, 4.0]
    """

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(keras.backend.standardize_dtype(self.tensor.dtype))

    def __len__(self) -> int:
        return self.shape[0]

    def __bool__(self) -> bool:
        raise TypeError("a number that only running the graph would tell")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("numbers that only running the graph would tell")

    def astype(self, dtype: Any) -> Traced:
        return Traced(ops.cast(self.tensor, np.dtype(dtype).name))

    def any(self) -> bool:
        """Whether one may be true: what holds for those that are must then be allowed for."""
        return True

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs:
            return NotImplemented
        return _run(ufunc.__name__, inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return NotImplemented if kwargs else _run(function.__name__, args)


def tensor_of(value: Any) -> Any:
    """What `keras.ops` takes: the tensor in a Traced; a Python float in double precision, not in `keras.config.floatx()`."""
    if isinstance(value, Traced):
        return value.tensor
    return np.float64(value) if isinstance(value, float) else value


def _run(name: str, inputs: Any) -> Any:
    if name == "ldexp":
        return inputs[0] * np.exp2(np.asarray(inputs[1], np.float64))
    if name == "nextafter":  # toward zero, which is all that is asked for: half a unit in the last place less, rounded
        return inputs[0] * (1.0 - 2.0**-53)
    operation = getattr(ops, _NAMES.get(name, name), None)
    return NotImplemented if operation is None else Traced(operation(*map(tensor_of, inputs)))


def statistics_of(moments: Any, extremes: Any) -> dict[type[Statistic], Any]:
    """What techniques ask, of arrays or tensors as `tfnorm.tensors` has them: (5, features) and (runs, 2, features)."""
    zero = np.zeros(moments.shape[1])
    if isinstance(moments, np.ndarray) and isinstance(extremes, np.ndarray):
        (weight, mean, m2, m3, m4), low, high = moments, extremes[:, 0].min(axis=0), extremes[:, 1].max(axis=0)
    else:
        moments, extremes = (ops.stop_gradient(one) for one in (moments, extremes))
        weight, mean, m2, m3, m4 = (Traced(moments[i]) for i in range(5))
        low, high = (Traced(one) for one in (ops.min(extremes[:, 0], axis=0), ops.max(extremes[:, 1], axis=0)))
    return {Moments: Moments(weight, mean, zero, zero, m2, m3, m4), Extremes: Extremes(low, zero, high, zero)}


def solved(stages: Stages, statistics: Mapping[type[Statistic], Any]) -> maps.Map:
    """The map of a chain, in terms of traced statistics."""
    before, first, after = split(stages)
    steps = [stage.solve({}) for stage in before]
    if first is None:
        return maps.chain(*steps)
    pushed = first.solve(statistics)
    steps.append(pushed)
    for stage in after:
        extremes = statistics[Extremes]
        ends = [pushed.forward(end, np) for end in (extremes.minimum, extremes.maximum)] if stage.needs else []
        known = Extremes(np.minimum(*ends), ends[0] * 0, np.maximum(*ends), ends[0] * 0) if ends else extremes
        steps.append(stage.solve({Extremes: known}))
        pushed = maps.chain(pushed, steps[-1])
    return maps.chain(*steps)


def refuse_unkept(stages: Stages, place: str) -> None:
    """ChoiceError for what cannot be solved of moments and extremes that a graph has; `place` is for the error."""
    _, first, after = split(stages)
    lacking = [stage for stage in ((first,) if first else ()) if set(stage.needs) - {Moments, Extremes}]
    lacking += [stage for stage in after if set(stage.needs) - {Extremes}]
    if not lacking:
        try:
            ones, zeros = (ops.convert_to_tensor(one) for one in (np.ones((5, 1)), np.zeros((1, 2, 1))))
            solved(stages, statistics_of(ones, zeros))
        except (TypeError, AttributeError):
            lacking = [first] if first else []
    if lacking:
        raise ChoiceError(
            f"{place}{lacking[0]} cannot be kept in a layer, which knows moments and extremes only, and these as a graph "
            "does. Keep a tfnorm.Running outside of the model, and put running.freeze().layer() into it."
        )
