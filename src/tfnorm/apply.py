"""How a map runs on arrays.

The one law: the result is `maps.run`'s, bit for bit, whatever the tiles and threads. Work goes tile by tile, so that a
formula's intermediate values stay in cache and memory is read once and written once. The affine map, which most columns
get, has a compiled twin of its formula that needs no intermediate values at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tfnorm.engines.threads import default_workers
from tfnorm.maps import Affine, Map, run, working_dtypes

TILE_VALUES = 1 << 15
ALONE_BELOW = 1 << 18  # values; fewer are done before a second thread has started


Groups = Mapping[tuple[str, ...], np.ndarray]
"""For the names of key columns, which of a map's keys each row has."""


def apply(
    step: Map, x: np.ndarray, *, groups: Groups | None = None, inverse: bool = False, workers: int | None = None
) -> np.ndarray:
    """Forward or back on an array of any number type, rows first; masked stays masked, unless the map makes a number of it.

    Maps by key need the rows' `groups`; without them every row is one whose key is not known.
    Computed in float32 for float32 and smaller types, in float64 for others, and cast last.
    """
    if isinstance(x, np.ma.MaskedArray):
        if step.fills and not inverse:
            numbers = x if x.dtype.kind == "f" else x.astype(np.float64)
            filled = apply(step, np.ma.filled(numbers, np.nan), groups=groups, workers=workers)
            return np.ma.MaskedArray(filled, np.ma.getmaskarray(x) & np.isnan(filled))
        data = apply(step, x.data, groups=groups, inverse=inverse, workers=workers)
        return np.ma.MaskedArray(data, np.ma.getmaskarray(x))
    name = "float64" if x.dtype == np.longdouble else x.dtype.name
    working, result = working_dtypes(name)
    if working == "float32" and not step.fits("float32"):
        working = "float64"
    step = step.at(working)
    workers = default_workers() if workers is None else workers
    if x.size <= TILE_VALUES or not len(x):
        return _tile(step, x, groups, working, inverse).astype(result, copy=False)
    out = np.empty(x.shape, result)
    rows = max(1, TILE_VALUES * len(x) // x.size)
    edges = list(range(0, len(x), rows))

    compiled = _compiled(step, x, out) if not inverse else None

    def work(first: int, last: int) -> None:
        if compiled is not None:
            compiled(edges[first], min(edges[min(last, len(edges)) - 1] + rows, len(x)))
            return
        for start in edges[first:last]:
            part = slice(start, start + rows)
            own = None if groups is None else {names: codes[part] for names, codes in groups.items()}
            out[part] = _tile(step, x[part], own, working, inverse)

    if workers == 1 or x.size < ALONE_BELOW:
        work(0, len(edges))
        return out
    share = -(-len(edges) // workers)
    with ThreadPoolExecutor(workers) as pool:
        for future in [pool.submit(work, first, first + share) for first in range(0, len(edges), share)]:
            future.result()
    return out


def _compiled(step: Map, x: np.ndarray, out: np.ndarray) -> Callable[[int, int], None] | None:
    """The rows from one to another by the affine kernel, where it applies."""
    if (
        not isinstance(step, Affine)
        or step.has_constant
        or x.dtype != out.dtype
        or x.dtype.name not in ("float32", "float64")
    ):
        return None
    if not x.flags.c_contiguous or len(step.center) not in (1, x.shape[-1]):
        return None
    from tfnorm.kernels.affine import affine

    width = x.size // len(x)
    flat, result = x.reshape(-1), out.reshape(-1)

    def rows(first: int, last: int) -> None:
        part = slice(first * width, last * width)
        affine(flat[part], step.center, step.scale, step.offset, result[part])

    return rows


def _tile(step: Map, x: np.ndarray, groups: Groups | None, working: str, inverse: bool) -> np.ndarray:
    with np.errstate(all="ignore"):  # missing and infinite values pass through; that is no error
        exact = not inverse and step.subtracts_first and x.dtype in (np.int64, np.uint64)
        bound = step if groups is None else step.bound(groups, x.ndim, np)
        return np.asarray(run(bound, x if exact else x.astype(working, copy=False), np, inverse=inverse))
