"""One run at a time: the lock beside the ledger, and the file systems on which neither lock nor WAL can be trusted."""

import fcntl
import os
import socket
from pathlib import Path
from typing import Self

import msgspec

from bulkload.core.errors import LedgerInUse, UsageError

# SQLite's WAL needs shared memory, which these do not give between machines (sqlite.org/wal.html).
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs"}
)


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
        self.path = ledger.with_name(ledger.name + ".lock")
        self._ledger = ledger
        self._holder = Holder(pid=os.getpid(), host=socket.gethostname(), started_at=started_at)
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Take the lock. Raises ``LedgerInUse``, naming the holder, or ``UsageError`` where no lock can be made."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UsageError(
                f"{self.path}: cannot be written ({error.strerror}); name another place with --ledger"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read_holder(descriptor)
            os.close(descriptor)
            raise LedgerInUse(
                f"{self._ledger}: in use by {holder}; wait for it to end, or publish with another --ledger"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(self._holder), 0)
        self._descriptor = descriptor
        return self

    def __exit__(self, *_: object) -> None:
        """Give the lock back. The file stays: removing it could pull it from under another process."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def holder_of(ledger: Path) -> Holder | None:
    """Who holds the ledger just now, or None."""
    try:
        descriptor = os.open(ledger.with_name(ledger.name + ".lock"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # A shared lock for an instant: it succeeds exactly when no run holds the exclusive one.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _decode_holder(os.pread(descriptor, 4096, 0))
    finally:
        os.close(descriptor)
    return None


def _read_holder(descriptor: int) -> str:
    holder = _decode_holder(os.pread(descriptor, 4096, 0))
    return str(holder) if holder is not None else "another process"


def _decode_holder(text: bytes) -> Holder | None:
    try:
        return msgspec.json.decode(text, type=Holder)
    except msgspec.MsgspecError:
        return None


def refuse_network_file_system(ledger: Path) -> None:
    """Raise ``UsageError`` where the ledger would lie on a network file system."""
    kind = _file_system(ledger.resolve().parent)
    if kind in NETWORK_FILE_SYSTEMS or kind.startswith("fuse.sshfs"):
        raise UsageError(
            f"{ledger}: lies on a network file system ({kind}), where SQLite's write-ahead log is not safe;"
            " name a local place with --ledger"
        )


def _file_system(folder: Path) -> str:
    """The type of the file system that holds ``folder``; empty where the system does not tell."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    for mount in mounts:
        fields = mount.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        if folder.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind
