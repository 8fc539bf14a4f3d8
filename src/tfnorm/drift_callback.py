"""A Keras callback that checks the data a model is trained on.

The one law: it looks and tells; training goes on as without it, unless it was asked to stop.
"""

from __future__ import annotations

import logging
from typing import Any

import keras

from tfnorm.drift.checking import check
from tfnorm.drift.values import Drift
from tfnorm.drift.watching import Watch, said
from tfnorm.errors import ChoiceError
from tfnorm.fitted import Fitted
from tfnorm.profile import Profile


class DriftCallback(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Checks training data against a fit: what a `Watch` saw in each epoch, or given data before the first.

    source: `fitted.watch()`, whose tap is in the dataset: it is asked at the end of every epoch. Or a fit; then `data` is checked
        once, when training begins.
    data: what `tfnorm.check` takes, with a fit.
    stop: whether to stop training at the end of an epoch with severe drift; with `data`, before the first batch.
    options: as for `tfnorm.check`, with `data`.

    `drift` is the last check, `drifts` are all; what drifted is logged as a warning.

    >>> import numpy as np, tfnorm
    >>> x = np.random.default_rng(0).normal(size=(1000, 2)).astype("float32")
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> callback = DriftCallback(tfnorm.fit(tfnorm.scan(x)), x)
    >>> _ = model.fit(x, x[:, 0], callbacks=[callback], verbose=0)
    >>> callback.drift.drifted
    False
    """

    def __init__(
        self, source: Watch | Fitted | Profile, data: Any = None, *, stop: bool = False, **options: Any
    ) -> None:
        super().__init__()
        if isinstance(source, Watch) and (data is not None or options):
            raise ChoiceError(
                "a watch has its own data and options. Leave the others out, or pass the fit in its place."
            )
        if not isinstance(source, Watch) and data is None:
            raise ChoiceError(
                "DriftCallback needs data: DriftCallback(fitted, x), or a watch in the dataset: watch = fitted.watch(); "
                "model.fit(watch(dataset), callbacks=[DriftCallback(watch)])."
            )
        self._source, self._data, self._stop, self._options = source, data, stop, options
        self._checked: list[Drift] = []

    @property
    def drifts(self) -> list[Drift]:
        """All checks, in turn."""
        return self._source.drifts if isinstance(self._source, Watch) else self._checked

    @property
    def drift(self) -> Drift | None:
        """The last check; None before the first."""
        return self.drifts[-1] if self.drifts else None

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002  # as Keras calls it
        if isinstance(self._source, Watch):
            return
        drift = check(self._source, self._data, **self._options)
        self._checked.append(drift)
        if drift.drifted:
            logging.getLogger("tfnorm.drift").warning("%s", said(drift))
        self._stop_at(drift)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        if isinstance(self._source, Watch):
            self._stop_at(self._source.check())

    def _stop_at(self, drift: Drift | None) -> None:
        if self._stop and drift is not None and any(column.severity == "severe" for column in drift.columns):
            self.model.stop_training = True
