"""MPI: workers that `mpiexec` has started, behind mpi4py's executor; one of them is killed.

Needs `pip install mpi4py mpich`, or another MPI whose mpiexec is found.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from clusters import LONG, fitted_here, write

import tfnorm

pytest.importorskip("mpi4py")
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
if MPIEXEC is None:
    pytest.skip("there is no mpiexec", allow_module_level=True)

SCRIPT = """
import os, signal, sys
import tfnorm
from mpi4py.futures import MPIPoolExecutor

done = []

def told(progress):
    done.append(progress.share)
    if deadly == "deadly" and len(done) == 3:
        os.kill(victim, signal.SIGKILL)

def loaded():
    return [name for name in ("tensorflow", "keras", "sklearn") if name in sys.modules]

if __name__ == "__main__":
    files, kept, deadly = sys.argv[1:]
    with MPIPoolExecutor() as pool:
        victim = pool.submit(os.getpid).result()
        assert victim != os.getpid()
        fitted = tfnorm.fit(files, ["robust", "standard"], engine=pool, callback=told, checkpoint=kept)
        assert pool.submit(loaded).result() == []
    assert done == sorted(done) and done[-1] == 1.0
    print("fitted", fitted.fingerprint)
"""
SETTINGS = {  # of Open MPI, which else runs neither as root nor more processes than cores
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("long"), 4, 50_000, 10)


def run(script: Path, *words: str) -> subprocess.CompletedProcess[str]:
    assert MPIEXEC is not None
    command = [MPIEXEC, "-n", "3", sys.executable, "-m", "mpi4py.futures", str(script), *words]
    source = str(Path(tfnorm.__file__).parent.parent)
    paths = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    known = {**os.environ, **SETTINGS, "PYTHONPATH": paths}
    return subprocess.run(command, env=known, capture_output=True, text=True, timeout=120, check=False)


def test_the_bits_of_one_thread_though_a_worker_is_killed(long: Path, tmp_path: Path) -> None:
    script, kept = tmp_path / "run.py", tmp_path / "kept"
    script.write_text(SCRIPT)
    expected = f"fitted {fitted_here(long, LONG).fingerprint}"
    alone = run(script, str(long), str(tmp_path / "other"), "harmless")
    assert expected in alone.stdout, alone.stderr
    ended = run(script, str(long), str(kept), "deadly")  # MPI ends all where one dies
    assert ended.returncode != 0
    assert "fitted" not in ended.stdout
    there = len(list(kept.glob("*.json")))
    assert 0 < there < 40
    again = run(script, str(long), str(kept), "harmless")
    assert expected in again.stdout, again.stderr
