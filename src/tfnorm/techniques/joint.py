"""Techniques that look at all features of a column together.

The one law: directions in which the data do not vary become 0, whatever comes, and never NaN.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from tfnorm import maps
from tfnorm.covariance import Covariance
from tfnorm.errors import ChoiceError
from tfnorm.maps import Map
from tfnorm.techniques.core import technique

_SAME = 1e-6  # loadings whose sizes differ by less count as equal when a sign is chosen
_ROUNDING = 16.0  # times features * eps of the largest variance: what sums of products may be off by
_EXACT = float(1 << 53)


@technique
def whiten(
    covariance: Covariance,
    method: Literal["pca", "zca"] = "pca",
    components: float | None = None,
    epsilon: float = 0.0,
) -> Map:
    """(x - mean) @ W, uncorrelated and of variance 1

    Takes the correlation out of a vector's features (the last axis: a table as one array, an embedding, the channels of images).
    "pca" turns to the principal components, the one of largest variance first, its largest loading positive; "zca" turns back
    again, so that each feature stays as near to itself as can be. Keeps distances in units of the data's own spread
    (Mahalanobis), not features, zero or order. Choose it for linear models, distances and embeddings, "zca" for images.
    Features in different units: `["standard", "whiten"]`, so that none drowns.

    `components`: a whole number, how many principal directions are kept, or below 1, as many as hold that share of the variance.
    "pca" gives as many features, "zca" all of them. What the others held is forgotten: on the way back it is the mean's.
    `epsilon`, in the input's units squared, is added to each variance, so that directions of next to none are not blown up.
    Directions without variance (constant features, sums of others) become 0: those below 16 n eps of the largest, n features,
    or below what float64 tells apart at the column's offset.

    Variances are the population's (divided by n). Samples with a missing value in any position are left out of the fit, and are
    missing in the result. A column must hold vectors, all of whose positions have statistics of their own: no axis=None.
    Sparse rows are fitted on what they store, the zeros in between counted and never made; what becomes of them is dense, and
    so must be what is transformed, part by part: `fitted.transform(x[:1000].toarray())`.

    By key (`whiten.by("store")`) the directions are each key's own, and so is what a number of the result stands for; a key of
    n rows has at most n - 1 of them, and the rest become 0, as everything does of a key of one row, unless `shrink` adds rows
    that lie as all do. A share of the variance is held of every key: there are as many components as the key that needs most,
    and those that another does not need are 0.

    >>> import tfnorm
    >>> fitted = tfnorm.fit([[3.0, 3.0], [-3.0, -3.0], [1.0, -1.0], [-1.0, 1.0]], "whiten")
    >>> y = fitted.transform([[3.0, 3.0], [3.0, 1.0]])
    >>> y.round(6).tolist(), fitted.inverse(y).round(6).tolist()
    ([[1.414214, 0.0], [0.942809, 1.414214]], [[3.0, 3.0], [3.0, 1.0]])

    Kessy, Lewin & Strimmer 2018, "Optimal whitening and decorrelation"; scikit-learn's PCA(whiten=True), whose result is
    sqrt((n - 1) / n) times this one, since it divides by n - 1; Bell & Sejnowski 1997 for "zca", Keras' zca_whitening.
    """
    if components is not None and (components <= 0 or (components > 1 and components != int(components))):
        raise ChoiceError(
            f"whiten: components must be a whole number from 1 up, or a share of the variance below 1, got {components!r}."
        )
    if epsilon < 0:
        raise ChoiceError(f"whiten: epsilon must be from 0 up, got {epsilon!r}.")
    features = covariance.features
    if (covariance.left_out > 0).any() and not (covariance.weight > 0).all():
        raise ChoiceError("whiten needs rows without missing values, and there is none. Fill them first: impute.")
    if components is not None and components > features and (covariance.weight > 0).any():
        raise ChoiceError(f"whiten: components must be at most the number of features, {features}, got {components!r}.")
    variances, directions, unit = _principal(covariance)
    wanted = _how_many(variances, components, features)
    spreads = np.hypot(np.ldexp(np.sqrt(variances), unit), np.sqrt(epsilon))
    number = min(wanted, int((spreads > np.finfo(np.float64).tiny).sum()))  # what lies below has no inverse
    spreads = spreads[:number]
    kept, forth, back = directions[:, :number], np.zeros((features, wanted)), np.zeros((wanted, features))
    if method == "zca":
        forth, back = (kept / spreads) @ kept.T, (kept * spreads) @ kept.T
    else:
        forth[:, :number], back[:number] = kept / spreads, (kept * spreads).T
    offset = -(covariance.mean_low @ forth)
    constant = not np.abs(forth).max(axis=1, initial=0.0).all()
    return maps.Matrix(covariance.mean, offset, forth, back, kept=number, has_constant=bool(constant))


def _how_many(variances: np.ndarray, components: float | None, features: int) -> int:
    """How many directions were asked for."""
    if components is None or components >= 1 or not len(variances):
        return features if components is None else max(1, int(components))
    shares = np.cumsum(variances) / variances.sum()
    return min(int(np.searchsorted(shares, components)) + 1, len(variances))


def _principal(covariance: Covariance) -> tuple[np.ndarray, np.ndarray, int]:
    """Variances from the largest down in units of 4**k, their directions (features, number), and k; none without variance."""
    matrix, unit = covariance.in_units()
    variance = np.diag(matrix)
    varies = np.flatnonzero(variance > 0)
    values, vectors = np.linalg.eigh(matrix[np.ix_(varies, varies)])
    values, vectors = values[::-1], vectors[:, ::-1]
    eps = np.finfo(np.float64).eps
    mean = covariance.mean[varies]
    # what float64 tells apart at that offset; numbers beyond 2**53 that vary by less are 64-bit integers, and exact
    told_apart = np.where(np.abs(mean) < _EXACT, np.ldexp(mean, -unit) * eps, 0.0)
    least = np.maximum(_ROUNDING * len(varies) * eps * values.max(initial=0.0), told_apart**2 @ vectors**2)
    values, vectors = values[values > least], vectors[:, values > least]
    sizes = np.abs(vectors)
    first = (sizes >= sizes.max(axis=0, initial=0.0) * (1 - _SAME)).argmax(axis=0) if len(values) else np.empty(0, int)
    vectors = vectors * np.where(vectors[first, np.arange(len(values))] < 0, -1.0, 1.0)
    directions = np.zeros((covariance.features, len(values)))
    directions[varies] = vectors
    return values, directions, unit


@technique
def patches(size: int) -> Map:
    """images cut into patches of size x size pixels

    (n, h, w, c) to (n, h / size, w / size, size * size * c), a patch's rows first, then its columns; height and width must be
    multiples. Keeps every number. Choose it before what looks at a patch as one vector, and put them together again with
    `join_patches`: `["patches(8)", "whiten('zca')", "join_patches(8)"]`; or leave them cut for a vision transformer.

    >>> import numpy as np, tfnorm
    >>> tfnorm.fit(np.zeros((5, 4, 6, 3)), "patches(2)").transform(np.zeros((5, 4, 6, 3))).shape
    (5, 2, 3, 12)

    Coates, Ng & Lee 2011; tf.image.extract_patches.
    """
    return _sound(maps.Patches(size))


@technique
def join_patches(size: int) -> Map:
    """patches put together to images

    (n, h, w, size * size * c) to (n, h * size, w * size, c): the way back of `patches`. Keeps every number. Choose it after
    what looked at patches, to have images again.

    >>> import numpy as np, tfnorm
    >>> fitted = tfnorm.fit(np.arange(16.0).reshape(1, 4, 4, 1), "patches(2), join_patches(2)")
    >>> fitted.transform(np.eye(4).reshape(1, 4, 4, 1))[0, :, :, 0].tolist() == np.eye(4).tolist()
    True

    tf.nn.depth_to_space.
    """
    return _sound(maps.JoinPatches(size))


def _sound(step: maps.Patches | maps.JoinPatches) -> Map:
    if maps.Patches(step.size).flaw(1):
        raise ChoiceError(f"the size of patches must be a whole number from 1 up, got {step.size!r}.")
    return step
