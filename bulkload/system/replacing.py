"""Files that are there whole or not at all."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bulkload.system.file_names import real_path
from bulkload.system.private import FILE_MODE

# What a new file may get at the most; the umask takes away from it.
_SHARED_MODE = 0o666


@contextmanager
def replaced(path: Path, *, private: bool = False) -> Iterator[Path]:
    """A draft beside ``path``, empty, to be written in the block; it takes the place of ``path`` when that ends well.

    Whoever reads meanwhile, or after a crash, sees the old file or the new one, never half. A link is followed: the
    file that it leads to is replaced. A device such as /dev/stdout is written as it is. ``private``: mode 0600, else
    that of the file that was there, or what the umask leaves. Raises ``OSError``.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    target = real_path(path)
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    # A name has 255 bytes, whatever its characters.
    beginning = os.fsdecode(os.fsencode(target.name)[:200])
    draft = target.with_name(f".{beginning}.{secrets.token_hex(4)}.new")
    mode = FILE_MODE if private else _SHARED_MODE
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))
    try:
        if private:
            draft.chmod(FILE_MODE)
        elif target.exists():
            draft.chmod(target.stat().st_mode & 0o7777)
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(target)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
