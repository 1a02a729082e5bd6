"""One run at a time: the lock beside the ledger, and the file systems on which neither lock nor WAL can be trusted."""

import contextlib
import errno
import fcntl
import os
import re
import socket
import time
from pathlib import Path
from typing import Self

import msgspec

from bulkload.core.model.errors import LedgerInUse, UsageError
from bulkload.system.file_names import real_path
from bulkload.system.private import open_private

# SQLite's WAL needs shared memory, which these do not give between machines (sqlite.org/wal.html).
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs"}
    | {f"fuse.{name}" for name in ("sshfs", "ceph-fuse", "glusterfs", "rclone", "s3fs", "gcsfuse", "juicefs")}
)

# ``holder_of`` takes the lock for an instant to see whether it is free: only a lock that stays is a run.
TRIES = 4
PAUSE_SECONDS = 0.02


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a ledger: written into the lock file for whoever is refused."""

    pid: int
    host: str
    started_at: str

    def __str__(self) -> str:
        """``process 4711 on build-7 since 2026-01-06T16:34:30Z``."""
        return f"process {self.pid} on {self.host} since {self.started_at}"


class LedgerLock:
    """An exclusive ``flock`` on ``<ledger>.lock``, given back by the kernel when the process dies."""

    def __init__(self, ledger: Path, started_at: str) -> None:
        self.path = lock_path(ledger)
        self._ledger = ledger
        self._holder = Holder(pid=os.getpid(), host=socket.gethostname(), started_at=started_at)
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Take the lock. Raises ``LedgerInUse``, naming the holder, or ``UsageError`` where no lock can be made."""
        try:
            self._descriptor = self._take()
        except OSError as error:
            reason = "is a link, which somebody else may have laid" if error.errno == errno.ELOOP else error.strerror
            raise UsageError(f"{self.path}: cannot be written ({reason}); name another place with --ledger") from None
        if self._descriptor is None:
            holder = _read_holder(self.path) or "another process"
            raise LedgerInUse(
                f"{self._ledger}: in use by {holder}; wait for it to end, or publish with another --ledger"
            )
        # A full disk costs the next one the holder's name, not this one its lock.
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, msgspec.json.encode(self._holder), 0)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the lock back. The file stays, for the next run."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def remove_file(self) -> None:
        """Remove the lock file while it is held: whoever has it open already sees that it is gone (``_take``)."""
        if self._descriptor is not None:
            self.path.unlink(missing_ok=True)

    def _take(self) -> int | None:
        """The descriptor that holds the lock; None when somebody else holds it. Raises ``OSError``."""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(PAUSE_SECONDS)
            with contextlib.ExitStack() as undo:
                # Private: whoever may read it can hold it.
                descriptor = open_private(self.path)
                undo.callback(os.close, descriptor)
                if os.fstat(descriptor).st_nlink > 1:
                    raise OSError(errno.EMLINK, "is another file as well, which would be emptied", str(self.path))
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                # The last holder may have removed the file that was opened here.
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(descriptor), self.path.stat()):
                        undo.pop_all()
                        return descriptor
        return None


def lock_path(ledger: Path) -> Path:
    """Beside the ledger itself: a link to it leads to the same lock."""
    target = real_path(ledger)
    return target.with_name(target.name + ".lock")


def holder_of(ledger: Path) -> Holder | None:
    """Who holds the ledger just now, or None: also where this user may not see that. Makes no file."""
    path = lock_path(ledger)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        # A shared lock for an instant: it succeeds exactly when no run holds the exclusive one.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_holder(path)
    finally:
        os.close(descriptor)
    return None


def may_see_holder(ledger: Path) -> bool:
    """Whether this user can know who holds the ledger: the lock belongs to its owner alone."""
    try:
        os.close(os.open(lock_path(ledger), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK))
    except PermissionError:
        return False
    except OSError:
        return True
    return True


def _read_holder(path: Path) -> Holder | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None


def refuse_network_file_system(ledger: Path, mounts: Path = Path("/proc/self/mounts")) -> None:
    """Raise ``UsageError`` where the ledger would lie on a network file system; a system that does not tell is let."""
    try:
        table = mounts.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return
    kind = file_system_of(real_path(ledger).parent, table)
    if kind in NETWORK_FILE_SYSTEMS:
        raise UsageError(
            f"{ledger}: lies on a network file system ({kind}), where SQLite's write-ahead log is not safe;"
            " name a local place with --ledger"
        )


def file_system_of(folder: Path, mounts: str) -> str:
    """The type of the file system that holds ``folder``, by a table like /proc/self/mounts; empty where it has none."""
    best, kind = "", ""
    for mount in mounts.splitlines():
        _, point, found, *_ = [*mount.split(" "), "", "", ""]
        # Blanks and backslashes are written in octal: see fstab(5).
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point)
        # Of several at one place, the last covers the others.
        if point and folder.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, found
    return kind
