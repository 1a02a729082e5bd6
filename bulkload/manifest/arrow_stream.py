"""Arrow IPC, looked at a message at a time before Arrow reads it: what is small in a file may be large in memory."""

import os
import struct
from typing import BinaryIO

from bulkload.core.bounds import LARGEST_BATCH_BYTES, LARGEST_SCHEMA_BYTES
from bulkload.core.formats.flatbuffers import DICTIONARY, RECORDS, SCHEMA, Message, Table, look_at_schema, message_of

MAGIC = b"ARROW1"
CONTINUES = b"\xff\xff\xff\xff"
_BUFFER = struct.Struct("<qq")
# A message's own description: a few bytes a column.
_LARGEST_METADATA_BYTES = LARGEST_SCHEMA_BYTES // 8


class TooLarge(ValueError):
    """What would be too large when it is read; the message says what, ``remedy`` what to do."""

    def __init__(self, what: str, remedy: str = "write it in smaller batches, or as .jsonl") -> None:
        super().__init__(what)
        self.remedy = remedy


class ArrowStream:
    """The messages of an open file, for ``pyarrow.ipc.open_stream``; those of the file format, too.

    Raises ``ValueError`` and ``TooLarge`` while it is read.
    """

    def __init__(self, stream: BinaryIO, *, schema_only: bool = False) -> None:
        self._stream = stream
        self._schema_only = schema_only
        self._ahead = b""
        self._body_left = 0
        self._ended = False
        self._dictionaries = 0
        self._rows = 0
        self._size = stream.seek(0, os.SEEK_END)
        self.closed = False
        self._begin()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        if not self._ahead and not self._body_left and not self._ended:
            self._next_message()
        if self._ahead:
            found, self._ahead = self._ahead[:size], self._ahead[size:]
            return found
        wanted = self._body_left if size < 0 else min(size, self._body_left)
        found = self._stream.read(wanted)
        self._body_left = self._body_left - len(found) if found else 0
        return found

    def readable(self) -> bool:
        """As files say it."""
        return True

    def seekable(self) -> bool:
        """It is read once."""
        return False

    def close(self) -> None:
        """The stream is its owner's."""
        self.closed = True

    def _begin(self) -> None:
        self._stream.seek(0)
        if self._stream.read(len(MAGIC)) != MAGIC:
            self._stream.seek(0)
            return
        self._stream.seek(max(0, self._size - len(MAGIC)))
        if not self._schema_only and (self._size < 2 * len(MAGIC) + 4 or self._stream.read(len(MAGIC)) != MAGIC):
            raise ValueError("its end is missing")
        self._stream.seek(8)

    def _next_message(self) -> None:
        prefix = self._stream.read(4)
        if prefix == CONTINUES:
            prefix += self._stream.read(4)
        length = int.from_bytes(prefix[-4:], "little", signed=True) if len(prefix) in (4, 8) else 0
        if length <= 0:
            self._ahead, self._ended = prefix, True
            return
        if length > self._size:
            raise ValueError("a message is cut off")
        if length > _LARGEST_METADATA_BYTES:
            raise TooLarge(f"a message is described by {length:,} bytes", "write only the fields of an entry")
        metadata = self._stream.read(length)
        message = message_of(metadata)
        self._look_at(message)
        self._ahead = prefix + metadata
        self._body_left = 0 if self._schema_only else message.body_bytes

    def _look_at(self, message: Message) -> None:
        if message.kind == SCHEMA:
            try:
                look_at_schema(message.header)
            except ValueError as error:
                raise TooLarge(f"its schema is too large: {error}", "write only the fields of an entry") from None
            return
        records = message.header.table(1) if message.kind == DICTIONARY else message.header
        if message.kind not in (DICTIONARY, RECORDS) or records is None:
            raise ValueError("a message is of no known kind")
        size = self._memory(records, message.body_bytes)
        if message.kind == DICTIONARY:
            self._dictionaries += size
        else:
            self._rows += records.number(0, "<q")
            refuse_many_rows(self._rows, self._size)
        if size + self._dictionaries > LARGEST_BATCH_BYTES:
            raise TooLarge(f"a batch of rows has more than {LARGEST_BATCH_BYTES >> 20} MiB in memory")

    def _memory(self, records: Table, body_bytes: int) -> int:
        """What a batch takes when it is read and decompressed."""
        if body_bytes < 0:
            raise ValueError("a body is smaller than nothing")
        if records.place(3) is None:
            return body_bytes
        start, count = records.vector(2)
        body = self._stream.tell()
        total = body_bytes
        for number in range(count):
            offset, length = _BUFFER.unpack_from(records.data, start + _BUFFER.size * number)
            if length >= 8 and 0 <= offset < body_bytes:
                self._stream.seek(body + offset)
                total += max(0, int.from_bytes(self._stream.read(8), "little", signed=True))
            if total > LARGEST_BATCH_BYTES:
                break
        self._stream.seek(body)
        return total


def refuse_many_rows(rows: int, file_bytes: int) -> None:
    """Raise ``TooLarge`` for rows that are not in the file, but only counted there."""
    if rows < 0 or rows > max(1_000_000, file_bytes):
        raise TooLarge(f"holds {rows:,} rows in {file_bytes:,} bytes", "write one row an entry")
