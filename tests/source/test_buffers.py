"""Memory that is read into again and again, and never beneath somebody who still sends what is in it."""

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from bulkload.source.buffers import Buffers, is_viewed
from bulkload.source.local import LocalSource

PIECE = 1 << 17


@pytest.fixture
def write(tmp_path: Path) -> Callable[[int], Path]:
    """A file of so many bytes, of which no two pieces are equal."""

    def make(size: int) -> Path:
        path = tmp_path / "model.onnx"
        path.write_bytes(random.Random(7).randbytes(size))
        return path

    return make


def test_memory_that_was_given_back_is_used_again() -> None:
    buffers = Buffers()
    first = buffers.take(PIECE)
    assert buffers.take(PIECE) is not first
    buffers.give_back([first])
    assert buffers.take(PIECE) is first


def test_memory_that_is_still_looked_at_is_left_to_whoever_looks() -> None:
    buffers, buffer = Buffers(), bytearray(PIECE)
    buffers.take(PIECE)
    held = memoryview(buffer)[10:20].toreadonly()
    assert is_viewed(buffer)
    buffers.give_back([buffer])
    assert buffers.take(PIECE) is not buffer
    held.release()
    assert not is_viewed(buffer)
    assert len(buffer) == PIECE


def test_only_one_size_is_kept() -> None:
    """Else the memory of all sizes that ever were would add up."""
    buffers = Buffers()
    small, large = buffers.take(PIECE), buffers.take(2 * PIECE)
    buffers.give_back([small, large])
    assert buffers.take(2 * PIECE) is large
    assert len(buffers.take(PIECE)) == PIECE
    assert buffers.take(2 * PIECE) is not large


@pytest.mark.anyio
async def test_a_piece_that_is_held_stays_as_it_is_and_others_cost_no_memory(write: Callable[[int], Path]) -> None:
    """However long the connection takes for it: what leaves is what was hashed."""
    path, source = write(40 * PIECE), LocalSource(piece_size_bytes=PIECE)
    content = path.read_bytes()
    held: list[memoryview] = []
    addresses, digest = set(), hashlib.sha256()
    async with source.open(str(path)) as file:
        async for piece in file.pieces():
            assert isinstance(piece.obj, bytearray)
            addresses.add(id(piece.obj))
            digest.update(piece)
            if len(held) < 4:
                held.append(piece[1:100])
        assert file.sha256 == digest.hexdigest() == hashlib.sha256(content).hexdigest()
    assert [bytes(part) for part in held] == [content[n * PIECE + 1 : n * PIECE + 100] for n in range(4)]
    # Beside those that are held: those that are ready, one that is read, one that is sent, and the one before it.
    assert len(addresses) <= 4 + 6


@pytest.mark.anyio
async def test_a_piece_cannot_be_written_to(write: Callable[[int], Path]) -> None:
    async with LocalSource().open(str(write(PIECE))) as file:
        async for piece in file.pieces():
            assert piece.readonly
