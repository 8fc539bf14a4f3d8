"""tfnorm in Apache Beam pipelines: on files, or on any PCollection of dicts, rows or Arrow batches.

    import apache_beam as beam
    import tfnorm.beam

    fitted = rows | tfnorm.beam.Fit({"age": "standard"})
    normal = rows | tfnorm.beam.Transform(fitted)
    fitted | beam.Map(tfnorm.beam.as_text) | beam.io.WriteToText("norm.json", shard_name_template="")

The one law: what a pipeline knows of its rows is what `tfnorm.scan` and `tfnorm.fit` know of them. Needs Apache Beam:
`pip install 'tfnorm[beam]'`.
"""

from tfnorm.beam.transforms import Fit as Fit
from tfnorm.beam.transforms import Scan as Scan
from tfnorm.beam.transforms import Transform as Transform
from tfnorm.beam.transforms import as_text as as_text
from tfnorm.beam.transforms import fired as fired

__all__ = ["Fit", "Scan", "Transform", "as_text", "fired"]
