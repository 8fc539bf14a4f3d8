"""Losses and condition numbers as people read them.

The one law: three significant digits, everywhere.
"""

from __future__ import annotations

import math


def short(value: float) -> str:
    """Three significant digits; - for none.

    >>> [short(value) for value in (0.123456, 1234.5, 1.5e9, float("inf"), float("nan"), 0.0)]
    ['0.123', '1,230', '1.5e+09', 'inf', '-', '0']
    """
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if 100 <= abs(rounded) < 1e6 else f"{rounded:.3g}"
