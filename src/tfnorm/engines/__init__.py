"""Who runs a pass.

The one law: an engine computes `fold(map(measure, shards))` and nothing else; shards are folded in their order in a fixed
tree, so the result has the same bits for any number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Fold(Generic[T]):
    """Adds states in order, in the tree of a binary counter: any two of the same weight as soon as they are neighbours.

    Never more than log2(n) states are held. `None` stands for no state yet.

    >>> fold = Fold(lambda a, b: f"({a}+{b})")
    >>> for letter in "abcde":
    ...     fold.push(letter)
    >>> fold.total()
    '(((a+b)+(c+d))+e)'
    """

    def __init__(self, add: Callable[[T, T], T]) -> None:
        self._add = add
        self._stack: list[tuple[int, T]] = []  # (how many doublings it has behind it, state), heaviest first

    def push(self, state: T) -> None:
        height = 0
        while self._stack and self._stack[-1][0] == height:
            state = self._add(self._stack.pop()[1], state)
            height += 1
        self._stack.append((height, state))

    def total(self) -> T | None:
        stack = [state for _, state in self._stack]
        if not stack:
            return None
        total = stack.pop()
        while stack:
            total = self._add(stack.pop(), total)
        return total


S = TypeVar("S")
Engine = Callable[[Callable[[S], T], Iterable[S], Callable[[T, T], T]], T | None]
"""`engine(measure, shards, add)`: None where there are no shards."""
