"""Parquet and Arrow IPC (Feather): read a batch at a time."""

from collections.abc import Iterable, Iterator
from io import IOBase
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from bulkload.core.bounds import MOST_COLUMNS
from bulkload.core.words import shown
from bulkload.manifest.json_text import NotJson, from_text, unreadable_json
from bulkload.manifest.rows import (
    FIELDS,
    STRUCTURED_FIELDS,
    Found,
    Reader,
    Unreadable,
)

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_A_PIECE = 1024


class Arrow(Reader):
    """A column a field; lists and objects are nested columns or JSON text. A null in them is no value at all."""

    # What pyarrow opens the file with; said by the two formats.
    name = "Arrow IPC file"

    def read(self, stream: BinaryIO) -> Iterator[Found]:
        """The rows, streamed."""
        import pyarrow as pa

        try:
            columns, batches = self._open(stream)
            problems = list(self._column_problems(columns))
            yield from problems
            if problems:
                return
            first = 1
            for batch in batches:
                _validate(batch)
                # A file may be one batch of a million rows.
                for offset in range(0, batch.num_rows, ROWS_A_PIECE):
                    piece = batch.slice(offset, ROWS_A_PIECE)
                    for number, fields in enumerate(_rows(piece), start=first):
                        yield from self.row(number, f"row {number}", fields)
                    first += piece.num_rows
        except (pa.ArrowException, OSError, EOFError, ValueError, MemoryError) as error:
            reason = str(error).partition("\n")[0][:200]
            yield self.problem("", f"is no whole {self.name}: {reason}", "write it anew")

    def _open(self, stream: BinaryIO) -> "tuple[list[str], Iterable[pa.RecordBatch]]":
        import pyarrow as pa

        reader = pa.ipc.open_file(pa.PythonFile(cast("IOBase", stream), mode="r"))
        return reader.schema.names, (reader.get_batch(index) for index in range(reader.num_record_batches))

    def _column_problems(self, columns: list[str]) -> Iterator[Found]:
        if len(columns) > MOST_COLUMNS:
            remedy = f"write only the fields of an entry: {', '.join(FIELDS)}"
            yield self.problem("", f"has {len(columns):,} columns, more than {MOST_COLUMNS:,}", remedy)
            return
        yield from self._unknown_fields("", dict.fromkeys(columns))
        for name in sorted(set(columns) & set(FIELDS)):
            if columns.count(name) > 1:
                yield self.problem("", f"column {shown(name)} stands twice", "remove one of them")


class Parquet(Arrow):
    """The same in Parquet."""

    name = "Parquet file"

    def _open(self, stream: BinaryIO) -> "tuple[list[str], Iterable[pa.RecordBatch]]":
        from pyarrow import parquet

        file = parquet.ParquetFile(stream)
        return file.schema_arrow.names, file.iter_batches(batch_size=ROWS_A_PIECE)


def _validate(batch: "pa.RecordBatch") -> None:
    """Offsets that lead outside of a damaged file would crash the process, not raise. Raises ``ArrowInvalid``."""
    import pyarrow as pa

    for column in batch.columns:
        # Text that is no UTF-8 is harmless as bytes: its row will be named.
        if pa.types.is_string(column.type):
            column.view(pa.binary()).validate(full=True)
        elif pa.types.is_large_string(column.type):
            column.view(pa.large_binary()).validate(full=True)
        else:
            column.validate(full=True)


def _rows(piece: "pa.RecordBatch") -> Iterator[dict[str, Any]]:
    columns = {name: _values(name, piece.column(name)) for name in piece.schema.names}
    for index in range(piece.num_rows):
        yield {name: values[index] for name, values in columns.items()}


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
        return Unreadable(f"cannot be read: {reason}", "write the column as UTF-8 text")


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
            found[key] = Unreadable(f"key {shown(key)} stands twice", "remove one of them")
        elif value is not None:
            found[key] = _without_nulls(value)
    return found
