"""What a technique is, the registry of all, and how a choice is written.

The one law: a technique is a function from statistics to a map. The annotations of its first parameters say which statistics
it needs, the rest are its settings; that is all there is to adding one.

A choice is written the same way everywhere: `"standard"`, `"minmax(-1, 1)"`, `"log1p, standard"`, or objects: `minmax(low=-1)`;
and with numbers for every key, `"standard.by('store')"`, `standard.by("store")`.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import math
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tfnorm.covariance import Covariance
from tfnorm.errors import ChoiceError
from tfnorm.keys import Keys
from tfnorm.maps import UNSEEN, ByKey, Map, Matrix
from tfnorm.statistics import Moments, Statistic

Unseen = Literal["global", "error", "missing"]


@dataclass(frozen=True)
class Grouping:
    """By which keys a technique is solved, and what becomes of rows whose key is not among them."""

    columns: tuple[str, ...]
    unseen: Unseen = "global"
    shrink: float | None = None

    def __str__(self) -> str:
        inside = [repr(column) for column in self.columns]
        inside += [f"unseen={self.unseen!r}"] if self.unseen != "global" else []
        inside += [f"shrink={self.shrink!r}"] if self.shrink is not None else []
        return f"by({', '.join(inside)})"


@dataclass(frozen=True)
class Technique:
    """A technique with its settings, as `minmax(low=-1)` makes it."""

    kind: TechniqueKind
    settings: tuple[tuple[str, Any], ...]  # those that differ from the defaults
    grouping: Grouping | None = None  # None for numbers of all rows

    def by(self, *columns: str, unseen: Unseen = "global", shrink: float | None = None) -> Technique:
        """The technique with statistics of its own for every key: the rows with the same values in these columns.

        columns: names of columns of whole numbers, booleans or text. Null is a key like any other.
        unseen: what rows get whose key the fit has not seen: "global" the numbers of all rows, "missing" NaN, "error" a
            DataError (NaN in a Keras layer, where none can be raised).
        shrink: so many rows that lie as all rows do are added to those of each key, so that the numbers of small groups
            are drawn to those of all: the mean of n rows becomes (n mean + shrink mean of all) / (n + shrink). Extremes are
            drawn the same way, so the values of a small group then fill less than the whole range of `minmax`.

        `out_of_range` of the fit then means the smallest and the largest value of the row's key, drawn in the same way.

        What it keeps: order and distances within a key. What it loses: what keys differ by, unless the model is told the key.
        Choose it where one column holds several scales (stores, sensors, countries); with `shrink` where some keys have few
        rows.

        Errors: ChoiceError for a technique that gathers nothing, DataError beyond a million keys.

        >>> import tfnorm
        >>> table = {"store": ["a", "a", "b", "b"], "price": [1.0, 3.0, 100.0, 300.0]}
        >>> fitted = tfnorm.fit(table, {"price": tfnorm.standard.by("store")})
        >>> fitted.transform(table)["price"]
        array([-1.,  1., -1.,  1.])
        """
        names = [name for one in columns for name in ([one] if isinstance(one, str) or not _is_list(one) else one)]
        wrong = [name for name in names if not isinstance(name, str)]
        if not names or wrong or len(set(names)) < len(names):
            raise ChoiceError(f"{self}.by() needs names of columns, each once: by('store'); got {columns!r}.")
        if self.grouping is not None:
            raise ChoiceError(f"{self}: by() is there twice. Name all key columns in one.")
        if not self.needs:
            raise ChoiceError(f"{self} gathers nothing, so it is the same for every key. Leave by() out.")
        if self.solve({kind: kind.nothing(1) for kind in self.needs}).marks:
            raise ChoiceError(
                f"{self} gives marks of what is missing, and is not solved by key. Leave the indicator to a later stage: "
                '"standard.by(...), impute(indicator=True)".'
            )
        if unseen not in UNSEEN:
            raise ChoiceError(f"{self}.by(): unseen must be one of {', '.join(map(repr, UNSEEN))}, got {unseen!r}.")
        if shrink is not None:
            number = isinstance(shrink, numbers.Real) and not isinstance(shrink, bool) and math.isfinite(shrink)
            if not number or not shrink > 0:
                raise ChoiceError(f"{self}.by(): shrink must be a number of rows above 0, or None, got {shrink!r}.")
            shrink = int(shrink) if float(shrink).is_integer() and shrink < 1 << 53 else float(shrink)
        return Technique(self.kind, self.settings, Grouping(tuple(names), unseen, shrink))

    @property
    def needs(self) -> tuple[type[Statistic], ...]:
        """The statistics it is solved from."""
        return tuple(self._needed().values())

    def _needed(self) -> dict[str, type[Statistic]]:
        statistics = self.kind.statistics
        if self.kind.only is None:
            return statistics
        defaults = {name: parameter.default for name, parameter in self.kind.parameters.items()}
        return {name: statistics[name] for name in self.kind.only(**{**defaults, **dict(self.settings)})}

    def solve(self, statistics: Mapping[type[Statistic], Statistic]) -> Map:
        """The map for these statistics."""
        needed: dict[str, Any] = dict.fromkeys(self.kind.statistics)
        needed.update((name, statistics[cls]) for name, cls in self._needed().items())
        return self.kind.function(**needed, **dict(self.settings))

    def solve_by_key(self, keys: Keys, statistics: Mapping[type[Statistic], Statistic]) -> Map:
        """The map for statistics that have a feature for every key and one more for all rows (`tfnorm.grouped.with_rest`)."""
        assert self.grouping is not None
        if not any(kind.joint for kind in self.needs):
            return ByKey.of_flat(keys, self.solve(statistics), self.grouping.unseen)
        return ByKey(keys, Matrix.by_key([*self._each(statistics[Covariance], len(keys))]), self.grouping.unseen)

    def _each(self, covariance: Any, number: int) -> Iterator[Any]:
        """The map of every key, and that of all rows, of what looks at the features together."""
        for i, own in enumerate(covariance.blocks()):
            # a key whose rows all have gaps is one of which nothing is known; that there are other rows is asked of all of them
            yield self.solve({Covariance: replace(own, left_out=0 * own.left_out) if i < number else own})

    def __str__(self) -> str:
        """As it is written in files and on the command line."""
        inside = ", ".join(f"{name}={value!r}" for name, value in self.settings)
        text = f"{self.kind.name}({inside})" if inside else self.kind.name
        return text if self.grouping is None else f"{text}.{self.grouping}"

    __repr__ = __str__


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


@dataclass(frozen=True)
class Refinement:
    """How a technique that is solved on the sketch is solved exactly: by the moments of the data after some trial maps."""

    trials: Callable[[Map], tuple[Map, ...]]  # from the map so far to those to try
    choose: Callable[[Map, Sequence[Moments]], Map]  # from it and their moments to the exact one


@dataclass(frozen=True)
class TechniqueKind:
    """A technique before its settings are chosen: call it with them. What `@technique` makes of a function."""

    function: Callable[..., Map]
    name: str
    summary: str  # the first line of its docstring: the formula
    statistics: dict[str, type[Statistic]]  # parameter -> statistic
    parameters: dict[str, inspect.Parameter]  # settings, with their defaults
    hints: dict[str, Any]  # the parameters' annotations
    only: Callable[..., Sequence[str]] | None = None  # settings -> the statistics needed under them, where not all are
    refine: Refinement | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Technique:
        signature = inspect.Signature(list(self.parameters.values()))
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ChoiceError(f"{self.name}{signature} was given other arguments: {error}.") from None
        for name, value in bound.arguments.items():
            bound.arguments[name] = _setting(self, name, value)
        chosen = Technique(self, tuple((k, v) for k, v in bound.arguments.items() if v != self.parameters[k].default))
        dry = {name: cls.nothing(1) for name, cls in self.statistics.items()}
        self.function(**dry, **bound.arguments)  # a setting that makes no sense is told now, not after hours of reading
        return chosen

    def by(self, *columns: str, unseen: Unseen = "global", shrink: float | None = None) -> Technique:
        """With statistics of its own for every key: see `Technique.by`."""
        return self().by(*columns, unseen=unseen, shrink=shrink)

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        """By name: the function is this process' own."""
        return _by_name, (self.name,)

    def __repr__(self) -> str:
        return f"{self.name}{inspect.Signature(list(self.parameters.values()))}"


def _setting(kind: TechniqueKind, name: str, value: Any) -> Any:
    """A setting's value as text has it, so that 1, 1.0 and NumPy's are one; ChoiceError where it cannot be one."""
    hint = kind.hints[name]
    hints = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    for one in hints:
        if typing.get_origin(one) is Literal:
            if isinstance(value, str) and value in typing.get_args(one):
                return value
        elif one is bool:
            if isinstance(value, bool):
                return value
        elif one is float:
            if isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value):
                number = float(value)
                return int(number) if number.is_integer() and abs(number) < 1 << 53 else number
        elif one is type(None) and float in hints:
            if value is None:
                return value
        elif one is int:
            if isinstance(value, numbers.Integral) and not isinstance(value, bool):
                return int(value)
        elif (
            value is None or isinstance(value, int) or (isinstance(value, tuple) and all(type(v) is int for v in value))
        ):
            return value
    words = " or ".join("None" if one is type(None) else _meant(one) for one in hints)
    raise ChoiceError(f"{kind.name}: {name} must be {words}, got {value!r}.")


def _meant(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(repr(one) for one in typing.get_args(hint))
    words = {bool: "True or False", float: "a number", int: "a whole number"}
    return words.get(hint, "an axis, several in (), or None")


TECHNIQUES: dict[str, TechniqueKind] = {}
"""Every technique there is, by name."""


def _by_name(name: str) -> TechniqueKind:
    return TECHNIQUES[name]


@typing.overload
def technique(function: Callable[..., Map]) -> TechniqueKind: ...


@typing.overload
def technique(
    *, only: Callable[..., Sequence[str]] | None = None, refine: Refinement | None = None
) -> Callable[[Callable[..., Map]], TechniqueKind]: ...


def technique(
    function: Callable[..., Map] | None = None,
    *,
    only: Callable[..., Sequence[str]] | None = None,
    refine: Refinement | None = None,
) -> Any:
    """Register a function from statistics and settings to a map, under its name.

    only: from the settings to the names of the statistics that are needed under them, where that is not all; the function
        is given None for the others.
    refine: how it is solved exactly by further passes over the data, where the sketch does not tell it.
    """
    if function is None:
        return lambda function: _register(function, only, refine)
    return _register(function, only, refine)


def _register(
    function: Callable[..., Map], only: Callable[..., Sequence[str]] | None, refine: Refinement | None
) -> TechniqueKind:
    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters
    needed = {
        name: hints[name] for name in parameters if isinstance(hints[name], type) and issubclass(hints[name], Statistic)
    }
    kind = TechniqueKind(
        function,
        function.__name__.rstrip("_"),
        (inspect.getdoc(function) or "").split("\n")[0],
        needed,
        {name: p.replace(annotation=p.empty) for name, p in parameters.items() if name not in needed},
        hints,
        only,
        refine,
    )
    object.__setattr__(kind, "__doc__", function.__doc__)
    TECHNIQUES[kind.name] = kind
    return kind


Stages = tuple[Technique, ...]
Choosable = str | Technique | TechniqueKind | Sequence[str | Technique | TechniqueKind]


def parse(choice: Choosable) -> Stages:
    """One column's choice as a chain of techniques.

    >>> parse("log1p, minmax(-1, 1)")
    (log1p, minmax(low=-1))
    """
    if isinstance(choice, Technique):
        return (choice,)
    if isinstance(choice, TechniqueKind):
        return (choice(),)
    if isinstance(choice, str):
        return tuple(_parse_text(choice))
    if isinstance(choice, Iterable) and (stages := tuple(stage for one in choice for stage in parse(one))):
        return stages
    shown = repr(choice)
    got = shown if len(shown) <= 80 and shown.isprintable() else type(choice).__name__
    hint = " Pass its .choice." if hasattr(choice, "choice") else ""  # an advice or a fit
    raise ChoiceError(f"expected a technique, its name, or a list of them, got {got}.{hint} {_known()}")


def _parse_text(text: str) -> Iterable[Technique]:
    try:
        tree = ast.parse(f"({text.strip()},)", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ChoiceError(
            f"{text!r} is not a technique; write it as standard, minmax(-1, 1) or log1p, standard."
        ) from None
    for node in tree.elts if isinstance(tree, ast.Tuple) else [tree]:
        yield _of_node(node, text)


def _of_node(node: ast.expr, text: str) -> Technique:
    """`standard`, `minmax(-1, 1)`, or either of them with `.by('store')`."""
    call = node if isinstance(node, ast.Call) else None
    name = call.func if call else node
    try:
        args = [ast.literal_eval(arg) for arg in (call.args if call else [])]
        kwargs = {str(k.arg): ast.literal_eval(k.value) for k in (call.keywords if call else [])}
    except ValueError:
        raise ChoiceError(f"{text!r}: arguments must be plain numbers, text or True, False, None.") from None
    if call and isinstance(name, ast.Attribute) and name.attr == "by":
        technique = _of_node(name.value, text)
        try:
            return technique.by(*args, **kwargs)
        except TypeError as error:
            raise ChoiceError(f"{technique}.by(*columns, unseen='global', shrink=None): {error}.") from None
    if not isinstance(name, ast.Name):
        raise ChoiceError(
            f"{text!r} is not a technique; write it as standard, minmax(-1, 1), log1p, standard or standard.by('store')."
        )
    kind = TECHNIQUES.get(name.id)
    if kind is None:
        close = difflib.get_close_matches(name.id, TECHNIQUES, 1)
        raise ChoiceError(f"no technique {name.id!r}{f', did you mean {close[0]!r}?' if close else '.'} {_known()}")
    return kind(*args, **kwargs)


def _known() -> str:
    return f"There are: {', '.join(TECHNIQUES)}."
