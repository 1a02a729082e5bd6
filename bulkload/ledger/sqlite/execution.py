"""What each message does to the file."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import msgspec

from bulkload.core.identity.existing import Present, Sibling
from bulkload.core.identity.reconcile import ExistingDecision
from bulkload.core.model.records import RegistryVersion
from bulkload.core.model.settings import OnExisting
from bulkload.core.model.states import IllegalMove, State, check_move
from bulkload.ledger import interface as messages
from bulkload.ledger.deciding import arrival_of, becomes_ready, equal_version, has_news
from bulkload.ledger.interface import (
    Arrived,
    Claims,
    Comparison,
    Intend,
    Judge,
    Judged,
    Message,
    Moved,
    Seal,
    VersionTaken,
)
from bulkload.ledger.records import LedgerEntry, Outcome
from bulkload.ledger.sqlite import writes
from bulkload.ledger.sqlite.connection import ledger_error
from bulkload.ledger.sqlite.moves import Moves
from bulkload.ledger.sqlite.planning import Planning, suspects
from bulkload.ledger.sqlite.writes import Store

_SENT = Moved(State.PLANNED, State.UPLOADING)
_SEALED = Moved(State.UPLOADING, State.UPLOADING)
_TAKEN = Moved(State.UPLOADING, State.UPLOADED)


def _by_store(method: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """A message whose fields are what a method of the store takes, in its order."""
    return lambda execution, message: method(execution.store, *msgspec.structs.astuple(message))


class Execution:
    """The storage of a ledger that is a file: each message by the store's functions."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.moves = Moves(store)
        # The run that works on the ledger, and its plan while it is being made.
        self._run: messages.BeginRun | None = None
        self._planning: Planning | None = None
        # Whether the registry held nothing of this manifest's models; None: not known yet.
        self._is_listing_empty: bool | None = None

    @property
    def is_planning(self) -> bool:
        """Whether a run is being begun: its transaction is open until the plan is whole."""
        return self._planning is not None

    @property
    def changes(self) -> int:
        """Rows that were inserted, changed or deleted."""
        return self.store.connection.total_changes

    @property
    def in_transaction(self) -> bool:
        """Whether the transaction is still there: SQLite itself gives it up when the disk is full or fails."""
        return self.store.in_transaction

    def begin(self) -> None:
        """Nothing yet: a group of moves is one statement, which is a transaction by itself; else one begins with it."""

    def commit(self) -> None:
        """Write what is collected, and commit, durably."""
        self.moves.commit()

    def roll_back(self) -> None:
        """Take back all since ``begin``, a run's beginning included."""
        self._is_listing_empty = None
        if self._planning is not None:
            self._planning.close()
            self._planning = self._run = None
            self.store.run_id = ""
        self.moves.forget()
        self.store.roll_back()

    def close(self) -> None:
        """Close the file."""
        self.roll_back()
        self.store.close()

    def execute(self, messages: Sequence[Message[Any]]) -> list[Any]:
        """The answers of a group, one after the other; its moves are written with the commit, or before it."""
        if len(messages) == 1:
            return [self.carry_out(messages[0])]
        self.moves.look_up([each.entry_id for each in messages if isinstance(each, Judge)])
        return [self._answer(message) for message in messages]

    def carry_out(self, message: Message[Any]) -> Any:
        """The message's answer; what it changes is written."""
        answer = self._answer(message)
        try:
            self.moves.write()
        except sqlite3.IntegrityError:
            return self._refusal(message)
        return answer

    def attempt(self, message: Message[Any]) -> Any:
        """The message's answer; one that raises has changed nothing."""
        self.moves.write()
        try:
            return self.store.attempt(lambda _: self.carry_out(message))
        except BaseException:
            self.moves.forget()
            raise

    def _answer(self, message: Message[Any]) -> Any:
        kind = type(message)
        if kind not in self._COLLECTED:
            self.moves.write()
            if kind not in self._QUESTIONS:
                self.moves.forget()
        return self._BY_TYPE[kind](self, message)

    def _refusal(self, message: Message[Any]) -> Any:
        """Why a move was refused: ``VersionTaken``. Raises ``IllegalMove``, or ``KeyError`` where there is no entry."""
        self.moves.forget()
        if not isinstance(message, Intend | Seal | Arrived):
            # Somebody else has changed the entry: what is known of it now is what the file holds.
            answer = self._answer(message)
            self.moves.write()
            return answer
        before = self.store.state(message.entry.id)
        if isinstance(message, Arrived) and before is State.UPLOADING:
            return VersionTaken(message.version_id)
        raise IllegalMove(before, State.UPLOADED if isinstance(message, Arrived) else State.UPLOADING)

    def named(self, error: Exception) -> Exception:
        """SQLite's own words (a full disk, a damaged file) as a ledger error; anything else as it is."""
        if isinstance(error, sqlite3.Error):
            remedy = f"the ledger cannot be written: {error}; free space or mend the disk, then run again"
            return ledger_error(self.store.path, error, remedy)
        return error

    @property
    def run(self) -> messages.BeginRun:
        """The constants of the run. Raises ``RuntimeError`` where none has begun."""
        if self._run is None:
            raise RuntimeError("no run has begun on this ledger")
        return self._run

    # A run's beginning and end.

    def _begin_run(self, message: messages.BeginRun) -> None:
        store = self.store
        store.claim_for(message.registry, endpoint=message.endpoint, manifest=message.manifest)
        store.begin_run(message.run_id, message.started_at)
        store.recover()
        self._planning = Planning(store)
        self._run = message

    def _plan_entries(self, message: messages.PlanEntries) -> tuple[tuple[int, int], ...]:
        same = []
        for planned in message.entries:
            line = self._plan.add(planned)
            if line is not None:
                same.append((planned.entry.line, line))
        return tuple(same)

    def _finish_plan(self, message: messages.FinishPlan) -> dict[str, list[float]]:
        if message.follows_manifest:
            self._plan.drop_absent()
        self._plan.close()
        self._planning = None
        self.store.keep_few_pages()
        return self.store.conversion_seconds()

    @property
    def _plan(self) -> Planning:
        if self._planning is None:
            raise RuntimeError("no run is being begun on this ledger")
        return self._planning

    def _end_run(self, message: messages.EndRun) -> None:
        self.store.keep_conversion_seconds(message.conversion_seconds)
        self.store.end_run(message.finished_at, message.exit_code, message.summary)

    # Moves.

    def _intend(self, message: messages.Intend) -> Moved | ExistingDecision:
        found = self._equal(message, message.sha256)
        if found is not None:
            return found
        self.moves.intend(message.entry, message.look, self._fence(message), message.sha256)
        return _SENT

    def _fence(self, message: messages.Intend) -> frozenset[int]:
        """The versions that were there before the first byte leaves."""
        if message.fence is not None:
            return message.fence
        return frozenset(version.version_id for version in self._listed(message.entry.model))

    def _listed(self, model: messages.Model) -> list[RegistryVersion]:
        if self._is_listing_empty is None:
            self._is_listing_empty = self.store.is_listing_empty()
        return [] if self._is_listing_empty else self.store.listed(model)

    def _forget_listing(self, _: messages.ForgetListing) -> None:
        self._is_listing_empty = None
        self.store.clear_listing()

    def _keep_listing(self, message: messages.KeepListing) -> None:
        self._is_listing_empty = None
        self.store.add_to_listing(message.versions)

    def _seal(self, message: messages.Seal) -> Moved | ExistingDecision:
        found = self._equal(message, message.sha256)
        if found is not None:
            return found
        self.moves.seal(message.entry, message.sha256)
        return _SEALED

    def _equal(self, message: messages.Intend | messages.Seal, sha256: str | None) -> ExistingDecision | None:
        """What spares the upload, where the run skips what is there."""
        if sha256 is None or self.run.on_existing is not OnExisting.SKIP:
            return None
        return self._find(message, sha256)

    def _find_equal(self, message: messages.FindEqual) -> ExistingDecision | None:
        return self._find(message, message.sha256)

    def _find(
        self, message: messages.Intend | messages.Seal | messages.FindEqual, sha256: str
    ) -> ExistingDecision | None:
        item, store = message.entry, self.store
        listed = self._listed(item.model)
        if item.only_version and not listed:
            return None
        self.moves.write_about(item.model)
        siblings = [
            Sibling(each.entry, each.version_id, each.state is State.READY)
            for each in store.siblings(item, sha256)
            if each.version_id is not None
        ]
        return equal_version(message, sha256, Present(listed, siblings, store.claimed(item)), self.run)

    def _arrived(self, message: messages.Arrived) -> Moved | VersionTaken:
        self.moves.arrive(message)
        return _TAKEN

    def _move(self, message: messages.Move) -> Moved:
        return self._moved(self.moves.entry(message.entry_id), message.after, message.outcome)

    def _moved(self, item: LedgerEntry, after: State, outcome: Outcome) -> Moved:
        before = item.state
        check_move(before, after)
        if _names_no_version(outcome):
            self.moves.conclude(item, after, outcome)
            return Moved(before, after)
        self.moves.write()
        self.moves.forget()
        if outcome.owned is None and outcome.version_id is not None and item.owned:
            outcome = msgspec.structs.replace(outcome, owned=True)
        try:
            self.store.move(item.id, after, outcome)
        except writes.VersionTaken as taken:
            raise IllegalMove(before, after, f"version {taken} is another entry's") from None
        return Moved(before, after)

    def _disown(self, message: messages.Disown) -> Moved:
        before = self.store.state(message.entry_id)
        self.store.disown(message.entry_id, message.reason)
        return Moved(before, State.IN_DOUBT)

    def _judge(self, message: messages.Judge) -> Judged:
        item = self.moves.entry(message.entry_id)
        arrival, moved = arrival_of(item, message.version), None
        if becomes_ready(message, arrival):
            moved = self._moved(item, State.READY, message.ready)
        elif has_news(message, arrival):
            self.moves.note_status(item, message.version.status)
        return Judged(item, arrival, moved)

    # Questions that need more than one of the store's.

    def _take(self, message: messages.Take) -> list[LedgerEntry]:
        found = self.store.next_entries(message.after_line, message.most)
        self.moves.know(found)
        return found

    def _claims(self, message: messages.GetClaims) -> Claims:
        claimed, unproved = self.store.claimed(message.entry), self.store.unproved(message.entry)
        return Claims(frozenset(claimed), frozenset(unproved))

    def _compare(self, message: messages.Compare) -> Comparison:
        item, look = message.entry, message.look
        possible = any(version.size in (None, look.size) for version in self.store.listed(item.model))
        return Comparison(possible, self.store.digest(item.entry.source, look))

    # What is written together, and what changes nothing.
    _COLLECTED: ClassVar = frozenset({Intend, Seal, Arrived, messages.Move, Judge})
    _QUESTIONS: ClassVar = frozenset(
        {
            messages.Suspects, messages.Take, messages.NextOfModel, messages.GetEntry, messages.InState,
            messages.InManifest, messages.ToAudit, messages.GetClaims, messages.WorkspacesToList, messages.Compare,
            messages.FindEqual, messages.Counts, messages.CountOpen, messages.Failures,
        }
    )  # fmt: skip
    _BY_TYPE: ClassVar[dict[type[Message[Any]], Callable[[Any, Any], Any]]] = {
        messages.BeginRun: _begin_run,
        messages.PlanEntries: _plan_entries,
        messages.FinishPlan: _finish_plan,
        messages.EndRun: _end_run,
        messages.Suspects: _by_store(suspects),
        messages.SameBytes: _by_store(Store.same_bytes),
        messages.Renew: _by_store(Store.renew),
        messages.RetryFailed: lambda self, message: self.store.retry_failed(with_versions=message.with_versions),
        messages.Take: _take,
        messages.NextOfModel: _by_store(Store.next_of_model),
        messages.GetEntry: _by_store(Store.entry),
        messages.InState: _by_store(Store.in_state),
        messages.InManifest: _by_store(Store.in_manifest),
        messages.ToAudit: _by_store(Store.to_audit),
        messages.Intend: _intend,
        messages.Seal: _seal,
        messages.Arrived: _arrived,
        messages.Move: _move,
        messages.Disown: _disown,
        messages.Judge: _judge,
        messages.NotePlanned: _by_store(Store.note_planned),
        messages.NoteStatus: _by_store(Store.note_status),
        messages.Audited: _by_store(Store.audited),
        messages.GetClaims: _claims,
        messages.WorkspacesToList: _by_store(Store.workspaces_to_list),
        messages.ForgetListing: _forget_listing,
        messages.KeepListing: _keep_listing,
        messages.Compare: _compare,
        messages.FindEqual: _find_equal,
        messages.RememberDigest: _by_store(Store.remember_digest),
        messages.Counts: _by_store(Store.counts),
        messages.CountOpen: _by_store(Store.count_open),
        messages.Failures: _by_store(Store.failures),
    }


def _names_no_version(outcome: Outcome) -> bool:
    """Whether a move changes nothing about which version the entry has, nor how it came to it."""
    return (
        outcome.version_id is None
        and outcome.owned is None
        and outcome.sha256 is None
        and outcome.adopted is None
        and outcome.uploaded_at is None
        and outcome.upload_seconds is None
    )
