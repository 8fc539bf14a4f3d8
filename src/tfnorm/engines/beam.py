"""The engine of Apache Beam: Dataflow, Flink, Spark and Beam's own runner, by pipeline options.

The one law: a pipeline has no way back but files: each result is a file in a folder that workers and driver share, is read as
soon as it is there, and deleted. So what a pipeline had done when it failed is not asked for again.
"""

from __future__ import annotations

import logging
import os
import shlex
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from tempfile import gettempdir
from typing import Any

from tfnorm.engines import LostError, Task
from tfnorm.errors import ChoiceError, needs
from tfnorm.patience import PATIENCE

HERE = ("directrunner", "fnapirunner", "bundlebaseddirectrunner", "switchingdirectrunner", "prismrunner")
"""Runners whose workers are processes of this machine, and find its temporary folder."""

ENDING = ".state"
WORKER = "run_worker"  # the thread in which Beam's own runner waits for the end of a process that it has started
GRACE = 3.0  # seconds between the end of the workers and that of the pipeline
_log = logging.getLogger("tfnorm")


@dataclass(frozen=True)
class Beam:
    """Pipelines with these options."""

    options: Any  # apache_beam's PipelineOptions
    patience: float = PATIENCE  # seconds without any result after which a pipeline is given up

    @staticmethod
    def at(address: str | None) -> Beam:
        """By a runner's name, or options as on a command line; without either, those of this command line."""
        with needs("beam", 'engine="beam"', ChoiceError):
            from apache_beam.options.pipeline_options import PipelineOptions
        if address is None:
            return Beam.of(PipelineOptions())
        words = shlex.split(address)
        return Beam.of(PipelineOptions(words if words[0].startswith("-") else [f"--runner={words[0]}", *words[1:]]))

    @staticmethod
    def of(options: Any) -> Beam:
        """By `PipelineOptions`."""
        from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

        if not isinstance(options, PipelineOptions):
            raise ChoiceError(f"engine: of Apache Beam expected PipelineOptions, got {type(options).__name__}.")
        beam = Beam(options)
        if beam._runner.lower() not in HERE and not options.view_as(GoogleCloudOptions).temp_location:
            raise ChoiceError(
                f"engine: {beam._runner} needs a folder that its workers and this machine share, for what they send back. "
                "Say --temp_location=FOLDER."
            )
        return beam

    @property
    def parallel(self) -> int:
        from apache_beam.options.pipeline_options import DirectOptions, WorkerOptions

        if self._runner.lower() in HERE:
            return int(self.options.view_as(DirectOptions).direct_num_workers) or os.cpu_count() or 1
        workers = self.options.view_as(WorkerOptions)
        return int(workers.max_num_workers or workers.num_workers or 64)

    @property
    def _runner(self) -> str:
        """The default one would first look for a program to download."""
        from apache_beam.options.pipeline_options import StandardOptions

        return str(self.options.view_as(StandardOptions).runner or "FnApiRunner").rpartition(".")[2]

    def __call__(self, work: Callable[[Task], bytes], tasks: Sequence[Task]) -> Iterator[bytes]:
        from apache_beam.io.filesystems import FileSystems
        from apache_beam.options.pipeline_options import GoogleCloudOptions

        FileSystems.set_options(self.options)
        base = self.options.view_as(GoogleCloudOptions).temp_location or gettempdir()
        folder = FileSystems.join(base, f"tfnorm-{uuid.uuid4().hex}")
        FileSystems.mkdirs(folder)
        pipeline = _Running(self, _Kept(work, folder), tasks)
        # the process may end while it runs
        threading.Thread(target=pipeline.run, name="tfnorm-beam", daemon=True).start()
        last = time.monotonic()
        try:
            while True:
                over = pipeline.over.wait(_pause(time.monotonic() - last))
                for message in _taken(folder):
                    last = time.monotonic()
                    yield message
                if over:
                    break
                if reason := pipeline.hangs(time.monotonic() - last, self.patience):
                    raise LostError(f"the pipeline is given up: {reason}")
            if pipeline.error is not None:
                raise LostError(f"the pipeline failed: {pipeline.error}")
        finally:
            pipeline.cancel()
            FileSystems.delete([folder])


def _pause(idle: float) -> float:
    """Seconds until somebody looks again: of a folder in the cloud, listing costs."""
    return min(5.0, max(0.05, idle / 4))


def _taken(folder: str) -> Iterator[bytes]:
    """What has come; each file is deleted when it is read."""
    from apache_beam.io.filesystems import FileSystems

    (found,) = FileSystems.match([FileSystems.join(folder, f"*{ENDING}")])
    for one in found.metadata_list:
        with FileSystems.open(one.path) as file:
            message = file.read()
        FileSystems.delete([one.path])
        yield message


@dataclass(frozen=True)
class _Kept:
    """Does a task, and puts what it gives into a file of its own: picklable."""

    work: Callable[[Task], bytes]
    folder: str

    def __call__(self, task: Task) -> int:
        from apache_beam.io.filesystems import FileSystems

        path = FileSystems.join(self.folder, f"{task.number}-{uuid.uuid4().hex}")
        message = self.work(task)
        with FileSystems.create(path) as file:
            file.write(message)
        FileSystems.rename([path], [path + ENDING])  # whole, or not there
        return task.number


class _Running:
    """A pipeline in a thread."""

    def __init__(self, beam: Beam, kept: _Kept, tasks: Sequence[Task]) -> None:
        self._beam, self._kept, self._tasks = beam, kept, tasks
        self._result: Any = None
        self._others = set(threading.enumerate())
        self._workers: set[threading.Thread] = set()
        self.over = threading.Event()
        self.error: str | None = None

    def run(self) -> None:
        import apache_beam as beam

        try:
            pipeline = beam.Pipeline(runner=self._beam._runner, options=self._beam.options)
            tasks = pipeline | "tasks" >> beam.Create(self._tasks) | beam.Reshuffle()
            _ = tasks | "measure" >> beam.Map(self._kept)
            self._result = pipeline.run()
            self._result.wait_until_finish()
        except Exception as error:  # of the runner: whatever it likes
            self.error = f"{type(error).__name__}: {str(error).strip().splitlines()[-1:]}"
        finally:
            self.over.set()

    def hangs(self, idle: float, patience: float) -> str:
        """Why nothing more will come; empty where something may. Beam's own runner waits forever for workers that died."""
        alive = set(threading.enumerate())
        self._workers |= {one for one in alive - self._others if one.name == WORKER}
        if idle > GRACE and not self.over.is_set() and not self._workers <= alive:
            return "a worker died"
        return f"nothing came for {patience:g} seconds" if idle > patience else ""

    def cancel(self) -> None:
        """Where it is still running, and can be stopped."""
        if self._result is not None and not self.over.is_set():
            try:
                self._result.cancel()
            except Exception as error:  # it has ended meanwhile, or its runner cannot
                _log.info("the pipeline could not be cancelled: %s", error)
