"""Train the same small network with each technique and with none, and say which helps.

The one law: the split is made before anything is fitted, and what differs between two runs is the normalization only.
"""

from tfnorm.comparing.contest import compare as compare
from tfnorm.comparing.values import Comparison as Comparison
from tfnorm.comparing.values import Contender as Contender
