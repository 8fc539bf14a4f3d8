"""A drawing in the hand of the user: shown by notebooks, saved as SVG or PNG.

The one law: what is shown is what is saved.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfnorm.drawing.png import png
from tfnorm.drawing.scene import Scene
from tfnorm.drawing.svg import svg
from tfnorm.errors import ChoiceError
from tfnorm.writing import write_atomically


@dataclass(frozen=True)
class Picture:
    """What `plot()` gives."""

    scene: Scene

    def __repr__(self) -> str:
        return f'{self.scene.title}; picture.save("name.svg") or .png'

    def _repr_svg_(self) -> str:
        return svg(self.scene)

    def _repr_png_(self) -> bytes | None:
        try:
            return png(self.scene)
        except ImportError:  # notebooks ask for every kind there may be
            return None

    def save(self, path: Any) -> None:
        """As SVG or PNG, by the end of the name; an old file stays whole until the new one is."""
        file = Path(os.fspath(path))
        end = file.suffix.lower()
        if end == ".svg":
            write_atomically(file, svg(self.scene, ground="#ffffff").encode())
        elif end == ".png":
            write_atomically(file, png(self.scene))
        else:
            raise ChoiceError(f"{file}: a picture ends in .svg or .png, got {end or 'no ending'!r}. Rename it.")


def shown_or_saved(scene: Scene, path: Any) -> Picture:
    """The picture; saved, too, where there is a path."""
    picture = Picture(scene)
    if path is not None:
        picture.save(path)
    return picture
