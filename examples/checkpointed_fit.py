"""A fit over files that may be stopped at any moment: the same call goes on, and added files alone are read.

Run it: python examples/checkpointed_fit.py
"""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import tfnorm

CHOICE = {"price": ["log1p", "standard"], "rating": "minmax"}


def write(folder: Path, numbers: range) -> None:
    """Made-up orders, a file a day."""
    for number in numbers:
        rng = np.random.default_rng(number)
        day = {"price": rng.lognormal(3, 1, 50_000), "rating": rng.integers(1, 6, 50_000)}
        pq.write_table(pa.table(day), folder / f"day-{number:02}.parquet")


class StoppedError(Exception):
    """Stands for a machine that is taken away."""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, kept = Path(name, "days"), Path(name, "parts")
        folder.mkdir()
        write(folder, range(10))

        def stop(progress: tfnorm.Progress) -> None:
            if progress.done >= 200_000:
                raise StoppedError

        try:
            tfnorm.fit(folder, CHOICE, checkpoint=kept, workers=1, callback=stop)
        except StoppedError:
            print(f"stopped after {len(list(kept.glob('*.json')))} of 10 files")

        fitted = tfnorm.fit(folder, CHOICE, checkpoint=kept)
        plain = tfnorm.fit(folder, CHOICE)
        print(f"went on to {fitted.profile.num_rows:,} rows; as a run never stopped: {fitted == plain}")

        write(folder, range(10, 12))
        more = tfnorm.fit(folder, CHOICE, checkpoint=kept)
        print(f"two days more: {more.profile.num_rows:,} rows, {len(list(kept.glob('*.json')))} files kept in parts")


if __name__ == "__main__":
    main()
