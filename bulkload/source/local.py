"""Local files: read in a thread, hashed on the way, and watched for change until the last piece."""

import asyncio
import errno
import hashlib
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Self
from weakref import WeakKeyDictionary

import aiofiles.os
import anyio

from bulkload.core.model.records import Look
from bulkload.source.buffers import Buffers, is_viewed
from bulkload.source.interface import SmallFile, SourceChanged
from bulkload.source.small_files import SmallFiles, as_exception
from bulkload.system.file_names import local_path
from bulkload.system.opening import open_regular

# Large enough that handing one over costs nothing beside sending it.
PIECE_SIZE_BYTES = 1 << 20
# Read and hashed in one go: so little that it is still in the processor's cache when it is hashed.
STRIDE_BYTES = 1 << 18
# Read and hashed while others are sent: the slower of both need never wait for the other.
PIECES_AHEAD = 3
# Beside them one is read, and one is sent. All uploads together hold no more than this; pieces get smaller for it.
PIECES_IN_MEMORY = PIECES_AHEAD + 2
MEMORY_BYTES = 160 << 20
SMALLEST_PIECE_BYTES = 1 << 17
# Up to here a file is one read and one body.
SMALL_FILE_BYTES = 1 << 20
# A file system's clock may stand still for so long: a file that is changed twice meanwhile shows one and the same time.
CLOCK_TICK_SECONDS = 0.02


def look_of(path: str) -> Look:
    """How the file looks. Raises ``OSError``."""
    return look_in(_stat(path))


def look_in(found: os.stat_result) -> Look:
    """The same of what the system said of it. (Who sets a file's mtime back does not set back its ctime.)"""
    return Look(found.st_size, f"{found.st_ino}:{found.st_mtime_ns}:{found.st_ctime_ns}")


class LocalSource:
    """Files of this machine, as ``interface.Sources``."""

    def __init__(
        self,
        root: str | None = None,
        *,
        small_file_bytes: int = SMALL_FILE_BYTES,
        piece_size_bytes: int = PIECE_SIZE_BYTES,
        memory_bytes: int = MEMORY_BYTES,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """``root``: the folder, its links resolved, in which all of them must lie. ``memory_bytes``: for all pieces.

        ``wall_clock``: by which a file is known to have just been written.
        """
        self.small_file_bytes = small_file_bytes
        self._root = root
        self._piece_size_bytes = piece_size_bytes
        self._memory_bytes = memory_bytes
        self._wall_clock = wall_clock
        self._buffers = Buffers()
        # Of the loop that asks.
        self._small_files: WeakKeyDictionary[asyncio.AbstractEventLoop, SmallFiles[SmallFile]] = WeakKeyDictionary()

    def look(self, place: str) -> Look:
        """How the file looks. Raises ``OSError``."""
        return look_of(place)

    async def look_now(self, place: str) -> Look:
        """The same, in a thread."""
        return look_in(await aiofiles.os.stat(local_path(place)))

    async def read_small(self, place: str) -> SmallFile:
        """Read a small file whole, in a thread. Raises ``OSError`` and ``SourceChanged``."""
        loop = asyncio.get_running_loop()
        if loop not in self._small_files:
            self._small_files[loop] = SmallFiles(loop, self._read_whole)
        return await self._small_files[loop].read(place)

    def open(self, place: str, *, at_a_time: int = 1) -> "LocalFile":
        """A file of any size; entering it raises ``OSError``."""
        share = self._memory_bytes // (PIECES_IN_MEMORY * at_a_time)
        piece_size = min(self._piece_size_bytes, max(SMALLEST_PIECE_BYTES, share))
        return LocalFile(place, piece_size=piece_size, open_file=self._open, buffers=self._buffers)

    async def digest(self, place: str) -> tuple[Look, str]:
        """Look and SHA-256 of a file of any size. Raises ``OSError`` and ``SourceChanged``."""
        async with self.open(place) as file:
            async for _ in file.pieces():
                pass
            return file.look, file.sha256 or ""

    def _read_whole(self, path: str) -> SmallFile:
        descriptor, before = self._open(path)
        try:
            if before.st_size > self.small_file_bytes:
                raise SourceChanged(path)
            # One byte more would show that it has grown.
            data = os.read(descriptor, before.st_size + 1)
            if len(data) != before.st_size:
                raise SourceChanged(path)
            _refuse_changed(path, before, lambda: os.pread(descriptor, before.st_size + 1, 0) == data)
        finally:
            os.close(descriptor)
        return SmallFile(data=data, look=look_in(before), sha256=hashlib.sha256(data).hexdigest())

    def _open(self, path: str) -> tuple[int, os.stat_result]:
        """A descriptor for reading and what the system says of the file.

        Raises ``OSError``, also for what is no file, lies outside, or was emptied since the check: that is no model.
        """
        descriptor, found = open_regular(path, self._root)
        try:
            if found.st_size == 0:
                raise OSError(errno.EINVAL, "is empty", path)
            age = self._wall_clock() - found.st_ctime
            if 0 <= age < CLOCK_TICK_SECONDS:
                # Just written: from the next tick on, every change shows.
                time.sleep(CLOCK_TICK_SECONDS - age)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, found


def _refuse_changed(path: str, before: os.stat_result, read_again: Callable[[], bool]) -> None:
    """Raise ``SourceChanged`` unless the file is as it was.

    Only its rights, owner or names changed: its bytes are read again, and nothing of it is sent again. Equal to those
    of the first time, they are one state of the file, which it had between both. By its path: a file that another one
    has taken the place of has changed, too.
    """
    now = _stat(path)
    if look_in(now) == look_in(before):
        return
    if _differ_in_rights_at_most(now, before) and read_again() and _differ_in_rights_at_most(_stat(path), before):
        return
    raise SourceChanged(path)


def _stat(path: str) -> os.stat_result:
    return os.stat(local_path(path))  # noqa: PTH116 - a million files, and Path costs as much again


def _differ_in_rights_at_most(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether all is the same but for the time of the last change of rights, owner, name or links."""
    return (one.st_size, one.st_ino, one.st_mtime_ns) == (other.st_size, other.st_ino, other.st_mtime_ns)


class LocalFile:
    """A file, open for one upload: ``async with source.open(path) as file: async for piece in file.pieces()``."""

    look: Look

    def __init__(
        self,
        path: str,
        *,
        piece_size: int,
        open_file: Callable[[str], tuple[int, os.stat_result]],
        buffers: Buffers,
    ) -> None:
        """``open_file`` gives a descriptor and what the system says of the file; it is called in a thread."""
        self._path = path
        self._buffers = buffers
        # What pieces are read into, each one again as soon as nobody holds its last piece any more.
        self._in_use: list[bytearray] = []
        self._open_file = open_file
        self._piece_size = piece_size
        self._loop = asyncio.get_running_loop()
        self._descriptor: int | None = None
        self._found: os.stat_result
        self._digest = hashlib.sha256()
        # Pieces that were read and hashed and not given out yet, and bytes that were not read yet.
        self._ready: deque[memoryview] = deque()
        self._unread = 0
        self._is_read = False
        self._failure: Exception | None = None
        # Something became ready, or the thread has come to an end.
        self._news = asyncio.Event()
        self._is_awaited = False
        # The hop to a thread that is under way: the file must not be closed beneath it.
        self._hop: asyncio.Future[None] | None = None
        # Known from the moment the last piece is given out.
        self.sha256: str | None = None

    async def __aenter__(self) -> Self:
        """Open the file and remember how it looks. Raises ``OSError``."""
        try:
            await self._do(self._begin)
        except BaseException:
            # The thread may have opened it for somebody who was cancelled meanwhile.
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Wait for the read under way and close."""
        await self._close()

    async def pieces(self) -> AsyncGenerator[memoryview]:
        """The file's bytes, a mebibyte at a time or less; a thread reads and hashes a few pieces ahead.

        When the last piece comes, ``sha256`` is the digest of all bytes, this piece included, and the file is known to
        be as it was when it was opened. A piece stays what it is for as long as it, or a part of it, is held: its
        memory is used again afterwards. An empty file is one empty piece. Raises ``OSError`` and ``SourceChanged``.
        """
        left = self.look.size
        while self.sha256 is None:
            piece = await self._next_piece()
            left -= len(piece)
            if not left:
                await self._do(self._see_unchanged)
                self.sha256 = self._digest.hexdigest()
            yield piece

    async def _next_piece(self) -> memoryview:
        while not self._ready:
            self._raise_failure()
            self._go_on_reading()
            self._news.clear()
            self._is_awaited = True
            if not self._ready:
                await self._news.wait()
            self._is_awaited = False
        piece = self._ready.popleft()
        self._go_on_reading()
        return piece

    def _go_on_reading(self) -> None:
        if not self._is_read and self._failure is None and (self._hop is None or self._hop.done()):
            self._start(self._read_ahead)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _start(self, work: Callable[[], None]) -> None:
        try:
            self._hop = self._loop.run_in_executor(None, self._in_thread, work)
        except Exception as error:
            # There is no thread for it. Should another one come upon it later, there is nothing to do any more.
            self._failure = error
            raise
        self._hop.add_done_callback(self._hop_ended)

    def _hop_ended(self, hop: "asyncio.Future[None]") -> None:
        """Whatever ended it: who waits for a piece is told."""
        error = asyncio.CancelledError() if hop.cancelled() else hop.exception()
        if error is not None:
            self._failure = self._failure or as_exception(error)
        self._news.set()

    async def _do(self, work: Callable[[], None]) -> None:
        await self._until_done()
        self._start(work)
        await self._until_done()
        self._raise_failure()

    async def _until_done(self) -> None:
        # Awaiting the hop itself would let a cancellation mark it as done while the thread is still at work.
        if self._hop is not None:
            await asyncio.wait([self._hop])

    async def _close(self) -> None:
        with anyio.CancelScope(shield=True):
            # Nothing more is wanted of it.
            self._failure = self._failure or SourceChanged(self._path)
            await self._until_done()
            if self._descriptor is not None:
                descriptor, self._descriptor = self._descriptor, None
                # Never slow for a file that was only read.
                os.close(descriptor)
            self._ready.clear()
            self._buffers.give_back(self._in_use)
            self._in_use = []

    # In a thread.

    def _in_thread(self, work: Callable[[], None]) -> None:
        if self._failure is not None:
            return
        try:
            work()
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for the next piece
            self._failure = error

    def _begin(self) -> None:
        self._descriptor, self._found = self._open_file(self._path)
        self.look = look_in(self._found)
        self._unread = self.look.size

    def _read_ahead(self) -> None:
        """Read and hash piece by piece until enough of them wait, or nothing is left."""
        while not self._is_read and self._failure is None and len(self._ready) < PIECES_AHEAD:
            if self._descriptor is None:
                return
            piece = self._read_piece(self._descriptor)
            self._unread -= len(piece)
            self._is_read = not self._unread
            self._ready.append(piece)
            if self._is_awaited:
                # The loop may be gone when a run was torn down.
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._news.set)

    def _read_piece(self, descriptor: int) -> memoryview:
        wanted = min(self._piece_size, self._unread)
        piece = memoryview(self._unused_buffer())[:wanted]
        read = 0
        while read < wanted:
            count = os.readv(descriptor, [piece[read : read + STRIDE_BYTES]])
            if not count:
                raise SourceChanged(self._path)
            self._digest.update(piece[read : read + count])
            read += count
        return piece.toreadonly()

    def _unused_buffer(self) -> bytearray:
        for buffer in self._in_use:
            if not is_viewed(buffer):
                return buffer
        buffer = self._buffers.take(self._piece_size)
        self._in_use.append(buffer)
        return buffer

    def _see_unchanged(self) -> None:
        _refuse_changed(self._path, self._found, self._is_read_again)

    def _is_read_again(self) -> bool:
        """Whether the file still holds the bytes that were read."""
        digest, place = hashlib.sha256(), 0
        # One byte more would show that it has grown.
        while self._failure is None and self._descriptor is not None and place <= self.look.size:
            piece = os.pread(self._descriptor, min(self._piece_size, self.look.size + 1 - place), place)
            if not piece:
                break
            digest.update(piece)
            place += len(piece)
        return place == self.look.size and digest.digest() == self._digest.digest()
