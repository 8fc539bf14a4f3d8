"""Writes docs/sources.md from the table of formats: `make docs`.

The one law: what is said of a format is its line in the table; nothing is typed here twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tfnorm.sources.formats import FORMATS, Format

TARGET = Path(__file__).parent / "sources.md"

OBJECTS = (
    ("NumPy arrays, mappings of them, lists", '`tfnorm.fit(x)`, `tfnorm.fit({"age": ages})`', ""),
    ("SciPy sparse matrices", "`tfnorm.fit(matrix)`", ""),
    ("pandas, polars, pyarrow, DuckDB relations, and whatever has `__arrow_c_stream__`", "`tfnorm.fit(frame)`", ""),
    ("`tf.data.Dataset`, tensors, sparse and ragged ones", "`tfnorm.fit(dataset)`", "`tf`"),
    (
        'TensorFlow Datasets builders: the split "train", or the only one',
        '`tfnorm.fit(tfds.builder("name"))`',
        "tensorflow-datasets",
    ),
    ("Keras `PyDataset`", "`tfnorm.fit(dataset)`", "`tf`"),
    ("Hugging Face `Dataset`, `IterableDataset`", '`tfnorm.fit(datasets["train"])`', "datasets"),
    ("PyTorch `DataLoader`, `Dataset`", "`tfnorm.fit(loader)`", "torch"),
    ("grain `DataLoader`, `MapDataset`, `IterDataset`", "`tfnorm.fit(loader)`", "grain"),
    (
        "SQL by DuckDB, ADBC, or any DB-API connection",
        '`tfnorm.fit(tfnorm.sql("SELECT ...", connection))`',
        "the driver",
    ),
    (
        "SQL of a database in a file",
        """`tfnorm.sql("SELECT ...", "duckdb:///a.duckdb")`, `tfnorm fit sqlite:///a.db --query "SELECT ..."`""",
        "`sql` for DuckDB",
    ),
    (
        "images: JPEG, PNG, WebP, BMP files, of 8 and 16 bits, in folders; or encoded in a column of any source",
        '`tfnorm.fit("photos/")`, `tfnorm.images.open(source, column="photo")`',
        "`tf`, or `images` for Pillow",
    ),
    ("iterables of batches, functions that return one", "`tfnorm.fit(lambda: batches())`", ""),
)


HEAD = """# Where data may lie

<!-- written by docs/sources.py from the table of formats: edit that -->

## Files

A path, a URL, a glob, a folder, or a list of these; the end of a name says the format. All files of a source must have the
wanted columns, by name. `tfnorm transform` writes what the last column says.

| format | endings | read by | what of it | by URL | needs | written |
|---|---|---|---|---|---|---|
"""
URLS = """
**URLs**: `s3://` and `gs://` by Arrow's own file systems (`?endpoint_override=` and the like as Arrow has them), `http(s)://`
and whatever else fsspec knows with `pip install 'tfnorm[remote]'`. Folders and globs work where the store can list.
"""
RULES = """
## What holds for all

- The same values give the same statistics to the last bit, in whatever format or object they come, where it keeps them
  and where rows are cut alike.
- Never more than some parts of a source are in memory: those that are measured, and as many that wait.
- Nothing is unpickled, and nothing that is read is run. A file that is cut off, altered or not what its name says is an
  error with its name, and so is one that changes while it is read. Only a mapped file (`.npy`, large Arrow batches) that is
  cut short in that very moment ends the process, as the system has it.
- NaN and null are missing, counted apart. Text, objects in objects and complex numbers cannot be fitted, and are left out.
"""


def page() -> str:
    """The whole page."""
    files = [f"| {' | '.join(_cells(one))} |\n" for one in FORMATS]
    objects = [f"| {' | '.join(line)} |\n" for line in (("what", "how", "needs"), ("---",) * 3, *OBJECTS)]
    return "".join([HEAD, *files, URLS, "\n## Objects\n\n", *objects, RULES])


def _cells(one: Format) -> Iterator[str]:
    yield one.name
    yield " ".join(f"`{ending}`" for ending in one.endings)
    yield one.shard
    yield one.about
    yield "yes" if one.remote else "no"
    yield "" if one.extra is None else f"`tfnorm[{one.extra}]`"
    yield "yes" if one.writer else "no"


if __name__ == "__main__":
    TARGET.write_text(page())
