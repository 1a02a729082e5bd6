"""Parquet and Arrow IPC (Feather): read a batch at a time."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from bulkload.manifest.rows import STRUCTURED_FIELDS, Found, NotJson, Reader, Row, from_text

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_A_BATCH = 1024


class Arrow(Reader):
    """A column a field; lists and objects are nested columns or JSON text."""

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
            number = 0
            for batch in batches:
                for fields in batch.to_pylist():
                    number += 1
                    yield from self._row(number, fields)
        except (pa.ArrowException, OSError, EOFError, ValueError) as error:
            first = str(error).partition("\n")[0]
            yield self.problem("", f"is no whole {self.name}: {first}", "write it anew")

    def _open(self, stream: BinaryIO) -> "tuple[list[str], Iterable[pa.RecordBatch]]":
        import pyarrow as pa

        reader = pa.ipc.open_file(pa.PythonFile(stream, mode="r"))
        return reader.schema.names, (reader.get_batch(index) for index in range(reader.num_record_batches))

    def _column_problems(self, columns: list[str]) -> Iterator[Found]:
        yield from self.unknown_fields("", dict.fromkeys(columns))
        for name in sorted(set(columns)):
            if columns.count(name) > 1:
                yield self.problem("", f"column {name!r} stands twice", "remove one of them")

    def _row(self, number: int, fields: dict[str, Any]) -> Iterator[Found]:
        place = f"row {number}"
        for name in STRUCTURED_FIELDS:
            value = fields.get(name)
            try:
                if isinstance(value, str):
                    fields[name] = from_text(name, value)
                elif isinstance(value, list) and name == "labels":
                    fields[name] = dict(value)  # a map column
            except NotJson as error:
                yield self.problem(place, f"is no JSON: {error}", "write a list or object as JSON", field=name)
                return
            except (TypeError, ValueError):
                yield self.problem(place, f"{value!r} is no object", "use a struct, a map or JSON text", field=name)
                return
        yield Row(number=number, place=place, fields=fields)


class Parquet(Arrow):
    """The same in Parquet."""

    name = "Parquet file"

    def _open(self, stream: BinaryIO) -> "tuple[list[str], Iterable[pa.RecordBatch]]":
        from pyarrow import parquet

        file = parquet.ParquetFile(stream)
        return file.schema_arrow.names, file.iter_batches(batch_size=ROWS_A_BATCH)
