"""Writes docs/exports.md: every technique through every exit, as it comes out: `make docs`.

The one law: a cell is what `tfnorm.verify` found, or the error that was raised; nothing is typed here twice.
"""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import tfnorm
from tfnorm.errors import TfnormError

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from exit_cases import BY_KEY, CHOICES, keyed, rows, with_gaps  # noqa: E402

EXITS = {
    "layer": "Keras layer",
    ".keras": "stock `.keras`",
    "": "SavedModel",
    ".tflite": "TFLite",
    "integers": "TFLite, 8 bits",
    ".onnx": "ONNX",
}
HEAD = """# Where a fit goes

`fitted.export(path)`, or `tfnorm export norm.json -o PATH`, writes a fit as a model that runs where tfnorm is not installed. The
end of the name says the format: `.keras`, `.tflite`, `.onnx`; a folder becomes a SavedModel. All take the fitted columns raw, by
name, and give them normalized, by name, missing values staying missing. `inverse=True` writes the way back.

| format | runs in | names and types |
|---|---|---|
| `.keras` | `keras.models.load_model`, safe mode on; `fitted.layer(builtin=True)` is the same model | a dict of columns |
| folder | TensorFlow's loader, TensorFlow Serving: signature `serving_default` | float32, or float64 where a column needs it; \
text and int64 keys |
| `.tflite` | LiteRT (`ai-edge-litert`), signature `serving_default` | float32; `integers=True` with `sample=`: int8 in and out |
| `.onnx` | onnxruntime; writing it needs `pip install 'tfnorm[onnx]'` | as the SavedModel; `age` comes out as `age_out` |

A stock `.keras` is of the Keras that wrote it: 3.10 opens those of straight lines and curves that 3.15 wrote, and not those of
quantiles, norms by sample, patches, marks and keys, whose operations it does not load.

Numbers by key: the key columns go in beside the others, as int64 or text, and only numbers come out. Texts are found by
`StringLookup` in stock Keras, by `LabelEncoder` in ONNX and by a hash table elsewhere; rows of a key that the fit has not seen
get what `unseen` says.

A name that is no plain word is written with `_` in all but `.keras`: "net worth" is `net_worth`.

`tfnorm.verify(fitted, path, sample)`, or `tfnorm verify norm.json PATH sample.parquet`, runs rows through NumPy in float64 and
through the export, and says the largest difference a column, relative to 1 + |z|. `tfnorm.fingerprint(path)` tells which fit it
is, also of what Keras' own `model.export` wrote around our layer (SavedModel, TFLite, ONNX): names in the graph carry it.

## Every technique through every exit

The largest difference from NumPy in float64 on 400 rows of three skewed features with gaps; in 8 bits, where nothing can be
missing, in steps of the result, of which there are 256. A number in brackets says below why it cannot be.

In 8 bits, one of 256 numbers goes in for every value, between the smallest and the largest of the sample and 0, and one of 256
comes out: the nearest to what the fit makes of the one that went in (a table for curves; for `l2`, `instance`, `whiten` and
their relatives within a step). What is more in the column is the price of the 256 that go in, where a curve is steep or a row
small: `fitted.export(...).steps_off` tells it, and more than 32 steps are refused.

"""


TAIL = """
## From and to other libraries

`tfnorm.convert(...)` makes a fit of what another library has fitted, and back: the same numbers for the same rows.

| from | how it comes | back |
|---|---|---|
| scikit-learn StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, PowerTransformer, Normalizer, Pipelines of them | the \
fitted object | `convert(fitted, to="sklearn")` |
| QuantileTransformer of uniform output | the fitted object | no: tfnorm's curve has other knots |
| `keras.layers.Normalization` | the layer | `convert(fitted, to="keras")`; `fitted.layer(builtin=True)` for all techniques |
| Spark ML StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, Normalizer | the folder of `model.save`; Spark is \
not needed | no |
| bridgescaler DStandardScaler, DMinMaxScaler, and scikit-learn's by its JSON | the file of `save_scaler` | no |
| tensorflow-transform | `tfnorm.convert(folder)`, of dense features without keys | the SavedModel of `fitted.export` |

No pickle is opened. Such a fit has maps and no statistics: `fitted["age"].profile.mean` says that it was not gathered, and it
adds to no other; the number of rows is 0 where the model does not tell it.
"""


def main() -> None:
    """Write the page."""
    reasons: list[str] = []
    titles = list(EXITS.values())
    lines = ["| technique | " + " | ".join(titles) + " |", "|---|" + "---|" * len(titles)]
    for choice in [*CHOICES, *BY_KEY]:
        cells = [cell(choice, exit, reasons) for exit in EXITS]
        lines.append(f"| `{choice}` | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    notes = [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    text = HEAD + "\n".join(lines) + "\n\n" + "\n".join(notes) + "\n" + TAIL
    (DOCS / "exports.md").write_text(text, encoding="utf-8")


def cell(choice: str, exit: str, reasons: list[str]) -> str:
    """The largest difference, rounded up to a power of ten, or why there is none."""
    data: Any = keyed() if choice in BY_KEY else rows(choice)
    fitted = tfnorm.fit(data, {"price": choice} if choice in BY_KEY else choice)
    whole, made = exit == "integers", None
    sample = data if whole or choice in BY_KEY else with_gaps(data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"out{'.tflite' if whole else exit}"
        try:
            if exit != "layer":
                made = fitted.export(path, integers=whole, sample=data if whole else None)
        except TfnormError as error:
            reason = str(error).split(f"{fitted.choice[fitted.columns[0]]}: ", 1)[-1]
            reason = reason.split(" Choose another")[0].split(" Leave builtin out")[0].split(" Export it in")[0]
            reason = "in 8 bits it is off by too many steps" if "of 256 steps" in reason else reason.rstrip(".")
            if reason not in reasons:
                reasons.append(reason)
            return f"no ({reasons.index(reason) + 1})"
        found = tfnorm.verify(fitted, fitted.layer() if exit == "layer" else path, sample).worst.largest
        if made is not None and made.steps_off:
            return f"{max(made.steps_off.values()):.1f} steps"
        return "same" if not found else f"1e{math.ceil(math.log10(found))}"


if __name__ == "__main__":
    main()
