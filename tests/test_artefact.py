"""The file: what is saved comes back, what was altered is refused, and a file is whole whatever happens to its writer."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfnorm
from tfnorm.errors import ArtefactError, TfnormError
from tfnorm.fitted import Fitted
from tfnorm.profile import Profile
from tfnorm.running import Running


def example() -> Fitted:
    generator = np.random.default_rng(61)
    data = {
        "age": generator.normal(40, 12, 6000),
        "fare": generator.exponential(30, 6000),
        "embedding": generator.normal(size=(6000, 3)),
        "constant": np.full(6000, 0.1),
        "missing": np.full(6000, np.nan),
        "count": 2**53 + generator.integers(0, 9, 6000),
    }
    choice = {
        "age": "standard",
        "fare": ["log1p", "robust"],
        "embedding": "l2",
        "constant": "minmax(-1, 1, clip=True)",
        "missing": "standard",
        "count": "mean_range",
    }
    return tfnorm.fit(data, choice)


FITTED = example()
PROFILE = tfnorm.scan({"a": np.random.default_rng(62).normal(size=9000), "b": [1.0] * 8999 + [np.nan]})


RUNNING = tfnorm.Running({"a": "robust", "b": ["log1p", "minmax"]}, half_life=500).update(
    {"a": np.random.default_rng(63).normal(size=6000), "b": [1.0] * 5999 + [np.nan]}
)


def written(value: Fitted | Profile | Running, folder: Path) -> dict[str, Any]:
    value.save(folder / "written.json")
    return json.loads((folder / "written.json").read_text())  # type: ignore[no-any-return]


def signed(whole: dict[str, Any]) -> bytes:
    """The file with a checksum that fits: what someone writes who means harm."""
    canonical = json.dumps(whole["content"], sort_keys=True, separators=(",", ":"))
    return json.dumps({**whole, "checksum": "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()}).encode()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(data: bytes, folder: Path, said: str | None = None) -> None:
    (folder / "altered.json").write_bytes(data)
    with pytest.raises(ArtefactError, match=said) as error:
        tfnorm.load(folder / "altered.json")
    assert "altered.json" in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    "value", [FITTED, PROFILE, FITTED.profile, RUNNING], ids=["fitted", "profile", "profile of a fit", "running"]
)
def test_what_is_saved_comes_back(value: Any, tmp_path: Path) -> None:
    value.save(tmp_path / "a.json")
    back = tfnorm.load(tmp_path / "a.json")
    assert type(back) is type(value)
    assert back == value
    back.save(str(tmp_path / "b.json"))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert names(tmp_path) == ["a.json", "b.json"]


def test_a_loaded_fit_is_as_the_one_that_was_saved(tmp_path: Path) -> None:
    FITTED.save(tmp_path / "a.json")
    back = tfnorm.load(tmp_path / "a.json")
    batch = {"age": [1.0, np.nan], "fare": [0.0, 9.0], "embedding": [[1.0, 2, 3]] * 2, "count": [2**53 + 1, 2**53 + 4]}
    for name, values in FITTED.transform(batch).items():
        np.testing.assert_array_equal(back.transform(batch)[name], values)
    assert (back.choice, back.columns, back.fingerprint) == (FITTED.choice, FITTED.columns, FITTED.fingerprint)
    assert (back + back).profile.num_rows == 12000
    assert back.profile["fare"].count.finite[0] == 6000
    assert "log1p" in (tmp_path / "a.json").read_text()  # people can read it
    loaded = json.loads(
        (tmp_path / "a.json").read_text(), parse_constant=lambda text: pytest.fail(f"{text} is no JSON")
    )
    assert (loaded["format"], loaded["version"], loaded["tfnorm"]) == ("tfnorm", 1, tfnorm.__version__)


NAMES = ["", " ", "/", "../../etc/passwd", "a\nb", "a\x00b", "\u202eevil", "<script>alert(1)</script>", "__proto__", "=1+1",
         "é", "e\u0301", "x" * 10_000, '"', "\\", "is", "zlib", "{}", "a.b[0]", "\ud800", "😀"]  # fmt: skip


def test_any_name_of_a_column(tmp_path: Path) -> None:
    fitted = tfnorm.fit({name: [float(i), i + 1.0] for i, name in enumerate(NAMES)}, "minmax")
    fitted.save(tmp_path / "a.json")
    assert names(tmp_path) == ["a.json"]
    back = tfnorm.load(tmp_path / "a.json")
    assert list(back.columns) == NAMES
    assert back == fitted
    assert back.transform({"__proto__": [8.0]})["__proto__"].tolist() == [0.0]


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ({"version": 2}, r"version 2 is newer.*pip install -U tfnorm"),
        ({"version": 10**30}, "newer"),
        ({"version": 0}, "whole number from 1"),
        ({"version": "1"}, "whole number from 1"),
        ({"version": True}, "whole number from 1"),
        ({"version": 1.0}, "whole number from 1"),
        ({"version": None}, "whole number from 1"),
        ({"format": "other"}, "not a tfnorm artefact"),
        ({"kind": "profile"}, "nothing that this tfnorm saves"),
        ({"kind": "model"}, "nothing that this tfnorm saves"),
        ({"kind": ["fitted"]}, "nothing that"),
        ({"kind": {}}, "nothing that"),
        ({"more": 1}, "its parts are"),
        ({"content": {}}, "nothing that this tfnorm saves"),
        ({"content": []}, "parts list"),
        ({"content": None}, "parts NoneType"),
    ],
)
def test_heads(head: dict[str, Any], said: str, tmp_path: Path) -> None:
    refused(signed({**written(FITTED, tmp_path), **head}), tmp_path, said)


@pytest.mark.parametrize("value", [FITTED, PROFILE, RUNNING], ids=["fitted", "profile", "running"])
def test_altered_bytes(value: Any, tmp_path: Path) -> None:
    value.save(tmp_path / "a.json")
    data = (tmp_path / "a.json").read_bytes()
    chance = random.Random(63)
    for at in [*range(400), *(chance.randrange(len(data)) for _ in range(300))]:
        altered = bytearray(data)
        altered[at] ^= 1 << chance.randrange(8)
        (tmp_path / "b.json").write_bytes(altered)
        with contextlib.suppress(ArtefactError):
            assert tfnorm.load(tmp_path / "b.json") == value  # white space, or the version that wrote it
    for stop in [0, 1, 2, len(data) // 2, len(data) - 3, *(chance.randrange(len(data)) for _ in range(50))]:
        refused(data[:stop], tmp_path)
    refused(data + b"{}", tmp_path, "not JSON")
    refused(data.replace(b'"checksum": "sha256:', b'"checksum": "sha1:'), tmp_path, "checksum")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to everything in a JSON value; of long lists to the first."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def altered(value: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(value)
    copy = value.copy()
    copy[path[0]] = altered(copy[path[0]], path[1:], change)
    return copy


def reached(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


@pytest.mark.parametrize("value", [FITTED, PROFILE, RUNNING], ids=["fitted", "profile", "running"])
def test_missing_and_extra_keys(value: Any, tmp_path: Path) -> None:
    whole = written(value, tmp_path)
    objects = [path for path in places(whole) if path and isinstance(reached(whole, path), dict)]
    assert len(objects) > 10
    for path in objects:
        for key in reached(whole, path):
            changed = altered(whole, path, lambda old, key=key: {k: v for k, v in old.items() if k != key})
            refused(signed(changed), tmp_path)
        refused(signed(altered(whole, path, lambda old: {**old, "more": 1})), tmp_path)


@pytest.mark.parametrize("value", [FITTED, PROFILE, RUNNING], ids=["fitted", "profile", "running"])
def test_anything_in_place_of_anything(value: Any, tmp_path: Path) -> None:
    """With a checksum that fits: refused, or a fit that works; never another error."""
    whole = written(value, tmp_path)
    others: list[Any] = [None, True, -1, 0.5, 1e308, 10**30, "nan", "x", [], [[1.0]], {"is": 1}]
    loaded = 0
    for path in places(whole["content"], ("content",)):
        for other in others:
            (tmp_path / "b.json").write_bytes(signed(altered(whole, path, lambda _, other=other: other)))
            try:
                found = tfnorm.load(tmp_path / "b.json")
            except ArtefactError:
                continue
            loaded += 1
            if isinstance(found, Fitted):
                found.transform({"age": [1.0], "fare": [2.0], "count": [3]})
            if isinstance(found, Running):
                with contextlib.suppress(TfnormError):  # numbers of one column that do not go together
                    found.update({"a": [1.0, 2.0], "b": [2.0, 3.0]}).normalize({"a": [1.0], "b": [2.0]})
    assert loaded < 400  # where one number of the data may as well be another


def test_duplicate_keys(tmp_path: Path) -> None:
    data = signed(written(FITTED, tmp_path))
    refused(data.replace(b'"format"', b'"format": "tfnorm", "format"', 1), tmp_path, "twice")
    refused(data.replace(b'"is"', b'"is": "x", "is"', 1), tmp_path, "twice")


@pytest.mark.parametrize(
    "literal", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 5000, b"-1e999", b"0x10", b"01"]
)
def test_numbers_that_json_has_not(literal: bytes, tmp_path: Path) -> None:
    data = signed(written(FITTED, tmp_path))
    refused(data.replace(b'"num_rows": 6000', b'"num_rows": ' + literal, 1), tmp_path)
    refused(data.replace(b'"center": [', b'"center": [' + literal + b", ", 1), tmp_path)


@pytest.mark.parametrize("depth", [30, 100, 900, 990, 2000, 100_000, 1_000_000])
@pytest.mark.parametrize("signs", ["[]", "{}"])
def test_deep_nesting(depth: int, signs: str, tmp_path: Path) -> None:
    begin = b"[" if signs == "[]" else b'{"a":'
    refused(begin * depth, tmp_path)
    inner = begin * depth + b"1" + (b"]" if signs == "[]" else b"}") * depth
    head = {**written(FITTED, tmp_path), "content": {"profile": "HERE", "choice": {}, "maps": {}}}
    for checksum in (None, hashlib.sha256(b'{"choice":{},"maps":{},"profile":' + inner + b"}").hexdigest()):
        whole = {**head, "checksum": f"sha256:{checksum}"}
        refused(json.dumps(whole).encode().replace(b'"HERE"', inner), tmp_path)


def test_what_is_no_artefact(tmp_path: Path) -> None:
    for data in (
        b"",
        b"{}",
        b"[]",
        b"null",
        b"3",
        b'"tfnorm"',
        b"\xff\xfe",
        b"PK\x03\x04",
        b"a,b\n1,2\n",
        b"\x80\x04K.",
    ):
        refused(data, tmp_path)
    with pytest.raises(ArtefactError, match="cannot be read"):
        tfnorm.load(tmp_path / "none.json")
    with pytest.raises(ArtefactError, match="cannot be read"):
        tfnorm.load(tmp_path)
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(ArtefactError, match="too large"):
        tfnorm.load(tmp_path / "large.json")


def statistic(whole: dict[str, Any], kind: str) -> tuple[Any, ...]:
    gatherings = whole["content"]["profile"]["gatherings"]
    (at,) = (i for i, one in enumerate(gatherings) if one["statistic"]["is"] == kind)
    return "content", "profile", "gatherings", at, "statistic"


@pytest.mark.parametrize(
    ("kind", "field", "change", "said"),
    [
        ("Count", "finite", lambda v: [-1, *v[1:]], "from 0 up"),
        ("Count", "zero", lambda v: [10**9, *v[1:]], "more zeros"),
        ("Count", "finite", lambda v: v[:-1], "length|features"),
        ("Count", "finite", lambda v: [0.5, *v[1:]], "whole number"),
        ("Extremes", "minimum", lambda v: [1e300, *v[1:]], "above its maximum"),
        ("Extremes", "minimum", lambda v: ["nan", *v[1:]], "not finite"),
        ("Extremes", "maximum", lambda v: ["inf", *v[1:]], "not finite"),
        ("Moments", "m2", lambda v: [-1.0, *v[1:]], "negative"),
        ("Moments", "mean", lambda v: ["nan", *v[1:]], "not finite"),
        ("Moments", "exponent", lambda v: [1e9, *v[1:]], "exponent"),
        ("Moments", "weight", lambda v: [-2.0, *v[1:]], "negative"),
        ("Moments", "m4", lambda v: [*v, 1.0], "length|features"),
        ("Quantiles", "ends", lambda v: [v[0] + 1, *v[1:]], "ends"),
        ("Quantiles", "ends", lambda v: [*v, v[-1]], "features"),
        ("Quantiles", "counts", lambda v: {**v, "items": v["items"] + 1}, "bytes"),
        ("Quantiles", "counts", lambda v: {**v, "items": v["items"] - 1}, "bytes"),
        ("Quantiles", "counts", lambda v: {**v, "items": -1}, "0 to"),
        ("Quantiles", "counts", lambda v: {**v, "items": 1 << 28}, "as many as the data can hold"),
        ("Quantiles", "counts", lambda v: {**v, "items": 1 << 60}, "0 to"),
        ("Quantiles", "counts", lambda v: {**v, "items": True}, "0 to"),
        ("Quantiles", "keys", lambda v: {**v, "zlib": "!" * len(v["zlib"])}, "not compressed data"),
        ("Quantiles", "keys", lambda v: {**v, "zlib": "AAAA" + v["zlib"]}, "not compressed data"),
        ("Quantiles", "keys", lambda v: {**v, "zlib": v["zlib"][: len(v["zlib"]) // 8 * 4]}, "bytes"),
        ("Quantiles", "levels", lambda v: packed(np.full(v["items"], 200, np.uint8)), "level"),
        ("Quantiles", "counts", lambda v: packed(np.full(v["items"], np.nan)), "count"),
        ("Quantiles", "keys", lambda v: packed(np.zeros(v["items"], np.uint64)), "order"),
    ],
)
def test_states_that_no_data_have(kind: str, field: str, change: Any, said: str, tmp_path: Path) -> None:
    whole = written(FITTED, tmp_path)
    refused(signed(altered(whole, (*statistic(whole, kind), field), change)), tmp_path, said)


def packed(array: np.ndarray) -> dict[str, Any]:
    planes = array.view(np.uint8).reshape(-1, array.itemsize).T.tobytes()
    return {"items": len(array), "zlib": base64.b64encode(zlib.compress(planes)).decode()}


def test_maps_that_no_fit_has(tmp_path: Path) -> None:
    whole = written(FITTED, tmp_path)
    age = ("content", "maps", "age")
    for path, other in (
        ((*age, "center"), [1.0, 2.0]),
        ((*age, "center"), []),
        ((*age, "scale"), ["inf"]),
        ((*age, "is"), "RowNorm"),
        ((*age, "is"), "object"),
        ((*age, "is"), "Moments"),
        (age, {"is": "Chain", "maps": []}),
        (("content", "maps", "embedding", "axes"), [1]),
        (("content", "maps", "embedding", "axes"), [0]),
        (("content", "maps", "embedding", "order"), "nan"),
        (("content", "choice", "age"), "minmax(5, 1)"),
        (("content", "choice", "age"), "__import__('os')"),
        (("content", "choice"), {"age": "standard"}),
    ):
        refused(signed(altered(whole, path, lambda _, other=other: other)), tmp_path)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    whole = written(FITTED, tmp_path)
    bomb = base64.b64encode(zlib.compress(bytes(1 << 28))).decode()
    path = (*statistic(whole, "Quantiles"), "counts")
    for items in (10, 100_000):
        data = signed(altered(whole, path, lambda _, items=items: {"items": items, "zlib": bomb}))
        (tmp_path / "bomb.json").write_bytes(data)
        tracemalloc.start()
        with pytest.raises(ArtefactError, match="bytes"):
            tfnorm.load(tmp_path / "bomb.json")
        assert tracemalloc.get_traced_memory()[1] < 20 * len(data)
        tracemalloc.stop()


# Writing: the old file or the new one.


def run(code: str, *args: object, wait: bool = True) -> Any:
    command = [sys.executable, "-c", code, *map(str, args)]
    if wait:
        return subprocess.run(command, capture_output=True, text=True, check=False)
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    PROFILE.save(tmp_path / "a.json")
    before = (tmp_path / "a.json").read_bytes()
    code = (
        "import resource, signal, sys, tfnorm\n"
        "value = tfnorm.load(sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        value.save(path)\n"
        "    except OSError as error:\n"
        "        print(error.errno)\n"
    )
    done = run(code, tmp_path / "a.json", tmp_path / "new.json")
    assert done.stdout.split() == ["27", "27"], done.stderr
    assert (tmp_path / "a.json").read_bytes() == before
    assert names(tmp_path) == ["a.json"]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in ("/proc/norm.json", tmp_path / "none" / "a.json", tmp_path / "file" / "a.json", tmp_path / "folder"):
        with pytest.raises(OSError):  # noqa: PT011  # which one is the system's affair
            FITTED.save(path)
    if os.geteuid():
        (tmp_path / "folder").chmod(0o500)
        with pytest.raises(PermissionError):
            FITTED.save(tmp_path / "folder" / "a.json")
    assert names(tmp_path) == ["file", "folder"]


def test_links_and_modes_stay(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    PROFILE.save(tmp_path / "real" / "a.json")
    (tmp_path / "real" / "a.json").chmod(0o640)
    (tmp_path / "link.json").symlink_to(tmp_path / "real" / "a.json")
    FITTED.save(tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert tfnorm.load(tmp_path / "real" / "a.json") == FITTED
    assert (tmp_path / "real" / "a.json").stat().st_mode & 0o777 == 0o640
    mask = os.umask(0o027)
    try:
        FITTED.save(tmp_path / "b.json")
    finally:
        os.umask(mask)
    assert (tmp_path / "b.json").stat().st_mode & 0o777 == 0o640


def test_a_kill_leaves_a_whole_file(tmp_path: Path) -> None:
    FITTED.save(tmp_path / "one.json")
    PROFILE.save(tmp_path / "two.json")
    PROFILE.save(tmp_path / "a.json")
    code = (
        "import sys, tfnorm\n"
        "values = [tfnorm.load(path) for path in sys.argv[2:]]\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for value in values: value.save(sys.argv[1])\n"
    )
    chance = random.Random(64)
    for _ in range(4):
        writer = run(code, tmp_path / "a.json", tmp_path / "one.json", tmp_path / "two.json", wait=False)
        assert writer.stdout.readline() == "ready\n"
        time.sleep(chance.random() * 0.1)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert tfnorm.load(tmp_path / "a.json") in (FITTED, PROFILE)


def test_many_writers_and_readers(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.json" for i in range(4)]
    for i, path in enumerate(paths):
        tfnorm.fit({"a": np.arange(50.0) + i}, "standard").save(path)
    code = (
        "import sys, tfnorm\n"
        "shared, mine, *all_ = sys.argv[1:]\n"
        "value, known = tfnorm.load(mine), {tfnorm.load(path).fingerprint for path in all_}\n"
        "for _ in range(50):\n"
        "    value.save(shared)\n"
        "    assert tfnorm.load(shared).fingerprint in known\n"
        "print('whole')\n"
    )
    shared = tmp_path / "shared.json"
    writers = [run(code, shared, path, *paths, wait=False) for path in paths]
    assert [writer.communicate()[0] for writer in writers] == ["whole\n"] * 4
    assert names(tmp_path) == [*(path.name for path in paths), "shared.json"]


def test_a_thousand_columns(tmp_path: Path) -> None:
    data = np.random.default_rng(65).normal(size=(5000, 1000))
    for source in (data, {f"column {j}": data[:, j] for j in range(1000)}):
        profile = tfnorm.scan(source)
        profile.save(tmp_path / "a.json")
        assert (tmp_path / "a.json").stat().st_size < 20_000_000
        back = tfnorm.load(tmp_path / "a.json")
        for mine, other in zip(profile.gatherings, back.gatherings, strict=True):
            for field in dataclasses.fields(mine.statistic):
                np.testing.assert_array_equal(*(getattr(one.statistic, field.name) for one in (mine, other)))
