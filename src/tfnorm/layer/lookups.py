"""Which key a row has, inside a graph: the twin of `Keys.find`.

The one law: `Lookup(keys)(tensors)` is `keys.find(arrays)`: a key's place, the number of keys for one that is not among them.

Whole numbers are found by halving in a sorted weight, texts in TensorFlow's hash table, which is built from the configuration.
Null is NaN in a column of floats; tensors of integers and of text have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from tfnorm.errors import ArtefactError, DataError
from tfnorm.key_columns import KeyColumn, TextKeys, WholeKeys
from tfnorm.keys import Keys, listed
from tfnorm.layer.doubles import HOW, has_doubles
from tfnorm.layer.replicas import let_texts_through
from tfnorm.maps import Map

Tensor = Any


def keys_of(steps: Iterable[Map]) -> list[Keys]:
    """The sets of keys that some maps need, each once."""
    found: dict[tuple[str, ...], Keys] = {}
    for step in steps:
        for keyed in step.keyed():
            if found.setdefault(keyed.keys.names, keyed.keys) != keyed.keys:
                raise ArtefactError(f"columns: two maps have other keys of {listed(keyed.keys.names)}")
    return list(found.values())


class Lookup:
    """For one set of key columns. `weight` makes a weight of an array, `table` keeps a table alive where saving finds it."""

    def __init__(self, keys: Keys, weight: Callable[[str, np.ndarray], Tensor], table: Callable[[Any], None]) -> None:
        self.keys = keys
        if (widest := _widest(keys)) >= 1 << 31 and not has_doubles():
            raise DataError(f"key columns {listed(keys.names)}: the keys go up to {widest:,}, beyond 32 bits. {HOW}")
        self._codes = [_codes_of(column, weight, table) for column in keys.columns]
        self._numbers = None if len(keys.columns) == 1 else weight("numbers", keys.numbers)

    @property
    def has_text(self) -> bool:
        return any(isinstance(column, TextKeys) for column in self.keys.columns)

    def __call__(self, came: Mapping[str, Tensor]) -> Tensor:
        """The place of each row's key, int32, in the shape of the key columns without a last axis of 1."""
        missing = [name for name in self.keys.names if name not in came]
        if missing:
            raise DataError(f"key columns missing: {', '.join(missing)}. The numbers are by key; pass them in the dict")
        number = len(self.keys)
        codes = [
            code(_flat(column.name, came[column.name]))
            for column, code in zip(self.keys.columns, self._codes, strict=True)
        ]
        known, total = codes[0] >= 0, codes[0]
        for column, more in zip(self.keys.columns[1:], codes[1:], strict=True):
            known, total = ops.logical_and(known, more >= 0), total * (len(column) + 1) + more
        if self._numbers is None:
            first = int(self.keys.numbers[0])
            place, known = total - first, ops.logical_and(known, total >= first)
        else:
            place, found = _found(self._numbers, total)
            known = ops.logical_and(known, found)
        return ops.cast(ops.where(known, place, number), "int32")


def _widest(keys: Keys) -> int:
    """The largest whole number that is looked up or counted for these keys."""
    values = [column.values for column in keys.columns if isinstance(column, WholeKeys)]
    ends = [abs(int(end)) for one in (*values, keys.numbers) if len(one) for end in (one.min(), one.max())]
    return max(ends, default=0)


def _flat(name: str, x: Tensor) -> Tensor:
    """One key a row: (n,), also of (n, 1); a lone one stays as it is."""
    shape = tuple(x.shape)
    if len(shape) > 1:
        if len(shape) > 2 or shape[1] not in (1, None):
            raise DataError(f"key column {name!r}: expected one key a row, got shape {shape}")
        return ops.reshape(x, (-1,))
    return x


def _found(ordered: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Where each number lies among ordered ones, and whether it does."""
    place = ops.reshape(ops.searchsorted(ops.convert_to_tensor(ordered), ops.reshape(x, (-1,))), ops.shape(x))
    place = ops.minimum(ops.cast(place, "int64"), ordered.shape[0] - 1)
    return place, ops.equal(ops.take(ordered, place), x)


def _codes_of(column: KeyColumn, weight: Callable[[str, np.ndarray], Tensor], table: Callable[[Any], None]) -> Any:
    """From a tensor of one key column to codes: 0 for null, 1, 2, ... for its values, -1 for others."""
    if isinstance(column, TextKeys):
        texts = _text_table(column)
        table(texts)

        def of_text(x: Tensor) -> Tensor:
            if keras.backend.standardize_dtype(x.dtype) != "string":
                raise DataError(f"key column {column.name!r}: the fit saw text, and here is {x.dtype}. Cast it")
            return texts.lookup(x)

        return of_text
    ordered = weight("values", column.values) if isinstance(column, WholeKeys) else None

    def of_whole(x: Tensor) -> Tensor:
        dtype = keras.backend.standardize_dtype(x.dtype)
        if dtype == "string":
            raise DataError(
                f"key column {column.name!r}: the fit saw {column.kind or 'null'}, and here is text. Cast it"
            )
        whole = ops.cast(x, "int64")
        null = ops.isnan(x) if "float" in dtype else None
        if null is not None:
            whole = ops.cast(ops.where(null, ops.zeros_like(x), x), "int64")
        if ordered is None:
            codes = ops.full_like(whole, -1)
        else:
            place, found = _found(ordered, whole)
            found = ops.logical_and(found, ops.equal(ops.cast(whole, dtype), x)) if null is not None else found
            codes = ops.where(found, place + 1, ops.full_like(whole, -1))
        return codes if null is None else ops.where(null, ops.zeros_like(codes), codes)

    return of_whole


def _text_table(column: TextKeys) -> Any:
    """Text -> code, as TensorFlow's own table: it runs in tf.data and is saved with the model."""
    if (backend := keras.backend.backend()) != "tensorflow":
        raise DataError(
            f"key column {column.name!r}: text keys in a layer need Keras on TensorFlow, and it runs on {backend}. Give the "
            "keys numbers before the fit, or normalize outside of the model: fitted.transform(batch)"
        )
    import tensorflow as tf

    let_texts_through()
    with tf.init_scope():
        values = tf.constant([value.encode() for value in column.values], tf.string)
        codes = tf.range(1, len(column.values) + 1, dtype=tf.int64)
        return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(values, codes), -1)
