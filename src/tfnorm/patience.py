"""How long workers elsewhere are waited for, by every engine and every source whose rows others hold.

The one law: who is not heard of for that long is taken to hang; what it had is asked for again, and counts once.
"""

from __future__ import annotations

ATTEMPTS = 3  # in a row that nothing new came of; then it is an error
PATIENCE = 1800.0
"""Seconds without news. A task that takes longer by itself is taken to hang, too: tasks are cut short of that."""


def waits() -> tuple[float, ...]:
    """Seconds for each attempt where what others put before it may take any time: each time twice as long.

    >>> waits()
    (1800.0, 3600.0, 7200.0)
    """
    return tuple(PATIENCE * 2**attempt for attempt in range(ATTEMPTS))
