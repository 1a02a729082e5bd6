"""The bytes of a local file: all of them, hashed as they are sent, and never those of a file that changed meanwhile."""

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from bulkload.source import LocalSource, OpenFile, SourceChanged, local, look_of

# Small enough that "several pieces" is quick, large enough to be cut in the middle.
PIECE = 1024
SIZES = [1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 7]
# Far longer than anything here takes: a bound for what hangs, never waited for.
BOUND_SECONDS = 20


@pytest.fixture
def anyio_backend() -> str:
    """Files are read in the threads of an asyncio loop."""
    return "asyncio"


source = LocalSource(piece_size_bytes=PIECE)


def content_of(size: int) -> bytes:
    """Bytes of which no two pieces are equal."""
    return b"".join(index.to_bytes(4, "big") for index in range(size // 4 + 1))[:size]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[int], Path]:
    """A file of so many bytes."""

    def make(size: int) -> Path:
        path = tmp_path / "model.onnx"
        path.write_bytes(content_of(size))
        return path

    return make


@pytest.fixture
def descriptors() -> Callable[[], set[str]]:
    """What this process has open of the test's files."""
    folder = "/proc/self/fd"
    if not os.path.isdir(folder):  # noqa: PTH112
        pytest.skip("there is no /proc here")

    def open_now() -> set[str]:
        found = set()
        for descriptor in os.listdir(folder):  # noqa: PTH208
            try:
                target = os.readlink(f"{folder}/{descriptor}")  # noqa: PTH115
            except FileNotFoundError:
                continue  # the listing's own
            if target.endswith((".onnx", ".onnx (deleted)")):
                found.add(target)
        return found

    return open_now


# Right bytes, right digest


@pytest.mark.anyio
@pytest.mark.parametrize("size", SIZES)
async def test_all_bytes_come_in_order_and_the_digest_with_the_last_piece(
    size: int, write: Callable[[int], Path]
) -> None:
    path = write(size)
    expected = hashlib.sha256(content_of(size)).hexdigest()
    pieces, digests = [], []
    async with source.open(str(path)) as file:
        assert file.look == look_of(str(path))
        async for piece in file.pieces():
            pieces.append(piece)
            digests.append(file.sha256)
    assert b"".join(pieces) == content_of(size)
    assert [len(piece) for piece in pieces[:-1]] == [PIECE] * (len(pieces) - 1)
    # Known neither earlier, when it could not be sealed with, nor later.
    assert digests == [None] * (len(pieces) - 1) + [expected]
    assert await source.digest(str(path)) == (look_of(str(path)), expected)


@pytest.mark.anyio
async def test_an_empty_file_is_no_model(write: Callable[[int], Path]) -> None:
    """The check refuses it; whoever is emptied after the check is refused here."""
    path = str(write(0))
    with pytest.raises(OSError, match="is empty"):
        await source.read_small(path)
    with pytest.raises(OSError, match="is empty"):
        async with source.open(path):
            pass


@pytest.mark.anyio
@pytest.mark.parametrize("size", SIZES)
async def test_a_small_file_comes_whole(size: int, write: Callable[[int], Path]) -> None:
    path = write(size)
    file = await source.read_small(str(path))
    assert file.data == content_of(size)
    assert file.sha256 == hashlib.sha256(file.data).hexdigest()
    assert file.look == look_of(str(path))


@pytest.mark.anyio
async def test_a_file_that_is_no_longer_small_has_changed(write: Callable[[int], Path]) -> None:
    """It was small when the short path was chosen."""
    source = LocalSource(small_file_bytes=PIECE)
    path = write(PIECE)
    assert len((await source.read_small(str(path))).data) == PIECE
    path = write(PIECE + 1)
    with pytest.raises(SourceChanged):
        await source.read_small(str(path))


@pytest.mark.anyio
async def test_the_next_piece_is_read_while_this_one_is_used(
    write: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sending and reading take turns on the same file otherwise."""
    read, second_read = os.readv, threading.Event()
    count = 0

    def counting(descriptor: int, into: list[memoryview]) -> int:
        nonlocal count
        size = read(descriptor, into)
        count += 1
        if count == 2:
            second_read.set()
        return size

    async with source.open(str(write(3 * PIECE))) as file:
        monkeypatch.setattr(os, "readv", counting)
        pieces = file.pieces()
        await anext(pieces)
        # The first piece is still in use here, and nobody has asked for the second.
        assert await anyio.to_thread.run_sync(second_read.wait, BOUND_SECONDS)
        monkeypatch.setattr(os, "readv", read)
        assert b"".join([piece async for piece in pieces]) == content_of(3 * PIECE)[PIECE:]


# Files that change


def edit(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(1)
        file.write(b"!")
    # The clock of a file system is coarse: what is edited within one of its ticks may show the same time.
    os.utime(path, ns=(1, 1))


def truncate(path: Path) -> None:
    os.truncate(path, PIECE + 1)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def replace(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes())
    other.replace(path)


CHANGES = [edit, truncate, empty, grow, replace]


@pytest.mark.anyio
@pytest.mark.parametrize("pieces_before", [0, 1, 2])
@pytest.mark.parametrize("change", CHANGES)
async def test_a_file_that_changes_is_noticed_before_its_last_piece(
    change: Callable[[Path], None], pieces_before: int, write: Callable[[int], Path]
) -> None:
    """G3: the last piece is what makes a version, so none comes of a file that is neither the old nor the new one."""
    path = write(4 * PIECE)
    given: list[memoryview] = []
    async with source.open(str(path)) as file:
        pieces = file.pieces()
        given.extend([await anext(pieces) for _ in range(pieces_before)])
        change(path)
        with pytest.raises(SourceChanged):
            await _all_pieces(pieces, given)
        assert len(given) < 4
        assert file.sha256 is None


async def _all_pieces(pieces: AsyncIterator[memoryview], given: list[memoryview]) -> None:
    async for piece in pieces:
        given.append(piece)  # noqa: PERF401 - those before the error count


@pytest.mark.anyio
async def test_a_file_that_is_deleted_meanwhile_gives_no_last_piece(write: Callable[[int], Path]) -> None:
    path = write(2 * PIECE)
    async with source.open(str(path)) as file:
        pieces = file.pieces()
        await anext(pieces)
        path.unlink()
        with pytest.raises(FileNotFoundError):
            await anext(pieces)


@pytest.mark.anyio
@pytest.mark.parametrize("change", CHANGES)
async def test_a_small_file_that_changes_while_it_is_read_is_noticed(
    change: Callable[[Path], None], write: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(4 * PIECE)
    read = os.read

    def read_then_change(descriptor: int, size: int) -> bytes:
        data = read(descriptor, size)
        change(path)
        return data

    monkeypatch.setattr(os, "read", read_then_change)
    with pytest.raises(SourceChanged):
        await source.read_small(str(path))


@pytest.mark.anyio
@pytest.mark.parametrize("change", [truncate, empty, grow])
async def test_a_small_file_that_changes_between_opening_and_reading_is_noticed(
    change: Callable[[Path], None], write: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(4 * PIECE)
    read = os.read

    def change_then_read(descriptor: int, size: int) -> bytes:
        change(path)
        return read(descriptor, size)

    monkeypatch.setattr(os, "read", change_then_read)
    with pytest.raises(SourceChanged):
        await source.read_small(str(path))


def test_a_stat_tells_one_state_of_a_file_from_another(write: Callable[[int], Path]) -> None:
    path = write(PIECE)
    before = look_of(str(path))
    assert before.size == PIECE
    for change in (edit, grow, replace):
        change(path)
        assert look_of(str(path)) != before


@pytest.mark.anyio
@pytest.mark.parametrize(("read", "call"), [(source.read_small, "read"), (source.digest, "readv")])
async def test_a_file_just_written_is_read_when_every_change_to_it_shows(
    read: Callable[[str], Awaitable[object]], call: str, write: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within one tick of the file system's clock, a change after the first read would leave the times as they are."""
    path = write(PIECE)
    changed_at, really_read, first_reads = path.stat().st_ctime, getattr(os, call), []

    def watched(descriptor: int, what: object) -> object:
        first_reads.append(time.time())
        return really_read(descriptor, what)

    monkeypatch.setattr(os, call, watched)
    await read(str(path))
    assert first_reads[0] - changed_at >= local.CLOCK_TICK_SECONDS - 1e-6


@pytest.mark.anyio
@pytest.mark.parametrize("age", [2 * local.CLOCK_TICK_SECONDS, 1e9, -1e9])
async def test_an_older_file_is_not_waited_for(
    age: float, write: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is one from the future, where file system and machine disagree about the time."""
    path = write(PIECE)
    now = path.stat().st_ctime + age

    def never(seconds: float) -> None:
        raise AssertionError(seconds)

    monkeypatch.setattr(time, "sleep", never)
    assert (await LocalSource(wall_clock=lambda: now).read_small(str(path))).data == content_of(PIECE)


# What is no readable file


@pytest.mark.anyio
async def test_what_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    path = str(tmp_path / "absent.onnx")
    for read in (source.read_small, source.digest):
        with pytest.raises(FileNotFoundError):
            await read(path)
    with pytest.raises(FileNotFoundError):
        look_of(path)


@pytest.mark.anyio
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
async def test_what_is_no_file_is_an_os_error_and_never_waited_for(make: Callable[[str], None], tmp_path: Path) -> None:
    """A named pipe in a file's place would hold its reader for ever."""
    path = str(tmp_path / "model.onnx")
    make(path)
    for read in (source.read_small, source.digest):
        with pytest.raises(OSError, match=r"regular file|directory"):
            await read(path)


# Nothing is left open


@pytest.mark.anyio
async def test_every_way_out_closes_the_file(write: Callable[[int], Path], descriptors: Callable[[], set[str]]) -> None:
    path = write(4 * PIECE)
    await source.read_small(str(path))
    await source.digest(str(path))
    async with source.open(str(path)) as file:
        assert descriptors() == {str(path)}
        pieces = file.pieces()
        await anext(pieces)
    assert descriptors() == set()
    await pieces.aclose()


class Held:
    """Holds a system call in its thread until it is let go."""

    def __init__(self, call: Callable[..., object]) -> None:
        self._call = call
        self.reached = threading.Event()
        self.let_go = threading.Event()
        self.returned = threading.Event()

    def __call__(self, *arguments: object) -> object:
        self.reached.set()
        assert self.let_go.wait(BOUND_SECONDS)
        result = self._call(*arguments)
        self.returned.set()
        return result


@pytest.mark.anyio
async def test_closing_waits_for_the_read_under_way(
    write: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch, descriptors: Callable[[], set[str]]
) -> None:
    """Or the thread would read from whatever file has the descriptor next."""
    path = str(write(4 * PIECE))
    held = Held(os.readv)

    async def leave_in_a_read() -> None:
        async with source.open(path) as file:
            monkeypatch.setattr(os, "readv", held)
            reading = asyncio.ensure_future(_first_piece(file))
            await anyio.to_thread.run_sync(held.reached.wait, BOUND_SECONDS)
            reading.cancel()
            await asyncio.wait([reading])

    leaving = asyncio.ensure_future(leave_in_a_read())
    await anyio.to_thread.run_sync(held.reached.wait, BOUND_SECONDS)
    await anyio.wait_all_tasks_blocked()
    assert not leaving.done()
    assert descriptors() == {path}
    held.let_go.set()
    await leaving
    assert held.returned.is_set()
    assert descriptors() == set()


async def _first_piece(file: OpenFile) -> bytes | memoryview:
    return await anext(file.pieces())


@pytest.mark.anyio
@pytest.mark.parametrize("call", ["open", "readv", "stat"])
@pytest.mark.parametrize("natively", [False, True])
async def test_a_cancelled_reader_leaves_nothing_open(
    call: str,
    natively: bool,
    write: Callable[[int], Path],
    monkeypatch: pytest.MonkeyPatch,
    descriptors: Callable[[], set[str]],
) -> None:
    """Cancelled while the thread opens, reads or looks: by anyio's scopes as the engine does it, or by asyncio."""
    path = str(write(PIECE))
    held = Held(getattr(os, call))
    monkeypatch.setattr(os, call, held)
    scope = anyio.CancelScope()

    async def work() -> None:
        with scope:
            await source.digest(path)

    task = asyncio.ensure_future(work())
    assert await anyio.to_thread.run_sync(held.reached.wait, BOUND_SECONDS)
    if natively:
        task.cancel()
    else:
        scope.cancel()
    await anyio.wait_all_tasks_blocked()
    assert not task.done()
    held.let_go.set()
    await asyncio.wait([task])
    assert held.returned.is_set()
    assert task.cancelled() if natively else scope.cancelled_caught
    assert descriptors() == set()


@pytest.mark.anyio
async def test_a_read_ahead_that_fails_for_nobody_is_no_noise(
    write: Callable[[int], Path], caplog: pytest.LogCaptureFixture
) -> None:
    """The consumer was gone before the next piece turned out to be missing."""
    path = write(4 * PIECE)
    async with source.open(str(path)) as file:
        empty(path)
        pieces = file.pieces()
        with pytest.raises(SourceChanged):
            await anext(pieces)
    async with source.open(str(write(4 * PIECE))) as file:
        pieces = file.pieces()
        await anext(pieces)
        os.truncate(path, 2 * PIECE)
    await pieces.aclose()
    assert caplog.records == []
