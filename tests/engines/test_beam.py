"""Apache Beam: any runner's workers give the bits of one thread; a PCollection is measured as its rows are."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tfnorm
from tfnorm.engines import Task
from tfnorm.errors import ChoiceError, DataError

beam = pytest.importorskip("apache_beam")

from apache_beam.options.pipeline_options import PipelineOptions  # noqa: E402
from apache_beam.transforms import window  # noqa: E402

import tfnorm.beam  # noqa: E402
from tfnorm.beam.partial import Asked, Partial, of_table  # noqa: E402
from tfnorm.engines.beam import Beam  # noqa: E402

CHOICE = {"a": "robust", "b": ["yeo_johnson", "standard"], "c": "standard.by('s')", "v": "whiten"}
HERE = "FnApiRunner"
TWO = "--runner=FnApiRunner --direct_num_workers=2 --direct_running_mode=multi_processing"


def table(seed: int, rows: int = 1500) -> Any:
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 4, rows)
    b = [None if i % 7 == 0 else value for i, value in enumerate(rng.lognormal(size=rows).tolist())]
    columns = {"a": rng.normal(1e6, 1, rows), "b": b, "c": rng.normal(keys), "s": [f"key {key}" for key in keys]}
    columns |= {"w": rng.integers(0, 4, rows)}
    return pa.table({**columns, "v": pa.FixedSizeListArray.from_arrays(rng.normal(size=rows * 3), 3)})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    for number in range(4):
        pq.write_table(table(number), folder / f"part-{number}.parquet", row_group_size=500)
    return folder


@pytest.fixture(scope="module")
def rows() -> Any:
    return table(9)


def same(first: Any, second: Any) -> bool:
    return bool(first.profile == second.profile and first.fingerprint == second.fingerprint)


# The engine.


@pytest.mark.parametrize("options", [{}, {"full": True}, {"weight": "w"}], ids=str)
def test_the_bits_are_those_of_one_thread(files: Path, options: dict[str, Any], tmp_path: Path) -> None:
    choice = {"a": "robust", "b": "minmax"} if "weight" in options else CHOICE
    one = tfnorm.fit(files, choice, workers=1, **options)
    told: list[Any] = []
    engine = PipelineOptions(["--runner", HERE, f"--temp_location={tmp_path}"])
    assert same(tfnorm.fit(files, choice, engine=engine, callback=told.append, **options), one)
    assert [each.done for each in told] == sorted(each.done for each in told)
    assert (told[-1].done, told[-1].share) == (6000, 1.0)
    assert list(tmp_path.iterdir()) == []  # what came back is deleted


def test_two_processes_scan_and_check(files: Path) -> None:
    assert tfnorm.scan(files, engine=f"beam={TWO}") == tfnorm.scan(files)
    fitted = tfnorm.fit(files, "standard", full=True)
    assert tfnorm.check(fitted, files, engine=f"beam={HERE}").columns == tfnorm.check(fitted, files).columns


def test_checkpoints_as_on_one_machine(files: Path, tmp_path: Path) -> None:
    one = tfnorm.fit(files, CHOICE)
    assert same(tfnorm.fit(files, CHOICE, engine=f"beam={HERE}", checkpoint=tmp_path / "kept"), one)
    assert same(tfnorm.fit(files, CHOICE, checkpoint=tmp_path / "kept"), one)
    assert len(list((tmp_path / "kept").glob("*.json"))) == 12


def test_workers_are_processes_without_tensorflow(files: Path) -> None:
    path = str(files)

    def probe(task: Task) -> bytes:  # by value: the workers do not find this file
        import os
        import sys

        import tfnorm

        tfnorm.fit(path, "robust", workers=1)
        loaded = [name for name in ("tensorflow", "keras", "sklearn") if name in sys.modules]
        return json.dumps([os.getpid(), loaded]).encode()

    told = [json.loads(one) for one in Beam.at(TWO)(probe, [Task(n, n, 0, (n,)) for n in range(8)])]
    assert len(told) == 8
    assert {os.getpid()}.isdisjoint(pid for pid, _ in told)
    assert len({pid for pid, _ in told}) == 2
    assert all(loaded == [] for _, loaded in told)


@dataclass
class Deadly:
    """Beam's own runner, of whose workers one is killed by the kernel while it has half of its tasks done."""

    marker: Path
    asked: list[int] = field(default_factory=list)
    parallel: int = 2

    def __call__(self, work: Callable[[Task], bytes], tasks: Sequence[Task]) -> Iterator[bytes]:
        marker, last = str(self.marker), tasks[-1].number
        self.asked.append(len(tasks))

        def until_it_dies(task: Task) -> bytes:
            import os
            import signal
            import time
            from pathlib import Path

            if task.number == last and not Path(marker).exists():
                Path(marker).write_text(str(os.getpid()))
                time.sleep(0.5)
                os.kill(os.getpid(), signal.SIGKILL)
            return work(task)

        return Beam.at(TWO)(until_it_dies, tasks)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_is_killed_costs_time_and_no_more(
    files: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Deadly(tmp_path / "killed")
    assert same(tfnorm.fit(files, CHOICE, engine=engine), tfnorm.fit(files, CHOICE))
    assert not Path(f"/proc/{engine.marker.read_text()}").exists()
    assert "a worker died" in caplog.text
    assert engine.asked[0] == 12
    assert 0 < engine.asked[1] < 12  # the others had come before


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[str]:
    """Beam's pool of workers, as its containers start it."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it starts a bare "python"
    with (tmp_path / "pool.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "PATH": path}, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 60
            while True:
                assert process.poll() is None, (tmp_path / "pool.log").read_text()
                assert time.monotonic() < deadline
                with socket.socket() as attempt:
                    if attempt.connect_ex(("localhost", port)) == 0:
                        break
                time.sleep(0.1)
            yield f"localhost:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


def test_a_pool_of_workers_behind_a_job_server(files: Path, tmp_path: Path, pool: str) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    options = f"--runner=PortableRunner --job_endpoint=embed --environment_type=EXTERNAL --environment_config={pool}"
    with pytest.raises(ChoiceError, match=r"PortableRunner needs a folder .* Say --temp_location"):
        tfnorm.fit(files, CHOICE, engine=f"beam={options}")
    fitted = tfnorm.fit(files, CHOICE, engine=f"beam={options} --temp_location={shared}")
    assert same(fitted, tfnorm.fit(files, CHOICE))
    assert list(shared.iterdir()) == []


def test_an_error_in_the_data_is_the_same_error(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1.0, 2.0, float("inf")]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r'column "a": infinite value in row 2 \(.*a.parquet, row group 0\)'):
        tfnorm.fit(tmp_path, engine=f"beam={HERE}")


def test_what_never_works_is_an_error(files: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="could not be measured by beam in 3 attempts"):
        tfnorm.fit(files, engine="beam=--runner=NoSuchRunner --temp_location=" + str(tmp_path))


def test_how_many_work_at_once() -> None:
    assert Beam.at(TWO).parallel == 2
    assert Beam.at(HERE).parallel == 1
    assert Beam.at("--runner=DataflowRunner --temp_location=gs://bucket/x --max_num_workers=30").parallel == 30


def test_without_beam_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", None)
    with pytest.raises(ChoiceError, match=r"pip install 'tfnorm\[beam\]'"):
        Beam.at(None)


# PCollections.


FOUND: list[Any] = []


def keep(element: Any) -> None:
    """By name: workers in this process find this list."""
    FOUND.append(element)


def run(make: Callable[[Any], Any]) -> list[Any]:
    """The elements that a pipeline gives, in any order."""
    FOUND.clear()
    with beam.Pipeline(HERE) as pipeline:
        _ = make(pipeline) | "keep" >> beam.Map(keep)
    return list(FOUND)


class Named(NamedTuple):
    """A row of two fields."""

    a: float
    b: float | None


KINDS: dict[str, Callable[[Any], list[Any]]] = {
    "dicts": lambda rows: rows.to_pylist(),
    "rows": lambda rows: [beam.Row(**row) for row in rows.to_pylist()],
    "batches": lambda rows: rows.to_batches(max_chunksize=200),
    "tables": lambda rows: [rows.slice(0, 700), rows.slice(700)],
    "named tuples": lambda rows: [Named(row["a"], row["b"]) for row in rows.to_pylist()],
}


def assert_close(found: tfnorm.Profile, expected: tfnorm.Profile) -> None:
    assert list(found) == list(expected)
    assert found.num_rows == expected.num_rows
    for name in expected:
        one, two = found[name], expected[name]
        assert one.column == two.column
        for exact in ("count", "extremes"):
            for each in dataclasses.fields(getattr(two, exact)):
                values = (getattr(getattr(one, exact), each.name), getattr(getattr(two, exact), each.name))
                np.testing.assert_array_equal(*values)
        for number in ("mean", "variance", "skewness", "kurtosis"):
            np.testing.assert_allclose(getattr(one, number), getattr(two, number), rtol=1e-12, atol=1e-12)
        for q in (0.01, 0.25, 0.5, 0.99):
            np.testing.assert_array_equal(one.quantile(q), two.quantile(q))


@pytest.mark.parametrize("kind", KINDS)
def test_a_pcollection_is_what_its_rows_are(rows: Any, kind: str) -> None:
    elements = KINDS[kind](rows)
    (profile,) = run(lambda pipeline: pipeline | beam.Create(elements) | tfnorm.beam.Scan())
    assert_close(profile, tfnorm.scan(rows.select(["a", "b"]) if kind == "named tuples" else rows))


@pytest.mark.parametrize("options", [{}, {"weight": "w"}], ids=str)
def test_a_fit_of_a_pcollection(rows: Any, options: dict[str, Any]) -> None:
    choice = {"a": "robust", "b": "standard"} if options else CHOICE
    expected = tfnorm.fit(rows, choice, missing=0.0, **options).transform(rows)
    elements = rows.to_batches(max_chunksize=100)
    fit = tfnorm.beam.Fit(choice, missing=0.0, **options)
    (fitted,) = run(lambda pipeline: pipeline | beam.Create(elements) | fit)
    assert isinstance(fitted, tfnorm.Fitted)
    for name in choice:
        values = [np.array(table[name].to_pylist()) for table in (fitted.transform(rows), expected)]
        np.testing.assert_allclose(*values, rtol=1e-9, atol=1e-9)


def test_files_in_a_pipeline_have_the_bits_of_one_thread(files: Path, tmp_path: Path) -> None:
    glob, one, fit = str(files / "*.parquet"), tfnorm.scan(files), tfnorm.fit(files, CHOICE)
    assert run(lambda pipeline: pipeline | tfnorm.beam.Scan(str(files))) == [one]
    paths = sorted(map(str, files.iterdir()))
    shuffled = [paths[index] for index in (2, 0, 3, 1)]
    assert run(lambda pipeline: pipeline | beam.Create(shuffled) | tfnorm.beam.Scan()) == [tfnorm.scan(paths)]
    assert run(lambda pipeline: pipeline | beam.Create([glob]) | tfnorm.beam.Scan()) == [tfnorm.scan(glob)]
    pipeline = beam.Pipeline(options=PipelineOptions(TWO.split()))
    fitted = pipeline | tfnorm.beam.Fit(CHOICE, str(files)) | beam.Map(tfnorm.beam.as_text)
    _ = fitted | beam.io.WriteToText(str(tmp_path / "norm.json"), shard_name_template="")
    pipeline.run().wait_until_finish()
    assert same(tfnorm.load(tmp_path / "norm.json"), fit)


def test_many_parts_are_folded_in_two_levels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pq.write_table(pa.table({"x": rng.normal(1e6, 1, 3001)}), tmp_path / "a.parquet", row_group_size=1)
    path = str(tmp_path / "a.parquet")
    assert run(lambda pipeline: pipeline | tfnorm.beam.Scan(path)) == [tfnorm.scan(path)]


def test_parts_that_cannot_be_read_are_left_out(files: Path, tmp_path: Path) -> None:
    for path in files.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "part-2.parquet").write_bytes(b"PAR1 no more")
    (profile,) = run(lambda pipeline: pipeline | tfnorm.beam.Scan(str(tmp_path), on_error="skip"))
    assert profile == tfnorm.scan(tmp_path, on_error="skip")
    assert len(profile.provenance[0].skipped) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_transform_gives_back_the_kind_that_came(rows: Any, kind: str) -> None:
    fitted = tfnorm.fit(rows, {"a": "robust", "b": "minmax"} if kind == "named tuples" else CHOICE)
    elements, expected = KINDS[kind](rows), fitted.transform(rows)
    done = run(lambda pipeline: pipeline | beam.Create(elements) | tfnorm.beam.Transform(fitted))
    assert len(done) == len(elements)
    if kind in ("batches", "tables"):
        assert {type(one) for one in done} == {type(elements[0])}
        found = [row for one in done for row in one.to_pylist()]
        assert found == expected.to_pylist() or sorted(map(repr, found)) == sorted(map(repr, expected.to_pylist()))
        return
    found = [one if isinstance(one, dict) else one._asdict() for one in done]
    wanted = expected.select(list(found[0])).to_pylist()
    assert sorted(map(repr, found)) == sorted(map(repr, wanted))
    back = run(lambda pipeline: pipeline | beam.Create(done) | tfnorm.beam.Transform(fitted, inverse=True))
    real = sorted(one["a"] if isinstance(one, dict) else one.a for one in back)
    np.testing.assert_allclose(real, np.sort(rows["a"].to_numpy()), rtol=1e-12)


def test_fit_and_transform_in_one_pipeline_of_two_processes(rows: Any, tmp_path: Path) -> None:
    pipeline = beam.Pipeline(options=PipelineOptions(TWO.split()))
    elements = pipeline | beam.Create([{"n": n, "a": row["a"]} for n, row in enumerate(rows.to_pylist())])
    done = elements | tfnorm.beam.Transform(elements | tfnorm.beam.Fit({"a": "standard"}))
    _ = done | beam.Map(json.dumps) | beam.io.WriteToText(str(tmp_path / "out.json"), shard_name_template="")
    pipeline.run().wait_until_finish()
    found = [json.loads(line) for line in (tmp_path / "out.json").read_text().splitlines()]
    assert [row["n"] for row in found] != []
    values = [row["a"] for row in sorted(found, key=lambda row: row["n"])]
    np.testing.assert_allclose(values, tfnorm.fit(rows, {"a": "standard"}).transform(rows)["a"], atol=1e-9)


def test_what_policies_did_is_a_metric() -> None:
    elements = [{"age": float(n), "fare": None if n % 3 else 1.0} for n in range(5000)]
    fitted = tfnorm.fit(elements[:100], "minmax", out_of_range="clip", missing=0.0)
    expected = tfnorm.fit(elements[:100], "minmax", out_of_range="clip", missing=0.0)
    expected.transform(pa.Table.from_pylist(elements))
    pipeline = beam.Pipeline(options=PipelineOptions(TWO.split()))
    _ = pipeline | beam.Create(elements) | beam.Reshuffle() | tfnorm.beam.Transform(fitted)
    assert tfnorm.beam.fired(pipeline.run()) == expected.fired
    assert expected.fired["age", "out_of_range"] == 4900


def test_marks_come_and_go(tmp_path: Path) -> None:
    elements = [{"x": 1.0}, {"x": None}, {"x": 4.0}]
    fitted = tfnorm.fit(elements, {"x": "impute(indicator=True)"})
    fitted.save(tmp_path / "norm.json")
    there = tfnorm.beam.Transform(tmp_path / "norm.json")
    marked = run(lambda pipeline: pipeline | beam.Create(elements) | there)
    expected = fitted.transform(pa.table({"x": [1.0, None, 4.0]})).to_pylist()
    assert sorted(map(repr, marked)) == sorted(map(repr, expected))
    back = run(lambda pipeline: pipeline | beam.Create(marked) | tfnorm.beam.Transform(fitted, inverse=True))
    real = fitted.inverse(pa.Table.from_pylist(marked)).to_pylist()
    assert sorted(map(repr, back)) == sorted(map(repr, real))


def test_each_window_has_a_profile_and_elements_keep_theirs() -> None:
    elements = [{"t": float(n)} for n in range(100)]
    fitted = tfnorm.fit(elements, "minmax")

    def cut(pipeline: Any) -> Any:
        timed = pipeline | beam.Create(elements) | beam.Map(lambda row: window.TimestampedValue(row, row["t"]))
        return timed | beam.WindowInto(window.FixedWindows(50))

    def maxima(pipeline: Any) -> Any:
        return cut(pipeline) | tfnorm.beam.Scan() | beam.Map(lambda one: one["t"].maximum) | _in_one_window()

    assert sorted(run(maxima)) == [49.0, 99.0]

    def times(pipeline: Any) -> Any:
        done = cut(pipeline) | tfnorm.beam.Transform(fitted)
        return done | "t" >> beam.Map(lambda row, t=beam.DoFn.TimestampParam: (row["t"], float(t))) | _in_one_window()

    np.testing.assert_allclose(sorted(run(times)), [(n / 99, n) for n in range(100)], rtol=1e-15)


def _in_one_window() -> Any:
    return "all" >> beam.WindowInto(window.GlobalWindows())


@pytest.mark.parametrize(
    ("elements", "error"),
    [
        ([{"a": 1.0}, {"a": "x"}], 'column "a": expected values of one kind, got float, str'),
        ([{"a": 1, "b": 1}, {"a": 2}], 'column "b": not in every element'),
        ([{"a": "x"}], "there is no column of numbers"),
        ([1.0, 2.0], "expected dicts, rows or Arrow batches, got float"),
        ([], "there are no rows"),
    ],
    ids=str,
)
def test_what_is_wrong_names_the_column(elements: list[Any], error: str) -> None:
    with pytest.raises(Exception, match=error):
        run(lambda pipeline: pipeline | beam.Create(elements) | tfnorm.beam.Scan())


def test_what_an_element_lacks_may_be_missing() -> None:
    elements = [{"a": 1.0, "b": 5}, {"a": 2.0}]
    scan = tfnorm.beam.Scan(columns=["a", "b"], absent="missing")
    (profile,) = run(lambda pipeline: pipeline | beam.Create(elements) | scan)
    assert (profile["b"].count.null.item(), profile["b"].count.finite.item()) == (1, 1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda pipeline: pipeline | beam.Create([{"a": 1.0}]) | tfnorm.beam.Scan("x.csv"), "files= is for a pipeline"),
        (lambda pipeline: pipeline | tfnorm.beam.Scan(), "files= is for a pipeline"),
        (lambda pipeline: pipeline | beam.Create([{"a": 1.0}]) | tfnorm.beam.Scan(on_error="skip"), "is for files"),
        (lambda pipeline: pipeline | tfnorm.beam.Scan("x.csv", weight=[1.0]), "name of a column"),  # type: ignore[arg-type]
    ],
    ids=["files twice", "no files", "skip", "weight"],
)
def test_wrong_use_says_so(make: Callable[[Any], Any], said: str) -> None:
    with pytest.raises(ChoiceError, match=said):
        make(beam.Pipeline(HERE))


# What is known of some elements, added in any order.

SCAN = Asked()


def added(tables: Sequence[dict[str, list[Any]]], asked: Asked = SCAN) -> Partial:
    partials = [Partial.loads(of_table(pa.table(one), asked).dumps()) for one in tables]
    total = partials[0]
    for one in partials[1:]:
        total = total.add(one, asked)
    return total


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1)])
def test_only_nulls_may_turn_out_to_be_anything(order: tuple[int, ...]) -> None:
    tables: list[dict[str, list[Any]]] = [
        {"v": [None, None], "x": [None, None], "t": [None, None]},
        {"v": [[1.0, 2.0]], "x": [3], "t": ["text"]},
        {"t": [None], "v": [None], "x": [2.5]},
    ]
    total = added([tables[index] for index in order])
    assert total.others == {"t": "string"}
    assert total.unknown == ()
    profile = total.profile
    assert sorted(profile) == ["v", "x"]
    assert (profile["v"].count.null.tolist(), profile["v"].count.finite.tolist()) == ([3, 3], [1, 1])
    assert (profile["x"].count.null.item(), profile["x"].count.finite.item()) == (2, 2)
    assert (profile["x"].column.dtype, profile["x"].mean) == ("float64", 2.75)


def test_numbers_and_text_are_two_kinds_wherever_they_meet() -> None:
    with pytest.raises(DataError, match=r'column "a": expected numbers as in other elements, got string'):
        added([{"a": [1.0], "b": [1]}, {"a": ["x"], "b": [2]}])
    with pytest.raises(DataError, match=r'column "c": not in every element'):
        added([{"a": [1.0], "c": [1]}, {"a": [2.0]}])
    with pytest.raises(DataError, match=r'column "v": expected 2 numbers in every element, got 3'):
        added([{"v": [[1.0, 2.0]]}, {"v": [[1.0, 2.0, 3.0]]}])


def test_a_key_of_which_only_nulls_have_come() -> None:
    choice = {"x": "standard.by('t')"}
    total = added([{"x": [1.0], "t": [None]}, {"x": [None, 3.0], "t": ["q", "r"]}], Asked(choice))
    assert tfnorm.fit(total.profile, choice)["x"].map is not None
    assert total.profile.num_rows == 3


def test_what_is_damaged_is_refused() -> None:
    data = of_table(pa.table({"a": [1.0]}), SCAN).dumps()
    with pytest.raises(tfnorm.ArtefactError, match="damaged"):
        Partial.loads(data.replace(b'"num_rows": 1', b'"num_rows": 2'))
