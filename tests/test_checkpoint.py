"""A fit that is stopped goes on; files are added; what cannot be read is left out by request."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tfnorm
from tfnorm import cli
from tfnorm.errors import ChoiceError, DataError

CHOICE = {"a": "robust", "b": ["yeo_johnson", "standard"], "c": "standard.by('k')"}


def write(path: Path, seed: int, rows: int = 3000, groups: int = 3) -> None:
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 9, rows)
    table = {"a": rng.normal(size=rows), "b": rng.lognormal(size=rows), "c": rng.normal(keys), "k": keys}
    pq.write_table(pa.table(table), path, row_group_size=-(-rows // groups), write_page_checksum=True)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "train"
    folder.mkdir()
    for number in range(4):
        write(folder / f"part-{number}.parquet", number)
    return folder


def times_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    from tfnorm.measuring import Measure

    read: list[str] = []
    of = Measure.__call__

    def counted(self: Measure, shard: object) -> object:
        read.append(shard.name)  # type: ignore[attr-defined]
        return of(self, shard)  # type: ignore[arg-type]

    monkeypatch.setattr(Measure, "__call__", counted)
    return read


@pytest.mark.parametrize("exact", [False, True])
def test_the_same_bits_and_nothing_read_twice(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact: bool
) -> None:
    plain = tfnorm.fit(files, CHOICE, exact=exact)
    read = times_read(monkeypatch)
    kept = tmp_path / "kept"
    assert tfnorm.fit(files, CHOICE, exact=exact, checkpoint=kept).profile == plain.profile
    assert len(read) % 12 == 0
    read.clear()
    again = tfnorm.fit(files, CHOICE, exact=exact, checkpoint=kept)
    assert read == []
    assert again.profile == plain.profile
    assert again.fingerprint == plain.fingerprint


def test_added_and_changed_files_alone_are_read(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept = tmp_path / "kept"
    tfnorm.scan(files, checkpoint=kept)
    write(files / "part-9.parquet", 9)
    write(files / "part-1.parquet", 77)
    read = times_read(monkeypatch)
    with caplog.at_level("INFO", "tfnorm"):
        found = tfnorm.scan(files, checkpoint=kept)
    assert {name.split(",")[0].rsplit("/")[-1] for name in read} == {"part-1.parquet", "part-9.parquet"}
    assert "part-1.parquet, row group 0: it has changed since it was recorded" in caplog.text
    assert found == tfnorm.scan(files)


def test_a_change_that_size_and_time_hide_is_seen(files: Path, tmp_path: Path) -> None:
    """CSV rows of equal length, and the old time put back."""
    path, kept = tmp_path / "x.csv", tmp_path / "kept"
    path.write_text("x\n1\n2\n")
    status = path.stat()
    assert tfnorm.scan(path, checkpoint=kept)["x"].mean == 1.5
    path.write_text("x\n7\n9\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert tfnorm.scan(path, checkpoint=kept)["x"].mean == 8.0


def test_another_choice_has_parts_of_its_own(files: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    tfnorm.fit(files, {"a": "minmax"}, checkpoint=kept)
    assert tfnorm.fit(files, {"a": "robust"}, checkpoint=kept).profile == tfnorm.fit(files, {"a": "robust"}).profile


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "foreign", "other"])
def test_a_damaged_record_is_measured_again(
    files: Path, tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept = tmp_path / "kept"
    plain = tfnorm.scan(files, checkpoint=kept)
    for number, path in enumerate(sorted(kept.glob("*.json"))):
        data = path.read_bytes()
        place = random.Random(number).randrange(len(data) // 2, len(data) - 2)
        harmed = {
            "cut": data[:place],
            "flip": data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :],
            "empty": b"",
            "foreign": b'{"checksum": 3}\n[]\n',
            "other": sorted(kept.glob("*.json"))[number - 1].read_bytes(),
        }
        path.write_bytes(harmed[harm])
    with caplog.at_level("INFO", "tfnorm"):
        assert tfnorm.scan(files, checkpoint=kept) == plain
    assert "read again" in caplog.text


def test_what_cannot_hold_a_checkpoint(files: Path, tmp_path: Path) -> None:
    with pytest.raises(ChoiceError, match="for files"):
        tfnorm.scan({"x": [1.0]}, checkpoint=tmp_path / "kept")
    with pytest.raises(ChoiceError, match="a profile is not read again"):
        tfnorm.fit(tfnorm.scan({"x": [1.0]}), "minmax", checkpoint=tmp_path / "kept")
    with pytest.raises(ChoiceError, match="not empty"):
        tfnorm.scan(files, checkpoint=files)
    with pytest.raises(ChoiceError, match="cannot hold a checkpoint"):
        tfnorm.scan(files, checkpoint=files / "part-0.parquet")


RUN = "import sys, tfnorm; tfnorm.fit(sys.argv[1], {choice!r}, checkpoint=sys.argv[2], workers=2).save(sys.argv[3])"


def test_killed_at_any_moment_it_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    folder.mkdir()
    for number in range(20):
        write(folder / f"part-{number:02}.parquet", number, 40_000, 4)
    killed(RUN.format(choice=CHOICE), folder, tfnorm.fit(folder, CHOICE), tmp_path, kills=20)


IMAGES = "tfnorm.images.open(sys.argv[1], decoder='pillow')"


def test_killed_among_images_it_goes_on(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "photos"
    for number in range(240):
        pixels = np.random.default_rng(number).integers(0, 256, (30, 40, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        path = folder / f"class-{number % 3}" / f"{number:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels).save(path)
    plain = tfnorm.fit(tfnorm.images.open(folder, decoder="pillow"), "robust")
    killed(RUN.format(choice="robust").replace("sys.argv[1]", IMAGES, 1), folder, plain, tmp_path, kills=10)


def killed(code: str, data: Path, plain: tfnorm.Fitted, tmp_path: Path, *, kills: int) -> None:
    """Stop it so often at any moment: what was recorded stays, and the end is that of a run never stopped."""
    kept, out = tmp_path / "kept", tmp_path / "norm.json"
    command = [sys.executable, "-c", code, str(data), str(kept), str(out)]
    rng = random.Random(0)
    counts = []
    for _ in range(kills):
        process = subprocess.Popen(command)
        waited, start = rng.uniform(0.0, 0.4), len(list(kept.glob("*.json"))) if kept.exists() else 0
        for _ in range(1000):  # until it has begun to record
            if (kept.exists() and len(list(kept.glob("*.json"))) > start) or process.poll() is not None:
                break
            time.sleep(0.01)
        time.sleep(waited)
        process.send_signal(signal.SIGKILL)
        process.wait()
        counts.append(len(list(kept.glob("*.json"))))
        assert not out.exists() or tfnorm.load(out).profile == plain.profile
    assert counts == sorted(counts)
    assert counts[-1] > 0
    subprocess.run(command, check=True)
    assert tfnorm.load(out).profile == plain.profile
    assert tfnorm.load(out).fingerprint == plain.fingerprint


def test_two_at_once(files: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    commands = [
        [sys.executable, "-c", RUN.format(choice=CHOICE), str(files), str(kept), str(tmp_path / f"{number}.json")]
        for number in range(2)
    ]
    running = [subprocess.Popen(command) for command in commands]
    assert [process.wait() for process in running] == [0, 0]
    plain = tfnorm.fit(files, CHOICE)
    assert all(tfnorm.load(tmp_path / f"{number}.json").profile == plain.profile for number in range(2))
    assert tfnorm.fit(files, CHOICE, checkpoint=kept).profile == plain.profile


def spoil(path: Path) -> None:
    """A bit of a page's data, which its checksum covers."""
    metadata = pq.read_metadata(path)
    column = metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(data)


def test_skipped_parts_are_named_and_the_rest_counts(files: Path, caplog: pytest.LogCaptureFixture) -> None:
    spoil(files / "part-0.parquet")
    (files / "part-1.parquet").write_bytes(b"PAR1 nothing")
    pq.write_table(pa.table({"a": ["text"], "b": [1.0], "c": [1.0], "k": [1]}), files / "part-2.parquet")
    with pytest.raises(DataError):
        tfnorm.scan(files)
    with caplog.at_level("WARNING", "tfnorm"):
        found = tfnorm.scan(files, on_error="skip")
    skipped = found.provenance[0].skipped
    assert [Path(one.part.split(",")[0]).name for one in skipped] == [
        "part-1.parquet",
        "part-2.parquet",
        "part-0.parquet",
    ]
    assert skipped[2].part.endswith("row group 1")
    assert all(Path(one.part.split(",")[0]).name in one.reason for one in skipped)
    assert found.num_rows == 5000
    assert caplog.text.count("skipped:") == 3
    parts = [pq.ParquetFile(files / "part-0.parquet").read_row_group(i) for i in (0, 2)]
    wanted = tfnorm.scan([pa.concat_tables([*parts, pq.read_table(files / "part-3.parquet")])])
    assert found["a"].mean == pytest.approx(wanted["a"].mean, rel=1e-14)


def test_infinite_values_are_no_fault_of_the_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1.0, float("inf")]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="infinite"):
        tfnorm.fit(tmp_path / "x.parquet", "minmax", on_error="skip")


@pytest.mark.parametrize("how", [{}, {"on_error": "skip"}, {"mask": "there"}])
def test_rows_are_called_alike_whatever_is_wrapped_around_a_part(tmp_path: Path, how: dict[str, str]) -> None:
    (tmp_path / "x.csv").write_text("x,there\n1,true\ninf,true\n")
    with pytest.raises(DataError, match="row 3 "):
        tfnorm.fit(tmp_path / "x.csv", {"x": "minmax"}, **how)


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match="nothing could be read"):
        tfnorm.scan(tmp_path, on_error="skip")


def test_on_the_command_line(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(files / "part-0.parquet")
    out = str(tmp_path / "norm.json")
    arguments = ["fit", str(files), "-t", "minmax", "-o", out, "--checkpoint", str(tmp_path / "kept")]
    assert cli.main(arguments) == 1
    assert "part-0.parquet" in capsys.readouterr().err
    assert cli.main([*arguments, "--on-error", "skip"]) == 4
    assert "skipped: " in capsys.readouterr().err
    assert len(json.loads(Path(out).read_text())["content"]["profile"]["provenance"][0]["skipped"]) == 1
    assert tfnorm.load(out).profile.provenance[0].skipped[0].part.endswith("row group 1")
    write(files / "part-0.parquet", 0)
    assert cli.main([*arguments, "--force"]) == 0
    assert tfnorm.load(out).profile == tfnorm.fit(files, "minmax").profile
