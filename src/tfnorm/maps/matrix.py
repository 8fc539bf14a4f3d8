"""Maps that mix features: a matrix over the last axis.

The one law: what lies in the directions that are kept comes back, `inverse(forward(x)) == x`; the rest is the center's.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tfnorm.codec import packed
from tfnorm.maps.core import Array, Map, Namespace, Shape, away_from

_LOSES = 8.0  # times the rounding of one number that a result's may be, if float32 is to do


@dataclass(frozen=True)
class Matrix(Map):
    """`y = (x - center) @ matrix + offset` over the last axis; back by `x = (y - offset) @ back + center`.

    A sample with a missing value in any position is missing. The subtraction comes first, as in `Affine`. (On GPUs that have
    TensorFloat-32, TensorFlow rounds what float32 products take to 11 bits, unless told not to:
    `tf.config.experimental.enable_tensor_float_32_execution(False)`.)
    """

    subtracts_first: ClassVar[bool] = True

    center: Array  # (features,) in the input's units
    offset: Array  # (components,) in the output's units
    matrix: Array = packed("float64")  # (features, components); a row of zeros where a feature does not vary
    back: Array = packed("float64")  # (components, features) the pseudo-inverse
    kept: int = 0  # of how many independent directions the result tells
    has_constant: bool = False  # whether a row is all zeros: only then is an infinite x kept from giving inf * 0

    def forward(self, x: Array, xp: Namespace) -> Array:
        distance = away_from(self.center, x, xp)
        if self.has_constant:
            nothing = xp.max(xp.abs(self.matrix), axis=1) == 0
            distance = xp.where(xp.isinf(distance) & nothing, xp.zeros_like(distance), distance)
        return _times(distance, self.matrix, xp) + self.offset

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return _times(y - self.offset, self.back, xp) + self.center

    def at(self, dtype: str) -> Matrix:
        """What rounding the center loses goes into the offset."""
        center = self.center.astype(dtype)
        offset = self.offset + (center.astype("float64") - self.center) @ self.matrix
        rounded = {"matrix": self.matrix.astype(dtype), "back": self.back.astype(dtype)}
        return dataclasses.replace(self, center=center, offset=offset.astype(dtype), **rounded)

    def fits(self, dtype: str) -> bool:
        """Not where terms much larger than their sum leave it few digits: directions of little variance among large ones."""
        largest = np.finfo(dtype).max
        if any(np.abs(value).max(initial=0.0) > largest for value in self.arrays().values()):
            return False
        spread = np.sqrt((self.back**2).sum(axis=0))  # of each feature, where every component's is 1
        terms = np.sqrt((spread**2) @ (self.matrix**2))
        return bool((terms <= _LOSES).all())

    def taken_off(self) -> Array:
        return np.sqrt((self.center**2) @ (self.matrix**2))

    @property
    def limited(self) -> str:
        features = len(self.center)
        if self.kept == features:
            return ""
        return f"{features - self.kept} of {features} directions are dropped, and come back as the mean's"

    def shape(self, came: Shape, *, inverse: bool = False) -> Shape:
        return (*came[:-1], self.matrix.shape[0 if inverse else 1])

    def features(self, width: int = 1) -> int:
        return int(self.center.shape[0])

    def flaw(self, features: int) -> str:
        components = self.offset.shape[0] if self.offset.ndim == 1 else -1
        wanted: dict[str, tuple[int, ...]] = {"center": (features,), "offset": (components,)}
        wanted |= {"matrix": (features, components), "back": (components, features)}
        for name, value in self.arrays().items():
            if value.dtype != np.float64 or value.shape != wanted[name] or not components:
                return f"{name} must hold numbers of shape {wanted[name]}"
            if not np.isfinite(value).all():
                return f"{name} is not finite"
        return "" if 0 <= self.kept <= features else f"of {features} directions it cannot keep {self.kept}"


def _times(x: Array, matrix: Array, xp: Namespace) -> Array:
    """Over the last axis, whatever stands before it: one product of two matrices, which runs fastest everywhere."""
    *lead, features = xp.shape(x)
    flat = x if len(lead) == 1 else xp.reshape(x, (-1, features))
    product = xp.matmul(flat, matrix)
    return product if len(lead) == 1 else xp.reshape(product, (*lead, matrix.shape[1]))
