"""What processes send each other: a value as a line of JSON in the format of artefacts, and its arrays as bytes behind it.

The one law: `opened(kind, sealed(value))` is the value, bit for bit, and what is not whole is refused before anything is built.

A message is two lines of text, a head (whose "checksum" is over all that follows) and the value, then the bytes of the arrays
that the value names as `{"array": [type, shape, where they begin]}`. An artefact's compressed arrays are read, too.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np

from tfnorm.codec import MAX_ITEMS, decode, encode
from tfnorm.errors import ArtefactError

TYPES = ("int64", "float64", "uint64", "uint8")


def sealed(value: Any, **head: Any) -> bytes:
    """A dataclass as a message, with what its head is to tell besides."""
    pieces: list[bytes] = []
    at = 0

    def behind(array: Any) -> dict[str, Any]:
        nonlocal at
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{type(array).__name__} has no form in JSON")
        pieces.append(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
        named = [array.dtype.name, list(array.shape), at]
        at += len(pieces[-1])
        return {"array": named}

    text = json.dumps(encode(value, bare=True), allow_nan=False, default=behind).encode()
    body = [text, *([b"\n"] if pieces else []), *pieces]
    checksum = hashlib.sha256()
    for piece in body:
        checksum.update(piece)
    return b"".join([json.dumps({**head, "checksum": checksum.hexdigest()}).encode(), b"\n", *body, b"\n"])


def relabelled(data: bytes, **head: Any) -> bytes:
    """A message that was opened, under another head: what is below is not encoded again."""
    body = data.split(b"\n", 1)[1]
    return f"{json.dumps({**head, 'checksum': head_of(data)['checksum']})}\n".encode() + body


def head_of(data: bytes) -> dict[str, Any]:
    """The head alone; ArtefactError where it is none."""
    try:
        head = json.loads(data[: data.find(b"\n") + 1 or None])
    except (ValueError, RecursionError) as error:
        raise ArtefactError(f"not what a worker sends: {error}") from None
    if not isinstance(head, dict):
        raise ArtefactError("not what a worker sends: it has no head")
    return head


def opened(kind: Any, data: bytes) -> Any:
    """The value of that kind; ArtefactError where the message is damaged, or of something else."""
    head = head_of(data)
    body = memoryview(data)[data.find(b"\n") + 1 : -1]
    if head.get("checksum") != hashlib.sha256(body).hexdigest():
        raise ArtefactError("it is damaged: the checksum does not fit")
    end = data.find(b"\n", len(data) - len(body) - 1)
    text, behind = data[len(data) - len(body) - 1 : end], memoryview(data)[end + 1 : -1]

    def with_arrays(found: dict[str, Any]) -> Any:
        return _array(found["array"], behind) if set(found) == {"array"} and isinstance(found["array"], list) else found

    try:
        return decode(kind, json.loads(text, object_hook=with_arrays))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtefactError(f"not what a worker sends: {error}") from None


def _array(named: list[Any], behind: memoryview) -> np.ndarray:
    kind, shape, at = named
    sound = kind in TYPES and type(at) is int and isinstance(shape, list) and 1 <= len(shape) <= 3
    if not sound or not all(type(many) is int and 0 <= many <= MAX_ITEMS for many in shape):
        raise ArtefactError(f"expected an array's type, shape and place, got {str(named)[:80]}")
    dtype = np.dtype(kind).newbyteorder("<")
    size = math.prod(shape) * dtype.itemsize
    if not 0 <= at <= len(behind) - size:
        raise ArtefactError(f"an array of {size} bytes is not all there")
    return np.frombuffer(behind[at : at + size], dtype).reshape(shape).astype(kind)
