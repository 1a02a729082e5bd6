"""Models where something was sent again are listed once more: a version that nobody claims is a duplicate."""

from bulkload.core.identity.reconcile import duplicates_of
from bulkload.core.model.events import DuplicateFound
from bulkload.engine.context import Run
from bulkload.engine.listing import versions_now
from bulkload.engine.upload.reconcile import what_was_sent
from bulkload.ledger.interface import Audited, GetClaims, ToAudit
from bulkload.ledger.records import LedgerEntry

ENTRIES_A_PAGE = 256


async def audit(run: Run) -> None:
    """Look for duplicates of every entry that was sent more than once, and say so in its message.

    Raises ``CallFailed``, ``NotAuthorised`` and ``RegistryUnavailable``; what was not looked at is looked at by the
    next run.
    """
    after = 0
    while page := await run.ledger.execute(ToAudit(after, ENTRIES_A_PAGE)):
        run.events.phase("looking for duplicates")
        for entry in page:
            await _audit_entry(run, entry)
        after = page[-1].id


async def _audit_entry(run: Run, entry: LedgerEntry) -> None:
    candidates = await versions_now(run, entry, entry.sha256)
    claimed = (await run.ledger.execute(GetClaims(entry))).claimed
    known = claimed | ({entry.version_id} if entry.version_id is not None else set())
    found = duplicates_of(*what_was_sent(run, entry), candidates, known, run.default_arch)
    note = None
    if found:
        note = f"published more than once: version {', '.join(map(str, found))} beside {entry.version_id}"
    await run.ledger.execute(Audited(entry.id, note))
    if found:
        run.events(DuplicateFound(name=entry.entry.name, versions=tuple(found)))
