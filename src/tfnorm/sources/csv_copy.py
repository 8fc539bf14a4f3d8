"""CSV files read with all their columns, and written.

The one law: text stays the text it was; only columns that are wanted as numbers are parsed.
"""

from __future__ import annotations

import csv as plain_csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfnorm.errors import DataError
from tfnorm.sources import csv
from tfnorm.sources.columns import cell, quoted
from tfnorm.sources.csv import BLOCK_BYTES, NULLS
from tfnorm.sources.files import Stamp, reading
from tfnorm.sources.parquet_copy import Opened


class OtherTypeError(Exception):
    """A column that seemed to hold something else holds text: read again, with this schema."""

    def __init__(self, schema: Any) -> None:
        super().__init__(schema)
        self.schema = schema


def delimiter_of(path: str, delimiter: str | None) -> str:
    return delimiter or ("\t" if path.lower().endswith((".tsv", ".tsv.gz")) else ",")


def open_csv(path: str, delimiter: str | None, kinds: Mapping[str, str], *, as_text: bool) -> Opened:
    """A file in blocks; `kinds` says which columns hold a "number", a "bool" or a "time".

    The others are text where `as_text`, else of the type that the first block shows, or text where that fails later.
    """
    import pyarrow as pa
    import pyarrow.csv as pc

    names = [column.name for column in csv.open_csv(path, delimiter).columns]  # checks the file, with clear errors
    stamp, mark = Stamp.of(path), delimiter_of(path, delimiter)
    blocks = pc.ReadOptions(block_size=BLOCK_BYTES)
    parsing = pc.ParseOptions(delimiter=mark, newlines_in_values=True)
    with reading(path, stamp):
        options = pc.ConvertOptions(include_columns=names)
        reader = pc.open_csv(path, read_options=blocks, parse_options=parsing, convert_options=options)
    number = {"number": pa.float64(), "bool": pa.bool_()}
    types: dict[str, Any] = {}
    for field in reader.schema:
        kind = kinds.get(field.name)
        other = pa.string() if as_text or pa.types.is_null(field.type) else field.type
        types[field.name] = other if kind is None else number.get(kind, field.type)
    schema = pa.schema(list(types.items()))

    def read(schema: Any) -> Iterator[Any]:
        texts = pc.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
        row = 0
        with reading(path, stamp):
            try:
                reader = pc.open_csv(path, read_options=blocks, parse_options=parsing, convert_options=texts)
                for batch in reader:
                    yield _typed(batch, schema, kinds, path, row)
                    row += batch.num_rows
            except pa.ArrowInvalid as error:
                raise csv.explained(path, error) from error
        if not row:
            yield pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)

    return Opened(schema, None, read)


def _typed(batch: Any, schema: Any, kinds: Mapping[str, str], path: str, row: int) -> Any:
    """A batch of text as the schema wants it."""
    import pyarrow as pa

    arrays = []
    for index, field in enumerate(schema):
        texts = batch.column(index)
        try:
            arrays.append(texts if pa.types.is_string(field.type) else _parsed(texts, field.type, field.name in kinds))
        except pa.ArrowException as error:
            if field.name not in kinds:
                raise OtherTypeError(schema.set(index, pa.field(field.name, pa.string()))) from None
            match = re.search(r"'(.*?)'", str(error), re.DOTALL)
            value = match[1] if match else ""
            values = texts.to_pylist()
            where = values.index(value) if value in values else 0
            expected = {"number": "numbers", "bool": "true or false"}.get(kinds[field.name], "times")
            raise DataError(
                f'column {quoted([field.name])}: expected {expected}, got "{cell(value)}" '
                f"({path}, row {row + where + 2}). Correct it, or leave the column out."
            ) from None
    return pa.RecordBatch.from_arrays(arrays, names=schema.names)


def _parsed(texts: Any, type_: Any, wanted: bool) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.utf8_trim_whitespace(texts)
    texts = pc.if_else(pc.is_in(texts, pa.array(NULLS)), pa.scalar(None, pa.string()), texts)
    if wanted and pa.types.is_floating(type_):  # integers beyond 2**53 as what they are
        try:
            return texts.cast(pa.int64())
        except pa.ArrowInvalid:
            return texts.cast(type_)
    return texts.cast(type_)


class Writer:
    """A CSV file that grows by batches; values are quoted where they must be."""

    def __init__(self, path: Path, schema: Any, delimiter: str | None) -> None:
        import pyarrow as pa

        self._path, self._schema, self._delimiter = path, schema, delimiter_of(path.name, delimiter)
        for field in schema:
            if field.type.num_fields and not pa.types.is_dictionary(field.type):
                raise DataError(f"column {quoted([field.name])}: a CSV file holds no {field.type}. Write Parquet.")
        codec: Any = "gzip" if path.name.lower().endswith(".gz") else None
        self._file = pa.output_stream(str(path), compression=codec)
        header = io.StringIO()
        plain_csv.writer(header, delimiter=self._delimiter, lineterminator="\n").writerow(schema.names)
        self._file.write(header.getvalue().encode())

    def write(self, columns: Sequence[Any]) -> None:
        """One more batch."""
        import pyarrow as pa
        from pyarrow import compute

        pc: Any = compute
        if not columns or not len(columns[0]):
            return
        texts = [self._texts(field, column) for field, column in zip(self._schema, columns, strict=True)]
        if len(texts) == 1:  # an empty line would be no row
            texts = [pc.if_else(pc.equal(texts[0], ""), pa.scalar('""', pa.large_string()), texts[0])]
        text = pa.large_string()
        lines = texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, pa.scalar(self._delimiter, text))
        lines = pc.binary_join_element_wise(lines, pa.scalar("\n", text), pa.scalar("", text))
        offsets, data = lines.buffers()[1:]
        ends = memoryview(offsets).cast("q")
        self._file.write(data.slice(ends[lines.offset], ends[lines.offset + len(lines)] - ends[lines.offset]))

    def _texts(self, field: Any, column: Any) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        try:
            texts = column.cast(pa.large_string())
        except (pa.ArrowException, UnicodeError):
            said = f"column {quoted([field.name])}: a CSV file holds no {field.type}"
            raise DataError(f"{said}. Write Parquet.") from None
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            special = pc.match_substring_regex(texts, f'["\r\n{re.escape(self._delimiter)}]')
            doubled = pc.replace_substring(texts, '"', '""')
            mark, nothing = pa.scalar('"', pa.large_string()), pa.scalar("", pa.large_string())
            texts = pc.if_else(special, pc.binary_join_element_wise(mark, doubled, mark, nothing), texts)
        return pc.fill_null(texts, "")

    def close(self) -> None:
        self._file.close()
