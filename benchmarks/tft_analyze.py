"""tensorflow-transform's AnalyzeDataset with scale_to_z_score on the first row groups of a Parquet file, in its own environment.

    python benchmarks/tft_analyze.py FILE ROW_GROUPS arrow|dicts  # run by engines_beam.py

It is given what it takes fastest, Arrow batches of one-number lists; or dicts, as its guide begins with. Prints seconds, and mean
and std of every column.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.options.pipeline_options import PipelineOptions
from tfx_bsl.tfxio import tensor_adapter, tensor_to_arrow

BATCH_ROWS = 8192


def main() -> None:
    path, groups, kind, *options = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
    names = pq.read_schema(path).names
    specs = {name: tf.TensorSpec([None, 1], tf.float32) for name in names}
    converter = tensor_to_arrow.TensorsToRecordBatchConverter(specs)
    arrow = converter.arrow_schema()
    config = tensor_adapter.TensorAdapterConfig(arrow, converter.tensor_representations())
    large = pa.types.is_large_list(arrow.field(0).type)

    def batches(group: int) -> Iterator[Any]:
        table = pq.ParquetFile(path).read_row_group(group)
        for batch in table.to_batches(max_chunksize=BATCH_ROWS):
            offsets = pa.array(np.arange(batch.num_rows + 1), pa.int64() if large else pa.int32())
            list_of = pa.LargeListArray if large else pa.ListArray
            lists = [list_of.from_arrays(offsets, batch.column(name)) for name in arrow.names]
            yield pa.RecordBatch.from_arrays(lists, schema=arrow)

    def dicts(group: int) -> Iterator[dict[str, float]]:
        yield from pq.ParquetFile(path).read_row_group(group).to_pylist()

    metadata = tft.DatasetMetadata.from_feature_spec({name: tf.io.FixedLenFeature([], tf.float32) for name in names})

    def preprocessing(inputs: dict[str, Any]) -> dict[str, Any]:
        return {name: tft.scale_to_z_score(values) for name, values in inputs.items()}

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with (
            beam.Pipeline("FnApiRunner", options=PipelineOptions(options)) as pipeline,
            tft_beam.Context(temp_dir=f"{folder}/temp"),
        ):
            numbers = pipeline | beam.Create(range(groups)) | beam.Reshuffle()
            rows = numbers | beam.FlatMap(batches if kind == "arrow" else dicts)
            transform = (rows, config if kind == "arrow" else metadata) | tft_beam.AnalyzeDataset(preprocessing)
            _ = transform | tft_beam.WriteTransformFn(f"{folder}/out")
        seconds = time.perf_counter() - start
        rank = 2 if kind == "arrow" else 1
        output = tft.TFTransformOutput(f"{folder}/out").transform_features_layer()
        zero, one = (output({name: tf.fill([1] * rank, value) for name in names}) for value in (0.0, 1.0))
        std = {name: 1.0 / float(np.ravel(one[name] - zero[name])[0]) for name in names}
        mean = {name: -float(np.ravel(zero[name])[0]) * std[name] for name in names}
    answer = {"seconds": seconds, "mean": [mean[name] for name in names], "std": [std[name] for name in names]}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
