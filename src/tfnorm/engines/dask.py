"""Dask: workers of a scheduler that is there already, by its address or a client.

The one law: Dask replaces the workers that die, and what it gives up we ask for again.
"""

from __future__ import annotations

from typing import Any

from tfnorm.engines.executor import Executors
from tfnorm.errors import ChoiceError, needs

RETRIES = 3  # of a task that fails where it runs


class Dask:
    """How `engine="dask"` finds its workers."""

    @staticmethod
    def at(address: str | None) -> Executors:
        """Those of the scheduler at that address ("tcp://host:8786"); of the client there is, or of Dask's own setting."""
        with needs("dask", "Dask", ChoiceError):
            import dask
            from distributed import Client
        try:
            there = Client.current()
        except ValueError:
            there = None
        if there is not None and address in (None, there.scheduler.address):
            return Dask.of(there)
        if address is None and not dask.config.get("scheduler-address", None):
            raise ChoiceError(
                'engine: "dask" needs the address of a scheduler: "dask=tcp://host:8786", or DASK_SCHEDULER_ADDRESS. To try '
                "it on this machine: engine=distributed.Client()."
            )
        try:
            return Dask.of(Client(address))
        except (OSError, ValueError) as error:
            where = address or dask.config.get("scheduler-address")
            raise ChoiceError(f"engine: no Dask scheduler answers at {where}: {error}. Is it running?") from error

    @staticmethod
    def of(client: Any) -> Executors:
        """Those of a client."""
        threads = sum(client.nthreads().values())  # none yet where they are still starting
        return Executors(client.get_executor(pure=False, retries=RETRIES), max(1, threads))
