"""Reading a ledger that may only be read: another user's, or one on a read-only mount.

SQLite keeps an index of the write-ahead log beside the file, and makes it even to read. Where it cannot be made, or
would belong to the wrong user, the file is read without: as it is when the log is empty, else by a copy of both.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

BUSY_SECONDS = 10.0


def is_writable(path: Path) -> bool:
    """Whether SQLite may keep its files beside this one."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def connect(path: Path, undo: ExitStack) -> tuple[sqlite3.Connection, Callable[[], bool]]:
    """A connection to what the ledger holds now, and what tells whether that may be believed still.

    ``path`` has no links in it. Raises ``sqlite3.Error`` and ``OSError``.
    """
    log, index = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    if log.exists() and index.exists():
        try:
            return _opened(f"{path.as_uri()}?mode=ro", undo), lambda: True
        except sqlite3.OperationalError:
            pass  # the index cannot be read, or is of another time
    seen = _look(path)
    if not log.exists() or log.stat().st_size == 0:
        # Whoever begins to write it meanwhile appends to a log first: what was opened stays what it was until then.
        return _opened(f"{path.as_uri()}?mode=ro&immutable=1", undo), lambda: _look(path) == seen
    folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="bulkload-")))
    shutil.copyfile(path, folder / "ledger.db")
    shutil.copyfile(log, folder / "ledger.db-wal")
    # A log that grew meanwhile is whole up to its last commit; the file must not have changed under it.
    is_whole = _look(path) == seen
    return _opened((folder / "ledger.db").as_uri(), undo), lambda: is_whole


def _opened(address: str, undo: ExitStack) -> sqlite3.Connection:
    with ExitStack() as failed:
        connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
        failed.callback(connection.close)
        # Nothing is read before something is asked.
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        connection.execute("PRAGMA query_only = ON")
        undo.push(failed.pop_all())
    return connection


def _look(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
