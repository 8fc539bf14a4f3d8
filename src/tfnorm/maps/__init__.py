"""What is done to a number.

The one law: a map comes back, `m.inverse(m.forward(x)) == x` on the domain that the map states.
"""

from tfnorm.maps.core import Affine as Affine
from tfnorm.maps.core import Array as Array
from tfnorm.maps.core import Chain as Chain
from tfnorm.maps.core import Identity as Identity
from tfnorm.maps.core import Map as Map
from tfnorm.maps.core import Namespace as Namespace
from tfnorm.maps.core import Runnable as Runnable
from tfnorm.maps.core import Shape as Shape
from tfnorm.maps.core import chain as chain
from tfnorm.maps.core import run as run
from tfnorm.maps.core import working_dtypes as working_dtypes
from tfnorm.maps.curves import Asinh as Asinh
from tfnorm.maps.curves import BoxCox as BoxCox
from tfnorm.maps.curves import Fill as Fill
from tfnorm.maps.curves import Log1p as Log1p
from tfnorm.maps.curves import Piecewise as Piecewise
from tfnorm.maps.curves import Power as Power
from tfnorm.maps.curves import Present as Present
from tfnorm.maps.curves import Sigmoid as Sigmoid
from tfnorm.maps.curves import SignedLog as SignedLog
from tfnorm.maps.curves import SmoothClip as SmoothClip
from tfnorm.maps.curves import TukeyTails as TukeyTails
from tfnorm.maps.curves import YeoJohnson as YeoJohnson
from tfnorm.maps.keyed import UNSEEN as UNSEEN
from tfnorm.maps.keyed import ByKey as ByKey
from tfnorm.maps.limits import Clip as Clip
from tfnorm.maps.limits import Limit as Limit
from tfnorm.maps.limits import Unless as Unless
from tfnorm.maps.limits import Within as Within
from tfnorm.maps.marks import FillAndMark as FillAndMark
from tfnorm.maps.marks import mark_name as mark_name
from tfnorm.maps.matrix import Matrix as Matrix
from tfnorm.maps.patches import JoinPatches as JoinPatches
from tfnorm.maps.patches import Patches as Patches
from tfnorm.maps.places import after as after
from tfnorm.maps.places import sparse_flaw as sparse_flaw
from tfnorm.maps.samples import PLAIN as PLAIN
from tfnorm.maps.samples import Instance as Instance
from tfnorm.maps.samples import RowNorm as RowNorm
from tfnorm.maps.spread import SPREADS as SPREADS
from tfnorm.maps.spread import spread_of as spread_of
