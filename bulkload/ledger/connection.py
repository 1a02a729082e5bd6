"""Opening a ledger's file: what it must be, and how SQLite is to treat it."""

import contextlib
import sqlite3
from importlib.resources import files
from pathlib import Path

from bulkload.core.errors import LedgerError

SCHEMA_VERSION = 1

# How long a statement waits for another connection's lock: a person's SQLite client may hold one for a moment.
BUSY_SECONDS = 10.0


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open or make the ledger at ``path``; it belongs to the calling thread.

    Raises ``LedgerError`` where it is no ledger, or a newer one; the file is then as before.
    """
    with contextlib.ExitStack() as undo:
        try:
            connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
            undo.callback(connection.close)
            is_empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
            if not is_empty:
                check_schema_version(connection, path)
            _set_up(connection, path)
            if is_empty:
                _create(connection)
        except sqlite3.Error as error:
            raise LedgerError(f"{path}: cannot be used as a ledger ({error}); name another one with --ledger") from None
        undo.pop_all()
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open a ledger that exists, never to write. Raises ``LedgerError`` where it is no ledger, or a newer one."""
    if not path.is_file():
        raise LedgerError(f"{path}: there is no such ledger; `bulkload run MANIFEST` makes one")
    with contextlib.ExitStack() as undo:
        try:
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
            undo.callback(connection.close)
            check_schema_version(connection, path)
        except sqlite3.Error as error:
            raise LedgerError(f"{path}: is not a bulkload ledger ({error})") from None
        undo.pop_all()
    return connection


def check_schema_version(connection: sqlite3.Connection, path: Path) -> None:
    """Raise ``LedgerError`` for a newer ledger, and for another program's database."""
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
    schema = (files("bulkload.ledger") / "schema.sql").read_text(encoding="utf-8")
    connection.executescript(f"BEGIN; {schema} INSERT INTO meta VALUES ('schema_version', '{SCHEMA_VERSION}'); COMMIT;")
