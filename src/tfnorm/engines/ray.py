"""Ray: the cluster that this process is connected to, or is connected to now.

The one law: Ray runs again what was on a worker or a host that died, and what it gives up we ask for again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from tfnorm.engines import Task
from tfnorm.engines.executor import submitted
from tfnorm.errors import ChoiceError, needs
from tfnorm.patience import PATIENCE

RETRIES = 3  # of a task whose worker or host died


@dataclass(frozen=True)
class Ray:
    """Tasks of Ray, one core each."""

    patience: float = PATIENCE  # seconds without any result after which what is waited for is given to others, too

    @staticmethod
    def at(address: str | None) -> Ray:
        """The cluster at that address ("auto", "ray://host:10001"), or Ray's own choice: RAY_ADDRESS, one that runs on this
        machine, or a new one in its cores."""
        with needs("ray", "Ray", ChoiceError):
            import ray
        if not ray.is_initialized():
            try:
                ray.init(address=address)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise ChoiceError(f"engine: no Ray cluster answers at {address or 'RAY_ADDRESS'}: {error}") from error
        return Ray()

    @property
    def parallel(self) -> int:
        import ray

        return max(1, int(ray.cluster_resources().get("CPU", 1)))

    def __call__(self, work: Callable[[Task], bytes], tasks: Sequence[Task]) -> Iterator[bytes]:
        here = _Tasks(work)
        try:
            yield from submitted(here, work, tasks, 4 * self.parallel, self.patience, copies=2)
        finally:
            here.cancel()


class _Tasks:
    """Ray's tasks under the face of an executor."""

    def __init__(self, work: Callable[[Task], bytes]) -> None:
        import ray

        self._remote = ray.remote(num_cpus=1, max_retries=RETRIES)(_run)
        self._work = ray.put(work)  # sent to a host once
        self._running: dict[Future[bytes], Any] = {}

    def submit(self, work: Callable[[Task], bytes], task: Task) -> Future[bytes]:  # noqa: ARG002  # as an executor has it
        reference = self._remote.remote(self._work, task)
        future: Future[bytes] = reference.future()
        self._running[future] = reference
        future.add_done_callback(lambda done: self._running.pop(done, None))
        return future

    def cancel(self) -> None:
        """What nobody waits for any longer."""
        import ray

        for reference in list(self._running.values()):
            ray.cancel(reference, force=True)


def _run(work: Callable[[Task], bytes], task: Task) -> bytes:
    return work(task)
