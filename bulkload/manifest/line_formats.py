"""CSV and JSON lines: read a row at a time, whatever their size."""

import csv
from collections.abc import Iterator
from typing import Any, BinaryIO

from bulkload.core.bounds import LARGEST_DOCUMENT_BYTES, LONGEST_CELL_CHARACTERS, LONGEST_LINE_BYTES, MOST_COLUMNS
from bulkload.core.model.records import Problem
from bulkload.core.text.words import did_you_mean, nearest, shown
from bulkload.manifest.json_text import NotJson, from_text, parse_line, unreadable_json
from bulkload.manifest.rows import (
    BOM,
    FIELDS,
    KNOWN,
    NOT_UTF8,
    SAVE_AS_UTF8,
    Found,
    Reader,
    Row,
    UnreadableValue,
)

PIECE_BYTES = 1 << 16
KNOWN_COLUMNS = f"write only the fields of an entry: {', '.join(FIELDS)}"
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
                if not _skip_line(stream):
                    return
                continue
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


def _skip_line(stream: BinaryIO) -> bool:
    """Read to the end of a line that is too long; False where it goes on without end."""
    for _ in range(LARGEST_DOCUMENT_BYTES // PIECE_BYTES):
        piece = stream.readline(PIECE_BYTES)
        if not piece or piece.endswith(b"\n"):
            return True
    return False


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
            if not _is_readable(columns):
                return
            columns = _meant_columns(columns)
            guessed = bool(problems)
            number = reader.line_num + 1
            for cells in reader:
                yield from self._row(number, columns, cells, guessed=guessed)
                number = reader.line_num + 1
        except csv.Error as error:
            remedy = "check the quotes: a quote inside a cell is written twice; end lines with a line feed"
            what = f"is no CSV: {error}"
            if "field limit" in str(error):
                what = f"a cell is longer than {LONGEST_CELL_CHARACTERS >> 20} MiB"
            yield self.problem(f"line {number}", what, remedy)
        except _LineTooLong:
            yield self.problem(f"line {number}", TOO_LONG, "write one row a line")

    def _header_problems(self, columns: list[str]) -> Iterator[Problem]:
        place = "line 1"
        if not any(columns):
            yield self.problem(place, "has no header", "write a first line such as: name,path,framework")
            return
        if len(columns) > MOST_COLUMNS:
            yield self.problem(place, f"has {len(columns):,} columns, more than {MOST_COLUMNS:,}", KNOWN_COLUMNS)
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
                what = f"unknown column {shown(name)}"
                yield self.problem(place, what, remedy, kind=what)
            seen.add(name)

    def _row(self, number: int, columns: list[str], cells: list[str], *, guessed: bool) -> Iterator[Found]:
        if not any(cells) or not "".join(cells).strip():
            return
        place = f"line {number}"
        if len(cells) != len(columns):
            what = f"has {len(cells)} cells, the header has {len(columns)}"
            yield self.problem(place, what, "write one cell a column; quote a cell that holds a comma")
            return
        fields = {name: _cell(name, cell) for name, cell in zip(columns, cells, strict=True) if cell and name}
        yield Row(number=number, place=place, fields=fields, guessed=guessed)


def _is_readable(columns: list[str]) -> bool:
    """Whether rows can be checked below this header: it is in UTF-8 and has a column that is known."""
    meant_columns = _meant_columns(columns) if len(columns) <= MOST_COLUMNS else []
    return any(meant_columns) and not any(map(_holds_other_bytes, columns))


def _meant_columns(columns: list[str]) -> list[str]:
    """The field of each column; empty for one that is not known, or there already."""
    found = [name if name in KNOWN and name not in columns[:at] else "" for at, name in enumerate(columns)]
    for at, name in enumerate(columns):
        near = nearest(name, FIELDS) if name not in KNOWN else None
        if near is not None and near not in found:
            found[at] = near
    return found


def _cell(name: str, cell: str) -> Any:
    if _holds_other_bytes(cell):
        return UnreadableValue(NOT_UTF8, SAVE_AS_UTF8)
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
