"""How many rows a second, by the same Beam runner on the same cores: tfnorm's scan, and tensorflow-transform's AnalyzeDataset?

    python benchmarks/engines_beam.py --folder /tmp/bench   # the file and tensorflow-transform's environment are kept there

tfnorm scans the whole file, everything it gathers; tensorflow-transform, for mean and variance alone, gets as many of its row
groups as it finishes within --limit seconds. Rates are of whole pipelines, from their start to their end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

import common
from common import EXACT, SINGLE, Reference, Report, Requirement, Section, say

WANTED = 50.0  # times as many rows a second
KINDS = ("dicts", "arrow")  # what tensorflow-transform is given: what its guide begins with, and what it takes fastest
FIRST, SECOND = 1, 3  # row groups, by which the time of more is estimated
MARGIN = 0.85  # of the limit that an estimate may take


def options(threads: int) -> list[str]:
    return [f"--direct_num_workers={threads}", "--direct_running_mode=multi_processing"]


def written(folder: Path, rows: int, columns: int, row_group: int) -> Path:
    """The Parquet file, made once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / f"{rows}x{columns}.parquet"
    if path.exists():
        return path
    names = [f"x{index}" for index in range(columns)]
    part = path.with_suffix(".part")
    with pq.ParquetWriter(part, pa.schema([(name, pa.float32()) for name in names])) as writer:
        for first in range(0, rows, row_group):
            block = common.normal(min(row_group, rows - first), columns, first_row=first)
            arrays = [pa.array(column) for column in block.T.copy()]
            writer.write_table(pa.table(dict(zip(names, arrays, strict=True))), row_group_size=row_group)
    part.rename(path)
    return path


def tft_python(folder: Path) -> Path:
    """The interpreter of tensorflow-transform's environment, which is made where it is not there: it takes minutes and 2.6 GB."""
    python = folder / "tft" / "bin" / "python"
    if not python.exists():
        say(f"making {folder / 'tft'}")
        venv.create(folder / "tft", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "tensorflow-transform"], check=True)
    return python


def reference(path: Path, groups: int) -> Reference:
    import numpy as np
    import pyarrow.parquet as pq

    def blocks() -> Any:
        file = pq.ParquetFile(path)
        for group in range(groups):
            table = file.read_row_group(group)
            yield np.stack([column.to_numpy() for column in table.columns], axis=1).astype(np.float64)

    return Reference.of(blocks)


def analyzed(python: Path, path: Path, kind: str, groups: int, threads: int, limit: float) -> dict[str, Any] | None:
    """What tensorflow-transform tells of so many row groups; None where it takes longer than `limit`."""
    script = Path(__file__).with_name("tft_analyze.py")
    command = [str(python), str(script), str(path), str(groups), kind, *options(threads)]
    try:
        run = subprocess.run(command, capture_output=True, timeout=limit + 60, check=False)
    except subprocess.TimeoutExpired:
        return None
    if run.returncode:
        raise SystemExit(run.stderr.decode(errors="replace")[-3000:])
    answer: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return answer if answer["seconds"] <= limit else None


def largest(python: Path, path: Path, kind: str, groups: int, threads: int, limit: float) -> tuple[int, dict[str, Any]]:
    """As many row groups as it finishes within the limit: two runs tell how long more would take."""
    found: list[tuple[int, dict[str, Any]]] = []
    for number in (FIRST, SECOND):
        answer = analyzed(python, path, kind, number, threads, limit)
        if answer is None:
            break
        found.append((number, answer))
        say(f"  tensorflow-transform, {kind}: {number} row groups in {answer['seconds']:.1f} s")
    if not found:
        raise SystemExit(f"tensorflow-transform does not finish one row group within {limit:g} s")
    if len(found) == 2:
        each = max(1e-3, (found[1][1]["seconds"] - found[0][1]["seconds"]) / (SECOND - FIRST))
        many = min(groups, SECOND + int((MARGIN * limit - found[1][1]["seconds"]) / each))
        while many > SECOND:
            answer = analyzed(python, path, kind, many, threads, limit)
            if answer is not None:
                say(f"  tensorflow-transform, {kind}: {many} row groups in {answer['seconds']:.1f} s")
                found.append((many, answer))
                break
            say(f"  tensorflow-transform, {kind}: {many} row groups take longer than {limit:g} s")
            many = many * 3 // 4
    return found[-1]


def by_transform(path: Path, threads: int) -> Any:
    """As tfnorm.beam.Scan in a pipeline, whose profile a file brings back."""
    import tempfile

    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    import tfnorm.beam

    with tempfile.TemporaryDirectory() as folder:
        with beam.Pipeline("FnApiRunner", options=PipelineOptions(options(threads))) as pipeline:
            text = pipeline | tfnorm.beam.Scan(str(path)) | beam.Map(tfnorm.beam.as_text)
            _ = text | beam.io.WriteToText(f"{folder}/profile.json", shard_name_template="")
        return tfnorm.load(f"{folder}/profile.json")


def race(report: Report, arguments: Any) -> None:
    """Both on the same file; adds a section to the report."""
    import tfnorm

    path = written(arguments.folder, arguments.rows, arguments.columns, arguments.row_group)
    groups = -(-arguments.rows // arguments.row_group)
    engine = "beam=" + " ".join(["--runner=FnApiRunner", *options(arguments.threads)])
    title = "beam: tfnorm's scan against tensorflow-transform's AnalyzeDataset(scale_to_z_score)"
    section = Section(title, f"{path.name}, {groups} row groups", path.stat().st_size / 1e9)
    report.sections.append(section)
    say(f"\n{section.title}: {section.data}")
    whole = reference(path, groups)
    ways = {
        "tfnorm.scan(engine=beam)": lambda: tfnorm.scan(path, engine=engine),
        "tfnorm.beam.Scan": lambda: by_transform(path, arguments.threads),
        "tfnorm.scan, threads": lambda: tfnorm.scan(path, workers=arguments.threads),
    }
    rates = {}
    for name, way in ways.items():
        seconds = []
        for _ in range(arguments.rounds):
            start = time.perf_counter()
            profile = way()
            seconds.append(time.perf_counter() - start)
        section.seconds[name] = seconds
        section.answers[name] = whole.check(common.of_profile(profile), tolerance=EXACT)
        rates[name] = arguments.rows / section.median(name)
        say(f"  {name}: {arguments.rows:,} rows in {section.median(name):.1f} s, {rates[name]:,.0f} rows/s")
    python = tft_python(arguments.folder)
    for kind in KINDS:
        many, answer = largest(python, path, kind, groups, arguments.threads, arguments.limit)
        rows = min(many * arguments.row_group, arguments.rows)
        said = reference(path, many).check(answer, tolerance=SINGLE)
        name = f"tensorflow-transform, {kind}, {rows:,} rows"
        section.seconds[name], section.answers[name] = [answer["seconds"]], said
        rate = rows / answer["seconds"]
        say(f"  {name} in {answer['seconds']:.1f} s, {rate:,.0f} rows/s; {said}")
        for ours in ("tfnorm.scan(engine=beam)", "tfnorm.beam.Scan"):
            times = rates[ours] / rate
            text = f"{ours} vs {kind}: {times:.1f} times as many rows a second (wanted: {WANTED:g})"
            report.require(section, Requirement(text, times, WANTED, times >= WANTED))


def main() -> None:
    parser = common.options(__doc__ or "", rounds=3)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/tfnorm-bench"), help="for the file and environment")
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--row-group", type=int, default=100_000)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds that tensorflow-transform has")
    arguments = parser.parse_args()
    common.settle(arguments.threads)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    report = Report(Path(sys.argv[0]).name, arguments)
    race(report, arguments)
    report.finish()


if __name__ == "__main__":
    main()
