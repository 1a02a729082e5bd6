"""An upload whose answer was lost: wait until it has landed or never will, then ask the registry."""

from dataclasses import dataclass

from bulkload.core.contract.file_names import sent_file_name
from bulkload.core.identity.content import Content, content_of_entry
from bulkload.core.identity.reconcile import Reconciliation, reconcile, settle_seconds
from bulkload.core.model.events import ReconcileEnded
from bulkload.core.model.states import State
from bulkload.engine.context import Run
from bulkload.engine.listing import versions_now
from bulkload.ledger.records import LedgerEntry, Outcome


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Where the entry stands now."""

    state: State
    version_id: int | None = None


def what_was_sent(run: Run, item: LedgerEntry) -> tuple[Content, str, str, frozenset[int]]:
    """By what a version can be told to be this entry's: content, digest, file name, fence."""
    content = content_of_entry(item.entry, item.workspace_id, run.default_arch)
    return content, item.sha256 or "", sent_file_name(item.entry.source), item.fence


async def reconcile_entry(run: Run, item: LedgerEntry, lost_at: float) -> Reconciled:
    """Settle, ask, decide and write it down.

    ``lost_at``: when the connection was lost, on the monotonic clock; this process's start for earlier ones. A run
    that is asked to stop leaves the entry in doubt.
    """
    size = item.look.size if item.look is not None else 0
    until = lost_at + settle_seconds(run.settings.settle, size)
    with run.clock.within(max(0.0, until - run.clock())):
        await run.stop.wait()
    if run.stop.asked:
        return Reconciled(State.IN_DOUBT)
    candidates = await versions_now(run, item, item.sha256)
    claimed, unproved = await run.ledger.call(lambda store: (store.claimed(item), store.unproved(item)))
    decision = reconcile(*what_was_sent(run, item), candidates, claimed.keys() - unproved, run.default_arch)
    run.events(ReconcileEnded(name=item.entry.name, outcome=decision.outcome.value, note=decision.note))
    if decision.version is not None and decision.version.version_id in unproved:
        # An answer gave it to another entry, whose bytes it does not have: the poll of that one will say so.
        note = f"version {decision.version.version_id} is held by another entry, which has other bytes"
        await run.move(item, State.IN_DOUBT, Outcome(message=note))
        return Reconciled(State.IN_DOUBT)
    if decision.outcome is Reconciliation.ADOPT and decision.version is not None:
        version_id = decision.version.version_id
        outcome = Outcome(
            version_id=version_id, owned=True, adopted=True, uploaded_at=run.clock.utc_now(), message=decision.note
        )
        await run.move(item, State.UPLOADED, outcome)
        return Reconciled(State.UPLOADED, version_id)
    if decision.outcome is Reconciliation.ABSENT:
        await run.move(item, State.PLANNED, Outcome(message="never landed: sent again"))
        return Reconciled(State.PLANNED)
    if run.settings.resend_in_doubt:
        await run.move(item, State.PLANNED, Outcome(message=f"sent again on request, although {decision.note}"))
        return Reconciled(State.PLANNED)
    note = f"{decision.note}; look at them, then run with --resend-in-doubt if none is this entry's"
    await run.move(item, State.IN_DOUBT, Outcome(message=note))
    return Reconciled(State.IN_DOUBT)
