"""What an export says of itself: of which fit it is, and which tensor is which column.

The one law: a label is found again in the file's bytes, whatever its format, so that no library is needed to read it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE = Path("assets.extra") / "tfnorm.json"  # in a SavedModel, where servers leave what they do not know alone
KEY = "tfnorm"  # under which formats with metadata have it
_START = '{"tfnorm_export": 1, '
_MARK = re.compile(rb"tfnorm_([0-9a-f]{64})(?![0-9a-f])")


@dataclass(frozen=True)
class Label:
    """The fit, and its columns by the names of the tensors that they come and go in."""

    fingerprint: str
    inverse: bool  # whether it is the way back
    inputs: Mapping[str, str]  # name of the tensor -> column
    outputs: Mapping[str, str]

    def text(self) -> str:
        """ASCII, and always with the same beginning."""
        fields = {"fingerprint": self.fingerprint, "inverse": self.inverse}
        tensors = {"inputs": dict(self.inputs), "outputs": dict(self.outputs)}
        return _START + json.dumps({**fields, **tensors}, ensure_ascii=True)[1:]


def label_in(data: bytes) -> Label | None:
    """The label that lies among these bytes."""
    at = data.find(_START.encode())
    if at < 0:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(data[at:].decode("ascii", "replace"))
        return Label(str(found["fingerprint"]), bool(found["inverse"]), dict(found["inputs"]), dict(found["outputs"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def marks_in(data: bytes) -> tuple[str, ...]:
    """The fingerprints in names that graphs have kept (see `tfnorm.layer.maps.fit_mark`)."""
    return tuple(dict.fromkeys(found.decode() for found in _MARK.findall(data)))
