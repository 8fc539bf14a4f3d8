"""scikit-learn's objects: fits of them, and them of fits. The one file here that imports scikit-learn.

The one law: both give the same numbers for the same rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfnorm import maps
from tfnorm.converting.made import Numbers, side_by_side
from tfnorm.converting.scalers import inverted, solved
from tfnorm.errors import ChoiceError
from tfnorm.fitted import Fitted
from tfnorm.maps import Affine, Map
from tfnorm.sources.columns import quoted


def numbers_of(scaler: Any) -> Numbers:
    """Of a fitted scaler, or of a pipeline of them."""
    kind, parts = type(scaler).__name__, [scaler]
    if kind == "Pipeline":
        parts = [one for _, one in scaler.steps if one is not None and one != "passthrough"]
    found = [solved(type(one).__name__, vars(one)) for one in parts]
    if not found:
        raise ChoiceError("Pipeline: has no steps, so there is nothing to convert.")
    step, choice = maps.chain(*(one for one, _ in found)), ", ".join(text for _, text in found)
    features = int(getattr(parts[0], "n_features_in_", 0)) or step.features()
    names = tuple(str(name) for name in getattr(parts[0], "feature_names_in_", ()))
    seen = np.max(getattr(parts[0], "n_samples_seen_", 0))  # one number a feature where some were missing
    return Numbers(step, choice, features, f"scikit-learn {kind}", names, int(seen))


def scaler_of(fitted: Fitted) -> Any:
    """A fitted scaler: of the technique's own class where scikit-learn has it, a StandardScaler for other straight lines."""
    try:
        from sklearn import preprocessing
    except ImportError:
        raise ImportError("scikit-learn is not installed: pip install scikit-learn.") from None
    step, technique = side_by_side(fitted.maps), next(iter(fitted.stages.values()))[0].kind.name
    features = next(iter(fitted.profile.columns)).features if fitted.profile.bare else len(fitted.columns)
    scaler = _made(preprocessing, step, technique)
    if scaler is None:
        raise ChoiceError(
            f"column {quoted(fitted.columns)}: {fitted.choice[fitted.columns[0]]}: scikit-learn has no scaler that does this "
            "with given numbers. Use the fit itself."
        )
    scaler.n_features_in_ = features
    if not fitted.profile.bare:
        scaler.feature_names_in_ = np.array(fitted.columns, object)
    return scaler


def _made(preprocessing: Any, step: Map, technique: str) -> Any:
    if isinstance(step, Affine):
        return _line(preprocessing, step, technique)
    if isinstance(step, maps.RowNorm) and step.axes in ((-1,), ()):
        return preprocessing.Normalizer({1.0: "l1", 2.0: "l2"}.get(step.order, "max"))
    first, *rest = step.maps if isinstance(step, maps.Chain) else (step,)
    if isinstance(first, maps.YeoJohnson | maps.BoxCox) and (
        not rest or (len(rest) == 1 and isinstance(rest[0], Affine))
    ):
        method = "box-cox" if isinstance(first, maps.BoxCox) else "yeo-johnson"
        scaler = preprocessing.PowerTransformer(method=method, standardize=bool(rest))
        scaler.lambdas_ = first.bend.copy()
        if rest:
            scaler._scaler = _line(preprocessing, rest[0], "standard")
            scaler._scaler.n_features_in_ = len(first.bend)
        return scaler
    return None


def _line(preprocessing: Any, step: Any, technique: str) -> Any:
    scale = step.scale
    with np.errstate(divide="ignore"):
        spread = np.where(
            scale == 0, np.inf, 1 / np.where(scale == 0, 1.0, scale)
        )  # x / inf is 0, as it is for constants
    start = step.center - np.where(scale == 0, 0.0, step.offset * inverted(scale))
    if technique == "minmax" or (step.offset[scale == 0] != 0).any():
        scaler = preprocessing.MinMaxScaler()
        scaler.scale_, scaler.min_ = scale.copy(), step.offset - step.center * scale
        ends = [start, start + np.where(scale == 0, 0.0, inverted(scale))]
        scaler.data_min_, scaler.data_max_ = ends
        scaler.data_range_ = ends[1] - ends[0]
        return scaler
    if technique == "maxabs" and not start.any():
        scaler = preprocessing.MaxAbsScaler()
        scaler.scale_ = scaler.max_abs_ = spread
        return scaler
    if technique == "robust":
        scaler = preprocessing.RobustScaler()
        scaler.center_, scaler.scale_ = start, spread
        return scaler
    scaler = preprocessing.StandardScaler()
    scaler.mean_, scaler.scale_, scaler.var_ = start, spread, spread**2
    return scaler
