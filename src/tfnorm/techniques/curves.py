"""Techniques that bend the scale, each number by itself.

The one law: what they keep, drop and are defined on is the map's own word (`tfnorm.maps.curves`).
"""

from __future__ import annotations

from tfnorm import maps
from tfnorm.maps import Map
from tfnorm.techniques.core import technique


@technique
def log1p() -> Map:
    """log(1 + x)

    Draws in long right tails of data from 0 up (counts, money, durations). Keeps zero and order, not distances; defined
    above -1. Choose it before `standard`: `["log1p", "standard"]`.

    >>> import tfnorm
    >>> tfnorm.fit([[0.0], [9.0]], "log1p").transform([[9.0]]).round(6)
    array([[2.302585]])
    """
    return maps.Log1p()
