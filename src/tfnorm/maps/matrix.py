"""Maps that mix features: a matrix over the last axis.

The one law: what lies in the directions that are kept comes back, `inverse(forward(x)) == x`; the rest is the center's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tfnorm.codec import packed
from tfnorm.maps.core import Array, Map, Namespace, Runnable, Shape, away_from, rows_of_table

_LOSES = 8.0  # times the rounding of one number that a result's may be, if float32 is to do
_FEW_ROWS = 8  # of a key: with fewer, a matrix a row is quicker than going from key to key
_AT_ONCE = 1 << 18  # numbers of the matrices of rows


@dataclass(frozen=True)
class Matrix(Map):
    """`y = (x - center) @ matrix + offset` over the last axis; back by `x = (y - offset) @ back + center`.

    A sample with a missing value in any position is missing. The subtraction comes first, as in `Affine`. (On GPUs that have
    TensorFloat-32, TensorFlow rounds what float32 products take to 11 bits, unless told not to:
    `tf.config.experimental.enable_tensor_float_32_execution(False)`.)

    By key (in a `ByKey`) each array has, after its first axis, one of keys.
    """

    subtracts_first: ClassVar[bool] = True

    center: Array  # (features,) in the input's units
    offset: Array  # (components,) in the output's units
    matrix: Array = packed("float64")  # (features, components); a row of zeros where a feature does not vary
    back: Array = packed("float64")  # (components, features) the pseudo-inverse
    kept: int = 0  # of how many independent directions the result tells; by key, of how many at least
    has_constant: bool = False  # whether a row is all zeros: only then is an infinite x kept from giving inf * 0

    @classmethod
    def by_key(cls, matrices: Sequence[Matrix]) -> Matrix:
        """Those of several keys as one. As many components as the key that has most; the others' are 0, and are forgotten."""
        most = max(len(one.offset) for one in matrices)
        features = len(matrices[0].center)
        found = {
            "center": np.zeros((features, len(matrices))),
            "offset": np.zeros((most, len(matrices))),
            "matrix": np.zeros((features, len(matrices), most)),
            "back": np.zeros((most, len(matrices), features)),
        }
        for key, one in enumerate(matrices):
            components = len(one.offset)
            found["center"][:, key], found["offset"][:components, key] = one.center, one.offset
            found["matrix"][:, key, :components], found["back"][:components, key] = one.matrix, one.back
        return cls(**found, kept=min(m.kept for m in matrices), has_constant=any(m.has_constant for m in matrices))

    def forward(self, x: Array, xp: Namespace) -> Array:
        distance = away_from(self.center, x, xp)
        if self.has_constant:
            nothing = xp.max(xp.abs(self.matrix), axis=-1) == 0
            nothing = _along(nothing, distance, xp)
            distance = xp.where(xp.isinf(distance) & nothing, xp.zeros_like(distance), distance)
        return _times(distance, self.matrix, xp) + self.offset

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return _times(y - self.offset, self.back, xp) + self.center

    def of_rows(self, groups: Array, axes: int, xp: Namespace) -> Runnable:
        return _OfRows(self, groups, axes)

    def at(self, dtype: str) -> Matrix:
        """What rounding the center loses goes into the offset."""
        if all(value.dtype == dtype for value in self.arrays().values()):
            return self
        center = self.center.astype(dtype)
        lost = np.einsum("i...,i...j->j...", center.astype("float64") - self.center, self.matrix)
        rounded = {"matrix": self.matrix.astype(dtype), "back": self.back.astype(dtype)}
        return dataclasses.replace(self, center=center, offset=(self.offset + lost).astype(dtype), **rounded)

    def fits(self, dtype: str) -> bool:
        """Not where terms much larger than their sum leave it few digits: directions of little variance among large ones."""
        largest = np.finfo(dtype).max
        if any(np.abs(value).max(initial=0.0) > largest for value in self.arrays().values()):
            return False
        # squared, of each feature, where every component's is 1
        spread = np.einsum("j...i,j...i->i...", self.back, self.back)
        terms = np.sqrt(np.einsum("i...,i...j->j...", spread, self.matrix**2))
        return bool((terms <= _LOSES).all())

    def taken_off(self) -> Array:
        return np.sqrt(np.einsum("i...,i...j->j...", self.center**2, self.matrix**2))

    @property
    def limited(self) -> str:
        features = len(self.center)
        if self.kept == features:
            return ""
        if self.center.ndim > 1:
            least = f"of a key up to {features - self.kept} of {features} directions are dropped"
            return f"{least}, and come back as the mean's"
        return f"{features - self.kept} of {features} directions are dropped, and come back as the mean's"

    def shape(self, came: Shape, *, inverse: bool = False) -> Shape:
        return (*came[:-1], len(self.center) if inverse else self.matrix.shape[-1])

    def features(self, width: int = 1) -> int:
        return int(self.center.shape[0])

    def flaw(self, features: int) -> str:
        return self._flaw(features, ())

    def flaw_by_key(self, features: int, number: int) -> str:
        return self._flaw(features, (number,))

    def _flaw(self, features: int, keys: tuple[int, ...]) -> str:
        components = self.offset.shape[0] if self.offset.ndim == 1 + len(keys) else -1
        wanted: dict[str, tuple[int, ...]] = {"center": (features, *keys), "offset": (components, *keys)}
        wanted |= {"matrix": (features, *keys, components), "back": (components, *keys, features)}
        for name, value in self.arrays().items():
            if value.dtype != np.float64 or value.shape != wanted[name] or not components:
                return f"{name} must hold numbers of shape {wanted[name]}"
            if not np.isfinite(value).all():
                return f"{name} is not finite"
        return "" if 0 <= self.kept <= features else f"of {features} directions it cannot keep {self.kept}"


@dataclass(frozen=True)
class _OfRows:
    """The matrices of several keys, for rows whose keys are known."""

    subtracts_first: ClassVar[bool] = True

    step: Matrix  # by key
    groups: Array  # (rows,) which key each row has
    axes: int

    def arrays(self) -> dict[str, Array]:
        return self.step.arrays()

    def forward(self, x: Array, xp: Namespace) -> Array:
        return self._run(x, lambda step, part: step.forward(part, xp), xp)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return self._run(y, lambda step, part: step.inverse(part, xp), xp, inverse=True)

    def forward_where(self, x: Array, there: Array, xp: Namespace) -> Array:  # as `Map` has it
        return self.forward(x, xp)

    def inverse_like(self, y: Array, x: Array, xp: Namespace) -> Array:
        return self.inverse(y, xp)

    def _run(self, x: Array, way: Callable[[Matrix, Array], Array], xp: Namespace, *, inverse: bool = False) -> Array:
        if not isinstance(x, np.ndarray):
            # rows x features x components at once, as long as a batch is
            return way(self._gathered(self.groups, xp), x)
        order = np.argsort(self.groups, kind="stable")
        keys, first = np.unique(self.groups[order], return_index=True)
        wide = self.step.shape(x.shape, inverse=inverse)[-1] or 0
        out = np.empty((*x.shape[:-1], wide), np.result_type(self.step.matrix, np.float32))
        if len(keys) * _FEW_ROWS <= len(x):
            for key, own in zip(keys, np.split(order, first[1:]), strict=True):
                alone = self.step.with_arrays({name: value[:, key] for name, value in self.arrays().items()})
                out[own] = way(alone, x[own])
            return out
        many = max(1, _AT_ONCE // max(1, self.step.matrix.shape[0] * self.step.matrix.shape[-1]))
        for start in range(0, len(x), many):
            part = slice(start, start + many)
            out[part] = way(self._gathered(self.groups[part], xp), x[part])
        return out

    def _gathered(self, groups: Array, xp: Namespace) -> Matrix:
        """A matrix a row: arrays as `Matrix` has them for broadcasting, (rows, ...)."""
        of_numbers = {
            name: rows_of_table(getattr(self.step, name), groups, self.axes, xp) for name in ("center", "offset")
        }
        of_matrices = {
            name: xp.moveaxis(xp.take(getattr(self.step, name), groups, axis=1), 1, 0) for name in ("matrix", "back")
        }
        return self.step.with_arrays({**of_numbers, **of_matrices})


def _along(of_features: Array, x: Array, xp: Namespace) -> Array:
    """What each feature is, (features,) or (rows, features), as it spreads to x."""
    if len(of_features.shape) == 1:
        return of_features
    between = [1] * (len(x.shape) - 2)
    return xp.reshape(of_features, (-1, *between, of_features.shape[1]))


def _times(x: Array, matrix: Array, xp: Namespace) -> Array:
    """Over the last axis, whatever stands before it: one product of two matrices, which runs fastest everywhere; where each row
    has a matrix of its own, one each."""
    *lead, features = xp.shape(x)
    if len(matrix.shape) == 3:
        product = xp.matmul(xp.expand_dims(x, 1) if len(lead) == 1 else xp.reshape(x, (lead[0], -1, features)), matrix)
        return xp.squeeze(product, 1) if len(lead) == 1 else xp.reshape(product, (*lead, matrix.shape[-1]))
    flat = x if len(lead) == 1 else xp.reshape(x, (-1, features))
    product = xp.matmul(flat, matrix)
    return product if len(lead) == 1 else xp.reshape(product, (*lead, matrix.shape[1]))
