"""Opening a ledger's file: what it must be, and how SQLite is to treat it."""

import contextlib
import errno
import os
import sqlite3
import stat
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from bulkload.core.model.errors import LedgerError
from bulkload.ledger.sqlite import unwritable
from bulkload.ledger.sqlite.unwritable import is_writable
from bulkload.system.file_names import real_path
from bulkload.system.private import is_private, make_private

# ``migration_N.sql`` brings a ledger of the version before N to N.
SCHEMA_VERSION = 2

# How long a statement waits for another connection's lock: a person's SQLite client may hold one for a moment.
BUSY_SECONDS = 10.0

# What the module raises. SQLite's message about a damaged file quotes it, and may be no text: then it is the second,
# where nothing but SQLite is asked.
SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)

# Up to here a ledger is checked whole whenever it is opened for writing, which takes a quarter of a second at most. A
# larger one is when its last run was killed: a million entries (900 MB) take four seconds.
ALWAYS_CHECKED_BYTES = 64 << 20


class GarbledError(sqlite3.DatabaseError):
    """SQLite's message was no text."""


class _Connection(sqlite3.Connection):
    """Raises the module's own errors and no others.

    Among its statements others decode texts, of schemas for one; what they raise is not SQLite's word.
    """

    def execute(self, *words: Any) -> sqlite3.Cursor:
        try:
            return super().execute(*words)
        except UnicodeDecodeError as error:
            raise GarbledError(str(error)) from None

    def executemany(self, *words: Any) -> sqlite3.Cursor:
        try:
            return super().executemany(*words)
        except UnicodeDecodeError as error:
            raise GarbledError(str(error)) from None


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open or make the ledger at ``path``; it belongs to the calling thread.

    One of an older schema is brought up to this one. Raises ``LedgerError`` where it is no ledger, a newer one, or
    damaged; the file is then as before.
    """
    # Whoever closes a ledger folds its write-ahead log into the file and removes it.
    log = path.with_name(path.name + "-wal")
    was_killed = log.exists() and log.stat().st_size > 0
    with contextlib.ExitStack() as undo:
        try:
            _make_private(real_path(path))
            # Absolute: to SQLite, ":memory:" and "file:..." are no names of files.
            connection = sqlite3.connect(
                path.absolute(), isolation_level=None, timeout=BUSY_SECONDS, factory=_Connection
            )
            undo.callback(connection.close)
            is_empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
            version = SCHEMA_VERSION if is_empty else check_schema_version(connection, path)
            if was_killed or path.stat().st_size <= ALWAYS_CHECKED_BYTES:
                _check_integrity(connection, path)
            _set_up(connection, path)
            if is_empty:
                _create(connection)
            elif version < SCHEMA_VERSION:
                _migrate(connection, version)
        except SQLITE_ERRORS as error:
            remedy = f"cannot be used as a ledger ({error}); name another one with --ledger"
            raise ledger_error(path, error, remedy) from None
        except OSError as error:
            remedy = f"cannot be used as a ledger ({error.strerror}); name another one with --ledger"
            raise LedgerError(f"{path}: {remedy}") from None
        undo.pop_all()
    return connection


def _make_private(path: Path) -> None:
    """The ledger, and what SQLite keeps beside it, are this user's alone. Raises ``OSError`` and SQLITE_ERRORS.

    SQLite gives new files beside the ledger the mode of the ledger; what an earlier version left may be readable.
    """
    if path.exists() and not path.is_file():
        # SQLite would wait for who writes into a pipe.
        raise OSError(errno.EPERM, "is no regular file", str(path))
    if path.exists() and not is_private(path):
        # A file that is no ledger keeps its mode. Closed before the mode is changed, which opens and closes the file.
        address = f"{path.as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)) as connection:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                check_schema_version(connection, path)
    make_private(path)
    for beside in _refuse_strangers(path):
        make_private(beside)


def _refuse_strangers(path: Path) -> list[Path]:
    """What SQLite keeps beside a ledger: of its owner or of this user. Raises ``LedgerError`` and ``OSError``.

    SQLite would take what it holds for the ledger's, and, for root, take the file over with those who have it open.
    """
    own = {os.geteuid(), path.stat().st_uid}
    found = []
    for beside in (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm")):
        # Whoever closes the ledger last removes them.
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG((seen := beside.lstat()).st_mode) or seen.st_uid not in own:
                whose = "belongs to another user" if stat.S_ISREG(seen.st_mode) else "was laid there by somebody"
                raise LedgerError(
                    f"{beside}: {whose}, who could change the ledger by it; remove it when no run is"
                    " under way, or name another ledger"
                )
            found.append(beside)
    return found


def open_for_reading(path: Path, undo: contextlib.ExitStack) -> tuple[sqlite3.Connection, Callable[[], bool]]:
    """Open a ledger that exists, never to write; ``undo`` closes it. Also what tells whether it may be believed still.

    Raises ``LedgerError`` where it is no ledger, a newer one, or cannot be read. One of an older schema stays as it is.
    """
    try:
        if not path.is_file():
            raise LedgerError(f"{path}: there is no such ledger; `bulkload run MANIFEST` makes one")
        found = real_path(path)
        with found.open("rb"):
            pass
        _refuse_strangers(found)
        if is_writable(found):
            connection = sqlite3.connect(f"{found.as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
            undo.callback(connection.close)
            is_valid: Callable[[], bool] = lambda: True  # noqa: E731
        else:
            connection, is_valid = unwritable.connect(found, undo)
        check_schema_version(connection, path)
    except SQLITE_ERRORS as error:
        raise ledger_error(path, error, f"is not a bulkload ledger ({error})") from None
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read ({error.strerror}); ask its owner") from None
    return connection, is_valid


def ledger_error(path: Path, error: Exception, otherwise: str) -> LedgerError:
    """One of SQLITE_ERRORS in this ledger: what to do where the file is damaged, else ``otherwise``."""
    # The module's own errors have no code.
    is_corrupt = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT
    if is_corrupt or isinstance(error, GarbledError | UnicodeDecodeError):
        return damaged(path, str(error))
    return LedgerError(f"{path}: {otherwise}")


def damaged(path: Path, what: str) -> LedgerError:
    """The file has lost what it held, and where to find it again."""
    return LedgerError(
        f"{path}: the ledger is damaged ({' '.join(what.split())}); move it away, wait until uploads under way have"
        " landed, and run again: with --on-existing skip, what the registry holds is not sent twice"
    )


def check_schema_version(connection: sqlite3.Connection, path: Path) -> int:
    """The ledger's schema version. Raises ``LedgerError`` for a newer ledger, and for another program's database."""
    try:
        row = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    except sqlite3.OperationalError as error:
        if "no such" not in str(error):
            raise
        row = None
    version = int(row[0]) if row is not None and str(row[0]).isdecimal() else 0
    if version > SCHEMA_VERSION:
        raise LedgerError(f"{path}: was written by a newer bulkload (schema {version}); upgrade bulkload to use it")
    if version < 1:
        raise LedgerError(f"{path}: is not a bulkload ledger but another database; name another file with --ledger")
    return version


def _check_integrity(connection: sqlite3.Connection, path: Path) -> None:
    """Raise ``LedgerError`` for a damaged file.

    Structure, and every index against its table: columns that decide what is sent are all in one (``schema.sql``).
    """
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise damaged(path, found)


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise LedgerError(
            f"{path}: SQLite can keep no write-ahead log there (journal mode {mode}); name a local place with --ledger"
        )
    # Every commit is on the disk when it returns: intents and seals depend on it.
    connection.execute("PRAGMA synchronous = FULL")
    # In kibibytes, as it is negative.
    connection.execute("PRAGMA cache_size = -16384")


def _create(connection: sqlite3.Connection) -> None:
    schema = sql("schema.sql")
    connection.executescript(f"BEGIN; {schema} INSERT INTO meta VALUES ('schema_version', '{SCHEMA_VERSION}'); COMMIT;")


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """All steps or none: a script that fails leaves its transaction to be rolled back when the connection closes."""
    steps = "".join(sql(f"migration_{number}.sql") for number in range(version + 1, SCHEMA_VERSION + 1))
    connection.executescript(
        f"BEGIN IMMEDIATE; {steps} UPDATE meta SET value = '{SCHEMA_VERSION}' WHERE key = 'schema_version'; COMMIT;"
    )


def sql(name: str) -> str:
    """The statements of a file beside this one."""
    return (files("bulkload.ledger.sqlite") / name).read_text(encoding="utf-8")
