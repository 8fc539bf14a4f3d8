"""What a command says besides its result: messages, errors and progress, all on stderr.

The one law: stdout holds results only, and a bar is drawn only where a person looks on.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tfnorm.progress import Callback, Progress

PIPE_CLOSED = 141  # what a program has that the closing of a pipe ends (128 + SIGPIPE)


@dataclass(frozen=True)
class Terminal:
    """How much is said, and whether in color."""

    quiet: bool = False
    color: bool = True

    def say(self, message: str) -> None:
        """A message, unless quiet."""
        if not self.quiet:
            print(visible(message), file=sys.stderr, flush=True)

    def next(self, command: str) -> None:
        """The command that a user would run next, unless quiet."""
        self.say(f"next: {command}")

    @contextmanager
    def bar(self, title: str, unit: str = "rows") -> Iterator[Callback | None]:
        """A progress bar with rows (or another `unit`), megabytes, rows a second and the time left; gives what to call."""
        if self.quiet or not sys.stderr.isatty():
            yield None
            return
        from rich import progress
        from rich.console import Console

        console = Console(stderr=True, no_color=not self.color or bool(os.environ.get("NO_COLOR")))
        text, left = progress.TextColumn, progress.TimeRemainingColumn()
        parts = (text("{task.description}"), progress.BarColumn(), text("{task.fields[done]}"), left)
        with progress.Progress(*parts, console=console, transient=True) as shown:
            task = shown.add_task(title, total=None, done="")

            def advance(now: Progress) -> None:
                share = now.share
                total = None if share is None else 1.0
                shown.update(task, completed=share or 0.0, total=total, done=progress_words(now, unit))

            yield advance


def progress_words(now: Progress, unit: str) -> str:
    """What stands beside a bar.

    >>> progress_words(Progress(1_500_000, None, 250_000_000, 4_000_000_000, 3.0), "rows")
    '1,500,000 rows, 500,000 rows/s, 250 of 4,000 MB'
    """
    speed = f", {now.done / now.seconds:,.0f} {unit}/s" if now.seconds > 0 else ""
    size = f", {now.num_bytes / 1e6:,.0f} of {now.total_bytes / 1e6:,.0f} MB" if now.total_bytes else ""
    return f"{now.done:,} {unit}{speed}{size}"


def result(text: str) -> None:
    """A result, on stdout. Where nobody reads it any more (`| head`), that is the end, without a word."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(PIPE_CLOSED) from None


def fail(message: str) -> None:
    """An error, in one line."""
    print(f"tfnorm: error: {visible(' '.join(message.split()))}", file=sys.stderr, flush=True)


def visible(text: str) -> str:
    r"""Without what would steer the terminal or turn the text around: names of files may hold anything.

    >>> print(visible("a\x1b[31m\u202eb"))
    a\x1b[31m\u202eb
    """
    return "".join(c if c.isprintable() or c in "\n\xa0" else ascii(c)[1:-1] for c in text)


@contextmanager
def silent_start() -> Iterator[None]:
    """TensorFlow's start without its messages: compiled code writes to the file behind stderr, past Python."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def show_log(quiet: bool) -> None:
    """What the library logs ("compiling ...") as plain messages."""
    logger = logging.getLogger("tfnorm")
    logger.handlers = [logging.StreamHandler(sys.stderr)]
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logging.getLogger("tfnorm.policies").setLevel(logging.WARNING)  # told in sum when a command is done
