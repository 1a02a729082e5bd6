"""The results of a ledger: a table for people, rows for programs."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import msgspec

from bulkload.core.model.units import show_bytes
from bulkload.core.text.visible import spreadsheet_cell
from bulkload.ledger.reader import RESULT_COLUMNS
from bulkload.report.fitting import Fit, print_fitted
from bulkload.report.sink import Stream, as_json
from bulkload.report.tables import Column, one_line

Row = tuple[Any, ...]


def as_object(row: Row) -> dict[str, Any]:
    """A row as an object: ``labels`` as an object too, ``adopted`` as a boolean."""
    values = dict(zip(RESULT_COLUMNS, row, strict=True))
    values["labels"] = msgspec.json.decode(values["labels"])
    values["adopted"] = bool(values["adopted"])
    return values


def write_jsonl(rows: Iterable[Row], stream: BinaryIO) -> None:
    """One JSON object a line."""
    stream.writelines(as_json(as_object(row)) + b"\n" for row in rows)


def write_json(rows: Iterable[Row], stream: BinaryIO) -> None:
    """One JSON array, an object a line."""
    before = b"[\n"
    for row in rows:
        stream.write(before + as_json(as_object(row)))
        before = b",\n"
    stream.write(b"[]\n" if before == b"[\n" else b"\n]\n")


def write_csv(rows: Iterable[Row], stream: BinaryIO, *, for_spreadsheet: bool = False) -> None:
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
    writer.writerow(RESULT_COLUMNS)
    writer.writerows(rows)
    text.flush()
    text.detach()


def _uncalculated(cell: Any) -> Any:
    return spreadsheet_cell(cell) if isinstance(cell, str) else cell


_INTEGERS = {"line", "workspace_id", "size", "version_id", "attempts"}
_FLOATS = {"upload_seconds", "convert_seconds"}
ROWS_A_BATCH = 10_000


def write_parquet(rows: Iterable[Row], stream: BinaryIO) -> None:
    """A Parquet file, written a batch at a time; ``labels`` is JSON text."""
    import pyarrow as pa
    from pyarrow import parquet

    def kind(name: str) -> pa.DataType:
        if name in _INTEGERS:
            return pa.int64()
        return pa.float64() if name in _FLOATS else pa.bool_() if name == "adopted" else pa.string()

    schema = pa.schema([(name, kind(name)) for name in RESULT_COLUMNS])
    with parquet.ParquetWriter(stream, schema) as writer:
        for batch in _batches(rows):
            objects = [dict(zip(RESULT_COLUMNS, row, strict=True)) for row in batch]
            for values in objects:
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


_TABLE = ("line", "name", "version_label", "framework", "size", "state", "version_id", "message")
_COLUMNS = (
    Column("line", right=True), Column("name"), Column("label"), Column("framework"), Column("size", right=True),
    Column("state"), Column("version", right=True), Column("message", note=True),
)  # fmt: skip
_FIT = Fit(
    narrowed=(("name", 26), ("label", 8), ("framework", 12), ("name", 12)),
    spare=("label", "size", "framework"),
    folded="name",
)


def print_table(rows: Iterable[Row], stream: Stream) -> None:
    """A table for people."""
    positions = [RESULT_COLUMNS.index(name) for name in _TABLE]
    print_fitted(_COLUMNS, (_cells(*(row[index] for index in positions)) for row in rows), stream, _FIT)


def _cells(line: int | None, name: str, label: str | None, framework: str, size: int | None, *rest: Any) -> list[str]:
    state, version_id, message = rest
    shown = "" if size is None else show_bytes(size)
    return [
        str(line or "-"),
        name,
        label or "",
        framework,
        shown,
        state,
        str(version_id or ""),
        one_line(message or ""),
    ]
