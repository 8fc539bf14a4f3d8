"""Which statistics make which map.

The one law: a technique is a function from statistics to a map, in one of the files here; `TECHNIQUES` has them all.
"""

# ruff: isort: off
from tfnorm.techniques import scales as scales  # the order in which they are listed
from tfnorm.techniques import curves as curves
from tfnorm.techniques import shapes as shapes
from tfnorm.techniques import limits as limits
from tfnorm.techniques import samples as samples
from tfnorm.techniques import joint as joint

# ruff: isort: on
from tfnorm.techniques.core import TECHNIQUES as TECHNIQUES
from tfnorm.techniques.core import Choosable as Choosable
from tfnorm.techniques.core import Grouping as Grouping
from tfnorm.techniques.core import Stages as Stages
from tfnorm.techniques.core import Technique as Technique
from tfnorm.techniques.core import TechniqueKind as TechniqueKind
from tfnorm.techniques.core import parse as parse
from tfnorm.techniques.core import technique as technique


def __getattr__(name: str) -> TechniqueKind:
    """Every technique, by its name."""
    if name not in TECHNIQUES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return TECHNIQUES[name]
