"""Frozen dataclasses as JSON values and back.

The one law: `decode(type(value), encode(value)) == value`, bit for bit, and `decode` builds nothing from what does not fit.

Saving walks the fields, so there is no registry to forget. Arrays are flat lists of numbers that people can read; fields
marked `packed()` are compressed. Numbers that JSON lacks are written "nan", "inf", "-inf".

What is to be fast rather than read by people leaves arrays as they are (`bare`): then a dataclass that has `compact()`, name ->
array, and `of_compact`, the other way, is those.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import math
import types
import typing
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tfnorm.errors import ArtefactError

MAX_ITEMS = 1 << 28
MAX_DEPTH = 32
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_PACKED_DTYPES = ("uint64", "int64", "float64", "uint8")


def packed(dtype: str) -> Any:
    """A dataclass field whose array (of `dtype`, one to three axes) is stored compressed: too long to be read by people."""
    return dataclasses.field(metadata={"packed": dtype})


def optional(default: Any) -> Any:
    """A dataclass field that is not written where it has its default: files without it are those of before it was there."""
    return dataclasses.field(default=default, metadata={"optional": True})


def encode(value: Any, *, bare: bool = False) -> Any:
    """A dataclass as a dict that names its class first; arrays, tuples, numbers and text as JSON has them.

    bare: leave arrays as they are.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        if bare and hasattr(value, "compact"):
            return {"is": type(value).__name__, **value.compact()}
        pack = _bare if bare else _pack
        fields = {
            field.name: pack(getattr(value, field.name), field.metadata["packed"])
            if "packed" in field.metadata
            else encode(getattr(value, field.name), bare=bare)
            for field in dataclasses.fields(value)
            if not ("optional" in field.metadata and getattr(value, field.name) == field.default)
        }
        return {"is": type(value).__name__, **fields}
    if isinstance(value, np.ndarray):
        if bare and value.dtype in (np.int64, np.float64) and 1 <= value.ndim <= 3:
            return value
        plain = value.dtype.kind != "f" or bool(np.isfinite(value).all())  # as JSON has them, a million at once
        return value.tolist() if plain else [encode(item) for item in value.tolist()]
    if isinstance(value, tuple | list):
        if all(type(item) is str for item in value):
            return list(value)
        return [encode(item, bare=bare) for item in value]
    if isinstance(value, dict):
        return {str(key): encode(item, bare=bare) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def decode(kind: Any, data: Any, path: str = "$") -> Any:
    """The value of type `kind` that `data` describes; ArtefactError, with the path to the place, where it does not."""
    _expect(path.count(".") + path.count("[") < MAX_DEPTH, path[:80], f"at most {MAX_DEPTH} levels", "more")
    return _decoder(kind)(data, path)


Decoder = Callable[[Any, str], Any]


@functools.cache
def _decoder(kind: Any) -> Decoder:
    """What decodes values of that type: asked once, as a file has many of each."""
    if kind in (Any, np.ndarray):
        return _array
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return partial(_decode_union, kind)
    if origin is tuple:
        return partial(_decode_tuple, typing.get_args(kind))
    if origin is dict:
        return partial(_decode_dict, typing.get_args(kind)[1])
    if origin is typing.Literal:
        return partial(_decode_literal, typing.get_args(kind))
    if dataclasses.is_dataclass(kind):
        return partial(_decode_dataclass, kind)
    return _number if kind is float else partial(_decode_plain, kind)


def _decode_dict(item: Any, data: Any, path: str) -> dict[str, Any]:
    _expect(isinstance(data, dict), path, "an object", data)
    return {key: decode(item, value, f"{path}.{key}") for key, value in data.items()}


def _decode_literal(options: tuple[Any, ...], data: Any, path: str) -> Any:
    _expect(data in options, path, f"one of {options}", data)
    return data


def _decode_plain(kind: Any, data: Any, path: str) -> Any:
    _expect(type(data) is kind, path, kind.__name__, data)
    return data


def _decode_union(kind: Any, data: Any, path: str) -> Any:
    options = typing.get_args(kind)
    if data is None and type(None) in options:
        return None
    (inner,) = (option for option in options if option is not type(None))
    return decode(inner, data, path)


def _decode_tuple(items: tuple[Any, ...], data: Any, path: str) -> tuple[Any, ...]:
    _expect(isinstance(data, list), path, "a list", data)
    if len(items) == 2 and items[1] is Ellipsis:
        items = (items[0],) * len(data)
    _expect(len(items) == len(data), path, f"{len(items)} items", data)
    return tuple(decode(item, value, f"{path}[{i}]") for i, (item, value) in enumerate(zip(items, data, strict=True)))


def _decode_dataclass(kind: Any, data: Any, path: str) -> Any:
    _expect(isinstance(data, dict), path, f"a {kind.__name__}", data)
    called = data.get("is")
    found = _family(kind).get(called) if isinstance(called, str) else None
    _expect(found is not None, f"{path}.is", f"a kind of {kind.__name__}", called)
    assert found is not None
    fields, names, optionals = _fields(found)
    if compact := getattr(found, "of_compact", None):
        given = {name: one for name, one in data.items() if isinstance(one, np.ndarray)}
        if given and given.keys() != names:
            return compact(given)
    lacking = optionals - data.keys()
    if data.keys() | lacking != names | {"is"}:
        _expect(False, path, f"the fields {sorted(names)}", sorted(data))
    return found(
        **{
            name: decode(hint, data[name], f"{path}.{name}")
            if dtype is None
            else _unpack(data[name], dtype, f"{path}.{name}")
            for name, dtype, hint in fields
            if name not in lacking
        }
    )


@functools.cache
def _fields(kind: Any) -> tuple[list[tuple[str, str | None, Any]], set[str], set[str]]:
    """Of each field its name, the dtype where it is packed, and the type; all names, and those that may be lacking."""
    hints, fields = typing.get_type_hints(kind), dataclasses.fields(kind)
    told = [(field.name, field.metadata.get("packed"), hints[field.name]) for field in fields]
    return told, {name for name, _, _ in told}, {one.name for one in fields if "optional" in one.metadata}


@functools.cache
def _family(kind: Any) -> dict[str, Any]:
    """A class and all below it, by name."""
    family = {kind.__name__: kind}
    for child in kind.__subclasses__():
        family.update(_family(child))
    return family


def _number(data: Any, path: str) -> float:
    if isinstance(data, str):
        _expect(data in _SPECIAL, path, "a number", data)
        return _SPECIAL[data]
    _expect(isinstance(data, int | float) and not isinstance(data, bool), path, "a number", data)
    try:
        return float(data)
    except OverflowError:
        raise ArtefactError(f"{path}: {str(data)[:20]}... is too large for a number") from None


def _array(data: Any, path: str) -> np.ndarray:
    if isinstance(data, np.ndarray):
        _expect(data.dtype in (np.int64, np.float64), path, "numbers", data.dtype)
        return data
    _expect(isinstance(data, list), path, "a list of numbers", data)
    if data and all(type(item) is list for item in data):
        rows = [_array(item, f"{path}[{i}]") for i, item in enumerate(data)]
        _expect(len({(row.shape, row.dtype.kind) for row in rows}) == 1, path, "rows of one length", "others")
        return np.stack(rows)
    if data and all(type(item) is int for item in data):
        try:
            return np.array(data, np.int64)
        except OverflowError:
            raise ArtefactError(f"{path}: an integer beyond 64 bits") from None
    if data and all(type(item) is bool for item in data):
        return np.array(data, np.bool_)
    if data and all(type(item) is float for item in data):  # most, and at once
        return np.array(data, np.float64)
    return np.array([_number(item, f"{path}[{i}]") for i, item in enumerate(data)], np.float64)


def _bare(array: np.ndarray, dtype: str) -> np.ndarray:
    return array.astype(dtype, copy=False)


def _pack(array: np.ndarray, dtype: str) -> dict[str, Any]:
    data = np.ascontiguousarray(array, np.dtype(dtype).newbyteorder("<"))
    # bytes of equal weight side by side: the leading ones hardly change from cell to cell, so they all but vanish
    planes = data.reshape(-1).view(np.uint8).reshape(-1, data.itemsize).T.tobytes()
    size = len(data) if data.ndim == 1 else list(data.shape)
    return {"items": size, "zlib": base64.b64encode(zlib.compress(planes)).decode()}


def _unpack(data: Any, dtype: str, path: str) -> np.ndarray:
    if isinstance(data, np.ndarray):
        _expect(data.dtype == dtype, path, dtype, data.dtype)
        return data
    _expect(isinstance(data, dict) and set(data) == {"items", "zlib"}, path, "items and zlib", data)
    said, text = data["items"], data["zlib"]
    shape = said if isinstance(said, list) else [said]
    whole_numbers = 1 <= len(shape) <= 3 and all(type(one) is int and 0 <= one <= MAX_ITEMS for one in shape)
    items = math.prod(shape) if whole_numbers else -1
    _expect(0 <= items <= MAX_ITEMS, f"{path}.items", f"0 to {MAX_ITEMS}", said)
    _expect(isinstance(text, str), f"{path}.zlib", "text", text)
    assert dtype in _PACKED_DTYPES
    size = items * np.dtype(dtype).itemsize
    # zlib shrinks at most about 1030 times: a longer claim is a lie, told before any memory is taken for it
    _expect(size <= 1040 * len(text) + 64, f"{path}.items", "as many as the data can hold", items)
    try:
        inflate = zlib.decompressobj()
        planes = inflate.decompress(base64.b64decode(text, validate=True), size + 1)
    except (ValueError, zlib.error) as error:
        raise ArtefactError(f"{path}.zlib: not compressed data ({error})") from None
    whole = len(planes) == size and (inflate.eof or not size) and not inflate.unused_data
    _expect(whole, f"{path}.zlib", f"{size} bytes", f"{len(planes)} bytes")
    columns = np.frombuffer(planes, np.uint8).reshape(-1, max(items, 1)).T if items else np.empty((0, 1), np.uint8)
    flat = np.array(columns, order="C").reshape(-1).view(np.dtype(dtype).newbyteorder("<"))
    return flat.astype(dtype, copy=False).reshape(shape)


def _expect(condition: bool, path: str, wanted: str, got: Any) -> None:
    if not condition:
        text = repr(got)
        raise ArtefactError(f"{path}: expected {wanted}, got {text if len(text) < 80 else text[:77] + '...'}")
