"""What pytest leaves out: files that import a library which is an extra, or has an environment of its own."""

from importlib.util import find_spec

collect_ignore = ["tests/make_tft.py", *([] if find_spec("apache_beam") else ["src/tfnorm/beam"])]
