"""An upload whose answer was lost: wait until it has landed or never will, then ask the registry."""

from bulkload.core.contract.file_names import sent_file_name
from bulkload.core.identity.content import Content, content_of_entry
from bulkload.core.identity.reconcile import reconcile, settle_seconds
from bulkload.core.model.events import ReconcileEnded
from bulkload.core.model.states import State
from bulkload.core.transitions import after_reconciliation
from bulkload.engine.context import Run
from bulkload.engine.listing import versions_now
from bulkload.ledger.interface import GetClaims, Move
from bulkload.ledger.records import LedgerEntry, Outcome


def what_was_sent(run: Run, entry: LedgerEntry) -> tuple[Content, str, str, frozenset[int]]:
    """By what a version can be told to be this entry's: content, digest, file name, fence."""
    content = content_of_entry(entry.entry, entry.workspace_id, run.default_arch)
    return content, entry.sha256 or "", sent_file_name(entry.entry.source), entry.fence


async def reconcile_entry(run: Run, entry: LedgerEntry, lost_at: float) -> tuple[State, int | None]:
    """Settle, ask, decide and write it down. Returns where the entry stands now, and the version that was adopted.

    ``lost_at``: when the connection was lost, on the monotonic clock; this process's start for earlier ones. A run
    that is asked to stop leaves the entry in doubt.
    """
    size = entry.look.size if entry.look is not None else 0
    until = lost_at + settle_seconds(run.settings.settle, size)
    with run.clock.within(max(0.0, until - run.clock.now())):
        await run.stop.wait()
    if run.stop.asked:
        return State.IN_DOUBT, None
    candidates = await versions_now(run, entry, entry.sha256)
    claims = await run.ledger.execute(GetClaims(entry))
    decision = reconcile(*what_was_sent(run, entry), candidates, claims.claimed - claims.unproved, run.default_arch)
    run.events(ReconcileEnded(name=entry.entry.name, outcome=decision.outcome.value, note=decision.note))
    is_unproved = decision.version is not None and decision.version.version_id in claims.unproved
    transition = after_reconciliation(decision, is_unproved=is_unproved, resend=run.settings.resend_in_doubt)
    outcome, version_id = Outcome(message=transition.message), None
    if transition.after is State.UPLOADED and decision.version is not None:
        version_id = decision.version.version_id
        outcome = Outcome(
            version_id=version_id, owned=True, adopted=True, uploaded_at=run.clock.utc_now(), message=transition.message
        )
    run.moved(entry, await run.ledger.execute(Move(entry.id, transition.after, outcome)), outcome)
    return transition.after, version_id
