"""Means and deviations by key: tfnorm's fit against Polars' group_by, on the same table in memory.

    python benchmarks/grouped.py [--rows 10000000] [--keys 10000] [--json results.json]

`tfnorm.fit(table, {"price": "standard.by('store')"})` gathers counts, extremes and four moments of every key and of all rows,
and solves the maps; Polars' `group_by("store").agg(mean, std)` gives the two numbers. The answers are compared before they are
timed. Then the way back to the rows: `fitted.transform` against Polars' `(x - mean.over("store")) / std.over("store")`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import common
from common import Contestant, DifferentError


def table(rows: int, keys: int, kind: str) -> Any:
    import polars as pl

    random = np.random.default_rng(1)
    store = random.integers(0, keys, rows)
    price = random.normal(1e6, 5, rows) + store
    if kind == "text":
        names = pl.Series([f"store-{i:06d}" for i in range(keys)])
        return pl.DataFrame({"store": names.gather(store), "price": price})
    return pl.DataFrame({"store": store, "price": price})


def main() -> None:
    parser = common.options(__doc__ or "")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--keys", type=int, default=10_000)
    arguments = parser.parse_args()
    common.settle(arguments.threads)
    import polars as pl

    import tfnorm

    report = common.Report(Path(__file__).name, arguments)
    for kind in ("whole numbers", "text"):
        frame = table(arguments.rows, arguments.keys, kind)
        aggregates = [pl.col("price").mean().alias("mean"), pl.col("price").std(ddof=0).alias("std")]
        wanted = frame.group_by("store").agg(aggregates).sort("store")
        mean, std = wanted["mean"].to_numpy(), wanted["std"].to_numpy()

        def fit(frame: Any = frame) -> Any:
            return tfnorm.fit(frame, {"price": "standard.by('store')"}, workers=arguments.threads)

        def aggregate(frame: Any = frame, aggregates: Any = aggregates) -> Any:
            return frame.group_by("store").agg(aggregates)

        def compared(found: tuple[np.ndarray, np.ndarray], mean: np.ndarray = mean, std: np.ndarray = std) -> str:
            apart = np.abs(found[0] - mean).max(), np.abs(found[1] / std - 1).max()
            if apart[0] > 1e-6 or apart[1] > 1e-6:
                raise DifferentError(f"mean by {apart[0]:.1g}, std by {apart[1]:.1g} of it")
            return f"mean within {apart[0]:.1g}, std within {apart[1]:.1g} of it"

        def numbers(fitted: Any) -> tuple[np.ndarray, np.ndarray]:
            inner = fitted.maps["price"].inner
            return inner.center[0, :-1], 1 / inner.scale[0, :-1]

        def sorted_numbers(found: Any) -> tuple[np.ndarray, np.ndarray]:
            found = found.sort("store")
            return found["mean"].to_numpy(), found["std"].to_numpy()

        data = f"{arguments.rows:,} rows, {arguments.keys:,} keys of {kind}, float64"
        section = report.race(
            f"fit by {kind}",
            data,
            [
                Contestant("tfnorm", fit, lambda fitted: compared(numbers(fitted))),
                Contestant("polars", aggregate, lambda found: compared(sorted_numbers(found))),
            ],
        )
        report.faster(section, "tfnorm", "polars", 1)
        fitted = fit()
        over = [pl.col("price").mean().over("store"), pl.col("price").std(ddof=0).over("store")]

        def standardized(found: Any) -> str:
            z = found["price"].to_numpy()
            if abs(z.mean()) > 1e-6 or abs(z.std() - 1) > 1e-6:
                raise DifferentError(f"mean {z.mean():.1g}, std {z.std():.6g}")
            return f"mean {z.mean():.1g}, std {z.std():.6g}"

        section = report.race(
            f"transform by {kind}",
            data,
            [
                Contestant("tfnorm", lambda frame=frame, fitted=fitted: fitted.transform(frame), standardized),
                Contestant(
                    "polars",
                    lambda frame=frame, over=over: frame.with_columns((pl.col("price") - over[0]) / over[1]),
                    standardized,
                ),
            ],
        )
    report.finish()


if __name__ == "__main__":
    main()
