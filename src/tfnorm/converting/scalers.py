"""scikit-learn's scalers by their attributes, whether these came with the object or as JSON.

The one law: the map gives what the scaler's own `transform` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfnorm import maps
from tfnorm.errors import ChoiceError
from tfnorm.maps import Affine, Map

Attributes = Mapping[str, Any]
Solved = tuple[Map, str]  # and the choice that would fit the like


def solved(kind: str, attributes: Attributes) -> Solved:
    """From the name of a class; ChoiceError where it is none of those known, or was not fitted."""
    make = KINDS.get(kind)
    if make is None:
        raise ChoiceError(f"{kind}: cannot be converted. These can: {', '.join(KINDS)}.")
    try:
        return make(attributes)
    except (KeyError, AttributeError) as error:
        raise ChoiceError(
            f"{kind}: has no {str(error).split(chr(39))[-2:-1] or error}; was it fitted? Fit it first."
        ) from None


def affine(center: Any, scale: Any, offset: Any = 0.0) -> Affine:
    """(x - center) * scale + offset, of as many features as the longest has."""
    center, scale, offset = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(one, np.float64)) for one in (center, scale, offset))
    )
    return Affine(center.copy(), scale.copy(), offset.copy(), has_constant=bool((scale == 0).any()))


def inverted(scale: Any) -> np.ndarray:
    with np.errstate(divide="ignore"):
        found = 1 / np.asarray(scale, np.float64)
    return np.where(np.isfinite(found), found, 0.0)


def settings_text(name: str, **settings: Any) -> str:
    """As a choice is written.

    >>> settings_text("minmax", low=-1.0, clip=False)
    'minmax(low=-1.0, clip=False)'
    """
    inside = ", ".join(f"{key}={value!r}" for key, value in settings.items())
    return f"{name}({inside})" if inside else name


def _standard(a: Attributes) -> Solved:
    center, scale = bool(a["with_mean"]), bool(a["with_std"])
    ones = np.ones(int(a["n_features_in_"]))
    step = affine(a["mean_"] if center else 0 * ones, inverted(a["scale_"]) if scale else ones)
    said = {name: False for name, on in (("center", center), ("scale", scale)) if not on}
    return step, settings_text("standard", **said)


def _minmax(a: Attributes) -> Solved:
    low, high = (float(end) for end in a["feature_range"])
    # scale_ and min_ are what scikit-learn computes with; subtracted first, nothing is lost
    scale, start = (np.asarray(a[name], np.float64) for name in ("scale_", "data_min_"))
    step: Map = affine(start, scale, np.asarray(a["min_"], np.float64) + start * scale)
    clip = bool(a["clip"])
    if clip:
        step = maps.chain(step, maps.Clip(np.full(len(scale), low), np.full(len(scale), high)))
    return step, settings_text("minmax", low=low, high=high, clip=clip)


def _maxabs(a: Attributes) -> Solved:
    step: Map = affine(0.0, inverted(a["scale_"]))
    if a.get("clip"):
        ones = np.ones(step.features())
        return maps.chain(step, maps.Clip(-ones, ones)), "maxabs, clip(-1, 1)"
    return step, "maxabs"


def _robust(a: Attributes) -> Solved:
    if not a["with_centering"] or not a["with_scaling"] or a["unit_variance"]:
        raise ChoiceError(
            "RobustScaler: with_centering=False, with_scaling=False and unit_variance=True have no counterpart. Fit tfnorm's own."
        )
    low, high = (float(end) for end in a["quantile_range"])
    return affine(a["center_"], inverted(a["scale_"])), settings_text("robust", low=low, high=high)


def _power(a: Attributes) -> Solved:
    bend = np.asarray(a["lambdas_"], np.float64)
    name, step = ("box_cox", maps.BoxCox(bend)) if a["method"] == "box-cox" else ("yeo_johnson", maps.YeoJohnson(bend))
    if not a["standardize"]:
        return step, name
    scaler = a["_scaler"]
    inner = scaler if isinstance(scaler, Mapping) else vars(scaler)
    return maps.chain(step, affine(inner["mean_"], inverted(inner["scale_"]))), f"{name}, standard"


def _quantile(a: Attributes) -> Solved:
    if a["output_distribution"] != "uniform":
        raise ChoiceError(
            "QuantileTransformer: its normal output bends between quantiles, and tfnorm's is straight there, so numbers "
            "would differ. Fit anew: quantile('normal'); or convert one of output_distribution='uniform'."
        )
    quantiles, share = (np.asarray(a[name], np.float64) for name in ("quantiles_", "references_"))
    found = [_knots(quantiles[:, feature], share) for feature in range(quantiles.shape[1])]
    most = max(len(x) for x, _ in found)
    knots, values = (np.array([_prolonged(one[i], most) for one in found]) for i in (0, 1))
    ends = np.zeros(len(found)), np.ones(len(found))
    step = maps.chain(maps.Piecewise(knots, values), maps.Clip(*ends))
    return step, settings_text("quantile", levels=len(share), clip=True)


def _knots(quantiles: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where lines begin: at a value of several quantiles it leaps from the first's share to the last's, and has the middle."""
    x, first, number = np.unique(quantiles, return_index=True, return_counts=True)
    last = first + number - 1
    pairs: list[tuple[float, float]] = []
    close = 4 * np.spacing(
        np.abs(x).max()
    )  # how wide a leap is: to the next number alone, its slope would overflow about 0
    for i, value in enumerate(x):
        middle = (share[first[i]] + share[last[i]]) / 2
        middle = share[0] if i == 0 else share[-1] if i == len(x) - 1 else middle
        before = [(value - close, share[first[i]])] if number[i] > 1 and i > 0 else []
        after = [(value + close, share[last[i]])] if number[i] > 1 and i < len(x) - 1 else []
        pairs += [*before, (float(value), float(middle)), *after]
    if len(pairs) == 1:  # a constant
        pairs.append((pairs[0][0] + max(close, np.finfo(np.float64).tiny), 1.0))
    knots, values = (np.array(one) for one in zip(*pairs, strict=True))
    rises = np.concatenate([[True], (np.diff(knots) > 0) & (np.diff(values) > 0)])
    return knots[rises], values[rises]


def _prolonged(numbers: np.ndarray, most: int) -> np.ndarray:
    """As many as `most`, the last unit repeated, so that features with fewer knots lie beside others."""
    more = np.arange(1, most - len(numbers) + 1)
    return np.concatenate([numbers, numbers[-1] + max(1.0, abs(numbers[-1])) * more])


def _normalizer(a: Attributes) -> Solved:
    order, name = {"l1": (1.0, "l1"), "l2": (2.0, "l2"), "max": (np.inf, "linf")}[a["norm"]]
    return maps.RowNorm(order), name


KINDS: dict[str, Callable[[Attributes], Solved]] = {
    "StandardScaler": _standard,
    "MinMaxScaler": _minmax,
    "MaxAbsScaler": _maxabs,
    "RobustScaler": _robust,
    "PowerTransformer": _power,
    "QuantileTransformer": _quantile,
    "Normalizer": _normalizer,
}
