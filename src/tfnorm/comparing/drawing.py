"""The picture of a comparison: loss over steps, a line a contender with a band over its seeds.

The one law: what is drawn is what the table says, in the table's order.
"""

from __future__ import annotations

from typing import Any

from tfnorm.comparing.values import Comparison


def draw(found: Comparison, path: Any) -> Any:
    raise NotImplementedError
