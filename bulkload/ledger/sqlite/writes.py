"""The ledger's messages, synchronous: what changes it. One connection, owned by the writer's thread."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bulkload.core.model.records import Look, RegistryVersion
from bulkload.core.model.states import MOVES, TERMINAL, IllegalMove, State
from bulkload.ledger.deciding import RUN_ENDED, of_another_registry
from bulkload.ledger.records import Outcome
from bulkload.ledger.sqlite.connection import open_for_writing, sql
from bulkload.ledger.sqlite.reads import Queries

T = TypeVar("T")


class VersionTaken(Exception):
    """The version id belongs to another entry: the registry's answer named somebody else's version."""


# to -> the states from which the table allows it, as an SQL list.
_SOURCES = {after: ", ".join(f"'{before}'" for before, moves in MOVES.items() if after in moves) for after in State}

_TERMINAL = ", ".join(f"'{state}'" for state in State if state in TERMINAL)

# What says which version it is; nothing of it may stay when the version turns out to be another's.
_NO_VERSION = (
    "version_id = NULL, owned = 0, version_uuid = NULL, status = NULL, adopted = 0, uploaded_at = NULL,"
    " upload_seconds = NULL"
)
# A publication's own columns go back to nothing when the entry is to be published anew.
_FRESH = (
    f"{_NO_VERSION}, sha256 = NULL, fence = NULL, sealed = 0, retry_requested = 0, cause = NULL, message = NULL,"
    " logs = NULL, attempts = 0, finished_at = NULL, convert_seconds = NULL"
)
_PAST = (
    "state, size, sha256, version_id, owned, version_uuid, status, cause, message, logs, attempts, adopted,"
    " uploaded_at, finished_at, upload_seconds, convert_seconds, run_id"
)
_LOOK = "size = ?, mark = ?"

_encode = msgspec.json.encode


class Store(Queries):
    """All messages of the engine. Times come in as UTC ISO 8601 text."""

    def __init__(self, path: Path) -> None:
        """Open or make the ledger at ``path``. Raises ``LedgerError`` where it is none, a newer or a damaged one."""
        super().__init__(open_for_writing(path))
        self.path = path
        self.run_id = ""
        # Nothing of this outlives the process; the suspects are the last plan's.
        self.connection.executescript(sql("moves.sql"))
        self.connection.execute("CREATE TEMP TABLE suspects (id INTEGER PRIMARY KEY)")

    def close(self) -> None:
        """Close the connection; the last one folds the write-ahead log into the file."""
        self.connection.close()

    # Transactions, for the writer.

    def begin(self) -> None:
        """Begin the transaction of a group.

        Another connection's lock is waited for here: a transaction that reads first, and then is to write, does not.
        """
        self.connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Commit the group, durably."""
        self.connection.execute("COMMIT")

    def roll_back(self) -> None:
        """Give the group up. Where even that fails, closing the connection does it."""
        with suppress(sqlite3.Error):
            self.connection.rollback()

    @property
    def in_transaction(self) -> bool:
        """Whether the group is still there: SQLite itself gives it up when the disk is full or fails."""
        return self.connection.in_transaction

    def attempt(self, operation: Callable[["Store"], T]) -> T:
        """Run one operation of the group; one that raises changes nothing and spares the others."""
        self.connection.execute("SAVEPOINT operation")
        try:
            result = operation(self)
        except BaseException:
            if self.in_transaction:
                self.connection.execute("ROLLBACK TO operation")
                self.connection.execute("RELEASE operation")
            raise
        self.connection.execute("RELEASE operation")
        return result

    # Whom the ledger belongs to, and its runs.

    def claim_for(self, registry: str, **facts: str) -> None:
        """Bind a new ledger to ``registry``. Raises ``UsageError`` when it belongs to another one."""
        row = self._one("SELECT value FROM meta WHERE key = 'registry'")
        if row is not None and row[0] != registry:
            raise of_another_registry(row[0], registry)
        self.connection.executemany(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [("registry", registry), *facts.items()],
        )

    def begin_run(self, run_id: str, started_at: str) -> None:
        """Open a run; every move from now on carries its id."""
        self.connection.execute("INSERT INTO runs (run_id, started_at) VALUES (?, ?)", (run_id, started_at))
        self.run_id = run_id

    def end_run(self, finished_at: str, exit_code: int, summary: str) -> None:
        """Close the run with its summary."""
        self.connection.execute(
            "UPDATE runs SET finished_at = ?, exit_code = ?, summary = ? WHERE run_id = ?",
            (finished_at, exit_code, summary, self.run_id),
        )

    def keep_conversion_seconds(self, seconds: Mapping[str, Sequence[float]]) -> None:
        """Keep how long conversions took, by their kind: the next run asks about versions when they are likely done."""
        self.connection.execute(
            "INSERT INTO meta VALUES ('conversion_seconds', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (_encode(seconds).decode(),),
        )

    def keep_few_pages(self) -> None:
        """After planning, which reads and writes all over the file.

        SQLite looks at every page that it keeps when it commits after a page was split (measured with 3.40).
        """
        self.connection.execute("PRAGMA cache_size = -4096")

    # Moves.

    def move(self, id_: int, after: State, outcome: Outcome) -> None:
        """Move an entry and write what came of it.

        Raises ``IllegalMove`` for a move that the state table does not have, and ``VersionTaken`` when the version
        belongs to another entry of this ledger, or to an earlier publication of this one.
        """
        changes = {name: value for name in outcome.__struct_fields__ if (value := getattr(outcome, name)) is not None}
        if outcome.owned and self._is_taken(outcome.version_id, id_):
            raise VersionTaken(outcome.version_id)
        columns = ", ".join(f"{name} = ?" for name in changes)
        self._move(id_, after, columns, tuple(changes.values()))

    def disown(self, id_: int, reason: str) -> None:
        """The version that the answer named is another's: the upload is in doubt again."""
        self._move(id_, State.IN_DOUBT, f"{_NO_VERSION}, message = ?", (reason,))

    def audited(self, id_: int, note: str | None) -> None:
        """The model was listed once more; ``note`` says what should not be there."""
        self.connection.execute(
            "UPDATE entries SET audit = 0, message = coalesce(?, message) WHERE id = ?", (note, id_)
        )

    def note_planned(self, id_: int, message: str) -> None:
        """Why an entry is still to be sent."""
        self.connection.execute("UPDATE entries SET message = ? WHERE id = ? AND state = 'planned'", (message, id_))

    def note_status(self, id_: int, status: str | None) -> None:
        """The registry's word about a version that it has not judged yet."""
        self.connection.execute("UPDATE entries SET status = ? WHERE id = ? AND state = 'uploaded'", (status, id_))

    def renew(self, id_: int, look: Look | None = None) -> None:
        """Keep the entry's publication as a past one and plan a new one, of the file as ``look`` describes it now.

        Raises ``IllegalMove`` unless the publication has ended: what is under way may still become a version.
        """
        kept = self.connection.execute(
            f"INSERT INTO past_publications (entry_id, {_PAST}) SELECT id, {_PAST} FROM entries"
            f" WHERE id = ? AND state IN ({_TERMINAL})",
            (id_,),
        )
        if kept.rowcount != 1:
            raise IllegalMove(self.state(id_), State.PLANNED)
        self._move(id_, State.PLANNED, _FRESH, ())
        if look is not None:
            self.same_bytes(id_, look)

    def same_bytes(self, id_: int, look: Look) -> None:
        """Note how the file looks now: the publication stays what it is."""
        self.connection.execute(f"UPDATE entries SET {_LOOK} WHERE id = ?", (look.size, look.mark, id_))

    def recover(self) -> None:
        """Sort out what an earlier process left under way: unsealed is not accepted for sure, sealed is in doubt."""
        self.connection.execute(
            "UPDATE entries SET state = 'planned', run_id = ? WHERE state = 'uploading' AND sealed = 0", (self.run_id,)
        )
        self.connection.execute(
            "UPDATE entries SET state = 'in_doubt', run_id = ?, message = ? WHERE state = 'uploading'",
            (self.run_id, RUN_ENDED),
        )

    def retry_failed(self, *, with_versions: bool) -> None:
        """Plan ``failed`` entries without a version again; ``with_versions`` also ``error`` and wrong-digest ones."""
        if with_versions:
            again = self.connection.execute(
                "SELECT id FROM entries WHERE line IS NOT NULL"
                " AND (state = 'error' OR state = 'failed' AND version_id IS NOT NULL)"
            ).fetchall()
            for (id_,) in again:
                self.renew(id_)
                self.connection.execute("UPDATE entries SET retry_requested = 1 WHERE id = ?", (id_,))
        self.connection.execute(
            "UPDATE entries SET state = 'planned', cause = NULL, message = NULL, finished_at = NULL, run_id = ?"
            " WHERE state = 'failed' AND version_id IS NULL AND line IS NOT NULL",
            (self.run_id,),
        )

    def _is_taken(self, version_id: int | None, by_other_than: int) -> bool:
        row = self._one(
            "SELECT 1 FROM entries WHERE version_id = ?1 AND owned = 1 AND id <> ?2"
            " UNION ALL SELECT 1 FROM past_publications WHERE version_id = ?1 AND owned = 1",
            (version_id, by_other_than),
        )
        return row is not None

    def _move(self, id_: int, after: State, columns: str, arguments: tuple[Any, ...]) -> None:
        assignments = f"state = ?, run_id = ?{', ' if columns else ''}{columns}"
        moved = self.connection.execute(
            f"UPDATE entries SET {assignments} WHERE id = ? AND state IN ({_SOURCES[after]})",
            (after, self.run_id, *arguments, id_),
        )
        if moved.rowcount != 1:
            raise IllegalMove(self.state(id_), after)

    # What was learnt about files and about the registry.

    def remember_digest(self, path: str, look: Look, sha256: str) -> None:
        """Keep the digest of a file that was read whole, where the same state of it can be told again."""
        if look.mark is not None:
            self.connection.execute(
                "INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?)", (path, look.size, look.mark, sha256)
            )

    def clear_listing(self) -> None:
        """Forget what an earlier run saw."""
        self.connection.execute("DELETE FROM listing")

    def add_to_listing(self, versions: Sequence[RegistryVersion]) -> None:
        """Keep those versions whose models this ledger knows."""
        self.connection.executemany(
            "INSERT OR REPLACE INTO listing SELECT ?1, ?2, ?3, ?4, ?5"
            " WHERE EXISTS (SELECT 1 FROM entries WHERE workspace_id = ?2 AND name = ?3)",
            [(v.version_id, v.workspace_id, v.name, v.size, _encode(v).decode()) for v in versions],
        )
