"""What becomes of the spread of a predicted distribution, where its mean comes back through a map.

The one law: where `y = s * x + t`, the deviation of y is |s| times that of x, its variance s² times, and the logarithm of its
variance 2 log|s| more. So the map of a spread is an affine map, too, and only affine maps have one.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfnorm.errors import ChoiceError, NotInvertibleError
from tfnorm.maps.core import Affine, Chain, Identity, Map, chain
from tfnorm.maps.curves import Fill
from tfnorm.maps.keyed import ByKey
from tfnorm.maps.limits import Unless, Within

SPREADS = ("deviation", "variance", "log_variance")


def spread_of(step: Map, of: str) -> Map:
    """The map of a spread that belongs to numbers of this map: `inverse` brings it back to (the square of) real units.

    of: "deviation", "variance" or "log_variance" (natural logarithm).
    A chain's slope is the product of its stages'; a fill and a limit of the domain are identities where there is a number.

    Errors: ChoiceError (no such spread; the logarithm of a variance of 0), NotInvertibleError (the map bends, clips or mixes).

    >>> minutes = Affine(center=np.array([30.0]), scale=np.array([0.5]), offset=np.array([0.0]))
    >>> {of: spread_of(minutes, of).inverse(np.array([1.0]), np).tolist() for of in SPREADS}
    {'deviation': [2.0], 'variance': [4.0], 'log_variance': [2.386294361119891]}
    """
    if of not in SPREADS:
        raise ChoiceError(f'expected "mean" or one of {", ".join(SPREADS)}, got {of!r}.')
    if isinstance(step, Affine):
        return _of_affine(step, of)
    if isinstance(step, Chain):
        return chain(*(spread_of(one, of) for one in step.maps))
    if isinstance(step, ByKey):
        inner = spread_of(step.inner, of)
        return dataclasses.replace(step, inner=inner) if inner.arrays() else inner
    if isinstance(step, Unless):
        return dataclasses.replace(step, step=spread_of(step.step, of))
    if isinstance(step, Identity | Fill | Within):
        return Identity()
    raise NotInvertibleError(
        f"{type(step).__name__} is not affine, so a {of.replace('_', ' ')} does not come back by one factor. Choose "
        "standard, minmax, robust or another affine technique for this column, or predict its mean alone"
    )


def _of_affine(step: Affine, of: str) -> Affine:
    none, one = np.zeros_like(step.scale), np.ones_like(step.scale)
    if of == "log_variance":
        if step.has_constant:
            raise ChoiceError("the data do not vary, so the variance is 0 and has no logarithm. Predict the variance")
        return Affine(none, one, 2 * np.log(np.abs(step.scale)))
    size = np.abs(step.scale)
    return Affine(none, size if of == "deviation" else size * size, none, step.has_constant)
