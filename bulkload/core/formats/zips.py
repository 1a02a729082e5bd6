"""A zip of files, written in one pass: of names and sizes its length is known before the first byte. Pure.

Its bytes depend on names and contents alone: no time, no rights, and no compressor, whose versions write different
bytes. Contents are deflate's *stored* blocks: a plain stored member with its checksum behind it cannot be read from a
stream, as Java does.
"""

import struct
from collections.abc import Iterable, Iterator

# The longest that deflate's stored blocks may be.
BLOCK_BYTES = 0xFFFF
BLOCK_HEADER_BYTES = 5

# Checksum and sizes stand behind the content; names are UTF-8.
_FLAGS = 0x0808
_DEFLATED = 8
# 1980-01-01, the first day of zips.
_TIME, _DATE = 0, 0x0021
_PLAIN, _ZIP64 = 20, 45
_UNIX = 3 << 8
_RIGHTS = 0o100644 << 16
# What no longer fits its field, and is there for "see elsewhere".
_MOST_32, _MOST_16 = 0xFFFFFFFF, 0xFFFF

_LOCAL = struct.Struct("<4s5H3L2H")
_DESCRIPTOR, _LONG_DESCRIPTOR = struct.Struct("<4s3L"), struct.Struct("<4sL2Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LONG_SIZES = struct.Struct("<2H2Q")
_END, _END_64, _LOCATOR_64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")


def packed_size(size: int) -> int:
    """What a content of so many bytes takes."""
    return size + BLOCK_HEADER_BYTES * max(1, -(-size // BLOCK_BYTES))


def block_header(size: int, *, is_last: bool) -> bytes:
    """What stands before ``size`` bytes of a content."""
    return struct.pack("<B2H", is_last, size, size ^ 0xFFFF)


def member_header(name: bytes, size: int) -> bytes:
    """What stands before the first block of a member."""
    is_long = _is_long(size)
    sizes, extra = (_MOST_32, _LONG_SIZES.pack(1, 16, 0, 0)) if is_long else (0, b"")
    needed = _ZIP64 if is_long else _PLAIN
    words = (b"PK\x03\x04", needed, _FLAGS, _DEFLATED, _TIME, _DATE, 0, sizes, sizes, len(name), len(extra))
    return _LOCAL.pack(*words) + name + extra


def member_end(size: int, checksum: int) -> bytes:
    """What stands behind the last block of a member."""
    form = _LONG_DESCRIPTOR if _is_long(size) else _DESCRIPTOR
    return form.pack(b"PK\x07\x08", checksum, packed_size(size), size)


def directory(members: Iterable[tuple[bytes, int]], checksums: Iterable[int]) -> Iterator[bytes]:
    """What stands at the end: the members' names and sizes once more, piece by piece."""
    place, length, count = 0, 0, 0
    for (name, size), checksum in zip(members, checksums, strict=True):
        record = _record(name, size, checksum, place)
        yield record
        place += _member_size(name, size)
        length += len(record)
        count += 1
    yield _end(count, length, place)


def zip_size(members: Iterable[tuple[bytes, int]]) -> int:
    """The exact length of a zip of members with these names and sizes."""
    place, length, count = 0, 0, 0
    for name, size in members:
        length += len(_record(name, size, 0, place))
        place += _member_size(name, size)
        count += 1
    return place + length + len(_end(count, length, place))


def _is_long(size: int) -> bool:
    return packed_size(size) >= _MOST_32


def _member_size(name: bytes, size: int) -> int:
    is_long = _is_long(size)
    extra, end = (_LONG_SIZES.size, _LONG_DESCRIPTOR.size) if is_long else (0, _DESCRIPTOR.size)
    return _LOCAL.size + len(name) + extra + packed_size(size) + end


def _record(name: bytes, size: int, checksum: int, place: int) -> bytes:
    sizes = (size, packed_size(size)) if _is_long(size) else ()
    far = (*sizes, place) if place >= _MOST_32 else sizes
    extra = struct.pack(f"<2H{len(far)}Q", 1, 8 * len(far), *far) if far else b""
    needed = _ZIP64 if far else _PLAIN
    shown_sizes = (_MOST_32, _MOST_32) if sizes else (packed_size(size), size)
    head = (b"PK\x01\x02", _UNIX | needed, needed, _FLAGS, _DEFLATED, _TIME, _DATE, checksum, *shown_sizes)
    return _CENTRAL.pack(*head, len(name), len(extra), 0, 0, 0, _RIGHTS, min(place, _MOST_32)) + name + extra


def _end(count: int, length: int, place: int) -> bytes:
    few, short, near = min(count, _MOST_16), min(length, _MOST_32), min(place, _MOST_32)
    end = _END.pack(b"PK\x05\x06", 0, 0, few, few, short, near, 0)
    if few < _MOST_16 and short < _MOST_32 and near < _MOST_32:
        return end
    long_end = _END_64.pack(b"PK\x06\x06", 44, _UNIX | _ZIP64, _ZIP64, 0, 0, count, count, length, place)
    return long_end + _LOCATOR_64.pack(b"PK\x06\x07", 0, place + length, 1) + end
