"""The report as one HTML page. The only file that imports jinja2.

The one law: the page needs nothing but itself. Style, script and drawings are in it, and what comes from data is escaped by the
template or, in scripts, as JSON without a `<`.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from tfnorm.drawing import STYLES, Scene, svg
from tfnorm.reporting.building import at_risk, filters
from tfnorm.reporting.model import Entry, Page
from tfnorm.sources.columns import cell

OPEN_AT_HAND = 40  # columns whose details are written out; those of the others are packed and unpacked when opened
PACKED_TOGETHER = 50


def html_of(page: Page) -> str:
    """The page as text."""
    entries = sorted(page.entries, key=lambda one: -one.risk)
    packed = [_packed(entries[i : i + PACKED_TOGETHER]) for i in range(OPEN_AT_HAND, len(entries), PACKED_TOGETHER)]
    places = {one.name: place for place, one in enumerate(page.entries)}
    return _template("page.html").render(
        page=page,
        entries=entries,
        places=places,
        filters=filters(entries),
        risky=at_risk(entries),
        at_hand=OPEN_AT_HAND,
        style=_plain("page.css") + _roles(),
        script=_plain("page.js"),
        data=_json({"together": PACKED_TOGETHER, "first": OPEN_AT_HAND, "packed": packed}),
    )


def _packed(entries: Sequence[Entry]) -> str:
    """The details of some columns, as compressed JSON in base64."""
    bodies = [_template("details.html").render(entry=one) for one in entries]
    packed = gzip.compress(json.dumps(bodies).encode(), 6, mtime=0)  # the same page for the same values
    return base64.b64encode(packed).decode()


def _json(value: Any) -> Markup:
    """JSON that may stand in a script element: nothing in it ends the element, or begins one."""
    text = json.dumps(value)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _drawn(scene: Scene) -> Markup:
    return Markup(svg(scene, colors=False))  # our own, and escaped by `svg`


def _name(name: str) -> str:
    """A column's name, on one line and without what would not be seen."""
    return cell(name, 200) if name.strip() else f'"{cell(name, 200)}"'


def _roles() -> Markup:
    """CSS for the drawings' roles that the style sheet does not color itself."""
    rules = []
    for role, style in STYLES.items():
        color = f"var(--{role},{style.color or 'currentColor'})"
        rules.append(f"text.d-{role}{{fill:{color};font-size:{style.size:g}px;opacity:{style.opacity:g}}}")
        rules.append(f"path.d-{role}{{opacity:{style.opacity:g}}}")
        dashes = ";stroke-dasharray:4 3" if style.dashed else ""
        rules.append(f'path.d-{role}[fill="none"]{{stroke:{color};stroke-width:{style.width:g}{dashes}}}')
        rules.append(f'path.d-{role}:not([fill="none"]){{fill:{color}}}')
    return Markup("\n".join(rules))  # of constants


def _plain(name: str) -> Markup:
    return Markup(_text(name))  # our own files


@cache
def _text(name: str) -> str:
    return (files("tfnorm.reporting") / "template" / name).read_text(encoding="utf-8")


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=FunctionLoader(_text), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"drawn": _drawn, "name": _name}
    return environment.get_template(name)
