"""Local files: read in a thread, hashed on the way, and watched for change until the last piece."""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

import anyio
from aiofiles import ospath

from bulkload.core.records import SourceStat

# Large enough that a hop to a thread costs nothing beside it, small enough that many uploads fit in memory.
PIECE_SIZE_BYTES = 1 << 20
# Up to here a file is one read and one body.
SMALL_FILE_BYTES = PIECE_SIZE_BYTES


P = ParamSpec("P")
T = TypeVar("T")


def in_thread(function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """``function`` in one hop to a thread, as aiofiles makes its own: one a file, not one for open, read and close."""
    hop: Callable[P, Awaitable[T]] = ospath.wrap(function)  # type: ignore[attr-defined]
    return hop


class SourceChanged(Exception):
    """The file changed while it was read: what was read is neither the old nor the new one."""


@dataclass(frozen=True, slots=True)
class SmallFile:
    """A file read whole."""

    data: bytes
    stat: SourceStat
    sha256: str


def stat_of(path: str) -> SourceStat:
    """The file's stat. Raises ``OSError``."""
    return _record(Path(path).stat())


def _record(stat: os.stat_result) -> SourceStat:
    return SourceStat(size=stat.st_size, inode=stat.st_ino, mtime_ns=stat.st_mtime_ns, ctime_ns=stat.st_ctime_ns)


@in_thread
def read_small(path: str) -> SmallFile:
    """Read a small file whole, in one hop to a thread. Raises ``OSError`` and ``SourceChanged``."""
    with Path(path).open("rb", buffering=0) as file:
        before = _record(os.fstat(file.fileno()))
        if before.size > SMALL_FILE_BYTES:
            raise SourceChanged(path)
        data = file.read(before.size + 1)
        after = _record(os.fstat(file.fileno()))
    if before != after or len(data) != after.size:
        raise SourceChanged(path)
    return SmallFile(data=data, stat=after, sha256=hashlib.sha256(data).hexdigest())


@in_thread
def digest_of(path: str) -> tuple[SourceStat, str]:
    """Stat and SHA-256 of a file of any size. Raises ``OSError`` and ``SourceChanged``."""
    with Path(path).open("rb", buffering=0) as file:
        before = _record(os.fstat(file.fileno()))
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if _record(os.fstat(file.fileno())) != before:
            raise SourceChanged(path)
    return before, digest


class LocalFile:
    """A large file, open for one upload: ``async with LocalFile(path) as file: async for piece in file.pieces()``."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        self._last = b""
        self._unread = 0
        # The hop to a thread that is under way: the file must not be closed beneath it.
        self._hop: asyncio.Future[bytes] | None = None
        self.sha256: str | None = None

    async def __aenter__(self) -> Self:
        """Open the file and remember how it looks. Raises ``OSError``."""
        self._descriptor, self.stat = await in_thread(self._open)()
        self._unread = self.stat.size
        return self

    async def __aexit__(self, *_: object) -> None:
        """Wait for the read under way and close."""
        with anyio.CancelScope(shield=True):
            if self._hop is not None:
                await asyncio.wait([self._hop])
            await in_thread(os.close)(self._descriptor)

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The file's bytes, about a mebibyte at a time; the next piece is read while this one is used.

        When the last piece comes, ``sha256`` is the digest of all bytes, this piece included, and the file is known to
        be as it was when it was opened. Raises ``OSError`` and ``SourceChanged``.
        """
        piece = await self._start(self._step)
        while self._unread:
            upcoming = self._start(self._step)
            yield piece
            piece = await upcoming
        await self._start(self._finish)
        yield piece

    def _start(self, step: Callable[[], bytes]) -> "asyncio.Future[bytes]":
        self._hop = asyncio.get_running_loop().run_in_executor(None, step)
        return self._hop

    def _open(self) -> tuple[int, SourceStat]:
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return descriptor, _record(os.fstat(descriptor))

    def _step(self) -> bytes:
        """Hash the piece before and read the next one: one hop for both."""
        self._digest.update(self._last)
        piece = os.read(self._descriptor, min(PIECE_SIZE_BYTES, self._unread))
        if not piece:
            raise SourceChanged(self._path)
        self._unread -= len(piece)
        self._last = piece
        return piece

    def _finish(self) -> bytes:
        self._digest.update(self._last)
        if _record(os.fstat(self._descriptor)) != self.stat:
            raise SourceChanged(self._path)
        self.sha256 = self._digest.hexdigest()
        return b""
