"""One column of a fit: `fitted["age"]`. Its values alone, both ways, and what is known of it.

The one law: a column alone gives the numbers that it has among the others.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tfnorm.apply import Groups, apply, apply_stored
from tfnorm.errors import ChoiceError, DataError, NotInvertibleError, TfnormError
from tfnorm.keras_part import keras_part
from tfnorm.maps import Map, mark_name, sparse_flaw, spread_of
from tfnorm.measuring import as_numbers
from tfnorm.profile import Column, ColumnProfile
from tfnorm.rules import Policies
from tfnorm.sources.columns import quoted
from tfnorm.sources.stored import Sparse, Stored
from tfnorm.unseen import groups_of, keys_argument

if TYPE_CHECKING:
    from tfnorm.fitted import Fitted

DENSE_LIKE = "like= takes dense arrays. Go back sample by sample, or pad them."
LONE_OUT = "out= is for one dense array. Leave it out, or transform the columns' arrays one by one."


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

    def transform(self, values: Any, *, keys: Any = None, out: np.ndarray | None = None) -> Any:
        """A lone array of this column to the normalized scale; a sparse or ragged one stays so.

        keys: for a technique by key, the rows' keys: `{"store": [...], "weekday": [...]}`, or the array where there is one key
            column; one key alone is that of all rows.
        out: as for `Fitted.transform`.
        """
        return self._run_by(values, False, keys, out=out)

    def inverse(self, values: Any, *, keys: Any = None, like: Any = None, of: str = "mean") -> Any:
        """A lone array (a model's predictions, say) back to real units.

        keys: as for `transform`.
        of: "deviation", "variance" or "log_variance" where the values are this of a predicted distribution, rather than its
            mean. Where the map is affine, the slope brings it back; elsewhere NotInvertibleError.
        like: for `instance`, `contrast` and unit norms, the raw samples whose level, spread and length are to be given back.

        >>> import tfnorm
        >>> fitted = tfnorm.fit({"price": [100.0, 300.0]}, "minmax")
        >>> fitted["price"].inverse([[0.5], [2.0]])
        array([[200.],
               [500.]])
        >>> fitted["price"].inverse([[0.5]], of="deviation"), fitted["price"].inverse([[0.25]], of="variance")
        (array([[100.]]), array([[10000.]]))
        """
        if of != "mean":
            spread = replace(self.fitted, maps={**self.fitted.maps, self.name: self.map_of(of)})
            return spread[self.name].inverse(values, keys=keys, like=like)
        from tfnorm.sources import arrays, forms

        if like is not None and (forms.is_stored(values) or forms.is_stored(like)):
            raise DataError(f"column {quoted([self.name])}: {DENSE_LIKE}")
        raw = None if like is None else arrays.numbers(like, self.name)
        if raw is not None and not self.map.restores_like:
            raise ChoiceError(f"column {quoted([self.name])}: {self.technique} comes back without like=. Leave it out.")
        return self._run_by(values, True, keys, raw)

    def layer(self, *, inverse: bool = False, of: str = "mean", **kwargs: Any) -> Any:
        """A Keras layer for this column alone, tensor in, tensor out; with `inverse=True` back to real units.

        With `inverse=True, like=True` it is called as `layer(y, like=x)`, as in `inverse`.
        of: as in `inverse`: what of a predicted distribution comes back.
        """
        return keras_part().Normalize(
            {self.name: self.map_of(of)},
            bare=True,
            inverse=inverse,
            missing=self.fitted._missing([self.name]),
            fingerprint=self.fitted.fingerprint,
            **kwargs,
        )

    def map_of(self, of: str) -> Map:
        """The column's map; with "deviation", "variance" or "log_variance" that of such a spread of its values."""
        try:
            return self.map if of == "mean" else spread_of(self.map, of)
        except TfnormError as error:
            raise type(error)(f"column {quoted([self.name])}: {self.technique}: {error}") from None

    def plot(self, path: Any = None) -> Any:
        """Its distribution before and after, with quartiles and outliers, as a picture that notebooks show.

        path: where it is saved, too, as SVG or PNG by the end of the name; PNG needs `pip install 'tfnorm[plot]'`.

        >>> import tfnorm
        >>> tfnorm.fit(tfnorm.scan({"age": [22.0, 38.0, 26.0]}), "minmax")["age"].plot().scene.title
        'age before: from 22 to 38, median 26, half of the values between 24 and 32; after minmax: from 0 to 1, median 0.25, \
half of the values between 0.125 and 0.625'
        """
        from tfnorm.plots import of_fitted_column

        return of_fitted_column(self, path)

    def columns(
        self, batch: Mapping[str, np.ndarray], *, inverse: bool = False, groups: Groups | None = None
    ) -> dict[str, np.ndarray]:
        """The columns that a table gets for this one: itself, and beside it the marks of what was missing, where it has some.

        The batch holds the column and, on the way back, that of its marks; `groups` tells which keys the rows have
        (`tfnorm.unseen.groups_of`), where the technique is by key.
        """
        return self._columns(batch, inverse, groups if self.map.keyed() else None)

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

    def _run_by(
        self, values: Any, inverse: bool, keys: Any, like: np.ndarray | None = None, out: np.ndarray | None = None
    ) -> Any:
        """In the form in which the values came."""
        from tfnorm.sources import forms

        array = forms.read(values, None if self.profile.profile.bare else self.name)
        given = keys_argument(self.map, keys, self.name)
        number = len(array if isinstance(array, Stored) else np.atleast_1d(array))
        groups = groups_of({self.name: self.map}, given, number) if given else None
        return forms.like(values, self._run(array, inverse, groups, like, out))

    def _run(
        self,
        array: Any,
        inverse: bool,
        groups: Groups | None = None,
        like: np.ndarray | None = None,
        out: np.ndarray | None = None,
    ) -> Any:
        if inverse and self.map.lost and like is None:
            raise NotInvertibleError(f"column {quoted([self.name])}: {self.technique}: {self.map.lost}.")
        if isinstance(array, Stored):
            if like is not None:
                raise DataError(f"column {quoted([self.name])}: {DENSE_LIKE}")
            if out is not None:
                raise DataError(f"column {quoted([self.name])}: {LONE_OUT}")
            return self._run_stored(array, inverse, groups)
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
        if groups is not None and array.ndim and any(len(codes) != len(array) for codes in groups.values()):
            raise DataError(f"column {quoted([self.name])}: has {len(array)} rows, and its keys have another number.")
        if like is not None:
            if like.dtype.kind not in "biuf":
                raise DataError(f"like: column {quoted([self.name])}: expected numbers, got {like.dtype}. Cast it.")
            other = like.ndim != array.ndim or len(like) != len(array)  # along other axes there may be more, or fewer
            if other or (wide > 1 and like.shape[-1] != wide):
                raise DataError(
                    f"like: column {quoted([self.name])}: expected the {len(array)} raw samples that the values belong to, "
                    f"{wide} features each, got shape {like.shape} for values of shape {array.shape}."
                )
            y, x = (np.asarray(np.ma.filled(one.astype(np.float64), np.nan)) for one in (array, like))
            step: Any = self.map if groups is None else self.map.bound(groups, x.ndim, np)
            return np.asarray(step.inverse_like(y, x, np))
        if not inverse:
            self._enforce(array, groups)
            self._count_unseen(groups)
        result = apply(self.map, array, groups=groups, inverse=inverse, out=out)
        if inverse and self.column.scalar and self.map.marks and (array.ndim == 1 or array.shape[-1] != 1):
            result = result[..., 0]  # the numbers without the axis that their marks were on
        return result if masked or not isinstance(result, np.ma.MaskedArray) else result.filled(np.nan)

    def _run_stored(self, rows: Stored, inverse: bool, groups: Groups | None = None) -> Stored:
        """Sparse or ragged rows: what is stored is mapped, what is not stays so."""
        where = f"column {quoted([self.name])}"
        values = as_numbers(rows.values, self.column)
        if values.dtype.kind not in "biuf":
            raise DataError(f"{where}: expected numbers, got {values.dtype}. Cast it.")
        if groups is not None and any(len(codes) != len(rows) for codes in groups.values()):
            raise DataError(f"{where}: has {len(rows)} rows, and its keys have another number.")
        if self.map.marks:
            raise DataError(
                f"{where}: {self.technique}: sparse and ragged rows have no place for marks of what was missing. "
                "Make them dense (padded rows: mask=), or leave indicator out."
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
            self._enforce(values, groups, rows)
            self._count_unseen(groups)
        try:
            return apply_stored(self.map, rows.with_values(values), groups=groups, inverse=inverse)
        except DataError as error:
            raise DataError(f"{where}: {self.technique}: {error}") from None

    def _enforce(self, array: np.ndarray, groups: Groups | None, rows: Stored | None = None) -> None:
        """Count what policies fire on; refuse what they refuse."""
        policies = self.fitted.rules.of(self.name)
        if policies == Policies():
            return
        places = rows.places if isinstance(rows, Sparse) and self.column.features > 1 else None
        if rows is not None and groups is not None:
            groups = {names: np.repeat(own, rows.lengths) for names, own in groups.items()}
        counts = policies.counts(array, self.fitted._ends.get(self.name), groups, places)
        if policies.missing == "error" and "missing" in counts:
            gaps = np.isnan(np.ma.filled(array.astype(np.float64), np.nan))
            row = int(np.flatnonzero(gaps.reshape(len(array), -1).any(axis=1))[0])
            row = row if rows is None else rows.row_of(row)
            raise DataError(
                f"column {quoted([self.name])}: {counts['missing']} values are missing, the first in row {row}. "
                "Mend them, or fit with another policy (missing=0)."
            )
        for policy, count in counts.items():
            self._count(policy, count)
            said = (quoted([self.name]), policy, count, policies.done(policy))
            logging.getLogger("tfnorm.policies").info("column %s: %s in %d values: %s", *said)

    def _count_unseen(self, groups: Groups | None) -> None:
        if groups is None:
            return
        sizes = {keyed.keys.names: len(keyed.keys) for keyed in self.map.keyed()}
        unknown = [groups[names] == size for names, size in sizes.items()]
        self._count("unseen", int(np.logical_or.reduce(unknown).sum()))  # a row counts once, by however many keys it is

    def _count(self, policy: str, count: int) -> None:
        if count:
            self.fitted.fired[self.name, policy] += count
