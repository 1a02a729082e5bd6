"""A model read by a thread, hashed on the way, a few pieces ahead of whoever sends it."""

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Self

import anyio

from bulkload.core.model.records import Look
from bulkload.source.buffers import Buffers, is_viewed
from bulkload.source.interface import SourceChanged
from bulkload.source.small_files import as_exception

# Read and hashed while others are sent: the slower of both need never wait for the other.
PIECES_AHEAD = 3
# Read and hashed in one go: so little that it is still in the processor's cache when it is hashed.
STRIDE_BYTES = 1 << 18


class ReadAhead(ABC):
    """A model, open for one upload: ``async with source.open(path) as file: async for piece in file.pieces()``."""

    look: Look

    def __init__(self, path: str, *, piece_size: int, buffers: Buffers) -> None:
        self._path = path
        self._buffers = buffers
        # What pieces are read into, each one again as soon as nobody holds its last piece any more.
        self._in_use: list[bytearray] = []
        self._piece_size = piece_size
        self._loop = asyncio.get_running_loop()
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

    @abstractmethod
    def _open(self) -> Look:
        """Open it, in a thread. Raises ``OSError``."""

    @abstractmethod
    def _fill(self, piece: memoryview) -> None:
        """Read the next bytes, as many as the piece has, and hash them, in a thread."""

    @abstractmethod
    def _see_unchanged(self) -> None:
        """Raise ``SourceChanged`` unless it is as it was when it was opened. In a thread."""

    @abstractmethod
    def _close_file(self) -> None:
        """Close what ``_open`` has opened, be it nothing. Never slow for what was only read."""

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
            self._close_file()
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
        self.look = self._open()
        self._unread = self.look.size

    def _read_ahead(self) -> None:
        """Read and hash piece by piece until enough of them wait, or nothing is left."""
        while not self._is_read and self._failure is None and len(self._ready) < PIECES_AHEAD:
            piece = self._read_piece()
            self._unread -= len(piece)
            self._is_read = not self._unread
            self._ready.append(piece)
            if self._is_awaited:
                # The loop may be gone when a run was torn down.
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._news.set)

    def _read_piece(self) -> memoryview:
        piece = memoryview(self._unused_buffer())[: min(self._piece_size, self._unread)]
        self._fill(piece)
        return piece.toreadonly()

    def _unused_buffer(self) -> bytearray:
        for buffer in self._in_use:
            if not is_viewed(buffer):
                return buffer
        buffer = self._buffers.take(self._piece_size)
        self._in_use.append(buffer)
        return buffer
