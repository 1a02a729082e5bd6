"""Models where something was sent again are listed once more: a version that nobody claims is a duplicate."""

from bulkload.core.identity.reconcile import twins
from bulkload.core.model.events import DuplicateFound
from bulkload.engine.context import Run
from bulkload.engine.listing import versions_now
from bulkload.engine.upload.reconcile import what_was_sent
from bulkload.ledger.records import LedgerEntry

ENTRIES_A_PAGE = 256


async def audit(run: Run) -> None:
    """Look for twins of every entry that was sent more than once, and say so in its message.

    Raises ``CallFailed``, ``NotAuthorised`` and ``RegistryUnavailable``; what was not looked at is looked at by the
    next run.
    """
    after = 0
    while page := await run.ledger.call(lambda store: store.to_audit(after, ENTRIES_A_PAGE)):  # noqa: B023 - awaited
        run.events.phase("looking for duplicates")
        for item in page:
            await _audit_entry(run, item)
        after = page[-1].id


async def _audit_entry(run: Run, item: LedgerEntry) -> None:
    candidates = await versions_now(run, item, item.sha256)
    claimed = await run.ledger.call(lambda store: store.claimed(item))
    known = claimed.keys() | ({item.version_id} if item.version_id is not None else set())
    found = twins(*what_was_sent(run, item), candidates, known, run.default_arch)
    note = None
    if found:
        note = f"published more than once: version {', '.join(map(str, found))} beside {item.version_id}"
    await run.ledger.call(lambda store: store.audited(item.id, note))
    if found:
        run.events(DuplicateFound(name=item.entry.name, versions=tuple(found)))
