"""What is done to a number.

The one law: a map comes back, `m.inverse(m.forward(x)) == x` on the domain that the map states.
"""

from tfnorm.maps.core import Affine as Affine
from tfnorm.maps.core import Array as Array
from tfnorm.maps.core import Chain as Chain
from tfnorm.maps.core import Clip as Clip
from tfnorm.maps.core import Identity as Identity
from tfnorm.maps.core import Map as Map
from tfnorm.maps.core import Namespace as Namespace
from tfnorm.maps.core import chain as chain
from tfnorm.maps.core import run as run
from tfnorm.maps.core import working_dtypes as working_dtypes
from tfnorm.maps.curves import Log1p as Log1p
from tfnorm.maps.samples import RowNorm as RowNorm
