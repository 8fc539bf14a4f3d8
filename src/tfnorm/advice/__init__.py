"""Which technique suits which column, and why."""

from tfnorm.advice.values import Advice as Advice
from tfnorm.advice.values import Candidate as Candidate
from tfnorm.advice.values import ColumnAdvice as ColumnAdvice
