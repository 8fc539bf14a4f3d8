"""How a fit becomes a Keras layer.

The one law: `Normalize(columns)(batch)` is what the maps give in NumPy, wherever Keras runs it: eager, graph, XLA,
`tf.data`, a saved model, any dtype policy.

Maps that differ in their numbers only share weights: columns lie side by side in one weight a field, and scalar
columns are stacked, mapped at once and taken apart again, so 100,000 columns cost a handful of graph nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from tfnorm import codec, maps
from tfnorm.errors import ChoiceError, DataError, NotInvertibleError
from tfnorm.key_columns import TextKeys
from tfnorm.keys import Keys
from tfnorm.layer.blocks import Block, beside, can_turn
from tfnorm.layer.doubles import HOW, has_doubles, unheard
from tfnorm.layer.groups import Group, center_will_do, in_centers
from tfnorm.layer.live import Live
from tfnorm.layer.lookups import Lookup, keys_of, searched, text_mark, text_table
from tfnorm.layer.maps import (
    NUMBERS,
    alike,
    decoded,
    fit_mark,
    is_number,
    layout_of,
    listed,
    quoted,
    rounding_is_harmless,
    shape_of_all,
    side_by_side,
)
from tfnorm.layer.stored import is_ragged, is_sparse, is_stored, like_symbol, map_stored, spread
from tfnorm.maps import Shape

Tensor = Any


@dataclass(frozen=True)
class _Fit:
    """One object, since Keras walks into every collection that a layer holds."""

    steps: dict[str, maps.Map]  # column -> its map, in fitted order
    groups: list[Group]
    lookups: list[Lookup]  # one for each set of keys


@keras.saving.register_keras_serializable(package="tfnorm")
class Normalize(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Fitted maps as a layer: `forward` on the way in, or `inverse=True` on the way out of a model.

    Shapes: a dict of columns gives a dict, fitted columns mapped and others untouched; `bare` takes and gives the one
    column's tensor; with `like`, the way back is `layer(y, like=x)`: what sample-wise maps forget is taken from the raw
    samples x; `concatenate` gives one tensor (n, total) of the fitted columns in their order, scalars (n,) and
    (n, 1) being one position. The last axis of a column is its features, of which a map may give more or fewer. Marks of
    what was missing (`impute(indicator=True)`) follow the values on that axis, (n,) becoming (n, 2); in a dict they are a
    column of their own, "age_missing" for "age", which goes back into "age" on the way back.

    By key: columns whose technique is by key find their numbers by the key columns, which come in the same dict, also where the
    layer is `bare`. Rows of a key that the fit has not seen get the numbers of all rows, or NaN (unseen "missing" and "error":
    in a graph nothing can be raised).

    Precision: the data's own type decides, since a subtraction must come before a cast. float32, float16, bfloat16,
    booleans and integers below 32 bits are computed in float32, float64 and wider integers (and numbers beyond
    float32's range) in float64, and the result is cast last to the policy's compute dtype. `inverse` gives at
    least float32, even where the policy is float16, which ends at 65504. Missing stays missing (NaN). JAX has float64 and int64
    only where they are enabled; without them, what float32 would get wrong is refused, as far as JAX has not cut it before.

    Feed 64-bit values as integers, or as tensors or a `tf.data.Dataset`: `Model.fit` and `Model.predict` cast float64
    *arrays* to `keras.config.floatx()` before any layer sees them, a `keras.Input` casts to its own dtype, and a
    `Sequential` without one casts a lone tensor too: begin it with `keras.Input(shape, dtype="float64")`.

    Sparse tensors stay sparse where the map keeps zeros (or, for the columns of `missing`, whatever it is: there what is not
    stored is missing, and stays so), ragged ones ragged. Steps that a Keras mask leaves out come out as 0 and have no say in
    what is computed of a sample; the mask is passed on.

    The numbers are non-trainable weights, and in the config too, so a clone or a model made from JSON is fitted; after
    `set_weights` or `load_weights` the weights rule.

    Errors: ChoiceError (no fit, `concatenate` with `bare` or `inverse`), NotInvertibleError, DataError where the input
    does not suit the columns, ArtefactError where the config is none.
    >>> age = maps.Affine(center=np.array([40.0]), scale=np.array([0.1]), offset=np.array([0.0]))
    >>> layer = Normalize({"age": age})
    >>> batch = layer({"age": np.array([30, 50]), "id": np.array([1, 2])})
    >>> {name: values.numpy().tolist() for name, values in batch.items()}
    {'age': [-1.0, 1.0], 'id': [1, 2]}
    """

    _xp: Any = ops  # in which the maps compute
    _find = staticmethod(searched)  # how keys are found

    def __init__(
        self,
        columns: Mapping[str, maps.Map] | Sequence[Any],
        *,
        bare: bool = False,
        inverse: bool = False,
        concatenate: bool = False,
        like: bool = False,
        missing: Sequence[str] = (),
        fingerprint: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        steps = decoded(columns)
        if not steps:
            raise ChoiceError("Normalize has no columns, so there is nothing to normalize. Fit first: tfnorm.fit(...)")
        if bare and len(steps) != 1:
            raise ChoiceError(f"bare=True is for one column, got {listed(steps)}. Leave it out and call with a dict")
        if concatenate and (bare or inverse):
            raise ChoiceError(
                "concatenate=True gives one tensor of many columns: it goes with neither bare nor inverse"
            )
        for name, step in steps.items():
            if inverse and step.lost and not (like and step.restores_like):
                raise NotInvertibleError(f"column {quoted(name)}: {step.lost}. Leave it out of the inverse")
        if like and not (inverse and any(step.restores_like for step in steps.values())):
            raise ChoiceError("like=True goes with inverse=True, where a column is mapped by its samples' own numbers")
        self.bare, self.inverse, self.concatenate, self.fingerprint = bare, inverse, concatenate, str(fingerprint)
        self.like = like
        self.missing = tuple(missing)
        groups = [self._group(i, members) for i, members in enumerate(alike(steps))]
        lookups = [self._lookup(i, keys) for i, keys in enumerate(keys_of(steps.values()))]
        self._fit, self._live = _Fit(steps, groups, lookups), Live()
        if any(lookup.has_text for lookup in lookups):
            self.supports_jit = False  # XLA has no text
        self._float32_will_do = all(one.fits_float32 and (inverse or rounding_is_harmless(one.step)) for one in groups)
        self.supports_masking = True
        self.built = True  # weights depend on the fit, not on the input

    @property
    def columns(self) -> dict[str, maps.Map]:
        """The fitted columns in their order, and their maps."""
        return dict(self._fit.steps)

    @property
    def compute_dtype(self) -> str:
        """The narrowest type in which *raw* data may arrive; results have the policy's.

        `keras.Sequential` casts an input that nobody declared to this: as float16, prices would overflow, and as
        float32, a thousand timestamps would become nine.
        """
        return "float32" if self._float32_will_do and super().compute_dtype != "float64" else "float64"

    def get_config(self) -> dict[str, Any]:
        # pairs, since a column called "class_name" would make a dict look like one of Keras' own objects
        columns = [[name, codec.encode(step)] for name, step in self._fit.steps.items()]
        flags: dict[str, Any] = {"bare": self.bare, "inverse": self.inverse, "concatenate": self.concatenate}
        flags |= {"like": self.like, "missing": list(self.missing)}
        return {**super().get_config(), "columns": columns, **flags, "fingerprint": self.fingerprint}

    def load_own_variables(self, store: Any) -> None:
        if store.keys():  # else a layer around this one has set the numbers
            super().load_own_variables(store)
            self._weights_came()

    def set_weights(self, weights: Any) -> None:
        super().set_weights(weights)
        self._weights_came()

    def _weights_came(self) -> None:
        """Numbers of another fit may not do with what these did with: what was compiled so is compiled anew."""
        groups = [one.judged_anew() for one in self._fit.groups]
        if any(one is not other for one, other in zip(groups, self._fit.groups, strict=True)):
            self._fit = _Fit(self._fit.steps, groups, self._fit.lookups)
            self._live.stale()

    def call(self, inputs: Tensor, like: Tensor | None = None, mask: Any = None) -> Tensor:
        self._live.called(self)
        if self.like != (like is not None):
            expected = "call with the raw samples, layer(y, like=x)" if self.like else "make the layer with like=True"
            raise DataError(f"like {'is missing' if self.like else 'came'}: {expected}")
        raw = {} if like is None else self._named(like)
        fitted = self._fitted(inputs)
        lacking = [name for group, name in self._members(fitted) if self.like and group.needs_like and name not in raw]
        if lacking:
            raise DataError(f"like: the raw samples of {listed(lacking)} are missing. It has {listed(raw)}")
        masks = {} if mask is None else mask if isinstance(mask, Mapping) else {next(iter(self._fit.steps)): mask}
        given = {"like": raw, "mask": {name: one for name, one in masks.items() if one is not None}}
        blocks = list(self._blocks(fitted, self._named(inputs), given, self._groups_of(inputs, fitted)))
        if self.bare and (not self.inverse or is_stored(inputs)):
            return blocks[0].values
        if self.concatenate and len(blocks) == 1 and blocks[0].layout in ("stacked", "joined") and not blocks[0].marks:
            return blocks[0].side_by_side()  # and a block is in fitted order
        mapped = dict(pair for block in blocks for pair in block.columns(flat=self.concatenate))
        if self.bare:
            return next(iter(mapped.values()))
        if self.concatenate:
            return ops.concatenate([mapped[one] for name in self._fit.steps for one in self._named_of(name)], axis=-1)
        return self._beside(inputs, mapped)

    def compute_output_spec(self, inputs: Tensor, like: Any = None, mask: Any = None, training: Any = None) -> Any:  # noqa: ARG002
        fitted, dtype = self._fitted(inputs), self._result_dtype
        shapes = {name: tuple(x.shape) for name, x in fitted.items()}
        if self.bare and is_stored(inputs):
            return like_symbol(inputs, dtype)
        if self.bare or self.concatenate:
            return keras.KerasTensor(self._result_shapes(shapes), dtype)
        found = {name: keras.KerasTensor(shape, dtype) for name, shape in self._result_shapes(shapes).items()}
        found |= {name: like_symbol(x, dtype) for name, x in fitted.items() if is_stored(x)}
        return self._beside({name: like_symbol(x, x.dtype) for name, x in inputs.items()}, found)

    def compute_output_shape(self, input_shape: Any, like_shape: Any = None) -> Any:  # noqa: ARG002  # Keras' name for it
        shapes = self._named(input_shape)
        for group, name in self._members(shapes):
            self._check(name, group, tuple(shapes[name]))
        found = self._result_shapes({name: tuple(shapes[name]) for name in self._fit.steps if name in shapes})
        return found if self.bare or self.concatenate else self._beside(input_shape, found)

    def _result_shapes(self, shapes: Mapping[str, Shape]) -> Any:
        """The shapes of the results: by name, or the one there is."""
        found: dict[str, Shape] = {}
        for name, came in shapes.items():
            step = self._fit.steps[name]
            wide = (*came, 1) if is_number(step, came) else came
            result = step.shape(wide, inverse=self.inverse)
            if len(wide) > len(came) and (self.inverse or not (self.bare or self.concatenate)):
                result = came
            elif self._gives_marks(step):
                result = (*result[:-1], None if result[-1] is None else result[-1] // 2)
            found |= dict.fromkeys(self._named_of(name), result)
        if self.bare:
            return next(iter(found.values()))
        return shape_of_all(list(found.values())) if self.concatenate else found

    def _gives_marks(self, step: maps.Map) -> bool:
        """Whether the marks of what was missing are columns of their own."""
        return step.marks and not self.inverse and not self.bare

    def _named_of(self, name: str) -> tuple[str, ...]:
        """The columns that one becomes."""
        return (name, maps.mark_name(name)) if self._gives_marks(self._fit.steps[name]) else (name,)

    def _beside(self, inputs: Mapping[str, Any], mapped: Mapping[str, Any]) -> dict[str, Any]:
        """What came, with the mapped columns in their places, and marks beside theirs."""
        found: dict[str, Any] = {}
        marks = [maps.mark_name(name) for name, step in self._fit.steps.items() if step.marks]
        for name, value in inputs.items():
            if name in self._fit.steps:
                found |= {one: mapped[one] for one in self._named_of(name)}
            elif name not in marks:
                found[name] = value
        return found

    def compute_mask(self, inputs: Tensor, previous_mask: Any) -> Any:  # noqa: ARG002
        return None if self.concatenate else previous_mask

    @property
    def _result_dtype(self) -> str:
        if not self.inverse:
            return str(super().compute_dtype)
        return "float64" if self.variable_dtype == "float64" else "float32"

    def _group(self, index: int, members: dict[str, maps.Map]) -> Group:
        step = side_by_side(members.values())
        widths = [one.features() for one in members.values()]
        spans = {
            name: (int(end) - width, int(end))
            for name, width, end in zip(members, widths, np.cumsum(widths), strict=True)
        }
        fits = self._fits_float32(step)
        weights = {
            precision: {
                field: self._weight(f"group{index}_{place}_{precision}", array)
                for place, (field, array) in enumerate(step.at(precision).arrays().items())
            }
            for precision in ("float64", "float32")[: 1 + fits]
        }
        moved: dict[str, Any] = {}
        if fits and not self.inverse:
            moved = {
                field: None if array is None else self._weight(f"group{index}_{place}_short", array)
                for place, (field, array) in enumerate(in_centers(step).items())
            }
        return Group(step, spans, fits, weights, moved, bool(moved) and center_will_do(step))

    def _fits_float32(self, step: maps.Map) -> bool:
        return step.fits("float32")

    def _lookup(self, index: int, keys: Keys) -> Lookup:
        def weight(what: str, array: np.ndarray) -> Tensor:
            made.append(what)
            return self._weight(f"keys{index}_{len(made)}_{what}", array)

        def texts(place: int, column: TextKeys) -> Any:
            return self._texts(index, place, column)

        made: list[str] = []
        return Lookup(keys, weight, texts, self._find, self._xp)

    def _texts(self, index: int, place: int, column: TextKeys) -> Any:
        """What gives the codes of the texts of one key column."""
        table = text_table(column)
        setattr(self, f"_keys{index}_{place}_table", table)  # as TensorFlow finds it when it saves

        def codes(x: Tensor) -> Tensor:
            with keras.name_scope(text_mark(index, place)):
                return table.lookup(x)

        return codes

    def _groups_of(self, inputs: Tensor, fitted: Mapping[str, Tensor]) -> dict[tuple[str, ...], Tensor]:
        """Which key each row has, for every set of keys that the columns that came need."""
        needed = {keys.names for keys in keys_of(self._fit.steps[name] for name in fitted)}
        return {one.keys.names: one(inputs) for one in self._fit.lookups if one.keys.names in needed}

    def _weight(self, name: str, array: np.ndarray) -> Tensor:
        fixed = {"trainable": False, "autocast": False, "name": name}
        with unheard():
            weight = self.add_weight(array.shape, initializer=lambda *_, **__: array, dtype=str(array.dtype), **fixed)
        setattr(self, f"_{name}", weight)  # as TensorFlow finds it when it saves
        return weight

    def _fitted(self, inputs: Tensor) -> dict[str, Tensor]:
        """The fitted columns that came, checked, in fitted order."""
        came = dict(self._named(inputs))
        for group, name in self._members(came):
            dtype = keras.backend.standardize_dtype(came[name].dtype)
            if dtype not in NUMBERS:
                raise DataError(f"column {quoted(name)}: expected numbers, got {dtype}. Cast it, or leave it out")
            if getattr(came[name].shape, "rank", 0) is None:  # as after `fit` on (n,) and then on (n, 1)
                if not self.concatenate:
                    raise DataError(f"column {quoted(name)}: its number of axes is unknown. Use tensor.set_shape(...)")
                came[name] = ops.reshape(came[name], (-1, group.features(name)))
            self._check(name, group, tuple(came[name].shape))
            self._check_stored(name, group, came[name])
        return {name: came[name] for name in self._fit.steps if name in came}

    def _check_stored(self, name: str, group: Group, x: Tensor) -> None:
        """Sparse rows stay sparse only where the map leaves places alone that store nothing."""
        if is_stored(x) and self._fit.steps[name].marks:
            came = "sparse and ragged rows have no place for marks of what was missing"
            raise DataError(f"column {quoted(name)}: {came}. Make them dense, or leave indicator out")
        if group.features(name) > 1 and is_ragged(x) and x.shape[-1] is None:
            came = (
                f"fitted on {group.features(name)} features a row, got steps of single numbers (shape {tuple(x.shape)})"
            )
            raise DataError(f"column {quoted(name)}: {came}. Give steps of that width, or fit again")
        if self.concatenate and is_stored(x):
            came = "concatenate=True takes dense tensors, got a sparse or ragged one"
            raise DataError(f"column {quoted(name)}: {came}. Make it dense, or leave concatenate out")
        absent = float("nan") if name in self.missing else 0.0
        if is_sparse(x) and (why := maps.sparse_flaw(self._fit.steps[name], absent, inverse=self.inverse)):
            raise DataError(
                f"column {quoted(name)}: {why}. Pass tf.sparse.to_dense(x), or choose what keeps zeros: maxabs"
            )

    def _members(self, came: Mapping[str, Any]) -> Iterator[tuple[Group, str]]:
        return ((group, name) for group in self._fit.groups for name in group.spans if name in came)

    def _named(self, inputs: Any) -> Mapping[str, Any]:
        """What came, by column; an error where a fitted one did not."""
        if self.bare and self._fit.lookups:
            name = next(iter(self._fit.steps))
            if not isinstance(inputs, Mapping) or name not in inputs:
                names = [name, *(key for lookup in self._fit.lookups for key in lookup.keys.names)]
                raise DataError(f"the numbers of {quoted(name)} are by key: call with a dict of {listed(names)}")
            return {name: inputs[name]}
        if self.bare:
            if isinstance(inputs, Mapping):
                raise DataError(f"bare=True takes one tensor, got a dict of {listed(inputs)}. Take the column out")
            return {next(iter(self._fit.steps)): inputs}
        if not isinstance(inputs, Mapping):
            raise DataError(
                f"expected a dict of columns ({listed(self.columns)}), got a {type(inputs).__name__}. "
                "Call with dict(frame); for a lone tensor take fitted[name].layer()"
            )
        missing = [name for name in self._fit.steps if name not in inputs]
        if missing and (not self.inverse or len(missing) == len(self._fit.steps)):
            raise DataError(f"fitted columns missing: {listed(missing)}. The input has {listed(inputs)}; pass them all")
        marks = [maps.mark_name(name) for name, step in self._fit.steps.items() if step.marks]
        if taken := [mark for mark in marks if mark in inputs and not self.inverse]:
            raise DataError(
                f"column {listed(taken)}: is there already, and is what marks of what was missing are called"
            )
        return inputs

    def _check(self, name: str, group: Group, shape: Shape) -> None:
        features = group.features(name)
        expected = self._fit.steps[name].width(features) if self.inverse and features != 1 else features
        allowed = (expected, features, None) if group.step.marks and self.inverse else (expected, None)
        width = shape[-1] if shape else 1
        if features != 1 and (width not in allowed or shape == (None,)):
            came = f"fitted on {expected} features a row, got {width if len(shape) > 1 else 'a scalar'} (shape {shape})"
            raise DataError(f"column {quoted(name)}: {came}. Give rows of that width, or fit again")
        axes = group.step.sample_axes
        if 0 < axes >= len(shape):
            came = f"needs {axes + 1} axes, since samples of {axes} are normalized as one, got shape {shape}"
            raise DataError(f"column {quoted(name)}: {came}. Batch the data before this layer")
        if self.concatenate and not (len(shape) == 2 or (len(shape) == 1 and features == 1)):
            came = f"concatenate=True takes batches of scalars (n,) or vectors (n, d), got shape {shape}"
            raise DataError(f"column {quoted(name)}: {came}. Flatten it, or leave concatenate out")

    def _blocks(
        self,
        tensors: dict[str, Tensor],
        came: Mapping[str, Tensor],
        given: Mapping[str, Mapping[str, Tensor]],
        groups: Mapping[tuple[str, ...], Tensor],
    ) -> Iterator[Block]:
        """Columns of one kind, type and shape are put side by side, mapped at once; on the way back each with its marks.

        given: by column, what `like` is and what `mask`.
        """
        for group in self._fit.groups:
            together: dict[tuple[str, int, str], list[str]] = {}
            for name in group.spans:
                if name in tensors:
                    x = tensors[name]
                    alone = name in given["mask"] or is_stored(x) or (self.inverse and group.step.marks)
                    layout = "alone" if alone else layout_of(group.step, group.features(name), tuple(x.shape))
                    key = (keras.backend.standardize_dtype(x.dtype), len(x.shape), layout)
                    together.setdefault(key, []).append(name)
            marks = self._gives_marks(group.step)
            marked = [one for one in group.spans if self.inverse and group.step.marks and maps.mark_name(one) in came]
            for (_, _, layout), names in together.items():
                if layout == "alone" or len(names) == 1:
                    for name in names:
                        x, raw = tensors[name], given["like"][name] if self.like and group.needs_like else None
                        number = is_number(self._fit.steps[name], tuple(x.shape))
                        if name in marked:
                            halves = [x, ops.cast(came[maps.mark_name(name)], x.dtype)]
                            x = ops.stack(halves, axis=-1) if number else ops.concatenate(halves, axis=-1)
                        elif number:
                            x = ops.expand_dims(x, -1)
                        y = self._mapped(group, [name], x, groups, raw, given["mask"].get(name))
                        yield Block([name], y, "number" if number else "alone", marks)
                else:
                    columns = [tensors[name] for name in names]
                    flags = {"turned": True} if can_turn(group.step, columns) else {}
                    x = beside(columns, layout, **flags)
                    yield Block(names, self._mapped(group, names, x, groups, **flags), layout, marks, **flags)

    def _precision(self, group: Group, x: Tensor) -> str:
        """In which a group of columns is computed, for values of this type."""
        if not group.fits_float32 or super().compute_dtype == "float64":
            return "float64"
        return maps.working_dtypes(keras.backend.standardize_dtype(x.dtype))[0]

    def _mapped(
        self,
        group: Group,
        names: Sequence[str],
        x: Tensor,
        groups: Mapping[tuple[str, ...], Tensor],
        like: Tensor | None = None,
        mask: Tensor | None = None,
        turned: bool = False,
    ) -> Tensor:
        """turned: the values are (columns, n), where else features come last."""
        precision = self._precision(group, x)
        if precision == "float64" and not has_doubles():
            if not group.fits_float32 or not (self.inverse or rounding_is_harmless(group.step)):
                raise DataError(f"column {quoted(names[0])}: needs 64-bit numbers to be right in float32. {HOW}")
            precision = "float32"
        step = group.step_of(names, precision)
        if turned:
            step = step.with_arrays({field: ops.expand_dims(one, -1) for field, one in step.arrays().items()})
        if is_stored(x):
            return map_stored(step, x, groups, precision, self._result_dtype, inverse=self.inverse)
        if not group.weights[precision]:
            x = self._xp.cast(x, precision)
        features = sum(group.features(name) for name in names)
        if self.inverse and x.shape[-1] is None:
            features = step.width(features)
        if features != 1 and x.shape[-1] is None and not turned:  # seen only when run: 1 must not spread to all
            x = ops.reshape(x, (*ops.shape(x)[:-1], features))
        there = None if mask is None else spread(mask, x)
        bound = step.bound(groups, len(x.shape), self._xp) if step.keyed() else step
        left_out = None if step.elementwise else there
        with keras.name_scope(fit_mark(self.fingerprint)):  # so that exported graphs tell it, too
            y = maps.run(bound, x, self._xp, inverse=self.inverse, like=like, there=left_out)
            y = self._xp.cast(y, self._result_dtype)
        if there is not None:  # padding stays harmless, whatever it was
            y = ops.where(there, y, ops.zeros_like(y))
        return y if len(x.shape) else ops.reshape(y, ())  # one number met weights of shape (1,)
