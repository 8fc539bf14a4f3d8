"""Who is asked in `accuracy.py`, and how: each contestant fits one column and says what it found.

A contestant takes (rows,) numbers, NaN where missing, and returns what it can tell as functions, so that an error in
one does not hide the others: mean, std (of the population), z (rows standardized) and quartiles. Everyone is used with
its defaults, as its documentation shows it, and gets the data in their own type; missing values as null where it has
nulls, float16 as float32 where it has no float16.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from torture import QUARTERS, batches

Said = dict[str, Callable[[], Any]]
Ask = Callable[[np.ndarray], Said]
RANKS = tuple(map(float, QUARTERS))


@dataclass(frozen=True)
class Peer:
    """Someone who is asked."""

    name: str
    package: str  # what it imports
    how: str  # what is called
    ask: Ask
    tells: tuple[str, ...]  # which of the measures
    reference: bool = False  # there for comparison only

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None


PEERS: list[Peer] = []


def peer(name: str, package: str, *tells: str, reference: bool = False) -> Callable[[Ask], Ask]:
    """Enter a contestant in PEERS; its docstring says what is called."""

    def enter(ask: Ask) -> Ask:
        PEERS.append(Peer(name, package, (ask.__doc__ or "").strip(), ask, tells, reference))
        return ask

    return enter


@peer("tfnorm", "tfnorm", "mean", "std", "z", "quartiles")
def tfnorm_in_batches(x: np.ndarray) -> Said:
    """`tfnorm.fit(batches, "standard")` and `.transform`; quartiles of `tfnorm.scan(batches)`; batches of 256 rows"""
    import tfnorm

    def source() -> Any:
        return ({"x": batch} for batch in batches(x))

    fitted = tfnorm.fit(source, "standard")
    return {
        "mean": lambda: fitted["x"].profile.mean,
        "std": lambda: fitted["x"].profile.std,
        "z": lambda: fitted.transform({"x": x})["x"],
        "quartiles": lambda: [tfnorm.scan(source)["x"].quantile(rank) for rank in RANKS],
    }


@peer("tfnorm layer", "keras", "z")
def tfnorm_layer(x: np.ndarray) -> Said:
    """the Keras layer of the same fit, in float32"""
    import tfnorm

    layer = tfnorm.fit(lambda: ({"x": batch} for batch in batches(x)), "standard").layer()
    return {"z": lambda: np.asarray(layer({"x": x})["x"])}


@peer("scikit-learn fit", "sklearn", "mean", "std", "z")
def sklearn_fit(x: np.ndarray) -> Said:
    """`StandardScaler().fit(x)`, whole"""
    from sklearn.preprocessing import StandardScaler

    return _of_sklearn(StandardScaler().fit(x[:, None]), x)


@peer("scikit-learn partial_fit", "sklearn", "mean", "std", "z")
def sklearn_partial_fit(x: np.ndarray) -> Said:
    """`StandardScaler().partial_fit(batch)`, batches of 256 rows"""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    for batch in batches(x):
        scaler.partial_fit(batch[:, None])
    return _of_sklearn(scaler, x)


def _of_sklearn(scaler: Any, x: np.ndarray) -> Said:
    return {
        "mean": lambda: scaler.mean_[0],
        "std": lambda: np.sqrt(scaler.var_[0]),
        "z": lambda: scaler.transform(x[:, None])[:, 0],
    }


@peer("Keras array", "keras", "mean", "std", "z")
def keras_array(x: np.ndarray) -> Said:
    """`Normalization().adapt(x)`, whole, then the layer; float32 is its default"""
    import keras

    layer = keras.layers.Normalization()
    layer.adapt(x[:, None])
    return _of_keras(layer, x)


@peer("Keras dataset", "tensorflow", "mean", "std", "z")
def keras_dataset(x: np.ndarray) -> Said:
    """`Normalization().adapt(dataset)`, a `tf.data.Dataset` of batches of 256 rows, then the layer"""
    import keras
    import tensorflow as tf

    layer = keras.layers.Normalization()
    layer.adapt(tf.data.Dataset.from_generator(
        lambda: (batch[:, None] for batch in batches(x)), output_signature=tf.TensorSpec((None, 1), x.dtype)
    ))  # fmt: skip
    return _of_keras(layer, x)


def _of_keras(layer: Any, x: np.ndarray) -> Said:
    return {
        "mean": lambda: np.ravel(layer.mean)[0],
        "std": lambda: np.sqrt(np.ravel(layer.variance)[0]),
        "z": lambda: np.asarray(layer(x[:, None]))[:, 0],
    }


@peer("Polars", "polars", "mean", "std", "quartiles")
def polars(x: np.ndarray) -> Said:
    """`mean()`, `std(ddof=0)` and `quantile(q, "linear")`"""
    import polars as pl

    column = pl.Series(x, nan_to_null=True)

    def in_its_type(value: Any) -> Any:
        kind = {pl.Float32: np.float32, pl.Float16: np.float16}.get(column.dtype, np.float64)
        return math.nan if value is None else kind(value)

    return {
        "mean": lambda: in_its_type(column.mean()),
        "std": lambda: in_its_type(column.std(ddof=0)),
        "quartiles": lambda: [in_its_type(column.quantile(rank, "linear")) for rank in RANKS],
    }


@peer("DuckDB", "duckdb", "mean", "std", "quartiles")
def duckdb(x: np.ndarray) -> Said:
    """`avg`, `stddev_pop` and `approx_quantile`, whole"""
    import duckdb
    import pyarrow as pa

    values = pa.array(x.astype(np.float32) if x.dtype == np.float16 else x, from_pandas=True)
    connection = duckdb.connect()
    connection.register("data", pa.table({"value": values}))

    def one(expression: str) -> Any:
        row = connection.execute(f"SELECT {expression} FROM data").fetchone()
        return math.nan if row is None or row[0] is None else row[0]

    return {
        "mean": lambda: one("avg(value)"),
        "std": lambda: one("stddev_pop(value)"),
        "quartiles": lambda: [one(f"approx_quantile(value, {rank})") for rank in RANKS],
    }


@peer("river", "river", "mean", "std", "z", "quartiles")
def river(x: np.ndarray) -> Said:
    """`StandardScaler().learn_one` and `transform_one`, row by row; quartiles of `stats.Quantile`"""
    from river import preprocessing, stats

    values, scaler = x.tolist(), preprocessing.StandardScaler()
    for value in values:
        scaler.learn_one({"x": value})

    def quartiles() -> list[float]:
        estimates = [stats.Quantile(rank) for rank in RANKS]
        for estimate in estimates:
            for value in values:
                estimate.update(value)
        return [math.nan if estimate.get() is None else estimate.get() for estimate in estimates]

    return {
        "mean": lambda: scaler.means["x"] if values else math.nan,
        "std": lambda: math.sqrt(scaler.vars["x"]) if values else math.nan,
        "z": lambda: np.array([scaler.transform_one({"x": value})["x"] for value in values]),
        "quartiles": quartiles,
    }


@peer("NumPy float32", "numpy", "mean", "std", "z", "quartiles", reference=True)
def numpy_float32(x: np.ndarray) -> Said:
    """`mean()`, `std()` and `quantile()` of the array cast to float32, for comparison"""
    single = x.astype(np.float32)
    mean, std = single.mean(), single.std()
    return {
        "mean": lambda: mean,
        "std": lambda: std,
        "z": lambda: (single - mean) / std,
        "quartiles": lambda: list(np.quantile(single, RANKS)),
    }


@peer("tensorflow-transform", "tensorflow_transform", "mean", "std", "z")
def tensorflow_transform(x: np.ndarray) -> Said:
    """`tft.mean`, `tft.var` and `tft.scale_to_z_score` on Beam's local runner"""
    import tempfile

    import tensorflow as tf
    import tensorflow_transform as tft
    import tensorflow_transform.beam as tft_beam
    from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

    column = x.astype(np.float32) if x.dtype == np.float16 else x
    single = column.dtype == np.float32
    schema = schema_utils.schema_from_feature_spec({"x": tf.io.FixedLenFeature([], tf.float32 if single else tf.int64)})
    types: dict[str, Any] = {}

    def bits(name: str, value: Any) -> Any:
        """As int64: its records have no float64, and nothing shall be lost on the way."""
        types[name] = value.dtype.as_numpy_dtype
        return tf.bitcast(tf.cast(value, tf.float64), tf.int64)

    def analyze(inputs: dict[str, Any]) -> dict[str, Any]:
        one = tf.bitcast(inputs["x"], tf.float64) if column.dtype == np.float64 else inputs["x"]
        found = {"z": tft.scale_to_z_score(one), "mean": tft.mean(one), "variance": tft.var(one)}
        return {name: bits(name, tf.broadcast_to(value, tf.shape(one))) for name, value in found.items()}

    with tempfile.TemporaryDirectory() as folder, tft_beam.Context(temp_dir=folder):
        rows = [{"x": value} for value in (column if single else column.view(np.int64)).tolist()]
        metadata = dataset_metadata.DatasetMetadata(schema)
        (records, _), _ = (rows, metadata) | tft_beam.AnalyzeAndTransformDataset(analyze)

    def out(name: str) -> np.ndarray:
        return np.array([row[name] for row in records], np.int64).view(np.float64).astype(types[name])

    return {
        "mean": lambda: out("mean")[0] if records else math.nan,
        "std": lambda: np.sqrt(out("variance")[0]) if records else math.nan,
        "z": lambda: out("z"),
    }


@peer("Spark", "pyspark", "mean", "std", "quartiles")
def spark(x: np.ndarray) -> Said:
    """`avg`, `stddev_pop` and `percentile_approx` on one local thread"""
    from pyspark.sql import SparkSession

    session = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    kind = {"f8": "double", "f4": "float", "f2": "float", "i8": "bigint"}[x.dtype.str[1:]]
    rows = [(None if value != value else value,) for value in x.tolist()]  # noqa: PLR0124  # NaN is not itself
    frame = session.createDataFrame(rows, f"value {kind}")

    def one(expression: str) -> Any:
        value = frame.selectExpr(expression).first()[0]
        return math.nan if value is None else value

    return {
        "mean": lambda: one("avg(value)"),
        "std": lambda: one("stddev_pop(value)"),
        "quartiles": lambda: [one(f"percentile_approx(value, {rank})") for rank in RANKS],
    }
