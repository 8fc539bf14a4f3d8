"""How fast, and in how much memory, are fit and scan on Parquet files and on tf.data, against reading them and no more?

    python benchmarks/fit_files.py --dir /tmp/bench   # with --dir the files are kept for the next time

The files are in the system's cache after the first round: what is measured is decoding, not the disk.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import common
from common import EXACT, SINGLE, Contestant, DifferentError, Reference, Report

NUM_FILES = 4
FIT, SCAN = "fit(standard)", "scan"
BARE_FILES, POLARS_FILES = "bare pyarrow.dataset scan", "polars mean, std, min, max (streaming)"
BARE_DATASET, KERAS = "bare iteration", "Normalization.adapt(dataset)"

# Run in a process of its own. The peak is VmHWM, which starts anew with a program; ru_maxrss does not: a process that
# is spawned begins with its parent's. Kernels and readers are loaded by tiny scans first, then the peak is set back.
PEAK = r"""
import json, sys
import tfnorm

def kilobytes(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key))

imported = kilobytes("VmRSS:")
import numpy
tiny, *paths = sys.argv[1:]
for dtype in (numpy.float32, numpy.float64):
    tfnorm.scan(numpy.random.default_rng(0).standard_normal((20_000, 1)).astype(dtype))
tfnorm.scan(tiny)
ready = kilobytes("VmRSS:")
with open("/proc/self/clear_refs", "w") as refs:
    refs.write("5")
tfnorm.scan(paths)
print(json.dumps({"imported": imported / 1e3, "ready": ready / 1e3, "peak": kilobytes("VmHWM:") / 1e3}))
"""


# ------------------------------------------------------------------------------------------------------------- Parquet


def blocks(arguments: argparse.Namespace, number: int) -> Iterator[np.ndarray]:
    """The row groups of one of the files."""
    start, stop = (arguments.rows * n // NUM_FILES for n in (number, number + 1))
    for first in range(start, stop, arguments.row_group):
        yield common.normal(min(arguments.row_group, stop - first), arguments.columns, np.float64, first_row=first)


def written(folder: Path, arguments: argparse.Namespace) -> tuple[list[Path], Path, Reference, int]:
    """The files, a tiny one like them, what is in them, and its bytes in memory; written where not yet there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = folder / f"{arguments.rows}x{arguments.columns}-{arguments.dtype}-{arguments.row_group}"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"part-{number}.parquet" for number in range(NUM_FILES)]
    tiny, known = folder / "tiny" / "tiny.parquet", folder / "reference.npz"
    dtypes = {"float64": "dd", "float32": "ff", "mixed": "df"}[arguments.dtype]
    kinds = [np.dtype(dtypes[i % 2]) for i in range(arguments.columns)]

    def table(block: np.ndarray) -> Any:
        return pa.table({f"c{i}": block[:, i].astype(kind) for i, kind in enumerate(kinds)})

    def stored(number: int) -> Iterator[np.ndarray]:
        for block in blocks(arguments, number):
            yield (
                block
                if arguments.dtype == "float64"
                else np.stack([block[:, i].astype(kind).astype(np.float64) for i, kind in enumerate(kinds)], axis=1)
            )

    if not known.exists():  # it is written last
        tiny.parent.mkdir(exist_ok=True)
        for number, path in enumerate(paths):
            parts = blocks(arguments, number)
            first = table(next(parts))
            with pq.ParquetWriter(path, first.schema) as writer:
                writer.write_table(first, row_group_size=arguments.row_group)
                for part in parts:
                    writer.write_table(table(part), row_group_size=arguments.row_group)
        pq.write_table(table(next(blocks(arguments, 0))[:1000]), tiny)
        reference = Reference.of(lambda: (block for number in range(NUM_FILES) for block in stored(number)))
        np.savez(known, **vars(reference))
    with np.load(known) as arrays:
        reference = Reference(**arrays)
    return paths, tiny, reference, arguments.rows * sum(kind.itemsize for kind in kinds)


def race_files(report: Report, folder: Path) -> None:
    import polars as pl
    import pyarrow.dataset as ds

    import tfnorm

    arguments = report.arguments
    paths, tiny, reference, num_bytes = written(folder, arguments)
    names = [str(path) for path in paths]

    def bare() -> int:
        return sum(batch.num_rows for batch in ds.dataset(names, format="parquet").to_batches())

    def all_rows(rows: int) -> str:
        if rows != arguments.rows:
            raise DifferentError(f"read {rows} rows of {arguments.rows}")
        return ""

    contestants = [
        Contestant(
            SCAN,
            lambda: tfnorm.scan(names),
            lambda profile: reference.check(common.of_profile(profile), tolerance=EXACT),
        ),
        Contestant(BARE_FILES, bare, all_rows),
        Contestant(
            FIT,
            lambda: tfnorm.fit(names, "standard"),
            lambda fitted: reference.check(common.of_profile(fitted.profile), tolerance=EXACT),
        ),
        Contestant(
            POLARS_FILES,
            lambda: pl.scan_parquet(names).select(common.polars_statistics()).collect(engine="streaming"),
            lambda frame: reference.check(common.of_polars(frame), tolerance=SINGLE),
        ),
    ]
    on_disk = sum(path.stat().st_size for path in paths)
    section = report.race(
        f"Parquet {arguments.rows:,} x {arguments.columns}",
        f"{arguments.dtype} N(mean_i, sd_i), {NUM_FILES} files, row groups of {arguments.row_group:,}, "
        f"{on_disk / 1e9:.3g} GB on disk, {num_bytes / 1e9:.3g} GB decoded",
        contestants,
        gigabytes=num_bytes / 1e9,
    )
    report.within(section, SCAN, BARE_FILES, 1.3)
    if not Path("/proc/self/status").exists():
        common.say(f"{section.title}: peak memory of scan: not measured, it needs Linux's /proc")
        return
    command = [sys.executable, "-c", PEAK, str(tiny), *names]
    memory = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    common.say(
        f"  memory of a process that scans them: {memory['imported']:.0f} MB after the import, "
        f"{memory['ready']:.0f} MB after tiny scans, {memory['peak']:.0f} MB at the peak (raw)"
    )
    report.under(
        section, "peak memory of scan, net of imports and kernels", memory["peak"] - memory["ready"], 500, "MB"
    )


# ------------------------------------------------------------------------------------------------------------- tf.data


def race_dataset(report: Report, batch_size: int) -> None:
    import keras
    import tensorflow as tf

    import tfnorm

    arguments = report.arguments
    x = common.normal(arguments.dataset_rows, arguments.dataset_columns)
    reference = Reference.of_array(x)
    dataset = tf.data.Dataset.from_tensor_slices(x).batch(batch_size)

    def bare() -> int:
        rows = 0
        for batch in dataset.as_numpy_iterator():
            rows += len(batch)
        return rows

    def all_rows(rows: int) -> str:
        if rows != len(x):
            raise DifferentError(f"read {rows} rows of {len(x)}")
        return ""

    def adapt() -> keras.layers.Normalization:
        layer = keras.layers.Normalization()
        layer.adapt(dataset)
        return layer

    contestants = [
        Contestant(
            FIT,
            lambda: tfnorm.fit(dataset, "standard"),
            lambda fitted: reference.check(common.of_profile(fitted.profile), tolerance=EXACT),
        ),
        Contestant(BARE_DATASET, bare, all_rows),
        Contestant(
            SCAN,
            lambda: tfnorm.scan(dataset),
            lambda profile: reference.check(common.of_profile(profile), tolerance=EXACT),
        ),
        Contestant(KERAS, adapt, lambda layer: reference.check(common.of_keras(layer), tolerance=SINGLE)),
    ]
    section = report.race(
        f"tf.data {x.shape[0]:,} x {x.shape[1]}, batches of {batch_size:,}",
        f"{x.dtype} N(mean_i, sd_i), from_tensor_slices, {x.nbytes / 1e9:.3g} GB",
        contestants,
        gigabytes=x.nbytes / 1e9,
    )
    report.within(section, FIT, BARE_DATASET, 1.15)
    report.faster(section, FIT, KERAS, 2)
    times = section.median(KERAS) / section.median(BARE_DATASET)
    common.say(f"{section.title}: {BARE_DATASET} alone vs {KERAS}: {times:.2f}x faster")


def main() -> None:
    parser = common.options(__doc__ or "")
    parser.add_argument("--only", choices=["parquet", "dataset"], help="one of the two")
    parser.add_argument("--rows", type=int, default=4_000_000, help="of the Parquet files")
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--dtype", choices=["float64", "float32", "mixed"], default="float64")
    parser.add_argument("--row-group", type=int, default=500_000)
    parser.add_argument("--dir", type=Path, help="for the Parquet files, which are kept; without it a temporary one")
    parser.add_argument("--dataset-rows", type=int, default=1_000_000, help="of the tf.data.Dataset")
    parser.add_argument("--dataset-columns", type=int, default=20)
    parser.add_argument("--batch-size", type=int, nargs="+", default=[4096, 256])
    arguments = parser.parse_args()
    common.settle(arguments.threads)
    report = Report(Path(__file__).name, arguments)
    if arguments.only != "dataset":
        with tempfile.TemporaryDirectory() as temporary:
            race_files(report, arguments.dir or Path(temporary))
    if arguments.only != "parquet":
        for batch_size in arguments.batch_size:
            race_dataset(report, batch_size)
    report.finish()


if __name__ == "__main__":
    main()
