"""A folder, sent as a zip: written while it is read, to no file, and of a length that is known before.

A folder is a place that ends with a /. Its zip has the folder's name as its only top folder, and says nothing of times,
rights and links: equal files make equal bytes, on every machine.
"""

import hashlib
import os
import posixpath
import zlib
from array import array
from collections.abc import Callable, Iterator

from bulkload.core.formats.zips import BLOCK_BYTES, block_header, directory, member_end, member_header, zip_size
from bulkload.core.model.records import Look
from bulkload.source.buffers import Buffers
from bulkload.source.interface import SmallFile, SourceChanged
from bulkload.source.reading import STRIDE_BYTES, ReadAhead
from bulkload.system.file_names import recorded_path
from bulkload.system.folders import Folder, Member, folder_in, member_of
from bulkload.system.opening import open_regular


def look_of_folder(path: str, root: str | None = None) -> Look:
    """How a folder looks: the length of its zip, and what changes with any of its files. Raises ``OSError``."""
    return look_in_folder(path, folder_in(path, root))


def look_in_folder(path: str, folder: Folder) -> Look:
    """The same of what was found in it."""
    mark = hashlib.sha256()
    for member in folder.members:
        # No name holds a NUL.
        mark.update(b"%b\0%d:%d:%d:%d\0" % member)
    return Look(zip_size(_sizes(path, folder)), f"folder:{mark.hexdigest()}")


def _sizes(path: str, folder: Folder) -> Iterator[tuple[bytes, int]]:
    """The names that the zip's members have, and their sizes."""
    top = posixpath.basename(path.rstrip("/")).encode("utf-8", "surrogateescape") + b"/"
    return ((top + member.name, member.size) for member in folder.members)


class OpenFolder:
    """A folder whose zip is read, in one thread at a time."""

    def __init__(self, path: str, root: str | None, *, settle: Callable[[float], bool]) -> None:
        """``settle`` waits where something was changed so shortly before that a further change would not show, and says
        whether it did.
        """
        self._path = path
        self._root = root
        self._settle = settle
        self._descriptor: int | None = None
        # Bytes of the member under way that were not read yet, in all and in its block, and the checksum of the others.
        self._left = 0
        self._left_in_block = 0
        self._checksum = 0
        self._checksums = array("L")
        # What stands between contents, and is to be given out next.
        self._waiting = memoryview(b"")
        self._folder: Folder
        self._look: Look
        self._parts: Iterator[bytes]

    def open(self) -> Look:
        """Look at all of it. Raises ``OSError``."""
        self._folder = folder_in(self._path, self._root)
        if any(self._settle(member.ctime_ns / 1e9) for member in self._folder.members):
            # None is as new any more.
            self._folder = folder_in(self._path, self._root)
        self._look = look_in_folder(self._path, self._folder)
        self._parts = self._all_parts()
        return self._look

    def close(self) -> None:
        """Close the file under way."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def fill(self, piece: memoryview) -> None:
        """The zip's next bytes. Raises ``OSError`` and ``SourceChanged``."""
        at = 0
        while at < len(piece):
            if self._waiting:
                count = min(len(self._waiting), len(piece) - at)
                piece[at : at + count] = self._waiting[:count]
                self._waiting = self._waiting[count:]
            elif self._left_in_block:
                count = self._read(piece[at : at + self._left_in_block])
            else:
                self._waiting, count = memoryview(next(self._parts)), 0
            at += count

    def see_unchanged(self) -> None:
        """Raise ``SourceChanged`` unless it holds the files that it held when it was opened, each as it was."""
        try:
            now = folder_in(self._path, self._root)
        except OSError:
            raise SourceChanged(self._path) from None
        if now.members != self._folder.members:
            raise SourceChanged(self._path)

    def read_whole(self, most: int) -> SmallFile:
        """All of a small one. Raises ``OSError`` and ``SourceChanged``."""
        try:
            look = self.open()
            if look.size > most:
                raise SourceChanged(self._path)
            data = bytearray(look.size)
            self.fill(memoryview(data))
            self.see_unchanged()
        finally:
            self.close()
        return SmallFile(data=bytes(data), look=look, sha256=hashlib.sha256(data).hexdigest())

    def _read(self, room: memoryview) -> int:
        count = 0 if self._descriptor is None else os.readv(self._descriptor, [room])
        if not count:
            raise SourceChanged(self._path)
        self._checksum = zlib.crc32(room[:count], self._checksum)
        self._left -= count
        self._left_in_block -= count
        return count

    def _all_parts(self) -> Iterator[bytes]:
        """What stands between the contents. After a block's header comes the block, before anything else is asked."""
        for (name, size), member in zip(_sizes(self._path, self._folder), self._folder.members, strict=True):
            self._begin(member)
            yield member_header(name, size)
            is_last = False
            while not is_last:
                self._left_in_block = min(self._left, BLOCK_BYTES)
                is_last = self._left_in_block == self._left
                yield block_header(self._left_in_block, is_last=is_last)
            self.close()
            self._checksums.append(self._checksum)
            yield member_end(size, self._checksum)
        yield from directory(_sizes(self._path, self._folder), self._checksums)

    def _begin(self, member: Member) -> None:
        """Open it, as long as it is the file that was found."""
        self._descriptor, found = open_regular(self._path + member.name.decode(), self._root)
        if member_of(member.name, found) != member:
            raise SourceChanged(recorded_path(self._path))
        self._left, self._checksum = member.size, 0


class FolderFile(ReadAhead):
    """A folder's zip, open for one upload."""

    def __init__(self, folder: OpenFolder, path: str, *, piece_size: int, buffers: Buffers) -> None:
        super().__init__(path, piece_size=piece_size, buffers=buffers)
        self._folder = folder

    def _open(self) -> Look:
        return self._folder.open()

    def _close_file(self) -> None:
        self._folder.close()

    def _fill(self, piece: memoryview) -> None:
        for start in range(0, len(piece), STRIDE_BYTES):
            part = piece[start : start + STRIDE_BYTES]
            self._folder.fill(part)
            self._digest.update(part)

    def _see_unchanged(self) -> None:
        self._folder.see_unchanged()
