"""Whether new data are still those that were fitted.

The one law: no alarm without an effect worth acting on, and none that chance explains.
"""

from __future__ import annotations

from tfnorm.drift.values import ColumnDrift as ColumnDrift
from tfnorm.drift.values import Drift as Drift
