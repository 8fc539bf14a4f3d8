"""Which statistics make which map.

The one law: a technique is a function from statistics to a map. The annotations of its first parameters say which statistics
it needs, the rest are its settings; that is all there is to adding one.

A choice is written the same way everywhere: `"standard"`, `"minmax(-1, 1)"`, `"log1p, standard"`, or objects: `minmax(low=-1)`.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import math
import numbers
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfnorm import maps
from tfnorm.errors import ChoiceError
from tfnorm.maps import Affine, Map
from tfnorm.quantiles import Quantiles
from tfnorm.statistics import Extremes, Moments, Statistic


@dataclass(frozen=True)
class Technique:
    """A technique with its settings, as `minmax(low=-1)` makes it."""

    kind: TechniqueKind
    settings: tuple[tuple[str, Any], ...]  # those that differ from the defaults

    @property
    def needs(self) -> tuple[type[Statistic], ...]:
        """The statistics it is solved from."""
        return tuple(self.kind.statistics.values())

    def solve(self, statistics: Mapping[type[Statistic], Statistic]) -> Map:
        """The map for these statistics."""
        needed = {name: statistics[cls] for name, cls in self.kind.statistics.items()}
        return self.kind.function(**needed, **dict(self.settings))

    def __str__(self) -> str:
        """As it is written in files and on the command line."""
        inside = ", ".join(f"{name}={value!r}" for name, value in self.settings)
        return f"{self.kind.name}({inside})" if inside else self.kind.name

    __repr__ = __str__


@dataclass(frozen=True)
class TechniqueKind:
    """A technique before its settings are chosen: call it with them. What `@technique` makes of a function."""

    function: Callable[..., Map]
    name: str
    summary: str  # the first line of its docstring: the formula
    statistics: dict[str, type[Statistic]]  # parameter -> statistic
    parameters: dict[str, inspect.Parameter]  # settings, with their defaults

    def __call__(self, *args: Any, **kwargs: Any) -> Technique:
        signature = inspect.Signature(list(self.parameters.values()))
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ChoiceError(f"{self.name}{signature} was given other arguments: {error}.") from None
        for name, value in bound.arguments.items():
            bound.arguments[name] = _setting(self, name, value)
        chosen = Technique(self, tuple((k, v) for k, v in bound.arguments.items() if v != self.parameters[k].default))
        dry = {name: cls.nothing(1) for name, cls in self.statistics.items()}
        self.function(**dry, **bound.arguments)  # a setting that makes no sense is told now, not after hours of reading
        return chosen

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        """By name: the function is this process' own."""
        return _by_name, (self.name,)

    def __repr__(self) -> str:
        return f"{self.name}{inspect.Signature(list(self.parameters.values()))}"


def _setting(kind: TechniqueKind, name: str, value: Any) -> Any:
    """A setting's value as text has it, so that 1, 1.0 and NumPy's are one; ChoiceError where it cannot be one."""
    default = kind.parameters[name].default
    if isinstance(default, bool):
        if isinstance(value, bool):
            return value
    elif isinstance(default, float):
        if isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value):
            number = float(value)
            return int(number) if number.is_integer() and abs(number) < 1 << 53 else number
    elif value is None or isinstance(value, int) or (isinstance(value, tuple) and all(type(v) is int for v in value)):
        return value
    wanted = {bool: "True or False", float: "a number"}.get(type(default), "an axis, several in (), or None")
    raise ChoiceError(f"{kind.name}: {name} must be {wanted}, got {value!r}.")


TECHNIQUES: dict[str, TechniqueKind] = {}
"""Every technique there is, by name."""


def _by_name(name: str) -> TechniqueKind:
    return TECHNIQUES[name]


def technique(function: Callable[..., Map]) -> TechniqueKind:
    """Register a function from statistics and settings to a map, under its name."""
    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters
    needed = {
        name: hints[name] for name in parameters if isinstance(hints[name], type) and issubclass(hints[name], Statistic)
    }
    kind = TechniqueKind(
        function,
        function.__name__.rstrip("_"),
        (inspect.getdoc(function) or "").split("\n")[0],
        needed,
        {name: p.replace(annotation=p.empty) for name, p in parameters.items() if name not in needed},
    )
    object.__setattr__(kind, "__doc__", function.__doc__)
    TECHNIQUES[kind.name] = kind
    return kind


# What one technique after another needs: the way from a center and a spread to a map, decided once.


def _scaled(
    center: np.ndarray,
    center_low: np.ndarray,
    spread: np.ndarray,
    low: float = 0.0,
    extent: float | np.ndarray = 1.0,
    varies: np.ndarray | None = None,
) -> Affine:
    """`low + extent * (x - center) / spread`; `low` where the spread is 0 or nothing varies, whatever x is."""
    usable = (spread > 0) & np.isfinite(spread) if varies is None else varies & (spread > 0) & np.isfinite(spread)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        scale = np.where(usable, np.minimum(extent / np.where(usable, spread, 1.0), np.finfo(np.float64).max), 0.0)
    known = np.isfinite(center)
    offset = low - np.where(usable, center_low, 0.0) * scale
    return Affine(np.where(known, center, 0.0), scale, offset, has_constant=bool((scale == 0).any()))


def _distance(low: np.ndarray, high: np.ndarray, exact: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """From low to high as (spread, extent), spread / extent being the distance: half of it where float64 holds no more."""
    with np.errstate(invalid="ignore", over="ignore"):
        whole = high - low if exact is None else exact
        wide = np.isinf(whole)
        return np.where(wide, high / 2 - low / 2, whole), np.where(wide, 0.5, 1.0)


@technique
def minmax(extremes: Extremes, low: float = 0.0, high: float = 1.0, clip: bool = False) -> Map:
    """low + (high - low) * (x - min) / (max - min)

    Into [low, high], the ends reached by the smallest and the largest value of the fit. Keeps the order and the shape of
    the distribution, not zero; one outlier squeezes all the rest. New values may fall outside unless `clip` is True; what is
    clipped comes back as the end. Choose it for bounded data (pixels, shares) and for models that want bounded inputs.
    A constant column becomes `low`.

    >>> import tfnorm
    >>> tfnorm.fit([[1.0], [2.0], [5.0]], "minmax").transform([[3.0]])
    array([[0.5]])

    scikit-learn's MinMaxScaler, but subtracted first: (x - min) * scale keeps digits that x * scale + min_ loses.
    """
    if not low < high:
        raise ChoiceError(f"minmax: low must be below high, got low={low!r} and high={high!r}.")
    span = extremes.range
    wide = np.isinf(span)  # the range is beyond float64: from the middle, half of it is not
    halves = np.where(wide, extremes.maximum / 2 - extremes.minimum / 2, span)
    middle = np.where(
        wide, np.where(wide, extremes.minimum, 0.0) / 2 + np.where(wide, extremes.maximum, 0.0) / 2, extremes.minimum
    )
    low_part = np.where(wide, 0.0, extremes.minimum_low)
    extent = np.where(wide, (high - low) / 2, high - low)
    start = np.where(wide, (high + low) / 2, low)
    fitted = _scaled(middle, low_part, halves, 0.0, 1.0)
    with np.errstate(over="ignore"):
        scale = fitted.scale * extent
        # rounding must not carry the largest value beyond `high`
        for _ in range(4):
            beyond = halves * scale + start > high
            scale = np.where(beyond & ~wide, np.nextafter(scale, 0.0), scale)
    affine = Affine(
        fitted.center, scale, np.where(scale == 0, low, start + fitted.offset * extent), fitted.has_constant
    )
    if not clip:
        return affine
    return maps.chain(affine, maps.Clip(np.full(len(scale), float(low)), np.full(len(scale), float(high))))


@technique
def standard(moments: Moments, extremes: Extremes, center: bool = True, scale: bool = True) -> Map:
    """(x - mean) / std

    To mean 0 and population standard deviation 1 (z-score). Keeps order and shape, not zero unless `center` is False;
    outliers stay outliers and widen the deviation. Choose it for features that look Gaussian and as the default for
    networks and linear models. A constant column becomes 0.

    >>> import tfnorm
    >>> tfnorm.fit([[1.0], [2.0], [3.0]], "standard").transform([[3.0]]).round(6)
    array([[1.224745]])

    scikit-learn's StandardScaler, Keras' Normalization; the divisor is the population's (n, not n - 1) in all three.
    """
    ones = np.ones(moments.features)
    spread = moments.std if scale else np.where(extremes.constant, 0.0, 1.0) if center else ones
    varies = ~extremes.constant if center or scale else ones > 0
    zero = np.zeros(moments.features)
    held = np.where(extremes.constant & scale, moments.mean, 0.0)  # so that a constant comes back
    middle, low = (moments.mean, moments.mean_low) if center else (held, zero)
    return _scaled(middle, low, spread, varies=varies)


@technique
def maxabs(extremes: Extremes) -> Map:
    """x / max|x|

    Into [-1, 1]. Keeps zero, sign, order and shape; one outlier squeezes all the rest. Choose it where zero has a meaning
    (mostly-zero features, signed amplitudes). A column of zeros stays 0.

    >>> import tfnorm
    >>> tfnorm.fit([[-4.0], [0.0], [2.0]], "maxabs").transform([[2.0]])
    array([[0.5]])

    scikit-learn's MaxAbsScaler.
    """
    empty = extremes.minimum > extremes.maximum
    largest = np.where(empty, 0.0, np.maximum(np.abs(extremes.minimum), np.abs(extremes.maximum)))
    zero = np.zeros(extremes.features)
    return _scaled(zero, zero, largest)


@technique
def robust(quantiles: Quantiles, extremes: Extremes, low: float = 25.0, high: float = 75.0) -> Map:
    """(x - median) / (percentile(high) - percentile(low))

    To median 0 and a range of 1 between two percentiles. Keeps order and shape, not zero; outliers stay far out but
    move nothing else. Choose it for heavy tails and faulty readings. Where the percentiles coincide although the
    column varies (more than half the values equal, say), it is only centered; a constant column becomes 0.

    >>> import tfnorm
    >>> tfnorm.fit([[1.0], [2.0], [3.0], [4.0], [1000.0]], "robust").transform([[5.0]])
    array([[1.]])

    scikit-learn's RobustScaler; percentiles come from a sketch, exact up to 4,096 values and within 0.002 in rank beyond.
    """
    if not 0 <= low < high <= 100:
        raise ChoiceError(
            f"robust: percentiles must satisfy 0 <= low < high <= 100, got low={low!r} and high={high!r}."
        )
    middle, bottom, top = (quantiles.at(q / 100, extremes) for q in (50.0, low, high))
    spread, extent = _distance(bottom, top)
    varies = ~extremes.constant
    spread = np.where(varies & (spread == 0), 1.0, spread)
    return _scaled(middle, np.zeros(len(middle)), spread, extent=extent, varies=varies)


@technique
def mean_range(moments: Moments, extremes: Extremes) -> Map:
    """(x - mean) / (max - min)

    To mean 0 and a range of 1 ("mean normalization"). Keeps order and shape, not zero; an outlier squeezes all the rest.
    Choose it where bounded inputs about 0 are wanted. A constant column becomes 0.

    >>> import tfnorm
    >>> tfnorm.fit([[0.0], [1.0], [2.0]], "mean_range").transform([[2.0]])
    array([[0.5]])

    feature-engine's MeanNormalizationScaler.
    """
    spread, extent = _distance(extremes.minimum, extremes.maximum, extremes.range)
    return _scaled(moments.mean, moments.mean_low, spread, extent=extent)


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


@technique
def l1(axis: Any = -1) -> Map:
    """x / sum|x| of each sample

    To vectors whose absolute values add up to 1. Keeps zeros, signs and proportions, forgets the length, so it has no
    inverse. Choose it for counts of a whole (word counts, histograms). A zero vector stays zero. `axis`: over which axes
    of the data, the last by default, None for all of a sample's.

    >>> import tfnorm
    >>> tfnorm.fit([[1.0, 3.0]], "l1").transform([[1.0, 3.0]])
    array([[0.25, 0.75]])
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
    A zero vector stays zero. `axis` as in `l1`.

    >>> import tfnorm
    >>> tfnorm.fit([[2.0, -4.0]], "linf").transform([[2.0, -4.0]])
    array([[ 0.5, -1. ]])
    """
    return maps.RowNorm(math.inf, _axes(axis))


def _axes(axis: Any) -> tuple[int, ...]:
    """Axes counted from the end; empty for all but the first."""
    axes = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    if any(a >= 0 for a in axes):
        raise ChoiceError(
            f"axis must count from the end (-1 is the last), got {axis!r}: the first axis holds the samples."
        )
    return axes


@technique
def identity() -> Map:
    """x

    Leaves the column as it is, and says so in the fit.

    >>> import tfnorm
    >>> tfnorm.fit([[7.0]], "identity").transform([[7.0]])
    array([[7.]])
    """
    return maps.Identity()


Stages = tuple[Technique, ...]
Choosable = str | Technique | TechniqueKind | Sequence[str | Technique | TechniqueKind]


def parse(choice: Choosable) -> Stages:
    """One column's choice as a chain of techniques.

    >>> parse("log1p, minmax(-1, 1)")
    (log1p, minmax(low=-1))
    """
    if isinstance(choice, Technique):
        return (choice,)
    if isinstance(choice, TechniqueKind):
        return (choice(),)
    if isinstance(choice, str):
        return tuple(_parse_text(choice))
    if isinstance(choice, Iterable) and (stages := tuple(stage for one in choice for stage in parse(one))):
        return stages
    raise ChoiceError(f"expected a technique, its name, or a list of them, got {choice!r}. {_known()}")


def _parse_text(text: str) -> Iterable[Technique]:
    try:
        tree = ast.parse(f"({text.strip()},)", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ChoiceError(
            f"{text!r} is not a technique; write it as standard, minmax(-1, 1) or log1p, standard."
        ) from None
    for node in tree.elts if isinstance(tree, ast.Tuple) else [tree]:
        call = node if isinstance(node, ast.Call) else None
        name = call.func if call else node
        if not isinstance(name, ast.Name):
            raise ChoiceError(f"{text!r} is not a technique; write it as standard, minmax(-1, 1) or log1p, standard.")
        kind = TECHNIQUES.get(name.id)
        if kind is None:
            close = difflib.get_close_matches(name.id, TECHNIQUES, 1)
            raise ChoiceError(f"no technique {name.id!r}{f', did you mean {close[0]!r}?' if close else '.'} {_known()}")
        try:
            args = [ast.literal_eval(arg) for arg in (call.args if call else [])]
            kwargs = {str(k.arg): ast.literal_eval(k.value) for k in (call.keywords if call else [])}
        except ValueError:
            raise ChoiceError(f"{text!r}: arguments must be plain numbers or True, False, None.") from None
        yield kind(*args, **kwargs)


def _known() -> str:
    return f"There are: {', '.join(TECHNIQUES)}."
