"""The files of a folder, links followed: what they are called, and what the system says of each."""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from bulkload.core.bounds import MOST_FOLDER_MEMBERS
from bulkload.core.text.words import shown_path
from bulkload.system.file_names import local_path, recorded_path
from bulkload.system.opening import OutsideRoot, is_below

# What tools leave beside a model, and no model needs.
LEFT_OUT = frozenset({"__pycache__", ".git", ".DS_Store", "__MACOSX", ".ipynb_checkpoints"})
LEFT_OUT_ENDING = ".pyc"


class WrongFolder(OSError):
    """A folder that cannot be sent: why, and what to do."""

    def __init__(self, path: str, what: str, remedy: str) -> None:
        super().__init__(errno.EINVAL, f"{what}; {remedy}", path)
        self.what = what
        self.remedy = remedy


class Member(NamedTuple):
    """A file of a folder."""

    # Below the folder, with / between folders, as on disk, which is UTF-8.
    name: bytes
    size: int
    inode: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Folder:
    """What a folder holds now."""

    # Sorted by their names.
    members: list[Member]
    # Those on the way that are links, by their paths.
    links: list[str]


def member_of(name: bytes, found: os.stat_result) -> Member:
    """The member that a file is."""
    return Member(name, found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)


def folder_in(path: str, root: str | None = None) -> Folder:
    """All files of a folder. Nothing outside ``root`` (its links resolved) is looked at.

    Raises ``WrongFolder`` for one that cannot be sent, ``OutsideRoot``, and ``OSError`` for what cannot be read.
    """
    place = os.path.join(local_path(path), "")  # noqa: PTH118
    if root is not None and not is_below(place, root):
        raise OutsideRoot(path)
    walk = _Walk(place, root)
    members = sorted(walk.members("", ()))
    if not members:
        raise WrongFolder(path, "is a folder without a file in it", "check where it comes from")
    return Folder(members, walk.links)


class _Walk:
    def __init__(self, place: str, root: str | None) -> None:
        self._place = place
        self._root = root
        self._met = 0
        self.links: list[str] = []

    def members(self, below: str, above: tuple[tuple[int, int], ...]) -> Iterator[Member]:
        """The files of one folder and of those in it. ``above``: the folders that it lies in."""
        found = os.stat(self._place + below)  # noqa: PTH116
        itself = (found.st_dev, found.st_ino)
        if itself in above:
            raise self._wrong(f"holds a loop of links at {self._shown(below)}", "remove the link")
        try:
            with os.scandir(self._place + below) as entries:
                inner = list(entries)
        except PermissionError:
            raise self._unreadable(below) from None
        for entry in inner:
            if entry.name in LEFT_OUT or entry.name.endswith(LEFT_OUT_ENDING):
                continue
            self._met += 1
            if self._met > MOST_FOLDER_MEMBERS:
                raise self._wrong(f"holds more than {MOST_FOLDER_MEMBERS:,} files", "pack those that belong together")
            yield from self._one(below + entry.name, entry, (*above, itself))

    def _one(self, name: str, entry: "os.DirEntry[str]", above: tuple[tuple[int, int], ...]) -> Iterator[Member]:
        if entry.is_symlink():
            self.links.append(entry.path)
            if self._root is not None and not is_below(entry.path, self._root):
                raise self._wrong(f"holds a link to outside --root {self._root}: {self._shown(name)}", "remove it")
        try:
            found = entry.stat()
        except FileNotFoundError:
            if not entry.is_symlink():
                raise
            raise self._wrong(f"holds a link to nothing: {self._shown(name)}", "bring back what it leads to") from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise self._wrong(f"holds a loop of links at {self._shown(name)}", "remove the link") from None
            raise
        if stat.S_ISDIR(found.st_mode):
            yield from self.members(f"{name}/", above)
        elif not stat.S_ISREG(found.st_mode):
            raise self._wrong(f"holds what is no regular file: {self._shown(name)}", "remove it")
        else:
            yield member_of(self._bytes_of(name), found)

    def _bytes_of(self, name: str) -> bytes:
        encoded = os.fsencode(name)
        try:
            encoded.decode()
        except UnicodeDecodeError:
            what = f"holds a file whose name is no UTF-8: {self._shown(name)}"
            raise self._wrong(what, "rename the file") from None
        return encoded

    def _unreadable(self, below: str) -> WrongFolder:
        what = f"holds {self._shown(below)}, which cannot be read" if below else "cannot be read"
        return self._wrong(what, "check its permissions")

    def _shown(self, name: str) -> str:
        return shown_path(recorded_path(name))

    def _wrong(self, what: str, remedy: str) -> WrongFolder:
        return WrongFolder(self._place, what, remedy)
