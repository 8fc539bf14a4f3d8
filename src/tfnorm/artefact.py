"""The file format: strict JSON, versioned, checksummed, written atomically.

The one law: `load(save(x)) == x`, and a file that `save` did not write whole is refused before anything is built from it.

    {"format": "tfnorm", "version": 1, "tfnorm": "0.1.0", "kind": "fitted" | "profile" | "running",
     "checksum": "...", "content": {...}}

`content` walks the fields of Profile and Fitted, and of what a Running remembers (see `codec`); `checksum` is SHA-256 over its
canonical text. Nothing in it is a path to open or code to run.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import tfnorm
from tfnorm.codec import decode, encode
from tfnorm.errors import ArtefactError, ChoiceError
from tfnorm.fitted import Fitted
from tfnorm.maps import Map
from tfnorm.profile import Profile
from tfnorm.rules import Rules
from tfnorm.running import Memory, Running
from tfnorm.techniques import Stages, parse
from tfnorm.writing import write_atomically

FORMAT, VERSION = "tfnorm", 1
MAX_BYTES = 1 << 30
MAX_DIGITS = 400
_PARTS = {
    "fitted": {"profile", "choice", "maps", "rules"},
    "profile": {"profile"},
    "running": {"profile", "choice", "memory"},
}


def save(value: Fitted | Profile | Running, path: Any) -> None:
    """Write a fit, a profile or running statistics: beside the target, flushed to the disk, then renamed over it."""
    write_atomically(path, dumps(value))


def dumps(value: Fitted | Profile | Running) -> bytes:
    """What `save` writes."""
    content: dict[str, Any]
    if isinstance(value, Profile):
        kind, content = "profile", {"profile": encode(value)}
    elif isinstance(value, Running):
        kind = "running"
        choice = {name: ", ".join(map(str, stages)) for name, stages in value.stages.items()}
        content = {"profile": encode(value.profile), "choice": choice, "memory": encode(value.memory())}
    else:
        kind = "fitted"
        content = {"profile": encode(value.profile), "choice": value.choice, "maps": encode(dict(value.maps))}
        content["rules"] = encode(value.rules)
    head = {"format": FORMAT, "version": VERSION, "tfnorm": tfnorm.__version__, "kind": kind}
    whole = {**head, "checksum": checksum_of(content), "content": content}
    text = json.dumps(whole, allow_nan=False, indent=1)
    # a list of numbers on one line; line breaks stand between values only, in text they are escaped
    text = re.sub(r"\[\n[^\[\]{}]*\]", lambda match: re.sub(r"\n\s*", " ", match[0]), text)
    return (text + "\n").encode()


def load(path: Any) -> Any:
    """What `save` wrote: a Fitted, Profile or Running. ArtefactError where it is not whole, sound and of a known version."""
    data = read_file(path)
    try:
        return loads(data)
    except ArtefactError as error:
        raise ArtefactError(f"{Path(os.fspath(path))}: {error}") from None


def read_file(path: Any) -> bytes:
    """All of a file that is not larger than reason; ArtefactError, which names it, where that cannot be."""
    file = Path(os.fspath(path))
    try:
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise ArtefactError(f"{file}: {size} bytes is too large for an artefact (limit {MAX_BYTES}).")
        return file.read_bytes()
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, ArtefactError):
            raise
        raise ArtefactError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def loads(data: bytes) -> Any:
    """As `load`, from the bytes of a file."""
    whole = strict_json(data)
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        compared = isinstance(whole, dict) and whole.get("format") == "tfnorm comparison"
        hint = " tfnorm.Comparison.load opens a comparison, and tfnorm report shows it." if compared else ""
        raise ArtefactError(f'not a tfnorm artefact: it does not begin with "format": "tfnorm".{hint}')
    version = whole.get("version")
    if type(version) is not int or version < 1:
        raise ArtefactError(f"version must be a whole number from 1, got {str(version)[:40]!r}.")
    if version > VERSION:
        raise ArtefactError(
            f"format version {version} is newer than this tfnorm {tfnorm.__version__} reads ({VERSION}). "
            "Update it: pip install -U tfnorm."
        )
    if set(whole) != {"format", "version", "tfnorm", "kind", "checksum", "content"}:
        raise ArtefactError(f"its parts are {str(sorted(whole))[:200]}, not those of an artefact.")
    content = whole["content"]
    if whole["checksum"] != checksum_of(content):
        raise ArtefactError("the checksum does not fit the content: the file was damaged or edited. Save it anew.")
    kind = whole["kind"] if isinstance(whole["kind"], str) else ""
    parts = _PARTS.get(kind)
    if parts is None or not isinstance(content, dict) or set(content) != parts:
        named = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise ArtefactError(f"kind {kind[:40]!r} with the parts {str(named)[:200]} is nothing that this tfnorm saves.")
    profile = decode(Profile, content["profile"], "profile")
    if flaw := profile.flaw():
        raise ArtefactError(f"profile: {flaw}.")
    if kind == "profile":
        return profile
    return _running(profile, content) if kind == "running" else _fitted(profile, content)


@lru_cache(maxsize=4)
def loaded(data: bytes) -> Any:
    """As `loads`, once for all batches that a worker is sent with it."""
    return loads(data)


def _running(profile: Profile, content: dict[str, Any]) -> Running:
    stages = _stages(decode(dict[str, str], content["choice"], "choice"))
    memory = decode(Memory, content["memory"], "memory")
    try:
        if flaw := memory.flaw(profile, stages):
            raise ArtefactError(f"memory: {flaw}.")
        return Running.restored(profile, stages, memory)
    except ChoiceError as error:
        raise ArtefactError(f"choice: {error}") from None


def _stages(choice: dict[str, str]) -> dict[str, Stages]:
    try:
        parsed = {text: parse(text) for text in dict.fromkeys(choice.values())}  # many columns, few techniques
        return {name: parsed[text] for name, text in choice.items()}
    except ChoiceError as error:
        raise ArtefactError(f"choice: {error}") from None


def _fitted(profile: Profile, content: dict[str, Any]) -> Fitted:
    choice = decode(dict[str, str], content["choice"], "choice")
    maps = decode(dict[str, Map], content["maps"], "maps")
    if not maps or set(choice) != set(maps) or not set(maps) <= set(profile):
        raise ArtefactError("choice, maps and profile are not of the same columns.")
    stages = _stages(choice)
    for name, step in maps.items():
        features = profile[name].column.features
        if flaw := step.flaw(features):
            raise ArtefactError(f"maps.{name}: {flaw}.")
        for keyed in step.keyed():
            gathered = profile.by(keyed.keys.names)
            if gathered is None or gathered.grouped.keys != keyed.keys:
                raise ArtefactError(f"maps.{name}: its keys are not those of the profile.")
    rules = decode(Rules, content["rules"], "rules")
    named = {*rules.policies, *(name for group in rules.share for name in group)}
    if not named <= set(maps):
        raise ArtefactError("rules are of columns that are not there.")
    try:
        for name in (name for name, policies in rules.policies.items() if policies.ends_by):
            rules.ends(profile, name, stages[name])
    except ChoiceError as error:
        raise ArtefactError(f"rules: {error}") from None
    return Fitted(profile, stages, maps, rules)


def checksum_of(content: Any) -> str:
    """Of JSON values, however they are laid out."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def strict_json(data: bytes) -> Any:
    """JSON as the standard has it: UTF-8, no NaN, no key twice, no depth or number beyond reason."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ArtefactError("a key is there twice.")
        return found

    def number(text: str) -> int:
        if len(text) > MAX_DIGITS:
            raise ArtefactError("a number has too many digits.")
        return int(text)

    def fraction(text: str) -> float:
        value = float(text)
        if len(text) > MAX_DIGITS or math.isinf(value):
            raise ArtefactError("a number is too large, or has too many digits.")
        return value

    def constant(text: str) -> Any:
        raise ArtefactError(f"{text} is not JSON.")

    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=once,
            parse_int=number,
            parse_float=fraction,
            parse_constant=constant,
        )
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtefactError(f"not JSON: {error}.") from None
    except RecursionError:
        raise ArtefactError("it is nested too deeply.") from None
