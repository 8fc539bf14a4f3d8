"""Techniques that fit a curve to the shape of the distribution.

The one law: they are solved on the sketch alone, so a profile is enough, and the order of values is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np

from tfnorm import maps
from tfnorm.errors import ChoiceError
from tfnorm.maps import Map
from tfnorm.quantiles import Quantiles
from tfnorm.statistics import Extremes, Moments
from tfnorm.techniques import solvers, tails
from tfnorm.techniques.core import Refinement, technique
from tfnorm.techniques.scales import _scaled

_TAIL = 1e-7  # no probability is taken nearer to 0 or 1 than this, as in scikit-learn


_TRIALS = 7
_REACH = 0.02  # of lambda, on either side of what the sketch says
_NODES = np.cos(
    np.pi * (np.arange(_TRIALS) + 0.5) / _TRIALS
)  # Chebyshev's: a polynomial through them is nearly the best


def _likeliest(kind: type[maps.YeoJohnson | maps.BoxCox], slope: Map) -> Refinement:
    """Lambda by maximum likelihood on all the data: the likelihood is a polynomial through that of trials near the sketch's.

    slope: the map whose mean is that of the logarithm of the transform's slope, over lambda - 1.
    """

    def trials(step: Map) -> tuple[Map, ...]:
        assert isinstance(step, maps.YeoJohnson | maps.BoxCox)
        return *(kind(step.bend + _REACH * node) for node in _NODES), slope

    def choose(step: Map, found: Sequence[Moments]) -> Map:
        assert isinstance(step, maps.YeoJohnson | maps.BoxCox)
        *tried, base = found
        bends = step.bend.copy()
        for j in range(len(bends)):
            deviations = np.array([float(one.std[j]) for one in tried])
            if not (np.isfinite(deviations) & (deviations > 0)).all():  # nothing varies
                continue
            likelihood = -np.log(deviations / deviations[0]) + _REACH * _NODES * float(base.mean[j])
            root, inside = _top(np.polynomial.chebyshev.Chebyshev.fit(_NODES, likelihood, _TRIALS - 1, domain=[-1, 1]))
            if inside:  # else it lies beyond where lambda is looked for
                bends[j] += _REACH * root
        return kind(bends)

    return Refinement(trials, choose)


def _top(curve: np.polynomial.chebyshev.Chebyshev) -> tuple[float, bool]:
    """Where a polynomial is highest on [-1, 1], and whether that is no end of it."""
    roots = np.asarray(curve.deriv().roots(), np.complex128)
    inside = [float(root.real) for root in roots if abs(float(root.imag)) < 1e-9 and abs(float(root.real)) < 1]
    best = max([-1.0, 1.0, *inside], key=lambda at: float(curve(at)))
    return best, abs(best) < 1


@technique(refine=_likeliest(maps.YeoJohnson, maps.SignedLog()))
def yeo_johnson(quantiles: Quantiles, extremes: Extremes) -> Map:
    """((x + 1)**lambda - 1) / lambda for x >= 0, -((1 - x)**(2 - lambda) - 1) / (2 - lambda) for x < 0

    A power that makes the distribution as normal as a power can, lambda by maximum likelihood; for numbers of any sign. Keeps
    zero, sign and order, not distances. Choose it for skewed features; a second fit standardizes what it gives. A constant
    column stays as it is (lambda 1). What lies beyond the curve's end comes back as infinite.

    >>> import tfnorm
    >>> fitted = tfnorm.fit([[1.0], [2.0], [4.0], [8.0]], "yeo_johnson")
    >>> round(float(fitted.maps["x"].bend[0]), 4)
    -0.2455

    Yeo & Johnson 2000; scikit-learn's PowerTransformer without its standardization. Lambda comes from the sketch: exact up to
    4,096 values, beyond them mostly within 0.001 and within 0.01 where it tells least (both tails long, or nearly none);
    `fit(..., exact=True)` reads the data again for it. It is looked for from -8 to 10, and no further than float32 can hold the
    result.
    """
    return maps.YeoJohnson(_bends(quantiles, extremes, both_signs=True))


def _bends(quantiles: Quantiles, extremes: Extremes, *, both_signs: bool) -> np.ndarray:
    curves = (quantiles.curve(j, extremes) for j in range(quantiles.features))
    return np.array([solvers.likeliest_bend(tails.tailed(curve), both_signs=both_signs) for curve in curves])


@technique(refine=_likeliest(maps.BoxCox, maps.BoxCox(np.zeros(1))))
def box_cox(quantiles: Quantiles, extremes: Extremes) -> Map:
    """(x**lambda - 1) / lambda, log(x) where lambda is 0

    A power that makes the distribution as normal as a power can, lambda by maximum likelihood; for numbers above 0. Keeps
    order, not distances. Choose it for positive, skewed features; a second fit standardizes what it gives. A constant column
    is only shifted (lambda 1). What lies beyond the curve's end comes back as 0 or infinite.

    >>> import tfnorm
    >>> fitted = tfnorm.fit([[1.0], [2.0], [4.0], [8.0]], "box_cox")
    >>> round(abs(float(fitted.maps["x"].bend[0])), 6)
    0.0

    Box & Cox 1964; scipy.stats.boxcox. Lambda comes from the sketch, as in `yeo_johnson`.
    """
    low = extremes.minimum
    if (low <= 0).any():
        raise ChoiceError(
            f"box_cox needs values above 0, and the smallest is {low.min():g}. Choose yeo_johnson, which takes all."
        )
    return maps.BoxCox(_bends(quantiles, extremes, both_signs=False))


@technique
def quantile(
    quantiles: Quantiles,
    extremes: Extremes,
    output: Literal["uniform", "normal"] = "uniform",
    levels: int = 1000,
    clip: bool = False,
) -> Map:
    """the share of values below x, or the normal z of that share

    To an even distribution on [0, 1], or to a normal one, whatever the shape: through `levels` quantiles, straight between
    them. Keeps order only. Tied values get the middle of their ranks. Beyond the fit's extremes the last line goes on, so that
    it comes back; `clip=True` stops there. Choose it for shapes that no power mends, and where outliers must not matter. A
    constant column becomes 0.

    >>> import tfnorm
    >>> fitted = tfnorm.fit([[1.0], [10.0], [100.0]], "quantile")
    >>> fitted.transform([[10.0], [55.0]])
    array([[0.5 ],
           [0.75]])

    scikit-learn's QuantileTransformer; but in the normal output the tails have levels of their own, and the extremes of n values
    the z of half a rank, 0.5 / n, where scikit-learn gives -5.2 and 5.2 whatever n is.
    """
    if levels < 2:
        raise ChoiceError(f"quantile: levels must be from 2 up, got {levels!r}.")
    found = [_knots(quantiles, extremes, j, output, levels) for j in range(quantiles.features)]
    most = max((len(x) for x, _ in found), default=2)
    knots, values = (np.array([_prolonged(one[i], most) for one in found]).reshape(-1, most) for i in (0, 1))
    curve = maps.Piecewise(knots, values)
    varies = ~extremes.constant
    low, high = values[:, 0], np.array([y[-1] for _, y in found])
    steps: list[Map] = [curve]
    if clip:
        steps.append(maps.Clip(low, high))
    if not varies.all():
        one = np.where(varies, 1.0, 0.0)
        steps.insert(0, maps.Affine(np.where(varies, 0.0, knots[:, 0]), one, np.where(varies, 0.0, knots[:, 0]), True))
    return maps.chain(*steps)


def _knots(
    quantiles: Quantiles, extremes: Extremes, feature: int, output: str, levels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where the curve bends, and what it gives there."""
    curve = quantiles.curve(feature, extremes)
    number = int(min(max(curve.total, 0), 1 << 53))
    if number == 0 or extremes.constant[feature]:
        start = extremes.minimum[feature] if number else 0.0
        return np.array([start, np.nextafter(start, np.inf) if start + 1 == start else start + 1]), np.array([0.0, 1.0])
    share = np.linspace(0.0, 1.0, max(2, min(levels, number)))
    if output == "normal":
        halves = share[1] / 2.0 ** np.arange(1, 30)
        halves = halves[halves >= max(0.5 / number, _TAIL)]
        share = np.unique(np.concatenate([share, halves, 1 - halves]))
    x = np.array(curve.quantiles(share))
    knots, first = np.unique(x, return_index=True)
    last = np.concatenate([first[1:], [len(x)]]) - 1
    middle = (share[first] + share[last]) / 2
    middle[0], middle[-1] = (middle[0], middle[-1]) if output == "normal" else (0.0, 1.0)
    if output == "normal":
        normal = NormalDist()
        tail = max(0.5 / number, _TAIL)
        middle = np.array([normal.inv_cdf(min(max(p, tail), 1 - tail)) for p in middle])
    rises = np.concatenate([[True], np.diff(middle) > 0])
    return knots[rises], middle[rises]


def _prolonged(numbers: np.ndarray, most: int) -> np.ndarray:
    """As many as `most`, the last step repeated, so that features with fewer knots share arrays with others."""
    more = most - len(numbers)
    if not more:
        return numbers
    step = numbers[-1] - numbers[-2]
    return np.concatenate([numbers, numbers[-1] + step * np.arange(1, more + 1)])


@technique
def gaussianize(quantiles: Quantiles, extremes: Extremes) -> Map:
    """z of (x - location) / scale = z exp(h z**2 / 2), h of its own on either side

    To a normal distribution where tails are long: location, scale and both tails of Tukey's h-h are those whose first four
    L-moments the data have (of the sketch: exact up to 4,096 values, beyond them h within 0.02, and 0.04 where it is above 0.5).
    Keeps order. Without long tails it is a z-score by L-moments. Choose it for heavy tails on one or both sides (returns, sensor
    noise) where `robust` would leave outliers far out. A constant column becomes 0.

    >>> import tfnorm
    >>> fitted = tfnorm.fit([[-90.0], [-1.0], [0.0], [1.0], [90.0]], "gaussianize")
    >>> abs(float(fitted.transform([[0.0]])[0, 0]))
    0.0

    Headrick & Pant 2012; Goerg 2015; tensorflow-transform's scale_to_gaussian.
    """
    number = quantiles.features
    location, scale, left, right = np.zeros(number), np.zeros(number), np.zeros(number), np.zeros(number)
    for j in range(number):
        pieces = tails.tailed(quantiles.curve(j, extremes))
        if extremes.constant[j]:
            location[j] = extremes.minimum[j] if len(pieces[0]) else 0.0
            continue
        mean, spread, skew, kurtosis = solvers.l_moments(pieces)
        left[j], right[j] = solvers.tukey_tails(skew / spread, kurtosis / spread)
        of_tails = solvers.tukey_l_moments(left[j], right[j])
        scale[j] = spread / of_tails[1]
        location[j] = mean - scale[j] * of_tails[0]
    straight = _scaled(location, np.zeros(number), scale, varies=~extremes.constant)
    return maps.chain(straight, maps.TukeyTails(left, right)) if (left + right > 0).any() else straight
