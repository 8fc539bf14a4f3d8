"""Layers that learn by `adapt`, as Keras' own preprocessing layers do; one for every technique.

The one law: after `adapt(data)` the layer gives what `tfnorm.fit(data, technique).layer()` gives, and after `update(more)` what
it gives for both.

The statistics are those of a `tfnorm.Running`, the numbers lie in a `Normalize`: there is no formula here.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import keras
import numpy as np
from keras import ops

from tfnorm import artefact
from tfnorm.errors import ArtefactError, ChoiceError, DataError
from tfnorm.fitted import Fitted
from tfnorm.layer.adapt_data import given
from tfnorm.layer.axes import Axes, standardized
from tfnorm.layer.live import Live
from tfnorm.layer.normalize import Normalize
from tfnorm.layer.stored import is_stored, spread
from tfnorm.maps import Map
from tfnorm.running import Running
from tfnorm.techniques import TechniqueKind

Tensor = Any


class Adapting(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """What all layers with `adapt` have; `tfnorm.layer.drop_in` makes one of each technique."""

    kind: ClassVar[TechniqueKind]

    def __init__(
        self,
        axis: Any = -1,
        *,
        invert: bool = False,
        infinite: Literal["error", "missing"] = "error",
        seen: str | None = None,
        **kwargs: Any,
    ) -> None:
        settings = {name: kwargs.pop(name) for name in self.kind.parameters if name in kwargs}
        super().__init__(autocast=False, **kwargs)
        self.axis = standardized(axis)
        self.invert, self.infinite = bool(invert), infinite
        self._technique, self._settings = self.kind(**settings), settings
        self._live = Live()
        self._running = self._nothing_seen() if seen is None else self._restored(seen.encode())
        self._axes: Axes | None = None
        self._input_shape: Any = None
        self._numbers: Normalize | None = None
        self.supports_masking = True

    @property
    def technique(self) -> str:
        """As text, as `fit` takes it."""
        return str(self._technique)

    def _nothing_seen(self) -> Running:
        return Running(self._technique, axis=-1 if self.axis else None, infinite=self.infinite)

    # What is learned.

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Learn from these data, and forget what was learned before; models that hold the layer do at once.

        data: an array, a tensor, a table, a dict of arrays, a batched `tf.data.Dataset`, a PyDataset, batches, or (x, y) and
            (x, y, weight) of which x is taken; as `tfnorm.fit` does, files too. A table becomes one array of its columns;
            where the layer was built on a dict it is taken by column.
        batch_size: rows that are one step, where `steps` counts them. The result does not depend on it.
        steps: how many batches are read; all by default.

        Missing values (NaN) are left out. Errors: DataError where shapes are not those that the layer was built with, or
        values are infinite (`infinite="missing"` takes them for missing); what was learned before is kept then.
        """
        self._learn(self._nothing_seen(), data, batch_size, steps)

    def update(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Learn from these data, too: as one `adapt` on all that came since the last one."""
        self._learn(copy.copy(self._running), data, batch_size, steps)

    def reset(self) -> None:
        """Forget what was learned."""
        self._running = self._nothing_seen()
        if self.built:
            self._renumber()

    def _learn(self, running: Running, data: Any, batch_size: int | None, steps: int | None) -> None:
        by_name = isinstance(self._input_shape, Mapping)
        come = given(data, batch_size, steps, by_name=by_name)
        if not self.built:
            self.build(come.shape)
        self._check(come.shape)
        running.update(come.read(self._rows))
        running.freeze()  # what cannot be solved is told before anything changes
        self._running = running
        self._renumber()

    def _rows(self, array: Any) -> np.ndarray:
        """One number a feature in each row, as the statistics are gathered."""
        assert self._axes is not None
        array = np.asarray(array)
        if not self._axes.matches(array.shape):
            raise DataError(
                f"adapt() got a batch of an incompatible shape: expected {self._input_shape}, got {array.shape}."
            )
        return np.asarray(self._axes.rows(array, np))

    def _check(self, shape: Any) -> None:
        built = self._input_shape
        if isinstance(built, Mapping) or isinstance(shape, Mapping):
            fits = isinstance(built, Mapping) and isinstance(shape, Mapping) and set(built) <= set(shape)
        else:
            assert self._axes is not None
            fits = self._axes.matches(shape)
        if not fits:
            raise DataError(
                f"the layer was built with input_shape={built}, and the data have an incompatible shape, {shape}."
            )

    @property
    def fitted(self) -> Fitted:
        """What was learned as an ordinary fit: to save, to look at, to go back by. DataError before `adapt`."""
        return self._running.freeze()

    @property
    def adapted(self) -> bool:
        """Whether there is something learned."""
        return self._running.num_rows > 0

    # What is held.

    def build(self, input_shape: Any) -> None:
        if input_shape is None:
            return
        if isinstance(input_shape, Mapping):
            if self.axis not in ((-1,), ()):
                raise ChoiceError(f"axis must be -1 or None where a dict comes, got {self.axis}.")
            self._input_shape = {str(name): tuple(shape) for name, shape in input_shape.items()}
        else:
            self._input_shape = tuple(input_shape)
            self._axes = Axes.of(self.axis, self._input_shape)
        self._renumber()
        self.built = True

    def get_build_config(self) -> dict[str, Any] | None:
        return None if self._input_shape is None else {"input_shape": self._input_shape}

    def build_from_config(self, config: dict[str, Any] | None) -> None:
        if config and not self.built:
            self.build(config["input_shape"])

    def _renumber(self) -> None:
        """Put the numbers of what is known in place, in the weights there are where these fit."""
        new, old = self._of_fit(self.fitted) if self.adapted else self._unlearned(), self._numbers
        if old is not None and _renumbered(old, new):
            return
        self._tracker.unlock()  # as Keras' own layers do that get weights later
        if old is not None:
            self._layers.remove(old)
        self._numbers = new
        self._tracker.lock()
        self._live.stale()
        if old is not None:
            _nothing_in(old)  # so that compiled functions that nobody knows of give NaN from now on

    def _of_fit(self, fitted: Fitted) -> Normalize:
        missing = fitted._missing(fitted.maps)
        return self._of_maps(fitted.maps, fitted.profile.bare, missing=missing, fingerprint=fitted.fingerprint)

    def _of_maps(self, steps: Mapping[str, Map], bare: bool, **kwargs: Any) -> Normalize:
        return Normalize(steps, bare=bare, inverse=self.invert, dtype=self.dtype_policy, name="numbers", **kwargs)

    def _unlearned(self) -> Normalize:
        """What holds the numbers before there are any: NaN, so that nobody takes the results for normalized."""
        running, shape = self._nothing_seen(), self._input_shape
        if isinstance(shape, Mapping):
            running.update({name: _made_up(one[1:]) for name, one in shape.items()})
        else:
            assert self._axes is not None
            running.update(_made_up((self._axes.features,) if self._axes.kept else ()))
        numbers = self._of_fit(running.freeze())
        if self._technique.needs:
            _nothing_in(numbers)
        return numbers

    # What is done.

    def call(self, inputs: Tensor, mask: Any = None) -> Tensor:
        numbers, axes = self._numbers, self._axes
        assert numbers is not None
        self._live.called(self)
        if not self.adapted and self._is_blank(numbers):
            raise DataError(f"{self.name} has learned nothing yet. Call adapt(data) first.")
        if axes is None or axes.in_place:
            return numbers(inputs, mask=mask)
        if is_stored(inputs):
            raise DataError("sparse and ragged tensors take statistics of the last axis, or axis=None, alone.")
        y = axes.back(numbers(axes.rows(inputs, ops)), inputs, ops)
        return y if mask is None else ops.where(spread(mask, y), y, ops.zeros_like(y))

    def _is_blank(self, numbers: Normalize) -> bool:
        """Whether the weights have no numbers yet; not asked for in a graph."""
        try:
            return any(np.isnan(ops.convert_to_numpy(weight)).any() for weight in numbers.weights)
        except Exception:  # each backend has its own error
            return False

    @property
    def compute_dtype(self) -> str:
        """The narrowest type in which *raw* data may arrive (see `Normalize.compute_dtype`)."""
        numbers = getattr(self, "_numbers", None)
        if numbers is None:  # before there are any
            return "float64" if super().compute_dtype == "float64" else "float32"
        return str(numbers.compute_dtype)

    def compute_output_spec(self, inputs: Tensor, mask: Any = None) -> Any:  # noqa: ARG002
        assert self._numbers is not None
        if self._axes is None or self._axes.in_place:
            return self._numbers.compute_output_spec(inputs)
        return keras.KerasTensor(inputs.shape, self._numbers._result_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self._numbers is None:
            self.build(input_shape)
        in_place = self._axes is None or self._axes.in_place
        return self._numbers.compute_output_shape(input_shape) if in_place and self._numbers else input_shape

    # What is saved.

    def get_config(self) -> dict[str, Any]:
        own = {"axis": self.axis, "invert": self.invert, "infinite": self.infinite, "seen": self._seen()}
        return {**super().get_config(), **own, **self._settings}

    def _seen(self) -> str | None:
        return artefact.dumps(self._running).decode() if self.adapted else None

    def save_own_variables(self, store: Any) -> None:
        if (seen := self._seen()) is not None:
            store["seen"] = np.frombuffer(seen.encode(), np.uint8)

    def load_own_variables(self, store: Any) -> None:
        if "seen" in store:
            self._running = self._restored(np.asarray(store["seen"], np.uint8).tobytes())
            self._renumber()

    def _restored(self, seen: bytes) -> Running:
        running = artefact.loads(seen)
        if not isinstance(running, Running) or any(chain != (self._technique,) for chain in running.stages.values()):
            raise ArtefactError(f"expected what a layer of {self.technique} has learned, got {running!r}.")
        return running


def _nothing_in(numbers: Normalize) -> None:
    """NaN in place of all numbers."""
    for weight in numbers.weights:
        weight.assign(ops.full(weight.shape, np.nan, weight.dtype))


def _made_up(shape: Any) -> np.ndarray:
    """Rows that vary in every feature, above 0 and below 1."""
    steps = np.linspace(0.1, 0.9, 16).reshape(16, *[1] * len(shape))
    return np.broadcast_to(steps, (16, *(length or 1 for length in shape)))


def _renumbered(old: Normalize, new: Normalize) -> bool:
    """Take over the numbers, where all else is the same: says whether it is. Compiled functions have them then, too."""
    if _form(old) != _form(new):
        return False
    for one, other in zip(old.weights, new.weights, strict=True):
        one.assign(other)
    pairs = zip(old._fit.groups, new._fit.groups, strict=True)
    groups = [dataclasses.replace(fresh, weights=held.weights, moved=held.moved) for held, fresh in pairs]
    old._fit = dataclasses.replace(new._fit, groups=groups)
    old.fingerprint = new.fingerprint
    return True


def _form(layer: Normalize) -> Any:
    """All that is compiled with the layer."""
    groups = [
        (type(one.step), one.step.settings(), one.spans, one.fits_float32, one.short) for one in layer._fit.groups
    ]
    return (
        groups,
        [(weight.shape, weight.dtype) for weight in layer.weights],
        (layer.missing, layer.bare, layer._float32_will_do),
    )
