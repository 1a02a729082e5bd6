"""Local files: read in a thread, hashed on the way, and watched for change until the last piece."""

import asyncio
import errno
import hashlib
import os
import stat as file_kinds
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, Self, TypeVar
from weakref import WeakKeyDictionary

import anyio
from aiofiles import ospath

from bulkload.core.records import SourceStat

# Large enough that a hop to a thread costs nothing beside it, small enough that many uploads fit in memory.
PIECE_SIZE_BYTES = 1 << 20
# Up to here a file is one read and one body.
SMALL_FILE_BYTES = PIECE_SIZE_BYTES
# Few, so that those of a slow file system are read beside each other.
FILES_A_HOP = 8
# A file system's clock may stand still for so long: a file that is changed twice meanwhile shows one and the same time.
CLOCK_TICK_SECONDS = 0.02

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
    return _record(os.stat(path))  # noqa: PTH116 - a million files, and Path costs as much again


async def read_small(path: str) -> SmallFile:
    """Read a small file whole. Raises ``OSError`` and ``SourceChanged``.

    A hop to a thread costs as much as reading: files that are asked for at the same time share one.
    """
    loop = asyncio.get_running_loop()
    wanted: asyncio.Future[SmallFile] = loop.create_future()
    together = _wanted.setdefault(loop, [])
    if not together:
        loop.call_soon(_start_reading, loop)
    together.append((path, wanted))
    return await wanted


_Wanted = list[tuple[str, "asyncio.Future[SmallFile]"]]
# What is asked for in this turn of each event loop.
_wanted: WeakKeyDictionary[asyncio.AbstractEventLoop, _Wanted] = WeakKeyDictionary()


def _start_reading(loop: asyncio.AbstractEventLoop) -> None:
    together = _wanted.pop(loop)
    for start in range(0, len(together), FILES_A_HOP):
        some = together[start : start + FILES_A_HOP]
        hop = loop.run_in_executor(None, _read_each, [path for path, _ in some])
        hop.add_done_callback(partial(_give_out, some))


def _give_out(some: _Wanted, hop: "asyncio.Future[list[SmallFile | Exception]]") -> None:
    for (_, wanted), found in zip(some, hop.result(), strict=True):
        if wanted.done():
            continue  # nobody waits for it any more
        if isinstance(found, Exception):
            wanted.set_exception(found)
        else:
            wanted.set_result(found)


def _read_each(paths: list[str]) -> list[SmallFile | Exception]:
    found: list[SmallFile | Exception] = []
    for path in paths:
        try:
            found.append(_read_whole(path))
        except (OSError, SourceChanged) as error:
            found.append(error)
    return found


def _read_whole(path: str) -> SmallFile:
    descriptor, before = _open(path)
    try:
        if before.size > SMALL_FILE_BYTES:
            raise SourceChanged(path)
        # One byte more would show that it has grown.
        data = os.read(descriptor, before.size + 1)
    finally:
        os.close(descriptor)
    if len(data) != before.size or stat_of(path) != before:
        raise SourceChanged(path)
    return SmallFile(data=data, stat=before, sha256=hashlib.sha256(data).hexdigest())


async def digest_of(path: str) -> tuple[SourceStat, str]:
    """Stat and SHA-256 of a file of any size. Raises ``OSError`` and ``SourceChanged``."""
    async with LocalFile(path) as file:
        async for _ in file.pieces():
            pass
        return file.stat, file.sha256 or ""


class LocalFile:
    """A file, open for one upload: ``async with LocalFile(path) as file: async for piece in file.pieces()``."""

    stat: SourceStat

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._digest = hashlib.sha256()
        self._last = b""
        self._unread = 0
        # The hop to a thread that is under way: the file must not be closed beneath it.
        self._hop: asyncio.Future[bytes] | None = None
        # Known from the moment the last piece is given out.
        self.sha256: str | None = None

    async def __aenter__(self) -> Self:
        """Open the file and remember how it looks. Raises ``OSError``."""
        try:
            await self._result_of(self._start(self._begin))
        except BaseException:
            # The thread may have opened it for somebody who was cancelled meanwhile.
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Wait for the read under way and close."""
        await self._close()

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The file's bytes, about a mebibyte at a time; the next piece is read while this one is used.

        When the last piece comes, ``sha256`` is the digest of all bytes, this piece included, and the file is known to
        be as it was when it was opened. An empty file is one empty piece. Raises ``OSError`` and ``SourceChanged``.
        """
        piece = await self._result_of(self._start(self._step))
        while self._unread:
            upcoming = self._start(self._step)
            yield piece
            piece = await self._result_of(upcoming)
        await self._result_of(self._start(self._finish))
        yield piece

    def _start(self, step: Callable[[], bytes]) -> "asyncio.Future[bytes]":
        self._hop = asyncio.get_running_loop().run_in_executor(None, step)
        return self._hop

    async def _result_of(self, hop: "asyncio.Future[bytes]") -> bytes:
        # Awaiting the hop itself would let a cancellation mark it as done while the thread is still at work.
        await asyncio.wait([hop])
        return hop.result()

    async def _close(self) -> None:
        with anyio.CancelScope(shield=True):
            if self._hop is not None:
                await asyncio.wait([self._hop])
                if not self._hop.cancelled():
                    self._hop.exception()  # nobody else may ask for it any more
            if self._descriptor is not None:
                descriptor, self._descriptor = self._descriptor, None
                # Never slow for a file that was only read.
                os.close(descriptor)

    # In a thread.

    def _begin(self) -> bytes:
        self._descriptor, self.stat = _open(self._path)
        self._unread = self.stat.size
        return b""

    def _step(self) -> bytes:
        """Hash the piece before and read the next one: one hop for both."""
        self._digest.update(self._last)
        self._last = b"" if self._descriptor is None else os.read(self._descriptor, min(PIECE_SIZE_BYTES, self._unread))
        if not self._last and self._unread:
            raise SourceChanged(self._path)
        self._unread -= len(self._last)
        return self._last

    def _finish(self) -> bytes:
        self._digest.update(self._last)
        # By its path: a file that another one has taken the place of has changed, too.
        if stat_of(self._path) != self.stat:
            raise SourceChanged(self._path)
        self.sha256 = self._digest.hexdigest()
        return b""


def _open(path: str) -> tuple[int, SourceStat]:
    """A descriptor for reading and the file's stat. Raises ``OSError``, also for what is no file."""
    # Without O_NONBLOCK a named pipe would be waited for, for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if not file_kinds.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "is no regular file", path)
        age = time.time() - found.st_ctime
        if 0 <= age < CLOCK_TICK_SECONDS:
            # Just written: from the next tick on, every change shows.
            time.sleep(CLOCK_TICK_SECONDS - age)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, _record(found)


def _record(stat: os.stat_result) -> SourceStat:
    return SourceStat(size=stat.st_size, inode=stat.st_ino, mtime_ns=stat.st_mtime_ns, ctime_ns=stat.st_ctime_ns)
