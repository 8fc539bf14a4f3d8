"""Docstrings as they are written here, made into what Sphinx reads.

The one law: the words stay as they are; only what reStructuredText would take for markup is marked.

A docstring is plain text: a line `name: what it is` is an argument, deeper lines go on with it, `>>>` begins an example that ends
with an empty line, lines that are indented by four are code, and single backticks hold code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

ITEM = re.compile(r"^(?P<name>\*{0,2}[a-z]\w*(?:, [a-z]\w*)*): (?P<text>.+)$")
LEAD = re.compile(r"^([A-Z]\w*:) (.+)$")  # "Errors: ...", "Shapes: ..."


def restructured(lines: Iterable[str]) -> list[str]:
    """The lines of a docstring, as reStructuredText."""
    result: list[str] = []
    for block in _blocks(lines):
        result += [*_block(block), ""]
    return result


def _blocks(lines: Iterable[str]) -> Iterator[list[str]]:
    """Paragraphs; an example is one of its own, also where text is right before it, and so is what follows a list."""
    block: list[str] = []
    for line in lines:
        starts = line.startswith(">>>") and not (block and block[0].startswith(">>>"))
        starts |= bool(block) and bool(ITEM.match(block[0]) and LEAD.match(line))
        if block and (not line.strip() or starts):
            yield block
            block = []
        if line.strip():
            block.append(line.rstrip())
    if block:
        yield block


def _block(block: list[str]) -> list[str]:
    if block[0].startswith(">>>"):
        return block
    if block[0].startswith("    "):
        return ["::", "", *block]
    start = _first_item(block)
    lead = LEAD.match(block[0])
    first = f"**{lead[1]}** {inline(lead[2])}" if lead else inline(block[0])
    text = [first, *(inline(line.strip()) for line in block[1:start])] if start else []
    return [*text, *([""] if 0 < start < len(block) else []), *(_item(line) for line in block[start:])]


def _first_item(block: list[str]) -> int:
    """Where its list of arguments begins, which lasts to its end; its length where there is none."""
    start = len(block)
    for i in reversed(range(len(block))):
        if ITEM.match(block[i]) and (
            i == 0 or block[i - 1][-1] in ".:" or block[i - 1].startswith(" ") or start > i + 1
        ):
            start = i
        elif not block[i].startswith(" "):
            break
    return start


def _item(line: str) -> str:
    """A line of a list."""
    item = ITEM.match(line)
    if not item:
        return f"  {inline(line.strip())}"
    names = ", ".join(f"**{escaped(name)}**" for name in item["name"].split(", "))
    return f"* {names}: {inline(item['text'])}"


def inline(text: str) -> str:
    """Code in double backticks, the rest with nothing in it that would be markup."""
    parts = re.split(r"(`+[^`]+`+)", text)
    return "".join(f"``{part.strip('`')}``" if i % 2 else escaped(part) for i, part in enumerate(parts))


def escaped(text: str) -> str:
    """Without markup."""
    return re.sub(r"([\\*|`]|_(?=\W|$))", r"\\\1", text)
