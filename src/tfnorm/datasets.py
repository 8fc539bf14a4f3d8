"""A `tf.data.Dataset` whose features and targets are normalized on the way.

The one law: element by element, in their order, it gives what the layer gives for them.

Batches are mapped whole. Single examples are batched, mapped and taken apart again, since a call of a graph for each one costs
many times what its numbers do; those of which some differ in shape are mapped one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from tfnorm.errors import ChoiceError, DataError
from tfnorm.keras_part import keras_part
from tfnorm.sources import BARE
from tfnorm.sources.columns import did_you_mean, quoted
from tfnorm.targets import Head, Output, heads_of

if TYPE_CHECKING:
    from tfnorm.fitted import Fitted

Tensor = Any
_EXAMPLES = 1024  # batched at once, where they come one by one
_BATCH_BYTES = 1 << 20


def dataset_of(fitted: Fitted, dataset: Any, target: Any, *, concatenate: bool, num_parallel_calls: int | None) -> Any:
    """As `Fitted.dataset`."""
    spec = getattr(dataset, "element_spec", None)
    if spec is None:
        raise DataError(f"expected a tf.data.Dataset, got {type(dataset).__name__}. For arrays: fitted.transform(...)")
    if (backend := keras_part().backend()) != "tensorflow":
        raise ChoiceError(
            f"tf.data runs TensorFlow's graphs, and Keras runs on {backend} here. Set KERAS_BACKEND=tensorflow, or map "
            "batches of arrays: fitted.transform(batch)"
        )
    parts = spec if isinstance(spec, tuple) else (spec,)
    if not 1 <= len(parts) <= 3:
        raise DataError(
            f"expected elements x, (x, y) or (x, y, weights), got {len(parts)} parts. Make them one of these"
        )
    heads = _heads(fitted, parts[1:2], target)
    names = _names(fitted, parts[0], needed=not heads)
    layer = fitted._layer_of(names, concatenate=concatenate) if names else None
    ways = {output: head.column.layer() for output, head in heads.items()}

    def normalized(*came: Any) -> Any:
        x, *rest = came
        if ways:
            rest[0] = _goals(rest[0], x, heads, ways)
        features = x if layer is None else layer(x)
        return (features, *rest) if isinstance(spec, tuple) else features

    if any(_is_one(part, shape) for part, shape in _shapes(fitted, parts, names, heads)):
        return _of_examples(dataset, normalized, num_parallel_calls)
    return dataset.map(normalized, num_parallel_calls=num_parallel_calls, deterministic=True)


def _heads(fitted: Fitted, goals: tuple[Any, ...], target: Any) -> dict[Output, Head]:
    """What of the targets is normalized: as the user says, or the fitted columns by their names."""
    goal = goals[0] if goals else None
    if target is None:
        return {name: Head(fitted[name]) for name in goal if name in fitted} if isinstance(goal, Mapping) else {}
    heads = heads_of(fitted, target)
    if not goals:
        raise ChoiceError("target= is for elements (x, y), and these have no y. Leave it out, or give the dataset one")
    outputs = list(goal) if isinstance(goal, Mapping) else list(range(len(goal))) if _several(goal) else [None]
    for output, head in heads.items():
        if head.parts != ("mean",):
            raise ChoiceError(f"target {quoted([head.column.name])}: data have values only, no {head.parts[-1]}")
        if output not in outputs:
            there = "is one tensor" if outputs == [None] else f"has {quoted(map(str, outputs))}"
            asked = "one column for all of it" if output is None else f"{quoted([str(output)])} in it"
            raise ChoiceError(f"target: y {there}, and target= names {asked}. For several: {{name or place: column}}")
    return heads


def _several(part: Any) -> TypeGuard[tuple[Any, ...] | list[Any]]:
    return isinstance(part, tuple | list)


def _names(fitted: Fitted, features: Any, *, needed: bool) -> tuple[str, ...]:
    """The fitted columns among the features."""
    if fitted.profile.bare:
        if isinstance(features, Mapping) or _several(features):
            raise DataError(f"the fit is of one array, and x is a {type(features).__name__}. Fit its columns")
        return (BARE,)
    if not isinstance(features, Mapping):
        if needed:
            raise DataError(
                f"x is no dict, and the fit has the columns {quoted(fitted.columns)}. Make x a dict of them; for a lone y, "
                'say what it is: target="..."'
            )
        return ()
    names = tuple(name for name in fitted.columns if name in features)
    if needed and not names:
        hint = "".join(did_you_mean(str(name), fitted.columns) for name in [*features][:3])
        raise DataError(f"none of the fitted columns {quoted(fitted.columns)} is among {quoted(features)}.{hint}")
    return names


def _goals(y: Any, x: Any, heads: Mapping[Output, Head], ways: Mapping[Output, Any]) -> Any:
    """The targets, those that have a way normalized, in the structure in which they came."""

    def mapped(output: Output, value: Tensor) -> Tensor:
        if output not in ways:
            return value
        column = heads[output].column
        return ways[output]({**x, column.name: value} if column.map.keyed() else value)

    if isinstance(y, Mapping):
        return {name: mapped(name, value) for name, value in y.items()}
    if _several(y):
        return tuple(mapped(place, value) for place, value in enumerate(y))
    return mapped(None, y)


def _shapes(
    fitted: Fitted, parts: tuple[Any, ...], names: tuple[str, ...], heads: Mapping[Output, Head]
) -> Iterator[tuple[Any, tuple[int | None, ...]]]:
    """Of each column that is mapped, what the dataset says of it, and the shape that one row had at the fit."""
    for name in names:
        yield parts[0] if fitted.profile.bare else parts[0][name], fitted[name].column.shape
    for output, head in heads.items():
        yield parts[1] if output is None else parts[1][output], head.column.column.shape


def _is_one(part: Any, shape: tuple[int | None, ...]) -> bool:
    """Whether it is of one example: it has no axis more than a row."""
    return part.shape.rank is not None and part.shape.rank <= len(shape)


def _of_examples(dataset: Any, normalized: Callable[..., Any], num_parallel_calls: int | None) -> Any:
    import tensorflow as tf

    options = {"num_parallel_calls": num_parallel_calls, "deterministic": True}
    parts = tf.nest.flatten(dataset.element_spec)
    if not all(isinstance(part, tf.TensorSpec) and part.shape.is_fully_defined() for part in parts):
        return dataset.map(lambda *came: _squeezed(normalized(*_expanded(came))), **options)
    size = sum(part.shape.num_elements() * max(1, part.dtype.size) for part in parts)
    mapped = dataset.batch(max(1, min(_EXAMPLES, _BATCH_BYTES // max(1, size)))).map(normalized, **options).unbatch()
    return mapped.apply(tf.data.experimental.assert_cardinality(dataset.cardinality()))


def _expanded(came: Any) -> Any:
    import tensorflow as tf

    def one(x: Tensor) -> Tensor:
        return tf.sparse.expand_dims(x, 0) if isinstance(x, tf.SparseTensor) else tf.expand_dims(x, 0)

    return tf.nest.map_structure(one, came)


def _squeezed(found: Any) -> Any:
    import tensorflow as tf

    def one(x: Tensor) -> Tensor:
        return tf.sparse.reshape(x, x.dense_shape[1:]) if isinstance(x, tf.SparseTensor) else x[0]

    return tf.nest.map_structure(one, found)
