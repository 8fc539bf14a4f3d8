"""CSV files, plain or gzipped: a shard a file, or of a large plain one some rows; read in blocks.

The one law: a column has the type that its first block shows, and a number is never made less than it is: integers
become floats where a fraction comes later, and text where a number should be is an error with file, column and row.

A name that a spreadsheet would take for a formula is written with an apostrophe before it, and read without.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from tfnorm.errors import DataError
from tfnorm.sources import Batch, Column
from tfnorm.sources.arrow import schema_columns, to_numpy
from tfnorm.sources.columns import NUMBERS_WITH_COMMAS, cell, quoted, refuse_duplicates, rows_per_shard
from tfnorm.sources.csv_numbers import read_numbers
from tfnorm.sources.csv_parts import FILE_BYTES, Span, Window, spans
from tfnorm.sources.files import OpenedFile, Stamp, reading
from tfnorm.sources.formats import ending_of
from tfnorm.sources.remote import input_stream, is_gzip, is_url

BLOCK_BYTES = 1 << 22  # the longest row that can be read, and what is parsed at once
HEAD_BYTES = 1 << 18  # of a large file: its columns' types are taken from it where they are numbers

NULLS = ("", "NA", "N/A", "n/a", "#N/A", "#NA", "NULL", "null", "None")
"""What is null. `nan` is not among them: it is a number's value, and counted apart."""


_CONVERSION = re.compile(
    r"In CSV column #(\d+): (?:Row #(\d+): )?CSV conversion error to .*?: (?:invalid value )?'(.*)'", re.DOTALL
)
MOSTLY = 0.9  # of a column's values are numbers: then the others are told
_NUMBER, _COMMAS = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$", r"^[+-]?\d+(,\d+)+$"
_RAGGED = re.compile(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+)")


_FORMULA = re.compile(r"('*)[=+\-@\t\r]", re.DOTALL)


def as_header(name: str) -> str:
    """A name as a header has it, where a spreadsheet takes it for no formula; numbers are none.

    >>> as_header("=1+1"), as_header("-1"), as_header("'=1+1"), as_header("a")
    ("'=1+1", '-1', "''=1+1", 'a')
    """
    return f"'{name}" if _FORMULA.match(name) and not is_number(name) else name


def of_header(text: str) -> str:
    """The way back.

    >>> [of_header(as_header(name)) for name in ("=1+1", "-1", "'=1+1", "'a")]
    ['=1+1', '-1', "'=1+1", "'a"]
    """
    match = _FORMULA.match(text)
    return text[1:] if match and match[1] else text


@dataclass(frozen=True)
class CsvFile:
    """A CSV file; it is read when it is called, wherever that is."""

    path: str
    stamp: Stamp
    delimiter: str
    header: tuple[str, ...]
    types: tuple[Any, ...]  # of `columns`: Arrow types
    columns: tuple[Column, ...]
    span: Span | None = None  # of its rows, where it is not all

    @property
    def name(self) -> str:
        if self.span is None:
            return self.path
        last = "the last" if self.span.num_rows is None else self.row_of_first + self.span.num_rows - 1
        return f"{self.path}, rows {self.row_of_first} to {last}"

    @property
    def fingerprint(self) -> str:
        part = "" if self.span is None else f", bytes {self.span.start} to {self.span.stop or 'the end'}"
        return f"{self.path}, {self.stamp}{part}, {', '.join(column.name for column in self.columns)}"

    @property
    def num_rows(self) -> int | None:
        return None if self.span is None else self.span.num_rows

    @property
    def row_of_first(self) -> int:
        """As errors count them: the header is row 1."""
        return 2 if self.span is None else 2 + self.span.first

    @property
    def num_bytes(self) -> int:
        return self.stamp.num_bytes if self.span is None else (self.span.stop or self.stamp.num_bytes) - self.span.start

    def __call__(self) -> Iterator[Batch]:
        types = {column.name: type_ for column, type_ in zip(self.columns, self.types, strict=True)}
        if (numbers := self._numbers(types)) is not None:
            yield numbers
            return
        done = 0  # rows that were handed out before a column had to be widened
        widened = 0
        while True:
            row = 0
            try:
                for batch in self._batches(types):
                    fresh = batch.slice(max(0, done - row))
                    row += batch.num_rows
                    if fresh.num_rows:
                        yield {
                            c.name: to_numpy(fresh.column(i), c, self.path, row - fresh.num_rows)
                            for i, c in enumerate(self.columns)
                        }
                        done = row
                return
            except RefusedError as refused:
                widened += 1
                types = self._widen(refused, types, everything=widened > 4)  # a wide file is not read once a column

    def _numbers(self, types: Mapping[str, Any]) -> Batch | None:
        """All rows, where it is a part and plain."""
        if self.span is None:
            return None
        texts = {of_header(text): text for text in self.header}
        wanted = {texts[name]: type_ for name, type_ in types.items()}
        with reading(self.path, self.stamp):
            found = read_numbers(self.path, self.span, self.delimiter, self.header, wanted)
        return None if found is None else dict(zip(types, found, strict=True))

    def _batches(self, types: Mapping[str, Any]) -> Iterator[Any]:
        """The blocks, or RefusedError where a value does not fit its column's type."""
        import pyarrow as pa

        with reading(self.path, self.stamp):
            try:
                texts = {of_header(text): text for text in self.header}
                wanted = {texts[name]: type_ for name, type_ in types.items()}
                if self.span is None:
                    yield from _reader(csv_file(self.path), self.delimiter, wanted)
                    return
                with Window(self.path, self.span.start, self.span.stop) as window:
                    # a part is small enough to be read at once, and Python's lock is then free
                    file = pa.PythonFile(window, "r") if self.span.stop is None else pa.BufferReader(window.read())
                    yield from _reader(file, self.delimiter, wanted, self.header)
            except pa.ArrowInvalid as error:
                before = 0 if self.span is None else 1 + self.span.first  # rows that pyarrow has not seen
                refused = RefusedError.parse(str(error), self.header, before)
                if refused is None:
                    raise explained(self.path, error, before) from error
                raise refused from None

    def _widen(self, refused: RefusedError, types: Mapping[str, Any], everything: bool) -> dict[str, Any]:
        """The types under which the refused value is a number."""
        import pyarrow as pa

        type_ = types[refused.column]
        if pa.types.is_integer(type_) and is_number(refused.value):
            wide = [
                name for name, t in types.items() if name == refused.column or (everything and pa.types.is_integer(t))
            ]
            return {**types, **dict.fromkeys(wide, pa.float64())}
        kind = next(column.kind for column in self.columns if column.name == refused.column)
        expected = "true or false" if pa.types.is_boolean(type_) else "times" if kind == "time" else "numbers"
        row = "" if refused.row is None else f", row {refused.row}"
        hint = " It has decimal commas: convert them to points." if re.fullmatch(r"[+-]?\d+,\d+", refused.value) else ""
        raise DataError(
            f'column {quoted([refused.column])}: expected {expected}, got "{cell(refused.value)}" ({self.path}{row}).'
            f"{hint} Correct it, or leave the column out."
        )


class RefusedError(Exception):
    """pyarrow could not convert a value. `row` is that of the file, whose header is row 1."""

    def __init__(self, column: str, row: int | None, value: str) -> None:
        super().__init__(column, row, value)
        self.column, self.row, self.value = column, row, value

    @staticmethod
    def parse(message: str, header: Sequence[str], before: int = 0) -> RefusedError | None:
        """`before`: rows of the file, its header among them, that are not read."""
        match = _CONVERSION.match(message)
        if match is None:
            return None
        index, row, value = match.groups()
        return RefusedError(of_header(header[int(index)]), None if row is None else before + int(row), value)


def is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text)) or text.strip().lower().lstrip("+-") == "nan"
    except ValueError:
        return False


def csv_file(path: str) -> Any:
    """What pyarrow reads it from."""
    return input_stream(path) if is_url(path) else path


def _reader(
    file: Any,
    delimiter: str,
    types: Mapping[str, Any] | None,
    header: Sequence[str] | None = None,
    block: int | None = None,
) -> Any:
    """Blocks of a file; `types`: only these columns, of these types; `header`: where it has none itself."""
    import pyarrow.csv as pc

    wanted, block = {} if types is None else dict(types), block or BLOCK_BYTES
    return pc.open_csv(
        file,
        # One thread: pyarrow then tells the row of an error, and is as fast; engines read several parts at once.
        read_options=pc.ReadOptions(block_size=block, use_threads=False, column_names=header and list(header)),
        parse_options=pc.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pc.ConvertOptions(
            column_types=wanted, include_columns=list(wanted), null_values=list(NULLS), strings_can_be_null=True
        ),
    )


def explained(path: str, error: Exception, before: int = 0) -> DataError:
    """What pyarrow says of a file that is no table, with what to do; `before`: rows that it has not seen."""
    text = re.sub(r"Row #(\d+)", lambda row: f"Row #{before + int(row[1])}", str(error))
    match = _RAGGED.search(text)
    if match:
        row, expected, got = match.groups()
        where = path if row is None else f"{path}, row {row}"
        return DataError(
            f"{where}: expected {expected} values as in the header, got {got}. "
            "Correct the row, or quote what holds a delimiter."
        )
    if "straddling object" in text:
        return DataError(
            f"{path}: a row is longer than {BLOCK_BYTES >> 20} MiB. "
            "Is a quote left open? Shorten it, or leave the file out."
        )
    return DataError(f"{path}: it cannot be read as CSV: {cell(text.splitlines()[0] if text else error, 200)}.")


def open_csv(path: str, delimiter: str | None = None) -> OpenedFile:
    """The columns of a file, from its header and first block."""
    import pyarrow as pa

    delimiter = delimiter or ("\t" if ending_of(path).startswith(".tsv") else ",")
    with reading(path):
        stamp = Stamp.of(path)
        _refuse_utf16(path)
        try:
            reader = (_cut(path, stamp) and _told(path, delimiter)) or _reader(csv_file(path), delimiter, None)
            header = tuple(reader.schema.names)
            schema = named(reader.schema)
            # the first block is handed out only with the next one read
            head = None if _tells(schema) else next(iter(reader), None)
            empty = all(pa.types.is_null(type_) for type_ in schema.types) and not any(
                batch.num_rows for batch in ([] if head is None else chain([head], reader))
            )
        except pa.ArrowInvalid as error:
            if "Empty CSV" not in str(error):
                match = _RAGGED.search(str(error))
                if match and match[2] == "1":  # one column, and rows of more: their commas are no delimiters
                    _refuse_other_delimiter(path, _first_line(path), delimiter)
                raise explained(path, error) from error
            return OpenedFile(path, stamp, (), 0, lambda _: ())
    refuse_duplicates(schema.names, path)
    if len(header) == 1:
        _refuse_other_delimiter(path, header[0], delimiter)
    texts = {} if head is None else _of_texts(pa.RecordBatch.from_arrays(head.columns, schema=schema))
    columns = tuple(replace(c, dtype=texts.get(c.name, c.dtype)) for c in schema_columns(schema, path))
    types = {field.name: pa.float64() if pa.types.is_null(field.type) else field.type for field in schema}

    def shards(wanted: Sequence[Column]) -> Iterator[CsvFile]:
        chosen = tuple(pa.string() if column.kind == "other" else types[column.name] for column in wanted)
        return _parts(CsvFile(path, stamp, delimiter, header, chosen, tuple(wanted)))

    about = None if empty else about_rows(path, stamp.num_bytes)
    return OpenedFile(path, stamp, columns, 0 if empty else None, shards, about_rows=about)


def _told(path: str, delimiter: str) -> Any:
    """A reader of a large file the types of which its first rows tell, else None: parsing more of them would take a while, and
    nothing else is done then. Whatever comes later is held against them by whoever reads it.
    """
    import pyarrow as pa

    try:
        reader = _reader(path, delimiter, None, block=min(HEAD_BYTES, BLOCK_BYTES))
    except pa.ArrowInvalid:  # a row may be longer
        return None
    return reader if _tells(reader.schema) else None


def _tells(schema: Any) -> bool:
    """Whether all is said by the types, as of numbers and times: of text the values are looked at."""
    import pyarrow as pa

    return not any(pa.types.is_null(type_) or pa.types.is_string(type_) for type_ in schema.types)


def _cut(path: str, stamp: Stamp) -> bool:
    """Whether a file is read in parts."""
    return stamp.num_bytes > FILE_BYTES and not is_url(path) and not is_gzip(path)


def _parts(file: CsvFile) -> Iterator[CsvFile]:
    """A large plain file in parts, never of more rows than are measured at once."""
    if not _cut(file.path, file.stamp):
        yield file
        return
    with reading(file.path, file.stamp):
        for span in spans(file.path, file.header, file.delimiter, rows_per_shard(file.columns)):
            yield file if span.start == 0 else replace(file, span=span)


def named(schema: Any) -> Any:
    """The schema with the names that its header tells."""
    import pyarrow as pa

    return pa.schema([field.with_name(of_header(field.name)) for field in schema])


def about_rows(path: str, num_bytes: int) -> int | None:
    """How many rows a file has if all lines are as long as the first ones; None where it is compressed."""
    if is_gzip(path):
        return None
    with input_stream(path) as file:
        start = file.read(1 << 18)
    return round(start.count(b"\n") * num_bytes / max(1, len(start)))


def _of_texts(head: Any) -> dict[str, str]:
    """What is said of columns of text that would be of numbers, were they written otherwise or without a few values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = {}
    for name, type_ in zip(head.schema.names, head.schema.types, strict=True):
        if type_ != pa.string():
            continue
        column = head.column(name)
        if pc.all(pc.match_substring_regex(column, _COMMAS)).as_py():
            found[name] = NUMBERS_WITH_COMMAS
        elif (pc.mean(pc.match_substring_regex(column.slice(0, 1000), _NUMBER)).as_py() or 0.0) > MOSTLY:
            numbers = pc.match_substring_regex(column, _NUMBER)
            if pc.mean(numbers).as_py() > MOSTLY and (row := pc.index(numbers, False).as_py()) >= 0:
                found[name] = f'text, as "{cell(column[row])}" in row {row + 2} is no number'
    return found


def _first_line(path: str) -> str:
    with input_stream(path) as file:
        return str(file.read(1 << 12).split(b"\n")[0].decode(errors="replace"))


def _refuse_utf16(path: str) -> None:
    with input_stream(path) as file:
        start = file.read(4)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") or start[1:2] == b"\0":
        raise DataError(f"{path}: expected UTF-8, got UTF-16. Convert it, for example with `iconv -f UTF-16 -t UTF-8`.")


def _refuse_other_delimiter(path: str, name: str, delimiter: str) -> None:
    for other, called in ((";", '";"'), ("\t", "a tab"), (",", '","'), ("|", '"|"')):
        if other != delimiter and other in name:
            got = f'got one, named "{cell(name)}"'
            raise DataError(
                f"{path}: expected columns, {got}. Its delimiter seems to be {called}: pass delimiter={other!r}, "
                f"or --delimiter {other!r} on the command line."
            )
