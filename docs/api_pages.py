"""The API reference: which of the public words stands on which page.

The one law: every word of `tfnorm.__all__` is on one page; techniques and layers come from the registry.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

import tfnorm
from tfnorm.layer_names import layer_name
from tfnorm.techniques.core import TechniqueKind

LISTS = re.compile(r"^<!-- every (technique|layer) -->$", re.MULTILINE)


def expanded(page: str) -> str:
    """The page with its lists of techniques and layers written out."""
    return LISTS.sub(lambda match: "\n".join(map(entry, words(match[1]))), page)


def words(kind: str) -> list[str]:
    """The names of all techniques, or of their layers."""
    names = list(tfnorm.TECHNIQUES)
    return names if kind == "technique" else sorted(layer_name(name) for name in names)


def entry(name: str) -> str:
    """A word, by a directive of autodoc."""
    directive = "autoclass" if inspect.isclass(getattr(tfnorm, name)) else "autofunction"
    return f"```{{eval-rst}}\n.. {directive}:: tfnorm.{name}\n```\n"


def signature(_app: Any, _what: str, _name: str, thing: Any, _options: Any, said: Any, returned: Any) -> Any:
    """How a word is called by its users, where Python tells something else.

    A technique takes its settings, and not the statistics that its function takes; a layer what its `__init__` takes, which Keras
    hides; and a value that only tfnorm makes is shown without how it is made.
    """
    if isinstance(thing, TechniqueKind):
        return str(inspect.Signature(list(thing.parameters.values()))), None
    if dataclasses.is_dataclass(thing) and any(_needed(field) for field in dataclasses.fields(thing)):
        return "", None
    if inspect.isclass(thing) and said == "(*args, **kwargs)":
        from sphinx.util.inspect import signature as signature_of
        from sphinx.util.inspect import stringify_signature

        made_by = signature_of(thing.__init__, bound_method=True).replace(return_annotation=inspect.Signature.empty)
        return stringify_signature(made_by, unqualified_typehints=True), None
    return said, returned


def _needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
