"""Regular files, opened for reading: never waited for, and where there is a root, never outside it."""

import errno
import os
import stat
from contextlib import suppress

from bulkload.system.file_names import local_path

# O_NONBLOCK: a named pipe would be waited for, for ever.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY


NO_FILE = "is no regular file"


# What a socket, or a device that nobody serves, answers; a disk that has gone does, too.
_OF_NO_FILE = frozenset({errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP})


class OutsideRoot(OSError):
    """The path does not lead below the root."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.EACCES, "lies outside --root", path)


def open_regular(path: str, root: str | None = None) -> tuple[int, os.stat_result]:
    """A descriptor for reading and its stat. Raises ``OSError``: EINVAL for what is no file, ``OutsideRoot``."""
    path = local_path(path)
    try:
        descriptor = os.open(path, _READ) if root is None else _open_below(path, local_path(root))
    except OSError as error:
        if error.errno in _OF_NO_FILE and _is_no_file(path):
            raise OSError(errno.EINVAL, NO_FILE, path) from None
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, NO_FILE, path)
        if found.st_size < 0:
            raise OSError(errno.EINVAL, "has a size below zero, says its file system", path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, found


def _is_no_file(path: str) -> bool:
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116
    except OSError:
        return False


def is_below(path: str, root: str) -> bool:
    """Whether a path, its links resolved, lies below a root whose links are resolved."""
    return _below(os.path.realpath(local_path(path)), local_path(root))


def _below(real: str, root: str) -> bool:
    return real == root or real.startswith(root if root.endswith("/") else root + "/")


def _open_below(path: str, root: str) -> int:
    """Open what the path leads to now, folder by folder from the root.

    Links are resolved once, before. None is followed after that: one that is put there meanwhile is refused.
    """
    real = os.path.realpath(path)
    if not _below(real, root) or real == root:
        raise OutsideRoot(path)
    *folders, name = os.path.relpath(real, root).split("/")
    folder = os.open(root, _FOLDER)
    try:
        for inner in folders:
            outer, folder = folder, _step(inner, folder, _FOLDER, path)
            os.close(outer)
        return _step(name, folder, _READ, path)
    finally:
        os.close(folder)


def _step(name: str, folder: int, flags: int, path: str) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
    except OSError:
        # Somebody has laid it since the links were resolved.
        with suppress(OSError):
            if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise OutsideRoot(path) from None
        raise
