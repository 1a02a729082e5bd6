"""The results of a ledger: a table for people, rows for programs."""

import csv
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, TextIO

import msgspec

from bulkload.core.units import show_bytes
from bulkload.ledger.reading import RESULT_COLUMNS

Row = tuple[Any, ...]


def as_object(row: Row) -> dict[str, Any]:
    """A row as an object: ``labels`` as an object too, ``adopted`` as a boolean."""
    values = dict(zip(RESULT_COLUMNS, row, strict=True))
    values["labels"] = msgspec.json.decode(values["labels"])
    values["adopted"] = bool(values["adopted"])
    return values


def write_jsonl(rows: Iterable[Row], stream: BinaryIO) -> None:
    """One JSON object a line."""
    stream.writelines(msgspec.json.encode(as_object(row)) + b"\n" for row in rows)


def write_csv(rows: Iterable[Row], stream: TextIO) -> None:
    """A header and a row an entry; ``labels`` is JSON."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(RESULT_COLUMNS)
    writer.writerows(rows)


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
_STYLES = {"ready": "green", "skipped": "green", "error": "red", "failed": "red", "in_doubt": "yellow"}


def print_table(rows: Iterable[Row], stream: TextIO) -> None:
    """A table for people: cut to the terminal's width; whole lines where there is no terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("line", "name", "label", "framework", "size", "state", "version", "message"):
        table.add_column(
            heading,
            justify="right" if heading in ("line", "size", "version") else "left",
            no_wrap=heading != "message",
            overflow="ellipsis" if heading == "name" else "fold",
        )
    positions = [RESULT_COLUMNS.index(name) for name in _TABLE]
    for row in rows:
        line, name, label, framework, size, state, version_id, message = (row[index] for index in positions)
        table.add_row(
            str(line or "-"),
            Text(name),
            Text(label or ""),
            framework,
            "" if size is None else show_bytes(size),
            Text(state, style=_STYLES.get(state, "")),
            str(version_id or ""),
            Text(message or ""),
        )
    console = Console(file=stream)
    if not console.is_terminal:
        # A file or a pipe has no width: nothing is cut or wrapped.
        console = Console(file=stream, width=10_000)
    console.print(table)
