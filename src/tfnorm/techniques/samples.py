"""Techniques of a sample by its own numbers; they gather nothing.

The one law: a sample's result depends on that sample alone.
"""

from __future__ import annotations

import math
from typing import Any

from tfnorm import maps
from tfnorm.errors import ChoiceError
from tfnorm.maps import Map
from tfnorm.techniques.core import technique


@technique
def l1(axis: Any = -1) -> Map:
    """x / sum|x| of each sample

    To vectors whose absolute values add up to 1. Keeps zeros, signs and proportions, forgets the length, so it has no
    inverse. Choose it for counts of a whole (word counts, histograms). A zero vector stays zero, missing
    values stay missing and add nothing. `axis`: over which axes of the data, the last by default, None for all of a sample's.

    >>> import tfnorm
    >>> tfnorm.fit([[1.0, 3.0]], "l1").transform([[1.0, 3.0]])
    array([[0.25, 0.75]])

    scikit-learn's Normalizer("l1").
    """
    return maps.RowNorm(1.0, _axes(axis))


@technique
def l2(axis: Any = -1) -> Map:
    """x / sqrt(sum x**2) of each sample

    To vectors of Euclidean length 1. Keeps zeros, signs and the direction, forgets the length, so it has no inverse. Choose it
    where direction matters (embeddings, text vectors, cosine similarity). A zero vector stays zero. `axis` as in `l1`.

    >>> import tfnorm
    >>> tfnorm.fit([[3.0, 4.0]], "l2").transform([[3.0, 4.0]])
    array([[0.6, 0.8]])

    scikit-learn's Normalizer, Keras' UnitNormalization, without their overflow at large values.
    """
    return maps.RowNorm(2.0, _axes(axis))


@technique
def linf(axis: Any = -1) -> Map:
    """x / max|x| of each sample

    To vectors whose largest absolute value is 1. Keeps zeros, signs and proportions, forgets the length, so it has no inverse.
    Choose it where each sample has a gain of its own (signals, spectra) and its peak is the measure. A zero vector stays zero.
    `axis` as in `l1`.

    >>> import tfnorm
    >>> tfnorm.fit([[2.0, -4.0]], "linf").transform([[2.0, -4.0]])
    array([[ 0.5, -1. ]])

    scikit-learn's Normalizer("max").
    """
    return maps.RowNorm(math.inf, _axes(axis))


@technique
def instance(axis: Any = None, epsilon: float = 0.0) -> Map:
    """(x - mean) / std of each sample

    Every sample to mean 0 and population deviation 1 over `axis` (all of a sample by default; -2 for the steps of a time
    series of shape (steps, features)). Keeps shape and order within a sample, forgets its level and spread: `inverse(y,
    like=x)` takes them from the raw sample again (RevIN). A sample that does not vary becomes 0; `epsilon` is the least
    divisor. Choose it where level and contrast of a sample tell nothing (images), and for series whose level drifts.
    Missing values are left out and stay missing; padded steps are missing in `numpy.ma.array(x, mask=...)`.

    >>> import tfnorm
    >>> tfnorm.fit([[1.0, 3.0]], "instance").transform([[10.0, 30.0]])
    array([[-1.,  1.]])

    tf.image.per_image_standardization (`epsilon` there 1 / sqrt(size)); Kim et al. 2022, "Reversible Instance Normalization".
    """
    if epsilon < 0:
        raise ChoiceError(f"instance: epsilon must be from 0 up, got {epsilon!r}.")
    return maps.Instance(_axes(axis), epsilon=float(epsilon))


@technique
def contrast(scale: float = 1.0, bias: float = 0.0, epsilon: float = 1e-8, axis: Any = None) -> Map:
    """scale * (x - mean) / max(epsilon, sqrt(bias + variance)) of each sample

    Global contrast normalization: images to equal contrast. Choose it for images whose light and exposure differ and mean
    nothing. `bias`, in the input's units squared, keeps samples of hardly any
    contrast (blank sky) from being blown up. Keeps shape and order within a sample, forgets level and contrast; back by
    `inverse(y, like=x)`.

    >>> import tfnorm
    >>> tfnorm.fit([[0.0, 2.0]], "contrast(bias=3)").transform([[0.0, 2.0]])
    array([[-0.5,  0.5]])

    Goodfellow, Bengio & Courville 2016, "Deep Learning", equation 12.3.
    """
    if not (scale > 0 and bias >= 0 and epsilon >= 0):
        raise ChoiceError(
            f"contrast: scale must be above 0, bias and epsilon from 0 up, got {scale!r}, {bias!r} and {epsilon!r}."
        )
    return maps.Instance(_axes(axis), float(scale), float(bias), float(epsilon))


def _axes(axis: Any) -> tuple[int, ...]:
    """Axes counted from the end; empty for all but the first."""
    axes = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    if any(a >= 0 for a in axes):
        raise ChoiceError(
            f"axis must count from the end (-1 is the last), got {axis!r}: the first axis holds the samples."
        )
    return axes
