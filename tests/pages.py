"""Pages that are run: what a block of Python or of the command line shows must be what it prints."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WIDTH = "100"  # columns of the terminal that pages are written for


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    language: str
    text: str
    line: int  # of the page, from 0, on which the text begins


def blocks(page: str) -> list[Block]:
    """Those that are run: Python with prompts, and "console", lines that begin with `$ tfnorm`."""
    found = [Block(m[1], m[2], page.count("\n", 0, m.start(2))) for m in FENCE.finditer(page)]
    return [b for b in found if b.language == "console" or (b.language == "python" and ">>>" in b.text)]


def run(path: Path, names: dict[str, Any] | None = None) -> int:
    """Run a page from its top to its end, as one session; how many examples it had. AssertionError tells what differs."""
    names, count = dict(names or {}), 0
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.language == "console":
            count += _run_console(path, block)
            continue
        test = doctest.DocTestParser().get_doctest(block.text, names, path.name, str(path), block.line)
        said: list[str] = []
        runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
        assert not runner.run(test, out=said.append, clear_globs=False).failed, "".join(said)
        names, count = test.globs, count + len(test.examples)
    return count


def _run_console(path: Path, block: Block) -> int:
    commands = re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]
    for command in commands:
        line, _, expected = command.partition("\n")
        program, *arguments = shlex.split(line, comments=True)
        assert program == "tfnorm", f"{path}: `{line}`: only tfnorm is run"
        done = subprocess.run(
            [sys.executable, "-m", "tfnorm", *arguments], capture_output=True, text=True, check=False, timeout=120
        )
        same = doctest.OutputChecker().check_output(expected, done.stdout, doctest.ELLIPSIS)
        assert same, f"{path}:{block.line}: $ {line}\nexpected:\n{expected}\ngot:\n{done.stdout}{done.stderr}"
    return len(commands)
