"""Each script of examples/ runs as it is, in a folder of its own, and says what it is there to say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
SCRIPTS = {path.stem: path for path in sorted(EXAMPLES.glob("*.py"))}
SAYS = {  # script -> what its output must have in it, numbers of trained models by their size
    "back_to_dollars": r"off by less than (\d|1\d)%",
    "check_todays_data": r"no drift in 10 columns[\s\S]*\n  bp: severe: normalized already[\s\S]*\n  s6: severe: 3\d% missing",
    "checkpointed_fit": r"stopped after 3 of 10[\s\S]*500,000 rows; as a run never stopped: True\n[\s\S]*600,000 rows, 12",
    "keras_with_dataframe": r"right on (9\d|100)%[\s\S]*largest difference is 0e\+00",
    "sklearn_pipeline": r"identity +R2 0\.\d+\n[\s\S]*best: \w",
    "too_big_for_memory": r"1,600,000 rows of 20 columns: 256 MB of numbers\nthe peak of memory grew by \d?\d MB",
}
NEEDS = {
    "back_to_dollars": ("keras",),
    "check_todays_data": ("pandas", "sklearn"),
    "keras_with_dataframe": ("keras", "pandas", "sklearn"),
    "sklearn_pipeline": ("sklearn",),
    "too_big_for_memory": ("resource",),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_script_says_what_it_is_there_to_say(name: str, tmp_path: Path) -> None:
    for module in NEEDS.get(name, ()):
        pytest.importorskip(module)
    how = {"cwd": tmp_path, "env": {**os.environ, "COLUMNS": "100"}, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, SCRIPTS[name]], check=False, timeout=300, **how)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(SAYS[name], done.stdout), done.stdout
    assert list(tmp_path.iterdir()) == []  # it leaves nothing behind


def test_each_script_tells_how_it_is_run_and_is_in_the_docs() -> None:
    page = (EXAMPLES.parent / "docs" / "examples.md").read_text(encoding="utf-8")
    for name, path in SCRIPTS.items():
        assert f"{{literalinclude}} ../examples/{name}.py\n" in page
        assert f"\nRun it: python examples/{name}.py\n" in path.read_text(encoding="utf-8")
