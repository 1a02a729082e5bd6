"""CSV and JSON lines: read a row at a time, whatever their size."""

import csv
from collections.abc import Iterator
from typing import Any, BinaryIO

from bulkload.core.bounds import LONGEST_CELL_CHARACTERS, LONGEST_LINE_BYTES
from bulkload.core.records import Problem
from bulkload.core.words import did_you_mean, shown
from bulkload.manifest.rows import (
    BOM,
    FIELDS,
    KNOWN,
    NOT_UTF8,
    SAVE_AS_UTF8,
    Found,
    NotJson,
    Reader,
    Row,
    Unreadable,
    from_text,
    parse_line,
    unreadable_json,
)

TOO_LONG = f"is longer than {LONGEST_LINE_BYTES // 2**20} MiB"


class JsonLines(Reader):
    """One JSON object a line; empty lines count for nothing."""

    def read(self, stream: BinaryIO) -> Iterator[Found]:
        """The rows, streamed."""
        number = 0
        while line := stream.readline(LONGEST_LINE_BYTES + 1):
            number += 1
            place = f"line {number}"
            if len(line) > LONGEST_LINE_BYTES:
                yield self.problem(place, TOO_LONG, "write one JSON object a line")
                return
            if number == 1:
                line = line.removeprefix(BOM)
            if line.isspace() or not line:
                continue
            fields = self._fields(place, line)
            if isinstance(fields, Problem):
                yield fields
            elif fields.keys() <= KNOWN:
                # Not by way of ``row``: a million lines are right.
                yield Row(number=number, place=place, fields=fields)
            else:
                yield from self.row(number, place, fields)

    def _fields(self, place: str, line: bytes) -> dict[str, Any] | Problem:
        form = 'write {"name": ..., "path": ...} on one line'
        try:
            fields = parse_line(line)
        except UnicodeDecodeError:
            return self.problem(place, NOT_UTF8, SAVE_AS_UTF8)
        except NotJson as error:
            return self.problem(place, f"is no JSON object: {error}", form)
        return fields if isinstance(fields, dict) else self.problem(place, "is no JSON object", form)


class _LineTooLong(Exception):
    """A line that would have to be held in memory."""


def _allow_long_cells() -> None:
    """The module's own limit is 131,072 characters, and the whole process's: it is raised, never lowered."""
    if csv.field_size_limit() < LONGEST_CELL_CHARACTERS:
        csv.field_size_limit(LONGEST_CELL_CHARACTERS)


class Csv(Reader):
    """A header and a row an entry; lists and objects are JSON in their cell; an empty cell is a field not given."""

    def read(self, stream: BinaryIO) -> Iterator[Found]:
        """The rows, streamed; a place is the physical line on which a row begins."""
        _allow_long_cells()
        reader = csv.reader(_text_lines(stream), strict=True)
        number = 1
        try:
            header = next(reader, None)
            if header is None:
                return
            columns = [name.strip() for name in header]
            problems = list(self._header_problems(columns))
            yield from problems
            if problems:
                return
            number = reader.line_num + 1
            for cells in reader:
                yield from self._row(number, columns, cells)
                number = reader.line_num + 1
        except csv.Error as error:
            remedy = "check the quotes: a quote inside a cell is written twice; end lines with a line feed"
            yield self.problem(f"line {number}", f"is no CSV: {error}", remedy)
        except _LineTooLong:
            yield self.problem(f"line {number}", TOO_LONG, "write one row a line")

    def _header_problems(self, columns: list[str]) -> Iterator[Problem]:
        place = "line 1"
        if not any(columns):
            yield self.problem(place, "has no header", "write a first line such as: name,path,framework")
            return
        seen = set()
        for number, name in enumerate(columns, start=1):
            if not name:
                yield self.problem(place, f"column {number} has no name", "name it, or remove the column")
            elif _holds_other_bytes(name):
                yield self.problem(place, NOT_UTF8, SAVE_AS_UTF8)
            elif name in seen:
                yield self.problem(place, f"column {shown(name)} stands twice", "remove one of them")
            elif name not in FIELDS:
                separated = any(sign in name for sign in ";\t|")
                remedy = "separate columns with commas" if separated else did_you_mean(name, FIELDS)
                yield self.problem(place, f"unknown column {shown(name)}", remedy)
            seen.add(name)

    def _row(self, number: int, columns: list[str], cells: list[str]) -> Iterator[Found]:
        if not any(cells) or not "".join(cells).strip():
            return
        place = f"line {number}"
        if len(cells) != len(columns):
            what = f"has {len(cells)} cells, the header has {len(columns)}"
            yield self.problem(place, what, "write one cell a column; quote a cell that holds a comma")
            return
        fields = {name: _cell(name, cell) for name, cell in zip(columns, cells, strict=True) if cell}
        yield Row(number=number, place=place, fields=fields)


def _cell(name: str, cell: str) -> Any:
    if _holds_other_bytes(cell):
        return Unreadable(NOT_UTF8, SAVE_AS_UTF8)
    try:
        return from_text(name, cell)
    except NotJson as error:
        return unreadable_json(error)


def _holds_other_bytes(text: str) -> bool:
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)


def _text_lines(stream: BinaryIO) -> Iterator[str]:
    """Bytes that are no UTF-8 become surrogates, so that the cell that holds them can be named."""
    first = True
    while line := stream.readline(LONGEST_LINE_BYTES + 1):
        if len(line) > LONGEST_LINE_BYTES:
            raise _LineTooLong
        if first:
            line, first = line.removeprefix(BOM), False
        yield line.decode("utf-8", errors="surrogateescape")
