"""How a fit becomes a Keras layer. Importing this loads Keras; the rest of tfnorm asks `keras_part` for it.

The one law: a layer gives what the fit gives in NumPy. All that saved models may hold is registered once this is imported.
"""

from keras.backend import backend as backend

from tfnorm.layer.attach import attach as attach
from tfnorm.layer.backbones import check_backbone as check_backbone
from tfnorm.layer.normalize import Normalize as Normalize
from tfnorm.layer.running import RunningNormalize as RunningNormalize
