"""What a TensorFlow graph does to one column, as a map.

The one law: a map stands for what the nodes compute, node by node. Nothing is guessed from names: a node that is not known here
is refused, and the error says which.

Numbers are worked out as the graph would, in its own precision; what is made of a column is a chain of maps. Where a graph
chooses between two results by numbers alone, the one that it would choose is followed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfnorm import maps
from tfnorm.converting.scalers import settings_text

FLOATS = {1: np.float32, 2: np.float64}  # DT_FLOAT, DT_DOUBLE
TYPES: dict[int, Any] = {**FLOATS, 3: np.int32, 9: np.int64, 10: np.bool_}
OF_NUMBERS: dict[str, Callable[..., Any]] = {
    **{
        "Sub": np.subtract,
        "AddV2": np.add,
        "Add": np.add,
        "Mul": np.multiply,
        "RealDiv": np.divide,
        "Neg": np.negative,
    },
    **{"Sqrt": np.sqrt, "Square": np.square, "Log": np.log, "Log1p": np.log1p, "Maximum": np.maximum},
    **{"Less": np.less, "LessEqual": np.less_equal, "Greater": np.greater, "GreaterEqual": np.greater_equal},
    **{"Equal": np.equal, "NotEqual": np.not_equal, "LogicalOr": np.logical_or, "LogicalAnd": np.logical_and},
}
NEWTON = sorted(["Exp", "Mul", "Sub", "Sub", "RealDiv", "AddV2", "AddV2", "AddV2"])
"""The operations of a step of Newton's method for Lambert's W, and one that counts the steps."""


class RefusedError(Exception):
    """Why an output is no map of one column."""


@dataclass(frozen=True)
class Number:
    """Numbers that the graph has."""

    array: np.ndarray
    kind: str = ""  # "standard" of a root, "minmax" of a difference: what is told by dividing by them


@dataclass(frozen=True)
class Came:
    """A raw feature."""

    column: str
    features: int


@dataclass(frozen=True)
class Worked:
    """What has become of a column."""

    column: str
    features: int
    steps: tuple[maps.Map, ...] = ()
    words: tuple[
        str, ...
    ] = ()  # for each step its technique; for straight lines what was divided by (see `Number.kind`)
    unit: Any = 1.0  # the scale right after that

    @property
    def map(self) -> maps.Map:
        return maps.chain(*(step for step in self.steps if not _is_line(step, 1, 0)))

    def then(self, step: maps.Map, word: str) -> Worked:
        return dataclasses.replace(self, steps=(*self.steps, step), words=(*self.words, word))

    def straight(self, change: Callable[[np.ndarray, np.ndarray, np.ndarray], Any], kind: str = "") -> Worked:
        """With its last straight line changed: `change` takes center, scale and offset."""
        if not self.steps or not isinstance(self.steps[-1], maps.Affine):
            zero, one = np.zeros(self.features), np.ones(self.features)
            return self.then(maps.Affine(zero, one, zero), "").straight(change, kind)
        last = self.steps[-1]
        with np.errstate(all="ignore"):  # of two results one may have divided by 0, and the other is taken
            center, scale, offset = (np.array(one) for one in change(last.center, last.scale, last.offset))
        line = maps.Affine(center, scale, offset, has_constant=bool((scale == 0).any()))
        steps, words = (*self.steps[:-1], line), (*self.words[:-1], kind or self.words[-1])
        return dataclasses.replace(self, steps=steps, words=words, unit=scale if kind else self.unit)


Value = Number | Worked


@dataclass(frozen=True)
class Graph:
    """Nodes by name, what comes into them, and the operations of the functions that they call."""

    nodes: Mapping[str, Any]
    given: Mapping[str, Any]  # Number, Came or RefusedError
    bodies: Mapping[str, list[str]]
    known: dict[str, Value] = dataclasses.field(default_factory=dict)

    def value(self, tensor: str) -> Value:
        name = name_of(tensor)
        if name not in self.known:
            try:
                self.known[name] = self._value(name)
            except RecursionError:
                raise RefusedError("is nested too deeply") from None
        return self.known[name]

    def _value(self, name: str) -> Value:
        if name in self.given:
            given = self.given[name]
            if isinstance(given, RefusedError):
                raise given
            return Worked(given.column, given.features) if isinstance(given, Came) else given
        if name not in self.nodes:
            raise RefusedError(f"needs {name!r}, which is not there")
        node = self.nodes[name]
        if node.op == "Const":
            return number_in(node)
        inputs = [one for one in node.input if not one.startswith("^")]
        if node.op in ("SelectV2", "Select"):
            return self._selected(node, inputs)
        if node.op in ("Identity", "Cast", "ZerosLike", "Sigmoid", *OF_NUMBERS):
            return self._computed(node, [self.value(one) for one in inputs])
        raise RefusedError(f"node {name!r} does {node.op}, which is no part of a technique of single numbers")

    def _computed(self, node: Any, values: list[Value]) -> Value:
        if len(values) == 1 and isinstance(values[0], Worked):
            return _of_column(node, values[0])
        if all(isinstance(one, Number) for one in values):
            return _of_numbers(node, [one for one in values if isinstance(one, Number)])
        if all(isinstance(one, Worked) for one in values):
            raise RefusedError(f"node {node.name!r} does {node.op} to two columns")
        return _of_both(node, values)

    def _selected(self, node: Any, inputs: list[str]) -> Value:
        """Of two results the one that the numbers choose, feature by feature; or both tails of Tukey's h-h."""
        condition = self._tail_of(inputs[0])
        if condition is not None:
            return self._tails(condition, inputs[1], inputs[2])
        chosen = self.value(inputs[0])
        if not isinstance(chosen, Number):
            raise RefusedError(f"node {node.name!r} chooses by the values of a column")
        if chosen.array.all() or not chosen.array.any():
            return self.value(inputs[1 if chosen.array.all() else 2])
        one, other = self.value(inputs[1]), self.value(inputs[2])
        if isinstance(one, Number) and isinstance(other, Number):
            return Number(np.where(chosen.array, one.array, other.array), one.kind)
        same = isinstance(one, Worked) and isinstance(other, Worked) and one.words[:-1] == other.words[:-1]
        if not same or not all(isinstance(part.steps[-1], maps.Affine) for part in (one, other)):  # type: ignore[union-attr]
            raise RefusedError(f"node {node.name!r} does one thing to some features of a column and another to others")
        assert isinstance(one, Worked)
        assert isinstance(other, Worked)
        here = features_of(chosen.array, one.features).astype(bool)
        arrays = [part.steps[-1].arrays() for part in (one, other)]
        line = {name: np.where(here, arrays[0][name], arrays[1][name]) for name in arrays[0]}
        found = one.straight(lambda *_: (line["center"], line["scale"], line["offset"]))
        return dataclasses.replace(found, unit=np.where(here, one.unit, line["scale"]))

    # Tukey's h-h, whose inverse is written with a loop: recognized by its shape.

    def _tail_of(self, tensor: str) -> str | None:
        """The tensor that is compared with 0, where it is made of a column."""
        node = self.nodes.get(name_of(tensor))
        if node is None or node.op != "Less":
            return None
        value, zero = self.value(node.input[0]), self.value(node.input[1])
        compares = isinstance(value, Worked) and isinstance(zero, Number) and not zero.array.any()
        return name_of(node.input[0]) if compares else None

    def _tails(self, x: str, below: str, above: str) -> Value:
        """`where(x < 0, -side(-x, left), side(x, right))`."""
        minus = self._node(below, "Neg")
        side = self._node(minus.input[0], "SelectV2")
        left = self._side(side, lambda tensor: name_of(self._node(tensor, "Neg").input[0]) == x)
        right = self._side(self._node(above, "SelectV2"), lambda tensor: name_of(tensor) == x)
        value = self.value(x)
        assert isinstance(value, Worked)
        tails = maps.TukeyTails(*(features_of(one, value.features) for one in (left, right)))
        return value.then(tails, "gaussianize") if (left > 0).any() or (right > 0).any() else value

    def _side(self, node: Any, is_x: Callable[[str], bool]) -> np.ndarray:
        """h of `where(h x^2 < 1e-7, x, sqrt(W(h x^2) / h))`."""
        small, same, root = node.input[:3]
        product, least = self._node(small, "Less").input[:2]
        tail, square = self._node(product, "Mul").input[:2]
        ratio = self._node(self._node(root, "Sqrt").input[0], "RealDiv")
        result = self._through(ratio.input[0])
        loop = self.nodes.get(name_of(result))
        h, limit = self.value(tail), self.value(least)
        sound = (
            is_x(same)
            and is_x(self._node(square, "Square").input[0])
            and name_of(ratio.input[1]) == name_of(tail)
            and isinstance(h, Number)
            and isinstance(limit, Number)
            and bool((limit.array <= 1e-6).all())
            and loop is not None
            and loop.op in ("StatelessWhile", "While")
            and result.endswith(":3")  # after three counters, what is worked out
            and name_of(product) in map(name_of, loop.input)
            and sorted(op for op in self.bodies.get(loop.attr["body"].func.name, []) if op in NEWTON) == NEWTON
        )
        if not sound:
            raise RefusedError(f"node {node.name!r} chooses by the values of a column")
        assert isinstance(h, Number)
        return np.asarray(h.array, np.float64)

    def _through(self, tensor: str) -> str:
        """The tensor of which this is a copy, or a copy of a copy."""
        for _ in range(len(self.nodes)):
            node = self.nodes.get(name_of(tensor))
            if node is None or node.op != "Identity":
                break
            tensor = node.input[0]
        return tensor

    def _node(self, tensor: str, op: str) -> Any:
        node = self.nodes.get(name_of(tensor))
        if node is None or node.op != op:
            raise RefusedError(f"node {name_of(tensor)!r} is in the place of {op} of a technique that is not known")
        return node


def number_in(node: Any) -> Number:
    """What a node of a constant holds."""
    from tensorflow import make_ndarray

    return Number(np.asarray(make_ndarray(node.attr["value"].tensor)))


def name_of(tensor: str) -> str:
    """The node that gives it: "sub" of "sub:z:0"."""
    return tensor.split(":", maxsplit=1)[0]


def features_of(array: np.ndarray, features: int) -> np.ndarray:
    """One number a feature."""
    if array.size not in (1, features):
        raise RefusedError(
            f"has numbers of shape {array.shape} for {features} features; statistics are of the last axis"
        )
    return np.broadcast_to(np.asarray(array, np.float64).reshape(-1), (features,)).copy()


def _of_numbers(node: Any, values: list[Number]) -> Number:
    arrays = [one.array for one in values]
    if node.op == "Identity":
        return values[0]
    if node.op == "Cast":
        to = TYPES.get(node.attr["DstT"].type)
        if to is None:
            raise RefusedError(f"node {node.name!r} casts to a type that no number of a technique has")
        return Number(arrays[0].astype(to), values[0].kind)
    if node.op == "ZerosLike":
        return Number(np.zeros_like(arrays[0]))
    if node.op not in OF_NUMBERS:
        raise RefusedError(f"node {node.name!r} does {node.op} to numbers")
    kinds = {"Sqrt": "standard", "Sub": "minmax"}
    with np.errstate(all="ignore"):
        return Number(np.asarray(OF_NUMBERS[node.op](*arrays)), kinds.get(node.op, ""))


def _of_column(node: Any, value: Worked) -> Value:
    if node.op == "Cast" and node.attr["DstT"].type not in FLOATS:
        raise RefusedError(f"node {node.name!r} casts a column to what is no float")
    if node.op in ("Identity", "Cast"):
        return value
    if node.op == "ZerosLike":  # as numbers are spread over rows
        return Number(np.zeros((), np.float32))
    if node.op == "Neg":
        return value.straight(lambda c, s, o: (c, -s, -o))
    if node.op == "Sigmoid":
        return value.then(maps.Sigmoid(), "sigmoid")
    if node.op == "Log1p":
        return value.then(maps.Log1p(), "log1p")
    if node.op == "Log" and value.steps and _is_line(value.steps[-1], 1, 1):
        before = dataclasses.replace(value, steps=value.steps[:-1], words=value.words[:-1])
        return before.then(maps.Log1p(), "log1p")
    raise RefusedError(f"node {node.name!r} does {node.op}, for which there is no technique")


def _of_both(node: Any, values: list[Value]) -> Value:
    first = isinstance(values[0], Worked)
    column, number = values if first else values[::-1]
    assert isinstance(column, Worked)
    assert isinstance(number, Number)
    n = features_of(number.array, column.features)
    if node.op in ("AddV2", "Add"):
        return column.straight(lambda c, s, o: (c, s, o + n))
    if node.op == "Sub" and first:  # what is taken off before anything else is the center
        return column.straight(lambda c, s, o: (c + n, s, o) if (s == 1).all() and not o.any() else (c, s, o - n))
    if node.op == "Sub":
        return column.straight(lambda c, s, o: (c, -s, n - o))
    if node.op == "Mul":
        return column.straight(lambda c, s, o: (c, s * n, o * n))
    if node.op == "RealDiv" and first:
        return column.straight(lambda c, s, o: (c, s / n, o / n), number.kind)
    raise RefusedError(f"node {node.name!r} does {node.op} to a column and numbers")


def choice_of(value: Worked) -> str:
    """The techniques that would fit the like."""
    following = (*value.words[1:], "")
    # "gaussianize" has a straight line before its curve
    steps = (one for one in zip(value.steps, value.words, following, strict=True) if one[2] != "gaussianize")
    words = [_word(value, step, word) for step, word, _ in steps if not _is_line(step, 1, 0)]
    return ", ".join(words)


def _is_line(step: maps.Map, scale: float, offset: float) -> bool:
    """Whether it is `y = x * scale + offset`."""
    line = isinstance(step, maps.Affine) and (step.scale == scale).all() and (step.offset == offset).all()
    return bool(line) and not step.arrays()["center"].any()


def _word(value: Worked, step: maps.Map, word: str) -> str:
    if not isinstance(step, maps.Affine) or (
        word == "standard" and (step.scale == value.unit).all() and not step.offset.any()
    ):
        return word
    if word == "minmax":
        low, high = step.offset, step.offset + step.scale / value.unit
        return settings_text("minmax", low=_one(low), high=_one(high))
    if not word and (step.scale == 1).all() and not step.offset.any():
        return "center"
    if word or not (step.scale > 0).all():
        raise RefusedError("is a straight line that no technique gives")
    low, high = step.center - step.offset / step.scale, step.center + (1 - step.offset) / step.scale
    return settings_text("rescale", low=_one(low), high=_one(high))


def _one(numbers: np.ndarray) -> float:
    if np.ptp(numbers) > 1e-6 * np.abs(numbers).max():
        raise RefusedError("has limits of its own for each feature, which no technique has")
    return round(float(np.mean(numbers)), 6)
