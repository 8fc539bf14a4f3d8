"""`python -m tfnorm` is the command line tool."""

import sys

from tfnorm.cli import main

sys.exit(main())
