"""Layers of techniques that learn nothing; one for each of them.

The one law: the layer gives what `tfnorm.fit(any data, technique).layer()` gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import keras

from tfnorm.errors import ChoiceError
from tfnorm.layer.axes import standardized
from tfnorm.layer.normalize import Normalize
from tfnorm.sources import BARE
from tfnorm.techniques import TechniqueKind

Tensor = Any


class Fixed(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """What all layers have that learn nothing; `tfnorm.layer.drop_in` makes one of each technique."""

    kind: ClassVar[TechniqueKind]

    def __init__(self, axis: Any = ..., *, invert: bool = False, **kwargs: Any) -> None:
        settings = {name: kwargs.pop(name) for name in self.kind.parameters if name in kwargs}
        super().__init__(autocast=False, **kwargs)
        self._settings, self.invert = settings, bool(invert)
        self._takes_axis = "axis" in self.kind.parameters  # over which a sample is normalized
        if self._takes_axis:
            axis = self.kind.parameters["axis"].default if axis is ... else axis
            standardized(axis)
            self.axis = list(axis) if isinstance(axis, list | tuple) else axis
        elif axis not in (..., -1, None, (-1,), (), [-1]):
            raise ChoiceError(
                f"{self.kind.name} maps each number by itself: axis={axis!r} means nothing. Leave it out."
            )
        self._by_rank = _ByRank()
        numbers = self._normalize()  # which tells at once where there is no way back
        self._numbers = None if self._takes_axis else numbers
        self.supports_masking = True
        if type(self).build is Fixed.build:
            self.built = True  # there is nothing to build

    def build(self, input_shape: Any) -> None:
        """Nothing: there are no weights that depend on the shape."""

    @property
    def technique(self) -> str:
        """As text, as `fit` takes it; without the axis where that is not counted from the end."""
        axis = self.axis if self._takes_axis else -1
        from_end = all(a < 0 for a in standardized(axis)) and self._takes_axis
        given = {"axis": tuple(axis) if isinstance(axis, list) else axis} if from_end else {}
        return str(self.kind(**self._settings, **given))

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Nothing: there is nothing to learn. As for layers that learn, so that one can be put in place of another."""

    update = adapt

    def reset(self) -> None:
        """Nothing, too."""

    def _normalize(self, **axis: Any) -> Normalize:
        step = self.kind(**self._settings, **axis).solve({})
        return Normalize({BARE: step}, bare=True, inverse=self.invert, dtype=self.dtype_policy, name="numbers")

    def _of_rank(self, ndim: int) -> Normalize:
        """The layer for tensors of so many axes."""
        if self._numbers is not None:
            return self._numbers
        if ndim not in self._by_rank.layers:
            axes = standardized(self.axis)
            if any(not -ndim <= a < ndim for a in axes):
                raise ChoiceError(f"axis {self.axis} is out of bounds for a tensor of {ndim} axes.")
            from_end = tuple(a - ndim if a >= 0 else a for a in axes)
            if -ndim in from_end:
                raise ChoiceError(f"axis={self.axis}: the first axis holds the samples, and each is normalized alone.")
            given = {"axis": from_end if len(from_end) != 1 else from_end[0]} if axes else {"axis": None}
            self._by_rank.layers[ndim] = self._normalize(**given)
        return self._by_rank.layers[ndim]

    def call(self, inputs: Tensor, mask: Any = None) -> Tensor:
        if isinstance(inputs, Mapping):
            masks = mask or {}
            return {name: self._of_rank(len(x.shape))(x, mask=masks.get(name)) for name, x in inputs.items()}
        return self._of_rank(len(inputs.shape))(inputs, mask=mask)

    @property
    def compute_dtype(self) -> str:
        """The narrowest type in which *raw* data may arrive (see `Normalize.compute_dtype`)."""
        return "float64" if super().compute_dtype == "float64" else "float32"

    def compute_output_spec(self, inputs: Tensor, mask: Any = None) -> Any:  # noqa: ARG002
        if isinstance(inputs, Mapping):
            return {name: self.compute_output_spec(x) for name, x in inputs.items()}
        return self._of_rank(len(inputs.shape)).compute_output_spec(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        if isinstance(input_shape, Mapping):
            return {name: self.compute_output_shape(shape) for name, shape in input_shape.items()}
        return self._of_rank(len(input_shape)).compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        axis = {"axis": self.axis} if self._takes_axis else {}
        return {**super().get_config(), **axis, "invert": self.invert, **self._settings}


class _ByRank:
    """One object, since Keras walks into every collection that a layer holds; these layers have no weights."""

    def __init__(self) -> None:
        self.layers: dict[int, Normalize] = {}
