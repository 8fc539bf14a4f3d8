"""A map with numbers of its own for every key: which ones a row gets, its key says.

The one law: a row's result is that of the inner map with the numbers of the row's key, `m.bound(groups)` being that map for
rows of these keys; without keys (`forward` itself) every row is one whose key the fit has not seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfnorm.keys import Keys
from tfnorm.maps.core import Array, Map, Namespace, Runnable, Shape, constant

UNSEEN = ("global", "error", "missing")


@dataclass(frozen=True)
class ByKey(Map):
    """The inner map, with the numbers of the row's key; those of all rows, or a missing value, where the fit has not seen it."""

    keys: Keys
    inner: Map  # its arrays are (features, keys + 1, ...): a number a key, the last one that of all rows
    unseen: str  # of rows of other keys: "global" the numbers of all rows, "missing" NaN, "error" NaN where none can be raised

    def forward(self, x: Array, xp: Namespace) -> Array:
        return self._rest(xp).forward(x, xp)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return self._rest(xp).inverse(y, xp)

    def bound(self, groups: Mapping[tuple[str, ...], Array], axes: int, xp: Namespace) -> Runnable:
        own = groups[self.keys.names]
        return self._guarded(self.inner.of_rows(own, axes, xp), own < len(self.keys), axes)

    def of_values(self, places: Array, groups: Array, xp: Namespace) -> Runnable:
        """For single values (n,), by their features and the keys of their rows, of a map of single numbers."""
        at = {1: groups}  # one number for all features, or one each
        own = {}
        for name, value in self.arrays().items():
            features, number, *rest = value.shape
            place = at.setdefault(features, places * number + groups)
            own[name] = xp.take(xp.reshape(value, (-1, *rest)), place, axis=0)
        return self._guarded(self.inner.with_arrays(own), groups < len(self.keys), 1)

    def _rest(self, xp: Namespace) -> Runnable:
        alone = self.inner.with_arrays({name: value[:, -1] for name, value in self.inner.arrays().items()})
        return self._guarded(alone, constant(np.zeros((), bool), xp), 0)

    def _guarded(self, step: Runnable, known: Array, axes: int) -> Runnable:
        return step if self.unseen == "global" else _Guarded(step, known, axes)

    @property
    def flat(self) -> Map:
        """The inner map with every key's numbers as those of a feature of its own, features * (keys + 1)."""
        return self.inner.with_arrays(
            {name: value.reshape(-1, *value.shape[2:]) for name, value in self.inner.arrays().items()}
        )

    @classmethod
    def of_flat(cls, keys: Keys, step: Map, unseen: str) -> ByKey:
        """From a map of features * (keys + 1) features, all keys of a feature side by side."""
        arrays = {name: value.reshape(-1, len(keys) + 1, *value.shape[1:]) for name, value in step.arrays().items()}
        return cls(keys, step.with_arrays(arrays), unseen)

    @property
    def subtracts_first(self) -> bool:  # type: ignore[override]  # as its inner map does
        return self.inner.subtracts_first

    @property
    def elementwise(self) -> bool:  # type: ignore[override]  # as its inner map
        return self.inner.elementwise

    @property
    def fills(self) -> bool:  # type: ignore[override]  # as its inner map
        return self.inner.fills

    @property
    def lost(self) -> str:
        return self.inner.lost

    @property
    def limited(self) -> str:
        return (self.flat if self.elementwise else self.inner).limited

    @property
    def domain(self) -> str:
        return self.inner.domain

    @property
    def sample_axes(self) -> int:
        return self.inner.sample_axes

    def shape(self, came: Shape, *, inverse: bool = False) -> Shape:
        return self.inner.shape(came, inverse=inverse)

    def features(self, width: int = 1) -> int:
        return self.inner.features(width)

    def taken_off(self) -> Array:
        return self.inner.taken_off()

    def steps(self) -> tuple[Map, ...]:
        return self.inner.steps()

    def keyed(self) -> tuple[ByKey, ...]:
        return (self,)

    def arrays(self) -> dict[str, Array]:
        return self.inner.arrays()

    def with_arrays(self, arrays: dict[str, Array]) -> ByKey:
        return dataclasses.replace(self, inner=self.inner.with_arrays(arrays))

    def at(self, dtype: str) -> ByKey:
        return dataclasses.replace(self, inner=self.inner.at(dtype))

    def fits(self, dtype: str) -> bool:
        return self.inner.fits(dtype)

    def settings(self) -> tuple[object, ...]:
        return (self.keys, self.unseen, type(self.inner), self.inner.settings())

    def flaw(self, features: int) -> str:
        if flaw := self.keys.flaw():
            return flaw
        arrays = self.inner.arrays()
        if self.inner.keyed() or not arrays:
            return "a map by key must have numbers for the keys, and no keys within"
        if self.elementwise and any(value.shape[:2] != (features, len(self.keys) + 1) for value in arrays.values()):
            return f"it must hold numbers of {features} features for each of {len(self.keys)} keys and one more"
        if self.unseen not in UNSEEN:
            return f"unseen must be one of {', '.join(UNSEEN)}"
        if self.elementwise:
            return self.flat.flaw(features * (len(self.keys) + 1))
        return self.inner.flaw_by_key(features, len(self.keys) + 1)


@dataclass(frozen=True)
class _Guarded:
    """A map for rows some of which have no known key: they become NaN, both ways."""

    step: Any
    known: Array  # (rows,) bool
    axes: int

    @property
    def subtracts_first(self) -> bool:
        return bool(self.step.subtracts_first)

    def arrays(self) -> dict[str, Array]:
        return self.step.arrays()

    def forward(self, x: Array, xp: Namespace) -> Array:
        return self._known(self.step.forward(x, xp), xp)

    def forward_where(self, x: Array, there: Array, xp: Namespace) -> Array:
        return self._known(self.step.forward_where(x, there, xp), xp)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return self._known(self.step.inverse(y, xp), xp)

    def inverse_like(self, y: Array, x: Array, xp: Namespace) -> Array:
        return self._known(self.step.inverse_like(y, x, xp), xp)

    def _known(self, values: Array, xp: Namespace) -> Array:
        known = self.known
        for _ in range(self.axes - len(known.shape)):
            known = xp.expand_dims(known, -1)
        return xp.where(known, values, xp.full_like(values, float("nan")))
