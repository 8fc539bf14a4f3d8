"""Whether new data are still those that were fitted.

The one law: no alarm without an effect worth acting on, and none that chance explains.
"""

from tfnorm.drift.checking import check as check
from tfnorm.drift.judging import Thresholds as Thresholds
from tfnorm.drift.values import ColumnDrift as ColumnDrift
from tfnorm.drift.values import Drift as Drift
from tfnorm.drift.watching import Watch as Watch
from tfnorm.drift.watching import watch as watch
