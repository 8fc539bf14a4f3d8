"""Techniques that bend the scale by a fixed curve, each number by itself; most gather nothing.

The one law: what they keep, drop and are defined on is the map's own word (`tfnorm.maps.curves`).
"""

from __future__ import annotations

from tfnorm import maps
from tfnorm.errors import ChoiceError
from tfnorm.maps import Affine, Map
from tfnorm.statistics import Extremes, Moments
from tfnorm.techniques.core import technique
from tfnorm.techniques.scales import standard


@technique
def log1p() -> Map:
    """log(1 + x)

    Draws in long right tails of data from 0 up. Keeps zero and order, not distances; defined above -1. Choose it for counts,
    money and durations, before `standard`: `["log1p", "standard"]`.

    >>> import tfnorm
    >>> tfnorm.fit([[0.0], [9.0]], "log1p").transform([[9.0]]).round(6)
    array([[2.302585]])

    numpy.log1p; scikit-learn's FunctionTransformer(np.log1p).
    """
    return maps.Log1p()


@technique
def signed_log() -> Map:
    """sign(x) log(1 + |x|)

    Draws in long tails on both sides. Keeps zero, sign and order, not distances. Choose it for profits and losses, changes and
    differences, before `standard`: where `log1p` meets negative numbers.

    >>> import tfnorm
    >>> tfnorm.fit([[-9.0], [9.0]], "signed_log").transform([[-9.0]]).round(6)
    array([[-2.302585]])

    John & Draper 1980, "An alternative family of transformations", the modulus transformation with lambda 0.
    """
    return maps.SignedLog()


@technique
def asinh(scale: float = 1.0) -> Map:
    """asinh(x / scale)

    Straight for |x| below the scale, logarithmic beyond, on both sides. Keeps zero, sign and order, not distances. Choose it
    for long tails about zero where small values should keep their distances; `scale`, in the input's units, says what is small.

    >>> import tfnorm
    >>> tfnorm.fit([[0.0], [1000.0]], "asinh(scale=10)").transform([[1000.0]]).round(6)
    array([[5.298342]])

    Burbidge, Magee & Robb 1988, "Alternative transformations to handle extreme values of the dependent variable".
    """
    if not scale > 0:
        raise ChoiceError(f"asinh: scale must be above 0, got {scale!r}.")
    return maps.Asinh(float(scale))


@technique
def sqrt() -> Map:
    """sqrt(x)

    Draws in right tails less than a logarithm does; makes the variance of counts even (Poisson). Keeps zero and order, not
    distances; defined from 0 up. Choose it for counts, before `standard`.

    >>> import tfnorm
    >>> tfnorm.fit([[4.0], [9.0]], "sqrt").transform([[9.0]])
    array([[3.]])

    Bartlett 1936, "The square root transformation in analysis of variance".
    """
    return maps.Power(0.5)


@technique
def power(exponent: float) -> Map:
    """x ** exponent

    A fixed power. Whole exponents take all numbers (even ones forget the sign and have no inverse), others take those from 0
    up, negative ones not 0. Keeps the order from 0 up (negative exponents turn it about) and, unless negative, zero; not
    distances. Choose it where the field knows the law (a cube root for volumes).

    >>> import tfnorm
    >>> tfnorm.fit([[2.0], [3.0]], "power(3)").inverse([[27.0]])
    array([[3.]])

    Tukey 1977, "Exploratory Data Analysis", the ladder of powers.
    """
    if exponent == 0:
        raise ChoiceError("power: exponent must not be 0, which would make every number 1.")
    return maps.Power(float(exponent))


@technique
def soft_clip(limit: float = 3.0) -> Map:
    """x / sqrt(1 + (x / limit)**2)

    Hardly moves what is near 0 and never lets anything beyond the limit, smoothly. Keeps zero, sign and order. Choose it after
    `robust` or `standard`, so that outliers cannot dominate: `["robust", "soft_clip"]`. Values beyond about 1e8 limits come
    back as infinite.

    >>> import tfnorm
    >>> tfnorm.fit([[0.0], [4.0]], "soft_clip").transform([[4.0]])
    array([[2.4]])

    Holzmueller, Grinsztajn & Steinwart 2024, "Better by default" (RealMLP), "smooth clipping".
    """
    if not limit > 0:
        raise ChoiceError(f"soft_clip: limit must be above 0, got {limit!r}.")
    return maps.SmoothClip(float(limit))


@technique
def sigmoid(moments: Moments, extremes: Extremes) -> Map:
    """1 / (1 + exp(-(x - mean) / std))

    Into (0, 1), nearly straight within a deviation of the mean, outliers drawn to the ends. Keeps order, not zero nor the
    distances of outliers, whose digits fade: in float32 from about 15 deviations on they do not come back. Choose it where
    bounded inputs are wanted and outliers should count little. A constant column becomes 0.5.

    >>> import tfnorm
    >>> tfnorm.fit([[-1.0], [1.0]], "sigmoid").transform([[0.0], [1.0]]).round(6)
    array([[0.5     ],
           [0.731059]])

    Han, Kamber & Pei, "Data Mining: Concepts and Techniques"; known as softmax scaling (Priddy & Keller 2005).
    """
    return maps.chain(standard().solve({Moments: moments, Extremes: extremes}), maps.Sigmoid())


@technique
def tanh(moments: Moments, extremes: Extremes, spread: float = 0.01) -> Map:
    """(1 + tanh(spread * (x - mean) / std)) / 2

    Hampel's tanh estimator: into (0, 1), a deviation being `spread` / 2 wide about 0.5, outliers drawn to the ends. Keeps
    order, not zero. Choose it for scores that are compared or fused (biometrics). A constant column becomes 0.5.

    >>> import tfnorm
    >>> tfnorm.fit([[-1.0], [1.0]], "tanh").transform([[1.0]]).round(6)
    array([[0.505]])

    Hampel et al. 1986, "Robust Statistics"; Jain, Nandakumar & Ross 2005, "Score normalization in multimodal biometric systems".
    """
    if not spread > 0:
        raise ChoiceError(f"tanh: spread must be above 0, got {spread!r}.")
    z = standard().solve({Moments: moments, Extremes: extremes})
    assert isinstance(z, Affine)
    # (1 + tanh v) / 2 = sigmoid(2 v)
    stretched = Affine(z.center, z.scale * (2 * spread), z.offset * (2 * spread), z.has_constant)
    return maps.chain(stretched, maps.Sigmoid())
