"""JSON lines, plain or gzipped: a shard a file, read in blocks of whole lines.

The one law: a column has the type that its first block shows; integers become floats where a fraction comes later, what
is absent is null, and whatever else does not fit is an error with file, column and line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tfnorm.errors import DataError
from tfnorm.sources import Batch, Column
from tfnorm.sources.arrow import schema_columns, to_numpy
from tfnorm.sources.columns import cell, quoted
from tfnorm.sources.files import OpenedFile, Stamp, reading
from tfnorm.sources.remote import input_stream, is_gzip

BLOCK_BYTES = 1 << 22  # the longest line that can be read, and what is parsed at once


@dataclass(frozen=True)
class JsonLines:
    """A file; it is read when it is called, wherever that is."""

    path: str
    stamp: Stamp
    types: tuple[Any, ...]  # of `columns`: Arrow types
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        return self.path

    @property
    def fingerprint(self) -> str:
        return f"{self.path}, {self.stamp}, {', '.join(column.name for column in self.columns)}"

    @property
    def num_rows(self) -> None:
        """Only reading tells."""

    @property
    def num_bytes(self) -> int:
        return self.stamp.num_bytes

    def __call__(self) -> Iterator[Batch]:
        types = {column.name: type_ for column, type_ in zip(self.columns, self.types, strict=True)}
        row = 0
        with reading(self.path, self.stamp):
            for block in blocks(self.path):
                table, types = block.table(types, "ignore")
                for column in self.columns:
                    block.check_lengths(column, table.column(column.name))
                yield {c.name: to_numpy(table.column(c.name), c, self.path, row) for c in self.columns}
                row += table.num_rows


@dataclass(frozen=True)
class Block:
    """Whole lines of a file."""

    path: str
    data: bytes
    first_line: int  # of the file, whose first line is 1

    def table(self, types: Mapping[str, Any], unknown: str) -> tuple[Any, dict[str, Any]]:
        """Its rows, and the types that they have, integers widened where they had to be; `unknown` "infer" or "ignore"."""
        import pyarrow as pa
        import pyarrow.json as pj

        types = dict(types)
        try:
            table = pj.read_json(
                pa.BufferReader(self.data),
                pj.ReadOptions(use_threads=False, block_size=max(1 << 16, len(self.data) + 1)),
                pj.ParseOptions(explicit_schema=pa.schema(list(types.items())), unexpected_field_behavior=unknown),
            )
        except pa.ArrowInvalid as error:
            wide = self._explain(types, error)
            return self.table({**types, **dict.fromkeys(wide, pa.float64())}, unknown)
        self._refuse_look_alikes(table, types)
        return table, types

    @cached_property
    def lines(self) -> list[tuple[int, bytes]]:
        """The lines with something in them, with their numbers."""
        numbered = enumerate(self.data.split(b"\n"), self.first_line)
        return [(number, line) for number, line in numbered if line.strip()]

    def _explain(self, types: Mapping[str, Any], error: Exception) -> list[str]:
        """The columns of integers that have fractions; DataError where that is not what is wrong."""
        import pyarrow.types as t

        wide: dict[str, None] = {}
        shown: dict[str, Any] = {}  # column of no type yet -> its first value
        beyond = None
        for number, row in self._rows():
            for name, value in row.items():
                if value is None:
                    continue
                if isinstance(value, float) and math.isinf(value):
                    beyond = beyond or (name, number)
                type_ = types.get(name)
                if type_ is None:
                    if _kind(shown.setdefault(name, value)) != _kind(value):
                        raise self._unfit(name, _KINDS[_kind(shown[name])], value, number)
                elif t.is_integer(type_) and _kind(value) == "number":
                    if isinstance(value, float) or not -(1 << 63) <= value < 1 << 63:
                        wide[name] = None
                elif not _fits(value, type_):
                    raise self._unfit(name, _noun(type_), value, number)
        if not wide and beyond is not None:
            raise DataError(
                f"column {quoted([beyond[0]])}: expected numbers up to 1.8e308, got a larger one ({self.path}, line "
                f"{beyond[1]}). Correct it, or write null."
            )
        if not wide:
            said = cell((str(error).splitlines() or [""])[0], 200)
            raise DataError(f"{self.path}, from line {self.first_line}: cannot be read as JSON lines: {said}.")
        return list(wide)

    def _rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each line's object, with its number; DataError for a line that is none."""
        for number, line in self.lines:
            place = f"{self.path}, line {number}"
            try:
                row = json.loads(line, object_pairs_hook=_once)
            except (ValueError, RecursionError) as wrong:
                said = cell(wrong, 100) if isinstance(wrong, ValueError) else "nested too deeply"
                raise DataError(f"{place}: it is not JSON: {said}. Correct it, or leave it out.") from None
            if not isinstance(row, dict):
                got = type(row).__name__
                raise DataError(f'{place}: expected an object, as {{"age": 22.0}}, got {got}. Write one a line.')
            yield number, row

    def _line_of(self, row: int, num_rows: int) -> tuple[int, bytes]:
        """The line of a row; where objects and lines are not one to one, the first of the block."""
        return self.lines[row] if len(self.lines) == num_rows else (self.first_line, b"")

    def _unfit(self, name: str, expected: str, value: Any, number: int) -> DataError:
        return DataError(
            f"column {quoted([name])}: expected {expected}, got {cell(json.dumps(value))} ({self.path}, line {number}). "
            "Correct it, or leave the column out."
        )

    def check_lengths(self, column: Column, lists: Any) -> None:
        """DataError with the line where a row has another number of values than the first ones."""
        import pyarrow.compute as pc
        import pyarrow.types as t

        if column.kind == "other" or column.layout == "ragged" or not t.is_list(lists.type):
            return
        lengths = pc.list_value_length(lists).to_pylist()
        wrong = next((at for at, length in enumerate(lengths) if length not in (None, column.shape[0])), None)
        if wrong is not None:
            number, _ = self._line_of(wrong, len(lengths))
            raise DataError(
                f"column {quoted([column.name])}: expected {column.shape[0]} numbers in every row, got {lengths[wrong]} "
                f"({self.path}, line {number}). Pad the rows or cut them to one length."
            )

    def _refuse_look_alikes(self, table: Any, names: Iterable[str]) -> None:
        """A value that is null for want of the key, where another key is the same but for letter case, is a mistake."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found: dict[
            int, tuple[int, dict[str, str], dict[str, Any]]
        ] = {}  # row -> line, keys without case, what it holds
        for name in names:
            column = table.column(name)
            if not column.null_count:
                continue
            at = pc.index(column.is_null(), pa.scalar(True)).as_py()
            if at not in found:
                number, line = self._line_of(at, len(column))
                try:
                    row = json.loads(line)
                except ValueError:  # an object over several lines, which Arrow takes, too
                    row = {}
                found[at] = number, {key.casefold(): key for key in row}, row
            number, keys, row = found[at]
            if name not in row and name.casefold() in keys:
                raise DataError(
                    f"{self.path}, line {number}: column {quoted([name])} is missing. Did you mean "
                    f"{quoted([keys[name.casefold()]])}? Name it alike in every line."
                )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {quoted(name for name in found if names.count(name) > 1)} is there twice")
    return found


_KINDS = {"bool": "true or false", "number": "numbers", "text": "text", "list": "lists", "object": "objects"}


def _kind(value: Any) -> str:
    """Of a value that is not null."""
    if isinstance(value, bool):
        return "bool"
    return {int: "number", float: "number", str: "text", list: "list"}.get(type(value), "object")


def _fits(value: Any, type_: Any) -> bool:
    """Whether a value of JSON may be of an Arrow type, as far as this tells an error's place."""
    import pyarrow.types as t

    if t.is_boolean(type_):
        return isinstance(value, bool)
    if t.is_floating(type_) or t.is_integer(type_):
        return _kind(value) == "number"
    if t.is_string(type_) or t.is_timestamp(type_):
        return isinstance(value, str)
    if t.is_list(type_):
        return isinstance(value, list) and all(one is None or _fits(one, type_.value_type) for one in value)
    return not t.is_struct(type_) or isinstance(value, dict)


def _noun(type_: Any) -> str:
    import pyarrow.types as t

    if t.is_boolean(type_):
        return "true or false"
    if t.is_floating(type_) or t.is_integer(type_):
        return "numbers"
    return "times" if t.is_timestamp(type_) else "text" if t.is_string(type_) else str(type_)


def blocks(path: str) -> Iterator[Block]:
    """The file in blocks of whole lines, each with at least one row."""
    rest, line = b"", 1
    with input_stream(path) as file:
        while True:
            read = bytes(file.read(BLOCK_BYTES))
            if line == 1 and not rest and read[:3] == b"\xef\xbb\xbf":
                read = read[3:]
            if line == 1 and not rest and (read[:2] in (b"\xff\xfe", b"\xfe\xff") or read[1:2] == b"\0"):
                raise DataError(
                    f"{path}: expected UTF-8, got UTF-16. Convert it, for example with `iconv -f UTF-16 -t UTF-8`."
                )
            data, rest = rest + read, b""
            if read:
                end = data.rfind(b"\n") + 1
                data, rest = data[:end], data[end:]
                if len(rest) > BLOCK_BYTES:
                    number = line + data.count(b"\n")
                    raise DataError(
                        f"{path}, line {number}: is longer than {BLOCK_BYTES >> 20} MiB. "
                        "Are these JSON lines, one object a line?"
                    )
            if data.strip():
                yield Block(path, data, line)
            line += data.count(b"\n")
            if not read:
                return


def open_json_lines(path: str) -> OpenedFile:
    """The columns of a file, from its first block."""
    import pyarrow as pa

    with reading(path):
        stamp = Stamp.of(path)
        first = next(blocks(path), None)
        if first is None:
            return OpenedFile(path, stamp, (), 0, lambda _: ())
        table, _ = first.table({}, "infer")
        columns = schema_columns(table.schema, path, table)
    types = {field.name: pa.float64() if pa.types.is_null(field.type) else field.type for field in table.schema}
    about = None if is_gzip(path) else round(table.num_rows * stamp.num_bytes / max(1, len(first.data)))

    def shards(wanted: Sequence[Column]) -> Sequence[JsonLines]:
        return [JsonLines(path, stamp, tuple(types[column.name] for column in wanted), tuple(wanted))]

    return OpenedFile(path, stamp, columns, None, shards, about_rows=about)
