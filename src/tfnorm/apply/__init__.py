"""How maps run on NumPy arrays.

The one law: whatever the tiles, threads and compiled loops, a result is what the map's own formula gives.
"""

from tfnorm.apply.dense import Groups as Groups
from tfnorm.apply.dense import apply as apply
from tfnorm.apply.stored import apply_stored as apply_stored
