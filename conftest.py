"""What pytest leaves out: doctests of files whose library is an extra that is not installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("apache_beam") else ["src/tfnorm/beam"]
