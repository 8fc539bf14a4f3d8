"""How Sphinx builds this folder: `make site`. Nothing is downloaded, and a warning is an error."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import api_pages
import tfnorm
from docstrings import fields, restructured

project = "tfnorm"
release = version = tfnorm.__version__
html_title = f"tfnorm {release}"
html_theme = "furo"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]
smartquotes = False  # quotes in a docstring are those to type

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
add_module_names = False


def setup(app: Any) -> None:
    app.connect("source-read", _expand)
    app.connect("autodoc-process-docstring", _restructure)
    app.connect("autodoc-process-signature", api_pages.signature)


def _expand(_app: Any, _name: str, source: list[str]) -> None:
    source[0] = api_pages.expanded(source[0])


def _restructure(_app: Any, _what: str, _name: str, thing: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = restructured([*lines, *(fields(thing) if isinstance(thing, type) else [])])
