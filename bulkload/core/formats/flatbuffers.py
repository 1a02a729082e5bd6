"""Arrow's own descriptions (flatbuffers), looked at before Arrow builds them: a few bytes can describe gigabytes.

A table may be named by many others, so that what is written once is built any number of times. Every function raises
``ValueError`` for bytes that are no such description.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from bulkload.core.bounds import DEEPEST_JSON, LARGEST_SCHEMA_BYTES

# What a field costs beside its texts.
_FIELD_BYTES = 256
_TIMESTAMP = 10


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a flatbuffer: fields by their slots."""

    data: bytes
    at: int

    def place(self, slot: int) -> int | None:
        """Where a field stands; None where it is not given."""
        vtable = self.at - _number("<i", self.data, self.at)
        entry = 4 + 2 * slot
        if entry + 2 > _number("<H", self.data, vtable):
            return None
        offset = _number("<H", self.data, vtable + entry)
        return self.at + offset if offset else None

    def number(self, slot: int, form: str) -> int:
        """A number, zero where it is not given; ``form`` as ``struct`` has it."""
        place = self.place(slot)
        return 0 if place is None else _number(form, self.data, place)

    def table(self, slot: int) -> "Table | None":
        """The table that a field names."""
        place = self.place(slot)
        return None if place is None else Table(self.data, _followed(self.data, place))

    def vector(self, slot: int) -> tuple[int, int]:
        """Where the items of a vector begin, and how many there are."""
        place = self.place(slot)
        if place is None:
            return 0, 0
        start = _followed(self.data, place)
        count = _number("<I", self.data, start)
        if count > len(self.data):
            raise ValueError("a vector is longer than all")
        return start + 4, count

    def tables(self, slot: int) -> Iterator["Table"]:
        """The tables of a vector."""
        start, count = self.vector(slot)
        for number in range(count):
            yield Table(self.data, _followed(self.data, start + 4 * number))


@dataclass(frozen=True, slots=True)
class Message:
    """What stands before a body in an Arrow stream."""

    kind: int
    header: Table
    body_bytes: int


SCHEMA, DICTIONARY, RECORDS = 1, 2, 3


def message_of(metadata: bytes) -> Message:
    """The message that these bytes describe."""
    root = Table(metadata, _followed(metadata, 0))
    header = root.table(2)
    if header is None:
        raise ValueError("a message says nothing")
    return Message(root.number(1, "<B"), header, root.number(3, "<q"))


def look_at_schema(schema: Table) -> None:
    """Raise ``ValueError`` for a schema that is deep or large when it is built."""
    left = _weigh_metadata(schema, 2, LARGEST_SCHEMA_BYTES)
    for field in schema.tables(1):
        left = _weigh(field, 1, left)


def _weigh(field: Table, depth: int, left: int) -> int:
    """What is left after this field and all below it."""
    if depth > DEEPEST_JSON:
        raise ValueError(f"it is nested deeper than {DEEPEST_JSON}")
    left = _weigh_metadata(field, 6, left - _FIELD_BYTES - field.vector(0)[1])
    kind = field.table(3)
    if kind is not None and field.number(2, "<B") == _TIMESTAMP:
        left -= kind.vector(1)[1]
    if left < 0:
        raise ValueError(f"it has more than {LARGEST_SCHEMA_BYTES >> 20} MiB when it is written out")
    for child in field.tables(5):
        left = _weigh(child, depth + 1, left)
    return left


def _weigh_metadata(table: Table, slot: int, left: int) -> int:
    for pair in table.tables(slot):
        left -= _FIELD_BYTES + pair.vector(0)[1] + pair.vector(1)[1]
        if left < 0:
            raise ValueError(f"it has more than {LARGEST_SCHEMA_BYTES >> 20} MiB when it is written out")
    return left


def framed(data: bytes) -> bytes:
    """The metadata of the message that ``data`` begins with."""
    start = 8 if data[:4] == b"\xff\xff\xff\xff" else 4
    length = _number("<i", data, start - 4)
    if not 0 < length <= len(data) - start:
        raise ValueError("a message is cut off")
    return data[start : start + length]


def _followed(data: bytes, at: int) -> int:
    return at + _number("<I", data, at)


def _number(form: str, data: bytes, at: int) -> int:
    if at < 0:
        raise ValueError("an offset leads before the beginning")
    try:
        return int(struct.unpack_from(form, data, at)[0])
    except struct.error:
        raise ValueError("an offset leads behind the end") from None
