"""Docstrings as they are written here, made into what Sphinx reads.

The one law: the words stay as they are; only what reStructuredText would take for markup is marked.

A docstring is plain text: a line `name: what it is` is an argument, deeper lines go on with it, `>>>` begins an example that ends
with an empty line, lines that are indented by four are code, and single backticks hold code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

ITEM = re.compile(r"^(?P<name>\*{0,2}\w+(?:, \w+)*): (?P<text>.+)$")
BULLET = re.compile(r"^(-|\d+\.) ")


def restructured(lines: Iterable[str]) -> list[str]:
    """The lines of a docstring, as reStructuredText."""
    result: list[str] = []
    for block in _blocks(lines):
        result += [*_block(block), ""]
    return result


def _blocks(lines: Iterable[str]) -> Iterator[list[str]]:
    """Paragraphs; an example is one of its own, also where text is right before it."""
    block: list[str] = []
    for line in lines:
        starts = line.startswith(">>>") and not (block and block[0].startswith(">>>"))
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
    result: list[str] = []
    for line in block:
        item = ITEM.match(line)
        if item:  # a list needs an empty line before it, and after it
            names = ", ".join(f"**{escaped(name)}**" for name in item["name"].split(", "))
            result += ["", f"* {names}: {inline(item['text'])}"]
        elif line.startswith(" ") and result:
            result.append(f"  {inline(line.strip())}" if _in_item(result) else inline(line.strip()))
        elif BULLET.match(line):
            result.append(line[:2] + inline(line[2:]))
        else:
            result += ["", inline(line)] if _in_item(result) else [inline(line)]
    return result


def _in_item(result: list[str]) -> bool:
    return bool(result) and result[-1].startswith(("* ", "  "))


def inline(text: str) -> str:
    """Code in double backticks, the rest with nothing in it that would be markup."""
    parts = re.split(r"(`+[^`]+`+)", text)
    return "".join(f"``{part.strip('`')}``" if i % 2 else escaped(part) for i, part in enumerate(parts))


def escaped(text: str) -> str:
    """Without markup."""
    return re.sub(r"([\\*|`]|_(?=\W|$))", r"\\\1", text)
