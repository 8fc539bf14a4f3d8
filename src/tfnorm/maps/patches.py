"""Maps that cut images into patches and put them together again.

The one law: no number changes, each only gets another place; either map is the other's way back.
"""

from __future__ import annotations

from dataclasses import dataclass

from tfnorm.errors import DataError
from tfnorm.maps.core import Array, Map, Namespace, Shape


@dataclass(frozen=True)
class Patches(Map):
    """Images (..., h, w, c) as their patches (..., h / size, w / size, size * size * c), rows of a patch first, then columns."""

    size: int  # pixels a side; height and width must be multiples

    def forward(self, x: Array, xp: Namespace) -> Array:
        _, size = self.shape(tuple(x.shape)), self.size
        *lead, height, width, channels = xp.shape(x)
        cut = xp.reshape(x, (*lead, height // size, size, width // size, size, channels))
        last = len(x.shape) + 1
        turned = xp.transpose(cut, (*range(last - 4), last - 4, last - 2, last - 3, last - 1, last))
        return xp.reshape(turned, (*lead, height // size, width // size, size * size * channels))

    def inverse(self, y: Array, xp: Namespace) -> Array:
        _, size = self.shape(tuple(y.shape), inverse=True), self.size
        *lead, height, width, channels = xp.shape(y)
        channels //= size * size
        cut = xp.reshape(y, (*lead, height, width, size, size, channels))
        last = len(y.shape) + 1
        turned = xp.transpose(cut, (*range(last - 4), last - 4, last - 2, last - 3, last - 1, last))
        return xp.reshape(turned, (*lead, height * size, width * size, channels))

    @property
    def sample_axes(self) -> int:
        return 3

    def shape(self, came: Shape, *, inverse: bool = False) -> Shape:
        if len(came) < 3:
            raise DataError(f"patches are cut from images, (..., height, width, channels), got shape {came}.")
        *lead, height, width, channels = came
        if inverse:
            self._whole(channels, self.size**2, came, "put together from rows of size * size * channels numbers")
            sides = (None if side is None else side * self.size for side in (height, width))
            return (*lead, *sides, None if channels is None else channels // self.size**2)
        for side in (height, width):
            self._whole(
                side, self.size, came, "cut from images whose height and width are multiples of it; crop or pad them"
            )
        sides = (None if side is None else side // self.size for side in (height, width))
        return (*lead, *sides, None if channels is None else channels * self.size**2)

    def _whole(self, length: int | None, part: int, came: Shape, words: str) -> None:
        if length is not None and length % part:
            raise DataError(f"patches of {self.size} are {words}. Got shape {came}.")

    def features(self, width: int = 1) -> int:
        return max(1, width // self.size**2)

    def flaw(self, features: int) -> str:
        return "" if 1 <= self.size < 1 << 20 else "its size must be a whole number from 1 up"


@dataclass(frozen=True)
class JoinPatches(Map):
    """Patches (..., h, w, size * size * c) as images (..., h * size, w * size, c): what `Patches` cut, put together."""

    size: int  # pixels a side

    def forward(self, x: Array, xp: Namespace) -> Array:
        return Patches(self.size).inverse(x, xp)

    def inverse(self, y: Array, xp: Namespace) -> Array:
        return Patches(self.size).forward(y, xp)

    @property
    def sample_axes(self) -> int:
        return 3

    def shape(self, came: Shape, *, inverse: bool = False) -> Shape:
        return Patches(self.size).shape(came, inverse=not inverse)

    def features(self, width: int = 1) -> int:
        return width * self.size**2 if width > 1 else 1

    def flaw(self, features: int) -> str:
        if flaw := Patches(self.size).flaw(1):
            return flaw
        return f"patches of {self.size} have a multiple of {self.size**2} numbers" if features % self.size**2 else ""
