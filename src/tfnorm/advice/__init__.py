"""Which technique suits which column, and why.

The one law: no rule per technique. Candidates are pushed through the sketch, measured, and weighed by numbers that come from
training results (docs/advice.md).
"""

from tfnorm.advice.advising import advise as advise
from tfnorm.advice.auto import Asked as Asked
from tfnorm.advice.auto import resolved as resolved
from tfnorm.advice.values import Advice as Advice
from tfnorm.advice.values import Candidate as Candidate
from tfnorm.advice.values import ColumnAdvice as ColumnAdvice
