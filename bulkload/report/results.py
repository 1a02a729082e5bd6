"""The results of a ledger: a table for people, rows for programs."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from bulkload.core.model.units import show_bytes, show_duration
from bulkload.core.text.visible import spreadsheet_cell
from bulkload.ledger.reader import RESULT_COLUMNS
from bulkload.report.fitting import Fit, print_fitted
from bulkload.report.sink import Stream, as_json
from bulkload.report.tables import Column, Rows, one_line

if TYPE_CHECKING:
    import pyarrow as pa

# Of the columns: 1 was that of 0.1. One more column, last, is one more.
SCHEMA_VERSION = 2

Row = tuple[Any, ...]
Columns = Sequence[str]

# Types of columns, where they are no text; docs/results.md has them.
_TYPES = {
    **dict.fromkeys(("line", "workspace_id", "size", "version_id", "attempts"), "integer"),
    **dict.fromkeys(("upload_seconds", "convert_seconds"), "number"),
    "adopted": "boolean",
    "labels": "object",
}


def type_of(column: str) -> str:
    """The type of a column's values in JSON."""
    return _TYPES.get(column, "text")


def as_object(row: Row, columns: Columns = RESULT_COLUMNS) -> dict[str, Any]:
    """A row as an object: ``labels`` as an object too, ``adopted`` as a boolean."""
    values = dict(zip(columns, row, strict=True))
    if "labels" in values:
        values["labels"] = msgspec.json.decode(values["labels"])
    if "adopted" in values:
        values["adopted"] = bool(values["adopted"])
    return values


def write_jsonl(rows: Iterable[Row], stream: BinaryIO, columns: Columns = RESULT_COLUMNS) -> None:
    """One JSON object a line."""
    stream.writelines(as_json(as_object(row, columns)) + b"\n" for row in rows)


def write_json(rows: Iterable[Row], stream: BinaryIO, columns: Columns = RESULT_COLUMNS) -> None:
    """One JSON array, an object a line."""
    before = b"[\n"
    for row in rows:
        stream.write(before + as_json(as_object(row, columns)))
        before = b",\n"
    stream.write(b"[]\n" if before == b"[\n" else b"\n]\n")


def write_csv(
    rows: Iterable[Row], stream: BinaryIO, columns: Columns = RESULT_COLUMNS, *, for_spreadsheet: bool = False
) -> None:
    """A header and a row an entry; ``labels`` is JSON.

    ``for_spreadsheet``: no text is one that a spreadsheet would calculate. Each stands in quotes, for where a semicolon
    parts cells, too.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
    if for_spreadsheet:
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        rows = (tuple(map(_uncalculated, row)) for row in rows)
    else:
        writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    text.flush()
    text.detach()


def _uncalculated(cell: Any) -> Any:
    return spreadsheet_cell(cell) if isinstance(cell, str) else cell


ROWS_A_BATCH = 10_000


def parquet_schema(columns: Columns = RESULT_COLUMNS) -> "pa.Schema":
    """The columns as Arrow has them; ``labels`` is JSON text."""
    import pyarrow as pa

    kinds: dict[str, pa.DataType] = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
    fields = [(name, kinds.get(type_of(name), pa.string())) for name in columns]
    return pa.schema(fields, metadata={"bulkload.results.schema": str(SCHEMA_VERSION)})


def write_parquet(rows: Iterable[Row], stream: BinaryIO, columns: Columns = RESULT_COLUMNS) -> None:
    """A Parquet file, written a batch at a time."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = parquet_schema(columns)
    with parquet.ParquetWriter(stream, schema) as writer:
        for batch in _batches(rows):
            objects = [dict(zip(columns, row, strict=True)) for row in batch]
            for values in objects:
                if "adopted" in values:
                    values["adopted"] = bool(values["adopted"])
            writer.write_table(pa.Table.from_pylist(objects, schema=schema))


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == ROWS_A_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


# The columns of the table where none are named, and what they are called there.
TABLE_COLUMNS = ("line", "name", "version_label", "framework", "size", "state", "version_id", "message")
_HEADINGS = {"version_label": "label", "version_id": "version"}
_NOTES = ("message", "logs")
_FIT = Fit(narrowed=(("framework", 12),), spare=("size", "framework", "label", "line"), folded="name", folded_to=8)
# What somebody named stays.
_FIT_NAMED = Fit(folded="name", folded_to=8, empty_too=True)


def print_table(read: Callable[[], Iterable[Row]], stream: Stream, columns: Columns | None = None) -> None:
    """A table for people. ``read`` gives the rows of ``columns`` (None: TABLE_COLUMNS) from the first, each time."""
    headings = dict.fromkeys(columns, "") if columns is not None else _HEADINGS
    shown = columns or TABLE_COLUMNS
    set_ = [
        Column(headings.get(name) or name, right=type_of(name) in ("integer", "number"), note=name in _NOTES)
        for name in shown
    ]
    cells = [_CELLS.get(name, _text) for name in shown]
    rows = Rows(lambda: ([cell(value) for cell, value in zip(cells, row, strict=True)] for row in read()))
    print_fitted(set_, rows, stream, _FIT if columns is None else _FIT_NAMED)


def _text(value: Any) -> str:
    return "" if value is None else one_line(str(value))


_CELLS: dict[str, Callable[[Any], str]] = {
    "line": lambda value: str(value or "-"),
    "version_id": lambda value: str(value or ""),
    "size": lambda value: "" if value is None else show_bytes(value),
    "adopted": lambda value: "yes" if value else "no",
    **dict.fromkeys(("upload_seconds", "convert_seconds"), lambda value: "" if value is None else show_duration(value)),
}
