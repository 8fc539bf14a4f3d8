"""The commands that take a fit out of Python: export it, and verify that it is still the same there."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

import tfnorm
from tfnorm.cli.common import EXIT, Artefact, Force, Json, Paths, Quiet, app, begin, load
from tfnorm.errors import DataError
from tfnorm.fitted import Fitted
from tfnorm.sources.columns import quoted
from tfnorm.terminal import result, silent_start

OFF = 3
Out = Annotated[
    str, typer.Option("-o", "--output", metavar="PATH", help="x.keras, x.tflite, x.onnx, or a SavedModel's folder.")
]


@app.command(epilog=EXIT)
def export(
    artefact: Artefact,
    output: Out,
    inverse: Annotated[bool, typer.Option("--inverse", help="The way back, to real units.")] = False,
    integers: Annotated[
        str | None,
        typer.Option("--integers", metavar="SAMPLE", help="TFLite in 8 bits; SAMPLE has rows like those to come."),
    ] = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a fit as a model that runs without tfnorm.

    \b
    tfnorm export norm.json -o norm.onnx
    tfnorm export norm.json -o norm_model/
    tfnorm export norm.json -o norm.tflite --integers 'train/*.parquet'

    It takes the fitted columns raw, by name, and gives them normalized, by name. Needs TensorFlow; ONNX needs
    pip install 'tfnorm[onnx]'.
    """
    from tfnorm.exits.exporting import check_target, format_of

    terminal = begin(quiet, False)
    check_target(Path(output), folder=format_of(output) == "SavedModel", force=force)
    fitted = _fit_of(artefact)
    with silent_start():
        made = fitted.export(output, inverse=inverse, integers=integers is not None, sample=integers, force=force)
    label = made.label
    if as_json:
        tensors = {"inputs": dict(label.inputs), "outputs": dict(label.outputs)}
        head = {"output": output, "format": made.format, "bytes": made.num_bytes, "fingerprint": label.fingerprint}
        off = {"steps_off": dict(made.steps_off)} if made.steps_off else {}
        result(json.dumps({**head, **tensors, **off}, indent=1))
    renamed = [f"{column} as {name}" for name, column in label.inputs.items() if name != column]
    if renamed:
        terminal.say(f"note: columns by other names, as the format has it: {', '.join(renamed[:10])}")
    if made.steps_off:
        worst = max(made.steps_off, key=lambda column: made.steps_off[column])
        terminal.say(
            f"note: in 8 bits off by at most {made.steps_off[worst]:.1f} of 256 steps of the result ({quoted([worst])})"
        )
    terminal.say(f"wrote {output} ({made.format}, {made.num_bytes:,} bytes), fit {label.fingerprint[:12]}")
    terminal.next(f"tfnorm verify {shlex.quote(artefact)} {shlex.quote(output)} test.parquet")


@app.command(
    epilog="Exit codes: 0 the same, 1 error, 2 wrong usage, 3 above the tolerance or another fit, 130 stopped."
)
def verify(
    artefact: Artefact,
    model: Annotated[str, typer.Argument(metavar="EXPORT", help="What export or Keras wrote.")],
    sample: Paths,
    tolerance: Annotated[
        float,
        typer.Option("--tolerance", metavar="T", min=0, help="How far off a value may be, relative to 1 + its size."),
    ] = 1e-5,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the same rows through the fit in NumPy and through an export, and say how far each column is off.

    \b
    tfnorm verify norm.json norm.onnx test.parquet
    tfnorm verify norm.json model.keras test.csv --tolerance 1e-6
    """
    terminal = begin(quiet, False)
    fitted = _fit_of(artefact)
    with silent_start():
        found = tfnorm.verify(fitted, model, list(sample), tolerance=tolerance)
    if as_json:
        result(found.to_json())
    elif not quiet:
        result(str(found))
    if not found.ok and found.same_fit is False:
        terminal.say(
            f"note: {model} is of another fit than {artefact}: tfnorm export {shlex.quote(artefact)} makes it anew"
        )
    raise typer.Exit(0 if found.ok else OFF)


def _fit_of(artefact: str) -> Fitted:
    fitted = load(artefact)
    if not isinstance(fitted, Fitted):
        raise DataError(f"{artefact}: holds no fit. Fit first: tfnorm fit ... -o norm.json.")
    return fitted
