"""Reading a ledger without disturbing its writer: ``status``, ``results``, also in mid-run."""

import contextlib
import sqlite3
from collections.abc import Collection, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, cast

import msgspec

from bulkload.core.identity.verification import LedgerWord
from bulkload.core.model.errors import LedgerError
from bulkload.core.model.states import State
from bulkload.core.model.summary import CauseCount
from bulkload.ledger.records import RESULT_COLUMNS, SentFile
from bulkload.ledger.sqlite.connection import SQLITE_ERRORS, check_schema_version, ledger_error, open_for_reading
from bulkload.ledger.sqlite.heartbeat import last_beat
from bulkload.ledger.sqlite.lock import Holder, holder_of, may_see_holder
from bulkload.ledger.sqlite.reads import Queries

__all__ = ["RESULT_COLUMNS", "LedgerReader"]

_decode_ids = msgspec.json.Decoder(frozenset[int]).decode
# Schema 1 held what is a mark since: as ``migration_2.sql`` makes it of that. All else that is read here is the same.
_MARK_OF_SCHEMA_1 = (
    "CASE WHEN mtime_ns IS NOT NULL AND ctime_ns IS NOT NULL THEN printf('%u:%d:%d', inode, mtime_ns, ctime_ns) END"
)
# Columns that a ledger of schema 1 has not in its view.
_COLUMN_SOURCES = {
    "workspace": "json_extract(spec, '$.workspace')",
    "registry": "(SELECT value FROM meta WHERE key = 'registry')",
}
_RUN_COLUMNS = ("run_id", "started_at", "finished_at", "exit_code")


class LedgerReader:
    """A read-only look at a ledger. Its connection never checkpoints.

    Every method raises ``LedgerError`` where the file turns out to be damaged.
    """

    def __init__(self, path: Path) -> None:
        """Raises ``LedgerError`` where there is no ledger, or a newer one; makes no file where there is none."""
        self.path = path
        with contextlib.ExitStack() as undo:
            self._connection, self._is_valid = open_for_reading(path, undo)
            self._undo = undo.pop_all()
        self._queries = Queries(self._connection)

    def __enter__(self) -> Self:
        """Nothing more to open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._undo.close()

    @property
    def endpoint(self) -> str | None:
        """Where the last run published to."""
        return self._fact("endpoint")

    @property
    def registry(self) -> str | None:
        """Whom it belongs to: an address, or a sandbox's own id."""
        return self._fact("registry")

    @property
    def manifest(self) -> str | None:
        """The manifest of the last run."""
        return self._fact("manifest")

    @property
    def holder(self) -> Holder | None:
        """The run that works on this ledger just now."""
        return holder_of(self.path)

    @property
    def heartbeat(self) -> bytes | None:
        """What the run that works on it last said of itself; one that was killed leaves it behind."""
        return last_beat(self.path)

    @property
    def may_see_holder(self) -> bool:
        """Whether this user can know it: ``holder`` is None, too, where it cannot be known."""
        return may_see_holder(self.path)

    def counts(self) -> dict[str, int]:
        """How many entries of the manifest are in each state: all eight keys."""
        with self._reading():
            return self._queries.counts()

    def failures(self) -> tuple[CauseCount, ...]:
        """Entries of the manifest that failed, by cause."""
        with self._reading():
            return self._queries.failures()

    def last_run(self) -> dict[str, Any] | None:
        """The newest run: run_id, started_at, finished_at, exit_code (None while it works, or when it was killed)."""
        # In the order in which they began, whatever the wall clock said.
        statement = f"SELECT {', '.join(_RUN_COLUMNS)} FROM runs ORDER BY number DESC LIMIT 1"
        with self._reading():
            row = self._connection.execute(statement).fetchone()
        return dict(zip(_RUN_COLUMNS, row, strict=True)) if row else None

    def results(
        self, columns: Sequence[str] = RESULT_COLUMNS, states: Collection[State] = (), limit: int | None = None
    ) -> Iterator[tuple[Any, ...]]:
        """Rows of ``columns``, in manifest order; entries no longer in the manifest come last.

        ``states``: only entries in one of them; empty: all. ``limit``: the first rows only.
        """
        left = -1 if limit is None else limit
        select = f"SELECT {', '.join(_COLUMN_SOURCES.get(column, column) for column in columns)} FROM entries"
        # A plus sign: not by the index of states, after which a million rows would have to be sorted.
        wanted = f" AND +state IN ({', '.join('?' * len(states))})" if states else ""
        with self._reading():
            # Each by its index: neither a million rows nor their logs are sorted.
            for which, order in (("line IS NOT NULL", "line"), ("line IS NULL", "entry_key")):
                statement = f"{select} WHERE {which}{wanted} ORDER BY {order} LIMIT ?"
                # Not `yield from`: who stops early, and closes the ledger, would close the cursor after it.
                for row in self._connection.execute(statement, (*states, left)):
                    left -= 1 if left > 0 else 0
                    yield row

    def troubles(self, most: int) -> list[tuple[str, str, str]]:
        """The first ``most`` entries of the manifest that failed or ended in error: (state, name, message)."""
        with self._reading():
            rows = self._connection.execute(
                "SELECT state, name, coalesce(message, cause, '') FROM entries"
                " WHERE state IN ('failed', 'error') AND line IS NOT NULL ORDER BY line LIMIT ?",
                (most,),
            )
            return list(rows)

    def converting(self, most: int) -> list[tuple[str, str, str]]:
        """The first ``most`` entries of the manifest that the registry has not judged: (status, framework, name)."""
        with self._reading():
            rows = self._connection.execute(
                "SELECT coalesce(status, ''), framework, name FROM entries"
                " WHERE state = 'uploaded' AND line IS NOT NULL ORDER BY line LIMIT ?",
                (most,),
            )
            return list(rows)

    def sent_files(self) -> Generator[SentFile]:
        """The files of the manifest whose bytes were sent, or found equal, in its order."""
        mark = "mark"
        if check_schema_version(self._connection, self.path) == 1:
            mark = _MARK_OF_SCHEMA_1
        statement = (
            f"SELECT line, path, framework, size, {mark} FROM entries"
            " WHERE line IS NOT NULL AND sha256 IS NOT NULL AND size IS NOT NULL ORDER BY line"
        )
        with self._reading(), contextlib.closing(self._connection.execute(statement)) as rows:
            # Plain tuples: to name their places takes as long as to read them.
            yield from cast("Iterator[SentFile]", rows)

    def workspaces(self) -> list[int]:
        """The workspaces of this ledger's models."""
        with self._reading():
            rows = self._connection.execute("SELECT DISTINCT workspace_id FROM entries ORDER BY 1").fetchall()
        return [row[0] for row in rows]

    def words(self) -> Iterator[tuple[LedgerWord, frozenset[int] | None]]:
        """What is said about every entry, also of those no longer in the manifest.

        And which versions its model had before it was sent; None where it was not.
        """
        columns = LedgerWord.__struct_fields__
        with self._reading():
            for *values, fence in self._connection.execute(f"SELECT {', '.join(columns)}, fence FROM entries"):
                yield (
                    LedgerWord(**dict(zip(columns, values, strict=True))),
                    None if fence is None else _decode_ids(fence),
                )

    def past_versions(self) -> Iterator[int]:
        """Versions of publications that newer ones of the same entries replaced."""
        with self._reading():
            for row in self._connection.execute(
                "SELECT version_id FROM past_publications WHERE version_id IS NOT NULL"
            ):
                yield row[0]

    def copy_to(self, path: Path) -> None:
        """A ledger of its own in a new file, with all that this one holds now."""
        with self._reading(), contextlib.closing(sqlite3.connect(path)) as copy:
            self._connection.backup(copy)

    def _fact(self, key: str) -> str | None:
        with self._reading():
            row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except SQLITE_ERRORS as error:
            if self._is_valid():
                raise ledger_error(self.path, error, f"cannot be read ({error})") from None
        if not self._is_valid():
            raise LedgerError(f"{self.path}: was written to while it was read, by a run of its owner; read it again")
