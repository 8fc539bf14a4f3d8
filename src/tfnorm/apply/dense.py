"""How a map runs on arrays.

The one law: the result is that of `maps.run`, bit for bit, whatever the tiles and threads (a matrix' to the rounding of its
sums, whose order BLAS chooses by the number of rows). Work goes tile by tile, so that a formula's intermediate values stay in
cache, and memory is read once and written once. What most columns get, and what NumPy
does slowly, has a compiled twin (`tfnorm.apply.twins`), for large arrays only: a row must not wait for a compiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tfnorm.apply import sparing
from tfnorm.apply.twins import Rows, twin
from tfnorm.engines.threads import default_workers
from tfnorm.errors import DataError
from tfnorm.maps import Map, Runnable, working_dtypes

TILE_BYTES = 1 << 19  # of one intermediate value
SMALL_VALUES = 1 << 12  # up to as many, NumPy's ways are shorter than those around its work
MATRIX_ROWS = 1024
ALONE_BELOW = 1 << 18  # values; fewer are done before a second thread has started, or a kernel is loaded


Groups = Mapping[tuple[str, ...], np.ndarray]
"""For the names of key columns, which of a map's keys each row has."""


def apply(
    step: Map,
    x: np.ndarray,
    *,
    groups: Groups | None = None,
    inverse: bool = False,
    workers: int | None = None,
    there: np.ndarray | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Forward or back on an array of any number type, rows first; masked stays masked.
    Maps by key need the rows' `groups`. The result shares no memory with x, unless it is written to `out`, and that is x.

    Computed in float32 for float32 and smaller types, in float64 for others, and cast last. `there`, of the shape of x, says
    which values count in what is computed of a whole sample; of a masked array, those that are not masked do.
    """
    if x.ndim == 1 and not step.elementwise and step.width(1) != 1:
        x = x[:, None]  # a number a row, that becomes several or did so
    if isinstance(x, np.ma.MaskedArray):
        if out is not None:
            raise DataError(
                "out= takes no mask, and a masked array came. Fill it (x.filled(np.nan)), or leave out= out."
            )
        return _masked(step, x, groups, inverse, workers)
    working, result, step = at_work(step, x.dtype)
    shape = tuple(length or 0 for length in step.shape(x.shape, inverse=inverse))
    in_place = out is not None and _in_place(x, out, shape, np.dtype(result))
    out = np.empty(shape, result) if out is None else out
    if not x.ndim or x.size <= SMALL_VALUES or not len(x):
        out[...] = _mapped(_bound(step, groups, x, slice(None)), x, working, inverse, np, there)
        return out
    alone = x.size < ALONE_BELOW
    twins = not alone and x.dtype.name == working == result and groups is None and there is None
    twins = twins and out.flags.c_contiguous and not in_place  # whose loops are no vectors' where x is overwritten
    fill = (twin(step, x, out, inverse) if twins else None) or _tiles(step, x, groups, there, out, working, inverse)
    workers = 1 if alone else default_workers() if workers is None else workers
    if workers == 1:
        fill(0, len(x))
        return out
    shares = workers * min(4, x.size // ALONE_BELOW)  # several each, so that none waits long for one that was kept
    share = -(-len(x) // shares)
    with ThreadPoolExecutor(workers) as pool:
        for future in [pool.submit(fill, first, min(first + share, len(x))) for first in range(0, len(x), share)]:
            future.result()
    return out


def _in_place(x: np.ndarray, out: Any, shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Whether `out` is x itself; an error if it cannot take a result of that shape and type."""
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise DataError(
            f"out= expected an array, got {type(out).__name__}. Make one with np.empty({shape}, {dtype.name!r})."
        )
    if out.shape != shape or out.dtype != dtype:
        raise DataError(
            f"out= expected shape {shape} and {dtype.name}, got shape {out.shape} and {out.dtype.name}. "
            f"Make it with np.empty({shape}, {dtype.name!r})."
        )
    if not out.flags.writeable:
        raise DataError("out= is read-only. Pass an array that can be written, or leave out= out.")
    if not np.may_share_memory(x, out):
        return False
    if (
        x.dtype == out.dtype
        and x.__array_interface__["data"] == out.__array_interface__["data"]
        and ((x.shape, x.strides) == (out.shape, out.strides))
    ):
        return True
    if np.shares_memory(x, out):
        raise DataError(
            "out= overlaps the data without being the same array. Pass the data itself, or memory of its own."
        )
    return False


def at_work(step: Map, dtype: np.dtype) -> tuple[str, str, Map]:
    """(the precision in which data of this type are computed, the type of the result, the map in that precision)."""
    working, result = working_dtypes("float64" if dtype == np.longdouble else dtype.name)
    if working == "float32" and not step.fits("float32"):
        working = "float64"
    return working, result, step.at(working)


def _masked(
    step: Map, x: np.ma.MaskedArray[Any, Any], groups: Groups | None, inverse: bool, workers: int | None
) -> np.ndarray:
    """What is masked stays masked, and out of what is computed of a sample, unless the map is there to fill it or mixes values:
    to these it is missing, NaN."""
    if (step.elementwise or step.leaves_out) and not step.fills:
        mask = np.ma.getmaskarray(x)
        there = None if step.elementwise or inverse else ~mask
        data = apply(step, x.data, groups=groups, inverse=inverse, workers=workers, there=there)
        return np.ma.MaskedArray(data, mask)
    floats = x.astype(working_dtypes(x.dtype.name)[1], copy=False)
    data = apply(step, np.ma.filled(floats, np.nan), groups=groups, inverse=inverse, workers=workers)
    return np.ma.MaskedArray(data, np.isnan(data))


def _bound(step: Map, groups: Groups | None, x: np.ndarray, part: slice) -> Runnable:
    """The map for some of the rows."""
    if groups is None:
        return step
    return step.bound({names: codes[part] for names, codes in groups.items()}, x.ndim, np)


def _tiles(
    step: Map,
    x: np.ndarray,
    groups: Groups | None,
    there: np.ndarray | None,
    out: np.ndarray,
    working: str,
    inverse: bool,
) -> Rows:
    """By NumPy. Maps of single numbers run on flat tiles, their constants repeated: NumPy is slow on narrow rows."""
    width, features = x.size // len(x), x.shape[-1]
    values = (TILE_BYTES if x.size >= ALONE_BELOW else TILE_BYTES // 8) // np.dtype(working).itemsize
    if any(value.ndim > 1 for value in step.arrays().values()) and not step.elementwise:
        values = max(values, MATRIX_ROWS * width)  # so many that reading the matrix is not what takes the time
    rows = min(max(1, values // width), len(x))
    flat = (
        groups is None
        and there is None
        and step.elementwise
        and out.flags.c_contiguous
        and all(array.shape in ((1,), (features,)) for array in step.arrays().values())
    )
    flat_step = step.with_arrays(_repeated(step, rows * width)) if flat else step
    np.empty(32 * TILE_BYTES, np.uint8)  # glibc keeps at hand what is smaller than the largest yet freed

    def fill(first: int, last: int) -> None:
        for start in range(first, last, rows):
            stop = min(start + rows, last)
            tile, place = x[start:stop], out[start:stop]
            if flat:
                part = flat_step if stop - start == rows else step.with_arrays(_repeated(step, tile.size))
                tile, place = tile.reshape(-1), place.reshape(-1)
                place[...] = _mapped(part, tile, working, inverse, sparing)
            else:
                own = None if there is None else there[start:stop]
                xp = sparing if groups is None else np
                place[...] = _mapped(_bound(step, groups, x, slice(start, stop)), tile, working, inverse, xp, own)

    return fill


def _repeated(step: Map, size: int) -> dict[str, np.ndarray]:
    return {
        name: np.tile(array, size // len(array)) if len(array) > 1 else array for name, array in step.arrays().items()
    }


def _mapped(
    step: Runnable, x: np.ndarray, working: str, inverse: bool, xp: object, there: np.ndarray | None = None
) -> np.ndarray:
    with np.errstate(all="ignore"):  # missing and infinite values pass through; that is no error
        if inverse:
            return np.asarray(step.inverse(x.astype(working, copy=False), xp))
        exact = step.subtracts_first and x.dtype in (np.int64, np.uint64)
        x = x if exact else x.astype(working, copy=False)
        if there is None:
            return np.asarray(step.forward(x, xp))
        return np.asarray(step.forward_where(x, there, xp))
