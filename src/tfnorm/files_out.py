"""Files in, files out: a fit applied to files of any format batch by batch.

The one law: what is not fitted is copied as it is, and a target is there whole or not at all. Everything is written
into a folder beside the target and renamed when all of it is done.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import Any

from tfnorm.engines import Remote
from tfnorm.engines.threads import Threads
from tfnorm.errors import ChoiceError, DataError, NotInvertibleError
from tfnorm.files_elsewhere import written_elsewhere
from tfnorm.fitted import Fitted
from tfnorm.maps import Map, mark_name
from tfnorm.progress import Callback, Meter
from tfnorm.sources import any_copy, csv_copy, formats, parquet_copy, remote
from tfnorm.sources.arrow import as_ragged, describe_column, from_numpy, to_numpy
from tfnorm.sources.columns import did_you_mean, quoted
from tfnorm.sources.files import open_path
from tfnorm.sources.paths import find, is_data, is_folder
from tfnorm.unseen import groups_of, key_columns


@dataclass(frozen=True)
class Plan:
    """Which file becomes which."""

    output: Path  # a file, or the folder of several
    files: tuple[tuple[str, Path], ...]  # (input, its place in the output; Path() where that is the file itself)


def plan(inputs: Sequence[str], output: str, *, force: bool) -> Plan:
    """Which files are read and written; DataError where one would be lost by it."""
    several = len(inputs) > 1 or is_folder(Path(inputs[0])) or (has_magic(inputs[0]) and not Path(inputs[0]).exists())
    target = Path(output)
    if several and is_data(target.name) and not target.is_dir():
        raise DataError(f"{output}: several files go into a folder, and this is named like a file. Name a folder.")
    if several or target.is_dir() or output.endswith(("/", os.sep)):
        files = [(path, _writable(Path(_relative(path, one)))) for one in inputs for path in find(one)]
    else:
        found = formats.of(output)
        if found is None or found.writer is None:
            said = "" if found is None else f"{found.name} is read, and not written; "
            raise DataError(f"{output}: {said}expected a name that ends in {', '.join(formats.written_endings())}.")
        files = [(path, Path()) for path in find(inputs[0])]
    target = target.resolve() if target.is_symlink() else target
    names = [str(relative) for _, relative in files]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DataError(f"{quoted(twice)}: several inputs would be written there. Transform them one by one.")
    sources = {os.path.realpath(path) for path, _ in files}
    real = Path(os.path.realpath(target))
    if any(Path(one).is_dir() and Path(os.path.realpath(one)) in (real, *real.parents) for one in inputs):
        raise DataError(f"{output}: lies in the folder that is read. Choose another one.")
    if not target.absolute().parent.is_dir():
        raise DataError(f"{output}: there is no folder {target.parent}. Make it first.")
    for _, relative in files:
        path = target / relative
        if os.path.realpath(path) in sources:
            raise DataError(f"{path}: would be written over, and it is an input. Choose another output.")
        if path.exists() and not force:
            raise DataError(f"{path}: is there already. Choose another output, or write over it with --force.")
    return Plan(target, tuple(files))


def _relative(path: str, pattern: str) -> str:
    if remote.is_url(path):
        return path.partition("?")[0].rpartition("/")[2]
    return os.path.relpath(path, _base(pattern))


def _writable(relative: Path) -> Path:
    """The name of an output: the input's, or Parquet where its format is only read."""
    found = formats.of(relative.name)
    if found is None or found.writer:
        return relative
    return relative.with_name(relative.name[: -len(formats.ending_of(relative.name))] + ".parquet")


def _base(pattern: str) -> Path:
    """The folder to which the names of the files that are found are relative."""
    path = Path(pattern)
    if is_folder(path):
        return path
    if path.exists() or not has_magic(pattern):
        return path.parent
    fixed = Path(path.anchor)
    for part in path.parts[1 if path.anchor else 0 : -1]:
        if has_magic(part):
            break
        fixed /= part
    return fixed


def run(
    fitted: Fitted,
    planned: Plan,
    *,
    inverse: bool,
    only: Sequence[str] = (),
    delimiter: str | None = None,
    engine: Threads | Remote | None = None,
    callback: Callback | None = None,
) -> int:
    """Write all files of a plan; gives the number of rows. Workers of an engine write a file each."""
    rows = 0
    for name in only:
        fitted[name]  # an error where it is not in the fit
    sizes = [Path(path).stat().st_size if Path(path).is_file() else 0 for path, _ in planned.files]
    meter = Meter(callback, None, sum(sizes)) if callback is not None else None
    with _staged(planned) as stage:
        targets = [stage / (relative if relative.name else planned.output.name) for _, relative in planned.files]
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
        if engine is not None and not isinstance(engine, Threads):
            files = [(path, target) for (path, _), target in zip(planned.files, targets, strict=True)]

            def done(number: int, file_rows: int) -> None:
                if meter is not None:
                    meter.add(file_rows, sizes[number])

            how: dict[str, Any] = {"inverse": inverse, "only": only, "delimiter": delimiter, "done": done}
            return written_elsewhere(engine, _file, fitted, files, stage, **how)
        for (path, _), target, size in zip(planned.files, targets, sizes, strict=True):
            report = None if meter is None else _share_of(meter, size)
            rows += _file(fitted, path, target, inverse, only, delimiter, report)
    return rows


def _share_of(meter: Meter, size: int) -> Callable[[int, int | None], None]:
    """What reports rows of one file, with their share of its bytes where it is known how many rows it has."""
    return lambda rows, total: meter.add(rows, size * rows // total if total else 0)


@contextmanager
def _staged(planned: Plan) -> Iterator[Path]:
    """A folder beside the output, whose files take their places when the block is left without an error."""
    output = planned.output
    stage = output.parent / f".{output.name}.{secrets.token_hex(4)}.part"
    stage.mkdir()
    try:
        yield stage
        if planned.files[0][1].name and not output.exists():
            stage.rename(output)
            return
        for _, relative in planned.files:
            (output / relative).parent.mkdir(parents=True, exist_ok=True)
            (stage / (relative if relative.name else output.name)).replace(output / relative)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _file(
    fitted: Fitted,
    path: str,
    target: Path,
    inverse: bool,
    only: Sequence[str],
    delimiter: str | None,
    report: Callable[[int, int | None], None] | None,
) -> int:
    source, sink = formats.of(path), formats.of(target.name)
    if sink is None or sink.writer is None:
        raise DataError(f"{target.name}: cannot be written. {formats.listed(written=True)} can.")
    if source is not None and source.delimited:
        numbers = {name: fitted[name].column for name in (only or fitted.columns)}
        kinds = {name: "bool" if c.dtype == "bool" else "time" if c.unit else "number" for name, c in numbers.items()}
        kinds |= {mark_name(name): "number" for name in numbers if inverse and fitted[name].map.marks}
        opened = csv_copy.open_csv(path, delimiter, kinds, as_text=sink.delimited)
    elif source is not None and source.batches is not None:
        opened = formats.attribute(source.batches)(path)
    else:
        opened = any_copy.batches(open_path(path, delimiter))
    names = _columns(fitted, path, opened.schema.names, inverse, only)
    while True:
        rows = 0
        writer: Any = None
        try:
            for read in opened.batches():
                batch = mapped_batch(fitted, names, read, path, rows, inverse)
                if writer is None:
                    schema = _schema(opened.schema, batch, names)
                    make = formats.attribute(sink.writer)
                    writer = make(target, schema, delimiter=delimiter, compression=opened.compression)
                writer.write(batch.columns)
                rows += batch.num_rows
                if report is not None:
                    report(batch.num_rows, opened.num_rows)
            return rows
        except csv_copy.OtherTypeError as other:
            opened = dataclasses.replace(opened, schema=other.schema)
        finally:
            if writer is not None:
                writer.close()


def _columns(fitted: Fitted, path: str, names: Sequence[str], inverse: bool, only: Sequence[str]) -> list[str]:
    """The columns to be mapped; a transform needs all of the fit, the way back those that are there."""
    wanted = list(only or fitted.columns)
    missing = [name for name in wanted if name not in names]
    if missing and (only or not inverse or len(missing) == len(wanted)):
        hints = "".join(did_you_mean(name, names) for name in missing[:3])
        said = "column" if len(missing) == 1 else "columns"
        raise DataError(
            f"{path}: {said} {quoted(missing)} of the fit not there; it has {quoted(names)}.{hints} "
            "Add what is missing, or name the columns to take with --only."
        )
    found = [name for name in wanted if name in names]
    if inverse:
        refuse_lost(fitted, found, "Name the others with --only.")
    return found


def refuse_lost(fitted: Fitted, names: Sequence[str], advice: str) -> None:
    """NotInvertibleError where a technique forgets what the way back would need."""
    lost = [name for name in names if fitted[name].map.lost]
    if lost:
        raise NotInvertibleError(
            f"column {quoted(lost)}: {fitted[lost[0]].technique}: {fitted[lost[0]].map.lost}. {advice}"
        )


def marks_of(
    fitted: Fitted, names: Sequence[str], there: Collection[str], place: str, *, inverse: bool
) -> dict[str, str]:
    """The columns of marks, and whose they are; DataError where one is there before it is made."""
    marks = {mark_name(name): name for name in names if fitted[name].map.marks}
    if taken := [mark for mark in marks if mark in there and not inverse]:
        raise DataError(f"column {quoted(taken)}: is there already, and is what marks are called ({place}). Rename it.")
    return marks


def mapped_batch(fitted: Fitted, names: Sequence[str], batch: Any, path: str, first_row: int, inverse: bool) -> Any:
    import pyarrow as pa

    arrays, fields = dict(zip(batch.schema.names, batch.columns, strict=True)), {one.name: one for one in batch.schema}
    marks = marks_of(fitted, names, arrays, path, inverse=inverse)
    steps = {name: fitted.maps[name] for name in names if fitted.maps[name].keyed()}
    keys = {name: _keys(batch, name, steps.values(), path) for name in key_columns(steps.values())}
    groups = groups_of(steps, keys, batch.num_rows, path, first_row) if steps else None
    numbers = {}
    for name in (*names, *(mark for mark in marks if mark in arrays)):
        column = describe_column(name, fields[name].type, arrays[name])
        if column.kind == "other":
            raise DataError(f"column {quoted([name])}: expected numbers, got {column.dtype} ({path}). Cast it.")
        if len(column.shape) and name in names and fitted.profile[name].column.shape[:1] == (None,):
            column = as_ragged(column)  # batch after batch in one type, whatever lengths are in it
        numbers[name] = to_numpy(arrays[name], column, path, first_row)
    found: dict[str, Any] = {}
    for name, array in arrays.items():
        if name not in names:
            found |= {} if name in marks else {name: (array, fields[name])}
            continue
        try:
            mapped = fitted[name].columns(numbers, inverse=inverse, groups=groups)
        except (DataError, ChoiceError) as error:
            raise DataError(f"{error} ({path})") from None
        for new, values in mapped.items():
            converted = from_numpy(values)
            found[new] = (converted, fields[name].with_name(new).with_type(converted.type))
    schema = pa.schema([field for _, field in found.values()], metadata=batch.schema.metadata)
    return pa.RecordBatch.from_arrays([array for array, _ in found.values()], schema=schema)


def _keys(batch: Any, name: str, steps: Iterable[Map], path: str) -> Any:
    """A key column as the fit saw it: CSV files that become CSV files are read as text, and whole numbers are in it."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if name not in batch.schema.names:
        raise DataError(
            f"{path}: key column {quoted([name])} of the fit not there; it has {quoted(batch.schema.names)}."
        )
    array = batch.column(name)
    columns = (column for step in steps for keyed in step.keyed() for column in keyed.keys.columns)
    kind = next(column.kind for column in columns if column.name == name)
    if kind == "whole numbers" and (t.is_string(array.type) or t.is_large_string(array.type)):
        text = pc.utf8_trim_whitespace(array)
        text = pc.if_else(pc.equal(text, ""), pa.scalar(None, text.type), text)
        flag = pc.is_in(pc.utf8_lower(text), pa.array(["true", "false"], text.type))
        if pc.any(flag).as_py():
            return pc.cast(pc.equal(pc.utf8_lower(text), "true"), pa.int64())
        try:
            return pc.cast(text, pa.float64() if pc.any(pc.match_substring(text, ".")).as_py() else pa.int64())
        except pa.ArrowInvalid as error:
            raise DataError(f"key column {quoted([name])}: the fit saw whole numbers: {error} ({path}).") from None
    return array


def _schema(schema: Any, batch: Any, names: Sequence[str]) -> Any:
    """The schema of the target: the input's, with the types that the mapped columns have."""
    import pyarrow as pa

    own = [field.name in names or field.name not in schema.names for field in batch.schema]
    fields = [field if mine else schema.field(field.name) for field, mine in zip(batch.schema, own, strict=True)]
    return parquet_copy.with_pandas_types(pa.schema(fields, metadata=schema.metadata), names)
