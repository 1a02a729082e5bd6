"""What each message does to what a ledger in memory keeps."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import msgspec

from bulkload.core.identity.existing import Present, Sibling
from bulkload.core.identity.reconcile import ExistingDecision
from bulkload.core.model.records import RegistryVersion
from bulkload.core.model.settings import OnExisting
from bulkload.core.model.states import OPEN, IllegalMove, State, check_move
from bulkload.core.model.summary import CauseCount, cause_counts
from bulkload.ledger import interface as messages
from bulkload.ledger.deciding import (
    OUT_OF_ORDER,
    arrival_of,
    becomes_ready,
    equal_version,
    has_news,
)
from bulkload.ledger.interface import Claims, Comparison, Judged, Message, Model, Moved, VersionTaken
from bulkload.ledger.memory.rows import Rows
from bulkload.ledger.memory.store import Row, line_of
from bulkload.ledger.records import LedgerEntry

# What says which version it is; nothing of it may stay when the version turns out to be another's.
_NO_VERSION: dict[str, Any] = {
    "version_id": None,
    "owned": False,
    "version_uuid": None,
    "status": None,
    "adopted": False,
    "uploaded_at": None,
    "upload_seconds": None,
}


class Execution(Rows):
    """The storage of a ledger in memory: each message, on rows that are committed together."""

    def carry_out(self, message: Message[Any]) -> Any:
        return self._BY_TYPE[type(message)](self, message)

    def execute(self, messages: Sequence[Message[Any]]) -> list[Any]:
        return [self.carry_out(message) for message in messages]

    def attempt(self, message: Message[Any]) -> Any:
        before = self._content.copy()
        try:
            return self.carry_out(message)
        except BaseException:
            self._content = before
            raise

    # Files that look different, and entries to be tried anew.

    def _suspects_page(self, message: messages.Suspects) -> list[LedgerEntry]:
        found = [row.item() for row in self._rows if row.id in self._suspects and row.id > message.after_id]
        return found[: message.most]

    def _retry_failed(self, message: messages.RetryFailed) -> None:
        for row in self._in_manifest:
            if row.state is State.FAILED and row.version_id is None:
                self._moved(row.id, State.PLANNED, cause=None, message=None, finished_at=None)
            elif row.state in (State.FAILED, State.ERROR) and message.with_versions:
                self._anew(row.id, None, retry_requested=True)

    def _renew(self, message: messages.Renew) -> None:
        self._anew(message.entry_id, message.look)

    def _same_bytes(self, message: messages.SameBytes) -> None:
        row = self._content.entries.get(message.entry_id)
        if row is not None:
            self._put(row, look=message.look)

    # Entries to work on.

    def _take(self, message: messages.Take) -> list[LedgerEntry]:
        found: list[LedgerEntry] = []
        for row in self._in_manifest:
            if len(found) == message.most:
                break
            if row.state is not State.PLANNED or line_of(row) <= message.after_line:
                continue
            model = self._of_model(row.model)
            if self._next(model) is row:
                found.append(row.item(only_version=len(model) == 1))
        return found

    def _next_of_model(self, message: messages.NextOfModel) -> LedgerEntry | None:
        row = self._next(self._of_model(message.model))
        return None if row is None else row.item()

    def _next(self, model: list[Row]) -> Row | None:
        """Which of a model's entries may be sent."""
        if any(row.state in (State.UPLOADING, State.IN_DOUBT) for row in model):
            return None
        waiting = (row for row in model if row.state is State.PLANNED and row.line is not None)
        return min(waiting, key=line_of, default=None)

    def _entry(self, message: messages.GetEntry) -> LedgerEntry:
        return self._row(message.entry_id).item()

    def _in_state(self, message: messages.InState) -> list[LedgerEntry]:
        found = [row.item() for row in self._rows if row.state is message.state and row.id > message.after_id]
        return found[: message.most]

    def _lines(self, message: messages.InManifest) -> list[LedgerEntry]:
        found = [row.item() for row in self._in_manifest if line_of(row) > message.after_line]
        return found[: message.most]

    def _to_audit(self, message: messages.ToAudit) -> list[LedgerEntry]:
        found = [row.item() for row in self._audits if row.id > message.after_id]
        return found[: message.most]

    @property
    def _audits(self) -> list[Row]:
        # What never became a version has no duplicate to look for.
        return [row for row in self._rows if row.audit and row.version_id is not None]

    # Moves.

    def _intend(self, message: messages.Intend) -> Moved | ExistingDecision:
        found = self._equal(message, message.sha256)
        if found is not None:
            return found
        row, fence = self._row(message.entry.id), message.fence
        return self._moved(
            row.id,
            State.UPLOADING,
            look=message.look,
            fence=frozenset(each.version_id for each in self._listed(row.model)) if fence is None else fence,
            sha256=message.sha256,
            sealed=message.sha256 is not None,
            audit=row.attempts > 0,
            attempts=row.attempts + 1,
            cause=None,
            message=None,
        )

    def _seal(self, message: messages.Seal) -> Moved | ExistingDecision:
        found = self._equal(message, message.sha256)
        if found is not None:
            return found
        row = self._row(message.entry.id)
        if row.state is not State.UPLOADING:
            raise IllegalMove(row.state, State.UPLOADING)
        self._put(row, sealed=True, sha256=message.sha256)
        return Moved(row.state, row.state)

    def _arrived(self, message: messages.Arrived) -> Moved | VersionTaken:
        row = self._row(message.entry.id)
        if row.state is not State.UPLOADING:
            raise IllegalMove(row.state, State.UPLOADED)
        if self._is_taken(message.version_id, row.id):
            return VersionTaken(message.version_id)
        later = any(
            each.owned and each.line is not None and each.line > message.entry.entry.line
            for each in self._of_model(row.model)
        )
        return self._moved(
            row.id,
            State.UPLOADED,
            version_id=message.version_id,
            owned=True,
            uploaded_at=message.uploaded_at,
            upload_seconds=message.upload_seconds,
            message=OUT_OF_ORDER if later else row.message,
        )

    def _move(self, message: messages.Move) -> Moved:
        row, outcome = self._row(message.entry_id), message.outcome
        check_move(row.state, message.after)
        if (outcome.owned or row.owned) and self._is_taken(outcome.version_id, row.id):
            raise IllegalMove(row.state, message.after, f"version {outcome.version_id} is another entry's")
        values = {name: value for name, value in msgspec.structs.asdict(outcome).items() if value is not None}
        return self._moved(row.id, message.after, **values)

    def _is_taken(self, version_id: int | None, by_other_than: int) -> bool:
        if version_id is None:
            return False
        others = (row for row in self._content.entries.values() if row.version_id == version_id)
        if any(row.owned and row.id != by_other_than for row in others):
            return True
        return any(row.owned and row.version_id == version_id for row in self._content.past)

    def _disown(self, message: messages.Disown) -> Moved:
        return self._moved(message.entry_id, State.IN_DOUBT, **_NO_VERSION, message=message.reason)

    def _judge(self, message: messages.Judge) -> Judged:
        row = self._row(message.entry_id)
        arrival = arrival_of(row.item(), message.version)
        moved = None
        if becomes_ready(message, arrival):
            moved = self._move(messages.Move(row.id, State.READY, message.ready))
        elif has_news(message, arrival) and row.state is State.UPLOADED:
            self._put(row, status=message.version.status)
        return Judged(row.item(), arrival, moved)

    def _note_planned(self, message: messages.NotePlanned) -> None:
        row = self._content.entries.get(message.entry_id)
        if row is not None and row.state is State.PLANNED:
            self._put(row, message=message.message)

    def _note_status(self, message: messages.NoteStatus) -> None:
        row = self._content.entries.get(message.entry_id)
        if row is not None and row.state is State.UPLOADED:
            self._put(row, status=message.status)

    def _audited(self, message: messages.Audited) -> None:
        row = self._content.entries.get(message.entry_id)
        if row is not None:
            self._put(row, audit=False, message=row.message if message.note is None else message.note)

    # What is there, and whose it is.

    def _equal(self, message: messages.Intend | messages.Seal, sha256: str | None) -> ExistingDecision | None:
        """What spares the upload, where the run skips what is there."""
        if sha256 is None or self._run_now.on_existing is not OnExisting.SKIP:
            return None
        return self._find(message, sha256)

    def _find_equal(self, message: messages.FindEqual) -> ExistingDecision | None:
        return self._find(message, message.sha256)

    def _find(
        self, message: messages.Intend | messages.Seal | messages.FindEqual, sha256: str
    ) -> ExistingDecision | None:
        item = message.entry
        siblings = [
            Sibling(row.entry, row.version_id, row.state is State.READY)
            for row in self._others(item)
            if row.owned and row.sha256 == sha256 and row.state in (State.UPLOADED, State.READY)
            if row.version_id is not None
        ]
        present = Present(self._listed(item.model), siblings, self._claimed(item))
        return equal_version(message, sha256, present, self._run_now)

    def _others(self, item: LedgerEntry) -> list[Row]:
        return [row for row in self._of_model(item.model) if row.id != item.id]

    def _claimed(self, item: LedgerEntry) -> dict[int, str | None]:
        held = [*self._others(item), *(row for row in self._content.past if row.model == item.model)]
        held.sort(key=lambda row: row.entry.version or "")
        return {row.version_id: row.entry.version for row in held if row.version_id is not None}

    def _claims(self, message: messages.GetClaims) -> Claims:
        item = message.entry
        unproved = {
            row.version_id
            for row in self._others(item)
            if row.version_id is not None and row.state is State.UPLOADED and row.sha256 != item.sha256
        }
        return Claims(frozenset(self._claimed(item)), frozenset(unproved))

    # The registry's listing, and digests of files.

    def _listed(self, model: Model) -> list[RegistryVersion]:
        return [each for each in self._content.listing.values() if (each.workspace_id, each.name) == model]

    def _workspaces_to_list(self, _: messages.WorkspacesToList) -> list[int]:
        waiting = (row for row in self._in_manifest if row.state is State.PLANNED)
        in_doubt = (row for row in self._rows if row.state is State.IN_DOUBT)
        return sorted({row.workspace_id for row in (*waiting, *in_doubt)})

    def _forget_listing(self, _: messages.ForgetListing) -> None:
        self._content.listing = {}
        self.changes += 1

    def _keep_listing(self, message: messages.KeepListing) -> None:
        models = self._content.models
        kept = {each.version_id: each for each in message.versions if (each.workspace_id, each.name) in models}
        self._content.listing |= kept
        self.changes += len(kept)

    def _compare(self, message: messages.Compare) -> Comparison:
        sizes = {each.size for each in self._listed(message.entry.model)}
        look, sha256 = self._content.digests.get(message.entry.entry.source, (None, None))
        is_known = message.look.mark is not None and message.look == look
        return Comparison(not sizes.isdisjoint({None, message.look.size}), sha256 if is_known else None)

    def _remember_digest(self, message: messages.RememberDigest) -> None:
        if message.look.mark is not None:
            self._content.digests[message.path] = (message.look, message.sha256)
            self.changes += 1

    # Counts.

    def _counts(self, _: messages.Counts) -> dict[str, int]:
        found = Counter(row.state for row in self._in_manifest)
        return {state.value: found[state] for state in State}

    def _count_open(self, _: messages.CountOpen) -> int:
        is_open = [row for row in self._rows if row.state in OPEN and (row.line, row.state) != (None, State.PLANNED)]
        return len(is_open) + len(self._audits)

    def _failures(self, _: messages.Failures) -> tuple[CauseCount, ...]:
        names: dict[tuple[str, str], list[str]] = {}
        for row in self._in_manifest:
            if row.state in (State.FAILED, State.ERROR):
                names.setdefault((row.cause or row.state, row.message or ""), []).append(row.entry.name)
        found = [(cause, message, len(all_), all_[0]) for (cause, message), all_ in names.items()]
        return cause_counts(sorted(found, key=lambda each: (-each[2], each[0], each[1])))

    _BY_TYPE: ClassVar[dict[type[Message[Any]], Callable[[Any, Any], Any]]] = {
        messages.BeginRun: Rows.begin_run,
        messages.PlanEntries: Rows.plan_entries,
        messages.FinishPlan: Rows.finish_plan,
        messages.EndRun: Rows.end_run,
        messages.Suspects: _suspects_page,
        messages.SameBytes: _same_bytes,
        messages.Renew: _renew,
        messages.RetryFailed: _retry_failed,
        messages.Take: _take,
        messages.NextOfModel: _next_of_model,
        messages.GetEntry: _entry,
        messages.InState: _in_state,
        messages.InManifest: _lines,
        messages.ToAudit: _to_audit,
        messages.Intend: _intend,
        messages.Seal: _seal,
        messages.Arrived: _arrived,
        messages.Move: _move,
        messages.Disown: _disown,
        messages.Judge: _judge,
        messages.NotePlanned: _note_planned,
        messages.NoteStatus: _note_status,
        messages.Audited: _audited,
        messages.GetClaims: _claims,
        messages.WorkspacesToList: _workspaces_to_list,
        messages.ForgetListing: _forget_listing,
        messages.KeepListing: _keep_listing,
        messages.Compare: _compare,
        messages.FindEqual: _find_equal,
        messages.RememberDigest: _remember_digest,
        messages.Counts: _counts,
        messages.CountOpen: _count_open,
        messages.Failures: _failures,
    }
