"""The lock's own promises, and which file systems are refused."""

import fcntl
import os
import time
from pathlib import Path

import pytest

from bulkload.core.model.errors import LedgerInUse, UsageError
from bulkload.ledger.sqlite.lock import (
    NETWORK_FILE_SYSTEMS,
    LedgerLock,
    file_system_of,
    holder_of,
    refuse_network_file_system,
)

STARTED_AT = "2026-01-06T16:34:30Z"


def test_the_holder_is_known_while_it_holds(path: Path) -> None:
    assert holder_of(path) is None
    with LedgerLock(path, STARTED_AT):
        found = holder_of(path)
        assert found is not None
        assert (found.pid, found.started_at) == (os.getpid(), STARTED_AT)
        assert str(found) == f"process {os.getpid()} on {found.host} since {STARTED_AT}"
    assert holder_of(path) is None


def test_asking_for_the_holder_makes_no_file(path: Path) -> None:
    assert holder_of(path) is None
    assert list(path.parent.iterdir()) == []


def test_what_a_killed_run_left_in_the_file_is_no_holder(path: Path) -> None:
    with LedgerLock(path, STARTED_AT) as lock:
        left = lock.path.read_bytes()
    lock.path.write_bytes(left)
    assert holder_of(path) is None


def test_an_unreadable_holder_is_another_process(path: Path) -> None:
    with LedgerLock(path, STARTED_AT) as lock:
        lock.path.write_bytes(b"{")
        with pytest.raises(LedgerInUse, match="in use by another process; wait for it to end"):
            LedgerLock(path, "later").__enter__()


def test_a_status_that_looks_for_the_holder_is_no_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``status`` holds the lock for an instant; a run that begins just then is not refused."""
    with LedgerLock(path, STARTED_AT) as lock:
        pass
    with lock.path.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        monkeypatch.setattr(time, "sleep", lambda _: fcntl.flock(looking, fcntl.LOCK_UN))
        with LedgerLock(path, STARTED_AT):
            assert holder_of(path) is not None


def test_a_link_to_a_ledger_has_the_ledgers_lock(path: Path) -> None:
    """Two names, one file: two runs under two names would still be two writers."""
    link = path.parent / "link.db"
    link.symlink_to(path)
    with LedgerLock(path, STARTED_AT), pytest.raises(LedgerInUse):
        LedgerLock(link, "later").__enter__()


def test_a_lock_that_cannot_be_made_is_named(path: Path) -> None:
    LedgerLock(path, STARTED_AT).path.mkdir()
    with pytest.raises(UsageError, match=r"\.lock: cannot be written \(Is a directory\)"):
        LedgerLock(path, STARTED_AT).__enter__()


def test_a_refused_lock_leaves_no_descriptor_open(path: Path) -> None:
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("there is no /proc here")
    with LedgerLock(path, STARTED_AT):
        before = len(list(folder.iterdir()))
        with pytest.raises(LedgerInUse):
            LedgerLock(path, "later").__enter__()
        assert len(list(folder.iterdir())) == before


MOUNTS = r"""
/dev/vda / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb /home/me/fast xfs rw 0 0
//server/share /mnt/my\040share cifs rw 0 0
systemd-1 /data autofs rw 0 0
server:/data /data nfs rw 0 0
me@host: /mnt/ssh fuse.sshfs rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/srv/models", "ext4"),
        # A name that only begins in the same way is not below.
        ("/homes", "ext4"),
        ("/home/me", "nfs4"),
        ("/home/me/fast/models", "xfs"),
        ("/mnt/my share/models", "cifs"),
        ("/data", "nfs"),
        ("/mnt/ssh", "fuse.sshfs"),
    ],
)
def test_a_folder_lies_on_the_innermost_and_last_mount(folder: str, kind: str) -> None:
    assert file_system_of(Path(folder), MOUNTS) == kind


def test_where_no_mount_is_known_nothing_is_claimed() -> None:
    assert file_system_of(Path("/srv"), "") == ""


@pytest.mark.parametrize("kind", sorted(NETWORK_FILE_SYSTEMS))
def test_a_network_file_system_is_refused_with_the_reason(kind: str, path: Path, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/x {path.parent.resolve()} {kind} rw 0 0\n")
    with pytest.raises(UsageError, match=rf"network file system \({kind}\).*write-ahead log is not safe.*--ledger"):
        refuse_network_file_system(path, mounts)


def test_a_local_one_and_a_system_that_does_not_tell_are_let(path: Path, tmp_path: Path) -> None:
    refuse_network_file_system(path, tmp_path / "absent")
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/vda / ext4 rw 0 0\n")
    refuse_network_file_system(path, mounts)
