"""Ray Data: data sets whose blocks lie on many hosts, normalized where they lie.

    fitted = tfnorm.fit(ds, {"age": "standard"})       # a ray.data.Dataset is a source as any other
    ds = tfnorm.ray.transform(fitted, ds)              # lazily, as Ray's own map_batches

The one law: a block on a worker becomes what `fitted.transform` makes of it here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from tfnorm.artefact import dumps, loaded
from tfnorm.errors import DataError
from tfnorm.fitted import Fitted
from tfnorm.fitting import fit, scan

__all__ = ["fired", "fit", "inverse", "scan", "transform"]


def transform(fitted: Fitted, data: Any, **options: Any) -> Any:
    """A `ray.data.Dataset` on the normalized scale: a new one, made when it is read; columns that are not fitted pass through.

    options: as `Dataset.map_batches` takes them (batch_size, num_cpus, concurrency, ...).

    Vectors become lists of a fixed size. What policies did is not in `fitted.fired`, as Ray brings nothing back but rows: `fired`
    counts it.
    """
    return _mapped(fitted, data, False, options)


def inverse(fitted: Fitted, data: Any, **options: Any) -> Any:
    """Back to real units, as `transform`."""
    return _mapped(fitted, data, True, options)


def fired(fitted: Fitted, data: Any) -> Counter[tuple[str, str]]:
    """What policies do to these rows, as `fitted.fired` counts it: (column, policy) -> values. A pass of its own.

    >>> fired(fitted, ds)  # doctest: +SKIP
    Counter({('fare', 'out_of_range'): 12, ('age', 'missing'): 3})
    """
    arguments = {"text": dumps(fitted)}
    counts = _of_ray(data).map_batches(_fired, fn_kwargs=arguments, batch_format="pyarrow", batch_size=None)
    total: Counter[tuple[str, str]] = Counter()
    for row in counts.iter_rows():
        total[row["column"], row["policy"]] += row["count"]
    return total


def _mapped(fitted: Fitted, data: Any, inverse: bool, options: dict[str, Any]) -> Any:
    arguments = {"text": dumps(fitted), "inverse": inverse}
    return _of_ray(data).map_batches(_apply, fn_kwargs=arguments, batch_format="pyarrow", **options)


def _of_ray(data: Any) -> Any:
    if not hasattr(data, "map_batches"):
        raise DataError(
            f"data: expected a ray.data.Dataset, got {type(data).__name__}. Pass it to fitted.transform instead."
        )
    return data


def _apply(table: Any, text: bytes, inverse: bool) -> Any:
    fitted: Fitted = loaded(text)
    return fitted.inverse(table) if inverse else fitted.transform(table)


def _fired(table: Any, text: bytes) -> Any:
    import pyarrow as pa

    fitted = replace(loaded(text), fired=Counter())  # which others of this process have loaded, too
    fitted.transform(table)
    columns = (
        zip(*((*which, count) for which, count in fitted.fired.items()), strict=True) if fitted.fired else ((),) * 3
    )
    types = {"column": pa.string(), "policy": pa.string(), "count": pa.int64()}
    return pa.table(dict(zip(types, map(list, columns), strict=True)), pa.schema(types))
