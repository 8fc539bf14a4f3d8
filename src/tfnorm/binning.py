"""Where the bins of a picture lie, and how much is in each: every drawing and every row of block characters asks here.

The one law: the shares of the bins and of what lies beyond them add up to all values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfnorm.curve import Curve

CUT_FROM = 1000.0  # from so many values on, the bins leave out the outermost
CUT = 0.01  # this share of them at either end


@dataclass(frozen=True)
class Bins:
    """Bins side by side, equally wide, and the share of all values that lies in each."""

    edges: np.ndarray  # (bins + 1,) rising
    shares: np.ndarray  # (bins,) 0 to 1
    below: float  # the share below the first edge
    above: float  # ... and above the last

    @property
    def low(self) -> float:
        return float(self.edges[0])

    @property
    def high(self) -> float:
        return float(self.edges[-1])


def view(curve: Curve) -> tuple[float, float] | None:
    """From where to where a distribution is drawn; None where it has no width.

    From the smallest value to the largest, or from CUT_FROM values on from the 1 % to the 99 % quantile, unless these
    coincide.

    >>> import tfnorm
    >>> view(tfnorm.scan([0.0, 1.0, 5.0])["x"].curve())
    (0.0, 5.0)
    """
    if not len(curve.count):
        return None
    low, high = curve.quantiles(np.array([CUT, 1 - CUT]))
    if curve.total < CUT_FROM or not low < high:
        low, high = float(curve.low.min()), float(curve.high.max())
    return (low, high) if low < high else None


def common_view(*curves: Curve) -> tuple[float, float] | None:
    """From where to where several distributions are drawn on the same bins."""
    ends: list[float] = []
    for curve in curves:
        if len(curve.count):
            ends += view(curve) or (float(curve.low.min()), float(curve.high.max()))
    return (min(ends), max(ends)) if ends and min(ends) < max(ends) else None


def binned(curve: Curve, low: float, high: float, bins: int) -> Bins:
    """A distribution in equal bins from `low` to `high`; a value on an edge is in the bin below, one on the first in the first.

    >>> import tfnorm
    >>> binned(tfnorm.scan([0.0, 1.0, 2.0, 4.0])["x"].curve(), 0.0, 4.0, 2).shares.tolist()
    [0.75, 0.25]
    """
    part = np.arange(bins + 1) / bins
    edges = low * (1 - part) + high * part
    edges[0], edges[-1] = low, high
    asked = edges.copy()
    asked[0] = np.nextafter(low, -np.inf)
    upto = curve.cumulative(asked) if len(curve.count) else np.zeros(bins + 1)
    shares = np.maximum(np.diff(upto), 0.0)
    return Bins(edges, shares, float(upto[0]), max(0.0, 1.0 - float(upto[-1])) if len(curve.count) else 0.0)


def bins_of(curve: Curve, bins: int) -> Bins | None:
    """A distribution in so many equal bins of its own view; None where it has no width."""
    ends = view(curve)
    return None if ends is None else binned(curve, *ends, bins)
