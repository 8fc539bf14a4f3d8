"""How fast are fits on other files than Parquet and CSV, against reading and parsing them and no more?

    python benchmarks/sources.py --dir /tmp/bench   # with --dir the files are kept for the next time

The files are in the system's cache after the first round: what is measured is parsing, not the disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import common
from common import EXACT, Contestant, DifferentError, Reference, Report

FIT, SCAN, BARE = "fit(standard)", "scan", "bare tf.data batched parse_example"
BATCH, NUM_FILES = 8192, 4

BARE_DECODING = "bare tf.io.decode_jpeg in threads"

IMAGE_SIZE = (400, 600)

SCALARS, VECTOR = "ten floats", "vector of 64"


# ------------------------------------------------------------------------------------------------------------ TFRecord


def features_of(x: np.ndarray, what: str) -> dict[str, np.ndarray]:
    return {"x": x} if what == VECTOR else {f"feature_{i}": x[:, i] for i in range(x.shape[1])}


def write_records(paths: list[Path], x: np.ndarray, what: str) -> None:
    """As TensorFlow writes them: one example is serialized by it, and its floats are changed for those of each row."""
    import tensorflow as tf

    marks = np.arange(1, x.shape[1] + 1, dtype=np.float32) * np.float32(1.2345e-30)
    lists = {name: tf.train.FloatList(value=np.ravel(v)) for name, v in features_of(marks[None], what).items()}
    features = tf.train.Features(feature={name: tf.train.Feature(float_list=one) for name, one in lists.items()})
    pattern = tf.train.Example(features=features).SerializeToString()
    at = np.array([pattern.index(mark.tobytes()) for mark in marks])[:, None] + np.arange(4)
    for path, part in zip(paths, np.array_split(x, len(paths)), strict=True):
        records = np.tile(np.frombuffer(pattern, np.uint8), (len(part), 1))
        records[:, at.ravel()] = part.view(np.uint8).reshape(len(part), -1)
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                writer.write(record.tobytes())


def race_records(report: Report, folder: Path, what: str) -> None:
    import tensorflow as tf

    import tfnorm

    arguments = report.arguments
    x = common.normal(arguments.rows, 64 if what == VECTOR else 10)
    folder = folder / f"{what.replace(' ', '-')}-{arguments.rows}"
    paths = [folder / f"data.tfrecord-{number:05}-of-{NUM_FILES:05}" for number in range(NUM_FILES)]
    if not folder.exists():
        folder.mkdir(parents=True)
        write_records(paths, x, what)
    reference, names = Reference.of_array(x), [str(path) for path in paths]
    spec = {
        name: tf.io.FixedLenFeature(values.shape[1:], tf.float32) for name, values in features_of(x[:1], what).items()
    }

    def bare() -> int:
        """The best settings of six tried: one reader with a large buffer; files read side by side hand on record by record, and
        take four times as long."""
        data = tf.data.TFRecordDataset(names, buffer_size=8 << 20).batch(BATCH)
        data = data.map(
            lambda records: tf.io.parse_example(records, spec), num_parallel_calls=tf.data.AUTOTUNE, deterministic=False
        )
        rows = 0
        for batch in data.prefetch(tf.data.AUTOTUNE):
            rows += int(next(iter(batch.values())).shape[0])
        return rows

    def all_rows(rows: int) -> str:
        if rows != len(x):
            raise DifferentError(f"read {rows} rows of {len(x)}")
        return ""

    def contestant(name: str, run: Callable[[], Any], profile: Callable[[Any], Any]) -> Contestant:
        def check(answer: Any) -> str:
            found = common.of_profile(profile(answer))
            order = [list(profile(answer)).index(name) for name in spec]
            return reference.check({k: v[order] if what == SCALARS else v for k, v in found.items()}, tolerance=EXACT)

        return Contestant(name, run, check)

    section = report.race(
        f"TFRecord {len(x):,} x {what}",
        f"float32 N(mean_i, sd_i), {NUM_FILES} files, {sum(path.stat().st_size for path in paths) / 1e9:.3g} GB on disk",
        [
            contestant(FIT, lambda: tfnorm.fit(names, "standard"), lambda fitted: fitted.profile),
            Contestant(BARE, bare, all_rows),
            contestant(SCAN, lambda: tfnorm.scan(names), lambda profile: profile),
        ],
        gigabytes=sum(path.stat().st_size for path in paths) / 1e9,
    )
    report.within(section, FIT, BARE, 1.1)


# -------------------------------------------------------------------------------------------------------------- images


def write_images(folder: Path, number: int) -> None:
    """The two photos of scikit-learn, each time another part of one of them."""
    import tensorflow as tf
    from sklearn.datasets import load_sample_images

    folder.mkdir(parents=True)
    photos = load_sample_images().images
    for i in range(number):
        random = np.random.default_rng(i)
        top, left = random.integers(0, 20, 2)
        part = photos[i % len(photos)][top : top + IMAGE_SIZE[0], left : left + IMAGE_SIZE[1]]
        tf.io.write_file(str(folder / f"{i:05}.jpg"), tf.io.encode_jpeg(part, quality=90))


def race_images(report: Report, folder: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    import tensorflow as tf

    import tfnorm

    arguments = report.arguments
    folder = folder / f"images-{arguments.images}"
    if not folder.exists():
        write_images(folder, arguments.images)
    paths = sorted(folder.iterdir())
    height, width = IMAGE_SIZE
    values = arguments.images * height * width * 3

    def decode(part: list[Path]) -> int:
        return sum(int(tf.io.decode_jpeg(path.read_bytes()).shape[0]) for path in part)

    def bare() -> int:
        """As many threads as there are, each with its share of the files."""
        with ThreadPoolExecutor(arguments.threads) as pool:
            return sum(pool.map(decode, [paths[i :: arguments.threads] for i in range(arguments.threads)]))

    def bare_dataset() -> int:
        data = tf.data.Dataset.from_tensor_slices([str(path) for path in paths])
        data = data.map(
            lambda path: tf.io.decode_jpeg(tf.io.read_file(path)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=False,
        )
        return sum(int(image.shape[0]) for image in data.prefetch(tf.data.AUTOTUNE))

    def all_rows(rows: int) -> str:
        if rows != arguments.images * height:
            raise DifferentError(f"decoded {rows} lines of pixels")
        return ""

    def of_images(fitted: Any) -> str:
        count = fitted.profile["image"].count.finite
        if count.sum() != values:
            raise DifferentError(f"counted {count.sum()} values of {values}")
        return ""

    section = report.race(
        f"images {arguments.images} x {height} x {width}",
        f"photos, JPEG of quality 90, {sum(path.stat().st_size for path in paths) / 1e6:.3g} MB on disk",
        [
            Contestant(FIT, lambda: tfnorm.fit(folder, "standard"), of_images),
            Contestant(BARE_DECODING, bare, all_rows),
            Contestant("bare tf.data map of decode_jpeg", bare_dataset, all_rows),
        ],
        gigabytes=values / 1e9,
    )
    report.within(section, FIT, BARE_DECODING, 1.15)


# ------------------------------------------------------------------------------------------------- CSV, .npy, checkpoints


def kept(folder: Path, name: str, write: Callable[[Path], None]) -> Path:
    """A file, written where it is not there yet."""
    path = folder / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    return path


def race_csv(report: Report, folder: Path) -> None:
    import duckdb
    import polars as pl
    import pyarrow as pa
    import pyarrow.csv as pc

    import tfnorm

    x = common.normal(report.arguments.csv_rows, 10, np.float64)
    names = [f"c{j}" for j in range(x.shape[1])]
    path = kept(folder, f"rows-{len(x)}.csv", lambda path: pc.write_csv(pa.table(list(x.T), names), path))
    reference = Reference.of_array(x)
    size = path.stat().st_size / 1e9
    columns = [f"{of}({name})" for of in ("avg", "stddev_pop", "min", "max") for name in names]
    query = f"select {', '.join(columns)} from read_csv('{path}')"

    def bare() -> int:
        return sum(batch.num_rows for batch in pc.open_csv(path, pc.ReadOptions(block_size=1 << 22)))

    def all_rows(rows: int) -> str:
        if rows != len(x):
            raise DifferentError(f"read {rows} rows of {len(x)}")
        return ""

    def in_duckdb() -> Any:
        with duckdb.connect(config={"threads": report.arguments.threads}) as connection:
            return connection.execute(query).fetchone()

    def of_duckdb(row: Any) -> str:
        found = dict(zip(("mean", "std", "minimum", "maximum"), np.reshape(row, (4, -1)), strict=True))
        return reference.check(found, tolerance=EXACT)

    section = report.race(
        f"CSV {len(x):,} x {x.shape[1]}",
        f"float64, {size:.3g} GB on disk",
        [
            Contestant(
                FIT,
                lambda: tfnorm.fit(path, "standard"),
                lambda fitted: reference.check(common.of_profile(fitted.profile), tolerance=EXACT),
            ),
            Contestant("bare pyarrow.csv read_csv", lambda: pc.read_csv(path).num_rows, all_rows),
            Contestant("bare pyarrow.csv open_csv", bare, all_rows),
            Contestant(
                "polars mean, std, min, max",
                lambda: pl.scan_csv(path).select(common.polars_statistics()).collect(engine="streaming"),
                lambda frame: reference.check(common.of_polars(frame), tolerance=EXACT),
            ),
            Contestant("duckdb avg, stddev_pop, min, max", in_duckdb, of_duckdb),
        ],
        gigabytes=size,
    )
    report.within(section, FIT, "bare pyarrow.csv read_csv", 1.1)
    report.within(section, FIT, "polars mean, std, min, max", 1.0)
    report.within(section, FIT, "duckdb avg, stddev_pop, min, max", 1.0)


def race_npy(report: Report, folder: Path) -> None:
    import tfnorm

    x = common.normal(report.arguments.npy_rows, 64)
    path = kept(folder, f"rows-{len(x)}.npy", lambda path: np.save(path, x))
    reference = Reference.of_array(x)
    check = lambda fitted: reference.check(common.of_profile(fitted.profile), tolerance=EXACT)  # noqa: E731
    section = report.race(
        f".npy {len(x):,} x {x.shape[1]}",
        "float32, in the system's cache",
        [
            Contestant("fit of the file", lambda: tfnorm.fit(path, "standard"), check),
            Contestant("fit of the array in memory", lambda: tfnorm.fit(x, "standard"), check),
        ],
        gigabytes=x.nbytes / 1e9,
    )
    report.faster(section, "fit of the file", "fit of the array in memory", 0.5)


def race_checkpoint(report: Report, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    import tfnorm

    x = common.normal(report.arguments.checkpoint_rows, 50, np.float64)
    table = pa.table(list(x.T), [f"c{j}" for j in range(x.shape[1])])
    path = kept(folder, f"rows-{len(x)}.parquet", lambda path: pq.write_table(table, path, row_group_size=1 << 18))
    reference = Reference.of_array(x)
    check = lambda fitted: reference.check(common.of_profile(fitted.profile), tolerance=EXACT)  # noqa: E731

    def recorded() -> Any:
        with tempfile.TemporaryDirectory(dir=folder) as kept:
            return tfnorm.fit(path, "standard", checkpoint=kept)

    section = report.race(
        f"checkpoint, Parquet {len(x):,} x {x.shape[1]}",
        f"float64, {path.stat().st_size / 1e9:.3g} GB on disk",
        [
            Contestant("fit with a checkpoint", recorded, check),
            Contestant("fit without", lambda: tfnorm.fit(path, "standard"), check),
        ],
        gigabytes=x.nbytes / 1e9,
    )
    report.within(section, "fit with a checkpoint", "fit without", 1.02)


def main() -> None:
    parser = common.options(__doc__ or "")
    parser.add_argument("--only", choices=["tfrecord", "images", "csv", "npy", "checkpoint"], help="one of them")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the TFRecord files")
    parser.add_argument("--images", type=int, default=400, help="how many")
    parser.add_argument("--csv-rows", type=int, default=500_000)
    parser.add_argument("--npy-rows", type=int, default=2_000_000)
    parser.add_argument("--checkpoint-rows", type=int, default=1_000_000)
    parser.add_argument("--dir", type=Path, help="for the files, which are kept; without it a temporary one")
    arguments = parser.parse_args()
    common.settle(arguments.threads)
    report = Report(Path(__file__).name, arguments)
    races = {
        "tfrecord": lambda folder: [race_records(report, folder, what) for what in (SCALARS, VECTOR)],
        "images": lambda folder: race_images(report, folder),
        "csv": lambda folder: race_csv(report, folder),
        "npy": lambda folder: race_npy(report, folder),
        "checkpoint": lambda folder: race_checkpoint(report, folder),
    }
    with tempfile.TemporaryDirectory() as temporary:
        for name, race in races.items():
            if arguments.only in (None, name):
                race(arguments.dir or Path(temporary))
    report.finish()


if __name__ == "__main__":
    main()
