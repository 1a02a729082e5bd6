"""Parquet and Arrow IPC (Feather): read a batch at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import IOBase
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from bulkload.core.bounds import LONGEST_LINE_BYTES, MOST_COLUMNS
from bulkload.core.text.words import nearest, shown
from bulkload.core.verdicts import refuse_passing
from bulkload.manifest.arrow_pieces import is_plain, pieces, validate
from bulkload.manifest.arrow_stream import ArrowStream, TooLarge
from bulkload.manifest.json_text import NotJson, from_text, unreadable_json
from bulkload.manifest.parquet_pages import look_at_footer, rows_at_a_time, shares_prefixes
from bulkload.manifest.rows import (
    FIELDS,
    KNOWN,
    STRUCTURED_FIELDS,
    Found,
    Reader,
    Row,
    UnreadableValue,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import FileMetaData

ROWS_A_PIECE = 1024
BUFFER_BYTES = 1 << 16


class Arrow(Reader):
    """A column a field; lists and objects are nested columns or JSON text. A null in them is no value at all."""

    # What pyarrow opens the file with; said by the two formats.
    name = "Arrow IPC file"

    def read(self, stream: BinaryIO) -> Iterator[Found]:
        """The rows, streamed."""
        import pyarrow as pa

        try:
            table = self._open(stream)
            problems = list(self._column_problems(table.columns, table.types))
            yield from problems
            fields = _meant_columns(table.columns, table.types)
            if not fields:
                return
            first = 1
            for batch in table.batches(fields):
                yield from self._batch(batch, fields, first, guessed=bool(problems))
                first += batch.num_rows
        except TooLarge as error:
            yield self.problem("", str(error), error.remedy)
        except (pa.ArrowException, OSError, EOFError, ValueError, MemoryError) as error:
            if isinstance(error, OSError):
                refuse_passing(self.manifest, error)
            reason = str(error).partition("\n")[0][:200]
            yield self.problem("", f"is no whole {self.name}: {reason}", "write it anew")

    def _open(self, stream: BinaryIO) -> "Table":
        import pyarrow as pa

        source = pa.PythonFile(cast("IOBase", ArrowStream(stream)), mode="r")
        reader = pa.ipc.open_stream(source)

        def batches(fields: dict[str, str]) -> "Iterator[pa.RecordBatch]":
            for batch in reader:
                yield batch.select(list(fields))

        return Table(reader.schema.names, reader.schema.types, batches)

    def _batch(self, batch: "pa.RecordBatch", fields: dict[str, str], first: int, *, guessed: bool) -> Iterator[Found]:
        """The rows of a batch, as many at a time as may be in memory."""
        validate(batch)
        for at, piece in pieces(batch):
            if piece is None:
                what = f"is larger than {LONGEST_LINE_BYTES >> 20} MiB"
                yield self.problem(f"row {first + at}", what, "write an entry in fewer words")
                continue
            for number, row in enumerate(_rows(piece, fields), start=first + at):
                yield Row(number=number, place=f"row {number}", fields=row, guessed=guessed)

    def _column_problems(self, columns: list[str], types: "Sequence[pa.DataType]") -> Iterator[Found]:
        if len(columns) > MOST_COLUMNS:
            remedy = f"write only the fields of an entry: {', '.join(FIELDS)}"
            yield self.problem("", f"has {len(columns):,} columns, more than {MOST_COLUMNS:,}", remedy)
            return
        yield from self._unknown_fields("", dict.fromkeys(columns))
        for name in sorted(set(columns) & set(FIELDS)):
            if columns.count(name) > 1:
                yield self.problem("", f"column {shown(name)} stands twice", "remove one of them")
        for name, kind in zip(columns, types, strict=True):
            if name in FIELDS and not is_plain(kind):
                what = f"column {shown(name)} is of a type that no entry has"
                yield self.problem("", what, "write it as text", field=name)


class Parquet(Arrow):
    """The same in Parquet."""

    name = "Parquet file"

    def _open(self, stream: BinaryIO) -> "Table":
        from pyarrow import parquet

        look_at_footer(stream)
        metadata = parquet.read_metadata(stream)
        leaves = [metadata.schema.column(index) for index in range(len(metadata.schema))]
        # A text that stands in a dictionary is in memory once, however many rows have it.
        shared = _with_shared_prefixes(metadata)
        texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY" and leaf.path not in shared]
        file = parquet.ParquetFile(stream, metadata=metadata, read_dictionary=texts, buffer_size=BUFFER_BYTES)
        schema = file.schema_arrow

        def batches(fields: dict[str, str]) -> "Iterator[pa.RecordBatch]":
            paths = frozenset(leaf.path for leaf in leaves if leaf.path.partition(".")[0] in fields)
            rows = rows_at_a_time(stream, metadata, paths, ROWS_A_PIECE)
            return file.iter_batches(batch_size=rows, columns=list(fields), use_threads=False)

        return Table(schema.names, schema.types, batches)


def _with_shared_prefixes(metadata: "FileMetaData") -> set[str]:
    """Columns of an encoding that cannot be read as a dictionary."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    chunks = (group.column(index) for group in groups for index in range(group.num_columns))
    return {chunk.path_in_schema for chunk in chunks if shares_prefixes(chunk)}


@dataclass(frozen=True, slots=True)
class Table:
    """An open file: its columns, and its rows, of the columns that are named."""

    columns: list[str]
    types: "Sequence[pa.DataType]"
    batches: "Callable[[dict[str, str]], Iterator[pa.RecordBatch]]"


def _meant_columns(columns: list[str], types: "Sequence[pa.DataType]") -> dict[str, str]:
    """Column -> the field that it is, also where it is a typing error; none where too much is wrong."""
    known = [(name, kind) for name, kind in zip(columns, types, strict=True) if name in KNOWN]
    if len(columns) > MOST_COLUMNS or len(dict(known)) < len(known) or not all(is_plain(kind) for _, kind in known):
        return {}
    usable = [name for name, kind in zip(columns, types, strict=True) if columns.count(name) == 1 and is_plain(kind)]
    found = {name: name for name in usable if name in KNOWN}
    for name in usable:
        near = nearest(name, FIELDS) if name not in KNOWN else None
        if near is not None and near not in columns and near not in found.values():
            found[name] = near
    return found


def _rows(piece: "pa.RecordBatch", fields: dict[str, str]) -> Iterator[dict[str, Any]]:
    columns = {field: _values(field, piece.column(name)) for name, field in fields.items()}
    for index in range(piece.num_rows):
        yield {field: values[index] for field, values in columns.items()}


def _values(name: str, column: "pa.Array[Any]") -> list[Any]:
    try:
        values = column.to_pylist()
    except (ValueError, ArithmeticError):  # text that is no UTF-8, a time that Python cannot hold: find the row
        values = [_value(scalar) for scalar in column]
    return [_structured(name, value) for value in values] if name in STRUCTURED_FIELDS else values


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, ArithmeticError) as error:
        reason = str(error).partition("\n")[0][:200]
        return UnreadableValue(f"cannot be read: {reason}", "write the column as UTF-8 text")


def _structured(name: str, value: Any) -> Any:
    if isinstance(value, str):
        try:
            return from_text(name, value)
        except NotJson as error:
            return unreadable_json(error)
    return _without_nulls(value)


def _without_nulls(value: Any) -> Any:
    """Structs have all their keys in every row: those without a value are not meant. A map comes as a list of pairs."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        if value and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
            return _object(value)
        return [_without_nulls(inner) for inner in value]
    return value


def _object(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if key in found:
            found[key] = UnreadableValue(f"key {shown(key)} stands twice", "remove one of them")
        elif value is not None:
            found[key] = _without_nulls(value)
    return found
