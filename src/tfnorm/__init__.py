"""tfnorm: normalize training data for TensorFlow and Keras.

    fitted = tfnorm.fit("train/*.parquet", {"age": "standard", "fare": ["log1p", "standard"]})

These are the user's words. Importing them loads neither TensorFlow nor Keras, and nothing else before it is used.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import TYPE_CHECKING, Any

from tfnorm.layer_names import layer_name

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tfnorm import beam as beam
    from tfnorm import images as images
    from tfnorm import ray as ray
    from tfnorm import sklearn as sklearn
    from tfnorm import spark as spark
    from tfnorm.advice import Advice as Advice
    from tfnorm.advice import advise as advise
    from tfnorm.artefact import load as load
    from tfnorm.comparing import Comparison as Comparison
    from tfnorm.comparing import compare as compare
    from tfnorm.converting import convert as convert
    from tfnorm.drift import check as check
    from tfnorm.drift import watch as watch
    from tfnorm.drift_callback import DriftCallback as DriftCallback
    from tfnorm.errors import ArtefactError as ArtefactError
    from tfnorm.errors import ChoiceError as ChoiceError
    from tfnorm.errors import DataError as DataError
    from tfnorm.errors import NotInvertibleError as NotInvertibleError
    from tfnorm.errors import TfnormError as TfnormError
    from tfnorm.exits import fingerprint as fingerprint
    from tfnorm.exits import fingerprints as fingerprints
    from tfnorm.exits import verify as verify
    from tfnorm.fitted import Fitted as Fitted
    from tfnorm.fitting import fit as fit
    from tfnorm.fitting import scan as scan
    from tfnorm.layer import Normalize as Normalize
    from tfnorm.layer import RunningNormalize as RunningNormalize
    from tfnorm.profile import Profile as Profile
    from tfnorm.progress import Progress as Progress
    from tfnorm.reporting import Report as Report
    from tfnorm.reporting import report as report
    from tfnorm.running import Running as Running
    from tfnorm.sources.sql import sql as sql
    from tfnorm.techniques import TECHNIQUES as TECHNIQUES
    from tfnorm.techniques import asinh as asinh
    from tfnorm.techniques import box_cox as box_cox
    from tfnorm.techniques import center as center
    from tfnorm.techniques import clip as clip
    from tfnorm.techniques import contrast as contrast
    from tfnorm.techniques import decimal as decimal
    from tfnorm.techniques import gaussianize as gaussianize
    from tfnorm.techniques import identity as identity
    from tfnorm.techniques import impute as impute
    from tfnorm.techniques import instance as instance
    from tfnorm.techniques import join_patches as join_patches
    from tfnorm.techniques import l1 as l1
    from tfnorm.techniques import l2 as l2
    from tfnorm.techniques import linf as linf
    from tfnorm.techniques import log1p as log1p
    from tfnorm.techniques import mask as mask
    from tfnorm.techniques import maxabs as maxabs
    from tfnorm.techniques import mean_range as mean_range
    from tfnorm.techniques import minmax as minmax
    from tfnorm.techniques import pareto as pareto
    from tfnorm.techniques import patches as patches
    from tfnorm.techniques import power as power
    from tfnorm.techniques import quantile as quantile
    from tfnorm.techniques import rescale as rescale
    from tfnorm.techniques import robust as robust
    from tfnorm.techniques import sigmoid as sigmoid
    from tfnorm.techniques import signed_log as signed_log
    from tfnorm.techniques import soft_clip as soft_clip
    from tfnorm.techniques import sqrt as sqrt
    from tfnorm.techniques import standard as standard
    from tfnorm.techniques import tanh as tanh
    from tfnorm.techniques import vast as vast
    from tfnorm.techniques import whiten as whiten
    from tfnorm.techniques import winsorize as winsorize
    from tfnorm.techniques import yeo_johnson as yeo_johnson

_HOME = {
    "advice": ("Advice", "advise"),
    "artefact": ("load",),
    "comparing": ("Comparison", "compare"),
    "converting": ("convert",),
    "drift": ("check", "watch"),
    "drift_callback": ("DriftCallback",),
    "errors": ("ArtefactError", "ChoiceError", "DataError", "NotInvertibleError", "TfnormError"),
    "exits": ("fingerprint", "fingerprints", "verify"),
    "fitted": ("Fitted",),
    "fitting": ("fit", "scan"),
    "progress": ("Progress",),
    "profile": ("Profile",),
    "layer": ("Normalize", "RunningNormalize"),
    "reporting": ("Report", "report"),
    "running": ("Running",),
    "sources.sql": ("sql",),
    "techniques": (
        "TECHNIQUES",
        "asinh",
        "box_cox",
        "center",
        "clip",
        "contrast",
        "decimal",
        "gaussianize",
        "identity",
        "impute",
        "instance",
        "join_patches",
        "l1",
        "l2",
        "linf",
        "log1p",
        "mask",
        "maxabs",
        "mean_range",
        "minmax",
        "pareto",
        "patches",
        "power",
        "quantile",
        "rescale",
        "robust",
        "sigmoid",
        "signed_log",
        "soft_clip",
        "sqrt",
        "standard",
        "tanh",
        "vast",
        "whiten",
        "winsorize",
        "yeo_johnson",
    ),
}  # fmt: skip
_HOME["layer"] += tuple(layer_name(word) for word in _HOME["techniques"] if word != "TECHNIQUES")
_MODULES = ("images", "ray", "sklearn", "spark")  # words that are modules themselves
_EXTRAS = ("beam",)  # and those that cannot be imported without another library, hence not listed
_MODULE = {word: module for module, words in _HOME.items() for word in words}

__all__ = [*sorted((*_MODULE, *_MODULES)), "__version__"]  # noqa: PLE0604  # all of them are text


def __getattr__(name: str) -> Any:
    """A word's module is loaded when the word is first used (PEP 562)."""
    if name in _MODULES or name in _EXTRAS:
        return importlib.import_module(f"tfnorm.{name}")
    if name not in _MODULE:
        raise AttributeError(f"module 'tfnorm' has no attribute {name!r}")
    if _MODULE[name] in ("layer", "drift_callback"):
        from tfnorm.keras_part import keras_part

        keras_part()
    value = getattr(importlib.import_module(f"tfnorm.{_MODULE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


if "keras" in sys.modules:
    # whoever has Keras can then load models with our layers in them; a Keras without a backend says so when it is used
    with contextlib.suppress(ImportError):
        importlib.import_module("tfnorm.layer")
