"""What the drop-in layers are called.

The one law: a name is made of its technique's, so a new technique has its layer without being listed anywhere.
"""

from __future__ import annotations

# as Keras calls them, or where a technique's name does not show its words
_CALLED = {
    "standard": "Normalization",
    "minmax": "MinMax",
    "maxabs": "MaxAbs",
    "l1": "L1Norm",
    "l2": "UnitNorm",
    "linf": "MaxNorm",
}


def layer_name(technique: str) -> str:
    """The name of a technique's layer.

    >>> layer_name("minmax"), layer_name("yeo_johnson"), layer_name("standard")
    ('MinMax', 'YeoJohnson', 'Normalization')
    """
    return _CALLED.get(technique) or "".join(part.capitalize() for part in technique.split("_"))
