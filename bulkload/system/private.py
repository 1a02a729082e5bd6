"""Files and folders for their owner alone, whatever the umask; never by a link that somebody else laid."""

import errno
import os
import stat
from pathlib import Path

FOLDER_MODE = 0o700
FILE_MODE = 0o600


def make_private_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, with mode 0700; one that is there stays as it is.

    Raises ``OSError``.
    """
    missing = []
    for folder in (path, *path.parents):
        if folder.exists():
            break
        missing.append(folder)
    for folder in reversed(missing):
        try:
            folder.mkdir(FOLDER_MODE)
        except FileExistsError:
            continue  # made by somebody else meanwhile
        # The umask can only take away: also from the owner.
        folder.chmod(FOLDER_MODE)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def make_own_folder(path: Path) -> None:
    """The same for a folder that only this program fills and empties: of this user, and no link. Raises ``OSError``."""
    make_private_folder(path)
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, "is a link, which somebody else may have laid", str(path))
    if found.st_uid != os.geteuid():
        raise OSError(errno.EPERM, "belongs to another user", str(path))


def open_private(path: Path, flags: int = os.O_RDWR) -> int:
    """A descriptor of a regular file that this user owns, made with mode 0600 where there is none.

    A file that others may read or write is made private, where the file system can. Raises ``OSError``: ELOOP for a
    link, EPERM for somebody else's file and for what is no file.
    """
    descriptor = _open_own(path, flags | os.O_CREAT)
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != FILE_MODE:
            keep_private(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def make_private(path: Path) -> None:
    """Make sure of a file: made where there is none, else as ``open_private`` leaves it. Raises ``OSError``.

    One that is right already is not opened: whoever closes a database's file gives up this process's locks on it.
    """
    if not is_private(path):
        os.close(open_private(path))


def is_private(path: Path) -> bool:
    """Whether a path is a regular file of this user, and nobody else's. Raises ``OSError``."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return _is_own(found) and stat.S_IMODE(found.st_mode) == FILE_MODE


def read_private(path: Path, most: int) -> tuple[bytes, int]:
    """What a file of this user holds, up to ``most`` bytes, and its mode. Raises ``OSError``, as ``open_private``."""
    with os.fdopen(_open_own(path, os.O_RDONLY), "rb") as file:
        return file.read(most), stat.S_IMODE(os.fstat(file.fileno()).st_mode)


def new_private(path: str, flags: int) -> int:
    """An ``opener`` that makes files, or writes them anew, with mode 0600. Raises ``OSError``, ELOOP for a link."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        # The umask can take away from the owner, too.
        keep_private(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open_own(path: Path, flags: int) -> int:
    # O_NONBLOCK: a named pipe would be waited for, for ever.
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, FILE_MODE)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EPERM, "is no regular file", str(path))
        if not _is_own(found):
            raise OSError(errno.EPERM, "belongs to another user", str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_own(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()


def keep_private(descriptor: int) -> None:
    """Take from others what they may do with an open file. Raises ``OSError``."""
    try:
        os.fchmod(descriptor, FILE_MODE)
    except OSError as error:
        # FAT and some mounts know no modes: there is nothing that could be taken away.
        if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.ENOSYS}:
            raise
