"""The ledger's SQL, synchronous: one connection, owned by the writer's thread."""

import sqlite3
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bulkload.core.errors import LedgerError, UsageError
from bulkload.core.records import RegistryVersion, SourceStat
from bulkload.core.states import MOVES, OPEN, IllegalMove, State
from bulkload.core.summary import CauseCount
from bulkload.ledger.records import COLUMNS, LedgerEntry, Outcome, ledger_entry

T = TypeVar("T")

SCHEMA_VERSION = 1


class VersionTaken(Exception):
    """The version id belongs to another entry: the registry's answer named somebody else's version."""


# to -> the states from which the table allows it, as an SQL list.
_SOURCES = {after: ", ".join(f"'{before}'" for before, moves in MOVES.items() if after in moves) for after in State}

# A publication's own columns go back to nothing when the entry is to be published anew.
_FRESH = (
    "sha256 = NULL, fence = NULL, sealed = 0, version_id = NULL, owned = 0, version_uuid = NULL,"
    " status = NULL, cause = NULL, message = NULL, logs = NULL, attempts = 0, adopted = 0, uploaded_at = NULL,"
    " finished_at = NULL, upload_seconds = NULL, convert_seconds = NULL"
)
_PAST = (
    "state, size, sha256, version_id, owned, version_uuid, status, cause, message, logs, attempts, adopted,"
    " uploaded_at, finished_at, upload_seconds, convert_seconds, run_id"
)

_encode = msgspec.json.encode
_decode_version = msgspec.json.Decoder(RegistryVersion).decode


class Store:
    """All statements that the engine's messages need. Times come in as UTC ISO 8601 text."""

    def __init__(self, path: Path) -> None:
        """Open or make the ledger at ``path``. Raises ``LedgerError`` where it is no ledger, or a newer one."""
        self.connection = _connect(path)
        self.run_id = ""

    def close(self) -> None:
        """Close the connection; the last one folds the write-ahead log into the file."""
        self.connection.close()

    # Transactions, for the writer.

    def begin(self) -> None:
        """Begin the transaction of a group."""
        self.connection.execute("BEGIN")

    def commit(self) -> None:
        """Commit the group, durably."""
        self.connection.execute("COMMIT")

    def roll_back(self) -> None:
        """Give the group up."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def attempt(self, operation: Callable[["Store"], T]) -> T:
        """Run one operation of the group; one that raises changes nothing and spares the others."""
        self.connection.execute("SAVEPOINT operation")
        try:
            result = operation(self)
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK TO operation")
                self.connection.execute("RELEASE operation")
            raise
        self.connection.execute("RELEASE operation")
        return result

    # Whom the ledger belongs to, and its runs.

    def claim_for(self, registry: str, **facts: str) -> None:
        """Bind a new ledger to ``registry``. Raises ``UsageError`` when it belongs to another one."""
        row = self.connection.execute("SELECT value FROM meta WHERE key = 'registry'").fetchone()
        if row is not None and row[0] != registry:
            raise UsageError(
                f"this ledger belongs to {row[0]}, not to {registry}; name another one with --ledger,"
                " or publish to its own registry"
            )
        self.connection.executemany(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [("registry", registry), *facts.items()],
        )

    def begin_run(self, run_id: str, started_at: str) -> None:
        """Open a run; every move from now on carries its id."""
        self.run_id = run_id
        self.connection.execute("INSERT INTO runs (run_id, started_at) VALUES (?, ?)", (run_id, started_at))

    def end_run(self, finished_at: str, exit_code: int, summary: str) -> None:
        """Close the run with its summary."""
        self.connection.execute(
            "UPDATE runs SET finished_at = ?, exit_code = ?, summary = ? WHERE run_id = ?",
            (finished_at, exit_code, summary, self.run_id),
        )

    # Entries to work on.

    def heads(self, after_line: int, most: int) -> list[LedgerEntry]:
        """The next planned entries behind ``after_line`` that are the first of their model to be sent."""
        return self._entries(
            f"SELECT {COLUMNS} FROM entries AS head WHERE state = 'planned' AND line > ? AND NOT EXISTS ("
            " SELECT 1 FROM entries AS other WHERE other.workspace_id = head.workspace_id AND other.name = head.name"
            " AND (other.state IN ('uploading', 'in_doubt') OR other.state = 'planned' AND other.line < head.line))"
            " ORDER BY line LIMIT ?",
            (after_line, most),
        )

    def next_of_model(self, model: tuple[int, str]) -> LedgerEntry | None:
        """The first planned entry of a model of which nothing is in flight or in doubt."""
        found = self._entries(
            f"SELECT {COLUMNS} FROM entries WHERE workspace_id = ? AND name = ?"
            " AND state IN ('planned', 'uploading', 'in_doubt') AND (line IS NOT NULL OR state <> 'planned')"
            " ORDER BY state = 'planned', line LIMIT 1",
            model,
        )
        return found[0] if found and found[0].state is State.PLANNED else None

    def in_state(self, state: State, after_id: int, most: int) -> list[LedgerEntry]:
        """Entries in one state, by id, a page at a time."""
        return self._entries(
            f"SELECT {COLUMNS} FROM entries WHERE state = ? AND id > ? ORDER BY id LIMIT ?", (state, after_id, most)
        )

    def in_manifest(self, after_line: int, most: int) -> list[LedgerEntry]:
        """Entries of the manifest, in its order, a page at a time."""
        return self._entries(f"SELECT {COLUMNS} FROM entries WHERE line > ? ORDER BY line LIMIT ?", (after_line, most))

    def entry(self, id_: int) -> LedgerEntry:
        """One entry as it is now."""
        return self._entries(f"SELECT {COLUMNS} FROM entries WHERE id = ?", (id_,))[0]

    def _entries(self, statement: str, arguments: tuple[Any, ...]) -> list[LedgerEntry]:
        return [ledger_entry(row) for row in self.connection.execute(statement, arguments)]

    # Moves.

    def intend(self, id_: int, stat: SourceStat, fence: Iterable[int], sha256: str | None) -> None:
        """The first byte may leave now. With ``sha256`` the whole body is sealed in the same commit."""
        self._move(
            id_,
            State.UPLOADING,
            "size = ?, inode = ?, mtime_ns = ?, ctime_ns = ?, fence = ?, sha256 = ?, sealed = ?,"
            " attempts = attempts + 1, cause = NULL, message = NULL",
            (*_stat_values(stat), _encode(sorted(fence)).decode(), sha256, sha256 is not None),
        )

    def disown(self, id_: int, reason: str) -> None:
        """The version that the answer named is another's: the upload is in doubt again."""
        self._move(id_, State.IN_DOUBT, "version_id = NULL, owned = 0, message = ?", (reason,))

    def note_status(self, id_: int, status: str | None) -> None:
        """The registry's word about a version that it has not judged yet."""
        self.connection.execute("UPDATE entries SET status = ? WHERE id = ?", (status, id_))

    def seal(self, id_: int, sha256: str) -> None:
        """The last piece may leave now."""
        self.connection.execute("UPDATE entries SET sealed = 1, sha256 = ? WHERE id = ?", (sha256, id_))

    def move(self, id_: int, after: State, outcome: Outcome) -> None:
        """Move an entry and write what came of it.

        Raises ``IllegalMove`` for a move that the state table does not have, and ``VersionTaken`` when the version
        belongs to another entry of this ledger.
        """
        changes = {name: value for name in outcome.__struct_fields__ if (value := getattr(outcome, name)) is not None}
        if outcome.owned and self._is_taken(outcome.version_id, id_):
            raise VersionTaken(outcome.version_id)
        columns = ", ".join(f"{name} = ?" for name in changes)
        self._move(id_, after, columns, tuple(changes.values()))

    def _is_taken(self, version_id: int | None, by_other_than: int) -> bool:
        return (
            self.connection.execute(
                "SELECT 1 FROM entries WHERE version_id = ?1 AND owned = 1 AND id <> ?2"
                " UNION ALL SELECT 1 FROM past_publications WHERE version_id = ?1 AND owned = 1",
                (version_id, by_other_than),
            ).fetchone()
            is not None
        )

    def _move(self, id_: int, after: State, columns: str, arguments: tuple[Any, ...]) -> None:
        assignments = f"state = ?, run_id = ?{', ' if columns else ''}{columns}"
        moved = self.connection.execute(
            f"UPDATE entries SET {assignments} WHERE id = ? AND state IN ({_SOURCES[after]})",
            (after, self.run_id, *arguments, id_),
        )
        if moved.rowcount != 1:
            raise IllegalMove(self.entry(id_).state, after)

    def renew(self, id_: int, stat: SourceStat | None = None) -> None:
        """Keep the entry's publication as a past one and plan a new one, of the file as ``stat`` describes it now."""
        self.connection.execute(
            f"INSERT INTO past_publications (entry_id, {_PAST}) SELECT id, {_PAST} FROM entries WHERE id = ?", (id_,)
        )
        self._move(id_, State.PLANNED, _FRESH, ())
        if stat is not None:
            self.same_bytes(id_, stat)

    def same_bytes(self, id_: int, stat: SourceStat) -> None:
        """Note how the file looks now: the publication stays what it is."""
        self.connection.execute(
            "UPDATE entries SET size = ?, inode = ?, mtime_ns = ?, ctime_ns = ? WHERE id = ?",
            (*_stat_values(stat), id_),
        )

    def recover(self) -> None:
        """Sort out what an earlier process left under way: unsealed is not accepted for sure, sealed is in doubt."""
        self.connection.execute("UPDATE entries SET state = 'planned' WHERE state = 'uploading' AND sealed = 0")
        self.connection.execute("UPDATE entries SET state = 'in_doubt' WHERE state = 'uploading'")

    def retake_failed(self, *, with_versions: bool) -> None:
        """Plan ``failed`` entries without a version again; ``with_versions`` also ``error`` and wrong-digest ones."""
        if with_versions:
            again = self.connection.execute(
                "SELECT id FROM entries WHERE line IS NOT NULL"
                " AND (state = 'error' OR state = 'failed' AND version_id IS NOT NULL)"
            ).fetchall()
            for (id_,) in again:
                self.renew(id_)
        self.connection.execute(
            "UPDATE entries SET state = 'planned', cause = NULL, message = NULL, finished_at = NULL"
            " WHERE state = 'failed' AND version_id IS NULL AND line IS NOT NULL"
        )

    # What belongs to whom.

    def claimed(self, entry: LedgerEntry) -> dict[int, str | None]:
        """Versions of this model that other entries hold or held: version id -> that entry's label."""
        return dict(
            self.connection.execute(
                "SELECT version_id, version_label FROM entries"
                " WHERE workspace_id = ?1 AND name = ?2 AND id <> ?3 AND version_id IS NOT NULL"
                " UNION ALL SELECT past.version_id, version_label FROM past_publications AS past"
                " JOIN entries ON entries.id = past.entry_id"
                " WHERE workspace_id = ?1 AND name = ?2 AND past.version_id IS NOT NULL",
                (*entry.model, entry.id),
            )
        )

    def siblings(self, entry: LedgerEntry, sha256: str) -> list[LedgerEntry]:
        """Other entries of this model whose upload of these bytes became a version."""
        return self._entries(
            f"SELECT {COLUMNS} FROM entries WHERE workspace_id = ? AND name = ? AND id <> ? AND sha256 = ?"
            " AND owned = 1 AND state IN ('uploaded', 'ready')",
            (*entry.model, entry.id, sha256),
        )

    # Digests of files, and the registry's listing.

    def digest(self, path: str, stat: SourceStat) -> str | None:
        """The digest of a file that still looks as it did when it was read."""
        row = self.connection.execute(
            "SELECT sha256 FROM digests WHERE path = ? AND inode = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ?",
            (path, stat.inode, stat.size, stat.mtime_ns, stat.ctime_ns),
        ).fetchone()
        return row[0] if row else None

    def remember_digest(self, path: str, stat: SourceStat, sha256: str) -> None:
        """Keep the digest of a file that was read whole."""
        self.connection.execute(
            "INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?, ?)",
            (path, stat.inode, stat.size, stat.mtime_ns, stat.ctime_ns, sha256),
        )

    def clear_listing(self) -> None:
        """Forget what an earlier run saw."""
        self.connection.execute("DELETE FROM listing")

    def add_to_listing(self, versions: list[RegistryVersion]) -> None:
        """Keep those versions whose models this ledger knows."""
        self.connection.executemany(
            "INSERT OR REPLACE INTO listing SELECT ?1, ?2, ?3, ?4, ?5"
            " WHERE EXISTS (SELECT 1 FROM entries WHERE workspace_id = ?2 AND name = ?3)",
            [(v.version_id, v.workspace_id, v.name, v.size, _encode(v).decode()) for v in versions],
        )

    def listed(self, model: tuple[int, str]) -> list[RegistryVersion]:
        """The versions that the registry held of this model when it was asked."""
        rows = self.connection.execute("SELECT version FROM listing WHERE workspace_id = ? AND name = ?", model)
        return [_decode_version(row[0]) for row in rows]

    # Counts.

    def counts(self) -> dict[str, int]:
        """How many entries of the manifest are in each state: all eight keys."""
        return count_states(self.connection)

    def count_open(self) -> int:
        """Entries that a run has work with, also those no longer in the manifest that must be polled or reconciled."""
        states = ", ".join(f"'{state}'" for state in sorted(OPEN))
        row = self.connection.execute(
            f"SELECT count(*) FROM entries WHERE state IN ({states}) AND (line IS NOT NULL OR state <> 'planned')"
        ).fetchone()
        return int(row[0])

    def workspaces_to_list(self) -> list[int]:
        """Workspaces in which something is to be sent or reconciled."""
        rows = self.connection.execute(
            "SELECT DISTINCT workspace_id FROM entries"
            " WHERE state = 'in_doubt' OR state = 'planned' AND line IS NOT NULL"
        )
        return [row[0] for row in rows]

    def failures(self) -> tuple[CauseCount, ...]:
        """Entries that failed, by cause."""
        return count_failures(self.connection)


def _stat_values(stat: SourceStat) -> tuple[int, int, int, int]:
    """In the order of the columns size, inode, mtime_ns, ctime_ns."""
    return stat.size, stat.inode, stat.mtime_ns, stat.ctime_ns


def count_states(connection: sqlite3.Connection) -> dict[str, int]:
    """How many entries of the manifest are in each state: all eight keys."""
    found = dict(connection.execute("SELECT state, count(*) FROM entries WHERE line IS NOT NULL GROUP BY state"))
    return {state.value: found.get(state.value, 0) for state in State}


def count_failures(connection: sqlite3.Connection) -> tuple[CauseCount, ...]:
    """Entries of the manifest that are ``failed`` or ``error``, by cause, most frequent first."""
    rows = connection.execute(
        "SELECT coalesce(cause, state), count(*), min(printf('%09d', line) || name || ': ' || coalesce(message, ''))"
        " FROM entries WHERE state IN ('failed', 'error') AND line IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    return tuple(CauseCount(cause=cause, count=count, example=example[9:]) for cause, count, example in rows)


def _connect(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        connection.execute("PRAGMA journal_mode = WAL")
        # Every commit is on the disk when it returns: intents and seals depend on it.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -16384")
        version = _schema_version(connection)
        if version is None:
            schema = (files("bulkload.ledger") / "schema.sql").read_text(encoding="utf-8")
            connection.executescript(
                f"BEGIN; {schema} INSERT INTO meta VALUES ('schema_version', '{SCHEMA_VERSION}'); COMMIT;"
            )
    except sqlite3.Error as error:
        raise LedgerError(f"{path}: cannot be used as a ledger ({error}); name another one with --ledger") from None
    if version is not None and version > SCHEMA_VERSION:
        connection.close()
        raise LedgerError(f"{path}: was written by a newer bulkload (schema {version}); upgrade bulkload to use it")
    return connection


def _schema_version(connection: sqlite3.Connection) -> int | None:
    """The ledger's schema version; None for a new, empty file."""
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        return None
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    return int(row[0]) if row else 0
