"""Apache Spark: descriptions of tasks go out, a partition of a DataFrame each, and its workers read the files themselves.

The one law: nothing but the DataFrame API is used, so a cluster, one machine and Spark Connect are the same to us. Rows never
pass through the JVM: only states do.

Tasks go out as several jobs, some of which wait in line, so that the driver holds the states of these alone.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import Any, ClassVar

from tfnorm.engines import LostError, Task
from tfnorm.errors import ChoiceError, last_line, needs
from tfnorm.patience import PATIENCE
from tfnorm.spark_jobs import Jobs

JOB_TASKS = 256  # whose descriptions go out, and whose states come back, at once
LOOK = 1.0  # seconds after which one looks again how far jobs are
_log = logging.getLogger("tfnorm")


@dataclass(frozen=True)
class Spark:
    """The workers behind a session, classic or of Spark Connect; tfnorm is installed where their Python is."""

    tasks_each: ClassVar[int] = (
        4  # starting one takes a Python worker as long as it measures some hundred thousand numbers
    )

    session: Any
    patience: float = PATIENCE  # seconds in which no task that runs has ended, after which jobs are given up

    @classmethod
    def at(cls, address: str | None) -> Spark:
        """The session there is, or one by the settings of spark-submit and the environment; "spark://host:7077" is a master,
        "sc://host" a Spark Connect server."""
        with needs("spark", "engine: spark", ChoiceError):
            from pyspark.sql import SparkSession
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # Spark would start "python3", whichever that is
        builder: Any = SparkSession.builder
        try:
            if address is None:
                return cls(builder.getOrCreate())
            if address.startswith("sc://"):
                return cls(builder.remote(address).getOrCreate())
            running = SparkSession.getActiveSession()
            if running is not None and running.conf.get("spark.master", None) != address:
                raise ChoiceError(
                    f"engine: spark: a session runs already, of {running.conf.get('spark.master', None)}, and not of {address}. "
                    "Pass that session as engine, or stop it."
                )
            return cls(builder.master(address).appName("tfnorm").getOrCreate())
        except ImportError as error:  # Spark Connect needs more libraries
            raise ChoiceError(f"engine: spark: {last_line(error)} pip install 'pyspark[connect]'.") from error
        except ChoiceError:
            raise
        except Exception as error:  # each way to connect has errors of its own
            where = f" at {address}" if address else ""
            raise ChoiceError(f"engine: spark: there is none{where}: {last_line(error)}. Is it running?") from error

    @classmethod
    def of(cls, session: Any) -> Spark:
        """A session that somebody has made."""
        if not hasattr(session, "createDataFrame"):
            raise ChoiceError(
                f"engine: expected a SparkSession, got {type(session).__name__}. Pass SparkSession.builder.getOrCreate()."
            )
        return cls(session)

    @cached_property
    def parallel(self) -> int:
        """Into how many parts Spark cuts what nobody has cut: as a rule as many as there are cores."""
        part = self.session.range(1 << 16).selectExpr("spark_partition_id() AS part")
        return int(part.agg({"part": "max"}).collect()[0][0]) + 1

    def __call__(self, work: Callable[[Task], bytes], tasks: Sequence[Task]) -> Iterator[bytes]:
        size = min(max(8, 2 * self.parallel), JOB_TASKS)
        at_once = 2 * self.parallel // size + 1  # that no core is idle when one job ends
        todo, said = iter(tasks), ""
        waiting: set[Future[list[bytes]]] = set()
        pool = ThreadPoolExecutor(at_once, "tfnorm-spark")
        with Jobs(self.session) as jobs:
            try:
                while True:
                    while len(waiting) < at_once and (some := list(islice(todo, size))):
                        waiting.add(pool.submit(jobs.of(partial(self._job, work, some))))
                    if not waiting:
                        break
                    finished, waiting = wait(waiting, timeout=LOOK, return_when=FIRST_COMPLETED)
                    for future in finished:
                        try:
                            yield from future.result()
                        except Exception as error:  # Spark tried it several times
                            said = f"Spark says: {last_line(error)}"
                            if "No module named" in said:
                                said += ". Install it where the workers' Python is, which PYSPARK_PYTHON tells"
                            _log.warning("a job of Spark failed: %s", said)
                    if jobs.idle() > self.patience:  # its tasks are ended with it, and their processes
                        raise LostError(f"no task of Spark has ended for {self.patience:g} seconds")
                if said:
                    raise LostError(said)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                if waiting:
                    jobs.cancel()

    def _job(self, work: Callable[[Task], bytes], tasks: Sequence[Task]) -> list[bytes]:
        from pyspark.cloudpickle import dumps

        described = [dumps(task) for task in tasks]

        def measured(batches: Iterator[Any]) -> Iterator[Any]:
            import pyarrow as pa
            from pyspark.cloudpickle import loads

            for batch in batches:
                for number in batch.column("id").to_pylist():
                    state = pa.array([work(loads(described[number]))], pa.binary())
                    yield pa.RecordBatch.from_arrays([state], ["state"])

        each = self.session.range(0, len(tasks), 1, len(tasks))  # a partition a task
        return [bytes(row[0]) for row in each.mapInArrow(measured, "state binary").collect()]
