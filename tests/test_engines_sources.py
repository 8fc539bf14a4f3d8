"""Parts of files of every format go to other processes by description, and give the same bits there."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfnorm
from test_sources_same import MAKERS
from tfnorm.sources import open_source

FILES = (
    "parquet",
    "csv",
    "tsv_gz",
    "json_lines",
    "arrow_file",
    "arrow_stream",
    "feather",
    "orc",
    "npz",
    "npy_of_records",
)
EXTRAS = ("hdf5", "zarr_2", "zarr_3")
SMALL = 20_000  # bytes that the description of a part may take


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, get_context("spawn")) as made:
        yield made


@pytest.mark.parametrize("format_name", [*FILES, *EXTRAS])
def test_every_format(format_name: str, tmp_path: Path, pool: ProcessPoolExecutor) -> None:
    import pickle

    data, names = MAKERS[format_name](tmp_path)
    units = {"unit": {"time": "ms"}} if "time" in names else {}
    here = tfnorm.scan(data, **units)
    assert tfnorm.scan(data, engine=pool, **units) == here
    for shard in open_source(data).shards(list(here)):
        assert len(pickle.dumps(shard)) < SMALL


def test_records_and_images(tmp_path: Path, pool: ProcessPoolExecutor) -> None:
    tf = pytest.importorskip("tensorflow")
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for value in range(500):
            feature = {"x": tf.train.Feature(float_list=tf.train.FloatList(value=[value / 7, value]))}
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())
    assert tfnorm.scan(tmp_path / "a.tfrecord", engine=pool) == tfnorm.scan(tmp_path / "a.tfrecord")
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(20):
        pixels = rng.integers(0, 256, (12, 10, 3)).astype(np.uint8)
        (folder / f"{number}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    assert tfnorm.scan(folder, engine=pool) == tfnorm.scan(folder)


def test_missing_columns_masks_and_times(tmp_path: Path, pool: ProcessPoolExecutor) -> None:
    (tmp_path / "a.csv").write_text("x,y,there\n1,2,1\n3,4,0\n5,6,1\n")
    (tmp_path / "b.csv").write_text("x,there\n7,1\n8,1\n")
    options: list[dict[str, Any]] = [
        {"absent": "missing"},
        {"columns": ["x"], "mask": {"x": "there"}},
        {"columns": ["x"], "mask": 7},
    ]
    for one in options:
        assert tfnorm.scan(tmp_path, engine=pool, **one) == tfnorm.scan(tmp_path, **one)


def test_what_is_read_by_http(tmp_path: Path, pool: ProcessPoolExecutor) -> None:
    pytest.importorskip("fsspec")
    import http.server
    import threading
    from functools import partial

    import pyarrow as pa
    import pyarrow.csv

    pyarrow.csv.write_csv(pa.table({"x": np.arange(1000.0) / 3}), tmp_path / "a.csv")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a.csv"
        assert tfnorm.scan(url, engine=pool) == tfnorm.scan(url)
        server.shutdown()
