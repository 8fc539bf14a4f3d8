"""How fast is a scan by Spark, against Spark's own scalers and SQL, and what does Spark cost beside threads?

    python benchmarks/engines_spark.py --folder /tmp/bench   # the files are kept there for the next time

One machine, `local[2]`: the same two cores for all. A scan gathers everything, sketches of the distributions included;
StandardScaler mean and deviation, RobustScaler quantiles, SQL avg, stddev, min and max.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

import common
from common import ANY, EXACT, Contestant, Reference, Report

NUM_FILES = 4
FILES, FRAME, THREADS = (
    "tfnorm scan by Spark, of files",
    "tfnorm scan by Spark, of the DataFrame",
    "tfnorm scan, threads",
)
STANDARD, ROBUST = "MLlib StandardScaler.fit", "MLlib RobustScaler.fit"
SQL = "Spark SQL avg, stddev, min, max"
WORDS = {"files": FILES, "frame": FRAME, "threads": THREADS, "standard": STANDARD, "sql": SQL}


def written(folder: Path, rows: int, columns: int, row_group: int) -> tuple[Path, Reference]:
    """The files, and what is in them; written where not yet there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = folder / f"{rows}x{columns}-float32-{row_group}"
    known = folder.with_suffix(".npz")
    names = [f"c{number}" for number in range(columns)]

    def blocks() -> Any:
        for first in range(0, rows, row_group):
            yield common.normal(min(row_group, rows - first), columns, first_row=first)

    if not known.exists():
        folder.mkdir(parents=True, exist_ok=True)
        groups = list(range(0, rows, row_group))
        for number in range(NUM_FILES):
            schema = pa.schema([(name, pa.float32()) for name in names])
            with pq.ParquetWriter(folder / f"part-{number}.parquet", schema, compression="snappy") as writer:
                for first in groups[len(groups) * number // NUM_FILES : len(groups) * (number + 1) // NUM_FILES]:
                    block = common.normal(min(row_group, rows - first), columns, first_row=first)
                    writer.write_table(pa.table(dict(zip(names, block.T.copy(), strict=True))), row_group)
        found = Reference.of(blocks)
        np.savez(known, mean=found.mean, std=found.std, minimum=found.minimum, maximum=found.maximum)
    with np.load(known) as stored:
        return folder, Reference(**{name: stored[name] for name in stored.files})


def session(cores: int, memory: str) -> Any:
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder: Any = SparkSession.builder.master(f"local[{cores}]").appName("engines_spark")
    settings = {"spark.driver.memory": memory, "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}
    for name, value in settings.items():
        builder = builder.config(name, value)
    made = builder.getOrCreate()
    made.sparkContext.setLogLevel("ERROR")
    return made


def contestants(spark: Any, folder: Path, reference: Reference) -> dict[str, Contestant]:
    """All of them, by name."""
    from pyspark.ml.feature import RobustScaler, StandardScaler, VectorAssembler
    from pyspark.sql import functions

    import tfnorm

    frame = spark.read.parquet(str(folder))
    names = frame.columns
    rows = VectorAssembler(inputCols=names, outputCol="x").transform(frame).select("x")
    standard = StandardScaler(inputCol="x", outputCol="y", withMean=True)
    robust = RobustScaler(inputCol="x", outputCol="y", withCentering=True)
    kinds = {"mean": functions.avg, "std": functions.stddev_pop, "minimum": functions.min, "maximum": functions.max}
    asked = [kind(name).alias(f"{what} {name}") for name in names for what, kind in kinds.items()]

    def ours(profile: Any) -> str:
        found = [profile[name] for name in names]
        answer = {"mean": [one.moments.mean[0] for one in found], "std": [one.moments.std[0] for one in found]}
        answer |= {what: [getattr(one.extremes, what)[0] for one in found] for what in ("minimum", "maximum")}
        return reference.check(answer, tolerance=EXACT)

    def of_standard(model: Any) -> str:
        return reference.check({"mean": model.mean.toArray(), "std": model.std.toArray()}, tolerance=1e-5)  # ddof 1

    def of_robust(model: Any) -> str:
        off = np.abs(model.median.toArray() - reference.mean) / reference.std
        return f"median within {off.max():.1e} std of the mean"

    def of_sql(row: Any) -> str:
        answer = {what: np.array([row[f"{what} {name}"] for name in names]) for what in kinds}
        return reference.check(answer, tolerance=ANY)

    found = [
        Contestant(FILES, lambda: tfnorm.scan(folder, engine=spark), ours),
        Contestant(FRAME, lambda: tfnorm.scan(frame), ours),
        Contestant(THREADS, lambda: tfnorm.scan(folder), ours),
        Contestant(STANDARD, lambda: standard.fit(rows), of_standard),
        Contestant(SQL, lambda: frame.agg(*asked).collect()[0], of_sql),
        Contestant(ROBUST, lambda: robust.fit(rows), of_robust),
    ]
    return {one.name: one for one in found}


def race(
    report: Report, spark: Any, folder: Path, reference: Reference, rounds: int, robust_rounds: int, only: list[str]
) -> None:
    """All but RobustScaler take turns; it takes so long that it may run fewer rounds, beside our scan again."""
    known = contestants(spark, folder, reference)
    size = sum(path.stat().st_size for path in folder.iterdir())
    data = f"{folder.name}, {NUM_FILES} Parquet files, {size / 1e6:,.0f} MB"
    names = [name for word, name in WORDS.items() if word in only]
    section = report.race("scan", data, [known[name] for name in names], rounds=rounds)
    for ours, peer, wanted in ((FILES, STANDARD, 4), (FILES, SQL, 1), (FRAME, SQL, 1)):
        if ours in names and peer in names:
            report.faster(section, ours, peer, wanted)
    if THREADS in names:
        report.within(section, FILES, THREADS, ANY)
    if robust_rounds:
        section = report.race("quantiles", data, [known[FILES], known[ROBUST]], rounds=robust_rounds, warm_up=False)
        report.faster(section, FILES, ROBUST, 10)


def main() -> None:
    parser = common.options(__doc__ or "", rounds=3)
    parser.add_argument("--folder", type=Path, required=True, help="where the files are, or are written")
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--row-group", type=int, default=100_000)
    parser.add_argument("--memory", default="4g", help="of Spark")
    parser.add_argument("--robust-rounds", type=int, default=3)
    parser.add_argument(
        "--only", nargs="*", default=list(WORDS), choices=WORDS, help="who takes part beside RobustScaler"
    )
    arguments: argparse.Namespace = parser.parse_args()
    common.settle(arguments.threads)
    folder, reference = written(arguments.folder, arguments.rows, arguments.columns, arguments.row_group)
    spark = session(arguments.threads, arguments.memory)
    report = Report("engines_spark", arguments)
    race(report, spark, folder, reference, arguments.rounds, arguments.robust_rounds, arguments.only)
    report.finish()
    spark.stop()


if __name__ == "__main__":
    main()
