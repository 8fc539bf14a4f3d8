"""Attributes computed when they are first asked for.

The one law: it is computed by whoever asks, and nobody waits for another. `functools.cached_property` holds a lock up to
Python 3.11, one for all objects of a class: threads that measure blocks of rows would take turns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801  # a decorator
    """As `functools.cached_property`, without its lock: two threads that ask one object at once both compute.

    >>> class Square:
    ...     @lazy
    ...     def area(self):
    ...         print("computed")
    ...         return 4
    >>> square = Square()
    >>> square.area, square.area
    computed
    (4, 4)
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute, self.__doc__ = compute, compute.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> T:
        value = instance.__dict__[self.compute.__name__] = self.compute(instance)
        return value
