"""Local files and folders: read in a thread, hashed on the way, and watched for change until the last piece."""

import asyncio
import errno
import hashlib
import os
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

import aiofiles.os
import anyio.to_thread

from bulkload.core.model.records import Look
from bulkload.source.buffers import Buffers
from bulkload.source.folder import FolderFile, OpenFolder, look_of_folder
from bulkload.source.interface import SmallFile, SourceChanged
from bulkload.source.reading import PIECES_AHEAD, STRIDE_BYTES, ReadAhead
from bulkload.source.small_files import SmallFiles
from bulkload.system.file_names import local_path
from bulkload.system.opening import open_regular

# Large enough that handing one over costs nothing beside sending it.
PIECE_SIZE_BYTES = 1 << 20
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
        return look_of_folder(place, self._root) if place.endswith("/") else look_of(place)

    async def look_now(self, place: str) -> Look:
        """The same, in a thread."""
        if place.endswith("/"):
            return await anyio.to_thread.run_sync(look_of_folder, place, self._root)
        return look_in(await aiofiles.os.stat(local_path(place)))

    async def read_small(self, place: str) -> SmallFile:
        """Read a small file whole, in a thread. Raises ``OSError`` and ``SourceChanged``."""
        loop = asyncio.get_running_loop()
        if loop not in self._small_files:
            self._small_files[loop] = SmallFiles(loop, self._read_whole)
        return await self._small_files[loop].read(place)

    def open(self, place: str, *, at_a_time: int = 1) -> ReadAhead:
        """A file or folder of any size; entering it raises ``OSError``."""
        share = self._memory_bytes // (PIECES_IN_MEMORY * at_a_time)
        piece_size = min(self._piece_size_bytes, max(SMALLEST_PIECE_BYTES, share))
        if place.endswith("/"):
            return FolderFile(self._opened_folder(place), place, piece_size=piece_size, buffers=self._buffers)
        return LocalFile(place, piece_size=piece_size, open_file=self._open, buffers=self._buffers)

    async def digest(self, place: str) -> tuple[Look, str]:
        """Look and SHA-256 of a file of any size. Raises ``OSError`` and ``SourceChanged``."""
        async with self.open(place) as file:
            async for _ in file.pieces():
                pass
            return file.look, file.sha256 or ""

    def _opened_folder(self, path: str) -> OpenFolder:
        return OpenFolder(path, self._root, settle=self._settle)

    def _read_whole(self, path: str) -> SmallFile:
        if path.endswith("/"):
            return self._opened_folder(path).read_whole(self.small_file_bytes)
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
            self._settle(found.st_ctime)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, found

    def _settle(self, changed: float) -> bool:
        """Wait where something was changed just now: from the next tick of its clock on, every change shows."""
        age = self._wall_clock() - changed
        if not 0 <= age < CLOCK_TICK_SECONDS:
            return False
        time.sleep(CLOCK_TICK_SECONDS - age)
        return True


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


class LocalFile(ReadAhead):
    """A file, open for one upload."""

    def __init__(
        self,
        path: str,
        *,
        piece_size: int,
        open_file: Callable[[str], tuple[int, os.stat_result]],
        buffers: Buffers,
    ) -> None:
        """``open_file`` gives a descriptor and what the system says of the file; it is called in a thread."""
        super().__init__(path, piece_size=piece_size, buffers=buffers)
        self._open_file = open_file
        self._descriptor: int | None = None
        self._found: os.stat_result

    def _open(self) -> Look:
        self._descriptor, self._found = self._open_file(self._path)
        return look_in(self._found)

    def _close_file(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def _fill(self, piece: memoryview) -> None:
        read = 0
        while read < len(piece):
            count = 0
            if self._descriptor is not None:
                count = os.readv(self._descriptor, [piece[read : read + STRIDE_BYTES]])
            if not count:
                raise SourceChanged(self._path)
            self._digest.update(piece[read : read + count])
            read += count

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
