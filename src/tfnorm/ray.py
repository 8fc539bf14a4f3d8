"""Ray Data: data sets whose blocks lie on many hosts, normalized where they lie.

    fitted = tfnorm.fit(ds, {"age": "standard"})       # a ray.data.Dataset is a source as any other
    ds = tfnorm.ray.transform(fitted, ds)              # lazily, as Ray's own map_batches

The one law: a block on a worker becomes what `fitted.transform` makes of it here.
"""

from __future__ import annotations

from typing import Any

from tfnorm.artefact import dumps, loaded
from tfnorm.errors import DataError
from tfnorm.fitted import Fitted
from tfnorm.fitting import fit, scan

__all__ = ["fit", "inverse", "scan", "transform"]


def transform(fitted: Fitted, data: Any, **options: Any) -> Any:
    """A `ray.data.Dataset` on the normalized scale: a new one, made when it is read; columns that are not fitted pass through.

    options: as `Dataset.map_batches` takes them (batch_size, num_cpus, concurrency, ...).

    Vectors become lists of a fixed size. What policies did is counted on the workers, and `fitted.fired` does not learn it.
    """
    return _mapped(fitted, data, False, options)


def inverse(fitted: Fitted, data: Any, **options: Any) -> Any:
    """Back to real units, as `transform`."""
    return _mapped(fitted, data, True, options)


def _mapped(fitted: Fitted, data: Any, inverse: bool, options: dict[str, Any]) -> Any:
    if not hasattr(data, "map_batches"):
        raise DataError(
            f"data: expected a ray.data.Dataset, got {type(data).__name__}. Pass it to fitted.transform instead."
        )
    arguments = {"text": dumps(fitted), "inverse": inverse}
    return data.map_batches(_apply, fn_kwargs=arguments, batch_format="pyarrow", **options)


def _apply(table: Any, text: bytes, inverse: bool) -> Any:
    fitted: Fitted = loaded(text)
    return fitted.inverse(table) if inverse else fitted.transform(table)
