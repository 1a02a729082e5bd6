"""A zip whose length is known before its first byte, also where its fields are too small for it."""

import io
import zipfile
import zlib
from collections.abc import Iterator

import pytest

from bulkload.core.formats.zips import (
    BLOCK_BYTES,
    block_header,
    directory,
    member_end,
    member_header,
    packed_size,
    zip_size,
)


def parts(contents: dict[bytes, bytes]) -> Iterator[bytes]:
    for name, content in contents.items():
        yield member_header(name, len(content))
        blocks = [content[at : at + BLOCK_BYTES] for at in range(0, len(content), BLOCK_BYTES)] or [b""]
        for index, block in enumerate(blocks):
            yield block_header(len(block), is_last=index == len(blocks) - 1) + block
        yield member_end(len(content), zlib.crc32(content))
    sizes = [(name, len(content)) for name, content in contents.items()]
    yield from directory(sizes, [zlib.crc32(content) for content in contents.values()])


def written(contents: dict[bytes, bytes]) -> bytes:
    return b"".join(parts(contents))


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES])
def test_its_length_is_known_and_python_reads_it(size: int) -> None:
    contents = {b"m/a": bytes(range(256)) * (size // 256) + b"x" * (size % 256), "m/größe".encode(): b""}
    data = written(contents)
    assert len(data) == zip_size((name, len(content)) for name, content in contents.items())
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        assert {info.filename.encode(): opened.read(info) for info in opened.infolist()} == contents
        assert {info.date_time for info in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_66_000_members() -> None:
    """More than the plain end record can count."""
    contents = {b"m/%05d" % number: b"" for number in range(66_000)}
    data = written(contents)
    assert len(data) == zip_size((name, 0) for name in contents)
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert len(opened.infolist()) == 66_000


class Hole(io.RawIOBase):
    """A file that is mostly nothing: some bytes at some places."""

    def __init__(self, size: int, pieces: dict[int, bytes]) -> None:
        self.size, self.pieces, self.at = size, pieces, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = 0) -> int:
        self.at = place + (0, self.at, self.size)[whence]
        return self.at

    def tell(self) -> int:
        return self.at

    def read(self, count: int = -1) -> bytes:
        count = min(self.size - self.at, count if count >= 0 else self.size)
        found = bytearray(count)
        for start, piece in self.pieces.items():
            first, last = max(start, self.at), min(start + len(piece), self.at + count)
            if first < last:
                found[first - self.at : last - self.at] = piece[first - start : last - start]
        self.at += count
        return bytes(found)


@pytest.mark.parametrize("size", [(1 << 32) - 400_000, 1 << 32, 5 << 30])
def test_members_beyond_4_gib(size: int) -> None:
    """Its own size, and the place of the one behind it, no longer fit their fields."""
    members = [(b"m/large", size), (b"m/small", 3)]
    pieces, at = {}, 0
    for name, length in members:
        pieces[at] = member_header(name, length)
        at += len(pieces[at]) + packed_size(length)
        pieces[at] = member_end(length, 7)
        at += len(pieces[at])
    pieces[at] = b"".join(directory(members, [7, 7]))
    assert at + len(pieces[at]) == zip_size(members)
    with zipfile.ZipFile(Hole(zip_size(members), pieces)) as opened:
        assert [(info.filename.encode(), info.file_size) for info in opened.infolist()] == members
        with opened.open("m/small"):
            pass
