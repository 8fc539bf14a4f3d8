"""Fits from and for other libraries.

The one law: `convert(scaler).transform(x)` is `scaler.transform(x)`, by the numbers that are in it; nothing is made up about rows
that it does not tell of. No pickle is opened: hand over the object.
"""

from tfnorm.converting.libraries import convert as convert
