"""Ways out of Python: what a fit becomes where tfnorm is not installed, and whether it is still the same fit there.

The one law: an export gives what the fit gives in NumPy (`verify` says how nearly), and tells which fit it is (`fingerprint`).
"""

from tfnorm.exits.exporting import Export as Export
from tfnorm.exits.exporting import export as export
from tfnorm.exits.identifying import fingerprint as fingerprint
from tfnorm.exits.identifying import fingerprints as fingerprints
from tfnorm.exits.verifying import Difference as Difference
from tfnorm.exits.verifying import Verification as Verification
from tfnorm.exits.verifying import verify as verify
