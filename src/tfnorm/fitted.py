"""What the user holds after a fit: it transforms, goes back, becomes a layer, is saved and added.

The one law: every way out (NumPy, tables, the layer, a loaded file) applies the same maps to the same numbers.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfnorm.apply import Groups, apply
from tfnorm.apply_stored import apply_stored
from tfnorm.errors import ChoiceError, DataError, NotInvertibleError
from tfnorm.gather import as_numbers
from tfnorm.maps import Map, mark_name, sparse_flaw
from tfnorm.profile import Column, ColumnProfile, Profile
from tfnorm.rules import Policies, Rules
from tfnorm.sources import BARE
from tfnorm.sources.columns import did_you_mean, quoted
from tfnorm.sources.stored import Sparse, Stored
from tfnorm.techniques import Stages
from tfnorm.unseen import groups_of, key_columns, keys_argument

_DENSE_LIKE = "like= takes dense arrays. Go back sample by sample, or pad them."


@dataclass(frozen=True, eq=False)
class Fitted:
    """Profile, choice and solved maps. Made by `tfnorm.fit` and `tfnorm.load`."""

    profile: Profile
    stages: Mapping[str, Stages]  # column -> its techniques, in turn
    maps: Mapping[str, Map]  # column -> what is done to its numbers
    fingerprint: str  # SHA-256 of the choice and the maps: the same numbers, the same fingerprint
    rules: Rules = field(default_factory=Rules)  # policies, and which columns share their numbers
    fired: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(column, policy) -> on how many values `transform` has let it fire, since this object was made; it is not saved."""

    @property
    def choice(self) -> dict[str, str]:
        """Column -> its techniques as text, as `fit` takes it."""
        return {name: ", ".join(map(str, stages)) for name, stages in self.stages.items()}

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the fitted columns."""
        return tuple(self.maps)

    def transform(self, batch: Any) -> Any:
        """To the normalized scale, as the kind that came: array, mapping, table, sparse matrix or ragged tensor; other columns
        are passed through.

        float32 and float16 stay what they are, small integers become float32, everything else float64. Missing values stay
        missing. Columns of the fit that are absent are not asked for.
        """
        return self._apply(batch, inverse=False)

    def inverse(self, batch: Any, *, like: Any = None) -> Any:
        """Back to real units; of only some of the columns, by name, too.

        like: the raw samples, of the kind that `batch` is: `instance`, `contrast` and unit norms forget a sample's level,
        spread and length, and take them from there.
        NotInvertibleError where a column's technique forgets what it would need.
        """
        if like is not None and not any(step.restores_like for step in self.maps.values()):
            raise ChoiceError("like= is for techniques by sample (instance, l2), and the fit has none. Leave it out.")
        return self._apply(batch, inverse=True, like=like)

    def _apply(self, batch: Any, *, inverse: bool, like: Any = None) -> Any:
        from tfnorm.sources import forms, frames

        def run(
            names: list[str], values: Mapping[str, np.ndarray], keys: Mapping[str, Any]
        ) -> Iterator[dict[str, Any]]:
            """What the table gets for each of the columns."""
            keyed = {name: self.maps[name] for name in names if self.maps[name].keyed()}
            groups = groups_of(keyed, keys, len(np.atleast_1d(values[names[0]]))) if keyed else None
            for name in names:
                raw = None if like is None else self._of_like(like, name)
                yield self[name]._columns(values, inverse, groups, raw)

        if hasattr(batch, "element_spec"):
            raise DataError("a tf.data.Dataset is normalized by the layer: layer = fitted.layer(); dataset.map(layer).")
        if frames.is_frame(batch):
            came = frames.column_names(batch)
            names = [name for name in self.columns if name in came]
            self._some(names, came)
            marks = self._marks(names, came, inverse)
            keys = [name for name in key_columns(self.maps[name] for name in names) if name in came]
            columns = frames.read_columns(batch, [*names, *keys, *(mark for mark in marks if mark in came)])
            values = {name: array for found in run(names, columns, columns) for name, array in found.items()}
            drop = [mark for mark in marks if inverse and mark in came]
            return frames.replace_columns(batch, values, beside={} if inverse else marks, drop=drop)
        if isinstance(batch, Mapping) and not forms.is_stored(batch):
            names = [name for name in batch if name in self.maps]
            self._some(names, list(batch))
            marks = self._marks(names, list(batch), inverse)
            numbers = {name: forms.read(batch[name], name) for name in (*names, *marks) if name in batch}
            found = zip(names, run(names, numbers, batch), strict=True)
            mapped = {name: {own: forms.like(batch[name], one) for own, one in new.items()} for name, new in found}
            rest = {name: {name: value} for name, value in batch.items() if name not in marks}
            return {name: one for column in rest for name, one in mapped.get(column, rest[column]).items()}
        if not self.profile.bare:
            raise DataError(
                f"expected a table or a mapping with the columns {quoted(self.columns)}, got {type(batch).__name__}. "
                'For one column, take it by name: fitted["name"].transform(...).'
            )
        return self[BARE]._run_by(batch, inverse, None, None if like is None else self._of_like(like, BARE))

    def _of_like(self, like: Any, name: str) -> np.ndarray | None:
        """A column of the raw samples; None where its way back lacks nothing."""
        from tfnorm.sources import arrays, forms, frames

        if not self.maps[name].restores_like:
            return None
        if forms.is_stored(like):
            raise DataError(f"column {quoted([name])}: {_DENSE_LIKE}")
        if frames.is_frame(like):
            return frames.read_columns(like, [name])[name]
        if isinstance(like, Mapping):
            if name not in like:
                raise DataError(f"like: column {quoted([name])} is not among {quoted(map(str, like))}.")
            return arrays.numbers(like[name], name)
        if not self.profile.bare:
            raise DataError(f"like: expected a table or a mapping, as the batch is, got {type(like).__name__}.")
        return arrays.numbers(like)

    def _marks(self, names: list[str], came: Iterable[Any], inverse: bool) -> dict[str, str]:
        """The columns of marks -> those that they belong to; an error where one is there and means something else."""
        marks = {mark_name(name): name for name in names if self.maps[name].marks}
        taken = [mark for mark in marks if mark in self.maps or (mark in came and not inverse)]
        if taken:
            raise ChoiceError(
                f"column {quoted(taken)}: is there already, and is what the marks of {quoted([marks[taken[0]]])} are called. "
                "Rename it, or leave indicator out."
            )
        return marks

    def _some(self, names: list[str], came: list[str]) -> None:
        if not names:
            hint = "".join(did_you_mean(name, self.columns) for name in came[:3])
            raise DataError(f"none of the fitted columns {quoted(self.columns)} is among {quoted(came)}.{hint}")

    def __getitem__(self, name: str) -> FittedColumn:
        """One column of the fit."""
        name = str(name)  # as tables with numbers for names are read
        if name not in self.maps:
            raise ChoiceError(f"column {quoted([str(name)])}: not in this fit.{did_you_mean(str(name), self.columns)}")
        return FittedColumn(self, self.profile[name].column)

    def __iter__(self) -> Iterator[str]:
        """The names of the fitted columns."""
        return iter(self.maps)

    def __contains__(self, name: object) -> bool:
        return name in self.maps

    def __add__(self, other: Fitted) -> Fitted:
        """The fit on both data sets: the profiles add, the maps are solved again."""
        from tfnorm.fitting import solved

        if not isinstance(other, Fitted):
            return NotImplemented
        if self.choice != other.choice:
            raise ChoiceError(f"fits add only when made with the same choice, got {self.choice} and {other.choice}.")
        if self.rules != other.rules:
            raise ChoiceError(f"fits add only when made with the same rules, got {self.rules} and {other.rules}.")
        return solved(self.profile + other.profile, self.stages, self.rules)

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Fitted) and self.fingerprint == other.fingerprint
        return same and isinstance(other, Fitted) and self.profile == other.profile

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def layer(self, *, inverse: bool = False, concatenate: bool = False, **kwargs: Any) -> Any:
        """One Keras layer with the numbers in it: dict in, dict out, or tensor in, tensor out where the fit was of one array.

        inverse: back to real units, for any of the columns.
        concatenate: dict in, one tensor out, the columns side by side in the order of the fit: for a Dense layer to follow.
        Other arguments go to `keras.layers.Layer` (name, dtype).

        Needs TensorFlow: `pip install 'tfnorm[tf]'`.
        """
        return keras_part().Normalize(
            dict(self.maps),
            bare=self.profile.bare,
            inverse=inverse,
            concatenate=concatenate,
            missing=self._missing(self.maps),
            fingerprint=self.fingerprint,
            **kwargs,
        )

    def _missing(self, names: Iterable[str]) -> tuple[str, ...]:
        """The columns whose sparse rows lack what they do not store."""
        return tuple(name for name in names if self.profile[name].column.unstored == "missing")

    def attach(self, model: Any, target: str | Fitted | FittedColumn) -> Any:
        """A Keras model that takes raw inputs and predicts in real units, around one trained on normalized ones.

        A model that begins with a layer of a fit gets only the way back at its end.

        target: the column of this fit that `model` predicts, or a fit of the target alone.
        """
        part = keras_part()
        from tfnorm.attach import attach

        if isinstance(target, Fitted):
            if len(target.columns) != 1:
                raise ChoiceError(f"target has the columns {quoted(target.columns)}; say which one: fitted[name].")
            target = target[target.columns[0]]
        column = self[target] if isinstance(target, str) else target
        if not isinstance(column, FittedColumn):
            raise ChoiceError(f"target must be a column's name, a fit of it, or fitted[name]; got {target!r}.")
        if any(isinstance(one, part.Normalize) and not one.inverse for one in model._flatten_layers()):
            return attach(None, model, column.layer(inverse=True))  # its inputs are raw already
        inputs = {name: step for name, step in self.maps.items() if column.fitted is not self or name != column.name}
        if not inputs:
            raise ChoiceError("the fit has no column but the target, so there are no inputs to normalize.")
        flags = {"bare": self.profile.bare, "missing": self._missing(inputs)}
        normalize = part.Normalize(inputs, **flags, fingerprint=self.fingerprint)
        dtypes = {name: self.profile[name].column.dtype for name in inputs}
        return attach(normalize, model, column.layer(inverse=True), dtypes=dtypes)

    def save(self, path: Any) -> None:
        """Write it as JSON: beside first, then in place, so that a full disk or a kill leaves an old file whole."""
        from tfnorm.artefact import save

        save(self, path)

    def __repr__(self) -> str:
        from tfnorm.tables import fitted_text

        return fitted_text(self)

    def _repr_html_(self) -> str:
        from tfnorm.tables import fitted_html

        return fitted_html(self)


@dataclass(frozen=True)
class FittedColumn:
    """One column of a fit."""

    fitted: Fitted
    column: Column

    def __repr__(self) -> str:
        return f"{self.name}: {self.technique}, fitted on {self.fitted.profile.num_rows:,} rows"

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def map(self) -> Map:
        return self.fitted.maps[self.name]

    @property
    def technique(self) -> str:
        """As text, as `fit` takes it."""
        return self.fitted.choice[self.name]

    @property
    def profile(self) -> ColumnProfile:
        """Its statistics."""
        return self.fitted.profile[self.name]

    @property
    def invertible(self) -> bool:
        """Whether every value comes back."""
        return self.map.invertible

    @property
    def lost(self) -> str:
        """What does not come back, in words: all of it, or what lies beyond limits; empty where everything does.

        >>> import tfnorm
        >>> tfnorm.fit({"age": [1.0, 99.0]}, "clip(0, 90)")["age"].lost
        'what lies outside 0 to 90 comes back as the nearest end'
        """
        return "; ".join(filter(None, [self.map.lost, self.map.limited]))

    @property
    def domain(self) -> str:
        """Which numbers it takes, in words; empty for all. Others become missing.

        >>> import tfnorm
        >>> tfnorm.fit({"fare": [1.0, 99.0]}, "log1p")["fare"].domain
        'values above -1'
        """
        return self.map.domain

    @property
    def uncertainty(self) -> dict[str, dict[str, Any]]:
        """How far from exact the statistics may be from which its stages were solved; empty where they are exact.

        By stage: `rank`, of any value as a share of all; `mean` and `std`, in the units of what the stage is given. Numbers for
        a scalar column, else an array with one entry a feature. `fit(..., exact=True)` reads the data again for what is more
        than 0 here, except for percentiles.

        >>> import numpy as np, tfnorm
        >>> data = {"x": np.random.default_rng(0).lognormal(size=100_000)}
        >>> {k: {what: float(f"{bound:.1g}") for what, bound in of.items()} for k, of in
        ...  tfnorm.fit(data, "yeo_johnson, standard")["x"].uncertainty.items()}
        {'yeo_johnson': {'rank': 0.001}, 'standard': {'mean': 0.001, 'std': 0.002}}
        >>> tfnorm.fit(data, "yeo_johnson, standard", exact=True)["x"].uncertainty
        {}
        """
        from tfnorm.chains import uncertainty

        fitted = self.fitted
        found = uncertainty(fitted.profile, fitted.rules.sharing(self.name), fitted.stages[self.name])
        scalar = self.column.scalar
        return {
            stage: {what: float(bound[0]) if scalar else bound for what, bound in of.items()}
            for stage, of in found.items()
        }

    @property
    def width(self) -> int:
        """How many features the result has: more or fewer than came for some techniques."""
        return self.map.width(self.column.features)

    def transform(self, values: Any, *, keys: Any = None) -> Any:
        """A lone array of this column to the normalized scale; a sparse or ragged one stays so.

        keys: for a technique by key, the rows' keys: `{"store": [...], "weekday": [...]}`, or the array where there is one key
            column; one key alone is that of all rows.
        """
        return self._run_by(values, False, keys)

    def inverse(self, values: Any, *, keys: Any = None, like: Any = None) -> Any:
        """A lone array (a model's predictions, say) back to real units.

        keys: as for `transform`.
        like: for `instance`, `contrast` and unit norms, the raw samples whose level, spread and length are to be given back.

        >>> import tfnorm
        >>> fitted = tfnorm.fit({"price": [100.0, 300.0]}, "minmax")
        >>> fitted["price"].inverse([[0.5], [2.0]])
        array([[200.],
               [500.]])
        """
        from tfnorm.sources import arrays, forms

        if like is not None and (forms.is_stored(values) or forms.is_stored(like)):
            raise DataError(f"column {quoted([self.name])}: {_DENSE_LIKE}")
        raw = None if like is None else arrays.numbers(like, self.name)
        if raw is not None and not self.map.restores_like:
            raise ChoiceError(f"column {quoted([self.name])}: {self.technique} comes back without like=. Leave it out.")
        return self._run_by(values, True, keys, raw)

    def layer(self, *, inverse: bool = False, **kwargs: Any) -> Any:
        """A Keras layer for this column alone, tensor in, tensor out; with `inverse=True` back to real units.

        With `inverse=True, like=True` it is called as `layer(y, like=x)`, as in `inverse`.
        """
        return keras_part().Normalize(
            {self.name: self.map},
            bare=True,
            inverse=inverse,
            missing=self.fitted._missing([self.name]),
            fingerprint=self.fitted.fingerprint,
            **kwargs,
        )

    def columns(self, batch: Mapping[str, np.ndarray], *, inverse: bool = False) -> dict[str, np.ndarray]:
        """The columns that a table gets for this one: itself, and beside it the marks of what was missing, where it has some.

        The batch holds the column, the columns of its keys and, on the way back, that of its marks.
        """
        groups = groups_of({self.name: self.map}, batch, len(batch[self.name])) if self.map.keyed() else None
        return self._columns(batch, inverse, groups)

    def _columns(
        self,
        batch: Mapping[str, np.ndarray],
        inverse: bool,
        groups: Groups | None = None,
        like: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        array, mark = batch[self.name], mark_name(self.name)
        if not self.map.marks:
            return {self.name: self._run(array, inverse, groups, like)}
        if inverse and mark in batch:
            halves = [one[:, None] if one.ndim == 1 else one for one in (array, batch[mark].astype(array.dtype))]
            array = (np.ma if np.ma.isMA(array) else np).concatenate(halves, axis=-1)
        result = self._run(array, inverse, groups, like)
        if inverse:
            return {self.name: result.reshape(batch[self.name].shape) if self.column.scalar else result}
        width = result.shape[-1] // 2
        shape = array.shape if self.column.scalar else result[..., :width].shape
        return {self.name: result[..., :width].reshape(shape), mark: result[..., width:].reshape(shape)}

    def _run_by(self, values: Any, inverse: bool, keys: Any, like: np.ndarray | None = None) -> Any:
        """In the form in which the values came."""
        from tfnorm.sources import forms

        array = forms.read(values, None if self.profile.profile.bare else self.name)
        given = keys_argument(self.map, keys, self.name)
        groups = groups_of({self.name: self.map}, given, len(np.atleast_1d(array))) if given else None
        return forms.like(values, self._run(array, inverse, groups, like))

    def _run(self, array: Any, inverse: bool, groups: Groups | None = None, like: np.ndarray | None = None) -> Any:
        if inverse and self.map.lost and like is None:
            raise NotInvertibleError(f"column {quoted([self.name])}: {self.technique}: {self.map.lost}.")
        if isinstance(array, Stored):
            if like is not None:
                raise DataError(f"column {quoted([self.name])}: {_DENSE_LIKE}")
            return self._run_stored(array, inverse)
        masked = isinstance(array, np.ma.MaskedArray)
        array = as_numbers(array, self.column)
        if array.dtype.kind not in "biuf":
            raise DataError(f"column {quoted([self.name])}: expected numbers, got {array.dtype}. Cast it.")
        wide, last = self.column.features, (self.column.shape or (None,))[-1]
        expected = self.map.width(wide) if inverse else wide
        allowed = {expected, wide if self.map.marks else expected}  # values may come back without their marks
        if self.column.scalar:
            wrong = expected > 1 and array.ndim > 1 and array.shape[-1] not in allowed
        else:
            wrong = last == wide and array.ndim > 1 and array.shape[-1] not in allowed
        if wrong or (wide > 1 and array.ndim < 2):
            raise DataError(
                f"column {quoted([self.name])}: expected {expected} features on the last axis, got shape {array.shape}."
            )
        if self.profile.profile.bare and self.column.shape and array.ndim != len(self.column.shape) + 1:
            raise DataError(
                f"expected an array of {len(self.column.shape) + 1} axes with samples first, got shape {array.shape}."
            )
        if like is not None:
            y, x = (np.asarray(np.ma.filled(one.astype(np.float64), np.nan)) for one in (array, like))
            return np.asarray(self.map.inverse_like(y, x, np))
        if groups is not None and array.ndim and any(len(codes) != len(array) for codes in groups.values()):
            raise DataError(f"column {quoted([self.name])}: has {len(array)} rows, and its keys have another number.")
        if not inverse:
            self._enforce(array)
        result = apply(self.map, array, groups=groups, inverse=inverse)
        if inverse and self.column.scalar and self.map.marks and (array.ndim == 1 or array.shape[-1] != 1):
            result = result[..., 0]  # the numbers without the axis that their marks were on
        return result if masked or not isinstance(result, np.ma.MaskedArray) else result.filled(np.nan)

    def _run_stored(self, rows: Stored, inverse: bool) -> Stored:
        """Sparse or ragged rows: what is stored is mapped, what is not stays so."""
        where = f"column {quoted([self.name])}"
        values = as_numbers(rows.values, self.column)
        if values.dtype.kind not in "biuf":
            raise DataError(f"{where}: expected numbers, got {values.dtype}. Cast it.")
        if self.map.keyed():
            raise DataError(
                f"{where}: {self.technique}: sparse and ragged rows have no numbers by key. Make them dense."
            )
        shape = rows.shape if isinstance(rows, Sparse) else values.shape
        if self.column.features > 1 and (len(shape) < 2 or shape[-1] != self.column.features):
            raise DataError(
                f"{where}: expected {self.column.features} features on the last axis, got shape {rows.shape}."
            )
        if isinstance(rows, Sparse) and (why := sparse_flaw(self.map, self.column.absent, inverse=inverse)):
            raise DataError(
                f"{where}: {self.technique}: {why}. Pass dense rows (x.toarray()), or choose what keeps zeros: maxabs, "
                'standard(center=False), signed_log; or leave out what is not stored: fit(..., sparse="missing").'
            )
        if not inverse:
            self._enforce(values)
        try:
            return apply_stored(self.map, rows.with_values(values), inverse=inverse)
        except DataError as error:
            raise DataError(f"{where}: {self.technique}: {error}") from None

    def _enforce(self, array: np.ndarray) -> None:
        """Count what policies fire on; refuse what they refuse."""
        policies = self.fitted.rules.of(self.name)
        if policies == Policies():
            return
        counts = policies.counts(array, self.fitted.rules.extremes(self.fitted.profile, self.name))
        if policies.missing == "error" and "missing" in counts:
            gaps = np.isnan(np.ma.filled(array.astype(np.float64), np.nan))
            row = int(np.flatnonzero(gaps.reshape(len(array), -1).any(axis=1))[0])
            raise DataError(
                f"column {quoted([self.name])}: {counts['missing']} values are missing, the first in row {row}. "
                "Mend them, or fit with another policy (missing=0)."
            )
        for policy, count in counts.items():
            self.fitted.fired[self.name, policy] += count
            said = (quoted([self.name]), policy, count, policies.done(policy))
            logging.getLogger("tfnorm.policies").info("column %s: %s in %d values: %s", *said)


def keras_part() -> Any:
    """The module with the layer; the one place that loads Keras. All that saved models may hold is registered then."""
    try:
        import tfnorm.attach
        import tfnorm.layer
        import tfnorm.layer_running
    except ImportError as error:
        if (error.name or "").split(".")[0] not in ("keras", "tensorflow"):
            raise
        raise ImportError(
            f"the layer needs TensorFlow and Keras, and {error.name} is not installed: pip install 'tfnorm[tf]'."
        ) from error
    return tfnorm.layer
