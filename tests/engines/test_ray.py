"""Ray on two nodes: files by description, data sets of Ray Data where their blocks lie; a worker dies, a node dies."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from clusters import CHOICE, EACH, LONG, PLAIN, Once, fitted_here, kill, loaded, same, table, write

import tfnorm
from tfnorm.engines.ray import Ray
from tfnorm.errors import ChoiceError, DataError

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
from ray.cluster_utils import Cluster  # noqa: E402

MARK = f"TFNORM_TEST={os.getpid()}"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("train"), 4, 1000, 3)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("long"), 4, 50_000, 10)


@pytest.fixture(scope="module")
def expected(long: Path) -> Any:
    return fitted_here(long, LONG)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(*MARK.split("="))  # by which its processes are told from those of other clusters
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
        node = {"num_cpus": 1, "object_store_memory": 200 << 20}
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        try:
            cluster.add_node(**node)
            ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = False
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


def busy(name: str) -> list[int]:
    """Workers of this cluster that run a function of that name, as Ray calls their processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            ours = MARK.encode() in (path.parent / "environ").read_bytes()
            if ours and path.read_text().startswith(f"ray::{name}"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize(("choice", "options"), EACH, ids=["choice", "weights", "full", "exact"])
def test_files_give_the_bits_of_one_thread(cluster: Any, files: Path, choice: Any, options: dict[str, Any]) -> None:
    assert same(tfnorm.fit(files, choice, engine="ray", **options), fitted_here(files, choice, **options))


def test_workers_import_no_tensorflow(cluster: Any, files: Path) -> None:
    tfnorm.fit(files, "standard", engine="ray")

    def there() -> tuple[list[str], int]:
        importlib.import_module("tfnorm.measuring")  # a worker may be a new one
        return loaded(), os.getpid()

    assert all(names == [] for names, _ in ray.get([ray.remote(there).remote() for _ in range(8)]))


def test_the_cluster_says_how_many(cluster: Any, files: Path) -> None:
    assert Ray().parallel == 2
    with pytest.raises(ChoiceError, match="workers: ray has as many as it was started with"):
        tfnorm.fit(files, engine="ray", workers=2)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the workers in /proc")
def test_a_worker_is_killed_in_the_middle(cluster: Any, long: Path, expected: Any, tmp_path: Path) -> None:
    killed: list[int] = []
    there = Once(lambda: killed.append(kill(busy("_run"))))
    fitted = tfnorm.fit(long, LONG, engine="ray", callback=there, checkpoint=tmp_path / "kept")
    assert there.in_the_middle
    assert killed
    assert same(fitted, expected)
    assert same(tfnorm.fit(long, LONG, checkpoint=tmp_path / "kept"), fitted)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the workers in /proc")
def test_a_worker_that_hangs_costs_time(cluster: Any, long: Path, expected: Any, caplog: Any) -> None:
    stopped: list[int] = []
    there = Once(lambda: stopped.append(kill(busy("_run"), signal.SIGSTOP)))
    try:
        assert same(tfnorm.fit(long, LONG, engine=Ray(patience=3.0), callback=there), expected)
    finally:
        end(stopped)
    assert there.in_the_middle
    assert stopped
    assert "nothing came back for 3 seconds" in caplog.text


def end(pids: list[int]) -> None:
    """These that were stopped, where Ray has not."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def equal(there: Any, here: Any) -> bool:
    """All but the name of where the data came from."""
    return bool(dataclasses.replace(there, provenance=here.provenance) == here)


def blocks(whole: Any, rows: int) -> Any:
    return ray.data.from_arrow([whole.slice(start, rows) for start in range(0, len(whole), rows)])


@pytest.mark.parametrize(("choice", "options"), EACH, ids=["choice", "weights", "full", "exact"])
def test_a_data_set_gives_the_bits_of_one_table(cluster: Any, choice: Any, options: dict[str, Any]) -> None:
    whole = table(7, 20_000)
    here = fitted_here(whole, choice, **options)
    for data in (blocks(whole, 977), blocks(whole, 20_000)):
        there = tfnorm.fit(data, choice, **options)
        assert equal(there.profile, here.profile)
        assert there.fingerprint == here.fingerprint


def test_parts_are_cut_across_blocks(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfnorm.sources.SHARD_ROWS", 1 << 12)
    monkeypatch.setattr("tfnorm.sources.NARROW_ROWS", 1 << 12)
    whole = table(8, 30_000)
    here = tfnorm.scan(whole)
    assert here.provenance[0].num_shards == 8
    for rows in (977, 5000, 30_000):
        assert equal(tfnorm.scan(blocks(whole, rows)), here)
    lazy = blocks(whole, 977).map_batches(lambda batch: batch, batch_format="pyarrow", batch_size=1500)
    assert equal(tfnorm.scan(lazy), here)


def test_rows_of_files_come_in_their_order(cluster: Any, files: Path) -> None:
    whole = pa.concat_tables(table(number, 3000) for number in range(4))
    data = ray.data.read_parquet([str(path) for path in sorted(files.iterdir())])
    assert equal(tfnorm.scan(data), tfnorm.scan(whole))


def test_pandas_tensors_and_weights(cluster: Any) -> None:
    whole = table(9, 3000).drop_columns("v")
    frame = whole.to_pandas()  # of whose NaN Ray makes nulls
    assert equal(tfnorm.scan(ray.data.from_pandas(frame)), tfnorm.scan(pa.Table.from_pandas(frame)))
    images = np.random.default_rng(0).normal(size=(50, 4, 4, 3))
    found = tfnorm.scan(ray.data.from_numpy([images[:20], images[20:]]))
    assert equal(found, tfnorm.scan({"data": images}))
    assert found["data"].column.features == 3
    with pytest.raises(DataError, match="expected the name of a column"):
        tfnorm.fit(blocks(whole, 1000), PLAIN, weight=np.ones(3000))


def test_transform_and_back(cluster: Any) -> None:
    whole = table(10, 5000)
    fitted = tfnorm.ray.fit(blocks(whole, 700), CHOICE)
    there = tfnorm.ray.transform(fitted, blocks(whole, 700), batch_size=None)
    got = pa.concat_tables(ray.get(there.to_arrow_refs()))  # its blocks in any order
    assert got.sort_by("a").equals(fitted.transform(whole).sort_by("a").cast(got.schema))
    back = pa.concat_tables(ray.get(tfnorm.ray.inverse(fitted, there).to_arrow_refs()))
    assert np.allclose(np.sort(back["a"].to_numpy()), np.sort(whole["a"].to_numpy()))
    with pytest.raises(DataError, match=r"expected a ray.data.Dataset, got dict"):
        tfnorm.ray.transform(fitted, {"a": [1.0]})


def test_what_policies_do_is_counted(cluster: Any) -> None:
    whole = table(13, 5000)
    fitted = tfnorm.fit(whole.slice(0, 500), {"a": "minmax", "b": "minmax"}, out_of_range="clip", missing=0.0)
    counted = tfnorm.ray.fired(fitted, blocks(whole, 700))
    assert not fitted.fired
    fitted.transform(whole)
    assert counted == fitted.fired
    assert counted["a", "out_of_range"] > 0
    assert tfnorm.ray.fired(tfnorm.fit(whole, PLAIN), blocks(whole, 700)) == {}


def test_check_and_advice(cluster: Any) -> None:
    whole = table(11, 5000)
    fitted = tfnorm.fit(whole, PLAIN, full=True)
    assert str(tfnorm.check(fitted, blocks(whole, 700)).columns) == str(tfnorm.check(fitted, whole).columns)
    assert tfnorm.fit(blocks(whole, 700), "auto").choice == tfnorm.fit(whole, "auto").choice


@pytest.mark.parametrize("mask", [{"v": "there", "a": "there"}, 3], ids=str)
def test_masks_are_applied_by_the_workers(cluster: Any, mask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9, (5000, 4)).astype(float)
    columns = {"a": values[:, 3], "v": pa.FixedSizeListArray.from_arrays(values[:, :3].ravel(), 3)}
    whole = pa.table({**columns, "there": rng.random(5000) < 0.7})
    here = tfnorm.fit(whole, ["standard"], mask=mask)
    monkeypatch.setattr("tfnorm.sources.ray.open_columns", None)  # by which rows would come here
    told: list[Any] = []
    there = tfnorm.fit(blocks(whole, 700), ["standard"], mask=mask, callback=told.append)
    assert there.fingerprint == here.fingerprint
    assert equal(there.profile, here.profile)
    assert (told[-1].done, told[-1].share) == (5000, 1.0)


def test_errors_are_those_of_a_table(cluster: Any) -> None:
    values = np.arange(3000.0)
    values[1700] = np.inf
    bad = pa.table({"a": values})
    with pytest.raises(DataError, match=r'column "a": infinite value in row 1700 \(ray.data.Dataset, rows 0 to 2999\)'):
        tfnorm.fit(blocks(bad, 500), "standard")
    with pytest.raises(DataError, match="it has no rows, or no columns"):
        tfnorm.fit(ray.data.from_items([]), "standard")
    with pytest.raises(ChoiceError, match="other workers than threads read files"):
        tfnorm.fit(blocks(bad, 500), "standard", engine="ray")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the workers in /proc")
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
def test_a_worker_of_a_data_set_dies_or_hangs(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, signum: int
) -> None:
    monkeypatch.setattr("tfnorm.sources.SHARD_ROWS", 1 << 16)
    monkeypatch.setattr("tfnorm.sources.NARROW_ROWS", 1 << 16)
    monkeypatch.setattr("tfnorm.patience.PATIENCE", 5.0)
    whole = table(12, 800_000)
    here = tfnorm.fit(whole, LONG)
    killed: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not killed and not over.is_set():
            if pids := busy("_measured"):
                killed.append(kill(pids, signum))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        found = tfnorm.fit(blocks(whole, 50_000), LONG)
    finally:
        over.set()
        watcher.join()
        if signum == signal.SIGSTOP:
            end(killed)
    assert killed
    assert found.profile["a"].count.finite == 800_000
    assert found.fingerprint == here.fingerprint
    if signum == signal.SIGSTOP:
        assert "nothing came for 5 seconds" in caplog.text


def test_a_node_dies_in_the_middle(cluster: Any, long: Path, expected: Any) -> None:
    node = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    there = Once(lambda: cluster.remove_node(node, allow_graceful=False))
    assert same(tfnorm.fit(long, LONG, engine="ray", callback=there), expected)
    assert there.in_the_middle


def test_without_a_cluster_the_error_says_so(cluster: Any, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(ChoiceError, match="no Ray cluster answers at somewhere"):
        tfnorm.fit(files, "standard", engine="ray=somewhere")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ChoiceError, match=r"needs ray, which is not there: pip install 'tfnorm\[ray\]'"):
        tfnorm.fit(files, "standard", engine="ray")
