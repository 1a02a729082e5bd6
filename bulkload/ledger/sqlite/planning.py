"""Planning: the manifest's entries, one after the other, into the ledger, in one transaction."""

import sqlite3
from typing import Any

import msgspec

from bulkload.core.model.records import Look
from bulkload.core.model.states import State
from bulkload.ledger.deciding import FileNews, file_news
from bulkload.ledger.records import LedgerEntry, PlannedEntry
from bulkload.ledger.sqlite.rows import COLUMNS, ledger_entry
from bulkload.ledger.sqlite.writes import Store

_encode = msgspec.json.encode


_KNOWN = "entry_key, id, line, spec, state, sha256, version_id, size, mark"


def suspects(store: Store, after_id: int, most: int) -> list[LedgerEntry]:
    """Entries of the last plan whose file looks different from the one that was published, a page at a time."""
    rows = store.connection.execute(
        f"SELECT {COLUMNS} FROM entries WHERE id IN (SELECT id FROM temp.suspects WHERE id > ? ORDER BY id LIMIT ?)"
        " ORDER BY id",
        (after_id, most),
    )
    return [ledger_entry(row) for row in rows]


class Planning:
    """One plan under way: known entries keep their state, new ones are planned."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._connection = store.connection
        self._connection.execute("DELETE FROM temp.suspects")
        (last_id,) = self._connection.execute("SELECT coalesce(max(id), 0) FROM entries").fetchone()
        # By id, whether the entry was planned: a byte each.
        self._planned = bytearray(last_id + 1)
        # A manifest is mostly what it was: to read the ledger along with it costs less than a search for each entry.
        self._in_order = self._connection.execute(f"SELECT {_KNOWN} FROM entries WHERE line IS NOT NULL ORDER BY line")
        self._ahead: tuple[Any, ...] | None = self._in_order.fetchone()

    def close(self) -> None:
        """End the reading."""
        self._in_order.close()

    def add(self, planned: PlannedEntry) -> int | None:
        """Plan one entry; the line of the same entry where this manifest had it already."""
        spec = _encode(planned.entry).decode()
        known = self._find(planned.entry_key, planned.entry.line)
        if known is None:
            self._note(_insert(self._connection, planned, spec))
            return None
        id_: int = known[1]
        if self._planned[id_]:
            first_line: int = self._connection.execute("SELECT line FROM entries WHERE id = ?", (id_,)).fetchone()[0]
            return first_line
        self._planned[id_] = True
        _plan_known(self._store, planned, spec, known)
        return None

    def _find(self, key: str, line: int) -> tuple[Any, ...] | None:
        while self._ahead is not None and self._ahead[2] < line:
            self._ahead = self._in_order.fetchone()
        if self._ahead is not None and self._ahead[0] == key:
            return self._ahead
        found: tuple[Any, ...] | None = self._connection.execute(
            f"SELECT {_KNOWN} FROM entries WHERE entry_key = ?", (key,)
        ).fetchone()
        return found

    def _note(self, id_: int) -> None:
        """A new entry's id."""
        self._planned.extend(bytes(id_ + 1 - len(self._planned)))
        self._planned[id_] = True

    def drop_absent(self) -> None:
        """Entries that the manifest no longer has keep their data."""
        listed = self._connection.execute("SELECT id FROM entries WHERE line IS NOT NULL")
        absent = ((id_,) for (id_,) in listed if not self._planned[id_])
        self._connection.executemany("UPDATE entries SET line = NULL WHERE id = ?", absent)


def _insert(connection: sqlite3.Connection, planned: PlannedEntry, spec: str) -> int:
    entry = planned.entry
    cursor = connection.execute(
        "INSERT INTO entries (entry_key, line, workspace_id, name, version_label, path, framework, spec, labels,"
        " size, mark, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'planned')",
        (
            planned.entry_key,
            entry.line,
            planned.workspace_id,
            entry.name,
            entry.version,
            entry.path,
            entry.conversion.framework,
            spec,
            _encode(entry.labels).decode(),
            *_look_columns(planned.look),
        ),
    )
    if cursor.lastrowid is None:
        raise AssertionError("an insert gives a row id")
    return cursor.lastrowid


def _plan_known(store: Store, planned: PlannedEntry, spec: str, known: tuple[Any, ...]) -> None:
    """Follow the manifest with an entry that the ledger knows, and look whether its file is still the same."""
    _, id_, line, known_spec, state, sha256, version_id, size, mark = known
    entry = planned.entry
    if line != entry.line or known_spec != spec:
        store.connection.execute(
            "UPDATE entries SET line = ?, spec = ?, labels = ? WHERE id = ?",
            (entry.line, spec, _encode(entry.labels).decode(), id_),
        )
    look = planned.look
    looks_the_same = look is not None and mark is not None and (look.size, look.mark) == (size, mark)
    if looks_the_same and entry.sha256 in (None, sha256):
        return  # of a million entries nearly all
    news = file_news(planned, State(state), version_id, sha256, None if size is None else Look(size, mark))
    if news is FileNews.SUSPECT:
        store.connection.execute("INSERT INTO temp.suspects VALUES (?)", (id_,))
    elif news is FileNews.OTHER_BYTES:
        store.renew(id_, planned.look)
    elif news is FileNews.LOOK and planned.look is not None:
        store.same_bytes(id_, planned.look)


def _look_columns(look: Look | None) -> tuple[int | str | None, ...]:
    return (None, None) if look is None else (look.size, look.mark)
