"""CSV files read with all their columns, and written.

The one law: text stays the text it was, names but for what makes formulas harmless; only columns that are wanted as numbers are
parsed.
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

AT_ONCE = 1 << 15  # rows whose text lies in memory


class OtherTypeError(Exception):
    """A column holds something else than it seemed to: read again, with this schema."""

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

    csv.open_csv(path, delimiter)  # checks the file, with clear errors
    stamp, mark = Stamp.of(path), delimiter_of(path, delimiter)
    # one thread: pyarrow then tells the row of an error
    blocks = pc.ReadOptions(block_size=BLOCK_BYTES, use_threads=False)
    parsing = pc.ParseOptions(delimiter=mark, newlines_in_values=True)
    with reading(path, stamp):
        seen = pc.open_csv(csv.csv_file(path), blocks, parsing, pc.ConvertOptions(null_values=list(NULLS))).schema
    header = seen.names
    seen = csv.named(seen)
    types: dict[str, Any] = {}
    for field in seen:
        kind, number = kinds.get(field.name), pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        if kind is None:
            types[field.name] = pa.string() if as_text or pa.types.is_null(field.type) else field.type
        elif kind == "number":
            types[field.name] = field.type if number else pa.float64()
        else:
            types[field.name] = pa.bool_() if kind == "bool" else field.type

    def read(schema: Any) -> Iterator[Any]:
        wanted = dict(zip(header, schema.types, strict=True))
        typed = pc.ConvertOptions(column_types=wanted, null_values=list(NULLS), strings_can_be_null=False)
        row = 0
        with reading(path, stamp):
            try:
                for batch in pc.open_csv(csv.csv_file(path), blocks, parsing, typed):
                    yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
                    row += batch.num_rows
            except pa.ArrowInvalid as error:
                refused = csv.RefusedError.parse(str(error), header)
                if refused is None:
                    raise csv.explained(path, error) from error
                raise OtherTypeError(_widened(schema, refused, kinds, path)) from None
        if not row:
            yield pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)

    return Opened(pa.schema(list(types.items())), None, read)


def _widened(schema: Any, refused: csv.RefusedError, kinds: Mapping[str, str], path: str) -> Any:
    """The schema under which the refused value can be read; DataError where it should be a number and is none."""
    import pyarrow as pa

    index, kind = schema.get_field_index(refused.column), kinds.get(refused.column)
    if kind is None:
        return schema.set(index, pa.field(refused.column, pa.string()))
    if kind == "number" and pa.types.is_integer(schema.field(index).type) and csv.is_number(refused.value):
        return schema.set(index, pa.field(refused.column, pa.float64()))
    expected = {"number": "numbers", "bool": "true or false"}.get(kind, "times")
    row = "" if refused.row is None else f", row {refused.row}"
    raise DataError(
        f'column {quoted([refused.column])}: expected {expected}, got "{cell(refused.value)}" ({path}{row}). '
        "Correct it, or leave the column out."
    )


class Writer:
    """A CSV file that grows by batches; values are quoted where they must be. Names that are formulas to a spreadsheet are
    written as `csv.as_header` has them; text of the data stays as it is, since other programs read it, too."""

    def __init__(self, path: Path, schema: Any, *, delimiter: str | None = None, **_: Any) -> None:
        import pyarrow as pa

        self._path, self._schema, self._delimiter = path, schema, delimiter_of(path.name, delimiter)
        for field in schema:
            if field.type.num_fields and not pa.types.is_dictionary(field.type):
                raise DataError(f"column {quoted([field.name])}: a CSV file holds no {field.type}. Write Parquet.")
        codec: Any = "gzip" if path.name.lower().endswith(".gz") else None
        self._file = pa.output_stream(str(path), compression=codec)
        header = io.StringIO()
        plain_csv.writer(header, delimiter=self._delimiter, lineterminator="\n").writerow(
            map(csv.as_header, schema.names)
        )
        self._file.write(header.getvalue().encode())

    def write(self, columns: Sequence[Any]) -> None:
        """One more batch."""
        import pyarrow as pa
        from pyarrow import compute

        pc: Any = compute
        if not columns or not len(columns[0]):
            return
        if len(columns[0]) > AT_ONCE:
            for start in range(0, len(columns[0]), AT_ONCE):
                self.write([column.slice(start, AT_ONCE) for column in columns])
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
