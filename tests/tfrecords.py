"""TFRecord files that tests write themselves: what TensorFlow would not."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfnorm.errors import DataError
from tfnorm.kernels.records import checksum
from tfnorm.sources import open_source


def mark(data: bytes) -> bytes:
    return struct.pack("<I", checksum(np.frombuffer(data + b" ", np.uint8)[:-1]))


def framed(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + mark(length) + data + mark(data)


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number: int, data: bytes | int) -> bytes:
    if isinstance(data, int):
        return varint(number << 3) + varint(data)
    return varint(number << 3 | 2) + varint(len(data)) + data


def feature(values: Any) -> bytes:
    array = np.atleast_1d(values)
    if array.dtype.kind == "f":
        return field(2, field(1, array.astype("<f4").tobytes()))
    if array.dtype.kind == "i":
        return field(3, field(1, b"".join(varint(int(v)) for v in array)))
    return field(1, b"".join(field(1, v.encode() if isinstance(v, str) else v) for v in array.tolist()))


def features(values: dict[str, Any]) -> bytes:
    return b"".join(field(1, field(1, name.encode()) + field(2, feature(v))) for name, v in values.items())


def example(**values: Any) -> bytes:
    return field(1, features(values))


def write(path: Path, examples: Sequence[bytes], packed: Callable[[bytes], bytes] = bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed(b"".join(framed(one) for one in examples)))
    return path


def read(data: Any, *columns: str) -> list[Any]:
    source = open_source(data)
    batches = [batch for shard in source.shards(columns) for batch in shard()]
    return [joined([batch[name] for batch in batches]) for name in columns]


def joined(parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    return (np.ma if any(isinstance(part, np.ma.MaskedArray) for part in parts) else np).concatenate(parts)


def refused(data: Any, *columns: str) -> str:
    with pytest.raises(DataError) as error:
        read(data, *columns)
    return str(error.value)


ROWS = {"age": np.arange(100, dtype=np.float32) / 8, "n": np.arange(100) - 50}
EXAMPLES = [example(**{name: values[i] for name, values in ROWS.items()}) for i in range(100)]
