"""Apache Spark, for real: a master and two workers from pyspark's own package, and a Spark Connect server.

Needs Java 17 and `pip install 'tfnorm[spark]'`; for Spark Connect 'pyspark[connect]', too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tfnorm
from tfnorm.engines import Task
from tfnorm.engines.spark import Spark
from tfnorm.errors import ChoiceError, DataError
from tfnorm.sources import spark as source

pyspark = pytest.importorskip("pyspark")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java", allow_module_level=True)

SOURCE = str(Path(tfnorm.__file__).parent.parent)
CHOICE = {"a": "robust", "b": ["yeo_johnson", "standard"], "c": "standard.by('k')", "v": "whiten"}


def write(path: Path, seed: int, rows: int = 1500) -> None:
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 9, rows)
    vectors = pa.FixedSizeListArray.from_arrays(rng.normal(size=rows * 3), 3).cast(pa.list_(pa.float64()))
    table = {
        "a": rng.normal(1e6, 1, rows),
        "b": rng.lognormal(size=rows),
        "c": rng.normal(keys),
        "k": keys,
        "v": vectors,
    }
    table |= {"w": rng.integers(0, 4, rows), "text": pa.array([None, "x", "y"] * (rows // 3))}
    table |= {"dotted.name": pa.array(np.where(keys == 3, None, keys), pa.int16())}
    table |= {"time": pa.array(rng.integers(0, 10**12, rows), pa.timestamp("us"))}
    pq.write_table(pa.table(table), path, row_group_size=rows)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    for number in range(6):
        write(folder / f"part-{number}.parquet", number)
    return folder


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A master and two workers of one core each."""
    folder, port = tmp_path_factory.mktemp("cluster"), free_port()
    program = str(Path(pyspark.__file__).parent / "bin" / "spark-class")
    address = f"spark://127.0.0.1:{port}"
    known = os.environ | {
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYTHONPATH": os.pathsep.join([SOURCE, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_WORKER_OPTS": "",
    }
    one = ["--host", "127.0.0.1", "--webui-port", "0"]
    commands = [["org.apache.spark.deploy.master.Master", *one, "--port", str(port)]]
    worker = ["org.apache.spark.deploy.worker.Worker", *one, "--cores", "1", "--memory", "1g"]
    commands += [[*worker, "--work-dir", str(folder / f"work-{number}"), address] for number in range(2)]
    running = []
    try:
        for number, words in enumerate(commands):
            with (folder / f"{number}.log").open("wb") as log:
                made = subprocess.Popen(
                    [program, *words], env=known, stdout=log, stderr=log, cwd=folder, start_new_session=True
                )
            running.append(made)
        until = time.monotonic() + 120
        while (folder / "0.log").read_text().count("Registering worker") < 2:
            assert time.monotonic() < until, "".join(path.read_text() for path in folder.glob("*.log"))
            time.sleep(0.2)
        yield address
    finally:
        for one_process in running:
            os.killpg(one_process.pid, signal.SIGKILL)  # with the executors that it has started
            one_process.wait()


@pytest.fixture(scope="module")
def session(master: str) -> Iterator[Any]:
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder: Any = SparkSession.builder.master(master).appName("tests of tfnorm")
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.executor.memory": "512m",
        "spark.ui.showConsoleProgress": "false",
        # a file a partition, so that one thread here can be given the same parts in the same order
        "spark.sql.files.openCostInBytes": str(1 << 27),
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    made = builder.getOrCreate()
    made.sparkContext.setLogLevel("OFF")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def frame(session: Any, files: Path) -> Any:
    return session.read.parquet(str(files))


@pytest.fixture(scope="module")
def paths(frame: Any) -> list[str]:
    found = of_partitions(frame)
    assert len(found) == 6
    return found


def of_partitions(frame: Any) -> list[str]:
    """The files in the order of the partitions."""
    rows = frame.selectExpr("spark_partition_id() AS part", "_metadata.file_path AS path").distinct().collect()
    return [str(row.path).removeprefix("file:").replace("//", "/") for row in sorted(rows)]


def same(first: Any, second: Any) -> bool:
    return bool(first.profile == second.profile and first.fingerprint == second.fingerprint)


def collected(frame: Any) -> Any:
    """Here, as a table; before Spark 4 there was no public way."""
    return frame.toArrow() if hasattr(frame, "toArrow") else pa.Table.from_batches(frame._collect_as_arrow())


def statistics(profile: Any) -> Any:
    """All but where they come from."""
    return dataclasses.replace(profile, provenance=())


@pytest.mark.parametrize("options", [{}, {"weight": "w"}, {"full": True}, {"exact": True}], ids=str)
def test_files_give_the_bits_of_one_thread(session: Any, files: Path, options: dict[str, Any]) -> None:
    choice = {"a": "robust", "b": "minmax"} if "weight" in options else CHOICE
    one = tfnorm.fit(files, choice, workers=1, **options)
    assert same(tfnorm.fit(files, choice, engine=session, **options), one)


def test_by_name_it_is_the_session_that_runs(session: Any, master: str, files: Path) -> None:
    one = tfnorm.scan(files, unit="s")
    assert tfnorm.scan(files, unit="s", engine="spark") == one
    assert tfnorm.scan(files, unit="s", engine=f"spark={master}") == one
    with pytest.raises(ChoiceError, match="a session runs already"):
        tfnorm.scan(files, engine="spark=local[2]")
    with pytest.raises(ChoiceError, match="got SparkContext"):
        tfnorm.scan(files, engine=session.sparkContext)
    with pytest.raises(ChoiceError, match="has as many as it was started with"):
        tfnorm.scan(files, engine="spark", workers=3)


def test_a_checkpoint_is_kept_by_the_driver(session: Any, files: Path, tmp_path: Path) -> None:
    plain = tfnorm.fit(files, CHOICE)
    assert same(tfnorm.fit(files, CHOICE, engine=session, checkpoint=tmp_path / "kept"), plain)
    asked: list[int] = []
    watched = Around(Spark(session), lambda task: None, asked)
    assert same(tfnorm.fit(files, CHOICE, engine=watched, checkpoint=tmp_path / "kept"), plain)
    assert sum(asked) == 0


@dataclass(frozen=True)
class Around:
    """The engine, with something done on the worker before each task is."""

    engine: Spark
    before: Callable[[Task], None]
    asked: list[int]

    @property
    def parallel(self) -> int:
        return self.engine.parallel

    def __call__(self, work: Callable[[Task], bytes], tasks: Sequence[Task]) -> Iterator[bytes]:
        self.asked.append(len(tasks))
        before = self.before

        def both(task: Task) -> bytes:
            before(task)
            return work(task)

        return self.engine(both, tasks)


def killer(marks: Path, whom: str, signum: int = signal.SIGKILL) -> Callable[[], None]:
    """Kills (or stops) the process that measures, or the executor that it belongs to, the first time that it runs."""

    def kill() -> None:
        import os
        from pathlib import Path

        def parent(pid: int) -> int:
            return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

        try:
            (marks / whom).touch(exist_ok=False)
        except FileExistsError:
            return
        pid = os.getpid()
        while whom == "executor" and "java" not in os.path.realpath(f"/proc/{pid}/exe"):
            pid = parent(pid)
        os.kill(pid, signum)

    return kill


@pytest.mark.parametrize("whom", ["process", "executor"])
def test_a_worker_that_is_killed_costs_time_and_no_more(session: Any, files: Path, tmp_path: Path, whom: str) -> None:
    kill = killer(tmp_path, whom)
    deadly = Around(Spark(session), lambda task: kill() if task.number == 2 else None, [])
    assert same(tfnorm.fit(files, CHOICE, engine=deadly), tfnorm.fit(files, CHOICE))
    assert (tmp_path / whom).exists()


def test_a_worker_that_hangs_is_replaced(session: Any, files: Path, tmp_path: Path, caplog: Any) -> None:
    stop = killer(tmp_path, "process", signal.SIGSTOP)
    hung = Around(Spark(session, patience=5.0), lambda task: stop() if task.number == 2 else None, [])
    assert same(tfnorm.fit(files, CHOICE, engine=hung), tfnorm.fit(files, CHOICE))
    assert len(hung.asked) > 1
    assert "no task of Spark has ended for 5 seconds" in caplog.text


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
def test_a_worker_of_a_data_frame_dies_or_hangs(
    frame: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signum: int
) -> None:
    monkeypatch.setattr("tfnorm.patience.PATIENCE", 5.0)
    kill = killer(tmp_path, "process", signum)

    def passed(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            kill()
            yield batch

    some = frame.select("a", "b", "c", "k", "v")
    assert same(tfnorm.fit(some.mapInArrow(passed, some.schema), CHOICE), tfnorm.fit(some, CHOICE))
    assert (tmp_path / "process").exists()


def test_a_data_frame_that_hangs_again_and_again_is_an_error(frame: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfnorm.patience.PATIENCE", 1.0)

    def stopped(batches: Iterator[Any]) -> Iterator[Any]:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGSTOP)
        yield from batches

    some = frame.select("a").mapInArrow(stopped, "a double")
    with pytest.raises(DataError, match="no task of Spark's has ended for 4 seconds"):
        tfnorm.scan(some)


def test_progress_of_a_data_frame_comes_while_it_runs(frame: Any) -> None:
    def slowly(batches: Iterator[Any]) -> Iterator[Any]:
        import time

        time.sleep(1.0)
        yield from batches

    told: list[Any] = []
    tfnorm.scan(frame.select("a", "b").mapInArrow(slowly, "a double, b double"), callback=told.append)
    shares = [one.share for one in told if one.share is not None]
    assert shares == sorted(shares)
    assert len({share for share in shares if 0 < share < 1}) > 1
    assert (told[-1].done, told[-1].share) == (9000, 1.0)
    assert [one.done for one in told] == sorted(one.done for one in told)


@pytest.mark.parametrize("mask", [{"v": "there", "a": "there"}, {"a": 3.0}, 3.0], ids=str)
def test_masks_are_applied_by_the_workers(
    session: Any, tmp_path: Path, mask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        rng = np.random.default_rng(number)
        values = rng.integers(0, 9, (1000, 4)).astype(float)
        lists = pa.FixedSizeListArray.from_arrays(values[:, :3].ravel(), 3).cast(pa.list_(pa.float64()))
        table = {"a": values[:, 3], "v": lists, "there": rng.random(1000) < 0.7}
        pq.write_table(pa.table(table), tmp_path / f"{number}.parquet")
    frame = session.read.parquet(str(tmp_path))
    choice = {"a": "robust", "v": "standard"}
    one = tfnorm.fit(of_partitions(frame), choice, mask=mask)

    def no_rows(*_: Any, **__: Any) -> Any:
        raise AssertionError("rows come here")

    monkeypatch.setattr(source, "open_columns", no_rows)
    found = tfnorm.fit(frame, choice, mask=mask)
    assert found.fingerprint == one.fingerprint
    assert statistics(found.profile) == statistics(one.profile)
    assert one.fingerprint != tfnorm.fit(frame, choice).fingerprint


def test_workers_load_no_tensorflow(session: Any, files: Path, tmp_path: Path) -> None:
    def look(task: Task) -> None:
        import sys
        from pathlib import Path

        found = {name.partition(".")[0] for name in sys.modules}
        Path(tmp_path / str(task.number)).write_text("\n".join(sorted(found)))

    tfnorm.fit(files, CHOICE, engine=Around(Spark(session), look, []))
    seen = [path.read_text().split() for path in tmp_path.iterdir()]
    assert seen
    assert all("tfnorm" in names and not {"tensorflow", "keras"} & set(names) for names in seen)


@pytest.mark.parametrize("options", [{}, {"weight": "w"}, {"exact": True}], ids=str)
def test_a_data_frame_gives_the_bits_of_its_partitions(frame: Any, paths: list[str], options: dict[str, Any]) -> None:
    choice = {"a": "robust", "b": "minmax"} if "weight" in options else CHOICE
    one, there = tfnorm.fit(paths, choice, workers=1, **options), tfnorm.fit(frame, choice, **options)
    assert there.fingerprint == one.fingerprint
    assert statistics(there.profile) == statistics(one.profile)
    assert same(tfnorm.spark.fit(frame, choice, **options), there)


def test_scan_check_and_advice_of_a_data_frame(frame: Any, paths: list[str]) -> None:
    profile = tfnorm.spark.scan(frame, unit="s")
    assert list(profile) == ["a", "b", "c", "k", "v", "w", "dotted.name", "time"]
    assert statistics(profile) == statistics(tfnorm.scan(paths, unit="s"))
    fitted = tfnorm.fit(paths, {"a": "standard"}, full=True)
    (there,), (here,) = tfnorm.check(fitted, frame).columns, tfnorm.check(fitted, paths).columns
    assert dataclasses.replace(there, profile=here.profile) == here
    few = frame.select("a", "b")
    assert tfnorm.fit(few, "auto").choice == tfnorm.fit(collected(few), "auto").choice


def test_neighbours_folded_by_workers_are_the_same_tree(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    many = session.range(20_000, numPartitions=11).selectExpr("ln(id + 1) AS x", "id % 7 AS k", "id AS i")
    many = many.filter("i < 3000 OR i > 9000")  # some partitions are empty
    found = []
    for height in (0, 2, 8):
        monkeypatch.setattr(source, "HEIGHT", height)
        found.append(tfnorm.fit(many, {"x": ["standard.by('k')"], "i": "robust"}))
    assert same(found[0], found[1])
    assert same(found[0], found[2])
    assert found[0].profile.provenance[0].num_shards == 11
    local = np.log(np.r_[0:3000, 9001:20_000] + 1.0)
    assert found[0].profile["x"].moments.mean == pytest.approx(local.mean(), rel=1e-13)


def test_transform_and_inverse_are_those_of_the_collected_table(frame: Any) -> None:
    choice: dict[str, Any] = {"a": "robust", "b": "yeo_johnson, standard", "c": "standard.by('k')", "v": "whiten"}
    choice |= {"dotted.name": "minmax", "time": "standard"}
    fitted = tfnorm.fit(frame, choice, unit={"time": "s"}, out_of_range="clip", missing={"dotted.name": 0.5})
    there, here = tfnorm.spark.transform(fitted, frame), fitted.transform(collected(frame))
    assert there.columns == frame.columns
    got = collected(there)
    assert there.schema["v"].dataType.simpleString() == "array<double>"
    assert there.schema["dotted.name"].dataType.simpleString() == "float"
    for name in got.schema.names:
        assert got[name].to_pylist() == here[name].to_pylist(), name
    back, raw = collected(tfnorm.spark.inverse(fitted, there.drop("time"))), collected(frame)
    for name in ("a", "b", "c"):
        np.testing.assert_allclose(back[name].to_numpy(), raw[name].to_numpy(), rtol=1e-9)
    np.testing.assert_allclose(back["v"].to_pylist(), raw["v"].to_pylist(), atol=1e-12)


def test_what_policies_did_comes_back(session: Any, frame: Any, tmp_path: Path) -> None:
    few = frame.filter("w = 3 AND k <> 4")
    choice = {"a": "minmax", "b": "minmax", "c": "standard.by('k')"}
    fitted = tfnorm.fit(few, choice, out_of_range="clip", missing=0.0)
    fitted.save(tmp_path / "norm.json")
    here: Any = tfnorm.load(tmp_path / "norm.json")
    gaps = frame.selectExpr("a", "if(k = 1, null, b) AS b", "c", "k * 2 AS k")
    here.transform(collected(gaps))
    assert {policy for _, policy in here.fired} == {"out_of_range", "missing", "unseen"}
    assert tfnorm.spark.fired(fitted, gaps) == here.fired
    assert not fitted.fired
    there = tfnorm.spark.transform(fitted, gaps)
    assert not fitted.fired
    assert len(there.collect()) == 9000
    assert fitted.fired == here.fired
    assert there.count() == 9000  # Spark may compute it again, or need no values for that
    assert tfnorm.spark.fired(tfnorm.fit(few, choice), frame.select("a")) == {}


def test_transform_of_nulls_of_no_rows_of_marks_and_of_streams(session: Any, frame: Any) -> None:
    fitted = tfnorm.fit(frame, {"a": "minmax", "v": "whiten"})
    nulls = session.createDataFrame([(1.0, None, "x")], "a double, v array<double>, other string")
    assert [row.asDict() for row in tfnorm.spark.transform(fitted, nulls).collect()] == [
        {"a": fitted["a"].transform(np.array([1.0])).item(), "v": None, "other": "x"}
    ]
    assert tfnorm.spark.transform(fitted, frame.limit(0)).collect() == []
    marked = tfnorm.fit(frame, {"dotted.name": "impute(indicator=True)"})
    both = tfnorm.spark.transform(marked, frame.select("`dotted.name`", "a"))
    assert both.columns == ["dotted.name", "dotted.name_missing", "a"]
    assert tfnorm.spark.inverse(marked, both).columns == ["dotted.name", "a"]
    stream = session.readStream.format("rate").load().selectExpr("double(value) AS a")
    assert tfnorm.spark.transform(fitted, stream).isStreaming
    with pytest.raises(DataError, match="its stream has no end"):
        tfnorm.fit(stream, "standard")


def test_what_does_not_suit_is_told(session: Any, frame: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="has no rows"):
        tfnorm.fit(frame.limit(0), "standard")
    with pytest.raises(DataError, match=r'column "a": infinite value in row \d+ \(Spark DataFrame, partition \d\)'):
        tfnorm.fit(frame.selectExpr("if(k > 7, double('Infinity'), a) AS a"), "standard")
    with pytest.raises(DataError, match=r"Spark says: .*too small"):
        tfnorm.fit(frame.selectExpr("double(raise_error('too small')) AS a"), "standard")
    with pytest.raises(DataError, match="expected the name of its column of weights"):
        tfnorm.fit(frame, "standard", weight=[1.0])
    fitted = tfnorm.fit(frame, {"a": "standard", "c": "standard.by('k')", "v": "l2"})
    with pytest.raises(DataError, match=r'none of the fitted columns .* is among "b"'):
        tfnorm.spark.transform(fitted, frame.select("b"))
    with pytest.raises(DataError, match='key column "k" of the fit not there'):
        tfnorm.spark.transform(fitted, frame.select("c"))
    with pytest.raises(DataError, match='column "a": expected numbers, got string'):
        tfnorm.spark.transform(fitted, frame.selectExpr("text AS a"))
    with pytest.raises(tfnorm.NotInvertibleError, match='column "v"'):
        tfnorm.spark.inverse(fitted, frame)
    with pytest.raises(DataError, match=r"is normalized where it is: tfnorm\.spark\.transform"):
        fitted.transform(frame)
    for name in ("pyspark", "pyspark.sql"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ChoiceError, match=r"pip install 'tfnorm\[spark\]'"):
        Spark.at(None)


CONNECT = """
import sys
import tfnorm
from pyspark.sql import SparkSession

choice = {"a": "robust", "b": ["yeo_johnson", "standard"], "c": "standard.by('k')", "v": "whiten"}
builder = SparkSession.builder.remote("local[2]").config("spark.ui.enabled", "false")
session = builder.config("spark.sql.files.openCostInBytes", str(1 << 27)).getOrCreate()
assert "connect" in type(session).__module__
frame = session.read.parquet(sys.argv[1])
fitted = tfnorm.fit(sys.argv[1], choice, engine=session)
there = tfnorm.fit(frame, choice)
total = tfnorm.spark.transform(there, frame).selectExpr("sum(a)").collect()[0][0]
assert tfnorm.spark.fired(tfnorm.fit(frame.limit(9), {"a": "minmax"}, out_of_range="clip"), frame)["a", "out_of_range"] > 0
print(fitted.fingerprint, there.fingerprint, round(total, 6))
assert "tensorflow" not in sys.modules
session.stop()
"""


def test_spark_connect_is_the_same(frame: Any, files: Path, paths: list[str], tmp_path: Path) -> None:
    pytest.importorskip("grpc_status")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    given = plain | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    given["PYTHONPATH"] = os.pathsep.join([SOURCE, *filter(None, [os.environ.get("PYTHONPATH")])])
    words = [sys.executable, "-c", CONNECT, str(files)]
    with (tmp_path / "out").open("w+") as out, (tmp_path / "log").open("w+") as log:
        made = subprocess.Popen(words, env=given, cwd=tmp_path, stdout=out, stderr=log, start_new_session=True)
        try:
            code = made.wait(timeout=240)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(made.pid, signal.SIGKILL)  # the server that it has started
    assert code == 0, (tmp_path / "log").read_text()[-3000:]
    by_files, by_frame, total = (tmp_path / "out").read_text().split()[-3:]
    one = tfnorm.fit(paths, CHOICE)
    assert by_files == tfnorm.fit(files, CHOICE).fingerprint
    assert by_frame == one.fingerprint
    assert float(total) == pytest.approx(sum(one.transform(collected(frame))["a"].to_pylist()), abs=1e-5)
