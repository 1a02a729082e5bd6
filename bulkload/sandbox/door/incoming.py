"""A file that is arriving: hashed and written while it comes, one batch ahead, off the event loop."""

import errno
import hashlib
import os
import shutil
from asyncio import wrap_future
from concurrent.futures import Executor, Future
from concurrent.futures import wait as wait_for_futures
from io import FileIO
from pathlib import Path

import anyio
import anyio.to_thread

from bulkload.sandbox.store.records import StoredFile
from bulkload.system.private import keep_private

BATCH_BYTES = 2 * 1024 * 1024
# Left to others on the disk: so much, or so much of it.
RESERVED_BYTES = 256 * 1024 * 1024
RESERVED_SHARE = 0.02
SMALL_BYTES = 64 * 1024  # so little is hashed and written at once, without the way to a thread and back
Piece = bytes | memoryview


def free_bytes(folder: Path) -> int:
    """What a sandbox may still write on the disk of that folder: a body without an end must not fill it."""
    usage = shutil.disk_usage(folder)
    return usage.free - min(RESERVED_BYTES, int(usage.total * RESERVED_SHARE))


class IncomingFile:
    """Takes pieces; at the end gives digest and size. At most two batches are in memory.

    `spoil` flips a bit of the first byte on its way to the disk: the registry then holds, and knows, other bytes.
    """

    def __init__(self, uuid: str, path: Path, executor: Executor, *, spoil: bool = False) -> None:
        self._uuid = uuid
        self._path = path
        self._executor = executor
        self._spoil = spoil
        self._file: FileIO | None = None
        self._hash = hashlib.sha256()
        self._size = 0
        self._batch: list[Piece] = []
        self._batch_bytes = 0
        self._working: Future[None] | None = None

    @property
    def path(self) -> Path:
        """Where the bytes are."""
        return self._path

    async def write(self, piece: Piece) -> None:
        """Take the next piece. Raises OSError when an earlier one could not be written."""
        if self._spoil and len(piece) > 0:
            piece = bytes((piece[0] ^ 1,)) + bytes(piece[1:])
            self._spoil = False
        self._batch.append(piece)
        self._batch_bytes += len(piece)
        self._size += len(piece)
        if self._batch_bytes >= BATCH_BYTES:
            await self._settle()
            if free_bytes(self._path.parent) < self._batch_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            self._working = self._executor.submit(self._work, self._take_batch())

    async def finish(self) -> StoredFile:
        """Write what is left and close. Raises OSError."""
        await self._settle()
        batch = self._take_batch()
        if self._size <= SMALL_BYTES:
            self._work(batch)
        else:
            await wrap_future(self._executor.submit(self._work, batch))
        if self._file is not None:
            self._file.close()
            self._file = None
        return StoredFile(self._uuid, self._hash.hexdigest(), self._size)

    async def discard(self) -> None:
        """Leave nothing behind. Does nothing to a file that was moved away."""
        if self._working is not None:
            with anyio.CancelScope(shield=True):  # a thread may still be writing to it
                await anyio.to_thread.run_sync(wait_for_futures, [self._working])
        if self._file is not None:
            self._file.close()
            self._file = None
        self._path.unlink(missing_ok=True)

    async def _settle(self) -> None:
        if self._working is not None:
            await wrap_future(self._working)
            self._working = None

    def _take_batch(self) -> list[Piece]:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        return batch

    def _work(self, batch: list[Piece]) -> None:
        if self._file is None:
            self._file = FileIO(self._path, "wb")
            keep_private(self._file.fileno())
        # Joined: so this thread waits for the interpreter's lock twice a batch, not twice a piece.
        whole = batch[0] if len(batch) == 1 else b"".join(batch)
        self._hash.update(whole)
        view = memoryview(whole)
        while view:
            view = view[self._file.write(view) or 0 :]
