"""Parquet, looked at before it is read: the footer, and the heads of pages, which say what they will be in memory."""

import base64
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from bulkload.core.bounds import DEEPEST_JSON, LARGEST_BATCH_BYTES, LARGEST_FOOTER_BYTES, MOST_NESTED_VALUES
from bulkload.core.formats.flatbuffers import framed, look_at_schema, message_of
from bulkload.manifest.arrow_stream import TooLarge, refuse_many_rows
from bulkload.manifest.thrift import Cut, Thrift, Wanted

if TYPE_CHECKING:
    from pyarrow.parquet import ColumnChunkMetaData, FileMetaData

_NARROWER = "write only the fields of an entry"
_SMALLER = "write it in smaller row groups, or as .jsonl"
# Statistics stand in the head of a page.
_LONGEST_HEAD_BYTES = 1 << 20
_USUAL_HEAD_BYTES = 1 << 12
_MOST_CHUNKS = 20_000


_FOOTER: Wanted = {2: [{5: int}], 4: [{1: [{}]}], 5: [{1: bytes, 2: bytes}]}
_PAGE: Wanted = {2: int, 3: int, 5: {1: int}, 7: {}, 8: {1: int}}


def look_at_footer(stream: BinaryIO) -> None:
    """Raise ``TooLarge`` for a footer that is large when it is built, ``ValueError`` for what is none."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - 8))
    tail = stream.read(8)
    if size < 12 or tail[4:] not in (b"PAR1", b"PARE"):
        raise ValueError("its end is missing")
    length = int.from_bytes(tail[:4], "little")
    if length > LARGEST_FOOTER_BYTES:
        what = f"its footer has {length:,} bytes, more than {LARGEST_FOOTER_BYTES >> 20} MiB"
        raise TooLarge(what, f"{_NARROWER}, in row groups of 100,000 rows")
    stream.seek(max(0, size - 8 - length))
    if tail[4:] == b"PARE":
        return  # encrypted, which is refused by whoever reads it
    footer = Thrift(stream.read(length)).struct(_FOOTER)
    _look_at_columns([element.get(5, 0) for element in footer.get(2, [])])
    if sum(len(group.get(1, [])) for group in footer.get(4, [])) > _MOST_CHUNKS:
        raise TooLarge(f"has more than {_MOST_CHUNKS:,} pieces of columns", f"{_NARROWER}, in larger row groups")
    for pair in footer.get(5, []):
        if pair.get(1) == b"ARROW:schema":
            _look_at_arrow_schema(pair.get(2, b""))


def _look_at_columns(children: list[int]) -> None:
    """The schema is a tree, written from above: each element says how many follow below it."""
    below: list[int] = []
    for count in children:
        while below and below[-1] == 0:
            below.pop()
        if below:
            below[-1] -= 1
        if count:
            below.append(count)
        if len(below) > DEEPEST_JSON:
            raise TooLarge(f"its columns are nested deeper than {DEEPEST_JSON}", _NARROWER)


def _look_at_arrow_schema(text: bytes) -> None:
    try:
        look_at_schema(message_of(framed(base64.b64decode(text))).header)
    except ValueError as error:
        raise TooLarge(f"its Arrow schema is too large: {error}", _NARROWER) from None


def rows_at_a_time(stream: BinaryIO, metadata: "FileMetaData", columns: frozenset[str], most: int) -> int:
    """How many rows may be read at a time, of the named leaf columns.

    Raises ``TooLarge`` where one alone would be too large, or a page or a row group is.
    """
    size = stream.seek(0, os.SEEK_END)
    refuse_many_rows(metadata.num_rows, size)
    rows = most
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        memory = repeated = largest = 0
        for index in range(group.num_columns):
            chunk = group.column(index)
            if chunk.path_in_schema not in columns:
                continue
            pages = _Pages(stream, chunk, size)
            memory += pages.largest + pages.dictionary
            if metadata.schema.column(index).max_repetition_level:
                repeated += max(pages.values, chunk.num_values)
            largest += pages.largest_value(metadata.schema.column(index).length)
        if memory > LARGEST_BATCH_BYTES:
            raise TooLarge(f"a row group has pages of more than {LARGEST_BATCH_BYTES >> 20} MiB", _SMALLER)
        if repeated > MOST_NESTED_VALUES:
            raise TooLarge(f"a row group has {repeated:,} nested values", _SMALLER)
        rows = min(rows, max(1, LARGEST_BATCH_BYTES // 8 // max(1, largest)))
    return rows


def shares_prefixes(chunk: "ColumnChunkMetaData") -> bool:
    """Whether a text may be written as what it adds to the one before."""
    return "DELTA_BYTE_ARRAY" in chunk.encodings


class _Pages:
    """The heads of the pages of one column in one row group."""

    def __init__(self, stream: BinaryIO, chunk: "ColumnChunkMetaData", size: int) -> None:
        self.largest = self.dictionary = self.values = 0
        # Prefixes are shared: a value may be as large as its page, again and again.
        self._shares = shares_prefixes(chunk)
        if chunk.num_values <= 0:
            return
        start = chunk.data_page_offset
        if chunk.dictionary_page_offset:
            start = min(start, chunk.dictionary_page_offset)
        for head in _heads(stream, start, min(size, start + max(0, chunk.total_compressed_size))):
            memory = max(head.get(2, 0), head.get(3, 0))
            if 7 in head:
                self.dictionary = max(self.dictionary, memory)
            else:
                self.largest = max(self.largest, memory)
            for kind in (5, 8):
                self.values += max(0, head.get(kind, {}).get(1, 0))
            if self.values >= chunk.num_values:
                return  # as whoever reads them stops

    def largest_value(self, fixed: int | None) -> int:
        """What each row may take beyond what its page has; texts in dictionaries are not written out."""
        return max(self.largest if self._shares else 0, fixed or 0)


def _heads(stream: BinaryIO, at: int, end: int) -> Iterator[dict[int, Any]]:
    while at < end:
        head, length = _head(stream, at)
        yield head
        at += length + max(0, head.get(3, 0))


def _head(stream: BinaryIO, at: int) -> tuple[dict[int, Any], int]:
    window = _USUAL_HEAD_BYTES
    while True:
        stream.seek(at)
        reader = Thrift(stream.read(window))
        try:
            return reader.struct(_PAGE), reader.at
        except Cut:
            if window >= _LONGEST_HEAD_BYTES or len(reader.data) < window:
                raise
            window = _LONGEST_HEAD_BYTES
