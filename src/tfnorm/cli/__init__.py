"""The command line.

The one law: results on stdout, all else on stderr, and nothing is loaded that a command does not need: none but `demo`,
`compare`, `export` and `verify` loads TensorFlow.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from typing import Annotated, Any

import typer

import tfnorm

# ruff: isort: off
from tfnorm.cli import main_job as main_job  # the order in which they are listed
from tfnorm.cli import advise as advise
from tfnorm.cli import compare as compare
from tfnorm.cli import check as check
from tfnorm.cli import report as report
from tfnorm.cli import export as export

# ruff: isort: on
from tfnorm.cli.common import app
from tfnorm.errors import TfnormError
from tfnorm.terminal import fail, result


def _version(wanted: bool) -> None:
    if wanted:
        result(f"tfnorm {tfnorm.__version__}")
        raise typer.Exit


@app.callback()
def _tfnorm(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Normalize training data for TensorFlow and Keras.

    \b
    tfnorm fit 'train/*.parquet' -t standard -o norm.json
    tfnorm show norm.json
    tfnorm transform norm.json test.parquet -o normalized.parquet
    """


def _terminated(number: int, _frame: Any) -> None:
    raise SystemExit(128 + number)  # so that what is half-written is cleared away


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks block characters shows ?
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)
    try:
        app(args=arguments, prog_name="tfnorm")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except TfnormError as error:
        fail(str(error))
    except MemoryError:
        fail("out of memory. Use fewer threads (--workers 1), or fewer columns at a time (--set).")
    except OSError as error:
        fail(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
    except ImportError as error:
        fail(str(error))
    except KeyboardInterrupt:
        return 130
    return 1
