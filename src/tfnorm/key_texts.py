"""Texts as keys: the different ones of a column, sorted, and which of them each row has.

The one law: equal texts get equal codes, in whatever layout Arrow holds them.

Short texts go by Arrow's views, of 16 bytes each, which hold up to 12 bytes themselves: equal views are equal texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_SHORT = 12  # bytes that a view holds itself: longer texts lie elsewhere
_MOST_SEEN, _MOST_COLUMNS = 1 << 16, 16
_seen: dict[str, tuple[np.ndarray, tuple[str, ...]]] = {}
"""The short texts, and their views, that a key column of this name held so far: rows that come next mostly hold the same, and
sorting them takes as long as finding them. It changes nothing but the time."""


def text_codes(name: str, array: Any) -> tuple[Sequence[str], np.ndarray] | None:
    """The different texts, sorted, and 1 + the place of each row's among them, 0 where null; None where it holds no texts.

    `array` is Arrow's, in one chunk; `name` is the column's. Some of the texts may be those of no row.
    """
    import pyarrow.types as t

    array = _viewed(array)
    views = t.is_string_view(array.type) and len(array) and _has_views()
    return (_view_codes(name, array) if views else None) or _plain_codes(array)


def is_text(type_: Any) -> bool:
    """Whether an Arrow type is one of texts."""
    import pyarrow.types as t

    return any(
        test(type_) for test in (t.is_string, t.is_large_string, t.is_string_view, t.is_binary, t.is_large_binary)
    )


def _plain_codes(array: Any) -> tuple[Sequence[str], np.ndarray] | None:
    """As `text_codes`, by a dictionary."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    given = t.is_dictionary(array.type)
    values = array.type.value_type if given else array.type
    if not is_text(values):
        return None
    if not (t.is_string(values) or t.is_large_string(values)):
        array, given = (array.dictionary_decode() if given else array).cast(pa.large_string()), False
    encoded = array if given else array.dictionary_encode()
    codes = np.asarray(encoded.indices.cast(pa.int64()).fill_null(-1))
    dictionary = encoded.dictionary
    if given:  # which may hold a text twice, or null
        once = dictionary.dictionary_encode()
        codes, dictionary = np.append(np.asarray(once.indices.fill_null(-1)), -1)[codes], once.dictionary
    order = pc.array_sort_indices(dictionary)
    ranks = np.zeros(len(dictionary) + 1, np.int64)  # the last, at -1, is null's
    ranks[np.asarray(order)] = np.arange(1, len(dictionary) + 1)
    return dictionary.take(order).to_pylist(), ranks[codes]


def _viewed(array: Any) -> Any:
    """Texts as views, where most are so short that the views hold them, from row 0 of their buffers on."""
    import pyarrow as pa
    import pyarrow.types as t

    plain = t.is_string(array.type) or t.is_large_string(array.type)
    if not plain or not len(array) or not _has_views() or array.nbytes > 8 + (8 + _SHORT) * len(array):
        return array
    if array.offset and not array.null_count:  # Arrow would make views of all that lies before
        bytes_each = 4 if t.is_string(array.type) else 8
        _, starts, data = array.buffers()
        starts = starts.slice(array.offset * bytes_each, (len(array) + 1) * bytes_each)
        array = pa.Array.from_buffers(array.type, len(array), [None, starts, data])
    elif array.offset:
        array = pa.concat_arrays([array, array.slice(0, 0)])
    return array.cast(pa.string_view())


def _has_views() -> bool:
    """Whether Arrow makes arrays of views: pyarrow 17 and 18 only hold them."""
    import pyarrow as pa

    return int(pa.__version__.split(".", 1)[0]) >= 19


def _view_codes(name: str, array: Any) -> tuple[Sequence[str], np.ndarray] | None:
    """As `text_codes`, by the 16 bytes of each view: where they are equal, so are the texts. None where too many differ.

    Some of the texts may be those of no row.
    """
    import pyarrow as pa

    from tfnorm.kernels import groups

    views = np.frombuffer(array.buffers()[1], np.uint64).reshape(-1, 2)[array.offset : array.offset + len(array)]
    valid = np.asarray(array.is_valid()) if array.null_count else None
    views = views if valid is None else views[valid]
    short = bool((views.view(np.uint32)[:, 0] <= _SHORT).all())
    known, texts = _seen.get(name, (views[:0], ())) if short else (views[:0], ())
    room = len(views) if short else len(views) // 16 + 1024  # long texts may lie elsewhere each time
    different, codes = np.empty((len(known) + room, 2), np.uint64), np.empty(len(views), np.int64)
    different[: len(known)] = known
    found = groups.number_pairs(views, len(known), different, codes)
    if found < 0:
        return None
    if found > len(known):
        used = np.zeros(found + 1, bool)
        used[codes] = True
        if 2 * used.sum() < found:  # what was known is of other rows: begin anew
            _seen.pop(name, None)
            return _view_codes(name, array)
        different = different[:found].copy()
        held = pa.Array.from_buffers(pa.string_view(), found, [None, pa.py_buffer(different), *array.buffers()[2:]])
        by_text = _plain_codes(pa.array(held.to_pylist(), pa.large_string()))
        assert by_text is not None
        sorted_texts, ranks = by_text
        codes, texts = np.append(0, ranks)[codes], tuple(sorted_texts)
        if short and len(texts) == found <= _MOST_SEEN:
            known = np.empty_like(different)
            known[ranks - 1] = different
            if len(_seen) >= _MOST_COLUMNS:
                _seen.clear()
            _seen[name] = known, texts
    if valid is None:
        return texts, codes
    spread = np.zeros(len(array), np.int64)
    spread[valid] = codes
    return texts, spread
