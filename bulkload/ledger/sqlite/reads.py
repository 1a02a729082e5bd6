"""What the ledger is asked: entries to work on, what belongs to whom, counts. Nothing here changes it."""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from bulkload.core.model.records import Look, RegistryVersion
from bulkload.core.model.states import OPEN, State
from bulkload.core.model.summary import CauseCount, cause_counts
from bulkload.ledger.records import LedgerEntry
from bulkload.ledger.sqlite.rows import COLUMNS, DamagedRow, decode_rows, ledger_entry

# The condition of the partial index entries_sending, word for word: SQLite uses the index only for a query that has it.
_SENDING = "(state = 'planned' OR state = 'uploading' OR state = 'in_doubt')"
# What never became a version has no duplicate to look for.
_TO_AUDIT = "audit = 1 AND version_id IS NOT NULL"
_OPEN = ", ".join(f"'{state}'" for state in State if state in OPEN)

# Numbers that a parameter lists.
_GIVEN = "SELECT value FROM json_each(?)"
_STATES = {state.value: state for state in State}

_decode_seconds = msgspec.json.Decoder(dict[str, list[float]]).decode
_decode_version = msgspec.json.Decoder(RegistryVersion).decode


def _numbers(given: Sequence[int]) -> str:
    return msgspec.json.encode(given).decode()


def _state(text: str) -> State:
    """Cheaper than a look into the enumeration. Raises ``DamagedRow``."""
    state = _STATES.get(text)
    if state is None:
        raise DamagedRow(f"{text!r} is no state")
    return state


class Queries:
    """All questions over one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    # Entries to work on.

    def next_entries(self, after_line: int, most: int) -> list[LedgerEntry]:
        """The next planned entries behind ``after_line`` that are the first of their model to be sent."""
        # Each NOT EXISTS is one step in entries_sending, however many versions the model has.
        any_of_model = "SELECT 1 FROM entries WHERE workspace_id = next_entry.workspace_id AND name = next_entry.name"
        of_model = f"{any_of_model} AND {_SENDING}"
        return self._entries(
            f"SELECT {COLUMNS}, NOT EXISTS ({any_of_model} AND id <> next_entry.id) AS only_version"
            " FROM entries AS next_entry WHERE state = 'planned' AND line > ?"
            f" AND NOT EXISTS ({of_model} AND state = 'uploading')"
            f" AND NOT EXISTS ({of_model} AND state = 'in_doubt')"
            f" AND NOT EXISTS ({of_model} AND state = 'planned' AND line < next_entry.line)"
            " ORDER BY line LIMIT ?",
            (after_line, most),
            only_version="only_version",
        )

    def next_of_model(self, model: tuple[int, str]) -> LedgerEntry | None:
        """The first planned entry of a model, when nothing of the model is in flight or in doubt."""
        of_model = f"FROM entries WHERE workspace_id = ? AND name = ? AND {_SENDING}"
        for state in ("uploading", "in_doubt"):
            if self._one(f"SELECT 1 {of_model} AND state = '{state}' LIMIT 1", model) is not None:
                return None
        found = self._entries(
            f"SELECT {COLUMNS} {of_model} AND state = 'planned' AND line IS NOT NULL ORDER BY line LIMIT 1", model
        )
        return found[0] if found else None

    def in_manifest(self, after_line: int, most: int) -> list[LedgerEntry]:
        """Entries of the manifest, in its order, a page at a time."""
        return self._entries(f"SELECT {COLUMNS} FROM entries WHERE line > ? ORDER BY line LIMIT ?", (after_line, most))

    def in_state(self, state: State, after_id: int, most: int) -> list[LedgerEntry]:
        """Entries in one state, also those no longer in the manifest, by id, a page at a time."""
        return self._entries(
            f"SELECT {COLUMNS} FROM entries WHERE state = ? AND id > ? ORDER BY id LIMIT ?", (state, after_id, most)
        )

    def entry(self, id_: int) -> LedgerEntry:
        """One entry as it is now. Raises ``KeyError`` where there is none."""
        found = self._entries(f"SELECT {COLUMNS} FROM entries WHERE id = ?", (id_,))
        if not found:
            raise KeyError(id_)
        return found[0]

    def state(self, id_: int) -> State:
        """Where an entry stands. Raises ``KeyError`` where there is none."""
        row = self._one("SELECT state FROM entries WHERE id = ?", (id_,))
        if row is None:
            raise KeyError(id_)
        return _state(row[0])

    def entries(self, ids: Sequence[int]) -> dict[int, LedgerEntry]:
        """These entries as they are now."""
        found = self._entries(f"SELECT {COLUMNS} FROM entries WHERE id IN ({_GIVEN})", (_numbers(ids),))
        return {item.id: item for item in found}

    # What belongs to whom.

    def claimed(self, entry: LedgerEntry) -> dict[int, str | None]:
        """Versions of this model that are spoken for: version id -> the label of the entry that holds or held it.

        Held now by another entry, or earlier by any, this one included: an upload in doubt made none of them. Where
        several hold one, the last label by the alphabet counts.
        """
        return dict(
            self.connection.execute(
                "SELECT version_id, version_label FROM entries"
                " WHERE workspace_id = ?1 AND name = ?2 AND id <> ?3 AND version_id IS NOT NULL"
                " UNION ALL SELECT past.version_id, version_label FROM past_publications AS past"
                " JOIN entries ON entries.id = past.entry_id"
                " WHERE workspace_id = ?1 AND name = ?2 AND past.version_id IS NOT NULL ORDER BY 1, 2",
                (*entry.model, entry.id),
            )
        )

    def unproved(self, entry: LedgerEntry) -> set[int]:
        """Versions that another entry of this model holds by an answer's word, and whose bytes it may not have."""
        rows = self.connection.execute(
            "SELECT version_id FROM entries WHERE workspace_id = ? AND name = ? AND id <> ? AND version_id IS NOT NULL"
            " AND state = 'uploaded' AND sha256 IS NOT ?",
            (*entry.model, entry.id, entry.sha256),
        )
        return {row[0] for row in rows}

    def siblings(self, entry: LedgerEntry, sha256: str) -> list[LedgerEntry]:
        """Other entries of this model whose upload of these bytes became a version."""
        return self._entries(
            f"SELECT {COLUMNS} FROM entries WHERE workspace_id = ? AND name = ? AND id <> ? AND sha256 = ?"
            " AND owned = 1 AND state IN ('uploaded', 'ready')",
            (*entry.model, entry.id, sha256),
        )

    def digest(self, path: str, look: Look) -> str | None:
        """The digest of a file that still looks as it did when it was read."""
        # NULL is equal to nothing: without a mark, no state of the file is known again.
        row = self._one(
            "SELECT sha256 FROM digests WHERE path = ? AND size = ? AND mark = ?", (path, look.size, look.mark)
        )
        return row[0] if row else None

    def listed(self, model: tuple[int, str]) -> list[RegistryVersion]:
        """The versions that the registry held of this model when it was asked."""
        rows = self.connection.execute("SELECT version FROM listing WHERE workspace_id = ? AND name = ?", model)
        return [_decode_version(row[0]) for row in rows]

    def is_listing_empty(self) -> bool:
        """Whether the registry held nothing of this ledger's models when it was asked."""
        return self._one("SELECT 1 FROM listing LIMIT 1") is None

    def workspaces_to_list(self) -> list[int]:
        """Workspaces in which something is to be sent or reconciled."""
        rows = self.connection.execute(
            "SELECT DISTINCT workspace_id FROM entries"
            " WHERE state = 'in_doubt' OR state = 'planned' AND line IS NOT NULL ORDER BY 1"
        )
        return [row[0] for row in rows]

    def conversion_seconds(self) -> dict[str, list[float]]:
        """How long conversions took, by their kind, oldest first, as the last run kept it."""
        row = self._one("SELECT value FROM meta WHERE key = 'conversion_seconds'")
        with suppress(msgspec.MsgspecError):
            # Only a hint: one that was damaged is none.
            return {} if row is None else _decode_seconds(row[0])
        return {}

    # Counts.

    def counts(self) -> dict[str, int]:
        """How many entries of the manifest are in each state: all eight keys."""
        found = dict(
            self.connection.execute("SELECT state, count(*) FROM entries WHERE line IS NOT NULL GROUP BY state")
        )
        return {state.value: found.get(state.value, 0) for state in State}

    def count_open(self) -> int:
        """Entries that a run has work with, also those no longer in the manifest that must be polled or reconciled."""
        row = self._one(
            f"SELECT count(*) FROM entries WHERE state IN ({_OPEN}) AND (line IS NOT NULL OR state <> 'planned')"
        )
        audits = self._one(f"SELECT count(*) FROM entries WHERE {_TO_AUDIT}")
        return (int(row[0]) if row else 0) + (int(audits[0]) if audits else 0)

    def to_audit(self, after_id: int, most: int) -> list[LedgerEntry]:
        """Entries that were sent again and became a version, by id, a page at a time."""
        return self._entries(
            f"SELECT {COLUMNS} FROM entries WHERE {_TO_AUDIT} AND id > ? ORDER BY id LIMIT ?",
            (after_id, most),
        )

    def failures(self) -> tuple[CauseCount, ...]:
        """Entries of the manifest that are ``failed`` or ``error``, by cause and message, most frequent first."""
        # With one min(), SQLite takes the bare columns from the row that has it: the example is the first in line.
        rows = self.connection.execute(
            "SELECT coalesce(cause, state), coalesce(message, ''), count(*), name, min(line) FROM entries"
            " WHERE state IN ('failed', 'error') AND line IS NOT NULL GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
        )
        return cause_counts((cause, message, count, name) for cause, message, count, name, _ in rows)

    def _entries(self, statement: str, arguments: Sequence[Any], *, only_version: str = "0") -> list[LedgerEntry]:
        """A page in one step of SQLite: at each, Python's lock is given away. A damaged one is looked at row by row."""
        page = f"SELECT json_group_array(json_array({COLUMNS}, {only_version})) FROM ({statement})"
        try:
            (found,) = self.connection.execute(page, arguments).fetchone()
            rows: Iterable[tuple[Any, ...]] = decode_rows(found)
        except (sqlite3.OperationalError, msgspec.MsgspecError):
            rows = self.connection.execute(f"SELECT {COLUMNS}, {only_version} FROM ({statement})", arguments)
        return [ledger_entry(row[:-1], only_version=bool(row[-1])) for row in rows]

    def _one(self, statement: str, arguments: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self.connection.execute(statement, arguments).fetchone()
        return row
