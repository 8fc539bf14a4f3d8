"""What goes wrong, said in one form: what came, what was expected, what to do, with file, column and row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class TfnormError(ValueError):
    """Every error that tfnorm raises on purpose. Its message is for the user: catch it, print it."""


class DataError(TfnormError):
    """The data cannot be used as asked: a type, a shape, a value, a file."""


class ChoiceError(TfnormError):
    """The choice of techniques is not one: an unknown name, a wrong argument, a column that is not there."""


class ArtefactError(TfnormError):
    """A saved file is not a whole, sound artefact of a version this tfnorm reads."""


class NotInvertibleError(TfnormError):
    """The way back was asked of a map that has none (a unit norm forgets the length)."""


def last_line(error: BaseException, limit: int = 200) -> str:
    """What an error that came from elsewhere says: of a remote traceback the last line, of others the first, cut where long.

    >>> last_line(ValueError("An exception:\\nTraceback (most recent call last):\\n  ...\\nOSError: gone\\n SQLSTATE: 1"))
    'OSError: gone'
    """
    lines = [line for one in str(error).splitlines() if (line := one.partition("SQLSTATE:")[0].strip())]
    said = (lines or [type(error).__name__])[-1 if any("Traceback" in line for line in lines) else 0]
    return said if len(said) <= limit else said[:limit] + "..."


@contextmanager
def needs(extra: str, what: str, kind: type[TfnormError] = DataError) -> Iterator[None]:
    """Around the import of an optional library: the error without it says how to install it."""
    try:
        yield
    except ImportError as error:
        raise kind(
            f"{what}: needs {error.name or extra}, which is not there: pip install 'tfnorm[{extra}]'."
        ) from error
