"""What the user holds after a fit: it transforms, goes back, becomes a layer, is saved and added.

The one law: every way out (NumPy, tables, the layer, a loaded file) applies the same maps to the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfnorm.apply import apply
from tfnorm.apply_stored import apply_stored
from tfnorm.errors import ChoiceError, DataError, NotInvertibleError
from tfnorm.gather import as_numbers
from tfnorm.maps import Instance, Map, sparse_flaw
from tfnorm.profile import Column, ColumnProfile, Profile
from tfnorm.sources import BARE
from tfnorm.sources.columns import did_you_mean, quoted
from tfnorm.sources.stored import Sparse, Stored
from tfnorm.techniques import Stages


@dataclass(frozen=True, eq=False)
class Fitted:
    """Profile, choice and solved maps. Made by `tfnorm.fit` and `tfnorm.load`."""

    profile: Profile
    stages: Mapping[str, Stages]  # column -> its techniques, in turn
    maps: Mapping[str, Map]  # column -> what is done to its numbers
    fingerprint: str  # SHA-256 of the choice and the maps: the same numbers, the same fingerprint

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

        like: the raw samples, where the fit was of one array by `instance` or `contrast`, which forget level and spread.
        NotInvertibleError where a column's technique forgets what it would need (unit norms).
        """
        if like is not None:
            if not self.profile.bare:
                raise ChoiceError('like= goes with one column: fitted["name"].inverse(y, like=x).')
            return self[BARE].inverse(batch, like=like)
        return self._apply(batch, inverse=True)

    def _apply(self, batch: Any, *, inverse: bool) -> Any:
        from tfnorm.sources import forms, frames

        if hasattr(batch, "element_spec"):
            raise DataError("a tf.data.Dataset is normalized by the layer: layer = fitted.layer(); dataset.map(layer).")
        if frames.is_frame(batch):
            came = frames.column_names(batch)
            names = [name for name in self.columns if name in came]
            self._some(names, came)
            columns = frames.read_columns(batch, names)
            return frames.replace_columns(batch, {name: self[name]._run(columns[name], inverse) for name in names})
        if isinstance(batch, Mapping) and not forms.is_stored(batch):
            names = [name for name in batch if name in self.maps]
            self._some(names, list(batch))
            return {
                name: self[name]._run_as(value, inverse) if name in self.maps else value
                for name, value in batch.items()
            }
        if not self.profile.bare:
            raise DataError(
                f"expected a table or a mapping with the columns {quoted(self.columns)}, got {type(batch).__name__}. "
                'For one column, take it by name: fitted["name"].transform(...).'
            )
        return self[BARE]._run_as(batch, inverse)

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
        return solved(self.profile + other.profile, self.stages)

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
        return self.map.invertible

    def transform(self, values: Any) -> Any:
        """A lone array of this column to the normalized scale; a sparse or ragged one stays so."""
        return self._run_as(values, inverse=False)

    def inverse(self, values: Any, *, like: Any = None) -> Any:
        """A lone array (a model's predictions, say) back to real units.

        like: for `instance` and `contrast`, the raw samples whose level and spread are to be given back.

        >>> import tfnorm
        >>> fitted = tfnorm.fit({"price": [100.0, 300.0]}, "minmax")
        >>> fitted["price"].inverse([[0.5], [2.0]])
        array([[200.],
               [500.]])
        """
        from tfnorm.sources import arrays, forms

        if like is None:
            return self._run_as(values, inverse=True)
        if forms.is_stored(values) or forms.is_stored(like):
            raise DataError(
                f"column {quoted([self.name])}: like= takes dense arrays. Go back sample by sample, or pad them."
            )
        if not isinstance(self.map, Instance):
            raise ChoiceError(
                f"column {quoted([self.name])}: like= is for instance and contrast, not {self.technique}."
            )
        y, x = (np.asarray(arrays.numbers(one, self.name), np.float64) for one in (values, like))
        return np.asarray(self.map.inverse_like(y, x, np))

    def layer(self, *, inverse: bool = False, **kwargs: Any) -> Any:
        """A Keras layer for this column alone, tensor in, tensor out; with `inverse=True` back to real units."""
        return keras_part().Normalize(
            {self.name: self.map},
            bare=True,
            inverse=inverse,
            missing=self.fitted._missing([self.name]),
            fingerprint=self.fitted.fingerprint,
            **kwargs,
        )

    def _run_as(self, values: Any, inverse: bool) -> Any:
        """In the form in which the values came."""
        from tfnorm.sources import forms

        name = None if self.profile.profile.bare else self.name
        return forms.like(values, self._run(forms.read(values, name), inverse))

    def _run(self, array: Any, inverse: bool) -> Any:
        if inverse and not self.invertible:
            raise NotInvertibleError(f"column {quoted([self.name])}: {self.technique}: {self.map.lost}.")
        if isinstance(array, Stored):
            return self._run_stored(array, inverse)
        masked = isinstance(array, np.ma.MaskedArray)
        array = as_numbers(array, self.column)
        if array.dtype.kind not in "biuf":
            raise DataError(f"column {quoted([self.name])}: expected numbers, got {array.dtype}. Cast it.")
        wide, last = self.column.features, (self.column.shape or (None,))[-1]
        if (wide > 1 and array.ndim < 2) or (last == wide and array.ndim > 1 and array.shape[-1] != wide):
            raise DataError(
                f"column {quoted([self.name])}: expected {wide} features on the last axis, got shape {array.shape}."
            )
        if self.profile.profile.bare and self.column.shape and array.ndim != len(self.column.shape) + 1:
            raise DataError(
                f"expected an array of {len(self.column.shape) + 1} axes with samples first, got shape {array.shape}."
            )
        result = apply(self.map, array, inverse=inverse)
        return result if masked or not isinstance(result, np.ma.MaskedArray) else result.filled(np.nan)

    def _run_stored(self, rows: Stored, inverse: bool) -> Stored:
        """Sparse or ragged rows: what is stored is mapped, what is not stays so."""
        where = f"column {quoted([self.name])}"
        values = as_numbers(rows.values, self.column)
        if values.dtype.kind not in "biuf":
            raise DataError(f"{where}: expected numbers, got {values.dtype}. Cast it.")
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
        try:
            return apply_stored(self.map, rows.with_values(values), inverse=inverse)
        except DataError as error:
            raise DataError(f"{where}: {self.technique}: {error}") from None


def keras_part() -> Any:
    """The module with the layer; the one place that loads Keras. All that saved models may hold is registered then."""
    try:
        import tfnorm.attach
        import tfnorm.layer
    except ImportError as error:
        if (error.name or "").split(".")[0] not in ("keras", "tensorflow"):
            raise
        raise ImportError(
            f"the layer needs TensorFlow and Keras, and {error.name} is not installed: pip install 'tfnorm[tf]'."
        ) from error
    return tfnorm.layer
