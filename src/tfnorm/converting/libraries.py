"""Which of the libraries it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tfnorm.converting import bridge, scikit, spark, tft
from tfnorm.converting.made import Numbers, fitted_of, fitted_of_columns, side_by_side
from tfnorm.converting.scalers import affine
from tfnorm.errors import ChoiceError, DataError
from tfnorm.fitted import Fitted
from tfnorm.keras_part import keras_part
from tfnorm.maps import Affine
from tfnorm.sources.columns import quoted

EPSILON = 1e-7  # keras.layers.Normalization divides by no deviation below it
KNOWN = (
    "a fitted scikit-learn scaler, a Keras Normalization layer, the folder of a Spark ML scaler or of tensorflow-transform's "
    "output, or bridgescaler's JSON"
)


def convert(
    model: Any, *, to: Literal["tfnorm", "sklearn", "keras"] = "tfnorm", columns: Sequence[str] | None = None
) -> Any:
    """A fit from what another library has fitted, or the other way round: the same numbers for the same rows.

    model: a scikit-learn StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, PowerTransformer, QuantileTransformer (of
        uniform output) or Normalizer, or a Pipeline of them; a Keras Normalization layer; the path of a folder that a Spark ML
        scaler model was saved in, of one that tensorflow-transform's `WriteTransformFn` wrote, or of JSON that bridgescaler
        wrote; or a fit, with `to`.
    to: "sklearn" gives a fitted scaler, "keras" a Normalization layer, of a fit.
    columns: names for the features, each then a column of its own; else those that the model has, or one array of them all.
        Of tensorflow-transform's output, which of its features are taken; the columns are called as what they are made of.

    The fit has maps and no statistics: it transforms, goes back, is saved, exported and becomes a layer; asked for a mean it
    has not gathered, it says so, and it adds to no other. Its number of rows is 0 where the model does not tell it.

    Errors: ChoiceError for what tfnorm has no equal of, DataError for a path that holds none of these. No pickle is opened:
    load it yourself, if you trust it, and hand over the object.

    >>> import tfnorm
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> fitted = tfnorm.convert(MinMaxScaler().fit([[1.0], [5.0]]), columns=["age"])
    >>> fitted.transform({"age": [2.0, 4.0]})
    {'age': array([0.25, 0.75])}
    """
    if isinstance(model, Fitted):
        if columns is not None:
            raise ChoiceError("columns= names what comes from elsewhere, and a fit has names. Leave it out.")
        if to == "sklearn":
            return scikit.scaler_of(model)
        if to == "keras":
            return _normalization(model)
        return model
    if to != "tfnorm":
        raise ChoiceError(f'to={to!r} is for a fit, got {type(model).__name__}. Convert it first, without "to".')
    if isinstance(model, str | Path) and tft.is_output(Path(model)):
        return fitted_of_columns(tft.numbers_of(Path(model), columns))
    return fitted_of(_numbers(model), columns)


def _numbers(model: Any) -> Numbers:
    if isinstance(model, str | Path):
        return _of_path(Path(model))
    home = type(model).__module__.split(".")[0]
    if home == "sklearn":
        return scikit.numbers_of(model)
    if home == "keras" and type(model).__name__ == "Normalization":
        return _of_keras(model)
    raise ChoiceError(f"expected {KNOWN}, got {type(model).__module__}.{type(model).__name__}.")


def _of_path(path: Path) -> Numbers:
    if path.suffix in (".pkl", ".pickle", ".joblib"):
        raise DataError(
            f"{path}: a pickle can run anything, so none is opened. Load it yourself, and hand over the object."
        )
    if not path.exists():
        raise DataError(f"{path}: is not there. Expected {KNOWN}.")
    if path.is_dir() and spark.is_model(path):
        return spark.numbers_of(path)
    if path.is_dir():
        raise DataError(
            f"{path}: is no folder of a Spark ML scaler model (it has no metadata), nor of tensorflow-transform (it has no "
            "transform_fn)."
        )
    return bridge.numbers_of(path)


def _of_keras(layer: Any) -> Numbers:
    if layer.mean is None or not layer.built:
        raise ChoiceError(f"layer {layer.name}: was not adapted. Adapt or build it first.")
    if layer.invert:
        raise ChoiceError(
            f"layer {layer.name}: invert=True is the way back: convert one without, and take fitted.inverse."
        )
    layer.finalize_state()
    mean, variance = (np.asarray(one, np.float64) for one in (layer.mean, layer.variance))
    if mean.size > 1 and mean.shape[-1] != mean.size:
        raise ChoiceError(f"layer {layer.name}: axis={layer.axis} is not the last one, over which tfnorm's numbers go.")
    step = affine(mean.reshape(-1), 1 / np.maximum(np.sqrt(variance.reshape(-1)), EPSILON))
    return Numbers(step, "standard", mean.size if layer.axis else 0, "Keras Normalization")


def _normalization(fitted: Fitted) -> Any:
    step = side_by_side(fitted.maps)
    if not isinstance(step, Affine) or not ((step.scale > 0) & (step.scale < 1 / EPSILON)).all():
        raise ChoiceError(
            f"column {quoted(fitted.columns)}: {fitted.choice[fitted.columns[0]]}: Keras' Normalization does (x - mean) / std of "
            "features that vary, and nothing else. fitted.layer(builtin=True) is of Keras' own layers for all techniques."
        )
    return keras_part().normalization(step)
