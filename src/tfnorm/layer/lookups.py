"""Which key a row has, inside a graph: the twin of `Keys.find`.

The one law: `Lookup(keys)(tensors)` is `keys.find(arrays)`: a key's place, the number of keys for one that is not among them.

Whole numbers are found by halving in a sorted weight: in one operation where TensorFlow or another backend runs it, in a handful
of plain ones for runtimes that have no such operation. Texts are found in TensorFlow's hash table, which is built from the
configuration. Null is NaN in a column of floats; tensors of integers and of text have none.
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


Find = Callable[[Tensor, Tensor], Tensor]  # among rising numbers, where each of some lies that is one of them


class Lookup:
    """For one set of key columns. `weight` makes a weight of an array, and `texts` of a column what gives the code of texts."""

    def __init__(
        self,
        keys: Keys,
        weight: Callable[[str, np.ndarray], Tensor],
        texts: Callable[[int, TextKeys], Callable[[Tensor], Tensor]],
        find: Find,
        xp: Any = ops,
    ) -> None:
        self.keys, self._weight, self._texts, self._find, self._xp = keys, weight, texts, find, xp
        if (widest := _widest(keys)) >= 1 << 31 and not has_doubles():
            raise DataError(f"key columns {listed(keys.names)}: the keys go up to {widest:,}, beyond 32 bits. {HOW}")
        self._codes = [self._codes_of(place, column) for place, column in enumerate(keys.columns)]
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
            code(_flat(column.name, came[column.name], self._xp))
            for column, code in zip(self.keys.columns, self._codes, strict=True)
        ]
        xp = self._xp
        known, total = codes[0] >= 0, codes[0]
        for column, more in zip(self.keys.columns[1:], codes[1:], strict=True):
            known, total = xp.logical_and(known, more >= 0), total * (len(column) + 1) + more
        if self._numbers is None:
            first = int(self.keys.numbers[0])
            place, known = total - first, xp.logical_and(known, total >= first)
        else:
            place, found = self._found(self._numbers, total)
            known = xp.logical_and(known, found)
        return xp.cast(xp.where(known, place, xp.full_like(place, number)), "int32")

    def _found(self, ordered: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Where each number lies among ordered ones, and whether it does."""
        place = self._find(ordered, x)
        return place, self._xp.equal(self._xp.take(ordered, place), x)

    def _codes_of(self, index: int, column: KeyColumn) -> Callable[[Tensor], Tensor]:
        """From a tensor of one key column to codes: 0 for null, 1, 2, ... for its values, -1 for others."""
        xp = self._xp
        if isinstance(column, TextKeys):
            codes_of_texts = self._texts(index, column)

            def of_text(x: Tensor) -> Tensor:
                if keras.backend.standardize_dtype(x.dtype) != "string":
                    raise DataError(f"key column {column.name!r}: the fit saw text, and here is {x.dtype}. Cast it")
                return codes_of_texts(x)

            return of_text
        ordered = self._weight("values", column.values) if isinstance(column, WholeKeys) else None

        def of_whole(x: Tensor) -> Tensor:
            dtype = keras.backend.standardize_dtype(x.dtype)
            if dtype == "string":
                raise DataError(
                    f"key column {column.name!r}: the fit saw {column.kind or 'null'}, and here is text. Cast it"
                )
            whole = xp.cast(x, "int64")
            null = xp.isnan(x) if "float" in dtype else None
            if null is not None:
                whole = xp.cast(xp.where(null, xp.zeros_like(x), x), "int64")
            if ordered is None:
                codes = xp.full_like(whole, -1)
            else:
                place, found = self._found(ordered, whole)
                found = xp.logical_and(found, xp.equal(xp.cast(whole, dtype), x)) if null is not None else found
                codes = xp.where(found, place + 1, xp.full_like(whole, -1))
            return codes if null is None else xp.where(null, xp.zeros_like(codes), codes)

        return of_whole


def searched(ordered: Tensor, x: Tensor) -> Tensor:
    """By an operation of its own."""
    place = ops.reshape(ops.searchsorted(ops.convert_to_tensor(ordered), ops.reshape(x, (-1,))), ops.shape(x))
    return ops.minimum(ops.cast(place, "int64"), ordered.shape[0] - 1)


def halved(ordered: Tensor, x: Tensor) -> Tensor:
    """By taking and comparing, which every runtime can."""
    last = ordered.shape[0] - 1
    place = ops.zeros_like(x)
    step = 1 << last.bit_length()
    while step > 1:
        step //= 2
        further = ops.minimum(place + step, last)
        place = ops.where(x >= ops.take(ordered, further), further, place)
    return place


def _widest(keys: Keys) -> int:
    """The largest whole number that is looked up or counted for these keys."""
    values = [column.values for column in keys.columns if isinstance(column, WholeKeys)]
    ends = [abs(int(end)) for one in (*values, keys.numbers) if len(one) for end in (one.min(), one.max())]
    return max(ends, default=0)


def _flat(name: str, x: Tensor, xp: Any) -> Tensor:
    """One key a row: (n,), also of (n, 1); a lone one stays as it is."""
    shape = tuple(x.shape)
    if len(shape) > 1:
        if len(shape) > 2 or shape[1] not in (1, None):
            raise DataError(f"key column {name!r}: expected one key a row, got shape {shape}")
        return xp.reshape(x, (-1,))
    return x


def text_mark(lookup: int, column: int) -> str:
    """A word for graphs, by which what converts them finds the table that an operation asks."""
    return f"tfnorm_texts_{lookup}_{column}"


def need_tensorflow(column: TextKeys) -> None:
    """DataError where Keras runs on another backend, which has no texts."""
    if (backend := keras.backend.backend()) != "tensorflow":
        raise DataError(
            f"key column {column.name!r}: text keys in a layer need Keras on TensorFlow, and it runs on {backend}. Give the "
            "keys numbers before the fit, or normalize outside of the model: fitted.transform(batch)"
        )


def text_table(column: TextKeys) -> Any:
    """Text -> code, as TensorFlow's own table: it runs in tf.data and is saved with the model."""
    need_tensorflow(column)
    import tensorflow as tf

    let_texts_through()
    with tf.init_scope():
        values = tf.constant([value.encode() for value in column.values], tf.string)
        codes = tf.range(1, len(column.values) + 1, dtype=tf.int64)
        return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(values, codes), -1)
