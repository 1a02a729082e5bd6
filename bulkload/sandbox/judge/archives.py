"""A zip that somebody sent, read in place and within bounds: nothing of it is unpacked, so no name reaches the disk."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

MAX_DIRECTORY_BYTES = 8 * 1024 * 1024
TAIL_BYTES = 128 * 1024  # zipfile reads to the end only where a comment may be, and that is no longer than 64 KiB
MAX_MEMBERS = 100_000
MAX_READ_BYTES = 16 * 1024 * 1024  # decompressed, of all members of one archive together
# Of the other methods zipfile decompresses without a bound.
BOUNDED_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
ENCRYPTED = 0x1
BAD_DIRECTORY = (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError)  # OSError: a bad seek
BAD_MEMBER = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, zlib.error, OSError)


class NotAZipError(ValueError):
    """The file is no zip."""


class ArchiveError(ValueError):
    """The file is a zip that cannot be inspected; the text says why."""


class _BoundedFile(FileIO):
    """A file that is never read in large pieces: a directory of gigabytes costs nothing."""

    def read(self, size: int | None = -1, /) -> Any:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise ArchiveError(f"its directory is larger than {MAX_DIRECTORY_BYTES} bytes")
        return super().read(TAIL_BYTES if size is None or size < 0 else size)


class Archive:
    """An open zip: its files by name, without packers' junk. Names that lead out of it are taken as leading into it."""

    def __init__(self, opened: zipfile.ZipFile) -> None:
        self._zip = opened
        self._left = MAX_READ_BYTES
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in opened.infolist():
            name = _clean(member.filename)
            if name and not member.is_dir() and not _is_junk(name):
                self._members[name] = member

    @property
    def names(self) -> list[str]:
        """The names of its files, in the archive's order."""
        return list(self._members)

    def size(self, name: str) -> int:
        """How large a file says that it is."""
        return self._members[name].file_size

    def read(self, name: str, limit: int) -> bytes:
        """The first `limit` bytes of a file, fewer when the archive's bound is reached. Raises ArchiveError."""
        member = self._members[name]
        if member.compress_type not in BOUNDED_METHODS:
            raise ArchiveError(f"{name}: compression method {member.compress_type} is not supported")
        if member.flag_bits & ENCRYPTED:
            raise ArchiveError(f"{name}: is encrypted")
        try:
            with self._zip.open(member) as file:
                content = file.read(min(limit, self._left))
        except BAD_MEMBER as error:
            raise ArchiveError(f"{name}: {error}") from None
        self._left -= len(content)
        return content


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a zip. Raises NotAZipError, and ArchiveError for one that is too large to be looked at."""
    with _BoundedFile(path) as file:
        try:
            opened = zipfile.ZipFile(file)
        except ArchiveError:
            raise
        except BAD_DIRECTORY as error:
            raise NotAZipError(str(error)) from None
        with opened:
            if len(opened.filelist) > MAX_MEMBERS:
                raise ArchiveError(f"it holds more than {MAX_MEMBERS} files")
            yield Archive(opened)


def _clean(name: str) -> str:
    """As extractors take a name: `../../x`, `/x` and `./x` are `x`."""
    return "/".join(part for part in name.split("/") if part not in {"", ".", ".."})


def _is_junk(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rpartition("/")[2] == ".DS_Store"
