"""Whoever measures, the bits are those of one thread: any number of workers, any order, any fault."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfnorm
from tfnorm.engines import Fold, Task, cut
from tfnorm.engines.executor import Executors
from tfnorm.errors import ChoiceError, DataError

CHOICE = {
    "a": "robust",
    "b": ["yeo_johnson", "standard"],
    "c": "standard.by('k')",
    "v": "whiten",
}


def write(path: Path, seed: int, rows: int = 3000) -> None:
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 9, rows)
    vectors = pa.FixedSizeListArray.from_arrays(rng.normal(size=rows * 3), 3)
    table = {"a": rng.normal(1e6, 1, rows), "b": rng.lognormal(size=rows), "c": rng.normal(keys), "k": keys}
    table |= {"w": rng.integers(0, 4, rows)}
    pq.write_table(pa.table({**table, "v": vectors}), path, row_group_size=rows // 3, write_page_checksum=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    for number in range(5):
        write(folder / f"part-{number}.parquet", number)
    return folder


@dataclass(frozen=True)
class Here:
    """Workers in this process, for what a test does with what they send."""

    sent: Callable[[list[bytes]], list[bytes]]
    parallel: int = 1

    def __call__(self, work: Callable[[Task], bytes], tasks: Sequence[Task]) -> Iterator[bytes]:
        return iter(self.sent([work(task) for task in tasks]))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.json")}


def same(first: Any, second: Any) -> bool:
    return bool(first.profile == second.profile and first.fingerprint == second.fingerprint)


@given(st.integers(1, 300), st.integers(1, 9), st.randoms())
def test_any_cut_and_any_order_is_the_same_tree(number: int, parallel: int, random: Any) -> None:
    def add(a: str, b: str) -> str:
        return f"({a}+{b})"

    plain: Fold[str] = Fold(add)
    for index in range(number):
        plain.push(str(index))
    tasks = cut([str(index) for index in range(number)], parallel)
    assert sum(len(task.shards) for task in tasks) == number
    random.shuffle(tasks)
    fold: Fold[str] = Fold(add)
    for task in tasks:
        part: Fold[str] = Fold(add)
        for shard in task.shards:
            part.push(shard)
        total = part.total()
        assert total is not None
        fold.put(task.index, total, task.height)
    assert fold.total() == plain.total()


@pytest.mark.parametrize("options", [{}, {"weight": "w"}, {"full": True}], ids=str)
def test_processes_and_executors_give_the_bits_of_one_thread(files: Path, options: dict[str, Any]) -> None:
    choice = {"a": "robust", "b": "minmax"} if "weight" in options else CHOICE
    one = tfnorm.fit(files, choice, workers=1, **options)
    assert same(tfnorm.fit(files, choice, engine="processes", workers=2, **options), one)
    with ThreadPoolExecutor(3) as pool:
        assert same(tfnorm.fit(files, choice, engine=pool, **options), one)


def test_scan_check_and_advice_too(files: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert tfnorm.scan(files, engine=pool) == tfnorm.scan(files)
        fitted = tfnorm.fit(files, "standard", full=True)
        assert tfnorm.check(fitted, files, engine=pool).columns == tfnorm.check(fitted, files).columns
        assert same(tfnorm.fit(files, "auto", engine=pool), tfnorm.fit(files, "auto"))


def test_delivered_twice_and_in_any_order_it_counts_once(files: Path) -> None:
    twice = Here(lambda sent: [*reversed(sent), *sent])
    assert same(tfnorm.fit(files, CHOICE, engine=twice), tfnorm.fit(files, CHOICE))


def test_what_is_lost_is_asked_for_again(files: Path) -> None:
    asked: list[int] = []

    def half(sent: list[bytes]) -> list[bytes]:
        asked.append(len(sent))
        return sent[::2]

    assert same(tfnorm.fit(files, {"a": "standard"}, engine=Here(half)), tfnorm.fit(files, {"a": "standard"}))
    assert asked == [15, 7, 3, 1]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda message: b"",
        lambda message: b"\x80\x04N.",  # a pickle
        lambda message: message[:-20],
        lambda message: message.replace(b'"num_rows": 1000', b'"num_rows": 1001'),
        lambda message: message.replace(b'"asked": "', b'"asked": "0'),
        lambda message: message.replace(b'"task": 0', b'"task": 1'),
        lambda message: json.dumps({**json.loads(message.split(b"\n")[0]), "failed": "OSError: gone"}).encode() + b"\n",
        lambda message: b"[" * 100_000,
    ],
    ids=["empty", "pickle", "cut", "altered", "of another job", "of other parts", "failed", "deep"],
)
def test_a_foreign_state_costs_time_and_no_more(
    files: Path, spoil: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    times = []

    def first(sent: list[bytes]) -> list[bytes]:
        times.append(len(sent))
        return [spoil(sent[0]), *sent[1:]] if len(times) == 1 else sent

    assert same(tfnorm.fit(files, {"a": "standard"}, engine=Here(first)), tfnorm.fit(files, {"a": "standard"}))
    assert times == [15, 1]
    assert "asked for again" in caplog.text


def test_what_never_comes_is_an_error_that_names_the_part(files: Path) -> None:
    with pytest.raises(DataError, match=r"part-0.parquet, row group 0: could not be measured by here in 3 attempts"):
        tfnorm.fit(files, "standard", engine=Here(lambda sent: []))


def test_an_error_in_the_data_is_the_same_error(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", 0)
    table = pq.read_table(tmp_path / "a.parquet")
    values = table["a"].to_numpy().copy()
    values[1700] = np.inf
    pq.write_table(table.set_column(0, "a", pa.array(values)), tmp_path / "b.parquet", row_group_size=1000)
    said = r'column "a": infinite value in row 700 \(.*b.parquet, row group 1\)'
    for engine in ("threads", "processes"):
        with pytest.raises(DataError, match=said):
            tfnorm.fit(tmp_path, {"a": "standard"}, engine=engine, workers=2)


def test_checkpoints_and_skipped_parts_as_on_one_machine(files: Path, tmp_path: Path) -> None:
    plain = tfnorm.fit(files, CHOICE)
    kept = tmp_path / "kept"
    calls: list[int] = []

    def counted(sent: list[bytes]) -> list[bytes]:
        calls.append(len(sent))
        return sent

    assert same(tfnorm.fit(files, CHOICE, engine=Here(counted), checkpoint=kept), plain)
    assert same(tfnorm.fit(files, CHOICE, engine=Here(counted), checkpoint=kept), plain)
    tfnorm.fit(files, CHOICE, checkpoint=tmp_path / "threads")
    assert contents(kept) == contents(tmp_path / "threads")  # what workers sent is kept as it came
    assert same(tfnorm.fit(files, CHOICE, checkpoint=kept), plain)  # and by threads from what they kept
    assert set(calls) == {15, 0} or set(calls) == {15}
    bad = tmp_path / "bad"
    bad.mkdir()
    for path in files.iterdir():
        (bad / path.name).write_bytes(path.read_bytes())
    data = bytearray((bad / "part-1.parquet").read_bytes())
    data[200] ^= 255
    (bad / "part-1.parquet").write_bytes(data)
    here = tfnorm.fit(bad, {"a": "standard", "b": "minmax"}, on_error="skip")
    there = tfnorm.fit(bad, {"a": "standard", "b": "minmax"}, on_error="skip", engine="processes", workers=2)
    assert same(here, there)
    assert len(there.profile.provenance[0].skipped) == 1


def test_progress_comes_back(files: Path) -> None:
    told: list[Any] = []
    tfnorm.scan(files, engine="processes", workers=2, callback=told.append)
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert (told[-1].done, told[-1].share) == (15_000, 1.0)
    assert told[-1].num_bytes > 0.9 * told[-1].total_bytes


SCRIPT = """
import sys, tfnorm
if __name__ == "__main__":
    fitted = tfnorm.fit(sys.argv[1], "standard", engine="processes", workers=2)
    print(fitted.fingerprint)
"""


def children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            words = (path.parent / "cmdline").read_text()
        except OSError:
            continue
        if int(fields[1]) == pid and "spawn_main" in words:
            found.append(int(path.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers in /proc")
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
def test_a_worker_that_dies_or_hangs_is_replaced(tmp_path: Path, signum: int) -> None:
    for number in range(2):
        write(tmp_path / f"{number}.parquet", number, 300_000)
    script = SCRIPT.replace('engine="processes", workers=2', "engine=Processes(2, patience=20.0)")
    script = script.replace("import sys, tfnorm", "import sys, tfnorm\nfrom tfnorm.engines.processes import Processes")
    (tmp_path / "run.py").write_text(script)
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "*.parquet")]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (found := children(run.pid)) and run.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if found:
        os.kill(found[0], signum)
    out, err = run.communicate(timeout=200)
    assert found, err
    assert out.strip() == tfnorm.fit(str(tmp_path / "*.parquet"), "standard").fingerprint, err
    assert run.returncode == 0


def test_workers_import_no_tensorflow(files: Path) -> None:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        tfnorm.fit(files, CHOICE, engine=pool, workers=1)
        assert pool.submit(loaded).result() == []


def loaded() -> list[str]:
    return [name for name in ("tensorflow", "keras", "sklearn") if name in sys.modules]


@pytest.mark.parametrize("many", [0, 32])
def test_states_are_added_up_beside_their_reading_in_the_tree_of_their_order(
    many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tfnorm import elsewhere
    from tfnorm.fitting import planned
    from tfnorm.measuring import Measure
    from tfnorm.sources import open_source
    from tfnorm.states import read, written

    monkeypatch.setattr(elsewhere, "MANY", many)
    random = np.random.default_rng(0)
    _, _, _, wants = planned(open_source({"a": [1.0]}), "robust", -1, None)
    measure = Measure(tuple(wants), frozenset(), 1000, None)
    states = [measure.of({"a": random.normal(size=200)}, "", 0) for _ in range(77)]
    plain: Fold[Any] = Fold(lambda a, b: a + b)
    for state in states:
        plain.push(state)
    total = plain.total()
    assert total is not None
    folding = elsewhere.Folding(measure.nothing())
    for index in random.permutation(len(states)).tolist():
        message = written(states[index])
        folding.put(index, read(message, measure.nothing()), 0, message)
    found = folding.total()
    assert found is not None
    assert written(found) == written(total)
    assert elsewhere.Folding(measure.nothing()).total() is None


def test_what_cannot_be_an_engine_says_what_can(files: Path) -> None:
    for engine, said in [
        ("thread", "expected one of threads, processes"),
        ("processes=4", "workers="),
        (3, "got int"),
    ]:
        with pytest.raises(ChoiceError, match=said):
            tfnorm.fit(files, engine=engine)
    with pytest.raises(ChoiceError, match="other workers than threads read files"):
        tfnorm.fit({"a": [1.0, 2.0]}, engine="processes")


def test_an_executor_without_workers_says_so(files: Path) -> None:
    class Gone(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            from concurrent.futures.process import BrokenProcessPool

            raise BrokenProcessPool("all died")

    with pytest.raises(ChoiceError, match="Make a new one and run again"):
        tfnorm.fit(files, engine=Gone())


def test_nothing_for_long_is_given_to_another_worker(files: Path) -> None:
    import threading

    hung = threading.Event()
    first = iter([True])

    class Slow(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            if next(first, False):
                return super().submit(hung.wait)
            return super().submit(fn, *args, **kwargs)

    with Slow(2) as pool:
        fitted = tfnorm.fit(files, "standard", engine=Executors(pool, 2, patience=0.5))
        hung.set()
    assert same(fitted, tfnorm.fit(files, "standard"))


@pytest.mark.parametrize("engine", ["processes", "here"])
def test_files_are_written_as_one_process_writes_them(files: Path, tmp_path: Path, engine: Any) -> None:
    fitted = tfnorm.fit(files, {"a": "standard", "c": "standard.by('k')", "v": "whiten"}, out_of_range="clip")
    found: Any = Here(lambda sent: [sent[0], *sent]) if engine == "here" else engine
    workers = 2 if engine == "processes" else None
    told: list[Any] = []
    rows = fitted.transform_files(files, tmp_path / "one")
    fired = dict(fitted.fired)
    fitted.fired.clear()
    assert fitted.transform_files(files, tmp_path / "two", engine=found, workers=workers, callback=told.append) == rows
    assert dict(fitted.fired) == fired
    assert (told[-1].done, told[-1].share) == (15_000, 1.0)
    assert names(tmp_path / "two") == names(tmp_path / "one") == names(files)
    for path in (tmp_path / "one").iterdir():
        assert pq.read_table(path).equals(pq.read_table(tmp_path / "two" / path.name))
    fitted.transform_files(tmp_path / "two", tmp_path / "back", inverse=True, only=["a"], engine=found)
    assert pq.read_table(tmp_path / "back" / "part-0.parquet")["a"].to_numpy() == pytest.approx(
        pq.read_table(files / "part-0.parquet")["a"].to_numpy(), rel=1e-12
    )


def test_where_a_file_cannot_be_written_nothing_is(files: Path, tmp_path: Path) -> None:
    fitted = tfnorm.fit(files, {"a": "standard"})
    bad = tmp_path / "bad"
    bad.mkdir()
    for path in files.iterdir():
        (bad / path.name).write_bytes(path.read_bytes())
    data = bytearray((bad / "part-3.parquet").read_bytes())
    data[200] ^= 255
    (bad / "part-3.parquet").write_bytes(data)
    with pytest.raises(DataError, match=r"part-3.parquet: it cannot be read"):
        fitted.transform_files(bad, tmp_path / "out", engine=Here(lambda sent: sent))
    assert names(tmp_path) == ["bad"]


def test_the_command_line_takes_an_engine(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tfnorm import cli

    norm = str(tmp_path / "norm.json")
    assert (
        cli.main(["fit", str(files), "-t", "robust", "--engine", "processes", "--workers", "2", "-q", "-o", norm]) == 0
    )
    assert tfnorm.load(norm).fingerprint == tfnorm.fit(files, "robust").fingerprint
    out = str(tmp_path / "out")
    assert cli.main(["transform", norm, str(files), "-o", out, "--engine", "processes", "-q"]) == 0
    assert cli.main(["check", norm, str(files), "--engine", "processes", "-q"]) == 0
    assert cli.main(["inverse", norm, out, "-o", str(tmp_path / "back"), "--engine", "processes", "-q"]) == 0
    assert len(names(tmp_path / "back")) == 5
    assert cli.main(["scan", str(files), "--engine", "proceses"]) == 1
    assert "expected one of threads, processes, beam, dask, ray, spark" in capsys.readouterr().err


def test_what_was_measured_of_no_rows_comes_back_too(files: Path) -> None:
    from tfnorm.fitting import planned
    from tfnorm.measuring import Measure
    from tfnorm.sources import open_source
    from tfnorm.states import read, written

    _, _, _, wants = planned(open_source(files), CHOICE, -1, None)
    nothing = Measure(tuple(wants), frozenset(), 1000, None).nothing()
    sent = written(nothing)
    assert written(read(sent, nothing)) == sent
