"""Rows of a ledger in memory, in transactions, and a run's beginning and end."""

from typing import Any

import msgspec

from bulkload.core.model.errors import LedgerError
from bulkload.core.model.records import Look
from bulkload.core.model.states import TERMINAL, IllegalMove, State, check_move
from bulkload.ledger import interface as messages
from bulkload.ledger.deciding import RUN_ENDED, FileNews, file_news, of_another_registry
from bulkload.ledger.interface import Model, Moved
from bulkload.ledger.memory.store import MemoryStore, Row, line_of
from bulkload.ledger.records import PlannedEntry


class Rows:
    """What was committed, and in a transaction what is going to be."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        # What is committed, and in a transaction what is going to be.
        self._content = store.content
        self.changes = 0
        self.in_transaction = False
        # The run that works on the ledger, and the entries that it has planned while its beginning is not whole.
        self._run: messages.BeginRun | None = None
        self._planned: set[int] | None = None
        # Entries of the last plan whose files look different.
        self._suspects: set[int] = set()

    @property
    def is_planning(self) -> bool:
        return self._planned is not None

    def begin(self) -> None:
        self._content = self._store.content.copy()
        self.in_transaction = True

    def commit(self) -> None:
        self._store.content = self._content
        self.in_transaction = False

    def roll_back(self) -> None:
        self._content = self._store.content
        self.in_transaction = False
        if self._planned is not None:
            self._planned = self._run = None

    def named(self, error: Exception) -> Exception:
        return error

    def close(self) -> None:
        self.roll_back()

    # Rows.

    @property
    def _rows(self) -> list[Row]:
        return sorted(self._content.entries.values(), key=lambda row: row.id)

    @property
    def _in_manifest(self) -> list[Row]:
        return sorted((row for row in self._rows if row.line is not None), key=line_of)

    def _of_model(self, model: Model) -> list[Row]:
        return [self._content.entries[id_] for id_ in self._content.models.get(model, ())]

    def _row(self, id_: int) -> Row:
        return self._content.entries[id_]

    def _put(self, row: Row, **values: Any) -> None:
        if row.id not in self._content.entries:
            self._content.models[row.model] = (*self._content.models.get(row.model, ()), row.id)
        self._content.entries[row.id] = msgspec.structs.replace(row, **values)
        self.changes += 1

    def _moved(self, id_: int, after: State, **values: Any) -> Moved:
        row = self._row(id_)
        check_move(row.state, after)
        self._put(row, state=after, run_id=self._run_id, **values)
        return Moved(row.state, after)

    @property
    def _run_now(self) -> messages.BeginRun:
        if self._run is None:
            raise RuntimeError("no run has begun on this ledger")
        return self._run

    @property
    def _run_id(self) -> str:
        return "" if self._run is None else self._run.run_id

    def _anew(self, id_: int, look: Look | None, *, retry_requested: bool = False) -> None:
        """Keep the publication as a past one, and plan a new one; without a look, the file is as it was."""
        row = self._row(id_)
        if row.state not in TERMINAL:
            raise IllegalMove(row.state, State.PLANNED)
        self._content.past.append(row)
        fresh = Row(
            id=id_,
            entry_key=row.entry_key,
            line=row.line,
            workspace_id=row.workspace_id,
            entry=row.entry,
            look=look or row.look,
            retry_requested=retry_requested,
            audit=row.audit,
            run_id=self._run_id,
        )
        self._put(fresh)

    # A run's beginning and end.

    def begin_run(self, message: messages.BeginRun) -> None:
        owner = self._content.facts.get("registry", message.registry)
        if owner != message.registry:
            raise of_another_registry(owner, message.registry)
        if message.run_id in self._content.runs:
            raise LedgerError(f"run {message.run_id} is in this ledger already")
        self._run, self._planned, self._suspects = message, set(), set()
        self._content.facts |= {
            "registry": message.registry, "endpoint": message.endpoint, "manifest": message.manifest
        }  # fmt: skip
        self._content.runs[message.run_id] = {"started_at": message.started_at}
        self.changes += 1
        for row in self._rows:
            if row.state is State.UPLOADING and row.sealed:
                self._moved(row.id, State.IN_DOUBT, message=RUN_ENDED)
            elif row.state is State.UPLOADING:
                self._moved(row.id, State.PLANNED)

    def plan_entries(self, message: messages.PlanEntries) -> tuple[tuple[int, int], ...]:
        if self._planned is None:
            raise RuntimeError("no run is being begun on this ledger")
        same = []
        by_key = {row.entry_key: row.id for row in self._rows}
        for planned in message.entries:
            id_ = by_key.setdefault(planned.entry_key, len(self._content.entries) + 1)
            if id_ in self._planned:
                same.append((planned.entry.line, line_of(self._row(id_))))
                continue
            self._planned.add(id_)
            self._plan(id_, planned)
        return tuple(same)

    def _plan(self, id_: int, planned: PlannedEntry) -> None:
        entry, known = planned.entry, self._content.entries.get(id_)
        if known is None:
            row = Row(
                id=id_,
                entry_key=planned.entry_key,
                line=entry.line,
                workspace_id=planned.workspace_id,
                entry=entry,
                look=planned.look,
            )
            self._put(row)
            return
        if (known.line, known.entry) != (entry.line, entry):
            self._put(known, line=entry.line, entry=entry)
        news = file_news(planned, known.state, known.version_id, known.sha256, known.look)
        if news is FileNews.SUSPECT:
            self._suspects.add(id_)
        elif news is FileNews.OTHER_BYTES:
            self._anew(id_, planned.look)
        elif news is FileNews.LOOK:
            self._put(self._row(id_), look=planned.look)

    def finish_plan(self, message: messages.FinishPlan) -> dict[str, list[float]]:
        if self._planned is None:
            raise RuntimeError("no run is being begun on this ledger")
        if message.follows_manifest:
            for row in self._in_manifest:
                if row.id not in self._planned:
                    self._put(row, line=None)
        self._planned = None
        return {kind: list(each) for kind, each in self._content.conversion_seconds.items()}

    def end_run(self, message: messages.EndRun) -> None:
        run = {"finished_at": message.finished_at, "exit_code": message.exit_code, "summary": message.summary}
        self._content.runs[self._run_now.run_id] = self._content.runs[self._run_now.run_id] | run
        self._content.conversion_seconds = {kind: list(each) for kind, each in message.conversion_seconds.items()}
        self.changes += 1
