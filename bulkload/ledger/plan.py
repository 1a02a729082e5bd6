"""Planning: the manifest's entries, one after the other, into the ledger, in one transaction."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bulkload.core.errors import ManifestError
from bulkload.core.records import Entry, Problem, SourceStat
from bulkload.core.states import TERMINAL, State
from bulkload.ledger.records import COLUMNS, LedgerEntry, PlannedEntry, ledger_entry
from bulkload.ledger.store import Store

_encode = msgspec.json.encode

# Entries whose file looks different from the one that was published; each still has to be read.
_SUSPECTS = "temp.suspects"


def plan(
    store: Store, manifest: str, entries: Iterable[PlannedEntry], progress: Callable[[int], None] = lambda _: None
) -> None:
    """Bring the ledger up to the manifest: new entries are planned, known ones keep their state, absent ones data only.

    ``progress`` is told the number of entries so far, now and then, from the ledger's thread. Raises
    ``ManifestError`` when two entries turn out to be the same; the ledger is then as before.
    """
    connection = store.connection
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS planned (id INTEGER PRIMARY KEY, line INTEGER NOT NULL)")
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS suspects (id INTEGER PRIMARY KEY)")
    connection.execute("DELETE FROM temp.planned")
    connection.execute(f"DELETE FROM {_SUSPECTS}")
    problems: list[Problem] = []
    for number, planned in enumerate(entries, start=1):
        twin = _plan_one(store, planned)
        if twin is not None:
            problems.append(_same_entry(manifest, planned.entry, twin))
        if number % 1000 == 0:
            progress(number)
    if problems:
        raise ManifestError(f"{manifest}: {len(problems)} problems", tuple(problems))
    connection.execute(
        "UPDATE entries SET line = NULL WHERE line IS NOT NULL AND id NOT IN (SELECT id FROM temp.planned)"
    )


def suspects(store: Store, after_id: int, most: int) -> list[LedgerEntry]:
    """Entries of the last plan whose file looks different from the one that was published, a page at a time."""
    rows = store.connection.execute(
        f"SELECT {COLUMNS} FROM entries WHERE id IN (SELECT id FROM {_SUSPECTS} WHERE id > ? ORDER BY id LIMIT ?)"
        " ORDER BY id",
        (after_id, most),
    )
    return [ledger_entry(row) for row in rows]


def _plan_one(store: Store, planned: PlannedEntry) -> int | None:
    """Plan one entry; the line of its twin where this manifest had the same one already."""
    connection = store.connection
    entry, stat = planned.entry, planned.stat
    row = connection.execute(
        "SELECT id, line, spec, state, size, inode, mtime_ns, ctime_ns FROM entries WHERE entry_key = ?",
        (planned.entry_key,),
    ).fetchone()
    spec = _encode(entry).decode()
    if row is None:
        id_ = _insert(connection, planned, spec)
    else:
        id_, line, known_spec, state, *known_stat = row
        if line != entry.line or known_spec != spec:
            connection.execute(
                "UPDATE entries SET line = ?, spec = ?, labels = ? WHERE id = ?",
                (entry.line, spec, _encode(entry.labels).decode(), id_),
            )
        if stat is not None and known_stat != [stat.size, stat.inode, stat.mtime_ns, stat.ctime_ns]:
            if state in TERMINAL:
                connection.execute(f"INSERT OR IGNORE INTO {_SUSPECTS} VALUES (?)", (id_,))
            elif state == State.PLANNED:
                store.same_bytes(id_, stat)
    try:
        connection.execute("INSERT INTO temp.planned VALUES (?, ?)", (id_, entry.line))
    except sqlite3.IntegrityError:
        twin: int = connection.execute("SELECT line FROM temp.planned WHERE id = ?", (id_,)).fetchone()[0]
        return twin
    return None


def _insert(connection: sqlite3.Connection, planned: PlannedEntry, spec: str) -> int:
    entry = planned.entry
    values: Sequence[Any] = (
        planned.entry_key,
        entry.line,
        planned.workspace_id,
        entry.name,
        entry.version,
        entry.path,
        entry.conversion.framework,
        spec,
        _encode(entry.labels).decode(),
        *_stat_columns(planned.stat),
    )
    cursor = connection.execute(
        "INSERT INTO entries (entry_key, line, workspace_id, name, version_label, path, framework, spec, labels,"
        " size, inode, mtime_ns, ctime_ns, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'planned')",
        values,
    )
    if cursor.lastrowid is None:
        raise AssertionError("an insert gives a row id")
    return cursor.lastrowid


def _stat_columns(stat: SourceStat | None) -> tuple[int | None, ...]:
    return (None,) * 4 if stat is None else (stat.size, stat.inode, stat.mtime_ns, stat.ctime_ns)


def _same_entry(manifest: str, entry: Entry, twin: int) -> Problem:
    return Problem(
        manifest=manifest,
        place=f"line {entry.line}",
        field="name",
        what=f"the same entry as line {twin}, once the workspaces and defaults are looked up",
        remedy="remove one of them, or give them different version labels",
    )


def remove_new_ledger(path: Path) -> None:
    """Remove a ledger that was made for a plan that failed."""
    for suffix in ("", "-wal", "-shm", ".lock"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
