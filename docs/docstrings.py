"""Docstrings as they are written here, made into what Sphinx reads.

The one law: the words stay as they are; only what reStructuredText would take for markup is marked.

A docstring is plain text: a line `name: what it is` is an argument, deeper lines go on with it, `>>>` begins an example that ends
with an empty line, lines that are indented by four are code, and single backticks hold code.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterable, Iterator

ITEM = re.compile(r"^(?P<name>\*{0,2}[a-z]\w*(?:, [a-z]\w*)*): (?P<text>.+)$")
FIELD = re.compile(r"^    (\w+): [^\n#]+  # (.+)$", re.MULTILINE)
LEAD = re.compile(r"^([A-Z]\w*:) (.+)$")  # "Errors: ...", "Shapes: ..."


def restructured(lines: Iterable[str]) -> list[str]:
    """The lines of a docstring, as reStructuredText."""
    result: list[str] = []
    for block in _blocks(lines):
        result += [*_block(block), ""]
    return result


def fields(kind: type) -> list[str]:
    """What a dataclass holds, by the comments behind its fields, or else their types, as lines of a docstring."""
    if not dataclasses.is_dataclass(kind):
        return []
    said = dict(FIELD.findall(inspect.getsource(kind)))
    public = [field for field in dataclasses.fields(kind) if not field.name.startswith("_")]
    return ["", "It holds:", *(f"{field.name}: {said.get(field.name) or f'`{field.type}`'}" for field in public)]


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
    start, end = _items(block)
    lead = LEAD.match(block[0])
    first = f"**{lead[1]}** {inline(lead[2])}" if lead else inline(block[0])
    parts = [
        [first, *(inline(line.strip()) for line in block[1:start])] if start else [],
        [_item(line) for line in block[start:end]],
        _block(block[end:]) if end < len(block) else [],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part).split("\n")


def _items(block: list[str]) -> tuple[int, int]:
    """Where its list of arguments begins and ends; at its end where it has none. Lists are between whole sentences."""
    start = 0
    while start < len(block) and not (ITEM.match(block[start]) and (start == 0 or block[start - 1][-1] in ".:")):
        start += 1
    end = start
    while end < len(block) and (ITEM.match(block[end]) or block[end].startswith(" ")):
        end += 1
    whole = end == len(block) or block[end - 1][-1] in ".:"
    return (start, end) if whole else (len(block), len(block))


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
