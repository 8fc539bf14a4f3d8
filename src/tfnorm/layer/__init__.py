"""How a fit becomes a Keras layer. Importing this loads Keras; the rest of tfnorm asks `keras_part` for it.

The one law: a layer gives what the fit gives in NumPy. All that saved models may hold is registered once this is imported.
"""

from typing import Any

from keras.backend import backend as backend

from tfnorm.layer.attach import attach as attach
from tfnorm.layer.backbones import check_backbone as check_backbone
from tfnorm.layer.builtin import builtin as builtin
from tfnorm.layer.builtin import normalization as normalization
from tfnorm.layer.drop_in import LAYERS as LAYERS
from tfnorm.layer.finding import array as array
from tfnorm.layer.finding import fits_in as fits_in
from tfnorm.layer.finding import is_inverse as is_inverse
from tfnorm.layer.finding import normalizing as normalizing
from tfnorm.layer.finding import open_model as open_model
from tfnorm.layer.finding import tensor as tensor
from tfnorm.layer.finding import types_of as types_of
from tfnorm.layer.maps import loss_in_float32 as loss_in_float32
from tfnorm.layer.normalize import Normalize as Normalize
from tfnorm.layer.running import RunningNormalize as RunningNormalize
from tfnorm.layer.serving import holds_its_fit as holds_its_fit
from tfnorm.layer.serving import places_of_keys as places_of_keys
from tfnorm.layer.serving import served as served
from tfnorm.layer.serving import word as word
from tfnorm.layer.serving import write_saved_model as write_saved_model


def __getattr__(name: str) -> Any:
    """Every drop-in layer, by its name."""
    if name not in LAYERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return LAYERS[name]
