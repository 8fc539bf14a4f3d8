"""A fit as a file that runs without tfnorm.

The one law: the export is there whole or not at all, and what a format cannot do is told with the technique and the column.
"""

from __future__ import annotations

import dataclasses
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tfnorm.errors import ChoiceError, DataError
from tfnorm.exits import litert, onnx
from tfnorm.exits.labels import FILE, Label
from tfnorm.exits.rows import rows_of
from tfnorm.fitted import Fitted
from tfnorm.keras_part import keras_part
from tfnorm.sources.columns import quoted
from tfnorm.writing import write_atomically

FORMATS = {".keras": "Keras", ".tflite": "TFLite", ".onnx": "ONNX", "": "SavedModel"}
Result = TypeVar("Result")
ENDINGS = ".keras, .tflite, .onnx, or a folder's name without an ending for a SavedModel"


@dataclass(frozen=True)
class Export:
    """What was written; it stands for its path where one is asked for."""

    path: str
    format: str
    num_bytes: int
    label: Label
    steps_off: Mapping[str, float] = field(default_factory=dict)
    """In 8 bits: by how many of the 256 steps of its results each column is off where it is most, for the sample's rows."""

    def __fspath__(self) -> str:
        return self.path


def format_of(path: Any) -> str:
    """By the end of its name; DataError where it is none of those there are."""
    ending = Path(path).suffix
    if ending not in FORMATS:
        raise DataError(f"{path}: an export ends in {ENDINGS}, got {ending!r}.")
    return FORMATS[ending]


def export(
    fitted: Fitted,
    path: Any,
    *,
    inverse: bool = False,
    integers: bool = False,
    sample: Any = None,
    force: bool = False,
) -> Export:
    """Write a fit as a model that runs without tfnorm; `path` ends in .keras, .tflite or .onnx, or is a SavedModel's folder.

    A model takes the fitted columns raw, by name, in the shapes that they had, and gives them normalized, by name. (In all but
    .keras, names that are no words are written with `_`; `Export.label` has them.)

    inverse: the way back instead, for the columns that have one.
    integers: TFLite of integers throughout, for chips that have nothing else; needs `sample`, rows like those to come. Every
        number that goes in or comes out is then one of 256 between the smallest and the largest of the sample, and 0; nothing
        can be missing. `Export.steps_off` tells what that costs; where it is more than 32 of 256 steps it is refused.
    force: write over what is there.

    Errors: ChoiceError where a technique cannot be had in this format, DataError where the path cannot be, ImportError where
    a library is missing: `pip install 'tfnorm[onnx]'`.

    >>> import tfnorm
    >>> fitted = tfnorm.fit({"age": [22.0, 38.0, 26.0]}, "standard")
    >>> fitted.export("age.pickle")
    Traceback (most recent call last):
    tfnorm.errors.DataError: age.pickle: an export ends in .keras, .tflite, .onnx, or a folder's name without an ending for a \
SavedModel, got '.pickle'.
    """
    kind, target = format_of(path), Path(path)
    if integers and (kind != "TFLite" or sample is None):
        raise ChoiceError("integers=True is for .tflite, and needs sample=: rows like those to come.")
    check_target(target, folder=kind == "SavedModel", force=force)
    if kind == "Keras":
        model = fitted.layer(builtin=True, inverse=inverse)
        label = _label(fitted, inverse, {name: name for name in fitted.columns}, model.output)
        data = _keras_bytes(model)
        write_atomically(target, data)
        return Export(str(path), kind, len(data), label)
    function = _function(fitted, inverse, kind)
    label = _label(fitted, inverse, {name: column for name, (column, *_) in function.inputs.items()}, function.outputs)
    if kind == "SavedModel":
        with _folder_for(target) as stage:
            keras_part().write_saved_model(function, str(stage))
            (stage / FILE).parent.mkdir(exist_ok=True)
            (stage / FILE).write_text(label.text(), encoding="utf-8")
        size = sum(one.stat().st_size for one in target.rglob("*") if one.is_file())
        return Export(str(path), kind, size, label)
    if kind == "ONNX":
        data = _told(fitted, kind, lambda one: onnx.convert(_function(one, inverse, kind), label))
    elif integers:
        rows = rows_of(fitted, sample)
        convert = lambda one: litert.in_integers(one, _function(one, inverse, kind), label, rows)  # noqa: E731
        data, steps_off = _told(fitted, kind, convert)
        write_atomically(target, data)
        return Export(str(path), kind, len(data), label, steps_off)
    else:
        data = _told(fitted, kind, lambda one: litert.convert(one, _function(one, inverse, kind), label))
    write_atomically(target, data)
    return Export(str(path), kind, len(data), label)


def check_target(target: Path, *, folder: bool, force: bool) -> None:
    """Told before anything is loaded: what is there already, and what is something else."""
    if target.exists() and not force:
        raise DataError(f"{target}: is there already. Choose another name, or write over it with force (--force).")
    is_model = (target / "saved_model.pb").exists()
    if target.exists() and (target.is_dir() != folder or (folder and not is_model and any(target.iterdir()))):
        raise DataError(f"{target}: is there, and is no {'SavedModel' if folder else 'file'}. Choose another name.")
    if not target.absolute().parent.is_dir():
        raise DataError(f"{target}: there is no folder {target.parent}. Make it first.")


def _function(fitted: Fitted, inverse: bool, kind: str) -> Any:
    return keras_part().served(fitted.layer(inverse=inverse), fitted.shapes, runtime=kind)


def _label(fitted: Fitted, inverse: bool, inputs: Any, outputs: Any) -> Label:
    outputs = dict(outputs) if isinstance(outputs, dict) else {name: name for name in fitted.columns}
    outputs = {name: column if isinstance(column, str) else name for name, column in outputs.items()}
    return Label(fitted.fingerprint, inverse, inputs, outputs)


def _keras_bytes(model: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        model.save(file)
        return file.read_bytes()


def _told(fitted: Fitted, kind: str, convert: Callable[[Fitted], Result]) -> Result:
    """The conversion; where it fails, which column it fails for, each being tried alone."""
    try:
        return convert(fitted)
    except (ImportError, DataError, MemoryError, NameError, AssertionError):
        raise
    except Exception as error:
        failed, reason = list(fitted.columns), error
        if len(fitted.columns) > 1:
            for name in fitted.columns:
                try:
                    convert(_only(fitted, name))
                except Exception as alone:
                    failed, reason = [name], alone
                    break
        techniques = dict.fromkeys(fitted.choice[name] for name in failed)
        raise ChoiceError(
            f"column {quoted(failed)}: {', '.join(techniques)}: cannot be exported to {kind}: {_first_line(reason)} "
            "Choose another format, or fit it otherwise."
        ) from error


def _only(fitted: Fitted, name: str) -> Fitted:
    return dataclasses.replace(fitted, stages={name: fitted.stages[name]}, maps={name: fitted.maps[name]})


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[0][:300].rstrip(".") + "."


@contextmanager
def _folder_for(target: Path) -> Iterator[Path]:
    """A folder beside the target that takes its place when the block is left without an error."""
    target = target.resolve() if target.is_symlink() else target
    mark = secrets.token_hex(4)
    stage, old = (target.parent / f".{target.name}.{mark}.{end}" for end in ("part", "old"))
    try:
        yield stage
        if target.exists():
            target.rename(old)
        try:
            stage.rename(target)
        except BaseException:
            if old.exists():
                old.rename(target)
            raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
