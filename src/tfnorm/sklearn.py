"""The scikit-learn face: a fit as an estimator.

The one law: `Normalizer(choice).fit(X).transform(X)` is `tfnorm.fit(X, choice).transform(X)`, and after `partial_fit(more)` the
statistics are those of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from tfnorm import maps
from tfnorm.artefact import save
from tfnorm.errors import ChoiceError, DataError, NotInvertibleError
from tfnorm.fitted import Fitted
from tfnorm.fitting import fit, is_auto, solved
from tfnorm.running import Running, of_one_source
from tfnorm.sources import BARE
from tfnorm.sources.columns import did_you_mean, quoted
from tfnorm.sources.forms import is_stored
from tfnorm.techniques import Stages, parse

try:
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.utils.metaestimators import available_if
    from sklearn.utils.validation import _check_feature_names_in, _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        f"tfnorm.sklearn needs scikit-learn 1.6 or later ({error}): pip install 'tfnorm[sklearn]'."
    ) from error

# integers of 64 bits stay whole until a mean is taken off; all others become float64, as scikit-learn has it
_DTYPES = [np.float64, np.float32, np.float16, np.int64, np.uint64]


def _invertible(normalizer: Normalizer) -> bool:
    """Whether there is a way back, as far as the choice tells."""
    fitted = getattr(normalizer, "fitted_", None)
    steps = list(fitted.maps.values()) if fitted is not None else [_tried(chain, 0.0) for chain in normalizer._stages()]
    lost = [step.lost for step in steps if step is not None and step.lost]
    if lost:
        raise AttributeError(f"inverse_transform: {lost[0]}.") from NotInvertibleError(lost[0])
    return True


class Normalizer(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Every technique of tfnorm as a scikit-learn transformer: in pipelines, searches, ColumnTransformer, on targets.

    choice: as for `tfnorm.fit`: one technique or chain for all columns ("standard", `tfnorm.minmax(-1)`,
        ["log1p", "standard"], "auto"), or a mapping from columns, by name or position, to them; columns not named stay as
        they are.
    constant, missing, infinite, out_of_range: policies, as for `tfnorm.fit`; infinite is one word for all columns.

    X: (n, d) numbers, an array or a table; NaN is missing: left out of the fit, and stays so. Sparse matrices where the technique
    keeps zeros (maxabs, standard(center=False), l2). float32 and float16 stay so, whatever else comes becomes float64.

    `fitted_` is the `tfnorm.Fitted`: `fitted_.layer()` puts the same numbers into a Keras model, `save` writes them as JSON.
    `partial_fit` adds statistics, so order and parts do not matter. `sample_weight`: a whole number is as a row that often.

    Against scikit-learn's scalers: quantiles and deviations are kept in a form that adds up; integers keep all their bits;
    float16 and large offsets cost no digits; columns that do not vary become 0 also for values that the fit has not seen, which
    scikit-learn divides by 1 (`constant="keep"` leaves such columns as they are).

    >>> import numpy as np
    >>> X = np.array([[1.0, 10.0], [3.0, 30.0]])
    >>> normalizer = Normalizer("minmax").fit(X)
    >>> normalizer.transform([[2.0, 15.0]])
    array([[0.5 , 0.25]])
    >>> normalizer.partial_fit([[5.0, 10.0]]).transform([[2.0, 15.0]])
    array([[0.25, 0.25]])
    >>> normalizer.inverse_transform([[0.25, 0.25]])
    array([[ 2., 15.]])

    Errors: ValueError throughout: ChoiceError, DataError and NotInvertibleError of tfnorm, and scikit-learn's own.
    """

    def __init__(
        self,
        choice: Any = "standard",
        *,
        constant: Any = "zero",
        missing: Any = "keep",
        infinite: Any = "error",
        out_of_range: Any = "keep",
    ) -> None:
        self.choice = choice
        self.constant = constant
        self.missing = missing
        self.infinite = infinite
        self.out_of_range = out_of_range

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Normalizer:
        """Gather statistics in one pass, and solve the choice; what was there before is forgotten."""
        self.fitted_ = self._fit(*self._checked(X, sample_weight, reset=True))
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Normalizer:
        """As one `fit` on these rows and all since the last `fit`, whose choice and policies are kept.

        A batch of missing values alone changes nothing but their count.
        """
        if not hasattr(self, "fitted_"):
            return self.fit(X, y, sample_weight)
        known = self.fitted_
        X, weight = self._checked(X, sample_weight)
        stages: Any = known.stages[BARE] if known.profile.bare else dict(known.stages)
        # statistics alone: these rows need not be such as could be solved by themselves
        more = Running(stages, infinite=self.infinite).update(self._named(X), weight=weight).profile
        self.fitted_ = solved(of_one_source(known.profile + more), known.stages, known.rules)
        return self

    def transform(self, X: Any) -> Any:
        """To the normalized scale: an array (n, d), or what `set_output` says; sparse where sparse came."""
        ready = self._ready()
        X = self._validated(X)
        return self._run(self.fitted_ if ready else self._fit(X), X, inverse=False)

    @available_if(_invertible)  # type: ignore[untyped-decorator]
    def inverse_transform(self, X: Any) -> Any:
        """Back to real units. Not there where the technique has no way back (unit norms)."""
        check_is_fitted(self)
        from sklearn.utils import check_array

        width = len(self.get_feature_names_out())
        X = check_array(X, accept_sparse=self._sparse_formats(X, ["csr"]), dtype=_DTYPES, ensure_all_finite=False)
        if X.shape[1] not in (width, self.n_features_in_):
            raise DataError(f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {width} features.")
        return self._run(self.fitted_, X, inverse=True)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names of the columns of the result: those that came; marks of what was missing as "age_missing"; components that
        are mixtures of all as "whiten0", "whiten1"."""
        self._ready()
        names = [str(name) for name in _check_feature_names_in(self, input_features)]
        if not hasattr(self, "fitted_"):
            return np.asarray(names, dtype=object)
        if not self.fitted_.profile.bare:
            return np.asarray([one for name in names for one in self._named_out(name)], dtype=object)
        step = self.fitted_.maps[BARE]
        if step.marks:
            return np.asarray([*names, *map(maps.mark_name, names)], dtype=object)
        mixed = any(isinstance(one, maps.Matrix) for one in step.steps())
        width = step.width(len(names))
        if mixed or width != len(names):
            kind = self.fitted_.stages[BARE][-1].kind.name
            return np.asarray([f"{kind}{i}" for i in range(width)], dtype=object)
        return np.asarray(names, dtype=object)

    def layer(self, **kwargs: Any) -> Any:
        """A Keras layer with the numbers in it: see `tfnorm.Fitted.layer`."""
        check_is_fitted(self)
        return self.fitted_.layer(**kwargs)

    def save(self, path: Any) -> None:
        """Write the fit as JSON, which `tfnorm.load` reads: no pickle."""
        check_is_fitted(self)
        save(self.fitted_, path)

    # How it is done.

    def _ready(self) -> bool:
        """Whether it was fitted; NotFittedError where it was not and needs data, which unit norms do not."""
        if hasattr(self, "fitted_"):
            return True
        if self.__sklearn_tags__().requires_fit:
            check_is_fitted(self)
        return False

    def _checked(self, X: Any, sample_weight: Any, *, reset: bool = False) -> tuple[Any, Any]:
        X = self._validated(X, reset=reset)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
            if not sample_weight.any():
                raise DataError("sample_weight: expected at least one weight that is not zero.")
        return X, sample_weight

    def _fit(self, X: Any, weight: Any = None) -> Fitted:
        policies = {"constant": self.constant, "missing": self.missing, "out_of_range": self.out_of_range}
        policies |= {"infinite": self.infinite, "weight": weight}
        given, choice = self._named(X), self._by_name()
        try:
            fitted = fit(given, choice, **policies)
        except (ChoiceError, DataError) as error:
            if self.__sklearn_tags__().input_tags.positive_only:
                raise type(error)(f"Negative values in data, or such as are not in the domain: {error}") from None
            raise
        if not is_auto(self.choice):
            return fitted
        return fit(given, fitted.stages[BARE] if fitted.profile.bare else dict(fitted.stages), **policies)

    def _validated(self, X: Any, *, reset: bool = False) -> Any:
        finite = False if self.infinite == "missing" else "allow-nan"
        formats = self._sparse_formats(X, ["csr", "csc"] if reset else ["csr"])
        return validate_data(self, X, accept_sparse=formats, dtype=_DTYPES, ensure_all_finite=finite, reset=reset)

    def _sparse_formats(self, X: Any, formats: list[str]) -> list[str]:
        if is_stored(X) and not self.__sklearn_tags__().input_tags.sparse:
            raise DataError(
                f"Cannot center sparse matrices, nor move their zeros otherwise: {self.choice}. Pass X.toarray(), or choose "
                "what keeps zeros: maxabs, standard(center=False), signed_log."
            )
        return formats

    def _columns(self) -> list[str]:
        return [str(name) for name in _check_feature_names_in(self)]

    def _by_name(self) -> Any:
        """The choice by the names of columns, where it is by column."""
        if not isinstance(self.choice, Mapping):
            return self.choice
        names, found = self._columns(), {}
        for key, one in self.choice.items():
            name = names[key] if isinstance(key, int) and -len(names) <= key < len(names) else str(key)
            if name not in names:
                raise ChoiceError(f"column {quoted([name])}: not in X.{did_you_mean(name, names)}")
            found[name] = one
        return found

    def _named(self, X: Any) -> Any:
        """X as the fit takes it: by column where the choice is."""
        if not isinstance(self.choice, Mapping):
            return X
        return {name: X[:, place] for place, name in enumerate(self._columns())}

    def _named_out(self, name: str) -> tuple[str, ...]:
        marked = name in self.fitted_.maps and self.fitted_.maps[name].marks
        return (name, maps.mark_name(name)) if marked else (name,)

    def _run(self, fitted: Fitted, X: Any, *, inverse: bool) -> Any:
        run = fitted.inverse if inverse else fitted.transform
        if fitted.profile.bare:
            result = run(X)
        else:
            names = self.get_feature_names_out() if inverse else self._columns()
            came = {name: X[:, place] for place, name in enumerate(names)}
            result = np.stack(list(run(came).values()), axis=1)
        dtype = X.dtype if X.dtype.kind == "f" else np.float64
        return result.astype(dtype, copy=False)

    def _stages(self) -> list[Stages]:
        each = self.choice.values() if isinstance(self.choice, Mapping) else (self.choice,)
        try:
            return [parse(one) for one in each if not is_auto(self.choice)]
        except ChoiceError:  # told when it is fitted
            return []

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        stages = self._stages()
        whole = bool(stages) and not isinstance(self.choice, Mapping)
        steps = [_tried(chain, 0.0) for chain in stages]
        keep_zeros = [step is not None and not maps.sparse_flaw(step, 0.0) and not step.marks for step in steps]
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = whole and all(keep_zeros)
        tags.input_tags.positive_only = any(_tried(chain, -3.0) is None for chain in stages)
        tags.requires_fit = not whole or any(stage.needs for chain in stages for stage in chain)
        tags.transformer_tags.preserves_dtype = ["float64", "float32", "float16"]
        return tags

    def _repr_html_inner(self) -> str:
        """scikit-learn's view, and below it what was fitted."""
        html = str(super()._repr_html_inner())
        return html + (self.fitted_._repr_html_() if hasattr(self, "fitted_") else "")

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] = self._repr_html_inner()
        return bundle


@lru_cache(maxsize=256)
def _tried(stages: Stages, start: float) -> maps.Map | None:
    """The map for a few rows that begin at `start`, do not at 0, and vary; None where they are refused."""
    try:
        return fit(start + np.linspace(0.1, 0.9, 9)[:, None] ** np.array([1.0, 2.0]), stages).maps[BARE]
    except (ChoiceError, DataError):
        return None
