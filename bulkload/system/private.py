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
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        try:
            folder.mkdir(FOLDER_MODE)
        except FileExistsError:
            continue  # made by somebody else meanwhile
        # The umask can only take away: also from the owner.
        folder.chmod(FOLDER_MODE)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def open_private(path: Path, flags: int = os.O_RDWR) -> int:
    """A descriptor of a regular file that this user owns, made with mode 0600 where there is none.

    A file that others may read or write is made private. Raises ``OSError``: ELOOP for a link, EPERM for somebody
    else's file and for what is no file.
    """
    # O_NONBLOCK: a named pipe would be waited for, for ever.
    always = os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags | always, FILE_MODE)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EPERM, "is no regular file", str(path))
        if found.st_uid != os.geteuid():
            raise OSError(errno.EPERM, "belongs to another user", str(path))
        if stat.S_IMODE(found.st_mode) != FILE_MODE:
            os.fchmod(descriptor, FILE_MODE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
