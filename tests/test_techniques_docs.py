"""The document of the techniques is what its script writes now, and its pictures are small, whole and readable on any ground."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import tfnorm

DOCS = Path(__file__).parents[1] / "docs"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
TENTHS = 0.25  # of a pixel: what another platform's last digits may move


@pytest.fixture(scope="module")
def script() -> Iterator[Any]:
    sys.path.insert(0, str(DOCS))
    import techniques

    yield techniques
    sys.path.remove(str(DOCS))
    del sys.modules["techniques"], sys.modules["drawing"]


@pytest.fixture(scope="module")
def written(script: Any) -> dict[str, str]:
    return script.documents()


def differs(found: str, expected: str) -> bool:
    """Whether the words differ, or a number by more than rounding."""
    if NUMBER.sub("#", found) != NUMBER.sub("#", expected):
        return True
    pairs = zip(NUMBER.findall(found), NUMBER.findall(expected), strict=True)
    return any(abs(float(a) - float(b)) > TENTHS for a, b in pairs)


def test_the_files_are_what_the_script_writes(written: dict[str, str]) -> None:
    there = {path.relative_to(DOCS).as_posix() for path in (DOCS / "pictures").iterdir()}
    assert there == {path for path in written if path.startswith("pictures/")}
    old = [path for path, text in written.items() if differs((DOCS / path).read_text(encoding="utf-8"), text)]
    assert old == [], "run `make docs`"


def test_every_technique_is_there(written: dict[str, str]) -> None:
    text = written["techniques.md"]
    for name in tfnorm.TECHNIQUES:
        assert f"| [`{name}`](#{name}) |" in text
        assert f"\n### {name}\n" in text
        assert f"](pictures/{name}.svg)" in text


def test_pictures_are_small_and_whole(written: dict[str, str]) -> None:
    for path, text in written.items():
        if path.endswith(".svg"):
            assert len(text.encode()) < 10_000, path
            assert ElementTree.fromstring(text).tag.endswith("svg")
            assert "nan" not in text, path
            assert "inf" not in text.replace("linf", ""), path


def luminance(color: str) -> float:
    """WCAG's, of #rrggbb."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colors_can_be_told_from_light_and_from_dark_ground(script: Any) -> None:
    colors = re.findall(r"#[0-9a-f]{6}", sys.modules["drawing"].STYLE)
    assert colors
    for color in colors:
        for ground in ("#ffffff", "#0d1117"):
            low, high = sorted((luminance(color), luminance(ground)))
            assert (high + 0.05) / (low + 0.05) >= 2.5, (color, ground)


def test_a_docstring_that_lacks_a_part_is_found(script: Any) -> None:
    class Kind:
        name = "hasty"
        __doc__ = "x\n\nKeeps all.\n\n>>> 1\n1\n\nNobody 1999."

    with pytest.raises(ValueError, match=r"hasty lacks: choose$"):
        script.Description.of(Kind)


def test_another_picture_is_another() -> None:
    assert not differs("M1.0 2h3", "M1.1 2h3")
    assert differs("M1.0 2h3", "M1.9 2h3")
    assert differs("M1.0 2h3", "M1.0 2v3")
