"""What `make site` builds, as far as it can be told without Sphinx."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

import tfnorm

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(autouse=True)
def in_docs(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(DOCS)
    yield
    for module in ("api_pages", "docstrings"):
        sys.modules.pop(module, None)


def test_every_public_word_is_in_the_reference() -> None:
    pytest.importorskip("keras")
    import api_pages

    pages = "".join(api_pages.expanded(path.read_text("utf-8")) for path in sorted((DOCS / "api").glob("*.md")))
    named = re.findall(r"^\.\. auto\w+:: tfnorm\.(\w+)", pages, re.MULTILINE)
    assert set(tfnorm.__all__) - {"TECHNIQUES", "__version__"} <= set(named)
    assert "tfnorm.TECHNIQUES" in pages
    once = [name for name in named if name in tfnorm.__all__ and name not in ("sklearn", "images", "spark", "ray")]
    assert len(once) == len(set(once))


def test_links_go_to_pages_and_headings_that_are_there() -> None:
    pages = {path: path.read_text("utf-8") for path in DOCS.rglob("*.md") if "_build" not in path.parts}
    for path, text in pages.items():
        for target in re.findall(r"\]\(([^)#`\s]+\.md)", re.sub(r"`[^`]*`", "", text)):
            assert (path.parent / target).is_file(), f"{path}: {target}"


def test_every_page_is_reached_from_the_first() -> None:
    reached, left = set(), [DOCS / "index.md"]
    while left:
        page = left.pop()
        reached.add(page.relative_to(DOCS).as_posix())
        for tree in re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            names = [line for line in tree.splitlines() if line and not line.startswith(":")]
            left += [page.parent / f"{name}.md" for name in names]
    assert reached == {p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md") if "_build" not in p.parts}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("x / max|x|", r"x / max\|x\|"),
        ("low + (high - low) * x", r"low + (high - low) \* x"),
        ("`fit(*args)` and a_ b", r"``fit(*args)`` and a\_ b"),
        ("axis: which axes\n    are kept.\nx, y: more", "* **axis**: which axes\n  are kept.\n* **x**, **y**: more"),
        ("All in one word:\nmissing: NaN.\nnone: 0.", "All in one word:\n\n* **missing**: NaN.\n* **none**: 0."),
        ("Words:\nmissing: NaN.\nAll are counted.", "Words:\n\n* **missing**: NaN.\n\nAll are counted."),
        ("It is told (in a\ngraph: `nan`) and\ngoes on.", "It is told (in a\ngraph: ``nan``) and\ngoes on."),
        ("axis: which\nErrors: none", "* **axis**: which\n\n**Errors:** none"),
        ("Errors: none\n>>> 1 + 1\n2", "**Errors:** none\n\n>>> 1 + 1\n2"),
        ("    fitted = fit(x)", "::\n\n    fitted = fit(x)"),
    ],
)
def test_docstrings_keep_their_words(written: str, read: str) -> None:
    from docstrings import restructured

    assert "\n".join(restructured(written.splitlines())).rstrip() == read


def test_fields_are_told_by_the_comments_behind_them() -> None:
    from docstrings import fields

    told = fields(type(tfnorm.fit([[1.0], [2.0]], "minmax")))
    assert told[:2] == ["", "It holds:"]
    assert "maps: column -> what is done to its numbers" in told
    assert fields(dict) == []
