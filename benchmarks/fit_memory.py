"""How fast are fit and scan on an array in memory, against scikit-learn, Keras and Polars?

python benchmarks/fit_memory.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import common
from common import ANY, EXACT, SINGLE, Contestant, Reference, Report

FIT, SCAN = "fit(standard)", "scan"
SKLEARN, KERAS, POLARS = "StandardScaler.fit", "Normalization.adapt(array)", "polars mean, std, min, max"
STREAMING = "polars mean, std, min, max (streaming)"


def shape(text: str) -> tuple[int, int]:
    rows, columns = text.replace("_", "").split("x")
    return int(rows), int(columns)


def race(report: Report, rows: int, columns: int) -> None:
    import keras
    import polars as pl
    from sklearn.preprocessing import StandardScaler

    import tfnorm

    x = common.normal(rows, columns)
    reference = Reference.of_array(x)
    frame = pl.DataFrame({f"c{i}": np.ascontiguousarray(x[:, i]) for i in range(columns)}, nan_to_null=False)
    statistics = common.polars_statistics()

    def adapt() -> keras.layers.Normalization:
        layer = keras.layers.Normalization()
        layer.adapt(x)
        return layer

    contestants = [
        Contestant(
            FIT,
            lambda: tfnorm.fit(x, "standard"),
            lambda fitted: reference.check(common.of_profile(fitted.profile), tolerance=EXACT),
        ),
        Contestant(
            SCAN,
            lambda: tfnorm.scan(x),
            lambda profile: reference.check(common.of_profile(profile), tolerance=EXACT),
        ),
        Contestant(
            SKLEARN,
            lambda: StandardScaler().fit(x),
            lambda scaler: reference.check({"mean": scaler.mean_, "std": scaler.scale_}, tolerance=EXACT),
        ),
        Contestant(KERAS, adapt, lambda layer: reference.check(common.of_keras(layer), tolerance=ANY)),
        Contestant(
            POLARS,
            lambda: frame.select(statistics),
            lambda answer: reference.check(common.of_polars(answer), tolerance=SINGLE),
        ),
        Contestant(
            STREAMING,
            lambda: frame.lazy().select(statistics).collect(engine="streaming"),
            lambda answer: reference.check(common.of_polars(answer), tolerance=SINGLE),
        ),
    ]
    title = f"{rows:,} x {columns}"
    section = report.race(title, f"{x.dtype} N(mean_i, sd_i), {x.nbytes / 1e9:.3g} GB in memory", contestants,
                          gigabytes=x.nbytes / 1e9)  # fmt: skip
    report.faster(section, FIT, SKLEARN, 8)
    report.faster(section, FIT, KERAS, 4)
    report.faster(section, SCAN, SKLEARN, 3)
    report.faster(section, SCAN, min(POLARS, STREAMING, key=section.median), 1)


def main() -> None:
    parser = common.options(__doc__ or "")
    parser.add_argument(
        "--shape", type=shape, nargs="+", default=[(1_000_000, 64), (8_000_000, 8)], help="ROWSxCOLUMNS"
    )
    arguments = parser.parse_args()
    common.settle(arguments.threads)
    report = Report(Path(__file__).name, arguments)
    for rows, columns in arguments.shape:
        race(report, rows, columns)
    report.finish()


if __name__ == "__main__":
    main()
