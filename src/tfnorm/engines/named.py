"""The table of engines: how the user's word, executor or session becomes one.

The one law: an engine's library is loaded when somebody asks for it by name, or has loaded it already.
"""

from __future__ import annotations

import importlib
from concurrent.futures import Executor
from typing import Any

from tfnorm.engines import Remote
from tfnorm.engines.threads import Threads, default_workers
from tfnorm.errors import ChoiceError

# name -> "module:class" with `at(address)`, which connects by the library's own settings where no address is given
CLUSTERS = {
    "beam": "beam:Beam",
    "dask": "dask:Dask",
    "ray": "ray:Ray",
    "spark": "spark:Spark",
}
NAMES = ("threads", "processes", *CLUSTERS)


def engine_of(engine: Any = "threads", workers: int | None = None) -> Threads | Remote:
    """What the user said: a name ("threads", "processes"; "spark", or with an address "spark=spark://host:7077"), an executor
    of `concurrent.futures`, a Spark session, a Dask client, Beam's pipeline options, or one of tfnorm's engines.

    workers: how many threads or processes, as many as there are cores by default; about how many an executor has.

    >>> engine_of("threads", 2)
    Threads(workers=2)
    """
    if workers is not None and (type(workers) is not int or workers < 1):
        raise ChoiceError(
            f"workers must be a whole number from 1, or None for as many as there are cores; got {workers!r}."
        )
    if isinstance(engine, str):
        return _by_name(engine, workers)
    if isinstance(engine, Threads):
        return engine
    if isinstance(engine, Executor) or type(engine).__module__.startswith(("distributed.", "mpi4py.")):
        return _executor(engine, workers)
    library = type(engine).__module__.partition(".")[0]
    if library == "pyspark":
        return _cluster("spark").of(engine)
    if library == "apache_beam":
        return _cluster("beam").of(engine)
    if callable(engine) and hasattr(engine, "parallel"):
        return engine
    raise ChoiceError(
        f"engine: expected one of {', '.join(NAMES)}, an executor, a Spark session, a Dask client or Beam's pipeline "
        f"options, got {type(engine).__name__}."
    )


def _by_name(text: str, workers: int | None) -> Threads | Remote:
    name, _, address = text.partition("=")
    if name not in NAMES:
        raise ChoiceError(f'engine: expected one of {", ".join(NAMES)}, or "spark=ADDRESS", got {text!r}.')
    if name in CLUSTERS:
        if workers is not None:
            raise ChoiceError(f"workers: {name} has as many as it was started with. Leave it out.")
        return _cluster(name).at(address or None)
    if address:
        raise ChoiceError(f'engine: "{name}" has no address. Say how many with workers=.')
    if name == "threads":
        return Threads(workers or default_workers())
    from tfnorm.engines.processes import Processes

    return Processes(workers or default_workers())


def _executor(executor: Any, workers: int | None) -> Remote:
    from tfnorm.engines.executor import Executors

    if hasattr(executor, "get_executor"):  # a Dask client
        there: Executors = _cluster("dask").of(executor)
        return there if workers is None else Executors(there.executor, workers)
    workers = workers or getattr(executor, "num_workers", None)  # mpi4py's tells
    return Executors(executor) if workers is None else Executors(executor, workers)


def _cluster(name: str) -> Any:
    module, _, attribute = CLUSTERS[name].partition(":")
    return getattr(importlib.import_module(f"tfnorm.engines.{module}"), attribute)
