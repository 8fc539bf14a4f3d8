"""A layer for every technique there is, to be put where a Keras layer was.

The one law: what a technique can be told, its layer can be told; nothing is written here for one technique but what Keras'
own Normalization has besides.
"""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
from keras import ops

from tfnorm.errors import ChoiceError
from tfnorm.layer.adapting import Adapting
from tfnorm.layer.fixed import Fixed
from tfnorm.layer.normalize import Normalize
from tfnorm.layer.tensors import with_units
from tfnorm.layer_names import layer_name
from tfnorm.maps import Map
from tfnorm.sources import BARE
from tfnorm.statistics import Extremes, Moments
from tfnorm.techniques import TECHNIQUES, TechniqueKind

Tensor = Any


@keras.saving.register_keras_serializable(package="tfnorm")
class Normalization(Adapting):
    """(x - mean) / std: `keras.layers.Normalization`, and what it does not do.

    axis: which axes keep a mean of their own: -1 (the last), others, several, or None for one mean over all.
    mean, variance: in place of `adapt`; both or neither, spread to the kept axes.
    invert: back to real units.
    center, scale: as for `tfnorm.standard`.
    infinite: "error" refuses infinite values in `adapt`, "missing" leaves them out.

    Beside Keras' layer: statistics in float64, whatever comes; missing values are left out; what does not vary becomes 0 (Keras
    divides it by 1e-7); single numbers (n,) have one mean, not one a row; `adapt` takes effect in models that were compiled and
    have predicted; `update` goes on; a clone is adapted; and `layer.fitted` is the fit. Before `adapt`, values pass as they
    are, as with Keras.

    >>> layer = Normalization()
    >>> layer.adapt(np.array([[1.0, 10.0], [3.0, 30.0]]))
    >>> layer(np.array([[3.0, 20.0]], "float32")).numpy().tolist()
    [[1.0, 0.0]]
    >>> layer.update(np.array([[5.0, 20.0]]))
    >>> layer.mean.numpy().tolist()
    [[3.0, 20.0]]

    Errors: as for `adapt`; ChoiceError where mean and variance do not go together.
    """

    kind = TECHNIQUES["standard"]

    def __init__(
        self, axis: Any = -1, mean: Any = None, variance: Any = None, invert: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(axis, invert=invert, **kwargs)
        if (mean is None) != (variance is None):
            raise ChoiceError(f"both `mean` and `variance` must be set, or neither; got {mean} and {variance}.")
        self.input_mean, self.input_variance = mean, variance
        if mean is None:
            return
        if np.shape(mean) != np.shape(variance) or np.ndim(mean) > len(self.axis):
            raise ChoiceError(
                "mean and variance must have one shape, of no more axes than are kept "
                f"({len(self.axis)}); got {np.shape(mean)} and {np.shape(variance)}."
            )
        if self.adapted:
            raise ChoiceError("mean and variance were given, and something was learned. Give one of them.")

    def _learn(self, *args: Any, **kwargs: Any) -> None:
        if self.input_mean is not None:
            raise ChoiceError("mean and variance were given, so there is nothing to learn. Leave them out to adapt.")
        super()._learn(*args, **kwargs)

    @property
    def mean(self) -> Tensor:
        """Of each kept place, in a shape that spreads to the input's; None before the layer is built."""
        return self._spread("mean")

    @property
    def variance(self) -> Tensor:
        """As `mean`; the population's."""
        return self._spread("variance")

    def _spread(self, which: str) -> Tensor:
        if self._axes is None:
            return None
        if self.adapted:
            moments = self.fitted[self.fitted.columns[0]].profile.moments
            values = np.asarray(getattr(moments, which)).reshape(self._axes.spread)
        else:
            values = self._given_values()[which == "variance"]
        return ops.convert_to_tensor(values, dtype=keras.backend.floatx())

    def _given_values(self) -> tuple[np.ndarray, np.ndarray]:
        """What was given, or what Keras begins with, in the shape `axes.spread`."""
        assert self._axes is not None
        axes, values = self._axes, []
        for value, start in ((self.input_mean, 0.0), (self.input_variance, 1.0)):
            array = np.asarray(start if value is None else value, np.float64)
            shape = [1] * axes.ndim
            for place in range(1, array.ndim + 1):
                shape[axes.kept[-place]] = array.shape[-place]
            values.append(np.broadcast_to(array.reshape(shape), axes.spread))
        return values[0], values[1]

    def _unlearned(self) -> Normalize:
        """By the mean and variance that were given."""
        if self._axes is None:
            widths = {
                name: shape[-1] if self.axis and len(shape) > 1 else 1 for name, shape in self._input_shape.items()
            }
            return self._of_maps({name: self._step(np.zeros(n), np.ones(n)) for name, n in widths.items()}, False)
        mean, variance = self._given_values()
        return self._of_maps({BARE: self._step(mean.ravel(), variance.ravel())}, True)

    def _step(self, mean: np.ndarray, variance: np.ndarray) -> Map:
        """The technique's map, for data that have these and nothing else."""
        one, zero, std = np.ones(len(mean)), np.zeros(len(mean)), np.sqrt(variance)
        moments = with_units(np.stack([one, mean, variance, zero, zero]))
        return self._technique.solve({Moments: moments, Extremes: Extremes(mean - std, zero, mean + std, zero)})

    def load_own_variables(self, store: Any) -> None:
        """What this layer wrote, or Keras' Normalization: mean, variance and count."""
        if "seen" in store or "0" not in store or self._axes is None:
            super().load_own_variables(store)
            return
        shape = [self._axes.lengths[i] for i in range(len(self._axes.kept))]
        self.input_mean, self.input_variance = (np.reshape(np.asarray(store[key]), shape).tolist() for key in "01")
        self._renumber()

    def get_config(self) -> dict[str, Any]:
        given = {"mean": self.input_mean, "variance": self.input_variance}
        return {**super().get_config(), **{k: None if v is None else np.asarray(v).tolist() for k, v in given.items()}}


def _layer_of(kind: TechniqueKind) -> Any:
    """The layer of one technique."""
    name, base = layer_name(kind.name), Adapting if kind.statistics else Fixed
    arguments = ", ".join(_written(one) for one in kind.parameters.values() if one.name != "axis")
    learns = (
        "axis: which axes keep statistics of their own: -1 (the last), others, several, or None for one over all."
        if kind.statistics
        else "axis: over which axes a sample is normalized; -1 is the last."
        if "axis" in kind.parameters
        else "There is nothing to learn; `adapt` is there and does nothing."
    )
    doc = (
        f"{kind.summary}: `tfnorm.{kind.name}` as a layer, with `adapt` as Keras' Normalization has it.\n\n"
        f"{learns}\ninvert: back to real units.\n{arguments and f'{arguments}: as for `tfnorm.{kind.name}`.'}"
    )

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        base.__init__(self, *args, **kwargs)

    init.__signature__ = _signature(kind, base)  # type: ignore[attr-defined]
    made = type(name, (base,), {"kind": kind, "__module__": __name__, "__doc__": doc.strip(), "__init__": init})
    return keras.saving.register_keras_serializable(package="tfnorm")(made)


def _signature(kind: TechniqueKind, base: Any) -> inspect.Signature:
    """That of the base, with the technique's settings after the axis, by name only."""
    me, axis, *rest = inspect.signature(base.__init__).parameters.values()
    settings = [one.replace(kind=one.KEYWORD_ONLY) for one in kind.parameters.values() if one.name != "axis"]
    axis = axis.replace(default=kind.parameters["axis"].default if "axis" in kind.parameters else -1)
    return inspect.Signature([me, axis, *settings, *rest])


def _written(parameter: inspect.Parameter) -> str:
    return str(parameter) if parameter.default is parameter.empty else f"{parameter.name}={parameter.default!r}"


LAYERS: dict[str, Any] = {
    layer_name(name): Normalization if name == "standard" else _layer_of(kind) for name, kind in TECHNIQUES.items()
}
"""Every drop-in layer there is, by name."""
globals().update(LAYERS)
