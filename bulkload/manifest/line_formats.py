"""CSV and JSON lines: read a row at a time, whatever their size."""

import csv
from collections.abc import Iterator
from typing import BinaryIO

from bulkload.core.frameworks import did_you_mean
from bulkload.core.records import Problem
from bulkload.manifest.rows import FIELDS, LONGEST_LINE_BYTES, Found, NotJson, Reader, Row, from_text, parse_json

BOM = b"\xef\xbb\xbf"
ENCODING = "is not UTF-8"
SAVE_AS_UTF8 = "save the file as UTF-8"


class JsonLines(Reader):
    """One JSON object a line; empty lines count for nothing."""

    def read(self, stream: BinaryIO) -> Iterator[Found]:
        """The rows, streamed."""
        number = 0
        while line := stream.readline(LONGEST_LINE_BYTES + 1):
            number += 1
            place = f"line {number}"
            if len(line) > LONGEST_LINE_BYTES:
                limit = f"{LONGEST_LINE_BYTES // 2**20} MiB"
                yield self.problem(place, f"is longer than {limit}", "write one JSON object a line")
                return
            if number == 1:
                line = line.removeprefix(BOM)
            if line.strip():
                yield from self._row(number, place, line)

    def _row(self, number: int, place: str, line: bytes) -> Iterator[Found]:
        try:
            fields = parse_json(line.decode("utf-8").strip())
        except UnicodeDecodeError:
            yield self.problem(place, ENCODING, SAVE_AS_UTF8)
            return
        except NotJson as error:
            yield self.problem(place, f"is no JSON object: {error}", 'write {"name": ..., "path": ...}')
            return
        if not isinstance(fields, dict):
            yield self.problem(place, "is no JSON object", 'write {"name": ..., "path": ...}')
            return
        if not fields.keys() <= _KNOWN:
            yield from self.unknown_fields(place, fields)
        yield Row(number=number, place=place, fields=fields)


_KNOWN = frozenset(FIELDS)


class Csv(Reader):
    """A header and a row an entry; lists and objects are JSON in their cell; an empty cell is a field not given."""

    def read(self, stream: BinaryIO) -> Iterator[Found]:
        """The rows, streamed; a place is the physical line on which a row begins."""
        # Bytes that are no UTF-8 become surrogates, so that the row that holds them can be named.
        lines = _text_lines(stream)
        reader = csv.reader(lines, strict=True)
        try:
            header = next(reader, None)
            columns = header and [name.strip() for name in header]
            if not columns:
                yield self.problem("", "has no header", "write a first line such as: name,path,framework")
                return
            problems = list(self._header_problems(columns))
            yield from problems
            if problems:
                return
            number = reader.line_num + 1
            for cells in reader:
                yield from self._row(number, columns, cells)
                number = reader.line_num + 1
        except csv.Error as error:
            place = f"line {reader.line_num}"
            yield self.problem(place, f"is no CSV: {error}", "check the quotes: a quote inside a cell is written twice")

    def _header_problems(self, columns: list[str]) -> Iterator[Problem]:
        for name in columns:
            if name not in FIELDS:
                separator = next((sign for sign in ";\t" if sign in name), None)
                remedy = "separate columns with commas" if separator else did_you_mean(name, FIELDS)
                yield self.problem("line 1", f"unknown column {name!r}", remedy)
            elif columns.count(name) > 1:
                yield self.problem("line 1", f"column {name!r} stands twice", "remove one of them")

    def _row(self, number: int, columns: list[str], cells: list[str]) -> Iterator[Found]:
        place = f"line {number}"
        if not any(cells):
            return
        if len(cells) != len(columns):
            what = f"has {len(cells)} cells, the header has {len(columns)}"
            yield self.problem(place, what, "write one cell a column; quote a cell that holds a comma")
            return
        fields = {}
        for name, cell in zip(columns, cells, strict=True):
            if not cell:
                continue
            if not cell.isascii() and any("\udc80" <= character <= "\udcff" for character in cell):
                yield self.problem(place, ENCODING, SAVE_AS_UTF8, field=name)
                return
            try:
                fields[name] = from_text(name, cell)
            except NotJson as error:
                yield self.problem(place, f"is no JSON: {error}", "write a list or object as JSON", field=name)
                return
        yield Row(number=number, place=place, fields=fields)


def _text_lines(stream: BinaryIO) -> Iterator[str]:
    first = True
    while line := stream.readline(LONGEST_LINE_BYTES):
        if first:
            line, first = line.removeprefix(BOM), False
        yield line.decode("utf-8", errors="surrogateescape")
