"""What the user holds after a fit: it transforms, goes back, becomes a layer, is saved and added.

The one law: every way out (NumPy, tables, the layer, a loaded file) applies the same maps to the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tfnorm.codec import encode
from tfnorm.datasets import dataset_of
from tfnorm.ends import Ends
from tfnorm.errors import ChoiceError, DataError
from tfnorm.fitted_column import DENSE_LIKE, LONE_OUT, FittedColumn
from tfnorm.keras_part import keras_part
from tfnorm.maps import Map, mark_name
from tfnorm.profile import Profile
from tfnorm.progress import Callback
from tfnorm.rules import Rules
from tfnorm.sources import BARE
from tfnorm.sources.columns import did_you_mean, quoted
from tfnorm.sources.stored import Stored
from tfnorm.targets import heads_of
from tfnorm.techniques import Stages
from tfnorm.unseen import groups_of, key_columns


@dataclass(frozen=True, eq=False)
class Fitted:
    """Profile, choice and solved maps. Made by `tfnorm.fit` and `tfnorm.load`."""

    profile: Profile
    stages: Mapping[str, Stages]  # column -> its techniques, in turn
    maps: Mapping[str, Map]  # column -> what is done to its numbers
    rules: Rules = field(default_factory=Rules)  # policies, and which columns share their numbers
    fired: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(column, policy) -> on how many values `transform` has let it fire, since this object was made; it is not saved.

    Under "unseen" are the rows whose key the fit has not seen.
    """

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the choice and the maps: the same numbers, the same fingerprint."""
        text = json.dumps({name: [text, encode(self.maps[name])] for name, text in self.choice.items()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def _ends(self) -> dict[str, Ends]:
        """Between which ends a column's values are left alone, where some are not."""
        names = [name for name in self.maps if self.rules.of(name).out_of_range != "keep"]
        return {name: self.rules.ends(self.profile, name, self.stages[name]) for name in names}

    @property
    def choice(self) -> dict[str, str]:
        """Column -> its techniques as text, as `fit` takes it."""
        return {name: ", ".join(map(str, stages)) for name, stages in self.stages.items()}

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the fitted columns."""
        return tuple(self.maps)

    def transform(self, batch: Any, *, out: np.ndarray | None = None) -> Any:
        """To the normalized scale, as the kind that came: array, mapping, table, sparse matrix or ragged tensor; other columns
        are passed through.

        float32 and float16 stay what they are, small integers become float32, everything else float64. Missing values stay
        missing. Columns of the fit that are absent are not asked for.

        out: for a fit of one array, where the result is written to, of its shape and type; the batch itself, too. Memory that
            is used again costs less than new memory, which the system clears first.

        >>> import numpy as np, tfnorm
        >>> x = np.array([[1.0, 10.0], [3.0, 30.0]])
        >>> fitted = tfnorm.fit(x, "minmax")
        >>> result = np.empty((2, 2))
        >>> fitted.transform(x, out=result) is result, result[0]
        (True, array([0., 0.]))
        """
        return self._apply(batch, inverse=False, out=out)

    def inverse(self, batch: Any, *, like: Any = None) -> Any:
        """Back to real units; of only some of the columns, by name, too.

        like: the raw samples, of the kind that `batch` is: `instance`, `contrast` and unit norms forget a sample's level,
            spread and length, and take them from there.
        NotInvertibleError where a column's technique forgets what it would need.
        """
        if like is not None and not any(step.restores_like for step in self.maps.values()):
            raise ChoiceError("like= is for techniques by sample (instance, l2), and the fit has none. Leave it out.")
        return self._apply(batch, inverse=True, like=like)

    def _apply(self, batch: Any, *, inverse: bool, like: Any = None, out: np.ndarray | None = None) -> Any:
        from tfnorm.sources import forms, frames

        def run(
            names: list[str], values: Mapping[str, np.ndarray], keys: Mapping[str, Any]
        ) -> Iterator[dict[str, Any]]:
            """What the table gets for each of the columns."""
            keyed = {name: self.maps[name] for name in names if self.maps[name].keyed()}
            groups = groups_of(keyed, keys, _num_rows(values[names[0]])) if keyed else None
            for name in names:
                raw = None if like is None else self._of_like(like, name)
                yield self[name]._columns(values, inverse, groups, raw)

        if frames.library(batch) == "pyspark":
            raise DataError(
                "a Spark DataFrame is normalized where it is: tfnorm.spark.transform(fitted, df), or inverse."
            )
        if hasattr(batch, "element_spec"):
            raise DataError("a tf.data.Dataset is normalized as it passes: fitted.dataset(dataset).")
        table = isinstance(batch, Mapping) or frames.is_frame(batch) or frames.is_series(batch)
        if out is not None and (table or not self.profile.bare):
            raise DataError(LONE_OUT)
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
        if frames.is_series(batch) and str(getattr(batch, "name", "")) in self.maps:
            like = like.to_frame() if frames.is_series(like) else like
            return self._apply(batch.to_frame(), inverse=inverse, like=like)[batch.name]
        if not self.profile.bare:
            raise DataError(
                f"expected a table or a mapping with the columns {quoted(self.columns)}, got {type(batch).__name__}. "
                'For one column, take it by name: fitted["name"].transform(...).'
            )
        return self[BARE]._run_by(batch, inverse, None, None if like is None else self._of_like(like, BARE), out)

    def _of_like(self, like: Any, name: str) -> np.ndarray | None:
        """A column of the raw samples; None where its way back lacks nothing."""
        from tfnorm.sources import arrays, forms, frames

        if not self.maps[name].restores_like:
            return None
        if forms.is_stored(like):
            raise DataError(f"column {quoted([name])}: {DENSE_LIKE}")
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

    def layer(self, *, inverse: bool = False, concatenate: bool = False, builtin: bool = False, **kwargs: Any) -> Any:
        """One Keras layer with the numbers in it: dict in, dict out, or tensor in, tensor out where the fit was of one array.

        inverse: back to real units, for any of the columns.
        concatenate: dict in, one tensor out, the columns side by side in the order of the fit: for a Dense layer to follow.
        builtin: of Keras' own layers and operations, as a small model, whose `.keras` file opens where tfnorm is not installed.
            It takes the fitted columns and their keys, in the shapes that they had, and gives the columns.
        Other arguments go to `keras.layers.Layer` (name, dtype).

        Needs TensorFlow: `pip install 'tfnorm[tf]'`.
        """
        flags = {"inverse": inverse, "concatenate": concatenate, **kwargs}
        if builtin:
            flags |= {"bare": self.profile.bare, "missing": self._missing(self.maps), "fingerprint": self.fingerprint}
            return keras_part().builtin(dict(self.maps), self.shapes, self.choice, **flags)
        return self._layer_of(self.maps, **flags)

    @property
    def shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Of one row, by column."""
        return {name: self.profile[name].column.shape for name in self.maps}

    def _missing(self, names: Iterable[str]) -> tuple[str, ...]:
        """The columns whose sparse rows lack what they do not store."""
        return tuple(name for name in names if self.profile[name].column.unstored == "missing")

    def attach(self, model: Any, target: Any) -> Any:
        """A Keras model that takes raw inputs and predicts in real units, around one trained on normalized ones.

        A model that begins with a layer of a fit gets only the way back at its end.

        target: the column of this fit that `model` predicts, `fitted[name]` of another one, or a fit of the target alone. Of a
            model of several outputs, a dict of such by the outputs' names, or by their places; those left out stay as they are.
            For a head that predicts a distribution, what of it: `{"mu": "price", "sigma": ("price", "deviation")}`, or
            ("variance", "log_variance"); side by side on the last axis of one output: `("price", "mean", "log_variance")`.

        Errors: ChoiceError, NotInvertibleError (a spread comes back where the column's map is affine, and nowhere else),
        TfnormError (the model does not suit).
        """
        part = keras_part()
        heads = heads_of(self, target)
        dtypes = {name: self.profile[name].column.dtype for name in self.columns}
        backs = {output: head.layers() for output, head in heads.items()}
        if any(isinstance(one, part.Normalize) and not one.inverse for one in model._flatten_layers()):
            return part.attach(None, model, backs, dtypes=dtypes)  # its inputs are raw already
        predicted = {head.column.name for head in heads.values() if head.column.fitted is self}
        inputs = [name for name in self.maps if name not in predicted]
        if not inputs:
            raise ChoiceError("the fit has no column but the target, so there are no inputs to normalize.")
        return part.attach(self._layer_of(inputs), model, backs, dtypes=dtypes)

    def dataset(
        self, dataset: Any, target: Any = None, *, concatenate: bool = False, num_parallel_calls: int | None = -1
    ) -> Any:
        """A `tf.data.Dataset` with its features and targets normalized, for a model that is trained on normalized numbers.

        Elements are x, (x, y) or (x, y, sample weights), batches or single examples, which are told apart by the shape that a
        column had at the fit. x is a dict, of which fitted columns are normalized, or the tensor where the fit was of one array.
        Their order stays, whatever runs in parallel.

        target: what y is, in the words of `attach`: a column, or a fit of it; a dict of such, by name or place, where y holds
            several. Without it, fitted columns in a dict y are normalized, and any other y is left as it is.
        concatenate: x as one tensor, the fitted columns side by side in the order of the fit.
        num_parallel_calls: as in `Dataset.map`; -1 is `tf.data.AUTOTUNE`.

        Errors: ChoiceError, DataError; as the layer has them, where the columns do not suit.

        >>> import tensorflow as tf, tfnorm
        >>> data = {"age": [20.0, 40.0], "price": [1.0, 3.0]}
        >>> fitted = tfnorm.fit(data, "minmax")
        >>> rows = tf.data.Dataset.from_tensor_slices(({"age": data["age"]}, data["price"]))
        >>> [(x["age"].numpy().item(), y.numpy().item()) for x, y in fitted.dataset(rows, target="price")]
        [(0.0, 0.0), (1.0, 1.0)]
        """
        return dataset_of(self, dataset, target, concatenate=concatenate, num_parallel_calls=num_parallel_calls)

    def _layer_of(self, names: Iterable[str], **flags: Any) -> Any:
        """The layer for some of the columns."""
        steps = {name: self.maps[name] for name in names}
        flags |= {"bare": self.profile.bare, "missing": self._missing(steps), "fingerprint": self.fingerprint}
        return keras_part().Normalize(steps, **flags)

    def export(self, path: Any, **options: Any) -> Any:
        """Write it as a model that runs without tfnorm: .keras, .tflite, .onnx, or the folder of a SavedModel.

        See `tfnorm.exits.export` for the options; `tfnorm.verify` says how near the export is to NumPy.
        """
        from tfnorm.exits import export

        return export(self, path, **options)

    def transform_files(
        self,
        paths: Any,
        output: Any,
        *,
        inverse: bool = False,
        only: Iterable[str] = (),
        force: bool = False,
        delimiter: str | None = None,
        engine: Any = "threads",
        workers: int | None = None,
        callback: Callback | None = None,
    ) -> int:
        """Normalize files of any size, or bring them back: the fitted columns are replaced, all others copied. Gives the
        number of rows.

        paths: a path, glob or folder, or a list of these; output: a file, or a folder for several, whose names are kept.
        only: these columns of the fit alone. force: write over what is there.
        engine, workers: as for `tfnorm.fit`; other workers than threads write a file each, and must find both folders.

        The output is there whole or not at all. DataError where a file cannot be read, or would be lost by it.
        """
        from tfnorm import files_out
        from tfnorm.engines.named import engine_of

        inputs = [os.fsdecode(one) for one in (paths if isinstance(paths, list | tuple) else [paths])]
        planned = files_out.plan(inputs, os.fsdecode(output), force=force)
        run = engine_of(engine, workers)
        options: dict[str, Any] = {"delimiter": delimiter, "engine": run, "callback": callback}
        return files_out.run(self, planned, inverse=inverse, only=tuple(only), **options)

    def watch(self, **options: Any) -> Any:
        """Checks batches that pass by against this fit; see `tfnorm.drift.Watch` for the options.

        `watch = fitted.watch()`, then `model.fit(watch(dataset), callbacks=[tfnorm.DriftCallback(watch)])`.
        """
        from tfnorm.drift import watch

        return watch(self, **options)

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


def _num_rows(array: Any) -> int:
    return len(array) if isinstance(array, Stored) else len(np.atleast_1d(array))
