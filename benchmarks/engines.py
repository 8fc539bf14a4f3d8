"""What an engine costs, and how it stands beside what its users have: all on the same Parquet files, by the same two cores.

    python benchmarks/engines.py --folder /tmp/bench    # the files, and tensorflow-transform's environment, are kept there

In turn, each a process of its own: `engines_overhead.py` (each engine beside threads), `engines_spark.py` (Spark's own scalers
and SQL) and `engines_beam.py` (tensorflow-transform, which has ten minutes). They need `pip install 'tfnorm[beam,dask,ray,spark]'
loky`, and Java 17.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

PARTS = ("overhead", "spark", "beam")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/tfnorm-engines"))
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    failed = 0
    for part in arguments.parts:
        script = Path(__file__).with_name(f"engines_{part}.py")
        failed |= subprocess.run([sys.executable, script, "--folder", arguments.folder / part], check=False).returncode
    sys.exit(failed)


if __name__ == "__main__":
    main()
