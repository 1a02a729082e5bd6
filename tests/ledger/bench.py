"""A ledger under test, of either kind: what it answers, and what it has committed."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bulkload.core.model.records import Entry, Look
from bulkload.core.model.settings import OnExisting
from bulkload.core.model.states import State
from bulkload.ledger import LedgerReader
from bulkload.ledger.groups import GroupCommit, OnCommit, Refused, Storage
from bulkload.ledger.interface import (
    Arrived,
    BeginRun,
    FinishPlan,
    GetEntry,
    Intend,
    Message,
    Move,
    Moved,
    PlanEntries,
    VersionTaken,
)
from bulkload.ledger.memory import MemoryStore
from bulkload.ledger.memory.execution import Execution as MemoryExecution
from bulkload.ledger.memory.store import Row
from bulkload.ledger.records import LedgerEntry, Outcome, PlannedEntry
from bulkload.ledger.sqlite.execution import Execution
from bulkload.ledger.sqlite.moves import Moves
from bulkload.ledger.sqlite.planning import Planning
from bulkload.ledger.sqlite.writes import Store

T = TypeVar("T")

SHA256, OTHER_SHA256 = "ab" * 32, "cd" * 32
LOOK, OTHER_LOOK = Look(10, "1:2:3"), Look(20, "4:5:6")
BEGIN_RUN = BeginRun(
    run_id="run-1",
    started_at="2026-01-06T16:34:30Z",
    registry="https://a",
    endpoint="https://a",
    manifest="models.csv",
    default_arch=None,
    on_existing=OnExisting.SKIP,
    wait_timeout=1800.0,
)
# Of a past publication, what is kept of it.
PAST = (
    "state", "size", "sha256", "version_id", "owned", "version_uuid", "status", "cause", "message", "logs", "attempts",
    "adopted", "uploaded_at", "finished_at", "upload_seconds", "convert_seconds", "run_id",
)  # fmt: skip
# In SQL other things than in records.
_CODED = {"entry", "look", "fence"}


def plan_into(store: Store, entries: Iterable[PlannedEntry]) -> None:
    """Let a store follow this manifest; a transaction is around it."""
    with closing(Planning(store)) as planning:
        for planned in entries:
            assert planning.add(planned) is None
        planning.drop_absent()


def intend(store: Store, id_: int, look: Look, fence: Iterable[int], sha256: str | None) -> None:
    """Let the first byte of an entry leave; a transaction may be around it."""
    moves = Moves(store)
    moves.intend(store.entry(id_), look, frozenset(fence), sha256)
    if store.in_transaction:
        moves.write()
    else:
        moves.commit()


class Bench(ABC):
    """``ledger(message)`` is its answer; what it raises is raised."""

    def __init__(self) -> None:
        self._groups: GroupCommit | None = None
        self._runs = 0
        # Called before and after each commit.
        self.on_commit: OnCommit = lambda _: None

    @abstractmethod
    def open(self) -> Storage:
        """What outlives the processes, opened by another one."""

    @abstractmethod
    def row(self, id_: int = 1) -> Row:
        """All that is kept of an entry."""

    @abstractmethod
    def put(self, id_: int, **columns: Any) -> None:
        """Let an entry stand somewhere, however it came there."""

    @abstractmethod
    def past(self) -> list[dict[str, Any]]:
        """The past publications, each with the id of its entry, by PAST."""

    @abstractmethod
    def results(self) -> list[tuple[Any, ...]]:
        """What people are told."""

    @abstractmethod
    def count(self) -> int:
        """How many entries there are."""

    def __call__(self, message: Message[T]) -> T:
        (reply,) = self.together(message)
        if isinstance(reply, Exception):
            raise reply
        answer: T = reply
        return answer

    def together(self, *messages: Message[Any]) -> list[Any]:
        """Messages that were sent at once: an answer for each, or what it raises."""
        if self._groups is None:
            self._groups = GroupCommit(self.open(), self._commit)
        return [reply.error if isinstance(reply, Refused) else reply for reply in self._groups.execute(messages)]

    def _commit(self, changes: int) -> None:
        self.on_commit(changes)

    def close(self) -> None:
        """End the process; the next message is another one's."""
        if self._groups is not None:
            with self._groups:
                self._groups = None

    def begin(
        self, *entries: PlannedEntry, follows_manifest: bool = True, **constants: Any
    ) -> tuple[tuple[int, int], ...]:
        """Begin the next run with this manifest; the answer is that of its one page."""
        self._runs += 1
        self(msgspec.structs.replace(BEGIN_RUN, **{"run_id": f"run-{self._runs}", **constants}))
        same = self(PlanEntries(entries))
        self(FinishPlan(follows_manifest))
        return same

    def item(self, id_: int = 1) -> LedgerEntry:
        """One entry as the engine sees it."""
        return self(GetEntry(id_))

    def intend(self, id_: int, sha256: str | None = SHA256, **fields: Any) -> Any:
        """The first byte of an entry may leave; with a digest all of it."""
        values: dict[str, Any] = {"look": LOOK, "fence": frozenset(), "sha256": sha256}
        return self(Intend(entry=self.item(id_), **values | fields))

    def arrive(self, id_: int, version_id: int) -> Moved | VersionTaken:
        """The answer named a version."""
        return self(Arrived(entry=self.item(id_), version_id=version_id, uploaded_at="t", upload_seconds=1.0))

    def upload(self, id_: int, version_id: int, sha256: str = SHA256) -> None:
        """Send an entry; it becomes a version."""
        assert self.intend(id_, sha256) == Moved(State.PLANNED, State.UPLOADING)
        assert self.arrive(id_, version_id) == Moved(State.UPLOADING, State.UPLOADED)

    def move(self, id_: int, *states: State, **outcome: Any) -> Moved:
        """Move an entry on; the last state comes with what came of it."""
        for state in states[:-1]:
            self(Move(id_, state, Outcome()))
        return self(Move(id_, states[-1], Outcome(**outcome)))

    def publish(self, id_: int, state: State = State.READY, version_id: int | None = None) -> None:
        """Let an entry have been published, with this outcome."""
        self.upload(id_, version_id or id_)
        self.move(id_, state)

    def states(self) -> list[State]:
        """Of all entries, by their ids."""
        return [self.row(id_).state for id_ in range(1, self.count() + 1)]


class MemoryBench(Bench):
    """``memory.MemoryLedger``'s."""

    def __init__(self) -> None:
        super().__init__()
        self._store = MemoryStore()

    def open(self) -> Storage:
        return MemoryExecution(self._store)

    def row(self, id_: int = 1) -> Row:
        return self._store.content.entries[id_]

    def put(self, id_: int, **columns: Any) -> None:
        entries = self._store.content.entries
        entries[id_] = msgspec.structs.replace(entries[id_], **columns)

    def past(self) -> list[dict[str, Any]]:
        return [
            {"id": row.id, "size": row.look and row.look.size}
            | {name: getattr(row, name) for name in PAST if name != "size"}
            for row in self._store.content.past
        ]

    def results(self) -> list[tuple[Any, ...]]:
        return list(self._store.results())

    def count(self) -> int:
        return len(self._store.content.entries)


class SqliteBench(Bench):
    """``sqlite.Ledger``'s. What it has committed is read by another connection."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._undo = ExitStack()
        # The ledger's own connection, and the one that reads beside it.
        self._store: Store | None = None
        self._reading: sqlite3.Connection | None = None

    def open(self) -> Storage:
        self._store = Store(self._path)
        # No test cuts the power, and a commit would cost a flush each.
        self._store.connection.execute("PRAGMA synchronous = OFF")
        return Execution(self._store)

    def close(self) -> None:
        self._undo.close()
        self._reading = self._store = None
        super().close()

    def row(self, id_: int = 1) -> Row:
        (row,) = self._read("SELECT * FROM entries WHERE id = ?", id_)
        values = {name: row[name] for name in Row.__struct_fields__ if name not in _CODED}
        values |= {name: bool(row[name]) for name in ("sealed", "retry_requested", "owned", "audit", "adopted")}
        fence = frozenset(msgspec.json.decode(row["fence"] or "[]"))
        entry = msgspec.json.decode(row["spec"], type=Entry)
        look = None if row["size"] is None else Look(row["size"], row["mark"])
        return Row(**values | {"state": State(row["state"]), "entry": entry, "look": look, "fence": fence})

    def put(self, id_: int, **columns: Any) -> None:
        if "look" in columns:
            look = columns.pop("look")
            columns |= {"size": look and look.size, "mark": look and look.mark}
        if "fence" in columns:
            columns["fence"] = msgspec.json.encode(sorted(columns["fence"])).decode()
        assignments = ", ".join(f"{name} = ?" for name in columns)
        assert self._store is not None
        self._store.connection.execute(f"UPDATE entries SET {assignments} WHERE id = ?", (*columns.values(), id_))

    def past(self) -> list[dict[str, Any]]:
        return [
            {"id": row["entry_id"]}
            | {name: row[name] for name in PAST}
            | {"owned": bool(row["owned"]), "adopted": bool(row["adopted"])}
            for row in self._read("SELECT * FROM past_publications ORDER BY rowid")
        ]

    def results(self) -> list[tuple[Any, ...]]:
        with LedgerReader(self._path) as reader:
            return list(reader.results())

    def count(self) -> int:
        return len(self._read("SELECT id FROM entries"))

    def _read(self, statement: str, *arguments: Any) -> Sequence[sqlite3.Row]:
        if self._reading is None:
            self._reading = self._undo.enter_context(closing(sqlite3.connect(self._path)))
            self._reading.row_factory = sqlite3.Row
        return self._reading.execute(statement, arguments).fetchall()
