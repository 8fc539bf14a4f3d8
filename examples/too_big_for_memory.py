"""Fit on files that together need more memory than there may be: one pass, some parts of files at a time.

Run it: python examples/too_big_for_memory.py
"""

import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import tfnorm

FILES, PARTS, ROWS, COLUMNS = 16, 5, 20_000, 20  # parts are row groups of a file


def write(folder: Path) -> None:
    """Made-up sensor readings, a part at a time."""
    rng = np.random.default_rng(0)
    schema = pa.schema([(f"sensor_{i}", pa.float64()) for i in range(COLUMNS)])
    for number in range(FILES):
        with pq.ParquetWriter(folder / f"part-{number:02}.parquet", schema) as writer:
            for _ in range(PARTS):
                readings = [rng.normal(20 + i, 1 + i / 10, ROWS) for i in range(COLUMNS)]
                writer.write_table(pa.table(readings, schema=schema))


def peak_megabytes() -> float:
    """The most memory that this process has had (Linux and macOS)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        tfnorm.fit(folder / "part-00.parquet", "robust")  # loads and compiles what a fit needs

        before = peak_megabytes()
        fitted = tfnorm.fit(f"{folder}/part-*.parquet", "robust")
        grown = peak_megabytes() - before

        numbers = FILES * PARTS * ROWS * COLUMNS * 8 / 1e6
        print(f"{fitted.profile.num_rows:,} rows of {len(fitted.columns)} columns: {numbers:.0f} MB of numbers")
        print(f"the peak of memory grew by {grown:.0f} MB")
        fitted.save(folder / "norm.json")
        print(f"norm.json has {(folder / 'norm.json').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
